/* LoRA adapters: as merging them, several at once, a different one for each sequence, taken off again; and files that are none. */
#include "tiny.h"

#define TOKENS 40
static lm_token ids[200];
static int n_vocab;
static lm_ctx *ctx_of(const lm_model *m, int n_batch, int n_seq, int n_threads, lm_compute compute) {
    lm_ctx_desc d; lm_ctx *c = NULL; lm_error e;
    memset(&d, 0, sizeof d);
    d.n_ctx = 128; d.n_batch = n_batch; d.n_seq = n_seq; d.n_logits = 128; d.n_threads = n_threads; d.compute = compute; d.cache_type = compute ? LM_CACHE_F32 : LM_CACHE_F16;
    if (lm_ctx_open(&c, m, &d, &e) != LM_OK) { FAIL("lm_ctx_open"); note("%s", e.text); }
    return c;
}
static float get_f32(const uint8_t *p) { uint32_t u = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; float f; memcpy(&f, &u, 4); return f; }
static void set_f32(uint8_t *p, float f) { uint32_t u; memcpy(&u, &f, 4); p[0] = (uint8_t)u; p[1] = (uint8_t)(u >> 8); p[2] = (uint8_t)(u >> 16); p[3] = (uint8_t)(u >> 24); }

/* A random adapter for every matrix of a model (of every other one: `some`), in the format of llama.cpp's converter; and, where merged is given, its
 * F32 matrices become W + scale * alpha / rank * B A. */
static bytes adapter_of(const gguf_writer *g, uint64_t seed, int rank, float alpha, const char *type, int some, gguf_writer *merged, float scale) {
    gguf_writer a; bytes b; rng r; int i, k = 0; char name[64]; r.s = seed;
    memset(&a, 0, sizeof a);
    gguf_str(&a, "general.type", "adapter"); gguf_str(&a, "general.architecture", "llama"); gguf_str(&a, "adapter.type", "lora");
    if (alpha != 0) gguf_f32(&a, "adapter.lora.alpha", alpha);
    for (i = 0; i < g->n_tensor; i++) {
        const gguf_tensor_in *t = &g->tensor[i]; size_t n_a, n_b, x, y, j; int number, embd = strcmp(t->name, "token_embd.weight") == 0; uint8_t *fa, *fb;
        uint64_t n_in = t->dims[0], n_out = t->dims[1];
        if (t->n_dims != 2 || (some && k++ % 2)) continue;
        fa = tiny_tensor(&r, type, (embd ? n_out : n_in) * (uint64_t)rank, -4, &n_a, &number);
        fb = tiny_tensor(&r, type, (embd ? n_in : n_out) * (uint64_t)rank, -4, &n_b, &number);
        for (x = 0; merged && x < (size_t)n_out; x++) for (y = 0; y < (size_t)n_in; y++) {
            double sum = 0; uint8_t *w = merged->tensor[i].data + 4 * (x * (size_t)n_in + y);
            for (j = 0; j < (size_t)rank; j++) sum += embd ? (double)get_f32(fa + 4 * (x * (size_t)rank + j)) * (double)get_f32(fb + 4 * (y * (size_t)rank + j))
                : (double)get_f32(fb + 4 * (x * (size_t)rank + j)) * (double)get_f32(fa + 4 * (j * (size_t)n_in + y));
            set_f32(w, (float)((double)get_f32(w) + (double)scale * (alpha != 0 ? (double)alpha / rank : 1.0) * sum));
        }
        sprintf(name, "%.50s.lora_a", t->name); gguf_tensor(&a, name, number, 2, embd ? (uint64_t)rank : n_in, embd ? n_out : (uint64_t)rank, fa, n_a);
        sprintf(name, "%.50s.lora_b", t->name); gguf_tensor(&a, name, number, 2, (uint64_t)rank, embd ? n_in : n_out, fb, n_b);
    }
    b = gguf_write(&a); gguf_free(&a);
    return b;
}
static lm_status open_adapter(lm_adapter **a, const lm_model *m, bytes b, lm_error *e) {
    lm_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.source.data = b.p; d.source.size = b.n;
    return lm_adapter_open(a, m, &d, e);
}
static lm_adapter *must_open(const lm_model *m, bytes b) {
    lm_adapter *a = NULL; lm_error e;
    if (open_adapter(&a, m, b, &e) != LM_OK) { FAIL("lm_adapter_open"); note("%s", e.text); }
    return a;
}
static uint64_t sum_of(lm_ctx *c, int seq, const lm_token *t, int n, float *last) { /* of all rows; the sequence is emptied first */
    lm_batch b; int32_t s[200]; uint8_t want[200]; uint64_t h = FNV1A; int i;
    memset(&b, 0, sizeof b); memset(want, LM_WANT_LOGITS, sizeof want);
    for (i = 0; i < n; i++) s[i] = seq;
    b.ids = t; b.n = n; b.seq = s; b.want = want;
    CHECK_STATUS(lm_rewind(c, seq, 0), LM_OK);
    if (lm_decode(c, &b) != LM_OK) { FAIL("decode"); note("%s", lm_ctx_error(c)); return 0; }
    for (i = 0; i < n; i++) h = fnv1a_floats(h, lm_logits(c, i), (size_t)n_vocab);
    if (last) memcpy(last, lm_logits(c, -1), (size_t)n_vocab * sizeof *last);
    return h;
}

