/* core/session/session_analysis.c and the parts of core/analysis that it strings together. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/hvg.h"
#include "core/analysis/knn.h"
#include "core/analysis/project.h"
#include "core/analysis/rows.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/session/session_internal.h"

enum { CELLS = 240, GENES = 120, TYPES = 3 };

/* Three types; the first ten genes of each third are its own. */
static Csr make_counts(void)
{
    Csr m;
    size_t at = 0;
    assert_ok(csr_init(&m, CELLS, GENES, CELLS * GENES));
    for (size_t i = 0; i < CELLS; i++) {
        Rng rng = rng_make(11, i);
        for (size_t g = 0; g < GENES; g++) {
            double mean = 0.3 + 0.02 * (double)(g % 7);
            if (g / (GENES / TYPES) == i % TYPES && g % (GENES / TYPES) < 10)
                mean = 6;
            uint64_t c = rng_poisson(&rng, mean);
            if (!c)
                continue;
            m.indices[at] = (int32_t)g;
            m.values[at++] = (float)c;
        }
        m.indptr[i + 1] = (int64_t)at;
    }
    return m;
}

static Session *session_of(Csr m)
{
    static char names[GENES][8];
    const char *genes[GENES];
    Session *s;
    SessionParams p = session_params_default();
    for (int g = 0; g < GENES; g++) {
        snprintf(names[g], sizeof names[g], "G%d", g);
        genes[g] = names[g];
    }
    assert_ok(session_open_empty(&p, &s));
    assert_ok(dataset_from_memory("synthetic", &m, genes, NULL, &s->dataset));
    return s;
}

static Session *make_session(void)
{
    return session_of(make_counts());
}

static ClusterParams small_params(void)
{
    ClusterParams p = cluster_params_default();
    p.hvg = 60;
    p.pcs = 10;
    p.neighbors = 12;
    p.resolution = 0.3;
    return p;
}

/* ---- progress: which stages ran ---- */

static char stages[1024];

static void note_stage(void *user, const char *stage, size_t done, size_t total)
{
    if (done == 0 && !strstr(stages, stage)) {
        strcat(stages, stage);
        strcat(stages, ";");
    }
}

static void clusters_are_the_types_and_have_a_map(void **state)
{
    Session *s = make_session();
    ClusterParams p = small_params();
    Clustering *c;
    assert_ok(session_cluster(s, &p, NULL, &c));
    assert_int_equal(c->groups->n_groups, TYPES);
    for (size_t i = 0; i < CELLS; i++)
        assert_int_equal(c->groups->codes[i], c->groups->codes[i % TYPES]);
    assert_string_equal(c->groups->names[0], "0");
    assert_int_equal(c->groups->sizes[0], CELLS / TYPES);
    assert_true(c->groups->computed && c->map->computed);
    assert_true(c->modularity > 0.6);
    for (size_t i = 0; i < 2 * CELLS; i++)
        assert_true(isfinite(c->map->xy[i]));
    assert_int_equal(c->connectivities.rows, CELLS);
    assert_int_equal(csr_nnz(&c->distances), CELLS * 11);
    size_t variable = 0; /* what goes into var/highly_variable */
    assert_int_equal(c->n_genes, dataset_genes(session_dataset(s)));
    for (size_t i = 0; i < c->n_genes; i++)
        variable += c->variable[i];
    assert_int_equal(variable, 60);
    clustering_free(c);
    session_close(s);
}

static void a_new_resolution_only_reruns_leiden(void **state)
{
    Session *s = make_session();
    ClusterParams p = small_params();
    JobCtl ctl = {.on_progress = note_stage};
    Clustering *first, *second;
    stages[0] = 0;
    assert_ok(session_cluster(s, &p, &ctl, &first));
    assert_non_null(strstr(stages, "variable genes;principal components;neighbours;neighbour graph;"));
    stages[0] = 0;
    p.resolution = 3;
    assert_ok(session_cluster(s, &p, &ctl, &second));
    assert_string_equal(stages, "clusters;");
    assert_true(second->groups->n_groups > first->groups->n_groups);
    assert_memory_equal(first->map->xy, second->map->xy, 2 * CELLS * sizeof(float));
    clustering_free(second);
    stages[0] = 0;
    p.neighbors = 8;
    assert_ok(session_cluster(s, &p, &ctl, &second));
    assert_null(strstr(stages, "principal"));
    assert_non_null(strstr(stages, "neighbours;"));
    clustering_free(first);
    clustering_free(second);
    session_close(s);
}

