#!/usr/bin/env python3
"""Compares llama.h with llama.cpp on this machine: same files, ids and threads, in alternating runs.

    make && python3 tools/compare.py models/*.gguf -t 2 -r 5 -o build/compare

llama.cpp comes as the PyPI package llama-cpp-python, compiled here for this CPU. It is needed for this comparison only:
    INSTALL
The Python in build/peer runs it then, or the one that --python names.

Each round runs build/bench, then the peer, each in a process of its own: it loads the file, warms up with one run of each kind, then times
one prompt and one generation. The peer is called through its C functions; only llama_decode and llama_synchronize are timed, with
n_ubatch 512 and its defaults for everything else. A ratio is llama.h's rate over the peer's in one round; the tables give the
median of the rounds and their extremes. Written: compare.md, compare.svg and compare.json (every run).
"""
import argparse
import ctypes
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from xml.sax.saxutils import escape

INSTALL = 'python3 -m venv build/peer && CMAKE_ARGS=-DGGML_NATIVE=ON build/peer/bin/pip install --no-binary llama-cpp-python llama-cpp-python'
__doc__ = __doc__.replace("INSTALL", INSTALL)
MISSING = 3                                                  # the peer's exit status where the package is absent


def die(what, why, status=1):
    print(f"compare.py: {what}: {why}", file=sys.stderr)
    sys.exit(status)


# ---- the peer's process: `compare.py --peer FILE P N T C`, one JSON object on stdout

def peak_rss():
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0


def ids_of(n, n_vocab):                                      # as next_id of tools/bench.c
    state, ids = 1, []
    for _ in range(n):
        state = (state * 1664525 + 1013904223) & 0xffffffff
        ids.append((state >> 8) % n_vocab)
    return ids


def peer(path, n_prompt, n_gen, n_threads, n_ctx):
    try:
        import llama_cpp
        import llama_cpp.llama_cpp as L
    except ImportError:
        sys.exit(MISSING)
    if path == "":
        print(json.dumps({"version": llama_cpp.__version__, "flags": re.findall(r"(\w+) = 1", L.llama_print_system_info().decode())}))
        return
    L.llama_backend_init()
    start = time.perf_counter()
    mp = L.llama_model_default_params()
    mp.n_gpu_layers = 0
    model = L.llama_model_load_from_file(os.fsencode(path), mp)
    if not model:
        die(path, "llama.cpp does not load it")
    cp = L.llama_context_default_params()
    cp.n_ctx, cp.n_batch, cp.n_ubatch, cp.n_threads, cp.n_threads_batch = n_ctx, max(512, n_prompt), 512, n_threads, n_threads
    ctx = L.llama_init_from_model(model, cp)
    if not ctx:
        die(path, "llama.cpp opens no context")
    load = time.perf_counter() - start
    count = max(n_prompt, n_gen, 1)
    ids = (L.llama_token * count)(*ids_of(count, L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))))
    whole = [L.llama_batch_get_one(ids, n_prompt)]
    single = [L.llama_batch_get_one((L.llama_token * 1).from_buffer(ids, i * ctypes.sizeof(L.llama_token)), 1) for i in range(n_gen)]

    def run(batches, n):
        L.llama_memory_clear(L.llama_get_memory(ctx), False)
        begin = time.perf_counter()
        for b in batches:
            if L.llama_decode(ctx, b) != 0:
                die(path, "llama.cpp: a decode failed")
            L.llama_synchronize(ctx)
        return n / (time.perf_counter() - begin)

    for timed in (False, True):                              # the first of each warms up
        pp = run(whole, n_prompt)
        tg = run(single, n_gen)
    print(json.dumps({"pp": pp, "tg": tg, "load_ms": load * 1e3, "peak_rss_bytes": peak_rss()}))


# ---- the rounds

def call(command, what):
    try:
        p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as e:
        die(command[0], e.strerror)
    if p.returncode == MISSING and what == "peer":
        die("llama-cpp-python", f"not installed for {command[0]}; to install it: {INSTALL}")
    if p.returncode != 0:
        lines = p.stderr.decode(errors="replace").strip().splitlines() or [f"exit {p.returncode}"]
        ours = [line for line in lines if line.startswith(("compare.py: ", "bench: "))]
        die(what, (ours or lines)[-1])
    return json.loads(p.stdout)


def progress(text):
    if sys.stderr.isatty():
        print("\r" + text + "\033[K", end="", file=sys.stderr, flush=True)


