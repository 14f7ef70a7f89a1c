/* Layout and drawing of an embedding plot. All lengths in points (1/72 inch). */
#include "core/figure/scatter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/figure/points.h"

enum { LEGEND_LINES_MAX = 30, VECTOR_POINTS_MAX = 5000, BINNED_FROM = 50000 };
static const double MARGIN = 6, GAP = 10, TITLE_SIZE = 8, TEXT_SIZE = 6.5, TEXT_MIN = 5, ARROW_ROOM = 11, BAR_WIDTH = 5,
                    GENERATED_STROKE = 0.5;
static const uint32_t INK = 0x262626;

typedef struct LegendEntry {
    char *lines[3]; /* a long name is wrapped; owned */
    int n_lines;
    int glyph;
    uint32_t color;
} LegendEntry;

typedef struct Legend {
    LegendEntry *entries;
    size_t n;
    double size;         /* text size */
    int columns;
    double column_width; /* with its gap */
    double width, height;
} Legend;

typedef struct Page {
    const Scatter *s;
    const RenderParams *p;
    Draw *d;
    double width, height;
    int columns, rows;
    double cell_width, side, row_height, caption_height;
    double scale, x0, y0; /* data to plot: (x - x0) * scale */
    double point;         /* diameter */
    bool raster;
    Legend *legends; /* [n_panels] */
} Page;

/* ---- numbers ---- */

static bool finite_xy(const float *xy, size_t i)
{
    return isfinite(xy[2 * i]) && isfinite(xy[2 * i + 1]);
}

static void grow_box(const float *xy, size_t n, double box[4])
{
    for (size_t i = 0; i < n; i++)
        if (finite_xy(xy, i)) {
            box[0] = fmin(box[0], xy[2 * i]);
            box[1] = fmin(box[1], xy[2 * i + 1]);
            box[2] = fmax(box[2], xy[2 * i]);
            box[3] = fmax(box[3], xy[2 * i + 1]);
        }
}

static void choose_view(const Scatter *s, double box[4])
{
    const double *v = s->view;
    if (v[0] != v[2] && v[1] != v[3]) {
        memcpy(box, v, 4 * sizeof *v);
        return;
    }
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

static bool same_unit(const ScatterPanel *a, const ScatterPanel *b)
{
    return strcmp(a->unit ? a->unit : "", b->unit ? b->unit : "") == 0;
}

/* The scale of a continuous panel: its own limits, else those of all panels with its unit. */
static void value_range(const Scatter *s, const ScatterPanel *p, double *lo, double *hi)
{
    *lo = p->vmin;
    *hi = p->vmax;
    if (*lo < *hi)
        return;
    *lo = INFINITY;
    *hi = -INFINITY;
    for (size_t k = 0; k < s->n_panels; k++) {
        const ScatterPanel *q = &s->panels[k];
        for (size_t i = 0; q->values && !q->codes && same_unit(p, q) && i < s->n; i++)
            if (isfinite(q->values[i])) {
                *lo = fmin(*lo, q->values[i]);
                *hi = fmax(*hi, q->values[i]);
            }
    }
    if (!(*lo <= *hi))
        *lo = *hi = 0;
    if (*lo == *hi)
        *hi = *lo + 1;
}

static void number_text(double v, char *out, size_t n)
{
    snprintf(out, n, "%.*f", fabs(v) >= 100 || v == floor(v) ? 0 : fabs(v) >= 10 ? 1 : 2, v);
}

/* 1204 -> "1,204" */
static char *with_commas(size_t v)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%zu", v);
    Str s = {0};
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            str_add_char(&s, ',');
        str_add_char(&s, digits[i]);
    }
    return str_take(&s);
}

/* ---- legends ---- */

static void legend_done(Legend *l)
{
    for (size_t i = 0; i < l->n; i++)
        for (int k = 0; k < l->entries[i].n_lines; k++)
            free(l->entries[i].lines[k]);
    free(l->entries);
    *l = (Legend){0};
}

/* Breaks text at blanks into at most 3 lines of `room`; what still does not fit keeps its last line whole, and the
 * legend becomes as wide as it needs. */