/* The genes that the session chose are those of the library, whichever flavour was asked for before. */
static void assert_chosen(const Clustering *c, const Hvg *want)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_genes; i++)
        n += c->variable[i];
    assert_int_equal(n, want->n);
    for (size_t i = 0; i < want->n; i++)
        assert_int_equal(c->variable[want->selected[i]], 1);
    for (size_t i = 0; i < c->n_genes; i++)
        assert_true(c->gene_dispersion[i] == want->dispersion[i]);
}

static void either_flavour_of_variable_genes_can_be_asked_for(void **state)
{
    Session *s = make_session();
    Csr counts = make_counts();
    Rows raw = rows_of_csr(&counts, false), lognorm = rows_of_csr(&counts, true);
    Hvg v3, seurat;
    assert_ok(hvg_seurat_v3(&raw, 60, 0.3, NULL, &v3));
    assert_ok(hvg_seurat(&lognorm, 60, NULL, &seurat));
    assert_memory_not_equal(v3.selected, seurat.selected, 60 * sizeof *v3.selected);
    for (int i = 0; i < 3; i++) {
        ClusterParams p = small_params();
        Clustering *c;
        p.seurat_v3 = i % 2;
        assert_ok(session_cluster(s, &p, NULL, &c));
        assert_chosen(c, p.seurat_v3 ? &v3 : &seurat);
        clustering_free(c);
    }
    hvg_done(&v3);
    hvg_done(&seurat);
    csr_done(&counts);
    session_close(s);
}

/* Logarithms of what was never counted. */
static void without_counts_seurat_v3_is_refused(void **state)
{
    Clustering *c;
    ClusterParams p = small_params();
    Csr m = make_counts();
    normalize_log1p(&m);
    for (size_t i = 0; i < csr_nnz(&m); i++)
        m.values[i] *= (float)(1 + 0.1 * sin((double)i));
    Session *s = session_of(m);
    p.umap = false;
    assert_ok(session_cluster(s, &p, NULL, &c));
    clustering_free(c);
    p.seurat_v3 = true;
    assert_err(session_cluster(s, &p, NULL, &c), ERR_FEW_GENES);
    session_close(s);
}

static void one_seed_gives_one_answer(void **state)
{
    Clustering *c[2];
    for (int t = 0; t < 2; t++) {
        Session *s = make_session();
        ClusterParams p = small_params();
        assert_ok(session_cluster(s, &p, NULL, &c[t]));
        session_close(s);
    }
    assert_memory_equal(c[0]->map->xy, c[1]->map->xy, 2 * CELLS * sizeof(float));
    assert_memory_equal(c[0]->groups->codes, c[1]->groups->codes, CELLS * sizeof(int32_t));
    clustering_free(c[0]);
    clustering_free(c[1]);
}

/* Cancels at the n-th progress call. */
static void count_down(void *user, const char *stage, size_t done, size_t total)
{
    JobCtl *ctl = user;
    static int left;
    if (!stage)
        left = (int)total;
    else if (--left == 0)
        atomic_store(&ctl->cancel, ERR_CANCELLED);
}

static void cancelled_anywhere_it_goes_on_from_the_stage_reached(void **state)
{
    Session *fresh = make_session();
    ClusterParams p = small_params();
    Clustering *want, *c = NULL;
    assert_ok(session_cluster(fresh, &p, NULL, &want));
    Session *s = make_session();
    for (size_t after = 1; !c; after += after / 4 + 1) {
        JobCtl ctl = {.on_progress = count_down};
        ctl.user = &ctl;
        count_down(&ctl, NULL, 0, after);
        Err err = session_cluster(s, &p, &ctl, &c);
        if (err)
            assert_int_equal(err, ERR_CANCELLED);
    }
    assert_memory_equal(want->map->xy, c->map->xy, 2 * CELLS * sizeof(float));
    assert_memory_equal(want->groups->codes, c->groups->codes, CELLS * sizeof(int32_t));
    clustering_free(want);
    clustering_free(c);
    session_close(s);
    session_close(fresh);
}

