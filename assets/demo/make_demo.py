"""Writes immune_559.h5ad from the sample set inside the PyPI package celltypist (MIT, see LICENSE.celltypist).

559 immune cells x 32,786 genes, raw counts, without labels or an embedding: the program has to find out what they are.
Usage: python make_demo.py PATH/TO/celltypist/data/samples/sample_cell_by_gene.csv immune_559.h5ad
The shipped file was then packed with `h5repack -f SHUF -f GZIP=9`.
Made with anndata 0.12.19, pandas as installed with it; the CSV's SHA-256 goes into uns/source.
"""
import hashlib
import sys

import anndata
import numpy
import pandas
import scipy.sparse


def main(csv_path, out_path):
    table = pandas.read_csv(csv_path, index_col=0)
    values = table.to_numpy()
    counts = numpy.rint(values)  # stored with rounding noise in the last decimals
    assert numpy.abs(counts - values).max() < 1e-3 and counts.min() >= 0, "not counts"
    data = anndata.AnnData(
        X=scipy.sparse.csr_matrix(counts.astype(numpy.float32)),
        obs=pandas.DataFrame(index=table.index.astype(str)),
        var=pandas.DataFrame(index=table.columns.astype(str)),
    )
    with open(csv_path, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    data.uns["source"] = "PyPI celltypist, data/samples/sample_cell_by_gene.csv, MIT, SHA-256 " + digest
    data.write_h5ad(out_path, compression="gzip", compression_opts=9)
    print(data.shape, data.X.nnz, "non-zeros")


if __name__ == "__main__":
    main(*sys.argv[1:])
