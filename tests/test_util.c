/* Helpers of the tests: files, a heap that fails on demand, JSON, a GGUF writer, models. */
#include "test.h"
#include "tiny.h"
#include <stdarg.h>

/* ---- checks */
struct test_now test_now;

int test_check(int ok, const char *file, int line, const char *what) {
    test_now.n_checks++;
    if (!ok && ++test_now.n_failed <= 50) printf("  %s:%d: not so: %s\n", file, line, what);
    return ok;
}
void test_near(double got, double want, double tol, const char *file, int line, const char *what) {
    test_now.n_checks++;
    if (!(fabs(got - want) <= tol) && !(got == want) && ++test_now.n_failed <= 50) /* equal infinities are near */
        printf("  %s:%d: %s is %.9g, expected %.9g within %.3g\n", file, line, what, got, want, tol);
}
void test_status(lm_status got, lm_status want, const char *file, int line, const char *what) {
    test_now.n_checks++;
    if (got != want && ++test_now.n_failed <= 50) printf("  %s:%d: %s gives \"%s\", expected \"%s\"\n", file, line, what, lm_status_text(got),
        lm_status_text(want));
}
void test_bits(const void *got, const void *want, size_t n_bytes, const char *file, int line, const char *what) {
    const uint8_t *a = (const uint8_t *)got, *b = (const uint8_t *)want; size_t i = 0;
    test_now.n_checks++;
    if (a == NULL || b == NULL) { if (++test_now.n_failed <= 50) printf("  %s:%d: %s: nothing to compare\n", file, line, what); return; }
    while (i < n_bytes && a[i] == b[i]) i++;
    if (i < n_bytes && ++test_now.n_failed <= 50) printf("  %s:%d: %s: bytes differ from byte %lu of %lu on\n", file, line, what, (unsigned long)i,
        (unsigned long)n_bytes);
}
void test_skip(const char *reason) { test_now.skipped = reason; }
void test_skip_part(const char *reason) { printf("  skipped: %s\n", reason); test_now.n_parts_skipped++; test_now.part_skipped = reason; }
void note(const char *fmt, ...) {
    va_list ap;
    if (test_now.n_failed > 50) return;           /* enough was said */
    printf("  "); va_start(ap, fmt); vprintf(fmt, ap); va_end(ap); printf("\n");
}

/* ---- files */
void *read_file(const char *path, size_t *n_bytes) {
    FILE *f = path ? fopen(path, "rb") : NULL; long n; char *p = NULL;
    *n_bytes = 0;
    if (f == NULL) return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0 && (p = (char *)malloc((size_t)n + 1)) != NULL) {
        *n_bytes = fread(p, 1, (size_t)n, f);
        p[*n_bytes] = 0;
    }
    fclose(f);
    return p;
}
int write_file(const char *path, const void *p, size_t n_bytes) {
    FILE *f = fopen(path, "wb"); int bad;
    if (f == NULL) return 1;
    bad = fwrite(p, 1, n_bytes, f) != n_bytes;
    return (fclose(f) != 0) | bad;
}
static int exists(const char *path) { FILE *f = fopen(path, "rb"); if (f) fclose(f); return f != NULL; }
const char *data_path(const char *relative) {
    static char path[8][512]; static int turn;
    const char *root = getenv("LLAMA_TEST_DATA"); char *p = path[turn++ & 7];
    if (root == NULL || root[0] == 0) root = "../shared";
    if (strlen(root) + strlen(relative) + 2 > sizeof path[0]) return NULL;
    sprintf(p, "%s/%s", root, relative);
    return exists(p) ? p : NULL;
}
int test_quick(void) { const char *quick = getenv("LLAMA_TEST_QUICK"); return quick != NULL && *quick == '1'; }
const char *smollm2_path(void) {
    static const char *const name = "models/SmolLM2-135M-Instruct.Q4_1.gguf";
    return exists(name) ? name : NULL;
}
uint64_t fnv1a(uint64_t h, const void *p, size_t n_bytes) {
    const uint8_t *b = (const uint8_t *)p; size_t i;
    for (i = 0; i < n_bytes; i++) h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}
