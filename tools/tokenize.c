/* Text to token ids and back, with the vocabulary of a model file.
 *   build/tokenize -m MODEL.gguf "Hello world"
 *   echo '{"text":"Hello","add_special":true,"parse_special":false}' | build/tokenize -m MODEL.gguf --jsonl
 */
#include "cli.h"

static const char *text;
static int no_special, parse_special, jsonl, decode;
static const cli_option options[] = {
    CLI_MODEL("the model; only its vocabulary is used"),
    { "--no-special", NULL, CLI_FLAG, &no_special, 0, 0, NULL, "add no BOS or EOS where the model's policy would" },
    { "--parse-special", NULL, CLI_FLAG, &parse_special, 0, 0, NULL, "the text of control tokens becomes their one id" },
    { "--jsonl", NULL, CLI_FLAG, &jsonl, 0, 0, NULL, "one JSON object on each line of stdin: {\"text\":..., \"add_special\":bool,\n"
        "\"parse_special\":bool} gives [ids]; the two default to the options above" },
    { "--decode", NULL, CLI_FLAG, &decode, 0, 0, NULL, "with --jsonl: {\"ids\":[...]} gives {\"text\":...}, control tokens as their text" },
};

/* ---- a strict reader of one JSON object on one line (RFC 8259). Strings are decoded in place: no escape is longer than its UTF-8. */
typedef struct reader { char *p, *end; const char *bad; } reader; /* bad: what is wrong, NULL while all is well */
static void bad(reader *r, const char *what) { if (r->bad == NULL) r->bad = what; r->p = r->end; }
static int peek(reader *r) { /* the next byte that is no blank, 0 at the end */
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r')) r->p++;
    return r->p < r->end ? *r->p : 0;
}
static int take(reader *r, char c) { if (peek(r) != c) return 0; r->p++; return 1; }
static void expect(reader *r, char c, const char *what) { if (!take(r, c)) bad(r, what); }
static int word(reader *r, const char *w) {
    size_t n = strlen(w);
    if (peek(r) == 0 || (size_t)(r->end - r->p) < n || memcmp(r->p, w, n) != 0) return 0;
    r->p += n;
    return 1;
}
static uint32_t hex4(reader *r) {
    uint32_t v = 0; int i, c;
    for (i = 0; i < 4; i++) {
        c = r->p < r->end ? *r->p++ : 0;
        if (c >= '0' && c <= '9') c -= '0'; else if (c >= 'a' && c <= 'f') c -= 'a' - 10; else if (c >= 'A' && c <= 'F') c -= 'A' - 10;
        else { bad(r, "a \\u escape without four hexadecimal digits"); return 0; }
        v = v << 4 | (uint32_t)c;
    }
    return v;
}
static char *put_utf8(char *to, uint32_t c) {
    if (c < 0x80) { *to++ = (char)c; return to; }
    if (c < 0x800) *to++ = (char)(0xc0 | c >> 6);
    else {
        if (c < 0x10000) *to++ = (char)(0xe0 | c >> 12); else { *to++ = (char)(0xf0 | c >> 18); *to++ = (char)(0x80 | (c >> 12 & 63)); }
        *to++ = (char)(0x80 | (c >> 6 & 63));
    }
    *to++ = (char)(0x80 | (c & 63));
    return to;
}
static char *string(reader *r, size_t *n) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t"; char *start, *to; const char *e; uint32_t c, low;
    *n = 0;
    if (!take(r, '"')) { bad(r, "expected a string"); return r->p; }
    for (start = to = r->p; ; ) {
        if (r->p == r->end) { bad(r, "a string without its end"); return start; }
        c = (unsigned char)*r->p++;
        if (c == '"') break;
        if (c < 32) { bad(r, "a control character in a string"); return start; }
        if (c != '\\') { *to++ = (char)c; continue; }
        c = r->p < r->end ? (unsigned char)*r->p++ : 0;
        if (c == 'u') {
            c = hex4(r);
            if (c >= 0xd800 && c < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
                r->p += 2; low = hex4(r);
                c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : c;
            }
            if (c >= 0xd800 && c < 0xe000) bad(r, "half of a surrogate pair");
            if (r->bad) return start;
            to = put_utf8(to, c);
        } else {
            e = c ? strchr(from, (int)c) : NULL;
            if (e == NULL) { bad(r, "an unknown escape in a string"); return start; }
            *to++ = into[e - from];
        }
    }
    *n = (size_t)(to - start);
    return start;
}
static void number(reader *r) {
    char *p = r->p, *end = r->end;
#define DIGITS(what) do { if (p == end || *p < '0' || *p > '9') { bad(r, what); return; } while (p < end && *p >= '0' && *p <= '9') p++; } while (0)
    if (p < end && *p == '-') p++;
    if (p < end && *p == '0') p++; else DIGITS("expected a value");
    if (p < end && *p == '.') { p++; DIGITS("a malformed number"); }
    if (p < end && (*p == 'e' || *p == 'E')) { p++; if (p < end && (*p == '+' || *p == '-')) p++; DIGITS("a malformed number"); }
    r->p = p;
}
static void skip_value(reader *r) { /* any value, checked, without recursion */
    char open[64]; int depth = 0; size_t n;
    do {
        int c = peek(r);
        if (c == '{' || c == '[') {
            r->p++;
            if (!take(r, c == '{' ? '}' : ']')) {
                if (depth == 64) { bad(r, "values nested deeper than 64"); return; }
                open[depth++] = (char)(c == '{' ? '}' : ']');
                if (c == '{') { string(r, &n); expect(r, ':', "expected ':'"); }
                continue;
            }
        } else if (c == '"') string(r, &n);
        else if (!word(r, "true") && !word(r, "false") && !word(r, "null")) number(r);
        while (depth > 0 && take(r, open[depth - 1])) depth--;
        if (depth > 0) {
            expect(r, ',', "expected ',' or the end of a list");
            if (open[depth - 1] == '}') { string(r, &n); expect(r, ':', "expected ':'"); }
        }
    } while (depth > 0 && r->bad == NULL);
}
static int boolean(reader *r) {
    if (word(r, "true")) return 1;
    if (!word(r, "false")) bad(r, "expected true or false");
    return 0;
}

