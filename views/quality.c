/* The panel of generated cells: how near they are to real ones, with real-against-real and a shuffled prompt beside. */
#include <math.h>
#include <stdio.h>

#include "views/pane.h"

static void num(double v, const char *fmt, char out[24])
{
    if (isnan(v))
        snprintf(out, 24, "--");
    else
        snprintf(out, 24, fmt, v);
}

/* Name, value, and the shuffled prompt's value in a column of its own. */
static void row(Doc *d, const char *name, const char *value, const char *control)
{
    int right = d->width >= 84 ? 28 : d->width >= 60 ? 20 : 0;
    char line[512];
    if (!right) {
        doc_pair(d, 21, name, theme_style(ROLE_TEXT), value);
        if (*control)
            doc_pair(d, 21, "  shuffled prompt", theme_style(ROLE_DIM), control);
        return;
    }
    int left = d->width - 21 - right;
    snprintf(line, sizeof line, "%-*.*s %.*s", left - 1, left - 1, value, right - 1, control);
    doc_pair(d, 21, name, theme_style(ROLE_TEXT), line);
}

static void knn(const double acc[4], char *out, size_t cap)
{
    char v[4][24];
    for (int i = 0; i < 4; i++)
        num(acc[i], "%.2f", v[i]);
    snprintf(out, cap, "k=3 %s  5 %s  10 %s  25 %s", v[0], v[1], v[2], v[3]);
}

static void distances(const Quality *q, Doc *d)
{
    char v[6][24], left[160], right[64];
    num(q->mmd[0], "%.3f", v[0]);
    num(q->emd[0], "%.2f", v[1]);
    num(q->mmd_real, "%.3f", v[2]);
    num(q->emd_real, "%.2f", v[3]);
    num(q->mmd[1], "%.3f", v[4]);
    num(q->emd[1], "%.2f", v[5]);
    snprintf(left, sizeof left, "MMD %s  EMD %s   (real vs real %s, %s)", v[0], v[1], v[2], v[3]);
    snprintf(right, sizeof right, "%s  %s", v[4], v[5]);
    row(d, "distance to real", left, right);
}

static void sizes(const Quality *q, Doc *d)
{
    char a[24], b[24], e[24], f[24], g[24], h[24], i[24], line[200];
    num(q->genes_median, "%.0f", a);
    num(q->genes_median_real, "%.0f", b);
    num(q->counts_median, "%.0f", e);
    num(q->counts_median_real, "%.0f", f);
    snprintf(line, sizeof line, "median %s (real %s)   counts %s (real %s)", a, b, e, f);
    row(d, "genes per cell", line, "");
    num(100 * q->sparsity, "%.1f", g);
    num(100 * q->sparsity_real, "%.1f", h);
    num(q->diversity, "%.2f", i);
    snprintf(line, sizeof line, "%s %% (real %s %%)   diversity %s of the real one", g, h, i);
    row(d, "zeros", line, "");
}

void doc_quality(Doc *d, const Generated *g)
{
    const Quality *q = g->quality;
    char line[300], control[120];
    snprintf(line, sizeof line, "\"%.150s\"  %zu cells  seed %llu", g->prompt, g->counts.rows, (unsigned long long)g->seed);
    if (!q) {
        doc_add(d, theme_style(ROLE_GENERATED), 0, line);
        doc_add(d, theme_style(ROLE_DIM), 0, "no real cells to compare with");
        return;
    }
    int right = d->width >= 84 ? 28 : d->width >= 60 ? 20 : 0;
    if (right) {
        int left = d->width - right;
        char head[400];
        snprintf(head, sizeof head, "%-*.*s shuffled prompt", left - 1, left - 1, line);
        doc_add(d, theme_style(ROLE_GENERATED), 0, head);
    } else {
        doc_add(d, theme_style(ROLE_GENERATED), 0, line);
    }
    row(d, "nearest real type", q->nearest_types[0] ? q->nearest_types[0] : "", q->nearest_types[1] ? q->nearest_types[1] : "");
    knn(q->knn_acc[0], line, sizeof line);
    snprintf(control, sizeof control, "%.2f %.2f %.2f %.2f", q->knn_acc[1][0], q->knn_acc[1][1], q->knn_acc[1][2], q->knn_acc[1][3]);
    row(d, "k-NN accuracy", line, control);
    distances(q, d);
    sizes(q, d);
    doc_pair(d, 21, "high as they should", theme_style(ROLE_GOOD), q->high && *q->high ? q->high : "none");
    doc_pair(d, 21, "low as they should", theme_style(ROLE_GOOD), q->low && *q->low ? q->low : "none");
    if (q->shuffled_prompt && *q->shuffled_prompt)
        doc_pair(d, 21, "shuffled prompt", theme_style(ROLE_DIM), q->shuffled_prompt);
}
