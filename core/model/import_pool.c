/* Sources and their names. Every publisher's spelling of a tensor becomes the one the program uses:
 * cell_encoder.model.*, Qformer.*, llm_proj.*, ... as in a Lightning file without its prefix,
 * "bert.*" for a BERT folder, "llm.model.*" for the language model. */
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/import_impl.h"
#include <string.h>
#include <unistd.h>

void pool_init(Pool *p)
{
    *p = (Pool){.by_name = strmap_new(1024)};
}

void pool_done(Pool *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i].name);
    free(p->v);
    strmap_free(p->by_name);
    for (int i = 0; i < p->n_ckpt; i++)
        ckpt_free(p->ckpt[i]);
}

PoolTensor *pool_find(const Pool *p, const char *name)
{
    int64_t i = strmap_get(p->by_name, name, -1);
    return i < 0 ? NULL : &p->v[i];
}

static Err put(Pool *p, const char *name, const CkTensor *t, bool late)
{
    PoolTensor *old = pool_find(p, name);
    if (old) {
        old->before = old->t;
        old->t = t;
        old->late = late;
        return OK;
    }
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 256;
        TRY(mem_realloc(&p->v, cap, sizeof *p->v));
        p->cap = cap;
    }
    p->v[p->n] = (PoolTensor){.name = mem_strdup(name), .t = t, .late = late};
    strmap_put(p->by_name, name, (int64_t)p->n++);
    return OK;
}

/* ---- names ---- */

static const char *strip(const char *s, const char *prefix)
{
    return str_starts(s, prefix) ? s + strlen(prefix) : s;
}

/* s with the first `what` replaced. */
static char *replaced(char *s, const char *what, const char *with)
{
    char *at = strstr(s, what);
    if (!at)
        return s;
    char *r = str_format("%.*s%s%s", (int)(at - s), s, with, at + strlen(what));
    free(s);
    return r;
}

static char *cell_name(const char *n)
{
    char *s = str_format("cell_encoder.model.%s", strip(n, "module."));
    s = replaced(s, ".self_attn._impl.", ".self_attn.");
    s = replaced(s, ".self_attn.in_proj_weight", ".self_attn.Wqkv.weight");
    return replaced(s, ".self_attn.in_proj_bias", ".self_attn.Wqkv.bias");
}

static char *text_name(const char *n)
{
    char *s = str_format("bert.%s", strip(strip(n, "module."), "bert."));
    s = replaced(s, "LayerNorm.gamma", "LayerNorm.weight");
    return replaced(s, "LayerNorm.beta", "LayerNorm.bias");
}

static char *lm_name(const char *n)
{
    bool bare =
        str_starts(n, "layers.") || str_starts(n, "embed_tokens.") || strcmp(n, "norm.weight") == 0;
    return str_format("llm.%s%s", bare ? "model." : "", n);
}

static char *adapter_name(const char *n)
{
    char *s = lm_name(strip(n, "base_model.model."));
    s = replaced(s, ".modules_to_save.default.", ".");
    s = replaced(s, ".modules_to_save.", ".");
    s = replaced(s, ".base_layer.", ".");
    s = replaced(s, ".lora_magnitude_vector.default.weight", ".lora_magnitude_vector");
    s = replaced(s, ".lora_magnitude_vector.weight", ".lora_magnitude_vector");
    if (str_ends(s, ".default"))
        s[strlen(s) - strlen(".default")] = '\0';
    return replaced(s, ".default.", ".");
}

static char *lightning_name(const char *n)
{
    n = strip(strip(n, "blip2qformer."), "blip2lm.");
    if (str_starts(n, "cell_encoder.model."))
        return cell_name(n + strlen("cell_encoder.model."));
    if (str_starts(n, "llm_model."))
        return adapter_name(n + strlen("llm_model."));
    return mem_strdup(n);
}

/* ---- sources ---- */

typedef char *Rename(const char *name);

static Err take(Pool *p, Ckpt *c, Rename *rename, bool late)
{
    p->ckpt[p->n_ckpt++] = c;
    for (size_t i = 0; i < ckpt_count(c); i++) {
        char *name = rename(ckpt_at(c, i)->name);
        Err err = strstr(name, ".original_module.") ? OK : put(p, name, ckpt_at(c, i), late);
        free(name);
        TRY(err);
    }
    return OK;
}

/* A folder may hold settings and vocabulary alone where a Lightning file has the tensors. */
static bool only_settings(const ImportSpec *s, const char *dir, const char *const *files)
{
    bool any = false;
    for (int i = 0; files[i]; i++) {
        char *path = str_format("%s/%s", dir, files[i]);
        any |= access(path, F_OK) == 0;
        free(path);
    }
    return !any && s->n_lightning > 0 && access(dir, F_OK) == 0;
}

static Err add_folder(Pool *p, const char *dir, const char *stem, const char *bin, Rename *rename,
                      bool late)
{
    Ckpt *c = ckpt_new();
    Err err = ckpt_add_folder(c, dir, stem, bin);
    if (err != OK) {
        ckpt_free(c);
        return err;
    }
    return take(p, c, rename, late);
}

static Err add_file(Pool *p, const char *path, Rename *rename, bool late)
{
    Ckpt *c = ckpt_new();
    Err err = ckpt_add_file(c, path);
    if (err != OK) {
        ckpt_free(c);
        return err;
    }
    return take(p, c, rename, late);
}

static Err add_scgpt(Pool *p, const char *dir)
{
    static const char *const names[] = {"best_model.pt", "model.pt", "model.safetensors"};
    for (int i = 0; i < 3; i++) {
        char *path = str_format("%s/%s", dir, names[i]);
        bool there = access(path, F_OK) == 0;
        Err err = there ? add_file(p, path, cell_name, false) : OK;
        free(path);
        if (there)
            return err;
    }
    FAIL(ERR_MODEL, "%s: has no best_model.pt", dir);
}

static Err add_adapter(Pool *p, const char *dir)
{
    TRY(add_folder(p, dir, "adapter_model", "adapter_model", adapter_name, true));
    for (size_t i = 0; i < p->n; i++)
        p->v[i].adapter = p->v[i].late;
    return OK;
}

Err pool_fill(Pool *p, const ImportSpec *s)
{
    static const char *const cell[] = {"best_model.pt", "model.pt", "model.safetensors", NULL};
    static const char *const words[] = {"model.safetensors", "model.safetensors.index.json",
                                        "pytorch_model.bin", "pytorch_model.bin.index.json", NULL};
    if (s->scgpt && !only_settings(s, s->scgpt, cell))
        TRY(add_scgpt(p, s->scgpt));
    if (s->bert && !only_settings(s, s->bert, words))
        TRY(add_folder(p, s->bert, "model", "pytorch_model", text_name, false));
    if (s->llama && !only_settings(s, s->llama, words))
        TRY(add_folder(p, s->llama, "model", "pytorch_model", lm_name, false));
    if (s->adapter)
        TRY(add_adapter(p, s->adapter));
    for (int i = 0; i < s->n_lightning; i++)
        TRY(add_file(p, s->lightning[i], lightning_name, true));
    return OK;
}
