#!/usr/bin/env python3
"""build/prepare: cleaning, duplicates, vocabularies, token files, conversations. Parts:
  small       made-up inputs: every repair and reason, near duplicates, splits, mixtures, chats with their masks, pairs, damaged files, a full disk;
              needs Python's own library only, a few seconds
  reference   the labelled sample of ../shared, all stories of its training part, the BPE of reference/train, and the PyPI package tokenizers

python3 tests/prepare.py BUILD [PART...]    both without a name. LLAMA_TEST_DATA as in the Makefile. Ends with `N passed, M failed, K skipped`.
"""
import json, os, random, resource, struct, subprocess, sys, tempfile, time, unicodedata

sys.dont_write_bytecode = True                              # nothing is left beside the script
from checks import check, end, skip

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"
DATA = os.environ.get("LLAMA_TEST_DATA", "../shared")
SANITIZED = os.environ.get("LIMIT_MB") == "0"
MARK = "\n<|endoftext|>\n"


def prepare(*args, **kw):
    return subprocess.run([os.path.join(BUILD, "prepare"), *args], capture_output=True, timeout=100, **kw)


def good(*args, **kw):
    r = prepare(*args, **kw)
    check(r.returncode == 0 and r.stderr == b"", "prepare %s: exit %d: %s" % (" ".join(args)[:200], r.returncode,
        r.stderr.decode(errors="replace")[-300:].strip()))
    return r.stdout.decode()


def refuse(what, *args, says=(), code=1, **kw):
    r = prepare(*args, **kw)
    ok = r.returncode == code and r.stderr.count(b"\n") == 1 and r.stdout == b"" and all(s.encode() in r.stderr for s in says)
    check(ok, "%s: exit %d, %r, wanted one line with %s" % (what, r.returncode, r.stderr[-300:], list(says)))


def write(path, data):
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def clean(dir_, records, *args):
    """records (str or bytes) -> the list of those kept, the report"""
    data = b"".join((r if isinstance(r, bytes) else r.encode()) + MARK.encode() for r in records)
    good("--clean", write(dir_ + "/in.txt", data), "-o", dir_ + "/out.jsonl", "--report", dir_ + "/report.json", *args)
    kept = [json.loads(line)["text"] for line in read(dir_ + "/out.jsonl").decode().splitlines()]
    return kept, json.loads(read(dir_ + "/report.json"))


# ---- made-up text: sentences of words that do not repeat
SYLLABLES = "ba be bi bo da de di do ka ke ki ko la le li lo ma me mi mo na ne ni no ra re ri ro sa se si so ta te ti to".split()


def story(seed, n=12):
    r = random.Random(seed)
    word = lambda: "".join(r.choice(SYLLABLES) for _ in range(r.randint(1, 4)))
    return " ".join((" ".join(word() for _ in range(r.randint(5, 12)))).capitalize() + "." for _ in range(n))


REST = " Then they all went home together, and nobody was sad any more that day."
REPAIRS = [  # input, what it becomes; REST follows both
    ("It was a fine day.\r\nThe sun came out.", "It was a fine day.\nThe sun came out."),
    ("It was\ta  fine \u00a0 day. \n\n\n\n  The sun\u200b came out.  ", "It was a fine day.\n\nThe sun came out."),
    ("It w\0as a\x07 fine day.\x1f", "It was a fine day."),
    ("<p>It was a <b class=\"x\">fine</b> day.</p>\n<p>Salt &amp; pepper &lt;3 &eacute;&#233;&#xe9;&nbsp;&#8220;x&#8221;</p><br/><br/>",
     "It was a fine day.\nSalt & pepper <3 \u00e9\u00e9\u00e9 \u201cx\u201d\n"),
    ("<div>One.</div><script>var a = '<p>';</script><!-- no --><ul><li>Two.</li></ul>", "One.\nTwo.\n"),
    ("If a <b and c> d, then vector<a> is fine &unknown; &;", None),
    ("A caf\u0065\u0301 and A\u030a.", "A caf\u00e9 and \u00c5."),
    ("He said: \u00e2\u20ac\u0153Hi\u00e2\u20ac\u009d, it\u00e2\u20ac\u2122s me\u00e2\u20ac\u00a6", "He said: \u201cHi\u201d, it\u2019s me\u2026"),
    ("A caf\u00c3\u00a9 for \u00c2\u00a35.", "A caf\u00e9 for \u00a35."),
    ("\u00d0\u0178\u00d1\u20ac\u00d0\u00b8\u00d0\u00b2\u00d0\u00b5\u00d1\u201a.", "\u041f\u0440\u0438\u0432\u0435\u0442."),
    ("\u00e6\u2014\u00a5\u00e6\u0153\u00ac\u00e8\u00aa\u017e.", "\u65e5\u672c\u8a9e."),
    ("Smile \u00f0\u0178\u02dc\u20ac now.", "Smile \U0001f600 now."),
    ("Quotes \x93so\x94 it\x92s caf\xe9.".encode("latin-1"), "Quotes \u201cso\u201d it\u2019s caf\u00e9."),
    (b"\xef\xbb\xbfA mark of order.", "A mark of order."),
]
SOUND = [
    "\u201cCAF\u00c9\u201d she said.", "\u00d3\u2026 no.", "Un \u00e9t\u00e9\u2026\u201d he wrote.", "A manh\u00e3\u201d and MANH\u00c3\u201d too.",
    "\u00ab L\u00e0 \u00bb, \u00ab o\u00f9 \u00bb?", "na\u00efve caf\u00e9 \u2014 \u65e5\u672c\u8a9e \U0001f642",
    "Stra\u00dfe, \u00bfqu\u00e9?, \u00a35, 20 \u00b0C, \u00bd", "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440"]
