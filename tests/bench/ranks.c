/* The tests alone, on log-normalised values in memory, as scanpy's rank_genes_groups is called: `ranks FILE GROUPS.i32
 * NGROUPS` reads the counts and a group for each cell, normalises, and prints "name wall cpu" for each test, the better
 * of two runs. Called by analysis.py. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/analysis/markers.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

static Err time_test(const Rows *rows, const int32_t *codes, size_t groups, MarkerTest test, const char *name)
{
    MarkerStat *stats;
    double wall = 1e9, cpu = 1e9;
    TRY(NEW(stats, groups * rows->genes));
    for (int i = 0; i < 2; i++) {
        double start = clock_seconds();
        clock_t used = clock();
        TRY(markers_test(rows, codes, groups, test, NULL, stats));
        double took = clock_seconds() - start, work = (double)(clock() - used) / CLOCKS_PER_SEC;
        wall = took < wall ? took : wall;
        cpu = work < cpu ? work : cpu;
    }
    printf("%s %.4f %.4f\n", name, wall, cpu);
    free(stats);
    return OK;
}

static Err run(char **argv)
{
    Dataset *d;
    Csr x;
    int32_t *codes;
    TRY(dataset_open(argv[1], NULL, NULL, &d));
    Rows file = rows_of_dataset(d, 0, true);
    TRY(rows_gather(&file, NULL, 0, NULL, &x));
    TRY(NEW(codes, x.rows));
    FILE *f = fopen(argv[2], "rb");
    if (!f || fread(codes, sizeof *codes, x.rows, f) != x.rows)
        FAIL(ERR_INPUT, "%s: too short", argv[2]);
    fclose(f);
    Rows rows = rows_of_csr(&x, false);
    TRY(time_test(&rows, codes, (size_t)atoi(argv[3]), TEST_WELCH, "t-test"));
    return time_test(&rows, codes, (size_t)atoi(argv[3]), TEST_WILCOXON, "wilcoxon");
}

int main(int argc, char **argv)
{
    if (argc != 4 || run(argv)) {
        fprintf(stderr, "ranks: %s\n", argc == 4 ? err_message() : "FILE GROUPS.i32 NGROUPS");
        return 1;
    }
    return 0;
}
