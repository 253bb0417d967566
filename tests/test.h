/* The test harness. A test is `void test_NAME(void)`, entered in the list of test_main.c. One process runs them in turn; a test goes
 * on after a failed check, so that one run shows everything. */
#ifndef TEST_H
#define TEST_H

#include "../llama.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- checks */
int  test_check(int ok, const char *file, int line, const char *what);   /* counts; returns ok */
void test_near(double got, double want, double tol, const char *file, int line, const char *what);
void test_status(lm_status got, lm_status want, const char *file, int line, const char *what);
void test_bits(const void *got, const void *want, size_t n_bytes, const char *file, int line, const char *what); /* memcmp, says where */
void test_skip(const char *reason);                                      /* the test counts as skipped unless a check failed */
void test_skip_part(const char *reason);                                 /* a part of a test that cannot run here; counted on its own */
void note(const char *fmt, ...)                                          /* says what a test compared */
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;
#define CHECK(cond)                test_check(!!(cond), __FILE__, __LINE__, #cond)
#define FAIL(what)                 test_check(0, __FILE__, __LINE__, what)
#define CHECK_NEAR(got, want, tol) test_near((double)(got), (double)(want), (double)(tol), __FILE__, __LINE__, #got)
#define CHECK_STATUS(call, want)   test_status((lm_status)(call), want, __FILE__, __LINE__, #call)
#define CHECK_BITS(got, want, n)   test_bits(got, want, n, __FILE__, __LINE__, #got)
#define SKIP(reason)               do { test_skip(reason); return; } while (0)
#define SKIP_PART(reason)          test_skip_part(reason)
#define NO_DATA "no reference data"

extern struct test_now { unsigned long n_checks, n_failed, n_parts_skipped; const char *skipped, *part_skipped; } test_now; /* the test that runs */

/* ---- files (test_util.c) */
void *read_file(const char *path, size_t *n_bytes);                      /* malloc'd, one 0 byte after the end; NULL: cannot be read */
int   write_file(const char *path, const void *p, size_t n_bytes);       /* 0: done */
const char *data_path(const char *relative);                             /* in the shared data (LLAMA_TEST_DATA, default ../shared);
                                                                            static storage, good for eight calls; NULL: no such file */
int   test_quick(void);                                                  /* LLAMA_TEST_QUICK=1, for sanitizers: fewer repetitions */
const char *smollm2_path(void);                                          /* the GGUF in models/, NULL where there is none */
uint64_t fnv1a(uint64_t h, const void *p, size_t n_bytes);               /* start with FNV1A */
#define FNV1A 0xcbf29ce484222325u
uint64_t fnv1a_floats(uint64_t h, const float *p, size_t n);             /* over the little-endian bits, on any host */

/* ---- random numbers, integers only: the same everywhere (PCG32) */
typedef struct rng { uint64_t s; } rng;
uint32_t rng_u32(rng *r);

/* ---- a heap to hand to the library: counts, fails on demand, checks sizes, alignment and leaks */
typedef struct heap {
    size_t live, peak, n_live;       /* bytes now and at most; blocks now */
    size_t n_takes, n_gives;
    size_t fail_at;                  /* the take that fails, counted from 1; 0: none */
    int    fail_on;                  /* 1: every later one fails too */
    size_t limit;                    /* largest sum of live bytes; 0: none */
    int    bad;                      /* wrong size given back, or a pointer that was not taken */
} heap;
lm_hooks heap_hooks(heap *h);        /* h zeroed or reset by the caller; not for use from two threads at once */

/* ---- JSON, read only: enough for the reference data. Values live in one malloc'd tree. */
typedef enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_kind;
typedef struct json {
    json_kind kind; double number;   /* bool: 0 or 1 */
    char *text; size_t n_text;       /* string, decoded to UTF-8 */
    char *key;                       /* of a member */
    struct json *child, *next; size_t n;
} json;
json *json_parse(const char *text, size_t n_bytes);                      /* NULL: malformed */
json *json_file(const char *path);
void  json_free(json *j);
const json *json_get(const json *object, const char *key);               /* NULL: none; object may be NULL */
double json_number(const json *object, const char *key, double otherwise);
size_t json_ids(const json *array, lm_token **ids);                      /* malloc'd */

/* ---- a GGUF file in memory */
typedef struct bytes { uint8_t *p; size_t n, cap; } bytes;
void put_bytes(bytes *b, const void *p, size_t n);
void put_u32(bytes *b, uint32_t v);
void put_u64(bytes *b, uint64_t v);
void put_f32(bytes *b, float v);
void put_str(bytes *b, const char *s);                                   /* length and bytes */
typedef struct gguf_tensor_in { char name[64]; int type, n_dims; uint64_t dims[4]; uint8_t *data; size_t n_bytes; } gguf_tensor_in;
typedef struct gguf_writer {
    uint32_t version, alignment;     /* 0: 3 and 32; general.alignment is written where it is not 0 */
    bytes kv; uint64_t n_kv;
    gguf_tensor_in *tensor; int n_tensor, cap_tensor;
} gguf_writer;
void gguf_u32(gguf_writer *g, const char *key, uint32_t v);
void gguf_u64(gguf_writer *g, const char *key, uint64_t v);
void gguf_i32(gguf_writer *g, const char *key, int32_t v);
void gguf_f32(gguf_writer *g, const char *key, float v);
void gguf_bool(gguf_writer *g, const char *key, int v);
void gguf_str(gguf_writer *g, const char *key, const char *v);
void gguf_key(gguf_writer *g, const char *key, uint32_t type);           /* the caller appends the value to g->kv */
void gguf_array(gguf_writer *g, const char *key, uint32_t item, uint64_t n); /* the caller appends n items to g->kv */
/* data malloc'd, taken over */
void gguf_tensor(gguf_writer *g, const char *name, int type, int n_dims, uint64_t d0, uint64_t d1, uint8_t *data, size_t n_bytes);
bytes gguf_write(const gguf_writer *g);
void gguf_free(gguf_writer *g);

/* ---- models */
void      test_free(void);                                               /* what the helpers keep */
lm_model *test_model(void);                                              /* a small F32 model with an SPM vocabulary, opened once */
lm_model *open_bytes(bytes b);                                           /* in place; NULL after a failed check */
lm_ctx   *open_ctx(const lm_model *m, int n_ctx, int n_batch, int n_logits, lm_cache_type cache, lm_compute compute, int n_threads);
/* All rows of logits of ids, decoded in batches of n_batch: [n][n_vocab], malloc'd. NULL after a failed check. The sequence keeps the ids. */
float    *all_logits(lm_ctx *c, const lm_token *ids, int n, int n_batch);

#endif
