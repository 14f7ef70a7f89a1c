/* h5ad files whose structure the input decides: sound HDF5 (so that libhdf5's own faults do not get
 * in the way), but any lengths, types, values and attributes inside. One byte at a time chooses. */
#include <hdf5.h>

#include "tests/fuzz/harness.h"

typedef struct Input {
    const uint8_t *p;
    size_t n;
} Input;

static unsigned byte(Input *in)
{
    if (!in->n)
        return 0;
    in->n--;
    return *in->p++;
}

static hid_t any_type(Input *in)
{
    switch (byte(in) % 12) {
    case 0:
        return H5Tcopy(H5T_STD_I32LE);
    case 1:
        return H5Tcopy(H5T_STD_I64BE);
    case 2:
        return H5Tcopy(H5T_IEEE_F32LE);
    case 3:
        return H5Tcopy(H5T_IEEE_F64LE);
    case 4:
        return H5Tcopy(H5T_STD_U8LE);
    case 5:
        return H5Tcopy(H5T_STD_U64LE);
    case 6: {
        hid_t t = H5Tcopy(H5T_C_S1);
        H5Tset_size(t, 1 + byte(in) % 9);
        return t;
    }
    case 7: {
        hid_t t = H5Tcopy(H5T_C_S1);
        H5Tset_size(t, H5T_VARIABLE);
        return t;
    }
    case 8: {
        hid_t t = H5Tenum_create(H5T_STD_I8LE);
        signed char v = 0;
        H5Tenum_insert(t, "FALSE", &v);
        v = 1;
        H5Tenum_insert(t, "TRUE", &v);
        return t;
    }
    case 9: {
        hid_t t = H5Tcreate(H5T_COMPOUND, 16), s = H5Tcopy(H5T_C_S1);
        H5Tset_size(s, 4);
        H5Tinsert(t, "index", 0, byte(in) % 2 ? s : H5T_STD_I32LE);
        H5Tinsert(t, "type", 4, H5T_STD_I8LE);
        H5Tinsert(t, "n", 8, H5T_IEEE_F64LE);
        H5Tclose(s);
        return t;
    }
    case 10:
        return H5Tcopy(H5T_STD_REF_OBJ);
    default:
        return H5Tcopy(H5T_STD_I8LE);
    }
}

/* Shape of 0 to 3 dimensions of 0 to 15, or a huge one that is never written. */
static hid_t any_space(Input *in, hsize_t *count, bool *huge)
{
    unsigned kind = byte(in);
    hsize_t dims[3];
    *count = 1;
    *huge = kind % 61 == 60;
    if (kind % 31 == 30)
        return H5Screate(H5S_NULL);
    int rank = *huge          ? 1 + (int)(kind / 61) % 2
               : kind % 8 < 5 ? 1
               : kind % 8 < 7 ? 2
                              : (int)(kind / 8) % 4;
    for (int i = 0; i < rank; i++) {
        dims[i] = *huge ? (hsize_t)1 << (20 + byte(in) % 40) : byte(in) % 16;
        *count *= dims[i];
    }
    return rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
}

static void write_values(Input *in, hid_t id, hid_t type, hsize_t count, bool attribute)
{
    size_t size = H5Tget_size(type);
    unsigned char *values = calloc((size_t)count + 1, size);
    static char text[4] = "abc";
    bool variable = H5Tis_variable_str(type) > 0;
    for (hsize_t i = 0; i < count; i++)
        if (variable)
            memcpy(values + i * size, (char *[]){text}, sizeof(char *));
        else if (H5Tget_class(type) != H5T_REFERENCE)
            for (size_t k = 0; k < size && k < 2; k++)
                values[i * size + (H5Tget_order(type) == H5T_ORDER_BE ? size - 1 - k : k)] =
                    k ? 0 : (unsigned char)byte(in);
    if (attribute)
        H5Awrite(id, type, values);
    else
        H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    free(values);
}

