/* Keys and values of the tokens already read, for decoding. One KvCache serves all layers of a
 * decoder and a batch of sequences. Memory comes in pages of KV_PAGE tokens as tokens come; nothing
 * is moved when it grows, and sequences that begin alike (beams of one prompt) share pages until
 * they write. Inference only. */
#ifndef SCMM_NN_KVCACHE_H
#define SCMM_NN_KVCACHE_H
#include "core/nn/ops.h"

typedef struct KvCache KvCache;
enum { KV_PAGE = 32 };

/* For up to `batch` sequences, `width` = kv_heads*dim; `capacity` tokens each are expected, more may
 * come. */
CHECKED Err kvcache_new(Device *d, int64_t layers, int64_t batch, int64_t capacity, int64_t width,
                        KvCache **out);
void kvcache_free(KvCache *c); /* NULL ok */
/* Forgets everything; keeps the memory. batch may change up to the one given at the start. */
void kvcache_reset(KvCache *c, int64_t batch);
/* Changes the number of sequences and keeps what was read: sequences that are new hold nothing sensible until
 * kvcache_reorder() fills them (one prompt continued as several beams). */
void kvcache_set_batch(KvCache *c, int64_t batch);
int64_t kvcache_length(const KvCache *c); /* tokens read so far (all sequences advance together) */
/* Attention of new tokens: q[B,T,H*D], k, v [B,T,HK*D] (already rotated). k and v are written
 * behind what layer holds, then every query sees all older tokens and the new ones up to itself.
 * start (i32 [B], on the device): the first start[b] cached positions of sequence b are padding
 * (left-padded prompts), NULL: none. spec: heads, kv_heads, scale are used. Call kvcache_advance(T)
 * after the last layer. */
Tensor *kvcache_attend(Tape *t, KvCache *c, int64_t layer, Tensor *q, Tensor *k, Tensor *v,
                       const AttnSpec *spec, const Tensor *start);
void kvcache_advance(KvCache *c, int64_t tokens);
size_t kvcache_bytes(const KvCache *c); /* of pages in use */
/* Sequence b continues what sequence parent[b] held (beam search); host array of batch entries. */
CHECKED Err kvcache_reorder(KvCache *c, const int32_t *parent);
#endif
