/* Text: the reference's lines, ids and decoded; small vocabularies by hand; random bytes there and back; time that grows with the length;
 * every allocation failed; vocabularies that are odd or hostile.
 *   LLAMA_TEST_LONG=1: the long sizes and rounds, all names of pre-tokenizers with a real vocabulary, and the time of 1 MB
 *   LLAMA_TEST_VOCABS: folder of the other vocabularies (ggml-vocab-gpt-2.gguf and so on); unset: they are no part of the run */
#include "tiny.h"
#include <time.h>

static int full;                      /* LLAMA_TEST_LONG */

/* ---- random numbers: each round of each test starts from its own name and number, so that it can be repeated alone */
static rng dice;
static void throw_for(const char *name, int round) {
    char seed[80];
    sprintf(seed, "%.60s %d", name, round);
    dice.s = fnv1a(FNV1A, seed, strlen(seed));
    rng_u32(&dice);
}
static uint32_t below(size_t n) { return (uint32_t)((uint64_t)rng_u32(&dice) * n >> 32); }

/* ---- opening */
static lm_model_desc in_memory(const void *p, size_t n, const char *pre) {
    lm_model_desc d;
    memset(&d, 0, sizeof d);
    d.source.data = p; d.source.size = n; d.vocab_only = 1; d.pre = pre;
    return d;
}
static lm_model_desc in_file(const char *path, const char *pre) {
    lm_model_desc d;
    memset(&d, 0, sizeof d);
    d.path = path; d.vocab_only = 1; d.pre = pre;
    return d;
}
static lm_model *open_text(const lm_model_desc *d) {
    lm_model *m = NULL; lm_error e; lm_status s;
    e.text[0] = 0;
    s = lm_model_open(&m, d, &e);
    CHECK_STATUS(s, LM_OK);
    if (s != LM_OK) note("pre-tokenizer %s: %s", d->pre ? d->pre : "of the file", e.text);
    return s == LM_OK ? m : NULL;
}

/* ---- against the reference */
static void show_ids(const char *what, const lm_token *ids, size_t n) {
    char s[400]; size_t i, k = 0;
    for (i = 0, s[0] = 0; i < n && k < sizeof s - 16; i++) k += (size_t)sprintf(s + k, " %ld", (long)ids[i]);
    note("  %s (%lu):%s%s", what, (unsigned long)n, s, i < n ? " ..." : "");
}
/* Length of the valid UTF-8 sequence at p, or minus the number of bytes that one U+FFFD stands for (the longest valid beginning). */
static int utf8_run(const unsigned char *p, size_t n) {
    int k = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0, i;
    unsigned lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80, hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (k == 0) return -1;
    for (i = 1; i < k; i++, lo = 0x80, hi = 0xbf) if ((size_t)i >= n || p[i] < lo || p[i] > hi) return -i;
    return k;
}
static size_t show_invalid(const char *src, size_t n, char *dst) { /* dst has room for 3 n */
    size_t i = 0, o = 0;
    while (i < n) {
        int k = utf8_run((const unsigned char *)src + i, n - i);
        if (k > 0) { memcpy(dst + o, src + i, (size_t)k); o += (size_t)k; i += (size_t)k; }
        else { memcpy(dst + o, "\xef\xbf\xbd", 3); o += 3; i += (size_t)-k; }
    }
    return o;
}
static int same_ids(const lm_model *m, const json *text, int flags, const lm_token *want, size_t n_want, int show) {
    size_t n = 0, k = 0; lm_token *got; lm_status s; int ok;
    s = lm_tokenize(m, text->text, text->n_text, flags, NULL, 0, &n);    /* measured first, so that a sanitizer sees a write too many */
    ok = s == (n ? LM_E_FULL : LM_OK);
    got = (lm_token *)malloc(n * sizeof *got + 1);
    if (got == NULL) return 0;
    s = lm_tokenize(m, text->text, text->n_text, flags, got, n, &k);
    ok = ok && s == LM_OK && k == n && n == n_want && memcmp(got, want, n * sizeof *got) == 0;
    if (!ok && show) { show_ids("expected", want, n_want); show_ids("got", got, s == LM_OK ? n : 0); }
    free(got);
    return ok;
}
static int same_text(const lm_model *m, const json *decoded, const lm_token *ids, size_t n_ids, int show) {
    size_t n = 0, k = 0; char *raw, *shown; lm_status s; int ok;
    s = lm_detokenize(m, ids, n_ids, LM_TEXT_SHOW_CONTROL, NULL, 0, &n);
    ok = s == (n ? LM_E_FULL : LM_OK);
    raw = (char *)malloc(n + 1); shown = (char *)malloc(3 * n + 1);
    if (raw == NULL || shown == NULL) { free(raw); free(shown); return 0; }
    s = lm_detokenize(m, ids, n_ids, LM_TEXT_SHOW_CONTROL, raw, n, &k);
    ok = ok && s == LM_OK && k == n;
    if (ok) { k = show_invalid(raw, n, shown); ok = k == decoded->n_text && memcmp(shown, decoded->text, k) == 0; }
    if (!ok && show) {
        note("  expected \"%.300s\"", decoded->text);
        if (s == LM_OK) note("  got      \"%.*s\"", (int)(k < 300 ? k : 300), shown);
    }
    free(raw); free(shown);
    return ok;
}
static void records(const lm_model *m, const char *name) {
    char path[120], *file, *line, *end; size_t n; json *index = json_file(data_path("reference/tokenizers/index.json"));
    int total = 0, good = 0, known = (int)json_number(json_get(index, name), "records", 0);
    json_free(index);
    sprintf(path, "reference/tokenizers/%.40s.jsonl", name);
    file = (char *)read_file(data_path(path), &n);
    if (!CHECK(file != NULL)) { note("%s: cannot be read", path); return; }
    for (line = file; line < file + n; line = end + 1) {
        json *r; const json *text, *decoded; lm_token *ids = NULL; size_t n_ids; int special, parse, ok, show = total - good < 3;
        end = strchr(line, '\n');
        if (end == NULL) end = file + n;
        *end = 0; total++;
        r = json_parse(line, (size_t)(end - line)); text = json_get(r, "text"); decoded = json_get(r, "decoded");
        n_ids = json_ids(json_get(r, "ids"), &ids);
        if (!CHECK(text && text->kind == JSON_STRING && decoded && json_get(r, "ids"))) {
            note("%s, line %d", path, total);
            json_free(r); free(ids);
            break;
        }
        special = (int)json_number(r, "add_special", 0); parse = (int)json_number(r, "parse_special", 0);
        ok = CHECK(same_ids(m, text, (special ? LM_TEXT_ADD_SPECIAL : 0) | (parse ? LM_TEXT_PARSE_SPECIAL : 0), ids, n_ids, show));
        if (decoded->kind == JSON_STRING) {
            size_t skip = special && lm_adds_bos(m) && n_ids > 0;
            ok &= CHECK(same_text(m, decoded, ids + skip, n_ids - skip, show));
        }
        if (!ok && show) note("%s, line %d: %.300s", path, total, line);
        good += ok;
        json_free(r); free(ids);
    }
    free(file);
    CHECK(total > 0 && total == known);
    note("%s: %d of %d lines", name, good, total);
}

