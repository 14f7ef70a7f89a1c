/* JSON of foreign files by cJSON, after a look at what it would cost: UTF-8, nesting and the number
 * of values are checked first, so that a hostile file cannot take memory beyond its size by far. */
#ifndef SCMM_MODEL_JSON_READ_H
#define SCMM_MODEL_JSON_READ_H
#include "core/base/err.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* text[len] is one JSON value and nothing but blanks behind it. ERR_MODEL says what is wrong. */
CHECKED Err json_check(const char *text, size_t len);
/* The checked value; the caller cJSON_Delete()s. */
CHECKED Err json_parse(const char *text, size_t len, cJSON **out);
/* The object in a file of at most max_bytes; errors name the path. */
CHECKED Err json_read_object(const char *path, size_t max_bytes, cJSON **out);
/* Members: `otherwise` when missing or null; ERR_MODEL when of another type or out of range. */
CHECKED Err json_int(const cJSON *o, const char *key, long long lo, long long hi,
                     long long otherwise, long long *out);
CHECKED Err json_number(const cJSON *o, const char *key, double otherwise, double *out);
CHECKED Err json_bool(const cJSON *o, const char *key, bool otherwise, bool *out);
const char *json_text(const cJSON *o, const char *key); /* NULL when it is no string */
#endif
