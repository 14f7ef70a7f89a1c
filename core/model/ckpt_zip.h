/* The zip container of torch.save: stored records only, found through the central directory. */
#ifndef SCMM_MODEL_CKPT_ZIP_H
#define SCMM_MODEL_CKPT_ZIP_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct ZipRecord {
    const char *name; /* not NUL-terminated */
    size_t name_len;
    const uint8_t *data;
    uint64_t size;
} ZipRecord;

/* All records of an archive in memory; *out is the caller's to free. ERR_MODEL for anything that
 * torch does not write: compression, encryption, overlaps, names twice, places outside the file. */
CHECKED Err zip_records(const uint8_t *file, size_t size, ZipRecord **out, size_t *n);
#endif
