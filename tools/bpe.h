/* Trains a byte-level BPE vocabulary. Header-only.
 *   bpe b; memset(&b, 0, sizeof b);
 *   bpe_count(&b, text, n_bytes);                          for every document
 *   bpe_train(&b, 4096, specials, 1);                      entries, the texts of special tokens
 *   bpe_write(&b, "tokenizer.json");                       as Hugging Face's tokenizers has it
 *   bpe_close(&b);
 * The rule, which is that library's: special tokens first, then the 256 bytes in the order of their characters in GPT-2's byte alphabet, then merges.
 * Texts are cut by GPT-2's expression ('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+) into words, which are
 * counted once.
 * Each step joins the pair of neighbours of the highest count, among equals the one of the smallest (left id, right id), until there are as many
 * entries as wanted or no pair comes twice. A merge whose text is an entry already keeps that entry's id (Sennrich, Haddow and Birch 2016,
 * arXiv:1508.07909). Counts of pairs change only where a merge happens: each pair has the list of words that may hold it, and a heap has the
 * highest, with counts as they were when entered; what has become less is entered again when it comes out.
 * Memory: the distinct words, 4 bytes a byte of them for the symbols, 40 bytes a pair; the text itself is not kept. */
#ifndef BPE_H
#define BPE_H
#include "unicode.h"

#define BPE_MAX_VOCAB 1000000
#define BPE_MAX_WORD  (1u << 28)      /* bytes of a word */

typedef struct bpe_word { size_t at; uint32_t n; uint64_t count; } bpe_word;      /* text [at, at+n), later symbols */
typedef struct bpe_pair { uint64_t key, count; uint32_t *word, n_word, cap; int touched; } bpe_pair; /* key: left << 32 | right */
typedef struct bpe_entry { uint64_t count, key; } bpe_entry;
typedef struct bpe_token { size_t at; uint32_t n; } bpe_token;                    /* text, in bytes */
typedef struct bpe {
    char *text; size_t n_text, cap_text;             /* of words */
    bpe_word *word; uint32_t n_word, cap_word;
    uint32_t *slot, n_slot;                          /* from texts to 1 + their word */
    uint64_t n_bytes, n_words;                       /* counted so far */
    uint32_t *sym;                                   /* of all words, a word's at its place in text */
    bpe_pair *pair; uint32_t n_pair, cap_pair; uint32_t *pair_slot, n_pair_slot;
    bpe_entry *heap; size_t n_heap, cap_heap;
    uint32_t *touched; size_t n_touched, cap_touched;
    bpe_token *token; uint32_t n_token;              /* the vocabulary, ids in order */
    uint32_t n_special; const char *const *special;
    char *tokens; size_t n_tokens, cap_tokens;       /* texts of tokens */
    uint32_t *token_slot, n_token_slot;
    uint64_t *merge; uint32_t n_merge, cap_merge;    /* keys, in order */
} bpe;

