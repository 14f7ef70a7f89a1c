/* Pre-trained weights into a new encoder. */
#include "core/train/start_encoder.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/bundle.h"
#include "core/model/ckpt.h"
#include <cjson/cJSON.h>
#include <string.h>

enum { VOCABULARY_MAX = 64 << 20 };

static Err need(const Ckpt *c, const char *dir, const char *name, const CkTensor **out)
{
    *out = ckpt_find(c, name);
    if (!*out)
        FAIL(ERR_MODEL, "%s: has no tensor %s", dir, name);
    return OK;
}

static Err copy_tensor(ParamSet *ps, Param *p, const CkTensor *t, const char *dir)
{
    bool same = t->ndim == p->t.ndim;
    for (int i = 0; same && i < t->ndim; i++)
        same = t->dim[i] == p->t.dim[i];
    char shape[64];
    if (!same)
        FAIL(ERR_MODEL, "%s: %s is %s; the encoder of the configuration has another shape", dir,
             t->name, ckpt_shape(t, shape, sizeof shape));
    float *v;
    TRY(NEW(v, t->elements));
    ckpt_read_f32(t, v);
    Err err = param_write(ps, p, v);
    free(v);
    return err;
}

/* Row numbers of DIR's vocabulary. */
static Err read_vocabulary(const char *dir, cJSON **out)
{
    char *path = bundle_path(dir, "vocab.json"), *text = NULL;
    size_t len;
    Err err = str_read_file(path, VOCABULARY_MAX, ERR_MODEL, &text, &len);
    *out = err == OK ? cJSON_ParseWithLength(text, len) : NULL;
    if (err == OK && !cJSON_IsObject(*out))
        err = err_set(ERR_MODEL, "%s: not a JSON object of genes and numbers", path);
    free(text);
    free(path);
    return err;
}

static Err copy_genes(ParamSet *ps, const Scgpt *cell, const GeneSpace *genes, const CkTensor *t,
                      const char *dir)
{
    size_t w = (size_t)cell->c.width, found = 0;
    if (t->ndim != 2 || (size_t)t->dim[1] != w)
        FAIL(ERR_MODEL, "%s: %s is %lld wide, the encoder of the configuration %zu", dir, t->name,
             t->ndim == 2 ? (long long)t->dim[1] : 0LL, w);
    float *from = NULL, *to = NULL;
    cJSON *vocabulary = NULL;
    const cJSON *e;
    Err err = OK;
    TRY_GOTO(read_vocabulary(dir, &vocabulary));
    TRY_GOTO(NEW(from, t->elements));
    TRY_GOTO(NEW(to, (size_t)cell->c.vocab * w));
    ckpt_read_f32(t, from);
    TRY_GOTO(param_read(ps, cell->embedding, to));
    cJSON_ArrayForEach(e, vocabulary)
    {
        bool cls = strcmp(e->string, "<cls>") == 0;
        int64_t g = cls ? cell->c.vocab - 1 : strmap_get(genes->by_name, e->string, -1);
        double row = cJSON_GetNumberValue(e);
        if (g < 0 || !(row >= 0 && row < (double)t->dim[0]))
            continue;
        memcpy(to + (size_t)g * w, from + (size_t)row * w, w * sizeof *to);
        found += !cls;
    }
    if (!found)
        FAIL_GOTO(ERR_MODEL, "%s: vocab.json has none of the %zu genes", dir, genes->n);
    log_info("%s: %zu of %zu genes start from it", dir, found, genes->n);
    err = param_write(ps, cell->embedding, to);
done:
    free(from);
    free(to);
    cJSON_Delete(vocabulary);
    return err;
}

Err start_from_encoder(ParamSet *ps, const char *prefix, const Scgpt *cell, const GeneSpace *genes,
                       const char *dir)
{
    char *path = bundle_path(dir, "best_model.pt");
    Ckpt *c = ckpt_new();
    const CkTensor *t;
    Err err = ckpt_add_file(c, path);
    for (size_t i = 0; err == OK && i < params_count(ps); i++) {
        Param *p = params_at(ps, i);
        if (!str_starts(p->name, prefix))
            continue;
        err = need(c, dir, p->name + strlen(prefix), &t);
        if (err == OK)
            err = p == cell->embedding ? copy_genes(ps, cell, genes, t, dir)
                                       : copy_tensor(ps, p, t, dir);
    }
    ckpt_free(c);
    free(path);
    return err;
}
