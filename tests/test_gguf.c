/* Damaged files, in process: every prefix, every byte changed, reads that fail, scales that are no numbers, parts that do not fit
 * together. Whatever happens, memory is bounded by the file's size, nothing leaks, and a refusal is one clean line. */
#include "tiny.h"

static lm_status open_with(lm_model **m, const void *p, size_t n, heap *h, lm_error *e, int vocab_only) {
    lm_model_desc d;
    memset(&d, 0, sizeof d);
    d.source.data = p; d.source.size = n; d.vocab_only = vocab_only;
    d.hooks = heap_hooks(h);
    *m = NULL;
    return lm_model_open(m, &d, e);
}
static int clean_line(const char *s) {
    if (*s == 0) return 0;
    for (; *s; s++) if ((unsigned char)*s < 32 || *s == 127) return 0;
    return 1;
}
/* Opens p, checks the rules that hold for any bytes, and uses what opened. Returns the status. */
static lm_status any_bytes(const uint8_t *p, size_t n, int use) {
    heap h; lm_error e; lm_model *m; lm_status s; lm_ctx_desc cd; lm_ctx *c = NULL; lm_batch b; lm_token ids[3] = { 1, 290, 7 }; char text[64];
    size_t k; lm_token_info ti;
    memset(&h, 0, sizeof h); memset(&e, 0, sizeof e); h.limit = 16 * n + (1 << 20);
    s = open_with(&m, p, n, &h, &e, 0);
    if ((m != NULL) != (s == LM_OK)) FAIL("a model and a failure, or neither");
    if (s != LM_OK && (e.status != s || !clean_line(e.text))) { FAIL("no clean line for a refusal"); note("%s", e.text); }
    if (s == LM_OK && use) {
        memset(&cd, 0, sizeof cd); memset(&b, 0, sizeof b);
        cd.n_ctx = 64; cd.n_batch = 4; cd.n_threads = 1; b.ids = ids; b.n = 3;
        h.limit = 0;
        cd.hooks = heap_hooks(&h);
        if (lm_ctx_open(&c, m, &cd, NULL) == LM_OK) {
            lm_status r = lm_decode(c, &b);
            if (r != LM_OK && r != LM_E_NUMERIC && r != LM_E_ARG) FAIL("a decode fails oddly");
        }
        lm_ctx_close(c);
        (void)lm_tokenize(m, "the cat\xff", 8, LM_TEXT_ADD_SPECIAL, ids, 3, &k);
        (void)lm_detokenize(m, ids, 3, 0, text, sizeof text, &k);
        (void)lm_token_get_info(m, 300, &ti);
    }
    lm_model_close(m);
    if (h.live || h.n_live || h.bad) { FAIL("leaks, or gives back what it did not take");
        note("%lu bytes live, %d bad", (unsigned long)h.live, h.bad); }
    return s;
}

static void prefixes(const bytes *b, size_t data_at) {
    size_t n, refused = 0, tried = 0;
    for (n = 0; n < b->n; n += n < data_at + 64 || n + 64 > b->n ? 1 : 61) {
        uint8_t *copy = (uint8_t *)malloc(n + 1); /* of exactly this size, so that a sanitizer sees a read past the end */
        if (copy == NULL) return;
        memcpy(copy, b->p, n);
        tried++; refused += any_bytes(copy, n, 0) != LM_OK;
        free(copy);
    }
    CHECK(refused == tried);
    note("%lu prefixes, all refused", (unsigned long)tried);
}
static void changed_bytes(const bytes *b, size_t data_at) {
    size_t at, k, refused = 0, tried = 0; uint8_t *copy = (uint8_t *)malloc(b->n);
    if (copy == NULL) return;
    memcpy(copy, b->p, b->n);
    for (at = 0; at < b->n; at += at < 1000 || (at + 2000 > data_at && at < data_at) ? 1 : at < data_at ? 5 : 67) {
        for (k = 0; k < 3; k++) {
            uint8_t was = copy[at], now = k == 0 ? 0 : k == 1 ? 255 : (uint8_t)(was ^ 1 << at % 8);
            if (now == was) continue;
            copy[at] = now;
            tried++; refused += any_bytes(copy, b->n, tried % 16 == 0) != LM_OK;
            copy[at] = was;
        }
    }
    free(copy);
    note("%lu changed bytes, %lu refused", (unsigned long)tried, (unsigned long)refused);
    CHECK(refused > 1000 && refused < tried);
}

