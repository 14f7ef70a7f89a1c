/* core/figure: palettes, sizes, label places, and the files that scatter_render writes. */
#include "tests/util.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/figure/points.h"
#include "core/figure/scatter.h"

enum { N = 900, GROUPS = 3 };

typedef struct Fixture {
    float xy[2 * N];
    int32_t codes[N];
    float values[N];
    ScatterPanel panels[2];
    Scatter scatter;
} Fixture;

static char *const names[GROUPS] = {"B cell", "CD8 T <naive> & memory", "\xce\xb3\xce\xb4 T"};
static const uint32_t colors[GROUPS] = {0xE69F00, 0x0072B2, 0x009E73};

static Fixture *fixture(void)
{
    Fixture *f = mem_must(sizeof *f);
    Rng r = rng_make(1, 0);
    for (int i = 0; i < N; i++) {
        int g = i % GROUPS;
        f->codes[i] = i < 20 ? -1 : g;
        f->xy[2 * i] = (float)(5 * g + rng_normal(&r));
        f->xy[2 * i + 1] = (float)(3 * (g == 1) + rng_normal(&r));
        f->values[i] = (float)(g + 0.1 * rng_normal(&r));
    }
    f->xy[2 * 30] = NAN;
    f->panels[0] = (ScatterPanel){.title = "cell type", .codes = f->codes, .n_groups = GROUPS, .names = names, .colors = colors};
    f->panels[1] = (ScatterPanel){.title = "CD3E", .italic_title = true, .values = f->values, .unit = "log1p CP10k"};
    f->scatter = (Scatter){.n = N, .xy = f->xy, .basis = "UMAP", .n_panels = 2, .panels = f->panels, .width_mm = 170};
    return f;
}

static char *temporary(const char *extension)
{
    static char folder[] = "/tmp/scmm_figure_XXXXXX";
    static int made, k;
    if (!made++)
        assert_non_null(mkdtemp(folder));
    return str_format("%s/%d%s", folder, k++, extension);
}

static char *render(const Scatter *s, const char *extension, const RenderParams *p, size_t *n)
{
    char *path = temporary(extension), *data;
    assert_ok(scatter_render(s, path, p, NULL));
    assert_ok(str_read_file(path, 1 << 26, ERR_GENERAL, &data, n));
    unlink(path);
    free(path);
    return data;
}

static void sizes_are_read_and_refused(void **state)
{
    double w, h;
    assert_ok(scatter_size("85mm", &w, &h));
    assert_true(w == 85 && h == 0);
    assert_ok(scatter_size("slide", &w, &h));
    assert_true(w / h > 1.77 && w / h < 1.78);
    assert_ok(scatter_size("120x80mm", &w, &h));
    assert_true(w == 120 && h == 80);
    assert_err(scatter_size("wide", &w, &h), ERR_USAGE);
    assert_err(scatter_size("85cm", &w, &h), ERR_USAGE);
    assert_err(scatter_size("1mm", &w, &h), ERR_USAGE);
}

static void point_size_follows_scanpy(void **state)
{
    /* scanpy: s = 120000 / n; the marker "." has half the diameter of sqrt(s). */
    assert_true(fabs(scatter_point_diameter(30000, 1) - 1.0) < 1e-9);
    assert_true(scatter_point_diameter(10, 1) == 10);
    assert_true(scatter_point_diameter(50000000, 1) == 0.3);
}

static void viridis_ends_are_the_published_ones(void **state)
{
    assert_int_equal(color_map(MAP_VIRIDIS, 0), 0x440154);
    assert_int_equal(color_map(MAP_VIRIDIS, 1), 0xFDE725);
    assert_int_equal(color_map(MAP_VIRIDIS, NAN), 0x440154);
}

static void palette_colours_stay_apart_for_every_viewer(void **state)
{
    for (size_t n = 8; n <= 20; n += 12) {
        uint32_t c[20];
        palette_categorical(c, n);
        for (size_t i = 0; i < n; i++) {
            assert_true(color_distance(c[i], COLOR_MISSING) > 15);
            for (size_t j = 0; j < i; j++) {
                assert_true(color_distance(c[i], c[j]) > 15);
                for (int kind = 0; kind < 3; kind++)
                    assert_true(color_distance(color_simulate(c[i], kind), color_simulate(c[j], kind)) > 9.5);
            }
        }
    }
}

