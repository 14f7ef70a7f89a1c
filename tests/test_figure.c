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
#include "core/figure/chart.h"
#include "core/figure/legend.h"
#include "core/figure/points.h"
#include "core/figure/scatter.h"
#include "tests/util_folder.h"

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
    static int k;
    char name[32];
    snprintf(name, sizeof name, "%d%s", k++, extension);
    return in_folder(name);
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

/* Of tests/ref/palette.py, whose formula gives the published values of Sharma, Wu and Dalal. */
static void distances_are_those_of_ciede2000(void **state)
{
    static const struct {
        uint32_t a, b;
        double distance;
    } cases[] = {{0xE69F00, 0x0072B2, 55.3497}, {0x7C1B25, 0xA80F0B, 12.3798}, {0xFFFFFF, 0, 100},
                 {0x382EBD, 0x770871, 18.1875}, {0x7F7F7F, 0x808080, 0.3806},  {0x2A52E5, 0x4C3CE8, 6.8022}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_float_equal(color_distance(cases[i].a, cases[i].b), cases[i].distance, 1e-3);
        assert_float_equal(color_distance(cases[i].b, cases[i].a), cases[i].distance, 1e-3);
    }
}

static void palette_colours_stay_apart_for_every_viewer(void **state)
{
    uint32_t c[20];
    palette_categorical(c, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_true(color_distance(c[i], COLOR_MISSING) > 10);
        for (size_t j = 0; j < i; j++) {
            assert_true(color_distance(c[i], c[j]) > 11.5);
            for (int kind = 0; kind < 3; kind++)
                assert_true(color_distance(color_simulate(c[i], kind), color_simulate(c[j], kind)) > (i < 8 ? 10.5 : 10));
        }
    }
}

static void colours_repeat_with_another_glyph_beyond_twenty(void **state)
{
    enum { MANY = 160 };
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
    assert_true(color_distance(color_simulate(0x0072B2, 0), color_simulate(0xE69F00, 0)) > 50);
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
    assert_int_equal(w, 669); /* 170 mm at 100 dpi */
    assert_non_null(memmem(png, n, "tEXtSoftware", 12));
    assert_non_null(memmem(png, n, "iTXtprompt", 10));
    free(png);
    free(f);
}

static void pngs_have_the_pixels_of_their_millimetres(void **state)
{
    static const struct {
        double mm, dpi;
        unsigned pixels;
    } cases[] = {{85, 150, 502}, {85, 300, 1004}, {85, 600, 2008}, {170, 300, 2008}, {254, 150, 1500}, {254, 300, 3000}, {127, 600, 3000}};
    Fixture *f = fixture();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n;
        f->scatter.width_mm = cases[i].mm;
        char *png = render(&f->scatter, ".PNG", &(RenderParams){.dpi = cases[i].dpi, .zoom = i % 2 ? 1.7 : 1}, &n);
        assert_int_equal((unsigned char)png[18] << 8 | (unsigned char)png[19], cases[i].pixels);
        free(png);
    }
    free(f);
}

static double width_of(const char *text)
{
    Draw *d;
    char path[64];
    snprintf(path, sizeof path, "/tmp/scmm_width_%ld.png", (long)getpid());
    assert_ok(draw_open(path, &(DrawParams){.width = 10, .height = 10, .dpi = 72}, &d));
    double w = draw_text_width(d, &(TextStyle){.size = 10}, text);
    draw_abandon(d);
    return w;
}

static void text_is_kerned_and_marks_take_no_room(void **state)
{
    assert_true(width_of("AV") < width_of("A") + width_of("V") - 0.3);
    assert_float_equal(width_of("HH"), 2 * width_of("H"), 1e-9);
    assert_float_equal(width_of("H"), 7.22, 0.01); /* the advance that Helvetica has */
    assert_float_equal(width_of(""), 0, 1e-9);
    assert_true(fabs(width_of("e\xcc\x81x") - width_of("ex")) < 0.5); /* an acute accent on its own */
}

