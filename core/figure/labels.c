/* Where group names go, and how many points a figure's size and basis ask for. */
#include "core/figure/scatter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

enum { GRID = 48 };

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

typedef struct Box {
    float x0, y0, x1, y1;
} Box;

static int bin_of(const Box *b, float x, float y)
{
    float w = b->x1 - b->x0, h = b->y1 - b->y0;
    int i = w > 0 ? (int)((x - b->x0) / w * (GRID - 1)) : 0, j = h > 0 ? (int)((y - b->y0) / h * (GRID - 1)) : 0;
    return j * GRID + i;
}

static bool finite_point(const float *xy, size_t i)
{
    return isfinite(xy[2 * i]) && isfinite(xy[2 * i + 1]);
}

static int compare_bins(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*y > *x) - (*y < *x);
}

/* Marks the densest bins that together hold at least a tenth of the group. Counts are smoothed over 3 x 3 bins, or
 * a group of few cells would be labelled at a random one. */
static void densest_bins(const int *count, int total, uint8_t *keep)
{
    int64_t order[GRID * GRID];
    memset(keep, 0, GRID * GRID);
    for (int b = 0; b < GRID * GRID; b++) {
        int64_t sum = 0;
        for (int dj = -1; dj <= 1; dj++)
            for (int di = -1; di <= 1; di++) {
                int i = b % GRID + di, j = b / GRID + dj;
                if (i >= 0 && i < GRID && j >= 0 && j < GRID)
                    sum += count[j * GRID + i] * (di || dj ? 1 : 2);
            }
        order[b] = (count[b] ? sum : 0) * GRID * GRID + (GRID * GRID - 1 - b);
    }
    qsort(order, GRID * GRID, sizeof *order, compare_bins);
    int held = 0, want = (total + 9) / 10;
    for (int k = 0; k < GRID * GRID && held < want; k++) {
        int b = GRID * GRID - 1 - (int)(order[k] % (GRID * GRID));
        keep[b] = 1;
        held += count[b];
    }
}

static Box bounds(const float *xy, size_t n)
{
    Box b = {INFINITY, INFINITY, -INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++)
        if (finite_point(xy, i)) {
            b.x0 = fminf(b.x0, xy[2 * i]);
            b.x1 = fmaxf(b.x1, xy[2 * i]);
            b.y0 = fminf(b.y0, xy[2 * i + 1]);
            b.y1 = fmaxf(b.y1, xy[2 * i + 1]);
        }
    return b;
}

Err scatter_label_positions(const float *xy, const int32_t *codes, size_t n, size_t n_groups, float *out)
{
    Err err = OK;
    int *count = NULL;
    float *pool = NULL;
    uint8_t keep[GRID * GRID];
    Box box = bounds(xy, n);
    TRY_GOTO(NEW(count, GRID * GRID));
    TRY_GOTO(NEW(pool, 2 * n));
    for (size_t g = 0; g < n_groups; g++) {
        int total = 0;
        size_t m = 0;
        memset(count, 0, GRID * GRID * sizeof *count);
        for (size_t i = 0; i < n; i++)
            if (codes[i] == (int32_t)g && finite_point(xy, i)) {
                count[bin_of(&box, xy[2 * i], xy[2 * i + 1])]++;
                total++;
            }
        out[2 * g] = out[2 * g + 1] = NAN;
        if (!total)
            continue;
        densest_bins(count, total, keep);
        for (size_t i = 0; i < n; i++)
            if (codes[i] == (int32_t)g && finite_point(xy, i) && keep[bin_of(&box, xy[2 * i], xy[2 * i + 1])]) {
                pool[m] = xy[2 * i];
                pool[n + m++] = xy[2 * i + 1];
            }
        qsort(pool, m, sizeof *pool, compare_floats);
        qsort(pool + n, m, sizeof *pool, compare_floats);
        out[2 * g] = pool[m / 2];
        out[2 * g + 1] = pool[n + m / 2];
    }
done:
    free(count);
    free(pool);
    return err;
}

Err scatter_size(const char *text, double *width_mm, double *height_mm)
{
    double w = 0, h = 0;
    char rest[8] = "";
    if (str_equal_nocase(text, "slide")) {
        w = 254;
        h = 142.875;
    } else if (str_equal_nocase(text, "square")) {
        w = h = 120;
    } else if (sscanf(text, "%lfx%lf%7s", &w, &h, rest) < 2) {
        h = 0;
        if (sscanf(text, "%lf%7s", &w, rest) < 1)
            w = 0;
        if (strcmp(rest, "in") == 0)
            w *= 25.4;
        else if (rest[0] && strcmp(rest, "mm") != 0)
            w = 0;
    } else if (strcmp(rest, "mm") != 0 && rest[0]) {
        w = 0;
    }
    if (!(w >= 20 && w <= 2000 && (h == 0 || (h >= 20 && h <= 2000))))
        FAIL(ERR_USAGE, "--size: '%s' is not a size; use 85mm, 170mm, 120x80mm, slide or square", text);
    *width_mm = w;
    *height_mm = h;
    return OK;
}

double scatter_point_diameter(size_t n_finite, double scale)
{
    double d = 0.5 * sqrt(120000.0 / (double)(n_finite ? n_finite : 1)) * (scale > 0 ? scale : 1);
    return fmin(10, fmax(0.3, d));
}

char *scatter_basis_name(const char *key)
{
    static const char *const known[][2] = {{"umap", "UMAP"}, {"tsne", "t-SNE"}, {"pca", "PC"},
                                           {"phate", "PHATE"}, {"draw_graph_fa", "FA"}, {"pacmap", "PaCMAP"}};
    const char *stem = str_starts(key, "X_") ? key + 2 : key;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_equal_nocase(stem, known[i][0]))
            return mem_strdup(known[i][1]);
    return mem_strdup(stem);
}