/* ---- random text there and back, and the rule for capacities */
static size_t random_text(char *p, size_t cap) {
    static const char *const part[] = { " ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "don't", "abc", "ABC", "12345", "<|", "<s>", "</s>",
        "<|im_end|>", "\xe2\x96\x81", "\xe4\xb8\xad", "e\xcc\x81\xcc\xa3", "\xf0\x9f\x98\x80", "...", "==", "\xc3\xbc", "\xe2\x80\xa8",
        "\xc5\xbf", "\xe1\xba\x9e", "\xef\xbd\x9c", "  \n  ", "\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1", "Dz\xc7\x85" };
    size_t n = 0; uint32_t kind = below(4);
    for (cap = below(cap - 20); n < cap; ) {
        if (kind == 0 || (kind == 1 && below(8) == 0)) p[n++] = (char)below(256);
        else if (kind == 2) p[n++] = (char)(below(4) ? "ab \n0.'A"[below(8)] : (int)below(256));
        else { const char *s = part[below(sizeof part / sizeof *part)]; size_t k = strlen(s); memcpy(p + n, s, k); n += k; }
    }
    return n;
}
/* What of a text does not come back: asked of the model itself. */
typedef struct losses { int normalizes, marks_spaces, eats_white; char byte[256], letter[256]; } losses; /* letter: U+0080 .. U+017F */
static int comes_back(const lm_model *m, const char *p, size_t n, int flags) {
    lm_token ids[64]; char back[64]; size_t k;
    return lm_tokenize(m, p, n, flags, ids, 64, &k) == LM_OK && lm_detokenize(m, ids, k, LM_TEXT_SHOW_CONTROL, back, 64, &k) == LM_OK
        && k == n && memcmp(back, p, n) == 0;
}
static void find_losses(const lm_model *m, losses *l) {
    int c;
    l->normalizes = !comes_back(m, "e\xcc\x81", 3, 0); l->marks_spaces = !comes_back(m, "\xe2\x96\x81", 3, 0);
    l->eats_white = !comes_back(m, "</s> a", 6, LM_TEXT_PARSE_SPECIAL);
    for (c = 0; c < 256; c++) { /* DeepSeek Coder's tokens for some letters are decoded as the bytes that these stand for */
        char b = (char)c, two[2];
        two[0] = (char)(0xc2 + c / 64); two[1] = (char)(0x80 + c % 64);
        l->byte[c] = !comes_back(m, &b, 1, 0); l->letter[c] = !comes_back(m, two, 2, 0);
    }
}
static int loses(const losses *l, const char *p, size_t n, int parse) {
    size_t i;
    for (i = 0; i < n; i++) {
        unsigned a = (unsigned char)p[i], b = i + 1 < n ? (unsigned char)p[i + 1] : 0;
        if (l->byte[a] || (l->marks_spaces && i + 3 <= n && memcmp(p + i, "\xe2\x96\x81", 3) == 0)) return 1;
        if (a >= 0xc2 && a <= 0xc5 && (b & 0xc0) == 0x80 && l->letter[(a - 0xc2) * 64 + (b & 63)]) return 1;
    }
    return l->normalizes || (parse && l->eats_white);
}
static int there_and_back(const lm_model *m, const char *name, int rounds) { /* how many texts came back */
    static char text[4000], back[16000]; static lm_token ids[1 << 14], part[1 << 14]; int i, compared = 0; losses lost;
    find_losses(m, &lost);
    for (i = 0; i < rounds; i++) {
        size_t n, n_ids = 7, need = 7, k, cap; int parse, ok, control = 0; lm_status s;
        throw_for(name, i);
        n = random_text(text, i % 50 == 0 ? sizeof text : 200); parse = (int)below(2) ? LM_TEXT_PARSE_SPECIAL : 0;
        ok = CHECK(lm_tokenize(m, text, n, parse, ids, sizeof ids / sizeof *ids, &n_ids) == LM_OK);
        if (!ok) { note("%s: random text %d, %lu bytes", name, i, (unsigned long)n); continue; }
        for (k = 0; k < n_ids; k++) {
            lm_token_info t;
            control |= lm_token_get_info(m, ids[k], &t) != LM_OK || (!parse && t.type == LM_TOKEN_CONTROL);
        }
        ok &= CHECK(!control);        /* plain text makes no control token */
        cap = below(n_ids + 2);
        s = lm_tokenize(m, text, n, parse, cap ? part : NULL, cap, &need);
        ok &= CHECK(need == n_ids && s == (cap < n_ids ? LM_E_FULL : LM_OK));
        ok &= CHECK(memcmp(part, ids, (cap < n_ids ? cap : n_ids) * sizeof *ids) == 0);
        ok &= CHECK(lm_detokenize(m, ids, n_ids, LM_TEXT_SHOW_CONTROL, back, sizeof back, &k) == LM_OK);
        s = lm_detokenize(m, ids, n_ids, LM_TEXT_SHOW_CONTROL, NULL, 0, &need);
        ok &= CHECK(need == k && s == (k ? LM_E_FULL : LM_OK));
        if (!loses(&lost, text, n, parse)) { compared++; ok &= CHECK(k == n && memcmp(back, text, n) == 0); }
        if (!ok) note("%s: random text %d, %lu bytes", name, i, (unsigned long)n);
    }
    return compared;
}

