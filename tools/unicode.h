/* What Unicode says of characters, asked of the library, which has the tables (section >>text of llama.h). Header-only.
 *   unicode_open();
 *   unicode_class(0x00e9) == UNICODE_LETTER       \p{L}, \p{N}, white space (\s), or none of these
 *   unicode_nfc(text, n, &m)                      the text in normal form C, in a buffer that the next call reuses
 *   unicode_close();
 * Both answers come from tokenizers made here in memory, of the 256 bytes and some pairs: the pre-tokenizer "gpt-2" keeps "a" and a character
 * together exactly if that is a letter, which shows as the merge of "a" with its first byte; "qwen2" normalizes text before it is cut. */
#ifndef UNICODE_H
#define UNICODE_H
#include "gguf_write.h"
#include "json.h"

enum { UNICODE_UNKNOWN, UNICODE_OTHER, UNICODE_LETTER, UNICODE_NUMBER, UNICODE_WHITE };
#define UNICODE_N_ASK 51              /* bytes 0xc2 to 0xf4 begin characters beyond ASCII */
static struct { lm_model *classes, *nfc; gguf_bytes file; unsigned char *page[0x1100]; lm_token *ids; char *text; size_t cap; } unicode;

/* The byte alphabet of GPT-2 (encoder.py): printable Latin-1 stands for itself, the others follow from U+0100 on. */
static inline uint32_t unicode_byte(int b) {
    static const unsigned char first[4] = { 0, 33, 127, 173 }; int shown = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
    if (shown) return (uint32_t)b;
    return b < first[1] ? 256u + (uint32_t)b : b == 173 ? 256u + 67u : 256u + 33u + (uint32_t)(b - first[2]);
}
static inline size_t unicode_put(char *to, int b) { return (size_t)(json_put_utf8(to, unicode_byte(b)) - to); } /* 1 or 2 bytes */

