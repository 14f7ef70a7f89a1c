/* A tool for tuning, not a test: writes similarities and marker scores of a file's cells with every library type, so that
 * constants of annotation can be tried out on held-out training cells. See README.md here.
 * dump_scores FILE OUT_PREFIX [SET SPLIT_SEED]: OUT_PREFIX.bin: float32 label, texts, marker (file), marker (corpus), each
 * [n, types]; then held [n] of set number SET; OUT_PREFIX.graph.bin: int64 indptr, int32 indices, float32 values. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "core/session/scoring.h"

static void write_out(const char *prefix, const char *suffix, const void *a, size_t size, size_t n, const char *mode)
{
    char path[1024];
    snprintf(path, sizeof path, "%s%s", prefix, suffix);
    FILE *f = fopen(path, mode);
    if (!f || fwrite(a, size, n, f) != n || fclose(f) != 0)
        exit(1);
}

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if ((e) != OK) {                                                                           \
            fprintf(stderr, "%s\n", err_message());                                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

int main(int argc, char **argv)
{
    SessionParams p = session_params_default();
    Session *s;
    ModelState *m;
    const Candidates *lib;
    MUST(session_open(&p, argv[1], NULL, &s));
    MUST(model_state_embedded(s, NULL, &m));
    MUST(scoring_prepare(s, m, NULL));
    MUST(scoring_library(s, m, NULL, &lib));
    size_t n = m->n, t = lib->n;
    float *pair = malloc(n * 2 * t * sizeof *pair), *one = malloc(n * t * sizeof *one), *held = calloc(n, sizeof *held);
    MUST(model_state_similarity(m, NULL, n, lib->vec, lib->n_vec, pair));
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < n * t; i++)
            one[i] = pair[2 * i + (size_t)k];
        write_out(argv[2], ".bin", one, sizeof *one, n * t, k ? "ab" : "wb");
    }
    for (int corpus = 0; corpus < 2; corpus++) {
        MUST(evidence_scores(m->evidence, lib->markers, t, NULL, n, corpus, one));
        write_out(argv[2], ".bin", one, sizeof *one, n * t, "ab");
    }
    for (size_t i = 0; argc > 4 && i < n; i++) {
        Rng r = rng_make(strtoull(argv[4], NULL, 10), strtoull(argv[3], NULL, 10) << 32 | i);
        held[i] = rng_uniform(&r) < 0.15;
    }
    write_out(argv[2], ".bin", held, sizeof *held, n, "ab");
    ClusterParams cp = cluster_params_default();
    cp.umap = false;
    Clustering *c;
    if (n > 20) {
        MUST(session_cluster(s, &cp, NULL, &c));
        write_out(argv[2], ".graph.bin", c->connectivities.indptr, 8, n + 1, "wb");
        write_out(argv[2], ".graph.bin", c->connectivities.indices, 4, csr_nnz(&c->connectivities), "ab");
        write_out(argv[2], ".graph.bin", c->connectivities.values, 4, csr_nnz(&c->connectivities), "ab");
        clustering_free(c);
    }
    const LibraryVectors *v;
    MUST(model_library(m->model, NULL, &v));
    for (size_t i = 0; i < t; i++)
        printf("%s\t%s\t%d\t%zu\n", celltypes_at(model_celltypes(m->model), i)->id, lib->labels[i], v->trained[i],
               m->type_markers[i].n_high);
    fprintf(stderr, "%s corpus %d sim %.3f %.3f marker %.3f %.3f\n", argv[1], m->corpus, m->scale.sim_mean,
            m->scale.sim_sd, m->scale.marker_mean, m->scale.marker_sd);
    session_close(s);
    return 0;
}
