/* core/figure: where things go on a page, and histograms. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/figure/chart.h"
#include "core/figure/legend.h"
#include "core/figure/scatter.h"

enum { N = 600, GROUPS = 30 };

typedef struct Fixture {
    float xy[2 * N], values[N], others[N];
    int32_t codes[N];
    uint8_t in[N];
    char *names[GROUPS];
    uint32_t colors[GROUPS];
    ScatterPanel panels[3];
    Scatter s;
} Fixture;

static Fixture *fixture(void)
{
    Fixture *f = mem_must(sizeof *f);
    Rng r = rng_make(3, 0);
    palette_categorical(f->colors, GROUPS);
    for (int k = 0; k < GROUPS; k++)
        f->names[k] = str_format("conventional dendritic cell, subtype %d", k);
    for (int i = 0; i < N; i++) {
        f->codes[i] = i % GROUPS;
        f->xy[2 * i] = (float)(i % 6 + 0.1 * rng_normal(&r));
        f->xy[2 * i + 1] = (float)(i % GROUPS / 6 + 0.1 * rng_normal(&r));
        f->values[i] = (float)i;
        f->others[i] = (float)(1e-5 * i);
        f->in[i] = i % 2 == 0;
    }
    f->panels[0] = (ScatterPanel){.title = "type", .codes = f->codes, .n_groups = GROUPS, .names = f->names, .colors = f->colors};
    f->s = (Scatter){.n = N, .xy = f->xy, .basis = "UMAP", .n_panels = 1, .panels = f->panels, .width_mm = 85};
    return f;
}

static void done(Fixture *f)
{
    for (int k = 0; k < GROUPS; k++)
        free(f->names[k]);
    free(f);
}

static char *file_of(Err err, const char *path)
{
    char *text;
    assert_ok(err);
    assert_ok(str_read_file(path, 1 << 26, ERR_GENERAL, &text, NULL));
    unlink(path);
    return text;
}

static char *render(const Scatter *s, double zoom)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/scmm_layout_%ld.svg", (long)getpid());
    return file_of(scatter_render(s, path, &(RenderParams){.dpi = 50, .zoom = zoom}, NULL), path);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

static void page_of(const char *svg, double *w, double *h)
{
    assert_int_equal(sscanf(strstr(svg, "viewBox="), "viewBox=\"0 0 %lf %lf", w, h), 2);
}

static void names_without_room_on_the_data_become_numbers_with_a_list(void **state)
{
    Fixture *f = fixture();
    f->s.legend = LEGEND_ON_DATA;
    char *svg = render(&f->s, 0);
    assert_int_equal(count(svg, ">30</text>"), 1);
    assert_int_equal(count(svg, ">30\xc2\xa0\xc2\xa0" "conventional"), 1);
    free(svg);
    for (int k = 0; k < GROUPS; k++) { /* short ones stay, and need no list */
        free(f->names[k]);
        f->names[k] = str_format("T%d", k);
    }
    svg = render(&f->s, 0);
    assert_int_equal(count(svg, ">T29</text>"), 1);
    assert_int_equal(count(svg, ">30</text>"), 0);
    free(svg);
    done(f);
}

static void a_crowded_slide_gets_smaller_text_and_keeps_every_name(void **state)
{
    Fixture *f = fixture();
    double w, h, text_w, text_h;
    f->s.width_mm = 254;
    f->s.height_mm = 142.875;
    char *svg = render(&f->s, 2.5);
    page_of(svg, &w, &h);
    assert_true(w > 254 * 72 / 25.4 / 2.5 * 1.15 && w <= 254 * 72 / 25.4 + 0.5); /* the page in units of the text */
    assert_int_equal(count(svg, " more</text>"), 0);
    assert_true(count(svg, "subtype 29") == 1);
    for (const char *p = svg; (p = strstr(p, "<text x=\"")); p++) {
        assert_int_equal(sscanf(p, "<text x=\"%lf\" y=\"%lf\"", &text_w, &text_h), 2);
        assert_true(text_w >= 0 && text_w < w && text_h >= 0 && text_h < h);
    }
    free(svg);
    done(f);
}

static void a_list_below_one_row_leaves_no_gap_in_the_others(void **state)
{
    Fixture *f = fixture();
    double w, h, alone;
    f->panels[2] = f->panels[0];
    f->panels[0] = (ScatterPanel){.title = "a", .values = f->values, .unit = "x"};
    f->panels[1] = (ScatterPanel){.title = "b", .values = f->others, .unit = "y"};
    f->s.n_panels = 3;
    f->s.columns = 2;
    char *svg = render(&f->s, 0);
    page_of(svg, &w, &h);
    free(svg);
    f->s.panels = f->panels + 2;
    f->s.n_panels = 1;
    svg = render(&f->s, 0);
    page_of(svg, &w, &alone);
    assert_true(h < 1.8 * alone);
    free(svg);
    done(f);
}

