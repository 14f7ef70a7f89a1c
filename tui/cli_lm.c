/* `scmmgpt tokenize` and `scmmgpt lm`: the tokenizers and the language model of an imported bundle.
 */
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/parts.h"
#include "core/model/tokenizer.h"

static void print_json(FILE *out, cJSON *o)
{
    char *text = cJSON_Print(o);
    fprintf(out, "%s\n", text);
    free(text);
    cJSON_Delete(o);
}

static void add_ids(cJSON *o, const char *name, const int32_t *ids, size_t n)
{
    cJSON_AddItemToObject(o, name, cJSON_CreateIntArray(ids, (int)n));
}

/* ---- tokenize ---- */

static Err parse_ids(const char *text, int32_t **ids, size_t *n)
{
    size_t cap = strlen(text) / 2 + 1;
    TRY(NEW(*ids, cap));
    *n = 0;
    for (const char *p = text; *p;) {
        char *end;
        while (*p == ' ' || *p == ',' || *p == '\t' || *p == '\n')
            p++;
        if (!*p)
            break;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || errno || v < 0 || v > INT32_MAX) {
            free(*ids);
            *ids = NULL;
            FAIL(ERR_USAGE, "--decode: '%.20s' is not an id", p);
        }
        (*ids)[(*n)++] = (int32_t)v;
        p = end;
    }
    return OK;
}

/* "text": a text that may hold NULs, which cJSON's strings cannot. */
static void add_text(cJSON *o, const char *text, size_t len)
{
    Str s = {0};
    str_add_char(&s, '"');
    for (size_t at = 0; at <= len;) {
        size_t n = strlen(text + at); /* the text ends with a NUL of its own */
        cJSON *part = cJSON_CreateString(text + at);
        char *quoted = cJSON_PrintUnformatted(part);
        str_add_n(&s, quoted + 1, strlen(quoted) - 2);
        str_add(&s, at + n < len ? "\\u0000" : "\"");
        cJSON_free(quoted);
        cJSON_Delete(part);
        at += n + 1;
    }
    cJSON_AddItemToObject(o, "text", cJSON_CreateRaw(str_text(&s)));
    str_free(&s);
}

static Err decode(CliArgs *a, const Tokenizer *t, const char *list)
{
    int32_t *ids;
    size_t n, len;
    char *text;
    TRY(parse_ids(list, &ids, &n));
    Err err = tokenizer_decode(t, ids, n, false, &text, &len);
    free(ids);
    TRY(err);
    if (a->g->json) {
        cJSON *o = cJSON_CreateObject();
        add_text(o, text, len);
        print_json(a->out, o);
    } else {
        fwrite(text, 1, len, a->out);
        fputc('\n', a->out);
    }
    free(text);
    return OK;
}

static Err encode(CliArgs *a, const Tokenizer *t, const char *text, size_t len)
{
    int32_t *ids;
    size_t n;
    TRY(tokenizer_encode(t, text, len, true, &ids, &n));
    if (a->g->json) {
        cJSON *o = cJSON_CreateObject(), *tokens;
        add_ids(o, "ids", ids, n);
        tokens = cJSON_AddArrayToObject(o, "tokens");
        for (size_t i = 0; i < n; i++)
            cJSON_AddItemToArray(tokens, cJSON_CreateString(tokenizer_token(t, ids[i])));
        print_json(a->out, o);
    } else {
        Str s = {0};
        str_add(&s, "id\ttoken\n");
        for (size_t i = 0; i < n; i++) {
            str_addf(&s, "%d\t", ids[i]);
            str_add_tsv(&s, tokenizer_token(t, ids[i]));
            str_add_char(&s, '\n');
        }
        fputs(str_text(&s), a->out);
        str_free(&s);
    }
    free(ids);
    return OK;
}

static Err pick_tower(const char *dir, const char **tower)
{
    if (*tower && strcmp(*tower, "text") != 0 && strcmp(*tower, "lm") != 0)
        FAIL(ERR_USAGE, "--tower: '%s' is not text or lm", *tower);
    if (*tower)
        return OK;
    static const char *const files[] = {"text_vocab.txt", "text_tokenizer.json", "vocab.txt"};
    *tower = "lm";
    for (int i = 0; i < 3; i++) {
        char *path = str_format("%s/%s", dir, files[i]);
        if (access(path, F_OK) == 0)
            *tower = "text";
        free(path);
    }
    return OK;
}

Err cli_tokenize(CliArgs *a)
{
    const char *usage =
        "[--model DIR] [--tower text|lm] [\"TEXT\" | --file F | --decode \"1 2 3\"] [--json]";
    const char *tower = NULL, *ids = NULL, *file = NULL;
    Str folder = {0};
    Tokenizer *t = NULL;
    char *text = NULL;
    size_t len = 0;
    TRY(cli_take_string(a, "--tower", &tower));
    TRY(cli_take_string(a, "--decode", &ids));
    TRY(cli_take_string(a, "--file", &file));
    TRY(cli_finish(a, ids || file ? 0 : 1, ids || file ? 0 : 1, usage));
    if (file) {
        a->file = file;
        TRY(str_read_file(file, (size_t)1 << 30, ERR_INPUT, &text, &len));
    } else if (!ids) {
        text = mem_strdup(a->argv[1]);
        len = strlen(text);
    }
    Err err = cli_model_folder(a, &folder);
    a->file = a->g->model;
    if (err == OK)
        err = pick_tower(str_text(&folder), &tower);
    if (err == OK)
        err = tokenizer_open_bundle(str_text(&folder), tower, &t);
    if (err == OK)
        err = ids ? decode(a, t, ids) : encode(a, t, text, len);
    tokenizer_free(t);
    str_free(&folder);
    free(text);
    return err;
}

