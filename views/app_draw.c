/* The screen: two header lines, the panes, a line for messages, the ask line; overlays for help and
 * suggestions. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "views/pane.h"

const PaneOps *pane_ops(PaneId id)
{
    static const PaneOps *const all[N_PANES] = {
        [PANE_CLUSTERS] = &pane_clusters, [PANE_MAP] = &pane_map,
        [PANE_MARKERS] = &pane_markers,   [PANE_TEXT] = &pane_text,
        [PANE_CELLS] = &pane_cells,       [PANE_JOBS] = &pane_jobs,
        [PANE_PLOT] = &pane_plot};
    return all[id];
}

bool app_is_wide(int w, int h)
{
    return w >= APP_WIDE && h >= 24;
}

/* Wide: clusters and markers left, map and a tabbed place right. Narrow: clusters left, all others
 * tabbed. */
void app_layout(App *a, int w, int h)
{
    memset(a->rects, 0, sizeof a->rects);
    int y = 2, body = h - 4;
    PaneId tab = a->slot;
    a->wide = app_is_wide(w, h);
    if (a->zoomed && a->focus != PANE_NONE) {
        a->rects[a->focus] = (Rect){0, y, w, body};
        return;
    }
    if (!a->wide) {
        int left = w < 76 ? 24 : 30;
        a->rects[PANE_CLUSTERS] = (Rect){0, y, left, body};
        if (a->focus > PANE_CLUSTERS)
            tab = a->focus;
        a->rects[tab] = (Rect){left, y, w - left, body};
        return;
    }
    int left = w / 3 < 40 ? 40 : w / 3 > 56 ? 56 : w / 3, upper = body * 62 / 100;
    int lower = body - upper > 16 ? 16 : body - upper;
    upper = body - lower;
    if (tab < PANE_TEXT)
        tab = PANE_TEXT;
    a->rects[PANE_CLUSTERS] = (Rect){0, y, left, upper};
    a->rects[PANE_MARKERS] = (Rect){0, y + upper, left, lower};
    a->rects[PANE_MAP] = (Rect){left, y, w - left, upper};
    a->rects[tab] = (Rect){left, y + upper, w - left, lower};
}

/* ---- header ---- */
static int separator(Canvas *c, int x, int y)
{
    return canvas_text(c, x, y, -1, theme_style(ROLE_DIM), "  |  ");
}

static void draw_file_line(App *a, Canvas *c)
{
    const FileFacts *f = a->facts;
    char n[32], g[32];
    if (!f) {
        canvas_textf(c, 1, 0, -1, theme_style(ROLE_HEADER), "%s", a->opt.path);
        return;
    }
    int name_w = c->w >= 100 ? 40 : 22;
    int x = 1 + canvas_text(c, 1, 0, name_w, theme_style(ROLE_HEADER), f->name);
    x += canvas_textf(c, x, 0, -1, theme_style(ROLE_TEXT), "  %s cells x %s genes  ",
                      thousands(f->cells, n), thousands(f->genes, g));
    x += canvas_text(c, x, 0, -1, theme_style(f->matrix_ok ? ROLE_TEXT : ROLE_WARN), f->matrix);
    if (a->selected) {
        x += separator(c, x, 0);
        canvas_textf(c, x, 0, -1, theme_style(ROLE_ACCENT), "sel %s", thousands(a->n_selected, n));
    }
    const char *help = "? help";
    int at = c->w - 1 - (int)strlen(help);
    if (at > x + 12)
        canvas_text(c, at, 0, -1, theme_style(ROLE_DIM), help);
}

