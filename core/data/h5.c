/* Opening HDF5 files: read-only, without locks, without following anything out of the file; and
 * telling people why a file that will not open does not. */
#include "core/data/h5.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

void h5_quiet(void)
{
    static _Thread_local bool done;
    if (done)
        return;
    done = true;
    H5dont_atexit(); /* a file on a full disk cannot be closed, and the exit handler would try for
                        ever */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    h5_register_filters();
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *e, void *user)
{
    if (n == 0)
        snprintf(user, 160, "%s", e->desc ? e->desc : "");
    return 0;
}

const char *h5_reason(void)
{
    static _Thread_local char text[160];
    snprintf(text, sizeof text, "no reason given");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, text);
    const char *number = strstr(text, "errno = "); /* the system's reason is shorter than the library's */
    if (number)
        snprintf(text, sizeof text, "%s", strerror(atoi(number + strlen("errno = "))));
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return text;
}

void h5_describe_type(hid_t type, ArrayInfo *info)
{
    H5T_class_t cls = H5Tget_class(type);
    info->size = H5Tget_size(type);
    info->cls = ELEM_OTHER;
    snprintf(info->dtype, sizeof info->dtype, "%s", "other");
    if (cls == H5T_INTEGER) {
        info->cls = ELEM_INT;
        snprintf(info->dtype, sizeof info->dtype, "%sint%zu",
                 H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", info->size * 8);
    } else if (cls == H5T_FLOAT) {
        info->cls = ELEM_FLOAT;
        snprintf(info->dtype, sizeof info->dtype, "float%zu", info->size * 8);
    } else if (cls == H5T_ENUM) {
        info->cls = H5Tget_nmembers(type) == 2 && info->size == 1 ? ELEM_BOOL : ELEM_OTHER;
        snprintf(info->dtype, sizeof info->dtype, "%s", info->cls == ELEM_BOOL ? "bool" : "enum");
    } else if (cls == H5T_STRING) {
        info->cls = ELEM_STRING;
        snprintf(info->dtype, sizeof info->dtype, "object");
    } else if (cls == H5T_COMPOUND) {
        info->cls = ELEM_COMPOUND;
        snprintf(info->dtype, sizeof info->dtype, "compound");
    }
}

hid_t h5_mem_type(MemType t)
{
    switch (t) {
    case MEM_I32:
        return H5T_NATIVE_INT32;
    case MEM_I8:
        return H5T_NATIVE_INT8;
    case MEM_U64:
        return H5T_NATIVE_UINT64;
    case MEM_I64:
        return H5T_NATIVE_INT64;
    case MEM_F32:
        return H5T_NATIVE_FLOAT;
    default:
        return H5T_NATIVE_DOUBLE;
    }
}

static herr_t refuse_external(const char *file, const char *group, const char *target,
                              const char *object, unsigned *flags, hid_t fapl, void *user)
{
    return -1;
}

/* Turns HDF5's refusal into what a person can do. */
static Err explain(const char *reason, uint64_t bytes)
{
    if (strstr(reason, "truncated"))
        FAIL(ERR_INPUT,
             "the file is cut short (%llu bytes are there; %s); copy it again or wait until its "
             "writer has finished",
             (unsigned long long)bytes, reason);
    if (strstr(reason, "already open for"))
        FAIL(ERR_INPUT,
             "the file is being written by another program, or its writer crashed; close that "
             "program, or run: h5clear -s FILE");
    FAIL(ERR_INPUT, "HDF5 cannot open it (%s); the file is damaged, copy or write it again",
         reason);
}

Err store_open_h5(const char *path, Store **out)
{
    return store_open_h5_follow(path, false, out);
}

Err store_open_h5_follow(const char *path, bool follow, Store **out)
{
    h5_quiet();
    struct stat st;
    if (stat(path, &st))
        FAIL(ERR_INPUT, "cannot be opened: %s", strerror(errno));
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(fapl, false, true);
    H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    if (file < 0) {
        const char *reason = h5_reason();
        H5Pclose(fapl);
        return explain(reason, (uint64_t)st.st_size);
    }
    H5Store *s = mem_must(sizeof *s);
    s->base.ops = &h5_store_ops;
    s->base.bytes = (uint64_t)st.st_size;
    s->file = file;
    s->lapl = H5Pcreate(H5P_LINK_ACCESS);
    s->follow = follow;
    if (follow) {
        H5Pset_elink_acc_flags(s->lapl, H5F_ACC_RDONLY);
        H5Pset_elink_fapl(s->lapl, fapl);
    } else {
        H5Pset_elink_cb(s->lapl, refuse_external, NULL);
    }
    H5Pclose(fapl);
    *out = &s->base;
    return OK;
}
