/* Sampling: every step against distributions worked out by hand or by a slow, plain second implementation, then order, ties, random
 * numbers, state, numbers that are none, errors, memory. Logits are given as logarithms of the probabilities wanted, so that softmax
 * gives these back; all tokens not named are -infinity, which is no candidate. */
#include "test.h"
#include <float.h>

#define V_MAX 4096                    /* at least the test model's vocabulary */
#define SAME_BITS 0x2889561d8fea38e0u /* test_same_bits */
static int n_vocab;
static float logits[V_MAX];

static void no_logits(void) { int i; for (i = 0; i < V_MAX; i++) logits[i] = -INFINITY; }
static void set_logits(int n, const float *l) { int i; no_logits(); for (i = 0; i < n; i++) logits[i] = l[i]; }
static void set_probs(int n, const double *p) { int i; no_logits(); for (i = 0; i < n; i++) logits[i] = (float)log(p[i]); }

static lm_sampler *open_chain(const lm_step *steps, int n_steps, uint64_t seed) {
    lm_sampler_desc d; lm_sampler *s = NULL; lm_error e;
    memset(&d, 0, sizeof d);
    d.steps = steps; d.n_steps = n_steps; d.seed = seed;
    if (!CHECK(lm_sampler_open(&s, test_model(), &d, &e) == LM_OK)) { note("%s", e.text); exit(1); }
    return s;
}
static lm_step step(lm_step_kind kind) { lm_step st; memset(&st, 0, sizeof st); st.kind = kind; return st; }
static lm_step step_n(lm_step_kind kind, int n) { lm_step st = step(kind); st.n = n; return st; }
static lm_step step_p(lm_step_kind kind, double p) { lm_step st = step(kind); st.p = (float)p; return st; }
static lm_step step_temp(double temp) { lm_step st = step(LM_STEP_TEMP); st.temp = (float)temp; return st; }

/* One draw through the chain; its candidates must be ids[n], likeliest first, with probabilities p[n], and the draw one of them. */
static void expect(const char *what, const lm_step *steps, int n_steps, int n, const lm_token *ids, const double *p) {
    lm_sampler *s = open_chain(steps, n_steps, 1); const lm_candidate *c = NULL; lm_token got = lm_sample_logits(s, logits);
    int i, k = lm_sampler_candidates(s, &c), ok = CHECK(k == n), drawn = 0;
    for (i = 0; i < k && i < n; i++) {
        ok &= CHECK(c[i].id == ids[i]);
        ok &= CHECK(fabs((double)c[i].p - p[i]) <= 1e-6);
        drawn |= c[i].id == got;
    }
    ok &= CHECK(drawn);
    if (!ok) {
        note("%s: expected %d candidates, got %d", what, n, k);
        for (i = 0; i < k && i < 8; i++) note("  id %d, p %.9g", (int)c[i].id, (double)c[i].p);
    }
    lm_sampler_close(s);
}

/* ---- the generator once more, from the paper, for predictions */
static uint64_t ref_state;
static uint32_t ref_next(void) {
    uint64_t old = ref_state; uint32_t x = (uint32_t)(((old >> 18u) ^ old) >> 27u), rot = (uint32_t)(old >> 59u);
    ref_state = old * 6364136223846793005u + 109u;
    return (x >> rot) | (x << ((32u - rot) & 31u));
}
static void ref_seed(uint64_t seed) { ref_state = 0; ref_next(); ref_state += seed; ref_next(); }

static void test_random(void) {
    /* pcg32-demo of the reference code, seed 42, stream 54 */
    static const uint32_t published[6] = { 0xa15c02b7u, 0x7b47f409u, 0xba1d3330u, 0x83d2f293u, 0xbfa4784bu, 0xcbed606eu };
    static const float even[16] = { 0 }, edge[3] = { -200, 0, -200 }; static const double p4[4] = { 0.5, 0.25, 0.125, 0.125 };
    lm_step t1 = step_temp(1), k1 = step_n(LM_STEP_TOP_K, 1); lm_sampler *s = open_chain(&t1, 1, 42); int i, k, same = 0;
    ref_seed(42);
    for (i = 0; i < 6; i++) CHECK(ref_next() == published[i]);
    set_logits(16, even);             /* sixteen times 1/16: the draw is the output's first hexadecimal digit */
    for (i = 0; i < 6; i++) CHECK(lm_sample_logits(s, logits) == (lm_token)(published[i] >> 28));
    /* no random number is spent on one candidate, so the sequence goes on as before */
    lm_sampler_reset(s, 42);
    for (i = 0; i < 6; i++) {
        no_logits(); logits[7] = -3; logits[8] = NAN;
        for (k = 0; k < i; k++) CHECK(lm_sample_logits(s, logits) == 7);
        set_logits(16, even);
        CHECK(lm_sample_logits(s, logits) == (lm_token)(published[i] >> 28));
    }
    /* the ends and the middle of [0, 1): seeds whose first output starts with 800000, 000000 and ffffff */
    set_logits(2, even); lm_sampler_reset(s, 10806830); CHECK(lm_sample_logits(s, logits) == 1); /* u = 1/2: not below it */
    set_logits(2, edge); lm_sampler_reset(s, 7926344);  CHECK(lm_sample_logits(s, logits) == 1); /* u = 0, p = 0 and 1 */
    set_logits(3, edge); lm_sampler_reset(s, 72881006); CHECK(lm_sample_logits(s, logits) == 1); /* u = 1 - 2^-24, p = 0, 1, 0 */
    set_probs(4, p4);                 /* u < 1/2: 0, < 3/4: 1, < 7/8: 2, else 3; u is a multiple of 2^-24 */
    lm_sampler_reset(s, 7); ref_seed(7);
    for (i = 0; i < 1000; i++) {
        double u = (double)(ref_next() >> 8) / 16777216.0;
        same += lm_sample_logits(s, logits) == (u < 0.5 ? 0 : u < 0.75 ? 1 : u < 0.875 ? 2 : 3);
    }
    CHECK(same == 1000);
    lm_sampler_close(s);
    s = open_chain(&k1, 1, 42);       /* greedy by top_k 1: no number, whatever the seed */
    for (i = 0; i < 4; i++) CHECK(lm_sample_logits(s, logits) == 0);
    lm_sampler_close(s);
    note("random numbers: 6 published outputs of PCG32, 12 draws by them, the ends of [0,1), 1000 draws against the paper's code");
}

