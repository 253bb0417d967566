/* From texts and conversations to tokens for training.
 *   build/prepare config.json [--key value ...]              sources -> OUT.train.tokens, OUT.valid.tokens, OUT.report.json
 *   build/prepare --clean dirty.txt -o clean.txt             only the cleaning; what is done, and why, stands in clean.h
 *   build/prepare --train-bpe 4096 -o tokenizer.json a.txt   only the vocabulary, by the rule in bpe.h
 *   build/prepare --show OUT.train.tokens --model M.gguf     the first documents as JSON, with what the loss counts
 *
 * A source is a file or a folder (all .txt, .md, .jsonl and .json files below it, by name). Text files are cut at lines that are the separator; one
 * without any is one record. JSON-lines (and .json files, one list of the same objects) have on each line an object with
 *   "text"                                                   a text
 *   "messages": [{"role", "content"}, ...]                   a conversation
 *   "instruction", "input" (may be absent), "output"         a conversation of one question and one answer
 *   "prompt", "chosen", "rejected"                           a pair for DPO; each a text or a list of messages
 * A line that is none of these is an error, which names the line: nothing is passed over in silence.
 *
 * Conversations are laid out by the model's chat template. The loss counts the tokens after what the template writes before an answer (that the
 * rendering of the messages before it, with the generation prompt, and of the whole agree in) up to the first token that ends a generation, that one
 * included; where the template writes none after the last answer, EOS is put there: a model that is to stop must see it. Cleaning takes nothing
 * away from conversations but broken encoding and control bytes; exact duplicates are dropped.
 *
 * Validation: the files that a source names, as they are; else a share of the records, by a hash of their text and the seed, so that a record
 * stays on its side when others come or go. Duplicates are sought over all sources, the validation files first: what resembles them is not
 * trained on.
 *
 * Weights: a source's share of the tokens of one epoch, relative to the others'. One epoch has as many tokens as the sources together; a source
 * of e epochs has each document floor(e) times and some of them, evenly spread, once more.
 *
 * Memory: one record, about 900 bytes for each kept one (near duplicates), 24 bytes a document, a bit a token of conversations, and the validation's
 * tokens; a .json file whole. */
#include "dataset.h"
#include "config.h"
#include "clean.h"
#include "bpe.h"
#include "vocab.h"
#ifndef _WIN32
#include <dirent.h>
#endif

#define MAX_DEPTH 16                  /* folders in folders */
#define MAX_SPECIALS 256
#define N_EXAMPLES 5                  /* of each reason, in the report */

/* ---- options and keys */
static const char *clean_path, *out_path, *report_path, *show_path, *out, *model_path, *tokenizer_path, *template_path, *separator, *positional[4096];
static int train_bpe, n_positional, show_count = 3;
static int64_t vocab_size, cut, seed, seq;
static double validation;
static const json *source_list, *special_list;
static const char *specials[MAX_SPECIALS] = { CLI_END_OF_TEXT }; static uint32_t n_special = 1;
static clean C;                       /* its rules are set by the keys */

static int add_special(void *to, const char *text) {
    uint32_t i; (void)to;
    for (i = 0; i < n_special; i++) if (strcmp(specials[i], text) == 0) return 1;
    if (*text == 0 || n_special == MAX_SPECIALS) return 0;
    specials[n_special++] = text;
    return 1;
}
static int add_positional(const char *text) { if (n_positional == 4096) return 0; positional[n_positional++] = text; return 1; }
static const cli_option options[] = {
    { "--clean", "IN", CLI_TEXT, &clean_path, 0, 0, NULL,
        "clean a file or folder, -: stdin; text with separator lines, or\nJSON-lines with \"text\"" },
    { "--train-bpe", "N", CLI_INT, &train_bpe, 257, BPE_MAX_VOCAB, NULL, "train a byte-level BPE of N entries on the files that follow" },
    { "--show", "TOKENS", CLI_TEXT, &show_path, 0, 0, NULL, "print documents of a token file as JSON-lines" },
    { "-n", "N", CLI_INT, &show_count, 1, INT_MAX, NULL, "how many --show prints (default 3)" },
    { "-o", "OUT", CLI_TEXT, &out_path, 0, 0, NULL, "the file that --clean or --train-bpe writes (.jsonl: JSON-lines)" },
    { "--report", "FILE", CLI_TEXT, &report_path, 0, 0, NULL, "write what was dropped and why, as JSON (without --clean default\nOUT.report.json)" },
    { "--special", "TEXT", CLI_CALL, NULL, 0, 0, add_special, "--train-bpe: a special token beside " CLI_END_OF_TEXT ". May be repeated" }
};
static config_key keys[] = {
    { "out", CONFIG_TEXT, &out, "", 0, 0, "path",
        "files made are OUT.train.tokens, OUT.valid.tokens, OUT.report.json, and OUT.vocab.gguf\nwhere the vocabulary is no model's", 0, NULL, NULL },
    { "sources", CONFIG_LIST, &source_list, "", 0, 0, "paths, or objects",
        "[{\"path\", \"name\", \"weight\": share of an epoch's tokens,\n\"validation\": path, \"clean\": true|false}, ...]", 0, NULL, NULL },
    { "model", CONFIG_TEXT, &model_path, "", 0, 0, "GGUF", "the model whose tokenizer and chat template are used", 0, NULL, NULL },
    { "tokenizer", CONFIG_TEXT, &tokenizer_path, "", 0, 0, "path", "instead: a tokenizer.json, or a folder with one", 0, NULL, NULL },
    { "vocab_size", CONFIG_INT, &vocab_size, "0", 0, BPE_MAX_VOCAB, "entries",
        "instead: train a byte-level BPE on the training texts,\nOUT.tokenizer.json", 0, NULL, NULL },
    { "special_tokens", CONFIG_LIST, &special_list, "", 0, 0, "texts", "special tokens of that, beside " CLI_END_OF_TEXT, 0, NULL, NULL },
    { "chat_template", CONFIG_TEXT, &template_path, "", 0, 0, "path",
        "Jinja file used instead of the model's own template; it is\nwritten to OUT.vocab.gguf", 0, NULL, NULL },
    { "separator", CONFIG_TEXT, &separator, CLI_END_OF_TEXT, 0, 0, "line", "what cuts text files into records; \"blank\": empty lines", 0, NULL,
        NULL },
    { "cut", CONFIG_INT, &cut, "0", 0, 1e9, "bytes", "records of text files longer than this are cut at empty lines,\nline ends or spaces; 0: never",
        0, NULL, NULL },
    { "validation", CONFIG_REAL, &validation, "0.05", 0, 0.9, "share of records", "held out for validation, of sources that name no file", 0, NULL,
        NULL },
    { "seed", CONFIG_INT, &seed, "1", 0, 1e15, "", "of the choice of these records", 0, NULL, NULL },
    { "seq", CONFIG_INT, &seq, "256", 1, 1e9, "tokens", "of a training sequence: fewer than seq + 1 for training are an error", 0, NULL, NULL },
    { "clean.html", CONFIG_BOOL, &C.rules.html, "true", 0, 0, "", "take out tags and decode entities", 0, NULL, NULL },
    { "clean.contacts", CONFIG_CHOICE, &C.rules.contacts, "drop", 0, 0, "drop|remove|keep",
        "records with e-mail or web addresses or telephone numbers:\ndropped, these taken out, or kept", 0, NULL, NULL },
    { "clean.white_space", CONFIG_BOOL, &C.rules.spaces, "true", 0, 0, "", "normalize white space; false for programs and verse", 0, NULL, NULL },
    { "clean.unfinished", CONFIG_BOOL, &C.rules.unfinished, "true", 0, 0, "", "drop records that end in mid sentence", 0, NULL, NULL },
    { "clean.min_bytes", CONFIG_INT, &C.rules.min_bytes, "50", 0, 1e9, "bytes", "drop shorter records", 0, NULL, NULL },
    { "clean.max_bytes", CONFIG_INT, &C.rules.max_bytes, "1000000", 1, 1e9, "bytes", "drop longer records", 0, NULL, NULL },
    { "clean.repetition", CONFIG_REAL, &C.rules.repetition, "0.3", 0, 1, "share",
        "drop records of which more runs of five words came before in\nthe same record; 1: none", 0, NULL, NULL },
    { "clean.exact", CONFIG_BOOL, &C.rules.exact, "true", 0, 0, "", "drop exact duplicates", 0, NULL, NULL },
    { "clean.near", CONFIG_REAL, &C.rules.near_share, "0.7", 0, 1, "share",
        "drop records that share so many runs of three words with one before\n(Jaccard); 0: none", 0, NULL, NULL }
};

