/* The tensors of an input as one list, whatever the files are: tools/safetensors.h and tools/pth.h fill it, what comes after knows no
 * difference. Nothing of a tensor is in memory but its place; its rows are read when they are asked for.
 *     tensors l; memset(&l, 0, sizeof l);
 *     safetensors_read(&l, "model.safetensors");             any number of files; then
 *     tensors_sort(&l, "folder");                            once: a name that comes twice is an error
 *     t = tensors_find(&l, "lm_head.weight");                NULL: there is none
 *     tensors_rows(&l, t, row, n, bytes);                    n rows of it, little-endian, of tensors_type(t); of 1 or 2 dimensions
 * Every place in a file is checked when the tensor is added. */
#ifndef TENSORS_H
#define TENSORS_H
#include "json.h"

#define TENSORS_MAX_FILES 4096
#define TENSORS_MAX_NAME 512          /* bytes */
enum { TENSOR_F32 = 0, TENSOR_F16 = 1, TENSOR_BF16 = 30 /* GGUF's numbers */, TENSOR_OTHER = -1 /* not to be used */,
    TENSOR_GROUPS = -2 /* int8 with scales */ };

typedef struct tensor {
    char *name;
    const char *kind;                 /* of its numbers, as the input says it: "BF16", "torch.BFloat16Storage" */
    int type, n_dims;                 /* beyond 4 dimensions dims and stride hold the first 4: such a tensor is of no use */
    uint64_t dims[4], stride[4];      /* outermost first; stride in elements. The rows of a matrix or its columns lie together */
    int file; uint64_t offset;        /* of its first element */
    int used;                         /* the caller's: somebody asked for it */
    uint64_t scales, group;           /* of TENSOR_GROUPS: element i is int8 i times float32 i / group, which lie from `scales` on */
} tensor;
typedef struct tensor_file { char *path; FILE *f; uint64_t size; } tensor_file;
typedef struct tensors { tensor *v; size_t n, cap; tensor_file *file; int n_files; } tensors;

static inline char *tensors_copy(const char *p, size_t n) { char *s = (char *)cli_grow(NULL, n + 1); memcpy(s, p, n); s[n] = 0; return s; }
static inline char *tensors_path(const char *folder, const char *name) { /* malloc'd */
    size_t n = strlen(folder), k = n > 0 && folder[n - 1] != '/'; char *p = (char *)cli_grow(NULL, n + k + strlen(name) + 1);
    memcpy(p, folder, n); memcpy(p + n, "/", k); strcpy(p + n + k, name);
    return p;
}

/* ---- files */
static inline int tensors_open(tensors *l, const char *path) { /* -> its index */
    tensor_file *x; cli_path what = cli_what(path); int64_t size;
    if (what == CLI_FOLDER || what == CLI_OTHER) cli_die("%s: is no regular file", path);
    if (l->n_files == TENSORS_MAX_FILES) cli_die("%s: more than %d files", path, TENSORS_MAX_FILES);
    l->file = (tensor_file *)cli_grow(l->file, (size_t)(l->n_files + 1) * sizeof *x);
    x = &l->file[l->n_files];
    x->path = tensors_copy(path, strlen(path)); x->f = cli_fopen(path, "rb");
    if (x->f == NULL || (size = cli_size(x->f)) < 0) { cli_die("%s: %s", path, strerror(errno)); return 0; }
    x->size = (uint64_t)size;
    return l->n_files++;
}
static inline void tensors_bytes(const tensors *l, int file, uint64_t at, void *dst, size_t n) {
    const tensor_file *x = &l->file[file];
    if (at > x->size || n > x->size - at)
        cli_die("%s: ends after %llu bytes, %lu at %llu are needed", x->path, (unsigned long long)x->size, (unsigned long)n, (unsigned long long)at);
    if (cli_seek(x->f, at) != 0 || fread(dst, 1, n, x->f) != n)
        cli_die("%s: %lu bytes at %llu cannot be read", x->path, (unsigned long)n, (unsigned long long)at);
}

/* ---- the list */
static inline tensor *tensors_add(tensors *l, int file, const char *name, size_t n) { /* valid until the next is added */
    tensor *t; const char *path = l->file[file].path;
    if (n == 0 || n > TENSORS_MAX_NAME || memchr(name, 0, n))
        cli_die("%s: a tensor's name has %lu bytes or a NUL, 1 to %d are possible", path, (unsigned long)n, TENSORS_MAX_NAME);
    if (l->n == l->cap) l->v = (tensor *)cli_grow(l->v, (l->cap = l->cap * 2 + 64) * sizeof *t);
    t = &l->v[l->n++];
    memset(t, 0, sizeof *t);
    t->name = tensors_copy(name, n); t->file = file;
    return t;
}
static inline int tensors_order(const void *a, const void *b) { return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name); }
static inline void tensors_sort(tensors *l, const char *what) {
    size_t i;
    if (l->n == 0) cli_die("%s: there are no tensors", what);
    qsort(l->v, l->n, sizeof *l->v, tensors_order);
    for (i = 1; i < l->n; i++) if (strcmp(l->v[i].name, l->v[i - 1].name) == 0)
        cli_die("%s: the tensor %.100s comes twice, in %s too", l->file[l->v[i - 1].file].path, l->v[i].name, l->file[l->v[i].file].path);
}
static inline tensor *tensors_find(const tensors *l, const char *name) {
    size_t lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2; int c = strcmp(l->v[mid].name, name);
        if (c == 0) return &l->v[mid];
        if (c < 0) lo = mid + 1; else hi = mid;
    }
    return NULL;
}
static inline void tensors_close(tensors *l) {
    size_t i; int k;
    for (i = 0; i < l->n; i++) free(l->v[i].name);
    for (k = 0; k < l->n_files; k++) { fclose(l->file[k].f); free(l->file[k].path); }
    free(l->v); free(l->file);
    memset(l, 0, sizeof *l);
}
static inline const char *tensors_shape(const tensor *t) { /* "[32000, 4096]" in a buffer that the next but one call reuses */
    static char text[2][120]; static int turn; int i; size_t n = 1; char *s = text[turn = !turn];
    strcpy(s, "[");
    for (i = 0; i < t->n_dims && i < 4; i++, n = strlen(s))
        snprintf(s + n, sizeof text[0] - n, "%s%llu", i ? ", " : "", (unsigned long long)t->dims[i]);
    strcpy(s + n, t->n_dims > 4 ? ", ...]" : "]");
    return s;
}

