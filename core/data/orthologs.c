/* The table is one text held for good, with a map from mouse symbols to places in it. */
#include "core/data/orthologs.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/assets.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/data/textfile.h"

static StrMap *by_mouse;
static char **human;
static Err table_error;
static char table_message[512];

static Err read_table(void)
{
    Str path = {0};
    TextFile *t;
    size_t n = 0, cap = 0;
    char *line;
    Err err = assets_path("genes/mouse_to_human.tsv.gz", &path);
    if (!err)
        err = textfile_open(str_text(&path), &t);
    str_free(&path);
    TRY(err);
    by_mouse = strmap_new(1 << 14);
    while (!err && (err = textfile_line(t, &line)) == OK && line) {
        char *tab = strchr(line, '\t');
        if (!tab)
            continue;
        *tab = 0;
        if (n == cap) {
            cap = cap ? cap * 2 : 1 << 14;
            err = mem_realloc(&human, cap, sizeof *human);
        }
        if (!err && strmap_put(by_mouse, line, (int64_t)n))
            human[n++] = mem_strdup(tab + 1);
    }
    textfile_close(t);
    return err;
}

static void load(void)
{
    table_error = read_table();
    if (table_error)
        snprintf(table_message, sizeof table_message, "%s", err_message());
}

Err ortholog_human(const char *mouse, const char **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (table_error)
        FAIL(table_error, "%s", table_message);
    int64_t at = strmap_get(by_mouse, mouse, -1);
    *out = at < 0 ? NULL : human[at];
    return OK;
}
