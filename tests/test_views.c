/* The explorer without a terminal: what the panes show, what actions do, and snapshots of whole
 * screens. UPDATE_SCREENS=1 writes tests/screens/ anew; read the difference before keeping it. */
#include "tests/util.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "tests/fake_session.c"
#include "views/map_raster.h"
#include "views/pane.h"

static App *open_with(int colors, GlyphTier tier)
{
    AppOptions o = {.session = session_params_default(),
                    .path = "fake.h5ad",
                    .tier = tier,
                    .colors = colors,
                    .mouse = true};
    App *a = app_new(&o);
    a->now = 1;
    app_begin(a);
    return a;
}

/* Lets the clock run and the worker work until nothing is left to do. */
static void settle(App *a)
{
    double end = clock_seconds() + 60; /* on a busy machine */
    do {
        if (!a->open_jobs) /* however long the work takes, it is a moment on this clock */
            a->now += 0.1;
        app_tick(a);
        job_queue_poll(a->queue);
        if (!a->open_jobs && a->describe_at <= 0)
            return;
        struct pollfd p = {.fd = job_queue_fd(a->queue), .events = POLLIN};
        poll(&p, 1, 5);
    } while (clock_seconds() < end);
    fail_msg("the work does not end");
}

static App *opened(void)
{
    memset(&fake, 0, sizeof fake);
    App *a = open_with(256, GLYPHS_BRAILLE);
    settle(a);
    return a;
}

static char *screen(App *a, int w, int h)
{
    Canvas *c = canvas_new(w, h, a->opt.tier);
    app_draw(a, c);
    char *text = canvas_dump(c);
    canvas_free(c);
    return text;
}

static bool shows(App *a, const char *what)
{
    char *s = screen(a, 120, 36);
    bool there = strstr(s, what) != NULL;
    free(s);
    return there;
}

static void assert_shows(App *a, const char *what)
{
    if (!shows(a, what))
        fail_msg("not on the screen: %s\n%s", what, screen(a, 120, 36));
}

static void assert_hides(App *a, const char *what)
{
    if (shows(a, what))
        fail_msg("on the screen: %s\n%s", what, screen(a, 120, 36));
}

static void assert_text_is(const char *name, const char *got)
{
    char *path = str_format("tests/screens/%s.txt", name), *want = NULL;
    if (getenv("UPDATE_SCREENS")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(got, f);
        fclose(f);
    } else {
        assert_ok(str_read_file(path, 1 << 20, ERR_GENERAL, &want, NULL));
        if (strcmp(got, want))
            fail_msg("%s differs; the screen is now\n%s", path, got);
    }
    free(want);
    free(path);
}

static void assert_screen(App *a, int w, int h, const char *name)
{
    char *got = screen(a, w, h);
    assert_text_is(name, got);
    free(got);
}

static void type(App *a, Action prompt, const char *text)
{
    app_act(a, prompt);
    app_prompt_edited(a, "", text, (int)strlen(text));
    app_prompt_accept(a, false);
    settle(a);
}

/* ---- snapshots ---- */
static void wide_screen_after_opening(void **state)
{
    App *a = opened();
    assert_screen(a, 120, 36, "open-120x36");
    assert_screen(a, 80, 24, "open-80x24");
    app_free(a);
}

static void wide_screen_with_a_group_chosen(void **state)
{
    App *a = opened();
    for (int i = 0; i < 3; i++)
        app_act(a, ACT_DOWN);
    settle(a);
    assert_screen(a, 120, 36, "group-120x36");
    app_act(a, ACT_PANE_4);
    assert_screen(a, 80, 24, "group-text-80x24");
    app_free(a);
}

static void wide_screen_after_a_question(void **state)
{
    App *a = opened();
    type(a, ACT_ASK, "cells that make antibodies");
    app_act(a, ACT_PANE_5);
    assert_screen(a, 120, 36, "query-120x36");
    app_free(a);
}

static void wide_screen_with_generated_cells(void **state)
{
    App *a = opened();
    type(a, ACT_GENERATE, "plasma cells");
    a->generated_seconds[0] = 0.4;
    assert_screen(a, 120, 36, "generated-120x36");
    app_act(a, ACT_PANE_4);
    assert_screen(a, 80, 24, "generated-80x24");
    app_free(a);
}

static void no_colour_and_ascii(void **state)
{
    memset(&fake, 0, sizeof fake);
    App *a = open_with(0, GLYPHS_ASCII);
    settle(a);
    assert_screen(a, 80, 24, "ascii-80x24");
    char *s = screen(a, 120, 36);
    for (const char *p = s; *p; p++)
        assert_true((unsigned char)*p < 0x80);
    assert_non_null(strstr(s, "CCC")); /* each group by its letter */
    free(s);
    app_free(a);
}

static void without_a_model(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.bad_model = true;
    App *a = open_with(256, GLYPHS_BRAILLE);
    settle(a);
    assert_screen(a, 120, 36, "no-model-120x36");
    app_act(a, ACT_ASK);
    assert_int_equal(a->prompt.kind, PROMPT_NONE);
    app_free(a);
}

static void help_and_palette(void **state)
{
    App *a = opened();
    app_act(a, ACT_HELP);
    assert_screen(a, 80, 24, "help-80x24");
    app_act(a, ACT_BACK);
    app_act(a, ACT_COMMAND);
    app_prompt_edited(a, "", "gen", 3);
    assert_screen(a, 80, 24, "palette-80x24");
    app_free(a);
}

static void too_small(void **state)
{
    App *a = opened();
    assert_screen(a, 58, 17, "too-small-58x17");
    app_free(a);
}

static void panes_alone_at_40x10(void **state)
{
    static const char *const names[N_PANES] = {"",     "clusters", "map",  "markers",
                                               "text", "cells",    "jobs", "plot"};
    App *a = opened();
    app_act(a, ACT_DOWN);
    settle(a);
    for (PaneId id = PANE_CLUSTERS; id < PANE_JOBS; id++) { /* the jobs pane shows times */
        Canvas *c = canvas_new(40, 10, GLYPHS_BRAILLE);
        pane_ops(id)->draw(a, c, (Rect){0, 0, 40, 10});
        char *got = canvas_dump(c), *name = str_format("pane-%s-40x10", names[id]);
        assert_text_is(name, got);
        free(name);
        free(got);
        canvas_free(c);
    }
    app_free(a);
}

