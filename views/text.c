/* UTF-8, column widths and line breaking, independent of the locale (so that tests give the same
 * everywhere). Widths follow Unicode's East Asian Width in blocks, which is what terminals do to
 * within rare characters. */
#include "views/canvas.h"

#include <string.h>

uint32_t utf8_next(const char **p)
{
    const unsigned char *s = (const unsigned char *)*p;
    if (!*s)
        return 0;
    int n = *s < 0x80                 ? 0
            : *s >= 0xc2 && *s < 0xe0 ? 1
            : *s >= 0xe0 && *s < 0xf0 ? 2
            : *s >= 0xf0 && *s < 0xf5 ? 3
                                      : -1;
    if (n < 0) {
        ++*p;
        return 0xfffd;
    }
    uint32_t ch = n == 0 ? *s : *s & (0x3fu >> n);
    for (int i = 1; i <= n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            *p += i;
            return 0xfffd;
        }
        ch = ch << 6 | (s[i] & 0x3f);
    }
    *p += n + 1;
    bool overlong = (n == 2 && ch < 0x800) || (n == 3 && ch < 0x10000);
    return overlong || (ch >= 0xd800 && ch < 0xe000) || ch > 0x10ffff ? 0xfffd : ch;
}

size_t utf8_encode(uint32_t ch, char out[5])
{
    size_t n = ch < 0x80 ? 1 : ch < 0x800 ? 2 : ch < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; ch >>= 6)
        out[i] = (char)(0x80 | (ch & 0x3f));
    out[0] = (char)(lead[n] | ch);
    out[n] = 0;
    return n;
}

typedef struct Range {
    uint32_t first, last;
} Range;

static bool in_ranges(uint32_t ch, const Range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ch >= r[i].first && ch <= r[i].last)
            return true;
    return false;
}

int glyph_width(uint32_t ch)
{
    static const Range none[] = {
        {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f},
        {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064},
        {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0000, 0xe0fff}};
    static const Range wide[] = {
        {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2329, 0x232a},  {0x23e9, 0x23ec},
        {0x2614, 0x2615},   {0x26a1, 0x26a1},   {0x2705, 0x2705},  {0x2728, 0x2728},
        {0x274c, 0x274c},   {0x2753, 0x2755},   {0x2b1b, 0x2b1c},  {0x2b50, 0x2b50},
        {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},  {0x4e00, 0x9fff},
        {0xa000, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},  {0xf900, 0xfaff},
        {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f},
        {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};
    if (ch < 0x20 || (ch >= 0x7f && ch < 0xa0))
        return 0;
    if (ch < 0x300)
        return 1;
    if (in_ranges(ch, none, sizeof none / sizeof *none))
        return 0;
    return in_ranges(ch, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

int text_width(const char *utf8)
{
    int w = 0;
    while (*utf8) {
        uint32_t ch = utf8_next(&utf8);
        w += ch < 0x20 || ch == 0x7f ? 1 : glyph_width(ch); /* controls are shown as one sign */
    }
    return w;
}

size_t text_wrap(const char *s, int w, size_t *skip)
{
    const char *p = s, *fits = s, *word = NULL;
    int used = 0;
    while (*p && *p != '\n') {
        const char *at = p;
        uint32_t ch = utf8_next(&p);
        if (ch == ' ')
            word = at;
        used += glyph_width(ch);
        if (used > w && at > s)
            break;
        fits = p;
    }
    if (!*fits || *fits == '\n') {
        *skip = *fits == '\n';
        return (size_t)(fits - s);
    }
    if (*fits == ' ')
        word = fits;
    size_t n = word && word > s ? (size_t)(word - s) : (size_t)(fits - s);
    *skip = strspn(s + n, " ");
    return n;
}
