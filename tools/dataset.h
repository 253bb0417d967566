/* The token file: tokenized documents for training, written by prepare, read by train. Header-only.
 *   dataset d; dataset_open(&d, "stories.train.tokens");         all is checked here: what is damaged ends the program with one line
 *   dataset_fits(&d, model);                                     made with another vocabulary: the same
 *   for (i = 0; i < d.n_docs; i++) { dataset_doc t = dataset_at(&d, i); dataset_ids(&d, &t, 0, t.n, ids); dataset_mask(&d, &t, 0, t.n, mask); }
 *   dataset_close(&d);
 * A document's ids are all that is to be read, in order. A text ends with the end-of-text token d.eot and begins with d.bos where the model adds
 * BOS; where it adds none (d.bos -1), what stands before a text is d.eot. So packed texts are joined as they are, with one d.eot before the first if
 * d.bos is -1. Conversations are as the chat template has them. mask: 1 for a token that is a target of the loss, predicted from those before it;
 * without a mask in the file all count but a BOS. d.pairs: documents 2i and 2i+1 are the chosen and the rejected answer to one prompt, the prompt's
 * tokens first in both and not counted. A document of a source that a mixture repeats stands in the table several times, with the same start.
 *
 * The file, little-endian:
 *    0  8 bytes  "LMTOKENS"                    32  u64  fingerprint of the vocabulary (dataset_fingerprint)
 *    8  u32      version, 1                    40  u64  documents
 *   12  u32      flags: DATASET_WIDE, ...      48  u64  tokens stored
 *   16  u32      entries of the vocabulary     56  i32  BOS that documents begin with, -1: none
 *   20  u32      sources                       60  i32  end of text, -1: none
 *   24  u64      bytes of the file             64  u64  checksum of what follows the header;  72  u64  checksum of the 72 bytes before
 *   80  ids     u16, with DATASET_WIDE u32, [tokens]
 *       mask    [ceil(tokens / 8)] bytes, token i is bit i % 8 of byte i / 8; only with DATASET_MASK
 *       table   [documents] of { u64 first token, u32 tokens, u32 bytes of the text, u32 source, u32 0 }
 *       sources [sources] of { u32 bytes, the name }
 * each part filled up with zeros to a multiple of 8 bytes; nothing follows. On POSIX systems the file is mapped, so it must not be changed while it
 * is open; elsewhere it is read. Memory of the writer: 1 bit a token for the mask, 24 bytes a document, and the ids unless they are streamed. */
#ifndef DATASET_H
#define DATASET_H
#include "cli.h"
#if !defined(_WIN32)
#include <sys/mman.h>
#endif

#define DATASET_HEAD 80
#define DATASET_MAX_SOURCES 4096
#define DATASET_MAX_NAME 1024         /* bytes of a source's name */
enum { DATASET_WIDE = 1, DATASET_MASK = 2, DATASET_PAIRS = 4 }; /* u32 ids; a loss mask; documents in pairs */

static inline void dataset_put(unsigned char *p, uint64_t v, int n) { int i; for (i = 0; i < n; i++) p[i] = (unsigned char)(v >> 8 * i & 255); }
static inline uint64_t dataset_get(const unsigned char *p, int n) { uint64_t v = 0; while (n > 0) v = v << 8 | p[--n]; return v; }

