/* Training's kernels and driver with double as their real type, over the scalar text: every gradient against central differences of the loss, which in
 * double leave no room for a wrong factor. Small shapes in which no size is a multiple of anything; each case has one part of the loss or the model
 * that the others have not. Ends with `N passed, M failed, K skipped`. */
#define LLAMA_STATIC
#define LLAMA_NO_SIMD
#define LLAMA_NO_CHAT
#define LLAMA_TRAIN
#define LLAMA_TRAIN_DOUBLE
#define LLAMA_IMPLEMENTATION
#include "../../llama.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 2, LEN = 35, VOCAB = 19, SOFT = 5 };
static uint64_t state = 1;
static double uniform(void) { state = state * 6364136223846793005u + 1442695040888963407u; return (double)(state >> 40) / 16777216.0; }
typedef struct test_case {
    const char *name; int tied, packed, weighted, lora, recompute; double smoothing, soft_share, temperature, dropout; int whole; /* soft targets of all of the vocabulary */
} test_case;
static const test_case cases[] = {
    { "plain", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },            { "tied", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
    { "packed, weighted", 0, 1, 1, 0, 0, 0, 0, 0, 0, 0 }, { "label smoothing", 0, 0, 1, 0, 0, 0.1, 0, 0, 0, 0 },
    { "soft targets", 0, 0, 0, 0, 0, 0, 0.7, 2.5, 0, 0 }, { "soft targets, temperature 1, smoothing", 0, 0, 1, 0, 0, 0.2, 0.4, 1, 0, 1 },
    { "dropout, recomputed", 1, 1, 0, 0, 1, 0, 0, 0, 0.3, 0 }, { "adapters", 0, 1, 1, 3, 0, 0, 0, 0, 0, 0 }, { "adapters, dropout, recomputed", 1, 0, 0, 2, 1, 0, 0, 0, 0.2, 0 }
};

/* A base for adapters: a file in memory, all float32. */
static unsigned char file[1 << 18]; static size_t n_file;
static void put(const void *p, size_t n) { memcpy(file + n_file, p, n); n_file += n; }
static void put32(uint32_t v) { unsigned char b[4]; int i; for (i = 0; i < 4; i++) b[i] = (unsigned char)(v >> 8 * i); put(b, 4); }
static void put64(uint64_t v) { put32((uint32_t)v); put32((uint32_t)(v >> 32)); }
static void put_text(const char *s) { put64(strlen(s)); put(s, strlen(s)); }
static void key_int(const char *k, int v) { put_text(k); put32(4); put32((uint32_t)v); }
static void key_text(const char *k, const char *v) { put_text(k); put32(8); put_text(v); }
static void key_real(const char *k, float v) { uint32_t u; memcpy(&u, &v, 4); put_text(k); put32(6); put32(u); }
static void make_file(lm_train *t) {
    lm_train_info in; lm_train_tensor x; int i; uint64_t at = 0, k;
    lm_train_get_info(t, &in);
    n_file = 0; put("GGUF", 4); put32(3); put64((uint64_t)in.n_tensors); put64(12);
    key_text("general.architecture", "llama"); key_int("llama.context_length", 64); key_int("llama.embedding_length", in.shape.n_embd); key_int("llama.block_count", in.shape.n_layer);
    key_int("llama.feed_forward_length", in.shape.n_ff); key_int("llama.attention.head_count", in.shape.n_head); key_int("llama.attention.head_count_kv", in.shape.n_head_kv);
    key_int("llama.attention.key_length", in.shape.n_embd_head); key_int("llama.attention.value_length", in.shape.n_embd_head);
    key_real("llama.attention.layer_norm_rms_epsilon", 1e-5f); key_int("llama.attention.sliding_window", 21); key_text("tokenizer.ggml.model", "none");
    for (i = 0; i < in.n_tensors; i++) {
        lm_train_tensor_at(t, i, &x);
        put_text(x.name); put32((uint32_t)x.n_dims); put64(x.dims[0]); if (x.n_dims == 2) put64(x.dims[1]);
        put32(0); put64(at); at += (x.dims[0] * x.dims[1] * 4 + 31) & ~(uint64_t)31;
    }
    while (n_file % 32) file[n_file++] = 0;
    for (i = 0; i < in.n_tensors; i++) {
        lm_train_tensor_at(t, i, &x);
        for (k = 0; k < x.dims[0] * x.dims[1]; k++) { float f = (float)x.value[k]; uint32_t u; memcpy(&u, &f, 4); put32(u); }
        while (n_file % 32) file[n_file++] = 0;
    }
}
static double loss_of(lm_train *t, lm_train_batch *b) {
    if (lm_train_run(t, b) != LM_OK) { printf("FAILED: %s\n", lm_train_error(t)); exit(1); }
    return b->loss;
}
static int check(const test_case *c) {
    lm_train_shape s; lm_train_desc d; lm_train *t; lm_train_info in; lm_train_tensor x; lm_train_batch b; lm_model *m = NULL; lm_model_desc md; lm_error err;
    static lm_token ids[ROWS * LEN], targets[ROWS * LEN], soft_ids[ROWS * LEN * VOCAB]; static int32_t start[ROWS * LEN]; static double weight[ROWS * LEN], soft[ROWS * LEN * VOCAB];
    static double grad[20000]; int i, k, n_soft = c->whole ? VOCAB : SOFT, n = 0; double worst = 0, up, down, h, got, want; size_t at;
    memset(&s, 0, sizeof s); memset(&d, 0, sizeof d); memset(&b, 0, sizeof b); memset(&md, 0, sizeof md);
    s.n_vocab = VOCAB; s.n_embd = 10; s.n_layer = 2; s.n_head = 4; s.n_head_kv = 2; s.n_embd_head = 6; s.n_ff = 13; s.tied = c->tied;
    d.shape = &s; d.seed = 5; d.n_rows = ROWS; d.n_len = LEN; d.n_threads = 1;
    if (c->lora) {
        if (lm_train_open(&t, &d, &err) != LM_OK) { printf("FAILED: %s\n", err.text); return 0; }
        lm_train_get_info(t, &in); for (at = 0; at < in.n_floats; at++) in.value[at] *= 8;
        make_file(t); lm_train_close(t);
        md.source.data = file; md.source.size = n_file;
        if (lm_model_open(&m, &md, &err) != LM_OK) { printf("FAILED: %s\n", err.text); return 0; }
        d.base = m; d.lora_rank = c->lora; d.lora_alpha = 4;
    }
    d.recompute = c->recompute; d.dropout = (float)c->dropout;
    if (lm_train_open(&t, &d, &err) != LM_OK) { printf("FAILED: %s: %s\n", c->name, err.text); return 0; }
    lm_train_get_info(t, &in);
    for (i = 0; i < in.n_tensors; i++) { /* larger than first weights are, so that nothing is nearly linear */
        lm_train_tensor_at(t, i, &x);
        for (at = 0; at < x.dims[0] * x.dims[1]; at++) x.value[at] = x.n_dims == 1 ? 0.5 + uniform() : (uniform() - 0.5) * (c->lora ? 0.4 : 1.2);
    }
    for (i = 0; i < ROWS * LEN; i++) {
        double sum = 0;
        ids[i] = (lm_token)(uniform() * VOCAB); targets[i] = uniform() < 0.2 ? -1 : (lm_token)(uniform() * VOCAB); weight[i] = uniform() * 2 - 0.7;
        start[i] = i % LEN == 0 ? 0 : uniform() < 0.12 ? i % LEN : start[i - 1];
        for (k = 0; k < n_soft; k++) { soft_ids[i * n_soft + k] = (lm_token)((k * 3 + i) % VOCAB); sum += soft[i * n_soft + k] = uniform() + 0.05; }
        for (k = 0; k < n_soft; k++) soft[i * n_soft + k] /= sum * (c->whole ? 1 : 1.1); /* the likeliest few have not all */
    }
    b.n_rows = ROWS; b.n_len = LEN; b.ids = ids; b.targets = targets; b.scale = 0.1; b.step = 3; b.label_smoothing = c->smoothing;
    if (c->packed) b.start = start;
    if (c->weighted) b.weight = weight;
    if (c->soft_share > 0) { b.soft_p = soft; b.n_soft = n_soft; b.soft_ids = c->whole ? NULL : soft_ids; b.soft_share = c->soft_share; b.temperature = c->temperature; }
    loss_of(t, &b);
    if (in.n_floats > sizeof grad / sizeof grad[0]) { printf("FAILED: too many weights\n"); return 0; }
    memcpy(grad, in.grad, in.n_floats * sizeof *grad);
    for (i = 0; i < in.n_tensors; i++) {
        lm_train_tensor_at(t, i, &x);
        for (at = (size_t)(uniform() * 3); at < x.dims[0] * x.dims[1]; at += 1 + x.dims[0] * x.dims[1] / 7, n++) {
            double was = x.value[at];
            h = c->lora ? 2e-6 : 1e-5; x.value[at] = was + h; up = loss_of(t, &b); x.value[at] = was - h; down = loss_of(t, &b); x.value[at] = was;
            want = (up - down) / (2 * h); got = grad[(size_t)(x.grad - in.grad) + at];
            if (fabs(got - want) > worst) worst = fabs(got - want);
            if (!(fabs(got - want) <= 1e-7 + 1e-6 * fabs(want))) { printf("FAILED: %s: %s[%d]: gradient %.10g, difference %.10g\n", c->name, x.name, (int)at, got, want); return 0; }
        }
    }
    printf("%s: %d differences, the furthest off by %.2g\n", c->name, n, worst);
    lm_train_close(t); lm_model_close(m);
    return 1;
}
int main(void) {
    int i, passed = 0, n = (int)(sizeof cases / sizeof cases[0]);
    for (i = 0; i < n; i++) passed += check(&cases[i]);
    printf("%d passed, %d failed, 0 skipped\n", passed, n - passed);
    return passed != n;
}
