/* How well a model predicts a text: perplexity, nats per token, bits per byte.
 *   build/perplexity -m MODEL.gguf -f text.txt
 *   build/perplexity -m MODEL.gguf -f stories.txt --documents
 *
 * Windows (the convention of llama.cpp's tool): the text's tokens, BOS in front where the model adds one, are cut into windows of C; the
 * first token of each is replaced by BOS where the model adds one; tokens C/2+1 ... C-1 of each (counted from 0) are scored and a partial
 * last window is dropped. Bytes are those of the scored tokens.
 *
 * Documents: the text is cut at lines <|endoftext|>. A document is its start token (BOS where the model adds one, else end-of-text), its
 * tokens, and end-of-text; all but the start are scored. One longer than the context is read in windows moved on by half the context,
 * each token scored in the first window that has it and a token before it. cli_ends says which tokens these are. Bytes are the documents'
 * own.
 *
 * --worst N lists first the N passages with the highest loss: up to 64 tokens that follow on each other in a window or a document. A line is
 *   worst RANK: X nats/token over K tokens from token T of document D: "TEXT"
 * with tokens and documents (or windows) counted from 1, the text as a JSON string.
 *
 * --imatrix-out collects, of all tokens read, the squares of what each matrix of the layers is multiplied with: for quantize --imatrix.
 *
 * The error E is the perplexity times the standard error of the mean nll, as if tokens were independent.
 */
#include "cli.h"
#include "imatrix.h"

#define ROWS 128                      /* results kept at once: 25 MB for a vocabulary of 49152 */

static const char *path, *imatrix_path;
static int documents, n_worst;
static const cli_option options[] = {
    CLI_MODEL("the model"),
    { "-f", "TEXT", CLI_TEXT, &path, 0, 0, NULL, "the text's file; -: stdin" },
    { "--documents", NULL, CLI_FLAG, &documents, 0, 0, NULL, "score documents that end in lines " CLI_END_OF_TEXT ", each whole" },
    { "--worst", "N", CLI_INT, &n_worst, 1, 100000, NULL, "list the N passages of up to 64 tokens with the highest loss" },
    { "--imatrix-out", "FILE", CLI_TEXT, &imatrix_path, 0, 0, NULL, "write an importance matrix, for quantize --imatrix" },
    CLI_LORA,
    CLI_CTX("512; with --documents " CLI_OWN_CTX),
    CLI_COMPUTE
};

static imatrix_sums importance;
static struct { double n, nll, nll2, bytes; } sum; /* tokens scored, their -ln p, its squares; bytes of text */

/* ---- the passages with the highest loss, worst first */
#define PASSAGE 64                    /* tokens; a shorter end of at least half of that is a passage, too */
typedef struct passage { double mean; int n; size_t part, token; lm_token id[PASSAGE]; } passage;
static passage *worst; static int n_kept;
static void keep_worst(const lm_token *ids, const double *logprob, int n, size_t part, size_t token) {
    int i, k, at; double total;
    for (at = 0; at < n; at += PASSAGE) {
        k = n - at < PASSAGE ? n - at : PASSAGE; total = 0;
        if (k < PASSAGE / 2 && at > 0) return;
        for (i = 0; i < k; i++) total -= logprob[at + i];
        total /= k;
        if (n_kept == n_worst && !(total > worst[n_kept - 1].mean)) continue;
        if (n_kept < n_worst) n_kept++;
        for (i = n_kept - 1; i > 0 && worst[i - 1].mean < total; i--) worst[i] = worst[i - 1];
        worst[i].mean = total; worst[i].n = k; worst[i].part = part; worst[i].token = token + (size_t)at;
        memcpy(worst[i].id, ids + at, (size_t)k * sizeof *ids);
    }
}
static void print_worst(void) {
    int i; size_t n_bytes;
    for (i = 0; i < n_kept; i++) {
        const passage *p = &worst[i]; const char *text = cli_detokenize(p->id, (size_t)p->n, LM_TEXT_SHOW_CONTROL | LM_TEXT_CONTINUES, &n_bytes);
        printf("worst %d: %.4f nats/token over %d tokens from token %lu of %s %lu: ", i + 1, p->mean, p->n, (unsigned long)p->token,
            documents ? "document" : "window", (unsigned long)p->part);
        cli_json_text(stdout, text, n_bytes);
        putchar('\n');
    }
}

/* Reads ids[0..n) from an empty cache and scores ids[from..n), from >= 1. part: which window or document this is; at: where ids begins in it. */
static void score(const lm_token *ids, int n, int from, size_t part, size_t at) {
    static double *logprob; static int cap; int i;
    if (n - from > cap) logprob = (double *)cli_grow(logprob, (size_t)(cap = n - from) * sizeof *logprob);
    lm_rewind(cli.c, 0, 0);
    if (from == n) return;
    importance.n_chunks++;
    if (lm_score(cli.c, 0, ids, n, from, logprob) != LM_OK) cli_die("%s: %s", cli.model, lm_ctx_error(cli.c));
    for (i = 0; i < n - from; i++) { sum.n++; sum.nll -= logprob[i]; sum.nll2 += logprob[i] * logprob[i]; }
    if (n_worst) keep_worst(ids + from, logprob, n - from, part, at + (size_t)from);
}

