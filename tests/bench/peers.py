"""The same work in Python, timed as `scmmgpt bench` prints it: part, value, unit, runs, what. Packages that are not there
are named and left out; imports are not part of the times, first runs (compilation) are not counted."""
import importlib.util
import statistics
import sys
import time
import warnings

warnings.simplefilter("ignore")
path, threads = sys.argv[1], int(sys.argv[2])


def have(name):
    if importlib.util.find_spec(name):
        return True
    print(f"== {name} is not installed, skipped")
    return False


def show(part, unit, work, run, what, runs=3, warm=1):
    for _ in range(warm):
        run()
    times = []
    for _ in range(runs):
        t = time.perf_counter()
        run()
        times.append(time.perf_counter() - t)
    t = statistics.median(times)
    print(f"{part}\t{t if unit == 's' else work / t:.6g}\t{unit}\t{runs}\t{what}", flush=True)


def scanpy_parts():
    import anndata
    import scanpy as sc

    print(f"== scanpy {sc.__version__}, anndata {anndata.__version__}")
    show("open", "s", 1, lambda: anndata.read_h5ad(path), "reads the whole file", runs=5)
    raw = anndata.read_h5ad(path)
    if "counts" in raw.layers:
        raw.X = raw.layers["counts"]

    def cluster():
        a = raw.copy()
        sc.pp.normalize_total(a, target_sum=1e4)
        sc.pp.log1p(a)
        sc.pp.highly_variable_genes(a, n_top_genes=min(2000, a.n_vars))
        sc.pp.pca(a, n_comps=min(50, a.n_obs - 1), mask_var="highly_variable")
        sc.pp.neighbors(a, n_neighbors=15)
        sc.tl.umap(a)
        sc.tl.leiden(a, flavor="igraph", n_iterations=2)
        return a

    show("cluster", "cells/s", raw.n_obs, cluster, "normalise, PCA, neighbours, UMAP, Leiden")


def torch_parts():
    import torch

    torch.set_num_threads(threads)
    print(f"== torch {torch.__version__}: an encoder as the shipped model's (2 x 128, 128 tokens), random weights, 3 members")
    layer = torch.nn.TransformerEncoderLayer(128, 4, 256, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    x = torch.randn(256, 129, 128)

    def run():
        with torch.inference_mode():
            for _ in range(3):
                encoder(x)

    show("embed", "cells/s", len(x), run, "encoder alone: no file, no gene table, no query transformer")


if have("scanpy"):
    scanpy_parts()
if have("torch"):
    torch_parts()
