#!/bin/sh
# Damaged, hostile and odd files through the real programs; and odd requests on a sound file.
# usage: tests/hostile.sh [BUILD]   (default build). Ends with `N passed, M failed, K skipped`.
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
dir=$build/hostile
rm -rf "$dir"; mkdir -p "$dir" || exit 1
TMPDIR=$dir; export TMPDIR
"$build/make_hostile" "$dir" || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
"$build/limit" corpus "$build" "$dir" >"$dir/log"
sed '$d' "$dir/log"
set -- $(tail -n 1 "$dir/log" | tr -dc '0-9 ')
passed=$1 failed=$2
f=$dir/odd_base.gguf
try() { # EXPECT PROGRAM ARGS...
    want=$1; run=$build/$2; shift 2
    if "$build/limit" "$want" "$run" "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}
long=$(printf 'the cat and %.0s' $(seq 200))
ids=$(seq -s, 1 100)
mkfifo "$dir/fifo" 2>/dev/null
printf '[{"role":"user","content":"the cat"}]' >"$dir/hi.json"
for p in inspect 'logits --ids 1,2 -o '"$dir/x.f32" 'generate -p the -n 2' 'tokenize the' 'perplexity -f '"$f" chat 'template '"$dir/hi.json";
    do # no such file, and files that are none
    prog=${p%% *}; rest=${p#"$prog"}
    for path in "$dir/none.gguf" "$dir" /dev/null "$dir/fifo" "$dir/none/none.gguf" ''; do
        try refuse "$prog" -m "$path" $rest
    done
    try usage "$prog" --no-such-option -m "$f" $rest
    try ok "$prog" --help
    try ok "$prog" -h
done
try ok generate -m "$f" -p 'the cat' -n 4 --temp 0
try refuse generate -m "$f" -c 16 -p "$long" -n 4 --temp 0             # a text longer than the context
try refuse logits -m "$f" -c 16 --ids "$ids" -o "$dir/x.f32"
try ok logits -m "$f" -c 100 --ids "$ids" -o "$dir/x.f32"
try any logits -m "$f" --ids 1,99999 -o "$dir/x.f32"
try any logits -m "$f" --ids 1,-1 -o "$dir/x.f32"
try any logits -m "$f" --ids 1,x -o "$dir/x.f32"
try any logits -m "$f" --ids '' -o "$dir/x.f32"
try any logits -m "$f" --ids 99999999999999999999 -o "$dir/x.f32"
try refuse logits -m "$f" --ids 1,2 -o "$dir/none/x.f32"
try refuse logits -m "$f" --ids 1,2 -o /dev/full
try any logits -m "$f" --ids 1,2 --batch 0 -o "$dir/x.f32"
try any generate -m "$f" -c 0 -p the -n 1
try any generate -m "$f" -c -5 -p the -n 1
try any generate -m "$f" -c 99999999999999999999 -p the -n 1
[ "$LIMIT_MB" = 0 ] || try refuse generate -m "$f" -c 2000000000 -p the -n 1   # a sanitizer's own allocator reports that
try any generate -m "$f" -t 0 -p the -n 1
try any generate -m "$f" -t 1000000 -p the -n 1
try any generate -m "$f" -t x -p the -n 1
try any generate -m "$f" -p '' -n 2
try any generate -m "$f" -p "$(printf '\377\376\200')" -n 2
try any generate -m "$f" -p the -n -1 -c 32
try usage generate -m "$f" -p
try usage generate -m "$f" -p the -n 2 --temp warm
try usage inspect -m
try ok generate -m "$f" -p the -n 8 -s 1 --stop ab --stop e --logprobs 3
try ok generate -m "$f" -p the -n 8 -s 1 --logprobs 1000
try usage generate -m "$f" -p the --stop ''
try usage generate -m "$f" -p the --logprobs -1
try usage generate -m "$f" -p the --lora ''
try usage generate -m "$f" -p the --lora :2
for path in "$dir/none.gguf" "$dir" "$f" "$f:0.5" /dev/null "$dir/none.gguf:x"; do try refuse generate -m "$f" -p the -n 2 --lora "$path"; done
try refuse perplexity -m "$f" -f "$dir/none.txt"
printf 'too short' >"$dir/short.txt"
try refuse perplexity -m "$f" -f "$dir/short.txt"
: >"$dir/empty.txt"
try refuse perplexity -m "$f" -f "$dir/empty.txt"
try ok template -m "$f" "$dir/hi.json"
try usage template "$dir/hi.json"
try refuse template -m "$f" "$dir/none.json"
printf '[{"role":"user"' >"$dir/hi.json"
try refuse template -m "$f" "$dir/hi.json"
printf '{{ x.y }}' >"$dir/bad.jinja"; printf '[]' >"$dir/hi.json"
try refuse template --template "$dir/bad.jinja" "$dir/hi.json"
try refuse template --template "$dir/none.jinja" "$dir/hi.json"
for path in "$dir/none.gguf" "$dir" /dev/null '' "$dir/short.txt"; do try refuse quantize "$path" "$dir/q.gguf" Q8_0; done
try ok quantize "$f" "$dir/q.gguf" Q8_0
try ok generate -m "$dir/q.gguf" -p the -n 2 --temp 0
for t in F32 BF16 Q4_K_M IQ4_NL; do try ok quantize "$f" "$dir/q.gguf" $t; done
for path in "$dir/none" "$dir" "$f" /dev/null "$dir/short.txt" "$dir/empty.txt"; do try refuse quantize "$f" "$dir/no.gguf" Q4_0 --imatrix "$path"; done
try refuse quantize "$f" "$dir/none/q.gguf" Q8_0
try refuse quantize "$f" /dev/full Q8_0
try refuse quantize "$f" "$dir/no.gguf" Q8_0 --lora "$f"
try usage quantize "$f" "$dir/no.gguf" q8
try usage quantize "$f" "$dir/no.gguf"
try usage quantize "$f" "$dir/no.gguf" Q8_0 -t 0
try ok quantize --help
[ -e "$dir/no.gguf" ] && { failed=$((failed + 1)); echo "FAILED: quantize leaves a file behind"; }
printf 'the cat\nsat\n/reset\nthe\n' >"$dir/turns.txt"
is() { if [ "$1" = "$2" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: chat: $1, expected $2"; fi; }
"$build/chat" -m "$f" -n 4 --temp 0 --verbose --system 'the <s>' <"$dir/turns.txt" >"$dir/log" 2>"$dir/err"; is "$? $(grep -c computed "$dir/err")" "0 3"
"$build/chat" -m "$f" -n 4 -c 8 <"$dir/turns.txt" >"$dir/log" 2>"$dir/err"; is "$? $(wc -c <"$dir/log") $(grep -c 'the context room for 8' "$dir/err") $(wc -l <"$dir/err")" "1 0 1 1"
rm -rf "$dir"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