/* ---- records */
typedef enum record_kind { RECORD_TEXT, RECORD_CHAT, RECORD_PAIR } record_kind;
typedef struct record {
    record_kind kind; const char *file; uint64_t number; /* of the record in its file, from 1 */
    const char *text; size_t n; int piece;               /* text; piece: it goes on in the next record */
    lm_message *msg; int n_msg;                          /* a conversation; of a pair its prompt */
    const char *answer[2]; size_t n_answer[2];           /* chosen, rejected */
} record;
typedef void (*visitor)(record *r);

/* the file that is read; done, all: bytes of all files, for progress */
static struct { FILE *f; const char *path; char *p; size_t n, cap, at; uint64_t done, all; } in;
static json_doc line_doc, pool;       /* a line's tree; cleaned texts and messages of a record */
static gguf_bytes held;               /* the record of a text file so far */

static void in_open(const char *path) {
    in.path = path; in.f = strcmp(path, "-") == 0 ? stdin : cli_fopen(path, "rb"); in.n = in.at = 0;
    if (in.f == NULL) cli_die("%s: %s", path, strerror(errno));
}
static void in_close(void) { if (in.f != stdin) fclose(in.f); in.f = NULL; }
static char *in_line(size_t *n) { /* the next line without its end, a 0 byte behind it; NULL: the end */
    size_t from = in.at, got; char *nl;
    for (;;) {
        nl = in.n > from ? (char *)memchr(in.p + from, '\n', in.n - from) : NULL;
        if (nl) break;
        from = in.n - in.at;          /* searched */
        if (in.at) { memmove(in.p, in.p + in.at, from); in.n = from; in.at = 0; }
        if (in.cap - in.n < 65536) in.p = (char *)cli_grow(in.p, in.cap = in.cap * 2 + 131072);
        got = fread(in.p + in.n, 1, in.cap - in.n - 1, in.f);
        in.n += got; in.done += got;
        if (ferror(in.f)) cli_die("%s: %s", in.path, strerror(errno));
        if (in.n - in.at > CLI_MAX_TEXT) cli_die("%s: a line longer than %lu bytes", in.path, (unsigned long)CLI_MAX_TEXT);
        if (got == 0) { if (in.n == in.at) return NULL; nl = in.p + in.n; break; }
    }
    *nl = 0; *n = (size_t)(nl - (in.p + in.at)); from = in.at;
    in.at = (size_t)(nl - in.p) + 1; if (in.at > in.n) in.at = in.n;
    cli_progress("reading", in.done, in.all > in.done ? in.all : in.done + 1);
    return in.p + from;
}
static size_t cut_place(const char *p, size_t n) { /* in the second half: after an empty line, a line end, a space, a character */
    size_t k;
    for (k = n; k > n / 2; k--) if (p[k - 1] == '\n' && k > 1 && p[k - 2] == '\n') return k;
    for (k = n; k > n / 2; k--) if (p[k - 1] == '\n') return k;
    for (k = n; k > n / 2; k--) if (p[k - 1] == ' ') return k;
    for (k = n; k > n / 2 && ((unsigned char)p[k] & 0xc0) == 0x80; k--) {}
    return k;
}
static void give_text(record *r, visitor visit, const char *p, size_t n, int piece) {
    r->kind = RECORD_TEXT; r->text = p; r->n = n; r->piece = piece; r->number++;
    visit(r);
}
static void cut_held(record *r, visitor visit) {
    size_t k, at = 0;
    if (cut == 0) return;
    for (; held.n - at > (size_t)cut; at += k) { k = cut_place(held.p + at, (size_t)cut); give_text(r, visit, held.p + at, k, 1); }
    memmove(held.p, held.p + at, held.n - at); held.n -= at;
}
static void read_text(const char *path, visitor visit) {
    record r; char *line; size_t n, k = strlen(separator ? separator : ""); int blank = separator && strcmp(separator, "blank") == 0;
    memset(&r, 0, sizeof r); r.file = path; held.n = 0;
    in_open(path);
    while ((line = in_line(&n)) != NULL) {
        size_t m = n > 0 && line[n - 1] == '\r' ? n - 1 : n;
        if (blank ? strspn(line, " \t\r") != n : m != k || k == 0 || memcmp(line, separator, k) != 0) {
            gguf_put(&held, line, n); gguf_put(&held, "\n", 1);
            if (held.n > CLI_MAX_TEXT) cli_die("%s: a record longer than %lu bytes (see the keys separator and cut)", path,
                (unsigned long)CLI_MAX_TEXT);
            if (cut && held.n > (size_t)cut) cut_held(&r, visit);
            continue;
        }
        if (!blank || held.n) give_text(&r, visit, held.p, held.n ? held.n - 1 : 0, 0);
        held.n = 0;
    }
    if (held.n > 1) give_text(&r, visit, held.p, held.n - 1, 0); /* a last record may lack its separator */
    in_close();
}