static void test_greedy(void) {
    static const float tie[6] = { 1, 3, 2, 3, 3, -1 };
    lm_sampler *s = open_chain(NULL, 0, 1); const lm_candidate *c = NULL; lm_step st;
    set_logits(6, tie);
    CHECK(lm_sampler_candidates(s, &c) == 0);
    CHECK(lm_sample_logits(s, logits) == 1);
    CHECK(lm_sampler_candidates(s, &c) == 1 && c[0].id == 1 && c[0].p == 1 && c[0].logit == 3);
    logits[1] = NAN;
    CHECK(lm_sample_logits(s, logits) == 3);
    logits[n_vocab - 1] = INFINITY;
    CHECK(lm_sample_logits(s, logits) == n_vocab - 1);
    no_logits(); logits[0] = NAN;
    CHECK(lm_sample_logits(s, logits) == LM_E_NUMERIC);
    CHECK(lm_sampler_candidates(s, &c) == 0);
    logits[5] = -FLT_MAX;
    CHECK(lm_sample_logits(s, logits) == 5);
    CHECK(lm_sample_logits(NULL, logits) == LM_E_ARG && lm_sample_logits(s, NULL) == LM_E_ARG && lm_sampler_candidates(NULL, &c) == 0);
    lm_sampler_close(s);
    set_logits(6, tie);
    { static const lm_token id = 1; static const double one = 1; st = step_temp(0); expect("temp 0", &st, 1, 1, &id, &one); }
    note("greedy: ties to the lower id, NaN passed over, infinity, nothing to choose from");
}

static void test_temp(void) {
    /* p^(1/temp), normalized: temp 0.5: 0.25 0.09 0.04 / 0.38; temp 2: 0.70710678 0.54772256 0.44721360 / 1.70204294 */
    static const double p[3] = { 0.5, 0.3, 0.2 }, cold[3] = { 0.65789474, 0.23684211, 0.10526316 }, hot[3] = { 0.41544593, 0.32180304, 0.26275108 };
    static const double third[3] = { 1 / 3.0, 1 / 3.0, 1 / 3.0 }, one = 1, half[2] = { 0.5, 0.5 };
    static const lm_token id[3] = { 0, 1, 2 }, second = 1;
    static const float up[2] = { 5, 10 }, down[2] = { -10, -5 }, twins[2] = { 8, 8 };
    lm_step st = step_temp(1);
    set_probs(3, p);  expect("temp 1", &st, 1, 3, id, p);
    st = step_temp(0.5);  expect("temp 0.5", &st, 1, 3, id, cold);
    st = step_temp(2);    expect("temp 2", &st, 1, 3, id, hot);
    st = step_temp(1e30); expect("temp 1e30", &st, 1, 3, id, third);
    st = step_temp(-1);   expect("temp -1", &st, 1, 1, id, &one);
    st = step_temp(1e-38); /* quotients past float32: still the likeliest, not both evenly */
    set_logits(2, up);    expect("temp 1e-38, 5 and 10", &st, 1, 1, &second, &one);
    set_logits(2, down);  expect("temp 1e-38, -10 and -5", &st, 1, 1, &second, &one);
    set_logits(2, twins);
    st = step_temp(0.01); expect("twins", &st, 1, 2, id, half);
    note("temperature: 0.5, 1, 2, 1e30, -1 and 1e-38 against hand-computed probabilities");
}

static void test_top_k_min_p(void) {
    static const float tie[5] = { 1, 2, 2, 2, 0 }; static const double p[4] = { 0.5, 0.3, 0.15, 0.05 };
    static const double two[2] = { 0.625, 0.375 }, three[3] = { 0.52631579, 0.31578947, 0.15789474 }; /* / 0.8, / 0.95 */
    static const double half[2] = { 0.5, 0.5 }, one = 1, thirds[3] = { 1 / 3.0, 1 / 3.0, 1 / 3.0 };
    static const lm_token id[4] = { 0, 1, 2, 3 }, tied[3] = { 1, 2, 3 };
    lm_step st = step_n(LM_STEP_TOP_K, 2);
    set_logits(5, tie);   expect("top_k 2 of ties", &st, 1, 2, tied, half);
    set_probs(4, p);      expect("top_k 2", &st, 1, 2, id, two);
    st.n = 3;             expect("top_k 3", &st, 1, 3, id, three);
    st.n = 0;             expect("top_k 0", &st, 1, 4, id, p);
    st.n = -5;            expect("top_k -5", &st, 1, 4, id, p);
    st.n = 1 << 30;       expect("top_k 2^30", &st, 1, 4, id, p);
    st = step_p(LM_STEP_MIN_P, 0.35); expect("min_p 0.35: at least 0.175", &st, 1, 2, id, two);
    st.p = 0.2f;          expect("min_p 0.2: at least 0.1", &st, 1, 3, id, three);
    st.p = 0;             expect("min_p 0", &st, 1, 4, id, p);
    st.p = -1;            expect("min_p -1", &st, 1, 4, id, p);
    st.p = 1;             expect("min_p 1", &st, 1, 1, id, &one);
    st.p = 2;             expect("min_p 2", &st, 1, 1, id, &one);
    set_logits(5, tie);   expect("min_p 2, ties", &st, 1, 3, tied, thirds);
    note("top_k and min_p: %d cases against hand-computed probabilities", 13);
}