DROPPED = [
    (b"It was a fine day\xff\xfe\xc3." + REST.encode(), "invalid_utf8"), ("It was \ufffd fine day." + REST, "mojibake"),
    ("\1\2\3\4\5\6\7" * 30 + REST, "control_bytes"), ("Write to someone@example.com now." + REST, "contacts"),
    ("See http://example.com/a?b=c ." + REST, "contacts"), ("See www.example.org." + REST, "contacts"),
    ("Call (555) 010-0199 now." + REST, "contacts"), ("Call +49 30 1234567 now." + REST, "contacts"), ("", "too_short"), ("\n", "too_short"),
    ("Hi.", "too_short"), ("ha " * 500 + ".", "repetitive"), ("The cat sat on the mat again. " * 20, "repetitive"),
    (REST + " And then he", "unfinished"), (REST + " They said:", "unfinished"), (REST + "\nThe End", "unfinished")]
FINISHED = [
    "\u201cYes!\u201d", "(Done.)", "Why?'", "\u306f\u3044\u3002", "So it was\u2026", "Bye \U0001f642", "In 1990-1995, 3.14 and 10,000 (2 + 2) came."]


def rules(dir_):
    for text, want in REPAIRS:
        tail = REST.encode() if isinstance(text, bytes) else REST
        kept, report = clean(dir_, [text + tail], "--clean.min_bytes", "1")
        want = text + REST if want is None else want + REST if not want.endswith("\n") else want + REST.strip()
        check(kept == [unicodedata.normalize("NFC", want)], "%r becomes %r" % (text, kept))
        check(sum(report["repaired"].values()) >= (want != text + REST if isinstance(text, str) else 1),
            "%r: repaired %s" % (text, report["repaired"]))
    kept, report = clean(dir_, [s + REST for s in SOUND], "--clean.near", "0")
    check(kept == [s + REST for s in SOUND] and report["repaired"] == {}, "sound text stays: %r" % [k for k in kept if k[:-len(REST)] not in SOUND])
    for text, why in DROPPED:
        kept, report = clean(dir_, [text])
        check(kept == [] and report["dropped"] == {why: 1}, "%r: %s, not %s" % (text[:60], report["dropped"], why))
    kept, report = clean(dir_, [REST.strip() + " " + s for s in FINISHED], "--clean.near", "0")
    check(len(kept) == len(FINISHED), "finished: %s" % report)
    kept, _ = clean(dir_, ["Write to a.b@example.com or see http://example.com/x, please." + REST], "--clean.contacts", "remove")
    check(kept == ["Write to or see , please." + REST], "contacts are taken out: %r" % kept)
    words = ["caf\u00e9", "\u201cna\u00efve", "it\u2019s", "\u00fcber", "\u017bar\u00f3w", "\u0436\u0443\u043a", "\u4f60\u597d", "\U0001f600",
        "\u2014", "se\u00f1or", "plain"]
    words = [w for w in words if not set(w.encode()) & {0x81, 0x8d, 0x8f, 0x90, 0x9d}]  # bytes that Windows-1252 lacks
    texts = [" ".join(random.Random(i).choices(words, k=30)) + REST for i in range(200)]
    latin = [" ".join(random.Random(i).choices(["se\u00f1or", "caf\u00e9", "\u00fcber", "plain"], k=30)) + REST for i in range(50)]
    for want, wrong in ((texts, [t.encode().decode("cp1252") for t in texts]), (latin, [t.encode().decode("cp1252").encode().decode("cp1252")
        for t in latin])):
        kept, _ = clean(dir_, wrong, "--clean.near", "0", "--clean.exact", "false", "--clean.repetition", "1")
        check(kept == want, "mojibake: %d of %d restored; %s" % (sum(a == b for a, b in zip(kept, want)), len(want), [k for k, w in zip(kept, want)
            if k != w][:1]))


