/* The three kinds of page. PNG: a cairo image, encoded by png.c. PDF: a cairo PDF (text stays text, fonts are
 * embedded as subsets). SVG: written by draw_svg.c; cairo only measures its text. */
#include <cairo-pdf.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/leftover.h"
#include "core/base/mem.h"
#include "core/figure/draw_page.h"
#include "core/figure/font_face.h"
#include "core/figure/palette.h"

/* ---- opening and closing ---- */

static Err find_kind(const char *path, Kind *out)
{
    static const char *const extensions[] = {".png", ".svg", ".pdf"};
    for (int k = 0; k < 3; k++)
        if (str_ends_nocase(path, extensions[k])) {
            *out = (Kind)k;
            return OK;
        }
    FAIL(ERR_USAGE, "%s: a figure's name ends in .png, .svg or .pdf", path);
}

Err draw_check_name(const char *path)
{
    Kind kind;
    return find_kind(path, &kind);
}

/* Every colour of the page goes through here. */
uint32_t draw_seen(const Draw *d, uint32_t rgb)
{
    return d->simulate ? color_simulate(rgb, d->simulate - 1) : rgb;
}

static void set_pdf_metadata(Draw *d)
{
    /* A fixed date: the same input gives the same bytes. */
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    time_t t = epoch ? (time_t)strtoll(epoch, NULL, 10) : 0;
    struct tm tm;
    char date[32];
    gmtime_r(&t, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    Str words = {0};
    for (size_t i = 0; i < d->n_meta; i++)
        str_addf(&words, "%s%s: %s", i ? "; " : "", d->meta[i].key, d->meta[i].value);
    cairo_pdf_surface_set_metadata(d->surface, CAIRO_PDF_METADATA_CREATE_DATE, date);
    cairo_pdf_surface_set_metadata(d->surface, CAIRO_PDF_METADATA_KEYWORDS, str_text(&words));
    cairo_pdf_surface_set_metadata(d->surface, CAIRO_PDF_METADATA_CREATOR, "scmmgpt");
    if (d->title)
        cairo_pdf_surface_set_metadata(d->surface, CAIRO_PDF_METADATA_TITLE, d->title);
    str_free(&words);
}

static cairo_status_t keep_pdf(void *user, const unsigned char *data, unsigned n)
{
    str_add_n(user, (const char *)data, n);
    return CAIRO_STATUS_SUCCESS;
}

static Err make_surface(Draw *d)
{
    double scale = d->dpi / 72 * d->zoom;
    int w = (int)fmax(1, round(d->width * scale)), h = (int)fmax(1, round(d->height * scale));
    if (d->kind == KIND_PNG && (w > 32000 || h > 32000))
        FAIL(ERR_USAGE, "%s: %d x %d pixels are too many; lower --dpi", d->path, w, h);
    if (d->kind == KIND_PDF)
        d->surface = cairo_pdf_surface_create_for_stream(keep_pdf, &d->bytes, d->width * d->zoom, d->height * d->zoom);
    else if (d->kind == KIND_PNG)
        d->surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, w, h);
    else
        d->surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1); /* measures text */
    d->cr = cairo_create(d->surface);
    cairo_status_t status = cairo_status(d->cr);
    if (status != CAIRO_STATUS_SUCCESS)
        FAIL(ERR_GENERAL, "%s: cannot be drawn: %s", d->path, cairo_status_to_string(status));
    if (d->kind == KIND_PNG)
        cairo_scale(d->cr, scale, scale);
    if (d->kind == KIND_PDF)
        cairo_scale(d->cr, d->zoom, d->zoom);
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_set_font_options(d->cr, options);
    cairo_font_options_destroy(options);
    if (d->kind == KIND_PDF)
        set_pdf_metadata(d);
    if (d->kind != KIND_SVG && !d->transparent) {
        cairo_set_source_rgb(d->cr, 1, 1, 1);
        cairo_paint(d->cr);
    }
    return OK;
}

DrawParams draw_params(double width, double height, const char *title, const RenderParams *p)
{
    return (DrawParams){.width = width, .height = height, .zoom = p->zoom, .dpi = p->dpi, .force = p->force,
                        .transparent = p->transparent, .simulate = p->simulate, .meta = p->meta, .n_meta = p->n_meta,
                        .title = title};
}

