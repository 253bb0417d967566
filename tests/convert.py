#!/usr/bin/env python3
"""build/convert on every form of input. Parts:
  reference   every folder of the reference data: logits within its tolerance, the bytes of reference/gguf, and the PyPI package gguf reads it
  forms       one made-up model as one file, shards, PyTorch files, Meta's and llama2.c's forms, adapters: the same tensors bit for bit
  hostile     damaged, contradictory and malicious inputs, a full disk: one line, exit 1, no file, nothing run; needs Python's own library only

python3 tests/convert.py BUILD [PART...]    all of them without a name. LLAMA_TEST_DATA as in the Makefile. Ends with `N passed, M failed, K skipped`.
"""
import array, json, math, os, random, resource, shutil, signal, struct, subprocess, sys, tempfile, zipfile

sys.dont_write_bytecode = True                              # nothing is left beside the script
from checks import check, done, end, skip

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"
DATA = os.environ.get("LLAMA_TEST_DATA", "../shared")
SANITIZED = os.environ.get("LIMIT_MB") == "0"
SIZE = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8}


def program(name, *args, **kw):
    return subprocess.run([os.path.join(BUILD, name), *args], capture_output=True, timeout=60, **kw)


def convert(source, out, *args):
    r = program("convert", source, "-o", out, *args)
    return check(r.returncode == 0, "convert %s: exit %d: %s" % (source, r.returncode, r.stderr.decode(errors="replace")[-300:].strip()))


