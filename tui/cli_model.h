/* What the subcommands of the model share: where an answer comes from. */
#ifndef SCMM_TUI_CLI_MODEL_H
#define SCMM_TUI_CLI_MODEL_H
#include "core/base/str.h"
#include "core/data/provenance.h"
#include "tui/cli.h"

typedef struct CliProvenance {
    Provenance p; /* borrows from the fields below and from the session */
    char dataset_sha256[65], genes_matched[24];
} CliProvenance;
/* The bundle that --model or $SCMMGPT_MODEL names, else the shipped one. */
CHECKED Err cli_model_folder(const CliArgs *a, Str *dir);
/* After the model was used. Not to be copied. */
CHECKED Err cli_provenance(CliArgs *a, Session *s, const char *prompt, CliProvenance *out);
/* Opens the table of -o (stdout without it) and writes the provenance unless --no-header-comments. */
CHECKED Err cli_open_table(CliArgs *a, const CliProvenance *p, Table **out);
/* Prints a JSON document to stdout, or to the file of -o (cli_json.c). */
CHECKED Err cli_print_json(CliArgs *a, const cJSON *json);
#endif
