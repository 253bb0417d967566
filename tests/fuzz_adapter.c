/* Fuzz target: arbitrary bytes as an adapter of a tiny model, from memory and through read_at. What opens is attached and used, and taken off again: then the
 * model's logits are the bare ones. All memory comes from an allocator that refuses more than 64 MiB. Build as fuzz_gguf.c, with tests/tiny.c and
 * tests/test_util.c. Seeds: the files PREFIX.adapter.gguf of tools/compare_lora.py, or what it writes into the folder LLAMA_FUZZ_SEEDS when it starts. */
#include "tiny.h"
#ifdef LLAMA_FUZZ
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define LIMIT ((size_t)64 << 20)
typedef struct input { const uint8_t *p; size_t n, live; } input;
static void *take(void *user, size_t n, size_t align) {
    input *in = (input *)user; void *p = n > LIMIT - in->live ? NULL : malloc(n);
    (void)align;
    if (p) { memset(p, 0xa5, n); in->live += n; }
    return p;
}
static void give(void *user, void *p, size_t n) { ((input *)user)->live -= n; free(p); }
static int read_at(void *user, uint64_t at, void *to, size_t n) {
    input *in = (input *)user;
    if (at > in->n || n > in->n - at) return 1;
    memcpy(to, in->p + at, n);
    return 0;
}
static lm_model *model; static lm_ctx *ctx; static float bare[1024]; static size_t row;
static lm_status decode(void) {
    static const lm_token ids[3] = { 5, 70, 260 }; lm_batch b;
    memset(&b, 0, sizeof b); b.ids = ids; b.n = 3;
    lm_rewind(ctx, 0, 0);
    return lm_decode(ctx, &b);
}
static void seed_file(const char *dir) { /* one pair, of the first layer's wq */
    gguf_writer a; bytes b; rng r; size_t n; int number; uint8_t *t; char path[600]; r.s = 1;
    memset(&a, 0, sizeof a);
    gguf_str(&a, "general.type", "adapter"); gguf_str(&a, "general.architecture", "llama"); gguf_str(&a, "adapter.type", "lora"); gguf_f32(&a, "adapter.lora.alpha", 4);
    t = tiny_tensor(&r, "F32", 64, -3, &n, &number); gguf_tensor(&a, "blk.0.attn_q.weight.lora_a", number, 2, 32, 2, t, n);
    t = tiny_tensor(&r, "F16", 64, -3, &n, &number); gguf_tensor(&a, "blk.0.attn_q.weight.lora_b", number, 2, 2, 32, t, n);
    b = gguf_write(&a); gguf_free(&a);
    sprintf(path, "%.500s/adapter", dir); write_file(path, b.p, b.n); free(b.p);
}
static void start(void) {
    static bytes file; lm_ctx_desc d; lm_model_info info;
    file = tiny_gguf("nano"); model = open_bytes(file);
    memset(&d, 0, sizeof d); d.n_ctx = 8; d.n_threads = 1;
    if (model == NULL || lm_ctx_open(&ctx, model, &d, NULL) != LM_OK || decode() != LM_OK) abort();
    lm_model_get_info(model, &info);
    row = (size_t)info.n_vocab * sizeof(float);
    if (row > sizeof bare) abort();
    memcpy(bare, lm_logits(ctx, -1), row);
    if (getenv("LLAMA_FUZZ_SEEDS")) seed_file(getenv("LLAMA_FUZZ_SEEDS"));
}
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    int way, opened[2]; lm_status s[2];
    if (model == NULL) start();
    if (n == 0) return 0;
    for (way = 0; way < 2; way++) {
        lm_adapter_desc d; lm_adapter *a = NULL; lm_error err; input in;
        memset(&d, 0, sizeof d); memset(&in, 0, sizeof in);
        in.p = p; in.n = n; d.source.size = n; d.source.user = &in; d.hooks.user = &in; d.hooks.take = take; d.hooks.give = give;
        if (way == 0) d.source.data = p; else d.source.read_at = read_at;
        s[way] = LM_OK; opened[way] = lm_adapter_open(&a, model, &d, &err) == LM_OK;
        if (opened[way]) {
            if (lm_adapter_attach(ctx, 0, a, 0.5f) != LM_OK) abort();
            s[way] = decode();
            if (s[way] != LM_OK && s[way] != LM_E_NUMERIC) abort();
            if (lm_adapter_detach(ctx, 0, a) != LM_OK || decode() != LM_OK || memcmp(lm_logits(ctx, -1), bare, row) != 0) abort();
            lm_adapter_close(a);
        } else if (err.text[0] == 0 || strchr(err.text, '\n')) abort(); /* one line, always */
        if (in.live != 0) abort();
    }
    if (opened[0] != opened[1] || s[0] != s[1]) abort();
    return 0;
}
#endif
