/* A conversation in the model's own chat format. The cache is kept between turns: each computes only what is new.
 *   build/chat --system "You answer briefly."
 *   printf 'What is the capital of France?\nAnd of Spain?\n' | build/chat --temp 0
 */
#include "../tools/sampling.h"
#include <signal.h>
#ifdef _WIN32
#define isatty _isatty
#define fileno _fileno
#endif

static const char *system_text;
static int n_most = INT_MAX, verbose, tty;
static const cli_option options[] = {
    CLI_MODEL("the model (default " CLI_DEFAULT_MODEL ")"),
    { "--system", "TEXT", CLI_TEXT, &system_text, 0, 0, NULL, "what the model is told before the conversation" },
    { "-n", "N", CLI_INT, &n_most, 1, INT_MAX, NULL, "most tokens of a reply (default: until the model ends it or the context is full)" },
    CLI_SAMPLING,
    { "--verbose", NULL, CLI_FLAG, &verbose, 0, 0, NULL,
        "say on stderr after each turn how many tokens the conversation has, how many\nof them had to be computed, and how many the reply has" },
    CLI_CTX(CLI_OWN_CTX),
    CLI_COMPUTE
};

/* ---- Ctrl-C: the reply ends, the program goes on */
static volatile sig_atomic_t stopped;
static void stop(int sig) { (void)sig; stopped = 1; }
static int asked_to_stop(void *label, uint64_t done, uint64_t total) { cli_progress((const char *)label, done, total); return stopped; }
static void catch_interrupts(void) {
#ifdef _WIN32
    signal(SIGINT, stop);
#else
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = stop; a.sa_flags = SA_RESTART;
    sigaction(SIGINT, &a, NULL);
#endif
}

