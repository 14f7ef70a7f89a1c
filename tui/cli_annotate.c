/* `scmmgpt annotate`: which candidate every cell (or group) is, how sure, and what speaks for it. */
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const char usage[] = "FILE [--labels FILE | --labels-from KEY] [--by KEY] [--evidence W] [--refine LAMBDA|off] "
                            "[--rerank K] [--few-shot REF.h5ad --few-shot-key KEY] [-o T.tsv]";

static Err take_refine(CliArgs *a, AnnotateParams *p)
{
    const char *text = NULL;
    TRY(cli_take_string(a, "--refine", &text));
    if (!text)
        return OK;
    char *end;
    p->refine = strcmp(text, "off") == 0 ? 0 : strtod(text, &end);
    if (strcmp(text, "off") != 0 && (end == text || *end || !(p->refine >= 0 && p->refine <= 1000)))
        FAIL(ERR_USAGE, "--refine: '%s' is neither 'off' nor a number from 0 to 1000", text);
    return OK;
}

static Err take_params(CliArgs *a, AnnotateParams *p, const char **by)
{
    size_t rerank = 0;
    TRY(cli_take_string(a, "--labels", &p->labels_file));
    TRY(cli_take_string(a, "--labels-from", &p->labels_from));
    TRY(cli_take_string(a, "--by", by));
    TRY(cli_take_string(a, "--few-shot", &p->few_shot));
    TRY(cli_take_string(a, "--few-shot-key", &p->few_shot_key));
    TRY(cli_take_number(a, "--evidence", 0, 1000, &p->evidence));
    TRY(cli_take_size(a, "--rerank", 1, 1000, &rerank));
    p->rerank = (int)rerank;
    TRY(take_refine(a, p));
    if (p->labels_file && p->labels_from)
        FAIL(ERR_USAGE, "--labels and --labels-from: one of them");
    if (p->few_shot_key && !p->few_shot)
        FAIL(ERR_USAGE, "--few-shot-key: --few-shot is missing, it names the reference file");
    return OK;
}

static void write_row(Table *t, const Annotation *a, const char *name, size_t i)
{
    int32_t k = a->label[i], second = a->second[i];
    table_text(t, name);
    table_text(t, a->labels[k]);
    table_text(t, a->label_ids[k]);
    table_number(t, a->probability[i]);
    table_text(t, second < 0 ? "" : a->labels[second]);
    if (second < 0)
        table_text(t, "");
    else
        table_number(t, a->second_probability[i]);
    table_int(t, a->unknown[i]);
    table_text(t, a->evidence[i]);
    table_text(t, a->missing_markers[i]);
    table_end_row(t);
}

static Err write_table(CliArgs *a, Session *s, const Annotation *an, const AnnotateParams *p, const Groups *g)
{
    CliProvenance from;
    Table *t;
    const char *const *cells;
    char number[32];
    TRY(dataset_cell_names(session_dataset(s), &cells));
    TRY(cli_provenance(a, s, NULL, &from));
    TRY(cli_open_table(a, &from, &t));
    if (!a->g->no_header_comments) {
        snprintf(number, sizeof number, "%g", p->evidence);
        table_comment(t, "evidence", number);
        snprintf(number, sizeof number, "%g", an->refine_used);
        table_comment(t, "refine", an->refine_used > 0 ? number : "off");
    }
    table_row(t, g ? "group" : "cell", "label", "label_id", "probability", "second", "second_probability", "unknown",
              "evidence", "missing_markers", NULL);
    for (size_t i = 0; i < an->n; i++)
        write_row(t, an, g ? g->names[i] : cells[i], i);
    return table_close(t);
}

Err cli_annotate(CliArgs *a)
{
    AnnotateParams p = annotate_params_default();
    Session *s = NULL;
    Groups *g = NULL;
    Annotation *an = NULL;
    const char *by = NULL;
    Err err = OK;
    TRY(take_params(a, &p, &by));
    TRY(cli_finish(a, 1, 1, usage));
    TRY_GOTO(cli_open(a, a->argv[1], &s));
    if (by)
        TRY_GOTO(session_groups(s, by, a->ctl, &g));
    TRY_GOTO(session_annotate(s, &p, g, a->ctl, &an));
    TRY_GOTO(write_table(a, s, an, &p, g));
done:
    annotation_free(an);
    groups_free(g);
    session_close(s);
    return err;
}