Err draw_open(const char *path, const DrawParams *p, Draw **out)
{
    Kind kind = KIND_PNG;
    TRY(find_kind(path, &kind));
    if (!p->force && access(path, F_OK) == 0)
        FAIL(ERR_GENERAL, "%s: exists already; --force overwrites it", path);
    Draw *d = mem_must(sizeof *d);
    *d = (Draw){.kind = kind, .path = mem_strdup(path), .force = p->force, .transparent = p->transparent,
                .simulate = p->simulate,
                .width = p->width, .height = p->height, .dpi = p->dpi,
                .zoom = p->zoom > 0 ? p->zoom : 1, .n_meta = p->n_meta};
    d->temporary = str_format("%s.%ld.tmp", path, (long)getpid());
    leftover_add(d->temporary);
    d->meta = mem_must((p->n_meta + 1) * sizeof *d->meta);
    for (size_t i = 0; i < p->n_meta; i++)
        d->meta[i] = (MetaPair){mem_strdup(p->meta[i].key), str_utf8(p->meta[i].value)};
    d->title = p->title ? str_utf8(p->title) : NULL;
    Err err = make_surface(d);
    if (err) {
        draw_abandon(d);
        return err;
    }
    if (kind == KIND_SVG)
        svg_begin(d);
    *out = d;
    return OK;
}

static void release(Draw *d)
{
    if (d->cr)
        cairo_destroy(d->cr);
    if (d->surface)
        cairo_surface_destroy(d->surface);
    for (size_t i = 0; i < d->n_meta; i++) {
        free((char *)d->meta[i].key);
        free((char *)d->meta[i].value);
    }
    free(d->meta);
    free(d->title);
    free(d->path);
    leftover_forget(d->temporary);
    free(d->temporary);
    str_free(&d->bytes);
    for (int k = 0; k < 4; k++)
        str_free(&d->used[k]);
    free(d);
}

void draw_abandon(Draw *d)
{
    if (!d)
        return;
    release(d);
}

static Err write_temporary(const Draw *d, const void *data, size_t n)
{
    FILE *f = fopen(d->temporary, "wb");
    if (!f)
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", d->path, strerror(errno));
    bool ok = fwrite(data, 1, n, f) == n;
    ok = fclose(f) == 0 && ok; /* no fsync: a figure is made again more easily than waited for */
    if (!ok)
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", d->path, strerror(errno));
    return OK;
}

static Err finish_png(Draw *d)
{
    unsigned char *png;
    size_t n;
    cairo_surface_flush(d->surface);
    TRY(png_encode((const uint32_t *)(const void *)cairo_image_surface_get_data(d->surface),
                   cairo_image_surface_get_width(d->surface), cairo_image_surface_get_height(d->surface), d->dpi,
                   d->transparent, d->meta, d->n_meta, &png, &n));
    Err err = write_temporary(d, png, n);
    free(png);
    return err;
}

static Err finish_pdf(Draw *d)
{
    cairo_surface_finish(d->surface);
    cairo_status_t status = cairo_surface_status(d->surface);
    if (status != CAIRO_STATUS_SUCCESS)
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", d->path, cairo_status_to_string(status));
    return write_temporary(d, d->bytes.data, d->bytes.len);
}

Err draw_close(Draw *d)
{
    Err err;
    if (d->kind == KIND_PNG)
        err = finish_png(d);
    else if (d->kind == KIND_PDF)
        err = finish_pdf(d);
    else {
        svg_end(d);
        err = write_temporary(d, d->bytes.data, d->bytes.len);
    }
    if (err == OK && rename(d->temporary, d->path) != 0)
        err = err_set(ERR_GENERAL, "%s: cannot be written: %s", d->path, strerror(errno));
    if (err)
        unlink(d->temporary);
    release(d);
    return err;
}

bool draw_is_vector(const Draw *d)
{
    return d->kind != KIND_PNG;
}

uint32_t *draw_pixels(Draw *d, int *w, int *h)
{
    if (d->kind != KIND_PNG)
        return NULL;
    cairo_surface_flush(d->surface);
    cairo_surface_mark_dirty(d->surface); /* the caller writes before cairo draws again */
    *w = cairo_image_surface_get_width(d->surface);
    *h = cairo_image_surface_get_height(d->surface);
    return (uint32_t *)(void *)cairo_image_surface_get_data(d->surface);
}

double draw_dpi(const Draw *d)
{
    return d->dpi;
}

/* ---- shapes ---- */

static void set_color(Draw *d, uint32_t c)
{
    cairo_set_source_rgb(d->cr, (c >> 16 & 255) / 255.0, (c >> 8 & 255) / 255.0, (c & 255) / 255.0);
}

void draw_line(Draw *d, double x0, double y0, double x1, double y1, double width, uint32_t color)
{
    color = draw_seen(d, color);
    if (d->kind == KIND_SVG) {
        svg_line(d, x0, y0, x1, y1, width, color);
        return;
    }
    set_color(d, color);
    cairo_set_line_width(d->cr, width);
    cairo_move_to(d->cr, x0, y0);
    cairo_line_to(d->cr, x1, y1);
    cairo_stroke(d->cr);
}

