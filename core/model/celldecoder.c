/* The generator's networks. */
#include "core/model/celldecoder.h"

Err cell_decoder_config_read(const cJSON *o, CellDecoderConfig *c)
{
    const struct {
        const char *name;
        int64_t *v;
    } f[] = {{"genes", &c->genes},
             {"sources", &c->sources},
             {"latent", &c->latent},
             {"hidden", &c->hidden},
             {"width", &c->width}};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, f[i].name);
        if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 && v->valuedouble <= 1 << 22))
            FAIL(ERR_MODEL, "\"%s\" is missing or out of range", f[i].name);
        *f[i].v = (int64_t)v->valuedouble;
    }
    return OK;
}

cJSON *cell_decoder_config_write(const CellDecoderConfig *c)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "genes", (double)c->genes);
    cJSON_AddNumberToObject(o, "sources", (double)c->sources);
    cJSON_AddNumberToObject(o, "latent", (double)c->latent);
    cJSON_AddNumberToObject(o, "hidden", (double)c->hidden);
    cJSON_AddNumberToObject(o, "width", (double)c->width);
    return o;
}

static Err init_decoder(const CellDecoderConfig *c, uint64_t seed, CellDecoder *x)
{
    TRY(linear_init(x->ps, "decoder.0", c->latent, c->hidden, true, seed, &x->d1));
    TRY(linear_init(x->ps, "decoder.1", c->hidden, c->hidden, true, seed, &x->d2));
    TRY(linear_init(x->ps, "decoder.2", c->hidden, c->width, true, seed, &x->d3));
    TRY(embedding_init(x->ps, "genes", c->genes, c->width, 0.05f, seed, &x->table));
    TRY(params_add(x->ps, "log_share", TAPE_DIMS(1, c->genes), &x->log_share));
    return embedding_init(x->ps, "source", c->sources, c->genes, 0, seed, &x->source);
}

Err cell_decoder_init(Device *d, const CellDecoderConfig *c, uint64_t seed, CellDecoder *x)
{
    *x = (CellDecoder){.c = *c};
    TRY(params_new(d, &x->ps));
    Err err = init_decoder(c, seed, x);
    if (err != OK)
        cell_decoder_done(x);
    return err;
}

void cell_decoder_done(CellDecoder *x)
{
    params_free(x->ps);
    *x = (CellDecoder){0};
}

Tensor *cell_decoder_forward(Tape *t, const CellDecoder *x, Tensor *z, const Tensor *source)
{
    Tensor *h = linear_forward(t, &x->d1, z, ACT_GELU);
    h = linear_forward(t, &x->d2, h, ACT_GELU);
    h = linear_forward(t, &x->d3, h, ACT_NONE);
    Tensor *logits = op_linear(t, h, &x->table->t, &x->log_share->t, ACT_NONE);
    return op_add(t, logits, op_gather(t, &x->source->t, source));
}

static Err init_encoder(const CellDecoderConfig *c, uint64_t seed, CellEncoder *x)
{
    TRY(linear_init(x->ps, "encoder.0", c->genes, c->hidden, true, seed, &x->e1));
    TRY(linear_init(x->ps, "encoder.mean", c->hidden, c->latent, true, seed, &x->mean));
    return linear_init(x->ps, "encoder.logvar", c->hidden, c->latent, true, seed, &x->logvar);
}

Err cell_encoder_init(Device *d, const CellDecoderConfig *c, uint64_t seed, CellEncoder *x)
{
    *x = (CellEncoder){0};
    TRY(params_new(d, &x->ps));
    Err err = init_encoder(c, seed, x);
    if (err != OK)
        cell_encoder_done(x);
    return err;
}

void cell_encoder_done(CellEncoder *x)
{
    params_free(x->ps);
    *x = (CellEncoder){0};
}

void cell_encoder_forward(Tape *t, const CellEncoder *e, Tensor *x, Tensor **mean, Tensor **logvar)
{
    Tensor *h = linear_forward(t, &e->e1, x, ACT_TANH);
    *mean = linear_forward(t, &e->mean, h, ACT_NONE);
    *logvar = linear_forward(t, &e->logvar, h, ACT_NONE);
}