/* ---- checksum of words of 8 bytes. Each step is a bijection of the state, hence a change of one word is always seen. */
#define DATASET_SUM 0x6c6d746f6b656e73u
static inline uint64_t dataset_sum(uint64_t h, const unsigned char *p, size_t n_bytes) {
    size_t i;
    for (i = 0; i + 8 <= n_bytes; i += 8) { h = (h ^ dataset_get(p + i, 8)) * 0x9e3779b97f4a7c15u; h ^= h >> 29; }
    return h;
}
/* Of ids, texts and types of all tokens: two models with one fingerprint read ids alike. */
static inline uint64_t dataset_fingerprint(const lm_model *m) {
    lm_model_info info; lm_token_info t; uint64_t h = 0xcbf29ce484222325u; int i; size_t k;
    lm_model_get_info(m, &info);
    for (i = 0; i < info.n_vocab; i++) {
        if (lm_token_get_info(m, i, &t) != LM_OK) break; /* no vocabulary: the fingerprint of none */
        for (k = 0; k < t.text_bytes; k++) h = (h ^ (unsigned char)t.text[k]) * 0x100000001b3u;
        h = (h ^ (256u + (unsigned)t.type)) * 0x100000001b3u;
    }
    return h ^ h >> 32;
}

/* ---- writing */
typedef struct dataset_writer {
    const char *path; FILE *f;        /* f: open while ids are streamed */
    int flags; uint32_t n_vocab; uint64_t fingerprint; lm_token bos, eot;
    uint64_t n_tokens, n_bytes, sum;  /* n_bytes: behind the header so far; sum: of all but the last n_bytes % 8 of them, which are in rest */
    unsigned char rest[8];
    unsigned char *ids; size_t n_ids, cap_ids;       /* bytes kept, where they are not streamed */
    unsigned char *mask; size_t cap_mask;
    unsigned char *table; size_t n_docs, cap_table;  /* as the file has it */
    char **source; int n_source;
} dataset_writer;

static inline void dataset_out(dataset_writer *w, const unsigned char *p, size_t n) {
    size_t k = (size_t)(w->n_bytes % 8), take;
    if (n == 0) return;
    if (fwrite(p, 1, n, w->f) != n) cli_die("%s: %s", w->path, strerror(errno));
    w->n_bytes += n;
    if (k) {
        take = n < 8 - k ? n : 8 - k;
        memcpy(w->rest + k, p, take); p += take; n -= take;
        if (k + take < 8) return;
        w->sum = dataset_sum(w->sum, w->rest, 8);
    }
    w->sum = dataset_sum(w->sum, p, n - n % 8);
    memcpy(w->rest, p + (n - n % 8), n % 8);
}
static inline void dataset_pad(dataset_writer *w) {
    static const unsigned char zero[8] = { 0 };
    dataset_out(w, zero, (size_t)((8 - w->n_bytes % 8) % 8));
}
static inline void dataset_head(dataset_writer *w) {
    unsigned char h[DATASET_HEAD];
    memcpy(h, "LMTOKENS", 8);
    dataset_put(h + 8, 1, 4); dataset_put(h + 12, (uint64_t)w->flags, 4); dataset_put(h + 16, w->n_vocab, 4);
    dataset_put(h + 20, (uint64_t)w->n_source, 4);
    dataset_put(h + 24, DATASET_HEAD + w->n_bytes, 8); dataset_put(h + 32, w->fingerprint, 8);
    dataset_put(h + 40, w->n_docs, 8); dataset_put(h + 48, w->n_tokens, 8);
    dataset_put(h + 56, (uint32_t)w->bos, 4); dataset_put(h + 60, (uint32_t)w->eot, 4);
    dataset_put(h + 64, w->sum, 8); dataset_put(h + 72, dataset_sum(DATASET_SUM, h, 72), 8);
    if (fwrite(h, 1, sizeof h, w->f) != sizeof h) cli_die("%s: %s", w->path, strerror(errno));
}
/* flags: DATASET_MASK, DATASET_PAIRS. bos, eot: see the top. stream: ids go to the file at once; a program has one unfinished output at a time
 * (cli_create), so a second writer beside this one keeps its ids in memory. */
