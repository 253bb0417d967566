/* Rows of tokens for training and validation, from token files (dataset.h). Header-only.
 *   feed f; feed_open(&f, seed, n_len); feed_add(&f, "stories.train.tokens", 1, FEED_AUTO); ... feed_ready(&f, model);
 *   n = feed_row(&f, ids, targets, start);                       the next row; how many of its targets count
 *
 * A document is read as pairs of a token and the one that follows. What stands before its first token, where that one counts, is the start
 * token (BOS or end-of-text): so a document has as many pairs as tokens that can be predicted, and training sees what perplexity --documents
 * scores. A row is n_len pairs. start[i] is where in the row the document of pair i begins: attention stays inside, positions count from it.
 *   stream   documents follow on each other and are cut where a row ends; the first pairs of the first document of an epoch, a random number
 *            below n_len, are read at the epoch's end instead, so that a single long text is cut elsewhere each time
 *   whole    a document that does not fit in the rest of a row begins the next one, and what is longer than a row loses its end
 * Each epoch has its own order of documents. Which row a source gives is drawn by the weights. All of this follows from the seed and a
 * state of three numbers for each source and one of its own (feed_state), which is all that a checkpoint keeps. */
#ifndef FEED_H
#define FEED_H
#include "dataset.h"

#define FEED_MAX 256                  /* sources */
enum { FEED_AUTO = 0, FEED_STREAM = 1, FEED_WHOLE = 2 }; /* auto: whole for what has a mask, else stream */

typedef struct feed_source {
    dataset d; double weight; int whole;
    uint64_t n_pairs, n_seen, n_cut;  /* of one epoch; targets that rows reach; documents that lose their ends */
    uint64_t epoch, at, from;         /* the state: the document order[at] is read from pair `from` on */
    uint32_t *order; size_t n_units, shift; /* units: documents, or pairs of them; shift: pairs of order[0] that come last. Of this epoch */
} feed_source;
typedef struct feed {
    feed_source *s; int n; uint64_t seed, n_rows; int n_len; double weights; /* n_rows: given so far, part of the state */
    uint64_t *place; int source;      /* where feed_row puts each target's number among the stored tokens, NULL: nowhere; of the last row */
} feed;

