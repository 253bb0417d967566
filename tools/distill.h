/* A teacher's distributions for training (Hinton et al. 2015, arXiv:1503.02531): computed when they are needed, or once, into a file. Header-only.
 *   distill d; distill_open(&d, "teacher.gguf", n_len, top_k, n_threads);
 *   distill_document(&d, ids, targets, n, logits, top);          the n_top largest logits at each target that counts
 *   distill_soften(logits, d.n_top, temperature);                which become what lm_train_batch.soft_p takes
 *   sum = distill_sum("teacher.gguf");                           what a cache is bound to
 *   distill_write(&d, &feed, "teacher.cache", sum, &stopped);    the same of all targets of a feed, whole or not at all
 *   distill_load(&c, "teacher.cache", &feed, model, n_top, sum); a file of something else ends the program
 *   distill_at(&c, source, place, n_top, logits, top);           the same bits, without the teacher
 *
 * The file has logits, so that a temperature and a smaller top_k can still be chosen. The teacher reads each document by itself, from its beginning;
 * what is longer than n_len in windows moved on by half of that, each target in the first that has it. With FEED_WHOLE that is what rows hold, and
 * the file gives the bits of the teacher itself; with FEED_STREAM a row may begin in the middle of a document: there the file's teacher has seen
 * more than one that reads the row. Little-endian:
 *    0  8 bytes  "LMTEACH1"                    32  u32  entries of the vocabulary; u32 n_top
 *    8  u64      bytes of the file             40  u32  n_len; u32 token files
 *   16  u64      distill_sum of the teacher    48  u64  checksum of what follows the header
 *   24  u64      dataset_fingerprint           56  u64  checksum of the 56 bytes before
 *   64  [token files] of { u64 the checksum at byte 72 of that file, u64 1: FEED_WHOLE, u64 targets }
 *       for each of these, in the order of its stored tokens, of every target { f32 logits [n_top], largest first, u16 ids [n_top] }; u32 where the
 *       vocabulary has more than 65,536 entries; with n_top = n_vocab the logits of all tokens in order, no ids
 * filled up with zeros to a multiple of 8 bytes. On POSIX systems the file is mapped, so it must not be changed while it is open. */
#ifndef DISTILL_H
#define DISTILL_H
#include "feed.h"

#define DISTILL_HEAD 64

/* ---- the teacher */
typedef struct distill { const char *path; lm_model *m; lm_ctx *c; int n_vocab, n_top, n_len; uint8_t *want; lm_ranked *best; } distill;

static inline void distill_open(distill *d, const char *path, int n_len, int64_t top_k, int n_threads) { /* top_k 0: all */
    lm_ctx_desc c; lm_error err; lm_model_info info;
    memset(d, 0, sizeof *d); memset(&c, 0, sizeof c);
    d->path = path; d->m = cli_own_model(path, 0, 0); d->n_len = n_len;
    lm_model_get_info(d->m, &info);
    c.n_ctx = c.n_batch = c.n_logits = n_len; c.n_threads = n_threads; c.cache_type = LM_CACHE_F32; c.hooks.log = cli_log_hook;
    if (lm_ctx_open(&d->c, d->m, &c, &err) != LM_OK) cli_die("%s", cli_error_text(&err));
    d->n_vocab = info.n_vocab; d->n_top = top_k == 0 || top_k >= info.n_vocab ? info.n_vocab : (int)top_k;
    d->want = (uint8_t *)cli_grow(NULL, (size_t)n_len); d->best = (lm_ranked *)cli_grow(NULL, (size_t)d->n_top * sizeof *d->best);
}
static inline void distill_close(distill *d) {
    lm_ctx_close(d->c); lm_model_close(d->m); free(d->want); free(d->best);
    memset(d, 0, sizeof *d);
}
/* The n_top largest of a token's logits with their ids, or all in order. */
static inline void distill_top(const float *logits, int n_vocab, int n_top, lm_ranked *best, float *out, lm_token *top) {
    int k, n;
    if (n_top == n_vocab) { memcpy(out, logits, (size_t)n_vocab * sizeof *out); return; }
    n = lm_top_logprobs(logits, n_vocab, best, n_top);
    for (k = 0; k < n_top; k++) { top[k] = k < n ? best[k].id : 0; out[k] = k < n ? logits[best[k].id] : -FLT_MAX; } /* n: those above -infinity */
}
/* A document, or a part of one, by itself: ids, targets [n], n <= n_len; logits, top [n][n_top] (top NULL where n_top is n_vocab), written where a
 * target counts. */
