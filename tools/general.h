/* The general.* metadata of a GGUF file that say what a model is called: from the name of its folder or what config.json calls it, the number
 * of its weights, generation_config.json, and the head of its README.md, the model card. Keys and values are those of llama.cpp's
 * converter; the rules by which it takes a name apart ("Llama-3.2-1B-Instruct": basename Llama-3.2, size 1B, finetune Instruct) are those of
 * gguf-py's metadata.py, written anew. Nothing here changes what a model computes. */
#ifndef GENERAL_H
#define GENERAL_H
#include "gguf_write.h"
#include "json.h"

#define GENERAL_TEXT 256              /* bytes of a name, with its 0; what is longer is cut */
#define GENERAL_PARTS 64

/* ---- a name and its parts */
typedef struct general_name { char full[GENERAL_TEXT], organization[GENERAL_TEXT], basename[GENERAL_TEXT], finetune[GENERAL_TEXT],
    version[GENERAL_TEXT], size[GENERAL_TEXT]; } general_name;
enum { GENERAL_BASE = 1, GENERAL_SIZE = 2, GENERAL_TUNE = 4, GENERAL_VERSION = 8, GENERAL_TYPE = 16 };

static inline int general_digit(char c) { return c >= '0' && c <= '9'; }
static inline int general_alpha(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static inline char general_upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 32) : c; }
static inline int general_is(const char *a, const char *b) { /* regardless of case; b in capitals */
    while (*a && general_upper(*a) == *b) { a++; b++; }
    return *a == 0 && *b == 0;
}
static inline const char *general_digits(const char *p) { while (general_digit(*p)) p++; return p; }
static inline int general_is_version(const char *p) { /* (v|iter)?1(.2)* */
    p += (*p | 32) == 'v' ? 1 : strlen(p) > 4 && (p[0] | 32) == 'i' && (p[1] | 32) == 't' && (p[2] | 32) == 'e' && (p[3] | 32) == 'r' ? 4 : 0;
    if (!general_digit(*p)) return 0;
    for (p = general_digits(p); *p == '.' && general_digit(p[1]); ) p = general_digits(p + 1);
    return *p == 0;
}
static inline int general_is_type(const char *p) { /* q4_0, iq4_x_s; f16, fp32, bf16 */
    const char *q = p + ((*p | 32) == 'i');
    if ((*q | 32) == 'q' && general_digit(q[1])) {
        for (q += 2; *q == '_' && (general_alpha(q[1]) || general_digit(q[1]) || q[1] == '_'); q += 2) {}
        if (*q == 0) return 1;
    }
    q = p + ((*p | 32) == 'b');
    if ((*q++ | 32) != 'f') return 0;
    q += (*q | 32) == 'p';
    return strcmp(q, "16") == 0 || strcmp(q, "32") == 0;
}
static inline int general_is_size(const char *p) { /* 7B, 1.5b, 8x7B, A3B, 7b1; or a word */
    static const char *const words[] = { "SMALL", "MINI", "MEDIUM", "LARGE", "XL", "XXL" }; int i; const char *q;
    for (i = 0; i < 6; i++) if (general_is(p, words[i])) return 1;
    if ((*p | 32) == 'a') p++;
    else if (q = general_digits(p), q > p && (*q | 32) == 'x' && general_digit(q[1])) p = q + 1;
    if (!general_digit(*p)) return 0;
    p = general_digits(p);
    if ((*p == '.' || *p == '_') && general_digit(p[1])) p = general_digits(p + 1);
    if (*p == 0 || !strchr("KMBT", general_upper(*p))) return 0;
    p++;
    p += general_digit(*p);
    return *p == 0;
}
/* A part that is a size: spelt alike; not a size but a context's length or the like (1: so) where it is far from the number of weights. */
static inline int general_size(char *p, double n_weights) {
    size_t n = strlen(p), i; char *end; double v; static const char scale[] = " KMBT"; const char *unit;
    for (i = 0; i < n; i++) if (p[i] == '_') p[i] = '.';
    if (n > 2 && general_digit(p[n - 1])) { char c = p[n - 2]; p[n - 2] = '.'; p[n] = c; p[n + 1] = 0; n++; } /* 7b1 is 7.1b */
    if (n > 1 && general_digit(p[n - 2])) p[n - 1] = general_upper(p[n - 1]);
    unit = strchr(scale, p[n - 1]);
    if (n_weights == 0 || !general_digit(p[0])) return 0;
    v = strtod(p, &end);
    if (end != p + n - 1 || unit == NULL) return 0;
    for (i = 0; i < (size_t)(unit - scale); i++) v *= 1000;
    if (n_weights < 0 ? v >= floor(-n_weights / 8) : fabs(v - n_weights) <= floor(7 * n_weights / 8))
        return 0; /* an adapter has fewer than its model */
    if (p[n - 1] >= 'A' && p[n - 1] <= 'Z') p[n - 1] = (char)(p[n - 1] + 32);
    return 1;
}
static inline void general_join(char *to, const char *part, int once) { /* "a" -> "a-b"; once: unless it is there */
    size_t n = strlen(to), k = strlen(part); const char *p = to;
    for (; once && *p; p += strcspn(p, "-"), p += *p == '-') if (strncmp(p, part, k) == 0 && (p[k] == 0 || p[k] == '-')) return;
    snprintf(to + n, GENERAL_TEXT - n, "%s%s", n ? "-" : "", part);
}
/* n_weights: of the model; of an adapter, negative, those of the matrices that it changes; 0: not known. */
static inline void general_split(const char *id, double n_weights, general_name *g) {
    static char part[GENERAL_PARTS][GENERAL_TEXT]; int kind[GENERAL_PARTS], n = 0, i, numbered = 0, start = 1;
    const char *p, *slash = strchr(id, '/'); size_t k;
    memset(g, 0, sizeof *g);
    if (slash && !strchr(id, ' ')) {  /* "org/name", but not "./name" */
        k = slash - id < GENERAL_TEXT ? (size_t)(slash - id) : GENERAL_TEXT - 1;
        if (*id != '.') memcpy(g->organization, id, k);
        id = slash + 1;
    }
    snprintf(g->full, GENERAL_TEXT, "%s", id);
    if (strchr(id, ' ')) return;      /* a sentence */
    for (p = g->full; *p && n < GENERAL_PARTS; p += k + (p[k] != 0)) {
        k = strcspn(p, "-");
        if (k > 0) { memcpy(part[n], p, k); part[n++][k] = 0; }
    }
    for (i = 0; i < n; i++) {
        char *w = part[i];
        kind[i] = 0;
        if (general_is_version(w)) kind[i] = GENERAL_VERSION;
        else if (general_is_type(w)) { kind[i] = GENERAL_TYPE; for (k = 0; w[k]; k++) w[k] = general_upper(w[k]); }
        else if (i > 0 && strlen(w) < GENERAL_TEXT - 2 && general_is_size(w)) kind[i] = general_size(w, n_weights) ? GENERAL_TUNE : GENERAL_SIZE;
        else if (i > 0 && (general_is(w, "CHAT") || general_is(w, "INSTRUCT") || general_is(w, "VISION"))) kind[i] = GENERAL_TUNE;
        else if (i > 0 && general_is(w, "LORA")) kind[i] = n_weights < 0 ? GENERAL_TYPE : GENERAL_TUNE;
        if (kind[i] == GENERAL_SIZE && strpbrk(w, "0123456789")) numbered = 1;
    }
    for (i = 0; i < n; i++) { /* words are no sizes beside numbers; what is before all this is the name proper, the rest what was done to it */
        if (kind[i] == GENERAL_SIZE && numbered && !strpbrk(part[i], "0123456789.")) kind[i] = 0;
        if (start && ((kind[i] == 0 && general_alpha(part[i][0])) || kind[i] == GENERAL_VERSION)) kind[i] |= GENERAL_BASE;
        else { start = 0; if (kind[i] == 0) kind[i] = GENERAL_TUNE; }
    }
    for (i = n; i-- > 0 && (kind[i] & GENERAL_BASE) && kind[i] != GENERAL_BASE; ) kind[i] &= ~GENERAL_BASE;
    for (i = 0; i < n; i++) {
        if (kind[i] & GENERAL_BASE) general_join(g->basename, part[i], 0);
        else if (kind[i] & GENERAL_VERSION) general_join(g->version, part[i], 0);
        if (kind[i] & GENERAL_SIZE) general_join(g->size, part[i], 1);
        if (kind[i] & GENERAL_TUNE) general_join(g->finetune, part[i], 0);
    }
    if (!g->size[0] && !g->finetune[0] && !g->version[0]) g->basename[0] = 0; /* says nothing more than the name */
}
/* "smol-llama_2 v1" -> "Smol Llama_2 v1": words in small letters get a capital at each start of letters, but for versions and numbers. */
static inline void general_title(const char *name, char *title) {
    size_t n = 0, k, i, m; const char *p = name; int upper, letter; char word[GENERAL_TEXT];
    for (; *p && n < GENERAL_TEXT - 2; p += k) {
        k = strcspn(p, "- \t");
        if (k == 0) { k = 1; continue; }
        if (n) title[n++] = ' ';
        for (upper = letter = 0, i = 0; i < k; i++) { upper |= p[i] >= 'A' && p[i] <= 'Z'; letter |= general_alpha(p[i]); }
        m = k < GENERAL_TEXT ? k : GENERAL_TEXT - 1;
        memcpy(word, p, m); word[m] = 0;
        if (general_digit(word[0]) || (word[0] == 'v' && general_is_version(word))) upper = 1;
        for (i = 0; i < k && n < GENERAL_TEXT - 1; i++)
            title[n++] = upper || !letter || (i > 0 && (general_alpha(p[i - 1]) || (unsigned char)p[i - 1] >= 128)) ? p[i] : general_upper(p[i]);
    }
    title[n] = 0;
}
static inline void general_count(double n, char *text, size_t cap) { /* 134515008 -> "135M", 1235814400 -> "1.2B" */
    int i = n > 1e12 ? 3 : n > 1e9 ? 2 : n > 1e6 ? 1 : 0; double x = n / (i == 3 ? 1e12 : i == 2 ? 1e9 : i == 1 ? 1e6 : 1e3), whole = rint(x);
    snprintf(text, cap, "%.*f%c", whole >= 10 ? 0 : whole >= 1 ? 1 : 2, x, "KMBT"[i]);
}

