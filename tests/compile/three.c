#include "one.h"
#include <stdio.h>
#include <string.h>

int part_print(const lm_model *m, lm_ctx *c) {
    static const lm_token ids[5] = { 1, 290, 300, 17, 280 };
    lm_batch b; lm_model_info i; const float *l; uint32_t u, h = 2166136261u; int k, byte;
    memset(&b, 0, sizeof b);
    b.ids = ids; b.n = 5;
    lm_model_get_info(m, &i);
    if (lm_decode(c, &b) != LM_OK || (l = lm_logits(c, -1)) == NULL) { fprintf(stderr, "%s\n", lm_ctx_error(c)); return 1; }
    for (k = 0; k < i.n_vocab; k++) {
        memcpy(&u, &l[k], 4);
        for (byte = 0; byte < 4; byte++) h = (h ^ (u >> (8 * byte) & 255)) * 16777619u;
    }
    printf("%d tokens, %d logits, %08lx\n", lm_seq_len(c, 0), i.n_vocab, (unsigned long)h);
    return 0;
}
