"""Speed and memory beside scanpy: python tests/bench/analysis.py [CELLS,CELLS,...] [--cores 0,1] [--keep DIR]

For each number of cells (default 2638,68000): synthetic counts (make_counts.py, 13,714 or 22,890 genes), then on the same
two cores `scmmgpt cluster` and `markers` and, in a process of its own, scanpy's normalize_total, log1p,
highly_variable_genes, pca, neighbors, umap, leiden (igraph) and rank_genes_groups on 22 groups. Ours counts from reading
the file; the whole process (start, reading, writing) is printed too. The peer's imports are left out, and its reading
too. The tests are timed alone, on log-normalised values in memory (ours by tests/bench/ranks.c), and from file to table,
where both read, normalise and test.
Above 20,000 cells the peer's Wilcoxon, which takes its genes one after the other, is timed on 2,000 of them, taken evenly,
and scaled to all.
Columns: wall seconds, processor seconds, peak memory.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("SCMMGPT", os.path.join(HERE, "../../build/scmmgpt"))
RANKS = os.path.join(os.path.dirname(PROGRAM), "tests/bench/ranks")
METHODS = ("t-test", "wilcoxon")
PART_CELLS, PART_GENES = 20000, 2000


def peer(path):
    """Runs in a process of its own; prints {step: [wall, cpu]}."""
    import warnings

    import numpy as np
    import scanpy as sc
    import scipy.sparse as sp

    if not hasattr(sp.csr_array, "getnnz"):  # scanpy 1.11 with scipy 1.17
        sp.csr_array.getnnz = sp.csr_array._getnnz
    warnings.filterwarnings("ignore")
    start = time.time(), time.process_time()
    a = sc.read_h5ad(path)
    steps = {"read": [time.time() - start[0], time.process_time() - start[1]]}

    def step(name, f, *args, **kw):
        wall, cpu = time.time(), time.process_time()
        f(*args, **kw)
        steps[name] = [time.time() - wall, time.process_time() - cpu]

    step("normalise", lambda: (sc.pp.normalize_total(a, target_sum=1e4), sc.pp.log1p(a)))
    step("variable genes", sc.pp.highly_variable_genes, a, n_top_genes=2000)
    step("components", sc.pp.pca, a, n_comps=50)
    step("neighbours", sc.pp.neighbors, a, n_neighbors=15, n_pcs=50)
    step("map", sc.tl.umap, a)
    step("clusters", sc.tl.leiden, a, flavor="igraph", n_iterations=2, directed=False)
    steps["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if "--no-markers" not in sys.argv:
        for m in METHODS:
            part = m == "wilcoxon" and a.n_obs > PART_CELLS and a.n_vars > PART_GENES
            b = a[:, np.linspace(0, a.n_vars - 1, PART_GENES).astype(int)].copy() if part else a
            step(m, sc.tl.rank_genes_groups, b, "type", method=m, pts=True, **({"tie_correct": True} if m == "wilcoxon" else {}))
            steps[m] = [t * a.n_vars / b.n_vars for t in steps[m]]
    print(json.dumps(steps))


def run(argv, cores):
    """(stdout, wall, cpu, peak MB) of a command on some cores; ours without stages kept by earlier runs."""
    env = dict(os.environ, XDG_CACHE_HOME=os.path.join(tempfile.gettempdir(), f"scmmgpt-bench-{os.getpid()}"), SCMMGPT_CACHE_AFTER="1e9")
    for k in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[k] = str(len(cores.split(",")))
    start = time.time()
    p = subprocess.Popen(["taskset", "-c", cores] + argv, stdout=subprocess.PIPE, env=env)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    if status:
        sys.exit(f"{argv[0]} failed ({status})")
    return out, time.time() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def tests_alone(path, folder, cores):
    """{method: [wall, cpu]}, peak MB: ours, on values in memory."""
    import h5py
    import numpy as np

    with h5py.File(path) as f:
        codes = f["obs/type/codes"][:].astype(np.int32)
    codes.tofile(os.path.join(folder, "codes.i32"))
    out, _, _, peak = run([RANKS, path, os.path.join(folder, "codes.i32"), str(codes.max() + 1)], cores)
    return {name: [float(wall), float(cpu)] for name, wall, cpu in (line.split() for line in out.decode().splitlines())}, peak


def row(name, ours, theirs):
    ratio = lambda i: theirs[i] / ours[i] if theirs and ours[i] else float("nan")
    text = f"{name:22s} {ours[0]:8.2f} {ours[1]:8.2f} {ours[2]:8.0f} MB"
    if theirs:
        text += f"   {theirs[0]:8.2f} {theirs[1]:8.2f} {theirs[2]:8.0f} MB   {ratio(0):6.1f} x  {ratio(1):6.1f} x cpu  {ratio(2):5.1f} x memory"
    print(text, flush=True)


def compare(cells, folder, cores, markers, with_peer):
    path = os.path.join(folder, f"bench_{cells}.h5ad")
    if not os.path.exists(path):
        subprocess.check_call([sys.executable, os.path.join(HERE, "make_counts.py"), str(cells), "13714" if cells < 10000 else "22890", path])
    theirs = None
    if with_peer:
        out, *_ = run([sys.executable, os.path.abspath(__file__), "--peer", path] + ([] if markers else ["--no-markers"]), cores)
        theirs = json.loads(out.splitlines()[-1])
    print(f"\n{cells} cells{'':14s}{'ours: wall, cpu, peak':>30s}{'scanpy' if theirs else '':>24s}")
    out, wall, cpu, peak = run([PROGRAM, "cluster", path, "-o", os.path.join(folder, "out.h5ad"), "--force", "--json", "-q"], cores)
    inner = json.loads(out)
    total = None
    if theirs:
        steps = [v for k, v in theirs.items() if k not in METHODS + ("read", "peak")]
        total = [sum(s[0] for s in steps), sum(s[1] for s in steps), theirs["peak"]]
        for k, v in theirs.items():
            if k != "peak":
                print(f"    scanpy {k:16s} {v[0]:8.2f} {v[1]:8.2f}")
    row("normalise to clusters", [inner["seconds"], inner["cpu_seconds"], peak], total)
    row("  whole process", [wall, cpu, peak], total)
    alone, alone_peak = tests_alone(path, folder, cores) if markers and os.path.exists(RANKS) else ({}, 0)
    for m in METHODS if markers else ():
        name = m + (" (scaled)" if theirs and m == "wilcoxon" and cells > PART_CELLS else "")
        steps = lambda *names: [sum(theirs[k][i] for k in names) for i in (0, 1)] + [theirs["peak"]] if theirs else None
        if m in alone:
            row(name + ", alone", alone[m] + [alone_peak], steps(m))
        _, wall, cpu, peak = run([PROGRAM, "markers", path, "--groupby", "type", "--method", m, "--top", "100", "-o", os.path.join(folder, "out.tsv"), "--force", "-q"], cores)
        row("  file to table", [wall, cpu, peak], steps("read", "normalise", m))


if __name__ == "__main__":
    if "--peer" in sys.argv:
        peer(sys.argv[sys.argv.index("--peer") + 1])
        sys.exit()
    p = argparse.ArgumentParser()
    p.add_argument("cells", nargs="?", default="2638,68000")
    p.add_argument("--cores", default="0,1")
    p.add_argument("--keep", default=None, help="folder for the data, kept for the next run")
    p.add_argument("--no-markers", action="store_true")
    p.add_argument("--no-peer", action="store_true")
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as t:
        for c in o.cells.split(","):
            compare(int(c), o.keep or t, o.cores, not o.no_markers, not o.no_peer)
