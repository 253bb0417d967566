/* Quantizers: the same bytes everywhere (checksums), errors, odd input; mixes; a model quantized while it is read; observers. */
#include "tiny.h"

#ifndef LLAMA_NO_QUANTIZE
#define ROWS 5
#define N 768                        /* three super-blocks a row: groups of 16 lanes go over the ends of rows */
static const struct { int type; double worst; uint64_t sum[2]; } types[] = { /* relative error of uniform noise; checksums without and with importance */
    { 0, 0, { 0x639ecc06906f489au, 0x639ecc06906f489au } },
    { 1, 0.0003, { 0xc10d1b277f997e01u, 0xc10d1b277f997e01u } },
    { 30, 0.003, { 0x502957d232aae80bu, 0x502957d232aae80bu } },
    { 8, 0.005, { 0x6ea75e3a2e5b087fu, 0x9bcaa590de700a53u } },
    { 2, 0.08, { 0x07465ff4a4613446u, 0x723ee65ffb148550u } },
    { 3, 0.075, { 0x254e55690986aad4u, 0x2d2b632c099b5d92u } },
    { 6, 0.04, { 0xe99ca108cc28bf3eu, 0x0120af9d1fc3296au } },
    { 7, 0.037, { 0xe29cb4a161d9f037u, 0x29b4f0ad6fcc344du } },
    { 10, 0.33, { 0xd417a7a8a72ea0cfu, 0xcd297db408124624u } },
    { 11, 0.17, { 0x5b1988dced2f058du, 0xd740b47c04738000u } },
    { 12, 0.075, { 0xf9b529c01a0557b7u, 0xea77a019d3e7c63du } },
    { 13, 0.037, { 0x3a087d82d6844739u, 0xe40c050e09b252b2u } },
    { 14, 0.019, { 0xe31b402f62c442e5u, 0x984a5e90163fdbbbu } },
    { 20, 0.09, { 0x74847715a333be71u, 0xa5a10f00c4d7f66cu } },
    { 23, 0.09, { 0xa400be0b398da65au, 0x9266bb5b0c1c6331u } }
};
#define N_TYPES ((int)(sizeof types / sizeof types[0]))