static void score_windows(const char *text, size_t n_bytes, int C) {
    size_t n_ids, w, n_win, bytes; lm_token *ids = cli_tokenize(text, n_bytes, LM_TEXT_ADD_SPECIAL, &n_ids, path);
    n_win = n_ids / (size_t)C;
    if (n_win == 0) cli_die("%s: %lu tokens are less than one window of %d (-c)", path, (unsigned long)n_ids, C);
    for (w = 0; w < n_win; w++) {
        lm_token *v = ids + w * (size_t)C; int from = C / 2 + 1;
        if (lm_adds_bos(cli.m)) v[0] = lm_token_special(cli.m, LM_BOS);
        score(v, C, from, w + 1, 0);
        cli_detokenize(v + from, (size_t)(C - from), LM_TEXT_SHOW_CONTROL | LM_TEXT_CONTINUES, &bytes);
        sum.bytes += (double)bytes;
        cli_progress("scoring", w + 1, n_win);
    }
    free(ids);
}

static void score_document(const char *text, size_t n_bytes, int C, lm_token start, lm_token end) {
    static size_t n_documents; size_t n_ids, n, from = 1, at = 0; lm_token *ids, *s;
    if (n_bytes == 0) return;
    n_documents++;
    ids = cli_tokenize(text, n_bytes, 0, &n_ids, path);
    n = n_ids + 2;
    s = (lm_token *)cli_grow(NULL, n * sizeof *s);
    s[0] = start; memcpy(s + 1, ids, n_ids * sizeof *s); s[n - 1] = end;
    for (;; at += (size_t)C / 2) {
        size_t stop = n - at < (size_t)C ? n : at + (size_t)C;
        score(s + at, (int)(stop - at), (int)(from - at), n_documents, at);
        from = stop;
        if (stop == n) break;
    }
    sum.bytes += (double)n_bytes;
    free(s); free(ids);
}
static void score_documents(const char *text, size_t n_bytes, int C) {
    static const char mark[] = CLI_END_OF_TEXT; const size_t k = sizeof mark - 1; size_t at = 0, line, next, stop; lm_token start, end;
    cli_ends(&start, &end);
    if (start < 0 || end < 0) cli_die("%s: the vocabulary has no end-of-text token", cli.model);
    for (line = 0; line < n_bytes; line = next) {
        const char *nl = (const char *)memchr(text + line, '\n', n_bytes - line);
        size_t line_end = nl ? (size_t)(nl - text) : n_bytes;
        int is_mark = line_end - line == k && memcmp(text + line, mark, k) == 0;
        next = nl ? line_end + 1 : n_bytes;
        if (!is_mark && next < n_bytes) continue;
        stop = is_mark ? line : line_end;              /* a last document may lack its mark */
        if (is_mark && stop > at) stop--;              /* the newline before the mark */
        score_document(text + at, stop - at, C, start, end);
        at = next;
        cli_progress("scoring", next, n_bytes);
    }
}

int main(int argc, char **argv) {
    lm_ctx_desc cd; size_t n_bytes; char *text; double mean, var; int C;
    CLI_PARSE("perplexity", "-m MODEL.gguf -f TEXT [options]", options, NULL);
    cli_need_model();
    if (path == NULL) cli_usage("-f: a text is needed (--help)");
    if (cli.n_ctx == 0 && !documents) cli.n_ctx = 512;
    if (cli.n_ctx != 0 && cli.n_ctx < 4) cli_usage("-c: %d is less than 4", cli.n_ctx);
    text = cli_read(path, &n_bytes);
    if (n_worst) worst = (passage *)cli_grow(NULL, (size_t)n_worst * sizeof *worst);
    cli_open_model(0);
    cd = cli_ctx_desc(0, ROWS, NULL);
    if (imatrix_path) { cd.observe = imatrix_observe; cd.observe_user = &importance; }
    cli_open_ctx(&cd);
    cli_attach(0);
    C = cli_n_ctx();
    if (documents) score_documents(text, n_bytes, C); else score_windows(text, n_bytes, C);
    if (sum.n < 1) cli_die("%s: no documents", path);
    print_worst();
    mean = sum.nll / sum.n;
    var = sum.n > 1 ? (sum.nll2 / sum.n - mean * mean) / (sum.n - 1) : 0;
    printf("perplexity: %.4f +/- %.4f over %.0f tokens, nll %.6f nats/token, %.6f bits/byte\n", exp(mean), exp(mean) * sqrt(var > 0 ? var : 0),
           sum.n, mean, sum.bytes > 0 ? sum.nll / log(2.0) / sum.bytes : 0.0);
    if (imatrix_path) imatrix_write(&importance, imatrix_path, path, (uint32_t)C);
    free(text); free(worst);
    return cli_end();
}
