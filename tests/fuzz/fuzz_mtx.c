/* Matrix Market folders. Input: the matrix file, a line with a single '@', features, another '@',
 * barcodes. */
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"matrix.mtx", "features.tsv", "barcodes.tsv"};
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        const uint8_t *end = at < size ? memmem(data + at, size - at, "\n@\n", 3) : NULL;
        size_t n = end && i < 2 ? (size_t)(end - data) + 1 - at : size - at;
        char *path = str_format("%s/%s", fuzz_folder(), names[i]);
        fuzz_write(path, data + at, n);
        free(path);
        at = end ? at + n + 2 : size;
        at = at > size ? size : at;
    }
    fuzz_open(fuzz_folder(), NULL);
    return 0;
}
