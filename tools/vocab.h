/* A tokenizer as published -> the tokenizer.* metadata of a GGUF file.
 *   vocab v; vocab_load(&v, "folder", pre, n_vocab);       or vocab_load_bin(&v, "tokenizer.bin", n_vocab) for llama2.c's,
 *                                                          or vocab_load_tokenizer(&v, "any.json"), a tokenizer.json alone
 *   ... v.n tokens, v.id[VOCAB_BOS] ...
 *   vocab_write(&v, &writer); ... vocab_close(&v);         last of all: it tells on stderr what could not be kept
 * What is read, the first that is there:
 *   tokenizer.model    SentencePiece's protobuf (BPE), with added_tokens.json and the added tokens of tokenizer_config.json on top
 *   tokenizer.json     Hugging Face's BPE: byte-level ("gpt2") or with byte fallback ("llama")
 *   tokenizer.model    tiktoken's lines of base64 and rank (Meta's Llama 3)
 * and beside it tokenizer_config.json, special_tokens_map.json, config.json, generation_config.json, chat_template.jinja or .json. Keys and
 * values are those that llama.cpp's converter writes, except where a reader of those would give other ids than the original does, or not stop:
 * pieces of SentencePiece that its author defined have their own type (4); the scores of a tokenizer.json with byte fallback follow the order
 * of its merges instead of being one number for all; the token that a post-processor puts first is BOS; where it puts none and the reader's
 * default is to add BOS, add_bos_token is false; ends in a list of eos_token_id that no reader knows by their texts become EOT and EOM.
 * All input is hostile until checked: what is damaged, or what GGUF cannot say, ends the program with one line. */
#ifndef VOCAB_H
#define VOCAB_H
#include "gguf_write.h"
#include "json.h"

#define VOCAB_MAX_FILE  ((size_t)1 << 24) /* bytes of tokenizer.model and tokenizer.bin; the largest known have 5 million */
#define VOCAB_MAX_TOKEN 256           /* bytes of a token of tiktoken's: the work for one grows with the square */
#define VOCAB_MAX_PADS  (1 << 20)     /* ids without a token */
#define VOCAB_MAX_CHATS 64            /* templates */
#define VOCAB_MAX_NOTES 16            /* what is told; the rest is counted */

enum { VOCAB_BOS, VOCAB_EOS, VOCAB_UNK, VOCAB_SEP, VOCAB_PAD, VOCAB_CLS, VOCAB_MASK, VOCAB_N_NAMED, /* those that files name */
       VOCAB_EOT = VOCAB_N_NAMED, VOCAB_EOM, VOCAB_N_IDS };
typedef struct vocab_text { const char *text; size_t n_bytes; } vocab_text;
typedef struct vocab_map { uint32_t *head, *next, m; } vocab_map; /* from texts to their number: chains, as in json.h */
typedef struct vocab {
    const char *model, *pre;          /* tokenizer.ggml.model: "gpt2", "llama" or "no_vocab"; tokenizer.ggml.pre */
    vocab_text *token; int n;         /* [n] by id; n is 0 with "no_vocab" */
    float      *score;                /* [n], llama alone */
    int        *type;                 /* [n], lm_token_type */
    vocab_text *merge; int n_merge;   /* "left right", best first; gpt2 alone */
    int id[VOCAB_N_IDS];              /* -1: none, or not known */
    int add_bos, add_eos, space;      /* put BOS before, EOS after, a space before the text: 0, 1, -1: not said, the reader's default */
    vocab_text *chat; const char **chat_name; int n_chat; /* templates; "default" is the one without a name */
    /* the rest is the reader's own */
    const char *folder, *file;        /* file: the one that the tokens are from */
    vocab_map map;                    /* of token */
    json_doc tokenizer, config, pool; /* tokenizer.json, tokenizer_config.json; memory */
    int unk, eot_said;                /* the unknown piece by the model itself; id[VOCAB_EOT] was said by a file */
    char *bytes, *buf; size_t cap;    /* tokenizer.model or .bin; scratch */
    char *note[VOCAB_MAX_NOTES]; int n_note; /* what is not kept of the tokenizer: told when all has gone well, a failure being one line */
} vocab;

/* ---- memory, files, texts */
static inline void *vocab_room(vocab *v, size_t n, size_t size) { return json_room(&v->pool, n * size); } /* n < 2^30, size <= 16 */
static inline vocab_text vocab_str(const char *p, size_t n) { vocab_text t; t.text = p; t.n_bytes = n; return t; }
/* a b in memory of its own, with a 0 byte behind it */
static inline vocab_text vocab_join(vocab *v, const char *a, size_t n_a, const char *b, size_t n_b) {
    char *q = (char *)vocab_room(v, n_a + n_b + 1, 1);
    if (n_a) memcpy(q, a, n_a);
    if (n_b) memcpy(q + n_a, b, n_b);
    q[n_a + n_b] = 0;
    return vocab_str(q, n_a + n_b);
}
static inline vocab_text vocab_merge_text(vocab *v, vocab_text a, vocab_text b) { /* "a b" */
    vocab_text t = vocab_join(v, a.text, a.n_bytes + 1, b.text, b.n_bytes); /* a 0 byte follows every text */
    ((char *)(uintptr_t)t.text)[a.n_bytes] = ' ';
    return t;
}
static inline vocab_text vocab_keep(vocab *v, const char *p, size_t n) { return vocab_join(v, p, n, NULL, 0); }
static inline int vocab_is(vocab_text t, const char *s) { return t.n_bytes == strlen(s) && memcmp(t.text, s, t.n_bytes) == 0; }
static inline int vocab_same(vocab_text a, vocab_text b) { return json_is(a.text, a.n_bytes, b.text, b.n_bytes); }
static inline int vocab_starts(vocab_text t, const char *s) { size_t n = strlen(s); return t.n_bytes >= n && memcmp(t.text, s, n) == 0; }
static inline int vocab_ends(vocab_text t, const char *s) {
    size_t n = strlen(s);
    return t.n_bytes >= n && memcmp(t.text + t.n_bytes - n, s, n) == 0;
}
CLI_PRINTF(2, 3) static inline void vocab_note(vocab *v, const char *fmt, ...) {
    va_list ap;
    if (v->n_note++ >= VOCAB_MAX_NOTES) return;
    v->note[v->n_note - 1] = (char *)vocab_room(v, 600, 1);
    va_start(ap, fmt); vsnprintf(v->note[v->n_note - 1], 600, fmt, ap); va_end(ap);
}
static inline char *vocab_scratch(vocab *v, size_t n) { if (n > v->cap) v->buf = (char *)cli_grow(v->buf, v->cap = 2 * n + 64); return v->buf; }
/* from -> to, for every occurrence. The text itself where there is none. */
static inline vocab_text vocab_replace(vocab *v, vocab_text t, const char *from, const char *to) {
    size_t i, k = 0, n = strlen(from), m = strlen(to), hits = 0; char *q;
    for (i = 0; i + n <= t.n_bytes; ) { if (memcmp(t.text + i, from, n) == 0) { hits++; i += n; } else i++; }
    if (hits == 0) return t;
    q = (char *)vocab_room(v, t.n_bytes + hits * m + 1, 1);
    for (i = 0; i < t.n_bytes; ) {
        if (i + n <= t.n_bytes && memcmp(t.text + i, from, n) == 0) { memcpy(q + k, to, m); k += m; i += n; } else q[k++] = t.text[i++];
    }
    q[k] = 0;
    return vocab_str(q, k);
}
#define VOCAB_LOW "\xe2\x96\x81"      /* U+2581, SentencePiece's space */
static inline const char *vocab_path(vocab *v, const char *name) { /* NULL: no such file */
    size_t n = strlen(v->folder) + strlen(name) + 2; char *p = (char *)vocab_room(v, n, 1); cli_path what;
    snprintf(p, n, "%s/%s", v->folder, name);
    what = cli_what(p);
    if (what == CLI_FOLDER || what == CLI_OTHER) cli_die("%s: is no regular file", p);
    return what == CLI_FILE ? p : NULL;
}
static inline int vocab_open(vocab *v, json_doc *d, const char *name) { /* 0: no such file */
    const char *path = vocab_path(v, name);
    if (path == NULL) return 0;
    if (json_read(d, path)->kind != JSON_OBJECT) cli_die("%s: expected an object", path);
    return 1;
}

/* ---- texts to numbers. The hash is json.h's, so no file can make chains long. */
static inline void vocab_map_make(vocab *v, vocab_map *map, int n) {
    map->m = json_heads((uint32_t)n);
    map->head = (uint32_t *)vocab_room(v, map->m, sizeof *map->head); map->next = (uint32_t *)vocab_room(v, (size_t)n, sizeof *map->next);
    memset(map->head, 0, map->m * sizeof *map->head);
}
static inline int vocab_find(const vocab_map *map, const vocab_text *t, const char *p, size_t n) {
    uint32_t i;
    for (i = map->m ? map->head[json_hash(p, n) & (map->m - 1)] : 0; i != 0; i = map->next[i - 1])
        if (json_is(t[i - 1].text, t[i - 1].n_bytes, p, n)) return (int)(i - 1);
    return -1;
}
static inline int vocab_put(vocab_map *map, const vocab_text *t, int i) { /* -1, or who has that text already */
    int old = vocab_find(map, t, t[i].text, t[i].n_bytes); uint32_t *slot = &map->head[json_hash(t[i].text, t[i].n_bytes) & (map->m - 1)];
    if (old >= 0) return old;
    map->next[i] = *slot; *slot = (uint32_t)i + 1;
    return -1;
}