/* a GGUF file in memory: ids 0 to 255 are the bytes, 256 + 51 k + i the pair of asks[k] and byte 0xc2 + i */
static inline void unicode_vocabulary(void) {
    static const unsigned char asks[3] = { 'a', '1', '\n' }; gguf_writer w; char text[8]; size_t n; int i, k;
    memset(&w, 0, sizeof w); w.path = "Unicode";
    gguf_str(&w, "general.architecture", "llama"); gguf_str(&w, "tokenizer.ggml.model", "gpt2"); gguf_str(&w, "tokenizer.ggml.pre", "gpt-2");
    gguf_array(&w, "tokenizer.ggml.tokens", LM_META_STR, 256 + 3 * UNICODE_N_ASK);
    for (i = 0; i < 256; i++) { n = unicode_put(text, i); gguf_item_text(&w, text, n); }
    for (k = 0; k < 3; k++) for (i = 0; i < UNICODE_N_ASK; i++) { n = unicode_put(text, asks[k]); n += unicode_put(text + n, 0xc2 + i);
        gguf_item_text(&w, text, n); }
    gguf_array(&w, "tokenizer.ggml.token_type", LM_META_I32, 256 + 3 * UNICODE_N_ASK);
    for (i = 0; i < 256 + 3 * UNICODE_N_ASK; i++) gguf_item_int(&w, LM_TOKEN_NORMAL);
    gguf_array(&w, "tokenizer.ggml.merges", LM_META_STR, 3 * UNICODE_N_ASK);
    for (k = 0; k < 3; k++) for (i = 0; i < UNICODE_N_ASK; i++)
        { n = unicode_put(text, asks[k]); text[n++] = ' '; n += unicode_put(text + n, 0xc2 + i); gguf_item_text(&w, text, n); }
    gguf_bool(&w, "tokenizer.ggml.add_bos_token", 0);
    gguf_put(&unicode.file, "GGUF", 4); gguf_put_le(&unicode.file, 3, 4); gguf_put_le(&unicode.file, 0, 8); gguf_put_le(&unicode.file, w.n_key, 8);
    gguf_put(&unicode.file, w.kv.p, w.kv.n);
    free(w.kv.p); free(w.key);
}
static inline lm_model *unicode_model(const char *pre) {
    lm_model_desc d; lm_error err; lm_model *m;
    memset(&d, 0, sizeof d);
    d.source.data = unicode.file.p; d.source.size = unicode.file.n; d.vocab_only = 1; d.pre = pre;
    if (lm_model_open(&m, &d, &err) != LM_OK) { cli_die("Unicode: %s", err.text); return NULL; }
    return m;
}
static inline void unicode_open(void) {
    if (unicode.classes) return;
    unicode_vocabulary();
    unicode.classes = unicode_model("gpt-2"); unicode.nfc = unicode_model("qwen2");
}
static inline void unicode_close(void) {
    size_t i;
    lm_model_close(unicode.classes); lm_model_close(unicode.nfc);
    for (i = 0; i < sizeof unicode.page / sizeof *unicode.page; i++) free(unicode.page[i]);
    free(unicode.file.p); free(unicode.ids); free(unicode.text);
    memset(&unicode, 0, sizeof unicode);
}
static inline int unicode_ask(uint32_t cp) {
    static const int answer[3] = { UNICODE_LETTER, UNICODE_NUMBER, UNICODE_WHITE }; static const char asks[3] = { 'a', '1', '\n' };
    char text[8]; lm_token ids[8]; size_t n, k; int i;
    for (i = 0; i < 3; i++) {
        text[0] = asks[i]; n = (size_t)(json_put_utf8(text + 1, cp) - text);
        if (lm_tokenize(unicode.classes, text, n, 0, ids, 8, &k) != LM_OK) cli_die("Unicode: out of memory");
        if (ids[0] >= 256) return answer[i];
    }
    return UNICODE_OTHER;
}
static inline int unicode_class(uint32_t cp) {
    unsigned char **page;
    if (cp < 128) {
        uint32_t low = cp | 32;
        return low >= 'a' && low <= 'z' ? UNICODE_LETTER : cp >= '0' && cp <= '9' ? UNICODE_NUMBER
            : cp == ' ' || (cp >= 9 && cp <= 13) ? UNICODE_WHITE : UNICODE_OTHER;
    }
    if (cp > 0x10ffff) return UNICODE_OTHER;
    page = &unicode.page[cp >> 8];
    if (*page == NULL) { *page = (unsigned char *)cli_grow(NULL, 256); memset(*page, UNICODE_UNKNOWN, 256); }
    if ((*page)[cp & 255] == UNICODE_UNKNOWN) (*page)[cp & 255] = (unsigned char)unicode_ask(cp);
    return (*page)[cp & 255];
}
/* The character at p, n > 0: its bytes; one byte that is not UTF-8 is a character of its own, 0x110000 + its value. */
static inline size_t unicode_next(const char *p, size_t n, uint32_t *cp) {
    size_t len;
    if ((unsigned char)*p < 0x80) { *cp = (unsigned char)*p; return 1; }
    if (cli_utf8(p, n, &len, cp) == 1) return len;
    *cp = 0x110000u + (unsigned char)*p;
    return 1;
}
static inline const char *unicode_nfc(const char *text, size_t n, size_t *m) {
    size_t k, at, len; uint32_t cp, high = 0;
    for (at = 0; at < n; at += len) { len = unicode_next(text + at, n - at, &cp); if (cp > high && cp < 0x110000) high = cp; }
    *m = n;
    if (high < 0x300) return text;    /* below the first combining mark all is in normal form */
    if (unicode.cap < 4 * n + 64) { /* no character grows beyond three times its bytes (UAX 15, section 9) */
        unicode.cap = 4 * n + 64;
        unicode.text = (char *)cli_grow(unicode.text, unicode.cap); unicode.ids = (lm_token *)cli_grow(unicode.ids,
            unicode.cap * sizeof *unicode.ids);
    }
    if (lm_tokenize(unicode.nfc, text, n, 0, unicode.ids, unicode.cap, &k) != LM_OK ||
        lm_detokenize(unicode.nfc, unicode.ids, k, LM_TEXT_CONTINUES, unicode.text, unicode.cap, m) != LM_OK) cli_die("Unicode: out of memory");
    return unicode.text;
}
#endif /* UNICODE_H */
