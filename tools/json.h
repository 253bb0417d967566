/* The one reader of JSON (RFC 8259, strict) of the programs: a whole text to a tree of values.
 *   json_doc d; memset(&d, 0, sizeof d);                      all zero = empty; the struct does not move while it is in use
 *   json_read(&d, "config.json");                             or json_parse(&d, "request", 1, text, n_bytes)
 *   n = json_int(&d, d.root, "vocab_size", 1, INT_MAX, -1);   -1: where the key is absent or null
 *   json_close(&d);                                           or another json_read, json_parse: it uses the same memory
 * Strings are decoded where they stand, may hold NUL bytes and have a 0 byte behind them. All that is found stays valid until the next
 * parse or close, as long as the text does. Objects keep their order; a key that stands twice in one is an error, because two readers
 * could read two things. Large objects are looked up by a hash whose key is drawn at random: no file can make lookups slow.
 * What is wrong ends the program: `FILE: line 3, column 14: what` (columns in bytes, from 1) or `FILE: a.b[2].c: expected what`. */
#ifndef JSON_H
#define JSON_H
#include "cli.h"

#define JSON_MAX_DEPTH 64             /* values around a value */
#define JSON_FEW 8                    /* members that are searched one by one */

typedef enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_REAL, JSON_INT /* >= 0 */, JSON_MINUS /* < 0 */, JSON_STRING, JSON_LIST, JSON_OBJECT,
    JSON_BOOL, JSON_NUMBER /* groups of kinds, for json_need and json_opt */ } json_kind;
typedef struct json json;
struct json {
    uint32_t kind;                    /* json_kind; an integer that 64 bits do not hold, and -0, is JSON_REAL */
    uint32_t n;                       /* bytes of a string, values of a list, members of an object; below 2^30, as CLI_MAX_TEXT is */
    const char *key; size_t n_key;    /* of a member of an object; decoded, a 0 byte behind it */
    union { double real; uint64_t u; int64_t i; const char *text; const json *item; } v; /* item [n], behind it an object's index */
};
typedef struct json_block { struct json_block *next; size_t used, cap; double align; } json_block;
typedef struct json_doc {
    const json *root;
    const char *name;                 /* of the file, for errors; the caller's */
    char *own;                        /* the text, if json_read read it */
    json_block *blocks;               /* finished lists and objects, the newest block first */
    json *open; size_t n_open, cap;   /* values whose list or object is not finished */
    char *p, *end, *line; uint32_t at_line; /* while it reads: the place, the start of its line, that line's number */
} json_doc;

/* ---- memory: blocks that grow, all given back at once */
static inline void *json_room(json_doc *d, size_t n_bytes) { /* n_bytes < 2^37, a block is not moved */
    json_block *b = d->blocks; void *p;
    n_bytes = (n_bytes + 7) & ~(size_t)7;
    if (b == NULL || b->cap - b->used < n_bytes) {
        size_t cap = b ? b->cap * 2 : 4096;
        if (cap > (size_t)1 << 26) cap = (size_t)1 << 26;
        if (cap < n_bytes) cap = n_bytes;
        b = (json_block *)cli_grow(NULL, sizeof *b + cap);
        b->next = d->blocks; b->used = 0; b->cap = cap; d->blocks = b;
    }
    p = (char *)(b + 1) + b->used; b->used += n_bytes;
    return p;
}
static inline void json_forget(json_doc *d) { /* keeps the newest, largest block */
    json_block *b = d->blocks, *next;
    if (b) { for (next = b->next, b->next = NULL, b->used = 0; (b = next) != NULL; free(b)) next = b->next; }
    free(d->own); d->own = NULL; d->root = NULL; d->n_open = 0;
}
static inline void json_close(json_doc *d) { json_forget(d); free(d->blocks); free(d->open); memset(d, 0, sizeof *d); }

/* ---- lookup. An object of more than JSON_FEW members has behind them `uint32_t head[m], next[n]`, m the power of two >= n: chains of
 * members, by 1 + their number. The hash is the polynomial of the key's bytes, three at a time, at a random point modulo the prime
 * 2^31 - 1: two keys of L bytes have one chain with probability of order L / m, for keys chosen without knowledge of the point. */
