/* A cell encoder that starts from pre-trained weights. */
#ifndef SCMM_TRAIN_START_ENCODER_H
#define SCMM_TRAIN_START_ENCODER_H
#include "core/model/genespace.h"
#include "core/model/scgpt.h"

/* Copies what DIR (best_model.pt, vocab.json: stage "pretrain", or scGPT itself) has into the
 * encoder, whose parameters are named PREFIX + scGPT's names. Gene rows go by name, the last row is
 * <cls>; genes that DIR does not know keep their row. ERR_MODEL names a tensor that is missing or
 * of another shape. */
CHECKED Err start_from_encoder(ParamSet *ps, const char *prefix, const Scgpt *cell,
                               const GeneSpace *genes, const char *dir);
#endif
