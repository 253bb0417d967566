/* Fuzz target: arbitrary bytes as text, with a tiny vocabulary of SentencePiece kind and one of byte-level BPE under every pre-tokenizer. The
 * ids must lie in the vocabulary and, as every byte has a token, give the text back where nothing is normalized. Build as fuzz_gguf.c, with
 * tests/tiny.c and tests/test_util.c. Any text is a seed. */
#include "tiny.h"
#ifdef LLAMA_FUZZ
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { N_PRE = 14, CAP = 1 << 15 };
static const char *const pre[N_PRE] = { NULL, "llama-bpe", "smaug-bpe", "glm4", "gpt-2", "smollm", "qwen2", "stablelm2", "tekken", "gpt-4o", "deepseek-coder",
    "deepseek-llm", "deepseek-v3", "default" };
static lm_model *model[N_PRE];                              /* the first is SentencePiece's */
static void put_letter(bytes *b, int byte) {                /* as GPT-2's encoder.py writes a byte */
    int i, n = 0, keep = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173); char s[3];
    for (i = 0; i < byte; i++) n += !((i >= 33 && i <= 126) || (i >= 161 && i != 173));
    n = keep ? byte : 256 + n;
    s[0] = (char)(n < 128 ? n : 0xc0 | n >> 6); s[1] = (char)(n < 128 ? 0 : 0x80 | (n & 63)); s[2] = 0;
    put_str(b, s);
}
static bytes bpe(void) {
    gguf_writer g; bytes b; int i;
    static const char *const more[] = { "he", "the", "ll", "\xc4\xa0t", "\xc4\xa0the", "12", "\xc4\x8a\xc4\x8a", "\xc3\x83\xc2\xa9", "<|end|>", "<x>" };
    static const char *const merge[] = { "h e", "t he", "l l", "\xc4\xa0 t", "\xc4\xa0t he", "1 2", "\xc4\x8a \xc4\x8a", "\xc3\x83 \xc2\xa9" };
    memset(&g, 0, sizeof g);
    gguf_str(&g, "general.architecture", "llama"); gguf_str(&g, "tokenizer.ggml.model", "gpt2"); gguf_str(&g, "tokenizer.ggml.pre", "gpt-2");
    gguf_array(&g, "tokenizer.ggml.tokens", LM_META_STR, 266);
    for (i = 0; i < 256; i++) put_letter(&g.kv, i);
    for (i = 0; i < 10; i++) put_str(&g.kv, more[i]);
    gguf_array(&g, "tokenizer.ggml.token_type", LM_META_I32, 266);
    for (i = 0; i < 266; i++) put_u32(&g.kv, i == 264 ? LM_TOKEN_CONTROL : i == 265 ? LM_TOKEN_USER : LM_TOKEN_NORMAL);
    gguf_array(&g, "tokenizer.ggml.merges", LM_META_STR, 8);
    for (i = 0; i < 8; i++) put_str(&g.kv, merge[i]);
    b = gguf_write(&g);
    gguf_free(&g);
    return b;
}
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {    /* the first byte picks the vocabulary and the flags, the rest is the text */
    static bytes spm, byte_level; static lm_token ids[CAP]; static char back[CAP * 4]; lm_model_desc d; lm_error err; lm_token_info info; const bytes *b;
    int i, flags, low = 0; size_t k, m, j;
    if (n == 0 || n > 4096) return 0;
    if (spm.n == 0) { spm = tiny_gguf("nano"); byte_level = bpe(); }
    i = p[0] % N_PRE; flags = p[0] / N_PRE % 4; p++; n--; b = i ? &byte_level : &spm;
    for (j = 0; j + 3 <= n; j++) low |= memcmp(p + j, "\xe2\x96\x81", 3) == 0; /* comes back as a space from SentencePiece */
    memset(&d, 0, sizeof d); d.source.data = b->p; d.source.size = b->n; d.vocab_only = 1; d.pre = pre[i];
    if (model[i] == NULL && lm_model_open(&model[i], &d, &err) != LM_OK) { fprintf(stderr, "fuzz_text: %s\n", err.text); abort(); }
    if (lm_tokenize(model[i], (const char *)p, n, flags, ids, CAP, &k) != LM_OK) abort();
    for (j = 0; j < k; j++) if (lm_token_get_info(model[i], ids[j], &info) != LM_OK) abort();
    if (lm_detokenize(model[i], ids, k, LM_TEXT_SHOW_CONTROL, back, sizeof back, &m) != LM_OK) abort();
    if (!(flags & LM_TEXT_ADD_SPECIAL) && (i ? strcmp(pre[i], "qwen2") != 0 : !low && !(flags & LM_TEXT_PARSE_SPECIAL))
        && (m != n || memcmp(back, p, n) != 0)) abort();
    return 0;
}
#endif
