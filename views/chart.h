/* What pane 7 draws: a few numbers a group, made by a job. */
#ifndef SCMM_VIEWS_CHART_H
#define SCMM_VIEWS_CHART_H
#include "core/analysis/summary.h"
#include "core/session/session.h"
#include "views/shared.h"

typedef enum ChartKind {
    CHART_DOTS,      /* genes in groups: share of cells, mean */
    CHART_VIOLIN,    /* one number of every cell, by group */
    CHART_HISTOGRAM, /* the same, of the chosen group or of all cells */
    CHART_BARS,      /* which groups the samples are made of */
    N_CHART_KINDS
} ChartKind;

enum { CHART_GENES = 32, CHART_ROWS = 200 };

typedef struct Chart {
    ChartKind kind;
    Shared *groups; /* Groups */
    size_t n_groups;
    /* dots: [n_genes, n_groups] */
    size_t n_genes;
    char **genes;
    float *fraction, *mean, *scaled;
    /* violin, histogram */
    char *name, *unit;
    bool gene; /* `fraction` [n_groups] is the share of cells that have it; a histogram has these alone */
    Distribution by_group, all;
    /* bars: [n_rows, n_groups] */
    char *by; /* NULL: how many cells each group has, a row a group */
    size_t n_rows;
    char **rows;
    size_t *counts;
} Chart;

typedef struct ChartAsk {
    ChartKind kind;
    Shared *groups, *values;  /* values NULL: of the first gene */
    const char *const *genes; /* [n_genes] */
    size_t n_genes;
    const char *const *columns; /* [n_columns] the first that divides the cells makes the rows */
    size_t n_columns;
    bool asked;        /* there is one, and it must serve; that of the groups gives their sizes */
    const uint8_t *in; /* the cells counted; NULL: all */
} ChartAsk;

CHECKED Err chart_make(Session *s, const ChartAsk *ask, JobCtl *ctl, Chart **out);
void chart_free(Chart *c); /* NULL ok */
const char *chart_name(ChartKind k);
#endif
