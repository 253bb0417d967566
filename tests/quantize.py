"""build/quantize against the gguf package (PyPI), which reads what it writes: types of tensors, metadata, bytes where the format leaves no freedom,
errors where it does; importance, adapters, determinism, refusals.

    python3 tests/quantize.py BUILD MODEL.gguf

Ends with `N passed, M failed, K skipped`."""
import os
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

sys.dont_write_bytecode = True                              # nothing is left beside the script
from checks import check, end

build, model = sys.argv[1:]
rng = np.random.default_rng(7)
scratch = tempfile.TemporaryDirectory()
ERRORS = {"Q8_0": 0.008, "Q4_0": 0.12, "Q4_1": 0.09, "Q5_0": 0.06, "Q5_1": 0.045, "Q2_K": 0.35, "Q3_K": 0.20, "Q4_K": 0.09, "Q5_K": 0.045, "Q6_K": 0.025,
          "IQ4_NL": 0.095, "IQ4_XS": 0.10}


def at(name):
    return os.path.join(scratch.name, name)


def run(*args):
    return subprocess.run([build + "/quantize", *args], capture_output=True, text=True)


def made(source, target, kind, *more):
    r = run(source, target, kind, *more)
    check(r.returncode == 0 and r.stderr == "" and r.stdout.count("\n") == 1, f"quantize {kind} {more}: {r.stderr}")
    return GGUFReader(target)


def floats(t):
    return dequantize(t.data, t.tensor_type).reshape(-1)


def write(path, tensors, *meta):
    w = GGUFWriter(path, "llama")
    for key, value in meta:
        getattr(w, "add_" + {str: "string", float: "float32", int: "uint32"}[type(value)])(key, value)
    for name, x in tensors.items():
        w.add_tensor(name, x)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()


# ---- small matrices of F32, each column of another size; one with rows that are no multiple of 256, one of 33 columns
size = np.exp(rng.standard_normal(512)).astype(np.float32)
plain = {"blk.0.attn_q.weight": rng.standard_normal((48, 512)).astype(np.float32) * 0.05,
         "blk.0.ffn_down.weight": rng.standard_t(4, (40, 512)).astype(np.float32),
         "blk.0.ffn_up.weight": rng.standard_normal((24, 96)).astype(np.float32),
         "blk.0.ffn_gate.weight": rng.standard_normal((24, 33)).astype(np.float32),
         "blk.0.attn_norm.weight": rng.standard_normal(512).astype(np.float32)}
write(at("in.gguf"), plain, ("llama.block_count", 1), ("some.text", "as it is"))
for kind in ["F32", "F16", "BF16"] + [k for k in ERRORS] + ["Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M"]:
    r = made(at("in.gguf"), at("out.gguf"), kind)
    got = {t.name: t for t in r.tensors}
    check(list(got) == list(plain), f"{kind}: tensors")
    check(r.fields["some.text"].contents() == "as it is" and r.fields["general.quantization_version"].contents() == 2, f"{kind}: metadata")
    check(got["blk.0.attn_norm.weight"].tensor_type == GGMLQuantizationType.F32, f"{kind}: norms stay")
    for name, x in plain.items():
        t, exact = got[name], GGMLQuantizationType[kind] if kind in ("F32", "F16", "BF16", "Q8_0") else None
        y = floats(t)
        if x.shape[-1] == 33 and exact not in (GGMLQuantizationType.F32, GGMLQuantizationType.BF16):
            check(t.tensor_type == GGMLQuantizationType.F16, f"{kind}: rows of 33 are {t.tensor_type.name}")
        elif exact is not None and x.ndim == 2:
            want = x if kind == "F32" else x.astype(np.float16) if kind == "F16" else quantize(x, exact)
            check(t.tensor_type == exact and t.data.tobytes() == want.tobytes(), f"{kind}: bytes of {name}")
        elif x.ndim == 2:
            error = float(np.sqrt(((x.reshape(-1) - y) ** 2).mean() / (x ** 2).mean()))
            check(error <= ERRORS[t.tensor_type.name], f"{kind}: {name} as {t.tensor_type.name}, error {error:.4f}")
            if kind in ERRORS and x.shape[1] == 512 and "ffn_down" not in name and kind not in ("Q2_K",):
                check(t.tensor_type.name == kind, f"{kind}: {name} is {t.tensor_type.name}")

# ---- importance, in both forms of a file
weights = (size ** 2).astype(np.float32)
write(at("im.gguf"), {f"{n}{s}": v for n in plain if plain[n].shape[-1] == 512 and plain[n].ndim == 2
                      for s, v in ((".in_sum2", (weights * 32).reshape(1, -1)), (".counts", np.full((1, 1), 32, np.float32)))},
      ("general.type", "imatrix"), ("imatrix.chunk_count", 2), ("imatrix.chunk_size", 16))
with open(at("im.dat"), "wb") as f:
    names = [n for n in plain if plain[n].shape[-1] == 512 and plain[n].ndim == 2]
    f.write(np.int32(len(names)).tobytes())
    for n in names:
        f.write(np.int32(len(n)).tobytes() + n.encode() + np.array([2, 512], np.int32).tobytes() + (weights * 2).tobytes())