static void wrap(Draw *d, const TextStyle *style, double room, const char *text, LegendEntry *e)
{
    const char *at = text;
    while (e->n_lines < 2 && draw_text_width(d, style, at) > room) {
        const char *cut = NULL;
        for (const char *p = at; *p; p++)
            if (*p == ' ' && p > at) {
                char *head = mem_strndup(at, (size_t)(p - at));
                if (draw_text_width(d, style, head) <= room || !cut)
                    cut = p;
                free(head);
            }
        if (!cut)
            break;
        e->lines[e->n_lines++] = mem_strndup(at, (size_t)(cut - at));
        at = cut + 1;
    }
    e->lines[e->n_lines++] = mem_strdup(at);
}

static void add_entry(Legend *l, Draw *d, const TextStyle *style, double room, int glyph, uint32_t color, const char *text)
{
    LegendEntry *e = &l->entries[l->n++];
    *e = (LegendEntry){.glyph = glyph, .color = color};
    wrap(d, style, room, text, e);
}

static void fill_entries(const Page *g, const ScatterPanel *p, Legend *l, double room)
{
    const Scatter *s = g->s;
    TextStyle style = {.size = l->size};
    size_t *sizes = mem_must((p->n_groups + 1) * sizeof *sizes), missing = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!finite_xy(s->xy, i) || (p->in && !p->in[i]))
            continue;
        if (p->codes[i] >= 0)
            sizes[p->codes[i]]++;
        else
            missing++;
    }
    for (size_t k = 0; k < p->n_groups; k++) {
        if (!sizes[k] || (p->highlight && !p->highlight[k]))
            continue;
        char *count = with_commas(sizes[k]), *text = str_format("%s (%s)", p->names[k], count);
        add_entry(l, g->d, &style, room, palette_glyph(k, p->n_groups), p->colors[k], text);
        free(text);
        free(count);
    }
    if (missing) {
        char *count = with_commas(missing), *text = str_format("NA (%s)", count);
        add_entry(l, g->d, &style, room, 0, COLOR_MISSING, text);
        free(text);
        free(count);
    }
    free(sizes);
}

/* Measures the entries for `columns` columns that are at most max_height high. */
static void measure_legend(const Page *g, Legend *l, double max_height)
{
    double line = l->size * 1.28, widest = 0;
    size_t lines = 0;
    TextStyle style = {.size = l->size};
    for (size_t i = 0; i < l->n; i++) {
        lines += (size_t)l->entries[i].n_lines;
        for (int k = 0; k < l->entries[i].n_lines; k++)
            widest = fmax(widest, draw_text_width(g->d, &style, l->entries[i].lines[k]));
    }
    size_t per_column = (size_t)fmax(1, floor(max_height / line));
    per_column = per_column > LEGEND_LINES_MAX ? LEGEND_LINES_MAX : per_column;
    l->columns = lines ? (int)((lines + per_column - 1) / per_column) : 0;
    l->column_width = widest + l->size * 1.4 + 6;
    l->width = l->columns * l->column_width;
    l->height = line * (double)(l->columns > 1 ? per_column : lines);
}

static void make_legend(const Page *g, const ScatterPanel *p, Legend *l, double cell_width, double max_height)
{
    *l = (Legend){.size = TEXT_SIZE};
    if (!p->codes) {
        l->width = p->values ? BAR_WIDTH + 28 : 0;
        l->height = 60;
        if (g->s->n_generated) {
            l->entries = mem_must(sizeof *l->entries);
            TextStyle style = {.size = l->size};
            add_entry(l, g->d, &style, cell_width * 0.3, 1, INK, g->s->generated_label);
            Legend measured = *l;
            measure_legend(g, &measured, max_height);
            l->column_width = measured.column_width;
            l->width = fmax(l->width, measured.width);
        }
        return;
    }
    l->entries = mem_must((p->n_groups + 2) * sizeof *l->entries);
    if (g->s->legend != LEGEND_ON_DATA)
        fill_entries(g, p, l, cell_width * 0.36);
    if (g->s->n_generated) {
        TextStyle style = {.size = l->size};
        add_entry(l, g->d, &style, cell_width * 0.36, 1, INK, g->s->generated_label);
    }
    measure_legend(g, l, max_height);
}

/* ---- layout ---- */

