/* The key map and its configuration file. */
#include "tui/keymap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static void add(Keymap *k, const char *key, size_t n, Action a, bool changed)
{
    if (k->n == MAX_KEYS || n == 0 || n >= sizeof k->at[0].key)
        return;
    memcpy(k->at[k->n].key, key, n);
    k->at[k->n].key[n] = 0;
    k->at[k->n].action = a;
    k->at[k->n++].changed = changed;
}

void keymap_init(Keymap *k)
{
    memset(k, 0, sizeof *k);
    for (Action a = 1; a < N_ACTIONS; a++)
        for (const char *p = action_info(a)->keys; *p;) {
            size_t n = strcspn(p, " ");
            add(k, p, n, a, false);
            p += n + strspn(p + n, " ");
        }
}

Action keymap_find(const Keymap *k, const char *key)
{
    for (size_t i = 0; i < k->n; i++)
        if (!strcmp(k->at[i].key, key))
            return k->at[i].action;
    return ACT_NONE;
}

static void drop_defaults(Keymap *k, Action a)
{
    size_t n = 0;
    for (size_t i = 0; i < k->n; i++)
        if (k->at[i].action != a || k->at[i].changed)
            k->at[n++] = k->at[i];
    k->n = n;
}

static Err apply_line(Keymap *k, char *line, int number)
{
    char *save = NULL, *key = strtok_r(line, " \t\r", &save),
         *command = strtok_r(NULL, " \t\r", &save);
    if (!key || *key == '#')
        return OK;
    if (!command || strtok_r(NULL, " \t\r", &save))
        FAIL(ERR_USAGE, "line %d: expected KEY COMMAND", number);
    Action a = ACT_NONE;
    for (Action i = 1; i < N_ACTIONS; i++)
        if (!strcmp(action_info(i)->command, command))
            a = i;
    if (a == ACT_NONE)
        FAIL(ERR_USAGE, "line %d: no command is called %s; the help lists them", number, command);
    drop_defaults(k, a);
    add(k, key, strlen(key), a, true);
    return OK;
}

static Err check(const Keymap *k)
{
    bool quits = false;
    for (size_t i = 0; i < k->n; i++) {
        quits |= k->at[i].action == ACT_QUIT || k->at[i].action == ACT_QUIT_NOW;
        for (size_t j = 0; j < i; j++)
            if (!strcmp(k->at[i].key, k->at[j].key))
                FAIL(ERR_USAGE, "key %s: both %s and %s want it; give one of them another key",
                     k->at[i].key, action_info(k->at[j].action)->command,
                     action_info(k->at[i].action)->command);
    }
    if (!quits)
        FAIL(ERR_USAGE, "no key is left for quit; add a line such as: q quit");
    return OK;
}

Err keymap_apply(Keymap *k, const char *text)
{
    Keymap *next = mem_must(sizeof *next);
    *next = *k;
    Err err = OK;
    int number = 0;
    while (*text && err == OK) {
        size_t n = strcspn(text, "\n");
        char *line = mem_strndup(text, n);
        err = apply_line(next, line, ++number);
        free(line);
        text += n + (text[n] == '\n');
    }
    if (err == OK)
        err = check(next);
    if (err == OK)
        *k = *next;
    free(next);
    return err;
}

Err keymap_load(Keymap *k, const char *path)
{
    char *text = NULL;
    if (access(path, F_OK) != 0)
        return OK;
    TRY(str_read_file(path, 1 << 20, ERR_USAGE, &text, NULL));
    Err err = keymap_apply(k, text);
    free(text);
    return err_context(err, "%s", path);
}
