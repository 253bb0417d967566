#!/bin/sh
# The one answer: the logits of the tiny models and of SmolLM2 in three types have the committed checksums (tests/tiny_sums.h, tests/smollm2_sums.h)
# with every instruction set, compiler, thread count, batch and layout here, and on other targets under emulators and node.
#   sh tests/answer.sh [native | smollm2 | aarch64 | s390x | i386 | wasm]...      all of them without arguments
# BUILD as in the Makefile. What is absent is skipped (with LLAMA_TEST_STRICT=1: a failure). Every run of tests/programs/sums.c counts; ends with
# `N passed, M failed, K skipped`.
cd "$(dirname "$0")/.." || exit 1
B=${BUILD:-build}/answer
mkdir -p "$B" || exit 1
sums='tests/programs/sums.c tests/tiny.c tests/test_util.c'
model=models/SmolLM2-135M-Instruct.Q4_1.gguf
passed=0 failed=0 skipped=0
bad() { failed=$((failed + 1)); echo "FAILED: $1"; }
skip() { if [ "${LLAMA_TEST_STRICT:-0}" != 0 ]; then bad "$1"; else skipped=$((skipped + 1)); echo "skipped: $1"; fi; }
have() { for t; do command -v "$t" >/dev/null 2>&1 || { skip "$t is not installed"; return 1; }; done; }
build() { # NAME CC FLAGS: $B/NAME
    name=$1; shift
    "$@" -c -x c -DLLAMA_IMPLEMENTATION llama.h -o "$B/$name.o" && "$@" $sums "$B/$name.o" -o "$B/$name" -lm -lpthread && return 0
    bad "$name does not compile"; return 1
}
alike() { # NAME ISA PROGRAM ARGUMENTS: its runs count, and they must be of this instruction set
    what=$1 want=$2; shift 2
    $limit "$@" >"$B/log" 2>&1
    set -- $(tail -n 1 "$B/log" | sed -n 's/^sums: \([0-9]*\) runs alike, \([0-9]*\) not; \([a-z0-9]*\), .* tokens each, \([0-9.]*\) s, .*$/\1 \2 \3 \4/p')
    if [ $# -ne 4 ]; then bad "$what: no result"; tail -n 4 "$B/log"; return; fi
    passed=$((passed + $1)) failed=$((failed + $2))
    echo "  $what: $1 alike, $2 not, $3, $4 s"
    [ "$2" = 0 ] || grep -v '^sums:' "$B/log" | head -n 8
    [ "$3" = "$want" ] || bad "$what: ran with $3, not $want"
}

# Instruction sets of this CPU: those that a model opened under their name uses.
isas() {
    for i in $(sed -n 's/.*LLAMA_ISA is %s, expected \(.*\)", want);/\1/p' llama.h | sed 's/ or / /; s/,/ /g'); do
        case $(LLAMA_ISA=$i "$B/$1" --check nano 4 1 4 0) in *"; $i, "*) echo "$i" ;; esac
    done
}
# AVX-VNNI's text, compiled for AVX-512's instructions on 256 bits, where a CPU has these.
vnni=; grep -qw avx512_vnni /proc/cpuinfo 2>/dev/null && vnni=-DLLAMA_TEST_VNNI256
quick() { case $1 in scalar | sse2) return 1 ;; *) return 0 ;; esac }
native() {
    echo "--- this machine"
    for cc in gcc clang; do
        have $cc || continue
        for o in '-O2' '-O3 -march=native'; do
            n=$cc$(echo "$o" | tr -d ' ='); build "$n" $cc $o $vnni || continue
            [ -n "$first" ] || first=$n here=$(isas "$n")
            for i in $here; do
                if quick $i; then tiny='24 2 7,64 0,1' large='24 2 24 0'; else tiny='4 2 3 0,1' large='4 2 4 0'; fi
                alike "$cc $o" $i env LLAMA_ISA=$i "$B/$n" --check all $tiny
                [ ! -f $model ] || alike "SmolLM2, $cc $o" $i env LLAMA_ISA=$i "$B/$n" --model $model smollm2-q4_1 $large
            done
        done
    done
    [ -n "$first" ] || return
    for i in avx2 avx512; do case "$(uname -m) $here" in *$i* | [!x]*) ;; *) skipped=$((skipped + 1)); echo "skipped: $i, this CPU lacks it" ;; esac; done
    for i in $here; do
        alike "threads, batches" $i env LLAMA_ISA=$i "$B/$first" --check nano,odd 520 $all 1,7,64,512 0,1 0
        if quick $i; then
            alike "all, one by one" $i env LLAMA_ISA=$i "$B/$first" --check all 24 1,3 1 0,1
            alike "all, long" $i env LLAMA_ISA=$i "$B/$first" --check all 520 3 512 0,1
        else alike "all" $i env LLAMA_ISA=$i "$B/$first" --check all 24 3 7 0,1
        fi
    done
}