/* ---- no overflow ---- */
static void check_pane(App *a, PaneId id, int w, int h)
{
    Canvas *c = canvas_new(w + 4, h + 4, GLYPHS_BRAILLE);
    Rect in = {2, 2, w, h};
    canvas_fill(c, (Rect){0, 0, w + 4, h + 4}, '@', (Style){0, 0, 0});
    canvas_clip(c, in);
    canvas_fill(c, in, ' ', (Style){0, 0, 0});
    pane_ops(id)->draw(a, c, in);
    for (int y = 0; y < h + 4; y++)
        for (int x = 0; x < w + 4; x++) {
            bool inside = x >= 2 && x < w + 2 && y >= 2 && y < h + 2;
            if (!inside && c->cells[y * (w + 4) + x].ch != '@')
                fail_msg("pane %d at %d x %d writes to %d,%d", id, w, h, x - 2, y - 2);
        }
    canvas_free(c);
}

static void every_pane_stays_inside_at_every_size(void **state)
{
    App *a = opened();
    type(a, ACT_GENERATE, "plasma cells");
    type(a, ACT_ASK, "cells that make antibodies");
    for (int subject = SUBJECT_FILE; subject <= SUBJECT_LOG; subject++)
        for (PaneId id = PANE_CLUSTERS; id < N_PANES; id++) {
            if (id != PANE_TEXT && subject > SUBJECT_FILE)
                continue;
            a->subject = (Subject)subject;
            for (int w = 1; w <= 130; w += w < 24 ? 1 : 17)
                for (int h = 1; h <= 40; h += h < 12 ? 1 : 7)
                    check_pane(a, id, w, h);
        }
    app_free(a);
}

static void whole_screens_draw_at_every_size(void **state)
{
    App *a = opened();
    app_act(a, ACT_DOWN);
    settle(a);
    app_act(a, ACT_COLOR);
    for (int w = 1; w <= 210; w += w < 130 ? 3 : 20)
        for (int h = 1; h <= 60; h += h < 30 ? 2 : 7) {
            char *s = screen(a, w, h);
            assert_non_null(s);
            free(s);
        }
    app_free(a);
}

static void drawing_twice_gives_the_same(void **state)
{
    App *a = opened();
    type(a, ACT_GENERATE, "plasma cells");
    char *one = screen(a, 120, 36), *two = screen(a, 120, 36);
    assert_string_equal(one, two);
    free(one);
    free(two);
    app_free(a);
}

/* ---- behaviour ---- */
static void a_file_without_map_and_groups_gets_them(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.no_map = fake.no_groups = true;
    App *a = open_with(256, GLYPHS_BRAILLE);
    settle(a);
    assert_int_equal(fake.clusterings, 1);
    assert_non_null(app_map(a));
    assert_true(app_groups(a)->computed);
    assert_shows(a, "leiden r=1.00 (5)");
    assert_shows(a, "B cell (2)");
    app_free(a);
}

static void coarser_resolution_gives_new_groups_and_names(void **state)
{
    App *a = opened();
    app_act(a, ACT_DOWN);
    app_act(a, ACT_DOWN);
    settle(a);
    int before = fake.annotations;
    assert_int_equal(a->group, 1);
    app_act(a, ACT_MINUS);
    settle(a);
    assert_int_equal(app_groups(a)->n_groups, 3);
    assert_int_equal(a->group, 1); /* the cluster of the cells that were chosen is chosen still */
    assert_int_equal(a->n_selected, app_groups(a)->sizes[1]);
    assert_int_equal(a->cluster_rows[a->clusters.cursor - 1], 1);
    assert_int_equal(fake.annotations, before + 1);
    assert_int_equal(app_annotation(a)->n, 3);
    app_free(a);
}

static void choosing_a_row_selects_its_cells_and_describes_them_once(void **state)
{
    App *a = opened();
    for (int i = 0; i < 3; i++)
        app_act(a, ACT_DOWN);
    assert_int_equal(a->n_selected, 120);
    assert_string_equal(a->rule, "leiden=2");
    settle(a);
    assert_int_equal(fake.descriptions,
                     1); /* the rows that the cursor ran over were not described */
    assert_shows(a, "sel 120");
    assert_shows(a, "Markers of B cell");
    assert_shows(a, "MS4A1");
    assert_shows(a, "antigen receptor");
    assert_shows(a, "probability 0.97, next best: plasma cell");
    app_act(a, ACT_DOWN);
    app_act(a, ACT_UP);
    settle(a);
    assert_int_equal(fake.descriptions, 1); /* kept */
    app_act(a, ACT_BACK);
    assert_int_equal(a->n_selected, 0);
    app_free(a);
}

static void an_unknown_group_is_called_unknown(void **state)
{
    App *a = opened();
    app_act(a, ACT_BOTTOM);
    settle(a);
    assert_shows(a, "unknown (4)");
    assert_shows(a, "unknown: 40 cells, like nothing the model knows well");
    app_free(a);
}

static void a_question_ranks_groups_and_cells(void **state)
{
    App *a = opened();
    type(a, ACT_ASK, "cells that make antibodies");
    assert_int_equal(a->cluster_rows[0], 2);
    assert_int_equal(a->color_mode, COLOR_BY_QUERY);
    const size_t *rows;
    assert_int_equal(app_cell_order(a, &rows), FAKE_CELLS);
    assert_int_equal(fake_group(rows[0]), 2);
    assert_shows(a, "understood as plasma cell; B cell");
    app_act(a, ACT_DOWN);
    assert_int_equal(a->group, 2);
    assert_int_equal(app_cell_order(a, &rows), 120);
    app_free(a);
}

static void a_question_that_fails_says_why(void **state)
{
    App *a = opened();
    type(a, ACT_ASK, "hello");
    assert_shows(a, "names nothing biological");
    assert_int_equal(a->color_mode, COLOR_BY_GROUPS);
    app_free(a);
}

