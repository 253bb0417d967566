/* Saved sequences: the same tokens as never saved, on every instruction set; and bytes that are not what lm_save wrote. */
#include "tiny.h"

#define STEPS 120
static lm_ctx *ctx_of(const lm_model *m, int n_ctx, int n_batch, int n_threads, lm_cache_type cache, lm_full full) {
    lm_ctx_desc d; lm_ctx *c = NULL; lm_error e;
    memset(&d, 0, sizeof d);
    d.n_ctx = n_ctx; d.n_batch = n_batch; d.n_threads = n_threads; d.cache_type = cache; d.full = full; d.n_seq = 2;
    if (full == LM_FULL_ROLL) { d.n_keep = 3; d.n_drop = 20; }
    if (lm_ctx_open(&c, m, &d, &e) != LM_OK) { FAIL("lm_ctx_open"); note("%s", e.text); return NULL; }
    return c;
}
static lm_sampler *sampler_of(const lm_model *m, int n_prev, uint64_t seed) {
    lm_sampler_desc d; lm_step st[3]; lm_sampler *s = NULL;
    memset(&d, 0, sizeof d); memset(st, 0, sizeof st);
    st[0].kind = LM_STEP_PENALTIES; st[0].n = -1; st[0].repeat = 1.2f; st[0].freq = 0.1f; st[1].kind = LM_STEP_TEMP; st[1].temp = 0.9f; st[2].kind = LM_STEP_MIROSTAT2;
    d.steps = st; d.n_steps = 3; d.seed = seed; d.n_prev = n_prev;
    CHECK_STATUS(lm_sampler_open(&s, m, &d, NULL), LM_OK);
    return s;
}
static lm_status feed(lm_ctx *c, int seq, const lm_token *ids, int n) {
    lm_batch b; int32_t s[600]; int i;
    memset(&b, 0, sizeof b);
    for (i = 0; i < n && i < 600; i++) s[i] = seq;
    b.ids = ids; b.n = n; b.seq = s;
    return lm_decode(c, &b);
}
typedef struct snap { uint8_t *p; size_t n; int at; } snap;

/* Generates STEPS tokens on one instruction set, saving after some; then each saved state goes on elsewhere. */
static int isa_is(const char *name, const lm_model *m) { lm_model_info i; lm_model_get_info(m, &i); return strcmp(i.isa, name) == 0; }
static lm_model *open_as(const char *isa, bytes b) {
    lm_model *m;
#if defined(__unix__)
    if (isa) setenv("LLAMA_ISA", isa, 1);
#endif
    (void)isa;
    m = open_bytes(b);
    return m;
}
static void points(const char *name, lm_cache_type cache, lm_full full, int n_points) {
    static const char *const isas[] = { "scalar", "avx2", "avx512" }; bytes b = tiny_gguf(name); lm_model *m[3]; lm_model_info info; int k, i, n_isa = 0, bad = 0; rng r;
    lm_token prompt[40], got[STEPS]; lm_ctx *c; lm_sampler *s; snap at[STEPS]; const char *was = getenv("LLAMA_ISA"); char keep[32];
    int n_ctx = full == LM_FULL_ROLL ? 70 : 200;
    r.s = 99; keep[0] = 0; if (was) sprintf(keep, "%.31s", was);
    memset(at, 0, sizeof at); memset(m, 0, sizeof m);
    for (k = 0; k < 3; k++) { /* those that the CPU has */
        m[n_isa] = open_as(isas[k], b);
        if (m[n_isa] && (k == 0 || isa_is(isas[k], m[n_isa]))) n_isa++; else { lm_model_close(m[n_isa]); m[n_isa] = NULL; }
    }
#if defined(__unix__)
    if (was) setenv("LLAMA_ISA", keep, 1); else unsetenv("LLAMA_ISA");
#endif
    if (n_isa < 3) SKIP_PART("cpu");
    if (n_isa == 0) return;
    lm_model_get_info(m[0], &info);
    tiny_tokens(prompt, 40, info.n_vocab);
    for (i = 0; i < n_points; ) { k = (int)(rng_u32(&r) % STEPS); i += !at[k].at; at[k].at = 1; }
    c = ctx_of(m[0], n_ctx, 16, 1, cache, full); s = sampler_of(m[0], 30, 5);
    if (c == NULL || s == NULL) return;
    CHECK_STATUS(feed(c, 0, prompt, 40), LM_OK);
    for (i = 0; i < STEPS; i++) {
        if (at[i].at) {
            size_t n = lm_save_size(c, 0, s), k2;
            at[i].p = (uint8_t *)malloc(n); at[i].n = n;
            CHECK(lm_save(c, 0, s, at[i].p, n - 1, &k2) == LM_E_FULL && k2 == n);
            CHECK(at[i].p != NULL && lm_save(c, 0, s, at[i].p, n, &k2) == LM_OK && k2 == n);
        }
        got[i] = lm_sample(c, -1, s);
        if (feed(c, 0, &got[i], 1) != LM_OK) FAIL("decode");
    }
    lm_ctx_close(c); lm_sampler_close(s);
    for (k = 0; k < n_isa; k++) {
        c = ctx_of(m[k], n_ctx + (full == LM_FULL_ROLL ? 0 : 17 * k), 5 + 11 * k, 1 + k, cache, full); s = sampler_of(m[k], 30, 77);
        if (c == NULL || s == NULL) return;
        for (i = 0; i < STEPS; i++) {
            int j, n, seq = i % 2; lm_token id; uint8_t *again; size_t n2;
            if (!at[i].at) continue;
            CHECK_STATUS(lm_restore(c, seq, s, at[i].p, at[i].n), LM_OK);
            again = (uint8_t *)malloc(at[i].n);   /* and what is saved again is the same */
            if (again == NULL || lm_save(c, seq, s, again, at[i].n, &n2) != LM_OK || n2 != at[i].n || memcmp(again, at[i].p, n2) != 0) { FAIL("saved again"); bad++; }
            free(again);
            n = lm_seq_len(c, seq); id = lm_seq_tokens(c, seq)[n - 1];
            CHECK(id == (i ? got[i - 1] : prompt[39]));
            CHECK_STATUS(lm_rewind(c, seq, n - 1), LM_OK);
            CHECK_STATUS(feed(c, seq, &id, 1), LM_OK);
            for (j = i; j < STEPS && j < i + 24; j++) {
                id = lm_sample(c, -1, s);
                if (id != got[j]) { bad++; break; }
                if (feed(c, seq, &id, 1) != LM_OK) { bad++; break; }
            }
        }
        lm_ctx_close(c); lm_sampler_close(s);
    }
    CHECK(bad == 0);
    note("%s, cache %d%s: %d states, each gone on with on %d instruction sets", name, (int)cache, full ? ", rolling" : "", n_points, n_isa);
    for (i = 0; i < STEPS; i++) free(at[i].p);
    for (k = 0; k < n_isa; k++) lm_model_close(m[k]);
    free(b.p);
}

