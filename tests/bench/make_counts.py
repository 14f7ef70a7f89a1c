"""Synthetic counts for speed tests: python tests/bench/make_counts.py CELLS GENES OUT.h5ad [SEED]

22 types from a tree of profiles, four programs that vary within types, log-normal depth (median 700
counts): about 600 genes a cell. Written as CSR float32 with obs/type.
"""
import sys

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp


def make(n, genes, seed=0, types=22, block=20000):
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.25, 1.0, genes) + 1e-3
    branch = [base * rng.lognormal(0, 0.5, genes) for _ in range(5)]
    profiles = [branch[t % 5] * np.where(rng.random(genes) < 0.05, rng.lognormal(0, 2.0, genes), 1) for t in range(types)]
    profiles += [base * np.where(rng.random(genes) < 0.04, rng.lognormal(1, 1.5, genes), 0.3) for _ in range(4)]
    cdf = np.array([np.cumsum(p / p.sum()) for p in profiles])
    share = rng.dirichlet(np.full(types, 1.5))
    kind = rng.choice(types, n, p=share).astype(np.int32)
    parts = []
    for first in range(0, n, block):
        k = kind[first : first + block]
        depth = np.maximum(rng.lognormal(np.log(700), 0.4, len(k)).astype(np.int64), 50)
        cell = np.repeat(np.arange(len(k)), depth)
        program = 0.35 * rng.random((len(k), 4)) ** 3
        u = rng.random(len(cell))
        comp = k[cell].astype(np.int64)
        edge = np.cumsum(program, axis=1)
        for j in range(3, -1, -1):
            comp[u < edge[cell, j]] = types + j
        gene = np.empty(len(cell), dtype=np.int32)
        for c in range(types + 4):
            at = np.flatnonzero(comp == c)
            gene[at] = np.searchsorted(cdf[c], rng.random(len(at)))
        np.minimum(gene, genes - 1, out=gene)
        m = sp.csr_matrix((np.ones(len(cell), np.float32), (cell, gene)), shape=(len(k), genes))
        m.sum_duplicates()
        parts.append(m)
    X = sp.vstack(parts, format="csr")
    obs = pd.DataFrame({"type": pd.Categorical([f"t{t}" for t in kind])}, index=[f"c{i}" for i in range(n)])
    return ad.AnnData(X, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(genes)]))


if __name__ == "__main__":
    n, genes, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    a = make(n, genes, int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    a.write_h5ad(out)
    print(a.shape, a.X.nnz, "values,", a.X.nnz / n, "a cell")
