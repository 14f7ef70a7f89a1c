/* Text to cell. A decoder turns a latent point into the expression of a cell; anchors, one for each
 * (training set, cell type, tissue), say where the cells of a type lie in the latent space. A prompt
 * is a weight for every anchor; a cell is an anchor drawn by weight, a point drawn around it, the
 * decoder's expression, gene-wise noise, a library size, and Poisson counts. No training cell is
 * kept, so none can come out.
 *
 * Attention: a prompt vector attends to the anchors (keys: the sentences of the type and
 * "TYPE of the TISSUE"; values: the latent clouds).
 *
 * All arithmetic here is plain C on the host in a fixed order: the same seed gives the same counts
 * on any device and at any thread count. Made by core/train/generator_train.c. */
#ifndef SCMM_MODEL_GENERATOR_H
#define SCMM_MODEL_GENERATOR_H
#include "core/base/job.h"
#include "core/base/rng.h"
#include "core/data/csr.h"
#include "core/model/model.h"

typedef struct Generator {
    size_t genes, latent, hidden, embed; /* N genes it can express, Z, H, E */
    int32_t *gene;                       /* [N] model genes, ascending */
    /* Decoder: h1 = gelu(w1 z + b1), h2 = gelu(w2 h1 + b2), e = w3 h2 + b3, log expression =
     * table^T e + bias. */
    float *w1, *b1, *w2, *b2, *w3, *b3; /* [H,Z] [H] [H,H] [H] [E,H] [E] */
    float *table, *bias;                /* [E,N] [N] */
    size_t n_anchors;                   /* A */
    Anchor *anchor;                     /* [A], strings owned */
    int32_t *type;                      /* [A] library type, -1 when the library lacks it */
    float *mean;                        /* [A,Z] */
    float *spread; /* [A,Z(Z+1)/2] lower triangle of the Cholesky factor, by rows */
    size_t text_width;
    float *text;         /* [A,W] sentence vector of "TYPE of the TISSUE", unit length */
    size_t *first_shift; /* [A+1] anchor a's corrections are first_shift[a] .. */
    int32_t *shift_gene; /* 0..N-1 */
    float *shift;        /* added to the log expression: what the decoder smooths away */
    double dispersion;   /* shape of the gene-wise Gamma noise; 0: none */
    double widen;        /* factor on the spread */
    double size_mean, size_sd; /* of log total counts, when nothing else is known */
} Generator;

/* DIR/generator.json and DIR/generator.safetensors. n_genes: genes of the model (checked against),
 * text_width of its text tower. ERR_MODEL names the file and the element. */
CHECKED Err generator_load(const char *dir, const CellTypes *types, size_t n_genes,
                           size_t text_width, Generator **out);
CHECKED Err generator_save(const Generator *g, const char *dir);
void generator_free(Generator *g); /* NULL ok */
/* Arrays of the given sizes, zeroed; n_shift corrections in all. */
CHECKED Err generator_new(size_t genes, size_t latent, size_t hidden, size_t embed,
                          size_t n_anchors, size_t text_width, size_t n_shift, Generator **out);

/* Log expression of n points z[n,Z] -> out[n,N], not normalised. */
void generator_decode(const Generator *g, const float *z, size_t n, float *out);
/* A point around an anchor: z[Z]. */
void generator_point(const Generator *g, size_t anchor, Rng *r, float *z);

/* Attention weights [A], sum 1, of a prompt's sentence vector raw[W], given the sentence vectors of
 * the library's texts text[n_texts,W] and the type each belongs to. */
void generator_attend(const Generator *g, const float *raw, const float *text,
                      const int32_t *text_type, size_t n_texts, float *weights);

/* x = log1p(1e4 * share) of some model genes at the middle of every anchor, out[A,n]; genes outside
 * the generator give 0. Costs a decoding of every anchor. */
CHECKED Err generator_expression(const Generator *g, const int32_t *genes, size_t n, float *out);

/* s->genes' columns; model genes outside the generator stay 0. ERR_FEW_GENES when the columns and
 * the generator share fewer than 50 genes. */
CHECKED Err generator_draw(const Generator *g, const GenerateSpec *s, JobCtl *ctl, Csr *counts,
                           int32_t *anchor);
#endif
