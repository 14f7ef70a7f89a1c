/* The tables and files that W and E write, as TSV or CSV, with where they are from. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/version.h"
#include "core/data/outfile.h"
#include "core/data/table.h"
#include "core/session/generated_file.h"
#include "views/facts.h"

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

/* p NULL: no comments. */
static Err sheet_open(Sheet *s, const char *path, const Provenance *p)
{
    if (!str_ends(path, ".csv")) {
        TRY(table_open(path, NULL, false, &s->tsv));
        if (p)
            provenance_to_table(p, s->tsv);
        return OK;
    }
    TRY(outfile_begin(path, false, &s->file));
    s->csv = fopen(s->file.temp, "w");
    if (!s->csv) {
        outfile_abort(&s->file);
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    }
    if (p)
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
    if (s->tsv && d->map) { /* what is on the map; CSV has the form that CellxGene reads */
        sheet_text(s, "x");
        sheet_text(s, "y");
    }
    if (s->tsv && d->values)
        sheet_text(s, d->values->name);
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
    for (int k = 0; s->tsv && d->map && k < 2; k++)
        sheet_number(s, (double)d->map->xy[2 * i + (size_t)k]);
    if (s->tsv && d->values)
        sheet_number(s, (double)d->values->v[i]);
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

static void add_marker(Sheet *s, const Marker *m, const Groups *groups)
{
    const double numbers[] = {(double)m->score, (double)m->logfoldchange, m->pval,
                              m->pval_adj,      (double)m->frac_in,       (double)m->frac_out};
    if (groups)
        sheet_text(s, groups->names[m->group]);
    sheet_text(s, m->gene);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sheet_number(s, numbers[i]);
    sheet_end_row(s);
}

Err export_markers(const MarkerTable *t, const Groups *groups, const MarkerView *v, const char *path,
                   FILE *to, bool force, JobCtl *ctl, size_t *rows)
{
    static const char *const columns[] = {"group", "gene",     "score",   "logfoldchange",
                                          "pval",  "pval_adj", "frac_in", "frac_out"};
    Err err = OK;
    Sheet s = {0};
    size_t *order;
    TRY(NEW(order, t->n + 1));
    err = to ? table_open(path, to, force, &s.tsv) : sheet_open(&s, path, NULL);
    if (err) {
        free(order);
        return err;
    }
    *rows = marker_view_rows(t, groups ? groups->n_groups : 0, v, order);
    job_stage(ctl, "writing the table", *rows);
    for (size_t i = groups ? 0 : 1; i < sizeof columns / sizeof *columns; i++)
        sheet_text(&s, columns[i]);
    sheet_end_row(&s);
    for (size_t i = 0; i < *rows && err == OK; i++) {
        add_marker(&s, &t->rows[order[i]], groups);
        if (i % 1024 == 0)
            err = job_progress(ctl, i);
    }
    free(order);
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
