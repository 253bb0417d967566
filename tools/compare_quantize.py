#!/usr/bin/env python3
"""Compares this project's quantizers with llama.cpp's, and makes the tables of the README's section on quantizing.

    make && build/quantize models/SmolLM2-135M-Instruct.Q4_1.gguf build/f16.gguf F16
    python3 tools/compare_quantize.py errors speed files perplexity importance memory load --peer PYTHON --model build/f16.gguf --text TEXT --calibration TEXT

Every measurement is kept in --results (JSON) as soon as it is made, and made no second time; so any part may be run alone, stopped (--seconds N: after N
seconds) and gone on with. What is there is printed as tables of Markdown at the end. numpy and the gguf package are needed; PYTHON is one with
llama-cpp-python 0.3.36 (tools/compare.py says how it is installed), of which the C functions are called. Exit status 1: a bar is not met.

errors      root mean square errors, ours / theirs, over --rows rows of 2,048 numbers (Gaussian; Student-t with 4 degrees of freedom; one outlier a row) and
            the model's matrices (their first 512 rows), all weights 1 and with one importance vector given to both. Bar: 1.005. And ours with importance
            over ours without, both weighted by it. Bar: below 1.
speed       lm_quantize against ggml_quantize_chunk, one thread, 512 rows of 2,048: millions of weights a second, the best of three in turns
files       build/quantize against llama_model_quantize, whole files (--model and --large), 1 and 2 threads: seconds, the best of --rounds in turns
perplexity  files by either of the same mix, over --text, both read by build/perplexity --compute f32. Bars: theirs + 0.1 % (8 and 6 bits), 0.5 % (5), 1.5 %
            (4), 0.3 % on average
importance  perplexity over --text with an importance matrix that was collected on --calibration, and without: Q4_0 and IQ4_NL of the whole model; Q2_K and
            Q3_K of those matrices alone whose rows are a multiple of 256, the rest F16. Bar: lower with than without
memory      peak of build/quantize and of llama_model_quantize on --large (else --model): resident MiB, of it not backed by the files
load        llama.cpp loads our file of each type and mix (Q2_K_S only with --imatrix), greedily goes on "The capital of France is", and answers "What is
            the capital of France?" in the model's own format. Bar: Paris in one of them (a model of 135M is unsure in either, quantized or not)
"""
import argparse
import ctypes
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

TYPES = {"F16": 1, "BF16": 30, "Q8_0": 8, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14,
         "IQ4_NL": 20, "IQ4_XS": 23}
MIXES = {"F16": 1, "BF16": 32, "Q8_0": 7, "Q6_K": 18, "Q5_0": 8, "Q5_1": 9, "Q5_K_S": 16, "Q5_K_M": 17, "Q4_0": 2, "Q4_1": 3, "Q4_K_S": 14, "Q4_K_M": 15,
         "IQ4_NL": 25, "IQ4_XS": 30, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q2_K": 10, "Q2_K_S": 21}  # name -> llama.cpp's number of it
BARS = {"Q8_0": 0.1, "Q6_K": 0.1, "Q5_0": 0.5, "Q4_K_M": 1.5, "Q4_1": 1.5, "Q4_0": 1.5, "IQ4_NL": 1.5}   # percent of perplexity over theirs
NARROW = {"Q2_K": "Q2_K_S", "Q3_K": "Q3_K_S"}  # type -> the mix that gives it to the most matrices
COLUMNS = 2048
SETS = ("Gaussian", "Student-t", "outliers", "model")


def die(text):
    sys.exit("compare_quantize: " + text)


class Results:
    """What has been measured: a dictionary in a file that is rewritten whole after each measurement."""
    def __init__(self, path, seconds):
        self.path, self.stop, self.v = path, time.monotonic() + seconds if seconds else None, {}
        if os.path.exists(path):
            with open(path) as f:
                self.v = json.load(f)

    def need(self, key):  # False also when time is up: the caller goes to the end
        if self.stop and time.monotonic() > self.stop:
            return False
        return key not in self.v

    def put(self, key, value):
        self.v[key] = value
        with open(self.path + ".part", "w") as f:
            json.dump(self.v, f, indent=0)
        os.replace(self.path + ".part", self.path)
        print(key, value, file=sys.stderr, flush=True)


# ---- the two quantizers as libraries
def pointer(a):
    return None if a is None else a.ctypes.data


class Ours:
    def __init__(self, build):
        path = os.path.join(build, "compare_quantize.so")
        if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime("llama.h"):
            subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-DLLAMA_IMPLEMENTATION", "-x", "c", "llama.h", "-o", path, "-lm", "-lpthread"], check=True)
        self.lib = lib = ctypes.CDLL(os.path.abspath(path))
        lib.lm_quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p]
        lib.lm_dequantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        lib.lm_row_bytes.argtypes, lib.lm_row_bytes.restype = [ctypes.c_int, ctypes.c_uint64], ctypes.c_uint64

    def row_bytes(self, kind, n):
        return self.lib.lm_row_bytes(kind, n)

    def quantize(self, kind, x, w, out):
        if self.lib.lm_quantize(kind, pointer(x), x.shape[0], x.shape[1], pointer(w), pointer(out)) != 0:
            die("lm_quantize refuses")

    def dequantize(self, kind, data, shape):
        y = np.empty(shape, np.float32)
        self.lib.lm_dequantize(kind, pointer(data), y.size, pointer(y))
        return y