static void generated_cells_are_shown_and_removed(void **state)
{
    App *a = opened();
    type(a, ACT_COMMAND, "generate 50 plasma cells");
    assert_int_equal(a->n_generated, 1);
    assert_shows(a, "generated: plasma cells");
    assert_shows(a, "generated n=50 seed 0");
    assert_shows(a, "MMD 0.021  EMD 3.10");
    assert_shows(a, "k=3 0.91  5 0.92  10 0.93  25 0.90");
    assert_shows(a, "0.08 0.08 0.09 0.08");
    assert_shows(a, "IGKC JCHAIN MZB1 XBP1 SDC1");
    app_act(a, ACT_QUIT); /* they would be lost */
    assert_false(a->quit);
    assert_int_equal(a->prompt.kind, PROMPT_CONFIRM_QUIT);
    app_prompt_edited(a, "", "n", 1);
    assert_int_equal(a->prompt.kind, PROMPT_NONE);
    app_act(a, ACT_REMOVE_GENERATED);
    assert_int_equal(a->n_generated, 0);
    assert_hides(a, "generated: plasma cells");
    app_act(a, ACT_QUIT);
    assert_true(a->quit);
    app_free(a);
}

static void colour_by_gene_column_and_back(void **state)
{
    App *a = opened();
    type(a, ACT_COLOR, "ms4a"); /* the first suggestion is taken */
    assert_string_equal(app_color_values(a)->name, "MS4A1");
    assert_shows(a, "MS4A1  log1p CP10k");
    type(a, ACT_COLOR, "n_counts");
    assert_string_equal(app_color_values(a)->name, "n_counts");
    type(a, ACT_COLOR, "donor");
    assert_null(app_color_values(a));
    assert_int_equal(app_groups(a)->n_groups, 2);
    type(a, ACT_COMMAND, "color NOGENE");
    assert_shows(a, "did you mean CD3E");
    app_free(a);
}

static void a_rule_selects_and_inverts(void **state)
{
    App *a = opened();
    type(a, ACT_GATE, "leiden=4");
    assert_int_equal(a->n_selected, 40);
    app_act(a, ACT_INVERT);
    assert_int_equal(a->n_selected, 560);
    assert_string_equal(a->rule, "not (leiden=4)");
    type(a, ACT_GATE, "leiden");
    assert_shows(a, "expected KEY=VALUE");
    assert_int_equal(a->n_selected, 560);
    app_free(a);
}

static void a_rectangle_by_keys_selects_what_lies_in_it(void **state)
{
    App *a = opened();
    free(screen(a, 120, 36));
    app_act(a, ACT_PANE_2);
    app_act(a, ACT_BOX);
    for (int i = 0; i < 200; i++) {
        app_act(a, ACT_UP);
        app_act(a, ACT_LEFT);
    }
    app_act(a, ACT_ENTER);
    for (int i = 0; i < 200; i++) {
        app_act(a, ACT_DOWN);
        app_act(a, ACT_RIGHT);
    }
    assert_shows(a, "Enter sets the first corner");
    app_act(a, ACT_ENTER);
    assert_int_equal(a->n_selected, FAKE_CELLS);
    assert_true(str_starts(a->rule, "rectangle"));
    app_free(a);
}

/* The character of the map pane that holds the middle of group g. */
static void the_cursor_stays_on_the_map_when_the_pane_changes(void **state)
{
    App *a = opened();
    double x[2], y[2];
    free(screen(a, 120, 36));
    app_act(a, ACT_PANE_2);
    app_act(a, ACT_BOX);
    for (int i = 0; i < 12; i++)
        app_act(a, ACT_LEFT);
    for (int k = 0; k < 2; k++) {
        free(screen(a, k ? 80 : 120, k ? 24 : 36));
        map_from_dots(a->raster, 2 * a->map_view.cur_x + 1, 4 * a->map_view.cur_y + 2, &x[k], &y[k]);
    }
    assert_true(fabs(x[1] - x[0]) <= 2 / a->raster->scale_x); /* a character */
    assert_true(fabs(y[1] - y[0]) <= 4 / a->raster->scale_y);
    app_free(a);
}

static void find_group(App *a, int g, int *x, int *y)
{
    const Map *m = app_map(a);
    double mx = 0, my = 0, n = 0;
    for (size_t i = 0; i < m->n; i++)
        if (fake_group(i) == g) {
            mx += m->xy[2 * i];
            my += m->xy[2 * i + 1];
            n++;
        }
    free(screen(a, 120, 36));
    Rect r = a->map_view.inner;
    double px, py;
    map_to_dots(a->raster, mx / n, my / n, &px, &py);
    *x = r.x + (int)px / 2;
    *y = r.y + (int)py / 4;
}

static void dragging_the_mouse_selects_and_a_click_picks_a_cell(void **state)
{
    App *a = opened();
    int x, y;
    find_group(a, 0, &x, &y);
    app_mouse(a, MOUSE_PRESS, x - 12, y - 4);
    app_mouse(a, MOUSE_DRAG, x, y);
    app_mouse(a, MOUSE_DRAG, x + 12, y + 4);
    app_mouse(a, MOUSE_RELEASE, x + 12, y + 4);
    assert_int_equal(a->n_selected, 200);
    app_mouse(a, MOUSE_PRESS, x, y);
    app_mouse(a, MOUSE_RELEASE, x, y);
    assert_int_equal(a->subject, SUBJECT_CELL);
    assert_int_equal(fake_group(a->subject_cell), 0);
    settle(a);
    assert_shows(a, "antigen receptor");
    app_free(a);
}

static void a_polygon_by_keys_needs_three_corners(void **state)
{
    App *a = opened();
    free(screen(a, 120, 36));
    app_act(a, ACT_LASSO);
    app_act(a, ACT_ENTER);
    app_act(a, ACT_LASSO);
    assert_shows(a, "needs three corners");
    int x, y;
    find_group(a, 0, &x, &y);
    double box[4][2] = {{3, -3}, {9, -3}, {9, 3}, {3, 3}};
    app_select_polygon(a, (const double(*)[2])box, 4, "test");
    assert_int_equal(a->n_selected, 200);
    app_free(a);
}

