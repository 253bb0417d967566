/* A second private copy in the same program. */
#define PRIVATE private_b
#include "private_a.c"
