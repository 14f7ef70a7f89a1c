/* The describer's networks. */
#include "core/model/describer.h"
#include "core/base/mem.h"

Err describer_config_read(const cJSON *o, DescriberConfig *c)
{
    *c = (DescriberConfig){.lm = {.eps = 1e-5f, .theta = 10000}};
    const struct {
        const char *name;
        int64_t *v;
    } f[] = {{"hidden_size", &c->lm.width},
             {"num_hidden_layers", &c->lm.layers},
             {"num_attention_heads", &c->lm.heads},
             {"num_key_value_heads", &c->lm.kv_heads},
             {"intermediate_size", &c->lm.ffn},
             {"vocab_size", &c->lm.vocab},
             {"queries", &c->queries},
             {"query_width", &c->query_width},
             {"cell_width", &c->cell_width},
             {"project", &c->project},
             {"prefix_genes", &c->prefix_genes}};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, f[i].name);
        if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 && v->valuedouble <= 1 << 22))
            FAIL(ERR_MODEL, "\"%s\" is missing or out of range", f[i].name);
        *f[i].v = (int64_t)v->valuedouble;
    }
    if (c->lm.width % c->lm.heads || c->lm.width / c->lm.heads % 2 || c->lm.heads % c->lm.kv_heads)
        FAIL(ERR_MODEL, "hidden_size and the numbers of heads do not fit");
    return OK;
}

cJSON *describer_config_write(const DescriberConfig *c)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "hidden_size", (double)c->lm.width);
    cJSON_AddNumberToObject(o, "num_hidden_layers", (double)c->lm.layers);
    cJSON_AddNumberToObject(o, "num_attention_heads", (double)c->lm.heads);
    cJSON_AddNumberToObject(o, "num_key_value_heads", (double)c->lm.kv_heads);
    cJSON_AddNumberToObject(o, "intermediate_size", (double)c->lm.ffn);
    cJSON_AddNumberToObject(o, "vocab_size", (double)c->lm.vocab);
    cJSON_AddNumberToObject(o, "queries", (double)c->queries);
    cJSON_AddNumberToObject(o, "query_width", (double)c->query_width);
    cJSON_AddNumberToObject(o, "cell_width", (double)c->cell_width);
    cJSON_AddNumberToObject(o, "project", (double)c->project);
    cJSON_AddNumberToObject(o, "prefix_genes", (double)c->prefix_genes);
    return o;
}

cJSON *describer_lm_config(const DescriberConfig *c)
{
    const struct {
        const char *name;
        double v;
    } f[] = {{"hidden_size", (double)c->lm.width},
             {"num_hidden_layers", (double)c->lm.layers},
             {"num_attention_heads", (double)c->lm.heads},
             {"num_key_value_heads", (double)c->lm.kv_heads},
             {"intermediate_size", (double)c->lm.ffn},
             {"vocab_size", (double)c->lm.vocab},
             {"rms_norm_eps", 1e-5}, /* a float32 of the configuration would show its rounding */
             {"rope_theta", c->lm.theta},
             {"max_position_embeddings", 2048},
             {"pad_token_id", BPE_PAD},
             {"bos_token_id", BPE_BOS},
             {"eos_token_id", BPE_EOS}};
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "model_type", "llama");
    cJSON *list = cJSON_AddArrayToObject(o, "architectures");
    cJSON_AddItemToArray(list, cJSON_CreateString("LlamaForCausalLM"));
    cJSON_AddStringToObject(o, "hidden_act", "silu");
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        cJSON_AddNumberToObject(o, f[i].name, f[i].v);
    cJSON_AddBoolToObject(o, "tie_word_embeddings", true);
    return o;
}

static Err init_parts(const DescriberConfig *c, uint64_t seed, Describer *x)
{
    TRY(llama_init(x->ps, "llm_model.", &c->lm, seed, &x->lm));
    TRY(linear_init(x->ps, "llm_proj.fc1", c->query_width, c->project, true, seed, &x->fc1));
    TRY(linear_init(x->ps, "llm_proj.fc2", c->project, c->lm.width, true, seed, &x->fc2));
    return linear_init(x->ps, "gene_tokens", c->cell_width, c->lm.width, true, seed, &x->gene);
}

Err describer_init(Device *d, const DescriberConfig *c, uint64_t seed, Describer *x)
{
    *x = (Describer){.c = *c};
    TRY(params_new(d, &x->ps));
    if (seed == PARAMS_BLANK)
        params_blank(x->ps);
    Err err = init_parts(c, seed, x);
    if (err != OK)
        describer_done(x);
    return err;
}

void describer_done(Describer *x)
{
    llama_done(&x->lm);
    params_free(x->ps);
    *x = (Describer){0};
}

Tensor *describer_cell(Tape *t, const Describer *x, Tensor *query)
{
    return linear_forward(t, &x->fc2, linear_forward(t, &x->fc1, query, ACT_RELU), ACT_NONE);
}

Tensor *describer_genes(Tape *t, const Describer *x, const Param *table, const Tensor *index)
{
    Tensor *rows = op_gather(t, op_detach(t, (Tensor *)&table->t), index);
    return linear_forward(t, &x->gene, rows, ACT_NONE);
}

Tensor *describer_logits(Tape *t, const Describer *x, Tensor *h, Tensor *genes)
{
    Tensor *words = op_linear(t, h, &x->lm.embed->t, NULL, ACT_NONE);
    return op_concat2(t, 2, words, op_matmul(t, h, false, genes, true, 1));
}