/* ---- records of JSON */
static const char *json_str(const json_doc *d, const json *o, const char *key, size_t *n) {
    const json *v = json_need(d, o, key, JSON_STRING);
    *n = v->n;
    return v->v.text;
}
static void put_message(record *r, const char *role, const char *p, size_t n) { /* room: by the caller */
    lm_message *m = &r->msg[r->n_msg++];
    m->role = role; m->content = p; m->content_bytes = n;
}
static void put_messages(const json_doc *d, const json *list, record *r) {
    uint32_t i; size_t n; const char *p;
    r->msg = (lm_message *)json_room(&pool, ((size_t)list->n + 2) * sizeof *r->msg);
    for (i = 0; i < list->n; i++) {
        const json *m = json_as(d, &list->v.item[i], JSON_OBJECT); const char *role;
        json_need(d, m, "role", JSON_STRING);
        role = json_text(d, m, "role", NULL);
        p = json_str(d, m, "content", &n);
        if (role == NULL || *role == 0) json_die(d, m, "role", "is empty");
        put_message(r, role, p, n);
    }
}
static void read_pair(const json_doc *d, const json *o, record *r) {
    static const char *const names[2] = { "chosen", "rejected" }; const json *p = json_get(o, "prompt"), *v; int i, given = 1;
    r->kind = RECORD_PAIR;
    for (i = 0; i < 2; i++) {
        v = json_get(o, names[i]);
        if (v == NULL) json_die(d, o, names[i], "is missing");
        if (v->kind == JSON_STRING) { r->answer[i] = v->v.text; r->n_answer[i] = v->n; continue; }
        json_as(d, v, JSON_LIST);
        if (v->n == 0) json_die(d, v, NULL, "has no messages");
        r->answer[i] = json_str(d, json_as(d, &v->v.item[v->n - 1], JSON_OBJECT), "content", &r->n_answer[i]);
        if (p == NULL && given) { put_messages(d, v, r); r->n_msg--; given = 0; } /* the prompt is what comes before the answer */
    }
    if (p && p->kind == JSON_LIST) put_messages(d, p, r);
    else if (p || given) {
        size_t n; const char *text = json_str(d, o, "prompt", &n);
        r->msg = (lm_message *)json_room(&pool, 3 * sizeof *r->msg);
        put_message(r, "user", text, n);
    }
}
static void read_instruction(const json_doc *d, const json *o, record *r) {
    size_t n, n_in = 0, n_out; const char *p = json_str(d, o, "instruction", &n), *answer = json_str(d, o, "output", &n_out), *more = NULL; char *q;
    const json *v = json_opt(d, o, "input", JSON_STRING);
    if (v) { more = v->v.text; n_in = v->n; }
    q = (char *)json_room(&pool, n + n_in + 3);
    memcpy(q, p, n);
    if (n_in) { memcpy(q + n, "\n\n", 2); memcpy(q + n + 2, more, n_in); n += 2 + n_in; }
    q[n] = 0;
    r->kind = RECORD_CHAT; r->msg = (lm_message *)json_room(&pool, 3 * sizeof *r->msg);
    put_message(r, "user", q, n); put_message(r, "assistant", answer, n_out);
}
static void give_object(const json_doc *d, const json *o, record *r, visitor visit) {
    size_t n; const char *p;
    json_forget(&pool); r->n_msg = 0; r->piece = 0;
    json_as(d, o, JSON_OBJECT);
    if (json_get(o, "messages")) { r->kind = RECORD_CHAT; put_messages(d, json_need(d, o, "messages", JSON_LIST), r); }
    else if (json_get(o, "chosen")) read_pair(d, o, r);
    else if (json_get(o, "instruction")) read_instruction(d, o, r);
    else if (json_get(o, "text")) { p = json_str(d, o, "text", &n); give_text(r, visit, p, n, 0); return; }
    else json_die(d, o, NULL, "has none of text, messages, instruction, chosen");
    r->number++;
    visit(r);
}
static void read_lines(const char *path, visitor visit) {
    record r; char *line, *name = (char *)cli_grow(NULL, strlen(path) + 32); size_t n; unsigned long at = 0;
    memset(&r, 0, sizeof r); r.file = path;
    in_open(path);
    while ((line = in_line(&n)) != NULL) {
        if (at++ == 0 && n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) { line += 3; n -= 3; } /* a mark of byte order */
        if (strspn(line, " \t\r") == n) continue;
        snprintf(name, strlen(path) + 32, "%s: line %lu", path, at);
        json_parse(&line_doc, name, 0, line, n);
        give_object(&line_doc, line_doc.root, &r, visit);
    }
    in_close();
    free(name);
}
static void read_json(const char *path, visitor visit) {
    record r; json_doc d; uint32_t i; const json *list;
    memset(&r, 0, sizeof r); memset(&d, 0, sizeof d); r.file = path;
    list = json_as(&d, json_read(&d, path), JSON_LIST);
    for (i = 0; i < list->n; i++) give_object(&d, &list->v.item[i], &r, visit);
    json_close(&d);
}

/* ---- files */
typedef struct names { char **v; size_t n; } names;
static void add_name(names *l, const char *folder, const char *name) {
    size_t n = strlen(folder) + strlen(name) + 2; char *p = (char *)cli_grow(NULL, n);
    snprintf(p, n, "%s%s%s", folder, *folder ? "/" : "", name);
    if ((l->n & (l->n - 1)) == 0) l->v = (char **)cli_grow(l->v, (l->n ? 2 * l->n : 1) * sizeof *l->v);
    l->v[l->n++] = p;
}
static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static void free_names(names *l) { size_t i; for (i = 0; i < l->n; i++) free(l->v[i]); free(l->v); memset(l, 0, sizeof *l); }
static names folder_names(const char *path) { /* what is in it, but for names that begin with a dot */
    names l; memset(&l, 0, sizeof l);
#ifdef _WIN32
    {
        WIN32_FIND_DATAW found; HANDLE h; wchar_t *w; char name[1024]; size_t n = strlen(path) + 3; char *all = (char *)cli_grow(NULL, n);
        snprintf(all, n, "%s/*", path); w = cli_wide(all); h = FindFirstFileW(w, &found);
        free(w); free(all);
        if (h == INVALID_HANDLE_VALUE) cli_die("%s: cannot be listed", path);
        do if (WideCharToMultiByte(CP_UTF8, 0, found.cFileName, -1, name, sizeof name, NULL, NULL) > 0 && name[0] != '.') add_name(&l, path, name);
            while (FindNextFileW(h, &found));
        FindClose(h);
    }
#else
    {
        DIR *dir = opendir(path); struct dirent *e;
        if (dir == NULL) cli_die("%s: %s", path, strerror(errno));
        while ((e = readdir(dir)) != NULL) if (e->d_name[0] != '.') add_name(&l, path, e->d_name);
        closedir(dir);
    }
#endif
    if (l.n) qsort(l.v, l.n, sizeof *l.v, by_name);
    return l;
}
static int ends_with(const char *s, const char *end) { size_t n = strlen(s), k = strlen(end); return n >= k && strcmp(s + n - k, end) == 0; }
static int is_json(const char *path) { return ends_with(path, ".jsonl") || ends_with(path, ".json"); }
static void list_files(names *l, const char *path, int depth) { /* path: a file as it is, or a folder's files of known kinds */
    cli_path what = strcmp(path, "-") == 0 ? CLI_FILE : cli_what(path); size_t i; names in_it;
    if (what == CLI_NOTHING) cli_die("%s: no such file or folder", path);
    if (what == CLI_OTHER) cli_die("%s: is no regular file", path);
    if (what == CLI_FILE) { if (depth == 0 || is_json(path) || ends_with(path, ".txt") || ends_with(path, ".md")) add_name(l, "", path); return; }
    if (depth == MAX_DEPTH) cli_die("%s: folders nested deeper than %d", path, MAX_DEPTH);
    in_it = folder_names(path);
    for (i = 0; i < in_it.n; i++) list_files(l, in_it.v[i], depth + 1);
    free_names(&in_it);
}
static names source_files(const char *path) {
    names l; size_t i; FILE *f;
    memset(&l, 0, sizeof l);
    list_files(&l, path, 0);
    if (l.n == 0) cli_die("%s: no .txt, .md, .jsonl or .json files in it", path);
    for (i = 0; i < l.n; i++) {
        int64_t n;
        f = strcmp(l.v[i], "-") == 0 ? NULL : cli_fopen(l.v[i], "rb");
        if (f == NULL) continue;      /* in_open tells why */
        n = cli_size(f);
        if (n > 0) in.all += (uint64_t)n;
        fclose(f);
    }
    return l;
}
static void read_files(const names *l, visitor visit) {
    size_t i;
    for (i = 0; i < l->n; i++) {
        if (ends_with(l->v[i], ".jsonl")) read_lines(l->v[i], visit);
        else if (ends_with(l->v[i], ".json")) read_json(l->v[i], visit);
        else read_text(l->v[i], visit);
    }
}