void draw_polygon(Draw *d, const double *xy, int n, uint32_t color)
{
    color = draw_seen(d, color);
    if (d->kind == KIND_SVG) {
        svg_polygon(d, xy, n, 0, color);
        return;
    }
    set_color(d, color);
    for (int i = 0; i < n; i++)
        (i ? cairo_line_to : cairo_move_to)(d->cr, xy[2 * i], xy[2 * i + 1]);
    cairo_close_path(d->cr);
    cairo_fill(d->cr);
}

void draw_outline(Draw *d, const double *xy, int n, double width, uint32_t color)
{
    color = draw_seen(d, color);
    if (d->kind == KIND_SVG) {
        svg_polygon(d, xy, n, width, color);
        return;
    }
    set_color(d, color);
    cairo_set_line_width(d->cr, width);
    cairo_set_line_join(d->cr, CAIRO_LINE_JOIN_ROUND);
    for (int i = 0; i < n; i++)
        (i ? cairo_line_to : cairo_move_to)(d->cr, xy[2 * i], xy[2 * i + 1]);
    cairo_close_path(d->cr);
    cairo_stroke(d->cr);
}

void draw_arrow(Draw *d, double x0, double y0, double x1, double y1, double width, uint32_t color)
{
    double dx = x1 - x0, dy = y1 - y0, n = hypot(dx, dy), head = 4 * width + 1;
    if (n == 0)
        return;
    dx /= n;
    dy /= n;
    draw_line(d, x0, y0, x1 - dx * head, y1 - dy * head, width, color);
    double bx = x1 - dx * head, by = y1 - dy * head, r = head * 0.45;
    const double xy[6] = {x1, y1, bx - dy * r, by + dx * r, bx + dy * r, by - dx * r};
    draw_polygon(d, xy, 3, color);
}

void draw_rect(Draw *d, double x, double y, double w, double h, uint32_t fill)
{
    const double xy[8] = {x, y, x + w, y, x + w, y + h, x, y + h};
    draw_polygon(d, xy, 4, fill);
}

void draw_frame(Draw *d, double x, double y, double w, double h, double width, uint32_t color)
{
    draw_line(d, x, y, x + w, y, width, color);
    draw_line(d, x + w, y, x + w, y + h, width, color);
    draw_line(d, x + w, y + h, x, y + h, width, color);
    draw_line(d, x, y + h, x, y, width, color);
}

static void draw_disc(Draw *d, double x, double y, double r, double stroke, uint32_t color)
{
    color = draw_seen(d, color);
    if (d->kind == KIND_SVG) {
        svg_disc(d, x, y, r, stroke, color);
        return;
    }
    set_color(d, color);
    cairo_new_sub_path(d->cr);
    cairo_arc(d->cr, x, y, r, 0, 2 * M_PI);
    if (stroke > 0) {
        cairo_set_line_width(d->cr, stroke);
        cairo_stroke(d->cr);
    } else {
        cairo_fill(d->cr);
    }
}

void draw_ring(Draw *d, double x, double y, double diameter, double stroke, uint32_t color)
{
    draw_disc(d, x, y, (diameter - stroke) / 2, stroke, color);
}

void draw_glyph(Draw *d, int glyph, double x, double y, double diameter, uint32_t color)
{
    double r = diameter / 2, q = r * 0.89, t = r * 1.25, b = r * 1.2; /* areas near the disc's, as in points.c */
    const double square[8] = {x - q, y - q, x + q, y - q, x + q, y + q, x - q, y + q};
    const double diamond[8] = {x, y - t, x + t, y, x, y + t, x - t, y};
    const double triangle[6] = {x, y - r * 1.1, x + b, y + r * 0.9, x - b, y + r * 0.9};
    const double down[6] = {x, y + r * 1.1, x + b, y - r * 0.9, x - b, y - r * 0.9};
    double stroke = fmax(0.25, diameter / 5), p = r * 1.15;
    switch (glyph) {
    case 1:
        draw_ring(d, x, y, diameter, stroke, color);
        break;
    case 2:
        draw_polygon(d, square, 4, color);
        break;
    case 3:
        draw_polygon(d, diamond, 4, color);
        break;
    case 4:
        draw_polygon(d, triangle, 3, color);
        break;
    case 5:
        draw_line(d, x - r, y - r, x + r, y + r, stroke, color);
        draw_line(d, x - r, y + r, x + r, y - r, stroke, color);
        break;
    case 6:
        draw_polygon(d, down, 3, color);
        break;
    case 7:
        draw_line(d, x - p, y, x + p, y, diameter * 0.3, color);
        draw_line(d, x, y - p, x, y + p, diameter * 0.3, color);
        break;
    default:
        draw_disc(d, x, y, r, 0, color);
    }
}