/* ---- the conversation, and the ids that the cache holds */
#define refuse (tty ? cli_note : cli_die)       /* a turn: who types may go on */
static struct { lm_message *v; int n; } messages;
static struct { lm_token *v; size_t n; } held;
static void say(const char *role, const char *text, size_t n) { /* copies the text */
    char *copy = (char *)cli_grow(NULL, n + 1); lm_message *m;
    memcpy(copy, text, n); copy[n] = 0;
    messages.v = (lm_message *)cli_grow(messages.v, (size_t)(messages.n + 1) * sizeof *messages.v);
    m = &messages.v[messages.n++];
    m->role = role; m->content = copy; m->content_bytes = n;
}
static void take_back(int n) { while (messages.n > n) free((void *)(uintptr_t)messages.v[--messages.n].content); }
static lm_token *tokenize(size_t *n) { /* all of it, malloc'd; NULL: the template refuses it */
    lm_chat_desc d; lm_error err; lm_token *ids = NULL; size_t cap = 0; lm_status s;
    memset(&d, 0, sizeof d);
    d.messages = messages.v; d.n_messages = messages.n; d.hooks.log = messages.n <= 2 ? cli_log_hook : NULL;
    *n = 0;
    while ((s = lm_chat_tokenize(cli.m, &d, ids, cap, n, &err)) == LM_E_FULL && *n > cap) ids = (lm_token *)cli_grow(ids, (cap = *n) * sizeof *ids);
    if (s == LM_OK && *n > 0) return ids;
    free(ids);
    if (s != LM_E_ARG) cli_die("%s: %s", cli.model, s == LM_OK ? "the template makes no tokens of the conversation" : err.text);
    refuse("%s", err.text);
    return NULL;
}
static int compute(const lm_token *ids, size_t n) { /* appends to the cache; 0: interrupted, nothing is appended */
    lm_batch b; lm_status s;
    memset(&b, 0, sizeof b);
    b.ids = ids; b.n = (int)n; s = lm_decode(cli.c, &b);
    if (s != LM_OK && s != LM_E_CANCEL) cli_die("%s: %s", cli.model, lm_ctx_error(cli.c));
    if (s != LM_OK) return 0;
    memmove(held.v + held.n, ids, n * sizeof *ids); held.n += n;
    return 1;
}
/* Streams one reply: draws until an end of generation, n_most, a full context or Ctrl-C. Its text is added to *text, *n. */
static int reply(lm_sampler *s, char **text, size_t *n) {
    lm_token id; int i, n_ctx = cli_n_ctx(); const char *piece; size_t k; lm_emitter out;
    memset(&out, 0, sizeof out);
    out.model = cli.m; out.flags = ignore_eos ? LM_TEXT_IGNORE_EOG : 0;
    for (i = 0; i < n_most && !stopped; i++) {
        id = lm_sample(cli.c, -1, s);
        if (id < 0) cli_die("sampling: %s", lm_status_text((lm_status)id));
        cli_emit(&out, id, NULL, 0);
        if (out.end != LM_END_NOT_YET) break;
        piece = cli_detokenize(&id, 1, i > 0 ? LM_TEXT_CONTINUES : 0, &k);
        *text = (char *)cli_grow(*text, *n + k + 1);
        memcpy(*text + *n, piece, k); *n += k;
        if (lm_seq_len(cli.c, 0) == n_ctx) { cli_note("note: stopped, the context of %d tokens is full (-c; /reset begins anew)", n_ctx); break; }
        if (i + 1 < n_most && !compute(&id, 1)) break;
    }
    cli_emit(&out, -1, NULL, 0);
    return i;
}
/* One turn: what the cache has of the conversation stays, the rest is computed. 0: not possible, the turn is taken back. */
static int turn(lm_sampler *s, int number) {
    size_t n, k, n_text = 0; int n_reply, before = messages.n, n_ctx = cli_n_ctx(); lm_token *ids = tokenize(&n); char *text = NULL;
        lm_counters was, is;
    if (ids == NULL) return 0;
    if (n > (size_t)n_ctx) {
        refuse("the conversation has %lu tokens, the context room for %d (-c; /reset begins anew)", (unsigned long)n, n_ctx);
        free(ids);
        return 0;
    }
    for (k = 0; k < held.n && k + 1 < n && held.v[k] == ids[k]; k++) { }
    if (lm_rewind(cli.c, 0, (int)k) != LM_OK) cli_die("%s: %s", cli.model, lm_ctx_error(cli.c));
    held.n = k;
    lm_get_counters(cli.c, &was);
    cli.quiet = 0;
    if (!compute(ids + k, n - k)) { free(ids); return 0; }
    lm_get_counters(cli.c, &is);
    cli_clear(); cli.quiet = 1;
    lm_sampler_reset(s, seed.v + (uint64_t)number); /* a reply depends on the conversation's ids, the seed and the turn alone */
    for (k = 0; k < n; k++) lm_sampler_accept(s, ids[k]);
    n_reply = reply(s, &text, &n_text);
    putchar('\n'); cli_flush();
    if (verbose) cli_note("turn %d: %lu tokens, %lu of them computed; reply %d", number, (unsigned long)n,
        (unsigned long)(is.n_tokens - was.n_tokens), n_reply);
    say("assistant", text ? text : "", n_text);
    free(ids); free(text);
    return messages.n > before;
}

int main(int argc, char **argv) {
    static char label[] = "reading"; lm_sampler *s; lm_ctx_desc cd; char *line; size_t n; int number = 0, first;
    CLI_PARSE("chat", "[-m MODEL.gguf] [options]\nA conversation; Ctrl-C ends a reply, the end of input ends the program. Lines of their own:\n"
        "  /reset   begins anew\nWith stdin not a terminal: one turn per line, one reply per turn.", options, NULL);
    open_default_model(); s = open_sampler();
    cd = cli_ctx_desc(0, 1, label); cd.hooks.progress = asked_to_stop;
    cli_open_ctx(&cd);
    held.v = (lm_token *)cli_grow(NULL, (size_t)cli_n_ctx() * sizeof *held.v);
    tty = isatty(fileno(stdin));
    if (system_text) say("system", system_text, strlen(system_text));
    first = messages.n;
    catch_interrupts();
    for (;;) {
        if (tty) { fputs("> ", stderr); fflush(stderr); }
        if ((line = cli_line(&n)) == NULL) break;
        if (n > 0 && line[n - 1] == '\r') n--;
        stopped = 0;
        if (n == 6 && memcmp(line, "/reset", 6) == 0) { take_back(first); number = 0; continue; }
        if (tty && n == 0) continue;
        say("user", line, n);
        if (turn(s, ++number)) continue;
        take_back(messages.n - 1); number--;
    }
    take_back(0); free(messages.v); free(held.v);
    lm_sampler_close(s);
    return cli_end();
}