static void zooming_and_panning_move_the_picture(void **state)
{
    App *a = opened();
    app_act(a, ACT_PANE_2);
    char *before = screen(a, 120, 36);
    app_act(a, ACT_PLUS);
    app_act(a, ACT_RIGHT);
    char *after = screen(a, 120, 36);
    assert_string_not_equal(before, after);
    app_act(a, ACT_RESET);
    char *again = screen(a, 120, 36);
    assert_string_equal(before, again);
    free(before);
    free(after);
    free(again);
    app_free(a);
}

static void a_versus_b(void **state)
{
    App *a = opened();
    type(a, ACT_GATE, "leiden=2");
    app_act(a, ACT_SET_A);
    type(a, ACT_GATE, "leiden=0");
    app_act(a, ACT_SET_B);
    app_act(a, ACT_DE);
    settle(a);
    assert_true(a->show_de);
    assert_shows(a, "A leiden=2");
    app_free(a);
}

static void writing_a_figure_names_the_file_and_the_command(void **state)
{
    App *a = opened();
    unlink("fake_leiden.png.groups.tsv");
    app_act(a, ACT_EXPORT);
    assert_string_equal(a->prompt.text, "fake_leiden.png");
    app_prompt_accept(a, false);
    settle(a);
    assert_string_equal(fake.last_plot, "fake_leiden.png groups");
    assert_shows(a,
                 "again: scmmgpt plot fake.h5ad --groups fake_leiden.png.groups.tsv --basis umap -o");
    assert_int_equal(unlink("fake_leiden.png.groups.tsv"), 0);
    app_act(a, ACT_PANE_2);
    app_act(a, ACT_PLUS);
    char *zoomed = app_export_command(a, "x.png", false);
    free(zoomed);
    free(screen(a, 120, 36));
    zoomed = app_export_command(a, "x.png", false);
    double v[4];
    assert_non_null(strstr(zoomed, "--view="));
    assert_int_equal(
        sscanf(strstr(zoomed, "--view="), "--view=%lf,%lf,%lf,%lf", v, v + 1, v + 2, v + 3), 4);
    assert_true(v[0] < v[2] && v[1] < v[3]);
    free(zoomed);
    type(a, ACT_COLOR, "MS4A1");
    type(a, ACT_COMMAND, "write out.svg");
    assert_string_equal(fake.last_plot, "out.svg color MS4A1");
    app_free(a);
}

static void neighbours_change_with_a_key_and_the_map_follows(void **state)
{
    App *a = opened();
    app_act(a, ACT_MORE_NEIGHBORS);
    settle(a);
    assert_int_equal(fake.neighbors, 20);
    assert_true(app_map(a)->computed);
    assert_shows(a, "leiden r=1.00 k=20 (5)");
    char *command = app_export_command(a, "x.png", false);
    assert_string_equal(
        command, "scmmgpt plot fake.h5ad --cluster --neighbors 20 --groups x.png.groups.tsv -o x.png");
    free(command);
    type(a, ACT_EMBEDDING, "X_umap");
    assert_false(app_map(a)->computed);
    int before = fake.clusterings;
    type(a, ACT_EMBEDDING, "computed");
    assert_true(app_map(a)->computed);
    assert_int_equal(fake.clusterings, before); /* it is at hand */
    type(a, ACT_COMMAND, "neighbors 5");
    assert_int_equal(fake.neighbors, 5);
    app_act(a, ACT_UNDO);
    app_act(a, ACT_UNDO);
    assert_false(app_groups(a)->computed); /* those of the file again */
    app_act(a, ACT_UNDO);
    assert_shows(a, "the clusters have not been changed");
    app_free(a);
}

static void clusters_are_merged_divided_and_brought_back(void **state)
{
    App *a = opened();
    app_act(a, ACT_MERGE);
    assert_shows(a, "mark two clusters or more");
    app_act(a, ACT_DOWN);
    app_act(a, ACT_MARK);
    app_act(a, ACT_DOWN);
    app_act(a, ACT_MARK);
    assert_shows(a, "\u25cf*160");
    app_act(a, ACT_MERGE);
    settle(a);
    assert_string_equal(app_groups(a)->key, "leiden_edited");
    assert_int_equal(app_groups(a)->sizes[0], 360);
    char *command = app_export_command(a, "x.png", false);
    assert_string_equal(command,
                        "scmmgpt plot fake.h5ad --groups x.png.groups.tsv --cells leiden_edited=0 --basis umap -o x.png");
    free(command);
    app_act(a, ACT_UNDO);
    settle(a);
    assert_int_equal(app_groups(a)->sizes[0], 200);
    app_act(a, ACT_BACK);
    app_act(a, ACT_SUBCLUSTER);
    assert_shows(a, "select the cells to divide first");
    type(a, ACT_GATE, "leiden=2");
    app_act(a, ACT_SUBCLUSTER);
    settle(a);
    const Groups *g = app_groups(a);
    assert_int_equal(g->n_groups, 6);
    assert_string_equal(g->names[4], "sub.0");
    assert_int_equal(g->sizes[4] + g->sizes[5], 120);
    assert_int_equal(g->colors[4], 0x009E73); /* that of the group which is gone */
    for (int i = 0; i < MAX_UNDO + 3; i++) /* the oldest are forgotten */
        app_keep_groups(a);
    assert_int_equal(a->n_former, MAX_UNDO);
    app_free(a);
}

static void scores_of_genes_and_quality_colour_the_map(void **state)
{
    App *a = opened();
    type(a, ACT_SCORE, "MS4A1, CD79A");
    assert_string_equal(app_color_values(a)->name, "score:MS4A1,CD79A");
    type(a, ACT_COLOR, "qc:mi");
    assert_string_equal(app_color_values(a)->name, "qc:mito");
    char *command = app_export_command(a, "x.png", false);
    assert_string_equal(command, "scmmgpt plot fake.h5ad --color qc:mito --basis umap -o x.png");
    free(command);
    app_free(a);
}