/* ---- time grows with the length of the text, whatever it is */
static const char *const unit[] = { "a", " ", "1", "\n", "<", "\r\n", "'", "A", "Ab", "ab ", "a ", "1a", "  a", "\t", " \n", "\xe4\xb8\xad",
    "\xe4\xb8\xad\x41", "\xcc\x81", "\xcc\x81\xcc\xa3", "\xff", "\xe2\x96", "<|", "<s>", "'s", ".", ". ", "=", "\xe2\x80\xa8", "\xc2\xa0",
    "\xe2\x96\x81", "aA\xcc\x81", "\xea\xb0\x80", "0 ", "z\n\n", "<|reserved_special_token_", "</s" };
enum { N_UNIT = (int)(sizeof unit / sizeof *unit) };
static double seconds(const lm_model *m, const char *p, size_t n) { /* of the CPU, where clock() tells that */
    clock_t t = clock(); size_t k = 0; lm_status s = lm_tokenize(m, p, n, LM_TEXT_PARSE_SPECIAL, NULL, 0, &k);
    t = clock() - t;
    CHECK(s == LM_E_FULL || (s == LM_OK && k == 0));
    return (double)t / (double)CLOCKS_PER_SEC;
}
/* Ten times the text takes less than 30 times as long: n log n takes 13 times, a square 100 times. What is too slow is measured again, as
 * the machine may have been busy. The 20 ms are a tick of a coarse clock; a square of 20 KB with 1 ns a step takes 400 ms. */
static void scaling(const lm_model *m, const char *name, int report) {
    static int n_slow; size_t n = full ? 100000 : 20000, k, i; char *p = (char *)malloc(n); double slowest = 0; int u, again, slowest_at = 0;
    if (p == NULL) { FAIL("no memory"); return; }
    for (u = 0; u < 2 * N_UNIT && n_slow < 3; u++) {        /* three have shown enough, and take their time */
        const char *s = unit[u / 2], *end = u & 1 ? " and an x" : ""; double small, big, t;
        k = strlen(s);
        for (i = 0; i < n; i++) p[i] = s[i % k];
        if (u & 1) p[n - 1] = p[n / 10 - 1] = 'x';          /* a run that ends in something else */
        small = seconds(m, p, n / 10); big = seconds(m, p, n);
        for (again = 0; again < (big < 1 ? 4 : 1) && big >= 30 * small + 0.02; again++) {
            if ((t = seconds(m, p, n / 10)) < small) small = t;
            if ((t = seconds(m, p, n)) < big) big = t;
        }
        if (!CHECK(big < 30 * small + 0.02)) {
            n_slow++;
            note("%s: %lu bytes of pattern %d, \"%s\"%s, take %.4f s, a tenth of them %.4f s", name, (unsigned long)n, u, s, end, big, small);
        }
        if (big > slowest) { slowest = big; slowest_at = u; }
    }
    free(p);
    if (report) note("%s: %d patterns of %lu bytes, slowest pattern %d: %.1f ms", name, 2 * N_UNIT, (unsigned long)n, slowest_at, slowest * 1e3);
}
static void a_megabyte(const lm_model *m, const char *name) {
    size_t n = 1 << 20; char *p = (char *)malloc(n); double t[2], more; int i, again;
    if (p == NULL) { FAIL("no memory"); return; }
    for (i = 0; i < 2; i++) {
        memset(p, i ? ' ' : 'a', n);
        t[i] = seconds(m, p, n);
        for (again = 0; again < 2 && t[i] >= 1; again++) if ((more = seconds(m, p, n)) < t[i]) t[i] = more;
    }
    CHECK(t[0] < 1 && t[1] < 1);      /* one letter, and spaces, in under a second each */
    note("%s: 1 MB of \"a\" takes %.3f s, of spaces %.3f s", name, t[0], t[1]);
    free(p);
}