static int draw_model_part(App *a, Canvas *c, int x, int room)
{
    const Work *m = &a->work[WORK_MODEL];
    char n[32];
    if (a->has_model) {
        /* "CPU (2 threads, AVX-512)": the details only where there is room */
        int device =
            c->w >= 110 ? (int)strlen(a->model.device) : (int)strcspn(a->model.device, "(");
        device -= device > 0 && a->model.device[device - 1] == ' ';
        x += canvas_textf(c, x, 1, room, theme_style(ROLE_TEXT), "%s on %.*s  ", a->model.name,
                          device, a->model.device);
        if (a->work[WORK_EMBED].state == WORK_FAILED) /* it cannot use this file: say why */
            return x +
                   canvas_text(c, x, 1, -1, theme_style(ROLE_ERROR), a->work[WORK_EMBED].message);
        if (!a->model.genes_in_file) /* not counted yet */
            return x;
        double share = a->model.genes_in_file
                           ? 100.0 * (double)a->model.genes_matched / (double)a->model.genes_in_file
                           : 0;
        Style s = theme_style(share < 10 ? ROLE_WARN : ROLE_TEXT);
        x += canvas_textf(c, x, 1, -1, s, "%s genes matched (%.0f%%)",
                          thousands(a->model.genes_matched, n), share);
    } else if (m->state == WORK_FAILED) {
        x += canvas_textf(c, x, 1, room, theme_style(ROLE_ERROR), "no model: %s", m->message);
    } else if (m->state == WORK_BUSY) {
        x += canvas_text(c, x, 1, room, theme_style(ROLE_DIM), "model: loading");
    } else {
        x += canvas_text(c, x, 1, room, theme_style(ROLE_DIM),
                         m->state == WORK_STOPPED ? "no model: stopped, R loads again"
                                                  : "model: later");
    }
    return x;
}

/* The running job: name, bar, rate, time left. */
static void draw_job_part(App *a, Canvas *c, int from)
{
    JobInfo j;
    if (!job_queue_list(a->queue, &j, 1) || !j.running)
        return;
    char what[96], rate[64] = "";
    bool named = j.stage && *j.stage;
    snprintf(what, sizeof what, "%.40s%s%.30s", j.name, named ? ": " : "", named ? j.stage : "");
    double seconds = a->now - a->stage_since;
    if (j.total && j.done && seconds > 0.5 && a->stage == j.stage) {
        double per_s = (double)j.done / seconds,
               left = (double)(j.total - (j.done < j.total ? j.done : j.total)) / per_s;
        char n[32];
        snprintf(rate, sizeof rate, " %s/s %d:%02d", thousands((size_t)per_s, n), (int)left / 60,
                 (int)left % 60);
    }
    int bar = c->w >= 100 ? 14 : 8, name_w = text_width(what), need = bar + (int)strlen(rate) + 2;
    int room = c->w - from - need - 2;
    if (room < 6)
        return;
    name_w = name_w < room ? name_w : room;
    int x = c->w - need - name_w;
    canvas_text(c, x, 1, name_w, theme_style(ROLE_ACCENT), what);
    canvas_bar(c, x + name_w + 1, 1, bar, j.total ? (double)j.done / (double)j.total : -1,
               theme_style(ROLE_ACCENT));
    canvas_text(c, x + name_w + 1 + bar, 1, -1, theme_style(ROLE_DIM), rate);
}

/* ---- panes ---- */
/* Names of the panes that share this place; where it is narrow their numbers alone. Returns where
 * they begin. */
static int draw_tabs(App *a, Canvas *c, Rect r, PaneId id)
{
    bool wide = a->wide;
    int x = r.x + r.w - 2;
    for (int k = N_PANES - 1; k >= (wide ? PANE_TEXT : PANE_MAP); k--) {
        const char *name = wide ? pane_ops((PaneId)k)->name : "";
        x -= (int)strlen(name) + 2;
        canvas_textf(c, x, r.y, -1, theme_style(k == (int)id ? ROLE_TITLE : ROLE_DIM),
                     wide ? "%d%s" : "%d", k, name);
    }
    return x;
}

