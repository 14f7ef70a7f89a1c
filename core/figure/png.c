/* PNG files with text chunks, through libpng. */
#include "core/figure/draw.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { LEVEL = 3 }; /* of flat colours higher levels take a tenth off, for three times the time */

typedef struct Buffer {
    unsigned char *data;
    size_t n, cap;
    bool failed;
} Buffer;

static void append(png_structp png, png_bytep bytes, png_size_t n)
{
    Buffer *b = png_get_io_ptr(png);
    if (b->n + n > b->cap) {
        size_t cap = b->cap ? b->cap : 1 << 16;
        while (cap < b->n + n)
            cap *= 2;
        if (mem_realloc(&b->data, cap, 1) != OK)
            png_error(png, "out of memory");
        b->cap = cap;
    }
    memcpy(b->data + b->n, bytes, n);
    b->n += n;
}

static void flush(png_structp png)
{
}

static void fail_quietly(png_structp png, png_const_charp message)
{
    longjmp(png_jmpbuf(png), 1);
}

static void warn_quietly(png_structp png, png_const_charp message)
{
}

/* One row from premultiplied ARGB32 to RGB or RGBA. */
static void convert_row(const uint32_t *in, int w, bool alpha, png_byte *out)
{
    for (int x = 0; x < w; x++) {
        uint32_t p = in[x], a = p >> 24;
        for (int shift = 16; shift >= 0; shift -= 8) {
            uint32_t v = p >> shift & 255;
            *out++ = (png_byte)(alpha && a && a < 255 ? (v * 255 + a / 2) / a : v);
        }
        if (alpha)
            *out++ = (png_byte)a;
    }
}

static void set_texts(png_structp png, png_infop info, const MetaPair *meta, size_t n, png_text *texts)
{
    for (size_t i = 0; i < n; i++) {
        texts[i] = (png_text){.compression = PNG_ITXT_COMPRESSION_NONE,
                              .key = (char *)meta[i].key,
                              .text = (char *)meta[i].value,
                              .lang = (char *)"",
                              .lang_key = (char *)""};
        bool ascii = true;
        for (const char *c = meta[i].value; *c; c++)
            ascii = ascii && (unsigned char)*c < 0x80;
        if (ascii)
            texts[i].compression = PNG_TEXT_COMPRESSION_NONE;
    }
    png_set_text(png, info, texts, (int)n);
}

Err png_encode(const uint32_t *argb, int w, int h, double dpi, bool alpha, const MetaPair *meta, size_t n_meta,
               unsigned char **out, size_t *n)
{
    Buffer b = {0};
    png_byte *volatile row = NULL;
    png_text *volatile texts = mem_must((n_meta + 1) * sizeof *texts);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, fail_quietly, warn_quietly);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    volatile bool ok = false;
    if (info && !setjmp(png_jmpbuf(png))) {
        row = mem_must((size_t)w * 4);
        png_set_write_fn(png, &b, append, flush);
        png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, 8, alpha ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB,
                     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        png_uint_32 per_metre = (png_uint_32)lround(dpi / 0.0254);
        png_set_pHYs(png, info, per_metre, per_metre, PNG_RESOLUTION_METER);
        set_texts(png, info, meta, n_meta, texts);
        png_set_compression_level(png, LEVEL);
        png_set_filter(png, 0, PNG_FILTER_NONE);
        png_write_info(png, info);
        for (int y = 0; y < h; y++) {
            convert_row(argb + (size_t)y * (size_t)w, w, alpha, row);
            png_write_row(png, row);
        }
        png_write_end(png, info);
        ok = true;
    }
    png_destroy_write_struct(&png, &info);
    free(row);
    free(texts);
    if (!ok) {
        free(b.data);
        FAIL(ERR_NOMEM, "a PNG of %d x %d pixels cannot be made in memory", w, h);
    }
    *out = b.data;
    *n = b.n;
    return OK;
}