static void names_of_groups_that_have_gone_are_not_taken(void **state)
{
    App *a = opened();
    app_start(a, WORK_ANNOTATE, NULL); /* on its way while the groups change */
    type(a, ACT_COLOR, "donor");
    assert_int_equal(app_annotation(a)->n, 2);
    app_free(a);
}

/* All cells in one character of the map. */
static void a_place_shows_its_selected_cells_and_their_largest_value(void **state)
{
    App *a = opened();
    assert_int_equal(map_raster(a, 1, 1, GLYPHS_BRAILLE)->selected[0], 0);
    type(a, ACT_GATE, "leiden=3");
    type(a, ACT_COLOR, "MS4A1");
    const MapRaster *r = map_raster(a, 1, 1, GLYPHS_BRAILLE);
    const Values *v = app_color_values(a);
    float most = -1, all = -1;
    for (size_t i = 0; i < v->n; i++) {
        most = a->selected[i] && v->v[i] > most ? v->v[i] : most;
        all = v->v[i] > all ? v->v[i] : all;
    }
    assert_true(all > most); /* another place than that of all cells */
    assert_int_equal(r->selected[0], 1);
    assert_int_equal(r->top[0], 3);
    assert_true(r->value[0] == most);
    app_free(a);
}

static const Chart *chart(App *a)
{
    for (int i = 0; i < 5; i++) /* it waits until the keys rest */
        settle(a);
    assert_non_null(a->chart);
    return shared_get(a->chart);
}

static void genes_and_groups_are_plotted(void **state)
{
    App *a = opened();
    app_act(a, ACT_NEXT_PLOT);
    const Chart *c = chart(a);
    assert_int_equal(c->kind, CHART_DOTS);
    assert_int_equal(c->n_genes, 15); /* three of each group */
    assert_int_equal(c->fraction[0], 1);
    assert_int_equal(c->fraction[1], 0);
    assert_screen(a, 120, 36, "plot-dots-120x36");
    app_act(a, ACT_EXPORT);
    assert_string_equal(a->prompt.text, "fake_dots_leiden.png");
    app_prompt_cancel(a);
    type(a, ACT_GENES, "MS4A1 LYZ");
    c = chart(a);
    unlink("x.pdf.groups.tsv");
    type(a, ACT_EXPORT, "x.pdf");
    assert_string_equal(fake.last_plot, "x.pdf kind 1, 2 colours");
    assert_shows(a, "again: scmmgpt plot fake.h5ad --kind dotplot --size 170mm --groups "
                    "x.pdf.groups.tsv");
    assert_int_equal(unlink("x.pdf.groups.tsv"), 0);
    assert_int_equal(c->n_genes, 2);
    assert_string_equal(c->genes[1], "LYZ");
    app_act(a, ACT_RIGHT);
    c = chart(a);
    assert_int_equal(c->kind, CHART_VIOLIN);
    assert_int_equal(c->by_group.groups[2].n, 120);
    assert_int_equal(c->by_group.groups[0].n, 200); /* none has it: they lie at 0, as in the figure */
    assert_true(c->by_group.groups[0].max == 0 && c->fraction[0] == 0);
    assert_screen(a, 120, 36, "plot-violins-120x36");
    type(a, ACT_GENES, "NOGENE");
    for (int i = 0; i < 5; i++)
        settle(a);
    assert_shows(a, "did you mean CD3E");
    type(a, ACT_GENES, "");
    type(a, ACT_COLOR, "n_counts");
    app_act(a, ACT_NEXT_PLOT);
    c = chart(a);
    assert_int_equal(c->kind, CHART_HISTOGRAM);
    assert_string_equal(c->name, "n_counts");
    assert_int_equal(c->all.groups[0].n, FAKE_CELLS);
    assert_screen(a, 120, 36, "plot-histogram-120x36");
    app_act(a, ACT_NEXT_PLOT);
    c = chart(a);
    assert_int_equal(c->kind, CHART_BARS);
    assert_string_equal(c->by, "donor");
    assert_int_equal(c->counts[0] + c->counts[5], 200);
    assert_screen(a, 120, 36, "plot-composition-120x36");
    assert_screen(a, 80, 24, "plot-composition-80x24");
    type(a, ACT_GATE, "leiden=2");
    c = chart(a);
    assert_int_equal(c->counts[0] + c->counts[5], 0); /* of the selected cells alone */
    assert_int_equal(c->counts[2] + c->counts[7], 120);
    app_act(a, ACT_BACK);
    type(a, ACT_COMMAND, "composition leiden"); /* the groups themselves: how many cells each has */
    c = chart(a);
    assert_null(c->by);
    assert_int_equal(c->counts[0], 200);
    assert_int_equal(c->counts[2 * c->n_groups + 2], 120);
    a->now += 60;
    app_act(a, ACT_REDRAW); /* by now the message is an old one */
    assert_screen(a, 120, 36, "plot-sizes-120x36");
    unlink("x.pdf.groups.tsv");
    type(a, ACT_EXPORT, "x.pdf");
    assert_string_equal(fake.last_plot, "x.pdf kind 5, 0 colours");
    assert_shows(a, "again: scmmgpt plot fake.h5ad --kind composition --size 170mm --groups "
                    "x.pdf.groups.tsv -o x.pdf");
    assert_int_equal(unlink("x.pdf.groups.tsv"), 0);
    type(a, ACT_COMMAND, "composition nothing");
    for (int i = 0; i < 5; i++)
        settle(a);
    assert_shows(a, "there is no such column");
    app_free(a);
}

static void assert_markers(App *a, const char *first, const char *second, size_t n)
{
    const size_t *rows;
    assert_int_equal(app_marker_rows(a, &rows), n);
    assert_string_equal(app_markers(a)->rows[rows[0]].gene, first);
    assert_string_equal(app_markers(a)->rows[rows[n > 1]].gene, second);
}