uint64_t fnv1a_floats(uint64_t h, const float *p, size_t n) {
    size_t i; uint32_t u; uint8_t b[4];
    for (i = 0; i < n; i++) {
        memcpy(&u, p + i, 4);
        b[0] = (uint8_t)u; b[1] = (uint8_t)(u >> 8); b[2] = (uint8_t)(u >> 16); b[3] = (uint8_t)(u >> 24);
        h = fnv1a(h, b, 4);
    }
    return h;
}
uint32_t rng_u32(rng *r) { /* PCG32, O'Neill 2014 */
    uint64_t old = r->s; uint32_t x, rot;
    r->s = old * 6364136223846793005u + 1442695040888963407u;
    x = (uint32_t)(((old >> 18) ^ old) >> 27); rot = (uint32_t)(old >> 59);
    return (x >> rot) | (x << ((32 - rot) & 31));
}

/* ---- the heap. Each block has 64 bytes in front with its size, its start and a mark. */
typedef struct heap_block { void *start; size_t n; uint64_t mark; } heap_block;
#define HEAP_LIVE 0x6c69766562797465u
#define HEAP_DEAD 0x6465616462797465u
static void *heap_take(void *user, size_t n, size_t align) {
    heap *h = (heap *)user; char *raw, *p; heap_block *b;
    h->n_takes++;
    if (h->fail_at && (h->fail_on ? h->n_takes >= h->fail_at : h->n_takes == h->fail_at)) return NULL;
    if (n > SIZE_MAX / 2 || (h->limit && h->live + n > h->limit)) return NULL;
    if (align == 0 || (align & (align - 1)) || align > 64) { h->bad++; return NULL; }
    raw = (char *)malloc(n + 128);
    if (raw == NULL) return NULL;
    p = raw + 128 - (uintptr_t)raw % 64;          /* at least 64 bytes in, aligned to 64 */
    memset(p, 0xa5, n);                           /* nothing may rely on zeros */
    b = (heap_block *)(void *)(p - 64);
    b->start = raw; b->n = n; b->mark = HEAP_LIVE;
    h->live += n; h->n_live++;
    if (h->live > h->peak) h->peak = h->live;
    return p;
}
static void heap_give(void *user, void *p, size_t n) {
    heap *h = (heap *)user; heap_block *b;
    h->n_gives++;
    if (p == NULL) { h->bad++; return; }
    b = (heap_block *)(void *)((char *)p - 64);
    if (b->mark != HEAP_LIVE || b->n != n) { h->bad++; return; }
    b->mark = HEAP_DEAD; h->live -= n; h->n_live--;
    free(b->start);
}
lm_hooks heap_hooks(heap *h) {
    lm_hooks k;
    memset(&k, 0, sizeof k);
    k.user = h; k.take = heap_take; k.give = heap_give;
    return k;
}

