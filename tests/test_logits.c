/* Whole models: against the reference of others, against the committed checksums, and against themselves cut and spread otherwise. */
#define _POSIX_C_SOURCE 200112L
#include "tiny.h"

static const char *const isas[] = { /* of this kind of processor */
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
    "sse2", "avx2", "avxvnni", "avx512",
#elif defined(__aarch64__)
    "neon", "neondot", "neoni8mm",
#endif
    "scalar"
};
#define N_ISA ((int)(sizeof isas / sizeof isas[0]))
static char *isa_was;
static void set_isa(const char *isa) { /* NULL: as the tests were started */
#if defined(_WIN32)
    static char text[64];
    sprintf(text, "LLAMA_ISA=%s", isa ? isa : isa_was ? isa_was : "");
    _putenv(text);
#else
    if (isa == NULL) isa = isa_was;
    if (isa) setenv("LLAMA_ISA", isa, 1); else unsetenv("LLAMA_ISA");
#endif
}
static int slow(int k) { return strcmp(isas[k], "sse2") == 0 || strcmp(isas[k], "scalar") == 0; } /* they compute what fma gives in steps */
static int has_isa(const char *isa) { /* are these the kernels that a model opened now uses? */
    bytes b = tiny_gguf("nano"); lm_model *m; lm_model_info i; int yes = 0;
    set_isa(isa);
    m = open_bytes(b);
    if (m) { lm_model_get_info(m, &i); yes = strcmp(i.isa, isa) == 0; }
    lm_model_close(m); free(b.p);
    set_isa(NULL);
    return yes;
}

/* ---- the project's own tiny models */
static void tiny_models(void) {
    int i, k, ran = 0, n_isa = 0;
    for (k = 0; k < N_ISA; k++) {
        if (!has_isa(isas[k])) { printf("  %s: ", isas[k]); SKIP_PART("cpu"); continue; }
        n_isa++;
        for (i = 0; i < tiny_count(); i++) {
            static const int threads[] = { 1, 2, 3 }, batch[] = { TINY_LONG, 7, 1 };
            const tiny_spec *s = tiny_at(i); int j, n = slow(k) && test_quick() ? 4 : tiny_length(s);
            const uint64_t *want = tiny_known(s->name, n); uint64_t sum[MODES]; float range[2];
            if (!CHECK(want != NULL)) { note("%s: no committed checksum", s->name); continue; }
            for (j = 0; j < 3; j++) {
                int bad, run;
                if (slow(k) && j != i % 3) continue; /* each model one way, the ways in turn */
                set_isa(isas[k]);
                bad = tiny_sums(s, n, sum, j % 2, threads[j], batch[j], range);
                set_isa(NULL);
                CHECK(!bad);
                for (run = 0; run < MODES; run++) if (!CHECK(sum[run] == want[run])) note("%s, %s, %d threads, batches of %d, layout %d: other logits %s",
                    s->name, isas[k], threads[j], batch[j], j % 2, run == 0 ? "with the defaults" : run == 1 ? "in float32" : "with q8_0 cache");
                CHECK(range[1] - range[0] > 1 && range[1] < 1000 && range[0] > -1000);
                ran++;
            }
        }
    }
    note("%d tiny models, %d runs of %d tokens and more, instruction sets: %d", tiny_count(), ran, TINY_TOKENS, n_isa);
}

/* ---- the reference's tiny models */
static double max_diff(const float *a, const float *b, size_t n) {
    double d = 0; size_t i;
    for (i = 0; i < n; i++) { double x = fabs((double)a[i] - (double)b[i]); if (!(x <= d)) d = x; } /* a NaN stays */
    return d;
}
static int argmax(const float *l, int n) { int i, k = 0; for (i = 1; i < n; i++) if (l[i] > l[k]) k = i; return k; }

/* A cache of 8 bits is near one of float16, though not the same: the root of the mean square of the logits' differences. */
static void q8_cache(void) {
    static const lm_cache_type types[2] = { LM_CACHE_F16, LM_CACHE_Q8_0 };
    bytes file = tiny_gguf("pages"); lm_model *m = open_bytes(file); lm_model_info info; lm_token ids[TINY_LONG]; float *l[2] = { NULL, NULL }; int i;
    size_t n = 0, k; double sum = 0, all = 0;
    if (m) { lm_model_get_info(m, &info); tiny_tokens(ids, TINY_LONG, info.n_vocab); n = (size_t)TINY_LONG * (size_t)info.n_vocab; }
    for (i = 0; m && i < 2; i++) {
        lm_ctx *c = open_ctx(m, TINY_LONG, 64, 64, types[i], LM_COMPUTE_F32, 2);
        l[i] = c ? all_logits(c, ids, TINY_LONG, 64) : NULL;
        lm_ctx_close(c);
    }
    if (CHECK(l[0] && l[1])) {
        for (k = 0; k < n; k++) { sum += ((double)l[0][k] - (double)l[1][k]) * ((double)l[0][k] - (double)l[1][k]); all += (double)l[0][k] * (double)l[0][k]; }
        CHECK(sum > 0);
        if (!CHECK(sqrt(sum / all) < 0.02)) note("q8_0 cache: logits differ by %g of their size", sqrt(sum / all));
        else note("q8_0 cache: logits differ by %.2g of their size from those with an f16 cache", sqrt(sum / all));
    }
    free(l[0]); free(l[1]); lm_model_close(m); free(file.p);
}

