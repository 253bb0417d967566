/* The smallest program: opens a model, continues a text, closes. It needs nothing but llama.h and is built as users build theirs:
 *   cc -O2 -I. examples/hello.c -o hello -lm -lpthread
 *   ./hello examples/stories.gguf "Once upon a time"
 */
#define LLAMA_IMPLEMENTATION
#include "llama.h"
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    const char *prompt = argc > 2 ? argv[2] : "Once upon a time";
    lm_model_desc file = { 0 }; lm_ctx_desc room = { 0 };              // zeros ask for the defaults
    lm_model *model; lm_ctx *ctx; lm_error err;
    lm_token ids[256]; size_t n; char text[256];
    file.path = argc > 1 ? argv[1] : "examples/stories.gguf";
    if (lm_model_open(&model, &file, &err) || lm_ctx_open(&ctx, model, &room, &err) ||
        lm_tokenize(model, prompt, strlen(prompt), LM_TEXT_ADD_SPECIAL, ids, 256, &n))
        return fprintf(stderr, "hello: %s\n", *err.text ? err.text : "the prompt is too long"), 1;
    lm_batch batch = { ids, (int)n, NULL, NULL };
    printf("%s", prompt);
    for (int i = 0; i < 32 && lm_decode(ctx, &batch) == LM_OK; i++) {
        ids[0] = lm_sample(ctx, -1, NULL);                             // NULL: the likeliest token
        if (ids[0] < 0 || lm_token_is_eog(model, ids[0])) break;
        if (!lm_detokenize(model, ids, 1, LM_TEXT_CONTINUES, text, sizeof text, &n)) fwrite(text, 1, n, stdout);
        batch.n = 1;
    }
    printf("\n");
    if (*lm_ctx_error(ctx)) return fprintf(stderr, "hello: %s\n", lm_ctx_error(ctx)), 1;
    lm_ctx_close(ctx); lm_model_close(model);
}
