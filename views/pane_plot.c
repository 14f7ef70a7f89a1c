/* Pane 7: dot plot, violins, histogram and composition of the groups on the screen, one line a
 * group or sample. Left and right change the kind. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/chart.h"
#include "views/pane.h"

static void title(const App *a, char *out, size_t cap)
{
    const Chart *c = shared_get(a->chart);
    const Groups *g = app_groups(a);
    char cells[64] = "", n[32];
    if (a->selected && a->group < 0)
        snprintf(cells, sizeof cells, "  %s selected cells", thousands(a->n_selected, n));
    if (!c || c->kind != a->chart_kind)
        snprintf(out, cap, "Plot  %s", chart_name(a->chart_kind));
    else if (c->kind == CHART_BARS && c->by)
        snprintf(out, cap, "Plot  %.40s shares by %.40s%s", g ? g->key : "", c->by, cells);
    else if (c->kind == CHART_BARS)
        snprintf(out, cap, "Plot  cells by %.40s%s", g ? g->key : "", cells);
    else if (c->kind == CHART_DOTS)
        snprintf(out, cap, "Plot  genes by %.40s%s", g ? g->key : "", cells);
    else
        snprintf(out, cap, "Plot  %.40s by %.40s%s", c->name, g ? g->key : "", cells);
}

/* ---- shared by the kinds ---- */
typedef struct Frame {
    App *a;
    Canvas *c;
    const Chart *chart;
    const Groups *g;
    Rect r;
    int name_w;
    bool ascii;
} Frame;

static Style group_style(const Frame *f, size_t k)
{
    return (Style){theme_group_color(f->a->opt.colors, k, f->g->colors[k]), 0, ATTR_BOLD};
}

static uint32_t swatch(const Frame *f, size_t k)
{
    bool letters = f->ascii || theme_needs_letters(f->a->opt.colors, f->g->n_groups);
    return letters ? (uint32_t)theme_letter(k) : 0x25cf;
}

static void draw_name(const Frame *f, int y, size_t k)
{
    bool here = f->a->group == (int)k;
    canvas_put(f->c, f->r.x + 1, y, swatch(f, k), group_style(f, k));
    canvas_text(f->c, f->r.x + 3, y, f->name_w - 4, theme_style(here ? ROLE_TITLE : ROLE_TEXT),
                app_group_name(f->a, k));
}

/* The group of line y of the list, which keeps the chosen one in view. */
static size_t fit_groups(const Frame *f, int h)
{
    ListState *l = &f->a->chart_list;
    return list_fit(l, f->a->n_cluster_rows, h);
}

static uint32_t eighth(bool ascii, double t) /* a block of that height, 0 to 1 */
{
    static const char levels[] = " .:-=+*#@";
    int k = (int)ceil(t * 8);
    k = k < 0 ? 0 : k > 8 ? 8 : k;
    return ascii ? (uint32_t)levels[k] : k ? 0x2580u + (uint32_t)k : ' ';
}

/* ---- dots ---- */
static uint32_t dot(bool ascii, double share)
{
    if (!(share >= 0.05))
        return ' ';
    if (ascii)
        return share < 0.25 ? '.' : share < 0.5 ? 'o' : share < 0.75 ? 'O' : '@';
    return share < 0.25 ? 0xb7 : share < 0.5 ? 0x2022 : 0x25cf;
}

/* Columns a gene takes. */
static int gene_width(const Frame *f, size_t gene)
{
    int w = text_width(f->chart->genes[gene]) + 1, least = f->a->opt.colors < 16 ? 7 : 6;
    return w < least ? least : w > 13 ? 13 : w;
}

static void draw_dot(const Frame *f, int x, int y, size_t gene, size_t k)
{
    size_t at = gene * f->chart->n_groups + k;
    double share = (double)f->chart->fraction[at], level = (double)f->chart->scaled[at];
    bool few = f->a->opt.colors < 16;
    Style s = theme_style(ROLE_DIM);
    if (isnan(share))
        return;
    if (share >= 0.05)
        s = (Style){theme_value_color(f->a->opt.colors, 0.12 + 0.88 * level), 0, ATTR_BOLD};
    canvas_put(f->c, x, y, dot(f->ascii, share), s);
    if (few && share >= 0.05)
        canvas_textf(f->c, x + 1, y, -1, s, "%d%3.0f", level >= 1 ? 9 : (int)(level * 9) + 1,
                     100 * share);
    else
        canvas_textf(f->c, x + 1, y, -1, s, "%3.0f", 100 * share);
}

