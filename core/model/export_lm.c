/* The language model of an imported bundle as transformers loads it. Weights that lie there as published are copied;
 * codes of 8 and 4 bits are written as the float32 numbers they stand for, and what an adapter adds is merged. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/bundle.h"
#include "core/model/export_impl.h"
#include "core/model/quantize.h"
#include <stdlib.h>
#include <string.h>

bool export_is_scale(const StFile *f, const StTensor *t)
{
    char *base = mem_strdup(t->name);
    bool scale = str_ends(base, ".scale");
    if (scale)
        base[strlen(base) - strlen(".scale")] = '\0';
    scale = scale && st_find(f, base);
    free(base);
    return scale;
}

static bool of_adapter(const char *name)
{
    return str_ends(name, ".lora_A") || str_ends(name, ".lora_B") || str_ends(name, ".lora_gain");
}

/* Can the file go out as it is? */
static bool is_public(const StFile *f)
{
    for (size_t i = 0; i < st_count(f); i++)
        if (export_is_scale(f, st_at(f, i)) || of_adapter(st_at(f, i)->name))
            return false;
    return true;
}

/* MODULE.PART beside MODULE.weight as float32; NULL: there is none. */
static Err beside(const StFile *f, const char *weight, const char *part, const StTensor **t, float **v)
{
    char *name = str_format("%.*s%s", (int)(strlen(weight) - strlen("weight")), weight, part);
    *t = st_find(f, name);
    *v = NULL;
    free(name);
    if (!*t)
        return OK;
    TRY(NEW(*v, (*t)->elements));
    return st_read_f32(f, *t, *v);
}

/* w [rows,cols] becomes gain (w + B A), as lm.h adds it while the model runs. */
static Err merge(const StFile *f, const char *name, int64_t rows, int64_t cols, float *w)
{
    const StTensor *ta, *tb, *tg;
    float *a = NULL, *b = NULL, *gain = NULL;
    Err err = beside(f, name, "lora_A", &ta, &a);
    if (err == OK)
        err = beside(f, name, "lora_B", &tb, &b);
    if (err == OK)
        err = beside(f, name, "lora_gain", &tg, &gain);
    if (err == OK && a && b) {
        int64_t rank = ta->dim[0];
        if (ta->ndim != 2 || ta->dim[1] != cols || tb->ndim != 2 || tb->dim[0] != rows || tb->dim[1] != rank ||
            (gain && (int64_t)tg->elements != rows))
            err = err_set(ERR_MODEL, "%s: tensor %s: its adapter does not fit it", st_path(f), name);
        for (int64_t r = 0; err == OK && r < rows; r++)
            for (int64_t c = 0; c < cols; c++) {
                double add = 0;
                for (int64_t k = 0; k < rank; k++)
                    add += (double)b[r * rank + k] * (double)a[k * cols + c];
                double y = (double)w[r * cols + c] + add;
                w[r * cols + c] = (float)(gain ? (double)gain[r] * y : y);
            }
    }
    free(a);
    free(b);
    free(gain);
    return err;
}

static Err add_plain(StWriter *w, const StFile *f, const StTensor *t)
{
    int64_t dim[ST_MAX_DIMS];
    char *scale = str_format("%s.scale", t->name);
    bool halves = t->type == ST_U8 && st_find(f, scale); /* two codes a byte */
    float *v;
    free(scale);
    memcpy(dim, t->dim, sizeof dim);
    if (halves)
        dim[t->ndim - 1] *= 2;
    TRY(NEW(v, t->elements * (halves ? 2 : 1)));
    Err err = halves && dequantize_tensor(f, t, v) ? OK : st_read_f32(f, t, v);
    if (err == OK && t->ndim == 2 && str_ends(t->name, ".weight"))
        err = merge(f, t->name, dim[0], dim[1], v);
    if (err == OK)
        err = st_writer_add_f32(w, t->name, ST_F32, t->ndim, dim, v);
    free(v);
    return err;
}

static Err write_plain(const StFile *f, const char *path)
{
    size_t bytes = 0;
    Err err = OK;
    for (size_t i = 0; i < st_count(f); i++)
        bytes += st_at(f, i)->elements * 2 * sizeof(float);
    TRY(mem_check_budget(bytes, "the language model in float32"));
    StWriter *w = st_writer_new();
    st_writer_meta(w, "format", "pt");
    for (size_t i = 0; err == OK && i < st_count(f); i++) {
        const StTensor *t = st_at(f, i);
        if (!export_is_scale(f, t) && !of_adapter(t->name))
            err = add_plain(w, f, t);
    }
    if (err == OK)
        err = st_writer_save(w, path);
    st_writer_free(w);
    return err;
}

/* Matrices in float32 are not to be rounded again because the publisher's were narrower. */
static void say_float32(cJSON *config)
{
    static const char *const keys[] = {"dtype", "torch_dtype"};
    for (int i = 0; i < 2; i++)
        if (cJSON_HasObjectItem(config, keys[i]))
            cJSON_ReplaceItemInObjectCaseSensitive(config, keys[i], cJSON_CreateString("float32"));
}

static bool is_wide(const StFile *f)
{
    for (size_t i = 0; i < st_count(f); i++)
        if (st_at(f, i)->ndim == 2 && st_at(f, i)->type == ST_F32)
            return true;
    return false;
}

Err export_lm_weights(const char *bundle, const char *to, cJSON *config)
{
    StFile *f;
    char *from = bundle_path(bundle, "lm.safetensors");
    Err err = st_open(from, &f);
    if (err == OK) {
        bool public = is_public(f);
        if (!public || is_wide(f))
            say_float32(config);
        err = public ? bundle_copy_file(from, to) : write_plain(f, to);
        st_close(f);
    }
    free(from);
    return err;
}
