/* Files, layouts and folders that are not read here: what they are and the command that leads out. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset_impl.h"

static bool ends_any_case(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcasecmp(s + n - m, end) == 0;
}

static Err refuse_r(void)
{
    FAIL(ERR_INPUT,
         "is an R object; convert it once in R: library(zellkonverter); "
         "writeH5AD(Seurat::as.SingleCellExperiment(readRDS(\"FILE\")), \"OUT.h5ad\")");
}

static Err refuse_table(void)
{
    FAIL(ERR_INPUT, "is a text table; convert it once with Python: import anndata; "
                    "anndata.io.read_csv(\"FILE\").write_h5ad(\"OUT.h5ad\") (genes in the rows: "
                    "read_csv(\"FILE\").T; tabs: delimiter=\"\\t\")");
}

static bool is_r(const char *path, const char *head)
{
    return ends_any_case(path, ".rds") || ends_any_case(path, ".RData") ||
           ends_any_case(path, ".rda") || str_starts(head, "RDX") || str_starts(head, "X\n") ||
           str_starts(head, "B\n");
}

static bool is_table_name(const char *path)
{
    static const char *const ends[] = {".csv",    ".tsv",    ".txt",   ".tab",
                                       ".csv.gz", ".tsv.gz", ".txt.gz"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_any_case(path, ends[i]))
            return true;
    return false;
}

/* The first bytes inside a gzip file; a 0 ends them. */
static size_t unpacked_head(const char *path, char *out, size_t cap)
{
    gzFile f = gzopen(path, "rb");
    int n = f ? gzread(f, out, (unsigned)cap - 1) : 0;
    if (f)
        gzclose(f);
    n = n < 0 ? 0 : n;
    out[n] = 0;
    return (size_t)n;
}

static bool is_tar(const char *head, size_t n)
{
    return n > 262 && memcmp(head + 257, "ustar", 5) == 0;
}

static Err refuse_gzip(const char *path)
{
    char head[600];
    size_t n = unpacked_head(path, head, sizeof head);
    if (is_r(path, head))
        return refuse_r();
    if (is_tar(head, n) || ends_any_case(path, ".tar.gz") || ends_any_case(path, ".tgz"))
        FAIL(ERR_INPUT, "is a tar archive; unpack it (tar xzf FILE) and name what is in it");
    if (is_table_name(path))
        return refuse_table();
    if (ends_any_case(path, ".gz"))
        FAIL(ERR_INPUT, "is gzip-compressed as a whole; unpack it: gunzip -k FILE");
    FAIL(ERR_INPUT, "is gzip-compressed as a whole, whatever its name says; unpack it: "
                    "gunzip -c FILE > OUT.h5ad");
}

Err refuse_file(const char *path, const char *head, size_t n)
{
    if (n > 2 && memcmp(head, "\x1f\x8b", 2) == 0)
        return refuse_gzip(path);
    if (is_r(path, head))
        return refuse_r();
    if (is_tar(head, n))
        FAIL(ERR_INPUT, "is a tar archive; unpack it (tar xf FILE) and name what is in it");
    if (str_starts(head, "version https://git-lfs"))
        FAIL(ERR_INPUT, "is a Git LFS pointer, not the data; run: git lfs pull");
    if (strcasestr(head, "<!doctype html") || strcasestr(head, "<html") ||
        str_starts(head, "<?xml"))
        FAIL(ERR_INPUT, "is a web page, not data (a download that needed a login, or a wrong "
                        "link); download it again");
    if (is_table_name(path))
        return refuse_table();
    FAIL(ERR_INPUT,
         "is no single-cell file that is known here (.h5ad, 10x .h5, .loom, .zarr, a folder with "
         "matrix.mtx)");
}

/* ---- layouts ---- */

static bool has(Store *s, const char *path)
{
    return store_kind(s, path) != NODE_NONE;
}

/* MuData: one AnnData for each modality below mod/. */
static Err refuse_mudata(Store *s)
{
    char **names = NULL;
    size_t n = 0, rna = 0;
    Str list = {0};
    TRY(store_list(s, "mod", &names, &n));
    for (size_t i = 0; i < n; i++) {
        str_addf(&list, "%s%s", i ? ", " : "", names[i]);
        if (strcasestr(names[i], "rna") || strcasestr(names[i], "gex"))
            rna = i;
    }
    err_set(ERR_INPUT,
            "mod: is a MuData file with the modalities %s; write one of them as a file of its own, "
            "in Python: import mudata; mudata.read(\"FILE\").mod[\"%s\"].write_h5ad(\"OUT.h5ad\")",
            str_text(&list), n ? names[rna] : "");
    str_free(&list);
    strings_free(names, n);
    return ERR_INPUT;
}

Err refuse_layout(Store *s)
{
    bool molecules = has(s, "umi") || has(s, "count");
    if (molecules && (has(s, "barcode_idx") || (has(s, "barcode") && has(s, "gem_group"))))
        FAIL(ERR_INPUT, "is a 10x molecule_info.h5 (single molecules, no matrix); open "
                        "filtered_feature_bc_matrix.h5 of the same run");
    if (has(s, "assays") && (has(s, "meta.data") || has(s, "cell.names")))
        FAIL(ERR_INPUT, "is an h5Seurat file; convert it once in R: SeuratDisk::Convert(\"FILE\", "
                        "dest = \"h5ad\")");
    return store_kind(s, "mod") == NODE_GROUP && !has(s, "X") ? refuse_mudata(s) : OK;
}

/* ---- folders ---- */

static bool is_data(const char *name)
{
    static const char *const ends[] = {".h5ad", ".h5", ".loom", ".zarr", ".zip", ".mtx", ".mtx.gz"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (str_ends(name, ends[i]))
            return true;
    return false;
}

/* Names of data files below a folder, for a message. */
static void find_data(const char *folder, int depth, Str *found, int *left)
{
    struct dirent **e = NULL;
    int n = scandir(folder, &e, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *path = str_format("%s/%s", folder, e[i]->d_name);
        struct stat st;
        if (e[i]->d_name[0] != '.' && *left > 0 && lstat(path, &st) == 0) {
            if (is_data(e[i]->d_name)) {
                str_addf(found, "%s%s", found->len ? ", " : "", path);
                --*left;
            } else if (S_ISDIR(st.st_mode) && depth > 0) {
                find_data(path, depth - 1, found, left);
            }
        }
        free(path);
        free(e[i]);
    }
    free(e);
}

Err refuse_folder(const char *path)
{
    Str found = {0};
    int left = 4;
    find_data(path, 3, &found, &left);
    if (found.len)
        err_set(ERR_INPUT, "is a folder that holds no matrix.mtx itself; name what lies in it: %s%s",
                str_text(&found), left ? "" : ", ...");
    else
        err_set(ERR_INPUT, "is a folder without matrix.mtx (10x) and without Zarr metadata, and "
                           "nothing below it is known here");
    str_free(&found);
    return ERR_INPUT;
}
