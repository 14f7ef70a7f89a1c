/* TrueType: a directory of tables, numbers with the high byte first. Kept are the outlines (glyf, loca), the widths (hmtx)
 * and the tables every reader asks for; composite glyphs bring their parts along. */
#include "core/figure/font_subset.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

typedef struct Table {
    const uint8_t *d; /* NULL: absent */
    size_t n;
} Table;

/* ---- numbers ---- */

/* Beyond the end all bytes are 0. */
static uint32_t get(Table t, size_t at, int bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | (at + (size_t)i < t.n ? t.d[at + (size_t)i] : 0);
    return v;
}

static void put(Str *s, uint32_t v, int bytes)
{
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        str_add_n(s, &(char){(char)(v >> shift & 255)}, 1);
}

static void set(Str *s, size_t at, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes && at + (size_t)i < s->len; i++)
        s->data[at + (size_t)i] = (char)(v >> (8 * (bytes - 1 - i)) & 255);
}

static Table find(Table font, const char *tag)
{
    uint32_t n = get(font, 4, 2);
    for (uint32_t i = 0; i < n; i++) {
        size_t at = 12 + 16 * (size_t)i, from = get(font, at + 8, 4), length = get(font, at + 12, 4);
        if (at + 16 <= font.n && memcmp(font.d + at, tag, 4) == 0 && from <= font.n && length <= font.n - from)
            return (Table){font.d + from, length};
    }
    return (Table){0};
}

/* ---- glyphs ---- */

typedef struct Source {
    Table head, hhea, maxp, os2, post, hmtx, loca, glyf;
    uint32_t n_glyphs, n_widths;
    bool long_offsets;
} Source;

static Err read_source(Table font, Source *s)
{
    *s = (Source){find(font, "head"), find(font, "hhea"), find(font, "maxp"), find(font, "OS/2"),
                  find(font, "post"), find(font, "hmtx"), find(font, "loca"), find(font, "glyf"), 0, 0, false};
    if (s->head.n < 54 || s->hhea.n < 36 || s->maxp.n < 6 || s->post.n < 32 || !s->os2.n || !s->hmtx.n || !s->glyf.n)
        FAIL(ERR_INPUT, "font: no TrueType outlines");
    s->n_glyphs = get(s->maxp, 4, 2);
    s->n_widths = get(s->hhea, 34, 2);
    s->long_offsets = get(s->head, 50, 2) == 1;
    if (!s->n_glyphs || !s->n_widths || s->loca.n < (s->n_glyphs + 1) * (s->long_offsets ? 4 : 2))
        FAIL(ERR_INPUT, "font: damaged");
    return OK;
}

static Table glyph_of(const Source *s, uint32_t glyph)
{
    size_t size = s->long_offsets ? 4 : 2, unit = s->long_offsets ? 1 : 2;
    size_t from = get(s->loca, glyph * size, (int)size) * unit, to = get(s->loca, (glyph + 1) * size, (int)size) * unit;
    return from < to && to <= s->glyf.n ? (Table){s->glyf.d + from, to - from} : (Table){0};
}

static bool is_composite(Table g)
{
    return g.n >= 10 && get(g, 0, 2) >= 0x8000;
}

enum { ARGS_ARE_WORDS = 1, HAS_SCALE = 8, MORE = 0x20, HAS_XY_SCALE = 0x40, HAS_MATRIX = 0x80, HAS_INSTRUCTIONS = 0x100 };

/* Where the part after the one at `at` begins; 0 after the last. */
static size_t next_part(Table g, size_t at, size_t *end)
{
    uint32_t flags = get(g, at, 2);
    at += 4 + (flags & ARGS_ARE_WORDS ? 4 : 2);
    at += flags & HAS_SCALE ? 2 : flags & HAS_XY_SCALE ? 4 : flags & HAS_MATRIX ? 8 : 0;
    *end = at;
    return flags & MORE && at < g.n ? at : 0;
}

/* The glyph and what it is made of. */
static void mark(const Source *s, uint32_t glyph, uint8_t *needed, int depth)
{
    enum { DEEPEST = 8 };
    if (glyph >= s->n_glyphs || needed[glyph] || depth > DEEPEST)
        return;
    needed[glyph] = 1;
    Table g = glyph_of(s, glyph);
    size_t end = 0;
    for (size_t at = is_composite(g) ? 10 : 0; at; at = next_part(g, at, &end))
        mark(s, get(g, at + 2, 2), needed, depth + 1);
}

