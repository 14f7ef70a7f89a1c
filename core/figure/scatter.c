/* Drawing of an embedding plot, once scatter_layout.c has found the places. All lengths in points (1/72 inch). */
#include "core/figure/scatter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/scatter_page.h"

enum { VECTOR_POINTS_MAX = 5000 };

/* ---- numbers ---- */

static void grow_box(const float *xy, size_t n, double box[4])
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2 && scatter_finite(xy, i); k++) {
            double v = xy[2 * i + (size_t)k];
            box[k] = v < box[k] ? v : box[k];
            box[k + 2] = v > box[k + 2] ? v : box[k + 2];
        }
}

void scatter_bounds(const Scatter *s, double box[4])
{
    box[0] = box[1] = INFINITY;
    box[2] = box[3] = -INFINITY;
    grow_box(s->xy, s->n, box);
    grow_box(s->generated_xy, s->n_generated, box);
    if (!(box[0] <= box[2])) {
        box[0] = box[1] = -1;
        box[2] = box[3] = 1;
    }
    double pad = 0.03 * fmax(box[2] - box[0], box[3] - box[1]);
    pad = pad > 0 ? pad : 1;
    box[0] -= pad;
    box[1] -= pad;
    box[2] += pad;
    box[3] += pad;
}

/* Numbers without a unit may be anything: each has its own scale. */
bool scatter_one_scale(const ScatterPanel *a, const ScatterPanel *b)
{
    return a->values == b->values || (a->unit && a->unit[0] && b->unit && strcmp(a->unit, b->unit) == 0);
}

Range scatter_range(const Scatter *s, const ScatterPanel *p)
{
    Range r = {p->vmin, p->vmax};
    if (r.lo < r.hi)
        return r;
    r = (Range){INFINITY, -INFINITY};
    for (size_t k = 0; k < s->n_panels; k++) {
        const ScatterPanel *q = &s->panels[k];
        if (!q->values || q->codes || !scatter_one_scale(p, q) || (k && q->values == q[-1].values))
            continue;
        for (size_t i = 0; i < s->n; i++)
            if (isfinite(q->values[i])) {
                r.lo = fmin(r.lo, q->values[i]);
                r.hi = fmax(r.hi, q->values[i]);
            }
    }
    if (!(r.lo <= r.hi))
        r.lo = r.hi = 0;
    if (r.lo == r.hi)
        r.hi = r.lo + 1;
    return r;
}

void scatter_choose_points(Page *g, size_t finite)
{
    int choice = g->p->vector_points;
    /* scanpy's rule is for a plot of about 4 inches; smaller plots get smaller points. */
    g->point = fmax(0.3, scatter_point_diameter(finite, g->s->point_scale) * fmin(1, g->side / 260));
    g->raster = !draw_is_vector(g->d) || choice == 0 || (choice < 0 && finite > VECTOR_POINTS_MAX);
}

/* ---- around the points ---- */

static void draw_arrows(const Page *g, double left, double top)
{
    double x = left - ARROW_ROOM / 2 + 2, y = top + g->side + ARROW_ROOM / 2 - 2;
    TextStyle style = {.size = FIGURE_TEXT_MIN + 0.5, .color = FIGURE_INK};
    char *one = str_format("%s1", g->s->basis), *two = str_format("%s2", g->s->basis);
    double n = fmin(40, fmax(draw_text_width(g->d, &style, two) + 5, g->side * 0.14)); /* as long as its name */
    draw_arrow(g->d, x, y, x + n, y, 0.6, FIGURE_INK);
    draw_arrow(g->d, x, y, x, y - n, 0.6, FIGURE_INK);
    draw_text(g->d, x, y + style.size + 0.5, &style, one);
    style.rotate = 90;
    draw_text(g->d, x - 1.6, y, &style, two);
    free(one);
    free(two);
}

static void draw_axes(const Page *g, size_t k, double left, double top)
{
    bool corner = k % (size_t)g->columns == 0 && (k + (size_t)g->columns >= g->s->n_panels);
    if (g->s->frame == FRAME_ARROWS && corner)
        draw_arrows(g, left, top);
    if (g->s->frame != FRAME_FULL)
        return;
    TextStyle style = {.size = FIGURE_TEXT_MIN + 0.5, .color = FIGURE_INK, .align = ALIGN_CENTER};
    char *one = str_format("%s1", g->s->basis), *two = str_format("%s2", g->s->basis);
    draw_frame(g->d, left, top, g->side, g->side, 0.5, FIGURE_FAINT);
    draw_text(g->d, left + g->side / 2, top + g->side + style.size + 2, &style, one);
    style.rotate = 90;
    if (k % (size_t)g->columns == 0)
        draw_text(g->d, left - 3, top + g->side / 2, &style, two);
    free(one);
    free(two);
}

