/* Sentence vectors of known texts, so that the library need not be read again at every start: a
 * text's hash and its text tower vector as int8 with one scale. */
#ifndef SCMM_MODEL_TEXTCACHE_H
#define SCMM_MODEL_TEXTCACHE_H
#include "core/model/bert.h"

typedef struct TextCache TextCache;
/* An empty cache for vectors of `width` numbers. */
TextCache *textcache_new(size_t width);
void textcache_free(TextCache *c); /* NULL ok */
/* Adds the vectors of a file; ERR_MODEL when it is damaged or of another width. */
CHECKED Err textcache_load(TextCache *c, const char *path);
/* Only the texts named (NULL: all). */
CHECKED Err textcache_save(const TextCache *c, const char *path, const char *const *only, size_t n);
/* out[n,W] unit rows; unknown texts are read by the tower and kept. Known and new ones give the
 * same numbers (both pass through the stored form). */
CHECKED Err textcache_embed(TextCache *c, TextTower *t, const char *const *texts, size_t n,
                            JobCtl *ctl, float *out);
#endif
