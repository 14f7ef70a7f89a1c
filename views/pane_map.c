/* Pane 2: the cells as points, one colour a group or a scale of values, names on the densest spots,
 * generated cells hollow. Zoom, pan, and selections by rectangle and polygon. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/map_raster.h"
#include "views/pane.h"

static void title(const App *a, char *out, size_t cap)
{
    const Map *m = app_map(a);
    const Groups *g = app_groups(a);
    const Values *v = app_color_values(a);
    if (!m)
        snprintf(out, cap, "Map");
    else
        snprintf(out, cap, "Map  %.40s  colour %.60s", m->name, v ? v->name : g ? g->key : "none");
}

/* ---- points ---- */
static Style cell_style(const App *a, const MapRaster *r, size_t at, const Values *v, char *letter)
{
    const Groups *g = app_groups(a);
    *letter = '.';
    if (a->selected && !r->selected[at])
        return theme_style(ROLE_DIM);
    if (v) {
        double t = (r->value[at] - r->lo) / (r->hi - r->lo);
        if (!(t > 0)) /* nothing expressed, or no value */
            return theme_style(ROLE_DIM);
        *letter = (char)('1' + (t >= 1 ? 8 : (int)(t * 9)));
        return (Style){theme_value_color(a->opt.colors, 0.12 + 0.88 * t), 0, 0};
    }
    if (!g || r->top[at] < 0)
        return g ? theme_style(ROLE_DIM) : theme_style(ROLE_TEXT);
    size_t k = (size_t)r->top[at];
    *letter = theme_letter(k);
    return (Style){theme_group_color(a->opt.colors, k, g->colors[k]), 0,
                   a->opt.colors ? 0 : ATTR_BOLD};
}

static void draw_halves(App *a, Canvas *c, Rect in, const MapRaster *r, const Values *v, int x,
                        int y)
{
    char letter;
    Color half[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        size_t at = (size_t)(2 * y + k) * (size_t)r->w + (size_t)x;
        if (r->dots[at]) {
            half[k] = cell_style(a, r, at, v, &letter).fg;
            half[k] = half[k] ? half[k] : COLOR_ANSI(7);
        }
    }
    canvas_halfblock(c, in.x + x, in.y + y, half[0], half[1], 0);
}

static void draw_points(App *a, Canvas *c, Rect in, const MapRaster *r)
{
    const Values *v = app_color_values(a);
    for (int y = 0; y < in.h; y++)
        for (int x = 0; x < in.w; x++) {
            if (r->rows != r->h) {
                draw_halves(a, c, in, r, v, x, y);
                continue;
            }
            size_t at = (size_t)y * (size_t)r->w + (size_t)x;
            char letter;
            if (!r->dots[at])
                continue;
            Style s = cell_style(a, r, at, v, &letter);
            if (r->letters)
                canvas_put(c, in.x + x, in.y + y, (uint32_t)letter, s);
            else
                canvas_braille(c, in.x + x, in.y + y, r->dots[at], s);
        }
}

static Style generated_style(const App *a, size_t i)
{
    static const uint8_t colors[] = {5, 3, 6, 2};
    Style s = theme_style(ROLE_GENERATED);
    s.fg = a->opt.colors ? COLOR_ANSI(colors[i % 4]) : 0;
    return s;
}

static void draw_generated(App *a, Canvas *c, Rect in, const MapRaster *r)
{
    for (size_t k = 0; k < a->n_generated; k++) {
        const Generated *g = app_generated(a, k);
        for (size_t i = 0; g->xy && i < g->counts.rows; i++) {
            double px, py;
            map_to_dots(r, g->xy[2 * i], g->xy[2 * i + 1], &px, &py);
            if (px >= 0 && py >= 0 && px < 2 * in.w && py < 4 * in.h)
                canvas_put(c, in.x + (int)px / 2, in.y + (int)py / 4, 0x25cb,
                           generated_style(a, k));
        }
    }
}

/* ---- names and legend ---- */
static bool is_free(const Rect *taken, size_t n, Rect r)
{
    for (size_t i = 0; i < n; i++)
        if (r.y == taken[i].y && r.x < taken[i].x + taken[i].w + 1 && taken[i].x < r.x + r.w + 1)
            return false;
    return true;
}