def measure(args):
    tail = [str(args.p), str(args.n), str(args.t), str((max(args.p, args.n) + 255) // 256 * 256)]
    me = [args.python, os.path.abspath(__file__), "--peer"]
    out = {"cpu": cpu_name(), "threads": args.t, "prompt": args.p, "generate": args.n, "rounds": args.r, "busy": 0,
           "peer": call(me + ["", *tail], "peer"), "files": []}
    for path in args.files:
        f = {"file": os.path.basename(path), "ours": [], "peer": []}
        for i in range(args.r):
            progress(f"{f['file']}: round {i + 1} of {args.r}")
            out["busy"] = max(out["busy"], busy())
            f["ours"].append(call([args.bench, "-m", path, "-p", tail[0], "-n", tail[1], "-t", tail[2], "-c", tail[3], "-r", "1", "--json"], "bench"))
            f["peer"].append(call(me + [path, *tail], "peer"))
        out["files"].append(f)
    progress("")
    return out


def busy():
    """Processes that want a core just now, beside this one. Threads that wait for each other by spinning suffer most from them, the peer's
    first of all, so ratios taken beside others say little about a quiet machine; the table says so then."""
    try:
        with open("/proc/loadavg") as f:
            return max(0, int(f.read().split()[3].split("/")[0]) - 1)
    except (OSError, ValueError, IndexError):
        return 0


def cpu_name():
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# ---- what is written

def median(values):
    return statistics.median(values)


def summary(f):
    """One row: medians of both, ratios of the rounds, shares of what the machine can do, measured in the same rounds."""
    ours, theirs = f["ours"], f["peer"]
    is_float = ours[0]["type"] in ("F32", "F16", "BF16")
    row = {"name": f["file"].removesuffix(".gguf"), "type": ours[0]["type"], "isa": ours[0]["isa"], "is_float": is_float}
    for kind in ("pp", "tg"):
        a, b = [o[kind]["tps"][0] for o in ours], [t[kind] for t in theirs]
        ratios = [x / y for x, y in zip(a, b)]
        row[kind] = {"ours": median(a), "peer": median(b), "ratio": median(ratios), "low": min(ratios), "high": max(ratios)}
    peaks = [o["peak_gflops" if is_float else "peak_gops"] for o in ours]
    row["of_peak"] = median([o["pp"]["tps"][0] * o["pp"]["gop_per_token"] / p for o, p in zip(ours, peaks)]) if all(peaks) else None
    reads = [o["read_gbs"] for o in ours]
    row["of_reads"] = median([o["tg"]["tps"][0] * o["bytes_per_token"] * 1e-9 / g for o, g in zip(ours, reads)]) if all(reads) else None
    for key in ("load_ms", "peak_rss_bytes"):
        row[key] = (median([o[key] for o in ours]), median([t[key] for t in theirs]))
    return row


def number(v):
    return f"{v:.0f}" if v >= 100 else f"{v:.1f}"


def markdown(data, rows):
    def cell(text):
        return text.replace("|", "\\|")

    def rate(k):
        return f"{number(k['ours'])} | {number(k['peer'])} | **{k['ratio']:.2f}** ({k['low']:.2f} to {k['high']:.2f})"

    def percent(v, unit):
        return "" if v is None else f"{100 * v:.0f} %{unit}"
    n = data["threads"]
    out = [f"{data['cpu']}, {n} thread{'s' * (n > 1)}; tokens/s, medians of at least {data['rounds']} alternating runs, of the ratios also the extremes. "
           f"llama.h on {rows[0]['isa']}; llama.cpp from llama-cpp-python {data['peer']['version']} ({' '.join(data['peer']['flags'])}).", "",
           f"| file | prompt {data['prompt']}: llama.h | llama.cpp | ratio | generate {data['generate']}: llama.h | llama.cpp | ratio |",
           "|---|--:|--:|:--|--:|--:|:--|"]
    out += [f"| {cell(r['name'])} | {rate(r['pp'])} | {rate(r['tg'])} |" for r in rows]
    if data["busy"]:
        out += ["", f"**Not a quiet machine: up to {data['busy']} other processes were running, so these ratios do not hold for one.**"]
    out += ["", "What llama.h reaches of the machine's limits, measured in the same rounds, and what loading takes:", "",
            "| file | prompt: of the multiply peak | generate: of the read bandwidth | load ms: llama.h | llama.cpp "
            "| peak MiB: llama.h | llama.cpp |",
            "|---|--:|--:|--:|--:|--:|--:|"]
    out += [f"| {cell(r['name'])} | {percent(r['of_peak'], ' float' if r['is_float'] else ' integer')} | {percent(r['of_reads'], '')} "
            f"| {number(r['load_ms'][0])} | {number(r['load_ms'][1])} | {r['peak_rss_bytes'][0] / 2**20:.0f} | {r['peak_rss_bytes'][1] / 2**20:.0f} |"
            for r in rows]
    return "\n".join(out) + "\n"


# The chart brings its own background, so it can be read on a light and on a dark page whichever the viewer's setting picks.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .t { font-weight: 600; font-size: 15px } .s { fill: #59636e; font-size: 12px }
.r { font-weight: 600 } .card { fill: #ffffff; stroke: #d1d9e0 } .ours { fill: #0969da } .peer { fill: #a0a8b0 }
@media (prefers-color-scheme: dark) { text { fill: #f0f6fc } .s { fill: #9198a1 } .card { fill: #0d1117; stroke: #3d444d }
.ours { fill: #4493f8 } .peer { fill: #656c76 } }
"""


def svg(data, rows):
    width, left, full, step = 860, 250, 430, 46
    height = 74 + 2 * (40 + step * len(rows)) + 8
    n = data["threads"]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
           "<title>Tokens per second of llama.h and llama.cpp</title>", f"<style>{STYLE}</style>",
           f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
           f'<text class="t" x="20" y="30">Tokens per second</text>',
           '<rect class="ours" x="250" y="20" width="12" height="12" rx="2"/><text x="268" y="31">llama.h</text>',
           '<rect class="peer" x="340" y="20" width="12" height="12" rx="2"/><text x="358" y="31">llama.cpp</text>',
           f'<text class="s" x="20" y="50">{escape(data["cpu"])}, {n} thread{"s" * (n > 1)}, medians of at least {data["rounds"]} alternating runs; '
           'the two bars of a file are to scale with each other</text>']
    y = 74
    for kind, title in (("pp", f"Prompt of {data['prompt']} tokens"), ("tg", f"Generating {data['generate']} tokens")):
        out.append(f'<text class="r" x="20" y="{y + 14}">{title}</text>')
        y += 28
        for r in rows:
            k = r[kind]
            most = max(k["ours"], k["peer"])
            name = r["name"] if len(r["name"]) <= 30 else r["name"][:29] + "\u2026"
            out.append(f'<text x="20" y="{y + 21}">{escape(name)}</text>')
            for i, who in enumerate(("ours", "peer")):
                w = max(1.0, full * k[who] / most)
                out.append(f'<rect class="{who}" x="{left}" y="{y + 18 * i}" width="{w:.1f}" height="15" rx="2"/>')
                out.append(f'<text x="{left + w + 6:.1f}" y="{y + 18 * i + 12}">{number(k[who])}</text>')
            out.append(f'<text class="r" x="{width - 20}" y="{y + 13}" text-anchor="end">{k["ratio"]:.2f}\u00d7</text>')
            out.append(f'<text class="s" x="{width - 20}" y="{y + 30}" text-anchor="end">{k["low"]:.2f} to {k["high"]:.2f}</text>')
            y += step
        y += 12
    return "\n".join(out + ["</svg>"]) + "\n"


def write(folder, name, text):
    path = os.path.join(folder, name)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(path + ".tmp", "w", encoding="utf-8", newline="\n") as f:
            f.write(text)
        os.replace(path + ".tmp", path)
    except OSError as e:
        die(path, e.strerror)


class Parser(argparse.ArgumentParser):
    def error(self, message):                                # one line, as all programs
        die("usage", message + " (--help)", 2)


def main():
    if len(sys.argv) == 7 and sys.argv[1] == "--peer":
        peer(sys.argv[2], *map(int, sys.argv[3:]))
        return
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    own = os.path.join(root, "build", "peer", "bin", "python")
    p = Parser(prog="compare.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="+", metavar="FILE.gguf")
    p.add_argument("-t", type=int, default=0, metavar="THREADS", help="threads of both (default: the physical cores, as build/bench counts them)")
    p.add_argument("-r", type=int, default=5, metavar="ROUNDS", help="rounds for each file (default 5)")
    p.add_argument("-p", type=int, default=512, metavar="N", help="tokens of the prompt (default 512)")
    p.add_argument("-n", type=int, default=128, metavar="N", help="tokens to generate (default 128)")
    p.add_argument("-o", default=os.path.join(root, "build", "compare"), metavar="OUTDIR", help="folder for the results (default build/compare)")
    p.add_argument("--with", dest="earlier", action="append", default=[], metavar="FILE.json", help="show the files of an earlier run first (its compare.json)")
    p.add_argument("--bench", default=os.path.join(root, "build", "bench"), metavar="PROGRAM", help="llama.h's program (default build/bench)")
    p.add_argument("--python", default=own if os.path.exists(own) else sys.executable, metavar="PYTHON",
                   help="a Python that has llama-cpp-python (default: build/peer's, else this one)")
    args = p.parse_args()
    if args.t < 0 or min(args.r, args.p, args.n) < 1:
        die("usage", "-t, -r, -p and -n are counts from 1 (--help)", 2)
    if not os.path.exists(args.bench):
        die(args.bench, "not built; run make")
    for path in args.files:
        if not os.path.isfile(path):
            die(path, "no such file")
    if args.t == 0:
        args.t = call([args.bench, "--peak", "--json"], "bench")["threads"]
    earlier = []
    for path in args.earlier:
        try:
            with open(path, encoding="utf-8") as f:
                earlier.append(json.load(f))
        except (OSError, ValueError) as e:
            die(path, e)
    data = measure(args)
    for e in earlier[::-1]:
        if any(e.get(k) != data[k] for k in ("cpu", "threads", "prompt", "generate", "peer")):
            die("--with", "an earlier run on another machine, with other counts or another peer")
        data["files"], data["busy"], data["rounds"] = e["files"] + data["files"], max(e["busy"], data["busy"]), min(e["rounds"], data["rounds"])
    rows = [summary(f) for f in data["files"]]
    text = markdown(data, rows)
    write(args.o, "compare.json", json.dumps(data, indent=1) + "\n")
    write(args.o, "compare.md", text)
    write(args.o, "compare.svg", svg(data, rows))
    sys.stdout.write(text)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