made() { # the three types of SmolLM2, as NAME=FILE
    [ -n "$files" ] && return 0
    [ -f $model ] || { skip "no model (make model)"; return 1; }
    files="smollm2-q4_1=$model"
    have python3 || return 0
    for t in q8_0 f16; do
        f=$B/smollm2-$t.gguf
        [ -f "$f" ] || python3 -c 'import gguf.quants' 2>/dev/null || [ -d "$B/python" ] || python3 -m pip install --quiet --disable-pip-version-check \
            --target "$B/python" gguf==0.19.0 >"$B/log" 2>&1 || { tail -n 2 "$B/log"; rm -rf "$B/python"; }
        if [ -f "$f" ] || PYTHONPATH=$B/python python3 tests/requantize.py $model $t "$f" 2>"$B/log"; then files="$files smollm2-$t=$f"
        else tail -n 1 "$B/log"; skip "SmolLM2 in $t: the package gguf"; fi
    done
}
smollm2() {
    made || return
    echo "--- SmolLM2 on this machine"
    [ -n "$first" ] || { have gcc && build gcc-O2 gcc -O2 $vnni && first=gcc-O2 here=$(isas gcc-O2) || return; }
    for f in $files; do
        m="--model ${f#*=} ${f%%=*}"
        case $f in *q4_1=*) t=1,3,5,8 b=1,7 long=1,7,64,512 ;; *) t=1,8 b=1,24 long=7,512 ;; esac
        for i in $here; do
            r="env LLAMA_ISA=$i $B/$first $m"
            if quick $i; then
                alike "${f%%=*}, threads, batches" $i $r 24 $t $b 0,1 0
                alike "${f%%=*}, long" $i $r 520 2 $long 0 0
                alike "${f%%=*}, long, plain" $i $r 520 8 64,512 1 0
                alike "${f%%=*}, float32" $i $r 24 2 7 0,1 1
            else
                alike "${f%%=*}, threads" $i $r 4 1,2,8 1,4 0 0
                alike "${f%%=*}, layouts" $i $r 4 3 3 0,1
            fi
        done
        quick $i && alike "${f%%=*}, long, float32" $i $r 520 2 512 0 1 # the best of them
    done
}