static void reference_model(const char *name, const char *gguf) {
    int n_isa = 0, n_ways = 0;
    char path[200]; json *tokens = NULL, *expected = NULL; lm_token *ids = NULL, *greedy = NULL, next; float *want = NULL, *got = NULL, *f16 = NULL;
    size_t n_bytes, size; int n, n_greedy, k, j, i; double tol, diff, diff16, lo = 1e30, hi = -1e30;
    lm_model_desc d; lm_model *m = NULL; lm_error e; lm_model_info info; lm_ctx *c = NULL;
    sprintf(path, "reference/tiny/%.80s/tokens.json", name); tokens = json_file(data_path(path));
    sprintf(path, "reference/tiny/%.80s/expected.json", name); expected = json_file(data_path(path));
    sprintf(path, "reference/tiny/%.80s/logits.f32", name); want = (float *)read_file(data_path(path), &n_bytes);
    if (!CHECK(tokens && expected && want)) { note("%s: the reference is incomplete", name); goto end; }
    n = (int)json_ids(tokens, &ids); n_greedy = (int)json_ids(json_get(json_get(expected, "greedy"), "ids"), &greedy);
    tol = json_number(json_get(expected, "tolerance"), "float32_compute_max_abs", 0);
    memset(&d, 0, sizeof d); d.path = gguf; e.text[0] = 0;
    CHECK_STATUS(lm_model_open(&m, &d, &e), LM_OK);
    if (m == NULL) { note("%s: %s", name, e.text); goto end; }
    lm_model_get_info(m, &info);
    size = (size_t)n * (size_t)info.n_vocab;
    if (!CHECK(n_bytes == size * sizeof(float)) || !CHECK(tol > 0 && n_greedy == 24)) goto end;
    for (i = 0; i < (int)size; i++) { if ((double)want[i] < lo) lo = (double)want[i]; if ((double)want[i] > hi) hi = (double)want[i]; }
    c = open_ctx(m, n + n_greedy, n, n, LM_CACHE_F32, LM_COMPUTE_F32, 2);
    got = c ? all_logits(c, ids, n, n) : NULL;
    if (got == NULL) goto end;
    diff = max_diff(got, want, size);
    if (!CHECK(diff <= tol)) note("%s: logits differ by %g, %g is allowed", name, diff, tol);
    next = argmax(got + (size_t)(n - 1) * (size_t)info.n_vocab, info.n_vocab);
    for (k = 0; k < n_greedy; k++) {
        lm_batch b;
        if (!CHECK(next == greedy[k])) { note("%s: greedy id %d is %d, expected %d", name, k, (int)next, (int)greedy[k]); break; }
        memset(&b, 0, sizeof b); b.ids = &next; b.n = 1;
        CHECK_STATUS(lm_decode(c, &b), LM_OK);
        next = lm_sample(c, -1, NULL);
    }
    lm_ctx_close(c); c = NULL;
    c = open_ctx(m, n, n, n, LM_CACHE_F16, LM_COMPUTE_AUTO, 2); /* the defaults */
    f16 = c ? all_logits(c, ids, n, n) : NULL;
    if (f16 == NULL) goto end;
    diff16 = max_diff(f16, want, size);
    if (!CHECK(diff16 <= 2e-3 * (hi - lo))) note("%s: f16 cache: logits differ by %g, %g is allowed", name, diff16, 2e-3 * (hi - lo));
    lm_ctx_close(c); c = NULL;
    for (k = 1; k <= 3; k++) for (j = 0; j < 3; j++) { /* threads and batches */
        float *again; int some = k == 1 || n < 100 ? n : 100, batch = j == 0 ? 1 : j == 1 ? 7 : some; /* more threads than cores take their time */
        if (test_quick() && (k != 2 || j == 1)) continue;
        n_ways++;
        c = open_ctx(m, some, batch, some, LM_CACHE_F16, LM_COMPUTE_AUTO, k);
        again = c ? all_logits(c, ids, some, batch) : NULL;
        CHECK_BITS(again, f16, (size_t)some * (size_t)info.n_vocab * sizeof(float));
        free(again); lm_ctx_close(c); c = NULL;
    }
    lm_model_close(m); m = NULL;
    for (k = 0; k < N_ISA; k++) { /* the instruction sets, both arithmetics, both layouts; the first 40 tokens */
        float *again; int few = n < 40 ? n : 40;
        if (!has_isa(isas[k]) || (test_quick() && slow(k))) continue;
        n_isa++; d.plain_layout = k == 1;
        set_isa(isas[k]);
        CHECK_STATUS(lm_model_open(&m, &d, &e), LM_OK);
        set_isa(NULL);
        for (j = 0; m && j < 2; j++) {
            c = open_ctx(m, few, 32, few, j ? LM_CACHE_F32 : LM_CACHE_F16, j ? LM_COMPUTE_F32 : LM_COMPUTE_AUTO, 2);
            again = c ? all_logits(c, ids, few, few) : NULL;
            CHECK_BITS(again, j ? got : f16, (size_t)few * (size_t)info.n_vocab * sizeof(float));
            free(again); lm_ctx_close(c); c = NULL;
        }
        lm_model_close(m); m = NULL;
    }
    note("%-22s %3d tokens: float32 within %.2g (%.2g allowed), f16 cache within %.2g (%.2g), greedy equal; %d ways, %d instruction sets", name, n,
        diff, tol, diff16, 2e-3 * (hi - lo), n_ways, n_isa);
end:
    lm_ctx_close(c); lm_model_close(m);
    free(got); free(f16); free(want); free(ids); free(greedy); json_free(tokens); json_free(expected);
}

