/* Optional parts of the program, built where their libraries are (CUDA, MPI) and loaded at run
 * time. */
#ifndef SCMM_BASE_PLUGIN_H
#define SCMM_BASE_PLUGIN_H
#include <stddef.h>

/* Opens NAME ("device_cuda.so") from $SCMMGPT_PLUGIN_DIR, beside the executable (or one folder
 * above: tests), or the installed place, and returns the function `entry`. NULL when there is none
 * or it does not load: *why says which. It stays loaded. path (of size) receives where it was
 * found. */
void *plugin_load(const char *name, const char *entry, char *path, size_t size, const char **why);
#endif