static void draw_dots(Frame *f)
{
    int h = f->r.h - 2, x = f->r.x + f->name_w, end = f->r.x + f->r.w;
    size_t n = f->chart->n_genes, shown = 0, top = fit_groups(f, h);
    for (; shown < n && x + gene_width(f, shown) <= end; shown++) {
        int w = gene_width(f, shown);
        canvas_text(f->c, x, f->r.y, w - 1, theme_style(ROLE_TITLE), f->chart->genes[shown]);
        for (int y = 0; y < h && top + (size_t)y < f->a->n_cluster_rows; y++)
            draw_dot(f, x, f->r.y + 1 + y, shown, f->a->cluster_rows[top + (size_t)y]);
        x += w;
    }
    for (int y = 0; y < h && top + (size_t)y < f->a->n_cluster_rows; y++)
        draw_name(f, f->r.y + 1 + y, f->a->cluster_rows[top + (size_t)y]);
    char more[48] = "";
    if (shown < n)
        snprintf(more, sizeof more, "z: %zu more   ", n - shown);
    canvas_textf(f->c, f->r.x + 1, f->r.y + f->r.h - 1, f->r.w - 1, theme_style(ROLE_DIM),
                 "%s%% of cells with it; %s: mean, low to high   F other genes", more,
                 f->a->opt.colors < 16 ? "1 to 9" : "colour");
    list_scrollbar(f->c, (Rect){f->r.x, f->r.y + 1, f->r.w + 1, h}, top, f->a->n_cluster_rows);
}

/* ---- violins ---- */
/* The density at value v, between 0 and 1. */
static double density_at(const Spread *s, double v)
{
    if (!s->n || v < s->min || v > s->max)
        return 0;
    if (!(s->max > s->min))
        return 1;
    double at = (v - s->min) / (s->max - s->min) * (DENSITY_POINTS - 1);
    size_t i = at >= DENSITY_POINTS - 1 ? DENSITY_POINTS - 2 : (size_t)at;
    double t = at - (double)i;
    return (1 - t) * (double)s->density[i] + t * (double)s->density[i + 1];
}

static void draw_violin(const Frame *f, int y, size_t k, int x, int w)
{
    const Distribution *d = &f->chart->by_group;
    const Spread *s = &d->groups[k];
    double step = (d->hi - d->lo) / (w > 1 ? w - 1 : 1);
    if (!s->n) {
        canvas_text(f->c, x, y, w, theme_style(ROLE_DIM), "no cell");
        return;
    }
    if (!(s->max > s->min)) { /* one value alone is one column */
        int at = step > 0 ? (int)lround((s->min - d->lo) / step) : 0;
        canvas_put(f->c, x + at, y, eighth(f->ascii, 1), group_style(f, k));
        return;
    }
    for (int i = 0; i < w; i++) {
        double t = density_at(s, d->lo + i * step);
        if (t > 0.01)
            canvas_put(f->c, x + i, y, eighth(f->ascii, t), group_style(f, k));
    }
    if (step > 0)
        canvas_restyle(f->c, (Rect){x + (int)lround((s->median - d->lo) / step), y, 1, 1},
                       theme_style(ROLE_CURSOR));
}

static void draw_axis(const Frame *f, int x, int w, double lo, double hi)
{
    char text[32];
    int y = f->r.y + f->r.h - 1;
    canvas_textf(f->c, x, y, w, theme_style(ROLE_DIM), "%.3g", lo);
    snprintf(text, sizeof text, "%.3g", hi);
    canvas_text(f->c, x + w - (int)strlen(text), y, -1, theme_style(ROLE_DIM), text);
    canvas_textf(f->c, x + 8, y, w - 16, theme_style(ROLE_DIM), "%s%s%s", f->chart->name,
                 *f->chart->unit ? ", " : "", f->chart->unit);
}

