/* generator.json (shapes, anchors, figures of the noise model) and generator.safetensors (arrays).
 * Sizes are checked against the file before anything is allocated by them. */
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/bundle.h"
#include "core/model/generator.h"
#include "core/model/safetensors.h"

enum { MAX_WIDTH = 1024, MAX_GENES = 1 << 20, MAX_ANCHORS = 65536, MAX_JSON = 32 << 20 };

Err generator_new(size_t genes, size_t latent, size_t hidden, size_t embed, size_t n_anchors,
                  size_t text_width, size_t n_shift, Generator **out)
{
    Generator *g = mem_must(sizeof *g);
    size_t z = latent, h = hidden, e = embed, a = n_anchors;
    Err err = OK;
    g->genes = genes;
    g->latent = latent;
    g->hidden = hidden;
    g->embed = embed;
    g->n_anchors = n_anchors;
    g->text_width = text_width;
    g->widen = 1;
    TRY_GOTO(NEW0(g->gene, genes));
    TRY_GOTO(NEW0(g->w1, h * z));
    TRY_GOTO(NEW0(g->b1, h));
    TRY_GOTO(NEW0(g->w2, h * h));
    TRY_GOTO(NEW0(g->b2, h));
    TRY_GOTO(NEW0(g->w3, e * h));
    TRY_GOTO(NEW0(g->b3, e));
    TRY_GOTO(NEW0(g->table, e * genes));
    TRY_GOTO(NEW0(g->bias, genes));
    TRY_GOTO(NEW0(g->anchor, a));
    TRY_GOTO(NEW0(g->type, a));
    TRY_GOTO(NEW0(g->mean, a * z));
    TRY_GOTO(NEW0(g->spread, a * (z * (z + 1) / 2)));
    TRY_GOTO(NEW0(g->text, a * text_width));
    TRY_GOTO(NEW0(g->first_shift, a + 1));
    TRY_GOTO(NEW0(g->shift_gene, n_shift));
    TRY_GOTO(NEW0(g->shift, n_shift));
done:
    if (err != OK)
        generator_free(g);
    else
        *out = g;
    return err;
}

void generator_free(Generator *g)
{
    if (!g)
        return;
    for (size_t a = 0; g->anchor && a < g->n_anchors; a++) {
        free((char *)g->anchor[a].type_id);
        free((char *)g->anchor[a].type_name);
        free((char *)g->anchor[a].tissue);
    }
    void *all[] = {g->gene,   g->w1,    g->b1,          g->w2,         g->b2,   g->w3,
                   g->b3,     g->table, g->bias,        g->anchor,     g->type, g->mean,
                   g->spread, g->text,  g->first_shift, g->shift_gene, g->shift};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(g);
}

/* ---- reading ---- */

typedef struct Reader {
    const char *json_path;
    const cJSON *o;
    StFile *f;
} Reader;

static Err number(const Reader *r, const cJSON *o, const char *key, double lo, double hi, double *v)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsNumber(x) || !(x->valuedouble >= lo && x->valuedouble <= hi))
        FAIL(ERR_MODEL, "%s: \"%s\" is missing or not a number from %g to %g", r->json_path, key,
             lo, hi);
    *v = x->valuedouble;
    return OK;
}

static Err text(const Reader *r, const cJSON *o, const char *key, const char **out)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsString(x))
        FAIL(ERR_MODEL, "%s: \"%s\" of an anchor is missing", r->json_path, key);
    *out = mem_strdup(x->valuestring);
    return OK;
}

static Err array(const Reader *r, const char *name, size_t n, float *out)
{
    const StTensor *t = st_find(r->f, name);
    if (!t)
        FAIL(ERR_MODEL, "%s: tensor %s is missing", st_path(r->f), name);
    if (t->elements != n)
        FAIL(ERR_MODEL, "%s: tensor %s has %zu numbers, not the %zu that generator.json says",
             st_path(r->f), name, t->elements, n);
    TRY(st_read_f32(r->f, t, out));
    for (size_t i = 0; i < n; i++)
        if (!isfinite(out[i]))
            FAIL(ERR_MODEL, "%s: tensor %s holds a number that is not finite", st_path(r->f), name);
    return OK;
}

/* Whole numbers lo..hi-1, stored as any number type. */
static Err whole(const Reader *r, const char *name, size_t n, double hi, bool ascending,
                 int32_t *out)
{
    float *v;
    TRY(NEW(v, n));
    Err err = array(r, name, n, v);
    for (size_t i = 0; err == OK && i < n; i++) {
        if (!(v[i] >= 0 && (double)v[i] < hi) || v[i] != floorf(v[i]) ||
            (ascending && i && v[i] <= v[i - 1]))
            err = err_set(ERR_MODEL, "%s: tensor %s: entry %zu is out of range", st_path(r->f),
                          name, i);
        else
            out[i] = (int32_t)v[i];
    }
    free(v);
    return err;
}

