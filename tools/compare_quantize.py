"""Compares this project's quantizers with llama.cpp's: errors, speed, and (with --perplexity) what the files are worth.

    python3 tools/compare_quantize.py --peer LIBDIR [--build build] [--model F16.gguf] [--rows 4096] [--perplexity TEXT] -o TABLE.md

LIBDIR holds llama.cpp's libraries (of llama-cpp-python: site-packages/llama_cpp/lib), numpy is needed. The library under test is compiled from llama.h
as `make` compiles it. Errors are root mean squares over rows of 2,048 numbers (Gaussian; Student-t with 4 degrees of freedom; one outlier a row) and over
the model's matrices, all weights 1 and with one importance vector given to both; ratios are ours / theirs, 1.005 is the bar. Speed: one thread,
millions of weights a second, the best of three. Perplexities: the model quantized by either (build/quantize; llama_model_quantize), both files read by
build/perplexity --compute f32.
"""
import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

TYPES = {"F16": 1, "BF16": 30, "Q8_0": 8, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14,
         "IQ4_NL": 20, "IQ4_XS": 23}
MIXES = {"Q8_0": 7, "Q6_K": 18, "Q5_0": 8, "Q4_K_M": 15, "Q4_1": 3, "Q4_0": 2, "IQ4_NL": 25}
COLUMNS = 2048


def pointer(a):
    return None if a is None else a.ctypes.data


class Ours:
    def __init__(self, scratch):
        path = os.path.join(scratch, "ours.so")
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-DLLAMA_IMPLEMENTATION", "-x", "c", "llama.h", "-o", path, "-lm", "-lpthread"], check=True)
        self.lib = lib = ctypes.CDLL(path)
        lib.lm_quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p]
        lib.lm_dequantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        lib.lm_row_bytes.argtypes, lib.lm_row_bytes.restype = [ctypes.c_int, ctypes.c_uint64], ctypes.c_uint64

    def row_bytes(self, kind, n):
        return self.lib.lm_row_bytes(kind, n)

    def quantize(self, kind, x, w, out):
        if self.lib.lm_quantize(kind, pointer(x), x.shape[0], x.shape[1], pointer(w), pointer(out)) != 0:
            sys.exit("compare_quantize: lm_quantize refuses")

    def dequantize(self, kind, data, shape):
        y = np.empty(shape, np.float32)
        self.lib.lm_dequantize(kind, pointer(data), y.size, pointer(y))
        return y


