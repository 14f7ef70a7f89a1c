#!/usr/bin/env python3
"""Writes mouse_to_human.tsv.gz: mouse gene symbols with their one human counterpart.

usage: make_orthologs.py Ensembl105_Human2Mouse_Genes.csv > mouse_to_human.tsv.gz

The input has human,mouse symbol pairs of Ensembl release 105 (as in the PyPI package celltypist, data/samples). Kept are
the pairs that are one to one in both directions. Lines: mouse TAB human, sorted; the same output for the same input.
"""
import collections
import csv
import gzip
import sys

to_mouse, to_human = collections.defaultdict(set), collections.defaultdict(set)
with open(sys.argv[1], newline="") as f:
    for row in csv.reader(f):
        if len(row) >= 2 and row[0] and row[1]:
            to_mouse[row[0]].add(row[1])
            to_human[row[1]].add(row[0])
pairs = sorted((m, min(h)) for m, h in to_human.items() if len(h) == 1 and len(to_mouse[min(h)]) == 1)
sys.stdout.buffer.write(gzip.compress("".join(f"{m}\t{h}\n" for m, h in pairs).encode(), 9, mtime=0))
