/* The kinds of work the explorer starts, each a job with one state that panes show. */
#ifndef SCMM_VIEWS_WORK_H
#define SCMM_VIEWS_WORK_H
#include <stdbool.h>
#include <stddef.h>

typedef enum WorkKind {
    WORK_OPEN,
    WORK_MAP,
    WORK_GROUPS,
    WORK_NAMES,
    WORK_CLUSTER,
    WORK_SUBCLUSTER,
    WORK_MARKERS,
    WORK_DE,
    WORK_MODEL,
    WORK_EMBED,
    WORK_ANNOTATE,
    WORK_ANNOTATE_CELLS,
    WORK_DESCRIBE,
    WORK_QUERY,
    WORK_GENERATE,
    WORK_COLOR,
    WORK_GATE,
    WORK_PLOT,
    WORK_DATA,
    WORK_TABLE,
    WORK_CHART,
    WORK_SIDECAR,
    N_WORK
} WorkKind;

typedef enum WorkState { WORK_IDLE, WORK_BUSY, WORK_DONE, WORK_FAILED, WORK_STOPPED } WorkState;

typedef struct Work {
    WorkState state;
    unsigned job;      /* the last one started */
    char message[400]; /* why it failed */
    char subject[160]; /* what it is about: the prompt, the gene, the file */
    char *text;        /* streamed so far */
    size_t text_len;
} Work;

struct App;
/* Starts a job; `text` is its argument (prompt, gene, path, column), NULL where there is none. A
 * running one of the same kind is cancelled where only the last answer matters. */
void app_start(struct App *a, WorkKind kind, const char *text);
void app_stop(struct App *a, WorkKind kind);
const char *work_name(WorkKind kind);
#endif
