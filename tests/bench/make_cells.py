#!/usr/bin/env python3
"""Writes a large synthetic h5ad for measuring: N cells, 20,000 genes, about 700 counts a cell, obs, X_umap.

usage: make_cells.py N OUT.h5ad [gzip]     (h5py, numpy; 1,000,000 cells take 6 GB of disk and little memory)
Seed 0; written in blocks, in anndata's current encodings.
"""
import sys

import h5py
import numpy as np

n, out = int(sys.argv[1]), sys.argv[2]
kw = {"compression": "gzip", "compression_opts": 4} if "gzip" in sys.argv[3:] else {}
genes, rng = 20000, np.random.default_rng(0)
popular = rng.permutation(genes)
S = h5py.string_dtype("utf-8")


def encode(x, kind, version="0.2.0"):
    x.attrs["encoding-type"], x.attrs["encoding-version"] = kind, version
    return x


def frame(h, name, index, columns):
    g = encode(h.create_group(name), "dataframe")
    g.attrs["_index"] = "_index"
    g.attrs.create("column-order", columns, dtype=S, shape=(len(columns),))
    encode(g.create_dataset("_index", data=index, dtype=S), "string-array")
    return g


with h5py.File(out, "w") as h:
    encode(h, "anndata", "0.1.0")
    obs = frame(h, "obs", [f"CELL{i:08d}-1" for i in range(n)], ["cell_type", "n_counts"])
    c = encode(obs.create_group("cell_type"), "categorical")
    c.attrs["ordered"] = False
    kind = rng.integers(0, 20, n).astype("i1")
    encode(c.create_dataset("codes", data=kind), "array")
    encode(c.create_dataset("categories", data=[f"type {i}" for i in range(20)], dtype=S), "string-array")
    frame(h, "var", [f"GENE{i}" for i in range(genes)], [])
    encode(h.create_group("obsm"), "dict", "0.1.0")
    xy = (rng.normal(size=(n, 2)) + np.stack([np.cos(kind), np.sin(kind)], 1) * 8).astype("f4")
    encode(h["obsm"].create_dataset("X_umap", data=xy), "array")
    x = encode(h.create_group("X"), "csr_matrix", "0.1.0")
    x.attrs["shape"] = np.array([n, genes])
    data = x.create_dataset("data", (0,), "f4", maxshape=(None,), chunks=(1 << 18,), **kw)
    indices = x.create_dataset("indices", (0,), "i4", maxshape=(None,), chunks=(1 << 18,), **kw)
    ptr, total = [np.zeros(1, "i8")], np.zeros(n)
    for at in range(0, n, 10000):
        m, end = min(10000, n - at), int(ptr[-1][-1])
        draw = (genes * rng.random((m, 1100)) ** 2.2).astype("i4")
        draw.sort(1)
        keep = np.ones_like(draw, bool)
        keep[:, 1:] = draw[:, 1:] != draw[:, :-1]
        cols = np.sort(np.where(keep, popular[draw], genes), 1)
        keep = cols < genes
        values = np.ceil(rng.gamma(0.6, 2.0, keep.sum())).astype("f4")
        ptr.append(end + np.cumsum(keep.sum(1)))
        for d, v in ((data, values), (indices, cols[keep].astype("i4"))):
            d.resize((end + len(v),))
            d[end:] = v
        rows = np.repeat(np.arange(m), keep.sum(1))
        total[at : at + m] = np.bincount(rows, values, m)
    x.create_dataset("indptr", data=np.concatenate(ptr))
    encode(obs.create_dataset("n_counts", data=total), "array")
    for k in ("layers", "obsp", "uns", "varm", "varp"):
        encode(h.create_group(k), "dict", "0.1.0")
