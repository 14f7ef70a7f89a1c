/* What makes a figure hard to read, or its file hard to open. */
#include <math.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/palette.h"
#include "core/session/figure_file.h"
#include "core/session/session_internal.h"

/* All finite values, and where 98 of 100 of them lie, in a sample. */
typedef struct Spans {
    double lo, hi, from, to;
} Spans;

/* Of v[0], v[stride], ...: n of them. False without any. */
static bool spans_of(const float *v, size_t n, size_t stride, Spans *out)
{
    enum { SAMPLE = 20000 };
    size_t step = n / SAMPLE + 1, taken = 0;
    float *some;
    *out = (Spans){INFINITY, -INFINITY, 0, 0};
    if (NEW(some, n / step + 1) != OK)
        return false;
    for (size_t i = 0; i < n; i++) {
        float x = v[i * stride];
        if (!isfinite(x))
            continue;
        out->lo = fmin(out->lo, x);
        out->hi = fmax(out->hi, x);
        if (i % step == 0)
            some[taken++] = x;
    }
    bool good = taken && figure_limit(some, taken, "p1", &out->from) == OK && figure_limit(some, taken, "p99", &out->to) == OK;
    free(some);
    return good;
}

/* A few cells far out leave one colour for all others. */
void figure_warn_values(const Values *v, const PlotParams *pp)
{
    Spans s;
    if (pp->vmin || pp->vmax || pp->vcenter || !spans_of(v->v, v->n, 1, &s))
        return;
    if (s.to > s.from && s.hi - s.lo > 5 * (s.to - s.from))
        log_warn("%s: a few cells far from the others take most of the colours; --vmin p1 --vmax p99 keeps the colours for the rest", v->name);
}

/* A few cells far out leave the others a corner. */
void figure_warn_map(const Map *m, const PlotParams *pp)
{
    Spans x, y;
    if (pp->view[0] != pp->view[2] || !spans_of(m->xy, m->n, 2, &x) || !spans_of(m->xy + 1, m->n, 2, &y))
        return;
    double most = fmax(x.to - x.from, y.to - y.from), pad = 0.15 * most;
    if (most > 0 && fmax(x.hi - x.lo, y.hi - y.lo) > 5 * most)
        log_warn("%s: a few cells far from the others take most of the map; --view=%.4g,%.4g,%.4g,%.4g shows the rest", m->name,
                 x.from - pad, y.from - pad, x.to + pad, y.to + pad);
}

/* Stored colours that one of three viewers cannot tell apart: said once, for the closest pair. */
void figure_warn_colors(const Groups *g)
{
    static const char *const viewers[] = {"deuteranopia", "protanopia", "tritanopia"};
    enum { TOO_CLOSE = 5, MANY = 20 };
    double least = TOO_CLOSE;
    size_t a = 0, b = 0;
    int kind = -1;
    for (size_t i = 0; i < g->n_groups && g->n_groups <= MANY; i++)
        for (size_t j = 0; j < i; j++)
            for (int k = 0; g->sizes[i] && g->sizes[j] && k < 3; k++) {
                double d = color_distance(color_simulate(g->colors[i], k), color_simulate(g->colors[j], k));
                if (d < least) {
                    least = d;
                    a = j;
                    b = i;
                    kind = k;
                }
            }
    if (kind >= 0)
        log_warn("%s: '%s' and '%s' have nearly the same colour with %s; --simulate %s shows it, --legend both names groups on the map",
                 g->key, g->names[a], g->names[b], viewers[kind], viewers[kind]);
}

/* Viewers and layout programs choke on such files. */
void figure_warn_size(const PlotParams *pp, const RenderParams *r, size_t points)
{
    enum { LARGE = 100000, BYTES = 76 };
    if (r->vector_points == 1 && points > LARGE && !str_ends_nocase(pp->output, ".png"))
        log_warn("%s: %zu points as vectors, about %zu MB; without --vector-points always they become one image", pp->output, points,
                 points * BYTES >> 20);
}