static void wrong_parameters_are_refused(void **state)
{
    Session *s = make_session();
    ClusterParams p = small_params();
    Clustering *c;
    p.use_rep = "X_other";
    assert_err(session_cluster(s, &p, NULL, &c), ERR_NOT_FOUND);
    p = small_params();
    p.neighbors = 1;
    assert_err(session_cluster(s, &p, NULL, &c), ERR_USAGE);
    p = small_params();
    p.resolution = NAN;
    assert_err(session_cluster(s, &p, NULL, &c), ERR_USAGE);
    session_close(s);
}

static void a_stored_representation_serves_instead_of_components(void **state)
{
    Session *s = make_session();
    ClusterParams p = small_params();
    Clustering *c;
    float *x = mem_must(CELLS * 2 * sizeof *x);
    for (size_t i = 0; i < CELLS; i++) {
        Rng rng = rng_make(3, i);
        x[2 * i] = (float)(10 * (double)(i % 2) + rng_normal(&rng));
        x[2 * i + 1] = (float)rng_normal(&rng);
    }
    assert_ok(dataset_add_obsm(s->dataset, "X_other", 2, x));
    p.use_rep = "X_other";
    p.resolution = 0.05;
    assert_ok(session_cluster(s, &p, NULL, &c));
    assert_int_equal(c->groups->n_groups, 2);
    assert_null(c->pca);
    clustering_free(c);
    p.use_rep = NULL;
    p.resolution = 0.3;
    assert_ok(session_cluster(s, &p, NULL, &c));
    assert_int_equal(c->groups->n_groups, TYPES);
    assert_int_equal(c->pcs, 10);
    clustering_free(c);
    session_close(s);
}

/* ---- markers ---- */

static void markers_of_a_type_are_its_own_genes(void **state)
{
    Session *s = make_session();
    ClusterParams p = small_params();
    Clustering *c;
    p.umap = false;
    assert_ok(session_cluster(s, &p, NULL, &c));
    assert_null(c->map);
    for (int m = 0; m < 2; m++) {
        MarkerTable *t;
        assert_ok(session_markers(s, c->groups, m ? MARKERS_TTEST : MARKERS_WILCOXON, 10, NULL, &t));
        assert_int_equal(t->n, 10 * TYPES);
        for (size_t i = 0; i < t->n; i++) {
            int type = 0;
            while (c->groups->codes[type] != t->rows[i].group)
                type++;
            assert_int_equal(t->rows[i].group, i / 10);
            assert_int_equal(t->rows[i].col / (GENES / TYPES), type);
            assert_true(t->rows[i].col % (GENES / TYPES) < 10);
            assert_true(t->rows[i].pval_adj < 1e-6 && t->rows[i].logfoldchange > 1);
            assert_true(i % 10 == 0 || t->rows[i].score <= t->rows[i - 1].score);
        }
        marker_table_free(t);
    }
    clustering_free(c);
    session_close(s);
}

static Selection *cells_of(size_t type, size_t types)
{
    Selection *x = mem_must(sizeof *x);
    x->rule = mem_strdup("test");
    x->n_cells = CELLS;
    x->in = mem_must(CELLS);
    for (size_t i = 0; i < CELLS; i++)
        x->n += x->in[i] = i % types == type;
    return x;
}

static void two_sets_are_compared_with_each_other_only(void **state)
{
    Session *s = make_session();
    Selection *a = cells_of(0, TYPES), *b = cells_of(1, TYPES), *odd = cells_of(1, 2);
    MarkerTable *t;
    assert_ok(session_de(s, a, b, MARKERS_WILCOXON, 0, NULL, &t));
    assert_int_equal(t->n, GENES);
    for (size_t i = 0; i < 10; i++) {
        assert_true(t->rows[i].col < 10); /* up: type 0's */
        int32_t last = t->rows[GENES - 1 - i].col;
        assert_true(last >= 40 && last < 50); /* down: type 1's */
    }
    marker_table_free(t);
    assert_err(session_de(s, a, odd, MARKERS_WILCOXON, 0, NULL, &t), ERR_USAGE);
    selection_free(a);
    selection_free(b);
    selection_free(odd);
    session_close(s);
}

/* ---- selections, merging, colours, scores ---- */

