/* Fuzz target: arbitrary bytes as a model, from memory, through read_at, and through a read_at whose bytes change between two readings.
 * What opens is used: three tokens, a little text; the logits do not depend on where the bytes came from, nor on plain_layout. All memory
 * comes from an allocator that refuses more than 64 MiB. Build:
 *   clang -g -O1 -fsanitize=fuzzer-no-link,address,undefined -DLLAMA_IMPLEMENTATION -c -x c llama.h -o llama.o
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -DLLAMA_FUZZ tests/fuzz_gguf.c llama.o -lm -lpthread
 * or, to replay files without libFuzzer: cc -DLLAMA_FUZZ tests/fuzz_gguf.c tests/fuzz_main.c llama.o. Seeds: tests/programs/make_hostile.
 * Nothing is left of this file without LLAMA_FUZZ, so that all of tests/ stays one program. */
#include "../llama.h"
#include <stdlib.h>
#include <string.h>
#ifdef LLAMA_FUZZ
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define LIMIT ((size_t)64 << 20)
typedef struct input { const uint8_t *p; size_t n, live, n_read; int change; } input;
static void *take(void *user, size_t n, size_t align) {
    input *in = (input *)user; void *p = n > LIMIT - in->live ? NULL : malloc(n);
    (void)align;                      /* the library aligns what it gets */
    if (p) { memset(p, 0xa5, n); in->live += n; }
    return p;
}
static void give(void *user, void *p, size_t n) { ((input *)user)->live -= n; free(p); }
static int read_at(void *user, uint64_t at, void *to, size_t n) {
    input *in = (input *)user; size_t i;
    if (at > in->n || n > in->n - at) return 1;
    memcpy(to, in->p + at, n);
    for (i = 0; in->change && i < n; i++) if ((at + i) * 31 % 97 < in->n_read % 7) ((uint8_t *)to)[i] ^= (uint8_t)(1u << in->n_read % 8);
    in->n_read += in->change > 0 && at + n == in->n; /* from the first reading to the end on, some bits differ */
    return 0;
}
static uint64_t use(lm_model *m, const lm_hooks *hooks) { /* a checksum of the logits, 0: none */
    static const lm_token last[3] = { 0, 1, 2 }; lm_ctx_desc room; lm_ctx *c; lm_batch b; lm_model_info info; lm_token ids[256]; char text[512];
    size_t n, k; int i; lm_meta meta; lm_tensor t; lm_sampler_desc none; lm_sampler *s;
    uint64_t sum = 0; uint32_t bits; const float *x;
    memset(&room, 0, sizeof room); memset(&b, 0, sizeof b); memset(&none, 0, sizeof none);
    room.n_ctx = 8; room.n_batch = 2; room.n_threads = 1; room.hooks = none.hooks = *hooks; b.ids = last;
    lm_model_get_info(m, &info);
    for (i = 0; i < lm_meta_count(m); i++) if (lm_meta_at(m, i, &meta) == LM_OK && meta.n > 0) lm_meta_item(&meta, meta.n < 1000 ? meta.n - 1 : 0, &meta);
    for (i = 0; i < lm_tensor_count(m); i++) lm_tensor_at(m, i, &t);
    if (lm_tokenize(m, "the caf\xc3\xa9 <s> \xff 1234", 17, 7, ids, 256, &n) == LM_OK) lm_detokenize(m, ids, n, LM_TEXT_SHOW_CONTROL, text, sizeof text, &k);
    b.n = info.n_vocab < 3 ? info.n_vocab : 3;
    if (lm_ctx_open(&c, m, &room, NULL) != LM_OK) return 0;
    if (lm_decode(c, &b) == LM_OK && lm_sampler_open(&s, m, &none, NULL) == LM_OK) { lm_sample(c, -1, s); lm_sampler_close(s); }
    for (x = lm_logits(c, -1), i = 0; x && i < info.n_vocab; i++) { memcpy(&bits, x + i, 4); sum = (sum + bits + 1) * 0x9e3779b97f4a7c15u; }
    lm_ctx_close(c);
    return sum;
}
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    enum { MEMORY, PLAIN, READ_AT, CHANGING, N_WAYS }; int way, vocab_only, opened[2][N_WAYS]; uint64_t sum[2][N_WAYS];
    memset(opened, 0, sizeof opened); memset(sum, 0, sizeof sum);
    for (vocab_only = 0; vocab_only < 2; vocab_only++) for (way = 0; way < N_WAYS; way++) {
        lm_model_desc d; lm_model *m = NULL; input in; lm_error err;
        memset(&d, 0, sizeof d); memset(&in, 0, sizeof in);
        in.p = p; in.n = n; in.change = way == CHANGING;
        d.source.size = n; d.source.user = &in; d.vocab_only = vocab_only; d.plain_layout = way == PLAIN;
        if (way <= PLAIN) d.source.data = p; else d.source.read_at = read_at;
        d.hooks.user = &in; d.hooks.take = take; d.hooks.give = give;
        if (n > 0 && lm_model_open(&m, &d, &err) == LM_OK) { opened[vocab_only][way] = 1; sum[vocab_only][way] = use(m, &d.hooks); lm_model_close(m); }
        else if (n > 0 && (err.text[0] == 0 || strchr(err.text, '\n'))) abort(); /* one line, always */
        if (in.live != 0) abort();                                  /* a leak */
    }
    for (way = PLAIN; way <= READ_AT; way++) for (vocab_only = 0; vocab_only < 2; vocab_only++)
        if (opened[vocab_only][way] != opened[vocab_only][MEMORY] || sum[vocab_only][way] != sum[vocab_only][MEMORY]) abort();
    return 0;
}
#endif
