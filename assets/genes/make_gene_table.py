#!/usr/bin/env python3
"""Writes human_genes.tsv.gz: gene symbols, their Ensembl ids and their other names.

usage: make_gene_table.py ENSEMBL_TABLE.tsv VOCAB.json > human_genes.tsv.gz

ENSEMBL_TABLE is a BioMart export with the columns gene id, gene name, synonym, type (here release 105 or later);
VOCAB is a JSON object whose keys are the gene symbols of the model. Kept are the symbols of the vocabulary and all
others that have synonyms. One line a symbol, sorted: symbol TAB ids (numbers of ENSG, comma-separated) TAB synonyms
(separated by |). The output is the same for the same input (no time stamp).
"""
import collections
import csv
import gzip
import json
import sys

table, vocab = sys.argv[1:3]
vocab = set(json.load(open(vocab)))
ids, synonyms = collections.defaultdict(set), collections.defaultdict(set)
with open(table, newline="") as f:
    for row in list(csv.reader(f, delimiter="\t"))[1:]:
        gene, symbol, synonym = row[0], row[1], row[2]
        if symbol and symbol != "NA" and gene.startswith("ENSG"):
            ids[symbol].add(int(gene[4:]))
            if synonym and synonym not in ("NA", symbol):
                synonyms[symbol].add(synonym)
lines = []
for symbol in sorted(ids):
    if symbol in vocab or synonyms[symbol]:
        numbers = ",".join(map(str, sorted(ids[symbol])))
        lines.append(f"{symbol}\t{numbers}\t{'|'.join(sorted(synonyms[symbol]))}\n")
sys.stdout.buffer.write(gzip.compress("".join(lines).encode(), 9, mtime=0))
