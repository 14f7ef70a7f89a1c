/* What kind of file is this? Opens it with the right reader, or says what it is and what to do
 * about it. */
#include "core/data/dataset_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/tree.h"
#include "core/data/watchdog.h"

static const char h5_signature[8] = "\x89HDF\r\n\x1a\n";

typedef enum FileKind { FILE_H5, FILE_ZARR, FILE_MTX } FileKind;

static bool exists_in(const char *folder, const char *name)
{
    char *p = str_format("%s/%s", folder, name);
    bool there = access(p, F_OK) == 0;
    free(p);
    return there;
}

static Err kind_of_folder(const char *path, FileKind *kind)
{
    const char *zarr[] = {".zgroup", "zarr.json", ".zattrs", ".zmetadata"};
    for (size_t i = 0; i < 4; i++)
        if (exists_in(path, zarr[i])) {
            *kind = FILE_ZARR;
            return OK;
        }
    *kind = FILE_MTX; /* its reader says what is missing */
    return OK;
}

static Err kind_of_file(const char *path, FileKind *kind)
{
    char head[4097];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        FAIL(ERR_INPUT, "cannot be opened: %s", strerror(errno));
    ssize_t n = read(fd, head, sizeof head - 1);
    int why = errno;
    close(fd);
    if (n < 0)
        FAIL(ERR_INPUT, "cannot be read: %s", strerror(why));
    head[n] = 0;
    for (size_t at = 0; at + 8 <= (size_t)n; at = at ? at * 2 : 512)
        if (memcmp(head + at, h5_signature, 8) == 0) {
            *kind = FILE_H5;
            return OK;
        }
    if (n == 0)
        FAIL(ERR_INPUT, "is empty; copy or download it again");
    if (n > 4 && memcmp(head, "PK\3\4", 4) == 0) {
        *kind = FILE_ZARR;
        return OK;
    }
    bool gzip = n > 2 && memcmp(head, "\x1f\x8b", 2) == 0;
    if (str_starts(head, "%%MatrixMarket") || (gzip && str_ends(path, ".mtx.gz"))) {
        *kind = FILE_MTX;
        return OK;
    }
    return refuse_file(path, head, (size_t)n);
}

static bool has(Store *s, const char *path)
{
    return store_kind(s, path) != NODE_NONE;
}

static Err read_h5_layout(Dataset *d, const DatasetOptions *opt)
{
    Store *s = d->store;
    TRY(refuse_layout(s));
    if (has(s, "obs") || has(s, "var"))
        return h5ad_read(d, opt);
    if (has(s, "row_attrs") || has(s, "col_attrs")) {
        d->format = "loom";
        return loom_read(d, opt);
    }
    d->format = "10x-h5";
    return tenx_read(d, opt);
}

static Err open_kind(const char *path, FileKind kind, const DatasetOptions *opt, Dataset **out)
{
    Err err = OK;
    Dataset *d = dataset_make(path,
                              kind == FILE_H5     ? "h5ad"
                              : kind == FILE_ZARR ? "zarr"
                                                  : "10x-mtx",
                              "");
    if (kind == FILE_MTX) {
        err = mtx_read(d, opt);
    } else {
        err = kind == FILE_H5
                  ? store_open_h5_follow(path, opt && opt->allow_external, &d->store)
                  : store_open_zarr(path, &d->store);
        if (!err && kind == FILE_ZARR)
            err = refuse_layout(d->store);
        if (!err)
            err = kind == FILE_H5 ? read_h5_layout(d, opt) : h5ad_read(d, opt);
    }
    if (err) {
        dataset_close(d);
        return err;
    }
    *out = d;
    return OK;
}

typedef struct Rehearsal {
    const char *path;
    const DatasetOptions *opt;
} Rehearsal;

/* Most damaged files that people meet, and all made by hand, are small: of these everything is read but matrices, of
 * those the first rows. Only crashes and endless loops count here. */
enum { SMALL_FILE = 2 << 20, FEW_ROWS = 8, FEW_VALUES = 1 << 20 };

static void rehearse_frame(Dataset *d, Frame *f)
{
    char **names;
    const Column *c;
    Err ignored = f->path && f->n < FEW_VALUES ? frame_names(d, f, &names) : OK;
    for (size_t i = 0; i < f->n_slots && f->n < FEW_VALUES; i++)
        ignored = slot_read(d, f, &f->slots[i], &c);
    (void)ignored;
}

static void rehearse_small(Dataset *d)
{
    Err ignored = OK;
    Tree *uns = NULL;
    rehearse_frame(d, &d->obs);
    rehearse_frame(d, &d->var);
    rehearse_frame(d, &d->raw_var);
    for (size_t i = 0; i < d->n_obsm; i++) {
        float *values = NULL;
        if (d->obsm[i].info.d < FEW_VALUES / (d->obsm[i].info.n + 1))
            ignored = dataset_obsm(d, i, &values);
        free(values);
    }
    for (size_t i = 0; i < d->n_matrices; i++) {
        const MatrixInfo *m = &d->matrices[i].info;
        Csr rows = {0};
        if (m->readable && m->rows && m->rows < FEW_VALUES && m->cols < FEW_VALUES && m->nnz < FEW_VALUES)
            ignored = dataset_read_rows(d, (int)i, 0, m->rows < FEW_ROWS ? m->rows : FEW_ROWS, NULL, &rows);
        csr_done(&rows);
    }
    if (dataset_uns(d, &uns) == OK)
        tree_free(uns);
    (void)ignored;
}

/* In a child: the same calls that the parent will make, plus a look into every column. */
static Err rehearse(void *arg)
{
    const Rehearsal *r = arg;
    struct stat st;
    Dataset *d;
    TRY(open_kind(r->path, FILE_H5, r->opt, &d));
    if (stat(r->path, &st) == 0 && st.st_size <= SMALL_FILE) {
        rehearse_small(d);
        return OK;
    }
    for (size_t i = 0; i < d->obs.n_slots; i++) {
        char *one = NULL;
        size_t n = 0;
        Slot *s = &d->obs.slots[i];
        Err ignored = s->form == SLOT_FIELD ? OK
                      : s->form == SLOT_CATEGORIES
                          ? slot_touch(d, &d->obs, s)
                          : slot_sample(d, &d->obs, s, s->kind == COLUMN_STRING, &one, &n);
        (void)ignored;
        free(one);
    }
    return OK;
}

Err dataset_open_unwatched(const char *path, const DatasetOptions *opt, Dataset **out)
{
    struct stat st;
    FileKind kind;
    if (stat(path, &st))
        FAIL(ERR_INPUT, "cannot be opened: %s", strerror(errno));
    TRY(S_ISDIR(st.st_mode) ? kind_of_folder(path, &kind) : kind_of_file(path, &kind));
    return open_kind(path, kind, opt, out);
}

Err dataset_open(const char *path, const DatasetOptions *opt, JobCtl *ctl, Dataset **out)
{
    struct stat st;
    FileKind kind;
    if (stat(path, &st))
        FAIL(ERR_INPUT, "cannot be opened: %s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        TRY(kind_of_folder(path, &kind));
    else if (S_ISREG(st.st_mode))
        TRY(kind_of_file(path, &kind));
    else
        FAIL(ERR_INPUT, "is neither a file nor a folder");
    if (kind == FILE_H5) {
        Rehearsal r = {path, opt};
        TRY(watchdog_run(rehearse, &r, ctl));
    }
    return open_kind(path, kind, opt, out);
}