static void lay_out(Page *g)
{
    const Scatter *s = g->s;
    g->width = s->width_mm * 72 / 25.4;
    g->height = s->height_mm * 72 / 25.4;
    int n = (int)s->n_panels, max_columns = s->columns > 0 ? s->columns : 4;
    g->columns = n < max_columns ? n : max_columns;
    g->rows = (n + g->columns - 1) / g->columns;
    g->caption_height = s->caption && s->caption[0] ? TEXT_SIZE * 1.5 : 0;
    g->cell_width = (g->width - 2 * MARGIN - (g->columns - 1) * GAP) / g->columns;
    double row_room = g->height > 0 ? (g->height - 2 * MARGIN - g->caption_height - (g->rows - 1) * GAP) / g->rows : 1e9;
    double title = TITLE_SIZE * 1.5, legend_height = g->height > 0 ? row_room - title : g->cell_width * 0.7;
    double legend_width = 0, legend_tallest = 0;
    for (size_t k = 0; k < s->n_panels; k++) {
        make_legend(g, &s->panels[k], &g->legends[k], g->cell_width, legend_height);
        legend_width = fmax(legend_width, g->legends[k].width);
        legend_tallest = fmax(legend_tallest, g->legends[k].height);
    }
    if (s->legend == LEGEND_NONE)
        legend_width = 0;
    g->side = fmax(20, g->cell_width - legend_width - ARROW_ROOM - 4);
    g->side = fmin(g->side, row_room - title - ARROW_ROOM);
    g->row_height = title + fmax(g->side + ARROW_ROOM, legend_tallest);
    if (g->height <= 0)
        g->height = 2 * MARGIN + g->rows * g->row_height + (g->rows - 1) * GAP + g->caption_height;
    else
        g->row_height = row_room;
    double box[4];
    choose_view(s, box);
    g->scale = g->side / fmax(box[2] - box[0], box[3] - box[1]);
    /* Equal aspect: the shorter side is centred. */
    g->x0 = (box[0] + box[2]) / 2 - g->side / g->scale / 2;
    g->y0 = (box[1] + box[3]) / 2 - g->side / g->scale / 2;
    size_t finite = 0;
    for (size_t i = 0; i < s->n; i++)
        finite += finite_xy(s->xy, i);
    /* scanpy's rule is for a plot of about 4 inches; smaller plots get smaller points. */
    g->point = fmax(0.3, scatter_point_diameter(finite, s->point_scale) * fmin(1, g->side / 260));
    int choice = g->p->vector_points;
    g->raster = !draw_is_vector(g->d) || choice == 0 || (choice < 0 && finite > VECTOR_POINTS_MAX);
}

/* ---- points ---- */

typedef struct Dot {
    uint32_t cell;
    uint32_t color;
    uint32_t key; /* drawing order: layer, then value or random */
    uint8_t glyph;
} Dot;

static int compare_dots(const void *a, const void *b)
{
    const Dot *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->cell > y->cell) - (x->cell < y->cell);
}

/* A stateless hash: the drawing order of a cell does not depend on which others are drawn. */
static uint32_t shuffle_key(uint64_t seed, uint64_t cell)
{
    uint64_t z = seed * 0x9E3779B97F4A7C15u + cell + 0x632BE59BD9B4E019u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)(z >> 34);
}

static Dot dot_of(const Page *g, const ScatterPanel *p, size_t i, double lo, double hi)
{
    Dot d = {.cell = (uint32_t)i, .color = 0x4477AA, .key = 0x80000000u | shuffle_key(g->s->seed, i)};
    bool outside = p->in && !p->in[i];
    bool missing = p->codes ? p->codes[i] < 0 : p->values && !isfinite(p->values[i]);
    if (outside || (p->codes && p->highlight && !missing && !p->highlight[p->codes[i]])) {
        d.color = COLOR_BACKGROUND_CELLS;
        d.key = 0;
    } else if (missing) {
        d.color = COLOR_MISSING;
        d.key = 1;
    } else if (p->codes) {
        d.color = p->colors[p->codes[i]];
        d.glyph = (uint8_t)palette_glyph((size_t)p->codes[i], p->n_groups);
    } else if (p->values) {
        double t = (p->values[i] - lo) / (hi - lo);
        t = fmin(1, fmax(0, t));
        d.color = color_map(p->map, t);
        d.key = 0x80000000u | (uint32_t)(t * 0x7FFFFFFF);
    }
    return d;
}

static void place(const Page *g, const float *xy, size_t i, double *x, double *y)
{
    *x = (xy[2 * i] - g->x0) * g->scale;
    *y = g->side - (xy[2 * i + 1] - g->y0) * g->scale;
}

static bool inside(const Page *g, double x, double y)
{
    return x >= 0 && y >= 0 && x <= g->side && y <= g->side;
}

