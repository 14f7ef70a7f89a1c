/* A small byte-pair tokenizer of our own decoder: 256 bytes, then merges learned from the training
 * texts, in the order they were learned. A word carries the blank before it. Ids: 0 <pad>, 1 <s>, 2
 * </s>, 3..258 bytes, then one a merge. Special: words can never merge across blanks, so a prefix
 * that ends before a blank is a token prefix. */
#ifndef SCMM_MODEL_BPE_H
#define SCMM_MODEL_BPE_H
#include "core/base/err.h"
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

enum { BPE_PAD = 0, BPE_BOS = 1, BPE_EOS = 2, BPE_BYTE = 3, BPE_MERGED = BPE_BYTE + 256 };
typedef struct Bpe Bpe;
/* Learns up to `merges` merges (pairs seen at least twice; most frequent first, ties by the smaller
 * pair). */
CHECKED Err bpe_learn(const char *const *texts, size_t n, size_t merges, Bpe **out);
/* {"merges": [[a, b], ...]} */
CHECKED Err bpe_read(const cJSON *o, Bpe **out);
cJSON *bpe_write(const Bpe *b);
void bpe_free(Bpe *b);         /* NULL ok */
size_t bpe_size(const Bpe *b); /* ids */
const int32_t *bpe_merge(const Bpe *b, int32_t id); /* the two ids that became id, >= BPE_MERGED */
/* The same tokenizer as a tokenizer.json (bpe_json.c). */
cJSON *bpe_tokenizer_json(const Bpe *b);
/* Appends the ids of text to *ids (caller frees; grown as needed); no <s>, </s>. */
CHECKED Err bpe_encode(const Bpe *b, const char *text, size_t len, int32_t **ids, size_t *n,
                       size_t *cap);
/* The bytes of an id; specials give "". */
const char *bpe_bytes(const Bpe *b, int32_t id, size_t *len);
#endif