static void markers_are_sorted_and_filtered(void **state)
{
    App *a = opened();
    type(a, ACT_SEARCH, "B cell");
    assert_markers(a, "MS4A1", "CD79A", 4);
    app_act(a, ACT_SORT);
    assert_markers(a, "CD79A", "CD79B", 4); /* by name */
    app_act(a, ACT_REVERSE);
    assert_markers(a, "MS4A1", "HLA-DRA", 4);
    app_act(a, ACT_SORT);
    app_act(a, ACT_REVERSE); /* by fold change, smallest first */
    assert_markers(a, "HLA-DRA", "CD79B", 4);
    assert_shows(a, "logFC\u2191");
    type(a, ACT_FILTER, "cd79 logFC>2 padj<1e-50");
    assert_markers(a, "CD79B", "CD79A", 2);
    assert_shows(a, "Markers of B cell  [cd79 logFC>2");
    type(a, ACT_FILTER, "in>=0.86");
    assert_markers(a, "MS4A1", "MS4A1", 1);
    type(a, ACT_FILTER, "in>0.86");
    assert_shows(a, "no gene passes the filter");
    type(a, ACT_FILTER, "cd79 logFC>2 padj<1e-50");
    type(a, ACT_FILTER, "size>2");
    assert_shows(a, "the columns are score, logFC, in, out, padj");
    type(a, ACT_FILTER, "lo>2"); /* part of a name is none */
    assert_shows(a, "'lo>2': the columns are");
    type(a, ACT_FILTER, "a a a a a a a a a a a a a a a a cd79");
    assert_shows(a, "'cd79': too many or too long words");
    type(a, ACT_FILTER, "padj<");
    assert_shows(a, "a number follows the sign");
    assert_markers(a, "CD79B", "CD79A", 2);
    type(a, ACT_FILTER, "nothing");
    assert_shows(a, "no gene passes the filter");
    type(a, ACT_FILTER, "");
    assert_markers(a, "HLA-DRA", "CD79B", 4);
    app_free(a);
}

static void a_ranking_of_the_file_is_shown_first_and_computed_on_request(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.stored_markers = true;
    App *a = open_with(256, GLYPHS_BRAILLE);
    settle(a);
    type(a, ACT_SEARCH, "B cell");
    assert_true(app_markers(a)->precomputed);
    assert_shows(a, "Markers of B cell  of the file");
    assert_shows(a, "MS4A1        4.91     - 0.05  <1e-300");
    app_act(a, ACT_SORT);
    app_act(a, ACT_SORT);
    app_act(a, ACT_SORT); /* by a column that is missing: the test's order */
    assert_markers(a, "MS4A1", "CD79A", 4);
    app_act(a, ACT_RERUN);
    settle(a);
    assert_false(app_markers(a)->precomputed);
    assert_string_equal(app_markers(a)->method, "wilcoxon");
    app_act(a, ACT_RERUN);
    settle(a);
    assert_shows(a, "Markers of B cell  t-test");
    app_act(a, ACT_RERUN);
    settle(a);
    assert_string_equal(app_markers(a)->method, "t-test_overestim_var");
    app_act(a, ACT_RERUN);
    settle(a);
    assert_true(app_markers(a)->precomputed);
    app_free(a);
}

/* A folder of its own, in which names are short; back, and nothing may be left in it. */
static int go_to(char *dir)
{
    int home = open(".", O_RDONLY | O_DIRECTORY);
    assert_true(home >= 0);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    return home;
}

static void go_back(int home, const char *dir)
{
    assert_int_equal(fchdir(home), 0);
    close(home);
    assert_int_equal(rmdir(dir), 0);
}

/* E with the name typed; returns what the file holds, and takes it away. */
static char *table_written(App *a, const char *path)
{
    char *text = NULL;
    type(a, ACT_TABLE, path);
    assert_ok(str_read_file(path, 1 << 20, ERR_GENERAL, &text, NULL));
    unlink(path);
    return text;
}

static void assert_again(App *a, const char *command)
{
    assert_int_equal(a->work[WORK_TABLE].state, WORK_DONE);
    const char *said = strstr(a->messages[a->n_messages - 1].text, "again: ");
    assert_non_null(said);
    assert_string_equal(said + strlen("again: "), command);
}

static void the_table_is_written_as_it_is_on_the_screen(void **state)
{
    static const char head[] =
        "group\tgene\tscore\tlogfoldchange\tpval\tpval_adj\tfrac_in\tfrac_out\n";
    App *a = opened();
    char dir[] = "/tmp/scmmgpt-views-XXXXXX";
    int home = go_to(dir);
    type(a, ACT_FILTER, "CD79A CD14");
    app_act(a, ACT_PANE_3);
    app_act(a, ACT_DATA);
    assert_string_equal(a->prompt.text, "fake_markers_leiden.tsv");
    app_prompt_cancel(a);
    char *text = table_written(a, "t.tsv"), *want;
    want = str_format("%s1\tCD14\t18\t2.91\t0\t1e-80\t0.66\t0.05\n2\tCD79A\t19\t3.91\t0\t1e-140\t0.76\t0.05\n", head);
    assert_string_equal(text, want);
    assert_again(a, "scmmgpt markers fake.h5ad --groupby leiden --filter 'CD79A CD14' -o t.tsv");
    assert_shows(a, "2 rows");
    free(text);
    free(want);
    type(a, ACT_FILTER, "logFC>2.9");
    app_act(a, ACT_PANE_1);
    type(a, ACT_SEARCH, "B cell"); /* one group, by fold change, smallest first */
    for (int i = 0; i < 2; i++)
        app_act(a, ACT_SORT);
    app_act(a, ACT_REVERSE);
    text = table_written(a, "t.tsv");
    want = str_format("%s2\tCD79B\t18\t2.91\t0\t1e-80\t0.66\t0.05\n2\tCD79A\t19\t3.91\t0\t1e-140\t0.76\t0.05\n"
                      "2\tMS4A1\t20\t4.91\t0\t0\t0.86\t0.05\n", head);
    assert_string_equal(text, want);
    assert_again(a, "scmmgpt markers fake.h5ad --groupby leiden --group 2 --filter 'logFC>2.9' "
                    "--sort logFC --reverse -o t.tsv");
    free(text);
    free(want);
    go_back(home, dir);
    app_free(a);
}