static void draw_violins(Frame *f)
{
    int tail = f->r.w - f->name_w >= 34 ? (f->chart->gene ? 14 : 8) : 0;
    int x = f->r.x + f->name_w, w = f->r.w - f->name_w - tail - 1, h = f->r.h - 2;
    if (w < 4)
        return;
    if (tail)
        canvas_textf(f->c, x + w + 1, f->r.y, tail, theme_style(ROLE_DIM), "%7s%s", "median",
                     f->chart->gene ? "    >0" : "");
    canvas_text(f->c, x, f->r.y, w, theme_style(ROLE_DIM), "median reversed");
    size_t top = fit_groups(f, h);
    for (int i = 0; i < h && top + (size_t)i < f->a->n_cluster_rows; i++) {
        size_t k = f->a->cluster_rows[top + (size_t)i];
        const Spread *s = &f->chart->by_group.groups[k];
        int y = f->r.y + 1 + i;
        draw_name(f, y, k);
        draw_violin(f, y, k, x, w);
        if (!tail || (!s->n && !f->chart->gene))
            continue;
        if (s->n)
            canvas_textf(f->c, x + w + 1, y, 7, theme_style(ROLE_TEXT), "%7.3g", s->median);
        if (f->chart->gene && !isnan(f->chart->fraction[k]))
            canvas_textf(f->c, x + w + 8, y, 6, theme_style(ROLE_TEXT), "%5.0f%%",
                         100 * (double)f->chart->fraction[k]);
    }
    draw_axis(f, x, w, f->chart->by_group.lo, f->chart->by_group.hi);
    list_scrollbar(f->c, (Rect){f->r.x, f->r.y + 1, f->r.w + 1, h}, top, f->a->n_cluster_rows);
}

/* ---- histogram ---- */
static void draw_histogram(Frame *f)
{
    bool one = f->a->group >= 0 && (size_t)f->a->group < f->chart->n_groups;
    size_t k = one ? (size_t)f->a->group : 0;
    const Distribution *d = one ? &f->chart->by_group : &f->chart->all;
    const Spread *s = &d->groups[k];
    int h = f->r.h - 2, x = f->r.x + 8, w = f->r.w - 9, wide = w / HISTOGRAM_BINS;
    uint32_t most = 0;
    char n[32];
    wide = wide < 1 ? 1 : wide;
    for (int b = 0; b < HISTOGRAM_BINS; b++)
        most = s->bins[b] > most ? s->bins[b] : most;
    canvas_textf(f->c, f->r.x + 1, f->r.y, f->r.w - 1, theme_style(ROLE_DIM),
                 "%s cells%s  mean %.3g  median %.3g  middle half %.3g to %.3g  %s",
                 thousands(s->n, n), f->chart->gene ? " with it" : "", s->mean, s->median,
                 s->q1, s->q3, one ? app_group_name(f->a, k) : "all groups");
    if (!most || h < 1)
        return;
    canvas_textf(f->c, f->r.x + 1, f->r.y + 1, 6, theme_style(ROLE_DIM), "%6s", thousands(most, n));
    canvas_textf(f->c, f->r.x + 1, f->r.y + h, 6, theme_style(ROLE_DIM), "%6d", 0);
    Style st = one ? group_style(f, k) : theme_style(ROLE_ACCENT);
    for (int b = 0; b < HISTOGRAM_BINS && b * wide < w; b++) {
        double height = (double)s->bins[b] / most * h;
        for (int y = 0; y < h && height > y; y++)
            for (int i = 0; i < wide; i++)
                canvas_put(f->c, x + b * wide + i, f->r.y + h - y,
                           eighth(f->ascii, height - y > 1 ? 1 : height - y), st);
    }
    int used = HISTOGRAM_BINS * wide < w ? HISTOGRAM_BINS * wide : w;
    draw_axis(f, x, used, d->lo, d->hi);
}

/* ---- composition ---- */
static size_t bar_total(const Chart *c, size_t row)
{
    size_t total = 0;
    for (size_t k = 0; k < c->n_groups; k++)
        total += c->counts[row * c->n_groups + k];
    return total;
}

/* As long as the place is wide; of numbers of cells the longest bar is. */
static void draw_bar(const Frame *f, int y, size_t row, int x, int w, size_t longest)
{
    const size_t *counts = f->chart->counts + row * f->chart->n_groups;
    size_t total = bar_total(f->chart, row), before = 0, all = longest ? longest : total;
    bool letters = f->ascii || theme_needs_letters(f->a->opt.colors, f->g->n_groups);
    for (size_t i = 0; all && i < f->a->n_cluster_rows; i++) {
        size_t k = f->a->cluster_rows[i];
        int from = (int)((double)before / (double)all * w + 0.5);
        before += counts[k];
        int to = (int)((double)before / (double)all * w + 0.5);
        if (longest && counts[k] && to == from)
            to = from + 1; /* few are not none */
        for (int at = from; at < to; at++)
            canvas_put(f->c, x + at, y, letters ? (uint32_t)theme_letter(k) : 0x2588,
                       group_style(f, k));
    }
    char n[32];
    canvas_textf(f->c, x + w + 1, y, 9, theme_style(ROLE_TEXT), "%8s", thousands(total, n));
}

