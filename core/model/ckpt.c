/* The collection of tensors, and their conversion. */
#include "core/model/ckpt.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/json_read.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INDEX_MAX = 64 << 20 };

struct Ckpt {
    CkTensor *t;
    size_t n, cap;
    StrMap *by_name;
    StFile **st;
    size_t n_st;
    CkMap *map;
    size_t n_map;
    char **text; /* names and paths */
    size_t n_text, cap_text;
};

Ckpt *ckpt_new(void)
{
    Ckpt *c = mem_must(sizeof *c);
    c->by_name = strmap_new(64);
    return c;
}

void ckpt_free(Ckpt *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_st; i++)
        st_close(c->st[i]);
    for (size_t i = 0; i < c->n_map; i++)
        munmap(c->map[i].data, c->map[i].size);
    for (size_t i = 0; i < c->n_text; i++)
        free(c->text[i]);
    free(c->st);
    free(c->map);
    free(c->text);
    free(c->t);
    strmap_free(c->by_name);
    free(c);
}

static Err keep_text(Ckpt *c, const char *s, const char **out)
{
    if (c->n_text == c->cap_text) {
        size_t cap = c->cap_text ? c->cap_text * 2 : 64;
        TRY(mem_realloc(&c->text, cap, sizeof *c->text));
        c->cap_text = cap;
    }
    *out = c->text[c->n_text++] = mem_strdup(s);
    return OK;
}

Err ckpt_map(Ckpt *c, const char *path, CkMap *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        FAIL(ERR_MODEL, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        close(fd);
        FAIL(ERR_MODEL, "%s: not a regular file, or empty", path);
    }
    CkMap m = {.size = (size_t)st.st_size};
    m.data = mmap(NULL, m.size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (m.data == MAP_FAILED)
        FAIL(ERR_NOMEM, "%s: cannot be mapped: %s", path, strerror(errno));
    Err err = mem_realloc(&c->map, c->n_map + 1, sizeof *c->map);
    if (err != OK) {
        munmap(m.data, m.size);
        return err;
    }
    c->map[c->n_map++] = m;
    *out = m;
    return OK;
}

static void settle(CkTensor *t)
{
    int64_t expect = 1;
    t->elements = 1;
    t->contiguous = true;
    for (int d = t->ndim - 1; d >= 0; d--) {
        if (t->dim[d] != 1 && t->stride[d] != expect)
            t->contiguous = false;
        expect *= t->dim[d];
        t->elements *= (size_t)t->dim[d];
    }
}

Err ckpt_put(Ckpt *c, const char *name, const CkTensor *t)
{
    int64_t at = strmap_get(c->by_name, name, -1);
    if (at >= 0) {
        CkTensor *old = &c->t[at];
        const char *keep = old->name;
        *old = *t;
        old->name = keep;
        settle(old);
        return keep_text(c, t->file, &old->file);
    }
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        TRY(mem_realloc(&c->t, cap, sizeof *c->t));
        c->cap = cap;
    }
    CkTensor *x = &c->t[c->n];
    *x = *t;
    TRY(keep_text(c, name, &x->name));
    if (c->n && strcmp(c->t[c->n - 1].file, t->file) == 0)
        x->file = c->t[c->n - 1].file;
    else
        TRY(keep_text(c, t->file, &x->file));
    settle(x);
    strmap_put(c->by_name, name, (int64_t)c->n++);
    return OK;
}

static Err add_safetensors(Ckpt *c, const char *path)
{
    StFile *f;
    TRY(st_open(path, &f));
    Err err = mem_realloc(&c->st, c->n_st + 1, sizeof *c->st);
    if (err != OK) {
        st_close(f);
        return err;
    }
    c->st[c->n_st++] = f;
    for (size_t i = 0; i < st_count(f); i++) {
        const StTensor *s = st_at(f, i);
        CkTensor t = {.type = s->type, .ndim = s->ndim, .data = s->data, .file = path};
        memcpy(t.dim, s->dim, sizeof t.dim);
        int64_t stride = 1;
        for (int d = s->ndim - 1; d >= 0; d--) {
            t.stride[d] = stride;
            stride *= s->dim[d];
        }
        TRY(ckpt_put(c, s->name, &t));
    }
    return OK;
}

