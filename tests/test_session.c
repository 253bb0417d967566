/* Sequences: forks, and windows that roll when a context is full. */
#include "tiny.h"

static lm_ctx *ctx_of(const lm_model *m, const lm_ctx_desc *d) {
    lm_ctx *c = NULL; lm_error e;
    if (lm_ctx_open(&c, m, d, &e) != LM_OK) { FAIL("lm_ctx_open"); note("%s", e.text); return NULL; }
    return c;
}
static lm_status feed(lm_ctx *c, int seq, const lm_token *ids, int n, const uint8_t *want) {
    lm_batch b; int32_t s[600]; int i;
    memset(&b, 0, sizeof b);
    for (i = 0; i < n && i < 600; i++) s[i] = seq;
    b.ids = ids; b.n = n; b.want = want; b.seq = seq ? s : NULL;
    return lm_decode(c, &b);
}
static lm_sampler *sampler_of(const lm_model *m, uint64_t seed) {
    lm_sampler_desc d; lm_step st[2]; lm_sampler *s = NULL;
    memset(&d, 0, sizeof d); memset(st, 0, sizeof st);
    st[0].kind = LM_STEP_PENALTIES; st[0].repeat = 1.1f; st[1].kind = LM_STEP_TEMP; st[1].temp = 0.8f;
    d.steps = st; d.n_steps = 2; d.seed = seed;
    CHECK_STATUS(lm_sampler_open(&s, m, &d, NULL), LM_OK);
    return s;
}

/* ---- 8 forks of one prompt, sampled together with 8 seeds, against 8 runs alone */
#define FORKS 8
#define STEPS 24
static void forks(const lm_model *m, lm_cache_type cache) {
    lm_ctx_desc d; lm_ctx *c, *one; lm_token prompt[100], got[FORKS][STEPS], ids[FORKS]; lm_model_info info; lm_sampler *s[FORKS]; int k, i, bad = 0; int32_t seq[FORKS];
    uint8_t want[FORKS]; lm_batch b; float *rows; size_t row; uint64_t h[FORKS], g;
    lm_model_get_info(m, &info);
    row = (size_t)info.n_vocab; rows = (float *)malloc(row * sizeof *rows);
    tiny_tokens(prompt, 100, info.n_vocab);
    memset(&d, 0, sizeof d); d.n_ctx = 160; d.n_seq = FORKS + 1; d.n_logits = FORKS; d.n_batch = 32; d.n_threads = 2; d.cache_type = cache;
    c = ctx_of(m, &d);
    if (c == NULL || rows == NULL) return;
    CHECK_STATUS(feed(c, 0, prompt, 100, NULL), LM_OK);
    memcpy(rows, lm_logits(c, -1), row * sizeof *rows);
    for (k = 0; k < FORKS; k++) {
        CHECK_STATUS(lm_fork(c, 0, k + 1), LM_OK);
        CHECK(lm_seq_len(c, k + 1) == 100 && memcmp(lm_seq_tokens(c, k + 1), prompt, sizeof prompt) == 0);
        s[k] = sampler_of(m, (uint64_t)k + 1); ids[k] = got[k][0] = lm_sample_logits(s[k], rows); seq[k] = k + 1; want[k] = LM_WANT_LOGITS; h[k] = FNV1A;
    }
    CHECK_BITS(lm_logits(c, -1), rows, row * sizeof *rows);      /* the results stay */
    memset(&b, 0, sizeof b); b.ids = ids; b.n = FORKS; b.seq = seq; b.want = want;
    for (i = 1; i < STEPS; i++) {
        CHECK_STATUS(lm_decode(c, &b), LM_OK);
        for (k = 0; k < FORKS; k++) { h[k] = fnv1a_floats(h[k], lm_logits(c, k), row); ids[k] = got[k][i] = lm_sample(c, k, s[k]); }
    }
    CHECK(lm_seq_len(c, 0) == 100);
    d.n_seq = 1; d.n_threads = 1; d.n_batch = 100;
    for (k = 0; k < FORKS; k++) {
        lm_sampler *t = sampler_of(m, (uint64_t)k + 1); lm_token id;
        one = ctx_of(m, &d);
        if (one == NULL) return;
        CHECK_STATUS(feed(one, 0, prompt, 100, NULL), LM_OK);
        for (i = 0, g = FNV1A; i < STEPS; i++) {
            if (i > 0) { CHECK_STATUS(feed(one, 0, &got[k][i - 1], 1, NULL), LM_OK); g = fnv1a_floats(g, lm_logits(one, -1), row); }
            id = lm_sample(one, -1, t);
            if (id != got[k][i]) { bad++; break; }
        }
        if (g != h[k]) bad++;
        lm_sampler_close(t); lm_ctx_close(one); lm_sampler_close(s[k]);
    }
    CHECK(bad == 0);
    CHECK_STATUS(lm_fork(c, 0, 0), LM_OK);
    CHECK_STATUS(lm_fork(c, 3, 1), LM_OK);
    CHECK(lm_seq_len(c, 1) == lm_seq_len(c, 3));
    CHECK_STATUS(lm_fork(c, 0, FORKS + 1), LM_E_ARG); CHECK_STATUS(lm_fork(c, -1, 0), LM_E_ARG);
    CHECK(lm_seq_tokens(c, -1) == NULL && lm_seq_tokens(c, FORKS + 1) == NULL && lm_seq_dropped(c, 99) == 0);
    CHECK_STATUS(lm_decode_begin(c, &b), LM_OK); CHECK_STATUS(lm_fork(c, 0, 1), LM_E_ARG); lm_decode_cancel(c);
    free(rows); lm_ctx_close(c);
}