# ---- writers: a tensor is (dtype, shape, bytes)
def floats(b, dtype):
    if dtype == "F32":
        return array.array("f", b)
    if dtype == "F16":
        return struct.unpack("<%de" % (len(b) // 2), b)
    return array.array("f", b"".join(b"\0\0" + b[i:i + 2] for i in range(0, len(b), 2)))


def write(path, data, mode="wb"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, mode) as f:
        f.write(data)
    return path


def safetensors(tensors, meta=True):
    head, at = {"__metadata__": {"format": "pt"}} if meta else {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values())


def p_str(s):
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def p_int(n):
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if 0 <= n < 65536:
        return b"M" + struct.pack("<H", n)
    if -2**31 <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    return b"\x8a\x08" + struct.pack("<q", n)


def p_tuple(*items):
    return b"(" + b"".join(items) + b"t"


STORAGE = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage", "F64": "DoubleStorage", "I64": "LongStorage"}


def p_tensor(dtype, shape, key, elements, offset=0, strides=None, parameter=False):
    if strides is None:
        strides = [math.prod(shape[i + 1:]) for i in range(len(shape))]
    storage = p_tuple(p_str("storage"), b"ctorch\n%s\n" % STORAGE[dtype].encode(), p_str(key), p_str("cpu"), p_int(elements)) + b"Q"
    t = b"ctorch._utils\n_rebuild_tensor_v2\n" + p_tuple(storage, p_int(offset), p_tuple(*map(p_int, shape)), p_tuple(*map(p_int, strides)), b"\x89",
                                                        b"ccollections\nOrderedDict\n)R") + b"R"
    return b"ctorch._utils\n_rebuild_parameter\n" + p_tuple(t, b"\x88", b"ccollections\nOrderedDict\n)R") + b"R" if parameter else t


def p_dict(pairs):
    return b"\x80\x02" + b"ccollections\nOrderedDict\n)R" + b"(" + b"".join(p_str(k) + v for k,
        v in pairs) + b"u" + b"}" + p_str("_metadata") + b"}sb" + b"."


def archive(pickle, storages, folder="archive", zip64=False, extra=()):
    """a zip as torch.save writes it: nothing compressed, storages at multiples of 64"""
    import io
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for name, data in [("data.pkl", pickle), ("byteorder", b"little"), *(("data/" + k, v) for k, v in storages.items()), ("version", b"3\n"),
            *extra]:
            info = zipfile.ZipInfo(folder + "/" + name)
            pad = -(out.tell() + 30 + len(info.filename) + 4) % 64
            info.extra = struct.pack("<HH", 0x4246, pad) + b"Z" * pad if not zip64 else b""
            with z.open(info, "w", force_zip64=zip64) as f:
                f.write(data)
    return out.getvalue()


def pth(tensors, turned=False, shared=False, **kw):
    """turned: matrices are kept by columns; shared: all lie in one storage, behind each other"""
    pairs, storages, pool = [], {}, {}
    for i, (name, (dtype, shape, data)) in enumerate(tensors.items()):
        n, size, strides = math.prod(shape), SIZE[dtype], None
        if turned and len(shape) == 2:
            r, c = shape
            data = b"".join(data[(y * c + x) * size:(y * c + x + 1) * size] for x in range(c) for y in range(r))
            strides = [1, r]
        if shared:
            pool.setdefault(dtype, []).append(data)
            pairs.append((name, lambda all_, t=dtype, s=shape, o=sum(map(len, pool[dtype][:-1])) // size, st=strides: p_tensor(t, s, t,
                len(all_[t]) // SIZE[t], o, st)))
        else:
            storages[str(i)] = data
            pairs.append((name, lambda all_, t=dtype, s=shape, k=str(i), n=n, st=strides, p=i % 2 == 1: p_tensor(t, s, k, n, 0, st, p)))
    if shared:
        storages = {t: b"".join(v) for t, v in pool.items()}
    return archive(p_dict([(k, f(storages)) for k, f in pairs]), storages, **kw)


# ---- a made-up model
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "vocab_size": 96, "tie_word_embeddings": False,
          "rope_theta": 10000.0, "torch_dtype": "bfloat16"}
SHAPES = {"self_attn.q_proj": ("q", "e"), "self_attn.k_proj": ("kv", "e"), "self_attn.v_proj": ("kv", "e"), "self_attn.o_proj": ("e", "q"),
    "mlp.gate_proj": ("f", "e"),
          "mlp.up_proj": ("f", "e"), "mlp.down_proj": ("e", "f"), "input_layernorm": ("e",), "post_attention_layernorm": ("e",)}
META = {"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
        "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
        "model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output"}


def random_tensor(rng, dtype, shape):
    """numbers of about 0.01 to 0.1, without numpy"""
    n = math.prod(shape)
    if dtype == "F32":
        return dtype, shape, array.array("f", [rng.gauss(0, 0.05) for _ in range(n)]).tobytes()
    if dtype == "F16":
        return dtype, shape, struct.pack("<%de" % n, *[rng.gauss(0, 0.05) for _ in range(n)])
    return dtype, shape, b"".join(bytes([rng.randrange(256), rng.choice((0x3c, 0x3d, 0xbc, 0xbd))]) for _ in range(n))


def dims(c):
    d = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    return {"e": c["hidden_size"], "f": c["intermediate_size"], "q": c["num_attention_heads"] * d, "kv": c["num_key_value_heads"] * d,
        "v": c["vocab_size"]}


def hf_tensors(c, dtype="BF16", seed=1, norms=None):
    rng, d, out = random.Random(seed), dims(c), {}
    out["model.embed_tokens.weight"] = random_tensor(rng, dtype, (d["v"], d["e"]))
    for i in range(c["num_hidden_layers"]):
        for name, shape in SHAPES.items():
            out["model.layers.%d.%s.weight" % (i, name)] = random_tensor(rng, (norms or dtype) if len(shape) == 1 else dtype, tuple(d[x]
                for x in shape))
    out["model.norm.weight"] = random_tensor(rng, norms or dtype, (d["e"],))
    if not c.get("tie_word_embeddings"):
        out["lm_head.weight"] = random_tensor(rng, dtype, (d["v"], d["e"]))
    return out


def rows_of(t):
    dtype, shape, data = t
    n = len(data) // shape[0]
    return [data[i * n:(i + 1) * n] for i in range(shape[0])]


def interleave(t, heads):
    """rows (h, half, i) -> (h, i, half): from Hugging Face's order to Meta's"""
    r, d = rows_of(t), t[1][0] // heads
    return t[0], t[1], b"".join(r[h * d + k * (d // 2) + i] for h in range(heads) for i in range(d // 2) for k in range(2))


def meta_tensors(c, hf):
    out = {}
    for name, t in hf.items():
        base = name.rsplit(".", 1)[0]
        part = base.split(".", 3)
        if name.startswith("model.layers."):
            if "q_proj" in name or "k_proj" in name:
                t = interleave(t, c["num_attention_heads"] if "q_proj" in name else c["num_key_value_heads"])
            out["layers.%s.%s.weight" % (part[2], META[part[3]])] = t
        else:
            out[META[base] + ".weight"] = t
    return out


def split(name, t, n, rows_embedding):
    """the n parts of a tensor for n processors"""
    dtype, shape, data = t
    if len(shape) == 1:
        return [t] * n
    r = rows_of(t)
    if ".wo." in name or ".w2." in name or (name.startswith("tok_") and not rows_embedding):
        w = len(r[0]) // n
        return [(dtype, (shape[0], shape[1] // n), b"".join(x[i * w:(i + 1) * w] for x in r)) for i in range(n)]
    k = shape[0] // n
    return [(dtype, (k, shape[1]), b"".join(r[i * k:(i + 1) * k])) for i in range(n)]


def hf_folder(path, config, tensors):
    write(path + "/config.json", json.dumps(config).encode())
    write(path + "/model.safetensors", safetensors(tensors))
    return path


def llama2c(c, meta, version, group=16):
    f32 = {k: array.array("f", floats(t[2], t[0])) for k, t in meta.items()}
    n = c["num_hidden_layers"]
    each = lambda part: ["layers.%d.%s.weight" % (i, part) for i in range(n)]
    untied = ["output.weight"] if "output.weight" in meta else []
    head = [c["hidden_size"], c["intermediate_size"], n, c["num_attention_heads"], c["num_key_value_heads"], c["vocab_size"],
        c["max_position_embeddings"]]
    mats = each("attention.wq") + each("attention.wk") + each("attention.wv") + each("attention.wo")
    ffn = each("feed_forward.w1") + each("feed_forward.w2") + each("feed_forward.w3")
    if version == 0:
        if untied:
            head[5] = -head[5]
        d = dims(c)["q"] // head[3]
        table = [array.array("f", [0.0] * (head[6] * d))]
        parts = [f32[k] for k in ["tok_embeddings.weight"] + each("attention_norm") + mats + each("ffn_norm") + ffn + ["norm.weight"]] + table + [f32[k] for k in untied]
        return struct.pack("<7i", *head) + b"".join(p.tobytes() for p in parts)
    out = b"ak42"[::-1] + struct.pack("<i7iB", version, *head, not untied) + (struct.pack("<i", group) if version == 2 else b"")
    out += b"\0" * (256 - len(out))
    norms, rest = each("attention_norm") + each("ffn_norm") + ["norm.weight"], ["tok_embeddings.weight"] + mats + ffn + untied
    out += b"".join(f32[k].tobytes() for k in norms)
    for k in rest:
        if version == 1:
            out += f32[k].tobytes()
            continue
        x, scales, q = f32[k], array.array("f"), array.array("b")
        for i in range(0, len(x), group):
            s = max(abs(v) for v in x[i:i + group]) / 127 or 1
            scales.append(s)
            q.extend(round(v / s) for v in x[i:i + group])
        out += q.tobytes() + scales.tobytes()
        f32[k] = array.array("f", [a * scales[i // group] for i, a in enumerate(q)])
    return out


# ---- a reader of GGUF, so that two files can be compared: metadata as bytes, tensors as (type, dims, bytes)
def read_gguf(path):
    b, at = open(path, "rb").read(), 24
    n_tensor, n_kv = struct.unpack_from("<QQ", b, 8)
    assert b[:8] == b"GGUF\3\0\0\0"

    def text():
        nonlocal at
        n = struct.unpack_from("<Q", b, at)[0]
        at += 8 + n
        return b[at - n:at].decode()

    def value(t):
        nonlocal at
        if t == 8:
            text()
        elif t == 9:
            item, n = struct.unpack_from("<IQ", b, at)
            at += 12
            for _ in range(n):
                value(item)
        else:
            at += (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)[t]
    meta, tensors, places = {}, {}, []
    for _ in range(n_kv):
        key, start = text(), at
        t = struct.unpack_from("<I", b, at)[0]
        at += 4
        value(t)
        meta[key] = b[start:at]
    for _ in range(n_tensor):
        name, n = text(), struct.unpack_from("<I", b, at)[0]
        d = struct.unpack_from("<%dQ" % n, b, at + 4)
        at += 4 + 8 * n
        t, offset = struct.unpack_from("<IQ", b, at)
        at += 12
        places.append((name, t, d, offset))
    data = at + -at % 32
    for name, t, d, offset in places:
        n = math.prod(d)
        size = {0: 4 * n, 1: 2 * n, 30: 2 * n, 8: n // 32 * 34}[t]
        tensors[name] = (t, d, b[data + offset:data + offset + size])
        assert len(tensors[name][2]) == size and offset % 32 == 0
    return meta, tensors


def same_tensors(a, b):
    return [k for k in sorted(set(a) | set(b)) if a.get(k) != b.get(k)]


# ---- the reference data
def logits(gguf, ids, dir_):
    out = os.path.join(dir_, "l.f32")
    r = program("logits", "-m", gguf, "--ids", ",".join(map(str, ids)), "--all", "--compute", "f32", "--cache-type", "f32", "-o", out)
    check(r.returncode == 0, "logits %s: %s" % (gguf, r.stderr.decode()[:200]))
    return array.array("f", open(out, "rb").read()) if r.returncode == 0 else array.array("f")


def within(name, gguf, folder, want, dir_):
    ids = json.load(open(folder + "/tokens.json"))
    ids = ids if isinstance(ids, list) else ids.get("ids") or ids["tokens"]
    tol = json.load(open(folder + "/expected.json"))["tolerance"]["float32_compute_max_abs"]
    a, b = logits(gguf, ids, dir_), array.array("f", open(os.path.join(folder, want), "rb").read())
    diff = max(map(lambda x, y: abs(x - y), a, b)) if len(a) == len(b) else math.inf
    check(diff <= tol, "%s: logits differ by %g, %g is allowed" % (name, diff, tol))
    return diff / tol


# llama.cpp names of the same; of these the reference's files, made by another program, have others
FREE = {"general.name", "general.file_type", "general.quantization_version", "general.type", "tokenizer.ggml.model", "GGUF.version"}


def reference(dir_):
    ref = os.path.join(DATA, "reference")
    if not os.path.isdir(ref):
        return skip("no reference data")
    try:
        import gguf
    except ImportError:
        gguf = skip("the package gguf is not installed")
    worst, n = 0, 0
    sources = [(os.path.join(ref, "tiny", m), os.path.join(ref, "tiny", m), "logits.f32") for m in sorted(os.listdir(os.path.join(ref, "tiny")))]
    for m in sorted(os.listdir(os.path.join(ref, "meta"))):
        sources += [(os.path.join(ref, "meta", m, v), os.path.join(ref, "meta", m), "logits.f32") for v in ("single", "mp2")]
    sources += [(os.path.join(ref, "llama2c/tied", f), os.path.join(ref, "llama2c/tied"), w) for f, w in (("model_v0.bin", "logits.f32"),
        ("model_v2_q80.bin", "logits_v2.f32"))]
    for source, folder, want in sources:
        name = os.path.relpath(source, ref)
        out = os.path.join(dir_, name.replace("/", "_") + ".gguf")
        if not convert(source, out):
            continue
        n += 1
        worst = max(worst, within(name, out, folder, want, dir_))
        meta, tensors = read_gguf(out)
        given = os.path.join(ref, "gguf", os.path.basename(source) + ".gguf")
        if os.path.isfile(given):
            m, t = read_gguf(given)
            bad = same_tensors(tensors, t)
            check(not bad, "%s: other tensors than reference/gguf: %s" % (name, bad[:3]))
            bad = [k for k in m if k not in FREE and not k.startswith("tokenizer.") and meta.get(k) != m[k]]
            check(not bad, "%s: other metadata than reference/gguf: %s" % (name, bad))
        if gguf:
            r = gguf.GGUFReader(out)
            check(len(r.tensors) == len(tensors) and all(t.data.tobytes() == tensors[t.name][2] for t in r.tensors) and set(meta) <= set(r.fields),
                  "%s: the package gguf reads something else" % name)
            check(r.get_field("general.architecture").contents() == "llama", "%s: architecture" % name)
    for m in sorted(os.listdir(os.path.join(ref, "meta"))):
        a, b = (read_gguf(os.path.join(dir_, "meta_%s_%s.gguf" % (m, v))) for v in ("single", "mp2"))
        check(not same_tensors(a[1], b[1]), "meta/%s: two files give other tensors than one" % m)
    print("  %d folders and files of the reference: logits within %.3g of the tolerance" % (n, worst))


# ---- one model in all forms
def forms(dir_):
    made = lambda *p: os.path.join(dir_, *p)
    c, n = dict(CONFIG), 0
    for dtype, norms in (("BF16", None), ("F16", "F32"), ("F32", None)):
        hf = hf_tensors(c, dtype, norms=norms)
        cut = len(hf) // 3
        shards = [dict(list(hf.items())[i * cut:(i + 1) * cut if i < 2 else None]) for i in range(3)]
        kinds = {"one": {"model.safetensors": safetensors(hf)}, "bin": {"pytorch_model.bin": pth(hf)}, "turned": {"pytorch_model.bin": pth(hf,
            turned=True)},
                 "shared": {"pytorch_model.bin": pth(hf, shared=True)}, "zip64": {"pytorch_model.bin": pth(hf,
                     zip64=True)}, "plain": {"model.safetensors": safetensors(hf, False)},
                 "reversed": {"model.safetensors": safetensors(dict(reversed(hf.items())))}}
        for kind, pack, ending in (("shards", safetensors, ".safetensors"), ("bins", pth, ".bin")):
            stem = "model" if kind == "shards" else "pytorch_model"
            names = ["%s-%05d-of-00003%s" % (stem, i + 1, ending) for i in range(3)]
            kinds[kind] = {f: pack(t) for f, t in zip(names, shards)}
            index = {"metadata": {"total_size": sum(len(t[2]) for t in hf.values())}, "weight_map": {k: f for f, t in zip(names, shards) for k in t}}
            kinds[kind][stem + (ending if ending == ".bin" else ".safetensors") + ".index.json"] = json.dumps(index).encode()
        files = {}
        for kind, content in kinds.items():
            folder = made(dtype, kind, "model")
            for f, data in {"config.json": json.dumps(c).encode(), **content}.items():
                write(os.path.join(folder, f), data)
            if convert(folder, made(dtype, kind + ".gguf")):
                files[kind] = open(made(dtype, kind + ".gguf"), "rb").read()
                n += 1
        check(len(files) == len(kinds) and len(set(files.values())) == 1, "%s: other bytes from %s" % (dtype, [k for k in files
            if files[k] != files.get("one")]))
        whole = program("convert", made(dtype, "one", "model"), "-o", "-").stdout  # through pipes, without a file
        check(whole == files.get("one"), "%s: other bytes on stdout" % dtype)
        piped, logits = program("quantize", "-", "-", "Q8_0", input=whole).stdout, []
        program("quantize", made(dtype, "one.gguf"), made(dtype, "q8.gguf"), "Q8_0")
        check(piped == open(made(dtype, "q8.gguf"), "rb").read(), "%s: quantize of stdin" % dtype)
        for model in ("-", made(dtype, "q8.gguf")):
            r = program("logits", "-m", model, "--ids", "1,2,3", "-o", made(dtype, "logits"), input=piped)
            logits.append(open(made(dtype, "logits"), "rb").read() if r.returncode == 0 else r.stderr)
        check(len(logits[0]) == 4 * c["vocab_size"] and logits[0] == logits[1], "%s: logits of a model on stdin" % dtype)
        theirs = read_gguf(made(dtype, "one.gguf"))[1]
        number = {"F32": 0, "F16": 1, "BF16": 30}[dtype]
        check(all(t[0] == (0 if len(t[1]) == 1 else number) for t in theirs.values()), "%s: types" % dtype)
        q = interleave(hf["model.layers.1.self_attn.q_proj.weight"], 4)[2]
        check(theirs["blk.1.attn_q.weight"][2] == q, "%s: the order of q's rows" % dtype)

        meta = meta_tensors(c, hf)
        params = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8, "vocab_size": -1, "norm_eps": 1e-5, "multiple_of": 16}
        for parts in (1, 2):
            for rows_embedding in (False, True):
                folder = made(dtype, "meta%d%d" % (parts, rows_embedding), "model")
                write(folder + "/params.json", json.dumps(params).encode())
                for i in range(parts):
                    piece = {k: split(k, t, parts, rows_embedding)[i] for k, t in meta.items()}
                    write(folder + "/consolidated.%02d.pth" % i, pth({**piece, "rope.freqs": ("F32", (4,), bytes(16))}))
                if convert(folder, folder + ".gguf"):
                    bad = same_tensors(read_gguf(folder + ".gguf")[1], theirs)
                    check(not bad, "%s, Meta's form in %d files: other tensors: %s" % (dtype, parts, bad[:3]))
                    n += 1
        if dtype != "F32":
            continue
        for tied in (0, 1):
            part = {k: v for k, v in meta.items() if not tied or k != "output.weight"}
            want = {k: v for k, v in theirs.items() if not tied or k != "output.weight"}
            for version in (0, 1):
                path = write(made("bin%d%d" % (version, tied), "model.bin"), llama2c(c, part, version))
                if convert(path, path + ".gguf"):
                    bad = same_tensors(read_gguf(path + ".gguf")[1], want)
                    check(not bad, "llama2.c version %d: other tensors: %s" % (version, bad[:3]))
                    n += 1
            path = write(made("bin2%d" % tied, "model.bin"), llama2c(c, part, 2))
            for kind, number in (("f32", 0), ("f16", 1), ("q8_0", 8)):
                if convert(path, path + kind, "--type", kind):
                    t = read_gguf(path + kind)[1]
                    check(t["blk.1.ffn_up.weight"][0] == number and set(t) == set(want), "llama2.c version 2 as %s" % kind)
                    n += 1
            t = read_gguf(path + "f32")[1]["blk.1.ffn_up.weight"]
            far = max(abs(a - b) for a, b in zip(floats(t[2], "F32"), floats(want["blk.1.ffn_up.weight"][2], "F32")))
            check(far < 0.3 / 127, "llama2.c version 2: weights are off by %g" % far)
    called(made, hf)
    types(made)
    ropes(made)
    adapters(made)
    print("  %d conversions of one model in other forms" % n)


def called(made, hf):
    """general.*: what a folder's name, the model card and generation_config.json say"""
    text = lambda s: struct.pack("<IQ", 8, len(s)) + s.encode()
    texts = lambda *v: struct.pack("<IIQ", 9, 8, len(v)) + b"".join(struct.pack("<Q", len(s)) + s.encode() for s in v)
    f32 = lambda x: struct.pack("<If", 6, x)
    card = "---\nlicense: apache-2.0\nlanguage:\n- en\n- \"de\"\ntags: [not, read]\npipeline_tag: text-generation\nmodel-index:\n- name: x\n---\nlicense: other\n"
    for folder, config, want in (("Llama-3.2-30K-Instruct", {}, {"name": "Llama 3.2 30K Instruct", "basename": "Llama-3.2", "size_label": "30K",
        "finetune": "Instruct", "version": None, "organization": None}),
                                 ("tiny-model", {}, {"name": "Tiny Model", "basename": None, "size_label": "22K", "finetune": None}),
                                 ("x", {"_name_or_path": "some-org/Some-1T-v0.1"}, {"name": "Some 1T v0.1", "organization": "Some Org",
                                     "version": "v0.1", "finetune": "1t", "basename": "Some"}),
                                 ("Mistral-7B", {"_name_or_path": "/models/of/somebody"}, {"name": "Mistral 7B", "finetune": "7b",
                                     "size_label": "22K"})):
        hf_folder(made("names", folder), {**CONFIG, **config}, hf)
        write(made("names", folder) + "/README.md", card.encode())
        write(made("names", folder) + "/generation_config.json", b'{"temperature": 0.6, "top_p": 0.9, "top_k": 40}')
        out = made("names", "out.gguf")
        if convert(made("names", folder), out):
            meta = read_gguf(out)[0]
            want = {"general." + k: v and text(v) for k, v in want.items()}
            want.update({"general.license": text("apache-2.0"), "general.languages": texts("en", "de"), "general.tags": texts("text-generation"),
                         "general.sampling.temp": f32(0.6), "general.sampling.top_p": f32(0.9), "general.sampling.top_k": struct.pack("<Ii", 5, 40)})
            bad = {k: meta.get(k) for k in want if meta.get(k) != want[k]}
            check(not bad, "%s is called %s" % (folder, bad))
    r = program("convert", made("names", "x"), "-o", out, "--base", "x")
    check(r.returncode == 2, "--base with a model is bad usage")
    check(program("convert").returncode == 2 and program("convert", "--help").returncode == 0, "usage")


def types(made):
    folder = made("F32", "one", "model")
    for kind, size in (("f16", 2), ("bf16", 2), ("q8_0", 34)):
        if not convert(folder, made("t." + kind), "--type", kind):
            continue
        t, want = read_gguf(made("t." + kind))[1], read_gguf(made("F32", "one.gguf"))[1]
        for k, (number, d, data) in t.items():
            x = floats(want[k][2], "F32")
            if len(d) == 1:
                check(data == want[k][2], "%s: %s is not as it was" % (kind, k))
            elif kind == "f16":
                check(data == struct.pack("<%de" % len(x), *x), "f16: %s is rounded otherwise" % k)
            elif kind == "bf16":
                u = array.array("I", want[k][2])
                check(data == array.array("H", [(v + 0x7fff + (v >> 16 & 1)) >> 16 for v in u]).tobytes(), "bf16: %s is rounded otherwise" % k)
            elif d[0] % 32:
                check(number == 1, "q8_0: %s of rows of %d is of type %d" % (k, d[0], number))
            else:
                q = [struct.unpack_from("<e32b", data, i) for i in range(0, len(data), 34)]
                far = max(abs(b[0] * w - v) for i, b in enumerate(q) for w, v in zip(b[1:], x[32 * i:]))
                check(number == 8 and far < 0.3 / 127, "q8_0: %s is off by %g" % (k, far))


def ropes(made):
    """what config.json says of positions, in its old and its new spelling"""
    hf = hf_tensors(CONFIG)
    base = {k: v for k, v in CONFIG.items() if k not in ("rope_theta", "torch_dtype")}
    f32, u32 = lambda x: struct.pack("<If", 6, x), lambda x: struct.pack("<II", 4, x)
    text = lambda s: struct.pack("<IQ", 8, len(s)) + s.encode()
    yarn = {"factor": 4.0, "original_max_position_embeddings": 64, "attention_factor": 1.5, "beta_fast": 16, "beta_slow": 2.0}
    scale = "llama.rope.scaling."
    for what, config, want in (
            ("none", {}, {"llama.rope.freq_base": f32(10000), scale + "type": None, "llama.attention.sliding_window": None}),
            ("linear", {"rope_scaling": {"rope_type": "linear", "factor": 2}}, {scale + "type": text("linear"), scale + "factor": f32(2)}),
            ("yarn", {"rope_scaling": {"type": "yarn", **yarn}, "rope_theta": 500000}, {"llama.rope.freq_base": f32(500000),
                scale + "type": text("yarn"), scale + "yarn_beta_fast": f32(16),
                scale + "yarn_beta_slow": f32(2), scale + "original_context_length": u32(64), scale + "attn_factor": f32(1.5 / (0.1 * math.log(4) + 1))}),
            ("yarn, new", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 500000, "mscale": 1.0, "mscale_all_dim": 0.5, "factor": 4.0,
                "original_max_position_embeddings": 64}, "dtype": "bfloat16"},
             {"llama.rope.freq_base": f32(500000), scale + "attn_factor": f32(1 / (0.05 * math.log(4) + 1)), scale + "yarn_beta_fast": None}),
            ("default", {"rope_parameters": {"rope_type": "default", "rope_theta": 20000}}, {"llama.rope.freq_base": f32(20000),
                scale + "type": None}),
            ("window", {"architectures": ["MistralForCausalLM"], "sliding_window": 24}, {"llama.attention.sliding_window": u32(24)}),
            ("window absent", {"architectures": ["MistralForCausalLM"]}, {"llama.attention.sliding_window": u32(4096)}),
            ("window null", {"architectures": ["MistralForCausalLM"], "sliding_window": None}, {"llama.attention.sliding_window": None}),
            ("window of a Llama", {"sliding_window": 24}, {"llama.attention.sliding_window": None}),
            ("heads not said", {"num_key_value_heads": None, "num_attention_heads": 2, "head_dim": None, "hidden_size": 32},
                {"llama.attention.head_count_kv": u32(2), "llama.attention.key_length": u32(16)})):
        c = {**base, **config}
        shape = {**c, "num_key_value_heads": c["num_key_value_heads"] or c["num_attention_heads"]}
        folder = hf_folder(made("rope", what), c, hf_tensors(shape) if shape["num_attention_heads"] == 2 else hf)
        if convert(folder, folder + ".gguf"):
            meta = read_gguf(folder + ".gguf")[0]
            bad = {k: meta.get(k) for k in want if meta.get(k) != want[k]}
            check(not bad, "config.json, %s: %s" % (what, bad))
            check(program("inspect", "-m", folder + ".gguf").returncode == 0, "inspect of %s" % what)


def adapter_tensors(c, rank, embedding, dtype="F32", seed=9):
    rng, d, out = random.Random(seed), dims(c), {}
    for i in range(c["num_hidden_layers"]):
        for name, shape in SHAPES.items():
            if len(shape) == 2:
                out["base_model.model.model.layers.%d.%s.lora_A.weight" % (i, name)] = random_tensor(rng, dtype, (rank, d[shape[1]]))
                out["base_model.model.model.layers.%d.%s.lora_B.weight" % (i, name)] = random_tensor(rng, dtype, (d[shape[0]], rank))
    if embedding:
        out["base_model.model.model.embed_tokens.lora_embedding_A"] = random_tensor(rng, dtype, (rank, d["v"]))
        out["base_model.model.model.embed_tokens.lora_embedding_B"] = random_tensor(rng, dtype, (d["e"], rank))
        out["base_model.model.lm_head.lora_A.weight"] = random_tensor(rng, dtype, (rank, d["e"]))
        out["base_model.model.lm_head.lora_B.weight"] = random_tensor(rng, dtype, (d["v"], rank))
    return out


def product(b, a):
    """b [m][r], a [r][n], as lists of rows of floats"""
    return [[math.fsum(x * y for x, y in zip(row, col)) for col in zip(*a)] for row in b]


def matrix(t):
    x, cols = floats(t[2], t[0]), t[1][1]
    return [list(x[i:i + cols]) for i in range(0, len(x), cols)]


def adapters(made):
    """the model with the adapter gives the logits of the model with the adapter's products added, by Hugging Face's names throughout"""
    c, rank, alpha = dict(CONFIG), 3, 12.0
    hf = hf_tensors(c, "F32")
    base = hf_folder(made("adapter", "base"), c, hf)
    convert(base, base + ".gguf")
    ids, bare = list(range(1, 20)), None
    bare = logits(base + ".gguf", ids, made("adapter"))
    for embedding, rs, gguf_base in ((0, False, False), (1, False, True), (0, True, False)):
        a = adapter_tensors(c, rank, embedding)
        folder = made("adapter", "peft%d%d" % (embedding, rs))
        config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "use_rslora": rs, "bias": "none", "base_model_name_or_path": "nobody/knows",
            "target_modules": ["q_proj"]}
        write(folder + "/adapter_config.json", json.dumps(config).encode())
        write(folder + "/adapter_model.safetensors", safetensors(a))
        out, files = folder + ".gguf", []
        for where in (base, base + ".gguf"):
            if convert(folder, out, "--base", where):
                files.append(open(out, "rb").read())
        os.remove(folder + "/adapter_model.safetensors")
        write(folder + "/adapter_model.bin", pth(a))
        if convert(folder, out, "--base", base):
            files.append(open(out, "rb").read())
        check(len(files) == 3 and len(set(files)) == 1, "an adapter is the same from a base's folder or GGUF, from safetensors or PyTorch")
        scale, merged = alpha / (math.sqrt(rank) if rs else rank), dict(hf)
        for name in hf:
            stem = "base_model.model." + name[:-7]
            if stem + ".lora_A.weight" in a:
                p = product(matrix(a[stem + ".lora_B.weight"]), matrix(a[stem + ".lora_A.weight"]))
            elif stem + ".lora_embedding_A" in a:
                p = list(zip(*product(matrix(a[stem + ".lora_embedding_B"]), matrix(a[stem + ".lora_embedding_A"]))))
            else:
                continue
            flat = [x + scale * y for row, more in zip(matrix(hf[name]), p) for x, y in zip(row, more)]
            merged[name] = ("F32", hf[name][1], array.array("f", flat).tobytes())
        both = hf_folder(made("adapter", "merged"), c, merged)
        convert(both, both + ".gguf")
        want, l = logits(both + ".gguf", ids, made("adapter")), os.path.join(made("adapter"), "a.f32")
        r = program("logits", "-m", base + ".gguf", "--lora", out, "--ids", ",".join(map(str, ids)), "--all", "--compute", "f32", "--cache-type",
            "f32", "-o", l)
        if check(r.returncode == 0, "the adapter: " + r.stderr.decode()):
            got = array.array("f", open(l, "rb").read())
            far, moved = max(abs(x - y) for x, y in zip(got, want)), max(abs(x - y) for x, y in zip(bare, want))
            check(far < moved / 1000, "the adapter is off by %g, it changes logits by %g" % (far, moved))


# ---- hostile inputs
def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


def refuse(dir_, what, source, *args, out="out.gguf", limit=limits, says=None):
    """one line on stderr that starts with the program's name, exit 1, nothing on stdout, no file"""
    target = os.path.join(dir_, out)
    before = set(os.listdir(dir_))
    try:
        r = subprocess.run([os.path.join(BUILD, "convert"), source, "-o", target, *args], capture_output=True, timeout=20, preexec_fn=limit,
            stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return check(False, "%s: takes more than 20 seconds" % what)
    left = set(os.listdir(dir_)) - before
    line = r.stderr.decode(errors="replace")
    good = r.returncode == 1 and line.startswith("convert: ") and line.count("\n") == 1 and line.endswith("\n") and not r.stdout and not left
    if os.environ.get("SHOW"):
        print("  %s: %s" % (what, line.strip()))
    check(good, "%s: exit %d, %s%s" % (what, r.returncode, line.strip()[-1500:], ", left %s" % left if left else ""))
    if good and says:
        check(all(s in line for s in says), "%s: says %s, expected %s" % (what, line.strip(), says))
    for f in left:
        os.remove(os.path.join(dir_, f))


def head(text, data=b"", length=None):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def hostile(dir_):
    count = done()
    marker = os.path.join(dir_, "marker")
    out = os.path.join(dir_, "out")
    os.makedirs(out)
    c = {**CONFIG, "vocab_size": 24, "num_hidden_layers": 1}
    hf = hf_tensors(c)
    folder = os.path.join(dir_, "model")
    whole = safetensors(hf)

    def fresh(config=c, **files):
        shutil.rmtree(folder, ignore_errors=True)
        write(folder + "/config.json", json.dumps(config).encode() if isinstance(config, dict) else config)
        for name, data in files.items():
            write(os.path.join(folder, name.replace("__", "-").replace("_DOT_", ".")), data)
        return folder

    def bad(what, data, says=None):
        fresh()
        write(folder + "/model.safetensors", data)
        refuse(out, "safetensors: " + what, folder, says=says)
    check(convert(fresh(model_DOT_safetensors=whole), os.path.join(out, "good.gguf")), "the model that is sound")
    # safetensors: the header's length, its JSON, and what the JSON says
    n = struct.unpack("<Q", whole[:8])[0]
    good = json.loads(whole[8:8 + n])
    for length in (0, 1, n - 1, n + 1, n + 8, len(whole), 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 100000001):
        bad("header of %d bytes" % length, struct.pack("<Q", length) + whole[8:])
    for cut in (0, 1, 7, 8, 9, 8 + n // 2, 8 + n, 8 + n + 1, len(whole) - 1):
        bad("cut off after %d bytes" % cut, whole[:cut])
    bad("a byte more", whole + b"x", ["follow"])
    for text in (b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"a":1}', b'{"a":{}}', b"{]", b"\xff\xfe", b"[" * 100000, b'{"a":' * 100000,
        b'{"a":{"dtype":"F32"}}'):
        bad("JSON %s" % text[:20], head(text))
    name = "model.norm.weight"
    begin, end = good[name]["data_offsets"]
    for what, change in (("dtype of nobody", {"dtype": "F31"}), ("dtype a number", {"dtype": 3}), ("an integer type", {"dtype": "I16"}),
        ("64-bit floats", {"dtype": "F64"}),
                         ("another dtype", {"dtype": "F32"}), ("another shape", {"shape": [31]}), ("shape [0]", {"shape": [0]}), ("shape []",
                             {"shape": []}), ("shape null", {"shape": None}),
                         ("shape negative", {"shape": [-32]}), ("shape of products", {"shape": [2**32, 2**32, 32]}), ("shape huge",
                             {"shape": [2**63]}), ("shape real", {"shape": [31.5]}),
                         ("shape of ten", {"shape": [32] + [1] * 9}), ("shape of 3", {"shape": [32, 1, 1]}), ("shape [1, 32]", {"shape": [1,
                             32]}), ("offsets swapped", {"data_offsets": [end, begin]}),
                         ("offsets negative", {"data_offsets": [-64, 0]}), ("one offset", {"data_offsets": [0]}), ("three offsets",
                             {"data_offsets": [begin, end, end]}),
                         ("offsets huge", {"data_offsets": [2**63 - 64, 2**63]}), ("offsets beyond", {"data_offsets": [begin + 2**40, end + 2**40]}),
                         ("offsets of another", {"data_offsets": [0, 64]}), ("offsets shifted", {"data_offsets": [begin - 2,
                             end - 2]}), ("offsets a text", {"data_offsets": "0"})):
        text = json.dumps({**good, name: {**good[name], **change}}).encode()
        bad(what, head(text, whole[8 + n:]))
    text = json.dumps(good).replace('"model.norm.weight"', '"model.embed_tokens.weight"').encode()
    bad("a name twice", head(text, whole[8 + n:]), ["twice"])
    bad("an empty name", safetensors({**hf, "": hf[name]}))
    bad("a name with NUL", safetensors({**hf, "a\0b": hf[name]}))
    bad("a long name", safetensors({**hf, "a" * 100000: hf[name]}))
    bad("a name of control bytes", safetensors({**hf, "\x1b[2J\n": hf[name]}))
    bad("a gap", head({k: {**v, "data_offsets": [v["data_offsets"][0] + 64, v["data_offsets"][1] + 64]} if k != "__metadata__" else v for k,
        v in good.items()}, bytes(64) + whole[8 + n:]), ["gap"])
    for k in ("model.layers.0.mlp.up_proj.weight", "lm_head.weight", "model.embed_tokens.weight", name):
        bad("without " + k, safetensors({a: b for a, b in hf.items() if a != k}), [k])
    for k in ("model.layers.1.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.bias", "model.layers.0.self_attn.q_norm.weight", "score.weight",
        "model.layers.00.mlp.up_proj.weight"):
        bad("with " + k, safetensors({**hf, k: hf[name]}), [k])
    bad("an empty tensor", safetensors({**hf, "x": ("F32", (0, 4), b"")}))

    # config.json, alone and against its tensors
    for change, says in (
            ({"hidden_size": 64}, ["config.json", "32"]), ({"num_hidden_layers": 2}, ["layers.1"]), ({"num_attention_heads": 8}, ["o_proj",
                "config.json"]), ({"vocab_size": 25}, ["config.json", "[24, 32]", "25"]),
            ({"intermediate_size": 47}, ["config.json", "mlp"]), ({"num_key_value_heads": 4}, ["k_proj",
                "config.json"]), ({"num_key_value_heads": 3}, None), ({"head_dim": 16}, None), ({"head_dim": 7}, None),
            ({"attention_bias": True}, ["bias", "config.json"]), ({"mlp_bias": True}, ["bias", "config.json"]), ({"num_hidden_layers": 10**6},
                None), ({"num_hidden_layers": -1}, None),
            ({"num_hidden_layers": 10**30}, None), ({"num_hidden_layers": 1.5}, None), ({"num_hidden_layers": None},
                None), ({"num_hidden_layers": "1"}, None), ({"hidden_size": 0}, None),
            ({"hidden_size": 2**31}, None), ({"num_attention_heads": 0}, None), ({"num_attention_heads": 5}, None), ({"head_dim": 2**15,
                "num_attention_heads": 2**14}, None), ({"architectures": ["GPT2LMHeadModel"]}, ["GPT2LMHeadModel"]),
            ({"architectures": [3]}, None), ({"architectures": [], "model_type": "t5"}, None), ({"hidden_act": "gelu"},
                ["gelu"]), ({"quantization_config": {"bits": 4}}, ["quantization_config"]),
            ({"rope_scaling": {"type": "dynamic", "factor": 2}}, ["dynamic"]), ({"rope_scaling": {"rope_type": "longrope"}},
                ["longrope"]), ({"rope_scaling": {"type": "linear"}}, ["factor"]),
            ({"rope_scaling": {"type": "yarn", "factor": 2}}, None), ({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4,
                "high_freq_factor": 1, "original_max_position_embeddings": 64}}, None),
            ({"rope_scaling": "x"}, None), ({"rope_scaling": {"type": ["x"]}}, None), ({"rope_theta": 0}, None), ({"rope_theta": -1e300},
                None), ({"rms_norm_eps": "small"}, None), ({"tie_word_embeddings": 1}, None),
            ({"partial_rotary_factor": 0.5}, ["partial_rotary_factor"]), ({"max_position_embeddings": 0}, None)):
        fresh({**c, **change}, model_DOT_safetensors=whole)
        refuse(out, "config.json: %s" % change, folder, says=says)
    for text in (b"", b"{", b"[]", b"nul", b'{"hidden_size":32}', b"\xef\xbb\xbf", json.dumps(c).encode()[:-1], json.dumps(c).encode() + b"}",
        b'{"a":' * 5000, b"[" * 10**6,
                 json.dumps(c).encode()[:-1] + b',"hidden_size":32}', b'{"hidden_size":1e999}', b'{"\\ud800":1}', b'{"a":"\x01"}'):
        fresh(text, model_DOT_safetensors=whole)
        refuse(out, "config.json %s" % text[:24], folder)

    # the index of shards
    a, b = dict(list(hf.items())[:5]), dict(list(hf.items())[5:])
    names = ["model-1.safetensors", "model-2.safetensors"]
    right = {**{k: names[0] for k in a}, **{k: names[1] for k in b}}
    first = next(iter(a))
    for what, index in (("a missing file", {**right, first: "none.safetensors"}), ("a path outside", {**right,
        first: "../model/model-1.safetensors"}), ("an absolute path", {**right, first: "/etc/passwd"}),
                        ("an empty path", {**right, first: ""}), ("a folder", {**right, first: "."}), ("the folder above", {**right,
                            first: ".."}), ("a path with NUL", {**right, first: "model-1.safetensors\0"}),
                        ("a number", {**right, first: 1}), ("the wrong shard", {**right, first: names[1]}), ("a tensor of nobody", {**right,
                            "x": names[0]}), ("a tensor less", {k: v for k, v in right.items() if k != first}),
                        ("a backslash", {**right, first: "..\\model-1.safetensors"}), ("nothing", {}), ("a device", {**right,
                            first: "dev"}), ("a pipe", {**right, first: "pipe"})):
        fresh()
        write(folder + "/" + names[0], safetensors(a))
        write(folder + "/" + names[1], safetensors(b))
        os.symlink("/dev/zero", folder + "/dev")
        os.mkfifo(folder + "/pipe")
        write(folder + "/model.safetensors.index.json", json.dumps({"weight_map": index}).encode())
        refuse(out, "index: " + what, folder)
    for text in (b"{}", b'{"weight_map":[]}', b'{"weight_map":null}', b"", b"[", json.dumps({"weight_map": right}).encode()[:-2]):
        write(folder + "/model.safetensors.index.json", text)
        refuse(out, "index: %s" % text[:20], folder)
    write(folder + "/" + names[1], safetensors({**b, first: a[first]}))
    write(folder + "/model.safetensors.index.json", json.dumps({"weight_map": right}).encode())
    refuse(out, "index: a tensor in two shards", folder, says=["twice"])

    # PyTorch files: the archive
    def bad_pth(what, data, says=None):
        fresh()
        write(folder + "/pytorch_model.bin", data)
        refuse(out, ".pth: " + what, folder, says=says)
        check(not os.path.exists(marker), ".pth: %s was run" % what)
    sound = pth(hf)
    fresh(pytorch_model_DOT_bin=sound)
    check(convert(folder, os.path.join(out, "good.gguf")), "the .pth that is sound")
    for cut in (0, 1, 21, 22, 100, len(sound) // 2, len(sound) - 23, len(sound) - 1):
        bad_pth("cut off after %d bytes" % cut, sound[:cut])
    bad_pth("zeros", bytes(10**6))
    bad_pth("before PyTorch 1.6", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", ["1.6"])
    end = sound.rindex(b"PK\5\6")
    table, size, at = sound.index(b"PK\1\2"), *struct.unpack_from("<II", sound, end + 12)
    def patched(place, fmt, value, b=sound):
        return b[:place] + struct.pack(fmt, value) + b[place + struct.calcsize(fmt):]
    for what, place, fmt, value in (("too many entries", end + 10, "<H", 65000), ("a directory too large", end + 12, "<I", 2**32 - 1),
        ("a directory beyond the end", end + 16, "<I", len(sound)),
                                    ("a directory elsewhere", end + 16, "<I", 0), ("a comment that is not there", end + 20, "<H",
                                        100), ("an entry that is compressed", table + 10, "<H", 8),
                                    ("an entry that is encrypted", table + 8, "<H", 1), ("an entry too large", table + 24, "<I",
                                        2**31), ("an entry all ones", table + 24, "<I", 2**32 - 1),
                                    ("an entry elsewhere", table + 42, "<I", 5), ("an entry beyond the end", table + 42, "<I",
                                        2**32 - 2), ("a long name", table + 28, "<H", 65535),
                                    ("a long extra field", table + 30, "<H", 65535), ("a damaged entry", table, "<I",
                                        0), ("a name of another length", 26, "<H", 3)):
        bad_pth(what, patched(place, fmt, value))
    big = pth(hf, zip64=True)
    far = big[:big.rindex(b"PK\5\6")] + b"PK\6\7" + struct.pack("<IQI", 0, 2**63, 1) + big[big.rindex(b"PK\5\6"):]
    bad_pth("a 64-bit end beyond the file", far)
    bad_pth("no data.pkl", archive(b"", {}).replace(b"data.pkl", b"data.pk1"), ["data.pkl"])
    bad_pth("two pickles", archive(p_dict([]), {}, extra=[("more/data.pkl", p_dict([]))]), ["two pickles"])
    bad_pth("an entry twice", sound.replace(b"archive/data/1", b"archive/data/0"))
    bad_pth("big-endian", sound.replace(b"little", b"big   "), ["big-endian"])
    bad_pth("no such storage", archive(p_dict([(k, p_tensor(t[0], t[1], "x", 10**4)) for k, t in hf.items()]), {}))

    # PyTorch files: the pickle
    def bad_pickle(what, pickle, says=None):
        bad_pth(what, archive(pickle, {"0": bytes(4096)}), says)
    import pickle

    class Call:
        def __init__(self, f, *args):
            self.call = f, args

        def __reduce__(self):
            return self.call
    shell = "touch '%s'" % marker
    for protocol in (0, 1, 2, 3, 4, 5):
        bad_pickle("os.system, protocol %d" % protocol, pickle.dumps({"a": Call(os.system, shell)}, protocol), None if protocol < 2 else ["system",
            "refused"])
        bad_pickle("open, protocol %d" % protocol, pickle.dumps({"a": Call(open, marker, "w")}, protocol))
    bad_pickle("eval", b"\x80\x02cbuiltins\neval\n" + p_tuple(p_str("open(%r, 'w')" % marker)) + b"R.", ["builtins.eval"])
    bad_pickle("exec by INST", b"(" + p_str(shell) + b"ios\nsystem\n.", ["INST"])
    bad_pickle("os.system by OBJ", b"(cos\nsystem\n" + p_str(shell) + b"o.", ["os.system"])
    bad_pickle("os.system on the stack", b"\x80\x04\x8c\x02os\x8c\x06system\x93" + p_tuple(p_str(shell)) + b"R.", ["os.system"])
    bad_pickle("subprocess", b"\x80\x02csubprocess\nPopen\n" + p_tuple(p_str(shell)) + b"R.", ["subprocess.Popen"])
    bad_pickle("NEWOBJ", b"\x80\x02ccollections\nOrderedDict\n)\x81.", ["NEWOBJ"])
    bad_pickle("EXT1", b"\x80\x02\x82\x01.", ["EXT"])
    bad_pickle("torch.load", b"\x80\x02ctorch\nload\n" + p_tuple(p_str("x")) + b"R.", ["torch.load"])
    bad_pickle("a name that starts as one that is known", b"\x80\x02ctorch\nFloatStorageX\n.", ["FloatStorageX"])
    bad_pickle("a long name", b"\x80\x02c" + b"torch" * 1000 + b"\n" + b"x" * 10000 + b"\n.")
    bad_pickle("BUILD of a tensor", b"\x80\x02" + p_tensor("F32", [4], "0", 1024) + b"}b.")
    bad_pickle("BUILD of nothing", b"\x80\x02}b.")
    one = lambda *a, **k: p_dict([("model.norm.weight", p_tensor(*a, **k))])
    for what, text in (("an empty pickle", b""), ("no STOP", b"\x80\x02}"), ("STOP alone", b"."), ("a list", b"\x80\x02]."), ("a number",
        b"\x80\x02K\1."), ("protocol 99", b"\x80\x63}."),
                       ("an unknown instruction", b"\x80\x02\xff."), ("POP of nothing", b"0."), ("a tuple of nothing",
                           b"\x86."), ("TUPLE without MARK", b"t."), ("SETITEMS on nothing", b"(u."),
                       ("SETITEMS of three", b"}(K\1K\2K\3u."), ("APPEND to a dictionary", b"}K\1a."), ("SETITEM on a list",
                           b"]K\1K\2s."), ("SETITEM on a mark", b"(K\1K\2s."), ("REDUCE of a number", b"K\1)R."),
                       ("REDUCE of a storage type", b"ctorch\nFloatStorage\n)R."), ("a value that was not remembered", b"h\5."), ("a value far away",
                           b"j\xff\xff\xff\x7f."),
                       ("a memo far away", b"}r\xff\xff\xff\xff."), ("a memo of nothing", b"q\0."), ("a long text",
                           b"X\xff\xff\xff\xff."), ("a text of 64 bits", b"\x8d" + b"\xff" * 8 + b"."),
                       ("an integer of 255 bytes", b"\x8a\xff" + bytes(255) + b"."), ("a name without its end", b"ctorch"), ("a million marks",
                           b"(" * 10**6 + b"."),
                       ("a million lists", b"]" * 10**6 + b"."), ("a dictionary in itself", b"}q\0X\1\0\0\0ah\0s."), ("a tuple in itself",
                           b"]q\0h\0a\x85."), ("a million references", b"]q\0" + b"h\0" * 10**6 + b"."),
                       ("a storage of three", p_tuple(p_str("storage"), b"N", b"N") + b"Q."), ("a storage of another kind", p_tuple(p_str("module"),
                           b"N", b"N", b"N", b"N") + b"Q."),
                       ("a text that is no tensor", p_dict([("a", p_str("b"))])), ("a number for a name", b"\x80\x02}K\1" + p_tensor("F32", [4], "0",
                           1024) + b"s."), ("an OrderedDict of a list", b"ccollections\nOrderedDict\n(]tR."),
                       ("no storage", b"ctorch._utils\n_rebuild_tensor_v2\n" + p_tuple(b"N", p_int(0), b")", b")", b"\x89",
                           b"}") + b"R."), ("two arguments", b"ctorch._utils\n_rebuild_tensor_v2\n" + p_tuple(b"N", p_int(0)) + b"R."),
                       ("a negative shape", one("F32", [-4], "0", 1024, 0, [1])), ("a negative stride", one("F32", [4], "0", 1024, 0,
                           [-1])), ("a negative offset", one("F32", [4], "0", 1024, -1)),
                       ("a huge offset", one("F32", [4], "0", 1024, 2**62)), ("a huge shape", one("F32", [2**40, 2**40], "0", 1024, 0, [2**40,
                           1])), ("a huge stride", one("F32", [4, 4], "0", 1024, 0, [2**62, 1])),
                       ("more elements than the storage", one("F32", [1025], "0", 1024)), ("a storage that lies", one("F32", [4], "0",
                           10**12)), ("a storage with negative length", one("F32", [4], "0", -1)),
                       ("one element a million times", one("F32", [1000, 1000], "0", 1024, 0, [0, 0])), ("rows that overlap", one("F32", [32], "0",
                           1024, 0, [2])), ("shape and strides of other lengths", one("F32", [4], "0", 1024, 0, [1, 1])),
                       ("64-bit floats", one("F64", [32], "0", 512)), ("a tensor twice",
                           p_dict([("a", p_tensor("F32", [4], "0",
                           1024))] * 2)), ("no tensors", p_dict([])), ("a real number", b"G" + bytes(8) + b"."),
                       ("an empty name", p_dict([("", p_tensor("F32", [4], "0", 1024))])), ("a key outside", one("F32", [4], "../../../etc/passwd",
                           1024)), ("a parameter of nothing", b"ctorch._utils\n_rebuild_parameter\n(NtR.")):
        bad_pickle(what, text)
    bad_pth("many tensors of one storage", archive(p_dict([("t%d" % i, p_tensor("F32", [1024], "0", 1024)) for i in range(2000)]),
        {"0": bytes(4096)}), ["share"])
    rng = random.Random(3)
    start, stop = sound.index(b"\x80\x02"), sound.index(b"PK\3\4", 30)
    for i in range(60):               # one byte of the pickle or the directory at random: whatever comes out, no crash
        place = rng.randrange(start, stop) if i % 2 else rng.randrange(table, len(sound))
        fresh(pytorch_model_DOT_bin=sound[:place] + bytes([rng.randrange(256)]) + sound[place + 1:])
        r = subprocess.run([os.path.join(BUILD, "convert"), folder, "-o", out + "/any.gguf"], capture_output=True, timeout=20, preexec_fn=limits)
        check(r.returncode in (0, 1), ".pth with byte %d changed: exit %d: %s" % (place, r.returncode, r.stderr[-500:]))
        check((r.returncode == 0) == os.path.exists(out + "/any.gguf"), ".pth with byte %d changed: a file" % place)
        if r.returncode == 0:
            os.remove(out + "/any.gguf")

    # Meta's folders
    meta, params = meta_tensors(c, hf), {"dim": 32, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8, "vocab_size": 24, "norm_eps": 1e-5}
    def bad_meta(what, p=params, parts=(meta,), numbers=None, says=None):
        shutil.rmtree(folder, ignore_errors=True)
        write(folder + "/params.json", p if isinstance(p, bytes) else json.dumps(p).encode())
        for i, t in zip(numbers or range(99), parts):
            write(folder + "/consolidated.%02d.pth" % i, t if isinstance(t, bytes) else pth(t))
        refuse(out, "Meta: " + what, folder, says=says)
    halves = [{k: split(k, t, 2, True)[i] for k, t in meta.items()} for i in range(2)]
    for change in ({"dim": 64}, {"dim": 0}, {"dim": -32}, {"dim": 2**40}, {"dim": "x"}, {"n_layers": 2}, {"n_layers": 0}, {"n_heads": 8},
        {"n_heads": 3}, {"n_kv_heads": 3}, {"n_kv_heads": 8}, {"vocab_size": 25},
                   {"norm_eps": 0}, {"norm_eps": -1}, {"rope_theta": 0}, {"head_dim": 3}, {"moe": {"num_experts": 8}}, {"use_scaled_rope": "yes"}):
        bad_meta("params.json: %s" % change, {**params, **change})
    for text in (b"", b"{", b"[]", b'{"dim":32}'):
        bad_meta("params.json: %s" % text, text)
    bad_meta("no files", parts=())
    bad_meta("half of two", parts=halves[:1], says=["params.json"])
    bad_meta("the second of two", parts=halves, numbers=(0, 2), says=["consolidated.01.pth"])
    bad_meta("three of two", parts=halves + halves[:1])
    bad_meta("two wholes", parts=(meta, meta))
    bad_meta("one tensor in one part", parts=(halves[0], {k: t for k, t in halves[1].items() if k != "layers.0.attention.wq.weight"}), says=["wq"])
    bad_meta("two shapes", parts=(halves[0], {**halves[1], "layers.0.attention.wq.weight": meta["layers.0.attention.wq.weight"]}), says=["wq"])
    bad_meta("two types", parts=(halves[0], {**halves[1], "norm.weight": ("F32", (32,), bytes(128))}), says=["norm.weight"])
    bad_meta("a damaged part", parts=(halves[0], b"PK"))

    # llama2.c's files
    for version in (0, 1, 2):
        data = llama2c(c, meta, version)
        at = 0 if version == 0 else 8
        for what, b in [("cut off after %d bytes" % k, data[:k]) for k in (0, 3, 27, 28, 63, 255, 256, len(data) // 2,
            len(data) - 1)] + [("a byte more", data + b"x")] + [
                ("field %d is %d" % (i, v), patched(at + 4 * i, "<i", v, data)) for i in range(6 if version else 7) for v in (0, -1
                    if i != 5 or version else 2**31 - 1, 2**31 - 1, 2**20 + 1)]:
            path = write(os.path.join(dir_, "m.bin"), b)
            refuse(out, "llama2.c version %d: %s" % (version, what), path)
        if version == 2:
            for v in (0, -1, 7, 2**31 - 1):
                refuse(out, "llama2.c: groups of %d" % v, write(os.path.join(dir_, "m.bin"), patched(37, "<i", v, data)))
    for v in (3, -1, 0):
        refuse(out, "llama2.c: version %d" % v, write(os.path.join(dir_, "m.bin"), patched(4, "<i", v, data)))

    # adapters
    base = hf_folder(os.path.join(dir_, "base"), c, hf)
    convert(base, os.path.join(dir_, "base.gguf"))
    lora, config = adapter_tensors(c, 3, 0), {"peft_type": "LORA", "r": 3, "lora_alpha": 6}
    some = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    def bad_peft(what, tensors=lora, change={}, where=base, says=None):
        shutil.rmtree(folder, ignore_errors=True)
        write(folder + "/adapter_config.json", json.dumps({**config, **change}).encode())
        write(folder + "/adapter_model.safetensors", safetensors(tensors))
        refuse(out, "adapter: " + what, folder, "--base", where, says=says)
    for change in ({"peft_type": "IA3"}, {"use_dora": True}, {"fan_in_fan_out": True}, {"alpha_pattern": {"q_proj": 2}}, {"r": 0}, {"r": -1},
        {"r": None}, {"r": 4}, {"lora_alpha": "x"}, {"alora_invocation_tokens": [1]},
                   {"use_rslora": True, "rank_pattern": {"q_proj": 8}}):
        bad_peft(str(change), change=change)
    bad_peft("half a pair", {k: v for k, v in lora.items() if k != some + "B.weight"}, says=["q_proj"])
    bad_peft("a stranger", {**lora, "base_model.model.score.weight": lora[some + "A.weight"]}, says=["score"])
    bad_peft("a layer too many", {**lora, some.replace("0", "7") + "A.weight": lora[some + "A.weight"]}, says=["layers.7"])
    bad_peft("a shape", {**lora, some + "A.weight": ("F32", (3, 31), bytes(372))}, says=["lora_A"])
    bad_peft("a base that is not there", where=os.path.join(dir_, "none"))
    bad_peft("a base without config.json", where=out)
    bad_peft("a base that is no GGUF", where=os.path.join(base, "config.json"))
    bad_peft("another base", where=hf_folder(os.path.join(dir_, "base2"), {**c, "hidden_size": 64}, hf))
    bad_peft("rank 0", {some + "A.weight": ("F32", (0, 32), b""), some + "B.weight": ("F32", (32, 0), b"")}, {"rank_pattern": {"q_proj": 8}})

    # the model card and what is said of sampling
    for what, text in (("tags", "tags: a\n" * 10000), ("a list", "tags:\n" + "- a\n" * 10000), ("one line", "license: " + "x" * 10**6), ("keys",
        "a" * 10**6 + ": b"), ("NUL", "license: a\0b"),
                       ("no end", "license: mit"), ("odd ones",
                           "license: {a: b}\nlanguage: [en, de]\ntags: &x !!y z\nlicense_name: 'a\"b'\n- x\n -y\n:\n: :\n'':")):
        fresh(model_DOT_safetensors=whole)
        write(folder + "/README.md", b"---\n" + text.encode() + (b"\n---\n" if what != "no end" else b""))
        if convert(folder, os.path.join(out, "good.gguf")):
            read_gguf(os.path.join(out, "good.gguf"))
    for text in (b"{", b"[]", b'{"top_k": "x"}', b'{"top_p": 1e999}', b'{"top_k": 1e12}'):
        write(folder + "/generation_config.json", text)
        refuse(out, "generation_config.json: %s" % text, folder, says=["generation_config.json"])

    # folders, files and places to write
    refuse(out, "no such input", os.path.join(dir_, "none"))
    refuse(out, "an empty folder", out)
    refuse(out, "a device", "/dev/null")
    pipe = os.path.join(dir_, "pipe")
    os.mkfifo(pipe)
    refuse(out, "a pipe", pipe)
    fresh(model_DOT_safetensors=whole)
    refuse(out, "a folder to write into that is not there", folder, out="none/out.gguf")
    refuse(out, "a folder in the output's place", folder, out="../base")
    shutil.rmtree(folder)
    os.makedirs(folder + "/config.json")
    refuse(out, "config.json is a folder", folder)
    os.rmdir(folder + "/config.json")
    os.mkfifo(folder + "/config.json")
    refuse(out, "config.json is a pipe", folder)
    fresh()
    os.mkfifo(folder + "/model.safetensors")
    refuse(out, "model.safetensors is a pipe", folder)
    fresh()
    refuse(out, "no tensors", folder, says=["model.safetensors", "pytorch_model.bin"])
    fresh(model_DOT_safetensors=whole)
    for k in (1, 100, 5000, 20000):   # the disk is full: at once, in the header, in the tensors
        refuse(out, "room for %d bytes" % k, folder, limit=lambda: (limits(), resource.setrlimit(resource.RLIMIT_FSIZE, (k, k))))
    r = program("convert", folder, "-o", "/dev/full")
    check(r.returncode == 1 and r.stderr.count(b"\n") == 1, "/dev/full: exit %d, %s" % (r.returncode, r.stderr))
    small = os.path.join(dir_, "small")
    os.mkdir(small)
    if os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", small], capture_output=True).returncode == 0:
        refuse(small, "a disk of 16 kB", folder, says=["No space left"])
        subprocess.run(["umount", small])
    old = write(os.path.join(out, "old.gguf"), b"as it was")
    program("convert", folder, "-o", old, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)))
    check(open(old, "rb").read() == b"as it was" and not [f for f in os.listdir(out) if "tmp" in f], "a failure leaves the file that was there")
    check(not os.path.exists(marker), "nothing was run")
    print("  %d checks of hostile inputs" % (done() - count))


def main():
    parts = sys.argv[2:] or ["reference", "forms", "hostile"]
    for part in parts:
        with tempfile.TemporaryDirectory() as dir_:
            {"reference": reference, "forms": forms, "hostile": hostile}[part](dir_)
    end()


if sys.byteorder != "little":
    sys.exit("tests/convert.py: writes numbers as this machine has them, which must be little-endian")
main()
