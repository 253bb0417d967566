/* The configuration of a program: one table of keys gives the reader of a JSON file, the options `--key value` that override it, --help, and
 * the canonical text by which two configurations are compared.
 *   static config_key keys[] = {
 *       { "lr", CONFIG_REAL, &lr, "3e-4", 0, 10, "per step", "learning rate at its peak", 0 },
 *       { "shape.n_layer", CONFIG_INT, &n_layer, "6", 1, 1024, "layers", "depth of a model from scratch", 0 },
 *       { "schedule", CONFIG_CHOICE, &schedule, "cosine", 0, 0, "constant|cosine|linear|wsd", "how the learning rate falls", 0 } };
 *   CONFIG_PARSE("train", "CONFIG.json [--key value ...]", keys, options, &path);   path: the first argument without a name
 *   config_read(path);                                     NULL: no file. Then defaults, the file and the options are in the variables
 *   ...
 *   config_close();                                        texts and lists are valid until here
 * A key with dots is a member of an object in the file ({ "shape": { "n_layer": 6 } }), or is written there as it is. In the file a
 * value has its JSON type; on the command line it is text: a list or an object is JSON. A list of one item may be just that item.
 * null is the default. Whatever is wrong ends the program with one line: with exit 1 where it stands in the file, exit 2 on the command line.
 * An unknown key names the nearest known one. */
#ifndef CONFIG_H
#define CONFIG_H
#include "json.h"

typedef enum config_kind {
    CONFIG_INT,                       /* int64_t, lo to hi; in the file 1e6 is an integer too */
    CONFIG_REAL,                      /* double, lo to hi */
    CONFIG_BOOL,                      /* int 0 or 1; written true or false */
    CONFIG_TEXT,                      /* const char *, NULL by default "" */
    CONFIG_CHOICE,                    /* int = position in the list `unit`, which is written a|b|c */
    CONFIG_LIST                       /* const json *, a list, NULL by default "": the caller reads its items, errors by config_item_die */
} config_kind;
enum { CONFIG_FREE = 1 };             /* flags: it may change when a run goes on (paths, how often to log): not part of config_text */
typedef struct config_key {
    const char *name; config_kind kind; void *to;
    const char *otherwise;            /* the default as text */
    double lo, hi;
    const char *unit, *help; int flags;
    const char *given; json_doc *doc; /* private: the command line's text; where a list was read */
} config_key;
static struct { config_key *key; size_t n; json_doc file; cli_option *option; char *help; } config;

#define CONFIG_MAX_TEXT 256           /* bytes of a dotted name */

/* ---- help: "unit, lo to hi; default x" below each line */
static inline const char *config_kind_name(const config_key *k) {
    static const char *const names[] = { "N", "X", "true|false", "TEXT", "", "LIST" };
    return k->kind == CONFIG_CHOICE ? k->unit : names[k->kind];
}
static inline size_t config_describe(const config_key *k, char *to, size_t cap) { /* -> bytes, without its 0 */
    char range[100] = ""; const char *unit = k->kind == CONFIG_CHOICE ? "" : k->unit; int n, counts = k->kind == CONFIG_INT || k->kind == CONFIG_REAL;
    if (counts && k->hi >= (k->kind == CONFIG_INT ? 1e15 : 1e30)) snprintf(range, sizeof range, "from %.10g", k->lo);
    else if (counts) snprintf(range, sizeof range, "%.10g to %.10g", k->lo, k->hi);
    n = snprintf(to, cap, "%s (%s%s%s%sdefault %s)", k->help, unit, *unit && counts ? ", " : "", range, *unit || counts ? "; " : "",
        *k->otherwise ? k->otherwise : "none");
    return n < 0 ? 0 : (size_t)n;
}
static inline int config_given(void *to, const char *text) { ((config_key *)to)->given = text; return 1; }
static inline void config_options(const cli_option *own, size_t n_own) { /* the program's own options, then the keys */
    size_t i, n = 0, used = 0; char *p;
    for (i = 0; i < config.n; i++) n += config_describe(&config.key[i], NULL, 0) + strlen(config.key[i].name) + 4;
    p = config.help = (char *)cli_grow(NULL, n);
    config.option = (cli_option *)cli_grow(NULL, (n_own + config.n) * sizeof *own);
    if (n_own) memcpy(config.option, own, n_own * sizeof *own);
    for (i = 0; i < config.n; i++) {
        cli_option *o = &config.option[n_own + i]; config_key *k = &config.key[i];
        memset(o, 0, sizeof *o);
        o->name = p + used; used += (size_t)snprintf(p + used, n - used, "--%s", k->name) + 1;
        o->help = p + used; used += config_describe(k, p + used, n - used) + 1;
        o->value = config_kind_name(k); o->kind = CLI_CALL; o->to = k; o->call = config_given;
    }
}

