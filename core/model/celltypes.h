/* The library of cell types (assets/celltypes): names, texts in own words, what a type does, marker
 * genes, and the ancestors of each in the Cell Ontology. Texts feed training and retrieval, markers
 * feed the evidence beside the model. Immutable after loading. */
#ifndef SCMM_MODEL_CELLTYPES_H
#define SCMM_MODEL_CELLTYPES_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StrList {
    char **v;
    size_t n;
} StrList;

typedef struct CellType {
    char *id;       /* "CL:0000236" */
    char *name;     /* "B cell" */
    char *lineage;  /* "lymphoid lineage" */
    char *function; /* "recognises ... cell." follows "It " */
    StrList synonyms, other_languages, tissues, texts;
    StrList high, low;  /* gene symbols, best first */
    int32_t *ancestors; /* library types that are ancestors (near ones first) */
    size_t n_ancestors;
} CellType;

typedef struct CellTypes CellTypes;

/* Reads every DIR/x.json (sorted by file name; a type that comes twice keeps its first entry) and
 * DIR/hierarchy.tsv (columns id, name, parents separated by blanks). ERR_MODEL
 * naming file and entry when something is missing or of the wrong kind. */
CHECKED Err celltypes_load(const char *dir, CellTypes **out);
void celltypes_free(CellTypes *c); /* NULL ok */
size_t celltypes_count(const CellTypes *c);
const CellType *celltypes_at(const CellTypes *c, size_t i);
/* Index by CL id ("CL:0000236"); -1. */
int32_t celltypes_find_id(const CellTypes *c, const char *id);
/* Index by CL id, name, synonym or a name in another language, ignoring case, hyphens, blanks at
 * the ends, "cells" for "cell" and a plural s; -1. Plain name wins over synonym. */
int32_t celltypes_find(const CellTypes *c, const char *name);
/* a is b, or b is among a's ancestors. */
bool celltypes_is_a(const CellTypes *c, int32_t a, int32_t b);
/* Same, or one is an ancestor of the other. */
bool celltypes_related(const CellTypes *c, int32_t a, int32_t b);
/* The same questions on CL ids, for ids outside the library that the hierarchy table has. */
bool celltypes_id_is_a(const CellTypes *c, const char *a, const char *b);
/* The ontology's name of an id of the hierarchy table, NULL. */
const char *celltypes_ontology_name(const CellTypes *c, const char *id);
#endif