static void draw_pane(App *a, Canvas *c, PaneId id)
{
    Rect r = a->rects[id], inner = {r.x + 1, r.y + 1, r.w - 2, r.h - 2};
    bool focus = a->focus == id,
         tabs = !a->zoomed && (id >= PANE_TEXT || (!a->wide && id != PANE_CLUSTERS));
    char text[200];
    Rect former = canvas_clip(c, r);
    canvas_box(c, r, theme_style(focus ? ROLE_FOCUS : ROLE_BORDER));
    pane_ops(id)->title(a, text, sizeof text);
    if (id == PANE_TEXT || id == PANE_JOBS) { /* lists have their own margin, the map needs none */
        inner.x++;
        inner.w -= 2;
    }
    int room = r.w - 3;
    if (tabs)
        room = draw_tabs(a, c, r, id) - r.x - 3;
    canvas_textf(c, r.x + 1, r.y, room < r.w - 2 ? room : r.w - 2,
                 theme_style(focus ? ROLE_FOCUS : ROLE_TITLE), "%d %s ", id, text);
    canvas_clip(c, inner);
    pane_ops(id)->draw(a, c, inner);
    canvas_unclip(c, former);
}

/* ---- lower lines ---- */
/* The last message, over the lowest lines of the panes when one line is not enough. */
static void draw_message_line(App *a, Canvas *c)
{
    int y = c->h - 2;
    if (!a->n_messages || a->message_old) {
        canvas_text(c, 1, y, c->w - 2, theme_style(ROLE_DIM),
                    c->w >= 116
                        ? "t ask   T generate   D describe   c colour   p plots   w figure   "
                          "Tab next pane   : all commands   ? help   q quit"
                        : "t ask  T generate  D describe  c colour  p plot  w figure  ? help  "
                          "q quit");
        return;
    }
    const Message *m = &a->messages[a->n_messages - 1];
    Doc d = {.width = c->w - 2};
    doc_add(&d, theme_style(m->role), 2, m->text);
    int most = c->h / 3 > 3 ? c->h / 3 : 3, lines = d.n < (size_t)most ? (int)d.n : most; /* a command is read in full */
    Rect r = {1, y - lines + 1, c->w - 2, lines};
    canvas_fill(c, (Rect){0, r.y, c->w, lines}, ' ', theme_style(ROLE_TEXT));
    Rect former = canvas_clip(c, r);
    for (int i = 0; i < lines; i++)
        canvas_text(c, 1, r.y + i, r.w, d.lines[i].style, d.lines[i].text);
    canvas_unclip(c, former);
    doc_free(&d);
}

static void draw_ask_line(App *a, Canvas *c)
{
    static const char *const hints[N_PROMPTS] = {
        [PROMPT_ASK] = "Enter: find them   Alt-Enter: generate   Up: history   Esc",
        [PROMPT_GENERATE] = "Enter: generate   Up: history   Esc",
        [PROMPT_SEARCH] = "Enter: find   Esc",
        [PROMPT_COMMAND] = "Tab: complete   Enter   Esc",
        [PROMPT_COLOR] = "Up, Down, Tab   Enter: colour   Esc",
        [PROMPT_SCORE] = "CD79A MS4A1 CD19   Enter: colour   Esc",
        [PROMPT_MAP] = "Up, Down, Tab   Enter: show   Esc",
        [PROMPT_GATE] = "Enter: select   Esc",
        [PROMPT_EXPORT] = "Enter: write   Esc",
        [PROMPT_DATA] = "Enter: write   Esc",
        [PROMPT_FILTER] = "padj<0.05 logFC>1 in>0.5 CD3   empty: all",
        [PROMPT_GENES] = "CD3E MS4A1 LYZ   empty: the markers   Esc",
        [PROMPT_COMPOSITION] = "Up, Down, Tab   Enter: show   Esc",
        [PROMPT_TABLE] = "Enter: write   Esc",
        [PROMPT_CONFIRM_QUIT] = "y: leave   n, Esc: stay",
    };
    const PromptState *p = &a->prompt;
    int y = c->h - 1;
    if (p->kind == PROMPT_NONE) {
        int x = 1 + canvas_text(c, 1, y, -1, theme_style(ROLE_ACCENT), "ask> ");
        canvas_text(c, x, y, c->w - x - 1, theme_style(ROLE_DIM),
                    "press t and say which cells: \"cells that make antibodies\"");
        return;
    }
    const char *hint = hints[p->kind];
    int hint_w = c->w >= 90 ? text_width(hint) + 2 : 0;
    int x = 1 + canvas_text(c, 1, y, -1, theme_style(ROLE_ACCENT),
                            *p->before ? p->before : app_prompt_label(p->kind));
    int room = c->w - x - hint_w - 1;
    /* scroll so that the cursor is in view */
    char head[sizeof p->text];
    memcpy(head, p->text, sizeof head);
    head[p->cursor] = 0;
    const char *from = p->text;
    int ahead = text_width(head);
    while (ahead >= room && *from) {
        uint32_t ch = utf8_next(&from);
        ahead -= glyph_width(ch);
    }
    canvas_text(c, x, y, room > 0 ? room : 0, theme_style(ROLE_TEXT), from);
    if (hint_w)
        canvas_text(c, c->w - hint_w, y, -1, theme_style(ROLE_DIM), hint);
    c->cursor_x = x + ahead;
    c->cursor_y = y;
}

