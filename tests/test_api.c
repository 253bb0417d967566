/* The interface's promises: memory (every allocation failed, exact blocks, nothing taken while decoding), cancelling, slices, rewinding,
 * sequences, origins of a file, hooks, limits. */
#include "tiny.h"
#if defined(__unix__)
#include <pthread.h>
#endif
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#define N 40                          /* tokens of most comparisons */
static lm_token ids[1024];
static int n_vocab;
static size_t row_bytes;

static lm_ctx *ctx_of(const lm_model *m, int n_ctx, int n_batch, int n_seq, const lm_hooks *hooks, int n_threads) {
    lm_ctx_desc d; lm_ctx *c = NULL; lm_error e;
    memset(&d, 0, sizeof d); e.text[0] = 0;
    d.n_ctx = n_ctx; d.n_batch = n_batch; d.n_seq = n_seq; d.n_logits = N; d.n_threads = n_threads;
    if (hooks) d.hooks = *hooks;
    if (lm_ctx_open(&c, m, &d, &e) != LM_OK) { FAIL("lm_ctx_open"); note("%s", e.text); }
    return c;
}
static lm_status feed(lm_ctx *c, const lm_token *t, int n) {
    lm_batch b;
    memset(&b, 0, sizeof b);
    b.ids = t; b.n = n;
    return lm_decode(c, &b);
}

/* ---- memory */
static void failing_takes(const bytes *file) {
    int what, mode; size_t k, total = 0; lm_model *m = NULL; lm_model_desc d; lm_ctx_desc cd; lm_sampler_desc sd; lm_step st[2]; lm_bias bias;
    lm_error e; heap h;
    memset(&d, 0, sizeof d); memset(&h, 0, sizeof h); memset(&cd, 0, sizeof cd); memset(&sd, 0, sizeof sd); memset(st, 0, sizeof st);
    d.source.data = file->p; d.source.size = file->n; d.hooks = heap_hooks(&h);
    cd.n_ctx = 64; cd.n_batch = 8; cd.n_threads = 2; cd.hooks = heap_hooks(&h);
    bias.id = 3; bias.bias = 1; st[0].kind = LM_STEP_BIAS; st[0].bias = &bias; st[0].n_bias = 1; st[1].kind = LM_STEP_PENALTIES; sd.steps = st;
    sd.n_steps = 2; sd.hooks = heap_hooks(&h);
    CHECK_STATUS(lm_model_open(&m, &d, &e), LM_OK);
    if (m == NULL) return;
    for (what = 0; what < 4; what++) { /* open, context, tokenize, sampler */
        static const char *const names[] = { "open", "context", "tokenize", "sampler" };
        size_t n_takes, live = h.live, before; lm_model *m2; lm_ctx *c; lm_sampler *s; size_t n_ids; lm_token out[64]; lm_status r;
        static const char text[] = "the cat and the other thing is in the \xc3\xa9t\xff. The end";
        for (mode = 0, n_takes = 1; mode < 2; mode++) {
            for (k = 0; k <= n_takes; k++) { /* 0: none fails, and is counted */
                before = h.n_takes; h.fail_at = k ? before + k : 0; h.fail_on = mode;
                m2 = NULL; c = NULL; s = NULL; e.text[0] = 0;
                r = what == 0 ? lm_model_open(&m2, &d, &e) : what == 1 ? lm_ctx_open(&c, m, &cd, &e) : what == 2 ? lm_tokenize(m, text,
                    sizeof text - 1, 0, out, 64, &n_ids) : lm_sampler_open(&s, m, &sd, &e);
                if (k == 0) { n_takes = h.n_takes - before; CHECK_STATUS(r, LM_OK); }
                else if (r != LM_E_MEMORY || m2 || c || s) { CHECK_STATUS(r, LM_E_MEMORY);
                    note("%s: take %lu, %s", names[what], (unsigned long)k, e.text); }
                else if (what != 2 && (e.status != LM_E_MEMORY || e.text[0] == 0)) FAIL("no message for a failed allocation");
                lm_model_close(m2); lm_ctx_close(c); lm_sampler_close(s);
                if (h.live != live || h.bad) { FAIL("leak");
                    note("%s: take %lu failed: %lu bytes more than before", names[what], (unsigned long)k, (unsigned long)(h.live - live));
                    live = h.live; }
                total += k > 0;
                h.fail_at = 0;
                if (k > 0 && what == 2 && lm_tokenize(m, "the", 3, 0, out, 64, &n_ids) != LM_OK) FAIL("the next call works");
            }
        }
        CHECK(n_takes > 0);
        note("%s: %lu allocations, each failed alone and with all after it", names[what], (unsigned long)n_takes);
    }
    lm_model_close(m);
    CHECK(h.live == 0 && h.n_live == 0 && h.bad == 0);
    CHECK(total >= 8);
}