static void merging(const char *model, float alpha, float scale, int some, double tol) { /* two adapters at once, against both merged */
    gguf_writer g, w; bytes base, merged, a, a2; lm_model *m, *mm; lm_adapter *x, *y; lm_ctx *c, *cm; int i; double worst = 0, moved = 0; float *got, *want, *bare;
    tiny_writer(tiny_find(model), &g); tiny_writer(tiny_find(model), &w);
    base = gguf_write(&g);
    a = adapter_of(&g, 5, 4, alpha, "F32", some, &w, scale); a2 = adapter_of(&g, 6, 3, 0, "F32", 1, &w, -0.5f);
    merged = gguf_write(&w);
    m = open_bytes(base); mm = open_bytes(merged);
    if (m == NULL || mm == NULL) return;
    got = (float *)malloc((size_t)n_vocab * sizeof *got); want = (float *)malloc((size_t)n_vocab * sizeof *got); bare = (float *)malloc((size_t)n_vocab * sizeof *got);
    x = must_open(m, a); y = must_open(m, a2); c = ctx_of(m, 16, 1, 2, LM_COMPUTE_F32); cm = ctx_of(mm, 16, 1, 1, LM_COMPUTE_F32);
    if (x && y && c && cm && got && want && bare) {
        (void)sum_of(c, 0, ids, TOKENS, bare);
        CHECK_STATUS(lm_adapter_attach(c, 0, x, scale), LM_OK); CHECK_STATUS(lm_adapter_attach(c, 0, y, -0.5f), LM_OK);
        (void)sum_of(c, 0, ids, TOKENS, got); (void)sum_of(cm, 0, ids, TOKENS, want);
        for (i = 0; i < n_vocab; i++) { double e = fabs((double)got[i] - (double)want[i]), d = fabs((double)got[i] - (double)bare[i]); if (e > worst) worst = e; if (d > moved) moved = d; }
        CHECK(worst < tol * moved && moved > 0.01);
        note("%s, alpha %g: two adapters move logits by up to %.3g, at most %.2g from merging them", model, (double)alpha, moved, worst);
    }
    lm_ctx_close(c); lm_ctx_close(cm); lm_adapter_close(x); lm_adapter_close(y); lm_model_close(m); lm_model_close(mm);
    free(got); free(want); free(bare); free(base.p); free(merged.p); free(a.p); free(a2.p); gguf_free(&g); gguf_free(&w);
}