/* ---- numbers */
static inline int tensors_type(const tensor *t) { return t->type == TENSOR_GROUPS ? TENSOR_F32 : t->type; } /* of what tensors_rows gives */
static inline size_t tensors_size(int type) { return type == TENSOR_F32 ? 4 : 2; } /* bytes of an element */
static inline uint64_t tensors_cols(const tensor *t) { return t->n_dims == 2 ? t->dims[1] : 1; } /* a vector is rows of one element */
static inline void tensors_groups(const tensors *l, const tensor *t, uint64_t first, size_t n, unsigned char *dst) {
    static signed char q[4096]; static unsigned char s[4 * (4096 + 1)]; float x; size_t i, k; uint32_t u;
    for (; n > 0; n -= k, first += k, dst += 4 * k) {
        uint64_t g = first / t->group;
        k = n < sizeof q ? n : sizeof q;
        tensors_bytes(l, t->file, t->offset + first, q, k);
        tensors_bytes(l, t->file, t->scales + 4 * g, s, (size_t)((first + k - 1) / t->group - g + 1) * 4);
        for (i = 0; i < k; i++) {
            if (lm_dequantize(TENSOR_F32, s + 4 * ((first + i) / t->group - g), 1, &x) != LM_OK) x = 0;
            x *= (float)q[i]; memcpy(&u, &x, 4);
            dst[4 * i] = (unsigned char)u; dst[4 * i + 1] = (unsigned char)(u >> 8); dst[4 * i + 2] = (unsigned char)(u >> 16);
            dst[4 * i + 3] = (unsigned char)(u >> 24);
        }
    }
}
static inline void tensors_rows(const tensors *l, const tensor *t, uint64_t row, size_t n, void *dst) {
    unsigned char *to = (unsigned char *)dst, column[4096]; size_t size = tensors_size(tensors_type(t)), cols = (size_t)tensors_cols(t), r, c, k;
    uint64_t down = t->stride[0], right = t->n_dims == 2 ? t->stride[1] : 1;
    if (t->type == TENSOR_GROUPS) tensors_groups(l, t, row * cols, n * cols, to);
    else if (right == 1 && down == cols) tensors_bytes(l, t->file, t->offset + row * cols * size, to, n * cols * size);
    else if (right == 1) for (r = 0; r < n; r++) tensors_bytes(l, t->file, t->offset + (row + r) * down * size, to + r * cols * size, cols * size);
    else for (c = 0; c < cols; c++) for (r = 0; r < n; r += k) { /* columns lie together: down is 1 */
        size_t i;
        k = n - r < sizeof column / size ? n - r : sizeof column / size;
        tensors_bytes(l, t->file, t->offset + (row + r + c * right) * size, column, k * size);
        for (i = 0; i < k; i++) memcpy(to + ((r + i) * cols + c) * size, column + i * size, size);
    }
}

/* ---- several files: NAME.index.json, whose weight_map says which file of the folder each tensor is in */
static inline void tensors_index(tensors *l, const char *folder, const char *index, void (*read)(tensors *, const char *)) {
    json_doc d; const json *map; uint32_t i; size_t k; char *path = tensors_path(folder, index), *part;
    memset(&d, 0, sizeof d);
    map = json_need(&d, json_as(&d, json_read(&d, path), JSON_OBJECT), "weight_map", JSON_OBJECT);
    for (i = 0; i < map->n; i++) {    /* the files, in the order in which they first come */
        const json *v = json_as(&d, &map->v.item[i], JSON_STRING); int f;
        if (v->n == 0 || strlen(v->v.text) != v->n || strpbrk(v->v.text, "/\\:") || strcmp(v->v.text, ".") == 0 || strcmp(v->v.text, "..") == 0)
            json_die(&d, v, NULL, "\"%.80s\" is no name of a file of the folder", v->v.text);
        part = tensors_path(folder, v->v.text);
        for (f = 0; f < l->n_files && strcmp(l->file[f].path, part) != 0; f++) {}
        if (f == l->n_files) read(l, part);
        free(part);
    }
    tensors_sort(l, path);
    for (i = 0; i < map->n; i++) {
        const json *v = &map->v.item[i]; const tensor *t = tensors_find(l, v->key);
        part = tensors_path(folder, v->v.text);
        if (t == NULL || strcmp(l->file[t->file].path, part) != 0) cli_die("%s: the tensor %.100s is not in %s", path, v->key, part);
        free(part);
    }
    for (k = 0; k < l->n; k++) if (json_get(map, l->v[k].name) == NULL)
        cli_die("%s: has no place for the tensor %.100s of %s", path, l->v[k].name, l->file[l->v[k].file].path);
    json_close(&d);
    free(path);
}
#endif /* TENSORS_H */