/* Bytes of flags and coordinates from `at` on: a flag may stand for several points, a coordinate has 0 to 2 bytes. */
static size_t points_length(Table g, size_t at, uint32_t n_points)
{
    enum { X_BYTE = 2, Y_BYTE = 4, REPEATED = 8, X_SAME = 16, Y_SAME = 32 };
    size_t start = at, coordinates = 0;
    for (uint32_t i = 0; i < n_points && at < g.n;) {
        uint32_t flag = get(g, at++, 1), times = 1 + (flag & REPEATED ? get(g, at++, 1) : 0);
        size_t x = flag & X_BYTE ? 1 : flag & X_SAME ? 0 : 2, y = flag & Y_BYTE ? 1 : flag & Y_SAME ? 0 : 2;
        coordinates += times * (x + y);
        i += times;
    }
    return at - start + coordinates;
}

/* Without its instructions; parts by their new numbers. */
static void add_glyph(Table g, const uint32_t *number, uint32_t n_glyphs, Str *out)
{
    size_t start = out->len, end = 0;
    if (is_composite(g)) {
        for (size_t at = 10; at; at = next_part(g, at, &end))
            ;
        str_add_n(out, (const char *)g.d, end < g.n ? end : g.n);
        for (size_t at = 10; at; at = next_part(g, at, &end)) {
            uint32_t part = get(g, at + 2, 2);
            set(out, start + at, get(g, at, 2) & ~(uint32_t)HAS_INSTRUCTIONS, 2);
            set(out, start + at + 2, part < n_glyphs ? number[part] : 0, 2);
        }
    } else if (g.n > 10) {
        size_t points = 10 + 2 * (size_t)get(g, 0, 2), rest = points + 2 + get(g, points, 2);
        size_t length = points_length(g, rest, get(g, points - 2, 2) + 1);
        if (rest > g.n || length > g.n - rest)
            return; /* a damaged one is left empty */
        str_add_n(out, (const char *)g.d, points);
        put(out, 0, 2);
        str_add_n(out, (const char *)g.d + rest, length);
    }
    while ((out->len - start) % 4)
        put(out, 0, 1);
}

/* ---- tables ---- */

static void add_map(const FontChar *c, size_t n, const uint32_t *number, uint32_t n_glyphs, Str *out)
{
    /* format 4: a segment a character, and the closing one */
    uint32_t segments = (uint32_t)n + 1, power = 1, log = 0;
    while (power * 2 <= segments) {
        power *= 2;
        log++;
    }
    const uint32_t head[] = {0, 1, 3, 1, 0, 12, 4, 16 + 8 * segments, 0, 2 * segments, 2 * power, log, 2 * (segments - power)};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        put(out, head[i], 2);
    for (int part = 0; part < 4; part++) {
        for (size_t i = 0; i < n; i++) {
            uint32_t glyph = c[i].glyph < n_glyphs ? number[c[i].glyph] : 0;
            put(out, part < 2 ? c[i].code : part == 2 ? (glyph - c[i].code) & 0xFFFF : 0, 2);
        }
        put(out, part < 2 ? 0xFFFF : part == 2 ? 1 : 0, 2);
        if (part == 0)
            put(out, 0, 2);
    }
}

static void add_name(Str *out)
{
    static const char family[] = "subset";
    size_t n = sizeof family - 1;
    const uint32_t head[] = {0, 2, 6 + 2 * 12};
    for (int i = 0; i < 3; i++)
        put(out, head[i], 2);
    for (uint32_t id = 1; id <= 2; id++) {
        const uint32_t record[] = {3, 1, 0x409, id, (uint32_t)(2 * n), 0};
        for (int i = 0; i < 6; i++)
            put(out, record[i], 2);
    }
    for (size_t i = 0; i < n; i++)
        put(out, (uint32_t)family[i], 2);
}