/* ---- reading through callbacks */
typedef struct reader { const uint8_t *p; uint64_t n; long calls, fail_at; int beyond; } reader;
static int read_at(void *user, uint64_t offset, void *dst, size_t n_bytes) {
    reader *r = (reader *)user;
    if (++r->calls == r->fail_at) return 1;
    if (offset > r->n || n_bytes > r->n - offset) { r->beyond = 1; return 1; }
    memcpy(dst, r->p + offset, n_bytes);
    return 0;
}
static void failing_reads(const bytes *b) {
    reader r; heap h; lm_model_desc d; lm_model *m; lm_error e; long calls, i; lm_status s;
    memset(&r, 0, sizeof r); memset(&h, 0, sizeof h); memset(&d, 0, sizeof d);
    r.p = b->p; r.n = b->n;
    d.source.read_at = read_at; d.source.user = &r; d.source.size = b->n; d.hooks = heap_hooks(&h);
    CHECK_STATUS(lm_model_open(&m, &d, &e), LM_OK);
    lm_model_close(m);
    calls = r.calls;
    for (i = 1; i <= calls; i++) {
        r.calls = 0; r.fail_at = i; m = NULL;
        s = lm_model_open(&m, &d, &e);
        if (s != LM_E_IO || m || h.live || !clean_line(e.text)) { CHECK_STATUS(s, LM_E_IO); CHECK(m == NULL && h.live == 0);
            note("read %ld: %s", i, e.text); }
    }
    CHECK(!r.beyond && !h.bad && h.live == 0);
    note("%ld reads, each failed in turn", calls);
    r.fail_at = 0;
    for (i = 0; i < (long)b->n; i += 997) { d.source.size = (uint64_t)i + 1; m = NULL; s = lm_model_open(&m, &d, &e);
        if (s == LM_OK) { FAIL("a prefix opened"); lm_model_close(m); } }
    CHECK(!r.beyond && h.live == 0);
}

static void bad_scales(void) { /* of each type with scales, in its last block */
    int i, k, n = 0; static const uint16_t bits[] = { 0x7c00, 0xfc00, 0x7e01 };
    for (i = 0; i < tiny_count(); i++) {
        const tiny_spec *s = tiny_at(i); gguf_writer g; bytes b; heap h; lm_error e; lm_model *m; int at[2];
        if (strcmp(s->name, s->type) != 0 || !tiny_scales(s->type, at) || strcmp(s->name, "MXFP4") == 0) continue; /* MXFP4's scales are all finite */
        tiny_writer(s, &g);
        for (k = 0; k < 6; k++) {
            gguf_tensor_in *t = &g.tensor[g.n_tensor - 1]; size_t where; uint8_t was[2]; lm_status r;
            if (at[k & 1] < 0) continue;
            where = t->n_bytes - tiny_block_bytes(s->type) + (size_t)at[k & 1];
            memcpy(was, t->data + where, 2);
            t->data[where] = (uint8_t)bits[k / 2]; t->data[where + 1] = (uint8_t)(bits[k / 2] >> 8);
            memset(&h, 0, sizeof h);
            b = gguf_write(&g);
            r = open_with(&m, b.p, b.n, &h, &e, 0);
            if (r != LM_E_FORMAT) { CHECK_STATUS(r, LM_E_FORMAT); note("%s: scale %d at byte %d of a block", s->name, k, at[k & 1]); }
            lm_model_close(m); free(b.p);
            memcpy(t->data + where, was, 2);
            n++;
        }
        gguf_free(&g);
    }
    CHECK(n >= 40);
    note("%d block scales that are no numbers, refused", n);
}