static inline void distill_document(const distill *d, const lm_token *ids, const lm_token *targets, int n, float *logits, lm_token *top) {
    lm_batch b; int i, any = 0; size_t at;
    for (i = 0; i < n; i++) any += d->want[i] = (uint8_t)(targets[i] >= 0 ? LM_WANT_LOGITS : 0);
    if (!any) return;
    b.ids = ids; b.n = n; b.seq = NULL; b.want = d->want;
    lm_rewind(d->c, 0, 0);
    if (lm_decode(d->c, &b) != LM_OK) cli_die("%s: %s", d->path, lm_ctx_error(d->c));
    for (i = 0, at = 0; i < n; i++, at += (size_t)d->n_top)
        if (d->want[i]) distill_top(lm_logits(d->c, i), d->n_vocab, d->n_top, d->best, logits + at, top ? top + at : NULL);
}
/* x = softmax(x / temperature) */
static inline void distill_soften(float *x, int n, double temperature) {
    double most = x[0], sum = 0; int k;
    for (k = 1; k < n; k++) if (x[k] > most) most = x[k];
    for (k = 0; k < n; k++) { double e = exp((x[k] - most) / temperature); x[k] = (float)e; sum += e; }
    for (k = 0; k < n; k++) x[k] = (float)(x[k] / sum);
}
static inline uint64_t distill_mix(uint64_t h, const void *p, size_t n) { /* any number of bytes */
    unsigned char rest[8] = { 0 };
    if (n % 8) memcpy(rest, (const char *)p + n / 8 * 8, n % 8);
    h = dataset_sum(h ^ n, (const unsigned char *)p, n / 8 * 8);
    return dataset_sum(h, rest, 8);
}
/* Of all of a model that can matter: its tensors, and what its file says but for general.*. */
static inline uint64_t distill_sum(const char *path) {
    lm_model *m = cli_own_model(path, 0, 1); lm_meta v; lm_tensor t; uint64_t h = DATASET_SUM; int i, k;
    for (i = 0; lm_meta_at(m, i, &v) == LM_OK; i++) {
        if (v.key_bytes > 8 && memcmp(v.key, "general.", 8) == 0) continue;
        h = distill_mix(distill_mix(h, v.key, v.key_bytes), v.raw, (size_t)v.raw_bytes);
    }
    for (i = 0; lm_tensor_at(m, i, &t) == LM_OK; i++) {
        h = distill_mix(h, t.name, t.name_bytes) + (uint64_t)t.type;
        for (k = 0; k < 4; k++) h = (h ^ t.dims[k]) * 0x9e3779b97f4a7c15u;
        h = distill_mix(h, t.data, (size_t)t.n_bytes);
        lm_tensor_release(m, i);
    }
    lm_model_close(m);
    return h;
}

