/* llama.h - v0.2.0 - LLaMA-architecture language models in one C file
 *
 * Do this in ONE C or C++ file to create the implementation, and include the header anywhere else as usual:
 *
 *     #define LLAMA_IMPLEMENTATION
 *     #include "llama.h"
 *
 * Link with libc and libm (and -lpthread where the system asks for it). Public domain or MIT-0, at your choice: see the end.
 *
 * ================================================================================================= manual
 *
 * 1. WHAT IT IS
 *    A GGUF file in, text out: decoder-only transformers with RMSNorm, rotary positions, grouped-query attention and SwiGLU, their
 *    tokenizers, their cache, and sampling. It never prints, exits, or keeps state outside your objects; a damaged file is an error with a
 *    message; and the same file and ids give the same logits, bit for bit, on every machine (section 6).
 *
 * 2. THE SMALLEST PROGRAM (examples/hello.c; the same in README.md)
 *
 *    #define LLAMA_IMPLEMENTATION
 *    #include "llama.h"
 *    #include <stdio.h>
 *    #include <string.h>
 *    int main(int argc, char **argv) {
 *        const char *prompt = argc > 2 ? argv[2] : "Once upon a time";
 *        lm_model_desc file = { 0 }; lm_ctx_desc room = { 0 };              // zeros ask for the defaults
 *        lm_model *model; lm_ctx *ctx; lm_error err;
 *        lm_token ids[256]; size_t n; char text[256];
 *        file.path = argc > 1 ? argv[1] : "examples/stories.gguf";
 *        if (lm_model_open(&model, &file, &err) || lm_ctx_open(&ctx, model, &room, &err) ||
 *            lm_tokenize(model, prompt, strlen(prompt), LM_TEXT_ADD_SPECIAL, ids, 256, &n))
 *            return fprintf(stderr, "hello: %s\n", *err.text ? err.text : "the prompt is too long"), 1;
 *        lm_batch batch = { ids, (int)n, NULL, NULL };
 *        printf("%s", prompt);
 *        for (int i = 0; i < 32 && lm_decode(ctx, &batch) == LM_OK; i++) {
 *            ids[0] = lm_sample(ctx, -1, NULL);                             // NULL: the likeliest token
 *            if (ids[0] < 0 || lm_token_is_eog(model, ids[0])) break;
 *            if (!lm_detokenize(model, ids, 1, LM_TEXT_CONTINUES, text, sizeof text, &n)) fwrite(text, 1, n, stdout);
 *            batch.n = 1;
 *        }
 *        printf("\n");
 *        if (*lm_ctx_error(ctx)) return fprintf(stderr, "hello: %s\n", lm_ctx_error(ctx)), 1;
 *        lm_ctx_close(ctx); lm_model_close(model);
 *    }
 *
 * 3. BUILDING
 *    C99 or later, or C++11 or later; GCC, Clang, MinGW, MSVC's intrinsics; no flags needed. Kernels for AVX2 and AVX-512 are compiled
 *    by function attributes and chosen at run time. Not allowed for the file that holds the implementation: -ffast-math and its parts (an #error), and
 *    Clang's -ffp-contract=fast (opening a model then returns LM_E_BUILD). The rest of your program may use them.
 *    Define before including the implementation, if you need to:
 *      LLAMA_STATIC          everything static: a private copy, as many in one program as you like
 *      LLAMA_DEF             your own linkage for public functions
 *      LLAMA_MALLOC(n), LLAMA_FREE(p)   instead of malloc and free, where no hooks are given
 *      LLAMA_NO_STDIO        no files: models come from memory or through read_at
 *      LLAMA_NO_MMAP         files are read, not mapped
 *      LLAMA_NO_THREADS      no threads of the library's own (parallel_for still works)
 *      LLAMA_OPENMP          OpenMP's threads instead of the library's, where the compiler has it switched on
 *      LLAMA_NO_SIMD         the scalar definition only
 *      LLAMA_NO_DISPATCH     one set of kernels, the best that the compiler's own flags allow (-mavx2 -mfma -mf16c, -march=native); nothing is
 *                            chosen at run time and the file does not include itself, so its text may be pasted elsewhere
 *      LLAMA_NO_ENV          LLAMA_ISA is not read from the environment
 *      LLAMA_NO_CHAT         no chat templates
 *      LLAMA_NO_QUANTIZE     no lm_quantize
 *      LLAMA_TRAIN           adds training: lm_train (define it wherever the header is included)
 *      LLAMA_CHAT_STEPS, LLAMA_CHAT_BYTES, LLAMA_CHAT_DEPTH   bounds of a chat template (1000000 steps, 8000000 bytes, 160 levels)
 *      LLAMA_CLOCK_US()      your own clock in microseconds
 *      LLAMA_SPIN            microseconds for which an idle thread looks for work before it parks (100)
 *      LLAMA_MAX_PARTS       of a split model (1024)
 *      LLAMA_FILE            this file's name, if you renamed it ("llama.h")
 *
 * 4. MEMORY
 *    A model is one block: its tables, its norms as float32, and its matrices, interleaved by 16 rows for speed; a mapped file's pages are let go as
 *    they are read. With plain_layout the matrices stay in the file instead, mapped or in memory (read whole where it is neither). A
 *    context is one block: cache, results, scratch; an adapter another. lm_model_size, lm_ctx_size and lm_sampler_size tell the bytes before; you may
 *    bring the block, or an allocator (lm_hooks). Opening a model or an adapter takes some further scratch for the length of the call, tokenizing as
 *    well. Decoding, sampling, detokenizing, streaming, scoring, saving and restoring allocate nothing.
 *
 * 5. THREADS
 *    A model and an adapter never change: any number of threads may use them. A context and a sampler belong to one thread at a time. A context starts
 *    n_threads - 1 threads, which park when there is nothing to do, and so does, while it is opened, a model that is quantized; n_threads = 1 starts
 *    none; lm_hooks.parallel_for puts your job system in their place. A thread that the system stops holds nobody up for long, the caller's neither:
 *    others go on, and compute again what it was at. Under Linux one of the context's threads that finds itself on the same processor as another moves
 *    to a free one (the set that it may use is put back at once); the caller's thread is left alone. A child made by fork() must not use its parent's
 *    contexts: it has none of their threads.
 *
 * 6. ONE ANSWER
 *    Results do not depend on the number of threads, on how a text is cut into batches, on what else is in a batch, on prefill or
 *    decode, on the instruction set, the compiler or its flags. Every output is computed whole in an order fixed by the shapes; the scalar code
 *    in this file is the definition, all other code gives its bits. Inside a call that computes, the rounding mode is nearest and
 *    subnormals are kept, whatever the host has set; it is put back on return. LLAMA_ISA=scalar|sse2|avx2|... in the environment holds
 *    the kernels to that instruction set or a lower one.
 *
 * 7. ERRORS
 *    Functions return lm_status; lm_error, or lm_ctx_error, holds one line that names the culprit. A call that fails leaves its objects as they
 *    were. LM_E_NUMERIC: the weights or the input drove a hidden state out of the range of floats.
 *
 * 8. UNTRUSTED INPUT
 *    Model files, adapters, saved states, from whatever source, and text are hostile until checked: opening is validating. Memory and time taken by
 *    opening are bounded by the size of the file. One limit: a file that another process rewrites or shrinks while it is mapped; use read_at
 *    where that can happen. Text of control tokens is only read as control tokens with LM_TEXT_PARSE_SPECIAL,
 *    and of a conversation only where its template wrote it. Chat templates run within bounds of steps, memory and nesting.
 *
 * 9. WHAT IS SUPPORTED
 *    GGUF 2 and 3, little-endian, split files too; architecture "llama": LLaMA 1 to 3.3, Code Llama, TinyLlama, SmolLM2, Mistral 7B and NeMo, Yi,
 *    DeepSeek-LLM and -Coder; tied or own output, any head counts and sizes, biases, partial rotation, rope_freqs, linear and YaRN scaling,
 *    sliding window. Weights: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 TQ1_0 TQ2_0.
 *    Tokenizers: SentencePiece BPE; byte-level BPE with the pre-tokenizers of section text.
 *    Quantizing: all types but the last three, with importance of columns, to files (tools/quantize.c) or while a model is read.
 *    Around it: streaming with stop strings, forks, windows that roll when a context is full, log-probabilities and choices, LoRA adapters per
 *    sequence, sequences saved as bytes.
 *    Training (LLAMA_TRAIN): from scratch, of a file's weights, or of LoRA adapters over a file as it is, quantized or not; packed documents, masks,
 *    weighted losses, soft targets, dropout, recomputing, AdamW, a moving average.
 *    Not built in: other architectures, experts, longrope, grammars; training of biases.
 *
 * 10. HISTORY (newest first; ! breaks callers)
 *    0.2.0  lm_emit: streaming and stop strings; lm_fork; LM_FULL_ROLL; lm_seq_tokens; lm_score, lm_choose; lm_adapter; lm_save, lm_restore;
 *           chat templates: lm_chat_render, lm_chat_tokenize
 *           lm_quantize, lm_mix_types; lm_model_desc.quantize, n_threads, vocab_only 2; lm_ctx_desc.observe; lm_row_bytes, lm_type_find,
 *           lm_tensor_find, lm_tensor_release, lm_cores, lm_meta.raw_bytes
 *           lm_train (LLAMA_TRAIN)
 *           ! hooks.progress counts layers times tokens while decoding and training; lm_ctx_desc and lm_ctx_info have new fields
 *    0.1.0  first version
 *
 * CONTENTS (search for the mark)
 *    >>api       public declarations and their documentation
 *    >>base      platform, sizes, memory, errors, numbers           >>text      vocabulary and tokenizers
 *    >>gguf      reading and checking a file                        >>chat      chat templates
 *    >>types     weight types                                       >>model     from tensors to structs
 *    >>isa       one vocabulary per instruction set                 >>adapter   small changes of a model's matrices
 *    >>kernels   one text for all of them                           >>forward   the forward pass (lmi_forward) and contexts
 *    >>dispatch  choosing kernels, threads                          >>sample    samplers
 *    >>quantize  from floats to blocks                              >>score     probabilities of given tokens
 *    >>state     sequences as bytes                                 >>train     gradients and AdamW (LLAMA_TRAIN)
 *    >>licence
 */
#ifndef LMI_PASS /* later passes over this file compile kernels only: see >>isa */
#ifndef LLAMA_SINGLE_FILE_H
#define LLAMA_SINGLE_FILE_H

/* ============================================================================================== >>api
 * Public declarations. Rules that hold for all of them:
 *   - A descriptor filled with zeros asks for the defaults; the default stands in each field's comment.
 *   - Functions return a status; results come through pointers, which stay untouched on failure.
 *   - `n_` is a count, `_bytes` a size in bytes, `_us` microseconds. Text is bytes with a length, never NUL-terminated
 *     unless it says so; UTF-8 is expected, any bytes are accepted.
 *   - Nothing is printed, nothing ends the process, nothing is kept outside the objects below.
 */

#include <stddef.h>
#include <stdint.h>

#define LLAMA_VERSION 200             /* major*10000 + minor*100 + patch */
#define LLAMA_VERSION_TEXT "0.2.0"

#ifndef LLAMA_DEF
#ifdef LLAMA_STATIC
#define LLAMA_DEF static
#else
#define LLAMA_DEF extern
#endif
#endif

#if defined(LLAMA_STATIC) && (defined(__GNUC__) || defined(__clang__))
#define LMI_API LLAMA_DEF __attribute__((unused)) /* a private copy rarely calls everything */
#else
#define LMI_API LLAMA_DEF
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t lm_token;
typedef struct lm_model lm_model;     /* weights and vocabulary. Never changes once open: share it between threads */
typedef struct lm_ctx lm_ctx;         /* cache and scratch. One thread at a time */
typedef struct lm_adapter lm_adapter; /* small changes of a model's matrices. Never changes once open: share it between threads */
typedef struct lm_sampler lm_sampler; /* a chain of sampling steps and its state. One thread at a time */

/* The only place where a status is written down: the enum and lm_status_text() come from this list. */
#define LM_STATUS_LIST(X)                                                                                          \
    X(OK,         0, "ok")                            X(MORE,       1, "budget spent, call again")                 \
    X(E_ARG,     -1, "caller broke a documented rule") X(E_MEMORY,  -2, "allocation failed or block too small")    \
    X(E_IO,      -3, "read failed or came back short") X(E_FORMAT,  -4, "file damaged or not a model")             \
    X(E_SUPPORT, -5, "sound file, feature not built in") X(E_FULL,  -6, "no room in the context or the buffer")    \
    X(E_NUMERIC, -7, "not a number in the activations") X(E_CANCEL, -8, "cancelled by the caller")                 \
    X(E_BUILD,   -9, "compiled with flags that change arithmetic")
#define LM_STATUS_ENUM(name, value, text) LM_##name = value,
typedef enum lm_status { LM_STATUS_LIST(LM_STATUS_ENUM) LM_STATUS_FORCE_INT = 0x7fffffff } lm_status;

/* The caller's own; every function that takes one also takes NULL. `text` is one line that names file, key or tensor,
 * control bytes escaped, NUL-terminated; "" after success. */
typedef struct lm_error { lm_status status; char text[248]; } lm_error;

LMI_API int         lm_version(void);             /* LLAMA_VERSION of the implementation that was linked */
LMI_API int         lm_cores(void);               /* physical cores, which is the default of n_threads */
LMI_API const char *lm_status_text(lm_status s);  /* the list's text, static storage; "unknown status" otherwise */

/* What the host may put in place of the library's own. All NULL: malloc and free, the library's threads, silence.
 * Called with `user`. `take` and `give` may be called from any thread that calls into the library. */
typedef struct lm_hooks {
    void *user;
    void *(*take)(void *user, size_t n_bytes, size_t align);   /* NULL: no memory. align is a power of two, at most 64 */
    void  (*give)(void *user, void *p, size_t n_bytes);        /* p from take, the same n_bytes; never NULL */
    void  (*parallel_for)(void *user, int n, void (*job)(void *arg, int i), void *arg); /* job(arg, 0..n-1), in any order, on any
                                                                  threads; returns when all n have returned */
    void  (*log)(void *user, int level, const char *line);     /* 0 error, 1 warning, 2 note, 3 detail; no newline */
    int   (*progress)(void *user, uint64_t done, uint64_t total); /* non-zero cancels: LM_E_CANCEL. Opening: bytes; decoding: layers * tokens;
                                                                     training: the same, a layer's way back counts as two, the head as a layer */
} lm_hooks;

/* ---------------------------------------------------------------------------------------------- model */

/* Where a file's bytes come from; exactly one of path, data or read_at. */
typedef struct lm_source {
    const char *path;                 /* UTF-8, NUL-terminated. Mapped where the system can, else read */
    const void *data;                 /* `size` bytes used in place, never written, any alignment; must outlive the model */
    int (*read_at)(void *user, uint64_t offset, void *dst, size_t n_bytes); /* 0: all n_bytes delivered. Called while opening:
                                         a few times for the header, once for the rest */
    void    *user;                    /* for read_at */
    uint64_t size;                    /* bytes behind data or read_at */
} lm_source;

typedef struct lm_model_desc {
    const char *path;                 /* the common case of `source`; of a model split in parts, the first part:
                                         its sisters are found by name (-00001-of-00003.gguf) */
    lm_source   source;               /* any other origin, when path is NULL */
    const lm_source *parts;           /* a split model whose parts are not found by name: all of them, in order */
    int         n_parts;
    int         vocab_only;           /* 1: only metadata and vocabulary, whatever the architecture; lm_ctx_open refuses it. 2: any GGUF file, for its
                                         metadata and tensors: it need not have a vocabulary, and lm_tensor.data is never NULL */
    const char *quantize;             /* NULL: weights as the file has them. A mix's name (lm_mix_find): matrices of F32, F16 and BF16 are quantized as they
                                         are read, 16 rows at a time: memory is the result's and some rows for each thread. The same bits as a file from tools/quantize.c
                                         without importance. Not with plain_layout. lm_tensor_at still tells what the file has */
    int         n_threads;            /* that quantize a file in memory or mapped, not one that read_at delivers: started for the time of opening, or jobs of
                                         hooks.parallel_for. 0: physical cores; 1: no thread is ever started */
    const char *pre;                  /* name of the pre-tokenizer to use instead of the file's; NULL: the file's */
    int         plain_layout;         /* 0: matrices are interleaved by 16 rows, in memory of the model's own (fast; of a mapped file the pages
                                         are let go). 1: they stay as and where the file has them (instant, least memory; the same results) */
    void       *block;                /* memory for the model, lm_model_size() bytes, must outlive it; NULL: hooks.take, once */
    size_t      block_bytes;
    lm_hooks    hooks;                /* copied */
} lm_model_desc;

/* Bytes that lm_model_open will need for d: vocabulary tables, norms, and the matrices (but not with plain_layout from a mapped file or from
 * memory). Reads the file's header. */
LMI_API lm_status lm_model_size(const lm_model_desc *d, size_t *n_bytes, lm_error *err);
/* Opens and validates: whatever is reachable through *out was checked. A hostile file is an error, never a crash.
 * A mapped file must not be changed while it is open (when it shrinks, the system signals the process; read_at avoids that).
 * LM_E_IO, LM_E_FORMAT, LM_E_SUPPORT, LM_E_MEMORY, LM_E_ARG, LM_E_CANCEL, LM_E_BUILD. */
LMI_API lm_status lm_model_open(lm_model **out, const lm_model_desc *d, lm_error *err);
LMI_API void      lm_model_close(lm_model *m); /* after its contexts and samplers; NULL is fine */

typedef enum lm_rope_scaling { LM_ROPE_NONE = 0, LM_ROPE_LINEAR = 1, LM_ROPE_YARN = 2 } lm_rope_scaling;
typedef struct lm_model_info {
    const char *arch;                 /* "llama"; NUL-terminated, lives as long as the model */
    const char *isa;                  /* kernels in use: "scalar", "sse2", "avx2", "avxvnni", "avx512", "neon", "neondot", "neoni8mm", "wasm" */
    const char *pre;                  /* pre-tokenizer, "" where there is none */
    int      n_vocab, n_ctx_train, n_embd, n_layer, n_head, n_head_kv, n_embd_head_k, n_embd_head_v, n_ff, n_rot;
    int      n_swa;                   /* sliding window in tokens, the token itself included; 0: none */
    int      tied;                    /* 1: output uses token_embd.weight */
    float    rms_eps;
    lm_rope_scaling rope_scaling;
    float    rope_freq_base, rope_scale_factor;
    int      n_parts;
    uint64_t n_params;                /* elements of all tensors */
    uint64_t n_tensor_bytes, n_file_bytes;
    uint64_t n_block_bytes;           /* memory of the library's own (or the caller's block) */
    uint64_t load_us;
} lm_model_info;
LMI_API void lm_model_get_info(const lm_model *m, lm_model_info *out);

/* Metadata as the file has it (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Pointers live as long as the model. */
typedef enum lm_meta_type { LM_META_U8, LM_META_I8, LM_META_U16, LM_META_I16, LM_META_U32, LM_META_I32, LM_META_F32, LM_META_BOOL,
    LM_META_STR, LM_META_ARR, LM_META_U64, LM_META_I64, LM_META_F64 } lm_meta_type;
typedef struct lm_meta {
    const char  *key;  size_t key_bytes;
    lm_meta_type type;                /* LM_META_ARR: an array of `item` */
    lm_meta_type item;
    uint64_t     n;                   /* items of an array, else 1 */
    const char  *text; size_t text_bytes; /* LM_META_STR */
    int64_t      i;                   /* integers and bool (U64 above INT64_MAX wraps) */
    double       f;                   /* any number */
    const void  *raw;  uint64_t raw_bytes; /* the value's bytes as the file has them: little-endian, a string's text, an array's items (strings
                                         there: a u64 length and that many bytes each) */
} lm_meta;
LMI_API int       lm_meta_count(const lm_model *m);
LMI_API lm_status lm_meta_at(const lm_model *m, int i, lm_meta *out);                    /* LM_E_ARG: no such index */
LMI_API lm_status lm_meta_find(const lm_model *m, const char *key, lm_meta *out);        /* LM_E_ARG: no such key */
LMI_API lm_status lm_meta_item(const lm_meta *array, uint64_t i, lm_meta *out);          /* O(i) for arrays of strings */

typedef struct lm_tensor {
    const char *name; size_t name_bytes;
    int         type;                 /* the format's number; lm_type_name() */
    int         n_dims;
    uint64_t    dims[4];              /* dims[0] runs fastest (a row); unused ones are 1 */
    int         part;                 /* 0-based, of a split model */
    uint64_t    offset;               /* from the start of the part's file */
    uint64_t    n_bytes;
    const void *data;                 /* in the file's layout; NULL where its bytes are not kept: from read_at, but for plain_layout */
} lm_tensor;
LMI_API int         lm_tensor_count(const lm_model *m);
LMI_API lm_status   lm_tensor_at(const lm_model *m, int i, lm_tensor *out);
LMI_API lm_status   lm_tensor_find(const lm_model *m, const char *name, lm_tensor *out);  /* LM_E_ARG: no such tensor */
LMI_API void        lm_tensor_release(const lm_model *m, int i); /* its data may leave memory, where the file is mapped, and comes back when it is read again */
LMI_API const char *lm_type_name(int type);                            /* "Q4_K"; "?" for a number that names no type */
LMI_API int         lm_type_find(const char *name);                    /* the number of "Q4_K", in capitals; -1: no such type */
LMI_API uint64_t    lm_row_bytes(int type, uint64_t n);                /* of a row of n weights; 0: no such type, or n is no multiple of its block */
/* n weights at src (whole blocks of `type`) -> dst, float32. LM_E_SUPPORT: type without a kernel; LM_E_ARG: n is no whole block. */
LMI_API lm_status   lm_dequantize(int type, const void *src, size_t n, float *dst);
#ifndef LLAMA_NO_QUANTIZE
/* x [n_rows][n_per_row] -> out, n_rows * lm_row_bytes(type, n_per_row) bytes as a file has them, on every machine the same. type: F32 F16 BF16 Q8_0
 * Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS. What is minimized is the sum of importance[column] * (x - what lm_dequantize gives)^2;
 * importance [n_per_row] >= 0, such as the mean squares of a product's inputs, or NULL: all 1. Rows know nothing of each other: call it for parts of
 * a matrix on as many threads as you like. Allocates nothing. A call asks the CPU what it can, some microseconds (tens in a virtual machine). LM_E_ARG: rows
 * are no whole blocks; LM_E_NUMERIC: x or importance is not finite, or importance negative (out is then undefined); LM_E_SUPPORT: no quantizer for this type. Beyond a type's range: its largest number. */
LMI_API lm_status   lm_quantize(int type, const float *x, uint64_t n_rows, uint64_t n_per_row, const float *importance, void *out);
/* Mixes of types, by name: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ4_NL IQ4_XS
 * (Q3_K, Q4_K, Q5_K: their _M). Norms and other vectors stay as they are; rows that are no multiple of 256 fall back to a type of blocks of 32. */
LMI_API int         lm_mix_find(const char *name);                     /* its number, as in general.file_type; -1: none */
LMI_API lm_status   lm_mix_types(const lm_model *m, const char *mix, int has_importance, int *types); /* [lm_tensor_count]. LM_E_ARG: no such mix */
#endif

/* ---------------------------------------------------------------------------------------------- text */

enum {                                /* flags */
    LM_TEXT_ADD_SPECIAL   = 1,        /* tokenize: BOS and EOS where the file's policy adds them */
    LM_TEXT_PARSE_SPECIAL = 2,        /* tokenize: text of a control token becomes its id. Off for text you do not trust */
    LM_TEXT_SHOW_CONTROL  = 4,        /* detokenize, emit: control tokens as their text, not as nothing */
    LM_TEXT_CONTINUES     = 8,        /* detokenize, emit: the ids continue earlier text, so a leading space stays */
    LM_TEXT_RAW           = 16,       /* emit: bytes as they come, not whole characters */
    LM_TEXT_IGNORE_EOG    = 32        /* emit: tokens that end a generation do not end the text */
};
/* n_bytes of any text -> ids. *n_ids = ids needed, also with LM_E_FULL, when cap was less (ids may be NULL with cap 0).
 * Time n log n. Takes scratch from the model's hooks and gives it back. Thread-safe. LM_E_ARG: over 512 MiB; LM_E_MEMORY; LM_E_SUPPORT:
 * the model has no vocabulary. */
LMI_API lm_status lm_tokenize(const lm_model *m, const char *text, size_t n_bytes, int flags, lm_token *ids, size_t cap, size_t *n_ids);
/* ids -> bytes, the same rule for cap and *n_bytes. Allocates nothing. LM_E_ARG: an id outside the vocabulary. */
LMI_API lm_status lm_detokenize(const lm_model *m, const lm_token *ids, size_t n_ids, int flags, char *text, size_t cap, size_t *n_bytes);

typedef enum lm_token_type { LM_TOKEN_NORMAL = 1, LM_TOKEN_UNKNOWN, LM_TOKEN_CONTROL, LM_TOKEN_USER, LM_TOKEN_UNUSED, LM_TOKEN_BYTE } lm_token_type;
typedef struct lm_token_info {
    const char *text; size_t text_bytes;   /* as the file stores it (U+2581 for a space, byte-level alphabet) */
    lm_token_type type;
    float       score;                /* 0 where the file has none */
    int         is_eog;               /* ends a generation: EOS, EOT, EOM and their kin */
} lm_token_info;
LMI_API lm_status lm_token_get_info(const lm_model *m, lm_token id, lm_token_info *out);
LMI_API int       lm_token_is_eog(const lm_model *m, lm_token id);     /* 0 for ids outside the vocabulary */
typedef enum lm_special { LM_BOS, LM_EOS, LM_EOT, LM_EOM, LM_UNK, LM_SEP, LM_PAD, LM_MASK, LM_FIM_PRE, LM_FIM_SUF, LM_FIM_MID } lm_special;
LMI_API lm_token  lm_token_special(const lm_model *m, lm_special which); /* -1: the model has none */
LMI_API int       lm_adds_bos(const lm_model *m);                      /* 1: LM_TEXT_ADD_SPECIAL puts BOS in front */

/* Streaming: token ids in, text out as soon as it is certain. What comes out, joined, is the text of all ids up to the end, and every piece is whole
 * UTF-8 characters (each maximal ill-formed part as one U+FFFD; Unicode 16, section 3.9), or the bytes themselves with LM_TEXT_RAW. The text ends
 *   - before a token that ends a generation (unless LM_TEXT_IGNORE_EOG);
 *   - before the stop string that is complete first, of several that end at the same byte the longest. Stop strings are compared as bytes, wherever
 *     tokens begin; what may be the beginning of one is held back until that is decided;
 *   - when the caller says so (lm_emit_end). After the end nothing comes out.
 * The state is the caller's: fill it with zeros, set the first five fields, copy it as you like (a copy goes on by itself). Model and stop strings
 * must outlive it. The five may be changed while nothing is held back, so a prompt can be shown without being searched for stops. */
typedef struct lm_stop { const char *text; size_t n_bytes; } lm_stop;  /* an empty one never matches */
typedef enum lm_end { LM_END_NOT_YET = 0, LM_END_EOG, LM_END_STOP, LM_END_CALLER } lm_end;
typedef struct lm_emitter {
    const lm_model *model;            /* for ids; NULL where only bytes are given */
    const lm_stop  *stops; int n_stops;
    int             flags;            /* LM_TEXT_ SHOW_CONTROL, CONTINUES, RAW, IGNORE_EOG */
    lm_end          end;              /* result: why the text ended */
    int             stop;             /* result: with LM_END_STOP, which */
    int             n_part, began, spaced, held; size_t n_held; unsigned char part[4]; /* private */
} lm_emitter;
/* The text that id makes certain. *n_bytes = its bytes, also with LM_E_FULL, when cap was less: then nothing has happened, call again with more
 * room. Room for three times the token's text and the longest stop string, and 4 bytes, always suffices. Allocates nothing. LM_E_ARG: an id
 * outside the vocabulary, stops changed while text was held back. LM_E_SUPPORT: the model has no vocabulary. */
LMI_API lm_status lm_emit(lm_emitter *e, lm_token id, char *text, size_t cap, size_t *n_bytes);
LMI_API lm_status lm_emit_bytes(lm_emitter *e, const char *bytes, size_t n, char *text, size_t cap, size_t *n_bytes); /* the same for text from elsewhere */
LMI_API lm_status lm_emit_end(lm_emitter *e, char *text, size_t cap, size_t *n_bytes); /* ends the text: what was held back */

/* ---------------------------------------------------------------------------------------------- chat
 * A conversation laid out by the model's own template, which is Jinja text (section >>chat says which part of Jinja). */
#ifndef LLAMA_NO_CHAT
typedef struct lm_message { const char *role, *content; size_t content_bytes; } lm_message; /* role NUL-terminated; content_bytes 0: content up to
                                         its NUL; content NULL: none */
typedef struct lm_chat_desc {
    const lm_message *messages; int n_messages;
    const char *messages_json; size_t messages_bytes; /* instead: a JSON array of objects, for tool calls, parts of content, further keys */
    const char *tools_json; size_t tools_bytes;       /* a JSON array; NULL: none */
    const char *extra_json; size_t extra_bytes;       /* a JSON object of further variables of the template; they hide those of the same name */
    const char *template_text; size_t template_bytes; /* NULL: the model's tokenizer.chat_template, with tools its tool_use variant where it has one;
                                         a model without one: ChatML, and a warning through hooks.log */
    int      no_generation_prompt;    /* 0: the text ends with what begins an answer, where the template knows of add_generation_prompt */
    int64_t  now;                     /* seconds since 1970 for strftime_now, in the time zone that it is to tell (0: the system's clock, UTC) */
    const char *bos, *eos;            /* text of bos_token and eos_token (NULL: the model's) */
    uint64_t max_steps;               /* of the interpreter (0: a million, and 32 for each byte of messages, tools and extra) */
    size_t   max_bytes;               /* of memory (0: 8 MB, and 32 for each of these bytes) */
    lm_hooks hooks;                   /* take and give (take NULL: the model's), log */
} lm_chat_desc;
/* The text of a conversation: *n_bytes is what it needs, also with LM_E_FULL, when cap was less (text may be NULL with cap 0). m may be NULL where
 * a template is given; bos and eos are then "" unless given. Thread-safe. All memory is given back. LM_E_ARG: the template refuses the
 * conversation (raise_exception), or the descriptor is wrong; LM_E_FORMAT: malformed JSON, a faulty template, more than max_steps or
 * LLAMA_CHAT_DEPTH; LM_E_SUPPORT: a part of Jinja that is not built in; LM_E_MEMORY: also more than max_bytes. The message tells line and column of
 * the template, or the byte of the JSON. */
LMI_API lm_status lm_chat_render(const lm_model *m, const lm_chat_desc *d, char *text, size_t cap, size_t *n_bytes, lm_error *err);
/* The same as token ids. BOS is where the template writes it. Text of control tokens counts as such only where the template wrote all of it,
 * never where a byte of it came from messages, tools or extra: that text is read as lm_tokenize reads it without LM_TEXT_PARSE_SPECIAL. (A role of
 * letters, digits, '_' and '-' alone counts as the template's.) To go on with a conversation whose beginning is in a context: tokenize
 * all of it, count the ids k that agree with those the context holds, at most n_ids - 1, lm_rewind to k, decode the rest. */
LMI_API lm_status lm_chat_tokenize(const lm_model *m, const lm_chat_desc *d, lm_token *ids, size_t cap, size_t *n_ids, lm_error *err);
#endif

/* ---------------------------------------------------------------------------------------------- context */

typedef enum lm_cache_type { LM_CACHE_F16 = 0, LM_CACHE_F32 = 1, LM_CACHE_Q8_0 = 2 } lm_cache_type;
typedef enum lm_compute { LM_COMPUTE_AUTO = 0, LM_COMPUTE_F32 = 1 } lm_compute;
typedef enum lm_full { LM_FULL_ERROR = 0, LM_FULL_ROLL = 1 } lm_full;
typedef struct lm_ctx_desc {
    int   n_ctx;                      /* positions of each sequence (0: the smaller of the model's own and 4096) */
    int   n_batch;                    /* tokens computed at once; a longer batch is cut. Scratch grows with it (0: 512) */
    int   n_seq;                      /* independent sequences (0: 1) */
    int   n_logits;                   /* most rows of results one decode may ask for (0: 1); a row is n_vocab + n_embd floats */
    lm_cache_type cache_type;         /* keys and values: float16, float32, or 8 bits with a float16 scale per 32 dimensions of a head */
    lm_full full;                     /* a token that would take position n_ctx. ERROR: LM_E_FULL. ROLL: the window moves, see lm_decode */
    int   n_keep;                     /* ROLL: first positions that stay (Xiao 2023, arXiv:2309.17453), less than n_ctx (0: none) */
    int   n_drop;                     /* ROLL: positions dropped at a time, 1 to n_ctx - n_keep (0: half of that, rounded up) */
    lm_compute compute;               /* AUTO: quantized weights times 8-bit activations. F32: dequantized, float32 (exact, slow) */
    int   n_threads;                  /* jobs at once; 0: physical cores; 1: no thread is ever started */
    void *block; size_t block_bytes;  /* lm_ctx_size() bytes that outlive the context; NULL: hooks.take, once */
    /* Sees what matrices are multiplied with: before each product, on the thread that decodes, the matrix's name ("blk.7.ffn_down.weight") and its inputs
     * x [n_tok][n_in], tokens in the batch's order, whatever n_batch and n_threads. For statistics, such as the importance of columns; threads wait
     * meanwhile. x may hold what is no number, then the decode fails. NULL: nobody looks, and it costs nothing */
    void (*observe)(void *user, const char *name, const float *x, int n_in, int n_tok); void *observe_user;
    lm_hooks hooks;                   /* copied; progress is asked between layers */
} lm_ctx_desc;

enum { LM_WANT_LOGITS = 1, LM_WANT_EMBEDDING = 2 };
typedef struct lm_batch {
    const lm_token *ids; int n;       /* n >= 1 */
    const int32_t  *seq;              /* [n] sequence of each token, NULL: all in sequence 0. Positions follow on from each
                                         sequence's length, in the order of the batch */
    const uint8_t  *want;             /* [n] LM_WANT_ bits, NULL: logits of the last token only. Logits come with the embedding */
} lm_batch;

/* Bytes a context needs: cache = n_seq * n_layer * n_ctx (rounded up to 64) * n_head_kv * (n_embd_head_k + n_embd_head_v (to 16)) * 2 (f16),
 * 4 (f32) or 1 (q8_0, plus 2 for every 32 dimensions begun), plus results, plus scratch (README: how memory is computed). */
LMI_API lm_status lm_ctx_size(const lm_model *m, const lm_ctx_desc *d, size_t *n_bytes, lm_error *err);
LMI_API lm_status lm_ctx_open(lm_ctx **out, const lm_model *m, const lm_ctx_desc *d, lm_error *err);
LMI_API void      lm_ctx_close(lm_ctx *c);

/* Runs the tokens through the model and appends them to their sequences. Allocates nothing. On error or cancelling the context is
 * as if it had never been called, only that no results are kept. The results are the same bits however tokens are cut into batches,
 * mixed with other sequences, or spread over threads. LM_E_ARG: id or sequence out of range; LM_E_FULL: a sequence would
 * pass n_ctx, or more results wanted than n_logits; LM_E_NUMERIC; LM_E_CANCEL: hooks.progress said so.
 * With LM_FULL_ROLL a sequence never is full. When its length is n_ctx and one more token comes, positions n_keep .. n_keep + n_drop - 1 are
 * forgotten and those behind them move down by n_drop: values as they are, keys rotated back by n_drop positions and rounded once to the cache's
 * type (beyond its range: to its largest number). All further tokens see the new positions. When this happens depends on lengths alone, so the bits
 * stay the same for any batches and threads; they differ from those of a text that begins at the new window, because kept keys and values have seen
 * what was forgotten. A move cannot fail and is not undone: after an error or cancelling, a sequence has what is left of its earlier tokens. */
LMI_API lm_status lm_decode(lm_ctx *c, const lm_batch *b);
/* The same in slices, for a frame loop (UINT32_MAX: all of it): begin (*b and its arrays must stay until the end), then step until it no longer returns
 * LM_MORE. A step stops at the first layer boundary past its budget, so the smallest slice is one layer of n_batch tokens. Beginning
 * drops a decode that is under way. */
LMI_API lm_status lm_decode_begin(lm_ctx *c, const lm_batch *b);
LMI_API lm_status lm_decode_step(lm_ctx *c, uint32_t budget_us);
LMI_API void      lm_decode_cancel(lm_ctx *c);   /* drops a begun decode; the sequences are as before */

LMI_API const float *lm_logits(const lm_ctx *c, int i);    /* [n_vocab] for token i of the last batch, -1: its last token, before softmax;
                                                              valid until the next decode; NULL: not asked for */
LMI_API const float *lm_embedding(const lm_ctx *c, int i); /* [n_embd] hidden state after the last norm, same rules */
LMI_API int          lm_seq_len(const lm_ctx *c, int seq); /* tokens in the sequence; -1: no such sequence */
LMI_API lm_status    lm_rewind(lm_ctx *c, int seq, int n_keep); /* forgets positions >= n_keep. LM_E_ARG unless 0 <= n_keep <= length */
LMI_API const lm_token *lm_seq_tokens(const lm_ctx *c, int seq); /* [lm_seq_len] its tokens by position, until the context's next call; NULL: none such */
LMI_API uint64_t     lm_seq_dropped(const lm_ctx *c, int seq); /* tokens that a rolling window has forgotten; 0 after lm_rewind to n_keep or less */
/* Copies sequence `from` over `to`, which loses what it had: several continuations of one prompt. Both then go on alone. Results of the last decode
 * stay. LM_E_ARG: no such sequence, or a decode is under way. Time: the cache of `from`, once. */
LMI_API lm_status    lm_fork(lm_ctx *c, int from, int to);
LMI_API const char  *lm_ctx_error(const lm_ctx *c);        /* what the last failed call said; "" after success */
LMI_API const lm_model *lm_ctx_model(const lm_ctx *c);

typedef struct lm_counters {          /* since opening or lm_counters_reset */
    uint64_t n_tokens, n_decodes, decode_us; /* finished decodes only */
    uint64_t n_macs;                  /* multiply-adds of matrix products and attention */
    uint64_t n_samples, sample_us;
} lm_counters;
LMI_API void lm_get_counters(const lm_ctx *c, lm_counters *out);
LMI_API void lm_counters_reset(lm_ctx *c);
typedef struct lm_ctx_info { int n_ctx, n_batch, n_seq, n_logits, n_threads; lm_cache_type cache_type; lm_full full; int n_keep, n_drop; lm_compute compute;
    uint64_t n_cache_bytes, n_result_bytes, n_scratch_bytes, n_block_bytes; } lm_ctx_info;
LMI_API void lm_ctx_get_info(const lm_ctx *c, lm_ctx_info *out);       /* the descriptor with defaults filled in */

/* ---------------------------------------------------------------------------------------------- adapter
 * LoRA (Hu et al. 2021, arXiv:2106.09685): a GGUF file of general.type "adapter" and adapter.type "lora", as llama.cpp's convert_lora_to_gguf.py
 * writes it, with pairs NAME.weight.lora_a [rank, n_in] and .lora_b [n_out, rank] for any of the model's matrices. They become float32 in memory of
 * the adapter's own; the model is not touched. Where an adapter is attached to a sequence, a product's result y (with its bias, and added to what it
 * is added to) becomes
 *     y = y + s * (B (A x)),    s = scale * alpha / rank  (scale, where the file has no adapter.lora.alpha or 0)
 * for each adapter in the order in which they were attached. A x and B u are sums over rising indices by fused multiply-adds in float32, x is not
 * rounded to 8 bits, s * v and the sum are rounded once each: one answer, alone or with other sequences in a batch. token_embd works alike, with the
 * token's row of A for A x; but not in a model whose output matrix is the same tensor (LM_E_SUPPORT), and neither do norms in an adapter. */
typedef struct lm_adapter_desc {
    const char *path;                 /* the common case of `source` */
    lm_source   source;               /* any other origin, when path is NULL; needed while opening only */
    lm_hooks    hooks;                /* copied; memory, and progress while opening */
} lm_adapter_desc;
/* Opens and validates, against the model, which must outlive it: every name, shape and number. Memory of its own: 4 bytes for each weight, ranks and
 * rows rounded up to 16; and a copy of the file while it opens, where that is not in memory. Statuses as lm_model_open. */
LMI_API lm_status lm_adapter_open(lm_adapter **out, const lm_model *m, const lm_adapter_desc *d, lm_error *err);
LMI_API void      lm_adapter_close(lm_adapter *a); /* after it is detached, or the contexts are closed; NULL is fine */
/* From now on the sequence is computed with the adapter, after those it has already; what is in its cache stays. Attaching one again changes its
 * scale. At most 8 (LM_E_FULL). A fork has its original's adapters. LM_E_ARG: of another model, no such sequence, a decode is under way, scale is no
 * number. */
LMI_API lm_status lm_adapter_attach(lm_ctx *c, int seq, const lm_adapter *a, float scale);
LMI_API lm_status lm_adapter_detach(lm_ctx *c, int seq, const lm_adapter *a); /* NULL: all. LM_E_ARG: it is not attached */

/* ---------------------------------------------------------------------------------------------- sample
 * A chain works on the candidates (all tokens with their logits) in the order the caller gives. After the last step the remaining
 * candidates are soft-maxed and one is drawn. An empty chain, or one that ends with one candidate, is greedy. Ties: the lower id first.
 * Random numbers: PCG32 (O'Neill 2014, https://www.pcg-random.org), one 32-bit output per draw, the top 24 bits a fraction in [0,1). */
typedef enum lm_step_kind {
    LM_STEP_PENALTIES = 1,            /* over the last n tokens (0: 64, -1: all remembered): logits > 0 divided by `repeat`, others
                                         multiplied (1: off; Keskar 2019, arXiv:1909.05858); minus freq * count + presence */
    LM_STEP_BIAS,                     /* logit += bias for each entry of bias[n_bias]; -INFINITY bans a token */
    LM_STEP_TOP_K,                    /* keeps the n largest (n <= 0: all) */
    LM_STEP_TOP_P,                    /* keeps the fewest whose probabilities reach p (Holtzman 2019, arXiv:1904.09751); p >= 1: all */
    LM_STEP_MIN_P,                    /* keeps those at least p times as likely as the likeliest (arXiv:2407.01082); p <= 0: all */
    LM_STEP_TYPICAL_P,                /* keeps the most typical whose probabilities reach p (arXiv:2202.00666); p >= 1: all */
    LM_STEP_TEMP,                     /* logits divided by temp; temp <= 0 keeps only the likeliest */
    LM_STEP_MIROSTAT2                 /* target surprise tau in bits, rate eta (arXiv:2007.14966); ends the chain */
} lm_step_kind;
typedef struct lm_bias { lm_token id; float bias; } lm_bias;
typedef struct lm_step {
    lm_step_kind kind;
    int   n;                          /* TOP_K; PENALTIES: window */
    float p;                          /* TOP_P, MIN_P, TYPICAL_P */
    float temp;                       /* TEMP */
    float repeat, freq, presence;     /* PENALTIES; repeat 0 means 1 */
    float tau, eta;                   /* MIROSTAT2 (0: 5 and 0.1) */
    const lm_bias *bias; int n_bias;  /* BIAS; copied */
} lm_step;
typedef struct lm_sampler_desc {
    const lm_step *steps; int n_steps; /* copied; at most 32 */
    uint64_t seed;
    int   n_prev;                     /* tokens remembered for penalties (0: 64 or the largest window) */
    void *block; size_t block_bytes;  /* lm_sampler_size() bytes that outlive it; NULL: hooks.take, once */
    lm_hooks hooks;
} lm_sampler_desc;
LMI_API lm_status lm_sampler_size(const lm_model *m, const lm_sampler_desc *d, size_t *n_bytes, lm_error *err);
LMI_API lm_status lm_sampler_open(lm_sampler **out, const lm_model *m, const lm_sampler_desc *d, lm_error *err);
LMI_API void      lm_sampler_close(lm_sampler *s);
LMI_API void      lm_sampler_reset(lm_sampler *s, uint64_t seed);      /* as just opened, with another seed */
LMI_API void      lm_sampler_accept(lm_sampler *s, lm_token id);       /* remember a token that was not drawn (a prompt's) for penalties */
/* Draws from row i of the last decode (-1: the last token) and remembers it. s NULL: greedy. Allocates nothing.
 * Returns a token id, or a negative lm_status: LM_E_ARG (no such row), LM_E_NUMERIC (no candidate is a number). */
LMI_API lm_token  lm_sample(lm_ctx *c, int i, lm_sampler *s);
/* The same on n_vocab logits of the caller's own, which stay unchanged. */
LMI_API lm_token  lm_sample_logits(lm_sampler *s, const float *logits);
/* The candidates of the last draw with their probabilities, likeliest first, valid until the next. Returns how many. */
typedef struct lm_candidate { lm_token id; float logit; float p; } lm_candidate;
LMI_API int       lm_sampler_candidates(const lm_sampler *s, const lm_candidate **out);

/* ---------------------------------------------------------------------------------------------- score
 * Probabilities as the model gives them, before any sampler: ln p(id) = logits[id] - max - ln(sum of e^(logits[i] - max), in double, by rising id),
 * with section base's exp and log, so they have the same bits everywhere. */
typedef struct lm_ranked { lm_token id; double logprob; } lm_ranked;
/* ln p(id); -infinity where the logit is. NaN: an id that is none of n_vocab, or no logit above -infinity. Time: one exp for each of n_vocab. */
LMI_API double lm_logprob(const float *logits, int n_vocab, lm_token id);
/* The n likeliest tokens with their ln p, likeliest first, of equals the lower id. Returns how many: n, or fewer where there are no more. Allocates
 * nothing. */
LMI_API int lm_top_logprobs(const float *logits, int n_vocab, lm_ranked *out, int n);
/* Log-probabilities of given tokens (echo): ids[0..n) follow on the sequence, and logprob[i - from] = ln p(ids[i] | all before it) for
 * i = from .. n - 1, 1 <= from < n. The sequence gets all of them but the last, whose own logits nobody asked for: decode it to go on. Uses the context's n_logits
 * rows, as many tokens at a time. LM_E_ARG, LM_E_FULL and so on as lm_decode; on error the sequence is as before (but a window that rolled). No
 * results are kept. */
LMI_API lm_status lm_score(lm_ctx *c, int seq, const lm_token *ids, int n, int from, double *logprob);
/* Which of several continuations? The sequence gets the prompt, n_prompt >= 1 tokens. Each option is scored as if it alone followed: logprob = sum of
 * ln p of its tokens, first to last; p = its share among the options, e^(logprob - max) over their sum. The prompt is computed once; options are
 * computed together, in forks: sequences work .. work + n_work - 1, which lose what they had and are left empty. With n_work 0 they are computed one
 * after another in the sequence itself. The results are the same bits. LM_E_ARG: an option without tokens, a working sequence that is `seq`;
 * LM_E_FULL: prompt and longest option do not fit in n_ctx (a window does not roll here); else as lm_decode. On error the sequence is as before. */
typedef struct lm_option { const lm_token *ids; int n; double logprob, p; } lm_option;  /* logprob, p: results */
LMI_API lm_status lm_choose(lm_ctx *c, int seq, const lm_token *prompt, int n_prompt, lm_option *options, int n_options, int work, int n_work);

/* ---------------------------------------------------------------------------------------------- state
 * A sequence as bytes: its tokens, cache and position, and, where one is given, a sampler's random numbers and memory (its chain is the caller's to
 * build again). The bytes are the same on every machine, and what is computed after lm_restore has the bits of what would have been computed
 * without, on another instruction set, thread count, n_batch and n_ctx too (but a window that rolls needs the same n_ctx, n_keep and n_drop for
 * that). Logits are no part of it: to go on where the last decode ended, forget its last token and decode it again, which gives the same logits:
 *     n = lm_seq_len(c, seq); id = lm_seq_tokens(c, seq)[n - 1]; lm_rewind(c, seq, n - 1); decode id
 */
/* Bytes that lm_save will write, about 8 for each position beyond its share of the cache; s may be NULL; 0: no such sequence. */
LMI_API size_t    lm_save_size(const lm_ctx *c, int seq, const lm_sampler *s);
/* *n_bytes = bytes needed, also with LM_E_FULL, when cap was less. LM_E_ARG: no such sequence, a decode is under way, a sampler of another model. */
LMI_API lm_status lm_save(lm_ctx *c, int seq, const lm_sampler *s, void *bytes, size_t cap, size_t *n_bytes);
/* Puts a saved state in the place of sequence seq, and of the sampler's if one is given. The bytes are hostile until checked; whatever is wrong, the
 * sequence and the sampler stay as they were, and lm_ctx_error says what it is. LM_E_FORMAT: damaged, or no state; LM_E_SUPPORT: of a later version;
 * LM_E_ARG: of another model, cache_type, compute or adapters, without a sampler though one is given, or with another n_prev; LM_E_FULL: longer than
 * n_ctx. */
LMI_API lm_status lm_restore(lm_ctx *c, int seq, lm_sampler *s, const void *bytes, size_t n_bytes);

/* ---------------------------------------------------------------------------------------------- train
 * Training (LLAMA_TRAIN, section >>train): gradients of the cross-entropy with regard to every weight, or to low-rank adapters over weights that stay
 * as they are; AdamW. An lm_train holds float32 weights, gradients, both moments, and room for one micro-batch; the loop is the caller's: batches,
 * the learning rate of each step, checkpoints. Nothing is random but by the seed. The results have the same bits at any thread count and on any
 * instruction set. The model is section >>forward's (the saved file gives the same logits up to rounding, with LM_COMPUTE_F32), in float32
 * throughout, with keys and values that are not rounded. Biases are not built in (LM_E_SUPPORT). One thread at a time. */
#ifdef LLAMA_TRAIN
#ifdef LLAMA_TRAIN_DOUBLE
typedef double lm_real;               /* a build for tests, which compare gradients with differences */
#else
typedef float lm_real;
#endif
typedef struct lm_train lm_train;
typedef struct lm_train_shape {       /* of a new model */
    int   n_vocab, n_embd, n_layer, n_head, n_ff; /* n_embd a multiple of n_head, unless n_embd_head is given */
    int   n_head_kv;                  /* 0: n_head */
    int   n_embd_head;                /* of a head's keys and values, even (0: n_embd / n_head) */
    int   tied;                       /* 1: the output matrix is token_embd */
    float rms_eps;                    /* 0: 1e-5 */
    float rope_freq_base;             /* 0: 10000 */
} lm_train_shape;
enum { LM_TRAIN_Q = 1, LM_TRAIN_K = 2, LM_TRAIN_V = 4, LM_TRAIN_O = 8, LM_TRAIN_GATE = 16, LM_TRAIN_UP = 32, LM_TRAIN_DOWN = 64 };
typedef struct lm_train_desc {
    const lm_model *base;             /* its weights are dequantized and trained or, with lora_rank, read where they are and never written: the same tensors,
                                         quantized or not. Must outlive the lm_train; lm_tensor.data of its tensors must be there (from a file that is
                                         mapped, from memory, or with plain_layout). NULL: `shape` and random weights */
    const lm_train_shape *shape;      /* without base; copied */
    uint64_t seed;                    /* first weights: matrices normal with deviation 0.02, attn_output and ffn_down 0.02 / sqrt(2 n_layer), norms 1; of
                                         adapters A normal with deviation 1 / sqrt(n_in), B 0. And dropout */
    int   lora_rank;                  /* 0: all weights are trained. r: pairs A [r][n_in], B [n_out][r] beside the matrices in lora_targets, base frozen:
                                         y = W x + lora_alpha / r * B (A x) */
    float lora_alpha;                 /* 0: lora_rank */
    unsigned lora_targets;            /* LM_TRAIN_ bits of matrices of every layer (0: all seven) */
    int   n_rows, n_len;              /* largest micro-batch: rows of tokens (0: 1 and 256). Memory grows with both */
    int   recompute;                  /* 1: of each layer only the input is kept, the rest is computed again in the backward pass: the same bits, about
                                         a third more time, a fraction of the memory */
    int   ema;                        /* 1: room for a moving average of the weights, which begins as the weights are */
    float dropout;                    /* 0 <= p < 1: share of numbers set to 0, others divided by 1 - p, while gradients are computed: of the embedding, of what
                                         attention and feed-forward add to it; with lora_rank only of what the As are multiplied with (the
                                         same for q, k and v, and for gate and up). p counts in 65536ths */
    int   n_threads;                  /* 0: physical cores; 1: no thread is ever started */
    void *block; size_t block_bytes;  /* lm_train_size() bytes that outlive it; NULL: hooks.take, once */
    lm_hooks hooks;                   /* copied; progress is asked between the layers of lm_train_run, by the thread that called it */
} lm_train_desc;
/* Bytes that lm_train_open will need: 16 for each trained weight (20 with ema; gradients and two moments beside the weight), and for each token of the largest micro-batch
 * and layer some 4 * (6 n_embd + 2 (n_head + n_head_kv) n_embd_head + 3 n_ff) bytes, or 4 n_embd with recompute. */
LMI_API lm_status lm_train_size (const lm_train_desc *d, size_t *n_bytes, lm_error *err);
/* LM_E_ARG: a number out of range, tensors whose bytes are not there; LM_E_SUPPORT: biases, a rank beyond a matrix's sides; LM_E_MEMORY. */
LMI_API lm_status lm_train_open (lm_train **out, const lm_train_desc *d, lm_error *err);
LMI_API void      lm_train_close(lm_train *t);   /* NULL is fine */
LMI_API const char *lm_train_error(const lm_train *t); /* what the last failed call said; "" after success */

/* What is trained. The arrays live as long as the lm_train and may be read and written between calls (checkpoints, other first weights, adding
 * the gradients of several machines). All tensors' numbers lie in one array of lm_train_info.n_floats (gaps between them are 0 and stay so). */
typedef struct lm_train_tensor {
    const char *name;                 /* as in a GGUF file: "blk.0.attn_q.weight"; of adapters "blk.0.attn_q.weight.lora_a" [r][n_in], ".lora_b" [n_out][r] */
    int      n_dims;                  /* 1 or 2 */
    uint64_t dims[2];                 /* dims[0] runs fastest (a row's length, n_in) */
    int      decays;                  /* 1: weight decay applies: two dimensions */
    lm_real *value, *grad, *m, *v;    /* [dims[1]][dims[0]]; moments of the gradient and of its square */
    lm_real *ema;                     /* NULL without it */
} lm_train_tensor;
typedef struct lm_train_info {
    lm_train_shape shape;             /* with defaults filled in, of base where there is one */
    int   n_tensors, lora_rank, n_rows, n_len, n_threads; float lora_alpha; unsigned lora_targets;
    const char *isa;
    uint64_t n_params;                /* trained weights */
    size_t n_floats; lm_real *value, *grad, *m, *v, *ema; /* the arrays as a whole */
    uint64_t n_block_bytes, n_state_bytes; /* all memory; of it weights, gradients, moments and average */
} lm_train_info;
LMI_API void      lm_train_get_info(const lm_train *t, lm_train_info *out);
LMI_API lm_status lm_train_tensor_at(const lm_train *t, int i, lm_train_tensor *out); /* 0 <= i < n_tensors; LM_E_ARG: no such index */

/* A micro-batch. The loss of a counted token (targets[i] >= 0), with p the model's distribution behind ids[0..i] of its row, is
 *     l = (1 - soft_share) * ((1 - label_smoothing) * -ln p(target) + label_smoothing * mean over the vocabulary of -ln p)
 *       + soft_share * temperature^2 * sum over k of soft_p[k] * (ln soft_p[k] - ln q(soft_ids[k])),   q = softmax(logits / temperature)
 * (Hinton et al. 2015, arXiv:1503.02531: the square keeps both parts' gradients alike in size), and loss = scale * sum of weight * l. */
typedef struct lm_train_batch {
    int n_rows, n_len;                /* at most those of the descriptor */
    const lm_token *ids, *targets;    /* [n_rows][n_len]. The token that follows; < 0: not counted */
    const int32_t *start;             /* [n_rows][n_len] first index of the row that a token may see, 0 <= start <= its own index and never falling: packed
                                         documents. Positions count from it. NULL: 0 */
    const lm_real *weight;            /* [n_rows][n_len] factor of each counted token, of either sign; NULL: 1 */
    lm_real scale;                    /* of the loss, usually 1 / counted tokens of the whole step, whatever it is cut into. 0: no gradients, no dropout: evaluation */
    lm_real label_smoothing;           /* 0 <= e < 1 */
    const lm_token *soft_ids;         /* a teacher's distributions: [n_rows][n_len][n_soft]; NULL with soft_p: n_soft = n_vocab, in order */
    const lm_real *soft_p; int n_soft;  /* [n_rows][n_len][n_soft] >= 0, read where a token is counted, at the same temperature; NULL: none */
    lm_real soft_share, temperature;  /* 0 to 1; > 0 (0: 1) */
    uint64_t step;                    /* any number that no other micro-batch has: dropout is drawn from seed, step and place */
    double *row_nll;                  /* result [n_rows]: sum of -ln p(target) over the row's counted tokens; NULL: not wanted */
    lm_real *token_nll;               /* result [n_rows][n_len] -ln p(target), 0 where not counted; NULL: not wanted */
    lm_real *logits;                  /* result [n_rows][n_len][n_vocab], for tests and as a teacher; NULL: not wanted */
    double  loss, nll; int64_t n_counted; /* results: loss with scale (with 1 where scale is 0); sum of -ln p(target); counted tokens */
} lm_train_batch;
/* Computes the results and, unless scale is 0, ADDS the gradients of loss to those there are. Allocates nothing. LM_E_ARG: an id, target or start out
 * of range, more than n_rows or n_len; LM_E_NUMERIC: the loss is no number (gradients may then be anything: lm_train_zero). */
LMI_API lm_status lm_train_run(lm_train *t, lm_train_batch *b);
LMI_API void      lm_train_zero(lm_train *t);    /* all gradients */
LMI_API double    lm_train_norm(lm_train *t);    /* of all gradients together: root of the sum of squares, in double, in one order; NaN or infinite if one is */

/* AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), after clipping: with c = min(1, clip / (norm + 1e-6)), g = c grad, tensor by tensor
 *     m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
 *     value = value (1 - lr weight_decay) [matrices only] - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
 * and then ema = ema_decay ema + (1 - ema_decay) value. Gradients are zero afterwards. */
typedef struct lm_adamw {
    double   lr, beta1, beta2, eps, weight_decay; /* taken as they are: usual are 1e-3, 0.9, 0.95, 1e-8, 0.1 */
    double   clip;                    /* 0: gradients are not clipped */
    double   ema_decay;               /* with lm_train_desc.ema */
    uint64_t t;                       /* this step's number, from 1 */
    double   norm;                    /* result: of the gradients before clipping */
} lm_adamw;
/* LM_E_NUMERIC: a gradient is no number or infinite: nothing changed but the gradients, which are zero (norm tells). LM_E_ARG: t is 0, a beta outside 0 <= beta < 1. */
LMI_API lm_status lm_train_step(lm_train *t, lm_adamw *o);
#endif

#ifdef __cplusplus
}
#endif

/* =====================================================================================================
 * You can stop reading here if you only call the library.
 * ===================================================================================================== */
#endif /* LLAMA_SINGLE_FILE_H */

#if defined(LLAMA_IMPLEMENTATION) && !defined(LLAMA_IMPLEMENTATION_DONE)
#define LLAMA_IMPLEMENTATION_DONE
#define LMI_BODY /* this inclusion holds the implementation */

/* ============================================================================================== >>base
 * Platform switches, checked sizes, memory, errors, byte order, half floats, hashing, and the few functions of real numbers that
 * inference and sampling need. libm's differ between systems in the last bit, so exp, log, pow, sin and cos are our own; division
 * and square root are exact by IEEE 754 and used as they are.
 */

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(_M_FP_FAST) || \
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ == 1)
#error "llama.h: compile the file that defines LLAMA_IMPLEMENTATION without -ffast-math (or its parts): results would differ between builds"
#endif

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

/* No product is ever fused with a sum unless the text says fma: on every compiler, at every -O and -std. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if defined(__i386__)
#pragma GCC target("sse2,fpmath=sse")
#endif
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 && !(defined(__i386__) && defined(__GNUC__) && !defined(__clang__))
#error "llama.h: floats must be computed as floats; on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if defined(LLAMA_MALLOC) != defined(LLAMA_FREE)
#error "llama.h: define both LLAMA_MALLOC(n_bytes) and LLAMA_FREE(p), or neither"
#endif
#ifndef LLAMA_MALLOC
#include <stdlib.h>
#define LLAMA_MALLOC(n_bytes) malloc(n_bytes)
#define LLAMA_FREE(p) free(p)
#endif

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#elif defined(__unix__) || defined(__APPLE__)
#define LMI_POSIX 1
#ifndef LLAMA_NO_MMAP
#include <sys/mman.h>
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#define LMI_UNUSED __attribute__((unused))
#define LMI_APART  __attribute__((noinline)) /* an inner loop on its own: inlined, its registers would go to what is around it */
#elif defined(_MSC_VER)
#define LMI_UNUSED
#define LMI_APART  __declspec(noinline)
#else
#define LMI_UNUSED
#define LMI_APART
#endif
#define LMI_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LMI_MAX(a, b) ((a) > (b) ? (a) : (b))
#define LMI_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

typedef struct lmi_str { const char *p; size_t n; } lmi_str;
static lmi_str lmi_cstr(const char *s) { lmi_str r; r.p = s; r.n = strlen(s); return r; }
static int lmi_str_eq(lmi_str a, lmi_str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static int lmi_str_is(lmi_str a, const char *b) { return lmi_str_eq(a, lmi_cstr(b)); }

/* Checked sizes: every product or sum of numbers from a file goes through these. 0 on overflow, else 1 with the result stored. */
static int lmi_mul(uint64_t a, uint64_t b, uint64_t *out) { if (b != 0 && a > UINT64_MAX / b) return 0; *out = a * b; return 1; }
static int lmi_add(uint64_t a, uint64_t b, uint64_t *out) { if (a > UINT64_MAX - b) return 0; *out = a + b; return 1; }

/* Little-endian loads at any alignment, on any host. */
static uint16_t lmi_u16(const void *p) { const uint8_t *b = (const uint8_t *)p; return (uint16_t)(b[0] | (unsigned)b[1] << 8); }
static uint32_t lmi_u32(const void *p) { return (uint32_t)lmi_u16(p) | (uint32_t)lmi_u16((const uint8_t *)p + 2) << 16; }
static uint64_t lmi_u64(const void *p) { return (uint64_t)lmi_u32(p) | (uint64_t)lmi_u32((const uint8_t *)p + 4) << 32; }
static float    lmi_bits_f32(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static uint32_t lmi_f32_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
static double   lmi_bits_f64(uint64_t u) { double f; memcpy(&f, &u, 8); return f; }
static float    lmi_f32(const void *p) { return lmi_bits_f32(lmi_u32(p)); }
static double   lmi_f64(const void *p) { return lmi_bits_f64(lmi_u64(p)); }
static int lmi_finite(float x) { return (lmi_f32_bits(x) & 0x7f800000u) != 0x7f800000u; }
static LMI_UNUSED int lmi_finite64(double x) { uint64_t u; memcpy(&u, &x, 8); return (u & 0x7ff0000000000000u) != 0x7ff0000000000000u; }

/* IEEE binary16, round to nearest even; exact the other way. */
static float lmi_f16(uint16_t h) {
    float f = lmi_bits_f32((uint32_t)(h & 0x7fff) << 13) * lmi_bits_f32(0x77800000u); /* the exponent's bias by * 2^112: exact, subnormals too */
    uint32_t u = lmi_f32_bits(f);
    if (f >= 65536.0f) u |= 0x7f800000u;                                                /* was infinity or NaN */
    return lmi_bits_f32(u | (uint32_t)(h & 0x8000) << 16);
}
/* The bits of a finite number below 65520, without a branch, so that compilers spread loops over vectors: a subnormal result is what rounding makes of a
 * sum with 0.5, whose ulp is 2^-24. */
static inline uint16_t lmi_half(uint32_t u) {
    uint32_t a = u & 0x7fffffff, small = lmi_f32_bits(lmi_bits_f32(a) + 0.5f) - 0x3f000000u, normal = (a - 0x38000000u + 0xfff + (a >> 13 & 1)) >> 13;
    return (uint16_t)((u >> 16 & 0x8000) | (a < 0x38800000u ? small : normal));
}
static uint16_t lmi_to_f16(float f) {
    uint32_t u = lmi_f32_bits(f), sign = (u >> 16) & 0x8000, a = u & 0x7fffffffu;
    if (a >= 0x7f800000u) return (uint16_t)(sign | 0x7c00 | (a > 0x7f800000u ? 0x200 | (a >> 13 & 0x3ff) : 0)); /* NaN: quiet, payload kept */
    return a >= 0x477ff000u ? (uint16_t)(sign | 0x7c00) : lmi_half(u);                      /* 65520 and more round to infinity */
}

/* n floats. 0: one is no number, or too large. */
static int lmi_to_f16s(const float *x, int n, uint16_t *out) {
    uint32_t u[16], most[16], big = 0; uint16_t h[16]; int i, j;
    memset(most, 0, sizeof most);
    for (i = 0; i < n; i += 16) {
        memset(u, 0, sizeof u);
        memcpy(u, x + i, (size_t)LMI_MIN(16, n - i) * sizeof(float));
        for (j = 0; j < 16; j++) most[j] |= (0x477fefff - (u[j] & 0x7fffffff)) & 0x80000000u; /* 65519.996 is the largest that does not round to infinity */
        for (j = 0; j < 16; j++) h[j] = lmi_half(u[j]);
        memcpy(out + i, h, (size_t)LMI_MIN(16, n - i) * sizeof(uint16_t));
    }
    for (j = 0; j < 16; j++) big |= most[j];
    return big == 0;
}

/* ---- errors: one line, no allocation, no locale. %s: text of ours or the caller's, NUL-terminated; %S: an lmi_str from a file, of which
 * everything but printable ASCII is shown as \xNN; %d int; %u uint64_t; %f double (short). Long texts keep their beginning and end. */
typedef struct lmi_out { char *p; size_t n, cap; } lmi_out;
static void lmi_putc(lmi_out *o, char c) { if (o->n + 1 < o->cap) o->p[o->n++] = c; }
static void lmi_put_text(lmi_out *o, lmi_str s, int ascii) {
    size_t i;
    for (i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (s.n > 100 && i == 30) { i = s.n - 60; lmi_putc(o, '.'); lmi_putc(o, '.'); lmi_putc(o, '.'); c = (unsigned char)s.p[i]; }
        if (c >= 32 && c != 127 && (c < 128 || !ascii)) { lmi_putc(o, (char)c); continue; }
        lmi_putc(o, '\\'); lmi_putc(o, 'x'); lmi_putc(o, "0123456789abcdef"[c >> 4]); lmi_putc(o, "0123456789abcdef"[c & 15]);
    }
}
static void lmi_puts(lmi_out *o, const char *s) { lmi_put_text(o, lmi_cstr(s), 0); }
static void lmi_put_u64(lmi_out *o, uint64_t v) {
    char digit[20]; int k = 0;
    do { digit[k++] = (char)('0' + (int)(v % 10)); v /= 10; } while (v);
    while (k) lmi_putc(o, digit[--k]);
}
static void lmi_put_f64(lmi_out *o, double v) { /* six significant decimals at most; for messages only */
    int i, e = 0;
    if (v != v) { lmi_puts(o, "nan"); return; }
    if (v < 0) { lmi_putc(o, '-'); v = -v; }
    if (v > DBL_MAX) { lmi_puts(o, "inf"); return; }
    while (v >= 1e9) { v /= 10; e++; }
    while (v > 0 && v < 1e-4) { v *= 10; e--; }
    lmi_put_u64(o, (uint64_t)v); v -= (double)(uint64_t)v;
    if (v > 0) { lmi_putc(o, '.'); for (i = 0; i < 6 && v > 0; i++) { v *= 10; lmi_putc(o, (char)('0' + (int)v)); v -= (int)v; } }
    if (e) { lmi_putc(o, 'e'); if (e < 0) { lmi_putc(o, '-'); e = -e; } lmi_put_u64(o, (uint64_t)e); }
}
static void lmi_vformat(lmi_out *o, const char *fmt, va_list ap) { /* appends, and ends with NUL */
    for (; *fmt; fmt++) {
        if (*fmt != '%') { lmi_putc(o, *fmt); continue; }
        switch (*++fmt) {
            case 's': lmi_puts(o, va_arg(ap, const char *)); break;
            case 'S': lmi_put_text(o, va_arg(ap, lmi_str), 1); break;
            case 'd': { int v = va_arg(ap, int); if (v < 0) lmi_putc(o, '-'); lmi_put_u64(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v); break; }
            case 'u': lmi_put_u64(o, va_arg(ap, uint64_t)); break;
            case 'f': lmi_put_f64(o, va_arg(ap, double)); break;
            default:  lmi_putc(o, *fmt); break;
        }
    }
    o->p[o->n] = 0;
}
static lm_status lmi_vfail(lm_error *err, lm_status s, const char *where, const char *fmt, va_list ap) { /* "where: what" */
    lmi_out o;
    if (err == NULL) return s;
    err->status = s;
    o.p = err->text; o.n = 0; o.cap = sizeof err->text;
    if (where) { lmi_puts(&o, where); lmi_puts(&o, ": "); }
    lmi_vformat(&o, fmt, ap);
    return s;
}
static lm_status lmi_fail(lm_error *err, lm_status s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt); s = lmi_vfail(err, s, NULL, fmt, ap); va_end(ap);
    return s;
}
static lm_status lmi_ok(lm_error *err) { if (err) { err->status = LM_OK; err->text[0] = 0; } return LM_OK; }
#define LMI_TRY(call) do { lm_status lmi_s = (call); if (lmi_s != LM_OK) return lmi_s; } while (0)
static void lmi_tell(const lm_hooks *h, int level, const char *fmt, ...) {
    char line[256]; va_list ap; lmi_out o;
    if (h->log == NULL) return;
    o.p = line; o.n = 0; o.cap = sizeof line;
    va_start(ap, fmt); lmi_vformat(&o, fmt, ap); va_end(ap);
    h->log(h->user, level, line);
}

/* ---- memory: every byte the library owns comes through lmi_take, and objects are carved from one block by an arena.
 * With base NULL the arena only counts, so the code that lays an object out also computes its size. */
#define LMI_ALIGN 64
static void *lmi_take(const lm_hooks *h, size_t n_bytes) {
    return h->take ? h->take(h->user, n_bytes, LMI_ALIGN) : LLAMA_MALLOC(n_bytes);
}
static void lmi_give(const lm_hooks *h, void *p, size_t n_bytes) {
    if (p == NULL) return;
    if (h->take == NULL) LLAMA_FREE(p); else if (h->give) h->give(h->user, p, n_bytes);
}
/* Asks for large pages (Linux, where the system leaves the choice to programs): through pages of 4 KiB weights came at 83 % of the speed of reads, through
 * 2 MiB at 98 %. Not for contexts, whose cache would then be resident before it is used. */
static void lmi_large_pages(void *p, size_t n_bytes) {
#ifdef MADV_HUGEPAGE                  /* strict C99 hides it */
    size_t skip = (size_t)(0 - (uintptr_t)p) & 0x1fffff;
    if (p && n_bytes > skip + 0x200000) madvise((char *)p + skip, n_bytes - skip, MADV_HUGEPAGE);
#else
    (void)p; (void)n_bytes;
#endif
}
typedef struct lmi_arena { char *base; uint64_t used, cap; } lmi_arena; /* used becomes UINT64_MAX when sizes overflow */
static void *lmi_push(lmi_arena *a, uint64_t count, uint64_t item_bytes) {
    uint64_t n, at = a->used;
    if (!lmi_mul(count, item_bytes, &n) || !lmi_add(n, LMI_ALIGN - 1, &n)
        || !lmi_add(at, n & ~(uint64_t)(LMI_ALIGN - 1), &n)) {
        a->used = UINT64_MAX;
        return NULL;
    }
    a->used = n;
    return a->base && n <= a->cap ? a->base + at : NULL;
}
/* Starts an arena in the caller's block, or in one from the hooks. n_bytes is what counting gave; LMI_ALIGN more are asked for, for
 * a block that is not aligned. */
static lm_status lmi_arena_open(lmi_arena *a, uint64_t n_bytes, void *block, size_t block_bytes, const lm_hooks *h, void **own,
    const char *what, lm_error *err) {
    uint64_t total; size_t skip; char *p = (char *)block;
    *own = NULL;
    if (!lmi_add(n_bytes, LMI_ALIGN, &total) || total > SIZE_MAX / 2)
        return lmi_fail(err, LM_E_MEMORY, "%s needs %u bytes, more than this system can address", what, n_bytes);
    if (p && block_bytes < total)
        return lmi_fail(err, LM_E_MEMORY, "%s needs %u bytes, the caller's block has %u", what, total, (uint64_t)block_bytes);
    if (p == NULL) { *own = lmi_take(h, (size_t)total); p = (char *)*own; }
    if (p == NULL) return lmi_fail(err, LM_E_MEMORY, "%s: allocation of %u bytes failed", what, total);
    skip = (size_t)(0 - (uintptr_t)p) & (LMI_ALIGN - 1);
    a->base = p + skip; a->used = 0; a->cap = n_bytes;
    return LM_OK;
}

/* ---- hash maps from bytes to an index >= 0, open addressing, at most half full. The keys live elsewhere: `same` compares.
 * FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv), finished by the mixer of MurmurHash3. Honest keys need 1.5 probes each on average and some 70 at
 * worst; keys made to collide run into the bounds, and the file with them is refused. */
#define LMI_PROBE 256                 /* of one search */
#define LMI_PROBES 16                 /* on average */
typedef struct lmi_map { uint32_t *slot; uint32_t mask, n; uint64_t work; } lmi_map; /* slot: index + 1, 0 free; n keys took `work` probes */
static uint32_t lmi_hash2(lmi_str a, lmi_str b) { /* of a and b as one text */
    uint64_t h = 0xcbf29ce484222325u; size_t i;
    for (i = 0; i < a.n; i++) h = (h ^ (uint8_t)a.p[i]) * 0x100000001b3u;
    for (i = 0; i < b.n; i++) h = (h ^ (uint8_t)b.p[i]) * 0x100000001b3u;
    h ^= h >> 33; h *= 0xff51afd7ed558ccdu; h ^= h >> 33;
    return (uint32_t)h;
}
static uint32_t lmi_hash(lmi_str a) { lmi_str none; none.p = NULL; none.n = 0; return lmi_hash2(a, none); }
static uint32_t lmi_map_slots(uint64_t n) { uint32_t s = 8; while (s < 0x80000000u && s < n * 2) s *= 2; return s; }
static void lmi_map_push(lmi_map *m, lmi_arena *a, uint64_t n) { /* lays a map for n keys out in the arena, empty */
    uint32_t slots = lmi_map_slots(n);
    m->slot = (uint32_t *)lmi_push(a, slots, sizeof *m->slot); m->mask = slots - 1; m->n = 0; m->work = 0;
    if (m->slot) memset(m->slot, 0, slots * sizeof *m->slot);
}
typedef int (*lmi_same_fn)(const void *owner, uint32_t index, const void *key); /* is the key at index this one? */
static uint32_t lmi_map_probe(const lmi_map *m, uint32_t hash, lmi_same_fn same, const void *owner, const void *key, uint32_t *k) {
    uint32_t i = hash & m->mask;      /* -> the slot of the key, or the free one where it belongs, after *k probes */
    for (*k = 0; *k < LMI_PROBE && m->slot[i] != 0 && !same(owner, m->slot[i] - 1, key); ++*k) i = (i + 1) & m->mask;
    return i;
}
/* The index of key, or -1. */
static int64_t lmi_map_find(const lmi_map *m, uint32_t hash, lmi_same_fn same, const void *owner, const void *key) {
    uint32_t k, i = lmi_map_probe(m, hash, same, owner, key, &k);
    return k == LMI_PROBE ? -1 : (int64_t)m->slot[i] - 1;
}
/* Stores an index under a new key and returns -1; the index that an old key has; or -2, when the keys collide too much. */
static int64_t lmi_map_put(lmi_map *m, uint32_t hash, lmi_same_fn same, const void *owner, const void *key, uint64_t index) {
    uint32_t k, i = lmi_map_probe(m, hash, same, owner, key, &k);
    m->n++; m->work += k;
    if (k == LMI_PROBE || m->work > LMI_PROBES * ((uint64_t)m->n + 64)) return -2;
    if (m->slot[i] != 0) return (int64_t)m->slot[i] - 1;
    m->slot[i] = (uint32_t)index + 1;
    return -1;
}

/* A sum in which a change of any one word is always seen: each step is a bijection of h, and of v. */
static uint64_t lmi_stir(uint64_t h, uint64_t v) { h = (h ^ v) * 0x9e3779b97f4a7c15u; return h ^ h >> 32; }
static uint64_t lmi_stir_bytes(uint64_t h, const void *bytes, size_t n) {
    const uint8_t *p = (const uint8_t *)bytes; uint8_t last[8];
    for (h = lmi_stir(h, n); n >= 8; n -= 8, p += 8) h = lmi_stir(h, lmi_u64(p));
    memset(last, 0, sizeof last);
    if (n) memcpy(last, p, n);
    return lmi_stir(h, lmi_u64(last));
}
static uint64_t lmi_stir_floats(uint64_t h, const float *x, int n) { int i; for (i = 0; i < n; i++) h = lmi_stir(h, lmi_f32_bits(x[i])); return h; }

/* Sorts n indices so that less(owner, a, b) holds from left to right; heapsort: n log n always, no memory. less is a strict total order. */
static void lmi_sort(uint32_t *v, size_t n, int (*less)(const void *owner, uint32_t a, uint32_t b), const void *owner) {
    size_t start = n / 2, end = n, i, j; uint32_t x;
    while (end > 1) {
        if (start > 0) x = v[--start]; else { x = v[--end]; v[end] = v[0]; }
        for (i = start; (j = 2 * i + 1) < end; i = j) {
            if (j + 1 < end && less(owner, v[j], v[j + 1])) j++;
            if (!less(owner, x, v[j])) break;
            v[i] = v[j];
        }
        v[i] = x;
    }
}

/* ---- real functions in double. Errors against the exact value, tested: exp, log at most 2 ulp; sin, cos at most 2 ulp of 1 for
 * |x| < 2^20; pow less than 1e-14 relative for the bases and exponents of rotary frequencies. */
static const double lmi_exp_c[14] = { 1.0, 1.0, 1 / 2.0, 1 / 6.0, 1 / 24.0, 1 / 120.0, 1 / 720.0, 1 / 5040.0, 1 / 40320.0, 1 / 362880.0,
    1 / 3628800.0, 1 / 39916800.0, 1 / 479001600.0, 1 / 6227020800.0 };   /* 1 / i! */
static double lmi_exp(double x) {
    double n, r, p, s; int i, k; uint64_t u;
    if (x != x) return x;
    if (x > 709.78) return HUGE_VAL;
    if (x < -745.2) return 0.0;
    n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0; /* nearest integer */
    r = (x - n * 0.69314718036912382) - n * 1.9082149292705877e-10;         /* ln 2 in two parts; the first product is exact */
    for (p = lmi_exp_c[13], i = 12; i >= 0; i--) p = lmi_exp_c[i] + p * r;   /* Taylor: |r| < 0.35, r^14/14! < 5e-18 */
    k = (int)n;
    if (k < -1000) { p *= lmi_bits_f64(0x0170000000000000u) /* 2^-1000 */; k += 1000; }
    if (k > 1000)  { p *= lmi_bits_f64(0x7e70000000000000u) /* 2^1000 */;  k -= 1000; }
    u = (uint64_t)(1023 + k) << 52; s = lmi_bits_f64(u);
    return p * s;
}
static double lmi_log(double x) { /* x > 0 and finite; otherwise -inf, inf or NaN as expected */
    int e = 0, i; uint64_t u; double s, z, sum;
    if (x != x || x < 0) return lmi_bits_f64(0x7ff8000000000000u);
    if (x == 0) return -HUGE_VAL;
    if (x > DBL_MAX) return x;
    if (x < DBL_MIN) { x *= 18014398509481984.0; e = -54; }
    memcpy(&u, &x, 8);
    e += (int)(u >> 52) - 1023; u = (u & 0xfffffffffffffu) | 0x3ff0000000000000u; x = lmi_bits_f64(u);
    if (x > 1.4142135623730951) { x *= 0.5; e++; }
    s = (x - 1) / (x + 1); z = s * s;                                       /* log x = 2 atanh s, |s| < 0.172 */
    for (sum = 0, i = 25; i >= 3; i -= 2) sum = (sum + 1.0 / i) * z;
    return e * 0.69314718036912382 + ((2 * s * sum + e * 1.9082149292705877e-10) + 2 * s);
}
static double lmi_pow(double x, double y) { return y == 0 ? 1.0 : lmi_exp(y * lmi_log(x)); } /* x > 0 */
static void lmi_sincos(double x, double *s, double *c) { /* |x| < 2^20; less exact up to 2^50; beyond, as at 0 */
    double n, r, z, ps, pc; int i, q;
    if (!(x > -1125899906842624.0 && x < 1125899906842624.0)) x = 0;
    n = (x * 0.63661977236758134 + 6755399441055744.0) - 6755399441055744.0;
    q = (int)((int64_t)n & 3);
    r = ((x - n * 1.5707963109016418) - n * 1.5893254712295857e-8) - n * 6.123233995736766e-17; /* pi/2 in three parts: 33 bits, 24 bits, rest */
    z = r * r;
    for (ps = 1.0, i = 17; i > 1; i -= 2) ps = 1.0 - ps * z / (i * (i - 1));  /* |r| < 0.79 */
    for (pc = 1.0, i = 18; i > 0; i -= 2) pc = 1.0 - pc * z / (i * (i - 1));
    ps *= r;
    *s = q == 0 ? ps : q == 1 ? pc : q == 2 ? -ps : -pc;
    *c = q == 0 ? pc : q == 1 ? -ps : q == 2 ? -pc : ps;
}

/* ---- wall clock in microseconds, for counters and slices; 0 where there is none. */
#if defined(LLAMA_CLOCK_US)
static uint64_t lmi_now_us(void) { return (uint64_t)LLAMA_CLOCK_US(); }
#elif defined(_WIN32)
static uint64_t lmi_now_us(void) {
    LARGE_INTEGER f, t;
    QueryPerformanceFrequency(&f); QueryPerformanceCounter(&t);
    return (uint64_t)((double)t.QuadPart * 1e6 / (double)f.QuadPart);
}
#elif defined(LMI_POSIX)
#include <sys/time.h>
#include <time.h>
static uint64_t lmi_now_us(void) {
#ifdef CLOCK_MONOTONIC
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) == 0) return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
    return 0;
#else /* strict C99 hides the monotonic clock */
    struct timeval t;
    if (gettimeofday(&t, NULL) == 0) return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec;
    return 0;
#endif
}
#else
static uint64_t lmi_now_us(void) { return 0; }
#endif

static uint64_t lmi_since(uint64_t t0) { uint64_t now = lmi_now_us(); return now > t0 ? now - t0 : 0; } /* some clocks can be set back */

/* ---- API: version and status */
LMI_API int lm_version(void) { return LLAMA_VERSION; }
LMI_API const char *lm_status_text(lm_status s) {
#define LMI_STATUS_CASE(name, value, text) if (s == LM_##name) return text;
    LM_STATUS_LIST(LMI_STATUS_CASE)
#undef LMI_STATUS_CASE
    return "unknown status";
}

/* ============================================================================================== >>gguf
 * The file: magic, counts, metadata, tensor directory, padding, tensor data (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
 * A part is opened as bytes in memory (mapped, given, or read whole into the model's block), or, for measuring before that block
 * exists, through a small window over read_at. One walk serves both: the first time it checks and counts, the second time it fills
 * the tables. Every count is compared with the bytes that remain before it is used, so memory and time are bounded by the file.
 */

#ifndef LLAMA_MAX_PARTS
#define LLAMA_MAX_PARTS 1024          /* of a split model; at most 2048 */
#endif
#define LMI_MAX_KEY   65535           /* bytes, by the format */
#define LMI_MAX_NAME  64              /* bytes of a tensor's name, by the format */
#define LMI_MAX_DEPTH 4               /* of arrays in arrays */

/* ---- one part's bytes. Exactly one of mem and read_at is set after opening. */
typedef struct lmi_file {
    const uint8_t *mem;
    int (*read_at)(void *user, uint64_t offset, void *dst, size_t n_bytes);
    void    *user;
    uint64_t size, n_header;          /* bytes of the part; of those, the header with its padding */
    uint64_t n_walk;                  /* bytes a walk may touch: size, or n_header when mem holds no more */
    const char *name;                 /* for messages; "the data" where there is no path */
    int      opened;                  /* what lmi_file_close undoes: 1 a mapping, 2 a descriptor or handle in `user` */
} lmi_file;

#if defined(LMI_POSIX) && !defined(LLAMA_NO_STDIO)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
static int lmi_fd_read_at(void *user, uint64_t offset, void *dst, size_t n_bytes) {
    int fd = (int)(intptr_t)user; char *p = (char *)dst;
    if (offset > (uint64_t)INT64_MAX || lseek(fd, (off_t)offset, SEEK_SET) < 0) return 1;
    while (n_bytes > 0) {
        ssize_t got = read(fd, p, LMI_MIN(n_bytes, (size_t)1 << 30));
        if (got <= 0) return 1;       /* a signal's EINTR gives the host its error; nothing is half used */
        p += got; n_bytes -= (size_t)got;
    }
    return 0;
}
#ifndef O_NONBLOCK
#define O_NONBLOCK 0
#endif
#ifndef O_CLOEXEC
#define O_CLOEXEC 0
#endif
static lm_status lmi_file_open_path(lmi_file *f, const char *path, lm_error *err) {
    struct stat st; int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe without a writer would wait for ever */
    if (fd < 0) return lmi_fail(err, LM_E_IO, "%s: cannot open the file", path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) { close(fd); return lmi_fail(err, LM_E_IO, "%s: not a regular file", path); }
    f->size = (uint64_t)st.st_size;
    if (f->size == 0) { close(fd); return lmi_fail(err, LM_E_FORMAT, "%s: the file is empty", path); }
#ifndef LLAMA_NO_MMAP
    if (f->size <= SIZE_MAX) {
        void *p = mmap(NULL, (size_t)f->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) { close(fd); f->mem = (const uint8_t *)p; f->opened = 1; return LM_OK; }
    }
#endif
    f->read_at = lmi_fd_read_at; f->user = (void *)(intptr_t)fd; f->opened = 2;
    return LM_OK;
}
static void lmi_file_close(lmi_file *f) {
#ifndef LLAMA_NO_MMAP
    if (f->opened == 1) munmap((void *)(uintptr_t)f->mem, (size_t)f->size);
#endif
    if (f->opened == 2) close((int)(intptr_t)f->user);
    f->opened = 0;
}
#elif defined(_WIN32) && !defined(LLAMA_NO_STDIO)
static int lmi_handle_read_at(void *user, uint64_t offset, void *dst, size_t n_bytes) {
    char *p = (char *)dst; LARGE_INTEGER at; DWORD got;
    at.QuadPart = (LONGLONG)offset;
    if (!SetFilePointerEx((HANDLE)user, at, NULL, FILE_BEGIN)) return 1;
    for (; n_bytes > 0; p += got, n_bytes -= got) {
        if (!ReadFile((HANDLE)user, p, (DWORD)LMI_MIN(n_bytes, (size_t)1 << 30), &got, NULL) || got == 0) return 1;
    }
    return 0;
}
static lm_status lmi_file_open_path(lmi_file *f, const char *path, lm_error *err) {
    WCHAR wide[4096]; LARGE_INTEGER size; HANDLE h, map; void *p;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, LMI_COUNT(wide)) == 0)
        return lmi_fail(err, LM_E_IO, "%s: not a path in UTF-8, or too long", path);
    h = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (h == INVALID_HANDLE_VALUE) return lmi_fail(err, LM_E_IO, "%s: cannot open the file", path);
    if (!GetFileSizeEx(h, &size) || size.QuadPart <= 0) { CloseHandle(h); return lmi_fail(err, LM_E_FORMAT, "%s: the file is empty", path); }
    f->size = (uint64_t)size.QuadPart;
#ifndef LLAMA_NO_MMAP
    map = f->size <= SIZE_MAX ? CreateFileMappingW(h, NULL, PAGE_READONLY, 0, 0, NULL) : NULL;
#else
    map = NULL;
#endif
    if (map) {
        p = MapViewOfFile(map, FILE_MAP_READ, 0, 0, 0);
        CloseHandle(map);
        if (p) { CloseHandle(h); f->mem = (const uint8_t *)p; f->opened = 1; return LM_OK; }
    }
    f->read_at = lmi_handle_read_at; f->user = (void *)h; f->opened = 2;
    return LM_OK;
}
static void lmi_file_close(lmi_file *f) {
    if (f->opened == 1) UnmapViewOfFile((void *)(uintptr_t)f->mem);
    if (f->opened == 2) CloseHandle((HANDLE)f->user);
    f->opened = 0;
}
#elif !defined(LLAMA_NO_STDIO)
#include <stdio.h>
static int lmi_stdio_read_at(void *user, uint64_t offset, void *dst, size_t n_bytes) { /* files up to LONG_MAX bytes */
    FILE *in = (FILE *)user;
    return offset > (uint64_t)LONG_MAX || fseek(in, (long)offset, SEEK_SET) != 0 || fread(dst, 1, n_bytes, in) != n_bytes;
}
static lm_status lmi_file_open_path(lmi_file *f, const char *path, lm_error *err) {
    FILE *in = fopen(path, "rb"); long size;
    if (in == NULL) return lmi_fail(err, LM_E_IO, "%s: cannot open the file", path);
    if (fseek(in, 0, SEEK_END) != 0 || (size = ftell(in)) <= 0) {
        fclose(in);
        return lmi_fail(err, LM_E_FORMAT, "%s: the file is empty or of unknown size", path);
    }
    f->size = (uint64_t)size; f->read_at = lmi_stdio_read_at; f->user = in; f->opened = 2;
    return LM_OK;
}
static void lmi_file_close(lmi_file *f) { if (f->opened == 2) fclose((FILE *)f->user); f->opened = 0; }
#else
static lm_status lmi_file_open_path(lmi_file *f, const char *path, lm_error *err) {
    (void)f; return lmi_fail(err, LM_E_SUPPORT, "%s: built with LLAMA_NO_STDIO, give memory or read_at", path);
}
static void lmi_file_close(lmi_file *f) { (void)f; }
#endif

/* Lets go of the memory behind whole pages of a mapping that are not needed again; they can still be read. */
static void lmi_file_release(lmi_file *f, uint64_t offset, uint64_t n) {
#if defined(LMI_POSIX) && !defined(LLAMA_NO_STDIO) && !defined(LLAMA_NO_MMAP) && defined(MADV_DONTNEED) /* strict C99 hides it */
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = (offset + page - 1) / page * page, to = (offset + n) / page * page;
    if (f->opened == 1 && to > from) madvise((void *)(uintptr_t)(f->mem + from), (size_t)(to - from), MADV_DONTNEED);
#else
    (void)f; (void)offset; (void)n;
#endif
}
static lm_status lmi_file_open(lmi_file *f, const lm_source *s, lm_error *err) {
    lm_status status = LM_OK; int given = (s->path != NULL) + (s->data != NULL) + (s->read_at != NULL);
    memset(f, 0, sizeof *f);
    if (given != 1) return lmi_fail(err, LM_E_ARG, "a source is exactly one of path, data and read_at; %d are given", given);
    f->name = s->path ? s->path : "the data";
    if (s->path) status = lmi_file_open_path(f, s->path, err);
    else { f->mem = (const uint8_t *)s->data; f->read_at = s->read_at; f->user = s->user; f->size = s->size; }
    if (status == LM_OK && (f->size == 0 || f->size > INT64_MAX / 2048)) { /* so that sizes of all parts add up */
        lmi_file_close(f);
        return lmi_fail(err, LM_E_FORMAT, "%s: a size of %u bytes", f->name, f->size);
    }
    f->n_walk = f->size;
    return status;
}

/* ---- tables */
typedef struct lmi_tensor { lmi_str name; int type, n_dims, part; uint64_t dims[4], offset, n_bytes; const uint8_t *data; } lmi_tensor;
typedef struct lmi_gguf {
    lm_meta    *kv;      uint64_t n_kv;       /* of the first part; the others repeat what they need */
    lmi_tensor *tensor;  uint64_t n_tensor, max_tensor; /* of all parts; room */
    lmi_map     kv_by_key, tensor_by_name;
    uint64_t    alignment, n_tensor_bytes, n_params;
} lmi_gguf;

static int lmi_same_kv(const void *g, uint32_t i, const void *key) {
    const lm_meta *m = ((const lmi_gguf *)g)->kv + i; lmi_str s; s.p = m->key; s.n = m->key_bytes;
    return lmi_str_eq(s, *(const lmi_str *)key);
}
static int lmi_same_tensor(const void *g, uint32_t i, const void *name) {
    return lmi_str_eq(((const lmi_gguf *)g)->tensor[i].name, *(const lmi_str *)name);
}
static const lm_meta *lmi_kv_find(const lmi_gguf *g, lmi_str key) {
    int64_t i = g->kv ? lmi_map_find(&g->kv_by_key, lmi_hash(key), lmi_same_kv, g, &key) : -1;
    return i < 0 ? NULL : &g->kv[i];
}
static lmi_tensor *lmi_tensor_find(const lmi_gguf *g, lmi_str name) {
    int64_t i = lmi_map_find(&g->tensor_by_name, lmi_hash(name), lmi_same_tensor, g, &name);
    return i < 0 ? NULL : &g->tensor[i];
}
static int lmi_kv(const lmi_gguf *g, const char *key, lm_meta *out) {
    const lm_meta *m = lmi_kv_find(g, lmi_cstr(key));
    if (m) *out = *m;
    return m != NULL;
}

/* ---- the cursor: a bounds-checked walk over a part */
typedef struct lmi_cursor {
    const lmi_file *f; uint64_t at; lm_error *err; lm_status status;
    uint8_t window[512]; uint64_t window_at; size_t window_n;   /* only for parts that are not in memory */
} lmi_cursor;
/* Ends a walk, with the first reason it was given: "file: what". */
static void lmi_stop(lmi_cursor *c, lm_status s, const char *fmt, ...) {
    va_list ap;
    if (c->status != LM_OK) return;
    va_start(ap, fmt); c->status = lmi_vfail(c->err, s, c->f->name, fmt, ap); va_end(ap);
}
/* Moves past n bytes; what names them in the message when the file ends first. */
static int lmi_skip(lmi_cursor *c, uint64_t n, const char *what) {
    if (c->status != LM_OK) return 0;
    if (n > c->f->n_walk - c->at) lmi_stop(c, LM_E_FORMAT, "the file ends inside %s at byte %u of %u", what, c->at, c->f->size);
    else c->at += n;
    return c->status == LM_OK;
}
/* The next n <= 512 bytes, valid until the next call; NULL past the end. In memory any n will do. */
static const uint8_t *lmi_next(lmi_cursor *c, uint64_t n, const char *what) {
    uint64_t at = c->at;
    if (!lmi_skip(c, n, what)) return NULL;
    if (c->f->mem) return c->f->mem + at;
    if (at < c->window_at || at + n > c->window_at + c->window_n || c->window_n == 0) {
        c->window_at = at; c->window_n = (size_t)LMI_MIN((uint64_t)sizeof c->window, c->f->size - at);
        if (c->f->read_at(c->f->user, at, c->window, c->window_n) != 0) {
            c->window_n = 0;
            lmi_stop(c, LM_E_IO, "reading at byte %u failed", at);
            return NULL;
        }
    }
    return c->window + (at - c->window_at);
}
static uint32_t lmi_next_u32(lmi_cursor *c, const char *what) { const uint8_t *p = lmi_next(c, 4, what); return p ? lmi_u32(p) : 0; }
static uint64_t lmi_next_u64(lmi_cursor *c, const char *what) { const uint8_t *p = lmi_next(c, 8, what); return p ? lmi_u64(p) : 0; }
/* A length and that many bytes. The pointer is NULL for a string longer than the window of a part that is not in memory. */
static lmi_str lmi_next_str(lmi_cursor *c, uint64_t limit, const char *what) {
    lmi_str s; uint64_t n = lmi_next_u64(c, what);
    s.p = NULL; s.n = 0;
    if (n > limit) lmi_stop(c, LM_E_FORMAT, "%s of %u bytes at byte %u, at most %u are allowed", what, n, c->at, limit);
    if (c->status != LM_OK) return s;
    if (c->f->mem || n <= sizeof c->window) s.p = (const char *)lmi_next(c, n, what); else lmi_skip(c, n, what);
    if (c->status == LM_OK) s.n = (size_t)n; else s.p = NULL;
    return s;
}

/* ---- metadata values */
static unsigned lmi_item_bytes(uint32_t t) { /* 0: no fixed size */
    static const uint8_t bytes[13] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return t < 13 ? bytes[t] : 0;
}
static void lmi_scalar(lm_meta *m, lm_meta_type t, const uint8_t *p) {
    m->raw = p; m->raw_bytes = lmi_item_bytes((uint32_t)t);
    switch (t) {
        case LM_META_U8:  case LM_META_BOOL: m->i = *p; break;
        case LM_META_I8:  m->i = (int8_t)*p; break;
        case LM_META_U16: m->i = lmi_u16(p); break;
        case LM_META_I16: m->i = (int16_t)lmi_u16(p); break;
        case LM_META_U32: m->i = lmi_u32(p); break;
        case LM_META_I32: m->i = (int32_t)lmi_u32(p); break;
        case LM_META_U64: case LM_META_I64: m->i = (int64_t)lmi_u64(p); break;
        case LM_META_F32: m->f = (double)lmi_f32(p); return;
        case LM_META_F64: m->f = lmi_f64(p); return;
        default: return;
    }
    m->f = t == LM_META_U64 ? (double)lmi_u64(p) : (double)m->i;
}
/* Walks the items of an array of arrays without recursion. */
static void lmi_skip_array(lmi_cursor *c, uint32_t item, uint64_t n, const char *what) {
    uint64_t left[LMI_MAX_DEPTH]; int depth = 0; uint32_t t = item; /* no enum yet: the file may have any number */
    left[0] = n;
    for (;;) {
        unsigned each = lmi_item_bytes(t); uint64_t total, k;
        if (c->status != LM_OK) return;
        if (each) {
            if (!lmi_mul(left[depth], each, &total)) total = UINT64_MAX;
            lmi_skip(c, total, what); left[depth] = 0;
        } else if (t == LM_META_STR) {
            if (left[depth] > (c->f->size - c->at) / 8) { lmi_stop(c, LM_E_FORMAT, "an array at byte %u is longer than the file", c->at); return; }
            for (k = left[depth]; k > 0 && c->status == LM_OK; k--) lmi_skip(c, lmi_next_u64(c, what), what);
            left[depth] = 0;
        }
        while (left[depth] == 0) { if (depth == 0) return; depth--; t = LM_META_ARR; }
        left[depth]--;                 /* one array of the level above */
        t = lmi_next_u32(c, what); k = lmi_next_u64(c, what);
        if (t > LM_META_F64) { lmi_stop(c, LM_E_FORMAT, "unknown metadata type %u at byte %u", (uint64_t)t, c->at); return; }
        if (++depth >= LMI_MAX_DEPTH) { lmi_stop(c, LM_E_FORMAT, "arrays nested too deep at byte %u", c->at); return; }
        left[depth] = k;
    }
}
static void lmi_next_value(lmi_cursor *c, lm_meta *m) {
    uint32_t t = lmi_next_u32(c, "metadata"), item; const uint8_t *p; lmi_str s; lmi_str key; unsigned each;
    key.p = m->key; key.n = m->key_bytes;
    m->n = 1;
    if (t > LM_META_F64) { lmi_stop(c, LM_E_FORMAT, "%S: unknown metadata type %u", key, (uint64_t)t); return; }
    m->type = m->item = (lm_meta_type)t;
    if (t == LM_META_STR) {
        s = lmi_next_str(c, UINT64_MAX, "a metadata string");
        m->text = s.p; m->text_bytes = s.n; m->raw = s.p; m->raw_bytes = s.n;
    } else if (t == LM_META_ARR) {
        uint64_t from;
        item = lmi_next_u32(c, "metadata"); m->n = lmi_next_u64(c, "metadata");
        if (item > LM_META_F64) { lmi_stop(c, LM_E_FORMAT, "%S: unknown item type %u", key, (uint64_t)item); return; }
        m->item = (lm_meta_type)item;
         from = c->at; m->raw = c->f->mem ? c->f->mem + from : NULL;
        each = lmi_item_bytes(item);
        if (m->n > (c->f->size - c->at) / (each ? each : 8)) {
            lmi_stop(c, LM_E_FORMAT, "%S: %u items do not fit in the %u bytes that remain", key, m->n, c->f->size - c->at);
        }
        lmi_skip_array(c, item, m->n, "a metadata array");
        m->raw_bytes = c->at - from;
    } else if ((p = lmi_next(c, lmi_item_bytes(t), "metadata")) != NULL) {
        lmi_scalar(m, m->type, p);
        if (t == LM_META_BOOL && m->i > 1) lmi_stop(c, LM_E_FORMAT, "%S: %d is not a boolean", key, (int)m->i);
    }
}

/* ---- types, as far as a directory needs them (section types says how they are read) */
static int lmi_type_block(int type, unsigned *n, unsigned *n_bytes); /* 0: no such type */

/* What one walk over one part found. */
typedef struct lmi_part { uint64_t n_kv, n_tensor, data_at; int64_t split_no, split_count, split_tensors; } lmi_part;

static void lmi_next_tensor(lmi_cursor *c, lmi_tensor *t, uint64_t *n_elements) { /* *n_elements is set when the cursor is still well */
    uint32_t i, n_dims, type; unsigned block, block_bytes; uint64_t n = 1; char keep[LMI_MAX_NAME]; lmi_str name;
    t->name = name = lmi_next_str(c, LMI_MAX_NAME, "a tensor's name");
    if (c->status != LM_OK) return;
    if (name.n == 0) { lmi_stop(c, LM_E_FORMAT, "a tensor without a name at byte %u", c->at); return; }
    memcpy(keep, name.p, name.n); name.p = keep; /* for messages: the window moves on */
    n_dims = lmi_next_u32(c, "the tensor directory");
    if (n_dims < 1 || n_dims > 4) lmi_stop(c, LM_E_FORMAT, "tensor %S has %u dimensions, expected 1 to 4", name, (uint64_t)n_dims);
    for (i = 0; i < 4 && c->status == LM_OK; i++) {
        t->dims[i] = i < n_dims ? lmi_next_u64(c, "the tensor directory") : 1;
        if (c->status == LM_OK && (t->dims[i] == 0 || t->dims[i] > INT64_MAX || !lmi_mul(n, t->dims[i], &n) || n > INT64_MAX)) {
            lmi_stop(c, LM_E_FORMAT, "tensor %S: dimension %d is %u", name, (int)i, t->dims[i]);
        }
    }
    type = lmi_next_u32(c, "the tensor directory"); t->offset = lmi_next_u64(c, "the tensor directory");
    if (c->status != LM_OK) return;
    if (type > 255 || !lmi_type_block((int)type, &block, &block_bytes)) {
        lmi_stop(c, LM_E_SUPPORT, "tensor %S has unknown type %u", name, (uint64_t)type);
    } else if (t->dims[0] % block != 0) {
        lmi_stop(c, LM_E_FORMAT, "tensor %S: rows of %u are no multiple of the %d of type %s", name, t->dims[0], (int)block, lm_type_name((int)type));
    } else if (!lmi_mul(n / block, block_bytes, &t->n_bytes)) {
        lmi_stop(c, LM_E_FORMAT, "tensor %S is too large", name);
    }
    t->n_dims = (int)n_dims; t->type = (int)type; *n_elements = n;
}

static int64_t lmi_kv_scalar_int(const lm_meta *m) { return m->type <= LM_META_I32 || m->type >= LM_META_U64 ? m->i : -1; }

/* Walks part number `part`. With g->kv NULL it only checks and counts into *out; else it fills kv (part 0) and tensors from
 * g->n_tensor on. */
static lm_status lmi_gguf_walk(lmi_gguf *g, const lmi_file *f, int part, lmi_part *out, lm_error *err) {
    lmi_cursor c; const uint8_t *p; uint32_t version; uint64_t i, align = 32, data_bytes, end;
    int store = g->kv != NULL;
    c.f = f; c.at = 0; c.err = err; c.status = LM_OK; c.window_at = 0; c.window_n = 0;
    memset(out, 0, sizeof *out);
    p = lmi_next(&c, 4, "the magic");
    if (p == NULL) return c.status;
    if (memcmp(p, "GGUF", 4) != 0) return lmi_fail(err, LM_E_FORMAT, "%s: not a GGUF file (it does not start with \"GGUF\")", f->name);
    version = lmi_next_u32(&c, "the version");
    if (c.status == LM_OK && version != 2 && version != 3) {
        if ((version & 0xffff) == 0 && version != 0)
            return lmi_fail(err, LM_E_SUPPORT, "%s: a big-endian GGUF file; only little-endian ones are read", f->name);
        return lmi_fail(err, LM_E_SUPPORT, "%s: GGUF version %u, expected 2 or 3", f->name, (uint64_t)version);
    }
    out->n_tensor = lmi_next_u64(&c, "the header"); out->n_kv = lmi_next_u64(&c, "the header");
    if (c.status != LM_OK) return c.status;
    /* the smallest entry: 8 + 1 + 4 + 1 bytes of metadata, 8 + 1 + 4 + 8 + 4 + 8 of a tensor */
    if (out->n_kv > (f->size - c.at) / 14) return lmi_fail(err, LM_E_FORMAT, "%s: %u metadata entries do not fit in the file", f->name, out->n_kv);
    if (out->n_tensor > (f->size - c.at) / 33) return lmi_fail(err, LM_E_FORMAT, "%s: %u tensors do not fit in the file", f->name, out->n_tensor);
    if (store && ((part == 0 && out->n_kv != g->n_kv) || out->n_tensor > g->max_tensor - g->n_tensor))
        return lmi_fail(err, LM_E_IO, "%s: the file changed while it was read", f->name);
    if (out->n_kv > INT32_MAX || out->n_tensor > INT32_MAX) return lmi_fail(err, LM_E_FORMAT, "%s: too many entries", f->name);

    for (i = 0; i < out->n_kv; i++) {
        lm_meta m; lmi_str key; char short_key[64];
        memset(&m, 0, sizeof m);
        key = lmi_next_str(&c, LMI_MAX_KEY, "a metadata key");
        if (c.status == LM_OK && key.n == 0) lmi_stop(&c, LM_E_FORMAT, "a metadata entry without a key at byte %u", c.at);
        if (c.status != LM_OK) return c.status;
        if (key.p && key.n < sizeof short_key) { memcpy(short_key, key.p, key.n); if (!f->mem) key.p = short_key; } /* outlives the window */
        else if (!f->mem) { key.p = "(long key)"; key.n = 10; }
        m.key = key.p; m.key_bytes = key.n;
        lmi_next_value(&c, &m);
        if (c.status != LM_OK) return c.status;
        if (lmi_str_is(key, "general.alignment")) {
            if (m.type != LM_META_U32 || m.i < 8 || m.i % 8 != 0 || m.i > (1 << 30))
                return lmi_fail(err, LM_E_FORMAT, "%s: general.alignment is %d, expected a u32 multiple of 8", f->name, (int)m.i);
            align = (uint64_t)m.i;
        }
        if (lmi_str_is(key, "split.no"))            out->split_no = lmi_kv_scalar_int(&m);
        if (lmi_str_is(key, "split.count"))         out->split_count = lmi_kv_scalar_int(&m);
        if (lmi_str_is(key, "split.tensors.count")) out->split_tensors = lmi_kv_scalar_int(&m);
        if (store && part == 0) {
            int64_t at;
            g->kv[i] = m;
            at = lmi_map_put(&g->kv_by_key, lmi_hash(key), lmi_same_kv, g, &key, i);
            if (at != -1) return lmi_fail(err, LM_E_FORMAT, at == -2 ? "%s: metadata keys made to collide, at %S"
                : "%s: metadata key %S appears twice", f->name, key);
        }
    }
    end = 0;
    for (i = 0; i < out->n_tensor; i++) {
        lmi_tensor t; uint64_t n = 0, last;
        memset(&t, 0, sizeof t);
        lmi_next_tensor(&c, &t, &n);
        if (c.status != LM_OK) return c.status;
        if (!f->mem) { t.name.p = "(a tensor)"; t.name.n = 10; }
        if (t.offset % align != 0)
            return lmi_fail(err, LM_E_FORMAT, "%s: tensor %S: offset %u is no multiple of %u, the alignment", f->name, t.name, t.offset, align);
        if (!lmi_add(t.offset, t.n_bytes, &last))
            return lmi_fail(err, LM_E_FORMAT, "%s: tensor %S: offset %u is out of range", f->name, t.name, t.offset);
        if (last > end) end = last;
        if (store) {
            uint64_t k = g->n_tensor; int64_t at;
            t.part = part;
            g->tensor[k] = t;
            at = lmi_map_put(&g->tensor_by_name, lmi_hash(t.name), lmi_same_tensor, g, &t.name, k);
            if (at != -1) return lmi_fail(err, LM_E_FORMAT, at == -2 ? "%s: tensor names made to collide, at %S"
                : "%s: tensor %S appears twice", f->name, t.name);
            g->n_tensor++; g->n_tensor_bytes += t.n_bytes; g->n_params += n;
        }
    }
    if (out->n_tensor == 0) { out->data_at = c.at; return LM_OK; }
    if (!lmi_add(c.at, align - 1, &out->data_at)) return lmi_fail(err, LM_E_FORMAT, "%s: header too large", f->name);
    out->data_at -= out->data_at % align;
    data_bytes = f->size > out->data_at ? f->size - out->data_at : 0;
    if (end > data_bytes)
        return lmi_fail(err, LM_E_FORMAT, "%s: the file has %u bytes of tensor data, its directory asks for %u", f->name, data_bytes, end);
    if (store) {
        if (part == 0) g->alignment = align;
        for (i = g->n_tensor - out->n_tensor; i < g->n_tensor; i++) { 
            lmi_tensor *t = &g->tensor[i];
            t->offset += out->data_at;
            t->data = t->offset + t->n_bytes <= f->n_walk ? f->mem + t->offset : NULL; /* NULL: only the header is in memory */
        }
    }
    return LM_OK;
}

static int lmi_tensor_before(const void *owner, uint32_t a, uint32_t b) {
    const lmi_tensor *t = ((const lmi_gguf *)owner)->tensor, *x = t + a, *y = t + b;
    return x->part != y->part ? x->part < y->part : x->offset != y->offset ? x->offset < y->offset : a < b;
}
/* No two tensors of a part may share bytes. order: scratch of n_tensor indices. */
static lm_status lmi_gguf_overlap(const lmi_gguf *g, uint32_t *order, lm_error *err) {
    uint64_t i;
    for (i = 0; i < g->n_tensor; i++) order[i] = (uint32_t)i;
    lmi_sort(order, (size_t)g->n_tensor, lmi_tensor_before, g);
    for (i = 1; i < g->n_tensor; i++) {
        const lmi_tensor *a = &g->tensor[order[i - 1]], *b = &g->tensor[order[i]];
        if (a->part == b->part && b->offset - a->offset < a->n_bytes)
            return lmi_fail(err, LM_E_FORMAT, "tensor %S overlaps tensor %S", b->name, a->name);
    }
    return LM_OK;
}

/* ---- typed access to metadata, with the key in every message */
static lm_status lmi_want_int(const lmi_gguf *g, const char *key, int64_t lo, int64_t hi, int64_t dflt, int64_t *out, lm_error *err) {
    const lm_meta *m = lmi_kv_find(g, lmi_cstr(key));
    *out = dflt;
    if (m == NULL) return LM_OK;
    if (m->type == LM_META_F32 || m->type == LM_META_F64 || m->type == LM_META_STR || m->type == LM_META_ARR || m->type == LM_META_BOOL)
        return lmi_fail(err, LM_E_FORMAT, "%s is no integer", key);
    if (m->i < lo || m->i > hi) {
        if (m->i < 0 && m->type != LM_META_U64)
            return lmi_fail(err, LM_E_FORMAT, "%s is -%u, expected %u to %u", key, 0 - (uint64_t)m->i, (uint64_t)lo, (uint64_t)hi);
        return lmi_fail(err, LM_E_FORMAT, "%s is %u, expected %u to %u", key, (uint64_t)m->i, (uint64_t)lo, (uint64_t)hi);
    }
    *out = m->i;
    return LM_OK;
}
static lm_status lmi_want_real(const lmi_gguf *g, const char *key, double lo, double hi, double dflt, double *out, lm_error *err) {
    const lm_meta *m = lmi_kv_find(g, lmi_cstr(key));
    *out = dflt;
    if (m == NULL) return LM_OK;
    if (m->type == LM_META_STR || m->type == LM_META_ARR || m->type == LM_META_BOOL) return lmi_fail(err, LM_E_FORMAT, "%s is no number", key);
    if (!(m->f >= lo && m->f <= hi)) return lmi_fail(err, LM_E_FORMAT, "%s is %f, expected %f to %f", key, m->f, lo, hi);
    *out = m->f;
    return LM_OK;
}
static LMI_UNUSED lm_status lmi_want_bool(const lmi_gguf *g, const char *key, int dflt, int *out, lm_error *err) {
    const lm_meta *m = lmi_kv_find(g, lmi_cstr(key));
    *out = dflt;
    if (m == NULL) return LM_OK;
    if (m->type != LM_META_BOOL) return lmi_fail(err, LM_E_FORMAT, "%s is no boolean", key);
    *out = (int)m->i;
    return LM_OK;
}
static lm_status lmi_want_str(const lmi_gguf *g, const char *key, const char *dflt, lmi_str *out, lm_error *err) {
    const lm_meta *m = lmi_kv_find(g, lmi_cstr(key));
    *out = lmi_cstr(dflt);
    if (m == NULL) return LM_OK;
    if (m->type != LM_META_STR) return lmi_fail(err, LM_E_FORMAT, "%s is no string", key);
    out->p = m->text; out->n = m->text_bytes;
    return LM_OK;
}

LMI_API lm_status lm_meta_item(const lm_meta *array, uint64_t i, lm_meta *out) {
    const uint8_t *p; lm_meta m; unsigned each;
    if (array == NULL || out == NULL || array->type != LM_META_ARR || i >= array->n || array->raw == NULL || array->item == LM_META_ARR)
        return LM_E_ARG;
    memset(&m, 0, sizeof m);
    m.type = m.item = array->item; m.n = 1;
    p = (const uint8_t *)array->raw; each = lmi_item_bytes((uint32_t)array->item);
    if (each) { lmi_scalar(&m, m.type, p + i * each); }
    else {
        for (; i > 0; i--) p += 8 + lmi_u64(p);
        m.text = (const char *)p + 8; m.text_bytes = (size_t)lmi_u64(p); m.raw = m.text; m.raw_bytes = m.text_bytes;
    }
    *out = m;
    return LM_OK;
}

/* ============================================================================================== >>types
 * Weight types. A row of weights is cut in blocks; a block holds scales and small integers. Whatever the type, 32 consecutive weights
 * (a step) read as
 *
 *     w[i] = d * sc[i / 16] * q[i]  +  m * mn[i / 16]          i = 0..31
 *
 * with d, m float32 (exact from the file's float16), q, sc, mn small integers. So a type is three things: its line in LMI_TYPES here, and its
 * integers and its scales in get() and scales() of section kernels. The products of section kernels know nothing else.
 * Block layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h. All fields little-endian, no padding.
 */
#define LMI_SUB 1                     /* sc[0] differs from sc[1] */
#define LMI_OFF 2                     /* m is used */
#define LMI_TWO 4                     /* mn[0] differs from mn[1] */
#define LMI_FLT 8                     /* the weights are floats: no d, no q */
#define LMI_RAW 16                    /* size known, no kernel: such a tensor may be in a file, not in the model */
/* X(name, number, weights and bytes per block, flags, lead, tail, top, off). The integers are kept as u = q + off, 0 <= u <= top; top 255 says
 * they are signed bytes instead. lead, tail: see lmi_unit. */
#define LMI_FLOAT_TYPES(X) X(F32, 0, 1, 4, LMI_FLT, 0, 0, 0, 0) X(F16, 1, 1, 2, LMI_FLT, 2, 0, 0, 0) X(BF16, 30, 1, 2, LMI_FLT, 2, 0, 0, 0)
#define LMI_INT_TYPES(X)                                                                                                           \
    X(Q8_0,  8,  32,  34, 0, 2, 0, 255, 0)                X(Q4_0,  2,  32,  18, 0, 2, 0, 15, 8)                                      \
    X(Q4_1,  3,  32,  20, LMI_OFF, 4, 0, 15, 0)           X(Q5_0,  6,  32,  22, 0, 2, 0, 31, 16)                                     \
    X(Q5_1,  7,  32,  24, LMI_OFF, 4, 0, 31, 0)           X(Q2_K, 10, 256,  84, LMI_SUB | LMI_OFF | LMI_TWO, 0, 4, 3, 0)             \
    X(Q3_K, 11, 256, 110, LMI_SUB, 0, 2, 7, 4)            X(Q4_K, 12, 256, 144, LMI_OFF, 4, 0, 15, 0)                                \
    X(Q5_K, 13, 256, 176, LMI_OFF, 4, 0, 31, 0)           X(Q6_K, 14, 256, 210, LMI_SUB, 0, 2, 63, 32)                               \
    X(IQ4_NL, 20, 32,  18, 0, 2, 0, 255, 0)               X(IQ4_XS, 23, 256, 136, 0, 4, 0, 255, 0)                                   \
    X(MXFP4, 39,  32,  17, 0, 1, 0, 24, 12)               X(TQ1_0, 34, 256,  54, 0, 0, 2, 2, 1)                                      \
    X(TQ2_0, 35, 256,  66, 0, 0, 2, 3, 1)
#define LMI_TYPES(X) LMI_FLOAT_TYPES(X) LMI_INT_TYPES(X)
/* What products over unpacked weights differ in: X(name, flags, top); a type takes the first with its flags and at least its top. */
#define LMI_KINDS(X)                                                                                                               \
    X(u15, 0, 15) X(u31, 0, 31) X(i8, 0, 255) X(u15_m, LMI_OFF, 15) X(u31_m, LMI_OFF, 31) X(u45_mm, LMI_OFF | LMI_TWO, 45)          \
    X(u15_s, LMI_SUB, 15) X(u63_s, LMI_SUB, 63)
#define LMI_RAW_TYPES(X) /* X(name, number, n, n_bytes) */                                                                         \
    X(Q8_1, 9, 32, 36) X(Q8_K, 15, 256, 292) X(IQ2_XXS, 16, 256, 66) X(IQ2_XS, 17, 256, 74) X(IQ3_XXS, 18, 256, 98)                 \
    X(IQ1_S, 19, 256, 50) X(IQ3_S, 21, 256, 110) X(IQ2_S, 22, 256, 82) X(IQ1_M, 29, 256, 56)                                        \
    X(I8, 24, 1, 1) X(I16, 25, 1, 2) X(I32, 26, 1, 4) X(I64, 27, 1, 8) X(F64, 28, 1, 8)

enum {
#define LMI_TYPE_ENUM(name, number, n, n_bytes, flags, lead, tail, top, off) LMI_##name = number,
    LMI_TYPES(LMI_TYPE_ENUM)
#undef LMI_TYPE_ENUM
    LMI_HOST = -1                     /* float32 as this machine has it */
};
typedef struct lmi_type { const char *name; int number; unsigned n, n_bytes; int flags, lead, tail, top, off; } lmi_type;
static const lmi_type lmi_types[] = {
#define LMI_TYPE_ROW(name, number, n, n_bytes, flags, lead, tail, top, off) { #name, number, n, n_bytes, flags, lead, tail, top, off },
#define LMI_RAW_ROW(name, number, n, n_bytes) { #name, number, n, n_bytes, LMI_RAW, 0, 0, 0, 0 },
    LMI_TYPES(LMI_TYPE_ROW) LMI_RAW_TYPES(LMI_RAW_ROW)
#undef LMI_TYPE_ROW
#undef LMI_RAW_ROW
};
static const lmi_type *lmi_type_of(int number) {
    int i;
    for (i = 0; i < LMI_COUNT(lmi_types); i++) if (lmi_types[i].number == number) return &lmi_types[i];
    return NULL;
}
static int lmi_type_block(int type, unsigned *n, unsigned *n_bytes) {
    const lmi_type *t = lmi_type_of(type);
    if (t) { *n = t->n; *n_bytes = t->n_bytes; }
    return t != NULL;
}
LMI_API const char *lm_type_name(int type) { const lmi_type *t = lmi_type_of(type); return t ? t->name : "?"; }
LMI_API int lm_type_find(const char *name) {
    int i;
    for (i = 0; name && i < LMI_COUNT(lmi_types); i++) if (lmi_str_is(lmi_cstr(name), lmi_types[i].name)) return lmi_types[i].number;
    return -1;
}
LMI_API uint64_t lm_row_bytes(int type, uint64_t n) {
    const lmi_type *t = lmi_type_of(type); uint64_t n_bytes = 0;
    return t && n % t->n == 0 && lmi_mul(n / t->n, t->n_bytes, &n_bytes) ? n_bytes : 0;
}

/* Values of the non-linear 4-bit types: IQ4 as in ggml-common.h; MXFP4 is E2M1 (OCP Microscaling Formats 1.0, table 5) times two, plus 12. */
static const int8_t lmi_iq4[16]   = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
static const int8_t lmi_mxfp4[16] = { 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0 };

/* ---- interleaved rows. 16 rows of blocks become one row of groups, each 16 times a block's size: what stands at bytes o .. o+w-1 of a block
 * (a unit) stands for row r at 16 o + r w. Units have 4 bytes, but for those that hold a float16 (2, in the first `lead` and last `tail` bytes) or a
 * lone byte (lead 1). So a vector load gives the same unit of all rows, and no size changes. Rows past the last are zero.
 * Q3_K, Q5_K and Q6_K have their fields in another order before that, the one in which mul_q1_as wants them: scales first, then for each four weights of
 * a step the bytes of all their fields. Products then read memory strictly from front to back, which a processor fetches ahead; of two streams side by
 * side it fetches neither. (Q6_K from memory: as the file has it 7 GB/s of 30, field after field 15, so 25.) */
static int lmi_stands(const lmi_type *t, int o) { /* byte o of a block */
    int four = o % 32 / 4, at = o % 4, field;
    switch (t->number) {
        case 11: /* u1 high[256], u2 low[256], sc[16], d: sc, d, low[0..127] and high in turns of 4 bytes, low[128..255] */
            return o >= 96 ? o - 96 : o >= 64 ? 14 + o : 14 + 8 * four + (o < 32 ? 4 : 0) + at;
        case 13: /* d, m, sc, mn, u1 high[256], u4 low[256]: low[0..63] and high in turns of 4 bytes */
            return o < 16 || o >= 80 ? o : 16 + (o - 16) % 32 / 4 * 8 + (o < 48 ? 4 : 0) + at;
        case 14: /* u4 low[256], u2 high[256], sc[16], d: sc, d, and for each 128 weights two fields of low and one of high in turns of 4 bytes */
            field = o < 128 ? o / 32 % 2 : 2;
            return o >= 192 ? o - 192 : 18 + (field < 2 ? o / 64 : (o - 128) / 32) * 96 + 12 * four + 4 * field + at;
        default: return o;
    }
}
static int lmi_unit(const lmi_type *t, int o) { return o < t->lead ? LMI_MIN(t->lead, 2) : o >= (int)t->n_bytes - t->tail ? 2 : 4; }
static void lmi_interleave(const lmi_type *t, const uint8_t *const row[16], int n_rows, size_t n_blocks, uint8_t *out) {
    size_t b, k; int o, r, w;
    for (b = 0; t->n == 1 && t->n_bytes == 2 && n_rows == 16 && b < n_blocks; b += 256) { /* as below, in the order that half floats want */
        for (r = 0; r < 16; r++) for (k = b; k < LMI_MIN(b + 256, n_blocks); k++) memcpy(out + 32 * k + 2 * r, row[r] + 2 * k, 2);
    }
    for (; b < n_blocks; b++, out += 16 * (size_t)t->n_bytes) {
        for (o = 0; o < (int)t->n_bytes; o += w) {
            uint8_t *to = out + 16 * lmi_stands(t, o);
            w = lmi_unit(t, o);
            if (n_rows == 16 && w == 4) { for (r = 0; r < 16; r++) memcpy(to + 4 * r, row[r] + b * t->n_bytes + (size_t)o, 4); continue; }
            for (r = 0; r < 16; r++, to += w) if (r < n_rows) memcpy(to, row[r] + b * t->n_bytes + (size_t)o, (size_t)w); else memset(to, 0, (size_t)w);
        }
    }
}
static void lmi_pull_row(const lmi_type *t, const uint8_t *group, int r, size_t n_blocks, uint8_t *out) { /* the way back, for one row */
    size_t b; int o, w;
    for (b = 0; b < n_blocks; b++, group += 16 * (size_t)t->n_bytes, out += t->n_bytes) {
        for (o = 0; o < (int)t->n_bytes; o += w) { w = lmi_unit(t, o); memcpy(out + o, group + 16 * lmi_stands(t, o) + r * w, (size_t)w); }
    }
}

/* ---- what the products work on */
typedef struct lmi_act { float d, half[2], whole; int16_t sum[2]; int8_t q[32]; } lmi_act; /* 32 activations: x[i] = d * q[i]; sums of q per 16, d * sum per 16 and of all */
typedef struct lmi_panel {            /* one step of 16 rows, lane = row; what a type does not use is not set */
    uint8_t u[512];                   /* weights as LMI_TYPES has them, signed ones plus LMI_S8, Q2_K's times sc: 4 of each row, 4 more of each, ...; with LMI_NX 2 (see >>isa) 8 of each, ... */
    float   d[16], m[2][16];          /* times sc where the halves share one; times mn */
    int32_t sc[2][16];                /* with LMI_SUB, but not of Q2_K; where LMI_LACKS, what sums lack in sc[0] */
} lmi_panel;
static int lmi_panel_flags(const lmi_type *t) { return t->flags & LMI_TWO ? t->flags & ~LMI_SUB : t->flags; }
#define LMI_TILE 2                    /* the most groups of 16 rows that a product takes at once */
#define LMI_GROUPS 8                  /* as integer products may take: all go over the same activations while these are in the second-level cache */
#define LMI_DEEP 16                   /* and about so many steps: the panels of LMI_TILE groups stay in the first-level cache */
#define LMI_DEEPEST 24                /* no more: to 1.5 LMI_DEEP in one part, to 1.25 in several, then up to a whole block of 8 steps */
#define LMI_SOLO 4                    /* as many as float rows take for one token: each is a chain of additions, and one alone is slower than memory */
typedef struct lmi_dst {              /* where outputs go: out[token * stride + lane], lanes < n_lanes */
    float *out; size_t stride; const float *bias; /* [n_lanes] or NULL */
    int add, n_lanes;                 /* add: out += result + bias, else out = */
} lmi_dst;

/* Queries that share a key-value head over the cached keys first..last of their sequence. A page holds 64 positions of one key-value head:
 * K [dk][64], so that lanes are keys, then V [64][dv16] (dv rounded up to 16), so that lanes are dimensions. With a q8_0 cache both are int8, each
 * followed by its float16 scales, [blocks of 32 dimensions][64]: an element is (float)d * (float)q, rounded once. */
#define LMI_PAGE 64
#define LMI_QUERIES 32
typedef struct lmi_attend {
    int n; const float *q[LMI_QUERIES]; float *out[LMI_QUERIES]; int first[LMI_QUERIES], last[LMI_QUERIES]; /* [dk], [dv16] */
    const uint8_t *page; size_t page_bytes;   /* page of position 0, distance to the next */
    lm_cache_type cache; int dk, dv;
    float scale, *scratch;                    /* [64 * the larger of dk and dv16] for a page's floats; f32: not used */
} lmi_attend;
static size_t lmi_cached_bytes(lm_cache_type type, int n) { /* of 64 positions of n dimensions */
    return type == LM_CACHE_Q8_0 ? LMI_PAGE * ((size_t)n + 2 * (((size_t)n + 31) / 32)) : LMI_PAGE * (size_t)n * (type == LM_CACHE_F32 ? 4 : 2);
}
/* Memory that is wanted next, fetched some lines each step to the second-level cache: a page's other half, the next group of weights. A core's own
 * prefetcher stops at every 4 KiB and knows no pages of a cache. */
typedef struct lmi_ahead { uintptr_t at; int lines; } lmi_ahead; /* a number: the last step goes past the end, where pointers have no meaning */
static lmi_ahead lmi_ahead_of(uintptr_t at, size_t n_bytes, int steps) {
    lmi_ahead a; a.at = at; a.lines = (int)((n_bytes / 64 + (size_t)steps - 1) / (size_t)steps);
    return a;
}
#define LMI_FETCH(a) do { int line; for (line = 0; line < (a).lines; line++, (a).at += 64) LMI_AHEAD((const uint8_t *)(a).at, 0, 2); } while (0)

#ifndef LLAMA_NO_QUANTIZE
/* Work of the quantizers' vector code: 16 (sub-)blocks of n weights, lane = block; see "fitting of scales" in section kernels. */
#define LMI_GROUP 512                 /* the most weights of them: 16 times 32 */
typedef struct lmi_fit {
    int n, line, minus, iq4, plain;   /* line: with an offset m, minus: m <= 0; iq4: codes are levels of lmi_iq4; plain: see sums */
    float lo, hi;                     /* codes */
    const float *x, *w; float *y;     /* [n][16] weights; importance, NULL: all 1; scratch */
    const float *tries, *shifts; int n_try, n_more;
    const float *levels[2];           /* with iq4: lmi_near_iq4 */
    float s[16], m[16], e[16], xq[16], qq[16], q[16], sx[16], sw[16]; /* scale, offset; error; sums of w x q, w q q, w q, w x, w */
    uint16_t hs[16], hm[16];          /* s and m as float16 */
} lmi_fit;
typedef struct lmi_fitter {
    void (*scale)(lmi_fit *f);        /* finds s; qq */
    void (*line)(lmi_fit *f);         /* finds s and m; qq, sw; x becomes y */
    void (*weigh)(lmi_fit *f);        /* s, m given: e and all sums */
    void (*codes)(const lmi_fit *f, int bits, float *out);
    void (*halve)(lmi_fit *f);
    int  (*common)(const float *x);
    void (*to_f16)(const float *x, int n, uint16_t *out);
    void (*to_bf16)(const float *x, uint16_t *out);
    void (*q8_0)(const float *x, int n, uint8_t *out);
} lmi_fitter;
#endif

#ifdef LLAMA_TRAIN
/* c[i][lane of v] = add + sum over q < n_q, k < n_k of a(i) [q a_q + k a_k] * b [q b_q + k b_k + v b_v + lane], by fused multiply-adds in that order;
 * a(i) = a + i / LMI_TM * a_t + i % LMI_TM * a_i. With more the sum goes on from what c has. n_lanes: of the last vectors, which may be fewer than 16 n_v. */
typedef struct lmi_tile {
    const lm_real *a, *b, *add; lm_real *c;
    size_t a_q, a_k, a_i, a_t, b_q, b_k, b_v, c_i, c_v;
    int n_q, n_k, n_i, n_v, n_lanes, more;
} lmi_tile;
typedef struct lmi_trainer {
    int tm, tv;                       /* LMI_TM rows, LMI_TV vectors of a tile */
    void (*block)(const lmi_tile *p);
    void (*pack)(const lm_real *w, int n, lm_real *to, size_t step);
    void (*turn)(const lm_real *in, int n, lm_real *out, size_t step);
    void (*norm)(const lm_real *x, int n, const lm_real *w, double eps, lm_real *r, lm_real *y);
    void (*renorm)(const lm_real *x, int n, const lm_real *w, const lm_real *r, lm_real *y);
    void (*norm_back)(const lm_real *x, int n, const lm_real *w, const lm_real *r, const lm_real *dy, const lm_real *add, lm_real *dx);
    void (*norm_grad)(const lm_real *x, const lm_real *dy, const lm_real *r, int n, int n_blocks, size_t step, lm_real *g);
    void (*rotate)(lm_real *x, int n_rot, const lm_real *co, const lm_real *si, int back);
    void (*soften)(lm_real *s, size_t step, int n, int k0, int q0, const int32_t *start, int window, lm_real scale, lm_real *inv, lm_real *lse);
    void (*rescale)(lm_real *x, int n, const lm_real *by);
    void (*unsoften)(lm_real *s, lm_real *dp, size_t step, int n, int k0, int q0, const int32_t *start, int window, lm_real scale, const lm_real *lse,
        const lm_real *d_o, const lm_real *o, int dv);
    void (*gated)(const lm_real *g, const lm_real *u, int n, lm_real *y);
    void (*gated_back)(lm_real *g, lm_real *u, int n, lm_real *y);
    void (*softsum)(lm_real *z, int n, lm_real cool, int keep, lm_real *top, lm_real *sum, lm_real *all);
    void (*softgrad)(lm_real *z, int n, lm_real cool, int kept, const lm_real *top, const lm_real *hard, const lm_real *soft, const lm_real *less);
    void (*adamw)(const lm_real *o, int n, lm_real *value, lm_real *grad, lm_real *m, lm_real *v, lm_real *ema);
} lmi_trainer;
#endif

typedef struct lmi_kernels {          /* one instruction set; LMI_FN functions of section kernels. `group`: 16 interleaved rows */
    const char *isa; int pass, tile;  /* tile: groups of 16 rows that share a load of an activation */
    int   (*probe)(void);             /* 1: sums and products are not fused */
    int   (*quantize)(const float *x, int n, lmi_act *out);           /* n / 32 acts; 0 when x is not finite */
    void  (*rows)(int type, const uint8_t *group, int n, float *out, size_t row_step, size_t step, int n_rows); /* dequantize */
    void  (*mul_f)(int type, const uint8_t *const *group, int n, const float *x, int n_tok, float *out);         /* `tile` groups; out [n_tok][16 tile] */
    void  (*mul_f1)(int type, const uint8_t *const *group, int n, const float *x, float *out);                   /* one token, LMI_SOLO groups; out [16 LMI_SOLO] */
    /* n_group groups, a multiple of `tile`, and after them `tile` groups that are read next; out [n_group / tile][n_tok][16 tile]; panel [tile][LMI_DEEPEST]: scratch */
    void  (*mul_q)(int type, const uint8_t *const *group, int n_group, int n, const lmi_act *a, int n_tok, lmi_panel *panel, float *out);
    void  (*mul_q1)(int type, const uint8_t *group, int n, const lmi_act *a, float *out);                        /* one token, one group, no panel; out [16] */
    void  (*place)(const float *in, int in_stride, int n_tok, const lmi_dst *dst);
    float (*norm)(const float *x, const float *w, int n, float eps, float *y); /* returns the sum of squares */
    void  (*rope)(float *x, const float *c, const float *s, int n_rot);
    void  (*swiglu)(const float *gate, const float *up, int n, float *out);
    void  (*attend)(const lmi_attend *a);
#ifndef LLAMA_NO_QUANTIZE
    const lmi_fitter *fitter;
#endif
#ifdef LLAMA_TRAIN
    const lmi_trainer *trainer;
#endif
} lmi_kernels;

/* Memory that will be used is fetched into a cache, 3: the first, 2: the second, while other work goes on; any address will do. */
#if defined(__GNUC__) || defined(__clang__)
#define LMI_AHEAD(p, to_write, cache) __builtin_prefetch(p, to_write, cache)
#define LMI_HERE __asm__ volatile("")                       /* GCC's scheduler would gather what is asked for ahead into one burst */
#else
#define LMI_AHEAD(p, to_write, cache) ((void)(p))
#define LMI_HERE ((void)0)
#endif
/* Of what is read once and in order, 2 KiB after byte `at` of p: a core that computes too does not reach far enough by itself. Past the end numbers
 * have a meaning, pointers have not. */
#define LMI_STREAM(p, at) LMI_AHEAD((const uint8_t *)((uintptr_t)(p) + 2048 + (uintptr_t)(at)), 0, 3)

/* a * b + c rounded once. Where the CPU has it, its instruction. Elsewhere: the product of two floats is exact in double; the sum's error
 * (Knuth's two-sum) tells whether it was exact, and if not the sum is rounded to odd, after which rounding to float is right
 * (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums"). libm's fmaf is wrong on some systems. */
#if (defined(__FMA__) || defined(__FP_FAST_FMAF) || defined(__aarch64__)) && defined(__GNUC__) && defined(__OPTIMIZE__)
static inline LMI_UNUSED float lmi_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
static inline LMI_UNUSED float lmi_fma(float a, float b, float c) {
    double p = (double)a * (double)b, z = (double)c, s = p + z, back = s - p, e = (p - (s - back)) + (z - back);
    uint64_t u;
    if (e != 0 && e == e) { /* NaN: s is not finite */
        memcpy(&u, &s, 8);
        if ((u & 1) == 0) { u = (s > 0) == (e > 0) ? u + 1 : u - 1; memcpy(&s, &u, 8); }
    }
    return (float)s;
}
#endif

/* ---- one pass over sections isa and kernels per instruction set, by including this file again (under LLAMA_NO_DISPATCH: the best one
 * that the compiler's flags allow, in place) */
#ifndef LLAMA_FILE
#define LLAMA_FILE "llama.h"          /* this file's name, if you renamed it */
#endif
/* The passes, from least to best of a processor; also the rows of lmi_isas. */
#define LMI_SCALAR 1
#define LMI_SSE2 2
#define LMI_AVX2 3
#define LMI_AVXVNNI 4                 /* AVX2 with the dot product of bytes */
#define LMI_AVX512 5                  /* F, BW, VL, VNNI */
#define LMI_NEON 6
#define LMI_NEONDOT 7                 /* NEON with the dot product of bytes, ARMv8.2 */
#define LMI_NEONI8MM 8                /* and with matrix products of bytes, ARMv8.6 */
#define LMI_WASM 9                    /* SIMD128, without its relaxed instructions */
/* AVX-VNNI needs a compiler that knows it. LLAMA_TEST_VNNI256 compiles the same text for AVX-512 VL and VNNI, so that tests run it on such CPUs too. */
#if defined(LLAMA_TEST_VNNI256) || (defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && ((defined(__GNUC__) && __GNUC__ >= 11) || (defined(_MSC_VER) && _MSC_VER >= 1930)))
#define LMI_HAS_AVXVNNI 1
#endif
#if (defined(__x86_64__) || defined(_M_X64) || defined(__i386__)) && !defined(LLAMA_NO_SIMD) && !defined(__TINYC__) && \
    (defined(__GNUC__) || defined(__clang__) || defined(_MSC_VER))
#define LMI_X86 1
#include <immintrin.h>
#elif ((defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)) || defined(_M_ARM64)) && !defined(LLAMA_NO_SIMD) && !defined(__TINYC__) && \
    (defined(__GNUC__) || defined(__clang__) || defined(_MSC_VER))
#define LMI_ARM64 1
#include <arm_neon.h>
#if defined(__ARM_FEATURE_MATMUL_INT8) || (defined(__clang__) && __clang_major__ >= 13) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 10)
#define LMI_HAS_I8MM 1                /* the compiler knows it */
#endif
#if defined(__clang__)
#define LMI_ARM_WITH(clang, gcc) __attribute__((target(clang)))
#elif defined(__GNUC__) && !(defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8))
#define LMI_ARM_WITH(clang, gcc) __attribute__((target("arch=armv8.2-a" gcc)))
#else                                 /* all is allowed as it is */
#define LMI_ARM_WITH(clang, gcc)
#endif
#elif defined(__wasm_simd128__) && !defined(LLAMA_NO_SIMD)
#define LMI_WASM_SIMD 1
#include <wasm_simd128.h>
#endif
/* Words are inlined and loops of known length unrolled, so that vectors stay in registers; without optimizing, or under sanitizers, that would only
 * cost time to compile. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define LMI_CHECKED 1
#endif
#endif
#if !(defined(__GNUC__) || defined(__clang__)) || !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(LMI_CHECKED)
#define LMI_FULLY
#define LMI_INLINE
#elif defined(__clang__)
#define LMI_FULLY _Pragma("clang loop unroll(full)")
#define LMI_INLINE __attribute__((always_inline))
#else
#define LMI_FULLY _Pragma("GCC unroll 16")
#define LMI_INLINE __attribute__((always_inline))
#endif
#if defined(LLAMA_NO_DISPATCH)
#if defined(LMI_X86) && defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define LMI_PASS LMI_AVX512
#elif defined(LMI_X86) && defined(__AVXVNNI__) && defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define LMI_PASS LMI_AVXVNNI
#elif defined(LMI_X86) && defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define LMI_PASS LMI_AVX2
#elif defined(LMI_X86)                /* x86 without SSE2 is refused above: FLT_EVAL_METHOD */
#define LMI_PASS LMI_SSE2
#elif defined(LMI_ARM64) && defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
#define LMI_PASS LMI_NEONI8MM
#elif defined(LMI_ARM64) && defined(__ARM_FEATURE_DOTPROD)
#define LMI_PASS LMI_NEONDOT
#elif defined(LMI_ARM64)
#define LMI_PASS LMI_NEON
#elif defined(LMI_WASM_SIMD)
#define LMI_PASS LMI_WASM
#else
#define LMI_PASS LMI_SCALAR
#endif
#else
#define LMI_PASS LMI_SCALAR
#include LLAMA_FILE
#undef LMI_PASS
#if defined(LMI_X86)
#define LMI_PASS LMI_SSE2
#include LLAMA_FILE
#undef LMI_PASS
#define LMI_PASS LMI_AVX2
#include LLAMA_FILE
#undef LMI_PASS
#if defined(LMI_HAS_AVXVNNI)
#define LMI_PASS LMI_AVXVNNI
#include LLAMA_FILE
#undef LMI_PASS
#endif
#define LMI_PASS LMI_AVX512
#include LLAMA_FILE
#undef LMI_PASS
#elif defined(LMI_ARM64)
#define LMI_PASS LMI_NEON
#include LLAMA_FILE
#undef LMI_PASS
#define LMI_PASS LMI_NEONDOT
#include LLAMA_FILE
#undef LMI_PASS
#if defined(LMI_HAS_I8MM)
#define LMI_PASS LMI_NEONI8MM
#include LLAMA_FILE
#undef LMI_PASS
#endif
#elif defined(LMI_WASM_SIMD)
#define LMI_PASS LMI_WASM
#include LLAMA_FILE
#undef LMI_PASS
#endif
#endif

#endif /* LLAMA_IMPLEMENTATION */
#endif /* LMI_PASS */

#ifdef LMI_PASS
/* ============================================================================================== >>isa
 * The vocabulary of each instruction set. LMI(vf) is 16 floats, LMI(vi) 16 int32, LMI(b64) 64 bytes, 4 for each of 16 rows; a lane is an output
 * row, a key or a dimension. The scalar text is the definition: every other vocabulary gives the same bits. Nothing here fuses a
 * product with a sum but fma. LMI_NR groups of rows times LMI_NT(flags) tokens (LMI_NF: of float weights) share a pass over unpacked weights,
 * LMI_NV(n) vectors a pass over a page for n queries, n <= 4; all fill the registers. Integer products: four() readies four activations, dot4() adds
 * products with four weights of each row to partial sums, at most LMI_RUN(top) times before flush() makes int32 of them. LMI_S8: what signed
 * bytes are raised by in such a sum (where the CPU only has unsigned times signed). The matrix kernel's words for tokens
 * that share instructions are at the end of the section.
 */
/* Where a word is four registers: r.v[i] = expr, i = 0..3; written out, as a loop would take compilers much longer. */
#define LMI_ONE(n, expr) { enum { i = n }; r.v[i] = (expr); }
#define LMI_FOUR(t, expr) LMI(t) r; LMI_ONE(0, expr) LMI_ONE(1, expr) LMI_ONE(2, expr) LMI_ONE(3, expr) return r
#if LMI_PASS == LMI_SCALAR
#define LMI(f) lmi_##f##_scalar
#define LMI_FN static LMI_UNUSED
#define LMI_OP static inline LMI_UNUSED
#define LMI_ISA "scalar"
#define LMI_UNROLL
#define LMI_STEPS
#define LMI_NR 1
#define LMI_NT(flags) 4
#define LMI_NF 4
#define LMI_TM 4
#define LMI_TV 1
#define LMI_NV(n) 1
#define LMI_S8 0
#define LMI_RUN(top) 8
#define LMI_LANES(expr) LMI(vf) r; int i; for (i = 0; i < 16; i++) r.v[i] = (expr); return r
#define LMI_INTS(expr)  LMI(vi) r; int i; for (i = 0; i < 16; i++) r.v[i] = (expr); return r
#define LMI_BYTES(expr) LMI(b64) r; int i; for (i = 0; i < 64; i++) r.v[i] = (uint8_t)(expr); return r

typedef struct LMI(vf) { float v[16]; } LMI(vf);
typedef struct LMI(vi) { int32_t v[16]; } LMI(vi);
typedef struct LMI(b64) { uint8_t v[64]; } LMI(b64);
LMI_OP LMI(vf) LMI(set1)(float x) { LMI_LANES(x); }
LMI_OP LMI(vf) LMI(load)(const float *p) { LMI_LANES(p[i]); }
LMI_OP LMI(vf) LMI(load_h)(const void *p) { LMI_LANES(lmi_f16(lmi_u16((const uint8_t *)p + 2 * i))); }    /* 16 float16 of a file */
LMI_OP LMI(vf) LMI(load_b)(const void *p) { LMI_LANES(lmi_bits_f32((uint32_t)lmi_u16((const uint8_t *)p + 2 * i) << 16)); } /* bfloat16 */
LMI_OP LMI(vf) LMI(load_f)(const void *p) { LMI_LANES(lmi_f32((const uint8_t *)p + 4 * i)); }             /* float32 of a file */
LMI_OP LMI(vf) LMI(load_c)(const uint16_t *p) { LMI_LANES(lmi_f16(p[i])); }                               /* float16 of the cache */
LMI_OP LMI(vf) LMI(load_8)(const int8_t *p) { LMI_LANES((float)p[i]); }                                   /* int8 of the cache */
LMI_OP void    LMI(store)(float *p, LMI(vf) a) { int i; for (i = 0; i < 16; i++) p[i] = a.v[i]; }
LMI_OP LMI(vf) LMI(add)(LMI(vf) a, LMI(vf) b) { LMI_LANES(a.v[i] + b.v[i]); }
LMI_OP LMI(vf) LMI(sub)(LMI(vf) a, LMI(vf) b) { LMI_LANES(a.v[i] - b.v[i]); }
LMI_OP LMI(vf) LMI(mul)(LMI(vf) a, LMI(vf) b) { LMI_LANES(a.v[i] * b.v[i]); }
LMI_OP LMI(vf) LMI(div)(LMI(vf) a, LMI(vf) b) { LMI_LANES(a.v[i] / b.v[i]); }
LMI_OP LMI(vf) LMI(sqrt)(LMI(vf) a) { LMI_LANES(sqrtf(a.v[i])); }
LMI_OP LMI(vf) LMI(fma)(LMI(vf) a, LMI(vf) b, LMI(vf) c) { LMI_LANES(lmi_fma(a.v[i], b.v[i], c.v[i])); }
LMI_OP LMI(vf) LMI(max)(LMI(vf) a, LMI(vf) b) { LMI_LANES(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }           /* b when either is NaN */
LMI_OP LMI(vf) LMI(min)(LMI(vf) a, LMI(vf) b) { LMI_LANES(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
LMI_OP LMI(vf) LMI(swap)(LMI(vf) a) { LMI_LANES(a.v[i ^ 1]); }                                            /* neighbours */
/* p * 2^n rounded once, for t = 1.5 * 2^23 + n with an integer |n| < 300 and p near 1: the first of two factors loses nothing */
LMI_OP LMI(vf) LMI(times_exp2)(LMI(vf) p, LMI(vf) t) {
    LMI(vf) r; int i;
    for (i = 0; i < 16; i++) {
        uint32_t n = lmi_f32_bits(t.v[i]) - 0x4b400000u, low = n >> 1 | (n & 0x80000000u); /* n / 2 rounded down */
        r.v[i] = p.v[i] * lmi_bits_f32((low + 127u) << 23) * lmi_bits_f32((n - low + 127u) << 23);
    }
    return r;
}
LMI_OP LMI(vi) LMI(set1_i)(int32_t x) { LMI_INTS(x); }
LMI_OP LMI(vi) LMI(load_i)(const int32_t *p) { LMI_INTS(p[i]); }
LMI_OP void    LMI(store_i)(int32_t *p, LMI(vi) a) { int i; for (i = 0; i < 16; i++) p[i] = a.v[i]; }
LMI_OP LMI(vi) LMI(add_i)(LMI(vi) a, LMI(vi) b) { LMI_INTS(a.v[i] + b.v[i]); }
LMI_OP LMI(vi) LMI(sub_i)(LMI(vi) a, LMI(vi) b) { LMI_INTS(a.v[i] - b.v[i]); }
LMI_OP LMI(vi) LMI(or_i)(LMI(vi) a, LMI(vi) b) { LMI_INTS(a.v[i] | b.v[i]); }
LMI_OP LMI(vi) LMI(field)(LMI(vi) a, int shift, int mask) { LMI_INTS((int32_t)((uint32_t)a.v[i] >> shift) & mask); }
LMI_OP LMI(vi) LMI(shl_i)(LMI(vi) a, int k) { LMI_INTS(a.v[i] * (1 << k)); }                               /* no bit is lost */
LMI_OP LMI(vi) LMI(unit_i)(const uint8_t *p) { LMI_INTS((int32_t)lmi_u32(p + 4 * i)); }                    /* a 4-byte unit of 16 rows */
LMI_OP LMI(vi) LMI(unit2_i)(const uint8_t *p) { LMI_INTS(lmi_u16(p + 2 * i)); }                            /* a 2-byte unit */
LMI_OP LMI(vf) LMI(float_i)(LMI(vi) a) { LMI_LANES((float)a.v[i]); }
LMI_OP LMI(b64) LMI(bytes)(const void *p) { LMI(b64) r; memcpy(&r, p, 64); return r; }
LMI_OP void     LMI(store_b)(void *p, LMI(b64) a) { memcpy(p, &a, 64); }
LMI_OP LMI(b64) LMI(bits)(LMI(b64) a, int shift, int mask) { LMI_BYTES(a.v[i] >> shift & mask); }
LMI_OP LMI(b64) LMI(or)(LMI(b64) a, LMI(b64) b) { LMI_BYTES(a.v[i] | b.v[i]); }
LMI_OP LMI(b64) LMI(shl)(LMI(b64) a, int k) { LMI_BYTES(a.v[i] << k); }                                    /* no bit is lost */
LMI_OP LMI(b64) LMI(times)(LMI(b64) a, LMI(vi) k) { LMI_BYTES(a.v[i] * k.v[i / 4]); }                        /* each byte; none passes 255 */
LMI_OP LMI(b64) LMI(pick)(LMI(b64) a, const int8_t table[16]) { LMI_BYTES(table[a.v[i]]); }
LMI_OP LMI(b64) LMI(bit5)(const uint8_t *p, int g) { LMI_BYTES((p[i / 4 * 4 + g / 2] >> (4 * (g % 2) + i % 4) & 1) << 4); } /* bits 4g.. of 16 u32 */
typedef LMI(vi) LMI(ps);
typedef const int8_t *LMI(xb);
LMI_OP LMI(xb) LMI(four)(const int8_t *a) { return a; }                                                    /* -127..127 */
LMI_OP LMI(ps) LMI(dot4)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { /* p[row] += sum over 4 weights of u * x, of signed weights where top is 255 */
    int r, j;
    for (r = 0; r < 16; r++) for (j = 0; j < 4; j++) p.v[r] += (top == 255 ? (int8_t)u.v[4 * r + j] : u.v[4 * r + j]) * x[j];
    return p;
}
LMI_OP LMI(ps) LMI(no_sum)(void) { LMI(ps) p; memset(&p, 0, sizeof p); return p; }
LMI_OP LMI(vi) LMI(flush)(LMI(ps) p, int top) { (void)top; return p; }
LMI_OP uint32_t LMI(amax_bits)(const float *x) { /* largest |x| of 32, as bits: NaN above infinity above every number */
    uint32_t m = 0, a; int i;
    for (i = 0; i < 32; i++) { a = lmi_f32_bits(x[i]) & 0x7fffffffu; if (a > m) m = a; }
    return m;
}
LMI_OP void LMI(round16)(const float *x, float k, int8_t *q) { /* q = x * k to nearest even, |x * k| < 128 */
    int i;
    for (i = 0; i < 16; i++) q[i] = (int8_t)(lmi_f32_bits(x[i] * k + 12582912.0f) & 255);
}

#elif LMI_PASS == LMI_SSE2
#define LMI(f) lmi_##f##_sse2
#define LMI_ISA "sse2"
#define LMI_UNROLL LMI_FULLY
#define LMI_STEPS                     /* a step is long enough here */
#define LMI_NR 1
#define LMI_NT(flags) 1
#define LMI_NF 1
#define LMI_TM 2
#define LMI_TV 1
#define LMI_NV(n) 1
#define LMI_S8 0
#define LMI_RUN(top) 8
#if defined(__GNUC__) || defined(__clang__)
#define LMI_FN static LMI_UNUSED __attribute__((target("sse2")))
#define LMI_OP static inline LMI_UNUSED LMI_INLINE __attribute__((target("sse2")))
#else
#define LMI_FN static
#define LMI_OP static __forceinline
#endif

typedef struct LMI(vf) { __m128 v[4]; } LMI(vf);
typedef struct LMI(vi) { __m128i v[4]; } LMI(vi);
typedef struct LMI(b64) { __m128i v[4]; } LMI(b64);
LMI_OP __m128i LMI(at)(const void *p, int i) { return _mm_loadu_si128((const __m128i *)p + i); }
/* i-th four of 16 uint16, in the high (up) or low halves of int32 */
LMI_OP __m128i LMI(wide)(const void *p, int i, int up) {
    __m128i h = LMI(at)(p, i / 2), zero = _mm_setzero_si128(), x = up ? zero : h, y = up ? h : zero;
    return i % 2 ? _mm_unpackhi_epi16(x, y) : _mm_unpacklo_epi16(x, y);
}
LMI_OP LMI(vf) LMI(set1)(float x) { LMI_FOUR(vf, _mm_set1_ps(x)); }
LMI_OP LMI(vf) LMI(load)(const float *p) { LMI_FOUR(vf, _mm_loadu_ps(p + 4 * i)); }
LMI_OP __m128  LMI(half4)(__m128i h) { /* lmi_f16 of high halves */
    __m128 f = _mm_mul_ps(_mm_castsi128_ps(_mm_srli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x7fff0000)), 3)), _mm_castsi128_ps(_mm_set1_epi32(0x77800000)));
    __m128 odd = _mm_and_ps(_mm_cmpge_ps(f, _mm_set1_ps(65536.0f)), _mm_castsi128_ps(_mm_set1_epi32(0x7f800000))); /* was infinity or NaN */
    return _mm_or_ps(_mm_or_ps(f, odd), _mm_and_ps(_mm_castsi128_ps(h), _mm_set1_ps(-0.0f)));
}
LMI_OP LMI(vf) LMI(load_h)(const void *p) { LMI_FOUR(vf, LMI(half4)(LMI(wide)(p, i, 1))); }
LMI_OP LMI(vf) LMI(load_b)(const void *p) { LMI_FOUR(vf, _mm_castsi128_ps(LMI(wide)(p, i, 1))); }
LMI_OP LMI(vf) LMI(load_f)(const void *p) { LMI_FOUR(vf, _mm_castsi128_ps(LMI(at)(p, i))); }
LMI_OP LMI(vf) LMI(load_c)(const uint16_t *p) { return LMI(load_h)(p); }
LMI_OP __m128  LMI(float_8)(__m128i x, int i) { /* i-th four of 16 int8: to the high bytes of int32, and down */
    x = i / 2 ? _mm_unpackhi_epi8(x, x) : _mm_unpacklo_epi8(x, x); x = i % 2 ? _mm_unpackhi_epi16(x, x) : _mm_unpacklo_epi16(x, x);
    return _mm_cvtepi32_ps(_mm_srai_epi32(x, 24));
}
LMI_OP LMI(vf) LMI(load_8)(const int8_t *p) { LMI_FOUR(vf, LMI(float_8)(LMI(at)(p, 0), i)); }
LMI_OP void    LMI(store)(float *p, LMI(vf) x) { int i; LMI_UNROLL for (i = 0; i < 4; i++) _mm_storeu_ps(p + 4 * i, x.v[i]); }
LMI_OP LMI(vf) LMI(add)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, _mm_add_ps(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(sub)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, _mm_sub_ps(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(mul)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, _mm_mul_ps(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(div)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, _mm_div_ps(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(sqrt)(LMI(vf) x) { LMI_FOUR(vf, _mm_sqrt_ps(x.v[i])); }
/* lmi_fma before its last rounding: x * y + z rounded to odd, which is toward zero with the last bit set where that is inexact */
LMI_OP __m128d LMI(fma2)(__m128d x, __m128d y, __m128d z) {
    __m128d p = _mm_mul_pd(x, y), s = _mm_add_pd(p, z), back = _mm_sub_pd(s, p), e = _mm_add_pd(_mm_sub_pd(p, _mm_sub_pd(s, back)), _mm_sub_pd(z, back));
    __m128i inexact = _mm_castpd_si128(_mm_cmplt_pd(_mm_setzero_pd(), _mm_andnot_pd(_mm_set1_pd(-0.0), e))); /* not for NaN: s is not finite */
    __m128i over = _mm_shuffle_epi32(_mm_srai_epi32(_mm_castpd_si128(_mm_xor_pd(s, e)), 31), 0xf5);          /* -1: |s| was rounded up */
    __m128i odd = _mm_or_si128(_mm_add_epi64(_mm_castpd_si128(s), _mm_and_si128(inexact, over)), _mm_srli_epi64(inexact, 63));
    return _mm_castsi128_pd(odd);
}
/* Rounding the plain sum s in double once more is right unless s is halfway between two floats or so small that the float is subnormal, rare
 * both. (Halfways are doubles, so s is never beyond one that x * y + z is not beyond.) Not inlined: it is long. */
LMI_FN void LMI(fma_to)(const LMI(vf) *x, const LMI(vf) *y, LMI(vf) *z) {
    __m128i doubt = _mm_setzero_si128(), low, high; __m128d a[8], b[8], c[8], s[8]; int i;
    LMI_UNROLL for (i = 0; i < 4; i++) {
        a[2 * i] = _mm_cvtps_pd(x->v[i]); a[2 * i + 1] = _mm_cvtps_pd(_mm_movehl_ps(x->v[i], x->v[i]));
        b[2 * i] = _mm_cvtps_pd(y->v[i]); b[2 * i + 1] = _mm_cvtps_pd(_mm_movehl_ps(y->v[i], y->v[i]));
        c[2 * i] = _mm_cvtps_pd(z->v[i]); c[2 * i + 1] = _mm_cvtps_pd(_mm_movehl_ps(z->v[i], z->v[i]));
        s[2 * i] = _mm_add_pd(_mm_mul_pd(a[2 * i], b[2 * i]), c[2 * i]); s[2 * i + 1] = _mm_add_pd(_mm_mul_pd(a[2 * i + 1], b[2 * i + 1]), c[2 * i + 1]);
        low = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(s[2 * i]), _mm_castpd_ps(s[2 * i + 1]), 0x88));
        high = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(s[2 * i]), _mm_castpd_ps(s[2 * i + 1]), 0xdd));
        doubt = _mm_or_si128(doubt, _mm_cmpeq_epi32(_mm_slli_epi32(low, 3), _mm_set1_epi32((int)0x80000000u)));
        high = _mm_add_epi32(_mm_add_epi32(high, high), _mm_set1_epi32(0x7fffffff)); /* less the sign; less 1, so that 0 is not small; as signed */
        doubt = _mm_or_si128(doubt, _mm_cmplt_epi32(high, _mm_set1_epi32((int)0xf01fffffu))); /* 2^-126 seen so */
    }
    if (_mm_movemask_epi8(doubt)) { LMI_UNROLL for (i = 0; i < 8; i++) s[i] = LMI(fma2)(a[i], b[i], c[i]); }
    LMI_UNROLL for (i = 0; i < 4; i++) z->v[i] = _mm_movelh_ps(_mm_cvtpd_ps(s[2 * i]), _mm_cvtpd_ps(s[2 * i + 1]));
}
LMI_OP LMI(vf) LMI(fma)(LMI(vf) x, LMI(vf) y, LMI(vf) z) { LMI(fma_to)(&x, &y, &z); return z; }
LMI_OP LMI(vf) LMI(max)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, _mm_max_ps(x.v[i], y.v[i])); } /* y when either is NaN */
LMI_OP LMI(vf) LMI(min)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, _mm_min_ps(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(swap)(LMI(vf) x) { LMI_FOUR(vf, _mm_shuffle_ps(x.v[i], x.v[i], 0xb1)); }
LMI_OP __m128  LMI(exp2_4)(__m128i n) { return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(n, _mm_set1_epi32(127)), 23)); }
LMI_OP __m128  LMI(times_exp2_4)(__m128 p, __m128 t) {
    __m128i n = _mm_sub_epi32(_mm_castps_si128(t), _mm_set1_epi32(0x4b400000)), low = _mm_srai_epi32(n, 1);
    return _mm_mul_ps(_mm_mul_ps(p, LMI(exp2_4)(low)), LMI(exp2_4)(_mm_sub_epi32(n, low)));
}
LMI_OP LMI(vf) LMI(times_exp2)(LMI(vf) p, LMI(vf) t) { LMI_FOUR(vf, LMI(times_exp2_4)(p.v[i], t.v[i])); }
LMI_OP LMI(vi) LMI(set1_i)(int32_t x) { LMI_FOUR(vi, _mm_set1_epi32(x)); }
LMI_OP LMI(vi) LMI(load_i)(const int32_t *p) { LMI_FOUR(vi, LMI(at)(p, i)); }
LMI_OP void    LMI(store_i)(int32_t *p, LMI(vi) x) { int i; LMI_UNROLL for (i = 0; i < 4; i++) _mm_storeu_si128((__m128i *)(void *)p + i, x.v[i]); }
LMI_OP LMI(vi) LMI(add_i)(LMI(vi) x, LMI(vi) y) { LMI_FOUR(vi, _mm_add_epi32(x.v[i], y.v[i])); }
LMI_OP LMI(vi) LMI(sub_i)(LMI(vi) x, LMI(vi) y) { LMI_FOUR(vi, _mm_sub_epi32(x.v[i], y.v[i])); }
LMI_OP LMI(vi) LMI(or_i)(LMI(vi) x, LMI(vi) y) { LMI_FOUR(vi, _mm_or_si128(x.v[i], y.v[i])); }
LMI_OP LMI(vi) LMI(field)(LMI(vi) x, int shift, int mask) { LMI_FOUR(vi, _mm_and_si128(_mm_srl_epi32(x.v[i], _mm_cvtsi32_si128(shift)), _mm_set1_epi32(mask))); }
LMI_OP LMI(vi) LMI(shl_i)(LMI(vi) x, int k) { LMI_FOUR(vi, _mm_sll_epi32(x.v[i], _mm_cvtsi32_si128(k))); }
LMI_OP LMI(vi) LMI(unit_i)(const uint8_t *p) { LMI_FOUR(vi, LMI(at)(p, i)); }
LMI_OP LMI(vi) LMI(unit2_i)(const uint8_t *p) { LMI_FOUR(vi, LMI(wide)(p, i, 0)); }
LMI_OP LMI(vf) LMI(float_i)(LMI(vi) x) { LMI_FOUR(vf, _mm_cvtepi32_ps(x.v[i])); }
LMI_OP LMI(b64) LMI(bytes)(const void *p) { LMI_FOUR(b64, LMI(at)(p, i)); }
LMI_OP void     LMI(store_b)(void *p, LMI(b64) x) { int i; LMI_UNROLL for (i = 0; i < 4; i++) _mm_storeu_si128((__m128i *)p + i, x.v[i]); }
LMI_OP LMI(b64) LMI(bits)(LMI(b64) x, int shift, int mask) { LMI_FOUR(b64, _mm_and_si128(_mm_srl_epi16(x.v[i], _mm_cvtsi32_si128(shift)), _mm_set1_epi8((char)mask))); }
LMI_OP LMI(b64) LMI(or)(LMI(b64) x, LMI(b64) y) { LMI_FOUR(b64, _mm_or_si128(x.v[i], y.v[i])); }
LMI_OP LMI(b64) LMI(shl)(LMI(b64) x, int k) { LMI_FOUR(b64, _mm_sll_epi16(x.v[i], _mm_cvtsi32_si128(k))); }
LMI_OP LMI(b64) LMI(times)(LMI(b64) x, LMI(vi) k) { LMI_FOUR(b64, _mm_mullo_epi16(x.v[i], _mm_or_si128(k.v[i], _mm_slli_epi32(k.v[i], 16)))); }
LMI_OP __m128i LMI(spread)(__m128i u, int g) { /* bits 4g..4g+3 of each u32 to bit 4 of its bytes: four shifted copies, one bit of each kept */
    __m128i n = _mm_and_si128(_mm_srl_epi32(u, _mm_cvtsi32_si128(4 * g)), _mm_set1_epi32(15));
    n = _mm_or_si128(n, _mm_slli_epi32(n, 7)); n = _mm_or_si128(n, _mm_slli_epi32(n, 14));
    return _mm_slli_epi32(_mm_and_si128(n, _mm_set1_epi32(0x01010101)), 4);
}
LMI_OP LMI(b64) LMI(bit5)(const uint8_t *p, int g) { LMI_FOUR(b64, LMI(spread)(LMI(at)(p, i), g)); }
LMI_OP LMI(b64) LMI(pick)(LMI(b64) x, const int8_t table[16]) {
    uint8_t u[64]; int i;
    LMI(store_b)(u, x);
    for (i = 0; i < 64; i++) u[i] = (uint8_t)table[u[i]];
    return LMI(bytes)(u);
}
/* Weights 0 and 2 of each row, then 1 and 3, in 16 bits: a pair of products and their sum is one instruction. */
LMI_OP __m128i LMI(even)(__m128i x, int top) { return top == 255 ? _mm_srai_epi16(_mm_slli_epi16(x, 8), 8) : _mm_and_si128(x, _mm_set1_epi16(255)); }
LMI_OP __m128i LMI(odd)(__m128i x, int top) { return top == 255 ? _mm_srai_epi16(x, 8) : _mm_srli_epi16(x, 8); }
typedef LMI(vi) LMI(ps);
typedef struct LMI(xb) { __m128i even, odd; } LMI(xb);
LMI_OP LMI(xb) LMI(four)(const int8_t *a) {
    int32_t x; LMI(xb) r;
    memcpy(&x, a, 4); r.even = LMI(even)(_mm_set1_epi32(x), 255); r.odd = LMI(odd)(_mm_set1_epi32(x), 255);
    return r;
}
LMI_OP __m128i LMI(dot4x4)(__m128i u, LMI(xb) x, int top) { return _mm_add_epi32(_mm_madd_epi16(LMI(even)(u, top), x.even), _mm_madd_epi16(LMI(odd)(u, top), x.odd)); }
LMI_OP LMI(ps) LMI(dot4)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { LMI_FOUR(ps, _mm_add_epi32(p.v[i], LMI(dot4x4)(u.v[i], x, top))); }
LMI_OP LMI(ps) LMI(no_sum)(void) { LMI_FOUR(ps, _mm_setzero_si128()); }
LMI_OP LMI(vi) LMI(flush)(LMI(ps) p, int top) { (void)top; return p; }
LMI_OP __m128i LMI(max_i)(__m128i x, __m128i y) { __m128i k = _mm_cmpgt_epi32(x, y); return _mm_or_si128(_mm_and_si128(k, x), _mm_andnot_si128(k, y)); }
LMI_OP uint32_t LMI(amax_bits)(const float *x) {
    __m128i mask = _mm_set1_epi32(0x7fffffff), m = _mm_setzero_si128(); int i;
    for (i = 0; i < 8; i++) m = LMI(max_i)(m, _mm_and_si128(LMI(at)(x, i), mask));
    m = LMI(max_i)(m, _mm_shuffle_epi32(m, 0x4e)); m = LMI(max_i)(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}
LMI_OP __m128i LMI(round4)(const float *x, __m128 k) { return _mm_cvtps_epi32(_mm_mul_ps(_mm_loadu_ps(x), k)); }
LMI_OP void LMI(round16)(const float *x, float k, int8_t *q) {
    __m128 kk = _mm_set1_ps(k);
    __m128i lo = _mm_packs_epi32(LMI(round4)(x, kk), LMI(round4)(x + 4, kk)), hi = _mm_packs_epi32(LMI(round4)(x + 8, kk), LMI(round4)(x + 12, kk));
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packs_epi16(lo, hi));
}

#elif LMI_PASS == LMI_AVX2 || LMI_PASS == LMI_AVXVNNI /* the same text but for dot4 */
#if LMI_PASS == LMI_AVX2
#define LMI(f) lmi_##f##_avx2
#define LMI_ISA "avx2"
#define LMI_TARGET "avx2,fma,f16c"
#define LMI_S8 0
#else
#define LMI(f) lmi_##f##_avxvnni
#define LMI_ISA "avxvnni"
#if defined(LLAMA_TEST_VNNI256)
#define LMI_TARGET "avx512f,avx512vl,avx512vnni,avx2,fma,f16c"
#define LMI_DPBUSD _mm256_dpbusd_epi32
#else
#define LMI_TARGET "avxvnni,avx2,fma,f16c"
#define LMI_DPBUSD _mm256_dpbusd_avx_epi32
#endif
#define LMI_S8 128
#endif
#define LMI_UNROLL LMI_FULLY
#define LMI_STEPS LMI_FULLY
#define LMI_NR 1
#define LMI_NT(flags) ((flags) & LMI_SUB ? 2 : LMI_PASS == LMI_AVX2 ? 4 : 3)
#define LMI_NF 6
#define LMI_TM 6
#define LMI_TV 1
#define LMI_NV(n) ((n) == 1 ? 4 : (n) < 4 ? 2 : 1)
#if defined(__GNUC__) || defined(__clang__)
#define LMI_FN static LMI_UNUSED __attribute__((target(LMI_TARGET)))
#define LMI_OP static inline LMI_UNUSED LMI_INLINE __attribute__((target(LMI_TARGET)))
#else
#define LMI_FN static
#define LMI_OP static __forceinline
#endif
#define LMI_BOTH(t, expr_a, expr_b) LMI(t) r; r.a = (expr_a); r.b = (expr_b); return r

typedef struct LMI(vf) { __m256 a, b; } LMI(vf);
typedef struct LMI(vi) { __m256i a, b; } LMI(vi);
typedef struct LMI(b64) { __m256i a, b; } LMI(b64);
LMI_OP __m256i LMI(at)(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
LMI_OP __m128i LMI(at16)(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
LMI_OP LMI(vf) LMI(set1)(float x) { LMI_BOTH(vf, _mm256_set1_ps(x), _mm256_set1_ps(x)); }
LMI_OP LMI(vf) LMI(load)(const float *p) { LMI_BOTH(vf, _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
LMI_OP LMI(vf) LMI(load_h)(const void *p) { LMI_BOTH(vf, _mm256_cvtph_ps(LMI(at16)(p)), _mm256_cvtph_ps(LMI(at16)((const char *)p + 16))); }
LMI_OP __m256  LMI(wide_b)(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
LMI_OP LMI(vf) LMI(load_b)(const void *p) { LMI_BOTH(vf, LMI(wide_b)(LMI(at16)(p)), LMI(wide_b)(LMI(at16)((const char *)p + 16))); }
LMI_OP LMI(vf) LMI(load_f)(const void *p) { LMI_BOTH(vf, _mm256_castsi256_ps(LMI(at)(p)), _mm256_castsi256_ps(LMI(at)((const char *)p + 32))); }
LMI_OP LMI(vf) LMI(load_c)(const uint16_t *p) { return LMI(load_h)(p); }
LMI_OP __m256  LMI(float_8)(const int8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p))); }
LMI_OP LMI(vf) LMI(load_8)(const int8_t *p) { LMI_BOTH(vf, LMI(float_8)(p), LMI(float_8)(p + 8)); }
LMI_OP void    LMI(store)(float *p, LMI(vf) v) { _mm256_storeu_ps(p, v.a); _mm256_storeu_ps(p + 8, v.b); }
LMI_OP LMI(vf) LMI(add)(LMI(vf) x, LMI(vf) y) { LMI_BOTH(vf, _mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
LMI_OP LMI(vf) LMI(sub)(LMI(vf) x, LMI(vf) y) { LMI_BOTH(vf, _mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
LMI_OP LMI(vf) LMI(mul)(LMI(vf) x, LMI(vf) y) { LMI_BOTH(vf, _mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
LMI_OP LMI(vf) LMI(div)(LMI(vf) x, LMI(vf) y) { LMI_BOTH(vf, _mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
LMI_OP LMI(vf) LMI(sqrt)(LMI(vf) x) { LMI_BOTH(vf, _mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)); }
LMI_OP LMI(vf) LMI(fma)(LMI(vf) x, LMI(vf) y, LMI(vf) z) { LMI_BOTH(vf, _mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)); }
LMI_OP LMI(vf) LMI(max)(LMI(vf) x, LMI(vf) y) { LMI_BOTH(vf, _mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); } /* y when either is NaN */
LMI_OP LMI(vf) LMI(min)(LMI(vf) x, LMI(vf) y) { LMI_BOTH(vf, _mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
LMI_OP LMI(vf) LMI(swap)(LMI(vf) x) { LMI_BOTH(vf, _mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1)); }
LMI_OP __m256  LMI(exp2_8)(__m256i n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)); }
LMI_OP __m256  LMI(times_exp2_8)(__m256 p, __m256 t) {
    __m256i n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x4b400000)), low = _mm256_srai_epi32(n, 1);
    return _mm256_mul_ps(_mm256_mul_ps(p, LMI(exp2_8)(low)), LMI(exp2_8)(_mm256_sub_epi32(n, low)));
}
LMI_OP LMI(vf) LMI(times_exp2)(LMI(vf) p, LMI(vf) t) { LMI_BOTH(vf, LMI(times_exp2_8)(p.a, t.a), LMI(times_exp2_8)(p.b, t.b)); }
LMI_OP LMI(vi) LMI(set1_i)(int32_t x) { LMI_BOTH(vi, _mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
LMI_OP LMI(vi) LMI(load_i)(const int32_t *p) { LMI_BOTH(vi, LMI(at)(p), LMI(at)(p + 8)); }
LMI_OP void    LMI(store_i)(int32_t *p, LMI(vi) x) { _mm256_storeu_si256((__m256i *)(void *)p, x.a); _mm256_storeu_si256((__m256i *)(void *)(p + 8), x.b); }
LMI_OP LMI(vi) LMI(add_i)(LMI(vi) x, LMI(vi) y) { LMI_BOTH(vi, _mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)); }
LMI_OP LMI(vi) LMI(sub_i)(LMI(vi) x, LMI(vi) y) { LMI_BOTH(vi, _mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)); }
LMI_OP LMI(vi) LMI(or_i)(LMI(vi) x, LMI(vi) y) { LMI_BOTH(vi, _mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)); }
LMI_OP LMI(vi) LMI(field)(LMI(vi) x, int shift, int mask) {
    __m128i k = _mm_cvtsi32_si128(shift); __m256i m = _mm256_set1_epi32(mask);
    LMI_BOTH(vi, _mm256_and_si256(_mm256_srl_epi32(x.a, k), m), _mm256_and_si256(_mm256_srl_epi32(x.b, k), m));
}
LMI_OP LMI(vi) LMI(shl_i)(LMI(vi) x, int k) { LMI_BOTH(vi, _mm256_slli_epi32(x.a, k), _mm256_slli_epi32(x.b, k)); }
LMI_OP LMI(vi) LMI(unit_i)(const uint8_t *p) { LMI_BOTH(vi, LMI(at)(p), LMI(at)(p + 32)); }
LMI_OP LMI(vi) LMI(unit2_i)(const uint8_t *p) { LMI_BOTH(vi, _mm256_cvtepu16_epi32(LMI(at16)(p)), _mm256_cvtepu16_epi32(LMI(at16)(p + 16))); }
LMI_OP LMI(vf) LMI(float_i)(LMI(vi) x) { LMI_BOTH(vf, _mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)); }
LMI_OP LMI(b64) LMI(bytes)(const void *p) { LMI_BOTH(b64, LMI(at)(p), LMI(at)((const char *)p + 32)); }
LMI_OP void     LMI(store_b)(void *p, LMI(b64) x) { _mm256_storeu_si256((__m256i *)p, x.a); _mm256_storeu_si256((__m256i *)p + 1, x.b); }
LMI_OP LMI(b64) LMI(bits)(LMI(b64) x, int shift, int mask) {
    __m128i k = _mm_cvtsi32_si128(shift); __m256i m = _mm256_set1_epi8((char)mask);
    LMI_BOTH(b64, _mm256_and_si256(_mm256_srl_epi16(x.a, k), m), _mm256_and_si256(_mm256_srl_epi16(x.b, k), m));
}
LMI_OP LMI(b64) LMI(or)(LMI(b64) x, LMI(b64) y) { LMI_BOTH(b64, _mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)); }
LMI_OP LMI(b64) LMI(shl)(LMI(b64) x, int k) { LMI_BOTH(b64, _mm256_slli_epi16(x.a, k), _mm256_slli_epi16(x.b, k)); }
LMI_OP LMI(b64) LMI(times)(LMI(b64) x, LMI(vi) k) { LMI_BOTH(b64, _mm256_mullo_epi32(x.a, k.a), _mm256_mullo_epi32(x.b, k.b)); }
LMI_OP LMI(b64) LMI(pick)(LMI(b64) x, const int8_t table[16]) {
    __m256i t = _mm256_broadcastsi128_si256(LMI(at16)(table));
    LMI_BOTH(b64, _mm256_shuffle_epi8(t, x.a), _mm256_shuffle_epi8(t, x.b));
}
LMI_OP __m256i LMI(spread)(__m256i u, int g) { /* bits 4g..4g+3 of each u32 to bit 4 of its bytes: four shifted copies, one bit of each kept */
    __m256i n = _mm256_and_si256(_mm256_srl_epi32(u, _mm_cvtsi32_si128(4 * g)), _mm256_set1_epi32(15));
    return _mm256_slli_epi32(_mm256_and_si256(_mm256_mullo_epi32(n, _mm256_set1_epi32(0x00204081)), _mm256_set1_epi32(0x01010101)), 4);
}
LMI_OP LMI(b64) LMI(bit5)(const uint8_t *p, int g) { LMI_BOTH(b64, LMI(spread)(LMI(at)(p), g), LMI(spread)(LMI(at)(p + 32), g)); }
typedef LMI(vi) LMI(ps);
typedef __m256i LMI(xb);
LMI_OP LMI(xb) LMI(four)(const int8_t *a) { int32_t x; memcpy(&x, a, 4); return _mm256_set1_epi32(x); } /* a load that broadcasts */
#if LMI_PASS == LMI_AVX2
/* Pairs of products in 16 bits, which must not saturate: of u <= 15, 16 of them sum to at most 16 * 15 * 127 = 30480; u <= 31: 8, 31496; u <= 63:
 * 4, 32004; signed bytes: 2, as |w| (unsigned, up to 128) times x with w's sign, 2 * 128 * 127 = 32512, so they become 32 bits at once. */
#define LMI_RUN(top) ((top) <= 15 ? 8 : (top) <= 31 ? 4 : (top) <= 63 ? 2 : 8)
LMI_OP __m256i LMI(now)(__m256i sum) { /* compilers put additions off, and spill the products */
#if defined(__GNUC__) || defined(__clang__)
    __asm__("" : "+x"(sum));
#endif
    return sum;
}
LMI_OP __m256i LMI(dot_abs)(__m256i p, __m256i w, __m256i x) { /* p + |w| x */
    return LMI(now)(_mm256_add_epi32(p, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), x), _mm256_set1_epi16(1))));
}
LMI_OP __m256i LMI(dot4x8)(__m256i p, __m256i u, __m256i x, int top) {
    if (top == 255) return LMI(dot_abs)(p, u, _mm256_sign_epi8(x, u));
    return LMI(now)(_mm256_add_epi16(p, _mm256_maddubs_epi16(u, x)));
}
LMI_OP __m256i LMI(flush8)(__m256i p, int top) { return top == 255 ? p : _mm256_madd_epi16(p, _mm256_set1_epi16(1)); }
#else
#define LMI_RUN(top) 8
LMI_OP __m256i LMI(lift)(__m256i w) { return _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80)); } /* w + 128: LMI_S8 */
LMI_OP __m256i LMI(dot4x8)(__m256i p, __m256i u, __m256i x, int top) { return LMI_DPBUSD(p, top == 255 ? LMI(lift)(u) : u, x); }
LMI_OP __m256i LMI(flush8)(__m256i p, int top) { (void)top; return p; }
#endif
LMI_OP LMI(ps) LMI(dot4)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { LMI_BOTH(ps, LMI(dot4x8)(p.a, u.a, x, top), LMI(dot4x8)(p.b, u.b, x, top)); }
LMI_OP LMI(ps) LMI(no_sum)(void) { LMI_BOTH(ps, _mm256_setzero_si256(), _mm256_setzero_si256()); }
LMI_OP LMI(vi) LMI(flush)(LMI(ps) p, int top) { LMI_BOTH(vi, LMI(flush8)(p.a, top), LMI(flush8)(p.b, top)); }
#if LMI_PASS == LMI_AVX2
/* Over panels signed bytes do without vpsignb, which takes the multipliers' ports: |w| times x, all bits of x turned where w < 0, is less than w x by |w|
 * there. What 32 weights of a row lack is in the panel. A pair is at least -2 * 128 * 128, which still fits. */
#define LMI_LACKS(top) ((top) == 255)
LMI_OP __m256i LMI(minus8)(__m256i w) { return _mm256_cmpgt_epi8(_mm256_setzero_si256(), w); }
LMI_OP __m256i LMI(dot_turned)(__m256i p, __m256i w, __m256i x) { return LMI(dot_abs)(p, w, _mm256_xor_si256(x, LMI(minus8)(w))); }
LMI_OP LMI(ps) LMI(dot)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) {
    if (!LMI_LACKS(top)) return LMI(dot4)(p, u, x, top);
    { LMI_BOTH(ps, LMI(dot_turned)(p.a, u.a, x), LMI(dot_turned)(p.b, u.b, x)); }
}
LMI_OP void LMI(deal)(lmi_panel *w, int top) {
    __m256i sum, v; int g, h;
    for (h = 0; h < 2 && LMI_LACKS(top); h++) {
        sum = _mm256_setzero_si256();
        LMI_UNROLL for (g = 0; g < 8; g++) {
            v = LMI(at)(w->u + 64 * g + 32 * h);
            sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_and_si256(_mm256_abs_epi8(v), LMI(minus8)(v)), _mm256_set1_epi8(1)));
        }
        _mm256_storeu_si256((__m256i *)(void *)(w->sc[0] + 8 * h), _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
    }
}
#else
#define LMI_STARTS 1
LMI_OP LMI(ps) LMI(start)(const int16_t sum[2], int k0, int k1) {
    int32_t both, k = (int32_t)((uint32_t)k1 << 16 | ((uint32_t)k0 & 0xffff)); __m256i v;
    memcpy(&both, sum, 4); v = _mm256_madd_epi16(_mm256_set1_epi32(both), _mm256_set1_epi32(k)); /* loads that broadcast */
    LMI_BOTH(ps, v, v);
}
LMI_OP LMI(ps) LMI(dot)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { (void)top; LMI_BOTH(ps, LMI_DPBUSD(p.a, u.a, x), LMI_DPBUSD(p.b, u.b, x)); }
LMI_OP void LMI(deal)(lmi_panel *w, int top) {
    int i;
    LMI_UNROLL for (i = 0; i < 512 && top == 255; i += 32) _mm256_storeu_si256((__m256i *)(void *)(w->u + i), LMI(lift)(LMI(at)(w->u + i)));
}
#endif
LMI_OP uint32_t LMI(amax_bits)(const float *x) {
    __m256i mask = _mm256_set1_epi32(0x7fffffff), m = _mm256_setzero_si256(); __m128i h; int i;
    for (i = 0; i < 32; i += 8) m = _mm256_max_epi32(m, _mm256_and_si256(LMI(at)(x + i), mask));
    h = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    h = _mm_max_epi32(h, _mm_shuffle_epi32(h, 0x4e)); h = _mm_max_epi32(h, _mm_shuffle_epi32(h, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(h);
}
LMI_OP void LMI(round16)(const float *x, float k, int8_t *q) {
    __m256 kk = _mm256_set1_ps(k);
    __m256i lo = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), kk)), hi = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), kk));
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), 0xd8);
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}

#elif LMI_PASS == LMI_AVX512
#if defined(__GNUC__) && !defined(__clang__) /* GCC 12's own header, in C++: its "undefined" operands count as uninitialized (GCC bug 105593) */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#define LMI(f) lmi_##f##_avx512
#define LMI_ISA "avx512"
#define LMI_UNROLL LMI_FULLY
#define LMI_STEPS LMI_FULLY
#define LMI_NR 2
#define LMI_NT(flags) ((flags) & LMI_SUB ? 4 : 6)
#define LMI_NF 8
#define LMI_TM 8
#define LMI_TV 2
#define LMI_NV(n) 4
#define LMI_S8 128
#define LMI_RUN(top) 8
#if defined(__GNUC__) || defined(__clang__)
#define LMI_FN static LMI_UNUSED __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")))
#define LMI_OP static inline LMI_UNUSED LMI_INLINE __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")))
#else
#define LMI_FN static
#define LMI_OP static __forceinline
#endif

typedef __m512 LMI(vf);
typedef __m512i LMI(vi);
typedef __m512i LMI(b64);
LMI_OP __m512i LMI(at)(const void *p) { return _mm512_loadu_si512(p); }
LMI_OP __m256i LMI(at32)(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
LMI_OP LMI(vf) LMI(set1)(float x) { return _mm512_set1_ps(x); }
LMI_OP LMI(vf) LMI(load)(const float *p) { return _mm512_loadu_ps(p); }
LMI_OP LMI(vf) LMI(load_h)(const void *p) { return _mm512_cvtph_ps(LMI(at32)(p)); }
LMI_OP LMI(vf) LMI(load_b)(const void *p) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(LMI(at32)(p)), 16)); }
LMI_OP LMI(vf) LMI(load_f)(const void *p) { return _mm512_castsi512_ps(LMI(at)(p)); }
LMI_OP LMI(vf) LMI(load_c)(const uint16_t *p) { return LMI(load_h)(p); }
LMI_OP LMI(vf) LMI(load_8)(const int8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p))); }
LMI_OP void    LMI(store)(float *p, LMI(vf) v) { _mm512_storeu_ps(p, v); }
LMI_OP LMI(vf) LMI(add)(LMI(vf) x, LMI(vf) y) { return _mm512_add_ps(x, y); }
LMI_OP LMI(vf) LMI(sub)(LMI(vf) x, LMI(vf) y) { return _mm512_sub_ps(x, y); }
LMI_OP LMI(vf) LMI(mul)(LMI(vf) x, LMI(vf) y) { return _mm512_mul_ps(x, y); }
LMI_OP LMI(vf) LMI(div)(LMI(vf) x, LMI(vf) y) { return _mm512_div_ps(x, y); }
LMI_OP LMI(vf) LMI(sqrt)(LMI(vf) x) { return _mm512_sqrt_ps(x); }
LMI_OP LMI(vf) LMI(fma)(LMI(vf) x, LMI(vf) y, LMI(vf) z) { return _mm512_fmadd_ps(x, y, z); }
LMI_OP LMI(vf) LMI(max)(LMI(vf) x, LMI(vf) y) { return _mm512_max_ps(x, y); } /* y when either is NaN */
LMI_OP LMI(vf) LMI(min)(LMI(vf) x, LMI(vf) y) { return _mm512_min_ps(x, y); }
LMI_OP LMI(vf) LMI(swap)(LMI(vf) x) { return _mm512_permute_ps(x, 0xb1); }
LMI_OP LMI(vf) LMI(times_exp2)(LMI(vf) p, LMI(vf) t) { return _mm512_scalef_ps(p, _mm512_sub_ps(t, _mm512_set1_ps(12582912.0f))); }
LMI_OP LMI(vi) LMI(set1_i)(int32_t x) { return _mm512_set1_epi32(x); }
LMI_OP LMI(vi) LMI(load_i)(const int32_t *p) { return LMI(at)(p); }
LMI_OP void    LMI(store_i)(int32_t *p, LMI(vi) x) { _mm512_storeu_si512(p, x); }
LMI_OP LMI(vi) LMI(add_i)(LMI(vi) x, LMI(vi) y) { return _mm512_add_epi32(x, y); }
LMI_OP LMI(vi) LMI(sub_i)(LMI(vi) x, LMI(vi) y) { return _mm512_sub_epi32(x, y); }
LMI_OP LMI(vi) LMI(or_i)(LMI(vi) x, LMI(vi) y) { return _mm512_or_si512(x, y); }
LMI_OP LMI(vi) LMI(field)(LMI(vi) x, int shift, int mask) { return _mm512_and_si512(_mm512_srl_epi32(x, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(mask)); }
LMI_OP LMI(vi) LMI(shl_i)(LMI(vi) x, int k) { return _mm512_sll_epi32(x, _mm_cvtsi32_si128(k)); }
LMI_OP LMI(vi) LMI(unit_i)(const uint8_t *p) { return LMI(at)(p); }
LMI_OP LMI(vi) LMI(unit2_i)(const uint8_t *p) { return _mm512_cvtepu16_epi32(LMI(at32)(p)); }
LMI_OP LMI(vf) LMI(float_i)(LMI(vi) x) { return _mm512_cvtepi32_ps(x); }
LMI_OP LMI(b64) LMI(bytes)(const void *p) { return LMI(at)(p); }
LMI_OP void     LMI(store_b)(void *p, LMI(b64) x) { _mm512_storeu_si512(p, x); }
LMI_OP LMI(b64) LMI(bits)(LMI(b64) x, int shift, int mask) { return _mm512_and_si512(_mm512_srl_epi16(x, _mm_cvtsi32_si128(shift)), _mm512_set1_epi8((char)mask)); }
LMI_OP LMI(b64) LMI(or)(LMI(b64) x, LMI(b64) y) { return _mm512_or_si512(x, y); }
LMI_OP LMI(b64) LMI(shl)(LMI(b64) x, int k) { return _mm512_sll_epi16(x, _mm_cvtsi32_si128(k)); }
LMI_OP LMI(b64) LMI(times)(LMI(b64) x, LMI(vi) k) { return _mm512_mullo_epi32(x, k); }
LMI_OP LMI(b64) LMI(pick)(LMI(b64) x, const int8_t table[16]) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), x);
}
LMI_OP LMI(b64) LMI(bit5)(const uint8_t *p, int g) { /* bits 4g..4g+3 of each u32 to bit 4 of its bytes: four shifted copies, one bit of each kept */
    __m512i n = LMI(field)(LMI(at)(p), 4 * g, 15);
    return _mm512_slli_epi32(_mm512_and_si512(_mm512_mullo_epi32(n, _mm512_set1_epi32(0x00204081)), _mm512_set1_epi32(0x01010101)), 4);
}
typedef __m512i LMI(ps);
typedef __m512i LMI(xb);
LMI_OP LMI(xb) LMI(four)(const int8_t *a) { int32_t x; memcpy(&x, a, 4); return _mm512_set1_epi32(x); } /* a load that broadcasts */
LMI_OP LMI(b64) LMI(lift)(LMI(b64) w) { return _mm512_xor_si512(w, _mm512_set1_epi8((char)0x80)); } /* w + 128: LMI_S8 */
LMI_OP LMI(ps) LMI(dot4)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { return _mm512_dpbusd_epi32(p, top == 255 ? LMI(lift)(u) : u, x); }
#define LMI_STARTS 1
LMI_OP LMI(ps) LMI(start)(const int16_t sum[2], int k0, int k1) {
    int32_t both, k = (int32_t)((uint32_t)k1 << 16 | ((uint32_t)k0 & 0xffff));
    memcpy(&both, sum, 4);
    return _mm512_madd_epi16(_mm512_set1_epi32(both), _mm512_set1_epi32(k)); /* loads that broadcast */
}
LMI_OP LMI(ps) LMI(dot)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { (void)top; return _mm512_dpbusd_epi32(p, u, x); }
LMI_OP void LMI(deal)(lmi_panel *w, int top) {
    int i;
    LMI_UNROLL for (i = 0; i < 512 && top == 255; i += 64) LMI(store_b)(w->u + i, LMI(lift)(LMI(bytes)(w->u + i)));
}
LMI_OP LMI(ps) LMI(no_sum)(void) { return _mm512_setzero_si512(); }
LMI_OP LMI(vi) LMI(flush)(LMI(ps) p, int top) { (void)top; return p; }
LMI_OP uint32_t LMI(amax_bits)(const float *x) {
    __m512i mask = _mm512_set1_epi32(0x7fffffff);
    return (uint32_t)_mm512_reduce_max_epi32(_mm512_max_epi32(_mm512_and_si512(LMI(at)(x), mask), _mm512_and_si512(LMI(at)(x + 16), mask)));
}
LMI_OP void LMI(round16)(const float *x, float k, int8_t *q) {
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(k)))));
}

#elif LMI_PASS == LMI_NEON || LMI_PASS == LMI_NEONDOT || LMI_PASS == LMI_NEONI8MM /* the same text but for integer products */
#if LMI_PASS == LMI_NEON
#define LMI(f) lmi_##f##_neon
#define LMI_ISA "neon"
#define LMI_TARGET
#elif LMI_PASS == LMI_NEONDOT
#define LMI(f) lmi_##f##_neondot
#define LMI_ISA "neondot"
#define LMI_TARGET LMI_ARM_WITH("dotprod", "+dotprod")
#else
#define LMI(f) lmi_##f##_neoni8mm
#define LMI_ISA "neoni8mm"
#define LMI_TARGET LMI_ARM_WITH("dotprod,i8mm", "+dotprod+i8mm")
#endif
#define LMI_STEPS LMI_FULLY
#define LMI_NR 1
#define LMI_NT(flags) 2
#define LMI_NF 6
#define LMI_TM 6
#define LMI_TV 1
#define LMI_NV(n) ((n) == 1 ? 4 : (n) < 4 ? 2 : 1)
#define LMI_S8 0
#define LMI_UNROLL LMI_FULLY
#if defined(__GNUC__) || defined(__clang__)
#define LMI_FN static LMI_UNUSED LMI_TARGET
#define LMI_OP static inline LMI_UNUSED LMI_INLINE LMI_TARGET
#else
#define LMI_FN static
#define LMI_OP static __forceinline
#endif

typedef struct LMI(vf) { float32x4_t v[4]; } LMI(vf);
typedef struct LMI(vi) { int32x4_t v[4]; } LMI(vi);
typedef struct LMI(b64) { uint8x16_t v[4]; } LMI(b64);
LMI_OP uint8x16_t LMI(at)(const void *p, int i) { return vld1q_u8((const uint8_t *)p + 16 * i); } /* vector i at p, of any alignment */
LMI_OP LMI(vf) LMI(set1)(float x) { LMI_FOUR(vf, vdupq_n_f32(x)); }
LMI_OP LMI(vf) LMI(load)(const float *p) { LMI_FOUR(vf, vld1q_f32(p + 4 * i)); }
LMI_OP uint16x4_t LMI(half)(const void *p, int i) { return vreinterpret_u16_u8(vld1_u8((const uint8_t *)p + 8 * i)); }
LMI_OP LMI(vf) LMI(load_h)(const void *p) {
#if defined(__GNUC__) && !defined(__clang__) /* once a step: GCC's time (combine) and spills grow with the square of a block of 256 weights in one piece */
    __asm__ goto("" : : : : cut); cut:;
#endif
    LMI_FOUR(vf, vcvt_f32_f16(vreinterpret_f16_u16(LMI(half)(p, i))));
}
LMI_OP LMI(vf) LMI(load_b)(const void *p) { LMI_FOUR(vf, vreinterpretq_f32_u32(vshll_n_u16(LMI(half)(p, i), 16))); }
LMI_OP LMI(vf) LMI(load_f)(const void *p) { LMI_FOUR(vf, vreinterpretq_f32_u8(LMI(at)(p, i))); }
LMI_OP LMI(vf) LMI(load_c)(const uint16_t *p) { return LMI(load_h)(p); }
LMI_OP float32x4_t LMI(float_8)(int16x8_t x, int i) { return vcvtq_f32_s32(vmovl_s16(i % 2 ? vget_high_s16(x) : vget_low_s16(x))); }
LMI_OP LMI(vf) LMI(load_8)(const int8_t *p) { LMI_FOUR(vf, LMI(float_8)(vmovl_s8(vld1_s8(p + i / 2 * 8)), i)); }
LMI_OP void    LMI(store)(float *p, LMI(vf) a) { vst1q_f32(p, a.v[0]); vst1q_f32(p + 4, a.v[1]); vst1q_f32(p + 8, a.v[2]); vst1q_f32(p + 12, a.v[3]); }
LMI_OP LMI(vf) LMI(add)(LMI(vf) a, LMI(vf) b) { LMI_FOUR(vf, vaddq_f32(a.v[i], b.v[i])); }
LMI_OP LMI(vf) LMI(sub)(LMI(vf) a, LMI(vf) b) { LMI_FOUR(vf, vsubq_f32(a.v[i], b.v[i])); }
LMI_OP LMI(vf) LMI(mul)(LMI(vf) a, LMI(vf) b) { LMI_FOUR(vf, vmulq_f32(a.v[i], b.v[i])); }
LMI_OP LMI(vf) LMI(div)(LMI(vf) a, LMI(vf) b) { LMI_FOUR(vf, vdivq_f32(a.v[i], b.v[i])); }
LMI_OP LMI(vf) LMI(sqrt)(LMI(vf) a) { LMI_FOUR(vf, vsqrtq_f32(a.v[i])); }
LMI_OP LMI(vf) LMI(fma)(LMI(vf) a, LMI(vf) b, LMI(vf) c) { LMI_FOUR(vf, vfmaq_f32(c.v[i], a.v[i], b.v[i])); }
LMI_OP LMI(vf) LMI(max)(LMI(vf) a, LMI(vf) b) { LMI_FOUR(vf, vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i])); } /* fmax would give the NaN */
LMI_OP LMI(vf) LMI(min)(LMI(vf) a, LMI(vf) b) { LMI_FOUR(vf, vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i])); }
LMI_OP LMI(vf) LMI(swap)(LMI(vf) a) { LMI_FOUR(vf, vrev64q_f32(a.v[i])); }
LMI_OP float32x4_t LMI(exp2_4)(int32x4_t n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23)); }
LMI_OP float32x4_t LMI(times_exp2_4)(float32x4_t p, float32x4_t t) {
    int32x4_t n = vsubq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(0x4b400000)), low = vshrq_n_s32(n, 1);
    return vmulq_f32(vmulq_f32(p, LMI(exp2_4)(low)), LMI(exp2_4)(vsubq_s32(n, low)));
}
LMI_OP LMI(vf) LMI(times_exp2)(LMI(vf) p, LMI(vf) t) { LMI_FOUR(vf, LMI(times_exp2_4)(p.v[i], t.v[i])); }
LMI_OP LMI(vi) LMI(set1_i)(int32_t x) { LMI_FOUR(vi, vdupq_n_s32(x)); }
LMI_OP LMI(vi) LMI(load_i)(const int32_t *p) { LMI_FOUR(vi, vld1q_s32(p + 4 * i)); }
LMI_OP void    LMI(store_i)(int32_t *p, LMI(vi) a) { vst1q_s32(p, a.v[0]); vst1q_s32(p + 4, a.v[1]); vst1q_s32(p + 8, a.v[2]); vst1q_s32(p + 12, a.v[3]); }
LMI_OP LMI(vi) LMI(add_i)(LMI(vi) a, LMI(vi) b) { LMI_FOUR(vi, vaddq_s32(a.v[i], b.v[i])); }
LMI_OP LMI(vi) LMI(sub_i)(LMI(vi) a, LMI(vi) b) { LMI_FOUR(vi, vsubq_s32(a.v[i], b.v[i])); }
LMI_OP LMI(vi) LMI(or_i)(LMI(vi) a, LMI(vi) b) { LMI_FOUR(vi, vorrq_s32(a.v[i], b.v[i])); }
LMI_OP LMI(vi) LMI(field)(LMI(vi) a, int shift, int mask) {
    int32x4_t k = vdupq_n_s32(-shift), m = vdupq_n_s32(mask);
    LMI_FOUR(vi, vandq_s32(vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a.v[i]), k)), m));
}
LMI_OP LMI(vi) LMI(shl_i)(LMI(vi) a, int k) { LMI_FOUR(vi, vshlq_s32(a.v[i], vdupq_n_s32(k))); }
LMI_OP LMI(vi) LMI(unit_i)(const uint8_t *p) { LMI_FOUR(vi, vreinterpretq_s32_u8(LMI(at)(p, i))); }
LMI_OP LMI(vi) LMI(unit2_i)(const uint8_t *p) { LMI_FOUR(vi, vreinterpretq_s32_u32(vmovl_u16(LMI(half)(p, i)))); }
LMI_OP LMI(vf) LMI(float_i)(LMI(vi) a) { LMI_FOUR(vf, vcvtq_f32_s32(a.v[i])); }
LMI_OP LMI(b64) LMI(bytes)(const void *p) { LMI_FOUR(b64, LMI(at)(p, i)); }
LMI_OP void     LMI(store_b)(void *p, LMI(b64) a) { int i; LMI_UNROLL for (i = 0; i < 4; i++) vst1q_u8((uint8_t *)p + 16 * i, a.v[i]); }
LMI_OP LMI(b64) LMI(bits)(LMI(b64) a, int shift, int mask) {
    int8x16_t k = vdupq_n_s8((int8_t)-shift); uint8x16_t m = vdupq_n_u8((uint8_t)mask);
    LMI_FOUR(b64, vandq_u8(vshlq_u8(a.v[i], k), m));
}
LMI_OP LMI(b64) LMI(or)(LMI(b64) a, LMI(b64) b) { LMI_FOUR(b64, vorrq_u8(a.v[i], b.v[i])); }
LMI_OP LMI(b64) LMI(shl)(LMI(b64) a, int k) { LMI_FOUR(b64, vshlq_u8(a.v[i], vdupq_n_s8((int8_t)k))); }
LMI_OP LMI(b64) LMI(times)(LMI(b64) a, LMI(vi) k) { LMI_FOUR(b64, vreinterpretq_u8_s32(vmulq_s32(vreinterpretq_s32_u8(a.v[i]), k.v[i]))); }
LMI_OP LMI(b64) LMI(pick)(LMI(b64) a, const int8_t table[16]) { uint8x16_t t = LMI(at)(table, 0); LMI_FOUR(b64, vqtbl1q_u8(t, a.v[i])); }
LMI_OP LMI(b64) LMI(bit5)(const uint8_t *p, int g) { /* byte g / 2 of each u32 to all of its bytes, where a mask tests one bit each */
    static const uint8_t first[16] = { 0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12 };
    uint8x16_t from = vaddq_u8(LMI(at)(first, 0), vdupq_n_u8((uint8_t)(g / 2))), bit = vreinterpretq_u8_u32(vdupq_n_u32(g % 2 ? 0x80402010u : 0x08040201u));
    LMI_FOUR(b64, vandq_u8(vtstq_u8(vqtbl1q_u8(LMI(at)(p, i), from), bit), vdupq_n_u8(16)));
}
typedef int8x16_t LMI(xb);
LMI_OP LMI(xb) LMI(four)(const int8_t *a) { int32_t x; memcpy(&x, a, 4); return vreinterpretq_s8_s32(vdupq_n_s32(x)); }
#if LMI_PASS != LMI_NEON
#define LMI_RUN(top) 8
typedef LMI(vi) LMI(ps);
#if defined(__clang__) && __clang_major__ < 16 /* its arm_neon.h hides the intrinsics */
#define LMI_BYTES4(op, intrinsic) { __asm__(op " %0.4s, %1.16b, %2.16b" : "+w"(p) : "w"(u), "w"(x)); return p; }
#else
#define LMI_BYTES4(op, intrinsic) { return intrinsic(p, u, x); }
#endif
LMI_OP int32x4_t LMI(sdot)(int32x4_t p, int8x16_t u, int8x16_t x) LMI_BYTES4("sdot", vdotq_s32) /* signed by signed: u <= 63 is both */
LMI_OP LMI(ps) LMI(dot4)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { (void)top; LMI_FOUR(ps, LMI(sdot)(p.v[i], vreinterpretq_s8_u8(u.v[i]), x)); }
LMI_OP LMI(ps) LMI(no_sum)(void) { LMI_FOUR(ps, vdupq_n_s32(0)); }
LMI_OP LMI(vi) LMI(flush)(LMI(ps) p, int top) { (void)top; return p; }
#else
/* Products and their sums in 16 bits, which must not overflow: of u <= 31, 8 of them sum to at most 8 * 31 * 127 = 31496; u <= 63: 4, 32004; signed
 * bytes: 2, 2 * 128 * 127 = 32512. lo: four products of row 0, four of row 1; hi: of rows 2, 3. */
#define LMI_RUN(top) ((top) <= 31 ? 8 : (top) <= 63 ? 4 : 2)
typedef struct LMI(ps) { int16x8_t lo[4], hi[4]; } LMI(ps);
#define LMI_DOT4(i) { int8x16_t w = vreinterpretq_s8_u8(u.v[i]); p.lo[i] = vmlal_s8(p.lo[i], vget_low_s8(w), vget_low_s8(x)); p.hi[i] = vmlal_high_s8(p.hi[i], w, x); }
LMI_OP LMI(ps) LMI(dot4)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { (void)top; LMI_DOT4(0) LMI_DOT4(1) LMI_DOT4(2) LMI_DOT4(3) return p; }
#undef LMI_DOT4
LMI_OP LMI(ps) LMI(no_sum)(void) { LMI(ps) p; int16x8_t zero = vdupq_n_s16(0); p.lo[0] = p.lo[1] = p.lo[2] = p.lo[3] = p.hi[0] = p.hi[1] = p.hi[2] = p.hi[3] = zero; return p; }
LMI_OP LMI(vi) LMI(flush)(LMI(ps) p, int top) { (void)top; LMI_FOUR(vi, vpaddq_s32(vpaddlq_s16(p.lo[i]), vpaddlq_s16(p.hi[i]))); }
#endif
#if LMI_PASS == LMI_NEONI8MM          /* smmla: 8 weights of two rows by 8 activations of two tokens; four sums, row 0 for both tokens, then row 1 */
#define LMI_NX 2
LMI_OP int32x4_t LMI(smmla)(int32x4_t p, int8x16_t u, int8x16_t x) LMI_BYTES4("smmla", vmmlaq_s32)
LMI_OP LMI(ps) LMI(dot)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { (void)top; LMI_FOUR(ps, LMI(smmla)(p.v[i], vreinterpretq_s8_u8(u.v[i]), x)); }
LMI_OP LMI(xb) LMI(share)(const int8_t *a, const int8_t *b, int g) { return vcombine_s8(vld1_s8(a + g / 2 * 8), vld1_s8(b + g / 2 * 8)); }
LMI_OP void LMI(deal)(lmi_panel *w, int top) {
    uint8_t *u = w->u; int g, i; (void)top;
    for (g = 0; g < 8; g += 2) {
        LMI(vi) a = LMI(unit_i)(u), b = LMI(unit_i)(u + 64);
        for (i = 0; i < 4; i++, u += 32) { vst1q_u8(u, vreinterpretq_u8_s32(vzip1q_s32(a.v[i], b.v[i]))); vst1q_u8(u + 16, vreinterpretq_u8_s32(vzip2q_s32(a.v[i], b.v[i]))); }
    }
}
LMI_OP int32x4_t LMI(every2)(const int32x4_t *p, int odd) { return odd ? vuzp2q_s32(p[0], p[1]) : vuzp1q_s32(p[0], p[1]); }
LMI_OP LMI(ps) LMI(of_token)(const LMI(ps) *p, int t) { LMI_FOUR(ps, LMI(every2)(p[i / 2].v + i % 2 * 2, t)); }
LMI_OP void LMI(sort)(LMI(ps) *p) { LMI(ps) a = LMI(of_token)(p, 0), b = LMI(of_token)(p, 1); p[0] = a; p[1] = b; }
#endif
LMI_OP uint32_t LMI(amax_bits)(const float *x) {
    uint32x4_t m = vdupq_n_u32(0); int i;
    for (i = 0; i < 8; i++) m = vmaxq_u32(m, vandq_u32(vreinterpretq_u32_u8(LMI(at)(x, i)), vdupq_n_u32(0x7fffffff)));
    return vmaxvq_u32(m);
}
LMI_OP int16x4_t LMI(round4)(const float *x, float k) { return vmovn_s32(vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x), vdupq_n_f32(k)))); }
LMI_OP void LMI(round16)(const float *x, float k, int8_t *q) {
    vst1_s8(q, vmovn_s16(vcombine_s16(LMI(round4)(x, k), LMI(round4)(x + 4, k))));
    vst1_s8(q + 8, vmovn_s16(vcombine_s16(LMI(round4)(x + 8, k), LMI(round4)(x + 12, k))));
}

#elif LMI_PASS == LMI_WASM /* SIMD128 without its relaxed instructions */
#define LMI(f) lmi_##f##_wasm
#define LMI_ISA "wasm"
#define LMI_UNROLL LMI_FULLY
#define LMI_STEPS                     /* a step is long enough here */
#define LMI_NR 1
#define LMI_NT(flags) 1
#define LMI_NF 1
#define LMI_TM 2
#define LMI_TV 1
#define LMI_NV(n) 1
#define LMI_S8 0
#define LMI_RUN(top) 8
#define LMI_FN static LMI_UNUSED
#define LMI_OP static inline LMI_UNUSED LMI_INLINE

typedef struct LMI(vf) { v128_t v[4]; } LMI(vf);
typedef struct LMI(vi) { v128_t v[4]; } LMI(vi);
typedef struct LMI(b64) { v128_t v[4]; } LMI(b64);
LMI_OP v128_t  LMI(at)(const void *p, int i) { return wasm_v128_load((const char *)p + 16 * i); }
LMI_OP v128_t  LMI(wide)(const void *p, int i) { return wasm_u32x4_load16x4((const char *)p + 8 * i); } /* i-th four of 16 uint16 */
LMI_OP void    LMI(put4)(void *p, const v128_t v[4]) { int i; LMI_UNROLL for (i = 0; i < 4; i++) wasm_v128_store((char *)p + 16 * i, v[i]); }
LMI_OP LMI(vf) LMI(set1)(float x) { LMI_FOUR(vf, wasm_f32x4_splat(x)); }
LMI_OP LMI(vf) LMI(load)(const float *p) { LMI_FOUR(vf, LMI(at)(p, i)); }
LMI_OP v128_t  LMI(half4)(v128_t h) { /* lmi_f16 of low halves */
    v128_t f = wasm_f32x4_mul(wasm_i32x4_shl(wasm_v128_and(h, wasm_i32x4_splat(0x7fff)), 13), wasm_i32x4_splat(0x77800000));
    v128_t odd = wasm_v128_and(wasm_f32x4_ge(f, wasm_f32x4_splat(65536.0f)), wasm_i32x4_splat(0x7f800000)); /* was infinity or NaN */
    return wasm_v128_or(wasm_v128_or(f, odd), wasm_i32x4_shl(wasm_v128_and(h, wasm_i32x4_splat(0x8000)), 16));
}
LMI_OP LMI(vf) LMI(load_h)(const void *p) { LMI_FOUR(vf, LMI(half4)(LMI(wide)(p, i))); }
LMI_OP LMI(vf) LMI(load_b)(const void *p) { LMI_FOUR(vf, wasm_i32x4_shl(LMI(wide)(p, i), 16)); }
LMI_OP LMI(vf) LMI(load_f)(const void *p) { LMI_FOUR(vf, LMI(at)(p, i)); }
LMI_OP LMI(vf) LMI(load_c)(const uint16_t *p) { return LMI(load_h)(p); }
LMI_OP v128_t  LMI(float_8)(const int8_t *p) { return wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(p)))); }
LMI_OP LMI(vf) LMI(load_8)(const int8_t *p) { LMI_FOUR(vf, LMI(float_8)(p + 4 * i)); }
LMI_OP void    LMI(store)(float *p, LMI(vf) x) { LMI(put4)(p, x.v); }
LMI_OP LMI(vf) LMI(add)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, wasm_f32x4_add(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(sub)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, wasm_f32x4_sub(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(mul)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, wasm_f32x4_mul(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(div)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, wasm_f32x4_div(x.v[i], y.v[i])); }
LMI_OP LMI(vf) LMI(sqrt)(LMI(vf) x) { LMI_FOUR(vf, wasm_f32x4_sqrt(x.v[i])); }
/* As in the SSE2 text: x * y + z rounded to odd; the plain sum in double where one more rounding is right, else that. */
LMI_OP v128_t LMI(fma2)(v128_t x, v128_t y, v128_t z) {
    v128_t p = wasm_f64x2_mul(x, y), s = wasm_f64x2_add(p, z), back = wasm_f64x2_sub(s, p), e = wasm_f64x2_add(wasm_f64x2_sub(p, wasm_f64x2_sub(s, back)), wasm_f64x2_sub(z, back));
    v128_t inexact = wasm_f64x2_gt(wasm_f64x2_abs(e), wasm_f64x2_splat(0.0)), over = wasm_i64x2_shr(wasm_v128_xor(s, e), 63); /* not for NaN; -1: |s| was rounded up */
    return wasm_v128_or(wasm_i64x2_add(s, wasm_v128_and(inexact, over)), wasm_u64x2_shr(inexact, 63));
}
LMI_OP v128_t LMI(pd)(v128_t x, int high) { return wasm_f64x2_promote_low_f32x4(high ? wasm_i64x2_shuffle(x, x, 1, 1) : x); }
LMI_FN void LMI(fma_to)(const LMI(vf) *x, const LMI(vf) *y, LMI(vf) *z) {
    v128_t doubt = wasm_i32x4_splat(0), low, high, a[8], b[8], c[8], s[8]; int i;
    LMI_UNROLL for (i = 0; i < 8; i++) {
        a[i] = LMI(pd)(x->v[i / 2], i % 2); b[i] = LMI(pd)(y->v[i / 2], i % 2); c[i] = LMI(pd)(z->v[i / 2], i % 2);
        s[i] = wasm_f64x2_add(wasm_f64x2_mul(a[i], b[i]), c[i]);
    }
    LMI_UNROLL for (i = 0; i < 8; i += 2) {
        low = wasm_i32x4_shuffle(s[i], s[i + 1], 0, 2, 4, 6); high = wasm_i32x4_shuffle(s[i], s[i + 1], 1, 3, 5, 7);
        doubt = wasm_v128_or(doubt, wasm_i32x4_eq(wasm_i32x4_shl(low, 3), wasm_i32x4_splat((int32_t)0x80000000u)));       /* halfway */
        high = wasm_i32x4_sub(wasm_i32x4_shl(high, 1), wasm_i32x4_splat(1));                                              /* so that 0 is not small */
        doubt = wasm_v128_or(doubt, wasm_u32x4_lt(high, wasm_i32x4_splat(0x701fffff)));                                   /* below 2^-126 */
    }
    if (wasm_v128_any_true(doubt)) { LMI_UNROLL for (i = 0; i < 8; i++) s[i] = LMI(fma2)(a[i], b[i], c[i]); }
    LMI_UNROLL for (i = 0; i < 4; i++) z->v[i] = wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero(s[2 * i]), wasm_f32x4_demote_f64x2_zero(s[2 * i + 1]), 0, 2);
}
LMI_OP LMI(vf) LMI(fma)(LMI(vf) x, LMI(vf) y, LMI(vf) z) { LMI(fma_to)(&x, &y, &z); return z; }
LMI_OP LMI(vf) LMI(max)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, wasm_f32x4_pmax(y.v[i], x.v[i])); } /* y < x ? x : y */
LMI_OP LMI(vf) LMI(min)(LMI(vf) x, LMI(vf) y) { LMI_FOUR(vf, wasm_f32x4_pmin(y.v[i], x.v[i])); }
LMI_OP LMI(vf) LMI(swap)(LMI(vf) x) { LMI_FOUR(vf, wasm_i32x4_shuffle(x.v[i], x.v[i], 1, 0, 3, 2)); }
LMI_OP v128_t  LMI(exp2_4)(v128_t n) { return wasm_i32x4_shl(wasm_i32x4_add(n, wasm_i32x4_splat(127)), 23); }
LMI_OP v128_t  LMI(times_exp2_4)(v128_t p, v128_t t) {
    v128_t n = wasm_i32x4_sub(t, wasm_i32x4_splat(0x4b400000)), low = wasm_i32x4_shr(n, 1);
    return wasm_f32x4_mul(wasm_f32x4_mul(p, LMI(exp2_4)(low)), LMI(exp2_4)(wasm_i32x4_sub(n, low)));
}
LMI_OP LMI(vf) LMI(times_exp2)(LMI(vf) p, LMI(vf) t) { LMI_FOUR(vf, LMI(times_exp2_4)(p.v[i], t.v[i])); }
LMI_OP LMI(vi) LMI(set1_i)(int32_t x) { LMI_FOUR(vi, wasm_i32x4_splat(x)); }
LMI_OP LMI(vi) LMI(load_i)(const int32_t *p) { LMI_FOUR(vi, LMI(at)(p, i)); }
LMI_OP void    LMI(store_i)(int32_t *p, LMI(vi) x) { LMI(put4)(p, x.v); }
LMI_OP LMI(vi) LMI(add_i)(LMI(vi) x, LMI(vi) y) { LMI_FOUR(vi, wasm_i32x4_add(x.v[i], y.v[i])); }
LMI_OP LMI(vi) LMI(sub_i)(LMI(vi) x, LMI(vi) y) { LMI_FOUR(vi, wasm_i32x4_sub(x.v[i], y.v[i])); }
LMI_OP LMI(vi) LMI(or_i)(LMI(vi) x, LMI(vi) y) { LMI_FOUR(vi, wasm_v128_or(x.v[i], y.v[i])); }
LMI_OP LMI(vi) LMI(field)(LMI(vi) x, int shift, int mask) { LMI_FOUR(vi, wasm_v128_and(wasm_u32x4_shr(x.v[i], (uint32_t)shift), wasm_i32x4_splat(mask))); }
LMI_OP LMI(vi) LMI(shl_i)(LMI(vi) x, int k) { LMI_FOUR(vi, wasm_i32x4_shl(x.v[i], (uint32_t)k)); }
LMI_OP LMI(vi) LMI(unit_i)(const uint8_t *p) { LMI_FOUR(vi, LMI(at)(p, i)); }
LMI_OP LMI(vi) LMI(unit2_i)(const uint8_t *p) { LMI_FOUR(vi, LMI(wide)(p, i)); }
LMI_OP LMI(vf) LMI(float_i)(LMI(vi) x) { LMI_FOUR(vf, wasm_f32x4_convert_i32x4(x.v[i])); }
LMI_OP LMI(b64) LMI(bytes)(const void *p) { LMI_FOUR(b64, LMI(at)(p, i)); }
LMI_OP void     LMI(store_b)(void *p, LMI(b64) x) { LMI(put4)(p, x.v); }
LMI_OP LMI(b64) LMI(bits)(LMI(b64) x, int shift, int mask) { LMI_FOUR(b64, wasm_v128_and(wasm_u16x8_shr(x.v[i], (uint32_t)shift), wasm_i8x16_splat((int8_t)mask))); }
LMI_OP LMI(b64) LMI(or)(LMI(b64) x, LMI(b64) y) { LMI_FOUR(b64, wasm_v128_or(x.v[i], y.v[i])); }
LMI_OP LMI(b64) LMI(shl)(LMI(b64) x, int k) { LMI_FOUR(b64, wasm_i16x8_shl(x.v[i], (uint32_t)k)); }
LMI_OP LMI(b64) LMI(times)(LMI(b64) x, LMI(vi) k) { LMI_FOUR(b64, wasm_i32x4_mul(x.v[i], k.v[i])); }
LMI_OP LMI(b64) LMI(pick)(LMI(b64) x, const int8_t table[16]) { v128_t t = LMI(at)(table, 0); LMI_FOUR(b64, wasm_i8x16_swizzle(t, x.v[i])); }
LMI_OP LMI(b64) LMI(bit5)(const uint8_t *p, int g) { /* byte g / 2 of each u32 to all of its bytes, where a mask tests one bit each */
    v128_t from = wasm_i8x16_add(wasm_i32x4_const(0, 0x04040404, 0x08080808, 0x0c0c0c0c), wasm_i8x16_splat((int8_t)(g / 2)));
    v128_t bit = wasm_i32x4_splat(g % 2 ? (int32_t)0x80402010u : 0x08040201), out = wasm_i8x16_splat(16);
    LMI_FOUR(b64, wasm_v128_and(wasm_i8x16_eq(wasm_v128_and(wasm_i8x16_swizzle(LMI(at)(p, i), from), bit), bit), out));
}
/* Weights 0 and 2 of each row, then 1 and 3, in 16 bits: a pair of products and their sum is one instruction. */
LMI_OP v128_t  LMI(even)(v128_t x, int top) { return top == 255 ? wasm_i16x8_shr(wasm_i16x8_shl(x, 8), 8) : wasm_v128_and(x, wasm_i16x8_splat(255)); }
LMI_OP v128_t  LMI(odd)(v128_t x, int top) { return top == 255 ? wasm_i16x8_shr(x, 8) : wasm_u16x8_shr(x, 8); }
typedef LMI(vi) LMI(ps);
typedef struct LMI(xb) { v128_t even, odd; } LMI(xb);
LMI_OP LMI(xb) LMI(four)(const int8_t *a) { v128_t x = wasm_v128_load32_splat(a); LMI(xb) r; r.even = LMI(even)(x, 255); r.odd = LMI(odd)(x, 255); return r; }
LMI_OP v128_t  LMI(dot4x4)(v128_t u, LMI(xb) x, int top) { return wasm_i32x4_add(wasm_i32x4_dot_i16x8(LMI(even)(u, top), x.even), wasm_i32x4_dot_i16x8(LMI(odd)(u, top), x.odd)); }
LMI_OP LMI(ps) LMI(dot4)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { LMI_FOUR(ps, wasm_i32x4_add(p.v[i], LMI(dot4x4)(u.v[i], x, top))); }
LMI_OP LMI(ps) LMI(no_sum)(void) { LMI_FOUR(ps, wasm_i32x4_splat(0)); }
LMI_OP LMI(vi) LMI(flush)(LMI(ps) p, int top) { (void)top; return p; }
LMI_OP uint32_t LMI(amax_bits)(const float *x) {
    v128_t mask = wasm_i32x4_splat(0x7fffffff), m = wasm_i32x4_splat(0); int i;
    for (i = 0; i < 8; i++) m = wasm_u32x4_max(m, wasm_v128_and(LMI(at)(x, i), mask));
    m = wasm_u32x4_max(m, wasm_i32x4_shuffle(m, m, 2, 3, 0, 1)); m = wasm_u32x4_max(m, wasm_i32x4_shuffle(m, m, 1, 0, 3, 2));
    return (uint32_t)wasm_i32x4_extract_lane(m, 0);
}
LMI_OP v128_t LMI(round4)(const float *x, v128_t k) { return wasm_i32x4_sub(wasm_f32x4_add(wasm_f32x4_mul(LMI(at)(x, 0), k), wasm_f32x4_splat(12582912.0f)), wasm_i32x4_splat(0x4b400000)); }
LMI_OP void LMI(round16)(const float *x, float k, int8_t *q) {
    v128_t kk = wasm_f32x4_splat(k), lo = wasm_i16x8_narrow_i32x4(LMI(round4)(x, kk), LMI(round4)(x + 4, kk)), hi = wasm_i16x8_narrow_i32x4(LMI(round4)(x + 8, kk), LMI(round4)(x + 12, kk));
    wasm_v128_store(q, wasm_i8x16_narrow_i16x8(lo, hi));
}
#endif

/* The matrix kernel multiplies for LMI_NX tokens at once: 1, or 2 (then LMI_NR is 1). deal() orders a step's weights for it, from 4 of each row after 4
 * of each row to 4 LMI_NX of each: a word of 64 bytes has 16 / LMI_NX rows; it raises signed bytes by LMI_S8 or, where LMI_LACKS(top), finds what the sums
 * will lack. share() readies activations of LMI_NX tokens for word g, dot() adds the products to those tokens' sum number g % LMI_NX, and sort() makes of
 * their LMI_NX sums one for each token. With LMI_STARTS a token's sums need not begin at 0, but can at k0 sum[0] + k1 sum[1], which saves
 * subtractions later; |k| <= 128. For one token: four() and dot4(). */
#ifndef LMI_NX
#define LMI_NX 1
LMI_OP LMI(xb) LMI(share)(const int8_t *a, const int8_t *b, int g) { (void)b; return LMI(four)(a + 4 * g); }
#if !defined(LMI_LACKS) && !defined(LMI_STARTS)
LMI_OP void    LMI(deal)(lmi_panel *w, int top) { (void)w; (void)top; }
LMI_OP LMI(ps) LMI(dot)(LMI(ps) p, LMI(b64) u, LMI(xb) x, int top) { return LMI(dot4)(p, u, x, top); }
#endif
LMI_OP void    LMI(sort)(LMI(ps) *p) { (void)p; }
#endif
#ifndef LMI_LACKS
#define LMI_LACKS(top) 0
#endif
#ifndef LMI_STARTS
#define LMI_STARTS 0
LMI_OP LMI(ps) LMI(start)(const int16_t sum[2], int k0, int k1) { (void)sum; (void)k0; (void)k1; return LMI(no_sum)(); }
#endif

/* ============================================================================================== >>kernels
 * One text for every instruction set, in words of section isa. Each output is computed whole, in an order that depends on the shapes
 * alone, so any split over threads and batches, and any vocabulary, gives the same bits.
 *
 * Quantized products: activations become int8 per 32 (lmi_act). Inside a step everything is an integer below 2^24, so exact; across steps, in
 * order, acc = acc + (float)I * (d_w * d_a), and for types with minima acc = acc + m_w * (d_a * S), S the sum of the step's activations: two roundings
 * each, no fused step. d_w = d * sc where a step has one sc, else I = sc[0] * I0 + sc[1] * I1 and d_w = d; m_w = m * mn, and where a step has two, one
 * such line for each half. d * sc and m * mn are exact, having at most 19 bits. So beside eight products of bytes stand two float products, or three
 * with a minimum: multipliers are what there is least of.
 * Float products: acc = fma(w, x, acc) over the row in order. Lanes are output rows in both, so weights come interleaved by 16 rows.
 *
 * Kernels take `type` as an argument; stamped copies know it, so their switches and shifts fold away (LMI_STAMP).
 */
#define LMI_U(at) LMI_V(at, 4)                              /* weights 4g.. of the 32 bytes at `at` of 16 blocks */
#define LMI_V(at, step) LMI(bytes)(p + 16 * ((at) + (step) * g))
#define LMI_NIB(at) LMI(bits)(LMI(bytes)(p + 16 * ((at) + 4 * (g & 3))), g < 4 ? 0 : 4, 15) /* of 16 bytes: low nibbles first, then high ones */

/* The integers of weights 4g..4g+3 of step s of the blocks at p: one line a type. (Field sizes in bits: https://github.com/ggml-org/ggml, as above.) */
LMI_OP LMI(b64) LMI(get)(int type, const uint8_t *p, int s, int g) {
    int half = 32 * (s / 4), quarter = 2 * (s % 4), nibble = 4 * (s % 2), pair = 32 * (s / 2);
    switch (type) {
        case LMI_Q4_0:   return LMI_NIB(2);                                                                    /* f16 d, u4 q[32] */
        case LMI_Q4_1:   return LMI_NIB(4);                                                                    /* f16 d, f16 m, u4 q[32] */
        case LMI_Q5_0:   return LMI(or)(LMI_NIB(6), LMI(bit5)(p + 16 * 2, g));                                 /* f16 d, u1 high[32], u4 low[32] */
        case LMI_Q5_1:   return LMI(or)(LMI_NIB(8), LMI(bit5)(p + 16 * 4, g));                                 /* f16 d, f16 m, u1 high[32], u4 low[32] */
        case LMI_Q8_0:   return LMI_U(2);                                                                      /* f16 d, i8 q[32] */
        case LMI_Q2_K:   return LMI(bits)(LMI_U(16 + half), quarter, 3);                                       /* u4 sc, mn [16], u2 q[256], f16 d, f16 dmin */
        case LMI_Q3_K:   return LMI(or)(LMI(bits)(s < 4 ? LMI_V(14, 8) : LMI_U(78), quarter, 3), LMI(shl)(LMI(bits)(LMI_V(18, 8), s, 1), 2)); /* 6-bit sc[16], f16 d, u2 low and u1 high (lmi_stands) */
        case LMI_Q4_K:   return LMI(bits)(LMI_U(16 + pair), nibble, 15);                                       /* f16 d, f16 dmin, 6-bit sc[8], mn[8], u4 q[256] */
        case LMI_Q5_K:   return LMI(or)(LMI(bits)(s < 2 ? LMI_V(16, 8) : LMI_U(48 + pair), nibble, 15), LMI(shl)(LMI(bits)(LMI_V(20, 8), s, 1), 4)); /* the same, u4 low and u1 high (lmi_stands) */
        case LMI_Q6_K:   return LMI(or)(LMI(bits)(LMI_V(18 + 3 * half + 4 * (s % 2), 12), s % 4 / 2 * 4, 15), LMI(shl)(LMI(bits)(LMI_V(26 + 3 * half, 12), quarter, 3), 4)); /* i8 sc[16], f16 d, u4 low and u2 high (lmi_stands) */
        case LMI_IQ4_NL: return LMI(pick)(LMI_NIB(2), lmi_iq4);                                                /* f16 d, u4 q[32] */
        case LMI_IQ4_XS: return LMI(pick)(LMI_NIB(8 + 16 * s), lmi_iq4);                                       /* f16 d, u2 high of sc[8], u4 low, u4 q[256] */
        case LMI_MXFP4:  return LMI(pick)(LMI_NIB(1), lmi_mxfp4);                                              /* u8 exponent, u4 q[32] */
        case LMI_TQ2_0:  return LMI(bits)(LMI_U(half), quarter, 3);                                            /* u2 q[256], f16 d */
        default: { /* TQ1_0: five ternary digits a byte, f16 d. Digit n is the top digit of byte * 3^n; bytes in groups of 32, 16 and 4 */
            static const uint8_t pow3[5] = { 1, 3, 9, 27, 81 }; uint8_t u[64]; int i;
            int e = 32 * s + 4 * g, at = e < 160 ? e % 32 : e < 240 ? 32 + e % 16 : 48, n = e < 160 ? e / 32 : e < 240 ? (e - 160) / 16 : (e - 240) / 4;
            for (i = 0; i < 64; i++) u[i] = (uint8_t)((uint8_t)(p[16 * at + i] * pow3[n]) * 3 >> 8);
            return LMI(bytes)(u);
        }
    }
}

typedef struct LMI(scale) { LMI(vf) d, m[2]; LMI(vi) sc[2]; } LMI(scale);
LMI_OP LMI(vi) LMI(byte)(const uint8_t *p, int j) { return LMI(field)(LMI(unit_i)(p + 16 * (j & ~3)), 8 * (j & 3), 255); } /* byte j of 16 blocks */
/* d (times sc where both halves have the same), m times mn with the format's sign, sc of step s. What a type's flags do not name is not set to anything of note. */
LMI_OP LMI(scale) LMI(scales)(int type, const uint8_t *p, int s) {
    LMI(scale) k; LMI(vi) a, b; LMI(vf) zero = LMI(set1)(0.0f), m; int i;
    k.sc[0] = k.sc[1] = LMI(set1_i)(1); k.m[0] = k.m[1] = zero;
    switch (type) {
        case LMI_Q4_1: case LMI_Q5_1: k.d = LMI(load_h)(p); k.m[0] = LMI(load_h)(p + 16 * 2); break;
        case LMI_Q2_K:
            k.d = LMI(load_h)(p + 16 * 80); m = LMI(sub)(zero, LMI(load_h)(p + 16 * 82));
            for (i = 0; i < 2; i++) {
                a = LMI(byte)(p, 2 * s + i);
                k.sc[i] = LMI(field)(a, 0, 15); k.m[i] = LMI(mul)(m, LMI(float_i)(LMI(field)(a, 4, 15)));
            }
            break;
        case LMI_Q3_K:
            a = LMI(field)(LMI(unit_i)(p + 16 * 4 * (s / 2 % 2)), s / 4 * 4, 0x0f0f0f0f); b = LMI(field)(LMI(unit_i)(p + 16 * 8), s / 2 * 2, 0x03030303);
            a = LMI(or_i)(a, LMI(shl_i)(b, 4));              /* of four halves of steps at once */
            for (i = 0; i < 2; i++) k.sc[i] = LMI(add_i)(LMI(field)(a, 8 * (2 * s % 4 + i), 255), LMI(set1_i)(-32));
            k.d = LMI(load_h)(p + 16 * 12); break;
        case LMI_Q4_K: case LMI_Q5_K: /* bytes 4..15: sc and mn of steps 0-3 in 6 bits, their top bits hold those of steps 4-7's top 2 */
            a = LMI(unit_i)(p + 16 * 4); b = LMI(unit_i)(p + 16 * 8);
            if (s < 4) { a = LMI(field)(a, 8 * s, 63); b = LMI(field)(b, 8 * s, 63); }
            else {                                           /* of four steps at once */
                LMI(vi) low = LMI(unit_i)(p + 16 * 12);
                a = LMI(field)(LMI(or_i)(LMI(field)(low, 0, 0x0f0f0f0f), LMI(field)(a, 2, 0x30303030)), 8 * (s - 4), 63);
                b = LMI(field)(LMI(or_i)(LMI(field)(low, 4, 0x0f0f0f0f), LMI(field)(b, 2, 0x30303030)), 8 * (s - 4), 63);
            }
            k.d = LMI(mul)(LMI(load_h)(p), LMI(float_i)(a)); k.m[0] = LMI(mul)(LMI(sub)(zero, LMI(load_h)(p + 16 * 2)), LMI(float_i)(b)); break;
        case LMI_Q6_K: /* signed: (x ^ 128) - 128 = (x + 128) % 256 - 128 */
            for (i = 0; i < 2; i++) k.sc[i] = LMI(add_i)(LMI(field)(LMI(add_i)(LMI(byte)(p, 2 * s + i), LMI(set1_i)(128)), 0, 255), LMI(set1_i)(-128));
            k.d = LMI(load_h)(p + 16 * 16); break;
        case LMI_IQ4_XS:
            a = LMI(field)(LMI(byte)(p, 4 + s / 2), 4 * (s % 2), 15); b = LMI(shl_i)(LMI(field)(LMI(unit2_i)(p + 16 * 2), 2 * s, 3), 4);
            k.d = LMI(mul)(LMI(load_h)(p), LMI(float_i)(LMI(add_i)(LMI(or_i)(a, b), LMI(set1_i)(-32)))); break;
        case LMI_MXFP4: { /* half of 2^(e - 127), as the integers are doubled */
            float d[16];
            for (i = 0; i < 16; i++) d[i] = p[i] < 2 ? lmi_bits_f32(0x00200000u << p[i]) : lmi_bits_f32((uint32_t)(p[i] - 1) << 23);
            k.d = LMI(load)(d); break;
        }
        case LMI_TQ1_0: k.d = LMI(load_h)(p + 16 * 52); break;
        case LMI_TQ2_0: k.d = LMI(load_h)(p + 16 * 64); break;
        default:        k.d = LMI(load_h)(p); break;
    }
    return k;
}
#undef LMI_U
#undef LMI_V
#undef LMI_NIB

/* Loads and stores of the last, partial 16 lanes; missing lanes read as 0. */
LMI_OP LMI(vf) LMI(load_n)(const float *p, int n) {
    float t[16];
    if (n >= 16) return LMI(load)(p);
    memset(t, 0, sizeof t); memcpy(t, p, (size_t)n * 4);
    return LMI(load)(t);
}
LMI_OP void LMI(store_n)(float *p, LMI(vf) v, int n) {
    float t[16];
    LMI(store)(n >= 16 ? p : t, v);
    if (n < 16) memcpy(p, t, (size_t)n * 4);
}

/* 16 weights of one column of a group of float rows (LMI_HOST: float32 as this machine has it, not as a file does). */
LMI_OP LMI(vf) LMI(column)(int type, const uint8_t *group, size_t k) {
    return type == LMI_HOST ? LMI(load)((const float *)(const void *)(group + 64 * k)) : type == LMI_F32 ? LMI(load_f)(group + 64 * k) : type == LMI_F16 ? LMI(load_h)(group + 32 * k) : LMI(load_b)(group + 32 * k);
}

/* The rest of a step of one token, after the sums of its products: over each half in sum[0], sum[1] where the type has LMI_SUB, else over all in sum[0].
 * Sums of w are sums of w + lift less lift times the sum of a; their products with sc, still integers below 2^24, are floats: those multiply faster. */
#define LMI_LIFT(flags, top, off) ((flags) & LMI_OFF ? 0 : (top) == 255 ? LMI_S8 : (off))
LMI_OP LMI(vf) LMI(step)(LMI(vf) acc, const LMI(vi) sum[2], const LMI(scale) *k, const lmi_act *x, int flags, int lift) {
    LMI(vi) i = sum[0], j = sum[1]; LMI(vf) f;
    if (lift && flags & LMI_SUB) { i = LMI(sub_i)(i, LMI(set1_i)(lift * x->sum[0])); j = LMI(sub_i)(j, LMI(set1_i)(lift * x->sum[1])); }
    else if (lift) i = LMI(sub_i)(i, LMI(set1_i)(lift * (x->sum[0] + x->sum[1])));
    f = LMI(float_i)(i);
    if (flags & LMI_SUB) f = LMI(add)(LMI(mul)(f, LMI(float_i)(k->sc[0])), LMI(mul)(LMI(float_i)(j), LMI(float_i)(k->sc[1])));
    acc = LMI(add)(acc, LMI(mul)(f, LMI(mul)(k->d, LMI(set1)(x->d))));
    if (flags & LMI_OFF) acc = LMI(add)(acc, LMI(mul)(k->m[0], LMI(set1)(flags & LMI_TWO ? x->half[0] : x->whole)));
    if (flags & LMI_TWO) acc = LMI(add)(acc, LMI(mul)(k->m[1], LMI(set1)(x->half[1])));
    return acc;
}

/* One token: every weight is unpacked in registers and used once; steps whose weights share bytes go together, so that memory is read once and in order.
 * Lines are asked for ahead, evenly. */
LMI_OP void LMI(mul_q1_as)(int type, int per, int bytes, int flags, int top, int off, const uint8_t *p, int n, const lmi_act *a, float *out) {
    const int many = type == LMI_Q2_K || type == LMI_Q3_K || type == LMI_Q6_K || type == LMI_TQ2_0 ? 4 : type == LMI_Q4_K || type == LMI_Q5_K ? 2 : 1;
    const int turn = 16 * bytes * many * 32 / per, lines = (turn + 63) / 64; /* of memory, a pass of s */
    LMI(vf) acc = LMI(set1)(0.0f); LMI(vi) half[4][2]; LMI(ps) sum[4]; int b, s, g, i;
    for (b = 0; b < n / per; b++, p += 16 * bytes) {
        LMI_STEPS for (s = 0; s < per / 32; s += many, a += many) {
            LMI_UNROLL for (i = 0; i < many; i++) sum[i] = LMI(no_sum)();
            LMI_UNROLL for (g = 0; g < 8; g++) {
                LMI_HERE;
                LMI_UNROLL for (i = lines * g / 8; i < lines * (g + 1) / 8; i++) LMI_STREAM(p, turn * (s / many) + 64 * i);
                LMI_UNROLL for (i = 0; i < many; i++) {
                    sum[i] = LMI(dot4)(sum[i], LMI(get)(type, p, s + i, g), LMI(four)(a[i].q + 4 * g), top);
                    if ((g + 1) % LMI_MIN(LMI_RUN(top), flags & LMI_SUB ? 4 : 8) == 0) {
                        LMI(vi) part = LMI(flush)(sum[i], top); int h = flags & LMI_SUB ? g / 4 : 0;
                        half[i][h] = (flags & LMI_SUB ? g % 4 : g) < LMI_RUN(top) ? part : LMI(add_i)(half[i][h], part); sum[i] = LMI(no_sum)();
                    }
                }
            }
            LMI_UNROLL for (i = 0; i < many; i++) { LMI(scale) k = LMI(scales)(type, p, s + i); acc = LMI(step)(acc, half[i], &k, a + i, flags, LMI_LIFT(flags, top, off)); }
        }
    }
    LMI(store)(out, acc);
}
/* 16 rows of n weights -> n / 32 steps. */
LMI_OP void LMI(panel_as)(int type, int per, int bytes, int top, const uint8_t *p, int n, lmi_panel *out) {
    int b, s, g, i;
    for (b = 0; b < n / per; b++, p += 16 * bytes) {
        LMI_STEPS for (s = 0; s < per / 32; s++, out++) {
            LMI(scale) k = LMI(scales)(type, p, s);
            LMI_UNROLL for (g = 0; g < 8; g++) LMI(store_b)(out->u + 64 * g, type == LMI_Q2_K ? LMI(times)(LMI(get)(type, p, s, g), k.sc[g / 4]) : LMI(get)(type, p, s, g));
            LMI(store)(out->d, k.d);
            for (i = 0; i < 2; i++) { LMI(store)(out->m[i], k.m[i]); LMI(store_i)(out->sc[i], k.sc[i]); }
            LMI(deal)(out, top);
        }
    }
}
/* The stamped copies: of these for each type, of products over panels for each kind. */
#define LMI_STAMP_Q(name, number, per, bytes, flags, lead, tail, top, off)                                                         \
    LMI_FN void LMI(mul_q1_##name)(const uint8_t *p, int n, const lmi_act *a, float *out) { LMI(mul_q1_as)(number, per, bytes, flags, top, off, p, n, a, out); } \
    LMI_FN void LMI(panel_##name)(const uint8_t *p, int n, lmi_panel *out) { LMI(panel_as)(number, per, bytes, top, p, n, out); }
#define LMI_CASE_Q1(name, number, per, bytes, flags, lead, tail, top, off)    case number: LMI(mul_q1_##name)(group, n, a, out); break;
#define LMI_CASE_PANEL(name, number, per, bytes, flags, lead, tail, top, off) case number: LMI(panel_##name)(group, n, out); break;
LMI_INT_TYPES(LMI_STAMP_Q)
LMI_FN void LMI(mul_q1)(int type, const uint8_t *group, int n, const lmi_act *a, float *out) { switch (type) { LMI_INT_TYPES(LMI_CASE_Q1) default: break; } }
LMI_FN void LMI(panel)(int type, const uint8_t *group, int n, lmi_panel *out) { switch (type) { LMI_INT_TYPES(LMI_CASE_PANEL) default: break; } }
#undef LMI_STAMP_Q
#undef LMI_CASE_Q1
#undef LMI_CASE_PANEL

/* `deep` steps of nt tokens against LMI_NR panels; a: the first of them, n_step apart for each token; out [nt][16 LMI_NR], with more: results so far. Where
 * tokens share instructions one alone shares with itself. */
LMI_OP void LMI(mul_q_tile)(const lmi_panel *panel, int n_step, int deep, int more, int flags, int top, int off, const lmi_act *a, int nt, float *out) {
    LMI(vf) acc[LMI_NT(0) * LMI_NR]; LMI(vi) half[LMI_NT(0) * LMI_NR][2]; LMI(ps) sum[LMI_NT(0) * LMI_NR]; LMI(xb) x; LMI(b64) u[LMI_NR]; LMI(scale) k;
    int s, t, r, g, at, n_sum = LMI_MAX(nt, LMI_NX) * LMI_NR, next = nt > 1 ? n_step : 0;
    int lift = LMI_LIFT(flags, top, off), run = LMI_MIN(LMI_RUN(top), flags & LMI_SUB ? 4 : 8);
    LMI_UNROLL for (t = 0; t < n_sum; t++) acc[t] = more && t < nt * LMI_NR ? LMI(load)(out + 16 * t) : LMI(set1)(0.0f);
    for (s = 0; s < deep; s++, a++) {
        LMI_UNROLL for (g = 0; g < 8; g++) {
            if (g % run == 0) LMI_UNROLL for (t = 0; t < n_sum; t++)
                sum[t] = LMI_STARTS && lift ? LMI(start)(a[(size_t)(t / LMI_NR) * (size_t)n_step].sum, run == 8 || g == 0 ? -lift : 0, run == 8 || g == 4 ? -lift : 0) : LMI(no_sum)();
            LMI_UNROLL for (r = 0; r < LMI_NR; r++) u[r] = LMI(bytes)(panel[r * LMI_DEEPEST + s].u + 64 * g);
            LMI_UNROLL for (t = 0; t < nt; t += LMI_NX) {
                const lmi_act *b = a + (size_t)t * (size_t)n_step;
                x = LMI(share)(b->q, b[next].q, g); at = t + g % LMI_NX;
                LMI_UNROLL for (r = 0; r < LMI_NR; r++) sum[at * LMI_NR + r] = LMI(dot)(sum[at * LMI_NR + r], u[r], x, top);
            }
            if ((g + 1) % run == 0) LMI_UNROLL for (t = 0; t < n_sum; t++) {
                if (t % LMI_NX == 0) LMI(sort)(sum + t);
                LMI(vi) part = LMI(flush)(sum[t], top), *h = &half[t][flags & LMI_SUB ? g / 4 : 0];
                *h = (flags & LMI_SUB ? g % 4 : g) < LMI_RUN(top) ? part : LMI(add_i)(*h, part);
            }
        }
        LMI_UNROLL for (r = 0; r < LMI_NR; r++) {
            const lmi_panel *w = &panel[r * LMI_DEEPEST + s];
            k.d = LMI(load)(w->d);
            if (flags & LMI_OFF) { k.m[0] = LMI(load)(w->m[0]); k.m[1] = LMI(load)(w->m[1]); }
            if (flags & LMI_SUB) { k.sc[0] = LMI(load_i)(w->sc[0]); k.sc[1] = LMI(load_i)(w->sc[1]); }
            if (LMI_LACKS(top)) LMI_UNROLL for (t = 0; t < nt; t++) half[t * LMI_NR + r][0] = LMI(add_i)(half[t * LMI_NR + r][0], LMI(load_i)(w->sc[0]));
            LMI_UNROLL for (t = 0; t < nt; t++)
                acc[t * LMI_NR + r] = LMI(step)(acc[t * LMI_NR + r], half[t * LMI_NR + r], &k, a + (size_t)t * (size_t)n_step, flags, LMI_STARTS ? 0 : lift);
        }
    }
    LMI_UNROLL for (t = 0; t < nt * LMI_NR; t++) LMI(store)(out + 16 * t, acc[t]);
}
/* Over a row in even parts of whole blocks: all groups and tokens take one before any takes the next. */
LMI_OP void LMI(mul_q_as)(int flags, int top, const lmi_type *type, const uint8_t *const *group, int n_group, int n, const lmi_act *a, int n_tok, lmi_panel *panel, float *out) {
    const int n_step = n / 32, block = (int)type->n / 32, parts = LMI_MAX((n_step + LMI_DEEP / 2 - 1) / LMI_DEEP, 1), most = ((n_step + parts - 1) / parts + block - 1) / block * block;
    const size_t bytes = 16 * (size_t)type->n_bytes; int from, deep, g, r, t, nt; size_t at = 0, part; lmi_ahead next[LMI_NR];
    for (from = 0; from < n_step; from += deep, at += part) {
        deep = LMI_MIN(most, n_step - from); part = (size_t)(deep / block) * bytes;
        for (g = 0; g < n_group; g += LMI_NR) {
            int after = g + LMI_NR; size_t then = at; /* unpacked after these: this part of the next groups, the next part of the first, what comes after all */
            if (after == n_group && from + deep < n_step) { after = 0; then += part; } else if (after == n_group) then = 0;
            LMI_UNROLL for (r = 0; r < LMI_NR; r++) {
                LMI(panel)(type->number, group[g + r] + at, 32 * deep, panel + r * LMI_DEEPEST);
                next[r] = lmi_ahead_of((uintptr_t)group[after + r] + then, part, n_tok / LMI_NT(flags) + 1);
            }
            for (t = 0; t < n_tok; t += nt) {
                const lmi_act *x = a + (size_t)t * (size_t)n_step + from; float *o = out + 16 * ((size_t)g * (size_t)n_tok + (size_t)(LMI_NR * t));
                nt = t + LMI_NT(flags) <= n_tok ? LMI_NT(flags) : 1;
                if (nt > 1) {
                    LMI_UNROLL for (r = 0; r < LMI_NR; r++) LMI_FETCH(next[r]);
                    LMI(mul_q_tile)(panel, n_step, deep, from > 0, flags, top, type->off, x, LMI_NT(flags), o);
                } else LMI(mul_q_tile)(panel, n_step, deep, from > 0, flags, top, type->off, x, 1, o);
            }
        }
    }
}
/* nt tokens against nr groups of float rows; x [nt][n], out [nt][16 nr]. */
LMI_OP void LMI(mul_f_tile)(int type, const uint8_t *const *group, size_t n, const float *x, int nt, int nr, float *out) {
    LMI(vf) acc[LMI_MAX(LMI_NF * LMI_NR, LMI_SOLO)], w[LMI_MAX(LMI_NR, LMI_SOLO)], v; int t, r; size_t k;
    LMI_UNROLL for (t = 0; t < nt * nr; t++) acc[t] = LMI(set1)(0.0f);
    for (k = 0; k < n; k++) {
        LMI_UNROLL for (r = 0; r < nr; r++) w[r] = LMI(column)(type, group[r], k);
        if (nt == 1 && nr == LMI_SOLO) LMI_UNROLL for (r = 0; r < nr; r++) LMI_STREAM(group[r], (type == LMI_F32 ? 64 : 32) * k);
        LMI_UNROLL for (t = 0; t < nt; t++) {
            v = LMI(set1)(x[(size_t)t * n + k]);
            LMI_UNROLL for (r = 0; r < nr; r++) acc[t * nr + r] = LMI(fma)(w[r], v, acc[t * nr + r]);
        }
    }
    LMI_UNROLL for (t = 0; t < nt * nr; t++) LMI(store)(out + 16 * t, acc[t]);
}
LMI_OP void LMI(mul_f_as)(int type, const uint8_t *const *group, int n, const float *x, int n_tok, float *out) {
    size_t nn = (size_t)n; int t = 0;
    for (; t + LMI_NF <= n_tok; t += LMI_NF) LMI(mul_f_tile)(type, group, nn, x + (size_t)t * nn, LMI_NF, LMI_NR, out + 16 * LMI_NR * t);
    for (; t < n_tok; t++) LMI(mul_f_tile)(type, group, nn, x + (size_t)t * nn, 1, LMI_NR, out + 16 * LMI_NR * t);
}
/* Results to their place: out = in + bias [+ out], in [n_tok][in_stride]. */
LMI_FN void LMI(place)(const float *in, int in_stride, int n_tok, const lmi_dst *dst) {
    int t, i;
    for (t = 0; t < n_tok; t++, in += in_stride) {
        float *out = dst->out + (size_t)t * dst->stride;
        for (i = 0; i < dst->n_lanes; i += 16) {
            int n = dst->n_lanes - i; LMI(vf) v = LMI(load)(in + i);
            if (t + 8 < n_tok) LMI_AHEAD(out + 8 * dst->stride + i, 1, 2); /* tokens' lines are far apart, and stores wait for theirs one by one */
            if (dst->bias) v = LMI(add)(v, LMI(load_n)(dst->bias + i, n));
            LMI(store_n)(out + i, dst->add ? LMI(add)(LMI(load_n)(out + i, n), v) : v, n);
        }
    }
}

#define LMI_STAMP_KIND(name, flags, top) \
    LMI_FN void LMI(mul_q_##name)(const lmi_type *type, const uint8_t *const *group, int n_group, int n, const lmi_act *a, int n_tok, lmi_panel *panel, float *out) \
    { LMI(mul_q_as)(flags, top, type, group, n_group, n, a, n_tok, panel, out); }
#define LMI_CASE_KIND(name, kind, most) if (lmi_panel_flags(t) == (kind) && t->top <= (most)) { LMI(mul_q_##name)(t, group, n_group, n, a, n_tok, panel, out); return; }
LMI_KINDS(LMI_STAMP_KIND)
LMI_FN void LMI(mul_q)(int type, const uint8_t *const *group, int n_group, int n, const lmi_act *a, int n_tok, lmi_panel *panel, float *out) {
    const lmi_type *t = lmi_type_of(type);
    LMI_KINDS(LMI_CASE_KIND)
}
LMI_FN void LMI(mul_f)(int type, const uint8_t *const *group, int n, const float *x, int n_tok, float *out) {
    if (type == LMI_HOST) LMI(mul_f_as)(LMI_HOST, group, n, x, n_tok, out);
    else if (type == LMI_F32) LMI(mul_f_as)(LMI_F32, group, n, x, n_tok, out);
    else if (type == LMI_F16) LMI(mul_f_as)(LMI_F16, group, n, x, n_tok, out);
    else LMI(mul_f_as)(LMI_BF16, group, n, x, n_tok, out);
}
LMI_FN void LMI(mul_f1)(int type, const uint8_t *const *group, int n, const float *x, float *out) {
    if (type == LMI_F32) LMI(mul_f_tile)(LMI_F32, group, (size_t)n, x, 1, LMI_SOLO, out);
    else if (type == LMI_F16) LMI(mul_f_tile)(LMI_F16, group, (size_t)n, x, 1, LMI_SOLO, out);
    else LMI(mul_f_tile)(LMI_BF16, group, (size_t)n, x, 1, LMI_SOLO, out);
}
#undef LMI_STAMP_KIND
#undef LMI_CASE_KIND

/* The values of a type: weight i of row r -> out[r * row_step + i * step]. */
LMI_FN void LMI(rows)(int type, const uint8_t *group, int n, float *out, size_t row_step, size_t step, int n_rows) {
    const lmi_type *t = lmi_type_of(type); int at, r, i; const int k = 4 * LMI_NX; float w[16]; lmi_panel panel[8];
    if (t->flags & LMI_FLT) {
        for (i = 0; i < n; i++) { 
            LMI(store)(w, LMI(column)(type, group, (size_t)i));
            for (r = 0; r < n_rows; r++) out[(size_t)r * row_step + (size_t)i * step] = w[r];
        }
        return;
    }
    for (at = 0; at < n; at += (int)t->n, group += 16 * (size_t)t->n_bytes) {
        LMI(panel)(type, group, (int)t->n, panel);
        for (r = 0; r < n_rows; r++) for (i = 0; i < (int)t->n; i++) {
            const lmi_panel *p = &panel[i / 32]; int h = i % 32 / 16, u = p->u[(i % 32 / k * 16 + r) * k + i % k], q = t->top == 255 ? (int8_t)(u ^ LMI_S8) : u - t->off;
            float x = (lmi_panel_flags(t) & LMI_SUB ? p->d[r] * (float)p->sc[h][r] : p->d[r]) * (float)q;
            if (t->flags & LMI_OFF) x = x + p->m[t->flags & LMI_TWO ? h : 0][r];
            out[(size_t)r * row_step + (size_t)(at + i) * step] = x;
        }
    }
}

/* Activations to int8 per 32: d = amax / 127, q = x * (127 / amax) to nearest even, so never -128; amax < 2^-100 counts as zero. */
LMI_FN int LMI(quantize)(const float *x, int n, lmi_act *out) {
    int i, j, a, b, finite = 1;
    for (i = 0; i < n; i += 32, out++) {
        uint32_t bits = LMI(amax_bits)(x + i); float amax = lmi_bits_f32(bits), k;
        memset(out, 0, sizeof *out);
        if (bits >= 0x7f800000u) finite = 0;
        if (bits >= 0x7f800000u || bits < 0x0d800000u /* 2^-100 */) continue;
        out->d = amax / 127.0f; k = 127.0f / amax;
        LMI(round16)(x + i, k, out->q); LMI(round16)(x + i + 16, k, out->q + 16);
        for (a = b = j = 0; j < 16; j++) { a += out->q[j]; b += out->q[16 + j]; }
        out->sum[0] = (int16_t)a; out->sum[1] = (int16_t)b;
        out->half[0] = out->d * (float)a; out->half[1] = out->d * (float)b; out->whole = out->d * (float)(a + b);
    }
    return finite;
}

LMI_OP float LMI(sum16)(LMI(vf) v) { /* the fixed tree: halves, quarters, ... */
    float t[16]; int k, i;
    LMI(store)(t, v);
    for (k = 8; k > 0; k /= 2) for (i = 0; i < k; i++) t[i] = t[i] + t[i + k];
    return t[0];
}

/* y[i] = (x[i] * r) * w[i], r = 1 / sqrt(sum(x^2) / n + eps); y may be x. The sum has 16 partial sums, lane = i mod 16, then sum16. Missing lanes add
 * 0 * 0, which changes no partial sum. Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4. */
LMI_FN float LMI(norm)(const float *x, const float *w, int n, float eps, float *y) {
    LMI(vf) sum = LMI(set1)(0.0f), v, r; float ss; int i;
    for (i = 0; i < n; i += 16) { v = LMI(load_n)(x + i, n - i); sum = LMI(add)(sum, LMI(mul)(v, v)); }
    ss = LMI(sum16)(sum);
    r = LMI(set1)(1.0f / sqrtf(ss / (float)n + eps));
    for (i = 0; i < n; i += 16) LMI(store_n)(y + i, LMI(mul)(LMI(mul)(LMI(load_n)(x + i, n - i), r), LMI(load_n)(w + i, n - i)), n - i);
    return ss;
}

/* Rotates the pairs (2i, 2i+1) of one head: x = x * c + swap(x) * s, with each cosine twice in c and each sine as -s, s. Su et al. 2021,
 * arXiv:2104.09864. (Written as a sum: GCC 12's vectorizer fuses a product into alternating sums and differences whatever it is told.) */
LMI_FN void LMI(rope)(float *x, const float *c, const float *s, int n_rot) {
    int i;
    for (i = 0; i < n_rot; i += 16) {
        LMI(vf) v = LMI(load_n)(x + i, n_rot - i);
        v = LMI(add)(LMI(mul)(v, LMI(load_n)(c + i, n_rot - i)), LMI(mul)(LMI(swap)(v), LMI(load_n)(s + i, n_rot - i)));
        LMI(store_n)(x + i, v, n_rot - i);
    }
}

/* e^x within 1.5 ulp (tested), gradual underflow, 0 below -104, infinity above 89; NaN stays. x = n ln 2 + r, Cody and Waite's two-part ln 2,
 * the polynomial of Cephes expf, 2^n in two factors so that n = 128 and subnormal results come out right. */
LMI_OP LMI(vf) LMI(exp)(LMI(vf) x) {
    LMI(vf) magic = LMI(set1)(12582912.0f), t, n, r, p, one = LMI(set1)(1.0f);
    x = LMI(min)(LMI(set1)(89.0f), LMI(max)(LMI(set1)(-104.0f), x));
    t = LMI(add)(LMI(mul)(x, LMI(set1)(1.44269504f)), magic); n = LMI(sub)(t, magic);
    r = LMI(sub)(LMI(sub)(x, LMI(mul)(n, LMI(set1)(0.693359375f))), LMI(mul)(n, LMI(set1)(-2.12194440e-4f)));
    p = LMI(set1)(1.9875691500e-4f);
    p = LMI(add)(LMI(mul)(p, r), LMI(set1)(1.3981999507e-3f)); p = LMI(add)(LMI(mul)(p, r), LMI(set1)(8.3334519073e-3f));
    p = LMI(add)(LMI(mul)(p, r), LMI(set1)(4.1665795894e-2f)); p = LMI(add)(LMI(mul)(p, r), LMI(set1)(1.6666665459e-1f));
    p = LMI(add)(LMI(mul)(p, r), LMI(set1)(5.0000001201e-1f));
    p = LMI(add)(LMI(add)(LMI(mul)(p, LMI(mul)(r, r)), r), one);
    return LMI(times_exp2)(p, t);
}

/* out = silu(gate) * up, silu(g) = g / (1 + e^-g). Shazeer 2020, arXiv:2002.05202. out may be gate. */
LMI_FN void LMI(swiglu)(const float *gate, const float *up, int n, float *out) {
    LMI(vf) zero = LMI(set1)(0.0f), one = LMI(set1)(1.0f); int i;
    for (i = 0; i < n; i += 16) {
        LMI(vf) g = LMI(load_n)(gate + i, n - i), s = LMI(div)(g, LMI(add)(one, LMI(exp)(LMI(sub)(zero, g))));
        LMI(store_n)(out + i, LMI(mul)(s, LMI(load_n)(up + i, n - i)), n - i);
    }
}

/* Softmax attention with a running maximum (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135) over pages of 64 keys
 * by absolute position, for queries that share the keys. Scores: fma over dimensions in order, lanes = keys. Values: fma over keys in order,
 * lanes = dimensions; keys outside first..last are left out, never multiplied by 0. The sum of weights has 16 partial sums, lane =
 * position mod 16. Each query is computed as if alone; up to 4 go through a page together, and a page becomes floats once for all. */
LMI_FN const float *LMI(floats)(const lmi_attend *a, const uint8_t *p, int values) { /* K [dk][64] or V [64][dv16] of a page, as the cache has it */
    int i, d, dv16 = (a->dv + 15) & ~15, n = LMI_PAGE * (values ? dv16 : a->dk), end; float f[LMI_PAGE], *to = a->scratch;
    const uint16_t *h = (const uint16_t *)(const void *)p; const int8_t *q = (const int8_t *)p;
    if (a->cache == LM_CACHE_F32) return (const float *)(const void *)p;
    if (a->cache == LM_CACHE_F16) { for (i = 0; i < n; i += 16) LMI(store)(to + i, LMI(load_c)(h + i)); return to; }
    for (d = 0, h += n / 2; d * LMI_PAGE < n; d = end, h += LMI_PAGE) {           /* 32 dimensions, their 64 scales */
        end = LMI_MIN(d + 32, n / LMI_PAGE);
        for (i = 0; i < LMI_PAGE; i += 16) LMI(store)(f + i, LMI(load_c)(h + i));
        for (i = d * LMI_PAGE; !values && i < end * LMI_PAGE; i += 16) LMI(store)(to + i, LMI(mul)(LMI(load)(f + i % LMI_PAGE), LMI(load_8)(q + i)));
        for (i = 0; values && i < LMI_PAGE; i++) {
            int j;
            for (j = i * dv16 + d; j < i * dv16 + end; j += 16) LMI(store)(to + j, LMI(mul)(LMI(set1)(f[i]), LMI(load_8)(q + j)));
        }
    }
    return to;
}
/* s[q][64] = scale * q . K for n queries, nv vectors of 16 keys at a time; keys from `to` on may be left out */
LMI_OP void LMI(scores_at)(const lmi_attend *a, const float *const *query, const float *k, int at, float (*s)[LMI_PAGE], lmi_ahead next, int n, int nv) {
    LMI(vf) sum[4 * 4], key[4]; int d, q, i;
    LMI_UNROLL for (i = 0; i < n * nv; i++) sum[i] = LMI(set1)(0.0f);
    for (d = 0; d < a->dk; d++) {
        LMI_FETCH(next);
        LMI_UNROLL for (i = 0; i < nv; i++) key[i] = LMI(load)(k + d * LMI_PAGE + at + 16 * i);
        LMI_UNROLL for (q = 0; q < n; q++) {
            LMI(vf) x = LMI(set1)(query[q][d]);
            LMI_UNROLL for (i = 0; i < nv; i++) sum[q * nv + i] = LMI(fma)(key[i], x, sum[q * nv + i]);
        }
    }
    LMI_UNROLL for (q = 0; q < n; q++) LMI_UNROLL for (i = 0; i < nv; i++) LMI(store)(s[q] + at + 16 * i, LMI(mul)(sum[q * nv + i], LMI(set1)(a->scale)));
}
LMI_OP void LMI(scores)(const lmi_attend *a, const float *const *query, const float *k, int to, float (*s)[LMI_PAGE], lmi_ahead next, int n, int nv) {
    int at = 0;
    for (; nv > 1 && at + 16 * nv <= to; at += 16 * nv, next.lines = 0) LMI(scores_at)(a, query, k, at, s, next, n, nv);
    for (; at < to; at += 16, next.lines = 0) LMI(scores_at)(a, query, k, at, s, next, n, 1);
}
/* Scores of keys from..to-1 to weights e^(score - maximum), of the others to 0; fade: what the sums so far have to be multiplied by. */
LMI_APART LMI_FN void LMI(weights)(int n, float (*s)[LMI_PAGE], const int *from, const int *to, float *top, float (*total)[16], float *fade) {
    int q, i, k; float t[16]; LMI(vf) v, e;
    for (q = 0; q < n; q++) {
        if (from[q] == to[q]) continue;
        for (i = 0; i < from[q]; i++) s[q][i] = -HUGE_VALF;
        for (i = to[q]; i < LMI_PAGE; i++) s[q][i] = -HUGE_VALF;
        v = LMI(set1)(top[q]);
        for (i = 0; i < LMI_PAGE; i += 16) v = LMI(max)(LMI(load)(s[q] + i), v);  /* may miss a NaN, but that makes all of the query's sums NaN anyway */
        LMI(store)(t, v);
        LMI_UNROLL for (k = 8; k > 0; k /= 2) LMI_UNROLL for (i = 0; i < k; i++) t[i] = t[i] > t[i + k] ? t[i] : t[i + k];
        fade[q] = top[q] - t[0]; top[q] = t[0];
    }
    for (q = 0; q < n; q += 16) LMI(store)(fade + q, LMI(exp)(LMI(load)(fade + q))); /* 0 at the first page: top was -infinity */
    for (q = 0; q < n; q++) {
        if (from[q] == to[q]) continue;
        v = LMI(mul)(LMI(load)(total[q]), LMI(set1)(fade[q]));
        for (i = 0; i < LMI_PAGE; i += 16) {
            e = LMI(exp)(LMI(sub)(LMI(load)(s[q] + i), LMI(set1)(top[q])));
            LMI(store)(s[q] + i, e); v = LMI(add)(v, e);
        }
        LMI(store)(total[q], v);
    }
}
/* out[q][d..] = out * fade + s . V over keys from[q]..to[q]-1, nv vectors of 16 dimensions; all n queries together where all have the key */
LMI_OP void LMI(values_at)(float *const *out, const float *v, int d, int dv16, float (*s)[LMI_PAGE], const float *fade, const int *from, const int *to, lmi_ahead next, int n,
    int nv) {
    LMI(vf) o[4 * 4], value[4]; int q, i, j, all_from = 0, all_to = LMI_PAGE, end;
    for (q = 0; q < n; q++) { all_from = LMI_MAX(all_from, from[q]); all_to = LMI_MIN(all_to, to[q]); }
    if (all_to < all_from) all_from = all_to = LMI_PAGE;         /* nothing in common: each does its own in the first loop */
    LMI_UNROLL for (q = 0; q < n; q++) {
        LMI_UNROLL for (i = 0; i < nv; i++) o[q * nv + i] = LMI(mul)(LMI(load)(out[q] + d + 16 * i), LMI(set1)(fade[q]));
        for (j = from[q], end = LMI_MIN(to[q], all_from); j < end; j++) {
            LMI_UNROLL for (i = 0; i < nv; i++) o[q * nv + i] = LMI(fma)(LMI(load)(v + j * dv16 + d + 16 * i), LMI(set1)(s[q][j]), o[q * nv + i]);
        }
    }
    for (j = all_from; j < all_to; j++) {
        LMI_FETCH(next);
        LMI_UNROLL for (i = 0; i < nv; i++) value[i] = LMI(load)(v + j * dv16 + d + 16 * i);
        LMI_UNROLL for (q = 0; q < n; q++) {
            LMI(vf) x = LMI(set1)(s[q][j]);
            LMI_UNROLL for (i = 0; i < nv; i++) o[q * nv + i] = LMI(fma)(value[i], x, o[q * nv + i]);
        }
    }
    LMI_UNROLL for (q = 0; q < n; q++) {
        for (j = LMI_MAX(all_to, from[q]); j < to[q]; j++) {
            LMI_UNROLL for (i = 0; i < nv; i++) o[q * nv + i] = LMI(fma)(LMI(load)(v + j * dv16 + d + 16 * i), LMI(set1)(s[q][j]), o[q * nv + i]);
        }
        LMI_UNROLL for (i = 0; i < nv; i++) LMI(store)(out[q] + d + 16 * i, o[q * nv + i]);
    }
}
LMI_OP void LMI(values)(float *const *out, const float *v, int dv16, float (*s)[LMI_PAGE], const float *fade, const int *from, const int *to, lmi_ahead next, int n, int nv) {
    int d = 0;
    for (; nv > 1 && d + 16 * nv <= dv16; d += 16 * nv, next.lines = 0) LMI(values_at)(out, v, d, dv16, s, fade, from, to, next, n, nv);
    for (; d < dv16; d += 16, next.lines = 0) LMI(values_at)(out, v, d, dv16, s, fade, from, to, next, n, 1);
}
#define LMI_STAMP_N(n) \
    LMI_APART LMI_FN void LMI(scores_##n)(const lmi_attend *a, const float *const *query, const float *k, int to, float (*s)[LMI_PAGE], lmi_ahead next) \
    { LMI(scores)(a, query, k, to, s, next, n, LMI_NV(n)); } \
    LMI_APART LMI_FN void LMI(values_##n)(float *const *out, const float *v, int dv16, float (*s)[LMI_PAGE], const float *fade, const int *from, const int *to, lmi_ahead next) \
    { LMI(values)(out, v, dv16, s, fade, from, to, next, n, LMI_NV(n)); }
LMI_STAMP_N(1) LMI_STAMP_N(2) LMI_STAMP_N(3) LMI_STAMP_N(4)
#undef LMI_STAMP_N
LMI_FN void LMI(attend)(const lmi_attend *a) {
    int dv16 = (a->dv + 15) & ~15, page = INT32_MAX, end = 0, d, q, n, most, from[LMI_QUERIES], to[LMI_QUERIES];
    float top[LMI_QUERIES], fade[LMI_QUERIES], total[LMI_QUERIES][16], room[LMI_QUERIES * LMI_PAGE + 16]; lmi_ahead next;
    float (*s)[LMI_PAGE] = (float (*)[LMI_PAGE])(void *)(room + (0 - (uintptr_t)room) % 64 / sizeof(float)); /* vectors that cross cache lines cost twice */
    size_t bytes_k = lmi_cached_bytes(a->cache, a->dk), bytes_v = lmi_cached_bytes(a->cache, dv16);
    for (q = 0; q < a->n; q++) {
        memset(total[q], 0, sizeof total[q]); memset(a->out[q], 0, (size_t)dv16 * sizeof(float)); top[q] = -HUGE_VALF;
        page = LMI_MIN(page, a->first[q] / LMI_PAGE); end = LMI_MAX(end, a->last[q] / LMI_PAGE);
    }
    for (; page <= end; page++) {
        const uint8_t *k = a->page + (size_t)page * a->page_bytes, *v = k + bytes_k; const float *x = LMI(floats)(a, k, 0);
        next = lmi_ahead_of((uintptr_t)v, bytes_v, a->dk);
        for (q = 0, most = 0; q < a->n; q++) {
            from[q] = LMI_MAX(a->first[q] - page * LMI_PAGE, 0); to[q] = LMI_MIN(a->last[q] - page * LMI_PAGE + 1, LMI_PAGE);
            if (from[q] >= to[q]) from[q] = to[q] = 0;                            /* no key of this page */
            most = LMI_MAX(most, to[q]);
        }
        for (q = 0; q < a->n; q += n, next.lines = 0) switch (n = LMI_MIN(4, a->n - q)) {
            case 1:  LMI(scores_1)(a, a->q + q, x, most, s + q, next); break;
            case 2:  LMI(scores_2)(a, a->q + q, x, most, s + q, next); break;
            case 3:  LMI(scores_3)(a, a->q + q, x, most, s + q, next); break;
            default: LMI(scores_4)(a, a->q + q, x, most, s + q, next);
        }
        memset(fade, 0, sizeof fade);
        LMI(weights)(a->n, s, from, to, top, total, fade);
        x = LMI(floats)(a, v, 1); next = lmi_ahead_of((uintptr_t)k + a->page_bytes, page < end ? bytes_k : 0, LMI_PAGE);
        for (q = 0; q < a->n; q += n, next.lines = 0) switch (n = LMI_MIN(4, a->n - q)) {
            case 1:  LMI(values_1)(a->out + q, x, dv16, s + q, fade + q, from + q, to + q, next); break;
            case 2:  LMI(values_2)(a->out + q, x, dv16, s + q, fade + q, from + q, to + q, next); break;
            case 3:  LMI(values_3)(a->out + q, x, dv16, s + q, fade + q, from + q, to + q, next); break;
            default: LMI(values_4)(a->out + q, x, dv16, s + q, fade + q, from + q, to + q, next);
        }
    }
    for (q = 0; q < a->n; q++) {
        LMI(vf) sum = LMI(set1)(LMI(sum16)(LMI(load)(total[q])));
        for (d = 0; d < dv16; d += 16) LMI(store)(a->out[q] + d, LMI(div)(LMI(load)(a->out[q] + d), sum));
    }
}

/* Does the compiler keep its hands off? Fused: (1 + 2^-12)^2 - (1 + 2^-11) would be 2^-24, not 0. Reordered: (1.25 + 1.5 * 2^23) - 1.5 * 2^23 would
 * be 1.25, not 1. By a reciprocal: 5 * (1 / 3) rounds to another number than 5 / 3. In vectors and in plain floats. */
LMI_FN int LMI(probe)(void) {
    volatile float in[6] = { 1.000244140625f, -1.00048828125f, 1.25f, 12582912.0f, 5.0f, 3.0f }; float x[6], fused[16], moved[16], divided[16]; int i;
    for (i = 0; i < 6; i++) x[i] = in[i];
    LMI(store)(fused, LMI(add)(LMI(mul)(LMI(set1)(x[0]), LMI(set1)(x[0])), LMI(set1)(x[1])));
    LMI(store)(moved, LMI(sub)(LMI(add)(LMI(set1)(x[2]), LMI(set1)(x[3])), LMI(set1)(x[3])));
    LMI(store)(divided, LMI(div)(LMI(set1)(x[4]), LMI(set1)(x[5])));
    for (i = 0; i < 16; i++) if (fused[i] != 0 || moved[i] != 1 || lmi_f32_bits(divided[i]) != 0x3fd55555u) return 0;
    for (i = 0; i < 16; i++) divided[i] = (float)(i + 1) / x[5];                     /* many quotients tempt to one reciprocal */
    return x[0] * x[0] + x[1] == 0 && (x[2] + x[3]) - x[3] == 1 && lmi_f32_bits(divided[(int)x[4] - 1]) == 0x3fd55555u;
}

#ifndef LLAMA_NO_QUANTIZE
/* ---- fitting of scales, for section quantize: 16 blocks at once, lane = block, weight i of them at x[16 i], so that all sums are vertical and their
 * order is that of the weights. Codes are numbers lo..hi (with `iq4`: one of the 16 levels of lmi_iq4). */
LMI_OP LMI(vf) LMI(less)(LMI(vf) a, LMI(vf) b, LMI(vf) x, LMI(vf) y) { /* a < b ? x : y */
    float p[16], q[16], r[16], s[16]; int i;
    LMI(store)(p, a); LMI(store)(q, b); LMI(store)(r, x); LMI(store)(s, y);
    for (i = 0; i < 16; i++) r[i] = p[i] < q[i] ? r[i] : s[i];
    return LMI(load)(r);
}
LMI_OP LMI(vf) LMI(level)(const float *table, LMI(vf) y) { /* table[n]: for y within -128 + n/2 .. -127.5 + n/2, see lmi_near_iq4 */
    float p[16]; int32_t at[16]; int i;
    y = LMI(min)(LMI(max)(y, LMI(set1)(-128.0f)), LMI(set1)(127.0f));
    LMI(store)(p, LMI(add)(LMI(add)(LMI(add)(y, y), LMI(set1)(255.5f)), LMI(set1)(12582912.0f))); /* 1.5 * 2^23 + n */
    memcpy(at, p, sizeof at);
    for (i = 0; i < 16; i++) p[i] = table[at[i] & 511];
    return LMI(load)(p);
}
/* The code of x: (x - m) / s to the nearest even number, within lo..hi. */
LMI_OP LMI(vf) LMI(code)(const lmi_fit *f, LMI(vf) x, LMI(vf) inv, LMI(vf) m, int line, int iq4) { /* iq4 2: its index */
    LMI(vf) y = LMI(mul)(line ? LMI(sub)(x, m) : x, inv), big = LMI(set1)(12582912.0f);
    if (iq4) return LMI(level)(f->levels[iq4 - 1], y);
    y = LMI(min)(LMI(max)(y, LMI(set1)(f->lo)), LMI(set1)(f->hi));
    return LMI(sub)(LMI(add)(y, big), big);
}
LMI_OP LMI(vf) LMI(inverse)(LMI(vf) x) { /* 0 of 0 */
    LMI(vf) zero = LMI(set1)(0.0f), mag = LMI(max)(x, LMI(sub)(zero, x));
    return LMI(less)(LMI(set1)(1e-30f), mag, LMI(div)(LMI(set1)(1.0f), x), zero);
}
/* Sums of w r q, w q q, w q, w r, w r r, where r = x - s q - m is what is left by the scale that the codes were made for: small, so that the sums keep
 * the digits that tell two scales apart. Where speed is all (plain), r = x - m. */
typedef struct LMI(sums) { LMI(vf) rq, qq, q, r, rr; } LMI(sums);
LMI_OP LMI(sums) LMI(sum_codes)(const lmi_fit *f, LMI(vf) inv, LMI(vf) scale, LMI(vf) m, int line, int iq4, int weighted, int plain) {
    LMI(sums) s; int i;
    s.rq = s.qq = s.q = s.r = s.rr = LMI(set1)(0.0f);
    for (i = 0; i < f->n; i++) {
        LMI(vf) x = LMI(load)(f->x + 16 * i), q, w, wq, wr;
        if (line && plain) x = LMI(sub)(x, m);
        q = LMI(code)(f, x, inv, m, line && !plain, iq4);
        w = weighted ? LMI(load)(f->w + 16 * i) : x; wq = weighted ? LMI(mul)(w, q) : q;
        if (!plain) {
            x = LMI(sub)(x, LMI(mul)(scale, q));
            if (line) x = LMI(sub)(x, m);
            wr = weighted ? LMI(mul)(w, x) : x; s.rr = LMI(add)(s.rr, LMI(mul)(wr, x));
            if (line) s.r = LMI(add)(s.r, wr);
        }
        s.rq = LMI(add)(s.rq, LMI(mul)(wq, x)); s.qq = LMI(add)(s.qq, LMI(mul)(wq, q));
        if (line) s.q = LMI(add)(s.q, wq);
    }
    return s;
}
LMI_FN LMI(sums) LMI(sum_any)(const lmi_fit *f, LMI(vf) scale, LMI(vf) m) { /* the loops are stamped for what they need */
    LMI(vf) inv = LMI(inverse)(scale);
    if (f->iq4)   return f->w ? LMI(sum_codes)(f, inv, scale, m, 0, 1, 1, 0) : LMI(sum_codes)(f, inv, scale, m, 0, 1, 0, 0);
    if (f->plain) return f->line ? LMI(sum_codes)(f, inv, scale, m, 1, 0, 0, 1) : LMI(sum_codes)(f, inv, scale, m, 0, 0, 0, 1);
    if (f->line)  return f->w ? LMI(sum_codes)(f, inv, scale, m, 1, 0, 1, 0) : LMI(sum_codes)(f, inv, scale, m, 1, 0, 0, 0);
    return f->w ? LMI(sum_codes)(f, inv, scale, m, 0, 0, 1, 0) : LMI(sum_codes)(f, inv, scale, m, 0, 0, 0, 0);
}
/* x ~ s q. Each candidate maps the weight of largest magnitude to that number; least squares then give the best scale for the codes that come of it,
 * and its error. The best one is improved `n_more` times: codes for the scale, scale for the codes. */
LMI_FN void LMI(fit_scale)(lmi_fit *f) {
    LMI(vf) zero = LMI(set1)(0.0f), tiny = LMI(set1)(1e-30f), lo = zero, hi = zero, top, err = LMI(set1)(FLT_MAX), best = zero, qq = zero; int i;
    for (i = 0; i < f->n; i++) { LMI(vf) x = LMI(load)(f->x + 16 * i); lo = LMI(min)(lo, x); hi = LMI(max)(hi, x); }
    top = LMI(less)(LMI(sub)(zero, lo), hi, hi, lo);         /* the largest magnitude, with its sign */
    if (f->plain == 2) { LMI(store)(f->s, LMI(add)(LMI(div)(top, LMI(set1)(f->tries[0])), zero)); return; } /* no -0 */
    for (i = 0; i < f->n_try + f->n_more; i++) {
        LMI(vf) scale = i < f->n_try ? LMI(div)(top, LMI(set1)(f->tries[i])) : best, k, e; LMI(sums) s = LMI(sum_any)(f, scale, zero);
        k = LMI(div)(s.rq, LMI(max)(s.qq, tiny)); e = LMI(sub)(s.rr, LMI(mul)(k, s.rq));
        if (!f->plain) k = LMI(add)(scale, k);
        best = LMI(less)(e, err, k, best); qq = LMI(less)(e, err, s.qq, qq); err = LMI(min)(e, err);
    }
    LMI(store)(f->s, best); LMI(store)(f->qq, qq);
}
/* x ~ s q + m, m <= 0 where f->minus. Candidates map the range of the weights to 0..tries[i], from a share of it on. y = x - base. With k, g what
 * least squares add to s and m, g first and k then the best for it, the error is rr - k rq - 2 g r + g (k q + g w). */
LMI_FN void LMI(fit_line)(lmi_fit *f) {
    LMI(vf) zero = LMI(set1)(0.0f), tiny = LMI(set1)(1e-30f), base, hi, sw, sx = zero, err = LMI(set1)(FLT_MAX), best = zero, at = zero, qq = zero; int i;
    base = hi = LMI(load)(f->x);
    for (i = 0; i < f->n; i++) { LMI(vf) x = LMI(load)(f->x + 16 * i); base = LMI(min)(base, x); hi = LMI(max)(hi, x); sx = LMI(add)(sx, x); }
    if (f->minus) base = LMI(min)(base, zero);
    sw = LMI(set1)((float)f->n); sx = LMI(sub)(sx, LMI(mul)(sw, base)); hi = LMI(sub)(hi, base);
    if (f->w) for (sw = zero, i = 0; i < f->n; i++) sw = LMI(add)(sw, LMI(load)(f->w + 16 * i));
    if (!f->plain) {
        for (i = 0; i < f->n; i++) LMI(store)(f->y + 16 * i, LMI(sub)(LMI(load)(f->x + 16 * i), base));
        f->x = f->y;
    }
    for (i = 0; i < f->n_try + f->n_more; i++) {
        LMI(vf) scale = best, from = at, det, g, k, e; LMI(sums) s;
        if (i < f->n_try) { scale = LMI(div)(hi, LMI(set1)(f->tries[i])); from = LMI(mul)(hi, LMI(set1)(f->shifts[i])); }
        s = LMI(sum_any)(f, scale, f->plain ? base : from);
        if (f->plain) { s.r = sx; scale = from = zero; }
        det = LMI(sub)(LMI(mul)(sw, s.qq), LMI(mul)(s.q, s.q));
        g = LMI(div)(LMI(sub)(LMI(mul)(s.qq, s.r), LMI(mul)(s.q, s.rq)), LMI(max)(det, tiny));
        g = LMI(less)(LMI(mul)(LMI(mul)(sw, s.qq), LMI(set1)(1e-5f)), det, g, zero); /* all codes equal: no slope to be had */
        if (f->minus) g = LMI(min)(g, LMI(sub)(LMI(sub)(zero, base), from));
        k = LMI(max)(LMI(div)(LMI(sub)(s.rq, LMI(mul)(g, s.q)), LMI(max)(s.qq, tiny)), LMI(sub)(zero, scale));
        e = LMI(mul)(g, LMI(sub)(LMI(add)(LMI(mul)(k, s.q), LMI(mul)(g, sw)), LMI(add)(s.r, s.r)));
        e = LMI(add)(s.rr, LMI(sub)(e, LMI(mul)(k, s.rq)));
        best = LMI(less)(e, err, LMI(add)(scale, k), best); at = LMI(less)(e, err, LMI(add)(from, g), at); qq = LMI(less)(e, err, s.qq, qq);
        err = LMI(min)(e, err);
    }
    LMI(store)(f->s, best); LMI(store)(f->m, LMI(add)(at, base)); LMI(store)(f->qq, qq); LMI(store)(f->sw, sw);
}
/* What scales s (and m) that are given come to: e = sum of w (x - s q - m)^2 and the sums that a better scale needs; sx = sum w x. */
LMI_OP void LMI(weigh_as)(lmi_fit *f, int line, int iq4, int weighted) {
    LMI(vf) scale = LMI(load)(f->s), m = LMI(load)(f->m), inv = LMI(inverse)(scale), e, xq, qq, sq, sx, sw; int i;
    e = xq = qq = sq = sx = sw = LMI(set1)(0.0f);
    for (i = 0; i < f->n; i++) {
        LMI(vf) x = LMI(load)(f->x + 16 * i), q = LMI(code)(f, x, inv, m, line, iq4), r = LMI(sub)(x, LMI(mul)(scale, q));
        LMI(vf) w = weighted ? LMI(load)(f->w + 16 * i) : LMI(set1)(1.0f), wq = LMI(mul)(w, q);
        if (line) { r = LMI(sub)(r, m); sq = LMI(add)(sq, wq); sx = LMI(add)(sx, LMI(mul)(w, x)); sw = LMI(add)(sw, w); }
        e = LMI(add)(e, LMI(mul)(LMI(mul)(w, r), r));
        xq = LMI(add)(xq, LMI(mul)(wq, x)); qq = LMI(add)(qq, LMI(mul)(wq, q));
    }
    LMI(store)(f->e, e); LMI(store)(f->xq, xq); LMI(store)(f->qq, qq); LMI(store)(f->q, sq); LMI(store)(f->sx, sx); LMI(store)(f->sw, sw);
}
LMI_FN void LMI(weigh)(lmi_fit *f) {
    if (f->iq4) { if (f->w) LMI(weigh_as)(f, 0, 1, 1); else LMI(weigh_as)(f, 0, 1, 0); }
    else if (f->line) { if (f->w) LMI(weigh_as)(f, 1, 0, 1); else LMI(weigh_as)(f, 1, 0, 0); }
    else if (f->w) LMI(weigh_as)(f, 0, 0, 1);
    else LMI(weigh_as)(f, 0, 0, 0);
}
/* The codes for scales s (and m), from 0 on (with iq4 their index), as the low bits of floats: one each, out[16 i + lane]; or, of 32 with `bits` 4, 5
 * or 8, as the bytes of a block, two a float: [8][16] nibbles (i and i + 16 share a byte), with 5 bits after them [2][16] fifth bits, or [16][16]. */
LMI_FN void LMI(codes)(const lmi_fit *f, int bits, float *out) {
    LMI(vf) zero = LMI(set1)(0.0f), one = LMI(set1)(1.0f), k16 = LMI(set1)(16.0f), k256 = LMI(set1)(256.0f), big = LMI(set1)(12582912.0f), high[2];
    LMI(vf) m = LMI(load)(f->m), inv = LMI(inverse)(LMI(load)(f->s)), lo = LMI(set1)(f->iq4 || bits == 8 ? 0.0f : f->lo), a, b; int i, n = bits == 8 ? 16 : 8;
    float bit = 1;
    for (i = 0; i < f->n; i++) {
        LMI(vf) x = LMI(load)(f->x + 16 * i), q = f->iq4 ? LMI(code)(f, x, inv, m, 0, 2) : LMI(code)(f, x, inv, m, 1, 0);
        LMI(store)(out + 16 * i, LMI(add)(LMI(sub)(q, lo), bits ? zero : big));
    }
    high[0] = high[1] = big;
    for (i = 0; bits == 5 && i < 32; i++, bit = i == 16 ? 1 : 2 * bit) {
        a = LMI(load)(out + 16 * i);
        b = LMI(sub)(LMI(add)(LMI(sub)(LMI(mul)(a, LMI(set1)(0.0625f)), LMI(set1)(0.46875f)), big), big); /* 1 from 16 on */
        high[i / 16] = LMI(add)(high[i / 16], LMI(mul)(b, LMI(set1)(bit)));
        LMI(store)(out + 16 * i, LMI(sub)(a, LMI(mul)(b, k16)));
    }
    for (i = 0; bits && i < n; i++) {
        a = LMI(load)(out + 32 * i); b = LMI(load)(out + 32 * i + 16);
        if (bits == 8) { /* a byte's value: 256 more where it is negative */
            a = LMI(add)(a, LMI(mul)(k256, LMI(min)(LMI(max)(LMI(sub)(zero, a), zero), one)));
            b = LMI(add)(b, LMI(mul)(k256, LMI(min)(LMI(max)(LMI(sub)(zero, b), zero), one)));
        } else {
            a = LMI(add)(a, LMI(mul)(k16, LMI(load)(out + 32 * i + 256))); b = LMI(add)(b, LMI(mul)(k16, LMI(load)(out + 32 * i + 272)));
        }
        LMI(store)(out + 16 * i, LMI(add)(LMI(add)(a, LMI(mul)(b, k256)), big));
    }
    if (bits == 5) { LMI(store)(out + 128, high[0]); LMI(store)(out + 144, high[1]); }
}
/* Q8_0 without importance: d = amax / 127, codes x * (1 / d) to the nearest, halves away from zero. */
LMI_FN void LMI(encode_q8_0)(const float *x, int n, uint8_t *out) {
    LMI(vf) zero = LMI(set1)(0.0f), one = LMI(set1)(1.0f), big = LMI(set1)(12582912.0f); int i, k;
    for (i = 0; i < n; i += 32, x += 32, out += 34) {
        float d = lmi_bits_f32(LMI(amax_bits)(x)) / 127, inv = d > 0 ? 1 / d : 0, r[16]; uint16_t h = lmi_to_f16(d < 65504.0f ? d : 65504.0f);
        out[0] = (uint8_t)(h & 255); out[1] = (uint8_t)(h >> 8);
        for (k = 0; k < 32; k += 16) {
            LMI(vf) y = LMI(mul)(LMI(load)(x + k), LMI(set1)(inv)), a = LMI(max)(y, LMI(sub)(zero, y)), q = LMI(sub)(LMI(add)(a, big), big), half;
            half = LMI(mul)(LMI(sub)(LMI(sub)(a, q), LMI(set1)(0.49999997f)), LMI(set1)(33554432.0f)); /* 1 where exactly a half was rounded down */
            q = LMI(add)(q, LMI(min)(LMI(max)(half, zero), one));
            y = LMI(min)(LMI(max)(LMI(mul)(y, LMI(set1)(1e30f)), LMI(set1)(-1.0f)), one);          /* its sign, where q is not 0 */
            LMI(store)(r, LMI(mul)(q, y));
            LMI(round16)(r, 1.0f, (int8_t *)out + 2 + k);
        }
    }
}
LMI_FN int LMI(common)(const float *x) { /* LMI_GROUP of them: 1: all are numbers, none beyond 2.8e8, where products overflow; 0: who knows */
    LMI(vf) k = LMI(set1)(1.2e30f), sum[4]; float r[16]; int i, ok = 1;
    sum[0] = sum[1] = sum[2] = sum[3] = LMI(set1)(0.0f);
    for (i = 0; i < LMI_GROUP; i += 64) {
        sum[0] = LMI(add)(sum[0], LMI(mul)(LMI(load)(x + i), k)); sum[1] = LMI(add)(sum[1], LMI(mul)(LMI(load)(x + i + 16), k));
        sum[2] = LMI(add)(sum[2], LMI(mul)(LMI(load)(x + i + 32), k)); sum[3] = LMI(add)(sum[3], LMI(mul)(LMI(load)(x + i + 48), k));
    }
    LMI(store)(r, LMI(add)(LMI(add)(sum[0], sum[1]), LMI(add)(sum[2], sum[3])));
    for (i = 0; i < 16; i++) ok &= lmi_finite(r[i]);
    return ok;
}
LMI_FN void LMI(to_bf16)(const float *x, uint16_t *out) { /* LMI_GROUP of them, to the nearest even */
    uint32_t u[16]; uint16_t h[16]; int i, k;
    for (i = 0; i < LMI_GROUP; i += 16) {
        memcpy(u, x + i, sizeof u);
        for (k = 0; k < 16; k++) {
            uint32_t a = u[k] & 0x7fffffff; a = a < 0x7f7f0000 ? a : 0x7f7f0000; /* FLT_MAX would become infinity */
            h[k] = (uint16_t)((u[k] >> 16 & 0x8000) | (a + 0x7fff + (a >> 16 & 1)) >> 16);
        }
        memcpy(out + i, h, sizeof h);
    }
}
LMI_FN void LMI(to_f16)(const float *x, int n, uint16_t *out) { /* n: a multiple of 16. As lmi_to_f16, but beyond the range: its largest number */
    float y[16]; uint32_t u[16]; uint16_t h[16]; int i, k;
    for (i = 0; i < n; i += 16) {
        LMI(store)(y, LMI(min)(LMI(max)(LMI(load)(x + i), LMI(set1)(-65504.0f)), LMI(set1)(65504.0f)));
        memcpy(u, y, sizeof u);
        for (k = 0; k < 16; k++) h[k] = lmi_half(u[k]);
        memcpy(out + i, h, sizeof h);
    }
}
/* Scales and offsets as a block has them: hs, hm, and s, m what these are. */
LMI_FN void LMI(halve)(lmi_fit *f) {
    LMI(to_f16)(f->s, 16, f->hs); LMI(to_f16)(f->m, 16, f->hm);
    LMI(store)(f->s, LMI(load_c)(f->hs)); LMI(store)(f->m, LMI(load_c)(f->hm));
}
static const lmi_fitter LMI(fitter) = { LMI(fit_scale), LMI(fit_line), LMI(weigh), LMI(codes), LMI(halve), LMI(common), LMI(to_f16), LMI(to_bf16), LMI(encode_q8_0) };
#endif /* LLAMA_NO_QUANTIZE */

#ifdef LLAMA_TRAIN
#if !defined(LLAMA_NO_DISPATCH) && LMI_PASS == LMI_AVXVNNI /* words of floats are those of a pass before */
#define LMI_TRAINER lmi_trainer_avx2
#elif !defined(LLAMA_NO_DISPATCH) && (LMI_PASS == LMI_NEONDOT || LMI_PASS == LMI_NEONI8MM)
#define LMI_TRAINER lmi_trainer_neon
#else
#define LMI_TRAINER LMI(trainer)
/* ---- training. Activations are woven: [tokens / 16][width][16], lanes are tokens, so that sums over a width need no sum over lanes, and every product
 * finds its vectors as they lie. LMI_R(word) are words of lm_real, which is float; tests compile it as double, over the scalar text. */
#if defined(LLAMA_TRAIN_DOUBLE)
#define LMI_R(f) lmi_##f##_real
#define LMI_REALS(expr) LMI_R(vf) r; int i; for (i = 0; i < 16; i++) r.v[i] = (expr); return r
typedef struct LMI_R(vf) { double v[16]; } LMI_R(vf);
LMI_OP LMI_R(vf) LMI_R(set1)(double x) { LMI_REALS(x); }
LMI_OP LMI_R(vf) LMI_R(load)(const double *p) { LMI_REALS(p[i]); }
LMI_OP void      LMI_R(store)(double *p, LMI_R(vf) a) { memcpy(p, a.v, sizeof a.v); }
LMI_OP LMI_R(vf) LMI_R(add)(LMI_R(vf) a, LMI_R(vf) b) { LMI_REALS(a.v[i] + b.v[i]); }
LMI_OP LMI_R(vf) LMI_R(sub)(LMI_R(vf) a, LMI_R(vf) b) { LMI_REALS(a.v[i] - b.v[i]); }
LMI_OP LMI_R(vf) LMI_R(mul)(LMI_R(vf) a, LMI_R(vf) b) { LMI_REALS(a.v[i] * b.v[i]); }
LMI_OP LMI_R(vf) LMI_R(div)(LMI_R(vf) a, LMI_R(vf) b) { LMI_REALS(a.v[i] / b.v[i]); }
LMI_OP LMI_R(vf) LMI_R(fma)(LMI_R(vf) a, LMI_R(vf) b, LMI_R(vf) c) { LMI_REALS(a.v[i] * b.v[i] + c.v[i]); }
LMI_OP LMI_R(vf) LMI_R(max)(LMI_R(vf) a, LMI_R(vf) b) { LMI_REALS(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
LMI_OP LMI_R(vf) LMI_R(sqrt)(LMI_R(vf) a) { LMI_REALS(sqrt(a.v[i])); }
LMI_OP LMI_R(vf) LMI_R(exp)(LMI_R(vf) a) { LMI_REALS(lmi_exp(a.v[i])); }
#undef LMI_REALS
#else
#define LMI_R(f) LMI(f)
#endif
typedef LMI_R(vf) LMI(vr);

/* The first n lanes of a vector in memory; fewer than 16 only at the right edge of a gradient. */
LMI_FN void LMI(edge)(const lm_real *p, int n, lm_real *t) { int i; for (i = 0; i < 16; i++) t[i] = i < n ? p[i] : 0; }
LMI_FN void LMI(put_edge)(lm_real *p, int n, const lm_real *t) { int i; for (i = 0; i < n; i++) p[i] = t[i]; }
LMI_OP LMI(vr) LMI(some)(const lm_real *p, int n) {
    lm_real t[16];
    if (n >= 16) return LMI_R(load)(p);
    LMI(edge)(p, n, t);
    return LMI_R(load)(t);
}
LMI_OP void LMI(put_some)(lm_real *p, LMI(vr) v, int n) {
    lm_real t[16];
    if (n >= 16) { LMI_R(store)(p, v); return; }
    LMI_R(store)(t, v); LMI(put_edge)(p, n, t);
}
/* m rows times nv vectors of lmi_tile's sums, from row i and vector v; m and nv are known where it is stamped, and so are a_k and a_i unless 0. With
 * `edge` a vector may have fewer than 16 lanes. */
LMI_OP void LMI(tile)(const lmi_tile *p, int i0, int v0, const int m, const int nv, const int edge, const size_t a_k, const size_t a_i) {
    LMI(vr) acc[LMI_TM * LMI_TV], x[LMI_TV], w; int i, v, q, k;
    const size_t ak = a_k ? a_k : p->a_k, ai = a_i ? a_i : p->a_i, bk = p->b_k, bv = p->b_v, ci = p->c_i, cv = p->c_v; const int lanes = p->n_lanes - 16 * v0;
    const lm_real *a = p->a + (size_t)(i0 / LMI_TM) * p->a_t + (size_t)(i0 % LMI_TM) * ai, *b = p->b + (size_t)v0 * bv;
    lm_real *c = p->c + (size_t)i0 * ci + (size_t)v0 * cv; const lm_real *add = p->add ? p->add + (c - p->c) : NULL;
    LMI_UNROLL for (i = 0; i < m * nv; i++) acc[i] = LMI_R(set1)(0);
    if (p->more) LMI_UNROLL for (i = 0; i < m; i++) LMI_UNROLL for (v = 0; v < nv; v++) {
        const lm_real *from = c + (size_t)i * ci + (size_t)v * cv;
        acc[i * nv + v] = edge ? LMI(some)(from, lanes) : LMI_R(load)(from);
    }
    for (q = 0; q < p->n_q; q++) {
        const lm_real *aa = a + (size_t)q * p->a_q, *bb = b + (size_t)q * p->b_q;
        for (k = 0; k < p->n_k; k++, aa += ak, bb += bk) {
            LMI_UNROLL for (v = 0; v < nv; v++) x[v] = LMI_R(load)(bb + (size_t)v * bv);
            LMI_UNROLL for (i = 0; i < m; i++) {
                w = LMI_R(set1)(aa[(size_t)i * ai]);
                LMI_UNROLL for (v = 0; v < nv; v++) acc[i * nv + v] = LMI_R(fma)(w, x[v], acc[i * nv + v]);
            }
        }
    }
    if (add) LMI_UNROLL for (i = 0; i < m; i++) LMI_UNROLL for (v = 0; v < nv; v++) {
        const lm_real *more = add + (size_t)i * ci + (size_t)v * cv;
        acc[i * nv + v] = LMI_R(add)(edge ? LMI(some)(more, lanes) : LMI_R(load)(more), acc[i * nv + v]);
    }
    LMI_UNROLL for (i = 0; i < m; i++) LMI_UNROLL for (v = 0; v < nv; v++) {
        lm_real *to = c + (size_t)i * ci + (size_t)v * cv;
        if (edge) LMI(put_some)(to, acc[i * nv + v], lanes); else LMI_R(store)(to, acc[i * nv + v]);
    }
}
#define LMI_STAMP_TILES(name, a_k, a_i)                                                                                                          \
    LMI_FN void LMI(tile_##name)(const lmi_tile *p, int i, int v) { LMI(tile)(p, i, v, LMI_TM, LMI_TV, 0, a_k, a_i); }                            \
    LMI_FN void LMI(tail_##name)(const lmi_tile *p, int i, int v) { LMI(tile)(p, i, v, 1, 1, 1, a_k, a_i); }                                      \
    LMI_FN void LMI(side_##name)(const lmi_tile *p, int i, int v) { LMI(tile)(p, i, v, LMI_TM, 1, 0, a_k, a_i); }                                 \
    LMI_FN void LMI(end_##name)(const lmi_tile *p, int i, int v) { LMI(tile)(p, i, v, LMI_TM > 3 ? 4 : 1, LMI_TV, 0, a_k, a_i); }                 \
    LMI_FN void LMI(block_##name)(const lmi_tile *p) {                                                                                           \
        int i, v, u, n;                                                                                                                           \
        for (v = 0; v < p->n_v; v += LMI_TV) for (i = 0; i < p->n_i; i += n) {                                                                    \
            const int whole = 16 * (v + LMI_TV) <= p->n_lanes, left = LMI_MIN(p->n_i - i, LMI_TM - i % LMI_TM);                                   \
            n = left >= LMI_TM ? LMI_TM : whole && LMI_TM > 3 && left > 3 ? 4 : 1;                                                                \
            if (whole && n == LMI_TM) LMI(tile_##name)(p, i, v);                                                                                  \
            else if (whole && n == 4) LMI(end_##name)(p, i, v);                                                                                   \
            else for (u = v; u < LMI_MIN(p->n_v, v + LMI_TV); u++) {                                                                              \
                if (n == LMI_TM && 16 * (u + 1) <= p->n_lanes) LMI(side_##name)(p, i, u);                                                         \
                else { int r; for (r = 0; r < n; r++) LMI(tail_##name)(p, i + r, u); }                                                            \
            }                                                                                                                                     \
        }                                                                                                                                         \
    }
LMI_STAMP_TILES(packed, LMI_TM, 1)    /* a in groups of LMI_TM rows */
LMI_STAMP_TILES(woven, 16, 1)         /* sums over a width, rows are lanes */
LMI_STAMP_TILES(across, 1, 16)        /* sums over lanes, rows are a width */
LMI_STAMP_TILES(rows, 1, 0)           /* rows of a matrix */
#undef LMI_STAMP_TILES
LMI_FN void LMI(block)(const lmi_tile *p) {
    if (p->a_i == 1 && p->a_k == LMI_TM) LMI(block_packed)(p);
    else if (p->a_i == 1) LMI(block_woven)(p);
    else if (p->a_i == 16 && p->n_q > 0 && p->a_t == 16 * LMI_TM) LMI(block_across)(p);
    else LMI(block_rows)(p);
}
/* n columns of a row of a matrix to groups of LMI_TM, `step` apart. */
LMI_FN void LMI(pack)(const lm_real *w, int n, lm_real *to, size_t step) {
    int i, u;
    for (i = 0; i + LMI_TM <= n; i += LMI_TM, to += step) LMI_UNROLL for (u = 0; u < LMI_TM; u++) to[u] = w[i + u];
    for (u = 0; i + u < n; u++) to[u] = w[i + u];
}
LMI_FN void LMI(turn)(const lm_real *in, int n, lm_real *out, size_t step) { /* n of 16 rows of 16 -> columns; the others' are 0 */
    int i, j;
    for (j = 0; j < 16; j++) {
        for (i = 0; i < n; i++) out[(size_t)j * step + (size_t)i] = in[16 * i + j];
        for (; i < 16; i++) out[(size_t)j * step + (size_t)i] = 0;
    }
}
/* RMSNorm of 16 tokens: r = 1 / sqrt(mean of squares + eps), y = (x r) w; with known r: y alone. Four partial sums, by k mod 4. */
LMI_FN void LMI(norm16)(const lm_real *x, int n, const lm_real *w, double eps, lm_real *r, lm_real *y) {
    LMI(vr) sum[4], v, one = LMI_R(set1)(1), rr; int k;
    for (k = 0; k < 4; k++) sum[k] = LMI_R(set1)(0);
    for (k = 0; k < n; k++) { v = LMI_R(load)(x + 16 * k); sum[k % 4] = LMI_R(fma)(v, v, sum[k % 4]); }
    v = LMI_R(add)(LMI_R(add)(sum[0], sum[1]), LMI_R(add)(sum[2], sum[3]));
    rr = LMI_R(div)(one, LMI_R(sqrt)(LMI_R(add)(LMI_R(div)(v, LMI_R(set1)((lm_real)n)), LMI_R(set1)((lm_real)eps))));
    LMI_R(store)(r, rr);
    for (k = 0; k < n; k++) LMI_R(store)(y + 16 * k, LMI_R(mul)(LMI_R(mul)(LMI_R(load)(x + 16 * k), rr), LMI_R(set1)(w[k])));
}
LMI_FN void LMI(renorm)(const lm_real *x, int n, const lm_real *w, const lm_real *r, lm_real *y) {
    LMI(vr) rr = LMI_R(load)(r); int k;
    for (k = 0; k < n; k++) LMI_R(store)(y + 16 * k, LMI_R(mul)(LMI_R(mul)(LMI_R(load)(x + 16 * k), rr), LMI_R(set1)(w[k])));
}
/* dx = add + r (w dy) - x r^3 / n sum(w dy x); add may be NULL or dx */
LMI_FN void LMI(norm_back)(const lm_real *x, int n, const lm_real *w, const lm_real *r, const lm_real *dy, const lm_real *add, lm_real *dx) {
    LMI(vr) sum[4], rr = LMI_R(load)(r), c, g; int k;
    for (k = 0; k < 4; k++) sum[k] = LMI_R(set1)(0);
    for (k = 0; k < n; k++) sum[k % 4] = LMI_R(fma)(LMI_R(mul)(LMI_R(load)(dy + 16 * k), LMI_R(set1)(w[k])), LMI_R(load)(x + 16 * k), sum[k % 4]);
    c = LMI_R(add)(LMI_R(add)(sum[0], sum[1]), LMI_R(add)(sum[2], sum[3]));
    c = LMI_R(mul)(LMI_R(mul)(rr, rr), LMI_R(div)(c, LMI_R(set1)((lm_real)n)));
    for (k = 0; k < n; k++) {
        g = LMI_R(sub)(LMI_R(mul)(LMI_R(load)(dy + 16 * k), LMI_R(set1)(w[k])), LMI_R(mul)(LMI_R(load)(x + 16 * k), c));
        g = LMI_R(mul)(g, rr);
        LMI_R(store)(dx + 16 * k, add ? LMI_R(add)(LMI_R(load)(add + 16 * k), g) : g);
    }
}
/* g[k] += sum over tokens of dy x r, for n <= 16 neighbours k: 16 sums by lane over the blocks, then sum over lanes in order. */
LMI_FN void LMI(norm_grad)(const lm_real *x, const lm_real *dy, const lm_real *r, int n, int n_blocks, size_t step, lm_real *g) {
    lm_real sum[16 * 16], s; int b, k, i;
    memset(sum, 0, sizeof sum);
    for (b = 0; b < n_blocks; b++, x += step, dy += step, r += 16) for (k = 0; k < n; k++)
        LMI_R(store)(sum + 16 * k, LMI_R(fma)(LMI_R(load)(dy + 16 * k), LMI_R(mul)(LMI_R(load)(x + 16 * k), LMI_R(load)(r)), LMI_R(load)(sum + 16 * k)));
    for (k = 0; k < n; k++) { for (s = 0, i = 0; i < 16; i++) s = s + sum[16 * k + i]; g[k] = g[k] + s; }
}
/* The pairs (2i, 2i+1) of one head, by the angles of 16 tokens; back turns the other way. */
LMI_FN void LMI(rotate)(lm_real *x, int n_rot, const lm_real *co, const lm_real *si, int back) {
    int i; LMI(vr) a, b, c, s, zero = LMI_R(set1)(0);
    for (i = 0; i < n_rot; i += 2) {
        a = LMI_R(load)(x + 16 * i); b = LMI_R(load)(x + 16 * i + 16); c = LMI_R(load)(co + 8 * i); s = LMI_R(load)(si + 8 * i);
        if (back) s = LMI_R(sub)(zero, s);
        LMI_R(store)(x + 16 * i, LMI_R(sub)(LMI_R(mul)(a, c), LMI_R(mul)(b, s)));
        LMI_R(store)(x + 16 * i + 16, LMI_R(add)(LMI_R(mul)(b, c), LMI_R(mul)(a, s)));
    }
}
/* A query (lane l, position q0 + l) sees keys start[l] .. q0 + l, at most `window` of them where that is not 0; other scores become -1e30. */
LMI_OP LMI(vr) LMI(seen)(LMI(vr) s, int k, int q0, const int32_t *start, int window) {
    lm_real t[16]; int l;
    if (k <= q0 && k >= start[15] && (window == 0 || k > q0 + 15 - window)) return s;
    LMI_R(store)(t, s);
    for (l = 0; l < 16; l++) if (k > q0 + l || k < start[l] || (window && k <= q0 + l - window)) t[l] = (lm_real)-1e30;
    return LMI_R(load)(t);
}
/* Scores s [n][step] of 16 queries and keys k0 .. -> e^(scale s - max); the sum's inverse, and lse = max + ln sum. */
LMI_FN void LMI(soften)(lm_real *s, size_t step, int n, int k0, int q0, const int32_t *start, int window, lm_real scale, lm_real *inv, lm_real *lse) {
    LMI(vr) top = LMI_R(set1)((lm_real)-1e30), sum = LMI_R(set1)(0), f = LMI_R(set1)(scale), e; lm_real t[16]; int k;
    for (k = 0; k < n; k++) {
        e = LMI(seen)(LMI_R(mul)(LMI_R(load)(s + (size_t)k * step), f), k0 + k, q0, start, window);
        LMI_R(store)(s + (size_t)k * step, e); top = LMI_R(max)(top, e);
    }
    for (k = 0; k < n; k++) {
        e = LMI_R(exp)(LMI_R(sub)(LMI_R(load)(s + (size_t)k * step), top));
        LMI_R(store)(s + (size_t)k * step, e); sum = LMI_R(add)(sum, e);
    }
    LMI_R(store)(inv, LMI_R(div)(LMI_R(set1)(1), sum));
    LMI_R(store)(t, sum); LMI_R(store)(lse, top);
    for (k = 0; k < 16; k++) lse[k] = lse[k] + (lm_real)lmi_log((double)t[k]);
}
LMI_FN void LMI(rescale)(lm_real *x, int n, const lm_real *by) { /* n vectors */
    LMI(vr) f = LMI_R(load)(by); int k;
    for (k = 0; k < n; k++) LMI_R(store)(x + 16 * k, LMI_R(mul)(LMI_R(load)(x + 16 * k), f));
}
/* Backward: s -> p = e^(scale s - lse); dp -> p (dp - sum(do o)) scale. do, o [dv][16]. */
LMI_FN void LMI(unsoften)(lm_real *s, lm_real *dp, size_t step, int n, int k0, int q0, const int32_t *start, int window, lm_real scale, const lm_real *lse,
    const lm_real *d_o, const lm_real *o, int dv) {
    LMI(vr) d = LMI_R(set1)(0), f = LMI_R(set1)(scale), l = LMI_R(load)(lse), p; int k;
    for (k = 0; k < dv; k++) d = LMI_R(fma)(LMI_R(load)(d_o + 16 * k), LMI_R(load)(o + 16 * k), d);
    for (k = 0; k < n; k++) {
        p = LMI(seen)(LMI_R(mul)(LMI_R(load)(s + (size_t)k * step), f), k0 + k, q0, start, window);
        p = LMI_R(exp)(LMI_R(sub)(p, l));
        LMI_R(store)(s + (size_t)k * step, p);
        LMI_R(store)(dp + (size_t)k * step, LMI_R(mul)(LMI_R(mul)(p, LMI_R(sub)(LMI_R(load)(dp + (size_t)k * step), d)), f));
    }
}
/* n vectors: y = silu(g) u. Backward, where y holds the gradient of that: y becomes it again, g and u their gradients. */
LMI_FN void LMI(gated)(const lm_real *g, const lm_real *u, int n, lm_real *y) {
    LMI(vr) one = LMI_R(set1)(1), zero = LMI_R(set1)(0), a; int k;
    for (k = 0; k < n; k++) {
        a = LMI_R(load)(g + 16 * k); a = LMI_R(div)(a, LMI_R(add)(one, LMI_R(exp)(LMI_R(sub)(zero, a))));
        LMI_R(store)(y + 16 * k, LMI_R(mul)(a, LMI_R(load)(u + 16 * k)));
    }
}
LMI_FN void LMI(gated_back)(lm_real *g, lm_real *u, int n, lm_real *y) { /* silu' = s (1 + g (1 - s)), s = 1 / (1 + e^-g) */
    LMI(vr) one = LMI_R(set1)(1), zero = LMI_R(set1)(0), a, b, d, s; int k;
    for (k = 0; k < n; k++) {
        a = LMI_R(load)(g + 16 * k); b = LMI_R(load)(u + 16 * k); d = LMI_R(load)(y + 16 * k);
        s = LMI_R(div)(one, LMI_R(add)(one, LMI_R(exp)(LMI_R(sub)(zero, a))));
        LMI_R(store)(g + 16 * k, LMI_R(mul)(LMI_R(mul)(d, b), LMI_R(mul)(s, LMI_R(fma)(a, LMI_R(sub)(one, s), one))));
        a = LMI_R(mul)(a, s);
        LMI_R(store)(u + 16 * k, LMI_R(mul)(d, a)); LMI_R(store)(y + 16 * k, LMI_R(mul)(a, b));
    }
}
/* Sums over n logits z of 16 tokens: top, sum of e^((z - top) / temp) in four parts by index mod 4, and of z; with keep the e^ take the place of z. */
LMI_FN void LMI(softsum)(lm_real *z, int n, lm_real cool, int keep, lm_real *top, lm_real *sum, lm_real *all) {
    LMI(vr) t = LMI_R(load)(z), s[4], a[4], f = LMI_R(set1)(cool), e; int k;
    for (k = 0; k < 4; k++) s[k] = a[k] = LMI_R(set1)(0);
    for (k = 1; k < n; k++) t = LMI_R(max)(t, LMI_R(load)(z + 16 * k));
    for (k = 0; k < n; k++) {
        e = LMI_R(load)(z + 16 * k); a[k % 4] = LMI_R(add)(a[k % 4], e);
        e = LMI_R(exp)(LMI_R(mul)(LMI_R(sub)(e, t), f)); s[k % 4] = LMI_R(add)(s[k % 4], e);
        if (keep) LMI_R(store)(z + 16 * k, e);
    }
    LMI_R(store)(top, t);
    LMI_R(store)(sum, LMI_R(add)(LMI_R(add)(s[0], s[1]), LMI_R(add)(s[2], s[3])));
    LMI_R(store)(all, LMI_R(add)(LMI_R(add)(a[0], a[1]), LMI_R(add)(a[2], a[3])));
}
/* z = hard e^(z - top) + soft e^((z - top) cool) - less; where kept, z are the first powers already, and soft is 0. */
LMI_FN void LMI(softgrad)(lm_real *z, int n, lm_real cool, int kept, const lm_real *top, const lm_real *hard, const lm_real *soft, const lm_real *less) {
    LMI(vr) t = LMI_R(load)(top), h = LMI_R(load)(hard), s = LMI_R(load)(soft), l = LMI_R(load)(less), f = LMI_R(set1)(cool), e, y; int k;
    for (k = 0; k < n; k++) {
        e = LMI_R(load)(z + 16 * k);
        if (kept) y = LMI_R(mul)(e, h);
        else { e = LMI_R(sub)(e, t); y = LMI_R(fma)(LMI_R(exp)(LMI_R(mul)(e, f)), s, LMI_R(mul)(LMI_R(exp)(e), h)); }
        LMI_R(store)(z + 16 * k, LMI_R(sub)(y, l));
    }
}
/* lm_train_step's formulas for n vectors; o: clip, beta1, 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1^t), 1 / (1 - beta2^t), eps, 1 - lr decay, ema, 1 - ema */
LMI_FN void LMI(adamw)(const lm_real *o, int n, lm_real *value, lm_real *grad, lm_real *m, lm_real *v, lm_real *ema) {
    int k; LMI(vr) g, a, b, x;
    for (k = 0; k < 16 * n; k += 16) {
        g = LMI_R(mul)(LMI_R(load)(grad + k), LMI_R(set1)(o[0]));
        a = LMI_R(fma)(LMI_R(load)(m + k), LMI_R(set1)(o[1]), LMI_R(mul)(g, LMI_R(set1)(o[2])));
        b = LMI_R(fma)(LMI_R(load)(v + k), LMI_R(set1)(o[3]), LMI_R(mul)(LMI_R(mul)(g, g), LMI_R(set1)(o[4])));
        LMI_R(store)(m + k, a); LMI_R(store)(v + k, b); LMI_R(store)(grad + k, LMI_R(set1)(0));
        x = LMI_R(add)(LMI_R(sqrt)(LMI_R(mul)(b, LMI_R(set1)(o[6]))), LMI_R(set1)(o[7]));
        x = LMI_R(sub)(LMI_R(mul)(LMI_R(load)(value + k), LMI_R(set1)(o[8])), LMI_R(div)(LMI_R(mul)(a, LMI_R(set1)(o[5])), x));
        LMI_R(store)(value + k, x);
        if (ema) LMI_R(store)(ema + k, LMI_R(fma)(LMI_R(load)(ema + k), LMI_R(set1)(o[9]), LMI_R(mul)(x, LMI_R(set1)(o[10]))));
    }
}
static const lmi_trainer LMI(trainer) = { LMI_TM, LMI_TV, LMI(block), LMI(pack), LMI(turn), LMI(norm16), LMI(renorm), LMI(norm_back), LMI(norm_grad), LMI(rotate), LMI(soften),
    LMI(rescale), LMI(unsoften), LMI(gated), LMI(gated_back), LMI(softsum), LMI(softgrad), LMI(adamw) };
#undef LMI_R
#endif
#endif /* LLAMA_TRAIN */

static const lmi_kernels LMI(kernels) = {
    LMI_ISA, LMI_PASS, LMI_NR, LMI(probe), LMI(quantize), LMI(rows), LMI(mul_f), LMI(mul_f1), LMI(mul_q), LMI(mul_q1), LMI(place), LMI(norm), LMI(rope), LMI(swiglu), LMI(attend)
#ifndef LLAMA_NO_QUANTIZE
    , &LMI(fitter)
#endif
#ifdef LLAMA_TRAIN
    , &LMI_TRAINER
#endif
};
#undef LMI_TRAINER

#if LMI_PASS == LMI_AVX512 && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#undef LMI_FN
#undef LMI_OP
#undef LMI_ISA
#undef LMI_UNROLL
#undef LMI_STEPS
#undef LMI_NR
#undef LMI_NT
#undef LMI_LACKS
#undef LMI_STARTS
#undef LMI_NF
#undef LMI_TM
#undef LMI_TV
#undef LMI_RUN
#undef LMI_NV
#undef LMI_NX
#undef LMI_S8
#undef LMI_LANES
#undef LMI_INTS
#undef LMI_BYTES
#undef LMI_BOTH
#undef LMI_ONE
#undef LMI_FOUR
#undef LMI_TARGET
#undef LMI_DPBUSD
#undef LMI_BYTES4
#if LMI_PASS == LMI_SCALAR || defined(LLAMA_NO_DISPATCH)
static const lmi_kernels *const lmi_base = &LMI(kernels); /* what runs everywhere */
#endif
#undef LMI
#ifdef LLAMA_NO_DISPATCH              /* this was the only pass, in place */
#undef LMI_PASS
#endif
#endif /* LMI_PASS */

#if defined(LMI_BODY) && !defined(LMI_PASS)
/* ============================================================================================== >>dispatch
 * Which kernels run (decided when a model is opened, from the CPU and LLAMA_ISA), the floating-point environment they need, and how
 * a job's items are spread over threads: the library's pool, OpenMP (LLAMA_OPENMP), or the caller's parallel_for. Items are
 * handed out from a counter, so a slow thread delays nobody for long.
 */
#if defined(LMI_ARM64) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(LMI_ARM64) && defined(__APPLE__)
int sysctlbyname(const char *name, void *out, size_t *n_out, void *in, size_t n_in); /* as in sys/sysctl.h, which strict C hides parts of */
#elif defined(LMI_X86) && defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static void lmi_cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4]) {
    int r[4];
    memset(out, 0, 16);
    __cpuid(r, (int)(leaf & 0x80000000u));
    if (leaf <= (uint32_t)r[0]) { __cpuidex(r, (int)leaf, (int)sub); memcpy(out, r, sizeof r); }
}
static uint64_t lmi_xgetbv(void) { return _xgetbv(0); }
#elif defined(LMI_X86)
#include <cpuid.h>
static void lmi_cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4]) {
    memset(out, 0, 16);
    if (leaf <= (uint32_t)__get_cpuid_max(leaf & 0x80000000u, NULL)) __cpuid_count(leaf, sub, out[0], out[1], out[2], out[3]);
}
static uint64_t lmi_xgetbv(void) { uint32_t lo, hi; __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0)); return (uint64_t)hi << 32 | lo; }
#endif

/* ---- which kernels */
#if defined(LMI_ARM64)
static int lmi_cpu_arm(void) {
    int dot = 0, i8mm = 0;
#if defined(_WIN32)
    dot = IsProcessorFeaturePresent(43) != 0;                /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
    i8mm = IsProcessorFeaturePresent(66) != 0;               /* PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE */
#elif defined(__linux__)
    dot = (int)(getauxval(16 /* AT_HWCAP */) >> 20 & 1);     /* HWCAP_ASIMDDP */
    i8mm = (int)(getauxval(26 /* AT_HWCAP2 */) >> 13 & 1);   /* HWCAP2_I8MM */
#else
#if defined(__ARM_FEATURE_DOTPROD)                           /* without an answer: what the compiler was told */
    dot = 1;
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
    i8mm = 1;
#endif
#if defined(__APPLE__)
    size_t n = sizeof(int);
    sysctlbyname("hw.optional.arm.FEAT_DotProd", &dot, &n, NULL, 0); n = sizeof(int);
    sysctlbyname("hw.optional.arm.FEAT_I8MM", &i8mm, &n, NULL, 0);
#endif
#endif
    return !dot ? LMI_NEON : !i8mm ? LMI_NEONDOT : LMI_NEONI8MM;
}
#endif

#if defined(LMI_X86)
static int lmi_cpu_avxvnni(void) {
#if defined(LLAMA_TEST_VNNI256)
    return 1;
#else
    uint32_t r[4];
    lmi_cpuid(7, 0, r);
    if (r[0] == 0) return 0;
    lmi_cpuid(7, 1, r);
    return r[0] >> 4 & 1;
#endif
}
#else
static int lmi_cpu_avxvnni(void) { return 0; }
#endif
static int lmi_cpu_pass(void) { /* the best that CPU and operating system support */
    int best = LMI_SCALAR;
#if defined(LMI_X86)
    uint32_t a[4], b[4]; const uint32_t need = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29; /* fma, osxsave, avx, f16c */
    uint64_t saved; int avx512;
    lmi_cpuid(1, 0, a); lmi_cpuid(7, 0, b);
    best = LMI_SSE2;                                         /* without it this is not compiled */
    if ((a[2] & need) != need) return best;
    saved = lmi_xgetbv();                                    /* registers that the operating system keeps */
    if ((saved & 6) != 6 || !(b[1] >> 5 & 1)) return best;
    avx512 = (saved & 0xe6) == 0xe6 && (b[1] >> 16 & 1) && (b[1] >> 30 & 1) && (b[1] >> 31 & 1) && (b[2] >> 11 & 1); /* F, BW, VL, VNNI */
    best = avx512 ? LMI_AVX512 : lmi_cpu_avxvnni() ? LMI_AVXVNNI : LMI_AVX2;
#elif defined(LMI_ARM64)
    best = lmi_cpu_arm();
#elif defined(LMI_WASM_SIMD)
    best = LMI_WASM;                                         /* a module with SIMD loads only where that runs */
#endif
    return best;
}

#if !defined(LLAMA_NO_ENV)
#include <stdlib.h>
static const char *lmi_env_isa(void) { return getenv("LLAMA_ISA"); } /* the only thing read from the environment */
#else
static const char *lmi_env_isa(void) { return NULL; }
#endif

/* The kernels compiled in, by pass. LLAMA_ISA means that instruction set or a lower one; one of another processor means scalar. */
#if defined(LLAMA_NO_DISPATCH)
#define LMI_ON_ANY(kernels) NULL
#else
#define LMI_ON_ANY(kernels) &kernels
#endif
#if defined(LMI_X86)
#define LMI_ON_X86(kernels) LMI_ON_ANY(kernels)
#else
#define LMI_ON_X86(kernels) NULL
#endif
#if defined(LMI_ARM64)
#define LMI_ON_ARM(kernels) LMI_ON_ANY(kernels)
#else
#define LMI_ON_ARM(kernels) NULL
#endif
#if defined(LMI_WASM_SIMD)
#define LMI_ON_WASM(kernels) LMI_ON_ANY(kernels)
#else
#define LMI_ON_WASM(kernels) NULL
#endif
#if defined(LMI_HAS_I8MM)
#define LMI_ON_I8MM(kernels) LMI_ON_ARM(kernels)
#else
#define LMI_ON_I8MM(kernels) NULL
#endif
#if defined(LMI_HAS_AVXVNNI)
#define LMI_ON_VNNI(kernels) LMI_ON_X86(kernels)
#else
#define LMI_ON_VNNI(kernels) NULL
#endif
static const struct lmi_isa { const char *name; const lmi_kernels *k; } lmi_isas[] = {
    { "", NULL }, { "scalar", LMI_ON_ANY(lmi_kernels_scalar) }, { "sse2", LMI_ON_X86(lmi_kernels_sse2) }, { "avx2", LMI_ON_X86(lmi_kernels_avx2) }, { "avxvnni", LMI_ON_VNNI(lmi_kernels_avxvnni) },
    { "avx512", LMI_ON_X86(lmi_kernels_avx512) }, { "neon", LMI_ON_ARM(lmi_kernels_neon) }, { "neondot", LMI_ON_ARM(lmi_kernels_neondot) },
    { "neoni8mm", LMI_ON_I8MM(lmi_kernels_neoni8mm) }, { "wasm", LMI_ON_WASM(lmi_kernels_wasm) }
};
#undef LMI_ON_ANY
#undef LMI_ON_X86
#undef LMI_ON_VNNI
#undef LMI_ON_ARM
#undef LMI_ON_I8MM
#undef LMI_ON_WASM
static lm_status lmi_kernels_pick(const lmi_kernels **out, lm_error *err) {
    const char *want = lmi_env_isa(); const lmi_kernels *k; int best = lmi_cpu_pass(), i;
    if (want && *want) {
        for (i = 1; i < LMI_COUNT(lmi_isas) && strcmp(want, lmi_isas[i].name) != 0; i++) {}
        if (i == LMI_COUNT(lmi_isas)) return lmi_fail(err, LM_E_ARG, "LLAMA_ISA is %s, expected scalar, sse2, avx2, avxvnni, avx512, neon, neondot, neoni8mm or wasm", want);
        best = LMI_MIN(best, lmi_isas[i].k ? i : LMI_SCALAR);
        if (best == LMI_AVXVNNI && !lmi_cpu_avxvnni()) best = LMI_AVX2; /* a CPU may have AVX-512 alone */
    }
#if defined(LLAMA_NO_DISPATCH)
    k = lmi_base;
    if (lmi_cpu_pass() < k->pass) return lmi_fail(err, LM_E_SUPPORT, "compiled with LLAMA_NO_DISPATCH for %s, which this CPU lacks", k->isa);
#else
    while ((k = lmi_isas[best].k) == NULL) best--;
#endif
    (void)best;
    if (!k->probe()) {
        return lmi_fail(err, LM_E_BUILD, "the compiler fuses or reorders arithmetic (%s kernels): compile llama.h's implementation without "
            "-ffp-contract=fast, -ffast-math and its parts", k->isa);
    }
    *out = k;
    return LM_OK;
}

/* ---- floating-point environment: round to nearest, subnormals kept, no traps; whatever the host had is put back. On processors not named here
 * only the rounding mode is set. */
#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__) && !defined(__TINYC__)
typedef uint32_t lmi_fpenv;
static void lmi_fp_leave(lmi_fpenv was) { __asm__ volatile("ldmxcsr %0" : : "m"(was) : "memory"); }
static lmi_fpenv lmi_fp_enter(void) { uint32_t was; __asm__ volatile("stmxcsr %0" : "=m"(was) : : "memory"); lmi_fp_leave(0x1f80); return was; }
#elif defined(LMI_X86)
typedef unsigned lmi_fpenv;
static lmi_fpenv lmi_fp_enter(void) { unsigned was = _mm_getcsr(); _mm_setcsr(0x1f80); return was; }
static void lmi_fp_leave(lmi_fpenv was) { _mm_setcsr(was); }
#elif defined(__aarch64__) && defined(__GNUC__)
typedef uint64_t lmi_fpenv;
static lmi_fpenv lmi_fp_enter(void) {
    uint64_t was, zero = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(was)); __asm__ volatile("msr fpcr, %0" : : "r"(zero) : "memory");
    return was;
}
static void lmi_fp_leave(lmi_fpenv was) { __asm__ volatile("msr fpcr, %0" : : "r"(was) : "memory"); }
#else
#include <fenv.h>
typedef int lmi_fpenv;
static lmi_fpenv lmi_fp_enter(void) { int was = fegetround(); fesetround(FE_TONEAREST); return was; }
static void lmi_fp_leave(lmi_fpenv was) { fesetround(was); }
#endif

/* ---- atomics, locks and threads, as thin as they can be; without atomics everything runs on the thread that calls */
#if ((defined(__GNUC__) || defined(__clang__)) && !defined(__TINYC__)) || defined(_MSC_VER)
#define LMI_ATOMICS 1
#else
#define LMI_ATOMICS 0
#endif
#if defined(LLAMA_OPENMP) && defined(_OPENMP)
#define LMI_THREADS 0
#elif defined(_WIN32) && !defined(LLAMA_NO_THREADS) && LMI_ATOMICS
#define LMI_THREADS 1
typedef CRITICAL_SECTION lmi_mutex; typedef CONDITION_VARIABLE lmi_cond; typedef HANDLE lmi_thread;
static int  lmi_mutex_init(lmi_mutex *m) { InitializeCriticalSection(m); return 0; }
static void lmi_mutex_done(lmi_mutex *m) { DeleteCriticalSection(m); }
static void lmi_lock(lmi_mutex *m) { EnterCriticalSection(m); }
static void lmi_unlock(lmi_mutex *m) { LeaveCriticalSection(m); }
static int  lmi_cond_init(lmi_cond *c) { InitializeConditionVariable(c); return 0; }
static void lmi_cond_done(lmi_cond *c) { (void)c; }
static void lmi_wait(lmi_cond *c, lmi_mutex *m) { SleepConditionVariableCS(c, m, INFINITE); }
static void lmi_wake_all(lmi_cond *c) { WakeAllConditionVariable(c); }
#define LMI_THREAD_MAIN(name) static DWORD WINAPI name(LPVOID arg)
#define LMI_THREAD_END return 0
static int  lmi_thread_start(lmi_thread *t, LPTHREAD_START_ROUTINE f, void *arg) { *t = CreateThread(NULL, 0, f, arg, 0, NULL); return *t ? 0 : 1; }
static void lmi_thread_join(lmi_thread t) { WaitForSingleObject(t, INFINITE); CloseHandle(t); }
#elif defined(LMI_POSIX) && !defined(LLAMA_NO_THREADS) && LMI_ATOMICS && (!defined(__EMSCRIPTEN__) || defined(__EMSCRIPTEN_PTHREADS__))
#define LMI_THREADS 1
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#if !defined(__cplusplus)
long syscall(long number, ...);       /* as in unistd.h, where strict C hides it */
#endif
#endif
typedef pthread_mutex_t lmi_mutex; typedef pthread_cond_t lmi_cond; typedef pthread_t lmi_thread;
static int  lmi_mutex_init(lmi_mutex *m) { return pthread_mutex_init(m, NULL); }
static void lmi_mutex_done(lmi_mutex *m) { pthread_mutex_destroy(m); }
static void lmi_lock(lmi_mutex *m) { pthread_mutex_lock(m); }
static void lmi_unlock(lmi_mutex *m) { pthread_mutex_unlock(m); }
static int  lmi_cond_init(lmi_cond *c) { return pthread_cond_init(c, NULL); }
static void lmi_cond_done(lmi_cond *c) { pthread_cond_destroy(c); }
static void lmi_wait(lmi_cond *c, lmi_mutex *m) { pthread_cond_wait(c, m); }
static void lmi_wake_all(lmi_cond *c) { pthread_cond_broadcast(c); }
#define LMI_THREAD_MAIN(name) static void *name(void *arg)
#define LMI_THREAD_END return NULL
static int lmi_thread_start(lmi_thread *t, void *(*f)(void *), void *arg) { /* the host's signals are for the host's threads */
#ifdef SIG_SETMASK /* strict C99 hides it */
    sigset_t all, was; int failed;
    sigfillset(&all); pthread_sigmask(SIG_SETMASK, &all, &was);
    failed = pthread_create(t, NULL, f, arg);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    return failed;
#else
    return pthread_create(t, NULL, f, arg);
#endif
}
static void lmi_thread_join(lmi_thread t) { pthread_join(t, NULL); }
#else
#define LMI_THREADS 0
#endif

#if LMI_ATOMICS && (defined(__GNUC__) || defined(__clang__))
static LMI_UNUSED uint64_t lmi_fetch_add(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
static LMI_UNUSED uint64_t lmi_atomic_get(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static void lmi_atomic_set(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
static int lmi_swap_if(uint64_t *p, uint64_t is, uint64_t to) { return __atomic_compare_exchange_n(p, &is, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); }
#elif LMI_ATOMICS
static LMI_UNUSED uint64_t lmi_fetch_add(uint64_t *p, uint64_t v) { return (uint64_t)InterlockedExchangeAdd64((volatile LONG64 *)p, (LONG64)v); }
static LMI_UNUSED uint64_t lmi_atomic_get(const uint64_t *p) { return (uint64_t)InterlockedOr64((volatile LONG64 *)(uintptr_t)p, 0); }
static void lmi_atomic_set(uint64_t *p, uint64_t v) { InterlockedExchange64((volatile LONG64 *)p, (LONG64)v); }
static int lmi_swap_if(uint64_t *p, uint64_t is, uint64_t to) { return InterlockedCompareExchange64((volatile LONG64 *)p, (LONG64)to, (LONG64)is) == (LONG64)is; }
#else /* one thread at a time */
static LMI_UNUSED uint64_t lmi_fetch_add(uint64_t *p, uint64_t v) { uint64_t was = *p; *p += v; return was; }
static LMI_UNUSED uint64_t lmi_atomic_get(const uint64_t *p) { return *p; }
static void lmi_atomic_set(uint64_t *p, uint64_t v) { *p = v; }
static int lmi_swap_if(uint64_t *p, uint64_t is, uint64_t to) { if (*p != is) return 0; *p = to; return 1; }
#endif
static LMI_UNUSED void lmi_relax(void) {
#if defined(LMI_X86)
    _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("yield");
#endif
}

/* Cores that compute independently: processors online, less those that share a core with another. At least 1. */
static int lmi_physical_cores(void) {
    int n = 1;
#if defined(_WIN32)
    SYSTEM_INFO info; GetSystemInfo(&info); n = (int)info.dwNumberOfProcessors;
#elif defined(LMI_POSIX) && defined(_SC_NPROCESSORS_ONLN)
    long online = sysconf(_SC_NPROCESSORS_ONLN); n = online > 0 && online < 4096 ? (int)online : 1;
#endif
#if defined(LMI_X86)
    {   uint32_t r[4]; lmi_cpuid(11, 0, r);                  /* extended topology: processors per core */
        if ((r[2] >> 8 & 255) == 1 && (r[1] & 0xffff) > 1) n /= (int)(r[1] & 0xffff);
    }
#endif
    return LMI_MAX(n, 1);
}
LMI_API int lm_cores(void) { return lmi_physical_cores(); }

/* ---- a team of threads and the work it shares. Slot 0 is the thread that calls; a slot owns scratch.
 * The caller hands in a list of works, to be done one after the other; a work is a number of items, in any order. Nobody leads: whichever thread
 * finishes the last item of a work begins the next. A work's items are cut into one range a slot, so that each thread reads on through its
 * own part of the weights; a thread whose range is empty takes half of what is left of another's, from its end: so many that it, too, reads on.
 * Nobody waits for a thread that the system keeps from running: its range is taken by the others, and the items that it holds are computed again by
 * whoever has waited as long as two items take. For this, work that matters has two parts: compute() leaves results in the slot's scratch and
 * touches nothing else, and commit() puts them in place, after the item's holder has made sure that it still is. A thread that wakes up later
 * reads what others write by then, from memory that stays valid, and throws its result away. */
#define LMI_MAX_THREADS 256
#ifndef LLAMA_SPIN
#define LLAMA_SPIN 100                /* microseconds for which a thread looks for work before it parks: more than there are between two products, so
                                         that it need not be woken in a decode; so little that a stopped one soon finds a free core */
#endif
typedef struct lmi_work lmi_work;
typedef void (*lmi_job)(void *owner, const lmi_work *w, int slot, int item, int n); /* n items, at most w->most */
struct lmi_work {
    lmi_job compute, commit;          /* commit NULL: compute does all */
    int n_items, most, rows, n_tok, layer, n_mat, add, first[3]; const int *who; const float *in, *norm, *up; const lmi_act *act; lmi_act *made; const struct lmi_mat *mat[3]; float *out[3]; /* as the job has them (section forward) */
};
typedef struct lmi_share {            /* one slot's part; a line of its own */
    uint64_t range;                   /* an LMI_RANGE: items not begun */
    uint64_t held;                    /* while items are computed that others may take over, an LMI_HELD of them; 0: none, or somebody has taken over */
    uint64_t cpu;                     /* 1 + the processor on which its thread was seen, 0: none yet */
    char rest[40];
} lmi_share;
#define LMI_RANGE(first, end, most) ((uint64_t)(most) << 56 | (uint64_t)(first) << 28 | (uint64_t)(end)) /* at most `most` are taken at once */
#define LMI_AGAIN ((uint64_t)1 << 63) /* taken over once: not again, so that it ends however wrong the guess at its time is */
#define LMI_HELD(item, n, done) ((uint64_t)(done) << 36 | (uint64_t)(n) << 31 | (uint64_t)(item)) /* n < 32 items, `done` finished but not counted */
#define LMI_MOST 16                   /* items taken at once */
typedef struct lmi_team lmi_team;
typedef struct lmi_member { lmi_team *team; int slot; } lmi_member;
struct lmi_team {
    int n;                            /* slots */
    const lm_hooks *hooks;
    void *owner; lmi_share *share;    /* [n] */
    const lmi_work *list; int n_list; /* stays as it is while an item of it is unfinished */
    uint64_t at, serial;              /* the work that items are of; counts works */
    uint64_t over;                    /* 1: the list is done */
    uint64_t round; char line1[56];   /* counts changes of the three words above; words that threads fight for stand on lines of their own */
    uint64_t left;  char line2[56];   /* items not finished and counted */
    uint64_t parked, quit;            /* threads asleep */
#if LMI_THREADS
    int started;
    lmi_mutex lock; lmi_cond wake;
    lmi_thread thread[LMI_MAX_THREADS]; lmi_member member[LMI_MAX_THREADS];
#endif
};

static void lmi_team_share(lmi_team *t, const lmi_work *w) {
    int i; uint64_t n = (uint64_t)w->n_items, k = (uint64_t)t->n;
    for (i = 0; i < t->n; i++) lmi_atomic_set(&t->share[i].range, LMI_RANGE(n * (uint64_t)i / k, n * ((uint64_t)i + 1) / k, w->most));
}
/* n items from the one returned, or -1: up to half of those in the own range, from its beginning, or in another's, from its end. */
static int lmi_team_take(lmi_team *t, int slot, int *n) {
    int k; uint64_t v, first, end, *p;
    for (k = 0; k < t->n; k++) {
        p = &t->share[(slot + k) % t->n].range;
        while (v = lmi_atomic_get(p), first = v >> 28 & 0xfffffff, end = v & 0xfffffff, first < end) {
            *n = (int)LMI_MIN((end - first + 1) / 2, v >> 56);
            if (lmi_swap_if(p, v, k ? v - (uint64_t)*n : v + LMI_RANGE(*n, 0, 0))) return (int)(k ? end - (uint64_t)*n : first);
        }
    }
    return -1;
}
static void lmi_team_do(lmi_team *t, const lmi_work *w, int slot, int item, int n) {
    w->compute(t->owner, w, slot, item, n);
    if (w->commit) w->commit(t->owner, w, slot, item, n);
}
static void lmi_team_slot(void *arg, int slot) { /* a job of the host's, or OpenMP's: the items of one work */
    lmi_team *t = (lmi_team *)arg; const lmi_work *w = &t->list[t->at]; int item, n; lmi_fpenv fp = lmi_fp_enter();
    while ((item = lmi_team_take(t, slot, &n)) >= 0) lmi_team_do(t, w, slot, item, n);
    lmi_fp_leave(fp);
}

#if LMI_THREADS
static void lmi_team_turn(lmi_team *t) { /* something changed: wake whoever sleeps */
    lmi_fetch_add(&t->round, 1);
    if (!lmi_atomic_get(&t->parked)) return;
    lmi_lock(&t->lock); lmi_wake_all(&t->wake); lmi_unlock(&t->lock);
}
/* What a thread knows of the work at hand. */
typedef struct lmi_mate { int slot, done; lmi_work w; uint64_t serial, item_us, seen_us; } lmi_mate; /* done: items finished but not counted */
/* n items that this thread has won and nobody else can finish until they are held. As long as an item is unfinished its work stays the current one,
 * so this is where to ask which that is; from then on the thread has a copy. */
static void lmi_team_hold(lmi_team *t, lmi_mate *me, int item, int n, uint64_t again) {
    uint64_t *held = &t->share[me->slot].held, mine = again | LMI_HELD(item, n, me->done), serial = lmi_atomic_get(&t->serial);
    if (me->serial != serial) { me->serial = serial; me->w = t->list[lmi_atomic_get(&t->at)]; }
    if (me->w.commit) {
        lmi_atomic_set(held, mine);
        me->w.compute(t->owner, &me->w, me->slot, item, n);
        if (!lmi_swap_if(held, mine, 0)) { me->done = 0; return; } /* somebody else finishes them, and counts all */
        me->w.commit(t->owner, &me->w, me->slot, item, n);
    } else me->w.compute(t->owner, &me->w, me->slot, item, n);
    me->done += n;
}
static void lmi_team_begin(lmi_team *t, lmi_mate *me, int i) { /* work i, all before it being done */
    for (; i < t->n_list; i++) {
        lmi_atomic_set(&t->left, (uint64_t)t->list[i].n_items);
        lmi_atomic_set(&t->at, (uint64_t)i);
        lmi_fetch_add(&t->serial, 1);
        if (t->list[i].n_items > 1) { lmi_team_share(t, &t->list[i]); lmi_team_turn(t); return; } /* once shared, all may be done and the list be another */
        if (t->list[i].n_items == 0) continue;
        lmi_team_hold(t, me, 0, 1, 0);                       /* a single one is nothing to share */
        if (me->done == 0) return;
        me->done = 0;
    }
    lmi_atomic_set(&t->over, 1);
    lmi_team_turn(t);
}
static int lmi_team_take_over(lmi_team *t, lmi_mate *me) { /* what another thread holds; not under tools that watch for races */
    int s; uint64_t v;
#if !defined(LMI_CHECKED) && !defined(__SANITIZE_THREAD__)
    for (s = 0; s < t->n; s++) {
        v = lmi_atomic_get(&t->share[s].held);
        if (v == 0 || (v & LMI_AGAIN) || !lmi_swap_if(&t->share[s].held, v, 0)) continue;
        me->done = (int)(v >> 36);
        lmi_team_hold(t, me, (int)(v & INT32_MAX), (int)(v >> 31 & 31), LMI_AGAIN);
        return 1;
    }
#endif
    (void)t; (void)me; (void)s; (void)v;
    return 0;
}
/* Until something changes; items that another thread holds are taken over once twice as many would have been computed. */
static void lmi_team_wait(lmi_team *t, lmi_mate *me, uint64_t seen) {
    uint64_t t0 = lmi_now_us(), us, enough = 2 * me->item_us + 10; int k;
    for (k = 0; k < LLAMA_SPIN * 1024; k++) {                /* an end where there is no clock */
        if (lmi_atomic_get(&t->round) != seen || lmi_atomic_get(&t->quit)) return;
        lmi_relax();
        if (k % 64 != 63) continue;
        us = lmi_since(t0);
        if (us > enough && lmi_team_take_over(t, me)) return;
        if (us > LMI_MAX(LLAMA_SPIN, enough)) break;
    }
    lmi_lock(&t->lock);
    lmi_fetch_add(&t->parked, 1);
    while (lmi_atomic_get(&t->round) == seen && !lmi_atomic_get(&t->quit)) lmi_wait(&t->wake, &t->lock);
    lmi_fetch_add(&t->parked, (uint64_t)0 - 1);
    lmi_unlock(&t->lock);
}
/* Two threads of a team that share a processor, while another one is in use by somebody else, get half of what they could: the system sees two busy
 * processors and moves nothing. So a thread of ours that finds itself beside a lower slot's is sent away, and may run anywhere again. */
#if defined(__linux__)
#define LMI_LONG_BITS (8 * (int)sizeof(unsigned long))
static void lmi_team_spread(lmi_team *t, int slot) {
    unsigned long all[128], apart[128], free_cpus = 0; unsigned cpu; int i, n; uint64_t other, same = 0;
    if (syscall(SYS_getcpu, &cpu, NULL, NULL) != 0) return;
    lmi_atomic_set(&t->share[slot].cpu, (uint64_t)cpu + 1);
    for (i = 0; i < slot; i++) same |= lmi_atomic_get(&t->share[i].cpu) == (uint64_t)cpu + 1;
    if (!same || (n = (int)syscall(SYS_sched_getaffinity, 0, sizeof all, all)) <= 0) return;
    memcpy(apart, all, sizeof all);
    for (i = 0; i < t->n; i++) {
        other = lmi_atomic_get(&t->share[i].cpu);
        if (other > 0 && other <= (uint64_t)n * 8) apart[(int)(other - 1) / LMI_LONG_BITS] &= ~(1ul << ((int)(other - 1) % LMI_LONG_BITS));
    }
    for (i = 0; i < n / (int)sizeof *apart; i++) free_cpus |= apart[i];
    if (free_cpus && syscall(SYS_sched_setaffinity, 0, (size_t)n, apart) == 0) syscall(SYS_sched_setaffinity, 0, (size_t)n, all);
}
#else
static void lmi_team_spread(lmi_team *t, int slot) { (void)t; (void)slot; }
#endif
static void lmi_team_work(lmi_team *t, int slot) { /* the caller: begins the list, until it is done; others: for ever */
    int item, n, k, all; uint64_t seen, t0, t1; lmi_mate me;
    memset(&me, 0, sizeof me);
    me.slot = slot;
    if (slot == 0) lmi_team_begin(t, &me, 0);
    while (!lmi_atomic_get(&t->quit)) {
        seen = lmi_atomic_get(&t->round);
        if (slot == 0 && lmi_atomic_get(&t->over)) return;
        t0 = lmi_now_us();
        if (t0 - me.seen_us >= 1000) { lmi_team_spread(t, slot); me.seen_us = t0; }
        for (k = all = 0; (item = lmi_team_take(t, slot, &n)) >= 0; k++) {
            lmi_team_hold(t, &me, item, n, 0);
            if (k == 0) { t1 = lmi_now_us(); me.item_us = t1 - t0; t0 = t1; } /* of the first and of the others' mean the less: this thread may have been stopped, too */
            else all++;
        }
        if (all > 0) me.item_us = LMI_MIN(me.item_us, lmi_since(t0) / (uint64_t)all);
        n = me.done; me.done = 0;
        if (n > 0 && lmi_fetch_add(&t->left, (uint64_t)0 - (uint64_t)n) == (uint64_t)n) lmi_team_begin(t, &me, (int)lmi_atomic_get(&t->at) + 1);
        else lmi_team_wait(t, &me, seen);
    }
}
LMI_THREAD_MAIN(lmi_team_main) {
    lmi_member *me = (lmi_member *)arg;
    lmi_fp_enter();
    lmi_team_work(me->team, me->slot);
    LMI_THREAD_END;
}
#endif

/* The works of the list, on whatever threads there are; returns when all are done. */
static void lmi_team_run(lmi_team *t, const lmi_work *list, int n_list) {
    int i, k; const lmi_work *w; lmi_fpenv fp;
    t->list = list; t->n_list = n_list;
#if LMI_THREADS
    if (t->n > 1 && t->hooks->parallel_for == NULL) {
        lmi_atomic_set(&t->over, 0);
        lmi_team_work(t, 0);
        return;
    }
#endif
    for (k = 0; k < n_list; k++) {
        w = &list[k];
        if (t->n == 1 || w->n_items == 1) {
            fp = lmi_fp_enter();
            for (i = 0; i < w->n_items; i += w->most) lmi_team_do(t, w, 0, i, LMI_MIN(w->most, w->n_items - i));
            lmi_fp_leave(fp);
            continue;
        }
        t->at = (uint64_t)k;
        lmi_team_share(t, w);
        if (t->hooks->parallel_for) { t->hooks->parallel_for(t->hooks->user, t->n, lmi_team_slot, t); continue; }
#if defined(LLAMA_OPENMP) && defined(_OPENMP)
        #pragma omp parallel for num_threads(t->n) schedule(static, 1)
#endif
        for (i = 0; i < t->n; i++) lmi_team_slot(t, i);
    }
}
static int lmi_team_size(int wanted, const lm_hooks *hooks) { /* slots; wanted 0: physical cores */
#if !LMI_THREADS && !(defined(LLAMA_OPENMP) && defined(_OPENMP))
    if (hooks->parallel_for == NULL || !LMI_ATOMICS) return 1;
#endif
    (void)hooks;
    return LMI_MIN(wanted > 0 ? wanted : lmi_physical_cores(), LMI_MAX_THREADS);
}
/* n slots; starts n - 1 threads unless someone else brings them. Fewer threads than wanted is no error: items find their way. */
static lm_status lmi_team_open(lmi_team *t, int n, const lm_hooks *hooks, void *owner, lm_error *err) {
    t->n = n; t->hooks = hooks; t->owner = owner;
    (void)err;
#if LMI_THREADS
    if (lmi_mutex_init(&t->lock) != 0) return lmi_fail(err, LM_E_MEMORY, "no lock for the threads");
    if (lmi_cond_init(&t->wake) != 0) { lmi_mutex_done(&t->lock); return lmi_fail(err, LM_E_MEMORY, "no condition for the threads"); }
    for (; t->started < n - 1 && hooks->parallel_for == NULL; t->started++) {
        t->member[t->started].team = t; t->member[t->started].slot = t->started + 1;
        if (lmi_thread_start(&t->thread[t->started], lmi_team_main, &t->member[t->started]) != 0) break;
    }
#endif
    return LM_OK;
}
static void lmi_team_close(lmi_team *t) {
#if LMI_THREADS
    int i;
    if (t->n == 0) return;
    lmi_lock(&t->lock);
    lmi_atomic_set(&t->quit, 1); lmi_wake_all(&t->wake);
    lmi_unlock(&t->lock);
    for (i = 0; i < t->started; i++) lmi_thread_join(t->thread[i]);
    lmi_cond_done(&t->wake); lmi_mutex_done(&t->lock);
#endif
    t->n = 0;
}

/* ============================================================================================== >>quantize
 * From floats to blocks. What a type leaves open are its scales and offsets (a code is then the nearest number), and they are chosen to minimize
 * sum of w (x - x')^2, w the importance of a column, by least squares in turns: codes for scales, scales for codes, from several beginnings. Of a
 * super-block, the scales of its sub-blocks are fitted first as if they were free, then rounded to multiples of a common one; multiples beside the
 * nearest are tried, and the common scale is fitted again to what they became. All sums run in the order of the weights, 16 blocks side by side
 * (section kernels, "fitting of scales"), so bytes are the same on every instruction set, and blocks know nothing of each other.
 * Q5_0 without importance keeps a block's largest number as it is, as llama.cpp does: least squares have 9 % less error and are worth less, because the few
 * largest of ffn_down matter (SmolLM2 over 3,570 tokens: perplexity 1.4 % above llama.cpp's file, so 0.15 %).
 * Q8_0 without importance, F16 and BF16 leave nothing open: d = amax / 127 and the nearest numbers, the bytes that everybody's converter writes.
 */
#ifndef LLAMA_NO_QUANTIZE
typedef struct lmi_recipe { int type, n, per, line, minus, iq4, lo, hi, levels_lo, levels_hi, n_try, n_more, n_plain; float tries[16], shifts[16]; } lmi_recipe;
#define LMI_NO16 { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
static const lmi_recipe lmi_recipes[] = {
    { LMI_Q4_0,   32,  1, 0, 0, 0,   -8,   7,    0,   0,  8, 2, 2, { -8, -8.4f, -7.4f, -9.2f, 7, 7.6f, -6.8f, 8.2f }, LMI_NO16 },
    { LMI_Q5_0,   32,  1, 0, 0, 0,  -16,  15,    0,   0,  8, 2, 1, { -16, -15, -15.5f, -16.5f, -17, -14.5f, 15, 15.5f }, LMI_NO16 },
    { LMI_Q8_0,   32,  1, 0, 0, 0, -127, 127,    0,   0,  2, 0, 0, { 127, 126.5f }, LMI_NO16 },
    { LMI_Q4_1,   32,  1, 1, 0, 0,    0,  15,    0,   0,  8, 2, 2, { 15, 15.5f, 14.5f, 14, 16, 16.5f, 17, 15.2f }, LMI_NO16 },
    { LMI_Q5_1,   32,  1, 1, 0, 0,    0,  31,    0,   0,  8, 2, 2, { 31, 30, 31.5f, 30.5f, 32, 32.5f, 33, 31.2f }, LMI_NO16 },
    { LMI_IQ4_NL, 32,  1, 0, 0, 1, -127, 113,    0,   0, 12, 2, 0, { -127, -120, -113, -134, -141, -106, -148, 113, 106, 120, 127, -130 }, LMI_NO16 },
    { LMI_Q2_K,   16, 16, 1, 1, 0,    0,   3,    0,  15, 12, 3, 0, { 3, 2.7f, 2.4f, 3.3f, 3.6f, 4, 3, 3.3f, 3.6f, 4, 4.4f, 3.6f },
        { 0, 0, 0, 0, 0, 0, .05f, .05f, .08f, .1f, .12f, .15f } },
    { LMI_Q3_K,   16, 16, 0, 0, 0,   -4,   3,  -32,  31, 9, 2, 0, { -4, -3.6f, -3.2f, -4.4f, -4.8f, 3, 3.4f, 3.8f, -5.3f }, LMI_NO16 },
    { LMI_Q4_K,   32,  8, 1, 1, 0,    0,  15,    0,  63,  8, 2, 0, { 15, 14.5f, 15.5f, 14, 16, 16.5f, 17, 15.2f }, LMI_NO16 },
    { LMI_Q5_K,   32,  8, 1, 1, 0,    0,  31,    0,  63,  8, 2, 0, { 31, 30.5f, 31.5f, 30, 32, 32.5f, 33, 31.2f }, LMI_NO16 },
    { LMI_Q6_K,   16, 16, 0, 0, 0,  -32,  31, -128, 127,  8, 2, 0, { -32, -31.5f, -32.5f, -31, -33, -30.5f, 31, 31.5f }, LMI_NO16 },
    { LMI_IQ4_XS, 32,  8, 0, 0, 1, -127, 113,  -32,  31, 12, 2, 0, { -127, -120, -113, -134, -141, -106, -148, 113, 106, 120, 127, -130 }, LMI_NO16 },
};
static const lmi_recipe *lmi_recipe_of(int type) {
    int i;
    for (i = 0; i < LMI_COUNT(lmi_recipes); i++) if (lmi_recipes[i].type == type) return &lmi_recipes[i];
    return NULL;
}
static int lmi_little(void) { uint16_t one = 1; uint8_t first; memcpy(&first, &one, 1); return first; } /* endian; a constant to compilers */
static void lmi_put_u16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v & 255); p[1] = (uint8_t)(v >> 8 & 255); }
static void lmi_put_u32(uint8_t *p, uint32_t v) { if (lmi_little()) memcpy(p, &v, 4); else { lmi_put_u16(p, v & 0xffff); lmi_put_u16(p + 2, v >> 16); } }
static float lmi_as_f16(float x) { return lmi_f16(lmi_to_f16(LMI_MAX(-65504.0f, LMI_MIN(65504.0f, x)))); } /* what is left of a scale in a block */
static void lmi_put_f16(uint8_t *p, float x) { lmi_put_u16(p, lmi_to_f16(x)); }
static int lmi_nearest(float x, int lo, int hi) { return x <= (float)lo ? lo : x >= (float)hi ? hi : (int)lmi_f32_bits(x + 12582912.0f) - 0x4b400000; }

/* v[i] ~ d * l[i], l[i] within lo..hi, errors weighted by a[i]: -> d. */
static float lmi_levels(const float *v, const float *a, int n, int lo, int hi, int *l) {
    float top = 0, d = 0, gain = -1; int i, t, tries = lo < 0 ? 12 : 7;
    for (i = 0; i < n; i++) if (v[i] * v[i] > top * top) top = v[i];
    for (i = 0; i < n; i++) l[i] = 0;
    if (!(top * top > 0)) return 0;
    for (t = 0; t < tries + 1; t++) { /* ends of the range, and a little beside them; at last the best again */
        float to = t == tries ? 0 : t % 2 && lo < 0 ? (float)lo + 0.3f * (float)(t / 2 - 2) : (float)hi + 0.3f * (float)((lo < 0 ? t / 2 : t) - 3);
        float inv = t == tries ? 1 / d : to / top, xq = 0, qq = 0;
        for (i = 0; i < n; i++) { float q = (float)lmi_nearest(v[i] * inv, lo, hi); xq += a[i] * v[i] * q; qq += a[i] * q * q; }
        if (qq > 0 && xq * xq > gain * qq) { gain = xq * xq / qq; d = xq / qq; if (d * d > 0) continue; }
        if (d * d <= 0) d = top / (float)hi;
    }
    for (i = 0; i < n; i++) l[i] = lmi_nearest(v[i] / d, lo, hi);
    return d;
}

/* 16 lanes under work: their multiples of the super-blocks' scales, and those scales. */
typedef struct lmi_super { int l[16], k[16]; float d[16], m[16]; } lmi_super; /* d, m: of each lane's super-block, as float16 has them; m >= 0 */
static void lmi_super_try(lmi_fit *f, const lmi_super *u) {
    int i;
    for (i = 0; i < 16; i++) { f->s[i] = u->d[i] * (float)u->l[i]; f->m[i] = -u->m[i] * (float)u->k[i]; }
}
/* Tries multiples one up and one down for all lanes, of l and then of k; f holds the sums of the best at the end. */
static void lmi_super_step(const lmi_recipe *r, const lmi_fitter *fit, lmi_fit *f, lmi_super *u) {
    lmi_super best = *u; lmi_fit kept; int i, t, which;
    lmi_super_try(f, u); fit->weigh(f); kept = *f;
    for (which = 0; which <= r->line; which++) {
        lmi_super from = best;
        for (t = -1; t <= 1; t += 2) {
            *u = from;
            for (i = 0; i < 16; i++) {
                if (which) u->k[i] = LMI_MAX(0, LMI_MIN(r->levels_hi, u->k[i] + t));
                else u->l[i] = LMI_MAX(r->levels_lo, LMI_MIN(r->levels_hi, u->l[i] + t));
            }
            lmi_super_try(f, u); fit->weigh(f);
            for (i = 0; i < 16; i++) {
                if (f->e[i] >= kept.e[i]) continue;
                best.l[i] = u->l[i]; best.k[i] = u->k[i];
                kept.e[i] = f->e[i]; kept.xq[i] = f->xq[i]; kept.qq[i] = f->qq[i];
                kept.q[i] = f->q[i]; kept.sx[i] = f->sx[i]; kept.sw[i] = f->sw[i];
            }
        }
    }
    *u = best; *f = kept;
}
/* The best d (and m) for multiples and codes as they are: least squares. */
static void lmi_super_refit(const lmi_recipe *r, const lmi_fit *f, lmi_super *u, int first) {
    double a = 0, b = 0, c = 0, p = 0, q = 0, det, d, m; int i; /* a d - b m = p, -b d + c m = q */
    for (i = first; i < first + r->per; i++) {
        double l = u->l[i], k = u->k[i];
        a += l * l * (double)f->qq[i]; p += l * (double)f->xq[i];
        if (r->line) { b += l * k * (double)f->q[i]; c += k * k * (double)f->sw[i]; q -= k * (double)f->sx[i]; }
    }
    if (!(a > 0)) return;
    det = a * c - b * b;
    if (det > 1e-9 * a * c) { d = (p * c + q * b) / det; m = (a * q + b * p) / det; } else { d = (p + b * (double)u->m[first]) / a; m = (double)u->m[first]; }
    if (r->line && (m < 0 || d < 0)) return;
    for (i = first; i < first + r->per; i++) { u->d[i] = lmi_as_f16((float)d); u->m[i] = lmi_as_f16((float)m); }
}
static void lmi_super_fit(const lmi_recipe *r, const lmi_fitter *fit, lmi_fit *f, lmi_super *u, int rounds) {
    float away[16]; int i, g;
    for (g = 0; g < 16; g += r->per) {
        float d = lmi_as_f16(lmi_levels(f->s + g, f->qq + g, r->per, r->levels_lo, r->levels_hi, u->l + g)), m = 0;
        for (i = g; i < g + r->per; i++) { u->k[i] = 0; away[i] = -f->m[i]; }
        if (r->line) m = lmi_as_f16(lmi_levels(away + g, f->sw + g, r->per, 0, r->levels_hi, u->k + g));
        for (i = g; i < g + r->per; i++) { u->d[i] = d; u->m[i] = m; }
    }
    for (; rounds > 0; rounds--) {
        lmi_super_step(r, fit, f, u);
        for (g = 0; rounds > 1 && g < 16; g += r->per) lmi_super_refit(r, f, u, g);
    }
    lmi_super_try(f, u);
}

/* ---- bytes: codes c[0..n) of a block, from 0, and its scales -> the layout that section kernels reads */
static void lmi_pack_low(uint8_t *p, const uint8_t *c, int n_bits, int mask) { /* 128 codes, 32 a byte column */
    int j, k, per = 8 / n_bits;
    for (j = 0; j < 32; j++) { p[j] = 0; for (k = 0; k < per; k++) p[j] = (uint8_t)(p[j] | (c[32 * k + j] & mask) << n_bits * k); }
}
/* Blocks of 32 from the words that section kernels' codes makes of them: a block's scale, offset, fifth bits, and the rest. */
static void lmi_pack_small(int bits, int offset, int n_blocks, const float *words, const uint16_t *d, const uint16_t *m, uint8_t *out) {
    int i, b, n = bits == 8 ? 8 : 4; uint32_t u[32], pair[128];
    for (i = 0; i < n + (bits == 5); i++) {
        memcpy(u, words + 32 * i, sizeof u);
        for (b = 0; b < 16; b++) pair[16 * i + b] = (u[b] & 0xffff) | u[16 + b] << 16;
    }
    for (b = 0; b < n_blocks; b++) {
        lmi_put_u16(out, d[b]); out += 2;
        if (offset) { lmi_put_u16(out, m[b]); out += 2; }
        if (bits == 5) { lmi_put_u32(out, pair[64 + b]); out += 4; }
        for (i = 0; i < n; i++, out += 4) lmi_put_u32(out, pair[16 * i + b]);
    }
}
static void lmi_pack_scales(uint8_t *p, const int *l, const int *k) { /* Q4_K, Q5_K: 6 bits of l and k, 8 of each */
    int j;
    for (j = 0; j < 4; j++) {
        p[j] = (uint8_t)(l[j] | l[j + 4] >> 4 << 6); p[4 + j] = (uint8_t)(k[j] | k[j + 4] >> 4 << 6);
        p[8 + j] = (uint8_t)((l[j + 4] & 15) | (k[j + 4] & 15) << 4);
    }
}
static void lmi_pack_high(uint8_t *p, const uint8_t *c, int shift) { /* one bit of 256 codes: bit s of byte j is weight 32 s + j */
    int j, s;
    for (j = 0; j < 32; j++) { p[j] = 0; for (s = 0; s < 8; s++) p[j] = (uint8_t)(p[j] | (c[32 * s + j] >> shift & 1) << s); }
}
static void lmi_pack_super(int type, uint8_t *p, const uint8_t *c, const int *l, const int *k, float d, float m) { /* blocks of 256 */
    int i, j; unsigned high = 0;
    switch (type) {
        case LMI_Q2_K:
            for (j = 0; j < 16; j++) p[j] = (uint8_t)(l[j] | k[j] << 4);
            for (i = 0; i < 2; i++) lmi_pack_low(p + 16 + 32 * i, c + 128 * i, 2, 3);
            lmi_put_f16(p + 80, d); lmi_put_f16(p + 82, m); break;
        case LMI_Q3_K:
            lmi_pack_high(p, c, 2);
            for (i = 0; i < 2; i++) lmi_pack_low(p + 32 + 32 * i, c + 128 * i, 2, 3);
            memset(p + 96, 0, 12);
            for (j = 0; j < 16; j++) {
                int v = l[j] + 32;
                p[96 + j % 8] = (uint8_t)(p[96 + j % 8] | (v & 15) << j / 8 * 4); p[104 + j % 4] = (uint8_t)(p[104 + j % 4] | v >> 4 << 2 * (j / 4));
            }
            lmi_put_f16(p + 108, d); break;
        case LMI_Q4_K: case LMI_Q5_K:
            lmi_put_f16(p, d); lmi_put_f16(p + 2, m); lmi_pack_scales(p + 4, l, k); p += 16;
            if (type == LMI_Q5_K) { lmi_pack_high(p, c, 4); p += 32; }
            for (i = 0; i < 4; i++) lmi_pack_low(p + 32 * i, c + 64 * i, 4, 15);
            break;
        case LMI_Q6_K:
            for (i = 0; i < 2; i++) {
                uint8_t top[128];
                for (j = 0; j < 64; j++) p[64 * i + j] = (uint8_t)((c[128 * i + j] & 15) | (c[128 * i + 64 + j] & 15) << 4);
                for (j = 0; j < 128; j++) top[j] = c[128 * i + j] >> 4;
                lmi_pack_low(p + 128 + 32 * i, top, 2, 3);
            }
            for (j = 0; j < 16; j++) p[192 + j] = (uint8_t)(l[j] & 255);
            lmi_put_f16(p + 208, d); break;
        default: /* IQ4_XS */
            memset(p, 0, 8); lmi_put_f16(p, d);
            for (j = 0; j < 8; j++) { p[4 + j / 2] = (uint8_t)(p[4 + j / 2] | ((l[j] + 32) & 15) << j % 2 * 4); high |= (unsigned)(l[j] + 32) >> 4 << 2 * j; }
            lmi_put_u16(p + 2, high);
            for (j = 0; j < 8; j++) for (i = 0; i < 16; i++) p[8 + 16 * j + i] = (uint8_t)(c[32 * j + i] | c[32 * j + 16 + i] << 4);
    }
}

/* in [4][step] -> out [4][16], turned. */
static void lmi_turn4(const float *in, int step, float *out) {
#if defined(LMI_X86)
    __m128 a = _mm_loadu_ps(in), b = _mm_loadu_ps(in + step), c = _mm_loadu_ps(in + 2 * step), d = _mm_loadu_ps(in + 3 * step);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(out, a); _mm_storeu_ps(out + 16, b); _mm_storeu_ps(out + 32, c); _mm_storeu_ps(out + 48, d);
#else
    int i, k;
    for (i = 0; i < 4; i++) for (k = 0; k < 4; k++) out[16 * i + k] = in[step * k + i];
#endif
}
static void lmi_turn(const float *x, int n, int lanes, float *out) { /* [lanes][n] -> [n][16] */
    int i, l;
    if (lanes < 16) memset(out, 0, (size_t)n * 16 * sizeof *out);
    for (l = 0; l + 4 <= lanes; l += 4) for (i = 0; i < n; i += 4) lmi_turn4(x + n * l + i, n, out + 16 * i + l);
    for (; l < lanes; l++) for (i = 0; i < n; i++) out[16 * i + l] = x[n * l + i];
}
/* Up to 16 lanes of contiguous weights, n_blocks blocks; w: importance of these, NULL: none. */
static void lmi_quantize_group(const lmi_recipe *r, const lmi_fitter *fit, const float *const levels[2], const float *x, const float *w, int n_blocks,
    uint8_t *out) {
    float xs[LMI_GROUP], ws[LMI_GROUP], ys[LMI_GROUP]; lmi_fit f; lmi_super u; int i, l, b, lanes = n_blocks * r->per; uint8_t c[256];
    unsigned block = 0, block_bytes = 0;
    lmi_turn(x, r->n, lanes, xs);
    if (w) lmi_turn(w, r->n, lanes, ws);
    memset(f.m, 0, sizeof f.m); f.plain = 0;
    f.n = r->n; f.line = r->line; f.minus = r->minus; f.iq4 = r->iq4; f.lo = (float)r->lo; f.hi = (float)r->hi;
    f.levels[0] = levels[0]; f.levels[1] = levels[1];
    f.x = xs; f.w = w ? ws : NULL; f.y = ys; f.tries = r->tries; f.shifts = r->shifts; f.n_try = r->n_try; f.n_more = r->n_more;
    if (w == NULL && r->n_plain) { f.plain = r->n_plain == 1 ? 2 : 1; f.n_try = r->n_plain; f.n_more = 0; } /* 2: no search, the largest is kept as it is */
    if (r->line) fit->line(&f); else fit->scale(&f);
    f.x = xs;
    if (r->per == 1) {
        fit->halve(&f);
        i = r->hi - r->lo < 16 || r->iq4 ? 4 : r->hi - r->lo < 32 ? 5 : 8;
        fit->codes(&f, i, ys);
        lmi_pack_small(i, r->line, n_blocks, ys, f.hs, f.hm, out);
        return;
    }
    lmi_super_fit(r, fit, &f, &u, 3);
    fit->codes(&f, 0, ys);
    lmi_type_block(r->type, &block, &block_bytes);
    for (b = 0; b < n_blocks; b++, out += block_bytes) {
        for (l = 0; l < r->per; l++) for (i = 0; i < r->n; i++) c[r->n * l + i] = (uint8_t)(lmi_f32_bits(ys[16 * i + r->per * b + l]) & 255);
        l = r->per * b;
        lmi_pack_super(r->type, out, c, u.l + l, u.k + l, u.d[l], u.m[l]);
    }
}
static void lmi_quantize_floats(int type, const lmi_fitter *fit, const float *x, int n, uint8_t *out) { /* x: LMI_GROUP of them, n are wanted */
    uint32_t u[LMI_GROUP]; uint16_t h[LMI_GROUP]; int i;
    if (type == LMI_F32) {
        memcpy(u, x, sizeof u);
        for (i = 0; i < n; i++) { lmi_put_u16(out + 4 * i, u[i] & 0xffff); lmi_put_u16(out + 4 * i + 2, u[i] >> 16); }
        return;
    }
    if (type == LMI_BF16) fit->to_bf16(x, h); else fit->to_f16(x, LMI_GROUP, h);
    if (lmi_little()) memcpy(out, h, (size_t)n * 2);
    else for (i = 0; i < n; i++) lmi_put_u16(out + 2 * i, h[i]);
}
/* For cells of half a unit from -128 on: the level of lmi_iq4 that is nearest, and its index. */
static void lmi_near_iq4(float level[512], float index[512]) {
    int n, k;
    for (n = 0, k = 0; n < 512; n++) {
        float y = ((float)n - 255.5f) / 2;
        while (k < 15 && y > 0.5f * (float)(lmi_iq4[k] + lmi_iq4[k + 1])) k++;
        level[n] = (float)lmi_iq4[k]; index[n] = (float)k;
    }
}
static lm_status lmi_quantize(const lmi_kernels *k, int type, const float *x, uint64_t n_rows, uint64_t n_per_row, const float *importance,
    uint8_t *out) {
    const lmi_recipe *r = lmi_recipe_of(type); const lmi_type *t = lmi_type_of(type); uint64_t at, n, total = n_rows * n_per_row; int i;
    float nearby[2][512], w[LMI_GROUP], rest[LMI_GROUP], most = 0; const float *levels[2], *from;
    for (at = 0; importance && at < n_per_row; at++) {
        if (!(importance[at] >= 0) || !lmi_finite(importance[at])) return LM_E_NUMERIC;
        most = LMI_MAX(most, importance[at]);
    }
    levels[0] = nearby[0]; levels[1] = nearby[1];
    if (r && r->iq4) lmi_near_iq4(nearby[0], nearby[1]);
    for (at = 0; at < total; at += n, out += n / t->n * t->n_bytes) {
        n = LMI_MIN(total - at, r ? 16 * (uint64_t)r->n : LMI_GROUP); from = x + at;
        if (n < LMI_GROUP) { memset(rest, 0, sizeof rest); memcpy(rest, from, (size_t)n * sizeof *rest); from = rest; }
        if (!k->fitter->common(from)) {
            if (from != rest) memcpy(rest, from, sizeof rest);
            for (from = rest, i = 0; i < LMI_GROUP; i++) {
                if (!lmi_finite(rest[i])) return LM_E_NUMERIC;
                if (r) rest[i] = LMI_MAX(-3e8f, LMI_MIN(3e8f, rest[i])); /* no block reaches so far; squares must not overflow */
            }
        }
        if (r == NULL) lmi_quantize_floats(type, k->fitter, from, (int)n, out);
        else if (type == LMI_Q8_0 && importance == NULL) k->fitter->q8_0(from, (int)n, out);
        else {
            for (i = 0; importance && i < (int)n; i++) w[i] = most > 0 ? importance[(at + (uint64_t)i) % n_per_row] / most + 1e-12f : 1;
            lmi_quantize_group(r, k->fitter, levels, from, importance ? w : NULL, (int)(n / t->n), out);
        }
    }
    return LM_OK;
}
LMI_API lm_status lm_quantize(int type, const float *x, uint64_t n_rows, uint64_t n_per_row, const float *importance, void *out) {
    const lmi_type *t = lmi_type_of(type); const lmi_kernels *k; uint64_t total; lmi_fpenv fp; lm_status s;
    if (t == NULL || x == NULL || out == NULL || n_per_row % t->n != 0 || !lmi_mul(n_rows, n_per_row, &total) || total > SIZE_MAX / 4) return LM_E_ARG;
    if (lmi_recipe_of(type) == NULL && !(t->flags & LMI_FLT)) return LM_E_SUPPORT;
    LMI_TRY(lmi_kernels_pick(&k, NULL));
    fp = lmi_fp_enter();
    s = lmi_quantize(k, type, x, n_rows, n_per_row, importance, (uint8_t *)out);
    lmi_fp_leave(fp);
    return s;
}

/* ---- mixes: which tensor of a model gets which type. Sizes and names are llama.cpp's, whose users know what to expect of "Q4_K_M": a little more
 * for what hurts most (values, the inputs of down projections, the first and last layers), Q6_K for the output. file_type: of general.file_type. */
typedef struct lmi_mix { const char *name; int file_type, type; } lmi_mix;
static const lmi_mix lmi_mixes[] = {
    { "F32", 0, LMI_F32 }, { "F16", 1, LMI_F16 }, { "BF16", 32, LMI_BF16 }, { "Q8_0", 7, LMI_Q8_0 }, { "Q4_0", 2, LMI_Q4_0 }, { "Q4_1", 3, LMI_Q4_1 },
    { "Q5_0", 8, LMI_Q5_0 }, { "Q5_1", 9, LMI_Q5_1 }, { "Q2_K", 10, LMI_Q2_K }, { "Q2_K_S", 21, LMI_Q2_K }, { "Q3_K_S", 11, LMI_Q3_K },
    { "Q3_K_M", 12, LMI_Q3_K }, { "Q3_K_L", 13, LMI_Q3_K }, { "Q4_K_S", 14, LMI_Q4_K }, { "Q4_K_M", 15, LMI_Q4_K }, { "Q5_K_S", 16, LMI_Q5_K },
    { "Q5_K_M", 17, LMI_Q5_K }, { "Q6_K", 18, LMI_Q6_K }, { "IQ4_NL", 25, LMI_IQ4_NL }, { "IQ4_XS", 30, LMI_IQ4_XS }
};
enum { LMI_MIX_Q4_0 = 2, LMI_MIX_Q5_0 = 8, LMI_MIX_Q2_K = 10, LMI_MIX_Q3_K_M = 12, LMI_MIX_Q3_K_L = 13, LMI_MIX_Q4_K_S = 14, LMI_MIX_Q4_K_M = 15,
    LMI_MIX_Q5_K_M = 17, LMI_MIX_Q2_K_S = 21, LMI_MIX_IQ4_NL = 25, LMI_MIX_IQ4_XS = 30 };
LMI_API int lm_mix_find(const char *name) {
    lmi_str want; int i;
    if (name == NULL) return -1;
    want = lmi_cstr(name);
    for (i = 0; i < LMI_COUNT(lmi_mixes); i++) {
        lmi_str s = lmi_cstr(lmi_mixes[i].name); size_t n = want.n;
        if (lmi_str_eq(s, want)) return lmi_mixes[i].file_type;
        if (n == 4 && n + 2 == s.n && memcmp(s.p, name, n) == 0 && memcmp(s.p + n, "_M", 2) == 0) return lmi_mixes[i].file_type; /* "Q4_K": the middle one */
    }
    return -1;
}
typedef struct lmi_mixing { const lmi_mix *mix; int tied, wide, huge, n_value, n_down, important; } lmi_mixing; /* wide: 4 heads or more share keys */
static int lmi_has(lmi_str s, const char *part) {
    size_t n = strlen(part), i;
    for (i = 0; i + n <= s.n; i++) if (memcmp(s.p + i, part, n) == 0) return 1;
    return 0;
}
static int64_t lmi_first_int(const lmi_gguf *g, lmi_str arch, const char *key) { /* of an array its first; 0: none */
    char full[160]; lmi_out o; lm_meta m, item;
    o.p = full; o.n = 0; o.cap = sizeof full;
    lmi_put_text(&o, arch, 1); lmi_puts(&o, key); full[o.n] = 0;
    if (!lmi_kv(g, full, &m)) return 0;
    if (m.type == LM_META_ARR) { if (lm_meta_item(&m, 0, &item) != LM_OK) return 0; m = item; }
    return m.type == LM_META_STR ? 0 : m.i;
}
static int lmi_mixing_of(lmi_mixing *x, const lmi_gguf *g, const char *name, int important) { /* 0: no such mix */
    int i, id = lm_mix_find(name); uint64_t k; lmi_str arch; int64_t heads, kv;
    memset(x, 0, sizeof *x);
    for (i = 0; i < LMI_COUNT(lmi_mixes); i++) if (lmi_mixes[i].file_type == id) x->mix = &lmi_mixes[i];
    if (x->mix == NULL) return 0;
    lmi_want_str(g, "general.architecture", "", &arch, NULL);
    heads = lmi_first_int(g, arch, ".attention.head_count"); kv = lmi_first_int(g, arch, ".attention.head_count_kv");
    x->wide = kv > 0 && heads / kv >= 4; x->huge = kv > 0 && heads != kv && lmi_first_int(g, arch, ".block_count") == 80;
    x->tied = 1; x->important = important;
    for (k = 0; k < g->n_tensor; k++) {
        lmi_str t = g->tensor[k].name;
        if (lmi_str_is(t, "output.weight")) x->tied = 0;
        x->n_value += lmi_has(t, "attn_v.weight"); x->n_down += lmi_has(t, "ffn_down");
    }
    return 1;
}
static int lmi_mix_layer(lmi_str name) { /* "blk.7.": 7; -1 */
    size_t i; int n = 0;
    if (name.n < 6 || memcmp(name.p, "blk.", 4) != 0) return -1;
    for (i = 4; i < name.n && i < 10 && name.p[i] >= '0' && name.p[i] <= '9'; i++) n = n * 10 + name.p[i] - '0';
    return i > 4 && i < name.n && name.p[i] == '.' ? n : -1;
}
static int lmi_mix_choice(const lmi_mixing *x, const lmi_tensor *t) { /* before anything is said about the row's length */
    int type = x->mix->type, mix = x->mix->file_type, i = lmi_mix_layer(t->name), n; lmi_str name = t->name; unsigned block = 1, bytes;
    lmi_type_block(type, &block, &bytes);
    if (lmi_str_is(name, "output.weight") || (x->tied && lmi_str_is(name, "token_embd.weight")))
        return t->dims[0] % block != 0 ? LMI_Q8_0 : type == LMI_Q8_0 ? type : LMI_Q6_K;
    n = lmi_has(name, "attn_v.weight") ? x->n_value : x->n_down;
#define LMI_MORE (i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2) /* the layers that the _M mixes give more */
    if (lmi_has(name, "attn_v.weight")) {
        if (mix == LMI_MIX_Q2_K) type = x->wide ? LMI_Q4_K : LMI_Q3_K;
        else if (mix == LMI_MIX_Q2_K_S && x->wide) type = LMI_Q4_K;
        else if (mix == LMI_MIX_Q3_K_M) type = i < 2 ? LMI_Q5_K : LMI_Q4_K;
        else if (mix == LMI_MIX_Q3_K_L) type = LMI_Q5_K;
        else if ((mix == LMI_MIX_IQ4_NL || mix == LMI_MIX_IQ4_XS) && x->wide) type = LMI_Q5_K;
        else if ((mix == LMI_MIX_Q4_K_M || mix == LMI_MIX_Q5_K_M) && LMI_MORE) type = LMI_Q6_K;
        else if (mix == LMI_MIX_Q4_K_S && i < 4) type = LMI_Q5_K;
        if (x->huge && (type == LMI_Q3_K || type == LMI_Q4_K)) type = LMI_Q5_K;
    } else if (lmi_has(name, "ffn_down")) {
        if (mix == LMI_MIX_Q2_K) type = LMI_Q3_K;
        else if (mix == LMI_MIX_Q2_K_S) type = i < n / 8 ? LMI_Q4_K : type;
        else if (mix == LMI_MIX_Q3_K_M) type = i < n / 16 ? LMI_Q5_K : LMI_Q4_K;
        else if (mix == LMI_MIX_Q3_K_L) type = LMI_Q5_K;
        else if (mix == LMI_MIX_Q4_K_M || mix == LMI_MIX_Q5_K_M) type = LMI_MORE ? LMI_Q6_K : type;
        else if (i < n / 8 && (mix == LMI_MIX_Q4_K_S || (!x->important && (mix == LMI_MIX_IQ4_NL || mix == LMI_MIX_IQ4_XS)))) type = LMI_Q5_K;
        else if (i < n / 8 && x->important && (mix == LMI_MIX_Q4_0 || mix == LMI_MIX_Q5_0)) type = mix == LMI_MIX_Q4_0 ? LMI_Q4_1 : LMI_Q5_1;
    } else if (lmi_has(name, "attn_output.weight")) {
        if (mix == LMI_MIX_Q2_K) type = LMI_Q3_K;
        else if (mix == LMI_MIX_Q3_K_M) type = LMI_Q4_K;
        else if (mix == LMI_MIX_Q3_K_L) type = LMI_Q5_K;
    } else if (lmi_has(name, "attn_qkv.weight")) {
        if (mix == LMI_MIX_Q3_K_M || mix == LMI_MIX_Q3_K_L) type = LMI_Q4_K;
        else if (mix == LMI_MIX_Q4_K_M) type = LMI_Q5_K;
        else if (mix == LMI_MIX_Q5_K_M) type = LMI_Q6_K;
    }
#undef LMI_MORE
    return type;
}
/* The type of a tensor: matrices whose name ends in "weight", but for norms and what chooses experts; others stay as they are. */
static int lmi_mix_type(const lmi_mixing *x, const lmi_tensor *t) {
    int type = x->mix->type; unsigned block = 1, bytes; lmi_str name = t->name;
    int matrix = t->dims[1] > 1 || t->dims[2] > 1 || t->dims[3] > 1;
    if (!matrix || name.n < 6 || memcmp(name.p + name.n - 6, "weight", 6) != 0 || lmi_has(name, "_norm.weight") || lmi_has(name, "ffn_gate_inp")) return t->type;
    if (lmi_recipe_of(type) == NULL) return type;
    type = lmi_mix_choice(x, t);
    lmi_type_block(type, &block, &bytes);
    if (t->dims[0] % block != 0) { /* the next larger type of 32 */
        type = type == LMI_Q2_K || type == LMI_Q3_K ? LMI_Q4_0 : type == LMI_Q4_K ? LMI_Q5_0 : type == LMI_Q5_K ? LMI_Q5_1 : type == LMI_Q6_K ? LMI_Q8_0 : LMI_IQ4_NL;
        if (t->dims[0] % 32 != 0) type = LMI_F16;
    }
    return type;
}
#endif /* LLAMA_NO_QUANTIZE */

/* ============================================================================================== >>text
 * Text to token ids and back. Three steps: special tokens are found in the text; what lies between them is cut into words by the
 * regular expressions of the model's pre-tokenizer (byte-level BPE; SentencePiece cuts before spaces only where no token could span the
 * cut); inside a word the best pair of neighbours is merged until none is left.
 *   SentencePiece BPE with byte fallback ("llama"): https://github.com/google/sentencepiece (bpe_model.cc); best = highest score
 *   byte-level BPE ("gpt2"): https://github.com/huggingface/tokenizers (models/bpe, pre_tokenizers); best = first in the list of merges
 * Where llama.cpp and these originals differ, the originals are followed. Ties go to the left. Merging uses a linked list and a heap of
 * candidates, so time is n log n for any text. Bytes that are not UTF-8 are single characters of no class. The tables are Unicode 16.0's.
 */

#define LMI_MAX_TEXT    0x20000000u   /* bytes in one call: offsets, times 3 for U+2581, stay below 2^32 */
#define LMI_MAX_SPECIAL 256           /* bytes; a longer special token is never found in text: bounds the search at each byte */
#define LMI_NONE        0xffffffffu

/* ---- Unicode (https://www.unicode.org/reports/tr44, tr15). Encoded by tools/unicode.py, where the format is described. */
enum { LMI_LU, LMI_LL, LMI_LT, LMI_LM, LMI_LO, LMI_M, LMI_N, LMI_P, LMI_S, LMI_WHITE, LMI_OTHER, LMI_LULL /* in turns */ };

enum { LMI_N_CLASS = 2605, LMI_N_CCC = 393, LMI_N_CANON = 2081, LMI_N_COMPOSED = 961 }; /* Unicode 16.0.0, by tools/unicode.py */
static const char lmi_text_class[][143] = {
    "ghcgph_gae_fde_fbehd`eaf`ex^ae_f_e_fx__e_f_e_fdh_gxh_g_ecf_e`f_b_e_f_hbf`d_f__`e_f_d_b_ead_eu^_fe^v__ff_Bui`_mi`_Bli`^___^___^a_`^___^__`^__a^",
    "`_b^__`^__a^a_`^__`^__bi`^___^`__^__`^__a^___^__`^`__b_^a_bb_^_`___^_`___^_`__mi`_oi`__^_`___^__a^__Bwie_`^__`^`__^__b^__eiCc__by_pabfjalfcaef",
    "_a_f_aofDncbi_a_f_^__`h_aa__e_^bh`f_^_ea^_h_^_h`^__o^_hg^Ba__^`_a^a_uic__^___f_^__`^`_Bq^Bn_B`i_fecBti`^__ii`_D^i_hBd^`h_adeBg_`e`haf_hBkc_e_c",
    "_e`c_e`c_e_cfhybbhbb`eohaf`e_f`e`fic_e_haeB^b_ahbschdbe`b_cDab_e_bec_h_fdc`a`c_fbc`bhdab`f_ble`h_b_c|byc`hCwbic_blhhdB_bgc`a_fae_a`h_c`ftbbc_a",
    "gc_aac_acc`hme_hwbac`h_e_hibchvb_fdbfhgcBgb_avc_hB_cBtbac_bpc_bechb`c`ehd_e_ambac_hfb`h`b`htb_heb_h_bahbb`h_c_bec`h`c`hac_bfh_cbh`b_hab`c`hhd`",
    "b`fdd`f_b_e_c`hac_hdbbh`b`htb_heb_h`b_h`b_h`b`h_c_hccbh`c`hacah_cehbb_h_behhd`cab_c_ehhac_hgb_hab_htb_heb_h`b_hcb`h_c_bfc_hac_hac`h_bmh`b`c`hh",
    "d_e_feh_bdc_hac_hfb`h`b`htb_heb_h`b_hcb`h_c_bec`h`c`hacehacbh`b_hab`c`hhd_f_bddhh_c_b_hdbahab_hbbah`b_h_b_h`bah`bahabahjbbhccahac_hbc`h_bdh_cl",
    "hkdffchccfb_hab_hub_hnb`h_c_bec_hac_hbceh`c_hab`h_b`h`b`c`hhdeh_eed_f_bac_efb_hab_hub_hhb_hcb`h_c_bec_hac_hbceh`cdh`b_h`b`c`hhd_h`b_cjhbcgb_ha",
    "b_hBgb`c_bec_hac_hbc_b_fbhab_cedab`c`hqd_fdb_hac_hpbahvb_hgb_h_b`hebah_cbhdc_h_c_hfcdhhd`h`c_ejhBnb_c`becbh_fdb_afc_ehd`eBch`b_h_b_hcb_hvb_h_b",
    "_hhb_c`bgc_b`hcb_h_a_hec_hhd`hbbB^h_bafme_f_eaf`cdfrd_f_c_f_c_f_cbe`cfb_hBbbbhrc_e`ccbic_hBbc_hff_cdf_h`fcebf`eBchBibrc_bhddedbbcbbac_bac`beca",
    "bbckbjc_b_chdbc`fBd^_h_^ch_^`hBi__e_aa_Kgb_hbb`heb_h_b_hbb`hBgb_hbb`hB_b_hbb`heb_h_b_hbb`hmb_hBwb_hbb`hCab`hacgerdahnbhfdhCt^`hd_`h_eTjb_f_eob",
    "_gxb`eahCibaeadfbehpbbcghqbac`eghpb`cjhkb_hab_h`cjhBrbB^cae_aae_f_b_c`hhddhhddhieac_h_chddhBab_aBsbehcb`cB`b_c_bchCdbhh}b_hjcbhjcbh_fah`ehd|b`",
    "hcbihBjbbhxbdhidahB`fubcc`h`eBsbhc_h{c`h_chddhhddhee_ade`h}cBohccBmbocfb_h`ehdeehfgcgfaeac|bkc`bhdBjblcfhbeBbbrcahcehdahabhd|bda`eg__^__chBi^`",
    "ha^fefhac_escbb_cdb_c`bac_bchBj_B}ak__aB`_BcaC^cEsig_D_ig_f^d_`hd^`hf_f^f_f^d_`hd^`hf__h_^_h_^_h_^_h_^f_f^l_`hf_f`f_f`f_f`c__h`_b^_`_f__afa__h",
    "`_b^_`afb_`h`_b^_haff_c^af`ha__h`_b^_``f_higchve`gch_gre_fke_fje_gnh_d_a`hddaf`e_ahdaf`e_hkaahB_fmhB_cmh`f_^bf_^`f__a^`_a^___f_^afc^df_^_f_^_f",
    "_^_fb^_f__b^__bb__`f`_`^cf_^b_bf___fBqd_^__cd`fbhLvfbe{f`eH}fthifshBzdClftdTffle|dBof`e}fheMqfteB}fbeB^f`eLtf`hB^f_hDgfBn^Bn__^__a^`_dib^___^`",
    "__^d_`aa^__D_i`_dfbiac_^__chbe_d`eBd__h__ch__`hBvbeh_a_elh_cubgheb_heb_heb_heb_heb_heb_heb_heb_hB^cBme_aB^e`fjeB`hxf_hCwfjhGtfxhnf_gae_f_a_b_d",
    "he`fje_fgddc_eca`fad_a_b_e`f_hCtb`h`c`f`a_b_eCxb_eaa_bchBib_hC|b_h`fbdhfB^bBdfgh_fnb}f_hhd|ffd_fmdB^fhdBefmdK^fHY^bC^fZGsb_aBJubahBufghBfbda`e",
    "Ijb_aaenbhd`brhBli_bbc_ehc_e_azi`a`cCdbhd`cdefhufga`fkia_B|i_af_bi`^__fi_a`fbi_b_^___^a_ric^__c^__lib^___^__`^__`h_^___h___h__eishaa_^___b`a__",
    "eb_cab_cbb_cubccbf_cahddbfdhBrbbefh`cBpbpcfh`ehddhpcdbae_b_e`b_chdzbfc`eubkcih_e{bahbcBmblcke_h_ahdbh`ecb_c_agbhdcb_hBgblcghab_cfb`c`hhd`hbenb",
    "_adbaf_bacBpb_c_bac`b`ccb`c_b_c_bvh`b_a`eibcc`e_b`a`chhdb`hdb`hdbgheb_heb_hBi__fbag__a`fbhCn_Babfc_e`c`hhddhNLbbjhubbhBobKEbhLlb`hDhbBdhe_jhc_",
    "ch_b_chb_fkb_hcb_h_b_h`b_h`b_hDjbofnhLib`enfC^b`hBtbeh_fB^hjbbfnchedhncBae_hle_f_eaf_h_e_f`ebhcb_hEebbhae_fde_fbehd`eaf`ex^ae_f_e_fx__e_f_e_fe",
    "ehb_aBkb`a}bahdb`hdb`hdb`habahef_hefkh`f`hjb_hxb_hqb_h`b_hmb`hlbB`hDybchaebhBkdahgfBwdof`daf_hkfah_fBmhBkf_cE`h{bahBobmh_cydbhB^bbdghrb_dfb_dc",
    "hBdbccch|b_h_eBbbbhfb_ecdBhhBf^Bf_Clb`hhddhBb^bhBb_bhBfbfhBrbih_ei^_hm^_he^_h`^_hi__hm__he__h`_ahBrbjhJubghtbhhfbvhda_hBha_hgaCchdb`h_b_hBjb_h",
    "`bah_b`hub_h_efdub`fed}bfhgdBnhqb_h`bchcdtbddah_exbch_eC^hBvbbh`d`bnd`hBld_bac_h`cchbcbb_hab_h{b`hacbh_cgdehgeeh{b`d_e{badB^hfb_fzb`cbhcdeegh",
    "Btbaheetb`hfdqbchfdpbehbejhedCnhCgbBuhBq^khBq_ehddBbbbcfhhddhhdbb_a_bt^ahcc_e_at_fh`fGnh}d_hBhb_h`c_e`h`bnhabBuhbc{bhd_bfhtbicbdcethpbbcbeBdhs",
    "bedrhubghacBsbmceebh|d_c`b`c_bghbcBkbic`e_hbe_ckhwbehhddhacBbblc_hhdbe_b`c_bfhBab_c`e_bghacBnblcbbbebc_e`chd_b_e_bae_hrdihpb_hwbjcde_c`b_cB|he",
    "b_h_b_hbb_hmb_hhb_edhBmbjcchhddhbc_hfb`h`b`htb_heb_h`b_hcb_h`c_bec`h`c`hac`h_bdh_cchcb`c`hecahccihhb_h_b`h_b_hBdb_h_bgc_h_c`h_c_hbc_hcc_b_c_b`",
    "e_h`efh`c{hBsbpcbbcehd`e_h_e_cab|hBnbrc`b_e_bfhhdFdhBmbec`hgcuebb`cB`hBnbocae_bihhddhkeqhBibkc_b_edhhddhrdzhyb`hmcbhjdae_febFwhBjbmc_eDbhB^^B^",
    "_qdjhfb`h_b`hfb_h`b_hvbdc_h`c`hbc_b_c_b`caeghhdCdhfb`hBebec`hec_b_e_b_cyh_bhcBfbec_bbcfe_cfh_bicBlbncae_bcekhCgbehheFthB_b_elhhddhgb_hBcbfc_hf",
    "c_bcehh{dah`e|b`htc_hlcCgheb_h`b_hBdbdcah_c_h`c_hec_b_cfhhddhdb_h`b_hB^bcc_h`c_hcc_behhdJthqbbc`eeh`c_b_ckb_hB`becahcckehd_cCsh_bmhsd{fkh_eBCx",
    "bDdhDmd_hceihGbbDEjhD_b`ekhBHnbnh_cdbmchhEUybchSebIFwh|bpchdCCdhRwbeh}b_hhdbh`eCmb_hhddh|b`hcc_ehhBnbeccebfba_e_fhhhd_hed_hsbchqbNnhaaBfb`aaeh",
    "dGdhB^^B^_udbeDchCibbh_c_bBucehbckaC^h`a_e_a_cih`clhHJvbfhBMtbBghhbKTehba_hea_h`a_hJabmh_b{hab`h_blhbbfhMjbCUbhDibchkbahgbehhb`h_f`c_eET^hHnfh",
    "ddhNrfCjhBlc`hucghDrfBzhHtfhhBef`hBzfccafdcfhfc`fec|fbcB{fshC`fac_fDxhrdjhrdjhCufghwdEehx^x_x^e__hp_x^x__^_h`^`h_^`h`^`hb^_hf^b__h___he__hi_x^",
    "x_`^_hb^`hf^_he^_hx_`^_hb^_hc^_h_^ahe^_hx_x^x_x^x_x^x_x^x_x^x_x^z_`hw^_fw__fd_w^_fw__fd_w^_fw__fd_w^_fw__fd_w^_fw__fd__^__`hBpdQ^fBucbfBpcff_c",
    "lf_c`fcemhcc_hmcBInhh__br_dhd_Gshec_hoc`hec_h`c_hccchB|aB_h_cDnhBkbahecea`hhdbh_b_fK^h|b_cohBjbbchdch_fOnhyb_abchdGth|b`c_bhdbh_eP^heb_hbb_h`b",
    "_hmb_hGcb`hgdecBghB`^B`_ec_abhhdbh`eYohByd_fad_fbdCjhBkd_fmdG`hbb_hyb_h`b_h_b`h_b_hhb_hbb_h_b_h_bdh_bbh_b_h_b_h_b_hab_h`b_h_b`h_b_h_b_h_b_h_b_",
    "h_b_h`b_h_b`hbb_heb_hbb_hbb_h_b_hhb_hobchab_hcb_hobBrh`fIlhBjfbhDbfjhmf`hmf_hmf_hBcfhhkdF_fBvh{fkhBjfbhgfeh`flhdfExhBEvfbhofahkfahDufbhC}fdhjf",
    "bh_fmhjfbhBvffhhfdhBfffh|f`hjfbh`fB|hKrfjhlf`hkfahhfchBvfehmf`hifdhgfehEqf_hCzfhdBGdhBZJ^bB^hEZxbdhG|b`hGY`blhIZobmhTlbCZ`hQ|bBV`hFYibchFB^b",
    "BGXUnhHncJBSnh"
};
static const char lmi_text_ccc[][143] = {
    "Y^sHd^_Hf^bGz^_Hf^_Gv^cGz^`Gh^bGz^`Gh^iGz^c_^bGz^fHd^_Hn^_Hd^aGz^aHd^`Gz_aHd^bGz^_Hd^_Hf^`Gz^_Hd^_Hg^`Hh^_Hg^`Hh^_Hg^kHdIqcHdIg_Gz^bHd^_Gz^aHd",
    "^_G|^_Gz^dHd^dGz^`Hd^_Gz^`Hd^_G|^_Hb^_Hd^_h^_i^_j^_k^_l^_m^_n^_o^_p^`q^_r^_s^_t__u__v^_w__Hd^_Gz__pCffHd^_|^_}^_B^Bn_y^_z^_{^_|^_}^_B^^_B_^_B`",
    "^`Hd^`Gz^cHd^_Gz^`Hd^_Gzn_BaDceHd`bHd^_Gz^_Hd``Hd__Gz^`Hd^_GzBa_Bb|_Hd^_Gz^`Hd^_Gz^`Hd^aGz^_Hd^`Gz^_Hd^_Gz^aHd^_Gz^_Hd^_Gz^_Hd^_Gz^_Hd^_Gz^`Hd",
    "F^eHd^_Gz^_Hdg_GzvbHd_gHd_aHd_cHdBiaGzBy`Hd^aGz^bHdBhcHd^cGz^lHd__Gz^`Hd^_Gz^`Hd^_Gz^aHd^aGz^_y^_z^_{^aHd^_Gz^`Hd^`Gz^cHdBz_en_ga_Hd^_Gz^`HdDe",
    "_en_gBn_HdB{_en_gDl_en_gDl_en_gD}_gDl_en_ge_Cr^_CyDc_en_gDk`gn_gDz_gDk`De^_gkbDiDj`Dt^_gkbDxCj`Gzy_Gz__Gz__GvBu_E_^_E`__EbcbE``_E`_`Hd^_g_`Hd",
    "B|_GzDn_e_`gCp_GzWmaHdBDr`g|_gE{_gh_HdGi_HbEm_G|^_Hd^_GzGy_Hd^_GzCe_grfHd`_GzBncHd^dGz^`Hd^_Gz_`Gz^`Hd^`Gz^cHd^_Gz^bHdDc_em_gBd_Hd^_Gz^eHdBt`g",
    "Bx_ei`gCa_eEvaHd___^cGz^`Hd^bGz^_Hd_e_b_Gzd_Hda`HdGd`Hd^_Gz^eHd^_Gz^`Hd^_Hh^_Gt^_Gz^_Gh^BcHd^_Hf^`Hb^_Gz^_Gx^_Hd^_Hg^_Gz^_Hd^_GzWn`Hd^`_^bHd^a",
    "_^`Hdb_Hda`_^_Hd^_Gz^_Hd^`_^bGz^_HdDR|aHdEk_gD^B^HdRh_Gx^_Hb^_Hf^_G|^`H^Dg`fBKGr_HdbhHdB^`HdCn`HdIr_gBc_gEu_gypHdBwaGzBc_gC}_ej_gHm_Hd_`Hd^_Gz",
    "``Hdc`Hd__HdBr_gHt_gYJn_xY_eHd^eGz^`HdBEk_GzH`_GzEscHdCAp_Gz__HdBf_Hd^__^_Gzb_gFc_Hd^_GzR{bHdC_cHdJ{`HdCnaGzCd`Gz^aHd^_Gz^_Hd^bGzBo_Hd^_Gz^_Hd",
    "^_GzG^_gBg_gl_gBw_g^_eCcaHdBn`gB|_eCj_gg_eDh_g^_eFp_e^_gCn`en_gveHdacHdCwagDo_ga_eu_HdDa_g^_eHy_g^_eD|_gDt_g^_eDq_gIk_g^_eI``gb_eEz_gCq_gp_gCo",
    "_gNc_gI`_e_`gCo_gNg`gUHj_gDA^c_ByeHdBLw`dXPj__GKd`Gv^a_a_H`^cGvffGz`cHd^`Gz|bHdEraHdEFyeHd_oHd`eHd_`Hd_cHdDb_HdF^eHdLu_HdB{bHdPz`Hf^_Gz^_HdH|_",
    "Hd^_GzX^eGzDkdHd^_e"
};
static const char lmi_text_canon[][143] = {
    "M_E`_a^aa^ca^ea^oa^scbCmab_a^aa^ca^oaf_a^aa^ca^ochea`_a^aa^ca^ea^oej_a^aa^ca^oafaen_a^aa^ca^ea^oa^scbCmab_a^aa^ca^oaf_a^aa^ca^ochea`_a^aa^ca^e",
    "a^oej_a^aa^ca^oafac^oaDmgaC^gaB}kaC^kaB}CoaC^CoaByaaC^aaB}caC^caB}maC^maB}waC^waB{waC^weB{gaC^gaB}kaC^kaB}maC^maB}CoaC^CoaB}waC^waBycaC^caB}ka",
    "C^kaB}maC^maB}CmaC^CmaB{caC^ceB{eaC^eaB}gaC^gaB}kaC^kaB}CoaC^CoaB}mg`caC^caB{CmaC^CmcB{aaC^aaB}CmaC^CmaB}waC^wiByaaC^aaB}CmaC^CmaB}waC^wgB{ga",
    "C^gaB}kaC^kaB}uaC^ueBwaaC^aaB}CmaC^CmaB}waC^waB{aaC^aaB}caC^caB}CmaC^CmaB}waC^waB{CmaC^CmaB}waC^weB{eaC^eaB}gaC^gaB}kaC^kaB}saC^saB}uaC^uaB}Co",
    "aC^CoaBycaC^caBycaC^caB}oa`aaC^aaB}maC^maB}waC^wCcCsBuaC^Bu{BqBuaC^BuByDewaC^waBmwaC^waBqwaC^waBqwaC^waGlgaC^gaB}aaC^aaB}waC^waB}_aC^_cDmgaC^g",
    "aUbga`gaW_gaC^geJ{waC^waBuwaC^waBuCoaC^CoaXtga`gaDewaNtwaBImwgCcaaC^aeBo_aC^_aFlaaC^aaB{aaC^aayaaC^aaLk}aC^}aB}BaaC^BaaBu}aC^}aB}BaaC^BaaBu}a",
    "C^}aB}BaaC^BaaBq}aC^}aB}BaaC^BaaBw}aC^}aB}BaaC^BaaBw}aC^}aB}BaaC^BaaCaCkaC^CkaB{CkaC^CkeCuwaC^wmCkmaC^maBuCmaC^CmaH`gaC^gaC_gaC^gaKimaC^maBB|g",
    "a`gaBDigaC^gQxBOl^``^bBb^`saD^E{^rBNy^mGxaaBUpa`BTq^aBTzaabaabacjacjaafaaC`aBsD_oavoavaafaabaabaaBbaBsBaoavoaiaajaafaipaa^oCwEd_a^ocaagwoiBfaa",
    "a_atkuskC_C^kBmc_a^ocaagCdoiBuaaa_atkBoD`}a`}EsF{kaC^k{CikaC^kaB}oaC^oeBskaC^keKdoa`oaMcoaC^oaB{oaC^oeB{gaC^gaB}oaC^oaBqoaC^oeKroa`oaLuoaC^oa",
    "CqgaC^gaB}oaC^oaB}uaC^uaBuoaC^oeBuoaC^oSqBDvCBea^CBgaC`CBgaC_CBiaCdCBgJsItCBgcBeCBgBaB`CBgBLkBLjDVwonDVwedDVwCfByDVw``DVw``DVw`hDVw`hDVw``DVw`",
    "pDVw`fDVwGwJnED{a^EFmB^CiEDw``EDwbxEDwFfIdELwdjELwCdCaELw``ELw`hELwd|ELwOsRvFDke^FB{a^FDmB^CiFBw``FBwDmH^FLmDkDfFJ{a`FJ{a_FLmHwI^FTkHoHpGBiml",
    "GBia^GBkc^GAcafGBiH}HvGH{a`GH{a_GJmI{JdGQsc^GQ}adGQsacGR}WhWpHVmrrHVmhhHVmhhHVmhhHVmxBsHVirD`HRcb^HRg`E`HS_b`HS_pEaHS_BbC`HVmrrHVmhhHVmhhHVmhh",
    "HVmxBsHViGyJhIC{GS_GS^OXicbOXicbOXicbOXicbOXigfOXiCqCpOXicbOXiebOXia`OXicdOXiBRyQQ_CiaC^CiaB{maC^maB}CeaC^CeaB}DaaC^DaaGhaaC^aaKcmaC^maB}CeaC^",
    "CeaB}DaaC^DaaB}CmaC^CmaB}CyaC^CyaKz_a`_a_aa`aaMyCyaC^CyaB}D_aC^D_aBCdka`kaBEcmaC^maB{gaC^gaB{maC^maB}CeaC^CeaB}oaC^oaB}CmaC^CmaB}C{aC^C{aB{D_a",
    "C^D_aGjaaC^aaKeaaC^aaB}CeaC^CeaB}DaaC^DaaB{CeaC^CeaSIrga`gaSKsDaaC^DaaB}CyaC^CyaB{aaC^aaB}maC^maB}CeaC^CeaB{maC^maB}CeaC^CeaB}DaaC^DaaB}CyaC^",
    "CyaGlaaC^aaB}oaC^oaFl_a`_a_aa`aaPwaaC^aaB}maC^maBymaC^maB}CeaC^CeaSKnga`gaSMoDaaC^DaaB{maC^maB}CeaC^CeaOlma`mahma`maRW`ma`maSM{maC^maB}CeaC^Ce",
    "aB}DaaC^DaaB}CyaC^CyaB{CgaC^CgaB}D_aC^D_aB}CyaC^CyaPdaa`aa`oa`oaRgeaC^eaB}CeaC^CeaB{_aC^_aB}aaC^aaB}oaC^oaB}maC^maB}CeaC^CeaB{maC^maB}oaC^oaB{",
    "maC^maB{caC^caB}CeaC^CeaB}DaaC^DaaBaDaavoadsabscQjmiTyCeaC^CeaB}qaC^qaG`aaC^aaB}_aC^_aB}qaC^qaB}eaC^eaSHzca`caSF{aa`aa__a`_a_qa`qa_ea`eaSFxka`",
    "kaSRuCeaC^CeaB}qaC^qaB}eaC^eaGhaaC^aaB}_aC^_aB}qaC^qaB}eaC^eaSIzca`caSS}qaC^qaB}CeaC^CeaBqCeaC^CeaB}qaC^qaGhaaC^aaB}_aC^_aB}qaC^qaB}eaC^eaSJnc",
    "a`caRYwaa`aa__a`_a_qa`qa_ea`ea_Cea`CeaUuCeaC^CeaB}qaC^qaTraa`aa__a`_a_qa`qa_ea`ea_Cea`CeaVk_aC^_aB}CeaC^CeaB}qaC^qaB}eaC^emBZnBea^BgaQU|_a`_a_",
    "aa`aa_Eca`EcaQW}Bea^BgaQXl_a`_a_aa`aa_Eca`EcaQVeBea^BgaQVt_a`_a_aa`aeQXuBea^BgaQYd_a`_a_aa`aeQWaBea^BgaQWp_a`_a_aa`aa_Eca`EcaQYqBea^BgaQZ`_a`_",
    "a_aa`aa_Eca`EcaQW}Bea^BgaQXl_a`_a_aa`aa_Eca`EcaQZmBea^BgaQZ|_a`_a_aa`aa_Eca`EcaQXqBea^BgaQY`_a`_a_aa`aeRAaBea^BgaRAp_a`_a_aa`aeQYeBea^BgaQYt_a",
    "`_a_aa`aa_Eca`EccRAuBgcRBf_c^ac^EcaQY}Bea^BgaQZl_a`_a_aa`aa_Eca`EcaRBmBea^BgaRB|_a`_a_aa`aa_Eca`EcaRBm_`g^ap_`m^ar_`o^at_`q^aB^_`x^ak_`n^ae_`h",
    "^eQTbEia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`EiaB`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`EiaD`Eia`Eia",
    "`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`Eia`EiaRByka^gaRB|EiaRB{EiagEichEcaRGhEiaRIgka^ga^_`s^atEibCn^eBX_EcaSYvEiaRBwEiaoEicpEcaRG|",
    "EiaRJ__`w^a|_`y^azEiaRIn_a^aa^EcaRGika^gaB`_`Dq^eCpEcaB`EcaD_ka^ga^_`{^cRNf_a^aa^EcaRJoka^gaj_`Bs^aB`Bea^BgafEcajEcaCika^ga^_`Bk^aBdBgaBVo_`",
    "BTx^`BYg^eTDvEiaRBcEiahEicgEcaRIxEiaRLk_`Bc^aBx_`Bq^aBrEi`BVg^dTGz^``^ShRLq^fCBy^`Hr^G}UEtDoabDoBebDoB}DvDoafDoaaDoDiD`DoihDoedDoBoBnDocbDoBu",
    "BlDoelDoebDocdDoBmUYsDocVAfDouBeDoaUZ_DoabDoaVAjDoa`DoexDoa`DoedDoa`DomdDoa`DoelDoa`DoedDoa`DoCeBtDoajDoa`DoabDoDaC{Doa`DoaBfDoa`DomC^Doa`Doa`",
    "Doa`DoDvIFd^``^ETbDEuDoDJ_DIzBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqedBCBqcbBCBqcbBCBqmlBCBqa^BCBscdBCBqa^BCBsc",
    "dBCBqa^BCBscdBCBqa^BCBscdBCBqa^BCBsBmDgBCBqsFlBCBq{zBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqcbBCBqedBCBqcbBCBqcbBCBqml",
    "BCBqa^BCBscdBCBqa^BCBscdBCBqa^BCBscdBCBqa^BCBscdBCBqa^BCBsBmDgBCBqeEpBCBqa`BCBqa`BCBqa`BCBqgtBCBqETCbCEEt^`WZe^`YNj^`BGa^`SLk^`UB{^`DNd^`BUPl^",
    "`^^`BRGs^`BIU^^`BLCq^`CI`^`FIz^`MPd^`FPv^`EDr^`Xt^`Tz^`ERl^`XSw^`BXp^`CHz^`BWh^`KB|^`ICx^`FGl^`BUK{^`DBd^`OM|^`EJl^`MJb^`OT`^`BNWy^`LLt^`NMb^`",
    "CFl^`XTs^`TC|^`DWl^`ZLg^`FCx^`DXd^`DLb^`SJb^`BOEm^`BJ`^`Sl^`LAj^`DS|^`ELx^`CZl^`FPr^`DSh^`Fj^`ERd^`FSd^`CPx^`BOt^`XAy^`Pd^`CO`^`DUp^`JJt^`HBt^",
    "`MCo^`BETk^`DUh^`SBv^`CNz^`IRu^`DYn^`MHn^`GHh^`BMF{^`CEr^`IL`^`CIl^`Th^`IS^^`Qn^`OVf^`BPNo^`BCDp^`BCS{^`}^`YV^^`CGb^`DVd^`LKf^`GTg^`ZB_^`ELd^`",
    "UHv^`BLKg^`IKz^`COt^`LZh^`BEp^`VDo^`XIf^`ZJu^`JUr^`KVu^`SX|^`ENe^`OOr^`ZL{^`CVt^`SWd^`IEn^`DY`^`TA}^`WDj^`VQm^`FWq^`TQl^`TGg^`KYh^`XVk^`BRt^`",
    "G^^`NZn^`MOj^`DKn^`FEd^`EHx^`BMRq^`Ux^`DF`^`DJp^`EFp^`GHp^`FQv^`ROd^`CXx^`COx^`Dl^`BUXc^`MKt^`CX`^`WCt^`BECy^`BXv^`H^^`BPr^`GMp^`BIj^`CA^^`DG`",
    "^`COr^`BNt^`JBl^`GHm^`GXh^`BYl^`BODc^`Iv^`BHr^`RGt^`OTr^`BEn^`BBA_^`Sv^`CEj^`FBd^`KF^^`FKo^`WN_^`EZh^`DAz^`BDd^`BMb^`MBj^`Ll^`GX`^`Kv^`LAz^`",
    "CYb^`Fb^`N^^`BSQw^`ZYd^`OUj^`DCf^`BHDk^`LHs^`BLf^`GVf^`F`^`FTr^`CSp^`EUv^`CTf^`JBr^`HC^^`JH`^`BJCg^`BDIj^`BPQg^`MXb^`Hn^`DGz^`Vt^`DIx^`V^^`BXb",
    "^`CWh^`QUz^`BRR_^`KI`^`BGEr^`BRGw^`HYz^`KJ`^`UM^^`BDH{^`BBp^`EFd^`HB^^`VN|^`BQBw^`BEj^`FDj^`FYz^`Tt^`Vr^`CPx^`EK`^`BDv^`FXl^`FTj^`Bb^`FMt^`DDj",
    "^`BPQc^`QXt^`QJw^`SHd^`BSn^`KSb^`KGp^`DNf^`BKn^`BHWm^`DVf^`MJx^`EJw^`Fh^`Xb^`GBa^`BIk^`QL|^`BLHm^`BGHj^`BEDu^`Dc^`HT|^`COx^`QAd^`UN_^`KVp^`DYq",
    "^`YYl^`EG{^`IQ`^`HWa^`BAHm^`IJc^`CU^^dBPr^bIRr^dMRi^`UMv^`CG^^`BNb^`Cb^`l^`Cr^`SIl^`QJm^`BV|^bDXh^bDAj^dDG^^`Mh^fEXb^`x^`Cv^`CUv^`HXi^`DPp^`",
    "BRSo^`Tp^`Gj^`Xv^`Bt^`Gx^`BKv^`Gp^`Gb^`BDn^`Gn^`CHv^`r^`COj^`Nf^`Cj^`Gf^`CBx^`Jd^`K|^`BFf^`DBb^`Kd^`Qn^`BKv^`Lx^`BFl^`CS|^`Kx^`t^`_^`n^`j^`l^`",
    "D^^``^`Lb^`E`^`T|^`BJf^`Bh^`Dn^`T`^`Jd^`BEn^`Iv^`^^`BDz^`CXp^`Ij^`Wt^`Dn^`Zr^`Dh^`BQz^`Ib^`ECt^`Rv^`Dv^`BIIi^`LKXp^`KQFi^dBFZa^`CE|^`Ew^`BEm^`",
    "BCh^`Dt^`Ul^`Dd^`BQd^`Em^`Ef^`Ep^`BNn^`Fp^`J`^`B^^`Qz^`Mj^`CGr^`l^`J^^`Ef^`St^`Hj^`Ei^`Ij^`Cy^`Jb^`Eb^`Z^^`Fn^`Dj^`Qf^`Rz^`Kd^`f^`Dt^`COd^`E`^",
    "`Yl^`Zr^`}^`Fl^`Pv^`V^^`DVp^`DJa^`Hr^`Ht^`Ul^`Jh^`Dh^`Ob^`b^`Kt^`B`^`Bp^`Fj^`q^`Yv^`BEh^`Q|^`Lt^`O^^`Jp^`Ur^`Ml^`CAx^`Jx^`CEr^`BCn^`Eh^`B^^`Sp",
    "^`Dp^`Cw^`Dj^`c^`B_^`Ev^`F`^`Xz^`BJ^^`Tr^`Sl^`Nx^`CMj^`Gl^`Hd^`Ih^`Cf^`v^`D^^`BTl^`CUr^`JHQz^`i^`HD`^`LYHm^`CTt^`C`^`MOF^^`GMl^`UYd^`LJC}^`Et^",
    "EfDQPgBRgbBpBRmtoBSa`^BSc`FVA^BSa`^BSc`FVBoBRm`^BRo`^BRw``BRw``BRw``BRw``BRw``BRw``BRwbbBRw``BRw``BRw``BRw``BRwbbBRwbbBRw``BRwbbBRw``BRwbbBRw`",
    "`BRw``BRw``BRw``BRw`BgBRq`eBR}`rBR}`pBR}GLuGBMzmBunmGPkGP|GJZscbGJZs}rGJZsIeIvGKGma`GKGmBHwBHhGLN{a^GLPmDmDtGLWqcbGLVuqlGLWcehGLWqDgDbGLWcc^",
    "GLVoa^GLWqPePlGMLsa^GML_c^GMLyPwP|GNA}a`GNA}CDyCDvGPF_BSGqBSGpIHL{a^IHMqa^IHL}atIHL}asIHM_adIHL}a`IHL}a_IHM_HO_HOjIPAmaeIPAmajIPAmCJNfCJMzKYOi",
    "``KYOi`lKYO{`^KYO}`^KYP_`^KYPa`^KYPcFlFrKYOi``KYOi``KYO{``KYO{`_KYO}``KYO}GZC^JEL{^`g^`p^`KHQ`^`KGYa^`Ez^`x^`El^`Hn^`B|^`Ez^`Bm^`RJ_^`LANv^`",
    "KIWw^`l^`B^^`Bd^`KICh^`KZUc^`RQz^`Cj^`KIDz^`KIDe^`x^`BTm^`BU^^`p^`NQOr^`NQKq^`z^`RYe^`SBv^`t^`Cv^`h^`SCa^`SHb^`b^`Bt^`Bj^`t^``^`B`^`Db^`n^`p^`",
    "Bp^`r^`b^`^^`^^`KJYx^`JSDu^`RQi^`Bh^`KKMf^`KKLm^`j^`Bh^`Jn^`Gi^`B^^`C^^`Dr^`Ff^`Br^`Ed^`B^^`C`^`^^`Bh^`Bb^`n^`|^`Vf^`Q}^`R`^`Mi^`Cd^`CSw^`EGl^",
    "`R}^`Cj^`Bp^`Ia^`Kl^`_^`Ht^`KNJn^`KNFa^`h^`|^`Bf^`n^`E^^`KOAj^`Eb^`KNVy^`C|^`v^`E{^`Iz^`VVm^`z^`WEv^`Dj^`^^`KOUr^`KOMg^`Bh^`|^`v^`KPEh^`KPDo^`",
    "l^`CAx^`BZ_^`WO_^`WR|^`z^`Fb^`Dc^`KQNl^`KQC_^`KQCd^`KPZm^`c^`B`^`Gh^``^`XFc^`XGz^`Ct^`Bh^`Cv^`XKk^`LPA`^`LOYk^`XNf^`d^`d^`Bf^`NTKn^`NTHe^`KSHd",
    "^`^^`JWS}^`VL{^`^^`XPs^`LZJ`^`BDAb^`MEPm^`p^`XSm^`XVl^`Dd^`r^`Cb^`In^`YEk^`By^`YHn^`KTO^^`KTKw^`I`^`f^`b^`a^`Cz^`Bf^`Cf^`y^`t^`C|^`Bf^`f^`Br^`",
    "t^`Eb^`Ff^`Cd^`Hv^`KULv^`KUM{^`E_^`Gv^`Bt^`G`^`KUQx^`KUM{^`Fw^`Bu^`ZNs^`ZZt^`Bh^`B|^`Ci^`ZWs^`BAKd^`Bx^`KWFz^`KVYk^`Rh^`K{^`BAO}^`BATn^`BAUo^`",
    "Ce^`NYz^`d^`NEt^`Ge^`QB`^`BLLe^`VRz^`f^`j^`Dx^`s^`KXJ^^`LYLq^`BBN`^`Hg^`Mx^`Dd^`KXAn^`KWZ{^`G{^`Ph^`BBZk^`BCCh^`G`^`El^`Lz^`KXBt^`KWYm^`BCUc^`",
    "BCYp^`KYAj^`KXXc^`BCYi^`BDAf^`Cx^`Bt^``^`KYVb^`SEa^`SK|^`KYSu^`KZUz^`KZNw^`z^`Gi^`K|^`Cn^`Dp^`Di^`Cn^`|^`x^`KZHp^`KZMq^`Pt^`D|^`BEHs^`BENn^`e^",
    "`KZOr^`LABm^`Xh^`KZN^^`D^^`KZKm^`Hd^`Bs^`c^`BFCg^`BFFf^`Dd^`i^`Dj^`JOXn^`JON}^`LAFz^`LAAk^`LAU|^`LAMc^`x^`Bt^`LBVn^`LBSm^`Bh^`LCK^^`N|^`LCJq^`",
    "B`^`BGN{^`BGPp^`BGOw^`^^`BGY|^`Bh^`Bh^`Bf^`Eh^`BHA{^`BHGp^`LDXb^`LDVm^`LEBf^`LDYa^`KDM|^`KDC{^`LFL`^`Bl^`Iv^`MNCm^`v^`BHUv^`LFR|^`_^`Cl^`Br^`",
    "LFTg^``^`^^`Ct^`BHX_^`BIBb^`BIAg^`F^^`MPCl^`LGU{^`Dz^`E^^`BIKo^`MQEd^`LHK}^`LHSf^`Ct^`LHRi^`Fv^`BIXu^`BJD`^`r^`h^`LIWx^`St^`^^`LJFo^`BJAu^`",
    "MSWp^`LJIg^`d^`BJMa^`MTHp^`LJEy^`BJVa^`BJWn^`g^`Bx^`LKYj^`LKSc^`BJYa^`BKEj^`Dt^`Ed^`BKJ_^`MWDf^`B|^`MWCy^`MWM^^`LLL{^`LLSf^`LLQo^`Gh^`t^`LMJh^",
    "`Ep^`LMIc^`LMQn^`LMPm^`KHQ|^`LSYq^`BLLx^`F`^`BLNm^`BLRd^`XSo^`MLBb^`z^`BGCa^`p^`KGVs^`d^`IJr^`BUHc^`BMGj^`i^`Bb^`BDMq^`BDNz^`b^`r^`Cp^`LONj^`",
    "LONk^`Dn^`Ej^`Er^`Iq^`Jr^`Cr^`H^^`Qe^`Hl^`b^`B^^`LONr^`Th^`Ji^`NBMq^`BNGj^`b^`Cd^`LSLf^`LSGi^`LPKn^`NCU{^`f^`NDD^^`S`^`NDUk^`BNYh^`v^`t^`b^`E^",
    "^`C_^`Ij^`Cu^`Jl^`F_^`Ed^`Bt^`BOK{^`BOQr^`C^^`BOQm^`BOWl^`d^`LSAf^`LRS}^`l^`BPAo^`BPCh^`BZV{^`NSXd^`Ln^`NIGm^`p^`BPTp^`Ex^`Jx^`Mt^`LTLd^`LTFw^",
    "`Bj^`Fr^`Fv^`LUHn^`CVIs^`IYTo^`{^`Df^`IZEz^`IYQq^`Gf^`LXHr^`Bt^`LWNo^`Fx^`C^^`LWZx^`LWZc^`Rx^`J|^``^`Fu^`Xx^`Bv^`LYCh^`LXE{^`BUTi^`BUWb^`LYA^^",
    "`NSR_^`BVHx^`BJD_^`BJJ`^`LZMb^`Nh^`NVEu^`n^`BVQr^`MASr^`NWFm^`NWOf^`MAYs^`^^`Bz^`MBOx^`MBDe^`BVU{^`BVZj^`Hz^`Bt^`Dv^`BWC}^`NZYb^`MDDy^`Sz^`Lx^",
    "`BXI{^`B|^`BXNr^`MFEl^`OCRi^`OCUx^`Qp^`Id^`MFLi^`BYCg^`BYGd^`h^`l^`r^`l^`Ch^`MHGh^"
};

typedef struct lmi_ccc   { uint32_t at, n, k; } lmi_ccc;         /* at .. at+n-1 have combining class k */
typedef struct lmi_canon { uint32_t cp, a, b; } lmi_canon;       /* cp is canonically a b, or a alone: b 0 */
typedef struct lmi_unicode {
    uint32_t  *cls;                   /* [LMI_N_CLASS] ranges: first code point << 8 | class, ascending */
    lmi_ccc   *ccc;                   /* [LMI_N_CCC] */
    lmi_canon *canon;                 /* [LMI_N_CANON], ascending */
    uint32_t  *pair;                  /* [LMI_N_COMPOSED] indices of canon that compose again, ascending by (a, b) */
} lmi_unicode;

static void lmi_unicode_push(lmi_unicode *u, lmi_arena *a) {
    u->cls   = (uint32_t *)lmi_push(a, LMI_N_CLASS, sizeof *u->cls);
    u->ccc   = (lmi_ccc *)lmi_push(a, LMI_N_CCC, sizeof *u->ccc);
    u->canon = (lmi_canon *)lmi_push(a, LMI_N_CANON, sizeof *u->canon);
    u->pair  = (uint32_t *)lmi_push(a, LMI_N_COMPOSED, sizeof *u->pair);
}
static uint32_t lmi_digits(const char **s) {
    uint32_t n = 0;
    while (**s == 0) (*s)++;          /* the end of a row */
    for (; **s <= 'Z'; (*s)++) n = n * 26 + (uint32_t)(**s - 'A');
    return n * 32 + (uint32_t)(*(*s)++ - '^');
}
static uint32_t lmi_zigzag(uint32_t n) { return n & 1 ? 0u - (n + 1) / 2 : n / 2; } /* modulo 2^32, to be added */
static int lmi_pair_before(const void *owner, uint32_t x, uint32_t y) {
    const lmi_canon *c = (const lmi_canon *)owner;
    return c[x].a != c[y].a ? c[x].a < c[y].a : c[x].b != c[y].b ? c[x].b < c[y].b : x < y;
}
static void lmi_unicode_unpack(lmi_unicode *u) {
    const char *s = lmi_text_class[0]; uint32_t at = 0, i, n, n_pair = 0, first = 0;
    for (i = 0; i < LMI_N_CLASS; i++) { n = lmi_digits(&s); u->cls[i] = at << 8 | lmi_digits(&s); at += n; }
    for (s = lmi_text_ccc[0], at = 0, i = 0; i < LMI_N_CCC; i++) {
        u->ccc[i].at = at + lmi_digits(&s); u->ccc[i].n = lmi_digits(&s); u->ccc[i].k = lmi_digits(&s);
        at = u->ccc[i].at + u->ccc[i].n;
    }
    for (s = lmi_text_canon[0], at = 0, i = 0; i < LMI_N_CANON; i++) {
        n = lmi_digits(&s); at += n / 2; first += lmi_zigzag(lmi_digits(&s));
        u->canon[i].cp = at; u->canon[i].a = first;
        if (n & 1) u->pair[n_pair++] = i;
        n = lmi_digits(&s); u->canon[i].b = n ? 0x300 + lmi_zigzag(n - 1) : 0;
    }
    lmi_sort(u->pair, LMI_N_COMPOSED, lmi_pair_before, u->canon);
}
static unsigned lmi_class(const lmi_unicode *u, uint32_t cp) {
    uint32_t lo = 0, hi = LMI_N_CLASS, k;
    if (cp > 0x10ffff) return LMI_OTHER;
    while (hi - lo > 1) { uint32_t mid = (lo + hi) / 2; if (u->cls[mid] >> 8 <= cp) lo = mid; else hi = mid; }
    k = u->cls[lo] & 255;
    return k == LMI_LULL ? LMI_LU + ((cp - (u->cls[lo] >> 8)) & 1) : k;
}
static uint32_t lmi_combining(const lmi_unicode *u, uint32_t cp) {
    uint32_t lo = 0, hi = LMI_N_CCC;
    while (hi - lo > 1) { uint32_t mid = (lo + hi) / 2; if (u->ccc[mid].at <= cp) lo = mid; else hi = mid; }
    return cp - u->ccc[lo].at < u->ccc[lo].n ? u->ccc[lo].k : 0;
}

/* The first character of p[0..n), n > 0: its length in bytes. A byte that starts no valid UTF-8 sequence is 0x110000 + the byte. */
static unsigned lmi_utf8(const uint8_t *p, size_t n, uint32_t *cp) {
    unsigned k = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0, i; uint32_t c;
    if (k == 1) { *cp = p[0]; return 1; }
    *cp = 0x110000u + p[0];
    if (k == 0 || k > n) return 1;
    for (c = p[0] & (0x7fu >> k), i = 1; i < k; i++) { if ((p[i] & 0xc0) != 0x80) return 1; c = c << 6 | (p[i] & 0x3fu); }
    if ((k == 3 && (c < 0x800 || (c & 0xfffff800u) == 0xd800)) || (k == 4 && (c < 0x10000 || c > 0x10ffff))) return 1;
    *cp = c;
    return k;
}
/* Length of the character that ends at p + at, at > 0. A valid sequence cannot begin inside another, so this agrees with lmi_utf8. */
static unsigned lmi_utf8_back(const uint8_t *p, size_t at) {
    unsigned k; uint32_t cp;
    for (k = (unsigned)LMI_MIN(at, (size_t)4); k > 1; k--) if (lmi_utf8(p + at - k, k, &cp) == k) break;
    return k;
}
static void lmi_utf8_tail(uint8_t *p, uint32_t cp, int n) { for (; n > 0; cp >>= 6) p[--n] = (uint8_t)(0x80 | (cp & 0x3f)); }
static unsigned lmi_utf8_put(uint8_t *p, uint32_t cp) { /* the inverse of lmi_utf8 */
    if (cp >= 0x110000) { p[0] = (uint8_t)(cp - 0x110000); return 1; }
    if (cp < 0x80) { p[0] = (uint8_t)cp; return 1; }
    if (cp < 0x800) { p[0] = (uint8_t)(0xc0 | cp >> 6); lmi_utf8_tail(p + 1, cp, 1); return 2; }
    if (cp < 0x10000) { p[0] = (uint8_t)(0xe0 | cp >> 12); lmi_utf8_tail(p + 1, cp, 2); return 3; }
    p[0] = (uint8_t)(0xf0 | cp >> 18); lmi_utf8_tail(p + 1, cp, 3);
    return 4;
}

/* ---- pre-tokenizers: the regular expressions of the published tokenizers, one stage per line of the string. A stage cuts each piece
 * that the stage before left into its matches and what lies between them. Understood: literals, [classes], \r \n \s \S \p{L Lu Ll Lt Lm
 * Lo M N P S}, \u and 4 hex digits, \U and 6, quantifiers ? + * {a,b}, (?i:word|word) on its own or with ?, (?!\S), $ at the very end. */
#define LMI_RE_CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LMI_RE_WHITE       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LMI_RE_GPT2        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LMI_RE_WORDS(n)    LMI_RE_CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" n "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LMI_RE_WHITE
#define LMI_RE_UPPER       "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LMI_RE_LOWER       "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define LMI_RE_CASED(c, n) "[^\\r\\n\\p{L}\\p{N}]?" LMI_RE_UPPER "*" LMI_RE_LOWER "+" c "|" \
                           "[^\\r\\n\\p{L}\\p{N}]?" LMI_RE_UPPER "+" LMI_RE_LOWER "*" c "|" n "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LMI_RE_WHITE
#define LMI_RE_CJK         "[\\u0800-\\u9fa5\\uac00-\\ud7ff]+"
enum { LMI_PRE_BOS = 1,               /* BOS is added unless the file says otherwise */
       LMI_PRE_WHOLE = 2,             /* a word that is in the vocabulary is not built by merges ("ignore_merges") */
       LMI_PRE_NFC = 4,               /* text is normalized first */
       LMI_PRE_ADDED = 8 };           /* user-defined tokens are written in the byte alphabet, too */
typedef struct lmi_pre { const char *names, *regex; int flags; } lmi_pre;
static const lmi_pre lmi_pres[] = {
    /* Meta-Llama-3 tokenizer.json; the aliases are the names that converters write for the same expression */
    { "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2", LMI_RE_WORDS("\\p{N}{1,3}"), LMI_PRE_BOS | LMI_PRE_WHOLE },
    { "smaug-bpe dbrx chatglm-bpe", LMI_RE_WORDS("\\p{N}{1,3}"), 0 },
    { "glm4", LMI_RE_WORDS("\\p{N}{1,3}"), LMI_PRE_WHOLE },
    /* openai-community/gpt2 (encoder.py) and those that kept it */
    { "gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat mpt olmo jais trillion granite-docling mellum a.x-4.0", LMI_RE_GPT2, 0 },
    /* HuggingFaceTB/SmolLM2, bigcode/starcoder: single digits first */
    { "smollm starcoder refact command-r codeshell exaone minerva-7b", "\\p{N}\n" LMI_RE_GPT2, 0 },
    /* Qwen/Qwen2 tokenizer.json, with its normalizer; the others have none */
    { "qwen2 deepseek-r1-qwen kormo", LMI_RE_WORDS("\\p{N}"), LMI_PRE_NFC },
    { "stablelm2 hunyuan megrez solar-open grok-2", LMI_RE_WORDS("\\p{N}"), 0 },
    /* mistralai/Mistral-Nemo-Base-2407 tokenizer.json */
    { "tekken", LMI_RE_CASED("", "\\p{N}"), LMI_PRE_BOS | LMI_PRE_WHOLE },
    /* openai/tiktoken o200k_base; meta-llama/Llama-4 */
    { "gpt-4o llama4 kanana2", LMI_RE_CASED(LMI_RE_CONTRACTION "?", "\\p{N}{1,3}"), 0 },
    /* deepseek-ai/deepseek-coder-6.7b-base tokenizer.json */
    { "deepseek-coder", "[\\r\\n]\n\\s?\\p{L}+\n\\s?\\p{P}+\n" LMI_RE_CJK "\n\\p{N}", LMI_PRE_ADDED },
    /* deepseek-ai/deepseek-llm-7b-base tokenizer.json: its letters are the cased ones of the basic plane and a few scripts */
    { "deepseek-llm", "[\\r\\n]\n\\s?["
      "A-Za-z\\u00b5\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u01ba\\u01bc-\\u01bf\\u01c4-\\u0293\\u0295-\\u02af\\u0370-\\u0373\\u0376\\u0377"
      "\\u037b-\\u037d\\u037f\\u0386\\u0388-\\u038a\\u038c\\u038e-\\u03a1\\u03a3-\\u03f5\\u03f7-\\u0481\\u048a-\\u052f\\u0531-\\u0556"
      "\\u10a0-\\u10c5\\u13a0-\\u13f5\\u13f8-\\u13fd\\u1c90-\\u1cba\\u1cbd-\\u1cbf\\u1d00-\\u1d2b\\u1d6b-\\u1d77\\u1d79-\\u1d9a\\u1e00-\\u1f15"
      "\\u1f18-\\u1f1d\\u1f20-\\u1f45\\u1f48-\\u1f4d\\u1f50-\\u1f57\\u1f59\\u1f5b\\u1f5d\\u1f5f-\\u1f7d\\u1f80-\\u1fb4\\u1fb6-\\u1fbc\\u1fbe"
      "\\u1fc2-\\u1fc4\\u1fc6-\\u1fcc\\u1fd0-\\u1fd3\\u1fd6-\\u1fdb\\u1fe0-\\u1fec\\u1ff2-\\u1ff4\\u1ff6-\\u1ffc\\u2102\\u2107\\u210a-\\u2113"
      "\\u2115\\u2119-\\u211d\\u2124\\u2126\\u2128\\u212a-\\u212d\\u212f-\\u2134\\u2139\\u213c-\\u213f\\u2145-\\u2149\\u214e\\u2183\\u2184"
      "\\u2c00-\\u2c7b\\u2c7e-\\u2ce4\\u2ceb-\\u2cee\\u2cf2\\u2cf3\\ua640-\\ua66d\\ua680-\\ua69b\\ua722-\\ua76f\\ua771-\\ua787\\ua78b-\\ua78e"
      "\\uab70-\\uabbf\\ufb00-\\ufb06\\ufb13-\\ufb17\\uff21-\\uff3a\\uff41-\\uff5a\\U010400-\\U01044f\\U0104b0-\\U0104d3\\U0104d8-\\U0104fb"
      "\\U010c80-\\U010cb2\\U010cc0-\\U010cf2\\U0118a0-\\U0118df\\U01e900-\\U01e943"
      "]+\n\\s?[!-/:-~\\uff01-\\uff0f\\uff1a-\\uff5e\\u2018-\\u201f\\u3000-\\u3002]+\n\\s+$\n" LMI_RE_CJK "\n\\p{N}+", 0 },
    /* deepseek-ai/DeepSeek-V3 tokenizer.json */
    { "deepseek-v3 hunyuan-dense joyai-llm", "\\p{N}{1,3}\n[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+\n"
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
      "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LMI_RE_WHITE, 0 },
    /* llama.cpp's reading of files that name none; tiiuae/falcon-7b tokenizer.json */
    { "default", "[\\p{P}$+<=>^~|]+\n" LMI_RE_GPT2 "\n\\p{N}+\n[0-9][0-9][0-9]", 0 },
    { "falcon", "[\\p{P}$+<=>^~|`]+\n" LMI_RE_GPT2 "\n[0-9][0-9][0-9]", 0 },
    /* bigscience/bloom; LumiOpen/Viking */
    { "bloom poro-chat gpt3-finnish", " ?[^(\\s|.,!?\\u2026\\u3002\\uff0c\\u3001\\u0964\\u06d4\\u060c)]+", 0 },
    { "viking", " ?[^(\\s|.,!?\\u2026\\u3002\\uff0c\\u3001\\u0964\\u06d4\\u060c)]+\n\\p{N}", 0 },
    { "seed-coder", LMI_RE_CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LMI_RE_WHITE, 0 } /* ByteDance-Seed */
};

#define LMI_RE_ATOMS  40              /* of all stages of one row */
#define LMI_RE_RANGES 160
#define LMI_RE_STAGES 6
#define LMI_RE_SEQ    8               /* atoms of one alternative */
enum { LMI_SET, LMI_ANY_WORD, LMI_NOT_BEFORE_BLACK, LMI_AT_END };
typedef struct lmi_atom {
    uint64_t ascii[2];                /* which of U+0000..U+007F belong */
    uint32_t classes, min, max;       /* bits 1 << class; repetitions */
    int      kind, range, n_range;    /* ranges of code points, ascending */
    int      negate, last;            /* last of its alternative */
    const char *words;                /* LMI_ANY_WORD: up to the closing parenthesis */
} lmi_atom;
typedef struct lmi_re {
    int n_stage, n_atom, n_range, stage[LMI_RE_STAGES + 1]; /* stage[i]: its first atom */
    lmi_atom atom[LMI_RE_ATOMS];
    uint32_t range[LMI_RE_RANGES][2];
} lmi_re;

static int lmi_atom_has(const lmi_re *re, const lmi_atom *a, const lmi_unicode *u, uint32_t cp) {
    int lo = a->range, hi = a->range + a->n_range, in = (int)(a->classes >> lmi_class(u, cp) & 1);
    while (!in && lo < hi) {
        int mid = (lo + hi) / 2;
        if (cp > re->range[mid][1]) lo = mid + 1; else if (cp < re->range[mid][0]) hi = mid; else in = 1;
    }
    return in != a->negate;
}
/* One literal or escape of a pattern as an inclusive range, or as classes (returned, the range left alone). */
static uint32_t lmi_re_item(const char **s, uint32_t *cp) {
    static const char *const name = "LuLlLtLmLoM N P S "; const char *p = *s; uint32_t letters = (1u << LMI_LU) * 31; unsigned k;
    *cp = (uint8_t)*p++;
    if (*cp == '\\') {
        *cp = (uint8_t)*p++;
        if (*cp == 's' || *cp == 'S') { *s = p; return *cp == 's' ? 1u << LMI_WHITE : ((2u << LMI_OTHER) - 1) ^ 1u << LMI_WHITE; }
        if (*cp == 'p') { /* \p{L} or \p{Lu} */
            *s = p + (p[2] == '}' ? 3 : 4);
            if (p[1] == 'L' && p[2] == '}') return letters;
            for (k = 0; name[2 * k] != p[1] || (p[2] != '}' && name[2 * k + 1] != p[2]); k++) { }
            return 1u << k;
        }
        if (*cp == 'r' || *cp == 'n') *cp = *cp == 'r' ? 13 : 10;
        else if (*cp == 'u' || *cp == 'U') {
            for (k = *cp == 'u' ? 4 : 6, *cp = 0; k > 0; k--, p++) *cp = *cp << 4 | (uint32_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
        }
    }
    *s = p;
    return 0;
}
static void lmi_re_set(lmi_re *re, lmi_atom *a, const char **s, const lmi_unicode *u) {
    int in_class = **s == '['; uint32_t c;
    a->range = re->n_range;
    if (in_class && *++*s == '^') { a->negate = 1; ++*s; }
    do {
        uint32_t lo, hi, more = lmi_re_item(s, &lo);
        a->classes |= more; hi = lo;
        if (in_class && **s == '-') { ++*s; lmi_re_item(s, &hi); }
        if (more || re->n_range == LMI_RE_RANGES) continue;
        re->range[re->n_range][0] = lo; re->range[re->n_range++][1] = hi; a->n_range++;
    } while (in_class && **s != ']');
    if (in_class) ++*s;
    for (c = 1; c < (uint32_t)a->n_range; c++) { /* insertion: patterns list a handful, or many in order */
        uint32_t (*r)[2] = re->range + a->range, lo = r[c][0], hi = r[c][1], k = c;
        for (; k > 0 && r[k - 1][0] > lo; k--) { r[k][0] = r[k - 1][0]; r[k][1] = r[k - 1][1]; }
        r[k][0] = lo; r[k][1] = hi;
    }
    for (c = 0; c < 128; c++) if (lmi_atom_has(re, a, u, c)) a->ascii[c >> 6] |= (uint64_t)1 << (c & 63);
}
static void lmi_re_quantifier(lmi_atom *a, const char **s) {
    const char *p = *s;
    a->min = a->max = 1;
    if (*p == '{') { a->min = (uint32_t)(p[1] - '0'); a->max = (uint32_t)(p[3] - '0'); *s = p + 5; return; } /* single digits: {1,3} */
    if (*p == '?' || *p == '*') a->min = 0;
    if (*p == '+' || *p == '*') a->max = LMI_NONE;
    if (*p == '?' || *p == '*' || *p == '+') ++*s;
}
/* Compiles a row of lmi_pres. 0: it needs more than the limits above, which a test of every row rules out. */
static int lmi_re_compile(lmi_re *re, const char *s, const lmi_unicode *u) {
    memset(re, 0, sizeof *re);
    for (re->n_stage = 1; *s; ) {
        lmi_atom *a = &re->atom[re->n_atom++];
        if (re->n_atom == LMI_RE_ATOMS || re->n_range == LMI_RE_RANGES) return 0;
        if (strncmp(s, "(?i:", 4) == 0) { a->kind = LMI_ANY_WORD; a->words = s + 4; s = strchr(s, ')') + 1; lmi_re_quantifier(a, &s); }
        else if (strncmp(s, "(?!\\S)", 6) == 0) { a->kind = LMI_NOT_BEFORE_BLACK; s += 6; }
        else if (s[0] == '$') { a->kind = LMI_AT_END; s++; }
        else { lmi_re_set(re, a, &s, u); lmi_re_quantifier(a, &s); }
        a->last = *s == '|' || *s == '\n' || *s == 0;
        if (*s == '\n') { if (re->n_stage == LMI_RE_STAGES) return 0; re->stage[re->n_stage++] = re->n_atom; }
        if (*s == '|' || *s == '\n') s++;
    }
    re->stage[re->n_stage] = re->n_atom;
    return 1;
}

/* ---- matching, in p[at..end) */
static size_t lmi_word_here(const char *w, const uint8_t *p, size_t n) { /* one of w's alternatives, caseless: its length, or 0 */
    for (;; w++) {
        size_t k = 0, step; uint32_t cp;
        for (; *w != '|' && *w != ')' && k < n; w++, k += step) {
            step = lmi_utf8(p + k, n - k, &cp);
            if (cp >= 'A' && cp <= 'Z') cp += 32;
            if (cp == 0x17f) cp = 's';   /* long s; the patterns have no k, whose other form is U+212A */
            if (cp != (uint8_t)*w) break;
        }
        if (*w == '|' || *w == ')') return k;
        while (*w != '|' && *w != ')') w++;
        if (*w == ')') return 0;
    }
}
static size_t lmi_atom_step(const lmi_re *re, const lmi_atom *a, const lmi_unicode *u, const uint8_t *p, size_t n) {
    uint32_t cp; unsigned k;
    if (n == 0) return 0;
    if (a->kind == LMI_ANY_WORD) return lmi_word_here(a->words, p, n);
    if (p[0] < 0x80) return (size_t)(a->ascii[p[0] >> 6] >> (p[0] & 63) & 1);
    k = lmi_utf8(p, n, &cp);
    return lmi_atom_has(re, a, u, cp) ? k : 0;
}
/* Greedy, with backtracking: the end of the match of the alternative that starts with atom a, or 0. No pattern above needs more than one
 * pass back over a run, and no run is left by less than its own length for the next match, so a whole text takes linear time. */
static size_t lmi_match(const lmi_re *re, const lmi_atom *a, const lmi_unicode *u, const uint8_t *p, size_t at, size_t end) {
    size_t stop[LMI_RE_SEQ + 1], step; uint32_t count[LMI_RE_SEQ]; int i = 0; uint32_t cp;
    for (stop[0] = at;; i++) {
        size_t q = stop[i]; uint32_t k = 0; int ok;
        if (a[i].kind == LMI_AT_END) ok = q == end;
        else if (a[i].kind == LMI_NOT_BEFORE_BLACK) ok = q == end || (lmi_utf8(p + q, end - q, &cp), lmi_class(u, cp) == LMI_WHITE);
        else {
            while (k < a[i].max && (step = lmi_atom_step(re, &a[i], u, p + q, end - q)) > 0) { q += step; k++; }
            ok = k >= a[i].min;
        }
        stop[i + 1] = q; count[i] = k;
        if (ok && a[i].last) return q;
        if (ok) continue;
        for (;;) { /* the nearest atom before that can do with one less */
            if (i-- == 0) return 0;
            if (count[i] > a[i].min) break;
        }
        count[i]--; stop[i + 1] -= lmi_utf8_back(p + stop[i], stop[i + 1] - stop[i]);
    }
}
/* The first match of a stage in p[at..end): 1 and its bounds. */
static int lmi_search(const lmi_re *re, int stage, const lmi_unicode *u, const uint8_t *p, size_t at, size_t end, size_t *from, size_t *to) {
    const lmi_atom *first = re->atom + re->stage[stage], *stop = re->atom + re->stage[stage + 1], *a; uint32_t cp;
    if (stop[-1].kind == LMI_AT_END) { /* X+$: a match can only start where the last run of X starts, found from the end in one pass */
        size_t q = end, k;
        while (q > at && (k = lmi_utf8_back(p + at, q - at), lmi_atom_step(re, first, u, p + q - k, k) == k)) q -= k;
        *from = q; *to = end;
        return q < end;
    }
    for (; at < end; at += lmi_utf8(p + at, end - at, &cp)) {
        for (a = first; a < stop; a++) {
            if ((*to = lmi_match(re, a, u, p, at, end)) > at) { *from = at; return 1; }
            while (!a->last) a++;
        }
    }
    return 0;
}
/* The pieces of a text, one by one: a stack of what each stage still has to cut, with the match it found ahead. */
typedef struct lmi_cut { size_t at, end, from, to; } lmi_cut;
typedef struct lmi_cutter { const lmi_re *re; const lmi_unicode *u; const uint8_t *p; int depth; lmi_cut level[LMI_RE_STAGES]; } lmi_cutter;
static void lmi_cut_push(lmi_cutter *c, int depth, size_t at, size_t end) {
    lmi_cut *l = &c->level[depth];
    c->depth = depth; l->at = at; l->end = end; l->from = l->to = at;
}
static int lmi_cut_next(lmi_cutter *c, size_t *at, size_t *end) {
    for (;;) {
        lmi_cut *l = &c->level[c->depth];
        if (l->at == l->end) { if (c->depth-- == 0) return 0; continue; }
        if (l->at == l->to && !lmi_search(c->re, c->depth, c->u, c->p, l->at, l->end, &l->from, &l->to)) l->from = l->to = l->end;
        *at = l->at; *end = l->at = l->at < l->from ? l->from : l->to;
        if (c->depth == c->re->n_stage - 1) return 1;
        lmi_cut_push(c, c->depth + 1, *at, *end);
    }
}

/* ---- vocabulary. Texts stay where the file has them. */
enum { LMI_VOCAB_NONE, LMI_VOCAB_SPM, LMI_VOCAB_BPE };
enum { LMI_ATTR_TYPE = 7, LMI_ATTR_EOG = 8 };            /* a token's attr: lm_token_type, and a bit */
#define LMI_N_SPECIAL_IDS 11                             /* of lm_special */
typedef struct lmi_merge { int32_t left, right, made; } lmi_merge;
typedef struct lmi_vocab {
    int       kind, n, add_bos, add_eos;
    int       space_prefix;           /* SPM: text after a special token, or at the start, gets a space in front */
    int       cut_words;              /* SPM: no token goes on with U+2581 after something else, so words are independent */
    int       eat_white;              /* white space after most special tokens is dropped */
    int       pre_flags;
    char      pre[40];                /* name of the pre-tokenizer, "" where there is none */
    lmi_str  *text;                   /* [n] */
    uint8_t  *attr;                   /* [n] */
    const uint8_t *score;             /* [n] f32 of the file, or NULL */
    lmi_map   by_text;                /* first token of that text */
    size_t    max_bytes;              /* of a token's text */
    lmi_merge *merge; uint64_t n_merge; /* [n_merge] ascending rank; left -1: cannot happen */
    lmi_map   by_pair;
    uint32_t *special, n_special;     /* control, unknown and user-defined tokens, by text, for lmi_special_at */
    uint32_t  first[257];             /* special[first[b] .. first[b+1]) begin with byte b */
    int32_t   byte_id[256];           /* the token of a byte, or -1 */
    int32_t   id[LMI_N_SPECIAL_IDS];
    lmi_unicode uni;
    lmi_re    re;
} lmi_vocab;

typedef struct lmi_halves { lmi_str a, b; } lmi_halves;  /* a text in two parts, as a merge has it */
static int lmi_same_text(const void *v, uint32_t i, const void *key) {
    const lmi_halves *h = (const lmi_halves *)key; lmi_str t = ((const lmi_vocab *)v)->text[i];
    return t.n == h->a.n + h->b.n && (h->a.n == 0 || memcmp(t.p, h->a.p, h->a.n) == 0)
        && (h->b.n == 0 || memcmp(t.p + h->a.n, h->b.p, h->b.n) == 0);
}
static int32_t lmi_text_find(const lmi_vocab *v, lmi_str a, lmi_str b) { /* the token of text a b, or -1 */
    lmi_halves h;
    if (a.n + b.n > v->max_bytes || a.n == 0) return -1;
    h.a = a; h.b = b;
    return (int32_t)lmi_map_find(&v->by_text, lmi_hash2(h.a, h.b), lmi_same_text, v, &h);
}
static int32_t lmi_text_id(const lmi_vocab *v, const void *p, size_t n) {
    lmi_str a, b;
    a.p = (const char *)p; a.n = n; b.p = NULL; b.n = 0;
    return lmi_text_find(v, a, b);
}
static uint32_t lmi_hash_pair(int32_t left, int32_t right) {
    uint64_t x = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    x ^= x >> 32; x *= 0xff51afd7ed558ccdu;
    return (uint32_t)(x >> 32);
}
static int lmi_same_pair(const void *v, uint32_t i, const void *key) {
    const lmi_merge *m = ((const lmi_vocab *)v)->merge + i, *k = (const lmi_merge *)key;
    return m->left == k->left && m->right == k->right;
}
static int lmi_kind_of(const lmi_vocab *v, int32_t id) { return v->attr[id] & LMI_ATTR_TYPE; }
static int lmi_is_special(const lmi_vocab *v, int32_t id) { /* found in text as a whole */
    int t = lmi_kind_of(v, id);
    return t == LM_TOKEN_CONTROL || t == LM_TOKEN_UNKNOWN || t == LM_TOKEN_USER;
}
static int lmi_is_piece(const lmi_vocab *v, int32_t id) { /* text may be built into it by merging */
    int t = lmi_kind_of(v, id);
    return t != LM_TOKEN_CONTROL && t != LM_TOKEN_UNKNOWN && t != LM_TOKEN_BYTE;
}

/* The byte alphabet of GPT-2 (encoder.py, bytes_to_unicode): printable Latin-1 stands for itself, the 68 other bytes for U+0100 and on. */
static uint32_t lmi_letter_of_byte(unsigned b) {
    if ((b >= 33 && b <= 126) || (b >= 161 && b != 173)) return b;
    return b < 33 ? 256 + b : b < 161 ? 256 + b - 127 + 33 : 256 + 67;
}
static int lmi_byte_of_letter(uint32_t cp) { /* -1: not of the alphabet */
    if (cp < 256) return lmi_letter_of_byte(cp) == cp ? (int)cp : -1;
    if (cp > 256 + 67) return -1;
    cp -= 256;
    return cp < 33 ? (int)cp : cp < 67 ? (int)cp - 33 + 127 : 173;
}

/* An array of the vocabulary, checked: its items and, unless n is 0, their number. *raw is NULL and *count 0 where the file has none. */
static lm_status lmi_vocab_array(const lmi_gguf *g, const char *key, lm_meta_type item, uint64_t n,
                                 const uint8_t **raw, uint64_t *count, lm_error *err) {
    lm_meta m;
    *raw = NULL; *count = 0;
    if (!lmi_kv(g, key, &m)) return LM_OK;
    if (m.type != LM_META_ARR) return lmi_fail(err, LM_E_FORMAT, "%s is no array", key);
    if (m.item != item) return lmi_fail(err, LM_E_FORMAT, "%s: items are of type %d, expected %d", key, (int)m.item, (int)item);
    if (m.n > INT32_MAX) return lmi_fail(err, LM_E_FORMAT, "%s has %u items, at most %d are allowed", key, m.n, (int)INT32_MAX);
    if (n && m.n != n) return lmi_fail(err, LM_E_FORMAT, "%s has %u items, there are %u tokens", key, m.n, n);
    *raw = (const uint8_t *)m.raw; *count = m.n;
    return LM_OK;
}
static lmi_str lmi_vocab_str(const uint8_t **p) { lmi_str s; s.p = (const char *)*p + 8; s.n = (size_t)lmi_u64(*p); *p += 8 + s.n; return s; }

static lm_status lmi_vocab_tokens(lmi_vocab *v, const uint8_t *p, lm_error *err) {
    int i;
    for (i = 0; i < v->n; i++) {
        lmi_halves h;
        h.a = v->text[i] = lmi_vocab_str(&p); h.b.p = NULL; h.b.n = 0;
        if (h.a.n > v->max_bytes) v->max_bytes = h.a.n;
        if (lmi_map_put(&v->by_text, lmi_hash2(h.a, h.b), lmi_same_text, v, &h, (uint64_t)i) != -2) continue;
        return lmi_fail(err, LM_E_FORMAT, "tokenizer.ggml.tokens[%d]: texts made to collide", i);
    }
    return LM_OK;
}
static int lmi_hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
static int lmi_byte_token(lmi_str s) { /* <0x0A>: 10; -1 for anything else */
    int hi, lo;
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>') return -1;
    hi = lmi_hex(s.p[3]); lo = lmi_hex(s.p[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}
static lm_status lmi_vocab_types(lmi_vocab *v, const uint8_t *type, lm_error *err) {
    static const char *const key = "tokenizer.ggml.token_type"; int i, b;
    for (i = 0; i < v->n; i++) {
        uint32_t t = type ? lmi_u32(type + 4 * (size_t)i) : (uint32_t)LM_TOKEN_NORMAL;
        if (type == NULL && v->kind == LMI_VOCAB_SPM && lmi_byte_token(v->text[i]) >= 0) t = LM_TOKEN_BYTE;
        if (t > LM_TOKEN_BYTE) return lmi_fail(err, LM_E_FORMAT, "%s[%d] is %u, expected 0 to 6", key, i, (uint64_t)t);
        v->attr[i] = (uint8_t)(t ? t : (uint32_t)LM_TOKEN_NORMAL);
        if (t != LM_TOKEN_BYTE) continue;
        b = lmi_byte_token(v->text[i]);
        if (b < 0) return lmi_fail(err, LM_E_FORMAT, "tokenizer.ggml.tokens[%d]: the byte token %S is not of the form <0x0A>", i, v->text[i]);
        if (v->kind == LMI_VOCAB_SPM && v->byte_id[b] < 0) v->byte_id[b] = i;
    }
    return LM_OK;
}
static lm_status lmi_vocab_merges(lmi_vocab *v, const uint8_t *p, lm_error *err) {
    uint64_t i;
    for (i = 0; i < v->n_merge; i++) {
        lmi_merge *m = &v->merge[i]; lmi_str a = lmi_vocab_str(&p), b;
        b.p = a.n > 1 ? (const char *)memchr(a.p + 1, ' ', a.n - 1) : NULL; /* not the first byte: a part is not empty */
        if (b.p == NULL) return lmi_fail(err, LM_E_FORMAT, "tokenizer.ggml.merges[%u]: no space between the two parts", i);
        b.p++; b.n = a.n - (size_t)(b.p - a.p); a.n -= b.n + 1;
        m->left = lmi_text_id(v, a.p, a.n); m->right = lmi_text_id(v, b.p, b.n); m->made = lmi_text_find(v, a, b);
        if (m->left < 0 || m->right < 0 || m->made < 0 || !lmi_is_piece(v, m->made)) { m->left = -1; continue; }
        if (lmi_map_put(&v->by_pair, lmi_hash_pair(m->left, m->right), lmi_same_pair, v, m, i) != -2) continue;
        return lmi_fail(err, LM_E_FORMAT, "tokenizer.ggml.merges[%u]: pairs made to collide", i);
    }
    return LM_OK;
}
/* Finds the row for name, which may be one of several in lmi_pre.names. */
static const lmi_pre *lmi_pre_find(lmi_str name) {
    int i;
    for (i = 0; i < LMI_COUNT(lmi_pres); i++) {
        lmi_str s; s.p = lmi_pres[i].names;
        for (; *s.p; s.p += s.n + (s.p[s.n] == ' ')) {
            for (s.n = 0; s.p[s.n] && s.p[s.n] != ' '; s.n++) { }
            if (lmi_str_eq(s, name)) return &lmi_pres[i];
        }
    }
    return NULL;
}
static lm_status lmi_vocab_cutter(lmi_vocab *v, const lmi_gguf *g, const lm_model_desc *d, lm_error *err) {
    lmi_str name; const lmi_pre *pre; int b; lm_status s = lmi_want_str(g, "tokenizer.ggml.pre", "default", &name, err);
    if (d->pre) name = lmi_cstr(d->pre); else if (s != LM_OK) return s;
    pre = lmi_pre_find(name);
    if (pre == NULL) return lmi_fail(err, LM_E_SUPPORT, "tokenizer.ggml.pre: no pre-tokenizer is called %S", name);
    memcpy(v->pre, name.p, LMI_MIN(name.n, sizeof v->pre - 1)); /* the rest is zero */
    v->pre_flags = pre->flags; v->add_bos = (pre->flags & LMI_PRE_BOS) != 0;
    if (!lmi_re_compile(&v->re, pre->regex, &v->uni)) return lmi_fail(err, LM_E_SUPPORT, "pre-tokenizer %S: pattern too long", name);
    for (b = 0; b < 256; b++) {
        uint8_t letter[4]; unsigned k = lmi_utf8_put(letter, lmi_letter_of_byte((unsigned)b));
        v->byte_id[b] = lmi_text_id(v, letter, k);
        /* DeepSeek's vocabularies hold the letters of bytes that UTF-8 never has as text of their own */
        if (v->byte_id[b] >= 0 && lmi_is_special(v, v->byte_id[b])
            && !(lmi_is_piece(v, v->byte_id[b]) && (v->pre_flags & LMI_PRE_ADDED))) v->byte_id[b] = -1;
    }
    return LM_OK;
}

/* Ids by key, else by well-known texts; and the tokens that end a generation (llama.cpp, llama-vocab.cpp, has the same list). */
#define LMI_DS_BAR "\xef\xbd\x9c"     /* U+FF5C and U+2581, in DeepSeek's names */
#define LMI_LOW    "\xe2\x96\x81"
#define LMI_DS(word) "<" LMI_DS_BAR word LMI_DS_BAR ">"
static const char *const lmi_eot_texts[] = { "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
    "_<EOT>", "[EOT]", LMI_DS("end" LMI_LOW "of" LMI_LOW "sentence"), "<end_of_utterance>", NULL };
static const char *const lmi_eom_texts[] = { "<|eom_id|>", NULL };
static const char *const lmi_pre_texts[] = { "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", LMI_DS("fim" LMI_LOW "begin"),
    "<PRE>", LMI_LOW "<PRE>", NULL };
static const char *const lmi_suf_texts[] = { "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", LMI_DS("fim" LMI_LOW "hole"),
    "<SUF>", LMI_LOW "<SUF>", NULL };
static const char *const lmi_mid_texts[] = { "<|fim_middle|>", "<fim-middle>", "<fim_middle>", LMI_DS("fim" LMI_LOW "end"),
    "<MID>", LMI_LOW "<MID>", NULL };
static const char *const lmi_eog_texts[] = { "<|return|>", "<|call|>", "</s>", "<|eom_id|>", "[EOS]", "<eos>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>", NULL };
static const struct { const char *key, *old; const char *const *texts; int strict; } lmi_special_keys[LMI_N_SPECIAL_IDS] = { /* as lm_special */
    { "tokenizer.ggml.bos_token_id", NULL, NULL, 1 },                { "tokenizer.ggml.eos_token_id", NULL, NULL, 1 },
    { "tokenizer.ggml.eot_token_id", NULL, lmi_eot_texts, 1 },       { "tokenizer.ggml.eom_token_id", NULL, lmi_eom_texts, 1 },
    { "tokenizer.ggml.unknown_token_id", NULL, NULL, 0 },            { "tokenizer.ggml.seperator_token_id", NULL, NULL, 0 },
    { "tokenizer.ggml.padding_token_id", NULL, NULL, 0 },            { "tokenizer.ggml.mask_token_id", NULL, NULL, 0 },
    { "tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id", lmi_pre_texts, 0 },
    { "tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id", lmi_suf_texts, 0 },
    { "tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id", lmi_mid_texts, 0 }
};
static int32_t lmi_text_cid(const lmi_vocab *v, const char *s) { return lmi_text_id(v, s, strlen(s)); }
static void lmi_mark_eog(lmi_vocab *v, int32_t id) { if (id >= 0) v->attr[id] |= LMI_ATTR_EOG; }
static void lmi_mark_eog_texts(lmi_vocab *v, const char *const *t, int any_type) {
    for (; *t; t++) { /* an ordinary piece of text that looks like one is left alone, where the file tells them apart */
        int32_t id = lmi_text_cid(v, *t);
        if (id < 0 || !(any_type || lmi_is_special(v, id))) continue;
        v->attr[id] |= LMI_ATTR_EOG;
        if (lmi_kind_of(v, id) == LM_TOKEN_USER) v->attr[id] = LM_TOKEN_CONTROL | LMI_ATTR_EOG; /* no untrusted text may end a turn */
    }
}
static lm_status lmi_vocab_ids(lmi_vocab *v, const lmi_gguf *g, int has_types, lm_error *err) {
    int i;
    for (i = 0; i < LMI_N_SPECIAL_IDS; i++) {
        const char *const *t = lmi_special_keys[i].texts, *key = lmi_special_keys[i].key; lm_meta m; int64_t id;
        int64_t dflt = v->kind == LMI_VOCAB_SPM ? i == LM_BOS ? 1 : i == LM_EOS ? 2 : i == LM_UNK ? 0 : -1 : -1; /* sentencepiece's own */
        if (dflt >= v->n) dflt = -1;
        if (lmi_special_keys[i].old && !lmi_kv(g, key, &m)) key = lmi_special_keys[i].old;
        v->id[i] = -1;
        if (lmi_special_keys[i].strict || !lmi_kv(g, key, &m) || m.type != LM_META_U32 || m.i != 0xffffffff) { /* written for "none" */
            LMI_TRY(lmi_want_int(g, key, 0, v->n - 1, dflt, &id, err));
            v->id[i] = (int32_t)id;
        }
        for (; t && *t && v->id[i] < 0; t++) {
            int32_t at = lmi_text_cid(v, *t);
            if (at >= 0 && (!has_types || lmi_is_special(v, at))) v->id[i] = at;
        }
    }
    lmi_mark_eog(v, v->id[LM_EOS]); lmi_mark_eog(v, v->id[LM_EOT]); lmi_mark_eog(v, v->id[LM_EOM]);
    lmi_mark_eog_texts(v, lmi_eot_texts, !has_types); lmi_mark_eog_texts(v, lmi_eog_texts, !has_types);
    LMI_TRY(lmi_want_bool(g, "tokenizer.ggml.add_bos_token", v->add_bos, &v->add_bos, err));
    LMI_TRY(lmi_want_bool(g, "tokenizer.ggml.add_eos_token", 0, &v->add_eos, err));
    v->add_bos = v->add_bos && v->id[LM_BOS] >= 0; v->add_eos = v->add_eos && v->id[LM_EOS] >= 0;
    return LM_OK;
}

static int lmi_special_before(const void *owner, uint32_t a, uint32_t b) {
    const lmi_str *t = ((const lmi_vocab *)owner)->text; int c = memcmp(t[a].p, t[b].p, LMI_MIN(t[a].n, t[b].n));
    return c != 0 ? c < 0 : t[a].n != t[b].n ? t[a].n < t[b].n : a < b;
}
static void lmi_vocab_specials(lmi_vocab *v) {
    int i; uint32_t k, b;
    for (i = 0; i < v->n; i++) {
        if (lmi_is_special(v, i) && v->text[i].n > 0 && v->text[i].n <= LMI_MAX_SPECIAL) v->special[v->n_special++] = (uint32_t)i;
    }
    lmi_sort(v->special, v->n_special, lmi_special_before, v);
    for (b = 0, k = 0; b <= 256; b++) {
        while (k < v->n_special && (uint8_t)v->text[v->special[k]].p[0] < b) k++;
        v->first[b] = k;
    }
}
/* 1 when U+2581 only ever begins a token's text, repeated or not, so that no merge crosses from something else into it. */
static int lmi_vocab_cuts(const lmi_vocab *v) {
    int i; size_t k;
    for (i = 0; i < v->n; i++) {
        const char *p = v->text[i].p; size_t n = v->text[i].n; int black = 0;
        if (!lmi_is_piece(v, i)) continue;
        for (k = 0; k < n; ) {
            if (n - k >= 3 && memcmp(p + k, LMI_LOW, 3) == 0) { if (black) return 0; k += 3; } else { black = 1; k++; }
        }
    }
    return 1;
}
/* Phi-3's tokenizer.json strips white space after its special tokens, which no key tells; llama.cpp goes by the model's name, too. */
static int lmi_is_phi3(const lmi_gguf *g) {
    lm_meta m; size_t i, k;
    if (!lmi_kv(g, "general.name", &m) || m.type != LM_META_STR || m.text == NULL) return 0;
    for (i = 0; i + 4 <= m.text_bytes; i++) {
        k = i + 3 + (m.text[i + 3] == '-');
        if ((m.text[i] | 32) == 'p' && (m.text[i + 1] | 32) == 'h' && (m.text[i + 2] | 32) == 'i' && k < m.text_bytes && m.text[k] == '3') return 1;
    }
    return 0;
}

static lm_status lmi_vocab_build(lmi_vocab *v, const lmi_gguf *g, const lm_model_desc *d, lm_error *err) {
    lmi_str model; const uint8_t *tokens, *types, *merges; uint64_t n, n_types, n_scores; int i;
    LMI_TRY(lmi_want_str(g, "tokenizer.ggml.model", "no_vocab", &model, err));
    LMI_TRY(lmi_vocab_array(g, "tokenizer.ggml.tokens", LM_META_STR, 0, &tokens, &n, err));
    memset(v->id, 0xff, sizeof v->id);  /* all -1 */
    if (lmi_str_is(model, "no_vocab") || lmi_str_is(model, "none")) return LM_OK;
    v->kind = lmi_str_is(model, "llama") ? LMI_VOCAB_SPM : lmi_str_is(model, "gpt2") ? LMI_VOCAB_BPE : LMI_VOCAB_NONE;
    if (v->kind == LMI_VOCAB_NONE) return lmi_fail(err, LM_E_SUPPORT, "tokenizer.ggml.model: %S is not built in", model);
    if (n == 0) return lmi_fail(err, LM_E_FORMAT, "tokenizer.ggml.tokens is missing or empty");
    LMI_TRY(lmi_vocab_array(g, "tokenizer.ggml.token_type", LM_META_I32, n, &types, &n_types, err));
    LMI_TRY(lmi_vocab_array(g, "tokenizer.ggml.scores", LM_META_F32, n, &v->score, &n_scores, err));
    LMI_TRY(lmi_vocab_array(g, "tokenizer.ggml.merges", LM_META_STR, 0, &merges, &v->n_merge, err));
    v->n = (int)n;
    for (i = 0; v->score && i < v->n; i++) {
        if (!lmi_finite(lmi_f32(v->score + 4 * (size_t)i))) return lmi_fail(err, LM_E_FORMAT, "tokenizer.ggml.scores[%d] is not finite", i);
    }
    memset(v->byte_id, 0xff, sizeof v->byte_id);
    lmi_unicode_unpack(&v->uni);
    LMI_TRY(lmi_vocab_tokens(v, tokens, err)); LMI_TRY(lmi_vocab_types(v, types, err));
    if (v->kind == LMI_VOCAB_SPM) {
        v->add_bos = 1; v->cut_words = lmi_vocab_cuts(v); v->eat_white = lmi_is_phi3(g);
        LMI_TRY(lmi_want_bool(g, "tokenizer.ggml.add_space_prefix", 1, &v->space_prefix, err));
    } else {
        if (merges == NULL) return lmi_fail(err, LM_E_FORMAT, "tokenizer.ggml.merges is missing");
        LMI_TRY(lmi_vocab_cutter(v, g, d, err));
    }
    LMI_TRY(lmi_vocab_ids(v, g, types != NULL, err));
    if (v->kind == LMI_VOCAB_BPE) LMI_TRY(lmi_vocab_merges(v, merges, err)); /* after every token's type is settled */
    lmi_vocab_specials(v);
    return LM_OK;
}
/* Checks the numbers of items and asks for memory, which depends on nothing else. Sets n; lmi_vocab_build does the rest. */
static lm_status lmi_vocab_layout(lmi_vocab *v, const lmi_gguf *g, const lm_model_desc *d, lmi_arena *a, lm_error *err) {
    const uint8_t *raw; uint64_t n, n_merge; lmi_str arch; char key[128]; int64_t n_vocab = 0;
    (void)d;
    memset(v, 0, sizeof *v);
    LMI_TRY(lmi_vocab_array(g, "tokenizer.ggml.tokens", LM_META_STR, 0, &raw, &n, err));
    LMI_TRY(lmi_vocab_array(g, "tokenizer.ggml.merges", LM_META_STR, 0, &raw, &n_merge, err));
    v->text    = (lmi_str *)lmi_push(a, n, sizeof *v->text);
    v->attr    = (uint8_t *)lmi_push(a, n, sizeof *v->attr);
    v->special = (uint32_t *)lmi_push(a, n, sizeof *v->special);
    v->merge   = (lmi_merge *)lmi_push(a, n_merge, sizeof *v->merge);
    lmi_map_push(&v->by_text, a, n); lmi_map_push(&v->by_pair, a, n_merge);
    lmi_unicode_push(&v->uni, a);
    v->n = (int)n;
    LMI_TRY(lmi_want_str(g, "general.architecture", "", &arch, err));
    if (n > 0 || arch.p == NULL || arch.n > sizeof key - 12) return LM_OK;
    memcpy(key, arch.p, arch.n); memcpy(key + arch.n, ".vocab_size", 12); /* with its NUL */
    LMI_TRY(lmi_want_int(g, key, 0, INT32_MAX, 0, &n_vocab, err));
    v->n = (int)n_vocab;
    return LM_OK;
}
static const char *lmi_vocab_pre(const lmi_vocab *v) { return v->pre; }

/* ---- one call's scratch and result */
typedef struct lmi_sym {              /* a symbol of a word: a linked list that shrinks as neighbours merge */
    uint32_t prev, next, at;          /* at: first byte in the word (SPM) */
    int32_t  id;                      /* token, -1: none */
    uint32_t rank; int32_t made;      /* what merging with the next would cost and give; LMI_NONE: cannot, or gone */
} lmi_sym;
typedef struct lmi_buf { void *p; size_t n_bytes; } lmi_buf;
typedef struct lmi_coder {
    const lm_hooks *hooks; const lmi_vocab *v;
    lm_token *ids; size_t cap, n;     /* n goes on counting when ids is full */
    lmi_buf  word, syms, heap, cps;   /* grown as words need them */
    lmi_sym *sym;                     /* in syms */
    uint64_t *key; size_t n_key;      /* in heap: a binary heap, least first */
    const uint8_t *spm;               /* the word, with U+2581 for spaces */
    int      unk_last;                /* SPM: the last id stands for unknown characters; the next one joins it */
} lmi_coder;
static int lmi_grow(lmi_coder *j, lmi_buf *b, uint64_t n_bytes) { /* contents are lost; 0: no memory */
    uint64_t n = LMI_MAX(n_bytes, 2 * (uint64_t)b->n_bytes);
    if (n_bytes <= b->n_bytes) return 1;
    lmi_give(j->hooks, b->p, b->n_bytes);
    b->n_bytes = 0; b->p = n <= SIZE_MAX / 2 ? lmi_take(j->hooks, (size_t)LMI_MAX(n, 4096)) : NULL;
    if (b->p == NULL) return 0;
    b->n_bytes = (size_t)LMI_MAX(n, 4096);
    return 1;
}
static void lmi_emit(lmi_coder *j, int32_t id) { if (j->n < j->cap) j->ids[j->n] = id; j->n++; j->unk_last = 0; }

static void lmi_heap_put(lmi_coder *j, uint64_t x) {
    size_t i = j->n_key++;
    for (; i > 0 && j->key[(i - 1) / 2] > x; i = (i - 1) / 2) j->key[i] = j->key[(i - 1) / 2];
    j->key[i] = x;
}
static uint64_t lmi_heap_get(lmi_coder *j) {
    uint64_t top = j->key[0], x = j->key[--j->n_key]; size_t i = 0, k;
    for (; (k = 2 * i + 1) < j->n_key; i = k) {
        if (k + 1 < j->n_key && j->key[k + 1] < j->key[k]) k++;
        if (j->key[k] >= x) break;
        j->key[i] = j->key[k];
    }
    j->key[i] = x;
    return top;
}

/* ---- merging. Both kinds of vocabulary differ only in what a pair of neighbours is worth. */
static void lmi_pair_bpe(const lmi_vocab *v, lmi_sym *s, const lmi_sym *next) {
    lmi_merge m; int64_t i;
    m.left = s->id; m.right = next->id;
    i = lmi_map_find(&v->by_pair, lmi_hash_pair(m.left, m.right), lmi_same_pair, v, &m);
    if (i >= 0) { s->rank = (uint32_t)i; s->made = v->merge[i].made; }
}
static void lmi_pair_spm(const lmi_coder *j, lmi_sym *s, const lmi_sym *next) {
    const lmi_vocab *v = j->v; uint32_t bits; int32_t id = lmi_text_id(v, j->spm + s->at, j->sym[next->next].at - s->at);
    if (id < 0 || !lmi_is_piece(v, id)) return;
    bits = v->score ? lmi_f32_bits(lmi_f32(v->score + 4 * (size_t)id) + 0.0f) : 0; /* + 0 turns -0 into 0 */
    s->rank = bits & 0x80000000u ? bits : 0x7fffffffu - bits;   /* falling with the score; finite, so never LMI_NONE */
    s->made = id;
}
static void lmi_pair(lmi_coder *j, uint32_t i, uint32_t n) {
    lmi_sym *s = &j->sym[i];
    s->rank = LMI_NONE;
    if (s->next == n) return;
    if (j->v->kind == LMI_VOCAB_SPM) lmi_pair_spm(j, s, &j->sym[s->next]); else lmi_pair_bpe(j->v, s, &j->sym[s->next]);
    if (s->rank != LMI_NONE) lmi_heap_put(j, (uint64_t)s->rank << 32 | i);
}
/* Room for a word of n symbols. A merge takes one candidate from the heap and adds at most two, so 2 n are enough. */
static int lmi_merge_room(lmi_coder *j, size_t n) {
    if (!lmi_grow(j, &j->syms, ((uint64_t)n + 1) * sizeof *j->sym) || !lmi_grow(j, &j->heap, ((uint64_t)n + 1) * 2 * sizeof *j->key)) return 0;
    j->sym = (lmi_sym *)j->syms.p; j->key = (uint64_t *)j->heap.p;
    return 1;
}
/* Merges sym[0..n), whose id (and at, also of sym[n]) are set. Candidates that a merge has outdated stay in the heap: what they say
 * no longer agrees with the symbol's rank. */
static void lmi_merge_all(lmi_coder *j, uint32_t n) {
    uint32_t i;
    j->n_key = 0;
    for (i = 0; i < n; i++) { j->sym[i].prev = i - 1; j->sym[i].next = i + 1; }
    for (i = 0; i < n; i++) lmi_pair(j, i, n);
    while (j->n_key > 0) {
        uint64_t best = lmi_heap_get(j); lmi_sym *s = &j->sym[(uint32_t)best], *r;
        if (s->rank != best >> 32) continue;
        r = &j->sym[s->next];
        s->id = s->made; s->next = r->next; r->rank = LMI_NONE;
        if (s->next < n) j->sym[s->next].prev = (uint32_t)best;
        lmi_pair(j, (uint32_t)best, n);
        if (s->prev != LMI_NONE) lmi_pair(j, s->prev, n);
    }
}

/* ---- a word of byte-level BPE. Bytes without a token are left out, and their neighbours meet (as in Hugging Face's BPE without unk). */
static int lmi_word_bpe(lmi_coder *j, const uint8_t *p, size_t n) {
    const lmi_vocab *v = j->v; size_t i, k; uint32_t m = 0; int32_t id;
    if ((v->pre_flags & LMI_PRE_WHOLE) && n <= v->max_bytes) {
        uint8_t *w;
        if (!lmi_grow(j, &j->word, 2 * (uint64_t)n)) return 0;
        for (w = (uint8_t *)j->word.p, i = k = 0; i < n; i++) k += lmi_utf8_put(w + k, lmi_letter_of_byte(p[i]));
        if ((id = lmi_text_id(v, w, k)) >= 0 && lmi_is_piece(v, id)) { lmi_emit(j, id); return 1; }
    }
    if (!lmi_merge_room(j, n)) return 0;
    for (i = 0; i < n; i++) if (v->byte_id[p[i]] >= 0) j->sym[m++].id = v->byte_id[p[i]];
    lmi_merge_all(j, m);
    for (i = 0; i < m; i = j->sym[i].next) lmi_emit(j, j->sym[i].id);
    return 1;
}

/* ---- a word of SentencePiece: p[0..n) with each space as U+2581, and one more in front where `prefix` asks for it. */
static void lmi_emit_bytes(lmi_coder *j, const uint8_t *p, size_t n) { /* characters that no token has */
    size_t i; int unk = j->unk_last;
    for (i = 0; i < n; i++) {
        int32_t id = j->v->byte_id[p[i]];
        if (id >= 0) { lmi_emit(j, id); unk = 0; }
        else { if (!unk && j->v->id[LM_UNK] >= 0) lmi_emit(j, j->v->id[LM_UNK]); unk = 1; }
    }
    j->unk_last = unk;
}
static int lmi_word_spm(lmi_coder *j, const uint8_t *p, size_t n, int prefix) {
    uint8_t *w; size_t i, k = 0; uint32_t m = 0, cp;
    if (!lmi_grow(j, &j->word, 3 * (uint64_t)n + 3)) return 0;
    w = (uint8_t *)j->word.p;
    if (prefix) { memcpy(w, LMI_LOW, 3); k = 3; }
    for (i = 0; i < n; i++) if (p[i] == ' ') { memcpy(w + k, LMI_LOW, 3); k += 3; } else w[k++] = p[i];
    n = k; j->spm = w;
    if (!lmi_merge_room(j, n)) return 0;
    for (i = 0; i < n; i += k) {
        lmi_sym *s = &j->sym[m++];
        k = lmi_utf8(w + i, n - i, &cp);
        s->at = (uint32_t)i; s->id = lmi_text_id(j->v, w + i, k);
        if (s->id >= 0 && !lmi_is_piece(j->v, s->id)) s->id = -1;
    }
    j->sym[m].at = (uint32_t)n;
    lmi_merge_all(j, m);
    for (i = 0; i < m; i = j->sym[i].next) {
        lmi_sym *s = &j->sym[i];
        if (s->id >= 0) lmi_emit(j, s->id); else lmi_emit_bytes(j, w + s->at, j->sym[s->next].at - s->at);
    }
    return 1;
}
static size_t lmi_space_at(const uint8_t *p, size_t n) { return n && p[0] == ' ' ? 1 : n >= 3 && memcmp(p, LMI_LOW, 3) == 0 ? 3 : 0; }
static int lmi_text_spm(lmi_coder *j, const uint8_t *p, size_t n, int prefix) {
    size_t at = 0, end, k; int space = 0;
    for (end = 0; end < n; end += k) { /* a word ends before the space that follows something else */
        int was = end == at ? 1 : space;
        k = lmi_space_at(p + end, n - end); space = k > 0;
        if (space && !was && j->v->cut_words) { if (!lmi_word_spm(j, p + at, end - at, prefix)) return 0; at = end; prefix = 0; }
        if (k == 0) k = 1;
    }
    return lmi_word_spm(j, p + at, n - at, prefix);
}

/* ---- canonical composition (NFC), https://www.unicode.org/reports/tr15 and section 3.12 of the Unicode Standard for Hangul */
enum { LMI_L0 = 0x1100, LMI_V0 = 0x1161, LMI_T0 = 0x11a7, LMI_S0 = 0xac00, LMI_NT = 28, LMI_NVT = 588, LMI_NLVT = 11172 };
static const lmi_canon *lmi_canon_find(const lmi_unicode *u, uint32_t cp) {
    uint32_t lo = 0, hi = LMI_N_CANON;
    if (cp < 0xc0 || (cp >= 0x3400 && cp < 0xf900)) return NULL;
    while (lo < hi) { uint32_t mid = (lo + hi) / 2; if (u->canon[mid].cp < cp) lo = mid + 1; else hi = mid; }
    return lo < LMI_N_CANON && u->canon[lo].cp == cp ? &u->canon[lo] : NULL;
}
/* Writes cp's full decomposition, at most 4 code points: only the first of a pair decomposes further, 3 levels deep at most. */
static size_t lmi_decompose(const lmi_unicode *u, uint32_t cp, uint32_t *out) {
    uint32_t after[4]; size_t n = 0, k = 0; const lmi_canon *c;
    if (cp - LMI_S0 < LMI_NLVT) {
        cp -= LMI_S0; out[0] = LMI_L0 + cp / LMI_NVT; out[1] = LMI_V0 + cp % LMI_NVT / LMI_NT;
        if (cp % LMI_NT == 0) return 2;
        out[2] = LMI_T0 + cp % LMI_NT;
        return 3;
    }
    while (k < 3 && (c = lmi_canon_find(u, cp)) != NULL) { cp = c->a; if (c->b) after[k++] = c->b; }
    for (out[n++] = cp; k > 0; ) out[n++] = after[--k];
    return n;
}
static uint32_t lmi_compose(const lmi_unicode *u, uint32_t a, uint32_t b) { /* LMI_NONE: the two stay two */
    uint32_t lo = 0, hi = LMI_N_COMPOSED;
    if (a - LMI_L0 < 19 && b - LMI_V0 < 21) return LMI_S0 + (a - LMI_L0) * LMI_NVT + (b - LMI_V0) * LMI_NT;
    if (a - LMI_S0 < LMI_NLVT && (a - LMI_S0) % LMI_NT == 0 && b - LMI_T0 - 1 < 27) return a + (b - LMI_T0);
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2; const lmi_canon *c = &u->canon[u->pair[mid]];
        if (c->a == a && c->b == b) return c->cp;
        if (c->a < a || (c->a == a && c->b < b)) lo = mid + 1; else hi = mid;
    }
    return LMI_NONE;
}
/* Composes cp[0..n), decomposed and ordered, in place; the new length. */
static size_t lmi_compose_all(const lmi_unicode *u, uint32_t *cp, size_t n) {
    size_t i, out = 0, starter = 0; int has_starter = 0; uint32_t last = 0;
    for (i = 0; i < n; i++) {
        uint32_t k = lmi_combining(u, cp[i]), made = LMI_NONE;
        if (has_starter && (out == starter + 1 || last < k)) made = lmi_compose(u, cp[starter], cp[i]);
        if (made != LMI_NONE) { cp[starter] = made; continue; }
        if (k == 0) { has_starter = 1; starter = out; }
        last = k; cp[out++] = cp[i];
    }
    return out;
}
/* The text in NFC: *p, *n are changed when it differs, to bytes in j->word that live until that grows. 0: no memory. */
static int lmi_nfc(lmi_coder *j, const uint8_t **p, size_t *n) {
    const lmi_unicode *u = &j->v->uni; size_t i, k, m = 0, from; uint32_t *cp, c; uint8_t *w;
    for (i = 0; i < *n && (*p)[i] < 0xcc; i++) { }  /* below U+0300 nothing changes */
    if (i == *n) return 1;
    if (!lmi_grow(j, &j->cps, (2 * (uint64_t)*n + 4) * sizeof *cp)) return 0;   /* 2 bytes give at most 3, 3 or 4 bytes at most 4 */
    cp = (uint32_t *)j->cps.p;
    for (i = 0; i < *n; i += k) { k = lmi_utf8(*p + i, *n - i, &c); m += lmi_decompose(u, c, cp + m); }
    for (i = 0; i < m; i = from + k) {              /* order each run of combining characters by class, keeping equals in order */
        for (from = i; from < m && lmi_combining(u, cp[from]) == 0; from++) { }
        for (k = 0; from + k < m && lmi_combining(u, cp[from + k]) != 0; k++) { }
        if (k < 2) continue;
        if (!lmi_grow(j, &j->heap, k * sizeof *j->key)) return 0;
        j->key = (uint64_t *)j->heap.p; j->n_key = 0;
        for (i = 0; i < k; i++) lmi_heap_put(j, (uint64_t)lmi_combining(u, cp[from + i]) << 56 | (uint64_t)i << 21 | cp[from + i]);
        for (i = 0; i < k; i++) cp[from + i] = (uint32_t)(lmi_heap_get(j) & 0x1fffff);
    }
    m = lmi_compose_all(u, cp, m);
    if (!lmi_grow(j, &j->word, 4 * (uint64_t)m)) return 0;
    for (w = (uint8_t *)j->word.p, i = k = 0; i < m; i++) k += lmi_utf8_put(w + k, cp[i]);
    *p = w; *n = k;
    return 1;
}
static int lmi_text_bpe(lmi_coder *j, const uint8_t *p, size_t n) {
    lmi_cutter c; size_t at, end; int ok = 1; lmi_buf keep;
    if ((j->v->pre_flags & LMI_PRE_NFC) && !lmi_nfc(j, &p, &n)) return 0;
    keep = j->word; memset(&j->word, 0, sizeof j->word);    /* words may need that buffer while p is in it */
    c.re = &j->v->re; c.u = &j->v->uni; c.p = p;
    lmi_cut_push(&c, 0, 0, n);
    while (ok && lmi_cut_next(&c, &at, &end)) ok = lmi_word_bpe(j, p + at, end - at);
    lmi_give(j->hooks, j->word.p, j->word.n_bytes); j->word = keep;
    return ok;
}

/* ---- special tokens */
/* The longest special token that p[0..n) begins with, or -1. All in [lo, hi) agree with p in their first k bytes. mark [n], or NULL: where it is
 * not 0, the text of a control token is ordinary text. */
static int32_t lmi_special_at(const lmi_vocab *v, const uint8_t *p, const uint8_t *mark, size_t n, int parse) {
    uint32_t lo = v->first[p[0]], hi = v->first[p[0] + 1], a, b, mid; size_t k; int32_t best = -1; const lmi_str *t = v->text;
    for (k = 1; lo < hi; k++) {
        if (mark && mark[k - 1]) parse = 0;
        for (a = lo; lo < hi && t[v->special[lo]].n == k; lo++) { }
        for (; a < lo; a++) if (parse || lmi_kind_of(v, (int32_t)v->special[a]) == LM_TOKEN_USER) { best = (int32_t)v->special[a]; break; }
        if (k == n) break;
        for (a = lo, b = hi; a < b; ) { mid = (a + b) / 2; if ((uint8_t)t[v->special[mid]].p[k] < p[k]) a = mid + 1; else b = mid; }
        for (lo = a, b = hi; a < b; ) { mid = (a + b) / 2; if ((uint8_t)t[v->special[mid]].p[k] <= p[k]) a = mid + 1; else b = mid; }
        hi = a;
    }
    return best;
}
static size_t lmi_white_after(const lmi_vocab *v, int32_t id, const uint8_t *p, size_t n) {
    size_t k = 0; lmi_str t = v->text[id];
    if (!v->eat_white || lmi_str_is(t, "<s>") || lmi_str_is(t, "<unk>") || lmi_str_is(t, "<|endoftext|>")) return 0;
    while (k < n && (p[k] == ' ' || (p[k] >= 9 && p[k] <= 13))) k++;
    return k;
}
static int lmi_text_between(lmi_coder *j, const uint8_t *p, size_t n) {
    j->unk_last = 0;
    if (n == 0) return 1;
    return j->v->kind == LMI_VOCAB_SPM ? lmi_text_spm(j, p, n, j->v->space_prefix) : lmi_text_bpe(j, p, n);
}
static int lmi_tokenize(lmi_coder *j, const uint8_t *p, const uint8_t *mark, size_t n, int parse) {
    size_t at = 0, i = 0;
    while (i < n) {
        int32_t id = lmi_special_at(j->v, p + i, mark ? mark + i : NULL, n - i, parse);
        if (id < 0) { i++; continue; }
        if (!lmi_text_between(j, p + at, i - at)) return 0;
        lmi_emit(j, id);
        i += j->v->text[id].n; i += lmi_white_after(j->v, id, p + i, n - i); at = i;
    }
    return lmi_text_between(j, p + at, n - at);
}

/* ---- ids to text */
typedef struct lmi_stream lmi_stream;
typedef struct lmi_sink { char *p; size_t cap, n; lmi_stream *to; } lmi_sink; /* n goes on counting; to: where bytes go instead */
static void lmi_stream_byte(lmi_stream *s, uint8_t b);
static void lmi_sink_put(lmi_sink *o, const void *p, size_t n) {
    size_t i;
    for (i = 0; o->to && i < n; i++) lmi_stream_byte(o->to, ((const uint8_t *)p)[i]);
    if (o->n < o->cap) memcpy(o->p + o->n, p, LMI_MIN(n, o->cap - o->n));
    o->n += n;
}
static void lmi_piece_spm(lmi_sink *o, lmi_str t, int strip) { /* U+2581 is a space; the first one is dropped where it was put there */
    size_t i, k;
    for (i = 0; i < t.n; i += k) {
        k = t.n - i >= 3 && memcmp(t.p + i, LMI_LOW, 3) == 0 ? 3 : 1;
        if (k == 1) lmi_sink_put(o, t.p + i, 1); else if (i > 0 || !strip) lmi_sink_put(o, " ", 1);
    }
}
static void lmi_piece_bpe(lmi_sink *o, lmi_str t) { /* a text with letters outside the byte alphabet stands for itself */
    const uint8_t *p = (const uint8_t *)t.p; size_t i; uint32_t cp; uint8_t byte;
    for (i = 0; i < t.n; ) { i += lmi_utf8(p + i, t.n - i, &cp); if (lmi_byte_of_letter(cp) < 0) { lmi_sink_put(o, t.p, t.n); return; } }
    for (i = 0; i < t.n; ) { i += lmi_utf8(p + i, t.n - i, &cp); byte = (uint8_t)lmi_byte_of_letter(cp); lmi_sink_put(o, &byte, 1); }
}
static void lmi_piece(const lmi_vocab *v, lmi_sink *o, int32_t id, int show, int strip) {
    lmi_str t = v->text[id]; int type = lmi_kind_of(v, id); uint8_t byte;
    if (type == LM_TOKEN_CONTROL || type == LM_TOKEN_UNKNOWN) { if (show) lmi_sink_put(o, t.p, t.n); }
    else if (type == LM_TOKEN_BYTE) { byte = (uint8_t)lmi_byte_token(t); lmi_sink_put(o, &byte, 1); }
    else if (v->kind == LMI_VOCAB_SPM) lmi_piece_spm(o, t, strip && type != LM_TOKEN_USER);
    else if (type == LM_TOKEN_USER && !(v->pre_flags & LMI_PRE_ADDED)) lmi_sink_put(o, t.p, t.n);
    else lmi_piece_bpe(o, t);
}

/* ---- streaming. Bytes pass two stages. The first holds back the longest end of the text that begins a stop string: it *is* stops[held][0..n_held),
 * so no copy is kept, and every other stop's beginning is an end of it. (Aho and Corasick 1975 in the smallest memory: their states, looked for
 * anew.) The second holds back the beginning of a character. The work is done on a copy of the state, which replaces it if the room sufficed. */
struct lmi_stream { lm_emitter e; lmi_sink out; };
static void lmi_stream_bad(lmi_stream *s) { if (s->e.n_part) lmi_sink_put(&s->out, "\xef\xbf\xbd", 3); s->e.n_part = 0; }
static void lmi_stream_char(lmi_stream *s, uint8_t b) { /* second stage */
    lm_emitter *e = &s->e; uint8_t lead = e->part[0], lo = 0x80, hi = 0xbf; int n;
    if (e->flags & LM_TEXT_RAW) { lmi_sink_put(&s->out, &b, 1); return; }
    if (e->n_part == 1) { /* table 3-7: the second byte of some leads has a smaller range */
        if (lead == 0xe0) lo = 0xa0; else if (lead == 0xed) hi = 0x9f; else if (lead == 0xf0) lo = 0x90; else if (lead == 0xf4) hi = 0x8f;
    }
    if (e->n_part > 0 && (b < lo || b > hi)) lmi_stream_bad(s);
    e->part[e->n_part++] = b; lead = e->part[0];
    n = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (n == 0) lmi_stream_bad(s);
    else if (n == e->n_part) { lmi_sink_put(&s->out, e->part, (size_t)n); e->n_part = 0; }
}
static void lmi_stream_finish(lmi_stream *s, lm_end why, size_t n) { /* the first n of the bytes held belong to the text */
    size_t i;
    for (i = 0; i < n; i++) lmi_stream_char(s, (uint8_t)s->e.stops[s->e.held].text[i]);
    lmi_stream_bad(s);
    s->e.n_held = 0; s->e.end = why;
}
/* Do the bytes held, without the first `from`, and b begin the stop string? */
static int lmi_stream_begins(const lm_emitter *e, const lm_stop *stop, size_t from, uint8_t b) {
    size_t n = e->n_held - from;
    return stop->n_bytes > n && (uint8_t)stop->text[n] == b && (n == 0 || memcmp(stop->text, e->stops[e->held].text + from, n) == 0);
}
static void lmi_stream_byte(lmi_stream *s, uint8_t b) { /* first stage */
    lm_emitter *e = &s->e; size_t from, i; int k, held = -1; size_t n_held = 0;
    if (e->end != LM_END_NOT_YET) return;
    for (from = 0; from <= e->n_held; from++) for (k = 0; k < e->n_stops; k++) {
        if (!lmi_stream_begins(e, &e->stops[k], from, b)) continue;
        if (e->stops[k].n_bytes == e->n_held - from + 1) { e->stop = k; lmi_stream_finish(s, LM_END_STOP, from); return; } /* complete; the longest */
        if (held < 0) { held = k; n_held = e->n_held - from + 1; }
    }
    for (i = 0; i + n_held < e->n_held + 1; i++) lmi_stream_char(s, i < e->n_held ? (uint8_t)e->stops[e->held].text[i] : b);
    e->held = held < 0 ? 0 : held; e->n_held = n_held;
}
static lm_status lmi_emit_begin(lmi_stream *s, const lm_emitter *e, char *text, size_t cap, const size_t *n_bytes) {
    if (e == NULL || n_bytes == NULL || (text == NULL && cap > 0) || e->n_stops < 0 || (e->n_stops > 0 && e->stops == NULL)) return LM_E_ARG;
    if (e->n_part < 0 || e->n_part > 3 || (e->n_held > 0 && (e->held < 0 || e->held >= e->n_stops || e->n_held >= e->stops[e->held].n_bytes))) return LM_E_ARG;
    s->e = *e; s->out.p = text; s->out.cap = cap; s->out.n = 0; s->out.to = NULL;
    return LM_OK;
}
static lm_status lmi_emit_done(lmi_stream *s, lm_emitter *e, size_t *n_bytes) {
    *n_bytes = s->out.n;
    if (s->out.n > s->out.cap) return LM_E_FULL;
    *e = s->e;
    return LM_OK;
}

/* ---- API: text */
static const lmi_vocab *lmi_model_vocab(const lm_model *m);   /* section model */
static const lm_hooks *lmi_model_hooks(const lm_model *m);
static lm_status lmi_tokenize_marked(const lm_model *m, const char *text, size_t n_bytes, const uint8_t *mark, int flags, lm_token *ids, size_t cap,
    size_t *n_ids) {
    lmi_coder j; const lmi_vocab *v; int ok; lmi_fpenv fp;
    if (m == NULL || n_ids == NULL || (text == NULL && n_bytes > 0) || (ids == NULL && cap > 0) || n_bytes > LMI_MAX_TEXT) return LM_E_ARG;
    v = lmi_model_vocab(m);
    if (v->kind == LMI_VOCAB_NONE) return LM_E_SUPPORT;
    fp = lmi_fp_enter();              /* scores are compared */
    memset(&j, 0, sizeof j);
    j.hooks = lmi_model_hooks(m); j.v = v; j.ids = ids; j.cap = cap;
    if ((flags & LM_TEXT_ADD_SPECIAL) && v->add_bos) lmi_emit(&j, v->id[LM_BOS]);
    ok = n_bytes == 0 || lmi_tokenize(&j, (const uint8_t *)text, mark, n_bytes, flags & LM_TEXT_PARSE_SPECIAL);
    if ((flags & LM_TEXT_ADD_SPECIAL) && v->add_eos) lmi_emit(&j, v->id[LM_EOS]);
    lmi_give(j.hooks, j.word.p, j.word.n_bytes); lmi_give(j.hooks, j.syms.p, j.syms.n_bytes);
    lmi_give(j.hooks, j.heap.p, j.heap.n_bytes); lmi_give(j.hooks, j.cps.p, j.cps.n_bytes);
    lmi_fp_leave(fp);
    if (!ok) return LM_E_MEMORY;
    *n_ids = j.n;
    return j.n > cap ? LM_E_FULL : LM_OK;
}
LMI_API lm_status lm_tokenize(const lm_model *m, const char *text, size_t n_bytes, int flags, lm_token *ids, size_t cap, size_t *n_ids) {
    return lmi_tokenize_marked(m, text, n_bytes, NULL, flags, ids, cap, n_ids);
}
LMI_API lm_status lm_detokenize(const lm_model *m, const lm_token *ids, size_t n_ids, int flags, char *text, size_t cap, size_t *n_bytes) {
    lmi_sink o; const lmi_vocab *v; size_t i; int strip;
    if (m == NULL || n_bytes == NULL || (ids == NULL && n_ids > 0) || (text == NULL && cap > 0)) return LM_E_ARG;
    v = lmi_model_vocab(m); o.p = text; o.cap = cap; o.n = 0; o.to = NULL;
    if (v->kind == LMI_VOCAB_NONE) return LM_E_SUPPORT;
    for (i = 0; i < n_ids; i++) if (ids[i] < 0 || ids[i] >= v->n) return LM_E_ARG;
    strip = v->space_prefix && !(flags & LM_TEXT_CONTINUES);
    for (i = 0; i < n_ids; i++) {
        lmi_piece(v, &o, ids[i], flags & LM_TEXT_SHOW_CONTROL, strip);
        strip = v->space_prefix && lmi_is_special(v, ids[i]); /* the text after it got a space of its own */
    }
    *n_bytes = o.n;
    return o.n > cap ? LM_E_FULL : LM_OK;
}
LMI_API lm_status lm_emit(lm_emitter *e, lm_token id, char *text, size_t cap, size_t *n_bytes) {
    lmi_stream s; lmi_sink in; const lmi_vocab *v; int strip;
    LMI_TRY(lmi_emit_begin(&s, e, text, cap, n_bytes));
    if (e->model == NULL) return LM_E_ARG;
    v = lmi_model_vocab(e->model);
    if (v->kind == LMI_VOCAB_NONE) return LM_E_SUPPORT;
    if (id < 0 || id >= v->n) return LM_E_ARG;
    if (e->end == LM_END_NOT_YET && (v->attr[id] & LMI_ATTR_EOG) && !(e->flags & LM_TEXT_IGNORE_EOG)) lmi_stream_finish(&s, LM_END_EOG, s.e.n_held);
    in.p = NULL; in.cap = in.n = 0; in.to = &s;
    strip = v->space_prefix && (e->began ? e->spaced : !(e->flags & LM_TEXT_CONTINUES));
    lmi_piece(v, &in, id, e->flags & LM_TEXT_SHOW_CONTROL, strip);
    s.e.began = 1; s.e.spaced = lmi_is_special(v, id); /* as lm_detokenize does it */
    return lmi_emit_done(&s, e, n_bytes);
}
LMI_API lm_status lm_emit_bytes(lm_emitter *e, const char *bytes, size_t n, char *text, size_t cap, size_t *n_bytes) {
    lmi_stream s; size_t i;
    if (bytes == NULL && n > 0) return LM_E_ARG;
    LMI_TRY(lmi_emit_begin(&s, e, text, cap, n_bytes));
    for (i = 0; i < n; i++) lmi_stream_byte(&s, (uint8_t)bytes[i]);
    return lmi_emit_done(&s, e, n_bytes);
}
LMI_API lm_status lm_emit_end(lm_emitter *e, char *text, size_t cap, size_t *n_bytes) {
    lmi_stream s;
    LMI_TRY(lmi_emit_begin(&s, e, text, cap, n_bytes));
    if (e->end == LM_END_NOT_YET) lmi_stream_finish(&s, LM_END_CALLER, s.e.n_held);
    return lmi_emit_done(&s, e, n_bytes);
}
LMI_API lm_status lm_token_get_info(const lm_model *m, lm_token id, lm_token_info *out) {
    const lmi_vocab *v; lm_token_info t;
    if (m == NULL || out == NULL) return LM_E_ARG;
    v = lmi_model_vocab(m);
    if (v->kind == LMI_VOCAB_NONE || id < 0 || id >= v->n) return LM_E_ARG;
    t.text = v->text[id].p; t.text_bytes = v->text[id].n; t.type = (lm_token_type)lmi_kind_of(v, id);
    t.score = v->score ? lmi_f32(v->score + 4 * (size_t)id) : 0; t.is_eog = (v->attr[id] & LMI_ATTR_EOG) != 0;
    *out = t;
    return LM_OK;
}
LMI_API int lm_token_is_eog(const lm_model *m, lm_token id) {
    lm_token_info t;
    return lm_token_get_info(m, id, &t) == LM_OK && t.is_eog;
}
LMI_API lm_token lm_token_special(const lm_model *m, lm_special which) {
    const lmi_vocab *v = m ? lmi_model_vocab(m) : NULL;
    return v && v->kind != LMI_VOCAB_NONE && (unsigned)which < LMI_N_SPECIAL_IDS ? v->id[which] : -1;
}
LMI_API int lm_adds_bos(const lm_model *m) { return m != NULL && lmi_model_vocab(m)->add_bos; }

#ifndef LLAMA_NO_CHAT
/* ============================================================================================== >>chat
 * A conversation to the text that a model was trained on, by the model's own template. Templates are written in Jinja
 * (https://jinja.palletsprojects.com/en/stable/templates): this is an interpreter for the part of it that they use, with trim_blocks,
 * lstrip_blocks and loopcontrols on, and the filters and functions that Hugging Face's transformers adds (utils/chat_template_utils.py).
 * Statements: if, for (else, inline if, recursive, break, continue, loop.*), set (also of a namespace's names, also as a block), macro, call, filter, raw,
 * generation. Expressions: all, but * and ** in calls, \N{} in strings, numbers to other bases. Methods, filters, tests, functions: the tables near
 * the end of the section. Not built in: include, import, extends, block, with, do, autoescape; integers beyond 64 bits. A part that is missing is an
 * error when a template comes to it.
 *
 * Reading order: memory and text, numbers, values, JSON, tokens, parser, evaluation, functions, rendering. Where Python's behaviour is visible
 * (text of numbers and lists, negative indices, comparison), it is Python's.
 *
 * Every byte of text is either the template's or the user's. The mark goes through all operations on strings, so that at the end control
 * tokens are read only where the template itself wrote the whole of their text.
 *
 * A template is hostile until proved otherwise: steps, nesting and memory are bounded, an operation is charged before it is done, and an error
 * is noted once (bad), after which everything returns at once.
 */
#ifndef LLAMA_CHAT_STEPS
#define LLAMA_CHAT_STEPS 1000000      /* a node, a comparison, or 16 bytes copied; and 32 for each byte of the conversation */
#endif
#ifndef LLAMA_CHAT_BYTES
#define LLAMA_CHAT_BYTES 8000000      /* of memory; and 32 for each byte of the conversation */
#endif
#ifndef LLAMA_CHAT_DEPTH
#define LLAMA_CHAT_DEPTH 160          /* of expressions, statements, macros and data inside each other; a level takes about 1 KiB of stack */
#endif

typedef enum lmi_jkind { LMI_J_ABSENT, LMI_J_UNDEFINED, LMI_J_NONE, LMI_J_BOOL, LMI_J_INT, LMI_J_FLOAT, LMI_J_STR, LMI_J_LIST, LMI_J_TUPLE,
    LMI_J_ITER, LMI_J_DICT, LMI_J_SPACE, LMI_J_LOOP, LMI_J_FUNC, LMI_J_METHOD, LMI_J_MACRO } lmi_jkind;
static const char *const lmi_jkind_names[] = { "nothing", "undefined", "none", "a boolean", "an integer", "a float", "a string", "a list", "a tuple",
    "an iterator", "a dict", "a namespace", "a loop", "a function", "a method", "a macro" };
struct lmi_jinja; struct lmi_jargs; struct lmi_jval;
typedef struct lmi_jfunc {
    const char *name, *params;        /* names of arguments, in order; one that may be left out ends with '?'. "*": any, see lmi_jargs */
    struct lmi_jval (*call)(struct lmi_jinja *j, const struct lmi_jargs *a);
    int on, x;                        /* the kind that it is a method of, else 0; a variant of `call` */
} lmi_jfunc;
typedef struct lmi_jval {
    uint8_t kind, safe;               /* safe: a string that went through |safe; + escapes what is added to it, as markupsafe does */
    size_t  n, mark;                  /* STR: bytes at u.p; mark 0: the template's, SIZE_MAX: the user's, else byte i is the user's where
                                         u.p[mark + i] is 1. UNDEFINED: the name */
    union { int64_t i; double f; const char *p; struct lmi_jseq *seq; struct lmi_jloop *loop; struct lmi_jmacro *macro; struct lmi_jbound *bound;
        const lmi_jfunc *func; } u;
} lmi_jval;
typedef struct lmi_jseq { lmi_jval *v; size_t n, cap; } lmi_jseq; /* DICT and SPACE: keys and values in turns, so n is even */
typedef struct lmi_jscope { lmi_jseq vars; struct lmi_jscope *up; } lmi_jscope;
typedef struct lmi_jnode {
    uint8_t kind; uint32_t at, op;    /* at: offset in the template; op: the operator in front, in a list of operands */
    struct lmi_jnode *a, *b, *c, *d, *e, *next;
    lmi_jval v;
} lmi_jnode;
typedef struct lmi_jmacro { const lmi_jnode *node, *params, *body; lmi_jscope *scope; } lmi_jmacro;
typedef struct lmi_jloop { const lmi_jnode *node; lmi_jseq *items; size_t i; int depth; lmi_jval changed; } lmi_jloop;
typedef struct lmi_jbound { const lmi_jfunc *func; lmi_jval self; } lmi_jbound;
typedef struct lmi_jargs {            /* v[n]: by parameter, ABSENT where left out; of params "*": in order, and key[n], p NULL: without a name */
    lmi_jval self, *v; lmi_str *key; size_t n; int x; const char *name;
} lmi_jargs;
typedef struct lmi_jtoken { int kind; uint32_t at, op; lmi_jval v; } lmi_jtoken;
typedef struct lmi_jchunk { struct lmi_jchunk *next; size_t size, used; } lmi_jchunk;
typedef struct lmi_jinja {
    const lm_hooks *hooks; lm_error *err; lm_status bad;
    lmi_jchunk *chunk; size_t held, max_held; /* bytes from the hooks */
    uint64_t steps; int depth;        /* steps left */
    char  *out; size_t n_out, cap_out; /* text under way, its marks at out[cap_out..]; a stack: who adds to it takes away what he added */
    const char *src; size_t n_src, pos; /* the template, with \n as the only line end */
    lmi_jtoken tok; int in_block, open, line_start; /* of the tokens: in {% %}; brackets open; text begins on a new line */
    int    loops;                     /* of the parser: bodies of for around this place */
    uint32_t at;                      /* of the evaluation: where errors are */
    lmi_jscope *scope; const char *what; /* what is read as JSON, NULL: the template */
    int64_t now;
    lmi_jnode none;                   /* stands for a node that could not be had */
} lmi_jinja;

/* ---- errors, bounds, memory */
static void lmi_j_fail(lmi_jinja *j, lm_status s, uint32_t at, const char *fmt, ...) {
    lmi_out o; va_list ap; uint32_t i, line = 1, column = 1; char where[80];
    if (j->bad) return;
    j->bad = s;
    o.p = where; o.n = 0; o.cap = sizeof where;
    for (i = 0; j->src && !j->what && i < at && i < j->n_src; i++) { column++; if (j->src[i] == '\n') { line++; column = 1; } }
    lmi_puts(&o, j->what ? j->what : "chat template"); lmi_puts(&o, j->what ? ", byte " : ", line "); lmi_put_u64(&o, j->what ? at : line);
    if (!j->what) { lmi_puts(&o, ", column "); lmi_put_u64(&o, column); }
    where[o.n] = 0;
    va_start(ap, fmt); lmi_vfail(j->err, s, where, fmt, ap); va_end(ap);
}
static int lmi_j_work(lmi_jinja *j, uint64_t n) { /* 0: no more of it */
    if (j->bad) return 0;
    if (n > j->steps) { lmi_j_fail(j, LM_E_FORMAT, j->at, "too many steps (max_steps)"); return 0; }
    j->steps -= n;
    return 1;
}
static int lmi_j_enter(lmi_jinja *j, uint32_t at) { /* 0: too deep, or an error before; else j->depth-- follows */
    if (!lmi_j_work(j, 1)) return 0;
    if (j->depth == LLAMA_CHAT_DEPTH) { lmi_j_fail(j, LM_E_FORMAT, at, "nested deeper than %d", LLAMA_CHAT_DEPTH); return 0; }
    j->depth++;
    return 1;
}
static void *lmi_j_hold(lmi_jinja *j, uint64_t n) { /* from the hooks; NULL: an error */
    void *p = NULL;
    if (j->bad) return NULL;
    if (n > j->max_held - j->held) lmi_j_fail(j, LM_E_MEMORY, j->at, "more than %u bytes of memory (max_bytes)", (uint64_t)j->max_held);
    else if ((p = lmi_take(j->hooks, (size_t)n)) == NULL) lmi_j_fail(j, LM_E_MEMORY, j->at, "allocation of %u bytes failed", n); else j->held += (size_t)n;
    return p;
}
static void *lmi_j_new(lmi_jinja *j, uint64_t n) { /* zeroed, any type may live in it, until the end; NULL: an error */
    lmi_jchunk *k = j->chunk; size_t head = (sizeof *k + 15) / 16 * 16, size; char *p;
    if (j->bad) return NULL;
    if (n > j->max_held) n = j->max_held;                   /* too much in any case; no overflow below */
    n = (n + 15) / 16 * 16;
    if (k == NULL || n > k->size - k->used) {
        size = (size_t)LMI_MAX(n + head, (uint64_t)LMI_MIN(LMI_MAX(j->held, (size_t)8192), (size_t)262144));
        if (size > j->max_held - j->held) size = (size_t)(n + head);
        if ((k = (lmi_jchunk *)lmi_j_hold(j, size)) == NULL) return NULL;
        k->next = j->chunk; k->size = size; k->used = head; j->chunk = k;
    }
    p = (char *)k + k->used; k->used += (size_t)n;
    memset(p, 0, (size_t)n);
    return p;
}
static void lmi_j_end(lmi_jinja *j) {
    lmi_jchunk *k;
    while ((k = j->chunk) != NULL) { j->chunk = k->next; lmi_give(j->hooks, k, k->size); }
    lmi_give(j->hooks, j->out, 2 * j->cap_out);
}

/* ---- text under way */
static int lmi_j_room(lmi_jinja *j, size_t n) {
    size_t cap = j->cap_out; char *p;
    if (!lmi_j_work(j, (n + 15) / 16)) return 0;
    if (n <= cap - j->n_out) return 1;
    if (n > j->max_held) n = j->max_held;
    cap = LMI_MAX(2 * cap, (j->n_out + n + 1023) / 1024 * 1024);
    if ((p = (char *)lmi_j_hold(j, 2 * (uint64_t)cap)) == NULL) return 0;
    if (j->n_out) { memcpy(p, j->out, j->n_out); memcpy(p + cap, j->out + j->cap_out, j->n_out); }
    lmi_give(j->hooks, j->out, 2 * j->cap_out);
    j->held -= 2 * j->cap_out; j->out = p; j->cap_out = cap;
    return 1;
}
static void lmi_j_put(lmi_jinja *j, const char *p, size_t n, size_t mark) { /* mark as in lmi_jval */
    if (n == 0 || !lmi_j_room(j, n)) return;
    memcpy(j->out + j->n_out, p, n);
    if (mark == 0 || mark == SIZE_MAX) memset(j->out + j->cap_out + j->n_out, mark != 0, n); else memcpy(j->out + j->cap_out + j->n_out, p + mark, n);
    j->n_out += n;
}
static void lmi_j_puts(lmi_jinja *j, const char *s) { lmi_j_put(j, s, strlen(s), 0); }
static void lmi_j_putc(lmi_jinja *j, char c, size_t mark) { lmi_j_put(j, &c, 1, mark ? SIZE_MAX : 0); }
static void lmi_j_put_cp(lmi_jinja *j, uint32_t cp, size_t mark) {
    uint8_t b[4];
    lmi_j_put(j, (const char *)b, lmi_utf8_put(b, cp), mark ? SIZE_MAX : 0);
}

static lmi_jval lmi_jv(lmi_jkind kind) { lmi_jval v; memset(&v, 0, sizeof v); v.kind = (uint8_t)kind; return v; }
static lmi_jval lmi_jv_int(int64_t i) { lmi_jval v = lmi_jv(LMI_J_INT); v.u.i = i; return v; }
static lmi_jval lmi_jv_bool(int b) { lmi_jval v = lmi_jv(LMI_J_BOOL); v.u.i = b != 0; return v; }
static lmi_jval lmi_jv_float(double f) { lmi_jval v = lmi_jv(LMI_J_FLOAT); v.u.f = f; return v; }
static lmi_jval lmi_jv_text(const char *p, size_t n, size_t mark) {
    lmi_jval v = lmi_jv(LMI_J_STR);
    v.u.p = p; v.n = n; v.mark = n ? mark : 0;
    return v;
}
static lmi_jval lmi_jv_cstr(const char *s) { return lmi_jv_text(s, strlen(s), 0); }
static lmi_jval lmi_jv_undefined(lmi_str name) { lmi_jval v = lmi_jv(LMI_J_UNDEFINED); v.u.p = name.p; v.n = name.n; return v; }
static lmi_str lmi_jstr(const lmi_jval *v) { lmi_str s; s.p = v->u.p; s.n = v->n; return s; }
static int lmi_jis(const lmi_jval *v, const char *s) { return v->kind == LMI_J_STR && lmi_str_is(lmi_jstr(v), s); }
static lmi_jval lmi_j_part(const lmi_jval *s, size_t from, size_t to) { /* marks stay at the same distance */
    lmi_jval v = *s;
    v.u.p += from; v.n = to - from;
    return v;
}
static size_t lmi_j_mark(const lmi_jval *s, size_t i) { /* of one byte */
    return s->mark == 0 || s->mark == SIZE_MAX ? s->mark : (size_t)s->u.p[s->mark + i];
}
/* What was added since `from`, as a string, which is taken away from the text under way. */
static lmi_jval lmi_j_taken(lmi_jinja *j, size_t from) {
    size_t n = j->n_out - from, mark = 0; const char *m = j->out + j->cap_out + from; char *p;
    if (j->bad || n == 0) { j->n_out = LMI_MIN(from, j->n_out); return lmi_jv_cstr(""); }
    if (memchr(m, 1, n)) mark = memchr(m, 0, n) ? n : SIZE_MAX;
    p = (char *)lmi_j_new(j, mark == n ? 2 * (uint64_t)n : n);
    j->n_out = from;
    if (p == NULL || !lmi_j_work(j, n / 16)) return lmi_jv_cstr("");
    memcpy(p, j->out + from, n);
    if (mark == n) memcpy(p + n, m, n);
    return lmi_jv_text(p, n, mark);
}

/* ---- numbers and their decimal text, exact both ways: text to the nearest double, a double to the shortest text that gives it back. */
enum { LMI_BIG = 48 };                /* 1536 bits: 2^64 * 10^400, or a quotient's dividend of 1400 bits */
typedef struct lmi_big { uint32_t v[LMI_BIG]; } lmi_big;
static void lmi_big_set(lmi_big *b, uint64_t x) { memset(b, 0, sizeof *b); b->v[0] = (uint32_t)x; b->v[1] = (uint32_t)(x >> 32); }
static void lmi_big_mul(lmi_big *b, uint32_t m) {
    uint64_t c = 0; int i;
    for (i = 0; i < LMI_BIG; i++) { c += (uint64_t)b->v[i] * m; b->v[i] = (uint32_t)c; c >>= 32; }
}
static void lmi_big_pow10(lmi_big *b, int n) { for (; n >= 9; n -= 9) lmi_big_mul(b, 1000000000u); for (; n > 0; n--) lmi_big_mul(b, 10); }
static void lmi_big_shift(lmi_big *b, int n) { /* left */
    int i, k = n / 32; uint64_t x;
    for (i = LMI_BIG - 1; i >= 0; i--) {
        x = i - k >= 0 ? (uint64_t)b->v[i - k] << (n % 32) : 0;
        if (i - k > 0) x |= (uint64_t)b->v[i - k - 1] >> 1 >> (31 - n % 32);
        b->v[i] = (uint32_t)x;
    }
}
static int lmi_big_bits(const lmi_big *b) {
    int i = LMI_BIG - 1, n; uint32_t x;
    while (i > 0 && b->v[i] == 0) i--;
    for (n = 0, x = b->v[i]; x; x >>= 1) n++;
    return 32 * i + n;
}
static int lmi_big_take(lmi_big *a, const lmi_big *b) { /* a -= b if a >= b, and 1; else 0 */
    int i; int64_t c = 0;
    for (i = LMI_BIG - 1; i > 0 && a->v[i] == b->v[i]; i--) { }
    if (a->v[i] < b->v[i]) return 0;
    for (i = 0; i < LMI_BIG; i++) { c += (int64_t)a->v[i] - (int64_t)b->v[i]; a->v[i] = (uint32_t)c; c = c < 0 ? -1 : 0; }
    return 1;
}
static double lmi_decimal(uint64_t w, int e) { /* w * 10^e */
    static const double ten[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
        1e21, 1e22 };
    lmi_big a, b; uint64_t q = 0, half; int shift, i, drop;
    if (w == 0 || e < -400) return 0;
    if (e > 310) return HUGE_VAL;
    if (w <= (uint64_t)1 << 53 && e >= -22 && e <= 22) return e < 0 ? (double)w / ten[-e] : (double)w * ten[e]; /* one rounding */
    lmi_big_set(&a, w); lmi_big_pow10(&a, e > 0 ? e : 0); lmi_big_set(&b, 1); lmi_big_pow10(&b, e < 0 ? -e : 0);
    shift = 63 + lmi_big_bits(&b) - lmi_big_bits(&a);   /* the quotient a 2^shift / b has 63 or 64 bits */
    if (shift > 0) lmi_big_shift(&a, shift); else lmi_big_shift(&b, -shift);
    lmi_big_shift(&b, 63);
    for (i = 0; i < 64; i++) { q = q << 1 | (uint64_t)lmi_big_take(&a, &b); lmi_big_shift(&a, 1); }
    q |= lmi_big_bits(&a) > 0;                              /* the lowest bit is far below the last kept one */
    for (drop = 0; q >> drop >= (uint64_t)1 << 53; drop++) { }
    drop = LMI_MIN(LMI_MAX(drop, shift - 1074), 63); half = (uint64_t)1 << (drop - 1);  /* at least 10; subnormals lose more */
    q = (q >> drop) + ((q & half) && ((q & (half - 1)) || (q >> drop & 1)));
    return ldexp((double)q, drop - shift);
}
static int lmi_decimal_digits(double x, uint64_t *w) { /* x > 0 and finite is *w * 10^(the result), the fewest digits */
    lmi_big a, b; int e, k, n, d, i, digit[20]; uint64_t m = (uint64_t)ldexp(frexp(x, &e), 53), all;
    e -= 53;
    k = (int)floor((e + 52) * 0.30103);                     /* x / 10^k lies in [1, 20), or just below 1 */
    lmi_big_set(&a, m); lmi_big_set(&b, 1);
    if (e > 0) lmi_big_shift(&a, e); else lmi_big_shift(&b, -e);
    if (k > 0) lmi_big_pow10(&b, k); else lmi_big_pow10(&a, -k);
    for (n = 0; n < 19; n++) {                              /* the first may be 0 or up to 19 */
        for (d = 0; lmi_big_take(&a, &b); ) d++;
        digit[n] = d; lmi_big_mul(&a, 10);
    }
    for (n = 1; n <= 18; n++) {                             /* rounded to n digits, ties to even; or to the other side, at powers of 2 */
        for (all = 0, i = 0; i < n; i++) all = all * 10 + (uint64_t)digit[i];
        for (i = n + 1; i < 19 && digit[i] == 0; i++) { }
        d = digit[n] > 5 || (digit[n] == 5 && (i < 19 || lmi_big_bits(&a) || (all & 1)));
        if (all && lmi_decimal(all + (uint64_t)d, k - n + 1) == x) { all += (uint64_t)d; break; }
        if (all && lmi_decimal(all + (uint64_t)!d, k - n + 1) == x) { all += (uint64_t)!d; break; }
    }
    while (all % 10 == 0) { all /= 10; n--; }
    *w = all;
    return k - n + 1;
}
static void lmi_j_put_int(lmi_jinja *j, int64_t i) {
    char t[24]; lmi_out o;
    o.p = t; o.n = 0; o.cap = sizeof t;
    if (i < 0) lmi_putc(&o, '-');
    lmi_put_u64(&o, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
    lmi_j_put(j, t, o.n, 0);
}
static void lmi_j_put_float(lmi_jinja *j, double x) { /* as Python's repr */
    uint64_t w; int e, n, i, at; char t[20];
    if (x != x) { lmi_j_puts(j, "nan"); return; }
    if (x < 0 || (x == 0 && 1 / x < 0)) { lmi_j_puts(j, "-"); x = -x; }
    if (x == 0 || x > DBL_MAX) { lmi_j_puts(j, x == 0 ? "0.0" : "inf"); return; }
    if (!lmi_j_work(j, 400)) return;
    e = lmi_decimal_digits(x, &w);
    for (n = 0; w; w /= 10) t[19 - n++] = (char)('0' + (int)(w % 10));
    at = n + e;                                             /* digits before the point */
    if (at > 16 || at < -3) {
        lmi_j_put(j, t + 20 - n, 1, 0);
        if (n > 1) { lmi_j_puts(j, "."); lmi_j_put(j, t + 21 - n, (size_t)n - 1, 0); }
        lmi_j_puts(j, at - 1 < 0 ? "e-" : "e+"); i = at - 1 < 0 ? 1 - at : at - 1;
        if (i < 10) lmi_j_puts(j, "0");
        lmi_j_put_int(j, i);
        return;
    }
    if (at <= 0) lmi_j_puts(j, "0.");
    for (i = at; i < 0; i++) lmi_j_puts(j, "0");
    for (i = 0; i < n || i < at; i++) { if (i == at && i > 0) lmi_j_puts(j, "."); lmi_j_putc(j, i < n ? t[20 - n + i] : '0', 0); }
    if (n <= at) lmi_j_puts(j, ".0");
}
/* A number at p[0..n): its length, 0 where there is none. Digits beyond the 19th of a float count as 0. ABSENT: an integer
 * that does not fit. */
static size_t lmi_j_number(const char *p, size_t n, int underscores, lmi_jval *v) {
    size_t i = 0, k; uint64_t w = 0; int e = 0, x = 0, neg, digits = 0, is_float = 0;
    for (; i < n; i++) {
        if (p[i] == '_' && underscores && i > 0 && i + 1 < n && p[i + 1] >= '0' && p[i + 1] <= '9') continue;
        if (p[i] == '.' && !is_float && digits && i + 1 < n && p[i + 1] >= '0' && p[i + 1] <= '9') { is_float = 1; continue; }
        if (p[i] < '0' || p[i] > '9') break;
        digits = 1;
        if (w < 1000000000000000000u) { w = w * 10 + (uint64_t)(p[i] - '0'); e -= is_float; } else e += !is_float;
    }
    if (digits && i < n && (p[i] | 32) == 'e') {
        k = i + 1; neg = k < n && p[k] == '-'; k += k < n && (p[k] == '-' || p[k] == '+');
        if (k < n && p[k] >= '0' && p[k] <= '9') {
            for (; k < n && p[k] >= '0' && p[k] <= '9'; k++) if (x < 100000) x = x * 10 + (p[k] - '0');
            e += neg ? -x : x; is_float = 1; i = k;
        }
    }
    if (is_float) *v = lmi_jv_float(lmi_decimal(w, e)); else *v = e == 0 && w <= INT64_MAX ? lmi_jv_int((int64_t)w) : lmi_jv(LMI_J_ABSENT);
    return digits ? i : 0;
}

/* ---- values */
static lmi_jseq *lmi_j_seq(lmi_jinja *j) { return (lmi_jseq *)lmi_j_new(j, sizeof(lmi_jseq)); } /* NULL: an error, which all below take */
static lmi_jval lmi_jv_seq(lmi_jkind kind, lmi_jseq *s) { lmi_jval v = lmi_jv(s ? kind : LMI_J_NONE); v.u.seq = s; return v; }
static void lmi_j_add(lmi_jinja *j, lmi_jseq *s, lmi_jval v) {
    lmi_jval *p;
    if (s == NULL || j->bad) return;
    if (s->n == s->cap) {
        if ((p = (lmi_jval *)lmi_j_new(j, (uint64_t)(s->cap * 2 + 4) * sizeof v)) == NULL) return;
        if (s->n) memcpy(p, s->v, s->n * sizeof v);
        s->v = p; s->cap = s->cap * 2 + 4;
    }
    s->v[s->n++] = v;
}
static void lmi_j_add2(lmi_jinja *j, lmi_jseq *s, lmi_jval a, lmi_jval b) { lmi_j_add(j, s, a); lmi_j_add(j, s, b); }
static lmi_jval lmi_jv_pair(lmi_jinja *j, lmi_jval a, lmi_jval b) {
    lmi_jseq *s = lmi_j_seq(j);
    lmi_j_add2(j, s, a, b);
    return lmi_jv_seq(LMI_J_TUPLE, s);
}
static int lmi_j_is_num(const lmi_jval *v) { return v->kind == LMI_J_BOOL || v->kind == LMI_J_INT || v->kind == LMI_J_FLOAT; }
static int lmi_j_is_list(const lmi_jval *v) { return v->kind == LMI_J_LIST || v->kind == LMI_J_TUPLE; }
static double lmi_j_f64(const lmi_jval *v) { return v->kind == LMI_J_FLOAT ? v->u.f : (double)v->u.i; }
static int lmi_j_truth(const lmi_jval *v) {
    switch (v->kind) {
        case LMI_J_ABSENT: case LMI_J_UNDEFINED: case LMI_J_NONE: return 0;
        case LMI_J_BOOL: case LMI_J_INT: return v->u.i != 0;
        case LMI_J_FLOAT: return v->u.f != 0;
        case LMI_J_STR: return v->n > 0;
        case LMI_J_LIST: case LMI_J_TUPLE: case LMI_J_DICT: return v->u.seq->n > 0;
        default: return 1;
    }
}
/* -1, 0, 1 as a < b, a == b, a > b; 2: different and without an order. Strings by bytes, which is the order of code points. */
static int lmi_j_order(lmi_jinja *j, const lmi_jval *a, const lmi_jval *b) {
    size_t i, k; int r = 2; const lmi_jseq *x, *y;
    if (lmi_j_is_num(a) && lmi_j_is_num(b)) {
        if (a->kind != LMI_J_FLOAT && b->kind != LMI_J_FLOAT) return a->u.i < b->u.i ? -1 : a->u.i > b->u.i;
        return lmi_j_f64(a) < lmi_j_f64(b) ? -1 : lmi_j_f64(a) > lmi_j_f64(b) ? 1 : lmi_j_f64(a) == lmi_j_f64(b) ? 0 : 2;
    }
    if (a->kind != b->kind) return 2;
    if (a->kind == LMI_J_NONE || a->kind == LMI_J_UNDEFINED) return 0;
    if (a->kind == LMI_J_STR) {
        if (!lmi_j_work(j, LMI_MIN(a->n, b->n) / 64)) return 2;
        r = LMI_MIN(a->n, b->n) ? memcmp(a->u.p, b->u.p, LMI_MIN(a->n, b->n)) : 0;
        return r ? (r < 0 ? -1 : 1) : a->n < b->n ? -1 : a->n > b->n;
    }
    if (a->u.seq == b->u.seq) return 0;
    if ((!lmi_j_is_list(a) && a->kind != LMI_J_DICT) || !lmi_j_enter(j, j->at)) return 2;
    x = a->u.seq; y = b->u.seq;
    if (a->kind == LMI_J_DICT) {
        r = x->n == y->n ? 0 : 2;
        for (i = 0; r == 0 && i < x->n; i += 2) {
            for (k = 0; k < y->n && lmi_j_order(j, &x->v[i], &y->v[k]) != 0; k += 2) { }
            r = k < y->n && lmi_j_order(j, &x->v[i + 1], &y->v[k + 1]) == 0 ? 0 : 2;
        }
    } else {
        for (r = 0, i = 0; r == 0 && i < x->n && i < y->n; i++) r = lmi_j_order(j, &x->v[i], &y->v[i]);
        if (r == 0) r = x->n < y->n ? -1 : x->n > y->n;
    }
    j->depth--;
    return r;
}
static lmi_jval *lmi_j_find(lmi_jinja *j, const lmi_jseq *s, const lmi_jval *key) { /* the value of a key, or NULL */
    size_t i;
    if (s == NULL || !lmi_j_work(j, s->n / 8)) return NULL;
    for (i = 0; i < s->n; i += 2) {
        if (s->v[i].kind == LMI_J_STR && key->kind == LMI_J_STR) {
            if (s->v[i].n == key->n && (key->n == 0 || memcmp(s->v[i].u.p, key->u.p, key->n) == 0)) return &s->v[i + 1];
        } else if (lmi_j_order(j, &s->v[i], key) == 0) return &s->v[i + 1];
    }
    return NULL;
}
static void lmi_j_set(lmi_jinja *j, lmi_jseq *s, lmi_jval key, lmi_jval v) {
    lmi_jval *at = lmi_j_find(j, s, &key);
    if (at) *at = v; else lmi_j_add2(j, s, key, v);
}
static void lmi_j_define(lmi_jinja *j, const char *name, lmi_jval v) { lmi_j_set(j, &j->scope->vars, lmi_jv_cstr(name), v); }

/* ---- text of values: as Python's str and repr, and as json.dumps */
static void lmi_j_put_hex(lmi_jinja *j, const char *lead, uint32_t x, int digits) {
    lmi_j_puts(j, lead);
    while (digits-- > 0) lmi_j_putc(j, "0123456789abcdef"[x >> (4 * digits) & 15], 0);
}
static void lmi_j_repr_text(lmi_jinja *j, const lmi_jval *v) {
    size_t i, k; uint32_t cp; const uint8_t *p = (const uint8_t *)v->u.p; const char *e;
    char q = v->n && memchr(p, '\'', v->n) && !memchr(p, '"', v->n) ? '"' : '\'';
    lmi_j_putc(j, q, 0);
    for (i = 0; i < v->n && !j->bad; i += k) {
        for (k = 0; i + k < v->n && p[i + k] >= 32 && p[i + k] < 127 && p[i + k] != '\\' && p[i + k] != (uint8_t)q; k++) { }
        if (k) { lmi_j_put(j, v->u.p + i, k, v->mark); continue; }
        k = lmi_utf8(p + i, v->n - i, &cp);
        e = cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : cp == '\t' ? "\\t" : cp == '\\' ? "\\\\" : NULL;
        if (e) lmi_j_puts(j, e);
        else if (cp == (uint32_t)q) { lmi_j_puts(j, "\\"); lmi_j_putc(j, q, 0); }
        else if (cp < 32 || (cp >= 127 && cp <= 160) || cp == 173) lmi_j_put_hex(j, "\\x", cp, 2);
        else lmi_j_put(j, v->u.p + i, k, v->mark);
    }
    lmi_j_putc(j, q, 0);
}
static void lmi_j_repr(lmi_jinja *j, const lmi_jval *v, int inside) { /* inside a list: strings in quotes */
    static const char *const open[] = { "[", "(", "{" }, *const shut[] = { "]", ")", "}" };
    size_t i; const lmi_jseq *s = v->u.seq; int k = v->kind == LMI_J_LIST ? 0 : v->kind == LMI_J_TUPLE ? 1 : 2;
    switch (v->kind) {
        case LMI_J_ABSENT: case LMI_J_UNDEFINED: lmi_j_puts(j, inside ? "Undefined" : ""); return;
        case LMI_J_NONE: lmi_j_puts(j, "None"); return;
        case LMI_J_BOOL: lmi_j_puts(j, v->u.i ? "True" : "False"); return;
        case LMI_J_INT: lmi_j_put_int(j, v->u.i); return;
        case LMI_J_FLOAT: lmi_j_put_float(j, v->u.f); return;
        case LMI_J_STR: if (inside) lmi_j_repr_text(j, v); else lmi_j_put(j, v->u.p, v->n, v->mark); return;
        case LMI_J_LIST: case LMI_J_TUPLE: case LMI_J_DICT: break;
        default: lmi_j_fail(j, LM_E_SUPPORT, j->at, "text of %s is not built in", lmi_jkind_names[v->kind]); return;
    }
    if (!lmi_j_enter(j, j->at)) return;
    lmi_j_puts(j, open[k]);
    for (i = 0; i < s->n && !j->bad; i++) {
        if (i > 0) lmi_j_puts(j, k == 2 && i % 2 ? ": " : ", ");
        lmi_j_repr(j, &s->v[i], 1);
    }
    if (k == 1 && s->n == 1) lmi_j_puts(j, ",");
    lmi_j_puts(j, shut[k]);
    j->depth--;
}
static lmi_jval lmi_j_str(lmi_jinja *j, lmi_jval v) { /* str(v) */
    size_t from = j->n_out;
    if (v.kind == LMI_J_STR) return v;
    lmi_j_repr(j, &v, 0);
    return lmi_j_taken(j, from);
}
typedef struct lmi_jdump { int ascii, sorted, indent, level; lmi_jval item, key; } lmi_jdump; /* indent -1: on one line; item, key: the separators */
static void lmi_j_dump_text(lmi_jinja *j, const lmi_jdump *d, const lmi_jval *v) {
    size_t i, k; uint32_t cp; const uint8_t *p = (const uint8_t *)v->u.p; const char *e;
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    lmi_j_puts(j, "\"");
    for (i = 0; i < v->n && !j->bad; i += k) {
        for (k = 0; i + k < v->n && p[i + k] >= 32 && p[i + k] != '"' && p[i + k] != '\\' && (p[i + k] < 127 || !d->ascii); k++) { }
        if (k) { lmi_j_put(j, v->u.p + i, k, v->mark); continue; }
        k = lmi_utf8(p + i, v->n - i, &cp);
        e = cp && cp < 128 ? strchr(from, (int)cp) : NULL;
        if (e) { lmi_j_puts(j, "\\"); lmi_j_putc(j, to[e - from], 0); }
        else if (cp < 0x10000) lmi_j_put_hex(j, "\\u", cp, 4);
        else if (cp < 0x110000) { lmi_j_put_hex(j, "\\u", 0xd7c0 + (cp >> 10), 4); lmi_j_put_hex(j, "\\u", 0xdc00 + (cp & 0x3ff), 4); }
        else lmi_j_puts(j, "\\ufffd");
    }
    lmi_j_puts(j, "\"");
}
static void lmi_j_dump_line(lmi_jinja *j, const lmi_jdump *d) {
    int i;
    if (d->indent < 0 || !lmi_j_work(j, (uint64_t)d->indent * (uint64_t)d->level / 16)) return;
    for (lmi_j_puts(j, "\n"), i = 0; i < d->indent * d->level && !j->bad; i++) lmi_j_puts(j, " ");
}
static void lmi_j_dump(lmi_jinja *j, lmi_jdump *d, const lmi_jval *v);
static void lmi_j_sort_pairs(lmi_jinja *j, lmi_jseq *s, int by, int fold, int reverse); /* functions */
static void lmi_j_dump_seq(lmi_jinja *j, lmi_jdump *d, const lmi_jval *v) {
    const lmi_jseq *s = v->u.seq; size_t i, step = v->kind == LMI_J_DICT ? 2 : 1; lmi_jseq sorted; lmi_jval key;
    if (s->n == 0) { lmi_j_puts(j, step == 2 ? "{}" : "[]"); return; }
    if (step == 2 && d->sorted) {
        memset(&sorted, 0, sizeof sorted);
        for (i = 0; i < s->n; i++) lmi_j_add(j, &sorted, s->v[i]);
        lmi_j_sort_pairs(j, &sorted, 0, 0, 0); s = &sorted;
    }
    lmi_j_puts(j, step == 2 ? "{" : "["); d->level++;
    for (i = 0; i < s->n && !j->bad; i += step) {
        if (i > 0) lmi_j_put(j, d->item.u.p, d->item.n, d->item.mark);
        lmi_j_dump_line(j, d);
        if (step == 2) {
            key = s->v[i];
            if (key.kind != LMI_J_STR) { size_t from = j->n_out; lmi_j_dump(j, d, &key); key = lmi_j_taken(j, from); }
            lmi_j_dump_text(j, d, &key); lmi_j_put(j, d->key.u.p, d->key.n, d->key.mark);
        }
        lmi_j_dump(j, d, &s->v[i + step - 1]);
    }
    d->level--; lmi_j_dump_line(j, d); lmi_j_puts(j, step == 2 ? "}" : "]");
}
static void lmi_j_dump(lmi_jinja *j, lmi_jdump *d, const lmi_jval *v) {
    if (v->kind == LMI_J_NONE) lmi_j_puts(j, "null");
    else if (v->kind == LMI_J_BOOL) lmi_j_puts(j, v->u.i ? "true" : "false");
    else if (v->kind == LMI_J_FLOAT && !lmi_finite64(v->u.f)) lmi_j_puts(j, v->u.f != v->u.f ? "NaN" : v->u.f > 0 ? "Infinity" : "-Infinity");
    else if (lmi_j_is_num(v)) lmi_j_repr(j, v, 0);
    else if (v->kind == LMI_J_STR) lmi_j_dump_text(j, d, v);
    else if (!lmi_j_is_list(v) && v->kind != LMI_J_DICT) lmi_j_fail(j, LM_E_FORMAT, j->at, "tojson: %s cannot be JSON", lmi_jkind_names[v->kind]);
    else if (lmi_j_enter(j, j->at)) { lmi_j_dump_seq(j, d, v); j->depth--; }
}

/* ---- JSON (RFC 8259), all of whose text is the user's. Of keys that repeat, the last value counts, as in Python. */
static void lmi_j_json_space(lmi_jinja *j) { while (j->pos < j->n_src && j->src[j->pos] && strchr(" \t\r\n", j->src[j->pos])) j->pos++; }
static void lmi_j_json_bad(lmi_jinja *j, const char *what) { lmi_j_fail(j, LM_E_FORMAT, (uint32_t)j->pos, "JSON: %s", what); } /* pos <= LMI_MAX_TEXT */
static uint32_t lmi_j_hex(lmi_jinja *j, int digits) { /* at pos, which moves on; UINT32_MAX where they are not all there */
    uint32_t x = 0; int h;
    for (; digits > 0; digits--, j->pos++, x = x << 4 | (uint32_t)h) if (j->pos >= j->n_src || (h = lmi_hex(j->src[j->pos])) < 0) return UINT32_MAX;
    return x;
}
static lmi_jval lmi_j_json_text(lmi_jinja *j) { /* pos after the opening quote; without escapes, the bytes stay where they are */
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t"; size_t start = j->pos, out = j->n_out; int plain = 1; const char *e;
        uint32_t cp, low; char c;
    for (;;) {
        if (j->pos >= j->n_src || (unsigned char)j->src[j->pos] < 32) { lmi_j_json_bad(j, "a string without its end"); break; }
        if ((c = j->src[j->pos++]) == '"') break;
        if (c != '\\') { if (!plain) lmi_j_putc(j, c, 1); continue; }
        if (plain) lmi_j_put(j, j->src + start, j->pos - 1 - start, SIZE_MAX);
        plain = 0; c = j->pos < j->n_src ? j->src[j->pos++] : 0;
        if (c == 'u') {
            cp = lmi_j_hex(j, 4);
            if (cp >> 10 == 0x36 && j->pos + 1 < j->n_src && j->src[j->pos] == '\\' && j->src[j->pos + 1] == 'u') {
                j->pos += 2; low = lmi_j_hex(j, 4);
                cp = low >> 10 == 0x37 ? 0x10000 + ((cp & 0x3ff) << 10 | (low & 0x3ff)) : UINT32_MAX;
            }
            if (cp > 0x10ffff || cp >> 11 == 0x1b) { lmi_j_json_bad(j, "a malformed \\u escape"); break; }
            lmi_j_put_cp(j, cp, 1);
        } else if (c && (e = strchr(from, c)) != NULL) lmi_j_putc(j, to[e - from], 1);
        else { lmi_j_json_bad(j, "an unknown escape"); break; }
        if (j->bad) break;
    }
    if (!plain) return lmi_j_taken(j, out);
    return j->bad ? lmi_jv_cstr("") : lmi_jv_text(j->src + start, j->pos - 1 - start, SIZE_MAX);
}
static int lmi_j_json_word(lmi_jinja *j, const char *w) {
    size_t n = strlen(w);
    if (j->n_src - j->pos < n || memcmp(j->src + j->pos, w, n) != 0) return 0;
    j->pos += n;
    return 1;
}
static lmi_jval lmi_j_json(lmi_jinja *j);
static lmi_jval lmi_j_json_seq(lmi_jinja *j, char shut) {
    lmi_jseq *s = lmi_j_seq(j); lmi_jval key = lmi_jv(LMI_J_NONE);
    lmi_j_json_space(j);
    if (j->pos < j->n_src && j->src[j->pos] == shut) { j->pos++; return lmi_jv_seq(shut == '}' ? LMI_J_DICT : LMI_J_LIST, s); }
    while (!j->bad) {
        if (shut == '}') {
            lmi_j_json_space(j);
            if (j->pos >= j->n_src || j->src[j->pos++] != '"') lmi_j_json_bad(j, "expected a key");
            key = lmi_j_json_text(j); lmi_j_json_space(j);
            if (j->pos >= j->n_src || j->src[j->pos++] != ':') lmi_j_json_bad(j, "expected ':'");
            lmi_j_set(j, s, key, lmi_j_json(j));
        } else lmi_j_add(j, s, lmi_j_json(j));
        lmi_j_json_space(j);
        if (j->pos < j->n_src && j->src[j->pos] == ',') { j->pos++; continue; }
        if (j->pos < j->n_src && j->src[j->pos] == shut) { j->pos++; break; }
        lmi_j_json_bad(j, "expected ',' or the end of a list or object");
    }
    return lmi_jv_seq(shut == '}' ? LMI_J_DICT : LMI_J_LIST, s);
}
static lmi_jval lmi_j_json(lmi_jinja *j) {
    lmi_jval v = lmi_jv(LMI_J_NONE); char c; size_t n; int neg;
    lmi_j_json_space(j);
    c = j->pos < j->n_src ? j->src[j->pos] : 0;
    if (!lmi_j_enter(j, (uint32_t)j->pos)) return v;
    if (c == '{' || c == '[') { j->pos++; v = lmi_j_json_seq(j, c == '{' ? '}' : ']'); }
    else if (c == '"') { j->pos++; v = lmi_j_json_text(j); }
    else if (lmi_j_json_word(j, "true")) v = lmi_jv_bool(1);
    else if (lmi_j_json_word(j, "false")) v = lmi_jv_bool(0);
    else if (!lmi_j_json_word(j, "null")) {
        neg = c == '-'; j->pos += (size_t)neg;
        n = lmi_j_number(j->src + j->pos, j->n_src - j->pos, 0, &v);
        if (n == 0 || (j->src[j->pos] == '0' && n > 1 && j->src[j->pos + 1] >= '0' && j->src[j->pos + 1] <= '9')) lmi_j_json_bad(j,
            "expected a value");
        else if (v.kind == LMI_J_ABSENT) lmi_j_json_bad(j, "an integer beyond 64 bits");
        j->pos += n; lmi_j_work(j, 8);
        if (neg && v.kind == LMI_J_INT) v.u.i = -v.u.i; else if (neg) v.u.f = -v.u.f;
    }
    j->depth--;
    return v;
}
static lmi_jval lmi_j_read_json(lmi_jinja *j, const char *what, const char *p, size_t n) { /* the whole of p */
    lmi_jval v; const char *src = j->src; size_t n_src = j->n_src;
    j->what = what; j->src = p; j->n_src = n; j->pos = 0;
    v = lmi_j_json(j);
    lmi_j_json_space(j);
    if (j->pos < n) lmi_j_json_bad(j, "more after the value");
    j->what = NULL; j->src = src; j->n_src = n_src;
    return v;
}

/* ---- tokens. Text between tags is the parser's business (lmi_j_body); this reads what stands inside them. */
enum { LMI_T_END, LMI_T_NAME, LMI_T_STR, LMI_T_NUMBER, LMI_T_OP, LMI_T_CLOSE };
#define LMI_J2(a, b) ((uint32_t)(a) | (uint32_t)(b) << 8)   /* an operator of one or two characters */
static int lmi_j_white(uint32_t cp) { /* Python's str.isspace */
    return cp == 32 || (cp >= 9 && cp <= 13) || (cp >= 28 && cp <= 31) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a)
        || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}
static size_t lmi_j_skip_white(const char *p, size_t from, size_t n) {
    uint32_t cp; size_t k;
    for (; from < n; from += k) { k = lmi_utf8((const uint8_t *)p + from, n - from, &cp); if (!lmi_j_white(cp)) break; }
    return from;
}
static size_t lmi_j_trim_white(const char *p, size_t from, size_t n) { /* the end without white space */
    uint32_t cp; unsigned k;
    for (; n > from; n -= k) {
        k = lmi_utf8_back((const uint8_t *)p + from, n - from);
        lmi_utf8((const uint8_t *)p + n - k, k, &cp);
        if (!lmi_j_white(cp)) break;
    }
    return n;
}
static int lmi_j_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80); }
static int lmi_j_at(const lmi_jinja *j, size_t at, const char *s) { /* does s stand there? */
    size_t n = strlen(s);
    return at <= j->n_src && j->n_src - at >= n && memcmp(j->src + at, s, n) == 0;
}
/* pos after the end of a tag: -%} takes all white space that follows, %} and #} one line end, +%} and }} nothing. */
static void lmi_j_after(lmi_jinja *j, char sign, int variable) {
    if (sign == '-') j->pos = lmi_j_skip_white(j->src, j->pos, j->n_src);
    else if (sign != '+' && !variable && lmi_j_at(j, j->pos, "\n")) j->pos++;
    j->line_start = j->src[j->pos - 1] == '\n';
}
static lmi_jval lmi_j_literal(lmi_jinja *j, size_t from, size_t to) { /* escapes as in Python's unicode-escape; unknown ones stay as they are */
    static const char names[] = "\\'\"abfnrtv", codes[] = "\\'\"\a\b\f\n\r\t\v"; size_t out = j->n_out, pos = j->pos, i, k; const char *e;
    uint32_t cp;
    if (memchr(j->src + from, '\\', to - from) == NULL) return lmi_jv_text(j->src + from, to - from, 0);
    for (i = from; i < to && !j->bad; ) {
        if (j->src[i] != '\\') { for (k = i; k < to && j->src[k] != '\\'; k++) { } lmi_j_put(j, j->src + i, k - i, 0); i = k; continue; }
        k = i++; e = strchr(names, j->src[i]);
        if (e && *e) { lmi_j_putc(j, codes[e - names], 0); i++; }
        else if (j->src[i] == '\n') i++;
        else if (j->src[i] == 'x' || j->src[i] == 'u' || j->src[i] == 'U') {
            j->pos = i + 1; cp = lmi_j_hex(j, j->src[i] == 'x' ? 2 : j->src[i] == 'u' ? 4 : 8); i = j->pos;
            if (cp > 0x10ffff || cp >> 11 == 0x1b || i > to) { lmi_j_fail(j, LM_E_FORMAT, (uint32_t)k, "a malformed escape in a string"); break; }
            lmi_j_put_cp(j, cp, 0);
        } else if (j->src[i] >= '0' && j->src[i] <= '7') {
            for (cp = 0, k = 0; k < 3 && i < to && j->src[i] >= '0' && j->src[i] <= '7'; k++, i++) cp = cp * 8 + (uint32_t)(j->src[i] - '0');
            lmi_j_put_cp(j, cp, 0);
        } else if (j->src[i] == 'N') lmi_j_fail(j, LM_E_SUPPORT, (uint32_t)k, "\\N{...} in a string is not built in");
        else lmi_j_put(j, "\\", 1, 0);
    }
    j->pos = pos;
    return lmi_j_taken(j, out);
}
static void lmi_j_close(lmi_jinja *j, char sign) { j->tok.kind = LMI_T_CLOSE; j->pos += 2 + (size_t)(sign != 0); lmi_j_after(j, sign, !j->in_block); }
static void lmi_j_next(lmi_jinja *j) {
    static const char *const two[] = { "//", "**", "==", "!=", ">=", "<=" }; char c; size_t i, k, n = j->n_src;
    if (!lmi_j_work(j, 1)) { j->tok.kind = LMI_T_END; return; }
    j->pos = lmi_j_skip_white(j->src, j->pos, n);
    j->tok.at = (uint32_t)j->pos; j->tok.op = 0; j->tok.kind = LMI_T_END;
    if (j->pos == n) return;
    c = j->src[j->pos];
    if (j->open == 0) {
        const char *shut = j->in_block ? "%}" : "}}";
        if (lmi_j_at(j, j->pos, shut)) { lmi_j_close(j, 0); return; }
        if ((c == '-' || (c == '+' && j->in_block)) && lmi_j_at(j, j->pos + 1, shut)) { lmi_j_close(j, c); return; }
    }
    if (c >= '0' && c <= '9') {
        j->tok.kind = LMI_T_NUMBER;
        if (c == '0' && j->pos + 1 < n && strchr("xXoObB", j->src[j->pos + 1])) lmi_j_fail(j, LM_E_SUPPORT, j->tok.at, "a number to another base");
        j->pos += lmi_j_number(j->src + j->pos, n - j->pos, 1, &j->tok.v);
        if (j->tok.v.kind == LMI_J_ABSENT) lmi_j_fail(j, LM_E_SUPPORT, j->tok.at, "an integer beyond 64 bits");
    } else if (lmi_j_letter(c)) {
        for (k = j->pos; k < n && (lmi_j_letter(j->src[k]) || (j->src[k] >= '0' && j->src[k] <= '9')); k++) { }
        j->tok.kind = LMI_T_NAME; j->tok.v = lmi_jv_text(j->src + j->pos, k - j->pos, 0); j->pos = k;
    } else if (c == '"' || c == '\'') {
        for (k = j->pos + 1; k < n && j->src[k] != c; k++) if (j->src[k] == '\\') k++;
        if (k >= n) { lmi_j_fail(j, LM_E_FORMAT, j->tok.at, "a string without its end"); return; }
        j->tok.kind = LMI_T_STR; j->tok.v = lmi_j_literal(j, j->pos + 1, k); j->pos = k + 1;
    } else {
        j->tok.kind = LMI_T_OP; j->tok.op = (uint8_t)c; j->pos++;
        for (i = 0; i < 6; i++) if (lmi_j_at(j, j->pos - 1, two[i])) { j->tok.op = LMI_J2(two[i][0], two[i][1]); j->pos++; break; }
        if (i == 6 && (c == 0 || !strchr("+-/*%~[](){}><=.:|,", c))) {
            j->tok.v = lmi_jv_text(j->src + j->pos - 1, 1, 0);
            lmi_j_fail(j, LM_E_FORMAT, j->tok.at, "unexpected character %S", lmi_jstr(&j->tok.v));
            return;
        }
        if (c == '(' || c == '[' || c == '{') j->open++;
        if ((c == ')' || c == ']' || c == '}') && j->open-- == 0) lmi_j_fail(j, LM_E_FORMAT, j->tok.at, "a bracket closes that was not opened");
    }
}

/* ---- parser: recursive descent into a tree of lmi_jnode, with Jinja's precedences. Where a node cannot be had, j->none stands in for it. */
enum { LMI_N_CONST, LMI_N_NAME, LMI_N_LIST, LMI_N_TUPLE, LMI_N_DICT, LMI_N_ATTR, LMI_N_ITEM, LMI_N_SLICE, LMI_N_CALL, LMI_N_KEYWORD, LMI_N_FILTER,
    LMI_N_TEST, LMI_N_NOT, LMI_N_SIGN, LMI_N_AND, LMI_N_OR, LMI_N_COMPARE, LMI_N_SUM, LMI_N_CONCAT, LMI_N_PRODUCT, LMI_N_POWER, LMI_N_COND,
    LMI_N_TEXT, LMI_N_OUT, LMI_N_IF, LMI_N_FOR, LMI_N_SET, LMI_N_SET_BLOCK, LMI_N_MACRO, LMI_N_CALL_BLOCK, LMI_N_FILTER_BLOCK, LMI_N_PLAIN_BLOCK,
    LMI_N_BREAK, LMI_N_CONTINUE };
static lmi_jnode *lmi_j_node(lmi_jinja *j, int kind, uint32_t at, lmi_jnode *a, lmi_jnode *b) {
    lmi_jnode *n = (lmi_jnode *)lmi_j_new(j, sizeof *n);
    if (n == NULL) { n = &j->none; memset(n, 0, sizeof *n); return n; }
    n->kind = (uint8_t)kind; n->at = at; n->a = a; n->b = b;
    return n;
}
static int lmi_j_is_op(const lmi_jinja *j, uint32_t op) { return j->tok.kind == LMI_T_OP && j->tok.op == op; }
static int lmi_j_is_name(const lmi_jinja *j, const char *s) { return j->tok.kind == LMI_T_NAME && lmi_str_is(lmi_jstr(&j->tok.v), s); }
static int lmi_j_skip_op(lmi_jinja *j, uint32_t op) { if (!lmi_j_is_op(j, op)) return 0; lmi_j_next(j); return !j->bad; }
static int lmi_j_skip_name(lmi_jinja *j, const char *s) { if (!lmi_j_is_name(j, s)) return 0; lmi_j_next(j); return !j->bad; }
static void lmi_j_expected(lmi_jinja *j, const char *what) {
    lmi_str got; size_t end = LMI_MIN(j->n_src, (size_t)j->tok.at + 20);
    got.p = j->src + j->tok.at; got.n = LMI_MAX(j->pos > j->tok.at ? LMI_MIN(j->pos, end) : end, j->tok.at) - j->tok.at;
    if (j->tok.kind == LMI_T_END) lmi_j_fail(j, LM_E_FORMAT, j->tok.at, "expected %s, not the end", what);
    else lmi_j_fail(j, LM_E_FORMAT, j->tok.at, "expected %s, not %S", what, got);
}
static void lmi_j_need_op(lmi_jinja *j, uint32_t op, const char *what) { if (!lmi_j_skip_op(j, op)) lmi_j_expected(j, what); }
static lmi_jval lmi_j_need_name(lmi_jinja *j, const char *what) {
    lmi_jval v = j->tok.v;
    if (j->tok.kind != LMI_T_NAME) { lmi_j_expected(j, what); return lmi_jv_cstr(""); }
    lmi_j_next(j);
    return v;
}
static lmi_jnode *lmi_j_named(lmi_jinja *j, int kind, uint32_t at, lmi_jval name, lmi_jnode *a) {
    lmi_jnode *n = lmi_j_node(j, kind, at, a, NULL);
    n->v = name;
    return n;
}
static lmi_jnode *lmi_j_expr(lmi_jinja *j);
static lmi_jnode *lmi_j_postfix(lmi_jinja *j, lmi_jnode *n, int filters);
static int lmi_j_tuple_ends(const lmi_jinja *j) {
    return j->tok.kind == LMI_T_CLOSE || j->tok.kind == LMI_T_END || lmi_j_is_op(j, ')') || lmi_j_is_name(j, "in") || lmi_j_is_name(j, "recursive");
}
/* a, b, ... is a tuple, a alone is a. `item` reads one. */
static lmi_jnode *lmi_j_tuple(lmi_jinja *j, lmi_jnode *(*item)(lmi_jinja *j)) {
    lmi_jnode *n, *t = NULL, **tail; uint32_t at = j->tok.at;
    n = item(j);
    if (!lmi_j_is_op(j, ',')) return n;
    t = lmi_j_node(j, LMI_N_TUPLE, at, n, NULL); tail = &n->next;
    while (lmi_j_skip_op(j, ',') && !lmi_j_tuple_ends(j)) { *tail = item(j); tail = &(*tail)->next; }
    return t;
}
static lmi_jnode *lmi_j_list(lmi_jinja *j, int kind, char shut) { /* of a list or dict, after its opening bracket */
    lmi_jnode *n = lmi_j_node(j, kind, j->tok.at, NULL, NULL), **tail = &n->a;
    while (!j->bad && !lmi_j_is_op(j, (uint8_t)shut)) {
        *tail = lmi_j_expr(j); tail = &(*tail)->next;
        if (shut == '}') { lmi_j_need_op(j, ':', "':'"); *tail = lmi_j_expr(j); tail = &(*tail)->next; }
        if (!lmi_j_skip_op(j, ',')) break;
    }
    lmi_j_need_op(j, (uint8_t)shut, shut == '}' ? "'}'" : "']'");
    return n;
}
static lmi_jnode *lmi_j_const(lmi_jinja *j, lmi_jval v) { lmi_jnode *n = lmi_j_named(j, LMI_N_CONST, j->tok.at, v, NULL); lmi_j_next(j); return n; }
static lmi_jnode *lmi_j_string(lmi_jinja *j) { /* neighbours are one string */
    lmi_jnode *n = lmi_j_const(j, j->tok.v); size_t out;
    while (j->tok.kind == LMI_T_STR && !j->bad) {
        out = j->n_out;
        lmi_j_put(j, n->v.u.p, n->v.n, 0); lmi_j_put(j, j->tok.v.u.p, j->tok.v.n, 0);
        n->v = lmi_j_taken(j, out);
        lmi_j_next(j);
    }
    return n;
}
static lmi_jnode *lmi_j_primary(lmi_jinja *j) {
    lmi_jnode *n; uint32_t at = j->tok.at;
    if (j->tok.kind == LMI_T_STR) return lmi_j_string(j);
    if (j->tok.kind == LMI_T_NUMBER) return lmi_j_const(j, j->tok.v);
    if (lmi_j_is_name(j, "true") || lmi_j_is_name(j, "True")) return lmi_j_const(j, lmi_jv_bool(1));
    if (lmi_j_is_name(j, "false") || lmi_j_is_name(j, "False")) return lmi_j_const(j, lmi_jv_bool(0));
    if (lmi_j_is_name(j, "none") || lmi_j_is_name(j, "None")) return lmi_j_const(j, lmi_jv(LMI_J_NONE));
    if (j->tok.kind == LMI_T_NAME) return lmi_j_named(j, LMI_N_NAME, at, lmi_j_need_name(j, "a name"), NULL);
    if (lmi_j_skip_op(j, '(')) {
        n = lmi_j_is_op(j, ')') ? lmi_j_node(j, LMI_N_TUPLE, at, NULL, NULL) : lmi_j_tuple(j, lmi_j_expr);
        lmi_j_need_op(j, ')', "')'");
        return n;
    }
    if (lmi_j_skip_op(j, '[')) return lmi_j_list(j, LMI_N_LIST, ']');
    if (lmi_j_skip_op(j, '{')) return lmi_j_list(j, LMI_N_DICT, '}');
    lmi_j_expected(j, "an expression");
    return lmi_j_node(j, LMI_N_CONST, at, NULL, NULL);
}
static lmi_jnode *lmi_j_call_args(lmi_jinja *j) { /* after the '(' */
    lmi_jnode *list = NULL, **tail = &list; uint32_t at; size_t k;
    while (!j->bad && !lmi_j_is_op(j, ')')) {
        at = j->tok.at;
        if (lmi_j_is_op(j, '*') || lmi_j_is_op(j, LMI_J2('*', '*'))) lmi_j_fail(j, LM_E_SUPPORT, at, "* and ** in calls are not built in");
        k = lmi_j_skip_white(j->src, j->pos, j->n_src);
        if (j->tok.kind == LMI_T_NAME && lmi_j_at(j, k, "=") && !lmi_j_at(j, k, "==")) {
            lmi_jval name = lmi_j_need_name(j, "a name");
            lmi_j_next(j);
            *tail = lmi_j_named(j, LMI_N_KEYWORD, at, name, lmi_j_expr(j));
        } else *tail = lmi_j_expr(j);
        tail = &(*tail)->next;
        if (!lmi_j_skip_op(j, ',')) break;
    }
    lmi_j_need_op(j, ')', "')'");
    return list;
}
static lmi_jnode *lmi_j_subscript(lmi_jinja *j) { /* after the '[' */
    lmi_jnode *part[3], *n; int i = 0; uint32_t at = j->tok.at;
    memset(part, 0, sizeof part);
    if (!lmi_j_is_op(j, ':')) part[0] = lmi_j_expr(j);
    while (i < 2 && lmi_j_skip_op(j, ':')) if (i++, !lmi_j_is_op(j, ':') && !lmi_j_is_op(j, ']')) part[i] = lmi_j_expr(j);
    lmi_j_need_op(j, ']', "']'");
    if (i == 0) return part[0];
    n = lmi_j_node(j, LMI_N_SLICE, at, part[0], part[1]); n->c = part[2];
    return n;
}
static lmi_jnode *lmi_j_filter(lmi_jinja *j, lmi_jnode *value) { /* after the '|' */
    uint32_t at = j->tok.at; lmi_jnode *n = lmi_j_named(j, LMI_N_FILTER, at, lmi_j_need_name(j, "a filter"), value);
    if (lmi_j_skip_op(j, '(')) n->b = lmi_j_call_args(j);
    return n;
}
static lmi_jnode *lmi_j_test(lmi_jinja *j, lmi_jnode *value) { /* after `is` */
    uint32_t at; lmi_jnode *n; int no = lmi_j_skip_name(j, "not");
    at = j->tok.at; n = lmi_j_named(j, LMI_N_TEST, at, lmi_j_need_name(j, "a test"), value);
    if (lmi_j_skip_op(j, '(')) n->b = lmi_j_call_args(j);
    else if (j->tok.kind == LMI_T_STR || j->tok.kind == LMI_T_NUMBER || lmi_j_is_op(j, '[') || lmi_j_is_op(j, '{') || (j->tok.kind == LMI_T_NAME
        && !lmi_j_is_name(j, "else") && !lmi_j_is_name(j, "or") && !lmi_j_is_name(j, "and") && !lmi_j_is_name(j, "is")))
        n->b = lmi_j_postfix(j, lmi_j_primary(j), 0);
    return no ? lmi_j_node(j, LMI_N_NOT, at, n, NULL) : n;
}
static lmi_jnode *lmi_j_postfix(lmi_jinja *j, lmi_jnode *n, int filters) {
    uint32_t at; int depth = j->depth;
    while (lmi_j_enter(j, j->tok.at)) {  /* each wraps what is before, so the tree gets deeper */
        at = j->tok.at;
        if (lmi_j_skip_op(j, '(')) n = lmi_j_node(j, LMI_N_CALL, at, n, lmi_j_call_args(j));
        else if (!filters && lmi_j_skip_op(j, '[')) n = lmi_j_node(j, LMI_N_ITEM, at, n, lmi_j_subscript(j));
        else if (!filters && lmi_j_is_op(j, '.')) {
            lmi_j_next(j);
            if (j->tok.kind == LMI_T_NUMBER) n = lmi_j_node(j, LMI_N_ITEM, at, n, lmi_j_const(j, j->tok.v));
            else n = lmi_j_named(j, LMI_N_ATTR, at, lmi_j_need_name(j, "an attribute"), n);
        } else if (filters && lmi_j_skip_op(j, '|')) n = lmi_j_filter(j, n);
        else if (filters && lmi_j_skip_name(j, "is")) n = lmi_j_test(j, n);
        else break;
    }
    j->depth = depth;
    return n;
}
static lmi_jnode *lmi_j_unary(lmi_jinja *j, int filters) {
    lmi_jnode *n; uint32_t at = j->tok.at, op = j->tok.op;
    if (!lmi_j_enter(j, at)) return &j->none;
    if (lmi_j_skip_op(j, '-') || lmi_j_skip_op(j, '+')) { n = lmi_j_node(j, LMI_N_SIGN, at, lmi_j_unary(j, 0), NULL); n->v = lmi_jv_bool(op == '-'); }
    else n = lmi_j_primary(j);
    n = lmi_j_postfix(j, n, 0);
    if (filters) n = lmi_j_postfix(j, n, 1);
    j->depth--;
    return n;
}
/* The levels from `or` down to **: operands of one level in a list. The words and signs of each; a chain of comparisons is one node. */
static uint32_t lmi_j_operator(lmi_jinja *j, int level) { /* takes it, 0: another token */
    static const char *const signs[] = { "", "", "", "", "+-", "~", "*/%" }; lmi_jtoken t = j->tok; size_t pos = j->pos;
    if (level == 0) return (uint32_t)lmi_j_skip_name(j, "or");
    if (level == 1) return (uint32_t)lmi_j_skip_name(j, "and");
    if (level == 3 && lmi_j_skip_name(j, "in")) return 'i';
    if (level == 3 && lmi_j_skip_name(j, "not")) {
        if (lmi_j_skip_name(j, "in")) return 'n';
        j->tok = t; j->pos = pos;
        return 0;
    }
    if (t.kind != LMI_T_OP) return 0;
    if (level == 3 && (t.op == '<' || t.op == '>' || (t.op >> 8 == '=' && t.op))) { lmi_j_next(j); return t.op; }
    if (level > 3 && ((t.op < 256 && level < 7 && strchr(signs[level], (int)t.op)) || (level == 6 && t.op == LMI_J2('/', '/'))
        || (level == 7 && t.op == LMI_J2('*', '*')))) {
        lmi_j_next(j);
        return t.op;
    }
    return 0;
}
static lmi_jnode *lmi_j_level(lmi_jinja *j, int level) {
    static const uint8_t kind[] = { LMI_N_OR, LMI_N_AND, 0, LMI_N_COMPARE, LMI_N_SUM, LMI_N_CONCAT, LMI_N_PRODUCT, LMI_N_POWER };
    lmi_jnode *n, **tail; uint32_t at = j->tok.at, op;
    if (level == 8) return lmi_j_unary(j, 1);
    if (level == 2) {
        if (!lmi_j_is_name(j, "not")) return lmi_j_level(j, 3);
        if (!lmi_j_enter(j, at)) return &j->none;
        lmi_j_next(j);
        n = lmi_j_node(j, LMI_N_NOT, at, lmi_j_level(j, 2), NULL);
        j->depth--;
        return n;
    }
    n = lmi_j_level(j, level + 1);
    if ((op = lmi_j_operator(j, level)) == 0) return n;
    tail = &n->next; n = lmi_j_node(j, kind[level], at, n, NULL);
    do { *tail = lmi_j_level(j, level + 1); (*tail)->op = op; tail = &(*tail)->next; } while ((op = lmi_j_operator(j, level)) != 0);
    return n;
}
static lmi_jnode *lmi_j_expr(lmi_jinja *j) {
    lmi_jnode *n; uint32_t at = j->tok.at; int depth = j->depth;
    if (!lmi_j_enter(j, at)) return &j->none;
    n = lmi_j_level(j, 0);
    while (lmi_j_is_name(j, "if") && lmi_j_enter(j, at)) {
        lmi_j_next(j);
        n = lmi_j_node(j, LMI_N_COND, at, n, lmi_j_level(j, 0));
        if (lmi_j_skip_name(j, "else")) n->c = lmi_j_expr(j);
    }
    j->depth = depth;
    return n;
}
static lmi_jnode *lmi_j_no_cond(lmi_jinja *j) { return lmi_j_level(j, 0); } /* of for and if, whose own `if` follows */

/* ---- statements. The tag's name has been read; each reads to the end of its last tag. */
static lmi_jnode *lmi_j_body(lmi_jinja *j, const char *ends);
static void lmi_j_close_tag(lmi_jinja *j) { /* the text that follows is lmi_j_body's */
    if (!j->bad && j->tok.kind != LMI_T_CLOSE) lmi_j_expected(j, j->in_block ? "%}" : "}}");
}
/* A tag's body; then the token is the end tag's name. */
static lmi_jnode *lmi_j_block(lmi_jinja *j, const char *ends) { lmi_j_close_tag(j); return lmi_j_body(j, ends); }
static lmi_jnode *lmi_j_block_end(lmi_jinja *j, const char *end) { lmi_jnode *n = lmi_j_block(j, end); lmi_j_next(j); lmi_j_close_tag(j); return n; }
static lmi_jnode *lmi_j_target(lmi_jinja *j) { /* a name, (a, b), or space.name */
    uint32_t at = j->tok.at; lmi_jnode *n;
    if (lmi_j_skip_op(j, '(')) { n = lmi_j_tuple(j, lmi_j_target); lmi_j_need_op(j, ')', "')'"); return n; }
    n = lmi_j_named(j, LMI_N_NAME, at, lmi_j_need_name(j, "a name"), NULL);
    return lmi_j_skip_op(j, '.') ? lmi_j_named(j, LMI_N_ATTR, at, lmi_j_need_name(j, "a name"), n) : n;
}
static lmi_jnode *lmi_j_if(lmi_jinja *j, uint32_t at) { /* each elif is the else of the one before */
    lmi_jnode *first = NULL, **to = &first, *n; int more = 1; /* op: there is one */
    while (more && !j->bad) {
        *to = n = lmi_j_node(j, LMI_N_IF, at, lmi_j_tuple(j, lmi_j_no_cond), NULL); to = &n->c;
        n->b = lmi_j_block(j, "elif else endif");
        at = j->tok.at; n->op = (uint32_t)(more = lmi_j_skip_name(j, "elif"));
    }
    if (lmi_j_skip_name(j, "else")) { *to = lmi_j_block(j, "endif"); }
    lmi_j_next(j); lmi_j_close_tag(j);
    return first ? first : &j->none;
}
static lmi_jnode *lmi_j_for(lmi_jinja *j, uint32_t at) {
    lmi_jnode *n = lmi_j_node(j, LMI_N_FOR, at, lmi_j_tuple(j, lmi_j_target), NULL);
    if (!lmi_j_skip_name(j, "in")) lmi_j_expected(j, "'in'");
    n->b = lmi_j_tuple(j, lmi_j_no_cond);
    if (lmi_j_skip_name(j, "if")) n->e = lmi_j_expr(j);
    n->op = (uint32_t)lmi_j_skip_name(j, "recursive");
    j->loops++; n->c = lmi_j_block(j, "else endfor"); j->loops--;
    if (lmi_j_skip_name(j, "else")) n->d = lmi_j_block(j, "endfor");
    lmi_j_next(j); lmi_j_close_tag(j);
    return n;
}
static lmi_jnode *lmi_j_set_tag(lmi_jinja *j, uint32_t at) {
    lmi_jnode *n = lmi_j_node(j, LMI_N_SET, at, lmi_j_tuple(j, lmi_j_target), NULL);
    if (lmi_j_skip_op(j, '=')) { n->b = lmi_j_tuple(j, lmi_j_expr); lmi_j_close_tag(j); return n; }
    n->kind = LMI_N_SET_BLOCK;
    while (lmi_j_skip_op(j, '|')) n->b = lmi_j_filter(j, n->b);
    n->c = lmi_j_block_end(j, "endset");
    return n;
}
static lmi_jnode *lmi_j_params(lmi_jinja *j) { /* after the '(': names, each with its default in a */
    lmi_jnode *list = NULL, **tail = &list; uint32_t at;
    while (!j->bad && !lmi_j_is_op(j, ')')) {
        at = j->tok.at; *tail = lmi_j_named(j, LMI_N_NAME, at, lmi_j_need_name(j, "a parameter"), NULL);
        if (lmi_j_skip_op(j, '=')) (*tail)->a = lmi_j_expr(j);
        tail = &(*tail)->next;
        if (!lmi_j_skip_op(j, ',')) break;
    }
    lmi_j_need_op(j, ')', "')'");
    return list;
}
static lmi_jnode *lmi_j_macro(lmi_jinja *j, uint32_t at) {
    lmi_jnode *n = lmi_j_named(j, LMI_N_MACRO, at, lmi_j_need_name(j, "a name"), NULL); int loops = j->loops;
    lmi_j_need_op(j, '(', "'('");
    n->a = lmi_j_params(j); j->loops = 0; n->c = lmi_j_block_end(j, "endmacro"); j->loops = loops;
    return n;
}
static lmi_jnode *lmi_j_call_block(lmi_jinja *j, uint32_t at) {
    lmi_jnode *n = lmi_j_node(j, LMI_N_CALL_BLOCK, at, NULL, NULL); int loops = j->loops;
    if (lmi_j_skip_op(j, '(')) n->a = lmi_j_params(j);
    n->b = lmi_j_expr(j);
    if (n->b->kind != LMI_N_CALL) lmi_j_fail(j, LM_E_FORMAT, at, "expected a call");
    j->loops = 0; n->c = lmi_j_block_end(j, "endcall"); j->loops = loops;
    return n;
}
static lmi_jnode *lmi_j_statement(lmi_jinja *j) {
    uint32_t at = j->tok.at; lmi_jval name = lmi_j_need_name(j, "the name of a tag"); lmi_jnode *n;
    if (lmi_jis(&name, "if")) return lmi_j_if(j, at);
    if (lmi_jis(&name, "for")) return lmi_j_for(j, at);
    if (lmi_jis(&name, "set")) return lmi_j_set_tag(j, at);
    if (lmi_jis(&name, "macro")) return lmi_j_macro(j, at);
    if (lmi_jis(&name, "call")) return lmi_j_call_block(j, at);
    if (lmi_jis(&name, "filter")) {
        n = lmi_j_node(j, LMI_N_FILTER_BLOCK, at, NULL, lmi_j_filter(j, NULL));
        while (lmi_j_skip_op(j, '|')) n->b = lmi_j_filter(j, n->b);
        n->c = lmi_j_block_end(j, "endfilter");
        return n;
    }
    if (lmi_jis(&name, "generation")) { n = lmi_j_node(j, LMI_N_PLAIN_BLOCK, at, NULL, NULL); n->c = lmi_j_block_end(j, "endgeneration"); return n; }
    if (lmi_jis(&name, "break") || lmi_jis(&name, "continue")) {
        n = lmi_j_node(j, lmi_jis(&name, "break") ? LMI_N_BREAK : LMI_N_CONTINUE, at, NULL, NULL);
        if (j->loops == 0) lmi_j_fail(j, LM_E_FORMAT, at, "%S outside of a loop", lmi_jstr(&name));
        lmi_j_close_tag(j);
        return n;
    }
    lmi_j_fail(j, LM_E_SUPPORT, at, "the tag %S is not built in, or not expected here", lmi_jstr(&name));
    return &j->none;
}
static size_t lmi_j_find_end(lmi_jinja *j, size_t from, const char *what) { /* of a comment or raw text: where `what` begins, n_src: nowhere */
    while (from < j->n_src && !lmi_j_at(j, from, what)) from++;
    return from;
}
static lmi_jnode *lmi_j_text(lmi_jinja *j, size_t from, size_t to, char sign, int variable) { /* before a tag, or NULL */
    size_t i, line;
    if (sign == '-') to = lmi_j_trim_white(j->src, from, to);
    else if (sign != '+' && !variable) {                    /* lstrip_blocks: blanks alone between the line's start and the tag */
        for (line = to; line > from && j->src[line - 1] != '\n'; line--) { }
        i = lmi_j_skip_white(j->src, line, to);
        if (i >= to && (line > from || j->line_start)) to = line;
    }
    return to > from ? lmi_j_named(j, LMI_N_TEXT, (uint32_t)from, lmi_jv_text(j->src + from, to - from, 0), NULL) : NULL;
}
static int lmi_j_raw(lmi_jinja *j, size_t at, lmi_jnode **text) { /* {% raw %} at `at`: its text, pos after {% endraw %}; 0: another tag */
    size_t i = lmi_j_skip_white(j->src, at, j->n_src), k = 0, end; char sign = 0;
    if (!lmi_j_at(j, i, "raw")) return 0;
    i = lmi_j_skip_white(j->src, i + 3, j->n_src);
    if (lmi_j_at(j, i, "-%}")) i = lmi_j_skip_white(j->src, i + 3, j->n_src); else if (lmi_j_at(j, i, "%}")) i += 2; else return 0;
    j->line_start = j->src[i - 1] == '\n';
    for (end = i; (end = lmi_j_find_end(j, end, "{%")) < j->n_src; end += 2) {
        k = end + 2; sign = k < j->n_src ? j->src[k] : 0;
        k = lmi_j_skip_white(j->src, k + (sign == '-' || sign == '+'), j->n_src);
        if (!lmi_j_at(j, k, "endraw")) continue;
        k = lmi_j_skip_white(j->src, k + 6, j->n_src);
        if (lmi_j_at(j, k, "%}") || lmi_j_at(j, k, "-%}") || lmi_j_at(j, k, "+%}")) break;
    }
    if (end >= j->n_src) { lmi_j_fail(j, LM_E_FORMAT, (uint32_t)at, "raw without endraw"); return 1; }
    *text = lmi_j_text(j, i, end, sign, 0);
    sign = j->src[k]; j->pos = k + 2 + (sign != '%');
    lmi_j_after(j, sign, 0);
    return 1;
}
static void lmi_j_comment(lmi_jinja *j, size_t at) { /* `at` after {# and its sign */
    size_t end = lmi_j_find_end(j, at, "#}"); char sign;
    if (end >= j->n_src) { lmi_j_fail(j, LM_E_FORMAT, (uint32_t)at, "a comment without its end"); return; }
    sign = end > at ? j->src[end - 1] : 0; j->pos = end + 2;
    lmi_j_after(j, sign, 0);
}
/* Text and tags up to one whose name is among `ends`, which is then the token; "": to the end of the template. */
static lmi_jnode *lmi_j_body(lmi_jinja *j, const char *ends) {
    lmi_jnode *list = NULL, **tail = &list, *n; size_t at, i, k; char kind, sign;
    if (!lmi_j_enter(j, (uint32_t)j->pos)) return NULL;
    while (!j->bad) {
        for (at = j->pos; at < j->n_src && !(j->src[at] == '{' && at + 1 < j->n_src && strchr("{%#", j->src[at + 1]) && j->src[at + 1]); at++) { }
        if (at == j->n_src) {
            if (*ends) { j->tok.kind = LMI_T_END; j->tok.at = (uint32_t)at; lmi_j_expected(j, ends); break; }
            if (at > j->pos) *tail = lmi_j_named(j, LMI_N_TEXT, (uint32_t)at, lmi_jv_text(j->src + j->pos, at - j->pos, 0), NULL);
            break;
        }
        kind = j->src[at + 1]; sign = at + 2 < j->n_src ? j->src[at + 2] : 0;
        if (sign != '-' && sign != '+') sign = 0;
        if ((n = lmi_j_text(j, j->pos, at, sign, kind == '{')) != NULL) { *tail = n; tail = &n->next; }
        j->pos = at + 2 + (sign != 0); n = NULL;
        if (kind == '#') { lmi_j_comment(j, j->pos); continue; }
        if (kind == '%' && lmi_j_raw(j, j->pos, &n)) { if (n) { *tail = n; tail = &n->next; } continue; }
        j->in_block = kind == '%'; j->open = 0;
        lmi_j_next(j);
        if (kind == '{') { n = lmi_j_node(j, LMI_N_OUT, (uint32_t)at, lmi_j_tuple(j, lmi_j_expr), NULL); lmi_j_close_tag(j); }
        else {
            for (i = 0; ends[i]; i += k + (ends[i + k] == ' ')) {
                for (k = 0; ends[i + k] && ends[i + k] != ' '; k++) { }
                if (j->tok.kind == LMI_T_NAME && j->tok.v.n == k && memcmp(ends + i, j->tok.v.u.p, k) == 0) { j->depth--; return list; }
            }
            n = lmi_j_statement(j);
        }
        *tail = n; tail = &n->next;
    }
    j->depth--;
    return list;
}

/* ---- evaluation */
static lmi_jval lmi_j_eval(lmi_jinja *j, const lmi_jnode *n);
static int lmi_j_run(lmi_jinja *j, const lmi_jnode *n); /* statements: 0, or LMI_N_BREAK or LMI_N_CONTINUE on the way out of a loop */
static lmi_jval lmi_j_call(lmi_jinja *j, const lmi_jfunc *f, lmi_jval self, const lmi_jargs *given);   /* functions */
enum { LMI_J_METHODS, LMI_J_FILTERS, LMI_J_TESTS };
static const lmi_jfunc *lmi_j_find_func(int table, lmi_str name, const lmi_jval *self); /* functions; NULL: none */
static lmi_jval lmi_j_type_error(lmi_jinja *j, const char *what, const lmi_jval *v) {
    if (v->kind == LMI_J_UNDEFINED && v->n) lmi_j_fail(j, LM_E_FORMAT, j->at, "%s: %S is undefined", what, lmi_jstr(v));
    else lmi_j_fail(j, LM_E_FORMAT, j->at, "%s: not for %s", what, lmi_jkind_names[v->kind]);
    return lmi_jv(LMI_J_NONE);
}
static lmi_jval lmi_j_lookup(lmi_jinja *j, const lmi_jval *name) {
    lmi_jscope *s; lmi_jval *v;
    for (s = j->scope; s; s = s->up) if ((v = lmi_j_find(j, &s->vars, name)) != NULL) return *v;
    return lmi_jv_undefined(lmi_jstr(name));
}
/* What a for goes through; keys of a dict, characters of a string. An iterator is used up by it. */
static lmi_jseq *lmi_j_iter(lmi_jinja *j, const lmi_jval *v, const char *what) {
    lmi_jseq *s; size_t i, k; uint32_t cp;
    if (lmi_j_is_list(v)) return v->u.seq;
    if ((s = lmi_j_seq(j)) == NULL) return NULL;
    if (v->kind == LMI_J_ITER) { *s = *v->u.seq; v->u.seq->n = v->u.seq->cap = 0; return s; }
    if (v->kind == LMI_J_DICT) for (i = 0; i < v->u.seq->n; i += 2) lmi_j_add(j, s, v->u.seq->v[i]);
    else if (v->kind == LMI_J_STR) for (i = 0; i < v->n && lmi_j_work(j, 1); i += k) {
        k = lmi_utf8((const uint8_t *)v->u.p + i, v->n - i, &cp);
        lmi_j_add(j, s, lmi_j_part(v, i, i + k));
    } else if (v->kind != LMI_J_UNDEFINED) lmi_j_type_error(j, what, v);
    return j->bad ? NULL : s;
}
static size_t lmi_j_count(const lmi_jval *s) { /* characters */
    size_t i, n = 0; uint32_t cp;
    for (i = 0; i < s->n; n++) i += lmi_utf8((const uint8_t *)s->u.p + i, s->n - i, &cp);
    return n;
}
static size_t lmi_j_offset(const lmi_jval *s, size_t k) { /* of character k */
    size_t i; uint32_t cp;
    for (i = 0; i < s->n && k > 0; k--) i += lmi_utf8((const uint8_t *)s->u.p + i, s->n - i, &cp);
    return i;
}
static lmi_jval lmi_j_loop_attr(const lmi_jloop *l, lmi_str name) {
    static const char *const names[] = { "index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0" };
    int64_t i = (int64_t)l->i, n = (int64_t)l->items->n, v[9]; int k;
    v[0] = i + 1; v[1] = i; v[2] = n - i; v[3] = n - i - 1; v[4] = i == 0; v[5] = i + 1 >= n; v[6] = n; v[7] = l->depth + 1; v[8] = l->depth;
    for (k = 0; k < 9; k++) if (lmi_str_is(name, names[k])) return k == 4 || k == 5 ? lmi_jv_bool((int)v[k]) : lmi_jv_int(v[k]);
    if (lmi_str_is(name, "previtem")) return i > 0 && i <= n ? l->items->v[i - 1] : lmi_jv_undefined(name);
    if (lmi_str_is(name, "nextitem")) return i + 1 < n ? l->items->v[i + 1] : lmi_jv_undefined(name);
    return lmi_jv_undefined(name);
}
static lmi_jval lmi_j_attr(lmi_jinja *j, const lmi_jval *v, const lmi_jval *name, int key_first) { /* v.name, v['name'] */
    lmi_jval *at = NULL, r; const lmi_jfunc *f;
    if (v->kind == LMI_J_UNDEFINED) return lmi_j_type_error(j, "attribute or item", v);
    if ((v->kind == LMI_J_DICT && key_first) || v->kind == LMI_J_SPACE) at = lmi_j_find(j, v->u.seq, name);
    if (at == NULL && (f = lmi_j_find_func(LMI_J_METHODS, lmi_jstr(name), v)) != NULL) {
        r = lmi_jv(LMI_J_METHOD); r.u.bound = (lmi_jbound *)lmi_j_new(j, sizeof *r.u.bound);
        if (r.u.bound == NULL) return lmi_jv(LMI_J_NONE);
        r.u.bound->func = f; r.u.bound->self = *v;
        return r;
    }
    if (v->kind == LMI_J_LOOP) return lmi_j_loop_attr(v->u.loop, lmi_jstr(name));
    if (v->kind == LMI_J_DICT && at == NULL) at = lmi_j_find(j, v->u.seq, name);
    return at ? *at : lmi_jv_undefined(lmi_jstr(name));
}
static lmi_jval lmi_j_item(lmi_jinja *j, const lmi_jval *v, const lmi_jval *key) { /* v[key] */
    int64_t i = key->u.i, n; size_t from; lmi_jval *at, none = lmi_jv(LMI_J_UNDEFINED); uint32_t cp;
    if (key->kind == LMI_J_STR || v->kind == LMI_J_UNDEFINED) return lmi_j_attr(j, v, key, 1);
    if (v->kind == LMI_J_DICT) return (at = lmi_j_find(j, v->u.seq, key)) != NULL ? *at : none;
    if (key->kind != LMI_J_INT && key->kind != LMI_J_BOOL) return none;
    if (v->kind == LMI_J_STR) {
        if (!lmi_j_work(j, v->n / 4)) return none;
        n = (int64_t)lmi_j_count(v); i += i < 0 ? n : 0;
        if (i < 0 || i >= n) return none;
        from = lmi_j_offset(v, (size_t)i);
        return lmi_j_part(v, from, from + lmi_utf8((const uint8_t *)v->u.p + from, v->n - from, &cp));
    }
    if (!lmi_j_is_list(v)) return none;
    n = (int64_t)v->u.seq->n; i += i < 0 ? n : 0;
    return i < 0 || i >= n ? none : v->u.seq->v[i];
}
static lmi_jval lmi_j_slice(lmi_jinja *j, const lmi_jval *v, const lmi_jnode *n) { /* v[a:b:c], indices clipped as Python does */
    lmi_jval bound[3]; const lmi_jnode *part[3]; int64_t k[3], i, len; lmi_jseq *s, *from; size_t out = j->n_out;
    part[0] = n->a; part[1] = n->b; part[2] = n->c;
    for (i = 0; i < 3; i++) {
        bound[i] = part[i] ? lmi_j_eval(j, part[i]) : lmi_jv(LMI_J_NONE);
        if (bound[i].kind != LMI_J_NONE && bound[i].kind != LMI_J_INT && bound[i].kind != LMI_J_BOOL) return lmi_j_type_error(j, "slice", &bound[i]);
    }
    if (v->kind != LMI_J_STR && !lmi_j_is_list(v)) return v->kind == LMI_J_UNDEFINED ? lmi_j_type_error(j, "slice", v) : lmi_jv(LMI_J_UNDEFINED);
    if (v->kind == LMI_J_STR && !lmi_j_work(j, v->n / 4)) return *v;
    len = (int64_t)(v->kind == LMI_J_STR ? lmi_j_count(v) : v->u.seq->n);
    k[2] = bound[2].kind == LMI_J_NONE ? 1 : bound[2].u.i;
    if (k[2] == 0) { lmi_j_fail(j, LM_E_FORMAT, n->at, "slice: the step is 0"); return *v; }
    for (i = 0; i < 2; i++) { /* into [0, len], backwards [-1, len - 1] */
        k[i] = bound[i].kind == LMI_J_NONE ? ((i == 0) == (k[2] > 0) ? 0 : len) : bound[i].u.i;
        if (k[i] < 0) k[i] = LMI_MAX(k[i] + len, k[2] < 0 ? -1 : 0);
        k[i] = LMI_MIN(k[i], k[2] < 0 ? len - 1 : len);
        if (bound[i].kind == LMI_J_NONE && k[2] < 0 && i == 1) k[i] = -1;
    }
    if (v->kind == LMI_J_STR && k[2] == 1) return k[0] >= k[1] ? lmi_jv_cstr("")
        : lmi_j_part(v, lmi_j_offset(v, (size_t)k[0]), lmi_j_offset(v, (size_t)k[1]));
    if ((from = lmi_j_iter(j, v, "slice")) == NULL || (s = lmi_j_seq(j)) == NULL) return *v;
    for (i = k[0]; (k[2] > 0 ? i < k[1] : i > k[1]) && lmi_j_work(j, 1); ) {
        if (v->kind == LMI_J_STR) lmi_j_put(j, from->v[i].u.p, from->v[i].n, from->v[i].mark); else lmi_j_add(j, s, from->v[i]);
        if (k[2] > 0 ? k[2] >= len - i : k[2] <= -1 - i) break; /* no overflow */
        i += k[2];
    }
    return v->kind == LMI_J_STR ? lmi_j_taken(j, out) : lmi_jv_seq((lmi_jkind)v->kind, s);
}
static lmi_jval lmi_j_escaped(lmi_jinja *j, lmi_jval v) { /* as markupsafe.escape */
    size_t i, out = j->n_out; const char *e; char c;
    if (v.safe) return v;
    v = lmi_j_str(j, v);
    for (i = 0; i < v.n && !j->bad; i++) {
        c = v.u.p[i];
        e = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&#34;" : c == '\'' ? "&#39;" : NULL;
        if (e) lmi_j_put(j, e, strlen(e), lmi_j_mark(&v, i) ? SIZE_MAX : 0); else lmi_j_put(j, v.u.p + i, 1, v.mark);
    }
    v = lmi_j_taken(j, out); v.safe = 1;
    return v;
}
static lmi_jval lmi_j_overflow(lmi_jinja *j) { lmi_j_fail(j, LM_E_SUPPORT, j->at, "an integer beyond 64 bits"); return lmi_jv_int(0); }
static lmi_jval lmi_j_int_arith(lmi_jinja *j, uint32_t op, int64_t a, int64_t b) {
    int64_t r; uint64_t ua = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, ub = b < 0 ? 0 - (uint64_t)b : (uint64_t)b, p;
    if (op == '+') return (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b) ? lmi_j_overflow(j) : lmi_jv_int(a + b);
    if (op == '-') return (b < 0 ? a > INT64_MAX + b : a < INT64_MIN + b) ? lmi_j_overflow(j) : lmi_jv_int(a - b);
    if (op == '*') {
        if (!lmi_mul(ua, ub, &p) || p > INT64_MAX) return lmi_j_overflow(j);
        return lmi_jv_int((a < 0) != (b < 0) ? -(int64_t)p : (int64_t)p);
    }
    if (op == LMI_J2('*', '*')) {
        for (r = 1; b > 0 && !j->bad && !(ua <= 1 && b > 2); b--) r = lmi_j_int_arith(j, '*', r, a).u.i; /* at most 63 rounds */
        return lmi_jv_int(b > 2 ? (ua == 0 ? 0 : b % 2 ? a : 1) : r);
    }
    if (b == 0) { lmi_j_fail(j, LM_E_FORMAT, j->at, "division by zero"); return lmi_jv_int(0); }
    if (op == '/') return lmi_jv_float((double)a / (double)b);
    if (b == -1) return op == '%' ? lmi_jv_int(0) : lmi_j_int_arith(j, '-', 0, a);
    r = a % b;
    if (r != 0 && (r < 0) != (b < 0)) r += b;               /* rounds towards minus infinity */
    return lmi_jv_int(op == '%' ? r : (a - r) / b);
}
static lmi_jval lmi_j_arith(lmi_jinja *j, uint32_t op, const lmi_jval *a, const lmi_jval *b) { /* of numbers */
    double x = lmi_j_f64(a), y = lmi_j_f64(b), r;
    if (op == LMI_J2('*', '*') && (b->kind == LMI_J_FLOAT || b->u.i < 0 || a->kind == LMI_J_FLOAT)) {
        lmi_j_fail(j, LM_E_SUPPORT, j->at, "powers are built in for integers from 0 on");
        return *a;
    }
    if (a->kind != LMI_J_FLOAT && b->kind != LMI_J_FLOAT) return lmi_j_int_arith(j, op, a->u.i, b->u.i);
    if (op == '+') return lmi_jv_float(x + y);
    if (op == '-') return lmi_jv_float(x - y);
    if (op == '*') return lmi_jv_float(x * y);
    if (y == 0) { lmi_j_fail(j, LM_E_FORMAT, j->at, "division by zero"); return *a; }
    if (op == '/') return lmi_jv_float(x / y);
    r = fmod(x, y);
    if (r != 0 && (r < 0) != (y < 0)) r += y;
    return lmi_jv_float(op == '%' ? r : floor((x - r) / y + 0.5));
}
static lmi_jval lmi_j_repeat(lmi_jinja *j, const lmi_jval *v, int64_t times) {
    size_t i, out = j->n_out, n = v->kind == LMI_J_STR ? v->n : v->u.seq->n; lmi_jseq *s; uint64_t all;
    if (times < 0 || n == 0) times = 0;
    if (!lmi_mul((uint64_t)times, n, &all)) all = UINT64_MAX;
    if (v->kind == LMI_J_STR ? !lmi_j_room(j, (size_t)LMI_MIN(all, (uint64_t)j->max_held)) : !lmi_j_work(j, all)) return *v;
    if (v->kind == LMI_J_STR && all > 0) { /* once, then doubled: the room stays where it is */
        lmi_j_put(j, v->u.p, v->n, v->mark);
        while (j->n_out - out < all && !j->bad) lmi_j_put(j, j->out + out, LMI_MIN(j->n_out - out, (size_t)all - (j->n_out - out)), j->cap_out);
    }
    if (v->kind == LMI_J_STR) return lmi_j_taken(j, out);
    for (s = lmi_j_seq(j); times > 0 && !j->bad; times--) for (i = 0; i < n; i++) lmi_j_add(j, s, v->u.seq->v[i]);
    return lmi_jv_seq((lmi_jkind)v->kind, s);
}
static lmi_jval lmi_j_format(lmi_jinja *j, const lmi_jval *f, const lmi_jval *v, size_t n);
static lmi_jval lmi_j_binary(lmi_jinja *j, uint32_t op, lmi_jval a, lmi_jval b) {
    size_t i; lmi_jseq *s;
    if (lmi_j_is_num(&a) && lmi_j_is_num(&b)) return lmi_j_arith(j, op, &a, &b);
    if (op == '+' && lmi_j_is_list(&a) && a.kind == b.kind) {
        if (!lmi_j_work(j, a.u.seq->n + b.u.seq->n)) return a;
        for (s = lmi_j_seq(j), i = 0; i < a.u.seq->n; i++) lmi_j_add(j, s, a.u.seq->v[i]);
        for (i = 0; i < b.u.seq->n; i++) lmi_j_add(j, s, b.u.seq->v[i]);
        return lmi_jv_seq((lmi_jkind)a.kind, s);
    }
    if (op == '*' && (a.kind == LMI_J_INT || a.kind == LMI_J_BOOL)) { lmi_jval t = a; a = b; b = t; }
    if (op == '*' && (a.kind == LMI_J_STR || lmi_j_is_list(&a)) && (b.kind == LMI_J_INT || b.kind == LMI_J_BOOL)) return lmi_j_repeat(j, &a, b.u.i);
    if (op == '%' && a.kind == LMI_J_STR) return b.kind == LMI_J_TUPLE ? lmi_j_format(j, &a, b.u.seq->v, b.u.seq->n) : lmi_j_format(j, &a, &b, 1);
    if (a.kind != LMI_J_UNDEFINED && b.kind != LMI_J_UNDEFINED)
        lmi_j_fail(j, LM_E_FORMAT, j->at, "an operator between %s and %s", lmi_jkind_names[a.kind], lmi_jkind_names[b.kind]);
    return lmi_j_type_error(j, "operator", a.kind == LMI_J_UNDEFINED ? &a : &b);
}
/* a + b + c ...: strings grow in the text under way, so that a chain costs its length once. */
static lmi_jval lmi_j_sum(lmi_jinja *j, const lmi_jnode *n) {
    lmi_jval v = lmi_j_eval(j, n->a), b; const lmi_jnode *k; size_t out = 0; int growing = 0;
    for (k = n->a->next; k && !j->bad; k = k->next) {
        b = lmi_j_eval(j, k); j->at = n->at;
        if (v.kind == LMI_J_STR && b.kind == LMI_J_STR && k->op == '+' && !v.safe && !b.safe) {
            if (!growing) { out = j->n_out; lmi_j_put(j, v.u.p, v.n, v.mark); }
            growing = 1; lmi_j_put(j, b.u.p, b.n, b.mark);
            continue;
        }
        if (growing) { v = lmi_j_taken(j, out); growing = 0; }
        if (v.kind == LMI_J_STR && b.kind == LMI_J_STR && k->op == '+') {
            v = lmi_j_escaped(j, v); b = lmi_j_escaped(j, b); out = j->n_out;
            lmi_j_put(j, v.u.p, v.n, v.mark); lmi_j_put(j, b.u.p, b.n, b.mark);
            v = lmi_j_taken(j, out); v.safe = 1;
        } else v = lmi_j_binary(j, k->op, v, b);
    }
    return growing ? lmi_j_taken(j, out) : v;
}
static const char *lmi_j_search(lmi_jinja *j, const char *p, size_t n, const lmi_jval *what) { /* the first place in p[0..n), or NULL */
    const char *end = p + n, *q;
    if (what->n == 0) return p;
    if (p == NULL || !lmi_j_work(j, n / 64)) return NULL;
    for (; (size_t)(end - p) >= what->n && (q = (const char *)memchr(p, what->u.p[0], (size_t)(end - p) - what->n + 1)) != NULL; p = q + 1) {
        if (!lmi_j_work(j, what->n / 64)) return NULL;
        if (memcmp(q, what->u.p, what->n) == 0) return q;
    }
    return NULL;
}
static int lmi_j_in(lmi_jinja *j, const lmi_jval *x, const lmi_jval *v) { /* x in v */
    lmi_jseq *s; size_t i;
    if (v->kind == LMI_J_DICT) return lmi_j_find(j, v->u.seq, x) != NULL;
    if (v->kind == LMI_J_STR) {
        if (x->kind != LMI_J_STR) { lmi_j_type_error(j, "in a string", x); return 0; }
        return lmi_j_search(j, v->u.p, v->n, x) != NULL;
    }
    s = lmi_j_iter(j, v, "in");
    for (i = 0; s && i < s->n && lmi_j_work(j, 1); i++) if (lmi_j_order(j, &s->v[i], x) == 0) return 1;
    return 0;
}
static int lmi_j_compare(lmi_jinja *j, uint32_t op, const lmi_jval *a, const lmi_jval *b) {
    int r;
    if (op == 'i' || op == 'n') return lmi_j_in(j, a, b) == (op == 'i');
    r = lmi_j_order(j, a, b);
    if (op == LMI_J2('=', '=')) return r == 0;
    if (op == LMI_J2('!', '=')) return r != 0;
    if (!(lmi_j_is_num(a) && lmi_j_is_num(b)) && (a->kind != b->kind || (a->kind != LMI_J_STR && !lmi_j_is_list(a)))) {
        lmi_j_fail(j, LM_E_FORMAT, j->at, "%s and %s have no order", lmi_jkind_names[a->kind], lmi_jkind_names[b->kind]);
        return 0;
    }
    if (r == 2 && lmi_j_is_list(a)) lmi_j_fail(j, LM_E_FORMAT, j->at, "the items have no order");
    return r == 2 ? 0 : op == '<' ? r < 0 : op == '>' ? r > 0 : op == LMI_J2('<', '=') ? r <= 0 : r >= 0;
}
static lmi_jval lmi_j_chain(lmi_jinja *j, const lmi_jnode *n) { /* a < b < c: each pair, b evaluated once */
    lmi_jval a = lmi_j_eval(j, n->a), b; const lmi_jnode *k; int ok = 1;
    for (k = n->a->next; k && ok && !j->bad; k = k->next, a = b) { b = lmi_j_eval(j, k); j->at = n->at; ok = lmi_j_compare(j, k->op, &a, &b); }
    return lmi_jv_bool(ok);
}

/* ---- calls */
static void lmi_j_args(lmi_jinja *j, const lmi_jnode *list, size_t more, lmi_jargs *a) { /* values of a call's arguments, and room for `more` */
    const lmi_jnode *k; size_t n = more;
    memset(a, 0, sizeof *a);
    for (k = list; k; k = k->next) n++;
    if (n == 0) return;
    a->v = (lmi_jval *)lmi_j_new(j, (uint64_t)n * sizeof *a->v); a->key = (lmi_str *)lmi_j_new(j, (uint64_t)n * sizeof *a->key);
    for (k = list; k && !j->bad; k = k->next) {
        if (k->kind == LMI_N_KEYWORD) a->key[a->n] = lmi_jstr(&k->v);
        else if (a->n && a->key[a->n - 1].p) lmi_j_fail(j, LM_E_FORMAT, k->at, "an argument without a name after one with a name");
        a->v[a->n++] = lmi_j_eval(j, k->kind == LMI_N_KEYWORD ? k->a : k);
    }
}
static lmi_jval lmi_j_call_macro(lmi_jinja *j, const lmi_jmacro *m, const lmi_jargs *a) {
    lmi_jscope *was = j->scope, *s = (lmi_jscope *)lmi_j_new(j, sizeof *s); const lmi_jnode *p; size_t i = 0, k, used = 0, out = j->n_out;
    lmi_jval *v, text;
    if (s == NULL) return lmi_jv(LMI_J_NONE);
    s->up = m->scope; j->scope = s;
    for (p = m->params; p && !j->bad; p = p->next, i++) {
        v = i < a->n && a->key[i].p == NULL ? &a->v[i] : NULL;
        for (k = 0; v == NULL && k < a->n; k++) if (a->key[k].p && lmi_str_eq(a->key[k], lmi_jstr(&p->v))) v = &a->v[k];
        used += v != NULL;
        lmi_j_set(j, &s->vars, p->v, v ? *v : p->a ? lmi_j_eval(j, p->a) : lmi_jv_undefined(lmi_jstr(&p->v)));
    }
    for (k = 0; k < a->n && !j->bad; k++) if (a->key[k].p && lmi_str_is(a->key[k], "caller")) { lmi_j_define(j, "caller", a->v[k]); used++; }
    if (used < a->n) lmi_j_fail(j, LM_E_FORMAT, j->at, "the macro %S has no parameters for all these arguments", lmi_jstr(&m->node->v));
    lmi_j_run(j, m->body);
    text = lmi_j_taken(j, out); j->scope = was;
    return text;
}
static lmi_jval lmi_j_run_for(lmi_jinja *j, const lmi_jnode *n, const lmi_jval *over, int depth);
static lmi_jval lmi_j_call_value(lmi_jinja *j, const lmi_jval *f, lmi_jargs *a, uint32_t at) {
    lmi_jval v = lmi_jv(LMI_J_NONE); size_t out = j->n_out;
    if (!lmi_j_enter(j, at)) return v;
    j->at = at;
    if (f->kind == LMI_J_MACRO) v = lmi_j_call_macro(j, f->u.macro, a);
    else if (f->kind == LMI_J_METHOD) v = lmi_j_call(j, f->u.bound->func, f->u.bound->self, a);
    else if (f->kind == LMI_J_FUNC) v = lmi_j_call(j, f->u.func, v, a);
    else if (f->kind == LMI_J_LOOP && f->u.loop->node->op && a->n == 1) {
        lmi_jscope *was = j->scope;
        lmi_j_run_for(j, f->u.loop->node, &a->v[0], f->u.loop->depth + 1);
        v = lmi_j_taken(j, out); j->scope = was;
    } else lmi_j_type_error(j, "call", f);
    j->depth--;
    return v;
}
static lmi_jval lmi_j_eval_call(lmi_jinja *j, const lmi_jnode *n, const lmi_jval *caller) {
    lmi_jval f = lmi_j_eval(j, n->a); lmi_jargs a;
    lmi_j_args(j, n->b, 1, &a);
    if (caller && !j->bad) { a.v[a.n] = *caller; a.key[a.n++] = lmi_cstr("caller"); }
    return lmi_j_call_value(j, &f, &a, n->at);
}
static lmi_jval lmi_j_apply(lmi_jinja *j, int table, lmi_str name, lmi_jval v, const lmi_jargs *a, uint32_t at) { /* filter or test by name */
    const lmi_jfunc *f = lmi_j_find_func(table, name, NULL);
    j->at = at;
    if (f == NULL) lmi_j_fail(j, LM_E_SUPPORT, at, "the %s %S is not built in", table == LMI_J_FILTERS ? "filter" : "test", name);
    return f == NULL ? v : lmi_j_call(j, f, v, a);
}
static lmi_jval lmi_j_eval_filter(lmi_jinja *j, const lmi_jnode *n, const lmi_jval *bottom) { /* bottom: what a block's filters start from */
    lmi_jval v = n->a == NULL ? *bottom : n->a->kind == LMI_N_FILTER ? lmi_j_eval_filter(j, n->a, bottom) : lmi_j_eval(j, n->a); lmi_jargs a;
    if (j->bad) return v;
    lmi_j_args(j, n->b, 0, &a);
    return j->bad ? v : lmi_j_apply(j, LMI_J_FILTERS, lmi_jstr(&n->v), v, &a, n->at);
}
static lmi_jval lmi_j_eval_test(lmi_jinja *j, const lmi_jnode *n) {
    lmi_jval v = lmi_j_eval(j, n->a); lmi_jargs a;
    lmi_j_args(j, n->b, 0, &a);
    return j->bad ? v : lmi_j_apply(j, LMI_J_TESTS, lmi_jstr(&n->v), v, &a, n->at);
}

static lmi_jval lmi_j_eval_list(lmi_jinja *j, const lmi_jnode *n) {
    lmi_jseq *s = lmi_j_seq(j); const lmi_jnode *k; lmi_jval key;
    for (k = n->a; k && !j->bad; k = k->next) {
        if (n->kind != LMI_N_DICT) { lmi_j_add(j, s, lmi_j_eval(j, k)); continue; }
        key = lmi_j_eval(j, k); k = k->next;
        lmi_j_set(j, s, key, lmi_j_eval(j, k));
    }
    return lmi_jv_seq(n->kind == LMI_N_LIST ? LMI_J_LIST : n->kind == LMI_N_TUPLE ? LMI_J_TUPLE : LMI_J_DICT, s);
}
static lmi_jval lmi_j_eval_chain(lmi_jinja *j, const lmi_jnode *n) { /* or, and, ~, products, powers */
    lmi_jval v = lmi_j_eval(j, n->a), b; const lmi_jnode *k; size_t out = j->n_out;
    if (n->kind == LMI_N_CONCAT) lmi_j_repr(j, &v, 0);
    for (k = n->a->next; k && !j->bad; k = k->next) {
        if (n->kind == LMI_N_OR || n->kind == LMI_N_AND) { if (lmi_j_truth(&v) == (n->kind == LMI_N_OR)) break; v = lmi_j_eval(j, k); continue; }
        b = lmi_j_eval(j, k); j->at = n->at;
        if (n->kind == LMI_N_CONCAT) lmi_j_repr(j, &b, 0); else v = lmi_j_binary(j, k->op, v, b);
    }
    return n->kind == LMI_N_CONCAT ? lmi_j_taken(j, out) : v;
}
static lmi_jval lmi_j_eval_in(lmi_jinja *j, const lmi_jnode *n) {
    lmi_jval v, k;
    switch (n->kind) {
        case LMI_N_CONST: return n->v;
        case LMI_N_NAME: return lmi_j_lookup(j, &n->v);
        case LMI_N_LIST: case LMI_N_TUPLE: case LMI_N_DICT: return lmi_j_eval_list(j, n);
        case LMI_N_ATTR: v = lmi_j_eval(j, n->a); j->at = n->at; return j->bad ? v : lmi_j_attr(j, &v, &n->v, 0);
        case LMI_N_ITEM:
            v = lmi_j_eval(j, n->a);
            if (n->b->kind == LMI_N_SLICE) { j->at = n->at; return j->bad ? v : lmi_j_slice(j, &v, n->b); }
            k = lmi_j_eval(j, n->b); j->at = n->at;
            return j->bad ? v : lmi_j_item(j, &v, &k);
        case LMI_N_CALL: return lmi_j_eval_call(j, n, NULL);
        case LMI_N_FILTER: return lmi_j_eval_filter(j, n, NULL);
        case LMI_N_TEST: return lmi_j_eval_test(j, n);
        case LMI_N_NOT: v = lmi_j_eval(j, n->a); return lmi_jv_bool(!lmi_j_truth(&v));
        case LMI_N_SIGN:
            v = lmi_j_eval(j, n->a); j->at = n->at; k = lmi_jv_int(0);
            if (v.kind == LMI_J_FLOAT) { if (n->v.u.i) v.u.f = -v.u.f; return v; }
            return lmi_j_binary(j, n->v.u.i ? '-' : '+', k, v);
        case LMI_N_COMPARE: return lmi_j_chain(j, n);
        case LMI_N_SUM: return lmi_j_sum(j, n);
        case LMI_N_COND: v = lmi_j_eval(j, n->b); return lmi_j_truth(&v) ? lmi_j_eval(j, n->a) : n->c ? lmi_j_eval(j, n->c) : lmi_jv(LMI_J_UNDEFINED);
        default: return lmi_j_eval_chain(j, n);
    }
}
static lmi_jval lmi_j_eval(lmi_jinja *j, const lmi_jnode *n) {
    lmi_jval v = lmi_jv(LMI_J_NONE);
    if (!lmi_j_enter(j, n->at)) return v;
    j->at = n->at;
    v = lmi_j_eval_in(j, n);
    j->depth--;
    return j->bad ? lmi_jv(LMI_J_NONE) : v;
}

/* ---- statements */
static void lmi_j_assign(lmi_jinja *j, const lmi_jnode *to, lmi_jval v) {
    lmi_jval space; lmi_jseq *s; const lmi_jnode *k; size_t i = 0;
    if (to->kind == LMI_N_NAME) { lmi_j_set(j, &j->scope->vars, to->v, v); return; }
    j->at = to->at;
    if (to->kind == LMI_N_ATTR) {
        space = lmi_j_lookup(j, &to->a->v);
        if (space.kind != LMI_J_SPACE) lmi_j_fail(j, LM_E_FORMAT, to->at, "%S is no namespace", lmi_jstr(&to->a->v));
            else lmi_j_set(j, space.u.seq, to->v, v);
        return;
    }
    s = lmi_j_iter(j, &v, "unpacking");
    for (k = to->a; k && s && i < s->n; k = k->next) lmi_j_assign(j, k, s->v[i++]);
    if (s && !j->bad && (k || i < s->n)) lmi_j_fail(j, LM_E_FORMAT, to->at, "%u values for another number of names", (uint64_t)s->n);
}
/* One loop. A body's names are gone with each round. The items are looked up anew each time: the body may change the list. */
static lmi_jval lmi_j_run_for(lmi_jinja *j, const lmi_jnode *n, const lmi_jval *over, int depth) {
    lmi_jscope *was = j->scope, *s; lmi_jloop *l; lmi_jval loop = lmi_jv(LMI_J_LOOP), none = lmi_jv(LMI_J_NONE); lmi_jseq *items, *kept; size_t i;
    int how = 0;
    j->at = n->at;
    s = (lmi_jscope *)lmi_j_new(j, sizeof *s); l = (lmi_jloop *)lmi_j_new(j, sizeof *l); items = lmi_j_iter(j, over, "for");
    if (j->bad) return none;
    s->up = was; j->scope = s;
    for (kept = n->e ? lmi_j_seq(j) : NULL, i = 0; n->e && i < items->n && lmi_j_work(j, 1); i++) {
        s->vars.n = 0; lmi_j_assign(j, n->a, items->v[i]);
        { lmi_jval ok = lmi_j_eval(j, n->e); if (lmi_j_truth(&ok)) lmi_j_add(j, kept, items->v[i]); }
    }
    if (n->e) items = kept;
    l->node = n; l->items = items; l->depth = depth; loop.u.loop = l;
    for (; !j->bad && l->i < items->n && how != LMI_N_BREAK && lmi_j_work(j, 1); l->i++) {
        s->vars.n = 0;
        lmi_j_define(j, "loop", loop); lmi_j_assign(j, n->a, items->v[l->i]);
        how = lmi_j_run(j, n->c);
    }
    s->vars.n = 0;
    if (!j->bad && l->i == 0) lmi_j_run(j, n->d);
    j->scope = was;
    return none;
}
static lmi_jval lmi_j_captured(lmi_jinja *j, const lmi_jnode *body) { /* the text of a body with names of its own */
    size_t out = j->n_out; lmi_jscope *was = j->scope, *s = (lmi_jscope *)lmi_j_new(j, sizeof *s);
    if (s == NULL) return lmi_jv_cstr("");
    s->up = was; j->scope = s;
    lmi_j_run(j, body);
    j->scope = was;
    return lmi_j_taken(j, out);
}
static lmi_jval lmi_jv_macro(lmi_jinja *j, const lmi_jnode *n) {
    lmi_jval v = lmi_jv(LMI_J_MACRO);
    v.u.macro = (lmi_jmacro *)lmi_j_new(j, sizeof *v.u.macro);
    if (v.u.macro) { v.u.macro->node = n; v.u.macro->params = n->a; v.u.macro->body = n->c; v.u.macro->scope = j->scope; }
    return v;
}
static int lmi_j_run_one(lmi_jinja *j, const lmi_jnode *n) {
    lmi_jval v;
    switch (n->kind) {
        case LMI_N_TEXT: lmi_j_put(j, n->v.u.p, n->v.n, n->v.mark); return 0;
        case LMI_N_OUT: v = lmi_j_eval(j, n->a); j->at = n->at; lmi_j_repr(j, &v, 0); return 0;
        case LMI_N_IF:
            for (; ; n = n->c) {
                v = lmi_j_eval(j, n->a);
                if (j->bad) return 0;
                if (lmi_j_truth(&v)) return lmi_j_run(j, n->b);
                if (!n->op) return lmi_j_run(j, n->c);
            }
        case LMI_N_FOR: v = lmi_j_eval(j, n->b); if (!j->bad) lmi_j_run_for(j, n, &v, 0); return 0;
        case LMI_N_SET: v = lmi_j_eval(j, n->b); if (!j->bad) lmi_j_assign(j, n->a, v); return 0;
        case LMI_N_SET_BLOCK: case LMI_N_FILTER_BLOCK:
            v = lmi_j_captured(j, n->c);
            if (n->b && !j->bad) v = lmi_j_eval_filter(j, n->b, &v);
            if (n->kind == LMI_N_SET_BLOCK) lmi_j_assign(j, n->a, v); else lmi_j_repr(j, &v, 0);
            return 0;
        case LMI_N_MACRO: lmi_j_set(j, &j->scope->vars, n->v, lmi_jv_macro(j, n)); return 0;
        case LMI_N_CALL_BLOCK: {
            lmi_jval caller = lmi_jv_macro(j, n);
            v = lmi_j_eval_call(j, n->b, &caller); lmi_j_repr(j, &v, 0);
            return 0;
        }
        case LMI_N_PLAIN_BLOCK: v = lmi_j_captured(j, n->c); lmi_j_repr(j, &v, 0); return 0;
        default: return n->kind;                            /* break, continue */
    }
}
static int lmi_j_run(lmi_jinja *j, const lmi_jnode *n) {
    int how = 0;
    if (n == NULL || !lmi_j_enter(j, n->at)) return 0;
    for (; n && how == 0 && lmi_j_work(j, 1); n = n->next) how = lmi_j_run_one(j, n);
    j->depth--;
    return how;
}

/* ---- functions: one table each for methods, filters, tests and globals; a row is a name, its parameters, a function, and what varies it.
 * Letters change case only in ASCII. */
typedef const lmi_jargs *lmi_ja;
static int lmi_j_has(lmi_ja a, size_t i) { return a->v[i].kind != LMI_J_ABSENT; }
static lmi_jval lmi_j_bad_arg(lmi_jinja *j, lmi_ja a, const lmi_jval *v) { return lmi_j_type_error(j, a->name, v); }
static int lmi_j_want_text(lmi_jinja *j, lmi_ja a, size_t i) { if (a->v[i].kind != LMI_J_STR) lmi_j_bad_arg(j, a, &a->v[i]); return !j->bad; }
static int64_t lmi_j_int_arg(lmi_jinja *j, lmi_ja a, size_t i, int64_t dflt) {
    if (!lmi_j_has(a, i) || a->v[i].kind == LMI_J_NONE) return dflt;
    if (a->v[i].kind != LMI_J_INT && a->v[i].kind != LMI_J_BOOL) { lmi_j_bad_arg(j, a, &a->v[i]); return dflt; }
    return a->v[i].u.i;
}
static char lmi_j_fold(char c, int up) { return (char)(up ? (c >= 'a' && c <= 'z' ? c - 32 : c) : (c >= 'A' && c <= 'Z' ? c + 32 : c)); }
static lmi_jval lmi_j_recase(lmi_jinja *j, lmi_jval v, int how) { /* 0 lower, 1 upper, 2 capitalize, 3 title */
    size_t i, out = j->n_out; int up = how > 0; uint8_t safe = v.safe;
    v = lmi_j_str(j, v);
    for (i = 0; i < v.n && !j->bad; i++) {
        char c = lmi_j_fold(v.u.p[i], up);
        lmi_j_putc(j, c, lmi_j_mark(&v, i));
        up = how == 1 || (how == 3 && !lmi_j_letter(c) && c != '\'' && !(c >= '0' && c <= '9'));
    }
    v = lmi_j_taken(j, out); v.safe = safe;
    return v;
}
static lmi_jval lmi_j_f_recase(lmi_jinja *j, lmi_ja a) { return lmi_j_recase(j, a->self, a->x); }
static lmi_jval lmi_j_f_strip(lmi_jinja *j, lmi_ja a) { /* x: 1 left, 2 right */
    lmi_jval v = lmi_j_str(j, a->self), c; size_t from = 0, to = v.n, k; uint32_t cp; int white = !lmi_j_has(a, 0) || a->v[0].kind == LMI_J_NONE;
    if (!white && !lmi_j_want_text(j, a, 0)) return v;
    if (white) {
        if (a->x & 1) from = lmi_j_skip_white(v.u.p, 0, to);
        if (a->x & 2) to = lmi_j_trim_white(v.u.p, from, to);
        return lmi_j_part(&v, from, to);
    }
    for (; (a->x & 1) && from < to && !j->bad; from += k) {
        k = lmi_utf8((const uint8_t *)v.u.p + from, to - from, &cp); c = lmi_j_part(&v, from, from + k);
        if (lmi_j_search(j, a->v[0].u.p, a->v[0].n, &c) == NULL || !lmi_j_work(j, 2)) break;
    }
    for (; (a->x & 2) && to > from && !j->bad; to -= k) {
        k = lmi_utf8_back((const uint8_t *)v.u.p + from, to - from); c = lmi_j_part(&v, to - k, to);
        if (lmi_j_search(j, a->v[0].u.p, a->v[0].n, &c) == NULL || !lmi_j_work(j, 2)) break;
    }
    return lmi_j_part(&v, from, to);
}
static lmi_jval lmi_j_split_white(lmi_jinja *j, const lmi_jval *v, int64_t most) {
    lmi_jseq *s = lmi_j_seq(j); size_t at = lmi_j_skip_white(v->u.p, 0, v->n), end; uint32_t cp;
    if (!lmi_j_work(j, v->n / 4)) at = v->n;
    while (at < v->n && lmi_j_work(j, 1)) {
        for (end = at; end < v->n && lmi_j_skip_white(v->u.p, end, v->n) == end; ) end += lmi_utf8((const uint8_t *)v->u.p + end, v->n - end, &cp);
        if (most == 0) end = lmi_j_trim_white(v->u.p, at, v->n); else most--;
        lmi_j_add(j, s, lmi_j_part(v, at, end));
        at = lmi_j_skip_white(v->u.p, end, v->n);
    }
    return lmi_jv_seq(LMI_J_LIST, s);
}
static lmi_jval lmi_j_f_split(lmi_jinja *j, lmi_ja a) { /* x 1: from the right */
    const lmi_jval *v = &a->self, *by = &a->v[0]; lmi_jseq *s; const char *q, *p = v->u.p, *end = p + v->n;
    int64_t most = lmi_j_int_arg(j, a, 1, -1), n = 0, i;
    if (!lmi_j_has(a, 0) || by->kind == LMI_J_NONE) {
        if (a->x && most >= 0) lmi_j_fail(j, LM_E_SUPPORT, j->at, "rsplit at white space with a count is not built in");
        return lmi_j_split_white(j, v, most);
    }
    if (!lmi_j_want_text(j, a, 0)) return *v;
    if (by->n == 0) { lmi_j_fail(j, LM_E_FORMAT, j->at, "split: an empty separator"); return *v; }
    if (a->x && most >= 0) { /* right to left: what is left of the last `most` separators stays together */
        for (q = p; (q = lmi_j_search(j, q, (size_t)(end - q), by)) != NULL; q += by->n) n++;
        n = LMI_MAX(n - most, 0); most = -1;
    }
    for (s = lmi_j_seq(j), q = p, i = 0; !j->bad && most != 0 && (q = lmi_j_search(j, q, (size_t)(end - q), by)) != NULL && lmi_j_work(j, 1); ) {
        if (i++ < n) { q += by->n; continue; }
        lmi_j_add(j, s, lmi_j_part(v, (size_t)(p - v->u.p), (size_t)(q - v->u.p)));
        p = q = q + by->n; most--;
    }
    lmi_j_add(j, s, lmi_j_part(v, (size_t)(p - v->u.p), v->n));
    return lmi_jv_seq(LMI_J_LIST, s);
}
static lmi_jval lmi_j_f_splitlines(lmi_jinja *j, lmi_ja a) {
    const lmi_jval *v = &a->self; lmi_jseq *s = lmi_j_seq(j); size_t at, end;
    for (at = 0; at < v->n && lmi_j_work(j, 1); at = end + 1) {
        for (end = at; end < v->n && v->u.p[end] != '\n' && v->u.p[end] != '\r'; end++) { }
        lmi_j_add(j, s, lmi_j_part(v, at, end));
        if (end + 1 < v->n && v->u.p[end] == '\r' && v->u.p[end + 1] == '\n') end++;
    }
    return lmi_jv_seq(LMI_J_LIST, s);
}
static lmi_jval lmi_j_f_replace(lmi_jinja *j, lmi_ja a) {
    lmi_jval v = lmi_j_str(j, a->self), from = lmi_j_str(j, a->v[0]), to = lmi_j_str(j, a->v[1]); size_t out = j->n_out, at = 0, i; const char *q;
    int64_t most = lmi_j_int_arg(j, a, 2, -1); uint32_t cp;
    if (from.n == 0) { /* Python: before each character and at the end */
        for (i = 0; !j->bad && most != 0 && lmi_j_work(j, 1); i = at, most--) {
            lmi_j_put(j, to.u.p, to.n, to.mark);
            if (i == v.n) break;
            at = i + lmi_utf8((const uint8_t *)v.u.p + i, v.n - i, &cp); lmi_j_put(j, v.u.p + i, at - i, v.mark);
        }
    } else for (; !j->bad && most != 0 && (q = lmi_j_search(j, v.u.p + at, v.n - at, &from)) != NULL && lmi_j_work(j, 1); most--) {
        lmi_j_put(j, v.u.p + at, (size_t)(q - v.u.p) - at, v.mark); lmi_j_put(j, to.u.p, to.n, to.mark);
        at = (size_t)(q - v.u.p) + from.n;
    }
    lmi_j_put(j, v.u.p + at, v.n - at, v.mark);
    return lmi_j_taken(j, out);
}
static lmi_jval lmi_j_f_ends(lmi_jinja *j, lmi_ja a) { /* x: 0 startswith, 1 endswith; one text or a tuple of them. +2: the rest of it */
    int many = a->v[0].kind == LMI_J_TUPLE; size_t i, n = many ? a->v[0].u.seq->n : 1;
    const lmi_jval *v = &a->self, *p = many ? a->v[0].u.seq->v : &a->v[0];
    for (i = 0; i < n && lmi_j_work(j, 1); i++) {
        if (p[i].kind != LMI_J_STR) return lmi_j_bad_arg(j, a, &p[i]);
        if (p[i].n > v->n || (p[i].n && memcmp(v->u.p + (a->x & 1 ? v->n - p[i].n : 0), p[i].u.p, p[i].n) != 0)) continue;
        return a->x < 2 ? lmi_jv_bool(1) : a->x == 2 ? lmi_j_part(v, p[i].n, v->n) : lmi_j_part(v, 0, v->n - p[i].n);
    }
    return a->x < 2 ? lmi_jv_bool(0) : *v;
}
static lmi_jval lmi_j_f_find(lmi_jinja *j, lmi_ja a) { /* x: 0 find, 1 count */
    const lmi_jval *v = &a->self; const char *q = v->u.p; int64_t n = 0; lmi_jval before;
    if (!lmi_j_want_text(j, a, 0)) return *v;
    if (a->x == 0) {
        if ((q = lmi_j_search(j, q, v->n, &a->v[0])) == NULL) return lmi_jv_int(-1);
        before = lmi_j_part(v, 0, (size_t)(q - v->u.p));
        return lmi_jv_int((int64_t)lmi_j_count(&before));
    }
    if (a->v[0].n == 0) return lmi_jv_int((int64_t)lmi_j_count(v) + 1);
    for (; (q = lmi_j_search(j, q, v->n - (size_t)(q - v->u.p), &a->v[0])) != NULL; q += a->v[0].n) n++;
    return lmi_jv_int(n);
}
static lmi_jval lmi_j_joined(lmi_jinja *j, lmi_jseq *s, const lmi_jval *by, int any) {
    size_t i, out = j->n_out;
    for (i = 0; s && i < s->n && lmi_j_work(j, 1); i++) {
        if (i) lmi_j_put(j, by->u.p, by->n, by->mark);
        if (!any && s->v[i].kind != LMI_J_STR) return lmi_j_type_error(j, "join", &s->v[i]);
        lmi_j_repr(j, &s->v[i], 0);
    }
    return lmi_j_taken(j, out);
}
static lmi_jval lmi_j_f_join_method(lmi_jinja *j, lmi_ja a) { return lmi_j_joined(j, lmi_j_iter(j, &a->v[0], "join"), &a->self, 0); }
/* "%s and %d" % values, "{} and {0} and {name}".format(values) */
static lmi_jval lmi_j_format(lmi_jinja *j, const lmi_jval *f, const lmi_jval *v, size_t n) {
    size_t i, k = 0, out = j->n_out; char c;
    for (i = 0; i < f->n && !j->bad; i++) {
        if (f->u.p[i] != '%') { lmi_j_put(j, f->u.p + i, 1, f->mark); continue; }
        c = ++i < f->n ? f->u.p[i] : 0;
        if (c == '%') lmi_j_puts(j, "%");
        else if (k == n) lmi_j_fail(j, LM_E_FORMAT, j->at, "%%: too few values");
        else if (c == 's' || c == 'r') lmi_j_repr(j, &v[k++], c == 'r');
        else if ((c == 'd' || c == 'i') && (v[k].kind == LMI_J_INT || v[k].kind == LMI_J_BOOL)) lmi_j_put_int(j, v[k++].u.i);
        else lmi_j_fail(j, LM_E_SUPPORT, j->at, "%%: built in are %%s, %%r and %%d of integers");
    }
    if (k < n && !j->bad && v->kind != LMI_J_DICT) lmi_j_fail(j, LM_E_FORMAT, j->at, "%%: too many values");
    return lmi_j_taken(j, out);
}
static lmi_jval lmi_j_f_percent(lmi_jinja *j, lmi_ja a) { lmi_jval f = lmi_j_str(j, a->self); return lmi_j_format(j, &f, a->v, a->n); }
static lmi_jval lmi_j_f_format(lmi_jinja *j, lmi_ja a) {
    const lmi_jval *f = &a->self; size_t i, k, end, next = 0, out = j->n_out; lmi_str name;
    for (i = 0; i < f->n && !j->bad; i++) {
        if (f->u.p[i] != '{' && f->u.p[i] != '}') { lmi_j_put(j, f->u.p + i, 1, f->mark); continue; }
        if (i + 1 < f->n && f->u.p[i + 1] == f->u.p[i]) { lmi_j_put(j, f->u.p + i++, 1, f->mark); continue; }
        for (end = i; end < f->n && f->u.p[end] != '}' && f->u.p[end] != ':' && f->u.p[end] != '!'; end++) { }
        if (f->u.p[i] == '}' || end == f->n || f->u.p[end] != '}') {
            lmi_j_fail(j, LM_E_SUPPORT, j->at, "format: built in are {}, {0} and {name}");
            break;
        }
        name.p = f->u.p + i + 1; name.n = end - i - 1;
        for (k = 0; k < a->n && !(a->key[k].p && lmi_str_eq(a->key[k], name)); k++) { }
        if (name.n == 0) k = next++;
        else if (name.n == 1 && *name.p >= '0' && *name.p <= '9') k = (size_t)(*name.p - '0');
        if (k >= a->n || (a->key[k].p && name.n == 0)) { lmi_j_fail(j, LM_E_FORMAT, j->at, "format: no value for {%S}", name); break; }
        lmi_j_repr(j, &a->v[k], 0); i = end;
    }
    return lmi_j_taken(j, out);
}

static lmi_jval lmi_j_f_items(lmi_jinja *j, lmi_ja a) { /* x: 0 items, 1 keys, 2 values */
    lmi_jseq *s = lmi_j_seq(j), *from = a->self.u.seq; size_t i;
    if (a->self.kind == LMI_J_UNDEFINED) return lmi_jv_seq(LMI_J_LIST, s);
    if (a->self.kind != LMI_J_DICT) return lmi_j_bad_arg(j, a, &a->self);
    for (i = 0; i < from->n && lmi_j_work(j, 1); i += 2)
        lmi_j_add(j, s, a->x == 1 ? from->v[i] : a->x == 2 ? from->v[i + 1] : lmi_jv_pair(j, from->v[i], from->v[i + 1]));
    return lmi_jv_seq(LMI_J_LIST, s);
}
static lmi_jval lmi_j_f_get(lmi_jinja *j, lmi_ja a) {
    lmi_jval *v = lmi_j_find(j, a->self.u.seq, &a->v[0]);
    return v ? *v : lmi_j_has(a, 1) ? a->v[1] : lmi_jv(LMI_J_NONE);
}
static lmi_jval lmi_j_f_append(lmi_jinja *j, lmi_ja a) { lmi_j_add(j, a->self.u.seq, a->v[0]); return lmi_jv(LMI_J_NONE); }
static lmi_jval lmi_j_f_pop(lmi_jinja *j, lmi_ja a) {
    lmi_jseq *s = a->self.u.seq; int64_t n = (int64_t)s->n, i = lmi_j_int_arg(j, a, 0, -1); lmi_jval v;
    i += i < 0 ? n : 0;
    if (i < 0 || i >= n) { lmi_j_fail(j, LM_E_FORMAT, j->at, "pop: no such item"); return lmi_jv(LMI_J_NONE); }
    if (!lmi_j_work(j, (uint64_t)(n - i) / 4)) return lmi_jv(LMI_J_NONE);
    v = s->v[i]; s->n--;
    memmove(s->v + i, s->v + i + 1, (size_t)(n - i - 1) * sizeof v);
    return v;
}
static lmi_jval lmi_j_f_cycle(lmi_jinja *j, lmi_ja a) { return a->n ? a->v[a->self.u.loop->i % a->n] : lmi_j_type_error(j, "cycle", &a->self); }
static lmi_jval lmi_j_f_changed(lmi_jinja *j, lmi_ja a) {
    lmi_jseq *s = lmi_j_seq(j); size_t i; lmi_jval v; lmi_jloop *l = a->self.u.loop; int same;
    for (i = 0; i < a->n; i++) lmi_j_add(j, s, a->v[i]);
    v = lmi_jv_seq(LMI_J_TUPLE, s); same = lmi_j_order(j, &v, &l->changed) == 0; l->changed = v;
    return lmi_jv_bool(!same);
}

/* Filters that call others by name, and those that take an attribute such as "a.b.0". */
static lmi_jval lmi_j_path(lmi_jinja *j, lmi_jval v, const lmi_jval *path) {
    size_t at, end; lmi_jval key;
    if (path->kind == LMI_J_INT) return lmi_j_item(j, &v, path);
    if (path->kind != LMI_J_STR) return lmi_j_type_error(j, "attribute", path);
    for (at = 0; at <= path->n && !j->bad; at = end + 1) {
        for (end = at; end < path->n && path->u.p[end] != '.'; end++) { }
        key = lmi_j_part(path, at, end);
        if (end > at && lmi_j_number(path->u.p + at, end - at, 0, &key) != end - at) key = lmi_j_part(path, at, end);
        v = lmi_j_item(j, &v, &key);
    }
    return v;
}
static const lmi_jval *lmi_j_keyword(lmi_ja a, const char *name) {
    size_t i;
    for (i = 0; i < a->n; i++) if (a->key[i].p && lmi_str_is(a->key[i], name)) return &a->v[i];
    return NULL;
}
static lmi_jargs lmi_j_rest(lmi_ja a, size_t skip) { lmi_jargs r = *a; r.v += skip; r.key += skip; r.n -= skip; return r; }
static lmi_jseq *lmi_j_some(lmi_jinja *j, lmi_ja a) { /* of what is false, nothing */
    return lmi_j_truth(&a->self) ? lmi_j_iter(j, &a->self, a->name) : lmi_j_seq(j);
}
static lmi_jval lmi_j_f_map(lmi_jinja *j, lmi_ja a) {
    const lmi_jval *attr = lmi_j_keyword(a, "attribute"), *dflt = lmi_j_keyword(a, "default"); lmi_jseq *s = lmi_j_seq(j), *from = lmi_j_some(j, a);
    size_t i;
    lmi_jval v; lmi_jargs rest;
    if (j->bad) return a->self;
    if (attr == NULL && (a->n == 0 || a->key[0].p || a->v[0].kind != LMI_J_STR)) {
        lmi_j_fail(j, LM_E_FORMAT, j->at, "map: needs a filter or an attribute");
        return a->self;
    }
    for (i = 0; i < from->n && lmi_j_work(j, 1); i++) {
        if (attr) { v = lmi_j_path(j, from->v[i], attr); if (v.kind == LMI_J_UNDEFINED && dflt) v = *dflt; }
        else { rest = lmi_j_rest(a, 1); v = lmi_j_apply(j, LMI_J_FILTERS, lmi_jstr(&a->v[0]), from->v[i], &rest, j->at); }
        lmi_j_add(j, s, v);
    }
    return lmi_jv_seq(LMI_J_ITER, s);
}
static lmi_jval lmi_j_f_select(lmi_jinja *j, lmi_ja a) { /* x: 1 reject, 2 by attribute */
    size_t i, skip = a->x & 2 ? 1 : 0; lmi_jseq *s = lmi_j_seq(j), *from = lmi_j_some(j, a); lmi_jval v; lmi_jargs rest;
    if (j->bad) return a->self;
    if (a->n < skip || (a->n > skip && a->v[skip].kind != LMI_J_STR)) lmi_j_fail(j, LM_E_FORMAT, j->at, "%s: needs the name of a test", a->name);
    for (i = 0; i < from->n && lmi_j_work(j, 1); i++) {
        v = skip ? lmi_j_path(j, from->v[i], &a->v[0]) : from->v[i];
        if (a->n > skip) { rest = lmi_j_rest(a, skip + 1); v = lmi_j_apply(j, LMI_J_TESTS, lmi_jstr(&a->v[skip]), v, &rest, j->at); }
        if (lmi_j_truth(&v) != (a->x & 1)) lmi_j_add(j, s, from->v[i]);
    }
    return lmi_jv_seq(LMI_J_ITER, s);
}
typedef struct lmi_jsort { lmi_jinja *j; const lmi_jval *key; int reverse; } lmi_jsort;
static int lmi_j_less(const void *owner, uint32_t a, uint32_t b) {
    const lmi_jsort *s = (const lmi_jsort *)owner; int r;
    if (!lmi_j_work(s->j, 1)) return a < b;
    r = lmi_j_order(s->j, &s->key[a], &s->key[b]);
    if (r == 2) lmi_j_fail(s->j, LM_E_FORMAT, s->j->at, "sort: %s and %s have no order", lmi_jkind_names[s->key[a].kind],
        lmi_jkind_names[s->key[b].kind]);
    return r == 0 || r == 2 ? a < b : s->reverse ? r > 0 : r < 0;
}
/* n items of `width` values by key[n]; stable. */
static void lmi_j_sort(lmi_jinja *j, lmi_jval *v, size_t n, size_t width, lmi_jval *key, int fold, int reverse) {
    uint32_t *at = (uint32_t *)lmi_j_new(j, (uint64_t)n * sizeof *at); lmi_jval *to = (lmi_jval *)lmi_j_new(j, (uint64_t)n * width * sizeof *to);
    size_t i; lmi_jsort s;
    if (j->bad || n == 0) return;
    for (i = 0; i < n; i++) { at[i] = (uint32_t)i; if (fold && key[i].kind == LMI_J_STR) key[i] = lmi_j_recase(j, key[i], 0); }
    s.j = j; s.key = key; s.reverse = reverse;
    lmi_sort(at, n, lmi_j_less, &s);
    for (i = 0; i < n; i++) memcpy(to + i * width, v + at[i] * width, width * sizeof *to);
    memcpy(v, to, n * width * sizeof *to);
}
static void lmi_j_sort_pairs(lmi_jinja *j, lmi_jseq *s, int by, int fold, int reverse) {
    lmi_jval *key = (lmi_jval *)lmi_j_new(j, (uint64_t)s->n * sizeof *key); size_t i;
    for (i = 0; key && i < s->n / 2; i++) key[i] = s->v[2 * i + (size_t)by];
    if (key) lmi_j_sort(j, s->v, s->n / 2, 2, key, fold, reverse);
}
static lmi_jval lmi_j_listed(lmi_jinja *j, const lmi_jval *v, const char *what) { /* a new list of what a for goes through */
    lmi_jseq *from = lmi_j_iter(j, v, what), *s = lmi_j_seq(j); size_t i;
    for (i = 0; from && i < from->n && lmi_j_work(j, 1); i++) lmi_j_add(j, s, from->v[i]);
    return lmi_jv_seq(LMI_J_LIST, s);
}
static lmi_jval *lmi_j_keys(lmi_jinja *j, const lmi_jseq *s, const lmi_jval *attr, int fold) { /* what items are compared by; NULL: an error */
    lmi_jval *key = (lmi_jval *)lmi_j_new(j, (uint64_t)s->n * sizeof *key); size_t i;
    for (i = 0; key && i < s->n && lmi_j_work(j, 1); i++) {
        key[i] = attr->kind == LMI_J_ABSENT || attr->kind == LMI_J_NONE ? s->v[i] : lmi_j_path(j, s->v[i], attr);
        if (fold && key[i].kind == LMI_J_STR) key[i] = lmi_j_recase(j, key[i], 0);
    }
    return j->bad ? NULL : key;
}
static lmi_jval lmi_j_f_sort(lmi_jinja *j, lmi_ja a) {
    lmi_jval v = lmi_j_listed(j, &a->self, "sort"), *key = j->bad ? NULL : lmi_j_keys(j, v.u.seq, &a->v[2], !lmi_j_truth(&a->v[1]));
    if (key) lmi_j_sort(j, v.u.seq->v, v.u.seq->n, 1, key, 0, lmi_j_truth(&a->v[0]));
    return v;
}
static lmi_jval lmi_j_f_dictsort(lmi_jinja *j, lmi_ja a) {
    lmi_jseq s, *to = lmi_j_seq(j); size_t i;
    if (a->self.kind != LMI_J_DICT) return lmi_j_bad_arg(j, a, &a->self);
    for (memset(&s, 0, sizeof s), i = 0; i < a->self.u.seq->n && lmi_j_work(j, 1); i++) lmi_j_add(j, &s, a->self.u.seq->v[i]);
    lmi_j_sort_pairs(j, &s, lmi_jis(&a->v[1], "value"), !lmi_j_truth(&a->v[0]), lmi_j_truth(&a->v[2]));
    for (i = 0; i < s.n && !j->bad; i += 2) lmi_j_add(j, to, lmi_jv_pair(j, s.v[i], s.v[i + 1]));
    return lmi_jv_seq(LMI_J_LIST, to);
}
static lmi_jval lmi_j_f_unique(lmi_jinja *j, lmi_ja a) {
    lmi_jval v = lmi_j_listed(j, &a->self, "unique"), *key = j->bad ? NULL : lmi_j_keys(j, v.u.seq, &a->v[1], !lmi_j_truth(&a->v[0]));
    size_t i, k, n = 0;
    for (i = 0; key && i < v.u.seq->n && lmi_j_work(j, 1 + n / 4); i++) {
        for (k = 0; k < n && lmi_j_order(j, &key[k], &key[i]) != 0; k++) { }
        if (k == n) { key[n] = key[i]; v.u.seq->v[n++] = v.u.seq->v[i]; }
    }
    if (!j->bad) { v.u.seq->n = n; v.kind = LMI_J_ITER; }
    return v;
}
static lmi_jval lmi_j_f_min(lmi_jinja *j, lmi_ja a) { /* x: 1 max */
    lmi_jval v = lmi_j_listed(j, &a->self, a->name), *key = j->bad ? NULL : lmi_j_keys(j, v.u.seq, &a->v[1], !lmi_j_truth(&a->v[0])); lmi_jsort s;
    uint32_t i, best = 0;
    if (key == NULL) return v;
    if (v.u.seq->n == 0) return lmi_jv(LMI_J_UNDEFINED);
    s.j = j; s.key = key; s.reverse = a->x;
    for (i = 1; i < v.u.seq->n; i++) if (lmi_j_less(&s, i, best)) best = i;
    return v.u.seq->v[best];
}

static lmi_jval lmi_j_f_default(lmi_jinja *j, lmi_ja a) {
    (void)j;
    if (a->self.kind != LMI_J_UNDEFINED && !(lmi_j_has(a, 1) && lmi_j_truth(&a->v[1]) && !lmi_j_truth(&a->self))) return a->self;
    return lmi_j_has(a, 0) ? a->v[0] : lmi_jv_cstr("");
}
static lmi_jval lmi_j_f_length(lmi_jinja *j, lmi_ja a) {
    const lmi_jval *v = &a->self;
    if (v->kind == LMI_J_STR) return lmi_jv_int(lmi_j_work(j, v->n / 8) ? (int64_t)lmi_j_count(v) : 0);
    if (lmi_j_is_list(v) || v->kind == LMI_J_DICT) return lmi_jv_int((int64_t)(v->kind == LMI_J_DICT ? v->u.seq->n / 2 : v->u.seq->n));
    return v->kind == LMI_J_UNDEFINED ? lmi_jv_int(0) : lmi_j_bad_arg(j, a, v);
}
static lmi_jval lmi_j_f_first(lmi_jinja *j, lmi_ja a) { /* x: 1 last */
    lmi_jseq *s = lmi_j_iter(j, &a->self, a->name);
    return s == NULL || s->n == 0 ? lmi_jv(LMI_J_UNDEFINED) : s->v[a->x ? s->n - 1 : 0];
}
static lmi_jval lmi_j_f_join(lmi_jinja *j, lmi_ja a) {
    lmi_jval v = lmi_j_listed(j, &a->self, "join"), by = lmi_j_has(a, 0) ? lmi_j_str(j, a->v[0]) : lmi_jv_cstr(""); lmi_jseq s;
    if (j->bad) return v;
    s = *v.u.seq;
    if (lmi_j_has(a, 1)) s.v = lmi_j_keys(j, v.u.seq, &a->v[1], 0);
    return j->bad ? v : lmi_j_joined(j, &s, &by, 1);
}
static lmi_jval lmi_j_f_list(lmi_jinja *j, lmi_ja a) { return lmi_j_listed(j, &a->self, "list"); }
static lmi_jval lmi_j_f_reverse(lmi_jinja *j, lmi_ja a) {
    lmi_jval v = lmi_j_listed(j, &a->self, "reverse"), t, none = lmi_jv_cstr(""); size_t i, n = j->bad ? 0 : v.u.seq->n;
    for (i = 0; i < n / 2; i++) { t = v.u.seq->v[i]; v.u.seq->v[i] = v.u.seq->v[n - 1 - i]; v.u.seq->v[n - 1 - i] = t; }
    if (a->self.kind == LMI_J_STR && !j->bad) return lmi_j_joined(j, v.u.seq, &none, 1);
    v.kind = LMI_J_ITER;
    return v;
}
static lmi_jval lmi_j_f_int(lmi_jinja *j, lmi_ja a) { /* x: 1 float */
    lmi_jval v = a->self, dflt = lmi_j_has(a, 0) ? a->v[0] : a->x ? lmi_jv_float(0) : lmi_jv_int(0); size_t from, to, n; int neg;
    if (lmi_j_has(a, 1) && lmi_j_int_arg(j, a, 1, 10) != 10) lmi_j_fail(j, LM_E_SUPPORT, j->at, "int: bases other than 10 are not built in");
    if (v.kind == LMI_J_STR) {
        from = lmi_j_skip_white(v.u.p, 0, v.n); to = lmi_j_trim_white(v.u.p, from, v.n);
        neg = from < to && v.u.p[from] == '-'; from += from < to && (v.u.p[from] == '-' || v.u.p[from] == '+'); n = to - from;
        if (n == 0 || lmi_j_number(a->self.u.p + from, n, 1, &v) != n) return dflt;
        if (v.kind == LMI_J_ABSENT) return lmi_j_overflow(j);
        if (neg && v.kind == LMI_J_INT) v.u.i = -v.u.i; else if (neg) v.u.f = -v.u.f;
    }
    if (!lmi_j_is_num(&v)) return v.kind == LMI_J_UNDEFINED ? lmi_j_bad_arg(j, a, &v) : dflt;
    if (a->x) return lmi_jv_float(lmi_j_f64(&v));
    if (v.kind != LMI_J_FLOAT) return lmi_jv_int(v.u.i);
    return v.u.f > -9e18 && v.u.f < 9e18 ? lmi_jv_int((int64_t)v.u.f) : dflt;
}
static lmi_jval lmi_j_f_abs(lmi_jinja *j, lmi_ja a) {
    lmi_jval zero = lmi_jv_int(0);
    if (!lmi_j_is_num(&a->self)) return lmi_j_bad_arg(j, a, &a->self);
    return lmi_j_f64(&a->self) < 0 ? lmi_j_binary(j, '-', zero, a->self) : a->self;
}
static lmi_jval lmi_j_f_sum(lmi_jinja *j, lmi_ja a) {
    lmi_jval v = lmi_j_listed(j, &a->self, "sum"), *key = j->bad ? NULL : lmi_j_keys(j, v.u.seq, &a->v[0], 0), all = lmi_j_has(a, 1) ? a->v[1]
        : lmi_jv_int(0); size_t i;
    for (i = 0; key && i < v.u.seq->n && !j->bad; i++) all = lmi_j_binary(j, '+', all, key[i]);
    return all;
}
static lmi_jval lmi_j_f_string(lmi_jinja *j, lmi_ja a) { lmi_jval v = lmi_j_str(j, a->self); v.safe |= (uint8_t)a->x; return v; } /* x: 1 safe */
static lmi_jval lmi_j_f_indent(lmi_jinja *j, lmi_ja a) {
    lmi_jval v = lmi_j_str(j, a->self), by = lmi_jv_cstr(" "), line; int64_t n = 1; size_t at, end, i, out;
    int first = lmi_j_has(a, 1) && lmi_j_truth(&a->v[1]);
    if (lmi_j_has(a, 0) && a->v[0].kind == LMI_J_STR) by = a->v[0]; else n = lmi_j_int_arg(j, a, 0, 4);
    by = lmi_j_repeat(j, &by, n); out = j->n_out;
    for (at = 0, i = 0; at <= v.n && lmi_j_work(j, 1); at = end + 1, i++) {
        for (end = at; end < v.n && v.u.p[end] != '\n'; end++) { }
        line = lmi_j_part(&v, at, end > at && v.u.p[end - 1] == '\r' ? end - 1 : end);
        if (i) lmi_j_puts(j, "\n");
        if (i ? line.n || (lmi_j_has(a, 2) && lmi_j_truth(&a->v[2])) : first) lmi_j_put(j, by.u.p, by.n, by.mark);
        lmi_j_put(j, line.u.p, line.n, line.mark);
    }
    return lmi_j_taken(j, out);
}
static lmi_jval lmi_j_f_tojson(lmi_jinja *j, lmi_ja a) {
    lmi_jdump d; size_t out = j->n_out; int64_t indent = lmi_j_int_arg(j, a, 1, -1);
    memset(&d, 0, sizeof d);
    d.ascii = lmi_j_truth(&a->v[0]); d.sorted = lmi_j_truth(&a->v[3]); d.indent = (int)LMI_MIN(LMI_MAX(indent, -1), 1000);
    d.item = lmi_jv_cstr(indent < 0 ? ", " : ","); d.key = lmi_jv_cstr(": ");
    if (lmi_j_truth(&a->v[2])) {
        if (!lmi_j_is_list(&a->v[2]) || a->v[2].u.seq->n != 2 || a->v[2].u.seq->v[0].kind != LMI_J_STR
            || a->v[2].u.seq->v[1].kind != LMI_J_STR) return lmi_j_bad_arg(j, a, &a->v[2]);
        d.item = a->v[2].u.seq->v[0]; d.key = a->v[2].u.seq->v[1];
    }
    lmi_j_dump(j, &d, &a->self);
    return lmi_j_taken(j, out);
}

static lmi_jval lmi_j_f_is_kind(lmi_jinja *j, lmi_ja a) { (void)j; return lmi_jv_bool((a->x >> a->self.kind & 1) != 0); } /* x: kinds as bits */
static lmi_jval lmi_j_f_is_bool(lmi_jinja *j, lmi_ja a) { (void)j; return lmi_jv_bool(a->self.kind == LMI_J_BOOL && a->self.u.i == a->x); }
static lmi_jval lmi_j_f_is_odd(lmi_jinja *j, lmi_ja a) { /* x: the rest by 2; -1: by the argument, 0 */
    lmi_jval by = a->x < 0 ? a->v[0] : lmi_jv_int(2), zero = lmi_jv_int(a->x > 0), r;
    if (!lmi_j_is_num(&a->self) || !lmi_j_is_num(&by)) return lmi_j_bad_arg(j, a, &a->self);
    r = lmi_j_binary(j, '%', a->self, by);
    return lmi_jv_bool(lmi_j_order(j, &r, &zero) == 0);
}
static lmi_jval lmi_j_f_is_op(lmi_jinja *j, lmi_ja a) { return lmi_jv_bool(lmi_j_compare(j, (uint32_t)a->x, &a->self, &a->v[0])); }
static lmi_jval lmi_j_f_same_as(lmi_jinja *j, lmi_ja a) {
    return lmi_jv_bool(a->self.kind == a->v[0].kind && lmi_j_order(j, &a->self, &a->v[0]) == 0);
}
static lmi_jval lmi_j_f_is_case(lmi_jinja *j, lmi_ja a) { /* x: 1 upper */
    lmi_jval v = lmi_j_str(j, a->self); size_t i; int some = 0;
    for (i = 0; i < v.n; i++) { if (lmi_j_fold(v.u.p[i], a->x) != v.u.p[i]) return lmi_jv_bool(0); some |= lmi_j_fold(v.u.p[i], !a->x) != v.u.p[i]; }
    return lmi_jv_bool(some);
}
static lmi_jval lmi_j_f_is_known(lmi_jinja *j, lmi_ja a) {
    (void)j;
    return lmi_jv_bool(a->self.kind == LMI_J_STR && lmi_j_find_func(a->x, lmi_jstr(&a->self), NULL) != NULL);
}

static lmi_jval lmi_j_f_raise(lmi_jinja *j, lmi_ja a) {
    lmi_jval v = lmi_j_str(j, a->v[0]);
    lmi_j_fail(j, LM_E_ARG, j->at, "it refuses the conversation: %S", lmi_jstr(&v));
    return v;
}
static lmi_jval lmi_j_f_dict(lmi_jinja *j, lmi_ja a) { /* x: the kind */
    lmi_jseq *s = lmi_j_seq(j); size_t i, k; lmi_jval name;
    for (i = 0; i < a->n && !j->bad; i++) {
        if (a->key[i].p) { name = lmi_jv_text(a->key[i].p, a->key[i].n, 0); lmi_j_set(j, s, name, a->v[i]); }
        else if (a->v[i].kind != LMI_J_DICT) return lmi_j_bad_arg(j, a, &a->v[i]);
        else for (k = 0; k < a->v[i].u.seq->n && !j->bad; k += 2) lmi_j_set(j, s, a->v[i].u.seq->v[k], a->v[i].u.seq->v[k + 1]);
    }
    return lmi_jv_seq((lmi_jkind)a->x, s);
}
static lmi_jval lmi_j_f_range(lmi_jinja *j, lmi_ja a) {
    int64_t from = lmi_j_int_arg(j, a, 0, 0), to = lmi_j_int_arg(j, a, 1, 0), step = lmi_j_int_arg(j, a, 2, 1); lmi_jseq *s = lmi_j_seq(j);
    if (!lmi_j_has(a, 1)) { to = from; from = 0; }
    if (step == 0) lmi_j_fail(j, LM_E_FORMAT, j->at, "range: the step is 0");
    while ((step > 0 ? from < to : from > to) && lmi_j_work(j, 1)) {
        lmi_j_add(j, s, lmi_jv_int(from));
        if (step > 0 ? from > INT64_MAX - step : from < INT64_MIN - step) break;
        from += step;
    }
    return lmi_jv_seq(LMI_J_LIST, s);
}
/* strftime in English, UTC. Days since 1970 to a date: http://howardhinnant.github.io/date_algorithms.html (civil_from_days). */
static lmi_jval lmi_j_f_strftime(lmi_jinja *j, lmi_ja a) {
    static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
    static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November", "December" };
    static const char codes[] = "YmdHMSyjIewuCaAbBhpDFTRn%t-"; const lmi_jval *f = &a->v[0]; size_t i, out = j->n_out;
    int64_t t = j->now, day, secs, era, doe, yoe, doy, mp, y, m, d, v[13]; int k, pad;
    static const int16_t before[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    static const uint8_t width[13] = { 4, 2, 2, 2, 2, 2, 2, 3, 2, 2, 1, 1, 2 }; const char *at; char digit[8];
    if (!lmi_j_want_text(j, a, 0)) return *f;
    secs = t % 86400; day = t / 86400; if (secs < 0) { secs += 86400; day--; }
    era = (day + 719468 - (day < -719468 ? 146096 : 0)) / 146097; doe = day + 719468 - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100); mp = (5 * doy + 2) / 153; d = doy - (153 * mp + 2) / 5 + 1; m = mp < 10 ? mp + 3 : mp - 9;
    y = yoe + era * 400 + (m <= 2);
    doy = before[m - 1] + d - 1 + (m > 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
    v[0] = y; v[1] = m; v[2] = d; v[3] = secs / 3600; v[4] = secs / 60 % 60; v[5] = secs % 60; v[6] = y % 100; v[7] = doy + 1;
    v[8] = (secs / 3600 + 11) % 12 + 1; v[9] = d; v[10] = ((day + 4) % 7 + 7) % 7; v[11] = v[10] ? v[10] : 7; v[12] = y / 100;
    for (i = 0; i < f->n && !j->bad; i++) {
        if (f->u.p[i] != '%' || i + 1 == f->n) { lmi_j_put(j, f->u.p + i, 1, f->mark); continue; }
        pad = f->u.p[++i] != '-' ? f->u.p[i] == 'e' ? ' ' : '0' : 0;
        if (!pad && ++i == f->n) break;
        at = f->u.p[i] ? strchr(codes, f->u.p[i]) : NULL; k = at ? (int)(at - codes) : 99;
        if (k < 13) {
            int n = 0, w = width[k]; int64_t x = v[k];
            do { digit[n++] = (char)('0' + (int)(x % 10)); x /= 10; } while (x && n < 8);
            while (pad && n < w) digit[n++] = (char)pad;
            while (n) lmi_j_putc(j, digit[--n], 0);
        } else if (k < 15) lmi_j_put(j, days[v[10]], k == 13 ? 3 : strlen(days[v[10]]), 0);
        else if (k < 18) lmi_j_put(j, months[m - 1], k != 16 ? 3 : strlen(months[m - 1]), 0);
        else if (k == 18) lmi_j_puts(j, v[3] < 12 ? "AM" : "PM");
        else if (k < 23) {
            lmi_jargs part; lmi_jval text = lmi_jv_cstr(k == 19 ? "%m/%d/%y" : k == 20 ? "%Y-%m-%d" : k == 21 ? "%H:%M:%S" : "%H:%M");
            memset(&part, 0, sizeof part); part.v = &text; part.n = 1;
            text = lmi_j_f_strftime(j, &part); lmi_j_repr(j, &text, 0);
        } else if (k < 26) lmi_j_puts(j, k == 23 ? "\n" : k == 24 ? "%" : "\t");
        else lmi_j_fail(j, LM_E_SUPPORT, j->at, "strftime_now: %%%S is not built in", lmi_jstr(f));
    }
    return lmi_j_taken(j, out);
}

#define LMI_JBIT(kind) (1 << (kind))
#define LMI_JTEXTS(on) { "upper", "", lmi_j_f_recase, on, 1 }, { "lower", "", lmi_j_f_recase, on, 0 }, \
    { "capitalize", "", lmi_j_f_recase, on, 2 }, { "title", "", lmi_j_f_recase, on, 3 }
static const lmi_jfunc lmi_j_methods[] = {
    LMI_JTEXTS(LMI_J_STR), { "strip", "chars?", lmi_j_f_strip, LMI_J_STR, 3 }, { "lstrip", "chars?", lmi_j_f_strip, LMI_J_STR, 1 },
    { "rstrip", "chars?", lmi_j_f_strip, LMI_J_STR, 2 }, { "split", "sep? maxsplit?", lmi_j_f_split, LMI_J_STR, 0 },
    { "rsplit", "sep? maxsplit?", lmi_j_f_split, LMI_J_STR, 1 }, { "splitlines", "", lmi_j_f_splitlines, LMI_J_STR, 0 },
    { "replace", "old new count?", lmi_j_f_replace, LMI_J_STR, 0 }, { "startswith", "prefix", lmi_j_f_ends, LMI_J_STR, 0 },
    { "endswith", "suffix", lmi_j_f_ends, LMI_J_STR, 1 }, { "removeprefix", "prefix", lmi_j_f_ends, LMI_J_STR, 2 },
    { "removesuffix", "suffix", lmi_j_f_ends, LMI_J_STR, 3 }, { "find", "sub", lmi_j_f_find, LMI_J_STR, 0 },
    { "count", "sub", lmi_j_f_find, LMI_J_STR, 1 },
    { "join", "iterable", lmi_j_f_join_method, LMI_J_STR, 0 }, { "format", "*", lmi_j_f_format, LMI_J_STR, 0 },
    { "items", "", lmi_j_f_items, LMI_J_DICT, 0 }, { "keys", "", lmi_j_f_items, LMI_J_DICT, 1 }, { "values", "", lmi_j_f_items, LMI_J_DICT, 2 },
    { "get", "key default?", lmi_j_f_get, LMI_J_DICT, 0 }, { "append", "item", lmi_j_f_append, LMI_J_LIST, 0 },
    { "pop", "index?", lmi_j_f_pop, LMI_J_LIST, 0 },
    { "cycle", "*", lmi_j_f_cycle, LMI_J_LOOP, 0 }, { "changed", "*", lmi_j_f_changed, LMI_J_LOOP, 0 }
};
static const lmi_jfunc lmi_j_filters[] = {
    LMI_JTEXTS(0), { "trim", "chars?", lmi_j_f_strip, 0, 3 }, { "replace", "old new count?", lmi_j_f_replace, 0, 0 },
    { "format", "*", lmi_j_f_percent, 0, 0 },
    { "indent", "width? first? blank?", lmi_j_f_indent, 0, 0 }, { "string", "", lmi_j_f_string, 0, 0 }, { "safe", "", lmi_j_f_string, 0, 1 },
    { "tojson", "ensure_ascii? indent? separators? sort_keys?", lmi_j_f_tojson, 0, 0 },
    { "default", "default_value? boolean?", lmi_j_f_default, 0, 0 },
    { "d", "default_value? boolean?", lmi_j_f_default, 0, 0 }, { "length", "", lmi_j_f_length, 0, 0 }, { "count", "", lmi_j_f_length, 0, 0 },
    { "first", "", lmi_j_f_first, 0, 0 }, { "last", "", lmi_j_f_first, 0, 1 }, { "join", "d? attribute?", lmi_j_f_join, 0, 0 },
    { "list", "", lmi_j_f_list, 0, 0 }, { "reverse", "", lmi_j_f_reverse, 0, 0 }, { "items", "", lmi_j_f_items, 0, 0 },
    { "sort", "reverse? case_sensitive? attribute?", lmi_j_f_sort, 0, 0 }, { "dictsort", "case_sensitive? by? reverse?", lmi_j_f_dictsort, 0, 0 },
    { "unique", "case_sensitive? attribute?", lmi_j_f_unique, 0, 0 }, { "min", "case_sensitive? attribute?", lmi_j_f_min, 0, 0 },
    { "max", "case_sensitive? attribute?", lmi_j_f_min, 0, 1 }, { "map", "*", lmi_j_f_map, 0, 0 }, { "select", "*", lmi_j_f_select, 0, 0 },
    { "reject", "*", lmi_j_f_select, 0, 1 }, { "selectattr", "*", lmi_j_f_select, 0, 2 }, { "rejectattr", "*", lmi_j_f_select, 0, 3 },
    { "int", "default? base?", lmi_j_f_int, 0, 0 }, { "float", "default?", lmi_j_f_int, 0, 1 }, { "abs", "", lmi_j_f_abs, 0, 0 },
    { "sum", "attribute? start?", lmi_j_f_sum, 0, 0 }
};
#define LMI_JKIND(name, bits) { name, "", lmi_j_f_is_kind, 0, bits }
#define LMI_JOP(name, op) { name, "other", lmi_j_f_is_op, 0, (int)(op) }
static const lmi_jfunc lmi_j_tests[] = {
    LMI_JKIND("defined", ~(LMI_JBIT(LMI_J_UNDEFINED) | LMI_JBIT(LMI_J_ABSENT))), LMI_JKIND("undefined", LMI_JBIT(LMI_J_UNDEFINED)),
    LMI_JKIND("none", LMI_JBIT(LMI_J_NONE)),
    LMI_JKIND("boolean", LMI_JBIT(LMI_J_BOOL)), LMI_JKIND("integer", LMI_JBIT(LMI_J_INT)), LMI_JKIND("float", LMI_JBIT(LMI_J_FLOAT)),
    LMI_JKIND("number", LMI_JBIT(LMI_J_BOOL) | LMI_JBIT(LMI_J_INT) | LMI_JBIT(LMI_J_FLOAT)), LMI_JKIND("string", LMI_JBIT(LMI_J_STR)),
    LMI_JKIND("mapping", LMI_JBIT(LMI_J_DICT)),
    LMI_JKIND("callable", LMI_JBIT(LMI_J_FUNC) | LMI_JBIT(LMI_J_METHOD) | LMI_JBIT(LMI_J_MACRO) | LMI_JBIT(LMI_J_LOOP)),
    LMI_JKIND("sequence", LMI_JBIT(LMI_J_STR) | LMI_JBIT(LMI_J_LIST) | LMI_JBIT(LMI_J_TUPLE) | LMI_JBIT(LMI_J_DICT) | LMI_JBIT(LMI_J_UNDEFINED)),
    LMI_JKIND("iterable", LMI_JBIT(LMI_J_STR) | LMI_JBIT(LMI_J_LIST) | LMI_JBIT(LMI_J_TUPLE) | LMI_JBIT(LMI_J_DICT) | LMI_JBIT(LMI_J_ITER)
        | LMI_JBIT(LMI_J_UNDEFINED) | LMI_JBIT(LMI_J_LOOP)),
    { "true", "", lmi_j_f_is_bool, 0, 1 }, { "false", "", lmi_j_f_is_bool, 0, 0 }, { "odd", "", lmi_j_f_is_odd, 0, 1 },
    { "even", "", lmi_j_f_is_odd, 0, 0 },
    { "divisibleby", "num", lmi_j_f_is_odd, 0, -1 }, { "sameas", "other", lmi_j_f_same_as, 0, 0 }, { "lower", "", lmi_j_f_is_case, 0, 0 },
    { "upper", "", lmi_j_f_is_case, 0, 1 }, { "filter", "", lmi_j_f_is_known, 0, LMI_J_FILTERS }, { "test", "", lmi_j_f_is_known, 0, LMI_J_TESTS },
    LMI_JOP("eq", LMI_J2('=', '=')), LMI_JOP("==", LMI_J2('=', '=')), LMI_JOP("equalto", LMI_J2('=', '=')), LMI_JOP("ne", LMI_J2('!', '=')),
    LMI_JOP("!=", LMI_J2('!', '=')),
    LMI_JOP("lt", '<'), LMI_JOP("<", '<'), LMI_JOP("lessthan", '<'), LMI_JOP("le", LMI_J2('<', '=')), LMI_JOP("<=", LMI_J2('<', '=')),
    LMI_JOP("gt", '>'), LMI_JOP(">", '>'),
    LMI_JOP("greaterthan", '>'), LMI_JOP("ge", LMI_J2('>', '=')), LMI_JOP(">=", LMI_J2('>', '=')), LMI_JOP("in", 'i')
};
static const lmi_jfunc lmi_j_globals[] = {
    { "raise_exception", "message", lmi_j_f_raise, 0, 0 }, { "namespace", "*", lmi_j_f_dict, 0, LMI_J_SPACE },
    { "dict", "*", lmi_j_f_dict, 0, LMI_J_DICT },
    { "range", "start stop? step?", lmi_j_f_range, 0, 0 }, { "strftime_now", "format", lmi_j_f_strftime, 0, 0 }
};
static const lmi_jfunc *lmi_j_find_func(int table, lmi_str name, const lmi_jval *self) {
    const lmi_jfunc *f = table == LMI_J_METHODS ? lmi_j_methods : table == LMI_J_FILTERS ? lmi_j_filters : lmi_j_tests;
    int i, n = table == LMI_J_METHODS ? LMI_COUNT(lmi_j_methods) : table == LMI_J_FILTERS ? LMI_COUNT(lmi_j_filters) : LMI_COUNT(lmi_j_tests);
    for (i = 0; i < n; i++) if ((self == NULL || f[i].on == self->kind) && lmi_str_is(name, f[i].name)) return &f[i];
    return NULL;
}
/* Calls f with arguments brought into the order of its parameters. */
static lmi_jval lmi_j_call(lmi_jinja *j, const lmi_jfunc *f, lmi_jval self, const lmi_jargs *given) {
    lmi_jval slot[4]; lmi_jargs a = *given; const char *p = f->params; size_t n = 0, k, i, used = 0; uint64_t work; lmi_str name;
    for (work = 1, i = 0; i < given->n; i++) if (given->v[i].kind == LMI_J_STR) work += given->v[i].n / 16; /* each looks at all of its text */
    if (!lmi_j_work(j, work + (self.kind == LMI_J_STR ? self.n / 8 : 0))) return self;
    a.self = self; a.x = f->x; a.name = f->name;
    if (*p == '*') return f->call(j, &a);
    memset(slot, 0, sizeof slot);
    for (; *p; p += k + (p[k] == '?'), p += *p == ' ', n++) {
        for (k = 0; p[k] && p[k] != ' ' && p[k] != '?'; k++) { }
        name.p = p; name.n = k;
        for (i = 0; i < given->n && !(given->key[i].p ? lmi_str_eq(given->key[i], name) : i == n); i++) { }
        if (i < given->n) { slot[n] = given->v[i]; used++; }
        else if (p[k] != '?') { lmi_j_fail(j, LM_E_FORMAT, j->at, "%s: needs the argument %S", f->name, name); return self; }
    }
    if (used < given->n) { lmi_j_fail(j, LM_E_FORMAT, j->at, "%s: an argument that it does not take", f->name); return self; }
    a.v = slot; a.n = n;
    return f->call(j, &a);
}

/* ---- rendering */
static const char lmi_j_chatml[] = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
#if defined(LLAMA_CLOCK_US)
static int64_t lmi_j_today(void) { return 0; }
#elif defined(_WIN32)
static int64_t lmi_j_today(void) {
    FILETIME t;
    GetSystemTimeAsFileTime(&t);
    return (int64_t)(((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) / 10000000u) - 11644473600;
}
#elif defined(LMI_POSIX)
static int64_t lmi_j_today(void) { struct timeval t; return gettimeofday(&t, NULL) == 0 ? (int64_t)t.tv_sec : 0; }
#else
static int64_t lmi_j_today(void) { return 0; }
#endif
/* A role of letters, digits, '_' and '-' alone counts as the template's: '<|' + role + '|>' may then be a control token. */
static void lmi_j_trust_role(lmi_jval *v) {
    size_t i;
    if (v->kind != LMI_J_STR) return;
    for (i = 0; i < v->n; i++) {
        char c = v->u.p[i];
        if ((c & 0x80) || !(lmi_j_letter(c) || (c >= '0' && c <= '9') || c == '-')) return;
    }
    v->mark = 0;
}
static lmi_jval lmi_j_messages(lmi_jinja *j, const lm_chat_desc *d) {
    lmi_jseq *s, *m; int i; size_t k, n; lmi_jval v, *role, key = lmi_jv_cstr("role");
    if (d->messages_json) v = lmi_j_read_json(j, "messages", d->messages_json, d->messages_bytes);
    else {
        v = lmi_jv_seq(LMI_J_LIST, s = lmi_j_seq(j));
        for (i = 0; i < d->n_messages && !j->bad; i++) {
            const lm_message *from = &d->messages[i]; lmi_jval text = lmi_jv(LMI_J_NONE);
            n = from->content_bytes || !from->content ? from->content_bytes : strlen(from->content);
            if (from->content) text = lmi_jv_text(from->content, n, SIZE_MAX);
            m = lmi_j_seq(j);
            lmi_j_set(j, m, key, lmi_jv_text(from->role, strlen(from->role), SIZE_MAX)); lmi_j_set(j, m, lmi_jv_cstr("content"), text);
            lmi_j_add(j, s, lmi_jv_seq(LMI_J_DICT, m));
        }
    }
    if (!j->bad && v.kind != LMI_J_LIST) { j->what = "messages"; lmi_j_fail(j, LM_E_FORMAT, 0, "expected a list"); }
    for (k = 0; !j->bad && k < v.u.seq->n; k++)
        if (v.u.seq->v[k].kind == LMI_J_DICT && (role = lmi_j_find(j, v.u.seq->v[k].u.seq, &key)) != NULL) lmi_j_trust_role(role);
    return v;
}
static lmi_str lmi_j_special_text(const lm_model *m, lm_special which, const char *own) {
    lm_token_info t; lmi_str s;
    s.p = ""; s.n = 0;
    if (own) return lmi_cstr(own);
    if (m && lm_token_get_info(m, lm_token_special(m, which), &t) == LM_OK) { s.p = t.text; s.n = t.text_bytes; }
    return s;
}
static void lmi_j_globals_in(lmi_jinja *j, const lm_model *m, const lm_chat_desc *d) { /* the variables that a template sees */
    lmi_jval v; lmi_str s; int i; size_t k;
    j->now = d->now ? d->now : lmi_j_today();
    for (i = 0; i < LMI_COUNT(lmi_j_globals); i++) {
        if (lmi_j_globals[i].call == lmi_j_f_strftime && j->now == 0) continue; /* templates ask whether it is defined */
        v = lmi_jv(LMI_J_FUNC); v.u.func = &lmi_j_globals[i];
        lmi_j_define(j, lmi_j_globals[i].name, v);
    }
    s = lmi_j_special_text(m, LM_BOS, d->bos); lmi_j_define(j, "bos_token", lmi_jv_text(s.p, s.n, 0));
    s = lmi_j_special_text(m, LM_EOS, d->eos); lmi_j_define(j, "eos_token", lmi_jv_text(s.p, s.n, 0));
    lmi_j_define(j, "add_generation_prompt", lmi_jv_bool(!d->no_generation_prompt));
    /* Without tools, `tools` is undefined: some templates fail over none, which transformers passes, all others make no difference. */
    if (d->tools_json) lmi_j_define(j, "tools", lmi_j_read_json(j, "tools", d->tools_json, d->tools_bytes));
    if (d->messages_json || d->messages) lmi_j_define(j, "messages", lmi_j_messages(j, d));
    if (d->extra_json == NULL || j->bad) return;
    v = lmi_j_read_json(j, "extra", d->extra_json, d->extra_bytes);
    if (!j->bad && v.kind != LMI_J_DICT) { j->what = "extra"; lmi_j_fail(j, LM_E_FORMAT, 0, "expected an object"); }
    for (k = 0; !j->bad && k < v.u.seq->n; k += 2) lmi_j_set(j, &j->scope->vars, v.u.seq->v[k], v.u.seq->v[k + 1]);
}
/* The template's text, with \n for every line end, without the last one. */
static lm_status lmi_j_source(lmi_jinja *j, const lm_model *m, const lm_chat_desc *d) {
    const char *p = d->template_text; size_t n = d->template_bytes, i, k; char *to; lm_meta meta;
    if (p == NULL && m && ((d->tools_json && lm_meta_find(m, "tokenizer.chat_template.tool_use", &meta) == LM_OK && meta.type == LM_META_STR)
        || (lm_meta_find(m, "tokenizer.chat_template", &meta) == LM_OK && meta.type == LM_META_STR))) { p = meta.text; n = meta.text_bytes; }
    else if (p == NULL) {
        if (m == NULL) return lmi_fail(j->err, LM_E_ARG, "neither a model nor a template");
        p = lmi_j_chatml; n = sizeof lmi_j_chatml - 1;
        lmi_tell(j->hooks, 1, "tokenizer.chat_template is missing: the conversation is laid out as ChatML");
    }
    if (n > j->max_held) return lmi_fail(j->err, LM_E_MEMORY, "chat template: longer than %u bytes", (uint64_t)j->max_held);
    to = (char *)lmi_j_new(j, (uint64_t)n + 1);
    for (i = k = 0; to && i < n; i++) { if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n') continue; to[k++] = p[i] == '\r' ? '\n' : p[i]; }
    if (k > 0 && to && to[k - 1] == '\n') k--;
    j->src = to; j->n_src = k; j->pos = 0; j->line_start = 1;
    return j->bad;
}
/* Renders into j->out. lmi_j_end follows in any case. */
static lm_status lmi_j_render(lmi_jinja *j, const lm_model *m, const lm_chat_desc *d, lm_error *err) {
    lmi_jscope *outer; lmi_jnode *tree; uint64_t n = (uint64_t)d->messages_bytes + d->tools_bytes + d->extra_bytes; int i; lm_status s;
    memset(j, 0, sizeof *j);
    j->hooks = d->hooks.take || !m ? &d->hooks : lmi_model_hooks(m); j->err = err;
    for (i = 0; d->messages && i < d->n_messages; i++)
        n += d->messages[i].content_bytes || !d->messages[i].content ? d->messages[i].content_bytes : strlen(d->messages[i].content);
    if (n > LMI_MAX_TEXT) return lmi_fail(err, LM_E_ARG, "a conversation of %u bytes, at most %u are allowed", n, (uint64_t)LMI_MAX_TEXT);
    j->steps = d->max_steps ? d->max_steps : LLAMA_CHAT_STEPS + 32 * n; n = LLAMA_CHAT_BYTES + 32 * n;
    j->max_held = d->max_bytes ? d->max_bytes : (size_t)LMI_MIN(n, (uint64_t)(SIZE_MAX / 4));
    if ((s = lmi_j_source(j, m, d)) != LM_OK) return s;
    tree = lmi_j_body(j, "");
    outer = (lmi_jscope *)lmi_j_new(j, sizeof *outer); j->scope = outer;
    if (outer) lmi_j_globals_in(j, m, d);
    if (!j->bad && (j->scope = (lmi_jscope *)lmi_j_new(j, sizeof *j->scope)) != NULL) { j->scope->up = outer; lmi_j_run(j, tree); }
    return j->bad;
}
static lm_status lmi_chat_check(const lm_chat_desc *d, int ok, lm_error *err) {
    int i;
    if (!ok || d == NULL) return lmi_fail(err, LM_E_ARG, "a pointer is NULL");
    if (d->n_messages < 0 || (d->n_messages > 0 && d->messages == NULL)) return lmi_fail(err, LM_E_ARG, "n_messages does not fit messages");
    for (i = 0; i < d->n_messages; i++) if (d->messages[i].role == NULL) return lmi_fail(err, LM_E_ARG, "messages[%d] has no role", i);
    return lmi_ok(err);
}

/* ---- API: chat */
LMI_API lm_status lm_chat_render(const lm_model *m, const lm_chat_desc *d, char *text, size_t cap, size_t *n_bytes, lm_error *err) {
    lmi_jinja j; lm_status s; lmi_fpenv fp;
    LMI_TRY(lmi_chat_check(d, n_bytes != NULL && (text != NULL || cap == 0), err));
    fp = lmi_fp_enter();
    s = lmi_j_render(&j, m, d, err);
    if (s == LM_OK) { *n_bytes = j.n_out; if (j.n_out && cap) memcpy(text, j.out, LMI_MIN(cap, j.n_out)); }
    if (s == LM_OK && j.n_out > cap) s = lmi_fail(err, LM_E_FULL, "the text has %u bytes, the buffer %u", (uint64_t)j.n_out, (uint64_t)cap);
    lmi_j_end(&j);
    lmi_fp_leave(fp);
    return s;
}
LMI_API lm_status lm_chat_tokenize(const lm_model *m, const lm_chat_desc *d, lm_token *ids, size_t cap, size_t *n_ids, lm_error *err) {
    lmi_jinja j; lm_status s; lmi_fpenv fp; size_t n = 0;
    LMI_TRY(lmi_chat_check(d, m != NULL && n_ids != NULL && (ids != NULL || cap == 0), err));
    fp = lmi_fp_enter();
    s = lmi_j_render(&j, m, d, err);
    if (s == LM_OK) {
        s = lmi_tokenize_marked(m, j.out, j.n_out, (const uint8_t *)j.out + j.cap_out, LM_TEXT_PARSE_SPECIAL, ids, cap, &n);
        if (s == LM_OK || s == LM_E_FULL) *n_ids = n;
        if (s == LM_E_FULL) lmi_fail(err, s, "the conversation has %u tokens, there is room for %u", (uint64_t)n, (uint64_t)cap);
        else if (s != LM_OK) lmi_fail(err, s, "the conversation cannot be tokenized: %s", s == LM_E_SUPPORT ? "the model has no vocabulary"
            : lm_status_text(s));
    }
    lmi_j_end(&j);
    lmi_fp_leave(fp);
    return s;
}
#endif /* LLAMA_NO_CHAT */

/* ============================================================================================== >>model
 * From the file's tensors to plain structs that the forward pass reads: hyperparameters, matrices (in place, in the file's layout), norms
 * and biases (copied as float32), rotary frequencies. The header is walked three times: to count, to fill tables in scratch from which the
 * exact size follows, and to fill the model's own tables in its one block.
 */
typedef struct lmi_mat {              /* y = W x + bias; W [n_out][n_in] */
    const uint8_t *data; size_t row_bytes;
    int woven;                        /* 1: data is groups of 16 interleaved rows, 0: rows */
    int type, flags, n_in, n_out, id; /* id: see lmi_mat_at */
    const float *bias;                /* [n_out] or NULL */
} lmi_mat;
typedef struct lmi_layer {
    const float *attn_norm, *ffn_norm;            /* [n_embd] */
    lmi_mat wq, wk, wv, wo, gate, up, down;
} lmi_layer;
struct lm_model {
    int n_vocab, n_ctx_train, n_embd, n_layer, n_head, n_head_kv, dk, dv, n_ff, n_rot, n_swa;
    float eps, rope_base, rope_factor, rope_mag;  /* rope_mag multiplies cos and sin */
    lm_rope_scaling rope_scaling;
    lmi_mat embd, output;                         /* [n_vocab][n_embd] */
    const float *output_norm;                     /* [n_embd] */
    lmi_layer *layer;                             /* [n_layer] */
    const double *rope_freq;                      /* [n_rot / 2] radians per position */
    const lmi_kernels *k;
    lmi_vocab vocab;
    lmi_gguf gguf;
    lmi_file *file; int n_files;
    lm_hooks hooks;
    void *own; uint64_t own_bytes;                /* the block, where it came from the hooks */
    char arch[64];
    int vocab_only, plain, tied;
#ifndef LLAMA_NO_QUANTIZE
    lmi_mixing mixing;                            /* while opening, with a mix */
#endif
    size_t widest_rows; uint8_t *rows; uint64_t n_done; /* while opening: 16 rows of the widest matrix, scratch of that size for each thread, bytes bound */
    struct lmi_team *team;                        /* while opening, where threads quantize; else NULL */
    uint64_t load_us;
};

static const lmi_vocab *lmi_model_vocab(const lm_model *m) { return &m->vocab; }
static const lm_hooks *lmi_model_hooks(const lm_model *m) { return &m->hooks; }

/* ---- hyperparameters */
static lm_status lmi_per_layer(const lm_model *model, const char *key, int64_t most, int64_t dflt, int *out, lm_error *err) {
    /* some files give one value per layer; they are read when all are equal */
    const lmi_gguf *g = &model->gguf; lm_meta m, item; uint64_t i; int64_t v; lm_status s;
    memset(&item, 0, sizeof item);
    if (!lmi_kv(g, key, &m) || m.type != LM_META_ARR) {
        s = lmi_want_int(g, key, 1, most, dflt, &v, err);
        *out = (int)v;
        if (s == LM_OK && v == 0) return lmi_fail(err, LM_E_FORMAT, "%s is missing", key);
        return s;
    }
    if (m.item == LM_META_STR || m.item == LM_META_ARR || m.n == 0)
        return lmi_fail(err, LM_E_FORMAT, "%s is neither an integer nor an array of integers", key);
    if (m.n != (uint64_t)model->n_layer) return lmi_fail(err, LM_E_FORMAT, "%s has %u items for %d layers", key, m.n, model->n_layer);
    for (i = 0, v = 0; i < m.n; i++) {
        lm_meta_item(&m, i, &item);
        if (item.i < 1 || item.i > most) return lmi_fail(err, LM_E_FORMAT, "%s[%u] is out of range", key, i);
        if (i > 0 && item.i != v) return lmi_fail(err, LM_E_SUPPORT, "%s differs between layers, which is not built in", key);
        v = item.i;
    }
    *out = (int)v;
    return LM_OK;
}

static lm_status lmi_rope_params(lm_model *m, lm_error *err) {
    const lmi_gguf *g = &m->gguf; lmi_str kind; double v; int64_t n;
    LMI_TRY(lmi_want_int(g, "llama.rope.dimension_count", 2, m->dk, m->dk, &n, err)); m->n_rot = (int)n;
    if (m->n_rot % 2) return lmi_fail(err, LM_E_FORMAT, "llama.rope.dimension_count is %d, expected an even number", m->n_rot);
    LMI_TRY(lmi_want_real(g, "llama.rope.freq_base", 1.0001, 1e12, 10000.0, &v, err)); m->rope_base = (float)v;
    LMI_TRY(lmi_want_real(g, "llama.rope.scale_linear", 1e-6, 1e6, 1.0, &v, err));
    LMI_TRY(lmi_want_real(g, "llama.rope.scaling.factor", 1e-6, 1e6, v, &v, err)); m->rope_factor = (float)v;
    LMI_TRY(lmi_want_str(g, "llama.rope.scaling.type", "linear", &kind, err));
    if (lmi_str_is(kind, "none")) { m->rope_scaling = LM_ROPE_NONE; m->rope_factor = 1; }
    else if (lmi_str_is(kind, "linear")) m->rope_scaling = m->rope_factor == 1 ? LM_ROPE_NONE : LM_ROPE_LINEAR;
    else if (lmi_str_is(kind, "yarn")) m->rope_scaling = LM_ROPE_YARN;
    else if (lmi_str_is(kind, "longrope")) return lmi_fail(err, LM_E_SUPPORT, "llama.rope.scaling.type is longrope, which is not built in");
    else return lmi_fail(err, LM_E_FORMAT, "llama.rope.scaling.type is %S, expected none, linear or yarn", kind);
    return LM_OK;
}
static lm_status lmi_hparams(lm_model *m, lm_error *err) {
    const lmi_gguf *g = &m->gguf; int64_t n; int causal; double v;
    if (!lmi_str_is(lmi_cstr(m->arch), "llama")) return lmi_fail(err, LM_E_SUPPORT, "general.architecture is %s; only llama is built in", m->arch);
    LMI_TRY(lmi_want_int(g, "llama.expert_count", 0, INT32_MAX, 0, &n, err));
    if (n > 0) return lmi_fail(err, LM_E_SUPPORT, "llama.expert_count is %d: mixtures of experts are not built in", (int)n);
    LMI_TRY(lmi_want_bool(g, "llama.attention.causal", 1, &causal, err));
    if (!causal) return lmi_fail(err, LM_E_SUPPORT, "llama.attention.causal is false: only causal models are built in");
    LMI_TRY(lmi_want_int(g, "llama.context_length", 1, INT32_MAX, 0, &n, err)); m->n_ctx_train = (int)n;
    if (n == 0) return lmi_fail(err, LM_E_FORMAT, "llama.context_length is missing");
    LMI_TRY(lmi_want_int(g, "llama.block_count", 1, INT32_MAX, 0, &n, err));
    if (n == 0) return lmi_fail(err, LM_E_FORMAT, "llama.block_count is missing");
    if ((uint64_t)n > g->n_tensor / 9)
        return lmi_fail(err, LM_E_FORMAT, "llama.block_count is %u, but the file has %u tensors, 9 are needed for each", (uint64_t)n, g->n_tensor);
    m->n_layer = (int)n;
    LMI_TRY(lmi_want_int(g, "llama.embedding_length", 1, (1 << 24) - 1, 0, &n, err)); m->n_embd = (int)n;
    if (n == 0) return lmi_fail(err, LM_E_FORMAT, "llama.embedding_length is missing");
    LMI_TRY(lmi_per_layer(m, "llama.feed_forward_length", 1 << 24, 0, &m->n_ff, err));
    LMI_TRY(lmi_per_layer(m, "llama.attention.head_count", 1 << 14, 0, &m->n_head, err));
    LMI_TRY(lmi_per_layer(m, "llama.attention.head_count_kv", m->n_head, m->n_head, &m->n_head_kv, err));
    if (m->n_head % m->n_head_kv)
        return lmi_fail(err, LM_E_FORMAT, "llama.attention.head_count %d is no multiple of head_count_kv %d", m->n_head, m->n_head_kv);
    LMI_TRY(lmi_want_int(g, "llama.attention.key_length", 1, 1 << 16, m->n_embd % m->n_head ? 0 : m->n_embd / m->n_head, &n, err)); m->dk = (int)n;
    LMI_TRY(lmi_want_int(g, "llama.attention.value_length", 1, 1 << 16, m->dk, &n, err)); m->dv = (int)n;
    if (m->dk == 0) {
        return lmi_fail(err, LM_E_FORMAT, "llama.attention.key_length is missing and embedding_length %d is no multiple of head_count %d",
            m->n_embd, m->n_head);
    }
    if (m->n_head * (int64_t)LMI_MAX(m->dk, m->dv) > 1 << 28)
        return lmi_fail(err, LM_E_FORMAT, "%d heads of size %d are too many", m->n_head, LMI_MAX(m->dk, m->dv));
    LMI_TRY(lmi_want_int(g, "llama.attention.sliding_window", 0, INT32_MAX, 0, &n, err)); m->n_swa = (int)n;
    LMI_TRY(lmi_want_real(g, "llama.attention.layer_norm_rms_epsilon", 1e-30, 1.0, -1.0, &v, err));
    if (v < 0) return lmi_fail(err, LM_E_FORMAT, "llama.attention.layer_norm_rms_epsilon is missing");
    m->eps = (float)v;
    return lmi_rope_params(m, err);
}

/* ---- tensors */
static lmi_tensor *lmi_weight(const lm_model *m, int layer, const char *name, const char *suffix) { /* "blk.7.attn_q" ".weight" */
    char full[64]; lmi_out o; lmi_str s;
    o.p = full; o.n = 0; o.cap = sizeof full;
    if (layer >= 0) { lmi_puts(&o, "blk."); lmi_put_u64(&o, (uint64_t)layer); lmi_putc(&o, '.'); }
    lmi_puts(&o, name); lmi_puts(&o, suffix);
    s.p = full; s.n = o.n;
    return lmi_tensor_find(&m->gguf, s);
}
static lm_status lmi_missing(int layer, const char *name, lm_error *err) {
    return layer < 0 ? lmi_fail(err, LM_E_FORMAT, "tensor %s.weight is missing", name)
        : lmi_fail(err, LM_E_FORMAT, "tensor blk.%d.%s.weight is missing", layer, name);
}
/* Bytes of a tensor, from memory or through the part's reader. */
static lm_status lmi_tensor_read(const lm_model *m, const lmi_tensor *t, uint64_t at, size_t n, uint8_t *dst, lm_error *err) {
    const lmi_file *f = &m->file[t->part];
    if (t->data) { memcpy(dst, t->data + at, n); return LM_OK; }
    if (f->read_at(f->user, t->offset + at, dst, n) == 0) return LM_OK;
    return lmi_fail(err, LM_E_IO, "%s: reading %u bytes at %u failed", f->name, (uint64_t)n, t->offset + at);
}
static void lmi_read_floats(int type, const uint8_t *p, int n, float *out) { /* of a float type, as a file has them */
    int i;
    if (type == LMI_F32) for (i = 0; i < n; i++) out[i] = lmi_f32(p + 4 * i);
    else if (type == LMI_F16) for (i = 0; i < n; i++) out[i] = lmi_f16(lmi_u16(p + 2 * i));
    else for (i = 0; i < n; i++) out[i] = lmi_bits_f32((uint32_t)lmi_u16(p + 2 * i) << 16);
}
/* A vector of n floats, copied from whatever float type into the arena. *out stays NULL where the tensor is absent. */
static lm_status lmi_bind_vec(const lm_model *m, lmi_arena *a, const lmi_tensor *t, int n, const float **out, lm_error *err) {
    const lmi_type *type; float *v; uint8_t some[1024]; int at, k;
    *out = NULL;
    if (t == NULL) return LM_OK;
    type = lmi_type_of(t->type);
    if (t->dims[0] != (uint64_t)n || t->dims[1] != 1 || t->dims[2] != 1 || t->dims[3] != 1)
        return lmi_fail(err, LM_E_FORMAT, "tensor %S has shape [%u, %u], expected [%d]", t->name, t->dims[0], t->dims[1], n);
    if (!(type->flags & LMI_FLT)) return lmi_fail(err, LM_E_SUPPORT, "tensor %S has type %s, expected F32, F16 or BF16", t->name, type->name);
    v = (float *)lmi_push(a, (uint64_t)n, sizeof(float));
    for (at = 0; v && at < n; at += k) {
        k = LMI_MIN(n - at, 256);
        LMI_TRY(lmi_tensor_read(m, t, (uint64_t)at * type->n_bytes, (size_t)k * type->n_bytes, some, err));
        lmi_read_floats(type->number, some, k, v + at);
    }
    *out = v;
    return LM_OK;
}
/* A block scale that is no number would poison every activation it touches: float16 fields stand at the start and the end of a block. */
static lm_status lmi_check_scales(const lmi_tensor *t, const lmi_type *type, uint64_t first, size_t n_blocks, const uint8_t *p, lm_error *err) {
    int at[2], n = 0, i; size_t b;
    if (type->flags & LMI_FLT) return LM_OK;
    if (type->lead >= 2) at[n++] = 0;
    if (type->lead == 4 && (type->flags & LMI_OFF)) at[n++] = 2;
    if (type->tail == 4) at[n++] = (int)type->n_bytes - 4;
    if (type->tail >= 2) at[n++] = (int)type->n_bytes - 2;
    for (b = 0; b < n_blocks; b++, p += type->n_bytes) for (i = 0; i < n; i++) {
        if ((p[at[i] + 1] & 0x7c) == 0x7c) return lmi_fail(err, LM_E_FORMAT, "tensor %S: the scale of block %u is no number", t->name, first + b);
    }
    return LM_OK;
}
/* n rows of a tensor of floats -> w's type, in scratch: [16 rows of the file][16 rows of the result][a row of floats]. */
static lm_status lmi_bind_quantized(const lm_model *m, const lmi_tensor *t, const lmi_mat *w, size_t from_bytes, const uint8_t **from, int n, uint8_t *scratch,
    lm_error *err) {
#ifndef LLAMA_NO_QUANTIZE
    uint8_t *to = scratch + 16 * ((from_bytes + 3) & ~(size_t)3); int r;
    float *x = (float *)(void *)(to + 16 * ((w->row_bytes + 3) & ~(size_t)3));
    for (r = 0; r < n; r++) {
        lmi_read_floats(t->type, *from + (size_t)r * from_bytes, w->n_in, x);
        if (lmi_quantize(m->k, w->type, x, 1, (uint64_t)w->n_in, NULL, to + (size_t)r * w->row_bytes) != LM_OK)
            return lmi_fail(err, LM_E_FORMAT, "tensor %S: a weight is no number", t->name);
    }
    *from = to;
    return LM_OK;
#else
    (void)m; (void)t; (void)w; (void)from_bytes; (void)from; (void)n; (void)scratch; (void)err;
    return LM_E_SUPPORT;
#endif
}
/* Group g of a matrix, interleaved to its place. */
static lm_status lmi_bind_group(const lm_model *m, const lmi_tensor *t, const lmi_mat *w, int g, uint8_t *to, uint8_t *scratch, lm_error *err) {
    const lmi_type *type = lmi_type_of(w->type); size_t blocks = (size_t)w->n_in / type->n, from_bytes = (size_t)(t->n_bytes / (uint64_t)w->n_out);
    const uint8_t *row[16], *from = t->data ? t->data + (size_t)g * 16 * from_bytes : scratch; int r, n = LMI_MIN(16, w->n_out - 16 * g);
    if (t->data == NULL) LMI_TRY(lmi_tensor_read(m, t, (uint64_t)g * 16 * from_bytes, (size_t)n * from_bytes, scratch, err));
    if (w->type != t->type) LMI_TRY(lmi_bind_quantized(m, t, w, from_bytes, &from, n, scratch, err));
    LMI_TRY(lmi_check_scales(t, type, (uint64_t)g * 16 * blocks, blocks * (size_t)n, from, err));
    for (r = 0; r < 16; r++) row[r] = from + (size_t)LMI_MIN(r, n - 1) * w->row_bytes;
    lmi_interleave(type, row, n, blocks, to + (size_t)g * 16 * w->row_bytes);
    return LM_OK;
}
typedef struct lmi_binding { const lm_model *m; const lmi_tensor *t; const lmi_mat *w; uint8_t *to; uint64_t failed; } lmi_binding;
static void lmi_bind_job(void *owner, const lmi_work *work, int slot, int item, int n) {
    lmi_binding *b = (lmi_binding *)owner; uint8_t *scratch = b->m->rows + (size_t)slot * b->m->widest_rows;
    (void)work;
    for (; n > 0; n--, item++) if (lmi_bind_group(b->m, b->t, b->w, item, b->to, scratch, NULL) != LM_OK) lmi_atomic_set(&b->failed, 1);
}
/* A matrix's bytes: in place, or interleaved into the arena 16 rows at a time through the opening's scratch. */
static lm_status lmi_bind_data(lm_model *m, lmi_arena *a, lmi_tensor *t, lmi_mat *w, lm_error *err) {
    const lmi_type *type = lmi_type_of(w->type); size_t group_bytes = 16 * w->row_bytes, blocks = (size_t)w->n_in / type->n; int g, groups = (w->n_out + 15) / 16;
    size_t from_bytes = (size_t)(t->n_bytes / (uint64_t)w->n_out);
    uint8_t *to;
    w->woven = !m->plain; w->data = t->data;
    if (m->plain) { return a->base ? lmi_check_scales(t, type, 0, blocks * (size_t)w->n_out, t->data, err) : LM_OK; }
    w->data = to = (uint8_t *)lmi_push(a, (uint64_t)groups, group_bytes);
    if (to == NULL) { /* only counting */
        m->widest_rows = LMI_MAX(m->widest_rows, 16 * from_bytes + (w->type != t->type ? group_bytes + 4 * (size_t)w->n_in + 128 : 0));
        return LM_OK;
    }
    if (m->team && w->type != t->type && t->data) {
        lmi_binding b; lmi_work work;
        memset(&work, 0, sizeof work);
        b.m = m; b.t = t; b.w = w; b.to = to; b.failed = 0; m->team->owner = &b;
        work.compute = lmi_bind_job; work.n_items = groups; work.most = 4;
        lmi_team_run(m->team, &work, 1);
        if (b.failed) return lmi_fail(err, LM_E_FORMAT, "tensor %S: a weight is no number", t->name);
    } else for (g = 0; g < groups; g++) LMI_TRY(lmi_bind_group(m, t, w, g, to, m->rows, err));
    if (m->hooks.progress && m->hooks.progress(m->hooks.user, m->n_done += t->n_bytes, m->gguf.n_tensor_bytes) != 0) return lmi_fail(err, LM_E_CANCEL, "opening was cancelled");
    lmi_file_release(&m->file[t->part], t->offset, t->n_bytes);
    return LM_OK;
}
static lm_status lmi_bind_mat(lm_model *m, lmi_arena *a, int layer, const char *name, int n_in, int n_out, lmi_mat *w, lm_error *err) {
    lmi_tensor *t = lmi_weight(m, layer, name, ".weight"); const lmi_type *type;
    memset(w, 0, sizeof *w);
    if (t == NULL) return lmi_missing(layer, name, err);
    if (t->dims[0] != (uint64_t)n_in || t->dims[1] != (uint64_t)n_out || t->dims[2] != 1 || t->dims[3] != 1) {
        return lmi_fail(err, LM_E_FORMAT, "tensor %S has shape [%u, %u], expected [%d, %d]", t->name, t->dims[0], t->dims[1], n_in, n_out);
    }
    type = lmi_type_of(t->type);
    if (type->flags & LMI_RAW) return lmi_fail(err, LM_E_SUPPORT, "tensor %S has type %s, for which no kernel is built in", t->name, type->name);
    w->type = t->type;
#ifndef LLAMA_NO_QUANTIZE
    if (m->mixing.mix && (type->flags & LMI_FLT)) { w->type = lmi_mix_type(&m->mixing, t); type = lmi_type_of(w->type); }
#endif
    w->flags = type->flags; w->n_in = n_in; w->n_out = n_out;
    w->row_bytes = (size_t)n_in / type->n * type->n_bytes;
    LMI_TRY(lmi_bind_data(m, a, t, w, err));
    return lmi_bind_vec(m, a, lmi_weight(m, layer, name, ".bias"), n_out, &w->bias, err);
}
static lm_status lmi_bind_norm(const lm_model *m, lmi_arena *a, int layer, const char *name, const float **out, lm_error *err) {
    const lmi_tensor *t = lmi_weight(m, layer, name, ".weight");
    if (t == NULL) return lmi_missing(layer, name, err);
    return lmi_bind_vec(m, a, t, m->n_embd, out, err);
}

/* Radians per position for each pair: base^(-2i/n_rot), divided by the file's own factors (Llama 3.1), then by the scaling. YaRN (Peng et al. 2023,
 * arXiv:2309.00071) keeps fast pairs, slows the slow ones, blends between, and scales cos and sin. */
static lm_status lmi_bind_rope(lm_model *m, lmi_arena *a, lm_error *err) {
    const lmi_gguf *g = &m->gguf; const lmi_tensor *t = lmi_weight(m, -1, "rope_freqs", ".weight"); const float *own;
    double *f, lo = 0, hi = 0, fast, slow, attn, factor = (double)m->rope_factor; int64_t orig; int i;
    LMI_TRY(lmi_bind_vec(m, a, t, m->n_rot / 2, &own, err));
    for (i = 0; own && i < m->n_rot / 2; i++) {
        if (!(own[i] >= 1e-6f && own[i] <= 1e6f))
            return lmi_fail(err, LM_E_FORMAT, "tensor rope_freqs.weight[%d] is %f, expected 0.000001 to 1000000", i, (double)own[i]);
    }
    LMI_TRY(lmi_want_real(g, "llama.rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32.0, &fast, err));
    LMI_TRY(lmi_want_real(g, "llama.rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1.0, &slow, err));
    LMI_TRY(lmi_want_real(g, "llama.rope.scaling.attn_factor", 1e-3, 1e3, 1.0, &attn, err));
    LMI_TRY(lmi_want_int(g, "llama.rope.scaling.original_context_length", 1, INT32_MAX, m->n_ctx_train, &orig, err));
    m->rope_mag = (float)attn;
    if (m->rope_scaling == LM_ROPE_YARN) { /* the pair that turns `rotations` times over the original context */
        double per = 2 * lmi_log((double)m->rope_base), twopi = 6.283185307179586;
        lo = floor(m->n_rot * lmi_log((double)orig / (fast * twopi)) / per); hi = ceil(m->n_rot * lmi_log((double)orig / (slow * twopi)) / per);
        lo = LMI_MAX(lo, 0); hi = LMI_MIN(hi, m->n_rot - 1);
        m->rope_mag = (float)(attn * (factor > 1 ? 0.1 * lmi_log(factor) + 1.0 : 1.0));
    }
    f = (double *)lmi_push(a, (uint64_t)m->n_rot / 2, sizeof(double));
    m->rope_freq = f;
    for (i = 0; f && i < m->n_rot / 2; i++) {
        double w = lmi_pow((double)m->rope_base, -2.0 * i / m->n_rot) / (own ? (double)own[i] : 1.0), keep = 0;
        if (m->rope_scaling == LM_ROPE_YARN) keep = 1 - LMI_MIN(1, LMI_MAX(0, (i - lo) / LMI_MAX(0.001, hi - lo)));
        f[i] = w * keep + w / factor * (1 - keep);
    }
    return LM_OK;
}

static lm_status lmi_bind(lm_model *m, lmi_arena *a, lm_error *err) {
    const lmi_tensor *t = lmi_weight(m, -1, "token_embd", ".weight"); lmi_layer unused, *l; int i; int64_t n;
    if (t == NULL) return lmi_missing(-1, "token_embd", err);
    if (t->dims[1] > INT32_MAX / 2) return lmi_fail(err, LM_E_FORMAT, "tensor token_embd.weight has %u rows", t->dims[1]);
    m->n_vocab = (int)t->dims[1];
    LMI_TRY(lmi_want_int(&m->gguf, "llama.vocab_size", 1, INT32_MAX, m->n_vocab, &n, err));
    if (n != m->n_vocab) return lmi_fail(err, LM_E_FORMAT, "llama.vocab_size is %d, but token_embd.weight has %d rows", (int)n, m->n_vocab);
    LMI_TRY(lmi_bind_mat(m, a, -1, "token_embd", m->n_embd, m->n_vocab, &m->embd, err));
    LMI_TRY(lmi_bind_norm(m, a, -1, "output_norm", &m->output_norm, err));
    m->output = m->embd; /* tied, unless the file has its own */
    m->tied = lmi_weight(m, -1, "output", ".weight") == NULL;
    if (!m->tied) LMI_TRY(lmi_bind_mat(m, a, -1, "output", m->n_embd, m->n_vocab, &m->output, err));
    LMI_TRY(lmi_bind_rope(m, a, err));
    m->layer = (lmi_layer *)lmi_push(a, (uint64_t)m->n_layer, sizeof *m->layer);
    for (i = 0; i < m->n_layer; i++) {
        l = m->layer ? &m->layer[i] : &unused;
        LMI_TRY(lmi_bind_norm(m, a, i, "attn_norm", &l->attn_norm, err));
        LMI_TRY(lmi_bind_mat(m, a, i, "attn_q", m->n_embd, m->n_head * m->dk, &l->wq, err));
        LMI_TRY(lmi_bind_mat(m, a, i, "attn_k", m->n_embd, m->n_head_kv * m->dk, &l->wk, err));
        LMI_TRY(lmi_bind_mat(m, a, i, "attn_v", m->n_embd, m->n_head_kv * m->dv, &l->wv, err));
        LMI_TRY(lmi_bind_mat(m, a, i, "attn_output", m->n_head * m->dv, m->n_embd, &l->wo, err));
        LMI_TRY(lmi_bind_norm(m, a, i, "ffn_norm", &l->ffn_norm, err));
        LMI_TRY(lmi_bind_mat(m, a, i, "ffn_gate", m->n_embd, m->n_ff, &l->gate, err));
        LMI_TRY(lmi_bind_mat(m, a, i, "ffn_up", m->n_embd, m->n_ff, &l->up, err));
        LMI_TRY(lmi_bind_mat(m, a, i, "ffn_down", m->n_ff, m->n_embd, &l->down, err));
        l->wq.id = 7 * i; l->wk.id = 7 * i + 1; l->wv.id = 7 * i + 2; l->wo.id = 7 * i + 3; l->gate.id = 7 * i + 4; l->up.id = 7 * i + 5;
        l->down.id = 7 * i + 6;
    }
    m->output.id = 7 * m->n_layer; m->embd.id = m->output.id + 1;
    return LM_OK;
}
/* The matrices by number: 7 of each layer in the order of lmi_layer, then output, then token_embd. */
static const lmi_mat *lmi_mat_at(const lm_model *m, int id, int *layer, const char **name) {
    static const char *const names[] = { "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down" }; const lmi_layer *l;
    const lmi_mat *w[7];
    *layer = id / 7; *name = names[id % 7];
    if (*layer >= m->n_layer) { *layer = -1; *name = id == m->output.id ? "output" : "token_embd"; return id == m->output.id ? &m->output : &m->embd; }
    l = &m->layer[*layer];
    w[0] = &l->wq; w[1] = &l->wk; w[2] = &l->wv; w[3] = &l->wo; w[4] = &l->gate; w[5] = &l->up; w[6] = &l->down;
    return w[id % 7];
}

/* ---- opening */
typedef struct lmi_opening {          /* what exists while a model is being opened, or measured */
    const lm_model_desc *d; lm_error *err;
    lmi_file *file; int n_files;      /* in `extra` where there are several */
    lmi_file one; lmi_part part0;
    void *extra; size_t extra_bytes;
    void *scratch; size_t scratch_bytes;
    lmi_file *header;                 /* [n_files] in scratch: the same files, those not in memory as their headers only */
    uint64_t n_tensor, n_header_bytes; /* over all parts */
} lmi_opening;

/* ".../x-00001-of-00003.gguf" -> the place of the number, or NULL when the name does not fit. */
static const char *lmi_split_number(const char *path, int64_t count) {
    size_t n = strlen(path), tail = sizeof "-00001-of-00003.gguf" - 1, i; const char *p; int64_t given = 0;
    if (n < tail) return NULL;
    p = path + n - tail;
    if (memcmp(p, "-00001-of-", 10) != 0 || memcmp(p + 15, ".gguf", 5) != 0) return NULL;
    for (i = 10; i < 15; i++) { if (p[i] < '0' || p[i] > '9') return NULL; given = given * 10 + (p[i] - '0'); }
    return given == count ? p + 1 : NULL;
}
static lm_status lmi_open_parts(lmi_opening *o, int64_t count) { /* parts 1.. of a model whose part 0 is o->one */
    const lm_model_desc *d = o->d; const char *path = d->path ? d->path : d->source.path; const char *number = NULL;
    size_t n_path = 0, i, k; lm_source s; char *names;
    if (count < 1 || count > LLAMA_MAX_PARTS)
        return lmi_fail(o->err, LM_E_FORMAT, "split.count is out of range, expected 1 to %d", LLAMA_MAX_PARTS);
    if (d->parts && d->n_parts != count)
        return lmi_fail(o->err, LM_E_ARG, "the file says it is split in %u parts, %d are given", (uint64_t)count, d->n_parts);
    if (!d->parts) {
        number = path ? lmi_split_number(path, count) : NULL;
        if (number == NULL) {
            return lmi_fail(o->err, path ? LM_E_FORMAT : LM_E_ARG, "%s: split in %u parts; expected the first, named like NAME-00001-of-%s%u.gguf, "
                "or all of them in `parts`", o->one.name, (uint64_t)count, count < 10 ? "0000" : count < 100 ? "000" : "00", (uint64_t)count);
        }
        n_path = strlen(path) + 1;
    }
    o->extra_bytes = (size_t)count * (sizeof(lmi_file) + n_path);
    o->extra = lmi_take(&d->hooks, o->extra_bytes);
    if (o->extra == NULL) return lmi_fail(o->err, LM_E_MEMORY, "allocation of %u bytes failed", (uint64_t)o->extra_bytes);
    memset(o->extra, 0, o->extra_bytes);
    o->file = (lmi_file *)o->extra; names = (char *)(o->file + count);
    o->file[0] = o->one;
    for (i = 1; i < (size_t)count; i++) {
        char *name = names + i * n_path;
        if (d->parts) s = d->parts[i];
        else {
            size_t value = i + 1;
            memset(&s, 0, sizeof s);
            memcpy(name, path, n_path);
            for (k = 5; k-- > 0; value /= 10) name[(size_t)(number - path) + k] = (char)('0' + (int)(value % 10));
            s.path = name;
        }
        LMI_TRY(lmi_file_open(&o->file[i], &s, o->err));
        o->n_files = (int)i + 1;
    }
    return LM_OK;
}
static lm_status lmi_open_files(lmi_opening *o) {
    const lm_model_desc *d = o->d; lm_source s; lmi_gguf none; int i; lmi_part p;
    memset(&none, 0, sizeof none);
    if ((d->path != NULL) + (d->source.path || d->source.data || d->source.read_at) + (d->parts != NULL) != 1)
        return lmi_fail(o->err, LM_E_ARG, "give exactly one of path, source and parts");
    if (d->parts && d->n_parts < 1) return lmi_fail(o->err, LM_E_ARG, "n_parts is %d, expected at least 1", d->n_parts);
    memset(&s, 0, sizeof s);
    s = d->parts ? d->parts[0] : d->source;
    if (d->path) s.path = d->path;
    LMI_TRY(lmi_file_open(&o->one, &s, o->err));
    o->file = &o->one; o->n_files = 1;
    LMI_TRY(lmi_gguf_walk(&none, &o->file[0], 0, &o->part0, o->err));
    if (o->part0.split_no != 0)
        return lmi_fail(o->err, LM_E_FORMAT, "%s: part %u of a split model; open its first", o->one.name, (uint64_t)o->part0.split_no + 1);
    o->one.n_header = LMI_MIN(o->part0.data_at, o->one.size);
    o->n_tensor = o->part0.n_tensor;
    if (o->part0.split_count != 0 && o->part0.split_count != 1) LMI_TRY(lmi_open_parts(o, o->part0.split_count));
    else if (d->parts && d->n_parts != 1)
        return lmi_fail(o->err, LM_E_ARG, "%s: not a split model, but %d parts are given", o->one.name, d->n_parts);
    o->n_header_bytes = o->file[0].mem ? 0 : o->file[0].n_header;
    for (i = 1; i < o->n_files; i++) {
        LMI_TRY(lmi_gguf_walk(&none, &o->file[i], i, &p, o->err));
        if (p.split_no != i || p.split_count != o->part0.split_count)
            return lmi_fail(o->err, LM_E_FORMAT, "%s: split.no or split.count do not fit part %d of %d", o->file[i].name, i + 1, o->n_files);
        o->file[i].n_header = LMI_MIN(p.data_at, o->file[i].size);
        o->n_tensor += p.n_tensor; o->n_header_bytes += o->file[i].mem ? 0 : o->file[i].n_header;
    }
    if (o->n_files > 1 && (uint64_t)o->part0.split_tensors != o->n_tensor)
        return lmi_fail(o->err, LM_E_FORMAT, "split.tensors.count differs from the %u tensors of all parts", o->n_tensor);
    if (o->n_tensor > INT32_MAX) return lmi_fail(o->err, LM_E_FORMAT, "too many tensors");
    return LM_OK;
}
static void lmi_close_files(lmi_opening *o) {
    int i;
    for (i = 0; i < o->n_files; i++) lmi_file_close(&o->file[i]);
    lmi_give(&o->d->hooks, o->extra, o->extra_bytes);
    lmi_give(&o->d->hooks, o->scratch, o->scratch_bytes);
}
static void lmi_push_tables(lmi_gguf *g, lmi_arena *a, const lmi_opening *o) {
    g->kv = (lm_meta *)lmi_push(a, o->part0.n_kv + 1, sizeof *g->kv);   /* + 1: never NULL, that means "count only" */
    g->tensor = (lmi_tensor *)lmi_push(a, o->n_tensor, sizeof *g->tensor);
    lmi_map_push(&g->kv_by_key, a, o->part0.n_kv);
    lmi_map_push(&g->tensor_by_name, a, o->n_tensor);
    g->n_kv = o->part0.n_kv; g->n_tensor = 0; g->max_tensor = o->n_tensor;
}
/* Brings what is not in memory into `to` (all of it, or just the header) and points the files there. */
static lm_status lmi_read_files(lmi_opening *o, char *to, int header_only) {
    uint64_t done = 0, total = 0; int i;
    for (i = 0; i < o->n_files; i++) if (!o->file[i].mem) total += o->file[i].size;
    for (i = 0; i < o->n_files; i++) {
        lmi_file *f = &o->file[i]; uint64_t at = 0, n = header_only ? f->n_header : f->size;
        if (f->mem) continue;
        while (at < n) {
            size_t step = (size_t)LMI_MIN(n - at, (uint64_t)1 << 24);
            if (!header_only && o->d->hooks.progress && o->d->hooks.progress(o->d->hooks.user, done, total) != 0)
                return lmi_fail(o->err, LM_E_CANCEL, "opening was cancelled");
            if (f->read_at(f->user, at, to + at, step) != 0)
                return lmi_fail(o->err, LM_E_IO, "%s: reading %u bytes at %u failed", f->name, (uint64_t)step, at);
            at += step; done += step;
        }
        if (o->header) memcpy(to, o->header[i].mem, (size_t)f->n_header); /* what was validated is what is used */
        f->mem = (const uint8_t *)to; f->n_walk = n;
        to += n;
    }
    return LM_OK;
}
static lm_status lmi_fill_tables(lmi_opening *o, lmi_gguf *g) {
    int i; lmi_part p;
    for (i = 0; i < o->n_files; i++) {
        LMI_TRY(lmi_gguf_walk(g, &o->file[i], i, &p, o->err));
    }
    return LM_OK;
}
#define LMI_TABLES_ONLY 2             /* vocab_only of a file whose tensors somebody else reads: all of it is kept */
/* What follows from the tables: with an arena that only counts, their validation and the model's size; with a real one, the model. */
static lm_status lmi_model_layout(lm_model *m, lmi_arena *a, const lm_model_desc *d, lm_error *err) {
    lmi_str arch; lmi_out out;
    LMI_TRY(lmi_want_str(&m->gguf, "general.architecture", "", &arch, err));
    if (arch.n == 0 && d->vocab_only != LMI_TABLES_ONLY) return lmi_fail(err, LM_E_FORMAT, "general.architecture is missing");
    out.p = m->arch; out.n = 0; out.cap = sizeof m->arch - 1; lmi_put_text(&out, arch, 1); m->arch[out.n] = 0;
    m->vocab_only = d->vocab_only; m->plain = d->plain_layout;
#ifndef LLAMA_NO_QUANTIZE
    if (d->quantize && d->plain_layout) return lmi_fail(err, LM_E_ARG, "quantize cannot be had with plain_layout");
    if (d->quantize && !lmi_mixing_of(&m->mixing, &m->gguf, d->quantize, 0)) return lmi_fail(err, LM_E_ARG, "quantize: %s is no mix of types", d->quantize);
#else
    if (d->quantize) return lmi_fail(err, LM_E_SUPPORT, "quantize: built with LLAMA_NO_QUANTIZE");
#endif
    if (!d->vocab_only) { LMI_TRY(lmi_hparams(m, err)); LMI_TRY(lmi_bind(m, a, err)); }
    LMI_TRY(lmi_vocab_layout(&m->vocab, &m->gguf, d, a, err));
    if (d->vocab_only) m->n_vocab = m->vocab.n;
    else if (m->vocab.n == 0) m->vocab.n = m->n_vocab; /* ids only */
    else if (m->vocab.n != m->n_vocab)
        return lmi_fail(err, LM_E_FORMAT, "tokenizer.ggml.tokens has %d tokens, but token_embd.weight has %d rows", m->vocab.n, m->n_vocab);
    return LM_OK;
}
/* Of a file that is not in memory, only the header is kept where nothing else is wanted, or where matrices are interleaved as they are read. */
static int lmi_header_only(const lm_model_desc *d) { return d->vocab_only ? d->vocab_only != LMI_TABLES_ONLY : !d->plain_layout; }
/* The front of a model's block; lmi_model_layout follows it. */
typedef struct lmi_front { lm_model *m; lmi_file *file; char *image; lmi_gguf gguf; uint32_t *order; } lmi_front;
static lm_status lmi_push_front(lmi_front *f, lmi_arena *a, const lmi_opening *o) {
    uint64_t n = lmi_header_only(o->d) ? o->n_header_bytes : 0; int i;
    for (i = 0; i < o->n_files && !lmi_header_only(o->d); i++) {
        if (!o->file[i].mem && !lmi_add(n, o->file[i].size, &n)) return lmi_fail(o->err, LM_E_FORMAT, "the parts are too large");
    }
    memset(f, 0, sizeof *f);
    f->m = (lm_model *)lmi_push(a, 1, sizeof(lm_model));
    f->file = (lmi_file *)lmi_push(a, (uint64_t)o->n_files, sizeof(lmi_file));
    f->image = (char *)lmi_push(a, n, 1);
    f->order = (uint32_t *)lmi_push(a, o->n_tensor, sizeof(uint32_t));
    lmi_push_tables(&f->gguf, a, o);
    return LM_OK;
}
/* The tables in scratch, over header bytes in scratch where a file is not in memory: all that measuring needs. */
static lm_status lmi_scratch_tables(lmi_opening *o, lmi_gguf *g) {
    lmi_opening header = *o; lmi_arena a; char *image = NULL; int pass;
    memset(&a, 0, sizeof a);
    for (pass = 0; pass < 2; pass++) {
        if (pass == 1) LMI_TRY(lmi_arena_open(&a, a.used, NULL, 0, &o->d->hooks, &o->scratch, "opening the model", o->err));
        o->scratch_bytes = o->scratch ? (size_t)a.cap + LMI_ALIGN : 0;
        lmi_push_tables(g, &a, o);
        header.file = (lmi_file *)lmi_push(&a, (uint64_t)o->n_files, sizeof(lmi_file));
        image = (char *)lmi_push(&a, o->n_header_bytes, 1);
    }
    memcpy(header.file, o->file, (size_t)o->n_files * sizeof(lmi_file));
    LMI_TRY(lmi_read_files(&header, image, 1));
    o->header = header.file;
    return lmi_fill_tables(&header, g);
}
/* Scratch for rows, and threads where matrices are quantized. In one block: [n][widest_rows] scratch, then team and shares. */
typedef struct lmi_loaders { lmi_team team; lmi_share share[1]; } lmi_loaders;
typedef struct lmi_loading { uint8_t *block; size_t bytes; } lmi_loading;
static lm_status lmi_loaders_open(lmi_loading *l, lm_model *m, const lm_model_desc *d, lm_error *err) {
    int n = d->quantize ? lmi_team_size(d->n_threads, &d->hooks) : 1; size_t rows; lmi_loaders *t; lm_status s;
    m->widest_rows = (m->widest_rows + 63) & ~(size_t)63;
    rows = (size_t)n * m->widest_rows;
    l->bytes = rows + (n > 1 ? sizeof *t + (size_t)n * sizeof t->share[0] : 0);
    l->block = m->rows = (uint8_t *)lmi_take(&d->hooks, l->bytes);
    if (l->block == NULL) return lmi_fail(err, LM_E_MEMORY, "allocation of %u bytes failed", (uint64_t)l->bytes);
    if (n == 1) return LM_OK;
    t = (lmi_loaders *)(void *)(l->block + rows);
    memset(t, 0, l->bytes - rows);
    t->team.share = t->share;
    s = lmi_team_open(&t->team, n, &m->hooks, NULL, err);
    if (s == LM_OK) m->team = &t->team;
    return s;
}
static void lmi_loaders_close(const lmi_loading *l, lm_model *m) {
    if (m->team) lmi_team_close(m->team);
    lmi_give(&m->hooks, l->block, l->bytes);
    m->team = NULL; m->rows = NULL;
}
/* Measures (out NULL) or opens. */
static lm_status lmi_model_make(lm_model **out, uint64_t *n_bytes, lmi_opening *o) {
    const lm_model_desc *d = o->d; lm_error *err = o->err; lm_model *m, tmp; lmi_arena a; lmi_front f; void *own; lm_status s; int i;
    uint64_t t0 = lmi_now_us(); lmi_loading loaders;
    memset(&tmp, 0, sizeof tmp); memset(&a, 0, sizeof a); memset(&loaders, 0, sizeof loaders);
    tmp.hooks = d->hooks;
    LMI_TRY(lmi_kernels_pick(&tmp.k, err));
    LMI_TRY(lmi_open_files(o));
    LMI_TRY(lmi_scratch_tables(o, &tmp.gguf));
    LMI_TRY(lmi_push_front(&f, &a, o));
    LMI_TRY(lmi_model_layout(&tmp, &a, d, err));
    if (a.used == UINT64_MAX || !lmi_add(a.used, LMI_ALIGN, n_bytes))
        return lmi_fail(err, LM_E_MEMORY, "the model is larger than this system can address");
    if (out == NULL) return LM_OK;

    LMI_TRY(lmi_arena_open(&a, a.used, d->block, d->block_bytes, &d->hooks, &own, "the model", err));
    if (d->hooks.take == NULL) lmi_large_pages(own, (size_t)a.cap);
    lmi_push_front(&f, &a, o);
    m = f.m;
    memset(m, 0, sizeof *m);
    m->hooks = d->hooks; m->k = tmp.k; m->own = own; m->own_bytes = *n_bytes; m->n_files = o->n_files; m->file = f.file; m->gguf = f.gguf;
    s = lmi_read_files(o, f.image, lmi_header_only(d));
    if (s == LM_OK) s = lmi_fill_tables(o, &m->gguf);
    if (s == LM_OK) s = lmi_gguf_overlap(&m->gguf, f.order, err);
    memcpy(m->file, o->file, (size_t)o->n_files * sizeof(lmi_file));
    m->widest_rows = tmp.widest_rows;
    if (s == LM_OK && tmp.widest_rows > 0 && (o->n_header_bytes > 0 || d->quantize)) s = lmi_loaders_open(&loaders, m, d, err); /* something is read row by row */
    if (s == LM_OK) s = lmi_model_layout(m, &a, d, err);
    if (s == LM_OK) s = lmi_vocab_build(&m->vocab, &m->gguf, d, err);
    lmi_loaders_close(&loaders, m);
    if (s != LM_OK) { lmi_give(&d->hooks, own, (size_t)*n_bytes); return s; }
    for (i = 0; i < m->n_files; i++) {
        if (o->file[i].opened == 2) { lmi_file_close(&o->file[i]); m->file[i].opened = 0; } /* nothing is read any more */
        m->file[i].name = "";             /* the caller's text need not live on */
        o->file[i].opened = 0;            /* the model's now */
    }
    m->load_us = lmi_since(t0);
    *out = m;
    return LM_OK;
}
static lm_status lmi_model_run(lm_model **out, uint64_t *n_bytes, const lm_model_desc *d, lm_error *err) {
    lmi_opening o; lm_status s; lmi_fpenv fp = lmi_fp_enter(); lm_error mine;
    memset(&o, 0, sizeof o);
    o.d = d; o.err = err ? err : &mine;
    s = lmi_model_make(out, n_bytes, &o);
    lmi_close_files(&o);
    lmi_fp_leave(fp);
    return s == LM_OK ? lmi_ok(err) : s;
}
LMI_API lm_status lm_model_size(const lm_model_desc *d, size_t *n_bytes, lm_error *err) {
    uint64_t n;
    if (d == NULL || n_bytes == NULL) return lmi_fail(err, LM_E_ARG, "descriptor and result must be given");
    LMI_TRY(lmi_model_run(NULL, &n, d, err));
    if (n > SIZE_MAX) return lmi_fail(err, LM_E_MEMORY, "the model needs %u bytes, more than this system can address", n);
    *n_bytes = (size_t)n;
    return LM_OK;
}
LMI_API lm_status lm_model_open(lm_model **out, const lm_model_desc *d, lm_error *err) {
    uint64_t n;
    if (d == NULL || out == NULL) return lmi_fail(err, LM_E_ARG, "descriptor and result must be given");
    return lmi_model_run(out, &n, d, err);
}
LMI_API void lm_model_close(lm_model *m) {
    int i; lm_hooks h;
    if (m == NULL) return;
    for (i = 0; i < m->n_files; i++) lmi_file_close(&m->file[i]);
    h = m->hooks;
    lmi_give(&h, m->own, (size_t)m->own_bytes);
}

/* ---- asking a model */
LMI_API void lm_model_get_info(const lm_model *m, lm_model_info *out) {
    int i;
    memset(out, 0, sizeof *out);
    out->arch = m->arch; out->isa = m->k->isa; out->pre = lmi_vocab_pre(&m->vocab);
    out->n_vocab = m->n_vocab; out->n_ctx_train = m->n_ctx_train; out->n_embd = m->n_embd; out->n_layer = m->n_layer;
    out->n_head = m->n_head; out->n_head_kv = m->n_head_kv; out->n_embd_head_k = m->dk; out->n_embd_head_v = m->dv;
    out->n_ff = m->n_ff; out->n_rot = m->n_rot; out->n_swa = m->n_swa; out->rms_eps = m->eps;
    out->tied = m->tied;
    out->rope_scaling = m->rope_scaling; out->rope_freq_base = m->rope_base; out->rope_scale_factor = m->rope_factor;
    out->n_parts = m->n_files; out->n_params = m->gguf.n_params; out->n_tensor_bytes = m->gguf.n_tensor_bytes;
    for (i = 0; i < m->n_files; i++) out->n_file_bytes += m->file[i].size;
    out->n_block_bytes = m->own_bytes; out->load_us = m->load_us;
}
LMI_API int lm_meta_count(const lm_model *m) { return (int)m->gguf.n_kv; }
LMI_API lm_status lm_meta_at(const lm_model *m, int i, lm_meta *out) {
    if (i < 0 || (uint64_t)i >= m->gguf.n_kv) return LM_E_ARG;
    *out = m->gguf.kv[i];
    return LM_OK;
}
LMI_API lm_status lm_meta_find(const lm_model *m, const char *key, lm_meta *out) { return lmi_kv(&m->gguf, key, out) ? LM_OK : LM_E_ARG; }
LMI_API int lm_tensor_count(const lm_model *m) { return (int)m->gguf.n_tensor; }
LMI_API lm_status lm_tensor_at(const lm_model *m, int i, lm_tensor *out) {
    const lmi_tensor *t;
    if (i < 0 || (uint64_t)i >= m->gguf.n_tensor) return LM_E_ARG;
    t = &m->gguf.tensor[i];
    out->name = t->name.p; out->name_bytes = t->name.n; out->type = t->type; out->n_dims = t->n_dims; out->part = t->part;
    memcpy(out->dims, t->dims, sizeof out->dims);
    out->offset = t->offset; out->n_bytes = t->n_bytes; out->data = t->data;
    return LM_OK;
}
LMI_API void lm_tensor_release(const lm_model *m, int i) {
    const lmi_tensor *t;
    if (m == NULL || i < 0 || (uint64_t)i >= m->gguf.n_tensor) return;
    t = &m->gguf.tensor[i];
    lmi_file_release(&m->file[t->part], t->offset, t->n_bytes);
}
LMI_API lm_status lm_tensor_find(const lm_model *m, const char *name, lm_tensor *out) {
    const lmi_tensor *t = lmi_tensor_find(&m->gguf, lmi_cstr(name));
    return t ? lm_tensor_at(m, (int)(t - m->gguf.tensor), out) : LM_E_ARG;
}
static void lmi_dequantize(const lmi_kernels *kernels, const lmi_type *t, const uint8_t *p, size_t n, float *dst) {
    size_t k;
    for (; (t->flags & LMI_FLT) && n > 0; n -= k, dst += k, p += k * t->n_bytes) { k = LMI_MIN(n, (size_t)1 << 20); lmi_read_floats(t->number, p, (int)k, dst); }
    for (; n > 0; n -= k) { /* 16 blocks as rows of one block each */
        const uint8_t *row[16]; uint8_t group[16 * 256]; int r, rows = (int)LMI_MIN(n / t->n, (size_t)16);
        for (r = 0; r < 16; r++) row[r] = p + (size_t)LMI_MIN(r, rows - 1) * t->n_bytes;
        lmi_interleave(t, row, rows, 1, group);
        kernels->rows(t->number, group, (int)t->n, dst, t->n, 1, rows);
        k = (size_t)rows * t->n; dst += k; p += (size_t)rows * t->n_bytes;
    }
}
LMI_API lm_status lm_dequantize(int type, const void *src, size_t n, float *dst) {
    const lmi_type *t = lmi_type_of(type); lmi_fpenv fp;
    if (t == NULL || n % t->n != 0) return LM_E_ARG;
    if (t->flags & LMI_RAW) return LM_E_SUPPORT;
    fp = lmi_fp_enter();
    lmi_dequantize(lmi_base, t, (const uint8_t *)src, n, dst);
    lmi_fp_leave(fp);
    return LM_OK;
}

#ifndef LLAMA_NO_QUANTIZE
LMI_API lm_status lm_mix_types(const lm_model *m, const char *mix, int has_importance, int *types) {
    lmi_mixing x; uint64_t i;
    if (m == NULL || types == NULL || !lmi_mixing_of(&x, &m->gguf, mix, has_importance)) return LM_E_ARG;
    for (i = 0; i < m->gguf.n_tensor; i++) types[i] = lmi_mix_type(&x, &m->gguf.tensor[i]);
    return LM_OK;
}
#endif

/* ============================================================================================== >>adapter
 * LoRA adapters (Hu et al. 2021, arXiv:2106.09685) from GGUF files. The file is opened like a model of which only tables are wanted; each pair of
 * tensors is checked against the model's matrix and becomes float32, 16 rows interleaved, as the float kernels want it. How they are applied: section
 * forward, lmi_adapt.
 */
#define LMI_MAX_ADAPTERS 8            /* of one sequence */
typedef struct lmi_lora {             /* of one matrix; a NULL: none */
    float *a, *b;                     /* [rank / 16][n_in][16], of token_embd plain [n_vocab][rank]; [n_out / 16][rank][16] */
    int rank;
} lmi_lora;
struct lm_adapter {
    const lm_model *m;
    lmi_lora *w;                      /* [7 n_layer + 2], by lmi_mat.id */
    float alpha; uint64_t sum;        /* of all it holds */
    lm_hooks hooks; void *own; size_t own_bytes;
};

static lm_status lmi_adapter_head(const lm_model *f, const lm_model *m, float *alpha, lm_error *err) {
    lmi_str type, kind, arch; double v; lm_meta unused;
    LMI_TRY(lmi_want_str(&f->gguf, "general.type", "", &type, err));
    LMI_TRY(lmi_want_str(&f->gguf, "adapter.type", "", &kind, err));
    LMI_TRY(lmi_want_str(&f->gguf, "general.architecture", "", &arch, err));
    if (!lmi_str_is(type, "adapter")) return lmi_fail(err, LM_E_FORMAT, "general.type is %S, expected adapter", type);
    if (!lmi_str_is(kind, "lora")) return lmi_fail(err, LM_E_SUPPORT, "adapter.type is %S; only lora is built in", kind);
    if (!lmi_str_is(arch, m->arch)) return lmi_fail(err, LM_E_ARG, "the adapter's general.architecture is %S, the model's %s", arch, m->arch);
    if (lmi_kv(&f->gguf, "adapter.alora.invocation_tokens", &unused))
        return lmi_fail(err, LM_E_SUPPORT, "adapters that wait for invocation tokens are not built in");
    LMI_TRY(lmi_want_real(&f->gguf, "adapter.lora.alpha", -1e6, 1e6, 0.0, &v, err));
    *alpha = (float)v;
    return LM_OK;
}
static lm_status lmi_lora_shape(const lmi_tensor *t, int n, int rows, lm_error *err) { /* [rows][n] */
    const lmi_type *type = lmi_type_of(t->type);
    if (t->dims[0] != (uint64_t)n || t->dims[1] != (uint64_t)rows || t->dims[2] != 1 || t->dims[3] != 1)
        return lmi_fail(err, LM_E_FORMAT, "tensor %S has shape [%u, %u], expected [%d, %d]", t->name, t->dims[0], t->dims[1], n, rows);
    if (type->flags & LMI_RAW) return lmi_fail(err, LM_E_SUPPORT, "tensor %S has type %s, for which no kernel is built in", t->name, type->name);
    return LM_OK;
}
/* A tensor's rows of n -> groups of 16, missing rows 0; plain: as they are. row: room for one. */
static lm_status lmi_lora_fill(const lmi_tensor *t, float *to, int plain, float *row, uint64_t *sum, lm_error *err) {
    size_t n = (size_t)t->dims[0], rows = (size_t)t->dims[1], row_bytes = (size_t)(t->n_bytes / t->dims[1]), r, i;
    memset(to, 0, (plain ? rows : (rows + 15) & ~(size_t)15) * n * sizeof *to);
    for (r = 0; r < rows; r++) {
        float *at = plain ? to + r * n : to + r / 16 * 16 * n + r % 16;
        if (lm_dequantize(t->type, t->data + r * row_bytes, n, row) != LM_OK) return lmi_fail(err, LM_E_SUPPORT, "tensor %S cannot be read", t->name);
        for (i = 0; i < n; i++) {
            if (!lmi_finite(row[i]))
                return lmi_fail(err, LM_E_FORMAT, "tensor %S: weight %u of row %u is no number", t->name, (uint64_t)i, (uint64_t)r);
            at[plain ? i : 16 * i] = row[i];
        }
        *sum = lmi_stir_floats(*sum, row, (int)n);
    }
    return LM_OK;
}
/* One pair, if the file has it: checked, laid out, and filled where the arena has memory. */
static lm_status lmi_adapter_pair(const lm_model *f, const lm_model *m, int id, lmi_arena *arena, lmi_lora *w, float *row, uint64_t *n_row, uint64_t *found,
    uint64_t *sum, lm_error *err) {
    int layer, embd = id == m->embd.id, rank; const char *name; const lmi_mat *mat = lmi_mat_at(m, id, &layer, &name); uint64_t na, nb;
    const lmi_tensor *a = lmi_weight(f, layer, name, ".weight.lora_a"), *b = lmi_weight(f, layer, name, ".weight.lora_b");
    memset(w, 0, sizeof *w);
    if (a == NULL && b == NULL) return LM_OK;
    if (a == NULL || b == NULL) return lmi_fail(err, LM_E_FORMAT, "tensor %S has no partner", a ? a->name : b->name);
    if (m->tied && id >= m->output.id) {
        if (embd) return lmi_fail(err, LM_E_SUPPORT, "tensor %S: adapters of an embedding that is the output too are not built in", a->name);
        return lmi_fail(err, LM_E_FORMAT, "tensor %S belongs to no matrix of the model", a->name);
    }
    if (b->dims[0] > (uint64_t)mat->n_in)
        return lmi_fail(err, LM_E_FORMAT, "tensor %S has rank %u, more than the matrix's %d inputs", b->name, b->dims[0], mat->n_in);
    rank = (int)b->dims[0];
    LMI_TRY(lmi_lora_shape(a, embd ? rank : mat->n_in, embd ? mat->n_out : rank, err));
    LMI_TRY(lmi_lora_shape(b, rank, embd ? mat->n_in : mat->n_out, err));
    na = (uint64_t)(embd ? mat->n_out : (rank + 15) & ~15) * (uint64_t)(embd ? rank : mat->n_in);
    nb = (((uint64_t)(embd ? mat->n_in : mat->n_out) + 15) & ~(uint64_t)15) * (uint64_t)rank;
    w->rank = rank; w->a = (float *)lmi_push(arena, na, sizeof(float)); w->b = (float *)lmi_push(arena, nb, sizeof(float));
    *n_row = LMI_MAX(*n_row, (uint64_t)mat->n_in); *found += 2;
    if (w->b == NULL) return LM_OK;
    *sum = lmi_stir(lmi_stir(*sum, (uint64_t)id), (uint64_t)rank);
    LMI_TRY(lmi_lora_fill(a, w->a, embd, row, sum, err));
    return lmi_lora_fill(b, w->b, 0, row, sum, err);
}
/* Names the first tensor that no matrix asked for; there is one among the first 2 * (matrices) + 1. */
static lm_status lmi_adapter_stray(const lm_model *f, const lm_model *m, lm_error *err) {
    uint64_t i; int id, layer, norm; const char *name; const lmi_tensor *t;
    for (i = 0; i < f->gguf.n_tensor; i++) {
        t = &f->gguf.tensor[i];
        for (id = 0; id <= m->embd.id; id++) {
            lmi_mat_at(m, id, &layer, &name);
            if (t == lmi_weight(f, layer, name, ".weight.lora_a") || t == lmi_weight(f, layer, name, ".weight.lora_b")) break;
        }
        if (id > m->embd.id) break;
    }
    if (i == f->gguf.n_tensor) return LM_OK;
    for (norm = 0, id = 0; id + 4 < (int)t->name.n; id++) norm |= memcmp(t->name.p + id, "_norm", 5) == 0;
    return norm ? lmi_fail(err, LM_E_SUPPORT, "tensor %S: norms in adapters are not built in", t->name)
        : lmi_fail(err, LM_E_FORMAT, "tensor %S belongs to no matrix of the model", t->name);
}
static lm_status lmi_adapter_make(lm_adapter **out, const lm_model *f, const lm_model *m, const lm_adapter_desc *d, lm_error *err) {
    lmi_arena a; lm_adapter *x = NULL; lmi_lora *w = NULL, unused; int pass, id; uint64_t n_row = 0, found = 0, sum = 3, bytes = 0;
    float alpha = 0, *row = NULL; void *own = NULL;
    lm_status s = LM_OK;
    memset(&a, 0, sizeof a);
    LMI_TRY(lmi_adapter_head(f, m, &alpha, err));
    for (pass = 0; pass < 2 && s == LM_OK; pass++) {
        if (pass == 1) {
            if (found == 0) return lmi_fail(err, LM_E_FORMAT, "the adapter has no tensors");
            if (found != f->gguf.n_tensor) return lmi_adapter_stray(f, m, err);
            bytes = a.used;
            LMI_TRY(lmi_arena_open(&a, bytes, NULL, 0, &d->hooks, &own, "the adapter", err));
        }
        x = (lm_adapter *)lmi_push(&a, 1, sizeof *x);
        w = (lmi_lora *)lmi_push(&a, (uint64_t)m->embd.id + 1, sizeof *w);
        row = (float *)lmi_push(&a, n_row, sizeof(float));
        for (id = 0; id <= m->embd.id && s == LM_OK; id++) {
            s = lmi_adapter_pair(f, m, id, &a, w ? &w[id] : &unused, row, &n_row, &found, &sum, err);
            if (d->hooks.progress && s == LM_OK && d->hooks.progress(d->hooks.user, (uint64_t)id, (uint64_t)m->embd.id) != 0) s = lmi_fail(err, LM_E_CANCEL, "opening was cancelled");
        }
        if (pass == 0) lmi_push(&a, n_row, sizeof(float)); /* `row` was not known yet */
    }
    if (s != LM_OK) { lmi_give(&d->hooks, own, (size_t)bytes + LMI_ALIGN); return s; }
    x->m = m; x->w = w; x->alpha = alpha; x->sum = lmi_stir(sum, lmi_f32_bits(alpha)); x->hooks = d->hooks; x->own = own;
    x->own_bytes = (size_t)bytes + LMI_ALIGN;
    *out = x;
    return LM_OK;
}
LMI_API lm_status lm_adapter_open(lm_adapter **out, const lm_model *m, const lm_adapter_desc *d, lm_error *err) {
    lm_model_desc md; lm_model *f; lm_status s; lmi_fpenv fp;
    if (out == NULL || m == NULL || d == NULL) return lmi_fail(err, LM_E_ARG, "result, model and descriptor must be given");
    if (m->vocab_only) return lmi_fail(err, LM_E_ARG, "the model was opened with vocab_only: there is nothing to adapt");
    memset(&md, 0, sizeof md);
    md.path = d->path; md.source = d->source; md.hooks = d->hooks; md.vocab_only = LMI_TABLES_ONLY;
    LMI_TRY(lm_model_open(&f, &md, err));
    fp = lmi_fp_enter(); s = lmi_adapter_make(out, f, m, d, err); lmi_fp_leave(fp);
    lm_model_close(f);
    return s == LM_OK ? lmi_ok(err) : s;
}
LMI_API void lm_adapter_close(lm_adapter *a) {
    lm_hooks h;
    if (a == NULL) return;
    h = a->hooks;
    lmi_give(&h, a->own, a->own_bytes);
}

/* ============================================================================================== >>forward
 * The model at work: tokens in, hidden states through the layers, logits out. lmi_forward is the whole of it; what stands before are its
 * words. Shapes are [n_tok] rows of the width named; n_tok tokens are computed at once, of any mix of sequences.
 *
 * The cache: for each layer and sequence, pages of 64 positions; a page holds, for each key-value head, K and V as lmi_attend wants them.
 */
typedef struct lmi_slot {             /* one thread's scratch */
    void *panel; uint8_t *group; float *head, *page, *out; uint64_t n_macs;
    int fits, bad;                    /* of what is in scratch, nothing is out of range; 1 + the layer where something was that counts */
    char own_line[8];
} lmi_slot;
typedef struct lmi_run {              /* a decode under way */
    lm_batch batch; int active, at, n_tok, layer, n_rows; /* at: first token of those computed now */
    uint64_t t0, used_us;
} lmi_run;
typedef struct lmi_worn { const lm_adapter *a; float scale; } lmi_worn;
struct lm_ctx {
    const lm_model *m;
    lm_ctx_info info;                 /* the descriptor with its defaults filled in */
    lm_hooks hooks;
    void *own;
    uint8_t *cache; size_t head_bytes, page_bytes, seq_bytes, layer_bytes; int n_pages; /* pages of one sequence and layer */
    int as_seq, as_want;              /* what a batch without seq and want means (lmi_decode_as) */
    int *n_past, *n_next;             /* [n_seq] length; length with the tokens of the decode under way */
    uint64_t *n_seen; lm_token *ids;  /* [n_seq] tokens since it was empty, those dropped too; [n_seq][n_ctx] by position */
    int *tok_seq, *tok_pos;           /* [n_batch] */
    float *x, *h, *q, *k, *v, *att, *gate, *up; /* [n_batch][...] residual, normed, projections, attention, feed-forward */
    float *angle;                     /* [n_batch][2][n_rot] what lmi_rope takes: cosines, sines */
    lmi_act *act;                     /* [n_batch][] the input of a product as int8 */
    float *logits, *embedding; int *row_token; /* [n_logits][n_vocab], [n_logits][n_embd], [n_logits] token each row belongs to */
    uint8_t *row_want; int n_rows, n_last;     /* results of the last decode, and its number of tokens */
    lmi_worn *worn; int *n_worn, any_worn; /* [n_seq][LMI_MAX_ADAPTERS], [n_seq] adapters in the order of attachment; 1: there are any */
    int *row_seq; const int *who;     /* [n_logits] sequence of each row of results; of each row of the product under way */
    lmi_slot *slot; lmi_team team;
    lmi_work *plan; int n_plan, most_plan; /* works that are yet to be done */
    void (*observe)(void *user, const char *name, const float *x, int n_in, int n_tok); void *observe_user;
    lmi_run run;
    uint64_t model_sum;               /* lmi_model_sum, 0: not computed yet */
    lm_counters counters;
    lm_error error;
};

/* ---- spreading work. Each word below adds to a plan: works whose items are tokens, heads or groups of 16 rows; lmi_go has the threads do them. A plan is
 * as long as can be, a whole pass where nobody looks in between the layers: threads need not meet the caller, who may be stopped, at every step. */
static void lmi_go(lm_ctx *c) { lmi_team_run(&c->team, c->plan, c->n_plan); c->n_plan = 0; }
static lmi_work *lmi_plan(lm_ctx *c, lmi_job compute, lmi_job commit, int n_items) {
    lmi_work *w;
    if (c->n_plan == c->most_plan) lmi_go(c);
    w = &c->plan[c->n_plan++];
    memset(w, 0, sizeof *w);
    w->compute = compute; w->commit = commit; w->n_items = n_items; w->most = LMI_MOST; w->n_tok = c->run.n_tok; w->layer = c->run.layer;
    return w;
}
static void lmi_bad(lm_ctx *c, const lmi_work *w, int slot) { if (c->slot[slot].bad == 0) c->slot[slot].bad = 1 + w->layer; } /* infinite or no number */

/* Rows of n_bytes are computed in the slot's panel; here they go to rows t .. t + n - 1 of `to`. */
static void lmi_put(lm_ctx *c, const lmi_work *w, int slot, void *to, size_t n_bytes, int t, int n) {
    memcpy((char *)to + (size_t)t * n_bytes, c->slot[slot].panel, (size_t)n * n_bytes);
    if (!c->slot[slot].fits) lmi_bad(c, w, slot);
}
/* Rows of `rows` numbers: in, normed where there is `norm`, silu(in) * up where there is `up`; as floats to out[0] or, for the products of mat[0], as int8. */
static void lmi_row_compute(void *owner, const lmi_work *w, int slot, int t, int n) {
    const lm_ctx *c = (const lm_ctx *)owner; const lmi_kernels *k = c->m->k; lmi_slot *s = &c->slot[slot]; size_t width = (size_t)w->rows;
    lmi_act *a = (lmi_act *)s->panel; float *y = (float *)s->panel + (w->mat[0] ? 8 * width : 0); const float *x = w->in + (size_t)t * width; /* 8 floats: room for LMI_MOST acts */
    for (s->fits = 1; n > 0; n--, t++, x += width) {
        if (w->norm) s->fits &= lmi_finite(k->norm(x, w->norm, w->rows, c->m->eps, y));
        if (w->up) k->swiglu(x, w->up + (size_t)t * width, w->rows, y);
        if (w->mat[0]) { s->fits &= k->quantize(w->norm || w->up ? y : x, w->rows, a); a += width / 32; } else y += width;
    }
}
static void lmi_row_commit(void *owner, const lmi_work *w, int slot, int t, int n) {
    lm_ctx *c = (lm_ctx *)owner;
    if (w->mat[0]) lmi_put(c, w, slot, c->act, (size_t)(w->rows / 32) * sizeof(lmi_act), t, n);
    else lmi_put(c, w, slot, w->out[0], (size_t)w->rows * sizeof(float), t, n);
}
static lmi_work *lmi_row(lm_ctx *c, const float *in, int width, int n_tok, float *out) {
    lmi_work *w = lmi_plan(c, lmi_row_compute, lmi_row_commit, n_tok);
    w->in = in; w->rows = width; w->out[0] = out;
    return w;
}
static void lmi_norm(lm_ctx *c, const float *x, int n_tok, const float *norm, float *y) { lmi_row(c, x, c->m->n_embd, n_tok, y)->norm = norm; }
static void lmi_swiglu(lm_ctx *c) { lmi_row(c, c->gate, c->m->n_ff, c->run.n_tok, c->gate)->up = c->up; }

/* Up to three products of one input: out[t] = W in[t] + bias, or added to out[t]. An item is k->tile groups of 16 rows; one thread computes it for all
 * tokens, from panels of its weights (unpacked once), or for one token straight from the weights. */
static int lmi_is_int(const lm_ctx *c, const lmi_mat *w) { return !(w->flags & LMI_FLT) && c->info.compute == LM_COMPUTE_AUTO; }
/* 16 rows of w, interleaved: as they lie, or brought into `to`. */
static const uint8_t *lmi_group(const lmi_mat *w, int group, uint8_t *to) {
    const uint8_t *p = w->data + (size_t)group * 16 * w->row_bytes, *row[16]; int r, n_rows = LMI_MIN(16, w->n_out - 16 * group);
    const lmi_type *t = lmi_type_of(w->type);
    if (w->woven) return p;
    for (r = 0; r < 16; r++) row[r] = p + (size_t)LMI_MIN(r, n_rows - 1) * w->row_bytes;
    lmi_interleave(t, row, n_rows, (size_t)w->n_in / t->n, to);
    return to;
}
typedef struct lmi_stripe { int mat, row; } lmi_stripe; /* work->rows rows of one of a work's matrices */
static lmi_stripe lmi_product_stripe(const lmi_work *w, int item) {
    lmi_stripe p;
    for (p.mat = 0; p.mat + 1 < w->n_mat && item >= w->first[p.mat + 1]; p.mat++) {}
    p.row = (item - w->first[p.mat]) * w->rows;
    return p;
}
/* n stripes, out [n][n_tok][rows]; next: what is read after, mostly. Integer products of one type go together. */
static void lmi_product(const lm_ctx *c, const lmi_work *work, lmi_slot *s, const lmi_stripe *p, int n, lmi_stripe next, float *out) {
    const lmi_kernels *k = c->m->k; const uint8_t *group[LMI_GROUPS + LMI_TILE]; int g, r, many, all = work->rows / 16;
    for (; n > 0; n -= many, p += many, out += (size_t)many * (size_t)work->n_tok * (size_t)work->rows) {
        const lmi_mat *w = work->mat[p->mat], *v; int is_int = lmi_is_int(c, w), row; size_t width = (size_t)w->n_in;
        for (many = 0, g = 0; many == 0 || (many < n && g < LMI_GROUPS && is_int && work->n_tok > 1 && w->woven && work->mat[p[many].mat]->type == w->type); many++) {
            for (v = work->mat[p[many].mat], row = p[many].row, r = 0; r < all; r++, g++, row += 16)
                group[g] = row < v->n_out ? lmi_group(v, row / 16, s->group + (size_t)r * 16 * v->row_bytes) : group[g - 1]; /* nobody takes those results */
        }
        if (is_int && work->n_tok == 1) {
            for (g = 0; g < all && p->row + 16 * g < w->n_out; g++) k->mul_q1(w->type, group[g], w->n_in, work->act, out + 16 * g);
        } else if (is_int) {
            if (many < n) next = p[many];
            for (v = work->mat[next.mat], r = 0; r < all; r++) group[g + r] = v->woven && next.row + 16 * r < v->n_out ? lmi_group(v, next.row / 16 + r, NULL) : group[0];
            k->mul_q(w->type, group, g, w->n_in, work->act, work->n_tok, (lmi_panel *)s->panel, out);
        } else if (all == LMI_SOLO) k->mul_f1(w->type, group, w->n_in, work->in, out);
        else if (w->flags & LMI_FLT) k->mul_f(w->type, group, w->n_in, work->in, work->n_tok, out);
        else {
            for (g = 0; g < all; g++) {
                int here = p->row + 16 * g < w->n_out; float *f = (float *)s->panel + (here ? (size_t)g * 16 * width : 0);
                if (here) k->rows(w->type, group[g], w->n_in, f, 1, 16, 16);
                group[g] = (const uint8_t *)f;
            }
            k->mul_f(LMI_HOST, group, w->n_in, work->in, work->n_tok, out);
        }
    }
}
static void lmi_product_compute(void *owner, const lmi_work *w, int slot, int item, int n) {
    const lm_ctx *c = (const lm_ctx *)owner; lmi_stripe p[LMI_MOST]; int i;
    for (i = 0; i < n; i++) p[i] = lmi_product_stripe(w, item + i);
    lmi_product(c, w, &c->slot[slot], p, n, lmi_product_stripe(w, LMI_MIN(item + n, w->n_items - 1)), c->slot[slot].out);
}
static void lmi_product_commit(void *owner, const lmi_work *work, int slot, int item, int n) {
    lm_ctx *c = (lm_ctx *)owner; lmi_dst dst; lmi_stripe p; int i; const lmi_mat *w;
    for (i = 0; i < n; i++) {
        p = lmi_product_stripe(work, item + i); w = work->mat[p.mat];
        dst.out = work->out[p.mat] + p.row; dst.stride = (size_t)w->n_out; dst.add = work->add; dst.n_lanes = LMI_MIN(work->rows, w->n_out - p.row);
        dst.bias = w->bias ? w->bias + p.row : NULL;
        c->m->k->place(c->slot[slot].out + (size_t)i * (size_t)work->n_tok * (size_t)work->rows, work->rows, work->n_tok, &dst);
        c->slot[slot].n_macs += (uint64_t)w->n_in * (uint64_t)dst.n_lanes * (uint64_t)work->n_tok;
    }
}
/* The input of the last product, silu(gate) * up, as int8 without storing gate and up: an item is 32 rows of both, so wide is an lmi_act. */
static void lmi_gated_compute(void *owner, const lmi_work *w, int slot, int item, int n) {
    const lm_ctx *c = (const lm_ctx *)owner; const lmi_kernels *k = c->m->k; lmi_slot *s = &c->slot[slot]; lmi_stripe p[LMI_MOST] = { { 0, 0 } }, next;
    int i, n_tok = w->n_tok, half = 32 * n / w->rows, apart = w->rows < 32 && n_tok > 1; size_t all = 32 * (size_t)n * (size_t)n_tok;
    float *gate = s->out, *up = gate + all, *y = apart ? gate : up; /* [half][n_tok][rows] each */
    for (i = 0; i < half; i++) { p[i].mat = 0; p[half + i].mat = 1; p[i].row = p[half + i].row = 32 * item + i * w->rows; }
    next.mat = 0; next.row = 32 * (item + n) % w->mat[0]->n_out;
    lmi_product(c, w, s, p, 2 * half, next, gate);
    k->swiglu(gate, up, (int)all, y);
    for (i = 0; apart && i < half; i++) {                    /* two of 16 rows side by side */
        lmi_dst to = { NULL, 32, NULL, 0, 16 };
        to.out = up + (size_t)(i / 2) * 32 * (size_t)n_tok + i % 2 * 16;
        k->place(gate + (size_t)i * 16 * (size_t)n_tok, 16, n_tok, &to);
    }
    s->fits = k->quantize(up, (int)all, (lmi_act *)(void *)gate); /* [n][n_tok] */
}
static void lmi_gated_commit(void *owner, const lmi_work *w, int slot, int item, int n) {
    lm_ctx *c = (lm_ctx *)owner; size_t t, n_tok = (size_t)w->n_tok, step = (size_t)w->mat[0]->n_out / 32; int i; const lmi_act *a = (const lmi_act *)(const void *)c->slot[slot].out;
    for (i = 0; i < n; i++) for (t = 0; t < n_tok; t++) w->made[(size_t)(item + i) + t * step] = *a++;
    if (!c->slot[slot].fits) lmi_bad(c, w, slot);
    c->slot[slot].n_macs += 64 * (uint64_t)n * (uint64_t)w->mat[0]->n_in * (uint64_t)n_tok;
}
/* out += s * (B u), u = A x of n rows that follow each other (s: the file's alpha and the caller's scale); u NULL: it is computed from in. */
static void lmi_lora_rows(lm_ctx *c, int slot, const lmi_worn *worn, const lmi_lora *l, const float *in, int n_in, const float *u, float *out, int n_out, int n) {
    const lmi_kernels *k = c->m->k; lmi_slot *s = &c->slot[slot]; const uint8_t *group[LMI_TILE];
    float *own = (float *)s->panel, v, scale = worn->scale;
    int g, r, t, row, rank = l->rank, rows = 16 * k->tile; size_t group_in = 16 * (size_t)n_in, group_out = 16 * (size_t)rank;
    if (worn->a->alpha != 0) scale = scale * worn->a->alpha / (float)rank;
    for (row = 0; u == NULL && row < rank; row += rows) {
        for (g = 0; g < k->tile; g++) group[g] = (const uint8_t *)(l->a + (size_t)LMI_MIN(row / 16 + g, (rank - 1) / 16) * group_in);
        k->mul_f(LMI_HOST, group, n_in, in, n, s->out);
        for (t = 0; t < n; t++) for (r = 0; r < LMI_MIN(rows, rank - row); r++) own[(size_t)t * (size_t)rank + (size_t)(row + r)] = s->out[t * rows + r];
    }
    for (row = 0; row < n_out; row += rows) {
        for (g = 0; g < k->tile; g++) group[g] = (const uint8_t *)(l->b + (size_t)LMI_MIN(row / 16 + g, (n_out - 1) / 16) * group_out);
        k->mul_f(LMI_HOST, group, rank, u ? u : own, n, s->out);
        for (t = 0; t < n; t++) for (r = 0; r < LMI_MIN(rows, n_out - row); r++) {
            float *y = out + (size_t)t * (size_t)n_out + (size_t)(row + r);
            v = scale * s->out[t * rows + r]; *y = *y + v;
        }
    }
    s->n_macs += (uint64_t)n * (uint64_t)rank * (uint64_t)(n_in + n_out);
}
/* What adapters add to the products of w: an item is 8 rows of one matrix; rows of one sequence that follow each other go together. In the panel
 * there is room for 16 rows of the widest input, and no rank is larger. */
#define LMI_ADAPTED 8
static void lmi_adapt_job(void *owner, const lmi_work *w, int slot, int item, int n_items) {
    lm_ctx *c = (lm_ctx *)owner; const lmi_mat *mat = w->mat[item % w->n_mat];
    int t = item / w->n_mat * LMI_ADAPTED, end = LMI_MIN(t + LMI_ADAPTED, w->n_tok), n, k, seq;
    (void)n_items;                                           /* 1 */
    for (; t < end; t += n) {
        seq = w->who[t];
        for (n = 1; t + n < end && w->who[t + n] == seq; n++) {}
        for (k = 0; k < c->n_worn[seq]; k++) {
            const lmi_worn *worn = &c->worn[(size_t)seq * LMI_MAX_ADAPTERS + (size_t)k]; const lmi_lora *l = &worn->a->w[mat->id];
            if (l->a) lmi_lora_rows(c, slot, worn, l, w->in + (size_t)t * (size_t)mat->n_in, mat->n_in, NULL, w->out[item % w->n_mat] + (size_t)t * (size_t)mat->n_out, mat->n_out, n);
        }
    }
}
/* Where the plan ends in integer products and silu(gate) * up of theirs, makes one work of them, for act [n_tok][] as int8: returns that, or NULL. */
static const lmi_act *lmi_gated(lm_ctx *c) {
    lmi_work *w = &c->plan[c->n_plan - 1], *p = c->n_plan > 1 ? w - 1 : NULL; int i;
    if (w->up == NULL || p == NULL || p->compute != lmi_product_compute || p->n_mat != 2) return NULL;
    for (i = 0; i < p->n_mat; i++) if (!lmi_is_int(c, p->mat[i]) || p->mat[i]->bias || p->out[i] != (i ? w->up : w->in)) return NULL;
    p->compute = lmi_gated_compute; p->commit = lmi_gated_commit; p->made = (lmi_act *)(void *)c->up; /* floats of which nobody needs now */
    p->n_items = w->rows / 32; p->most = LMI_MAX(LMI_MOST / (4 * w->n_tok), LMI_GROUPS / 4);
    c->n_plan--;
    return p->made;
}
/* The input as int8. Where the work before makes these rows and nobody wants them as floats, it rounds them at once. */
static const lmi_act *lmi_round(lm_ctx *c, const float *in, int n_tok, const lmi_mat *a, int alone) {
    lmi_work *w = c->n_plan > 0 ? &c->plan[c->n_plan - 1] : NULL; const lmi_act *made;
    if (!alone || w == NULL || w->compute != lmi_row_compute || w->out[0] != in) w = lmi_row(c, in, a->n_in, n_tok, NULL);
    else if ((made = lmi_gated(c)) != NULL) return made;
    w->mat[0] = a;
    return c->act;
}
static void lmi_observe(lm_ctx *c, const float *in, int n_tok, const lmi_mat *const *mat, int n_mat) {
    int i, layer; const char *name; char full[64]; lmi_out o;
    lmi_go(c);                                               /* until `in` is there */
    for (i = 0; i < n_mat; i++) {
        lmi_mat_at(c->m, mat[i]->id, &layer, &name);
        o.p = full; o.n = 0; o.cap = sizeof full;
        if (layer >= 0) { lmi_puts(&o, "blk."); lmi_put_u64(&o, (uint64_t)layer); lmi_putc(&o, '.'); }
        lmi_puts(&o, name); lmi_puts(&o, ".weight"); full[o.n] = 0;
        c->observe(c->observe_user, full, in, mat[i]->n_in, n_tok);
    }
}
static void lmi_linear3(lm_ctx *c, const float *in, int n_tok, int add, const lmi_mat *a, float *out_a, const lmi_mat *b, float *out_b, const lmi_mat *d,
    float *out_d) {
    lmi_work w; int i, any_int = 0, all_int = 1, all_float = 1; memset(&w, 0, sizeof w);
    w.in = in; w.n_tok = n_tok; w.layer = c->run.layer; w.add = add; w.n_mat = d ? 3 : b ? 2 : 1;
    w.mat[0] = a; w.out[0] = out_a; w.mat[1] = b; w.out[1] = out_b; w.mat[2] = d; w.out[2] = out_d;
    for (i = 0; i < w.n_mat; i++) { any_int |= lmi_is_int(c, w.mat[i]); all_int &= lmi_is_int(c, w.mat[i]); all_float &= (w.mat[i]->flags & LMI_FLT) != 0; }
    w.rows = 16 * (n_tok == 1 && all_float ? LMI_SOLO : c->m->k->tile);
    w.most = LMI_MAX(LMI_MOST * 16 / (n_tok * w.rows), any_int ? LMI_GROUPS * 16 / w.rows : 1);
    for (i = 0; i < w.n_mat; i++) { w.first[i] = w.n_items; w.n_items += (w.mat[i]->n_out + w.rows - 1) / w.rows; }
    if (c->observe) lmi_observe(c, in, n_tok, w.mat, w.n_mat);
    if (any_int) w.act = lmi_round(c, in, n_tok, a, all_int && !c->any_worn);
    w.compute = lmi_product_compute; w.commit = lmi_product_commit; w.who = c->who;
    *lmi_plan(c, NULL, NULL, 0) = w;
    if (!c->any_worn) return;
    w.compute = lmi_adapt_job; w.commit = NULL; w.most = 1; w.n_items = (n_tok + LMI_ADAPTED - 1) / LMI_ADAPTED * w.n_mat;
    *lmi_plan(c, NULL, NULL, 0) = w;
}
static void lmi_linear(lm_ctx *c, const float *in, int n_tok, const lmi_mat *a, float *out, int add) {
    lmi_linear3(c, in, n_tok, add, a, out, NULL, NULL, NULL, NULL);
}

static uint8_t *lmi_cache_at(const lm_ctx *c, int layer, int seq, int pos) { /* the page that holds a position */
    return c->cache + (size_t)layer * c->layer_bytes + (size_t)seq * c->seq_bytes + (size_t)(pos / LMI_PAGE) * c->page_bytes;
}
/* x[0..n) as the cache has a key or a value, then zeros up to `all`; q8_0: bytes, then a scale for each 32. 0: out of range, which would silently hide a key. */
static int lmi_cache_pack(const lm_ctx *c, const float *x, int n, int all, uint8_t *to) {
    int d, fits = 1; lmi_act a; float block[32]; uint16_t *half = (uint16_t *)(void *)(to + (c->info.cache_type == LM_CACHE_Q8_0 ? all + all % 2 : 0));
    memset(to, 0, (size_t)all * 4);
    if (c->info.cache_type == LM_CACHE_F32) { for (d = 0; d < n; d++) fits &= lmi_finite(x[d]); memcpy(to, x, (size_t)n * sizeof(float)); return fits; }
    if (c->info.cache_type == LM_CACHE_F16) return lmi_to_f16s(x, n, half);
    for (d = 0; d < n; d += 32) {     /* a block, as activations are rounded */
        memset(block, 0, sizeof block); memcpy(block, x + d, (size_t)LMI_MIN(32, n - d) * sizeof(float));
        fits &= c->m->k->quantize(block, 32, &a) && a.d < 65520.0f;
        memcpy(to + d, a.q, (size_t)LMI_MIN(32, all - d)); half[d / 32] = lmi_to_f16(a.d);
    }
    return fits;
}
/* Where the numbers of position j stand: from *at on, *step apart; and the scale of dimension d. Keys are [all][64], values [64][all], scales of both
 * [all / 32][64], after them. */
static void lmi_cache_row(int j, int all, int values, size_t *at, size_t *step) { *at = (size_t)(values ? j * all : j); *step = values ? 1 : LMI_PAGE; }
static uint16_t *lmi_cache_scale(uint8_t *p, int all, int j, int d) { return (uint16_t *)(void *)p + (size_t)all * (LMI_PAGE / 2) + (size_t)(d / 32 * LMI_PAGE + j); }
static void lmi_cache_put(const lm_ctx *c, uint8_t *p, int j, const uint8_t *x, int all, int values) { /* what lmi_cache_pack has made */
    int d, e = c->info.cache_type == LM_CACHE_F32 ? 4 : c->info.cache_type == LM_CACHE_F16 ? 2 : 1; size_t at, step;
    const uint16_t *half = (const uint16_t *)(const void *)x; const float *f = (const float *)(const void *)x;
    lmi_cache_row(j, all, values, &at, &step);
    if (values) memcpy(p + at * (size_t)e, x, (size_t)(all * e));
    else if (e == 4) for (d = 0; d < all; d++, at += step) ((float *)(void *)p)[at] = f[d];
    else if (e == 2) for (d = 0; d < all; d++, at += step) ((uint16_t *)(void *)p)[at] = half[d];
    else for (d = 0; d < all; d++, at += step) p[at] = x[d];
    if (e == 1) for (half += (all + 1) / 2, d = 0; d < all; d += 32) *lmi_cache_scale(p, all, j, d) = half[d / 32];
}
static void lmi_cache_get(const lm_ctx *c, uint8_t *p, int j, float *x, int n, int all, int values) { /* the way back */
    int d; size_t at, step; const lm_cache_type type = c->info.cache_type;
    lmi_cache_row(j, all, values, &at, &step);
    for (d = 0; d < n; d++, at += step) {
        x[d] = type == LM_CACHE_F32 ? ((float *)(void *)p)[at] : type == LM_CACHE_F16 ? lmi_f16(((uint16_t *)(void *)p)[at])
            : lmi_f16(*lmi_cache_scale(p, all, j, d)) * (float)(int8_t)p[at];
    }
}
/* Rotates q and k of tokens by their positions, and puts k and v into the cache. In scratch: q, then each head's key and value. */
static size_t lmi_packed_bytes(const lm_ctx *c) { return 4 * (size_t)(c->m->dk + ((c->m->dv + 15) & ~15)); } /* of one head */
static size_t lmi_rotated_bytes(const lm_ctx *c) { return 4 * (size_t)(c->m->n_head * c->m->dk) + (size_t)c->m->n_head_kv * lmi_packed_bytes(c); } /* of one token */
static void lmi_rotate_compute(void *owner, const lmi_work *w, int slot, int t, int n) {
    const lm_ctx *c = (const lm_ctx *)owner; const lm_model *m = c->m; lmi_slot *s = &c->slot[slot]; uint8_t *p; size_t n_q = (size_t)(m->n_head * m->dk); int i, h;
    (void)w;
    for (s->fits = 1, i = 0; i < n; i++) {
        const float *cs = c->angle + (size_t)(t + i) * 2 * (size_t)m->n_rot, *sn = cs + m->n_rot, *k = c->k + (size_t)(t + i) * (size_t)(m->n_head_kv * m->dk),
            *v = c->v + (size_t)(t + i) * (size_t)(m->n_head_kv * m->dv);
        float *q = (float *)(void *)((uint8_t *)s->panel + (size_t)i * lmi_rotated_bytes(c)), *turned = s->head;
        memcpy(q, c->q + (size_t)(t + i) * n_q, n_q * sizeof(float));
        for (h = 0; h < m->n_head; h++) m->k->rope(q + h * m->dk, cs, sn, m->n_rot);
        p = (uint8_t *)(q + n_q);
        for (h = 0; h < m->n_head_kv; h++, k += m->dk, v += m->dv, p += lmi_packed_bytes(c)) {
            memcpy(turned, k, (size_t)m->dk * sizeof(float));
            m->k->rope(turned, cs, sn, m->n_rot);
            s->fits &= lmi_cache_pack(c, turned, m->dk, m->dk, p) & lmi_cache_pack(c, v, m->dv, (m->dv + 15) & ~15, p + 4 * m->dk);
        }
    }
}
static void lmi_rotate_commit(void *owner, const lmi_work *w, int slot, int t, int n) {
    lm_ctx *c = (lm_ctx *)owner; const lm_model *m = c->m; const uint8_t *p = (const uint8_t *)c->slot[slot].panel; size_t n_q = (size_t)(m->n_head * m->dk) * sizeof(float); int h;
    for (; n > 0; n--, t++) {
        uint8_t *page = lmi_cache_at(c, w->layer, c->tok_seq[t], c->tok_pos[t]); int j = c->tok_pos[t] % LMI_PAGE;
        memcpy((uint8_t *)c->q + (size_t)t * n_q, p, n_q);
        for (h = 0, p += n_q; h < m->n_head_kv; h++, page += c->head_bytes, p += lmi_packed_bytes(c)) {
            lmi_cache_put(c, page, j, p, m->dk, 0);
            lmi_cache_put(c, page + lmi_cached_bytes(c->info.cache_type, m->dk), j, p + 4 * m->dk, (m->dv + 15) & ~15, 1);
        }
    }
    if (!c->slot[slot].fits) lmi_bad(c, w, slot);
}
/* Queries of one key-value head, lmi_queries at a time (token by token, the heads that share it), over their sequence's cache: positions
 * pos - n_swa + 1 .. pos, or all up to pos. Queries of different sequences do not share a pass. */
static int lmi_queries(const lm_ctx *c, int n_tok) { /* many share the floats of a page, but every thread wants some */
    int n = LMI_QUERIES, all = n_tok * (c->m->n_head / c->m->n_head_kv);
    while (n > 4 && (all + n - 1) / n * c->m->n_head_kv < 4 * c->team.n) n /= 2;
    return n;
}
static void lmi_attend_compute(void *owner, const lmi_work *w, int slot, int item, int n) {
    const lm_ctx *c = (const lm_ctx *)owner; const lm_model *m = c->m; int per = m->n_head / m->n_head_kv, kv = item % m->n_head_kv, most = lmi_queries(c, w->n_tok);
    int at = item / m->n_head_kv * most, end = LMI_MIN(at + most, w->n_tok * per), i; size_t dv16 = ((size_t)m->dv + 15) & ~(size_t)15; lmi_attend a;
    (void)n;                                                 /* 1 */
    a.page_bytes = c->page_bytes; a.dk = m->dk; a.dv = m->dv; a.cache = c->info.cache_type; a.scale = 1.0f / sqrtf((float)m->dk);
    a.scratch = c->slot[slot].page;
    for (i = at; i < end; i += a.n) {
        int seq = c->tok_seq[i / per];
        for (a.n = 0; i + a.n < end && c->tok_seq[(i + a.n) / per] == seq; a.n++) {
            int t = (i + a.n) / per, h = kv * per + (i + a.n) % per;
            a.q[a.n] = c->q + ((size_t)t * (size_t)m->n_head + (size_t)h) * (size_t)m->dk; a.out[a.n] = c->slot[slot].head + (size_t)(i + a.n - at) * dv16;
            a.last[a.n] = c->tok_pos[t]; a.first[a.n] = m->n_swa > 0 ? LMI_MAX(0, c->tok_pos[t] - m->n_swa + 1) : 0;
        }
        a.page = lmi_cache_at(c, w->layer, seq, 0) + (size_t)kv * c->head_bytes;
        m->k->attend(&a);
    }
}
static void lmi_attend_commit(void *owner, const lmi_work *w, int slot, int item, int n) {
    lm_ctx *c = (lm_ctx *)owner; const lm_model *m = c->m; int per = m->n_head / m->n_head_kv, kv = item % m->n_head_kv, most = lmi_queries(c, w->n_tok);
    int at = item / m->n_head_kv * most, end = LMI_MIN(at + most, w->n_tok * per), i; size_t dv = (size_t)m->dv, dv16 = (dv + 15) & ~(size_t)15;
    for (i = at; i < end; i++) {
        int t = i / per, h = kv * per + i % per; n = m->n_swa > 0 ? LMI_MIN(m->n_swa, c->tok_pos[t] + 1) : c->tok_pos[t] + 1;
        memcpy(c->att + ((size_t)t * (size_t)m->n_head + (size_t)h) * dv, c->slot[slot].head + (size_t)(i - at) * dv16, dv * sizeof(float));
        c->slot[slot].n_macs += (uint64_t)n * (uint64_t)(m->dk + m->dv);
    }
}
static void lmi_attention(lm_ctx *c) {
    int n = lmi_queries(c, c->run.n_tok);
    lmi_plan(c, lmi_rotate_compute, lmi_rotate_commit, c->run.n_tok)->most = 4;
    lmi_plan(c, lmi_attend_compute, lmi_attend_commit, (c->run.n_tok * (c->m->n_head / c->m->n_head_kv) + n - 1) / n * c->m->n_head_kv)->most = 1;
}
/* Cosines and sines for lmi_rope at a position, [n_rot] each. */
static void lmi_angles(const lm_model *m, double pos, double mag, float *co, float *si) {
    int i; double s, c;
    for (i = 0; i < m->n_rot; i += 2) {
        lmi_sincos(pos * m->rope_freq[i / 2], &s, &c);
        co[i] = co[i + 1] = (float)(c * mag); si[i + 1] = (float)(s * mag); si[i] = -si[i + 1];
    }
}
/* A full sequence's window moves (lm_decode says how): positions n_keep + n_drop .. n_ctx - 1 of one layer and head go down by n_drop. A value is the
 * same after lmi_cache_get and _put: of a q8_0 block the largest |q| is 127, so its scale comes out again, exactly. */
static void lmi_roll_job(void *owner, const lmi_work *w, int slot, int item, int n) {
    const lm_ctx *c = (const lm_ctx *)owner; const lm_model *m = c->m; const lm_ctx_info *in = &c->info; float *x = c->slot[slot].head, most;
    int layer = item / m->n_head_kv, seq = w->add, dv16 = (m->dv + 15) & ~15, i, j; uint8_t *packed = (uint8_t *)c->slot[slot].panel;
    size_t head = (size_t)(item % m->n_head_kv) * c->head_bytes, keys = lmi_cached_bytes(in->cache_type, m->dk);
    (void)n;                                                 /* 1 */
    most = in->cache_type == LM_CACHE_F16 ? 65504.0f : in->cache_type == LM_CACHE_F32 ? FLT_MAX : 127 * 65504.0f;
    for (j = in->n_keep + in->n_drop; j < in->n_ctx; j++) {
        uint8_t *from = lmi_cache_at(c, layer, seq, j) + head, *to = lmi_cache_at(c, layer, seq, j - in->n_drop) + head;
        const int a = j % LMI_PAGE, b = (j - in->n_drop) % LMI_PAGE;
        lmi_cache_get(c, from, a, x, m->dk, m->dk, 0);
        m->k->rope(x, c->angle, c->angle + m->n_rot, m->n_rot);
        for (i = 0; i < m->n_rot; i++) x[i] = LMI_MAX(-most, LMI_MIN(most, x[i]));
        lmi_cache_pack(c, x, m->dk, m->dk, packed); lmi_cache_put(c, to, b, packed, m->dk, 0);
        lmi_cache_get(c, from + keys, a, x, m->dv, dv16, 1);
        lmi_cache_pack(c, x, m->dv, dv16, packed); lmi_cache_put(c, to + keys, b, packed, dv16, 1);
    }
}
static void lmi_roll(lm_ctx *c, int seq) {
    const lm_ctx_info *in = &c->info; lm_token *ids = c->ids + (size_t)seq * (size_t)in->n_ctx + in->n_keep; int kept = in->n_ctx - in->n_keep - in->n_drop; lmi_work *w;
    lmi_angles(c->m, -(double)in->n_drop, 1.0, c->angle, c->angle + c->m->n_rot);
    w = lmi_plan(c, lmi_roll_job, NULL, c->m->n_layer * c->m->n_head_kv); w->add = seq; w->most = 1;
    lmi_go(c);
    memmove(ids, ids + in->n_drop, (size_t)kept * sizeof *ids);
    c->n_next[seq] -= in->n_drop;
    if (c->n_past[seq] > in->n_keep) c->n_past[seq] = LMI_MAX(in->n_keep, c->n_past[seq] - in->n_drop);
}

/* What a batch says of token i; of one without seq and want the context says it. */
enum { LMI_WANT_LAST = 0, LMI_WANT_NONE, LMI_WANT_ALL };
static int lmi_want(const lm_ctx *c, const lm_batch *b, int i) {
    return b->want ? b->want[i] : c->as_want == LMI_WANT_ALL || (c->as_want == LMI_WANT_LAST && i == b->n - 1) ? LM_WANT_LOGITS : 0;
}
static int lmi_seq(const lm_ctx *c, const lm_batch *b, int i) { return b->seq ? b->seq[i] : c->as_seq; }

/* Takes the next n_batch tokens: their embeddings into x, 16 at a time as rows of a group; their sequences, positions and angles. */
static void lmi_embed_job(void *owner, const lmi_work *work, int slot, int item, int n_items) {
    lm_ctx *c = (lm_ctx *)owner; const lm_model *m = c->m; const lmi_mat *w = &m->embd; const lmi_type *type = lmi_type_of(w->type);
    int t = item * 16, n = LMI_MIN(16, c->run.n_tok - t), r; const uint8_t *row[16]; size_t blocks = (size_t)w->n_in / type->n;
    uint8_t *plain = (uint8_t *)c->slot[slot].panel;
    (void)work; (void)n_items;
    for (r = 0; r < 16; r++) {
        size_t id = (size_t)c->run.batch.ids[c->run.at + t + LMI_MIN(r, n - 1)];
        row[r] = w->data + id * w->row_bytes;
        if (!w->woven) continue;
        row[r] = plain + (size_t)LMI_MIN(r, n - 1) * w->row_bytes;
        if (r < n) lmi_pull_row(type, w->data + id / 16 * 16 * w->row_bytes, (int)(id % 16), blocks, plain + (size_t)r * w->row_bytes);
    }
    lmi_interleave(type, row, n, blocks, c->slot[slot].group);
    m->k->rows(w->type, c->slot[slot].group, m->n_embd, c->x + (size_t)t * (size_t)m->n_embd, (size_t)m->n_embd, 1, n);
    for (; n > 0; n--, t++) {
        const lmi_worn *worn = &c->worn[(size_t)c->tok_seq[t] * LMI_MAX_ADAPTERS]; int k, id = c->run.batch.ids[c->run.at + t];
        float *co = c->angle + (size_t)t * 2 * (size_t)m->n_rot;
        lmi_angles(m, (double)c->tok_pos[t], (double)m->rope_mag, co, co + m->n_rot);
        for (k = 0; k < c->n_worn[c->tok_seq[t]]; k++) {
            const lmi_lora *l = &worn[k].a->w[w->id];
            if (l->a) lmi_lora_rows(c, slot, &worn[k], l, NULL, 0, l->a + (size_t)id * (size_t)l->rank, c->x + (size_t)t * (size_t)m->n_embd, m->n_embd, 1);
        }
    }
}
static void lmi_embed(lm_ctx *c) {
    lmi_run *r = &c->run; int t, l, seq, n_ctx = c->info.n_ctx;
    for (t = 0; t < LMI_MIN(c->info.n_batch, r->batch.n - r->at); t++) {
        seq = lmi_seq(c, &r->batch, r->at + t);
        if (c->n_next[seq] == n_ctx) { if (t > 0) break; lmi_roll(c, seq); } /* full: what comes before is computed first */
        c->tok_seq[t] = seq; c->tok_pos[t] = c->n_next[seq]++;
        c->ids[(size_t)seq * (size_t)n_ctx + (size_t)c->tok_pos[t]] = r->batch.ids[r->at + t];
        for (l = 0; c->tok_pos[t] % LMI_PAGE == 0 && l < c->m->n_layer; l++) { /* a new page: scores are computed for all of it, then masked */
            memset(lmi_cache_at(c, l, seq, c->tok_pos[t]), 0, c->page_bytes);
        }
    }
    r->n_tok = t; c->who = c->tok_seq;
    lmi_plan(c, lmi_embed_job, NULL, (r->n_tok + 15) / 16)->most = 1;
}
/* Logits and embeddings of the tokens that asked; one product serves a run of rows that want logits. */
static void lmi_output_job(void *owner, const lmi_work *w, int slot, int item, int n) {
    lm_ctx *c = (lm_ctx *)owner; size_t n_embd = (size_t)c->m->n_embd, row, t;
    (void)slot;
    for (; n > 0; n--, item++) {
        row = (size_t)(w->add + item); t = (size_t)(c->row_token[row] - c->run.at);
        memcpy(c->embedding + row * n_embd, w->in + t * n_embd, n_embd * sizeof(float));
    }
}
static void lmi_finite_job(void *owner, const lmi_work *w, int slot, int item, int n) { /* of 4096 logits each */
    lm_ctx *c = (lm_ctx *)owner; size_t at = (size_t)item * 4096, end = LMI_MIN(at + (size_t)n * 4096, (size_t)w->n_tok * (size_t)c->m->n_vocab); uint32_t top[16], all = 0; int i;
    memset(top, 0, sizeof top);
    for (; at + 16 <= end; at += 16) for (i = 0; i < 16; i++) top[i] |= (lmi_f32_bits(w->in[at + (size_t)i]) & 0x7f800000u) + 0x800000u; /* carries where */
    for (; at < end; at++) all |= (lmi_f32_bits(w->in[at]) & 0x7f800000u) + 0x800000u;                                           /* the exponent is all ones */
    for (i = 0; i < 16; i++) all |= top[i];
    if (all >> 31) lmi_bad(c, w, slot);
}
static void lmi_results(lm_ctx *c) {
    lmi_run *r = &c->run; size_t n_embd = (size_t)c->m->n_embd, n_vocab = (size_t)c->m->n_vocab; int t, row = r->n_rows, k, got = 0, want; lmi_work *w;
    for (t = 0; t < r->n_tok; t++) {
        if ((want = lmi_want(c, &r->batch, r->at + t)) == 0) continue;
        c->row_seq[row] = c->tok_seq[t]; c->row_token[row] = r->at + t; c->row_want[row++] = (uint8_t)want;
    }
    lmi_norm(c, c->x, r->n_tok, c->m->output_norm, c->h);    /* of all: it finds what is no number */
    w = lmi_plan(c, lmi_output_job, NULL, row - r->n_rows); w->in = c->h; w->add = r->n_rows;
    for (k = r->n_rows; k < row; k += LMI_MAX(got, 1)) {
        for (got = 0; k + got < row && (c->row_want[k + got] & LM_WANT_LOGITS); got++) {}
        if (got == 0) continue;
        c->who = c->row_seq + k;
        lmi_linear(c, c->embedding + (size_t)k * n_embd, got, &c->m->output, c->logits + (size_t)k * n_vocab, 0);
        w = lmi_plan(c, lmi_finite_job, NULL, (int)(((size_t)got * n_vocab + 4095) / 4096));
        w->in = c->logits + (size_t)k * n_vocab; w->n_tok = got;
    }
    r->n_rows = row;
}
/* After a layer, or at the end of a pass: not a number? cancelled? out of time? If nobody wants to know after each layer, the plan goes on. */
static lm_status lmi_pause(lm_ctx *c, uint32_t budget_us, int end) {
    int i, bad = 0; const lmi_run *r = &c->run;
    uint64_t per = (uint64_t)c->m->n_layer + 1;              /* the results count as a layer */
    if (!end && budget_us == UINT32_MAX && c->hooks.progress == NULL) return LM_OK;
    lmi_go(c);
    for (i = 0; i < c->team.n; i++) if (c->slot[i].bad && (bad == 0 || c->slot[i].bad < bad)) bad = c->slot[i].bad;
    if (bad) return lmi_fail(&c->error, LM_E_NUMERIC, "a hidden state is infinite or not a number, at token %d, layer %d", r->at, bad - 1);
    if (c->hooks.progress && c->hooks.progress(c->hooks.user, (uint64_t)r->at * per + (uint64_t)r->layer * (uint64_t)r->n_tok, (uint64_t)r->batch.n * per) != 0)
        return lmi_fail(&c->error, LM_E_CANCEL, "decoding was cancelled");
    return budget_us != UINT32_MAX && lmi_since(r->t0) >= budget_us ? LM_MORE : LM_OK;
}

/* The forward pass (Touvron et al. 2023, arXiv:2302.13971, arXiv:2307.09288). Runs until done, or until the layer boundary at which the budget is spent. */
static lm_status lmi_forward(lm_ctx *c, uint32_t budget_us) {
    const lm_model *m = c->m; lmi_run *r = &c->run; const lmi_layer *l; lm_status s;

    for (; r->at < r->batch.n; r->at += r->n_tok, r->layer = 0) {
        if (r->layer == 0) lmi_embed(c);                                            /* x = rows of token_embd */
        while (r->layer < m->n_layer) {
            l = &m->layer[r->layer];
            lmi_norm(c, c->x, r->n_tok, l->attn_norm, c->h);                        /* attention, pre-normalized */
            lmi_linear3(c, c->h, r->n_tok, 0, &l->wq, c->q, &l->wk, c->k, &l->wv, c->v);
            lmi_attention(c);                                                       /* att = softmax(rope(q) rope(K)' / sqrt(dk)) V */
            lmi_linear(c, c->att, r->n_tok, &l->wo, c->x, 1);                       /* x += Wo att */

            lmi_norm(c, c->x, r->n_tok, l->ffn_norm, c->h);                         /* feed-forward, pre-normalized */
            lmi_linear3(c, c->h, r->n_tok, 0, &l->gate, c->gate, &l->up, c->up, NULL, NULL);
            lmi_swiglu(c);                                                          /* gate = silu(gate) * up */
            lmi_linear(c, c->gate, r->n_tok, &l->down, c->x, 1);                    /* x += Wdown gate */

            r->layer++;
            if ((s = lmi_pause(c, budget_us, 0)) != LM_OK) return s;
        }
        lmi_results(c);                                                             /* logits = Wout norm(x) */
        if ((s = lmi_pause(c, UINT32_MAX, 1)) != LM_OK) return s;
    }
    return LM_OK;
}

/* ---- decoding */
static lm_status lmi_ctx_ok(lm_ctx *c) { return lmi_ok(&c->error); }
LMI_API void lm_decode_cancel(lm_ctx *c) {
    int i;
    if (!c->run.active) return;
    for (i = 0; i < c->info.n_seq; i++) c->n_next[i] = c->n_past[i]; /* what was cached beyond the length is never read */
    c->run.active = 0;
}
LMI_API lm_status lm_decode_begin(lm_ctx *c, const lm_batch *b) {
    int i, wanted = 0, seq;
    lm_decode_cancel(c);
    c->n_rows = 0; c->n_last = 0;
    if (b == NULL || b->ids == NULL || b->n < 1) return lmi_fail(&c->error, LM_E_ARG, "a batch needs at least one token");
    for (i = 0; i < b->n; i++) {
        seq = lmi_seq(c, b, i);
        if (b->ids[i] < 0 || b->ids[i] >= c->m->n_vocab) { lmi_fail(&c->error, LM_E_ARG,
            "token %d of the batch is id %d, the vocabulary has %d", i, (int)b->ids[i], c->m->n_vocab); break; }
        if (seq < 0 || seq >= c->info.n_seq) { lmi_fail(&c->error, LM_E_ARG,
            "token %d of the batch is for sequence %d, the context has %d", i, seq, c->info.n_seq); break; }
        if (c->info.full == LM_FULL_ERROR && ++c->n_next[seq] > c->info.n_ctx) { lmi_fail(&c->error, LM_E_FULL,
            "the text is longer than the context: sequence %d has %d tokens, token %d of the batch of %d does not fit in %d", seq,
            c->n_past[seq], i, b->n, c->info.n_ctx); break; }
        if (lmi_want(c, b, i) && ++wanted > c->info.n_logits) { lmi_fail(&c->error, LM_E_FULL,
            "results are wanted for more than n_logits = %d tokens", c->info.n_logits); break; }
    }
    for (seq = 0; seq < c->info.n_seq; seq++) c->n_next[seq] = c->n_past[seq];
    if (i < b->n) return c->error.status;
    memset(&c->run, 0, sizeof c->run);
    c->n_plan = 0;
    c->run.batch = *b; c->run.active = 1;
    for (i = 0; i < c->team.n; i++) { c->slot[i].bad = 0; c->slot[i].n_macs = 0; }
    return lmi_ctx_ok(c);
}
LMI_API lm_status lm_decode_step(lm_ctx *c, uint32_t budget_us) {
    lmi_run *r = &c->run; lm_status s; int i; lmi_fpenv fp;
    if (!r->active) return lmi_fail(&c->error, LM_E_ARG, "no decode was begun");
    fp = lmi_fp_enter();
    r->t0 = lmi_now_us();
    s = lmi_forward(c, budget_us);
    lmi_fp_leave(fp);
    r->used_us += lmi_since(r->t0);
    if (s == LM_MORE) { lmi_ctx_ok(c); return s; }
    if (s != LM_OK) { lm_decode_cancel(c); return s; }
    for (i = 0; i < c->info.n_seq; i++) c->n_past[i] = c->n_next[i];
    for (i = 0; i < r->batch.n; i++) c->n_seen[lmi_seq(c, &r->batch, i)]++;
    for (i = 0; i < c->team.n; i++) c->counters.n_macs += c->slot[i].n_macs;
    c->counters.n_tokens += (uint64_t)r->batch.n; c->counters.n_decodes++; c->counters.decode_us += r->used_us;
    c->n_rows = r->n_rows; c->n_last = r->batch.n; r->active = 0;
    return lmi_ctx_ok(c);
}
LMI_API lm_status lm_decode(lm_ctx *c, const lm_batch *b) {
    lm_status s = lm_decode_begin(c, b);
    return s == LM_OK ? lm_decode_step(c, UINT32_MAX) : s;
}
/* A batch whose tokens are all of one sequence; want: LMI_WANT_. */
static lm_status lmi_decode_as(lm_ctx *c, const lm_batch *b, int seq, int want) {
    lm_status s;
    c->as_seq = seq; c->as_want = want;
    s = lm_decode(c, b);
    c->as_seq = 0; c->as_want = LMI_WANT_LAST;
    return s;
}

static int lmi_row_of(const lm_ctx *c, int i) { /* the row of results that belongs to token i; rows are in the order of tokens */
    int lo = 0, hi = c->n_rows - 1, mid;
    if (i == -1) i = c->n_last - 1;
    while (lo < hi) { mid = lo + (hi - lo) / 2; if (c->row_token[mid] < i) lo = mid + 1; else hi = mid; }
    return lo <= hi && c->row_token[lo] == i ? lo : -1;
}
LMI_API const float *lm_logits(const lm_ctx *c, int i) {
    int row = lmi_row_of(c, i);
    return row < 0 || !(c->row_want[row] & LM_WANT_LOGITS) ? NULL : c->logits + (size_t)row * (size_t)c->m->n_vocab;
}
LMI_API const float *lm_embedding(const lm_ctx *c, int i) {
    int row = lmi_row_of(c, i);
    return row < 0 ? NULL : c->embedding + (size_t)row * (size_t)c->m->n_embd;
}
LMI_API int lm_seq_len(const lm_ctx *c, int seq) { return seq < 0 || seq >= c->info.n_seq ? -1 : c->n_past[seq]; }
static void lmi_forget(lm_ctx *c, int seq, int n_keep) {
    if (n_keep > c->n_past[seq]) return;
    c->n_seen[seq] = n_keep <= c->info.n_keep ? (uint64_t)n_keep : c->n_seen[seq] - (uint64_t)(c->n_past[seq] - n_keep);
    c->n_past[seq] = c->n_next[seq] = n_keep;
}
LMI_API lm_status lm_rewind(lm_ctx *c, int seq, int n_keep) {
    if (c->run.active) return lmi_fail(&c->error, LM_E_ARG, "a decode is under way");
    if (seq < 0 || seq >= c->info.n_seq || n_keep < 0 || n_keep > c->n_past[seq])
        return lmi_fail(&c->error, LM_E_ARG, "cannot keep %d positions of sequence %d", n_keep, seq);
    lmi_forget(c, seq, n_keep);
    return lmi_ctx_ok(c);
}
LMI_API const lm_token *lm_seq_tokens(const lm_ctx *c, int seq) {
    return seq < 0 || seq >= c->info.n_seq ? NULL : c->ids + (size_t)seq * (size_t)c->info.n_ctx;
}
LMI_API uint64_t lm_seq_dropped(const lm_ctx *c, int seq) { return seq < 0 || seq >= c->info.n_seq ? 0 : c->n_seen[seq] - (uint64_t)c->n_past[seq]; }
LMI_API lm_status lm_fork(lm_ctx *c, int from, int to) {
    int l, n = from < 0 || from >= c->info.n_seq ? 0 : c->n_past[from]; size_t n_ctx = (size_t)c->info.n_ctx;
    if (c->run.active) return lmi_fail(&c->error, LM_E_ARG, "a decode is under way");
    if (from < 0 || from >= c->info.n_seq || to < 0 || to >= c->info.n_seq)
        return lmi_fail(&c->error, LM_E_ARG, "cannot fork sequence %d into %d, the context has %d", from, to, c->info.n_seq);
    if (from == to) return lmi_ctx_ok(c);
    for (l = 0; l < c->m->n_layer; l++) memcpy(lmi_cache_at(c, l, to, 0), lmi_cache_at(c, l, from, 0), (size_t)((n + LMI_PAGE - 1) / LMI_PAGE) * c->page_bytes);
    memcpy(c->ids + (size_t)to * n_ctx, c->ids + (size_t)from * n_ctx, (size_t)n * sizeof *c->ids);
    c->n_past[to] = c->n_next[to] = n; c->n_seen[to] = c->n_seen[from];
    memcpy(c->worn + (size_t)to * LMI_MAX_ADAPTERS, c->worn + (size_t)from * LMI_MAX_ADAPTERS, LMI_MAX_ADAPTERS * sizeof *c->worn);
    c->n_worn[to] = c->n_worn[from];
    return lmi_ctx_ok(c);
}
static lm_status lmi_worn_ok(lm_ctx *c, int seq) {
    if (c->run.active) return lmi_fail(&c->error, LM_E_ARG, "a decode is under way");
    return seq < 0 || seq >= c->info.n_seq ? lmi_fail(&c->error, LM_E_ARG, "adapters of sequence %d, the context has %d", seq, c->info.n_seq) : LM_OK;
}
LMI_API lm_status lm_adapter_attach(lm_ctx *c, int seq, const lm_adapter *a, float scale) {
    lmi_worn *w; int k, n;
    LMI_TRY(lmi_worn_ok(c, seq));
    if (a == NULL || a->m != c->m) return lmi_fail(&c->error, LM_E_ARG, "the adapter was opened for another model");
    if (!lmi_finite(scale)) return lmi_fail(&c->error, LM_E_ARG, "the adapter's scale is no finite number");
    w = c->worn + (size_t)seq * LMI_MAX_ADAPTERS; n = c->n_worn[seq];
    for (k = 0; k < n && w[k].a != a; k++) {}
    if (k == LMI_MAX_ADAPTERS) return lmi_fail(&c->error, LM_E_FULL, "sequence %d has %d adapters, no more fit", seq, n);
    w[k].a = a; w[k].scale = scale; c->n_worn[seq] = LMI_MAX(n, k + 1); c->any_worn = 1;
    return lmi_ctx_ok(c);
}
LMI_API lm_status lm_adapter_detach(lm_ctx *c, int seq, const lm_adapter *a) {
    lmi_worn *w; int k, n = 0;
    LMI_TRY(lmi_worn_ok(c, seq));
    w = c->worn + (size_t)seq * LMI_MAX_ADAPTERS;
    for (k = 0; k < c->n_worn[seq]; k++) if (a != NULL && w[k].a != a) w[n++] = w[k];
    if (a != NULL && n == c->n_worn[seq]) return lmi_fail(&c->error, LM_E_ARG, "the adapter is not attached to sequence %d", seq);
    c->n_worn[seq] = n;
    for (c->any_worn = 0, k = 0; k < c->info.n_seq; k++) c->any_worn |= c->n_worn[k] > 0;
    return lmi_ctx_ok(c);
}
static uint64_t lmi_worn_sum(const lm_ctx *c, int seq) { /* 0: none */
    const lmi_worn *w = c->worn + (size_t)seq * LMI_MAX_ADAPTERS; uint64_t h = 0; int k;
    for (k = 0; k < c->n_worn[seq]; k++) h = lmi_stir(lmi_stir(h, w[k].a->sum), lmi_f32_bits(w[k].scale));
    return h;
}
LMI_API const char *lm_ctx_error(const lm_ctx *c) { return c->error.text; }
LMI_API const lm_model *lm_ctx_model(const lm_ctx *c) { return c->m; }
LMI_API void lm_get_counters(const lm_ctx *c, lm_counters *out) { *out = c->counters; }
LMI_API void lm_counters_reset(lm_ctx *c) { memset(&c->counters, 0, sizeof c->counters); }
LMI_API void lm_ctx_get_info(const lm_ctx *c, lm_ctx_info *out) { *out = c->info; }

/* ---- opening a context: one layout, counted first, then carved from the block */
static lm_status lmi_ctx_defaults(const lm_model *m, const lm_ctx_desc *d, lm_ctx_info *i, lm_error *err) {
    memset(i, 0, sizeof *i);
    if (m->vocab_only) return lmi_fail(err, LM_E_ARG, "the model was opened with vocab_only: there is nothing to compute with");
    if (d->n_ctx < 0 || d->n_batch < 0 || d->n_seq < 0 || d->n_logits < 0 || d->n_threads < 0)
        return lmi_fail(err, LM_E_ARG, "a count in the context's descriptor is negative");
    if (d->cache_type != LM_CACHE_F16 && d->cache_type != LM_CACHE_F32 && d->cache_type != LM_CACHE_Q8_0)
        return lmi_fail(err, LM_E_ARG, "cache_type %d is none of f16, f32 and q8_0", (int)d->cache_type);
    if (d->full != LM_FULL_ERROR && d->full != LM_FULL_ROLL) return lmi_fail(err, LM_E_ARG, "full %d is neither error nor roll", (int)d->full);
    if (d->compute != LM_COMPUTE_AUTO && d->compute != LM_COMPUTE_F32)
        return lmi_fail(err, LM_E_ARG, "compute %d is neither auto nor f32", (int)d->compute);
    i->n_ctx = d->n_ctx ? d->n_ctx : LMI_MIN(m->n_ctx_train, 4096);
    i->n_batch = LMI_MIN(d->n_batch ? d->n_batch : 512, 1 << 16);
    i->n_seq = d->n_seq ? d->n_seq : 1;
    i->n_logits = d->n_logits ? d->n_logits : 1;
    i->n_threads = lmi_team_size(d->n_threads, &d->hooks);
    if (i->n_ctx > INT32_MAX - LMI_PAGE) return lmi_fail(err, LM_E_ARG, "n_ctx is %d, too many", i->n_ctx);
    i->cache_type = d->cache_type; i->compute = d->compute; i->full = d->full;
    if (d->full != LM_FULL_ROLL) return LM_OK;
    if (d->n_keep < 0 || d->n_keep >= i->n_ctx) return lmi_fail(err, LM_E_ARG, "n_keep is %d, expected 0 to n_ctx - 1 = %d", d->n_keep, i->n_ctx - 1);
    i->n_keep = d->n_keep; i->n_drop = d->n_drop ? d->n_drop : (i->n_ctx - i->n_keep + 1) / 2;
    if (i->n_drop < 1 || i->n_drop > i->n_ctx - i->n_keep)
        return lmi_fail(err, LM_E_ARG, "n_drop is %d, expected 1 to n_ctx - n_keep = %d", i->n_drop, i->n_ctx - i->n_keep);
    return LM_OK;
}
static int lmi_widest_in(const lm_model *m) { return LMI_MAX(LMI_MAX(m->n_embd, m->n_ff), m->n_head * m->dv); }
static uint64_t lmi_widest_row(const lm_model *m) { /* bytes, of those that a context interleaves itself: all in plain layout, else token_embd's */
    size_t n = m->embd.row_bytes; int i;
    if (!m->plain) return n;
    n = LMI_MAX(n, m->output.row_bytes);
    for (i = 0; i < m->n_layer; i++) {
        const lmi_layer *l = &m->layer[i]; const lmi_mat *w[7]; int k;
        w[0] = &l->wq; w[1] = &l->wk; w[2] = &l->wv; w[3] = &l->wo; w[4] = &l->gate; w[5] = &l->up; w[6] = &l->down;
        for (k = 0; k < 7; k++) n = LMI_MAX(n, w[k]->row_bytes);
    }
    return n;
}
/* Lays the context out in the arena; *c keeps the pointers. */
static void lmi_ctx_layout(lm_ctx *c, lmi_arena *a) {
    const lm_model *m = c->m; lm_ctx_info *i = &c->info;
        uint64_t nb = (uint64_t)i->n_batch, rows = (uint64_t)i->n_logits, widest = (uint64_t)lmi_widest_in(m), at,
        tokens = LMI_MAX(nb, rows), tile = (uint64_t)m->k->tile, n = 0, f = sizeof(float), dv16 = ((uint64_t)m->dv + 15) & ~(uint64_t)15; int t;
    at = a->used;
    lmi_mul((uint64_t)m->n_head_kv * c->head_bytes * (uint64_t)c->n_pages, (uint64_t)m->n_layer, &n);
    c->cache = (uint8_t *)lmi_push(a, (uint64_t)i->n_seq, n);
    i->n_cache_bytes = a->used - at; at = a->used;
    if (!lmi_mul(rows, (uint64_t)m->n_vocab * f, &n)) n = UINT64_MAX;
    c->logits = (float *)lmi_push(a, 1, n);
    c->embedding = (float *)lmi_push(a, rows, (uint64_t)m->n_embd * f);
    c->row_seq = (int *)lmi_push(a, rows, sizeof(int)); c->row_token = (int *)lmi_push(a, rows, sizeof(int));
    c->row_want = (uint8_t *)lmi_push(a, rows, 1);
    i->n_result_bytes = a->used - at; at = a->used;
    c->n_past = (int *)lmi_push(a, (uint64_t)i->n_seq, sizeof(int)); c->n_next = (int *)lmi_push(a, (uint64_t)i->n_seq, sizeof(int));
    c->worn = (lmi_worn *)lmi_push(a, (uint64_t)i->n_seq, LMI_MAX_ADAPTERS * sizeof(lmi_worn));
    c->n_worn = (int *)lmi_push(a, (uint64_t)i->n_seq, sizeof(int));
    c->n_seen = (uint64_t *)lmi_push(a, (uint64_t)i->n_seq, sizeof(uint64_t));
    c->ids = (lm_token *)lmi_push(a, (uint64_t)i->n_seq, (uint64_t)i->n_ctx * sizeof(lm_token));
    c->tok_seq = (int *)lmi_push(a, nb, sizeof(int)); c->tok_pos = (int *)lmi_push(a, nb, sizeof(int));
    c->x = (float *)lmi_push(a, nb, (uint64_t)m->n_embd * f); c->h = (float *)lmi_push(a, nb, (uint64_t)m->n_embd * f);
    c->q = (float *)lmi_push(a, nb, (uint64_t)m->n_head * (uint64_t)m->dk * f);
    c->k = (float *)lmi_push(a, nb, (uint64_t)m->n_head_kv * (uint64_t)m->dk * f);
        c->v = (float *)lmi_push(a, nb, (uint64_t)m->n_head_kv * (uint64_t)m->dv * f);
    c->att = (float *)lmi_push(a, nb, (uint64_t)m->n_head * (uint64_t)m->dv * f);
    c->gate = (float *)lmi_push(a, nb, (uint64_t)m->n_ff * f); c->up = (float *)lmi_push(a, nb, (uint64_t)m->n_ff * f);
    c->angle = (float *)lmi_push(a, nb, 2 * (uint64_t)m->n_rot * f);
    c->act = (lmi_act *)lmi_push(a, tokens, (widest + 31) / 32 * sizeof(lmi_act));
    c->slot = (lmi_slot *)lmi_push(a, (uint64_t)i->n_threads, sizeof(lmi_slot));
    c->most_plan = 17 * m->n_layer + 16;
    c->plan = (lmi_work *)lmi_push(a, (uint64_t)c->most_plan, sizeof(lmi_work));
    c->team.share = (lmi_share *)lmi_push(a, (uint64_t)i->n_threads, sizeof(lmi_share));
    if (c->slot) memset(c->team.share, 0, (size_t)i->n_threads * sizeof(lmi_share));
    for (t = 0; t < i->n_threads; t++) {
        void *panel = lmi_push(a, LMI_MAX(LMI_MAX(LMI_DEEPEST * sizeof(lmi_panel), widest * LMI_MOST * f) * tile, 4 * (uint64_t)lmi_rotated_bytes(c)), 1);
        uint8_t *group = (uint8_t *)lmi_push(a, 16 * lmi_widest_row(m), m->plain ? LMI_MAX(tile, LMI_SOLO) : 1);
        float *out = (float *)lmi_push(a, LMI_MAX(tokens * LMI_GROUPS, LMI_MOST), 16 * f);
        float *head = (float *)lmi_push(a, LMI_MAX(LMI_QUERIES * dv16, (uint64_t)m->dk), f); /* also a key that turns */
        float *page = (float *)lmi_push(a, i->cache_type == LM_CACHE_F32 ? 0 : LMI_PAGE * LMI_MAX((uint64_t)m->dk, dv16), f);
        if (c->slot) {
            lmi_slot *s = &c->slot[t]; memset(s, 0, sizeof *s);
            s->panel = panel; s->group = group; s->out = out; s->head = head; s->page = page;
        }
    }
    i->n_scratch_bytes = a->used - at;
}
static lm_status lmi_ctx_measure(lm_ctx *c, const lm_model *m, const lm_ctx_desc *d, lmi_arena *a, lm_error *err) {
    uint64_t n;
    memset(c, 0, sizeof *c); memset(a, 0, sizeof *a);
    LMI_TRY(lmi_ctx_defaults(m, d, &c->info, err));
    c->m = m;
    c->n_pages = (c->info.n_ctx + LMI_PAGE - 1) / LMI_PAGE;
    c->head_bytes = lmi_cached_bytes(d->cache_type, m->dk) + lmi_cached_bytes(d->cache_type, (m->dv + 15) & ~15);
    if (!lmi_mul((uint64_t)c->head_bytes * (uint64_t)m->n_head_kv, (uint64_t)c->n_pages, &n) || !lmi_mul(n, (uint64_t)c->info.n_seq, &n)
        || !lmi_mul(n, (uint64_t)m->n_layer, &n) || n > SIZE_MAX / 2) {
        return lmi_fail(err, LM_E_MEMORY, "the cache for %d positions of %d sequences is larger than this system can address",
            c->info.n_ctx, c->info.n_seq);
    }
    c->page_bytes = c->head_bytes * (size_t)m->n_head_kv; c->seq_bytes = c->page_bytes * (size_t)c->n_pages;
        c->layer_bytes = c->seq_bytes * (size_t)c->info.n_seq;
    lmi_push(a, 1, sizeof *c);
    lmi_ctx_layout(c, a);
    if (a->used == UINT64_MAX || a->used > SIZE_MAX / 2) return lmi_fail(err, LM_E_MEMORY, "the context is larger than this system can address");
    c->info.n_block_bytes = a->used + LMI_ALIGN;
    return LM_OK;
}
LMI_API lm_status lm_ctx_size(const lm_model *m, const lm_ctx_desc *d, size_t *n_bytes, lm_error *err) {
    lm_ctx c; lmi_arena a;
    if (m == NULL || d == NULL || n_bytes == NULL) return lmi_fail(err, LM_E_ARG, "model, descriptor and result must be given");
    LMI_TRY(lmi_ctx_measure(&c, m, d, &a, err));
    *n_bytes = (size_t)c.info.n_block_bytes;
    return lmi_ok(err);
}
LMI_API lm_status lm_ctx_open(lm_ctx **out, const lm_model *m, const lm_ctx_desc *d, lm_error *err) {
    lm_ctx tmp, *c; lmi_arena a; void *own; lm_status s;
    if (m == NULL || d == NULL || out == NULL) return lmi_fail(err, LM_E_ARG, "model, descriptor and result must be given");
    LMI_TRY(lmi_ctx_measure(&tmp, m, d, &a, err));
    LMI_TRY(lmi_arena_open(&a, a.used, d->block, d->block_bytes, &d->hooks, &own, "the context", err));
    c = (lm_ctx *)lmi_push(&a, 1, sizeof *c);
    *c = tmp;
    c->own = own; c->hooks = d->hooks; c->observe = d->observe; c->observe_user = d->observe_user;
    lmi_ctx_layout(c, &a);
    if (d->hooks.take == NULL) lmi_large_pages(c->x, (size_t)c->info.n_scratch_bytes); /* rows of activations lie pages apart, the cache in order */
    memset(c->n_seen, 0, (size_t)c->info.n_seq * sizeof *c->n_seen); memset(c->n_worn, 0, (size_t)c->info.n_seq * sizeof(int));
    memset(c->n_past, 0, (size_t)c->info.n_seq * sizeof(int)); memset(c->n_next, 0, (size_t)c->info.n_seq * sizeof(int));
    s = lmi_team_open(&c->team, c->info.n_threads, &c->hooks, c, err);
    if (s != LM_OK) { lmi_give(&d->hooks, own, (size_t)tmp.info.n_block_bytes); return s; }
    if (c->info.n_ctx > m->n_ctx_train) lmi_tell(&c->hooks, 1,
        "the context of %d positions is longer than the %d the model was trained on", c->info.n_ctx, m->n_ctx_train);
    *out = c;
    return lmi_ok(err);
}
LMI_API void lm_ctx_close(lm_ctx *c) {
    lm_hooks h;
    if (c == NULL) return;
    lmi_team_close(&c->team);
    h = c->hooks;
    lmi_give(&h, c->own, (size_t)c->info.n_block_bytes);
}

/* ============================================================================================== >>sample
 * A chain of steps narrows and reweighs the candidates: at first all tokens with their logits, by id. What is left after the last step
 * is soft-maxed, and one candidate is drawn. Rules that every step keeps:
 *   - NaN and -infinity are no candidates; a step that makes one drops it. +infinity outweighs every finite logit, evenly among its kin.
 *   - Order: likelier means the greater logit, then the lower id. TOP_K and TOP_P leave the likeliest first, TYPICAL_P the most typical
 *     first, every other step keeps the order it finds. At least one candidate is left by every step but BIAS and PENALTIES.
 *   - One answer: logits are float32, each operation rounded once. A weight is exp(logit - max) in double, rounded to float32; weights
 *     are summed in double in the candidates' order, and p is their quotient in double, rounded to float32. The draw adds up these p's in
 *     the same order, in double. Only + - * /, comparisons and section base's exp and log take part.
 *   - Nothing is sorted whole unless it is needed whole: lmi_select costs n + k log n for the first k of n.
 * Relies on section base, dispatch's lmi_fp_enter (a host that flushes subnormals would compare them as equal), and a context's lm_logits.
 */

#define LMI_MAX_STEPS 32
#define LMI_PREV 64                   /* tokens remembered, and a window, when the caller names none */
#define LMI_LN2 0.69314718055994531

struct lm_sampler {
    lm_hooks      hooks;
    void         *own;                /* the block, when it is from the hooks; own_bytes long */
    size_t        own_bytes;
    lm_step      *steps;              /* [n_steps] with defaults filled in, bias arrays of their own */
    int           n_steps;
    lm_candidate *cand;               /* [n_vocab], n_cand of them in play, distinct ids */
    int           n_vocab, n_cand;
    uint32_t     *slot;               /* [n_vocab] scratch by id */
    lm_token     *prev;               /* [n_prev] ring: token number t is at t % n_prev */
    int           n_prev;
    uint64_t      n_seen;             /* tokens remembered since opening, those overwritten included */
    uint64_t      rng;
    double        mu;                 /* MIROSTAT2: the surprise allowed now, in bits */
};

/* ---- random numbers: PCG32, variant XSH-RR (O'Neill 2014, HMC-CS-2014-0905, section 6.3.1), seeded as pcg32_srandom of the reference code
 * does. The stream is 54, that of the reference demo, so the demo's published output for seed 42 is a test. Period 2^64. */
#define LMI_PCG_INC (2u * 54u + 1u)
static uint32_t lmi_pcg32(uint64_t *state) {
    uint64_t old = *state;
    uint32_t x = (uint32_t)((old >> 18 ^ old) >> 27), r = (uint32_t)(old >> 59);
    *state = old * 6364136223846793005u + LMI_PCG_INC;
    return x >> r | x << ((0u - r) & 31);
}
static uint64_t lmi_pcg32_seed(uint64_t seed) {
    uint64_t state = 0;
    lmi_pcg32(&state); state += seed; lmi_pcg32(&state);
    return state;
}

/* ---- order. With o NULL: likelier first. Else most typical first: least |surprise - entropy|, where surprise = lse - (logit - max) and
 * centre = lse - entropy (both nats); then likelier first. Both are strict total orders because ids are distinct and no logit is NaN. */
typedef struct lmi_order { float max; double centre; } lmi_order;

static double lmi_below(float max, float x) { return x == max ? 0.0 : (double)x - (double)max; } /* exact 0 for infinities, too */
static int lmi_before(const lm_candidate *a, const lm_candidate *b, const lmi_order *o) {
    if (o != NULL) {
        double x = o->centre - lmi_below(o->max, a->logit), y = o->centre - lmi_below(o->max, b->logit);
        if (x < 0) x = -x;
        if (y < 0) y = -y;
        if (x != y) return x < y;
    }
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}
/* Binary heap c[n] with the last in order at the root: moves c[i] down until nothing below it comes later. */
static void lmi_sift(lm_candidate *c, int n, int i, const lmi_order *o) {
    lm_candidate x = c[i]; int j;
    for (; i < n / 2; i = j) {        /* i < n/2: 2i + 1 < n, which also keeps j an int */
        j = 2 * i + 1;
        if (j + 1 < n && lmi_before(&c[j], &c[j + 1], o)) j++;
        if (!lmi_before(&x, &c[j], o)) break;
        c[i] = c[j];
    }
    c[i] = x;
}
/* Brings the first k (1..n) of n candidates to the front, in order; the others follow in an order that depends only on the input.
 * A heap of the k first so far is offered each of the rest, then taken down: n comparisons + at most n log k for input in the worst order. */
static void lmi_select(lm_candidate *c, int n, int k, const lmi_order *o) {
    lm_candidate t; int i;
    for (i = k / 2 - 1; i >= 0; i--) lmi_sift(c, k, i, o);
    for (i = k; i < n; i++) {
        if (!lmi_before(&c[i], &c[0], o)) continue;
        t = c[0]; c[0] = c[i]; c[i] = t;
        lmi_sift(c, k, 0, o);
    }
    for (i = k - 1; i > 0; i--) {
        t = c[0]; c[0] = c[i]; c[i] = t;
        lmi_sift(c, i, 0, o);
    }
}
/* Brings candidates to the front in order until their p's reach `p`, and returns how many that took (1..n). Selects 64, then 7 times as
 * many as it has, from the rest, so m candidates cost n log_8(m) + m log m. */
static int lmi_select_mass(lm_candidate *c, int n, double p, const lmi_order *o) {
    double sum = 0; int i, k, have = 0;
    for (i = 0; i < n; i++) {
        if (i == have) {
            k = have > n / 8 ? n - have : LMI_MIN(n - have, LMI_MAX(64, 7 * have));
            lmi_select(c + have, n - have, k, o);
            have += k;
        }
        sum += (double)c[i].p;
        if (sum >= p) return i + 1;
    }
    return n;                         /* rounding kept the sum under p: all */
}

/* ---- what the steps share */
static float lmi_cand_max(const lm_candidate *c, int n) { /* n >= 1 */
    float max = c[0].logit; int i;
    for (i = 1; i < n; i++) if (c[i].logit > max) max = c[i].logit;
    return max;
}
/* p_i = exp(logit_i - max) / sum; returns log sum, so that -log p_i = returned - lmi_below(max, logit_i). n >= 1; sum is in [1, n]. */
static double lmi_softmax(lm_candidate *c, int n, float max) {
    double sum = 0; int i;
    for (i = 0; i < n; i++) {
        c[i].p = (float)lmi_exp(lmi_below(max, c[i].logit));
        sum += (double)c[i].p;
    }
    for (i = 0; i < n; i++) c[i].p = (float)((double)c[i].p / sum);
    return lmi_log(sum);
}
/* Keeps the candidates with logit - max >= limit, in their order; limit <= 0 keeps at least one. */
static void lmi_keep(lm_sampler *s, float max, double limit) {
    int i, n = 0;
    for (i = 0; i < s->n_cand; i++) if (lmi_below(max, s->cand[i].logit) >= limit) s->cand[n++] = s->cand[i];
    s->n_cand = n;
}
static void lmi_keep_best(lm_sampler *s) { lmi_select(s->cand, s->n_cand, 1, NULL); s->n_cand = 1; }
static void lmi_drop_banned(lm_sampler *s) { /* after a step that computes logits: NaN and -infinity leave */
    int i, n = 0;
    for (i = 0; i < s->n_cand; i++) if (s->cand[i].logit >= -FLT_MAX) s->cand[n++] = s->cand[i];
    s->n_cand = n;
}
static void lmi_fill(lm_sampler *s, const float *logits) {
    int i, n = 0;
    for (i = 0; i < s->n_vocab; i++) {
        if (!(logits[i] >= -FLT_MAX)) continue;
        s->cand[n].id = i; s->cand[n].logit = logits[i]; s->cand[n].p = 0; n++;
    }
    s->n_cand = n;
}

/* ---- the steps; each is called with n_cand >= 1 */

/* For a token seen count > 0 times among the last n:  l = l > 0 ? l / repeat : l * repeat  (Keskar 2019, arXiv:1909.05858, section 4.1,
 * in the form that also lowers negative logits), then  l = l - (freq * count + presence). Time n_vocab + window; count <= n_prev < 2^31. */
static void lmi_step_penalties(lm_sampler *s, const lm_step *st) {
    uint64_t i, n = LMI_MIN((uint64_t)st->n, s->n_seen);
    int k;
    if (n == 0 || (st->repeat == 1 && st->freq == 0 && st->presence == 0)) return;
    memset(s->slot, 0, (size_t)s->n_vocab * sizeof *s->slot);
    for (i = 1; i <= n; i++) s->slot[s->prev[(s->n_seen - i) % (uint64_t)s->n_prev]]++;
    for (k = 0; k < s->n_cand; k++) {
        lm_candidate *c = &s->cand[k]; uint32_t count = s->slot[c->id];
        if (count == 0) continue;
        c->logit = c->logit > 0 ? c->logit / st->repeat : c->logit * st->repeat;
        c->logit -= (float)count * st->freq + st->presence;
    }
    lmi_drop_banned(s);
}

/* l = l + bias for each entry, in the caller's order where an id comes twice; ids that are no candidates any more are passed over.
 * Time n_vocab + n_bias. */
static void lmi_step_bias(lm_sampler *s, const lm_step *st) {
    int i;
    if (st->n_bias == 0) return;
    memset(s->slot, 0, (size_t)s->n_vocab * sizeof *s->slot);
    for (i = 0; i < s->n_cand; i++) s->slot[s->cand[i].id] = (uint32_t)i + 1;
    for (i = 0; i < st->n_bias; i++) {
        uint32_t at = s->slot[st->bias[i].id];
        if (at != 0) s->cand[at - 1].logit += st->bias[i].bias;
    }
    lmi_drop_banned(s);
}

/* The n likeliest (Fan 2018, arXiv:1805.04833, section 5.4). */
static void lmi_step_top_k(lm_sampler *s, const lm_step *st) {
    if (st->n <= 0 || st->n >= s->n_cand) return;
    lmi_select(s->cand, s->n_cand, st->n, NULL);
    s->n_cand = st->n;
}

/* The fewest, likeliest first, with  sum of p_i >= p  (Holtzman 2019, arXiv:1904.09751, section 3.1). */
static void lmi_step_top_p(lm_sampler *s, const lm_step *st) {
    if (st->p >= 1) return;
    lmi_softmax(s->cand, s->n_cand, lmi_cand_max(s->cand, s->n_cand));
    s->n_cand = lmi_select_mass(s->cand, s->n_cand, (double)st->p, NULL);
}

/* p_i >= p * p_max (Nguyen 2024, arXiv:2407.01082, section 3), as  logit_i - max >= log p,  which needs no sum and no exp. */
static void lmi_step_min_p(lm_sampler *s, const lm_step *st) {
    if (st->p <= 0) return;
    lmi_keep(s, lmi_cand_max(s->cand, s->n_cand), lmi_log((double)LMI_MIN(st->p, 1.0f)));
}

/* The fewest, by least |-log p_i - H|, H = sum of p_i * -log p_i, with  sum of p_i >= p  (Meister 2022, arXiv:2202.00666, eq. 9-10).
 * A p_i of 0 adds nothing to H (its logarithm may be infinite). */
static void lmi_step_typical_p(lm_sampler *s, const lm_step *st) {
    lmi_order o; double lse, entropy = 0; int i;
    if (st->p >= 1) return;
    o.max = lmi_cand_max(s->cand, s->n_cand);
    lse = lmi_softmax(s->cand, s->n_cand, o.max);
    for (i = 0; i < s->n_cand; i++) {
        const lm_candidate *c = &s->cand[i];
        if (c->p > 0) entropy += (double)c->p * (lse - lmi_below(o.max, c->logit));
    }
    o.centre = lse - entropy;
    s->n_cand = lmi_select_mass(s->cand, s->n_cand, (double)st->p, &o);
}

/* l = l / temp. A temp so small that the greatest logit's quotient is not finite does what its limit, 0, does: only the likeliest stays. */
static void lmi_step_temp(lm_sampler *s, const lm_step *st) {
    float max = lmi_cand_max(s->cand, s->n_cand); int i;
    if (st->temp <= 0 || (lmi_finite(max) && !lmi_finite(max / st->temp))) { lmi_keep_best(s); return; }
    if (st->temp == 1) return;
    for (i = 0; i < s->n_cand; i++) s->cand[i].logit /= st->temp;
    lmi_drop_banned(s);
}

/* Drops what is more surprising than mu:  -log2 p_i > mu  (the likeliest stays); lmi_draw then moves mu. Basu 2020, arXiv:2007.14966,
 * the authors' version 2, without the estimate of Zipf's exponent. mu starts at 2 tau. */
static void lmi_step_mirostat2(lm_sampler *s) {
    float max = lmi_cand_max(s->cand, s->n_cand);
    double limit = lmi_softmax(s->cand, s->n_cand, max) - s->mu * LMI_LN2;
    if (limit > 0) lmi_keep_best(s); else lmi_keep(s, max, limit);
}
/* mu = mu - eta * (-log2 p - tau), p of the drawn token among those that were left. */
static void lmi_mirostat2_learn(lm_sampler *s, const lm_step *st, double nats) {
    s->mu -= (double)st->eta * (nats / LMI_LN2 - (double)st->tau);
}

static void lmi_step_run(lm_sampler *s, const lm_step *st) {
    switch (st->kind) {
        case LM_STEP_PENALTIES: lmi_step_penalties(s, st); break;
        case LM_STEP_BIAS:      lmi_step_bias(s, st);      break;
        case LM_STEP_TOP_K:     lmi_step_top_k(s, st);     break;
        case LM_STEP_TOP_P:     lmi_step_top_p(s, st);     break;
        case LM_STEP_MIN_P:     lmi_step_min_p(s, st);     break;
        case LM_STEP_TYPICAL_P: lmi_step_typical_p(s, st); break;
        case LM_STEP_TEMP:      lmi_step_temp(s, st);      break;
        case LM_STEP_MIROSTAT2: lmi_step_mirostat2(s);     break;
    }
}

/* Draws from what is left: u = (one output >> 8) * 2^-24, the first candidate whose running sum of p passes u, or, where rounding kept the
 * whole sum under u, the last with p > 0. One candidate costs no random number. n_cand >= 1. */
static lm_token lmi_draw(lm_sampler *s) {
    float max = lmi_cand_max(s->cand, s->n_cand);
    double lse, u, sum = 0; int i, pick = 0;
    if (max > FLT_MAX) lmi_keep(s, max, 0.0);
    lse = lmi_softmax(s->cand, s->n_cand, max);
    if (s->n_cand > 1) {
        u = (double)(lmi_pcg32(&s->rng) >> 8) * (1.0 / 16777216.0);
        for (i = 0; i < s->n_cand && !(sum > u); i++) {
            if (s->cand[i].p > 0) pick = i;
            sum += (double)s->cand[i].p;
        }
    }
    if (s->steps[s->n_steps - 1].kind == LM_STEP_MIROSTAT2) {
        lmi_mirostat2_learn(s, &s->steps[s->n_steps - 1], lse - lmi_below(max, s->cand[pick].logit));
    }
    return s->cand[pick].id;
}
/* The greatest logit, the lower id of equals; NaN and -infinity never. */
static lm_token lmi_greedy(const float *logits, int n_vocab) {
    int i, best = -1;
    for (i = 0; i < n_vocab; i++) if (logits[i] >= -FLT_MAX && (best < 0 || logits[i] > logits[best])) best = i;
    return best < 0 ? (lm_token)LM_E_NUMERIC : (lm_token)best;
}

/* ---- opening: every number of the descriptor is checked, then one pass of the arena counts and another fills */
static lm_status lmi_check_number(lm_error *err, int i, const char *name, float x, double least) {
    if (!lmi_finite(x)) return lmi_fail(err, LM_E_ARG, "steps[%d]: %s is %f, not a finite number", i, name, (double)x);
    if ((double)x < least) return lmi_fail(err, LM_E_ARG, "steps[%d]: %s is %f, less than %f", i, name, (double)x, least);
    return LM_OK;
}
static lm_status lmi_check_bias(lm_error *err, int i, const lm_step *st, int n_vocab) {
    int k;
    if (st->n_bias < 0 || (st->n_bias > 0 && st->bias == NULL))
        return lmi_fail(err, LM_E_ARG, "steps[%d]: bias: n_bias is %d, bias is %s", i, st->n_bias, st->bias ? "given" : "NULL");
    for (k = 0; k < st->n_bias; k++) {
        if (st->bias[k].id < 0 || st->bias[k].id >= n_vocab)
            return lmi_fail(err, LM_E_ARG, "steps[%d]: bias[%d].id is %d, the vocabulary has %d", i, k, (int)st->bias[k].id, n_vocab);
        if (st->bias[k].bias != st->bias[k].bias) return lmi_fail(err, LM_E_ARG, "steps[%d]: bias[%d].bias is nan", i, k);
    }
    return LM_OK;
}
static lm_status lmi_check_step(lm_error *err, int i, const lm_step *st, int n_vocab, int last) {
    lm_status r = LM_OK; const double any = -DBL_MAX;
    switch ((int)st->kind) {          /* as int: a caller's value may be none of the enum's */
        case LM_STEP_PENALTIES:
            if (st->n < -1) return lmi_fail(err, LM_E_ARG, "steps[%d]: penalties: window n is %d, less than -1", i, st->n);
            if (r == LM_OK) r = lmi_check_number(err, i, "penalties: repeat", st->repeat, 0);
            if (r == LM_OK) r = lmi_check_number(err, i, "penalties: freq", st->freq, any);
            if (r == LM_OK) r = lmi_check_number(err, i, "penalties: presence", st->presence, any);
            return r;
        case LM_STEP_BIAS:      return lmi_check_bias(err, i, st, n_vocab);
        case LM_STEP_TOP_K:     return LM_OK;
        case LM_STEP_TOP_P:     return lmi_check_number(err, i, "top_p", st->p, any);
        case LM_STEP_MIN_P:     return lmi_check_number(err, i, "min_p", st->p, any);
        case LM_STEP_TYPICAL_P: return lmi_check_number(err, i, "typical_p", st->p, any);
        case LM_STEP_TEMP:      return lmi_check_number(err, i, "temp", st->temp, any);
        case LM_STEP_MIROSTAT2:
            if (!last) return lmi_fail(err, LM_E_ARG, "steps[%d]: mirostat2 ends the chain, and %d follows", i, i + 1);
            r = lmi_check_number(err, i, "mirostat2: tau", st->tau, 0);
            return r == LM_OK ? lmi_check_number(err, i, "mirostat2: eta", st->eta, 0) : r;
        default: return lmi_fail(err, LM_E_ARG, "steps[%d]: kind %d is no step", i, (int)st->kind);
    }
}
/* Checks d and returns the vocabulary's size and the tokens to remember. */
static lm_status lmi_sampler_check(const lm_model *m, const lm_sampler_desc *d, int *n_vocab, int *n_prev, lm_error *err) {
    lm_model_info info; lm_status r; int i;
    if (m == NULL || d == NULL) return lmi_fail(err, LM_E_ARG, "sampler: %s is NULL", m == NULL ? "model" : "descriptor");
    if (d->n_steps < 0 || d->n_steps > LMI_MAX_STEPS)
        return lmi_fail(err, LM_E_ARG, "sampler: n_steps is %d, allowed are 0 to %d", d->n_steps, LMI_MAX_STEPS);
    if (d->n_steps > 0 && d->steps == NULL) return lmi_fail(err, LM_E_ARG, "sampler: n_steps is %d, steps is NULL", d->n_steps);
    if (d->n_prev < 0) return lmi_fail(err, LM_E_ARG, "sampler: n_prev is %d, less than 0", d->n_prev);
    lm_model_get_info(m, &info);
    if (info.n_vocab < 1) return lmi_fail(err, LM_E_SUPPORT, "sampler: the model has no vocabulary");
    *n_vocab = info.n_vocab; *n_prev = d->n_prev > 0 ? d->n_prev : LMI_PREV;
    for (i = 0; i < d->n_steps; i++) {
        r = lmi_check_step(err, i, &d->steps[i], info.n_vocab, i == d->n_steps - 1);
        if (r != LM_OK) return r;
        if (d->n_prev == 0 && d->steps[i].kind == LM_STEP_PENALTIES) *n_prev = LMI_MAX(*n_prev, d->steps[i].n);
    }
    return LM_OK;
}
static void lmi_step_defaults(lm_step *st, int n_prev) {
    if (st->kind == LM_STEP_PENALTIES) {
        if (st->n == 0) st->n = LMI_PREV;
        if (st->n < 0 || st->n > n_prev) st->n = n_prev; /* a window sees what is remembered, no more */
        if (st->repeat == 0) st->repeat = 1;
    }
    if (st->kind == LM_STEP_MIROSTAT2) {
        if (st->tau == 0) st->tau = 5;
        if (st->eta == 0) st->eta = 0.1f;
    }
}
/* Lays the sampler out; NULL while the arena only counts. */
static lm_sampler *lmi_sampler_lay(lmi_arena *a, const lm_sampler_desc *d, int n_vocab, int n_prev) {
    lm_sampler   *s     = (lm_sampler *)lmi_push(a, 1, sizeof *s);
    lm_step      *steps = (lm_step *)lmi_push(a, (uint64_t)d->n_steps, sizeof *steps);
    lm_candidate *cand  = (lm_candidate *)lmi_push(a, (uint64_t)n_vocab, sizeof *cand);
    uint32_t     *slot  = (uint32_t *)lmi_push(a, (uint64_t)n_vocab, sizeof *slot);
    lm_token     *prev  = (lm_token *)lmi_push(a, (uint64_t)n_prev, sizeof *prev);
    int i;
    for (i = 0; i < d->n_steps; i++) {
        size_t n = d->steps[i].kind == LM_STEP_BIAS ? (size_t)d->steps[i].n_bias : 0;
        lm_bias *bias = (lm_bias *)lmi_push(a, n, sizeof *bias);
        if (s == NULL) continue;
        steps[i] = d->steps[i];
        if (n > 0) memcpy(bias, d->steps[i].bias, n * sizeof *bias);
        steps[i].bias = bias;
        lmi_step_defaults(&steps[i], n_prev);
    }
    if (s == NULL) return NULL;
    memset(s, 0, sizeof *s);
    s->hooks = d->hooks; s->steps = steps; s->n_steps = d->n_steps; s->cand = cand; s->slot = slot; s->prev = prev;
    s->n_vocab = n_vocab; s->n_prev = n_prev;
    return s;
}

/* ---- API */
LMI_API lm_status lm_sampler_size(const lm_model *m, const lm_sampler_desc *d, size_t *n_bytes, lm_error *err) {
    lmi_arena a = { NULL, 0, 0 }; int n_vocab = 0, n_prev = 0; uint64_t total;
    lm_status r = lmi_sampler_check(m, d, &n_vocab, &n_prev, err);
    if (r != LM_OK) return r;
    if (n_bytes == NULL) return lmi_fail(err, LM_E_ARG, "sampler: n_bytes is NULL");
    lmi_sampler_lay(&a, d, n_vocab, n_prev);
    if (!lmi_add(a.used, LMI_ALIGN, &total) || total > SIZE_MAX / 2)
        return lmi_fail(err, LM_E_MEMORY, "sampler: more bytes than this system can address");
    *n_bytes = (size_t)total;
    return lmi_ok(err);
}
LMI_API lm_status lm_sampler_open(lm_sampler **out, const lm_model *m, const lm_sampler_desc *d, lm_error *err) {
    lmi_arena a; lm_sampler *s; void *own = NULL; size_t n_bytes = 0; int n_vocab = 0, n_prev = 0;
    lm_status r = lm_sampler_size(m, d, &n_bytes, err);
    if (r == LM_OK && out == NULL) r = lmi_fail(err, LM_E_ARG, "sampler: out is NULL");
    if (r == LM_OK) r = lmi_sampler_check(m, d, &n_vocab, &n_prev, err);
    if (r == LM_OK) r = lmi_arena_open(&a, n_bytes - LMI_ALIGN, d->block, d->block_bytes, &d->hooks, &own, "sampler", err);
    if (r != LM_OK) return r;
    s = lmi_sampler_lay(&a, d, n_vocab, n_prev);
    s->own = own; s->own_bytes = n_bytes;
    lm_sampler_reset(s, d->seed);
    *out = s;
    return lmi_ok(err);
}
LMI_API void lm_sampler_close(lm_sampler *s) {
    lm_hooks h;
    if (s == NULL) return;
    h = s->hooks;                     /* s lies in the block that is given back */
    lmi_give(&h, s->own, s->own_bytes);
}
LMI_API void lm_sampler_reset(lm_sampler *s, uint64_t seed) {
    if (s == NULL) return;
    s->rng = lmi_pcg32_seed(seed); s->n_seen = 0; s->n_cand = 0;
    s->mu = s->n_steps > 0 ? 2.0 * (double)s->steps[s->n_steps - 1].tau : 0.0; /* used by MIROSTAT2 only, which is last */
}
LMI_API void lm_sampler_accept(lm_sampler *s, lm_token id) {
    if (s == NULL || id < 0 || id >= s->n_vocab) return; /* an id outside the vocabulary has no logit to change */
    s->prev[s->n_seen++ % (uint64_t)s->n_prev] = id;
}
LMI_API lm_token lm_sample_logits(lm_sampler *s, const float *logits) {
    lm_token id; int i; lmi_fpenv fp;
    if (s == NULL || logits == NULL) return LM_E_ARG;
    fp = lmi_fp_enter();
    if (s->n_steps == 0) {
        id = lmi_greedy(logits, s->n_vocab);
        s->n_cand = id >= 0;
        if (id >= 0) { s->cand[0].id = id; s->cand[0].logit = logits[id]; s->cand[0].p = 1; }
    } else {
        lmi_fill(s, logits);
        for (i = 0; i < s->n_steps && s->n_cand > 0; i++) lmi_step_run(s, &s->steps[i]);
        id = s->n_cand > 0 ? lmi_draw(s) : (lm_token)LM_E_NUMERIC;
    }
    lmi_fp_leave(fp);
    lm_sampler_accept(s, id);         /* passes over an error */
    return id;
}
LMI_API lm_token lm_sample(lm_ctx *c, int i, lm_sampler *s) {
    uint64_t start = lmi_now_us(); const float *logits; lm_token id; int n_vocab; lmi_fpenv fp;
    if (c == NULL || (logits = lm_logits(c, i)) == NULL) return LM_E_ARG;
    n_vocab = (int)lm_ctx_model(c)->vocab.n;
    if (s != NULL && s->n_vocab != n_vocab) return LM_E_ARG; /* a sampler of another model */
    fp = lmi_fp_enter();
    id = s != NULL ? lm_sample_logits(s, logits) : lmi_greedy(logits, n_vocab);
    lmi_fp_leave(fp);
    c->counters.n_samples++; c->counters.sample_us += lmi_since(start);
    return id;
}
/* Puts them in order only now: most callers never ask. */
LMI_API int lm_sampler_candidates(const lm_sampler *s, const lm_candidate **out) {
    int i; lmi_fpenv fp;
    if (s == NULL) return 0;
    fp = lmi_fp_enter();
    for (i = 1; i < s->n_cand && lmi_before(&s->cand[i - 1], &s->cand[i], NULL); i++) {}
    if (i < s->n_cand) lmi_select(s->cand, s->n_cand, s->n_cand, NULL);
    lmi_fp_leave(fp);
    if (out) *out = s->cand;
    return s->n_cand;
}

/* ============================================================================================== >>score
 * Probabilities of given tokens. Sums are in double and in a fixed order; what is computed together or alone has the same bits because logits have.
 */
static double lmi_log_sum(const float *logits, int n_vocab, float *max) { /* ln of the sum of e^(logit - max); NaN where no logit is a number above -infinity */
    double sum = 0; int i;
    for (*max = -HUGE_VALF, i = 0; i < n_vocab; i++) if (logits[i] > *max) *max = logits[i];
    for (i = 0; i < n_vocab; i++) if (logits[i] >= -FLT_MAX) sum += lmi_exp(lmi_below(*max, logits[i]));
    return sum > 0 ? lmi_log(sum) : lmi_log(-1.0);
}
static double lmi_score_row(const float *logits, int n_vocab, lm_token id) {
    float max; double log_sum = lmi_log_sum(logits, n_vocab, &max);
    return logits[id] >= -FLT_MAX ? lmi_below(max, logits[id]) - log_sum : log_sum != log_sum ? log_sum : -HUGE_VAL;
}
LMI_API double lm_logprob(const float *logits, int n_vocab, lm_token id) {
    double x; lmi_fpenv fp;
    if (logits == NULL || id < 0 || id >= n_vocab) return lmi_log(-1.0);
    fp = lmi_fp_enter(); x = lmi_score_row(logits, n_vocab, id); lmi_fp_leave(fp);
    return x;
}
LMI_API int lm_top_logprobs(const float *logits, int n_vocab, lm_ranked *out, int n) {
    int i, j, k = 0; float max; double log_sum; lmi_fpenv fp;
    if (logits == NULL || out == NULL || n < 1 || n_vocab < 1) return 0;
    fp = lmi_fp_enter();
    log_sum = lmi_log_sum(logits, n_vocab, &max);
    for (i = 0; i < n_vocab; i++) { /* insertion by rising id: an equal goes behind; the logit stands in for its logprob */
        if (!(logits[i] >= -FLT_MAX) || (k == n && !((double)logits[i] > out[k - 1].logprob))) continue;
        for (j = k < n ? k++ : k - 1; j > 0 && (double)logits[i] > out[j - 1].logprob; j--) out[j] = out[j - 1];
        out[j].id = i; out[j].logprob = (double)logits[i];
    }
    for (i = 0; i < k; i++) out[i].logprob = lmi_below(max, (float)out[i].logprob) - log_sum;
    lmi_fp_leave(fp);
    return k;
}

#define LMI_SCORED 64                 /* tokens of several options at a time */
typedef struct lmi_scores { int n; lm_token ids[LMI_SCORED], next[LMI_SCORED]; int32_t seq[LMI_SCORED]; lm_option *option[LMI_SCORED]; } lmi_scores;
static lm_status lmi_scores_run(lm_ctx *c, lmi_scores *w) { /* logprob of next[k] after ids[k] goes to its option */
    lm_batch b; int k; lm_status s;
    if (w->n == 0) return LM_OK;
    b.ids = w->ids; b.seq = w->seq; b.want = NULL; b.n = w->n;
    if ((s = lmi_decode_as(c, &b, 0, LMI_WANT_ALL)) != LM_OK) return s;
    for (k = 0; k < w->n; k++) w->option[k]->logprob += lmi_score_row(lm_logits(c, k), c->m->n_vocab, w->next[k]);
    w->n = 0;
    return LM_OK;
}
static lm_status lmi_score_ids(lm_ctx *c, int seq, const lm_token *ids, int n) { /* what every id must be, also the last, which is not decoded */
    int i;
    if (seq < 0 || seq >= c->info.n_seq) return lmi_fail(&c->error, LM_E_ARG, "sequence %d to score in, the context has %d", seq, c->info.n_seq);
    if (ids == NULL || n < 1) return lmi_fail(&c->error, LM_E_ARG, "nothing to score: no tokens");
    for (i = 0; i < n; i++) if (ids[i] < 0 || ids[i] >= c->m->n_vocab)
        return lmi_fail(&c->error, LM_E_ARG, "token %d to score is id %d, the vocabulary has %d", i, (int)ids[i], c->m->n_vocab);
    return LM_OK;
}
static lm_status lmi_score_run(lm_ctx *c, int seq, const lm_token *ids, int n, int from, double *logprob) {
    lm_batch b; int i, k;
    memset(&b, 0, sizeof b);
    b.ids = ids; b.n = from - 1;
    if (b.n > 0) LMI_TRY(lmi_decode_as(c, &b, seq, LMI_WANT_NONE));
    for (i = from - 1; i < n - 1; i += b.n) {
        b.ids = ids + i; b.n = LMI_MIN(n - 1 - i, c->info.n_logits);
        LMI_TRY(lmi_decode_as(c, &b, seq, LMI_WANT_ALL));
        for (k = 0; k < b.n; k++) logprob[i + k + 1 - from] = lmi_score_row(lm_logits(c, k), c->m->n_vocab, ids[i + k + 1]);
    }
    return LM_OK;
}
LMI_API lm_status lm_score(lm_ctx *c, int seq, const lm_token *ids, int n, int from, double *logprob) {
    lm_status s; lmi_fpenv fp; int len; uint64_t dropped;
    LMI_TRY(lmi_score_ids(c, seq, ids, n));
    if (from < 1 || from >= n || logprob == NULL)
        return lmi_fail(&c->error, LM_E_ARG, "scoring from token %d of %d: expected 1 to n - 1, and room for them", from, n);
    len = c->n_past[seq]; dropped = lm_seq_dropped(c, seq);
    fp = lmi_fp_enter(); s = lmi_score_run(c, seq, ids, n, from, logprob); lmi_fp_leave(fp);
    if (s != LM_OK && lm_seq_dropped(c, seq) == dropped) lmi_forget(c, seq, len);
    c->n_rows = 0; c->n_last = 0;
    return s;
}
/* One option in the sequence itself, then forgotten again. */
static lm_status lmi_choose_alone(lm_ctx *c, int seq, lm_option *o) {
    int len = c->n_past[seq], i, k; lm_batch b; lm_status s = LM_OK;
    memset(&b, 0, sizeof b);
    for (i = 0; s == LM_OK && i < o->n - 1; i += b.n) {
        b.ids = o->ids + i; b.n = LMI_MIN(o->n - 1 - i, c->info.n_logits);
        s = lmi_decode_as(c, &b, seq, LMI_WANT_ALL);
        for (k = 0; s == LM_OK && k < b.n; k++) o->logprob += lmi_score_row(lm_logits(c, k), c->m->n_vocab, o->ids[i + k + 1]);
    }
    lmi_forget(c, seq, len);
    return s;
}
/* n options in forks of the sequence, in batches that mix them. */
static lm_status lmi_choose_forked(lm_ctx *c, int seq, lm_option *o, int n, int work) {
    lmi_scores w; int k, i; lm_status s = LM_OK;
    w.n = 0;
    for (k = 0; s == LM_OK && k < n; k++, o++) {
        if (o->n > 1) s = lm_fork(c, seq, work + k);
        for (i = 0; s == LM_OK && i < o->n - 1; i++) {
            w.ids[w.n] = o->ids[i]; w.next[w.n] = o->ids[i + 1]; w.seq[w.n] = work + k; w.option[w.n++] = o;
            if (w.n == LMI_MIN(LMI_SCORED, c->info.n_logits)) s = lmi_scores_run(c, &w);
        }
    }
    return s == LM_OK ? lmi_scores_run(c, &w) : s;
}
static lm_status lmi_choose_run(lm_ctx *c, int seq, const lm_token *prompt, int n_prompt, lm_option *o, int n, int work, int n_work) {
    lm_batch b; int k; const float *x; float max; double log_sum, top, sum = 0;
    memset(&b, 0, sizeof b);
    b.ids = prompt; b.n = n_prompt;
    LMI_TRY(lmi_decode_as(c, &b, seq, LMI_WANT_LAST));
    x = lm_logits(c, -1); log_sum = lmi_log_sum(x, c->m->n_vocab, &max);
    for (k = 0; k < n; k++) o[k].logprob = lmi_below(max, x[o[k].ids[0]]) - log_sum;
    for (k = 0; k < n; k += LMI_MAX(n_work, 1)) LMI_TRY(n_work > 0 ? lmi_choose_forked(c, seq, o + k, LMI_MIN(n_work, n - k), work) : lmi_choose_alone(c, seq, o + k));
    for (top = o[0].logprob, k = 1; k < n; k++) top = LMI_MAX(top, o[k].logprob);
    for (k = 0; k < n; k++) sum += o[k].p = lmi_exp(o[k].logprob - top);
    for (k = 0; k < n; k++) o[k].p /= sum;
    return LM_OK;
}
LMI_API lm_status lm_choose(lm_ctx *c, int seq, const lm_token *prompt, int n_prompt, lm_option *options, int n_options, int work, int n_work) {
    lm_status s; lmi_fpenv fp; int k, len, longest = 1;
    LMI_TRY(lmi_score_ids(c, seq, prompt, n_prompt));
    if (options == NULL || n_options < 1) return lmi_fail(&c->error, LM_E_ARG, "no options to choose from");
    for (k = 0; k < n_options; k++) { LMI_TRY(lmi_score_ids(c, seq, options[k].ids, options[k].n)); longest = LMI_MAX(longest, options[k].n); }
    if (n_work < 0 || (n_work > 0 && (work < 0 || work > c->info.n_seq - n_work || (seq >= work && seq < work + n_work))))
        return lmi_fail(&c->error, LM_E_ARG, "%d working sequences from %d on: the context has %d, and %d is the prompt's", n_work, work, c->info.n_seq, seq);
    len = c->n_past[seq];
    if ((int64_t)len + n_prompt + longest - 1 > c->info.n_ctx)
        return lmi_fail(&c->error, LM_E_FULL, "sequence %d has %d tokens; a prompt of %d and an option of %d do not fit in %d", seq, len, n_prompt, longest, c->info.n_ctx);
    fp = lmi_fp_enter(); s = lmi_choose_run(c, seq, prompt, n_prompt, options, n_options, work, n_work); lmi_fp_leave(fp);
    for (k = 0; k < n_work; k++) lmi_forget(c, work + k, 0);
    if (s != LM_OK) lmi_forget(c, seq, len);
    c->n_rows = 0; c->n_last = 0;
    return s;
}

/* ============================================================================================== >>state
 * A sequence as bytes, little-endian, checked before anything is changed:
 *     0  "lm-state"     8  u32 version     12  u32 1: with a sampler     16  u64 bytes in all     24  u64 model's sum     32  u64 adapters' sum
 *    40  u32 cache_type    44  u32 compute    48  u32 n positions    52  u32 0    56  u64 tokens since it was empty    64  general.name, 64 bytes
 *   128  u32 tokens [n]
 *        for each layer, key-value head, position: the key's numbers, then the value's, as the cache has them: f32, f16, or for q8_0 each 32
 *        int8 after their float16 scale
 *        of a sampler: u64 random state, f64 mu, u64 tokens seen, u32 n_prev, u32 tokens [min(seen, n_prev)], oldest first
 *        u64 checksum of all before
 * Only positions in use are stored, and no padding, so nothing depends on how this build lays its cache out.
 */
#define LMI_STATE_VERSION 1
#define LMI_STATE_HEAD 128

/* The first row as it stands in the file, whatever the layout; row: scratch of row_bytes. */
static uint64_t lmi_stir_row(uint64_t h, const lmi_mat *w, uint8_t *row) {
    const lmi_type *t = lmi_type_of(w->type); const uint8_t *p = w->data;
    if (w->woven) { lmi_pull_row(t, p, 0, (size_t)w->n_in / t->n, row); p = row; }
    return lmi_stir_bytes(h, p, w->row_bytes);
}
/* What tells one model from another without reading all of it: its measures, the names, types and shapes of its tensors (in any order), its
 * vocabulary, its norms, and the first row of each matrix. */
static uint64_t lmi_model_sum(const lm_model *m, uint8_t *row) {
    int n[10], i; uint64_t h = 1, t = 0, k, u;
    n[0] = m->n_vocab; n[1] = m->n_embd; n[2] = m->n_layer; n[3] = m->n_head; n[4] = m->n_head_kv; n[5] = m->dk; n[6] = m->dv; n[7] = m->n_ff;
    n[8] = m->n_rot; n[9] = m->n_swa;
    for (i = 0; i < 10; i++) h = lmi_stir(h, (uint64_t)n[i]);
    h = lmi_stir(lmi_stir(h, lmi_f32_bits(m->eps)), lmi_f32_bits(m->rope_mag));
    for (i = 0; i < m->n_rot / 2; i++) { memcpy(&u, &m->rope_freq[i], 8); h = lmi_stir(h, u); }
    for (k = 0; k < m->gguf.n_tensor; k++) {
        const lmi_tensor *x = &m->gguf.tensor[k]; u = lmi_stir(lmi_stir_bytes(2, x->name.p, x->name.n), (uint64_t)x->type);
        for (i = 0; i < 4; i++) u = lmi_stir(u, x->dims[i]);
        t += u;
    }
    h = lmi_stir(h, t);
    for (i = 0; m->vocab.kind != LMI_VOCAB_NONE && i < m->vocab.n; i++) h = lmi_stir_bytes(h, m->vocab.text[i].p, m->vocab.text[i].n);
    h = lmi_stir_row(lmi_stir_row(lmi_stir_floats(h, m->output_norm, m->n_embd), &m->embd, row), &m->output, row);
    for (i = 0; i < m->n_layer; i++) {
        const lmi_layer *l = &m->layer[i];
        h = lmi_stir_floats(lmi_stir_floats(h, l->attn_norm, m->n_embd), l->ffn_norm, m->n_embd);
        h = lmi_stir_row(lmi_stir_row(lmi_stir_row(lmi_stir_row(h, &l->wq, row), &l->wk, row), &l->wv, row), &l->wo, row);
        h = lmi_stir_row(lmi_stir_row(lmi_stir_row(h, &l->gate, row), &l->up, row), &l->down, row);
    }
    return h ? h : 1;
}
static uint64_t lmi_ctx_sum(lm_ctx *c) { /* slot 0's panel holds a row of any matrix */
    if (c->model_sum == 0) c->model_sum = lmi_model_sum(c->m, (uint8_t *)c->slot[0].panel);
    return c->model_sum;
}

/* ---- one walk serves both ways, and for counting: pen NULL moves on only, reading takes the bytes */
typedef struct lmi_pen { uint8_t *p; uint64_t n; int reads; } lmi_pen;
static uint64_t lmi_pen_u(lmi_pen *o, int n_bytes, uint64_t v) { /* writes v, or returns what is there */
    int i; uint64_t got = v;
    if (o->p && o->reads) for (i = 0, got = 0; i < n_bytes; i++) got |= (uint64_t)o->p[o->n + (uint64_t)i] << 8 * i;
    else if (o->p) for (i = 0; i < n_bytes; i++) o->p[o->n + (uint64_t)i] = (uint8_t)(v >> 8 * i);
    o->n += (uint64_t)n_bytes;
    return got;
}
static uint64_t lmi_state_row_bytes(lm_cache_type type, int n) {
    return type == LM_CACHE_Q8_0 ? (uint64_t)n + 2 * (((uint64_t)n + 31) / 32) : (uint64_t)n * (type == LM_CACHE_F32 ? 4 : 2);
}
static void lmi_state_row(const lm_ctx *c, lmi_pen *o, uint8_t *page, int j, int n, int values) { /* of one head and position */
    int d; size_t at, step; const int all = values ? (n + 15) & ~15 : n;
    lmi_cache_row(j, all, values, &at, &step);
    for (d = 0; d < n; d++, at += step) {
        if (c->info.cache_type == LM_CACHE_F32) { float *x = (float *)(void *)page + at; *x = lmi_bits_f32((uint32_t)lmi_pen_u(o, 4, lmi_f32_bits(*x))); }
        else if (c->info.cache_type == LM_CACHE_F16) { uint16_t *x = (uint16_t *)(void *)page + at; *x = (uint16_t)lmi_pen_u(o, 2, *x); }
        else {
            uint16_t *scale = lmi_cache_scale(page, all, j, d);
            if (d % 32 == 0) *scale = (uint16_t)lmi_pen_u(o, 2, *scale);
            page[at] = (uint8_t)lmi_pen_u(o, 1, page[at]);
        }
    }
}
/* Is a stored row of numbers finite? Moves past it. */
static int lmi_state_row_ok(lm_cache_type type, lmi_pen *o, int n) {
    int d, ok = 1;
    for (d = 0; d < n; d++) {
        if (type == LM_CACHE_F32) ok &= ((uint32_t)lmi_pen_u(o, 4, 0) & 0x7f800000u) != 0x7f800000u;
        else if (type == LM_CACHE_F16 || d % 32 == 0) ok &= ((uint32_t)lmi_pen_u(o, 2, 0) & 0x7c00u) != 0x7c00u;
        if (type == LM_CACHE_Q8_0) o->n++;
    }
    return ok;
}
static void lmi_state_cache(const lm_ctx *c, lmi_pen *o, int seq, int n) {
    int l, h, j; const lm_model *m = c->m; size_t keys = lmi_cached_bytes(c->info.cache_type, m->dk);
    for (l = 0; l < m->n_layer; l++) for (h = 0; h < m->n_head_kv; h++) for (j = 0; j < n; j++) {
        uint8_t *page = lmi_cache_at(c, l, seq, j) + (size_t)h * c->head_bytes;
        if (o->reads && h == 0 && j % LMI_PAGE == 0) memset(page, 0, c->page_bytes);
        lmi_state_row(c, o, page, j % LMI_PAGE, m->dk, 0);
        lmi_state_row(c, o, page + keys, j % LMI_PAGE, m->dv, 1);
    }
}
static uint64_t lmi_state_bytes(const lm_ctx *c, uint64_t n, int sampler, uint64_t n_prev) { /* n and n_prev < 2^31: no overflow where the cache fits in memory */
    const lm_model *m = c->m; uint64_t row = lmi_state_row_bytes(c->info.cache_type, m->dk) + lmi_state_row_bytes(c->info.cache_type, m->dv);
    return LMI_STATE_HEAD + 4 * n + n * (uint64_t)m->n_layer * (uint64_t)m->n_head_kv * row + (sampler ? 28 + 4 * n_prev : 0) + 8;
}
static uint64_t lmi_sampler_kept(const lm_sampler *s) { return s ? LMI_MIN(s->n_seen, (uint64_t)s->n_prev) : 0; }

/* ---- API */
LMI_API size_t lm_save_size(const lm_ctx *c, int seq, const lm_sampler *s) {
    uint64_t n = seq < 0 || seq >= c->info.n_seq ? 0 : lmi_state_bytes(c, (uint64_t)c->n_past[seq], s != NULL, lmi_sampler_kept(s));
    return n > SIZE_MAX ? 0 : (size_t)n;
}
LMI_API lm_status lm_save(lm_ctx *c, int seq, const lm_sampler *s, void *bytes, size_t cap, size_t *n_bytes) {
    lmi_pen o; lmi_str name; uint64_t mu, k; int i, n; size_t total; lm_error none;
    if (c->run.active) return lmi_fail(&c->error, LM_E_ARG, "a decode is under way");
    if (n_bytes == NULL || (bytes == NULL && cap > 0)) return lmi_fail(&c->error, LM_E_ARG, "saving: n_bytes and the bytes must be given");
    if ((total = lm_save_size(c, seq, s)) == 0)
        return lmi_fail(&c->error, LM_E_ARG, "cannot save sequence %d, the context has %d", seq, c->info.n_seq);
    if (s && s->n_vocab != c->m->n_vocab) return lmi_fail(&c->error, LM_E_ARG, "the sampler is of another model");
    *n_bytes = total;
    if (cap < total) return lmi_fail(&c->error, LM_E_FULL, "the state has %u bytes, the caller's room %u", (uint64_t)total, (uint64_t)cap);
    n = c->n_past[seq]; o.p = (uint8_t *)bytes; o.n = LMI_STATE_HEAD; o.reads = 0;
    memset(bytes, 0, LMI_STATE_HEAD); memcpy(bytes, "lm-state", 8);
    if (lmi_want_str(&c->m->gguf, "general.name", "", &name, &none) == LM_OK) memcpy(o.p + 64, name.p, LMI_MIN(name.n, (size_t)64));
    o.n = 8;
    lmi_pen_u(&o, 4, LMI_STATE_VERSION); lmi_pen_u(&o, 4, s != NULL); lmi_pen_u(&o, 8, total); lmi_pen_u(&o, 8, lmi_ctx_sum(c));
    lmi_pen_u(&o, 8, lmi_worn_sum(c, seq));
    lmi_pen_u(&o, 4, (uint64_t)c->info.cache_type); lmi_pen_u(&o, 4, (uint64_t)c->info.compute); lmi_pen_u(&o, 4, (uint64_t)n); lmi_pen_u(&o, 4, 0);
    lmi_pen_u(&o, 8, c->n_seen[seq]);
    for (o.n = LMI_STATE_HEAD, i = 0; i < n; i++) lmi_pen_u(&o, 4, (uint64_t)lm_seq_tokens(c, seq)[i]);
    lmi_state_cache(c, &o, seq, n);
    if (s) {
        memcpy(&mu, &s->mu, 8);
        lmi_pen_u(&o, 8, s->rng); lmi_pen_u(&o, 8, mu); lmi_pen_u(&o, 8, s->n_seen); lmi_pen_u(&o, 4, (uint64_t)s->n_prev);
        for (k = lmi_sampler_kept(s); k > 0; k--) lmi_pen_u(&o, 4, (uint64_t)s->prev[(s->n_seen - k) % (uint64_t)s->n_prev]);
    }
    lmi_pen_u(&o, 8, lmi_stir_bytes(0, bytes, total - 8));
    return lmi_ctx_ok(c);
}
/* Everything that can be wrong, in the order that gives the best reason. at: where the cache's numbers start, where the sampler's. */
static lm_status lmi_state_check(lm_ctx *c, int seq, const lm_sampler *s, uint8_t *p, size_t n_bytes, lmi_pen *cache, lmi_pen *sampler) {
    static const char *const types[] = { "f16", "f32", "q8_0" }, *const computes[] = { "auto", "f32" }; const lm_model *m = c->m;
    lm_error *e = &c->error, none;
    uint64_t n, n_seen, i, kept = 0, type, compute; lmi_pen o; lmi_str name, own; int ok = 1;
    if (n_bytes < LMI_STATE_HEAD + 8 || memcmp(p, "lm-state", 8) != 0)
        return lmi_fail(e, LM_E_FORMAT, "not a saved state (it does not start with \"lm-state\")");
    if (lmi_u32(p + 8) != LMI_STATE_VERSION)
        return lmi_fail(e, LM_E_SUPPORT, "a saved state of version %u, expected %d", (uint64_t)lmi_u32(p + 8), LMI_STATE_VERSION);
    if (lmi_u64(p + 16) != n_bytes) return lmi_fail(e, LM_E_FORMAT, "a saved state of %u bytes, %u are given", lmi_u64(p + 16), (uint64_t)n_bytes);
    if (lmi_u64(p + n_bytes - 8) != lmi_stir_bytes(0, p, n_bytes - 8))
        return lmi_fail(e, LM_E_FORMAT, "the saved state is damaged: its checksum does not fit");
    for (name.p = (const char *)p + 64, name.n = 0; name.n < 64 && name.p[name.n]; name.n++) {}
    lmi_want_str(&m->gguf, "general.name", "", &own, &none);
    own.n = LMI_MIN(own.n, (size_t)64);
    if (lmi_u64(p + 24) != lmi_ctx_sum(c)) return lmi_fail(e, LM_E_ARG, lmi_str_eq(name, own) ? "the saved state is of another model of the name %S"
        : "the saved state is of the model %S, not of %S", name, own);
    type = lmi_u32(p + 40); compute = lmi_u32(p + 44); n = lmi_u32(p + 48); n_seen = lmi_u64(p + 56);
    if (type > LM_CACHE_Q8_0 || compute > LM_COMPUTE_F32 || lmi_u32(p + 12) > 1 || lmi_u32(p + 52) != 0 || n_seen < n)
        return lmi_fail(e, LM_E_FORMAT, "the saved state's head is damaged");
    if (type != (uint64_t)c->info.cache_type)
        return lmi_fail(e, LM_E_ARG, "the saved state has a cache of type %s, the context one of %s", types[type], types[c->info.cache_type]);
    if (compute != (uint64_t)c->info.compute)
        return lmi_fail(e, LM_E_ARG, "the saved state was computed with compute %s, the context has %s", computes[compute], computes[c->info.compute]);
    if (lmi_u64(p + 32) != lmi_worn_sum(c, seq))
        return lmi_fail(e, LM_E_ARG, "the saved state was computed with other adapters than the sequence has");
    if (n > (uint64_t)c->info.n_ctx) return lmi_fail(e, LM_E_FULL, "the saved state has %u positions, the context %d", n, c->info.n_ctx);
    if (s && !lmi_u32(p + 12)) return lmi_fail(e, LM_E_ARG, "the saved state has no sampler");
    i = lmi_state_bytes(c, n, 0, 0);
    if (n_bytes < i + (lmi_u32(p + 12) ? 28 : 0)) return lmi_fail(e, LM_E_FORMAT, "the saved state of %u positions is too short", n);
    o.p = p; o.reads = 1; o.n = sampler->n = i - 8;
    if (lmi_u32(p + 12)) {
        uint64_t mu, seen, n_prev; o.n += 8; mu = lmi_pen_u(&o, 8, 0); seen = lmi_pen_u(&o, 8, 0); n_prev = lmi_pen_u(&o, 4, 0);
        kept = LMI_MIN(seen, n_prev);
        if (n_prev < 1 || n_prev > INT32_MAX || !lmi_finite64(lmi_bits_f64(mu))) return lmi_fail(e, LM_E_FORMAT, "the saved sampler is damaged");
        if (s && n_prev != (uint64_t)s->n_prev)
            return lmi_fail(e, LM_E_ARG, "the saved sampler remembers %u tokens, the one given %d", n_prev, s->n_prev);
        i = lmi_state_bytes(c, n, 1, kept);
    }
    if (n_bytes != i) return lmi_fail(e, LM_E_FORMAT, "the saved state has %u bytes, its head asks for %u", (uint64_t)n_bytes, i);
    for (i = 0; i < kept; i++) ok &= lmi_pen_u(&o, 4, 0) < (uint64_t)m->n_vocab;
    for (o.n = LMI_STATE_HEAD, i = 0; i < n; i++) ok &= lmi_pen_u(&o, 4, 0) < (uint64_t)m->n_vocab;
    if (!ok) return lmi_fail(e, LM_E_FORMAT, "the saved state has a token outside the vocabulary of %d", m->n_vocab);
    cache->n = o.n;
    for (i = 0; i < n * (uint64_t)m->n_layer * (uint64_t)m->n_head_kv; i++) ok &= lmi_state_row_ok(c->info.cache_type, &o, m->dk) & lmi_state_row_ok(c->info.cache_type, &o, m->dv);
    if (!ok) return lmi_fail(e, LM_E_FORMAT, "the saved state has keys or values that are no numbers");
    return LM_OK;
}
LMI_API lm_status lm_restore(lm_ctx *c, int seq, lm_sampler *s, const void *bytes, size_t n_bytes) {
    uint8_t *p = (uint8_t *)(uintptr_t)bytes; lmi_pen o, cache, sampler; int i, n; uint64_t k; lm_token *ids; /* p is only read */
    if (c->run.active) return lmi_fail(&c->error, LM_E_ARG, "a decode is under way");
    if (seq < 0 || seq >= c->info.n_seq) return lmi_fail(&c->error, LM_E_ARG, "cannot restore sequence %d, the context has %d", seq, c->info.n_seq);
    if (bytes == NULL && n_bytes > 0) return lmi_fail(&c->error, LM_E_ARG, "the bytes of a saved state must be given");
    if (s && s->n_vocab != c->m->n_vocab) return lmi_fail(&c->error, LM_E_ARG, "the sampler is of another model");
    cache.p = sampler.p = p; cache.reads = sampler.reads = 1; cache.n = sampler.n = 0;
    LMI_TRY(lmi_state_check(c, seq, s, p, n_bytes, &cache, &sampler));
    n = (int)lmi_u32(p + 48); ids = c->ids + (size_t)seq * (size_t)c->info.n_ctx;
    o = cache; o.n = LMI_STATE_HEAD;
    for (i = 0; i < n; i++) ids[i] = (lm_token)lmi_pen_u(&o, 4, 0);
    lmi_state_cache(c, &o, seq, n);
    c->n_past[seq] = c->n_next[seq] = n; c->n_seen[seq] = lmi_u64(p + 56);
    if (s) {
        o = sampler;
        s->rng = lmi_pen_u(&o, 8, 0); s->mu = lmi_bits_f64(lmi_pen_u(&o, 8, 0)); s->n_seen = lmi_pen_u(&o, 8, 0); o.n += 4; s->n_cand = 0;
        for (k = lmi_sampler_kept(s); k > 0; k--) s->prev[(s->n_seen - k) % (uint64_t)s->n_prev] = (lm_token)lmi_pen_u(&o, 4, 0);
    }
    return lmi_ctx_ok(c);
}

#ifdef LLAMA_TRAIN
/* ============================================================================================== >>train
 * Gradients and AdamW. One pass over a micro-batch is a list of works (section >>dispatch) that the team's threads do one after the other: seven for a
 * layer forward, seven backward, three for each part of the head. A work is some tasks that do not need each other; a task's items each write numbers
 * of their own, and every sum has one order, whatever the threads and the instruction set.
 *
 * Activations are woven by 16 tokens (section >>kernels); a row of the batch begins a new group of 16, what is beyond its end are zeros that nobody
 * counts. Products of a layer's input are one: q, k, v; gate and up. Kept for the backward pass are, of each layer, its input, q, k, v after
 * rotation, what attention gives, the residual after it, gate and up, and the norms' factors; norms, powers and products of pairs are computed again. The backward pass
 * writes gradients of q, k, v, gate and up in their places. With recompute all layers but for their inputs share one such set. Attention keeps ln of
 * the sum of powers, not the probabilities (Dao et al. 2022, arXiv:2205.14135). The head's logits exist for some tokens at a time and become their gradients in place.
 * LoRA: Hu et al. 2021, arXiv:2106.09685; weights of a frozen base become floats in front of each product, one matrix group at a time.
 */
#define LMI_SUM_PART 256              /* terms of a product's sum between two visits of its result: what they read stays in the first two caches */
#define LMI_MAX_RANK 256
#define LMI_OUTS 64                   /* outputs of an item, at most */
#define LMI_QUERIES_BACK 64           /* queries whose probabilities are kept for gradients of keys and values; a multiple of 32 */
#define LMI_HEAD_FLOATS ((size_t)1 << 21) /* of logits at a time, or 128 tokens */
#define LMI_TASKS 160
#define LMI_NORM_PART 65536

typedef struct lmi_param { char name[64]; int n_dims; uint64_t dims[2]; size_t at; } lmi_param; /* at: in the arrays */
typedef struct lmi_seg { const lm_real *w; lm_real *g; int n; } lmi_seg;  /* n rows of a matrix, and of its gradient */
typedef struct lmi_dense { int n_seg, n_in, n_out, n_a, off[3]; lmi_seg seg[3], a[3], b[3]; const lmi_tensor *from[3]; lm_real *u; } lmi_dense; /* a, b: of adapters, in
                                         the order of targets, a[i] and b[i] for outputs from off[i]; from: frozen, to be dequantized; u [n_a rank] = A x */
typedef struct lmi_tlayer {
    lm_real *norm1, *norm2, *norm1_g, *norm2_g;   /* [n_embd]; gradients NULL where frozen */
    lmi_dense qkv, o, gu, down;
    lm_real *x, *qkv_x, *att, *mid, *gu_x, *r1, *r2, *lse; /* kept: input, [n_q + 2 n_kv], [n_q], residual after attention, [2 n_ff], [1], [1], [n_head] */
} lmi_tlayer;
typedef struct lmi_task lmi_task;
struct lmi_task {                     /* a part of a work: n_items calls of run */
    void (*run)(lm_train *t, const lmi_task *j, int slot, int item);
    int n_items, layer, n_seg, n_in, n_out, n_b, wide_x, wide_y, wide_c, step_o, step_b, n_o, at, after, place; lm_real scale;
    lmi_seg seg[3];
    const lm_real *x, *y, *add, *r; lm_real *c, *to; const lmi_dense *lin;
};
enum { LMI_AS_IS, LMI_SCALE, LMI_DROP, LMI_GATED, LMI_GATED_BACK }; /* after: what an item does with its results */
struct lm_train {
    lm_train_desc d; lm_train_info info; lm_error error;
    const lmi_kernels *kernels; const lmi_trainer *k; const lm_model *base; lm_hooks hooks; void *own;
    int n_q, n_kv, dk, n_rot, n_swa, per, n_wide; double eps, rope_base, rope_mag; const double *rope_freq; double *own_freq;
    lmi_param *param; int n_param; lmi_tlayer *layer;
    lm_real *embd, *embd_g, *out_norm, *out_norm_g; const lmi_tensor *embd_from; lmi_dense head; lm_real *head_w, *vectors;
    lm_real *x, *h, *act, *dx, *dh, *tmp, *xd, *du, *co, *si, *turns, *rf, *logits, *wide_w; size_t n_wide_w;
    int n_blocks, head_blocks;        /* at most; tokens / 16 */
    double *tok_loss, *tok_nll, *sums; int32_t *start; lm_token *ids, *targets;
    lm_real **scratch; size_t n_scratch;
    lmi_team team; lmi_work *plan; lmi_task *task; int n_plan, n_task;
    const lm_train_batch *b; int row_blocks, nb, span, grad; uint64_t key; /* of the run: groups of 16 tokens in a row, in all, in products planned now; 1: gradients; of dropout */
    const lm_real *step_o; lm_adamw adamw;
};

/* ---- works and tasks */
static void lmi_train_job(void *owner, const lmi_work *w, int slot, int item, int n) {
    lm_train *t = (lm_train *)owner; int i, at;
    for (; n > 0; n--, item++) {
        for (i = w->add, at = item; at >= t->task[i].n_items; i++) at -= t->task[i].n_items;
        t->task[i].run(t, &t->task[i], slot, at);
    }
}
static void lmi_train_go(lm_train *t) {
    lmi_fpenv fp = lmi_fp_enter();
    if (t->n_plan) lmi_team_run(&t->team, t->plan, t->n_plan);
    t->n_plan = t->n_task = 0;
    lmi_fp_leave(fp);
}
static void lmi_then(lm_train *t) { /* what follows needs what came before */
    lmi_work *w;
    if (t->n_plan && t->plan[t->n_plan - 1].n_items == 0) return;
    if (t->n_task > LMI_TASKS - 32) lmi_train_go(t);
    w = &t->plan[t->n_plan++];
    memset(w, 0, sizeof *w);
    w->compute = lmi_train_job; w->most = 1; w->add = t->n_task;
}
static lmi_task *lmi_also(lm_train *t, void (*run)(lm_train *, const lmi_task *, int, int), int n_items) {
    lmi_task *j = &t->task[t->n_task++];
    memset(j, 0, sizeof *j);
    j->run = run; j->n_items = n_items; t->plan[t->n_plan - 1].n_items += n_items;
    return j;
}

/* ---- dropout: SplitMix64 (Steele et al. 2014) of a key and a place, 16 bits for each number */
static uint64_t lmi_mix64(uint64_t z) { z += 0x9e3779b97f4a7c15u; z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u; z = (z ^ z >> 27) * 0x94d049bb133111ebu; return z ^ z >> 31; }
static void lmi_drop(const lm_train *t, int place, int b, int k0, int n, lm_real *x) { /* numbers k0 .. k0 + n - 1 of 16 tokens; k0 is a multiple of 4 */
    uint32_t drop = (uint32_t)(t->d.dropout * 65536.0f), l; lm_real keep = (lm_real)(65536.0 / (65536.0 - (double)drop)); int k, i;
    uint64_t key = lmi_mix64(t->key + (uint64_t)place), h, row = (uint64_t)(b / t->row_blocks), pos = (uint64_t)(b % t->row_blocks) * 16;
    for (l = 0; l < 16; l++) for (k = 0; k < n; k += 4) {
        h = lmi_mix64(key ^ ((row << 44) + (pos + l) * ((uint64_t)1 << 22) + (uint64_t)(k0 + k) / 4));
        for (i = k; i < LMI_MIN(k + 4, n); i++, h >>= 16) x[16 * i + (int)l] = (h & 0xffff) >= drop ? x[16 * i + (int)l] * keep : 0;
    }
}

/* ---- products. An item is some outputs for some groups of tokens. */
#define LMI_WOVEN(x, b, wide, at) ((x) + ((size_t)(b) * (size_t)(wide) + (size_t)(at)) * 16)
static void lmi_item_after(lm_train *t, const lmi_task *j, int b0, int b1, int o0, int n) {
    int b, i; lm_real by[16];
    for (i = 0; i < 16; i++) by[i] = j->scale;
    for (b = b0; b < b1; b++) {
        lm_real *c = LMI_WOVEN(j->c, b, j->wide_c, o0), *to = j->to ? LMI_WOVEN(j->to, b, j->wide_c, o0) : NULL;
        const lm_real *add = j->add ? LMI_WOVEN(j->add, b, j->wide_c, o0) : NULL;
        if (j->after == LMI_SCALE) t->k->rescale(c, n, by);
        if (j->after == LMI_GATED) t->k->gated(c, c + 16 * (size_t)t->info.shape.n_ff, n, LMI_WOVEN(j->to, b, t->info.shape.n_ff, o0));
        if (j->after == LMI_GATED_BACK) { lm_real *g = LMI_WOVEN(j->to, b, 2 * j->wide_c, o0); t->k->gated_back(g, g + 16 * (size_t)j->wide_c, n, c); }
        if (j->after == LMI_DROP) { lmi_drop(t, j->place, b, o0, n, c); for (i = 0; i < 16 * n; i++) to[i] = add[i] + c[i]; }
    }
}
static void lmi_item_range(const lmi_task *j, int item, int nb, int *b0, int *b1, int *o0, int *o1, int n) {
    *o0 = item % j->n_o * j->step_o; *o1 = LMI_MIN(n, *o0 + j->step_o); *b0 = item / j->n_o * j->step_b; *b1 = LMI_MIN(nb, *b0 + j->step_b);
}
/* c = x W^T: x [n_in] -> c [n_out]. Twin halves (gate and up) are computed by the same item. */
static void lmi_item_out(lm_train *t, const lmi_task *j, int slot, int item) {
    int b0, b1, o0, o1, b, s, first, k0, lo, hi, half, twin = j->after == LMI_GATED ? j->n_out / 2 : 0, part = j->add == j->c ? j->n_in : LMI_SUM_PART; lmi_tile p;
    (void)slot;
    lmi_item_range(j, item, j->n_b, &b0, &b1, &o0, &o1, twin ? twin : j->n_out);
    memset(&p, 0, sizeof p);
    p.a_k = 1; p.a_i = (size_t)j->n_in; p.a_t = (size_t)t->k->tm * p.a_i; p.b_k = 16; p.b_v = 16 * (size_t)j->wide_x; p.c_i = 16; p.c_v = 16 * (size_t)j->wide_c; p.n_q = 1;
    for (half = 0; half <= (twin > 0); half++) for (k0 = 0; k0 < j->n_in; k0 += part) for (b = b0; b < b1; b += t->k->tv) {
        for (s = 0, first = 0; s < j->n_seg; first += j->seg[s++].n) {
            lo = LMI_MAX(o0 + half * twin, first); hi = LMI_MIN(o1 + half * twin, first + j->seg[s].n);
            if (lo >= hi) continue;
            p.a = j->seg[s].w + (size_t)(lo - first) * p.a_i + k0; p.b = LMI_WOVEN(j->x, b, j->wide_x, k0); p.c = LMI_WOVEN(j->c, b, j->wide_c, lo);
            p.n_k = LMI_MIN(part, j->n_in - k0); p.n_i = hi - lo; p.n_v = LMI_MIN(t->k->tv, b1 - b); p.n_lanes = 16 * p.n_v; p.more = k0 > 0;
            p.add = j->add && j->after != LMI_DROP && k0 + part >= j->n_in ? LMI_WOVEN(j->add, b, j->wide_c, lo) : NULL;
            t->k->block(&p);
        }
    }
    if (j->after) lmi_item_after(t, j, b0, b1, o0, o1 - o0);
}
/* c = y W: y [n_out] -> c [n_in]. W's columns are brought together, LMI_TM at a time. */
static void lmi_item_in(lm_train *t, const lmi_task *j, int slot, int item) {
    int b0, b1, i0, i1, b, s, o, k0, k, tm = t->k->tm, part = j->add == j->c ? j->n_out : LMI_SUM_PART; lmi_tile p; lm_real *pack = t->scratch[slot];
    lmi_item_range(j, item, j->n_b, &b0, &b1, &i0, &i1, j->n_in);
    memset(&p, 0, sizeof p);
    p.a_k = (size_t)tm; p.a_i = 1; p.b_k = 16; p.b_v = 16 * (size_t)j->wide_x; p.c_i = 16; p.c_v = 16 * (size_t)j->wide_c; p.n_q = 1; p.n_i = i1 - i0; p.a = pack;
    for (k0 = 0, s = 0, o = 0; k0 < j->n_out; k0 += part) {
        p.n_k = LMI_MIN(part, j->n_out - k0); p.a_t = (size_t)(p.n_k * tm); p.more = k0 > 0;
        for (k = 0; k < p.n_k; k++, o++) {
            while (o >= j->seg[s].n) { o = 0; s++; }
            t->k->pack(j->seg[s].w + (size_t)o * (size_t)j->n_in + i0, p.n_i, pack + (size_t)(k * tm), p.a_t);
        }
        for (b = b0; b < b1; b += t->k->tv) {
            p.b = LMI_WOVEN(j->x, b, j->wide_x, k0); p.c = LMI_WOVEN(j->c, b, j->wide_c, i0); p.n_v = LMI_MIN(t->k->tv, b1 - b); p.n_lanes = 16 * p.n_v;
            p.add = j->add && j->after != LMI_DROP && k0 + part >= j->n_out ? LMI_WOVEN(j->add, b, j->wide_c, i0) : NULL;
            t->k->block(&p);
        }
    }
    if (j->after) lmi_item_after(t, j, b0, b1, i0, i1 - i0);
}
/* g += y^T x over groups at .. at + n_blocks of tokens, in parts: y [n_out], x [n_in], whose columns become rows first. */
static void lmi_item_grad(lm_train *t, const lmi_task *j, int slot, int item) {
    const int group = 16 * t->k->tv, i0 = item % j->n_o * group, width = LMI_MIN(group, j->n_in - i0), from = item / j->n_o * j->step_o;
    const int to = LMI_MIN(j->n_out, from + j->step_o); int q0, q, v, s, first, lo, hi, nq; lm_real *panel = t->scratch[slot]; lmi_tile p;
    memset(&p, 0, sizeof p);
    p.a_q = 16 * (size_t)j->wide_y; p.a_k = 1; p.a_i = 16; p.a_t = 16 * (size_t)t->k->tm; p.b = panel; p.b_q = 16 * (size_t)group; p.b_k = (size_t)group; p.b_v = 16;
    p.c_i = (size_t)j->n_in; p.c_v = 16; p.n_k = 16; p.n_v = (width + 15) / 16; p.n_lanes = width;
    for (q0 = 0; q0 < j->step_b; q0 += nq) {
        nq = LMI_MIN(LMI_SUM_PART / 16, j->step_b - q0);
        for (q = 0; q < nq; q++) for (v = 0; v < p.n_v; v++)
            t->k->turn(LMI_WOVEN(j->x, j->at + q0 + q, j->wide_x, i0 + 16 * v), LMI_MIN(16, width - 16 * v), panel + (size_t)q * p.b_q + 16 * v, (size_t)group);
        for (s = 0, first = 0; s < j->n_seg; first += j->seg[s++].n) {
            lo = LMI_MAX(from, first); hi = LMI_MIN(to, first + j->seg[s].n);
            if (lo >= hi) continue;
            p.a = LMI_WOVEN(j->y, q0, j->wide_y, lo); p.c = j->seg[s].g + (size_t)(lo - first) * p.c_i + i0; p.add = p.c; p.n_i = hi - lo; p.n_q = nq;
            t->k->block(&p);
        }
    }
}
static void lmi_task_cut(const lm_train *t, lmi_task *j, int n) { /* n outputs and all tokens: so many items that threads share them evenly */
    int parts;
    j->step_o = LMI_OUTS / t->k->tm * t->k->tm; j->n_o = (n + j->step_o - 1) / j->step_o;
    parts = LMI_MAX(1, LMI_MIN((24 + 4 * t->team.n + j->n_o - 1) / j->n_o, t->span / 4));
    j->n_b = t->span; j->step_b = (j->n_b + parts - 1) / parts; j->step_b = (j->step_b + t->k->tv - 1) / t->k->tv * t->k->tv;
    j->n_items = j->n_o * ((j->n_b + j->step_b - 1) / j->step_b);
}
static lmi_task *lmi_task_product(lm_train *t, void (*run)(lm_train *, const lmi_task *, int, int), const lmi_seg *seg, int n_seg, int n_in, int cut) {
    lmi_task *j = lmi_also(t, run, 0); int i;
    for (i = 0; i < n_seg; i++) { j->seg[i] = seg[i]; j->n_out += seg[i].n; }
    j->n_seg = n_seg; j->n_in = n_in; j->scale = 1;
    if (cut) { lmi_task_cut(t, j, cut < 0 ? j->n_out / (cut == -2 ? 2 : 1) : n_in); t->plan[t->n_plan - 1].n_items += j->n_items; }
    return j;
}
static lmi_task *lmi_mul_out(lm_train *t, const lmi_seg *seg, int n_seg, int n_in, const lm_real *x, int wide_x, lm_real *c, int wide_c, const lm_real *add, int twin) {
    lmi_task *j = lmi_task_product(t, lmi_item_out, seg, n_seg, n_in, twin ? -2 : -1);
    j->x = x; j->wide_x = wide_x; j->c = c; j->wide_c = wide_c; j->add = add;
    return j;
}
static lmi_task *lmi_mul_in(lm_train *t, const lmi_seg *seg, int n_seg, int n_in, const lm_real *y, int wide_y, lm_real *c, int wide_c, const lm_real *add) {
    lmi_task *j = lmi_task_product(t, lmi_item_in, seg, n_seg, n_in, 1);
    j->x = y; j->wide_x = wide_y; j->c = c; j->wide_c = wide_c; j->add = add;
    return j;
}
/* Over n groups of tokens of x from `at`; y begins there. */
static void lmi_mul_grad(lm_train *t, const lmi_seg *seg, int n_seg, int n_in, const lm_real *y, int wide_y, const lm_real *x, int wide_x, int at, int n) {
    lmi_task *j = lmi_task_product(t, lmi_item_grad, seg, n_seg, n_in, 0); int panels, parts;
    j->x = x; j->wide_x = wide_x; j->y = y; j->wide_y = wide_y; j->at = at; j->step_b = n;
    panels = (n_in + 16 * t->k->tv - 1) / (16 * t->k->tv); parts = LMI_MAX(1, LMI_MIN((12 + 2 * t->team.n) / panels, j->n_out / 128));
    j->n_o = panels; j->step_o = (j->n_out + parts - 1) / parts;
    j->n_items = panels * ((j->n_out + j->step_o - 1) / j->step_o); t->plan[t->n_plan - 1].n_items += j->n_items;
}

/* ---- frozen weights as floats */
static void lmi_unfold_rows(lm_train *t, const lmi_tensor *from, uint64_t row, uint64_t n_rows, lm_real *out) {
    const lmi_type *type = lmi_type_of(from->type); uint64_t n = from->dims[0] * n_rows; const uint8_t *p = from->data + from->dims[0] / type->n * type->n_bytes * row;
#if defined(LLAMA_TRAIN_DOUBLE)
    float some[256]; uint64_t i, k;
    for (; n > 0; n -= k, out += k, p += k / type->n * type->n_bytes) {
        k = LMI_MIN(n, (uint64_t)256 / type->n * type->n);
        lmi_dequantize(t->kernels, type, p, (size_t)k, some);
        for (i = 0; i < k; i++) out[i] = some[i];
    }
#else
    lmi_dequantize(t->kernels, type, p, (size_t)n, out);
#endif
}
static void lmi_item_unfold(lm_train *t, const lmi_task *j, int slot, int item) { /* 16 rows of the group's */
    int row = 16 * item, n = LMI_MIN(16, j->n_out - row), s = 0, k; lm_real *to = j->c + (size_t)row * (size_t)j->n_in;
    (void)slot;
    for (; n > 0; n -= k, row += k, to += (size_t)k * (size_t)j->n_in) {
        for (s = 0, k = row; k >= j->lin->seg[s].n; s++) k -= j->lin->seg[s].n;
        { int at = k; k = LMI_MIN(n, j->lin->seg[s].n - at); lmi_unfold_rows(t, j->lin->from[s], (uint64_t)at, (uint64_t)k, to); }
    }
}
/* Adds to the work at hand, in which nobody uses such weights, what makes floats of them. */
static void lmi_unfold(lm_train *t, lmi_dense *l) {
    lmi_task *j; int s; lm_real *w = t->wide_w;
    if (l->from[0] == NULL) return;
    j = lmi_also(t, lmi_item_unfold, (l->n_out + 15) / 16); j->lin = l; j->n_in = l->n_in; j->n_out = l->n_out; j->c = w;
    for (s = 0; s < l->n_seg; s++) { l->seg[s].w = w; w += (size_t)l->seg[s].n * (size_t)l->n_in; }
}

/* ---- small tasks; an item is a group of 16 tokens */
static void lmi_item_norm(lm_train *t, const lmi_task *j, int slot, int b) {
    int n = t->info.shape.n_embd;
    (void)slot;
    t->k->norm(LMI_WOVEN(j->x, b, n, 0), n, j->y, t->eps, j->to + 16 * b, LMI_WOVEN(j->c, b, n, 0));
}
static void lmi_item_renorm(lm_train *t, const lmi_task *j, int slot, int b) {
    int n = t->info.shape.n_embd;
    (void)slot;
    t->k->renorm(LMI_WOVEN(j->x, b, n, 0), n, j->y, j->r + 16 * b, LMI_WOVEN(j->c, b, n, 0));
}
static void lmi_item_norm_back(lm_train *t, const lmi_task *j, int slot, int b) { /* dx (+)= what dh means for x */
    int n = t->info.shape.n_embd;
    (void)slot;
    t->k->norm_back(LMI_WOVEN(j->x, b, n, 0), n, j->y, j->r + 16 * b, LMI_WOVEN(t->dh, b, n, 0), j->add ? LMI_WOVEN(j->add, b, n, 0) : NULL, LMI_WOVEN(j->c, b, n, 0));
}
static void lmi_item_norm_grad(lm_train *t, const lmi_task *j, int slot, int item) { /* of 16 weights */
    int n = t->info.shape.n_embd, k = 16 * item;
    (void)slot;
    t->k->norm_grad(j->x + 16 * k, t->dh + 16 * k, j->r, LMI_MIN(16, n - k), t->nb, 16 * (size_t)n, j->c + k);
}
static void lmi_norm_task(lm_train *t, const lm_real *x, const lm_real *w, lm_real *r, lm_real *y) {
    lmi_task *j = lmi_also(t, lmi_item_norm, t->nb); j->x = x; j->y = w; j->to = r; j->c = y;
}
static void lmi_renorm_task(lm_train *t, const lm_real *x, const lm_real *w, const lm_real *r, lm_real *y) {
    lmi_task *j = lmi_also(t, lmi_item_renorm, t->nb); j->x = x; j->y = w; j->r = r; j->c = y;
}
static void lmi_norm_back_task(lm_train *t, const lm_real *x, const lm_real *w, const lm_real *r, lm_real *g, const lm_real *add) {
    lmi_task *j = lmi_also(t, lmi_item_norm_back, t->nb); j->x = x; j->y = w; j->r = r; j->c = t->dx; j->add = add;
    if (g) { j = lmi_also(t, lmi_item_norm_grad, (t->info.shape.n_embd + 15) / 16); j->x = x; j->r = r; j->c = g; }
}
static void lmi_item_gated(lm_train *t, const lmi_task *j, int slot, int b) {
    int n = t->info.shape.n_ff; lm_real *g = LMI_WOVEN(j->c, b, 2 * n, 0), *y = LMI_WOVEN(t->act, b, n, 0);
    (void)slot;
    if (j->after == LMI_GATED) t->k->gated(g, g + 16 * (size_t)n, n, y); else t->k->gated_back(g, g + 16 * (size_t)n, n, y);
}
static void lmi_item_drop(lm_train *t, const lmi_task *j, int slot, int b) { /* c = x, some dropped */
    lm_real *c = LMI_WOVEN(j->c, b, j->n_in, 0);
    (void)slot;
    if (c != LMI_WOVEN(j->x, b, j->n_in, 0)) memcpy(c, LMI_WOVEN(j->x, b, j->n_in, 0), 16 * (size_t)j->n_in * sizeof *c);
    lmi_drop(t, j->place, b, 0, j->n_in, c);
}
static void lmi_drop_task(lm_train *t, const lm_real *x, int n, int place, lm_real *c) {
    lmi_task *j = lmi_also(t, lmi_item_drop, t->nb); j->x = x; j->n_in = n; j->place = place; j->c = c;
}
static int lmi_drops(const lm_train *t) { return t->grad && t->d.dropout > 0; }

/* ---- embedding */
static int lmi_token_row(const lm_train *t, int at, int *pos) { *pos = at % (16 * t->row_blocks); return at / (16 * t->row_blocks); }
static void lmi_item_embed(lm_train *t, const lmi_task *j, int slot, int b) {
    int n = t->info.shape.n_embd, l, k, i, pos; lm_real *x = LMI_WOVEN(j->c, b, n, 0), tile[256], turned[256], *own = t->scratch[slot]; const lm_real *row[16];
    for (l = 0; l < 16; l++) {
        lm_token id = t->ids[16 * b + l];
        row[l] = own + (size_t)l * (size_t)n;
        if (id < 0) memset(own + (size_t)l * (size_t)n, 0, (size_t)n * sizeof *own);
        else if (t->embd_from) lmi_unfold_rows(t, t->embd_from, (uint64_t)id, 1, own + (size_t)l * (size_t)n);
        else row[l] = t->embd + (size_t)id * (size_t)n;
        lmi_token_row(t, 16 * b + l, &pos);
        for (i = 0; i < t->n_rot / 2; i++) {
            const lm_real *turn = t->turns + (size_t)(pos - t->start[16 * b + l]) * (size_t)t->n_rot + 2 * i;
            LMI_WOVEN(t->co, b, t->n_rot / 2, i)[l] = turn[0]; LMI_WOVEN(t->si, b, t->n_rot / 2, i)[l] = turn[1];
        }
    }
    for (k = 0; k < n; k += 16) {
        for (l = 0; l < 16; l++) for (i = 0; i < 16; i++) tile[16 * l + i] = k + i < n ? row[l][k + i] : 0;
        t->k->turn(tile, 16, turned, 16);
        memcpy(x + 16 * (size_t)k, turned, 16 * (size_t)LMI_MIN(16, n - k) * sizeof *x);
    }
    if (lmi_drops(t) && t->d.lora_rank == 0) lmi_drop(t, 0, b, 0, n, x);
}
static void lmi_item_embed_back(lm_train *t, const lmi_task *j, int slot, int item) { /* 16 columns of the gradient, token by token */
    int n = t->info.shape.n_embd, k = 16 * item, w = LMI_MIN(16, n - k), b, l, i; lm_real tile[256];
    (void)slot; (void)j;
    for (b = 0; b < t->nb; b++) {
        t->k->turn(LMI_WOVEN(t->dx, b, n, k), w, tile, 16);
        for (l = 0; l < 16; l++) if (t->ids[16 * b + l] >= 0) {
            lm_real *g = t->embd_g + (size_t)t->ids[16 * b + l] * (size_t)n + k;
            for (i = 0; i < w; i++) g[i] = g[i] + tile[16 * l + i];
        }
    }
}

/* ---- attention: an item is one row of the batch and one head of keys and values, with the queries that share it */
static void lmi_attn_tile(lmi_tile *p, const lm_train *t, int across) { /* a: keys or values, woven */
    memset(p, 0, sizeof *p);
    p->a_k = across ? 1 : 16; p->a_i = across ? 16 : 1; p->a_t = (size_t)t->k->tm * p->a_i; p->a_q = 16 * (size_t)t->n_wide; p->c_i = 16;
    p->n_q = 1; p->n_k = across ? 16 : t->dk;
}
/* Groups of keys g0 .. of the row against nv groups of vectors x [dk] from group b: s [16 (g1 - g0)][16 tv]. */
static void lmi_attn_scores(const lm_train *t, const lm_real *keys, int g0, int g1, const lm_real *x, int wide, int nv, lm_real *s) {
    lmi_tile p; int g, ld = 16 * t->k->tv;
    lmi_attn_tile(&p, t, 0);
    p.b = x; p.b_k = 16; p.b_v = 16 * (size_t)wide; p.c_v = 16; p.c_i = (size_t)ld; p.n_i = 16; p.n_v = nv; p.n_lanes = 16 * nv;
    for (g = g0; g < g1; g++) { p.a = keys + (size_t)g * p.a_q; p.c = s + (size_t)((g - g0) * 16) * (size_t)ld; t->k->block(&p); }
}
/* out [dk][16] of nv groups = sum over groups g0 .. of keys, of values times s */
static void lmi_attn_values(const lm_train *t, const lm_real *values, int g0, int g1, const lm_real *s, int nv, lm_real *out, int wide) {
    lmi_tile p; int ld = 16 * t->k->tv;
    lmi_attn_tile(&p, t, 1);
    p.a = values + (size_t)g0 * p.a_q; p.b = s; p.b_q = 16 * (size_t)ld; p.b_k = (size_t)ld; p.b_v = 16; p.c = out; p.c_v = 16 * (size_t)wide; p.n_q = g1 - g0; p.n_i = t->dk;
    p.n_v = nv; p.n_lanes = 16 * nv;
    t->k->block(&p);
}
static int lmi_attn_first(const lm_train *t, int b, int pos) { /* first group of keys that a group of queries sees */
    int first = t->start[16 * b];
    if (t->n_swa > 0) first = LMI_MAX(first, pos - t->n_swa + 1);
    return first / 16;
}
static void lmi_item_attend(lm_train *t, const lmi_task *j, int slot, int item) {
    lmi_tlayer *l = &t->layer[j->layer]; int row = item / t->info.shape.n_head_kv, kv = item % t->info.shape.n_head_kv, b0 = row * t->row_blocks, g, h, v, nv, first, half = t->n_rot / 2;
    lm_real *k = LMI_WOVEN(l->qkv_x, b0, t->n_wide, t->n_q + kv * t->dk), *val = LMI_WOVEN(l->qkv_x, b0, t->n_wide, t->n_q + t->n_kv + kv * t->dk), *s = t->scratch[slot], inv[4][16];
    size_t step = 16 * (size_t)t->n_wide; const int ld = 16 * t->k->tv; lm_real scale = (lm_real)(1 / sqrt((double)t->dk));
    for (g = 0; g < t->row_blocks; g++) t->k->rotate(k + (size_t)g * step, t->n_rot, LMI_WOVEN(t->co, b0 + g, half, 0), LMI_WOVEN(t->si, b0 + g, half, 0), 0);
    for (h = kv * t->per; h < (kv + 1) * t->per; h++) for (g = 0; g < t->row_blocks; g += nv) {
        lm_real *q = LMI_WOVEN(l->qkv_x, b0 + g, t->n_wide, h * t->dk), *out = LMI_WOVEN(l->att, b0 + g, t->n_q, h * t->dk);
        nv = LMI_MIN(t->k->tv, t->row_blocks - g); first = lmi_attn_first(t, b0 + g, 16 * g);
        for (v = 0; v < nv; v++) t->k->rotate(q + (size_t)v * step, t->n_rot, LMI_WOVEN(t->co, b0 + g + v, half, 0), LMI_WOVEN(t->si, b0 + g + v, half, 0), 0);
        lmi_attn_scores(t, k, first, g + nv, q, t->n_wide, nv, s);
        for (v = 0; v < nv; v++) t->k->soften(s + 16 * v, (size_t)ld, 16 * (g + nv - first), 16 * first, 16 * (g + v), t->start + 16 * (b0 + g + v), t->n_swa, scale,
            inv[v], LMI_WOVEN(l->lse, b0 + g + v, t->info.shape.n_head, h));
        lmi_attn_values(t, val, first, g + nv, s, nv, out, t->n_q);
        for (v = 0; v < nv; v++) t->k->rescale(out + 16 * (size_t)v * (size_t)t->n_q, t->dk, inv[v]);
    }
}
/* Gradients of attention, from t->act [n_q]: they take the places of q, k, v, turned back. */
static void lmi_item_attend_back(lm_train *t, const lmi_task *j, int slot, int item) {
    lmi_tlayer *l = &t->layer[j->layer]; int row = item / t->info.shape.n_head_kv, kv = item % t->info.shape.n_head_kv, b0 = row * t->row_blocks, n = t->row_blocks, g, h, v, u, c, nv, first, lo, half = t->n_rot / 2;
    lm_real *k = LMI_WOVEN(l->qkv_x, b0, t->n_wide, t->n_q + kv * t->dk), *val = LMI_WOVEN(l->qkv_x, b0, t->n_wide, t->n_q + t->n_kv + kv * t->dk), scale = (lm_real)(1 / sqrt((double)t->dk));
    const int ld = 16 * t->k->tv, chunk = LMI_QUERIES_BACK / 16; size_t step = 16 * (size_t)t->n_wide, wide = 16 * (size_t)n, head = 16 * (size_t)t->dk; lmi_tile p;
    lm_real *s = t->scratch[slot], *ds = s + wide * (size_t)ld, *pt = ds + wide * (size_t)ld, *dst = pt + LMI_QUERIES_BACK * wide, *dq = dst + LMI_QUERIES_BACK * wide;
    lm_real *dk = dq + head * (size_t)(LMI_QUERIES_BACK / 16), *dv = dk + head * (size_t)n;
    memset(dk, 0, 2 * head * (size_t)n * sizeof *dk);
    for (h = kv * t->per; h < (kv + 1) * t->per; h++) for (c = 0; c < n; c += chunk) { /* a chunk of queries */
        lm_real *q = LMI_WOVEN(l->qkv_x, b0 + c, t->n_wide, h * t->dk), *d_o = LMI_WOVEN(t->act, b0 + c, t->n_q, h * t->dk), *o = LMI_WOVEN(l->att, b0 + c, t->n_q, h * t->dk);
        const int end = LMI_MIN(n, c + chunk);
        for (lo = n, g = c; g < end; g += nv) {
            size_t at = (size_t)(g - c), at_o = 16 * at * (size_t)t->n_q;
            nv = LMI_MIN(t->k->tv, end - g); first = lmi_attn_first(t, b0 + g, 16 * g); lo = LMI_MIN(lo, first);
            lmi_attn_scores(t, k, first, g + nv, q + at * step, t->n_wide, nv, s);
            lmi_attn_scores(t, val, first, g + nv, d_o + at_o, t->n_q, nv, ds);
            for (v = 0; v < nv; v++) t->k->unsoften(s + 16 * v, ds + 16 * v, (size_t)ld, 16 * (g + nv - first), 16 * first, 16 * (g + v), t->start + 16 * (b0 + g + v), t->n_swa, scale,
                LMI_WOVEN(l->lse, b0 + g + v, t->info.shape.n_head, h), d_o + at_o + 16 * (size_t)v * (size_t)t->n_q, o + at_o + 16 * (size_t)v * (size_t)t->n_q, t->dk);
            lmi_attn_values(t, k, first, g + nv, ds, nv, dq + at * head, t->dk);
            for (v = 0; v < nv; v++) for (u = 0; u < n; u++) { /* [key][query] -> [query][key], 0 where none is seen */
                lm_real *to = pt + (at + (size_t)v) * 16 * wide + 16 * u, tile[256]; int i, w, seen = u >= first && u < g + nv;
                for (w = 0; w < 2; w++, to += dst - pt) {
                    if (!seen) { for (i = 0; i < 16; i++) memset(to + (size_t)i * wide, 0, 16 * sizeof *to); continue; }
                    for (i = 0; i < 16; i++) memcpy(tile + 16 * i, (w ? ds : s) + (size_t)((u - first) * 16 + i) * (size_t)ld + 16 * v, 16 * sizeof *tile);
                    t->k->turn(tile, 16, to, wide);
                }
            }
        }
        lmi_attn_tile(&p, t, 1);
        p.b_q = 16 * wide; p.b_k = wide; p.b_v = 16; p.c_v = head; p.n_i = t->dk; p.more = 1;
        for (g = lo; g < end; g += nv) { /* groups of keys */
            nv = LMI_MIN(t->k->tv, end - g); u = LMI_MAX(0, g - c); p.n_q = end - c - u; p.n_v = nv; p.n_lanes = 16 * nv;
            p.a = q + (size_t)u * step; p.b = dst + (size_t)u * p.b_q + 16 * g; p.c = dk + (size_t)g * head; p.a_q = step; t->k->block(&p);
            p.a = d_o + 16 * (size_t)u * (size_t)t->n_q; p.a_q = 16 * (size_t)t->n_q; p.b = pt + (size_t)u * p.b_q + 16 * g; p.c = dv + (size_t)g * head; t->k->block(&p);
        }
        for (g = c; g < end; g++) {
            t->k->rotate(dq + (size_t)(g - c) * head, t->n_rot, LMI_WOVEN(t->co, b0 + g, half, 0), LMI_WOVEN(t->si, b0 + g, half, 0), 1);
            memcpy(q + (size_t)(g - c) * step, dq + (size_t)(g - c) * head, head * sizeof *q);
        }
    }
    for (g = 0; g < n; g++) {
        t->k->rotate(dk + (size_t)g * head, t->n_rot, LMI_WOVEN(t->co, b0 + g, half, 0), LMI_WOVEN(t->si, b0 + g, half, 0), 1);
        memcpy(k + (size_t)g * step, dk + (size_t)g * head, head * sizeof *k); memcpy(val + (size_t)g * step, dv + (size_t)g * head, head * sizeof *val);
    }
}

/* ---- the head: logits of some tokens, their losses and, in the same place, what the gradient of the loss is for them */
/* Losses of group b of 16 tokens (lm_train_batch says which), z [n_vocab]. The caller's arrays have rows of n_len tokens. */
static void lmi_loss16(lm_train *t, int b, lm_real *z) {
    const lm_train_batch *in = t->b; const int n = t->info.shape.n_vocab; lm_real top[16], sum[16], all[16], cold[16], hard[16], soft[16], less[16], zt[16];
    double share = in->soft_p ? (double)in->soft_share : 0, temp = in->temperature > 0 ? (double)in->temperature : 1, smooth = (double)in->label_smoothing, ps[16], pz[16], pl[16], lns, p;
    double own[16]; int l, k, pos, row, keep = t->grad && (share == 0 || temp == 1), any = 0; size_t at[16];
    for (l = 0; l < 16; l++) {
        lm_token target = t->targets[16 * b + l];
        ps[l] = pz[l] = pl[l] = 0; row = lmi_token_row(t, 16 * b + l, &pos); at[l] = (size_t)row * (size_t)in->n_len + (size_t)pos;
        any |= target >= 0; zt[l] = target >= 0 ? z[16 * (size_t)target + (size_t)l] : 0;
        for (k = 0; share > 0 && target >= 0 && k < in->n_soft; k++) if ((p = (double)in->soft_p[at[l] * (size_t)in->n_soft + (size_t)k]) > 0) {
            size_t id = in->soft_ids ? (size_t)in->soft_ids[at[l] * (size_t)in->n_soft + (size_t)k] : (size_t)k;
            ps[l] += p; pz[l] += p * (double)z[16 * id + (size_t)l]; pl[l] += p * lmi_log(p);
        }
    }
    if (!any) { /* nothing counts */
        if (t->grad) memset(z, 0, 16 * (size_t)n * sizeof *z);
        for (l = 0; l < 16; l++) t->tok_loss[16 * b + l] = t->tok_nll[16 * b + l] = 0;
        return;
    }
    if (share > 0 && temp != 1) t->k->softsum(z, n, (lm_real)(1 / temp), 0, top, cold, all);
    t->k->softsum(z, n, 1, keep, top, sum, all);
    for (l = 0; l < 16; l++) {
        double w = in->weight && t->targets[16 * b + l] >= 0 ? (double)in->weight[at[l]] : 1, f = t->targets[16 * b + l] < 0 ? 0 : w * (double)in->scale, c;
        lns = lmi_log((double)sum[l]); t->tok_nll[16 * b + l] = t->tok_loss[16 * b + l] = 0; own[l] = f;
        hard[l] = (lm_real)(f * (1 - share) / (double)sum[l]); soft[l] = 0; less[l] = (lm_real)(f * (1 - share) * smooth / n);
        if (t->targets[16 * b + l] < 0) continue;
        t->tok_nll[16 * b + l] = (double)top[l] - (double)zt[l] + lns;
        c = (1 - share) * ((1 - smooth) * t->tok_nll[16 * b + l] + (smooth > 0 ? smooth * ((double)top[l] + lns - (double)all[l] / n) : 0));
        if (share > 0) {
            if (temp != 1) { soft[l] = (lm_real)(f * share * temp * ps[l] / (double)cold[l]); lns = lmi_log((double)cold[l]); }
            else hard[l] = (lm_real)(f * (1 - share + share * ps[l]) / (double)sum[l]);
            c += share * temp * temp * (pl[l] - pz[l] / temp + ps[l] * ((double)top[l] / temp + lns));
        }
        t->tok_loss[16 * b + l] = w * c;
    }
    if (!t->grad) return;
    t->k->softgrad(z, n, (lm_real)(1 / temp), keep, top, hard, soft, less);
    for (l = 0; l < 16; l++) if (t->targets[16 * b + l] >= 0) {
        z[16 * (size_t)t->targets[16 * b + l] + (size_t)l] -= (lm_real)(own[l] * (1 - share) * (1 - smooth));
        for (k = 0; share > 0 && k < in->n_soft; k++) {
            size_t id = in->soft_ids ? (size_t)in->soft_ids[at[l] * (size_t)in->n_soft + (size_t)k] : (size_t)k;
            z[16 * id + (size_t)l] -= (lm_real)(own[l] * share * temp * (double)in->soft_p[at[l] * (size_t)in->n_soft + (size_t)k]);
        }
    }
}
static void lmi_item_head(lm_train *t, const lmi_task *j, int slot, int item) {
    int b, l, pos, row; size_t n = (size_t)t->info.shape.n_vocab, k; lm_real *to;
    lmi_item_out(t, j, slot, item);
    for (b = item * j->step_b; b < LMI_MIN(j->n_b, (item + 1) * j->step_b); b++) {
        lm_real *z = LMI_WOVEN(j->c, b, j->wide_c, 0);
        for (l = 0; t->b->logits && l < 16; l++) {
            row = lmi_token_row(t, 16 * (j->at + b) + l, &pos);
            if (pos >= t->b->n_len) continue;
            to = t->b->logits + ((size_t)row * (size_t)t->b->n_len + (size_t)pos) * n;
            for (k = 0; k < n; k++) to[k] = z[16 * k + (size_t)l];
        }
        lmi_loss16(t, j->at + b, z);
    }
}
static void lmi_head(lm_train *t) {
    int at, n = t->info.shape.n_embd; lmi_task *j; lmi_dense *l = &t->head; const lm_real *x = t->x;
    lmi_then(t); lmi_norm_task(t, x, t->out_norm, t->rf, t->h);
    for (at = 0; at < t->nb; at += t->head_blocks) {
        t->span = LMI_MIN(t->head_blocks, t->nb - at);
        lmi_then(t);
        j = lmi_task_product(t, lmi_item_head, l->seg, 1, n, 0);
        j->x = LMI_WOVEN(t->h, at, n, 0); j->wide_x = n; j->c = t->logits; j->wide_c = l->n_out; j->at = at; j->n_o = 1; j->step_o = l->n_out; j->step_b = t->k->tv; j->n_b = t->span;
        j->n_items = (t->span + t->k->tv - 1) / t->k->tv; t->plan[t->n_plan - 1].n_items += j->n_items;
        if (!t->grad) continue;
        lmi_then(t);
        lmi_mul_in(t, l->seg, 1, n, t->logits, l->n_out, LMI_WOVEN(t->dh, at, n, 0), n, NULL);
        if (l->seg[0].g) lmi_mul_grad(t, l->seg, 1, n, t->logits, l->n_out, t->h, n, at, t->span);
    }
    t->span = t->nb;
    if (!t->grad) return;
    lmi_then(t); lmi_norm_back_task(t, x, t->out_norm, t->rf, t->out_norm_g, NULL);
}

/* ---- a layer */
static lm_real lmi_lora_scale(const lm_train *t) { return (lm_real)((double)t->info.lora_alpha / t->d.lora_rank); }
/* c = x W^T (+ add), and B (s A x) where there are adapters; what came before is done. */
static void lmi_forth(lm_train *t, lmi_dense *l, const lm_real *x, int place, lm_real *c, const lm_real *add, int after) {
    lmi_task *j; const int r = t->d.lora_rank, wide = l->n_a * r; int i; const lm_real *xd = x;
    if (l->n_a && lmi_drops(t)) { lmi_then(t); lmi_drop_task(t, x, l->n_in, place, t->xd); xd = t->xd; }
    lmi_then(t);
    j = lmi_mul_out(t, l->seg, l->n_seg, l->n_in, x, l->n_in, c, l->n_out, add, after == LMI_GATED);
    j->after = after; j->place = place; j->to = after == LMI_GATED ? t->act : c;
    if (l->n_a == 0) return;
    j = lmi_mul_out(t, l->a, l->n_a, l->n_in, xd, l->n_in, l->u, wide, NULL, 0); j->after = LMI_SCALE; j->scale = lmi_lora_scale(t);
    lmi_then(t);
    for (i = 0; i < l->n_a; i++)
        lmi_mul_out(t, &l->b[i], 1, r, l->u + 16 * (size_t)(i * r), wide, c + 16 * (size_t)l->off[i], l->n_out, c + 16 * (size_t)l->off[i], 0);
}
/* Of y = W x + B u: dx = dy W (not where dx is NULL), W's and B's gradients, du. x is there, and for adapters xd becomes it, some dropped. */
static void lmi_back(lm_train *t, lmi_dense *l, const lm_real *dy, const lm_real *x, int place, lm_real *dx, int after, lm_real *to, int later) {
    lmi_task *j; const int r = t->d.lora_rank, wide = l->n_a * r; int i;
    if (dx) { j = lmi_mul_in(t, l->seg, l->n_seg, l->n_in, dy, l->n_out, dx, l->n_in, NULL); j->after = after; j->to = to; }
    if (l->seg[0].g && !later) lmi_mul_grad(t, l->seg, l->n_seg, l->n_in, dy, l->n_out, x, l->n_in, 0, t->nb);
    for (i = 0; i < l->n_a; i++) {
        const lm_real *y = dy + 16 * (size_t)l->off[i];
        j = lmi_mul_in(t, &l->b[i], 1, r, y, l->n_out, t->du + 16 * (size_t)(i * r), wide, NULL); j->after = LMI_SCALE; j->scale = lmi_lora_scale(t);
        lmi_mul_grad(t, &l->b[i], 1, r, y, l->n_out, l->u + 16 * (size_t)(i * r), wide, 0, t->nb);
    }
    if (l->n_a && x && !later && lmi_drops(t)) lmi_drop_task(t, x, l->n_in, place, t->xd);
}
/* u = s A xd: A's gradients; dx += du A, where not dropped. */
static void lmi_back_a(lm_train *t, lmi_dense *l, const lm_real *x) {
    if (l->n_a) lmi_mul_grad(t, l->a, l->n_a, l->n_in, t->du, l->n_a * t->d.lora_rank, lmi_drops(t) ? t->xd : x, l->n_in, 0, t->nb);
}
static void lmi_back_x(lm_train *t, lmi_dense *l, int place, lm_real *dx) {
    lmi_task *j; const int wide = l->n_a * t->d.lora_rank;
    if (l->n_a == 0 || dx == NULL) return;
    if (!lmi_drops(t)) { lmi_mul_in(t, l->a, l->n_a, l->n_in, t->du, wide, dx, l->n_in, dx); return; }
    j = lmi_mul_in(t, l->a, l->n_a, l->n_in, t->du, wide, t->tmp, l->n_in, dx);
    j->after = LMI_DROP; j->place = place; j->to = dx;
}
/* The layer's output goes to the place of the next one's input; again: all but that. */
static void lmi_layer_forth(lm_train *t, int i, int again) {
    lmi_tlayer *l = &t->layer[i]; lmi_task *j; int place = 1 + 4 * i, drop = lmi_drops(t) && t->d.lora_rank == 0 ? LMI_DROP : LMI_AS_IS;
    lmi_then(t); lmi_norm_task(t, l->x, l->norm1, l->r1, t->h); lmi_unfold(t, &l->qkv);
    lmi_forth(t, &l->qkv, t->h, place, l->qkv_x, NULL, LMI_AS_IS);
    lmi_then(t); j = lmi_also(t, lmi_item_attend, t->nb / t->row_blocks * t->info.shape.n_head_kv); j->layer = i; lmi_unfold(t, &l->o);
    lmi_forth(t, &l->o, l->att, place + 1, l->mid, l->x, drop);                       /* mid = x + Wo att */
    lmi_then(t); lmi_norm_task(t, l->mid, l->norm2, l->r2, t->h); lmi_unfold(t, &l->gu);
    lmi_forth(t, &l->gu, t->h, place + 2, l->gu_x, NULL, l->gu.n_a ? LMI_AS_IS : LMI_GATED); /* act = silu(gate) up */
    if (l->gu.n_a) { lmi_then(t); j = lmi_also(t, lmi_item_gated, t->nb); j->c = l->gu_x; j->after = LMI_GATED; }
    else if (l->down.from[0]) lmi_then(t);
    if (again) return;
    lmi_unfold(t, &l->down);
    lmi_forth(t, &l->down, t->act, place + 3, i + 1 < t->info.shape.n_layer ? l[1].x : t->x, l->mid, drop);
}
/* From the gradient dx of the layer's output to that of its input. */
static void lmi_layer_back(lm_train *t, int i) {
    lmi_tlayer *l = &t->layer[i]; lmi_task *j; int place = 1 + 4 * i, lora = t->d.lora_rank > 0, n = t->info.shape.n_embd, drop = lmi_drops(t) && !lora; lm_real *dy = drop ? t->tmp : t->dx, *dh = lora && i == 0 ? NULL : t->dh;
    if (t->d.recompute) lmi_layer_forth(t, i, 1);
    if (l->down.from[0]) { lmi_then(t); lmi_unfold(t, &l->down); }
    if (drop) { lmi_then(t); lmi_drop_task(t, t->dx, n, place + 3, dy); }
    lmi_then(t); lmi_renorm_task(t, l->mid, l->norm2, l->r2, t->h);
    lmi_back(t, &l->down, dy, NULL, place + 3, t->act, lora ? LMI_AS_IS : LMI_GATED_BACK, l->gu_x, 1);
    if (lora) {
        if (l->down.n_a) { lmi_then(t); lmi_back_x(t, &l->down, place + 3, t->act); }
        lmi_then(t); j = lmi_also(t, lmi_item_gated, t->nb); j->c = l->gu_x; j->after = LMI_GATED_BACK; lmi_unfold(t, &l->gu);
        if (l->down.n_a && lmi_drops(t)) { lmi_then(t); lmi_drop_task(t, t->act, l->down.n_in, place + 3, t->xd); }
        if (l->down.n_a) { lmi_then(t); lmi_back_a(t, &l->down, t->act); }
    }
    lmi_then(t);
    if (!lora) lmi_mul_grad(t, l->down.seg, 1, l->down.n_in, dy, n, t->act, l->down.n_in, 0, t->nb);
    lmi_back(t, &l->gu, l->gu_x, t->h, place + 2, t->dh, LMI_AS_IS, NULL, 0);
    if (l->gu.n_a) { lmi_then(t); lmi_back_a(t, &l->gu, t->h); lmi_back_x(t, &l->gu, place + 2, t->dh); }
    lmi_then(t); lmi_norm_back_task(t, l->mid, l->norm2, l->r2, l->norm2_g, t->dx); lmi_unfold(t, &l->o);
    if (drop) { lmi_then(t); lmi_drop_task(t, t->dx, n, place + 1, dy); }
    lmi_then(t); lmi_renorm_task(t, l->x, l->norm1, l->r1, t->h);
    lmi_back(t, &l->o, dy, l->att, place + 1, t->act, LMI_AS_IS, NULL, 0);
    if (l->o.n_a) { lmi_then(t); lmi_back_a(t, &l->o, l->att); lmi_back_x(t, &l->o, place + 1, t->act); }
    lmi_then(t); j = lmi_also(t, lmi_item_attend_back, t->nb / t->row_blocks * t->info.shape.n_head_kv); j->layer = i; lmi_unfold(t, &l->qkv);
    lmi_then(t); lmi_back(t, &l->qkv, l->qkv_x, t->h, place, dh, LMI_AS_IS, NULL, 0);
    if (l->qkv.n_a) { lmi_then(t); lmi_back_a(t, &l->qkv, t->h); lmi_back_x(t, &l->qkv, place, dh); }
    if (dh) { lmi_then(t); lmi_norm_back_task(t, l->x, l->norm1, l->r1, l->norm1_g, t->dx); }
}

/* ---- a micro-batch */
static lm_status lmi_batch_check(lm_train *t, const lm_train_batch *b) {
    int r, i, first; int64_t k; const int n = t->info.shape.n_vocab; lm_error *e = &t->error;
    if (b->n_rows < 1 || b->n_rows > t->info.n_rows || b->n_len < 1 || b->n_len > t->info.n_len)
        return lmi_fail(e, LM_E_ARG, "a batch of %d rows of %d tokens, opened for at most %d of %d", b->n_rows, b->n_len, t->info.n_rows, t->info.n_len);
    if (b->ids == NULL || b->targets == NULL) return lmi_fail(e, LM_E_ARG, "a batch needs ids and targets");
    if (!(b->label_smoothing >= 0 && b->label_smoothing < 1)) return lmi_fail(e, LM_E_ARG, "label_smoothing is %f, expected 0 to less than 1", (double)b->label_smoothing);
    if (!lmi_finite64((double)b->scale)) return lmi_fail(e, LM_E_ARG, "scale is no number");
    if (b->soft_p && (!(b->soft_share >= 0 && b->soft_share <= 1) || !(b->temperature >= 0) || !lmi_finite64((double)b->temperature)))
        return lmi_fail(e, LM_E_ARG, "soft_share is %f, temperature %f; expected 0 to 1, and a positive number", (double)b->soft_share, (double)b->temperature);
    if (b->soft_p && (b->soft_ids ? b->n_soft < 1 : b->n_soft != n)) return lmi_fail(e, LM_E_ARG, "n_soft is %d; without soft_ids it is n_vocab, %d", b->n_soft, n);
    for (r = 0; r < b->n_rows; r++) for (first = 0, i = 0; i < b->n_len; i++) {
        k = (int64_t)r * b->n_len + i;
        if (b->ids[k] < 0 || b->ids[k] >= n) return lmi_fail(e, LM_E_ARG, "row %d, token %d is id %d, the vocabulary has %d", r, i, (int)b->ids[k], n);
        if (b->targets[k] >= n) return lmi_fail(e, LM_E_ARG, "row %d, target %d is id %d, the vocabulary has %d", r, i, (int)b->targets[k], n);
        if (b->start && (b->start[k] < first || b->start[k] > i)) return lmi_fail(e, LM_E_ARG, "row %d, start %d is %d, expected %d to %d", r, i, (int)b->start[k], first, i);
        if (b->start) first = b->start[k];
    }
    for (k = 0; b->soft_p && b->soft_ids && k < (int64_t)b->n_rows * b->n_len * b->n_soft; k++)
        if (b->soft_ids[k] < 0 || b->soft_ids[k] >= n) return lmi_fail(e, LM_E_ARG, "soft_ids has id %d, the vocabulary has %d", (int)b->soft_ids[k], n);
    return LM_OK;
}
/* After a layer, if anybody wants to know; done: layers. */
static lm_status lmi_train_ask(lm_train *t, int done) {
    uint64_t per = (uint64_t)t->b->n_rows * (uint64_t)t->b->n_len;
    if (t->hooks.progress == NULL) return LM_OK;
    lmi_train_go(t);
    if (t->hooks.progress(t->hooks.user, (uint64_t)done * per, (uint64_t)(t->info.shape.n_layer + 1) * (t->grad ? 3 : 1) * per) == 0) return LM_OK;
    if (t->grad) lm_train_zero(t);
    return lmi_fail(&t->error, LM_E_CANCEL, "training was cancelled");
}
LMI_API lm_status lm_train_run(lm_train *t, lm_train_batch *b) {
    int r, i, k, at, n_layer = t->info.shape.n_layer; double loss = 0, nll = 0, row; lmi_task *j;
    LMI_TRY(lmi_batch_check(t, b));
    t->b = b; t->row_blocks = (b->n_len + 15) / 16; t->nb = t->span = b->n_rows * t->row_blocks; t->grad = b->scale != 0; t->key = lmi_mix64(lmi_mix64(t->d.seed) ^ b->step);
    for (b->n_counted = 0, r = 0; r < b->n_rows; r++) for (i = 0; i < 16 * t->row_blocks; i++) {
        at = 16 * t->row_blocks * r + i; k = b->n_len * r + i;
        t->ids[at] = i < b->n_len ? b->ids[k] : -1; t->targets[at] = i < b->n_len ? b->targets[k] : -1; t->start[at] = i < b->n_len ? b->start ? b->start[k] : 0 : i;
        b->n_counted += t->targets[at] >= 0;
    }
    lmi_then(t); j = lmi_also(t, lmi_item_embed, t->nb); j->c = t->layer[0].x;
    for (i = 0; i < n_layer; i++) { lmi_layer_forth(t, i, 0); LMI_TRY(lmi_train_ask(t, i + 1)); }
    lmi_head(t);
    for (i = n_layer - 1; t->grad && i >= 0; i--) { LMI_TRY(lmi_train_ask(t, n_layer + 3 + 2 * (n_layer - 1 - i))); lmi_layer_back(t, i); }
    if (t->grad && t->embd_g) {
        if (lmi_drops(t)) { lmi_then(t); lmi_drop_task(t, t->dx, t->info.shape.n_embd, 0, t->dx); }
        lmi_then(t); lmi_also(t, lmi_item_embed_back, (t->info.shape.n_embd + 15) / 16);
    }
    lmi_train_go(t);
    LMI_TRY(lmi_train_ask(t, (n_layer + 1) * (t->grad ? 3 : 1)));
    for (r = 0; r < b->n_rows; r++) {
        for (row = 0, i = 0; i < b->n_len; i++) {
            at = 16 * t->row_blocks * r + i; row += t->tok_nll[at]; loss += t->tok_loss[at];
            if (b->token_nll) b->token_nll[(size_t)r * (size_t)b->n_len + (size_t)i] = (lm_real)t->tok_nll[at];
        }
        nll += row;
        if (b->row_nll) b->row_nll[r] = row;
    }
    b->nll = nll; b->loss = b->scale != 0 ? (double)b->scale * loss : loss;
    if (!lmi_finite64(b->loss)) return lmi_fail(&t->error, LM_E_NUMERIC, "the loss is no number");
    return lmi_ok(&t->error);
}

/* ---- optimizer */
static void lmi_item_sum(lm_train *t, const lmi_task *j, int slot, int item) {
    size_t at = (size_t)item * LMI_NORM_PART, end = LMI_MIN(t->info.n_floats, at + LMI_NORM_PART); double s[8]; int i;
    (void)slot; (void)j;
    for (i = 0; i < 8; i++) s[i] = 0;
    for (; at < end; at += 8) for (i = 0; i < 8; i++) s[i] += (double)t->info.grad[at + (size_t)i] * (double)t->info.grad[at + (size_t)i];
    t->sums[item] = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}
LMI_API double lm_train_norm(lm_train *t) {
    int i, n = (int)((t->info.n_floats + LMI_NORM_PART - 1) / LMI_NORM_PART); double sum = 0;
    lmi_then(t); lmi_also(t, lmi_item_sum, n); lmi_train_go(t);
    for (i = 0; i < n; i++) sum += t->sums[i];
    return sqrt(sum);
}
LMI_API void lm_train_zero(lm_train *t) { memset(t->info.grad, 0, t->info.n_floats * sizeof *t->info.grad); }
static void lmi_item_step(lm_train *t, const lmi_task *j, int slot, int item) {
    const lm_real *o = j->x; lm_real plain[11]; size_t at = (size_t)item * LMI_NORM_PART, end = LMI_MIN(t->info.n_floats, at + LMI_NORM_PART), to; int lo = 0, hi = t->n_param - 1, mid;
    (void)slot;
    memcpy(plain, o, sizeof plain); plain[8] = 1;
    while (lo < hi) { mid = (lo + hi + 1) / 2; if (t->param[mid].at <= at) lo = mid; else hi = mid - 1; }
    for (; at < end; at = to, lo++) { /* tensor by tensor */
        to = LMI_MIN(end, lo + 1 < t->n_param ? t->param[lo + 1].at : t->info.n_floats);
        t->k->adamw(t->param[lo].n_dims == 2 ? o : plain, (int)((to - at) / 16), t->info.value + at, t->info.grad + at, t->info.m + at, t->info.v + at, t->info.ema ? t->info.ema + at : NULL);
    }
}
LMI_API lm_status lm_train_step(lm_train *t, lm_adamw *a) {
    lm_real o[11]; lmi_task *j; double b1, b2;
    if (a->t < 1 || !(a->beta1 >= 0 && a->beta1 < 1) || !(a->beta2 >= 0 && a->beta2 < 1) || !(a->eps >= 0) || !lmi_finite64(a->lr) || !lmi_finite64(a->weight_decay))
        return lmi_fail(&t->error, LM_E_ARG, "t counts from 1, betas are 0 to less than 1, eps is not negative, lr and weight_decay are finite");
    a->norm = lm_train_norm(t);
    if (!lmi_finite64(a->norm)) { lm_train_zero(t); return lmi_fail(&t->error, LM_E_NUMERIC, "a gradient is infinite or no number"); }
    b1 = 1 - (a->beta1 > 0 ? lmi_pow(a->beta1, (double)a->t) : 0); b2 = 1 - (a->beta2 > 0 ? lmi_pow(a->beta2, (double)a->t) : 0);
    o[0] = (lm_real)(a->clip > 0 ? LMI_MIN(1.0, a->clip / (a->norm + 1e-6)) : 1.0);
    o[1] = (lm_real)a->beta1; o[2] = (lm_real)(1 - a->beta1); o[3] = (lm_real)a->beta2; o[4] = (lm_real)(1 - a->beta2);
    o[5] = (lm_real)(a->lr / b1); o[6] = (lm_real)(1 / b2); o[7] = (lm_real)a->eps; o[8] = (lm_real)(1 - a->lr * a->weight_decay);
    o[9] = (lm_real)a->ema_decay; o[10] = (lm_real)(1 - a->ema_decay);
    lmi_then(t); j = lmi_also(t, lmi_item_step, (int)((t->info.n_floats + LMI_NORM_PART - 1) / LMI_NORM_PART)); j->x = o;
    lmi_train_go(t);
    return lmi_ok(&t->error);
}

/* ---- opening: the same text counts bytes and lays the block out */
static const char *const lmi_train_mats[7] = { "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down" };
static lm_real *lmi_param_add(lm_train *t, int layer, const char *name, const char *suffix, int rows, int cols, lm_real **grad) { /* rows 0: a vector */
    lmi_out o; lmi_param *p; size_t at = t->info.n_floats, n = (size_t)cols * (size_t)LMI_MAX(1, rows);
    t->info.n_params += n; t->info.n_floats += (n + 15) & ~(size_t)15;
    if (t->param) {
        p = &t->param[t->n_param]; p->at = at; p->n_dims = rows ? 2 : 1; p->dims[0] = (uint64_t)cols; p->dims[1] = (uint64_t)LMI_MAX(1, rows);
        o.p = p->name; o.n = 0; o.cap = sizeof p->name;
        if (layer >= 0) { lmi_puts(&o, "blk."); lmi_put_u64(&o, (uint64_t)layer); lmi_putc(&o, '.'); }
        lmi_puts(&o, name); lmi_puts(&o, suffix); o.p[o.n] = 0;
    }
    t->n_param++;
    *grad = t->info.grad ? t->info.grad + at : NULL;
    return t->info.value ? t->info.value + at : NULL;
}
static lm_real *lmi_train_vector(lm_train *t, lmi_arena *a, int layer, const char *name, lm_real **grad) { /* a norm's weights: trained, or copied */
    int n = t->info.shape.n_embd;
    if (t->d.lora_rank == 0) return lmi_param_add(t, layer, name, ".weight", 0, n, grad);
    *grad = NULL;
    return (lm_real *)lmi_push(a, (uint64_t)n, sizeof(lm_real));
}
static int lmi_in_place(const lmi_tensor *from) { /* can a frozen tensor be used as it lies? */
#if defined(LLAMA_TRAIN_DOUBLE)
    (void)from;
    return 0;
#else
    const uint16_t one = 1; uint8_t first; memcpy(&first, &one, 1);
    return first == 1 && from->type == LMI_F32 && (uintptr_t)from->data % sizeof(float) == 0;
#endif
}
static void lmi_train_linear(lm_train *t, lmi_arena *a, int layer, lmi_dense *l, int id, int n_seg, const int *rows, int n_in) { /* id: of lmi_train_mats */
    int s, k, direct = 1, r = t->d.lora_rank, blocks = t->n_blocks; lm_real *g;
    l->n_seg = n_seg; l->n_in = n_in; l->n_out = 0; l->n_a = 0;
    for (s = 0; s < n_seg; s++) {
        l->seg[s].n = rows[s]; l->from[s] = NULL; l->seg[s].w = NULL; l->seg[s].g = NULL;
        if (r == 0) { l->seg[s].w = lmi_param_add(t, layer, lmi_train_mats[id + s], ".weight", rows[s], n_in, &g); l->seg[s].g = g; }
        else { l->from[s] = lmi_weight(t->base, layer, lmi_train_mats[id + s], ".weight"); direct &= lmi_in_place(l->from[s]); }
        if (r > 0 && (t->info.lora_targets >> (id + s) & 1)) {
            k = l->n_a++; l->off[k] = l->n_out;
            l->a[k].w = lmi_param_add(t, layer, lmi_train_mats[id + s], ".weight.lora_a", r, n_in, &g); l->a[k].g = g; l->a[k].n = r;
            l->b[k].w = lmi_param_add(t, layer, lmi_train_mats[id + s], ".weight.lora_b", rows[s], r, &g); l->b[k].g = g; l->b[k].n = rows[s];
        }
        l->n_out += rows[s];
    }
    if (r > 0 && !direct) t->n_wide_w = LMI_MAX(t->n_wide_w, (size_t)l->n_out * (size_t)n_in);
    for (s = 0; r > 0 && direct && s < n_seg; s++) { l->seg[s].w = (const lm_real *)(const void *)l->from[s]->data; l->from[s] = NULL; }
    if (l->n_a) l->u = (lm_real *)lmi_push(a, (uint64_t)blocks * 16 * (uint64_t)(l->n_a * r), sizeof(lm_real));
}
static lm_real *lmi_train_act(lm_train *t, lmi_arena *a, int width) { return (lm_real *)lmi_push(a, (uint64_t)t->n_blocks * 16 * (uint64_t)width, sizeof(lm_real)); }
static void lmi_train_layout(lm_train *t, lmi_arena *a) {
    const lm_train_shape *s = &t->info.shape; int i, k, n = s->n_embd, wide, rows[3]; lmi_tlayer one, *l = NULL, *kept = NULL; size_t head = 16 * (size_t)t->dk, row = (size_t)((t->info.n_len + 15) / 16) * 16, need;
    uint64_t n_floats = t->info.n_floats; const int n_param = t->n_param, lora = t->d.lora_rank > 0; lm_real *g;
    t->layer = (lmi_tlayer *)lmi_push(a, (uint64_t)s->n_layer, sizeof *t->layer);
    t->param = (lmi_param *)lmi_push(a, (uint64_t)n_param, sizeof *t->param);
    t->plan = (lmi_work *)lmi_push(a, LMI_TASKS, sizeof *t->plan); t->task = (lmi_task *)lmi_push(a, LMI_TASKS, sizeof *t->task);
    t->info.value = (lm_real *)lmi_push(a, n_floats, sizeof(lm_real)); t->info.grad = (lm_real *)lmi_push(a, n_floats, sizeof(lm_real));
    t->info.m = (lm_real *)lmi_push(a, n_floats, sizeof(lm_real)); t->info.v = (lm_real *)lmi_push(a, n_floats, sizeof(lm_real));
    t->info.ema = t->d.ema ? (lm_real *)lmi_push(a, n_floats, sizeof(lm_real)) : NULL;
    t->info.n_state_bytes = n_floats * sizeof(lm_real) * (t->d.ema ? 5 : 4);
    t->sums = (double *)lmi_push(a, n_floats / LMI_NORM_PART + 1, sizeof *t->sums);
    t->own_freq = t->base ? NULL : (double *)lmi_push(a, (uint64_t)t->n_rot / 2, sizeof *t->own_freq);
    t->n_param = 0; t->info.n_floats = 0; t->info.n_params = 0; t->n_wide_w = 0;
    t->embd = t->embd_g = NULL; t->embd_from = NULL;
    if (!lora) t->embd = lmi_param_add(t, -1, "token_embd", ".weight", s->n_vocab, n, &t->embd_g);
    for (i = 0; i < s->n_layer; i++) {
        memset(&one, 0, sizeof one);
        l = t->layer ? &t->layer[i] : &one;
        l->norm1 = lmi_train_vector(t, a, i, "attn_norm", &l->norm1_g);
        rows[0] = t->n_q; rows[1] = rows[2] = t->n_kv; lmi_train_linear(t, a, i, &l->qkv, 0, 3, rows, n);
        rows[0] = n; lmi_train_linear(t, a, i, &l->o, 3, 1, rows, t->n_q);
        l->norm2 = lmi_train_vector(t, a, i, "ffn_norm", &l->norm2_g);
        rows[0] = rows[1] = s->n_ff; lmi_train_linear(t, a, i, &l->gu, 4, 2, rows, n);
        rows[0] = n; lmi_train_linear(t, a, i, &l->down, 6, 1, rows, s->n_ff);
        l->x = lmi_train_act(t, a, n);
        if (kept && t->d.recompute) {
            l->qkv_x = kept->qkv_x; l->att = kept->att; l->mid = kept->mid; l->gu_x = kept->gu_x; l->r1 = kept->r1; l->r2 = kept->r2; l->lse = kept->lse;
        } else if (i == 0 || !t->d.recompute) {
            l->qkv_x = lmi_train_act(t, a, t->n_wide); l->att = lmi_train_act(t, a, t->n_q); l->mid = lmi_train_act(t, a, n); l->gu_x = lmi_train_act(t, a, 2 * s->n_ff);
            l->r1 = lmi_train_act(t, a, 1); l->r2 = lmi_train_act(t, a, 1); l->lse = lmi_train_act(t, a, s->n_head);
            if (t->layer) kept = l;
        }
    }
    t->out_norm = lmi_train_vector(t, a, -1, "output_norm", &t->out_norm_g);
    t->head.n_seg = 1; t->head.n_in = n; t->head.n_out = s->n_vocab; t->head.seg[0].n = s->n_vocab; t->head.seg[0].w = t->embd; t->head.seg[0].g = t->embd_g;
    if (!lora && !s->tied) { t->head.seg[0].w = lmi_param_add(t, -1, "output", ".weight", s->n_vocab, n, &g); t->head.seg[0].g = g; }
    t->head_w = NULL;
    if (lora) { /* once for all, as every micro-batch needs all of it */
        const lmi_tensor *from = lmi_weight(t->base, -1, s->tied ? "token_embd" : "output", ".weight");
        t->embd_from = lmi_weight(t->base, -1, "token_embd", ".weight"); t->head.seg[0].g = NULL;
        if (lmi_in_place(from)) t->head.seg[0].w = (const lm_real *)(const void *)from->data;
        else t->head.seg[0].w = t->head_w = (lm_real *)lmi_push(a, (uint64_t)s->n_vocab * (uint64_t)n, sizeof(lm_real));
        t->wide_w = (lm_real *)lmi_push(a, t->n_wide_w, sizeof(lm_real));
    }
    wide = LMI_MAX(LMI_MAX(n, t->n_q), s->n_ff);
    t->x = lmi_train_act(t, a, n); t->h = lmi_train_act(t, a, n); t->dx = lmi_train_act(t, a, n); t->dh = lmi_train_act(t, a, n); t->act = lmi_train_act(t, a, LMI_MAX(t->n_q, s->n_ff));
    t->tmp = t->xd = t->du = NULL;
    if (t->d.dropout > 0) t->tmp = lmi_train_act(t, a, wide);
    if (t->d.dropout > 0 && lora) t->xd = lmi_train_act(t, a, wide);
    if (lora) t->du = lmi_train_act(t, a, 3 * t->d.lora_rank);
    t->turns = (lm_real *)lmi_push(a, (uint64_t)row * (uint64_t)t->n_rot, sizeof(lm_real)); /* cosines and sines by position */
    t->co = lmi_train_act(t, a, t->n_rot / 2); t->si = lmi_train_act(t, a, t->n_rot / 2); t->rf = lmi_train_act(t, a, 1);
    t->head_blocks = (int)LMI_MIN((size_t)t->n_blocks, LMI_MAX((size_t)8, LMI_HEAD_FLOATS / 16 / (size_t)s->n_vocab));
    t->logits = (lm_real *)lmi_push(a, (uint64_t)t->head_blocks * 16 * (uint64_t)s->n_vocab, sizeof(lm_real));
    t->tok_loss = (double *)lmi_push(a, (uint64_t)t->n_blocks * 16, sizeof(double)); t->tok_nll = (double *)lmi_push(a, (uint64_t)t->n_blocks * 16, sizeof(double));
    t->start = (int32_t *)lmi_push(a, (uint64_t)t->n_blocks * 16, sizeof(int32_t));
    t->ids = (lm_token *)lmi_push(a, (uint64_t)t->n_blocks * 16, sizeof(lm_token)); t->targets = (lm_token *)lmi_push(a, (uint64_t)t->n_blocks * 16, sizeof(lm_token));
    need = LMI_MAX((size_t)LMI_OUTS * LMI_MAX(LMI_SUM_PART, 3 * (size_t)t->d.lora_rank), (size_t)LMI_SUM_PART * 16 * (size_t)t->k->tv);
    need = LMI_MAX(need, 2 * row * 16 * (size_t)t->k->tv + 2 * LMI_QUERIES_BACK * row + head * (size_t)(LMI_QUERIES_BACK / 16) + 2 * head * (row / 16));
    t->n_scratch = LMI_MAX(need, 16 * (size_t)n);
    t->scratch = (lm_real **)lmi_push(a, (uint64_t)t->info.n_threads, sizeof *t->scratch);
    t->team.share = (lmi_share *)lmi_push(a, (uint64_t)t->info.n_threads, sizeof *t->team.share);
    for (k = 0; k < t->info.n_threads; k++) { g = (lm_real *)lmi_push(a, t->n_scratch, sizeof(lm_real)); if (t->scratch) t->scratch[k] = g; }
}
static lm_status lmi_train_number(const char *what, int64_t v, int64_t lo, int64_t hi, lm_error *err) {
    if (v >= lo && v <= hi) return LM_OK;
    return lmi_fail(err, LM_E_ARG, v < 0 ? "%s is negative" : "%s is %u, expected %u to %u", what, (uint64_t)v, (uint64_t)lo, (uint64_t)hi);
}
static lm_status lmi_train_base(lm_train *t, lm_error *err) { /* what can be trained of it */
    const lm_model *m = t->base; lm_train_shape *s = &t->info.shape; int id, layer; const char *name; const lmi_mat *w; const lmi_tensor *x;
    if (m->vocab_only) return lmi_fail(err, LM_E_ARG, "the base was opened with vocab_only");
    if (m->dk != m->dv || m->dk % 2) return lmi_fail(err, LM_E_SUPPORT, "heads of %d keys and %d values cannot be trained: expected one even number", m->dk, m->dv);
    for (id = 0; id < 7 * m->n_layer + 2; id++) {
        w = lmi_mat_at(m, id, &layer, &name);
        x = lmi_weight(m, layer, m->tied && id == 7 * m->n_layer ? "token_embd" : name, ".weight");
        if (w->bias) return lmi_fail(err, LM_E_SUPPORT, "the base has biases (%s.bias), which cannot be trained", name);
        if (x == NULL || x->data == NULL) return lmi_fail(err, LM_E_ARG, "the bytes of the base's tensors are not in memory: open it from a file that is mapped, from memory, or with plain_layout");
        if (t->d.lora_rank > w->n_in || t->d.lora_rank > w->n_out) return lmi_fail(err, LM_E_SUPPORT, "lora_rank %d is more than a side of %s, %d by %d", t->d.lora_rank, name, w->n_out, w->n_in);
    }
    s->n_vocab = m->n_vocab; s->n_embd = m->n_embd; s->n_layer = m->n_layer; s->n_head = m->n_head; s->n_head_kv = m->n_head_kv; s->n_embd_head = m->dk; s->n_ff = m->n_ff;
    s->tied = m->tied; s->rms_eps = m->eps; s->rope_freq_base = m->rope_base;
    t->kernels = m->k; t->n_rot = m->n_rot; t->n_swa = m->n_swa; t->rope_mag = (double)m->rope_mag; t->rope_freq = m->rope_freq;
    return LM_OK;
}
static lm_status lmi_train_shape_ok(lm_train *t, lm_error *err) {
    lm_train_shape *s = &t->info.shape;
    if (t->d.shape == NULL) return lmi_fail(err, LM_E_ARG, "a base or a shape must be given");
    *s = *t->d.shape;
    if (s->n_head_kv == 0) s->n_head_kv = s->n_head;
    LMI_TRY(lmi_train_number("n_vocab", s->n_vocab, 2, 1 << 24, err)); LMI_TRY(lmi_train_number("n_embd", s->n_embd, 1, 1 << 20, err));
    LMI_TRY(lmi_train_number("n_layer", s->n_layer, 1, 4096, err)); LMI_TRY(lmi_train_number("n_head", s->n_head, 1, 1 << 14, err));
    LMI_TRY(lmi_train_number("n_head_kv", s->n_head_kv, 1, s->n_head, err)); LMI_TRY(lmi_train_number("n_ff", s->n_ff, 1, 1 << 22, err));
    if (s->n_head % s->n_head_kv) return lmi_fail(err, LM_E_ARG, "n_head %d is no multiple of n_head_kv %d", s->n_head, s->n_head_kv);
    if (s->n_embd_head == 0 && s->n_embd % s->n_head) return lmi_fail(err, LM_E_ARG, "n_embd %d is no multiple of n_head %d: n_embd_head must be given", s->n_embd, s->n_head);
    if (s->n_embd_head == 0) s->n_embd_head = s->n_embd / s->n_head;
    LMI_TRY(lmi_train_number("n_embd_head", s->n_embd_head, 2, 1 << 12, err));
    if (s->n_embd_head % 2) return lmi_fail(err, LM_E_ARG, "n_embd_head is %d, expected an even number", s->n_embd_head);
    if (s->rms_eps == 0) s->rms_eps = 1e-5f;
    if (s->rope_freq_base == 0) s->rope_freq_base = 10000;
    if (!(s->rms_eps > 0 && s->rms_eps < 1) || !(s->rope_freq_base > 1 && s->rope_freq_base <= 1e12f)) return lmi_fail(err, LM_E_ARG, "rms_eps is %f, rope_freq_base %f; expected 0 to 1, and more than 1", (double)s->rms_eps, (double)s->rope_freq_base);
    t->n_rot = s->n_embd_head; t->rope_mag = 1;
    return lmi_kernels_pick(&t->kernels, err);
}
static lm_status lmi_train_measure(lm_train *t, const lm_train_desc *d, lmi_arena *a, lm_error *err) {
    lm_train_shape *s = &t->info.shape;
    memset(t, 0, sizeof *t); memset(a, 0, sizeof *a);
    t->d = *d; t->base = d->base; t->hooks = d->hooks;
    LMI_TRY(lmi_train_number("lora_rank", d->lora_rank, 0, LMI_MAX_RANK, err)); LMI_TRY(lmi_train_number("n_threads", d->n_threads, 0, LMI_MAX_THREADS, err));
    LMI_TRY(lmi_train_number("n_rows", d->n_rows, 0, 1 << 16, err)); LMI_TRY(lmi_train_number("n_len", d->n_len, 0, 1 << 20, err));
    if (!(d->dropout >= 0 && d->dropout < 1)) return lmi_fail(err, LM_E_ARG, "dropout is %f, expected 0 to less than 1", (double)d->dropout);
    if (d->lora_targets > 127) return lmi_fail(err, LM_E_ARG, "lora_targets has bits beyond the seven matrices'");
    if (d->lora_rank && d->base == NULL) return lmi_fail(err, LM_E_ARG, "adapters need a base");
    LMI_TRY(d->base ? lmi_train_base(t, err) : lmi_train_shape_ok(t, err));
    t->info.lora_rank = d->lora_rank; t->info.lora_targets = d->lora_rank ? d->lora_targets ? d->lora_targets : 127 : 0;
    t->info.lora_alpha = d->lora_rank ? d->lora_alpha != 0 ? d->lora_alpha : (float)d->lora_rank : 0;
    t->info.n_rows = d->n_rows ? d->n_rows : 1; t->info.n_len = d->n_len ? d->n_len : 256; t->info.n_threads = d->n_threads ? d->n_threads : LMI_MIN(lmi_physical_cores(), LMI_MAX_THREADS);
    t->info.isa = t->kernels->isa; t->k = t->kernels->trainer;
    if ((int64_t)t->info.n_rows * ((t->info.n_len + 15) / 16) > 1 << 22) return lmi_fail(err, LM_E_ARG, "%d rows of %d tokens are more than 2^26 tokens", t->info.n_rows, t->info.n_len);
    t->n_blocks = t->info.n_rows * ((t->info.n_len + 15) / 16);
    t->dk = s->n_embd_head; t->per = s->n_head / s->n_head_kv; t->n_q = s->n_head * t->dk; t->n_kv = s->n_head_kv * t->dk; t->n_wide = t->n_q + 2 * t->n_kv; t->eps = (double)s->rms_eps;
    if ((double)s->n_vocab * s->n_embd + (double)s->n_layer * ((double)s->n_embd * (2.0 * t->n_wide + 3.0 * s->n_ff)) > 1e12) return lmi_fail(err, LM_E_ARG, "the shape has more than a million million weights");
    lmi_train_layout(t, a);                                  /* counts parameters */
    memset(a, 0, sizeof *a); t->info.n_tensors = t->n_param;
    lmi_push(a, 1, sizeof *t);
    lmi_train_layout(t, a);
    if (a->used == UINT64_MAX || a->used > SIZE_MAX / 2) return lmi_fail(err, LM_E_MEMORY, "training is larger than this system can address");
    t->info.n_block_bytes = a->used + LMI_ALIGN;
    return LM_OK;
}
LMI_API lm_status lm_train_size(const lm_train_desc *d, size_t *n_bytes, lm_error *err) {
    lm_train t; lmi_arena a;
    if (d == NULL || n_bytes == NULL) return lmi_fail(err, LM_E_ARG, "descriptor and result must be given");
    LMI_TRY(lmi_train_measure(&t, d, &a, err));
    *n_bytes = (size_t)t.info.n_block_bytes;
    return lmi_ok(err);
}
/* First weights: normal numbers by Box and Muller, two of each place. */
static void lmi_train_normal(uint64_t key, lm_real *x, uint64_t n, double deviation) {
    uint64_t i, h; double r, s, c;
    for (i = 0; i < n; i += 2) {
        h = lmi_mix64(key + i); r = deviation * sqrt(-2 * lmi_log(((double)(h >> 11) + 1) * 1.1102230246251565e-16)); /* 2^-53 */
        h = lmi_mix64(h); lmi_sincos((double)(h >> 11) * 1.1102230246251565e-16 * 6.283185307179586, &s, &c);
        x[i] = (lm_real)(r * c);
        if (i + 1 < n) x[i + 1] = (lm_real)(r * s);
    }
}
static int lmi_name_has(const char *name, const char *part) { size_t n = strlen(part); for (; *name; name++) if (strncmp(name, part, n) == 0) return 1; return 0; }
static void lmi_train_fill(lm_train *t) {
    int i, k; const lmi_tensor *x; lmi_str name; double deep = sqrt(2.0 * t->info.shape.n_layer), sine, cosine;
    for (i = 0; i < t->n_param; i++) {
        const lmi_param *p = &t->param[i]; lm_real *w = t->info.value + p->at; uint64_t n = p->dims[0] * p->dims[1], key = lmi_mix64(lmi_mix64(t->d.seed ^ 0x77656967687473u) + (uint64_t)i), at;
        if (t->d.lora_rank) { if (p->name[strlen(p->name) - 1] == 'a') lmi_train_normal(key, w, n, 1 / sqrt((double)p->dims[0])); continue; }
        if (t->base) { name = lmi_cstr(p->name); x = lmi_tensor_find(&t->base->gguf, name); if (x) lmi_unfold_rows(t, x, 0, p->dims[1], w); continue; }
        if (p->n_dims == 1) { for (at = 0; at < n; at++) w[at] = 1; continue; }
        lmi_train_normal(key, w, n, 0.02 / (lmi_name_has(p->name, "attn_output") || lmi_name_has(p->name, "ffn_down") ? deep : 1));
    }
    for (k = 0; t->d.lora_rank && k < t->info.shape.n_embd; k++) { /* norms of a frozen base are floats already */
        t->out_norm[k] = t->base->output_norm[k];
        for (i = 0; i < t->info.shape.n_layer; i++) { t->layer[i].norm1[k] = t->base->layer[i].attn_norm[k]; t->layer[i].norm2[k] = t->base->layer[i].ffn_norm[k]; }
    }
    if (t->head_w) lmi_unfold_rows(t, lmi_weight(t->base, -1, t->info.shape.tied ? "token_embd" : "output", ".weight"), 0, (uint64_t)t->info.shape.n_vocab, t->head_w);
    for (i = 0; t->own_freq && i < t->n_rot / 2; i++) t->own_freq[i] = lmi_pow((double)t->info.shape.rope_freq_base, -2.0 * i / t->n_rot);
    if (t->own_freq) t->rope_freq = t->own_freq;
    for (i = 0; i < (t->info.n_len + 15) / 16 * 16; i++) for (k = 0; k < t->n_rot; k += 2) {
        lmi_sincos((double)i * t->rope_freq[k / 2], &sine, &cosine);
        t->turns[(size_t)i * (size_t)t->n_rot + (size_t)k] = (lm_real)(cosine * t->rope_mag); t->turns[(size_t)i * (size_t)t->n_rot + (size_t)k + 1] = (lm_real)(sine * t->rope_mag);
    }
    if (t->info.ema) memcpy(t->info.ema, t->info.value, t->info.n_floats * sizeof *t->info.ema);
}
LMI_API lm_status lm_train_open(lm_train **out, const lm_train_desc *d, lm_error *err) {
    lm_train tmp, *t; lmi_arena a; void *own; lm_status s; size_t bytes; lmi_fpenv fp;
    if (d == NULL || out == NULL) return lmi_fail(err, LM_E_ARG, "descriptor and result must be given");
    LMI_TRY(lmi_train_measure(&tmp, d, &a, err));
    LMI_TRY(lmi_arena_open(&a, a.used, d->block, d->block_bytes, &d->hooks, &own, "training", err));
    t = (lm_train *)lmi_push(&a, 1, sizeof *t);
    bytes = (size_t)(a.cap - a.used);
    memset(a.base + a.used, 0, bytes);                       /* weights, moments, activations that a short batch leaves out */
    *t = tmp; t->own = own;
    lmi_train_layout(t, &a);
    s = lmi_team_open(&t->team, t->info.n_threads, &t->hooks, t, err);
    if (s != LM_OK) { lmi_give(&d->hooks, own, (size_t)tmp.info.n_block_bytes); return s; }
    fp = lmi_fp_enter(); lmi_train_fill(t); lmi_fp_leave(fp);
    *out = t;
    return lmi_ok(err);
}
LMI_API void lm_train_close(lm_train *t) {
    lm_hooks h;
    if (t == NULL) return;
    lmi_team_close(&t->team);
    h = t->hooks;
    lmi_give(&h, t->own, (size_t)t->info.n_block_bytes);
}
LMI_API const char *lm_train_error(const lm_train *t) { return t->error.text; }
LMI_API void lm_train_get_info(const lm_train *t, lm_train_info *out) { *out = t->info; }
LMI_API lm_status lm_train_tensor_at(const lm_train *t, int i, lm_train_tensor *out) {
    const lmi_param *p;
    if (i < 0 || i >= t->n_param || out == NULL) return LM_E_ARG;
    p = &t->param[i];
    out->name = p->name; out->n_dims = p->n_dims; out->dims[0] = p->dims[0]; out->dims[1] = p->dims[1]; out->decays = p->n_dims == 2;
    out->value = t->info.value + p->at; out->grad = t->info.grad + p->at; out->m = t->info.m + p->at; out->v = t->info.v + p->at; out->ema = t->info.ema ? t->info.ema + p->at : NULL;
    return LM_OK;
}
#endif /* LLAMA_TRAIN */

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
#undef LMI_BODY
#endif /* LMI_BODY */

/* ============================================================================================== >>licence
 * This software is available under two licences; choose the one you prefer.
 *
 * ALTERNATIVE A - MIT No Attribution (MIT-0)
 * Copyright (c) 2026 the llama.h authors
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the
 * "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish,
 * distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so.
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
 * MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
 * CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
 * SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 *
 * ALTERNATIVE B - Public domain (www.unlicense.org)
 * This is free and unencumbered software released into the public domain. Anyone is free to copy, modify, publish, use, compile, sell, or
 * distribute this software, either in source code form or as a compiled binary, for any purpose, commercial or non-commercial, and by any
 * means. In jurisdictions that recognize copyright laws, the author or authors of this software dedicate any and all copyright interest in
 * the software to the public domain. We make this dedication for the benefit of the public at large and to the detriment of our heirs and
 * successors. We intend this dedication to be an overt act of relinquishment in perpetuity of all present and future rights to this
 * software under copyright law. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, as above.
 */
