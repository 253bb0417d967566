/* Writes a GGUF file, version 3, little-endian on any host (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Header-only.
 *
 *     gguf_writer w;
 *     gguf_open(&w, "out.gguf");                             the file is made aside, so that a failure comes early
 *     gguf_str(&w, "general.architecture", "llama");         metadata, in the order of the calls
 *     gguf_array(&w, "tokenizer.ggml.scores", LM_META_F32, n); for (...) gguf_item_real(&w, score[i]);
 *     gguf_copy(&w, &meta);                                  an entry of an open model, as it is
 *     i = gguf_tensor(&w, "output.weight", 8, 2, dims);      then all tensors; dims[0] runs fastest
 *     gguf_begin(&w);                                        then the header goes out
 *     gguf_data(&w, i, bytes, n);                            and the tensors' bytes, in the same order, in pieces of any size
 *     gguf_end(&w);                                          flushed and renamed: only now there is a file of that name
 *
 * Memory: metadata and directory, never tensors. Tensors start at multiples of 32 bytes (no general.alignment is written). A key or tensor
 * that comes twice, a count of items or bytes that does not fit and the like are mistakes of the program: all end it with one line. */
#ifndef GGUF_WRITE_H
#define GGUF_WRITE_H
#include "cli.h"

#define GGUF_ALIGN 32
#define GGUF_MAX_NAME 63              /* bytes of a tensor's name: what ggml's tensors have room for */

typedef struct gguf_bytes { char *p; size_t n, cap; } gguf_bytes;
typedef struct gguf_entry { char name[GGUF_MAX_NAME + 1]; int type, n_dims; uint64_t dims[4], n_bytes, offset; } gguf_entry;
typedef struct gguf_writer {
    const char *path; FILE *f;
    gguf_bytes  kv;                   /* metadata as the file has it */
    size_t     *key; size_t n_key;    /* where in kv each key starts */
    lm_meta_type item; uint64_t left; /* of an array: the type of its items, how many are still to come */
    gguf_entry *tensor; int n_tensor;
    int         begun, at; uint64_t done; /* tensor that is being written; its bytes so far */
    uint64_t    n_bytes;              /* of the file, once begun: header and all tensors */
} gguf_writer;

/* ---- bytes */
static inline void gguf_put(gguf_bytes *b, const void *p, size_t n) {
    if (n > (size_t)-1 / 4 - b->n) cli_die("memory: metadata of %lu bytes and more", (unsigned long)b->n);
    if (b->n + n > b->cap) b->p = (char *)cli_grow(b->p, b->cap = (b->n + n) * 2);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}
static inline void gguf_put_le(gguf_bytes *b, uint64_t v, int n) { /* the n lower bytes, lowest first */
    unsigned char c[8]; int i;
    for (i = 0; i < n; i++) c[i] = (unsigned char)(v >> 8 * i & 255);
    gguf_put(b, c, (size_t)n);
}
static inline void gguf_put_text(gguf_bytes *b, const char *p, size_t n) { gguf_put_le(b, n, 8); gguf_put(b, p, n); }
static inline int gguf_item_bytes(lm_meta_type t) { static const char n[13] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 }; return n[t]; }

