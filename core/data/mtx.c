/* Folders with matrix.mtx, features.tsv (or genes.tsv) and barcodes.tsv: Cell Ranger 2 and later,
 * STARsolo, kallisto, GEO downloads with a prefix. Text is parsed on first use; opening reads the
 * names and the first entries. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/features.h"
#include "core/data/mtx.h"

/* ---- which files ---- */

typedef struct MtxFiles {
    char *matrix, *features, *barcodes;
} MtxFiles;

static void files_done(MtxFiles *f)
{
    free(f->matrix);
    free(f->features);
    free(f->barcodes);
    *f = (MtxFiles){0};
}

/* FOLDER/PREFIX + one of the names, plain or .gz; NULL when none is there. */
static char *first_of(const char *folder, const char *prefix, const char *const *names)
{
    for (; *names; names++)
        for (int gz = 0; gz < 2; gz++) {
            char *p = str_format("%s/%s%s%s", folder, prefix, *names, gz ? ".gz" : "");
            if (access(p, F_OK) == 0)
                return p;
            free(p);
        }
    return NULL;
}

/* The part of an .mtx file's name before "matrix.mtx" or before its ending. */
static char *prefix_of(const char *name)
{
    const char *at = strstr(name, "matrix.mtx");
    size_t n = at ? (size_t)(at - name) : strlen(name) - (str_ends(name, ".gz") ? 7 : 4);
    return mem_strndup(name, n);
}

static bool is_mtx(const char *name)
{
    return str_ends(name, ".mtx") || str_ends(name, ".mtx.gz");
}

/* The .mtx files of a folder; returns how many, the first in the order of names in *name. */
static size_t mtx_in(const char *folder, char **name)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    *name = NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!is_mtx(e->d_name) || e->d_name[0] == '.')
            continue;
        n++;
        if (!*name || strcmp(e->d_name, *name) < 0) {
            free(*name);
            *name = mem_strdup(e->d_name);
        }
    }
    if (d)
        closedir(d);
    return n;
}

/* Folders below that hold a matrix (Cell Ranger 2: one per genome). */
static size_t folders_in(const char *folder, Str *names, char **first)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    *first = NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char *sub = str_format("%s/%s", folder, e->d_name), *mtx = NULL;
        if (e->d_name[0] != '.' && mtx_in(sub, &mtx) > 0) {
            str_addf(names, "%s%s", n++ ? ", " : "", e->d_name);
            if (!*first)
                *first = mem_strdup(e->d_name);
        }
        free(mtx);
        free(sub);
    }
    if (d)
        closedir(d);
    return n;
}

static Err files_of(const char *folder, const char *mtx, MtxFiles *out)
{
    static const char *const features[] = {"features.tsv", "genes.tsv",   "features.txt",
                                           "genes.txt",    "feature.tsv", NULL};
    static const char *const barcodes[] = {"barcodes.tsv", "barcodes.txt", "cells.tsv",
                                           "barcode.tsv", NULL};
    /* kallisto (cells_x_genes.genes.txt) and alevin (quants_mat_cols.txt) after the whole name */
    static const char *const others[] = {".genes.names.txt", ".genes.txt", "_cols.txt", NULL};
    static const char *const cells[] = {".barcodes.txt", "_rows.txt", NULL};
    char *prefix = prefix_of(mtx);
    MtxFiles f = {.matrix = str_format("%s/%s", folder, mtx)};
    f.features = first_of(folder, prefix, features);
    f.barcodes = first_of(folder, prefix, barcodes);
    if (!f.features && *prefix)
        f.features = first_of(folder, "", features);
    if (!f.barcodes && *prefix)
        f.barcodes = first_of(folder, "", barcodes);
    if (!f.features)
        f.features = first_of(folder, prefix, others);
    if (!f.barcodes)
        f.barcodes = first_of(folder, prefix, cells);
    Err err = OK;
    if (!f.features || !f.barcodes)
        err = err_set(ERR_INPUT,
                      "%s: is missing beside %s (with the same beginning or none); copy the whole "
                      "folder",
                      f.features ? "barcodes.tsv" : "features.tsv (or genes.tsv)", mtx);
    free(prefix);
    if (err)
        files_done(&f);
    else
        *out = f;
    return err;
}