/* ---- the n-th allocation fails, alone or with all that follow: a status, nothing kept, results untouched, and the next call works */
static void allocations(lm_model_desc d, const char *name) {
    static char text[20000], back[100]; heap h; lm_model *m = NULL; lm_error e; size_t i, k, want = 0, live, n_open, n_text = 0; int on; lm_status s;
    lm_token id = 0;
    for (i = 0; i < sizeof text; i++) text[i] = "e\xcc\x81\xcc\xa3 word <s>123 \n"[i % 18];
    memset(text + 9000, 'a', 5000);
    memset(&h, 0, sizeof h);
    d.hooks = heap_hooks(&h);
    for (h.fail_at = 1; (s = lm_model_open(&m, &d, &e)) != LM_OK; h.fail_at++) {
        CHECK_STATUS(s, LM_E_MEMORY);
        CHECK(h.n_live == 0 && m == NULL);
        if (s != LM_E_MEMORY) return;
        h.n_takes = 0;
    }
    n_open = h.fail_at - 1;
    CHECK(n_open > 0);
    live = h.live; h.fail_at = 0;
    CHECK_STATUS(lm_tokenize(m, text, sizeof text, LM_TEXT_PARSE_SPECIAL, NULL, 0, &want), LM_E_FULL);
    for (on = 0; on < 2; on++) {
        h.fail_on = on;
        for (h.fail_at = 1; ; h.fail_at++) {
            h.n_takes = 0; k = 12345;
            s = lm_tokenize(m, text, sizeof text, LM_TEXT_PARSE_SPECIAL, NULL, 0, &k);
            CHECK(h.live == live);
            if (s != LM_E_MEMORY) break;
            CHECK(k == 12345);
        }
        CHECK(s == LM_E_FULL && k == want);
        n_text = h.fail_at - 1;
    }
    CHECK(n_text > 0);
    h.n_takes = 0;
    CHECK_STATUS(lm_detokenize(m, &id, 1, 0, back, sizeof back, &k), LM_OK);
    CHECK(h.n_takes == 0);
    lm_model_close(m);
    CHECK(h.live == 0 && h.n_live == 0 && h.bad == 0);
    note("%s: %lu failing allocations of opening, %lu of tokenizing", name, (unsigned long)n_open, (unsigned long)n_text);
}

/* ---- a byte-level vocabulary: token b is the letter of byte b, then what the merges make, then three more */
static const char *const merges[] = { "1 1", "11 1", "11 11", "a a", "aa aa", "aaaa aaaa",
    "\xc4\xa0 \xc4\xa0", "\xc4\xa0\xc4\xa0 \xc4\xa0\xc4\xa0", "\xc4\x8a \xc4\x8a", "\xc4\xa0 a", "a b", "S a", "\xc2\xbf a" };
/* U+0120 is the letter of the space, U+010A of the newline, U+00BF of its own byte */
enum { N_MERGES = (int)(sizeof merges / sizeof *merges),
       T_11 = 256, T_AA = 259, T_SPACE_A = 265, T_AB, T_S_A, T_BF_A, T_XYZ = 256 + N_MERGES, T_BOS, T_RESERVED };
static bytes byte_level(void) {
    gguf_writer g; bytes b; int i, letter = 0x100; char s[24]; const char *at;
    memset(&g, 0, sizeof g);
    gguf_str(&g, "general.architecture", "llama");
    gguf_str(&g, "tokenizer.ggml.model", "gpt2");
    gguf_str(&g, "tokenizer.ggml.pre", "gpt-2");
    gguf_array(&g, "tokenizer.ggml.tokens", LM_META_STR, T_RESERVED + 1);
    for (i = 0; i < 256; i++) { /* printable Latin-1 is its own letter, the others are numbered from U+0100 on */
        int c = (i >= 33 && i <= 126) || (i >= 161 && i != 173) ? i : letter++;
        if (c < 0x80) sprintf(s, "%c", c); else sprintf(s, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 63));
        put_str(&g.kv, s);
    }
    for (i = 0; i < N_MERGES; i++) {
        at = strchr(merges[i], ' ');
        sprintf(s, "%.*s%s", (int)(at - merges[i]), merges[i], at + 1);
        put_str(&g.kv, s);
    }
    put_str(&g.kv, "xyz"); put_str(&g.kv, "<s>"); put_str(&g.kv, "<|reserved_special_token_7|>");
    gguf_array(&g, "tokenizer.ggml.token_type", LM_META_I32, T_RESERVED + 1);
    for (i = 0; i <= T_RESERVED; i++) put_u32(&g.kv, i < T_BOS ? LM_TOKEN_NORMAL : LM_TOKEN_CONTROL);
    gguf_array(&g, "tokenizer.ggml.merges", LM_META_STR, (uint64_t)N_MERGES);
    for (i = 0; i < N_MERGES; i++) put_str(&g.kv, merges[i]);
    gguf_u32(&g, "tokenizer.ggml.bos_token_id", T_BOS);
    b = gguf_write(&g);
    gguf_free(&g);
    return b;
}
static void expect_ids(const lm_model *m, const char *text, int flags, int n, const lm_token *want) {
    lm_token got[16]; size_t k = 0;
    CHECK_STATUS(lm_tokenize(m, text, strlen(text), flags, got, 16, &k), LM_OK);
    if (CHECK(k == (size_t)n && memcmp(got, want, k * sizeof *got) == 0)) return;
    note("\"%s\"", text); show_ids("expected", want, (size_t)n); show_ids("got", got, k < 16 ? k : 16);
}
static void expect_text(const lm_model *m, const lm_token *ids, int n, int flags, const char *want) {
    char got[64]; size_t k = 0;
    CHECK_STATUS(lm_detokenize(m, ids, (size_t)n, flags, got, sizeof got, &k), LM_OK);
    if (CHECK(k == strlen(want) && memcmp(got, want, k) == 0)) return;
    note("expected \"%s\", got \"%.*s\"", want, (int)(k < sizeof got ? k : sizeof got), got);
}

/* Names of pre-tokenizers, every row of the library's table and some aliases. Seven digits come out as one word (1111 111 by the merges),
 * as threes (111 111 1), or as single digits. whole: a word that is a token needs no merges. */
