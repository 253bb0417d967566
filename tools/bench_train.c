/* Measures training: forward, backward, clipping and AdamW on random tokens, from scratch, in float32.
 *     bench_train [-t THREADS] [-s A|B] [-n STEPS] [-d DIM,LAYERS,HEADS,FF,VOCAB,ROWS,LEN] [--recompute]
 * prints the tokens of a second, the best and the median step's, GFLOP/s (6 a weight and token, the head once, and 12 layers dim len for attention),
 * and the memory. Shapes A and B are small models: 7 and 1.4 million weights. */
#define LLAMA_TRAIN
#include "../llama.h"
#include "cli.h"

static int by_size(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return x < y ? -1 : x > y; }
static uint32_t random32(uint64_t *s) { *s = *s * 6364136223846793005u + 1442695040888963407u; return (uint32_t)(*s >> 33); }

int main(int argc, char **argv) {
    int i, k, n_steps = 8, d[7] = { 288, 6, 6, 768, 4096, 8, 256 }, n; lm_train_shape s; lm_train_desc desc; lm_train *t; lm_train_info info; lm_error err; lm_train_batch b; lm_adamw a;
    lm_token *ids, *targets; uint64_t seed = 1; double took[1000], t0, flop, weights, best;
    static const char usage[] = "usage: bench_train [-t THREADS] [-s A|B] [-n STEPS] [-d DIM,LAYERS,HEADS,FF,VOCAB,ROWS,LEN] [--recompute]\n";
    memset(&s, 0, sizeof s); memset(&desc, 0, sizeof desc); memset(&b, 0, sizeof b); memset(&a, 0, sizeof a);
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) { fputs(usage, stdout); return 0; }
        else if (strcmp(argv[i], "--recompute") == 0) desc.recompute = 1;
        else if (i + 1 < argc && strcmp(argv[i], "-t") == 0) desc.n_threads = atoi(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "-n") == 0) n_steps = atoi(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "-s") == 0) { if (*argv[++i] == 'B') { d[0] = 128; d[1] = d[2] = 4; d[3] = 384; d[5] = 16; } }
        else if (i + 1 < argc && strcmp(argv[i], "-d") == 0 && sscanf(argv[i + 1], "%d,%d,%d,%d,%d,%d,%d", d, d + 1, d + 2, d + 3, d + 4, d + 5, d + 6) == 7) i++;
        else { fputs(usage, stderr); return 2; }
    }
    if (n_steps < 1 || n_steps > 1000) { fputs("bench_train: -n: 1 to 1000 steps\n", stderr); return 2; }
    s.n_embd = d[0]; s.n_layer = d[1]; s.n_head = d[2]; s.n_ff = d[3]; s.n_vocab = d[4]; s.tied = 1;
    desc.shape = &s; desc.n_rows = d[5]; desc.n_len = d[6]; desc.seed = 1;
    if (lm_train_open(&t, &desc, &err) != LM_OK) { fprintf(stderr, "bench_train: %s\n", err.text); return 1; }
    lm_train_get_info(t, &info);
    n = d[5] * d[6]; ids = (lm_token *)malloc(2 * (size_t)n * sizeof *ids);
    if (ids == NULL) { fputs("bench_train: no memory for the tokens\n", stderr); return 1; }
    targets = ids + n;
    b.n_rows = d[5]; b.n_len = d[6]; b.ids = ids; b.targets = targets; b.scale = 1.0f / (float)n;
    a.lr = 1e-3; a.beta1 = 0.9; a.beta2 = 0.95; a.eps = 1e-8; a.weight_decay = 0.1; a.clip = 1;
    for (i = -1; i < n_steps; i++) {
        for (k = 0; k < n; k++) { ids[k] = (lm_token)(random32(&seed) % (uint32_t)d[4]); targets[k] = (lm_token)(random32(&seed) % (uint32_t)d[4]); }
        t0 = cli_seconds(); a.t = (uint64_t)(i + 2); b.step = (uint64_t)(i + 2);
        if (lm_train_run(t, &b) != LM_OK || lm_train_step(t, &a) != LM_OK) { fprintf(stderr, "bench_train: %s\n", lm_train_error(t)); return 1; }
        if (i >= 0) took[i] = cli_seconds() - t0;
    }
    qsort(took, (size_t)n_steps, sizeof *took, by_size); best = took[0];
    weights = (double)d[1] * (4.0 * d[0] * d[0] + 3.0 * d[0] * d[3]) + (double)d[0] * d[4];
    flop = (6 * weights + 12.0 * d[1] * d[0] * d[6]) * n;
    printf("%s, %d threads, %d weights, %d tokens a step: %.0f tokens/s (median), %.0f (best), %.1f GFLOP/s (best); %.1f MB\n", info.isa, info.n_threads, (int)info.n_params, n,
        n / took[n_steps / 2], n / best, flop / best * 1e-9, (double)info.n_block_bytes * 1e-6);
    lm_train_close(t); free(ids);
    return 0;
}