/* Which fonts a machine has beyond its own is unknown: names in any script are drawn, or boxes. */
static void names_in_any_script_are_drawn_into_every_kind(void **state)
{
    static const char *const kinds[] = {".png", ".svg", ".pdf"};
    static const char *const scripts[] = {"\xd8\xae\xd9\x84\xd8\xa7\xd9\x8a\xd8\xa7 \xd8\xaa\xd8\xa7\xd8\xa6\xd9\x8a\xd8\xa9", "T\xe7\xbb\x86\xe8\x83\x9e",
                                        "\xf0\x9f\xa7\xac \xd7\xa2\xd7\x91 x", "\xcc\x81", "\xe2\x80\x8d\xef\xb8\x8f"};
    Fixture *f = fixture();
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
            size_t n;
            f->panels[0].title = scripts[i];
            char *file = render(&f->scatter, kinds[k], &(RenderParams){.dpi = 50, .vector_points = 0}, &n);
            assert_true(n > 1000);
            assert_true(k != 1 || strstr(file, scripts[i]));
            free(file);
            assert_true(width_of(scripts[i]) >= 0);
        }
    free(f);
}

static void png_pixels_come_back_with_and_without_alpha(void **state)
{
    enum { H = 3, MOST = 40 };
    Rng r = rng_make(3, 0);
    for (int w = 1; w <= MOST; w += 13)
        for (int alpha = 0; alpha < 2; alpha++) {
            uint32_t argb[MOST * H], before[MOST * H];
            uint8_t rgba[MOST * H * 4];
            for (int i = 0; i < w * H; i++) { /* premultiplied: clear pixels are 0 */
                uint32_t v = rng_u32(&r) & 0xFFFFFF;
                before[i] = argb[i] = alpha && i % 3 == 0 ? 0 : 0xFF000000u | v;
            }
            unsigned char *png;
            size_t n;
            assert_ok(png_encode(argb, w, H, 300, alpha, NULL, 0, &png, &n));
            png_image image = {.version = PNG_IMAGE_VERSION};
            assert_true(png_image_begin_read_from_memory(&image, png, n));
            assert_int_equal(image.width, w);
            assert_int_equal(image.height, H);
            image.format = PNG_FORMAT_RGBA;
            assert_true(png_image_finish_read(&image, NULL, rgba, 0, NULL));
            for (int i = 0; i < w * H; i++) {
                uint32_t got = (uint32_t)rgba[4 * i + 3] << 24 | (uint32_t)rgba[4 * i] << 16 | (uint32_t)rgba[4 * i + 1] << 8 | rgba[4 * i + 2];
                assert_int_equal(got, before[i]);
            }
            free(png);
        }
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

static void a_glyph_for_each_group_where_asked(void **state)
{
    Fixture *f = fixture();
    size_t n;
    f->scatter.glyphs = true;
    f->scatter.n_panels = 1;
    char *svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 1}, &n);
    char *circle = strstr(svg, "<circle"), *polygon = strstr(svg, "<polygon");
    assert_non_null(circle);
    assert_non_null(polygon);
    size_t circles = 0;
    for (const char *p = svg; (p = strstr(p, "<circle")); p++)
        circles++;
    assert_true(circles < N / 2); /* the first group and the missing cells */
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

/* The page's height and width in pt, and that no text begins outside it; how many elements begin with `what`. */
static size_t count_inside(const char *svg, const char *what)
{
    double w, h, x, y;
    const char *box = strstr(svg, "viewBox=\"0 0 ");
    size_t n = 0;
    assert_int_equal(sscanf(box, "viewBox=\"0 0 %lf %lf", &w, &h), 2);
    for (const char *p = svg; (p = strstr(p, "<text x=\"")); p++) {
        assert_int_equal(sscanf(p, "<text x=\"%lf\" y=\"%lf\"", &x, &y), 2);
        assert_true(x >= 0 && x <= w && y >= 0 && y <= h);
    }
    for (const char *p = svg; (p = strstr(p, what)); p++)
        n++;
    return n;
}