static Err find_files(Dataset *d, const DatasetOptions *opt, MtxFiles *out)
{
    const char *path = d->path;
    char *mtx = NULL, *first = NULL, *sub = NULL;
    struct stat st;
    Str names = {0};
    Err err = OK;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) { /* the .mtx file itself was named */
        const char *slash = strrchr(path, '/');
        char *folder = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
        err = files_of(folder, slash ? slash + 1 : path, out);
        free(folder);
        return err;
    }
    size_t n = mtx_in(path, &mtx);
    static const char *const plain[] = {"matrix.mtx", NULL};
    if (n > 1 && (sub = first_of(path, "", plain))) { /* STARsolo: beside UniqueAndMult... */
        free(mtx);
        mtx = mem_strdup(strrchr(sub, '/') + 1);
        n = 1;
    }
    if (n > 1)
        FAIL_GOTO(ERR_USAGE, "holds %zu .mtx files; name one of them, for example %s/%s", n, path,
                  mtx);
    if (n == 1) {
        err = files_of(path, mtx, out);
        goto done;
    }
    n = folders_in(path, &names, &first);
    if (n == 0)
        TRY_GOTO(refuse_folder(path));
    if (n > 1 && !(opt && (opt->genome || opt->any_genome)))
        FAIL_GOTO(
            ERR_USAGE,
            "holds several genomes or matrices: %s; choose with --genome NAME or name the folder",
            str_text(&names));
    if (n > 1 && !opt->genome)
        dataset_warn(d,
                     "the folder holds several genomes or matrices: %s; %s is shown, choose with "
                     "--genome NAME",
                     str_text(&names), first);
    free(sub);
    sub = str_format("%s/%s", path, n > 1 && opt->genome ? opt->genome : first);
    free(mtx);
    if (mtx_in(sub, &mtx) != 1)
        FAIL_GOTO(ERR_USAGE, "--genome %s: no such folder with one matrix; there are: %s",
                  opt ? opt->genome : "", str_text(&names));
    err = files_of(sub, mtx, out);
done:
    str_free(&names);
    free(mtx);
    free(first);
    free(sub);
    return err;
}

/* ---- names ---- */

typedef struct Lines {
    char **v;
    size_t n, cap;
} Lines;

/* All lines that are not empty. */
static Err read_lines(const char *path, Lines *out)
{
    TextFile *t;
    char *line;
    Err err = OK;
    Lines l = {0};
    TRY(textfile_open(path, &t));
    for (;;) {
        TRY_GOTO(textfile_line(t, &line));
        if (!line)
            break;
        if (!*line)
            continue;
        if (l.n == l.cap) {
            l.cap = l.cap ? l.cap * 2 : 1024;
            TRY_GOTO(mem_realloc(&l.v, l.cap, sizeof *l.v));
        }
        l.v[l.n++] = mem_strdup(line);
    }
    *out = l;
    l = (Lines){0};
done:
    strings_free(l.v, l.n);
    textfile_close(t);
    return err;
}

/* Field k (from 0) of a tab-separated line, without quotes; NULL when there is none. */
static char *field(const char *line, int k)
{
    while (k-- && line)
        line = (line = strchr(line, '\t')) ? line + 1 : NULL;
    if (!line)
        return NULL;
    size_t n = strcspn(line, "\t");
    if (n >= 2 && line[0] == '"' && line[n - 1] == '"')
        return text_clean_utf8(mem_strndup(line + 1, n - 2));
    return text_clean_utf8(mem_strndup(line, n));
}

/* Some writers put a header over the names: then there is one line more than the matrix has. */
static void drop_header(Lines *l, size_t expect, size_t other)
{
    if (l->n != expect + 1 && l->n != other + 1)
        return;
    if (l->n == expect || l->n == other)
        return;
    free(l->v[0]);
    memmove(l->v, l->v + 1, --l->n * sizeof *l->v);
}

