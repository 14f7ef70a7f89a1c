/* The autoencoder behind the generator, and the anchors made from it; see generator_train.c. */
#ifndef SCMM_TRAIN_GENERATOR_VAE_H
#define SCMM_TRAIN_GENERATOR_VAE_H
#include "core/model/generator.h"
#include "core/nn/layers.h"
#include "core/train/run.h"

typedef struct VaeOptions {
    double steps, batch, seed;
    double genes, latent, hidden, embed;
    double simulated;     /* share of cells simulated from averages */
    double mask_share;    /* share of cells that the encoder sees through another set's panel */
    double kl, kl_warmup; /* weight of the KL term, per thousand counts; steps until it is full */
    double save_every;
    double dispersion, widen, size_mean, size_sd; /* as in Generator */
    double shifts;        /* corrections kept an anchor */
    double shrink;        /* counts of the decoder's own mean mixed into each observed mean */
} VaeOptions;

typedef struct Vae {
    VaeOptions o;
    const GeneSpace *space;
    size_t n;       /* N genes */
    int32_t *gene;  /* [N] model genes, ascending */
    int32_t *of;    /* [G] -> 0..N-1, -1 */
    float *f;       /* [N] mean share of the counts, sum 1 */
    const Corpus *corpus;
    ParamSet *ps;
    Linear enc, mu, logvar, dec[3];
    Param *table, *bias; /* [N,E], [N] */
} Vae;

/* The N most expressed genes of the corpus; parameters with their start values. */
CHECKED Err vae_init(Run *r, Vae *v);
void vae_done(Vae *v);
/* One cell: x[N] log values as the encoder reads them (only genes of set `panel` too, -1: all),
 * target[N] shares of its counts (NULL: not wanted). Returns the counts in target; 0 when the
 * encoder would see nothing. */
double vae_fill(const Vae *v, const DrawnCell *cell, int panel, float *x, float *target);
/* x[B,N] -> mu, logvar [B,Z]. */
void vae_encode(Tape *t, const Vae *v, Tensor *x, Tensor **mu, Tensor **logvar);
/* z[B,Z] -> [B,N]. */
Tensor *vae_decode(Tape *t, const Vae *v, Tensor *z);
/* The decoder's weights and the anchors of all training cells. */
CHECKED Err vae_anchors(Run *r, Vae *v, Sampler *sampler, Tape *tape, Generator **out);
#endif
