/* Streaming: random outputs of bytes and stop strings come out as the whole text, cut at the stop, and never half a character; and the same for ids. */
#include "tiny.h"

#define MOST 400
typedef struct text { char p[3 * MOST + 64]; size_t n; } text;

/* What stands for bytes that are no UTF-8, told apart from the library's way: by decoding whole candidates. */
static size_t good(const uint8_t *p, size_t n) { /* bytes of the character at p, 0: none starts here */
    uint32_t cp; size_t i, k = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (k == 0 || k > n) return 0;
    if (k == 1) return 1;
    for (cp = p[0] & (0xffu >> (k + 1)), i = 1; i < k; i++) { if ((p[i] & 0xc0) != 0x80) return 0; cp = cp << 6 | (p[i] & 0x3fu); }
    if ((k == 2 && cp < 0x80) || (k == 3 && (cp < 0x800 || (cp >= 0xd800 && cp < 0xe000))) || (k == 4 && (cp < 0x10000 || cp > 0x10ffff))) return 0;
    return k;
}
static size_t bad_part(const uint8_t *p, size_t n) { /* the longest beginning of any character, at least 1 byte */
    size_t k, best = 1; uint8_t t[4]; int a, b;
    for (k = 2; k <= 3 && k <= n; k++) { /* is there a way to go on? */
        int found = 0;
        memcpy(t, p, k);
        for (a = 0x80; a < 0xc0 && !found; a++) for (b = 0x80; b < 0xc0 && !found; b++) {
            size_t m;
            if (k == 2) { t[2] = (uint8_t)a; t[3] = (uint8_t)b; } else t[3] = (uint8_t)a;
            m = good(t, 4); found = m > k;
        }
        if (found) best = k; else break;
    }
    return best;
}
static void whole(const uint8_t *p, size_t n, int raw, text *out) {
    size_t i, k;
    out->n = 0;
    for (i = 0; i < n; i += k) {
        k = raw ? 1 : good(p + i, n - i);
        if (k) { memcpy(out->p + out->n, p + i, k); out->n += k; continue; }
        k = bad_part(p + i, n - i);
        memcpy(out->p + out->n, "\xef\xbf\xbd", 3); out->n += 3;
    }
}
/* Bytes of text before the stop that is complete first, the longest of those; which: -1 for none. */
static size_t cut(const uint8_t *p, size_t n, const lm_stop *s, int n_stops, int *which) {
    size_t end, best; int k;
    for (end = 1, *which = -1; end <= n; end++) {
        for (k = 0, best = 0; k < n_stops; k++) {
            if (s[k].n_bytes == 0 || s[k].n_bytes > end || s[k].n_bytes <= best || memcmp(p + end - s[k].n_bytes, s[k].text, s[k].n_bytes) != 0) continue;
            best = s[k].n_bytes; *which = k;
        }
        if (best) return end - best;
    }
    return n;
}
static const char *const some[] = { "a", "b", "ab", " ", "\n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xe2\x82", "\xf0\x9f", "\xc3", "\xa9", "\xff", "\xed\xa0\x80",
    "\xf4\x90", "\xe0\x9f", "\xc0\x80", "<|", "|>", "END" };
static size_t pick(rng *r, uint8_t *p, size_t most) { /* random text of few kinds of parts, so that stops occur */
    size_t n = 0, k; const char *s; int kinds = 1 + (int)(rng_u32(r) % 20);
    while (n < most) {
        s = some[(int)(rng_u32(r) % (uint32_t)kinds)]; k = strlen(s);
        if (rng_u32(r) % 16 == 0) { p[n++] = (uint8_t)(rng_u32(r) >> 24); continue; }
        if (n + k > most) break;
        memcpy(p + n, s, k); n += k;
    }
    return n;
}

