/* The genes a model knows: names, old names, corpus statistics; a file's columns mapped to them;
 * cells turned into tokens with panel-aware values. Shared by training and inference, so that both
 * see the same numbers. */
#ifndef SCMM_MODEL_GENESPACE_H
#define SCMM_MODEL_GENESPACE_H
#include "core/base/hash.h"
#include "core/data/genes.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"

typedef struct GeneSpace {
    size_t n;    /* G */
    char **name; /* [G] */
    StrMap *by_name;
    GeneIndex *index;            /* for genespace_find */
    float *fraction, *mean, *sd; /* [G], see model.h; NULL until known */
} GeneSpace;

/* Takes copies of the names. */
CHECKED Err genespace_new(const char *const *names, size_t n, GeneSpace **out);
void genespace_free(GeneSpace *s); /* NULL ok */
/* A gene by any of its names (symbol, other case, old symbol, Ensembl id); -1. */
int32_t genespace_find(const GeneSpace *s, const char *name);
CHECKED Err genespace_map(const GeneSpace *s, const char *const *names, size_t n,
                          size_t min_matched, GeneMap *out);

/* vocab.json: a flat object gene -> id as scGPT has it, ids 0..G-1, then `special` tokens ("<pad>", "<cls>"). */
CHECKED Err genespace_read_vocab(const char *path, GeneSpace **out);
CHECKED Err genespace_write_vocab(const GeneSpace *s, const char *const *special, size_t n,
                                  const char *path);

/* Tokens of one row: count of model genes (gene[i], count[i]), i < n. Writes at most `width` tokens
 * with the largest (x - mean) * min(sd, 1.5); returns how many. Values x = log1p(1e4 * panel *
 * count / total). */
size_t genespace_tokens(const GeneSpace *s, const int32_t *gene, const float *count, size_t n,
                        double panel, size_t width, int32_t *out_gene, float *out_value);
#endif
