/* Wrapping, columns, colour bars, ticks. */
#include "core/figure/legend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const double LEADING = 1.28;

char *count_text(size_t v)
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

/* ---- words ---- */

const char *group_text(const char *name)
{
    return name[strspn(name, " \t\r\n")] ? name : "(no name)";
}

static bool inside_character(const char *p)
{
    return ((unsigned char)*p & 0xC0) == 0x80;
}

static double width_of(Draw *d, const TextStyle *style, const char *text, size_t n)
{
    char *head = mem_strndup(text, n);
    double w = draw_text_width(d, style, head);
    free(head);
    return w;
}

/* Where the first line of `text` ends: the last blank that fits, else the last punctuation, else the last character. */
static size_t line_end(Draw *d, const TextStyle *style, double room, const char *text)
{
    size_t blank = 0, mark = 0, any = 0, n = strlen(text);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && inside_character(text + i))
            continue;
        size_t shown = text[i - 1] == ' ' ? i - 1 : i;
        if (width_of(d, style, text, shown) > room)
            break;
        any = i;
        if (text[i] == ' ' || i == n)
            blank = i;
        if (strchr("_-/+.,:;)", text[i - 1]))
            mark = i;
    }
    size_t best = blank ? blank : mark ? mark : any;
    return best ? best : 1;
}

char *shorten_text(Draw *d, const TextStyle *style, double room, const char *text)
{
    if (draw_text_width(d, style, text) <= room)
        return mem_strdup(text);
    double dots = draw_text_width(d, style, "\xe2\x80\xa6");
    size_t end = strlen(text);
    while (end > 0 && (inside_character(text + end) || width_of(d, style, text, end) > room - dots))
        end--;
    while (end > 0 && text[end - 1] == ' ')
        end--;
    return str_format("%.*s\xe2\x80\xa6", (int)end, text);
}

/* Where two lines that both fit are most alike; 0 when there is no such blank. */
static size_t even_break(Draw *d, const TextStyle *style, double room, const char *text)
{
    size_t best = 0;
    double least = room + 0.01;
    for (const char *p = text + 1; *text && *p; p++)
        if (*p == ' ') {
            double w = fmax(width_of(d, style, text, (size_t)(p - text)), draw_text_width(d, style, p + 1));
            if (w < least) {
                least = w;
                best = (size_t)(p - text);
            }
        }
    return best;
}

int wrap_text(Draw *d, const TextStyle *style, double room, const char *text, char **lines, int most)
{
    int n = 0;
    while (n < most - 1 && draw_text_width(d, style, text) > room) {
        size_t even = even_break(d, style, room, text), end = even ? even : line_end(d, style, room, text);
        while (inside_character(text + end))
            end++;
        lines[n++] = mem_strndup(text, end);
        text += end;
        text += *text == ' ';
    }
    if (*text || n == 0)
        lines[n++] = shorten_text(d, style, room, text);
    return n;
}

/* ---- lists ---- */

static void free_lines(LegendEntry *e)
{
    for (int k = 0; k < e->n_lines; k++)
        free(e->lines[k]);
    e->n_lines = 0;
}

void legend_done(Legend *l)
{
    for (size_t i = 0; i < l->total; i++) {
        free_lines(&l->entries[i]);
        free(l->entries[i].text);
    }
    free_lines(&l->note);
    free(l->note.text);
    free(l->entries);
    *l = (Legend){0};
}

void legend_add(Legend *l, int glyph, uint32_t color, const char *text)
{
    if (l->total == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        LegendEntry *bigger = mem_must(cap * sizeof *bigger);
        if (l->total)
            memcpy(bigger, l->entries, l->total * sizeof *bigger);
        free(l->entries);
        l->entries = bigger;
        l->cap = cap;
    }
    l->entries[l->total++] = (LegendEntry){.text = mem_strdup(text), .glyph = glyph, .color = color};
    l->n = l->total;
}

