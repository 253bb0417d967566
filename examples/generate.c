/* Continues a text with a model: options, a chain of samplers, streaming of whole characters up to a stop string.
 *   build/generate -p "The capital of France is" -n 24 --temp 0
 */
#include "../tools/cli.h"

static const char *prompt, *samplers = "penalties,bias,top_k,typical_p,top_p,min_p,temp";
static int   n_gen = 256, ignore_eos, no_echo, top_k = 40, n_top = -1;
static float temp = 0.8f, top_p = 0.95f, min_p = 0.05f, typical_p = 1, repeat = 1, freq, presence;
static struct { int on; float tau, eta; } mirostat;
static struct { lm_bias *v; int n; } biases;
static struct { int on; uint64_t v; } seed;
static struct { lm_stop *v; int n; } stops;

static int set_seed(void *to, const char *s) { (void)to; seed.on = 1; return cli_u64(s, strlen(s), &seed.v); }
static int set_mirostat(void *to, const char *s) { /* T,E */
    char tau[32]; size_t n = strcspn(s, ",");
    (void)to;
    if (s[n] == 0 || n >= sizeof tau) return 0;
    memcpy(tau, s, n); tau[n] = 0; mirostat.on = 1;
    return cli_real(tau, 1e-3, 100, &mirostat.tau) && cli_real(s + n + 1, 1e-6, 1, &mirostat.eta);
}
static int set_bias(void *to, const char *s) { /* ID=B, once for each token */
    lm_bias b; size_t n = strcspn(s, "="); int id;
    (void)to;
    if (s[n] == 0 || !cli_int(s, n, 0, INT_MAX, &id)) return 0;
    b.id = id; b.bias = -INFINITY;
    if (strcmp(s + n + 1, "-inf") != 0 && !cli_real(s + n + 1, -1e30, 1e30, &b.bias)) return 0;
    biases.v = (lm_bias *)cli_grow(biases.v, (size_t)(biases.n + 1) * sizeof b);
    biases.v[biases.n++] = b;
    return 1;
}

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
    { "--temp", "T", CLI_REAL, &temp, 0, 1e6, NULL, "temperature; 0 is greedy (default 0.8)" },
    { "--top-k", "K", CLI_INT, &top_k, 0, INT_MAX, NULL, "keep the K likeliest tokens; 0: all (default 40)" },
    { "--top-p", "P", CLI_REAL, &top_p, 0, 1, NULL, "keep the fewest tokens whose probabilities reach P; 1: all (default 0.95)" },
    { "--min-p", "P", CLI_REAL, &min_p, 0, 1, NULL, "keep tokens at least P times as likely as the likeliest (default 0.05)" },
    { "--typical-p", "P", CLI_REAL, &typical_p, 0, 1, NULL, "keep the most typical tokens whose probabilities reach P; 1: all (default 1)" },
    { "--repeat-penalty", "R", CLI_REAL, &repeat, 1e-3, 1e3, NULL, "divides logits of the last 64 tokens; 1: off (default 1)" },
    { "--freq-penalty", "F", CLI_REAL, &freq, -1e3, 1e3, NULL, "subtracted for each time a token is among the last 64 (default 0)" },
    { "--presence-penalty", "F", CLI_REAL, &presence, -1e3, 1e3, NULL, "subtracted once from tokens among the last 64 (default 0)" },
    { "--logit-bias", "ID=B", CLI_CALL, &biases, 0, 0, set_bias, "added to the logit of a token; -inf bans it. May be repeated" },
    { "--mirostat", "T,E", CLI_CALL, &mirostat, 0, 0, set_mirostat, "mirostat 2: target surprise T bits, rate E, in place of the steps that cut" },
    { "--samplers", "LIST", CLI_TEXT, &samplers, 0, 0, NULL, "steps in order (default penalties,bias,top_k,typical_p,top_p,min_p,temp)" },
    { "-s", "SEED", CLI_CALL, &seed, 0, 0, set_seed, "seed of the random numbers, 0 to 2^64-1 (default: from the clock)" },
    { "--stop", "TEXT", CLI_CALL, &stops, 0, 0, set_stop, "end before this text, which is not printed. May be repeated" },
    { "--ignore-eos", NULL, CLI_FLAG, &ignore_eos, 0, 0, NULL, "go on after the model's end of text" },
    { "--no-echo", NULL, CLI_FLAG, &no_echo, 0, 0, NULL, "print only the continuation" },
    { "--logprobs", "N", CLI_INT, &n_top, 0, 1000, NULL, "after the text, a line of JSON for each token generated: its log-probability (of the\n"
        "model, before any step) and the N likeliest tokens with theirs" },
    CLI_LORA,
    CLI_CTX(CLI_OWN_CTX),
    CLI_COMPUTE
};

