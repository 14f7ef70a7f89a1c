/* The operations of the model, recorded on a tape. Shapes: B sequences, T tokens, C channels, [...]
 * any leading dimensions. A result has a gradient when an argument has one and the tape records.
 * Arguments marked "const" carry none. Nothing here changes its arguments. */
#ifndef SCMM_NN_OPS_H
#define SCMM_NN_OPS_H
#include "core/nn/tape.h"

/* ---- products ---- */
/* act(x[...,K] w[N,K]^T + b[N]) -> [...,N]; b NULL: none. */
Tensor *op_linear(Tape *t, Tensor *x, Tensor *w, Tensor *b, Act act);
/* Inference: y[j][..,n_j] = x W_j^T for `count` weights that the device borrowed (device.h) and that
 * share x; out[j] = n_j. */
void op_linear_stored(Tape *t, StoredMode mode, Tensor *x, int count, const PackedWeight *const *w,
                      const int64_t *out, Tensor **y);
/* Inference: rows index (i32, any shape [..]) of a borrowed weight of `cols` columns -> [..,cols].
 */
Tensor *op_gather_stored(Tape *t, const PackedWeight *w, int64_t cols, const Tensor *index);
/* a[...,M,K] b[...,K,N] -> [...,M,N], batches equal, or b 2-D and shared. ta: a is [...,K,M]; tb: b
 * is [...,N,K]. Times alpha. */
Tensor *op_matmul(Tape *t, Tensor *a, bool ta, Tensor *b, bool tb, float alpha);

/* ---- element by element ---- */
/* x + alpha*y. y has x's shape, or repeats: its shape (leading 1s dropped) is the end of x's shape,
 * such as [C] or [1,Q,C] added to [B,Q,C]. */
Tensor *op_add(Tape *t, Tensor *x, Tensor *y);
Tensor *op_add_scaled(Tape *t, Tensor *x, float alpha, Tensor *y);
Tensor *op_mul(Tape *t, Tensor *x, Tensor *y); /* same rule */
Tensor *op_scale(Tape *t, Tensor *x, float a);
/* x[...,C] times one number per row: s has tensor_rows(x) elements. */
Tensor *op_mul_rows(Tape *t, Tensor *x, Tensor *s);
Tensor *op_act(Tape *t, Tensor *x, Act act);
Tensor *op_swiglu(Tape *t, Tensor *gate, Tensor *up); /* silu(gate)*up */
/* p = 0, or a tape that does not record: returns x. */
Tensor *op_dropout(Tape *t, Tensor *x, float p);
/* x without its history. */
Tensor *op_detach(Tape *t, Tensor *x);

/* ---- rows ---- */
Tensor *op_layernorm(Tape *t, Tensor *x, Tensor *gamma, Tensor *beta, float eps); /* [...,C] */
Tensor *op_rmsnorm(Tape *t, Tensor *x, Tensor *gamma, float eps);
Tensor *op_l2norm(Tape *t, Tensor *x);  /* rows to length 1; x/max(|x|,1e-12) */
Tensor *op_softmax(Tape *t, Tensor *x); /* over the last dimension */

/* ---- shapes ---- */
/* Same elements, other dimensions; shares memory and gradient. dims: TAPE_DIMS(ndim, ...). */
Tensor *op_reshape(Tape *t, Tensor *x, const int64_t *dims);
/* [B,...] from x[1,...] by repetition (query tokens). */
Tensor *op_repeat(Tape *t, Tensor *x, int64_t batch);
/* Along axis; parts have equal other dimensions. */
Tensor *op_concat(Tape *t, int axis, int n, Tensor *const *parts);
Tensor *op_concat2(Tape *t, int axis, Tensor *a, Tensor *b);
/* x[..., from:from+count, ...] along axis. */
Tensor *op_slice(Tape *t, Tensor *x, int axis, int64_t from, int64_t count);
/* Rows of table[V,C] by index (i32, any shape [..]) -> [..,C]; a negative index gives zeros
 * (padding), an index >= V is the caller's bug (check ids when reading them). With table = x[B*T,C]
 * and index b*T+t: picks positions. */
