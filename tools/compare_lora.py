#!/usr/bin/env python3
"""Compares what adapters do in llama.h with merging them, and with llama.cpp.

    make && python3 tools/compare_lora.py MODEL.gguf -o build/lora [--peer PYTHON] [--rank 4] [--scale 0.7]

MODEL has F32 matrices and an output matrix of its own (reference/gguf/mqa_headdim_f32.gguf). Writes a random adapter for all its matrices with the PyPI package
gguf, in the form that llama.cpp's convert_lora_to_gguf.py gives it, and a copy of the model with W + scale * alpha / rank * B A for each W; then lets
build/logits compute both in float32 and shows the largest differences. PYTHON: an interpreter that has llama-cpp-python (tools/compare.py says how it is
installed); it computes the model with the adapter, too. Ends with status 1 if a difference is more than a thousandth of what the adapter changes.

    python3 tools/compare_lora.py MODEL.gguf -o build/lora --peer PYTHON --adapter ADAPTER.gguf

A trained adapter over a quantized model as it is, each program with its own arithmetic: how far the logits of a text (this page) are from each other without
and with the adapter. Status 1 if the adapter makes the distance a quarter larger.
"""
import argparse
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True                              # nothing is left beside the script
import numpy as np

ALPHA = 6.0


def write(path, out, rank, scale):
    import gguf
    r = gguf.GGUFReader(path)
    w = gguf.GGUFWriter(out + ".adapter.gguf", "llama")
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", ALPHA)
    rng, merged = np.random.default_rng(7), bytearray(open(path, "rb").read())
    for t in r.tensors:
        if len(t.shape) != 2 or "rope" in t.name:
            continue
        if t.tensor_type != gguf.GGMLQuantizationType.F32:
            sys.exit(f"compare_lora: {path}: {t.name} is not F32")
        n_in, n_out = (int(x) for x in t.shape)
        embd = t.name == "token_embd.weight"
        a = rng.normal(0, 0.05, (n_out if embd else rank, rank if embd else n_in)).astype(np.float32)
        b = rng.normal(0, 0.05, (n_in if embd else n_out, rank)).astype(np.float32)
        w.add_tensor(t.name + ".lora_a", a)
        w.add_tensor(t.name + ".lora_b", b)
        full = t.data.astype(np.float64) + scale * ALPHA / rank * (a.astype(np.float64) @ b.astype(np.float64).T if embd else b.astype(np.float64) @ a.astype(np.float64))
        merged[int(t.data_offset):int(t.data_offset) + int(t.n_bytes)] = full.astype("<f4").tobytes()
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    with open(out + ".merged.gguf", "wb") as f:
        f.write(merged)


EXACT = ("--compute", "f32", "--cache-type", "f32")


def ours(model, ids, out, *options):
    subprocess.run(["build/logits", "-m", model, "--ids", ",".join(map(str, ids)), "--all", "-o", out, *options], check=True)
    return np.fromfile(out, "<f4").reshape(len(ids), -1)


def peer(model, adapter, scale, ids, out):                  # runs under the other interpreter
    import ctypes
    import llama_cpp.llama_cpp as L
    L.llama_backend_init()
    m = L.llama_model_load_from_file(os.fsencode(model), L.llama_model_default_params())
    if not m:
        sys.exit(f"compare_lora: {model}: llama.cpp does not load it")
    p = L.llama_context_default_params()
    p.n_ctx = p.n_batch = p.n_ubatch = 256
    p.type_k = p.type_v = 0                                 # float32, and no attention in half precision
    if hasattr(p, "flash_attn_type"):
        p.flash_attn_type = 0
    c = L.llama_init_from_model(m, p)
    a = L.llama_adapter_lora_init(m, os.fsencode(adapter)) if adapter else None
    if adapter and not a:
        sys.exit(f"compare_lora: {adapter}: llama.cpp does not load it")
    if not adapter:
        done = 0
    elif hasattr(L, "llama_set_adapters_lora"):
        array, scales = (type(a) * 1)(a) if not isinstance(a, int) else (ctypes.c_void_p * 1)(a), (ctypes.c_float * 1)(scale)
        array = ctypes.cast(array, L.llama_set_adapters_lora.argtypes[1]) if L.llama_set_adapters_lora.argtypes else array
        done = L.llama_set_adapters_lora(c, array, 1, scales)
    else:
        done = L.llama_set_adapter_lora(c, a, scale)
    if done:
        sys.exit("compare_lora: llama.cpp does not take the adapter")
    b = L.llama_batch_init(256, 0, 1)
    b.n_tokens = len(ids)
    for i, t in enumerate(ids):
        b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = t, i, 1, 1
        b.seq_id[i][0] = 0
    if L.llama_decode(c, b) != 0:
        sys.exit("compare_lora: llama.cpp does not decode")
    n = L.llama_vocab_n_tokens(L.llama_model_get_vocab(m))
    np.stack([np.ctypeslib.as_array(L.llama_get_logits_ith(c, i), (n,)).copy() for i in range(len(ids))]).astype("<f4").tofile(out)