static void draw_suggestions(App *a, Canvas *c)
{
    const PromptState *p = &a->prompt;
    if (p->kind == PROMPT_NONE || !p->n)
        return;
    int h = (int)p->n < c->h - 6 ? (int)p->n : c->h - 6, w = c->w - 2 < 84 ? c->w - 2 : 84;
    h = h > 12 ? 12 : h;
    if (h < 1)
        return;
    Rect r = {1, c->h - 1 - h - 2, w, h + 2};
    canvas_fill(c, r, ' ', theme_style(ROLE_TEXT));
    canvas_box(c, r, theme_style(ROLE_FOCUS));
    ListState l = {.cursor = p->chosen < p->n ? p->chosen : 0};
    size_t top = list_fit(&l, p->n, h);
    for (int i = 0; i < h && top + (size_t)i < p->n; i++) {
        const Suggestion *s = &p->suggestions[top + (size_t)i];
        bool here = top + (size_t)i == p->chosen;
        Style st = theme_style(here ? ROLE_CURSOR : ROLE_TEXT);
        int y = r.y + 1 + i, name_w = w > 60 ? 26 : w / 2;
        if (here)
            canvas_fill(c, (Rect){r.x + 1, y, w - 2, 1}, ' ', st);
        canvas_text(c, r.x + 2, y, name_w, st, s->text);
        canvas_text(c, r.x + 3 + name_w, y, r.w - name_w - 5, here ? st : theme_style(ROLE_DIM),
                    s->detail);
    }
}

void app_draw(App *a, Canvas *c)
{
    canvas_clear(c);
    if (c->w < APP_MIN_W || c->h < APP_MIN_H) {
        canvas_textf(c, 0, 0, -1, theme_style(ROLE_TEXT), "terminal too small (have %d x %d,", c->w,
                     c->h);
        canvas_textf(c, 0, 1, -1, theme_style(ROLE_TEXT), "need %d x %d)", APP_MIN_W, APP_MIN_H);
        return;
    }
    app_layout(a, c->w, c->h);
    draw_file_line(a, c);
    int x = draw_model_part(a, c, 1, c->w - 30);
    draw_job_part(a, c, x + 2);
    for (PaneId id = PANE_CLUSTERS; id < N_PANES; id++)
        if (a->rects[id].w > 0)
            draw_pane(a, c, id);
    draw_message_line(a, c);
    if (a->help)
        pane_help_draw(a, c, (Rect){0, 0, c->w, c->h - 1});
    draw_suggestions(a, c);
    draw_ask_line(a, c);
}