static void colours_repeat_with_another_glyph_beyond_twenty(void **state)
{
    enum { MANY = 103 };
    uint32_t c[MANY];
    palette_categorical(c, MANY);
    for (size_t i = 0; i < MANY; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(c[i] != c[j] || palette_glyph(i, MANY) != palette_glyph(j, MANY));
}

static void simulated_viewers_confuse_what_they_should(void **state)
{
    int kind;
    /* red and green of the same lightness, seen with deuteranopia; blue and yellow stay apart */
    assert_true(color_distance(color_simulate(0xB15A00, 0), color_simulate(0x6B7A00, 0)) < color_distance(0xB15A00, 0x6B7A00) / 2);
    assert_true(color_distance(color_simulate(0x0072B2, 0), color_simulate(0xE69F00, 0)) > 60);
    uint32_t grey = color_simulate(0xD55E00, 3);
    assert_int_equal(grey & 255, grey >> 16);
    assert_int_equal(color_simulate(0xFFFFFF, 3), 0xFFFFFF);
    assert_ok(color_simulate_find("deutan", &kind));
    assert_int_equal(kind, 0);
    assert_ok(color_simulate_find("grayscale", &kind));
    assert_int_equal(kind, 3);
    assert_err(color_simulate_find("colourblind", &kind), ERR_USAGE);
}

static void label_lies_in_the_densest_part(void **state)
{
    enum { M = 400 };
    float xy[2 * M], at[2];
    int32_t codes[M] = {0};
    Rng r = rng_make(2, 0);
    for (int i = 0; i < M; i++) { /* three quarters around (1, 1), the rest far to the right */
        xy[2 * i] = (float)((i % 4 ? 1 : 9) + 0.1 * rng_normal(&r));
        xy[2 * i + 1] = (float)(1 + 0.1 * rng_normal(&r));
    }
    assert_ok(scatter_label_positions(xy, codes, M, 1, at));
    assert_true(fabsf(at[0] - 1) < 0.3f && fabsf(at[1] - 1) < 0.3f);
}

static void png_has_the_size_the_dpi_asks_for_and_its_texts(void **state)
{
    Fixture *f = fixture();
    size_t n;
    MetaPair meta[] = {{"Software", "scmmgpt"}, {"prompt", "T\xc3\xbcr"}};
    char *png = render(&f->scatter, ".png", &(RenderParams){.dpi = 100, .vector_points = -1, .meta = meta, .n_meta = 2}, &n);
    assert_memory_equal(png, "\x89PNG", 4);
    unsigned w = (unsigned char)png[18] << 8 | (unsigned char)png[19];
    assert_int_equal(w, 670); /* 170 mm at 100 dpi, rounded up */
    assert_non_null(memmem(png, n, "tEXtSoftware", 12));
    assert_non_null(memmem(png, n, "iTXtprompt", 10));
    free(png);
    free(f);
}

static void same_input_gives_the_same_bytes(void **state)
{
    Fixture *f = fixture();
    const char *const kinds[] = {".png", ".svg", ".pdf"};
    for (int k = 0; k < 3; k++) {
        size_t n, m;
        RenderParams p = {.dpi = 120, .vector_points = -1};
        char *a = render(&f->scatter, kinds[k], &p, &n), *b = render(&f->scatter, kinds[k], &p, &m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        free(a);
        free(b);
    }
    free(f);
}

static void svg_keeps_text_as_text_with_counts(void **state)
{
    Fixture *f = fixture();
    size_t n;
    char *svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 1}, &n);
    assert_non_null(strstr(svg, ">B cell (292)</text>"));
    assert_non_null(strstr(svg, "CD8 T &lt;naive&gt; &amp;"));
    assert_non_null(strstr(svg, "\xce\xb3\xce\xb4 T (294)</text>"));
    assert_non_null(strstr(svg, ">NA (20)</text>"));
    assert_non_null(strstr(svg, ">UMAP1</text>"));
    assert_non_null(strstr(svg, "font-style=\"italic\""));
    size_t circles = 0;
    for (const char *p = svg; (p = strstr(p, "<circle")); p++)
        circles++;
    assert_int_equal(circles, 2 * (N - 1) + GROUPS + 1); /* the cells with coordinates in both panels, the legend */
    free(svg);
    svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 0}, &n);
    assert_non_null(strstr(svg, "data:image/png;base64,"));
    free(svg);
    free(f);
}

