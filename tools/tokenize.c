/* Text to token ids and back, with the vocabulary of a model file.
 *   build/tokenize -m MODEL.gguf "Hello world"
 *   echo '{"text":"Hello","add_special":true,"parse_special":false}' | build/tokenize -m MODEL.gguf --jsonl
 */
#include "json.h"

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

/* ---- one line of --jsonl: keys that are not known are left alone */
typedef struct request { const char *text; size_t n_bytes; lm_token *ids; size_t n_ids, cap; int flags; } request;
static int flag(const json_doc *d, const char *key, int flags, int bit) { return json_bool(d, d->root, key, flags & bit) ? flags | bit : flags & ~bit; }
static void read_text(const json_doc *d, request *q, int flags) {
    const json *v = json_opt(d, d->root, "text", JSON_STRING);
    if (v == NULL) { cli_die("%s: no \"text\"", d->name); return; }
    q->text = v->v.text; q->n_bytes = v->n;
    q->flags = flag(d, "parse_special", flag(d, "add_special", flags, LM_TEXT_ADD_SPECIAL), LM_TEXT_PARSE_SPECIAL);
}
static void read_ids(const json_doc *d, request *q, int n_vocab) {
    const json *v = json_opt(d, d->root, "ids", JSON_LIST); size_t i;
    if (v == NULL) { cli_die("%s: no \"ids\"", d->name); return; }
    q->n_ids = v->n;
    if (q->n_ids > q->cap) q->ids = (lm_token *)cli_grow(q->ids, (q->cap = q->n_ids * 2) * sizeof *q->ids);
    for (i = 0; i < q->n_ids; i++) {
        q->ids[i] = (lm_token)json_as_int(d, &v->v.item[i], 0, INT_MAX);
        if (q->ids[i] >= n_vocab) cli_die("%s: id %d is outside the vocabulary of %d", d->name, (int)q->ids[i], n_vocab);
    }
}

static void print_ids(const char *p, size_t n_bytes, int flags, const char *what) {
    size_t i, n; lm_token *ids = cli_tokenize(p, n_bytes, flags, &n, what);
    putchar('[');
    for (i = 0; i < n; i++) printf(i ? ", %d" : "%d", (int)ids[i]);
    puts("]");
    free(ids);
}

int main(int argc, char **argv) {
    lm_model_info info; request q; json_doc d; int base; char *line, where[48]; const char *out; size_t n; unsigned long at = 0;
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
    memset(&q, 0, sizeof q); memset(&d, 0, sizeof d);
    while ((line = cli_line(&n)) != NULL) {
        snprintf(where, sizeof where, "stdin: line %lu", ++at);
        if (json_parse(&d, where, 0, line, n)->kind != JSON_OBJECT) cli_die("%s: expected a JSON object", where);
        if (!decode) { read_text(&d, &q, base); print_ids(q.text, q.n_bytes, q.flags, where); }
        else {
            read_ids(&d, &q, info.n_vocab);
            out = cli_detokenize(q.ids, q.n_ids, LM_TEXT_SHOW_CONTROL, &n);
            fputs("{\"text\": ", stdout); cli_json_text(stdout, out, n); puts("}");
        }
        cli_flush();              /* line by line, for those who talk to it through pipes */
    }
    free(q.ids); json_close(&d);
    return cli_end();
}
