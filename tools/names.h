/* The names that a model's tensors have in GGUF files, in Hugging Face's and in Meta's, and the order of the rows of q and k. Header-only.
 * A name is GGUF's "blk.N." (where it is of a layer) and the row's, Hugging Face's "model.layers.N." and Meta's "layers.N.", each with ".weight" or
 * ".bias" behind it. */
#ifndef NAMES_H
#define NAMES_H
#include "cli.h"

typedef enum size_of { N_EMBD, N_VOCAB, N_Q, N_KV, N_FF, N_NONE } size_of;
typedef enum bias_of { NO_BIAS, ATTENTION, MLP } bias_of;
typedef enum heads_of { WHOLE, Q, K } heads_of;
typedef struct row { const char *gguf, *hugging_face, *meta; size_of in, out; int layered; bias_of bias; heads_of heads; } name_row;
static const name_row names_rows[] = {
    { "output",      "lm_head",                  "output",          N_EMBD, N_VOCAB, 0, NO_BIAS,   WHOLE },
    { "token_embd",  "model.embed_tokens",       "tok_embeddings",  N_EMBD, N_VOCAB, 0, NO_BIAS,   WHOLE },
    { "attn_norm",   "input_layernorm",          "attention_norm",  N_NONE, N_EMBD,  1, NO_BIAS,   WHOLE },
    { "ffn_down",    "mlp.down_proj",            "feed_forward.w2", N_FF,   N_EMBD,  1, MLP,       WHOLE },
    { "ffn_gate",    "mlp.gate_proj",            "feed_forward.w1", N_EMBD, N_FF,    1, MLP,       WHOLE },
    { "ffn_up",      "mlp.up_proj",              "feed_forward.w3", N_EMBD, N_FF,    1, MLP,       WHOLE },
    { "ffn_norm",    "post_attention_layernorm", "ffn_norm",        N_NONE, N_EMBD,  1, NO_BIAS,   WHOLE },
    { "attn_k",      "self_attn.k_proj",         "attention.wk",    N_EMBD, N_KV,    1, ATTENTION, K },
    { "attn_output", "self_attn.o_proj",         "attention.wo",    N_Q,    N_EMBD,  1, ATTENTION, WHOLE },
    { "attn_q",      "self_attn.q_proj",         "attention.wq",    N_EMBD, N_Q,     1, ATTENTION, Q },
    { "attn_v",      "self_attn.v_proj",         "attention.wv",    N_EMBD, N_KV,    1, ATTENTION, WHOLE },
    { "output_norm", "model.norm",               "norm",            N_NONE, N_EMBD,  0, NO_BIAS,   WHOLE } };
#define NAMES_ROWS ((int)(sizeof names_rows / sizeof names_rows[0]))

/* A head's rotation takes pairs (i, i + half) in Hugging Face's order, (2i, 2i + 1) in GGUF's. */
static inline void names_interleave(const unsigned char *from, unsigned char *to, size_t rows_of_head, size_t n_heads, size_t row_bytes) {
    size_t h, i, half = rows_of_head / 2;
    for (h = 0; h < n_heads; h++, from += rows_of_head * row_bytes) for (i = 0; i < half; i++, to += 2 * row_bytes) {
        memcpy(to, from + i * row_bytes, row_bytes); memcpy(to + row_bytes, from + (i + half) * row_bytes, row_bytes);
    }
}
static inline void names_separate(const unsigned char *from, unsigned char *to, size_t rows_of_head, size_t n_heads, size_t row_bytes) { /* and back */
    size_t h, i, half = rows_of_head / 2;
    for (h = 0; h < n_heads; h++, to += rows_of_head * row_bytes) for (i = 0; i < half; i++, from += 2 * row_bytes) {
        memcpy(to + i * row_bytes, from, row_bytes); memcpy(to + (i + half) * row_bytes, from + row_bytes, row_bytes);
    }
}
/* The row of a GGUF name "blk.3.attn_q.weight...", its layer in *layer (-1: none), what follows ".weight" in *rest; NULL: none of these. */
static inline const name_row *names_find(const char *gguf, int *layer, const char **rest) {
    const char *p = gguf, *dot; int k; size_t n;
    *layer = -1;
    if (strncmp(p, "blk.", 4) == 0) {
        dot = strchr(p + 4, '.');
        if (dot == NULL || !cli_int(p + 4, (size_t)(dot - p) - 4, 0, INT_MAX, layer)) return NULL;
        p = dot + 1;
    }
    n = strcspn(p, ".");
    if (strncmp(p + n, ".weight", 7) != 0) return NULL;
    *rest = p + n + 7;
    for (k = 0; k < NAMES_ROWS; k++) if (strlen(names_rows[k].gguf) == n && memcmp(names_rows[k].gguf, p, n) == 0 && names_rows[k].layered == (*layer >= 0)) return &names_rows[k];
    return NULL;
}
#endif /* NAMES_H */
