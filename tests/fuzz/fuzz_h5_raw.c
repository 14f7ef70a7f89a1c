/* HDF5 files byte by byte, as a person opens them: libhdf5 may crash or hang on these, so the
 * rehearsal in a child must keep that from us. A child's coverage is not seen here; with
 * FUZZ_IN_PROCESS=1 there is no rehearsal and everything is read, for libFuzzer's -fork=1
 * -ignore_crashes=1: what it finds with frames of libhdf5 on top is no fault of ours. */
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = str_format("%s/raw.h5ad", fuzz_folder());
    Dataset *d;
    fuzz_write(path, data, size);
    if (getenv("FUZZ_IN_PROCESS"))
        fuzz_open(path, NULL);
    else if (dataset_open(path, NULL, NULL, &d) == OK)
        dataset_close(d);
    free(path);
    return 0;
}
