#!/usr/bin/env python3
"""How long Ctrl-C takes: starts commands, sends SIGINT at many moments, waits for the end of the process.

usage: cancel.py PROGRAM MOMENTS FILE...      (files of any format; nothing but Python's library is needed)

Each command runs once undisturbed, then MOMENTS times with a SIGINT at evenly spread moments. Every time the exit code
must be 130 (or 0, when it was done already), stderr one line, and no temporary file left; an output is whole or not there.
One line a command: seconds undisturbed, median and largest milliseconds from the signal to the end.
COMMANDS: which of them, joined by commas (default all); MODEL=0 leaves out those that need the model.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

program, moments, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
model = os.environ.get("MODEL") != "0"
wanted = os.environ.get("COMMANDS", "").split(",") if os.environ.get("COMMANDS") else None
folder = tempfile.mkdtemp(prefix="cancel", dir=os.environ.get("TMPDIR"))
env = dict(os.environ, XDG_CACHE_HOME=folder + "/cache", SCMMGPT_CACHE_AFTER="1e9")
out = folder + "/out"


def commands(f):
    yield ["info", f]
    yield ["genes", f, "ACTB"]
    yield ["expr", f, os.environ.get("GENE", "CD3E"), "-o", out + "/t.tsv"]
    yield ["convert", f, "-o", out + "/c.h5ad"]
    yield ["cluster", f, "-o", out + "/c.h5ad"]
    if group := os.environ.get("GROUP", "type"):
        for method in ("wilcoxon", "t-test"):
            yield ["markers", f, "--groupby", group, "--method", method, "-o", out + "/t.tsv"]
        yield ["plot", f, "--kind", "dotplot", "--groupby", group, "-o", out + "/f.svg"]
    yield ["cache", "build", f]
    if model:
        yield ["embed", f, "-o", out + "/c.h5ad"]
        yield ["annotate", f, "-o", out + "/t.tsv"]
        yield ["describe", f, "--cells", "all", "-n", "200", "--json"]
        yield ["query", f, "cytotoxic cells", "-o", out + "/t.tsv"]
        yield ["generate", "B cells", "-n", "200", "--like", f, "-o", out + "/c.h5ad"]


def run(args, after=None):
    """Seconds (from the signal, where there is one), exit code, stderr."""
    start = time.perf_counter()
    p = subprocess.Popen([program, *args, "-q"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         start_new_session=True)
    if after is not None:
        try:
            p.wait(max(0, after))
        except subprocess.TimeoutExpired:
            start = time.perf_counter()
            os.killpg(p.pid, signal.SIGINT)  # as a terminal does: to the whole group
    text = p.communicate()[1].decode(errors="replace")
    return time.perf_counter() - start, p.returncode, text


def leftovers():
    found = []
    for at, _, names in os.walk(folder):
        found += [os.path.join(at, n) for n in names if n.startswith(".") or n.endswith(".tmp") or at != out]
    return found


def clean():
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(out)


bad = 0
try:
    clean()
    for f in files:
        for args in commands(f):
            if wanted and args[0] not in wanted:
                continue
            clean()
            whole, code, text = run(args)
            label = " ".join(os.path.basename(a) if a == f else a for a in args if not a.startswith(out) and a != "-o")
            if code:
                print(f"{label}: exit {code} {text.strip().splitlines()[-1:]}")
                continue
            times = []
            for i in range(moments):
                clean()
                t, code, text = run(args, whole * (i + 0.5) / moments)
                left = leftovers()
                if code == 0:  # it was faster this time
                    continue
                early = code == -signal.SIGINT and not text  # before main()
                if not early and (code != 130 or len(text.splitlines()) > 1 or left):
                    print(f"  {label}, at {whole * (i + 0.5) / moments:.2f} s: exit {code}, {text!r}, left {left}")
                    bad += 1
                times.append((1000 * t, whole * (i + 0.5) / moments))
            if times:
                times.sort()
                print(f"{label:60} {whole:6.2f} s  median {times[len(times) // 2][0]:4.0f}  largest {times[-1][0]:4.0f} ms "
                      f"(at {times[-1][1]:.2f} s)", flush=True)
finally:
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(1 if bad else 0)