static void draw_bars(Frame *f)
{
    int x = f->r.x + f->name_w, w = f->r.w - f->name_w - 11, h = f->r.h - 2;
    const Chart *c = f->chart;
    size_t longest = 0;
    if (w < 4)
        return;
    for (size_t row = 0; !c->by && row < c->n_rows; row++)
        longest = bar_total(c, row) > longest ? bar_total(c, row) : longest;
    size_t n = c->by ? c->n_rows : f->a->n_cluster_rows, top = list_fit(&f->a->chart_list, n, h);
    canvas_textf(f->c, x, f->r.y, w, theme_style(ROLE_DIM), "%s",
                 c->by ? "shares, in the order of pane 1" : "");
    canvas_text(f->c, x + w + 1, f->r.y, 9, theme_style(ROLE_DIM), "   cells");
    for (int i = 0; i < h && top + (size_t)i < n; i++) {
        size_t row = c->by ? top + (size_t)i : f->a->cluster_rows[top + (size_t)i];
        if (c->by)
            canvas_text(f->c, f->r.x + 1, f->r.y + 1 + i, f->name_w - 2, theme_style(ROLE_TEXT),
                        c->rows[row]);
        else
            draw_name(f, f->r.y + 1 + i, row);
        draw_bar(f, f->r.y + 1 + i, row, x, w, longest);
    }
    canvas_textf(f->c, f->r.x + 1, f->r.y + f->r.h - 1, f->r.w - 1, theme_style(ROLE_DIM),
                 c->by ? "P another column; %.20s: sizes" : "P a column of samples: %.20s in each",
                 f->g->key);
    list_scrollbar(f->c, (Rect){f->r.x, f->r.y + 1, f->r.w + 1, h}, top, n);
}

/* ---- the pane ---- */
static int name_width(const App *a, const Chart *c, Rect r)
{
    int w = 8;
    bool samples = c->kind == CHART_BARS && c->by;
    size_t n = samples ? c->n_rows : a->n_cluster_rows;
    for (size_t i = 0; i < n; i++) {
        int own = text_width(samples ? c->rows[i] : app_group_name(a, a->cluster_rows[i]));
        w = own > w ? own : w;
    }
    w += 5;
    return w > r.w / 3 ? r.w / 3 : w;
}

static void draw(App *a, Canvas *c, Rect r)
{
    static void (*const kinds[N_CHART_KINDS])(Frame *) = {draw_dots, draw_violins, draw_histogram,
                                                          draw_bars};
    const Chart *chart = shared_get(a->chart);
    if (!a->facts)
        return;
    if (!a->groups) {
        canvas_text(c, r.x + 1, r.y, r.w - 1, theme_style(ROLE_DIM),
                    "plots follow when there are clusters");
        return;
    }
    bool fits = chart && chart->kind == a->chart_kind && chart->groups == a->groups;
    if (!fits) {
        pane_draw_work(a, c, r, WORK_CHART, "plot", "p another plot; F names genes");
        return;
    }
    Frame f = {a, c, chart, app_groups(a), r, name_width(a, chart, r), c->tier == GLYPHS_ASCII};
    if (r.h > 2 && r.w > 12)
        kinds[chart->kind](&f);
}

static bool act(App *a, Action act_)
{
    const Chart *c = shared_get(a->chart);
    size_t n = c && c->kind == CHART_BARS ? c->n_rows : a->n_cluster_rows;
    ListState *l = &a->chart_list;
    int h = a->rects[PANE_PLOT].h - 4;
    switch (act_) {
    case ACT_LEFT:
    case ACT_RIGHT:
        a->chart_kind = (ChartKind)((a->chart_kind + (act_ == ACT_RIGHT ? 1 : N_CHART_KINDS - 1)) %
                                    N_CHART_KINDS);
        *l = (ListState){0};
        return true;
    case ACT_DOWN: /* a line of the picture, not a cursor in it */
        l->cursor = l->top + (size_t)(h > 0 ? h : 1);
        list_fit(l, n, h);
        return true;
    case ACT_UP:
        l->cursor = l->top ? l->top - 1 : 0;
        list_fit(l, n, h);
        return true;
    default:
        return list_act(l, act_, n, h);
    }
}

static void mouse(App *a, MouseKind kind, int x, int y)
{
    if (kind == MOUSE_WHEEL_UP || kind == MOUSE_WHEEL_DOWN)
        act(a, kind == MOUSE_WHEEL_UP ? ACT_UP : ACT_DOWN);
}

const PaneOps pane_plot = {"Plot", title, draw, act, mouse};