class Theirs:
    def __init__(self, python):
        where = "import llama_cpp, os; print(os.path.join(os.path.dirname(llama_cpp.__file__), 'lib', 'libggml-base.so'))"
        found = subprocess.run([python, "-c", where], capture_output=True, text=True)
        if found.returncode:
            die("--peer %s: has no llama_cpp" % python)
        self.lib = lib = ctypes.CDLL(found.stdout.strip(), mode=ctypes.RTLD_GLOBAL)
        lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
        lib.ggml_quantize_chunk.restype = ctypes.c_size_t

    def quantize(self, kind, x, w, out):
        self.lib.ggml_quantize_chunk(kind, pointer(x), pointer(out), 0, x.shape[0], x.shape[1], pointer(w))


# ---- errors
def data(name, args):
    """A set's matrices, as float32."""
    if name == "model":
        from gguf import GGUFReader
        for t in GGUFReader(args.model).tensors:
            if len(t.shape) == 2:
                yield np.ascontiguousarray(t.data[:512].astype(np.float32))
        return
    rng = np.random.default_rng(SETS.index(name) + 1)
    x = rng.standard_t(4, (args.rows, COLUMNS)) if name == "Student-t" else rng.standard_normal((args.rows, COLUMNS))
    if name == "outliers":
        x[np.arange(args.rows), rng.integers(0, COLUMNS, args.rows)] *= 50
    yield x.astype(np.float32)


def squares(x, y, w):
    d = (x - y).astype(np.float64) ** 2
    return [float(d.sum()), float((d * w).sum())]


def errors(args, out):
    """key -> sums of squares: ours, ours weighted, theirs, theirs weighted"""
    ours, theirs, rng = Ours(args.build), Theirs(args.peer), np.random.default_rng(2)
    importance = (rng.standard_normal(1 << 16) ** 2 * np.exp(rng.standard_normal(1 << 16)) + 1e-3).astype(np.float32)
    for name in SETS if args.model else SETS[:3]:
        for kind, number in TYPES.items():
            for given in (0, 1):
                key, total = "errors/%s/%s/%s/%d" % (name if name == "model" else "%s %d" % (name, args.rows), args.name, kind, given), np.zeros(4)
                for x in data(name, args) if out.need(key) else ():
                    n, w = ours.row_bytes(number, x.shape[1]), importance[:x.shape[1]].copy()
                    for i, who in enumerate((ours, theirs)) if n else ():
                        packed = np.empty(n * x.shape[0], np.uint8)
                        who.quantize(number, x, w if given else None, packed)
                        total[2 * i:2 * i + 2] += squares(x, ours.dequantize(number, packed, x.shape), w)
                if out.need(key):
                    out.put(key, total.tolist())


def error_tables(args, out):
    def ratio(name, kind, given, a, b, of=None):
        key = "errors/%s/%s/%s/" % (name if name == "model" else "%s %d" % (name, args.rows), args.name, kind)
        x, y = out.v.get(key + str(given)), out.v.get(key + str(given if of is None else of))
        return None if x is None or y is None else (x[a] / y[b]) ** 0.5 if y[b] else 1.0
    lines = ["| | " + " | ".join(SETS) + " | importance: " + " | ".join(SETS) + " | with / without: " + " | ".join(SETS) + " |", "|---" * 13 + "|"]
    over, rose = [], []
    for kind in TYPES:
        cells = [ratio(n, kind, 0, 0, 2) for n in SETS] + [ratio(n, kind, 1, 1, 3) for n in SETS] + [ratio(n, kind, 1, 1, 1, 0) for n in SETS]
        lines.append("| %s | %s |" % (kind, " | ".join("" if c is None else "%.3f" % c for c in cells)))
        over += [kind for c in cells[:8] if c is not None and c > 1.005]
        rose += [kind for c in cells[8:] if c is not None and c >= 1 and kind not in ("F16", "BF16")]
    return lines, [("errors above 1.005", over), ("importance does not lower the error", rose)]