static int feed(lm_emitter *e, const uint8_t *p, size_t n, text *out, rng *r, int raw) { /* 1: as promised */
    char piece[3 * MOST + 64]; size_t k, need, i, m;
    if (rng_u32(r) % 3 == 0) { /* asking for the size changes nothing */
        lm_emitter copy = *e; lm_status s = p ? lm_emit_bytes(e, (const char *)p, n, NULL, 0, &need) : lm_emit_end(e, NULL, 0, &need);
        if (s != (need ? LM_E_FULL : LM_OK) || (need && memcmp(&copy, e, sizeof copy) != 0)) return 0;
        if (s == LM_OK) return 1;     /* done with nothing to give */
        if ((p ? lm_emit_bytes(e, (const char *)p, n, piece, need, &k) : lm_emit_end(e, piece, need, &k)) != LM_OK || k != need) return 0;
    } else if ((p ? lm_emit_bytes(e, (const char *)p, n, piece, sizeof piece, &k) : lm_emit_end(e, piece, sizeof piece, &k)) != LM_OK) return 0;
    for (i = 0; !raw && i < k; i += m) if ((m = good((const uint8_t *)piece + i, k - i)) == 0) return 0; /* half a character */
    if (out->n + k > sizeof out->p) return 0;
    memcpy(out->p + out->n, piece, k); out->n += k;
    return 1;
}
static void random_streams(void) {
    rng r; int round, stopped = 0, bad = 0, same; r.s = 11;
    for (round = 0; round < 1000 && bad < 5; round++) {
        uint8_t p[MOST], stop_bytes[4][12]; lm_stop s[4]; lm_emitter e; text want, got; size_t n, at, k, end; int i, n_stops = (int)(rng_u32(&r) % 5), which, raw = rng_u32(&r) % 4 == 0;
        n = pick(&r, p, rng_u32(&r) % MOST);
        for (i = 0; i < n_stops; i++) {
            k = 1 + rng_u32(&r) % 11;
            s[i].n_bytes = rng_u32(&r) % 3 && n > k ? k : pick(&r, stop_bytes[i], k);   /* a part of the text, or something else, or empty */
            if (s[i].n_bytes == k && n > k) memcpy(stop_bytes[i], p + rng_u32(&r) % (n - k), k);
            s[i].text = (const char *)stop_bytes[i];
        }
        end = cut(p, n, s, n_stops, &which); whole(p, end, raw, &want);
        memset(&e, 0, sizeof e); e.stops = s; e.n_stops = n_stops; e.flags = raw ? LM_TEXT_RAW : 0; got.n = 0;
        for (at = 0; at < n; at += k) {
            k = 1 + rng_u32(&r) % 7; if (k > n - at) k = n - at;
            if (!feed(&e, p + at, k, &got, &r, raw)) { FAIL("a piece is whole characters, and asking for its size changes nothing"); bad++; break; }
        }
        if (!feed(&e, NULL, 0, &got, &r, raw)) { FAIL("the end"); bad++; }
        same = got.n == want.n && memcmp(got.p, want.p, got.n) == 0 && (e.end == LM_END_STOP) == (which >= 0) && (which < 0 || (e.stop >= 0 && e.stop < n_stops
            && s[e.stop].n_bytes == s[which].n_bytes));
        CHECK(same);                     /* the stream is the text, cut at the stop */
        if (!same) { note("round %d: %lu bytes, expected %lu of %lu", round, (unsigned long)got.n, (unsigned long)want.n, (unsigned long)n); bad++; }
        if (which < 0) CHECK(e.end == LM_END_CALLER);
        stopped += which >= 0;
    }
    CHECK(stopped > 300 && stopped < 900);
    note("1000 streams, %d of them ended by a stop string", stopped);
}
static void ids_stream(void) { /* the joined pieces are what lm_detokenize makes of all ids at once */
    lm_model *m = test_model(); lm_model_info info; rng r; int round; r.s = 5;
    if (m == NULL) { FAIL("the model"); return; }
    lm_model_get_info(m, &info);
    for (round = 0; round < 300; round++) {
        lm_token ids[40]; lm_emitter e; text want, got; char all[512], piece[512]; size_t n = 0, k; int i, n_ids = 1 + (int)(rng_u32(&r) % 40), eog = n_ids, which = -1;
        int flags = (rng_u32(&r) % 2 ? LM_TEXT_CONTINUES : 0) | (rng_u32(&r) % 2 ? LM_TEXT_SHOW_CONTROL : 0) | (rng_u32(&r) % 3 == 0 ? LM_TEXT_IGNORE_EOG : 0); lm_stop s;
        for (i = 0; i < n_ids; i++) ids[i] = (lm_token)(rng_u32(&r) % 8 ? 259 + rng_u32(&r) % (uint32_t)(info.n_vocab - 259) : rng_u32(&r) % (uint32_t)info.n_vocab);
        if (round % 5 == 0) ids[n_ids / 2] = 2;                  /* </s> */
        for (i = 0; i < n_ids; i++) if (eog == n_ids && lm_token_is_eog(m, ids[i]) && !(flags & LM_TEXT_IGNORE_EOG)) eog = i;
        CHECK_STATUS(lm_detokenize(m, ids, (size_t)eog, flags & (LM_TEXT_CONTINUES | LM_TEXT_SHOW_CONTROL), all, sizeof all, &n), LM_OK);
        s.text = " the"; s.n_bytes = 4;
        k = cut((const uint8_t *)all, n, &s, 1, &which); whole((const uint8_t *)all, k, 0, &want);
        memset(&e, 0, sizeof e); e.model = m; e.stops = &s; e.n_stops = 1; e.flags = flags; got.n = 0;
        for (i = 0; i < n_ids; i++) {
            CHECK_STATUS(lm_emit(&e, ids[i], piece, sizeof piece, &k), LM_OK);
            memcpy(got.p + got.n, piece, k); got.n += k;
            if (e.end != LM_END_NOT_YET) { CHECK(which >= 0 ? e.end == LM_END_STOP : e.end == LM_END_EOG && i == eog); break; }
        }
        CHECK_STATUS(lm_emit_end(&e, piece, sizeof piece, &k), LM_OK);
        memcpy(got.p + got.n, piece, k); got.n += k;
        if (got.n != want.n || memcmp(got.p, want.p, got.n) != 0) { FAIL("the pieces are the text of the ids"); note("round %d", round); }
    }
}
static void limits(void) {
    lm_emitter e; lm_stop s[2]; char t[8]; size_t n = 77; lm_model *m = test_model();
    memset(&e, 0, sizeof e);
    s[0].text = "abc"; s[0].n_bytes = 3; s[1].text = "x"; s[1].n_bytes = 1;
    CHECK_STATUS(lm_emit(&e, 5, t, 8, &n), LM_E_ARG);             /* no model */
    e.model = m;
    CHECK_STATUS(lm_emit(&e, -1, t, 8, &n), LM_E_ARG);
    CHECK_STATUS(lm_emit(&e, 1 << 20, t, 8, &n), LM_E_ARG);
    CHECK_STATUS(lm_emit_bytes(&e, NULL, 1, t, 8, &n), LM_E_ARG);
    CHECK_STATUS(lm_emit_bytes(&e, "a", 1, NULL, 1, &n), LM_E_ARG);
    CHECK_STATUS(lm_emit_bytes(NULL, "a", 1, t, 8, &n), LM_E_ARG);
    e.n_stops = 1; CHECK_STATUS(lm_emit_bytes(&e, "a", 1, t, 8, &n), LM_E_ARG); /* stops missing */
    CHECK(n == 77);
    e.stops = s; e.n_stops = 2;
    CHECK_STATUS(lm_emit_bytes(&e, "ab", 2, t, 8, &n), LM_OK); CHECK(n == 0);
    e.n_stops = 0; CHECK_STATUS(lm_emit_end(&e, t, 8, &n), LM_E_ARG); /* changed while text is held back */
    e.n_stops = 2; CHECK_STATUS(lm_emit_bytes(&e, "abx", 3, t, 8, &n), LM_OK);
    CHECK(n == 4 && memcmp(t, "abab", 4) == 0 && e.end == LM_END_STOP && e.stop == 1);
    CHECK_STATUS(lm_emit_bytes(&e, "more", 4, t, 8, &n), LM_OK); CHECK(n == 0);
    CHECK_STATUS(lm_emit_end(&e, t, 8, &n), LM_OK); CHECK(n == 0 && e.end == LM_END_STOP);
}
void test_stream(void);
void test_stream(void) { random_streams(); ids_stream(); limits(); }
