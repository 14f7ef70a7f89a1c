/* `scmmgpt eval`: the measures of the paper on a labelled file, each beside what is reached without
 * the model. */
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const char usage[] =
    "FILE --label-key KEY [--tasks annotate,describe,generate,retrieve,cluster] [--labels MAP.tsv] "
    "[--reference FILE.h5ad[:KEY]]... [--reference-labels RULES.tsv] [--absent LABELS.txt] "
    "[--prompts P.tsv] [--generate-prompts P.tsv] [--cells N] [--describe N] [--json] [-o T.tsv]";

static Err parse_tasks(const char *text, unsigned *tasks)
{
    static const char *const names[] = {"annotate", "describe", "generate", "retrieve", "cluster"};
    char *copy = mem_strdup(text), *save = NULL;
    Err err = OK;
    *tasks = 0;
    for (char *t = strtok_r(copy, ",", &save); t && err == OK; t = strtok_r(NULL, ",", &save)) {
        unsigned bit = 0;
        for (unsigned i = 0; i < 5; i++)
            if (strcmp(t, names[i]) == 0)
                bit = 1u << i;
        if (!bit)
            err = err_set(
                ERR_USAGE,
                "--tasks: '%s' is none of annotate, describe, generate, retrieve, cluster", t);
        *tasks |= bit;
    }
    if (err == OK && !*tasks)
        err = err_set(ERR_USAGE, "--tasks: no task in it");
    free(copy);
    return err;
}

/* --reference may be given several times, where cli_take_string would keep the last alone. */
static Err take_references(CliArgs *a, const char **list, size_t *n)
{
    for (int i = 1; i < a->argc && strcmp(a->argv[i], "--") != 0;) {
        bool joined = str_starts(a->argv[i], "--reference=");
        if (!joined && strcmp(a->argv[i], "--reference") != 0) {
            i++;
            continue;
        }
        if (!joined && i + 1 >= a->argc)
            FAIL(ERR_USAGE, "--reference: a value is missing after it");
        list[(*n)++] = joined ? a->argv[i] + strlen("--reference=") : a->argv[i + 1];
        int used = joined ? 1 : 2;
        memmove(a->argv + i, a->argv + i + used, (size_t)(a->argc - i - used) * sizeof *a->argv);
        a->argc -= used;
    }
    return OK;
}

static Err take_params(CliArgs *a, EvalParams *p, const char **references)
{
    const char *tasks = NULL;
    TRY(take_references(a, references, &p->n_references));
    p->references = references;
    TRY(cli_take_string(a, "--label-key", &p->label_key));
    TRY(cli_take_string(a, "--tasks", &tasks));
    TRY(cli_take_string(a, "--labels", &p->labels));
    TRY(cli_take_string(a, "--reference-labels", &p->reference_labels));
    TRY(cli_take_string(a, "--absent", &p->absent));
    TRY(cli_take_string(a, "--prompts", &p->prompts));
    TRY(cli_take_string(a, "--generate-prompts", &p->generate_prompts));
    TRY(cli_take_size(a, "--cells", 2, 10000, &p->generate_cells));
    TRY(cli_take_size(a, "--describe", 1, 100000, &p->describe_cells));
    if (tasks)
        TRY(parse_tasks(tasks, &p->tasks));
    if (!p->label_key)
        FAIL(ERR_USAGE,
             "--label-key: which obs column holds the true labels? usage: scmmgpt eval %s", usage);
    p->seed = a->g->seed;
    return OK;
}

static Err write_json(CliArgs *a, const Report *r, const CliProvenance *from)
{
    cJSON *tasks = report_to_json(r), *out = cJSON_CreateObject();
    cJSON_AddItemToObject(out, "provenance", provenance_to_json(&from->p));
    while (tasks->child) {
        cJSON *task = cJSON_DetachItemViaPointer(tasks, tasks->child);
        char *name = mem_strdup(task->string);
        cJSON_AddItemToObject(out, name, task);
        free(name);
    }
    Err err = cli_print_json(a, out);
    cJSON_Delete(tasks);
    cJSON_Delete(out);
    return err;
}

static Err write_report(CliArgs *a, Session *s, const Report *r)
{
    CliProvenance from;
    Table *t;
    TRY(cli_provenance(a, s, NULL, &from));
    if (a->g->json)
        return write_json(a, r, &from);
    TRY(cli_open_table(a, &from, &t));
    report_to_table(r, t);
    return table_close(t);
}

Err cli_eval(CliArgs *a)
{
    EvalParams p = eval_params_default();
    Session *s = NULL;
    Report *r = NULL;
    const char **references;
    Err err = OK;
    TRY(NEW(references, (size_t)a->argc));
    TRY_GOTO(take_params(a, &p, references));
    TRY_GOTO(cli_finish(a, 1, 1, usage));
    TRY_GOTO(cli_open(a, a->argv[1], &s));
    TRY_GOTO(session_eval(s, &p, a->ctl, &r));
    TRY_GOTO(write_report(a, s, r));
done:
    report_free(r);
    session_close(s);
    free(references);
    return err;
}
