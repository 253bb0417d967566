#!/usr/bin/env python3
"""Compares the perplexity of llama.h with llama.cpp's, same files, same text, same windows.

    make && python3 tools/compare_quality.py models/*.gguf -f TEXT -o build/quality.md

Windows of 512 tokens, each started with BOS where the model adds one; the tokens from the middle on are scored, as build/perplexity does. The peer is
the PyPI package llama-cpp-python of tools/compare.py, called through its C functions, and needs numpy (which it brings). Both use their defaults: activations
rounded per 32 (llama.cpp: also per 256), an f16 cache.
"""
import argparse
import ctypes
import json
import math
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True                              # nothing is left beside the script
import compare

WINDOW = 512


def peer(path, text, n_threads):
    import numpy as np
    import llama_cpp.llama_cpp as L
    L.llama_backend_init()
    mp = L.llama_model_default_params()
    mp.n_gpu_layers = 0
    model = L.llama_model_load_from_file(os.fsencode(path), mp)
    if not model:
        compare.die(path, "llama.cpp does not load it")
    cp = L.llama_context_default_params()
    cp.n_ctx = cp.n_batch = cp.n_ubatch = WINDOW
    cp.n_threads = cp.n_threads_batch = n_threads
    ctx = L.llama_init_from_model(model, cp)
    vocab = L.llama_model_get_vocab(model)
    n_vocab = L.llama_vocab_n_tokens(vocab)
    with open(text, "rb") as f:
        data = f.read()
    ids = (L.llama_token * (len(data) + 8))()
    n = L.llama_tokenize(vocab, data, len(data), ids, len(ids), False, False)
    ids = list(ids[:n])
    bos = [L.llama_vocab_bos(vocab)] if L.llama_vocab_get_add_bos(vocab) else []
    step, nll, count = WINDOW - len(bos), 0.0, 0
    for w in range(n // step):
        part = bos + ids[w * step:(w + 1) * step]
        batch = L.llama_batch_init(WINDOW, 0, 1)
        batch.n_tokens = WINDOW
        for i, t in enumerate(part):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = t, i, 1, i >= WINDOW // 2
            batch.seq_id[i][0] = 0
        L.llama_memory_clear(L.llama_get_memory(ctx), True)
        if L.llama_decode(ctx, batch) != 0:
            compare.die(path, "llama.cpp: a decode failed")
        for i in range(WINDOW // 2, WINDOW - 1):
            x = np.ctypeslib.as_array(L.llama_get_logits_ith(ctx, i), (n_vocab,)).astype(np.float64)
            top = x.max()
            nll += top + math.log(np.exp(x - top).sum()) - x[part[i + 1]]
            count += 1
        L.llama_batch_free(batch)
    print(json.dumps({"ppl": math.exp(nll / count), "tokens": count}))


def ours(program, path, text, n_threads):
    p = subprocess.run([program, "-m", path, "-f", text, "-c", str(WINDOW), "-t", str(n_threads)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if p.returncode != 0:
        compare.die("perplexity", (p.stderr.decode(errors="replace").strip().splitlines() or [f"exit {p.returncode}"])[-1])
    m = re.search(r"perplexity: ([0-9.]+) .* over ([0-9]+) tokens", p.stdout.decode().strip().splitlines()[-1])
    return {"ppl": float(m.group(1)), "tokens": int(m.group(2))}


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "--peer":
        peer(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    own = os.path.join(root, "build", "peer", "bin", "python")
    p = compare.Parser(prog="compare_quality.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="+", metavar="FILE.gguf")
    p.add_argument("-f", required=True, metavar="TEXT", help="a UTF-8 text; it should hold little more than the windows wanted")
    p.add_argument("-t", type=int, default=2, metavar="THREADS")
    p.add_argument("-o", metavar="FILE.md", help="also write the table there")
    p.add_argument("--program", default=os.path.join(root, "build", "perplexity"), metavar="PROGRAM", help="llama.h's (default build/perplexity)")
    p.add_argument("--python", default=own if os.path.exists(own) else sys.executable, metavar="PYTHON", help="a Python that has llama-cpp-python")
    args = p.parse_args()
    for path in args.files + [args.f]:
        if not os.path.isfile(path):
            compare.die(path, "no such file")
    out = ["| file | scored tokens | llama.h | llama.cpp | difference |", "|---|--:|--:|--:|--:|"]
    for path in args.files:
        a = ours(args.program, path, args.f, args.t)
        b = compare.call([args.python, os.path.abspath(__file__), "--peer", path, args.f, str(args.t)], "peer")
        if a["tokens"] != b["tokens"]:
            compare.die(path, f"llama.h scored {a['tokens']} tokens, llama.cpp {b['tokens']}: the texts were not cut alike")
        out.append(f"| {os.path.basename(path).removesuffix('.gguf')} | {a['tokens']} | {a['ppl']:.4f} | {b['ppl']:.4f} | {100 * (a['ppl'] / b['ppl'] - 1):+.2f} % |")
        print(out[-1], file=sys.stderr, flush=True)
    text = "\n".join(out) + "\n"
    if args.o:
        compare.write(os.path.dirname(args.o) or ".", os.path.basename(args.o), text)
    sys.stdout.write(text)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