/* ---- which stored tokens of a file are targets that rows can reach; their numbers, in order */
typedef struct distill_doc { size_t start, n, doc; } distill_doc;
typedef struct distill_part {
    uint64_t id, n_targets, *bits, *before; /* bits: of each stored token; before: targets in front of each 64 of them */
    distill_doc *docs; size_t n_docs; const unsigned char *p;
} distill_part;
static inline int distill_order(const void *a, const void *b) {
    const distill_doc *x = (const distill_doc *)a, *y = (const distill_doc *)b;
    return x->start < y->start ? -1 : x->start > y->start ? 1 : x->n < y->n ? -1 : x->n > y->n;
}
static inline int distill_count(uint64_t u) { int n = 0; for (; u; u &= u - 1) n++; return n; }
static inline uint64_t distill_id(const feed_source *s) { return dataset_get(s->d.p + 72, 8); }
static inline size_t distill_reach(const feed_source *s, int n_len, const dataset_doc *t) { /* pairs */
    size_t n = feed_pairs(&s->d, t);
    return s->whole && n > (size_t)n_len ? (size_t)n_len : n;
}
static inline void distill_mark(const feed_source *s, int n_len, distill_part *q) {
    size_t i, k, n = s->d.n_stored / 64 + 1; uint64_t sum = 0;
    memset(q, 0, sizeof *q);
    q->id = distill_id(s);
    q->bits = (uint64_t *)cli_grow(NULL, n * sizeof *q->bits); q->before = (uint64_t *)cli_grow(NULL, n * sizeof *q->before);
    q->docs = (distill_doc *)cli_grow(NULL, s->d.n_docs * sizeof *q->docs);
    memset(q->bits, 0, n * sizeof *q->bits);
    for (i = 0; i < s->d.n_docs; i++) { dataset_doc t = dataset_at(&s->d, i);
        q->docs[i].start = t.start; q->docs[i].n = t.n; q->docs[i].doc = i; }
    qsort(q->docs, s->d.n_docs, sizeof *q->docs, distill_order);
    for (i = k = 0; i < s->d.n_docs; i++) { /* what a mixture repeats once */
        if (k && distill_order(&q->docs[k - 1], &q->docs[i]) == 0) continue;
        if (k && q->docs[k - 1].start + q->docs[k - 1].n > q->docs[i].start)
            cli_die("%s: documents overlap: distill.cache cannot be used", s->d.path);
        q->docs[k++] = q->docs[i];
    }
    q->n_docs = k;
    for (i = 0; i < q->n_docs; i++) {
        dataset_doc t = dataset_at(&s->d, q->docs[i].doc); size_t lead = feed_lead(&s->d, &t), all = distill_reach(s, n_len, &t), at;
        for (k = 0; k < all; k++) {
            at = t.start + k + 1 - lead;
            if (dataset_counts(&s->d, &t, k + 1 - lead)) q->bits[at / 64] |= (uint64_t)1 << at % 64;
        }
    }
    for (i = 0; i < n; i++) { q->before[i] = sum; sum += (uint64_t)distill_count(q->bits[i]); }
    q->n_targets = sum;
}
static inline void distill_unmark(distill_part *q) { free(q->bits); free(q->before); free(q->docs); memset(q, 0, sizeof *q); }
static inline size_t distill_entry(int n_vocab, int n_top) { return (size_t)n_top * (4u + (n_top == n_vocab ? 0u : n_vocab > 65536 ? 4u : 2u)); }

