/* A causal language model as published for the Llama family (model_type "llama"): grouped-query
 * attention, rotary positions with scaling, optional biases, tied or separate output table. Names
 * of parameters as in the public checkpoints ("model.layers.0.self_attn.q_proj.weight"). */
#ifndef SCMM_MODEL_LM_H
#define SCMM_MODEL_LM_H
#include "core/base/job.h"
#include "core/model/safetensors.h"
#include "core/nn/kvcache.h"
#include "core/nn/layers.h"
#include <cjson/cJSON.h>

enum { LM_EOS_MAX = 8 };
typedef struct LmConfig {
    int64_t width, layers, heads, kv_heads, head_dim, ffn, vocab, positions;
    double eps, theta;
    RopeScaling scaling;
    bool tied, attention_bias, mlp_bias;
    int32_t bos, eos[LM_EOS_MAX];
    int n_eos;
    char prefix[16]; /* what stands before the names in the file; "" */
} LmConfig;
/* A config.json of transformers; ERR_MODEL names the member that is missing or not supported. */
CHECKED Err lm_config_read(const cJSON *o, LmConfig *c);

/* Every parameter: name and shape, in order. */
typedef Err LmEach(void *user, const char *name, int ndim, const int64_t *dim);
CHECKED Err lm_each_parameter(const LmConfig *c, LmEach *each, void *user);

typedef struct Lm Lm;
/* Every parameter of c is looked for in f, which the model keeps and closes (also on failure):
 * matrices are read where they lie in the mapped file, in their own width (float32, half, bfloat16,
 * Q8, Q4: quantize.h), so a model needs no memory beyond its file. On a GPU they are widened to
 * float32 copies. A matrix MODULE.weight may have an adapter beside it (import --no-merge):
 * MODULE.lora_A [rank,in], .lora_B [out,rank], .lora_gain [out]; see lm.c. */
CHECKED Err lm_open(const LmConfig *c, StFile *f, Device *d, JobCtl *ctl, Lm **out);
void lm_free(Lm *m); /* NULL ok */
const LmConfig *lm_config(const Lm *m);
/* Float32 arithmetic whatever the storage (the default below 64 MB of weights), or x rounded where
 * that is faster (the default above; see STORED_FAST). Returns what it was. */
bool lm_set_exact(Lm *m, bool exact);
size_t lm_bytes(const Lm *m); /* of the weights, as stored */
/* Rows that stand for the embeddings of tokens at .. at+n-1 of every prompt from now on; rows
 * [n,width] are borrowed. NULL: none. */
typedef struct LmSoft {
    int64_t at, n;
    const float *rows;
} LmSoft;
void lm_set_soft(Lm *m, const LmSoft *soft);
/* ids[n] -> rows behind the last norm, before the output table: hidden [n, width] (host). */
CHECKED Err lm_hidden(Lm *m, const int32_t *ids, int64_t n, JobCtl *ctl, float *hidden);
/* ids[n] -> logits [n, vocab] (host), computed at once, in float32. Ids must be below vocab. */
CHECKED Err lm_logits(Lm *m, const int32_t *ids, int64_t n, float *logits);

/* Greedy takes the largest logit, of equal ones the smallest id. Sampling divides by the temperature, keeps the
 * fewest likeliest ids that reach top_p (equal ones by id; always one) and draws the i-th new id with the i-th number
 * of rng_make(seed, 0x6c6d). Beams: lm_decode.c. */
typedef struct LmDecode {
    int max_new;        /* tokens */
    int min_new;        /* the end token is not chosen before */
    int beams;          /* 1: greedy or sampling */
    double temperature; /* > 0: sampling */
    double top_p;       /* 1: all */
    uint64_t seed;
    bool logprobs;
    void (*on_token)(void *user, int32_t id); /* NULL; not with beams */
    void *user;
} LmDecode;
typedef struct LmResult {
    int32_t *ids; /* new ones, with the end token when it was written */
    size_t n;
    double *logprob, *prompt_logprob; /* [n], [prompt-1]; NULL unless asked for */
} LmResult;
/* Continues prompt[n], n >= 1. */
CHECKED Err lm_generate(Lm *m, const int32_t *prompt, size_t n, const LmDecode *how, JobCtl *ctl,
                        LmResult *out);
void lm_result_done(LmResult *r);

/* For lm_*.c: last logits of tokens x[b,t] behind the cache: all [b,t,vocab] or the last [b,vocab].
 * ctl is asked after each layer of a prompt. */
CHECKED Err lm_step(Lm *m, const int32_t *ids, int64_t b, int64_t t, KvCache *cache, bool all,
                    JobCtl *ctl, float *logits);
Device *lm_device(const Lm *m);
#endif