static void draw_labels(App *a, Canvas *c, Rect in, const MapRaster *r, Rect legend)
{
    enum { MAX_LABELS = 64 };
    static const int shifts[] = {0, -1, 1, -2, 2, -3, 3};
    const Groups *g = app_groups(a);
    Rect taken[MAX_LABELS + 8];
    size_t n = 0, shown = 0,
           most = 4 + (size_t)(in.w * in.h) / 130; /* names must not hide the cells */
    for (int y = 0; y < legend.h && n < 8; y++)
        taken[n++] = (Rect){legend.x, legend.y + y, legend.w, 1};
    for (size_t i = 0; g && i < a->n_cluster_rows && n < MAX_LABELS && shown < most; i++) {
        size_t k = a->cluster_rows[i];
        double px, py;
        char name[80];
        if (k >= r->n_labels || isnan(r->labels[k][0]))
            continue;
        map_to_dots(r, r->labels[k][0], r->labels[k][1], &px, &py);
        if (px < 0 || py < 0 || px >= 2 * in.w || py >= 4 * in.h)
            continue;
        if (r->letters)
            snprintf(name, sizeof name, "%c %.70s", theme_letter(k), app_group_name(a, k));
        else
            snprintf(name, sizeof name, "%.70s", app_group_name(a, k));
        int w = text_width(name);
        w = w > 24 ? 24 : w;
        for (size_t s = 0; s < sizeof shifts / sizeof *shifts; s++) {
            Rect at = {in.x + (int)px / 2 - w / 2, in.y + (int)py / 4 + shifts[s], w, 1};
            at.x = at.x + w > in.x + in.w ? in.x + in.w - w : at.x;
            at.x = at.x < in.x ? in.x : at.x;
            if (at.y < in.y || at.y >= in.y + in.h || !is_free(taken, n, at))
                continue;
            Style st = theme_style(a->selected && (int)k != a->group && a->group >= 0 ? ROLE_DIM
                                                                                      : ROLE_TITLE);
            canvas_text(c, at.x, at.y, w, st, name);
            taken[n++] = at;
            shown++;
            break;
        }
    }
}

/* The right upper corner: the scale of values, the generated sets, and (over the whole screen) the
 * groups. */
static Rect draw_legend(App *a, Canvas *c, Rect in, const MapRaster *r)
{
    const Values *v = app_color_values(a);
    const Groups *g = app_groups(a);
    int w = in.w < 60 ? in.w / 2 : 30, x = in.x + in.w - w, y = in.y;
    Rect used = {x, y, w, 0};
    if (in.w < 24 || in.h < 5)
        return used;
    if (v) {
        canvas_textf(c, x, y++, w, theme_style(ROLE_TITLE), "%s%s%s", v->name, *v->unit ? "  " : "",
                     v->unit);
        int at = x + canvas_textf(c, x, y, 9, theme_style(ROLE_DIM), "%.3g ", r->lo);
        for (int i = 0; i < 9; i++)
            canvas_put(
                c, at++, y, r->letters ? (uint32_t)('1' + i) : 0x2588,
                (Style){theme_value_color(a->opt.colors, 0.12 + 0.88 * (i + 0.5) / 9), 0, 0});
        canvas_textf(c, at, y++, x + w - at, theme_style(ROLE_DIM), " %.3g", r->hi);
    } else if (a->zoomed && g) {
        for (size_t i = 0; i < a->n_cluster_rows && y < in.y + in.h - 4; i++, y++) {
            size_t k = a->cluster_rows[i];
            Style s = {theme_group_color(a->opt.colors, k, g->colors[k]), 0, ATTR_BOLD};
            canvas_put(c, x, y, r->letters ? (uint32_t)theme_letter(k) : 0x25cf, s);
            canvas_textf(c, x + 2, y, w - 2, theme_style(ROLE_TEXT), "%s (%zu)",
                         app_group_name(a, k), g->sizes[k]);
        }
    }
    for (size_t k = 0; k < a->n_generated && y < in.y + in.h; k++, y++) {
        const Generated *gen = app_generated(a, k);
        canvas_put(c, x, y, 0x25cb, generated_style(a, k));
        canvas_textf(c, x + 2, y, w - 2, generated_style(a, k), "generated n=%zu seed %llu%s",
                     gen->counts.rows, (unsigned long long)gen->seed,
                     gen->xy ? "" : " (not on the map)");
    }
    used.h = y - in.y;
    return used;
}

