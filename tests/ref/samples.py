"""A file and the answer for tests/test_samples.c: tests/golden/samples.h5ad and .tsv.

scanpy 1.11.5, anndata 0.12.19, numpy seed 5: counts of 80 cells from five donors under two conditions (one donor has cells
under one condition only, four cells have no donor). The .tsv: counts summed by donor and condition, normalize_total, log1p,
rank_genes_groups (Welch's t) between the conditions; columns gene, score, logfoldchange, pval, pval_adj.
Usage: python tests/ref/samples.py [FOLDER]
"""
import sys
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp

warnings.filterwarnings("ignore")
folder = sys.argv[1] if len(sys.argv) > 1 else "tests/golden"
rng = np.random.default_rng(5)
n, genes = 80, 14
donor, side = rng.integers(0, 5, n), rng.integers(0, 2, n)
side[donor == 4] = 1
mean = rng.gamma(2, 1.0, genes) * rng.lognormal(0, 0.4, (5, genes))[donor] * np.where((np.arange(genes) < 3) & (side[:, None] == 0), 3, 1)
X = rng.poisson(mean).astype(np.float32)
X[:, 13] = 0
names = np.array([f"d{d}" for d in donor], dtype=object)
names[::20] = None
obs = pd.DataFrame({"donor": pd.Categorical(names), "condition": pd.Categorical([["ill", "well"][s] for s in side])}, index=[f"c{i}" for i in range(n)])
a = ad.AnnData(sp.csr_matrix(X), obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(genes)]))
a.write_h5ad(f"{folder}/samples.h5ad")
a = a[~a.obs.donor.isna()]
pairs = sorted({(d, c) for d, c in zip(a.obs.donor, a.obs.condition)})
sums = np.array([np.asarray(a.X[((a.obs.donor == d) & (a.obs.condition == c)).to_numpy()].sum(0)).ravel() for d, c in pairs])
b = ad.AnnData(sums.astype(np.float32), obs=pd.DataFrame({"condition": pd.Categorical([c for _, c in pairs])}, index=["-".join(p) for p in pairs]), var=a.var.copy())
sc.pp.normalize_total(b, target_sum=1e4)
sc.pp.log1p(b)
sc.tl.rank_genes_groups(b, "condition", groups=["ill"], reference="well", method="t-test")
sc.get.rank_genes_groups_df(b, "ill").to_csv(f"{folder}/samples.tsv", sep="\t", index=False)
