/* Under -std=c99 the first system header decides that POSIX names stay hidden; the library copes. */
#include <stdio.h>
#define LLAMA_IMPLEMENTATION
#include "../../llama.h"
#include "two.c"
#include "three.c"

int main(int argc, char **argv) {
    lm_model *m; lm_ctx *c;
    return argc != 2 || part_open(argv[1], &m, &c) != 0 || part_print(m, c) != 0;
}
