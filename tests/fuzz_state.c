/* Fuzz target: arbitrary bytes as a saved state, as they are and with a checksum that fits, into contexts of each cache type. What is restored is used: saved
 * again (the same bytes), rewound, decoded, sampled. Build as fuzz_gguf.c, with tests/tiny.c and tests/test_util.c. Seeds: it writes
 * them into the folder LLAMA_FUZZ_SEEDS when it starts. */
#include "tiny.h"
#ifdef LLAMA_FUZZ
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static lm_model *model; static lm_ctx *ctx[3]; static lm_sampler *sampler;
static void seal(uint8_t *p, size_t n) { /* section state's checksum */
    uint64_t h = 0, v = n - 8; size_t i, k;
    for (i = 0; ; i += 8) {
        h = (h ^ v) * 0x9e3779b97f4a7c15u; h ^= h >> 32;
        if (i > n - 8) break;
        for (k = 0, v = 0; k < 8 && i + k < n - 8; k++) v |= (uint64_t)p[i + k] << 8 * k;
    }
    for (k = 0; k < 8; k++) { p[16 + k] = (uint8_t)((uint64_t)n >> 8 * k); p[n - 8 + k] = (uint8_t)(h >> 8 * k); }
}
static void start(void) {
    static bytes file; lm_ctx_desc d; lm_sampler_desc sd; lm_step st[2]; lm_token ids[9]; lm_batch b; int t; const char *seeds = getenv("LLAMA_FUZZ_SEEDS");
    file = tiny_gguf("nano"); model = open_bytes(file);
    memset(&d, 0, sizeof d); memset(&sd, 0, sizeof sd); memset(st, 0, sizeof st); memset(&b, 0, sizeof b);
    st[0].kind = LM_STEP_PENALTIES; st[0].repeat = 1.1f; st[1].kind = LM_STEP_MIROSTAT2; sd.steps = st; sd.n_steps = 2; sd.n_prev = 6;
    if (model == NULL || lm_sampler_open(&sampler, model, &sd, NULL) != LM_OK) abort();
    tiny_tokens(ids, 9, 200);
    for (t = 0; t < 3; t++) {
        d.n_ctx = 16; d.n_threads = 1; d.cache_type = (lm_cache_type)t;
        b.ids = ids; b.n = 9;
        if (lm_ctx_open(&ctx[t], model, &d, NULL) != LM_OK || lm_decode(ctx[t], &b) != LM_OK || lm_sample(ctx[t], -1, sampler) < 0) abort();
        if (seeds) {
            uint8_t room[8192]; size_t n; char path[600];
            if (lm_save(ctx[t], 0, t ? sampler : NULL, room, sizeof room, &n) != LM_OK) abort();
            sprintf(path, "%.500s/state-%d", seeds, t); write_file(path, room, n);
        }
    }
}
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    int t, sealed, with; uint8_t *q, *again;
    if (model == NULL) start();
    if (n < 32 || n > 65536 || (q = (uint8_t *)malloc(2 * n)) == NULL) return 0;
    again = q + n;
    for (sealed = 0; sealed < 2; sealed++) for (t = 0; t < 3; t++) for (with = 0; with < 2; with++) {
        lm_batch b; lm_token next = 5; lm_status s; size_t k; const char *line;
        memset(&b, 0, sizeof b); memcpy(q, p, n); b.ids = &next; b.n = 1;
        if (sealed) seal(q, n);
        s = lm_restore(ctx[t], 0, with ? sampler : NULL, q, n); line = lm_ctx_error(ctx[t]);
        if (s != LM_OK) { if (line[0] == 0 || strchr(line, '\n')) abort(); continue; }
        if (with && (lm_save(ctx[t], 0, sampler, again, n, &k) != LM_OK || k != n)) abort();
        if (lm_seq_len(ctx[t], 0) == 16) lm_rewind(ctx[t], 0, 15);
        s = lm_decode(ctx[t], &b);
        if (s == LM_OK) lm_sample(ctx[t], -1, sampler); else if (s != LM_E_NUMERIC) abort();
    }
    free(q);
    return 0;
}
#endif