/* What no rule finds in the file lies beside the table. */
static void the_table_of_clusters_by_hand_can_be_made_again(void **state)
{
    App *a = opened();
    char dir[] = "/tmp/scmmgpt-views-XXXXXX";
    int home = go_to(dir);
    app_act(a, ACT_DOWN);
    app_act(a, ACT_MARK);
    app_act(a, ACT_DOWN);
    app_act(a, ACT_MARK);
    app_act(a, ACT_MERGE);
    settle(a);
    assert_int_equal(a->group, 0); /* the new cluster is the chosen one */
    free(table_written(a, "t.tsv"));
    assert_again(a, "scmmgpt markers fake.h5ad --groups t.tsv.groups.tsv --group 0 -o t.tsv");
    assert_int_equal(unlink("t.tsv.groups.tsv"), 0);
    app_act(a, ACT_SET_A);
    type(a, ACT_GATE, "leiden=2");
    app_act(a, ACT_SET_B);
    app_act(a, ACT_DE);
    settle(a);
    char *text = table_written(a, "d.tsv");
    assert_true(str_starts(text, "gene\tscore\tlogfoldchange\tpval\tpval_adj\tfrac_in\tfrac_out\n"));
    assert_again(a, "scmmgpt de fake.h5ad --a @d.tsv.a.txt --b leiden=2 -o d.tsv");
    assert_int_equal(unlink("d.tsv.a.txt"), 0);
    free(text);
    go_back(home, dir);
    app_free(a);
}

static void assert_command(App *a, const char *want)
{
    char *got = app_export_command(a, "x.png", false);
    assert_string_equal(got, want);
    free(got);
}

static void the_command_of_a_figure_names_the_question_and_the_generated_cells(void **state)
{
    App *a = opened();
    type(a, ACT_ASK, "cells that make antibodies");
    assert_command(a, "scmmgpt plot fake.h5ad --query 'cells that make antibodies' --basis umap "
                      "-o x.png");
    type(a, ACT_EXPORT, "x.png");
    assert_string_equal(fake.last_plot, "x.png values query");
    type(a, ACT_COMMAND, "seed 7");
    a->n_to_generate = 30;
    type(a, ACT_GENERATE, "plasma cells");
    type(a, ACT_COMMAND, "seed 8");
    type(a, ACT_GENERATE, "B cell's kin");
    assert_command(a, "scmmgpt plot fake.h5ad --query 'cells that make antibodies' "
                      "--generate 'B cell'\\''s kin' -n 30 --generate-seed 8 --basis umap -o x.png");
    app_act(a, ACT_REMOVE_GENERATED);
    type(a, ACT_COLOR, "MS4A1");
    assert_command(a, "scmmgpt plot fake.h5ad --color MS4A1 --generate 'plasma cells' "
                      "-n 30 --generate-seed 7 --basis umap -o x.png");
    type(a, ACT_EXPORT, "x.png");
    assert_string_equal(fake.last_plot, "x.png color MS4A1 generated 7");
    app_act(a, ACT_REMOVE_GENERATED);
    assert_command(a, "scmmgpt plot fake.h5ad --color MS4A1 --basis umap -o x.png");
    app_free(a);
}

static void labels_are_written_as_a_table_and_never_over_a_file(void **state)
{
    App *a = opened();
    char dir[] = "/tmp/scmmgpt-views-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path = str_format("%s/labels.tsv", dir), *command = str_format("write-data %s", path),
         *text = NULL;
    app_act(a, ACT_DOWN);
    settle(a);
    type(a, ACT_COMMAND, command);
    assert_ok(str_read_file(path, 1 << 20, ERR_GENERAL, &text, NULL));
    assert_true(str_starts(text, "# command: scmmgpt annotate fake.h5ad --by leiden -o "));
    assert_non_null(strstr(text, "\n# device: cpu\n"));
    assert_non_null(strstr(text, "cell\tleiden\tgroup_label\tgroup_probability\tselected\tx\ty\n"));
    assert_non_null(strstr(text, "\t0\tCD4 T cell\t0.71\t1\t"));
    assert_non_null(strstr(text, "\t4\tunknown\t0.44\t0\t"));
    type(a, ACT_COMMAND, command);
    assert_shows(a, "exists");
    unlink(path);
    rmdir(dir);
    free(text);
    free(path);
    free(command);
    app_free(a);
}

static void long_work_is_shown_leaves_the_keys_free_and_stops(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.slow_embed = true;
    App *a = open_with(256, GLYPHS_BRAILLE);
    WAIT_UNTIL(shows(a, "embedding: cells"), {
        job_queue_poll(a->queue);
        a->now += 0.1;
        app_tick(a);
    });
    app_act(a, ACT_DOWN); /* keys work meanwhile, and so does a quick job */
    assert_int_equal(a->n_selected, 200);
    app_act(a, ACT_COLOR);
    app_prompt_edited(a, "", "MS4A1", 5);
    app_prompt_accept(a, false);
    WAIT_UNTIL(app_color_values(a), job_queue_poll(a->queue));
    assert_int_equal(a->work[WORK_EMBED].state, WORK_BUSY);
    app_act(a, ACT_CANCEL);
    settle(a);
    assert_int_equal(a->work[WORK_EMBED].state, WORK_STOPPED);
    assert_int_equal(a->n_selected, 200);
    app_act(a, ACT_CANCEL);
    app_act(a, ACT_CANCEL);
    assert_int_equal(a->prompt.kind, PROMPT_CONFIRM_QUIT);
    app_free(a);
}

static void leaving_while_the_worker_works(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.slow_embed = true;
    App *a = open_with(256, GLYPHS_BRAILLE);
    usleep(30000);
    app_free(a);
}

static void a_file_that_does_not_open_ends_with_its_message(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.bad_file = true;
    App *a = open_with(256, GLYPHS_BRAILLE);
    settle(a);
    assert_true(a->quit);
    assert_int_equal(a->exit_code, ERR_INPUT);
    assert_string_equal(a->exit_message, "X/indptr: decreases at row 7; the file is damaged");
    app_free(a);
}

