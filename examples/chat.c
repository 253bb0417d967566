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

/* ---- the conversation; the context knows the ids that it holds */
#define refuse (tty ? cli_note : cli_die)       /* a turn: who types may go on */
static struct { lm_message *v; int n; } messages;
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
    return s == LM_OK;
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
    size_t n, k, n_text = 0, n_held = (size_t)lm_seq_len(cli.c, 0); int n_reply, before = messages.n, n_ctx = cli_n_ctx();
    lm_token *ids = tokenize(&n); const lm_token *held = lm_seq_tokens(cli.c, 0); char *text = NULL; lm_counters was, is;
    if (ids == NULL) return 0;
    if (n > (size_t)n_ctx) {
        refuse("the conversation has %lu tokens, the context room for %d (-c; /reset begins anew)", (unsigned long)n, n_ctx);
        free(ids);
        return 0;
    }
    for (k = 0; k < n_held && k + 1 < n && held[k] == ids[k]; k++) { }
    if (lm_rewind(cli.c, 0, (int)k) != LM_OK) cli_die("%s: %s", cli.model, lm_ctx_error(cli.c));
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

/* ---- a conversation in a file: a line, the number of messages, each one's role, size and text, then the sequence as lm_save has it. Numbers are 4 bytes,
 * little-endian. A failure is said in one line and leaves the conversation as it was; at a terminal it does not end the program. */
static const char magic[] = "llama.h conversation 1\n", *const roles[] = { "system", "user", "assistant" };
static void put_u32(FILE *f, size_t v) { int i; for (i = 0; i < 4; i++) fputc((int)(v >> 8 * i & 255), f); }
static void save(const char *path) {
    size_t n = lm_save_size(cli.c, 0, NULL); void *state = cli_grow(NULL, n); FILE *f; int i, r;
    if (lm_save(cli.c, 0, NULL, state, n, &n) != LM_OK) cli_die("%s: %s", path, lm_ctx_error(cli.c));
    f = cli_create(path);
    fwrite(magic, 1, sizeof magic - 1, f);
    put_u32(f, (size_t)messages.n);
    for (i = 0; i < messages.n; i++) {
        for (r = 0; strcmp(roles[r], messages.v[i].role) != 0; r++) { }
        fputc(r, f); put_u32(f, messages.v[i].content_bytes);
        fwrite(messages.v[i].content, 1, messages.v[i].content_bytes, f);
    }
    fwrite(state, 1, n, f);
    cli_commit(f, path);
    free(state);
}
static int get_u32(const char *p, size_t n, size_t *at, size_t *v) { /* 0: the file ends before */
    int i;
    if (n - *at < 4) return 0;
    for (*v = 0, i = 0; i < 4; i++) *v |= (size_t)(unsigned char)p[(*at)++] << 8 * i;
    return 1;
}
static void load(const char *path) {
    size_t n, at = sizeof magic - 1, count, size, i, start; char *p = cli_read(path, &n); int pass, first = messages.n;
    if (n < at || memcmp(p, magic, at) != 0) cli_die("%s: no conversation of this program", path);
    for (start = at, pass = 0; pass < 2; pass++) {          /* looked at whole before anything changes */
        at = start;
        if (!get_u32(p, n, &at, &count)) cli_die("%s: it ends too early", path);
        for (i = 0; i < count; i++) {
            const char *role;
            if (at >= n || (unsigned char)p[at] > 2) cli_die("%s: message %lu has no role", path, (unsigned long)i);
            role = roles[(unsigned char)p[at++]];
            if (!get_u32(p, n, &at, &size) || size > n - at) cli_die("%s: message %lu is longer than the file", path, (unsigned long)i);
            if (pass == 1) say(role, p + at, size);
            at += size;
        }
        if (pass == 0 && lm_restore(cli.c, 0, NULL, p + at, n - at) != LM_OK) cli_die("%s: %s", path, lm_ctx_error(cli.c));
    }
    for (i = 0; i < (size_t)first; i++) free((void *)(uintptr_t)messages.v[i].content);
    memmove(messages.v, messages.v + first, count * sizeof *messages.v); messages.n = (int)count;
    free(p);
}
static int turns(void) { int i, n = 0; for (i = 0; i < messages.n; i++) n += strcmp(messages.v[i].role, "user") == 0; return n; }
/* A line that is a command. 0: it is none. */
static int command(const char *line, size_t n, int first) {
    static jmp_buf back; char *path;
    if (n == 6 && memcmp(line, "/reset", 6) == 0) { take_back(first); return 1; }
    if (n < 7 || (memcmp(line, "/save ", 6) != 0 && memcmp(line, "/load ", 6) != 0)) return 0;
    path = (char *)cli_grow(NULL, n);
    memcpy(path, line + 6, n - 6); path[n - 6] = 0;
    if (tty && setjmp(back) != 0) { cli.rescue = NULL; return 1; } /* what a failure leaves behind is a few buffers */
    cli.rescue = tty ? &back : NULL;
    if (line[1] == 's') save(path); else load(path);
    cli.rescue = NULL;
    free(path);
    return 1;
}

int main(int argc, char **argv) {
    static char label[] = "reading"; lm_sampler *s; lm_ctx_desc cd; char *line; size_t n; int first;
    CLI_PARSE("chat", "[-m MODEL.gguf] [options]\nA conversation; Ctrl-C ends a reply, the end of input ends the program. Lines of their own:\n"
        "  /reset       begins anew\n  /save FILE   writes the conversation and what is computed of it\n  /load FILE   goes on from there\nWith stdin not a terminal: one turn per line, one reply per turn.", options, NULL);
    open_default_model(); s = open_sampler();
    cd = cli_ctx_desc(0, 1, label); cd.hooks.progress = asked_to_stop;
    cli_open_ctx(&cd);
    tty = isatty(fileno(stdin));
    if (system_text) say("system", system_text, strlen(system_text));
    first = messages.n;
    catch_interrupts();
    for (;;) {
        if (tty) { fputs("> ", stderr); fflush(stderr); }
        if ((line = cli_line(&n)) == NULL) break;
        if (n > 0 && line[n - 1] == '\r') n--;
        stopped = 0;
        if (command(line, n, first) || (tty && n == 0)) continue;
        say("user", line, n);
        if (!turn(s, turns())) take_back(messages.n - 1);
    }
    take_back(0); free(messages.v);
    lm_sampler_close(s);
    return cli_end();
}
