/* Between the files of the corpus. */
#ifndef SCMM_TRAIN_CORPUS_IMPL_H
#define SCMM_TRAIN_CORPUS_IMPL_H
#include "core/train/corpus.h"
/* Fills genes->fraction, mean, sd and every set's panel. */
CHECKED Err corpus_statistics(Corpus *c);
#endif