/* ---- text ---- */

double draw_text_width(Draw *d, const TextStyle *s, const char *utf8)
{
    ShapedText t;
    char *clean = str_utf8(utf8);
    text_shape(s, clean, &t);
    free(clean);
    double width = t.width;
    text_shape_done(&t);
    return width;
}

static void glyph_outlines(Draw *d, const ShapedText *t)
{
    for (size_t i = 0; i < t->n; i++) {
        cairo_set_font_face(d->cr, t->parts[i].font->cairo);
        cairo_glyph_path(d->cr, t->parts[i].glyphs, t->parts[i].n);
    }
}

/* With the text itself, which a PDF keeps. */
static void glyph_text(Draw *d, const ShapedText *t, const char *utf8)
{
    for (size_t i = 0; i < t->n; i++) {
        const TextPart *p = &t->parts[i];
        cairo_set_font_face(d->cr, p->font->cairo);
        cairo_show_text_glyphs(d->cr, utf8 + p->text, (int)p->text_n, p->glyphs, p->n, p->clusters, p->n_clusters,
                               p->backward ? CAIRO_TEXT_CLUSTER_FLAG_BACKWARD : 0);
    }
}

static void cairo_text(Draw *d, double x, double y, const TextStyle *s, const char *utf8)
{
    ShapedText t;
    text_shape(s, utf8, &t);
    double shift = s->align == ALIGN_LEFT ? 0 : t.width * (s->align == ALIGN_CENTER ? 0.5 : 1);
    cairo_set_font_size(d->cr, s->size);
    cairo_save(d->cr);
    cairo_translate(d->cr, x, y);
    cairo_rotate(d->cr, -s->rotate * M_PI / 180);
    cairo_translate(d->cr, -shift, 0);
    if (s->halo) {
        glyph_outlines(d, &t);
        cairo_set_source_rgb(d->cr, 1, 1, 1);
        cairo_set_line_width(d->cr, s->size / 4);
        cairo_set_line_join(d->cr, CAIRO_LINE_JOIN_ROUND);
        cairo_stroke(d->cr);
    }
    set_color(d, draw_seen(d, s->color));
    glyph_text(d, &t, utf8);
    cairo_restore(d->cr);
    text_shape_done(&t);
}

void draw_text(Draw *d, double x, double y, const TextStyle *s, const char *utf8)
{
    char *clean = str_utf8(utf8);
    if (d->kind == KIND_SVG)
        svg_text(d, x, y, s, draw_seen(d, s->color), clean);
    else
        cairo_text(d, x, y, s, clean);
    free(clean);
}

/* ---- images ---- */

static void place_image(Draw *d, double x, double y, double w, double h, const uint32_t *argb, int iw, int ih)
{
    if (d->kind == KIND_SVG) {
        svg_image(d, x, y, w, h, argb, iw, ih);
        return;
    }
    cairo_surface_t *image = cairo_image_surface_create_for_data((unsigned char *)(uintptr_t)argb, CAIRO_FORMAT_ARGB32, iw, ih, 4 * iw);
    cairo_save(d->cr);
    cairo_translate(d->cr, x, y);
    cairo_scale(d->cr, w / iw, h / ih);
    cairo_set_source_surface(d->cr, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(d->cr), CAIRO_FILTER_NEAREST);
    cairo_paint(d->cr);
    cairo_restore(d->cr);
    cairo_surface_destroy(image);
}

/* A copy as the simulated viewer sees it; NULL when memory is short (the page is then drawn with the colours it has). */
static uint32_t *seen_image(const Draw *d, const uint32_t *argb, size_t n)
{
    uint32_t *copy, last = 0, last_seen = 0;
    if (mem_alloc(&copy, n, sizeof *copy) != OK)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = argb[i] >> 24, out = 0;
        if (a && (argb[i] != last || !i)) {
            uint32_t rgb = 0;
            for (int shift = 16; shift >= 0; shift -= 8)
                rgb |= (uint32_t)fmin(255, ((argb[i] >> shift & 255) * 255 + a / 2) / a) << shift;
            rgb = draw_seen(d, rgb);
            for (int shift = 16; shift >= 0; shift -= 8)
                out |= ((rgb >> shift & 255) * a + 127) / 255 << shift;
            last = argb[i];
            last_seen = a << 24 | out;
        }
        copy[i] = a ? last_seen : 0;
    }
    return copy;
}

void draw_image(Draw *d, double x, double y, double w, double h, const uint32_t *argb, int iw, int ih)
{
    uint32_t *copy = d->simulate ? seen_image(d, argb, (size_t)iw * (size_t)ih) : NULL;
    place_image(d, x, y, w, h, copy ? copy : argb, iw, ih);
    free(copy);
}