/* Exactly the bytes asked for, at any alignment, suffice and are not passed; one less is LM_E_MEMORY. */
static void blocks(const bytes *file, const float *want) {
    static const size_t shift[] = { 0, 1, 24, 63 };
    size_t k, nm = 0, nc = 0, ns = 0; lm_model_desc d; lm_ctx_desc cd; lm_sampler_desc sd; lm_step st; lm_error e; heap h;
    memset(&h, 0, sizeof h); memset(&d, 0, sizeof d); memset(&cd, 0, sizeof cd); memset(&sd, 0, sizeof sd); memset(&st, 0, sizeof st);
    d.source.data = file->p; d.source.size = file->n; d.hooks = heap_hooks(&h);
    cd.n_ctx = 64; cd.n_batch = 16; cd.n_threads = 1; cd.hooks = d.hooks; sd.hooks = d.hooks; sd.steps = &st; sd.n_steps = 1;
    st.kind = LM_STEP_TOP_K; st.n = 5;
    CHECK_STATUS(lm_model_size(&d, &nm, &e), LM_OK);
    for (k = 0; k < 4; k++) {
        char *raw[3], *p[3]; size_t n[3]; int i, j; lm_model *m = NULL; lm_ctx *c = NULL; lm_sampler *s = NULL;
        n[0] = nm;
        for (i = 0; i < 3; i++) {
            if (i == 1) { CHECK_STATUS(lm_ctx_size(m, &cd, &nc, &e), LM_OK); n[1] = nc; }
            if (i == 2) { CHECK_STATUS(lm_sampler_size(m, &sd, &ns, &e), LM_OK); n[2] = ns; }
            raw[i] = (char *)malloc(n[i] + 192);
            if (raw[i] == NULL) return;
            memset(raw[i], 0x5a, n[i] + 192);
            p[i] = raw[i] + 64 - (uintptr_t)raw[i] % 64 + shift[k];
            if (i == 0) { d.block = p[0]; d.block_bytes = nm - 1; CHECK_STATUS(lm_model_open(&m, &d, &e), LM_E_MEMORY); d.block_bytes = nm;
                CHECK_STATUS(lm_model_open(&m, &d, &e), LM_OK); if (!m) { note("%s", e.text); free(raw[0]); return; } }
            if (i == 1) { cd.block = p[1]; cd.block_bytes = nc - 1; CHECK_STATUS(lm_ctx_open(&c, m, &cd, &e), LM_E_MEMORY); cd.block_bytes = nc;
                CHECK_STATUS(lm_ctx_open(&c, m, &cd, &e), LM_OK); }
            if (i == 2) { sd.block = p[2]; sd.block_bytes = ns - 1; CHECK_STATUS(lm_sampler_open(&s, m, &sd, &e), LM_E_MEMORY); sd.block_bytes = ns;
                CHECK_STATUS(lm_sampler_open(&s, m, &sd, &e), LM_OK); }
        }
        CHECK(h.live == 0);           /* with blocks, nothing of the hooks' is kept */
        if (c) { CHECK_STATUS(feed(c, ids, N), LM_OK); CHECK_BITS(lm_logits(c, -1), want, row_bytes); CHECK(lm_sample(c, -1, s) >= 0); }
        lm_sampler_close(s); lm_ctx_close(c); lm_model_close(m);
        for (i = 0; i < 3; i++) {
            int touched = 0;
            for (j = 0; j < 64; j++) touched |= p[i][n[i] + (size_t)j] != 0x5a;
            for (j = 1; j <= (int)(p[i] - raw[i]); j++) touched |= p[i][-j] != 0x5a;
            CHECK(!touched);
            free(raw[i]);
        }
    }
    CHECK(h.live == 0 && h.bad == 0);
    note("blocks of %lu, %lu and %lu bytes, at four alignments", (unsigned long)nm, (unsigned long)nc, (unsigned long)ns);
}

static void no_allocation(const bytes *file) {
    heap h; lm_hooks k; lm_model_desc d; lm_model *m = NULL; lm_ctx *c; lm_sampler *s = NULL; lm_sampler_desc sd; lm_step st[6]; int i; size_t takes;
    char text[64]; size_t n; const lm_candidate *cand;
    memset(&h, 0, sizeof h); memset(&d, 0, sizeof d); memset(&sd, 0, sizeof sd); memset(st, 0, sizeof st);
    k = heap_hooks(&h); d.hooks = k; d.source.data = file->p; d.source.size = file->n;
    CHECK_STATUS(lm_model_open(&m, &d, NULL), LM_OK);
    if (m == NULL) return;
    c = ctx_of(m, 256, 16, 1, &k, 2);
    st[0].kind = LM_STEP_PENALTIES; st[0].repeat = 1.1f; st[1].kind = LM_STEP_TOP_K; st[1].n = 40; st[2].kind = LM_STEP_TYPICAL_P; st[2].p = 0.9f;
    st[3].kind = LM_STEP_TOP_P; st[3].p = 0.95f; st[4].kind = LM_STEP_MIN_P; st[4].p = 0.01f; st[5].kind = LM_STEP_TEMP; st[5].temp = 0.8f;
    sd.steps = st; sd.n_steps = 6; sd.hooks = k; sd.seed = 7;
    CHECK_STATUS(lm_sampler_open(&s, m, &sd, NULL), LM_OK);
    if (c == NULL || s == NULL) return;
    takes = h.n_takes;
    for (i = 0; i < 30; i++) {
        lm_token t;
        if (feed(c, ids, 1 + i % 7) != LM_OK) FAIL("decode");
        t = lm_sample(c, -1, s);
        if (t < 0) FAIL("sample");
        (void)lm_sampler_candidates(s, &cand);
        (void)lm_detokenize(m, &t, 1, LM_TEXT_CONTINUES, text, sizeof text, &n);
        if (i % 10 == 9) (void)lm_rewind(c, 0, 5);
    }
    CHECK(h.n_takes == takes && h.n_gives <= takes);
    note("30 rounds of decode, sample, detokenize, rewind: %lu allocations", (unsigned long)(h.n_takes - takes));
    lm_sampler_close(s); lm_ctx_close(c); lm_model_close(m);
    CHECK(h.live == 0 && h.bad == 0);
}