static void generated_cells_are_hollow_and_in_the_legend(void **state)
{
    Fixture *f = fixture();
    float made[4] = {1, 1, 2, 2};
    size_t n;
    f->scatter.n_panels = 1;
    f->scatter.n_generated = 2;
    f->scatter.generated_xy = made;
    f->scatter.generated_label = "generated (n=2, seed=0)";
    char *svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 1}, &n);
    assert_non_null(strstr(svg, "generated (n=2, seed=0)</text>"));
    size_t rings = 0;
    for (const char *p = svg; (p = strstr(p, "fill=\"none\"")); p++)
        rings++;
    assert_int_equal(rings, 3);
    free(svg);
    free(f);
}

static void existing_file_needs_force(void **state)
{
    Fixture *f = fixture();
    char *path = temporary(".png");
    RenderParams p = {.dpi = 72};
    assert_ok(scatter_render(&f->scatter, path, &p, NULL));
    assert_err(scatter_render(&f->scatter, path, &p, NULL), ERR_GENERAL);
    p.force = true;
    assert_ok(scatter_render(&f->scatter, path, &p, NULL));
    unlink(path);
    free(path);
    assert_err(scatter_render(&f->scatter, "/nowhere/at/all.png", &p, NULL), ERR_GENERAL);
    assert_err(scatter_render(&f->scatter, "figure.bmp", &p, NULL), ERR_USAGE);
    free(f);
}

static void hundreds_of_groups_fit_on_the_page(void **state)
{
    enum { MANY = 120 };
    Fixture *f = fixture();
    char *many[MANY];
    uint32_t c[MANY];
    size_t n;
    palette_categorical(c, MANY);
    for (int i = 0; i < MANY; i++)
        many[i] = str_format("cell type with a long name %d", i);
    for (int i = 0; i < N; i++)
        f->codes[i] = i % MANY;
    f->panels[0] = (ScatterPanel){.title = "many", .codes = f->codes, .n_groups = MANY, .names = many, .colors = c};
    f->scatter.n_panels = 1;
    char *svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 1}, &n);
    double width = 170 * 72 / 25.4, x;
    for (const char *p = svg; (p = strstr(p, "<text x=\"")); p++) {
        assert_int_equal(sscanf(p, "<text x=\"%lf\"", &x), 1);
        assert_true(x >= 0 && x < width);
    }
    free(svg);
    for (int i = 0; i < MANY; i++)
        free(many[i]);
    free(f);
}

static void figure_without_cells_is_still_a_figure(void **state)
{
    Scatter s = {.basis = "UMAP", .n_panels = 1, .panels = &(ScatterPanel){.title = "none"}, .width_mm = 85};
    size_t n;
    free(render(&s, ".pdf", &(RenderParams){.dpi = 72, .vector_points = -1}, &n));
    assert_true(n > 500);
}

static void stamps_are_clipped_at_the_edges(void **state)
{
    PointImage image;
    Stamps *s;
    assert_ok(point_image_init(&image, 8, 8));
    assert_ok(stamps_new(0, 5, 0, &s));
    const double at[][2] = {{0, 0}, {7.9, 7.9}, {-40, 3}, {1e9, 2}, {NAN, 1}, {4, 100}};
    for (int i = 0; i < 6; i++)
        point_image_stamp(&image, s, at[i][0], at[i][1], 0xFF0000);
    assert_int_equal(image.argb[0], 0xFFFF0000u);
    assert_int_equal(image.argb[8 * 4 + 4], 0);
    stamps_free(s);
    point_image_done(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_read_and_refused),
        TEST(point_size_follows_scanpy),
        TEST(viridis_ends_are_the_published_ones),
        TEST(palette_colours_stay_apart_for_every_viewer),
        TEST(colours_repeat_with_another_glyph_beyond_twenty),
        TEST(simulated_viewers_confuse_what_they_should),
        TEST(label_lies_in_the_densest_part),
        TEST(png_has_the_size_the_dpi_asks_for_and_its_texts),
        TEST(same_input_gives_the_same_bytes),
        TEST(svg_keeps_text_as_text_with_counts),
        TEST(generated_cells_are_hollow_and_in_the_legend),
        TEST(existing_file_needs_force),
        TEST(hundreds_of_groups_fit_on_the_page),
        TEST(figure_without_cells_is_still_a_figure),
        TEST(stamps_are_clipped_at_the_edges),
    };
    return RUN(tests);
}
