/* Keys in any order and at any moment: random ones while work comes and goes, and those typed ahead of what they are
 * about. Without a terminal, on the session of test_views. */
#include "tests/util.h"

#include <poll.h>

#include "core/base/rng.h"
#include "tests/fake_session.c"
#include "views/pane.h"

static App *open_with(int colors, GlyphTier tier)
{
    AppOptions o = {.session = session_params_default(), .path = "fake.h5ad", .tier = tier, .colors = colors, .mouse = true};
    App *a = app_new(&o);
    a->now = 1;
    app_begin(a);
    return a;
}

static void settle(App *a)
{
    WAIT_UNTIL(!a->open_jobs && !app_chart_is_due(a), (a->now += a->open_jobs ? 0 : 0.1, app_tick(a), job_queue_poll(a->queue)));
}

static void type(App *a, Action prompt, const char *text)
{
    app_act(a, prompt);
    app_prompt_edited(a, "", text, (int)strlen(text));
    app_prompt_accept(a, false);
}

/* ---- random keys ---- */

/* What the panes rely on. */
static void assert_sound(const App *a)
{
    const Groups *g = app_groups(a);
    size_t n = 0;
    for (size_t i = 0; a->selected && i < a->facts->cells; i++)
        n += a->selected[i] != 0;
    assert_int_equal(n, a->n_selected);
    if (a->group >= 0) {
        assert_non_null(g);
        assert_true((size_t)a->group < g->n_groups);
        for (size_t i = 0; i < g->n_cells; i++)
            assert_int_equal(a->selected[i], g->codes[i] == a->group);
    }
    assert_true(a->n_cluster_rows == 0 || a->clusters.cursor <= a->n_cluster_rows + a->n_generated);
    assert_true(a->n_generated <= MAX_GENERATED && a->n_former <= MAX_UNDO && a->n_messages <= MAX_MESSAGES);
}

static void press_in_prompt(App *a, Rng *r)
{
    static const char *const texts[] = {"leiden=2", "CD3E",       "plasma cells", "padj<0.05 logFC>=1", "B",     "x.png",     "x.tsv",
                                        "x.csv",    "donor",      "leiden",       "resolution 2",       "merge", "neighbors 5",
                                        "nothing",  "MS4A1 LYZ", "y",            "",                   "X_pca", "n_counts"};
    const char *text = texts[rng_below(r, sizeof texts / sizeof *texts)];
    switch (rng_below(r, 8)) {
    case 0:
        app_prompt_cancel(a);
        break;
    case 1:
        app_prompt_move(a, rng_below(r, 2) ? 1 : -1);
        break;
    case 2:
        app_prompt_complete(a);
        break;
    case 3:
        app_prompt_accept(a, rng_below(r, 4) == 0);
        break;
    default:
        app_prompt_edited(a, "", text, (int)rng_below(r, strlen(text) + 1));
        if (rng_below(r, 2))
            app_prompt_accept(a, false);
    }
}

static void press_any(App *a, Rng *r)
{
    int x = (int)rng_below(r, 130), y = (int)rng_below(r, 40);
    if (a->prompt.kind != PROMPT_NONE)
        press_in_prompt(a, r);
    else if (rng_below(r, 10) == 0)
        app_mouse(a, (MouseKind)rng_below(r, MOUSE_WHEEL_DOWN + 1), x, y);
    else
        app_act(a, (Action)(1 + rng_below(r, N_ACTIONS - 1)));
    a->quit = a->suspend = false;
}

static void draw_somewhere(App *a, Rng *r)
{
    Canvas *c = canvas_new(1 + (int)rng_below(r, 140), 1 + (int)rng_below(r, 50), a->opt.tier);
    app_draw(a, c);
    canvas_free(c);
}

