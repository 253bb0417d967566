/* Makes the tiny models (see tiny.h). */
#include "tiny.h"

static const tiny_spec specs[] = { /* name, type, embd, layers, heads, kv, k, v, ff, rot, tied, bias, swa, rope, mixed, tokens */
    { "F32",     "F32",    256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "F16",     "F16",    256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "BF16",    "BF16",   256, 2, 8, 2, 0, 0, 512, 0, 1, 0, 0, 0, 0, 0 },
    { "Q8_0",    "Q8_0",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "Q4_0",    "Q4_0",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "Q4_1",    "Q4_1",   256, 2, 8, 2, 0, 0, 512, 0, 1, 0, 0, 0, 0, 0 },
    { "Q5_0",    "Q5_0",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "Q5_1",    "Q5_1",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "Q2_K",    "Q2_K",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "Q3_K",    "Q3_K",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "Q4_K",    "Q4_K",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "Q5_K",    "Q5_K",   256, 2, 8, 2, 0, 0, 512, 0, 1, 0, 0, 0, 0, 0 },
    { "Q6_K",    "Q6_K",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "IQ4_NL",  "IQ4_NL", 256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "IQ4_XS",  "IQ4_XS", 256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "MXFP4",   "MXFP4",  256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "TQ1_0",   "TQ1_0",  256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "TQ2_0",   "TQ2_0",  256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "tied",    "Q4_0",   256, 2, 8, 2, 0, 0, 512, 0, 1, 0, 0, 0, 0, 0 },
    { "mixed",   "Q4_K",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 0, 1, 0 },
    { "mha",     "Q8_0",   256, 2, 4, 4, 0, 0, 512, 0, 0, 0, 0, 0, 0, 0 },
    { "bias",    "Q8_0",   256, 2, 8, 2, 0, 0, 512, 0, 0, 1, 0, 0, 0, 0 },
    { "factors", "Q8_0",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 3, 0, 0 },
    { "linear",  "Q8_0",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 1, 0, 0 },
    { "yarn",    "Q8_0",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 0, 2, 0, 0 },
    { "window",  "Q8_0",   256, 2, 8, 2, 0, 0, 512, 0, 0, 0, 7, 0, 0, 0 },
    { "heads",   "F16",    256, 2, 6, 3, 48, 24, 480, 0, 0, 0, 0, 0, 0, 0 },
    { "partial", "Q5_0",   256, 2, 8, 2, 0, 0, 512, 20, 0, 0, 0, 0, 0, 0 },
    { "odd",     "F32",    36, 3, 3, 1, 10, 14, 70, 6, 0, 1, 5, 0, 0, 0 },
    { "pages",   "F16",    64, 2, 6, 2, 40, 24, 96, 0, 0, 0, 0, 0, 0, TINY_LONG },   /* three queries a key, blocks of 32 cut short */
    { "slide",   "Q8_0",   64, 2, 8, 2, 16, 16, 96, 0, 0, 0, 70, 0, 0, TINY_LONG },  /* a window that starts within a page */
    { "nano",    "Q8_0",   32, 2, 4, 2, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0 }     /* small enough to change every byte of */
};
int tiny_count(void) { return (int)(sizeof specs / sizeof specs[0]); }
const tiny_spec *tiny_at(int i) { return &specs[i]; }
const tiny_spec *tiny_find(const char *name) {
    int i;
    for (i = 0; i < tiny_count(); i++) if (strcmp(specs[i].name, name) == 0) return &specs[i];
    return NULL;
}

/* How a block of each type is laid out, as far as making one needs it: its bytes are random, the float16 scale at `d` has exponent
 * log2_std + e, and with `m` the one after it is 2^m times as large (with m_neg, its negative), so that the weights' mean is near 0. */
