/* Names on the data: each at the densest part of its group, pushed off the others, with a line home when it went far. */
#include "core/figure/scatter_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

enum { LABEL_LINES = 3 };
static const double LEADING = 1.12;

typedef struct Label {
    double x, y, home_x, home_y, w, h; /* the middle, and the group's place */
    char *lines[LABEL_LINES];
    int n_lines;
} Label;

/* Pushes two labels apart along the axis that needs the shorter way; false when they do not touch. */
static bool push_apart(Label *a, Label *b)
{
    double dx = a->x - b->x, dy = a->y - b->y, over_x = (a->w + b->w) / 2 - fabs(dx), over_y = (a->h + b->h) / 2 - fabs(dy);
    if (over_x <= 0.01 || over_y <= 0.01)
        return false;
    if (over_y <= over_x) {
        double sign = dy > 0 || (dy == 0 && a > b) ? 1 : -1;
        a->y += sign * (over_y / 2 + 0.05);
        b->y -= sign * (over_y / 2 + 0.05);
    } else {
        double sign = dx > 0 ? 1 : -1;
        a->x += sign * (over_x / 2 + 0.05);
        b->x -= sign * (over_x / 2 + 0.05);
    }
    return true;
}

/* A few dozen labels: pairs are cheap. */
static void separate(const Page *g, Label *l, size_t n)
{
    for (int round = 0; round < 400; round++) {
        bool moved = false;
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++)
                moved |= push_apart(&l[i], &l[j]);
        for (size_t i = 0; i < n; i++) {
            l[i].x = fmin(g->side - l[i].w / 2, fmax(l[i].w / 2, l[i].x));
            l[i].y = fmin(g->side - l[i].h / 2, fmax(l[i].h / 2, l[i].y));
        }
        if (!moved)
            return;
    }
}

static void draw_leader(const Page *g, const Label *l, double left, double top)
{
    double x = fmin(l->x + l->w / 2, fmax(l->x - l->w / 2, l->home_x)), y = fmin(l->y + l->h / 2, fmax(l->y - l->h / 2, l->home_y));
    if (hypot(x - l->home_x, y - l->home_y) < 1.5)
        return;
    draw_line(g->d, left + x, top + y, left + l->home_x, top + l->home_y, 1.4, 0xFFFFFF);
    draw_line(g->d, left + x, top + y, left + l->home_x, top + l->home_y, 0.5, FIGURE_INK);
    draw_glyph(g->d, 0, left + l->home_x, top + l->home_y, 2, FIGURE_INK);
}

static void draw_label(const Page *g, const Label *l, const TextStyle *style, double left, double top)
{
    double y = top + l->y - l->h / 2 + style->size * 0.95;
    for (int k = 0; k < l->n_lines; k++, y += style->size * LEADING)
        draw_text(g->d, left + l->x, y, style, l->lines[k]);
}

static Label make_label(const Page *g, const TextStyle *style, double x, double y, const char *name)
{
    Label l = {.x = x, .y = y, .home_x = x, .home_y = y};
    l.n_lines = wrap_text(g->d, style, g->side * 0.42, name, l.lines, LABEL_LINES);
    for (int k = 0; k < l.n_lines; k++)
        l.w = fmax(l.w, draw_text_width(g->d, style, l.lines[k]) + 2);
    l.h = l.n_lines * style->size * LEADING + 1;
    return l;
}

static void free_labels(Label *labels, size_t n)
{
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < labels[k].n_lines; i++)
            free(labels[k].lines[i]);
    free(labels);
}

/* The names (or numbers) of the groups that are seen, moved off each other. */
static Err place_labels(const Page *g, const ScatterPanel *p, const TextStyle *style, Label **out, size_t *n)
{
    Err err = OK;
    float *at = NULL;
    int32_t *codes = NULL;
    Label *labels = NULL;
    *n = 0;
    TRY_GOTO(NEW(at, 2 * p->n_groups));
    TRY_GOTO(NEW0(labels, p->n_groups));
    TRY_GOTO(NEW(codes, g->s->n));
    for (size_t i = 0; i < g->s->n; i++)
        codes[i] = p->in && !p->in[i] ? -1 : p->codes[i];
    TRY_GOTO(scatter_label_positions(g->s->xy, codes, g->s->n, p->n_groups, at));
    for (size_t k = 0; k < p->n_groups; k++) {
        double x, y;
        char number[24];
        if (isnan(at[2 * k]) || (p->highlight && !p->highlight[k]))
            continue;
        scatter_place(g, at, k, &x, &y);
        snprintf(number, sizeof number, "%zu", k + 1);
        if (scatter_inside(g, x, y))
            labels[(*n)++] = make_label(g, style, x, y, g->numbered ? number : group_text(p->names[k]));
    }
    separate(g, labels, *n);
    *out = labels;
    labels = NULL;
done:
    if (labels)
        free_labels(labels, *n);
    free(at);
    free(codes);
    return err;
}

static TextStyle label_style(const Page *g, const ScatterPanel *p)
{
    TextStyle style = {.bold = true, .align = ALIGN_CENTER, .color = 0, .halo = true};
    style.size = p->n_groups > 30 ? FIGURE_TEXT_MIN : g->side < 160 ? FIGURE_TEXT - 1 : FIGURE_TEXT;
    return style;
}

/* Apart from each other, not far from home, and not over most of the plot. Before the page is final: without memory for it they are taken to fit. */
bool scatter_labels_fit(const Page *g, const ScatterPanel *p)
{
    static const double most_covered = 0.3, farthest = 0.15;
    TextStyle style = label_style(g, p);
    Label *l;
    size_t n;
    double covered = 0;
    bool fit = true;
    if (place_labels(g, p, &style, &l, &n) != OK)
        return true;
    for (size_t i = 0; i < n; i++) {
        covered += l[i].w * l[i].h;
        fit &= hypot(l[i].x - l[i].home_x, l[i].y - l[i].home_y) < farthest * g->side + l[i].w / 2;
        for (size_t j = 0; j < i; j++) /* a pair that touches by a hair is still read */
            fit &= fabs(l[i].x - l[j].x) > (l[i].w + l[j].w) / 2 - 1.5 || fabs(l[i].y - l[j].y) > (l[i].h + l[j].h) / 2 - 1.5;
    }
    free_labels(l, n);
    return fit && covered < most_covered * g->side * g->side;
}

Err scatter_draw_labels(const Page *g, const ScatterPanel *p, double left, double top)
{
    TextStyle style = label_style(g, p);
    Label *labels;
    size_t n;
    TRY(place_labels(g, p, &style, &labels, &n));
    for (size_t k = 0; k < n; k++)
        draw_leader(g, &labels[k], left, top);
    for (size_t k = 0; k < n; k++)
        draw_label(g, &labels[k], &style, left, top);
    free_labels(labels, n);
    return OK;
}
