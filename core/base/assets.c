/* The places where assets may be. */
#include "core/base/assets.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SCMMGPT_PREFIX
#define SCMMGPT_PREFIX "/usr/local"
#endif

static bool try_place(const char *folder, const char *rel, Str *out)
{
    str_clear(out);
    str_addf(out, "%s/%s", folder, rel);
    return access(str_text(out), F_OK) == 0;
}

Err assets_path(const char *rel, Str *out)
{
    const char *named = getenv("SCMMGPT_ASSETS");
    if (named && *named && try_place(named, rel, out))
        return OK;
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    const char *below[] = {"../assets", "../../assets", "../share/scmmgpt"};
    char *slash = strrchr(exe, '/');
    if (slash) {
        *slash = 0;
        for (size_t i = 0; i < 3; i++) {
            char *folder = str_format("%s/%s", exe, below[i]);
            bool found = try_place(folder, rel, out);
            free(folder);
            if (found)
                return OK;
        }
    }
    if (try_place(SCMMGPT_PREFIX "/share/scmmgpt", rel, out))
        return OK;
    FAIL(ERR_NOT_FOUND,
         "the asset %s is not beside the program nor under %s/share/scmmgpt; set SCMMGPT_ASSETS",
         rel, SCMMGPT_PREFIX);
}
