"""Reference numbers for tests/test_analysis*.c, written to tests/golden/analysis.txt.

Synthetic counts (seed 7), so that no dataset is copied. Made with scanpy 1.11.5, umap-learn 0.5.12,
scikit-learn 1.9.1, scikit-misc 0.5.3, leidenalg 0.12.0, igraph 1.0.0, numpy 2.4.6.
Usage: python tests/ref/analysis.py [OUT]
"""
import sys
import warnings

import anndata as ad
import igraph
import leidenalg
import numpy as np
import scanpy as sc
import scipy.sparse as sp
from scipy import stats
from skmisc.loess import loess
from sklearn.manifold import trustworthiness
from umap.umap_ import find_ab_params

warnings.filterwarnings("ignore")
OUT = open(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/analysis.txt", "w")


def put(name, values):
    v = np.asarray(values, dtype=np.float64).ravel()
    OUT.write(name + "".join(" %.9g" % x for x in v) + "\n")


OUT.write("# tests/ref/analysis.py, seed 7: scanpy 1.11.5, umap-learn 0.5.12, scikit-learn 1.9.1, scikit-misc 0.5.3, leidenalg 0.12.0\n")
rng = np.random.default_rng(7)
n, genes, groups = 150, 300, 3
group = rng.integers(0, groups, n)
base = rng.gamma(0.4, 1.0, genes)
effect = np.ones((groups, genes))
for g in range(groups):
    effect[g, rng.choice(genes, 30, replace=False)] = rng.gamma(2.0, 3.0, 30)
depth = rng.lognormal(0, 0.35, n)
counts = rng.poisson(rng.gamma(2.0, 0.5, (n, genes)) * base * effect[group] * depth[:, None])
counts[:, :4] = 0
counts[3, 2] = 1  # a gene of one cell, and one of none
X = sp.csr_matrix(counts.astype(np.float32))
put("shape", [n, genes, X.nnz])
put("indptr", X.indptr)
put("indices", X.indices)
put("counts", X.data)
put("group", group)

a = ad.AnnData(X.copy())
sc.pp.highly_variable_genes(a, flavor="seurat_v3", n_top_genes=60)
put("hvg_v3", np.flatnonzero(a.var.highly_variable))
put("hvg_v3_variances", a.var.variances_norm)
sc.pp.normalize_total(a, target_sum=1e4)
sc.pp.log1p(a)
put("lognorm", a.X.data)  # numpy's float32 log1p is not the C library's to the last bit: the tests below take these
sc.pp.highly_variable_genes(a, flavor="seurat", n_top_genes=60)
put("hvg_seurat", np.flatnonzero(a.var.highly_variable))

x = np.sort(rng.normal(0, 1, 120).round(2))
y = np.sin(x) + 0.1 * rng.normal(size=120)
fit = loess(x, y, span=0.3, degree=2)
fit.fit()
put("loess_x", x)
put("loess_y", y)
put("loess_fit", fit.outputs.fitted_values)

sc.pp.pca(a, n_comps=10, svd_solver="arpack")
put("pca", a.obsm["X_pca"])
put("pca_ratio", a.uns["pca"]["variance_ratio"])

sc.pp.neighbors(a, n_neighbors=10, n_pcs=10)
C, D = a.obsp["connectivities"].tocsr(), a.obsp["distances"].tocsr()
C.sort_indices(), D.sort_indices()
for name, m in (("conn", C), ("dist", D)):
    put(name + "_indptr", m.indptr)
    put(name + "_indices", m.indices)
    put(name + "_values", m.data)

put("ab", [v for s, d in ((1.0, 0.5), (1.0, 0.1), (2.0, 0.3)) for v in find_ab_params(s, d)])
sc.tl.umap(a)
put("umap_trust", [trustworthiness(a.obsm["X_pca"], a.obsm["X_umap"], n_neighbors=15)])
few = ad.AnnData(sp.csr_matrix((20, 1)), obsm={"X_pca": a.obsm["X_pca"][:20]})
sc.pp.neighbors(few, n_neighbors=15, use_rep="X_pca")
maps = [sc.tl.umap(few, random_state=seed, copy=True).obsm["X_umap"] for seed in range(40)]
put("umap_trust_few", [np.mean([trustworthiness(few.obsm["X_pca"], xy, n_neighbors=9) for xy in maps])])

g = igraph.Graph.Weighted_Adjacency(sp.triu(C).tocoo(), mode="undirected")
best = max(
    g.modularity(
        leidenalg.find_partition(
            g, leidenalg.RBConfigurationVertexPartition, weights="weight", seed=seed, n_iterations=2
        ).membership,
        weights="weight",
    )
    for seed in range(5)
)
put("leiden_modularity", [best])

a.obs["group"] = [str(v) for v in group]
a.obs["group"] = a.obs["group"].astype("category")
for method, key in (("wilcoxon", "wilcoxon"), ("t-test", "ttest")):
    kw = dict(tie_correct=True) if method == "wilcoxon" else {}
    sc.tl.rank_genes_groups(a, "group", method=method, pts=True, **kw)
    r = a.uns["rank_genes_groups"]
    lfc = np.empty((groups, genes))
    pv, adj = lfc.copy(), lfc.copy()
    for c in range(groups):
        order = [int(v) for v in r["names"][str(c)]]
        lfc[c, order] = r["logfoldchanges"][str(c)]
        pv[c, order] = r["pvals"][str(c)]
        adj[c, order] = r["pvals_adj"][str(c)]
    if method == "wilcoxon":
        put("logfoldchange", lfc)
        put("frac_in", r["pts"].to_numpy().T)
        put("frac_out", r["pts_rest"].to_numpy().T)
    put(key + "_pval", pv)
    put(key + "_padj", adj)
# scanpy stores scores as float32; here in double, by its own classes
from scanpy.tools._rank_genes_groups import _RankGenes

t = _RankGenes(a, "all", "group")
put("wilcoxon_score", np.array([s for _, s, _ in t.wilcoxon(tie_correct=True)]))
put("ttest_score", np.array([s for _, s, _ in t.t_test("t-test")]))
pairs = [(0.5, 3.2), (2.0, 1.0), (12.0, 40.5), (38.0, 900.3), (1e-3, 5.0), (60.0, 61000.7), (250.0, 12.5)]
put("student", [v for q, df in pairs for v in (q, df, 2 * stats.t.sf(q, df))])

# score_genes: bins of 12 genes, so that every gene of a bin is a control and nothing is drawn
a.var_names = [f"g{i}" for i in range(genes)]
sc.tl.score_genes(a, ["g10", "g25", "g77", "g150", "g299"])
put("score_genes", a.obs["score"])

# smoothing: (I + lambda L)^-1 P0
W = C.toarray()
root = 1 / np.sqrt(W.sum(1))
L = np.eye(n) - root[:, None] * W * root[None]
P0 = np.eye(groups)[group]
put("smooth", np.linalg.solve(np.eye(n) + 2.0 * L, P0))
OUT.close()