# ---- speed
def speed(args, out):
    ours, theirs = Ours(args.build), Theirs(args.peer)
    x = np.random.default_rng(3).standard_normal((512, COLUMNS)).astype(np.float32)
    w = np.random.default_rng(4).random(COLUMNS).astype(np.float32) + 0.1
    packed = np.empty(x.nbytes, np.uint8)
    for kind, number in TYPES.items():
        for given in (0, 1):
            key, best = "speed/%s/%d" % (kind, given), [1e9, 1e9]
            for _ in range(3 if out.need(key) else 0):
                for i, who in enumerate((ours, theirs)):
                    start = time.perf_counter()
                    who.quantize(number, x, w if given else None, packed)
                    best[i] = min(best[i], time.perf_counter() - start)
            if best[0] < 1e9:
                out.put(key, [x.size / b / 1e6 for b in best])


def speed_table(args, out):
    lines, slow = ["| Mweights/s | llama.h | llama.cpp | | importance: llama.h | llama.cpp | |", "|---" * 7 + "|"], []
    for kind in TYPES:
        cells = []
        for given in (0, 1):
            a, b = out.v.get("speed/%s/%d" % (kind, given), (0, 0))
            cells += ["%.1f" % a, "%.1f" % b, "%.2fx" % (a / b)] if b else [""] * 3
            slow += [kind + (" with importance" if given else "")] if a < b else []
        lines.append("| %s | %s |" % (kind, " | ".join(cells)))
    return lines, [("slower", slow)]


# ---- whole files
PEER = r"""
import ctypes, sys, llama_cpp.llama_cpp as L
p = L.llama_model_quantize_default_params(); p.ftype = int(sys.argv[3]); p.allow_requantize = True; p.nthread = int(sys.argv[4])
sys.exit(L.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(p)))
"""


