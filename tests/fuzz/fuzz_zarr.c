/* Zarr. Input: entries, each "=KEY\n", the value, up to the next line that begins with '='. They
 * become a zip. */
#include <zip.h>

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = str_format("%s/data.zarr.zip", fuzz_folder());
    unlink(path);
    int code;
    zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (!z)
        abort();
    size_t at = 0, entries = 0;
    while (at < size && data[at] == '=' && entries++ < 64) {
        const uint8_t *line = memchr(data + at, '\n', size - at);
        if (!line)
            break;
        size_t value = (size_t)(line - data) + 1;
        const uint8_t *next = memmem(data + value, size - value, "\n=", 2);
        size_t end = next ? (size_t)(next - data) : size;
        char *key = mem_strndup((const char *)data + at + 1, (size_t)(line - data) - at - 1);
        zip_source_t *source = zip_source_buffer(z, data + value, end - value, 0);
        zip_int64_t i = zip_file_add(z, key, source, ZIP_FL_OVERWRITE);
        if (i < 0)
            zip_source_free(source);
        else
            zip_set_file_compression(z, (zip_uint64_t)i, ZIP_CM_STORE, 0);
        free(key);
        at = end + (next != NULL);
    }
    if (zip_close(z))
        zip_discard(z);
    else
        fuzz_open(path, NULL);
    free(path);
    return 0;
}