/* ---- hooks */
typedef struct blob { const uint8_t *p; size_t n; } blob;
static int blob_read(void *user, uint64_t offset, void *dst, size_t n_bytes) {
    const blob *b = (const blob *)user;
    if (offset > b->n || n_bytes > b->n - offset) return 1;
    memcpy(dst, b->p + offset, n_bytes);
    return 0;
}
typedef struct hook_state { int calls, cancel_at, jobs; uint64_t last; int backwards; } hook_state;
static int on_progress(void *user, uint64_t done, uint64_t total) {
    hook_state *h = (hook_state *)user;
    h->calls++;
    if (done > total || done < h->last) h->backwards = 1;
    h->last = done;
    return h->cancel_at && h->calls >= h->cancel_at;
}
static void for_backwards(void *user, int n, void (*job)(void *, int), void *arg) {
    int i;
    ((hook_state *)user)->jobs++;
    for (i = n; i-- > 0; ) job(arg, i);
}
static void hooks_of_the_host(const lm_model *m, const bytes *file, const float *want) {
    hook_state s; lm_hooks k; lm_ctx *c; lm_model_desc d; lm_model *m2; int i, calls, t; lm_status r; blob whole;
    memset(&k, 0, sizeof k); memset(&d, 0, sizeof d);
    for (t = 0; t <= 5; t += 1) { /* the host's own job system, jobs in reverse order */
        memset(&s, 0, sizeof s); memset(&k, 0, sizeof k);
        k.user = &s; k.parallel_for = for_backwards;
        c = ctx_of(m, 64, 16, 1, &k, t);
        if (c == NULL) return;
        CHECK_STATUS(feed(c, ids, N), LM_OK);
        CHECK_BITS(lm_logits(c, -1), want, row_bytes);
        if (t > 1) CHECK(s.jobs > 0);
        lm_ctx_close(c);
    }
    memset(&s, 0, sizeof s); memset(&k, 0, sizeof k);
    k.user = &s; k.progress = on_progress;
    d.source.data = file->p; d.source.size = file->n; d.hooks = k;
    m2 = NULL;
    CHECK_STATUS(lm_model_open(&m2, &d, NULL), LM_OK);
    lm_model_close(m2);
    for (t = 0; t < 2; t++) { /* from memory, and read */
        if (t == 1) { whole.p = file->p; whole.n = file->n; d.source.data = NULL; d.source.read_at = blob_read; d.source.user = &whole;
            memset(&s, 0, sizeof s); m2 = NULL; CHECK_STATUS(lm_model_open(&m2, &d, NULL), LM_OK); lm_model_close(m2); }
        calls = s.calls;
        CHECK(calls > t); CHECK(t == 1 || !s.backwards); /* reading is a first pass over the bytes, checking a second */
        for (i = 1; i <= calls; i++) {
            memset(&s, 0, sizeof s); s.cancel_at = i; m2 = NULL;
            if (lm_model_open(&m2, &d, NULL) != LM_E_CANCEL || m2 != NULL || s.calls != i) { FAIL("opening is cancelled"); lm_model_close(m2); }
        }
        note("opening %s cancelled at each of %d calls", t ? "through read_at" : "in memory", calls);
    }
    memset(&s, 0, sizeof s);
    c = ctx_of(m, 64, 16, 1, &k, 1);
    if (c == NULL) return;
    CHECK_STATUS(feed(c, ids, N), LM_OK);
    calls = s.calls;
    CHECK(calls > 1); CHECK(!s.backwards);
    for (i = 1; i <= calls; i++) {
        CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
        CHECK_STATUS(feed(c, ids, 7), LM_OK);
        memset(&s, 0, sizeof s); s.cancel_at = i;
        r = feed(c, ids + 7, N - 7);
        CHECK_STATUS(r, s.calls >= i ? LM_E_CANCEL : LM_OK);
        CHECK(lm_seq_len(c, 0) == (s.calls >= i ? 7 : N));
        CHECK(s.calls < i || (lm_logits(c, -1) == NULL && lm_ctx_error(c)[0] != 0));
        memset(&s, 0, sizeof s);
        CHECK_STATUS(lm_rewind(c, 0, 7), LM_OK);
        CHECK_STATUS(feed(c, ids + 7, N - 7), LM_OK);
        CHECK_BITS(lm_logits(c, -1), want, row_bytes);
    }
    note("a decode cancelled at each of %d calls", calls);
    lm_ctx_close(c);
}

/* A prompt of 1,000 tokens cancelled half-way, by the hook and between slices. */
static void cancel_half_way(const lm_model *m) {
    hook_state s; lm_hooks k; lm_ctx *c, *fresh; int total, way, steps; lm_batch b; lm_status r;
    memset(&k, 0, sizeof k); memset(&s, 0, sizeof s); memset(&b, 0, sizeof b);
    k.user = &s; k.progress = on_progress;
    c = ctx_of(m, 1100, 64, 1, &k, 2); fresh = ctx_of(m, 1100, 64, 1, NULL, 1);
    if (c == NULL || fresh == NULL) return;
    CHECK_STATUS(feed(fresh, ids, 20), LM_OK);
    CHECK_STATUS(feed(fresh, ids + 500, 30), LM_OK);
    CHECK_STATUS(feed(c, ids, 1000), LM_OK);
    total = s.calls;
    CHECK(total >= 16);
    for (way = 0; way < 2; way++) {
        CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
        memset(&s, 0, sizeof s);
        CHECK_STATUS(feed(c, ids, 20), LM_OK);
        if (way == 0) {
            s.calls = 0; s.cancel_at = total / 2;
            CHECK_STATUS(feed(c, ids, 1000), LM_E_CANCEL);
            s.cancel_at = 0;
        } else {
            b.ids = ids; b.n = 1000;
            CHECK_STATUS(lm_decode_begin(c, &b), LM_OK);
            for (steps = 0; steps < total / 2; steps++) { r = lm_decode_step(c, 0); if (r != LM_MORE) { CHECK_STATUS(r, LM_MORE); break; } }
            lm_decode_cancel(c);
        }
        CHECK(lm_seq_len(c, 0) == 20);
        s.last = 0;
        CHECK_STATUS(feed(c, ids + 500, 30), LM_OK);
        CHECK_BITS(lm_logits(c, -1), lm_logits(fresh, -1), row_bytes);
    }
    note("1000 tokens are %d layers' work, cancelled at %d; then 30 tokens, bits as of a fresh context", total, total / 2);
    lm_ctx_close(c); lm_ctx_close(fresh);
}