/* ---- values */
static inline const config_key *config_find(const char *name) {
    size_t i;
    for (i = 0; i < config.n && strcmp(config.key[i].name, name) != 0; i++) {}
    return i < config.n ? &config.key[i] : NULL;
}
static inline const char *config_nearest(const char *name) {
    const char *best = NULL; size_t i; int d, least = INT_MAX;
    for (i = 0; i < config.n; i++) if ((d = cli_distance(name, config.key[i].name)) < least) { least = d; best = config.key[i].name; }
    return best;
}
static inline int config_choice(const config_key *k, const char *text, size_t n) { /* its position, -1: none */
    const char *p = k->unit; int i; size_t m;
    for (i = 0; ; i++, p += m + 1) {
        m = strcspn(p, "|");
        if (m == n && memcmp(p, text, n) == 0) return i;
        if (p[m] == 0) return -1;
    }
}
static inline const char *config_expected(const config_key *k) { /* in a buffer that the next call reuses */
    static char text[300];
    if (k->kind == CONFIG_INT || k->kind == CONFIG_REAL)
        snprintf(text, sizeof text, "%s from %.10g to %.10g", k->kind == CONFIG_INT ? "an integer" : "a number", k->lo, k->hi);
    else snprintf(text, sizeof text, "%s", k->kind == CONFIG_BOOL ? "true or false" : k->kind == CONFIG_TEXT ? "a text" : k->kind == CONFIG_LIST
        ? "a list" : k->unit);
    return text;
}
static inline int config_number(const config_key *k, double v) { /* 1: stored */
    if (!(v >= k->lo && v <= k->hi)) return 0;
    if (k->kind == CONFIG_REAL) { *(double *)k->to = v; return 1; }
    if (v != floor(v) || v < -9007199254740992.0 || v > 9007199254740992.0) return 0;
    *(int64_t *)k->to = (int64_t)v;
    return 1;
}
static inline int config_whole(const config_key *k, uint64_t u) { /* integers beyond 2^53 keep all their digits */
    if (u > INT64_MAX || (double)u < k->lo || (double)u > k->hi) return 0;
    *(int64_t *)k->to = (int64_t)u;
    return 1;
}
static inline int config_from_text(config_key *k, const char *s) { /* of the command line, and defaults. 0: none of its values */
    char *end; double v; uint64_t u; size_t n = strlen(s); json_doc *d; char *copy;
    switch (k->kind) {
        case CONFIG_INT: case CONFIG_REAL:
            if (k->kind == CONFIG_INT && cli_u64(s, n, &u)) return config_whole(k, u);
            if (*s == 0 || strspn(s, "0123456789+-.eE") != n) return 0;
            v = strtod(s, &end);
            return *end == 0 && config_number(k, v);
        case CONFIG_BOOL:
            if (strcmp(s, "true") != 0 && strcmp(s, "false") != 0) return 0;
            *(int *)k->to = *s == 't';
            return 1;
        case CONFIG_TEXT: *(const char **)k->to = *s ? s : NULL; return 1;
        case CONFIG_CHOICE: { int c = config_choice(k, s, n); if (c >= 0) *(int *)k->to = c; return c >= 0; }
        case CONFIG_LIST: break;
    }
    *(const json **)k->to = NULL;
    if (*s == 0) return 1;
    d = (json_doc *)cli_grow(NULL, sizeof *d); memset(d, 0, sizeof *d);
    copy = (char *)cli_grow(NULL, 2 * n + 8);
    if (*s == '[') memcpy(copy, s, n + 1);
    else if (*s == '{') snprintf(copy, n + 8, "[%s]", s);
    else {                            /* one text */
        char *p = copy; const char *q;
        *p++ = '['; *p++ = '"';
        for (q = s; *q; q++) { if (*q == '"' || *q == '\\') *p++ = '\\'; *p++ = *q; }
        *p++ = '"'; *p++ = ']'; *p = 0;
    }
    d->own = copy; k->doc = d;
    *(const json **)k->to = json_parse_into(d, k->name, 0, copy, strlen(copy));
    return json_has_kind(*(const json **)k->to, JSON_LIST);
}
static inline int config_from_json(config_key *k, const json *v) {
    if (v->kind == JSON_NULL) return config_from_text(k, k->otherwise);
    switch (k->kind) {
        case CONFIG_INT: if (v->kind == JSON_INT) return config_whole(k, v->v.u); /* fall through */
        case CONFIG_REAL: return json_has_kind(v, JSON_NUMBER) && config_number(k, json_as_real(&config.file, v));
        case CONFIG_BOOL: if (json_has_kind(v, JSON_BOOL)) *(int *)k->to = v->kind == JSON_TRUE; return json_has_kind(v, JSON_BOOL);
        case CONFIG_TEXT:
            if (v->kind != JSON_STRING || strlen(v->v.text) != v->n) return 0;
            *(const char **)k->to = v->n ? v->v.text : NULL;
            return 1;
        case CONFIG_CHOICE: {
            int c = v->kind == JSON_STRING ? config_choice(k, v->v.text, v->n) : -1;
            if (c >= 0) *(int *)k->to = c;
            return c >= 0;
        }
        case CONFIG_LIST:
            k->doc = &config.file; *(const json **)k->to = v;
            if (v->kind == JSON_STRING || v->kind == JSON_OBJECT) { /* one item alone */
                json *one = (json *)json_room(&config.file, sizeof *one);
                memset(one, 0, sizeof *one); one->kind = JSON_LIST; one->n = 1; one->v.item = v;
                *(const json **)k->to = one;
                return 1;
            }
            return v->kind == JSON_LIST;
    }
    return 0;
}
/* For an item of a list that the caller reads: `FILE: data[1].weight: what`, `train: data: [1].weight: what` on the command line. */
#define config_doc(k) ((k)->doc)

