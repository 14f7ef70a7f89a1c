/* The panel of generated cells: how near they are to real ones, with real-against-real and a
 * shuffled prompt beside. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/pane.h"

static void num(double v, const char *fmt, char out[24])
{
    if (isnan(v))
        snprintf(out, 24, "--");
    else
        snprintf(out, 24, fmt, v);
}

enum { KEY_W = 20 };

/* How wide the column of the shuffled prompt is; 0: no room, it gets lines of its own. */
static int control_width(const Doc *d)
{
    return d->width >= 90 ? 30 : d->width >= 60 ? 20 : 0;
}

/* Name, value, and the shuffled prompt's value in a column of its own, both wrapped. */
static void row(Doc *d, const char *name, const char *value, const char *control)
{
    int right = control_width(d), left = d->width - KEY_W - right;
    if (!right || !*control) {
        doc_pair(d, KEY_W, name, theme_style(ROLE_TEXT), value);
        if (*control)
            doc_pair(d, KEY_W, "  shuffled prompt", theme_style(ROLE_DIM), control);
        return;
    }
    while (*name || *value || *control) {
        size_t skip_v, skip_c, n_v = text_wrap(value, left - 2, &skip_v),
                               n_c = text_wrap(control, right, &skip_c);
        char *v = mem_strndup(value, n_v), *c = mem_strndup(control, n_c);
        char *line = str_format("%s%*s%s", v, left - text_width(v), "", c);
        doc_pair(d, KEY_W, *name ? name : " ", theme_style(ROLE_TEXT), line);
        value += n_v + skip_v;
        control += n_c + skip_c;
        name = "";
        free(v);
        free(c);
        free(line);
    }
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

static void whole(double v, char out[32])
{
    if (isnan(v) || v < 0)
        snprintf(out, 32, "--");
    else
        thousands((size_t)(v + 0.5), out);
}

static void sizes(const Quality *q, Doc *d)
{
    char v[4][32], line[200];
    whole(q->genes_median, v[0]);
    whole(q->genes_median_real, v[1]);
    whole(q->counts_median, v[2]);
    whole(q->counts_median_real, v[3]);
    snprintf(line, sizeof line, "median %s (real %s)   counts %s (real %s)", v[0], v[1], v[2],
             v[3]);
    row(d, "genes per cell", line, "");
}

static void zeros(const Quality *q, Doc *d)
{
    char z[3][24], line[200];
    num(100 * q->sparsity, "%.1f", z[0]);
    num(100 * q->sparsity_real, "%.1f", z[1]);
    num(q->diversity, "%.2f", z[2]);
    snprintf(line, sizeof line, "%s %% (real %s %%)   diversity %s of the real one", z[0], z[1],
             z[2]);
    row(d, "zeros", line, "");
}

/* The beginning of a text in at most w columns, with an ellipsis where it was cut; caller frees. */
static char *fitting(const char *text, int w)
{
    if (text_width(text) <= w)
        return mem_strdup(text);
    const char *p = text, *end = text;
    for (int used = 0; *p; end = p) {
        used += glyph_width(utf8_next(&p));
        if (used >= w)
            break;
    }
    char *head = mem_strndup(text, (size_t)(end - text)), *cut = str_format("%s\u2026", head);
    free(head);
    return cut;
}

void doc_quality(Doc *d, const Generated *g, const char *how)
{
    const Quality *q = g->quality;
    char line[300], control[120], rest[160];
    int right = q ? control_width(d) : 0, room = d->width - (right ? right + 2 : 0);
    snprintf(rest, sizeof rest, "  %zu cells  seed %llu  %s", g->counts.rows,
             (unsigned long long)g->seed, how);
    room -= text_width(rest) + 2;
    char *prompt = fitting(g->prompt, room < 12 ? 12 : room);
    snprintf(line, sizeof line, "\"%.120s\"%s", prompt, rest);
    free(prompt);
    if (right) {
        char *head =
            str_format("%s%*sshuffled prompt", line, d->width - right - text_width(line), "");
        doc_add(d, theme_style(ROLE_GENERATED), 0, head);
        free(head);
    } else {
        doc_add(d, theme_style(ROLE_GENERATED), 0, line);
    }
    if (!q) {
        doc_add(d, theme_style(ROLE_DIM), 0, "no real cells to compare with");
        return;
    }
    row(d, "nearest real type", q->nearest_types[0] ? q->nearest_types[0] : "",
        q->nearest_types[1] ? q->nearest_types[1] : "");
    knn(q->knn_acc[0], line, sizeof line);
    snprintf(control, sizeof control, "%.2f %.2f %.2f %.2f", q->knn_acc[1][0], q->knn_acc[1][1],
             q->knn_acc[1][2], q->knn_acc[1][3]);
    row(d, "k-NN accuracy", line, control);
    distances(q, d);
    sizes(q, d);
    doc_pair(d, KEY_W, "high as they should", theme_style(ROLE_GOOD),
             q->high && *q->high ? q->high : "none");
    doc_pair(d, KEY_W, "low as they should", theme_style(ROLE_GOOD),
             q->low && *q->low ? q->low : "none");
    zeros(q, d);
    if (q->shuffled_prompt && *q->shuffled_prompt)
        doc_pair(d, KEY_W, "shuffled prompt", theme_style(ROLE_DIM), q->shuffled_prompt);
}