/* ---- the same bits, however the work is cut */
static void slices(const lm_model *m, const float *want) {
    lm_ctx *c = ctx_of(m, 64, 8, 1, NULL, 2); lm_batch b; lm_status r; int i, steps; static const uint32_t budget[] = { 0, 1, 50, 4000000000u };
    memset(&b, 0, sizeof b);
    b.ids = ids; b.n = N;
    for (i = 0; c && i < 4; i++) {
        CHECK_STATUS(lm_decode_begin(c, &b), LM_OK);
        for (steps = 1; (r = lm_decode_step(c, budget[i])) == LM_MORE && steps < 10000; steps++) {}
        CHECK_STATUS(r, LM_OK);
        CHECK_BITS(lm_logits(c, -1), want, row_bytes);
        CHECK(lm_seq_len(c, 0) == N);
        if (i == 0) { CHECK(steps >= 2 * N / 8 - 1); note("%d tokens in %d slices", N, steps); }
        if (i == 3) CHECK(steps == 1);
        CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
    }
    for (i = 0; c && i < 3; i++) { /* other calls between the slices: refused, or the begun decode is dropped; never half of each */
        CHECK_STATUS(lm_decode_begin(c, &b), LM_OK);
        CHECK_STATUS(lm_decode_step(c, 0), LM_MORE);
        CHECK(lm_seq_len(c, 0) == 0);
        CHECK(lm_logits(c, -1) == NULL);
        if (i == 0) (void)lm_rewind(c, 0, 0);
        if (i == 1) (void)feed(c, ids + 300, 9);
        if (i == 2) CHECK_STATUS(lm_decode_begin(c, &b), LM_OK);
        lm_decode_cancel(c);
        lm_decode_cancel(c);
        CHECK_STATUS(lm_decode_step(c, 0), LM_E_ARG);
        CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
        CHECK_STATUS(feed(c, ids, N), LM_OK);
        CHECK_BITS(lm_logits(c, -1), want, row_bytes);
        CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
    }
    if (c) CHECK_STATUS(lm_decode_begin(c, &b), LM_OK); /* closed in the middle */
    lm_ctx_close(c);
}
static void rewinding(const lm_model *m, const float *want) {
    lm_ctx *c = ctx_of(m, 64, 16, 2, NULL, 1); int k;
    if (c == NULL) return;
    for (k = 0; k < N; k += 5) {
        CHECK_STATUS(feed(c, ids, k + 3 < N ? k + 3 : N), LM_OK);
        CHECK_STATUS(feed(c, ids + 600, 9), LM_OK);              /* other text, taken back */
        CHECK_STATUS(lm_rewind(c, 0, k), LM_OK);
        CHECK(lm_seq_len(c, 0) == k);
        CHECK_STATUS(feed(c, ids + k, N - k), LM_OK);
        CHECK_BITS(lm_logits(c, -1), want, row_bytes);
        CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
    }
    CHECK_STATUS(lm_rewind(c, 0, 1), LM_E_ARG);
    CHECK_STATUS(lm_rewind(c, 0, -1), LM_E_ARG);
    CHECK_STATUS(lm_rewind(c, 2, 0), LM_E_ARG);
    CHECK_STATUS(lm_rewind(c, -1, 0), LM_E_ARG);
    CHECK(lm_seq_len(c, 2) == -1 && lm_seq_len(c, -1) == -1 && lm_seq_len(c, 1) == 0);
    lm_ctx_close(c);
}
static void sequences(const lm_model *m, const float *want) {
    lm_ctx *c = ctx_of(m, 64, 16, 3, NULL, 2), *one = ctx_of(m, 64, 16, 1, NULL, 1); lm_token mix[2 * N]; int32_t seq[2 * N]; uint8_t flag[2 * N];
    lm_batch b; int i, na = 0, nb = 0, last_a = 0, last_b = 0; float *other;
    if (c == NULL || one == NULL) return;
    CHECK_STATUS(feed(one, ids + 100, N), LM_OK);
    other = (float *)malloc(row_bytes);
    if (other == NULL) return;
    memcpy(other, lm_logits(one, -1), row_bytes);
    memset(&b, 0, sizeof b); memset(flag, 0, sizeof flag);
    for (i = 0; i < 2 * N; i++) { /* uneven turns */
        int a = nb == N || (na < N && (i * 7 % 5 < 3));
        seq[i] = a ? 2 : 0; mix[i] = a ? ids[na] : ids[100 + nb];
        if (a) { na++; last_a = i; } else { nb++; last_b = i; }
    }
    flag[last_a] = LM_WANT_LOGITS; flag[last_b] = LM_WANT_LOGITS;
    b.ids = mix; b.seq = seq; b.want = flag; b.n = 2 * N;
    CHECK_STATUS(lm_decode(c, &b), LM_OK);
    CHECK_BITS(lm_logits(c, last_a), want, row_bytes);
    CHECK_BITS(lm_logits(c, last_b), other, row_bytes);
    CHECK(lm_seq_len(c, 0) == N && lm_seq_len(c, 1) == 0 && lm_seq_len(c, 2) == N);
    note("two sequences of %d tokens mixed in batches of 16", N);
    free(other); lm_ctx_close(c); lm_ctx_close(one);
}
#if defined(__unix__)
typedef struct worker { const lm_model *m; const float *want; int bad; } worker;
static void *work(void *arg) { /* no checks in here: the harness counts from one thread */
    worker *w = (worker *)arg; int i; lm_ctx_desc d; lm_ctx *c = NULL; lm_token out[16]; size_t n;
    memset(&d, 0, sizeof d);
    d.n_ctx = 64; d.n_batch = 16; d.n_threads = 2;
    if (lm_ctx_open(&c, w->m, &d, NULL) != LM_OK) { w->bad = 1; return NULL; }
    for (i = 0; i < 5; i++) {
        if (feed(c, ids, N) != LM_OK || memcmp(lm_logits(c, -1), w->want, row_bytes) != 0) w->bad = 1;
        if (lm_tokenize(w->m, "the cat", 7, 0, out, 16, &n) != LM_OK) w->bad = 1;
        (void)lm_rewind(c, 0, 0);
    }
    lm_ctx_close(c);
    return NULL;
}
static void shared_model(const lm_model *m, const float *want) {
    pthread_t t[4]; worker w[4]; int i;
    for (i = 0; i < 4; i++) { w[i].m = m; w[i].want = want; w[i].bad = 0;
        if (pthread_create(&t[i], NULL, work, &w[i]) != 0) { FAIL("pthread_create"); return; } }
    for (i = 0; i < 4; i++) { pthread_join(t[i], NULL); CHECK(!w[i].bad); }
    note("four threads with a context each on one model");
}
#endif
static void float_modes(const lm_model *m, const float *want) { /* a host that flushes subnormals or rounds otherwise */
#if defined(__SSE2__)
    static const unsigned modes[] = { 0x9fc0, 0x3f80, 0x5f80, 0x7f80 }; int i; unsigned was = _mm_getcsr();
    lm_ctx *c = ctx_of(m, 64, 16, 1, NULL, 2);
    for (i = 0; c && i < 4; i++) {
        lm_status s; unsigned after;
        _mm_setcsr(modes[i]);
        s = feed(c, ids, N);
        after = _mm_getcsr();
        _mm_setcsr(was);
        CHECK_STATUS(s, LM_OK);
        CHECK((after & 0xffc0) == (modes[i] & 0xffc0));
        CHECK_BITS(lm_logits(c, -1), want, row_bytes);
        CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
    }
    lm_ctx_close(c);
    note("flush-to-zero and three rounding modes of the host: the same bits, and its mode is kept");
#else
    (void)m; (void)want;
#endif
}

