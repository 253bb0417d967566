/* A private copy of the library: nothing of it can be seen outside this file. */
#define LLAMA_STATIC
#define LLAMA_IMPLEMENTATION
#include "../../llama.h"
#include <stdio.h>

#ifndef PRIVATE
#define PRIVATE private_a
#endif
int PRIVATE(const char *path, uint32_t *sum);
int PRIVATE(const char *path, uint32_t *sum) {
    static const lm_token ids[5] = { 1, 290, 300, 17, 280 };
    lm_model_desc d; lm_ctx_desc r; lm_model *m; lm_ctx *c; lm_batch b; lm_model_info i; lm_error e; const float *l; uint32_t u; int k, byte;
    memset(&d, 0, sizeof d); memset(&r, 0, sizeof r); memset(&b, 0, sizeof b);
    d.path = path; r.n_ctx = 64; r.n_batch = 8; b.ids = ids; b.n = 5;
    if (lm_model_open(&m, &d, &e) != LM_OK || lm_ctx_open(&c, m, &r, &e) != LM_OK) { fprintf(stderr, "%s\n", e.text); return 1; }
    if (lm_decode(c, &b) != LM_OK || (l = lm_logits(c, -1)) == NULL) { fprintf(stderr, "%s\n", lm_ctx_error(c)); return 1; }
    lm_model_get_info(m, &i);
    for (*sum = 2166136261u, k = 0; k < i.n_vocab; k++) {
        memcpy(&u, &l[k], 4);
        for (byte = 0; byte < 4; byte++) *sum = (*sum ^ (u >> (8 * byte) & 255)) * 16777619u;
    }
    lm_ctx_close(c); lm_model_close(m);
    return 0;
}
