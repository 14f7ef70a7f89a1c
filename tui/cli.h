/* Headless subcommands. Each cli_*.c defines some commands; cli.c holds the one table of them. */
#ifndef SCMM_TUI_CLI_H
#define SCMM_TUI_CLI_H
#include "core/base/err.h"
#include "core/base/job.h"
#include "core/session/session.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What all commands understand (cli.md, "Rules for all commands"). */
typedef struct CliGlobals {
    bool json, quiet, force, no_header_comments, map_orthologs, allow_external;
    int verbose;
    const char *log_file, *device, *model, *genome, *feature_type, *output, *matrix, *gene_column;
    uint64_t seed;
    int threads;          /* 0: all */
    size_t min_genes;     /* SIZE_MAX: the default */
    uint64_t max_memory;  /* bytes, 0: default */
    char *command_line;   /* for provenance */
} CliGlobals;

/* The arguments of one command after the globals were taken out; options may stand anywhere, "--" ends them. */
typedef struct CliArgs {
    const CliGlobals *g;
    int argc;
    char **argv;    /* what is left, in order; argv[0] is the command's name */
    FILE *out;      /* data: stdout */
    JobCtl *ctl;    /* cancelled by SIGINT / SIGTERM; shows progress on stderr */
    const char *file; /* set by the command as soon as it is known: errors name it */
} CliArgs;

/* Takes "--name VALUE" or "--name=VALUE" out of the arguments; *value is unchanged when it is not there.
 * ERR_USAGE when the value is missing. cli_take_number also fails on anything that is not a number in [lo, hi]. */
CHECKED Err cli_take_string(CliArgs *a, const char *name, const char **value);
CHECKED Err cli_take_number(CliArgs *a, const char *name, double lo, double hi, double *value);
CHECKED Err cli_take_size(CliArgs *a, const char *name, size_t lo, size_t hi, size_t *value);
bool cli_take_flag(CliArgs *a, const char *name);
/* After all options are taken: between `min` and `max` positional arguments are left (argv[1]...), else ERR_USAGE
 * naming the first option that is unknown or the argument that is missing. */
CHECKED Err cli_finish(CliArgs *a, int min, int max, const char *usage);
/* The options of one command with their meanings, one a line. */
void cli_print_options(FILE *f, const char *command);
/* Opens the session on a file with the global options; sets a->file. */
CHECKED Err cli_open(CliArgs *a, const char *path, Session **out);
SessionParams cli_session_params(const CliArgs *a);

/* Runs another command (argv ends with NULL, argv[0] is its name) with its own options and from's device and model; its
 * data go to `out`. *file: what it was working on, for the error line. */
CHECKED Err cli_call(const CliArgs *from, FILE *out, const char *const *argv, const char **file);

typedef Err CliRun(CliArgs *a);
typedef struct CliCommand {
    const char *name, *usage, *help;
    CliRun *run;
} CliCommand;

/* Runs argv; returns the exit code. */
int cli_main(int argc, char **argv);

#endif