static const struct { const char *name; int n_digits, whole; } pres[] = {
    { "llama-bpe", 3, 1 }, { "smaug-bpe", 3, 0 }, { "glm4", 3, 1 }, { "gpt-2", 2, 0 }, { "smollm", 7, 0 }, { "qwen2", 7, 0 },
    { "stablelm2", 7, 0 }, { "tekken", 7, 1 }, { "gpt-4o", 3, 0 }, { "deepseek-coder", 7, 0 }, { "deepseek-llm", 2, 0 }, { "deepseek-v3", 3, 0 },
    { "default", 3, 0 }, { "falcon", 3, 0 }, { "bloom", 2, 0 }, { "viking", 7, 0 }, { "seed-coder", 7, 0 },
    { "llama3", 3, 1 }, { "starcoder", 7, 0 }, { "llama4", 3, 0 }, { "phi-2", 2, 0 }, { "refact", 7, 0 }
};
static const struct { const char *pre, *text; int back, n; lm_token ids[12]; } cuts[] = {
    { "gpt-2",     "aaab a11",         1, 4, { T_AA, T_AB, T_SPACE_A, T_11 } },
    { "gpt-2",     "'Sa",              1, 2, { '\'', T_S_A } },             /* 's is cut off, 'S is not */
    { "llama-bpe", "'Sa",              1, 3, { '\'', 'S', 'a' } },          /* either case, and the long s folds to s */
    { "gpt-2",     "'\xc5\xbf" "a",    1, 3, { '\'', 0xc5, T_BF_A } },
    { "llama-bpe", "'\xc5\xbf" "a",    1, 4, { '\'', 0xc5, 0xbf, 'a' } },
    { "gpt-2",     "e\xcc\x81\xe1\x84\x80\xe1\x85\xa1", 1, 9, { 'e', 0xcc, 0x81, 0xe1, 0x84, 0x80, 0xe1, 0x85, 0xa1 } },
    { "qwen2",     "e\xcc\x81\xe1\x84\x80\xe1\x85\xa1", 0, 5, { 0xc3, 0xa9, 0xea, 0xb0, 0x80 } }, /* NFC: U+00E9, U+AC00 */
    { "qwen2",     "\xf4\x90\x80\x80\xed\xa0\x80\xe0\x80\x80\xc0\x80", 1, 12, /* past U+10FFFF, a surrogate, overlong: bytes as they are */
      { 0xf4, 0x90, 0x80, 0x80, 0xed, 0xa0, 0x80, 0xe0, 0x80, 0x80, 0xc0, 0x80 } }
};
enum { N_PRES = (int)(sizeof pres / sizeof *pres) };
static void pre_tokenizers(const lm_model_desc *vocab, const char *name, int exact, int rounds) { /* exact: vocab is byte_level() */
    static const lm_token digit[7] = { '1', '1', '1', '1', '1', '1', '1' }, threes[3] = { T_11 + 1, T_11 + 1, '1' }, run[2] = { T_11 + 2, T_11 + 1 };
    static const lm_token xyz = T_XYZ, x_y_z[3] = { 'x', 'y', 'z' };
    static const char *const unknown[] = { "", "gpt", "gpt-2 ", "gpt-22", "llama-bpe llama3", "GPT-2", " " };
    int i, k, compared = 0; lm_model *m;
    for (i = 0; i < N_PRES; i++) {
        lm_model_desc d = *vocab; lm_model_info info; int n = pres[i].n_digits;
        d.pre = pres[i].name; m = open_text(&d);
        if (m == NULL) continue;
        lm_model_get_info(m, &info);
        CHECK(strcmp(info.pre, pres[i].name) == 0);
        if (exact) {
            expect_ids(m, "1111111", 0, n, n == 7 ? digit : n == 3 ? threes : run);
            expect_ids(m, "xyz", 0, pres[i].whole ? 1 : 3, pres[i].whole ? &xyz : x_y_z);
            for (k = 0; k < (int)(sizeof cuts / sizeof *cuts); k++) if (strcmp(cuts[k].pre, pres[i].name) == 0) {
                expect_ids(m, cuts[k].text, 0, cuts[k].n, cuts[k].ids);
                if (cuts[k].back) expect_text(m, cuts[k].ids, cuts[k].n, 0, cuts[k].text);
            }
        }
        compared += there_and_back(m, pres[i].name, rounds);
        scaling(m, pres[i].name, 0);
        lm_model_close(m);
    }
    for (i = 0; exact && i < (int)(sizeof unknown / sizeof *unknown); i++) {
        lm_model_desc d = *vocab; lm_error e;
        d.pre = unknown[i]; m = NULL; e.text[0] = 0;
        CHECK_STATUS(lm_model_open(&m, &d, &e), LM_E_SUPPORT);
        CHECK(m == NULL && strstr(e.text, unknown[i]) != NULL);
        lm_model_close(m);
    }
    note("%s: %d pre-tokenizers, %d random texts each, %d came back; %d patterns each take time as they grow",
         name, N_PRES, rounds, compared, 2 * N_UNIT);
}