/* ---- parts */
static void split_writer(gguf_writer *part, int no, int count, int total) {
    memset(part, 0, sizeof *part);
    gguf_key(part, "split.no", LM_META_U16); put_bytes(&part->kv, "\0\0", 2); part->kv.p[part->kv.n - 2] = (uint8_t)no;
    gguf_key(part, "split.count", LM_META_U16); put_bytes(&part->kv, "\0\0", 2); part->kv.p[part->kv.n - 2] = (uint8_t)count;
    gguf_i32(part, "split.tensors.count", total);
}
void tiny_split(const tiny_spec *s, bytes part[3]) {
    gguf_writer whole, w; int i, k;
    tiny_writer(s, &whole);
    for (k = 0; k < 3; k++) {
        split_writer(&w, k, 3, whole.n_tensor);
        if (k == 0) { put_bytes(&w.kv, whole.kv.p, whole.kv.n); w.n_kv += whole.n_kv; }
        for (i = whole.n_tensor * k / 3; i < whole.n_tensor * (k + 1) / 3; i++) {
            gguf_tensor_in t = whole.tensor[i]; uint8_t *copy = (uint8_t *)malloc(t.n_bytes + 1);
            if (copy == NULL) exit(1);
            memcpy(copy, t.data, t.n_bytes);
            gguf_tensor(&w, t.name, t.type, t.n_dims, t.dims[0], t.dims[1], copy, t.n_bytes);
        }
        part[k] = gguf_write(&w);
        gguf_free(&w);
    }
    gguf_free(&whole);
}
static lm_status open_parts(const bytes *part, const int *order, int n, lm_error *e) {
    lm_source src[8]; lm_model_desc d; lm_model *m = NULL; heap h; lm_status s; int i;
    memset(src, 0, sizeof src); memset(&d, 0, sizeof d); memset(&h, 0, sizeof h);
    for (i = 0; i < n; i++) { src[i].data = part[order[i]].p; src[i].size = part[order[i]].n; }
    d.parts = src; d.n_parts = n; d.hooks = heap_hooks(&h);
    s = lm_model_open(&m, &d, e);
    lm_model_close(m);
    CHECK(h.live == 0 && h.bad == 0);
    return s;
}
static void bad_parts(void) {
    bytes part[3]; lm_error e; int i; gguf_writer w; bytes other;
    static const int sound[] = { 0, 1, 2 }, swapped[] = { 0, 2, 1 }, twice[] = { 0, 1, 1 }, late[] = { 1, 2, 0 }, more[] = { 0, 1, 2, 2 };
    tiny_split(tiny_find("nano"), part);
    CHECK_STATUS(open_parts(part, sound, 3, &e), LM_OK);
    CHECK(open_parts(part, swapped, 3, &e) != LM_OK); CHECK(clean_line(e.text));
    CHECK(open_parts(part, twice, 3, &e) != LM_OK);   CHECK(clean_line(e.text));
    CHECK(open_parts(part, late, 3, &e) != LM_OK);    CHECK(clean_line(e.text));
    CHECK(open_parts(part, sound, 2, &e) != LM_OK);   CHECK(clean_line(e.text));
    CHECK(open_parts(part, sound, 1, &e) != LM_OK);   CHECK(clean_line(e.text));
    CHECK(open_parts(part, more, 4, &e) != LM_OK);    CHECK(clean_line(e.text));
    for (i = 0; i < 3; i++) { /* the last part says something else about the split, or has too few tensors */
        split_writer(&w, i == 0 ? 1 : 2, i == 1 ? 4 : 3, 21);
        other = part[2]; part[2] = gguf_write(&w);
        CHECK(open_parts(part, sound, 3, &e) != LM_OK);
        free(part[2].p); gguf_free(&w); part[2] = other;
    }
    for (i = 0; i < (int)part[1].n; i += 13) { bytes cut[3]; memcpy(cut, part, sizeof cut); cut[1].n = (size_t)i;
        if (open_parts(cut, sound, 3, &e) == LM_OK) FAIL("a cut part opened"); }
    for (i = 0; i < 3; i++) free(part[i].p);
}

