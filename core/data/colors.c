/* Colours stored beside a categorical column (uns/<key>_colors), as scanpy writes them. */
#include "core/data/dataset_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"

/* The CSS names that matplotlib's users write most. */
static const struct {
    const char *name;
    uint32_t rgb;
} named[] = {
    {"black", 0x000000},      {"white", 0xFFFFFF},       {"red", 0xFF0000},
    {"green", 0x008000},      {"lime", 0x00FF00},        {"blue", 0x0000FF},
    {"yellow", 0xFFFF00},     {"cyan", 0x00FFFF},        {"magenta", 0xFF00FF},
    {"gray", 0x808080},       {"grey", 0x808080},        {"lightgray", 0xD3D3D3},
    {"lightgrey", 0xD3D3D3},  {"darkgray", 0xA9A9A9},    {"darkgrey", 0xA9A9A9},
    {"orange", 0xFFA500},     {"purple", 0x800080},      {"pink", 0xFFC0CB},
    {"brown", 0xA52A2A},      {"olive", 0x808000},       {"navy", 0x000080},
    {"teal", 0x008080},       {"maroon", 0x800000},      {"gold", 0xFFD700},
    {"darkred", 0x8B0000},    {"darkgreen", 0x006400},   {"darkblue", 0x00008B},
    {"lightblue", 0xADD8E6},  {"skyblue", 0x87CEEB},     {"steelblue", 0x4682B4},
    {"royalblue", 0x4169E1},  {"salmon", 0xFA8072},      {"tomato", 0xFF6347},
    {"coral", 0xFF7F50},      {"crimson", 0xDC143C},     {"violet", 0xEE82EE},
    {"indigo", 0x4B0082},     {"turquoise", 0x40E0D0},   {"khaki", 0xF0E68C},
    {"orchid", 0xDA70D6},     {"silver", 0xC0C0C0},      {"tan", 0xD2B48C},
    {"chocolate", 0xD2691E},  {"forestgreen", 0x228B22}, {"limegreen", 0x32CD32},
    {"seagreen", 0x2E8B57},   {"darkorange", 0xFF8C00},  {"firebrick", 0xB22222},
    {"hotpink", 0xFF69B4},    {"deeppink", 0xFF1493},    {"slategray", 0x708090},
    {"beige", 0xF5F5DC},      {"plum", 0xDDA0DD},        {"sienna", 0xA0522D},
    {"lightgreen", 0x90EE90}, {"dodgerblue", 0x1E90FF},
};

/* "#rrggbb", "#rrggbbaa" (the alpha is dropped), "#rgb" or a name. */
static bool parse_color(const char *s, uint32_t *rgb)
{
    if (s[0] == '#') {
        size_t n = strspn(s + 1, "0123456789abcdefABCDEF");
        unsigned long v = strtoul(s + 1, NULL, 16);
        if (s[1 + n] || (n != 3 && n != 6 && n != 8))
            return false;
        *rgb =
            n == 8 ? (uint32_t)(v >> 8)
            : n == 6
                ? (uint32_t)v
                : (uint32_t)((v >> 8 & 15) * 0x110000 + (v >> 4 & 15) * 0x1100 + (v & 15) * 0x11);
        return true;
    }
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcasecmp(named[i].name, s) == 0) {
            *rgb = named[i].rgb;
            return true;
        }
    return false;
}

Err dataset_colors(Dataset *d, const char *key, uint32_t **rgb, size_t *n)
{
    *rgb = NULL;
    *n = 0;
    int col = dataset_find_obs(d, key);
    const Column *c;
    if (col < 0 || !d->store || dataset_obs_kind(d, (size_t)col) != COLUMN_CATEGORICAL)
        return OK;
    TRY(dataset_obs(d, (size_t)col, &c));
    char *path = str_format("uns/%s_colors", key), **texts = NULL;
    Array *a = NULL;
    Err err = OK;
    size_t count = 0;
    if (store_kind(d->store, path) != NODE_ARRAY || store_open_array(d->store, path, &a) != OK)
        goto done;
    if (a->info.cls != ELEM_STRING || a->info.rank != 1 || a->info.count < c->n_categories) {
        log_warn("%s: not a colour for each of %zu categories; others are used", path, c->n_categories);
    } else {
        count = c->n_categories;
        TRY_GOTO(NEW0(texts, count));
        TRY_GOTO(NEW(*rgb, count));
        TRY_GOTO(array_read_text(a, 0, count, texts));
        bool valid = true;
        for (size_t i = 0; i < count; i++)
            if (!parse_color(texts[i], &(*rgb)[i])) {
                if (valid)
                    log_warn("%s: '%s' is no colour known here; others are used for all categories", path, texts[i]);
                valid = false;
            }
        *n = valid ? count : 0;
    }
done:
    strings_free(texts, count);
    array_close(a);
    free(path);
    if (!*n) {
        free(*rgb);
        *rgb = NULL;
    }
    return err;
}