typedef struct tiny_type { const char *name; int number, n, n_bytes, d, e, m, m_neg; } tiny_type;
static const tiny_type types[] = {
    { "F32", 0, 1, 4, -1, 0, 0, 0 },    { "F16", 1, 1, 2, -1, 0, 0, 0 },     { "BF16", 30, 1, 2, -1, 0, 0, 0 },
    { "Q8_0", 8, 32, 34, 0, -7, 0, 0 }, { "Q4_0", 2, 32, 18, 0, -3, 0, 0 },  { "Q4_1", 3, 32, 20, 0, -3, 3, 1 },
    { "Q5_0", 6, 32, 22, 0, -4, 0, 0 }, { "Q5_1", 7, 32, 24, 0, -4, 4, 1 },
    { "Q2_K", 10, 256, 84, 80, -4, 1, 0 },   { "Q3_K", 11, 256, 110, 108, -6, 0, 0 }, { "Q4_K", 12, 256, 144, 0, -9, 3, 0 },
    { "Q5_K", 13, 256, 176, 0, -10, 4, 0 },  { "Q6_K", 14, 256, 210, 208, -10, 0, 0 },
    { "IQ4_NL", 20, 32, 18, 0, -7, 0, 0 },   { "IQ4_XS", 23, 256, 136, 0, -10, 0, 0 }, { "MXFP4", 39, 32, 17, -2, -3, 0, 0 },
    { "TQ1_0", 34, 256, 54, 52, -1, 0, 0 },  { "TQ2_0", 35, 256, 66, 64, -1, 0, 0 }
};
static void put_le(uint8_t *p, uint32_t v, int n) { int i; for (i = 0; i < n; i++) p[i] = (uint8_t)(v >> 8 * i); }

uint8_t *tiny_tensor(rng *r, const char *type, uint64_t n, int log2_std, size_t *n_bytes, int *number) {
    size_t i, k; const tiny_type *t = types; uint8_t *data, *b;
    while (strcmp(t->name, type) != 0) t++;
    *number = t->number; *n_bytes = (size_t)(n / (uint64_t)t->n) * (size_t)t->n_bytes;
    data = (uint8_t *)malloc(*n_bytes + 1);
    if (data == NULL) { fputs("test: out of memory\n", stderr); exit(1); }
    for (i = 0, b = data; i < (size_t)n; i += (size_t)t->n, b += t->n_bytes) {
        if (t->d == -1) { /* floats: random sign and mantissa, one of three exponents */
            uint32_t u = rng_u32(r), sign = u >> 31, man = u & 0x7fffff, e = (uint32_t)(log2_std - (int)((u >> 24) % 3));
            if (t->number == 0) put_le(b, sign << 31 | (e + 127) << 23 | man, 4);
            else if (t->number == 1) put_le(b, sign << 15 | (e + 15) << 10 | man >> 13, 2);
            else put_le(b, sign << 15 | (e + 127) << 7 | man >> 16, 2);
            continue;
        }
        for (k = 0; k < (size_t)t->n_bytes; k++) b[k] = (uint8_t)(rng_u32(r) >> 24);
        if (t->d == -2) b[0] = (uint8_t)(127 + log2_std + t->e + (int)(rng_u32(r) >> 31));     /* MXFP4: a power of two */
        else {
            uint32_t u = rng_u32(r), man = u & 511, e = (uint32_t)(log2_std + t->e + 15);
            put_le(b + t->d, e << 10 | man, 2);
            if (t->m) put_le(b + t->d + 2, (uint32_t)t->m_neg << 15 | (e + (uint32_t)t->m) << 10 | (man ^ (u >> 26)), 2);
        }
    }
    return data;
}

int tiny_scales(const char *type, int at[2]) {
    const tiny_type *t = types;
    while (strcmp(t->name, type) != 0) t++;
    at[0] = t->d == -2 ? 0 : t->d; at[1] = t->m ? t->d + 2 : -1;
    return t->d != -1;
}
size_t tiny_block_bytes(const char *type) {
    const tiny_type *t = types;
    while (strcmp(t->name, type) != 0) t++;
    return (size_t)t->n_bytes;
}

