/* A marker table as a person asked to see it, on the screen and in a file: sorted by a column, rows
 * that do not pass a filter left out. A filter is words: `padj<0.05`, `logFC>=1`, `in>0.5` must all
 * hold; of other words one must be part of the gene's name. */
#ifndef SCMM_VIEWS_MARKER_VIEW_H
#define SCMM_VIEWS_MARKER_VIEW_H
#include "core/session/session.h"

typedef enum MarkerColumn {
    MARKER_RANK, /* as the test ranked them */
    MARKER_GENE,
    MARKER_LOGFC,
    MARKER_IN,
    MARKER_OUT,
    MARKER_P,
    N_MARKER_COLUMNS
} MarkerColumn;

enum { MARKER_CONDITIONS = 8, MARKER_WORDS = 16, MARKER_FILTER_LEN = 160 };
typedef struct MarkerFilter {
    size_t n_conditions, n_words;
    struct {
        MarkerColumn column; /* MARKER_RANK: the score */
        bool above, equal;
        double limit;
    } conditions[MARKER_CONDITIONS];
    char words[MARKER_WORDS][32];
} MarkerFilter;

/* ERR_USAGE names the word that is not understood. */
CHECKED Err marker_filter_parse(const char *text, MarkerFilter *out);
bool marker_passes(const MarkerFilter *f, const Marker *m);
const char *marker_column_name(MarkerColumn c);
/* By its name in the head of pane 3 or in a table, case aside; false: there is none. */
bool marker_column_find(const char *name, size_t length, MarkerColumn *out);
/* Indices of the rows of `group` (< 0: of all) that pass, sorted; out has room for t->n. Missing
 * numbers come last; equal ones keep the test's order. Largest first for the fold change and the
 * share inside, smallest first for the rest; `reverse` turns that round. */
size_t marker_rows(const MarkerTable *t, int group, const MarkerFilter *f, MarkerColumn by,
                   bool reverse, size_t *out);

/* What of a table goes into a file. */
typedef struct MarkerView {
    MarkerFilter filter;
    MarkerColumn by;
    bool reverse;
    int group; /* < 0: all, one after the other */
} MarkerView;
/* As marker_rows(); of several groups each is sorted for itself. n_groups 0: the table has none. */
size_t marker_view_rows(const MarkerTable *t, size_t n_groups, const MarkerView *v, size_t *out);
#endif
