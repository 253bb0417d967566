/* SmolLM2 against its reference over the whole text (`smollm2_quality MODEL REFERENCE_DIR`), and the defaults (8-bit activations, f16 cache)
 * against the float32 run of the same build. Ends with `N passed, M failed, K skipped`. */
#include "../test.h"

#define BATCH 64
static int n_vocab, passed, failed;
static void judge(int good, const char *what) {
    if (good) passed++; else failed++;
    printf("  %s: %s\n", good ? "ok" : "FAILED", what);
}
static int best(const float *l) { int i, k = 0; for (i = 1; i < n_vocab; i++) if (l[i] > l[k]) k = i; return k; }
static double gap(const float *l, int top) { /* by how much the best is ahead */
    double second = -1e30; int i;
    for (i = 0; i < n_vocab; i++) if (i != top && (double)l[i] > second) second = (double)l[i];
    return (double)l[top] - second;
}
static double log_sum(const float *l, int top) {
    double sum = 0; int i;
    for (i = 0; i < n_vocab; i++) sum += exp((double)l[i] - (double)l[top]);
    return (double)l[top] + log(sum);
}
static int feed(lm_ctx *c, const lm_token *ids, int n, int all) {
    lm_batch b; uint8_t want[BATCH];
    memset(&b, 0, sizeof b); memset(want, LM_WANT_LOGITS, sizeof want);
    b.ids = ids; b.n = n; b.want = all ? want : NULL;
    if (lm_decode(c, &b) == LM_OK) return 0;
    fprintf(stderr, "smollm2_quality: %s\n", lm_ctx_error(c));
    return 1;
}
static const char *in_dir(const char *dir, const char *name) { static char path[4][600]; static int k; char *p = path[k++ & 3];
    sprintf(p, "%.500s/%.60s", dir, name); return p; }