/* By content, not by name: a safetensors header begins with its length, whose low byte may be that
 * of a pickle, and then a brace, which no pickle has there. */
static bool is_torch(const unsigned char *head, size_t n)
{
    if (n >= 9 && head[8] == '{' && memcmp(head, "PK\3\4", 4) != 0)
        return false;
    return n >= 4 && (memcmp(head, "PK\3\4", 4) == 0 || head[0] == 0x80);
}

Err ckpt_add_file(Ckpt *c, const char *path)
{
    unsigned char head[9] = {0};
    FILE *f = fopen(path, "rb");
    if (!f)
        FAIL(ERR_MODEL, "%s: cannot be opened: %s", path, strerror(errno));
    size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    bool torch = is_torch(head, n);
    if (torch || (n >= 4 && !str_ends(path, ".safetensors"))) {
        CkMap m;
        TRY(ckpt_map(c, path, &m));
        if (torch || (m.size > 262 && memcmp(m.data + 257, "ustar", 5) == 0)) {
            Err err = ckpt_add_torch(c, path, m);
            return err == OK ? OK : err_context(err, "%s", path);
        }
    }
    return add_safetensors(c, path);
}

static bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* The shards an index names, each once. */
static Err add_shards(Ckpt *c, const char *dir, const char *index)
{
    cJSON *o;
    TRY(json_read_object(index, INDEX_MAX, &o));
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(o, "weight_map"), *e;
    StrMap *seen = strmap_new(64);
    Err err = OK;
    if (!cJSON_IsObject(map))
        FAIL_GOTO(ERR_MODEL, "%s: \"weight_map\" is missing", index);
    cJSON_ArrayForEach(e, map)
    {
        const char *file = e->valuestring;
        if (!cJSON_IsString(e) || !file[0] || strchr(file, '/') || strchr(file, '\\') ||
            file[0] == '.')
            FAIL_GOTO(ERR_MODEL, "%s: %s: not the plain name of a file", index, e->string);
        if (!strmap_put(seen, file, 1))
            continue;
        char *path = str_format("%s/%s", dir, file);
        err = ckpt_add_file(c, path);
        free(path);
        if (err != OK)
            goto done;
    }
    cJSON_ArrayForEach(e, map)
    {
        const CkTensor *t = ckpt_find(c, e->string);
        size_t n = t ? strlen(t->file) : 0, m = strlen(e->valuestring);
        if (!t || n < m || strcmp(t->file + n - m, e->valuestring) != 0)
            FAIL_GOTO(ERR_MODEL, "%s: tensor %s: is not in %s", index, e->string, e->valuestring);
    }
done:
    strmap_free(seen);
    cJSON_Delete(o);
    return err;
}

Err ckpt_add_folder(Ckpt *c, const char *dir, const char *stem, const char *bin)
{
    char *path[4] = {str_format("%s/%s.safetensors", dir, stem),
                     str_format("%s/%s.safetensors.index.json", dir, stem),
                     str_format("%s/%s.bin", dir, bin),
                     str_format("%s/%s.bin.index.json", dir, bin)};
    Err err = OK;
    int i = 0;
    while (i < 4 && !there(path[i]))
        i++;
    if (i == 4)
        err = err_set(ERR_MODEL, "%s: has neither %s.safetensors nor %s.bin (nor their index)", dir,
                      stem, bin);
    else
        err = i % 2 ? add_shards(c, dir, path[i]) : ckpt_add_file(c, path[i]);
    for (i = 0; i < 4; i++)
        free(path[i]);
    return err;
}

size_t ckpt_count(const Ckpt *c)
{
    return c->n;
}