/* ---- metadata */
static inline void gguf_open(gguf_writer *w, const char *path) { memset(w, 0, sizeof *w); w->path = path; w->f = cli_create(path); }
static inline void gguf_key(gguf_writer *w, const char *key, size_t n, lm_meta_type t) {
    size_t i;
    if (w->left) cli_die("%s: %.200s follows an array that lacks %llu items", w->path, key, (unsigned long long)w->left);
    if (w->begun || n == 0 || n > 65535) cli_die("%s: a key of %lu bytes%s", w->path, (unsigned long)n, w->begun ? " behind the header" : "");
    for (i = 0; i < w->n_key; i++) {
        const unsigned char *k = (const unsigned char *)w->kv.p + w->key[i];
        if (((size_t)k[0] | (size_t)k[1] << 8) == n && memcmp(k + 8, key, n) == 0) cli_die("%s: the key %.*s comes twice", w->path, (int)n, key);
    }
    w->key = (size_t *)cli_grow(w->key, (w->n_key + 1) * sizeof *w->key);
    w->key[w->n_key++] = w->kv.n;
    gguf_put_text(&w->kv, key, n);
    gguf_put_le(&w->kv, (uint64_t)t, 4);
}
static inline void gguf_put_int(gguf_writer *w, lm_meta_type t, int64_t v) { /* v: of u64 its bits */
    int n = gguf_item_bytes(t), is_signed = t == LM_META_I8 || t == LM_META_I16 || t == LM_META_I32;
    int64_t hi = n == 8 || n == 0 ? INT64_MAX : ((int64_t)1 << (8 * n - is_signed)) - 1, lo = n == 8 ? INT64_MIN : is_signed ? -hi - 1 : 0;
    if (t == LM_META_BOOL) hi = 1;
    if (n == 0 || t == LM_META_F32 || t == LM_META_F64 || v < lo || v > hi) cli_die("%s: %lld does not fit metadata type %d", w->path, (long long)v, (int)t);
    gguf_put_le(&w->kv, (uint64_t)v, n);
}
static inline void gguf_put_real(gguf_writer *w, lm_meta_type t, double v) {
    uint64_t u; uint32_t u4; float f = (float)v;
    memcpy(&u, &v, 8); memcpy(&u4, &f, 4);
    if (t != LM_META_F32 && t != LM_META_F64) cli_die("%s: a real number as metadata type %d", w->path, (int)t);
    if (t == LM_META_F32) gguf_put_le(&w->kv, u4, 4); else gguf_put_le(&w->kv, u, 8);
}
static inline void gguf_int(gguf_writer *w, const char *key, lm_meta_type t, int64_t v) { gguf_key(w, key, strlen(key), t); gguf_put_int(w, t, v); }
static inline void gguf_real(gguf_writer *w, const char *key, lm_meta_type t, double v) { gguf_key(w, key, strlen(key), t); gguf_put_real(w, t, v); }
static inline void gguf_text(gguf_writer *w, const char *key, const char *p, size_t n) { gguf_key(w, key, strlen(key), LM_META_STR); gguf_put_text(&w->kv, p, n); }
static inline void gguf_str(gguf_writer *w, const char *key, const char *text) { gguf_text(w, key, text, strlen(text)); }
static inline void gguf_u32(gguf_writer *w, const char *key, uint32_t v) { gguf_int(w, key, LM_META_U32, (int64_t)v); }
static inline void gguf_f32(gguf_writer *w, const char *key, float v) { gguf_real(w, key, LM_META_F32, (double)v); }
static inline void gguf_bool(gguf_writer *w, const char *key, int v) { gguf_int(w, key, LM_META_BOOL, v != 0); }

/* An array of n items of one type; the next n calls of gguf_item_... give them. */
static inline void gguf_array(gguf_writer *w, const char *key, lm_meta_type item, uint64_t n) {
    gguf_key(w, key, strlen(key), LM_META_ARR);
    gguf_put_le(&w->kv, (uint64_t)item, 4); gguf_put_le(&w->kv, n, 8);
    w->item = item; w->left = n;
}
static inline void gguf_item(gguf_writer *w) { if (w->left-- == 0) cli_die("%s: an array has one item too many", w->path); }
static inline void gguf_item_int(gguf_writer *w, int64_t v) { gguf_item(w); gguf_put_int(w, w->item, v); }
static inline void gguf_item_real(gguf_writer *w, double v) { gguf_item(w); gguf_put_real(w, w->item, v); }
static inline void gguf_item_text(gguf_writer *w, const char *p, size_t n) {
    gguf_item(w);
    if (w->item != LM_META_STR) cli_die("%s: a text in an array of metadata type %d", w->path, (int)w->item);
    gguf_put_text(&w->kv, p, n);
}
/* An entry of an open model as it is; but general.alignment is passed over, because this file has its own. */
static inline void gguf_copy(gguf_writer *w, const lm_meta *m) {
    static const char align[] = "general.alignment";
    if (m->key_bytes == sizeof align - 1 && memcmp(m->key, align, m->key_bytes) == 0) return;
    gguf_key(w, m->key, m->key_bytes, m->type);
    if (m->type == LM_META_STR) { gguf_put_text(&w->kv, m->text, m->text_bytes); return; }
    if (m->type == LM_META_ARR) { gguf_put_le(&w->kv, (uint64_t)m->item, 4); gguf_put_le(&w->kv, m->n, 8); }
    gguf_put(&w->kv, m->raw, (size_t)m->raw_bytes);
}

