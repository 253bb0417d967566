/* Probabilities: of one row, of given tokens, of options; and that together is the same as alone. */
#include "tiny.h"

static lm_ctx *ctx_of(const lm_model *m, int n_ctx, int n_batch, int n_seq, int n_logits, int n_threads) {
    lm_ctx_desc d; lm_ctx *c = NULL; lm_error e;
    memset(&d, 0, sizeof d);
    d.n_ctx = n_ctx; d.n_batch = n_batch; d.n_seq = n_seq; d.n_logits = n_logits; d.n_threads = n_threads;
    if (lm_ctx_open(&c, m, &d, &e) != LM_OK) { FAIL("lm_ctx_open"); note("%s", e.text); }
    return c;
}
static void rows(void) {
    float x[300]; rng r; int round, i, k, n; lm_ranked top[40]; double z, max; r.s = 8;
    for (round = 0; round < 200; round++) {
        int n_vocab = 1 + (int)(rng_u32(&r) % 300);
        for (i = 0; i < n_vocab; i++) x[i] = (float)((int)(rng_u32(&r) % 2000) - 1000) / (round % 3 ? 50.0f : 1000.0f);
        if (round % 4 == 0) x[rng_u32(&r) % (uint32_t)n_vocab] = -HUGE_VALF;
        for (max = -1e30, i = 0; i < n_vocab; i++) if (x[i] > max) max = x[i];
        for (z = 0, i = 0; i < n_vocab; i++) z += exp(x[i] - max);
        for (i = 0; i < n_vocab && n_vocab > 1; i++) {
            double p = lm_logprob(x, n_vocab, i);
            if (x[i] == -HUGE_VALF) CHECK(p == -HUGE_VAL); else CHECK_NEAR(p, x[i] - max - log(z), 1e-12);
        }
        n = lm_top_logprobs(x, n_vocab, top, 40);
        CHECK(n <= 40 && (n == 40 || n >= n_vocab - 1));
        for (k = 0; k < n; k++) {
            CHECK(top[k].logprob == lm_logprob(x, n_vocab, top[k].id));
            if (k) CHECK(x[top[k].id] < x[top[k - 1].id] || (x[top[k].id] == x[top[k - 1].id] && top[k].id > top[k - 1].id));
        }
        for (i = 0; n > 0 && i < n_vocab; i++) { /* nothing better was left out */
            for (k = 0; k < n && top[k].id != i; k++) {}
            if (k == n && n == 40) CHECK(x[i] < x[top[n - 1].id] || (x[i] == x[top[n - 1].id] && i > top[n - 1].id));
        }
    }
    x[0] = (float)NAN; x[1] = 3; x[2] = -HUGE_VALF;
    CHECK(lm_logprob(x, 3, 1) == 0 && lm_logprob(x, 3, 2) == -HUGE_VAL && lm_top_logprobs(x, 3, top, 5) == 1 && top[0].id == 1);
    CHECK(lm_logprob(x, 1, 0) != lm_logprob(x, 1, 0) && lm_logprob(x, 3, 3) != lm_logprob(x, 3, 3) && lm_logprob(NULL, 3, 0) != 0 && lm_top_logprobs(x, 1, top, 5) == 0);
    CHECK(lm_top_logprobs(x, 3, top, 0) == 0 && lm_top_logprobs(NULL, 3, top, 5) == 0);
}
static void echo(const lm_model *m, int n_vocab) { /* against rows asked for one by one; however many rows there are at a time */
    enum { N = 90 }; lm_token ids[N]; double want[N], got[N]; lm_ctx *c = ctx_of(m, 128, 16, 2, 1, 1); int i, k, from; static const int rows_of[] = { 1, 7, 64, 200 };
    if (c == NULL) return;
    tiny_tokens(ids, N, n_vocab);
    for (i = 0; i + 1 < N; i++) {
        lm_batch b; memset(&b, 0, sizeof b); b.ids = ids + i; b.n = 1;
        CHECK_STATUS(lm_decode(c, &b), LM_OK);
        want[i + 1] = lm_logprob(lm_logits(c, -1), n_vocab, ids[i + 1]);
    }
    lm_ctx_close(c);
    for (k = 0; k < 4; k++) {
        c = ctx_of(m, 128, 16 + 5 * k, 2, rows_of[k], 1 + k % 2);
        if (c == NULL) return;
        for (from = 1; from < N; from += 29) {
            memset(got, 0, sizeof got);
            CHECK_STATUS(lm_score(c, 1, ids, N, from, got), LM_OK);
            CHECK_BITS(got, want + from, (size_t)(N - from) * sizeof *got);
            CHECK(lm_seq_len(c, 1) == N - 1 && lm_seq_len(c, 0) == 0 && lm_logits(c, -1) == NULL);
            CHECK_STATUS(lm_score(c, 1, ids, N, from, got), LM_E_FULL);
            CHECK(lm_seq_len(c, 1) == N - 1 && lm_ctx_error(c)[0] != 0);
            CHECK_STATUS(lm_rewind(c, 1, 0), LM_OK);
        }
        CHECK_STATUS(lm_score(c, 1, ids, N, 0, got), LM_E_ARG); CHECK_STATUS(lm_score(c, 1, ids, N, N, got), LM_E_ARG); CHECK_STATUS(lm_score(c, 2, ids, N, 1, got), LM_E_ARG);
        ids[N - 1] = n_vocab; CHECK_STATUS(lm_score(c, 1, ids, N, 1, got), LM_E_ARG); tiny_tokens(ids, N, n_vocab);
        lm_ctx_close(c);
    }
}
static void choose(const lm_model *m, int n_vocab) {
    enum { OPTIONS = 9 }; lm_token prompt[30], text[OPTIONS][40]; lm_option o[OPTIONS]; double alone[OPTIONS], lp[80], p; int k, i, way; lm_ctx *c; uint64_t before; lm_counters n;
    tiny_tokens(prompt, 30, n_vocab);
    for (k = 0; k < OPTIONS; k++) {
        o[k].ids = text[k]; o[k].n = k == 0 ? 1 : k == 1 ? 40 : 1 + k * 3;
        for (i = 0; i < 40; i++) text[k][i] = (lm_token)((i * (k + 3) + k) % n_vocab);
        c = ctx_of(m, 128, 32, 1, 50, 1);
        if (c == NULL) return;
        { lm_token all[70]; memcpy(all, prompt, sizeof prompt); memcpy(all + 30, text[k], sizeof text[k]);
          CHECK_STATUS(lm_score(c, 0, all, 30 + o[k].n, 30, lp), LM_OK); }
        for (alone[k] = 0, i = 0; i < o[k].n; i++) alone[k] += lp[i];
        lm_ctx_close(c);
    }
    for (way = 0; way < 5; way++) { /* in the sequence itself; in forks, of which there may be fewer or more than options; with few rows */
        int n_work = way == 0 ? 0 : way == 1 ? 1 : way == 2 ? 4 : 9; lm_batch b; lm_token first = 7;
        c = ctx_of(m, 128, 32, 11, way == 4 ? 3 : 64, 1 + way % 2);
        if (c == NULL) return;
        memset(&b, 0, sizeof b); b.ids = &first; b.n = 1;
        for (k = 0; k < OPTIONS; k++) o[k].logprob = o[k].p = 99;
        CHECK_STATUS(lm_choose(c, 1, prompt, 30, o, OPTIONS, 2, n_work), LM_OK);
        for (p = 0, k = 0; k < OPTIONS; k++) {
            CHECK_BITS(&o[k].logprob, &alone[k], sizeof(double));
            CHECK(o[k].p >= 0 && o[k].p <= 1); p += o[k].p;
            for (i = 0; i < k; i++) if (o[i].p > 0 && o[k].p > 0) CHECK_NEAR(log(o[i].p / o[k].p), o[i].logprob - o[k].logprob, 1e-9);
        }
        CHECK_NEAR(p, 1, 1e-12);
        CHECK(lm_seq_len(c, 1) == 30 && lm_seq_len(c, 0) == 0 && lm_seq_len(c, 2) == 0);
        lm_get_counters(c, &n); before = n.n_tokens;
        if (way == 0) { for (i = 30, k = 0; k < OPTIONS; k++) i += o[k].n - 1; CHECK(before == (uint64_t)i); note("%d options: %d tokens computed", OPTIONS, i); } /* the prompt once */
        else CHECK(before == 30 + 39 + 3 * (2 + 3 + 4 + 5 + 6 + 7 + 8));
        CHECK_STATUS(lm_choose(c, 1, prompt, 30, o, OPTIONS, 2, n_work), LM_OK);   /* goes on after what is there */
        CHECK(lm_seq_len(c, 1) == 60);
        CHECK_STATUS(lm_choose(c, 1, prompt, 30, o, OPTIONS, 2, n_work), LM_E_FULL);
        CHECK(lm_seq_len(c, 1) == 60);
        lm_ctx_close(c);
    }
    c = ctx_of(m, 128, 32, 3, 8, 1);
    if (c == NULL) return;
    CHECK_STATUS(lm_choose(c, 1, prompt, 30, o, OPTIONS, 1, 2), LM_E_ARG);       /* seq is among the working ones */
    CHECK_STATUS(lm_choose(c, 0, prompt, 30, o, OPTIONS, 1, 3), LM_E_ARG);
    CHECK_STATUS(lm_choose(c, 0, prompt, 30, o, OPTIONS, -1, 1), LM_E_ARG);
    CHECK_STATUS(lm_choose(c, 0, prompt, 0, o, OPTIONS, 1, 1), LM_E_ARG);
    CHECK_STATUS(lm_choose(c, 0, prompt, 30, o, 0, 1, 1), LM_E_ARG);
    CHECK_STATUS(lm_choose(c, 3, prompt, 30, o, OPTIONS, 1, 1), LM_E_ARG);
    o[4].n = 0; CHECK_STATUS(lm_choose(c, 0, prompt, 30, o, OPTIONS, 1, 1), LM_E_ARG); o[4].n = 3;
    text[4][2] = -1; CHECK_STATUS(lm_choose(c, 0, prompt, 30, o, OPTIONS, 1, 1), LM_E_ARG);
    CHECK(lm_seq_len(c, 0) == 0);
    lm_ctx_close(c);
}
static void perplexity(void) { /* what build/perplexity prints is the sum of the echo */
    const char *path = smollm2_path(); const char *text_path = data_path("reference/smollm2/text.txt"); lm_model_desc d; lm_model *m = NULL; lm_error e; lm_ctx *c; size_t n_text, n, at;
    char *text; lm_token *ids; double lp[256], sum = 0, count = 0, got = 0; FILE *f; char line[400];
    const char *build = getenv("BUILD"); char command[900];
    if (path == NULL || text_path == NULL) { SKIP_PART(NO_DATA); return; }
    memset(&d, 0, sizeof d); d.path = path;
    text = (char *)read_file(text_path, &n_text);
    n_text = n_text > 4000 ? 4000 : n_text;                      /* a window and a little: two are scored */
    if (text == NULL || write_file("build/test-score.txt", text, n_text) != 0) { FAIL("the text"); return; }
    sprintf(command, "%.200s/perplexity -m %.200s -f build/test-score.txt", build ? build : "build", path);
    f = popen(command, "r");
    if (f == NULL) { FAIL("popen"); free(text); return; }
    while (fgets(line, sizeof line, f)) { const char *nll = strstr(line, "nll "); if (nll) got = strtod(nll + 4, NULL); }
    (void)pclose(f);
    CHECK_STATUS(lm_model_open(&m, &d, &e), LM_OK);
    ids = (lm_token *)malloc((n_text + 8) * sizeof *ids);
    c = m ? ctx_of(m, 512, 512, 1, 64, 0) : NULL;
    if (c == NULL || ids == NULL) return;
    CHECK_STATUS(lm_tokenize(m, text, n_text, LM_TEXT_ADD_SPECIAL, ids, n_text + 8, &n), LM_OK);
    for (at = 0; at + 512 <= n; at += 512) {
        int i;
        CHECK_STATUS(lm_rewind(c, 0, 0), LM_OK); CHECK_STATUS(lm_score(c, 0, ids + at, 512, 257, lp), LM_OK);
        for (i = 0; i < 255; i++) { sum -= lp[i]; count++; }
    }
    CHECK(count > 0); CHECK_NEAR(got, sum / count, 5.1e-7);      /* six decimals are printed */
    note("%.0f tokens: nll %.6f, perplexity prints %.6f", count, sum / count, got);
    remove("build/test-score.txt");
    free(ids); free(text); lm_ctx_close(c); lm_model_close(m);
}

void test_score(void);
void test_score(void) {
    bytes b = tiny_gguf("pages"); lm_model *m = open_bytes(b); lm_model_info info;
    rows();
    if (m == NULL) return;
    lm_model_get_info(m, &info);
    echo(m, info.n_vocab);
    choose(m, info.n_vocab);
    lm_model_close(m); free(b.p);
    perplexity();
}
