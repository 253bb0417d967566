/* Reads where the tensors of a .safetensors file are, and writes such files (https://github.com/huggingface/safetensors). The format: 8 bytes, the header's length
 * n, little-endian; n bytes of JSON, { "NAME": { "dtype": "BF16", "shape": [rows, columns], "data_offsets": [begin, end] }, ...,
 * "__metadata__": { ... } }; then the data, to which the offsets refer. The tensors fill the data without a gap and without an overlap. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H
#include "tensors.h"

#define SAFETENSORS_MAX_HEADER 100000000u /* the format's own limit */

typedef struct safetensors_range { uint64_t begin, end; const char *name; } safetensors_range;
static inline int safetensors_order(const void *a, const void *b) {
    const safetensors_range *x = (const safetensors_range *)a, *y = (const safetensors_range *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}
/* One tensor: its type's size times its shape is the size of its range. A type that is not known keeps its name and cannot be used. */
static inline safetensors_range safetensors_one(tensors *l, int file, const json_doc *d, const json *v, uint64_t data, uint64_t size) {
    static const struct { const char *name; int bits, type; } known[] = {
        { "F32", 32, TENSOR_F32 }, { "F16", 16, TENSOR_F16 }, { "BF16", 16, TENSOR_BF16 }, { "F64", 64, TENSOR_OTHER }, { "I64", 64, TENSOR_OTHER },
        { "I32", 32, TENSOR_OTHER }, { "I16", 16, TENSOR_OTHER }, { "I8", 8, TENSOR_OTHER }, { "U64", 64, TENSOR_OTHER }, { "U32", 32, TENSOR_OTHER },
        { "U16", 16, TENSOR_OTHER }, { "U8", 8, TENSOR_OTHER }, { "BOOL", 8, TENSOR_OTHER }, { "F8_E4M3", 8, TENSOR_OTHER },
        { "F8_E5M2", 8, TENSOR_OTHER }, { "", 0, TENSOR_OTHER } };
    const json *dtype = json_need(d, json_as(d, v, JSON_OBJECT), "dtype", JSON_STRING), *shape = json_need(d, v, "shape", JSON_LIST),
        *at = json_need(d, v, "data_offsets", JSON_LIST);
    tensor *t = tensors_add(l, file, v->key, v->n_key); safetensors_range r; uint64_t n = 1; uint32_t i; int k = 0;
    while (known[k].bits && strcmp(known[k].name, dtype->v.text) != 0) k++;
    t->type = known[k].type; t->kind = known[k].bits ? known[k].name : "an unknown type"; t->n_dims = (int)shape->n;
    if (at->n != 2) json_die(d, at, NULL, "expected two offsets");
    r.begin = (uint64_t)json_as_int(d, &at->v.item[0], 0, INT64_MAX); r.end = (uint64_t)json_as_int(d, &at->v.item[1], 0, INT64_MAX); r.name = v->key;
    if (r.end < r.begin || r.end > size)
        json_die(d, at, NULL, "%llu to %llu is no part of the %llu bytes of data", (unsigned long long)r.begin, (unsigned long long)r.end,
        (unsigned long long)size);
    for (i = shape->n; i-- > 0; ) {
        uint64_t dim = (uint64_t)json_as_int(d, &shape->v.item[i], 0, INT64_MAX);
        if (i < 4) { t->dims[i] = dim; t->stride[i] = n; }
        if (dim != 0 && n > (UINT64_MAX >> 8) / dim) json_die(d, shape, NULL, "the shape is larger than any file");
        n *= dim;
    }
    if (known[k].bits && (n * (uint64_t)known[k].bits) / 8 != r.end - r.begin)
        json_die(d, v, NULL, "%llu elements of %s are not the %llu bytes of its offsets", (unsigned long long)n, known[k].name,
            (unsigned long long)(r.end - r.begin));
    t->offset = data + r.begin;
    return r;
}
static inline void safetensors_read(tensors *l, const char *path) {
    int file = tensors_open(l, path); uint64_t size = l->file[file].size, at = 0, n; unsigned char head[8]; char *text; json_doc d; const json *root;
    safetensors_range *r; uint32_t i, k = 0;
    tensors_bytes(l, file, 0, head, 8);
    for (n = 0, i = 8; i-- > 0; ) n = n << 8 | head[i];
    if (n > SAFETENSORS_MAX_HEADER || n > size - 8)
        cli_die("%s: says that its header has %llu bytes, %llu follow", path, (unsigned long long)n, (unsigned long long)(size - 8));
    text = (char *)cli_grow(NULL, (size_t)n + 1);
    tensors_bytes(l, file, 8, text, (size_t)n);
    text[n] = 0;
    memset(&d, 0, sizeof d);
    root = json_as(&d, json_parse(&d, path, 1, text, (size_t)n), JSON_OBJECT);
    r = (safetensors_range *)cli_grow(NULL, (size_t)root->n * sizeof *r);
    for (i = 0; i < root->n; i++)
        if (strcmp(root->v.item[i].key, "__metadata__") != 0) r[k++] = safetensors_one(l, file, &d, &root->v.item[i], 8 + n, size - 8 - n);
    qsort(r, k, sizeof *r, safetensors_order);
    for (i = 0; i < k; at = r[i++].end) if (r[i].begin != at)
        cli_die("%s: the tensor %.100s %s the one before it", path, r[i].name, r[i].begin < at ? "overlaps" : "leaves a gap behind");
    if (at != size - 8 - n) cli_die("%s: %llu bytes follow the last tensor", path, (unsigned long long)(size - 8 - n - at));
    free(r); json_close(&d); free(text);
}

/* ---- writing, float32 only: NAME, dims outermost first, the numbers */
typedef struct safetensors_out { const char *name; int n_dims; uint64_t dims[4]; const float *x; } safetensors_out;
static inline void safetensors_write(const char *path, const safetensors_out *t, size_t n) {
    FILE *f = cli_create(path); char *head = NULL; unsigned char b[8]; size_t i, k, len = 0, cap = 0; uint64_t at = 0, count; int d; uint32_t u;
    for (i = 0; i <= n; i++) {        /* the header, filled up with blanks to a multiple of 8 bytes */
        if (cap - len < 1024) head = (char *)cli_grow(head, cap = cap * 2 + 4096);
        if (i == n) break;
        len += (size_t)snprintf(head + len, cap - len, "%s\"%.500s\":{\"dtype\":\"F32\",\"shape\":[", i ? "," : "{", t[i].name);
        for (d = 0, count = 1; d < t[i].n_dims; d++) { len += (size_t)snprintf(head + len, cap - len, "%s%llu", d ? "," : "",
            (unsigned long long)t[i].dims[d]); count *= t[i].dims[d]; }
        len += (size_t)snprintf(head + len, cap - len, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
            (unsigned long long)(at + 4 * count));
        at += 4 * count;
    }
    len += (size_t)snprintf(head + len, cap - len, n ? "}" : "{}");
    while (len % 8) head[len++] = ' ';
    for (k = 0; k < 8; k++) b[k] = (unsigned char)((uint64_t)len >> 8 * k & 255);
    fwrite(b, 1, 8, f); fwrite(head, 1, len, f);
    for (i = 0; i < n; i++) {
        for (at = 0, count = 1, d = 0; d < t[i].n_dims; d++) count *= t[i].dims[d];
        for (; at < count; at++) {
            memcpy(&u, &t[i].x[at], 4);
            for (k = 0; k < 4; k++) b[k] = (unsigned char)(u >> 8 * k & 255);
            fwrite(b, 1, 4, f);
        }
    }
    free(head);
    cli_commit(f, path);              /* which asks whether all was written */
}
#endif /* SAFETENSORS_H */