static Err read_anchors(const Reader *r, const CellTypes *types, const cJSON *list, Generator *g)
{
    size_t a = 0;
    const cJSON *o;
    cJSON_ArrayForEach(o, list)
    {
        Anchor *x = &g->anchor[a];
        double cells;
        TRY(text(r, o, "type", &x->type_id));
        TRY(text(r, o, "name", &x->type_name));
        TRY(text(r, o, "tissue", &x->tissue));
        TRY(number(r, o, "cells", 1, 1e12, &cells));
        x->n = (size_t)cells;
        x->full = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "full"));
        x->measured = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "measured"));
        g->type[a++] = celltypes_find_id(types, x->type_id);
    }
    return OK;
}

static Err read_arrays(const Reader *r, size_t n_genes, size_t n_shift, Generator *g)
{
    size_t z = g->latent, h = g->hidden, e = g->embed, a = g->n_anchors;
    const struct {
        const char *name;
        size_t n;
        float *to;
    } all[] = {{"decoder.0.weight", h * z, g->w1},
               {"decoder.0.bias", h, g->b1},
               {"decoder.1.weight", h * h, g->w2},
               {"decoder.1.bias", h, g->b2},
               {"decoder.2.weight", e * h, g->w3},
               {"decoder.2.bias", e, g->b3},
               {"decoder.table", e * g->genes, g->table},
               {"decoder.table_bias", g->genes, g->bias},
               {"anchor.mean", a * z, g->mean},
               {"anchor.text", a * g->text_width, g->text},
               {"anchor.spread", a * (z * (z + 1) / 2), g->spread},
               {"shift.value", n_shift, g->shift}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        TRY(array(r, all[i].name, all[i].n, all[i].to));
    TRY(whole(r, "gene", g->genes, (double)n_genes, true, g->gene));
    TRY(whole(r, "shift.gene", n_shift, (double)g->genes, false, g->shift_gene));
    int32_t *count;
    TRY(NEW(count, a));
    Err err = whole(r, "shift.count", a, (double)n_shift + 1, false, count);
    for (size_t i = 0; err == OK && i < a; i++)
        g->first_shift[i + 1] = g->first_shift[i] + (size_t)count[i];
    free(count);
    if (err == OK && g->first_shift[a] != n_shift)
        err = err_set(ERR_MODEL, "%s: tensor shift.count does not add up", st_path(r->f));
    return err;
}

static Err read_all(Reader *r, const char *st_name, const CellTypes *types, size_t n_genes,
                    size_t text_width, Generator **out)
{
    double genes, latent, hidden, embed, shifts, width;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(r->o, "anchors");
    TRY(number(r, r->o, "genes", 1, MAX_GENES, &genes));
    TRY(number(r, r->o, "latent", 1, MAX_WIDTH, &latent));
    TRY(number(r, r->o, "hidden", 1, MAX_WIDTH, &hidden));
    TRY(number(r, r->o, "embed", 1, MAX_WIDTH, &embed));
    TRY(number(r, r->o, "shifts", 0, 1e8, &shifts));
    TRY(number(r, r->o, "text_width", (double)text_width, (double)text_width, &width));
    int n = cJSON_GetArraySize(list);
    if (!cJSON_IsArray(list) || n < 1 || n > MAX_ANCHORS)
        FAIL(ERR_MODEL, "%s: \"anchors\" is no list of 1 to %d anchors", r->json_path, MAX_ANCHORS);
    TRY(st_open(st_name, &r->f));
    /* The largest tensor must be there before memory is taken by the numbers of the JSON. */
    const StTensor *t = st_find(r->f, "decoder.table");
    if (!t || t->elements != (size_t)genes * (size_t)embed)
        FAIL(ERR_MODEL, "%s: tensor decoder.table is missing or of another size than %s says",
             st_name, r->json_path);
    Generator *g;
    TRY(generator_new((size_t)genes, (size_t)latent, (size_t)hidden, (size_t)embed, (size_t)n,
                      text_width, (size_t)shifts, &g));
    Err err = read_anchors(r, types, list, g);
    if (err == OK)
        err = read_arrays(r, n_genes, (size_t)shifts, g);
    if (err == OK)
        err = number(r, r->o, "dispersion", 0, 1e6, &g->dispersion);
    if (err == OK)
        err = number(r, r->o, "widen", 0, 10, &g->widen);
    if (err == OK)
        err = number(r, r->o, "size_mean", 0, 20, &g->size_mean);
    if (err == OK)
        err = number(r, r->o, "size_sd", 0, 5, &g->size_sd);
    if (err != OK)
        generator_free(g);
    else
        *out = g;
    return err;
}

Err generator_load(const char *dir, const CellTypes *types, size_t n_genes, size_t text_width,
                   Generator **out)
{
    char *json = bundle_path(dir, "generator.json"),
         *st = bundle_path(dir, "generator.safetensors"), *data = NULL;
    Reader r = {.json_path = json};
    cJSON *o = NULL;
    size_t len;
    Err err = str_read_file(json, MAX_JSON, ERR_MODEL, &data, &len);
    if (err == OK) {
        r.o = o = cJSON_ParseWithLength(data, len);
        err = cJSON_IsObject(o) ? read_all(&r, st, types, n_genes, text_width, out)
                                : err_set(ERR_MODEL, "%s: not a JSON object", json);
    }
    st_close(r.f);
    cJSON_Delete(o);
    free(data);
    free(st);
    free(json);
    return err;
}

/* ---- writing ---- */

static cJSON *describe(const Generator *g)
{
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "anchors");
    const struct {
        const char *key;
        double v;
    } all[] = {
        {"genes", (double)g->genes},           {"latent", (double)g->latent},
        {"hidden", (double)g->hidden},         {"embed", (double)g->embed},
        {"text_width", (double)g->text_width}, {"shifts", (double)g->first_shift[g->n_anchors]},
        {"dispersion", g->dispersion},         {"widen", g->widen},
        {"size_mean", g->size_mean},           {"size_sd", g->size_sd}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cJSON_AddNumberToObject(o, all[i].key, all[i].v);
    for (size_t a = 0; a < g->n_anchors; a++) {
        const Anchor *x = &g->anchor[a];
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "type", x->type_id);
        cJSON_AddStringToObject(e, "name", x->type_name);
        cJSON_AddStringToObject(e, "tissue", x->tissue);
        cJSON_AddNumberToObject(e, "cells", (double)x->n);
        cJSON_AddBoolToObject(e, "full", x->full);
        cJSON_AddBoolToObject(e, "measured", x->measured);
        cJSON_AddItemToArray(list, e);
    }
    return o;
}