static void numbers_without_a_unit_have_their_own_scales_and_powers(void **state)
{
    Fixture *f = fixture();
    f->panels[0] = (ScatterPanel){.title = "a", .values = f->values};
    f->panels[1] = (ScatterPanel){.title = "b", .values = f->others};
    f->s.n_panels = 2;
    assert_false(scatter_one_scale(&f->panels[0], &f->panels[1]));
    char *svg = render(&f->s, 0);
    assert_int_equal(count(svg, "\xc3\x97" "10^\xe2\x88\x92" "3</text>"), 1);
    free(svg);
    f->panels[0].unit = f->panels[1].unit = "counts";
    assert_true(scatter_one_scale(&f->panels[0], &f->panels[1]));
    done(f);
}

static void ends_of_a_scale_point_to_values_beyond(void **state)
{
    Fixture *f = fixture();
    f->panels[0] = (ScatterPanel){.title = "a", .values = f->values, .unit = "x"};
    char *all = render(&f->s, 0);
    f->panels[0].vmin = 10;
    f->panels[0].vmax = 1000;
    char *low = render(&f->s, 0);
    f->panels[0].vmax = 20;
    char *both = render(&f->s, 0);
    assert_int_equal(count(low, "<polygon"), count(all, "<polygon") + 1);
    assert_int_equal(count(both, "<polygon"), count(all, "<polygon") + 2);
    free(all);
    free(low);
    free(both);
    done(f);
}

static void long_titles_take_two_lines_and_panels_count_their_cells(void **state)
{
    Fixture *f = fixture();
    f->panels[0].title = "Patient 34 with a very long name (relapse, day 28) (1,007)";
    f->panels[0].in = f->in;
    char *svg = render(&f->s, 0);
    assert_null(strstr(svg, "\xe2\x80\xa6"));
    assert_int_equal(count(svg, "subtype 1 ("), 0); /* its cells are all outside */
    assert_int_equal(count(svg, "subtype 2 (20)"), 1);
    free(svg);
    done(f);
}

static void histogram_draws_every_cell_once(void **state)
{
    static const float v[] = {0, 1, 1, 2, 4, 4, 4, 4};
    static const int32_t codes[] = {0, 0, 0, 0, 1, 1, 1, -1};
    static char *const names[] = {"A", "B"}, *const titles[] = {"n_counts"};
    static const size_t sizes[] = {4, 3};
    static const uint32_t colors[] = {0x123456, 0x654321};
    static const char *const units[] = {"UMI"};
    static const bool italic[] = {false};
    Distribution d;
    assert_ok(distribution_of(v, codes, NULL, 8, 2, &d));
    HistogramPlot h = {.groups = {.key = "type", .n = 2, .names = names, .sizes = sizes, .colors = colors}, .n_values = 1, .titles = titles,
                       .units = units, .italic = italic, .values = &d, .width_mm = 85, .caption = "line: median"};
    char path[64];
    snprintf(path, sizeof path, "/tmp/scmm_histogram_%ld.svg", (long)getpid());
    char *svg = file_of(histogram_render(&h, path, &(RenderParams){.dpi = 72}, NULL), path);
    assert_int_equal(count(svg, "fill=\"#123456\""), 3); /* 0, 1 (two cells), 2 */
    assert_int_equal(count(svg, "fill=\"#654321\""), 1);
    assert_int_equal(count(svg, ">A (4)</text>"), 1);
    assert_int_equal(count(svg, ">n_counts, UMI</text>"), 1);
    free(svg);
    h.width_mm = 20;
    h.height_mm = 20;
    assert_err(histogram_render(&h, path, &(RenderParams){.dpi = 72}, NULL), ERR_USAGE);
    distribution_done(&d);
}