/* ---- vocabularies made up in memory: odd ones that load, and hostile ones that must not */
typedef struct vocab {
    const char *model, *pre, *tokens[12], *merges[8];
    uint32_t types[12], scores[12], n_types, n_scores, eos; /* scores: bits of float32. eos 0: no such key */
    lm_status want; const char *says;
} vocab;
#define F1 0x3f800000u
static const vocab vocabs[] = {
    { "llama", NULL, { "<unk>", "\xe2\x96\x81", "a", "\xe2\x96\x81" "a", "<0x41>", "aa", "b", "ab", "ba" }, { NULL },
      { 2, 1, 1, 1, 6, 1, 1, 1, 1 }, { 0, F1, F1, F1 | 0x80000000u, 0, 0x80000000u, 0, F1 + 1, F1 }, 9, 9, 0, LM_OK, "" },
    { "llama", NULL, { "<unk>", "<s>", "</s>", "\xe2\x96\x81", "a", "\xe2\x96\x81" "a", "<|im_end|>", "<|eom_id|>", "<|eot_id|>", "<user>" },
      { NULL }, { 2, 3, 3, 1, 1, 1, 3, 3, 1, 4 }, { 0 }, 10, 0, 2, LM_OK, "" },
    { "gpt2", "gpt-2", { "a", "b", "ab", "", "a" }, { "a b", "a zz", "q a", NULL }, { 1, 1, 1, 3, 4 }, { 0 }, 5, 0, 0, LM_OK, "" },
    { "llama", NULL, { "a", "b" }, { NULL }, { 0 }, { 0 }, 0, 0, 1, LM_OK, "" },
    { "no_vocab", NULL, { NULL }, { NULL }, { 0 }, { 0 }, 0, 0, 0, LM_OK, "" },
    { "gpt2", "gpt-2", { "a" }, { "ab", NULL }, { 0 }, { 0 }, 0, 0, 0, LM_E_FORMAT, "tokenizer.ggml.merges[0]: no space" },
    { "gpt2", "gpt-2", { "a" }, { "a a", " ", NULL }, { 0 }, { 0 }, 0, 0, 0, LM_E_FORMAT, "tokenizer.ggml.merges[1]: no space" },
    { "gpt2", "gpt-2", { "a" }, { "", NULL }, { 0 }, { 0 }, 0, 0, 0, LM_E_FORMAT, "tokenizer.ggml.merges[0]: no space" },
    { "gpt2", "gpt-9", { "a" }, { "a a", NULL }, { 0 }, { 0 }, 0, 0, 0, LM_E_SUPPORT, "gpt-9" },
    { "gpt2", "", { "a" }, { "a a", NULL }, { 0 }, { 0 }, 0, 0, 0, LM_E_SUPPORT, "tokenizer.ggml.pre" },
    { "gpt2", "gpt-2", { "a" }, { NULL }, { 0 }, { 0 }, 0, 0, 0, LM_E_FORMAT, "tokenizer.ggml.merges is missing" },
    { "gpt2", "gpt-2", { NULL }, { "a a", NULL }, { 0 }, { 0 }, 0, 0, 0, LM_E_FORMAT, "tokenizer.ggml.tokens" },
    { "gpt2", "gpt-2", { "a", "b" }, { "a b", NULL }, { 1, 1 }, { 0 }, 1, 0, 0, LM_E_FORMAT, "token_type has 1 items" },
    { "gpt2", "gpt-2", { "a", "b" }, { "a b", NULL }, { 1, 7 }, { 0 }, 2, 0, 0, LM_E_FORMAT, "token_type[1] is 7" },
    { "llama", NULL, { "a", "<0x-1>" }, { NULL }, { 1, 6 }, { 0 }, 2, 0, 0, LM_E_FORMAT, "tokens[1]: the byte token <0x-1>" },
    { "llama", NULL, { "a", "b" }, { NULL }, { 1, 1 }, { F1, 0x7fc00000u }, 2, 2, 0, LM_E_FORMAT, "scores[1]" },
    { "llama", NULL, { "a", "b" }, { NULL }, { 1, 1 }, { F1 }, 2, 1, 0, LM_E_FORMAT, "scores has 1 items" },
    { "llama", NULL, { "a", "b" }, { NULL }, { 1, 1 }, { 0 }, 2, 0, 2, LM_E_FORMAT, "tokenizer.ggml.eos_token_id is 2" },
    { "bert", NULL, { "a", "b" }, { NULL }, { 1, 1 }, { 0 }, 2, 0, 0, LM_E_SUPPORT, "bert" }
};
enum { N_VOCABS = (int)(sizeof vocabs / sizeof *vocabs), V_SCORES = 0, V_POLICY = 1, V_NONE = 4 };
static void strings(gguf_writer *g, const char *key, const char *const *s) { /* up to NULL */
    uint64_t n = 0;
    while (s[n]) n++;
    for (gguf_array(g, key, LM_META_STR, n); *s; s++) put_str(&g->kv, *s);
}
static void words32(gguf_writer *g, const char *key, uint32_t type, const uint32_t *v, uint32_t n) {
    for (gguf_array(g, key, type, n); n > 0; n--) put_u32(&g->kv, *v++);
}
static bytes vocab_file(const vocab *v, int add_eos) {
    gguf_writer g; bytes b;
    memset(&g, 0, sizeof g);
    gguf_str(&g, "general.architecture", "llama"); gguf_str(&g, "tokenizer.ggml.model", v->model);
    if (v->pre) gguf_str(&g, "tokenizer.ggml.pre", v->pre);
    strings(&g, "tokenizer.ggml.tokens", v->tokens);
    if (v->merges[0]) strings(&g, "tokenizer.ggml.merges", v->merges);
    if (v->n_types) words32(&g, "tokenizer.ggml.token_type", LM_META_I32, v->types, v->n_types);
    if (v->n_scores) words32(&g, "tokenizer.ggml.scores", LM_META_F32, v->scores, v->n_scores);
    if (v->eos) gguf_u32(&g, "tokenizer.ggml.eos_token_id", v->eos);
    if (add_eos) gguf_bool(&g, "tokenizer.ggml.add_eos_token", 1);
    b = gguf_write(&g);
    gguf_free(&g);
    return b;
}
static lm_model *open_vocab(int which, int add_eos, bytes *b) {
    lm_model_desc d;
    *b = vocab_file(&vocabs[which], add_eos);
    d = in_memory(b->p, b->n, NULL);
    return open_text(&d);
}
static int any_use(const lm_model *m) { /* whatever it is, nothing may go wrong. 1: as documented */
    static char text[500], back[4000]; lm_token ids[2000]; size_t n, k; lm_status s; lm_token_info t; int i, ok;
    n = random_text(text, sizeof text);
    s = lm_tokenize(m, text, n, (int)below(4), ids, 2000, &k);
    ok = s == LM_OK || s == LM_E_SUPPORT;
    if (s == LM_OK) ok = lm_detokenize(m, ids, k, (int)below(16), back, sizeof back, &k) == LM_OK;
    for (i = -1; i < 14; i++) { (void)lm_token_get_info(m, i, &t); (void)lm_token_is_eog(m, i); (void)lm_token_special(m, (lm_special)(i + 1)); }
    ids[0] = -1; ids[1] = INT32_MAX;
    ok = ok && lm_detokenize(m, ids, 1, 0, back, sizeof back, &k) != LM_OK;
    return ok && lm_detokenize(m, ids + 1, 1, 0, back, sizeof back, &k) != LM_OK;
}
static void made_up(int rounds) {
    int i, r, k, opened = 0;
    for (i = 0; i < N_VOCABS; i++) {
        bytes b = vocab_file(&vocabs[i], 0); lm_model_desc d = in_memory(b.p, b.n, NULL); lm_model *m = NULL; lm_error e; lm_status s;
        uint8_t *copy = (uint8_t *)malloc(b.n); heap h; char name[32];
        if (copy == NULL) { FAIL("no memory"); free(b.p); return; }
        sprintf(name, "vocabulary %d", i); e.text[0] = 0;
        throw_for(name, -1);
        s = lm_model_open(&m, &d, &e);
        CHECK_STATUS(s, vocabs[i].want);
        if (!CHECK(strstr(e.text, vocabs[i].says) != NULL)) note("%s: expected \"%s\", got \"%s\"", name, vocabs[i].says, e.text);
        if (s == LM_OK) { CHECK(any_use(m)); lm_model_close(m); }
        memset(&h, 0, sizeof h);
        d = in_memory(copy, b.n, NULL); d.hooks = heap_hooks(&h);
        for (r = 0; r < rounds; r++) { /* damaged copies */
            throw_for(name, r);
            memcpy(copy, b.p, b.n); m = NULL;
            for (k = 1 + (int)below(3); k > 0; k--) copy[24 + below(b.n - 24)] = (uint8_t)(below(2) ? below(256) : below(4));
            if (lm_model_open(&m, &d, &e) == LM_OK) {
                opened++;
                if (!CHECK(any_use(m))) note("%s, damaged copy %d", name, r);
                lm_model_close(m);
            }
            if (!CHECK(h.live == 0 && h.n_live == 0 && h.bad == 0)) { note("%s, damaged copy %d", name, r); break; }
        }
        free(copy); free(b.p);
    }
    note("made-up vocabularies: %d, each with its status and line; of %d damaged copies %d opened", N_VOCABS, N_VOCABS * rounds, opened);
}
static void by_hand(void) {
    /* scores decide, then the left; a byte token; unknown characters join */
    static const lm_token merged[6] = { 1, 5, 5, 2, 4, 0 }, better[3] = { 1, 6, 7 };
    static const lm_token plain[3] = { 5, 0, 4 }, parsed[3] = { 5, 1, 5 }, user[3] = { 5, 9, 5 };
    static const lm_token both[3] = { 1, 5, 2 }, bos[2] = { 1, 5 }, two[2] = { 5, 5 }, out[2] = { -1, 10 };
    static const struct { lm_special which; lm_token id; } special[] = {
        { LM_BOS, 1 }, { LM_EOS, 2 }, { LM_EOT, 6 }, { LM_EOM, 7 }, { LM_UNK, 0 }, { LM_PAD, -1 }, { LM_FIM_PRE, -1 } };
    bytes b; lm_model *m = open_vocab(V_SCORES, 0, &b); size_t k = 77; int i; char text[8]; lm_token_info t; lm_token ids[8];
    if (m) { expect_ids(m, "aaaaaAzz", 0, 6, merged); expect_ids(m, "bab", 0, 3, better); }
    lm_model_close(m); free(b.p);

    m = open_vocab(V_POLICY, 1, &b);
    if (m) {
        expect_ids(m, "a", LM_TEXT_ADD_SPECIAL, 3, both);
        expect_ids(m, "a<s>a", 0, 3, plain);                           /* text one does not trust makes no control token */
        expect_ids(m, "a<s>a", LM_TEXT_PARSE_SPECIAL, 3, parsed);
        expect_ids(m, "a<user>a", 0, 3, user);
        expect_text(m, both, 3, 0, "a");
        expect_text(m, both, 3, LM_TEXT_SHOW_CONTROL, "<s>a</s>");
        expect_text(m, two, 2, 0, "a a");
        expect_text(m, two, 2, LM_TEXT_CONTINUES, " a a");
        CHECK(lm_adds_bos(m) == 1);
        for (i = 0; i < (int)(sizeof special / sizeof *special); i++) CHECK(lm_token_special(m, special[i].which) == special[i].id);
        for (i = -1; i <= 10; i++) CHECK(lm_token_is_eog(m, i) == (i == 2 || i == 6 || i == 7)); /* 8 looks like one, but is plain text */
        if (CHECK(lm_token_get_info(m, 9, &t) == LM_OK && t.type == LM_TOKEN_USER && t.score == 0))
            CHECK(t.text_bytes == 6 && memcmp(t.text, "<user>", 6) == 0);
        CHECK_STATUS(lm_token_get_info(m, 10, &t), LM_E_ARG);
        CHECK_STATUS(lm_tokenize(m, "a", 1, 0, NULL, 1, &k), LM_E_ARG);
        CHECK_STATUS(lm_tokenize(m, NULL, 1, 0, ids, 8, &k), LM_E_ARG);
        CHECK_STATUS(lm_tokenize(m, "a", 1, 0, ids, 8, NULL), LM_E_ARG);
        CHECK_STATUS(lm_tokenize(NULL, "a", 1, 0, ids, 8, &k), LM_E_ARG);
        CHECK_STATUS(lm_detokenize(m, both, 3, 0, NULL, 8, &k), LM_E_ARG);
        CHECK_STATUS(lm_detokenize(m, NULL, 1, 0, text, 8, &k), LM_E_ARG);
        CHECK_STATUS(lm_detokenize(m, both, 3, 0, text, 8, NULL), LM_E_ARG);
        CHECK_STATUS(lm_detokenize(NULL, both, 3, 0, text, 8, &k), LM_E_ARG);
        for (i = 0; i < 2; i++) CHECK_STATUS(lm_detokenize(m, out + i, 1, 0, text, 8, &k), LM_E_ARG);
        CHECK(k == 77);
        CHECK(lm_tokenize(m, NULL, 0, 0, NULL, 0, &k) == LM_OK && k == 0);
        CHECK(lm_tokenize(m, "", 0, LM_TEXT_ADD_SPECIAL, NULL, 0, &k) == LM_E_FULL && k == 2);
    }
    lm_model_close(m); free(b.p);
    m = open_vocab(V_POLICY, 0, &b);
    if (m) expect_ids(m, "a", LM_TEXT_ADD_SPECIAL, 2, bos);            /* EOS only where the file asks for it */
    lm_model_close(m); free(b.p);

    m = open_vocab(V_NONE, 0, &b);
    if (m) {
        CHECK_STATUS(lm_tokenize(m, "a", 1, 0, ids, 8, &k), LM_E_SUPPORT);
        CHECK_STATUS(lm_detokenize(m, both, 1, 0, text, 8, &k), LM_E_SUPPORT);
        CHECK(lm_token_special(m, LM_BOS) == -1 && lm_adds_bos(m) == 0 && lm_token_is_eog(m, 0) == 0);
    }
    lm_model_close(m); free(b.p);
    note("by hand: merges by score, special tokens, BOS and EOS, ends of a generation, arguments");
}