static void any_array(Input *in, hid_t parent, const char *name)
{
    hsize_t count, chunk[3] = {3, 3, 3};
    bool huge;
    hid_t type = any_type(in), space = any_space(in, &count, &huge),
          dcpl = H5Pcreate(H5P_DATASET_CREATE);
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank > 0 && (huge || byte(in) % 3 == 0)) {
        H5Pset_chunk(dcpl, rank, chunk);
        if (byte(in) % 2)
            H5Pset_deflate(dcpl, 1);
    }
    hid_t id = H5Dcreate2(parent, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    if (id >= 0 && !huge && count && count < 5000)
        write_values(in, id, type, count, false);
    if (id >= 0)
        H5Dclose(id);
    H5Pclose(dcpl);
    H5Sclose(space);
    H5Tclose(type);
}

static void text_attr(hid_t object, const char *name, const char *text)
{
    hid_t t = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(t, strlen(text) + 1);
    hid_t a = H5Acreate2(object, name, t, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0) {
        H5Awrite(a, t, text);
        H5Aclose(a);
    }
    H5Sclose(space);
    H5Tclose(t);
}

static void any_attr(Input *in, hid_t object, const char *name)
{
    hsize_t count;
    bool huge;
    hid_t type = any_type(in), space = any_space(in, &count, &huge);
    hid_t a =
        huge || count > 100 ? -1 : H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0) {
        write_values(in, a, type, count, true);
        H5Aclose(a);
    }
    H5Sclose(space);
    H5Tclose(type);
}

static const char *const members[] = {"X",          "obs",        "var",          "raw",
                                      "layers",     "obsm",       "obsp",         "uns",
                                      "data",       "indices",    "indptr",       "codes",
                                      "categories", "values",     "mask",         "_index",
                                      "counts",     "a",          "type",         "X_umap",
                                      "matrix",     "features",   "barcodes",     "shape",
                                      "name",       "id",         "feature_type", "genome",
                                      "raw.X",      "raw.var",    "type_colors",  "connectivities",
                                      "genes",      "gene_names", "row_attrs",    "col_attrs",
                                      "Gene",       "CellID",     "abc",          "index"};
static const char *const encodings[] = {"anndata",
                                        "dataframe",
                                        "csr_matrix",
                                        "csc_matrix",
                                        "categorical",
                                        "nullable-integer",
                                        "nullable-boolean",
                                        "nullable-string-array",
                                        "array",
                                        "string-array",
                                        "dict",
                                        "raw",
                                        "csr",
                                        "awkward-array"};
static const char *const attributes[] = {"encoding-type",  "_index",    "column-order",
                                         "shape",          "ordered",   "h5sparse_format",
                                         "h5sparse_shape", "categories"};

/* Members until the input says up, at most 4 deep. */
static void any_group(Input *in, hid_t group, int depth)
{
    while (in->n) {
        unsigned what = byte(in);
        const char *name = members[byte(in) % (sizeof members / sizeof *members)];
        const char *attr = attributes[byte(in) % (sizeof attributes / sizeof *attributes)];
        switch (what % 8) {
        case 0:
            return;
        case 1:
        case 2: {
            hid_t g =
                depth < 4 ? H5Gcreate2(group, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) : -1;
            if (g >= 0) {
                text_attr(g, "encoding-type",
                          encodings[byte(in) % (sizeof encodings / sizeof *encodings)]);
                any_group(in, g, depth + 1);
                H5Gclose(g);
            }
            break;
        }
        case 3:
            any_attr(in, group, attr);
            break;
        case 4:
            text_attr(group, attr, byte(in) % 2 ? "csr" : "a");
            break;
        case 5:
            if (byte(in) % 8 == 0)
                H5Lcreate_soft(byte(in) % 2 ? "/obs" : "/uns/a", group, name, H5P_DEFAULT,
                               H5P_DEFAULT);
            break;
        default:
            any_array(in, group, name);
        }
    }
}

static void numbers(Input *in, hid_t group, const char *name, hid_t type, hsize_t n)
{
    hid_t space = H5Screate_simple(1, &n, NULL);
    hid_t id = H5Dcreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (id >= 0 && n)
        write_values(in, id, type, n, false);
    if (id >= 0)
        H5Dclose(id);
    H5Sclose(space);
}