def trained(o):
    """A trained adapter over a quantized model, beside llama.cpp."""
    text = " ".join(__doc__.split())
    ids = json.loads(subprocess.run(["build/tokenize", "-m", o.model, text], check=True, capture_output=True, text=True).stdout)[:200]
    far, got = {}, {}
    for name, options in (("without", ()), ("with", ("--lora", o.adapter))):
        mine = got[name] = ours(o.model, ids, f"{o.o}.{name}.f32", *options)
        theirs = as_peer(o, ids, f"{o.o}.{name}.peer.f32", o.adapter if options else "", 1)
        exact = ours(o.model, ids, f"{o.o}.{name}.exact.f32", *options, *EXACT)

        def rms(x, y):
            return float(np.sqrt(((x - y).astype(np.float64) ** 2).mean()))
        far[name] = rms(mine, theirs)
        same = int((mine.argmax(1) == theirs.argmax(1)).sum())
        print(f"{name} the adapter: logits of {len(ids)} tokens, rms difference from llama.cpp {far[name]:.4f}, the likeliest token is the same in {same}; "
              f"rms difference from float32 arithmetic: llama.h {rms(mine, exact):.4f}, llama.cpp {rms(theirs, exact):.4f}")
    print(f"the adapter changes them by {rms(got['with'], got['without']):.4f}")
    sys.exit(int(far["with"] > 1.25 * far["without"]))


def as_peer(o, ids, out, adapter, scale):
    sys.stdout.flush()
    subprocess.run([o.peer, os.path.abspath(__file__), o.model, "-o", o.o, "--as-peer", out, "--ids", ",".join(map(str, ids)), "--adapter", adapter, "--scale", str(scale)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return np.fromfile(out, "<f4").reshape(len(ids), -1)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model")
    a.add_argument("-o", required=True, metavar="PREFIX", help="files are written to PREFIX.adapter.gguf and so on")
    a.add_argument("--peer", metavar="PYTHON")
    a.add_argument("--rank", type=int, default=4)
    a.add_argument("--scale", type=float, default=0.7)
    a.add_argument("--adapter", metavar="GGUF")
    a.add_argument("--as-peer", metavar="OUT", help=argparse.SUPPRESS)
    a.add_argument("--ids", help=argparse.SUPPRESS)
    o = a.parse_args()
    if o.as_peer:
        peer(o.model, o.adapter, o.scale, list(map(int, o.ids.split(","))), o.as_peer)
        return
    if o.adapter:
        trained(o)
    ids, adapter = [(i * 37 + 11) % 200 for i in range(40)], o.o + ".adapter.gguf"
    write(o.model, o.o, o.rank, o.scale)
    bare = ours(o.model, ids, o.o + ".bare.f32", *EXACT)
    with_it = ours(o.model, ids, o.o + ".adapter.f32", "--lora", f"{adapter}:{o.scale}", *EXACT)
    merged = ours(o.o + ".merged.gguf", ids, o.o + ".merged.f32", *EXACT)
    moved, worst = np.abs(with_it - bare).max(), np.abs(with_it - merged).max()
    print(f"{o.model}: the adapter changes logits by up to {moved:.4g}; from merging it differs by at most {worst:.3g}")
    if o.peer:
        theirs = as_peer(o, ids, o.o + ".peer.f32", adapter, o.scale)
        far = np.abs(with_it - theirs).max()
        print(f"{o.model}: from llama.cpp with the adapter it differs by at most {far:.3g}")
        worst = max(worst, far)
    sys.exit(int(worst > moved / 1000))


main()