/* ---- vocabulary: three control tokens, all bytes, and pieces that make a few words */
static const char *const pieces[] = {
    "\xe2\x96\x81", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z",
    "\xe2\x96\x81t", "he", "\xe2\x96\x81" "a", "in", "\xe2\x96\x81the", "er", "\xe2\x96\x81s", "on", "re", "an", "\xe2\x96\x81w", "at", "en", "is",
        "nd",
    "\xe2\x96\x81" "c", "it", "\xe2\x96\x81" "and", "or", "es", "al", "ing", "\xe2\x96\x81i", "\xe2\x96\x81o", "ar", "\xe2\x96\x81to", "ed", ".",
        ",", "!", "T", "H",
    "\xc3\xa9", "\xe2\x96\x81\xe2\x96\x81"
};
#define N_PIECES ((int)(sizeof pieces / sizeof pieces[0]))
#define N_VOCAB (259 + N_PIECES)
static void put_vocab(gguf_writer *g) {
    int i; char byte_text[8];
    gguf_str(g, "tokenizer.ggml.model", "llama");
    gguf_str(g, "tokenizer.ggml.pre", "default");
    gguf_array(g, "tokenizer.ggml.tokens", LM_META_STR, (uint64_t)N_VOCAB);
    put_str(&g->kv, "<unk>"); put_str(&g->kv, "<s>"); put_str(&g->kv, "</s>");
    for (i = 0; i < 256; i++) { sprintf(byte_text, "<0x%02X>", (unsigned)i); put_str(&g->kv, byte_text); }
    for (i = 0; i < N_PIECES; i++) put_str(&g->kv, pieces[i]);
    gguf_array(g, "tokenizer.ggml.scores", LM_META_F32, (uint64_t)N_VOCAB);
    for (i = 0; i < N_VOCAB; i++) put_f32(&g->kv, i < 259 ? 0.0f : (float)-(i < 259 + 27 ? 500 + i : i));
    gguf_array(g, "tokenizer.ggml.token_type", LM_META_I32, (uint64_t)N_VOCAB);
    for (i = 0; i < N_VOCAB; i++) put_u32(&g->kv, i == 0 ? LM_TOKEN_UNKNOWN : i < 3 ? LM_TOKEN_CONTROL : i < 259 ? LM_TOKEN_BYTE : LM_TOKEN_NORMAL);
    gguf_u32(g, "tokenizer.ggml.bos_token_id", 1);
    gguf_u32(g, "tokenizer.ggml.eos_token_id", 2);
    gguf_u32(g, "tokenizer.ggml.unknown_token_id", 0);
    gguf_bool(g, "tokenizer.ggml.add_bos_token", 1);
    gguf_bool(g, "tokenizer.ggml.add_eos_token", 0);
}

static void put_matrix(gguf_writer *g, rng *r, const tiny_spec *s, const char *name, int in, int out, int log2_std) {
    static const char *const mix[] = { "Q4_K", "Q6_K", "F16", "Q8_0", "F32", "Q5_0", "BF16", "IQ4_XS" };
    size_t n_bytes; int number; const char *type = s->mixed ? mix[g->n_tensor % 8] : s->type;
    uint8_t *data = tiny_tensor(r, type, (uint64_t)in * (uint64_t)out, log2_std, &n_bytes, &number);
    gguf_tensor(g, name, number, 2, (uint64_t)in, (uint64_t)out, data, n_bytes);
}
static void put_vector(gguf_writer *g, rng *r, const char *name, int n, int norm) {
    int i, number; size_t n_bytes; uint8_t *data = tiny_tensor(r, "F32", (uint64_t)n, -3, &n_bytes, &number);
    if (norm) for (i = 0; i < n; i++) put_le(data + 4 * i, 0x3f400000u + (rng_u32(r) >> 9), 4); /* 0.75 to 1.5 */
    gguf_tensor(g, name, 0, 1, (uint64_t)n, 1, data, n_bytes);
}

