/* Key names -> actions: the defaults of views/action.h, changed by $XDG_CONFIG_HOME/scmmgpt/keys.
 */
#ifndef SCMM_TUI_KEYMAP_H
#define SCMM_TUI_KEYMAP_H
#include "core/base/err.h"
#include "views/action.h"
#include <stdbool.h>
#include <stddef.h>

enum { MAX_KEYS = 256 };
typedef struct Keymap {
    struct {
        char key[24];
        Action action;
        bool changed; /* by the configuration */
    } at[MAX_KEYS];
    size_t n;
} Keymap;

void keymap_init(Keymap *k); /* the defaults */
Action keymap_find(const Keymap *k, const char *key);
/* Applies lines "KEY COMMAND" ("# ..." and empty lines are skipped). A command named here loses its
 * default keys. ERR_USAGE, leaving *k as it was, when a command is not known, two actions get one
 * key, or no key quits. */
CHECKED Err keymap_apply(Keymap *k, const char *text);
/* keymap_apply on a file; a missing file is OK. */
CHECKED Err keymap_load(Keymap *k, const char *path);
#endif
