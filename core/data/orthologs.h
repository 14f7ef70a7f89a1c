/* Mouse gene symbols to their one human counterpart, by the shipped table. */
#ifndef SCMM_DATA_ORTHOLOGS_H
#define SCMM_DATA_ORTHOLOGS_H
#include "core/base/err.h"

/* The human symbol of a mouse symbol, NULL when it has none or several; valid for the life of the
 * process. The table is read on first use. */
CHECKED Err ortholog_human(const char *mouse, const char **human);
#endif