/* Bits: two sequences with two adapters in one batch equal each alone, at any threads and batches; taken off and put on again; and known on all machines. */
static void one_answer(const char *model, uint64_t known) {
    gguf_writer g; bytes base, fa, fb; lm_model *m; lm_adapter *a, *b; lm_ctx *c; uint64_t bare, with[3], h; int i, k, n[2], last[2]; lm_batch mix; lm_token t[2 * TOKENS];
    int32_t seq[2 * TOKENS]; uint8_t want[2 * TOKENS]; float *row[2], *other; lm_sampler *s = NULL; size_t bytes_row = (size_t)n_vocab * sizeof(float); static uint8_t state[400000]; size_t ns;
    tiny_writer(tiny_find(model), &g); base = gguf_write(&g);
    fa = adapter_of(&g, 1, 4, 8, "F32", 0, NULL, 0); fb = adapter_of(&g, 2, 20, 0, "F16", 1, NULL, 0);
    gguf_free(&g);
    m = open_bytes(base);
    if (m == NULL) return;
    a = must_open(m, fa); b = must_open(m, fb); c = ctx_of(m, 16, 3, 2, LM_COMPUTE_AUTO);
    row[0] = (float *)malloc(bytes_row); row[1] = (float *)malloc(bytes_row); other = (float *)malloc(bytes_row);
    if (a == NULL || b == NULL || c == NULL || !row[0] || !row[1] || !other) return;
    bare = sum_of(c, 0, ids, TOKENS, NULL);
    for (k = 0; k < 3; k++) { /* a alone, b alone, a then b; each on other threads and batches */
        for (i = 0; i < 3; i++) {
            lm_ctx *d = ctx_of(m, i == 0 ? 128 : i == 1 ? 1 : 7, 2, 1 + i, LM_COMPUTE_AUTO); int sq = i % 2;
            if (d == NULL) return;
            if (k != 1) CHECK_STATUS(lm_adapter_attach(d, sq, a, 1), LM_OK);
            if (k != 0) CHECK_STATUS(lm_adapter_attach(d, sq, b, 0.7f), LM_OK);
            h = sum_of(d, sq, ids, TOKENS, k < 2 ? row[k] : NULL);
            if (i == 0) with[k] = h; else CHECK(h == with[k]);
            lm_ctx_close(d);
        }
        CHECK(with[k] != bare && (k == 0 || with[k] != with[0]));
    }
    CHECK(with[2] == known);
    if (with[2] != known) note("%s: 0x%08lx%08lx", model, (unsigned long)(with[2] >> 32), (unsigned long)(with[2] & 0xffffffffu));
    CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
    CHECK_STATUS(lm_adapter_attach(c, 0, a, 1), LM_OK); CHECK_STATUS(lm_adapter_attach(c, 2, b, 0.7f), LM_OK); /* and 1 has none */
    n[0] = n[1] = 0;
    for (i = 0; i < 2 * TOKENS; i++) { k = n[1] == TOKENS || (n[0] < TOKENS && i % 5 < 2) ? 0 : 1; t[i] = ids[n[k]++]; seq[i] = 2 * k; want[i] = n[k] == TOKENS; last[k] = i; }
    memset(&mix, 0, sizeof mix); mix.ids = t; mix.n = 2 * TOKENS; mix.seq = seq; mix.want = want;
    CHECK_STATUS(lm_decode(c, &mix), LM_OK);
    for (k = 0; k < 2; k++) CHECK_BITS(lm_logits(c, last[k]), row[k], bytes_row);
    CHECK(sum_of(c, 1, ids, TOKENS, NULL) == bare);
    CHECK_STATUS(lm_fork(c, 2, 1), LM_OK); CHECK(sum_of(c, 1, ids, TOKENS, NULL) == with[1]);           /* a fork has them too */
    CHECK_STATUS(lm_save(c, 1, s, state, sizeof state, &ns), LM_OK);                                     /* and a saved state asks for them */
    CHECK_STATUS(lm_restore(c, 2, s, state, ns), LM_OK); CHECK_STATUS(lm_restore(c, 0, s, state, ns), LM_E_ARG); CHECK(strstr(lm_ctx_error(c), "adapters") != NULL);
    CHECK_STATUS(lm_adapter_attach(c, 2, b, 0.8f), LM_OK); CHECK_STATUS(lm_restore(c, 2, s, state, ns), LM_E_ARG);
    CHECK_STATUS(lm_adapter_attach(c, 2, b, 0.7f), LM_OK); CHECK(sum_of(c, 2, ids, TOKENS, NULL) == with[1]);
    CHECK_STATUS(lm_adapter_detach(c, 1, NULL), LM_OK);
    for (i = 0; i < 10; i++) { /* put on and taken off */
        CHECK_STATUS(lm_adapter_attach(c, 1, a, 1), LM_OK); CHECK_STATUS(lm_adapter_attach(c, 1, b, 0.7f), LM_OK);
        CHECK(sum_of(c, 1, ids, TOKENS, NULL) == with[2]);
        CHECK_STATUS(lm_adapter_detach(c, 1, a), LM_OK); CHECK(sum_of(c, 1, ids, TOKENS, NULL) == with[1]);
        CHECK_STATUS(lm_adapter_detach(c, 1, b), LM_OK); CHECK(sum_of(c, 1, ids, TOKENS, NULL) == bare);
    }
    CHECK_STATUS(lm_adapter_detach(c, 1, b), LM_E_ARG); CHECK_STATUS(lm_adapter_detach(c, 9, b), LM_E_ARG); CHECK_STATUS(lm_adapter_attach(c, 9, b, 1), LM_E_ARG);
    CHECK_STATUS(lm_adapter_attach(c, 1, NULL, 1), LM_E_ARG); CHECK_STATUS(lm_adapter_attach(c, 1, b, (float)HUGE_VAL), LM_E_ARG);
    free(row[0]); free(row[1]); free(other); lm_ctx_close(c); lm_adapter_close(a); lm_adapter_close(b); lm_model_close(m); free(base.p); free(fa.p); free(fb.p);
}

