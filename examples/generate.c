/* Continues a text with a model: options, a chain of samplers, streaming of whole UTF-8 characters.
 *   build/generate -p "The capital of France is" -n 24 --temp 0
 */
#include "../tools/sampling.h"

static const char *prompt;
static int n_gen = 256, no_echo;

static const cli_option options[] = {
    { "-p", "TEXT", CLI_TEXT, &prompt, 0, 0, NULL,
        "the text to continue; -: read it from stdin. The text of control tokens\nsuch as <|im_start|> counts as these tokens" },
    CLI_MODEL("the model (default " CLI_DEFAULT_MODEL ")"),
    { "-n", "N", CLI_INT, &n_gen, 0, INT_MAX, NULL,
        "most tokens to generate (default 256); the model's end of text or a full\ncontext ends it earlier" },
    CLI_SAMPLING,
    { "--no-echo", NULL, CLI_FLAG, &no_echo, 0, 0, NULL, "print only the continuation" },
    CLI_CTX(CLI_OWN_CTX),
    CLI_COMPUTE
};

int main(int argc, char **argv) {
    static char label[] = "reading the prompt"; lm_sampler *sampler; lm_ctx_desc cd;
    lm_counters before, after; lm_token *ids, id; size_t n_prompt, n_ids, n, k; int i, n_ctx; const char *text;
    CLI_PARSE("generate", "[-m MODEL.gguf] -p TEXT [options]\nPrints the text and its continuation.", options, NULL);
    if (prompt == NULL) cli_usage("-p: a text to continue is needed (--help)");
    open_default_model(); sampler = open_sampler();
    if (strcmp(prompt, "-") == 0) prompt = cli_read("-", &n_prompt); else n_prompt = strlen(prompt);
    ids = cli_tokenize(prompt, n_prompt, LM_TEXT_ADD_SPECIAL | LM_TEXT_PARSE_SPECIAL, &n_ids, "prompt");
    if (n_ids == 0) {             /* from nothing: as after the end of another text */
        cli_ends(&ids[0], &id); n_ids = 1;
        if (ids[0] < 0) cli_die("prompt: it has no tokens, and the model none to start from");
    }
    cd = cli_ctx_desc(0, 1, label);
    cli_open_ctx(&cd);
    n_ctx = cli_n_ctx();
    if (n_ids > (size_t)n_ctx) cli_die("prompt: %lu tokens do not fit in the context of %d (-c)", (unsigned long)n_ids, n_ctx);

    if (n_gen > 0) cli_decode(ids, (int)n_ids, NULL);
    cli_clear(); cli.quiet = 1;
    for (k = 0; k < n_ids; k++) lm_sampler_accept(sampler, ids[k]);
    lm_get_counters(cli.c, &before);
    if (!no_echo) show(prompt, n_prompt, 0);
    for (i = 0; i < n_gen; i++) {
        id = lm_sample(cli.c, -1, sampler);
        if (id < 0) cli_die("sampling: %s", lm_status_text((lm_status)id));
        if (lm_token_is_eog(cli.m, id) && !ignore_eos) break;
        text = cli_detokenize(&id, 1, n_prompt + (size_t)i > 0 ? LM_TEXT_CONTINUES : 0, &n);
        show(text, n, 0);
        if (i + 1 == n_gen) break;
        if (lm_seq_len(cli.c, 0) == n_ctx) { cli_note("note: stopped, the context of %d tokens is full (-c)", n_ctx); break; }
        cli_decode(&id, 1, NULL);
    }
    show("", 0, 1); putchar('\n');
    lm_get_counters(cli.c, &after);
    if (cli.tty) {
        double t0 = (double)before.decode_us * 1e-6, t1 = (double)(after.decode_us - before.decode_us) * 1e-6;
        unsigned long n0 = (unsigned long)before.n_tokens, n1 = (unsigned long)(after.n_tokens - before.n_tokens);
        cli_note("read %lu tokens in %.2f s (%.1f/s), computed %lu in %.2f s (%.1f/s), seed %llu",
                 n0, t0, t0 > 0 ? (double)n0 / t0 : 0.0, n1, t1, t1 > 0 ? (double)n1 / t1 : 0.0, (unsigned long long)seed.v);
    }
    lm_sampler_close(sampler); free(ids);
    return cli_end();
}
