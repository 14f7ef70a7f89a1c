/* Names of files to write, the command that makes a view again, and the tables that W writes. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/facts.h"
#include "views/pane.h"

static char *stem(const App *a)
{
    char *s = mem_strdup(a->facts ? a->facts->name : "scmmgpt");
    char *dot = strrchr(s, '.');
    if (dot && dot > s)
        *dot = 0;
    return s;
}

/* Letters and digits stay; all else becomes one '-'. At most 40 bytes. */
static void add_slug(Str *out, const char *text)
{
    bool dash = true;
    for (size_t n = 0; *text && n < 40; text++) {
        bool plain = isalnum((unsigned char)*text) || *text == '_';
        if (plain || !dash) {
            str_add_char(out, plain ? *text : '-');
            n++;
        }
        dash = !plain;
    }
    while (out->len && out->data[out->len - 1] == '-')
        out->data[--out->len] = 0;
}

/* The first of name.ext, name-2.ext, ... that does not exist. */
static char *fresh_name(Str *base, const char *ext)
{
    for (int i = 1; i < 1000; i++) {
        char *name = i == 1 ? str_format("%s%s", str_text(base), ext) : str_format("%s-%d%s", str_text(base), i, ext);
        if (access(name, F_OK) != 0) {
            str_free(base);
            return name;
        }
        free(name);
    }
    str_free(base);
    return str_format("figure%s", ext);
}

char *app_export_default(const App *a)
{
    const Values *v = app_color_values(a);
    const Groups *g = app_groups(a);
    Str s = {0};
    char *base = stem(a);
    str_add(&s, base);
    free(base);
    str_add_char(&s, '_');
    add_slug(&s, a->color_mode == COLOR_BY_QUERY && app_query(a) ? app_query(a)->text : v ? v->name : g ? g->key : "map");
    return fresh_name(&s, ".png");
}

char *app_data_default(const App *a)
{
    Str s = {0};
    char *base = stem(a);
    str_add(&s, base);
    free(base);
    bool generated = a->subject == SUBJECT_GENERATED && a->subject_generated < a->n_generated;
    str_add(&s, generated ? "_generated_" : "_labels");
    if (generated)
        add_slug(&s, app_generated(a, a->subject_generated)->prompt);
    return fresh_name(&s, generated ? ".h5ad" : ".tsv");
}

/* A word as a POSIX shell reads it. */
static void add_quoted(Str *s, const char *word)
{
    if (*word && word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@%+,-")] == 0) {
        str_add(s, word);
        return;
    }
    str_add_char(s, '\'');
    for (; *word; word++)
        if (*word == '\'')
            str_add(s, "'\\''");
        else
            str_add_char(s, *word);
    str_add_char(s, '\'');
}

char *app_export_command(const App *a, const char *output)
{
    const Groups *g = app_groups(a);
    const Values *v = app_color_values(a);
    const Map *m = app_map(a);
    Str s = {0};
    if (a->color_mode == COLOR_BY_QUERY && app_query(a)) { /* the scores; no subcommand draws them */
        str_add(&s, "scmmgpt query ");
        add_quoted(&s, a->opt.path);
        str_add_char(&s, ' ');
        add_quoted(&s, app_query(a)->text);
        str_add(&s, " -o scores.tsv");
        return str_take(&s);
    }
    bool own = (!v && g && g->computed) || (m && m->computed);
    if (own) {
        str_add(&s, "scmmgpt cluster ");
        add_quoted(&s, a->opt.path);
        str_addf(&s, " --resolution %g -o clustered.h5ad && scmmgpt plot clustered.h5ad", a->resolution);
    } else {
        str_add(&s, "scmmgpt plot ");
        add_quoted(&s, a->opt.path);
    }
    str_add(&s, " --color ");
    add_quoted(&s, v ? v->name : g ? g->key : "");
    if (m && !m->computed && str_starts(m->name, "X_")) {
        str_add(&s, " --basis ");
        add_quoted(&s, m->name + 2);
    }
    str_add(&s, " -o ");
    add_quoted(&s, output);
    return str_take(&s);
}