static void test_top_p_typical(void) {
    static const double p[4] = { 0.5, 0.3, 0.15, 0.05 }, q[4] = { 0.125, 0.5, 0.125, 0.25 };
    static const double two[2] = { 0.625, 0.375 }, three[3] = { 0.52631579, 0.31578947, 0.15789474 }, one = 1;
    static const double qt[3] = { 4 / 7.0, 2 / 7.0, 1 / 7.0 }, q2[2] = { 2 / 3.0, 1 / 3.0 }, q4[4] = { 0.5, 0.25, 0.125, 0.125 };
    static const lm_token id[4] = { 0, 1, 2, 3 }, qid[4] = { 1, 3, 0, 2 }, typical = 3;
    lm_step st = step_p(LM_STEP_TOP_P, 0.49);
    set_probs(4, p);      expect("top_p 0.49", &st, 1, 1, id, &one);
    st.p = 0.7f;          expect("top_p 0.7", &st, 1, 2, id, two);
    st.p = 0.81f;         expect("top_p 0.81", &st, 1, 3, id, three);
    st.p = 0;             expect("top_p 0", &st, 1, 1, id, &one);
    st.p = -1;            expect("top_p -1", &st, 1, 1, id, &one);
    st.p = 1;             expect("top_p 1", &st, 1, 4, id, p);
    { static const float far[2] = { 0, -200 }; static const double sure[2] = { 1, 0 }; /* exp(-200) is 0 in float32 */
      set_logits(2, far); expect("top_p 1 keeps the impossible", &st, 1, 2, id, sure); set_probs(4, p); }
    st.p = 5;             expect("top_p 5", &st, 1, 4, id, p);
    { static const float even[2] = { 0, 0 }; static const lm_token zero = 0; /* the sum of the fewest equals p exactly: reached */
      set_logits(2, even); st.p = 0.5f; expect("top_p 0.5 of two halves", &st, 1, 1, &zero, &one); }
    /* ids 0..3: surprises 3 1 3 2 bits, entropy 0.5*1 + 0.25*2 + 2*0.125*3 = 1.75, distances 1.25 0.75 1.25 0.25:
     * most typical first: 3 (0.25), 1 (sum 0.75), 0 (0.875, the lower id of equals), 2 */
    set_probs(4, q);
    st = step_p(LM_STEP_TYPICAL_P, 0.2); expect("typical 0.2", &st, 1, 1, &typical, &one);
    st.p = 0.3f;          expect("typical 0.3", &st, 1, 2, qid, q2);
    st.p = 0.8f;          expect("typical 0.8", &st, 1, 3, qid, qt);
    st.p = 0.9f;          expect("typical 0.9", &st, 1, 4, qid, q4);
    st.p = 1;             expect("typical 1", &st, 1, 4, qid, q4);
    st.p = 0;             expect("typical 0", &st, 1, 1, &typical, &one);
    { static const float inf[2] = { INFINITY, 3 }; static const lm_token zero = 0; /* entropy 0, whatever the logarithm of 0 */
      set_logits(2, inf); expect("typical 0, infinity", &st, 1, 1, &zero, &one); }
    note("top_p and typical_p: %d cases against hand-computed probabilities", 16);
}

/* ---- the whole vocabulary, against sorting everything. Logits are multiples of 1/8, so many are equal. */
static double slow_key[V_MAX];
static int by_key(const void *a, const void *b) { /* least key, then greatest logit, then lowest id */
    const int x = *(const int *)a, y = *(const int *)b;
    if (slow_key[x] != slow_key[y]) return slow_key[x] < slow_key[y] ? -1 : 1;
    if (logits[x] != logits[y]) return logits[x] > logits[y] ? -1 : 1;
    return x < y ? -1 : 1;
}
static int by_logit(const void *a, const void *b) {
    const int x = *(const int *)a, y = *(const int *)b;
    return logits[x] != logits[y] ? (logits[x] > logits[y] ? -1 : 1) : x < y ? -1 : 1;
}
static void against_sorting(lm_step_kind kind, rng *r, int round, int *n_compared) {
    static int order[V_MAX]; static double p[V_MAX]; double sum = 0, entropy = 0, mass = (double)(1 + rng_u32(r) % 997) / 1000, run = 0;
    lm_step st = step_p(kind, mass); lm_sampler *s; const lm_candidate *c = NULL; int i, k = 0, n, near = 0, ok = 1;
    no_logits();
    for (i = 0; i < n_vocab; i++) logits[i] = (float)(int)(rng_u32(r) % (8u << round % 6)) * 0.125f;
    for (i = 0; i < n_vocab; i++) sum += exp((double)logits[i]);
    for (i = 0; i < n_vocab; i++) { order[i] = i; p[i] = exp((double)logits[i]) / sum; entropy -= p[i] * log(p[i]); }
    /* rounded, because equal logits must stay equal and 1e-9 is far under the distance of unequal ones' keys, chance aside */
    for (i = 0; i < n_vocab; i++) slow_key[i] = kind == LM_STEP_TYPICAL_P ? floor(fabs(-log(p[i]) - entropy) * 1e9 + 0.5) : 0;
    qsort(order, (size_t)n_vocab, sizeof *order, by_key);
    if (kind == LM_STEP_TOP_K) { k = 1 + (int)(rng_u32(r) % (unsigned)n_vocab); st.n = k; }
    else for (k = 0; k < n_vocab && run < (double)st.p; k++) { run += p[order[k]]; near |= fabs(run - (double)st.p) < 1e-6; }
    if (near) return;                 /* float32 probabilities may fall on the other side */
    s = open_chain(&st, 1, 1);
    lm_sample_logits(s, logits);
    n = lm_sampler_candidates(s, &c);
    qsort(order, (size_t)k, sizeof *order, by_logit);
    ok &= CHECK(n == k);
    for (i = 0; i < n && i < k && ok; i++) ok &= CHECK(c[i].id == order[i]);
    if (!ok) note("step kind %d, round %d: expected %d candidates, got %d", (int)kind, round, k, n);
    lm_sampler_close(s);
    (*n_compared)++;
}
static void test_whole(void) {
    rng r; int i, n = 0;
    r.s = 5;
    for (i = 0; i < 150; i++) {
        against_sorting(LM_STEP_TOP_K, &r, i, &n);
        against_sorting(LM_STEP_TOP_P, &r, i, &n);
        against_sorting(LM_STEP_TYPICAL_P, &r, i, &n);
    }
    CHECK(n > 400);
    note("top_k, top_p, typical_p over %d tokens: %d draws against sorting everything", n_vocab, n);
}