/* ---- what happened, for the report */
typedef struct example { char *file; uint64_t number, like; char *text; size_t n; } example;
typedef struct counts { uint64_t records, kept, bytes_in, bytes_out, dropped[CLEAN_N_REASONS], repaired[CLEAN_N_REPAIRS]; } counts;
static counts all;
static example examples[CLEAN_N_REASONS][N_EXAMPLES];
static void count_record(counts *k, size_t bytes_in, clean_reason why) {
    int i;
    k->records++; k->bytes_in += bytes_in; k->dropped[why]++;
    if (why != CLEAN_KEPT) return;
    k->kept++; k->bytes_out += C.text.n;
    for (i = 0; i < CLEAN_N_REPAIRS; i++) k->repaired[i] += C.repaired >> i & 1;
}
static void keep_example(const record *r, clean_reason why, const char *text, size_t n) { /* its beginning and its end */
    example *e = &examples[why][0]; int i; size_t head = n < 160 ? n : 80, tail = n < 160 ? 0 : 60;
    for (i = 0; i < N_EXAMPLES && e->file; i++, e++) {}
    if (why == CLEAN_KEPT || i == N_EXAMPLES) return;
    e->file = (char *)cli_grow(NULL, strlen(r->file) + 1); memcpy(e->file, r->file, strlen(r->file) + 1);
    e->number = r->number; e->like = why == CLEAN_EXACT || why == CLEAN_NEAR ? C.like : 0;
    e->text = (char *)cli_grow(NULL, 160);
    if (head) memcpy(e->text, text, head);
    if (tail) { memcpy(e->text + head, " ... ", 5); memcpy(e->text + head + 5, text + n - tail, tail); tail += 5; }
    e->n = head + tail;
}
static void put_counts(FILE *f, const counts *k, const char *space) {
    int i, any = 0;
    fprintf(f, "%s\"records\": %llu,\n%s\"kept\": %llu,\n%s\"bytes_in\": %llu,\n%s\"bytes_out\": %llu,\n%s\"repaired\": {", space,
        (unsigned long long)k->records,
        space, (unsigned long long)k->kept, space, (unsigned long long)k->bytes_in, space, (unsigned long long)k->bytes_out, space);
    for (i = 0; i < CLEAN_N_REPAIRS; i++) if (k->repaired[i]) fprintf(f, "%s\"%s\": %llu", any++ ? ", " : "", clean_repair_names[i],
        (unsigned long long)k->repaired[i]);
    fprintf(f, "},\n%s\"dropped\": {", space);
    for (i = 1, any = 0; i < CLEAN_N_REASONS; i++) if (k->dropped[i]) fprintf(f, "%s\"%s\": %llu", any++ ? ", " : "", clean_names[i],
        (unsigned long long)k->dropped[i]);
    fprintf(f, "}");
}
static void put_examples(FILE *f) {
    int i, j, any = 0;
    fprintf(f, "  \"examples\": {");
    for (i = 1; i < CLEAN_N_REASONS; i++) {
        if (examples[i][0].file == NULL) continue;
        fprintf(f, "%s\n    \"%s\": [", any++ ? "," : "", clean_names[i]);
        for (j = 0; j < N_EXAMPLES && examples[i][j].file; j++) {
            const example *e = &examples[i][j];
            fprintf(f, "%s\n      {\"file\": ", j ? "," : ""); cli_json_text(f, e->file, strlen(e->file));
            fprintf(f, ", \"record\": %llu, ", (unsigned long long)e->number);
            if (e->like) fprintf(f, "\"like\": %llu, ", (unsigned long long)e->like);
            fprintf(f, "\"text\": "); cli_json_text(f, e->text, e->n); fprintf(f, "}");
        }
        fprintf(f, "\n    ]");
    }
    fprintf(f, "\n  }\n}\n");
    for (i = 0; i < CLEAN_N_REASONS; i++) for (j = 0; j < N_EXAMPLES; j++) { free(examples[i][j].file); free(examples[i][j].text); }
}
static void print_counts(const counts *k) { /* 175 records, 80 kept; dropped: 12 exact_duplicate, ... */
    int i, any = 0;
    printf("%llu records, %llu kept", (unsigned long long)k->records, (unsigned long long)k->kept);
    for (i = 1; i < CLEAN_N_REASONS; i++) if (k->dropped[i]) printf("%s %llu %s", any++ ? "," : "; dropped:", (unsigned long long)k->dropped[i],
        clean_names[i]);
    for (i = 0, any = 0; i < CLEAN_N_REPAIRS; i++) if (k->repaired[i]) printf("%s %llu %s", any++ ? "," : "; repaired:",
        (unsigned long long)k->repaired[i], clean_repair_names[i]);
    putchar('\n');
}

/* ---- prepare --clean */
static FILE *cleaned; static int cleaned_lines;
static clean_reason clean_record(const record *r) {
    clean_reason why; int unfinished = C.rules.unfinished;
    if (r->piece) C.rules.unfinished = 0; /* it goes on */
    why = clean_text(&C, r->text, r->n, 0);
    C.rules.unfinished = unfinished;
    return why == CLEAN_KEPT ? clean_seen(&C, all.records + 1) : why;
}
static void visit_clean(record *r) {
    clean_reason why;
    if (r->kind != RECORD_TEXT) cli_die("%s: record %llu: only texts can be cleaned alone (prepare CONFIG.json takes conversations)", r->file,
        (unsigned long long)r->number);
    why = clean_record(r);
    count_record(&all, r->n, why); keep_example(r, why, r->text, r->n);
    if (why != CLEAN_KEPT) return;
    if (cleaned_lines) { fputs("{\"text\": ", cleaned); cli_json_text(cleaned, C.text.p, C.text.n); fputs("}\n", cleaned); }
    else { fwrite(C.text.p, 1, C.text.n, cleaned); fprintf(cleaned, "\n%s\n", separator && strcmp(separator, "blank") != 0 ? separator : ""); }
    if (ferror(cleaned)) cli_die("%s: %s", out_path, strerror(errno));
}
static void run_clean(void) {
    names l = source_files(clean_path); FILE *f;
    cleaned_lines = ends_with(out_path, ".jsonl");
    cleaned = cli_create(out_path);
    read_files(&l, visit_clean);
    cli_progress("reading", 1, 1);
    cli_commit(cleaned, out_path);
    print_counts(&all);
    free_names(&l);
    if (report_path == NULL) return;
    f = cli_create(report_path);
    fprintf(f, "{\n"); put_counts(f, &all, "  "); fprintf(f, ",\n"); put_examples(f);
    cli_commit(f, report_path);
}

