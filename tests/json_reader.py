#!/usr/bin/env python3
"""tools/json.h beside Python's json: the same values, and the same texts refused.

python3 tests/json_reader.py JSON    JSON: tests/programs/json.c compiled

Beyond RFC 8259 the reader refuses, and so must this script's model of it: text that is not UTF-8, half surrogate pairs, a key twice in one
object, numbers beyond a double's range, more than 64 values around a value. Ends with `N passed, M failed, K skipped`.
"""
import json, os, random, subprocess, sys, tempfile

sys.dont_write_bytecode = True                              # nothing is left beside the script
from checks import check, end

PROGRAM, = sys.argv[1:]
DEPTH = 64


class Refused(Exception):
    pass


def whole(text):
    n = int(text)
    if text == "-0" or not -(1 << 63) <= n < 1 << 64:
        return real(text)
    return n


def real(text):
    x = float(text)
    if x in (float("inf"), float("-inf")):
        raise Refused
    return x


def pairs(items):
    if len({k for k, _ in items}) != len(items):
        raise Refused
    return dict(items)


def constant(name):
    raise Refused


def show(v, depth=0):
    if isinstance(v, (list, dict)) and v and depth >= DEPTH:
        raise Refused
    if v is None or v is True or v is False:
        return "n " if v is None else "t " if v else "f "
    if isinstance(v, int):
        return "i%d " % v
    if isinstance(v, float):
        return "r%s " % v.hex()
    if isinstance(v, str):
        return "s%s " % v.encode("utf-8").hex()              # half surrogates raise here
    if isinstance(v, list):
        return "[ " + "".join(show(x, depth + 1) for x in v) + "] "
    return "{ " + "".join(show(k) + show(x, depth + 1) for k, x in v.items()) + "} "


def expected(data):
    try:
        if data[:3] == b"\xef\xbb\xbf":
            raise Refused
        return show(json.loads(data.decode("utf-8"), parse_int=whole, parse_float=real, object_pairs_hook=pairs, parse_constant=constant))
    except (Refused, ValueError, RecursionError):
        return "refused"


def normal(line):                                             # C writes reals another way than Python does
    return " ".join("r" + float.fromhex(w[1:]).hex() if w[:1] == "r" and w != "refused" else w for w in line.split())


FIXED = ["", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "tru", "true", "[truex]", "nulll", "01", "-", "-0", "-0.0",
    "0", "1.", ".5", "1e", "1e+", "+1", "1e5", "1E-5", "[0x10]",
         "\"\\x\"", "\"\\u12\"", "\"\\u0000\"", "\"\\ud800\"", "\"\\ud83d\\ude00\"", "\"\\ud800\\u0041\"", "\"\\ude00\"", "\"\x01\"", "\"\x7f\"",
             "\"abc", "\"a\"b", "[1]2", "[1]]", "{\"a\":1,\"a\":2}", "\ufeff{}", "1e999", "-1e999", "1e-999",
         "NaN", "Infinity", "-Infinity", "{\"a\":1]", "[1}", "[\"\n\"]", "// x\n1", "/**/1", "'a'", "[1 2]", "{\"a\":1 \"b\":2}", "{\"\":{}}",
             "[[],{},[{}]]", "\r\n\t 5 \r\n\t", "\v1", "\f1", "[1,\u00a02]",
         "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "9" * 400, "0." + "1" * 400,
             "\"" + "\\n" * 3000 + "\"", "\"\u00e9\u6f22\U0001f600\"",
         "[" * 64 + "]" * 64, "[" * 65 + "1" + "]" * 65, "[" * 65 + "]" * 65, "[" * 66 + "]" * 66, "{\"a\":" * 64 + "1" + "}" * 64,
             "{\"a\":" * 65 + "1" + "}" * 65, "[" * 100000, "[{" * 300, "\"" + "a" * 300000 + "\"",
         "{" + ",".join("\"k%d\":%d" % (i, i) for i in range(5000)) + "}", "{" + ",".join("\"k%d\":%d" % (i % 4999, i) for i in range(5000)) + "}",
             "{" + ",".join("\"%d\":0" % (i % 9) for i in range(10)) + "}",
         "{" + ",".join("\"%s\":0" % ("\\u0000" * i) for i in range(40)) + "}"]
RAW = [b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82', b'"\xe2\x82"', b"[1]\0", b"\0", b'"\0"', b"[\xff]"]


def made(rng, depth=0):
    kind = rng.randint(0, 9 if depth < 6 else 6)
    if kind < 3:
        return rng.choice([None, True, False, 0, -1, 7, 1 << 40, -(1 << 62), 12345678901234567890, 0.5, -2.25e-7, 1e300, 3.14159])
    if kind < 7:
        return "".join(rng.choice("abc \"\\/\b\f\n\r\t\0\u00e9\u6f22\U0001f600") for _ in range(rng.randint(0, 12)))
    n = rng.randint(0, 14)
    return [made(rng, depth + 1) for _ in range(n)] if kind < 8 else {str(made(rng, 9)) + str(i): made(rng, depth + 1) for i in range(n)}


def cases():
    rng = random.Random(8259)
    yield from (t.encode("utf-8") for t in FIXED)
    yield from RAW
    for _ in range(400):
        text = json.dumps(made(rng), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1])).encode("utf-8")
        yield text
        for _ in range(4):                                    # a byte changed, dropped, doubled; or the end cut off
            b = bytearray(text)
            at = rng.randrange(len(b))
            how = rng.randint(0, 3)
            b[at:at + 1] = [bytes([rng.choice(b'{}[]",:\\0u-+.eE \n\xc3\xff\x00t')]), b"", bytes(b[at:at + 1]) * 2, b[at:at + 1]][how]
            yield bytes(b[:at] if how == 3 else b)


with tempfile.TemporaryDirectory() as folder:
    all_of = list(cases())
    for i, data in enumerate(all_of):
        with open("%s/%d" % (folder, i), "wb") as f:
            f.write(data)
    r = subprocess.run([PROGRAM] + ["%s/%d" % (folder, i) for i in range(len(all_of))], capture_output=True, timeout=300)
    got, errors = r.stdout.decode().splitlines(), r.stderr.decode(errors="replace").splitlines()
    for i, data in enumerate(all_of):
        want, have = normal(expected(data)), normal(got[i]) if i < len(got) else "nothing"
        check(want == have, "%.100r: %.100s, expected %.100s" % (data, have, want))
    refused = got.count("refused")
    check(r.returncode == 0 and len(errors) == refused and all(": line " in e and ", column " in e for e in errors),
          "exit %d, %d refused, %d lines of error: %.300s" % (r.returncode, refused, len(errors), errors[-1:]))
print("  %d texts, %d refused" % (len(all_of), refused))
end()
