/* Vectors of the library's texts in the user's cache folder (core/data/cache.h), for models that
 * read every text through all their layers: minutes with a published text side, else at each start.
 */
#ifndef SCMM_MODEL_LIBRARY_KEPT_H
#define SCMM_MODEL_LIBRARY_KEPT_H
#include <stdbool.h>
#include <stddef.h>

/* The name of the vectors that this model (hash of its files, device) gives to these texts; other
 * files or texts have another. Caller frees. */
char *library_kept_key(const char *model_hash, const char *device, const char *const *texts,
                       size_t n);
/* vec[n,d] as it was kept; false, and vec is anything, when there is none or it is damaged. */
bool library_kept_read(const char *key, size_t n, size_t d, float *vec);
/* Keeps vec[n,d]; a folder that is full or cannot be written is no error: nothing is kept. */
void library_kept_write(const char *key, size_t n, size_t d, const float *vec);
#endif
