/* The language model's part of `scmmgpt bench`. */
#ifndef SCMM_TUI_CLI_BENCH_LM_H
#define SCMM_TUI_CLI_BENCH_LM_H
#include "tui/cli_commands.h"

/* Is dir (NULL ok) a bundle with a published language model? */
bool cli_bench_lm_wanted(const char *dir);
typedef struct LmBenchSpec {
    size_t runs, prompt, new; /* tokens read and written */
    const char *against;      /* another bundle of the same model, or NULL: what rounding costs */
    const char *text;         /* a file to compare them on; NULL: tokens at random */
} LmBenchSpec;
/* Prints read bandwidth, load time, tokens a second of a prompt and of decoding, at all threads and
 * fewer, medians; or, with `against`, the error of logits and the perplexity. */
CHECKED Err cli_bench_lm(CliArgs *a, const char *dir, const LmBenchSpec *spec);
#endif