static void make(float *x, float *w) { /* from integers: noise; noise with tails; one outlier; a column alone; rising numbers */
    rng r; int i; r.s = 11;
    for (i = 0; i < N; i++) w[i] = (float)(1 + (rng_u32(&r) >> 20)) * (rng_u32(&r) % 8 ? 1.0f : 64.0f);
    for (i = 0; i < ROWS * N; i++) {
        float u = (float)((int32_t)rng_u32(&r) >> 8) / 8388608.0f;
        x[i] = i < N ? u : i < 2 * N ? u * u * u : i < 3 * N ? u * 0.01f : i < 4 * N ? 0 : (float)(i % N) / 512 - 0.3f;
    }
    x[2 * N + 100] = 9; x[3 * N + 300] = -1.25f;
}
static double error_of(const float *x, const float *y, const float *w, int rows) { /* of the squares of x */
    double e = 0, all = 0; int i;
    for (i = 0; i < rows * N; i++) { double d = (double)x[i] - (double)y[i], f = w ? (double)w[i % N] : 1; e += f * d * d; all += f * (double)x[i] * (double)x[i]; }
    return sqrt(e / all);
}
static void one_type(int k, const float *x, const float *w) {
    static uint8_t out[2][ROWS * N * 4], part[ROWS * N * 4]; static float y[2][ROWS * N], z[N]; int type = types[k].type, i, imp, finite; double e[2];
    size_t row = (size_t)lm_row_bytes(type, N);
    for (imp = 0; imp < 2; imp++) {
        const float *f = imp ? w : NULL; uint64_t sum;
        CHECK_STATUS(lm_quantize(type, x, ROWS, N, f, out[imp]), LM_OK);
        for (i = 0; i < ROWS; i++) CHECK_STATUS(lm_quantize(type, x + i * N, 1, N, f, part + (size_t)i * row), LM_OK);
        CHECK_BITS(part, out[imp], ROWS * row);              /* rows know nothing of each other */
        CHECK_STATUS(lm_dequantize(type, out[imp], ROWS * N, y[imp]), LM_OK);
        sum = fnv1a(FNV1A, out[imp], ROWS * row);
        if (!CHECK(sum == types[k].sum[imp])) note("%s: checksum 0x%08lx%08lx", lm_type_name(type), (unsigned long)(sum >> 32), (unsigned long)(sum & 0xffffffffu));
    }
    e[0] = error_of(x, y[0], NULL, 1);
    if (!CHECK(e[0] <= types[k].worst)) note("%s: error %g", lm_type_name(type), e[0]);
    e[0] = error_of(x, y[0], w, ROWS); e[1] = error_of(x, y[1], w, ROWS);
    if (!CHECK(type <= 1 || type == 30 || e[1] < e[0])) note("%s: weighted error %g, without importance %g", lm_type_name(type), e[1], e[0]);
    for (i = 0; i < N; i++) z[i] = 0;
    CHECK_STATUS(lm_quantize(type, z, 1, N, NULL, out[0]), LM_OK);
    CHECK_STATUS(lm_dequantize(type, out[0], N, y[0]), LM_OK);
    CHECK_BITS(y[0], z, N * 4);
    for (i = 0; i < 6; i++) { /* constants, from beyond the range to below it, and no importance anywhere */
        static const float c[6] = { 1.0f, -3.5f, 3e38f, -1e30f, 1e-30f, 1e-44f }; int j;
        for (j = 0; j < N; j++) z[j] = i > 1 && j % 3 == 0 ? -c[i] : c[i];
        for (imp = 0; imp < 2; imp++) {
            float zeros[N]; memset(zeros, 0, sizeof zeros);
            CHECK_STATUS(lm_quantize(type, z, 1, N, imp ? zeros : NULL, out[0]), LM_OK);
            CHECK_STATUS(lm_dequantize(type, out[0], N, y[0]), LM_OK);
            for (finite = 1, j = 0; j < N; j++) finite &= y[0][j] - y[0][j] == 0;
            if (!CHECK(finite)) note("%s of %g", lm_type_name(type), (double)c[i]);
            for (j = 0; j < N && (i == 2 || i == 3); j++) if (!((double)y[0][j] * (z[j] > 0 ? 1 : -1) > 65503)) {
                FAIL("saturation"); note("%s of %g: %g", lm_type_name(type), (double)z[j], (double)y[0][j]); break;
            }
            if (i < 2 && !CHECK(error_of(z, y[0], NULL, 1) < 0.02)) note("%s of %g: %g", lm_type_name(type), (double)c[i], (double)y[0][1]);
        }
    }
    for (i = 0; i < 3; i++) { /* what is no number */
        static const uint32_t bits[3] = { 0x7fc00000u, 0x7f800000u, 0xff800000u }; float bad, old = z[700];
        memcpy(&bad, &bits[i], 4);
        z[700] = bad; CHECK_STATUS(lm_quantize(type, z, 1, N, NULL, out[0]), LM_E_NUMERIC);
        z[700] = old; memcpy(y[0], w, N * 4); y[0][5] = i ? bad : -1; CHECK_STATUS(lm_quantize(type, x, 1, N, y[0], out[0]), LM_E_NUMERIC);
    }
    if (type > 1 && type != 30) CHECK_STATUS(lm_quantize(type, x, 1, 31, NULL, out[0]), LM_E_ARG);
}