static inline void dataset_create(dataset_writer *w, const char *path, int flags, const lm_model *m, lm_token bos, lm_token eot, int stream) {
    lm_model_info info;
    memset(w, 0, sizeof *w);
    lm_model_get_info(m, &info);
    w->path = path; w->n_vocab = (uint32_t)info.n_vocab; w->fingerprint = dataset_fingerprint(m);
    w->flags = flags | (info.n_vocab > 65536 ? DATASET_WIDE : 0); w->bos = bos; w->eot = eot; w->sum = DATASET_SUM;
    if (stream) { w->f = cli_create(path); dataset_head(w); }
}
static inline int dataset_source(dataset_writer *w, const char *name) { /* -> its number; the names' order is that of the calls */
    size_t n = strlen(name);
    if (w->n_source == DATASET_MAX_SOURCES || n > DATASET_MAX_NAME) cli_die("%s: more than %d sources, or a name of more than %d bytes", w->path,
        DATASET_MAX_SOURCES, DATASET_MAX_NAME);
    w->source = (char **)cli_grow(w->source, (size_t)(w->n_source + 1) * sizeof *w->source);
    w->source[w->n_source] = (char *)cli_grow(NULL, n + 1);
    memcpy(w->source[w->n_source], name, n + 1);
    return w->n_source++;
}
static inline unsigned char *dataset_entry(dataset_writer *w) {
    if (w->n_docs == INT32_MAX) cli_die("%s: more than %d documents", w->path, INT32_MAX);
    if (w->n_docs == w->cap_table) w->table = (unsigned char *)cli_grow(w->table, (w->cap_table = w->cap_table * 2 + 64) * 24);
    return w->table + 24 * w->n_docs++;
}
/* mask NULL: all count */
static inline void dataset_add(dataset_writer *w, const lm_token *ids, const uint8_t *mask, size_t n, int source, size_t n_bytes) {
    int wide = w->flags & DATASET_WIDE ? 4 : 2; size_t i, k; unsigned char *e;
    if (n == 0 || n > INT32_MAX || n_bytes > UINT32_MAX || source < 0 || source >= w->n_source) cli_die("%s: a document of %lu tokens of source %d",
        w->path, (unsigned long)n, source);
    if (w->n_ids + n * (size_t)wide > w->cap_ids) w->ids = (unsigned char *)cli_grow(w->ids, w->cap_ids = (w->n_ids + n * (size_t)wide) * 2);
    for (i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= w->n_vocab) cli_die("%s: token %ld of a vocabulary of %lu", w->path, (long)ids[i],
            (unsigned long)w->n_vocab);
        dataset_put(w->ids + w->n_ids, (uint64_t)ids[i], wide); w->n_ids += (size_t)wide;
    }
    if (w->f) { dataset_out(w, w->ids, w->n_ids); w->n_ids = 0; }
    if (w->flags & DATASET_MASK) {
        size_t need = (size_t)((w->n_tokens + n + 7) / 8);
        if (need > w->cap_mask) { k = w->cap_mask; w->mask = (unsigned char *)cli_grow(w->mask, w->cap_mask = need * 2 + 8);
            memset(w->mask + k, 0, w->cap_mask - k); }
        for (i = 0; i < n; i++) {
            uint64_t at = w->n_tokens + i; int on = mask ? mask[i] != 0 : !(i == 0 && ids[0] == w->bos);
            w->mask[at / 8] = (unsigned char)(w->mask[at / 8] | on << at % 8);
        }
    }
    e = dataset_entry(w);
    dataset_put(e, w->n_tokens, 8); dataset_put(e + 8, n, 4); dataset_put(e + 12, n_bytes, 4); dataset_put(e + 16, (uint64_t)source, 4);
    dataset_put(e + 20, 0, 4);
    w->n_tokens += n;
}
/* The table anew: document i stands times[i] times, 0: not at all (its tokens stay in the file, unused). Documents of a pair: the same number. */
static inline void dataset_repeat(dataset_writer *w, const uint32_t *times) {
    size_t i, k, n = 0, step = w->flags & DATASET_PAIRS ? 2 : 1; unsigned char *t; uint64_t total = 0;
    for (i = 0; i < w->n_docs; i++) total += times[i];
    if (total > INT32_MAX) cli_die("%s: more than %d documents", w->path, INT32_MAX);
    t = (unsigned char *)cli_grow(NULL, (size_t)total * 24);
    for (i = 0; i + step <= w->n_docs; i += step) for (k = 0; k < times[i]; k++, n += step) memcpy(t + 24 * n, w->table + 24 * i, 24 * step);
    free(w->table);
    w->table = t; w->n_docs = w->cap_table = n;
}
static inline void dataset_commit(dataset_writer *w) { /* only now there is a file of that name */
    int i; unsigned char n[4];
    if (w->f == NULL) { w->f = cli_create(w->path); dataset_head(w); dataset_out(w, w->ids, w->n_ids); }
    dataset_pad(w);
    if (w->flags & DATASET_MASK) dataset_out(w, w->mask, (size_t)((w->n_tokens + 7) / 8));
    dataset_pad(w);
    dataset_out(w, w->table, 24 * w->n_docs);
    for (i = 0; i < w->n_source; i++) {
        dataset_put(n, strlen(w->source[i]), 4); dataset_out(w, n, 4);
        dataset_out(w, (const unsigned char *)w->source[i], strlen(w->source[i]));
        free(w->source[i]);
    }
    dataset_pad(w);
    if (cli_seek(w->f, 0) != 0) cli_die("%s: %s", w->path, strerror(errno));
    dataset_head(w);
    cli_commit(w->f, w->path);
    free(w->ids); free(w->mask); free(w->table); free(w->source);
    memset(w, 0, sizeof *w);
}

