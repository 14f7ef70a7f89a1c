/* Llama (Touvron et al. 2023): pre-norm decoder layers with RMSNorm, rotary positions,
 * grouped-query attention, SwiGLU. Embeddings in, last hidden rows (after the final norm) out, so
 * that callers mix words with other inputs. */
#ifndef SCMM_MODEL_LLAMA_H
#define SCMM_MODEL_LLAMA_H
#include "core/nn/kvcache.h"
#include "core/nn/layers.h"
#include <cjson/cJSON.h>

typedef struct LlamaConfig {
    int64_t width, layers, heads, kv_heads, ffn, vocab;
    float eps;
    double theta;
} LlamaConfig;

typedef struct LlamaLayer {
    Norm norm1, norm2;
    Linear q, k, v, o, gate, up, down;
} LlamaLayer;

typedef struct Llama {
    LlamaConfig c;
    Param *embed; /* [vocab,width]; also the output table */
    LlamaLayer *layer;
    Norm norm;
    float *freq; /* [width/heads/2] */
} Llama;

/* Parameters PREFIX + "model.embed_tokens.weight", "model.layers.i...", "model.norm.weight". */
CHECKED Err llama_init(ParamSet *ps, const char *prefix, const LlamaConfig *c, uint64_t seed,
                       Llama *l);
void llama_done(Llama *l);
/* x[B,T,width] at positions from..from+T-1 -> [B,T,width]. cache NULL: causal over x, len[B] (host,
 * NULL: all) of its rows in use; else x follows what the cache holds (and the caller advances it).
 */
Tensor *llama_forward(Tape *t, const Llama *l, Tensor *x, const int32_t *len, KvCache *cache);
#endif