static void reading_the_file_again_forgets_and_comes_back(void **state)
{
    App *a = opened();
    type(a, ACT_ASK, "cells that make antibodies");
    app_act(a, ACT_RELOAD);
    settle(a);
    assert_null(app_query(a));
    assert_non_null(app_annotation(a));
    assert_true(a->embedded);
    assert_shows(a, "mini-1 on cpu");
    app_free(a);
}

static void naming_every_cell_makes_a_partition(void **state)
{
    App *a = opened();
    app_act(a, ACT_ANNOTATE);
    settle(a);
    assert_string_equal(app_groups(a)->key, "annotation");
    assert_int_equal(app_groups(a)->n_groups, 5);
    assert_shows(a, "annotation (5)");
    app_free(a);
}

static void searching_goes_to_the_next_match(void **state)
{
    App *a = opened();
    type(a, ACT_SEARCH, "killer");
    assert_int_equal(a->group, 3);
    type(a, ACT_SEARCH, "nothing like it");
    assert_shows(a, "no cluster is called nothing like it");
    app_act(a, ACT_PANE_5);
    type(a, ACT_SEARCH, "cell599");
    assert_shows(a, "no cell is called cell599"); /* it is not in the selection */
    app_free(a);
}

static void a_view_is_kept_as_text_and_brought_back(void **state)
{
    App *a = opened();
    char *text = app_session_text(a);
    assert_null(text); /* nothing was done */
    type(a, ACT_GATE, "leiden=2");
    type(a, ACT_COMMAND, "seed 7");
    type(a, ACT_COMMAND, "generate 30 plasma cells");
    type(a, ACT_COLOR, "MS4A1");
    text = app_session_text(a);
    assert_string_equal(text, "# a view of scmmgpt, version 1\nfile fake.h5ad\nmap X_umap\ngroups "
                              "leiden\nselect leiden=2\n"
                              "generate 7 30 plasma cells\ncolor MS4A1\n");
    app_free(a);
    a = opened();
    a->kept = text;
    app_act(a, ACT_RESTORE);
    for (int i = 0; i < 200 && a->restoring; i++)
        settle(a);
    assert_null(a->restoring);
    assert_int_equal(a->n_generated, 1);
    assert_int_equal(app_generated(a, 0)->seed, 7);
    assert_string_equal(app_color_values(a)->name, "MS4A1");
    assert_int_equal(a->n_selected, 120);
    app_session_restore(a, "nonsense\nview 1 2\ngenerate x\nresolution -4\nselect \n");
    for (int i = 0; i < 200 && a->restoring; i++)
        settle(a);
    assert_int_equal(a->n_generated, 1);
    app_free(a);
}

static void every_action_can_be_done_at_any_moment(void **state)
{
    for (int opened_first = 0; opened_first < 2; opened_first++)
        for (PaneId id = PANE_CLUSTERS; id < N_PANES; id++)
            for (Action act = 1; act < N_ACTIONS; act++) {
                memset(&fake, 0, sizeof fake);
                App *a = open_with(8, GLYPHS_BLOCK);
                if (opened_first)
                    settle(a);
                a->focus = id;
                app_act(a, act);
                app_prompt_cancel(a);
                app_act(a, act);
                free(screen(a, 80, 24));
                free(screen(a, 120, 36));
                app_free(a);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wide_screen_after_opening),
        TEST(wide_screen_with_a_group_chosen),
        TEST(wide_screen_after_a_question),
        TEST(wide_screen_with_generated_cells),
        TEST(no_colour_and_ascii),
        TEST(without_a_model),
        TEST(help_and_palette),
        TEST(too_small),
        TEST(panes_alone_at_40x10),
        TEST(every_pane_stays_inside_at_every_size),
        TEST(whole_screens_draw_at_every_size),
        TEST(drawing_twice_gives_the_same),
        TEST(a_file_without_map_and_groups_gets_them),
        TEST(coarser_resolution_gives_new_groups_and_names),
        TEST(choosing_a_row_selects_its_cells_and_describes_them_once),
        TEST(an_unknown_group_is_called_unknown),
        TEST(a_question_ranks_groups_and_cells),
        TEST(a_question_that_fails_says_why),
        TEST(generated_cells_are_shown_and_removed),
        TEST(colour_by_gene_column_and_back),
        TEST(a_rule_selects_and_inverts),
        TEST(a_rectangle_by_keys_selects_what_lies_in_it),
        TEST(the_cursor_stays_on_the_map_when_the_pane_changes),
        TEST(dragging_the_mouse_selects_and_a_click_picks_a_cell),
        TEST(a_polygon_by_keys_needs_three_corners),
        TEST(zooming_and_panning_move_the_picture),
        TEST(a_versus_b),
        TEST(neighbours_change_with_a_key_and_the_map_follows),
        TEST(clusters_are_merged_divided_and_brought_back),
        TEST(scores_of_genes_and_quality_colour_the_map),
        TEST(a_place_shows_its_selected_cells_and_their_largest_value),
        TEST(names_of_groups_that_have_gone_are_not_taken),
        TEST(genes_and_groups_are_plotted),
        TEST(markers_are_sorted_and_filtered),
        TEST(a_ranking_of_the_file_is_shown_first_and_computed_on_request),
        TEST(the_table_is_written_as_it_is_on_the_screen),
        TEST(the_table_of_clusters_by_hand_can_be_made_again),
        TEST(writing_a_figure_names_the_file_and_the_command),
        TEST(the_command_of_a_figure_names_the_question_and_the_generated_cells),
        TEST(labels_are_written_as_a_table_and_never_over_a_file),
        TEST(long_work_is_shown_leaves_the_keys_free_and_stops),
        TEST(leaving_while_the_worker_works),
        TEST(a_file_that_does_not_open_ends_with_its_message),
        TEST(reading_the_file_again_forgets_and_comes_back),
        TEST(naming_every_cell_makes_a_partition),
        TEST(searching_goes_to_the_next_match),
        TEST(a_view_is_kept_as_text_and_brought_back),
        TEST(every_action_can_be_done_at_any_moment),
    };
    return RUN(tests);
}