void tiny_writer(const tiny_spec *s, gguf_writer *g) {
    rng r; int i, k, hk = s->head_k ? s->head_k : s->n_embd / s->n_head, hv = s->head_v ? s->head_v : hk; char name[64];
    static const char *const biased[] = { "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down" };
    memset(g, 0, sizeof *g);
    r.s = fnv1a(FNV1A, s->name, strlen(s->name));
    gguf_str(g, "general.architecture", "llama");
    gguf_str(g, "general.name", s->name);
    gguf_u32(g, "llama.context_length", 2048);
    gguf_u32(g, "llama.embedding_length", (uint32_t)s->n_embd);
    gguf_u32(g, "llama.block_count", (uint32_t)s->n_layer);
    gguf_u32(g, "llama.feed_forward_length", (uint32_t)s->n_ff);
    gguf_u32(g, "llama.attention.head_count", (uint32_t)s->n_head);
    gguf_u32(g, "llama.attention.head_count_kv", (uint32_t)s->n_head_kv);
    if (s->head_k) { gguf_u32(g, "llama.attention.key_length", (uint32_t)hk); gguf_u32(g, "llama.attention.value_length", (uint32_t)hv); }
    gguf_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_u32(g, "llama.rope.dimension_count", (uint32_t)(s->n_rot ? s->n_rot : hk));
    gguf_f32(g, "llama.rope.freq_base", 10000.0f);
    gguf_u32(g, "llama.vocab_size", (uint32_t)N_VOCAB);
    if (s->swa) gguf_u32(g, "llama.attention.sliding_window", (uint32_t)s->swa);
    if (s->rope == 1) { gguf_str(g, "llama.rope.scaling.type", "linear"); gguf_f32(g, "llama.rope.scaling.factor", 4.0f); }
    if (s->rope == 2) {
        gguf_str(g, "llama.rope.scaling.type", "yarn"); gguf_f32(g, "llama.rope.scaling.factor", 8.0f);
        gguf_u32(g, "llama.rope.scaling.original_context_length", 64);
    }
    put_vocab(g);
    put_matrix(g, &r, s, "token_embd.weight", s->n_embd, N_VOCAB, -2);
    put_vector(g, &r, "output_norm.weight", s->n_embd, 1);
    if (!s->tied) put_matrix(g, &r, s, "output.weight", s->n_embd, N_VOCAB, -2);
    if (s->rope == 3) {
        size_t n_bytes; int number; uint8_t *f = tiny_tensor(&r, "F32", (uint64_t)hk / 2, 0, &n_bytes, &number);
        for (i = 0; i < hk / 2; i++) put_le(f + 4 * i, 0x3f800000u + (uint32_t)i * 0x100000u, 4); /* 1, 1.125, ... 8 */
        gguf_tensor(g, "rope_freqs.weight", 0, 1, (uint64_t)hk / 2, 1, f, n_bytes);
    }
    for (i = 0; i < s->n_layer; i++) {
        int rows[7], cols[7];
        rows[0] = s->n_head * hk; rows[1] = s->n_head_kv * hk; rows[2] = s->n_head_kv * hv; rows[3] = s->n_embd; rows[4] = rows[5] = s->n_ff;
        rows[6] = s->n_embd;
        cols[0] = cols[1] = cols[2] = cols[4] = cols[5] = s->n_embd; cols[3] = s->n_head * hv; cols[6] = s->n_ff;
        sprintf(name, "blk.%d.attn_norm.weight", i); put_vector(g, &r, name, s->n_embd, 1);
        for (k = 0; k < 7; k++) {
            if (k == 4) { sprintf(name, "blk.%d.ffn_norm.weight", i); put_vector(g, &r, name, s->n_embd, 1); }
            sprintf(name, "blk.%d.%s.weight", i, biased[k]); put_matrix(g, &r, s, name, cols[k], rows[k], -4);
            if (s->bias) { sprintf(name, "blk.%d.%s.bias", i, biased[k]); put_vector(g, &r, name, rows[k], 0); }
        }
    }
}
bytes tiny_gguf(const char *name) {
    gguf_writer g; bytes b;
    tiny_writer(tiny_find(name), &g);
    b = gguf_write(&g);
    gguf_free(&g);
    return b;
}

