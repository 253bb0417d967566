/* Runs the two private copies. */
#include <stdint.h>
#include <stdio.h>
int private_a(const char *path, uint32_t *sum);
int private_b(const char *path, uint32_t *sum);

int main(int argc, char **argv) {
    uint32_t a = 0, b = 1;
    if (argc != 2 || private_a(argv[1], &a) != 0 || private_b(argv[1], &b) != 0) return 1;
    printf("5 tokens, %s, %08lx\n", a == b ? "both copies alike" : "DIFFERENT", (unsigned long)a);
    return a != b;
}