static LegendEntry *entry(const Legend *l, size_t i)
{
    return l->n < l->total && i + 1 == l->n ? (LegendEntry *)&l->note : &l->entries[i];
}

static double indent(const Legend *l)
{
    return l->size * 1.35;
}

static double title_height(const Legend *l)
{
    return l->title ? l->size * LEADING * 1.15 : 0;
}

static void wrap_entries(Legend *l, Draw *d, double room)
{
    TextStyle style = {.size = l->size};
    double widest = 0;
    for (size_t i = 0; i < l->n; i++) {
        LegendEntry *e = entry(l, i);
        free_lines(e);
        e->n_lines = wrap_text(d, &style, fmax(12, room - indent(l)), e->text, e->lines, 6);
        for (int k = 0; k < e->n_lines; k++)
            widest = fmax(widest, draw_text_width(d, &style, e->lines[k]));
    }
    l->column_width = widest + indent(l) + 7;
}

/* Columns that entries need when none is split between columns of per_column lines. */
static int columns_for(const Legend *l, int per_column)
{
    int columns = l->n > 0, used = 0;
    for (size_t i = 0; i < l->n; i++) {
        int lines = entry(l, i)->n_lines;
        if (used > 0 && used + lines > per_column) {
            columns++;
            used = 0;
        }
        used += lines;
    }
    return columns;
}

static int total_lines(const Legend *l, int *tallest)
{
    int lines = 0;
    *tallest = 1;
    for (size_t i = 0; i < l->n; i++) {
        lines += entry(l, i)->n_lines;
        *tallest = entry(l, i)->n_lines > *tallest ? entry(l, i)->n_lines : *tallest;
    }
    return lines;
}

/* The lowest list of at most `most` columns. */
static void balance(Legend *l, Draw *d, int most)
{
    int tallest, lines = total_lines(l, &tallest), per = lines / most > tallest ? lines / most : tallest;
    while (columns_for(l, per) > most)
        per++;
    TextStyle title = {.size = l->size, .bold = true};
    l->per_column = per;
    l->width = columns_for(l, per) * l->column_width - 7;
    l->width = l->n ? l->width : 0;
    if (l->title && l->n)
        l->width = fmax(l->width, draw_text_width(d, &title, l->title));
    l->height = l->n ? (lines < per ? lines : per) * l->size * LEADING + title_height(l) : 0;
}

static bool wraps(Legend *l, Draw *d, double room)
{
    int tallest;
    wrap_entries(l, d, room);
    return total_lines(l, &tallest) > (int)l->n;
}

void legend_fit_beside(Legend *l, Draw *d, double room, double max_height)
{
    l->n = l->total;
    /* A little smaller is better than names on two lines. */
    l->size = FIGURE_TEXT;
    if (wraps(l, d, room)) {
        l->size = FIGURE_TEXT - 0.5;
        if (wraps(l, d, room))
            l->size = FIGURE_TEXT;
    }
    for (;; l->size -= 0.5) {
        wrap_entries(l, d, room);
        int tallest, lines = total_lines(l, &tallest);
        int per = (int)floor((max_height - title_height(l)) / (l->size * LEADING));
        per = per > tallest ? per : tallest;
        if (lines <= per || l->size <= FIGURE_TEXT_MIN + 0.01) {
            balance(l, d, lines ? columns_for(l, per) : 1);
            return;
        }
    }
}

/* Too much for the room at the smallest size: what fits, and how many are missing. */
static void leave_out(Legend *l, Draw *d, double width, double max_height, int columns)
{
    for (size_t kept = l->total > 1 ? l->total - 1 : 0; kept > 0 && l->height > max_height; kept--) {
        free_lines(&l->note);
        free(l->note.text);
        l->note = (LegendEntry){.text = str_format("\xe2\x80\xa6 and %zu more", l->total - kept), .glyph = GLYPH_NONE};
        l->n = kept + 1;
        if (kept + 1 == l->total) /* leaving out one for a note gains nothing */
            continue;
        TextStyle style = {.size = l->size};
        l->note.n_lines = wrap_text(d, &style, width, l->note.text, l->note.lines, 6);
        balance(l, d, columns);
    }
}