/* ---- models */
static bytes quantized_file(const tiny_spec *s, const char *mix) { /* what tools/quantize.c makes of it: all tensors by the mix's types */
    gguf_writer g, q; bytes plain, b; lm_model *m; lm_model_desc d; int i, *to; lm_tensor t; lm_error e;
    memset(&b, 0, sizeof b);
    tiny_writer(s, &g); plain = gguf_write(&g); gguf_free(&g);
    memset(&d, 0, sizeof d); d.source.data = plain.p; d.source.size = plain.n; d.vocab_only = 2;
    if (lm_model_open(&m, &d, &e) != LM_OK) { FAIL(e.text); free(plain.p); return b; }
    to = (int *)malloc(sizeof *to * (size_t)lm_tensor_count(m));
    CHECK_STATUS(lm_mix_types(m, mix, 0, to), LM_OK);
    tiny_writer(s, &q);
    for (i = 0; lm_tensor_at(m, i, &t) == LM_OK; i++) {
        size_t n = (size_t)(t.dims[0] * t.dims[1]), n_out = (size_t)(lm_row_bytes(to[i], t.dims[0]) * t.dims[1]);
        float *x = (float *)malloc(n * 4); uint8_t *out = (uint8_t *)malloc(n_out);
        if (to[i] == t.type || (t.type > 1 && t.type != 30)) { free(x); free(out); continue; } /* reading leaves alone what is quantized */
        CHECK_STATUS(lm_dequantize(t.type, t.data, n, x), LM_OK);
        CHECK_STATUS(lm_quantize(to[i], x, t.dims[1], t.dims[0], NULL, out), LM_OK);
        free(q.tensor[i].data); free(x);
        q.tensor[i].type = to[i]; q.tensor[i].data = out; q.tensor[i].n_bytes = n_out;
    }
    b = gguf_write(&q);
    gguf_free(&q); lm_model_close(m); free(plain.p); free(to);
    return b;
}
static int read_at(void *user, uint64_t offset, void *dst, size_t n) { memcpy(dst, (const uint8_t *)user + offset, n); return 0; }
static void while_reading(const char *name, const char *mix) {
    const tiny_spec *s = tiny_find(name); gguf_writer g; bytes plain, file = quantized_file(s, mix); lm_model *m[4]; lm_model_desc d; lm_tensor t;
    uint64_t sum[4][SUMS_N], us; float range[2]; lm_error e; lm_model_info info[2]; heap h; int i; size_t most;
    tiny_writer(s, &g); plain = gguf_write(&g); gguf_free(&g);
    m[0] = open_bytes(file);
    for (i = 1; i < 4; i++) { /* from memory, through read_at, from memory by three threads */
        memset(&d, 0, sizeof d); memset(&h, 0, sizeof h); d.source.size = plain.n; d.quantize = mix; d.hooks = heap_hooks(&h);
        d.n_threads = i == 1 ? 1 : 3;
        if (i != 2) d.source.data = plain.p; else { d.source.read_at = read_at; d.source.user = plain.p; }
        m[i] = NULL;
        if (lm_model_open(&m[i], &d, &e) != LM_OK) { FAIL("lm_model_open"); note("%s", e.text); }
        else { memset(range, 0, sizeof range); most = h.peak; logit_sums(m[i], 0, 1, 64, TINY_TOKENS, sum[i], range, &us);
            lm_model_get_info(m[i], &info[1]); CHECK(most < info[1].n_block_bytes + 300000); /* tables, and some rows */
            lm_model_close(m[i]); CHECK(h.n_live == 0 && !h.bad); }
    }
    if (m[0]) {
        memset(range, 0, sizeof range);
        logit_sums(m[0], 0, 1, 64, TINY_TOKENS, sum[0], range, &us);
        for (i = 1; i < 4; i++) CHECK_BITS(sum[i], sum[0], sizeof sum[0]);
        lm_model_close(m[0]);
    }
    memset(&d, 0, sizeof d); d.source.data = plain.p; d.source.size = plain.n; d.quantize = "Q4_K_X";
    CHECK_STATUS(lm_model_open(&m[0], &d, &e), LM_E_ARG);
    d.quantize = "Q8_0"; d.plain_layout = 1;
    CHECK_STATUS(lm_model_open(&m[0], &d, &e), LM_E_ARG);
    d.quantize = NULL; d.plain_layout = 0; d.vocab_only = 2;
    if (CHECK(lm_model_open(&m[0], &d, &e) == LM_OK)) {
        CHECK_STATUS(lm_tensor_find(m[0], "blk.1.ffn_down.weight", &t), LM_OK);
        memset(plain.p + ((const uint8_t *)t.data - plain.p) + 64, 255, 4); /* no number */
        lm_model_close(m[0]);
        for (i = 1; i < 4; i++) {
            d.vocab_only = 0; d.quantize = mix; d.n_threads = i;
            CHECK_STATUS(lm_model_open(&m[0], &d, &e), LM_E_FORMAT); CHECK(strstr(e.text, "blk.1.ffn_down.weight: a weight is no number") != NULL);
        }
    }
    free(plain.p); free(file.p);
}