static void split_features(const Lines *l, Features *f)
{
    f->n = l->n;
    f->names_from = "features.tsv";
    f->names = mem_must(l->n * sizeof *f->names);
    f->ids = mem_must(l->n * sizeof *f->ids);
    size_t typed = 0;
    char **types = mem_must(l->n * sizeof *types);
    for (size_t i = 0; i < l->n; i++) {
        f->ids[i] = field(l->v[i], 0);
        f->names[i] = field(l->v[i], 1);
        types[i] = field(l->v[i], 2);
        if (!f->names[i] || !*f->names[i]) {
            free(f->names[i]);
            f->names[i] = mem_strdup(f->ids[i]);
        }
        typed += types[i] && *types[i];
    }
    if (typed == l->n)
        f->types = types;
    else
        strings_free(types, l->n);
}

/* ---- the matrix ---- */

static Err sample_mtx(const char *path, Matrix *m, MtxHead *h)
{
    enum { SAMPLE = 100000 };
    TextFile *t;
    StateSample s = {0};
    Err err = OK;
    TRY(textfile_open(path, &t));
    TRY_GOTO(mtx_head(path, t, h));
    h->sample = true;
    for (int i = 0; i < SAMPLE; i++) {
        MtxEntry e;
        bool more;
        TRY_GOTO(mtx_next(path, t, h, &e, &more));
        if (!more)
            break;
        state_sample_add(&s, &e.value, 1);
    }
    m->info.state = state_of_sample(&s);
done:
    textfile_close(t);
    return err;
}

Err mtx_read(Dataset *d, const DatasetOptions *opt)
{
    MtxFiles files;
    Lines features = {0}, barcodes = {0};
    Features f = {0};
    MtxHead h;
    Err err = OK;
    TRY(find_files(d, opt, &files));
    d->n_parts = 3;
    d->parts = mem_must(d->n_parts * sizeof *d->parts);
    d->parts[0] = mem_strdup(files.matrix);
    d->parts[1] = mem_strdup(files.features);
    d->parts[2] = mem_strdup(files.barcodes);
    Matrix *m = dataset_new_matrix(d, "X");
    m->kind = MATRIX_MTX;
    m->mtx_path = mem_strdup(files.matrix);
    TRY_GOTO(sample_mtx(files.matrix, m, &h));
    TRY_GOTO(read_lines(files.features, &features));
    TRY_GOTO(read_lines(files.barcodes, &barcodes));
    drop_header(&features, h.rows, h.cols);
    drop_header(&barcodes, h.cols, h.rows);
    bool straight = features.n == h.rows && barcodes.n == h.cols;
    m->mtx_transposed = !straight && features.n == h.cols && barcodes.n == h.rows;
    if (!straight && !m->mtx_transposed)
        FAIL_GOTO(ERR_INPUT,
                  "%s: is %llu x %llu, but there are %zu features and %zu barcodes; the files do "
                  "not belong "
                  "together",
                  files.matrix, (unsigned long long)h.rows, (unsigned long long)h.cols, features.n,
                  barcodes.n);
    split_features(&features, &f);
    d->obs.n = barcodes.n;
    d->obs.path = mem_strdup("barcodes.tsv");
    d->obs.index =
        (Slot){.name = mem_strdup("barcodes"), .form = SLOT_LOADED, .kind = COLUMN_STRING};
    d->obs.names = mem_must(barcodes.n * sizeof *d->obs.names);
    for (size_t i = 0; i < barcodes.n; i++)
        d->obs.names[i] = field(barcodes.v[i], 0);
    DatasetOptions without = opt ? *opt : (DatasetOptions){0};
    without.genome = NULL; /* it named the folder */
    TRY_GOTO(features_settle(d, &f, &without, &m->keep));
    free(d->encoding);
    d->encoding = mem_strdup(f.types ? "Matrix Market, features.tsv with types" : "Matrix Market");
    m->by_cells = true;
    m->file_genes = f.n;
    m->info = (MatrixInfo){.name = m->info.name,
                           .storage = "csr",
                           .rows = d->obs.n,
                           .cols = d->var.n,
                           .nnz = (size_t)h.room,
                           .state = m->info.state,
                           .readable = true};
    snprintf(m->info.dtype, sizeof m->info.dtype, "%s", h.integer ? "int64" : "float64");
    err = dataset_settle(d, opt);
done:
    features_done(&f);
    strings_free(features.v, features.n);
    strings_free(barcodes.v, barcodes.n);
    files_done(&files);
    return err;
}

