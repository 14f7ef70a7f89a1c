/* The text of a Matrix Market file: its head, then one entry at a time. Coordinate and array files,
 * integer, real and pattern, general, symmetric and skew-symmetric. */
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/data/mtx.h"

static Err bad_line(const char *path, const TextFile *t, const char *what)
{
    FAIL(ERR_INPUT, "%s: line %llu: %s; the file is damaged", path,
         (unsigned long long)textfile_number(t), what);
}

/* Skips spaces, reads decimal digits; false when there are none. */
static bool take_count(const char **p, uint64_t *out)
{
    const char *s = *p;
    uint64_t v = 0;
    while (*s == ' ' || *s == '\t')
        s++;
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (v > UINT64_MAX / 10 - 1)
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *p = s;
    *out = v;
    return true;
}

/* The first line, "%%MatrixMarket matrix coordinate integer general". */
static Err banner(const char *path, const char *line, MtxHead *h)
{
    if (!line || strncasecmp(line, "%%MatrixMarket", 14) != 0)
        FAIL(ERR_INPUT,
             "%s: does not begin with %%%%MatrixMarket; it is no matrix file, or damaged", path);
    *h = (MtxHead){.integer = strcasestr(line, "integer") != NULL,
                   .pattern = strcasestr(line, "pattern") != NULL,
                   .dense = strcasestr(line, " array") != NULL,
                   .symmetric = strcasestr(line, "symmetric") != NULL,
                   .skew = strcasestr(line, "skew") != NULL};
    if ((!strcasestr(line, "coordinate") && !h->dense) || strcasestr(line, "complex") ||
        strcasestr(line, "hermitian") || (h->dense && (h->symmetric || h->pattern)))
        FAIL(ERR_INPUT,
             "%s: \"%s\" is no matrix of real numbers that is read here; write it again as "
             "\"coordinate real general\" (in Python: scipy.io.mmwrite)",
             path, line);
    return OK;
}

Err mtx_head(const char *path, TextFile *t, MtxHead *h)
{
    char *line;
    TRY(textfile_line(t, &line));
    TRY(banner(path, line, h));
    do {
        TRY(textfile_line(t, &line));
        if (!line)
            FAIL(ERR_INPUT, "%s: ends before its sizes; the file is cut short", path);
        line += strspn(line, " \t");
    } while (*line == '%' || !*line);
    const char *p = line;
    if (!take_count(&p, &h->rows) || !take_count(&p, &h->cols) ||
        (!h->dense && !take_count(&p, &h->nnz)))
        return bad_line(path, t, "no sizes (rows, columns, entries)");
    if (h->dense && __builtin_mul_overflow(h->rows, h->cols, &h->nnz))
        return bad_line(path, t, "an impossible size");
    h->room = h->nnz * (h->symmetric ? 2 : 1);
    /* "1 1" (array: "0") and a line end is the shortest entry; gzip packs at most 1032 to 1. */
    double most = (double)textfile_bytes(t) * (str_ends(path, ".gz") ? 1032.0 : 1.0) /
                      (h->dense ? 2 : 4) +
                  1;
    if (h->rows >= INT32_MAX || h->cols >= INT32_MAX || (double)h->nnz > most)
        FAIL(ERR_INPUT,
             "%s: declares %llu x %llu with %llu entries, more than a file of %llu bytes can hold",
             path, (unsigned long long)h->rows, (unsigned long long)h->cols,
             (unsigned long long)h->nnz, (unsigned long long)textfile_bytes(t));
    return OK;
}

/* The next line with an entry, NULL at the end. */
static Err entry_line(const char *path, TextFile *t, MtxHead *h, const char **out)
{
    char *line;
    do {
        TRY(textfile_line(t, &line));
        if (!line && h->seen < h->nnz && !h->sample)
            FAIL(ERR_INPUT, "%s: declares %llu entries but holds %llu; the file is cut short", path,
                 (unsigned long long)h->nnz, (unsigned long long)h->seen);
        *out = line ? line + strspn(line, " \t") : NULL;
    } while (line && (!**out || **out == '%'));
    if (line && h->seen++ == h->nnz && !h->sample)
        FAIL(ERR_INPUT, "%s: holds more than the %llu entries it declares; the file is damaged",
             path, (unsigned long long)h->nnz);
    return OK;
}

/* Whole numbers, nearly all there are, avoid strtod. */
static Err value_of(const char *path, const TextFile *t, const char *p, float *out)
{
    const char *q = p;
    uint64_t whole;
    char *end;
    if (take_count(&q, &whole) && (!*q || *q == ' ')) {
        *out = (float)whole;
        return OK;
    }
    *out = (float)strtod(p, &end);
    return end == p ? bad_line(path, t, "no value") : OK;
}

Err mtx_next(const char *path, TextFile *t, MtxHead *h, MtxEntry *e, bool *more)
{
    const char *p;
    *more = true;
    if (h->is_mirrored) {
        h->is_mirrored = false;
        *e = h->mirrored;
        return OK;
    }
    TRY(entry_line(path, t, h, &p));
    *more = p && !(h->dense && h->seen > h->nnz); /* a sample of a file with too many lines */
    if (!*more)
        return OK;
    if (h->dense) {
        e->row = (h->seen - 1) % h->rows;
        e->col = (h->seen - 1) / h->rows;
        return value_of(path, t, p, &e->value);
    }
    if (!take_count(&p, &e->row) || !take_count(&p, &e->col) || !e->row || !e->col ||
        e->row > h->rows || e->col > h->cols)
        return bad_line(path, t, "no row and column within the sizes");
    e->row--;
    e->col--;
    e->value = 1;
    if (!h->pattern)
        TRY(value_of(path, t, p, &e->value));
    if (h->symmetric && e->row != e->col) {
        if (e->col >= h->rows || e->row >= h->cols)
            return bad_line(path, t, "a symmetric matrix that is not square");
        h->is_mirrored = true;
        h->mirrored = (MtxEntry){e->col, e->row, h->skew ? -e->value : e->value};
    }
    return OK;
}