Tensor *op_gather(Tape *t, Tensor *table, const Tensor *index);
/* x[B,T,C] -> [B,C]: position t of every sequence. */
Tensor *op_take(Tape *t, Tensor *x, int64_t position);
/* x[B,T,C] -> [B,C]: position[b] (host array of B) of sequence b. */
Tensor *op_take_each(Tape *t, Tensor *x, const int32_t *position);
/* sum_t w[b,t] x[b,t,:]: x[B,T,C], w[B,T] -> [B,C]. Means with a mask: w = mask/count. */
Tensor *op_token_sum(Tape *t, Tensor *x, Tensor *w);
/* Mean over the first len[b] tokens (i32 host array of B; 0 gives zeros). */
Tensor *op_token_mean(Tape *t, Tensor *x, const int32_t *len);

/* ---- attention ---- */
typedef struct AttnSpec {
    int64_t heads;
    int64_t kv_heads;       /* 0: heads */
    float scale;            /* 0: 1/sqrt(C/heads) */
    bool causal;            /* key j visible to query i when j <= i + (Tk - Tq) */
    int64_t prefix;         /* > 0: keys from `prefix` on are visible to their own row only (scGPT
                               generative) */
    const Tensor *len;      /* i32 [B] valid keys, NULL: all */
    const Tensor *first;    /* i32 [B] keys before it are hidden (left padding), NULL: 0 */
    const Tensor *key_mask; /* u8 [B,Tk], 1 = visible, NULL: all */
    float drop;             /* dropout of the weights, while recording */
} AttnSpec;
/* q[B,Tq,H*D], k and v [B,Tk,HK*D] -> [B,Tq,H*D]. A query that sees no key gives zeros. */
Tensor *op_attention(Tape *t, Tensor *q, Tensor *k, Tensor *v, const AttnSpec *spec);
/* Self-attention from one product: qkv[B,T,(H+2*HK)*D], Q first, then K, then V. */
Tensor *op_attention_qkv(Tape *t, Tensor *qkv, const AttnSpec *spec);
/* Rotary positions (half rotation) on x[B,T,H*D]: position i32 [B,T] or [T]; freq f32 [D/2] (see
 * rope_frequencies). */
Tensor *op_rope(Tape *t, Tensor *x, int64_t heads, const Tensor *position, const Tensor *freq);

/* ---- similarity ---- */
/* S[b,n] = max_q <cell[b,q,:], text[n,:]>, cell[B,Q,D], text[N,D]; the gradient goes to the first q
 * that wins. */
Tensor *op_max_similarity(Tape *t, Tensor *cell, Tensor *text);

/* ---- scalars and losses; results are [1] ---- */
Tensor *op_sum(Tape *t, Tensor *x);
Tensor *op_mean(Tape *t, Tensor *x);
/* sum_i weight[i]*loss[i] of scalar losses; NULL losses are skipped. */
Tensor *op_weighted_sum(Tape *t, int n, Tensor *const *loss, const float *weight);
typedef struct CeSpec {
    float smoothing;          /* integer targets only */
    const Tensor *mask;       /* u8 [N,V] or [V]: 1 = class excluded; NULL: none */
    const Tensor *row_weight; /* f32 [N]; NULL: 1 */
} CeSpec;
/* Mean over the not ignored rows of -log p[target]; logits[...,V] (N rows), target i32 [N], -100
 * ignored. No such row: 0. spec NULL: plain. */
Tensor *op_cross_entropy(Tape *t, Tensor *logits, const Tensor *target, const CeSpec *spec);
/* 1/N sum over rows of -sum_j target_j log p_j (with weights); target[N,V] >= 0, constant. */
Tensor *op_cross_entropy_soft(Tape *t, Tensor *logits, const Tensor *target, const CeSpec *spec);
/* sum w (x-y)^2 / sum w; weight NULL: 1, else f32 of x's shape. */
Tensor *op_mse(Tape *t, Tensor *x, Tensor *y, const Tensor *weight);
/* mu + exp(logvar/2)*noise, noise by the tape's seed; when the tape does not record too. */
Tensor *op_reparam(Tape *t, Tensor *mu, Tensor *logvar);
/* 1/B sum over rows of KL(N(mu,exp(logvar)) || N(0,1)); mu, logvar [B,D]. */
Tensor *op_kl(Tape *t, Tensor *mu, Tensor *logvar);

#endif