/* The checksum, written down anew, so that a change can be hidden from it. */
static void seal(uint8_t *p, size_t n) {
    uint64_t h = 0, v; size_t i, k;
    if (n < 8) return;
    for (i = 0, v = n - 8; ; i += 8) { /* the length, the words, the rest */
        h = (h ^ v) * 0x9e3779b97f4a7c15u; h ^= h >> 32;
        if (i > n - 8) break;
        for (k = 0, v = 0; k < 8 && i + k < n - 8; k++) v |= (uint64_t)p[i + k] << 8 * k;
    }
    for (k = 0; k < 8; k++) p[n - 8 + k] = (uint8_t)(h >> 8 * k);
}
static void hostile(void) {
    bytes b = tiny_gguf("nano"); lm_model *m = open_bytes(b); lm_ctx *c, *same; lm_sampler *s; lm_token ids[20]; lm_model_info info; uint8_t *p, *q; size_t n, i, k; rng r; int round;
    int refused = 0, harmless = 0, sealed, t; static const lm_cache_type types[3] = { LM_CACHE_F16, LM_CACHE_F32, LM_CACHE_Q8_0 }; float *want;
    if (m == NULL) return;
    lm_model_get_info(m, &info);
    tiny_tokens(ids, 20, info.n_vocab);
    want = (float *)malloc((size_t)info.n_vocab * sizeof *want);
    for (t = 0; t < 3 && want; t++) {
        r.s = 4;
        c = ctx_of(m, 64, 16, 1, types[t], LM_FULL_ERROR); same = ctx_of(m, 64, 16, 1, types[t], LM_FULL_ERROR); s = sampler_of(m, 10, 3);
        if (c == NULL || same == NULL || s == NULL) return;
        CHECK_STATUS(feed(c, 0, ids, 12), LM_OK);
        for (i = 0; i < 20; i++) lm_sampler_accept(s, ids[i]);
        CHECK(lm_sample(c, -1, s) >= 0);
        n = lm_save_size(c, 0, s);
        p = (uint8_t *)malloc(n);
        if (p == NULL) return;
        CHECK_STATUS(lm_save(c, 0, s, p, n, &k), LM_OK);
        CHECK_STATUS(feed(same, 1, ids + 5, 7), LM_OK); CHECK_STATUS(lm_rewind(same, 1, 6), LM_OK); CHECK_STATUS(feed(same, 1, ids + 11, 1), LM_OK);
        memcpy(want, lm_logits(same, -1), (size_t)info.n_vocab * sizeof *want);
        for (i = 0; i < n; i++) { /* cut off: as it is, and with a fitting size and checksum */
            q = (uint8_t *)malloc(i ? i : 1);
            if (q == NULL) return;
            memcpy(q, p, i);
            for (sealed = 0; sealed < 2; sealed++) {
                if (sealed && i >= 24) for (k = 0; k < 8; k++) q[16 + k] = (uint8_t)((uint64_t)i >> 8 * k);
                if (sealed) seal(q, i);
                if (lm_restore(same, 1, s, q, i) == LM_OK || lm_ctx_error(same)[0] == 0 || strchr(lm_ctx_error(same), '\n')) FAIL("a state cut off is refused with a line");
            }
            free(q);
        }
        CHECK(lm_seq_len(same, 1) == 7);
        CHECK_STATUS(lm_rewind(same, 1, 6), LM_OK); CHECK_STATUS(feed(same, 1, ids + 11, 1), LM_OK);   /* the sequence is as it was */
        CHECK_BITS(lm_logits(same, -1), want, (size_t)info.n_vocab * sizeof *want);
        q = (uint8_t *)malloc(n);
        for (round = 0; q && round < 1000; round++) for (sealed = 0; sealed < 2; sealed++) {
            int changes = 1 + (int)(rng_u32(&r) % 4); lm_status st;
            memcpy(q, p, n);
            for (; changes > 0; changes--) q[rng_u32(&r) % (rng_u32(&r) % 2 ? 128 : n)] ^= (uint8_t)(1u << rng_u32(&r) % 8);
            if (memcmp(q, p, n) == 0) continue;
            if (sealed) seal(q, n);
            st = lm_restore(same, 0, s, q, n);
            if (!sealed && st == LM_OK) FAIL("a changed state is refused");
            if (st != LM_OK) { refused++; if (lm_ctx_error(same)[0] == 0 || strchr(lm_ctx_error(same), '\n')) FAIL("with one line"); continue; }
            harmless++;
            CHECK(lm_seq_len(same, 0) <= 64);
            if (lm_seq_len(same, 0) > 0) (void)lm_rewind(same, 0, lm_seq_len(same, 0) - 1);
            st = feed(same, 0, ids, 3);
            if (st == LM_OK) (void)lm_sample(same, -1, s);
            if (st != LM_OK && st != LM_E_NUMERIC) FAIL("after it");
        }
        free(q);
        CHECK_STATUS(lm_restore(same, 0, NULL, p, n), LM_OK);                /* the sampler's part may be left out */
        CHECK_STATUS(lm_restore(same, 0, s, p, n), LM_OK);
        free(p); lm_ctx_close(c); lm_ctx_close(same); lm_sampler_close(s);
    }
    CHECK(refused > 3000 && harmless > 300);
    note("every truncation refused; of 6000 changed states %d refused, %d harmless", refused, harmless);
    free(want); lm_model_close(m); free(b.p);
}
static void says(lm_ctx *c, lm_sampler *s, const uint8_t *p, size_t n, lm_status want, const char *text) {
    CHECK_STATUS(lm_restore(c, 0, s, p, n), want);
    if (strstr(lm_ctx_error(c), text) == NULL) { FAIL("the message"); note("%s: expected: %s", lm_ctx_error(c), text); }
    CHECK(lm_seq_len(c, 0) == 0);
}
static lm_model *named(const tiny_spec *spec, const char *name, bytes *b, int change) { /* change: of the last bit of a weight in the first row of wv */
    gguf_writer g; int i;
    tiny_writer(spec, &g);
    if (name) { for (i = 0; i + 4 < (int)g.kv.n; i++) if (memcmp(g.kv.p + i, spec->name, 4) == 0 && i > 30) { memcpy(g.kv.p + i, name, 4); break; } }
    for (i = 0; change && i < g.n_tensor; i++) if (strcmp(g.tensor[i].name, "blk.1.attn_v.weight") == 0) g.tensor[i].data[5] ^= 1;
    *b = gguf_write(&g); gguf_free(&g);
    return open_bytes(*b);
}
static void refusals(void) {
    bytes b, b2, b3, b4; const tiny_spec *nano = tiny_find("nano"); lm_model *m = named(nano, NULL, &b, 0), *other = named(nano, "Bo\nb", &b2, 0), *tuned = named(nano, NULL, &b3, 1);
    lm_model *plain = NULL; lm_ctx *c, *d; lm_token ids[30]; uint8_t *p, *ps; size_t n, ns, k; lm_sampler *s, *s2; lm_model_desc md; lm_error e; lm_ctx_desc cd;
    b4 = tiny_gguf("nano");
    if (m == NULL || other == NULL || tuned == NULL) return;
    memset(&md, 0, sizeof md); md.source.data = b4.p; md.source.size = b4.n; md.plain_layout = 1;
    CHECK_STATUS(lm_model_open(&plain, &md, &e), LM_OK);
    tiny_tokens(ids, 30, 200);
    c = ctx_of(m, 64, 16, 1, LM_CACHE_F16, LM_FULL_ERROR); s = sampler_of(m, 10, 3); s2 = sampler_of(m, 20, 3);
    CHECK_STATUS(feed(c, 0, ids, 30), LM_OK);
    CHECK(lm_save_size(c, 2, NULL) == 0 && lm_save_size(c, -1, NULL) == 0);
    CHECK_STATUS(lm_save(c, 2, NULL, NULL, 0, &n), LM_E_ARG);
    CHECK_STATUS(lm_save(c, 0, NULL, NULL, 0, &n), LM_E_FULL);
    CHECK(n == lm_save_size(c, 0, NULL));
    ns = lm_save_size(c, 0, s);
    p = (uint8_t *)malloc(n); ps = (uint8_t *)malloc(ns);
    CHECK_STATUS(lm_save(c, 0, NULL, p, n, &k), LM_OK); CHECK_STATUS(lm_save(c, 0, s, ps, ns, &k), LM_OK);
    { uint64_t h = fnv1a(FNV1A, ps, ns); CHECK(h == 0xff77ca7f50d9481bu); if (h != 0xff77ca7f50d9481bu) note("0x%08lx%08lx", (unsigned long)(h >> 32), (unsigned long)(h & 0xffffffffu)); } /* on every machine */
    CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
    says(c, s, p, n, LM_E_ARG, "no sampler");
    says(c, s2, ps, ns, LM_E_ARG, "remembers 10 tokens, the one given 20");
    CHECK_STATUS(lm_restore(c, 2, NULL, p, n), LM_E_ARG); CHECK_STATUS(lm_restore(c, 0, NULL, NULL, 9), LM_E_ARG);
    says(c, NULL, p, 0, LM_E_FORMAT, "not a saved state");
    p[8] = 2; says(c, NULL, p, n, LM_E_SUPPORT, "version 2"); p[8] = 1;
    if (plain) { d = ctx_of(plain, 64, 3, 1, LM_CACHE_F16, LM_FULL_ERROR); CHECK_STATUS(lm_restore(d, 0, NULL, p, n), LM_OK); CHECK(lm_seq_len(d, 0) == 30); lm_ctx_close(d); }
    d = ctx_of(other, 64, 16, 1, LM_CACHE_F16, LM_FULL_ERROR); CHECK_STATUS(lm_restore(d, 0, NULL, p, n), LM_OK); lm_ctx_close(d); /* a name is no difference */
    d = ctx_of(tuned, 64, 16, 1, LM_CACHE_F16, LM_FULL_ERROR); says(d, NULL, p, n, LM_E_ARG, "another model of the name nano"); lm_ctx_close(d);
    d = ctx_of(m, 64, 16, 1, LM_CACHE_Q8_0, LM_FULL_ERROR); says(d, NULL, p, n, LM_E_ARG, "type f16, the context one of q8_0"); lm_ctx_close(d);
    d = ctx_of(m, 29, 16, 1, LM_CACHE_F16, LM_FULL_ERROR); says(d, NULL, p, n, LM_E_FULL, "30 positions, the context 29"); lm_ctx_close(d);
    memset(&cd, 0, sizeof cd); cd.n_ctx = 64; cd.n_threads = 1; cd.compute = LM_COMPUTE_F32; d = NULL;
    CHECK_STATUS(lm_ctx_open(&d, m, &cd, NULL), LM_OK); says(d, NULL, p, n, LM_E_ARG, "compute auto"); lm_ctx_close(d);
    { bytes b5 = tiny_gguf("odd"); lm_model *odd = open_bytes(b5); d = ctx_of(odd, 64, 16, 1, LM_CACHE_F16, LM_FULL_ERROR); says(d, NULL, p, n, LM_E_ARG, "model nano, not of odd");
      lm_ctx_close(d); lm_model_close(odd); free(b5.p); }
    CHECK_STATUS(lm_restore(c, 0, s, ps, ns), LM_OK);
    free(p); free(ps); lm_ctx_close(c); lm_sampler_close(s); lm_sampler_close(s2);
    lm_model_close(m); lm_model_close(other); lm_model_close(tuned); lm_model_close(plain); free(b.p); free(b2.p); free(b3.p); free(b4.p);
}
void test_state(void);
void test_state(void) {
    points("nano", LM_CACHE_F16, LM_FULL_ERROR, 100);
    points("odd", LM_CACHE_F32, LM_FULL_ERROR, 10);
    points("pages", LM_CACHE_Q8_0, LM_FULL_ERROR, 10);
    points("nano", LM_CACHE_Q8_0, LM_FULL_ROLL, 30);
    points("slide", LM_CACHE_F16, LM_FULL_ROLL, 10);
    hostile();
    refusals();
}
