#!/bin/sh
# The header as users compile it: languages, compilers, warnings, switches, symbols, and the same bits from builds that tests/answer.sh does not try.
# An optimized object takes a compiler up to a minute: one is made for each language, with all warnings, then linked and looked into.
# BUILD as in the Makefile. Absent compilers are skipped (with LLAMA_TEST_STRICT=1: a failure). Ends with `N passed, M failed, K skipped`.
cd "$(dirname "$0")/.." || exit 1
B=${BUILD:-build}/compile
rm -rf "$B"; mkdir -p "$B" || exit 1
W='-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror'
T=tests/compile
passed=0 failed=0 skipped=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; [ -n "$2" ] && head -n 12 "$2"; }
# NAME COMMAND...: must succeed and say nothing
quiet() {
    name=$1; shift
    if "$@" >"$B/log" 2>&1 && [ ! -s "$B/log" ]; then ok; else bad "$name: $*" "$B/log"; fi
}
# NAME WANTED COMMAND...: must succeed and print WANTED
prints() {
    name=$1 wanted=$2; shift 2
    if "$@" >"$B/log" 2>&1 && [ "$(cat "$B/log")" = "$wanted" ]; then ok; else bad "$name: expected: $wanted" "$B/log"; fi
}
# NAME COMMAND...: must fail
refused() { name=$1; shift; if "$@" >"$B/log" 2>&1; then bad "$name: it succeeds"; else ok; fi; }
have() { # is there such a compiler?
    command -v "$1" >/dev/null 2>&1 && return 0
    if [ "${LLAMA_TEST_STRICT:-0}" != 0 ]; then bad "$1 is not installed"; else skipped=$((skipped + 1)); echo "skipped: $1 is not installed"; fi
    return 1
}
ccs=; for c in gcc clang; do have $c && ccs="$ccs $c"; done
for c in ${LLAMA_TEST_CLANGS-clang-19 clang-22}; do command -v $c >/dev/null 2>&1 && ccs="$ccs $c"; done   # newer ones where they are
if [ -z "$ccs" ]; then for c in clang-14 cc; do command -v $c >/dev/null 2>&1 && ccs=$c; done; fi
plus() { case $1 in gcc) echo g++ ;; clang*) echo "clang++${1#clang}" ;; *) echo c++ ;; esac; }
helpers='tests/tiny.c tests/test_util.c'
set -- $ccs; first=$1

echo "--- languages and warnings:$ccs"
how() { # CC STD FILE: the optimizer's warnings once for each language, and objects for what follows
    case $2$3 in c99one | c++11one) echo "-O2 -c -o $B/$1.$3.o" ;; c99private_a) echo "-c -o $B/$1.$3.o" ;; *) echo -fsyntax-only ;; esac
}
for cc in $ccs; do
    quiet train $cc -std=c99 $W -DLLAMA_TRAIN -fsyntax-only $T/one.c
    for std in c99 c11; do
        for f in one two three private_a stdio_first hooks; do quiet "$f" $cc -std=$std $W $(how $cc $std $f) $T/$f.c; done
    done
    cxx=$(plus $cc)
    have "$cxx" || continue
    quiet train $cxx -x c++ -std=c++11 $W -DLLAMA_TRAIN -fsyntax-only $T/one.c
    for std in c++11 c++17; do
        for f in one two three; do quiet "$f" $cxx -std=$std $W $(how $cxx $std $f) $T/$f.cpp; done
        quiet private $cxx -x c++ -std=$std $W $(how $cxx $std private) $T/private_a.c
    done
done

echo "--- programs"
lib=${BUILD:-build}/llama.o # the programs' own
make -s B="${BUILD:-build}" "$lib" &&
    $first -O2 tests/programs/sums.c $helpers "$lib" -o "$B/sums" -lm -lpthread && "$B/sums" --gguf nano "$B/nano.gguf" || bad sums
