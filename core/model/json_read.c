/* Counting before parsing: cJSON takes 64 bytes and more for each value, so a header of 100 MB of
 * "0," would need gigabytes. No published checkpoint comes near the limits here. */
#include "core/model/json_read.h"
#include "core/base/str.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { DEPTH_MAX = 64, VALUES_MAX = 4000000 };

static Err check_utf8(const char *text, size_t len)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text;
    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        if (p[i] < 0x80) {
            if (p[i] == 0)
                FAIL(ERR_MODEL, "not valid JSON: a zero byte at %zu", i);
            i++;
            continue;
        }
        utf8proc_ssize_t n = utf8proc_iterate(p + i, (utf8proc_ssize_t)(len - i), &c);
        if (n <= 0)
            FAIL(ERR_MODEL, "not valid JSON: byte %zu is not UTF-8", i);
        i += (size_t)n;
    }
    return OK;
}

Err json_check(const char *text, size_t len)
{
    size_t depth = 0, values = 0, i = 0;
    bool started = false;
    TRY(check_utf8(text, len));
    for (; i < len; i++) {
        char c = text[i];
        if (c == '"') {
            for (i++; i < len && text[i] != '"'; i++)
                i += text[i] == '\\';
            if (i >= len)
                FAIL(ERR_MODEL, "not valid JSON: a string does not end");
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                FAIL(ERR_MODEL, "not usable JSON: nested more than %d deep", DEPTH_MAX);
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                FAIL(ERR_MODEL, "not valid JSON: a bracket closes nothing");
            depth--;
        }
        if (c == '{' || c == '[' || c == ',')
            if (++values > VALUES_MAX)
                FAIL(ERR_MODEL, "not usable JSON: more than %d values", VALUES_MAX);
        if (started && depth == 0)
            break; /* the end of the outermost object or list */
        started = started || depth > 0;
    }
    for (i++; started && i < len; i++)
        if (!strchr(" \t\r\n", text[i]))
            FAIL(ERR_MODEL, "not valid JSON: something follows the end at byte %zu", i);
    if (depth)
        FAIL(ERR_MODEL, "not valid JSON: it ends too early");
    return OK;
}

Err json_parse(const char *text, size_t len, cJSON **out)
{
    TRY(json_check(text, len));
    *out = cJSON_ParseWithLength(text, len);
    if (!*out)
        FAIL(ERR_MODEL, "not valid JSON");
    return OK;
}

Err json_read_object(const char *path, size_t max_bytes, cJSON **out)
{
    char *text;
    size_t len;
    cJSON *o = NULL;
    TRY(str_read_file(path, max_bytes, ERR_MODEL, &text, &len));
    Err err = json_parse(text, len, &o);
    free(text);
    if (err == OK && !cJSON_IsObject(o))
        err = err_set(ERR_MODEL, "not a JSON object");
    if (err != OK) {
        cJSON_Delete(o);
        return err_context(err, "%s", path);
    }
    *out = o;
    return OK;
}

static const cJSON *member(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return v && !cJSON_IsNull(v) ? v : NULL;
}

Err json_int(const cJSON *o, const char *key, long long lo, long long hi, long long otherwise,
             long long *out)
{
    const cJSON *v = member(o, key);
    double d = v ? v->valuedouble : (double)otherwise;
    if (v && (!cJSON_IsNumber(v) || !(d >= (double)lo && d <= (double)hi) || d != floor(d)))
        FAIL(ERR_MODEL, "\"%s\" is not a whole number from %lld to %lld", key, lo, hi);
    *out = (long long)d;
    return OK;
}

Err json_number(const cJSON *o, const char *key, double otherwise, double *out)
{
    const cJSON *v = member(o, key);
    if (v && (!cJSON_IsNumber(v) || !isfinite(v->valuedouble)))
        FAIL(ERR_MODEL, "\"%s\" is not a number", key);
    *out = v ? v->valuedouble : otherwise;
    return OK;
}

Err json_bool(const cJSON *o, const char *key, bool otherwise, bool *out)
{
    const cJSON *v = member(o, key);
    if (v && !cJSON_IsBool(v))
        FAIL(ERR_MODEL, "\"%s\" is neither true nor false", key);
    *out = v ? cJSON_IsTrue(v) : otherwise;
    return OK;
}

const char *json_text(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}