/* More columns with wrapped names where that makes the list a good deal lower; returns how many. */
static int choose_columns(Legend *l, Draw *d, double width)
{
    enum { MOST = 8 };
    static const double least_room = 58, gain = 0.87;
    wrap_entries(l, d, width);
    int best = (int)fmax(1, floor((width + 7) / l->column_width));
    double best_room = width, lowest;
    balance(l, d, best);
    lowest = l->height;
    for (int c = best + 1; c <= MOST && (width + 7) / c - 7 >= least_room; c++) {
        wrap_entries(l, d, (width + 7) / c - 7);
        balance(l, d, c);
        if (l->height < lowest * gain) {
            lowest = l->height;
            best = c;
            best_room = (width + 7) / c - 7;
        }
    }
    wrap_entries(l, d, best_room);
    balance(l, d, best);
    return best;
}

void legend_fit_below(Legend *l, Draw *d, double width, double max_height)
{
    l->n = l->total;
    for (l->size = FIGURE_TEXT;; l->size -= 0.5) {
        int columns = choose_columns(l, d, width);
        if (max_height <= 0 || l->height <= max_height)
            return;
        if (l->size <= FIGURE_TEXT_MIN + 0.01) {
            leave_out(l, d, width, max_height, columns);
            return;
        }
    }
}

void draw_swatch(Draw *d, double x, double y, double w, double h, uint32_t color, int repeat)
{
    draw_rect(d, x, y, w, h, color);
    for (int k = 0; k < repeat; k++)
        draw_rect(d, x, y + h * (k + 1) / (repeat + 1) - h * 0.05, w, h * 0.1, 0xFFFFFF);
}

void legend_draw(const Legend *l, Draw *d, double x, double y)
{
    TextStyle style = {.size = l->size, .color = FIGURE_INK}, title = {.size = l->size, .bold = true, .color = FIGURE_INK};
    double line = l->size * LEADING;
    if (l->title && l->n)
        draw_text(d, x, y + l->size, &title, l->title);
    double top = y + title_height(l), at = top;
    int used = 0;
    for (size_t i = 0; i < l->n; i++) {
        const LegendEntry *e = entry(l, i);
        if (used > 0 && used + e->n_lines > l->per_column) {
            x += l->column_width;
            at = top;
            used = 0;
        }
        double side = l->size * 0.75;
        if (e->glyph >= GLYPH_SWATCH)
            draw_swatch(d, x + l->size * 0.42 - side / 2, at + line * 0.5 - side / 2, side, side, e->color, e->glyph - GLYPH_SWATCH);
        else if (e->glyph >= 0)
            draw_glyph(d, e->glyph, x + l->size * 0.42, at + line * 0.5, l->size * 0.84, e->color);
        for (int k = 0; k < e->n_lines; k++, at += line, used++)
            draw_text(d, x + (e->glyph >= 0 ? indent(l) : 0), at + line * 0.5 + l->size * 0.36, &style, e->lines[k]);
    }
}

/* ---- numbers ---- */

static int axis_power(double lo, double hi)
{
    double most = fmax(fabs(lo), fabs(hi));
    if (!(most > 0) || !isfinite(most) || (most >= 0.01 && most < 1e5))
        return 0;
    return (int)floor(log10(most) + 1e-9);
}

char *axis_unit(const char *unit, double lo, double hi, int *power)
{
    unit = unit ? unit : "";
    *power = axis_power(lo, hi);
    /* the font has no raised digits beyond 3 */
    return *power ? str_format("%s%s\xc3\x97" "10^%s%d", unit, *unit ? ", " : "", *power < 0 ? "\xe2\x88\x92" : "", abs(*power))
                  : mem_strdup(unit);
}

