#!/bin/sh
# Makes examples/stories.gguf again, from the stories to the scores; README.md beside this says what comes out.
#   make && sh examples/stories/make.sh [DATA [OUT [CONFIG]]]
# DATA has train.txt and valid.txt (default ../shared/data/tinystories), OUT is made (default build/stories), CONFIG is the training's (default train.json
# beside this: about an hour and a half of two cores; five_minutes.json: a smaller one in so much). Ctrl-C ends it with a checkpoint; the same command goes on.
set -e
cd "$(dirname "$0")/../.."
data=${1:-${LLAMA_TEST_DATA:-../shared}/data/tinystories} out=${2:-build/stories} config=${3:-examples/stories/train.json} B=${BUILD:-build}
mkdir -p "$out"
[ -f "$out/text.vocab.gguf" ] || "$B/prepare" examples/stories/data.json --out "$out/text" \
    --sources "[{\"path\": \"$data/train.txt\", \"validation\": \"$data/valid.txt\", \"name\": \"tinystories\"}]"
"$B/train" "$config" --out "$out/run" --data "$out/text.train.tokens" --valid "$out/text.valid.tokens" --vocab "$out/text.vocab.gguf"
"$B/quantize" "$out/run/model.gguf" "$out/stories.gguf" Q5_0 --output-type Q5_0
for m in "$out/run/model.gguf" "$out/stories.gguf"; do
    echo "$m: $(wc -c <"$m") bytes"
    "$B/perplexity" -m "$m" -f "$data/valid.txt" --documents
done
