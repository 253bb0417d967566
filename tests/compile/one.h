/* What the parts of the little programs offer each other. Each program is built as users build theirs: one file holds the
 * implementation, the others only include the header. It prints one line that depends on every logit of five tokens. */
#ifndef ONE_H
#define ONE_H
#include "../../llama.h"
#ifdef __cplusplus
extern "C" {
#endif
int part_open(const char *path, lm_model **m, lm_ctx **c);   /* two */
int part_print(const lm_model *m, lm_ctx *c);                /* three */
#ifdef __cplusplus
}
#endif
#endif