/* ---- steps with memory, and steps with tables */
static float logit_of(const lm_sampler *s, lm_token id) { /* NaN: no candidate */
    const lm_candidate *c = NULL; int i, n = lm_sampler_candidates(s, &c);
    for (i = 0; i < n; i++) if (c[i].id == id) return c[i].logit;
    return NAN;
}
static void test_penalties(void) {
    static const float l[6] = { 2, -2, 0, 1, 8, -1 };
    lm_step st = step_n(LM_STEP_PENALTIES, 4); lm_sampler *s; lm_sampler_desc d; int i;
    set_logits(6, l);
    st.repeat = 2; st.freq = 0.5f; st.presence = 0.25f;
    s = open_chain(&st, 1, 1);
    lm_sampler_accept(s, 3);          /* soon outside the window of 4 */
    lm_sampler_accept(s, 0); lm_sampler_accept(s, 0); lm_sampler_accept(s, 1); lm_sampler_accept(s, 2);
    lm_sampler_accept(s, -1); lm_sampler_accept(s, n_vocab); /* not in the vocabulary: passed over */
    lm_sample_logits(s, logits);
    CHECK_NEAR(logit_of(s, 0), 2.0 / 2 - (0.5 * 2 + 0.25), 0);
    CHECK_NEAR(logit_of(s, 1), -2.0 * 2 - (0.5 + 0.25), 0);
    CHECK_NEAR(logit_of(s, 2), 0 - (0.5 + 0.25), 0);
    CHECK_NEAR(logit_of(s, 3), 1, 0);
    CHECK_NEAR(logit_of(s, 4), 8, 0);
    CHECK(logits[0] == 2 && logits[1] == -2);        /* the caller's logits stay as they are */
    lm_sampler_reset(s, 1);           /* forgets */
    lm_sample_logits(s, logits);
    CHECK_NEAR(logit_of(s, 0), 2, 0);
    lm_sampler_close(s);

    st = step(LM_STEP_PENALTIES); st.presence = 100;  /* window 0: 64. What is drawn is remembered, so six draws are six tokens */
    s = open_chain(&st, 1, 9);
    { int seen[6] = { 0 }; for (i = 0; i < 6; i++) { lm_token t = lm_sample_logits(s, logits); if (CHECK(t >= 0 && t < 6)) seen[t]++; }
      for (i = 0; i < 6; i++) CHECK(seen[i] == 1); }
    lm_sampler_reset(s, 1);
    lm_sampler_accept(s, 0);
    for (i = 0; i < 63; i++) lm_sampler_accept(s, 10);
    lm_sample_logits(s, logits); CHECK_NEAR(logit_of(s, 0), -98, 0);   /* the 64th from the end */
    lm_sample_logits(s, logits); CHECK_NEAR(logit_of(s, 0), 2, 0);     /* the draw before pushed it out */
    lm_sampler_close(s);

    memset(&d, 0, sizeof d);          /* -1: all that is remembered, here two; a ring that wraps */
    st.n = -1; d.steps = &st; d.n_steps = 1; d.n_prev = 2;
    CHECK(lm_sampler_open(&s, test_model(), &d, NULL) == LM_OK);
    for (i = 0; i < 5; i++) lm_sampler_accept(s, i);
    lm_sample_logits(s, logits);
    CHECK_NEAR(logit_of(s, 2), 0, 0); CHECK_NEAR(logit_of(s, 3), -99, 0); CHECK_NEAR(logit_of(s, 4), -92, 0);
    lm_sampler_close(s);
    st.n = 4; st.freq = 10;           /* a window of more than is remembered: the two, each counted once */
    CHECK(lm_sampler_open(&s, test_model(), &d, NULL) == LM_OK);
    for (i = 0; i < 5; i++) lm_sampler_accept(s, i);
    lm_sample_logits(s, logits);
    CHECK_NEAR(logit_of(s, 2), 0, 0); CHECK_NEAR(logit_of(s, 3), -109, 0); CHECK_NEAR(logit_of(s, 4), -102, 0);
    lm_sampler_close(s);
    st.freq = 0;
    st.n = 100; d.n_prev = 0;         /* the largest window is remembered */
    CHECK(lm_sampler_open(&s, test_model(), &d, NULL) == LM_OK);
    lm_sampler_accept(s, 0);
    for (i = 0; i < 99; i++) lm_sampler_accept(s, 10);
    lm_sample_logits(s, logits); CHECK_NEAR(logit_of(s, 0), -98, 0);
    lm_sample_logits(s, logits); CHECK_NEAR(logit_of(s, 0), 2, 0);
    lm_sampler_close(s);
    note("penalties: signs, counts, windows of 4, 64, 100 and all, what is drawn counts");
}