static inline uint32_t json_hash(const char *key, size_t n) {
    static uint64_t point; uint64_t h = n + 1; size_t i; const unsigned char *p = (const unsigned char *)key;
    if (point == 0) {
        point = (uint64_t)(uintptr_t)&h ^ (uint64_t)(uintptr_t)&point << 20 ^ (uint64_t)(cli_seconds() * 1e7);
        point = ((point * 0x9e3779b97f4a7c15u) >> 33) % 0x7fff0000u + 0x8000;
    }
    for (i = 0; i + 3 <= n; i += 3) h = (h * point + (p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16)) % 0x7fffffff;
    for (; i < n; i++) h = (h * point + p[i]) % 0x7fffffff;
    return (uint32_t)h;
}
static inline uint32_t json_heads(uint32_t n) { uint32_t m = 16; while (m < n) m *= 2; return m; }
static inline int json_is(const char *a, size_t n_a, const char *b, size_t n) { return n_a == n && memcmp(a, b, n) == 0; }
static inline const json *json_find(const json *o, const char *key, size_t n) { /* NULL: no object, or no such member */
    uint32_t i;
    if (o == NULL || o->kind != JSON_OBJECT) return NULL;
    if (o->n > JSON_FEW) {
        const uint32_t *head = (const uint32_t *)(const void *)(o->v.item + o->n); uint32_t m = json_heads(o->n);
        for (i = head[json_hash(key, n) & (m - 1)]; i != 0; i = head[m + i - 1])
            if (json_is(o->v.item[i - 1].key, o->v.item[i - 1].n_key, key, n)) return &o->v.item[i - 1];
        return NULL;
    }
    for (i = 0; i < o->n; i++) if (json_is(o->v.item[i].key, o->v.item[i].n_key, key, n)) return &o->v.item[i];
    return NULL;
}
static inline const json *json_get(const json *o, const char *key) { return json_find(o, key, strlen(key)); }