/* ---- a full context */
#define LONG 5000
#define ROOM 512
static double minus_log(const float *x, int n, lm_token id) { double top = x[0], z = 0; int i; for (i = 1; i < n; i++) if (x[i] > top) top = x[i];
    for (i = 0; i < n; i++) z += exp(x[i] - top);
    return log(z) + top - x[id]; }
/* A sum of all rows of logits of LONG tokens, and their mean -ln p. */
static uint64_t roll(const lm_model *m, lm_cache_type cache, int n_batch, int n_threads, int call, double *nll) {
    static lm_token ids[LONG]; static uint8_t want[LONG]; lm_ctx_desc d; lm_ctx *c; lm_model_info info; uint64_t h = FNV1A; int at, i, n, n_keep = 4; double sum = 0;
    lm_model_get_info(m, &info);
    tiny_tokens(ids, LONG, info.n_vocab); memset(want, LM_WANT_LOGITS, sizeof want);
    memset(&d, 0, sizeof d); d.n_ctx = ROOM; d.n_batch = n_batch; d.n_logits = call; d.n_threads = n_threads; d.cache_type = cache; d.full = LM_FULL_ROLL; d.n_keep = n_keep;
    c = ctx_of(m, &d);
    if (c == NULL) return 0;
    for (at = 0; at < LONG; at += n) {
        lm_batch b; const lm_token *kept; int len;
        memset(&b, 0, sizeof b);
        n = LONG - at < call ? LONG - at : call;
        b.ids = ids + at; b.n = n; b.want = want;
        if (lm_decode(c, &b) != LM_OK) { FAIL("a window rolls for ever"); note("%s", lm_ctx_error(c)); break; }
        for (i = 0; i < n; i++) {
            const float *x = lm_logits(c, i);
            h = fnv1a_floats(h, x, (size_t)info.n_vocab);
            if (nll && at + i + 1 < LONG) sum += minus_log(x, info.n_vocab, ids[at + i + 1]);
        }
        len = lm_seq_len(c, 0); kept = lm_seq_tokens(c, 0);
        if (len > ROOM || (uint64_t)(at + n) != (uint64_t)len + lm_seq_dropped(c, 0)) FAIL("the length");
        if (memcmp(kept, ids, (size_t)(len < n_keep ? len : n_keep) * sizeof *ids) != 0) FAIL("the first k are kept");
        if (len > n_keep && memcmp(kept + n_keep, ids + at + n - (len - n_keep), (size_t)(len - n_keep) * sizeof *ids) != 0) FAIL("and the newest");
    }
    lm_ctx_close(c);
    if (nll) *nll = sum / (LONG - 1);
    return h;
}
static void promised_error(const lm_model *m) {
    static lm_token ids[LONG]; lm_ctx_desc d; lm_ctx *c; lm_model_info info; int i; lm_status s = LM_OK;
    lm_model_get_info(m, &info);
    tiny_tokens(ids, LONG, info.n_vocab);
    memset(&d, 0, sizeof d); d.n_ctx = ROOM; d.n_batch = 64; d.n_threads = 1;
    c = ctx_of(m, &d);
    if (c == NULL) return;
    for (i = 0; i < LONG && s == LM_OK; i += s == LM_OK) s = feed(c, 0, ids + i, 1, NULL);
    CHECK_STATUS(s, LM_E_FULL);
    CHECK(i == ROOM && lm_seq_len(c, 0) == ROOM && lm_seq_dropped(c, 0) == 0 && strstr(lm_ctx_error(c), "512") != NULL);
    lm_ctx_close(c);
}
/* In a model of one layer, keys and values depend on their own token alone, so a window that moved is nearly a fresh context with the tokens that
 * are left. */
