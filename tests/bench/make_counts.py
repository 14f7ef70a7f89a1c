"""Synthetic counts for speed tests: python tests/bench/make_counts.py CELLS GENES OUT.h5ad [SEED]

22 types from a tree of profiles, four programs that vary within types, log-normal depth (median 700
counts): about 600 genes a cell. Written block by block as CSR float32 with obs/type: a million cells of
30,000 genes take 5 GB of disk and 2 GB of memory.
"""
import sys

import h5py
import numpy as np
import scipy.sparse as sp


def blocks(n, genes, seed=0, types=22, block=20000):
    """Types of all cells, then (counts of the next cells) block by block."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.25, 1.0, genes) + 1e-3
    branch = [base * rng.lognormal(0, 0.5, genes) for _ in range(5)]
    profiles = [branch[t % 5] * np.where(rng.random(genes) < 0.05, rng.lognormal(0, 2.0, genes), 1) for t in range(types)]
    profiles += [base * np.where(rng.random(genes) < 0.04, rng.lognormal(1, 1.5, genes), 0.3) for _ in range(4)]
    cdf = np.array([np.cumsum(p / p.sum()) for p in profiles])
    share = rng.dirichlet(np.full(types, 1.5))
    kind = rng.choice(types, n, p=share).astype(np.int32)
    yield kind
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
        yield m


def encode(x, name, version="0.2.0"):
    x.attrs["encoding-type"], x.attrs["encoding-version"] = name, version
    return x


def frame(h, name, index, columns):
    text = h5py.string_dtype("utf-8")
    g = encode(h.create_group(name), "dataframe")
    g.attrs["_index"] = "_index"
    g.attrs.create("column-order", columns, dtype=text, shape=(len(columns),))
    encode(g.create_dataset("_index", data=index, dtype=text), "string-array")
    return g


def write(n, genes, out, seed=0, types=22):
    made = blocks(n, genes, seed, types)
    kind = next(made)
    with h5py.File(out, "w") as h:
        encode(h, "anndata", "0.1.0")
        obs = frame(h, "obs", [f"c{i}" for i in range(n)], ["type"])
        frame(h, "var", [f"g{i}" for i in range(genes)], [])
        c = encode(obs.create_group("type"), "categorical")
        c.attrs["ordered"] = False
        encode(c.create_dataset("codes", data=kind.astype("i1")), "array")
        names = [f"t{t}" for t in range(types)]
        encode(c.create_dataset("categories", data=names, dtype=h5py.string_dtype("utf-8")), "string-array")
        x = encode(h.create_group("X"), "csr_matrix", "0.1.0")
        x.attrs["shape"] = np.array([n, genes])
        data = x.create_dataset("data", (0,), "f4", maxshape=(None,), chunks=(1 << 18,))
        indices = x.create_dataset("indices", (0,), "i4", maxshape=(None,), chunks=(1 << 18,))
        ptr = [np.zeros(1, "i8")]
        for m in made:
            end = int(ptr[-1][-1])
            ptr.append(end + m.indptr[1:].astype("i8"))
            for d, v in ((data, m.data), (indices, m.indices)):
                d.resize((end + m.nnz,))
                d[end:] = v
        x.create_dataset("indptr", data=np.concatenate(ptr).astype("i4" if ptr[-1][-1] < 2**31 else "i8"))  # as scipy does
        for k in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            encode(h.create_group(k), "dict", "0.1.0")
    return int(ptr[-1][-1])


if __name__ == "__main__":
    n, genes, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    nnz = write(n, genes, out, int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    print(f"{n} x {genes}: {nnz} values, {nnz / n:.0f} a cell")