/* Of many points only those are worth drawing that end on top of their pixel. */
static Err top_of_pixels(const Page *g, const ScatterPanel *p, double lo, double hi, Dot **out, size_t *n)
{
    const Scatter *s = g->s;
    double k = g->p->dpi / 72;
    size_t w = (size_t)ceil(g->side * k) + 1, m = 0;
    uint32_t *top; /* [w, w] cell + 1 */
    TRY(NEW0(top, w * w));
    for (size_t i = 0; i < s->n; i++) {
        double x, y;
        if (!finite_xy(s->xy, i))
            continue;
        place(g, s->xy, i, &x, &y);
        if (!inside(g, x, y))
            continue;
        uint32_t *t = &top[(size_t)(y * k) * w + (size_t)(x * k)];
        m += !*t;
        if (!*t || dot_of(g, p, *t - 1, lo, hi).key <= dot_of(g, p, i, lo, hi).key)
            *t = (uint32_t)i + 1;
    }
    Err err = NEW(*out, m);
    *n = 0;
    for (size_t i = 0; i < w * w && !err; i++)
        if (top[i])
            (*out)[(*n)++] = dot_of(g, p, top[i] - 1, lo, hi);
    free(top);
    return err;
}

static Err collect_dots(const Page *g, const ScatterPanel *p, Dot **out, size_t *n)
{
    const Scatter *s = g->s;
    double lo = 0, hi = 1;
    if (p->values && !p->codes)
        value_range(s, p, &lo, &hi);
    if (g->raster && s->n > BINNED_FROM) {
        TRY(top_of_pixels(g, p, lo, hi, out, n));
    } else {
        size_t m = 0;
        TRY(NEW(*out, s->n));
        for (size_t i = 0; i < s->n; i++)
            if (finite_xy(s->xy, i))
                (*out)[m++] = dot_of(g, p, i, lo, hi);
        *n = m;
    }
    qsort(*out, *n, sizeof **out, compare_dots);
    return OK;
}

/* Generated cells stay visible among large points and do not cover small ones. */
static double generated_diameter(const Page *g)
{
    return fmin(4.5, fmax(2.4, g->point * 0.8));
}

static Err raster_points(const Page *g, const Dot *dots, size_t n, double left, double top, JobCtl *ctl)
{
    Err err = OK;
    double k = g->p->dpi / 72;
    int pixels = (int)ceil(g->side * k);
    PointImage image;
    Stamps *disc = NULL, *ring = NULL, *made = NULL;
    TRY(point_image_init(&image, pixels, pixels));
    TRY_GOTO(stamps_new(g->point * k, 0, &disc));
    TRY_GOTO(stamps_new(g->point * k, g->point * k / 5, &ring));
    TRY_GOTO(stamps_new(generated_diameter(g) * k, GENERATED_STROKE * k, &made));
    for (size_t i = 0; i < n; i++) {
        double x, y;
        place(g, g->s->xy, dots[i].cell, &x, &y);
        point_image_stamp(&image, dots[i].glyph == 1 ? ring : disc, x * k, y * k, dots[i].color);
        if (i % 65536 == 0)
            TRY_GOTO(job_progress(ctl, i));
    }
    for (size_t i = 0; i < g->s->n_generated; i++) {
        double x, y;
        if (!finite_xy(g->s->generated_xy, i))
            continue;
        place(g, g->s->generated_xy, i, &x, &y);
        point_image_stamp(&image, made, x * k, y * k, INK);
    }
    draw_image(g->d, left, top, pixels / k, pixels / k, image.argb, pixels, pixels);
done:
    stamps_free(disc);
    stamps_free(ring);
    stamps_free(made);
    point_image_done(&image);
    return err;
}

static void vector_points(const Page *g, const Dot *dots, size_t n, double left, double top)
{
    double x, y;
    for (size_t i = 0; i < n; i++) {
        place(g, g->s->xy, dots[i].cell, &x, &y);
        if (inside(g, x, y))
            draw_glyph(g->d, dots[i].glyph, left + x, top + y, g->point, dots[i].color);
    }
    for (size_t i = 0; i < g->s->n_generated; i++) {
        if (!finite_xy(g->s->generated_xy, i))
            continue;
        place(g, g->s->generated_xy, i, &x, &y);
        if (inside(g, x, y))
            draw_ring(g->d, left + x, top + y, generated_diameter(g), GENERATED_STROKE, INK);
    }
}

/* ---- labels on the data ---- */

typedef struct Label {
    double x, y, home_x, home_y, w, h;
    const char *text;
} Label;

