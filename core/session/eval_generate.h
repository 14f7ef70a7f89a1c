/* Cells of one source, measured by eval_generate.c: what the program generates, and what is drawn
 * without it (eval_generate_sources.c). */
#ifndef SCMM_SESSION_EVAL_GENERATE_H
#define SCMM_SESSION_EVAL_GENERATE_H
#include "core/data/genes.h"
#include "core/eval/expr.h"
#include "core/session/eval_internal.h"

typedef struct GenPrompt {
    char *text;
    int32_t class;
} GenPrompt;

/* The real side, made once. */
typedef struct Real {
    ExprSpace space;
    float *x; /* [n, d] all cells */
    size_t d;
    size_t **cells; /* [k] rows of each class */
    size_t *n;      /* [k] */
    float **xs;     /* [k] their coordinates */
    double **mean;  /* [k] mean log profile */
    double bandwidth;
    ExprSummary all;
} Real;

typedef struct Gen {
    size_t n;
    GenPrompt *prompt; /* [n] */
    Real real;
} Gen;

typedef struct Batch { /* cells of one source, prompt after prompt */
    size_t n, per;     /* prompts, cells of each */
    Csr counts;        /* [n * per, genes] */
    int32_t *class;    /* [n] what they should be */
    uint8_t *there;    /* [n] 0: refused */
} Batch;

/* Empty rows for g's prompts, `per` cells each of `cols` genes. */
CHECKED Err gen_batch_new(const Gen *g, size_t per, size_t cols, Batch *b);
void gen_batch_done(Batch *b);
/* The next prompt's cells, prompts in order; NULL: refused, empty rows. */
CHECKED Err gen_batch_add(Batch *b, size_t i, const Csr *cells);
/* The file's mean counts of each gene: what a generator that ignores the prompt draws from. */
CHECKED Err gen_mean_profile(EvalWork *w, const Gen *g, Batch *b);
/* Reference cells of the prompt's type, drawn again; match[n_references]: their columns to the
 * file's. */
CHECKED Err gen_resample(EvalWork *w, const Gen *g, const GeneMatch *match, Batch *b);
#endif
