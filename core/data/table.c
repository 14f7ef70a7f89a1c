/* The TSV writer. */
#include "core/data/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/outfile.h"

struct Table {
    FILE *f;
    bool own;     /* f is ours to close */
    OutFile file; /* when written through a temporary file */
    char *name;
    Str row;
    bool started; /* the current row has a field */
    int error;
};

/* Pipes and devices cannot be renamed over; they are written to directly. */
static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

Err table_open(const char *path, FILE *to, bool force, Table **out)
{
    Table *t = mem_must(sizeof *t);
    bool direct = !path || strcmp(path, "-") == 0;
    t->name = mem_strdup(direct ? "standard output" : path);
    t->f = to;
    Err err = OK;
    if (!direct) {
        t->own = true;
        t->f = NULL;
        if (!is_special(path))
            TRY_GOTO(outfile_begin(path, force, &t->file));
        t->f = fopen(t->file.temp ? t->file.temp : path, "w");
        if (!t->f)
            FAIL_GOTO(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    }
    *out = t;
    return OK;
done:
    table_abort(t);
    return err;
}

static void put(Table *t, const char *text, size_t n)
{
    if (!t->error && fwrite(text, 1, n, t->f) != n)
        t->error = errno ? errno : EIO;
}

void table_comment(Table *t, const char *key, const char *value)
{
    Str s = {0};
    str_addf(&s, "# %s: ", key);
    str_add_tsv(&s, value ? value : "");
    str_add_char(&s, '\n');
    put(t, s.data, s.len);
    str_free(&s);
}

static void next_field(Table *t)
{
    if (t->started)
        str_add_char(&t->row, '\t');
    t->started = true;
}

void table_text(Table *t, const char *text)
{
    next_field(t);
    str_add_tsv(&t->row, text ? text : "");
}

void table_number(Table *t, double v)
{
    char b[32];
    next_field(t);
    str_add(&t->row, number_text(v, b));
}

void table_int(Table *t, int64_t v)
{
    next_field(t);
    str_addf(&t->row, "%lld", (long long)v);
}

void table_end_row(Table *t)
{
    str_add_char(&t->row, '\n');
    put(t, t->row.data, t->row.len);
    str_clear(&t->row);
    t->started = false;
}

void table_row(Table *t, const char *first, ...)
{
    va_list ap;
    va_start(ap, first);
    for (const char *s = first; s; s = va_arg(ap, const char *))
        table_text(t, s);
    va_end(ap);
    table_end_row(t);
}

static void release(Table *t)
{
    outfile_abort(&t->file);
    str_free(&t->row);
    free(t->name);
    free(t);
}

Err table_close(Table *t)
{
    Err err = OK;
    if (!t->error && (fflush(t->f) || ferror(t->f)))
        t->error = errno ? errno : EIO;
    if (t->own && fclose(t->f) && !t->error)
        t->error = errno;
    if (t->error)
        err = err_set(ERR_GENERAL, "%s: cannot be written: %s", t->name, strerror(t->error));
    else if (t->file.temp)
        err = outfile_commit(&t->file);
    release(t);
    return err;
}

void table_abort(Table *t)
{
    if (!t)
        return;
    if (t->own && t->f)
        fclose(t->f);
    release(t);
}
