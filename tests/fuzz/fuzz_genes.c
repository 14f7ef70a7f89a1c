/* Gene names as files have them: the lines of the input before an empty line are names, those behind
 * are queries, and together they are a vocabulary. */
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 256 };
    const char *names[MOST];
    size_t n = 0, split = 0;
    char *text = mem_strndup((const char *)data, size), *save = text;
    fuzz_folder();
    for (char *line; n < MOST && (line = strsep(&save, "\n"));) {
        if (!*line && !split)
            split = n + 1;
        names[n++] = line;
    }
    size_t n_names = split ? split - 1 : n;
    GeneIndex *ix = gene_index_new(names, NULL, n_names);
    for (size_t i = n_names; i < n; i++) {
        GeneHit hit;
        char symbol[16];
        if (gene_resolve(ix, names[i], &hit) == OK && hit.how != GENE_NONE &&
            hit.column >= n_names)
            abort();
        gene_from_date(names[i], symbol);
    }
    gene_index_free(ix);
    GeneMatch m;
    if (n_names && gene_match(names, names, n_names, names, n, &m) == OK) {
        for (size_t i = 0; i < m.n; i++)
            if (m.to[i] >= (int32_t)n)
                abort();
        gene_match_done(&m);
    }
    gene_naming(names, n);
    free(text);
    return 0;
}