int axis_ticks(double lo, double hi, int most, double *out)
{
    static const double nice[] = {1, 2, 2.5, 5, 10};
    if (!(hi > lo) || !isfinite(hi - lo)) {
        out[0] = lo;
        return 1;
    }
    double power = pow(10, floor(log10((hi - lo) / most))), step = power;
    for (int i = 0; i < 5 && (floor(hi / step + 1e-9) - ceil(lo / step - 1e-9) + 1) > most; i++)
        step = nice[i] * power;
    while ((floor(hi / step + 1e-9) - ceil(lo / step - 1e-9) + 1) > most)
        step *= 2;
    int n = 0;
    for (double k = ceil(lo / step - 1e-9); k <= floor(hi / step + 1e-9) && n < most; k++)
        out[n++] = k * step == 0 ? 0 : k * step;
    if (n == 0)
        out[n++] = lo;
    return n;
}

void axis_text(double v, double step, char *out, size_t n)
{
    int decimals = step > 0 && isfinite(step) ? (int)fmax(0, ceil(-log10(step) - 1e-9)) : 2;
    if (step > 0 && fabs(step * pow(10, decimals) - round(step * pow(10, decimals))) > 1e-6)
        decimals++;
    if (fabs(v) >= 1e6 || decimals > 4)
        snprintf(out, n, "%.3g", v);
    else
        snprintf(out, n, "%.*f", decimals, v);
    if (out[0] == '-' && n > 3 && strlen(out) + 3 < n) { /* a minus, not a hyphen */
        memmove(out + 3, out + 1, strlen(out));
        memcpy(out, "\xe2\x88\x92", 3);
    }
}

/* ---- colour bars ---- */

uint32_t bar_color(const Bar *b, double value)
{
    if (b->zero_grey && value == 0)
        return COLOR_ZERO;
    return color_map(b->map, (value - b->lo) / (b->hi - b->lo));
}

enum { STEPS = 96 };

/* Rectangles, each reaching under the next, so that no seam shows. */
static void strip(Draw *d, const Bar *b, double x, double y, double w, double h, bool flat)
{
    for (int i = 0; i < STEPS; i++) {
        uint32_t c = color_map(b->map, (i + 0.5) / STEPS);
        if (flat)
            draw_rect(d, x + w * i / STEPS, y, w - w * i / STEPS, h, c);
        else
            draw_rect(d, x, y, w, h - h * i / STEPS, c);
    }
}

/* A point at the end beyond which values lie, in that end's colour. */
static void point_end(Draw *d, const Bar *b, double x, double y, double w, double h, bool flat, bool high)
{
    double out = 3.2;
    const double up[6] = {x, y, x + w, y, x + w / 2, y - out}, down[6] = {x, y + h, x + w, y + h, x + w / 2, y + h + out};
    const double right[6] = {x + w, y, x + w, y + h, x + w + out, y + h / 2}, left[6] = {x, y, x, y + h, x - out, y + h / 2};
    draw_polygon(d, flat ? (high ? right : left) : (high ? up : down), 3, color_map(b->map, high));
}

/* What stands beside a bar. */
typedef struct BarText {
    double ticks[5], step, by, widest; /* by: of the power of ten that the unit names */
    int n, n_lines;
    char *lines[2]; /* of the unit, turned */
} BarText;

static const double BAR_WIDE = 4.5, BAR_TICK = 3, BAR_LINE = 1.1;
static const TextStyle bar_style = {.size = FIGURE_TEXT - 0.5, .color = FIGURE_INK};

static void bar_tick(const BarText *t, int k, char *out, size_t n)
{
    axis_text(t->ticks[k] * t->by, t->step * t->by, out, n);
}