/* ---- the parser: no recursion. d->open is a stack of values, open[] below says which of them are unfinished. */
CLI_PRINTF(2, 3) static inline void json_bad(json_doc *d, const char *fmt, ...) {
    char what[200]; va_list ap;
    va_start(ap, fmt); vsnprintf(what, sizeof what, fmt, ap); va_end(ap);
    if (d->at_line == 0) cli_die("%s: column %lu: %s", d->name, (unsigned long)(d->p - d->line) + 1, what);
    cli_die("%s: line %lu, column %lu: %s", d->name, (unsigned long)d->at_line, (unsigned long)(d->p - d->line) + 1, what);
}
static inline int json_peek(json_doc *d) { /* the next byte that is no blank, -1 at the end */
    for (; d->p < d->end; d->p++) {
        if (*d->p == '\n') { d->at_line += d->at_line != 0; d->line = d->p + 1; }
        else if (*d->p != ' ' && *d->p != '\t' && *d->p != '\r') return (unsigned char)*d->p;
    }
    return -1;
}
static inline uint32_t json_hex4(json_doc *d) {
    uint32_t v = 0; int i, c;
    for (i = 0; i < 4; i++, d->p++) {
        c = d->p < d->end ? *d->p : 0;
        if (c >= '0' && c <= '9') c -= '0'; else if (c >= 'a' && c <= 'f') c -= 'a' - 10; else if (c >= 'A' && c <= 'F') c -= 'A' - 10;
        else json_bad(d, "a \\u escape without four hexadecimal digits");
        v = v << 4 | (uint32_t)c;
    }
    return v;
}
static inline char *json_put_utf8(char *to, uint32_t c) {
    if (c < 0x80) { *to++ = (char)c; return to; }
    if (c < 0x800) *to++ = (char)(0xc0 | c >> 6);
    else {
        if (c < 0x10000) *to++ = (char)(0xe0 | c >> 12); else { *to++ = (char)(0xf0 | c >> 18); *to++ = (char)(0x80 | (c >> 12 & 63)); }
        *to++ = (char)(0x80 | (c >> 6 & 63));
    }
    *to++ = (char)(0x80 | (c & 63));
    return to;
}
static inline char *json_escape(json_doc *d, char *to) { /* what follows a backslash. No escape is shorter than its UTF-8 */
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t"; uint32_t c, low; const char *e;
    int k = d->p < d->end ? *d->p++ : 0;
    if (k != 'u') {
        e = k ? strchr(from, k) : NULL;
        if (e == NULL) { d->p--; json_bad(d, "an unknown escape in a string"); return to; }
        *to++ = into[e - from];
        return to;
    }
    c = json_hex4(d);
    if (c >= 0xd800 && c < 0xdc00 && d->end - d->p >= 6 && d->p[0] == '\\' && d->p[1] == 'u') {
        d->p += 2; low = json_hex4(d);
        if (low >= 0xdc00 && low < 0xe000) c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c >= 0xd800 && c < 0xe000) json_bad(d, "half of a surrogate pair");
    return json_put_utf8(to, c);
}
static inline const char *json_string(json_doc *d, size_t *n) {
    char *start, *to; size_t len, i; uint32_t cp;
    if (json_peek(d) != '"') json_bad(d, "expected a string");
    for (start = to = ++d->p; ; ) {
        unsigned char c = d->p < d->end ? (unsigned char)*d->p : 0;
        if (c >= 32 && c < 128 && c != '"' && c != '\\') { *to++ = *d->p++; continue; }
        if (d->p == d->end) { json_bad(d, "a string without its end"); break; }
        if (c == '"') break;
        if (c < 32) json_bad(d, "a control character in a string");
        if (c == '\\') { d->p++; to = json_escape(d, to); continue; }
        if (cli_utf8(d->p, (size_t)(d->end - d->p), &len, &cp) != 1) json_bad(d, "a string that is not UTF-8");
        for (i = 0; i < len; i++) *to++ = *d->p++;
    }
    d->p++;                           /* after the closing quote: to is at most where that stood */
    *to = 0; *n = (size_t)(to - start);
    return start;
}
static inline void json_digits(json_doc *d, const char *what) {
    if (d->p == d->end || *d->p < '0' || *d->p > '9') json_bad(d, "%s", what);
    while (d->p < d->end && *d->p >= '0' && *d->p <= '9') d->p++;
}
static inline void json_number(json_doc *d, json *v) {
    char *start = d->p, *q, keep; int whole = 1, minus = *start == '-'; uint64_t u = 0;
    d->p += minus;
    if (d->p < d->end && *d->p == '0') d->p++; else json_digits(d, "expected a value");
    if (d->p < d->end && *d->p == '.') { d->p++; json_digits(d, "a malformed number"); whole = 0; }
    if (d->p < d->end && (*d->p == 'e' || *d->p == 'E')) {
        d->p++; whole = 0;
        if (d->p < d->end && (*d->p == '+' || *d->p == '-')) d->p++;
        json_digits(d, "a malformed number");
    }
    for (q = start + minus; whole && q < d->p; q++) {
        unsigned digit = (unsigned)(*q - '0');
        if (u > (UINT64_MAX - digit) / 10) whole = 0;
        u = u * 10 + digit;
    }
    if (whole && !minus) { v->kind = JSON_INT; v->v.u = u; return; }
    if (whole && u > 0 && u <= (uint64_t)INT64_MAX + 1) { v->kind = JSON_MINUS; v->v.i = -(int64_t)(u - 1) - 1; return; }
    keep = *d->p; *d->p = 0;          /* strtod ends at the number's end: the byte behind the text is the caller's to lend */
    v->kind = JSON_REAL; v->v.real = strtod(start, NULL);
    *d->p = keep;
    if (!(v->v.real >= -DBL_MAX && v->v.real <= DBL_MAX)) json_bad(d, "a number beyond the range of a double");
}
static inline int json_word(json_doc *d, const char *w) {
    size_t n = strlen(w);
    if ((size_t)(d->end - d->p) < n || memcmp(d->p, w, n) != 0) return 0;
    d->p += n;
    return 1;
}
static inline int json_same_key(const json *a, const json *b) { return json_is(a->key, a->n_key, b->key, b->n_key); }
static inline void json_finish(json_doc *d, size_t at) { /* moves what stands above `at`, a list or an object, out of the stack and into it */
    uint32_t n = (uint32_t)(d->n_open - at - 1), m = json_heads(n), i, k, *head, *slot;
    int keyed = d->open[at].kind == JSON_OBJECT, big = keyed && n > JSON_FEW;
    json *item = (json *)json_room(d, (size_t)n * sizeof *item + (big ? ((size_t)m + n) * sizeof *head : 0));
    const json *twice = NULL;
    memcpy(item, d->open + at + 1, (size_t)n * sizeof *item);
    d->n_open = at + 1; d->open[at].n = n; d->open[at].v.item = item;
    head = (uint32_t *)(void *)(item + n);
    if (big) memset(head, 0, m * sizeof *head);
    for (i = 0; keyed && i < n && twice == NULL; i++) {
        if (big) {
            slot = &head[json_hash(item[i].key, item[i].n_key) & (m - 1)];
            for (k = *slot; k != 0 && twice == NULL; k = head[m + k - 1]) if (json_same_key(&item[k - 1], &item[i])) twice = &item[i];
            head[m + i] = *slot; *slot = i + 1;
        } else for (k = 0; k < i; k++) if (json_same_key(&item[k], &item[i])) twice = &item[i];
    }
    if (twice) json_bad(d, "the key \"%.80s\" stands twice in the object that ends here", twice->key);
}
static inline const json *json_parse_into(json_doc *d, const char *name, uint32_t line, char *text, size_t n_bytes) { /* d is empty */
    size_t around[JSON_MAX_DEPTH], n; int depth = 0, c; json *v; const char *key = NULL; size_t n_key = 0;
    d->name = name; d->p = d->line = text; d->end = text + n_bytes; d->at_line = line;
    if (n_bytes > CLI_MAX_TEXT) json_bad(d, "longer than %lu bytes", (unsigned long)CLI_MAX_TEXT);
    do {
        if (d->n_open == d->cap) d->open = (json *)cli_grow(d->open, (d->cap = d->cap * 2 + 64) * sizeof *d->open);
        v = &d->open[d->n_open++]; v->key = key; v->n_key = n_key; v->n = 0; v->v.u = 0; key = NULL; n_key = 0;
        c = json_peek(d);
        if (c == '"') { v->kind = JSON_STRING; v->v.text = json_string(d, &n); v->n = (uint32_t)n; }
        else if (c == '{' || c == '[') {
            v->kind = c == '{' ? JSON_OBJECT : JSON_LIST; d->p++;
            c = json_peek(d);
            if (c == (v->kind == JSON_OBJECT ? '}' : ']')) { d->p++; json_finish(d, d->n_open - 1); }
            else {
                if (depth == JSON_MAX_DEPTH) json_bad(d, "values nested deeper than %d", JSON_MAX_DEPTH);
                around[depth++] = d->n_open - 1;
                if (v->kind == JSON_OBJECT) goto member;
                continue;
            }
        }
        else if (c == 't' && json_word(d, "true")) v->kind = JSON_TRUE;
        else if (c == 'f' && json_word(d, "false")) v->kind = JSON_FALSE;
        else if (c == 'n' && json_word(d, "null")) v->kind = JSON_NULL;
        else if (c == '-' || (c >= '0' && c <= '9')) json_number(d, v);
        else json_bad(d, "expected a value");
        while (depth > 0) {           /* after a value: the list goes on or ends, which ends a value again */
            int object = d->open[around[depth - 1]].kind == JSON_OBJECT;
            c = json_peek(d);
            if (c == ',') { d->p++; if (object) goto member; break; }
            if (c != (object ? '}' : ']')) json_bad(d, object ? "expected ',' or '}'" : "expected ',' or ']'");
            d->p++;
            json_finish(d, around[--depth]);
        }
        continue;
    member:
        key = json_string(d, &n_key);
        if (json_peek(d) != ':') json_bad(d, "expected ':'");
        d->p++;
    } while (depth > 0);
    if (json_peek(d) >= 0) json_bad(d, "more after the value");
    v = (json *)json_room(d, sizeof *v); *v = d->open[0];
    return d->root = v;
}
/* text [n_bytes] is changed and must stay; text[n_bytes] can be written. line: the number of its first line; 0: `name` names the line. */
static inline const json *json_parse(json_doc *d, const char *name, uint32_t line, char *text, size_t n_bytes) {
    json_forget(d);
    return json_parse_into(d, name, line, text, n_bytes);
}
static inline const json *json_read(json_doc *d, const char *path) {
    size_t n;
    json_forget(d);
    d->own = cli_read(path, &n);      /* given back by the next parse or json_close */
    return json_parse_into(d, path, 1, d->own, n);
}