/* ---- one line */
typedef struct request { char *text; size_t n_bytes; lm_token *ids; size_t n_ids, cap; int has_text, has_ids, flags; } request;
static void ids_list(reader *r, request *q) {
    char *start; int id;
    q->n_ids = 0; q->has_ids = 1;
    expect(r, '[', "expected a list of ids");
    if (take(r, ']')) return;
    do {
        peek(r); start = r->p; number(r);
        if (r->bad == NULL && !cli_int(start, (size_t)(r->p - start), 0, INT_MAX, &id)) bad(r, "an id that is no integer from 0 on");
        if (r->bad) return;
        if (q->n_ids == q->cap) q->ids = (lm_token *)cli_grow(q->ids, (q->cap = q->cap * 2 + 256) * sizeof *q->ids);
        q->ids[q->n_ids++] = id;
    } while (take(r, ','));
    expect(r, ']', "expected ',' or ']'");
}
static void flag(reader *r, request *q, int bit) { q->flags = boolean(r) ? q->flags | bit : q->flags & ~bit; }
static const char *read_request(char *line, size_t n_bytes, request *q) { /* NULL, or what is wrong */
    reader r; char *key; size_t n;
    r.p = line; r.end = line + n_bytes; r.bad = NULL;
    q->has_text = q->has_ids = 0;
    expect(&r, '{', "expected a JSON object");
    if (r.bad == NULL && !take(&r, '}')) {
        do {
            key = string(&r, &n); expect(&r, ':', "expected ':'");
            if (r.bad) break;
#define IS(name) (n == sizeof name - 1 && memcmp(key, name, n) == 0)
            if (IS("text") && !decode) { q->text = string(&r, &q->n_bytes); q->has_text = 1; }
            else if (IS("ids") && decode) ids_list(&r, q);
            else if (IS("add_special") && !decode) flag(&r, q, LM_TEXT_ADD_SPECIAL);
            else if (IS("parse_special") && !decode) flag(&r, q, LM_TEXT_PARSE_SPECIAL);
            else skip_value(&r);
        } while (r.bad == NULL && take(&r, ','));
        if (r.bad == NULL) expect(&r, '}', "expected ',' or '}'");
    }
    if (r.bad == NULL && peek(&r) != 0) bad(&r, "more after the object");
    if (r.bad == NULL && r.p != r.end) bad(&r, "a NUL byte after the object");
    if (r.bad == NULL && !(decode ? q->has_ids : q->has_text)) return decode ? "no \"ids\"" : "no \"text\"";
    return r.bad;
}

static void print_ids(const char *p, size_t n_bytes, int flags, const char *what) {
    size_t i, n; lm_token *ids = cli_tokenize(p, n_bytes, flags, &n, what);
    putchar('[');
    for (i = 0; i < n; i++) printf(i ? ", %d" : "%d", (int)ids[i]);
    puts("]");
    free(ids);
}

int main(int argc, char **argv) {
    lm_model_info info; request q; int base; char *line, where[48]; const char *wrong, *out; size_t n, i; unsigned long at = 0;
    CLI_PARSE("tokenize", "-m MODEL.gguf [options] [--] [TEXT]\nPrints the ids of TEXT (without it: of stdin) as one JSON array.", options, &text);
    cli_need_model();
    if (decode && !jsonl) cli_usage("--decode: needs --jsonl");
    if (jsonl && text) cli_usage("%s: --jsonl reads stdin", text);
    lm_model_get_info(cli_open_model(1), &info);
    base = (no_special ? 0 : LM_TEXT_ADD_SPECIAL) | (parse_special ? LM_TEXT_PARSE_SPECIAL : 0);
    if (!jsonl) {
        if (text) n = strlen(text); else text = cli_read("-", &n);
        print_ids(text, n, base, "text");
        return cli_end();
    }
    memset(&q, 0, sizeof q);
    while ((line = cli_line(&n)) != NULL) {
        snprintf(where, sizeof where, "stdin: line %lu", ++at);
        q.flags = base;
        if ((wrong = read_request(line, n, &q)) != NULL) cli_die("%s: %s", where, wrong);
        if (!decode) print_ids(q.text, q.n_bytes, q.flags, where);
        else {
            for (i = 0; i < q.n_ids; i++)
                if (q.ids[i] >= info.n_vocab) cli_die("%s: id %d is outside the vocabulary of %d", where, (int)q.ids[i], info.n_vocab);
            out = cli_detokenize(q.ids, q.n_ids, LM_TEXT_SHOW_CONTROL, &n);
            fputs("{\"text\": ", stdout); cli_json_text(stdout, out, n); puts("}");
        }
        cli_flush();              /* line by line, for those who talk to it through pipes */
    }
    free(q.ids);
    return cli_end();
}