double scatter_title_width(const Page *g)
{
    return g->side + (g->shared || (g->s->letters && g->s->n_panels > 1) ? 0 : 20);
}

static void draw_title(const Page *g, size_t k, double left, double top)
{
    const ScatterPanel *p = &g->s->panels[k];
    TextStyle style = {.size = FIGURE_TITLE, .italic = p->italic_title, .align = ALIGN_CENTER, .color = FIGURE_INK};
    TextStyle letter = {.size = FIGURE_TITLE + 1, .bold = true, .color = FIGURE_INK};
    char *lines[2];
    int n = p->title ? wrap_text(g->d, &style, scatter_title_width(g), p->title, lines, g->title_lines) : 0;
    for (int i = 0; i < n; i++) {
        draw_text(g->d, left + g->side / 2, top - 4 - (n - 1 - i) * FIGURE_TITLE * 1.15, &style, lines[i]);
        free(lines[i]);
    }
    if (g->s->letters && g->s->n_panels > 1 && k < 26)
        draw_text(g->d, left - ARROW_ROOM + 3, top - 4 - (g->title_lines - 1) * FIGURE_TITLE * 1.15, &letter, (char[]){(char)('a' + k), 0});
}

static Err draw_panel(const Page *g, size_t k, JobCtl *ctl)
{
    const ScatterPanel *p = &g->s->panels[k];
    double left = g->column_x[k % (size_t)g->columns], top = g->row_y[k / (size_t)g->columns];
    LegendPlace place = g->s->legend;
    draw_title(g, k, left, top);
    TRY(scatter_draw_points(g, p, left, top, ctl));
    if (p->codes && (place == LEGEND_ON_DATA || place == LEGEND_BOTH))
        TRY(scatter_draw_labels(g, p, left, top));
    draw_axes(g, k, left, top);
    if (k == 0 || !g->shared)
        scatter_draw_legend(g, k, left, top);
    return OK;
}

static void draw_caption(const Page *g)
{
    TextStyle style = {.size = FIGURE_TEXT, .color = 0x555555};
    double y = g->height - MARGIN - (g->n_caption - 1) * FIGURE_TEXT * 1.3;
    for (int k = 0; k < g->n_caption; k++)
        draw_text(g->d, MARGIN, y + k * FIGURE_TEXT * 1.3, &style, g->caption_lines[k]);
}

Err scatter_render(const Scatter *s, const char *path, const RenderParams *p, JobCtl *ctl)
{
    Err err = OK;
    Page g = {.s = s, .p = p};
    g.legends = mem_must(s->n_panels * sizeof *g.legends + 1);
    g.ranges = mem_must(s->n_panels * sizeof *g.ranges + 1);
    for (size_t k = 0; k < s->n_panels; k++) {
        const ScatterPanel *q = &s->panels[k];
        bool same = k && q->values == q[-1].values && q->vmin == q[-1].vmin && q->vmax == q[-1].vmax;
        if (q->values && !q->codes)
            g.ranges[k] = same ? g.ranges[k - 1] : scatter_range(s, q);
    }
    job_stage(ctl, "figure", s->n);
    /* Text is measured on a page that is thrown away: the height follows from the legends. */
    TRY_GOTO(draw_open(path, &(DrawParams){.width = 10, .height = 10, .dpi = 72, .force = p->force}, &g.d));
    scatter_lay_out(&g);
    draw_abandon(g.d);
    g.d = NULL;
    RenderParams zoomed = *p;
    zoomed.zoom = g.zoom;
    g.p = &zoomed;
    DrawParams page = draw_params(g.width, g.height, s->n_panels ? s->panels[0].title : NULL, &zoomed);
    TRY_GOTO(draw_open(path, &page, &g.d));
    for (size_t k = 0; k < s->n_panels; k++)
        TRY_GOTO(draw_panel(&g, k, ctl));
    draw_caption(&g);
    err = draw_close(g.d);
    g.d = NULL;
done:
    draw_abandon(g.d);
    for (size_t k = 0; k < s->n_panels; k++)
        legend_done(&g.legends[k]);
    for (int k = 0; k < g.n_caption; k++)
        free(g.caption_lines[k]);
    free(g.legends);
    free(g.ranges);
    free(g.column_x);
    free(g.row_y);
    return err;
}