/* ---- checksums */
static const int sums_at[SUMS_N] = SUMS_AT;
void tiny_tokens(lm_token *ids, int n, int n_vocab) { int i; for (i = 0; i < n; i++) ids[i] = (lm_token)((i * 37 + 11) % n_vocab); }
int logit_sums(const lm_model *m, int mode, int n_threads, int n_batch, int n, uint64_t sum[SUMS_N], float range[2], uint64_t *us) {
    lm_model_info info; lm_ctx_desc d; lm_ctx *c = NULL; lm_error e; lm_token ids[TINY_LONG]; uint8_t want[TINY_LONG]; lm_counters spent;
    uint64_t h = FNV1A; int at, row, i, v;
    lm_model_get_info(m, &info);
    tiny_tokens(ids, TINY_LONG, info.n_vocab);
    memset(want, LM_WANT_LOGITS, sizeof want);
    memset(sum, 0, SUMS_N * sizeof *sum); range[0] = 1e30f; range[1] = -1e30f;
    memset(&d, 0, sizeof d);
    d.n_ctx = n; d.n_batch = d.n_logits = n_batch < n ? n_batch : n; d.n_threads = n_threads;
    d.cache_type = mode == 2 ? LM_CACHE_Q8_0 : mode ? LM_CACHE_F32 : LM_CACHE_F16; d.compute = mode == 1 ? LM_COMPUTE_F32 : LM_COMPUTE_AUTO;
    if (lm_ctx_open(&c, m, &d, &e) != LM_OK) { fprintf(stderr, "context: %s\n", e.text); return 1; }
    for (at = 0; at < n; ) {
        lm_batch b;
        memset(&b, 0, sizeof b);
        b.ids = ids + at; b.want = want; b.n = n - at < n_batch ? n - at : n_batch;
        if (lm_decode(c, &b) != LM_OK) { fprintf(stderr, "decode: %s\n", lm_ctx_error(c)); lm_ctx_close(c); return 1; }
        for (row = 0; row < b.n; row++) {
            const float *l = lm_logits(c, row);
            for (v = 0; v < info.n_vocab; v++) { if (l[v] < range[0]) range[0] = l[v]; if (l[v] > range[1]) range[1] = l[v]; }
            h = fnv1a_floats(h, l, (size_t)info.n_vocab);
            for (i = 0; i < SUMS_N; i++) if (sums_at[i] == at + row + 1) sum[i] = h;
        }
        at += b.n;
    }
    lm_get_counters(c, &spent);
    *us = spent.decode_us;
    lm_ctx_close(c);
    return 0;
}
lm_model *tiny_open(const tiny_spec *s, int plain, bytes *file) {
    lm_model_desc d; lm_model *m = NULL; lm_error e;
    *file = tiny_gguf(s->name);
    memset(&d, 0, sizeof d);
    d.source.data = file->p; d.source.size = file->n; d.plain_layout = plain;
    if (lm_model_open(&m, &d, &e) != LM_OK) { fprintf(stderr, "%s: %s\n", s->name, e.text); free(file->p); return NULL; }
    return m;
}
static int tiny_chain(const tiny_spec *s, int n, uint64_t sum[SUMS_N][MODES], int plain, int n_threads, int n_batch, float range[2]) { /* all modes */
    bytes file; lm_model *m = tiny_open(s, plain, &file); int mode, i, bad = 0;
    if (m == NULL) return 1;
    for (mode = 0; mode < MODES; mode++) {
        uint64_t h[SUMS_N], us; float r[2];
        if (logit_sums(m, mode, n_threads, n_batch, n, h, r, &us) != 0) { fprintf(stderr, "%s\n", s->name); bad = 1; break; }
        for (i = 0; i < SUMS_N; i++) sum[i][mode] = h[i];
        range[0] = mode == 0 || r[0] < range[0] ? r[0] : range[0];
        range[1] = mode == 0 || r[1] > range[1] ? r[1] : range[1];
    }
    lm_model_close(m);
    free(file.p);
    return bad;
}
int tiny_length(const tiny_spec *s) { return s->n_tokens ? s->n_tokens : TINY_TOKENS; }
int tiny_sums(const tiny_spec *s, int n, uint64_t sum[MODES], int plain, int n_threads, int n_batch, float range[2]) {
    uint64_t h[SUMS_N][MODES]; int i, bad = tiny_chain(s, n, h, plain, n_threads, n_batch, range);
    memset(sum, 0, MODES * sizeof *sum);
    for (i = 0; !bad && i < SUMS_N; i++) if (sums_at[i] == n) memcpy(sum, h[i], sizeof h[i]);
    return bad;
}
static const struct { const char *name; uint64_t sum[SUMS_N][MODES]; } known[] = {
#include "tiny_sums.h"
#include "smollm2_sums.h"
    { NULL, { { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 } } }
};
const uint64_t *tiny_known(const char *name, int n_tokens) {
    int i, k;
    for (i = 0; known[i].name; i++) if (strcmp(known[i].name, name) == 0) for (k = 0; k < SUMS_N; k++) if (sums_at[k] == n_tokens) return known[i].sum[k];
    return NULL;
}
int tiny_print_sums(void) {
    int i, k, bad = 0;
    for (i = 0; i < tiny_count(); i++) {
        uint64_t s[MODES]; float range[2];
        bad |= tiny_sums(&specs[i], tiny_length(&specs[i]), s, 0, 1, TINY_LONG, range);
        printf("%-8s", specs[i].name);
        for (k = 0; k < MODES; k++) printf(" %08lx%08lx", (unsigned long)(s[k] >> 32), (unsigned long)(s[k] & 0xffffffffu));
        printf("  logits %g to %g\n", (double)range[0], (double)range[1]);
    }
    return bad;
}
int tiny_print_sums_h(void) {
    int i, k, j, bad = 0;
    printf("/* FNV-1a of the logits of the tiny models (tiny.c): after 4, 24 and 520 tokens; each with the defaults, with float32 arithmetic and cache, and\n"
        " * with a q8_0 cache. Made by `build/test --print-sums-h`. */\n");
    for (i = 0; i < tiny_count(); i++) {
        uint64_t s[SUMS_N][MODES]; float range[2];
        bad |= tiny_chain(&specs[i], TINY_LONG, s, 0, 1, TINY_LONG, range);
        printf("    { \"%s\", {", specs[i].name);
        for (k = 0; k < SUMS_N; k++) for (j = 0; j < MODES; j++) printf("%s 0x%08lx%08lx%s", j ? "," : k ? ", {" : " {", (unsigned long)(s[k][j] >> 32),
            (unsigned long)(s[k][j] & 0xffffffffu), j == MODES - 1 ? " }" : "");
        printf(" } },\n");
    }
    return bad;
}