/* ---- limits */
static void limits(const lm_model *m) {
    lm_ctx *c = ctx_of(m, 64, 16, 2, NULL, 1); lm_batch b; lm_token bad[2]; int32_t seq[2]; uint8_t all[N + 1]; lm_ctx_desc d; lm_ctx *c2 = NULL;
    lm_error e; lm_counters k; lm_ctx_info ci; lm_model_info mi; size_t size; int i; lm_status r;
    if (c == NULL) return;
    memset(&b, 0, sizeof b); memset(all, LM_WANT_LOGITS, sizeof all);
    CHECK(lm_logits(c, -1) == NULL && lm_logits(c, 0) == NULL && lm_embedding(c, -1) == NULL);
    CHECK(lm_sample(c, -1, NULL) == LM_E_ARG);
    CHECK_STATUS(feed(c, ids, 65), LM_E_FULL);                  /* a text longer than the context */
    CHECK(lm_seq_len(c, 0) == 0 && lm_ctx_error(c)[0] != 0);
    CHECK_STATUS(feed(c, ids, 60), LM_OK);
    CHECK(lm_ctx_error(c)[0] == 0);
    CHECK_STATUS(feed(c, ids, 5), LM_E_FULL);
    CHECK(lm_seq_len(c, 0) == 60);
    CHECK(lm_logits(c, -1) == NULL);                            /* no results are kept */
    CHECK_STATUS(feed(c, ids, 4), LM_OK);
    CHECK_STATUS(feed(c, ids, 1), LM_E_FULL);
    CHECK(lm_seq_len(c, 0) == 64);
    bad[0] = 5; bad[1] = n_vocab; seq[0] = 1; seq[1] = 1; b.ids = bad; b.seq = seq; b.n = 2;
    CHECK_STATUS(lm_decode(c, &b), LM_E_ARG);
    bad[1] = -1; CHECK_STATUS(lm_decode(c, &b), LM_E_ARG);
    bad[1] = 6; seq[1] = 2; CHECK_STATUS(lm_decode(c, &b), LM_E_ARG);
    seq[1] = -1; CHECK_STATUS(lm_decode(c, &b), LM_E_ARG);
    seq[1] = 0; CHECK_STATUS(lm_decode(c, &b), LM_E_FULL);      /* the other sequence is full */
    b.n = 0; CHECK_STATUS(lm_decode(c, &b), LM_E_ARG);
    b.n = -3; CHECK_STATUS(lm_decode(c, &b), LM_E_ARG);
    b.n = 1; b.ids = NULL; CHECK_STATUS(lm_decode(c, &b), LM_E_ARG);
    CHECK(lm_seq_len(c, 0) == 64 && lm_seq_len(c, 1) == 0);
    CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
    b.ids = ids; b.seq = NULL; b.want = all; b.n = N + 1;
    CHECK_STATUS(lm_decode(c, &b), LM_E_FULL);                  /* more results than n_logits */
    CHECK(lm_seq_len(c, 0) == 0);
    memset(all, 0, sizeof all); all[2] = LM_WANT_LOGITS; all[5] = LM_WANT_EMBEDDING;
    b.n = 8;
    lm_counters_reset(c);
    CHECK_STATUS(lm_decode(c, &b), LM_OK);
    CHECK(lm_logits(c, 2) != NULL && lm_logits(c, 0) == NULL && lm_logits(c, 7) == NULL && lm_logits(c, -1) == NULL && lm_logits(c, 8) == NULL
        && lm_logits(c, -2) == NULL);
    CHECK(lm_embedding(c, 2) != NULL && lm_embedding(c, 5) != NULL && lm_embedding(c, 1) == NULL);
    CHECK(lm_ctx_model(c) == m);
    lm_get_counters(c, &k);
    CHECK(k.n_tokens == 8 && k.n_decodes == 1 && k.n_macs > 8u * 2u * 32u * 32u);
    lm_ctx_get_info(c, &ci); lm_model_get_info(m, &mi);
    CHECK(ci.n_ctx == 64 && ci.n_batch == 16 && ci.n_seq == 2 && ci.n_logits == N && ci.n_threads == 1);
    CHECK(ci.n_block_bytes >= ci.n_cache_bytes + ci.n_result_bytes);
    lm_ctx_close(c);
    memset(&d, 0, sizeof d);
    d.n_threads = 1;
    CHECK_STATUS(lm_ctx_open(&c2, m, &d, &e), LM_OK);           /* zeros are the defaults */
    if (c2) { lm_ctx_get_info(c2, &ci); CHECK(ci.n_ctx == 2048 && ci.n_batch == 512 && ci.n_seq == 1 && ci.n_logits == 1); }
    lm_ctx_close(c2); c2 = NULL;
    for (i = 0; i < 8; i++) {
        memset(&d, 0, sizeof d); d.n_threads = 1;
        if (i == 0) d.n_ctx = -1; else if (i == 1) d.n_batch = -1; else if (i == 2) d.n_seq = -1; else if (i == 3) d.n_logits = -1;
        else if (i == 4) d.n_threads = -1;
        else if (i == 5) d.cache_type = (lm_cache_type)9; else if (i == 6) d.compute = (lm_compute)9; else { d.n_ctx = 0x7fffffff;
            d.n_seq = 0x7fffffff; d.n_logits = 0x7fffffff; }
        r = lm_ctx_open(&c2, m, &d, &e);
        if ((r != LM_E_ARG && !(r == LM_E_MEMORY && i == 7)) || c2 != NULL) { FAIL("a context of impossible measures");
            note("case %d: %s", i, e.text); }
        size = 5;
        if (i < 7) { CHECK_STATUS(lm_ctx_size(m, &d, &size, &e), LM_E_ARG); CHECK(size == 5); }
    }
    CHECK_STATUS(lm_ctx_open(NULL, m, &d, NULL), LM_E_ARG);
    lm_model_close(NULL); lm_ctx_close(NULL); lm_sampler_close(NULL);
}
static void cache_size(void) { /* the header's formula, with heads of 32 */
    bytes b = tiny_gguf("Q8_0"); lm_model *m = open_bytes(b); int t;
    for (t = 0; m && t < 3; t++) { /* the enum's order: f16, f32, q8_0 */
        lm_ctx_desc d; lm_ctx *c = NULL; lm_ctx_info i; size_t n = 0;
        memset(&d, 0, sizeof d); d.n_ctx = 100; d.n_seq = 3; d.n_batch = 16; d.n_threads = 1; d.cache_type = (lm_cache_type)t;
        CHECK_STATUS(lm_ctx_size(m, &d, &n, NULL), LM_OK);
        CHECK_STATUS(lm_ctx_open(&c, m, &d, NULL), LM_OK);
        if (c == NULL) break;
        lm_ctx_get_info(c, &i);
        CHECK(i.n_cache_bytes == (uint64_t)3 * 2 * 128 * 2 * (t == 2 ? 34 + 34 : (32 + 32) * (t ? 4 : 2)));
        CHECK(i.n_block_bytes == n);
        note("cache of 100 positions, 3 sequences: %lu bytes of a block of %lu", (unsigned long)i.n_cache_bytes, (unsigned long)n);
        lm_ctx_close(c);
    }
    lm_model_close(m); free(b.p);
}
static void not_a_number(void) { /* weights that are no numbers are found where they appear */
    static const uint8_t bits[4] = { 0, 0, 0xc0, 0x7f }; static const char *const models[] = { "nano", "odd" }; int i, k;
    for (k = 0; k < 2; k++) {
        gguf_writer g; bytes b; lm_model *m; lm_ctx *c;
        tiny_writer(tiny_find(models[k]), &g);
        for (i = 0; i < g.n_tensor; i++) if (strcmp(g.tensor[i].name, k ? "blk.2.ffn_norm.weight"
            : "blk.1.ffn_norm.weight") == 0) memcpy(g.tensor[i].data + 12, bits, 4);
        b = gguf_write(&g);
        m = open_bytes(b);
        c = m ? ctx_of(m, 64, 16, 1, NULL, 2) : NULL;
        if (c) CHECK_STATUS(feed(c, ids, 5), LM_E_NUMERIC);
        for (i = 0; c && i < 2; i++) { /* also where no logits are asked for */
            lm_batch q; uint8_t want[5];
            memset(&q, 0, sizeof q); memset(want, i ? LM_WANT_EMBEDDING : 0, sizeof want);
            q.ids = ids; q.n = 5; q.want = want;
            CHECK(lm_seq_len(c, 0) == 0 && lm_ctx_error(c)[0] != 0 && lm_logits(c, -1) == NULL);
            CHECK_STATUS(lm_decode(c, &q), LM_E_NUMERIC);
            CHECK(lm_seq_len(c, 0) == 0 && lm_embedding(c, 0) == NULL);
        }
        lm_ctx_close(c); lm_model_close(m); free(b.p); gguf_free(&g);
    }
}