static void a_selection_is_clustered_for_itself(void **state)
{
    Session *s = make_session();
    ClusterParams p = small_params();
    Clustering *c;
    Selection *two = cells_of(0, TYPES); /* types 0 and 1 */
    for (size_t i = 0; i < CELLS; i++)
        two->in[i] = i % TYPES < 2;
    two->n = CELLS / TYPES * 2;
    assert_ok(session_subcluster(s, two, &p, NULL, &c));
    assert_int_equal(c->groups->n_groups, 2);
    assert_int_equal(c->connectivities.rows, two->n);
    for (size_t i = 0; i < CELLS; i++)
        if (i % TYPES == 2) {
            assert_int_equal(c->groups->codes[i], -1);
            assert_true(isnan(c->map->xy[2 * i]));
        } else {
            assert_int_equal(c->groups->codes[i], c->groups->codes[i % TYPES]);
            assert_true(isfinite(c->map->xy[2 * i]));
        }
    assert_int_not_equal(c->groups->codes[0], c->groups->codes[1]);
    clustering_free(c);
    memset(two->in, 0, CELLS);
    two->n = 0;
    assert_err(session_subcluster(s, two, &p, NULL, &c), ERR_FEW_GENES);
    selection_free(two);
    session_close(s);
}

static Groups *four_groups(const int32_t *codes, size_t n)
{
    Groups *g = mem_must(sizeof *g);
    g->key = mem_strdup("test");
    g->n_cells = n;
    g->n_groups = 4;
    g->codes = mem_must(n * sizeof *g->codes);
    g->names = mem_must(4 * sizeof *g->names);
    g->sizes = mem_must(4 * sizeof *g->sizes);
    g->colors = mem_must(4 * sizeof *g->colors);
    for (size_t i = 0; i < n; i++)
        if ((g->codes[i] = codes[i]) >= 0)
            g->sizes[codes[i]]++;
    for (uint32_t c = 0; c < 4; c++) {
        char name[2] = {(char)('a' + c), 0};
        g->names[c] = mem_strdup(name);
        g->colors[c] = 0x10 + c;
    }
    return g;
}

static void merged_groups_take_the_first_ones_place(void **state)
{
    const int32_t codes[] = {0, 1, 2, 3, 3, -1, 1}, want[] = {0, 1, 2, 1, 1, -1, 1}, which[] = {3, 1}, bad[] = {1, 4};
    Groups *g = four_groups(codes, 7), *m;
    assert_ok(groups_merge(g, which, 2, NULL, &m));
    assert_int_equal(m->n_groups, 3);
    assert_memory_equal(m->codes, want, sizeof want);
    assert_string_equal(m->names[1], "b");
    assert_string_equal(m->names[2], "c");
    assert_int_equal(m->colors[1], 0x11);
    assert_int_equal(m->sizes[1], 4);
    groups_free(m);
    assert_ok(groups_merge(g, which, 2, "both", &m));
    assert_string_equal(m->names[1], "both");
    groups_free(m);
    assert_err(groups_merge(g, bad, 2, NULL, &m), ERR_USAGE);
    assert_err(groups_merge(g, which, 1, NULL, &m), ERR_USAGE);
    groups_free(g);
}

static void colours_follow_the_cells(void **state)
{
    const int32_t before[] = {0, 0, 0, 1, 1, 2, 2, 3}, after[] = {2, 2, 2, 0, 0, 1, 1, 1};
    Groups *b = four_groups(before, 8), *a = four_groups(after, 8);
    for (int c = 0; c < 4; c++)
        a->colors[c] = 0;
    assert_ok(groups_keep_colors(b, a));
    assert_int_equal(a->colors[2], 0x10);
    assert_int_equal(a->colors[0], 0x11);
    assert_int_equal(a->colors[1], 0x12);
    for (int c = 0; c < 3; c++)
        assert_int_not_equal(a->colors[3], a->colors[c]);
    groups_free(a);
    groups_free(b);
}

static void a_score_is_high_where_its_genes_are(void **state)
{
    Session *s = make_session();
    const char *const genes[] = {"G0", "G1", "G2", "none"}, *const none[] = {"x"};
    Values *v;
    assert_ok(session_score_genes(s, genes, 4, "module", NULL, &v));
    assert_string_equal(v->name, "module");
    double in = 0, out = 0;
    for (size_t i = 0; i < CELLS; i++)
        *(i % TYPES == 0 ? &in : &out) += v->v[i];
    assert_true(in / (CELLS / TYPES) > out / (CELLS - CELLS / TYPES) + 1);
    values_free(v);
    assert_err(session_score_genes(s, none, 1, "module", NULL, &v), ERR_NOT_FOUND);
    session_close(s);
}