for cc in $ccs; do
    cxx=$(plus $cc)
    $cc -O2 "$B/$cc.one.o" $T/two.c $T/three.c -o "$B/c_program" -lm -lpthread 2>"$B/log" || bad "$cc program" "$B/log"
    [ -n "$line" ] || line=$("$B/c_program" "$B/nano.gguf")
    case $line in '5 tokens, '*) ;; *) bad "the C program prints: $line" ;; esac
    prints "$cc program" "$line" "$B/c_program" "$B/nano.gguf"
    command -v "$cxx" >/dev/null 2>&1 && { $cxx -O2 "$B/$cxx.one.o" $T/two.cpp $T/three.cpp -o "$B/cpp_program" -lm -lpthread 2>"$B/log" ||
        bad "$cxx program" "$B/log"; prints "$cxx program" "$line" "$B/cpp_program" "$B/nano.gguf"; }
    $cc $T/private.c "$B/$cc.private_a.o" $T/private_b.c -o "$B/private" -lm -lpthread 2>"$B/log" || bad "$cc private copies" "$B/log"
    prints "$cc private copies" "5 tokens, both copies alike, ${line##* }" "$B/private" "$B/nano.gguf"
done
$first -std=c99 $T/stdio_first.c -o "$B/stdio_first" -lm -lpthread && prints stdio_first "$line" "$B/stdio_first" "$B/nano.gguf"
$first $T/hooks.c -o "$B/hooks" -lm -lpthread && prints "own allocator and clock" "$line" "$B/hooks" "$B/nano.gguf"

echo "--- switches: $(grep -o 'LLAMA_NO_[A-Z]*' llama.h | sort -u | tr '\n' ' ')LLAMA_OPENMP LLAMA_STATIC LLAMA_FILE"
all=
for s in $(grep -o 'LLAMA_NO_[A-Z]*' llama.h | sort -u); do
    all="$all -D$s"
    for cc in $ccs; do quiet "$s" $cc -std=c99 $W -D$s -fsyntax-only $T/one.c; done
    if [ $s != LLAMA_NO_STDIO ]; then $first -D$s $T/one.c $T/two.c $T/three.c -o "$B/switch" -lm -lpthread &&
        prints "$s" "$line" "$B/switch" "$B/nano.gguf"; fi
done
quiet "all switches" $first -std=c99 $W -O2 $all -c $T/one.c -o "$B/one.o"
if $first -fopenmp -DLLAMA_OPENMP $T/one.c $T/two.c $T/three.c -o "$B/switch" -lm -lpthread 2>"$B/log";
    then prints LLAMA_OPENMP "$line" "$B/switch" "$B/nano.gguf"; else bad LLAMA_OPENMP "$B/log"; fi
quiet "LLAMA_OPENMP without -fopenmp" $first -std=c99 $W -Wno-unknown-pragmas -DLLAMA_OPENMP -fsyntax-only $T/one.c
mkdir "$B/renamed"; cp llama.h "$B/renamed/model.h"
printf '#define LLAMA_FILE "model.h"\n#define LLAMA_IMPLEMENTATION\n#include "model.h"\n' >"$B/renamed/a.c"
quiet LLAMA_FILE $first -std=c99 $W -c "$B/renamed/a.c" -o "$B/one.o"
printf '#define LLAMA_DEF\n#define LLAMA_IMPLEMENTATION\n#include "../../../llama.h"\n' >"$B/renamed/b.c"
cp llama.h "$B/renamed/llama.h"; sed -i 's|../../../llama.h|llama.h|' "$B/renamed/b.c"
quiet LLAMA_DEF $first -std=c99 $W -c "$B/renamed/b.c" -o "$B/one.o"

