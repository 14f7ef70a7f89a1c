/* See cli_model.h. */
#include "tui/cli_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/assets.h"

#include "tui/cli_commands.h"

Err cli_model_folder(const CliArgs *a, Str *dir)
{
    const char *given = a->g->model ? a->g->model : getenv("SCMMGPT_MODEL");
    if (!given || !*given)
        return assets_path("model/mini-1", dir);
    str_add(dir, given);
    return OK;
}

Err cli_provenance(CliArgs *a, Session *s, const char *prompt, CliProvenance *out)
{
    *out = (CliProvenance){.p = {.command = a->g->command_line,
                                 .version = SCMMGPT_VERSION,
                                 .seed = a->g->seed,
                                 .prompt = prompt}};
    const ModelInfo *m = session_model(s);
    if (session_dataset(s)) {
        TRY(dataset_sha256(session_dataset(s), a->ctl, out->dataset_sha256));
        out->p.dataset_sha256 = out->dataset_sha256;
    }
    if (m) {
        out->p.model_sha256 = m->sha256;
        out->p.device = m->device;
        snprintf(out->genes_matched, sizeof out->genes_matched, "%zu", m->genes_matched);
        out->p.genes_matched = out->genes_matched;
        out->p.matrix = m->matrix[0] ? m->matrix : NULL;
    }
    return OK;
}

Err cli_open_table(CliArgs *a, const CliProvenance *p, Table **out)
{
    TRY(table_open(a->g->output, a->out, a->g->force, out));
    if (!a->g->no_header_comments)
        provenance_to_table(&p->p, *out);
    return OK;
}