static bool overlap(const Label *a, const Label *b)
{
    return fabs(a->x - b->x) * 2 < a->w + b->w && fabs(a->y - b->y) * 2 < a->h + b->h;
}

/* Pushes overlapping labels apart vertically; a few dozen labels, so that pairs are cheap. */
static void separate(const Page *g, Label *l, size_t n)
{
    for (int round = 0; round < 200; round++) {
        bool moved = false;
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++)
                if (overlap(&l[i], &l[j])) {
                    double want = (l[i].h + l[j].h) / 2 - fabs(l[i].y - l[j].y) + 0.1;
                    double sign = l[i].y < l[j].y || (l[i].y == l[j].y) ? -1 : 1;
                    l[i].y += sign * want / 2;
                    l[j].y -= sign * want / 2;
                    moved = true;
                }
        for (size_t i = 0; i < n; i++) {
            l[i].x = fmin(g->side - l[i].w / 2, fmax(l[i].w / 2, l[i].x));
            l[i].y = fmin(g->side - l[i].h / 2, fmax(l[i].h / 2, l[i].y));
        }
        if (!moved)
            return;
    }
}

static Err draw_labels(const Page *g, const ScatterPanel *p, double left, double top)
{
    Err err = OK;
    float *at = NULL;
    Label *labels = NULL;
    size_t n = 0;
    TextStyle style = {.size = TEXT_SIZE, .bold = true, .align = ALIGN_CENTER, .color = 0, .halo = true};
    TRY_GOTO(NEW(at, 2 * p->n_groups));
    TRY_GOTO(NEW(labels, p->n_groups));
    TRY_GOTO(scatter_label_positions(g->s->xy, p->codes, g->s->n, p->n_groups, at));
    for (size_t k = 0; k < p->n_groups; k++) {
        double x, y;
        if (isnan(at[2 * k]) || (p->highlight && !p->highlight[k]))
            continue;
        place(g, at, k, &x, &y);
        if (inside(g, x, y))
            labels[n++] = (Label){x, y, x, y, draw_text_width(g->d, &style, p->names[k]) + 2, style.size * 1.15, p->names[k]};
    }
    separate(g, labels, n);
    for (size_t k = 0; k < n; k++)
        if (hypot(labels[k].x - labels[k].home_x, labels[k].y - labels[k].home_y) > 2 * style.size)
            draw_line(g->d, left + labels[k].home_x, top + labels[k].home_y, left + labels[k].x, top + labels[k].y, 0.4, INK);
    for (size_t k = 0; k < n; k++)
        draw_text(g->d, left + labels[k].x, top + labels[k].y + style.size * 0.35, &style, labels[k].text);
done:
    free(at);
    free(labels);
    return err;
}

/* ---- around the points ---- */

static void draw_corner_arrows(const Page *g, double left, double top)
{
    double n = fmin(40, fmax(14, g->side * 0.14)), x = left - ARROW_ROOM / 2 + 2, y = top + g->side + ARROW_ROOM / 2 - 2;
    TextStyle style = {.size = TEXT_MIN + 0.5, .color = INK};
    char *one = str_format("%s1", g->s->basis), *two = str_format("%s2", g->s->basis);
    draw_arrow(g->d, x, y, x + n, y, 0.6, INK);
    draw_arrow(g->d, x, y, x, y - n, 0.6, INK);
    draw_text(g->d, x, y + style.size + 0.5, &style, one);
    style.rotate = 90;
    draw_text(g->d, x - 1.6, y, &style, two);
    free(one);
    free(two);
}

static void draw_entries(const Page *g, const Legend *l, double left, double top)
{
    TextStyle style = {.size = l->size, .color = INK};
    double line = l->size * 1.28, x = left, y = top, bottom = top + (l->columns > 1 ? l->height : 1e9);
    for (size_t i = 0; i < l->n; i++) {
        const LegendEntry *e = &l->entries[i];
        if (y + line * e->n_lines > bottom + 0.5) {
            x += l->column_width;
            y = top;
        }
        draw_glyph(g->d, e->glyph, x + l->size * 0.5, y + line * 0.5, l->size * 0.8, e->color);
        for (int k = 0; k < e->n_lines; k++, y += line)
            draw_text(g->d, x + l->size * 1.4, y + line * 0.5 + l->size * 0.35, &style, e->lines[k]);
    }
}