/* ---- origins of the bytes */
static void same_bits(lm_model_desc *d, const char *what, const float *want) {
    lm_model *m = NULL; lm_error e; lm_ctx *c; lm_status s; e.text[0] = 0;
    s = lm_model_open(&m, d, &e);
    if (s != LM_OK) { CHECK_STATUS(s, LM_OK); note("%s: %s", what, e.text); return; }
    c = ctx_of(m, 64, 16, 1, NULL, 1);
    if (c) { CHECK_STATUS(feed(c, ids, N), LM_OK); CHECK_BITS(lm_logits(c, -1), want, row_bytes); }
    lm_ctx_close(c); lm_model_close(m);
}
static void origins(const bytes *file, const float *want) {
    static const char *const path = "build/test-origin.gguf", *const parts[3] = {
        "build/test-origin-00001-of-00003.gguf", "build/test-origin-00002-of-00003.gguf", "build/test-origin-00003-of-00003.gguf" };
    lm_model_desc d; bytes part[3]; lm_source src[3]; blob b, pb[3]; int i; uint8_t *off = (uint8_t *)malloc(file->n + 8); lm_model *m = NULL;
    lm_model_info info;
    if (off == NULL) return;
    memset(&d, 0, sizeof d);
    if (write_file(path, file->p, file->n) != 0) { FAIL("cannot write into build/"); free(off); return; }
    d.path = path; same_bits(&d, "path", want);
    d.path = NULL; d.source.path = path; same_bits(&d, "source.path", want);
    memset(&d, 0, sizeof d);
    for (i = 0; i < 8; i++) { memcpy(off + i, file->p, file->n); d.source.data = off + i; d.source.size = file->n;
        same_bits(&d, "memory at any alignment", want); }
    memset(&d, 0, sizeof d);
    b.p = file->p; b.n = file->n; d.source.read_at = blob_read; d.source.user = &b; d.source.size = file->n; same_bits(&d, "read_at", want);
    tiny_split(tiny_find("nano"), part);
    memset(&d, 0, sizeof d); memset(src, 0, sizeof src);
    for (i = 0; i < 3; i++) {
        if (write_file(parts[i], part[i].p, part[i].n) != 0) FAIL("cannot write into build/");
        src[i].data = part[i].p; src[i].size = part[i].n; pb[i].p = part[i].p; pb[i].n = part[i].n;
    }
    d.path = parts[0]; same_bits(&d, "split, by name", want);
    if (lm_model_open(&m, &d, NULL) == LM_OK) { lm_model_get_info(m, &info); CHECK(info.n_parts == 3);
        CHECK(info.n_file_bytes == part[0].n + part[1].n + part[2].n); lm_model_close(m); }
    d.path = parts[1]; m = NULL;
    CHECK(lm_model_open(&m, &d, NULL) != LM_OK && m == NULL);   /* the first part names the others */
    d.path = NULL; d.parts = src; d.n_parts = 3; same_bits(&d, "split, from memory", want);
    for (i = 0; i < 3; i++) { memset(&src[i], 0, sizeof src[i]); src[i].read_at = blob_read; src[i].user = &pb[i]; src[i].size = pb[i].n; }
    same_bits(&d, "split, read_at", want);
    memset(&src[1], 0, sizeof src[1]); src[1].path = parts[1];
    same_bits(&d, "split, mixed", want);
    remove(parts[2]);
    memset(&d, 0, sizeof d); d.path = parts[0];
    { lm_error e; CHECK_STATUS(lm_model_open(&m, &d, &e), LM_E_IO); CHECK(strstr(e.text, "00003-of-00003") != NULL); }
    note("path, memory at eight alignments, read_at, and a split in three ways: the same bits");
    remove(path); remove(parts[0]); remove(parts[1]);
    for (i = 0; i < 3; i++) free(part[i].p);
    free(off);
}

