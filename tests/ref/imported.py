"""A whole model from tiny public-layout parts (scGPT folder with vocabulary out of order, BERT folder, Llama
folder, both Lightning files), a file of cells, and what PyTorch and transformers compute for those cells,
texts and prompts. Output: tests/golden/imported/. Made with torch 2.15, transformers 5.23, seed 11.
usage: imported.py OUTDIR"""
import json, os, shutil, sys, tempfile
from collections import OrderedDict
import numpy as np, torch, torch.nn.functional as F, transformers, h5py, anndata, scipy.sparse as sp
from safetensors.torch import save_file
out = os.path.abspath(sys.argv[1]); here = os.path.dirname(os.path.abspath(__file__))
sys.argv = ["ckpt.py", tempfile.mkdtemp()]; sys.path.insert(0, here)
import ckpt as C                                        # its classes; sizes are set below
torch.manual_seed(11); rng = np.random.default_rng(11)
def path(*p):
    q = os.path.join(out, *p); os.makedirs(os.path.dirname(q), exist_ok=True); return q
genes = []
for f in ("blood", "epithelial"):
    for t in json.load(open(os.path.join(here, "../../assets/celltypes", f + ".json"))):
        genes += [g for g in t.get("markers", {}).get("high", t.get("high", [])) if g not in genes]
genes = (genes + [f"GENE{i}" for i in range(200)])[:160]
N = C.GENES = len(genes)

# ---- files ----
cell = C.cell = C.Cell(); C.randomise(cell)
order = rng.permutation(N + 3)                          # specials are anywhere
vocab = {g: int(order[i]) for i, g in enumerate(genes + ["<pad>", "<cls>", "<eoc>"])}
json.dump(vocab, open(path("scgpt", "vocab.json"), "w"))
json.dump(dict(embsize=C.W, nheads=C.HEADS, d_hid=C.FFN, nlayers=C.LAYERS, pad_token="<pad>", input_style="binned", n_bins=51, max_seq_len=61), open(path("scgpt", "args.json"), "w"))
torch.save(cell.state_dict(), path("scgpt", "best_model.pt"))
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("abcdefghijklmnopqrstuvwxyz0123456789+-,.:/()") + ["##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"]
words += ["cell", "type", "t", "is", "with", "blood", "##cell"][:2] + ["with", "blood", "lymph", "##ocyte"]
C.V = V = len(words); open(path("bert", "vocab.txt"), "w").write("".join(w + "\n" for w in words))
bc = transformers.BertConfig(vocab_size=V, hidden_size=C.QW, num_hidden_layers=C.QL, num_attention_heads=C.QH, intermediate_size=C.QF, max_position_embeddings=32)
bc.save_pretrained(os.path.join(out, "bert"))
s1 = C.Stage1(); keep = {k: v.clone() for k, v in cell.state_dict().items()}; C.randomise(s1, .3); cell.load_state_dict(keep)
torch.save({"state_dict": OrderedDict(("blip2qformer." + k, v) for k, v in s1.state_dict().items()), "hyper_parameters": {}}, path("stage1.ckpt"))
shutil.copy(os.path.join(here, "../golden/tokens/spm.model"), path("llama", "tokenizer.model"))
tok = transformers.LlamaTokenizer(path("llama", "tokenizer.model"), legacy=True) if False else None
import sentencepiece
spm = sentencepiece.SentencePieceProcessor(path("llama", "tokenizer.model")); S0 = spm.vocab_size()
Q, H, E = C.QN, 16, C.E
lc = transformers.LlamaConfig(vocab_size=S0, hidden_size=H, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2)
lm = transformers.LlamaForCausalLM(lc).eval()
lm.resize_token_embeddings(S0 + Q + 3, mean_resizing=False); C.randomise(lm, .3)
lc.vocab_size = S0; lc.save_pretrained(os.path.join(out, "llama"))  # as published: the grown rows are in the Lightning file alone
s2 = C.Stage2(); C.randomise(s2, .3)
s2.expr_decoder.gene_embed = torch.nn.Embedding(N + 5, E); s2.expr_decoder.mlp[2].bias.data += .7
st = OrderedDict()
for k, v in s1.state_dict().items():
    if k.startswith(("query_tokens", "ln_gene", "cell_encoder")) or (k.startswith("Qformer.bert") and ("crossattention" in k or ".attention" in k or "_query" in k)):
        st["blip2lm." + k] = v
for k, v in s2.state_dict().items(): st["blip2lm." + k] = v
for k, v in lm.state_dict().items(): st["blip2lm.llm_model.base_model.model." + k] = v
torch.save({"state_dict": st, "hyper_parameters": {}}, path("stage2.ckpt"))