static void bar_text(Draw *d, const Bar *b, double height, BarText *t)
{
    char text[32];
    int power;
    char *unit = axis_unit(b->unit, b->lo, b->hi, &power);
    *t = (BarText){.by = pow(10, -power)};
    t->n = axis_ticks(b->lo, b->hi, 5, t->ticks);
    t->step = t->n > 1 ? t->ticks[1] - t->ticks[0] : fabs(t->ticks[0]);
    for (int k = 0; k < t->n; k++) {
        bar_tick(t, k, text, sizeof text);
        t->widest = fmax(t->widest, draw_text_width(d, &bar_style, text));
    }
    t->n_lines = unit[0] ? wrap_text(d, &bar_style, height + 12, unit, t->lines, 2) : 0;
    free(unit);
}

static void bar_text_done(BarText *t)
{
    for (int k = 0; k < t->n_lines; k++)
        free(t->lines[k]);
}

double bar_width(Draw *d, const Bar *b, double height)
{
    BarText t;
    bar_text(d, b, height, &t);
    double w = BAR_WIDE + BAR_TICK + t.widest + t.n_lines * BAR_LINE * bar_style.size + 1;
    bar_text_done(&t);
    return w;
}

void bar_draw(Draw *d, const Bar *b, double x, double y, double height)
{
    BarText t;
    char text[32];
    TextStyle style = bar_style;
    bar_text(d, b, height, &t);
    strip(d, b, x, y, BAR_WIDE, height, false);
    if (b->beyond_lo)
        point_end(d, b, x, y, BAR_WIDE, height, false, false);
    if (b->beyond_hi)
        point_end(d, b, x, y, BAR_WIDE, height, false, true);
    x += BAR_WIDE;
    for (int k = 0; k < t.n; k++) {
        double at = y + height * (1 - (t.ticks[k] - b->lo) / (b->hi - b->lo));
        bar_tick(&t, k, text, sizeof text);
        draw_line(d, x, at, x + 1.8, at, 0.5, FIGURE_INK);
        draw_text(d, x + BAR_TICK, at + style.size * 0.36, &style, text);
    }
    style.rotate = 90;
    style.align = ALIGN_CENTER;
    for (int k = 0; k < t.n_lines; k++)
        draw_text(d, x + BAR_TICK + t.widest + style.size * BAR_LINE * (k + 1), y + height / 2, &style, t.lines[k]);
    bar_text_done(&t);
}

void bar_draw_flat(Draw *d, const Bar *b, double x, double y, double width, double room)
{
    double ticks[5], h = 4.5, top;
    char *lines[2];
    char text[32];
    TextStyle style = {.size = FIGURE_TEXT - 0.5, .align = ALIGN_CENTER, .color = FIGURE_INK};
    TextStyle title = {.size = FIGURE_TEXT, .color = FIGURE_INK};
    int n = axis_ticks(b->lo, b->hi, 4, ticks);
    double step = n > 1 ? ticks[1] - ticks[0] : fabs(ticks[0]);
    int power;
    char *unit = axis_unit(b->unit, b->lo, b->hi, &power);
    double by = pow(10, -power);
    int n_lines = unit[0] ? wrap_text(d, &title, room, unit, lines, 2) : 0;
    free(unit);
    for (int k = 0; k < n_lines; k++, y += FIGURE_TEXT * 1.2) {
        draw_text(d, x, y + FIGURE_TEXT, &title, lines[k]);
        free(lines[k]);
    }
    top = y + FIGURE_TEXT * 0.35;
    strip(d, b, x, top, width, h, true);
    if (b->beyond_lo)
        point_end(d, b, x, top, width, h, true, false);
    if (b->beyond_hi)
        point_end(d, b, x, top, width, h, true, true);
    for (int k = 0; k < n; k++) {
        double at = x + width * (ticks[k] - b->lo) / (b->hi - b->lo);
        axis_text(ticks[k] * by, step * by, text, sizeof text);
        draw_line(d, at, top + h, at, top + h + 1.8, 0.5, FIGURE_INK);
        draw_text(d, at, top + h + 2.5 + style.size * 0.9, &style, text);
    }
}
