/* Continues a text with a model: options, a chain of samplers, streaming of whole characters up to a stop string.
 *   build/generate -p "The capital of France is" -n 24 --temp 0
 */
#include "../tools/sampling.h"

static const char *prompt;
static int n_gen = 256, no_echo, n_top = -1;
static struct { lm_stop *v; int n; } stops;

static int set_stop(void *to, const char *s) {
    (void)to;
    if (*s == 0) return 0;
    stops.v = (lm_stop *)cli_grow(stops.v, (size_t)(stops.n + 1) * sizeof *stops.v);
    stops.v[stops.n].text = s; stops.v[stops.n++].n_bytes = strlen(s);
    return 1;
}

static const cli_option options[] = {
    { "-p", "TEXT", CLI_TEXT, &prompt, 0, 0, NULL,
        "the text to continue; -: read it from stdin. The text of control tokens\nsuch as <|im_start|> counts as these tokens" },
    CLI_MODEL("the model (default " CLI_DEFAULT_MODEL ")"),
    { "-n", "N", CLI_INT, &n_gen, 0, INT_MAX, NULL,
        "most tokens to generate (default 256); the model's end of text or a full\ncontext ends it earlier" },
    CLI_SAMPLING,
    { "--stop", "TEXT", CLI_CALL, &stops, 0, 0, set_stop, "end before this text, which is not printed. May be repeated" },
    { "--no-echo", NULL, CLI_FLAG, &no_echo, 0, 0, NULL, "print only the continuation" },
    { "--logprobs", "N", CLI_INT, &n_top, 0, 1000, NULL, "after the text, a line of JSON for each token generated: its log-probability (of the\n"
        "model, before any step) and the N likeliest tokens with theirs" },
    CLI_LORA,
    CLI_CTX(CLI_OWN_CTX),
    CLI_COMPUTE
};

/* --logprobs: kept until the text is done. */
typedef struct scored { lm_token id; double logprob; lm_ranked *top; int n_top; } scored;
static scored *scores; static int n_scores;
static void keep_scores(lm_token id, int n_vocab) { /* before the next decode */
    scored *s; const float *logits = lm_logits(cli.c, -1);
    scores = (scored *)cli_grow(scores, (size_t)(n_scores + 1) * sizeof *scores);
    s = &scores[n_scores++];
    s->id = id; s->logprob = lm_logprob(logits, n_vocab, id);
    s->top = (lm_ranked *)cli_grow(NULL, (size_t)n_top * sizeof *s->top);
    s->n_top = lm_top_logprobs(logits, n_vocab, s->top, n_top);
}
static void print_token(lm_token id, double logprob) {
    size_t n; const char *text = cli_detokenize(&id, 1, LM_TEXT_SHOW_CONTROL | LM_TEXT_CONTINUES, &n);
    printf("{\"id\":%d,\"text\":", (int)id);
    cli_json_text(stdout, text, n);
    printf(",\"logprob\":%.9g", logprob);
}
static void print_scores(void) {
    int i, k;
    for (i = 0; i < n_scores; i++) {
        print_token(scores[i].id, scores[i].logprob);
        printf(",\"top\":[");
        for (k = 0; k < scores[i].n_top; k++) { if (k) putchar(','); print_token(scores[i].top[k].id, scores[i].top[k].logprob); putchar('}'); }
        printf("]}\n");
        free(scores[i].top);
    }
    free(scores);
}

int main(int argc, char **argv) {
    static char label[] = "reading the prompt"; lm_sampler *sampler; lm_ctx_desc cd; lm_model_info info;
    lm_counters before, after; lm_token *ids, id; size_t n_prompt, n_ids, k; int i, n_ctx; lm_emitter out;
    CLI_PARSE("generate", "[-m MODEL.gguf] -p TEXT [options]\nPrints the text and its continuation.", options, NULL);
    if (prompt == NULL) cli_usage("-p: a text to continue is needed (--help)");
    open_default_model(); sampler = open_sampler();
    lm_model_get_info(cli.m, &info);
    if (strcmp(prompt, "-") == 0) prompt = cli_read("-", &n_prompt); else n_prompt = strlen(prompt);
    ids = cli_tokenize(prompt, n_prompt, LM_TEXT_ADD_SPECIAL | LM_TEXT_PARSE_SPECIAL, &n_ids, "prompt");
    if (n_ids == 0) {             /* from nothing: as after the end of another text */
        cli_ends(&ids[0], &id); n_ids = 1;
        if (ids[0] < 0) cli_die("prompt: it has no tokens, and the model none to start from");
    }
    cd = cli_ctx_desc(0, 1, label);
    cli_open_ctx(&cd);
    n_ctx = cli_n_ctx();
    cli_attach(0);
    if (n_ids > (size_t)n_ctx) cli_die("prompt: %lu tokens do not fit in the context of %d (-c)", (unsigned long)n_ids, n_ctx);

    if (n_gen > 0) cli_decode(ids, (int)n_ids, NULL);
    cli_clear(); cli.quiet = 1;
    for (k = 0; k < n_ids; k++) lm_sampler_accept(sampler, ids[k]);
    lm_get_counters(cli.c, &before);
    memset(&out, 0, sizeof out);
    out.model = cli.m; out.flags = (n_prompt > 0 ? LM_TEXT_CONTINUES : 0) | (ignore_eos ? LM_TEXT_IGNORE_EOG : 0);
    if (!no_echo) cli_emit(&out, -1, prompt, n_prompt);
    out.stops = stops.v; out.n_stops = stops.n; /* the prompt is not searched */
    for (i = 0; i < n_gen; i++) {
        id = lm_sample(cli.c, -1, sampler);
        if (id < 0) cli_die("sampling: %s", lm_status_text((lm_status)id));
        if (n_top >= 0) keep_scores(id, info.n_vocab);
        cli_emit(&out, id, NULL, 0);
        if (out.end != LM_END_NOT_YET || i + 1 == n_gen) break;
        if (lm_seq_len(cli.c, 0) == n_ctx) { cli_note("note: stopped, the context of %d tokens is full (-c)", n_ctx); break; }
        cli_decode(&id, 1, NULL);
    }
    cli_emit(&out, -1, NULL, 0); putchar('\n');
    print_scores();
    lm_get_counters(cli.c, &after);
    if (cli.tty) {
        double t0 = (double)before.decode_us * 1e-6, t1 = (double)(after.decode_us - before.decode_us) * 1e-6;
        unsigned long n0 = (unsigned long)before.n_tokens, n1 = (unsigned long)(after.n_tokens - before.n_tokens);
        cli_note("read %lu tokens in %.2f s (%.1f/s), computed %lu in %.2f s (%.1f/s), seed %llu",
                 n0, t0, t0 > 0 ? (double)n0 / t0 : 0.0, n1, t1, t1 > 0 ? (double)n1 / t1 : 0.0, (unsigned long long)seed.v);
    }
    lm_sampler_close(sampler); free(ids); free(stops.v);
    return cli_end();
}