static void legend_says_how_many_names_have_no_room(void **state)
{
    enum { MANY = 300 };
    Fixture *f = fixture();
    char *many[MANY];
    uint32_t c[MANY];
    size_t n, shown = 0;
    palette_categorical(c, MANY);
    for (int i = 0; i < MANY; i++)
        many[i] = str_format("type %d of many types in a long list", i);
    for (int i = 0; i < N; i++)
        f->codes[i] = i % MANY;
    f->panels[0] = (ScatterPanel){.title = "many", .codes = f->codes, .n_groups = MANY, .names = many, .colors = c};
    f->scatter.n_panels = 1;
    f->scatter.width_mm = f->scatter.height_mm = 60;
    char *svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 50, .vector_points = 0}, &n);
    (void)count_inside(svg, "<text");
    for (const char *p = svg; (p = strstr(p, ">type ")); p++)
        shown++;
    const char *more = strstr(svg, " more</text>");
    assert_non_null(more);
    while (more[-1] != ' ')
        more--;
    assert_int_equal(shown + strtoul(more, NULL, 10), MANY);
    free(svg);
    for (int i = 0; i < MANY; i++)
        free(many[i]);
    free(f);
}

static void panels_on_one_scale_share_one_legend(void **state)
{
    Fixture *f = fixture();
    size_t n;
    f->panels[0] = f->panels[1];
    char *svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 0}, &n);
    assert_int_equal(count_inside(svg, ">log1p CP10k</text>"), 1);
    assert_int_equal(count_inside(svg, ">CD3E</text>"), 2);
    free(svg);
    f->panels[0].vmax = 9;
    svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 0}, &n);
    assert_int_equal(count_inside(svg, ">log1p CP10k</text>"), 2);
    free(svg);
    free(f);
}

static void simulation_reaches_points_text_and_images(void **state)
{
    Fixture *f = fixture();
    size_t n;
    f->scatter.n_panels = 1;
    char *svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 1, .simulate = 4}, &n);
    for (const char *p = svg; (p = strchr(p, '#')); p++) {
        unsigned r, g, b;
        if (sscanf(p, "#%2x%2x%2x", &r, &g, &b) == 3)
            assert_true(r == g && g == b);
    }
    free(svg);
    free(f);
}

static void a_command_that_is_not_utf8_leaves_files_that_can_be_read(void **state)
{
    static const char *const kinds[] = {".png", ".svg", ".pdf"};
    MetaPair meta[] = {{"command", "scmmgpt plot 'bad\xff<&>\x01.h5ad'"}};
    Fixture *f = fixture();
    for (int k = 0; k < 3; k++) {
        size_t n;
        char *file = render(&f->scatter, kinds[k], &(RenderParams){.dpi = 50, .vector_points = 0, .meta = meta, .n_meta = 1}, &n);
        if (k < 2) /* a PDF holds it as UTF-16 or packed */
            assert_non_null(memmem(file, n, k ? "bad?&lt;&amp;&gt;?.h5ad" : "bad?<&>?.h5ad", k ? 22 : 13));
        free(file);
    }
    free(f);
}

static void names_that_are_not_utf8_do_not_blank_the_page(void **state)
{
    Fixture *f = fixture();
    size_t n, m;
    f->panels[0].title = "ty\xffpe\x01";
    char *svg = render(&f->scatter, ".svg", &(RenderParams){.dpi = 100, .vector_points = 0}, &n);
    assert_non_null(strstr(svg, ">ty?pe?</text>"));
    free(svg);
    char *bad = render(&f->scatter, ".png", &(RenderParams){.dpi = 60}, &n);
    f->panels[0].title = "ty?pe?";
    char *good = render(&f->scatter, ".png", &(RenderParams){.dpi = 60}, &m);
    assert_int_equal(n, m);
    assert_memory_equal(bad, good, n);
    free(bad);
    free(good);
    free(f);
}