/* ---- words */
static inline uint64_t bpe_hash(const char *p, size_t n) { /* FNV-1a, stirred */
    uint64_t h = 0xcbf29ce484222325u; size_t i;
    for (i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return (h ^ h >> 29) * 0x9e3779b97f4a7c15u;
}
/* A table of entries by hash: slots hold 1 + an entry's number, 0 where there is none, and are a power of two. Twice as many slots, all n entries again. */
static inline void bpe_more_slots(const bpe *b, uint32_t **slot, uint32_t *n_slot, uint32_t n, uint64_t (*hash)(const bpe *, uint32_t), const char *what) {
    uint32_t i, k, mask = (*n_slot ? *n_slot * 2 : 1u << 14) - 1;
    if (n >= 1u << 29) cli_die("memory: more than %lu %s", (unsigned long)n, what);
    *n_slot = mask + 1; *slot = (uint32_t *)cli_grow(*slot, *n_slot * sizeof **slot);
    memset(*slot, 0, *n_slot * sizeof **slot);
    for (i = 0; i < n; i++) {
        for (k = (uint32_t)(hash(b, i) >> 32) & mask; (*slot)[k]; k = (k + 1) & mask) {}
        (*slot)[k] = i + 1;
    }
}
static inline uint64_t bpe_word_hash(const bpe *b, uint32_t i) { return bpe_hash(b->text + b->word[i].at, b->word[i].n); }
static inline void bpe_add_word(bpe *b, const char *p, size_t n) {
    uint32_t k; bpe_word *w;
    if (n > BPE_MAX_WORD) cli_die("a word of %lu bytes", (unsigned long)n);
    if (b->n_word * 2 >= b->n_slot) bpe_more_slots(b, &b->slot, &b->n_slot, b->n_word, bpe_word_hash, "different words");
    for (k = (uint32_t)(bpe_hash(p, n) >> 32) & (b->n_slot - 1); b->slot[k]; k = (k + 1) & (b->n_slot - 1)) {
        w = &b->word[b->slot[k] - 1];
        if (w->n == n && memcmp(b->text + w->at, p, n) == 0) { w->count++; return; }
    }
    if (b->n_word == b->cap_word) b->word = (bpe_word *)cli_grow(b->word, (b->cap_word = b->cap_word * 2 + 4096) * sizeof *b->word);
    if (b->n_text + n > b->cap_text) b->text = (char *)cli_grow(b->text, b->cap_text = (b->n_text + n) * 2 + 65536);
    w = &b->word[b->n_word++]; w->at = b->n_text; w->n = (uint32_t)n; w->count = 1;
    memcpy(b->text + b->n_text, p, n); b->n_text += n;
    b->slot[k] = b->n_word;
}
static inline int bpe_class_at(const char *p, size_t n, size_t *len) { uint32_t cp; *len = unicode_next(p, n, &cp); return unicode_class(cp); }
static inline size_t bpe_run(const char *p, size_t n, size_t at, int k) { /* where characters of class k end */
    size_t len;
    while (at < n && bpe_class_at(p + at, n - at, &len) == k) at += len;
    return at;
}
static inline size_t bpe_contraction(const char *p, size_t n) { /* bytes of 's 't 're 've 'm 'll 'd, 0: none */
    if (n < 2 || p[0] != '\'') return 0;
    if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd') return 2;
    return n > 2 && (memcmp(p + 1, "re", 2) == 0 || memcmp(p + 1, "ve", 2) == 0 || memcmp(p + 1, "ll", 2) == 0) ? 3 : 0;
}
static inline size_t bpe_white(const char *p, size_t n) { /* \s+(?!\S)|\s+: all of them at the end of the text, else all but the last, at least one */
    size_t at = 0, last = 0, len;
    while (at < n && bpe_class_at(p + at, n - at, &len) == UNICODE_WHITE) { last = at; at += len; }
    return at < n && last > 0 ? last : at;
}
static inline size_t bpe_cut(const char *p, size_t n) { /* bytes of the word at p, n > 0 */
    size_t k = bpe_contraction(p, n), len, at = p[0] == ' ' && n > 1; int c;
    if (k) return k;
    c = bpe_class_at(p + at, n - at, &len);
    if (c == UNICODE_WHITE) return bpe_white(p, n);
    return bpe_run(p, n, at + len, c);
}
static inline void bpe_count(bpe *b, const char *p, size_t n) {
    size_t at, k;
    unicode_open();
    for (at = 0; at < n; at += k) { k = bpe_cut(p + at, n - at); bpe_add_word(b, p + at, k); b->n_words++; }
    b->n_bytes += n;
}

/* ---- tokens by text */
static inline uint32_t *bpe_token_slot(bpe *b, const char *p, size_t n) { /* of that text, or the empty place for it */
    uint32_t k = (uint32_t)(bpe_hash(p, n) >> 32) & (b->n_token_slot - 1); const bpe_token *t;
    for (; b->token_slot[k]; k = (k + 1) & (b->n_token_slot - 1)) {
        t = &b->token[b->token_slot[k] - 1];
        if (t->n == n && memcmp(b->tokens + t->at, p, n) == 0) break;
    }
    return &b->token_slot[k];
}
static inline uint32_t bpe_token_id(bpe *b, const char *p, size_t n, int find) { /* of that text: a new one, or the old */
    uint32_t *slot = find ? bpe_token_slot(b, p, n) : NULL; bpe_token *t;
    if (slot && *slot) return *slot - 1;
    t = &b->token[b->n_token++]; t->at = b->n_tokens; t->n = (uint32_t)n;
    if (b->n_tokens + n > b->cap_tokens) b->tokens = (char *)cli_grow(b->tokens, b->cap_tokens = (b->n_tokens + n) * 2 + 4096);
    memmove(b->tokens + b->n_tokens, p, n); b->n_tokens += n;
    if (slot) *slot = b->n_token;     /* special tokens are not found by text: they are made of no bytes */
    return b->n_token - 1;
}

/* ---- pairs */
static inline uint64_t bpe_key_hash(uint64_t key) { key *= 0x9e3779b97f4a7c15u; key ^= key >> 32; return key * 0xd6e8feb86659fd93u; }
static inline uint64_t bpe_pair_hash(const bpe *b, uint32_t i) { return bpe_key_hash(b->pair[i].key); }
static inline uint32_t bpe_pair_of(bpe *b, uint32_t left, uint32_t right) { /* its number; made where there is none */
    uint64_t key = (uint64_t)left << 32 | right; uint32_t k; bpe_pair *p;
    if (b->n_pair * 2 >= b->n_pair_slot) bpe_more_slots(b, &b->pair_slot, &b->n_pair_slot, b->n_pair, bpe_pair_hash, "pairs");
    for (k = (uint32_t)(bpe_key_hash(key) >> 32) & (b->n_pair_slot - 1); b->pair_slot[k]; k = (k + 1) & (b->n_pair_slot - 1))
        if (b->pair[b->pair_slot[k] - 1].key == key) return b->pair_slot[k] - 1;
    if (b->n_pair == b->cap_pair) b->pair = (bpe_pair *)cli_grow(b->pair, (b->cap_pair = b->cap_pair * 2 + 4096) * sizeof *b->pair);
    p = &b->pair[b->n_pair]; memset(p, 0, sizeof *p); p->key = key;
    b->pair_slot[k] = ++b->n_pair;
    return b->n_pair - 1;
}
static inline void bpe_more(bpe *b, uint32_t left, uint32_t right, uint32_t w) { /* the pair once more in word w */
    uint32_t i = bpe_pair_of(b, left, right); bpe_pair *p = &b->pair[i];
    p->count += b->word[w].count;
    if (p->n_word == 0 || p->word[p->n_word - 1] != w) {
        if (p->n_word == p->cap) p->word = (uint32_t *)cli_grow(p->word, (p->cap = p->cap * 2 + 4) * sizeof *p->word);
        p->word[p->n_word++] = w;
    }
    if (p->touched) return;
    p->touched = 1;
    if (b->n_touched == b->cap_touched) b->touched = (uint32_t *)cli_grow(b->touched,
        (b->cap_touched = b->cap_touched * 2 + 4096) * sizeof *b->touched);
    b->touched[b->n_touched++] = i;
}
static inline void bpe_less(bpe *b, uint32_t left, uint32_t right, uint32_t w) { b->pair[bpe_pair_of(b, left, right)].count -= b->word[w].count; }

/* ---- the heap */
static inline int bpe_before(const bpe_entry *x, const bpe_entry *y) { return x->count != y->count ? x->count > y->count : x->key < y->key; }
static inline void bpe_push(bpe *b, bpe_entry e) {
    size_t i = b->n_heap++, up;
    if (b->n_heap > b->cap_heap) b->heap = (bpe_entry *)cli_grow(b->heap, (b->cap_heap = b->cap_heap * 2 + 4096) * sizeof *b->heap);
    for (; i > 0 && (up = (i - 1) / 2, bpe_before(&e, &b->heap[up])); i = up) b->heap[i] = b->heap[up];
    b->heap[i] = e;
}
static inline bpe_entry bpe_pop(bpe *b) { /* n_heap > 0 */
    bpe_entry top = b->heap[0], e = b->heap[--b->n_heap]; size_t i = 0, k;
    for (; (k = 2 * i + 1) < b->n_heap; i = k) {
        if (k + 1 < b->n_heap && bpe_before(&b->heap[k + 1], &b->heap[k])) k++;
        if (!bpe_before(&b->heap[k], &e)) break;
        b->heap[i] = b->heap[k];
    }
    if (b->n_heap) b->heap[i] = e;
    return top;
}
static inline void bpe_push_touched(bpe *b) {
    size_t i; bpe_entry e;
    for (i = 0; i < b->n_touched; i++) {
        bpe_pair *p = &b->pair[b->touched[i]];
        p->touched = 0; e.count = p->count; e.key = p->key;
        if (e.count >= 2) bpe_push(b, e);
    }
    b->n_touched = 0;
}

/* ---- training */
static inline void bpe_start(bpe *b, uint32_t n_vocab, const char *const *special, uint32_t n_special) {
    unsigned char order[256]; uint32_t i, k; size_t at; char c;
    b->token = (bpe_token *)cli_grow(b->token, (n_vocab + 1) * sizeof *b->token);
    for (b->n_token_slot = 1024; b->n_token_slot < 2 * n_vocab; b->n_token_slot *= 2) {}
    b->token_slot = (uint32_t *)cli_grow(b->token_slot, b->n_token_slot * sizeof *b->token_slot);
    memset(b->token_slot, 0, b->n_token_slot * sizeof *b->token_slot);
    b->special = special; b->n_special = n_special;
    for (i = 0; i < n_special; i++) bpe_token_id(b, special[i], strlen(special[i]), 0);
    for (i = 0; i < 256; i++) { /* by character: those that stand for themselves, then U+0100 and on */
        for (k = 0, at = 0; k < 256; k++) at += unicode_byte((int)k) < unicode_byte((int)i);
        order[at] = (unsigned char)i;
    }
    for (i = 0; i < 256; i++) { c = (char)order[i]; bpe_token_id(b, &c, 1, 1); }
    b->sym = (uint32_t *)cli_grow(b->sym, b->n_text * sizeof *b->sym);
    for (at = 0; at < b->n_text; at++) b->sym[at] = *bpe_token_slot(b, b->text + at, 1) - 1;
    for (i = 0; i < b->n_word; i++) for (k = 1; k < b->word[i].n; k++) bpe_more(b, b->sym[b->word[i].at + k - 1], b->sym[b->word[i].at + k], i);
    bpe_push_touched(b);
}
/* Joins left and right to made in word w. Counts are changed from left to right, a new symbol being the left neighbour of what follows. */
static inline void bpe_join(bpe *b, uint32_t w, uint32_t left, uint32_t right, uint32_t made) {
    uint32_t *s = b->sym + b->word[w].at, n = b->word[w].n, i, k = 0;
    for (i = 0; i < n; i++) {
        if (s[i] != left || i + 1 == n || s[i + 1] != right) { s[k++] = s[i]; continue; }
        bpe_less(b, left, right, w);
        if (k > 0) { bpe_less(b, s[k - 1], left, w); bpe_more(b, s[k - 1], made, w); }
        if (i + 2 < n) { bpe_less(b, right, s[i + 2], w); bpe_more(b, made, s[i + 2], w); }
        s[k++] = made; i++;
    }
    b->word[w].n = k;
}
static inline void bpe_merge(bpe *b, uint64_t key) {
    uint32_t left = (uint32_t)(key >> 32), right = (uint32_t)key, made, i, n, *list; char *text;
    size_t n_left = b->token[left].n, n_right = b->token[right].n;
    bpe_pair *p = &b->pair[bpe_pair_of(b, left, right)];
    text = (char *)cli_grow(NULL, n_left + n_right);
    memcpy(text, b->tokens + b->token[left].at, n_left); memcpy(text + n_left, b->tokens + b->token[right].at, n_right);
    made = bpe_token_id(b, text, n_left + n_right, 1);
    free(text);
    if (b->n_merge == b->cap_merge) b->merge = (uint64_t *)cli_grow(b->merge, (b->cap_merge = b->cap_merge * 2 + 1024) * sizeof *b->merge);
    b->merge[b->n_merge++] = key;
    list = p->word; n = p->n_word; p->word = NULL; p->n_word = p->cap = 0; /* the list is taken: pairs move while it is read */
    for (i = 0; i < n; i++) bpe_join(b, list[i], left, right, made);
    free(list);
    bpe_push_touched(b);
}
/* n_vocab entries, at least 256 and the special ones; -> how many there are: fewer where the text has too few pairs. */
static inline uint32_t bpe_train(bpe *b, uint32_t n_vocab, const char *const *special, uint32_t n_special) {
    bpe_start(b, n_vocab, special, n_special);
    while (b->n_token < n_vocab && b->n_heap > 0) {
        bpe_entry e = bpe_pop(b); uint64_t now = b->pair[bpe_pair_of(b, (uint32_t)(e.key >> 32), (uint32_t)e.key)].count;
        if (now != e.count) { if (now >= 2 && now < e.count) { e.count = now; bpe_push(b, e); } continue; } /* more: entered when it became so */
        bpe_merge(b, e.key);
        cli_progress("merging", b->n_token, n_vocab);
    }
    cli_progress("merging", 1, 1);
    return b->n_token;
}

/* ---- writing, laid out as tokenizers' own "pretty" files */
static inline void bpe_put_text(FILE *f, const bpe *b, uint32_t id) { /* in the byte alphabet, as a JSON string */
    const bpe_token *t = &b->token[id]; uint32_t i; char c[8]; size_t n;
    fputc('"', f);
    for (i = 0; i < t->n; i++) {
        n = unicode_put(c, (unsigned char)b->tokens[t->at + i]);
        if (n == 1 && (c[0] == '"' || c[0] == '\\')) fputc('\\', f);
        fwrite(c, 1, n, f);
    }
    fputc('"', f);
}
static inline void bpe_put_id(FILE *f, const bpe *b, uint32_t id) {
    if (id < b->n_special) cli_json_text(f, b->special[id], strlen(b->special[id])); else bpe_put_text(f, b, id);
}
static inline void bpe_write(const bpe *b, const char *path) {
    FILE *f = cli_create(path); uint32_t i;
    static const char *const level = "\"type\": \"ByteLevel\",\n    \"add_prefix_space\": %s,\n    \"trim_offsets\": true,\n"
        "    \"use_regex\": true\n  }";
    fprintf(f, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [");
    for (i = 0; i < b->n_special; i++) {
        fprintf(f, "%s\n    {\n      \"id\": %lu,\n      \"content\": ", i ? "," : "", (unsigned long)i);
        bpe_put_id(f, b, i);
        fprintf(f, ",\n      \"single_word\": false,\n      \"lstrip\": false,\n"
            "      \"rstrip\": false,\n      \"normalized\": false,\n      \"special\": true\n    }");
    }
    fprintf(f, "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": {\n    ");
    fprintf(f, level, "false");
    fprintf(f, ",\n  \"post_processor\": null,\n  \"decoder\": {\n    ");
    fprintf(f, level, "true");
    fprintf(f, ",\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
        "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
        "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {");
    for (i = 0; i < b->n_token; i++) { fprintf(f, "%s\n      ", i ? "," : ""); bpe_put_id(f, b, i); fprintf(f, ": %lu", (unsigned long)i); }
    fprintf(f, "\n    },\n    \"merges\": [");
    for (i = 0; i < b->n_merge; i++) {
        fprintf(f, "%s\n      [\n        ", i ? "," : ""); bpe_put_text(f, b, (uint32_t)(b->merge[i] >> 32));
        fprintf(f, ",\n        "); bpe_put_text(f, b, (uint32_t)b->merge[i]); fprintf(f, "\n      ]");
    }
    fprintf(f, "%s]\n  }\n}", b->n_merge ? "\n    " : "");
    cli_commit(f, path);
}
static inline void bpe_close(bpe *b) {
    uint32_t i;
    for (i = 0; i < b->n_pair; i++) free(b->pair[i].word);
    free(b->text); free(b->word); free(b->slot); free(b->sym); free(b->pair); free(b->pair_slot); free(b->heap); free(b->touched); free(b->token);
    free(b->tokens); free(b->token_slot); free(b->merge);
    memset(b, 0, sizeof *b);
}
#endif /* BPE_H */