/* The chain that --samplers names. With mirostat the steps that cut are left out and it comes last; temperature 0 is greedy even
 * where the list has no `temp`. */
static int make_chain(lm_step *chain, int cap) {
    static const struct { const char *name; lm_step_kind kind; int cuts; } known[] = {
        { "penalties", LM_STEP_PENALTIES, 0 }, { "bias", LM_STEP_BIAS, 0 }, { "top_k", LM_STEP_TOP_K, 1 }, { "typical_p", LM_STEP_TYPICAL_P, 1 },
        { "top_p", LM_STEP_TOP_P, 1 }, { "min_p", LM_STEP_MIN_P, 1 }, { "temp", LM_STEP_TEMP, 0 } };
    const char *p = samplers; size_t n, k; int n_steps = 0, has_temp = 0; lm_step s;
    memset(&s, 0, sizeof s);
    s.temp = temp; s.repeat = repeat; s.freq = freq; s.presence = presence; s.bias = biases.v; s.n_bias = biases.n;
    s.tau = mirostat.tau; s.eta = mirostat.eta;
    for (; *p; p += n + (p[n] == ',')) {
        n = strcspn(p, ",");
        for (k = 0; k < 7 && !(strlen(known[k].name) == n && memcmp(known[k].name, p, n) == 0); k++) {}
        if (k == 7) cli_usage("--samplers: %.*s: unknown step (--help lists them)", (int)(n < 80 ? n : 80), p);
        if (n_steps == cap - 2) cli_usage("--samplers: more than %d steps", cap - 2);
        s.kind = known[k].kind; has_temp |= s.kind == LM_STEP_TEMP;
        s.n = s.kind == LM_STEP_TOP_K ? top_k : 0;
        s.p = s.kind == LM_STEP_TOP_P ? top_p : s.kind == LM_STEP_MIN_P ? min_p : typical_p;
        if (!(mirostat.on && known[k].cuts)) chain[n_steps++] = s;
    }
    if (temp <= 0 && !has_temp) { s.kind = LM_STEP_TEMP; chain[n_steps++] = s; }
    if (mirostat.on) { s.kind = LM_STEP_MIROSTAT2; chain[n_steps++] = s; }
    return n_steps;
}

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
    static char label[] = "reading the prompt"; lm_step chain[32]; lm_sampler_desc sd; lm_sampler *sampler; lm_ctx_desc cd; lm_error err;
    lm_model_info info;
    lm_counters before, after; lm_token *ids, id; size_t n_prompt, n_ids, k; int i, n_ctx; lm_emitter out;
    CLI_PARSE("generate", "[-m MODEL.gguf] -p TEXT [options]\nPrints the text and its continuation.", options, NULL);
    if (prompt == NULL) cli_usage("-p: a text to continue is needed (--help)");
    memset(&sd, 0, sizeof sd);
    sd.steps = chain; sd.n_steps = make_chain(chain, 32); sd.seed = seed.on ? seed.v : (uint64_t)(cli_seconds() * 1e6);

    if (cli.model == NULL) {
        FILE *f = cli_fopen(cli.model = CLI_DEFAULT_MODEL, "rb");
        if (f == NULL) cli_die("%s: no such file; `make model` fetches it, -m names another", cli.model);
        fclose(f);
    }
    lm_model_get_info(cli_open_model(0), &info);
    for (i = 0; i < biases.n; i++)
        if (biases.v[i].id >= info.n_vocab) cli_die("--logit-bias: %d is outside the vocabulary of %d", (int)biases.v[i].id, info.n_vocab);
    if (lm_sampler_open(&sampler, cli.m, &sd, &err) != LM_OK) cli_die("sampler: %s", err.text);
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
                 n0, t0, t0 > 0 ? (double)n0 / t0 : 0.0, n1, t1, t1 > 0 ? (double)n1 / t1 : 0.0, (unsigned long long)sd.seed);
    }
    lm_sampler_close(sampler); free(ids); free(stops.v);
    return cli_end();
}