/* ---- JSON, by descent: the reference data is ours, so depth needs no bound here */
typedef struct json_in { const char *p, *end; } json_in;
static json *json_value(json_in *in);
static void json_space(json_in *in) { while (in->p < in->end && strchr(" \t\r\n", *in->p) && *in->p) in->p++; }
static int json_hex(json_in *in) {
    int v = 0, k;
    for (k = 0; k < 4; k++, in->p++) {
        int c = in->p < in->end ? *in->p : 0;
        if (c >= '0' && c <= '9') c -= '0'; else if (c >= 'a' && c <= 'f') c -= 'a' - 10; else if (c >= 'A' && c <= 'F') c -= 'A' - 10;
        else return -1;
        v = v * 16 + c;
    }
    return v;
}
static char *json_string(json_in *in, size_t *n_out) { /* at the opening quote */
    char *s; size_t n = 0; const char *q;
    for (q = ++in->p; q < in->end && *q != '"'; q++) if (*q == '\\') q++;
    if (q >= in->end || (s = (char *)malloc((size_t)(q - in->p) + 1)) == NULL) return NULL;
    while (*in->p != '"') {
        int c = (unsigned char)*in->p++, low;
        if (c == '\\') {
            c = *in->p++;
            if (c == 'n') c = '\n'; else if (c == 't') c = '\t'; else if (c == 'r') c = '\r'; else if (c == 'b') c = '\b';
            else if (c == 'f') c = '\f';
            else if (c == 'u') {
                if ((c = json_hex(in)) < 0) { free(s); return NULL; }
                if (c >= 0xd800 && c < 0xdc00 && in->end - in->p > 6 && in->p[0] == '\\' && in->p[1] == 'u') {
                    in->p += 2; low = json_hex(in);
                    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                }
                if (c >= 0x10000) { s[n++] = (char)(0xf0 | c >> 18); s[n++] = (char)(0x80 | (c >> 12 & 63)); s[n++] = (char)(0x80 | (c >> 6 & 63));
                    c = 0x80 | (c & 63); }
                else if (c >= 0x800) { s[n++] = (char)(0xe0 | c >> 12); s[n++] = (char)(0x80 | (c >> 6 & 63)); c = 0x80 | (c & 63); }
                else if (c >= 0x80) { s[n++] = (char)(0xc0 | c >> 6); c = 0x80 | (c & 63); }
            }
        }
        s[n++] = (char)c;
    }
    in->p++;
    s[n] = 0; *n_out = n;
    return s;
}
static json *json_items(json_in *in, json *j, char close) {
    json **tail = &j->child, *item;
    in->p++; json_space(in);
    if (in->p < in->end && *in->p == close) { in->p++; return j; }
    for (;;) {
        char *key = NULL; size_t n;
        json_space(in);
        if (close == '}') {
            if (in->p >= in->end || *in->p != '"' || (key = json_string(in, &n)) == NULL) return NULL;
            json_space(in);
            if (in->p >= in->end || *in->p++ != ':') { free(key); return NULL; }
        }
        if ((item = json_value(in)) == NULL) { free(key); return NULL; }
        item->key = key; *tail = item; tail = &item->next; j->n++;
        json_space(in);
        if (in->p >= in->end) return NULL;
        if (*in->p == close) { in->p++; return j; }
        if (*in->p++ != ',') return NULL;
    }
}
static int json_word(json_in *in, const char *w) {
    size_t n = strlen(w);
    if ((size_t)(in->end - in->p) < n || memcmp(in->p, w, n) != 0) return 0;
    in->p += n;
    return 1;
}
static json *json_value(json_in *in) {
    json *j = (json *)calloc(1, sizeof *j), *done = NULL; char *end;
    if (j == NULL) return NULL;
    json_space(in);
    if (in->p >= in->end) done = NULL;
    else if (*in->p == '{') { j->kind = JSON_OBJECT; done = json_items(in, j, '}'); }
    else if (*in->p == '[') { j->kind = JSON_ARRAY; done = json_items(in, j, ']'); }
    else if (*in->p == '"') { j->kind = JSON_STRING; done = (j->text = json_string(in, &j->n_text)) != NULL ? j : NULL; }
    else if (json_word(in, "null")) done = j;
    else if (json_word(in, "true") || json_word(in, "false")) { j->kind = JSON_BOOL; j->number = in->p[-2] == 'u'; done = j; }
    else { j->kind = JSON_NUMBER; j->number = strtod(in->p, &end); if (end != in->p && end <= in->end) { in->p = end; done = j; } }
    if (done == NULL) json_free(j);
    return done;
}
json *json_parse(const char *text, size_t n_bytes) { /* text ends with a 0 byte after n_bytes, as read_file leaves it */
    json_in in; json *j;
    in.p = text; in.end = text + n_bytes;
    if (text == NULL || (j = json_value(&in)) == NULL) return NULL;
    json_space(&in);
    if (in.p != in.end) { json_free(j); return NULL; }
    return j;
}
json *json_file(const char *path) {
    size_t n; char *s = (char *)read_file(path, &n); json *j = json_parse(s, n);
    free(s);
    return j;
}
void json_free(json *j) {
    while (j) { json *next = j->next; json_free(j->child); free(j->text); free(j->key); free(j); j = next; }
}
const json *json_get(const json *object, const char *key) {
    const json *c = object ? object->child : NULL;
    while (c && (c->key == NULL || strcmp(c->key, key) != 0)) c = c->next;
    return c;
}
double json_number(const json *object, const char *key, double otherwise) {
    const json *v = json_get(object, key);
    return v && (v->kind == JSON_NUMBER || v->kind == JSON_BOOL) ? v->number : otherwise;
}
size_t json_ids(const json *array, lm_token **ids) {
    size_t n = 0; const json *c;
    *ids = (lm_token *)malloc(((array ? array->n : 0) + 1) * sizeof **ids);
    for (c = array ? array->child : NULL; c && *ids; c = c->next) (*ids)[n++] = (lm_token)c->number;
    return n;
}