/* ---- rectangle and polygon ---- */
static void to_screen(const MapRaster *r, Rect in, const double p[2], int *x, int *y)
{
    double px, py;
    map_to_dots(r, p[0], p[1], &px, &py);
    *x = in.x + (int)floor(px / 2);
    *y = in.y + (int)floor(py / 4);
}

static void draw_line(Canvas *c, int x0, int y0, int x1, int y1, Style s)
{
    int n = abs(x1 - x0) > abs(y1 - y0) ? abs(x1 - x0) : abs(y1 - y0);
    for (int i = 0; i <= n && n < 5000; i++)
        canvas_put(c, x0 + (n ? (x1 - x0) * i / n : 0), y0 + (n ? (y1 - y0) * i / n : 0), '*', s);
}

static void draw_mode(App *a, Canvas *c, Rect in, const MapRaster *r)
{
    const MapState *v = &a->map_view;
    Style s = theme_style(ROLE_ACCENT);
    int x, y, cx = in.x + v->cur_x, cy = in.y + v->cur_y;
    if (v->mode == MAP_BROWSE && !v->dragging)
        return;
    if (v->n_points && v->mode != MAP_LASSO) {
        to_screen(r, in, v->points[0], &x, &y);
        Rect box = {x < cx ? x : cx, y < cy ? y : cy, abs(x - cx) + 1, abs(y - cy) + 1};
        canvas_box(c, box, s);
    }
    for (size_t i = 0; v->mode == MAP_LASSO && i < v->n_points; i++) {
        int nx = cx, ny = cy;
        to_screen(r, in, v->points[i], &x, &y);
        if (i + 1 < v->n_points)
            to_screen(r, in, v->points[i + 1], &nx, &ny);
        draw_line(c, x, y, nx, ny, s);
    }
    canvas_put(c, cx, cy, '+', theme_style(ROLE_CURSOR));
}

/* The pane may get another size while a shape is drawn, when a message comes or goes: the cursor stays where it is on
 * the map. */
static MapRaster *raster_of_size(App *a, Rect in, GlyphTier tier)
{
    MapState *v = &a->map_view;
    bool keep = v->mode != MAP_BROWSE && a->raster && (in.w != a->raster->w || in.h != a->raster->h);
    double x, y;
    if (keep)
        map_from_dots(a->raster, 2 * v->cur_x + 1, 4 * v->cur_y + 2, &x, &y);
    MapRaster *r = map_raster(a, in.w, in.h, tier);
    if (keep && r) {
        map_to_dots(r, x, y, &x, &y);
        v->cur_x = (int)lround(fmin(fmax((x - 1) / 2, 0), in.w - 1));
        v->cur_y = (int)lround(fmin(fmax((y - 2) / 4, 0), in.h - 1));
    }
    return r;
}

static void draw(App *a, Canvas *c, Rect in)
{
    a->map_view.inner = in;
    if (!a->facts) {
        pane_draw_work(a, c, in, WORK_OPEN, "opening", "");
        return;
    }
    if (!a->map) {
        if (a->work[WORK_CLUSTER].state == WORK_IDLE || a->work[WORK_CLUSTER].state == WORK_DONE)
            pane_draw_work(a, c, in, WORK_MAP, "reading the map", "");
        else
            pane_draw_work(a, c, in, WORK_CLUSTER, "no map in this file: making one",
                           "+ in pane 1 tries again; e chooses another map");
        return;
    }
    MapRaster *r = raster_of_size(a, in, c->tier);
    if (!r)
        return;
    draw_points(a, c, in, r);
    draw_generated(a, c, in, r);
    Rect legend = draw_legend(a, c, in, r);
    if (a->map_view.labels)
        draw_labels(a, c, in, r, legend);
    draw_mode(a, c, in, r);
}

