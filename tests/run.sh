#!/bin/sh
# What `make test` runs: the tests in C, the hostile files through the programs, and the code that README and header show.
# BUILD, CC, CFLAGS as in the Makefile. Ends with `N passed, M failed, K skipped`.
cd "$(dirname "$0")/.." || exit 1
B=${BUILD:-build} CC=${CC:-cc} CFLAGS=${CFLAGS:--O2}
BUILD=$B; export BUILD
case $CFLAGS in *-fsanitize*) LIMIT_MB=0 LIMIT_MS=20000 LLAMA_TEST_QUICK=1; export LIMIT_MB LIMIT_MS LLAMA_TEST_QUICK ;; esac # sanitizers take more of both
passed=0 failed=0 skipped=0
total() { # adds a part's last line
    set -- $(tail -n 1 "$1" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    if [ $# -ne 3 ]; then echo "FAILED: a part ended without its count"; failed=$((failed + 1)); return; fi
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}
part() { # NAME COMMAND...: runs a part and shows what it prints
    name=$1; shift
    echo "--- $name"
    { "$@" || echo "exit $?" >"$B/part.status"; } >"$B/part.log" 2>&1
    sed '$d' "$B/part.log"
    total "$B/part.log"
}
mkdir -p "$B" || exit 1
exe=; [ -f "$B/test.exe" ] && exe=.exe
part tests "$B/test$exe"
for p in make_hostile limit; do
    $CC $CFLAGS "tests/programs/$p.c" $([ $p = limit ] || echo tests/tiny.c tests/test_util.c "$B/llama.o") -o "$B/$p" -lm -lpthread ||
        { echo "FAILED: $p does not compile"; failed=$((failed + 1)); }
done
part "hostile files" sh tests/hostile.sh "$B"
if command -v python3 >/dev/null 2>&1; then
    part "converting models" python3 tests/convert.py "$B" forms hostile
    part "preparing data" python3 tests/prepare.py "$B" small
    part "training" python3 tests/train.py "$B" quick torch
else echo "skipped: converting models, preparing data and training, without python3"; skipped=$((skipped + 3)); fi
part "the program that is shown" sh tests/shown.sh
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
