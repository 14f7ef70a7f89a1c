"""What sentence-transformers makes of tests/golden/ckpt/bert with a mean and unit length behind it, added to expected.h5.
Made with torch 2.15, transformers 5.23, sentence-transformers 6.2. usage: ckpt_sentence.py tests/golden/ckpt"""
import os, sys
import h5py, numpy as np, sentence_transformers as st, torch
from sentence_transformers import models
out = sys.argv[1]
bert = models.Transformer(os.path.join(out, "bert"))
m = st.SentenceTransformer(modules=[bert, models.Pooling(bert.get_word_embedding_dimension(), "mean"), models.Normalize()]).eval()
with h5py.File(os.path.join(out, "in.h5")) as f: ids, mask = (torch.tensor(f[k][:]).long() for k in ("text_ids", "text_mask"))
with torch.no_grad(): x = m({"input_ids": ids, "attention_mask": mask})["sentence_embedding"].numpy()
with h5py.File(os.path.join(out, "expected.h5"), "a") as f:
    if "text_emb" in f: del f["text_emb"]
    f["text_emb"] = x
print(x.shape, np.linalg.norm(x, axis=1))
