#include "one.h"
#include <stdio.h>
#include <string.h>

int part_open(const char *path, lm_model **m, lm_ctx **c) {
    lm_model_desc d; lm_ctx_desc r; lm_error e; lm_status s;
    memset(&d, 0, sizeof d); memset(&r, 0, sizeof r);
    d.path = path; r.n_ctx = 64; r.n_batch = 8;
    s = lm_model_open(m, &d, &e);
    if (s == LM_OK) s = lm_ctx_open(c, *m, &r, &e);
    if (s != LM_OK) fprintf(stderr, "%s: %s\n", lm_status_text(s), e.text);
    return s != LM_OK;
}
