/* A partition of the cells as a table: "cell TAB group", with the order and colours of the groups in comments, so that a
 * figure drawn from it is the one that was on the screen. Any table whose first column is the cell's name can be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/table.h"
#include "core/figure/palette.h"
#include "core/session/session.h"

enum { MAX_TABLE = 1 << 30 };

Err groups_write(const Groups *g, const char *const *cells, const char *path, bool force)
{
    Table *t;
    char text[16];
    TRY(table_open(path, NULL, force, &t));
    for (size_t i = 0; i < g->n_groups; i++) {
        char *line;
        snprintf(text, sizeof text, "#%06X", (unsigned)(g->colors[i] & 0xffffffu));
        line = str_format("%s %s", text, g->names[i]);
        table_comment(t, "group", line);
        free(line);
    }
    if (g->model_sha256)
        table_comment(t, "model_sha256", g->model_sha256);
    table_row(t, "cell", g->key, NULL);
    for (size_t i = 0; i < g->n_cells; i++) {
        table_text(t, cells[i]);
        table_text(t, g->codes[i] >= 0 ? g->names[g->codes[i]] : "");
        table_end_row(t);
    }
    return table_close(t);
}

/* ---- reading ---- */
typedef struct Reading {
    const char *path, *column;
    size_t at;        /* number of the column; 0: the header is still to come */
    StrMap *cells;    /* name -> cell */
    StrMap *groups;   /* name -> group */
    size_t cap, found;
    Groups *g;
} Reading;

/* The text that str_add_tsv wrote, in place. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        unsigned code;
        if (*s == '\\' && s[1] == 't')
            *to++ = '\t', s++;
        else if (*s == '\\' && s[1] == 'n')
            *to++ = '\n', s++;
        else if (*s == '\\' && s[1] == '\\')
            *to++ = '\\', s++;
        else if (*s == '\\' && s[1] == 'x' && sscanf(s + 2, "%2x", &code) == 1)
            *to++ = (char)code, s += 3;
        else
            *to++ = *s;
    }
    *to = 0;
}

/* Field `at` of a line, cut out in place; NULL when there are fewer. */
static char *field(char *line, size_t at)
{
    for (; at > 0; at--) {
        line = strchr(line, '\t');
        if (!line)
            return NULL;
        line++;
    }
    line[strcspn(line, "\t")] = 0;
    unescape(line);
    return line;
}

static int32_t group_of(Reading *r, const char *name, uint32_t color)
{
    Groups *g = r->g;
    int64_t k = strmap_get(r->groups, name, -1);
    if (k >= 0)
        return (int32_t)k;
    if (g->n_groups == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 64;
        char **names = mem_must(r->cap * sizeof *names);
        uint32_t *colors = mem_must(r->cap * sizeof *colors);
        if (g->n_groups) {
            memcpy(names, g->names, g->n_groups * sizeof *names);
            memcpy(colors, g->colors, g->n_groups * sizeof *colors);
        }
        free(g->names);
        free(g->colors);
        g->names = names;
        g->colors = colors;
    }
    g->names[g->n_groups] = mem_strdup(name);
    g->colors[g->n_groups] = color;
    strmap_put(r->groups, name, (int64_t)g->n_groups);
    return (int32_t)g->n_groups++;
}

static void read_comment(Reading *r, char *line)
{
    unsigned color;
    int at = 0;
    char hash[65];
    if (!r->g->model_sha256 && sscanf(line, "# model_sha256: %64[0-9a-f]", hash) == 1)
        r->g->model_sha256 = mem_strdup(hash);
    if (sscanf(line, "# group: #%6x %n", &color, &at) == 1 && at) {
        unescape(line + at);
        group_of(r, line + at, color);
    }
}

static Err read_header(Reading *r, char *line)
{
    char *copy = mem_strdup(line), *save = NULL;
    size_t i = 0;
    for (char *name = strtok_r(copy, "\t", &save); name; name = strtok_r(NULL, "\t", &save), i++) {
        unescape(name);
        if (i && (!r->column ? i == 1 : strcmp(name, r->column) == 0)) {
            r->at = i;
            r->g->key = mem_strdup(name);
            break;
        }
    }
    free(copy);
    if (!r->at && r->column)
        FAIL(ERR_NOT_FOUND, "%s: has no column %s", r->path, r->column);
    if (!r->at)
        FAIL(ERR_INPUT, "%s: is no table of cells: the header has one column", r->path);
    return OK;
}

static void read_row(Reading *r, char *line)
{
    char *copy = mem_strdup(line), *name = field(copy, 0);
    int64_t cell = strmap_get(r->cells, name, -1);
    free(copy);
    char *value = field(line, r->at);
    if (cell < 0)
        return;
    r->found++;
    if (value && *value)
        r->g->codes[cell] = group_of(r, value, COLOR_MISSING);
}

/* Groups that the table gives no colours get those of the palette. */
static void finish(Groups *g, bool colored)
{
    g->sizes = mem_must((g->n_groups + 1) * sizeof *g->sizes);
    if (!g->names) {
        g->names = mem_must(sizeof *g->names);
        g->colors = mem_must(sizeof *g->colors);
    }
    if (!colored)
        palette_categorical(g->colors, g->n_groups);
    for (size_t i = 0; i < g->n_cells; i++)
        if (g->codes[i] >= 0)
            g->sizes[g->codes[i]]++;
}

static Err read_lines(Reading *r, char *text)
{
    bool colored = false;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        line[strcspn(line, "\r")] = 0;
        if (*line == '#') {
            read_comment(r, line);
            colored = r->g->n_groups > 0;
        } else if (!r->at) {
            TRY(read_header(r, line));
        } else {
            read_row(r, line);
        }
    }
    if (!r->at || !r->found)
        FAIL(ERR_NOT_FOUND, "%s: no line begins with the name of a cell of this file", r->path);
    finish(r->g, colored);
    return OK;
}

Err groups_read(Session *s, const char *path, const char *column, Groups **out)
{
    Err err = OK;
    const char *const *cells;
    char *text = NULL;
    size_t n = dataset_cells(session_dataset(s));
    Reading r = {.path = path, .column = column};
    TRY(dataset_cell_names(session_dataset(s), &cells));
    TRY(str_read_file(path, MAX_TABLE, ERR_INPUT, &text, NULL));
    r.g = mem_must(sizeof *r.g);
    r.cells = strmap_new(n);
    r.groups = strmap_new(64);
    TRY_GOTO(NEW(r.g->codes, n));
    r.g->n_cells = n;
    for (size_t i = 0; i < n; i++) {
        strmap_put(r.cells, cells[i], (int64_t)i);
        r.g->codes[i] = -1;
    }
    TRY_GOTO(read_lines(&r, text));
    *out = r.g;
    r.g = NULL;
done:
    strmap_free(r.cells);
    strmap_free(r.groups);
    groups_free(r.g);
    free(text);
    return err;
}