static int whole_text(lm_ctx *exact, lm_ctx *fast, const char *dir) {
    json *p = json_file(in_dir(dir, "perplexity.json")); size_t n_bytes; float *nll = (float *)read_file(in_dir(dir, "nll.f32"), &n_bytes);
    lm_token *ids, *want;
    int n = (int)json_ids(json_get(p, "ids"), &ids), n_want = (int)json_ids(json_get(p, "argmax"), &want), at, i, k, v, wrong = 0, close = 0,
        same = 0;
    double worst = 0, sum = 0, sum_fast = 0, kl = 0, ppl, ppl_fast, ref = json_number(p, "perplexity", 0); char line[200];
    if (p == NULL || nll == NULL || n < 2 || n_want != n || n_bytes != 4u * (size_t)(n - 1)) {
        fprintf(stderr, "smollm2_quality: %s: the reference is incomplete\n", dir); return 1; }
    for (at = 0; at < n; at += k) {
        k = n - at < BATCH ? n - at : BATCH;
        if (feed(exact, ids + at, k, 1) || feed(fast, ids + at, k, 1)) return 1;
        for (i = 0; i < k; i++) {
            const float *a = lm_logits(exact, i), *b = lm_logits(fast, i); int top = best(a), top_fast = best(b);
            double za = log_sum(a, top), zb = log_sum(b, top_fast), d = 0;
            if (top != want[at + i]) { if (gap(a, top) > 0.002) wrong++; else close++; }
            same += top == top_fast;
            for (v = 0; v < n_vocab; v++) { double la = (double)a[v] - za; d += exp(la) * (la - ((double)b[v] - zb)); }
            kl += d;
            if (at + i + 1 < n) {
                double x = za - (double)a[ids[at + i + 1]], e = fabs(x - (double)nll[at + i]);
                if (!(e <= worst)) worst = e;
                sum += x; sum_fast += zb - (double)b[ids[at + i + 1]];
            }
        }
    }
    ppl = exp(sum / (n - 1)); ppl_fast = exp(sum_fast / (n - 1));
    sprintf(line, "float32: nll of %d tokens within %.2g (0.001 allowed), perplexity %.6f (reference %.6f)", n - 1, worst, ppl, ref);
    judge(worst <= 1e-3, line);
    sprintf(line, "float32: argmax differs at %d positions, and at %d where the two best are within 0.002", wrong, close); judge(wrong == 0, line);
    sprintf(line, "defaults: mean KL %.5f (0.0058 allowed)", kl / n); judge(kl / n <= 0.0058, line);
    sprintf(line, "defaults: same top-1 %.2f %% (95.5 wanted)", 100.0 * same / n); judge(same >= 0.955 * n, line);
    sprintf(line, "defaults: perplexity %.4f, %+.2f %% (+1.0 allowed)", ppl_fast, 100 * (ppl_fast / ppl - 1)); judge(ppl_fast <= 1.01 * ppl, line);
    free(ids); free(want); free(nll); json_free(p);
    return 0;
}
static int prompts(lm_ctx *exact, lm_ctx *fast, const char *dir) {
    size_t n_bytes; char *text = (char *)read_file(in_dir(dir, "prompts.jsonl"), &n_bytes), *line = text, *end;
    int n = 0, k, off = 0, off64 = 0, slips = 0, slips_exact = 0, differ = 0, mean = 0; double worst = 0, margin = 0; char out[200];
    if (text == NULL) { fprintf(stderr, "smollm2_quality: %s: no prompts.jsonl\n", dir); return 1; }
    for (; (end = strchr(line, '\n')) != NULL || *line; line = end ? end + 1 : line + strlen(line)) {
        json *j = json_parse(line, end ? (size_t)(end - line) : strlen(line)); lm_token *ids, *top, *greedy, *tok; size_t n_tok; const json *v, *m;
        int n_ids, n_top, n_greedy, chosen[BATCH + 1]; const float *l; double z;
        if (j == NULL) { fprintf(stderr, "smollm2_quality: a line of prompts.jsonl is no JSON\n"); return 1; }
        n_ids = (int)json_ids(json_get(j, "ids"), &ids); n_top = (int)json_ids(json_get(j, "top64_ids"), &top);
        n_greedy = (int)json_ids(json_get(j, "greedy_ids"), &greedy);
        v = json_get(j, "prompt"); tok = (lm_token *)malloc(400 * sizeof *tok); /* the ids themselves, special tokens parsed */
        if (tok == NULL || lm_tokenize(lm_ctx_model(exact), v->text, v->n_text, LM_TEXT_ADD_SPECIAL | LM_TEXT_PARSE_SPECIAL, tok, 400,
            &n_tok) != LM_OK || (int)n_tok != n_ids || memcmp(tok, ids, n_tok * sizeof *tok) != 0) off++;
        if (lm_rewind(exact, 0, 0) || lm_rewind(fast, 0, 0) || feed(exact, ids, n_ids, 0) || feed(fast, ids, n_ids, 0)) return 1;
        l = lm_logits(exact, -1);
        for (k = 0, v = json_get(j, "top64_logits")->child; v && k < n_top; v = v->next, k++) {
            double d = fabs((double)l[top[k]] - v->number); if (!(d <= worst)) worst = d;
            if (!(d <= 0.01)) off64++;
        }
        z = log_sum(l, best(l));
        if (!(fabs(z - json_number(j, "logsumexp", 1e9)) <= 0.01)) off64++;
        for (z = 0, k = 0; k < n_vocab; k++) z += (double)l[k] / n_vocab;
        if (!(fabs(z - json_number(j, "logits_mean", 1e9)) <= 0.01)) mean++;
        chosen[0] = best(l);                      /* float32 takes the reference's ids together, the defaults one by one: the bits are the same */
        if (n_greedy > BATCH || feed(exact, greedy, n_greedy, 1)) return 1;
        for (k = 0; k < n_greedy; k++) chosen[k + 1] = best(lm_logits(exact, k));
        for (k = 0, m = json_get(j, "greedy_margins")->child; k < n_greedy && m; k++, m = m->next) {
            if (best(lm_logits(fast, -1)) != greedy[k]) { differ++; if (m->number > margin) margin = m->number; if (m->number >= 0.6) slips++; }
            if (chosen[k] != greedy[k] && m->number >= 0.02) slips_exact++;
            if (feed(fast, greedy + k, 1, 0)) return 1;
        }
        n++;
        free(ids); free(top); free(greedy); free(tok); json_free(j);
    }
    free(text);
    sprintf(out, "%d prompts: ids as the reference's", n); judge(n > 0 && off == 0, out);
    sprintf(out, "%d prompts: the 64 best logits within %.2g (0.01 allowed), log-sum and mean too", n, worst); judge(off64 == 0 && mean == 0, out);
    sprintf(out, "float32: %d greedy choices differ where the margin is 0.02 or more", slips_exact); judge(slips_exact == 0, out);
    sprintf(out, "defaults: %d greedy choices differ, at margins up to %.2f, %d where it is 0.6 or more", differ, margin, slips);
    judge(slips == 0, out);
    return 0;
}

int main(int argc, char **argv) {
    lm_model_desc d; lm_ctx_desc e, f; lm_model *m; lm_ctx *exact, *fast; lm_error err; lm_model_info i;
    if (argc != 3) { fputs("smollm2_quality: usage: smollm2_quality MODEL REFERENCE_DIR\n", stderr); return 2; }
    memset(&d, 0, sizeof d); memset(&f, 0, sizeof f);
    d.path = argv[1]; f.n_ctx = 2048; f.n_batch = BATCH; f.n_logits = BATCH; e = f; e.cache_type = LM_CACHE_F32; e.compute = LM_COMPUTE_F32;
    if (lm_model_open(&m, &d, &err) != LM_OK || lm_ctx_open(&exact, m, &e, &err) != LM_OK || lm_ctx_open(&fast, m, &f, &err) != LM_OK) {
        fprintf(stderr, "smollm2_quality: %s\n", err.text); return 1; }
    lm_model_get_info(m, &i);
    n_vocab = i.n_vocab;
    if (whole_text(exact, fast, argv[2]) || prompts(exact, fast, argv[2])) failed++;
    lm_ctx_close(exact); lm_ctx_close(fast); lm_model_close(m);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
