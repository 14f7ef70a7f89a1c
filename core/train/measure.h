/* Names-only annotation accuracy of stage 1: on training files' cells kept apart, and on labelled
 * files that the configuration names under "report" (measured, never trained on or chosen by). */
#ifndef SCMM_TRAIN_MEASURE_H
#define SCMM_TRAIN_MEASURE_H
#include "core/model/stage1.h"
#include "core/train/run.h"

typedef struct Measure Measure;
/* "report": [{name, file, key, labels: {file label: candidate text}}]. */
CHECKED Err measure_new(Run *r, Measure **out);
void measure_free(Measure *m); /* NULL ok */
/* Measures a member and adds its similarities to the mean over members. */
CHECKED Err measure_member(Measure *m, const Stage1 *s, double tau);
/* Writes OUT/measures.json: per set n, accuracy and macro-F1 of each member and of their mean. */
CHECKED Err measure_write(const Measure *m);
#endif
