#!/bin/sh
# The long comparisons: SmolLM2 over its whole reference text, through the library and through the programs.
# BUILD, CC, CFLAGS as in the Makefile. Ends with `N passed, M failed, K skipped`.
cd "$(dirname "$0")/.." || exit 1
B=${BUILD:-build} CC=${CC:-cc} CFLAGS=${CFLAGS:--O2}
model=models/SmolLM2-135M-Instruct.Q4_1.gguf
ref=${LLAMA_TEST_DATA:-../shared}/reference/smollm2
passed=0 failed=0
skip() { if [ "${LLAMA_TEST_STRICT:-0}" != 0 ]; then echo "FAILED: $1"; echo "0 passed, 1 failed, 0 skipped"; exit 1; else echo "skipped: $1"
    echo "0 passed, 0 failed, 1 skipped"; exit 0; fi; }
[ -f "$model" ] || skip "no model (make model)"
[ -f "$ref/text.txt" ] || skip "no reference data"
check() { if [ "$1" = 0 ]; then passed=$((passed + 1)); echo "  ok: $2"; else failed=$((failed + 1)); echo "  FAILED: $2"; fi; }
between() { awk -v x="$1" -v lo="$2" -v hi="$3" 'BEGIN { exit !(x >= lo && x <= hi) }'; }

$CC $CFLAGS tests/programs/smollm2_quality.c tests/tiny.c tests/test_util.c "$B/llama.o" -o "$B/smollm2_quality" -lm -lpthread ||
    { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
"$B/smollm2_quality" "$model" "$ref" >"$B/long.log"
sed '$d' "$B/long.log"
set -- $(tail -n 1 "$B/long.log" | tr -dc '0-9 ')
passed=$((passed + ${1:-0})) failed=$((failed + ${2:-1}))

# the programs: windows of 512 as llama.cpp scores them; greedy text; logits through both ways of cutting
line=$("$B/perplexity" -m "$model" -f "$ref/text.txt" --compute f32 --cache-type f32 2>/dev/null | tail -n 1)
p=$(echo "$line" | sed -n 's/^perplexity: \([0-9.]*\) .*/\1/p')
between "${p:-0}" 18.9101 18.9139; check $? "perplexity in float32, windows of 512: ${line:-nothing} (reference 18.91206)"
line=$("$B/perplexity" -m "$model" -f "$ref/text.txt" 2>/dev/null | tail -n 1)
p=$(echo "$line" | sed -n 's/^perplexity: \([0-9.]*\) .*/\1/p')
between "${p:-0}" 18.7 19.1; check $? "perplexity with the defaults: ${line:-nothing}"
text=$("$B/generate" -m "$model" -p 'The capital of France is' -n 24 --temp 0 2>/dev/null)
case $text in 'The capital of France is'*Paris*) check 0 "generate: $text" ;; *) check 1 "generate: $text" ;; esac
again=$("$B/generate" -m "$model" -p 'The capital of France is' -n 24 --temp 0 -t 1 2>/dev/null)
[ "$text" = "$again" ]; check $? "the same text with one thread"
a=$("$B/generate" -m "$model" -p 'Once upon a time' -n 24 -s 5 2>/dev/null)
    b=$(LLAMA_ISA=scalar "$B/generate" -m "$model" -p 'Once upon a time' -n 24 -s 5 -t 2 2>/dev/null)
[ -n "$a" ] && [ "$a" = "$b" ]; check $? "a seed draws the same text with every instruction set"
"$B/logits" -m "$model" --ids 504,3575,282,4649,314 --all -o "$B/a.f32" &&
    "$B/logits" -m "$model" --ids 504,3575,282,4649,314 --all --batch 1 -t 1 -o "$B/b.f32" && cmp -s "$B/a.f32" "$B/b.f32" &&
        [ "$(wc -c <"$B/a.f32")" = $((5 * 49152 * 4)) ]
check $? "logits of five tokens at once and one by one are the same bytes"
ids=$("$B/tokenize" -m "$model" 'The capital of France is')
[ "$(echo "$ids" | tr -d ' ')" = '[504,3575,282,4649,314]' ]; check $? "tokenize: $ids"
rm -f "$B/a.f32" "$B/b.f32" "$B/long.log"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
