"""An adapter that changes both uses of a shared table, and its logits by peft, added to tests/golden/ckpt.
Made with torch 2.15, transformers 5.23, peft 0.21, seed 8. usage, from the top (peft keeps
the path in adapter_config.json): ckpt_adapter.py tests/golden/ckpt"""
import os, sys
import h5py, numpy as np, peft, torch, transformers
out = sys.argv[1]
torch.manual_seed(8)
base = transformers.LlamaForCausalLM.from_pretrained(os.path.join(out, "llama_tied"))
m = peft.get_peft_model(base, peft.LoraConfig(r=2, lora_alpha=6, target_modules=["embed_tokens", "lm_head", "k_proj"])).eval()
with torch.no_grad():
    for n, p in m.named_parameters():
        if "lora_" in n: p.copy_(torch.randn_like(p) * .2)
m.save_pretrained(os.path.join(out, "adapter_tables"), save_embedding_layers=False)
os.remove(os.path.join(out, "adapter_tables", "README.md"))
with h5py.File(os.path.join(out, "in.h5")) as f: ids = torch.tensor(np.maximum(f["lm_ids"][:], 0)).long()
with h5py.File(os.path.join(out, "expected.h5"), "a") as f, torch.no_grad():
    f.pop("lm/adapter_tables", None) if "lm/adapter_tables" in f else None
    f["lm/adapter_tables"] = m(ids).logits
# rows of their own for three tokens
base = transformers.LlamaForCausalLM.from_pretrained(os.path.join(out, "llama"))
m = peft.get_peft_model(base, peft.LoraConfig(r=2, lora_alpha=6, target_modules=["v_proj"], trainable_token_indices={"embed_tokens": [9, 3, 20]})).eval()
with torch.no_grad():
    for n, p in m.named_parameters():
        if p.requires_grad: p.copy_(torch.randn_like(p) * .2)
m.save_pretrained(os.path.join(out, "adapter_tokens"), save_embedding_layers=False)
os.remove(os.path.join(out, "adapter_tokens", "README.md"))
with h5py.File(os.path.join(out, "expected.h5"), "a") as f, torch.no_grad():
    if "lm/adapter_tokens" in f: del f["lm/adapter_tokens"]
    f["lm/adapter_tokens"] = m(ids).logits