static Err add(StWriter *w, const char *name, StType as, size_t rows, size_t cols, const float *v)
{
    return st_writer_add_f32(w, name, as, cols ? 2 : 1,
                             (const int64_t[]){(int64_t)rows, (int64_t)cols}, v);
}

/* Two bytes a number where they do. */
static Err add_whole(StWriter *w, const char *name, size_t n, const int32_t *v)
{
    bool small = true;
    int16_t *half;
    for (size_t i = 0; i < n; i++)
        small = small && v[i] >= 0 && v[i] <= INT16_MAX;
    if (!small)
        return st_writer_add(w, name, ST_I32, 1, (const int64_t[]){(int64_t)n}, v);
    TRY(NEW(half, n));
    for (size_t i = 0; i < n; i++)
        half[i] = (int16_t)v[i];
    Err err = st_writer_add(w, name, ST_I16, 1, (const int64_t[]){(int64_t)n}, half);
    free(half);
    return err;
}

static Err write_arrays(const Generator *g, StWriter *w)
{
    size_t z = g->latent, h = g->hidden, e = g->embed, a = g->n_anchors, s = g->first_shift[a];
    int32_t *count;
    Err err = OK;
    TRY(NEW(count, a));
    for (size_t i = 0; i < a; i++)
        count[i] = (int32_t)(g->first_shift[i + 1] - g->first_shift[i]);
    TRY_GOTO(add(w, "decoder.0.weight", ST_F16, h, z, g->w1));
    TRY_GOTO(add(w, "decoder.0.bias", ST_F32, h, 0, g->b1));
    TRY_GOTO(add(w, "decoder.1.weight", ST_F16, h, h, g->w2));
    TRY_GOTO(add(w, "decoder.1.bias", ST_F32, h, 0, g->b2));
    TRY_GOTO(add(w, "decoder.2.weight", ST_F16, e, h, g->w3));
    TRY_GOTO(add(w, "decoder.2.bias", ST_F32, e, 0, g->b3));
    TRY_GOTO(add(w, "decoder.table", ST_I8, e, g->genes, g->table));
    TRY_GOTO(add(w, "decoder.table_bias", ST_F32, g->genes, 0, g->bias));
    TRY_GOTO(add(w, "anchor.mean", ST_F32, a, z, g->mean));
    TRY_GOTO(add(w, "anchor.spread", ST_F16, a, z * (z + 1) / 2, g->spread));
    TRY_GOTO(add(w, "anchor.text", ST_I8, a, g->text_width, g->text));
    TRY_GOTO(add(w, "shift.value", ST_F16, s, 0, g->shift));
    TRY_GOTO(add_whole(w, "shift.gene", s, g->shift_gene));
    TRY_GOTO(add_whole(w, "shift.count", a, count));
    err = add_whole(w, "gene", g->genes, g->gene);
done:
    free(count);
    return err;
}

Err generator_save(const Generator *g, const char *dir)
{
    char *json = bundle_path(dir, "generator.json"),
         *st = bundle_path(dir, "generator.safetensors");
    cJSON *o = describe(g);
    char *data = cJSON_Print(o);
    StWriter *w = st_writer_new();
    Err err = write_arrays(g, w);
    if (err == OK)
        err = st_writer_save(w, st);
    if (err == OK)
        err = bundle_write_text(json, data);
    st_writer_free(w);
    free(data);
    cJSON_Delete(o);
    free(st);
    free(json);
    return err;
}
