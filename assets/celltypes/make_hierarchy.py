#!/usr/bin/env python3
"""Makes hierarchy.tsv (id, name, parents) from the Cell Ontology as JSON.

Facts only: identifiers, names and is-a links; the Cell Ontology is CC BY 4.0
(https://obophenotype.github.io/cell-ontology/). Usage: make_hierarchy.py CL.json > hierarchy.tsv
"""
import json
import sys

onto = json.load(open(sys.argv[1]))
terms = onto.get("terms", onto)
print("id\tname\tparents")
for cid in sorted(terms):
    t = terms[cid]
    if not cid.startswith("CL:") or t.get("deprecated"):
        continue
    anc = t.get("ancestors", {})
    parents = sorted(a for a, d in anc.items() if d == 1 and a.startswith("CL:"))
    print(cid, t["label"], " ".join(parents), sep="\t")