/* ---- tensors */
static inline int gguf_tensor(gguf_writer *w, const char *name, int type, int n_dims, const uint64_t *dims) { /* -> its index */
    gguf_entry *t; int i; size_t n = strlen(name); uint64_t rows = 1, row;
    if (n == 0 || n > GGUF_MAX_NAME) cli_die("%s: tensor %.100s: a name of %lu bytes, 1 to %d are possible", w->path, name, (unsigned long)n, GGUF_MAX_NAME);
    if (w->begun || n_dims < 1 || n_dims > 4 || w->n_tensor == INT_MAX / 256) cli_die("%s: tensor %s: comes too late, or has %d dimensions", w->path, name, n_dims);
    for (i = 0; i < w->n_tensor; i++) if (strcmp(w->tensor[i].name, name) == 0) cli_die("%s: tensor %s comes twice", w->path, name);
    if ((w->n_tensor & (w->n_tensor - 1)) == 0) w->tensor = (gguf_entry *)cli_grow(w->tensor, (size_t)(w->n_tensor ? 2 * w->n_tensor : 1) * sizeof *t);
    t = &w->tensor[w->n_tensor];
    memset(t, 0, sizeof *t);
    memcpy(t->name, name, n); t->type = type; t->n_dims = n_dims;
    for (i = 0; i < n_dims; i++) {
        t->dims[i] = dims[i];
        if (dims[i] == 0 || (i > 0 && rows > UINT64_MAX / dims[i])) cli_die("%s: tensor %s: dimension %d is %llu", w->path, name, i, (unsigned long long)dims[i]);
        if (i > 0) rows *= dims[i];
    }
    row = lm_row_bytes(type, dims[0]);
    if (row == 0) cli_die("%s: tensor %s: rows of %llu cannot be of type %s", w->path, name, (unsigned long long)dims[0], lm_type_name(type));
    if (rows > (UINT64_MAX >> 8) / row) cli_die("%s: tensor %s is too large", w->path, name);
    t->n_bytes = rows * row;
    return w->n_tensor++;
}
static inline void gguf_write(gguf_writer *w, const void *p, size_t n) { if (fwrite(p, 1, n, w->f) != n) cli_die("%s: %s", w->path, strerror(errno)); }
static inline void gguf_pad(gguf_writer *w, uint64_t n) { /* after n bytes, up to a multiple */
    static const char zeros[GGUF_ALIGN] = { 0 };
    gguf_write(w, zeros, (size_t)((GGUF_ALIGN - n % GGUF_ALIGN) % GGUF_ALIGN));
}
static inline void gguf_begin(gguf_writer *w) {
    gguf_bytes head; uint64_t at = 0; int i, k;
    memset(&head, 0, sizeof head);
    if (w->left || w->begun) cli_die("%s: the header is not complete, or is written twice", w->path);
    gguf_put(&head, "GGUF", 4); gguf_put_le(&head, 3, 4);
    gguf_put_le(&head, (uint64_t)w->n_tensor, 8); gguf_put_le(&head, w->n_key, 8);
    gguf_put(&head, w->kv.p, w->kv.n);
    for (i = 0; i < w->n_tensor; i++) {
        gguf_entry *t = &w->tensor[i];
        t->offset = at;
        if (t->n_bytes > UINT64_MAX / 2 - at) cli_die("%s: the tensors are too large", w->path);
        at += t->n_bytes; at += (GGUF_ALIGN - at % GGUF_ALIGN) % GGUF_ALIGN;
        gguf_put_text(&head, t->name, strlen(t->name));
        gguf_put_le(&head, (uint64_t)t->n_dims, 4);
        for (k = 0; k < t->n_dims; k++) gguf_put_le(&head, t->dims[k], 8);
        gguf_put_le(&head, (uint64_t)t->type, 4); gguf_put_le(&head, t->offset, 8);
    }
    gguf_write(w, head.p, head.n);
    gguf_pad(w, head.n);
    w->n_bytes = head.n + (GGUF_ALIGN - head.n % GGUF_ALIGN) % GGUF_ALIGN + at;
    w->begun = 1;
    free(head.p);
}
/* n more bytes of tensor i, little-endian: of the one that is under way or, when that is complete, of the next. */
static inline void gguf_data(gguf_writer *w, int i, const void *p, uint64_t n) {
    const char *from = (const char *)p; size_t k;
    if (!w->begun || i != w->at || i >= w->n_tensor || n > w->tensor[i].n_bytes - w->done)
        cli_die("%s: %llu bytes of tensor %d come while tensor %d has %llu", w->path, (unsigned long long)n, i, w->at, (unsigned long long)w->done);
    for (w->done += n; n > 0; n -= k, from += k) { k = n < (1u << 30) ? (size_t)n : (size_t)1 << 30; gguf_write(w, from, k); }
    if (w->done == w->tensor[i].n_bytes) { gguf_pad(w, w->done); w->done = 0; w->at++; }
}
static inline void gguf_end(gguf_writer *w) {
    if (!w->begun || w->at != w->n_tensor)
        cli_die("%s: tensor %d of %d has %llu bytes when the file ends", w->path, w->at, w->n_tensor, (unsigned long long)w->done);
    cli_commit(w->f, w->path);
    free(w->kv.p); free(w->key); free(w->tensor);
    memset(w, 0, sizeof *w);
}
#endif /* GGUF_WRITE_H */
