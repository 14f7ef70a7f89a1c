/* argv -> explorer or subcommand. */
#include <stdbool.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tui/cli.h"
#include "tui/explorer.h"

/* A figure that asks neither the model nor for tests of genes. */
static bool is_plain_plot(int argc, char **argv)
{
    static const char *const work[] = {"--annotate", "--query", "--generate", "--markers", "--kind"};
    if (strcmp(argv[1], "plot") != 0)
        return false;
    for (int i = 2; i < argc; i++)
        for (size_t k = 0; k < sizeof work / sizeof *work; k++)
            if (strncmp(argv[i], work[k], strlen(work[k])) == 0)
                return false;
    return true;
}

/* On shared cores threads that spin while they wait starve those that work, so they spin briefly
 * and then sleep. OpenMP reads this before main(): the program starts itself once more when nobody
 * chose, but not for what takes less time than that. */
static bool is_short(const char *command)
{
    static const char *const list[] = {"info", "genes", "cache", "doctor", "model", "help", "tokenize"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(command, list[i]) == 0)
            return true;
    return command[0] == '-';
}

static void wait_politely(int argc, char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") || (argc > 1 && (is_short(argv[1]) || is_plain_plot(argc, argv))))
        return;
    setenv("GOMP_SPINCOUNT", "10000", 1);
    execv("/proc/self/exe", argv); /* returns only when it cannot: then as things are */
}

/* OpenBLAS takes processors that are newer than itself for old ones; it reads this when it is loaded. */
static void help_blas(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        setenv("OPENBLAS_CORETYPE", "Haswell", 0);
}

/* Blocks of cells are read, used and freed again and again: giving that memory back to the system each time, and
 * getting it zeroed page by page, took a tenth of the time of a pass over a file. */
static void keep_freed_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
}

int main(int argc, char **argv)
{
    keep_freed_memory();
    help_blas();
    wait_politely(argc, argv);
    return explorer_is_asked(argc, argv) ? explorer_main(argc, argv) : cli_main(argc, argv);
}
