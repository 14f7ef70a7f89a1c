/* Names of files to write, the command that makes a view again, and the tables that W writes. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/version.h"
#include "core/session/generated_file.h"
#include "core/data/outfile.h"
#include "core/data/table.h"
#include "views/facts.h"
#include "views/map_raster.h"
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
        char *name = i == 1 ? str_format("%s%s", str_text(base), ext)
                            : str_format("%s-%d%s", str_text(base), i, ext);
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
    add_slug(&s, a->color_mode == COLOR_BY_QUERY && app_query(a) ? app_query(a)->text
                 : v                                             ? v->name
                 : g                                             ? g->key
                                                                 : "map");
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

bool app_view_box(const App *a, double box[4])
{
    const MapState *v = &a->map_view;
    const MapRaster *r = a->raster;
    memset(box, 0, 4 * sizeof *box);
    if (!r || (v->zoom <= 1 && v->cx == 0 && v->cy == 0))
        return false;
    map_from_dots(r, 0, 4 * r->h, &box[0], &box[1]);
    map_from_dots(r, 2 * r->w, 0, &box[2], &box[3]);
    return true;
}

/* A word as a POSIX shell reads it. */
static void add_quoted(Str *s, const char *word)
{
    if (*word &&
        word[strspn(word,
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@%+,-")] ==
            0) {
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

static void add_option(Str *s, const char *name, const char *value)
{
    if (!value)
        return;
    str_addf(s, " %s ", name);
    add_quoted(s, value);
}

/* How the file was read; the seed where it is not 0. */
static void add_reading(Str *s, const App *a, uint64_t seed)
{
    const SessionParams *p = &a->opt.session;
    add_option(s, "--genome", p->dataset.genome);
    add_option(s, "--feature-type", p->dataset.feature_type);
    add_option(s, "--gene-column", p->dataset.gene_column);
    add_option(s, "--matrix", p->dataset.matrix);
    if (seed)
        str_addf(s, " --seed %llu", (unsigned long long)seed);
}

const Generated *app_figure_generated(const App *a)
{
    size_t i = a->subject == SUBJECT_GENERATED ? a->subject_generated : a->n_generated - 1;
    return i < a->n_generated ? app_generated(a, i) : NULL;
}

static bool is_annotation(const Groups *g)
{
    return g->computed && !strcmp(g->key, "annotation");
}

/* What the colours and the hollow cells come from. */
static void add_content(Str *s, const App *a, const Generated *made)
{
    const Groups *g = app_groups(a);
    const Values *v = app_color_values(a);
    bool query = a->color_mode == COLOR_BY_QUERY && app_query(a);
    if (query)
        add_option(s, "--query", app_query(a)->text);
    else if (!v && g && is_annotation(g))
        str_add(s, " --annotate");
    else
        add_option(s, "--color", v ? v->name : g ? g->key : NULL);
    if (made) {
        add_option(s, "--generate", made->prompt);
        str_addf(s, " -n %zu", made->counts.rows);
    }
    if (query || made || (!v && g && is_annotation(g)))
        add_option(s, "--model", a->opt.session.model_dir);
}

char *app_export_command(const App *a, const char *output)
{
    const Groups *g = app_groups(a);
    const Values *v = app_color_values(a);
    const Map *m = app_map(a);
    const Generated *made = app_figure_generated(a);
    uint64_t seed = a->opt.session.seed;
    Str s = {0};
    if (made && !made->xy)
        made = NULL; /* made before there was a map: the figure has no place for them */
    bool own = (!v && g && g->computed && !is_annotation(g)) || (m && m->computed);
    if (own) {
        str_add(&s, "scmmgpt cluster ");
        add_quoted(&s, a->opt.path);
        add_reading(&s, a, seed);
        str_addf(&s, " --resolution %g -o clustered.h5ad && scmmgpt plot clustered.h5ad",
                 a->resolution);
        if (made || seed)
            str_addf(&s, " --seed %llu", (unsigned long long)(made ? made->seed : seed));
    } else {
        str_add(&s, "scmmgpt plot ");
        add_quoted(&s, a->opt.path);
        add_reading(&s, a, made ? made->seed : seed);
    }
    add_content(&s, a, made);
    if (m && !m->computed && str_starts(m->name, "X_"))
        add_option(&s, "--basis", m->name + 2);
    double box[4];
    if (app_view_box(a, box))
        str_addf(&s, " --view=%.6g,%.6g,%.6g,%.6g", box[0], box[1], box[2], box[3]);
    add_option(&s, "-o", output);
    return str_take(&s);
}

/* ---- tables ---- */
/* One table in either form: TSV as all commands write it, or CSV with the same comments. */
typedef struct Sheet {
    Table *tsv;
    FILE *csv;
    OutFile file;
    Str row;
    bool started;
} Sheet;

static void sheet_text(Sheet *s, const char *text)
{
    if (s->tsv) {
        table_text(s->tsv, text);
        return;
    }
    if (s->started)
        str_add_char(&s->row, ',');
    s->started = true;
    bool quote = strpbrk(text, ",\"\n\r") != NULL;
    if (quote)
        str_add_char(&s->row, '"');
    for (; *text; text++)
        str_add(&s->row, (char[]){*text, *text == '"' ? '"' : 0, 0});
    if (quote)
        str_add_char(&s->row, '"');
}

static void sheet_number(Sheet *s, double v)
{
    char text[32];
    if (s->tsv) {
        table_number(s->tsv, v);
        return;
    }
    snprintf(text, sizeof text, "%.6g", v);
    sheet_text(s, text);
}

static void sheet_end_row(Sheet *s)
{
    if (s->tsv) {
        table_end_row(s->tsv);
        return;
    }
    str_add_char(&s->row, '\n');
    fwrite(str_text(&s->row), 1, s->row.len,
           s->csv); /* errors stay in the FILE until it is closed */
    str_clear(&s->row);
    s->started = false;
}

static Err sheet_open(Sheet *s, const char *path, const Provenance *p)
{
    if (!str_ends(path, ".csv")) {
        TRY(table_open(path, NULL, false, &s->tsv));
        provenance_to_table(p, s->tsv);
        return OK;
    }
    TRY(outfile_begin(path, false, &s->file));
    s->csv = fopen(s->file.temp, "w");
    if (!s->csv) {
        outfile_abort(&s->file);
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    }
    fprintf(s->csv, "# version: %s\n# dataset_sha256: %s\n# model_sha256: %s\n", p->version,
            p->dataset_sha256 ? p->dataset_sha256 : "", p->model_sha256 ? p->model_sha256 : "");
    return OK;
}

static Err sheet_close(Sheet *s, const char *path, Err err)
{
    str_free(&s->row);
    if (s->tsv && err == OK)
        return table_close(s->tsv);
    table_abort(s->tsv);
    if (!s->csv)
        return err;
    bool failed = ferror(s->csv) != 0;
    failed |= fclose(s->csv) != 0;
    if (err == OK && !failed)
        return outfile_commit(&s->file);
    outfile_abort(&s->file);
    return err ? err : err_set(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
}

static const char *label_of(const Annotation *an, size_t row)
{
    return an->unknown[row] || an->label[row] < 0 ? "unknown" : an->labels[an->label[row]];
}

static void add_header(Sheet *s, const DataExport *d)
{
    sheet_text(s, s->csv ? "index" : "cell");
    if (d->groups)
        sheet_text(s, d->groups->key);
    if (d->groups && d->annotation) {
        sheet_text(s, "group_label");
        sheet_text(s, "group_probability");
    }
    if (d->cell_annotation) {
        sheet_text(s, "label");
        sheet_text(s, "probability");
    }
    if (d->query)
        sheet_text(s, d->query->scores->name);
    if (d->selected)
        sheet_text(s, "selected");
    sheet_end_row(s);
}

static void add_cell(Sheet *s, const DataExport *d, size_t i)
{
    int32_t g = d->groups && i < d->groups->n_cells ? d->groups->codes[i] : -1;
    sheet_text(s, d->cell_names[i]);
    if (d->groups)
        sheet_text(s, g < 0 ? "" : d->groups->names[g]);
    if (d->groups && d->annotation && g >= 0 && (size_t)g < d->annotation->n) {
        sheet_text(s, label_of(d->annotation, (size_t)g));
        sheet_number(s, (double)d->annotation->probability[g]);
    } else if (d->groups && d->annotation) {
        sheet_text(s, "");
        sheet_text(s, "");
    }
    if (d->cell_annotation) {
        sheet_text(s, label_of(d->cell_annotation, i));
        sheet_number(s, (double)d->cell_annotation->probability[i]);
    }
    if (d->query)
        sheet_number(s, (double)d->query->scores->v[i]);
    if (d->selected)
        sheet_text(s, d->selected[i] ? "1" : "0");
    sheet_end_row(s);
}

Err export_labels(const DataExport *d, const char *path, JobCtl *ctl)
{
    Err err = OK;
    Sheet s = {0};
    TRY(sheet_open(&s, path, &d->provenance));
    job_stage(ctl, "writing labels", d->cells);
    add_header(&s, d);
    for (size_t i = 0; i < d->cells && err == OK; i++) {
        add_cell(&s, d, i);
        if (i % 1024 == 0)
            err = job_progress(ctl, i);
    }
    return sheet_close(&s, path, err);
}

Err export_generated(const Generated *g, const ModelInfo *m, const char *dataset_sha256,
                     const char *path, JobCtl *ctl)
{
    char matched[32], *command;
    snprintf(matched, sizeof matched, "%zu", m->genes_matched);
    command = str_format("scmmgpt generate \"%s\" -n %zu --seed %llu", g->prompt, g->counts.rows,
                         (unsigned long long)g->seed);
    Provenance from = {.command = command,
                       .version = SCMMGPT_VERSION,
                       .dataset_sha256 = dataset_sha256,
                       .model_sha256 = m->sha256,
                       .seed = g->seed,
                       .prompt = g->prompt,
                       .genes_matched = matched,
                       .device = m->device};
    Err err = generated_write(g, &from, path, false, ctl);
    free(command);
    return err;
}
