"""build/train and what belongs to it, from text to a GGUF, with the standard library alone.

    python3 tests/train.py BUILD [PART ...]

Parts: quick (configuration, one run, its resumption: in `make test`), torch (DPO and distillation beside PyTorch: in `make test`), reference (against
LLAMA_TEST_DATA), kill (20 random kill -9), damage (checkpoints cut off and altered, a full disk, two processes), kinds (adapters, pairs), chat
(tools/story_chat.py), cache (of a teacher), taught (is a student better), events (the tensorboard package), mpi, embed, shipped
(examples/stories.gguf), model (a new one by its script, in five minutes), readme (its commands as they stand there). Without a name: all.
Ends with `N passed, M failed, K skipped`."""
import array
import hashlib
import json
import math
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True                              # nothing is left beside the script
from checks import check, end, skip

SHIPPED, FIVE_MINUTES = 0.70, 1.04      # bits per byte of data/tinystories/valid.txt
build, parts = os.path.abspath(sys.argv[1]), sys.argv[2:]
data = os.environ.get("LLAMA_TEST_DATA", "../shared")
scratch = tempfile.TemporaryDirectory()
os.environ["OMPI_ALLOW_RUN_AS_ROOT"] = os.environ["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"


def at(name):
    return os.path.join(scratch.name, name)


def run(program, *args, **more):
    return subprocess.run([os.path.join(build, program), *map(str, args)], capture_output=True, text=True, **more)


def good(program, *args, **more):
    r = run(program, *args, **more)
    check(r.returncode == 0, f"{program} {args}: exit {r.returncode}: {r.stderr.strip()}")
    return r.stdout


def refused(status, needle, *args, program="train"):
    r = run(program, *args)
    check(r.returncode == status and r.stderr.count("\n") == 1 and needle in r.stderr, f"{program} {args}: exit {r.returncode}, {needle!r} not in {r.stderr!r}")


def write(name, text):
    with open(at(name), "w", encoding="utf-8") as f:
        f.write(text)
    return at(name)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def stories(n, seed):
    r = random.Random(seed)
    noun, verb, adjective = "cat dog bird girl boy tree house ball sun moon".split(), "saw found liked took made wanted".split(), "big red small happy old new".split()
    return ["".join(f"The {r.choice(adjective)} {r.choice(noun)} {r.choice(verb)} the {r.choice(adjective)} {r.choice(noun)}. " for _ in range(r.randint(3, 8))).strip()
            for _ in range(n)]


def tales(most):
    """Whole stories of the reference data, at most so many bytes."""
    with open(data + "/data/tinystories/train.txt", encoding="utf-8") as f:
        return f.read(most).rsplit("<|endoftext|>", 1)[0] + "<|endoftext|>\n"


def prepared():
    """A vocabulary of 300, token files of texts; once."""
    if not os.path.exists(at("g.vocab.gguf")):
        write("g.txt", "".join(s + "\n<|endoftext|>\n" for s in stories(400, 1)))
        good("prepare", write("p.json", json.dumps({"out": at("g"), "sources": [at("g.txt")], "vocab_size": 300, "clean.near": 0})))
    return {"data": at("g.train.tokens"), "valid": at("g.valid.tokens"), "vocab": at("g.vocab.gguf"), "n_len": 32, "batch": 4, "steps": 30, "lr": 0.01, "warmup": 5,
            "valid_every": 10, "save_every": 5, "shape": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_head_kv": 1, "n_ff": 32}}


def config(name, **more):
    return write(name + ".json", json.dumps({**prepared(), "out": at(name), **more}))


def log(name):
    with open(at(name + "/log.csv")) as f:
        head, *lines = f.read().strip().split("\n")
    return [dict(zip(head.split(","), line.split(","))) for line in lines]


def newest(name):
    """The step of a run's last checkpoint, 0 without one."""
    return max([int(f[5:13]) for f in os.listdir(at(name)) if f.startswith("step-") and f.endswith(".ckpt")], default=0) if os.path.isdir(at(name)) else 0


def until_saved(p, name, step=1):
    """Waits until a run has a checkpoint of that step or a later one, or ends. Single checkpoints come and go faster than anyone looks."""
    while newest(name) < step and p.poll() is None:
        time.sleep(0.002)


# ---- quick: the configuration; a run; what it wrote; the same again and resumed
def quick():
    c = config("a")
    refused(2, "the nearest is --batch", c, "--batsh", 3)
    refused(2, "--lr: fast is not a number from 0 to 10", c, "--lr", "fast")
    refused(2, "--n_len: 0 is not an integer", c, "--n_len", 0)
    refused(2, "is not constant|cosine|linear|wsd", c, "--schedule", "cosin")
    refused(1, "shape.n_layers: is no key; the nearest is shape.n_layer", write("bad.json", '{"shape": {"n_layers": 3}}'))
    refused(1, "tied: expected true or false", write("bad.json", '{"shape": {"tied": 3}}'))
    refused(1, "lr: expected a number from 0 to 10", write("bad.json", '{"lr": 11}'))
    refused(1, "line 1, column 7", write("bad.json", '{"a": '))
    refused(1, "no such file", at("none.json"))
    refused(2, "CONFIG.json is needed")
    refused(1, "too small: ", c, "--n_len", 100000)
    refused(1, "model, vocab: one of them is needed", c, "--vocab", "")
    refused(1, "of another vocabulary", c, "--vocab", "models/SmolLM2-135M-Instruct.Q4_1.gguf") if os.path.exists("models/SmolLM2-135M-Instruct.Q4_1.gguf") else None
    for path in (at("none"), scratch.name, c, at("g.txt")):
        refused(1, path, c, "--data", path)
    check("n_embd N" in good("train", "--help") and "default 288" in good("train", "--help"), "--help shows keys and defaults")
    shown = good("train", c, "--show", 2)
    check(shown.startswith("row 1: 32 tokens, 32 counted\n") and shown.count("row ") == 2, "--show: " + shown[:80])
    out = good("train", c, "-t", 1)
    check(out.count("\n") == 1 and "done at step 30 of 30, 3840 tokens" in out, "the summary: " + out)
    rows = log("a")
    check([r["step"] for r in rows] == ["10", "20", "30"], "steps of the log")
    check(float(rows[2]["loss"]) < 0.75 * math.log(300) and float(rows[2]["valid_loss"]) < float(rows[0]["valid_loss"]), "it learns: %s" % [r["loss"] for r in rows])
    check(sorted(f for f in os.listdir(at("a")) if f.startswith("step")) == ["step-%08d.ckpt" % s for s in (20, 25, 30)], "the last three checkpoints")
    with open(at("a/curve.svg")) as f:
        svg = f.read()
    check(svg.startswith("<svg ") and svg.endswith("</svg>\n") and "polyline class=\"valid\"" in svg, "curve.svg")
    bits = good("perplexity", "-m", at("a/model.gguf"), "-f", write("valid.txt", "".join(valid_texts())), "--documents", "--compute", "f32", "--cache-type", "f32", "-c", 33)
    check(abs(float(bits.split("nll ")[1].split(" ")[0]) - float(rows[2]["valid_loss"])) < 1e-4, f"perplexity --documents says what validation said: {bits} {rows[2]}")
    worst = good("perplexity", "-m", at("a/model.gguf"), "-f", at("valid.txt"), "--documents", "--worst", 4).split("\n")
    means = [float(w.split(": ")[1].split(" ")[0]) for w in worst[:4]]
    check(len(worst) == 6 and worst[4].startswith("perplexity: ") and means == sorted(means, reverse=True), "--worst: %s" % worst)
    json.loads(worst[0].split(": ", 2)[2])
    good("train", c, "--out", at("b"), "-t", 2, "--log_every", 7, "--save_every", 11, "--valid_every", 9, "--recompute", "true")
    check(digest(at("a/model.gguf")) == digest(at("b/model.gguf")), "two threads, another log, recomputed: the same bits")
    p = subprocess.Popen([build + "/train", c, "--out", at("c"), "--steps", "100000"], stdout=subprocess.PIPE, text=True)
    until_saved(p, "c")
    p.send_signal(signal.SIGTERM)
    out = p.communicate()[0]
    check(p.returncode == 0 and "stopped by a signal at step" in out, f"SIGTERM: {p.returncode} {out}")
    check(os.path.exists(out.split(":")[0]), "its last checkpoint is there")
    refused(1, "another configuration: steps=30, was steps=100000", c, "--out", at("c"))
    good("train", c, "--out", at("d"), "--minutes", 1e-9)
    n = 1
    while "done" not in good("train", c, "--out", at("d"), "--minutes", 1e-9) and n < 40:
        n += 1
    check(n == 29 and digest(at("d/model.gguf")) == digest(at("a/model.gguf")), f"a step at a time, {n + 1} runs: the same bits")
    check("done before at step 30" in good("train", c, "--out", at("d")), "nothing more to do")


def story(line):
    return "".join(part["text"] for part in json.loads(line)["parts"]).replace("<|endoftext|>", "") + "\n<|endoftext|>\n"


def valid_texts():
    """The texts behind g.valid.tokens, as prepare shows them."""
    lines = good("prepare", "--show", at("g.valid.tokens"), "--model", at("g.vocab.gguf"), "-n", 1000).strip().split("\n")
    return [story(line) for line in lines]


# ---- reference: the fixtures' tolerances (README there): relative L2 2e-5 a tensor, gradients 1e-5
def tensors(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        head, body = json.loads(f.read(n)), f.read()
    return {k: array.array("f", body[v["data_offsets"][0]:v["data_offsets"][1]]) for k, v in head.items() if k != "__metadata__"}


def reference():
    folder = os.path.join(data, "reference/train")
    if not os.path.isdir(folder):
        return skip("no reference data")
    good("train", "--reference", folder, "--out", at("ref"))
    with open(folder + "/loss.json") as f, open(at("ref/loss.json")) as g:
        want, got = json.load(f), json.load(g)
    for k in want:
        for name in ("loss", "grad_norm", "counted_targets", "sum_nll"):
            if name in want[k]:
                check(abs(got[k][name] - want[k][name]) <= 2e-6 * abs(want[k][name]), f"{k} {name}: {got[k][name]} {want[k][name]}")
    for name, bound in (("grads_full", 1e-5), ("grads_masked", 1e-5), ("grads_tied", 1e-5), ("params_step1", 2e-5), ("params_step10", 2e-5), ("params_cosine_step10", 2e-5),
                        ("lora/grads", 1e-5), ("lora/adapter_step1", 2e-5), ("lora/adapter_step3", 2e-5), ("lora/merged_step3", 2e-5), ("accum/grads", 1e-5)):
        a, b = tensors(f"{folder}/{name}.safetensors"), tensors(at(f"ref/{name}.safetensors"))
        check(set(a) == set(b), f"{name}: names")
        worst = max((math.sqrt(sum((x - y) ** 2 for x, y in zip(a[k], b[k])) / (sum(x * x for x in a[k]) + 1e-30)), k) for k in a)
        check(worst[0] <= bound, f"{name}: relative L2 {worst[0]:.2e} of {worst[1]}")
        if "params" in name:
            n = sum(map(len, a.values()))
            mean, most = sum(abs(x - y) for k in a for x, y in zip(a[k], b[k])) / n, max(abs(x - y) for k in a for x, y in zip(a[k], b[k]))
            check(mean < 1e-7 and most <= 2e-3, f"{name}: mean {mean:.1e}, largest {most:.1e}")
    check(not os.path.exists(at("ref/lora/base.gguf")), "what was needed on the way is removed")


def relative(a, b):
    """Of two sets of tensors: ||a - b|| / ||a||, of all together and of the worst one."""
    def share(keys):
        return math.sqrt(sum((x - y) ** 2 for k in keys for x, y in zip(a[k], b[k])) / sum(x * x for k in keys for x in a[k]))
    return share(a), max((share([k]), k) for k in a)


def by_torch():
    """tests/torch, made by the script there: DPO away from its reference, a teacher's top k with a temperature, all of a teacher."""
    good("train", "--reference", "tests/torch", "--out", at("torch"))
    want, got = {}, {}
    for folder, into in (("tests/torch", want), (at("torch"), got)):
        for part in ("dpo", "distill"):
            with open(f"{folder}/{part}/loss.json") as f:
                into.update({part + " " + k: v for k, v in json.load(f).items()})
    margins = zip(want.pop("dpo margins"), got.pop("dpo margins"))
    check(abs(got["dpo first"] - math.log(2)) <= 1e-6, f"DPO begins at ln 2: {got['dpo first']}")
    check(max(abs(a - b) for a, b in margins) <= 1e-5 and max(abs(want[k] - got[k]) / want[k] for k in want) <= 1e-6, f"losses: {want} {got}")
    for name in ("dpo/grads", "distill/warm", "distill/all"):
        total, worst = relative(tensors(f"tests/torch/{name}.safetensors"), tensors(at(f"torch/{name}.safetensors")))
        check(total <= 1e-5 and worst[0] <= 1e-5, f"{name}: relative L2 {total:.1e}, of a tensor {worst}")
        print(f"  {name}: relative L2 of all gradients {total:.1e}, of the furthest tensor {worst[0]:.1e}")
    check(sorted(os.listdir(at("torch"))) == ["distill", "dpo"] and "teacher.gguf" not in os.listdir(at("torch/distill")), "the parts that are asked for")


# ---- kill: 20 times, at random steps and moments, each resumed
def kill():
    more = ("--steps", 2000, "--save_every", 2, "--ema", 0.99, "--dropout", 0.1, "--sample.every", 300, "--type", "Q8_0", "--valid_every", 500)
    c, r, kills = config("k"), random.Random(5), 0
    good("train", c, "--out", at("whole"), *more)
    for step in sorted(r.sample(range(1, 1200), 20)):
        p = subprocess.Popen([build + "/train", c, *map(str, more)], stdout=subprocess.DEVNULL)
        until_saved(p, "k", step)
        time.sleep(r.random() * 0.02)
        kills += p.poll() is None
        p.kill()
        p.wait()
    check(kills == 20, f"{kills} kills before the end")
    good("train", c, *more)
    check(digest(at("whole/model.gguf")) == digest(at("k/model.gguf")), "killed 20 times: the same bits")
    check([r["loss"] for r in log("whole")] == [r["loss"] for r in log("k")], "the log of both is the same but for times")
    check(not [f for f in os.listdir(at("k")) if ".tmp" in f], "nothing unfinished is left")


# ---- damage
def room(folder):
    """Bytes that files may still take there."""
    v = os.statvfs(folder)
    return v.f_bavail * v.f_bsize


def filled(folder, left):
    """Fills a small file system up to `left` bytes."""
    with open(folder + "/filler", "wb") as f:
        f.write(b"x" * (room(folder) - left))


def full_disk():
    """A run whose disk is full, at a checkpoint and with no byte left: one line, the last checkpoint whole; with space it goes on. The disk is a small
    tmpfs; where none may be mounted (not root, no Linux) a limit on the size of files stands for it."""
    full = config("f", steps=40)
    os.mkdir(at("small"))
    mounted = shutil.which("mount") and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", at("small")], capture_output=True).returncode == 0
    out, limit = at("small/run") if mounted else at("f"), None
    try:
        good("train", full, "--out", at("f2"))
        good("train", full, "--out", out, "--minutes", 1e-9)
        before = digest(out + "/step-00000001.ckpt")
        size = os.path.getsize(out + "/step-00000001.ckpt")
        for left in (size - 5000, 0) if mounted else (size - 1000,):
            if mounted:
                filled(at("small"), left)
            else:
                def limit(most=left):
                    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            p = run("train", full, "--out", out, preexec_fn=limit)
            check(p.returncode == 1 and p.stderr.count("\n") == 1 and ("No space left on device" if mounted else "File too large") in p.stderr, f"a full disk: {p.returncode} {p.stderr}")
            check(sorted(f for f in os.listdir(out) if "ckpt" in f or "tmp" in f) == ["step-00000001.ckpt"] and digest(out + "/step-00000001.ckpt") == before,
                  f"the last checkpoint stays, whole and alone: {os.listdir(out)}")
            mounted and os.remove(at("small/filler"))
        good("train", full, "--out", out)
        check(digest(out + "/model.gguf") == digest(at("f2/model.gguf")), "with space the run goes on from it")
        with open(out + "/log.csv") as f, open(at("f2/log.csv")) as g:
            a, b = ([line.split(",")[:6] for line in h.read().split("\n")] for h in (f, g))
        check(a == b, f"and so does its log: {a} {b}")
        if mounted:                                         # the last checkpoint is there, the model does not fit
            os.remove(out + "/model.gguf")
            filled(at("small"), 8192)
            p = run("train", full, "--out", out)
            check(p.returncode == 1 and p.stderr.count("\n") == 1 and not [f for f in os.listdir(out) if "model" in f], f"no room for the model: {p.returncode} {p.stderr}")
            os.remove(at("small/filler"))
            check("done before at step 40" in good("train", full, "--out", out) and digest(out + "/model.gguf") == digest(at("f2/model.gguf")), "it is written later")
    finally:
        if mounted:
            subprocess.run(["umount", at("small")], check=True)
    print("  a full disk: " + ("a tmpfs of 4 MiB" if mounted else "by a limit on the size of files, as no tmpfs may be mounted here"))


def damage():
    c = config("h", steps=20)
    good("train", c)
    whole, newest = digest(at("h/model.gguf")), at("h/step-00000020.ckpt")
    with open(newest, "rb") as f:
        bytes_of = f.read()
    r = random.Random(6)
    cases = [bytes_of[:n] for n in (0, 1, 23, 56, 100, len(bytes_of) // 2, len(bytes_of) - 1)] + [bytes_of + b"\0" * 8]
    for _ in range(12):
        i = r.randrange(len(bytes_of))
        cases.append(bytes_of[:i] + bytes([bytes_of[i] ^ 1 << r.randrange(8)]) + bytes_of[i + 1:])
    for i, b in enumerate(cases):
        os.path.exists(at("h/model.gguf")) and os.remove(at("h/model.gguf"))
        with open(newest, "wb") as f:
            f.write(b)
        out = good("train", c, "--progress", "off")
        check("done at step 20" in out and digest(at("h/model.gguf")) == whole, f"damage {i}: {out}")
    for name in os.listdir(at("h")):
        if name.startswith("step-"):
            with open(at("h/" + name), "wb") as f:
                f.write(b"LMTRAIN1")
    check("done at step 20" in good("train", c) and digest(at("h/model.gguf")) == whole, "all are damaged: it begins anew")
    full_disk()
    p = subprocess.Popen([build + "/train", c, "--out", at("two"), "--steps", "1000000"], stdout=subprocess.PIPE)
    until_saved(p, "two")
    refused(1, "another process trains in this folder", c, "--out", at("two"))
    p.kill()
    p.wait()
    check("stopped" in good("train", c, "--out", at("two"), "--steps", 1000000, "--minutes", 1e-9), "the lock of a killed process is none")
    nan = run("train", c, "--out", at("nan"), "--lr", 10, "--clip", 0, "--weight_decay", 10, "--warmup", 0, "--steps", 3000, "--max_bad", 3)
    check(nan.returncode in (0, 1) and nan.stderr.count("\n") == nan.returncode, f"a learning rate beyond reason: {nan.returncode} {nan.stderr}")


# ---- cache: a teacher's distributions in a file: the bits of the teacher itself where documents are whole; bound to what it is of; whole or not there
def cache():
    good("train", config("teach", steps=60))
    teacher, store = at("teach/model.gguf"), at("cached0/teach.cache")
    small = {"shape": {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_head_kv": 1, "n_ff": 16}, "steps": 24, "teacher": teacher, "valid_every": 24, "packing": "whole", "n_len": 40}
    made, fly, c = [], config("fly", **small), config("cached", **small, **{"distill.cache": store})
    for i, more in enumerate(((), ("--distill.temperature", 2.5, "--distill.share", 0.9), ("--distill.top_k", 7), ("--distill.top_k", 7, "--rows", 3, "-t", 1))):
        good("train", fly, "--out", at(f"fly{i}"), *more)
        good("train", c, "--out", at(f"cached{i}"), *more)
        check(digest(at(f"fly{i}/model.gguf")) == digest(at(f"cached{i}/model.gguf")), f"cached or not, the same bits: {more}")
        made.append(digest(store))
    check(len(set(made)) == 1, "written once: top_k 64 serves 7, and every temperature")
    check(digest(at("fly0/model.gguf")) != digest(at("fly1/model.gguf")) != digest(at("fly2/model.gguf")), "temperature and top_k matter")
    with open(store, "rb") as f:
        whole = f.read()
    n_parts, n_targets = struct.unpack_from("<I", whole, 44)[0], struct.unpack_from("<Q", whole, 64 + 16)[0]
    check(n_parts == 1 and len(whole) == (64 + 24 + n_targets * 64 * 6 + 7) // 8 * 8, f"6 bytes for each of 64 logits of a target: {len(whole)} bytes, {n_targets} targets")
    good("train", c, "--out", at("alone"), "--teacher", "")
    check(digest(at("alone/model.gguf")) == digest(at("fly0/model.gguf")), "without the teacher's file")
    p = subprocess.Popen([build + "/train", fly, "--out", at("killed"), "--save_every", "3"], stdout=subprocess.DEVNULL)
    until_saved(p, "killed", 6)
    p.kill()
    p.wait()
    good("train", c, "--out", at("killed"), "--teacher", teacher)
    check(digest(at("killed/model.gguf")) == digest(at("fly0/model.gguf")), "a killed run of the teacher that goes on with the cache: the same bits")
    every = at("all.cache")
    good("train", c, "--out", at("all"), "--distill.top_k", 0, "--distill.cache", every)
    good("train", fly, "--out", at("fly_all"), "--distill.top_k", 0)
    good("train", c, "--out", at("all5"), "--distill.top_k", 7, "--distill.cache", every)
    check(digest(at("all/model.gguf")) == digest(at("fly_all/model.gguf")) and digest(at("all5/model.gguf")) == digest(at("fly2/model.gguf")), "all of the vocabulary; 7 of all")
    mixed = [{"path": at("g.train.tokens"), "weight": 3}, {"path": at("g.valid.tokens"), "weight": 1}]
    for name, more in (("mix_fly", ()), ("mix", ("--distill.cache", at("mix.cache")))):
        good("train", fly, "--out", at(name), "--data", json.dumps(mixed), *more)
    good("train", fly, "--out", at("of_two"), "--distill.cache", at("mix.cache"))
    check(digest(at("mix/model.gguf")) == digest(at("mix_fly/model.gguf")) and digest(at("of_two/model.gguf")) == digest(at("fly0/model.gguf")), "two files of data, and one of them")
    good("train", c, "--out", at("stream"), "--packing", "stream", "--distill.cache", at("stream.cache"))
    good("train", c, "--out", at("stream2"), "--packing", "stream", "--distill.cache", at("stream.cache"), "-t", 1)
    check(digest(at("stream/model.gguf")) == digest(at("stream2/model.gguf")), "a stream's bits are its own, and the same again")
    refused(1, "another configuration: nothing, was distill=from the cache", fly, "--out", at("stream"), "--packing", "stream")
    good("train", config("teach2", steps=61))
    good("prepare", write("p2.json", json.dumps({"out": at("g2"), "sources": [at("g.txt")], "model": teacher, "clean.near": 0, "validation": 0.3})))
    for needle, *more in (("is of another teacher", "--teacher", at("teach2/model.gguf")), ("is of other data", "--data", at("g2.train.tokens")), ("as a stream", "--packing", "stream"),
                          ("n_len is 41", "--n_len", 41), ("distill.top_k asks for 65", "--distill.top_k", 65), ("distill.top_k asks for 300", "--distill.top_k", 0),
                          ("no such file, and no teacher", "--teacher", "", "--distill.cache", at("none.cache")), ("is no cache of a teacher", "--distill.cache", teacher),
                          ("is a folder", "--distill.cache", scratch.name), ("is no cache of a teacher: its size", "--distill.cache", write("short", "LMTEACH1"))):
        refused(1, needle, c, "--out", at("refused"), *more)
    r, bad = random.Random(8), at("bad.cache")
    cases = [whole[:n] for n in (0, 63, 64, 100, len(whole) - 8, len(whole) - 1)] + [whole + b"\0" * 8]
    for i in [*range(8, 88, 8), *(r.randrange(len(whole)) for _ in range(8))]:
        cases.append(whole[:i] + bytes([whole[i] ^ 1 << r.randrange(8)]) + whole[i + 1:])
    for i, b in enumerate(cases):
        with open(bad, "wb") as f:
            f.write(b)
        p = run("train", c, "--out", at("refused"), "--distill.cache", bad)
        check(p.returncode == 1 and p.stderr.count("\n") == 1 and ("damaged" in p.stderr or "its size is" in p.stderr), f"damage {i}: {p.returncode} {p.stderr}")
    size = len(whole) - 1000                                # the disk is full; a signal comes
    p = run("train", c, "--out", at("refused"), "--distill.cache", at("cut.cache"), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    check(p.returncode == 1 and p.stderr.count("\n") == 1 and "File too large" in p.stderr, f"a full disk: {p.returncode} {p.stderr}")
    p = subprocess.Popen([build + "/train", c, "--out", at("refused"), "--distill.cache", at("cut.cache")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while p.poll() is None and not [f for f in os.listdir(scratch.name) if f.startswith("cut.cache")]:
        time.sleep(0.0005)
    p.send_signal(signal.SIGTERM)
    said = p.communicate()[1]
    check(p.returncode == 1 and said.count("\n") == 1 and "stopped by a signal before it was whole" in said, f"SIGTERM: {p.returncode} {said}")
    check(not [f for f in os.listdir(scratch.name) if f.startswith("cut.cache")], "nothing unfinished is left")
    print(f"  cache: {n_targets} targets, {len(whole)} bytes")


# ---- kinds: each learns, what it writes is read by llama.h
def kinds():
    base = at("base/model.gguf")
    good("train", config("base", steps=150))
    other = write("o.txt", "".join(s.replace("cat", "elephant").replace("saw", "carried") + "\n<|endoftext|>\n" for s in stories(200, 9)))
    good("prepare", write("po.json", json.dumps({"out": at("o"), "sources": [other], "model": base, "clean.near": 0})))
    good("train", config("wide", steps=150, shape={"n_embd": 32, "n_layer": 2, "n_head": 2, "n_head_kv": 1, "n_ff": 64}))
    quantized = at("wide.q4_1.gguf") # rows of 32 and 64: all matrices are in blocks
    good("quantize", at("wide/model.gguf"), quantized, "Q4_1")
    before = digest(quantized)
    for kind, more in (("full", {"model": base}), ("lora", {"model": quantized, "lora.rank": 4, "lora.alpha": 8}), ("lora dropout", {"model": base, "lora.rank": 2, "dropout": 0.1})):
        name = kind.replace(" ", "_")
        c = config(name, data=at("o.train.tokens"), valid=at("o.valid.tokens"), vocab="", steps=60, lr=0.02, valid_every=1, **more)
        out = good("train", c)
        losses = [float(r["valid_loss"]) for r in log(name)]
        check(losses[-1] < 0.8 * losses[0], f"{kind}: {losses[0]} to {losses[-1]}")
        text = "".join(story(x) for x in
                       good("prepare", "--show", at("o.valid.tokens"), "--model", base, "-n", 1000).strip().split("\n"))
        if kind == "full":
            says = good("perplexity", "-m", at(name + "/model.gguf"), "-f", write("o.valid.txt", text), "--documents", "--compute", "f32", "--cache-type", "f32", "-c", 33)
        else:
            merged = at(name + ".gguf")
            good("quantize", more["model"], merged, "F32", "--lora", at(name + "/adapter.gguf"))
            scored = ("-f", write("o.valid.txt", text), "--documents", "--compute", "f32", "--cache-type", "f32", "-c", 33)
            says = good("perplexity", "-m", merged, *scored)
            beside = good("perplexity", "-m", more["model"], "--lora", at(name + "/adapter.gguf"), *scored)
            check(abs(float(says.split("nll ")[1].split(" ")[0]) - float(beside.split("nll ")[1].split(" ")[0])) < 1e-4, f"{kind}: merged {says}, beside {beside}")
        check(abs(float(says.split("nll ")[1].split(" ")[0]) - losses[-1]) < 1e-3, f"{kind}: the file says {says}, training said {losses[-1]}")
    check(digest(quantized) == before, "the quantized base is not touched")
    pairs = [json.dumps({"prompt": s.split(". ")[0] + ". ", "chosen": "The happy girl made the new ball.", "rejected": "The old dog wanted the red moon."}) for s in stories(80, 4)]
    template = write("chat.jinja", "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|endoftext|>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}")
    write("pairs.jsonl", "\n".join(pairs) + "\n")
    good("prepare", write("pp.json", json.dumps({"out": at("pairs"), "sources": [at("pairs.jsonl")], "model": base, "clean.near": 0, "clean.exact": False, "validation": 0.2,
                                                "chat_template": template})))
    c = config("dpo", data=at("pairs.train.tokens"), valid=at("pairs.valid.tokens"), vocab="", model=base, n_len=64, steps=20, lr=1e-3, warmup=0, log_every=1, valid_every=20)
    good("train", c)
    rows = log("dpo")
    check(abs(float(rows[0]["loss"]) - math.log(2)) <= 1e-6, f"DPO begins at ln 2: {rows[0]['loss']}")
    check(float(rows[-1]["loss"]) < 0.5 and float(rows[-1]["valid_loss"]) < 0.6, f"DPO learns: {rows[-1]}")
    good("train", c, "--out", at("dpo2"), "--rows", 2)
    parts_of = [float(r["loss"]) for r in log("dpo2")]
    check(max(abs(a - float(r["loss"])) for a, r in zip(parts_of, rows)) < 1e-4, f"pair by pair: {parts_of} {rows}")
    check("(chosen)" in good("train", c, "--show", 2), "--show of pairs")


# ---- chat: tools/story_chat.py whole, on a tiny model that learns which word is asked for
def chat():
    base = config("cb", steps=150, shape={"n_embd": 32, "n_layer": 2, "n_head": 4, "n_head_kv": 1, "n_ff": 64, "n_ctx": 256})
    good("train", base)
    r, rows = random.Random(3), []
    for i in range(600):
        story = stories(1, 1000 + i)[0].split(". ")[0] + "."
        words, name = story.rstrip(".").split(), r.choice(["Tim", "Lily", "Sam"])
        ask = [f'Write a short story that uses the words "{words[2]}" and "{words[-1]}".', f'Write a short story about {name} with the word "{words[2]}".',
               f"Continue this story: {story}"][i % 3]
        answer = [story, story[:-1] + f" and {name}.", "The end."][i % 3]
        rows.append(json.dumps({"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]}))
    os.makedirs(at("data/instruct"))
    write("data/instruct/story_chat.train.jsonl", "\n".join(rows[:540]) + "\n")
    write("data/instruct/story_chat.valid.jsonl", "\n".join(rows[540:]) + "\n")
    p = subprocess.run([sys.executable, "tools/story_chat.py", at("cb/model.gguf"), "-o", at("sc"), "--build", build, "--data", scratch.name, "--seeds", "2", "--steps", "500",
                        "--lr", "0.01", "--dropout", "0"], capture_output=True, text=True)
    check(p.returncode == 0 and "40 of 60 requests ask for words, 2 answers to each" in p.stdout, f"story_chat.py: {p.returncode} {p.stdout} {p.stderr[-300:]}")
    said = {line.split("|")[1].strip(): [x.strip() for x in line.split("|")[2:-1]] for line in p.stdout.split("\n") if line.startswith("| ")}
    print("\n".join(f"  {k}: {v}" for k, v in said.items()))
    share = {k: float(said[k][0].split(" ")[0]) for k in ("before", "after", "by chance")}
    check(share["after"] > 65 and share["by chance"] < 40 and share["before"] < 40, f"asked-for words are found: {share}")
    check(float(said["after"][4]) < 0.5 * float(said["before"][4]), f"the held-out loss falls: {said}")
    rendered = good("template", "-m", at("sc/after/model.gguf"), write("m.json", '[{"role": "user", "content": "Hi\\nyou"}, {"role": "assistant", "content": "No."}]'))
    check(rendered == "<|endoftext|>> Hi\n> you\nNo.<|endoftext|>", f"the template is in the file: {rendered!r}")
    text = write("valid.txt", "".join(valid_texts()))
    one, other = (good("perplexity", "-m", at(m), "-f", text, "--documents") for m in ("cb/model.gguf", "sc/before/model.gguf"))
    check(one == other and digest(at("cb/model.gguf")) != digest(at("sc/before/model.gguf")), f"a step with lr 0 changes no weight, only the template: {one} {other}")


# ---- taught: a student of 48 % of its teacher's weights ends better with it than without, same steps, whatever the seed
def taught():
    if not os.path.isdir(data + "/data/tinystories"):
        return skip("no reference data")
    write("tales.txt", tales(1 << 19))
    good("prepare", write("ps.json", json.dumps({"out": at("s"), "sources": [at("tales.txt")], "vocab_size": 512})))
    common = {"data": at("s.train.tokens"), "valid": at("s.valid.tokens"), "vocab": at("s.vocab.gguf"), "n_len": 64, "batch": 16, "lr": 4e-3, "warmup": 20, "save_every": 1000,
              "valid_every": 1000, "valid_docs": 25}
    good("train", config("elder", **{**common, "steps": 600, "shape": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_ff": 128}}))
    c = config("young", **{**common, "steps": 200, "shape": {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_ff": 112}})
    teach = ("--teacher", at("elder/model.gguf"), "--distill.share", 0.9, "--distill.top_k", 32, "--distill.cache", at("elder.cache"))
    ends = []
    for seed in (1, 2, 3):
        good("train", c, "--out", at(f"alone{seed}"), "--seed", seed)
        good("train", c, "--out", at(f"taught{seed}"), "--seed", seed, *teach)
        ends.append([float(log(f"{name}{seed}")[-1]["valid_loss"]) for name in ("alone", "taught")])
        check(ends[-1][1] < ends[-1][0] - 0.1, f"seed {seed}: alone {ends[-1][0]}, taught {ends[-1][1]}")
    print("  validation after 200 steps, alone and taught: %s; the teacher %s" % (", ".join("%.3f %.3f" % (a, b) for a, b in ends), log("elder")[-1]["valid_loss"]))


# ---- events: read by the package
def events():
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        return skip("tensorboard is not installed")
    c = config("e", **{"sample.every": 10, "sample.tokens": 8, "steps": 30})
    p = subprocess.Popen([build + "/train", c], stdout=subprocess.PIPE)
    until_saved(p, "e")
    p.kill()
    p.wait()
    good("train", c)
    e = EventAccumulator(at("e"))
    e.Reload()
    rows = log("e")
    for tag, column in (("train/loss", "loss"), ("train/learning_rate", "lr"), ("train/gradient_norm", "grad_norm"), ("train/tokens_per_s", "tokens_per_s"),
                        ("valid/loss", "valid_loss"), ("valid/perplexity", "valid_perplexity"), ("valid/bits_per_byte", "valid_bits_per_byte")):
        want = [(int(r["step"]), float(r[column])) for r in rows if r[column]]
        got = [(s.step, s.value) for s in e.Scalars(tag)]
        check([s for s, _ in got] == [s for s, _ in want], f"{tag}: steps {got}")
        check(all(abs(a - b) <= 1e-3 * abs(b) + 1 * (column == "tokens_per_s") for (_, a), (_, b) in zip(got, want)), f"{tag}: {got} {want}")
    texts = [(t.step, t.tensor_proto.string_val[0]) for t in e.Tensors("sample")]
    check([s for s, _ in texts] == [10, 20, 30] and all(b"Once" in t for _, t in texts), f"samples: {texts}")


# ---- mpi: two ranks are one with twice the batch
def mpi():
    if not os.path.exists(build + "/train-mpi") or not shutil.which("mpirun"):
        return skip("train-mpi is not built, or there is no mpirun")
    c = config("m", steps=50, log_every=1)
    good("train", c, "--out", at("m1"), "--batch", 8)
    mpirun = ["mpirun", "-n", "2", "--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", "lo", "--mca", "oob_tcp_if_include", "lo", build + "/train-mpi", c, "-t", "1"]
    p = subprocess.run([*mpirun, "--out", at("m2"), "--batch", "4"], capture_output=True, text=True)
    check(p.returncode == 0 and p.stdout.count("\n") == 1, f"mpirun: {p.returncode} {p.stdout} {p.stderr}")
    a, b = log("m1"), log("m2")
    worst = max(abs(float(x["loss"]) - float(y["loss"])) / float(x["loss"]) for x, y in zip(a, b))
    check(len(a) == len(b) == 50 and worst <= 1e-5, f"two ranks: losses differ by {worst:.1e}, {len(b)} steps")
    print(f"  two ranks and one: largest relative difference of the loss over {len(b)} steps {worst:.1e}")
    p = subprocess.run([*mpirun, "--out", at("m3"), "--batch", "4", "--minutes", "1e-9"], capture_output=True, text=True)
    check("stopped by minutes" in p.stdout, f"mpirun stops: {p.stdout} {p.stderr}")
    p = subprocess.run([*mpirun, "--out", at("m3"), "--batch", "4"], capture_output=True, text=True)
    check("done at step 50" in p.stdout and digest(at("m2/model.gguf")) == digest(at("m3/model.gguf")), f"and goes on: {p.stdout} {p.stderr}")


# ---- embed: a program with the model in it
def embed():
    model = at("em/model.gguf")
    good("train", config("em", steps=20))
    good("embed", model, "-o", at("one.c"), "--name", "one")
    good("embed", model, "-o", at("two.c"), "--name", "two", "--form", "incbin")
    refused(2, "is no name in C", model, "-o", at("x.c"), "--name", "1st", program="embed")
    refused(1, "is no GGUF file", at("g.txt"), "-o", at("x.c"), program="embed")
    refused(1, "no such file", at("none.gguf"), "-o", at("x.c"), program="embed")
    check(not os.path.exists(at("x.c")), "embed leaves nothing behind")
    write("main.c", """#include "llama.h"
#include <stdio.h>
#include <string.h>
extern const unsigned char one[], two[]; extern const unsigned long long one_bytes, two_bytes;
int main(void) {
    lm_model_desc d; lm_model *m; lm_error err; lm_model_info info; int i;
    for (i = 0; i < 2; i++) {
        memset(&d, 0, sizeof d); d.source.data = i ? two : one; d.source.size = i ? two_bytes : one_bytes; d.plain_layout = i;
        if (lm_model_open(&m, &d, &err)) return fprintf(stderr, "%s\\n", err.text), 1;
        lm_model_get_info(m, &info); printf("%d ", info.n_vocab); lm_model_close(m);
    }
    return memcmp(one, two, one_bytes) != 0;
}
""")
    cc = os.environ.get("CC", "cc").split()
    p = subprocess.run([*cc, "-I.", at("main.c"), at("one.c"), at("two.c"), build + "/llama.o", "-o", at("embedded"), "-lm", "-lpthread"], capture_output=True, text=True)
    check(p.returncode == 0, "a program with a model in it compiles: " + p.stderr[:300])
    p = subprocess.run([at("embedded")], capture_output=True, text=True)
    check(p.returncode == 0 and p.stdout == "300 300 ", f"it opens the model in memory: {p.stdout} {p.stderr}")


# ---- the model of the repository; a smaller one by the same script
def bits(text):
    """Of a line that perplexity ends with."""
    return float(text.split(" bits/byte")[0].split(" ")[-1])


def shipped():
    model = "examples/stories.gguf"
    check(os.path.getsize(model) <= 2000000, "it has at most 2 MB")
    one = good("generate", "-m", model, "-p", "Once upon a time", "-s", 1, "--temp", 0.7, "-n", 500)
    check(one.startswith("Once upon a time") and 60 < len(one.split()) < 450 and one.strip()[-1] in '.!"', "a story that ends: " + one)
    if not os.path.isdir(data + "/data/tinystories"):
        return skip("no reference data")
    b = bits(good("perplexity", "-m", model, "-f", data + "/data/tinystories/valid.txt", "--documents"))
    check(b <= SHIPPED, f"{b} bits per byte, {SHIPPED} are the bar")


def model():
    if not os.path.isdir(data + "/data/tinystories"):
        return skip("no reference data")
    p = subprocess.run(["sh", "examples/stories/make.sh", data + "/data/tinystories", at("five"), "examples/stories/five_minutes.json"], env={**os.environ, "BUILD": build}, capture_output=True, text=True)
    check(p.returncode == 0, f"make.sh: exit {p.returncode}: {p.stderr[-300:]}")
    scores = [bits(line) for line in p.stdout.split("\n") if line.startswith("perplexity: ")]
    check(len(scores) == 2 and scores[0] <= FIVE_MINUTES and scores[1] <= scores[0] + 0.01, f"{scores} bits per byte, {FIVE_MINUTES} is the bar, 0.01 what quantizing may cost")
    print(f"  bits per byte: {scores}")


# ---- readme: the commands of its two sections, as they stand there
def readme():
    if not os.path.isdir(data + "/data/tinystories"):
        return skip("no reference data")
    with open("README.md") as f:
        text = f.read()
    script = "set -e\n" + "".join(text.split(f"\n## {title}\n")[1].split("```sh\n")[1].split("```")[0] for title in ("Preparing training data", "Training"))
    os.mkdir(at("readme"))
    os.symlink(build, at("readme/build"))
    write("readme/stories.txt", tales(1 << 19))
    p = subprocess.run(["bash", "-c", script], cwd=at("readme"), capture_output=True, text=True)
    check(p.returncode == 0, f"README: exit {p.returncode}: {p.stderr[-300:]}")
    check("done before at step 60" in p.stdout and p.stdout.count("Once upon a time") >= 2 and os.path.exists(at("readme/student/model.gguf")), "README: " + p.stdout[-500:])


os.chdir(os.path.dirname(os.path.abspath(__file__)) + "/..")
every = {"torch": by_torch, **{f.__name__: f for f in (quick, reference, kill, damage, kinds, chat, cache, taught, events, mpi, embed, shipped, model, readme)}}
for part in parts or every:
    began = time.time()
    every[part]()
    print(f"  {part}: {time.time() - began:.1f} s")
end()
