#!/bin/sh
# Import, forward, tokenize, lm and model on tiny checkpoints of public structure: exit codes, one line
# of error, no output left behind.
set -u
S=${SCMMGPT:-build/scmmgpt}
G=tests/golden/ckpt
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
fail() { echo "$1" >&2; exit 1; }
# expect CODE TEXT COMMAND...: exit code, one line on stderr that holds TEXT
expect() {
    code=$1 text=$2
    shift 2
    "$@" >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc -eq "$code" ] || fail "exit $rc, not $code: $* $(cat "$T/err")"
    [ "$(wc -l <"$T/err")" -eq 1 ] || fail "not one line: $(cat "$T/err")"
    grep -q -- "$text" "$T/err" || fail "'$text' is not in: $(cat "$T/err")"
}
cp -r $G/llama "$T/llama" || exit 1
cat >"$T/llama/tokenizer.json" <<'END'
{"added_tokens": [], "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": false},
 "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"<s>": {"ids": [1]}}},
 "decoder": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"},
 "model": {"type": "BPE", "unk_token": "<unk>", "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "_": 3, "-": 4, "5": 5, "c": 6, "e": 7, "l": 8, "s": 9, "ce": 10},
 "merges": [["c", "e"]]}}
END
$S import -q --scgpt $G/scgpt --bert $G/bert --llama "$T/llama" --lightning $G/stage1.ckpt -o "$T/b" >"$T/report" || fail import
grep -q "matched" "$T/report" && grep -q "flag_encoder.weight	unused" "$T/report" || fail report
$S model "$T/b" --verify >/dev/null || fail verify
$S model "$T/b" --json | tr -d '\n\t ' >"$T/model"
grep -q '"vocabularies":{"genes":43,"word_pieces":[1-9][0-9]*,"language_model":50}' "$T/model" && grep -q '"license":"[^"]' "$T/model" || fail "model --json"
$S import -q --scgpt $G/scgpt -o "$T/cells" >/dev/null && $S model "$T/cells" --json | tr -d '\n\t ' >"$T/model"
grep -q '"vocabularies":{"genes":43,"word_pieces":0,"language_model":0}' "$T/model" && ! grep -q text_width "$T/model" || fail "model --json of a cell encoder"
$S import -q --scgpt $G/scgpt --bert $G/bert --from-parts -o "$T/parts" >"$T/report" && grep -q "^gtm_head.weight	drawn" "$T/report" || fail "from parts"
[ "$(grep -c "	drawn	" "$T/report")" -eq "$(grep -c '^- `.*`$' "$T/parts/MODEL_CARD.md")" ] || fail "card"
grep -q "word_embeddings.weight.: its last row" "$T/parts/MODEL_CARD.md" || fail "card without [DEC]"
$S forward --model "$T/b" --input $G/in.h5 --output "$T/o.h5" || fail forward
$S tokenize --model "$T/b" --tower text "w1 w2" --json | tr -d '\n\t ' | grep -q '"ids":\[2,6,7,3\]' || fail tokenize
[ "$($S tokenize --model "$T/b" --tower lm --decode "$($S tokenize --model "$T/b" --tower lm -- "-5 cells" | tail -n +3 | cut -f1 | tr '\n' ' ')")" = "-5 cells" ] || fail decode
$S lm --model "$T/b" "" --max-new-tokens 3 --json >/dev/null || fail lm
cp tests/golden/tokens/spm.model "$T/llama/tokenizer.model"
expect 4 "llama: the tokenizer's ids go to 479 (.*), the table of words has 50 rows" $S import -q --llama "$T/llama" -o "$T/none"
expect 1 "exists already" $S import -q --bert $G/bert -o "$T/b"
expect 4 "posix.system" $S import -q --lightning $G/evil.pt -o "$T/none"
mkdir "$T/half" && cp $G/scgpt/*.json "$T/half" && cp $G/views.pt "$T/half/best_model.pt"
expect 4 "half: tensor encoder.embedding.weight: is missing" $S import -q --scgpt "$T/half" -o "$T/none"
sed 's/"embsize": 16/"embsize": 32/' $G/scgpt/args.json >"$T/half/args.json"
cp $G/scgpt/best_model.pt "$T/half"
expect 4 "has the shape \[43,16\], the settings ask for \[43,32\]" $S import -q --scgpt "$T/half" -o "$T/none"
[ ! -e "$T/none" ] || fail "output left"
printf x >>"$T/b/lm.safetensors"
expect 4 "lm.safetensors" $S model "$T/b" --verify
expect 4 "lm.safetensors" $S lm -q --model "$T/b" x
expect 3 "in.h5" $S forward -q --model "$T/b" --input "$T/in.h5" --output "$T/o2.h5"
[ ! -e "$T/o2.h5" ] || fail "output left"
exit 0