def duplicates(dir_):
    base = [story(i) for i in range(60)]
    near = []
    for i in range(0, 40):
        words, r = base[i].split(" "), random.Random(i)
        if i % 4 == 0:
            near.append("  " + base[i].lower().replace(". ", ".  ") + " \t")
        elif i % 4 == 1:
            words[r.randrange(len(words))] = "zebra"
            near.append(" ".join(words))
        elif i % 4 == 2:
            near.append(" ".join(words[:7] + words[9:]))
        else:
            near.append(base[i].replace(", ", " ").replace(". ", "! "))
    kept, report = clean(dir_, base + base[:20] + near)
    check(kept == base and report["dropped"] == {"exact_duplicate": 20, "near_duplicate": 40}, "duplicates: %d of 60 kept, %s" % (len(kept),
        report["dropped"]))
    check(report["examples"]["exact_duplicate"][0] == {"file": dir_ + "/in.txt", "record": 61, "like": 1,
        "text": report["examples"]["exact_duplicate"][0]["text"]}, "the example names its like")
    kept, _ = clean(dir_, base + base[:5] + near[:5], "--clean.exact", "false", "--clean.near", "0")
    check(len(kept) == 70, "duplicates stay where they may")
    start = time.monotonic()
    n = 2000 if SANITIZED else 10000
    many = [story(1000 + i, 6) for i in range(n)]
    kept, report = clean(dir_, many + many[::10])
    check(len(kept) == n and report["dropped"] == {"exact_duplicate": n // 10}, "%d records: %s" % (n, report["dropped"]))
    check(time.monotonic() - start < 20, "%d records take %.1f s" % (n, time.monotonic() - start))


# ---- an own reader of token files, from the description in dataset.h
def tokens(path):
    d = read(path)
    magic, version, flags, n_vocab, n_source, size, _, n_docs, n_tokens, bos, eot, _, _ = struct.unpack("<8sIIIIQQQQiiQQ", d[:80])
    assert magic == b"LMTOKENS" and version == 1 and size == len(d) and len(d) % 8 == 0, "header"
    pad, at = lambda n: (n + 7) // 8 * 8, 80
    width = 4 if flags & 1 else 2
    ids = struct.unpack("<%d%s" % (n_tokens, "I" if width == 4 else "H"), d[at:at + n_tokens * width])
    at += pad(n_tokens * width)
    mask = [1] * n_tokens
    if flags & 2:
        mask = [d[at + i // 8] >> i % 8 & 1 for i in range(n_tokens)]
        at += pad((n_tokens + 7) // 8)
    table = [struct.unpack("<QIIII", d[at + 24 * i:at + 24 * i + 24]) for i in range(n_docs)]
    at += 24 * n_docs
    names = []
    for _ in range(n_source):
        n, = struct.unpack("<I", d[at:at + 4])
        names.append(d[at + 4:at + 4 + n].decode())
        at += 4 + n
    docs = [dict(ids=ids[a:a + n], mask=mask[a:a + n], bytes=b, source=names[s]) for a, n, b, s, _ in table]
    return dict(docs=docs, bos=bos, eot=eot, pairs=bool(flags & 4), masked=bool(flags & 2), n_vocab=n_vocab, stored=n_tokens)


def make(dir_, config, *args):
    write(dir_ + "/config.json", json.dumps(config))
    good(dir_ + "/config.json", *args)
    return tokens(config["out"] + ".train.tokens"), tokens(config["out"] + ".valid.tokens"), json.loads(read(config["out"] + ".report.json"))


def show(dir_, path, model):
    return [json.loads(line) for line in good("--show", path, "--model", model, "-n", "100000").splitlines()]


CHAT = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
PLAIN = "{% for m in messages %}{{ 'Q: ' + m['content'] + '\\nA:' if m['role'] == 'user' else ' ' + m['content'] + '\\n' }}{% endfor %}"


def sets(dir_):
    texts = [story(i) for i in range(300)]
    write(dir_ + "/a.txt", MARK.join(texts[:200]))
    os.makedirs(dir_ + "/folder/deep")
    write(dir_ + "/folder/b.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in texts[200:250]))
    write(dir_ + "/folder/deep/c.json", json.dumps([{"text": t} for t in texts[250:]]))
    write(dir_ + "/folder/ignored.bin", b"\0" * 100)
    config = {"out": dir_ + "/set", "vocab_size": 400, "special_tokens": ["<|im_start|>", "<|im_end|>"], "validation": 0.1,
        "sources": [dir_ + "/a.txt", {"path": dir_ + "/folder", "name": "b"}]}
    train, valid, report = make(dir_, config)
    model = dir_ + "/set.vocab.gguf"
    got = show(dir_, dir_ + "/set.train.tokens", model) + show(dir_, dir_ + "/set.valid.tokens", model)
    check(sorted(g["parts"][0]["text"] for g in got) == sorted(t + "<|endoftext|>" for t in texts), "every text is in one of the two sets, whole")
    check(10 <= len(valid["docs"]) <= 55 and len(train["docs"]) + len(valid["docs"]) == 300, "%d held out" % len(valid["docs"]))
    check(all(d["ids"][-1] == train["eot"] == 0 and train["eot"] not in d["ids"][:-1] for d in train["docs"]) and train["bos"] == -1,
        "end-of-text ends each document")
    check(report["documents"] == {"train": len(train["docs"]), "validation": len(valid["docs"])} and report["records"] == 300,
        "the report counts the documents")
    again = make(dir_, dict(config, out=dir_ + "/again"))
    check(read(dir_ + "/set.train.tokens") == read(dir_ + "/again.train.tokens"), "the same bytes again")
    other = make(dir_, dict(config, out=dir_ + "/again"), "--seed", "2")
    check([d["ids"] for d in other[1]["docs"]] != [d["ids"] for d in valid["docs"]], "another seed holds out others")
    # a validation file: taken as it is, and what resembles it is not trained on
    write(dir_ + "/v.txt", MARK.join([texts[3], "short", texts[5].lower()]) + MARK)
    train, valid, report = make(dir_, {"out": dir_ + "/v", "tokenizer": dir_ + "/set.tokenizer.json",
        "sources": [{"path": dir_ + "/a.txt", "validation": dir_ + "/v.txt"}]})
    check(len(valid["docs"]) == 3 and len(train["docs"]) == 198 and report["dropped"] == {"exact_duplicate": 1, "near_duplicate": 1},
        "no leak: %s" % report["dropped"])
    check(read(dir_ + "/v.vocab.gguf") == read(model), "the same vocabulary from tokenizer.json")
    # a mixture
    write(dir_ + "/config.json", json.dumps({"out": dir_ + "/m", "model": model, "validation": 0, "sources": [
        {"path": dir_ + "/a.txt", "name": "a", "weight": 1}, {"path": dir_ + "/folder", "name": "b", "weight": 3}]}))
    good(dir_ + "/config.json")
    train, report = tokens(dir_ + "/m.train.tokens"), json.loads(read(dir_ + "/m.report.json"))
    share = {s["name"]: s["share"] for s in report["sources"]}
    total = sum(len(d["ids"]) for d in train["docs"])
    check(abs(share["b"] - 0.75) < 0.02 and total == report["tokens"]["train"] and abs(total / train["stored"] - 1) < 0.05,
        "weights: shares %s, %d of %d tokens" % (share, total, train["stored"]))
    check(not os.path.exists(dir_ + "/m.valid.tokens"), "no validation, no file")
    # without separators: one record, cut
    write(dir_ + "/book.txt", "\n\n".join(texts[:50]))
    train, valid, _ = make(dir_, {"out": dir_ + "/c", "model": model, "cut": 2000, "validation": 0.2, "clean": {"near": 0},
        "sources": [dir_ + "/book.txt"]})
    check(len(train["docs"]) > 10 and all(d["bytes"] <= 2000 for d in train["docs"]), "a book is cut")
    return texts, model


def chats(dir_, texts, model):
    turns = lambda *t: [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(t)]
    data = [
        {"messages": turns("Tell me of Tim. <|im_end|>", "Tim ran. " + texts[0])},
        {"messages": [{"role": "system", "content": "Be kind."}] + turns("One?", "First.", "Two?", "Second answer.")},
        {"instruction": "Sort.", "input": "b a", "output": "a b"}, {"instruction": "Sort.", "input": "b a", "output": "a b"},
        {"messages": turns("Only a question?")}]
    data += [{"instruction": "Question %d" % i, "output": texts[i]} for i in range(20, 60)]
    write(dir_ + "/chats.jsonl", "".join(json.dumps(d) + "\n" for d in data))
    write(dir_ + "/chat.jinja", CHAT)
    write(dir_ + "/plain.jinja", PLAIN)
    config = {"out": dir_ + "/chat", "model": model, "chat_template": dir_ + "/chat.jinja", "validation": 0, "sources": [dir_ + "/chats.jsonl"]}
    write(dir_ + "/config.json", json.dumps(config))
    good(dir_ + "/config.json")
    report = json.loads(read(dir_ + "/chat.report.json"))
    check(report["dropped"] == {"exact_duplicate": 1, "template": 1}, "chats: dropped %s" % report["dropped"])
    got = [[(p["counts"], p["text"]) for p in d["parts"]] for d in show(dir_, dir_ + "/chat.train.tokens", dir_ + "/chat.vocab.gguf")]
    s = "<|im_start|>"
    check(got[0] == [(False, s + "user\nTell me of Tim. <|im_end|><|im_end|>\n" + s + "assistant\n"), (True, "Tim ran. " + texts[0] + "<|im_end|>"),
        (False, "\n")], "one answer: %s" % got[0])
    check(got[1] == [(False, s + "system\nBe kind.<|im_end|>\n" + s + "user\nOne?<|im_end|>\n" + s + "assistant\n"), (True, "First.<|im_end|>"),
                     (False, "\n" + s + "user\nTwo?<|im_end|>\n" + s + "assistant\n"), (True, "Second answer.<|im_end|>"), (False,
                         "\n")], "two answers: %s" % got[1])
    check(got[2][1] == (True, "a b<|im_end|>") and "Sort.\n\nb a" in got[2][0][1], "an instruction: %s" % got[2])
    train = tokens(dir_ + "/chat.train.tokens")
    ends = [d["ids"][max(i for i in range(len(d["ids"])) if d["mask"][i])] for d in train["docs"]]
    check(len(set(ends)) == 1 and train["masked"], "the end of each answer is trained")
    write(dir_ + "/config.json", json.dumps(dict(config, chat_template=dir_ + "/plain.jinja", out=dir_ + "/plain")))
    good(dir_ + "/config.json")
    got = [[(p["counts"], p["text"]) for p in d["parts"]] for d in show(dir_, dir_ + "/plain.train.tokens", dir_ + "/plain.vocab.gguf")]
    i = [g for g in got if "Sort." in g[0][1]][0]
    check(i == [(False, "Q: Sort.\n\nb a\nA:"), (True, " a b\n<|endoftext|>")], "a template without ends: EOS is put behind the answer: %s" % i)
    refuse("conversations without a template", write(dir_ + "/config.json", json.dumps(dict(config, chat_template=None, out=dir_ + "/x"))),
        says=["chat template"])
    # pairs
    pairs = [{"prompt": "Say %d" % i, "chosen": texts[i], "rejected": "No %d." % i} for i in range(30)]
    pairs += [
        {"chosen": turns("What?", "Good."), "rejected": turns("What?", "Bad.")},
        {"prompt": turns("A?", "B.", "C?"), "chosen": "Yes.", "rejected": "No."}]
    write(dir_ + "/pairs.jsonl", "".join(json.dumps(d) + "\n" for d in pairs))
    write(dir_ + "/config.json", json.dumps(dict(config, out=dir_ + "/pairs", sources=[dir_ + "/pairs.jsonl"], validation=0.2)))
    good(dir_ + "/config.json")
    n = 0
    for name in ("train", "valid"):
        t = tokens(dir_ + "/pairs.%s.tokens" % name)
        check(t["pairs"] and len(t["docs"]) % 2 == 0, "pairs come in twos")
        for a, b in zip(t["docs"][::2], t["docs"][1::2]):
            k, m = a["mask"].index(1), b["mask"].index(1)
            check(k == m and a["ids"][:k] == b["ids"][:k] and a["ids"] != b["ids"], "both answers of a pair have one prompt")
            n += 1
    check(n == 32, "%d pairs" % n)


def hostile(dir_, model):
    d = lambda name: dir_ + "/" + name
    token_file = d("set.train.tokens")
    whole = read(token_file)
    r = random.Random(3)
    for n in [0, 1, 79, 80, 81, len(whole) // 2, len(whole) - 8, len(whole) - 1]:
        refuse("cut at %d" % n, "--show", write(d("bad.tokens"), whole[:n]), "--model", model, says=["bad.tokens"])
    refuse("longer", "--show", write(d("bad.tokens"), whole + b"\0" * 8), "--model", model)
    for at in list(range(0, 80, 3)) + [r.randrange(len(whole)) for _ in range(20)]:
        b = bytearray(whole)
        b[at] ^= 1 << r.randrange(8)
        refuse("a bit of byte %d" % at, "--show", write(d("bad.tokens"), bytes(b)), "--model", model, says=["bad.tokens"])

    def summed(b, at, value, size):     # changed, with checksums that are right again
        b = bytearray(b)
        b[at:at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        def word_sum(p):
            h = 0x6c6d746f6b656e73
            for (x,) in struct.iter_unpack("<Q", p):
                h = (h ^ x) * 0x9e3779b97f4a7c15 & (1 << 64) - 1
                h ^= h >> 29
            return h
        b[64:72] = word_sum(bytes(b[80:])).to_bytes(8, "little")
        b[72:80] = word_sum(bytes(b[:72])).to_bytes(8, "little")
        return bytes(b)
    small = write(d("few.txt"), MARK.join(story(900 + i, 30) for i in range(8)))
    write(d("config.json"), json.dumps({"out": d("few"), "model": model, "validation": 0, "sources": [small]}))
    good(d("config.json"))
    few = read(d("few.train.tokens"))
    good("--show", write(d("bad.tokens"), summed(few, 80, 1, 2)), "--model", model)  # a token that may be there
    table = 80 + (2 * tokens(d("few.train.tokens"))["stored"] + 7) // 8 * 8
    for what, at, value, size in [
            ("version", 8, 2, 4), ("flags", 12, 8, 4), ("wide", 12, 1, 4), ("mask", 12, 2, 4), ("pairs", 12, 4, 4), ("entries", 16, 7, 4),
            ("sources", 20, 99, 4), ("sources", 20, 1 << 31, 4), ("documents", 40, 1 << 60, 8), ("documents", 40, 7, 8), ("tokens", 48, 1 << 62, 8),
            ("tokens", 48, (1 << 64) - 1, 8), ("bos", 56, 70000, 4), ("eot", 60, -9, 4), ("id", 80, 65000, 2), ("start", table, 1 << 40, 8),
            ("count", table + 8, 0, 4), ("count", table + 8, 1 << 31, 4), ("source", table + 16, 5, 4), ("name", len(few) - 24, 255, 1)]:
        r_ = prepare("--show", write(d("bad.tokens"), summed(few, at, value, size)), "--model", model)
        check(r_.returncode in ((0, 1) if what == "name" else (1,)) and r_.stderr.count(b"\n") <= 1, "%s at %d: exit %d %s" % (what, at,
            r_.returncode, r_.stderr))
    refuse("another vocabulary", "--show", token_file, "--model", d("small.gguf") if os.path.exists(d("small.gguf")) else token_file)
    # configurations
    os.makedirs(dir_ + "/void")
    base = {"out": d("x"), "model": model, "sources": [small]}
    for what, change, says in [
            ("an unknown key", {"validatoin": 1}, ["validatoin", "validation"]), ("a wrong kind", {"cut": "x"}, ["cut"]),
            ("no out", {"out": None}, ["out"]), ("two vocabularies", {"vocab_size": 300}, ["one of"]), ("no sources", {"sources": []}, ["sources"]),
            ("no such source", {"sources": [d("none.txt")]}, ["none.txt"]),
            ("a source's key", {"sources": [{"path": small, "wieght": 1}]}, ["weight"]),
            ("one weight", {"sources": [small, {"path": small, "weight": 1}]}, ["all or none"]),
            ("an empty file", {"sources": [write(d("empty.txt"), "")]}, ["too little data", "257"]),
            ("no model", {"model": d("none.gguf")}, ["none.gguf"]),
            ("too small", {"sources": [write(d("tiny.txt"), "Too short." + MARK + story(1, 2))]}, ["too little data", "257", "too_short"]),
            ("a folder without texts", {"sources": [dir_ + "/void"]}, ["void"]),
            ("an empty folder as template", {"chat_template": dir_ + "/void"}, ["void"])]:
        refuse(what, write(d("config.json"), json.dumps({k: v for k, v in dict(base, **change).items() if v is not None})), says=says)
    check(not [f for f in os.listdir(dir_) if f.startswith("x.") or ".tmp" in f], "failures leave nothing behind")
    for what, line, says in [
            ("no JSON", "{\"text\": ", ["line 2"]), ("no object", "[1]", ["line 2"]),
            ("no known key", "{\"body\": \"x\"}", ["line 2", "text, messages"]), ("text is a number", "{\"text\": 1}", ["line 2"]),
            ("no content", "{\"messages\": [{\"role\": \"user\"}]}", ["line 2", "content"]),
            ("no output", "{\"instruction\": \"x\"}", ["line 2", "output"]),
            ("rejected is missing", "{\"prompt\": \"x\", \"chosen\": \"y\"}", ["line 2", "rejected"]), ("deep", "[" * 1000, ["line 2"]),
            ("not UTF-8", "{\"text\": \"\udcff\"}", ["line 2"])]:
        bad = write(d("bad.jsonl"), (json.dumps({"text": story(5)}) + "\n" + line + "\n").encode("utf-8", "surrogateescape"))
        refuse(what, write(d("config.json"), json.dumps(dict(base, sources=[bad]))), says=["bad.jsonl"] + says)
    # the command line
    refuse("nothing", code=2)
    refuse("two modes", "--clean", small, "--train-bpe", "300", "-o", d("y"), code=2)
    refuse("no output", "--clean", small, code=2)
    refuse("no texts", "--train-bpe", "300", "-o", d("y"), code=2)
    refuse("too few entries", "--train-bpe", "256", "-o", d("y"), small, code=2)
    refuse("too little text", "--train-bpe", "5000", "-o", d("y"), small, says=["no pair comes twice"])
    refuse("no text", "--train-bpe", "300", "-o", d("y"), d("empty.txt"), says=["no text"])
    refuse("no such folder", "--clean", small, "-o", dir_ + "/none/y")
    # full disks, limits of size
    for args in (["--clean", small, "-o", "/dev/full"], ["--train-bpe", "300", "-o", "/dev/full", small]):
        refuse("/dev/full", *args)
    old = write(d("few.train.tokens"), b"as it was")
    write(d("config.json"), json.dumps({"out": d("few"), "model": model, "validation": 0, "sources": [small]}))
    for n in (10, 1000, 5000):
        refuse("room for %d bytes" % n, d("config.json"), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)))
    check(read(old) == b"as it was" and not [f for f in os.listdir(dir_) if ".tmp" in f], "a full disk leaves the file that was there")
    for data in (b"\xff" * 1000, b"<" * 100000, b"&" * 100000, b"@" * 100000, b"<!--" * 20000, b"<a href=" * 10000, b"\xc3\xa2\xe2\x82\xac" * 20000,
        b"http://" * 10000, b"a" * 300000, b"\xe2\x80\x8b" * 30000, b"+1" * 50000,
                 b"+49 123 4567890a@b.cd http://a@b.cd (555) 010-0199@x.yz" * 500):
        start = time.monotonic()
        good("--clean", write(d("odd.txt"), data), "-o", d("odd.out"))
        check(prepare("--train-bpe", "257", "-o", d("odd.out"), d("odd.txt")).returncode == 0 and prepare("--train-bpe", "300", "-o", d("odd.out"),
            d("odd.txt")).returncode in (0, 1), "BPE of %r" % data[:8])
        check(time.monotonic() - start < (30 if SANITIZED else 5), "%r: %.1f s" % (data[:8], time.monotonic() - start))


def shown(dir_):
    """the commands of README.md, as they stand there"""
    readme = read("README.md").decode()
    block = readme[readme.index("## Preparing training data"):]
    block = block[block.index("```sh\n") + 6:]
    os.symlink(os.path.abspath(BUILD), dir_ + "/build")
    write(dir_ + "/stories.txt", MARK.join(story(i) for i in range(600)))
    r = subprocess.run(["sh", "-e", "-c", block[:block.index("```")]], cwd=dir_, capture_output=True)
    check(r.returncode == 0 and r.stderr == b"" and r.stdout.count(b"\n") > 5, "README's commands: exit %d %s" % (r.returncode, r.stderr[-300:]))


def small(dir_):
    shown(dir_)
    rules(dir_)
    duplicates(dir_)
    texts, model = sets(dir_)
    chats(dir_, texts, model)
    hostile(dir_, model)


def sample(dir_):
    stories = os.path.join(DATA, "data/tinystories/")
    labels = json.loads(read(stories + "dirty_sample.labels.json"))["labels"]
    records = read(stories + "dirty_sample.txt").split(b"<|endoftext|>\n")[:-1]
    good("--clean", stories + "dirty_sample.txt", "-o", dir_ + "/out.txt", "--report", dir_ + "/report.json")
    kept = read(dir_ + "/out.txt").decode().split(MARK)[:-1]
    ok = [r.decode().strip() for label, r in zip(labels, records) if label == "ok"]
    check(len(ok) == 60 and all(t in kept for t in ok), "%d of 60 good records are kept as they are" % sum(t in kept for t in ok))
    fold = lambda t: "".join(c for c in t.lower() if c.isalnum())
    check(len(set(map(fold, kept))) == len(kept), "no record is kept twice")
    dropped = json.loads(read(dir_ + "/report.json"))["dropped"]
    check(dropped.get("exact_duplicate", 0) + dropped.get("near_duplicate", 0) == 20, "12 exact and 8 near duplicates: %s" % dropped)
    left = [t for label, r in zip(labels, records) if label == "mojibake_or_unfinished" for t in [r.decode().strip()] if t in kept]
    dirty = [t for t in kept if any(c in t for c in ("<p>", "&amp;", "\0", "\7", "\r", "\ufffd", "@", "http"))]
    others = sum(label not in ("ok", "exact_duplicate", "near_duplicate") for label in labels)
    check(not dirty and len(left) <= 0.05 * others, "%d of %d other defects are left, %d are not repaired" % (len(left), others, len(dirty)))
    print("  dirty_sample: %d kept; %d of %d other defects are left" % (len(kept), len(left), others))
    for name in ("train", "valid"):
        good("--clean", stories + name + ".txt", "-o", dir_ + "/out.txt", "--report", dir_ + "/report.json")
        report = json.loads(read(dir_ + "/report.json"))
        check(report["kept"] >= 0.999 * report["records"], "%s: %s" % (name, report["dropped"]))
        print("  %s.txt: %d of %d good stories are kept" % (name, report["kept"], report["records"]))


def vocabularies(dir_):
    from tokenizers import Tokenizer
    ref, stories = os.path.join(DATA, "reference/train/bpe/"), os.path.join(DATA, "data/tinystories/")
    good("--train-bpe", "512", "-o", dir_ + "/t.json", ref + "corpus.txt")
    check(read(dir_ + "/t.json") == read(ref + "hf_tokenizer.json"), "reference/train/bpe: the same bytes")
    expected = json.loads(read(ref + "expected.json"))
    t = Tokenizer.from_file(dir_ + "/t.json")
    check(all(t.encode(e["text"]).ids == e["ids"] for e in expected["encodings"]), "expected.json: the encodings")
    text = read(stories + "valid.txt").decode().split(MARK)[:-1]
    n_bytes = sum(len(x.encode()) for x in text)
    for n, want in ((512, 2.402), (1024, 3.166), (2048, 3.677), (4096, 3.984), (8192, 4.119)):
        start = time.monotonic()
        good("--train-bpe", str(n), "-o", dir_ + "/t.json", stories + "train.txt")
        took, t = time.monotonic() - start, Tokenizer.from_file(dir_ + "/t.json")
        got = n_bytes / sum(len(e.ids) for e in t.encode_batch(text))
        check(got >= want * 0.995 and (took < 5 or SANITIZED), "%d entries: %.3f bytes a token, wanted %.3f; %.2f s" % (n, got, want, took))
        print("  %d entries: %.3f bytes a token (Hugging Face's %.3f), %.2f s" % (n, got, want, took))
    # the vocabulary as GGUF reads as tokenizers does
    write(dir_ + "/config.json", json.dumps({"out": dir_ + "/s", "vocab_size": 1000, "sources": [{"path": stories + "valid.txt"}],
        "special_tokens": ["<|im_start|>", "<|im_end|>"]}))
    good(dir_ + "/config.json")
    t = Tokenizer.from_file(dir_ + "/s.tokenizer.json")
    odd = [e["text"] for e in expected["encodings"]] + text[:50] + ["a\u00a0b \u3000 \u00bd \u0660 x\u0301", "  lead\n\n  and trail \n",
        "<|im_start|>user\nHi<|im_end|>"]
    lines = "".join(json.dumps({"text": x, "parse_special": True, "add_special": False}) + "\n" for x in odd)
    r = subprocess.run([os.path.join(BUILD, "tokenize"), "-m", dir_ + "/s.vocab.gguf", "--jsonl"], input=lines.encode(), capture_output=True)
    got = [json.loads(x) for x in r.stdout.decode().splitlines()]
    check(got == [t.encode(x).ids for x in odd], "OUT.vocab.gguf reads as OUT.tokenizer.json does: %s" % r.stderr)
    for name in ("train", "valid"):
        docs = tokens(dir_ + "/s.%s.tokens" % name)["docs"]
        check(all(t.encode(t.decode(d["ids"], skip_special_tokens=True)).ids == list(d["ids"][:-1]) for d in docs),
            "the %s set's ids are tokenizers'" % name)


def instructions(dir_):
    folder, model = os.path.join(DATA, "data/instruct/"), "models/SmolLM2-135M-Instruct.Q4_1.gguf"
    if not os.path.exists(model):
        return skip("no model")
    config = {"out": dir_ + "/i", "model": model, "sources": [{"path": folder + "story_chat.train.jsonl", "name": "chats",
        "validation": folder + "story_chat.valid.jsonl"},
        {"path": folder + "dolly_sample.jsonl", "name": "dolly"}, {"path": folder + "seed_tasks.jsonl", "name": "seeds"}]}
    train, valid, report = make(dir_, config)
    check(report["records"] == 2000 + 120 + 151 + 175 and report["kept"] == report["records"], "instructions: %s" % report["dropped"])
    rows = [json.loads(x) for x in read(folder + "story_chat.train.jsonl").decode().splitlines()]
    got = show(dir_, dir_ + "/i.train.tokens", model)
    check(all("".join(p["text"] for p in g["parts"] if p["counts"]) == "".join(m["content"] + "<|im_end|>" for m in row["messages"]
        if m["role"] == "assistant")
              for g, row in zip(got, rows)), "the loss counts the answers and their ends")


def reference(dir_):
    if not os.path.exists(os.path.join(DATA, "reference/train/bpe")):
        return skip("no reference data")
    sample(dir_)
    vocabularies(dir_)
    instructions(dir_)


def main():
    for part in sys.argv[2:] or ["small", "reference"]:
        with tempfile.TemporaryDirectory() as dir_:
            {"small": small, "reference": reference}[part](dir_)
    end()


main()
