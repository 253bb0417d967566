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
    int n_tokens;                    /* tokens whose logits are summed in test_logits.c, one of SUMS_AT; 0: TINY_TOKENS */
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
#define TINY_LONG 520                                    /* past a batch of 512 */
/* Checksums of all logits of the first n of a fixed list of tokens, i * 37 + 11 modulo n_vocab. They are one chain, noted after each of these counts. */
#define SUMS_AT { 4, TINY_TOKENS, TINY_LONG }
void tiny_tokens(lm_token *ids, int n, int n_vocab);         /* the fixed list */
#define SUMS_N 3
#define MODES 3                                          /* the defaults; float32 arithmetic and cache; a q8_0 cache */
/* Sums after counts above n are 0. 0: done; else it was said on stderr. us: time of decoding */
int  logit_sums(const lm_model *m, int mode, int n_threads, int n_batch, int n, uint64_t sum[SUMS_N], float range[2], uint64_t *us);
lm_model *tiny_open(const tiny_spec *s, int plain, bytes *file);   /* free file->p after closing; NULL: said on stderr */
/* After n tokens (tiny_length: what test_logits.c takes), in all modes. 0: done. */
int  tiny_length(const tiny_spec *s);
int  tiny_sums(const tiny_spec *s, int n, uint64_t sum[MODES], int plain, int n_threads, int n_batch, float range[2]);
int  tiny_print_sums(void);
int  tiny_print_sums_h(void);
const uint64_t *tiny_known(const char *name, int n_tokens); /* the committed sums, [MODES], of smollm2_sums.h also; NULL: none */
#endif
