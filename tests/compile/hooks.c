/* The switches that take code: an allocator and a clock of the includer's own. */
#include <stdlib.h>
static long n_live;
static void *my_malloc(size_t n) { n_live++; return malloc(n); }
static void my_free(void *p) { n_live--; free(p); }
static unsigned long my_clock(void) { static unsigned long t; return t += 1000; }
#define LLAMA_MALLOC(n_bytes) my_malloc(n_bytes)
#define LLAMA_FREE(p) my_free(p)
#define LLAMA_CLOCK_US() my_clock()
#define LLAMA_MAX_PARTS 4
#define LLAMA_IMPLEMENTATION
#include "../../llama.h"
#include "two.c"
#include "three.c"

int main(int argc, char **argv) {
    lm_model *m; lm_ctx *c; lm_counters k;
    if (argc != 2 || part_open(argv[1], &m, &c) != 0 || part_print(m, c) != 0) return 1;
    lm_get_counters(c, &k);
    if (n_live < 2 || k.decode_us == 0 || k.decode_us % 1000 != 0) return 1;
    lm_ctx_close(c); lm_model_close(m);
    return n_live != 0;
}
