/* Signals of a headless command. */
#ifndef SCMM_TUI_CLI_SIGNALS_H
#define SCMM_TUI_CLI_SIGNALS_H
#include "tui/cli.h"

/* SIGINT, SIGTERM and SIGHUP cancel a->ctl. Work that has not ended PATIENCE_MS later is ended from outside, as by a second
 * signal: temporary files are removed, one line names a->file, the exit code is the contract's. `patient`: only a second
 * signal does that (what writes folders cleans up by itself, training leaves a checkpoint). */
void cli_signals_begin(const CliArgs *a, bool patient);
/* The command has returned: what is said from now on is the caller's. */
void cli_signals_end(void);

/* A crash on a damaged HDF5 file at `path` becomes exit code 3 and one line. Nothing is done for other files. */
void cli_expect_crashes(const char *path);
#endif
