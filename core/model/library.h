/* All texts of the cell-type library in one list with their text tower vectors: what training draws
 * from and inference compares with. */
#ifndef SCMM_MODEL_LIBRARY_H
#define SCMM_MODEL_LIBRARY_H
#include "core/model/celltypes.h"
#include "core/model/textcache.h"

enum { TEXT_NAME, TEXT_SYNONYM, TEXT_OWN };
typedef struct Library {
    size_t n_types, n, w;
    const char **text; /* [n] borrowed from the CellTypes */
    int32_t *type;     /* [n] */
    uint8_t *kind;     /* [n] TEXT_* */
    size_t *first;     /* [n_types+1] */
    float *raw;        /* [n,w] */
} Library;
/* t NULL: the list alone, raw stays NULL. Name, synonyms and own words of every type, in this order. Names in other languages are found as
 * strings (celltypes_find): the text tower reads English. */
CHECKED Err library_new(const CellTypes *c, TextTower *t, TextCache *cache, JobCtl *ctl,
                        Library **out);
void library_free(Library *l); /* NULL ok */
#endif
