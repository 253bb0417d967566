/* Cleans records of text for training and finds those that come twice. Header-only.
 *   clean c; clean_open(&c);                               rules in c.rules, defaults by clean_defaults
 *   if (clean_text(&c, text, n) == CLEAN_KEPT) ... c.text.p, c.text.n ...
 *   if (clean_seen(&c, record) == CLEAN_KEPT) ...          is it, or something like it, there before? If not, it is from now on
 *   clean_close(&c);
 * What is repaired, in this order:
 *   encoding     a record that is no UTF-8 but reads as Windows-1252 (single accented letters and quotes) is decoded as that, any other dropped
 *   mojibake     UTF-8 that was decoded as Windows-1252 (three signs for a quote) is encoded back where it then is sound UTF-8 and no likely
 *                text as it stands; what is left with U+FFFD or half a sign is dropped
 *   html         tags (of records that have a closing one, or a break), comments, scripts and styles go, entities become characters
 *   contacts     e-mail addresses, web addresses, telephone numbers: the record is dropped, or they are taken out, or kept
 *   characters   control bytes and characters without width go, line ends become \n, spaces of any kind one space; lines lose their outer spaces,
 *                at most one empty line is between two; then normal form C (Unicode 16, whole)
 * What is dropped then: the too short, the too long, the repetitive, what does not end a sentence, what came before. Exact duplicates have the
 * same text after cleaning. Near ones share most runs of three words, where words are letters and digits without case: estimated by 128 minimum
 * hashes (Broder 1997), found by 32 bands of 4, so that of pairs as like as 0.7 fewer than one in a thousand is missed; memory about 900 bytes a
 * kept record. */
#ifndef CLEAN_H
#define CLEAN_H
#include "unicode.h"

#define CLEAN_REASONS(X) X(KEPT, "kept") X(INVALID_UTF8, "invalid_utf8") X(MOJIBAKE, "mojibake") X(CONTROL, "control_bytes") X(CONTACTS, "contacts") \
    X(SHORT, "too_short") X(LONG, "too_long") X(REPETITIVE, "repetitive") X(UNFINISHED, "unfinished") X(EXACT, "exact_duplicate") \
    X(NEAR, "near_duplicate") X(TEMPLATE, "template")
#define CLEAN_REASON(name, text) CLEAN_##name,
#define CLEAN_NAME(name, text) text,
typedef enum clean_reason { CLEAN_REASONS(CLEAN_REASON) CLEAN_N_REASONS } clean_reason;
static const char *const clean_names[] = { CLEAN_REASONS(CLEAN_NAME) };
#define CLEAN_REPAIRS(X) X(ENCODING, "encoding") X(FIX_MOJIBAKE, "mojibake") X(HTML, "html") X(FIX_CONTACTS, "contacts") \
    X(FIX_CONTROL, "control_bytes") X(LINE_ENDS, "line_ends") X(SPACES, "white_space") X(NFC, "normal_form")
typedef enum clean_repair { CLEAN_REPAIRS(CLEAN_REASON) CLEAN_N_REPAIRS } clean_repair;
static const char *const clean_repair_names[] = { CLEAN_REPAIRS(CLEAN_NAME) };
enum { CLEAN_DROP, CLEAN_REMOVE, CLEAN_KEEP };

typedef struct clean_rules {
    int64_t min_bytes, max_bytes;     /* of a cleaned record */
    double repetition;                /* most share of runs of five words that came before in the same record; 1: any */
    double near_share;                /* least likeness of near duplicates; 0: they stay */
    /* 1: html is taken out, white space normalized, the unfinished and exact duplicates dropped; contacts: above */
    int html, spaces, unfinished, exact, contacts;
} clean_rules;
#define CLEAN_HASHES 128
#define CLEAN_ROWS 4
#define CLEAN_BANDS (CLEAN_HASHES / CLEAN_ROWS)
#define CLEAN_CHAIN 64                /* records compared in a band at most: those before have been found alike in other bands, or are many alike */
typedef struct clean {
    clean_rules rules;
    gguf_bytes text, other;           /* the record; scratch */
    unsigned repaired;                /* bits of clean_repair, of the last record */
    uint64_t like;                    /* of the last duplicate: the record that it is like */
    /* what was kept */
    uint64_t *exact; uint64_t *exact_record; uint32_t n_exact, cap_exact;    /* open addressing by hash; 0 is empty */
    uint32_t *mins; uint64_t *record; uint32_t n_seen, cap_seen;             /* [n_seen][CLEAN_HASHES]; number of each record */
    uint32_t *next, *slot, n_slot;                                           /* entry 32 * record + band; chains by 1 + entry */
    uint64_t *window; size_t cap_window;                                     /* scratch: a set of hashes */
    uint64_t *word; size_t n_word, cap_word;                                 /* scratch: hashes of words */
} clean;

static inline void clean_defaults(clean_rules *r) {
    r->min_bytes = 50; r->max_bytes = 1000000; r->repetition = 0.3; r->near_share = 0.7;
    r->html = r->spaces = r->unfinished = r->exact = 1; r->contacts = CLEAN_DROP;
}
static inline void clean_open(clean *c) { memset(c, 0, sizeof *c); clean_defaults(&c->rules); unicode_open(); }
static inline void clean_close(clean *c) {
    free(c->text.p); free(c->other.p); free(c->exact); free(c->exact_record); free(c->mins); free(c->record); free(c->next); free(c->slot);
    free(c->window); free(c->word);
    memset(c, 0, sizeof *c);
}

