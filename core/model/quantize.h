/* Weight-only quantisation, and how its matrices lie in safetensors: a matrix NAME [n,k] becomes
 * NAME and NAME.scale, F16 [n,k/32], one scale for each 32 weights of a row (device.h,
 * StoredWeight). Q8: NAME is I8 [n,k]. Q4: NAME is U8 [n,k/2]. Rows whose length is no multiple of
 * 32, and vectors, stay as they were. */
#ifndef SCMM_MODEL_QUANTIZE_H
#define SCMM_MODEL_QUANTIZE_H
#include "core/device/device.h"
#include "core/model/safetensors.h"

/* "q8", "q4": the type; false for another word. */
bool quantize_parse(const char *word, StoredType *out);
/* What a parameter of a language model becomes when `asked` is STORED_Q8 or STORED_Q4; STORED_F32:
 * it stays as it was. The tables of tokens keep eight bits: they are a small part, and their error
 * goes straight into the logits. */
StoredType quantize_as(StoredType asked, const char *name, int ndim, const int64_t *dim);
/* One row of k weights: k/32 scales, then with them k or k/2 bytes. Q8 rounds to the nearest; Q4
 * tries scales around the largest weight's and keeps the one with the least squared error. */
void quantize_scales(StoredType type, int64_t k, const float *w, uint16_t *scale);
void quantize_codes(StoredType type, int64_t k, const float *w, const uint16_t *scale, void *q);
void dequantize_row(StoredType type, int64_t k, const void *q, const void *scale, float *w);

/* I8 [rows,cols] or U8 [rows,cols/2] with NAME.scale as float32 [rows,cols]: for U8 that is twice
 * t->elements. False: t is no such tensor. */
bool dequantize_tensor(const StFile *f, const StTensor *t, float *out);
/* Is t what the parameter [dim] is stored as, in any of the forms? */
bool stored_fits(const StFile *f, const StTensor *t, int ndim, const int64_t *dim);
/* The matrix t [dim[0],dim[1]] of f as a device can read it in place; false: it must be converted.
 */
bool stored_from_file(const StFile *f, const StTensor *t, const int64_t *dim, StoredWeight *out);
#endif
