/* Parameters of an imported bundle, under the names of the public checkpoints. */
#include "core/model/parts.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/json_read.h"
#include "core/model/parts_own.h"
#include "core/model/weights.h"
#include <string.h>

enum { CONFIG_MAX = 16 << 20 };
#ifndef PARAMS_BLANK
#define PARAMS_BLANK 0
#endif

static Err add_array(ParamSet *ps, const char *name, const int64_t *dims, float sd, uint64_t seed,
                     Param **out)
{
    TRY(params_add(ps, name, dims, out));
    return seed == PARAMS_BLANK ? OK : param_init_normal(ps, *out, sd, seed);
}

static Err init_cell(Parts *p, uint64_t seed)
{
    ParamSet *ps = p->ps;
    TRY(scgpt_init(ps, "cell_encoder.model.", &p->c.c, seed, &p->cell));
    if (!p->c.cell_bn)
        return OK;
    TRY(params_add(ps, "cell_encoder.model.bn.scale", TAPE_DIMS(1, p->c.c.width),
                   &p->cell.bn_scale));
    return params_add(ps, "cell_encoder.model.bn.shift", TAPE_DIMS(1, p->c.c.width),
                      &p->cell.bn_shift);
}

static Err init_query(Parts *p, uint64_t seed)
{
    ParamSet *ps = p->ps;
    const PartsConfig *c = &p->c;
    int64_t w = c->q.width;
    TRY(qformer_init(ps, "Qformer.", &c->q, seed, &p->qf));
    TRY(add_array(ps, "query_tokens", TAPE_DIMS(3, 1, c->queries, w), 0.02f, seed,
                  &p->query_tokens));
    TRY(layernorm_init(ps, "ln_gene", c->q.cell_width, 1e-5f, &p->ln_gene));
    if (c->heads) {
        TRY(linear_init(ps, "cell_proj", w, c->proj, true, seed, &p->cell_proj));
        TRY(linear_init(ps, "text_proj", w, c->proj, true, seed, &p->text_proj));
    }
    if (c->match)
        TRY(linear_init(ps, "gtm_head", w, 2, true, seed, &p->gtm_head));
    if (c->caption) {
        const char *head = "Qformer.cls.predictions.transform";
        TRY(linear_init(ps, "Qformer.cls.predictions.transform.dense", w, w, true, seed,
                        &p->caption_dense));
        char *norm = str_format("%s.LayerNorm", head);
        Err err = layernorm_init(ps, norm, w, c->q.eps, &p->caption_norm);
        free(norm);
        TRY(err);
        TRY(linear_init(ps, "Qformer.cls.predictions.decoder", w, c->q.vocab, true, seed,
                        &p->caption_out));
    }
    return OK;
}

static Err init_stage2(Parts *p, uint64_t seed)
{
    ParamSet *ps = p->ps;
    const PartsConfig *c = &p->c;
    int64_t e = c->expr_width;
    TRY(linear_init(ps, "llm_proj.fc1", c->q.width, c->llm_hidden, true, seed, &p->fc1));
    TRY(linear_init(ps, "llm_proj.fc2", c->llm_hidden, c->llm_width, true, seed, &p->fc2));
    if (!c->expr)
        return OK;
    TRY(add_array(ps, "expr_decoder.gene_embed.weight", TAPE_DIMS(2, c->expr_genes, e), 1, seed,
                  &p->gene_embed));
    TRY(linear_init(ps, "expr_decoder.cell_proj", c->llm_width, 2 * e, true, seed, &p->expr_cell));
    TRY(params_add(ps, "expr_decoder.cross_attn.in_proj_weight", TAPE_DIMS(2, 3 * e, e),
                   &p->expr_in_w));
    TRY(params_add(ps, "expr_decoder.cross_attn.in_proj_bias", TAPE_DIMS(1, 3 * e), &p->expr_in_b));
    TRY(linear_init(ps, "expr_decoder.cross_attn.out_proj", e, e, true, seed, &p->expr_out));
    TRY(linear_init(ps, "expr_decoder.mlp.0", 2 * e, e, true, seed, &p->mlp0));
    return linear_init(ps, "expr_decoder.mlp.2", e, 1, true, seed, &p->mlp2);
}

static Err init_all(Parts *p, uint64_t seed)
{
    TRY(params_new(p->d, &p->ps));
    if (p->c.cell)
        TRY(init_cell(p, seed));
    if (p->c.query)
        TRY(init_query(p, seed));
    if (p->c.projector)
        TRY(init_stage2(p, seed));
    return p->c.text ? bert_new(p->ps, "bert", &p->c.t, seed, &p->bert) : OK;
}

Err parts_init(Device *d, const PartsConfig *c, uint64_t seed, Parts *p)
{
    *p = (Parts){.c = *c, .d = d};
    Err err = init_all(p, seed);
    if (err != OK)
        parts_done(p);
    return err;
}

Err parts_open_lm(const char *dir, JobCtl *ctl, Parts *p)
{
    StFile *f;
    if (p->lm)
        return OK;
    if (!p->c.lm)
        FAIL(ERR_MODEL, "%s: the bundle has no language model (import --llama)", dir);
    char *path = str_format("%s/%s.safetensors", dir, p->own ? "decoder" : "lm");
    Err err = st_open(path, &f);
    free(path);
    return err == OK ? lm_open(&p->c.l, f, p->d, ctl, &p->lm) : err;
}

static Err load(const char *dir, bool with_parts, bool with_lm, JobCtl *ctl, Parts *p)
{
    StFile *f = NULL;
    Err err = OK;
    char *path = str_format("%s/model.safetensors", dir);
    if (!p->own && with_parts && (p->c.cell || p->c.query || p->c.text)) {
        TRY_GOTO(st_open(path, &f));
        TRY_GOTO(weights_load(p->ps, f, ""));
    }
    if (with_lm && p->c.lm)
        TRY_GOTO(parts_open_lm(dir, ctl, p));
done:
    st_close(f);
    free(path);
    return err;
}

static Err open_imported(const cJSON *config, bool with_parts, Parts *p)
{
    PartsConfig c;
    TRY(parts_config_read(config, &c));
    if (with_parts)
        return parts_init(p->d, &c, PARAMS_BLANK, p);
    p->c = c;
    return OK;
}

Err parts_open(const char *dir, Device *d, bool with_parts, bool with_lm, JobCtl *ctl, Parts *p)
{
    cJSON *o;
    *p = (Parts){.d = d};
    char *path = str_format("%s/config.json", dir);
    Err err = json_read_object(path, CONFIG_MAX, &o);
    if (err == OK && cJSON_HasObjectItem(o, "stage1")) {
        err = parts_own_open(dir, o, with_parts, p);
        cJSON_Delete(o);
    } else if (err == OK) {
        err = open_imported(o, with_parts, p);
        cJSON_Delete(o);
        if (err != OK)
            err = err_context(err, "%s", path);
    }
    free(path);
    if (err == OK)
        err = load(dir, with_parts, with_lm, ctl, p);
    if (err != OK)
        parts_done(p);
    return err;
}

void parts_done(Parts *p)
{
    lm_free(p->lm);
    if (p->own) {
        parts_own_done(p->own);
    } else {
        bert_free(p->bert);
        if (p->c.cell)
            scgpt_done(&p->cell);
        if (p->c.query)
            qformer_done(&p->qf);
        params_free(p->ps);
    }
    *p = (Parts){0};
}
