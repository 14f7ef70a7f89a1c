/* PNG files with text chunks, packed by libdeflate: four times as fast as libpng with zlib. */
#include "core/figure/draw.h"

#include <libdeflate.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

enum { LEVEL = 4, CHUNK_MOST = 1 << 30 };

static void add_u32(Str *s, uint32_t v)
{
    const char b[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    str_add_n(s, b, 4);
}

static void add_chunk(Str *s, const char *kind, const void *data, size_t n)
{
    add_u32(s, (uint32_t)n);
    size_t from = s->len;
    str_add_n(s, kind, 4);
    str_add_n(s, data, n);
    add_u32(s, libdeflate_crc32(0, s->data + from, s->len - from));
}

static void add_header(Str *s, int w, int h, double dpi, bool alpha)
{
    Str c = {0};
    const char how[5] = {8, alpha ? 6 : 2}; /* bits, RGB with or without alpha */
    add_u32(&c, (uint32_t)w);
    add_u32(&c, (uint32_t)h);
    str_add_n(&c, how, 5);
    add_chunk(s, "IHDR", c.data, c.len);
    c.len = 0;
    add_u32(&c, (uint32_t)lround(dpi / 0.0254)); /* a metre, in both directions */
    add_u32(&c, (uint32_t)lround(dpi / 0.0254));
    str_add_char(&c, 1);
    add_chunk(s, "pHYs", c.data, c.len);
    str_free(&c);
}

/* tEXt is Latin-1: what is not ASCII goes into iTXt, which is UTF-8. */
static void add_text(Str *s, const MetaPair *m)
{
    Str c = {0};
    bool ascii = true;
    for (const char *p = m->value; *p; p++)
        ascii = ascii && (unsigned char)*p < 0x80;
    str_add_n(&c, m->key, strlen(m->key) + 1);
    if (!ascii)
        str_add_n(&c, "\0\0\0\0", 4); /* not packed; no language, no translated key */
    str_add(&c, m->value);
    add_chunk(s, ascii ? "tEXt" : "iTXt", c.data, c.len);
    str_free(&c);
}

/* One row from premultiplied ARGB32 to RGB or RGBA. */
static void convert_row(const uint32_t *in, int w, bool alpha, uint8_t *out)
{
    for (int x = 0; x < w; x++) {
        uint32_t p = in[x], a = p >> 24;
        for (int shift = 16; shift >= 0; shift -= 8) {
            uint32_t v = p >> shift & 255;
            *out++ = (uint8_t)(alpha && a && a < 255 ? (v * 255 + a / 2) / a : v);
        }
        if (alpha)
            *out++ = (uint8_t)a;
    }
}

/* The rows, each after the number of its filter (0: none), where the pixels were: three bytes and a bit for four. The number
 * is set last, because the row of an image one pixel wide begins where its pixel was. */
static void convert_in_place(uint32_t *argb, int w, int h)
{
    uint8_t *raw = (uint8_t *)argb;
    size_t row = (size_t)w * 3 + 1;
    for (int y = 0; y < h; y++) {
        convert_row(argb + (size_t)y * (size_t)w, w, false, raw + (size_t)y * row + 1);
        raw[(size_t)y * row] = 0;
    }
}

static Err convert_with_alpha(const uint32_t *argb, int w, int h, uint8_t **raw)
{
    size_t row = (size_t)w * 4 + 1;
    TRY(NEW(*raw, (size_t)h * row));
    for (int y = 0; y < h; y++) {
        (*raw)[(size_t)y * row] = 0;
        convert_row(argb + (size_t)y * (size_t)w, w, true, *raw + (size_t)y * row + 1);
    }
    return OK;
}

/* A zlib stream. */
static Err pack(const uint8_t *raw, size_t n_raw, uint8_t **out, size_t *n)
{
    struct libdeflate_compressor *z = libdeflate_alloc_compressor(LEVEL);
    size_t most = libdeflate_zlib_compress_bound(z, n_raw);
    Err err = z ? NEW(*out, most) : ERR_NOMEM;
    if (err == OK)
        *n = libdeflate_zlib_compress(z, raw, n_raw, *out, most);
    if (z)
        libdeflate_free_compressor(z);
    return err;
}

Err png_encode(uint32_t *argb, int w, int h, double dpi, bool alpha, const MetaPair *meta, size_t n_meta,
               unsigned char **out, size_t *n)
{
    Str s = {0};
    uint8_t *with_alpha = NULL, *rows = NULL;
    size_t n_rows = 0;
    if (!alpha)
        convert_in_place(argb, w, h);
    Err err = alpha ? convert_with_alpha(argb, w, h, &with_alpha) : OK;
    if (err == OK)
        err = pack(alpha ? with_alpha : (const uint8_t *)argb, (size_t)h * ((size_t)w * (alpha ? 4 : 3) + 1), &rows, &n_rows);
    free(with_alpha);
    if (err)
        FAIL(ERR_NOMEM, "a PNG of %d x %d pixels cannot be made in memory", w, h);
    str_add_n(&s, "\x89PNG\r\n\x1a\n", 8);
    add_header(&s, w, h, dpi, alpha);
    for (size_t i = 0; i < n_meta; i++)
        add_text(&s, &meta[i]);
    for (size_t at = 0; at < n_rows; at += CHUNK_MOST)
        add_chunk(&s, "IDAT", rows + at, n_rows - at < CHUNK_MOST ? n_rows - at : CHUNK_MOST);
    add_chunk(&s, "IEND", "", 0);
    free(rows);
    *n = s.len;
    *out = (unsigned char *)str_take(&s);
    return OK;
}