static void quality_measures_count_what_is_there(void **state)
{
    static const char *const genes[] = {"MT-CO1", "RPS3", "rpl5", "CD3E"};
    const float dense[3][4] = {{1, 2, 3, 4}, {0, 0, 0, 5}, {0, 0, 0, 0}};
    Session *s;
    SessionParams p = session_params_default();
    Csr m;
    Qc *q;
    size_t at = 0;
    assert_ok(csr_init(&m, 3, 4, 12));
    for (int i = 0; i < 3; i++) {
        for (int g = 0; g < 4; g++)
            if (dense[i][g] > 0) {
                m.indices[at] = g;
                m.values[at++] = dense[i][g];
            }
        m.indptr[i + 1] = (int64_t)at;
    }
    assert_ok(session_open_empty(&p, &s));
    assert_ok(dataset_from_memory("qc", &m, genes, NULL, &s->dataset));
    assert_ok(session_qc(s, NULL, &q));
    assert_true(q->counts->v[0] == 10 && q->genes->v[0] == 4 && q->mito->v[0] == 10 && q->ribo->v[0] == 50);
    assert_true(q->counts->v[1] == 5 && q->genes->v[1] == 1 && q->mito->v[1] == 0);
    assert_true(isnan(q->mito->v[2]) && q->genes->v[2] == 0);
    assert_int_equal(q->n_ribo, 2);
    qc_free(q);
    session_close(s);
}

/* ---- rows, neighbours, projection ---- */

static void picked_rows_and_columns_are_those_asked_for(void **state)
{
    Csr m = make_counts(), got;
    const size_t pick[] = {2, 3, 100, 239};
    const int32_t cols[] = {1, 5, 119};
    Rows rows = rows_of_csr(&m, false);
    rows.pick = pick;
    rows.n = 4;
    assert_ok(rows_gather(&rows, cols, 3, NULL, &got));
    assert_int_equal(got.rows, 4);
    assert_int_equal(got.cols, 3);
    for (size_t i = 0; i < 4; i++) {
        float want[3] = {0}, have[3] = {0};
        for (int64_t e = m.indptr[pick[i]]; e < m.indptr[pick[i] + 1]; e++)
            for (int c = 0; c < 3; c++)
                if (m.indices[e] == cols[c])
                    want[c] = m.values[e];
        for (int64_t e = got.indptr[i]; e < got.indptr[i + 1]; e++)
            have[got.indices[e]] = got.values[e];
        assert_memory_equal(want, have, sizeof want);
    }
    csr_done(&got);
    csr_done(&m);
}

static void neighbours_are_the_nearest_and_the_cell_itself_comes_first(void **state)
{
    enum { N = 700, D = 7, K = 9 };
    float *x = mem_must(N * D * sizeof *x);
    Rng rng = rng_make(5, 0);
    for (size_t i = 0; i < N * D; i++)
        x[i] = (float)rng_normal(&rng);
    memcpy(x + 50 * D, x + 3 * D, D * sizeof *x); /* twins */
    Knn k;
    assert_ok(knn_exact(NULL, x, N, D, K, NULL, &k));
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(k.indices[i * K], i);
        assert_true(k.distances[i * K] == 0);
        size_t closer = 0, within = 0;
        double last = k.distances[i * K + K - 1];
        for (size_t j = 0; j < N; j++) {
            double d = 0;
            for (size_t c = 0; c < D; c++)
                d += pow((double)x[i * D + c] - x[j * D + c], 2);
            closer += j != i && sqrt(d) < last * (1 - 1e-6);
            within += j != i && sqrt(d) <= last * (1 + 1e-6);
        }
        assert_true(closer <= K - 2 && within >= K - 1); /* equal ones: twins at the end of the list */
        for (size_t j = 1; j < K; j++)
            assert_true(k.distances[i * K + j] >= k.distances[i * K + j - 1]);
    }
    assert_int_equal(k.indices[3 * K + 1], 50);
    assert_int_equal(k.indices[50 * K + 1], 3);
    knn_done(&k);
    x[5] = NAN;
    assert_err(knn_exact(NULL, x, N, D, K, NULL, &k), ERR_INPUT);
    x[5] = 0;
    assert_ok(knn_exact(NULL, x, 6, D, K, NULL, &k)); /* as scanpy: 1 + n / 2 */
    assert_int_equal(k.k, 4);
    knn_done(&k);
    free(x);
}