static inline void config_object(const json *o, const char *prefix) {
    uint32_t i; size_t k; char name[CONFIG_MAX_TEXT];
    for (i = 0; i < o->n; i++) {
        const json *v = &o->v.item[i]; size_t n; config_key *key = NULL; int group = 0;
        if (strlen(v->key) != v->n_key || strlen(prefix) + v->n_key + 2 > sizeof name) json_die(&config.file, v, NULL,
            "is no key (--help lists them)");
        snprintf(name, sizeof name, "%s%s", prefix, v->key);
        n = strlen(name);
        for (k = 0; k < config.n; k++) {
            if (strcmp(config.key[k].name, name) == 0) key = &config.key[k];
            if (strncmp(config.key[k].name, name, n) == 0 && config.key[k].name[n] == '.') group = 1;
        }
        if (key) {
            if (!config_from_json(key, v)) json_die(&config.file, v, NULL, "expected %s", config_expected(key));
        } else if (group && v->kind == JSON_OBJECT) {
            name[n] = '.'; name[n + 1] = 0;
            config_object(v, name);
        } else json_die(&config.file, v, NULL, "is no key; the nearest is %s (--help lists them)", config_nearest(name));
    }
}
static inline void config_read(const char *path) {
    size_t i; cli_path what = path ? cli_what(path) : CLI_FILE;
    for (i = 0; i < config.n; i++)
        if (!config_from_text(&config.key[i], config.key[i].otherwise)) cli_die("%s: its default %s is wrong", config.key[i].name,
            config.key[i].otherwise);
    if (what == CLI_NOTHING) cli_die("%s: no such file", path);
    if (what != CLI_FILE) cli_die("%s: is no regular file", path);
    if (path) config_object(json_as(&config.file, json_read(&config.file, path), JSON_OBJECT), "");
    for (i = 0; i < config.n; i++)
        if (config.key[i].given && !config_from_text(&config.key[i], config.key[i].given))
            cli_usage("--%s: %.200s is not %s", config.key[i].name, config.key[i].given, config_expected(&config.key[i]));
}
static inline void config_close(void) {
    size_t i;
    for (i = 0; i < config.n; i++) if (config.key[i].doc && config.key[i].doc != &config.file) { json_close(config.key[i].doc);
        free(config.key[i].doc); }
    json_close(&config.file);
    free(config.option); free(config.help);
    memset(&config, 0, sizeof config);
}
static inline void config_parse(const char *program, const char *usage, config_key *keys, size_t n, const cli_option *own, size_t n_own,
    const char **positional, int argc, char **argv) {
    config.key = keys; config.n = n;
    cli.program = program;
    config_options(own, n_own);
    cli_parse(program, usage, config.option, n_own + n, positional, argc, argv);
}
#define CONFIG_PARSE(program, usage, keys, options, positional) \
    config_parse(program, usage, keys, sizeof keys / sizeof keys[0], options, sizeof options / sizeof options[0], positional, argc, argv)