/* ---- asking */
static void asking(const lm_model *m) {
    lm_model_info i; lm_meta v, item; lm_tensor t; int k, found = 0; char key[80];
    static const lm_status all[] = { LM_OK, LM_MORE, LM_E_ARG, LM_E_MEMORY, LM_E_IO, LM_E_FORMAT, LM_E_SUPPORT, LM_E_FULL, LM_E_NUMERIC, LM_E_CANCEL,
        LM_E_BUILD };
    CHECK(lm_version() == LLAMA_VERSION);
    sprintf(key, "%d.%d.%d", LLAMA_VERSION / 10000, LLAMA_VERSION / 100 % 100, LLAMA_VERSION % 100);
    CHECK(strcmp(key, LLAMA_VERSION_TEXT) == 0);
    for (k = 0; k < 11; k++) CHECK(strcmp(lm_status_text(all[k]), "unknown status") != 0);
    CHECK(strcmp(lm_status_text((lm_status)77), "unknown status") == 0);
    lm_model_get_info(m, &i);
    CHECK(strcmp(i.arch, "llama") == 0 && i.n_embd == 32 && i.n_layer == 2 && i.n_head == 4 && i.n_head_kv == 2 && i.n_ff == 64
        && i.n_embd_head_k == 8 && i.n_embd_head_v == 8);
    CHECK(i.n_rot == 8 && i.n_swa == 0 && !i.tied && i.n_ctx_train == 2048 && i.rope_scaling == LM_ROPE_NONE && i.n_parts == 1);
    CHECK(i.rope_freq_base > 9999 && i.rope_freq_base < 10001 && i.rms_eps > 0.9e-5f && i.rms_eps < 1.1e-5f && i.n_vocab == n_vocab);
    CHECK_STATUS(lm_meta_find(m, "general.architecture", &v), LM_OK);
    CHECK(v.type == LM_META_STR && v.text_bytes == 5 && memcmp(v.text, "llama", 5) == 0);
    CHECK_STATUS(lm_meta_find(m, "llama.block_count", &v), LM_OK);
    CHECK(v.type == LM_META_U32 && v.i == 2 && v.f == 2.0 && v.n == 1);
    CHECK_STATUS(lm_meta_find(m, "no.such.key", &v), LM_E_ARG);
    CHECK_STATUS(lm_meta_find(m, "tokenizer.ggml.tokens", &v), LM_OK);
    CHECK(v.type == LM_META_ARR && v.item == LM_META_STR && v.n == (uint64_t)n_vocab);
    CHECK_STATUS(lm_meta_item(&v, 2, &item), LM_OK);
    CHECK(item.text_bytes == 4 && memcmp(item.text, "</s>", 4) == 0);
    CHECK_STATUS(lm_meta_item(&v, v.n, &item), LM_E_ARG);
    CHECK_STATUS(lm_meta_find(m, "tokenizer.ggml.scores", &v), LM_OK);
    CHECK_STATUS(lm_meta_item(&v, 300, &item), LM_OK);
    CHECK(item.type == LM_META_F32 && item.f == -300.0);
    CHECK_STATUS(lm_meta_at(m, -1, &v), LM_E_ARG);
    CHECK_STATUS(lm_meta_at(m, lm_meta_count(m), &v), LM_E_ARG);
    for (k = 0; k < lm_meta_count(m); k++) { CHECK_STATUS(lm_meta_at(m, k, &v), LM_OK);
        found += v.key_bytes == 12 && memcmp(v.key, "general.name", 12) == 0; }
    CHECK(found == 1);
    CHECK(lm_tensor_count(m) == 21);
    CHECK_STATUS(lm_tensor_at(m, 0, &t), LM_OK);
    CHECK(t.name_bytes == 17 && memcmp(t.name, "token_embd.weight", 17) == 0 && t.type == 8 && t.n_dims == 2 && t.dims[0] == 32
        && t.dims[1] == (uint64_t)n_vocab && t.dims[2] == 1 && t.dims[3] == 1);
    CHECK(t.n_bytes == 34u * (uint64_t)n_vocab && t.part == 0 && t.data != NULL);
    CHECK_STATUS(lm_tensor_at(m, 21, &t), LM_E_ARG);
    CHECK_STATUS(lm_tensor_at(m, -1, &t), LM_E_ARG);
    CHECK(strcmp(lm_type_name(12), "Q4_K") == 0 && strcmp(lm_type_name(0), "F32") == 0 && strcmp(lm_type_name(-1), "?") == 0
        && strcmp(lm_type_name(999), "?") == 0);
}
static void embeddings(const lm_model *m) { /* the logits are the output matrix times the hidden state */
    lm_ctx *c = open_ctx(m, 64, 16, 1, LM_CACHE_F32, LM_COMPUTE_F32, 1); lm_tensor t; int k, i, v; float row[32]; const float *h, *l;
    if (c == NULL) return;
    CHECK_STATUS(feed(c, ids, 9), LM_OK);
    h = lm_embedding(c, -1); l = lm_logits(c, -1);
    CHECK(h != NULL && l != NULL);
    for (k = 0; h && l && k < lm_tensor_count(m); k++) {
        if (lm_tensor_at(m, k, &t) != LM_OK || t.name_bytes != 13 || memcmp(t.name, "output.weight", 13) != 0) continue;
        for (v = 0; v < n_vocab; v++) {
            double sum = 0;
            if (lm_dequantize(t.type, (const uint8_t *)t.data + 34 * v, 32, row) != LM_OK) { FAIL("lm_dequantize"); break; }
            for (i = 0; i < 32; i++) sum += (double)row[i] * (double)h[i];
            CHECK_NEAR(l[v], sum, 1e-4);
        }
    }
    lm_ctx_close(c);
}

