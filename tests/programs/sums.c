/* Checksums of logits, to compare builds, machines, thread counts, batches and layouts.
 *   sums [THREADS [BATCH]]                          those of the tiny models, one line each
 *   sums --check NAMES TOKENS THREADS BATCHES LAYOUTS [MODES]    compares with the committed ones (tiny.h)
 *   sums --model FILE NAME TOKENS THREADS BATCHES LAYOUTS [MODES]    the same for the GGUF in FILE, known as NAME in smollm2_sums.h
 *   sums --print FILE NAME                          a line for smollm2_sums.h
 *   sums --gguf NAME FILE                           writes a tiny model
 * NAMES: tiny models, or `all`. TOKENS: 4, 24 or 520. NAMES, THREADS, BATCHES, LAYOUTS (0 interleaved, 1 plain) and MODES (0 the defaults, 1
 * float32, 2 a q8_0 cache) are lists with commas; every combination is a run. The last line counts the runs, `sums: N runs alike, M not; ...`. */
#include "../tiny.h"

static int list(const char *text, int out[16]) { /* numbers; 0: malformed */
    int n = 0; char *end;
    do { if (n == 16) return 0; out[n++] = (int)strtol(text, &end, 10); if (end == text) return 0; text = end + 1; } while (*end == ',');
    return *end == 0 ? n : 0;
}
static const char *hex(uint64_t v) {
    static char text[2][20]; static int turn;
    char *p = text[turn++ & 1];
    sprintf(p, "%08lx%08lx", (unsigned long)(v >> 32), (unsigned long)(v & 0xffffffffu));
    return p;
}

typedef struct plan { int tokens, n_thread, n_batch, n_layout, n_mode, thread[16], batch[16], layout[16], mode[16]; } plan;
static long n_alike, n_other; static uint64_t all_us; static char isa[16];
static void check_model(const plan *p, const lm_model *m, const char *name, int layout) {
    static const int at[SUMS_N] = SUMS_AT;
    const uint64_t *want = tiny_known(name, p->tokens); uint64_t sum[SUMS_N], us; float range[2]; lm_model_info info; int t, b, k, i;
    lm_model_get_info(m, &info);
    sprintf(isa, "%.15s", info.isa);
    for (k = 0; k < p->n_mode; k++) for (b = 0; b < p->n_batch; b++) for (t = 0; t < p->n_thread; t++) {
        uint64_t got = 0;
        if (logit_sums(m, p->mode[k], p->thread[t], p->batch[b], p->tokens, sum, range, &us) != 0) { n_other++; printf("%s: no logits\n", name); continue; }
        for (i = 0; i < SUMS_N; i++) if (at[i] == p->tokens) got = sum[i];
        all_us += us;
        if (want && got == want[p->mode[k]]) { n_alike++; continue; }
        n_other++;
        printf("%s, %s: mode %d, %d threads, batches of %d, layout %d: %s, known is %s\n", name, info.isa, p->mode[k], p->thread[t], p->batch[b], layout,
            hex(got), want ? hex(want[p->mode[k]]) : "nothing");
    }
}
static lm_model *open_file(const char *path, int plain) {
    lm_model_desc d; lm_model *m = NULL; lm_error e;
    memset(&d, 0, sizeof d); d.path = path; d.plain_layout = plain;
    if (lm_model_open(&m, &d, &e) != LM_OK) fprintf(stderr, "sums: %s\n", e.text);
    return m;
}
static int in_list(const char *names, const char *name) {
    size_t n = strlen(name); const char *p = names;
    if (strcmp(names, "all") == 0) return 1;
    for (; p; p = strchr(p, ','), p += p != NULL) if (strncmp(p, name, n) == 0 && (p[n] == 0 || p[n] == ',')) return 1;
    return 0;
}
static int check(const char *file, char **a, int n_args) { /* a: NAMES or NAME, TOKENS, ... */
    plan p; int i, l; lm_model *m; bytes image = { NULL, 0, 0 };
    if (n_args < 5 || !list(a[1], p.mode) || (p.tokens = p.mode[0], (p.n_thread = list(a[2], p.thread)) == 0) || (p.n_batch = list(a[3], p.batch)) == 0 ||
        (p.n_layout = list(a[4], p.layout)) == 0 || (p.n_mode = list(n_args > 5 ? a[5] : "0,1,2", p.mode)) == 0) { fputs("sums: bad list\n", stderr); return 2; }
    for (l = 0; l < p.n_layout; l++) {
        if (file) {
            if ((m = open_file(file, p.layout[l])) == NULL) return 1;
            check_model(&p, m, a[0], p.layout[l]);
            lm_model_close(m);
        } else for (i = 0; i < tiny_count(); i++) {
            if (!in_list(a[0], tiny_at(i)->name)) continue;
            if ((m = tiny_open(tiny_at(i), p.layout[l], &image)) == NULL) return 1;
            check_model(&p, m, tiny_at(i)->name, p.layout[l]);
            lm_model_close(m); free(image.p);
        }
    }
    printf("sums: %ld runs alike, %ld not; %s, %d tokens each, %.2f s, %.1f tokens/s\n", n_alike, n_other, isa, p.tokens, (double)all_us * 1e-6,
        (double)(n_alike + n_other) * p.tokens / ((double)all_us * 1e-6 + 1e-9));
    return n_other != 0 || n_alike == 0;
}

int main(int argc, char **argv) {
    int i, k, bad = 0, threads, batch;
    if (argc == 4 && strcmp(argv[1], "--gguf") == 0) {
        bytes b;
        if (tiny_find(argv[2]) == NULL) { fprintf(stderr, "sums: %s: no such tiny model\n", argv[2]); return 1; }
        b = tiny_gguf(argv[2]);
        bad = write_file(argv[3], b.p, b.n);
        if (bad) fprintf(stderr, "sums: %s: cannot write\n", argv[3]);
        free(b.p);
        return bad;
    }
    if (argc == 4 && strcmp(argv[1], "--print") == 0) {
        uint64_t sum[MODES][SUMS_N], us; float range[2]; lm_model *m = open_file(argv[2], 0);
        if (m == NULL) return 1;
        for (k = 0; k < MODES; k++) bad |= logit_sums(m, k, 2, TINY_LONG, TINY_LONG, sum[k], range, &us);
        printf("    { \"%s\", {", argv[3]);
        for (i = 0; i < SUMS_N; i++) for (k = 0; k < MODES; k++) printf("%s 0x%s%s", k ? "," : i ? ", {" : " {", hex(sum[k][i]), k == MODES - 1 ? " }" : "");
        printf(" } },\n");
        lm_model_close(m);
        return bad;
    }
    if (argc > 2 && strcmp(argv[1], "--check") == 0) return check(NULL, argv + 2, argc - 2);
    if (argc > 3 && strcmp(argv[1], "--model") == 0) return check(argv[2], argv + 3, argc - 3);
    threads = argc > 1 ? atoi(argv[1]) : 2; batch = argc > 2 ? atoi(argv[2]) : TINY_LONG;
    for (i = 0; i < tiny_count(); i++) {
        uint64_t s[MODES]; float range[2];
        if (tiny_sums(tiny_at(i), tiny_length(tiny_at(i)), s, i % 2, threads, batch, range) != 0) return 1;
        printf("%-8s", tiny_at(i)->name);
        for (k = 0; k < MODES; k++) printf(" %s", hex(s[k]));
        printf("\n");
    }
    return 0;
}
