/* Tiny random models of architecture llama, one per weight type and one per feature, made from integers alone: the same bytes on
 * every machine. The checksums of their logits stand in tiny_sums.h. */
#ifndef TINY_H
#define TINY_H
#include "test.h"

typedef struct tiny_spec {
    const char *name;
    const char *type;                /* of the matrices */
    int n_embd, n_layer, n_head, n_head_kv, head_k, head_v, n_ff, n_rot; /* head_k 0: n_embd / n_head; n_rot 0: head_k */
    int tied, bias, swa;
    int rope;                        /* 0 none, 1 linear, 2 yarn, 3 rope_freqs.weight */
    int mixed;                       /* 1: matrices of several types */
    int n_tokens;                    /* of the text whose logits are summed, at most TINY_MOST; 0: TINY_TOKENS */
} tiny_spec;

int  tiny_count(void);
const tiny_spec *tiny_at(int i);
const tiny_spec *tiny_find(const char *name);
void tiny_writer(const tiny_spec *s, gguf_writer *g);    /* g is zeroed first; what it holds may be changed before it is written */
bytes tiny_gguf(const char *name);
uint8_t *tiny_tensor(rng *r, const char *type, uint64_t n, int log2_std, size_t *n_bytes, int *number); /* n random weights, malloc'd */
int  tiny_scales(const char *type, int at[2]);           /* where a block's scales stand, -1: no such; 0: the type has none */
size_t tiny_block_bytes(const char *type);
void tiny_split(const tiny_spec *s, bytes part[3]);      /* the model in three parts (test_gguf.c) */
#define TINY_TOKENS 24
#define TINY_MOST 150                /* three pages of the cache */
#define TINY_SUMS 3
void tiny_tokens(lm_token *ids, int n);                  /* the fixed list */
/* Checksums of all logits of the fixed tokens: [0] the defaults, [1] float32 arithmetic and cache, [2] q8_0 cache. 0: done. */
int  tiny_sums(const tiny_spec *s, uint64_t sum[TINY_SUMS], int plain, int n_threads, int n_batch, float range[2]);
int  tiny_print_sums(void);
int  tiny_print_sums_h(void);
const uint64_t *tiny_known(const char *name);            /* the committed sums; NULL: none */
#endif
