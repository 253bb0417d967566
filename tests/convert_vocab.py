#!/usr/bin/env python3
"""Tokenizers beside those they come from: metadata key by key, ids text by text, and damaged files.

python3 tests/convert_vocab.py VOCAB TOKENIZE    VOCAB: tests/programs/vocab.c compiled, TOKENIZE: build/tokenize

Small tokenizers (512 tokens) of every kind that tools/vocab.h reads are trained here with Hugging Face's tokenizers and with sentencepiece on the
project's own texts. Each is converted, read again with the gguf package, and compared with metadata that this script works out on its own;
TOKENIZE's ids of the converted file are compared with the original's. Ends with `N passed, M failed, K skipped`.
"""
import base64, io, json, logging, os, random, shutil, struct, subprocess, sys, tempfile
import gguf, sentencepiece, tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

sys.dont_write_bytecode = True                              # nothing is left beside the script
from checks import check, end, skip

logging.disable(logging.WARNING)
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
VOCAB, TOKENIZE = sys.argv[1:]
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
LOW = "\u2581"


# ---- texts
def training():
    text = "".join(open(os.path.join(ROOT, f), encoding="utf-8").read() for f in ("README.md", "Makefile", "examples/chat.c", "tools/cli.h"))
    return [line + "\n" for line in (text + "Größe naïve café 日本語のテキスト Привет мир 3.14159 2026 don't we'll I'VE\n" * 40).split("\n")]


def texts():
    rng = random.Random(6)
    own = ["Hello world", " Hello", "Hello ", "  two  spaces   three", "\n", "\n\n\n", "\r\n\r\n x", "\t\tif (x)\n\t\t{ return 0; }",
        "don't I'll WE'VE he'd O'Neil 'S",
           "1234567890 3.14 1,000,000 ½ ٣٤٥ Ⅷ ²", "naïve café Größe ÅNGSTRÖM ǅ ŉ", "日本語 中文 한국어 ไทย हिन्दी", "Привет, мир! Ελλάδα עברית العربية",
               "😀👍🏽🇺🇸 ❤️ 👨‍👩‍👧",
           "e\u0301 A\u030a \u1e9b\u0323 \uac00\u11a8", "\u00a0nbsp\u2003em\u3000wide\u200bzero", "x\u0000y\u0001z\u007f", "a" * 300, " " * 70,
               "-" * 33 + "=" * 65, "if(a<b){c[i]+=1;}//x",
           "#include <stdio.h>\nint main(void) { puts(\"hi\"); }\n", "http://example.org/?q=a%20b&c=d#e",
               "The quick brown fox jumps over the lazy dog.", "ALLCAPS CamelCase snake_case",
           "\ue000\uf8ff\U0010ffff\ufffd", "...!?;:—–“”‘’«»", "tab\tnewline\nreturn\rend", "\u2581already\u2581marked", "<0x0A> <unk> <s", "", " ",
               "  ", " \n ", "\n \n", "a\n", "\na"]
    pool = "abcdefghij KLMNO  \n\t0123456789.,;:'\"()[]{}<>+-*/=_|&%$#@!?^~`\\ éüñßøåæœçÀÖ ЖдйΩλπ 漢字かなカナ한글 ัก़ा😀❤️\u200d\u00a0\u3000\u0301\u0308"
    words = ["the", "The", " token", "'s", "'LL", " I'm", "ing", "tion", "\n", "\n\n", "  ", "    ", " 12", "345", "6789", "Größe", "日本", "int",
        "()", "->", "::", "\t", " static", "…", "//", "=="]
    for _ in range(160):
        own.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 60))))
    for _ in range(160):
        own.append("".join(rng.choice(words) for _ in range(rng.randint(1, 25))))
    return own


TRAIN, TEXTS = training(), texts()


# ---- what is compared
SOURCE = None


def convert(source, *more):
    global SOURCE
    SOURCE = source
    out = os.path.join(DIR, "out.gguf")
    if os.path.exists(out):
        os.remove(out)
    r = subprocess.run([VOCAB, source, out] + [str(a) for a in more], capture_output=True, timeout=300)
    return out, r


def metadata(path):
    fields = gguf.GGUFReader(path).fields.values()
    return {f.name[len("tokenizer."):]: f.contents() for f in fields if f.name.startswith("tokenizer.")}


def same_metadata(name, got, want):
    if os.path.isdir(SOURCE) and "ggml.tokens" in got:
        same_special(name, SOURCE, got, len(got["ggml.tokens"]))
    for key in sorted(set(got) | set(want)):
        a, b = got.get(key, "absent"), want.get(key, "absent")
        if key == "ggml.scores" and len(a) == len(b):
            a, b = struct.pack("<%df" % len(a), *a), struct.pack("<%df" % len(b), *b)
        where = ""
        if a != b and isinstance(a, list) and isinstance(b, list):
            i = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), -1)
            where = " at %d: %r, expected %r (lengths %d, %d)" % (i, a[i:i + 1], b[i:i + 1], len(a), len(b))
        check(a == b, "%s: %s%s" % (name, key, where or ("" if a == b else ": %.80r, expected %.80r" % (a, b))))


SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "sep": "seperator", "pad": "padding", "mask": "mask", "eot": "eot", "eom": "eom"}


def same_special(name, source, got, n):
    """What llama.cpp's converter takes from the folder's files, by its own code in the gguf package."""
    try:
        theirs = gguf.SpecialVocab(source, load_merges=got["ggml.model"] == "gpt2", n_vocab=n)
    except ValueError:                                   # it stops at a negative id
        return
    want = {"ggml.%s_token_id" % SPECIAL[k]: v for k, v in theirs.special_token_ids.items() if k in SPECIAL}
    want |= {"ggml.add_%s_token" % k: v for k, v in theirs.add_special_token.items() if k in ("bos", "eos")}
    if theirs.merges:
        want["ggml.merges"] = theirs.merges
    if isinstance(theirs.chat_template, str):
        want["chat_template"] = theirs.chat_template
    # a token that the template puts in front is BOS here, whatever config.json says: else the model would get another one
    wrong = {k: (got.get(k), v) for k, v in want.items() if got.get(k) != v and not (name == "template" and "bos" in k)}
    check(not wrong, "%s: as gguf.SpecialVocab has it%s" % (name, "" if not wrong else ": ours, theirs: %.300r" % wrong))