void test_api(void);
void test_api(void) {
    bytes file = tiny_gguf("nano"); lm_model *m = open_bytes(file); lm_model_info info; int i; lm_ctx *c; float *want;
    if (m == NULL) { free(file.p); return; }
    lm_model_get_info(m, &info);
    n_vocab = info.n_vocab; row_bytes = (size_t)n_vocab * sizeof(float);
    for (i = 0; i < 1024; i++) ids[i] = (lm_token)((unsigned)(i * i * 31 + i * 7 + 5) % (unsigned)n_vocab);
    asking(m);
    c = ctx_of(m, 64, 64, 1, NULL, 1);
    want = (float *)malloc(row_bytes);
    if (c && want && feed(c, ids, N) == LM_OK && lm_logits(c, -1)) {
        memcpy(want, lm_logits(c, -1), row_bytes);
        failing_takes(&file);
        blocks(&file, want);
        no_allocation(&file);
        hooks_of_the_host(m, &file, want);
        cancel_half_way(m);
        slices(m, want);
        rewinding(m, want);
        sequences(m, want);
#if defined(__unix__)
        shared_model(m, want);
#endif
        float_modes(m, want);
        limits(m);
        cache_size();
        not_a_number();
        origins(&file, want);
        embeddings(m);
    } else { FAIL("the first decode"); if (c) note("%s", lm_ctx_error(c)); }
    lm_ctx_close(c); lm_model_close(m);
    free(want); free(file.p);
}
