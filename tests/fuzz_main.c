/* Replays the files named as arguments through a fuzz target, where there is no libFuzzer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef LLAMA_FUZZ
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int main(int argc, char **argv) {
    int i;
    for (i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb"); long n = -1; uint8_t *p = NULL;
        if (f && fseek(f, 0, SEEK_END) == 0) n = ftell(f);
        if (n >= 0) p = (uint8_t *)malloc((size_t)n + 1);
        if (p == NULL || fseek(f, 0, SEEK_SET) != 0 || fread(p, 1, (size_t)n, f) != (size_t)n) {
            fprintf(stderr, "fuzz: %s: cannot read\n", argv[i]);
            return 1;
        }
        fclose(f);
        LLVMFuzzerTestOneInput(p, (size_t)n);
        free(p);
    }
    printf("%d inputs\n", argc - 1);
    return 0;
}
#endif