const CkTensor *ckpt_at(const Ckpt *c, size_t i)
{
    return &c->t[i];
}

const CkTensor *ckpt_find(const Ckpt *c, const char *name)
{
    int64_t i = strmap_get(c->by_name, name, -1);
    return i < 0 ? NULL : &c->t[i];
}

/* Calls f(i, element) in row-major order. */
static void gather_rows(const CkTensor *t, char *out)
{
    size_t size = st_type_size(t->type);
    int64_t at[ST_MAX_DIMS] = {0};
    const char *p = t->data;
    for (size_t i = 0; i < t->elements; i++) {
        memcpy(out + i * size, p, size);
        for (int d = t->ndim - 1; d >= 0; d--) {
            p += t->stride[d] * (int64_t)size;
            if (++at[d] < t->dim[d])
                break;
            p -= t->stride[d] * t->dim[d] * (int64_t)size;
            at[d] = 0;
        }
    }
}

void ckpt_read_raw(const CkTensor *t, void *out)
{
    if (t->elements == 0)
        return;
    if (t->contiguous)
        memcpy(out, t->data, t->elements * st_type_size(t->type));
    else
        gather_rows(t, out);
}

#define EACH(ctype, expr)                                                                          \
    for (size_t i = 0; i < n; i++) {                                                               \
        ctype v;                                                                                   \
        memcpy(&v, p + i * sizeof v, sizeof v);                                                    \
        out[i] = (float)(expr);                                                                    \
    }                                                                                              \
    break

static float from_bf16(uint16_t h)
{
    uint32_t b = (uint32_t)h << 16;
    float v;
    memcpy(&v, &b, 4);
    return v;
}

static void convert(StType type, const char *p, size_t n, float *out)
{
    switch (type) {
    case ST_BOOL:
    case ST_U8:
        EACH(uint8_t, v);
    case ST_I8:
        EACH(int8_t, v);
    case ST_I16:
        EACH(int16_t, v);
    case ST_U16:
        EACH(uint16_t, v);
    case ST_F16:
        EACH(uint16_t, st_half_to_float(v));
    case ST_BF16:
        EACH(uint16_t, from_bf16(v));
    case ST_I32:
        EACH(int32_t, v);
    case ST_U32:
        EACH(uint32_t, v);
    case ST_F32:
        memcpy(out, p, n * 4);
        break;
    case ST_F64:
        EACH(double, v);
    case ST_I64:
        EACH(int64_t, v);
    case ST_U64:
        EACH(uint64_t, v);
    case ST_TYPES:
        break;
    }
}

void ckpt_read_f32(const CkTensor *t, float *out)
{
    if (t->elements == 0)
        return;
    if (t->contiguous) {
        convert(t->type, t->data, t->elements, out);
        return;
    }
    CkTensor row = *t; /* the first dimension one by one: little memory beside the result */
    row.ndim--;
    memmove(row.dim, t->dim + 1, sizeof row.dim - sizeof *row.dim);
    memmove(row.stride, t->stride + 1, sizeof row.stride - sizeof *row.stride);
    size_t size = st_type_size(t->type), per = t->elements / (size_t)t->dim[0];
    char *buf = mem_must(per * size);
    row.elements = per;
    for (int64_t r = 0; r < t->dim[0]; r++) {
        row.data = (const char *)t->data + r * t->stride[0] * (int64_t)size;
        gather_rows(&row, buf);
        convert(t->type, buf, per, out + (size_t)r * per);
    }
    free(buf);
}

const char *ckpt_shape(const CkTensor *t, char *buf, size_t n)
{
    size_t at = (size_t)snprintf(buf, n, "[");
    for (int d = 0; d < t->ndim && at < n; d++)
        at += (size_t)snprintf(buf + at, n - at, d ? ",%lld" : "%lld", (long long)t->dim[d]);
    if (at < n)
        snprintf(buf + at, n - at, "]");
    return buf;
}