static void few_lists_find_the_share_of_neighbours_asked_for(void **state)
{
    enum { N = 4000, D = 10, K = 10 };
    float *x = mem_must(N * D * sizeof *x);
    Knn exact, near, all;
    for (size_t i = 0; i < N; i++) {
        Rng rng = rng_make(21, i);
        for (size_t c = 0; c < D; c++)
            x[i * D + c] = (float)(rng_normal(&rng) + (c == i % 5 ? 6 : 0));
    }
    assert_ok(knn_exact(NULL, x, N, D, K, NULL, &exact));
    assert_ok(knn_approximate(NULL, x, N, D, K, 0.95, 1, NULL, &near));
    assert_ok(knn_approximate(NULL, x, N, D, K, 1, 1, NULL, &all));
    size_t hits = 0, hits_all = 0;
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(near.indices[i * K], i);
        for (size_t j = 0; j < K; j++)
            for (size_t o = 0; o < K; o++) {
                hits += exact.indices[i * K + j] == near.indices[i * K + o];
                hits_all += exact.indices[i * K + j] == all.indices[i * K + o];
            }
    }
    assert_true(near.recall >= 0.95 && near.recall <= 1);
    assert_true(fabs((double)hits / (N * K) - near.recall) < 0.02); /* what it says is so */
    assert_true(hits_all > 0.998 * N * K);
    knn_done(&exact);
    knn_done(&near);
    knn_done(&all);
    free(x);
}

static void new_cells_land_among_their_like(void **state)
{
    enum { N = 200, M = 20 };
    float x[N * 3], xy[N * 2], cells[M * 3], got[M * 2];
    Rng rng = rng_make(9, 0);
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < 3; c++) {
            x[i * 3 + c] = (float)(rng_normal(&rng) + (i % 2 ? 20 : 0));
            if (c < 2)
                xy[i * 2 + c] = (float)(rng_normal(&rng) + (i % 2 ? 8 : -8));
        }
    xy[0] = NAN; /* a reference cell without a place */
    for (size_t i = 0; i < M * 3; i++)
        cells[i] = (float)(rng_normal(&rng) + (i / 3 % 2 ? 20 : 0));
    ProjectParams p = project_params_default();
    for (int mean_only = 0; mean_only < 2; mean_only++) {
        p.epochs = mean_only ? -1 : 0;
        assert_ok(project_cells(NULL, x, N, xy, cells, M, 3, &p, NULL, got));
        for (size_t i = 0; i < M; i++) {
            double dx = got[2 * i] - (i % 2 ? 8 : -8), dy = got[2 * i + 1] - (i % 2 ? 8 : -8);
            assert_true(hypot(dx, dy) < 4);
        }
    }
    for (size_t i = 0; i < 2 * N; i++)
        xy[i] = NAN;
    assert_err(project_cells(NULL, x, N, xy, cells, M, 3, &p, NULL, got), ERR_FEW_GENES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clusters_are_the_types_and_have_a_map),
        TEST(a_new_resolution_only_reruns_leiden),
        TEST(either_flavour_of_variable_genes_can_be_asked_for),
        TEST(without_counts_seurat_v3_is_refused),
        TEST(one_seed_gives_one_answer),
        TEST(cancelled_anywhere_it_goes_on_from_the_stage_reached),
        TEST(wrong_parameters_are_refused),
        TEST(a_stored_representation_serves_instead_of_components),
        TEST(markers_of_a_type_are_its_own_genes),
        TEST(two_sets_are_compared_with_each_other_only),
        TEST(a_selection_is_clustered_for_itself),
        TEST(merged_groups_take_the_first_ones_place),
        TEST(colours_follow_the_cells),
        TEST(a_score_is_high_where_its_genes_are),
        TEST(quality_measures_count_what_is_there),
        TEST(few_lists_find_the_share_of_neighbours_asked_for),
        TEST(picked_rows_and_columns_are_those_asked_for),
        TEST(neighbours_are_the_nearest_and_the_cell_itself_comes_first),
        TEST(new_cells_land_among_their_like),
    };
    return RUN(tests);
}