echo "--- symbols"
for cc in $ccs; do
    one=$B/$cc.one.o
    $cc -DLLAMA_NO_ENV -c $T/one.c -o "$B/noenv.o"
    nm -u "$lib" | awk '{ print $NF }' | sed 's/@.*//' >"$B/undefined"
    nm -u "$one" | awk '{ print $NF }' | sed 's/@.*//' >>"$B/undefined"
    never='exit|_exit|_Exit|quick_exit|abort|assert|__assert_fail|.*printf(_chk)?|f?puts|f?putc|putchar|perror|fwrite|raise|system|signal|sigaction'
    never="$never|s?rand|random|rand_r|drand48|strto[a-z]*|ato[filq]*|setlocale|localeconv|time|localtime|gmtime|setenv|putenv"
    never="$never|fmaf?|expf?|logf?|powf?|sinf?|cosf?|sincosf?|tanhf?"   # libm differs between systems in the last bit
    if grep -nxE "_?_?($never)" "$B/undefined"; then bad "$cc: the object calls what it must not"; else ok; fi
    nm -g --defined-only "$one" | awk 'NF == 3 && $3 != "main" && $3 !~ /^lm_/ { print; bad = 1 } END { exit bad }' && ok ||
        bad "$cc: an external symbol without lm_"
    nm -g --defined-only "$B/$cc.private_a.o" | awk 'NF == 3 && $3 != "private_a" { print; bad = 1 } END { exit bad }' && ok ||
        bad "$cc: LLAMA_STATIC leaves an external symbol"
    nm "$one" | awk '$2 ~ /^[bBC]$/ { print; bad = 1 } END { exit bad }' && ok || bad "$cc: static memory that is written"
    nm -u "$B/noenv.o" | grep -q getenv && bad "$cc: LLAMA_NO_ENV calls getenv" || ok
done
[ "$(grep -c 'getenv(' llama.h)" = "$(grep -c 'getenv("LLAMA_ISA")' llama.h)" ] && ok || bad "getenv for more than LLAMA_ISA"

echo "--- one answer"
"$B/sums" >"$B/sums.want" || bad sums
[ "$(wc -l <"$B/sums.want")" -ge 18 ] && ok || bad "too few tiny models"
same() { # NAME SUMS-PROGRAM: the same lines
    if "$2" $3 >"$B/sums.got" 2>&1 && cmp -s "$B/sums.want" "$B/sums.got"; then ok; else bad "$1: other bits"; diff "$B/sums.want" "$B/sums.got" |
        head -n 4; fi
}
build() { # NAME CC FLAGS: the implementation with FLAGS
    name=$1 cc=$2; shift 2
    $cc "$@" -c -x c -DLLAMA_IMPLEMENTATION llama.h -o "$B/l.o" && $cc "$@" tests/programs/sums.c $helpers "$B/l.o" -o "$B/s" -lm -lpthread ||
        bad "$name does not compile"
}
for cc in $ccs; do
    # -O2 and -O3 -march=native: tests/answer.sh
    for o in -O0 '-O3 -march=native -DLLAMA_NO_DISPATCH -std=gnu11 -funroll-loops' '-O1 -DLLAMA_NO_SIMD'; do build "$cc $o" $cc $o; same "$cc $o" "$B/s" "3 7"; done
    # the host, not the library, with -ffast-math, which also sets flush-to-zero at start
    $cc -O3 -ffast-math tests/programs/sums.c $helpers "$lib" -o "$B/s" -lm -lpthread &&
        same "$cc host with -ffast-math" "$B/s" "2 7"
    for f in -ffast-math -ffinite-math-only '-fassociative-math -fno-signed-zeros -fno-trapping-math' -freciprocal-math -funsafe-math-optimizations
        do
        case $cc$f in clang*-ffast-math|clang*-ffinite*|gcc*) refused "$cc $f" $cc -O2 $f -c $T/one.c -o "$B/one.o" ;; esac
    done
    case $cc in clang*)
        if $cc -O2 -ffp-contract=fast -march=native -DLLAMA_NO_DISPATCH $T/one.c $T/two.c $T/three.c -o "$B/fused" -lm -lpthread; then
            if grep -qw fma /proc/cpuinfo 2>/dev/null; then
                "$B/fused" "$B/nano.gguf" >"$B/log" 2>&1; [ $? = 1 ] && grep -q 'compiled with flags that change arithmetic' "$B/log" && ok ||
                    bad "$cc -ffp-contract=fast is not noticed" "$B/log"
            else skipped=$((skipped + 1)); echo "skipped: cpu"; fi
        else bad "$cc -ffp-contract=fast"; fi ;;
    esac
done
LLAMA_ISA=no-such-set refused "LLAMA_ISA=no-such-set" "$B/sums" 2 24
grep -q 'LLAMA_ISA is no-such-set, expected ' "$B/log" && ok || bad "LLAMA_ISA=no-such-set is not named" "$B/log"
rm -rf "$B"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
