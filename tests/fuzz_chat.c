/* Fuzz target: arbitrary bytes as a chat template and as the JSON that it renders: the template ends at the first byte 0, the rest is the
 * variables' object (without one: a fixed conversation). No crash, no leak, no more memory than allowed, an error of one line, and the same text
 * twice. Build as fuzz_gguf.c. Any template is a seed. */
#include "../llama.h"
#include <stdlib.h>
#include <string.h>
#ifdef LLAMA_FUZZ
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static size_t live;
static void *take(void *user, size_t n, size_t align) {
    void *p = n > ((size_t)16 << 20) - live ? NULL : malloc(n);
    (void)user; (void)align;
    if (p) { memset(p, 0xa5, n); live += n; }
    return p;
}
static void give(void *user, void *p, size_t n) { (void)user; live -= n; free(p); }
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static const lm_message fixed[3] = { { "system", "Be <kind>.", 0 }, { "user", "Hi \xc3\xa9 <|im_end|>", 0 }, { "assistant", NULL, 0 } };
    const uint8_t *end = n ? (const uint8_t *)memchr(p, 0, n) : NULL; lm_chat_desc d; lm_error err; size_t k = 0, again = 0; char *text; lm_status s;
    memset(&d, 0, sizeof d);
    d.messages = fixed; d.n_messages = 3; d.now = 1786000000; d.max_steps = 100000; d.hooks.take = take; d.hooks.give = give;
    d.template_text = (const char *)p; d.template_bytes = end ? (size_t)(end - p) : n;
    if (n == 0) d.template_text = "";
    if (end) { d.extra_json = (const char *)end + 1; d.extra_bytes = n - d.template_bytes - 1; }
    s = lm_chat_render(NULL, &d, NULL, 0, &k, &err);
    if (s != LM_OK && (err.text[0] == 0 || strchr(err.text, '\n'))) abort();
    if (live != 0) abort();
    if (s == LM_E_FULL && k > 0) {
        text = (char *)malloc(k);
        if (text && (lm_chat_render(NULL, &d, text, k, &again, &err) != LM_OK || again != k || live != 0)) abort();
        free(text);
    }
    return 0;
}
#endif