def make(args, who, source, target, mix, threads, *more):
    command = [args.build + "/quantize", source, target, mix, "-t", str(threads), *more] if who == 0 else \
        [args.peer, "-c", PEER, source, target, str(MIXES[mix]), str(threads)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def files(args, out):
    """Seconds of either, without what the peer's Python takes to start."""
    for source in filter(None, (args.model, args.large)):
        for mix in args.mixes or [m for m in MIXES if m != "Q2_K_S"]:  # which llama.cpp refuses without importance
            for threads in (1, 2):
                key, best = "files/%s/%s/%d" % (os.path.basename(source), mix, threads), [1e9, 1e9]
                for k in range(args.rounds if out.need(key) else 0):
                    for who in (0, 1):
                        start = time.perf_counter()
                        make(args, who, source, os.path.join(args.scratch, "file.gguf"), mix, threads)
                        best[who] = min(best[who], time.perf_counter() - start)
                if best[0] < 1e9:
                    out.put(key, best)


def startup(args):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([args.peer, "-c", "import llama_cpp.llama_cpp"], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def file_tables(args, out):
    lines, slow = [], []
    began = out.v.get("startup", 0)
    for source in sorted({k.split("/")[1] for k in out.v if k.startswith("files/")}):
        lines += ["", "| %s, seconds | 1 thread | llama.cpp | | 2 threads | llama.cpp | |" % source, "|---" * 7 + "|"]
        for mix in MIXES:
            cells = []
            for threads in (1, 2):
                a, b = out.v.get("files/%s/%s/%d" % (source, mix, threads), (0, 0))
                b = max(0, b - began)
                cells += ["%.2f" % a, "%.2f" % b, "%.1fx" % (b / a)] if a else [""] * 3
                slow += ["%s %s, %d" % (source, mix, threads)] if a > b else []
            if any(cells):
                lines.append("| %s | %s |" % (mix, " | ".join(cells)))
    return lines, [("files slower", slow)]


# ---- perplexity
def measure(args, path):
    run = subprocess.run([args.build + "/perplexity", "-m", path, "-f", args.text, "--compute", "f32", "-t", str(args.threads)], capture_output=True, text=True)
    found = re.search(r"perplexity: ([\d.]+) \+/- ([\d.]+) over (\d+) tokens", run.stdout)
    if not found:
        die(run.stderr.strip() or "perplexity says nothing")
    return [float(found.group(1)), float(found.group(2)), int(found.group(3)), os.path.getsize(path)]


def perplexity(args, out):
    for mix in BARS:
        for who in (0, 1):
            key, path = "perplexity/%s/%s" % (("ours", "theirs")[who], mix), os.path.join(args.scratch, "file.gguf")
            if out.need(key):
                make(args, who, args.model, path, mix, args.threads)
                out.put(key, measure(args, path))


def perplexity_table(args, out):
    lines, over, ratios = ["| | MiB | perplexity | llama.cpp's file | |", "|---" * 5 + "|"], [], []
    for mix, bar in BARS.items():
        a, b = (out.v.get("perplexity/%s/%s" % (who, mix)) for who in ("ours", "theirs"))
        if a and b:
            ratios.append(100 * (a[0] / b[0] - 1))
            lines.append("| %s | %.1f | %.4f | %.4f | %+.2f %% |" % (mix, a[3] / 2**20, a[0], b[0], ratios[-1]))
            over += [mix] if ratios[-1] > bar else []
            over += [mix + ", whose size differs"] if abs(a[3] - b[3]) > 4096 else []
    if ratios:
        mean = sum(ratios) / len(ratios)
        lines.append("| mean | | | | %+.2f %% |" % mean)
        over += ["the mean"] if mean > 0.3 else []
    return lines, [("perplexity above the bar", over)]


def splice(plain, packed, kind, target):
    """The file `plain`, with those tensors of `packed` that are of that type; metadata are those of `plain`."""
    from gguf import GGMLQuantizationType, GGUFReader
    a, b = GGUFReader(plain), GGUFReader(packed)
    other, infos, blobs, at = {t.name: t for t in b.tensors if t.tensor_type == GGMLQuantizationType[kind]}, b"", [], 0
    for t in a.tensors:
        t = other.get(t.name, t)
        text, bytes_ = t.name.encode(), t.data.tobytes()
        infos += struct.pack("<Q", len(text)) + text + struct.pack("<I%dQIQ" % len(t.shape), len(t.shape), *map(int, t.shape), t.tensor_type.value, at)
        blobs.append(bytes_ + bytes(-len(bytes_) % a.alignment))
        at += len(blobs[-1])
    with open(plain, "rb") as f:
        head = f.read(a.tensors[0].field.offset) + infos
    with open(target, "wb") as f:
        f.write(head + bytes(-len(head) % a.alignment))
        f.writelines(blobs)
    return len(other)


def importance(args, out):
    matrix, path, whole = (os.path.join(args.scratch, n) for n in ("imatrix.gguf", "file.gguf", "whole.gguf"))
    matrix = args.imatrix or matrix
    for kind in ("Q4_0", "IQ4_NL", "Q2_K", "Q3_K"):
        for given in (0, 1):
            key, more = "importance/%s/%d" % (kind, given), ("--imatrix", matrix) if given else ()
            if not out.need(key):
                continue
            if given and not os.path.exists(matrix):
                subprocess.run([args.build + "/perplexity", "-m", args.model, "-f", args.calibration, "--imatrix-out", matrix, "-t", str(args.threads)],
                               check=True, stdout=subprocess.DEVNULL)
            make(args, 0, args.model, whole, NARROW.get(kind, kind), args.threads, *more)
            n = splice(args.model, whole, kind, path) if kind in NARROW else os.replace(whole, path)
            out.put(key, measure(args, path) + [n])


def importance_table(args, out):
    lines, rose = ["| | without | with an importance matrix | |", "|---" * 4 + "|"], []
    for kind in ("Q4_0", "IQ4_NL", "Q2_K", "Q3_K"):
        a, b = (out.v.get("importance/%s/%d" % (kind, g)) for g in (0, 1))
        if a and b:
            lines.append("| %s%s | %.4f | %.4f | %+.2f %% |" % (kind, ", %d matrices" % a[4] if a[4] else "", a[0], b[0], 100 * (b[0] / a[0] - 1)))
            rose += [kind] if b[0] >= a[0] else []
    return lines, [("importance does not lower perplexity", rose)]


# ---- memory
def memory(args, out):
    """The most that was resident, and of it what no file backs, by looking every 2 ms."""
    source = args.large or args.model
    for mix in args.mixes or ("Q8_0", "Q4_K_M"):
        for who in (0, 1):
            key, top = "memory/%s/%s/%s" % (os.path.basename(source), mix, ("ours", "theirs")[who]), [0, 0]
            if not out.need(key):
                continue
            path = os.path.join(args.scratch, "file.gguf")
            command = [args.build + "/quantize", source, path, mix, "-t", "2"] if who == 0 else [args.peer, "-c", PEER, source, path, str(MIXES[mix]), "2"]
            p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while p.poll() is None:
                with open("/proc/%d/status" % p.pid) as f:
                    now = dict(re.findall(r"(VmHWM|RssAnon):\s+(\d+)", f.read()))
                top = [max(top[0], int(now.get("VmHWM", 0))), max(top[1], int(now.get("RssAnon", 0)))]
                time.sleep(0.002)
            if p.returncode:
                die("%s fails" % command[0])
            out.put(key, [v / 1024 for v in top])


def memory_table(args, out):
    lines = ["| peak MiB | resident | of it not the input's pages |", "|---" * 3 + "|"]
    for key, v in out.v.items():
        if key.startswith("memory/"):
            lines.append("| %s | %.0f | %.0f |" % (key[7:].replace("/", ", "), *v))
    return lines, []


# ---- the peer reads our files
LOAD = r"""
import sys, llama_cpp
m = llama_cpp.Llama(sys.argv[1], n_ctx=128, n_threads=2, verbose=False)
said = m.create_chat_completion([{"role": "user", "content": "What is the capital of France?"}], max_tokens=32, temperature=0)
print(repr(m.create_completion("The capital of France is", max_tokens=32, temperature=0)["choices"][0]["text"]), repr(said["choices"][0]["message"]["content"]))
"""


def load(args, out):
    for mix in args.mixes or ["F32"] + list(MIXES):
        key, path = "load/" + mix, os.path.join(args.scratch, "file.gguf")
        more = ("--imatrix", args.imatrix) if args.imatrix and mix == "Q2_K_S" else ()
        if out.need(key) and (more or mix != "Q2_K_S"):  # llama.cpp makes none without importance; too little of a small model is left
            make(args, 0, args.model, path, mix, 2, *more)
            run = subprocess.run([args.peer, "-c", LOAD, path], capture_output=True, text=True)
            out.put(key, run.stdout.strip() if run.returncode == 0 else "fails: " + run.stderr[-200:])


def load_table(args, out):
    said = {k[5:]: v for k, v in out.v.items() if k.startswith("load/")}
    return ["%-7s %s" % v for v in said.items()], [("llama.cpp does not say Paris", [k for k, v in said.items() if "Paris" not in v])]


PARTS = {"errors": (errors, error_tables), "speed": (speed, speed_table), "files": (files, file_tables), "perplexity": (perplexity, perplexity_table),
         "importance": (importance, importance_table), "memory": (memory, memory_table), "load": (load, load_table)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("parts", nargs="*", metavar="PART", help=" ".join(PARTS) + "; none: only show what was measured")
    p.add_argument("--peer", default=sys.executable, help="a Python with llama_cpp (default: this one)")
    p.add_argument("--build", default="build")
    p.add_argument("--model", help="a GGUF file with F16 matrices")
    p.add_argument("--large", help="a second one, for files and memory")
    p.add_argument("--text"), p.add_argument("--calibration")
    p.add_argument("--imatrix", help="an importance matrix, in place of --calibration")
    p.add_argument("--rows", type=int, default=4096)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--mixes", type=lambda s: s.split(","), help="those only (files, memory, load)")
    p.add_argument("--seconds", type=float, help="begin nothing more after so long")
    p.add_argument("--scratch", help="folder for the files that are made (default: that of --build)")
    p.add_argument("--results", default="build/compare_quantize.json")
    args = p.parse_args()
    for part in args.parts:
        if part not in PARTS:
            die("%s: no part (--help)" % part)
        if part not in ("speed", "errors") and not args.model:
            die("%s: --model is needed" % part)
        if (part in ("perplexity", "importance") and not args.text) or (part == "importance" and not (args.calibration or args.imatrix)):
            die("%s: needs --text, and importance --calibration or --imatrix too" % part)
    args.name = os.path.basename(args.model or "-")
    out = Results(args.results, args.seconds)
    if "files" in args.parts and out.need("startup"):
        out.put("startup", startup(args))
    failed = []
    with tempfile.TemporaryDirectory(dir=args.scratch or args.build) as args.scratch:
        for part in args.parts:
            PARTS[part][0](args, out)
    for part, (_, table) in PARTS.items():
        if any(k.startswith(part + "/") for k in out.v) and (not args.parts or part in args.parts):
            lines, bars = table(args, out)
            print("\n".join(["", "## " + part, ""] + lines + [""] + ["%s: %s" % (what, ", ".join(v) or "none") for what, v in bars]))
            failed += [v for _, v in bars if v]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