/* ---- SmolLM2, the first 128 tokens of the reference text in float32 */
static void smollm2(void) {
    const char *path = smollm2_path(), *ppl = data_path("reference/smollm2/perplexity.json"), *nll_path = data_path("reference/smollm2/nll.f32");
    json *p; float *nll, *l = NULL, *a, *b; size_t n_bytes; lm_token *ids = NULL; lm_model_desc d; lm_model *m = NULL; lm_error e; lm_ctx *c = NULL;
    lm_model_info info; int n = 129, i; double worst = 0;
    if (path == NULL) { SKIP_PART("no model (make model)"); return; }
    if (ppl == NULL || nll_path == NULL) { SKIP_PART(NO_DATA); return; }
    p = json_file(ppl); nll = (float *)read_file(nll_path, &n_bytes);
    if (!CHECK(p && nll && json_ids(json_get(p, "ids"), &ids) > (size_t)n && n_bytes > 4u * (size_t)n)) goto end;
    memset(&d, 0, sizeof d); d.path = path; e.text[0] = 0;
    CHECK_STATUS(lm_model_open(&m, &d, &e), LM_OK);
    if (m == NULL) { note("%s", e.text); goto end; }
    lm_model_get_info(m, &info);
    c = open_ctx(m, n, 64, 64, LM_CACHE_F32, LM_COMPUTE_F32, 2);
    l = c ? all_logits(c, ids, n - 1, 64) : NULL;
    for (i = 0; l && i < n - 1; i++) {
        const float *row = l + (size_t)i * (size_t)info.n_vocab; double max = (double)row[argmax(row, info.n_vocab)], sum = 0, got; int v;
        for (v = 0; v < info.n_vocab; v++) sum += exp((double)row[v] - max);
        got = max + log(sum) - (double)row[ids[i + 1]];
        CHECK_NEAR(got, nll[i], 1e-3);
        if (fabs(got - (double)nll[i]) > worst) worst = fabs(got - (double)nll[i]);
    }
    lm_ctx_close(c);
    c = open_ctx(m, 64, 32, 32, LM_CACHE_F16, LM_COMPUTE_AUTO, 2); /* the defaults: one at a time as at once */
    a = c ? all_logits(c, ids, 24, 24) : NULL;
    lm_ctx_close(c);
    c = open_ctx(m, 64, 32, 32, LM_CACHE_F16, LM_COMPUTE_AUTO, 1);
    b = c ? all_logits(c, ids, 24, 1) : NULL;
    CHECK_BITS(a, b, 24 * (size_t)info.n_vocab * sizeof(float));
    free(a); free(b);
    note("SmolLM2: nll of %d tokens within %.2g; 24 tokens one by one as in a batch", n - 1, worst);
end:
    lm_ctx_close(c); lm_model_close(m);
    free(l); free(ids); free(nll); json_free(p);
}

void test_logits(void);
void test_logits(void) {
    static const char *const names[] = { "gqa2_untied_bf16", "gqa3_tied_f16", "gqa4_llama31_bf16", "gqa4_llama3_small_bf16", "gqa8_bias_f16",
        "linear_type_key_bf16",
        "mha_tied_f32", "mistral_swa_bf16", "mqa_headdim_f32", "no_theta_defaults", "sharded_mixed", "yarn_bf16" };
    int i; char path[200]; const char *was = getenv("LLAMA_ISA");
    if (was) { isa_was = (char *)malloc(strlen(was) + 1); if (isa_was) strcpy(isa_was, was); }
    tiny_models();
    q8_cache();
    if (data_path("reference/gguf/README.md") == NULL) SKIP_PART(NO_DATA);
    else for (i = 0; i < 12; i++) {
        const char *gguf;
        sprintf(path, "reference/gguf/%s.gguf", names[i]);
        gguf = data_path(path);
        if (gguf == NULL) { FAIL("a model of the reference is gone"); note("%s", names[i]); continue; }
        reference_model(names[i], gguf);
    }
    smollm2();
    free(isa_was); isa_was = NULL;
}