static void ticks_are_round_and_inside(void **state)
{
    double t[5];
    char text[32];
    assert_int_equal(axis_ticks(0, 4.3, 5, t), 5);
    assert_true(t[0] == 0 && t[4] == 4);
    assert_int_equal(axis_ticks(0, 0.021, 4, t), 3);
    assert_true(fabs(t[1] - 0.01) < 1e-12);
    axis_text(-0.5, 0.5, text, sizeof text);
    assert_string_equal(text, "\xe2\x88\x92" "0.5");
    assert_int_equal(axis_ticks(7, 7, 4, t), 1);
}

/* ---- plots of groups ---- */

static const size_t chart_sizes[GROUPS] = {10, 0, 4};
static char *const chart_genes[] = {"CD3E", "MS4A1"};
static const ChartGroups chart_groups = {.key = "type", .n = GROUPS, .names = names, .sizes = chart_sizes, .colors = colors};

static char *chart_file(const char *extension, Err (*draw)(const char *path, const RenderParams *p), size_t *n)
{
    char *path = temporary(extension), *data;
    assert_ok(draw(path, &(RenderParams){.dpi = 80, .vector_points = -1}));
    assert_ok(str_read_file(path, 1 << 26, ERR_GENERAL, &data, n));
    unlink(path);
    free(path);
    return data;
}

static Err draw_dots(const char *path, const RenderParams *p)
{
    static const float fraction[] = {1, NAN, 0.25f, 0, NAN, 0.5f}, mean[] = {2, NAN, 1, 0, NAN, 0.5f};
    static const Bracket bracket = {"lymphocytes", 0, 2};
    GridPlot g = {.kind = GRID_DOTS, .groups = chart_groups, .n_genes = 2, .genes = chart_genes, .fraction = fraction, .mean = mean,
                  .unit = "mean log1p CP10k", .map = MAP_REDS, .n_brackets = 1, .brackets = &bracket, .width_mm = 85};
    return grid_render(&g, path, p, NULL);
}

static void dot_area_follows_the_share_of_cells(void **state)
{
    size_t n;
    double r[3] = {0};
    int found = 0;
    char *svg = chart_file(".svg", draw_dots, &n);
    assert_int_equal(count_inside(svg, ">B cell (10)</text>"), 1);
    assert_null(strstr(svg, "naive")); /* a group without cells */
    for (const char *p = svg; (p = strstr(p, "<circle")) && found < 3; p++)
        if (!strstr(p, "stroke") || strstr(p, "/>") < strstr(p, "stroke")) {
            const char *at = strstr(p, " r=\"");
            assert_int_equal(sscanf(at, " r=\"%lf", &r[found++]), 1);
        }
    assert_true(fabs(r[1] / r[0] - 1) < 1e-9 || r[1] > 0); /* CD3E in B cells; then the T cells' two genes */
    assert_true(fabs(r[1] / r[0] - 0.5) < 0.01);
    assert_true(fabs(r[2] / r[0] - sqrt(0.5)) < 0.01);
    free(svg);
}

static Err draw_violins(const char *path, const RenderParams *p)
{
    static const float v[] = {0, 1, 2, 3, 5, 5, 1, 2};
    static const int32_t codes[] = {0, 0, 0, 0, 2, 2, 2, -1};
    static const char *const units[] = {"log1p CP10k"};
    static const bool italic[] = {true};
    Distribution d;
    TRY(distribution_of(v, codes, NULL, 8, GROUPS, &d));
    ViolinPlot plot = {.groups = chart_groups, .n_rows = 1, .titles = chart_genes, .units = units, .italic = italic, .values = &d,
                       .width_mm = 85, .caption = "bar: quartiles, dot: median"};
    Err err = violin_render(&plot, path, p, NULL);
    distribution_done(&d);
    return err;
}

static Err draw_bars(const char *path, const RenderParams *p)
{
    static const size_t counts[] = {5, 5, 0, 0, 0, 0, 1, 1, 2};
    BarPlot b = {.rows = chart_groups, .parts = chart_groups, .counts = counts, .width_mm = 85};
    return bar_render(&b, path, p, NULL);
}