/* ---- prepare --train-bpe */
static bpe B;
static void visit_bpe(record *r) {
    int i;
    if (r->kind == RECORD_TEXT) { bpe_count(&B, r->text, r->n); return; }
    for (i = 0; i < r->n_msg; i++) bpe_count(&B, r->msg[i].content, r->msg[i].content_bytes);
    for (i = 0; i < 2 && r->kind == RECORD_PAIR; i++) bpe_count(&B, r->answer[i], r->n_answer[i]);
}
static void finish_bpe(uint32_t n, const char *path) {
    uint32_t got;
    if (n < 256 + n_special) cli_die("%s: a vocabulary of %lu entries has no room for 256 bytes and %lu special tokens", path, (unsigned long)n,
        (unsigned long)n_special);
    if (B.n_bytes == 0) cli_die("%s: there is no text to train a vocabulary on", path);
    got = bpe_train(&B, n, specials, n_special);
    if (got < n) cli_die("%s: the text (%llu bytes, %lu different words) gives %lu entries, not %lu: no pair comes twice any more", path,
        (unsigned long long)B.n_bytes,
        (unsigned long)B.n_word, (unsigned long)got, (unsigned long)n);
    bpe_write(&B, path);
}
static void run_bpe(void) {
    int i; names l;
    for (i = 0; i < n_positional; i++) { l = source_files(positional[i]); read_files(&l, visit_bpe); free_names(&l); }
    cli_progress("reading", 1, 1);
    finish_bpe((uint32_t)train_bpe, out_path);
    printf("%lu entries from %llu bytes, %llu words, %lu different\n", (unsigned long)B.n_token, (unsigned long long)B.n_bytes,
        (unsigned long long)B.n_words, (unsigned long)B.n_word);
    bpe_close(&B);
}

/* ---- the vocabulary of a data set */
static char *chat_text; static size_t chat_bytes;     /* of chat_template */
static char *make_path(const char *end) {
    size_t n = strlen(out) + strlen(end) + 1; char *p = (char *)cli_grow(NULL, n);
    snprintf(p, n, "%s%s", out, end);
    return p;
}
static void write_vocabulary(const char *from, const char *to) { /* a GGUF file of the tokenizer alone */
    vocab v; gguf_writer w;
    if (cli_what(from) == CLI_FOLDER) vocab_load(&v, from, NULL, -1); else vocab_load_tokenizer(&v, from);
    if (chat_text) { v.n_chat = 0; vocab_chat(&v, "default", chat_text); }
    gguf_open(&w, to);
    gguf_str(&w, "general.architecture", "llama"); gguf_str(&w, "general.type", "model");
    gguf_u32(&w, "llama.vocab_size", (uint32_t)v.n);
    vocab_write(&v, &w);
    gguf_begin(&w); gguf_end(&w);
    vocab_close(&v);
}
static void copy_vocabulary(const char *to) { /* the open model's, with the other template */
    gguf_writer w; lm_meta m; int i;
    gguf_open(&w, to);
    for (i = 0; i < lm_meta_count(cli.m) && lm_meta_at(cli.m, i, &m) == LM_OK; i++) {
        static const char chat[] = "tokenizer.chat_template"; const size_t n = sizeof chat - 1;
        if (m.key_bytes >= n && memcmp(m.key, chat, n) == 0) continue;
        if ((m.key_bytes > 10 && memcmp(m.key, "tokenizer.", 10) == 0) ||
            (m.key_bytes == 20 && memcmp(m.key, "general.architecture", 20) == 0)) gguf_copy(&w, &m);
    }
    gguf_text(&w, "tokenizer.chat_template", chat_text, chat_bytes);
    gguf_begin(&w); gguf_end(&w);
}
static void open_vocabulary(void) {
    char *path = NULL, *json_path = NULL;
    if (template_path) {
        chat_text = cli_read(template_path, &chat_bytes);
        if (strlen(chat_text) != chat_bytes || !vocab_is_utf8(vocab_str(chat_text, chat_bytes)))
            cli_die("%s: is not UTF-8, or has a NUL byte", template_path);
    }
    if (vocab_size) {
        tokenizer_path = json_path = make_path(".tokenizer.json");
        finish_bpe((uint32_t)vocab_size, json_path);
        bpe_close(&B);
    }
    if (tokenizer_path) { path = make_path(".vocab.gguf"); write_vocabulary(tokenizer_path, path); }
    cli.model = path ? path : model_path;
    cli_open_model(1);
    if (chat_text && !path) { path = make_path(".vocab.gguf"); copy_vocabulary(path); free(path); }
    free(json_path);                  /* path of the open file stays: cli.model names it in errors */
}

/* ---- documents */
typedef struct source {
    char *path, *name, *valid;        /* valid: path of its validation, NULL: a share of its records */
    double weight; int clean;         /* -1: none is given */
    names files, valid_files; counts count;
    size_t first, last; uint64_t tokens; double epochs; /* documents of the training set; their tokens, of one epoch once they are mixed */
} source;
static source *sources, *now; static int n_source, counting, holding_out; /* counting: words for a vocabulary, nothing is written */
static dataset_writer train_set, valid_set;
static lm_token doc_bos, doc_eot;
static lm_token *ids; static uint8_t *mask; static size_t n_ids, cap_ids;
static int n_chats, n_pairs, n_texts, has_template;
static char template_why[300];