/* ---- the canonical text of all values but the free ones: "key=value\n" each, malloc'd. Two runs of one text do the same. */
static inline size_t config_json_text(const json *v, char *to, size_t cap, size_t n) {
    uint32_t i;
#define CONFIG_OUT(...) do { int k_ = snprintf(to ? to + n : NULL, to ? cap - n : 0, __VA_ARGS__); n += k_ < 0 ? 0 : (size_t)k_; } while (0)
    if (v->kind == JSON_STRING) CONFIG_OUT("\"%s\"", v->v.text);
    else if (v->kind == JSON_LIST || v->kind == JSON_OBJECT) {
        CONFIG_OUT("[");
        for (i = 0; i < v->n; i++) {
            if (v->kind == JSON_OBJECT) CONFIG_OUT("%s:", v->v.item[i].key);
            n = config_json_text(&v->v.item[i], to, cap, n);
            CONFIG_OUT(",");
        }
        CONFIG_OUT("]");
    } else if (v->kind == JSON_INT) CONFIG_OUT("%llu", (unsigned long long)v->v.u);
    else if (v->kind == JSON_MINUS) CONFIG_OUT("%lld", (long long)v->v.i);
    else if (v->kind == JSON_REAL) CONFIG_OUT("%.17g", v->v.real);
    else CONFIG_OUT("%s", v->kind == JSON_TRUE ? "true" : v->kind == JSON_FALSE ? "false" : "null");
    return n;
}
static inline size_t config_text_into(char *to, size_t cap) {
    size_t i, n = 0;
    for (i = 0; i < config.n; i++) {
        const config_key *k = &config.key[i];
        if (k->flags & CONFIG_FREE) continue;
        CONFIG_OUT("%s=", k->name);
        if (k->kind == CONFIG_INT) CONFIG_OUT("%lld", (long long)*(int64_t *)k->to);
        else if (k->kind == CONFIG_REAL) CONFIG_OUT("%.17g", *(double *)k->to);
        else if (k->kind == CONFIG_TEXT) CONFIG_OUT("%s", *(const char **)k->to ? *(const char **)k->to : "");
        else if (k->kind == CONFIG_LIST) { if (*(const json **)k->to) n = config_json_text(*(const json **)k->to, to, cap, n); }
        else CONFIG_OUT("%d", *(int *)k->to);
        CONFIG_OUT("\n");
    }
#undef CONFIG_OUT
    return n;
}
static inline char *config_text(void) {
    size_t n = config_text_into(NULL, 0) + 1; char *p = (char *)cli_grow(NULL, n);
    config_text_into(p, n);
    return p;
}
#endif /* CONFIG_H */