/* ---- text under way: a step reads c->text, puts into c->other, and exchanges the two */
static inline void clean_put(clean *c, const char *p, size_t n) { gguf_put(&c->other, p, n); }
static inline void clean_put_cp(clean *c, uint32_t cp) { char u[8]; clean_put(c, u, (size_t)(json_put_utf8(u, cp) - u)); }
static inline void clean_swap(clean *c) { gguf_bytes t = c->text; c->text = c->other; c->other = t; c->other.n = 0; }
static inline int clean_at(const clean *c, size_t at, const char *s) {
    size_t n = strlen(s);
    return c->text.n - at >= n && memcmp(c->text.p + at, s, n) == 0;
}
static inline int clean_alpha(int c) { c |= 32; return c >= 'a' && c <= 'z'; }
static inline int clean_digit(int c) { return c >= '0' && c <= '9'; }
static inline int clean_lower(int c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* ---- Windows-1252 (https://encoding.spec.whatwg.org/index-windows-1252.txt): bytes 0x80 to 0x9f, the others are Latin-1 */
static const uint16_t clean_cp1252[32] = { 0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d,
    0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178 };
static inline uint32_t clean_from_byte(int b) { return b >= 0x80 && b < 0xa0 ? clean_cp1252[b - 0x80] : (uint32_t)b; }
static inline int clean_to_byte(uint32_t cp) { /* -1: none from 0x80 on */
    int i;
    if (cp >= 0x80 && cp <= 0xff) return (int)cp;
    if (cp < 0x152 || cp > 0x2122) return -1;
    for (i = 0; i < 32; i++) if (clean_cp1252[i] == cp) return 0x80 + i;
    return -1;
}
/* 1: the record is UTF-8, or was Windows-1252 and is UTF-8 now. Bytes that are no UTF-8 count as that if none of them is part of a sound sequence, at
 * most two stand in a row, and all are letters, quotes, dashes, an ellipsis or a space. */
static inline int clean_encoding(clean *c) {
    size_t at, len, run = 0; uint32_t cp; int sound = 0, broken = 0; const char *p = c->text.p;
    if (clean_at(c, 0, "\xef\xbb\xbf")) { clean_put(c, p + 3, c->text.n - 3); clean_swap(c); c->repaired |= 1u << CLEAN_ENCODING; p = c->text.p; }
    for (at = 0; at < c->text.n; at += len) {
        int b = (unsigned char)p[at];
        if (b < 0x80) { len = 1; run = 0; continue; }
        if (cli_utf8(p + at, c->text.n - at, &len, &cp) == 1) { sound = 1; run = 0; continue; }
        len = 1; broken = 1;
        if (++run > 2 || !(b >= 0xc0 || b == 0xa0 || b == 0x85 || (b >= 0x91 && b <= 0x97)) || b == 0xd7 || b == 0xf7) return 0;
    }
    if (!broken) return 1;
    if (sound) return 0;
    for (at = 0; at < c->text.n; at++) clean_put_cp(c, clean_from_byte((unsigned char)p[at]));
    clean_swap(c); c->repaired |= 1u << CLEAN_ENCODING;
    return 1;
}

/* ---- mojibake. A sequence: characters that stand for the bytes of one character beyond ASCII. */
typedef struct clean_sequence { int n; uint32_t cp; size_t n_bytes; unsigned char b[4]; } clean_sequence; /* n bytes of UTF-8; bytes as they stand */
static inline int clean_closes(int b) { /* what may follow a letter in sound text: closing quotes, dashes, ellipsis, a space, and letters */
    static const unsigned char set[] = { 0x83, 0x85, 0x8a, 0x8b, 0x8c, 0x8e, 0x9a, 0x9b, 0x9c, 0x9e, 0x9f, 0xa0, 0xaa, 0xab, 0xb5, 0xb7, 0xba, 0xbb };
    return (b >= 0x91 && b <= 0x97) || memchr(set, b, sizeof set) != NULL;
}
static inline clean_sequence clean_read(const clean *c, size_t at) { /* n 0: none begins here */
    clean_sequence s; size_t k = at, len; uint32_t cp; int i, b, need = 1; char u[4];
    memset(&s, 0, sizeof s);
    for (i = 0; i < need && k < c->text.n; i++, k += len) {
        len = unicode_next(c->text.p + k, c->text.n - k, &cp); b = clean_to_byte(cp);
        if (i == 0) { if (b < 0xc2 || b > 0xf4) return s; need = b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4; }
        else if (b < 0x80 || b > 0xbf) return s;
        s.b[i] = (unsigned char)b; u[i] = (char)b;
    }
    if (i < need || cli_utf8(u, (size_t)need, &len, &s.cp) != 1) return s;
    s.n = need; s.n_bytes = k - at;
    return s;
}
static inline int clean_is_wrong(const clean *c, const clean_sequence *s, size_t at, int before) { /* 1: it is no text as it stands */
    const int b = s->b[0]; size_t next = at + s->n_bytes;
    const int goes_on = before || clean_read(c, next).n > 0, letter = next < c->text.n && clean_alpha(c->text.p[next]);
    if (s->cp >= 0x80 && s->cp < 0xa0) return 0;
    if (s->n == 4 || (b == 0xe2 && s->b[1] < 0xa0)) return 1;                    /* emoji; quotes, dashes, signs */
    if (b == 0xc2) return 1;
    /* several in a row: other scripts; what closes stands before no letter */
    if (goes_on || letter) return 1;
    return b == 0xc3 ? s->b[1] >= 0xa0 : !clean_closes(s->b[1]) && (s->n == 2 || !clean_closes(s->b[2]));
}
static inline int clean_mojibake_once(clean *c) { /* -> how many were repaired */
    size_t at, len; uint32_t cp; int n = 0, before = 0;
    for (at = 0; at < c->text.n; at += len) {
        clean_sequence s;
        if ((unsigned char)c->text.p[at] < 0x80) { clean_put(c, c->text.p + at, 1); len = 1; before = 0; continue; }
        s = clean_read(c, at);
        if (s.n && clean_is_wrong(c, &s, at, before)) { clean_put_cp(c, s.cp); len = s.n_bytes; before = 1; n++; continue; }
        before = 0;
        len = unicode_next(c->text.p + at, c->text.n - at, &cp);
        /* a closing quote whose byte 0x9d was lost */
        if (clean_at(c, at, "\xc3\xa2\xe2\x82\xac")) { clean_put_cp(c, 0x201d); len = 5; n++; continue; }
        /* Windows-1252 as Latin-1 */
        if (cp >= 0x80 && cp < 0xa0) { n++; if (clean_cp1252[cp - 0x80] >= 0xa0) clean_put_cp(c, clean_cp1252[cp - 0x80]); continue; }
        clean_put(c, c->text.p + at, len);
    }
    clean_swap(c);
    return n;
}
static inline int clean_mojibake(clean *c) { /* 0: beyond repair */
    size_t at; int i;
    for (at = 0; at < c->text.n && (unsigned char)c->text.p[at] < 0x80; at++) {}
    if (at == c->text.n) return 1;
    for (i = 0; i < 3 && clean_mojibake_once(c) > 0; i++) c->repaired |= 1u << CLEAN_FIX_MOJIBAKE; /* it may have happened twice */
    for (; at < c->text.n; at++) if (clean_at(c, at, "\xef\xbf\xbd")) return 0;
    return 1;
}

/* ---- HTML (https://html.spec.whatwg.org, section 13). b: begins a new line */
static const char clean_tags[] = " a abbr address! article! aside! audio b base bdi bdo big blockquote! body! br! button canvas caption! center! "
    "cite code col colgroup dd! del details! dfn div! dl! dt! em embed fieldset! figcaption! figure! font footer! form! frame frameset h1! h2! "
    "h3! h4! h5! h6! head! header! hr! html! i iframe img input ins kbd label legend li! link main! mark meta nav! nobr noscript object ol! "
    "option! optgroup p! param picture pre! q s samp script section! select small source span strike strong style sub summary! sup svg table! "
    "tbody! td textarea tfoot! th thead! time title! tr! tt u ul! var video wbr ";
static const struct { const char *name; uint32_t cp; } clean_entities[] = { { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' },
    { "apos", '\'' }, { "nbsp", ' ' }, { "ensp", ' ' }, { "emsp", ' ' }, { "thinsp", ' ' }, { "shy", 0xad }, { "copy", 0xa9 }, { "reg", 0xae },
    { "trade", 0x2122 }, { "deg", 0xb0 }, { "plusmn", 0xb1 }, { "middot", 0xb7 }, { "bull", 0x2022 }, { "hellip", 0x2026 }, { "ndash", 0x2013 },
    { "mdash", 0x2014 }, { "lsquo", 0x2018 }, { "rsquo", 0x2019 }, { "sbquo", 0x201a }, { "ldquo", 0x201c }, { "rdquo", 0x201d },
    { "bdquo", 0x201e }, { "laquo", 0xab }, { "raquo", 0xbb }, { "lsaquo", 0x2039 }, { "rsaquo", 0x203a }, { "cent", 0xa2 }, { "pound", 0xa3 },
    { "yen", 0xa5 }, { "euro", 0x20ac }, { "sect", 0xa7 }, { "para", 0xb6 }, { "times", 0xd7 }, { "divide", 0xf7 }, { "frac12", 0xbd },
    { "frac14", 0xbc }, { "frac34", 0xbe }, { "iexcl", 0xa1 }, { "iquest", 0xbf }, { "szlig", 0xdf }, { "Agrave", 0xc0 }, { "Aacute", 0xc1 },
    { "Acirc", 0xc2 }, { "Atilde", 0xc3 }, { "Auml", 0xc4 }, { "Aring", 0xc5 }, { "AElig", 0xc6 }, { "Ccedil", 0xc7 }, { "Egrave", 0xc8 },
    { "Eacute", 0xc9 }, { "Ecirc", 0xca }, { "Euml", 0xcb }, { "Igrave", 0xcc }, { "Iacute", 0xcd }, { "Icirc", 0xce }, { "Iuml", 0xcf },
    { "Ntilde", 0xd1 }, { "Ograve", 0xd2 }, { "Oacute", 0xd3 }, { "Ocirc", 0xd4 }, { "Otilde", 0xd5 }, { "Ouml", 0xd6 }, { "Oslash", 0xd8 },
    { "Ugrave", 0xd9 }, { "Uacute", 0xda }, { "Ucirc", 0xdb }, { "Uuml", 0xdc }, { "agrave", 0xe0 }, { "aacute", 0xe1 }, { "acirc", 0xe2 },
    { "atilde", 0xe3 }, { "auml", 0xe4 }, { "aring", 0xe5 }, { "aelig", 0xe6 }, { "ccedil", 0xe7 }, { "egrave", 0xe8 }, { "eacute", 0xe9 },
    { "ecirc", 0xea }, { "euml", 0xeb }, { "igrave", 0xec }, { "iacute", 0xed }, { "icirc", 0xee }, { "iuml", 0xef }, { "ntilde", 0xf1 },
    { "ograve", 0xf2 }, { "oacute", 0xf3 }, { "ocirc", 0xf4 }, { "otilde", 0xf5 }, { "ouml", 0xf6 }, { "oslash", 0xf8 }, { "ugrave", 0xf9 },
    { "uacute", 0xfa }, { "ucirc", 0xfb }, { "uuml", 0xfc }, { "oelig", 0x153 }, { "OElig", 0x152 }, { "scaron", 0x161 }, { "Scaron", 0x160 },
    { "zwj", 0x200d }, { "zwnj", 0x200c } };

typedef struct clean_tag { size_t n; int closing, block; char name[12]; } clean_tag; /* n bytes of it, 0: no tag */
static inline clean_tag clean_read_tag(const clean *c, size_t at) { /* at a '<' */
    const char *p = c->text.p + at; size_t n = c->text.n - at, i = 1, k = 0; clean_tag t; char want[16]; const char *hit; int quote = 0;
    memset(&t, 0, sizeof t);
    if (n > 4096) n = 4096;           /* an attribute longer than that: no tag */
    t.closing = n > 1 && p[1] == '/'; i += (size_t)t.closing;
    while (i < n && (clean_alpha(p[i]) || (k > 0 && clean_digit(p[i]))) && k + 1 < sizeof t.name) t.name[k++] = (char)clean_lower(p[i++]);
    snprintf(want, sizeof want, " %s", t.name);
    hit = k ? strstr(clean_tags, want) : NULL;
    while (hit && hit[k + 1] != ' ' && hit[k + 1] != '!') hit = strstr(hit + 1, want);
    if (hit == NULL || i == n) return t;
    t.block = hit[k + 1] == '!';
    if (p[i] != '>' && p[i] != '/' && p[i] != ' ' && p[i] != '\t' && p[i] != '\n' && p[i] != '\r') return t;
    while (i < n && strchr(" \t\r\n", p[i]) && p[i]) i++;
    if (i < n && p[i] != '>' && p[i] != '/') { /* an attribute, which has a value: "a <b and c> d" is none */
        for (k = i; k < n && (clean_alpha(p[k]) || clean_digit(p[k]) || p[k] == '-' || p[k] == ':' || p[k] == '_'); k++) {}
        if (k == n || k == i || p[k] != '=') return t;
    }
    for (; i < n; i++) {
        if (quote) { if (p[i] == quote) quote = 0; continue; }
        if ((p[i] == '"' || p[i] == '\'') && p[i - 1] == '=') quote = p[i];
        else if (p[i] == '>') { t.n = i + 1; return t; }
        else if (p[i] == '<') return t;
    }
    return t;
}
static inline size_t clean_find(const clean *c, size_t at, const char *s, int any_case) { /* where it begins; the text's end: nowhere */
    size_t n = strlen(s), k;
    for (; at + n <= c->text.n; at++) {
        for (k = 0; k < n && (c->text.p[at + k] == s[k] || (any_case && clean_lower(c->text.p[at + k]) == s[k])); k++) {}
        if (k == n) return at;
    }
    return c->text.n;
}
static inline int clean_has_html(const clean *c) {
    size_t at;
    for (at = 0; at < c->text.n; at++) {
        clean_tag t;
        if (c->text.p[at] != '<') continue;
        if (clean_at(c, at, "<!--") || clean_at(c, at, "<!DOCTYPE") || clean_at(c, at, "<!doctype")) return 1;
        t = clean_read_tag(c, at);
        if (t.n && (t.closing || strcmp(t.name, "br") == 0 || strcmp(t.name, "p") == 0 || strcmp(t.name, "hr") == 0 ||
            strcmp(t.name, "img") == 0)) return 1;
    }
    return 0;
}
static inline size_t clean_past_tag(const clean *c, size_t at, int *block) { /* where what begins here ends; `at`: it is none. at a '<' */
    clean_tag t; size_t end; char close[16];
    if (clean_at(c, at, "<!--")) { end = clean_find(c, at + 4, "-->", 0); return end < c->text.n ? end + 3 : end; }
    if (clean_at(c, at, "<!DOCTYPE") || clean_at(c, at, "<!doctype") || clean_at(c, at, "<?xml")) { end = clean_find(c, at, ">", 0);
        return end < c->text.n ? end + 1 : end; }
    t = clean_read_tag(c, at); *block = t.block;
    if (t.n && !t.closing && (strcmp(t.name, "script") == 0 || strcmp(t.name, "style") == 0)) {
        snprintf(close, sizeof close, "</%s", t.name);
        end = clean_find(c, at + t.n, close, 1);
        end = clean_find(c, end, ">", 0);
        return end < c->text.n ? end + 1 : end;
    }
    return at + t.n;
}
static inline size_t clean_entity(const clean *c, size_t at, uint32_t *cp) { /* bytes of the entity at a '&', 0: none */
    const char *p = c->text.p + at; size_t n = c->text.n - at, i, k; uint32_t v = 0; int base = 10, digit;
    if (n > 12) n = 12;
    for (k = 1; k < n && p[k] != ';'; k++) {}
    if (k == n || k < 3) return 0;
    if (p[1] != '#') {
        for (i = 0; i < sizeof clean_entities / sizeof *clean_entities; i++)
            if (strlen(clean_entities[i].name) == k - 1 && memcmp(p + 1, clean_entities[i].name, k - 1) == 0) { *cp = clean_entities[i].cp;
                return k + 1; }
        return 0;
    }
    i = 2;
    if (clean_lower(p[2]) == 'x') { base = 16; i = 3; }
    if (i == k) return 0;
    for (; i < k; i++) {
        digit = clean_digit(p[i]) ? p[i] - '0' : base == 16 && clean_alpha(p[i]) && clean_lower(p[i]) <= 'f' ? clean_lower(p[i]) - 'a' + 10 : 99;
        if (digit >= base || v > 0x10ffff) return 0;
        v = v * (uint32_t)base + (uint32_t)digit;
    }
    if (v == 0 || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return 0;
    *cp = v < 0xa0 && v >= 0x80 ? clean_from_byte((int)v) : v; /* numbers below 160 are Windows-1252's in practice, and in the standard */
    return k + 1;
}
static inline int clean_is_word(const char *p, size_t n) { /* a letter or digit is in it */
    size_t at, len; uint32_t cp; int k;
    for (at = 0; at < n; at += len) { len = unicode_next(p + at, n - at, &cp); k = unicode_class(cp);
        if (k == UNICODE_LETTER || k == UNICODE_NUMBER) return 1; }
    return 0;
}
static inline void clean_ends(clean *c) { /* lines without a letter or digit at the record's ends: what is left of a page's frame */
    size_t from = 0, to = c->text.n, k;
    for (;;) { for (k = from; k < to && c->text.p[k] != '\n'; k++) {} if (k == to || clean_is_word(c->text.p + from, k - from)) break; from = k + 1; }
    for (;;) { for (k = to; k > from && c->text.p[k - 1] != '\n'; k--) {} if (k == from || clean_is_word(c->text.p + k, to - k)) break; to = k - 1; }
    clean_put(c, c->text.p + from, to - from);
    clean_swap(c);
}
static inline void clean_html(clean *c) {
    size_t at, next, n; uint32_t cp; int tags = clean_has_html(c), block = 0, wants = 0, changed = 0;
    if (!tags && memchr(c->text.p, '&', c->text.n) == NULL) return;
    for (at = 0; at < c->text.n; at = next) {
        char ch = c->text.p[at];
        next = at + 1; block = 0;
        if (ch == '<' && tags) {
            next = clean_past_tag(c, at, &block);
            if (next > at) { wants |= block; changed = 1; continue; }
            next = at + 1;
        }
        if (wants && ch != '\n' && ch != '\r' && c->other.n && c->other.p[c->other.n - 1] != '\n') clean_put(c, "\n", 1);
        wants = 0;
        n = ch == '&' ? clean_entity(c, at, &cp) : 0;
        if (n) { clean_put_cp(c, cp); next = at + n; changed = 1; } else clean_put(c, &ch, 1);
    }
    clean_swap(c);
    if (changed) c->repaired |= 1u << CLEAN_HTML;
    if (changed && tags) clean_ends(c);
}

/* ---- contacts */
static inline int clean_mail_char(int ch) { return clean_alpha(ch) || clean_digit(ch) || ch == '.' || ch == '_' || ch == '-' || ch == '+'; }
static inline size_t clean_mail(const clean *c, size_t low, size_t at, size_t *from) { /* at an '@': bytes from *from >= low on; 0: none */
    size_t i = at + 1, dot = 0, start = at; const char *p = c->text.p;
    while (start > low && clean_mail_char(p[start - 1]) && at - start < 64) start--;
    while (i < c->text.n && (clean_alpha(p[i]) || clean_digit(p[i]) || p[i] == '-' || (p[i] == '.' && i + 1 < c->text.n && clean_alpha(p[i + 1])))) {
        if (p[i] == '.') dot = i;
        i++;
    }
    if (start == at || dot == 0 || i - dot < 3) return 0;
    *from = start;
    return i - start;
}
static inline size_t clean_web(const clean *c, size_t at) { /* bytes of a web address that begins here */
    size_t i = at, n; const char *p = c->text.p;
    if (at > 0 && (clean_alpha(p[at - 1]) || clean_digit(p[at - 1]))) return 0;
    n = clean_at(c, at, "http://") ? 7 : clean_at(c, at, "https://") ? 8 : clean_at(c, at, "ftp://") ? 6 : clean_at(c, at, "www.") ? 4 : 0;
    if (n == 0 || at + n >= c->text.n || !(clean_alpha(p[at + n]) || clean_digit(p[at + n]))) return 0;
    for (i = at + n; i < c->text.n && p[i] > 32 && p[i] < 127 && !strchr("<>\"`{}|^\\", p[i]); i++) {}
    while (i > at + n && strchr(".,;:!?)'", p[i - 1])) i--;   /* the sentence's own */
    return i - at;
}
/* +49 30 1234567, (555) 010-0199, 555-010-0199: two separators or a plus, 7 to 15 digits */
static inline size_t clean_phone(const clean *c, size_t at) {
    size_t i = at, digits = 0, groups = 1, last = at; const char *p = c->text.p; int plus = p[at] == '+';
    if (at > 0 && (clean_alpha(p[at - 1]) || clean_digit(p[at - 1]) || strchr(".,-/+", p[at - 1]))) return 0;
    for (; i < c->text.n && i - at < 24; i++) {
        if (clean_digit(p[i])) { digits++; last = i; }
        else if (strchr("+(", p[i]) && i == at) continue;
        else if (p[i] == '-' || p[i] == '(' || p[i] == ')' || (p[i] == ' ' && (plus || p[i - 1] == ')'))) groups += i > 0 && clean_digit(p[i - 1]);
        else break;
    }
    if (digits < 7 || digits > 15 || groups < (plus ? 1u : 3u) || (!plus && p[at] != '(' && last - at < 9)) return 0;
    if (last + 1 < c->text.n && (clean_alpha(p[last + 1]) || clean_digit(p[last + 1]))) return 0;
    return last + 1 - at;
}
static inline int clean_contacts(clean *c) { /* takes them out; -> how many there were */
    size_t at, next, n, from = 0, low = 0; int count = 0; /* low: after what was taken out last */
    for (at = 0; at < c->text.n; at = next) {
        int ch = c->text.p[at];
        next = at + 1; n = 0;
        if (ch == '@') {
            n = clean_mail(c, low, at, &from);
            if (n) { c->other.n -= at - from; next = from + n; }
        } else if (ch == 'h' || ch == 'w' || ch == 'f') { n = clean_web(c, at); next = at + (n ? n : 1); }
        else if (clean_digit(ch) || ch == '+' || ch == '(') { n = clean_phone(c, at); next = at + (n ? n : 1); }
        if (n) { count++; low = next; } else clean_put(c, c->text.p + at, 1);
    }
    clean_swap(c);
    return count;
}

/* ---- characters and white space */
static inline int clean_space(uint32_t cp) {
    return cp == ' ' || cp == '\t' || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a)
        || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}
static inline int clean_nothing(uint32_t cp) {
    return cp == 0x200b || cp == 0xfeff || cp == 0xad || cp == 0x2060 || (cp >= 0x202a && cp <= 0x202e)
        || (cp >= 0x2066 && cp <= 0x2069);
}
static inline int clean_characters(clean *c) { /* 0: too many control bytes to be text */
    size_t at, len, n_control = 0, n = c->text.n; uint32_t cp;
    for (at = 0; at < n; at += len) {
        len = unicode_next(c->text.p + at, n - at, &cp);
        if (cp == '\r' || cp == 0x2028 || cp == 0x2029 || cp == 0x85 || cp == 11 || cp == 12) {
            c->repaired |= 1u << CLEAN_LINE_ENDS;
            if (cp != '\r' || at + 1 == n || c->text.p[at + 1] != '\n') clean_put(c, "\n", 1);
        } else if ((cp < 32 && cp != '\n' && cp != '\t') || cp == 127) { n_control++; c->repaired |= 1u << CLEAN_FIX_CONTROL; }
        else if (clean_nothing(cp)) c->repaired |= 1u << CLEAN_SPACES;
        else if (cp > 127 && clean_space(cp) && c->rules.spaces) { clean_put(c, " ", 1); c->repaired |= 1u << CLEAN_SPACES; }
        else clean_put(c, c->text.p + at, len);
    }
    clean_swap(c);
    return n_control <= n / 10;
}
static inline void clean_white(clean *c) {
    size_t at, n = c->text.n, k, lines = 0; int space = 0;
    for (at = 0; at < n; at++) {
        char ch = c->text.p[at];
        if (ch == ' ' || ch == '\t') { space = 1; continue; }
        if (ch == '\n') { lines++; space = 0; continue; }
        if (c->other.n) for (k = 0; k < lines && k < 2; k++) clean_put(c, "\n", 1);
        if (space && lines == 0 && c->other.n) clean_put(c, " ", 1);
        clean_put(c, &ch, 1);
        space = 0; lines = 0;
    }
    if (c->other.n != n && !(c->other.n + 1 == n && c->text.p[n - 1] == '\n')) c->repaired |= 1u << CLEAN_SPACES;
    clean_swap(c);
}
static inline void clean_trim(clean *c) { /* line ends around the record */
    size_t from = 0, to = c->text.n;
    while (from < to && c->text.p[from] == '\n') from++;
    while (to > from && c->text.p[to - 1] == '\n') to--;
    if (from > 0 && to > from) memmove(c->text.p, c->text.p + from, to - from);
    c->text.n = to - from;
}
static inline void clean_nfc(clean *c) {
    size_t m; const char *p = c->text.n ? unicode_nfc(c->text.p, c->text.n, &m) : NULL;
    if (p == NULL || p == c->text.p) return;
    if (m == c->text.n && memcmp(p, c->text.p, m) == 0) return;
    clean_put(c, p, m); clean_swap(c);
    c->repaired |= 1u << CLEAN_NFC;
}

/* ---- words: runs of letters and digits, without case; one character of a script that has no spaces */
static inline uint32_t clean_fold(uint32_t cp) { /* ASCII, Latin-1, Greek, Cyrillic */
    if (cp < 128) return (uint32_t)clean_lower((int)cp);
    if ((cp >= 0xc0 && cp <= 0xde && cp != 0xd7) || (cp >= 0x391 && cp <= 0x3a9) || (cp >= 0x410 && cp <= 0x42f)) return cp + 32;
    return cp >= 0x400 && cp <= 0x40f ? cp + 80 : cp;
}
static inline int clean_alone(uint32_t cp) {
    return (cp >= 0x0e00 && cp <= 0x109f) || (cp >= 0x1780 && cp <= 0x17ff) || (cp >= 0x2e80 && cp <= 0x9fff) || (cp >= 0xf900 && cp <= 0xfaff)
        || cp >= 0x20000;
}
static inline void clean_word(clean *c, uint64_t h) {
    if (c->n_word == c->cap_word) c->word = (uint64_t *)cli_grow(c->word, (c->cap_word = c->cap_word * 2 + 1024) * sizeof *c->word);
    c->word[c->n_word++] = h;
}
static inline uint64_t clean_mix(uint64_t h) { h = (h ^ h >> 33) * 0xff51afd7ed558ccdu; h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u; return h ^ h >> 33; }
static inline void clean_words(clean *c) {
    size_t at, len; uint32_t cp; uint64_t h = 0; int k;
    c->n_word = 0;
    for (at = 0; at < c->text.n; at += len) {
        len = unicode_next(c->text.p + at, c->text.n - at, &cp); k = unicode_class(cp);
        if (k != UNICODE_LETTER && k != UNICODE_NUMBER) { if ((cp == '\'' || cp == 0x2019) && h) continue; if (h) clean_word(c, h); h = 0; continue; }
        if (clean_alone(cp)) { if (h) clean_word(c, h); clean_word(c, clean_mix(cp)); h = 0; continue; }
        h = ((h ? h : 0xcbf29ce484222325u) ^ clean_fold(cp)) * 0x100000001b3u;
    }
    if (h) clean_word(c, h);
}
static inline uint64_t clean_run(const clean *c, size_t i, size_t n) { /* of n words from the i-th on */
    uint64_t h = 0; size_t k;
    for (k = 0; k < n; k++) h = clean_mix(h + c->word[i + k] + k);
    return h | 1;
}
static inline double clean_repetition(clean *c) { /* share of the runs of five words that came before in the record */
    size_t i, k, n = c->n_word < 5 ? 0 : c->n_word - 4, m = 64, again = 0;
    if (c->n_word < 20) return 0;
    while (m < 2 * n) m *= 2;
    if (m > c->cap_window) c->window = (uint64_t *)cli_grow(c->window, (c->cap_window = m) * sizeof *c->window);
    memset(c->window, 0, m * sizeof *c->window);
    for (i = 0; i < n; i++) {
        uint64_t h = clean_run(c, i, 5);
        for (k = (size_t)(h >> 20) & (m - 1); c->window[k] && c->window[k] != h; k = (k + 1) & (m - 1)) {}
        again += c->window[k] == h; c->window[k] = h;
    }
    return (double)again / (double)n;
}

/* ---- does it end a sentence? */
static inline uint32_t clean_last(const clean *c, size_t *to) { /* the character that ends at *to > 0; *to becomes where it begins */
    size_t at = *to; uint32_t cp;
    do at--; while (at > 0 && ((unsigned char)c->text.p[at] & 0xc0) == 0x80);
    unicode_next(c->text.p + at, *to - at, &cp);
    *to = at;
    return cp;
}
/* an end mark, closing quotes and brackets after it; emoji; or a script that writes no end marks */
static inline int clean_finished(const clean *c) {
    static const uint32_t close[] = { '"', '\'', ')', ']', '}', '*', '_', 0x2019, 0x201d, 0xbb, 0x203a, 0x201c, 0x300d, 0x300f, 0xff09, 0x3011, 0 };
    static const uint32_t end[] = { '.', '!', '?', 0x2026, 0x3002, 0xff01, 0xff1f, 0xff0e, 0x61f, 0x6d4, 0x964, 0x965, 0x589, 0x1362, 0x203c, 0x203d,
        0x2047, 0x2048, 0x2049, 0 };
    size_t to = c->text.n, i; uint32_t cp = 0;
    while (to > 0) {
        cp = clean_last(c, &to);
        for (i = 0; close[i] && close[i] != cp; i++) {}
        if (close[i] == 0) break;
    }
    for (i = 0; end[i]; i++) if (end[i] == cp) return 1;
    return (cp >= 0x2600 && cp <= 0x27bf) || cp == 0xfe0f || (cp >= 0x1f300 && cp <= 0x1faff) || (cp >= 0xe00 && cp <= 0x109f)
        || (cp >= 0x1780 && cp <= 0x17ff);
}

/* ---- the whole of one record. gentle: only what repairs without taking away, for conversations: no html, no contacts, no rules */
static inline clean_reason clean_text(clean *c, const char *p, size_t n, int gentle) {
    const clean_rules *r = &c->rules; int contacts;
    c->repaired = 0; c->text.n = c->other.n = 0; c->n_word = 0;
    gguf_put(&c->text, p, n);
    if (n == 0) return gentle ? CLEAN_KEPT : CLEAN_SHORT;
    if (!clean_encoding(c)) return CLEAN_INVALID_UTF8;
    if (!clean_mojibake(c)) return CLEAN_MOJIBAKE;
    if (!gentle && r->html) clean_html(c);
    if (!gentle && r->contacts != CLEAN_KEEP && (contacts = clean_contacts(c)) > 0) {
        if (r->contacts == CLEAN_DROP) return CLEAN_CONTACTS;
        c->repaired |= 1u << CLEAN_FIX_CONTACTS;
    }
    if (!clean_characters(c)) return CLEAN_CONTROL;
    if (!gentle && r->spaces) clean_white(c); else clean_trim(c);
    clean_nfc(c);
    if (gentle) return CLEAN_KEPT;
    if (c->text.n < (size_t)r->min_bytes) return CLEAN_SHORT;
    if (c->text.n > (size_t)r->max_bytes) return CLEAN_LONG;
    clean_words(c);
    if (clean_repetition(c) > r->repetition) return CLEAN_REPETITIVE;
    if (r->unfinished && !clean_finished(c)) return CLEAN_UNFINISHED;
    return CLEAN_KEPT;
}

/* ---- duplicates */
static inline int clean_seen_exact(clean *c, uint64_t h, uint64_t record) {
    uint32_t i, k, old = c->cap_exact; uint64_t *from = c->exact, *at = c->exact_record;
    if (c->n_exact * 2 >= old) {
        c->cap_exact = old ? old * 2 : 4096; c->n_exact = 0;
        c->exact = (uint64_t *)cli_grow(NULL, c->cap_exact * sizeof *from); memset(c->exact, 0, c->cap_exact * sizeof *from);
        c->exact_record = (uint64_t *)cli_grow(NULL, c->cap_exact * sizeof *from);
        for (i = 0; i < old; i++) if (from[i]) clean_seen_exact(c, from[i], at[i]);
        free(from); free(at);
    }
    for (k = (uint32_t)(h >> 32) & (c->cap_exact - 1); c->exact[k]; k = (k + 1) & (c->cap_exact - 1)) if (c->exact[k] == h) {
        c->like = c->exact_record[k]; return 1; }
    c->exact[k] = h; c->exact_record[k] = record; c->n_exact++;
    return 0;
}
static inline void clean_signature(const clean *c, uint32_t *mins) { /* of the runs of three words */
    static uint64_t a[CLEAN_HASHES]; size_t i, n = c->n_word < 3 ? 1 : c->n_word - 2; int k;
    if (a[0] == 0) for (k = 0; k < CLEAN_HASHES; k++) a[k] = clean_mix((uint64_t)k + 0x9e3779b97f4a7c15u) | 1;
    memset(mins, 0xff, CLEAN_HASHES * sizeof *mins);
    for (i = 0; i < n; i++) {
        uint64_t h = c->n_word == 0 ? 1 : clean_run(c, i, c->n_word < 3 ? c->n_word : 3);
        for (k = 0; k < CLEAN_HASHES; k++) { uint32_t v = (uint32_t)(h * a[k] >> 32); if (v < mins[k]) mins[k] = v; }
    }
}
static inline uint32_t clean_band(const clean *c, const uint32_t *mins, uint32_t band) {
    uint64_t h = band; int k;
    for (k = 0; k < CLEAN_ROWS; k++) h = clean_mix(h + mins[band * CLEAN_ROWS + (uint32_t)k]);
    return (uint32_t)(h >> 16) & (c->n_slot - 1);
}
static inline void clean_enter(clean *c, uint32_t i) { /* record i of those kept into its bands */
    uint32_t b, *slot;
    for (b = 0; b < CLEAN_BANDS; b++) {
        slot = &c->slot[clean_band(c, c->mins + (size_t)i * CLEAN_HASHES, b)];
        c->next[(size_t)i * CLEAN_BANDS + b] = *slot; *slot = i * CLEAN_BANDS + b + 1;
    }
}
static inline void clean_more(clean *c) { /* room for one more */
    uint32_t i;
    if (c->n_seen < c->cap_seen) return;
    if (c->n_seen >= UINT32_MAX / CLEAN_BANDS / 2) cli_die("memory: more than %lu records for near duplicates", (unsigned long)c->n_seen);
    c->cap_seen = c->cap_seen ? c->cap_seen * 2 : 1024;
    c->mins = (uint32_t *)cli_grow(c->mins, (size_t)c->cap_seen * CLEAN_HASHES * sizeof *c->mins);
    c->record = (uint64_t *)cli_grow(c->record, c->cap_seen * sizeof *c->record);
    c->next = (uint32_t *)cli_grow(c->next, (size_t)c->cap_seen * CLEAN_BANDS * sizeof *c->next);
    for (c->n_slot = 1024; c->n_slot < c->cap_seen * (CLEAN_BANDS / 2); c->n_slot *= 2) {}
    c->slot = (uint32_t *)cli_grow(c->slot, (size_t)c->n_slot * sizeof *c->slot);
    memset(c->slot, 0, (size_t)c->n_slot * sizeof *c->slot);
    for (i = 0; i < c->n_seen; i++) clean_enter(c, i);
}
static inline int clean_seen_near(clean *c, uint64_t record) {
    uint32_t b, e, steps, *mins; int k, same, need = (int)ceil(c->rules.near_share * CLEAN_HASHES);
    clean_more(c);
    mins = c->mins + (size_t)c->n_seen * CLEAN_HASHES;
    clean_signature(c, mins);
    for (b = 0; b < CLEAN_BANDS; b++)
        for (e = c->slot[clean_band(c, mins, b)], steps = 0; e && steps < CLEAN_CHAIN; e = c->next[e - 1], steps++) {
            const uint32_t *old = c->mins + (size_t)((e - 1) / CLEAN_BANDS) * CLEAN_HASHES;
            for (k = 0, same = 0; k < CLEAN_HASHES; k++) same += old[k] == mins[k];
            if (same >= need) { c->like = c->record[(e - 1) / CLEAN_BANDS]; return 1; }
        }
    c->record[c->n_seen] = record;
    clean_enter(c, c->n_seen++);
    return 0;
}
/* Of what clean_text gave: a duplicate of a record before, which c->like names; else it is remembered under this number. */
static inline clean_reason clean_seen(clean *c, uint64_t record) {
    uint64_t h = 0xcbf29ce484222325u; size_t i;
    for (i = 0; i < c->text.n; i++) h = (h ^ (unsigned char)c->text.p[i]) * 0x100000001b3u;
    if (c->rules.exact && clean_seen_exact(c, clean_mix(h) | 1, record)) return CLEAN_EXACT;
    if (c->rules.near_share > 0) {
        if (c->n_word == 0) clean_words(c);
        if (clean_seen_near(c, record)) return CLEAN_NEAR;
    }
    return CLEAN_KEPT;
}
#endif /* CLEAN_H */