def ids_of(model, requests):
    lines = "".join(json.dumps({"text": t, "add_special": bool(add), "parse_special": bool(parse)}) + "\n" for t, add, parse in requests)
    r = subprocess.run([TOKENIZE, "-m", model, "--jsonl"], input=lines.encode(), capture_output=True, timeout=300)
    if r.returncode:
        print("FAILED: tokenize: " + r.stderr.decode(errors="replace").strip())
        return [None] * len(requests)
    return [json.loads(line) for line in r.stdout.splitlines()]


def same_ids(name, model, encode, requests, allowed=0):
    wrong = [(q, got, want) for q, got, want in zip(requests, ids_of(model, requests), [encode(*q) for q in requests]) if got != want]
    for q, got, want in wrong[:3] if len(wrong) > allowed else []:
        print("  %s: %r\n    got  %s\n    want %s" % (name, q, got, want))
    check(len(wrong) <= allowed, "%s: ids of %d of %d texts differ" % (name, len(wrong), len(requests)))


def requests(specials=()):
    rng = random.Random(7)
    all_of = [(t, i % 2, i % 3 == 0) for i, t in enumerate(TEXTS)]
    for t in TEXTS[:40]:
        for s in specials:
            all_of.append((t[:len(t) // 2] + s + t[len(t) // 2:] + rng.choice(specials), 0, 1))
    return all_of


def folder(name, **files):
    path = os.path.join(DIR, name)
    os.makedirs(path, exist_ok=True)
    for file, content in files.items():
        if content is None:
            continue
        file = {"tokenizer": "tokenizer.json", "model": "tokenizer.model", "config": "config.json", "tconfig": "tokenizer_config.json",
            "added": "added_tokens.json",
                "generation": "generation_config.json", "jinja": "chat_template.jinja", "chat": "chat_template.json",
                    "map": "special_tokens_map.json", "merges": "vocab.json"}[file]
        data = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else json.dumps(content).encode()
        with open(os.path.join(path, file), "wb") as f:
            f.write(data)
    return path


def byte_level(split=None, normalizer=None, specials=("<|endoftext|>",), bos=None, whole=False, n=512):
    t = Tokenizer(models.BPE(ignore_merges=whole))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = split or pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TRAIN, trainers.BpeTrainer(vocab_size=n, special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    if bos:
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single=bos + " $A",
            pair=bos + " $A " + bos + " $B",
                                                special_tokens=[(bos, t.token_to_id(bos))])])
    return t


def hf_json(t):
    return json.loads(t.to_str())


def hf_encode(t):
    return lambda text, add, parse: t.encode(text, add_special_tokens=bool(add)).ids


def gpt2_metadata(j, pre, **more):
    vocab = {v: k for k, v in j["model"]["vocab"].items()}
    vocab.update({a["id"]: a["content"] for a in j["added_tokens"]})
    control = {a["id"] for a in j["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in j["model"]["merges"]]
    want = {"ggml.model": "gpt2", "ggml.pre": pre, "ggml.tokens": [vocab[i] for i in range(len(vocab))], "ggml.merges": merges,
            "ggml.token_type": [CONTROL if i in control else NORMAL for i in range(len(vocab))]}
    want.update({k.replace("__", "."): v for k, v in more.items() if v is not None})
    return want


ENGLISH = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WHITE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def words(numbers, english=ENGLISH):
    return english + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + numbers + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + WHITE


def cased(english, numbers):
    start = r"[^\r\n\p{L}\p{N}]?"
    return start + UPPER + "*" + LOWER + "+" + english + "|" + start + UPPER + "+" + LOWER + "*" + english + "|" + numbers + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + WHITE


def splits(*exprs, tail=None, behavior="isolated", invert=False):
    steps = [pre_tokenizers.Split(Regex(e), behavior, invert) if isinstance(e, str) else e for e in exprs]
    return pre_tokenizers.Sequence(steps + [tail or pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


DIGITS = pre_tokenizers.Digits(individual_digits=True)
GPT2_TAIL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|""" + WHITE)
LLAMA3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def pre_tokenizer_names():
    """The name follows from the expressions; the library cuts as tokenizers does with them."""
    for pre, split, normalizer, whole in [
            ("gpt-2", None, None, False), ("gpt-2", splits(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"), None,
                False),
            ("llama-bpe", splits(words(r"\p{N}{1,3}")), None, True), ("smaug-bpe", splits(words(r"\p{N}{1,3}")), None, False),
            ("llama-bpe", splits(words(r"\p{N}{1,3}", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])")), None, True),
            ("llama-bpe", splits(words(r"\p{N}{1,3}"), behavior="removed", invert=True), None, True),
            ("llama-bpe", splits(words(r"\p{N}{1,3}").replace(r"\r\n", "\r\n")), None, True),
            ("smollm", splits(DIGITS, tail=GPT2_TAIL), None, False), ("qwen2", splits(words(r"\p{N}")), normalizers.NFC(), False), ("stablelm2",
                splits(words(r"\p{N}")), None, False),
            ("tekken", splits(cased("", r"\p{N}")), None, True), ("gpt-4o", splits(cased(ENGLISH + "?", r"\p{N}{1,3}")), None, False),
            ("deepseek-coder", splits("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", DIGITS), None, False),
            ("deepseek-v3", splits(r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK3), None, False),
            ("falcon", pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), GPT2_TAIL, pre_tokenizers.Digits(individual_digits=False),
                pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]), None, False),
            ("bloom", splits(BLOOM), None, False), ("viking", splits(BLOOM, DIGITS), None, False),
            ("seed-coder", splits(ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|" + WHITE), None, False)]:
        t = byte_level(split, normalizer, whole=whole)
        out, r = convert(folder("pre", tokenizer=t.to_str()))
        if not check(r.returncode == 0, "%s: %s" % (pre, r.stderr.decode())):
            continue
        bos = False if pre in ("llama-bpe", "tekken") else None
        same_metadata(pre, metadata(out), gpt2_metadata(hf_json(t), pre, ggml__add_bos_token=bos))
        same_ids(pre, out, hf_encode(t), requests(["<|endoftext|>"]))


def llama3():
    t = byte_level(splits(words(r"\p{N}{1,3}")), specials=LLAMA3, bos=LLAMA3[0], whole=True, n=500)
    j = hf_json(t)
    j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]     # the older spelling
    j["added_tokens"].append({"id": 500, "content": "<tool>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
        "special": False})
    tconfig = {"bos_token": {"content": LLAMA3[0], "special": True}, "eos_token": LLAMA3[1], "add_prefix_space": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
               "chat_template": [{"name": "default", "template": "{{ bos_token }}é"}, {"name": "tool use", "template": "tools"}]}
    config = {"vocab_size": 512, "bos_token_id": 0, "eos_token_id": [1, 4], "pad_token_id": -1}
    out, r = convert(folder("llama3", tokenizer=j, tconfig=tconfig, config=config, jinja="not this"), 512)
    if not check(r.returncode == 0 and not r.stderr, "llama3: " + r.stderr.decode()):
        return
    want = gpt2_metadata(j | {"added_tokens": j["added_tokens"][:5]}, "llama-bpe")
    want["ggml.tokens"] += ["<tool>"] + ["[PAD%d]" % i for i in range(501, 512)]
    want["ggml.token_type"] += [USER] + [UNUSED] * 11
    want |= {"ggml.bos_token_id": 0, "ggml.eos_token_id": 1, "ggml.add_bos_token": True, "ggml.add_eos_token": False, "ggml.add_space_prefix": False,
             "chat_template": "{{ bos_token }}é", "chat_template.tool_use": "tools", "chat_templates": ["tool_use"]}
    same_metadata("llama3", metadata(out), want)
    again = Tokenizer.from_str(json.dumps(j))
    same_ids("llama3", out, hf_encode(again), [q for q in requests(LLAMA3 + ["<tool>"]) if q[2] or not any(s in q[0] for s in LLAMA3)])


def ends_and_ids():
    t = byte_level(specials=["<a>", "<b>", "<c>", "<d>", "<|im_end|>"])
    j, base = t.to_str(), gpt2_metadata(hf_json(t), "gpt-2")

    def case(name, want, **files):
        out, r = convert(folder(name, tokenizer=j, **files))
        if check(r.returncode == 0, name + ": " + r.stderr.decode()):
            same_metadata(name, metadata(out), base | want)

    case("nothing said", {})
    case("config ids", {"ggml.bos_token_id": 1, "ggml.eos_token_id": 2, "ggml.padding_token_id": 3, "ggml.unknown_token_id": 0},
         config={"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3, "unk_token_id": 0, "sep_token_id": None})
    case("tokenizer_config before config", {"ggml.bos_token_id": 0, "ggml.eos_token_id": 2, "ggml.add_bos_token": True, "ggml.add_eos_token": False},
         tconfig={"bos_token": "<a>", "add_bos_token": True, "add_eos_token": False, "eos_token": {"content": "<c>"}}, config={"bos_token_id": 1,
             "eos_token_id": 1})
    case("eos list", {"ggml.eos_token_id": 1, "ggml.eot_token_id": 4, "ggml.eom_token_id": 3}, config={"eos_token_id": [1, 3, 2]})
    case("eos list with a known end", {"ggml.eos_token_id": 1}, config={"eos_token_id": [1, 4]})
    case("generation_config", {"ggml.eos_token_id": 2}, generation={"eos_token_id": 2})
    case("special_tokens_map", {"ggml.bos_token_id": 3}, map={"bos_token": {"content": "<d>"}})
    case("text_config", {"ggml.bos_token_id": 3}, config={"text_config": {"bos_token_id": 3}})
    case("beyond", {}, config={"pad_token_id": 4000})
    case("jinja", {"chat_template": "{{ 1 }}\n"}, jinja="{{ 1 }}\n")
    case("chat json", {"chat_template": "x"}, chat={"chat_template": "x"}, jinja="x")
    os.remove(os.path.join(DIR, "chat json", "chat_template.jinja"))
    case("chat json", {"chat_template": "x"})
    t.post_processor = processors.TemplateProcessing(single="<a> $A <b>", pair="<a> $A <b> $B", special_tokens=[("<a>", 0), ("<b>", 1)])
    j = t.to_str()
    case("template", {"ggml.bos_token_id": 0, "ggml.eos_token_id": 1, "ggml.eot_token_id": 4, "ggml.add_bos_token": True, "ggml.add_eos_token": True},
         tconfig={"eos_token": "<|im_end|>"}, config={"bos_token_id": 3})
    same_ids("template", os.path.join(DIR, "out.gguf"), hf_encode(t), requests(["<a>"]))
    out, r = convert(folder("decoder", tokenizer=j, tconfig={"added_tokens_decoder": {"512": {"content": "<x>", "special": True},
        "513": {"content": "y" + LOW}}}))
    m = metadata(out) if r.returncode == 0 else {}
    check(r.returncode == 1, "added_tokens_decoder beyond tokenizer.json, no model: " + r.stderr.decode()) if not m else None
    out, r = convert(os.path.join(DIR, "decoder"), 516)
    if check(r.returncode == 0, "decoder: " + r.stderr.decode()):
        m = metadata(out)
        check(m["ggml.tokens"][512:] == ["<x>", "y ", "[PAD514]", "[PAD515]"] and m["ggml.token_type"][512:] == [CONTROL, USER, UNUSED, UNUSED],
            "added_tokens_decoder: %s" % m["ggml.tokens"][512:])


def reference_bpe():
    path = os.path.join(os.environ.get("LLAMA_TEST_DATA", os.path.join(ROOT, "../shared")), "reference/train/bpe")
    if not os.path.exists(path):
        return skip("no reference data")
    text = open(path + "/hf_tokenizer.json", encoding="utf-8").read()
    out, r = convert(folder("reference", tokenizer=text, config={"bos_token_id": 0, "eos_token_id": 0, "vocab_size": 512}), 512)
    if check(r.returncode == 0, "reference/train/bpe: " + r.stderr.decode()):
        same_metadata("reference/train/bpe", metadata(out), gpt2_metadata(json.loads(text), "gpt-2") | {"ggml.bos_token_id": 0,
            "ggml.eos_token_id": 0})
        same_ids("reference/train/bpe", out, hf_encode(Tokenizer.from_str(text)), requests(["<|endoftext|>"]))
    spm_case("reference/train/bpe spm", open(path + "/spm.model", "rb").read())


# ---- SentencePiece
def train_spm(**more):
    out = io.BytesIO()
    options = {"model_type": "bpe", "vocab_size": 512, "byte_fallback": True, "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False, "character_coverage": 0.98,
               "split_digits": True, "allow_whitespace_only_pieces": True, "num_threads": 1, "minloglevel": 2} | more
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(line.rstrip("\n") for line in TRAIN if line.strip()), model_writer=out, **options)
    return out.getvalue()


def spm_metadata(sp, user=(), **more):
    n = sp.get_piece_size()
    user = {i for i in range(n) if sp.id_to_piece(i) in user}
    want = {"ggml.model": "llama", "ggml.pre": "default", "ggml.tokens": [sp.id_to_piece(i).replace(LOW, " ") if i in user else sp.id_to_piece(i)
        for i in range(n)],
            "ggml.scores": [sp.get_score(i) for i in range(n)],
            "ggml.token_type": [UNKNOWN if sp.is_unknown(i) else CONTROL if sp.is_control(i) else UNUSED if sp.is_unused(i) else BYTE
                if sp.is_byte(i) else USER if i in user else NORMAL for i in range(n)]}
    want.update({"ggml.%s_token_id" % k: v for k, v in (("bos", sp.bos_id()), ("eos", sp.eos_id()), ("padding", sp.pad_id())) if v >= 0})
    if sp.unk_id() > 0:
        want["ggml.unknown_token_id"] = sp.unk_id()
    return want | {k.replace("__", "."): v for k, v in more.items()}


def spm_encode(sp):
    # sentencepiece adds its space mark to an empty text, too, where a model adds none
    return lambda text, add, parse: ([sp.bos_id()] if add else []) + (sp.encode(text) if text else [])


def spm_requests():
    return [(t, i % 2, 0) for i, t in enumerate(TEXTS) if "\0" not in t]


def spm_case(name, model, **more):
    sp = sentencepiece.SentencePieceProcessor(model_proto=model)
    out, r = convert(folder(name.replace("/", "_"), model=model))
    if check(r.returncode == 0, name + ": " + r.stderr.decode()):
        same_metadata(name, metadata(out), spm_metadata(sp, **more))
        same_ids(name, out, spm_encode(sp), spm_requests())
    return sp


def spm():
    model = train_spm()
    sp = spm_case("spm", model)
    spm_case("spm, no dummy prefix", train_spm(add_dummy_prefix=False), ggml__add_space_prefix=False)
    spm_case("spm, other ids", train_spm(unk_id=3, bos_id=0, eos_id=1, pad_id=2))
    other = sentencepiece.SentencePieceProcessor(model_proto=train_spm(user_defined_symbols=["<sep>", LOW * 4]))
    out, r = convert(folder("spm user", model=other.serialized_model_proto()))
    if check(r.returncode == 0, "spm, user-defined: " + r.stderr.decode()):
        same_metadata("spm, user-defined", metadata(out), spm_metadata(other, ("<sep>", LOW * 4)))
        # where text follows such a token, the library begins it with a space as after any token that stands for itself
        same_ids("spm, user-defined", out, spm_encode(other), [("a b<sep>", 1, 0), ("the<sep><sep>", 0, 0)])

    # what stands on top of the pieces
    config = {"vocab_size": 520, "bos_token_id": 1, "eos_token_id": 2}
    tconfig = {"add_bos_token": True, "add_eos_token": False, "add_prefix_space": False, "bos_token": "<s>", "chat_template": "{{ x }}",
               "added_tokens_decoder": {"0": {"content": "<unk>", "special": True}, "513": {"content": "<|im_start|>", "special": False},
                   "514": {"content": "a" + LOW + "b"}, "600": {"content": "<far>"}}}
    out, r = convert(folder("spm on top", model=model, config=config, tconfig=tconfig, added={"<pad>": 512, "<far>": 600}), 520)
    if check(r.returncode == 0 and r.stderr.count(b"\n") == 2, "spm on top: " + r.stderr.decode()):
        want = spm_metadata(sp)
        want["ggml.tokens"] += ["<pad>", "<|im_start|>", "a b"] + ["[PAD%d]" % i for i in range(515, 520)]
        want["ggml.scores"] = [-1000.0] + want["ggml.scores"][1:] + [-1000.0] * 3 + [-10000.0] * 5
        want["ggml.token_type"] = [CONTROL] + want["ggml.token_type"][1:] + [USER, CONTROL, USER] + [UNUSED] * 5
        want |= {"ggml.add_bos_token": True, "ggml.add_eos_token": False, "ggml.add_space_prefix": False, "chat_template": "{{ x }}"}
        same_metadata("spm on top", metadata(out), want)
    for kind in ("unigram", "char"):
        out, r = convert(folder("spm " + kind, model=train_spm(model_type=kind, vocab_size=400)))
        check(r.returncode == 1 and b"cannot be represented" in r.stderr and r.stderr.count(b"\n") == 1, "spm %s: %s" % (kind, r.stderr.decode()))
    out, r = convert(folder("spm nfkc", model=train_spm(normalization_rule_name="nmt_nfkc")))
    check(r.returncode == 0 and b"nmt_nfkc" in r.stderr, "spm nmt_nfkc: " + r.stderr.decode())
    return sp


def spm_as_json(sp, metaspace):
    """As transformers converts a SentencePiece model: every pair that makes a piece is a merge, the best pieces first."""
    n = sp.get_piece_size()
    vocab = {sp.id_to_piece(i): i for i in range(n)}
    plain = [i for i in range(n) if not (sp.is_unknown(i) or sp.is_control(i) or sp.is_byte(i))]
    merges = []
    for i in sorted(plain, key=lambda i: -sp.get_score(i)):
        p = sp.id_to_piece(i)
        pairs = [(p[:k], p[k:]) for k in range(1, len(p)) if vocab.get(p[:k]) in plain and vocab.get(p[k:]) in plain]
        merges += sorted(pairs, key=lambda x: (vocab[x[0]], vocab[x[1]]))
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace(replacement=LOW, prepend_scheme=metaspace, split=False)
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend(LOW), normalizers.Replace(" ", LOW)])
    t.decoder = decoders.Sequence([decoders.Replace(LOW, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return t


def spm_json(sp):
    for metaspace in (None, "always", "first", "never"):
        name, t = "spm as tokenizer.json, %s" % metaspace, spm_as_json(sp, metaspace)
        out, r = convert(folder("spm json %s" % metaspace, tokenizer=t.to_str(), config={"bos_token_id": 1, "eos_token_id": 2}))
        if not check(r.returncode == 0 and not r.stderr, name + ": " + r.stderr.decode()):
            continue
        want = spm_metadata(sp) | {"ggml.bos_token_id": 1, "ggml.add_bos_token": True}
        if metaspace == "never":
            want["ggml.add_space_prefix"] = False
        same_metadata(name, metadata(out), want)
        # Metaspace puts no mark before a text that begins with a space, which sentencepiece does and GGUF cannot tell apart
        same_ids(name, out, hf_encode(t), [(t, add, 0) for t, add, _ in spm_requests()
                                           if t and "<unk>" not in t and (metaspace in (None, "never") or t[0] not in " " + LOW)])
    # trained from scratch: a token has one merge, which scores cannot always say
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend(LOW), normalizers.Replace(" ", LOW)])
    t.train_from_iterator(TRAIN, trainers.BpeTrainer(vocab_size=800, special_tokens=["<unk>"] + ["<0x%02X>" % b for b in range(256)],
        show_progress=False))
    out, r = convert(folder("spm scratch", tokenizer=t.to_str()))
    check(r.returncode == 0 and r.stderr.count(b"\n") == 1, "byte fallback trained from scratch: " + r.stderr.decode())


# ---- tiktoken and llama2.c
def tiktoken():
    t = byte_level(splits(words(r"\p{N}{1,3}")), specials=[], whole=True, n=500)
    letters = {c: b for b, c in enumerate(byte_letters())}
    vocab = hf_json(t)["model"]["vocab"]
    ranks = {bytes(letters[c] for c in k): v for k, v in vocab.items()}
    # ranks start with the single bytes, as tiktoken's do
    order = sorted(ranks, key=lambda b: (len(b) > 1, ranks[b]))
    ranks = {b: i for i, b in enumerate(order)}
    lines = b"".join(base64.b64encode(b) + b" %d\n" % i for b, i in ranks.items())
    out, r = convert(folder("tiktoken", model=lines), 756)
    if not check(r.returncode == 0 and not r.stderr, "tiktoken: " + r.stderr.decode()):
        return
    to_text = byte_letters()
    spell = lambda b: "".join(to_text[c] for c in b)
    merges = []
    for b, rank in ranks.items():
        if len(b) > 1:
            parts = bpe(ranks, b, rank)
            if len(parts) == 2:
                merges.append(" ".join(map(spell, parts)))
    named = ["begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1", "finetune_right_pad_id", "step_id",
        "start_header_id", "end_header_id",
             "eom_id", "eot_id", "python_tag", "image"] + ["reserved_special_token_%d" % i for i in range(2, 246)]
    want = {"ggml.model": "gpt2", "ggml.pre": "llama-bpe", "ggml.tokens": [spell(b) for b in order] + ["<|%s|>" % s for s in named],
        "ggml.token_type": [NORMAL] * 500 + [CONTROL] * 256,
            "ggml.merges": merges, "ggml.bos_token_id": 500, "ggml.eos_token_id": 501, "ggml.padding_token_id": 504, "ggml.eom_token_id": 508,
                "ggml.eot_token_id": 509, "ggml.add_bos_token": True}
    same_metadata("tiktoken", metadata(out), want)

    def encode(text, add, parse):
        pieces = [p for p, _ in t.pre_tokenizer.pre_tokenize_str(text)]
        return ([500] if add else []) + [ranks[p] for piece in pieces for p in bpe(ranks, bytes(letters[c] for c in piece))]
    same_ids("tiktoken", out, encode, requests())


def bpe(ranks, word, limit=None):
    parts = [word[i:i + 1] for i in range(len(word))]
    while True:
        best = min((ranks.get(parts[i] + parts[i + 1], 1 << 30), i) for i in range(len(parts) - 1)) if len(parts) > 1 else (1 << 30, 0)
        if best[0] == 1 << 30 or (limit is not None and best[0] >= limit) or (limit is None and word in ranks and len(parts) == 1):
            return [word] if limit is None and word in ranks else parts
        parts[best[1]:best[1] + 2] = [parts[best[1]] + parts[best[1] + 1]]


def byte_letters():
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(256 + rest.index(b)) for b in range(256)]


def llama2c_bytes(sp):
    entries = []
    for i in range(sp.get_piece_size()):
        t = sp.id_to_piece(i)
        t = "\n<s>\n" if i == sp.bos_id() else "\n</s>\n" if i == sp.eos_id() else t
        entries.append((sp.get_score(i), t.replace(LOW, " ").encode()))
    return struct.pack("<i", max(len(b) for _, b in entries)) + b"".join(struct.pack("<fi", s, len(b)) + b for s, b in entries)


def llama2c(sp):
    path = os.path.join(DIR, "tokenizer.bin")
    with open(path, "wb") as f:
        f.write(llama2c_bytes(sp))
    for n in (512, -1):
        out, r = convert(path, n)
        if check(r.returncode == 0 and not r.stderr, "tokenizer.bin: " + r.stderr.decode()):
            same_metadata("tokenizer.bin", metadata(out), spm_metadata(sp) | {"ggml.unknown_token_id": 0})
            same_ids("tokenizer.bin", out, spm_encode(sp), spm_requests())


# ---- published vocabularies, put back into the form they were published in
def published():
    data = os.path.join(os.environ.get("LLAMA_TEST_DATA", os.path.join(ROOT, "../shared")), "reference")
    if not os.path.exists(data + "/vocab"):
        return skip("no reference data")

    def same_as_reference(name, out, kinds, but="\0\0"):
        lines = [json.loads(line) for line in open("%s/tokenizers/%s.jsonl" % (data, name), encoding="utf-8")]
        same = {(r["text"], r["add_special"], r["parse_special"]): r["ids"] for r in lines if but not in r["text"]}
        same_ids(name + " as " + kinds, out, lambda *q: same[q], list(same))

    # Llama 2: pieces, scores, types as SentencePiece's protobuf
    m = metadata(data + "/vocab/ggml-vocab-llama-spm.gguf")
    number = lambda n: bytes([n & 127 | 128]) + number(n >> 7) if n > 127 else bytes([n])
    field = lambda k, b: bytes([k << 3 | 2]) + number(len(b)) + b
    pieces = b"".join(field(1, field(1, t.encode()) + b"\x15" + struct.pack("<f", s) + b"\x18" + bytes([k])) for t, s, k in zip(m["ggml.tokens"],
        m["ggml.scores"], m["ggml.token_type"]))
    out, r = convert(folder("llama2", model=pieces + field(2, b"\x18\x02") + field(3, b"\x20\x00"), tconfig={"add_bos_token": True,
        "add_eos_token": False}, config={"bos_token_id": 1, "eos_token_id": 2, "unk_token_id": 0}), 32000)
    if check(r.returncode == 0 and not r.stderr, "Llama 2: " + r.stderr.decode()):
        same_metadata("Llama 2", metadata(out), m)
        same_as_reference("llama2", out, "tokenizer.model")
    # Llama 3: as tokenizer.json, and as tiktoken's lines, whose merges follow from the ranks alone
    m = metadata(data + "/vocab/ggml-vocab-llama-bpe.gguf")
    special = [{"id": i, "content": m["ggml.tokens"][i], "special": True} for i, k in enumerate(m["ggml.token_type"]) if k == CONTROL]
    pre = {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": words(r"\p{N}{1,3}")}, "behavior": "Isolated",
        "invert": False},
                                                 {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
    j = {"added_tokens": special, "pre_tokenizer": pre, "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": special[0]["content"]}}, {"Sequence": {"id": "A"}}]},
         "model": {"type": "BPE", "ignore_merges": True, "vocab": {t: i for i, t in enumerate(m["ggml.tokens"][:128000])},
             "merges": m["ggml.merges"]}}
    out, r = convert(folder("llama3 json", tokenizer=j, config={"bos_token_id": 128000, "eos_token_id": 128001}), 128256)
    if check(r.returncode == 0 and not r.stderr, "Llama 3: " + r.stderr.decode()):
        same_metadata("Llama 3", metadata(out), m | {"ggml.add_bos_token": True})
        same_as_reference("llama3", out, "tokenizer.json")
    letters = {c: b for b, c in enumerate(byte_letters())}
    lines = b"".join(base64.b64encode(bytes(letters[c] for c in t)) + b" %d\n" % i for i, t in enumerate(m["ggml.tokens"][:128000]))
    out, r = convert(folder("llama3 tiktoken", model=lines), 128256)
    if check(r.returncode == 0 and not r.stderr, "Llama 3, tiktoken: " + r.stderr.decode()):
        same_as_reference("llama3", out, "tokenizer.model of tiktoken", "reserved_special_token")   # whose numbers differ


def none():
    out, r = convert(folder("none"))
    check(r.returncode == 0 and metadata(out) == {"ggml.model": "no_vocab"}, "no tokenizer: " + r.stderr.decode())


# ---- what is damaged or cannot be said: one line, exit 1, no output
def hostile(sp):
    count = 0

    def refuse(why, path, *more):
        nonlocal count
        count += 1
        out, r = convert(path, *more)
        lines = r.stderr.decode(errors="replace").splitlines()
        good = r.returncode == 1 and not r.stdout and len(lines) == 1 and lines[0].startswith("vocab: ") and not os.path.exists(out) and not [f
            for f in os.listdir(DIR) if ".tmp" in f]
        check(good, "hostile: %s: exit %d: %s" % (why, r.returncode, " / ".join(lines)[:300]))

    base = hf_json(byte_level())

    def with_json(why, change, *more, **files):
        j = json.loads(json.dumps(base))
        result = change(j)
        shutil.rmtree(os.path.join(DIR, "hostile"), ignore_errors=True)
        refuse(why, folder("hostile", tokenizer=result if result is not None else j, **files), *more)

    text = json.dumps(base).encode()
    for n in (0, 1, 100, len(text) // 2, len(text) - 1):
        with_json("tokenizer.json cut at %d" % n, lambda j: text[:n])
    for why, data in [("deep", b"[" * 100000), ("deep objects", b'{"a":' * 5000), ("a list", b"[]"), ("bytes", b"\xff\xfe{}"),
            ("invalid UTF-8 in a token", text.replace(b"<|endoftext|>", b"\xc3\x28", 1)),
                      ("NUL", text[:200] + b"\0" + text[200:]), ("half a surrogate", text.replace(b"<|endoftext|>", b"\\ud83d", 1)), ("a comment",
                          b"// x\n" + text), ("twice", text + text),
                      ("NaN", text.replace(b'"dropout": null', b'"dropout": NaN')), ("git lfs", b"version https://git-lfs.github.com/spec/v1\n")]:
        with_json("tokenizer.json: " + why, lambda j: data)

    def put(*path, value=None, delete=False):
        def change(j):
            at = j
            for k in path[:-1]:
                at = at[k]
            if delete:
                del at[path[-1]]
            else:
                at[path[-1]] = value
        return change
    for why, change in [
            ("no model", put("model", delete=True)), ("model is a list", put("model", value=[])), ("no vocab", put("model", "vocab", delete=True)),
                ("vocab is a list", put("model", "vocab", value=["a"])),
            ("Unigram", put("model", "type", value="Unigram")), ("type is a number", put("model", "type", value=3)), ("no merges",
                put("model", "merges", delete=True)), ("merges is a string", put("model", "merges", value="a b")),
            ("an id that is text", put("model", "vocab", "!", value="1")), ("a negative id", put("model", "vocab", "!", value=-1)),
                ("an id of 2^31", put("model", "vocab", "!", value=1 << 31)),
            ("an id of 2^70", put("model", "vocab", "!", value=1 << 70)), ("an id of 1.5", put("model", "vocab", "!", value=1.5)), ("an id far out",
                put("model", "vocab", "!", value=1 << 29)), ("an id twice", put("model", "vocab", "!", value=5)),
            ("a merge of one token", put("model", "merges", 0, value="ab")), ("a merge of three", put("model", "merges", 0, value="a b c")),
                ("a merge of unknown tokens", put("model", "merges", 0, value=["qqq", "zzz"])),
            ("a merge that makes no token", put("model", "merges", 0, value=["~", "!"])), ("a merge with an empty part", put("model", "merges", 0,
                value=" a")), ("a merge with a number", put("model", "merges", 0, value=["a", 1])), ("a merge that is null",
                put("model", "merges", 0, value=None)),
            ("continuing_subword_prefix", put("model", "continuing_subword_prefix", value="##")), ("end_of_word_suffix",
                put("model", "end_of_word_suffix", value="</w>")), ("dropout", put("model", "dropout", value=0.1)),
            ("added token with another id", put("added_tokens", 0, "id", value=7)), ("added token without id", put("added_tokens", 0, "id",
                delete=True)), ("added token, negative id", put("added_tokens", 0, "id", value=-3)),
            ("added token, huge id", put("added_tokens", 0, "id", value=1 << 40)), ("added token without content", put("added_tokens", 0, "content",
                delete=True)), ("added token without text", put("added_tokens", 0, "content", value="")),
            ("added tokens: an object", put("added_tokens", value={"a": 1})), ("added token on a taken id",
                put("added_tokens", 0, "content", value="<new>")),
            ("an unknown pre-tokenizer", put("pre_tokenizer", value={"type": "Whitespace"})), ("no pre-tokenizer",
                put("pre_tokenizer", value=None)), ("add_prefix_space", put("pre_tokenizer", "add_prefix_space", value=True)),
            ("an unknown expression", put("pre_tokenizer", value={"type": "Sequence", "pretokenizers": [{"type": "Split",
                "pattern": {"Regex": "\\w+|\\W"}, "behavior": "Isolated", "invert": False}, base["pre_tokenizer"]]})),
            ("a split at a text", put("pre_tokenizer", value={"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated", "invert": False})),
            ("a split that removes", put("pre_tokenizer", value={"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Removed",
                "invert": False})), ("a split without pattern", put("pre_tokenizer", value={"type": "Split"})),
            ("steps without end", put("pre_tokenizer", value={"type": "Sequence", "pretokenizers": [{"type": "Digits"}] * 3000})),
            ("Lowercase", put("normalizer", value={"type": "Lowercase"})), ("NFC without a name", put("normalizer", value={"type": "NFC"})),
                ("a normalizer without type", put("normalizer", value={})),
            ("RobertaProcessing", put("post_processor", value={"type": "RobertaProcessing", "sep": ["</s>", 0], "cls": ["<s>", 0]})),
            ("two tokens before the text", put("post_processor", value={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "!"}},
                {"SpecialToken": {"id": "!"}}, {"Sequence": {"id": "A"}}]}))]:
        with_json("tokenizer.json: " + why, change)
    with_json("more tokens than the model", lambda j: None, 100)
    with_json("far fewer tokens than the model", lambda j: None, (1 << 31) - 1)
    def fallback(j):
        j["model"]["byte_fallback"] = True
    with_json("byte fallback with ByteLevel", fallback)

    def keeps_spaces(j, pair=None):
        fallback(j)
        j["pre_tokenizer"] = None
        if pair:
            j["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": LOW}
            j["model"]["vocab"] |= {"a ": 512, "a b": 513}
            j["model"]["merges"].append(pair)
    with_json("byte fallback, spaces kept", keeps_spaces)
    with_json("byte fallback, a space in a merge", lambda j: keeps_spaces(j, ["a ", "b"]))
    for why, files in [("config: cut", {"tconfig": b'{"bos_token": '}), ("config: a list", {"tconfig": []}), ("add_bos_token: text",
            {"tconfig": {"add_bos_token": "yes"}}), ("template: a number", {"tconfig": {"chat_template": 1}}),
                       ("template: list of texts", {"tconfig": {"chat_template": ["a"]}}), ("template twice",
                           {"tconfig": {"chat_template": [{"name": "a-b", "template": "1"}, {"name": "a_b", "template": "2"}]}}),
                       ("template: a long name", {"tconfig": {"chat_template": [{"name": "n" * 1000, "template": "1"}]}}), ("template: NUL",
                           {"tconfig": {"chat_template": "a\0b"}}),
                       ("decoder: no id", {"tconfig": {"added_tokens_decoder": {"x": {"content": "a"}}}}), ("decoder: negative",
                           {"tconfig": {"added_tokens_decoder": {"-1": {"content": "a"}}}}),
                       ("decoder: a text", {"tconfig": {"added_tokens_decoder": {"5": "a"}}}), ("decoder: without text", {"tconfig": {"added_tokens_decoder": {"600": {"content": ""}}}}),
                       ("65 templates", {"tconfig": {"chat_template": [{"name": "n%d" % i, "template": "1"} for i in range(65)]}}),
                       ("decoder: contradicts",
                           {"tconfig": {"added_tokens_decoder": {"5": {"content": "other"}}}}),
                       ("jinja: no UTF-8", {"jinja": b"\xff\xfe"}), ("config.json: text as id", {"config": {"bos_token_id": "1"}}),
                           ("config.json: cut", {"config": b"{"}), ("eos list of texts", {"config": {"eos_token_id": ["a"]}}),
                       ("generation_config: a key twice", {"generation": b'{"a": 1, "a": 2}'})]:
        with_json(why, lambda j: None, **files)

    # tokenizer.model
    model = sp.serialized_model_proto()

    def with_model(why, data, *more, **files):
        shutil.rmtree(os.path.join(DIR, "hostile"), ignore_errors=True)
        refuse("tokenizer.model: " + why, folder("hostile", model=data, **files), *more)
    piece = lambda text, score=0.0, kind=1: b"\x0a" + bytes([len(text) + 9]) + b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f",
        score) + b"\x18" + bytes([kind])
    bpe_spec = b"\x12\x02\x18\x02"
    for n in (1, 2, 10, len(model) // 2, len(model) - 1):
        with_model("cut at %d" % n, model[:n])
    for why, data in [("empty", b""), ("no pieces", bpe_spec), ("huge length", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), ("endless number",
            b"\x0a" + b"\xff" * 30), ("field 0", b"\x0a\x00\x00\x00"),
                      ("a group", piece(b"a") + b"\x0b" + bpe_spec), ("not UTF-8", piece(b"\xff\xfe") + bpe_spec), ("without text",
                          b"\x0a\x00" + bpe_spec), ("NaN", piece(b"a", float("nan")) + bpe_spec),
                      ("infinite", piece(b"a", float("inf")) + bpe_spec), ("type 9", piece(b"a", 0, 9) + bpe_spec), ("a byte of no form",
                          piece(b"zz", 0, 6) + bpe_spec), ("twice", piece(b"a") + piece(b"a") + bpe_spec),
                      ("a NUL", piece(b"a\0b") + bpe_spec), ("text as a number", b"\x0a\x02\x08\x05" + bpe_spec), ("score as a number",
                          b"\x0a\x05\x0a\x01a\x10\x05" + bpe_spec), ("unigram by default", piece(b"a"))]:
        with_model(why, data)
    with_model("more pieces than the model", model, 100)
    with_model("added_tokens.json: text", model, added={"a": "b"})
    with_model("added_tokens.json: without text", model, 513, added={"": 512})
    with_model("added_tokens.json: negative", model, added={"a": -5})
    with_model("added_tokens.json: takes a piece's text", model, 513, added={"the": 512, "<s>": 5})
    lines = b"".join(base64.b64encode(bytes([b])) + b" %d\n" % b for b in range(256))
    for why, data in [("no base64", b"!!!! 0\n"), ("short base64", b"YQ= 0\n"), ("padding inside", b"Y=Q= 0\n"), ("no rank", b"YQ==\n"),
            ("negative rank", lines + b"YWI= -1\n"), ("rank beyond", lines + b"YWI= 300\n"),
                      ("rank twice", lines + b"YWI= 5\n"), ("token twice", lines + b"YQ== 256\n"), ("bytes missing", lines[9:]), ("a long token",
                          lines + base64.b64encode(b"a" * 600) + b" 256\n"), ("huge rank", lines + b"YWI= 99999999999999999999\n"),
                      ("an empty line", lines + b"\n"), ("text", b"hello world\n")]:
        with_model("tiktoken, " + why, data)
    with_model("tiktoken, fewer rows", lines, 300)
    with_model("tiktoken, far more rows", lines, 1 << 30)
    shutil.rmtree(os.path.join(DIR, "hostile"), ignore_errors=True)
    refuse("vocab.json alone", folder("hostile", merges={}))
    for file in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json"):
        path = folder("pipe " + file)
        os.mkfifo(os.path.join(path, file))
        refuse("a pipe for " + file, path)

    # tokenizer.bin
    good = llama2c_bytes(sp)
    entry = lambda b, score=0.0: struct.pack("<fi", score, len(b)) + b
    head = struct.pack("<i", 8) + entry(b"<unk>") + entry(b"\n<s>\n") + entry(b"\n</s>\n")
    for why, data, n in [("empty", b"", 3), ("3 bytes", b"abc", 3), ("cut", good[:-1], 512), ("cut in the middle", good[:1000], 512),
            ("a token too many", good + entry(b"x"), 512), ("a token too few", good, 513), ("huge count", good, (1 << 31) - 1),
                         ("negative length", head + struct.pack("<fi", 0, -5) + b"abc", 4), ("huge length",
                             head + struct.pack("<fi", 0, 1 << 30) + b"abc", 4), ("empty token", head + entry(b"") + b"abcdefgh", 4),
                         ("longer than the longest", head + entry(b"123456789"), 4), ("not UTF-8", head + entry(b"\xff"), 4), ("NaN",
                             head + entry(b"a", float("nan")), 4), ("twice", head + entry(b"a") + entry(b"a"), 5), ("a NUL", head + entry(b"a\0"),
                             4)]:
        path = os.path.join(DIR, "hostile.bin")
        with open(path, "wb") as f:
            f.write(data)
        refuse("tokenizer.bin: " + why, path, n)
    print("  %d hostile inputs" % count)


def mutations(sp):
    """Bytes changed, dropped and doubled: either it converts or it is refused with a line, and what is converted can be opened."""
    rng = random.Random(66)
    j, model, binary = byte_level(n=300).to_str().encode(), sp.serialized_model_proto(), llama2c_bytes(sp)
    config = json.dumps({"bos_token": "<|endoftext|>", "add_bos_token": True, "chat_template": [{"name": "default", "template": "x"}],
                         "added_tokens_decoder": {"0": {"content": "<|endoftext|>", "special": True}}}).encode()
    count = refused = 0
    for kind, data in (("tokenizer", j), ("model", model), ("tconfig", config), ("bin", binary)):
        for _ in range(int(os.environ.get("MUTATIONS", "40"))):
            b = bytearray(data)
            for _ in range(rng.choice([1, 1, 2, 5])):
                at = rng.randrange(len(b)) if rng.random() < 0.5 else rng.randrange(min(len(b), 300))
                how = rng.randint(0, 3)
                b[at:at + 1] = [bytes([rng.randrange(256)]), b"", bytes(b[at:at + 1]) * 2, bytes([rng.choice(b"0123456789\"{}[]:,.-\\ \xff\x80\x00")])][how]
            shutil.rmtree(os.path.join(DIR, "mutation"), ignore_errors=True)
            path = folder("mutation", **{"tokenizer": j if kind == "tconfig" else None, "model": None, kind if kind != "bin" else "tokenizer": bytes(b)})
            if kind == "bin":
                path = os.path.join(DIR, "mutation.bin")
                with open(path, "wb") as f:
                    f.write(b)
            out, r = convert(path, *([512] if kind == "bin" else []))
            lines = r.stderr.decode(errors="replace").splitlines()
            good = r.returncode == 0 or (r.returncode == 1 and len(lines) == 1 and lines[0].startswith("vocab: ") and not os.path.exists(out))
            if good and r.returncode == 0:
                t = subprocess.run([TOKENIZE, "-m", out, "Hello"], capture_output=True, timeout=300)
                good = t.returncode in (0, 1) and len(t.stderr.splitlines()) == t.returncode
            count, refused = count + 1, refused + (r.returncode == 1)
            if not good:
                check(False, "mutation of %s: exit %d: %s" % (kind, r.returncode, " / ".join(lines)[:300]))
    check(refused > count / 4, "%d of %d mutations refused" % (refused, count))


def names_given():
    j = hf_json(byte_level())
    j["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\w+|\\W"}, "behavior": "Isolated",
        "invert": False}, j["pre_tokenizer"]]}
    out, r = convert(folder("pre given", tokenizer=j), -1, "llama-bpe")
    check(r.returncode == 0 and metadata(out)["ggml.pre"] == "llama-bpe", "--pre: " + r.stderr.decode())


with tempfile.TemporaryDirectory() as DIR:
    pre_tokenizer_names()
    llama3()
    ends_and_ids()
    trained = spm()
    spm_json(trained)
    tiktoken()
    llama2c(trained)
    reference_bpe()
    published()
    none()
    names_given()
    hostile(trained)
    mutations(trained)
end()
