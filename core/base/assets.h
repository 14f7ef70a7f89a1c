/* Finding the files shipped with the program. */
#ifndef SCMM_BASE_ASSETS_H
#define SCMM_BASE_ASSETS_H
#include "core/base/str.h"

/* Path of the asset `rel` ("genes/human_genes.tsv.gz") into *out (replacing its text):
 * $SCMMGPT_ASSETS, then beside the executable (../assets, ../../assets of a build folder,
 * ../share/scmmgpt), then the install prefix. ERR_NOT_FOUND names the asset and the places. */
CHECKED Err assets_path(const char *rel, Str *out);
#endif
