/* Values that lie in other files (external storage, virtual datasets): followed only when the
 * person who opened the file said so, and then measured by the files they lie in. */
#include "core/data/h5.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/mem.h"
#include "core/base/str.h"

bool h5_lies_outside(hid_t dcpl)
{
    return H5Pget_layout(dcpl) == H5D_VIRTUAL || H5Pget_external_count(dcpl) > 0;
}

static uint64_t size_of(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

/* A file named by an HDF5 file is looked for in that one's folder. */
static uint64_t size_beside(hid_t dataset, const char *name)
{
    char own[PATH_MAX] = "";
    if (H5Fget_name(dataset, own, sizeof own) <= 0)
        return 0;
    if (strcmp(name, ".") == 0)
        return size_of(own);
    char *slash = strrchr(own, '/');
    if (name[0] == '/' || !slash)
        return size_of(name);
    *slash = 0;
    char *path = str_format("%s/%s", own, name);
    uint64_t bytes = size_of(path);
    free(path);
    return bytes;
}

double h5_bytes_behind(hid_t dataset, hid_t dcpl)
{
    char name[PATH_MAX];
    double bytes = 0;
    size_t n = 0;
    if (H5Pget_layout(dcpl) == H5D_VIRTUAL) {
        if (H5Pget_virtual_count(dcpl, &n) < 0)
            return 0;
        for (size_t i = 0; i < n; i++) {
            ssize_t len = H5Pget_virtual_filename(dcpl, i, name, sizeof name);
            bytes += len > 0 && (size_t)len < sizeof name ? (double)size_beside(dataset, name) : 0;
        }
        return bytes;
    }
    int files = H5Pget_external_count(dcpl);
    for (int i = 0; i < files; i++) {
        off_t offset;
        hsize_t size;
        if (H5Pget_external(dcpl, (unsigned)i, sizeof name, name, &offset, &size) >= 0)
            bytes += (double)size_beside(dataset, name);
    }
    hsize_t own = 0;
    hid_t file = files ? -1 : H5Iget_file_id(dataset); /* behind a link: the file it is in */
    if (file >= 0) {
        H5Fget_filesize(file, &own);
        H5Fclose(file);
        bytes = (double)own;
    }
    return bytes;
}
