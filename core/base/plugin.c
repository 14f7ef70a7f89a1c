/* Finding and loading a plugin. */
#include "core/base/plugin.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SCMMGPT_PREFIX
#define SCMMGPT_PREFIX "/usr/local"
#endif

static void *open_in(const char *folder, const char *rest, const char *name, char *path,
                     size_t size, const char **why)
{
    if (!folder || !*folder)
        return NULL;
    snprintf(path, size, "%s%s/%s", folder, rest, name);
    if (access(path, R_OK) != 0)
        return NULL;
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        *why = dlerror();
        *why = *why ? *why : "it does not load";
    }
    return lib;
}

void *plugin_load(const char *name, const char *entry, char *path, size_t size, const char **why)
{
    char folder[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    *why = "it is not installed";
    void *lib = open_in(getenv("SCMMGPT_PLUGIN_DIR"), "", name, path, size, why);
    if (!lib)
        lib = open_in(folder, "", name, path, size, why);
    if (!lib)
        lib = open_in(folder, "/..", name, path, size, why);
    if (!lib)
        lib = open_in(SCMMGPT_PREFIX, "/lib/scmmgpt", name, path, size, why);
    if (!lib)
        return NULL;
    void *function = dlsym(lib, entry);
    if (!function)
        *why = "it is of another version";
    return function;
}
