"""Large files, ours beside Python's: every measurement is a process of its own, timed from its start to its end with its peak
memory (wait4), the file in the page cache, the best of RUNS (3; of the slow peers 1). Prints a table with the ratios and
the goals. usage: large.py SCMMGPT FILE[=LABEL]...   (environment: RUNS, THREADS, PEERS=0 leaves Python out)"""
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

program, files = os.path.abspath(sys.argv[1]), sys.argv[2:]
runs, threads, peers = int(os.environ.get("RUNS", 3)), os.environ.get("THREADS", "2"), os.environ.get("PEERS", "1") != "0"
env = dict(os.environ, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads, MKL_NUM_THREADS=threads,
           NUMBA_NUM_THREADS=threads, MPLBACKEND="Agg")
folder = tempfile.mkdtemp(prefix="scmmgpt-bench-")
env["XDG_CACHE_HOME"] = folder

PEERS = {
    "info": "import anndata; a = anndata.read_h5ad(F, backed='r'); print(a)",
    "info, plain": "import anndata; a = anndata.read_h5ad(F); print(a)",
    "plot": "import scanpy as sc; a = sc.read_h5ad(F, backed='r'); sc.pl.umap(a, color='cell_type', show=False, save=False)\n"
            "import matplotlib.pyplot as p; p.savefig(O + '.png')",
    "gene": "import anndata, numpy as np; a = anndata.read_h5ad(F, backed='r'); g = a[:, G].X\n"
            "g = g[:].toarray() if hasattr(g, 'toarray') else np.asarray(g); print(g.sum())",
    "gene, plain": "import anndata; a = anndata.read_h5ad(F); print(a[:, G].X.sum())",
}


def once(command):
    """Seconds and MB of one process; None when it failed. Memory comes from GNU time: what wait4 tells would count this
    interpreter's own, from which the process was split."""
    t = time.perf_counter()
    child = subprocess.run(["/usr/bin/time", "-q", "-f", "%M", "-o", "peak"] + command, env=env, cwd=folder,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    seconds = time.perf_counter() - t
    if child.returncode:
        print("failed:", " ".join(command)[:100], child.stderr.decode()[-300:], file=sys.stderr)
        return None
    return seconds, int(open(f"{folder}/peak").read().split()[-1]) / 1024


def best(command, n):
    got = [r for r in (once(command) for _ in range(n)) if r]
    return (min(g[0] for g in got), max(g[1] for g in got)) if got else None


def column(path):
    """Seconds of a gene's column in an open file, as the program measures it itself."""
    got = subprocess.run([program, "bench", path, "--parts", "gene", "--runs", "5", "--json", "-q"], env=env, capture_output=True)
    return json.loads(got.stdout)["parts"]["gene"]["value"]


def first_frame(path):
    """Seconds until the explorer shows points, and its peak memory by then."""
    t = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(env, TERM="xterm-256color", LANG="C.UTF-8")
        os.execv(program, [program, path])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    seen, result = b"", None
    while result is None and time.perf_counter() - t < 60:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                break
            if len(re.findall(rb"\xe2[\xa0-\xa3][\x80-\xbf]", seen)) > 40: # dots of the map, not a sign of life
                peak = re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{pid}/status").read())
                result = time.perf_counter() - t, int(peak[1]) / 1024
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(fd)
    return result


def show(what, ours, theirs, goal):
    if not ours:
        print(f"{what:34} failed")
        return
    line = f"{what:34} {ours[0]:8.3f} s {ours[1]:7.0f} MB"
    if theirs:
        memory = f"{theirs[1] / ours[1]:5.1f}x" if ours[1] else ""
        line += f"   {theirs[0]:8.2f} s {theirs[1]:7.0f} MB   {theirs[0] / ours[0]:6.0f}x {memory:6}"
    else:
        line += " " * 45
    print(f"{line}   {goal}", flush=True)


def python(what, path, n):
    if not peers:
        return None
    body = f"F, O, G = {path!r}, {os.path.join(folder, 'peer')!r}, 'GENE5'\n" + PEERS[what]
    return best([sys.executable, "-W", "ignore", "-c", body], n)


for item in files:
    path, _, label = item.partition("=")
    path, label = os.path.abspath(path), label or os.path.basename(path)
    with open(path, "rb") as f: # into the page cache
        while f.read(1 << 24):
            pass
    size = os.path.getsize(path)
    big, goal = size > 2 << 30, 80 if size > 2 << 30 else 60 if size > 100 << 20 else 50
    n = 1 if big else runs
    gene = [program, "expr", path, "GENE5", "-q", "--force", "-o", "gene.tsv"]
    print(f"\n{label}: {size / 1e9:.2f} GB, {threads} threads, load {os.getloadavg()[0]:.1f}\n"
          f"{'':34} {'scmmgpt':>21}   {'Python':>22}   {'time':>7} {'mem':>6}   goal")
    theirs = python("plot", path, n)
    show("open to first plot (plot, PNG)", best([program, "plot", path, "--color", "cell_type", "-q", "--force", "-o", "map.png"], runs),
         theirs, f"{goal}x, 1/15")
    show("open to first map (explorer)", min((r for r in (first_frame(path) for _ in range(runs)) if r), default=None), theirs,
         f"{goal}x, 1/15; 1 s, 300 MB at 1 M")
    info = [program, "info", path]
    show("info (Python: backed)", best(info, runs), python("info", path, n), "50x, 12 MB + names")
    show("info (Python: plain)", best(info, runs), python("info, plain", path, 1), "")
    first = best(gene, runs)
    backed = python("gene", path, 1)
    show("gene, first time (Python: backed)", first, backed, "10x, 64 MB")
    show("gene, first time (Python: plain)", first, python("gene, plain", path, 1), "10x, 64 MB")
    show("copy by genes, once, behind", once([program, "cache", "build", path, "-q"]), None, "")
    show("gene, from then on (expr, a table)", best(gene, runs), backed, "")
    show("gene, from then on, the column", (column(path), 0), backed, "100x, 0.1 s at 1 M")
    show("copy removed", once([program, "cache", "clear", "-q"]), None, "")
subprocess.run(["rm", "-rf", folder])