/* ---- values by name. Absent and null are one: the fallback. Another kind ends the program. */
static inline int json_has_kind(const json *v, json_kind k) {
    if (k == JSON_BOOL) return v->kind == JSON_FALSE || v->kind == JSON_TRUE;
    if (k == JSON_NUMBER) return v->kind >= JSON_REAL && v->kind <= JSON_MINUS;
    return v->kind == (uint32_t)k;
}
static inline int json_path(const json *from, const json *to, char *text, size_t cap) { /* "a.b[2].c" of `to`, which the tree may hold */
    uint32_t i; size_t n = strlen(text);
    if (from == to) return 1;
    for (i = 0; (from->kind == JSON_LIST || from->kind == JSON_OBJECT) && i < from->n; i++) { /* JSON_MAX_DEPTH calls at most */
        const json *v = &from->v.item[i];
        if (v->kind < JSON_LIST && v != to) continue;
        if (from->kind == JSON_LIST) snprintf(text + n, cap - n, "[%lu]", (unsigned long)i);
        else snprintf(text + n, cap - n, "%s%.60s", n ? "." : "", v->key);
        if (json_path(v, to, text, cap)) return 1;
        text[n] = 0;
    }
    return 0;
}
/* `FILE: path: what`, for a value v of the document, or for a member `key` that v lacks. */
CLI_PRINTF(4, 5) static inline void json_die(const json_doc *d, const json *v, const char *key, const char *fmt, ...) {
    char what[300], path[400]; va_list ap; size_t n;
    va_start(ap, fmt); vsnprintf(what, sizeof what, fmt, ap); va_end(ap);
    path[0] = 0;
    json_path(d->root, v, path, sizeof path);
    n = strlen(path);
    if (key) snprintf(path + n, sizeof path - n, "%s%.80s", n ? "." : "", key);
    cli_die("%.300s: %s%s%s", d->name, path, path[0] ? ": " : "", what);
}
static inline const json *json_as(const json_doc *d, const json *v, json_kind k) { /* v itself, which is of this kind */
    static const char *const names[] = { "null", "false", "true", "a real number", "an integer", "a negative integer", "a string", "a list",
        "an object", "true or false", "a number" };
    if (!json_has_kind(v, k)) json_die(d, v, NULL, "expected %s", names[k]);
    return v;
}
static inline const json *json_need(const json_doc *d, const json *o, const char *key, json_kind k) {
    const json *v = json_get(o, key);
    if (v == NULL) json_die(d, o, key, "is missing");
    return json_as(d, v, k);
}
static inline const json *json_opt(const json_doc *d, const json *o, const char *key, json_kind k) { /* NULL: absent or null */
    const json *v = json_get(o, key);
    return v == NULL || v->kind == JSON_NULL ? NULL : json_as(d, v, k);
}
static inline double json_as_real(const json_doc *d, const json *v) {
    json_as(d, v, JSON_NUMBER);
    return v->kind == JSON_INT ? (double)v->v.u : v->kind == JSON_MINUS ? (double)v->v.i : v->v.real;
}
/* An integer from lo to hi; 4096.0 and 1e6 are integers too. */
static inline int64_t json_as_int(const json_doc *d, const json *v, int64_t lo, int64_t hi) {
    double x = json_as_real(d, v); int64_t i = 0; int good = 1;
    if (v->kind == JSON_MINUS) i = v->v.i;
    else if (v->kind == JSON_INT) { good = v->v.u <= INT64_MAX; i = good ? (int64_t)v->v.u : 0; }
    else { good = x >= -9007199254740992.0 && x <= 9007199254740992.0 && x == floor(x); i = good ? (int64_t)x : 0; }
    if (!good || i < lo || i > hi) json_die(d, v, NULL, "expected an integer from %.20g to %.20g", (double)lo, (double)hi);
    return i;
}
static inline int64_t json_int(const json_doc *d, const json *o, const char *key, int64_t lo, int64_t hi, int64_t fallback) {
    const json *v = json_opt(d, o, key, JSON_NUMBER);
    return v ? json_as_int(d, v, lo, hi) : fallback;
}
static inline double json_real(const json_doc *d, const json *o, const char *key, double lo, double hi, double fallback) {
    const json *v = json_opt(d, o, key, JSON_NUMBER); double x = v ? json_as_real(d, v) : fallback;
    if (v && !(x >= lo && x <= hi)) json_die(d, v, NULL, "expected a number from %.9g to %.9g", lo, hi);
    return x;
}
static inline int json_bool(const json_doc *d, const json *o, const char *key, int fallback) {
    const json *v = json_opt(d, o, key, JSON_BOOL);
    return v ? v->kind == JSON_TRUE : fallback;
}
static inline const char *json_text(const json_doc *d, const json *o, const char *key, const char *fallback) { /* a string without NUL bytes */
    const json *v = json_opt(d, o, key, JSON_STRING);
    if (v && strlen(v->v.text) != v->n) json_die(d, v, NULL, "has a NUL character");
    return v ? v->v.text : fallback;
}
#endif /* JSON_H */
