/* Text to cell, the part that writes cells: a variational autoencoder over counts. A latent z gives
 * the shares of all genes by softmax(E h(z) + log f + source bias); counts are Poisson draws. Its
 * prior is a mixture over anchors, one per (type, tissue) of the training cells, each with mean and
 * covariance of z; the text chooses among them by cross-attention: the prompt is the query, the
 * texts of anchors are the keys, their priors the values. Latent models of counts: Lopez et al.
 * 2018 (scVI); the anchor prior is ours. */
#ifndef SCMM_MODEL_CELLDECODER_H
#define SCMM_MODEL_CELLDECODER_H
#include "core/nn/layers.h"
#include <cjson/cJSON.h>

typedef struct CellDecoderConfig {
    int64_t genes;                 /* rows of the output table */
    int64_t sources;               /* training files, each with its own bias */
    int64_t latent, hidden, width; /* 24, 256, 96 */
} CellDecoderConfig;
CHECKED Err cell_decoder_config_read(const cJSON *o, CellDecoderConfig *c);
cJSON *cell_decoder_config_write(const CellDecoderConfig *c);

typedef struct CellDecoder {
    CellDecoderConfig c;
    ParamSet *ps; /* owned */
    Linear d1, d2, d3;
    Param *table, *log_share, *source; /* [genes,width], [genes], [sources,genes] */
} CellDecoder;
CHECKED Err cell_decoder_init(Device *d, const CellDecoderConfig *c, uint64_t seed, CellDecoder *x);
void cell_decoder_done(CellDecoder *x);
/* z[B,latent], source i32 [B] -> logits [B,genes]. */
Tensor *cell_decoder_forward(Tape *t, const CellDecoder *x, Tensor *z, const Tensor *source);

/* The recognition side, needed for training only. */
typedef struct CellEncoder {
    ParamSet *ps; /* owned */
    Linear e1, mean, logvar;
} CellEncoder;
CHECKED Err cell_encoder_init(Device *d, const CellDecoderConfig *c, uint64_t seed, CellEncoder *x);
void cell_encoder_done(CellEncoder *x);
/* x[B,genes] -> mean and log variance of z [B,latent]. */
void cell_encoder_forward(Tape *t, const CellEncoder *e, Tensor *x, Tensor **mean, Tensor **logvar);
#endif
