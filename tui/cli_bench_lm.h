/* The language model's part of `scmmgpt bench`. */
#ifndef SCMM_TUI_CLI_BENCH_LM_H
#define SCMM_TUI_CLI_BENCH_LM_H
#include "tui/cli_commands.h"

/* Is dir (NULL ok) a bundle with a published language model? */
bool cli_bench_lm_wanted(const char *dir);
/* Prints read bandwidth, load time, tokens a second of a prompt of `prompt` tokens and of `new`
 * written ones, at all threads and fewer; the median of `runs` runs each. */
CHECKED Err cli_bench_lm(CliArgs *a, const char *dir, size_t runs, size_t prompt, size_t new);
#endif
