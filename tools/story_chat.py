#!/usr/bin/env python3
"""Teaches a story model to answer requests, and measures what it learned: chats of data/instruct/story_chat, all weights, minutes of CPU time.

    make && python3 tools/story_chat.py examples/stories.gguf [-o build/story_chat] [--data ../shared] [--seeds 3] [--steps N]

Needs the standard library and the programs in build/. OUT gets the configurations (prepare.json, train.json), the token files, before/model.gguf (the
weights as they were, with the chat template), after/model.gguf (F32) and answers.jsonl. A run that is cut off goes on when it is called again.

The score: the share of asked-for words that the answer has. Asked for are the texts in double quotes of a request, and the NAME of "Write a short story
about NAME with ..."; an answer has a word where it stands there whole, in upper or lower case. "Continue this story: ..." asks for no word and is left
out. Both models get each request through the same template, with the same sampling (chat's defaults, at most 300 tokens) and seeds. By chance: the
words found in the fine-tuned model's answers when each answer is scored with the words of another request of the same form, the next one.
"""
import argparse
import concurrent.futures
import json
import os
import re
import resource
import subprocess
import sys

MOST = 300                                                  # tokens of an answer
TRAIN = {"n_len": 512, "batch": 4, "steps": 700, "lr": 2e-3, "warmup": 20, "schedule": "linear", "dropout": 0.1, "valid_every": 100, "save_every": 100}


def run(*command):
    p = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if p.returncode:
        sys.exit("story_chat: %s: exit %d" % (" ".join(command), p.returncode))
    return p.stdout


def cpu():
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def form_and_words(request):
    """The form of a request and the words it asks for; None: it asks for none."""
    words, name = re.findall(r'"([^"]+)"', request), re.match(r"Write a short story about (\w+) with", request)
    if request.startswith("Continue this story:") or not words:
        return None
    return ("name" if name else request.split('"')[0]), words + ([name.group(1)] if name else [])


def found(words, answer):
    return [re.search(r"(?<!\w)%s(?!\w)" % re.escape(w), answer, re.I) is not None for w in words]


def answers(build, model, requests, seeds):
    """[seed][request] -> text, and how many the model ended by itself."""
    def one(job):
        p = subprocess.run([build + "/chat", "-m", model, "-t", "1", "-n", str(MOST), "-s", str(job[0]), "--verbose"], input=job[1] + "\n", capture_output=True, text=True)
        n = re.search(r"; reply (\d+)", p.stderr)
        if p.returncode or not n:
            sys.exit("story_chat: %s: %s" % (model, p.stderr.strip()))
        return p.stdout[:-1], int(n.group(1)) < MOST
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        got = list(pool.map(one, [(1000 * s + i, r) for s in range(seeds) for i, r in enumerate(requests)]))
    n = len(requests)
    return [[t for t, _ in got[s * n:s * n + n]] for s in range(seeds)], sum(e for _, e in got) / len(got)


def score(asked, texts, chance=False):
    """Of the quoted words and of the names whether each was found, all seeds together. asked: [(request's number, form, words)]"""
    of = {}
    for form in {a[1] for a in asked}:
        same = [a for a in asked if a[1] == form]
        for (i, _, words), (_, _, others) in zip(same, same[1:] + same[:1]):
            for t in texts:
                hits = found(others if chance else words, t[i])
                for k, hit in enumerate(hits):
                    kind = "name" if form == "name" and k == len(hits) - 1 else "word"
                    of.setdefault(kind, []).append(hit)
    return of


def last(path, column):
    with open(path) as f:
        head, *lines = f.read().strip().split("\n")
    return [line.split(",")[head.split(",").index(column)] for line in lines if line.split(",")[head.split(",").index(column)]][-1]


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("model")
    a.add_argument("-o", "--out", default="build/story_chat")
    a.add_argument("--build", default="build")
    a.add_argument("--data", default=os.environ.get("LLAMA_TEST_DATA", "../shared"))
    a.add_argument("--seeds", type=int, default=3)
    a.add_argument("--steps", type=int, default=TRAIN["steps"])
    a.add_argument("--lr", type=float, default=TRAIN["lr"])
    a.add_argument("--dropout", type=float, default=TRAIN["dropout"])
    o = a.parse_args()
    out, chats = o.out, o.data + "/data/instruct/story_chat.%s.jsonl"
    os.makedirs(out, exist_ok=True)
    prepare = {"out": out + "/chats", "model": o.model, "chat_template": os.path.join(os.path.dirname(os.path.abspath(__file__)), "story_chat.jinja"),
               "sources": [{"path": chats % "train", "validation": chats % "valid"}]}
    train = {**TRAIN, "out": out + "/after", "model": o.model, "vocab": out + "/chats.vocab.gguf", "data": out + "/chats.train.tokens",
             "valid": out + "/chats.valid.tokens", "steps": o.steps, "lr": o.lr, "dropout": o.dropout}
    for name, config in (("prepare", prepare), ("train", train)):
        with open(f"{out}/{name}.json", "w") as f:
            json.dump(config, f, indent=1)
    print(run(o.build + "/prepare", out + "/prepare.json"), end="", flush=True)
    # A step with lr 0 leaves the weights as they are: the loss before, and the model with its template.
    run(o.build + "/train", out + "/train.json", "--out", out + "/before", "--steps", "1", "--lr", "0", "--resume", "never")
    began = cpu()
    print(run(o.build + "/train", out + "/train.json"), end="")
    trained = cpu() - began
    with open(chats % "valid") as f:
        requests = [json.loads(line)["messages"][0]["content"] for line in f]
    asked = [(i, *form_and_words(r)) for i, r in enumerate(requests) if form_and_words(r)]
    rows = []
    for when in ("before", "after"):
        texts, ended = answers(o.build, f"{out}/{when}/model.gguf", requests, o.seeds)
        rows.append((when, score(asked, texts), ended, float(last(f"{out}/{when}/log.csv", "valid_loss"))))
        with open(out + "/answers.jsonl", "a" if rows[1:] else "w") as f:
            for s, each in enumerate(texts):
                for r, t in zip(requests, each):
                    f.write(json.dumps({"model": when, "seed": s, "request": r, "answer": t}) + "\n")
    rows.append(("by chance", score(asked, texts, True), None, None))

    def share(hits):
        return "%.1f %% of %d" % (100 * sum(hits) / len(hits), len(hits)) if hits else "none"
    print("%d of %d requests ask for words, %d answers to each; %.0f s of CPU time for %d steps" % (len(asked), len(requests), o.seeds, trained, o.steps))
    print("| | all asked-for words | words in quotes | names | answers that end | held-out loss |\n|---|---|---|---|---|---|")
    for name, of, ended, loss in rows:
        words, names = of.get("word", []), of.get("name", [])
        print("| %s | %s | %s | %s | %s | %s |" % (name, share(words + names), share(words), share(names), "" if ended is None else "%.0f %%" % (100 * ended),
                                               "" if loss is None else "%.4f" % loss))


main()
