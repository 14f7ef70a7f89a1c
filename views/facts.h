/* Copies what the screen says about a file out of the dataset, on the worker; and other internals
 * of the App. */
#ifndef SCMM_VIEWS_FACTS_H
#define SCMM_VIEWS_FACTS_H
#include "core/data/provenance.h"
#include "views/app.h"

FileFacts *facts_new(Session *s);
void facts_free(FileFacts *f); /* NULL ok */
void app_forget(App *a);
void map_raster_free(struct MapRaster *r); /* pane_map.c */
/* Writes what W asks for; on the worker. */
typedef struct DataExport {
    const Groups *groups;
    const Annotation *annotation, *cell_annotation;
    const uint8_t *selected; /* NULL */
    const Map *map;       /* in TSV: where each cell lies */
    const Values *values; /* in TSV: what it is coloured by; NULL */
    const QueryResult *query;
    const char *const *cell_names;
    Provenance provenance;
    size_t cells;
} DataExport;
CHECKED Err export_labels(const DataExport *d, const char *path, JobCtl *ctl);
/* The rows of v in their order, with the columns of `markers` (groups NULL: A versus B, those of
 * `de`); *rows how many. `to` is where path "-" or NULL goes; without it a name in .csv gives CSV. */
CHECKED Err export_markers(const MarkerTable *t, const Groups *groups, const MarkerView *v,
                           const char *path, FILE *to, bool force, JobCtl *ctl, size_t *rows);
/* dataset_sha256: NULL unknown. */
CHECKED Err export_generated(const Generated *g, const ModelInfo *m, const char *dataset_sha256,
                             const char *path, JobCtl *ctl);
#endif