class Theirs:
    def __init__(self, folder):
        self.lib = lib = ctypes.CDLL(os.path.join(folder, "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
        lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
        lib.ggml_quantize_chunk.restype = ctypes.c_size_t

    def quantize(self, kind, x, w, out):
        self.lib.ggml_quantize_chunk(kind, pointer(x), pointer(out), 0, x.shape[0], x.shape[1], pointer(w))


def matrices(path):
    """The F16 matrices of a GGUF file, as float32, a few rows of each."""
    from gguf import GGUFReader
    for t in GGUFReader(path).tensors:
        if len(t.shape) == 2:
            yield t.name, np.ascontiguousarray(t.data[:512].astype(np.float32))


def data(rows, model):
    rng = np.random.default_rng(1)
    yield "Gaussian", rng.standard_normal((rows, COLUMNS)).astype(np.float32)
    yield "Student-t", rng.standard_t(4, (rows, COLUMNS)).astype(np.float32)
    x = rng.standard_normal((rows, COLUMNS)).astype(np.float32)
    x[np.arange(rows), rng.integers(0, COLUMNS, rows)] *= 50
    yield "outliers", x
    for name, x in matrices(model) if model else ():
        yield "model", x


def error(x, y, w):
    d = (x - y).astype(np.float64) ** 2
    return float((d * w).sum() if w is not None else d.sum())


def errors(ours, theirs, rows, model):
    """type -> importance? -> set of rows -> ratio of root mean squares"""
    sums = {}
    rng = np.random.default_rng(2)
    importance = (rng.standard_normal(1 << 16) ** 2 * np.exp(rng.standard_normal(1 << 16)) + 1e-3).astype(np.float32)
    for name, x in data(rows, model):
        for kind, number in TYPES.items():
            n = ours.row_bytes(number, x.shape[1])
            for w in (None, importance[:x.shape[1]].copy()) if n else ():
                for i, who in enumerate((ours, theirs)):
                    out = np.empty(n * x.shape[0], np.uint8)
                    who.quantize(number, x, w, out)
                    key = (kind, w is not None, name)
                    sums.setdefault(key, [0.0, 0.0])[i] += error(x, ours.dequantize(number, out, x.shape), w)
    return {k: (v[0] / v[1]) ** 0.5 if v[1] else 1.0 if v[0] == 0 else float("inf") for k, v in sums.items()}


def speeds(ours, theirs):
    x = np.random.default_rng(3).standard_normal((512, COLUMNS)).astype(np.float32)
    w = np.random.default_rng(4).random(COLUMNS).astype(np.float32) + 0.1
    out, result = np.empty(x.nbytes, np.uint8), {}
    for kind, number in TYPES.items():
        for imp in (None, w):
            best = [1e9, 1e9]
            for _ in range(3):
                for i, who in enumerate((ours, theirs)):
                    start = time.perf_counter()
                    who.quantize(number, x, imp, out)
                    best[i] = min(best[i], time.perf_counter() - start)
            result[kind, imp is not None] = [x.size / b / 1e6 for b in best]
    return result


PEER = r"""
import ctypes, sys, llama_cpp.llama_cpp as L
p = L.llama_model_quantize_default_params(); p.ftype = int(sys.argv[3]); p.allow_requantize = True; p.nthread = 1
sys.exit(L.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(p)))
"""


def perplexities(args, scratch):
    def measure(path):
        run = subprocess.run([args.build + "/perplexity", "-m", path, "-f", args.perplexity, "--compute", "f32"], capture_output=True, text=True)
        found = re.search(r"perplexity: ([\d.]+)", run.stdout)
        if not found:
            sys.exit("compare_quantize: " + (run.stderr.strip() or "perplexity says nothing"))
        return float(found.group(1))
    rows = []
    for mix, number in MIXES.items():
        mine, peer = os.path.join(scratch, "ours.gguf"), os.path.join(scratch, "theirs.gguf")
        subprocess.run([args.build + "/quantize", args.model, mine, mix], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([args.python, "-c", PEER, args.model, peer, str(number)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sizes = os.path.getsize(mine), os.path.getsize(peer)
        a, b = measure(mine), measure(peer)
        rows.append("| %s | %.1f | %.1f | %.4f | %.4f | %+.2f %% |" % (mix, sizes[0] / 2**20, sizes[1] / 2**20, a, b, 100 * (a / b - 1)))
        print(rows[-1], file=sys.stderr)
    return ["", "| | MiB | llama.cpp | perplexity | llama.cpp | |", "|---|---|---|---|---|---|"] + rows


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--peer", required=True, help="folder of llama.cpp's libraries")
    p.add_argument("--python", default=sys.executable, help="a Python with llama_cpp, for --perplexity")
    p.add_argument("--build", default="build")
    p.add_argument("--model", help="a GGUF file with F16 matrices")
    p.add_argument("--rows", type=int, default=4096)
    p.add_argument("--perplexity", metavar="TEXT")
    p.add_argument("-o", required=True)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs = Ours(scratch), Theirs(args.peer)
        ratio, speed = errors(ours, theirs, args.rows, args.model), speeds(ours, theirs)
        names = ["Gaussian", "Student-t", "outliers"] + (["model"] if args.model else [])
        lines = ["| type | " + " | ".join(names) + " | with importance: " + " | ".join(names) + " | Mweights/s | llama.cpp | with importance | llama.cpp |"]
        lines.append("|---" * (2 * len(names) + 5) + "|")
        for kind in TYPES:
            cells = ["%.3f" % ratio[kind, w, n] if (kind, w, n) in ratio else "" for w in (False, True) for n in names]
            cells += ["%.0f" % v for w in (False, True) for v in speed[kind, w]]
            lines.append("| %s | %s |" % (kind, " | ".join(cells)))
        if args.perplexity:
            lines += perplexities(args, scratch)
    with open(args.o, "w") as f:
        f.write("\n".join(lines) + "\n")
    over = [k for k, v in ratio.items() if v > 1.005]
    slow = [k for k, v in speed.items() if v[0] < v[1]]
    print("errors above 1.005: %s; slower: %s" % (over or "none", slow or "none"))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