/* Files that are no adapters of this model: refused with one line, and nothing is kept. */
typedef struct reader { const uint8_t *p; size_t n; } reader;
static int read_part(void *user, uint64_t at, void *to, size_t n) { reader *r = (reader *)user; if (at > r->n || n > r->n - at) return 1; memcpy(to, r->p + at, n); return 0; }
static void refuse(const lm_model *m, bytes b, lm_status want, const char *text) {
    lm_adapter *a = NULL; lm_error e; lm_status s = open_adapter(&a, m, b, &e);
    CHECK_STATUS(s, want);
    if (s == LM_OK || strstr(e.text, text) == NULL) { FAIL("the message"); note("%s: expected: %s", e.text, text); }
    lm_adapter_close(a); free(b.p);
}
static void hostile(void) {
    gguf_writer g, w; bytes base, a, b; lm_model *m, *other; lm_adapter *x; lm_error e; rng r; int i, k, opened = 0; size_t n; heap h; lm_adapter_desc d; reader rd; lm_ctx *c;
    static const struct { const char *from, *to; } names[] = { { "blk.1.attn_q.weight.lora_a", "blk.7.attn_q.weight.lora_a" }, { "blk.1.attn_q.weight.lora_a", "blk.1.attn_x.weight.lora_a" },
        { "blk.1.attn_q.weight.lora_a", "blk.1.attn_q.weight.lora_b" }, { "output.weight.lora_b", "outpux.weight.lora_b" } };
    tiny_writer(tiny_find("nano"), &g); base = gguf_write(&g);
    m = open_bytes(base); { bytes o = tiny_gguf("odd"); other = open_bytes(o); base.cap = 0; (void)o;
    if (m == NULL || other == NULL) return;
    a = adapter_of(&g, 3, 4, 8, "F32", 0, NULL, 0);
    refuse(other, adapter_of(&g, 3, 4, 8, "F32", 0, NULL, 0), LM_E_FORMAT, "expected [");
    { bytes z = { NULL, 0, 0 }; tiny_writer(tiny_find("tied"), &w); b = gguf_write(&w); { lm_model *t = open_bytes(b); z = adapter_of(&w, 3, 4, 8, "F32", 0, NULL, 0);
      refuse(t, z, LM_E_SUPPORT, "token_embd"); lm_model_close(t); } free(b.p); gguf_free(&w); }
    for (k = 0; k < 4; k++) for (b = adapter_of(&g, 3, 4, 8, "F32", 0, NULL, 0), n = 0, i = 0; n + strlen(names[k].from) <= b.n; n++) if (memcmp(b.p + n, names[k].from, strlen(names[k].from)) == 0) {
        memcpy(b.p + n, names[k].to, strlen(names[k].to)); i = 1;
        if (i) { refuse(m, b, LM_E_FORMAT, k == 2 ? "twice" : "lora_"); break; }
    }
    for (k = 0; k < 6; k++) { /* heads */
        memset(&w, 0, sizeof w);
        if (k != 0) gguf_str(&w, "general.type", k == 1 ? "model" : "adapter");
        gguf_str(&w, "general.architecture", k == 2 ? "gemma" : "llama"); gguf_str(&w, "adapter.type", k == 3 ? "ia3" : "lora");
        if (k == 4) gguf_f32(&w, "adapter.lora.alpha", (float)NAN);
        b = gguf_write(&w); gguf_free(&w);
        refuse(m, b, k == 2 ? LM_E_ARG : k == 3 ? LM_E_SUPPORT : LM_E_FORMAT, k < 2 ? "general.type" : k == 2 ? "gemma" : k == 3 ? "ia3" : k == 4 ? "alpha" : "no tensors");
    }
    b = gguf_write(&g); refuse(m, b, LM_E_FORMAT, "general.type");               /* a model is no adapter */
    b = adapter_of(&g, 3, 40, 0, "F32", 0, NULL, 0); refuse(m, b, LM_E_FORMAT, "rank 40");
    b = adapter_of(&g, 3, 4, 0, "F32", 0, NULL, 0); memset(b.p + b.n - 5, 0xff, 4); refuse(m, b, LM_E_FORMAT, "no number");
    /* where the bytes come from, and every allocation failed */
    memset(&d, 0, sizeof d); memset(&h, 0, sizeof h);
    rd.p = a.p; rd.n = a.n; d.source.read_at = read_part; d.source.user = &rd; d.source.size = a.n; d.hooks = heap_hooks(&h);
    x = NULL; CHECK_STATUS(lm_adapter_open(&x, m, &d, &e), LM_OK);
    k = (int)h.n_takes; lm_adapter_close(x); CHECK(h.live == 0 && h.bad == 0 && k > 1);
    for (i = 1; i <= k; i++) { x = NULL; memset(&h, 0, sizeof h); h.fail_at = (size_t)i; CHECK_STATUS(lm_adapter_open(&x, m, &d, &e), LM_E_MEMORY); CHECK(x == NULL && h.live == 0 && h.bad == 0); }
    note("an adapter opened through read_at with each of %d allocations failed", k);
    /* every truncation, and random changes: refused, or used */
    r.s = 21; memset(&d, 0, sizeof d); c = ctx_of(m, 16, 1, 1, LM_COMPUTE_AUTO);
    for (n = 0; n < a.n; n += n < 4000 ? 1 : 97) {
        uint8_t *q = (uint8_t *)malloc(n + 1); bytes cut; x = NULL;
        if (q == NULL) return;
        memcpy(q, a.p, n); cut.p = q; cut.n = n; cut.cap = 0;
        if (n > 0 && (open_adapter(&x, m, cut, &e) == LM_OK || x != NULL || e.text[0] == 0 || strchr(e.text, '\n'))) FAIL("a file cut off is refused with a line");
        free(q);
    }
    for (i = 0; i < 2000 && c; i++) {
        bytes q; int changes = 1 + (int)(rng_u32(&r) % 3); lm_status s; x = NULL;
        q.p = (uint8_t *)malloc(a.n); q.n = a.n; q.cap = 0;
        if (q.p == NULL) return;
        memcpy(q.p, a.p, a.n);
        for (; changes > 0; changes--) q.p[rng_u32(&r) % (rng_u32(&r) % 4 ? 2400 : a.n)] ^= (uint8_t)(1u << rng_u32(&r) % 8);
        s = open_adapter(&x, m, q, &e);
        if (s != LM_OK && (e.text[0] == 0 || strchr(e.text, '\n'))) FAIL("with one line");
        if (s == LM_OK) {
            lm_batch bt; memset(&bt, 0, sizeof bt); bt.ids = ids; bt.n = 3; opened++;
            CHECK_STATUS(lm_adapter_attach(c, 0, x, 1), LM_OK);
            s = lm_decode(c, &bt);
            if (s != LM_OK && s != LM_E_NUMERIC) FAIL("after it");
            CHECK_STATUS(lm_adapter_detach(c, 0, x), LM_OK); CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK);
        }
        lm_adapter_close(x); free(q.p);
    }
    note("every truncation refused; of 2000 changed adapters %d opened", opened);
    CHECK(opened > 10 && opened < 1990);
    lm_ctx_close(c); lm_model_close(m); lm_model_close(other); free(o.p); }
    free(a.p); free(base.p); gguf_free(&g);
}
void test_adapter(void);
void test_adapter(void) {
    bytes b = tiny_gguf("F32"); lm_model *m = open_bytes(b); lm_model_info info;
    if (m == NULL) return;
    lm_model_get_info(m, &info); n_vocab = info.n_vocab; tiny_tokens(ids, 200, n_vocab);
    lm_model_close(m); free(b.p);
    merging("F32", 8, 1, 0, 2e-4); merging("odd", 0, 0.3f, 0, 2e-4); merging("F32", -3, 0.5f, 1, 2e-4);
    one_answer("nano", 0x0152a3c58926d242u); one_answer("odd", 0xcf188a66e2af3cc1u); one_answer("pages", 0x652e1bd1469e447au);
    hostile();
}