static void ids_room(size_t n) {
    if (n <= cap_ids) return;
    cap_ids = 2 * n; ids = (lm_token *)cli_grow(ids, cap_ids * sizeof *ids); mask = (uint8_t *)cli_grow(mask, cap_ids);
}
static int held_out(void) { /* the record in C.text is of the validation */
    uint64_t h = 0xcbf29ce484222325u; size_t i;
    for (i = 0; i < C.text.n; i++) h = (h ^ (unsigned char)C.text.p[i]) * 0x100000001b3u;
    return (double)(clean_mix(h ^ clean_mix((uint64_t)seed)) >> 11) * 0x1p-53 < validation;
}
/* The ids of n messages by the template, malloc'd; NULL: it refuses them. open: with what begins an answer. */
static lm_token *chat_ids(const lm_message *m, int n, int open, size_t *n_out) {
    lm_chat_desc d; lm_error err; lm_status s; lm_token *p = NULL; size_t cap = 0; int i;
    memset(&d, 0, sizeof d);
    d.messages = m; d.n_messages = n; d.no_generation_prompt = !open;
    if (chat_text) { d.template_text = chat_text; d.template_bytes = chat_bytes; }
    for (i = 0; i < n; i++) cap += m[i].content_bytes + 64;
    do {
        p = (lm_token *)cli_grow(p, (cap += 256) * sizeof *p);
        s = lm_chat_tokenize(cli.m, &d, p, cap, n_out, &err);
        if (s == LM_E_FULL) cap = *n_out;
    } while (s == LM_E_FULL);
    if (s == LM_OK) return p;
    free(p);
    if (s != LM_E_ARG) cli_die("%s: chat template: %s", template_path ? template_path : cli.model, err.text);
    snprintf(template_why, sizeof template_why, "%s", err.text);
    return NULL;
}
static size_t agree(const lm_token *a, size_t n_a, const lm_token *b, size_t n_b) { /* tokens at their beginnings */
    size_t i = 0;
    while (i < n_a && i < n_b && a[i] == b[i]) i++;
    return i;
}
/* The answer in message k counts: after what the prompt and the whole agree in, up to the first end. 0: the template is no chain of beginnings. */
static int mark_answer(const lm_message *m, int k, int n_msg) {
    size_t n_before, n_upto, from, to; lm_token *before = chat_ids(m, k, 1, &n_before), *upto = before ? chat_ids(m, k + 1, 0, &n_upto) : NULL;
    if (upto == NULL) { free(before); return 0; }
    from = agree(before, n_before, ids, n_ids); to = k + 1 == n_msg ? n_ids : agree(upto, n_upto, ids, n_ids);
    free(before); free(upto);
    if (from + 4 < n_before || from >= to) { /* a few tokens: where text joins over the border */
        snprintf(template_why, sizeof template_why, "the layout of the first %d messages is no beginning of the whole", k);
        return 0;
    }
    for (; from < to; from++) { mask[from] = 1; if (lm_token_is_eog(cli.m, ids[from])) return 1; }
    if (k + 1 == n_msg) {
        lm_token eos = lm_token_special(cli.m, LM_EOS);
        ids_room(n_ids + 1);
        ids[n_ids] = eos >= 0 ? eos : doc_eot; mask[n_ids++] = 1;
    }
    return 1;
}
static int layout_chat(const lm_message *m, int n) { /* to ids and mask. 0: not possible, template_why says why */
    size_t k; lm_token *p = chat_ids(m, n, 0, &k); int i, answers = 0;
    if (p == NULL) return 0;
    ids_room(k + 1); memcpy(ids, p, k * sizeof *ids); memset(mask, 0, k); n_ids = k;
    free(p);
    for (i = 0; i < n; i++) {
        if (strcmp(m[i].role, "assistant") != 0) continue;
        if (!mark_answer(m, i, n)) return 0;
        answers++;
    }
    if (answers == 0) snprintf(template_why, sizeof template_why, "no message of the role assistant");
    return answers > 0;
}
static void layout_text(void) { /* C.text to ids */
    size_t k, at = doc_bos >= 0; lm_status s;
    ids_room(C.text.n + 10);
    if (doc_bos >= 0) ids[0] = doc_bos;
    s = lm_tokenize(cli.m, C.text.p ? C.text.p : "", C.text.n, 0, ids + at, cap_ids - at - 1, &k);
    if (s == LM_E_FULL) { ids_room(k + 10); s = lm_tokenize(cli.m, C.text.p, C.text.n, 0, ids + at, cap_ids - at - 1, &k); }
    if (s != LM_OK) cli_die("%s: cannot be tokenized: %s", now->path, lm_status_text(s));
    n_ids = at + k;
    ids[n_ids++] = doc_eot;
}
static void add_document(int valid, const uint8_t *m, size_t n_bytes) {
    int s = (int)(now - sources);
    dataset_add(valid ? &valid_set : &train_set, ids, m, n_ids, s, n_bytes);
    if (!valid) now->tokens += n_ids;
}

/* A conversation's contents are repaired; all of them, with roles, are C.text, by which duplicates are found and validation is chosen. */
static const char *gentle(const char *p, size_t *n, clean_reason *why) {
    clean_reason r = now->clean && !holding_out ? clean_text(&C, p, *n, 1) : CLEAN_KEPT; char *q;
    if (r != CLEAN_KEPT) *why = r;
    if (r != CLEAN_KEPT || !now->clean || holding_out) return p;
    q = (char *)json_room(&pool, C.text.n + 1);
    if (C.text.n) memcpy(q, C.text.p, C.text.n);
    q[C.text.n] = 0; *n = C.text.n;
    return q;
}
static clean_reason clean_chat(record *r) {
    clean_reason why = CLEAN_KEPT; int i; unsigned repaired = 0; double near_share = C.rules.near_share;
    C.repaired = 0;
    for (i = 0; i < r->n_msg; i++) { r->msg[i].content = gentle(r->msg[i].content, &r->msg[i].content_bytes, &why); repaired |= C.repaired; }
    for (i = 0; i < 2 && r->kind == RECORD_PAIR; i++) { r->answer[i] = gentle(r->answer[i], &r->n_answer[i], &why); repaired |= C.repaired; }
    C.text.n = 0; C.n_word = 0; C.repaired = repaired;
    for (i = 0; i < r->n_msg; i++) {
        gguf_put(&C.text, r->msg[i].role, strlen(r->msg[i].role) + 1);
        gguf_put(&C.text, r->msg[i].content, r->msg[i].content_bytes + 1);
    }
    for (i = 0; i < 2 && r->kind == RECORD_PAIR; i++) gguf_put(&C.text, r->answer[i], r->n_answer[i] + 1);
    if (why != CLEAN_KEPT) return why;
    C.rules.near_share = 0;
    why = clean_seen(&C, all.records + 1);
    C.rules.near_share = near_share;
    return why;
}
static clean_reason write_chat(record *r, int valid) {
    size_t bytes = 0; int i, n = r->n_msg;
    for (i = 0; i < n; i++) if (strcmp(r->msg[i].role, "assistant") == 0) bytes += r->msg[i].content_bytes;
    if (!layout_chat(r->msg, n)) return CLEAN_TEMPLATE;
    add_document(valid, mask, bytes);
    n_chats++;
    return CLEAN_KEPT;
}
static clean_reason write_pair(record *r, int valid) {
    lm_token *first = NULL; uint8_t *first_mask = NULL; size_t n_first = 0; int i;
    for (i = 0; i < 2; i++) {         /* both or none */
        r->n_msg += i == 0;
        r->msg[r->n_msg - 1].role = "assistant"; r->msg[r->n_msg - 1].content = r->answer[i]; r->msg[r->n_msg - 1].content_bytes = r->n_answer[i];
        if (!layout_chat(r->msg, r->n_msg)) { free(first); free(first_mask); return CLEAN_TEMPLATE; }
        if (i == 1) break;
        n_first = n_ids; first = (lm_token *)cli_grow(NULL, n_ids * sizeof *first); first_mask = (uint8_t *)cli_grow(NULL, n_ids);
        memcpy(first, ids, n_ids * sizeof *first); memcpy(first_mask, mask, n_ids);
    }
    dataset_add(valid ? &valid_set : &train_set, first, first_mask, n_first, (int)(now - sources), r->n_answer[0]);
    if (!valid) now->tokens += n_first;
    add_document(valid, mask, r->n_answer[1]);
    free(first); free(first_mask);
    n_pairs++;
    return CLEAN_KEPT;
}
static size_t record_bytes(const record *r) {
    size_t n = r->kind == RECORD_TEXT ? r->n : r->kind == RECORD_PAIR ? r->n_answer[0] + r->n_answer[1] : 0; int i;
    for (i = 0; r->kind != RECORD_TEXT && i < r->n_msg; i++) n += r->msg[i].content_bytes;
    return n;
}
static void visit_document(record *r) {
    size_t bytes = record_bytes(r); clean_reason why; int valid;
    if (r->kind != RECORD_TEXT) why = clean_chat(r);
    else if (now->clean && !holding_out) why = clean_record(r);
    else {
        C.repaired = 0; C.n_word = 0; C.text.n = 0;
        gguf_put(&C.text, r->text, r->n);
        why = r->n == 0 ? CLEAN_SHORT : clean_seen(&C, all.records + 1);
    }
    if (holding_out && why != CLEAN_SHORT) why = CLEAN_KEPT; /* as it is, duplicates too */
    valid = holding_out || (now->valid == NULL && held_out());
    if (why == CLEAN_KEPT && counting && !valid) {
        if (r->kind == RECORD_TEXT) bpe_count(&B, C.text.p, C.text.n); else visit_bpe(r);
    } else if (why == CLEAN_KEPT && !counting) {
        if (r->kind == RECORD_TEXT) { layout_text(); add_document(valid, NULL, C.text.n); n_texts++; }
        else if (!has_template) cli_die("%s: conversations need a chat template, which %s does not have: give one with chat_template", r->file,
            cli.model);
        else why = r->kind == RECORD_PAIR ? write_pair(r, valid) : write_chat(r, valid);
        if (n_pairs && n_texts + n_chats) cli_die("%s: record %llu: pairs and other records cannot be in one set", r->file,
            (unsigned long long)r->number);
    }
    if (counting) return;
    count_record(&all, bytes, why); count_record(&now->count, bytes, why);
    if (why == CLEAN_TEMPLATE) keep_example(r, why, template_why, strlen(template_why));
    else keep_example(r, why, r->kind == RECORD_TEXT ? r->text : C.text.p, r->kind == RECORD_TEXT ? r->n : C.text.n);
}