typedef struct seen { uint64_t sum; int n; double squares; } seen;
static void look(void *user, const char *name, const float *x, int n_in, int n_tok) {
    seen *s = (seen *)user; int i;
    if (strcmp(name, "blk.1.ffn_down.weight") != 0) { s->n++; return; }
    s->sum = fnv1a_floats(s->sum, x, (size_t)n_in * (size_t)n_tok);
    for (i = 0; i < n_in * n_tok; i++) s->squares += (double)x[i] * (double)x[i];
}
static void observed(void) {
    const tiny_spec *s = tiny_find("Q4_K"); bytes file; lm_model *m = tiny_open(s, 0, &file); lm_ctx_desc d; lm_ctx *c; lm_token ids[TINY_TOKENS];
    lm_batch b; int i; seen got[3]; lm_model_info info; lm_error e;
    if (m == NULL) { FAIL("tiny_open"); return; }
    lm_model_get_info(m, &info); tiny_tokens(ids, TINY_TOKENS, info.n_vocab);
    for (i = 0; i < 3; i++) {
        memset(&got[i], 0, sizeof got[i]); got[i].sum = FNV1A;
        memset(&d, 0, sizeof d); d.n_ctx = 64; d.n_batch = i == 2 ? 5 : 64; d.n_threads = i == 1 ? 2 : 1; d.observe = look; d.observe_user = &got[i];
        if (!CHECK(lm_ctx_open(&c, m, &d, &e) == LM_OK)) break;
        memset(&b, 0, sizeof b); b.ids = ids; b.n = TINY_TOKENS;
        CHECK_STATUS(lm_decode(c, &b), LM_OK);
        lm_ctx_close(c);
    }
    CHECK(got[0].squares > 0 && got[0].sum == got[1].sum && got[0].sum == got[2].sum);
    CHECK(got[0].n == 2 * 7 - 1 + 1 && got[2].n == 5 * (2 * 7 - 1) + 1); /* all others, for each batch; the output once, where logits are wanted */
    lm_model_close(m); free(file.p);
}
#endif

void test_quantize(void);
void test_quantize(void) {
#ifdef LLAMA_NO_QUANTIZE
    SKIP("built without");
#else
    static float x[ROWS * N], w[N]; uint8_t out[512]; int i;
    make(x, w);
    for (i = 0; i < N_TYPES; i++) one_type(i, x, w);
    CHECK_STATUS(lm_quantize(39, x, 1, 256, NULL, out), LM_E_SUPPORT);
    CHECK_STATUS(lm_quantize(-7, x, 1, 256, NULL, out), LM_E_ARG);
    CHECK_STATUS(lm_quantize(8, NULL, 1, 256, NULL, out), LM_E_ARG);
    CHECK_STATUS(lm_quantize(8, x, 0, 256, NULL, out), LM_OK);
    CHECK(lm_mix_find("Q4_K") == 15 && lm_mix_find("Q4_K_S") == 14 && lm_mix_find("Q8_0") == 7 && lm_mix_find("q8_0") == -1 && lm_mix_find("Q2") == -1);
    CHECK(lm_type_find("Q4_K") == 12 && lm_type_find("?") == -1 && lm_row_bytes(12, 512) == 288 && lm_row_bytes(12, 100) == 0);
    while_reading("F32", "Q4_K_M"); while_reading("F16", "Q8_0"); while_reading("BF16", "IQ4_NL");
    while_reading("heads", "Q3_K_M"); while_reading("odd", "Q4_0"); while_reading("mixed", "Q2_K");
    observed();
#endif
}