static void test_bias(void) {
    static const float l[4] = { 1, 2, 3, 4 }; static const float inf2[4] = { 1, INFINITY, 3, INFINITY };
    lm_bias b[4]; lm_step st[2]; lm_sampler *s; const lm_candidate *c = NULL; int i, n_ones = 0;
    memset(b, 0, sizeof b);
    b[0].id = 3; b[0].bias = -INFINITY; b[1].id = 0; b[1].bias = 0.5f; b[2].id = 0; b[2].bias = 0.25f; b[3].id = n_vocab - 1; b[3].bias = 5;
    st[0] = step(LM_STEP_BIAS); st[0].bias = b; st[0].n_bias = 4;
    set_logits(4, l);
    s = open_chain(st, 1, 1);
    memset(b, 0, sizeof b);           /* copied, so the caller's array may go */
    for (i = 0; i < 200; i++) CHECK(lm_sample_logits(s, logits) < 3);
    CHECK(lm_sampler_candidates(s, &c) == 3);        /* the ban takes it off the list, and no bias brings back what is no candidate */
    CHECK_NEAR(logit_of(s, 0), 1.75, 0); CHECK_NEAR(logit_of(s, 1), 2, 0);
    lm_sampler_close(s);
    for (i = 0; i < 4; i++) { b[i].id = i; b[i].bias = -INFINITY; }
    st[1] = step_n(LM_STEP_TOP_K, 1);
    s = open_chain(st, 2, 1);
    CHECK(lm_sample_logits(s, logits) == LM_E_NUMERIC);
    logits[9] = -7;
    CHECK(lm_sample_logits(s, logits) == 9);
    set_logits(4, inf2);              /* infinity less infinity is a ban */
    CHECK(lm_sample_logits(s, logits) == LM_E_NUMERIC);
    lm_sampler_close(s);
    b[0].id = 1; b[0].bias = INFINITY; st[0].n_bias = 1;
    set_logits(4, l);
    s = open_chain(st, 1, 1);         /* forced */
    for (i = 0; i < 20; i++) CHECK(lm_sample_logits(s, logits) == 1);
    lm_sampler_close(s);
    st[0] = step_temp(1);
    set_logits(4, inf2); logits[5] = NAN; /* infinities share evenly, everything else is out */
    s = open_chain(st, 1, 1);
    for (i = 0; i < 1000; i++) { lm_token t = lm_sample_logits(s, logits); CHECK(t == 1 || t == 3); n_ones += t == 1; }
    CHECK(n_ones > 430 && n_ones < 570);
    CHECK(lm_sampler_candidates(s, &c) == 2 && c[0].id == 1 && c[0].p == 0.5f && c[1].id == 3 && c[1].p == 0.5f);
    no_logits(); logits[2] = NAN;
    CHECK(lm_sample_logits(s, logits) == LM_E_NUMERIC);
    lm_sampler_close(s);
    note("bias and numbers that are none: ban, force, twice the same id, NaN, infinities");
}

/* Infinite and NaN logits through every kind of step: a finite or infinite candidate is drawn, never one that is no number. */
static void test_not_numbers(void) {
    lm_step kinds[8]; int k, i, n = 0; rng r;
    kinds[0] = step(LM_STEP_PENALTIES); kinds[0].repeat = 1e-30f; kinds[0].freq = 3e38f; kinds[0].presence = -3e38f;
    kinds[1] = step_n(LM_STEP_TOP_K, 3); kinds[2] = step_p(LM_STEP_TOP_P, 0.9); kinds[3] = step_p(LM_STEP_MIN_P, 0.1);
    kinds[4] = step_p(LM_STEP_TYPICAL_P, 0.9); kinds[5] = step_temp(1e-40); kinds[6] = step_temp(3e38); kinds[7] = step(LM_STEP_MIROSTAT2);
    r.s = 3;
    for (k = 0; k < 8; k++) {
        lm_sampler *s = open_chain(&kinds[k], 1, 1);
        for (i = 0; i < 300; i++) {
            static const float odd[8] = { NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 1e-45f, 0, 3 }; lm_token t; int j, any = 0;
            no_logits();
            for (j = 0; j < 12; j++) { logits[j] = odd[rng_u32(&r) % 8]; any |= logits[j] >= -FLT_MAX; }
            t = lm_sample_logits(s, logits);
            if (!any) CHECK(t == LM_E_NUMERIC);
            else if (k == 0 && t == LM_E_NUMERIC) continue; /* penalties past float32 may drop all */
            else if (CHECK(t >= 0 && t < 12)) n += CHECK(logits[t] >= -FLT_MAX);
        }
        lm_sampler_close(s);
    }
    note("odd logits (NaN, infinities, limits of float32) through 8 steps: %d draws", n);
}

static void test_order(void) {
    /* {0.5 0.3 0.2}: top_p 0.75 keeps two (0.8), then temp 2: 0.70710678 0.54772256 / 1.25482934.
     * temp 2 first: 0.415 0.322 0.263, and two are only 0.737, so three stay. */
    static const double p[3] = { 0.5, 0.3, 0.2 }, cut[2] = { 0.56350834, 0.43649166 }, hot[3] = { 0.41544593, 0.32180304, 0.26275108 };
    static const double one = 1; static const lm_token id[3] = { 0, 1, 2 }, second = 1;
    lm_step st[3]; lm_bias b;
    set_probs(3, p);
    st[0] = step_p(LM_STEP_TOP_P, 0.75); st[1] = step_temp(2);
    expect("top_p, temp", st, 2, 2, id, cut);
    st[0] = step_temp(2); st[1] = step_p(LM_STEP_TOP_P, 0.75);
    expect("temp, top_p", st, 2, 3, id, hot);
    b.id = 0; b.bias = -INFINITY;
    st[0] = step(LM_STEP_BIAS); st[0].bias = &b; st[0].n_bias = 1; st[1] = step_n(LM_STEP_TOP_K, 1);
    expect("ban, top_k 1", st, 2, 1, &second, &one);
    st[2] = st[0]; st[0] = st[1]; st[1] = st[2];
    { lm_sampler *s = open_chain(st, 2, 1); CHECK(lm_sample_logits(s, logits) == LM_E_NUMERIC); lm_sampler_close(s); } /* top_k 1, ban */
    st[0] = step_n(LM_STEP_TOP_K, 3); st[1] = step_p(LM_STEP_MIN_P, 0.5); st[2] = step_temp(2); /* at least 0.25: two */
    expect("top_k, min_p, temp", st, 3, 2, id, cut);
    note("order: 5 chains that differ only in it");
}