/* ---- the list of tokens */
static inline void vocab_begin(vocab *v, const char *model, int n, int n_vocab) { /* n ids, or as many as the model has rows */
    int i, rows = n_vocab >= 0 ? n_vocab : n;
    if (rows - n > VOCAB_MAX_PADS) cli_die("%s: %d tokens, but the model has %d", v->file, n, n_vocab);
    v->model = model; v->n = rows;
    v->token = (vocab_text *)vocab_room(v, (size_t)rows, sizeof *v->token);
    v->type = (int *)vocab_room(v, (size_t)rows, sizeof *v->type); v->score = (float *)vocab_room(v, (size_t)rows, sizeof *v->score);
    for (i = 0; i < rows; i++) { v->token[i] = vocab_str(NULL, 0); v->type[i] = LM_TOKEN_UNUSED; v->score[i] = -10000; }
}
static inline void vocab_set(vocab *v, int id, vocab_text t, int type, float score) { v->token[id] = t; v->type[id] = type; v->score[id] = score; }
/* Ids that nothing has been said of are named by their number; then no two tokens may have one text. */
static inline void vocab_end(vocab *v) {
    int i, old; char pad[32]; size_t n;
    vocab_map_make(v, &v->map, v->n);
    for (i = 0; i < v->n; i++) {
        if (v->token[i].text == NULL) { n = (size_t)snprintf(pad, sizeof pad, "[PAD%d]", i); v->token[i] = vocab_keep(v, pad, n); }
        old = vocab_put(&v->map, v->token, i);
        if (old >= 0) cli_die("%s: tokens %d and %d are both \"%.80s\"", v->file, old, i, v->token[i].text);
    }
}
static inline int vocab_token_id(const vocab *v, const char *text) { return vocab_find(&v->map, v->token, text, strlen(text)); }
/* Added tokens that are control tokens by their looks, though files do not say so (llama.cpp has the same list). */
static inline int vocab_looks_special(vocab_text t) {
    return vocab_is(t, "<pad>") || vocab_is(t, "<mask>") || vocab_is(t, "<2mass>") || vocab_is(t, "[@BOS@]")
        || (vocab_starts(t, "<|") && vocab_ends(t, "|>")) || (vocab_starts(t, "<\xef\xbd\x9c") && vocab_ends(t, "\xef\xbd\x9c>"))
        || (vocab_starts(t, "<unused") && vocab_ends(t, ">"));
}
static inline void vocab_add(vocab *v, int id, vocab_text t, int special, float score) {
    int control = special || vocab_looks_special(t);
    vocab_set(v, id, control ? t : vocab_replace(v, t, VOCAB_LOW, " "), control ? LM_TOKEN_CONTROL : LM_TOKEN_USER, score);
}
static inline vocab_text vocab_json_text(const json_doc *d, const json *v) { json_as(d, v, JSON_STRING); return vocab_str(v->v.text, v->n); }
static inline void vocab_beyond(vocab *v, const json_doc *d, vocab_text t, int id) {
    vocab_note(v, "%s: the token %.80s is left out: its id is %d and the model has %d", d->name, t.text, id, v->n);
}
/* "added_tokens_decoder" of tokenizer_config.json: {"32000": {"content": ..., "special": ...}, ...}. over: it may replace other tokens. */
static inline void vocab_add_decoder(vocab *v, int over) {
    const json_doc *d = &v->config; const json *o = json_opt(d, d->root, "added_tokens_decoder", JSON_OBJECT); uint32_t i; int id;
    for (i = 0; o && i < o->n; i++) {
        const json *item = json_as(d, &o->v.item[i], JSON_OBJECT); int special = json_bool(d, item, "special", 0);
        vocab_text t = vocab_json_text(d, json_need(d, item, "content", JSON_STRING));
        if (!cli_int(item->key, item->n_key, 0, INT_MAX, &id)) json_die(d, item, NULL, "its name is no token id");
        if (t.n_bytes == 0) json_die(d, item, NULL, "a token without text");
        if (id >= v->n) { vocab_beyond(v, d, t, id); continue; }
        if (over || v->token[id].text == NULL) vocab_add(v, id, t, special, -1000);
        else if (!vocab_same(v->token[id], t) && !vocab_same(v->token[id], vocab_replace(v, t, VOCAB_LOW, " ")))
            json_die(d, item, NULL, "is \"%.60s\", but the token there is \"%.60s\"", t.text, v->token[id].text);
        else if (special) v->type[id] = LM_TOKEN_CONTROL;
    }
}

