"""Tokenizers that are several files (vocab.txt, tokenizer.model, vocab.json with merges.txt; settings with added tokens beside
them), and the ids of edge cases: NULs, joiners, marks and punctuation of several versions of Unicode, accents kept, letters small or not.
transformers 4.46.3 (its slow BERT and Llama classes, else the fast ones), tokenizers 0.20.3, sentencepiece 0.2.3, seed 7. usage: ckpt_edges.py OUTDIR"""
import io, json, os, random, shutil, sys, unicodedata
import sentencepiece as spm
from transformers import AddedToken, BertTokenizer, BertTokenizerFast, GPT2TokenizerFast, LlamaTokenizer
from tokenizers import ByteLevelBPETokenizer
out = sys.argv[1]; shutil.rmtree(out, ignore_errors=True); os.makedirs(out)
r = random.Random(7)
texts = ["", " ", "  a", "a  ", "\x00", "a\x00b", "<s>\u200d", "<sw>\u200d", "<sw>\u200c", "<sw>_", "<sw>1", "a<sw>", "a <sw> b", "<sw>\u0301", "<sw>\u24b6", "<sw>\u0378", "<sw>\u20dd", "<nrm>a", "a<nrm>", " <nrm> ", "<l> a", "a \t<l>b", "a <r> \n b", "a\u3000<lr>\u2009b",
         "<lr><l><r>", "[MASK]a[mask] [DEC] [CLS]", "\u0130 i\u0307 I \u0131", "\u03a3\u0391\u03a3 \u1e9e\u00df", "\u00c9t\u00e9 e\u0301 E\u0301", "\u0041\u030a \u212b \u00c5", "\uac01\u1100\u1161\u11a8", "\u65e5\u672c\u8a9e a\u65e5b", "\u9fff\u3400\u4dc0 \ufa0e", "\U0002b81f\U0002b820\U0002b920", "\u3007\u3005\u30fb",
         "\u2581a \u2581", "\u00a0a\u00a0b\u2028c\u2029", "\u200ba\ufeff\u00ad", "\x1fa\x85b\x7f", "\ufffda\ufffe", "\ue000", "a\U0001e947b", "a\u1cd0b", "a\u0afab", "a\u2e43b", "a\u2e52b", "a\u1734b", "a\u166db", "a\u08e2b", "a\U00011e02b", "x" * 100, "x" * 101, "\u00e9" * 101, ". . .", "a.b,c!d'e-f_g", "don't DON'T I'LL", "1234567 1,000",
         "\U0001f469\u200d\U0001f52c \U0001f1e9\U0001f1ea \u2764\ufe0f", "a\n\n b\r\n\tc   d", "\ufb01 \u00bd \u2460 \uff21", "<0x41><0x0a>", "\u0e17\u0e22 \u0928\u092e \u05e2\u05d1", "a\u1fefb \u226f", "\U0010ffff\u0378"]
words = ["the", " cell", "T", "CD8", "\u00e9", "\u65e5", "\n", "12", "\U0001f916", "-", "\t", "\u017f", "\u00a0", "\u2581", "<s>", "<sw>", "<nrm>", "<l>", "<r>", "  ", "\u0301", "'s"]
texts += ["".join(r.choice(words) for _ in range(r.randint(2, 12))) for _ in range(50)]
texts = [t for t in texts if "\u2581<l" not in t]  # slow and fast differ
added = [AddedToken("<nrm>", normalized=True), AddedToken("<sw>", single_word=True, normalized=False), AddedToken("<l>", lstrip=True, normalized=False), AddedToken("<r>", rstrip=True, normalized=False), AddedToken("<lr>", lstrip=True, rstrip=True, special=True, normalized=False)]
gold = {"texts": [t.encode().hex() for t in texts], "ids": {}, "decoded": {}}
def keep(name, tower, t, files, decode=False):
    d = os.path.join(out, name); os.makedirs(d)
    t.save_pretrained("/tmp/edges_" + name)
    for a, b in files.items(): shutil.copy(f"/tmp/edges_{name}/{a}", f"{d}/{tower}_{b}")
    gold["ids"][name] = [t.encode(x) for x in texts]
    if decode: gold["decoded"][name] = [t.decode(t.encode(x, add_special_tokens=False), clean_up_tokenization_spaces=False).encode().hex() for x in texts]
chars = [chr(c) for c in range(33, 127)] + list("\u00e9\u00c9\u00e4\u00df\u0131\u03c3\u03b1\u03a3\u0391\u00c5\u65e5\u672c\u8a9e\u0301\u0307\u2581\u24b6\u1cd0\u0afa\u2e43\u2e52\u1734\u166d\u08e2\uac01\u1100\ufa0e\u3007") + ["\U0001e947", "\U00011e02", "\U0001f469"]
vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + chars + ["##" + c for c in chars] + ["the", "cell", "##cell", "CD8", "cd8", "don", "##on", "##xx", "xxxx"]
voc = "/tmp/edges_vocab.txt"; open(voc, "w", encoding="utf8").write("\n".join(vocab) + "\n")
for name, kw in dict(bert_small={}, bert_cased={"do_lower_case": False}, bert_accents={"strip_accents": False}, bert_bare={"do_lower_case": False, "strip_accents": True}, bert_words={"tokenize_chinese_chars": False}).items():
    keep(name, "text", BertTokenizer(voc, **kw), {"vocab.txt": "vocab.txt", "tokenizer_config.json": "tokenizer_config.json"})
    if name in ("bert_small", "bert_bare"): keep("fast_" + name, "text", BertTokenizerFast.from_pretrained("/tmp/edges_" + name), {"tokenizer.json": "tokenizer.json"})
lines = [t for t in texts if t.strip()] * 3 + ["the quick brown fox's cell, 12 of CD8 cells don't"] * 9
bpe = ByteLevelBPETokenizer(); bpe.train_from_iterator(lines, vocab_size=330, special_tokens=["<|endoftext|>"], show_progress=False)
os.makedirs("/tmp/edges_bpe", exist_ok=True); bpe.save_model("/tmp/edges_bpe")
files = {"vocab.json": "vocab.json", "merges.txt": "merges.txt", "tokenizer_config.json": "tokenizer_config.json"}
for name, kw in dict(gpt2={}, gpt2_prefix={"add_prefix_space": True, "add_bos_token": True}).items():
    t = GPT2TokenizerFast("/tmp/edges_bpe/vocab.json", "/tmp/edges_bpe/merges.txt", **kw)
    if name == "gpt2": t.add_tokens(added)
    keep(name, "lm", t, files, True)
buf = io.BytesIO(); clean = [t.replace("\x00", "").replace("\n", " ") for t in lines if all(ord(c) < 0x250 for c in t)]
spm.SentencePieceTrainer.train(sentence_iterator=iter(clean), model_writer=buf, model_type="bpe", vocab_size=360, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2, character_coverage=.98, allow_whitespace_only_pieces=True, hard_vocab_limit=False)
os.makedirs("/tmp/edges_spm", exist_ok=True); open("/tmp/edges_spm/tokenizer.model", "wb").write(buf.getvalue())
for name, kw in dict(llama=dict(legacy=True), llama_new=dict(legacy=False), llama_bare=dict(legacy=False, add_prefix_space=False)).items():
    t = LlamaTokenizer("/tmp/edges_spm/tokenizer.model", **kw); t.add_tokens(added[2:])
    keep(name, "lm", t, {"tokenizer.model": "tokenizer.model", "tokenizer_config.json": "tokenizer_config.json"})
json.dump(gold, open(os.path.join(out, "expected.json"), "w"), separators=(",", ":"))