/* ---- random numbers: SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195) */
static inline uint64_t feed_mix(uint64_t *s) {
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u; z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline uint64_t feed_below(uint64_t *s, uint64_t n) { /* 0 .. n - 1, without bias */
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, x;
    do x = feed_mix(s); while (x >= limit);
    return x % n;
}

/* ---- pairs of a document */
static inline size_t feed_lead(const dataset *d, const dataset_doc *t) { return dataset_counts(d, t, 0) && (d->bos >= 0 || d->eot >= 0); }
static inline size_t feed_pairs(const dataset *d, const dataset_doc *t) { return t->n - 1 + feed_lead(d, t); }
/* -> targets that count */
static inline int feed_read(const dataset *d, const dataset_doc *t, size_t from, size_t n, lm_token *ids, lm_token *targets) {
    size_t i, lead = feed_lead(d, t); int counted = 0;
    for (i = 0; i < n; i++) {
        size_t p = from + i + 1 - lead;                           /* the target */
        int on = dataset_counts(d, t, p);
        ids[i] = p > 0 ? dataset_id(d, t->start + p - 1) : d->bos >= 0 ? d->bos : d->eot;
        targets[i] = on ? dataset_id(d, t->start + p) : -1;
        counted += on;
    }
    return counted;
}

/* ---- epochs */
static inline void feed_epoch(const feed *f, feed_source *s) { /* the order of s->epoch */
    uint64_t r = f->seed ^ (uint64_t)(s - f->s) << 48 ^ s->epoch; size_t i, k; uint32_t x; dataset_doc t;
    feed_mix(&r);
    for (i = 0; i < s->n_units; i++) s->order[i] = (uint32_t)i;
    for (i = s->n_units; i > 1; i--) { k = (size_t)feed_below(&r, i); x = s->order[i - 1]; s->order[i - 1] = s->order[k]; s->order[k] = x; }
    s->shift = 0;
    if (s->whole || s->d.pairs) return;
    t = dataset_at(&s->d, s->order[0]); k = feed_pairs(&s->d, &t);
    if (k > 1) s->shift = (size_t)feed_below(&r, k < (size_t)f->n_len ? k : (size_t)f->n_len);
}
static inline void feed_next(const feed *f, feed_source *s) { /* document */
    s->from = 0;
    if (++s->at < s->n_units + (s->shift > 0)) return;
    s->at = 0; s->epoch++;
    feed_epoch(f, s);
    s->from = s->shift;
}
static inline void feed_open(feed *f, uint64_t seed, int n_len) { memset(f, 0, sizeof *f); f->seed = seed; f->n_len = n_len; }
static inline void feed_add(feed *f, const char *path, double weight, int packing) { /* path must stay */
    feed_source *s; size_t i;
    if (f->n == FEED_MAX) cli_die("%s: more than %d sources", path, FEED_MAX);
    f->s = (feed_source *)cli_grow(f->s, (size_t)(f->n + 1) * sizeof *s);
    s = &f->s[f->n++];
    memset(s, 0, sizeof *s);
    dataset_open(&s->d, path);
    s->weight = weight; s->whole = packing == FEED_WHOLE || (packing == FEED_AUTO && s->d.masked);
    s->n_units = s->d.pairs ? s->d.n_docs / 2 : s->d.n_docs;
    for (i = 0; i < s->d.n_docs; i++) {
        dataset_doc t = dataset_at(&s->d, i); size_t n = feed_pairs(&s->d, &t), lead = feed_lead(&s->d, &t), k;
        s->n_pairs += n;
        if (!s->whole && !s->d.pairs) { s->n_seen = s->d.n_targets; continue; }
        s->n_cut += n > (size_t)f->n_len;
        for (k = 0; k < n && k < (size_t)f->n_len; k++) s->n_seen += (unsigned)dataset_counts(&s->d, &t, k + 1 - lead);
    }
    f->weights += weight;
}
/* All sources are there: checks that they belong to the model and that there is enough of each to fill a row. */
static inline void feed_ready(feed *f, const lm_model *m) {
    int i;
    for (i = 0; i < f->n; i++) {
        feed_source *s = &f->s[i];
        dataset_fits(&s->d, m);
        if (s->d.n_targets == 0) cli_die("%s: 0 tokens to learn from in %lu documents, 1 is needed", s->d.path, (unsigned long)s->d.n_docs);
        if (s->n_seen == 0) cli_die("%s: the first %d tokens of all %lu documents count nothing: n_len must be larger, %lu for the longest",
            s->d.path, f->n_len,
            (unsigned long)s->d.n_docs, (unsigned long)s->d.longest);
        if (!s->whole && !s->d.pairs && s->n_pairs < (uint64_t)f->n_len)
            cli_die("%s: too small: %llu tokens in %lu documents, a row (n_len) has %d: prepare more text, or lower n_len to %llu", s->d.path,
                (unsigned long long)s->n_pairs,
                (unsigned long)s->d.n_docs, f->n_len, (unsigned long long)s->n_pairs);
        s->order = (uint32_t *)cli_grow(NULL, s->n_units * sizeof *s->order);
        feed_epoch(f, s);
        s->from = s->shift;
    }
}
static inline void feed_close(feed *f) {
    int i;
    for (i = 0; i < f->n; i++) { dataset_close(&f->s[i].d); free(f->s[i].order); }
    free(f->s); memset(f, 0, sizeof *f);
}

/* ---- rows */
static inline int feed_pick(feed *f) { /* the source of the next row */
    uint64_t r = f->seed + f->n_rows++ * 0xd1342543de82ef95u; double x; int i;
    if (f->n == 1) return 0;
    x = (double)(feed_mix(&r) >> 11) * (1.0 / 9007199254740992.0) * f->weights;
    for (i = 0; i < f->n - 1 && x >= f->s[i].weight; i++) x -= f->s[i].weight;
    return i;
}
static inline void feed_pad(lm_token *ids, lm_token *targets, int32_t *start, int from, int n_len) {
    for (; from < n_len; from++) { ids[from] = 0; targets[from] = -1; start[from] = from; }
}
static inline int feed_row_of(feed *f, feed_source *s, lm_token *ids, lm_token *targets, int32_t *start) {
    int k = 0, j, n, counted = 0;
    while (k < f->n_len) {
        dataset_doc t = dataset_at(&s->d, s->order[s->at < s->n_units ? s->at : 0]);
        size_t end = s->at < s->n_units ? feed_pairs(&s->d, &t) : s->shift, left = end - (size_t)s->from;
        if (s->whole && k > 0 && left > (size_t)(f->n_len - k)) break;
        n = left < (size_t)(f->n_len - k) ? (int)left : f->n_len - k;
        counted += feed_read(&s->d, &t, (size_t)s->from, (size_t)n, ids + k, targets + k);
        for (j = 0; j < n; j++) {
            start[k + j] = k;
            if (f->place) f->place[k + j] = t.start + s->from + (uint64_t)j + 1 - feed_lead(&s->d, &t);
        }
        k += n; s->from += (uint64_t)n;
        if (s->from == end || s->whole) feed_next(f, s);
    }
    feed_pad(ids, targets, start, k, f->n_len);
    return counted;
}
static inline int feed_row(feed *f, lm_token *ids, lm_token *targets, int32_t *start) {
    f->source = feed_pick(f);
    return feed_row_of(f, &f->s[f->source], ids, targets, start);
}
/* A document alone in a row, its end lost where it is longer. -> counted targets. */
static inline int feed_document(const feed *f, const dataset *d, size_t doc, lm_token *ids, lm_token *targets, int32_t *start) {
    dataset_doc t = dataset_at(d, doc); size_t n = feed_pairs(d, &t), i; int counted;
    if (n > (size_t)f->n_len) n = (size_t)f->n_len;
    counted = feed_read(d, &t, 0, n, ids, targets);
    for (i = 0; i < n; i++) start[i] = 0;
    feed_pad(ids, targets, start, (int)n, f->n_len);
    return counted;
}
/* The next pair of documents, chosen and rejected, as two rows; *unit: its number in the source, *source: which. */
static inline int feed_preference(feed *f, lm_token *ids, lm_token *targets, int32_t *start, int *source, size_t *unit) {
    feed_source *s = &f->s[*source = feed_pick(f)]; int n;
    *unit = s->order[s->at];
    n = feed_document(f, &s->d, 2 * *unit, ids, targets, start);
    n += feed_document(f, &s->d, 2 * *unit + 1, ids + f->n_len, targets + f->n_len, start + f->n_len);
    feed_next(f, s);
    return n;
}

/* ---- every document once, in the file's order, by the rule of perplexity --documents: packed whole, and what is longer than a row in windows
 * moved on by half a row, each token counted in the first that has it. The state is zeros at the beginning. */
typedef struct feed_scan { size_t doc, from, done; } feed_scan; /* document; where its next window begins; pairs that are counted already */
/* Fills a row; source [n_len]: each pair's source in the file. -> 0: there is nothing more. */
static inline int feed_scan_row(const dataset *d, int n_len, size_t n_docs, feed_scan *at, lm_token *ids, lm_token *targets, int32_t *start,
    int *source) {
    int k = 0; size_t i, n;
    for (; at->doc < n_docs && k < n_len; ) {
        dataset_doc t = dataset_at(d, at->doc); size_t all = feed_pairs(d, &t), left = all - at->from;
        if (k > 0 && left > (size_t)(n_len - k)) break;
        n = left < (size_t)n_len ? left : (size_t)n_len;
        feed_read(d, &t, at->from, n, ids + k, targets + k);
        for (i = 0; i < n; i++) {
            start[k + (int)i] = k; source[k + (int)i] = t.source;
            if (at->from + i < at->done) targets[k + (int)i] = -1;
        }
        k += (int)n; at->done = at->from + n;
        if (at->done >= all) { at->doc++; at->from = at->done = 0; } else at->from += (size_t)(n_len > 1 ? n_len / 2 : 1);
    }
    for (i = (size_t)k; i < (size_t)n_len; i++) source[i] = 0;
    feed_pad(ids, targets, start, k, n_len);
    return k > 0;
}
#endif /* FEED_H */