/* ---- actions ---- */
static void point_here(App *a, int x, int y)
{
    MapState *v = &a->map_view;
    if (a->raster && v->n_points < sizeof v->points / sizeof *v->points) {
        map_from_dots(a->raster, 2 * x + 1, 4 * y + 2, &v->points[v->n_points][0],
                      &v->points[v->n_points][1]);
        v->n_points++;
    }
}

static void end_mode(App *a)
{
    a->map_view.mode = MAP_BROWSE;
    a->map_view.n_points = 0;
    a->map_view.dragging = false;
}

static void close_box(App *a)
{
    MapState *v = &a->map_view;
    double end[2];
    if (!a->raster || !v->n_points)
        return;
    map_from_dots(a->raster, 2 * v->cur_x + 1, 4 * v->cur_y + 2, &end[0], &end[1]);
    double half_x = 1 / a->raster->scale_x,
           half_y = 2 / a->raster->scale_y; /* to the edges of the corner characters */
    double x0 = fmin(v->points[0][0], end[0]) - half_x, x1 = fmax(v->points[0][0], end[0]) + half_x;
    double y0 = fmin(v->points[0][1], end[1]) - half_y, y1 = fmax(v->points[0][1], end[1]) + half_y;
    double box[4][2] = {{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}};
    char how[120];
    snprintf(how, sizeof how, "rectangle %.3g,%.3g to %.3g,%.3g", x0, y0, x1, y1);
    end_mode(a);
    app_select_polygon(a, (const double(*)[2])box, 4, how);
}

static void close_lasso(App *a)
{
    MapState *v = &a->map_view;
    char how[64];
    snprintf(how, sizeof how, "polygon of %zu corners", v->n_points);
    if (v->n_points < 3)
        app_message(a, ROLE_WARN, "a polygon needs three corners");
    else
        app_select_polygon(a, (const double(*)[2])v->points, v->n_points, how);
    end_mode(a);
}

static void begin_mode(App *a, MapMode mode)
{
    MapState *v = &a->map_view;
    end_mode(a);
    v->mode = mode;
    v->cur_x = v->inner.w / 2;
    v->cur_y = v->inner.h / 2;
    app_message(a, ROLE_DIM,
                mode == MAP_BOX
                    ? "arrows move; Enter sets the first corner, again the second; Esc leaves"
                    : "arrows move; Enter sets corners, v closes the polygon; Esc leaves");
}

static void pan(App *a, double dx, double dy)
{
    if (!a->raster)
        return;
    a->map_view.cx += 2 * dx / a->raster->scale_x;
    a->map_view.cy -= 4 * dy / a->raster->scale_y;
}

static void move_cursor(MapState *v, int dx, int dy)
{
    v->cur_x += dx;
    v->cur_y += dy;
    v->cur_x = v->cur_x < 0 ? 0 : v->cur_x >= v->inner.w ? v->inner.w - 1 : v->cur_x;
    v->cur_y = v->cur_y < 0 ? 0 : v->cur_y >= v->inner.h ? v->inner.h - 1 : v->cur_y;
}

static bool act_in_mode(App *a, Action act_)
{
    MapState *v = &a->map_view;
    switch (act_) {
    case ACT_ENTER:
        if (v->mode == MAP_BOX && v->n_points)
            close_box(a);
        else
            point_here(a, v->cur_x, v->cur_y);
        return true;
    case ACT_LASSO:
        if (v->mode != MAP_LASSO)
            return false;
        close_lasso(a);
        return true;
    case ACT_BACK:
        end_mode(a);
        return true;
    default:
        return false;
    }
}