static void test_mirostat(void) {
    static const double p[3] = { 0.5, 0.3, 0.2 };    /* surprises 1, 1.737, 2.322 bits */
    lm_step st = step(LM_STEP_MIROSTAT2); lm_sampler *s; const lm_candidate *c = NULL; int i, k, n; double mu, sum = 0;
    set_probs(3, p);
    st.tau = 1; st.eta = 0.7f;
    s = open_chain(&st, 1, 11);
    for (i = 0, mu = 2 * 1.0; i < 200; i++) {        /* mu = mu - eta * (surprise among those left - tau) */
        double left = 0; int want = 0; lm_token t = lm_sample_logits(s, logits);
        for (k = 0; k < 3; k++) if (-log2(p[k]) <= mu || k == 0) { left += p[k]; want++; }
        n = lm_sampler_candidates(s, &c);
        if (i == 0) CHECK(n == 2);                   /* mu = 2: the first two, 0.625 and 0.375 */
        CHECK(n == want);
        if (!CHECK(t >= 0 && t < want)) break;
        CHECK_NEAR(c[0].p, p[0] / left, 1e-6);
        mu -= (double)st.eta * (-log2(p[t] / left) - 1.0);
    }
    lm_sampler_reset(s, 11);
    lm_sample_logits(s, logits);
    CHECK(lm_sampler_candidates(s, &c) == 2);        /* mu is 2 tau again */
    lm_sampler_close(s);

    { static const float even[16] = { 0 };           /* each surprises by 4 bits, more than mu = 2: the first stays */
      set_logits(16, even); s = open_chain(&st, 1, 11);
      CHECK(lm_sample_logits(s, logits) == 0 && lm_sampler_candidates(s, &c) == 1);
      lm_sampler_close(s); }
    no_logits();                                     /* over the whole vocabulary p ~ 1/(id+1): the running surprise nears tau */
    for (i = 0; i < n_vocab; i++) logits[i] = -(float)log(i + 1.0);
    st.tau = 3; st.eta = 0.1f;
    s = open_chain(&st, 1, 2);
    for (i = 0; i < 4000; i++) {
        lm_token t = lm_sample_logits(s, logits);
        n = lm_sampler_candidates(s, &c);
        for (k = 0; k < n && c[k].id != t; k++) {}
        if (!CHECK(k < n)) break;
        if (i >= 1000) sum -= log2((double)c[k].p);
    }
    CHECK_NEAR(sum / 3000, 3.0, 0.1);
    lm_sampler_close(s);
    note("mirostat 2: 200 steps of mu by hand, mean surprise %.3f bits for tau 3", sum / 3000);
}

static void test_draws(void) {
    static const double p[5] = { 0.4, 0.3, 0.15, 0.1, 0.05 };
    lm_step st[2]; lm_sampler *s; int i, k, count[5] = { 0 }, differ = 0; double chi = 0; lm_token first[50];
    set_probs(5, p);
    st[0] = step_temp(1);
    s = open_chain(st, 1, 123);
    for (i = 0; i < 100000; i++) { lm_token t = lm_sample_logits(s, logits); if (t >= 0 && t < 5) count[t]++; }
    for (k = 0; k < 5; k++) chi += (count[k] - 1e5 * p[k]) * (count[k] - 1e5 * p[k]) / (1e5 * p[k]);
    CHECK(chi < 18.47);               /* 4 degrees of freedom: chance passes this once in a thousand seeds */
    lm_sampler_close(s);
    for (i = 0; i < n_vocab; i++) logits[i] = (float)((i * 37) % 101) * 0.02f;
    st[0] = step_p(LM_STEP_TOP_P, 0.9); st[1] = step_temp(0.8);
    s = open_chain(st, 2, 99);
    for (i = 0; i < 50; i++) first[i] = lm_sample_logits(s, logits);
    lm_sampler_reset(s, 99);
    for (i = 0; i < 50; i++) { lm_sampler_candidates(s, NULL); CHECK(lm_sample_logits(s, logits) == first[i]); } /* looking changes nothing */
    lm_sampler_close(s);
    s = open_chain(st, 2, 99);
    for (i = 0; i < 50; i++) CHECK(lm_sample_logits(s, logits) == first[i]);
    lm_sampler_reset(s, 100);
    for (i = 0; i < 50; i++) differ += lm_sample_logits(s, logits) != first[i];
    CHECK(differ > 25);
    lm_sampler_close(s);
    note("draws: chi-square %.2f over 100000 (under 18.47), the same seed the same 50 tokens, another seed %d others", chi, differ);
}

