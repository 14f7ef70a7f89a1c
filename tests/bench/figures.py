#!/usr/bin/env python3
"""The same data drawn by scanpy (pl.umap, pl.dotplot, pl.violin, pl.heatmap, pl.matrixplot; pandas for a stacked composition, which
scanpy has not) and by `scmmgpt plot`, at print size, on one sheet: as they
are, in greyscale and with simulated deuteranopia (Machado et al. 2009). To be looked at.

usage: figures.py SCMMGPT OUT.png     (scanpy 1.11.5, its own sample pbmc68k_reduced: 700 cells; pillow)
"""
import os
import subprocess
import sys
import tempfile

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
from PIL import Image, ImageDraw, ImageFont

DPI, MM = 250, 85
WIDTH = round(MM / 25.4 * DPI)
KEY, GENES = "bulk_labels", ["CD3D", "CD79A", "MS4A1", "NKG7", "GNLY", "CST3", "LYZ", "FCER1A", "FCGR3A"]


def peer(path, draw):
    """As scanpy draws it, shrunk (never enlarged) to the width of one column."""
    draw()
    plt.savefig(path, dpi=DPI, bbox_inches="tight")
    plt.close("all")
    image = Image.open(path).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.LANCZOS)
    return image


def ours(program, data, path, *options):
    subprocess.run([program, "plot", data, *options, "-o", path, "--size", f"{MM}mm", "--dpi", str(DPI), "--force", "-q"], check=True)
    return Image.open(path).convert("RGB")


def seen(image, matrix):
    c = np.asarray(image) / 255.0
    lin = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    lin = np.clip(lin @ np.array(matrix).T, 0, 1)
    out = np.where(lin <= 0.0031308, 12.92 * lin, 1.055 * lin ** (1 / 2.4) - 0.055)
    return Image.fromarray((out * 255 + 0.5).astype(np.uint8))


GREY = [[0.2126, 0.7152, 0.0722]] * 3
DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]


def composition(a):
    table = a.obs.groupby(["phase", KEY], observed=True).size().unstack(fill_value=0)
    (100 * table.div(table.sum(axis=1), axis=0)).plot.barh(stacked=True).legend(bbox_to_anchor=(1, 1))


def sheet(rows, titles):
    gap, head = 40, 60
    heights = [max(i.height for i in row) for row in rows]
    page = Image.new("RGB", (len(titles) * (WIDTH + gap) + gap, head + sum(h + gap for h in heights)), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.truetype(os.path.join(os.path.dirname(matplotlib.__file__), "mpl-data/fonts/ttf/DejaVuSans-Bold.ttf"), 24)
    for k, title in enumerate(titles):
        pen.text((gap + k * (WIDTH + gap), 14), title, fill="black", font=font)
    y = head
    for row, h in zip(rows, heights):
        pen.line([(gap, y - gap // 3), (page.width - gap, y - gap // 3)], fill="#cccccc", width=2)
        for k, image in enumerate(row):
            page.paste(image, (gap + k * (WIDTH + gap), y))
        y += h + gap
    return page


def main():
    program, out = sys.argv[1], sys.argv[2]
    a = sc.datasets.pbmc68k_reduced()
    with tempfile.TemporaryDirectory() as folder:
        p = lambda name: os.path.join(folder, name)
        a.write_h5ad(p("stored.h5ad"))
        del a.uns[KEY + "_colors"]
        a.write_h5ad(p("plain.h5ad"))
        pairs = [
            (peer(p("1.png"), lambda: sc.pl.umap(a, color=KEY, show=False)), ours(program, p("plain.h5ad"), p("1o.png"), "--color", KEY)),
            (peer(p("2.png"), lambda: sc.pl.umap(a, color=["CD3D", "CST3"], show=False)),
             ours(program, p("plain.h5ad"), p("2o.png"), "--color", "CD3D", "--color", "CST3")),
            (peer(p("3.png"), lambda: sc.pl.dotplot(a, GENES, groupby=KEY, show=False)),
             ours(program, p("plain.h5ad"), p("3o.png"), "--kind", "dotplot", "--groupby", KEY, "--genes", ",".join(GENES))),
            (peer(p("4.png"), lambda: sc.pl.violin(a, ["CD3D", "CST3"], groupby=KEY, rotation=90, stripplot=False, show=False)),
             ours(program, p("plain.h5ad"), p("4o.png"), "--kind", "violin", "--groupby", KEY, "--genes", "CD3D,CST3")),
            (peer(p("5.png"), lambda: sc.pl.heatmap(a, GENES, groupby=KEY, show=False, swap_axes=True)),
             ours(program, p("plain.h5ad"), p("5o.png"), "--kind", "heatmap", "--groupby", KEY, "--genes", ",".join(GENES))),
            (peer(p("6.png"), lambda: sc.pl.matrixplot(a, GENES, groupby=KEY, show=False)),
             ours(program, p("plain.h5ad"), p("6o.png"), "--kind", "matrix", "--groupby", KEY, "--genes", ",".join(GENES))),
            (peer(p("7.png"), lambda: composition(a)),
             ours(program, p("plain.h5ad"), p("7o.png"), "--kind", "composition", "--groupby", "phase", "--color", KEY)),
            (peer(p("8.png"), lambda: sc.pl.umap(a, color=KEY, legend_loc="on data", show=False)),
             ours(program, p("plain.h5ad"), p("8o.png"), "--color", KEY, "--legend", "data")),
            (peer(p("9.png"), lambda: plt.hist(a.obs["n_counts"], bins=40)),
             ours(program, p("plain.h5ad"), p("9o.png"), "--kind", "histogram", "--color", "n_counts")),
        ]
    rows = [(x, y, seen(x, DEUTAN), seen(y, DEUTAN), seen(x, GREY), seen(y, GREY)) for x, y in pairs]
    names = ["scanpy", "scmmgpt"]
    sheet(rows, names + [f"{n}, deuteranopia" for n in names] + [f"{n}, greyscale" for n in names]).save(out)


if __name__ == "__main__":
    main()