/* ---- tables ---- */
static void add_csv(Str *s, const char *text)
{
    if (!strpbrk(text, ",\"\n\r")) {
        str_add(s, text);
        return;
    }
    str_add_char(s, '"');
    for (; *text; text++) {
        if (*text == '"')
            str_add_char(s, '"');
        str_add_char(s, *text);
    }
    str_add_char(s, '"');
}

static void add_field(Str *s, bool csv, const char *text)
{
    str_add_char(s, csv ? ',' : '\t');
    if (csv)
        add_csv(s, text);
    else
        str_add_tsv(s, text);
}

static const char *label_of(const Annotation *an, size_t row)
{
    return an->unknown[row] || an->label[row] < 0 ? "unknown" : an->labels[an->label[row]];
}

static void add_header(Str *s, const DataExport *d, bool csv)
{
    str_addf(s, "# written by scmmgpt; the view: %s\n", d->command);
    str_add(s, csv ? "index" : "cell");
    if (d->groups)
        add_field(s, csv, d->groups->key);
    if (d->groups && d->annotation) {
        add_field(s, csv, "group_label");
        add_field(s, csv, "group_probability");
    }
    if (d->cell_annotation) {
        add_field(s, csv, "label");
        add_field(s, csv, "probability");
    }
    if (d->query)
        add_field(s, csv, d->query->scores->name);
    if (d->selected)
        add_field(s, csv, "selected");
    str_add_char(s, '\n');
}

static void add_number(Str *s, bool csv, double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", v);
    add_field(s, csv, text);
}

static void add_cell(Str *s, const DataExport *d, size_t i, bool csv)
{
    if (csv)
        add_csv(s, d->cell_names[i]);
    else
        str_add_tsv(s, d->cell_names[i]);
    int32_t g = d->groups && i < d->groups->n_cells ? d->groups->codes[i] : -1;
    if (d->groups)
        add_field(s, csv, g < 0 ? "" : d->groups->names[g]);
    if (d->groups && d->annotation) {
        bool has = g >= 0 && (size_t)g < d->annotation->n;
        add_field(s, csv, has ? label_of(d->annotation, (size_t)g) : "");
        if (has)
            add_number(s, csv, (double)d->annotation->probability[g]);
        else
            add_field(s, csv, "");
    }
    if (d->cell_annotation) {
        add_field(s, csv, label_of(d->cell_annotation, i));
        add_number(s, csv, (double)d->cell_annotation->probability[i]);
    }
    if (d->query)
        add_number(s, csv, (double)d->query->scores->v[i]);
    if (d->selected)
        add_field(s, csv, d->selected[i] ? "1" : "0");
    str_add_char(s, '\n');
}

static Err flush(FILE *f, Str *s, const char *path)
{
    if (s->len && fwrite(s->data, 1, s->len, f) != s->len)
        FAIL(ERR_GENERAL, "%s: writing failed: %s", path, strerror(errno));
    str_clear(s);
    return OK;
}

Err export_labels(const DataExport *d, const char *path, JobCtl *ctl)
{
    Err err = OK;
    Str s = {0};
    bool csv = str_ends(path, ".csv");
    if (access(path, F_OK) == 0)
        FAIL(ERR_GENERAL, "%s: exists already; choose another name", path);
    char *temp = str_format("%s.%ld.part", path, (long)getpid());
    FILE *f = fopen(temp, "wx");
    if (!f) {
        err = err_set(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
        free(temp);
        return err;
    }
    job_stage(ctl, "writing labels", d->cells);
    add_header(&s, d, csv);
    for (size_t i = 0; i < d->cells; i++) {
        add_cell(&s, d, i, csv);
        if (s.len > 1 << 16) {
            TRY_GOTO(flush(f, &s, path));
            TRY_GOTO(job_progress(ctl, i));
        }
    }
    TRY_GOTO(flush(f, &s, path));
done:
    if (fclose(f) != 0 && err == OK)
        err = err_set(ERR_GENERAL, "%s: writing failed: %s", path, strerror(errno));
    if (err == OK && rename(temp, path) != 0)
        err = err_set(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    if (err != OK)
        unlink(temp);
    str_free(&s);
    free(temp);
    return err;
}

Err export_generated(const Generated *g, const ModelInfo *m, const char *path, JobCtl *ctl)
{
    FAIL(ERR_GENERAL, "%s: generated cells cannot be saved from here yet; scmmgpt generate writes them", path);
}
