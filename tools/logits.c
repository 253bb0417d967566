/* Writes the logits that a model gives for a list of token ids, as float32 little-endian on every host: [n_vocab] of the last token, or
 * [n_tokens, n_vocab] with --all. For tests and comparisons.
 *   build/logits -m MODEL.gguf --ids 1,2,3 --all -o out.f32
 */
#include "cli.h"

static const char *ids_text, *out_path;
static int all, n_batch;
static const cli_option options[] = {
    CLI_MODEL("the model"),
    { "--ids", "ID,ID,...", CLI_TEXT, &ids_text, 0, 0, NULL, "the tokens, position 0 first" },
    { "--all", NULL, CLI_FLAG, &all, 0, 0, NULL, "logits of every token, not only of the last" },
    { "--batch", "B", CLI_INT, &n_batch, 1, 1 << 20, NULL,
        "tokens per decode call (default: all of them; with --all 64). The logits\nare the same bits whatever it is" },
    { "-o", "OUT.f32", CLI_TEXT, &out_path, 0, 0, NULL, "the file to write" },
    CLI_LORA,
    CLI_CTX(CLI_OWN_CTX),
    CLI_COMPUTE
};

static lm_token *read_ids(const char *p, int *n_ids) { /* malloc'd */
    lm_token *ids = NULL; size_t n = 0, cap = 0, k; int id;
    for (;; p += k + 1) {
        k = strcspn(p, ",");
        if (n == (size_t)INT_MAX || !cli_int(p, k, 0, INT_MAX, &id)) cli_usage("--ids: %.*s is no token id", (int)(k < 40 ? k : 40), p);
        if (n == cap) ids = (lm_token *)cli_grow(ids, (cap = cap * 2 + 256) * sizeof *ids);
        ids[n++] = id;
        if (p[k] == 0) break;
    }
    *n_ids = (int)n;
    return ids;
}

static void write_row(FILE *f, const float *row, int n) {
    unsigned char bytes[4096]; uint32_t u; size_t k = 0; int i;
    for (i = 0; i < n; i++) {
        memcpy(&u, row + i, 4);
        bytes[k++] = (unsigned char)u; bytes[k++] = (unsigned char)(u >> 8);
        bytes[k++] = (unsigned char)(u >> 16); bytes[k++] = (unsigned char)(u >> 24);
        if (k == sizeof bytes || i == n - 1) { fwrite(bytes, 1, k, f); k = 0; }
    }
}

int main(int argc, char **argv) {
    static lm_token *ids; static uint8_t *want; /* so that memory is in sight wherever the program ends */
    lm_model_info info; lm_ctx_desc cd; int i, k, n, n_ids, call; FILE *f; lm_ctx_info room;
    CLI_PARSE("logits", "-m MODEL.gguf --ids ID,ID,... -o OUT.f32 [options]", options, NULL);
    cli_need_model();
    if (ids_text == NULL) cli_usage("--ids: a list of token ids is needed (--help)");
    if (out_path == NULL) cli_usage("-o: an output file is needed (--help)");
    ids = read_ids(ids_text, &n_ids);
    lm_model_get_info(cli_open_model(0), &info);
    for (i = 0; i < n_ids; i++) if (ids[i] >= info.n_vocab) cli_die("--ids: %d is outside the vocabulary of %d", (int)ids[i], info.n_vocab);
    call = n_batch ? n_batch : all ? 64 : n_ids;
    if (call > n_ids) call = n_ids;
    cd = cli_ctx_desc(n_batch ? call : 0, all ? call : 1, NULL); /* rows of one call only, so that long lists stay small */
    lm_ctx_get_info(cli_open_ctx(&cd), &room);
    cli_attach(0);
    if (n_ids > room.n_ctx) cli_die("--ids: %d tokens do not fit in the context of %d (-c)", n_ids, room.n_ctx);

    want = (uint8_t *)cli_grow(NULL, (size_t)call);
    f = cli_create(out_path);
    for (i = 0; i < n_ids; i += n) {
        n = n_ids - i < call ? n_ids - i : call;
        memset(want, all ? LM_WANT_LOGITS : 0, (size_t)n);
        if (i + n == n_ids) want[n - 1] = LM_WANT_LOGITS;
        cli_decode(ids + i, n, want);
        for (k = 0; k < n; k++) if (want[k]) write_row(f, lm_logits(cli.c, k), info.n_vocab);
        cli_progress("computing", (uint64_t)(i + n), (uint64_t)n_ids);
    }
    cli_commit(f, out_path);
    free(want); free(ids);
    return cli_end();
}