/* ---- writing */
static inline void distill_put(dataset_writer *w, const distill *d, const float *logits, const lm_token *top, unsigned char *entry) {
    int k, wide = d->n_vocab > 65536 ? 4 : 2; uint32_t u;
    for (k = 0; k < d->n_top; k++) { memcpy(&u, &logits[k], 4); dataset_put(entry + 4 * k, u, 4); }
    for (k = 0; top && k < d->n_top; k++) dataset_put(entry + 4 * d->n_top + wide * k, (uint64_t)top[k], wide);
    dataset_out(w, entry, distill_entry(d->n_vocab, d->n_top));
}
/* All targets of a source. done: targets so far, of `total` in all. */
static inline void distill_write_part(dataset_writer *w, const distill *d, const feed_source *s, const distill_part *q, uint64_t *done,
    uint64_t total, const volatile sig_atomic_t *stop) {
    size_t len = (size_t)d->n_len, n_top = (size_t)d->n_top, i, k, n, from, seen; int whole_row = d->n_top == d->n_vocab;
    lm_token *ids = (lm_token *)cli_grow(NULL, 2 * len * sizeof *ids), *targets = ids + len, *top = NULL; float *logits;
    unsigned char *entry = (unsigned char *)cli_grow(NULL, distill_entry(d->n_vocab, d->n_top));
    if (n_top > ((size_t)-1 >> 4) / len) cli_die("memory: a row's distributions are too large");
    logits = (float *)cli_grow(NULL, len * n_top * sizeof *logits);
    if (!whole_row) top = (lm_token *)cli_grow(NULL, len * n_top * sizeof *top);
    for (i = 0; i < q->n_docs; i++) {
        dataset_doc t = dataset_at(&s->d, q->docs[i].doc); size_t all = distill_reach(s, d->n_len, &t);
        for (from = seen = 0; seen < all; from += len > 1 ? len / 2 : 1) {
            n = all - from < len ? all - from : len;
            feed_read(&s->d, &t, from, n, ids, targets);
            for (k = 0; k < n && from + k < seen; k++) targets[k] = -1;
            if (*stop) cli_die("%s: stopped by a signal before it was whole", w->path);
            distill_document(d, ids, targets, (int)n, logits, top);
            for (k = 0; k < n; k++) {
                if (targets[k] < 0) continue;
                distill_put(w, d, logits + k * n_top, top ? top + k * n_top : NULL, entry); ++*done;
            }
            seen = from + n;
            cli_progress("the teacher's distributions", *done, total);
        }
    }
    free(ids); free(logits); free(top); free(entry);
}
static inline void distill_head(dataset_writer *w, const distill *d, uint64_t sum, int n_parts) {
    unsigned char h[DISTILL_HEAD];
    memcpy(h, "LMTEACH1", 8); dataset_put(h + 8, DISTILL_HEAD + w->n_bytes, 8); dataset_put(h + 16, sum, 8);
    dataset_put(h + 24, dataset_fingerprint(d->m), 8); dataset_put(h + 32, (uint64_t)d->n_vocab, 4); dataset_put(h + 36, (uint64_t)d->n_top, 4);
    dataset_put(h + 40, (uint64_t)d->n_len, 4); dataset_put(h + 44, (uint64_t)n_parts, 4);
    dataset_put(h + 48, w->sum, 8); dataset_put(h + 56, dataset_sum(DATASET_SUM, h, 56), 8);
    if (fwrite(h, 1, sizeof h, w->f) != sizeof h) cli_die("%s: %s", w->path, strerror(errno));
}
/* sum: distill_sum of d's file. *stop: a signal came, no file is made. */
static inline void distill_write(const distill *d, const feed *f, const char *path, uint64_t sum, const volatile sig_atomic_t *stop) {
    dataset_writer w; distill_part *q = (distill_part *)cli_grow(NULL, (size_t)f->n * sizeof *q); unsigned char b[24];
    uint64_t done = 0, total = 0; int i;
    for (i = 0; i < f->n; i++) { distill_mark(&f->s[i], d->n_len, &q[i]); total += q[i].n_targets; }
    memset(&w, 0, sizeof w);
    w.path = path; w.sum = DATASET_SUM; w.f = cli_create(path);
    distill_head(&w, d, sum, f->n);
    for (i = 0; i < f->n; i++) {
        dataset_put(b, q[i].id, 8); dataset_put(b + 8, (uint64_t)(f->s[i].whole != 0), 8); dataset_put(b + 16, q[i].n_targets, 8);
        dataset_out(&w, b, 24);
    }
    for (i = 0; i < f->n; i++) { distill_write_part(&w, d, &f->s[i], &q[i], &done, total, stop); distill_unmark(&q[i]); }
    dataset_pad(&w);
    if (cli_seek(w.f, 0) != 0) cli_die("%s: %s", path, strerror(errno));
    distill_head(&w, d, sum, f->n);
    cli_commit(w.f, path);
    free(q);
}