static bool act(App *a, Action act_)
{
    static const int step[][2] = {
        [ACT_UP] = {0, -1}, [ACT_DOWN] = {0, 1}, [ACT_LEFT] = {-1, 0}, [ACT_RIGHT] = {1, 0}};
    MapState *v = &a->map_view;
    if (v->mode != MAP_BROWSE && act_in_mode(a, act_))
        return true;
    switch (act_) {
    case ACT_UP:
    case ACT_DOWN:
    case ACT_LEFT:
    case ACT_RIGHT:
        if (v->mode != MAP_BROWSE)
            move_cursor(v, step[act_][0], step[act_][1]);
        else
            pan(a, 2 * step[act_][0], step[act_][1]);
        return true;
    case ACT_PAGE_UP:
    case ACT_PAGE_DOWN:
        if (v->mode != MAP_BROWSE)
            move_cursor(v, 0, act_ == ACT_PAGE_UP ? -5 : 5);
        else
            pan(a, 0, (act_ == ACT_PAGE_UP ? -0.5 : 0.5) * v->inner.h);
        return true;
    case ACT_PLUS:
        v->zoom = fmin(v->zoom * 1.25, 1000);
        return true;
    case ACT_MINUS:
        v->zoom = fmax(v->zoom / 1.25, 0.2);
        return true;
    case ACT_RESET:
        v->zoom = 1;
        v->cx = v->cy = 0;
        return true;
    case ACT_ENTER:
        a->zoomed = !a->zoomed;
        return true;
    case ACT_BOX:
        begin_mode(a, MAP_BOX);
        return true;
    case ACT_LASSO:
        begin_mode(a, MAP_LASSO);
        return true;
    case ACT_SEARCH_NEXT:
    case ACT_SEARCH_PREV:
        if (*a->search)
            app_start(a, WORK_COLOR, a->search);
        return true;
    default:
        return false;
    }
}

/* The nearest cell to a click, within three characters. */
static void pick(App *a, int x, int y)
{
    const Map *m = app_map(a);
    double best = 6 * 6, px, py;
    size_t found = SIZE_MAX;
    for (size_t i = 0; m && a->raster && i < m->n; i++) {
        map_to_dots(a->raster, m->xy[2 * i], m->xy[2 * i + 1], &px, &py);
        double d = (px - 2 * x - 1) * (px - 2 * x - 1) + (py - 4 * y - 2) * (py - 4 * y - 2);
        if (d < best) {
            best = d;
            found = i;
        }
    }
    if (found == SIZE_MAX)
        return;
    a->subject = SUBJECT_CELL;
    a->subject_cell = found;
    a->slot = PANE_TEXT;
    a->text_top = 0;
    if (a->embedded)
        a->describe_at = a->now + 0.2;
}

static void wheel(App *a, int x, int y, double factor)
{
    MapState *v = &a->map_view;
    double wx, wy;
    if (!a->raster)
        return;
    map_from_dots(a->raster, 2 * x + 1, 4 * y + 2, &wx, &wy); /* stays under the pointer */
    double ox = wx - a->raster->mid_x, oy = wy - a->raster->mid_y;
    double zoom = fmin(fmax(v->zoom * factor, 0.2), 1000);
    factor = zoom / v->zoom;
    v->cx = ox - (ox - v->cx) / factor;
    v->cy = oy - (oy - v->cy) / factor;
    v->zoom = zoom;
}

static void mouse(App *a, MouseKind kind, int x, int y)
{
    MapState *v = &a->map_view;
    if (kind == MOUSE_WHEEL_UP || kind == MOUSE_WHEEL_DOWN) {
        wheel(a, x, y, kind == MOUSE_WHEEL_UP ? 1.25 : 0.8);
        return;
    }
    int was_x = v->cur_x, was_y = v->cur_y;
    v->cur_x = x;
    v->cur_y = y;
    move_cursor(v, 0, 0);
    if (kind == MOUSE_PRESS) {
        if (v->mode != MAP_LASSO)
            v->n_points = 0;
        point_here(a, v->cur_x, v->cur_y);
        v->anchored = false; /* true once the pointer has moved */
        v->dragging = true;
    } else if (kind == MOUSE_DRAG && v->dragging) {
        v->anchored = v->anchored || v->cur_x != was_x || v->cur_y != was_y;
        if (v->mode == MAP_LASSO && v->n_points < 250 && (v->cur_x != was_x || v->cur_y != was_y))
            point_here(a, v->cur_x, v->cur_y);
    } else if (kind == MOUSE_RELEASE && v->dragging) {
        v->dragging = false;
        if (!v->anchored && v->mode == MAP_BROWSE) {
            v->n_points = 0;
            pick(a, v->cur_x, v->cur_y);
        } else if (v->anchored && v->mode == MAP_LASSO) {
            close_lasso(a);
        } else if (v->anchored) {
            close_box(a);
        }
    }
}

const PaneOps pane_map = {"Map", title, draw, act, mouse};
