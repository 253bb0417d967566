/* Prints the checksums of the tiny models' logits, to compare builds:  sums [THREADS [BATCH]].  `sums --gguf NAME FILE` writes a model. */
#include "../tiny.h"

int main(int argc, char **argv) {
    int i, k, bad = 0, threads = argc > 1 ? atoi(argv[1]) : 2, batch = argc > 2 ? atoi(argv[2]) : TINY_MOST;
    if (argc == 4 && strcmp(argv[1], "--gguf") == 0) {
        bytes b;
        if (tiny_find(argv[2]) == NULL) { fprintf(stderr, "sums: %s: no such tiny model\n", argv[2]); return 1; }
        b = tiny_gguf(argv[2]);
        bad = write_file(argv[3], b.p, b.n);
        if (bad) fprintf(stderr, "sums: %s: cannot write\n", argv[3]);
        free(b.p);
        return bad;
    }
    for (i = 0; i < tiny_count(); i++) {
        uint64_t s[TINY_SUMS]; float range[2];
        if (tiny_sums(tiny_at(i), s, i % 2, threads, batch, range) != 0) return 1;
        printf("%-8s", tiny_at(i)->name);
        for (k = 0; k < TINY_SUMS; k++) printf(" %08lx%08lx", (unsigned long)(s[k] >> 32), (unsigned long)(s[k] & 0xffffffffu));
        printf("\n");
    }
    return 0;
}