static uint32_t checksum(const char *d, size_t n)
{
    Table t = {(const uint8_t *)d, n};
    uint32_t sum = 0;
    for (size_t at = 0; at < n; at += 4)
        sum += get(t, at, 4);
    return sum;
}

enum { N_TABLES = 10, FIRST = 12 + 16 * N_TABLES };

static void write_file(Str *tables, Str *out)
{
    static const char tags[] = "OS/2cmapglyfheadhheahmtxlocamaxpnamepost"; /* in this order */
    size_t at = FIRST, head = 0;
    put(out, 0x00010000, 4);
    const uint32_t search[] = {N_TABLES, 8 * 16, 3, N_TABLES * 16 - 8 * 16};
    for (int i = 0; i < 4; i++)
        put(out, search[i], 2);
    for (size_t i = 0; i < N_TABLES; i++) {
        const uint32_t entry[] = {checksum(tables[i].data, tables[i].len), (uint32_t)at, (uint32_t)tables[i].len};
        str_add_n(out, tags + 4 * i, 4);
        for (int k = 0; k < 3; k++)
            put(out, entry[k], 4);
        head = i == 3 ? at : head;
        at += (tables[i].len + 3) / 4 * 4;
    }
    for (size_t i = 0; i < N_TABLES; i++) {
        if (tables[i].len)
            str_add_n(out, tables[i].data, tables[i].len);
        while (out->len % 4)
            put(out, 0, 1);
    }
    set(out, head + 8, 0xB1B0AFBA - checksum(out->data, out->len), 4);
}

static void copy(Str *s, Table t, size_t most)
{
    str_add_n(s, (const char *)t.d, t.n < most ? t.n : most);
}

Err font_subset(const uint8_t *font, size_t n, const FontChar *chars, size_t n_chars, uint8_t **out, size_t *n_out)
{
    enum { OS2, CMAP, GLYF, HEAD, HHEA, HMTX, LOCA, MAXP, NAME, POST };
    Source s;
    Err err = OK;
    uint8_t *needed = NULL;
    uint32_t *number = NULL, kept = 0;
    Str t[N_TABLES] = {{0}}, file = {0};
    TRY(read_source((Table){font, n}, &s));
    TRY_GOTO(NEW0(needed, s.n_glyphs));
    TRY_GOTO(NEW0(number, s.n_glyphs));
    mark(&s, 0, needed, 0);
    for (size_t i = 0; i < n_chars; i++)
        mark(&s, chars[i].glyph, needed, 0);
    for (uint32_t g = 0; g < s.n_glyphs; g++)
        if (needed[g])
            number[g] = kept++;
    for (uint32_t g = 0; g < s.n_glyphs; g++) {
        if (!needed[g])
            continue;
        uint32_t wide = g < s.n_widths ? g : s.n_widths - 1;
        put(&t[LOCA], (uint32_t)t[GLYF].len, 4);
        add_glyph(glyph_of(&s, g), number, s.n_glyphs, &t[GLYF]);
        put(&t[HMTX], get(s.hmtx, 4 * (size_t)wide, 2), 2);
        put(&t[HMTX], get(s.hmtx, g < s.n_widths ? 4 * (size_t)g + 2 : 4 * (size_t)s.n_widths + 2 * (size_t)(g - s.n_widths), 2), 2);
    }
    put(&t[LOCA], (uint32_t)t[GLYF].len, 4);
    copy(&t[OS2], s.os2, SIZE_MAX);
    copy(&t[HEAD], s.head, 54);
    copy(&t[HHEA], s.hhea, 36);
    copy(&t[MAXP], s.maxp, SIZE_MAX);
    copy(&t[POST], s.post, 32);
    add_map(chars, n_chars, number, s.n_glyphs, &t[CMAP]);
    add_name(&t[NAME]);
    set(&t[HEAD], 8, 0, 4);
    set(&t[HEAD], 50, 1, 2);
    set(&t[HHEA], 34, kept, 2);
    set(&t[MAXP], 4, kept, 2);
    set(&t[POST], 0, 0x00030000, 4);
    write_file(t, &file);
    *n_out = file.len;
    *out = (uint8_t *)str_take(&file);
done:
    for (int i = 0; i < N_TABLES; i++)
        str_free(&t[i]);
    free(needed);
    free(number);
    return err;
}
