/* Importance matrices: for each matrix of a model the sums of squares of what it was multiplied with, per column. Written and read in the GGUF form of
 * llama.cpp's llama-imatrix (general.type "imatrix"; F32 tensors NAME.in_sum2 [n_in, n_mat] and NAME.counts [1, n_mat]); its older form, without
 * magic (i32 entries; each i32 length, name, i32 calls, i32 values, f32 values), is read too. Header-only. */
#ifndef IMATRIX_H
#define IMATRIX_H
#include "cli.h"
#include "gguf_write.h"

typedef struct imatrix_entry { char *name; size_t name_bytes; uint64_t n_in, n_mat; float *w; } imatrix_entry; /* w [n_mat][n_in]: mean squares */
typedef struct imatrix { imatrix_entry *v; int n; uint32_t n_chunks; char *dataset; } imatrix;

static inline lm_model *imatrix_open(const char *path) { /* any GGUF file, or "-", for its tables and tensors */
    lm_model_desc d; lm_error err; lm_model *m; size_t k = strlen(path) < 80 ? strlen(path) : 80;
    memset(&d, 0, sizeof d);
    if (*path == 0) cli_die("the path is empty");
    cli_source(&d, path); d.vocab_only = 2;
    if (lm_model_open(&m, &d, &err) != LM_OK) { /* the line may name the file already */
        if (strncmp(err.text, path, k) == 0) cli_die("%s", err.text);
        cli_die("%.900s: %s", path, err.text);
    }
    return m;
}
static inline imatrix_entry *imatrix_add(imatrix *im, const char *path, const char *name, size_t n, uint64_t n_in, uint64_t n_mat) {
    imatrix_entry *e;
    if (n_in == 0 || n_mat == 0 || n_in > ((size_t)-1 >> 8) / n_mat || im->n == INT_MAX / 256)
        cli_die("%s: %.*s: %llu values", path, (int)n, name, (unsigned long long)n_in);
    if ((im->n & (im->n - 1)) == 0) im->v = (imatrix_entry *)cli_grow(im->v, (size_t)(im->n ? 2 * im->n : 1) * sizeof *e);
    e = &im->v[im->n++];
    e->name = (char *)cli_grow(NULL, n + 1); memcpy(e->name, name, n); e->name[n] = 0; e->name_bytes = n;
    e->n_in = n_in; e->n_mat = n_mat;
    e->w = (float *)cli_grow(NULL, (size_t)(n_in * n_mat) * sizeof *e->w);
    return e;
}
static inline void imatrix_judge(const imatrix_entry *e, const char *path) {
    uint64_t i;
    for (i = 0; i < e->n_in * e->n_mat; i++) if (!(e->w[i] >= 0 && e->w[i] <= FLT_MAX)) cli_die("%s: %s: value %llu is no importance", path, e->name, (unsigned long long)i);
}
static inline void imatrix_read_gguf(imatrix *im, const char *path) {
    static const char sums[] = ".in_sum2", counts[] = ".counts";
    lm_model *m = imatrix_open(path); lm_meta v, item; lm_tensor t, c; int i; uint64_t k; float count;
    if (lm_meta_find(m, "general.type", &v) != LM_OK || v.type != LM_META_STR || v.text_bytes != 7 || memcmp(v.text, "imatrix", 7) != 0)
        cli_die("%s: general.type is not \"imatrix\"", path);
    if (lm_meta_find(m, "imatrix.chunk_count", &v) == LM_OK && v.type == LM_META_U32) im->n_chunks = (uint32_t)v.i;
    if (lm_meta_find(m, "imatrix.datasets", &v) == LM_OK && lm_meta_item(&v, 0, &item) == LM_OK && item.type == LM_META_STR) {
        im->dataset = (char *)cli_grow(NULL, item.text_bytes + 1);
        memcpy(im->dataset, item.text, item.text_bytes); im->dataset[item.text_bytes] = 0;
    }
    for (i = 0; lm_tensor_at(m, i, &t) == LM_OK; i++) {
        size_t n = t.name_bytes - (t.name_bytes > sizeof sums - 1 ? sizeof sums - 1 : 0); imatrix_entry *e; char name[128];
        if (n == t.name_bytes || memcmp(t.name + n, sums, sizeof sums - 1) != 0) continue;
        snprintf(name, sizeof name, "%.*s%s", (int)n, t.name, counts);
        if (lm_tensor_find(m, name, &c) != LM_OK) cli_die("%s: tensor %s is missing", path, name);
        if (t.type != 0 || c.type != 0 || t.n_dims > 2 || c.dims[0] * c.dims[1] != t.dims[1])
            cli_die("%s: tensor %s does not fit its sums, or is not F32", path, name);
        e = imatrix_add(im, path, t.name, n, t.dims[0], t.dims[1]);
        lm_dequantize(0, t.data, (size_t)(e->n_in * e->n_mat), e->w);
        for (k = 0; k < e->n_in * e->n_mat; k++) {
            lm_dequantize(0, (const char *)c.data + 4 * (k / e->n_in), 1, &count);
            e->w[k] = count > 0 ? e->w[k] / count : 1;       /* an expert that no token came to */
        }
        imatrix_judge(e, path);
    }
    lm_model_close(m);
}
static inline void imatrix_read_old(imatrix *im, const char *path, const unsigned char *p, size_t n_bytes) {
    size_t at = 4, left; uint32_t n, i, len, calls, k; imatrix_entry *e;
#define IMATRIX_U32(o) ((uint32_t)p[o] | (uint32_t)p[(o) + 1] << 8 | (uint32_t)p[(o) + 2] << 16 | (uint32_t)p[(o) + 3] << 24)
    n = n_bytes >= 4 ? IMATRIX_U32(0) : 0;
    if (n == 0 || n > n_bytes / 16) cli_die("%s: neither a GGUF file nor an importance matrix of the older form", path);
    for (i = 0; i < n; i++) {
        left = n_bytes - at;
        len = left >= 4 ? IMATRIX_U32(at) : UINT32_MAX;
        if (len > 1024 || left < 12 + (size_t)len) cli_die("%s: the file ends inside entry %lu", path, (unsigned long)i);
        calls = IMATRIX_U32(at + 4 + len); k = IMATRIX_U32(at + 8 + len);
        if (k > (left - 12 - len) / 4) cli_die("%s: the file ends inside entry %lu", path, (unsigned long)i);
        e = imatrix_add(im, path, (const char *)p + at + 4, len, k, 1);
        at += 12 + len;
        lm_dequantize(0, p + at, k, e->w); at += 4 * (size_t)k;
        for (k = 0; k < e->n_in; k++) if (calls > 0) e->w[k] /= (float)calls;
        imatrix_judge(e, path);
    }
    if (n_bytes - at >= 4) im->n_chunks = IMATRIX_U32(at);
#undef IMATRIX_U32
}
static inline void imatrix_read(imatrix *im, const char *path) {
    size_t n; char *p = cli_read(path, &n);
    memset(im, 0, sizeof *im);
    if (n >= 4 && memcmp(p, "GGUF", 4) == 0) { free(p); p = NULL; imatrix_read_gguf(im, path); }
    else imatrix_read_old(im, path, (const unsigned char *)p, n);
    free(p);
    if (im->n == 0) cli_die("%s: no importance of any tensor", path);
}
static inline const imatrix_entry *imatrix_find(const imatrix *im, const char *name, size_t n) {
    int i;
    for (i = 0; i < im->n; i++) if (im->v[i].name_bytes == n && memcmp(im->v[i].name, name, n) == 0) return &im->v[i];
    return NULL;
}
/* ---- collecting: an observer of lm_ctx_desc. Sums run in the order of the tokens, so they do not depend on threads and batches. */
typedef struct imatrix_sum { char name[64]; int n_in; double *sum; uint64_t n; } imatrix_sum;
typedef struct imatrix_sums { imatrix_sum *v; int n, last; uint32_t n_chunks; } imatrix_sums; /* last: found the last time */
static inline void imatrix_observe(void *user, const char *name, const float *x, int n_in, int n_tok) {
    imatrix_sums *s = (imatrix_sums *)user; imatrix_sum *e; int i, t;
    if (strncmp(name, "blk.", 4) != 0) return;               /* the output's is of no use, its inputs are normalized */
    i = s->last + 1 < s->n && strcmp(s->v[s->last + 1].name, name) == 0 ? s->last + 1 : 0;
    while (i < s->n && strcmp(s->v[i].name, name) != 0) i++;
    s->last = i;
    if (i == s->n) {
        s->v = (imatrix_sum *)cli_grow(s->v, (size_t)++s->n * sizeof *e);
        e = &s->v[i];
        snprintf(e->name, sizeof e->name, "%s", name);
        e->n_in = n_in; e->n = 0; e->sum = (double *)cli_grow(NULL, (size_t)n_in * sizeof *e->sum);
        for (t = 0; t < n_in; t++) e->sum[t] = 0;
    }
    e = &s->v[i];
    for (t = 0; t < n_tok; t++, x += n_in) for (i = 0; i < n_in; i++) e->sum[i] += (double)x[i] * (double)x[i];
    e->n += (uint64_t)n_tok;
}
static inline void imatrix_write(imatrix_sums *s, const char *path, const char *dataset, uint32_t chunk) {
    gguf_writer w; int i, k; char name[96]; float *x = NULL, count; uint64_t dims[2];
    gguf_open(&w, path);
    gguf_str(&w, "general.type", "imatrix");
    gguf_array(&w, "imatrix.datasets", LM_META_STR, 1); gguf_item_text(&w, dataset, strlen(dataset));
    gguf_u32(&w, "imatrix.chunk_count", s->n_chunks); gguf_u32(&w, "imatrix.chunk_size", chunk);
    for (i = 0; i < s->n; i++) {
        dims[0] = (uint64_t)s->v[i].n_in; dims[1] = 1;
        snprintf(name, sizeof name, "%s.in_sum2", s->v[i].name); gguf_tensor(&w, name, 0, 2, dims);
        dims[0] = 1;
        snprintf(name, sizeof name, "%s.counts", s->v[i].name); gguf_tensor(&w, name, 0, 2, dims);
    }
    gguf_begin(&w);
    for (i = 0; i < s->n; i++) {
        imatrix_sum *e = &s->v[i];
        x = (float *)cli_grow(x, 2 * (size_t)e->n_in * sizeof *x);
        for (k = 0; k < e->n_in; k++) x[k] = (float)e->sum[k];
        if (lm_quantize(0, x, 1, (uint64_t)e->n_in, NULL, x + e->n_in) != LM_OK) cli_die("%s: the sums of %s are no numbers", path, e->name);
        gguf_data(&w, 2 * i, x + e->n_in, 4 * (uint64_t)e->n_in);
        count = (float)e->n;
        lm_quantize(0, &count, 1, 1, NULL, x);
        gguf_data(&w, 2 * i + 1, x, 4);
        free(e->sum);
    }
    free(x); free(s->v);
    gguf_end(&w);
}
static inline void imatrix_free(imatrix *im) {
    int i;
    for (i = 0; i < im->n; i++) { free(im->v[i].name); free(im->v[i].w); }
    free(im->v); free(im->dataset);
}
#endif /* IMATRIX_H */
