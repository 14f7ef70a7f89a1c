/* Chunks of our HDF5 filters: the input becomes one packed chunk of a sound file. First byte: which
 * filter. */
#include "core/data/h5.h"
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned ids[] = {32000, 32001, 32004, 32008, 32008, 32015};
    if (size < 2)
        return 0;
    unsigned which = data[0] % 6;
    const unsigned lzf[] = {4, 0x0105, 256}, shuffle[] = {0, 4, 4, 16, which == 3 ? 2u : 0u};
    char *path = str_format("%s/filter.h5ad", fuzz_folder());
    Store *s;
    Array *a;
    float values[64];
    hsize_t dim = 64, zero = 0;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
          space = H5Screate_simple(1, &dim, NULL);
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 1, &dim);
    h5_quiet();
    H5Zunregister(
        (H5Z_filter_t)
            ids[which]); /* ours only unpack, and HDF5 refuses to create with such a filter */
    H5Pset_filter(dcpl, (H5Z_filter_t)ids[which], H5Z_FLAG_OPTIONAL, which == 0 ? 3 : 5,
                  which == 0 ? lzf : shuffle);
    hid_t d = H5Dcreate2(f, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    if (d >= 0) {
        H5Dwrite_chunk(d, H5P_DEFAULT, 0, &zero, size - 1, data + 1);
        H5Dclose(d);
    }
    H5Pclose(dcpl);
    H5Sclose(space);
    H5Fclose(f);
    h5_register_filters();
    if (store_open_h5(path, &s) == OK) {
        if (store_open_array(s, "x", &a) == OK) {
            Err err = array_read_1d(a, 0, 64, MEM_F32, values);
            (void)err;
            array_close(a);
        }
        store_close(s);
    }
    free(path);
    return 0;
}