/* One answer: ids, logits and probabilities of 400 draws, bit for bit, on every machine and compiler. Logits are made from integers. */
static void test_same_bits(void) {
    lm_step st[4]; lm_sampler *s; rng r; uint64_t h = FNV1A; int i, k, round;
    r.s = 8;
    for (round = 0; round < 4; round++) {
        st[0] = step(LM_STEP_PENALTIES); st[0].repeat = 1.1f; st[0].freq = 0.1f; st[1] = step_temp(0.7);
        st[2] = round < 2 ? step_p(LM_STEP_TYPICAL_P, 0.8) : step_p(LM_STEP_TOP_P, 0.9);
        st[3] = round % 2 ? step(LM_STEP_MIROSTAT2) : step_p(LM_STEP_MIN_P, 0.05);
        s = open_chain(st, 4, 77);
        for (i = 0; i < 100; i++) {
            const lm_candidate *c = NULL; uint32_t id; int n;
            no_logits();
            for (k = 0; k < 64; k++) logits[k] = (float)(int)(rng_u32(&r) >> 16) * 0x1p-13f;
            id = (uint32_t)lm_sample_logits(s, logits);
            n = lm_sampler_candidates(s, &c);
            for (k = 0; k < n; k++) {
                float l_p[2];
                l_p[0] = c[k].logit; l_p[1] = c[k].p; h = fnv1a_floats(h, l_p, 2);
                id = id * 31 + (uint32_t)c[k].id;
            }
            for (k = 0; k < 4; k++) { uint8_t byte = (uint8_t)(id >> 8 * k); h = fnv1a(h, &byte, 1); }
        }
        lm_sampler_close(s);
    }
    if (!CHECK(h == SAME_BITS)) note("the checksum is 0x%08lx%08lx", (unsigned long)(h >> 32), (unsigned long)(h & 0xffffffffu));
    note("one answer: the checksum of 400 draws with their candidates is the committed one");
}

/* ---- the descriptor and memory */
static void refuse(const lm_sampler_desc *d, const char *text) {
    lm_error e; lm_sampler *s = (lm_sampler *)(void *)&e; size_t n = 77; lm_sampler *before = s;
    e.status = LM_OK; e.text[0] = 0;
    CHECK_STATUS(lm_sampler_open(&s, test_model(), d, &e), LM_E_ARG);
    if (!CHECK(strncmp(e.text, text, strlen(text)) == 0 && e.status == LM_E_ARG)) note("expected \"%s\", got \"%s\"", text, e.text);
    CHECK(s == before);
    CHECK(lm_sampler_size(test_model(), d, &n, NULL) == LM_E_ARG && n == 77);
}
static void test_errors(void) {
    lm_step st[33]; lm_sampler_desc d; lm_bias b; lm_sampler *s = NULL; int i; size_t n; lm_error e;
    memset(&d, 0, sizeof d); memset(st, 0, sizeof st);
    d.steps = st; d.n_steps = 3;
    st[0] = step_temp(1); st[1] = step_n(LM_STEP_TOP_K, 5); st[2] = step_p(LM_STEP_TOP_P, 0);
    st[2].p = NAN;                                     refuse(&d, "steps[2]: top_p is nan");
    st[2] = step_p(LM_STEP_MIN_P, 0); st[2].p = INFINITY;  refuse(&d, "steps[2]: min_p is inf");
    st[2] = step_p(LM_STEP_TYPICAL_P, 0); st[2].p = NAN;   refuse(&d, "steps[2]: typical_p is nan");
    st[2] = step_temp(0); st[2].temp = NAN;            refuse(&d, "steps[2]: temp is nan");
    st[2] = step((lm_step_kind)0);                     refuse(&d, "steps[2]: kind 0 is no step");
    st[2] = step((lm_step_kind)9);                     refuse(&d, "steps[2]: kind 9 is no step");
    st[2] = step_n(LM_STEP_PENALTIES, -2);             refuse(&d, "steps[2]: penalties: window n is -2");
    st[2] = step(LM_STEP_PENALTIES); st[2].repeat = -1;    refuse(&d, "steps[2]: penalties: repeat is -1");
    st[2].repeat = NAN;                                refuse(&d, "steps[2]: penalties: repeat is nan");
    st[2].repeat = 1; st[2].freq = NAN;                refuse(&d, "steps[2]: penalties: freq is nan");
    st[2].freq = 0; st[2].presence = -INFINITY;        refuse(&d, "steps[2]: penalties: presence is -inf");
    st[2] = step(LM_STEP_MIROSTAT2); st[2].tau = NAN;  refuse(&d, "steps[2]: mirostat2: tau is nan");
    st[2].tau = 5; st[2].eta = -1;                     refuse(&d, "steps[2]: mirostat2: eta is -1");
    st[0] = step(LM_STEP_MIROSTAT2); st[2] = step_temp(1); refuse(&d, "steps[0]: mirostat2 ends the chain");
    st[0] = step(LM_STEP_BIAS); st[0].n_bias = -1;     refuse(&d, "steps[0]: bias: n_bias is -1");
    st[0].n_bias = 1;                                  refuse(&d, "steps[0]: bias: n_bias is 1, bias is NULL");
    st[0].bias = &b; b.id = n_vocab; b.bias = 0;       refuse(&d, "steps[0]: bias[0].id is ");
    b.id = -1;                                         refuse(&d, "steps[0]: bias[0].id is -1");
    b.id = 0; b.bias = NAN;                            refuse(&d, "steps[0]: bias[0].bias is nan");
    for (i = 0; i < 33; i++) st[i] = step_temp(1);
    d.n_steps = 33;                                    refuse(&d, "sampler: n_steps is 33");
    d.n_steps = -1;                                    refuse(&d, "sampler: n_steps is -1");
    d.n_steps = 1; d.steps = NULL;                     refuse(&d, "sampler: n_steps is 1, steps is NULL");
    d.steps = st; d.n_prev = -1;                       refuse(&d, "sampler: n_prev is -1");
    d.n_prev = 0; d.n_steps = 32;
    CHECK(lm_sampler_open(&s, test_model(), &d, &e) == LM_OK && e.text[0] == 0);
    lm_sampler_close(s);
    CHECK(lm_sampler_open(&s, NULL, &d, NULL) == LM_E_ARG && lm_sampler_open(&s, test_model(), NULL, NULL) == LM_E_ARG);
    CHECK(lm_sampler_open(NULL, test_model(), &d, NULL) == LM_E_ARG && lm_sampler_size(test_model(), &d, NULL, NULL) == LM_E_ARG);
    CHECK(lm_sampler_size(NULL, &d, &n, NULL) == LM_E_ARG);
    lm_sampler_close(NULL); lm_sampler_reset(NULL, 1); lm_sampler_accept(NULL, 1);
    note("descriptor: %d broken ones refused with the step's name", 23);
}

