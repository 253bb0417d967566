/* What the programs that write text share beyond cli.h: the sampling options, and the sampler they ask for. */
#ifndef SAMPLING_H
#define SAMPLING_H
#include "cli.h"

static const char *samplers = "penalties,bias,top_k,typical_p,top_p,min_p,temp";
static int   ignore_eos, top_k = 40;
static float temp = 0.8f, top_p = 0.95f, min_p = 0.05f, typical_p = 1, repeat = 1, freq, presence;
static struct { int on; float tau, eta; } mirostat;
static struct { lm_bias *v; int n; } biases;
static struct { int on; uint64_t v; } seed;

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

#define CLI_SAMPLING \
    { "--temp", "T", CLI_REAL, &temp, 0, 1e6, NULL, "temperature; 0 is greedy (default 0.8)" }, \
    { "--top-k", "K", CLI_INT, &top_k, 0, INT_MAX, NULL, "keep the K likeliest tokens; 0: all (default 40)" }, \
    { "--top-p", "P", CLI_REAL, &top_p, 0, 1, NULL, "keep the fewest tokens whose probabilities reach P; 1: all (default 0.95)" }, \
    { "--min-p", "P", CLI_REAL, &min_p, 0, 1, NULL, "keep tokens at least P times as likely as the likeliest (default 0.05)" }, \
    { "--typical-p", "P", CLI_REAL, &typical_p, 0, 1, NULL, "keep the most typical tokens whose probabilities reach P; 1: all (default 1)" }, \
    { "--repeat-penalty", "R", CLI_REAL, &repeat, 1e-3, 1e3, NULL, "divides logits of the last 64 tokens; 1: off (default 1)" }, \
    { "--freq-penalty", "F", CLI_REAL, &freq, -1e3, 1e3, NULL, "subtracted for each time a token is among the last 64 (default 0)" }, \
    { "--presence-penalty", "F", CLI_REAL, &presence, -1e3, 1e3, NULL, "subtracted once from tokens among the last 64 (default 0)" }, \
    { "--logit-bias", "ID=B", CLI_CALL, &biases, 0, 0, set_bias, "added to the logit of a token; -inf bans it. May be repeated" }, \
    { "--mirostat", "T,E", CLI_CALL, &mirostat, 0, 0, set_mirostat, "mirostat 2: target surprise T bits, rate E, in place of the steps that cut" }, \
    { "--samplers", "LIST", CLI_TEXT, &samplers, 0, 0, NULL, "steps in order (default penalties,bias,top_k,typical_p,top_p,min_p,temp)" }, \
    { "-s", "SEED", CLI_CALL, &seed, 0, 0, set_seed, "seed of the random numbers, 0 to 2^64-1 (default: from the clock)" }, \
    { "--ignore-eos", NULL, CLI_FLAG, &ignore_eos, 0, 0, NULL, "go on after the model's end of text" }

/* The chain that --samplers names. With mirostat the steps that cut are left out and it comes last; temperature 0 is greedy even
 * where the list has no `temp`. */
static int make_chain(lm_step *to, int cap) {
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
        if (!(mirostat.on && known[k].cuts)) to[n_steps++] = s;
    }
    if (temp <= 0 && !has_temp) { s.kind = LM_STEP_TEMP; to[n_steps++] = s; }
    if (mirostat.on) { s.kind = LM_STEP_MIROSTAT2; to[n_steps++] = s; }
    return n_steps;
}

static lm_step chain[32];
static int n_chain;
/* The sampler of these options, and its seed in seed.v. The model is open. */
static lm_sampler *open_sampler(void) {
    lm_sampler_desc d; lm_sampler *s; lm_error err; lm_model_info info; int i;
    memset(&d, 0, sizeof d);
    if (!seed.on) seed.v = (uint64_t)(cli_seconds() * 1e6);
    d.steps = chain; d.n_steps = n_chain; d.seed = seed.v;
    lm_model_get_info(cli.m, &info);
    for (i = 0; i < biases.n; i++)
        if (biases.v[i].id >= info.n_vocab) cli_die("--logit-bias: %d is outside the vocabulary of %d", (int)biases.v[i].id, info.n_vocab);
    if (lm_sampler_open(&s, cli.m, &d, &err) != LM_OK) cli_die("sampler: %s", err.text);
    return s;
}
static void open_default_model(void) { /* of -m, or the one that make fetches */
    FILE *f;
    n_chain = make_chain(chain, 32);  /* bad usage is said first */
    if (cli.model == NULL) {
        f = cli_fopen(cli.model = CLI_DEFAULT_MODEL, "rb");
        if (f == NULL) cli_die("%s: no such file; `make model` fetches it, -m names another (examples/stories.gguf)", cli.model);
        fclose(f);
    }
    cli_open_model(0);
}

#endif /* SAMPLING_H */
