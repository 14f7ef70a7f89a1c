/* `scmmgpt export`: a bundle's parts as the public programs load them. */
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

#include <stdlib.h>
#include <string.h>

#include "core/model/export.h"

Err cli_export(CliArgs *a)
{
    const char *usage = "[--model BUNDLE] --to hf|scgpt [--member N] -o DIR", *to = NULL,
               *member = NULL;
    Str dir = {0};
    TRY(cli_take_string(a, "--to", &to));
    TRY(cli_take_string(a, "--member", &member));
    TRY(cli_finish(a, 0, 0, usage));
    if (!to || !a->g->output)
        FAIL(ERR_USAGE, "%s is missing; usage: scmmgpt export %s", to ? "-o DIR" : "--to", usage);
    if (strcmp(to, "hf") != 0 && strcmp(to, "scgpt") != 0)
        FAIL(ERR_USAGE, "--to: '%s' is not hf or scgpt", to);
    ExportSpec s = {.to_scgpt = strcmp(to, "scgpt") == 0, .out = a->g->output};
    char *end = NULL;
    long n = member ? strtol(member, &end, 10) : 0;
    if (member && (!*member || *end || n < 0 || n > 63))
        FAIL(ERR_USAGE, "--member: '%s' is not a number from 0", member);
    s.member = (int)n;
    Err err = cli_model_folder(a, &dir);
    s.bundle = str_text(&dir);
    if (err == OK)
        err = export_bundle(&s, a->ctl);
    str_free(&dir);
    return err;
}