/* ---- lm ---- */

typedef struct Stream { /* text on a terminal as it is written */
    const Tokenizer *t;
    FILE *out;
    int32_t *ids;
    size_t n, shown;
} Stream;

static void show_token(void *user, int32_t id)
{
    Stream *s = user;
    char *text;
    size_t n;
    s->ids[s->n++] = id;
    if (tokenizer_decode_certain(s->t, s->ids, s->n, true, &text, &n) != OK)
        return;
    if (n > s->shown) {
        fwrite(text + s->shown, 1, n - s->shown, s->out);
        fflush(s->out);
        s->shown = n;
    }
    free(text);
}

static Err take_decoding(CliArgs *a, LmDecode *how)
{
    size_t max = 64, beams = 1;
    double temperature = 0, top_p = 1;
    bool greedy = cli_take_flag(a, "--greedy");
    TRY(cli_take_size(a, "--max-new-tokens", 0, 100000, &max));
    TRY(cli_take_size(a, "--beams", 1, 64, &beams));
    TRY(cli_take_number(a, "--temperature", 0, 100, &temperature));
    TRY(cli_take_number(a, "--top-p", 0, 1, &top_p));
    if ((int)greedy + (beams > 1) + (temperature > 0) > 1)
        FAIL(ERR_USAGE, "only one of --greedy, --beams and --temperature");
    *how = (LmDecode){.max_new = (int)max,
                      .beams = (int)beams,
                      .temperature = temperature,
                      .top_p = top_p,
                      .seed = a->g->seed,
                      .logprobs = cli_take_flag(a, "--logprobs")};
    return OK;
}

static Err print_result(CliArgs *a, const Tokenizer *t, const int32_t *prompt, size_t n,
                        const LmResult *r, size_t shown)
{
    char *text;
    size_t len;
    TRY(tokenizer_decode(t, r->ids, r->n, true, &text, &len));
    if (!a->g->json) {
        shown = shown < len ? shown : len;
        fwrite(text + shown, 1, len - shown, a->out);
        fputc('\n', a->out);
        free(text);
        return OK;
    }
    cJSON *o = cJSON_CreateObject();
    add_ids(o, "prompt_ids", prompt, n);
    add_ids(o, "ids", r->ids, r->n);
    add_text(o, text, len);
    if (r->logprob) {
        cJSON_AddItemToObject(o, "prompt_logprobs",
                              cJSON_CreateDoubleArray(r->prompt_logprob, n ? (int)n - 1 : 0));
        cJSON_AddItemToObject(o, "logprobs", cJSON_CreateDoubleArray(r->logprob, (int)r->n));
    }
    print_json(a->out, o);
    free(text);
    return OK;
}

static Err write_text(CliArgs *a, const Parts *p, const Tokenizer *t, LmDecode *how)
{
    int32_t *ids = NULL;
    size_t n;
    LmResult r = {0};
    Stream s = {.t = t, .out = a->out};
    Err err = OK;
    TRY(tokenizer_encode(t, a->argv[1], strlen(a->argv[1]), true, &ids, &n));
    if (!a->g->json && how->beams == 1 && isatty(fileno(a->out))) {
        TRY_GOTO(NEW(s.ids, (size_t)how->max_new + 1));
        how->on_token = show_token;
        how->user = &s;
    }
    TRY_GOTO(lm_generate(p->lm, ids, n, how, a->ctl, &r));
    err = print_result(a, t, ids, n, &r, s.shown);
done:
    lm_result_done(&r);
    free(s.ids);
    free(ids);
    return err;
}

Err cli_lm(CliArgs *a)
{
    const char *usage = "[--model DIR] \"PROMPT\" [--max-new-tokens 64] [--greedy|--beams "
                        "B|--temperature T --top-p P] "
                        "[--logprobs] [--json]";
    LmDecode how;
    Parts p = {0};
    Device *d = NULL;
    Tokenizer *t = NULL;
    Str dir = {0};
    TRY(take_decoding(a, &how));
    TRY(cli_finish(a, 1, 1, usage));
    a->file = a->g->model;
    Err err = cli_model_folder(a, &dir);
    if (err == OK)
        err = tokenizer_open_bundle(str_text(&dir), "lm", &t);
    if (err == OK)
        err = device_open("cpu", &d);
    if (err == OK)
        err = parts_open(str_text(&dir), d, false, true, a->ctl, &p);
    if (err == OK && !p.lm)
        err = err_set(ERR_MODEL, "the bundle has no language model");
    if (err == OK)
        err = write_text(a, &p, t, &how);
    parts_done(&p);
    if (d)
        device_close(d);
    tokenizer_free(t);
    str_free(&dir);
    return err;
}