/* ---- prepare CONFIG.json */
static void source_key(const json_doc *d, const json *o) {
    static const char *const known[] = { "path", "name", "weight", "validation", "clean" }; uint32_t i; size_t k, best = 0;
    for (i = 0; i < o->n; i++) {
        const char *key = o->v.item[i].key;
        for (k = 0; k < 5 && strcmp(known[k], key) != 0; k++) if (cli_distance(known[k], key) < cli_distance(known[best], key)) best = k;
        if (k == 5) json_die(d, &o->v.item[i], NULL, "is no key of a source; the nearest is %s", known[best]);
    }
}
static char *copy_text(const char *s) { size_t n = strlen(s) + 1; char *p = (char *)cli_grow(NULL, n); memcpy(p, s, n); return p; }
static void read_sources(void) {
    uint32_t i; int weighted = 0; const json_doc *d = config_doc(&keys[1]);
    if (source_list == NULL || source_list->n == 0) cli_die("sources: none are given");
    if (source_list->n > DATASET_MAX_SOURCES) cli_die("sources: more than %d", DATASET_MAX_SOURCES);
    sources = (source *)cli_grow(NULL, source_list->n * sizeof *sources); memset(sources, 0, source_list->n * sizeof *sources);
    for (i = 0; i < source_list->n; i++) {
        const json *v = &source_list->v.item[i]; source *s = &sources[n_source++]; const char *text = NULL;
        s->weight = -1; s->clean = 1;
        if (v->kind == JSON_STRING) { s->path = copy_text(v->v.text); s->name = copy_text(v->v.text); continue; }
        source_key(d, json_as(d, v, JSON_OBJECT));
        json_need(d, v, "path", JSON_STRING);
        s->path = copy_text(json_text(d, v, "path", "")); s->name = copy_text(json_text(d, v, "name", s->path));
        text = json_text(d, v, "validation", NULL);
        if (text) s->valid = copy_text(text);
        s->weight = json_real(d, v, "weight", 1e-6, 1e6, -1); s->clean = json_bool(d, v, "clean", 1);
        weighted += s->weight > 0;
    }
    if (weighted && weighted < n_source) cli_die("sources: %d of %d have a weight: all or none", weighted, n_source);
    for (i = 0; i < (uint32_t)n_source; i++) {
        sources[i].files = source_files(sources[i].path);
        if (sources[i].valid) sources[i].valid_files = source_files(sources[i].valid);
    }
}
static void run_sources(void) { /* all files of validation, then all sources */
    int i; clean_rules rules = C.rules;
    clean_close(&C); clean_open(&C); C.rules = rules;
    in.done = 0;
    for (holding_out = 1, i = 0; i < n_source; i++) { now = &sources[i]; if (now->valid) read_files(&now->valid_files, visit_document); }
    for (holding_out = 0, i = 0; i < n_source; i++) {
        now = &sources[i];
        now->first = train_set.n_docs;
        read_files(&now->files, visit_document);
        now->last = train_set.n_docs;
    }
    cli_progress("reading", 1, 1);
}
static uint64_t mix(void) { /* repeats documents by the weights; -> tokens of one epoch */
    uint32_t *times = (uint32_t *)cli_grow(NULL, train_set.n_docs * sizeof *times); double sum = 0, total = 0; int i;
    size_t k, step = n_pairs ? 2 : 1; uint64_t tokens = 0;
    for (i = 0; i < n_source; i++) { total += (double)sources[i].tokens; sum += sources[i].tokens ? sources[i].weight : 0; }
    for (i = 0; i < n_source; i++) {
        source *s = &sources[i]; uint64_t mine = 0;
        s->epochs = s->weight > 0 && s->tokens ? s->weight / sum * total / (double)s->tokens : 1;
        if (s->epochs > 1000) cli_die("%s: its weight asks for %.0f epochs of its %llu tokens: more than 1000", s->path, s->epochs,
            (unsigned long long)s->tokens);
        for (k = s->first; k < s->last; k++) {
            double at = (double)((k - s->first) / step);
            times[k] = (uint32_t)(floor((at + 1) * s->epochs) - floor(at * s->epochs));
            mine += times[k] * dataset_get(train_set.table + 24 * k + 8, 4);
        }
        s->tokens = mine; tokens += mine;
    }
    if (n_source > 0 && sources[0].weight > 0) dataset_repeat(&train_set, times);
    free(times);
    return tokens;
}
static void check_size(uint64_t n_train) {
    int i, wanted = validation > 0; char why[200] = ""; size_t n = 0;
    for (i = 0; i < n_source; i++) wanted |= sources[i].valid != NULL;
    for (i = 1; i < CLEAN_N_REASONS; i++) {
        if (all.dropped[i] == 0 || n > sizeof why - 50) continue;
        n += (size_t)snprintf(why + n, sizeof why - n, "%s%llu %s", n ? ", " : "; dropped: ", (unsigned long long)all.dropped[i], clean_names[i]);
    }
    if (n_train < (uint64_t)seq + 1 || (wanted && valid_set.n_docs == 0))
        cli_die("%s: too little data: %llu records gave %lu documents of %llu tokens for training, %lu of %llu for validation; "
            "needed are %lld tokens (seq + 1)%s%s", out,
            (unsigned long long)all.records, (unsigned long)train_set.n_docs, (unsigned long long)n_train, (unsigned long)valid_set.n_docs,
            (unsigned long long)valid_set.n_tokens,
            (long long)seq + 1, wanted ? " and one document for validation" : "", why);
}
static void write_report(uint64_t n_train, size_t n_docs, size_t n_valid, uint64_t valid_tokens) {
    char *path = report_path ? copy_text(report_path) : make_path(".report.json"); FILE *f = cli_create(path); int i;
    fprintf(f, "{\n  \"documents\": {\"train\": %lu, \"validation\": %lu},\n  \"tokens\": {\"train\": %llu, \"validation\": %llu},\n  \"sources\": [",
        (unsigned long)n_docs,
        (unsigned long)n_valid, (unsigned long long)n_train, (unsigned long long)valid_tokens);
    for (i = 0; i < n_source; i++) {
        const source *s = &sources[i];
        fprintf(f, "%s\n    {\n      \"name\": ", i ? "," : ""); cli_json_text(f, s->name, strlen(s->name));
        fprintf(f, ",\n      \"tokens\": %llu,\n      \"share\": %.6f,\n      \"epochs\": %.6f,\n", (unsigned long long)s->tokens,
            n_train ? (double)s->tokens / (double)n_train : 0, s->epochs);
        put_counts(f, &s->count, "      "); fprintf(f, "\n    }");
    }
    fprintf(f, "\n  ],\n"); put_counts(f, &all, "  "); fprintf(f, ",\n"); put_examples(f);
    cli_commit(f, path);
    free(path);
}
static void begin_sets(const char *train_path, const char *valid_path) {
    int i, flags = 0; size_t k; lm_token start; lm_meta m;
    for (i = 0; i < n_source; i++) for (k = 0; k < sources[i].files.n + sources[i].valid_files.n; k++)
        if (is_json(k < sources[i].files.n ? sources[i].files.v[k] : sources[i].valid_files.v[k - sources[i].files.n])) flags = DATASET_MASK;
    cli_ends(&start, &doc_eot);
    doc_bos = lm_adds_bos(cli.m) ? start : -1;
    if (doc_eot < 0) cli_die("%s: the vocabulary has no end-of-text token", cli.model);
    has_template = chat_text != NULL || lm_meta_find(cli.m, "tokenizer.chat_template", &m) == LM_OK;
    dataset_create(&train_set, train_path, flags, cli.m, doc_bos, doc_eot, 1);
    dataset_create(&valid_set, valid_path, flags, cli.m, doc_bos, doc_eot, 0);
    for (i = 0; i < n_source; i++) { dataset_source(&train_set, sources[i].name); dataset_source(&valid_set, sources[i].name); }
}
static void end_set(dataset_writer *w) {
    if (n_chats + n_pairs == 0) w->flags &= ~DATASET_MASK; /* texts alone: all counts */
    dataset_commit(w);
}
static void free_sources(void) {
    int i;
    for (i = 0; i < n_source; i++) {
        source *s = &sources[i];
        free(s->path); free(s->name); free(s->valid); free_names(&s->files); free_names(&s->valid_files);
    }
    free(sources); free(ids); free(mask); free(chat_text);
}
static void run_prepare(const char *config_path) {
    char *train_path, *valid_path; uint64_t tokens, valid_tokens; size_t n_docs, n_valid; int i;
    if (out == NULL) cli_die("%s: out is missing", config_path);
    if ((model_path != NULL) + (tokenizer_path != NULL) + (vocab_size > 0) != 1)
        cli_die("%s: one of model, tokenizer and vocab_size is needed", config_path);
    for (i = 0; special_list && i < (int)special_list->n; i++)
        if (special_list->v.item[i].kind != JSON_STRING || !add_special(NULL, special_list->v.item[i].v.text))
            cli_die("%s: special_tokens[%d]: expected a text", config_path, i);
    read_sources();
    if (vocab_size) { counting = 1; run_sources(); counting = 0; }
    open_vocabulary();
    train_path = make_path(".train.tokens"); valid_path = make_path(".valid.tokens");
    begin_sets(train_path, valid_path);
    run_sources();
    if (n_pairs) { train_set.flags |= DATASET_PAIRS; valid_set.flags |= DATASET_PAIRS; }
    tokens = mix();
    check_size(tokens);
    n_docs = train_set.n_docs; n_valid = valid_set.n_docs; valid_tokens = valid_set.n_tokens;
    end_set(&train_set);
    if (n_valid) end_set(&valid_set);
    print_counts(&all);
    printf("training: %lu documents, %llu tokens; validation: %lu documents, %llu tokens\n", (unsigned long)n_docs, (unsigned long long)tokens,
        (unsigned long)n_valid, (unsigned long long)valid_tokens);
    for (i = 0; i < n_source; i++)
        printf("%-24s %6.2f %% of the tokens, %.3g epochs\n", sources[i].name, tokens ? 100 * (double)sources[i].tokens / (double)tokens : 0,
            sources[i].epochs);
    write_report(tokens, n_docs, n_valid, valid_tokens);
    free(train_path); free(valid_path);
    free_sources();
}

