/* A restricted pickle machine: it builds numbers, strings, containers and descriptions of tensors,
 * and nothing else. A global is a name from a short list or the reading fails and names it; nothing
 * is imported or run. Values are numbered; containers hold numbers of values, so shared and
 * repeated parts cost nothing and cycles do no harm to whoever looks only as deep as needed. */
#ifndef SCMM_MODEL_PICKLE_H
#define SCMM_MODEL_PICKLE_H
#include "core/base/err.h"
#include "core/model/safetensors.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum PkKind {
    PK_MARK,
    PK_NONE,
    PK_BOOL,
    PK_INT,
    PK_BIG, /* an integer beyond 64 bits: its bytes */
    PK_FLOAT,
    PK_TEXT,
    PK_TUPLE,
    PK_LIST,
    PK_DICT, /* items: key, value, key, value, ... */
    PK_GLOBAL,
    PK_STORAGE,
    PK_TENSOR,
    PK_OPAQUE, /* something that is kept but never looked into */
} PkKind;

typedef struct PkStorage {
    const char *key; /* decimal number, not NUL-terminated */
    uint32_t key_len;
    StType type; /* ST_TYPES: untyped, numel counts bytes */
    int64_t numel;
} PkStorage;

typedef struct PkTensor {
    uint32_t storage; /* value number */
    StType type;
    int ndim;
    int64_t offset, dim[ST_MAX_DIMS], stride[ST_MAX_DIMS]; /* elements */
} PkTensor;

typedef struct PkValue {
    uint8_t kind;
    uint8_t sub;     /* of a global */
    uint32_t n, cap; /* items, or bytes of a text */
    union {
        int64_t i;
        double f;
        const char *text; /* in the input; not NUL-terminated */
        uint32_t *items;
        PkStorage *storage;
        PkTensor *tensor;
    } u;
} PkValue;

typedef struct Pickle Pickle;
/* Reads one pickle from data[0..len); *used receives its length. */
CHECKED Err pickle_read(const uint8_t *data, size_t len, Pickle **out, size_t *used);
void pickle_free(Pickle *p); /* NULL ok */
uint32_t pickle_root(const Pickle *p);
uint32_t pickle_count(const Pickle *p); /* values 0..count-1 */
const PkValue *pickle_at(const Pickle *p, uint32_t value);
/* The value of a text key; NULL. */
const PkValue *pickle_get(const Pickle *p, const PkValue *dict, const char *key);
bool pickle_text_is(const PkValue *v, const char *text);
#endif
