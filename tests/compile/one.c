/* The file with the implementation. */
#define LLAMA_IMPLEMENTATION
#include "one.h"

int main(int argc, char **argv) {
    lm_model *m; lm_ctx *c; int bad;
    if (argc != 2 || part_open(argv[1], &m, &c) != 0) return 1;
    bad = part_print(m, c);
    lm_ctx_close(c);
    lm_model_close(m);
    return bad;
}