static void one_layer(void) {
    static const tiny_spec spec = { "one", "F32", 64, 1, 4, 2, 18, 20, 96, 12, 0, 1, 0, 2, 0, 0 }; gguf_writer g; bytes b; lm_model *m; int t;
    tiny_writer(&spec, &g); b = gguf_write(&g); gguf_free(&g);
    m = open_bytes(b);
    for (t = 0; m && t < 3; t++) {
        lm_ctx_desc d; lm_ctx *c, *fresh; lm_token ids[400]; lm_model_info info; int i, v, len; double worst = 0, size = 0, tol = t == 1 ? 2e-4 : t == 0 ? 0.03 : 0.3;
        lm_model_get_info(m, &info);
        tiny_tokens(ids, 400, info.n_vocab);
        memset(&d, 0, sizeof d); d.n_ctx = 150; d.n_batch = 50; d.n_threads = 1; d.cache_type = (lm_cache_type)t; d.compute = LM_COMPUTE_F32; d.full = LM_FULL_ROLL; d.n_keep = 5;
        d.n_drop = 33;
        c = ctx_of(m, &d); fresh = ctx_of(m, &d);
        if (c == NULL || fresh == NULL) break;
        for (i = 0; i < 400; i += 80) CHECK_STATUS(feed(c, 0, ids + i, 80, NULL), LM_OK);
        len = lm_seq_len(c, 0);
        CHECK(lm_seq_dropped(c, 0) == 264 && len == 136);
        CHECK_STATUS(feed(fresh, 0, lm_seq_tokens(c, 0), len, NULL), LM_OK);
        for (v = 0; v < info.n_vocab; v++) {
            double x = lm_logits(c, -1)[v], y = lm_logits(fresh, -1)[v], e = x > y ? x - y : y - x;
            if (e > worst) worst = e;
            if (y * y > size) size = y * y;
        }
        CHECK(worst < tol * sqrt(size));
        note("one layer, cache %d: after 8 moves at most %.2g from a fresh window (largest logit %.2g)", t, worst, sqrt(size));
        lm_ctx_close(c); lm_ctx_close(fresh);
    }
    lm_model_close(m); free(b.p);
}
static int cancel_at, calls;
static int on_progress(void *user, uint64_t done, uint64_t total) { (void)user; if (done > total) FAIL("progress"); return ++calls == cancel_at; }
static void cancelled(const lm_model *m) { /* a move is not undone, and leaves what it says */
    lm_ctx_desc d; lm_ctx *c, *same; lm_token ids[200]; lm_model_info info; int k;
    lm_model_get_info(m, &info);
    tiny_tokens(ids, 200, info.n_vocab);
    memset(&d, 0, sizeof d); d.n_ctx = 64; d.n_batch = 16; d.n_threads = 1; d.full = LM_FULL_ROLL; d.n_keep = 3; d.n_drop = 10; d.hooks.progress = on_progress;
    for (k = 0; k < 3; k++) { /* before the move, after one, after all that was there is gone */
        static const int fed[3] = { 20, 30, 150 }, left[3] = { 40, 30, 3 };
        cancel_at = 0; c = ctx_of(m, &d);
        if (c == NULL) return;
        CHECK_STATUS(feed(c, 0, ids, 40, NULL), LM_OK);
        calls = 0; cancel_at = 1;
        if (k > 0) { int n; lm_ctx *probe = ctx_of(m, &d); cancel_at = 0; /* the last call of a whole run */
            CHECK_STATUS(feed(probe, 0, ids, 40, NULL), LM_OK); calls = 0; CHECK_STATUS(feed(probe, 0, ids + 40, fed[k], NULL), LM_OK); n = calls; lm_ctx_close(probe);
            calls = 0; cancel_at = n; }
        CHECK_STATUS(feed(c, 0, ids + 40, fed[k], NULL), LM_E_CANCEL);
        cancel_at = 0;
        CHECK(lm_seq_len(c, 0) == left[k] && lm_seq_dropped(c, 0) == 40u - (unsigned)left[k]);
        CHECK(memcmp(lm_seq_tokens(c, 0), ids, 3 * sizeof *ids) == 0 && memcmp(lm_seq_tokens(c, 0) + 3, ids + 43 - left[k], (size_t)(left[k] - 3) * sizeof *ids) == 0);
        if (k == 2) { /* nothing but the kept ones: as a fresh context with these */
            same = ctx_of(m, &d);
            CHECK_STATUS(feed(same, 0, ids, 3, NULL), LM_OK);
            CHECK_STATUS(feed(same, 0, ids + 60, 20, NULL), LM_OK); CHECK_STATUS(feed(c, 0, ids + 60, 20, NULL), LM_OK);
            CHECK_BITS(lm_logits(c, -1), lm_logits(same, -1), (size_t)info.n_vocab * sizeof(float));
            lm_ctx_close(same);
        }
        CHECK_STATUS(lm_rewind(c, 0, 2), LM_OK); CHECK(lm_seq_dropped(c, 0) == 0);
        lm_ctx_close(c);
    }
}
static void mixed(const lm_model *m) { /* two sequences that roll at different times in one batch, as each alone */
    enum { N = 300 }; lm_ctx_desc d; lm_ctx *c, *one[2]; lm_token ids[2][N], mix[2 * N]; int32_t seq[2 * N]; lm_model_info info; lm_batch b; int i, k, n[2] = { 0, 0 };
    uint8_t want[2 * N];
    lm_model_get_info(m, &info);
    memset(&d, 0, sizeof d); d.n_ctx = 100; d.n_batch = 40; d.n_threads = 2; d.full = LM_FULL_ROLL; d.n_keep = 7; d.n_seq = 2; d.n_logits = 2;
    for (i = 0; i < N; i++) { ids[0][i] = (lm_token)(i * 37 % info.n_vocab); ids[1][i] = (lm_token)(i * 53 % info.n_vocab); }
    c = ctx_of(m, &d); d.n_seq = 1; one[0] = ctx_of(m, &d); one[1] = ctx_of(m, &d);
    if (c == NULL || one[0] == NULL || one[1] == NULL) return;
    for (i = 0; i < 2 * N; i++) { k = n[1] == N || (n[0] < N && i % 7 < 4) ? 0 : 1; seq[i] = k; mix[i] = ids[k][n[k]++]; want[i] = n[k] == N; }
    memset(&b, 0, sizeof b); b.ids = mix; b.seq = seq; b.want = want; b.n = 2 * N;
    CHECK_STATUS(lm_decode(c, &b), LM_OK);
    for (k = 0; k < 2; k++) {
        CHECK_STATUS(feed(one[k], 0, ids[k], N, NULL), LM_OK);
        for (i = 2 * N - 1; seq[i] != k; i--) {}
        CHECK_BITS(lm_logits(c, i), lm_logits(one[k], -1), (size_t)info.n_vocab * sizeof(float));
        CHECK(lm_seq_len(c, k) == lm_seq_len(one[k], 0) && lm_seq_dropped(c, k) == lm_seq_dropped(one[k], 0));
        lm_ctx_close(one[k]);
    }
    lm_ctx_close(c);
}
static void windows(void) {
    static const struct { const char *model; uint64_t sum[3]; } known[] = { /* f16, f32, q8_0 */
        { "nano", { 0x31a3e7345fe7c1d4u, 0x7122270a607de1a0u, 0x482d2156a0d57293u } },
        { "odd", { 0xc94d5fe8de0c9c7fu, 0x86d2ed7a471c46c7u, 0x8a32e883f76ee9b6u } } };
    int k, t;
    for (k = 0; k < 2; k++) {
        bytes b = tiny_gguf(known[k].model); lm_model *m = open_bytes(b);
        for (t = 0; m && t < 3; t++) {
            double nll = 0; uint64_t h;
            if (test_quick() && t != 2 - 2 * k) continue;
            h = roll(m, (lm_cache_type)t, 512, 1, 512, &nll);
            CHECK(nll > 0 && nll < 1e3);
            CHECK(h == known[k].sum[t]);
            if (h != known[k].sum[t]) note("0x%08lx%08lx", (unsigned long)(h >> 32), (unsigned long)(h & 0xffffffffu));
            CHECK(roll(m, (lm_cache_type)t, 100, 3, 333, NULL) == h);
            if (t == 0 && !test_quick()) CHECK(roll(m, (lm_cache_type)t, 7, 2, 1, NULL) == h);
            note("%s, cache %d: 5000 tokens through 512 positions, perplexity %.4g", known[k].model, t, exp(nll));
        }
        if (m && k == 0) { promised_error(m); cancelled(m); mixed(m); }
        lm_model_close(m); free(b.p);
    }
}
static void limits(const lm_model *m) {
    static const int bad[][3] = { { 64, 64, 0 }, { 64, -1, 0 }, { 64, 10, 55 }, { 64, 10, -1 } }; int i; lm_ctx_desc d; lm_ctx *c = NULL; lm_error e;
    for (i = 0; i < 5; i++) {
        memset(&d, 0, sizeof d); d.n_threads = 1; d.full = i < 4 ? LM_FULL_ROLL : (lm_full)7; d.n_ctx = 64;
        if (i < 4) { d.n_keep = bad[i][1]; d.n_drop = bad[i][2]; }
        CHECK_STATUS(lm_ctx_open(&c, m, &d, &e), LM_E_ARG);
        CHECK(c == NULL && e.text[0] != 0);
    }
}

void test_session(void);
void test_session(void) {
    bytes b = tiny_gguf("pages"); lm_model *m = open_bytes(b); int t;
    for (t = 0; m && t < 3; t++) forks(m, (lm_cache_type)t);
    if (m) limits(m);
    lm_model_close(m); free(b.p);
    one_layer();
    windows();
}