static Err draw_cells(const char *path, const RenderParams *p)
{
    static const float a[] = {0, 1, 2, 3}, b[] = {3, 2, NAN, 0};
    static const float *const values[] = {a, b};
    static const int32_t codes[] = {0, 2, 2, -1};
    CellPlot c = {.groups = chart_groups, .codes = codes, .n = 4, .n_genes = 2, .genes = chart_genes, .values = values,
                  .unit = "log1p CP10k", .width_mm = 85};
    return cells_render(&c, path, p, NULL);
}

static void bars_add_up_and_name_their_parts(void **state)
{
    size_t n;
    char *svg = chart_file(".svg", draw_bars, &n);
    assert_int_equal(count_inside(svg, ">50</text>"), 3); /* two halves of one bar, half of the other */
    assert_int_equal(count_inside(svg, ">25</text>"), 2);
    assert_int_equal(count_inside(svg, ">B cell (6)</text>"), 1);
    assert_int_equal(count_inside(svg, ">% of cells</text>"), 1);
    free(svg);
}

static void every_plot_of_groups_gives_the_same_bytes_twice(void **state)
{
    Err (*const draw[])(const char *, const RenderParams *) = {draw_dots, draw_violins, draw_bars, draw_cells};
    const char *const kinds[] = {".png", ".svg", ".pdf"};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            size_t n, m;
            char *a = chart_file(kinds[k], draw[i], &n), *b = chart_file(kinds[k], draw[i], &m);
            assert_int_equal(n, m);
            assert_memory_equal(a, b, n);
            if (k == 1)
                (void)count_inside(a, "<text");
            free(a);
            free(b);
        }
}

static void genes_without_room_are_refused_with_a_way_out(void **state)
{
    enum { MANY = 90 };
    char *many[MANY];
    float zero[MANY * GROUPS] = {0};
    for (int i = 0; i < MANY; i++)
        many[i] = chart_genes[0];
    GridPlot g = {.groups = chart_groups, .n_genes = MANY, .genes = many, .fraction = zero, .mean = zero, .width_mm = 85};
    char *path = temporary(".png");
    assert_err(grid_render(&g, path, &(RenderParams){.dpi = 72}, NULL), ERR_USAGE);
    assert_non_null(strstr(err_message(), "larger --size"));
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_read_and_refused),
        TEST(point_size_follows_scanpy),
        TEST(viridis_ends_are_the_published_ones),
        TEST(distances_are_those_of_ciede2000),
        TEST(palette_colours_stay_apart_for_every_viewer),
        TEST(colours_repeat_with_another_glyph_beyond_twenty),
        TEST(simulated_viewers_confuse_what_they_should),
        TEST(label_lies_in_the_densest_part),
        TEST(png_has_the_size_the_dpi_asks_for_and_its_texts),
        TEST(pngs_have_the_pixels_of_their_millimetres),
        TEST(text_is_kerned_and_marks_take_no_room),
        TEST(names_in_any_script_are_drawn_into_every_kind),
        TEST(png_pixels_come_back_with_and_without_alpha),
        TEST(same_input_gives_the_same_bytes),
        TEST(svg_keeps_text_as_text_with_counts),
        TEST(a_glyph_for_each_group_where_asked),
        TEST(generated_cells_are_hollow_and_in_the_legend),
        TEST(existing_file_needs_force),
        TEST(hundreds_of_groups_fit_on_the_page),
        TEST(figure_without_cells_is_still_a_figure),
        TEST(stamps_are_clipped_at_the_edges),
        TEST(legend_says_how_many_names_have_no_room),
        TEST(panels_on_one_scale_share_one_legend),
        TEST(simulation_reaches_points_text_and_images),
        TEST(a_command_that_is_not_utf8_leaves_files_that_can_be_read),
        TEST(names_that_are_not_utf8_do_not_blank_the_page),
        TEST(ticks_are_round_and_inside),
        TEST(dot_area_follows_the_share_of_cells),
        TEST(bars_add_up_and_name_their_parts),
        TEST(every_plot_of_groups_gives_the_same_bytes_twice),
        TEST(genes_without_room_are_refused_with_a_way_out),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