/* ---- the model card: the head of README.md between two lines of ---, of which lines "key: value" and lists of "- value" are read */
typedef struct general_card {
    char *text; const char *license, *license_name, *license_link; char *tag[64], *language[64]; int n_tags, n_languages;
} general_card;
static inline char *general_value(char *p) { /* without blanks and quotes around it; NULL: nothing, or what takes YAML to read */
    size_t n;
    while (*p == ' ') p++;
    for (n = strlen(p); n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\r'); ) p[--n] = 0;
    if (n > 1 && (*p == '"' || *p == '\'') && p[n - 1] == *p) { p[n - 1] = 0; p++; n -= 2; return strpbrk(p, "\\\"'") ? NULL : p; }
    return n == 0 || strchr("[]{}&*!|>%@`\"'#,?", *p) || strstr(p, ": ") || strstr(p, " #") || general_is(p, "NULL") || strcmp(p, "~") == 0 ? NULL
        : p;
}
static inline void general_card_read(general_card *c, const char *path) {
    size_t n; char *p, *next, *v, *pipeline = NULL, key[32] = ""; int indent;
    memset(c, 0, sizeof *c);
    if (cli_what(path) != CLI_FILE) return;
    c->text = p = cli_read(path, &n);
    if (strlen(p) != n || strncmp(p, "---", 3) != 0 || (p[3] != '\n' && p[3] != '\r')) return;
    for (p += strcspn(p, "\n"), p += *p != 0; *p; p = next) {
        next = p + strcspn(p, "\n");
        if (*next) *next++ = 0;
        for (indent = 0; *p == ' '; p++) indent++;
        if (strncmp(p, "---", 3) == 0 && indent == 0) break;
        if (p[0] == '-' && p[1] == ' ') {
            if ((v = general_value(p + 2)) == NULL) continue;
            if (strcmp(key, "tags") == 0 && c->n_tags < 63) c->tag[c->n_tags++] = v;
            if ((strcmp(key, "language") == 0 || strcmp(key, "languages") == 0) && c->n_languages < 64) c->language[c->n_languages++] = v;
            continue;
        }
        if (indent > 0) { key[0] = 0; continue; }
        n = strcspn(p, ":");
        snprintf(key, sizeof key, "%.*s", (int)(n < 31 ? n : 31), p);
        if (p[n] == 0 || (v = general_value(p + n + 1)) == NULL) continue;
        if (strcmp(key, "license") == 0) c->license = v;
        if (strcmp(key, "license_name") == 0) c->license_name = v;
        if (strcmp(key, "license_link") == 0) c->license_link = v;
        if (strcmp(key, "tags") == 0 && c->n_tags < 63) c->tag[c->n_tags++] = v;
        if (strcmp(key, "pipeline_tag") == 0) pipeline = v;
        if (strcmp(key, "language") == 0 && c->n_languages < 64) c->language[c->n_languages++] = v;
    }
    if (pipeline) c->tag[c->n_tags++] = pipeline;
}
static inline void general_list(gguf_writer *w, const char *key, char *const *v, int n) {
    int i;
    if (n == 0) return;
    gguf_array(w, key, LM_META_STR, (uint64_t)n);
    for (i = 0; i < n; i++) gguf_item_text(w, v[i], strlen(v[i]));
}

/* ---- all of it. said: the model's name in config.json, "" if none; name: of the folder or file; card, sampling: paths, NULL for none */
static inline void general_sampling(gguf_writer *w, const char *path) {
    static const struct { const char *from, *key; int whole; } known[] = { { "top_k", "top_k", 1 }, { "top_p", "top_p", 0 }, { "min_p", "min_p", 0 },
        { "temperature", "temp", 0 },
        { "repetition_penalty", "penalty_repeat", 0 } };
    json_doc d; char key[64]; int i;
    if (path == NULL || cli_what(path) != CLI_FILE) return;
    memset(&d, 0, sizeof d);
    json_as(&d, json_read(&d, path), JSON_OBJECT);
    for (i = 0; i < 5; i++) {
        const json *v = json_opt(&d, d.root, known[i].from, JSON_NUMBER);
        if (v == NULL) continue;
        snprintf(key, sizeof key, "general.sampling.%s", known[i].key);
        if (known[i].whole) gguf_int(w, key, LM_META_I32, json_as_int(&d, v, INT32_MIN, INT32_MAX));
        else gguf_f32(w, key, (float)json_as_real(&d, v));
    }
    json_close(&d);
}
static inline void general_write(gguf_writer *w, const char *said, const char *name, double n_weights, const char *card, const char *sampling) {
    general_name g[2]; char title[GENERAL_TEXT]; general_card c; const char *slash = strchr(said, '/');
    memset(g, 0, sizeof g);
    if (*said && (slash == NULL || strchr(slash + 1, '/') == NULL)) general_split(said, n_weights, &g[0]); /* a path says nothing */
    general_split(name, n_weights, &g[1]);
    memset(&c, 0, sizeof c);
    if (card) general_card_read(&c, card);
    general_sampling(w, sampling);
#define GENERAL_FIELD(field) (g[0].field[0] ? g[0].field : g[1].field)
    general_title(GENERAL_FIELD(full), title);
    gguf_str(w, "general.name", title[0] ? title : "model");
    if (*GENERAL_FIELD(version)) gguf_str(w, "general.version", GENERAL_FIELD(version));
    if (*GENERAL_FIELD(organization)) { general_title(GENERAL_FIELD(organization), title); gguf_str(w, "general.organization", title); }
    if (*GENERAL_FIELD(finetune)) gguf_str(w, "general.finetune", GENERAL_FIELD(finetune));
    if (*GENERAL_FIELD(basename)) gguf_str(w, "general.basename", GENERAL_FIELD(basename));
    if (*GENERAL_FIELD(size)) gguf_str(w, "general.size_label", GENERAL_FIELD(size));
    else if (n_weights > 0) { general_count(n_weights, title, sizeof title); gguf_str(w, "general.size_label", title); }
#undef GENERAL_FIELD
    if (c.license) gguf_str(w, "general.license", c.license);
    if (c.license_name) gguf_str(w, "general.license.name", c.license_name);
    if (c.license_link) gguf_str(w, "general.license.link", c.license_link);
    general_list(w, "general.tags", c.tag, c.n_tags);
    general_list(w, "general.languages", c.language, c.n_languages);
    free(c.text);
}
#endif /* GENERAL_H */
