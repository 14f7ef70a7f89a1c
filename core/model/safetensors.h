/* safetensors files: a JSON header with names, types, shapes, then the data. The reader maps the
 * file and checks every size against it before anything is used; the writer writes beside the
 * target and renames. */
#ifndef SCMM_MODEL_SAFETENSORS_H
#define SCMM_MODEL_SAFETENSORS_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef enum StType {
    ST_BOOL,
    ST_U8,
    ST_I8,
    ST_I16,
    ST_U16,
    ST_F16,
    ST_BF16,
    ST_I32,
    ST_U32,
    ST_F32,
    ST_F64,
    ST_I64,
    ST_U64,
    ST_TYPES
} StType;
const char *st_type_name(StType t); /* "F32" */
size_t st_type_size(StType t);

#define ST_MAX_DIMS 8
typedef struct StTensor {
    char *name;
    StType type;
    int ndim;
    int64_t dim[ST_MAX_DIMS];
    size_t elements, bytes;
    const void *data; /* inside the mapping */
} StTensor;

typedef struct StFile StFile;
CHECKED Err st_open(const char *path, StFile **out);
void st_close(StFile *f); /* NULL ok */
size_t st_count(const StFile *f);
const StTensor *st_at(const StFile *f, size_t i);
const StTensor *st_find(const StFile *f, const char *name); /* NULL */
/* __metadata__ value; NULL. */
const char *st_meta(const StFile *f, const char *key);
const char *st_path(const StFile *f);
/* Any number type to float32 [elements]. An I8 tensor with a companion NAME.scale (F32 or F16, one
 * number a row, row = first dimension) is dequantised; so is one in groups (quantize.h).
 */
CHECKED Err st_read_f32(const StFile *f, const StTensor *t, float *out);

float st_half_to_float(uint16_t h);
uint16_t st_float_to_half(float x); /* nearest even */

typedef struct StWriter StWriter;
StWriter *st_writer_new(void);
void st_writer_free(StWriter *w); /* NULL ok */
void st_writer_meta(StWriter *w, const char *key, const char *value);
/* Copies the data. */
CHECKED Err st_writer_add(StWriter *w, const char *name, StType type, int ndim, const int64_t *dim,
                          const void *data);
/* Float data stored as F32, F16, BF16, or I8 rows with NAME.scale (ndim >= 2). */
CHECKED Err st_writer_add_f32(StWriter *w, const char *name, StType as, int ndim,
                              const int64_t *dim, const float *data);
CHECKED Err st_writer_save(const StWriter *w, const char *path);
#endif