/* ---- reading */
typedef struct distill_cache {
    dataset file; int n_vocab, n_top, n_parts;
    distill_part *part;               /* of each source of the feed */
    float *row; lm_ranked *best;      /* room for one target */
} distill_cache;
static inline const unsigned char *distill_check(distill_cache *c, const char *path) { /* a sound file -> its header */
    const unsigned char *h; uint64_t size;
    memset(c, 0, sizeof *c);
    c->file.path = path; dataset_take(&c->file, "cache of a teacher", DISTILL_HEAD);
    h = c->file.p; size = c->file.n_bytes;
    if (memcmp(h, "LMTEACH1", 8) != 0) cli_die("%s: is no cache of a teacher (distill.cache)", path);
    if (dataset_get(h + 56, 8) != dataset_sum(DATASET_SUM, h, 56)) cli_die("%s: damaged: its header's checksum is another", path);
    if (dataset_get(h + 8, 8) != size || size % 8) cli_die("%s: damaged: %llu bytes instead of %llu", path, (unsigned long long)size,
        (unsigned long long)dataset_get(h + 8, 8));
    if (dataset_get(h + 48, 8) != dataset_sum(DATASET_SUM, h + DISTILL_HEAD, (size_t)size - DISTILL_HEAD))
        cli_die("%s: damaged: its checksum is another", path);
    if (dataset_get(h + 32, 4) < 2 || dataset_get(h + 32, 4) > INT32_MAX || dataset_get(h + 36, 4) < 1
        || dataset_get(h + 36, 4) > dataset_get(h + 32, 4) || dataset_get(h + 44, 4) > FEED_MAX
        || (size - DISTILL_HEAD) / 24 < dataset_get(h + 44, 4)) cli_die("%s: damaged: its counts", path);
    c->n_vocab = (int)dataset_get(h + 32, 4); c->n_top = (int)dataset_get(h + 36, 4); c->n_parts = (int)dataset_get(h + 44, 4);
    return h;
}
/* The entries of a source. */
static inline void distill_find(distill_cache *c, const feed_source *s, distill_part *q) {
    uint64_t at = DISTILL_HEAD + 24u * (uint64_t)c->n_parts, n, entry = distill_entry(c->n_vocab, c->n_top); int i;
    for (i = 0; i < c->n_parts; i++, at += n * entry) {
        const unsigned char *e = c->file.p + DISTILL_HEAD + 24 * i;
        n = dataset_get(e + 16, 8);
        if (n > (c->file.n_bytes - at) / entry) cli_die("%s: damaged: its counts", c->file.path);
        if (dataset_get(e, 8) != q->id || dataset_get(e + 8, 8) != (uint64_t)(s->whole != 0)) continue;
        if (n != q->n_targets) cli_die("%s: damaged: its counts", c->file.path);
        q->p = c->file.p + (size_t)at;
        return;
    }
    cli_die("%s: is of other data: nothing is of %s%s (without that file it is written anew)", c->file.path, s->d.path,
        s->whole ? "" : " as a stream");
}
/* sum: of the teacher; 0: whichever it was. */
static inline void distill_load(distill_cache *c, const char *path, const feed *f, const lm_model *m, int n_top, uint64_t sum) {
    const unsigned char *h = distill_check(c, path); int i;
    if (dataset_get(h + 24, 8) != dataset_fingerprint(m)) cli_die("%s: is of another vocabulary", path);
    if (sum && dataset_get(h + 16, 8) != sum) cli_die("%s: is of another teacher (without that file it is written anew)", path);
    if (dataset_get(h + 40, 4) != (uint64_t)f->n_len) cli_die("%s: is of rows of %lu tokens, n_len is %d (without that file it is written anew)",
        path, (unsigned long)dataset_get(h + 40, 4), f->n_len);
    if (n_top > c->n_top) cli_die("%s: has the %d likeliest tokens, distill.top_k asks for %d (without that file it is written anew)", path,
        c->n_top, n_top);
    c->part = (distill_part *)cli_grow(NULL, (size_t)f->n * sizeof *c->part);
    c->row = (float *)cli_grow(NULL, (size_t)c->n_top * sizeof *c->row);
    c->best = (lm_ranked *)cli_grow(NULL, (size_t)c->n_top * sizeof *c->best);
    for (i = 0; i < f->n; i++) {
        distill_mark(&f->s[i], f->n_len, &c->part[i]);
        free(c->part[i].docs); c->part[i].docs = NULL;
        distill_find(c, &f->s[i], &c->part[i]);
    }
    c->n_parts = f->n;
}
static inline void distill_unload(distill_cache *c) {
    int i;
    for (i = 0; c->part && i < c->n_parts; i++) distill_unmark(&c->part[i]);
    free(c->part); free(c->row); free(c->best); dataset_close(&c->file);
    memset(c, 0, sizeof *c);
}
/* What distill_document gives for a target that counts: the stored token `place` of a source (feed.place). n_top at most that of distill_load. */
static inline void distill_at(const distill_cache *c, int source, uint64_t place, int n_top, float *logits, lm_token *top) {
    const distill_part *q = &c->part[source]; uint64_t bits = q->bits[place / 64], below = bits & (((uint64_t)1 << place % 64) - 1);
    const unsigned char *e = q->p + (size_t)(q->before[place / 64] + (uint64_t)distill_count(below)) * distill_entry(c->n_vocab, c->n_top);
    int k, n = c->n_top == c->n_vocab ? c->n_top : n_top, wide = c->n_vocab > 65536 ? 4 : 2; uint32_t u;
    if (!(bits >> place % 64 & 1)) cli_die("%s: nothing is of token %llu", c->file.path, (unsigned long long)place);
    for (k = 0; k < n; k++) { u = (uint32_t)dataset_get(e + 4 * k, 4); memcpy(&c->row[k], &u, 4); }
    if (c->n_top == c->n_vocab) { distill_top(c->row, c->n_vocab, n_top, c->best, logits, top); return; }
    memcpy(logits, c->row, (size_t)n * sizeof *logits);
    for (k = 0; k < n; k++) top[k] = (lm_token)dataset_get(e + 4 * c->n_top + wide * k, wide);
}
#endif /* DISTILL_H */