/* ---- reading */
typedef struct dataset {
    const char *path;
    int wide, masked, pairs;          /* what the flags say */
    uint32_t n_vocab; uint64_t fingerprint; lm_token bos, eot;
    size_t n_docs, n_stored;          /* documents of one epoch; tokens in the file */
    uint64_t n_tokens, n_targets;     /* of one epoch: with repetitions; those that count */
    size_t longest;                   /* tokens of the longest document */
    char **source; int n_source;      /* names */
    const unsigned char *p; size_t n_bytes; /* the file */
    const unsigned char *ids, *mask, *table;
    int mapped;
} dataset;
typedef struct dataset_doc { size_t start, n, n_bytes; int source; } dataset_doc; /* n >= 1 tokens; n_bytes of its text, 0: not known */

static inline dataset_doc dataset_at(const dataset *d, size_t i) { /* i < d->n_docs */
    const unsigned char *e = d->table + 24 * i; dataset_doc t;
    t.start = (size_t)dataset_get(e, 8); t.n = (size_t)dataset_get(e + 8, 4); t.n_bytes = (size_t)dataset_get(e + 12, 4);
    t.source = (int)dataset_get(e + 16, 4);
    return t;
}
static inline lm_token dataset_id(const dataset *d, size_t at) { /* of the stored tokens */
    const unsigned char *p = d->ids + at * (d->wide ? 4 : 2);
    return d->wide ? (lm_token)(p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24) : (lm_token)(p[0] | (uint32_t)p[1] << 8);
}
static inline int dataset_counts(const dataset *d, const dataset_doc *t, size_t i) { /* token i of the document is a target */
    if (d->masked) return d->mask[(t->start + i) / 8] >> (t->start + i) % 8 & 1;
    return i > 0 || d->bos < 0 || dataset_id(d, t->start) != d->bos;
}
static inline void dataset_ids(const dataset *d, const dataset_doc *t, size_t from, size_t n, lm_token *out) { /* from + n <= t->n */
    size_t i; for (i = 0; i < n; i++) out[i] = dataset_id(d, t->start + from + i);
}
static inline void dataset_mask(const dataset *d, const dataset_doc *t, size_t from, size_t n, uint8_t *out) {
    size_t i; for (i = 0; i < n; i++) out[i] = (uint8_t)dataset_counts(d, t, from + i);
}
static inline void dataset_close(dataset *d) {
    int i;
    for (i = 0; i < d->n_source; i++) free(d->source[i]);
    free(d->source);
#if !defined(_WIN32)
    if (d->mapped) munmap((void *)(uintptr_t)d->p, d->n_bytes);
#endif
    if (!d->mapped) free((void *)(uintptr_t)d->p);
    memset(d, 0, sizeof *d);
}
static inline void dataset_take(dataset *d, const char *what, size_t least) { /* the file's bytes */
    FILE *f; int64_t n; void *p = NULL;
    if (cli_what(d->path) == CLI_FOLDER) cli_die("%s: is a folder", d->path);
    f = cli_fopen(d->path, "rb");
    if (f == NULL) cli_die("%s: %s", d->path, strerror(errno));
    n = cli_what(d->path) == CLI_FILE ? cli_size(f) : -1;
    if (n < (int64_t)least || (uint64_t)n > (size_t)-1 / 2) cli_die("%s: is no %s: its size is %lld bytes", d->path, what, (long long)n);
    d->n_bytes = (size_t)n;
#if !defined(_WIN32)
    p = mmap(NULL, d->n_bytes, PROT_READ, MAP_PRIVATE, fileno(f), 0);
    d->mapped = p != MAP_FAILED;
#endif
    if (!d->mapped) {
        p = cli_grow(NULL, d->n_bytes);
        if (cli_seek(f, 0) != 0 || fread(p, 1, d->n_bytes, f) != d->n_bytes) cli_die("%s: %s", d->path, ferror(f) ? strerror(errno) : "ends early");
    }
    fclose(f);
    d->p = (const unsigned char *)p;
}
static inline const unsigned char *dataset_part(const dataset *d, size_t *at, uint64_t n, uint64_t size) { /* n things of this size, and zeros */
    const unsigned char *p = d->p + *at; uint64_t left = d->n_bytes - *at, bytes;
    if (n > left / size) cli_die("%s: damaged: it ends within what it should have", d->path);
    bytes = (n * size + 7) / 8 * 8;
    if (bytes > left) cli_die("%s: damaged: it ends within what it should have", d->path);
    *at += (size_t)bytes;
    return p;
}
static inline void dataset_names(dataset *d, size_t at, int n) {
    size_t k;
    if (n > DATASET_MAX_SOURCES) cli_die("%s: damaged: %d sources", d->path, n);
    d->source = (char **)cli_grow(NULL, (size_t)n * sizeof *d->source);
    for (; d->n_source < n; at += k) {
        if (d->n_bytes - at < 4 || (k = (size_t)dataset_get(d->p + at, 4)) > d->n_bytes - at - 4 || k > DATASET_MAX_NAME
            || memchr(d->p + at + 4, 0, k))
            { cli_die("%s: damaged: the name of source %d", d->path, d->n_source); return; }
        at += 4;
        d->source[d->n_source] = (char *)cli_grow(NULL, k + 1);
        memcpy(d->source[d->n_source], d->p + at, k); d->source[d->n_source++][k] = 0;
    }
    if (d->n_bytes - at >= 8) cli_die("%s: damaged: %lu bytes too many", d->path, (unsigned long)(d->n_bytes - at));
}
static inline void dataset_check(dataset *d) { /* ids and the table */
    size_t i, k;
    for (i = 0; i < d->n_stored; i++) if ((uint32_t)dataset_id(d, i) >= d->n_vocab) cli_die("%s: damaged: token %lu is %ld", d->path,
        (unsigned long)i, (long)dataset_id(d, i));
    for (i = 0; i < d->n_docs; i++) {
        uint64_t start = dataset_get(d->table + 24 * i, 8); dataset_doc t = dataset_at(d, i);
        if (start > d->n_stored || t.n > d->n_stored - t.start || t.n == 0 || t.n > INT32_MAX || (unsigned)t.source >= (unsigned)d->n_source)
            cli_die("%s: damaged: document %lu", d->path, (unsigned long)i);
        for (k = 0; d->masked && k < t.n; k++) d->n_targets += (unsigned)dataset_counts(d, &t, k);
        if (!d->masked) d->n_targets += t.n - 1 + (unsigned)dataset_counts(d, &t, 0);
        d->n_tokens += t.n;
        if (t.n > d->longest) d->longest = t.n;
    }
}
static inline void dataset_open(dataset *d, const char *path) { /* path must stay */
    size_t at = DATASET_HEAD; const unsigned char *h; uint64_t n_docs, n_stored; int flags;
    memset(d, 0, sizeof *d);
    d->path = path;
    dataset_take(d, "token file", DATASET_HEAD);
    h = d->p;
    if (memcmp(h, "LMTOKENS", 8) != 0) cli_die("%s: is no token file (prepare writes one)", path);
    if (dataset_get(h + 8, 4) != 1) cli_die("%s: version %lu of the token file is not known", path, (unsigned long)dataset_get(h + 8, 4));
    if (dataset_get(h + 72, 8) != dataset_sum(DATASET_SUM, h, 72)) cli_die("%s: damaged: its header's checksum is another", path);
    if (dataset_get(h + 24, 8) != d->n_bytes) cli_die("%s: damaged: %lu bytes instead of %llu", path, (unsigned long)d->n_bytes,
        (unsigned long long)dataset_get(h + 24, 8));
    if (d->n_bytes % 8 != 0 || dataset_get(h + 64, 8) != dataset_sum(DATASET_SUM, h + DATASET_HEAD,
        d->n_bytes - DATASET_HEAD)) cli_die("%s: damaged: its checksum is another", path);
    flags = (int)(dataset_get(h + 12, 4) & 0xff);
    if (dataset_get(h + 12, 4) > 7 || dataset_get(h + 16, 4) > INT32_MAX
        || dataset_get(h + 20, 4) > DATASET_MAX_SOURCES) cli_die("%s: damaged: its flags or counts", path);
    d->wide = (flags & DATASET_WIDE) != 0; d->masked = (flags & DATASET_MASK) != 0; d->pairs = (flags & DATASET_PAIRS) != 0;
    d->n_vocab = (uint32_t)dataset_get(h + 16, 4); d->fingerprint = dataset_get(h + 32, 8);
    n_docs = dataset_get(h + 40, 8); n_stored = dataset_get(h + 48, 8);
    d->bos = (lm_token)(int32_t)(uint32_t)dataset_get(h + 56, 4); d->eot = (lm_token)(int32_t)(uint32_t)dataset_get(h + 60, 4);
    if (n_docs > INT32_MAX || (d->pairs && (n_docs % 2 || !d->masked)) || d->bos < -1 || d->eot < -1 || d->bos >= (int64_t)d->n_vocab
        || d->eot >= (int64_t)d->n_vocab)
        cli_die("%s: damaged: its flags or counts", path);
    d->ids = dataset_part(d, &at, n_stored, d->wide ? 4 : 2);
    if (d->masked) d->mask = dataset_part(d, &at, n_stored / 8 + (n_stored % 8 != 0), 1);
    d->table = dataset_part(d, &at, n_docs, 24);
    d->n_stored = (size_t)n_stored; d->n_docs = (size_t)n_docs;
    dataset_names(d, at, (int)dataset_get(h + 20, 4));
    dataset_check(d);
}
static inline void dataset_fits(const dataset *d, const lm_model *m) {
    lm_model_info info;
    lm_model_get_info(m, &info);
    if (d->n_vocab != (uint32_t)info.n_vocab || d->fingerprint != dataset_fingerprint(m))
        cli_die("%s: its tokens are of another vocabulary (%lu entries) than the model's (%d entries): prepare the data with this model", d->path,
            (unsigned long)d->n_vocab, info.n_vocab);
}
#endif /* DATASET_H */
