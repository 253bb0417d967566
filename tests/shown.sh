#!/bin/sh
# The short program in README.md and in the header's manual is examples/hello.c, line for line (indentation and the comment's ` * ` apart).
# BUILD as in the Makefile. Ends with `N passed, M failed, K skipped`.
cd "$(dirname "$0")/.." || exit 1
B=${BUILD:-build}
passed=0 failed=0
strip() { sed 's/^[ *]*//; s/[[:space:]]*$//' "$@" | grep -v '^$'; }
sed -n '/^#/,$p' examples/hello.c | strip >"$B/shown.want"
for f in README.md llama.h; do
    strip "$f" 2>/dev/null | awk -v want="$B/shown.want" '
        BEGIN { while ((getline line < want) > 0) w[n++] = line }
        { have[NR] = $0 }
        END { for (i = 1; i + n - 1 <= NR; i++) { for (k = 0; k < n && have[i + k] == w[k]; k++); if (k == n && n > 10) exit 0 } exit 1 }'
    if [ $? = 0 ]; then passed=$((passed + 1)); echo "  $f shows examples/hello.c"; else failed=$((failed + 1))
        echo "FAILED: $f does not show examples/hello.c as it is"; fi
done
n=$(sed -n '/^#/,$p' examples/hello.c | wc -l)
if [ "$n" -le 26 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: examples/hello.c has $n lines, 25 are the aim"; fi
if [ -x "$B/hello" ]; then # README shows what it prints: the block after the commands that build and run it
    sed -n '/ && \.\/hello/,/^## /p' README.md | awk '/^```/ { n++; next } n == 2' >"$B/shown.want"
    if [ -s "$B/shown.want" ] && "$B/hello" | cmp -s - "$B/shown.want"; then passed=$((passed + 1)); else failed=$((failed + 1))
        echo "FAILED: README.md shows another output of examples/hello.c than: $("$B/hello")"; fi
fi
rm -f "$B/shown.want"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