/* ---- protocol buffers, as far as SentencePiece needs them (https://protobuf.dev/programming-guides/encoding) */
typedef struct vocab_wire {
    const char *file; const unsigned char *start, *p, *end; /* start: of the file */
    unsigned field, type; uint64_t value; vocab_text bytes; /* the field that was read: value where it is a number, else bytes */
} vocab_wire;
static inline void vocab_wire_bad(const vocab_wire *w, const char *what) {
    cli_die("%s: byte %lu: %s", w->file, (unsigned long)(w->p - w->start), what);
}
static inline uint64_t vocab_varint(vocab_wire *w) {
    uint64_t x = 0; int shift;
    for (shift = 0; shift < 70; shift += 7) {
        if (w->p == w->end) { vocab_wire_bad(w, "ends inside a number"); break; }
        if (shift == 63 && *w->p > 1) break;
        x |= (uint64_t)(*w->p & 0x7f) << shift;
        if (*w->p++ < 0x80) return x;
    }
    vocab_wire_bad(w, "a number of more than 64 bits");
    return 0;
}
static inline int vocab_field(vocab_wire *w) { /* 0: the end */
    uint64_t tag, n; int i;
    if (w->p == w->end) return 0;
    tag = vocab_varint(w); w->field = (unsigned)(tag >> 3); w->type = (unsigned)(tag & 7);
    if (tag >> 3 == 0 || tag >> 32 != 0) vocab_wire_bad(w, "no field has that number");
    w->value = 0; w->bytes = vocab_str(NULL, 0);
    if (w->type == 0) w->value = vocab_varint(w);
    else if (w->type == 2 || w->type == 1 || w->type == 5) {
        n = w->type == 2 ? vocab_varint(w) : w->type == 1 ? 8 : 4;
        if (n > (uint64_t)(w->end - w->p)) vocab_wire_bad(w, "a field that is longer than what follows");
        w->bytes = vocab_str((const char *)w->p, (size_t)n);
        for (i = w->type == 2 ? -1 : (int)n - 1; i >= 0; i--) w->value = w->value << 8 | w->p[i];
        w->p += n;
    } else vocab_wire_bad(w, "an unknown kind of field");
    return 1;
}
static inline uint64_t vocab_wire_number(const vocab_wire *w, unsigned type) { /* the field's value, which is of this type */
    if (w->type != type) vocab_wire_bad(w, "a field of another kind than SentencePiece's");
    return w->value;
}
static inline vocab_text vocab_wire_bytes(const vocab_wire *w) { vocab_wire_number(w, 2); return w->bytes; }
static inline vocab_wire vocab_inner(const vocab_wire *w) {
    vocab_wire in = *w;
    vocab_wire_bytes(w);
    in.p = (const unsigned char *)w->bytes.text; in.end = in.p + w->bytes.n_bytes;
    return in;
}
static inline float vocab_float(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
static inline int vocab_is_utf8(vocab_text t) {
    size_t i, len; uint32_t cp;
    for (i = 0; i < t.n_bytes; i += len) if (cli_utf8(t.text + i, t.n_bytes - i, &len, &cp) != 1) return 0;
    return 1;
}
static inline int vocab_hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
static inline int vocab_is_byte(vocab_text t) { /* <0x0A> */
    return t.n_bytes == 6 && memcmp(t.text, "<0x", 3) == 0 && vocab_hex(t.text[3]) >= 0 && vocab_hex(t.text[4]) >= 0 && t.text[5] == '>';
}

/* ---- SentencePiece (sentencepiece_model.proto). The numbers of its types of pieces are GGUF's. */
typedef struct vocab_piece { vocab_text text; float score; int type; } vocab_piece;
typedef struct vocab_spm {
    int model_type, suffix, dummy_prefix, extra_spaces, charsmap; /* charsmap: there is one, so text is changed before it is cut */
    vocab_text normalizer, bos, eos, pad; /* its name; the texts of control pieces */
} vocab_spm;
static inline vocab_piece vocab_read_piece(const vocab_wire *outer) {
    vocab_wire w = vocab_inner(outer); vocab_piece p;
    p.text = vocab_str(NULL, 0); p.score = 0; p.type = LM_TOKEN_NORMAL;
    while (vocab_field(&w)) {
        if (w.field == 1) p.text = vocab_wire_bytes(&w);
        else if (w.field == 2) p.score = vocab_float((uint32_t)vocab_wire_number(&w, 5));
        else if (w.field == 3) {
            if (vocab_wire_number(&w, 0) < LM_TOKEN_NORMAL || w.value > LM_TOKEN_BYTE) vocab_wire_bad(&w, "a piece of an unknown type");
            p.type = (int)w.value;
        }
    }
    if (p.text.n_bytes == 0) vocab_wire_bad(&w, "a piece without text");
    if (!vocab_is_utf8(p.text)) vocab_wire_bad(&w, "a piece that is not UTF-8");
    if (memchr(p.text.text, 0, p.text.n_bytes)) vocab_wire_bad(&w, "a piece with a NUL byte");
    if (!(p.score >= -FLT_MAX && p.score <= FLT_MAX)) vocab_wire_bad(&w, "a score that is not finite");
    if (p.type == LM_TOKEN_BYTE && !vocab_is_byte(p.text)) vocab_wire_bad(&w, "a byte piece that is not of the form <0x0A>");
    return p;
}
static inline void vocab_read_spec(const vocab_wire *outer, vocab_spm *s) {
    vocab_wire w = vocab_inner(outer); int trainer = outer->field == 2;
    while (vocab_field(&w)) {
        switch (w.field > 999 ? 0 : w.field + (trainer ? 0 : 1000)) { /* 1000 and on: the normalizer's */
            case 3: s->model_type = (int)(vocab_wire_number(&w, 0) & 0xff); break;
            case 24: s->suffix = vocab_wire_number(&w, 0) != 0; break;
            case 46: s->bos = vocab_wire_bytes(&w); break;
            case 47: s->eos = vocab_wire_bytes(&w); break;
            case 48: s->pad = vocab_wire_bytes(&w); break;
            case 1001: s->normalizer = vocab_wire_bytes(&w); break;
            case 1002: s->charsmap = vocab_wire_bytes(&w).n_bytes > 0; break;
            case 1003: s->dummy_prefix = vocab_wire_number(&w, 0) != 0; break;
            case 1004: s->extra_spaces = vocab_wire_number(&w, 0) != 0; break;
            default: break;
        }
    }
}
static inline void vocab_added_json(vocab *v) { /* {"<pad>": 32000, ...} */
    json_doc d; uint32_t i; int id;
    memset(&d, 0, sizeof d);
    if (!vocab_open(v, &d, "added_tokens.json")) return;
    for (i = 0; i < d.root->n; i++) {
        const json *item = &d.root->v.item[i]; vocab_text t = vocab_keep(v, item->key, item->n_key);
        id = (int)json_as_int(&d, item, 0, INT_MAX);
        if (t.n_bytes == 0) json_die(&d, item, NULL, "a token without text");
        if (id >= v->n) vocab_beyond(v, &d, t, id); else vocab_set(v, id, t, LM_TOKEN_USER, -1000);
    }
    json_close(&d);
}
static inline vocab_spm vocab_read_specs(vocab *v, vocab_wire w, int *n_pieces) {
    vocab_spm s;
    memset(&s, 0, sizeof s);
    s.model_type = 1; s.dummy_prefix = s.extra_spaces = 1; s.normalizer = vocab_str("", 0); /* the format's defaults */
    s.bos = vocab_str("<s>", 3); s.eos = vocab_str("</s>", 4); s.pad = vocab_str("<pad>", 5);
    for (*n_pieces = 0; vocab_field(&w); ) { if (w.field == 1) ++*n_pieces; else if (w.field == 2 || w.field == 3) vocab_read_spec(&w, &s); }
    if (*n_pieces == 0) cli_die("%s: no pieces", w.file);
    if (s.model_type != 2) cli_die("%s: SentencePiece's %s model cannot be represented, only BPE", w.file,
        s.model_type == 1 ? "unigram" : s.model_type == 3 ? "word" : s.model_type == 4 ? "character" : "unknown");
    if (s.suffix) cli_die("%s: treat_whitespace_as_suffix cannot be represented", w.file);
    if (s.charsmap) vocab_note(v, "%s: its normalizer %.*s is not kept: texts that it changes get other ids", w.file,
        (int)(s.normalizer.n_bytes < 40 ? s.normalizer.n_bytes : 40), s.normalizer.text);
    if (s.extra_spaces) vocab_note(v, "%s: remove_extra_whitespaces is not kept: texts with spaces in a row or at an end get other ids", w.file);
    return s;
}
static inline void vocab_load_spm(vocab *v, const char *path, const char *p, size_t n_bytes, int n_vocab) {
    vocab_wire w; vocab_spm s; int n, i = 0;
    memset(&w, 0, sizeof w);
    v->file = w.file = path; v->pre = "default";
    w.start = w.p = (const unsigned char *)p; w.end = w.p + n_bytes;
    s = vocab_read_specs(v, w, &n);
    if (n_vocab >= 0 && n > n_vocab) cli_die("%s: %d pieces, but the model has %d", path, n, n_vocab);
    vocab_begin(v, "llama", n, n_vocab);
    while (vocab_field(&w)) {
        vocab_piece x;
        if (w.field != 1) continue;
        x = vocab_read_piece(&w);
        if (x.type == LM_TOKEN_UNKNOWN) v->unk = i;
        else if (x.type == LM_TOKEN_CONTROL && vocab_same(x.text, s.bos)) v->id[VOCAB_BOS] = i;
        else if (x.type == LM_TOKEN_CONTROL && vocab_same(x.text, s.eos)) v->id[VOCAB_EOS] = i;
        else if (x.type == LM_TOKEN_CONTROL && vocab_same(x.text, s.pad)) v->id[VOCAB_PAD] = i;
        else if (x.type == LM_TOKEN_USER) x.text = vocab_replace(v, x.text, VOCAB_LOW, " ");
        vocab_set(v, i++, vocab_keep(v, x.text.text, x.text.n_bytes), x.type, x.score);
    }
    if (!s.dummy_prefix) v->space = 0;
    vocab_added_json(v);
    vocab_add_decoder(v, 1);
    vocab_end(v);
}

/* ---- tiktoken: a line for each token, its bytes in base64 and its rank, which is the id. Best pair = the one that makes the token of
 * least rank, so the merge that makes a token is the last step of building it from its bytes with the tokens of lower rank. */
#define VOCAB_N_META 256
/* The names that Meta's code adds (llama-models, models/llama3/tokenizer.py); reserved_special_token_2 and on follow them. */
static const char *const vocab_meta[] = { "begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1",
    "finetune_right_pad_id", "step_id", "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag", "image" };
static inline int vocab_base64(const char *p, size_t n, char *out) { /* bytes written, -1: not base64 */
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"; uint32_t x = 0; size_t i; int k = 0, pad = 0;
    if (n == 0 || n % 4 != 0) return -1;
    for (i = 0; i < n; i++) {
        const char *c = p[i] ? strchr(letters, p[i]) : NULL;
        if (p[i] == '=' && i + 2 >= n) pad++; else if (c == NULL || pad) return -1;
        x = x << 6 | (c ? (uint32_t)(c - letters) : 0);
        if (i % 4 == 3) { out[k++] = (char)(x >> 16 & 255); if (pad < 2) out[k++] = (char)(x >> 8 & 255); if (pad < 1) out[k++] = (char)(x & 255); }
    }
    return k;
}
static inline vocab_text vocab_letters(vocab *v, vocab_text t) { /* bytes in the alphabet of GPT-2 (encoder.py, bytes_to_unicode) */
    char *q = (char *)vocab_room(v, 2 * t.n_bytes + 1, 1), *to = q; size_t i;
    for (i = 0; i < t.n_bytes; i++) {
        unsigned b = (unsigned char)t.text[i];
        to = json_put_utf8(to, (b >= 33 && b <= 126) || (b >= 161 && b != 173) ? b : b < 33 ? 256 + b : b < 161 ? 256 + b - 127 + 33 : 256 + 67);
    }
    *to = 0;
    return vocab_str(q, (size_t)(to - q));
}
/* Where the two parts meet that make token `rank` in the last step; 0: merges do not get there. Part i goes from at[i] to at[i + 1], pair[i] is
 * the rank of parts i and i + 1 together. */
static inline int vocab_pair(const vocab_map *map, const vocab_text *raw, int rank, const int *at, int i) {
    int made = vocab_find(map, raw, raw[rank].text + at[i], (size_t)(at[i + 2] - at[i]));
    return made >= 0 && made < rank ? made : INT_MAX;
}
static inline size_t vocab_halves(const vocab_map *map, const vocab_text *raw, int rank) {
    int at[VOCAB_MAX_TOKEN + 1], pair[VOCAB_MAX_TOKEN + 1]; int n = (int)raw[rank].n_bytes, i, best;
    for (i = 0; i <= n; i++) { at[i] = i; pair[i] = INT_MAX; }
    for (i = 0; i + 2 <= n; i++) pair[i] = vocab_pair(map, raw, rank, at, i);
    for (; n > 2; n--) {
        for (best = 0, i = 1; i + 2 <= n; i++) if (pair[i] < pair[best]) best = i;
        if (pair[best] == INT_MAX) return 0;
        for (i = best + 1; i < n; i++) { at[i] = at[i + 1]; pair[i] = pair[i + 1]; } /* the boundary between the two goes */
        pair[best] = best + 3 <= n ? vocab_pair(map, raw, rank, at, best) : INT_MAX;
        if (best > 0) pair[best - 1] = vocab_pair(map, raw, rank, at, best - 1);
    }
    return (size_t)at[1];
}
static inline void vocab_meta_tokens(vocab *v, int first) {
    char name[64]; int i, known = (int)(sizeof vocab_meta / sizeof *vocab_meta);
    for (i = 0; i < VOCAB_N_META; i++) {
        int n = i < known ? snprintf(name, sizeof name, "<|%s|>", vocab_meta[i])
            : snprintf(name, sizeof name, "<|reserved_special_token_%d|>", 2 + i - known);
        vocab_set(v, first + i, vocab_keep(v, name, (size_t)n), LM_TOKEN_CONTROL, 0);
    }
    v->id[VOCAB_BOS] = first; v->id[VOCAB_EOS] = first + 1; v->id[VOCAB_PAD] = first + 4; v->id[VOCAB_EOM] = first + 8; v->id[VOCAB_EOT] = first + 9;
    v->eot_said = v->add_bos = 1;
}
static inline vocab_text *vocab_read_ranks(vocab *v, const char *path, const char *p, size_t n_bytes, int *count) { /* bytes by rank */
    const char *end = p + n_bytes, *eol, *space; vocab_text *raw; int n = 0, rank, line, len; size_t k; char token[VOCAB_MAX_TOKEN + 3];
    for (eol = p; eol < end; eol++) n += *eol == '\n';
    if (n_bytes && end[-1] != '\n') n++;
    if (n == 0) cli_die("%s: is empty", path);
    raw = (vocab_text *)vocab_room(v, (size_t)n, sizeof *raw);
    memset(raw, 0, (size_t)n * sizeof *raw);
    for (line = 1; p < end; p = eol + 1, line++) {
        eol = (const char *)memchr(p, '\n', (size_t)(end - p)); if (eol == NULL) eol = end;
        k = (size_t)(eol - p); if (k && p[k - 1] == '\r') k--;
        space = (const char *)memchr(p, ' ', k);
        if (space == NULL || !cli_int(space + 1, (size_t)(p + k - space - 1), 0, INT_MAX, &rank)) {
            cli_die("%s: line %d: expected a token in base64, a space and its rank", path, line);
            return NULL;
        }
        len = (size_t)(space - p) > (VOCAB_MAX_TOKEN + 2) / 3 * 4 ? VOCAB_MAX_TOKEN + 1 : vocab_base64(p, (size_t)(space - p), token);
        if (len <= 0) cli_die("%s: line %d: a token that is not base64", path, line);
        if (len > VOCAB_MAX_TOKEN) cli_die("%s: line %d: a token of more than %d bytes", path, line, VOCAB_MAX_TOKEN);
        if (rank >= n) cli_die("%s: line %d: rank %d, but there are %d tokens", path, line, rank, n);
        if (raw[rank].text) cli_die("%s: line %d: rank %d comes twice", path, line, rank);
        raw[rank] = vocab_keep(v, token, (size_t)len);
    }
    *count = n;
    return raw;
}
static inline void vocab_load_tiktoken(vocab *v, const char *path, const char *p, size_t n_bytes, const char *pre, int n_vocab) {
    vocab_text *raw; vocab_map map; int n, i, old, bytes = 0;
    v->file = path; v->pre = pre ? pre : "llama-bpe";
    raw = vocab_read_ranks(v, path, p, n_bytes, &n);
    vocab_map_make(v, &map, n);
    for (i = 0; i < n; i++) {
        old = vocab_put(&map, raw, i);
        if (old >= 0) cli_die("%s: ranks %d and %d are one token", path, old, i);
        bytes += raw[i].n_bytes == 1;
    }
    if (bytes != 256) cli_die("%s: %d of the 256 single bytes have no token", path, 256 - bytes);
    if (n_vocab >= 0 && n_vocab < n + VOCAB_N_META)
        cli_die("%s: %d tokens and %d special ones, but the model has %d", path, n, VOCAB_N_META, n_vocab);
    vocab_begin(v, "gpt2", n + VOCAB_N_META, n_vocab);
    for (i = 0; i < n; i++) vocab_set(v, i, vocab_letters(v, raw[i]), LM_TOKEN_NORMAL, 0);
    v->merge = (vocab_text *)vocab_room(v, (size_t)n, sizeof *v->merge);
    for (i = 0; i < n; i++) {
        size_t half = raw[i].n_bytes > 1 ? vocab_halves(&map, raw, i) : 0; vocab_text a, b;
        if (half == 0) continue;      /* a word as a whole still becomes this token */
        a = vocab_letters(v, vocab_str(raw[i].text, half)); b = vocab_letters(v, vocab_str(raw[i].text + half, raw[i].n_bytes - half));
        v->merge[v->n_merge++] = vocab_merge_text(v, a, b);
    }
    vocab_meta_tokens(v, n);
    vocab_end(v);
}

/* ---- llama2.c's tokenizer.bin: int32 longest; then for each id float32 score, int32 bytes, the bytes, with spaces as they are */
static inline uint32_t vocab_u32(const char *p) {
    const unsigned char *b = (const unsigned char *)p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline void vocab_begin_load(vocab *v, const char *folder) {
    int i;
    memset(v, 0, sizeof *v);
    v->folder = folder; v->model = "no_vocab"; v->add_bos = v->add_eos = v->space = v->unk = -1;
    for (i = 0; i < VOCAB_N_IDS; i++) v->id[i] = -1;
}
static inline void vocab_load_bin(vocab *v, const char *path, int n_vocab) {
    size_t n_bytes, at = 4, len, most; const char *p; int i;
    vocab_begin_load(v, "");
    v->file = path; v->pre = "default";
    p = v->bytes = cli_read(path, &n_bytes);
    if (n_bytes > VOCAB_MAX_FILE) cli_die("%s: longer than %lu bytes", path, (unsigned long)VOCAB_MAX_FILE);
    if (n_bytes < 4) cli_die("%s: ends before its first token", path);
    most = vocab_u32(p);
    if (n_vocab < 0) { /* count them */
        for (n_vocab = 0; n_bytes - at >= 8 && vocab_u32(p + at + 4) <= n_bytes - at - 8; n_vocab++) at += 8 + vocab_u32(p + at + 4);
        at = 4;
    }
    if ((size_t)n_vocab > n_bytes / 9) cli_die("%s: %lu bytes cannot hold the model's %d tokens", path, (unsigned long)n_bytes, n_vocab);
    vocab_begin(v, "llama", n_vocab, n_vocab);
    for (i = 0; i < n_vocab; i++, at += len) {
        vocab_text t; float score; int type = LM_TOKEN_NORMAL;
        if (n_bytes - at < 8) { cli_die("%s: ends before token %d of %d", path, i, n_vocab); return; }
        score = vocab_float(vocab_u32(p + at)); len = vocab_u32(p + at + 4); at += 8;
        if (len == 0 || len > most || len > n_bytes - at)
            cli_die("%s: token %d: %lu bytes, %lu are left and the longest has %lu", path, i, (unsigned long)len, (unsigned long)(n_bytes - at),
                (unsigned long)most);
        t = vocab_keep(v, p + at, len);
        if (!(score >= -FLT_MAX && score <= FLT_MAX)) cli_die("%s: token %d: its score is not finite", path, i);
        if (!vocab_is_utf8(t) || strlen(t.text) != len) cli_die("%s: token %d is not UTF-8, or has a NUL byte", path, i);
        if (i == 0) { t = vocab_str("<unk>", 5); type = LM_TOKEN_UNKNOWN; }
        else if (i < 3) { t = i == 1 ? vocab_str("<s>", 3) : vocab_str("</s>", 4); type = LM_TOKEN_CONTROL; }
        else if (vocab_is_byte(t)) type = LM_TOKEN_BYTE;
        else t = vocab_replace(v, t, " ", VOCAB_LOW);
        vocab_set(v, i, t, type, score);
    }
    if (at != n_bytes) cli_die("%s: goes on behind the model's %d tokens", path, n_vocab);
    v->id[VOCAB_UNK] = n_vocab > 0 ? 0 : -1; v->id[VOCAB_BOS] = n_vocab > 1 ? 1 : -1; v->id[VOCAB_EOS] = n_vocab > 2 ? 2 : -1;
    vocab_end(v);
}

/* ---- tokenizer.json. The pre-tokenizer: its steps, each as one regular expression that cuts the text, tell its name. Expressions are compared
 * in one spelling: contractions as below, line ends as \r and \n, other characters as themselves. */
#define VOCAB_RE_ENGLISH "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define VOCAB_RE_WHITE   "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define VOCAB_RE_GPT2    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define VOCAB_RE_WORDS(numbers) VOCAB_RE_ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" VOCAB_RE_WHITE
#define VOCAB_RE_UPPER   "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define VOCAB_RE_LOWER   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define VOCAB_RE_CASED(english, numbers) "[^\\r\\n\\p{L}\\p{N}]?" VOCAB_RE_UPPER "*" VOCAB_RE_LOWER "+" english "|[^\\r\\n\\p{L}\\p{N}]?" \
    VOCAB_RE_UPPER "+" VOCAB_RE_LOWER "*" english "|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" VOCAB_RE_WHITE
#define VOCAB_RE_PUNCT   "<punctuation>+"  /* the step Punctuation(Contiguous) has no expression of its own */
#define VOCAB_RE_HAN     "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+"
#define VOCAB_RE_BLOOM   ".,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c"
static const struct { const char *name, *steps; int nfc, whole; } vocab_pres[] = { /* whole: "ignore_merges"; -1: either */
    { "llama-bpe", VOCAB_RE_WORDS("\\p{N}{1,3}"), 0, 1 },
    { "smaug-bpe", VOCAB_RE_WORDS("\\p{N}{1,3}"), 0, 0 },
    { "gpt-2", VOCAB_RE_GPT2, 0, -1 },
    { "smollm", "\\p{N}\n" VOCAB_RE_GPT2, 0, -1 },
    { "qwen2", VOCAB_RE_WORDS("\\p{N}"), 1, -1 },
    { "stablelm2", VOCAB_RE_WORDS("\\p{N}"), 0, -1 },
    { "tekken", VOCAB_RE_CASED("", "\\p{N}"), 0, -1 },
    { "gpt-4o", VOCAB_RE_CASED(VOCAB_RE_ENGLISH "?", "\\p{N}{1,3}"), 0, -1 },
    { "deepseek-coder", "[\\r\\n]\n\\s?\\p{L}+\n\\s?\\p{P}+\n" VOCAB_RE_HAN "\n\\p{N}", 0, -1 },
    { "deepseek-v3", "\\p{N}{1,3}\n[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+\n"
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
        " ?[\\p{P}\\p{S}]+[\\r\\n]*|" VOCAB_RE_WHITE, 0, -1 },
    { "falcon", VOCAB_RE_PUNCT "\n" VOCAB_RE_GPT2 "\n\\p{N}+\n[0-9][0-9][0-9]", 0, -1 },
    { "bloom", " ?[^(\\s|[" VOCAB_RE_BLOOM "])]+", 0, -1 },
    { "viking", " ?[^(\\s|[" VOCAB_RE_BLOOM "])]+\n\\p{N}", 0, -1 },
    { "seed-coder", VOCAB_RE_ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" VOCAB_RE_WHITE, 0, -1 }
};
static inline vocab_text vocab_spelling(vocab *v, vocab_text t) {
    static const char *const english[] = { "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", "'(?i:[sdmt]|ll|ve|re)" };
    char *q = (char *)vocab_room(v, 2 * t.n_bytes + 1, 1), *to = q; size_t i, k;
    for (i = 0; i < t.n_bytes; i++) {
        char c = t.text[i]; uint32_t cp = 0;
        if (c == '\r') { *to++ = '\\'; *to++ = 'r'; continue; }
        if (c == '\n') { *to++ = '\\'; *to++ = 'n'; continue; }
        *to++ = c;
        if (c != '\\' || i + 1 == t.n_bytes) continue;
        c = t.text[++i]; *to++ = c;   /* an escape and its character stay together */
        for (k = 1; c == 'u' && k <= 4 && i + k < t.n_bytes && vocab_hex(t.text[i + k]) >= 0; k++) cp = cp << 4 | (uint32_t)vocab_hex(t.text[i + k]);
        if (k == 5 && (cp < 0xd800 || cp > 0xdfff)) { to = json_put_utf8(to - 2, cp); i += 4; }
    }
    *to = 0; t = vocab_str(q, (size_t)(to - q));
    for (k = 0; k < sizeof english / sizeof *english; k++) t = vocab_replace(v, t, english[k], VOCAB_RE_ENGLISH);
    return t;
}
typedef struct vocab_steps { char text[4096]; size_t n; int byte_level, space; } vocab_steps;
static inline void vocab_step(const json_doc *d, const json *at, vocab_steps *s, const char *expr) {
    size_t n = strlen(expr);
    if (n + 2 > sizeof s->text - s->n) { json_die(d, at, NULL, "steps of more than %lu bytes", (unsigned long)sizeof s->text); return; }
    if (s->n) s->text[s->n++] = '\n';
    memcpy(s->text + s->n, expr, n + 1); s->n += n;
}
static inline const char *vocab_type(const json_doc *d, const json *v) { return json_text(d, json_as(d, v, JSON_OBJECT), "type", "?"); }
static inline void vocab_read_split(vocab *v, const json *p, vocab_steps *s) {
    const json_doc *d = &v->tokenizer; const json *expr = json_get(json_need(d, p, "pattern", JSON_OBJECT), "Regex"); const char *how; vocab_text t;
    if (expr == NULL) { json_die(d, p, NULL, "splitting at a text cannot be represented (--pre NAME chooses a pre-tokenizer)"); return; }
    t = vocab_spelling(v, vocab_json_text(d, expr)); how = json_text(d, p, "behavior", "?");
    /* "Removed" and inverted keeps the matches alone, which is all of the text where the expression matches everything */
    if (json_bool(d, p, "invert", 0) ? strcmp(how, "Removed") != 0 || !vocab_ends(t, "|\\s+") : strcmp(how, "Isolated") != 0)
        json_die(d, p, NULL, "the behavior %.40s cannot be represented (--pre NAME chooses a pre-tokenizer)", how);
    vocab_step(d, p, s, t.text);
}
static inline void vocab_read_step(vocab *v, const json *p, vocab_steps *s) {
    const json_doc *d = &v->tokenizer; const char *type = vocab_type(d, p); const json *list; uint32_t i;
    if (strcmp(type, "Sequence") == 0) {
        list = json_need(d, p, "pretokenizers", JSON_LIST);
        for (i = 0; i < list->n; i++) vocab_read_step(v, &list->v.item[i], s); /* JSON_MAX_DEPTH bounds this */
    } else if (strcmp(type, "ByteLevel") == 0) {
        s->byte_level = 1; s->space |= json_bool(d, p, "add_prefix_space", 1);
        if (json_bool(d, p, "use_regex", 1)) vocab_step(d, p, s, VOCAB_RE_GPT2);
    } else if (strcmp(type, "Digits") == 0) vocab_step(d, p, s, json_bool(d, p, "individual_digits", 0) ? "\\p{N}" : "\\p{N}+");
    else if (strcmp(type, "Split") == 0) vocab_read_split(v, p, s);
    else if (strcmp(type, "Punctuation") == 0 && strcmp(json_text(d, p, "behavior", ""), "Contiguous") == 0) vocab_step(d, p, s, VOCAB_RE_PUNCT);
    else json_die(d, p, NULL, "%.60s cannot be represented (--pre NAME chooses a pre-tokenizer)", type);
}
static inline int vocab_normalizer(const json_doc *d, const json *p) { /* 1: NFC, 0: none */
    const json *list; uint32_t i; int nfc = 0; const char *type;
    if (p == NULL) return 0;
    type = vocab_type(d, p);
    if (strcmp(type, "NFC") == 0) return 1;
    if (strcmp(type, "Sequence") != 0) json_die(d, p, NULL, "%.60s cannot be represented (--pre NAME passes over it)", type);
    list = json_need(d, p, "normalizers", JSON_LIST);
    for (i = 0; i < list->n; i++) nfc |= vocab_normalizer(d, &list->v.item[i]);
    return nfc;
}
static inline const char *vocab_find_pre(vocab *v, const json *model) {
    const json_doc *d = &v->tokenizer; const json *p = json_opt(d, d->root, "pre_tokenizer", JSON_OBJECT); vocab_steps s; size_t i; int nfc, whole;
    memset(&s, 0, sizeof s);
    nfc = vocab_normalizer(d, json_opt(d, d->root, "normalizer", JSON_OBJECT)); whole = json_bool(d, model, "ignore_merges", 0);
    if (p) vocab_read_step(v, p, &s);
    if (!s.byte_level) json_die(d, model, NULL, "has neither byte fallback nor a byte-level pre-tokenizer: it cannot be represented");
    if (s.space) json_die(d, p, NULL, "add_prefix_space cannot be represented (--pre NAME passes over it)");
    for (i = 0; i < sizeof vocab_pres / sizeof *vocab_pres; i++)
        if (strcmp(vocab_pres[i].steps, s.text) == 0 && vocab_pres[i].nfc == nfc && (vocab_pres[i].whole < 0 || vocab_pres[i].whole == whole))
            return vocab_pres[i].name;
    for (i = 0; s.text[i]; i++) if (s.text[i] == '\n') s.text[i] = ' '; /* between steps */
    cli_die("%.300s: pre_tokenizer: no name is known for %s%.500s (--pre NAME gives one)", d->name, nfc ? "NFC and " : "", s.text);
    return NULL;
}

/* ---- tokenizer.json: the parts of "llama" that stand for SentencePiece */
/* A normalizer or pre-tokenizer: 1 if it puts U+2581 before the text. *replaced: U+2581 stands for every space from here on. Metaspace puts
 * none before a text that begins with a space, which GGUF cannot say. */
static inline int vocab_spaces(const json_doc *d, const json *p, int *replaced) {
    const json *list; uint32_t i; int prefix = 0; const char *type;
    if (p == NULL) return 0;
    type = vocab_type(d, p);
    if (strcmp(type, "Sequence") == 0) {
        list = json_get(p, "normalizers");
        list = list ? json_as(d, list, JSON_LIST) : json_need(d, p, "pretokenizers", JSON_LIST);
        for (i = 0; i < list->n; i++) prefix |= vocab_spaces(d, &list->v.item[i], replaced); /* JSON_MAX_DEPTH bounds this */
        return prefix;
    }
    if (strcmp(type, "Prepend") == 0 && strcmp(json_text(d, p, "prepend", ""), VOCAB_LOW) == 0) return 1;
    if (strcmp(type, "Metaspace") == 0 && strcmp(json_text(d, p, "replacement", ""), VOCAB_LOW) == 0 && !json_bool(d, p, "split", 1)) {
        *replaced = 1;
        return strcmp(json_text(d, p, "prepend_scheme", json_bool(d, p, "add_prefix_space", 1) ? "always" : "never"), "never") != 0;
    }
    if (strcmp(json_text(d, json_opt(d, p, "pattern", JSON_OBJECT), "String", ""), " ") == 0) {
        if (strcmp(type, "Split") == 0 && *replaced) return 0; /* no space is left to split at */
        if (strcmp(type, "Replace") == 0 && strcmp(json_text(d, p, "content", ""), VOCAB_LOW) == 0) { *replaced = 1; return 0; }
    }
    json_die(d, p, NULL, "%.60s cannot be represented with byte fallback", type);
    return 0;
}
/* Scores from the order of merges, as SentencePiece's trainer gives them: 0, -1, -2 ... in the order in which tokens are first made, then the
 * single characters. A longer token that no merge makes (older converters dropped the merges of the first) comes between its neighbours by id.
 * A score is of a token, a merge of a pair: where not every pair that makes a token is a merge, some texts come out otherwise. */
static inline int vocab_single(vocab_text t) { size_t len; uint32_t cp; return cli_utf8(t.text, t.n_bytes, &len, &cp) == 1 && len == t.n_bytes; }
static inline int vocab_odd_pairs(vocab *v, const vocab_map *merges, vocab_text t) { /* pairs that make t and are no merge */
    char *buf = vocab_scratch(v, t.n_bytes + 1); size_t c; int a, b, odd = 0;
    if (t.n_bytes > 64) return 0;     /* not worth the time */
    for (c = 1; c < t.n_bytes; c++) {
        a = (t.text[c] & 0xc0) == 0x80 ? -1 : vocab_find(&v->map, v->token, t.text, c);
        b = a < 0 ? -1 : vocab_find(&v->map, v->token, t.text + c, t.n_bytes - c);
        if (b < 0 || v->type[a] != LM_TOKEN_NORMAL || v->type[b] != LM_TOKEN_NORMAL) continue;
        memcpy(buf, t.text, c); buf[c] = ' '; memcpy(buf + c + 1, t.text + c, t.n_bytes - c);
        odd += vocab_find(merges, v->merge, buf, t.n_bytes + 1) < 0;
    }
    return odd;
}
static inline void vocab_scores(vocab *v, const int *made) { /* made[i]: the token of merge i */
    vocab_map map; int i, k = 0, last = -1, odd = 0; float above = 1;
    vocab_map_make(v, &map, v->n_merge);
    for (i = 0; i < v->n; i++) if (v->type[i] == LM_TOKEN_NORMAL) v->score[i] = 1; /* 1: not yet */
    for (i = 0; i < v->n_merge; last = made[i++]) {
        if (vocab_put(&map, v->merge, i) >= 0 || v->type[made[i]] != LM_TOKEN_NORMAL) continue;
        if (v->score[made[i]] > 0) v->score[made[i]] = -(float)k++; else odd += made[i] != last;
    }
    for (i = v->n - 1; i >= 0; i--) {
        if (v->type[i] != LM_TOKEN_NORMAL) continue;
        odd += vocab_odd_pairs(v, &map, v->token[i]);
        if (v->score[i] <= 0) above = v->score[i];
        else if (above <= 0 && !vocab_single(v->token[i])) v->score[i] = above + 0.5f;
    }
    for (i = 0; i < v->n; i++) if (v->type[i] == LM_TOKEN_NORMAL && v->score[i] >= 1) v->score[i] = -(float)k++;
    if (odd) vocab_note(v, "%s: %d pairs of tokens merge by their scores otherwise than by its merges: some texts get other ids", v->file, odd);
}

/* ---- tokenizer.json: tokens and merges */
#define VOCAB_SPACE "\xc4\xa0"        /* U+0120, the space of the byte alphabet */
static inline int vocab_word(const json_doc *d, const json *merge, const json *words, vocab_text t) { /* its id */
    const json *id = json_find(words, t.text, t.n_bytes);
    if (id == NULL)
        json_die(d, merge, NULL, "\"%.*s\" is no token", (int)(t.n_bytes < 80 ? t.n_bytes : 80), t.text);
    return (int)json_as_int(d, id, 0, INT_MAX);
}
static inline int *vocab_merges(vocab *v, const json *model, const json *words, int spm) { /* the tokens that they make */
    const json_doc *d = &v->tokenizer; const json *list = json_need(d, model, "merges", JSON_LIST); uint32_t i; char *buf;
    int *made = (int *)vocab_room(v, list->n, sizeof *made);
    v->merge = (vocab_text *)vocab_room(v, list->n, sizeof *v->merge);
    for (i = 0; i < list->n; i++) {
        const json *m = &list->v.item[i]; vocab_text a, b, c; const char *space;
        if (m->kind == JSON_LIST && m->n == 2) { a = vocab_json_text(d, &m->v.item[0]); b = vocab_json_text(d, &m->v.item[1]); }
        else {
            json_as(d, m, JSON_STRING);
            space = (const char *)memchr(m->v.text, ' ', m->n);
            if (space == NULL || memchr(space + 1, ' ', m->n - (size_t)(space + 1 - m->v.text))) {
                json_die(d, m, NULL, "expected two tokens and one space between");
                return NULL;
            }
            a = vocab_str(m->v.text, (size_t)(space - m->v.text)); b = vocab_str(space + 1, m->n - a.n_bytes - 1);
        }
        buf = vocab_scratch(v, a.n_bytes + b.n_bytes + 1);
        memcpy(buf, a.text, a.n_bytes); memcpy(buf + a.n_bytes, b.text, b.n_bytes);
        c = vocab_str(buf, a.n_bytes + b.n_bytes);
        vocab_word(d, m, words, a); vocab_word(d, m, words, b); made[i] = vocab_word(d, m, words, c);
        if (spm && memchr(buf, ' ', c.n_bytes)) json_die(d, m, NULL, "a space in a token cannot be represented with byte fallback");
        v->merge[v->n_merge++] = m->kind == JSON_STRING ? vocab_str(m->v.text, m->n)
            : vocab_merge_text(v, vocab_replace(v, a, " ", VOCAB_SPACE), vocab_replace(v, b, " ", VOCAB_SPACE));
    }
    return made;
}
static inline int vocab_top_id(const json_doc *d, const json *words, const json *added, int n_vocab) { /* one more than the largest id */
    uint32_t i; int64_t id; int top = 0, n = (int)words->n + (added ? (int)added->n : 0);
    for (i = 0; i < words->n; i++) {
        id = json_as_int(d, &words->v.item[i], 0, n_vocab >= 0 ? n_vocab - 1 : n + VOCAB_MAX_PADS);
        if (id >= top) top = (int)id + 1;
    }
    for (i = 0; added && i < added->n; i++) {
        const json *item = json_as(d, &added->v.item[i], JSON_OBJECT);
        id = json_as_int(d, json_need(d, item, "id", JSON_NUMBER), 0, n_vocab >= 0 ? INT_MAX : n + VOCAB_MAX_PADS);
        if (id >= top && (n_vocab < 0 || id < n_vocab)) top = (int)id + 1;
    }
    return top;
}
static inline void vocab_added(vocab *v, const json *words, const json *added, int spm) {
    const json_doc *d = &v->tokenizer; uint32_t i; const json *strips = NULL;
    for (i = 0; added && i < added->n; i++) {
        const json *item = &added->v.item[i], *old; int id = (int)json_as_int(d, json_need(d, item, "id", JSON_NUMBER), 0, INT_MAX);
        vocab_text t = vocab_json_text(d, json_need(d, item, "content", JSON_STRING));
        if (t.n_bytes == 0) json_die(d, item, NULL, "a token without text");
        if (id >= v->n) { vocab_beyond(v, d, t, id); continue; }
        old = json_find(words, t.text, t.n_bytes);
        if (old ? json_as_int(d, old, 0, INT_MAX) != id : v->token[id].text != NULL)
            json_die(d, item, NULL, "id %d is not that of \"%.60s\" in model.vocab, or taken", id, t.text);
        if (spm && old && v->type[id] == LM_TOKEN_UNKNOWN) continue;
        vocab_add(v, id, t, json_bool(d, item, "special", 0), old ? 0.0f : -1000.0f);
        if (json_bool(d, item, "lstrip", 0) || json_bool(d, item, "rstrip", 0) || json_bool(d, item, "single_word", 0)) strips = item;
    }
    if (strips) vocab_note(v, "%s: lstrip, rstrip and single_word of added tokens (\"%.60s\") are not kept", d->name,
        json_text(d, strips, "content", ""));
}
static inline void vocab_load_json(vocab *v, const char *pre, int n_vocab) {
    const json_doc *d = &v->tokenizer; const json *model = json_need(d, d->root, "model", JSON_OBJECT), *words, *added, *norm, *pre_json;
    uint32_t i; int spm, replaced = 0, *made; const char *kind, *unk;
    v->file = d->name;
    kind = json_text(d, model, "type", "BPE");
    if (strcmp(kind, "BPE") != 0) json_die(d, model, "type", "%.60s cannot be represented, only BPE", kind);
    if (json_text(d, model, "continuing_subword_prefix", "")[0]) json_die(d, model, "continuing_subword_prefix", "cannot be represented");
    if (json_text(d, model, "end_of_word_suffix", "")[0]) json_die(d, model, "end_of_word_suffix", "cannot be represented");
    if (json_real(d, model, "dropout", 0, 1, 0) > 0) json_die(d, model, "dropout", "cannot be represented");
    spm = json_bool(d, model, "byte_fallback", 0); unk = json_text(d, model, "unk_token", "");
    words = json_need(d, model, "vocab", JSON_OBJECT); added = json_opt(d, d->root, "added_tokens", JSON_LIST);
    vocab_begin(v, spm ? "llama" : "gpt2", vocab_top_id(d, words, added, n_vocab), n_vocab);
    for (i = 0; i < words->n; i++) {
        const json *w = &words->v.item[i]; int id = (int)json_as_int(d, w, 0, v->n - 1); vocab_text t = vocab_str(w->key, w->n_key);
        if (v->token[id].text) json_die(d, w, NULL, "id %d is also that of \"%.60s\"", id, v->token[id].text);
        vocab_set(v, id, t, spm && vocab_is_byte(t) ? LM_TOKEN_BYTE : LM_TOKEN_NORMAL, 0);
        if (spm && vocab_is(t, unk)) { v->type[id] = LM_TOKEN_UNKNOWN; v->unk = id; }
    }
    made = vocab_merges(v, model, words, spm);
    if (spm) {
        norm = json_opt(d, d->root, "normalizer", JSON_OBJECT); pre_json = json_opt(d, d->root, "pre_tokenizer", JSON_OBJECT);
        v->pre = "default"; v->space = vocab_spaces(d, norm, &replaced); v->space = v->space | vocab_spaces(d, pre_json, &replaced) ? -1 : 0;
        if (!replaced) json_die(d, model, NULL, "keeps spaces as they are, which cannot be represented with byte fallback");
    } else v->pre = pre ? pre : vocab_find_pre(v, model);
    vocab_added(v, words, added, spm);
    vocab_add_decoder(v, 0);
    vocab_end(v);
    if (spm) { vocab_scores(v, made); v->n_merge = 0; }
}

/* ---- what stands around the text, and the tokens with a part to play */
static const char *const vocab_names[VOCAB_N_NAMED] = { "bos", "eos", "unk", "sep", "pad", "cls", "mask" };
static inline const char *vocab_named(const json_doc *d, const char *name, const char *what) { /* "bos_token": a text, or {"content": text} */
    char key[32]; const json *t;
    if (d->root == NULL) return NULL;
    snprintf(key, sizeof key, "%s_%s", name, what);
    t = json_get(d->root, key);
    if (t && t->kind == JSON_OBJECT) return json_text(d, t, "content", NULL);
    return t && t->kind == JSON_STRING ? json_text(d, d->root, key, NULL) : NULL;
}
static inline int vocab_added_id(const vocab *v, const char *text) { /* among tokenizer.json's added tokens */
    const json_doc *d = &v->tokenizer; const json *added = d->root ? json_opt(d, d->root, "added_tokens", JSON_LIST) : NULL; uint32_t i; int64_t id;
    for (i = 0; text && added && i < added->n; i++) {
        const json *item = json_as(d, &added->v.item[i], JSON_OBJECT);
        if (strcmp(json_text(d, item, "content", ""), text) != 0) continue;
        id = json_int(d, item, "id", 0, INT_MAX, -1);
        return id < v->n ? (int)id : -1;
    }
    return -1;
}
static inline const char *vocab_template_end(const json_doc *d, const json *single, int last) { /* the special token at an end of the text */
    const json *o = json_as(d, &single->v.item[last ? single->n - 1 : 0], JSON_OBJECT), *t = json_opt(d, o, "SpecialToken", JSON_OBJECT);
    return t && single->n > 1 ? json_text(d, t, "id", NULL) : NULL;
}
static inline void vocab_processor(vocab *v, const json *p, const char **bos, const char **eos, const char **eot) {
    const json_doc *d = &v->tokenizer; const char *type = vocab_type(d, p), *first, *last; const json *list; uint32_t i; int specials = 0;
    if (strcmp(type, "Sequence") == 0) {
        list = json_need(d, p, "processors", JSON_LIST);
        for (i = 0; i < list->n; i++) vocab_processor(v, &list->v.item[i], bos, eos, eot);
    } else if (strcmp(type, "ByteLevel") == 0) {
        if (v->add_bos < 0) v->add_bos = 0;
        if (v->add_eos < 0) v->add_eos = 0;
    } else if (strcmp(type, "TemplateProcessing") == 0) {
        list = json_need(d, p, "single", JSON_LIST);
        if (list->n == 0) return;
        for (i = 0; i < list->n; i++) specials += json_get(json_as(d, &list->v.item[i], JSON_OBJECT), "SpecialToken") != NULL;
        first = vocab_template_end(d, list, 0); last = vocab_template_end(d, list, 1);
        if (specials != (first != NULL) + (last != NULL) || list->n != (uint32_t)specials + 1)
            json_die(d, list, NULL, "more than one token before or after the text cannot be represented");
        if (first) {
            if (*bos && strcmp(*bos, first) != 0) vocab_note(v, "%s: \"%.60s\" is put before texts, not bos_token \"%.60s\"", d->name, first, *bos);
            *bos = first; v->add_bos = 1;
        }
        if (last) {
            if (*eos && strcmp(*eos, last) != 0) *eot = *eos;
            *eos = last; v->add_eos = 1;
        }
    } else json_die(d, p, NULL, "%.60s cannot be represented", type);
}
static inline int vocab_checked(vocab *v, const json_doc *d, const char *key, const json *value) { /* an id, or -1 */
    int64_t id;
    if (value == NULL || value->kind == JSON_NULL || value->kind == JSON_LIST) return -1;
    id = json_as_int(d, value, INT_MIN, UINT32_MAX);
    if (id >= v->n) vocab_note(v, "%s: %s is passed over: it is %.0f and there are %d tokens", d->name, key, (double)id, v->n);
    return id >= 0 && id < v->n ? (int)id : -1;
}
static inline const json *vocab_config_id(const json_doc *d, const char *name) { /* bos_token_id, at the top or in text_config */
    char key[32]; const json *t;
    snprintf(key, sizeof key, "%s_token_id", name);
    if (d->root == NULL) return NULL;
    t = json_get(d->root, key);
    return t && t->kind != JSON_NULL ? t : json_get(json_get(d->root, "text_config"), key);
}
/* Texts that end a generation, which readers know: the first list is that of EOT, in its order (llama.cpp has the same lists). */
#define VOCAB_DEEPSEEK_END "<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>"
#define VOCAB_N_EOT 11
static const char *const vocab_eot_texts[] = { "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
    "_<EOT>", "[EOT]", VOCAB_DEEPSEEK_END, "<end_of_utterance>", "<|eom_id|>", "<|return|>", "<|call|>", "</s>", "[EOS]", "<eos>" };
static inline int vocab_known_end(const vocab *v, int id) {
    size_t i;
    for (i = 0; i < sizeof vocab_eot_texts / sizeof *vocab_eot_texts; i++) if (vocab_is(v->token[id], vocab_eot_texts[i])) return 1;
    return 0;
}
static inline int vocab_control(const vocab *v, const char *text) { /* a token that stands for itself, or -1 */
    int id = vocab_token_id(v, text);
    return id >= 0 && (v->type[id] == LM_TOKEN_CONTROL || v->type[id] == LM_TOKEN_USER) ? id : -1;
}
/* A list of eos_token_id: the first is EOS if there is none yet; those that readers do not know by their texts become EOT and EOM. */
static inline void vocab_ends_list(vocab *v, const json_doc *d, const json *list) {
    uint32_t i; int id;
    if (list == NULL || list->kind != JSON_LIST) return;
    for (i = 0; i < list->n; i++) {
        id = vocab_checked(v, d, "eos_token_id", json_as(d, &list->v.item[i], JSON_NUMBER));
        if (id < 0) continue;
        if (v->id[VOCAB_EOS] < 0) { v->id[VOCAB_EOS] = id; continue; }
        if (id == v->id[VOCAB_EOS] || id == v->id[VOCAB_EOT] || id == v->id[VOCAB_EOM] || vocab_known_end(v, id)) continue;
        if (v->id[VOCAB_EOT] < 0) v->id[VOCAB_EOT] = id;
        else if (v->id[VOCAB_EOM] < 0) v->id[VOCAB_EOM] = id;
        else { vocab_note(v, "%s: eos_token_id: token %d is not kept as an end", d->name, id); continue; }
        v->eot_said = 1;
    }
}
static inline void vocab_code_llama(vocab *v) { /* Code Llama's end of infilling; llama.cpp's converter goes by the number of tokens alone */
    if (v->n != 32016 || v->id[VOCAB_EOT] >= 0 || !(vocab_is(v->token[32010], VOCAB_LOW "<EOT>") || vocab_is(v->token[32010], " <EOT>"))) return;
    v->id[VOCAB_EOT] = 32010; v->eot_said = 1;
}
/* "PreTrainedTokenizerFast" does what tokenizer.json says and nothing else; other classes have rules of their own, as Llama's that BOS is added. */
static inline int vocab_plain(const vocab *v) {
    return !v->config.root || strcmp(json_text(&v->config, v->config.root, "tokenizer_class", ""), "PreTrainedTokenizerFast") == 0;
}
static inline void vocab_around(vocab *v, int from_json) { /* BOS, EOS and the space, after the post-processor */
    const json_doc *d = &v->config; int gpt2 = strcmp(v->model, "gpt2") == 0;
    if (d->root) {
        if (v->add_bos < 0) v->add_bos = json_bool(d, d->root, "add_bos_token", -1);
        if (v->add_eos < 0) v->add_eos = json_bool(d, d->root, "add_eos_token", -1);
        if (gpt2 || !from_json || !vocab_plain(v)) v->space = json_bool(d, d->root, "add_prefix_space", v->space);
    }
    if (v->add_bos >= 0 || !from_json) return;
    /* nothing said, and tokenizer.json adds none, but the reader's default may be that it is added. 49152: as llama.cpp's converter has it */
    if (gpt2 ? strcmp(v->pre, "llama-bpe") == 0 || strcmp(v->pre, "tekken") == 0 || v->n == 49152 : vocab_plain(v)) v->add_bos = 0;
}
static inline void vocab_ids(vocab *v, int from_json) {
    json_doc own, generation, map; const char *text[VOCAB_N_NAMED], *eot = NULL; int i, id; const json_doc *d = &v->tokenizer; const json *p;
    memset(&own, 0, sizeof own); memset(&generation, 0, sizeof generation); memset(&map, 0, sizeof map);
    for (i = 0; i < VOCAB_N_NAMED; i++) text[i] = vocab_named(&v->config, vocab_names[i], "token");
    if (text[VOCAB_BOS] == NULL) text[VOCAB_BOS] = text[VOCAB_CLS];
    if (text[VOCAB_EOS] == NULL) text[VOCAB_EOS] = text[VOCAB_SEP];
    p = d->root ? json_opt(d, d->root, "post_processor", JSON_OBJECT) : NULL;
    if (p) vocab_processor(v, p, &text[VOCAB_BOS], &text[VOCAB_EOS], &eot);
    vocab_around(v, from_json);
    vocab_open(v, &own, "config.json"); vocab_open(v, &generation, "generation_config.json"); vocab_open(v, &map, "special_tokens_map.json");
    for (i = 0; i < VOCAB_N_NAMED; i++) {
        id = vocab_added_id(v, text[i]);
        if (id < 0) id = vocab_checked(v, &own, vocab_names[i], vocab_config_id(&own, vocab_names[i]));
        if (i == VOCAB_BOS || i == VOCAB_EOS) { /* without these a model cannot be used: every other source */
            if (id < 0 && text[i]) id = vocab_token_id(v, text[i]);
            if (id < 0 && vocab_named(&map, vocab_names[i], "token")) id = vocab_token_id(v, vocab_named(&map, vocab_names[i], "token"));
            if (id < 0) id = vocab_checked(v, &generation, vocab_names[i], vocab_config_id(&generation, vocab_names[i]));
        }
        if (id >= 0) v->id[i] = id;   /* else what the tokenizer itself says */
    }
    if (v->id[VOCAB_UNK] < 0 && v->unk > 0) v->id[VOCAB_UNK] = v->unk; /* 0 is the reader's default */
    if (eot) { v->id[VOCAB_EOT] = vocab_token_id(v, eot); v->eot_said = v->id[VOCAB_EOT] >= 0; }
    vocab_code_llama(v);
    for (i = 0; i < VOCAB_N_EOT && v->id[VOCAB_EOT] < 0; i++) v->id[VOCAB_EOT] = vocab_control(v, vocab_eot_texts[i]);
    if (v->id[VOCAB_EOM] < 0) v->id[VOCAB_EOM] = vocab_control(v, "<|eom_id|>");
    vocab_ends_list(v, &own, vocab_config_id(&own, "eos")); vocab_ends_list(v, &generation, vocab_config_id(&generation, "eos"));
    json_close(&own); json_close(&generation); json_close(&map);
}
/* ---- chat templates */
static inline void vocab_chat(vocab *v, const char *name, const char *text) {
    size_t i, n = strlen(name); char *key = (char *)vocab_room(v, n + 1, 1); int k;
    for (i = 0; i < n; i++) {
        int letter = name[i] | 32;
        key[i] = (name[i] >= '0' && name[i] <= '9') || (letter >= 'a' && letter <= 'z') ? name[i] : '_';
    }
    key[n] = 0;
    if (v->n_chat == VOCAB_MAX_CHATS) cli_die("%s: chat_template: more than %d templates", v->folder, VOCAB_MAX_CHATS);
    for (k = 0; k < v->n_chat; k++)
        if (strcmp(v->chat_name[k], key) == 0) cli_die("%s: chat_template: two templates are called %.60s", v->folder, key);
    v->chat = (vocab_text *)cli_grow(v->chat, (size_t)(v->n_chat + 1) * sizeof *v->chat);
    v->chat_name = (const char **)cli_grow(v->chat_name, (size_t)(v->n_chat + 1) * sizeof *v->chat_name);
    v->chat[v->n_chat] = vocab_keep(v, text, strlen(text)); v->chat_name[v->n_chat++] = key;
}
static inline int vocab_chat_json(vocab *v, const json_doc *d) { /* "chat_template": text, or a list of { name, template } */
    const json *t = json_get(d->root, "chat_template"); uint32_t i;
    if (t == NULL || t->kind == JSON_NULL) return 0;
    if (t->kind != JSON_LIST) { vocab_chat(v, "default", json_text(d, d->root, "chat_template", "")); return 1; }
    for (i = 0; i < t->n; i++) {
        const json *item = json_as(d, &t->v.item[i], JSON_OBJECT);
        const char *name = json_text(d, item, "name", ""), *text = json_text(d, item, "template", NULL);
        if (strlen(name) > 64) json_die(d, item, "name", "a name of more than 64 bytes");
        if (*name && text) vocab_chat(v, name, text);
    }
    return 1;
}
static inline void vocab_chats(vocab *v) {
    const char *path; char *text; size_t n; json_doc d;
    if (v->config.root && vocab_chat_json(v, &v->config)) return;
    if ((path = vocab_path(v, "chat_template.jinja")) != NULL) {
        text = cli_read(path, &n);
        if (strlen(text) != n || !vocab_is_utf8(vocab_str(text, n))) cli_die("%s: is not UTF-8, or has a NUL byte", path);
        vocab_chat(v, "default", text);
        free(text);
        return;
    }
    memset(&d, 0, sizeof d);
    if (vocab_open(v, &d, "chat_template.json")) { vocab_chat_json(v, &d); json_close(&d); }
}

/* ---- the whole. pre: the pre-tokenizer's name, NULL: found from tokenizer.json. n_vocab: rows of the model's embedding, -1: as many as there are
 * tokens. A folder without tokenizer gives "no_vocab". The folder's name must stay until vocab_close. */
static inline void vocab_load(vocab *v, const char *folder, const char *pre, int n_vocab) {
    const char *path, *p = NULL; size_t n = 0; int spm = 0, from_json = 0;
    vocab_begin_load(v, folder);
    vocab_open(v, &v->config, "tokenizer_config.json"); vocab_open(v, &v->tokenizer, "tokenizer.json");
    if ((path = vocab_path(v, "tokenizer.model")) != NULL) {
        p = v->bytes = cli_read(path, &n);
        if (n > VOCAB_MAX_FILE) cli_die("%s: longer than %lu bytes", path, (unsigned long)VOCAB_MAX_FILE);
        spm = n > 0 && (p[0] == 0x0a || p[0] == 0x12); /* the tag of a piece, or of the trainer's options; no base64 */
    }
    if (spm) vocab_load_spm(v, path, p, n, n_vocab);
    else if (v->tokenizer.root) { vocab_load_json(v, pre, n_vocab); from_json = 1; }
    else if (path) vocab_load_tiktoken(v, path, p, n, pre, n_vocab);
    else {
        if (vocab_path(v, "vocab.json") || vocab_path(v, "tekken.json"))
            cli_die("%s: its tokenizer is in a form that is not read: tokenizer.json or tokenizer.model is needed", folder);
        return;
    }
    vocab_ids(v, from_json);
    vocab_chats(v);
}
/* A tokenizer.json alone, whatever its name and whatever lies beside it. EOS, which is BOS too unless a BOS is put before texts: the first of its control
 * tokens that readers know as an end. */
static inline void vocab_load_tokenizer(vocab *v, const char *path) {
    static const char *const ends[] = { "<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "[EOS]", "<|im_end|>", "<|eot_id|>" };
    const char *bos = NULL, *eos = NULL, *eot = NULL; size_t i; const json *p;
    vocab_begin_load(v, path);
    if (json_read(&v->tokenizer, path)->kind != JSON_OBJECT) cli_die("%s: expected an object", path);
    vocab_load_json(v, NULL, -1);
    p = json_opt(&v->tokenizer, v->tokenizer.root, "post_processor", JSON_OBJECT);
    if (p) vocab_processor(v, p, &bos, &eos, &eot);
    if (eos) v->id[VOCAB_EOS] = vocab_token_id(v, eos);
    for (i = 0; i < sizeof ends / sizeof *ends && v->id[VOCAB_EOS] < 0; i++) v->id[VOCAB_EOS] = vocab_control(v, ends[i]);
    v->id[VOCAB_BOS] = bos ? vocab_token_id(v, bos) : v->id[VOCAB_EOS];
    if (v->add_bos < 0) v->add_bos = bos != NULL;
    if (v->id[VOCAB_UNK] < 0 && v->unk > 0) v->id[VOCAB_UNK] = v->unk;
    for (i = 0; i < VOCAB_N_EOT && v->id[VOCAB_EOT] < 0; i++) v->id[VOCAB_EOT] = vocab_control(v, vocab_eot_texts[i]);
}
static inline void vocab_write_id(gguf_writer *w, const char *key, int id) { if (id >= 0) gguf_u32(w, key, (uint32_t)id); }
static inline void vocab_write(const vocab *v, gguf_writer *w) {
    static const char *const keys[VOCAB_N_NAMED] = { "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.unknown_token_id",
        "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.padding_token_id", NULL, "tokenizer.ggml.mask_token_id" };
    int i, named = 0, gpt2 = strcmp(v->model, "gpt2") == 0; char key[128];
    gguf_str(w, "tokenizer.ggml.model", v->model);
    if (strcmp(v->model, "no_vocab") == 0) return;
    gguf_str(w, "tokenizer.ggml.pre", v->pre);
    gguf_array(w, "tokenizer.ggml.tokens", LM_META_STR, (uint64_t)v->n);
    for (i = 0; i < v->n; i++) gguf_item_text(w, v->token[i].text, v->token[i].n_bytes);
    if (!gpt2) gguf_array(w, "tokenizer.ggml.scores", LM_META_F32, (uint64_t)v->n);
    for (i = 0; !gpt2 && i < v->n; i++) gguf_item_real(w, (double)v->score[i]);
    gguf_array(w, "tokenizer.ggml.token_type", LM_META_I32, (uint64_t)v->n);
    for (i = 0; i < v->n; i++) gguf_item_int(w, v->type[i]);
    if (gpt2) gguf_array(w, "tokenizer.ggml.merges", LM_META_STR, (uint64_t)v->n_merge);
    for (i = 0; i < v->n_merge; i++) gguf_item_text(w, v->merge[i].text, v->merge[i].n_bytes);
    for (i = 0; i < VOCAB_N_NAMED; i++) if (keys[i]) vocab_write_id(w, keys[i], v->id[i]);
    if (v->eot_said) vocab_write_id(w, "tokenizer.ggml.eot_token_id", v->id[VOCAB_EOT]);
    if (v->eot_said) vocab_write_id(w, "tokenizer.ggml.eom_token_id", v->id[VOCAB_EOM]);
    if (v->add_bos >= 0) gguf_bool(w, "tokenizer.ggml.add_bos_token", v->add_bos);
    if (v->add_eos >= 0) gguf_bool(w, "tokenizer.ggml.add_eos_token", v->add_eos);
    if (v->space >= 0) gguf_bool(w, "tokenizer.ggml.add_space_prefix", v->space);
    for (i = 0; i < v->n_chat; i++) {
        if (strcmp(v->chat_name[i], "default") == 0) { gguf_text(w, "tokenizer.chat_template", v->chat[i].text, v->chat[i].n_bytes); continue; }
        snprintf(key, sizeof key, "tokenizer.chat_template.%s", v->chat_name[i]);
        gguf_text(w, key, v->chat[i].text, v->chat[i].n_bytes); named++;
    }
    if (named) gguf_array(w, "tokenizer.chat_templates", LM_META_STR, (uint64_t)named);
    for (i = 0; named && i < v->n_chat; i++) if (strcmp(v->chat_name[i], "default") != 0) gguf_item_text(w, v->chat_name[i], strlen(v->chat_name[i]));
}
static inline void vocab_close(vocab *v) { /* tells what was not kept: the last call, when the file is there */
    int i;
    for (i = 0; i < v->n_note && i < VOCAB_MAX_NOTES; i++) cli_note("%s", v->note[i]);
    if (v->n_note > i) cli_note("%s: %d more like these", v->file, v->n_note - i);
    json_close(&v->tokenizer); json_close(&v->config); json_close(&v->pool);
    free(v->chat); free((void *)v->chat_name); free(v->bytes); free(v->buf);
    memset(v, 0, sizeof *v);
}
#endif /* VOCAB_H */
