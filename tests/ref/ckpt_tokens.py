"""Tiny tokenizers of every style, and the ids and texts that sentencepiece, tokenizers and transformers
give on a nasty corpus. sentencepiece 0.2.3, tokenizers 0.23, transformers 5.23. usage: ckpt_tokens.py OUTDIR"""
import io, json, os, random, sys
import sentencepiece as spm, tokenizers as tk
from tokenizers import models, trainers, pre_tokenizers, decoders, normalizers, processors, Regex
out = sys.argv[1]; os.makedirs(out, exist_ok=True)
random.seed(3)
base = ["The quick brown fox jumps over the lazy dog's back; it's 1234567 times faster than I'd've thought.",
        "CD8-positive, alpha-beta T cell (CL:0000625) expresses CD3E, CD8A and GZMK; naïve B cells café déjà vu.",
        "B-cell receptor signalling, we'll see you're 'they'LL", "Häuser Straße Ελλάδα Россия 日本語の文章 中文字符 한국어 العربية עברית हिन्दी"]
nasty = ["", " ", "  ", "a", " a", "a ", "  leading and   runs    of spaces  ", "tabs\tand\nnewlines\r\n\r\nmore\n\n", "emoji 👩‍👩‍👧‍👦 🇩🇪 ❤️ 🤷🏽‍♀️!", "combining é ñ Å Ǆ ﬁ ½ ①",
         "zero\u200bwidth\u200d\ufeffbom", "controls \x01\x02\x7f\x85 nbsp\u00a0x\u3000y\u2028z", "<s> hello</s>world <unk>", "[CLS] x [SEP] [MASK]y [UNK]", "▁under▁score ▁", "ΣΑΣ ΟΔΟΣ İstanbul ǅ ẞ",
         "1 12 123 1234 12345 3.14159 ١٢٣ ²³ Ⅷ", "it's IT'S 'Sx 'ſ don't WON'T", "!!!???...---___***", "\u0301\u0301start", "a" * 150, "ab" * 300, "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠮷 \U0010ffff", "x\n y\n\n  z \n", " \n", "\n ", "foo  \n  bar", "<0x41><0x0A>", "<tok>a <tok> b<tok><tok>"]
for _ in range(60):
    nasty.append("".join(random.choice(["a", "b", " ", "  ", "the", "'s", "é", "日", "\n", "9", "12", "🤖", "-", "T cell", "\t", "ſ", "CD", "\u00a0", "▁", "<s>"]) for _ in range(random.randint(1, 14))))
corpus = nasty + base
def lines(): return (base * 30)
# SentencePiece, Llama style
buf = io.BytesIO()
spm.SentencePieceTrainer.train(sentence_iterator=iter(lines()), model_writer=buf, model_type="bpe", vocab_size=480, byte_fallback=True, normalization_rule_name="identity",
    remove_extra_whitespaces=False, character_coverage=0.98, split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2)
open(os.path.join(out, "spm.model"), "wb").write(buf.getvalue()); sp = spm.SentencePieceProcessor(model_proto=buf.getvalue())
plain = [s for s in corpus if not any(x in s for x in ("<s>", "</s>", "<unk>"))]
gold = {"spm": [dict(text=s, ids=[1] + sp.encode(s), decoded=sp.decode(sp.encode(s))) for s in plain]}
def save(name, t):
    t.save(os.path.join(out, name + ".json"))
    gold[name] = [dict(text=s, ids=t.encode(s).ids, decoded=t.decode(t.encode(s, add_special_tokens=False).ids, skip_special_tokens=False)) for s in corpus]
def bytelevel(name, pre, **kw):
    t = tk.Tokenizer(models.BPE(**kw)); t.pre_tokenizer = pre; t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines(), trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>", "</s>"], show_progress=False))
    t.add_special_tokens([tk.AddedToken("<tok>", lstrip=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)]); save(name, t)
bytelevel("gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True))
L3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
bytelevel("llama3", pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(L3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), ignore_merges=True)
# Llama-2 style json from the same pieces
vocab = {sp.id_to_piece(i): i for i in range(sp.vocab_size())}
merges = sorted(((vocab[a + b], a, b) for p in vocab for k in range(1, len(p)) for a, b in [(p[:k], p[k:])] if a in vocab and b in vocab and not p.startswith("<")), key=lambda x: x[0])
t = tk.Tokenizer(models.BPE(vocab=vocab, merges=[(a, b) for _, a, b in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
t.add_special_tokens(["<unk>", "<s>", "</s>", "<tok>"]); t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)]); save("llama2", t)
t.normalizer = None; t.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", False); save("metaspace", t)
# WordPiece
w = tk.BertWordPieceTokenizer(lowercase=True); w.train_from_iterator(lines(), vocab_size=300, show_progress=False)
vp = w.save_model(out)[0]; 
for name, low in (("bert", True), ("bert_cased", False)):
    b = tk.BertWordPieceTokenizer(vp, lowercase=low); tt = b._tokenizer; tt.decoder = decoders.WordPiece("##", cleanup=False); tt.add_special_tokens(["[MASK]"]); save(name, tt)
json.dump(gold, open(os.path.join(out, "expected.json"), "w"), ensure_ascii=True, separators=(",", ":"))