/* ---- prepare --show */
static void show_document(const dataset *d, size_t i) {
    dataset_doc t = dataset_at(d, i); size_t k, from = 0, n; lm_token *v = (lm_token *)cli_grow(NULL, t.n * sizeof *v);
    dataset_ids(d, &t, 0, t.n, v);
    printf("{\"document\": %lu, \"source\": ", (unsigned long)i); cli_json_text(stdout, d->source[t.source], strlen(d->source[t.source]));
    printf(", \"ids\": [");
    for (k = 0; k < t.n; k++) printf("%s%ld", k ? ", " : "", (long)v[k]);
    printf("], \"parts\": [");
    for (k = 1; k <= t.n; k++) {
        const char *p; int on = dataset_counts(d, &t, from);
        if (k < t.n && dataset_counts(d, &t, k) == on) continue;
        p = cli_detokenize(v + from, k - from, LM_TEXT_SHOW_CONTROL | LM_TEXT_CONTINUES, &n);
        printf("%s{\"counts\": %s, \"text\": ", from ? ", " : "", on ? "true" : "false"); cli_json_text(stdout, p, n); printf("}");
        from = k;
    }
    printf("]}\n");
    free(v);
}
static void run_show(void) {
    dataset d; size_t i;
    dataset_open(&d, show_path);
    cli.model = model_path;
    cli_open_model(1);
    dataset_fits(&d, cli.m);
    for (i = 0; i < d.n_docs && i < (size_t)show_count; i++) show_document(&d, i);
    dataset_close(&d);
}

int main(int argc, char **argv) {
    int modes;
    cli_positional = add_positional;
    CONFIG_PARSE("prepare", "CONFIG.json [--key value ...] | --clean IN -o OUT [--report FILE] | --train-bpe N -o TOKENIZER.json TEXT... |\n"
        "               --show TOKENS --model MODEL.gguf [-n N]", keys, options, NULL);
    modes = (clean_path != NULL) + (train_bpe > 0) + (show_path != NULL);
    if (modes > 1) cli_usage("--clean, --train-bpe and --show exclude each other (--help)");
    if ((clean_path || train_bpe) && out_path == NULL) cli_usage("-o: an output file is needed (--help)");
    if (modes == 0 && n_positional != 1) cli_usage("a configuration is needed (--help)");
    if ((clean_path || show_path) && n_positional) cli_usage("%s: one argument too many (--help)", positional[0]);
    if (train_bpe && n_positional == 0) cli_usage("--train-bpe: texts are needed (--help)");
    config_read(modes ? NULL : positional[0]);
    if (show_path && model_path == NULL) cli_usage("--model: the model of these tokens is needed (--help)");
    unicode_open();
    if (clean_path) run_clean(); else if (train_bpe) run_bpe(); else if (show_path) run_show(); else run_prepare(positional[0]);
    clean_close(&C); unicode_close(); json_close(&line_doc); json_close(&pool); free(in.p); free(held.p);
    config_close();
    return cli_end();
}