/* ---- GGUF writer */
void put_bytes(bytes *b, const void *p, size_t n) {
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2 + 64;
        b->p = (uint8_t *)realloc(b->p, b->cap);
        if (b->p == NULL) { fputs("test: out of memory\n", stderr); exit(1); }
    }
    if (n > 0) memcpy(b->p + b->n, p, n);
    b->n += n;
}
void put_u32(bytes *b, uint32_t v) {
    uint8_t c[4]; int i;
    for (i = 0; i < 4; i++) c[i] = (uint8_t)(v >> 8 * i);
    put_bytes(b, c, 4);
}
void put_u64(bytes *b, uint64_t v) { put_u32(b, (uint32_t)v); put_u32(b, (uint32_t)(v >> 32)); }
void put_f32(bytes *b, float v) { uint32_t u; memcpy(&u, &v, 4); put_u32(b, u); }
void put_str(bytes *b, const char *s) { put_u64(b, strlen(s)); put_bytes(b, s, strlen(s)); }
void gguf_key(gguf_writer *g, const char *key, uint32_t type) { put_str(&g->kv, key); put_u32(&g->kv, type); g->n_kv++; }
void gguf_u32(gguf_writer *g, const char *key, uint32_t v) { gguf_key(g, key, LM_META_U32); put_u32(&g->kv, v); }
void gguf_u64(gguf_writer *g, const char *key, uint64_t v) { gguf_key(g, key, LM_META_U64); put_u64(&g->kv, v); }
void gguf_i32(gguf_writer *g, const char *key, int32_t v)  { gguf_key(g, key, LM_META_I32); put_u32(&g->kv, (uint32_t)v); }
void gguf_f32(gguf_writer *g, const char *key, float v)    { gguf_key(g, key, LM_META_F32); put_f32(&g->kv, v); }
void gguf_bool(gguf_writer *g, const char *key, int v)     { uint8_t b = (uint8_t)v; gguf_key(g, key, LM_META_BOOL); put_bytes(&g->kv, &b, 1); }
void gguf_str(gguf_writer *g, const char *key, const char *v) { gguf_key(g, key, LM_META_STR); put_str(&g->kv, v); }
void gguf_array(gguf_writer *g, const char *key, uint32_t item, uint64_t n) { gguf_key(g, key, LM_META_ARR); put_u32(&g->kv, item);
    put_u64(&g->kv, n); }
