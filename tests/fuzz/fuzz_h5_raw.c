/* HDF5 files byte by byte, as a person opens them: libhdf5 may crash or hang on these, so the
 * rehearsal in a child must keep that from us. Reading goes on in a child as well: only the opening
 * is promised to be safe. */
#include <sys/wait.h>

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = str_format("%s/raw.h5ad", fuzz_folder());
    Dataset *d;
    fuzz_write(path, data, size);
    if (dataset_open(path, NULL, NULL, &d) == OK)
        dataset_close(d);
    free(path);
    return 0;
}
