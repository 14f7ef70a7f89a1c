"""Checks that `scmmgpt export` gives files that torch and transformers load, and that both sides then compute the same.
Made with torch 2.15, transformers 5.23. usage: export.py build/scmmgpt [BUNDLE]"""
import json, os, shutil, subprocess, sys, tempfile
import h5py, numpy as np, torch, transformers
from safetensors.torch import load_file
here = os.path.dirname(os.path.abspath(__file__)); tmp = tempfile.mkdtemp()
program, bundle = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
def run(*a): subprocess.run([program, *a, "-q"], check=True, stdout=subprocess.DEVNULL)
def model(): return ["--model", bundle] if bundle else []
run("export", *model(), "--to", "hf", "-o", tmp + "/hf"); run("export", *model(), "--to", "scgpt", "-o", tmp + "/scgpt")
torch.manual_seed(3); rng = np.random.default_rng(3)
def forward(imported, **inputs):
    with h5py.File(tmp + "/in.h5", "w") as f:
        for k, v in inputs.items(): f[k] = v
    run("forward", "--model", imported, "--input", tmp + "/in.h5", "--output", tmp + "/out.h5", "--force")
    with h5py.File(tmp + "/out.h5") as f: return {k: f[k][:] for k in f}
def worst(name, a, b, most):
    d = float(np.abs(a - b).max() / max(1e-9, np.sqrt((b ** 2).mean())))
    print(f"{name}: largest difference {d:.2e} of the RMS (allowed {most:.0e})"); assert d < most, name

# BERT
if os.path.exists(tmp + "/hf/vocab.txt"):
    bert = transformers.AutoModel.from_pretrained(tmp + "/hf").eval(); tok = transformers.AutoTokenizer.from_pretrained(tmp + "/hf")
    ids = tok(["CD4 T cell with CD40LG", "plasma cell"], padding=True, return_tensors="pt")
    run("import", "--bert", tmp + "/hf", "-o", tmp + "/b")
    with torch.no_grad(): want = bert(input_ids=ids.input_ids, attention_mask=ids.attention_mask).last_hidden_state.numpy()
    got = forward(tmp + "/b", text_ids=ids.input_ids.numpy().astype(np.int32), text_mask=ids.attention_mask.numpy().astype(np.int8))["text_hidden"]
    m = ids.attention_mask.numpy().astype(bool); worst("BERT", got[m], want[m], 1e-4)
    ours = json.loads(subprocess.check_output([program, "tokenize", *(model() or ["--model", os.path.join(here, "../../assets/model/mini-1")]), "--json", "CD4 T cell with CD40LG"]))["ids"]
    assert ours == tok("CD4 T cell with CD40LG").input_ids, "tokens differ"
# Llama
lm = tmp + "/hf/lm" if os.path.exists(tmp + "/hf/lm") else tmp + "/hf" if json.load(open(tmp + "/hf/config.json")).get("model_type") == "llama" else None
if lm:
    llama = transformers.AutoModelForCausalLM.from_pretrained(lm).eval(); ids = rng.integers(3, llama.config.vocab_size, (2, 20))
    run("import", "--llama", lm, "-o", tmp + "/l")
    with torch.no_grad(): want = llama(torch.tensor(ids)).logits.numpy()
    worst("Llama", forward(tmp + "/l", lm_ids=ids.astype(np.int32))["lm_logits"], want, 1e-4)
    if not bundle:
        lt = transformers.AutoTokenizer.from_pretrained(lm); llama.generation_config.pad_token_id = 0
        for t in ["This is a", "It expresses", "  two  blanks (caf\u00e9), end.", ""]:
            for beams in ("1", "5"):
                j = json.loads(subprocess.check_output([program, "lm", t, "--json", "--max-new-tokens", "24", "--beams", beams]))
                ids = torch.tensor([j["prompt_ids"]]); assert lt(t).input_ids == j["prompt_ids"], "the decoder's tokens differ"
                o = llama.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, num_beams=int(beams), early_stopping=False, length_penalty=1.0)[0, ids.shape[1]:].tolist()
                assert o == j["ids"] and lt.decode(o, skip_special_tokens=True) == j["text"], "the decoder's words differ"
        print("decoder: tokens, greedy and five beams equal")
# scGPT: loaded with weights_only, run by torch's own layers
args, vocab = json.load(open(tmp + "/scgpt/args.json")), json.load(open(tmp + "/scgpt/vocab.json"))
sd = torch.load(tmp + "/scgpt/best_model.pt", weights_only=True)
sys.argv = ["ckpt.py", tempfile.mkdtemp()]; sys.path.insert(0, here)
import ckpt as C
C.W, C.HEADS, C.FFN, C.LAYERS = args["embsize"], args["nheads"], args["d_hid"], args["nlayers"]; C.GENES = sd["encoder.embedding.weight"].shape[0] - 3
cell = C.Cell().train(); print(cell.load_state_dict({k.replace("self_attn.Wqkv.", "self_attn.in_proj_"): v for k, v in sd.items()}, strict=True))
g = rng.integers(0, C.GENES - 5, (3, 40)); g[:, 0] = vocab["<cls>"]; v = rng.random((3, 40)).astype(np.float32) * 5; v[:, 0] = -2
run("import", "--scgpt", tmp + "/scgpt", "-o", tmp + "/c")
with torch.no_grad(): want = cell(torch.tensor(g), torch.tensor(v), torch.zeros(3, 40, dtype=torch.bool)).numpy()
worst("scGPT", forward(tmp + "/c", gene_ids=g.astype(np.int32), values=v)["cell_hidden"], want, 1e-4)
s = load_file(tmp + "/hf/stage1.safetensors"); print("stage 1:", len(s), "tensors, e.g.", sorted(s)[0])
shutil.rmtree(tmp)
