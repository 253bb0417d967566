#!/usr/bin/env python3
"""Prints the Unicode tables of llama.h's section >>text (paste between its two marker lines).

python3 tools/unicode.py          needs `pip install unicodedata2==16.0.0`: Unicode 16.0 is what the reference tokenizers know

Three lists of numbers, each rows of variable-length digits: bytes 'A'..'Z' are digits 0..25 that more digits follow, bytes
'^'..'}' are final digits 0..31 (n = (n * 26 + digit)... * 32 + last). A signed number s is 2s, or -2s-1 when negative.
  class  pairs (length of the range, class); ranges follow each other from U+0000 and cover everything
  ccc    triples (gap since the end of the last range, its length, canonical combining class)
  canon  canonical decompositions, ascending: (gap since the last code point * 2 + may be composed again, first - last first (signed),
         second - U+0300 + 1 (signed), or 0 where there is no second)
"""
import re
import sys
import unicodedata2 as u

if u.unidata_version != "16.0.0":
    sys.exit("Unicode 16.0.0 expected, found " + u.unidata_version)
CLASSES = ["Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S", "white", "other", "LuLl"]   # order of the enum in >>text
WHITE = set([*range(9, 14), 0x20, 0x85, 0xa0, 0x1680, *range(0x2000, 0x200b), 0x2028, 0x2029, 0x202f, 0x205f, 0x3000])


def digits(n):
    out = chr(94 + n % 32)
    n //= 32
    while n:
        out = chr(65 + n % 26) + out
        n //= 26
    return out


def signed(n):
    return digits(2 * n if n >= 0 else -2 * n - 1)


def class_of(c):
    if c in WHITE:
        return "white"
    k = u.category(chr(c))
    return k if k[0] == "L" else k[0] if k[0] in "MNPS" else "other"


def classes():
    runs = []
    for c in range(0x110000):
        k = class_of(c)
        if runs and runs[-1][1] == k:
            runs[-1][0] += 1
        else:
            runs.append([1, k])
    out, i, at = [], 0, 0
    while i < len(runs):             # Lu Ll Lu Ll ..., one each: a single range of the class LuLl
        j = i
        while j < len(runs) and runs[j][0] == 1 and runs[j][1] == ("Lu", "Ll")[(j - i) & 1]:
            j += 1
        if j - i >= 4:
            out.append((j - i, "LuLl"))
            i = j
        else:
            out.append(tuple(runs[i]))
            i += 1
    return len(out), "".join(digits(n) + digits(CLASSES.index(k)) for n, k in out)


def combining():
    out, n, end, c = "", 0, 0, 0
    while c < 0x110000:
        k = u.combining(chr(c))
        if k == 0:
            c += 1
            continue
        e = c
        while u.combining(chr(e)) == k:
            e += 1
        out += digits(c - end) + digits(e - c) + digits(k)
        n, end, c = n + 1, e, e
    return n, out


def canonical():
    out, n, composed, last, first = "", 0, 0, 0, 0
    for c in range(0x110000):
        d = u.decomposition(chr(c))
        if not d or d[0] == "<" or 0xac00 <= c < 0xd7a4:
            continue
        p = [int(x, 16) for x in d.split()]
        again = len(p) == 2 and u.normalize("NFC", chr(c)) == chr(c)
        out += digits((c - last) * 2 + again) + signed(p[0] - first)
        s = p[1] - 0x300 if len(p) == 2 else None
        out += digits(0) if s is None else digits(1 + (2 * s if s >= 0 else -2 * s - 1))
        n, composed, last, first = n + 1, composed + again, c, p[0]
    return n, composed, out


def text(name, s):
    """Rows of at most 142 bytes (C99 promises no longer strings than 4095), each of whole numbers."""
    rows, row = [], ""
    for number in re.findall("[A-Z]*[\\^-}]", s):
        if len(row) + len(number) > 142:
            rows.append(row)
            row = ""
        row += number
    print("static const char %s[][143] = {" % name)
    print(",\n".join('    "%s"' % x for x in rows + [row]))
    print("};")


n, s = classes()
m, t = combining()
k, composed, q = canonical()
print("enum { LMI_N_CLASS = %d, LMI_N_CCC = %d, LMI_N_CANON = %d, LMI_N_COMPOSED = %d }; /* Unicode 16.0.0, by tools/unicode.py */"
      % (n, m, k, composed))
text("lmi_text_class", s)
text("lmi_text_ccc", t)
text("lmi_text_canon", q)
