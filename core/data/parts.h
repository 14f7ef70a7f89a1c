/* Reading a stretch of an array of numbers by several threads: libhdf5 says where its parts lie (one thread), the
 * parts are read, unpacked and converted at once. */
#ifndef SCMM_DATA_PARTS_H
#define SCMM_DATA_PARTS_H
#include "core/data/store.h"

/* As array_read_1d, the same values. Only the store's own thread may ask. */
CHECKED Err array_read_parts(Array *a, uint64_t start, uint64_t count, MemType type, void *out);

#endif