static void arguments(const bytes *b) {
    lm_model_desc d; lm_model *m = (lm_model *)&d; lm_error e; size_t n = 77; heap h; gguf_writer g; bytes f; size_t at;
    memset(&d, 0, sizeof d); memset(&h, 0, sizeof h);
    CHECK_STATUS(lm_model_open(&m, &d, &e), LM_E_ARG);               /* no source */
    CHECK(m == (lm_model *)&d);                                      /* results stay untouched on failure */
    CHECK(e.status == LM_E_ARG && clean_line(e.text));
    d.path = "x"; d.source.data = b->p; d.source.size = b->n;
    d.path = NULL; d.source.read_at = read_at;
    CHECK_STATUS(lm_model_open(&m, &d, &e), LM_E_ARG);               /* two sources */
    memset(&d, 0, sizeof d);
    d.path = "no/such/file.gguf";
    CHECK_STATUS(lm_model_open(&m, &d, &e), LM_E_IO);
    CHECK(strstr(e.text, "no/such/file.gguf") != NULL);
    CHECK_STATUS(lm_model_size(&d, &n, &e), LM_E_IO);
    CHECK(n == 77);
    d.path = "tests";
    CHECK_STATUS(lm_model_open(&m, &d, NULL), LM_E_IO);
    CHECK_STATUS(lm_model_open(NULL, &d, NULL), LM_E_ARG);
    CHECK_STATUS(lm_model_open(&m, NULL, NULL), LM_E_ARG);
    CHECK_STATUS(lm_model_size(NULL, &n, NULL), LM_E_ARG);
    tiny_writer(tiny_find("nano"), &g);                              /* the same name twice; then the same bytes twice */
    strcpy(g.tensor[5].name, "blk.0.attn_q.weight");
    f = gguf_write(&g);
    CHECK_STATUS(open_with(&m, f.p, f.n, &h, &e, 0), LM_E_FORMAT);
    CHECK(strstr(e.text, "twice") != NULL && strstr(e.text, "attn_q") != NULL);
    free(f.p);
    sprintf(g.tensor[5].name, "x.%s", "blk.0.attn_q.weight");
    f = gguf_write(&g);
    at = 24 + g.kv.n;
    for (n = 0; n < 2; n++) at += 8 + strlen(g.tensor[n].name) + 4 + 8 * (size_t)g.tensor[n].n_dims + 12;
    memset(f.p + at - 8, 0, 8);                                      /* the second tensor's offset */
    CHECK_STATUS(open_with(&m, f.p, f.n, &h, &e, 1), LM_E_FORMAT);
    CHECK(strstr(e.text, "overlap") != NULL);
    free(f.p); gguf_free(&g);
    tiny_writer(tiny_find("nano"), &g);                              /* another architecture: its vocabulary alone may be read */
    memcpy(g.kv.p + 8 + 20 + 4 + 8, "mamba", 5);
    f = gguf_write(&g);
    CHECK_STATUS(open_with(&m, f.p, f.n, &h, &e, 0), LM_E_SUPPORT);
    CHECK(strstr(e.text, "mamba") != NULL);
    CHECK_STATUS(open_with(&m, f.p, f.n, &h, &e, 1), LM_OK);
    if (m) { lm_ctx *c = NULL; { lm_ctx_desc cd; memset(&cd, 0, sizeof cd); CHECK_STATUS(lm_ctx_open(&c, m, &cd, &e), LM_E_ARG); } }
    lm_model_close(m);
    CHECK(h.live == 0);
    free(f.p); gguf_free(&g);
}

void test_gguf(void);
void test_gguf(void) {
    bytes b = tiny_gguf("nano"); lm_model *m; lm_tensor t; size_t data_at = 0; heap h; lm_error e; int i;
    memset(&h, 0, sizeof h);
    CHECK_STATUS(open_with(&m, b.p, b.n, &h, &e, 0), LM_OK);
    if (m == NULL) { note("%s", e.text); free(b.p); return; }
    for (i = 0; i < lm_tensor_count(m); i++) if (lm_tensor_at(m, i, &t) == LM_OK && (data_at == 0 || t.offset < data_at)) data_at = (size_t)t.offset;
    lm_model_close(m);
    prefixes(&b, data_at);
    changed_bytes(&b, data_at);
    failing_reads(&b);
    bad_scales();
    bad_parts();
    arguments(&b);
    free(b.p);
}