static void names_of_rows_are_wrapped_not_cut(void **state)
{
    static char *const names[] = {"CD8-positive, alpha-beta memory T cell, CD45RO-positive", "NK"};
    static char *const genes[] = {"CD3D", "NKG7", "GNLY", "CST3", "LYZ", "FCER1A", "PPBP", "MS4A1"};
    static const size_t sizes[] = {204, 3};
    static const uint32_t colors[] = {0, 1};
    float mean[16] = {1, 0, 1}, fraction[16] = {1, 0, 1};
    GridPlot g = {.kind = GRID_DOTS, .groups = {.key = "type", .n = 2, .names = names, .sizes = sizes, .colors = colors}, .n_genes = 8,
                  .genes = genes, .mean = mean, .fraction = fraction, .unit = "mean", .map = MAP_REDS, .width_mm = 85};
    char path[64];
    snprintf(path, sizeof path, "/tmp/scmm_rows_%ld.svg", (long)getpid());
    char *svg = file_of(grid_render(&g, path, &(RenderParams){.dpi = 72}, NULL), path);
    assert_null(strstr(svg, "\xe2\x80\xa6"));
    assert_non_null(strstr(svg, "(204)</text>"));
    free(svg);
}

/* A dot plot of n groups and 12 genes on a slide: 254 x 142.875 mm, text of a meeting. */
static char *dots_on_a_slide(size_t n)
{
    enum { GENES = 12 };
    char **names = mem_must(n * sizeof *names), *genes[GENES];
    size_t *sizes = mem_must(n * sizeof *sizes);
    uint32_t *colors = mem_must(n * sizeof *colors);
    float *mean = mem_must(n * GENES * sizeof *mean);
    for (size_t i = 0; i < n; i++) {
        names[i] = str_format("cell type %zu", i);
        sizes[i] = 100 + i;
    }
    for (int k = 0; k < GENES; k++)
        genes[k] = str_format("GENE%d", k);
    for (size_t i = 0; i < n * GENES; i++)
        mean[i] = (float)(i % 7) / 6;
    GridPlot g = {.kind = GRID_DOTS, .groups = {.key = "type", .n = n, .names = names, .sizes = sizes, .colors = colors}, .n_genes = GENES,
                  .genes = genes, .mean = mean, .fraction = mean, .unit = "mean", .map = MAP_REDS, .width_mm = 254, .height_mm = 142.875};
    char path[64];
    snprintf(path, sizeof path, "/tmp/scmm_dots_%ld.svg", (long)getpid());
    char *svg = file_of(grid_render(&g, path, &(RenderParams){.dpi = 72, .zoom = 1.7}, NULL), path);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    for (int k = 0; k < GENES; k++)
        free(genes[k]);
    free(names);
    free(sizes);
    free(colors);
    free(mean);
    return svg;
}

static void sixty_groups_of_dots_stand_side_by_side_on_a_slide(void **state)
{
    char *svg = dots_on_a_slide(60), text[48];
    double w, h;
    assert_non_null(strstr(svg, "width=\"720pt\" height=\"405pt\""));
    page_of(svg, &w, &h);
    for (int i = 0; i < 60; i++) {
        snprintf(text, sizeof text, ">cell type %d (%d)</text>", i, 100 + i);
        assert_int_equal(count(svg, text), 1);
    }
    assert_int_equal(count(svg, ">GENE0</text>"), 2); /* below each half */
    for (const char *p = svg; (p = strstr(p, "font-size=\"")); p++)
        assert_true(atof(p + 11) * 720 / w >= 5);
    free(svg);
}

static void the_key_of_large_dots_stays_on_the_page(void **state)
{
    char *svg = dots_on_a_slide(8);
    double w, h, x, r;
    page_of(svg, &w, &h);
    for (const char *p = svg; (p = strstr(p, "<circle cx=\"")); p++) {
        assert_int_equal(sscanf(p, "<circle cx=\"%lf\" cy=\"%*f\" r=\"%lf\"", &x, &r), 2);
        assert_true(x - r > 0 && x + r < w);
    }
    free(svg);
}

static void a_page_that_is_too_low_grows(void **state)
{
    char *svg = dots_on_a_slide(400);
    double w, h;
    page_of(svg, &w, &h);
    assert_true(fabs(w - 720) < 1 && h > 1000);
    assert_int_equal(count(svg, ">cell type 399 (499)</text>"), 1);
    free(svg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_without_room_on_the_data_become_numbers_with_a_list),
        TEST(a_crowded_slide_gets_smaller_text_and_keeps_every_name),
        TEST(a_list_below_one_row_leaves_no_gap_in_the_others),
        TEST(numbers_without_a_unit_have_their_own_scales_and_powers),
        TEST(ends_of_a_scale_point_to_values_beyond),
        TEST(long_titles_take_two_lines_and_panels_count_their_cells),
        TEST(histogram_draws_every_cell_once),
        TEST(names_of_rows_are_wrapped_not_cut),
        TEST(sixty_groups_of_dots_stand_side_by_side_on_a_slide),
        TEST(the_key_of_large_dots_stays_on_the_page),
        TEST(a_page_that_is_too_low_grows),
    };
    return RUN(tests);
}
