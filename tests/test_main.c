/* Runs the tests: all of them, or those named. Ends with `N passed, M failed, K skipped`. */
#include "test.h"
#include "tiny.h"

#define TESTS(X) X(gguf) X(types) X(math) X(text) X(stream) X(chat) X(sample) X(logits) X(api) X(session) X(score) X(adapter) X(state) X(quantize) X(train) X(schedule)

#define DECLARE(name) void test_##name(void);
TESTS(DECLARE)
#define ENTRY(name) { #name, test_##name },
static const struct { const char *name; void (*run)(void); } tests[] = { TESTS(ENTRY) };
#define N_TESTS ((int)(sizeof tests / sizeof tests[0]))

static int wanted(const char *name, int argc, char **argv) {
    int i;
    for (i = 1; i < argc; i++) if (strcmp(argv[i], name) == 0) return 1;
    return argc == 1;
}

static int forbidden(const char *reason) { return reason != NULL && strcmp(reason, "cpu") != 0; }

int main(int argc, char **argv) {
    int i, k, passed = 0, failed = 0, skips = 0, n_wanted = 0, n_ran = 0;
    struct test_now *t = &test_now;
    const char *env = getenv("LLAMA_TEST_STRICT");
    int strict = env != NULL && strcmp(env, "0") != 0 && env[0] != 0;
    if (argc == 2 && strcmp(argv[1], "-l") == 0) { for (i = 0; i < N_TESTS; i++) puts(tests[i].name); return 0; }
    if (argc == 2 && strcmp(argv[1], "--print-sums") == 0) return tiny_print_sums();
    if (argc == 2 && strcmp(argv[1], "--print-sums-h") == 0) return tiny_print_sums_h();
    if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        puts("usage: test [NAME ...]     runs the tests named, or all\n       test -l             lists them\n"
             "       test --print-sums   checksums of the tiny models' logits;  --print-sums-h: as tests/tiny_sums.h\n"
             "LLAMA_TEST_DATA: folder of reference data (default ../shared). LLAMA_TEST_STRICT=1: skips other than `cpu` fail.\n"
             "LLAMA_TEST_QUICK=1: fewer repetitions.");
        return 0;
    }
    for (k = 1; k < argc; k++) {
        for (i = 0; i < N_TESTS && strcmp(tests[i].name, argv[k]) != 0; i++) {}
        if (i == N_TESTS) { fprintf(stderr, "test: %s: no such test (test -l lists them)\n", argv[k]); return 2; }
    }
    setvbuf(stdout, NULL, _IOLBF, 1 << 12);
    for (i = 0; i < N_TESTS; i++) {
        if (!wanted(tests[i].name, argc, argv)) continue;
        n_wanted++; memset(t, 0, sizeof *t);
        printf("%s:\n", tests[i].name);
        tests[i].run();
        n_ran++;
        if (strict && (forbidden(t->skipped) || forbidden(t->part_skipped))) { printf("  skipping is not allowed here\n"); t->n_failed++; }
        if (t->n_failed > 50) printf("  and %lu more\n", t->n_failed - 50);
        if (t->n_failed == 0 && t->skipped == NULL && t->n_checks == 0) { printf("  it checked nothing\n"); t->n_failed++; }
        if (t->n_failed) { printf("FAILED %s (%lu of %lu checks)\n", tests[i].name, t->n_failed, t->n_checks); failed++; }
        else if (t->skipped) { printf("skipped %s: %s\n", tests[i].name, t->skipped); skips++; }
        else { printf("ok %s (%lu checks)\n", tests[i].name, t->n_checks); passed++; }
        skips += (int)t->n_parts_skipped;
        fflush(stdout);
    }
    test_free();
    if (n_ran != n_wanted || (argc == 1 && n_ran != N_TESTS)) { printf("FAILED: fewer tests ran than are known\n"); failed++; }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skips);
    return failed != 0;
}