/* A counting pass over the triplets. */
Err mtx_rows(size_t row0, size_t row1, size_t cols, const int32_t *cell, const int32_t *col,
             const float *value, size_t n, JobCtl *ctl, Csr *out)
{
    enum { STEP = 1 << 21 }; /* entries between two looks at the job */
    Csr c;
    Err err = OK;
    TRY(csr_init(&c, row1 - row0, cols, n));
    for (size_t k = 0; k < n; k++) {
        if (k % STEP == 0)
            TRY_GOTO(job_look(ctl));
        c.indptr[(size_t)cell[k] - row0 + 1]++;
    }
    for (size_t r = 0; r < c.rows; r++)
        c.indptr[r + 1] += c.indptr[r];
    for (size_t k = 0; k < n; k++) {
        if (k % STEP == 0)
            TRY_GOTO(job_look(ctl));
        int64_t at = c.indptr[(size_t)cell[k] - row0]++;
        c.indices[at] = col[k];
        c.values[at] = value[k];
    }
    memmove(c.indptr + 1, c.indptr, c.rows * sizeof *c.indptr);
    c.indptr[0] = 0;
    TRY_GOTO(csr_tidy(&c));
    *out = c;
    return OK;
done:
    csr_done(&c);
    return err;
}

Err mtx_place(const Matrix *m, const MtxEntry *e, int32_t *cell, int32_t *col)
{
    uint64_t g = m->mtx_transposed ? e->col : e->row, c = m->mtx_transposed ? e->row : e->col;
    if (g >= m->file_genes || c >= m->info.rows)
        FAIL(ERR_INPUT, "%s: has changed since it was opened", m->mtx_path);
    *cell = (int32_t)c;
    *col = m->keep ? m->keep[g] : (int32_t)g;
    return OK;
}

/* All of it in memory. */
static Err load_all(Matrix *m, TextFile *t, MtxHead *h, JobCtl *ctl)
{
    Err err = OK;
    int32_t *cell = NULL, *col = NULL;
    float *value = NULL;
    size_t n = 0, seen = 0;
    TRY_GOTO(NEW(cell, h->room));
    TRY_GOTO(NEW(col, h->room));
    TRY_GOTO(NEW(value, h->room));
    job_stage(ctl, "reading the matrix", textfile_bytes(t));
    for (bool more = true;; seen++) {
        MtxEntry e;
        TRY_GOTO(mtx_next(m->mtx_path, t, h, &e, &more));
        if (!more)
            break;
        TRY_GOTO(mtx_place(m, &e, &cell[n], &col[n]));
        value[n] = e.value;
        n += col[n] >= 0;
        if (seen % 65536 == 0)
            TRY_GOTO(job_progress(ctl, textfile_at(t)));
    }
    TRY_GOTO(mtx_rows(0, m->info.rows, m->info.cols, cell, col, value, n, ctl, &m->mem));
    m->kind = MATRIX_MEMORY;
done:
    free(cell);
    free(col);
    free(value);
    return err;
}

Err mtx_load(Dataset *d, Matrix *m, JobCtl *ctl)
{
    TextFile *t;
    MtxHead h;
    uint64_t memory = mem_budget() / 4;
    TRY(textfile_open(m->mtx_path, &t));
    Err err = mtx_head(m->mtx_path, t, &h);
    bool large = !err && h.room > memory / 20; /* triplets and rows */
    if (!err && !large)
        err = load_all(m, t, &h, ctl);
    textfile_close(t);
    return err || !large ? err : mtx_spill(m, memory, ctl);
}