void gguf_tensor(gguf_writer *g, const char *name, int type, int n_dims, uint64_t d0, uint64_t d1, uint8_t *data, size_t n_bytes) {
    gguf_tensor_in *t;
    if (g->n_tensor == g->cap_tensor) {
        g->cap_tensor = g->cap_tensor * 2 + 16;
        g->tensor = (gguf_tensor_in *)realloc(g->tensor, (size_t)g->cap_tensor * sizeof *g->tensor);
        if (g->tensor == NULL) { fputs("test: out of memory\n", stderr); exit(1); }
    }
    t = &g->tensor[g->n_tensor++];
    memset(t, 0, sizeof *t);
    sprintf(t->name, "%.63s", name);
    t->type = type; t->n_dims = n_dims; t->dims[0] = d0; t->dims[1] = d1; t->dims[2] = t->dims[3] = 1; t->data = data; t->n_bytes = n_bytes;
}
bytes gguf_write(const gguf_writer *g) {
    bytes b; int i, k; uint64_t offset = 0; size_t align = g->alignment ? g->alignment : 32, start; uint8_t zero = 0;
    memset(&b, 0, sizeof b);
    put_bytes(&b, "GGUF", 4); put_u32(&b, g->version ? g->version : 3);
    put_u64(&b, (uint64_t)g->n_tensor); put_u64(&b, g->n_kv + (g->alignment != 0));
    if (g->alignment) { put_str(&b, "general.alignment"); put_u32(&b, LM_META_U32); put_u32(&b, g->alignment); }
    put_bytes(&b, g->kv.p, g->kv.n);
    for (i = 0; i < g->n_tensor; i++) {
        const gguf_tensor_in *t = &g->tensor[i];
        put_str(&b, t->name); put_u32(&b, (uint32_t)t->n_dims);
        for (k = 0; k < t->n_dims; k++) put_u64(&b, t->dims[k]);
        put_u32(&b, (uint32_t)t->type); put_u64(&b, offset);
        offset += (t->n_bytes + align - 1) / align * align;
    }
    while (b.n % align && g->n_tensor) put_bytes(&b, &zero, 1);
    start = b.n;
    for (i = 0; i < g->n_tensor; i++) {
        put_bytes(&b, g->tensor[i].data, g->tensor[i].n_bytes);
        while ((b.n - start) % align) put_bytes(&b, &zero, 1);
    }
    return b;
}
void gguf_free(gguf_writer *g) {
    int i;
    for (i = 0; i < g->n_tensor; i++) free(g->tensor[i].data);
    free(g->tensor); free(g->kv.p);
    memset(g, 0, sizeof *g);
}

/* ---- models */
static bytes small_bytes; static lm_model *small;
lm_model *open_bytes(bytes b) {
    lm_model_desc d; lm_model *m = NULL; lm_error e; lm_status s;
    memset(&d, 0, sizeof d);
    d.source.data = b.p; d.source.size = b.n;
    e.text[0] = 0;
    s = lm_model_open(&m, &d, &e);
    CHECK_STATUS(s, LM_OK);
    if (s != LM_OK) { note("lm_model_open: %s", e.text); return NULL; }
    return m;
}
lm_model *test_model(void) {
    if (small == NULL) { small_bytes = tiny_gguf("F32"); small = open_bytes(small_bytes); }
    return small;
}
void test_free(void) { lm_model_close(small); free(small_bytes.p); small = NULL; small_bytes.p = NULL; }
lm_ctx *open_ctx(const lm_model *m, int n_ctx, int n_batch, int n_logits, lm_cache_type cache, lm_compute compute, int n_threads) {
    lm_ctx_desc d; lm_ctx *c = NULL; lm_error e; lm_status s;
    memset(&d, 0, sizeof d);
    d.n_ctx = n_ctx; d.n_batch = n_batch; d.n_logits = n_logits; d.cache_type = cache; d.compute = compute; d.n_threads = n_threads;
    e.text[0] = 0;
    s = lm_ctx_open(&c, m, &d, &e);
    CHECK_STATUS(s, LM_OK);
    if (s != LM_OK) { note("lm_ctx_open: %s", e.text); return NULL; }
    return c;
}
float *all_logits(lm_ctx *c, const lm_token *ids, int n, int n_batch) {
    lm_model_info info; float *out; uint8_t *want = (uint8_t *)malloc((size_t)n); lm_batch b; int at, i; size_t v; lm_status s;
    lm_model_get_info(lm_ctx_model(c), &info);
    v = (size_t)info.n_vocab;
    out = (float *)malloc((size_t)n * v * sizeof *out);
    if (out == NULL || want == NULL) { free(out); free(want); return NULL; }
    memset(want, LM_WANT_LOGITS, (size_t)n);
    for (at = 0; at < n; at += b.n) {
        memset(&b, 0, sizeof b);
        b.ids = ids + at; b.n = n - at < n_batch ? n - at : n_batch; b.want = want;
        s = lm_decode(c, &b);
        CHECK_STATUS(s, LM_OK);
        if (s != LM_OK) { note("lm_decode: %s", lm_ctx_error(c)); free(out); free(want); return NULL; }
        for (i = 0; i < b.n; i++) {
            const float *row = lm_logits(c, i);
            if (!CHECK(row != NULL)) { free(out); free(want); return NULL; }
            memcpy(out + (size_t)(at + i) * v, row, v * sizeof *out);
        }
    }
    free(want);
    return out;
}