for kind in ERRORS:
    without, with_it, old = (made(at("in.gguf"), at(f"{i}.gguf"), kind, *more) for i, more in enumerate(((), ("--imatrix", at("im.gguf")), ("--imatrix", at("im.dat")))))
    for a, b, c in zip(without.tensors, with_it.tensors, old.tensors):
        if a.name in names and a.tensor_type == b.tensor_type:
            x = plain[a.name]
            error = [float((((x - floats(t).reshape(x.shape)) ** 2) * weights).mean()) for t in (a, b)]
            check(error[1] < error[0], f"{kind}: {a.name}: importance helps, {error}")
            check(b.data.tobytes() == c.data.tobytes(), f"{kind}: {a.name}: the older form of the file")

# ---- an adapter is merged: W + scale * alpha / rank * B A
a, b = rng.standard_normal((4, 512)).astype(np.float32), rng.standard_normal((48, 4)).astype(np.float32)
write(at("lora.gguf"), {"blk.0.attn_q.weight.lora_a": a, "blk.0.attn_q.weight.lora_b": b},
      ("general.type", "adapter"), ("adapter.type", "lora"), ("adapter.lora.alpha", 8.0))
r = made(at("in.gguf"), at("out.gguf"), "F32", "--lora", at("lora.gguf") + ":0.5")
want = plain["blk.0.attn_q.weight"] + 0.5 * 8 / 4 * (b.astype(np.float64) @ a)
check(np.abs(floats(r.tensors[0]).reshape(48, 512) - want).max() < 1e-4, "the merged matrix")
check(floats(r.tensors[1]).tobytes() == plain["blk.0.ffn_down.weight"].tobytes(), "others stay")

# ---- a real model, its weights quantized already; threads do not matter
first = made(model, at("one.gguf"), "Q4_K_M", "-t", "1")
made(model, at("two.gguf"), "Q4_K_M", "-t", "3")
check(open(at("one.gguf"), "rb").read() == open(at("two.gguf"), "rb").read(), "the same file with one thread and three")
source = {t.name: t for t in GGUFReader(model).tensors}
for t in first.tensors:
    if t.name.startswith("blk.7."):
        x, y = floats(source[t.name]), floats(t)
        check(float(np.sqrt(((x - y) ** 2).mean() / (x ** 2).mean())) < 0.1, f"{t.name} of the model")
made(at("one.gguf"), at("two.gguf"), "Q4_K_M")
check(open(at("one.gguf"), "rb").read() == open(at("two.gguf"), "rb").read(), "what has its type already stays as it is")
mix, other = made(model, at("one.gguf"), "Q4_0"), made(model, at("two.gguf"), "Q4_0", "--output-type", "Q5_1")
check([t.name for a, t in zip(mix.tensors, other.tensors) if t.tensor_type != a.tensor_type] == ["token_embd.weight"] and
      {t.name: t for t in other.tensors}["token_embd.weight"].tensor_type.name == "Q5_1", "another type for the output matrix alone")

# ---- refusals: one line, exit 1 or 2, no file
bad = dict(plain)
bad["blk.0.attn_q.weight"] = plain["blk.0.attn_q.weight"].copy()
bad["blk.0.attn_q.weight"][3, 5] = np.nan
write(at("nan.gguf"), bad)
write(at("short.gguf"), {"blk.0.attn_q.weight.in_sum2": np.ones((1, 100), np.float32), "blk.0.attn_q.weight.counts": np.ones((1, 1), np.float32)}, ("general.type", "imatrix"))
write(at("stray.gguf"), {"blk.9.attn_q.weight.lora_a": a, "blk.9.attn_q.weight.lora_b": b}, ("general.type", "adapter"), ("adapter.type", "lora"))
write(at("thin.gguf"), {"blk.0.attn_q.weight.lora_a": a[:, :100], "blk.0.attn_q.weight.lora_b": b}, ("general.type", "adapter"), ("adapter.type", "lora"))
open(at("cut.gguf"), "wb").write(open(at("in.gguf"), "rb").read()[:-64])
open(at("cut.dat"), "wb").write(open(at("im.dat"), "rb").read()[:-64])
for code, args in ((1, (at("nan.gguf"), at("no"), "Q4_0")), (1, (at("none"), at("no"), "Q4_0")), (1, (at("cut.gguf"), at("no"), "Q4_0")), (2, (at("in.gguf"), at("no"), "Q9_9")),
                   (2, (at("in.gguf"), at("no"), "Q4_0", "--output-type", "Q4_K_M")), (1, (model, at("no"), "Q4_0", "--output-type", "Q4_K")), (2, (at("in.gguf"), at("no"))), (2, (at("in.gguf"), at("no"), "Q4_0", "more")), (1, (at("in.gguf"), at("no"), "Q4_0", "--imatrix", at("in.gguf"))),
                   (1, (at("in.gguf"), at("no"), "Q4_0", "--imatrix", at("short.gguf"))), (1, (at("in.gguf"), at("no"), "Q4_0", "--imatrix", at("cut.dat"))),
                   (1, (at("in.gguf"), at("no"), "Q4_0", "--lora", at("in.gguf"))), (1, (at("in.gguf"), at("no"), "Q4_0", "--lora", at("stray.gguf"))),
                   (1, (at("in.gguf"), at("no"), "Q4_0", "--lora", at("thin.gguf"))), (1, (at("in.gguf"), "/dev/full", "Q4_0")), (1, (at("in.gguf"), at("none/no"), "Q4_0"))):
    r = run(*args)
    check(r.returncode == code and r.stdout == "" and r.stderr.count("\n") == 1 and not os.path.exists(at("no")), f"{args[2:]}: exit {r.returncode}: {r.stderr!r}")
left = [f for f in os.listdir(scratch.name) if ".tmp" in f]
check(not left, f"unfinished files: {left}")
end()