static void draw_bar(const Page *g, const ScatterPanel *p, const Legend *l, double left, double top)
{
    double lo, hi, h = fmin(g->side * 0.6, 110);
    char text[32];
    enum { STEPS = 64 };
    uint32_t image[STEPS];
    TextStyle style = {.size = TEXT_SIZE - 0.5, .color = INK};
    value_range(g->s, p, &lo, &hi);
    for (int i = 0; i < STEPS; i++)
        image[i] = 0xFF000000u | color_map(p->map, 1 - (i + 0.5) / STEPS);
    if (p->unit && p->unit[0])
        draw_text(g->d, left, top + style.size, &style, p->unit);
    top += style.size * 1.6;
    draw_image(g->d, left, top, BAR_WIDTH, h, image, 1, STEPS);
    draw_frame(g->d, left, top, BAR_WIDTH, h, 0.3, INK);
    for (int k = 0; k <= 2; k++) {
        double y = top + h * (1 - k / 2.0);
        number_text(lo + (hi - lo) * k / 2, text, sizeof text);
        draw_line(g->d, left + BAR_WIDTH, y, left + BAR_WIDTH + 2, y, 0.4, INK);
        draw_text(g->d, left + BAR_WIDTH + 3.5, y + style.size * 0.35, &style, text);
    }
    draw_entries(g, l, left, top + h + 8);
}

static Err draw_panel(const Page *g, size_t k, JobCtl *ctl)
{
    const ScatterPanel *p = &g->s->panels[k];
    double left = MARGIN + (double)((int)k % g->columns) * (g->cell_width + GAP) + ARROW_ROOM;
    double top = MARGIN + (double)((int)k / g->columns) * (g->row_height + GAP) + TITLE_SIZE * 1.5;
    TextStyle title = {.size = TITLE_SIZE, .italic = p->italic_title, .align = ALIGN_CENTER, .color = 0};
    if (p->title)
        draw_text(g->d, left + g->side / 2, top - TITLE_SIZE * 0.5, &title, p->title);
    Dot *dots = NULL;
    size_t n;
    Err err = OK;
    TRY_GOTO(collect_dots(g, p, &dots, &n));
    if (g->raster)
        TRY_GOTO(raster_points(g, dots, n, left, top, ctl));
    else
        vector_points(g, dots, n, left, top);
    LegendPlace place_of = g->s->legend;
    if (p->codes && (place_of == LEGEND_ON_DATA || place_of == LEGEND_BOTH))
        TRY_GOTO(draw_labels(g, p, left, top));
    draw_corner_arrows(g, left, top);
    if (place_of != LEGEND_NONE && p->codes)
        draw_entries(g, &g->legends[k], left + g->side + 6, top);
    else if (place_of != LEGEND_NONE && p->values)
        draw_bar(g, p, &g->legends[k], left + g->side + 8, top);
    else
        draw_entries(g, &g->legends[k], left + g->side + 6, top);
done:
    free(dots);
    return err;
}

Err scatter_render(const Scatter *s, const char *path, const RenderParams *p, JobCtl *ctl)
{
    Err err = OK;
    Page g = {.s = s, .p = p};
    g.legends = mem_must(s->n_panels * sizeof *g.legends + 1);
    job_stage(ctl, "figure", s->n);
    /* Text is measured on a page that is thrown away: the height follows from the legends. */
    TRY_GOTO(draw_open(path, &(DrawParams){.width = 10, .height = 10, .dpi = 72, .force = p->force}, &g.d));
    lay_out(&g);
    draw_abandon(g.d);
    g.d = NULL;
    DrawParams page = {.width = g.width, .height = g.height, .dpi = p->dpi, .force = p->force,
                       .transparent = p->transparent, .meta = p->meta, .n_meta = p->n_meta,
                       .title = s->n_panels ? s->panels[0].title : NULL};
    TRY_GOTO(draw_open(path, &page, &g.d));
    for (size_t k = 0; k < s->n_panels; k++)
        TRY_GOTO(draw_panel(&g, k, ctl));
    if (g.caption_height > 0) {
        TextStyle style = {.size = TEXT_SIZE, .color = 0x555555};
        draw_text(g.d, MARGIN, g.height - MARGIN, &style, s->caption);
    }
    err = draw_close(g.d);
    g.d = NULL;
done:
    draw_abandon(g.d);
    for (size_t k = 0; k < s->n_panels; k++)
        legend_done(&g.legends[k]);
    free(g.legends);
    return err;
}