static void random_keys_leave_the_screen_sound(void **state)
{
    enum { RUNS = 12, KEYS = 500 };
    char dir[] = "/tmp/scmmgpt-keys-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *away = str_format("rm -r %s", dir);
    assert_int_equal(chdir(dir), 0); /* for what w, W and E write */
    for (uint64_t run = 0; run < RUNS; run++) {
        Rng r = rng_make(5, run);
        memset(&fake, 0, sizeof fake);
        App *a = open_with(run % 2 ? 256 : 8, run % 3 ? GLYPHS_BRAILLE : GLYPHS_ASCII);
        for (int i = 0; i < KEYS; i++) {
            press_any(a, &r);
            if (rng_below(&r, 3) == 0) { /* a moment passes */
                a->now += 0.2 * rng_uniform(&r);
                app_tick(a);
                job_queue_poll(a->queue);
            }
            if (rng_below(&r, 8) == 0)
                draw_somewhere(a, &r);
            if (rng_below(&r, 40) == 0)
                settle(a);
            assert_sound(a);
        }
        settle(a);
        assert_sound(a);
        app_free(a);
    }
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(system(away), 0);
    free(away);
}

/* ---- typed ahead ---- */

static void keys_wait_for_the_file_but_leaving_does_not(void **state)
{
    memset(&fake, 0, sizeof fake);
    App *a = open_with(256, GLYPHS_BRAILLE);
    assert_int_equal(app_waits_for(a, ACT_COLOR), WORK_OPEN); /* nothing is delivered before it is looked for */
    assert_int_equal(app_waits_for(a, ACT_DOWN), WORK_OPEN);
    assert_int_equal(app_waits_for(a, ACT_QUIT), N_WORK);
    assert_int_equal(app_waits_for(a, ACT_HELP), N_WORK);
    settle(a);
    for (Action act = 1; act < N_ACTIONS; act++)
        assert_int_equal(app_waits_for(a, act), N_WORK);
    app_free(a);
}

static void keys_about_a_selection_wait_for_it(void **state)
{
    memset(&fake, 0, sizeof fake);
    App *a = open_with(256, GLYPHS_BRAILLE);
    settle(a);
    type(a, ACT_GATE, "leiden=2");
    assert_int_equal(app_waits_for(a, ACT_SET_A), WORK_GATE);
    assert_int_equal(app_waits_for(a, ACT_EXPORT), WORK_GATE);
    assert_int_equal(app_waits_for(a, ACT_COLOR), N_WORK); /* this is not about it */
    settle(a);
    assert_int_equal(app_waits_for(a, ACT_SET_A), N_WORK);
    assert_int_equal(a->n_selected, 120);
    app_free(a);
}

/* Who chooses a cluster while a rule is at work does not want the rule's cells any more. */
static void a_later_selection_stands(void **state)
{
    memset(&fake, 0, sizeof fake);
    App *a = open_with(256, GLYPHS_BRAILLE);
    settle(a);
    app_act(a, ACT_PANE_1);
    type(a, ACT_GATE, "leiden=2");
    app_act(a, ACT_DOWN);
    settle(a);
    assert_int_equal(a->group, 0);
    assert_int_equal(a->n_selected, 200);
    app_free(a);
}

static void keys_about_a_plot_or_a_table_wait_for_it(void **state)
{
    memset(&fake, 0, sizeof fake);
    App *a = open_with(256, GLYPHS_BRAILLE);
    settle(a);
    app_act(a, ACT_PANE_7);
    assert_int_equal(app_waits_for(a, ACT_EXPORT), WORK_CHART); /* due, not begun */
    settle(a);
    assert_int_equal(app_waits_for(a, ACT_EXPORT), N_WORK);
    app_act(a, ACT_PANE_1);
    app_act(a, ACT_DOWN);
    app_act(a, ACT_SET_A);
    app_act(a, ACT_DE);
    assert_int_equal(app_waits_for(a, ACT_TABLE), WORK_DE);
    settle(a);
    assert_int_equal(app_waits_for(a, ACT_TABLE), N_WORK);
    app_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_keys_leave_the_screen_sound),
        TEST(keys_wait_for_the_file_but_leaving_does_not),
        TEST(keys_about_a_selection_wait_for_it),
        TEST(a_later_selection_stands),
        TEST(keys_about_a_plot_or_a_table_wait_for_it),
    };
    return RUN(tests);
}
