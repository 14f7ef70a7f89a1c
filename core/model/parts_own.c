/* See parts_own.h. */
#include "core/model/parts_own.h"
#include "core/base/mem.h"
#include "core/model/bundle.h"
#include "core/model/json_read.h"
#include "core/model/weights.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DECODER_MAX = 64 << 20 };

static bool has_file(const char *dir, const char *file)
{
    char *path = bundle_path(dir, file);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static Err load_weights(const char *dir, const char *file, ParamSet *ps)
{
    StFile *f;
    char *path = bundle_path(dir, file);
    Err err = st_open(path, &f);
    free(path);
    TRY(err);
    err = weights_load(ps, f, "");
    st_close(f);
    return err;
}

static Err read_decoder(const char *dir, DescriberConfig *c)
{
    cJSON *o;
    char *path = bundle_path(dir, "decoder.json");
    Err err = json_read_object(path, DECODER_MAX, &o);
    if (err == OK) {
        err = describer_config_read(o, c);
        cJSON_Delete(o);
    }
    if (err != OK)
        err = err_context(err, "%s", path);
    free(path);
    return err;
}

/* The Llama alone, whose weights are read where they lie. */
static Err own_language(const char *dir, DescriberConfig *d, PartsConfig *c)
{
    c->lm = has_file(dir, "decoder.json");
    if (!c->lm)
        return OK;
    TRY(read_decoder(dir, d));
    cJSON *o = describer_lm_config(d);
    Err err = lm_config_read(o, &c->l);
    cJSON_Delete(o);
    snprintf(c->l.prefix, sizeof c->l.prefix, "llm_model.");
    return err;
}

static Err read_mean(const char *dir, int64_t rows, float **mean)
{
    GeneSpace *g;
    TRY(bundle_read_genes(dir, &g));
    Err err = (int64_t)g->n + 2 == rows ? NEW0(*mean, (size_t)rows)
                                        : err_set(ERR_MODEL, "%s: vocab.json and config.json disagree", dir);
    if (err == OK)
        memcpy(*mean, g->mean, g->n * sizeof **mean);
    genespace_free(g);
    return err;
}

static Err load_stage1(const char *dir, const cJSON *config, Device *d, struct PartsOwn *o)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(config, "stage1");
    if (!cJSON_IsObject(shape))
        FAIL(ERR_MODEL, "%s/config.json: \"stage1\" is missing", dir);
    Stage1Config c = stage1_config_default(1, 384);
    Err err = stage1_config_read(shape, &c);
    if (err != OK)
        return err_context(err, "%s/config.json", dir);
    TRY(stage1_init(d, &c, PARAMS_BLANK, &o->s));
    TRY(load_weights(dir, "member0.safetensors", o->s.ps));
    if (!c.text_width)
        return OK;
    TRY(text_tower_open(dir, d, &o->tower));
    if (text_tower_config(o->tower)->width != c.text_width)
        FAIL(ERR_MODEL, "%s: text.json and config.json disagree on the width of texts", dir);
    return OK;
}

static void view_stage1(const cJSON *config, Parts *p)
{
    const Stage1 *s = &p->own->s;
    PartsConfig *c = &p->c;
    bool trained = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(config, "match_trained"));
    c->cell = c->query = c->heads = true;
    c->match = s->c.match && trained;
    c->caption = s->c.caption;
    c->text = p->own->tower != NULL;
    c->c = s->c.cell;
    c->pad = c->c.vocab - 2;
    c->cls = c->c.vocab - 1;
    c->q = s->c.query;
    c->queries = s->c.queries;
    c->proj = s->c.proj;
    p->cell = s->cell;
    p->qf = s->qf;
    p->query_tokens = s->query_tokens;
    p->ln_gene = s->ln_gene;
    p->cell_proj = s->cell_proj;
    p->text_proj = s->text_proj;
    p->gtm_head = s->match_head;
    p->caption_dense = s->caption_dense;
    p->caption_norm = s->caption_norm;
    p->caption_out = (Linear){s->qf.word, s->caption_bias};
    if (c->text) {
        c->t = *text_tower_config(p->own->tower);
        c->text_pool = SENTENCE_MEAN;
        c->text_unit = true;
        p->bert = text_tower_bert(p->own->tower);
    }
}

static Err load_projector(const char *dir, const DescriberConfig *d, Parts *p)
{
    Describer *x = &p->own->x;
    if (d->query_width != p->c.q.width)
        FAIL(ERR_MODEL, "%s: decoder.json does not fit stage 1 of this bundle", dir);
    TRY(describer_init(p->d, d, PARAMS_BLANK, x));
    TRY(load_weights(dir, "decoder.safetensors", x->ps));
    p->c.projector = true;
    p->c.llm_hidden = d->project;
    p->c.llm_width = d->lm.width;
    p->fc1 = x->fc1;
    p->fc2 = x->fc2;
    return OK;
}

Err parts_own_open(const char *dir, const cJSON *config, bool with_parts, Parts *p)
{
    DescriberConfig d;
    double format;
    TRY(json_number(config, "format", 0, &format));
    if (format != 1)
        FAIL(ERR_MODEL, "%s/config.json: \"format\" is not 1; this program reads bundles of format 1", dir);
    p->own = mem_must(sizeof *p->own);
    TRY(own_language(dir, &d, &p->c));
    if (!with_parts)
        return OK;
    TRY(load_stage1(dir, config, p->d, p->own));
    TRY(read_mean(dir, p->own->s.c.cell.vocab, &p->own->mean));
    view_stage1(config, p);
    return p->c.lm ? load_projector(dir, &d, p) : OK;
}

void parts_own_done(struct PartsOwn *o)
{
    if (!o)
        return;
    if (o->s.ps)
        stage1_done(&o->s);
    if (o->x.ps)
        describer_done(&o->x);
    text_tower_free(o->tower);
    free(o->mean);
    free(o);
}

/* (x - mean) / sqrt(genes of the cell), as stage1.h's cell_input_set writes it. */
Tensor *parts_own_start(Tape *t, const Parts *p, const PartsInput *in, const uint8_t *used)
{
    float *bag = mem_must((size_t)(in->b * in->l) * sizeof *bag);
    for (int64_t b = 0; b < in->b; b++) {
        int64_t from = b * in->l, n = 0;
        for (int64_t i = from; i < from + in->l; i++)
            n += used[i] && in->gene_ids[i] != p->c.cls;
        float scale = n ? 1 / sqrtf((float)n) : 0;
        for (int64_t i = from; i < from + in->l; i++) {
            bool gene = used[i] && in->gene_ids[i] != p->c.cls;
            bag[i] = gene ? (in->values[i] - p->own->mean[in->gene_ids[i]]) * scale : 0;
        }
    }
    Tensor *gene = tape_input_i32(t, in->gene_ids, 2, in->b, in->l);
    Tensor *q = stage1_start(t, &p->own->s, gene, tape_input_f32(t, bag, 2, in->b, in->l));
    free(bag);
    return q;
}
