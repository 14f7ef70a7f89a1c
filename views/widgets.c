/* Lists, wrapped text, and the drawing of a work's state, shared by the panes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/pane.h"

size_t list_fit(ListState *l, size_t n, int h)
{
    size_t rows = h > 0 ? (size_t)h : 1;
    if (l->cursor >= n)
        l->cursor = n ? n - 1 : 0;
    if (l->top > l->cursor)
        l->top = l->cursor;
    if (l->cursor >= l->top + rows)
        l->top = l->cursor - rows + 1;
    if (l->top + rows > n)
        l->top = n > rows ? n - rows : 0;
    return l->top;
}

bool list_act(ListState *l, Action act, size_t n, int h)
{
    size_t page = h > 1 ? (size_t)h - 1 : 1, last = n ? n - 1 : 0;
    switch (act) {
    case ACT_UP:
        l->cursor -= l->cursor > 0;
        return true;
    case ACT_DOWN:
        l->cursor += l->cursor < last;
        return true;
    case ACT_PAGE_UP:
        l->cursor = l->cursor > page ? l->cursor - page : 0;
        return true;
    case ACT_PAGE_DOWN:
        l->cursor = l->cursor + page < last ? l->cursor + page : last;
        return true;
    case ACT_TOP:
        l->cursor = 0;
        return true;
    case ACT_BOTTOM:
        l->cursor = last;
        return true;
    default:
        return false;
    }
}

void list_scrollbar(Canvas *c, Rect r, size_t top, size_t n)
{
    size_t h = r.h > 0 ? (size_t)r.h : 0;
    if (n <= h || h == 0)
        return;
    size_t len = h * h / n, at = top * h / n;
    len = len ? len : 1;
    at = at + len > h ? h - len : at;
    for (size_t i = 0; i < len; i++)
        canvas_put(c, r.x + r.w - 1, r.y + (int)(at + i), c->tier == GLYPHS_ASCII ? '#' : 0x2590,
                   theme_style(ROLE_DIM));
}

const char *thousands(size_t n, char buf[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%zu", n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = digits[i];
    }
    buf[at] = 0;
    return buf;
}

bool pane_draw_work(App *a, Canvas *c, Rect r, WorkKind kind, const char *what, const char *way_out)
{
    const Work *w = &a->work[kind];
    Doc d = {.width = r.w};
    if (w->state == WORK_BUSY) {
        JobInfo jobs[8];
        size_t n = job_queue_list(a->queue, jobs, 8);
        const JobInfo *mine = NULL;
        for (size_t i = 0; i < n && i < 8; i++)
            if (jobs[i].id == w->job)
                mine = &jobs[i];
        bool running = mine && mine->running;
        doc_addf(&d, theme_style(ROLE_TEXT), 0, "%s%s", what,
                 running ? " ..." : ": waiting for other work");
        if (running && mine->stage && *mine->stage)
            doc_addf(&d, theme_style(ROLE_DIM), 0, "%s", mine->stage);
        doc_add(&d, theme_style(ROLE_DIM), 0, "Ctrl-C stops it");
        doc_draw(&d, c, r, 0);
        if (running && mine->total && (int)d.n < r.h)
            canvas_bar(c, r.x, r.y + (int)d.n, r.w < 30 ? r.w : 30,
                       (double)mine->done / (double)mine->total, theme_style(ROLE_ACCENT));
    } else if (w->state == WORK_FAILED) {
        doc_addf(&d, theme_style(ROLE_ERROR), 0, "%s: failed", what);
        doc_add(&d, theme_style(ROLE_TEXT), 0, w->message);
        doc_add(&d, theme_style(ROLE_DIM), 0, way_out);
        doc_draw(&d, c, r, 0);
    } else if (w->state == WORK_STOPPED) {
        doc_addf(&d, theme_style(ROLE_WARN), 0, "%s: stopped", what);
        doc_add(&d, theme_style(ROLE_DIM), 0, way_out);
        doc_draw(&d, c, r, 0);
    }
    doc_free(&d);
    return w->state != WORK_IDLE && w->state != WORK_DONE;
}

/* ---- wrapped text ---- */
void doc_free(Doc *d)
{
    for (size_t i = 0; i < d->n; i++)
        free(d->lines[i].text);
    free(d->lines);
    *d = (Doc){0};
}

static DocLine *add_line(Doc *d, Style s, int indent, const char *text, size_t n)
{
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 32;
        DocLine *grown = mem_must(cap * sizeof *grown);
        if (d->n)
            memcpy(grown, d->lines, d->n * sizeof *grown);
        free(d->lines);
        d->lines = grown;
        d->cap = cap;
    }
    Str line = {0};
    for (int i = 0; i < indent; i++)
        str_add_char(&line, ' ');
    str_add_n(&line, text, n);
    d->lines[d->n] = (DocLine){str_take(&line), 0, s};
    return &d->lines[d->n++];
}

void doc_add(Doc *d, Style s, int hang, const char *text)
{
    int w = d->width < 1 ? 1 : d->width, indent = 0;
    do {
        size_t skip = 0, n = text_wrap(text, w - indent < 1 ? 1 : w - indent, &skip);
        add_line(d, s, indent, text, n);
        text += n + skip;
        indent = hang < w / 2 ? hang : 0;
    } while (*text);
}

void doc_addf(Doc *d, Style s, int hang, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    doc_add(d, s, hang, text);
}

void doc_pair(Doc *d, int key_w, const char *key, Style s, const char *value)
{
    doc_pair_hang(d, key_w, key_w, key, s, value);
}

void doc_pair_hang(Doc *d, int key_w, int hang, const char *key, Style s, const char *value)
{
    if (d->width < key_w + 8) {
        doc_add(d, theme_style(ROLE_DIM), 0, key);
        doc_add(d, s, 1, value);
        return;
    }
    char *line = str_format("%s%*s%s", key, key_w > text_width(key) ? key_w - text_width(key) : 1,
                            "", value);
    size_t first = d->n, bytes = strlen(key);
    doc_add(d, s, hang, line);
    if (d->n > first && strlen(d->lines[first].text) >= bytes)
        d->lines[first].key_bytes = bytes;
    free(line);
}

void doc_blank(Doc *d)
{
    add_line(d, theme_style(ROLE_TEXT), 0, "", 0);
}

void doc_draw(const Doc *d, Canvas *c, Rect r, int top)
{
    for (int y = 0; y < r.h && (size_t)(top + y) < d->n; y++) {
        const DocLine *l = &d->lines[top + y];
        int x = r.x;
        if (l->key_bytes) {
            char *key = mem_strndup(l->text, l->key_bytes);
            x += canvas_text(c, x, r.y + y, r.w, theme_style(ROLE_DIM), key);
            free(key);
        }
        canvas_text(c, x, r.y + y, r.x + r.w - x, l->style, l->text + l->key_bytes);
    }
    if (d->n > (size_t)r.h && r.h > 0)
        list_scrollbar(c, (Rect){r.x, r.y, r.w + 1, r.h}, (size_t)top, d->n);
}
