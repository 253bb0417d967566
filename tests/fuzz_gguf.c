/* Fuzz target: arbitrary bytes as a model, from memory, through read_at, and through a read_at whose bytes change between two readings.
 * What opens is used: three tokens, a little text. Every byte comes from an allocator that refuses more than 64 MiB. Build:
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
static void use(lm_model *m, const lm_hooks *hooks) {
    static const lm_token last[3] = { 0, 1, 2 }; lm_ctx_desc room; lm_ctx *c; lm_batch b; lm_model_info info; lm_token ids[256]; char text[512];
    size_t n, k; int i; lm_meta meta; lm_tensor t; lm_sampler_desc none; lm_sampler *s;
    memset(&room, 0, sizeof room); memset(&b, 0, sizeof b); memset(&none, 0, sizeof none);
    room.n_ctx = 8; room.n_batch = 2; room.n_threads = 1; room.hooks = none.hooks = *hooks; b.ids = last;
    lm_model_get_info(m, &info);
    for (i = 0; i < lm_meta_count(m); i++) if (lm_meta_at(m, i, &meta) == LM_OK && meta.n > 0) lm_meta_item(&meta, meta.n < 1000 ? meta.n - 1 : 0, &meta);
    for (i = 0; i < lm_tensor_count(m); i++) lm_tensor_at(m, i, &t);
    if (lm_tokenize(m, "the caf\xc3\xa9 <s> \xff 1234", 17, 7, ids, 256, &n) == LM_OK) lm_detokenize(m, ids, n, LM_TEXT_SHOW_CONTROL, text, sizeof text, &k);
    b.n = info.n_vocab < 3 ? info.n_vocab : 3;
    if (lm_ctx_open(&c, m, &room, NULL) != LM_OK) return;
    if (lm_decode(c, &b) == LM_OK && lm_sampler_open(&s, m, &none, NULL) == LM_OK) { lm_sample(c, -1, s); lm_sampler_close(s); }
    lm_ctx_close(c);
}
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    int way, opened = 0;
    for (way = 0; way < 6; way++) { /* memory, read_at, changing read_at; each whole and vocabulary only */
        lm_model_desc d; lm_model *m = NULL; input in; lm_error err;
        memset(&d, 0, sizeof d); memset(&in, 0, sizeof in);
        in.p = p; in.n = n; in.change = way / 2 == 2;
        d.source.size = n; d.source.user = &in; d.vocab_only = way % 2;
        if (way / 2 == 0) d.source.data = p; else d.source.read_at = read_at;
        d.hooks.user = &in; d.hooks.take = take; d.hooks.give = give;
        if (n > 0 && lm_model_open(&m, &d, &err) == LM_OK) { opened |= 1 << way; use(m, &d.hooks); lm_model_close(m); }
        else if (n > 0 && (err.text[0] == 0 || strchr(err.text, '\n'))) abort(); /* one line, always */
        if (in.live != 0) abort();                                  /* a leak */
    }
    if ((opened & 1) != (opened >> 2 & 1) || (opened >> 1 & 1) != (opened >> 3 & 1)) abort(); /* the way in makes no difference */
    return 0;
}
#endif