/* A data frame with an index and whatever else the input says. */
static hsize_t frame(Input *in, hid_t f, const char *name)
{
    hsize_t n = byte(in) % 7;
    hid_t g = H5Gcreate2(f, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), t = H5Tcopy(H5T_C_S1);
    if (g < 0)
        return n;
    H5Tset_size(t, 5);
    if (byte(in) % 4)
        text_attr(g, "encoding-type", "dataframe");
    text_attr(g, "_index", "_index");
    numbers(in, g, "_index", byte(in) % 4 ? t : H5T_STD_I32LE, n);
    if (byte(in) % 2)
        numbers(in, g, "n", H5T_IEEE_F32LE, byte(in) % 8 ? n : n + 1);
    if (byte(in) % 2) {
        hid_t c = H5Gcreate2(g, "type", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        text_attr(c, "encoding-type", byte(in) % 4 ? "categorical" : "nullable-integer");
        numbers(in, c, "codes", byte(in) % 2 ? H5T_STD_I8LE : H5T_STD_U16LE,
                byte(in) % 8 ? n : n + 1);
        numbers(in, c, "categories", byte(in) % 2 ? t : H5T_IEEE_F64LE, byte(in) % 5);
        numbers(in, c, "values", H5T_STD_I32LE, n);
        numbers(in, c, "mask", H5T_STD_I8LE, byte(in) % 8 ? n : n + 1);
        H5Gclose(c);
    }
    any_group(in, g, 1);
    H5Gclose(g);
    H5Tclose(t);
    return n;
}

static void sparse(Input *in, hid_t parent, const char *name, hsize_t rows, hsize_t cols)
{
    hid_t g = H5Gcreate2(parent, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hsize_t nnz = byte(in) % 24, two = 2;
    bool csr = byte(in) % 2;
    int64_t shape[2] = {(int64_t)rows, (int64_t)cols};
    if (g < 0)
        return;
    text_attr(g, "encoding-type", csr ? "csr_matrix" : "csc_matrix");
    hid_t space = H5Screate_simple(1, &two, NULL),
          a = H5Acreate2(g, "shape", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, H5T_NATIVE_INT64, shape);
    H5Aclose(a);
    H5Sclose(space);
    numbers(in, g, "data", byte(in) % 2 ? H5T_IEEE_F32LE : H5T_STD_U16LE, nnz);
    numbers(in, g, "indices", byte(in) % 2 ? H5T_STD_I32LE : H5T_STD_I64LE,
            byte(in) % 16 ? nnz : nnz + 1);
    numbers(in, g, "indptr", byte(in) % 2 ? H5T_STD_I32LE : H5T_STD_U64LE,
            (csr ? rows : cols) + (byte(in) % 16 ? 1 : 0));
    H5Gclose(g);
}

/* Most inputs get a sound skeleton, so that the readers behind it are reached. */
static void skeleton(Input *in, hid_t f)
{
    if (byte(in) % 4)
        text_attr(f, "encoding-type", "anndata");
    hsize_t rows = frame(in, f, "obs"), cols = frame(in, f, "var");
    unsigned x = byte(in);
    if (x % 3)
        sparse(in, f, "X", rows, x % 16 == 1 ? cols + 1 : cols);
    const char *groups[] = {"layers", "obsp", "obsm", "uns", "raw"};
    for (int i = 0; i < 5; i++) {
        hid_t g =
            byte(in) % 2 ? H5Gcreate2(f, groups[i], H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) : -1;
        if (g < 0)
            continue;
        if (i == 4)
            sparse(in, g, "X", rows, frame(in, g, "var"));
        else if (i < 3 && byte(in) % 2)
            sparse(in, g, i == 1 ? "connectivities" : "counts", rows, i == 1 ? rows : cols);
        any_group(in, g, 1);
        H5Gclose(g);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = {data, size};
    char *path = str_format("%s/made.h5ad", fuzz_folder());
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (f < 0)
        abort();
    unsigned genome = byte(&in);
    if (genome & 2)
        skeleton(&in, f);
    any_group(&in, f, 0);
    H5Fclose(f);
    DatasetOptions opt = {.any_genome = genome % 2};
    fuzz_open(path, &opt);
    free(path);
    return 0;
}