/* ---- */
static void one_vocabulary(const char *path, const char *name, int with_records) {
    lm_model_desc d = in_file(path, NULL); lm_model *m = open_text(&d); int rounds = full ? 2000 : 200, compared;
    if (m == NULL) return;
    if (with_records) records(m, name);
    compared = there_and_back(m, name, rounds);
    note("%s: %d random texts, %d came back", name, rounds, compared);
    CHECK(compared > 0 || strcmp(name, "qwen2") == 0); /* that one normalizes */
    scaling(m, name, 1);
    if (full) a_megabyte(m, name);
    lm_model_close(m);
    allocations(d, name);
}
void test_text(void);
void test_text(void) {
    static const char *const more[] = { "gpt-2", "starcoder", "qwen2", "deepseek-coder", "deepseek-llm", "phi-3" };
    const char *env = getenv("LLAMA_TEST_LONG"), *folder = getenv("LLAMA_TEST_VOCABS"), *path; bytes b; lm_model_desc d; lm_model *m; int i;
    int have_data = data_path("reference/tokenizers/index.json") != NULL;
    full = env != NULL && env[0] != 0 && strcmp(env, "0") != 0;

    by_hand();
    made_up(full ? 2000 : 150);
    b = byte_level(); d = in_memory(b.p, b.n, NULL);
    pre_tokenizers(&d, "a made-up vocabulary", 1, full ? 2000 : 60);
    allocations(d, "byte-level");
    d.pre = "qwen2";
    allocations(d, "byte-level, normalizing");
    free(b.p);
    b = tiny_gguf("nano"); d = in_memory(b.p, b.n, NULL);
    if ((m = open_text(&d)) != NULL) {
        i = there_and_back(m, "SentencePiece", full ? 2000 : 200);
        CHECK(i > 0);
        scaling(m, "made-up SentencePiece", 1);
        lm_model_close(m);
    }
    allocations(d, "SentencePiece");
    free(b.p);

    path = smollm2_path();
    if (path == NULL) SKIP_PART("no model (make model)"); else one_vocabulary(path, "smollm2", have_data);
    if (!have_data) SKIP_PART(NO_DATA);
    if (have_data) {
        path = data_path("reference/vocab/ggml-vocab-llama-spm.gguf");
        if (CHECK(path != NULL)) one_vocabulary(path, "llama2", 1);
        path = data_path("reference/vocab/ggml-vocab-llama-bpe.gguf");
        if (CHECK(path != NULL)) one_vocabulary(path, "llama3", 1);
        if (full && path) { d = in_file(path, NULL); pre_tokenizers(&d, "llama3's vocabulary", 0, 500); }
    }
    for (i = 0; folder && folder[0] && i < (int)(sizeof more / sizeof *more); i++) {
        char file[512];
        if (!CHECK(strlen(folder) + 60 < sizeof file)) break;
        sprintf(file, "%s/ggml-vocab-%s.gguf", folder, more[i]);
        one_vocabulary(file, more[i], have_data);
    }
}