# What an emulator runs: every tiny model over 4 tokens, several over 24, the smallest over 520; SmolLM2 over 4.
few() { # NAME ISA THREADS BATCHES COMMAND
    name=$1 isa=$2 threads=$3 batches=$4; shift 4
    alike "$name, all tiny models" $isa "$@" --check all 4 ${threads##*,} 3 0,1
    alike "$name, more tokens" $isa "$@" --check Q4_1,Q6_K,F16,window,yarn,heads,odd 24 ${threads##*,} 7 0
    alike "$name, threads, batches" $isa "$@" --check nano 520 $threads $batches 0,1 0
}
real() { # NAME ISA THREADS MODES COMMAND
    name=$1 isa=$2 threads=$3 modes=$4; shift 4
    made || return
    for f in $files; do alike "$name, ${f%%=*}" $isa "$@" --model "${f#*=}" "${f%%=*}" 4 $threads 4 0 $modes; done
}
aarch64() {
    echo "--- aarch64"
    have aarch64-linux-gnu-gcc qemu-aarch64 && build aarch64 aarch64-linux-gnu-gcc -O2 -static || return
    few "cortex-a53" neon 1,3,8 7,64,512 qemu-aarch64 -cpu cortex-a53 "$B/aarch64"
    few "cortex-a76" neondot 1,2,5 1,512 qemu-aarch64 -cpu cortex-a76 "$B/aarch64"
    few "max" neoni8mm 1,2,7 1,7,512 qemu-aarch64 -cpu max "$B/aarch64"
    real "cortex-a53" neon 2 0,1 qemu-aarch64 -cpu cortex-a53 "$B/aarch64"
    real "cortex-a76" neondot 2 0 qemu-aarch64 -cpu cortex-a76 "$B/aarch64"
    real "max" neoni8mm 2 0 qemu-aarch64 -cpu max "$B/aarch64"
}
s390x() {
    echo "--- s390x, big-endian"
    have s390x-linux-gnu-gcc qemu-s390x && build s390x s390x-linux-gnu-gcc -O2 -static || return
    few s390x scalar 2 7,512 qemu-s390x "$B/s390x"
    real s390x scalar 2 0 qemu-s390x "$B/s390x"
}
i386() {
    echo "--- i386"
    have i686-linux-gnu-gcc && build i386 i686-linux-gnu-gcc -O2 -msse2 -mfpmath=sse -static || return
    run="$B/i386"; "$run" --check nano 4 1 4 0 >/dev/null 2>&1 || { have qemu-i386 || return; run="qemu-i386 $B/i386"; }
    for i in scalar sse2; do few "i386" $i $all 1,7,64,512 env LLAMA_ISA=$i $run; done
    real "i386" sse2 2 0,1 env LLAMA_ISA=sse2 $run
}
wasm() {
    echo "--- WASM"
    have emcc node || return
    acorn=$(dpkg -L node-acorn 2>/dev/null | grep -m1 '/acorn$') && { NODE_PATH=$(dirname "$acorn"); export NODE_PATH; } # Debian's emcc asks for it
    node=node; node --no-experimental-fetch -e 0 2>/dev/null && node='node --no-experimental-fetch' # emcc's loader takes node's fetch for a browser's
    js='-sNODERAWFS=1 -sEXIT_RUNTIME=1'
    one="$js -sSINGLE_FILE=1 -sALLOW_MEMORY_GROWTH=1 -sMAXIMUM_MEMORY=4GB"
    many="$js -pthread -sPROXY_TO_PTHREAD=1 -sPTHREAD_POOL_SIZE=8 -sINITIAL_MEMORY=1GB"
    build wasm.js emcc -O2 -msimd128 $one && few wasm wasm 1 1,7,64,512 $node "$B/wasm.js" && real wasm wasm 1 0,1 $node "$B/wasm.js"
    for v in "scalar -O3" "wasm -O3 -msimd128"; do
        build wasm.js emcc ${v#* } $many || continue
        few "wasm, threads ${v#* }" ${v%% *} $all 1,7,64,512 $node "$B/wasm.js"
        [ ! -f $model ] || alike "wasm, threads ${v#* }, smollm2-q4_1" ${v%% *} $node "$B/wasm.js" --model $model smollm2-q4_1 4 2,8 1,4 0
    done
}

limit=; command -v timeout >/dev/null 2>&1 && limit='timeout 600' # nothing takes minutes; a thread that is not woken would take for ever
first= here= files= all=1,2,3,4,5,6,7,8
for part in ${*:-native smollm2 aarch64 s390x i386 wasm}; do
    case $part in native | smollm2 | aarch64 | s390x | i386 | wasm) $part ;; *) bad "no part $part" ;; esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
