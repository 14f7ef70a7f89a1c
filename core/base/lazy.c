/* Loading a library at its first call. */
#include "core/base/lazy.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

void *lazy_resolve(const LazyLibrary *lib, unsigned long i)
{
    void *handle = dlopen(lib->soname, RTLD_LAZY | RTLD_LOCAL); /* counts, when it is there already */
    void *function = handle ? dlsym(handle, lib->names[i]) : NULL;
    if (!function) {
        const char *why = dlerror();
        fprintf(stderr, "scmmgpt: %s: %s; install the libraries with: make deps\n", lib->soname,
                why ? why : "cannot be loaded");
        exit(1);
    }
    return function;
}