static void test_memory(void) {
    lm_step st[8]; lm_sampler_desc d; lm_sampler *s = NULL; lm_bias b; lm_error e; lm_token plain[20];
    heap h; size_t n = 0, k, off; char *block; int i;
    memset(&d, 0, sizeof d); memset(&h, 0, sizeof h);
    b.id = 3; b.bias = 1;
    st[0] = step(LM_STEP_PENALTIES); st[0].repeat = 1.1f; st[1] = step(LM_STEP_BIAS); st[1].bias = &b; st[1].n_bias = 1;
    st[2] = step_n(LM_STEP_TOP_K, 40); st[3] = step_p(LM_STEP_TYPICAL_P, 0.9); st[4] = step_p(LM_STEP_TOP_P, 0.9);
    st[5] = step_p(LM_STEP_MIN_P, 0.05); st[6] = step_temp(0.8); st[7] = step(LM_STEP_MIROSTAT2);
    d.steps = st; d.n_steps = 8; d.seed = 4;
    for (i = 0; i < n_vocab; i++) logits[i] = (float)((i * 37) % 101) * 0.05f;
    d.hooks = heap_hooks(&h);
    for (h.fail_at = 1; h.fail_at < 10; h.fail_at++) { /* each allocation fails once; what follows works */
        h.n_takes = 0;
        if (lm_sampler_open(&s, test_model(), &d, &e) == LM_OK) break;
        CHECK(e.status == LM_E_MEMORY && h.n_live == 0);
    }
    CHECK(h.fail_at == 2);            /* there is one */
    for (i = 0; i < 20; i++) plain[i] = lm_sample_logits(s, logits);
    lm_sampler_reset(s, 1); lm_sampler_accept(s, 1); lm_sampler_candidates(s, NULL);
    CHECK(h.n_takes == 1 && h.n_gives == 0 && h.n_live == 1);
    CHECK(lm_sampler_size(test_model(), &d, &n, &e) == LM_OK && h.live == n);
    lm_sampler_close(s);
    CHECK(h.n_gives == 1 && h.n_live == 0 && h.live == 0 && h.bad == 0);

    block = (char *)malloc(n + 64);
    if (!CHECK(block != NULL)) return;
    h.n_takes = 0;
    for (k = 0; k < n; k += k < 64 ? 1 : n / 16) {    /* too small, by any amount */
        d.block = block; d.block_bytes = k;
        CHECK(lm_sampler_open(&s, test_model(), &d, &e) == LM_E_MEMORY && strstr(e.text, "block") != NULL);
    }
    d.block_bytes = n - 1;
    CHECK(lm_sampler_open(&s, test_model(), &d, &e) == LM_E_MEMORY);
    for (off = 0; off < 64; off += 7) {              /* just enough, at any alignment, filled with anything */
        memset(block, 0xa5, n + 64);
        d.block = block + off; d.block_bytes = n;
        if (!CHECK(lm_sampler_open(&s, test_model(), &d, &e) == LM_OK)) continue;
        for (i = 0; i < 20; i++) CHECK(lm_sample_logits(s, logits) == plain[i]);
        lm_sampler_close(s);
        for (k = 0; k < off; k++) CHECK(block[k] == (char)0xa5);
        for (k = off + n; k < n + 64; k++) CHECK(block[k] == (char)0xa5);
    }
    CHECK(h.n_takes == 0 && h.n_gives == 1);
    free(block);
    note("memory: %lu bytes in one piece, in blocks of the caller's at 10 alignments, nothing taken by 20 draws", (unsigned long)n);
}

static void test_context(void) {
    lm_ctx *c = open_ctx(test_model(), 16, 4, 1, LM_CACHE_F32, LM_COMPUTE_F32, 1);
    lm_step st = step_temp(1); lm_batch b; lm_token id = 1, t, best = 0; lm_sampler *s; lm_counters n; const float *l; int i;
    if (c == NULL) return;
    memset(&b, 0, sizeof b);
    b.ids = &id; b.n = 1;
    CHECK(lm_sample(c, -1, NULL) == LM_E_ARG && lm_sample(NULL, -1, NULL) == LM_E_ARG); /* nothing decoded */
    CHECK(lm_decode(c, &b) == LM_OK);
    l = lm_logits(c, -1);
    if (CHECK(l != NULL)) {
        for (i = 1; i < n_vocab; i++) if (l[i] > l[best]) best = i;
        CHECK(lm_sample(c, -1, NULL) == best && lm_sample(c, 0, NULL) == best);
        CHECK(lm_sample(c, 1, NULL) == LM_E_ARG && lm_sample(c, -2, NULL) == LM_E_ARG);
        s = open_chain(&st, 1, 5);
        t = lm_sample_logits(s, l);
        lm_sampler_reset(s, 5);
        CHECK(lm_sample(c, -1, s) == t);
        lm_sampler_close(s);
        lm_get_counters(c, &n);
        CHECK(n.n_samples == 3);
    }
    lm_ctx_close(c);
    note("a context: greedy and drawn, rows that were not asked for, the counter");
}

void test_sample(void);
void test_sample(void) {
    lm_model_info info;
    if (!CHECK(test_model() != NULL)) return;
    lm_model_get_info(test_model(), &info);
    n_vocab = info.n_vocab;
    if (!CHECK(n_vocab >= 64 && n_vocab <= V_MAX)) return;
    test_random();
    test_greedy();
    test_temp();
    test_top_k_min_p();
    test_top_p_typical();
    test_whole();
    test_penalties();
    test_bias();
    test_not_numbers();
    test_order();
    test_mirostat();
    test_draws();
    test_same_bits();
    test_errors();
    test_memory();
    test_context();
}