# ---- cells: some genes unknown, some cells long, one empty ----
n, extra = 24, [f"UNKNOWN{i}" for i in range(10)]
names = [genes[i] for i in rng.permutation(N)] + extra
p = rng.gamma(.4, 1, (n, len(names))); p /= p.sum(1, keepdims=True)
x = rng.poisson(p * rng.integers(200, 1500, (n, 1))).astype(np.float32); x[5] = 0
a = anndata.AnnData(sp.csr_matrix(x)); a.var_names = names; a.obs_names = [f"c{i}" for i in range(n)]
a.write_h5ad(path("cells.h5ad"), compression="gzip")

# ---- answers ----
def rows(x):
    g, v = [], []
    for r in x:
        k = [i for i in np.nonzero(r)[0] if names[i] in vocab]
        g.append([vocab["<cls>"]] + [vocab[names[i]] for i in k]); v.append([-2.] + [float(r[i]) for i in k])
    L = max(map(len, g)); G = torch.full((len(g), L), vocab["<pad>"]); U = torch.zeros(len(g), L)
    for i in range(len(g)): G[i, :len(g[i])] = torch.tensor(g[i]); U[i, :len(v[i])] = torch.tensor(v[i])
    return G, U
texts = ["cell type: blood cell.", "CD4+ T cell with CD19", "lymphocyte"]
bt = transformers.BertTokenizerFast(path("bert", "vocab.txt")) if False else None
def wordpiece(t):
    import tokenizers
    tk = tokenizers.BertWordPieceTokenizer(path("bert", "vocab.txt"), lowercase=True); return tk.encode(t).ids
cell.eval; cell.train()
with torch.no_grad(), h5py.File(path("expected.h5"), "w") as f:
    G, U = rows(x); pad = G == vocab["<pad>"]; h = cell(G, U, pad); gm = ~pad
    hq, _ = s1.run(True, None, s1.ln_gene(h), gm, None, "")
    cf = F.normalize(s1.cell_proj(hq), dim=-1)
    f["X_scgpt"] = F.normalize(h[:, 0], dim=-1); f["X_scmmgpt"] = F.normalize(cf.mean(1), dim=-1)
    sim, match, tf = [], [], []
    for t in texts:
        I = torch.tensor([wordpiece(t)]); M = torch.ones(I.shape)
        _, ht = s1.run(False, I, None, None, M, ""); e = F.normalize(s1.text_proj(ht[:, 0]), dim=-1); tf.append(e[0])
        sim.append(torch.einsum("bqd,d->bq", cf, e[0]).max(1)[0])
        B = len(G); l = s1.gtm_head(s1.run(True, I.expand(B, -1), s1.ln_gene(h), gm, M.expand(B, -1), "")[0]).mean(1)
        match.append(l.softmax(-1)[:, 1])
    f["texts"], f["sim"], f["match"] = torch.stack(tf), torch.stack(sim, 1), torch.stack(match, 1)
    proj = s2.llm_proj.fc2(torch.relu(s2.llm_proj.fc1(hq)))
    emb = lm.get_input_embeddings(); cellid = S0 + 1
    for i in range(3):
        e = torch.cat([emb(torch.tensor([[1, cellid]])), proj[i:i + 1], emb(torch.tensor([[cellid + Q + 1]]))], 1)
        for name, beams in (("greedy", 1), ("beam5", 5)):
            lm.generation_config.pad_token_id = 0
            ids = lm.generate(inputs_embeds=e, attention_mask=torch.ones(e.shape[:2]), max_new_tokens=24, min_new_tokens=8, num_beams=beams, do_sample=False, early_stopping=False, length_penalty=1.0)[0]
            f[f"tell/{name}{i}"] = np.array(ids)
    prompt = "B cell with CD19 and MS4A1"
    ids = [1] + spm.encode(prompt) + [cellid] + list(range(cellid + 1, cellid + 1 + Q)) + [cellid + Q + 1, 2]
    hs = lm.model(torch.tensor([ids])).last_hidden_state[0]; at = ids.index(cellid + 1)
    d = s2.expr_decoder; gi = torch.tensor([[vocab[g] if g in vocab and vocab[g] < N + 5 else 0 for g in names]])
    ge = d.gene_embed(gi); k, val = d.cell_proj(hs[at][None, None]).split(E, -1)
    y = d.mlp(torch.cat([d.cross_attn(ge, k, val)[0], ge], -1))[0, :, 0].numpy()
    rate = np.expm1(np.maximum(y, 0)); rate[[g not in vocab for g in names]] = 0
    f["expr"], f["share"] = y, rate / rate.sum()
    # values as scGPT bins them (left edge of ties) on one long cell
    v = np.sort(x[0][x[0] > 0]); edges = np.quantile(v.astype(np.float32), np.linspace(0, 1, 50))
    f["bin_x"], f["bin_left"], f["bin_right"] = v, np.digitize(v, edges), np.digitize(v, edges, right=True)
print("rate>0:", (rate > 0).sum(), {k: os.path.getsize(os.path.join(out, k)) for k in os.listdir(out)})
