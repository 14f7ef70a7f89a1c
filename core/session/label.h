/* Which type of the library does a label mean? People write "CD4 T cell", "Naive CD4 T", "FCGR3A+ Mono", "T cells, CD8",
 * "B_cells_2": decorations, word order, abbreviations and gene names for surface names are seen through. */
#ifndef SCMM_SESSION_LABEL_H
#define SCMM_SESSION_LABEL_H
#include "core/model/celltypes.h"

typedef struct LabelIndex LabelIndex;
/* cd_path: assets/genes/cd_names.tsv, NULL: none. The library must outlive it. */
CHECKED Err label_index_new(const CellTypes *types, const char *cd_path, LabelIndex **out);
void label_index_free(LabelIndex *x); /* NULL ok */
/* Library type or -1. */
int32_t label_find(const LabelIndex *x, const char *label);
/* Genes a surface or protein name stands for ("CD20" -> MS4A1): NULL-terminated, or NULL when unknown. Case and hyphens
 * are ignored. */
const char *const *label_protein_genes(const LabelIndex *x, const char *name);
#endif
