/* A small tree of named values: what goes into uns of an h5ad, and what is read from there. */
#ifndef SCMM_DATA_TREE_H
#define SCMM_DATA_TREE_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum TreeKind {
    TREE_DICT,
    TREE_TEXT,
    TREE_INT,
    TREE_FLOAT,
    TREE_BOOL,
    TREE_TEXTS,
    TREE_INTS, /* [rows] or [rows, cols] */
    TREE_FLOATS
} TreeKind;

typedef struct Tree {
    char *name;
    TreeKind kind;
    struct Tree **items; /* dict, in order of addition */
    size_t n;            /* items or texts */
    char *text;
    char **texts;
    double number;   /* int, float, bool */
    int64_t integer; /* int, exact */
    double *numbers;
    size_t rows, cols; /* of numbers; cols 0: one dimension */
} Tree;

Tree *tree_new(void);    /* an empty dict without a name */
void tree_free(Tree *t); /* NULL ok */
/* The dict `name` in `t`, made when it is not there (replacing a value of that name). */
Tree *tree_dict(Tree *t, const char *name);
/* Values by name in a dict, replacing what was there. All copy. */
void tree_set_text(Tree *t, const char *name, const char *text);
void tree_set_int(Tree *t, const char *name, int64_t v);
void tree_set_float(Tree *t, const char *name, double v);
void tree_set_bool(Tree *t, const char *name, bool v);
void tree_set_texts(Tree *t, const char *name, const char *const *texts, size_t n);
/* cols 0: a list of `rows` numbers. `integers`: stored as int64. */
void tree_set_numbers(Tree *t, const char *name, const double *v, size_t rows, size_t cols,
                      bool integers);
bool tree_has(const Tree *t, const char *name); /* a dict, an item of it */
/* "neighbors/params/method"; NULL when it is not there. */
const Tree *tree_get(const Tree *t, const char *path);
/* Deep copies of all items of `from` into `into` (which wins only where `from` has nothing of that
 * name). */
void tree_merge(Tree *into, const Tree *from);
#endif
