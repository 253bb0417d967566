/* Makes a GGUF file of a model in another form, without Python:
 *   build/convert FOLDER                     Hugging Face: config.json, model.safetensors or pytorch_model.bin, one or in shards
 *   build/convert FOLDER                     Meta: params.json, consolidated.00.pth and, split over processors, more of them
 *   build/convert stories15M.bin             llama2.c, versions 0, 1 and 2
 *   build/convert ADAPTER --base MODEL       a LoRA adapter of PEFT: adapter_config.json, adapter_model.safetensors or .bin
 *   build/convert FOLDER -o - | build/generate -m - -p "Once"           without a file; or into build/quantize - OUT.gguf Q4_K_M
 * From top to bottom: what a source says of its model; one function for each form that reads this and lists the tensors; the table of
 * names, by which the tensors of the output are planned and all of the input's are accounted for; metadata; and one loop that writes.
 * A tensor goes through memory in pieces of some megabytes.
 */
#include "safetensors.h"
#include "pth.h"
#include "gguf_write.h"
#include "vocab.h"
#include "general.h"
#include "names.h"

#define MAX_PARTS 128                 /* files of a Meta checkpoint */
#define MAX_LAYERS 1024               /* llama.cpp has room for 512 */
#define PIECE ((size_t)4 << 20)       /* bytes of rows that are read at once, at least one head's */

static const char *in_path, *out_path, *pre_name, *base_path;
static int type_choice = -1;
static const int type_number[] = { TENSOR_F32, TENSOR_F16, TENSOR_BF16, 8 /* Q8_0 */ };
static const cli_option options[] = {
    { "-o", "OUT.gguf", CLI_TEXT, &out_path, 0, 0, NULL, "the file to write; -: stdout (default: the input's name with .gguf, in\nthis folder)" },
    { "--type", "f32|f16|bf16|q8_0", CLI_CHOICE, &type_choice, 0, 0, NULL,
        "type of the matrices (default: each its own). Vectors are F32; what has no\nrows of a multiple of 32 is F16 in place of Q8_0" },
    { "--pre", "NAME", CLI_TEXT, &pre_name, 0, 0, NULL, "the pre-tokenizer, where its regular expression is not recognised" },
    { "--base", "MODEL", CLI_TEXT, &base_path, 0, 0, NULL, "the folder or GGUF of the model that an adapter belongs to" },
};

/* ================ what a source is */
typedef enum rope_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_YARN, ROPE_LLAMA3 } rope_kind;
typedef enum form { HUGGING_FACE, META, LLAMA2C, PEFT } input_form;
typedef struct source {
    input_form form;
    const char *path, *said;          /* what was asked for; the file that says what follows, for errors */
    int n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_vocab, n_ctx, n_swa;
    int tied, attention_bias, mlp_bias;
    double eps, rope_base;
    rope_kind rope; double factor, low, high, fast, slow, attention; int n_ctx_first; /* of rope scaling; 0 where not given */
    double alpha; int rank;           /* of an adapter; rank 0: each pair has its own */
    tensors part[MAX_PARTS]; int n_parts; /* more than one: each has a part of every matrix */
} source;
static source src;                    /* static, so that memory is in sight wherever the program ends */
static json_doc config;

static char *in_folder(const char *folder, const char *name) { /* valid for three calls more */
    static char *p[4]; static int turn;
    turn = (turn + 1) % 4; free(p[turn]);
    return p[turn] = tensors_path(folder, name);
}
static int has(const char *folder, const char *name) { return cli_what(in_folder(folder, name)) != CLI_NOTHING; }
static const json *read_json(json_doc *d, const char *path) { /* an object; path must stay */
    cli_path what = cli_what(path);
    if (what == CLI_FOLDER || what == CLI_OTHER) cli_die("%s: is no regular file", path);
    return json_as(d, json_read(d, path), JSON_OBJECT);
}
static void check_shape(source *s) {
    if (s->head_dim == 0 && s->n_embd % s->n_head) cli_die("%s: %d dimensions cannot be shared by %d heads", s->said, s->n_embd, s->n_head);
    if (s->head_dim == 0) s->head_dim = s->n_embd / s->n_head;
    if (s->n_head % s->n_head_kv) cli_die("%s: %d heads are no multiple of %d key and value heads", s->said, s->n_head, s->n_head_kv);
    if (s->head_dim % 2) cli_die("%s: heads of %d dimensions cannot be rotated, which takes pairs", s->said, s->head_dim);
    if ((int64_t)s->n_head * s->head_dim > 1 << 28) cli_die("%s: %d heads of %d dimensions are too many", s->said, s->n_head, s->head_dim);
}

/* ================ Hugging Face: what transformers' LlamaConfig and MistralConfig read, with their defaults */
static void read_rope(source *s, const json_doc *d, const json *root) {
    const json *r = json_opt(d, root, "rope_parameters", JSON_OBJECT); const char *kind;
    if (r == NULL) r = json_opt(d, root, "rope_scaling", JSON_OBJECT); /* before transformers 5 */
    s->rope_base = json_real(d, r, "rope_theta", 1.0001, 1e12, json_real(d, root, "rope_theta", 1.0001, 1e12, 10000));
    kind = json_text(d, r, "rope_type", json_text(d, r, "type", "default"));
    s->n_ctx_first = (int)json_int(d, r, "original_max_position_embeddings", 1, INT_MAX, 0);
    s->factor = json_real(d, r, "factor", 1e-6, 1e6, 0);
    if (json_real(d, r, "partial_rotary_factor", 0, 1, json_real(d, root, "partial_rotary_factor", 0, 1, 1)) < 1)
        cli_die("%s: partial_rotary_factor: a part of a head that is not rotated is not built in", s->said);
    if (strcmp(kind, "default") == 0) return;
    if (strcmp(kind, "linear") == 0) s->rope = ROPE_LINEAR;
    else if (strcmp(kind, "yarn") == 0) s->rope = ROPE_YARN;
    else if (strcmp(kind, "llama3") == 0) s->rope = ROPE_LLAMA3;
    else cli_die("%s: rope scaling of type %.80s is not built in", s->said, kind);
    if (s->factor == 0) cli_die("%s: rope scaling of type %s without its factor", s->said, kind);
    if (s->rope != ROPE_LINEAR && s->n_ctx_first == 0) cli_die("%s: rope scaling of type %s without original_max_position_embeddings", s->said, kind);
    if (s->rope == ROPE_LLAMA3) {
        s->low = json_real(d, r, "low_freq_factor", 1e-6, 1e6, 1); s->high = json_real(d, r, "high_freq_factor", 1e-6, 1e6, 4);
        if (s->low >= s->high) cli_die("%s: low_freq_factor %g is not below high_freq_factor %g", s->said, s->low, s->high);
    }
    if (s->rope == ROPE_YARN) {
        double part = json_real(d, r, "mscale", 0, 1e3, 0), all = json_real(d, r, "mscale_all_dim", 0, 1e3, 0);
        double l = s->factor > 1 ? 0.1 * log(s->factor) : 0;
        s->fast = json_real(d, r, "beta_fast", 1e-3, 1e6, 0); s->slow = json_real(d, r, "beta_slow", 1e-3, 1e6, 0);
        s->attention = json_real(d, r, "attention_factor", 1e-3, 1e3, part != 0 && all != 0 ? (part * l + 1) / (all * l + 1) : 0);
        if (!json_bool(d, r, "truncate", 1)) cli_die("%s: yarn's truncate false is not built in", s->said);
    }
}
static void read_config(source *s, const char *folder) { /* all but the tensors */
    static char path[4200]; const json *root, *a; const char *arch, *kind; int mistral; const json_doc *d = &config;
    snprintf(path, sizeof path, "%.4096s", in_folder(folder, "config.json"));
    s->said = path; root = read_json(&config, path);
    a = json_opt(d, root, "architectures", JSON_LIST);
    kind = json_text(d, root, "model_type", "");
    arch = a && a->n ? json_as(d, &a->v.item[0], JSON_STRING)->v.text : strcmp(kind, "mistral") == 0 ? "MistralForCausalLM"
        : strcmp(kind, "llama") == 0 ? "LlamaForCausalLM" : "no architecture";
    mistral = strcmp(arch, "MistralForCausalLM") == 0;
    if (!mistral && strcmp(arch, "LlamaForCausalLM") != 0 && strcmp(arch, "LLaMAForCausalLM") != 0)
        cli_die("%s: is of %.80s; LlamaForCausalLM and MistralForCausalLM are built in", path, arch);
    if (json_opt(d, root, "quantization_config", JSON_OBJECT))
        cli_die("%s: quantization_config: weights that are quantized already are not built in", path);
    if (strcmp(json_text(d, root, "hidden_act", "silu"), "silu") != 0)
        cli_die("%s: hidden_act is %.80s; silu is built in", path, json_text(d, root, "hidden_act", ""));
    s->n_embd = (int)json_as_int(d, json_need(d, root, "hidden_size", JSON_NUMBER), 1, (1 << 24) - 1);
    s->n_layer = (int)json_as_int(d, json_need(d, root, "num_hidden_layers", JSON_NUMBER), 1, MAX_LAYERS);
    s->n_head = (int)json_as_int(d, json_need(d, root, "num_attention_heads", JSON_NUMBER), 1, 1 << 14);
    s->n_ff = (int)json_as_int(d, json_need(d, root, "intermediate_size", JSON_NUMBER), 1, 1 << 24);
    s->n_vocab = (int)json_as_int(d, json_need(d, root, "vocab_size", JSON_NUMBER), 1, 1 << 30);
    a = json_get(root, "num_key_value_heads"); /* null: as many as there are heads; absent: each class has a default of its own */
    s->n_head_kv = (int)json_int(d, root, "num_key_value_heads", 1, s->n_head, mistral && a == NULL ? 8 : s->n_head);
    s->head_dim = (int)json_int(d, root, "head_dim", 1, 1 << 16, 0);
    s->n_ctx = (int)json_int(d, root, "max_position_embeddings", 1, INT_MAX, mistral ? 131072 : 2048);
    a = json_get(root, "sliding_window"); /* null: none; a Llama has none */
    s->n_swa = mistral ? (int)json_int(d, root, "sliding_window", 0, INT_MAX, a == NULL ? 4096 : 0) : 0;
    s->eps = json_real(d, root, "rms_norm_eps", 1e-30, 1, 1e-6);
    s->tied = json_bool(d, root, "tie_word_embeddings", 0);
    s->attention_bias = !mistral && json_bool(d, root, "attention_bias", 0); s->mlp_bias = !mistral && json_bool(d, root, "mlp_bias", 0);
    read_rope(s, d, root);
    check_shape(s);
}
/* NAME.safetensors or OTHER.bin of a folder, each as one file or by its index. */
static void read_weights(tensors *l, const char *folder, const char *safe, const char *other) {
    char name[3][80];
    snprintf(name[0], 80, "%s.safetensors.index.json", safe); snprintf(name[1], 80, "%s.safetensors", safe);
    snprintf(name[2], 80, "%s.bin.index.json", other);
    if (has(folder, name[0])) { tensors_index(l, folder, name[0], safetensors_read); return; }
    if (has(folder, name[1])) safetensors_read(l, in_folder(folder, name[1]));
    else if (has(folder, name[2])) { tensors_index(l, folder, name[2], pth_read); return; }
    else {
        snprintf(name[2], 80, "%s.bin", other);
        if (!has(folder, name[2])) cli_die("%s: has neither %s nor %s, nor an index of shards", folder, name[1], name[2]);
        pth_read(l, in_folder(folder, name[2]));
    }
    tensors_sort(l, folder);
}
static void read_hugging_face(source *s) {
    s->form = HUGGING_FACE;
    read_config(s, s->path);
    s->n_parts = 1;
    read_weights(&s->part[0], s->path, "model", "pytorch_model");
}

/* ================ Meta: params.json says little; the sizes of feed-forward and vocabulary follow from the tensors */
static void read_meta(source *s) {
    static char path[4200]; const json *root; const json_doc *d = &config; char name[40]; const tensor *t; int i, scaled;
    s->form = META; s->said = path;
    snprintf(path, sizeof path, "%.4096s", in_folder(s->path, "params.json"));
    root = read_json(&config, path);
    if (json_opt(d, root, "moe", JSON_OBJECT)) cli_die("%s: mixtures of experts are not built in", path);
    s->n_embd = (int)json_as_int(d, json_need(d, root, "dim", JSON_NUMBER), 1, (1 << 24) - 1);
    s->n_layer = (int)json_as_int(d, json_need(d, root, "n_layers", JSON_NUMBER), 1, MAX_LAYERS);
    s->n_head = (int)json_as_int(d, json_need(d, root, "n_heads", JSON_NUMBER), 1, 1 << 14);
    s->n_head_kv = (int)json_int(d, root, "n_kv_heads", 1, s->n_head, s->n_head);
    s->head_dim = (int)json_int(d, root, "head_dim", 1, 1 << 16, 0);
    s->eps = json_real(d, root, "norm_eps", 1e-30, 1, 1e-5);
    s->rope_base = json_real(d, root, "rope_theta", 1.0001, 1e12, 10000);
    scaled = json_bool(d, root, "use_scaled_rope", 0);
    if (scaled) {
        s->rope = ROPE_LLAMA3; s->factor = json_real(d, root, "rope_scaling_factor", 1e-6, 1e6, 8); s->low = 1;
        s->high = json_real(d, root, "rope_high_freq_factor", 1.0001, 1e6, 4); s->n_ctx_first = 8192;
    }
    /* The context is not in the file: Llama 3.1 and after, Llama 3, CodeLlama, Llama 2 and Llama 1 are told apart by what is. */
    s->n_ctx = (int)json_int(d, root, "max_seq_len", 1, INT_MAX, scaled ? 131072 : s->rope_base == 500000 ? 8192 : s->rope_base == 1e6 ? 16384
        : s->eps == 1e-6 ? 2048 : 4096);
    check_shape(s);
    for (; snprintf(name, sizeof name, "consolidated.%02d.pth", s->n_parts), has(s->path, name); s->n_parts++) {
        if (s->n_parts == MAX_PARTS) cli_die("%s: more than %d files", s->path, MAX_PARTS);
        pth_read(&s->part[s->n_parts], in_folder(s->path, name));
        tensors_sort(&s->part[s->n_parts], s->path);
    }
    for (i = s->n_parts + 1; i < MAX_PARTS; i++) {
        char later[40];
        snprintf(later, sizeof later, "consolidated.%02d.pth", i);
        if (has(s->path, later)) cli_die("%s: has %s, but not %s", s->path, later, name);
    }
    if (s->n_parts == 0) cli_die("%s: has no %s", s->path, name);
    t = tensors_find(&s->part[0], "layers.0.feed_forward.w1.weight");
    if (t == NULL || t->dims[0] < 1 || t->dims[0] > (uint64_t)(1 << 24) / (uint64_t)s->n_parts) {
        cli_die("%s: the size of layers.0.feed_forward.w1.weight is missing or wrong", s->path);
        return;
    }
    s->n_ff = (int)t->dims[0] * s->n_parts;
    s->n_vocab = (int)json_int(d, root, "vocab_size", -1, 1 << 30, -1);
    s->tied = tensors_find(&s->part[0], "output.weight") == NULL;
    if (s->n_vocab > 0) return;
    t = tensors_find(&s->part[0], "tok_embeddings.weight"); /* split by columns, as in Llama 1 and 2, it has all rows */
    if (t == NULL || t->n_dims != 2 || t->dims[0] < 1 || t->dims[0] > (uint64_t)(1 << 30) / (uint64_t)s->n_parts) {
        cli_die("%s: the size of tok_embeddings.weight is missing or wrong", s->path);
        return;
    }
    s->n_vocab = (int)t->dims[0] * (t->dims[1] < (uint64_t)s->n_embd ? 1 : s->n_parts);
}

/* ================ llama2.c: a header, then all numbers one after the other (its export.py and run.c). Tensors get Meta's names */
typedef struct cursor { source *s; int version; uint64_t at, group; } cursor;
static void bin_next(cursor *c, const char *name, uint64_t rows, uint64_t cols) { /* the next tensor; cols 0: a vector, always float32 */
    tensors *l = &c->s->part[0]; tensor *t = tensors_add(l, 0, name, strlen(name));
    uint64_t n = rows * (cols ? cols : 1), have = l->file[0].size, bytes;
    t->type = c->group && cols ? TENSOR_GROUPS : TENSOR_F32; t->kind = "float32";
    t->n_dims = cols ? 2 : 1; t->dims[0] = rows; t->dims[1] = cols; t->stride[0] = cols ? cols : 1; t->stride[1] = 1;
    t->offset = c->at; t->group = c->group; t->scales = c->at + n;
    if (t->type == TENSOR_GROUPS && n % c->group)
        cli_die("%s: %llu weights of %s are not whole groups of %llu", c->s->path, (unsigned long long)n, name, (unsigned long long)c->group);
    bytes = t->type == TENSOR_GROUPS ? n + 4 * (n / c->group) : 4 * n; /* below 2^56: the header's numbers were checked */
    if (bytes > have - c->at) cli_die("%s: has %llu bytes, %s ends at %llu", c->s->path, (unsigned long long)have, name,
        (unsigned long long)(c->at + bytes));
    c->at += bytes;
}
static void bin_layers(cursor *c, const char *name, uint64_t rows, uint64_t cols) {
    char full[80]; int i;
    for (i = 0; i < c->s->n_layer; i++) { snprintf(full, sizeof full, "layers.%d.%s.weight", i, name); bin_next(c, full, rows, cols); }
}
static int bin_int(source *s, const unsigned char *p, const char *name, int most) {
    uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (v < 1 || v > (uint32_t)most)
        cli_die("%s: its header says %s %ld, expected 1 to %d", s->path, name, v < 0x80000000u ? (long)v : -(long)(0xffffffffu - v) - 1, most);
    return (int)v;
}
static void read_llama2c(source *s) {
    unsigned char h[64]; const unsigned char *p = h; cursor c; tensors *l = &s->part[0]; uint64_t e, q, kv, f;
    memset(&c, 0, sizeof c); memset(h, 0, sizeof h);
    s->form = LLAMA2C; s->said = s->path; s->n_parts = 1; c.s = s;
    tensors_open(l, s->path);
    tensors_bytes(l, 0, 0, h, 28);
    if (memcmp(h, "24ka", 4) == 0) {  /* versions 1 and 2 */
        tensors_bytes(l, 0, 0, h, 64);
        c.version = bin_int(s, h + 4, "version", 2); p = h + 8; c.at = 256;
    }
    s->n_embd = bin_int(s, p, "dim", (1 << 24) - 1); s->n_ff = bin_int(s, p + 4, "hidden_dim", 1 << 24);
    s->n_layer = bin_int(s, p + 8, "n_layers", MAX_LAYERS);
    s->n_head = bin_int(s, p + 12, "n_heads", 1 << 14); s->n_head_kv = bin_int(s, p + 16, "n_kv_heads", s->n_head);
    s->n_ctx = bin_int(s, p + 24, "seq_len", INT_MAX);
    if (c.version == 0) {             /* there a negative vocabulary says that the output matrix is its own */
        uint32_t v = (uint32_t)p[20] | (uint32_t)p[21] << 8 | (uint32_t)p[22] << 16 | (uint32_t)p[23] << 24;
        unsigned char w[4];
        s->tied = v < 0x80000000u;
        if (!s->tied) v = 0 - v;
        w[0] = (unsigned char)v; w[1] = (unsigned char)(v >> 8); w[2] = (unsigned char)(v >> 16); w[3] = (unsigned char)(v >> 24);
        s->n_vocab = bin_int(s, w, "vocab_size", 1 << 30);
        c.at = 28;
    } else { s->n_vocab = bin_int(s, p + 20, "vocab_size", 1 << 30); s->tied = h[36] != 0; }
    if (c.version == 2) c.group = (uint64_t)bin_int(s, h + 37, "group_size", 1 << 24);
    s->eps = 1e-5; s->rope_base = 10000; /* the format fixes them */
    check_shape(s);
    e = (uint64_t)s->n_embd; q = (uint64_t)s->n_head * (uint64_t)s->head_dim; kv = (uint64_t)s->n_head_kv * (uint64_t)s->head_dim;
    f = (uint64_t)s->n_ff;
    if (c.version == 0) { bin_next(&c, "tok_embeddings.weight", (uint64_t)s->n_vocab, e); bin_layers(&c, "attention_norm", e, 0); }
    else {
        bin_layers(&c, "attention_norm", e, 0); bin_layers(&c, "ffn_norm", e, 0); bin_next(&c, "norm.weight", e, 0);
        bin_next(&c, "tok_embeddings.weight", (uint64_t)s->n_vocab, e);
    }
    bin_layers(&c, "attention.wq", q, e); bin_layers(&c, "attention.wk", kv, e); bin_layers(&c, "attention.wv", kv, e);
    bin_layers(&c, "attention.wo", e, q);
    if (c.version == 0) bin_layers(&c, "ffn_norm", e, 0);
    bin_layers(&c, "feed_forward.w1", f, e); bin_layers(&c, "feed_forward.w2", e, f); bin_layers(&c, "feed_forward.w3", f, e);
    if (c.version == 0) {             /* then cosines and sines of every position, which nobody needs */
        bin_next(&c, "norm.weight", e, 0);
        bin_next(&c, "rope.freqs", (uint64_t)s->n_ctx * (uint64_t)s->head_dim, 0);
    }
    if (!s->tied) bin_next(&c, "output.weight", (uint64_t)s->n_vocab, e);
    if (c.at != l->file[0].size) cli_die("%s: has %llu bytes, %llu are what its header asks for", s->path, (unsigned long long)l->file[0].size,
        (unsigned long long)c.at);
    tensors_sort(l, s->path);
}

/* ================ PEFT: the adapter's own config and tensors, and the shape of the model that it changes */
static int64_t base_int(const lm_model *m, const char *key, int64_t most, int64_t fallback) {
    lm_meta v, item;
    if (lm_meta_find(m, key, &v) != LM_OK) { if (fallback <= 0) cli_die("%s: %s is missing", base_path, key); return fallback; }
    if (v.type == LM_META_ARR && v.n > 0 && lm_meta_item(&v, 0, &item) == LM_OK) v = item;
    if (v.type == LM_META_STR || v.type == LM_META_ARR || v.i < 1 || v.i > most) cli_die("%s: %s is out of range", base_path, key);
    return v.i;
}
static void read_base(source *s) {
    lm_meta v; lm_tensor t; int i; static const char embd[] = "token_embd.weight";
    if (cli_what(base_path) == CLI_FOLDER) {
        if (has(base_path, "config.json")) { read_config(s, base_path); return; }
        cli_die("--base: %s: has no config.json", base_path);
    }
    cli.model = base_path; s->said = base_path;
    cli_open_model(1);
    if (lm_meta_find(cli.m, "general.architecture", &v) != LM_OK || v.type != LM_META_STR || v.text_bytes != 5 || memcmp(v.text, "llama", 5) != 0)
        cli_die("%s: general.architecture is not llama", base_path);
    s->n_layer = (int)base_int(cli.m, "llama.block_count", MAX_LAYERS, 0);
    s->n_embd = (int)base_int(cli.m, "llama.embedding_length", (1 << 24) - 1, 0);
    s->n_ff = (int)base_int(cli.m, "llama.feed_forward_length", 1 << 24, 0);
    s->n_head = (int)base_int(cli.m, "llama.attention.head_count", 1 << 14, 0);
    s->n_head_kv = (int)base_int(cli.m, "llama.attention.head_count_kv", s->n_head, s->n_head);
    s->head_dim = (int)base_int(cli.m, "llama.attention.key_length", 1 << 16, s->n_embd % s->n_head ? 0 : s->n_embd / s->n_head);
    for (i = 0; lm_tensor_at(cli.m, i, &t) == LM_OK; i++)
        if (t.name_bytes == sizeof embd - 1 && memcmp(t.name, embd, t.name_bytes) == 0 && t.dims[1] <= 1 << 30) s->n_vocab = (int)t.dims[1];
    if (s->n_vocab == 0) cli_die("%s: has no token_embd.weight", base_path);
    check_shape(s);
}
static void read_peft(source *s) {
    static char path[4200], both[8500]; const json *root, *v; const json_doc *d = &config; const char *kind;
    s->form = PEFT; s->n_parts = 1;
    if (base_path == NULL) cli_usage("--base: an adapter needs the folder or the GGUF of its base model");
    read_base(s);
    snprintf(path, sizeof path, "%.4096s", in_folder(s->path, "adapter_config.json"));
    root = read_json(&config, path);
    kind = json_text(d, root, "peft_type", "LORA");
    if (strcmp(kind, "LORA") != 0) cli_die("%s: peft_type is %.80s; LORA is built in", path, kind);
    if (json_bool(d, root, "use_dora", 0)) cli_die("%s: use_dora: adapters with magnitudes of their own are not built in", path);
    if (json_bool(d, root, "fan_in_fan_out", 0)) cli_die("%s: fan_in_fan_out: transposed matrices are not built in", path);
    if ((v = json_opt(d, root, "alpha_pattern", JSON_OBJECT)) != NULL && v->n) json_die(d, v, NULL, "a scale for each matrix is not built in");
    if ((v = json_opt(d, root, "alora_invocation_tokens", JSON_LIST)) != NULL && v->n)
        json_die(d, v, NULL, "adapters that wait for tokens are not built in");
    s->rank = (int)json_as_int(d, json_need(d, root, "r", JSON_NUMBER), 1, 1 << 24);
    s->alpha = json_real(d, root, "lora_alpha", -1e6, 1e6, 8);
    v = json_opt(d, root, "rank_pattern", JSON_OBJECT);
    if (json_bool(d, root, "use_rslora", 0)) { /* alpha / sqrt(r), where the file's reader has alpha / r */
        if (v && v->n) cli_die("%s: use_rslora together with rank_pattern is not built in", path);
        s->alpha *= sqrt((double)s->rank);
    }
    if (v && v->n) s->rank = 0;
    snprintf(both, sizeof both, "%s with %.4096s", path, base_path);
    s->said = both;
    read_weights(&s->part[0], s->path, "adapter_model", "adapter_model");
}

/* ================ the plan: which tensors the output has, and what they are made of */

typedef struct item {                 /* a tensor of the output */
    char name[GGUF_MAX_NAME + 1]; int type, from; /* from: the type that it has in the input */
    int vector; uint64_t rows, cols;  /* a vector has rows of one element */
    const tensor *part[MAX_PARTS]; int n_parts; /* a vector is the same in all; none: rope_factors below */
    int columns, turned;              /* the parts stand beside each other, not below; the input has it transposed */
    int n_head;                       /* not 0: rows (h, half, i) of the input become rows (h, i, half) */
} item;
static item *items; static int n_items;
static float *rope_factors;

static uint64_t size_in(const source *s, size_of n) {
    int v = n == N_EMBD ? s->n_embd : n == N_VOCAB ? s->n_vocab : n == N_Q ? s->n_head * s->head_dim : n == N_KV ? s->n_head_kv * s->head_dim
        : n == N_FF ? s->n_ff : 1;
    return (uint64_t)v;
}
static item *new_item(const char *name) {
    item *x;
    if ((n_items & (n_items - 1)) == 0) items = (item *)cli_grow(items, (size_t)(n_items ? 2 * n_items : 1) * sizeof *items);
    x = &items[n_items++];
    memset(x, 0, sizeof *x);
    snprintf(x->name, sizeof x->name, "%s", name);
    return x;
}
/* Type and shape of the parts of a tensor, against the rows and columns that the whole has. */
static void check_item(source *s, item *x) {
    int i, n = s->n_parts; const tensor *t = x->part[0]; uint64_t r = t->dims[0], c = x->vector ? 1 : t->dims[1]; char want[80];
    int whole, below, beside;
    const char *path = s->part[0].file[t->file].path;
    snprintf(want, sizeof want, x->vector ? "[%llu]" : "[%llu, %llu]", (unsigned long long)x->rows, (unsigned long long)x->cols);
    if (x->turned) { r = t->dims[1]; c = t->dims[0]; }
    for (i = 1; i < n; i++) if (x->part[i]->n_dims != t->n_dims || x->part[i]->dims[0] != t->dims[0]
        || (!x->vector && x->part[i]->dims[1] != t->dims[1]) || x->part[i]->type != t->type)
        cli_die("%s: the tensor %s is %s of %s, but %s of %s in %s", path, t->name, tensors_shape(t), t->kind, tensors_shape(x->part[i]),
            x->part[i]->kind, s->part[i].file[x->part[i]->file].path);
    whole = r == x->rows && c == x->cols; below = c == x->cols && x->rows % (uint64_t)n == 0 && r == x->rows / (uint64_t)n;
    beside = r == x->rows && x->cols % (uint64_t)n == 0 && c == x->cols / (uint64_t)n;
    if (t->n_dims != (x->vector ? 1 : 2) || !(x->vector ? whole : below || beside))
        cli_die("%s: the tensor %s has shape %s, but %s says %s%s", path, t->name, tensors_shape(t), s->said, want, n > 1 && !x->vector
            ? ", split over the files" : "");
    if (t->type == TENSOR_OTHER) cli_die("%s: the tensor %s is of %s; F32, F16 and BF16 are built in", path, t->name, t->kind);
    x->n_parts = x->vector ? 1 : n; x->columns = !x->vector && !below; x->from = tensors_type(t);
    if (x->rows / (x->n_head ? (uint64_t)x->n_head : x->rows) * x->cols > ((size_t)-1 >> 4))
        cli_die("%s: the tensor %s is too large for this machine", path, t->name);
    x->type = x->vector ? TENSOR_F32 : type_choice < 0 ? x->from : lm_row_bytes(type_number[type_choice], x->cols) ? type_number[type_choice]
        : TENSOR_F16;
}
static const tensor *take(source *s, int part, const char *name) { tensor *t = tensors_find(&s->part[part], name); if (t) t->used = 1; return t; }
static void plan_tensor(source *s, const name_row *w, int layer, const char *suffix) {
    const char *in = s->form == HUGGING_FACE ? w->hugging_face : w->meta, *prefix = s->form == HUGGING_FACE ? "model.layers" : "layers";
    char name[128], full[64] = ""; item *x; int i;
    if (layer >= 0) snprintf(full, sizeof full, "blk.%d.", layer);
    snprintf(full + strlen(full), sizeof full - strlen(full), "%s%s", w->gguf, suffix);
    if (layer >= 0) snprintf(name, sizeof name, "%s.%d.%s%s", prefix, layer, in, suffix); else snprintf(name, sizeof name, "%s%s", in, suffix);
    x = new_item(full);
    for (i = 0; i < s->n_parts; i++) {
        const char *path = s->n_parts > 1 ? s->part[i].file[0].path : s->path;
        x->part[i] = take(s, i, name);
        if (x->part[i] == NULL && w == names_rows) cli_die("%s: the tensor %s is missing, but %s does not tie it to the embedding", path, name, s->said);
        if (x->part[i] == NULL) cli_die("%s: the tensor %s is missing, but %s asks for it", path, name, s->said);
    }
    x->vector = suffix[1] == 'b' || w->in == N_NONE;
    x->rows = size_in(s, w->out); x->cols = x->vector ? 1 : size_in(s, w->in);
    if (s->form == HUGGING_FACE && w->heads) x->n_head = w->heads == Q ? s->n_head : s->n_head_kv;
    check_item(s, x);
}
/* What is left may only be tables that can be computed. An output matrix of its own is passed over where the embedding serves as it. */
static void account(source *s) {
    int i; size_t k;
    for (i = 0; i < s->n_parts; i++) for (k = 0; k < s->part[i].n; k++) {
        const tensor *t = &s->part[i].v[k]; size_t n = strlen(t->name);
        if (t->used || strcmp(t->name, "rope.freqs") == 0 || (n > 20 && strcmp(t->name + n - 20, ".rotary_emb.inv_freq") == 0)) continue;
        if (s->form == HUGGING_FACE && s->tied && strcmp(t->name, "lm_head.weight") == 0) continue;
        cli_die("%s: the tensor %.100s has no place in the %s that %s describes", s->part[i].file[t->file].path, t->name,
            s->form == PEFT ? "adapter" : "model", s->said);
    }
}
/* Llama 3.1: slow pairs are slowed by the factor, fast ones are kept, between the two a blend. GGUF has what each frequency is divided by. */
static void plan_rope(const source *s) {
    int i, half = s->head_dim / 2; item *x;
    if (s->rope != ROPE_LLAMA3) return;
    rope_factors = (float *)cli_grow(NULL, (size_t)half * sizeof *rope_factors);
    for (i = 0; i < half; i++) {
        double wave = 2 * 3.14159265358979323846 * pow(s->rope_base, 2.0 * i / s->head_dim), turns = s->n_ctx_first / wave,
            blend = (turns - s->low) / (s->high - s->low);
        rope_factors[i] = (float)(turns > s->high ? 1 : turns < s->low ? s->factor : 1 / ((1 - blend) / s->factor + blend));
    }
    x = new_item("rope_freqs.weight");
    x->vector = 1; x->rows = (uint64_t)half; x->cols = 1;
}
static void plan_model(source *s) { /* in the order of llama.cpp's converter, which is that of the names in a Hugging Face file */
    int k, layer, stage;
    plan_rope(s);
    for (stage = 0; stage < 3; stage++) for (layer = 0; layer < (stage == 1 ? s->n_layer : 1); layer++) for (k = 0; k < NAMES_ROWS; k++) {
        const name_row *w = &names_rows[k];
        if (stage != (w->layered ? 1 : k == NAMES_ROWS - 1 ? 2 : 0) || (k == 0 && s->tied)) continue;
        if ((w->bias == ATTENTION && s->attention_bias) || (w->bias == MLP && s->mlp_bias)) plan_tensor(s, w, layer, ".bias");
        plan_tensor(s, w, w->layered ? layer : -1, ".weight");
    }
    account(s);
}
static int plan_pair(source *s, const name_row *w, int layer, const char *prefix, const char *ends[2]) { /* 0: the adapter leaves that matrix alone */
    char name[2][160], full[64] = ""; const tensor *t[2]; item *x; int k, embedding = ends[0][6] == 'e'; uint64_t rank;
    for (k = 0; k < 2; k++) {
        if (layer >= 0) snprintf(name[k], sizeof name[k], "%smodel.layers.%d.%s%s", prefix, layer, w->hugging_face, ends[k]);
        else snprintf(name[k], sizeof name[k], "%s%s%s", prefix, w->hugging_face, ends[k]);
        t[k] = take(s, 0, name[k]);
    }
    if (!t[0] && !t[1]) return 0;
    if (!t[0] || !t[1]) { cli_die("%s: the tensor %s is missing, its partner is there", s->path, name[t[0] != NULL]); return 0; }
    if (layer >= 0) snprintf(full, sizeof full, "blk.%d.", layer);
    rank = s->rank ? (uint64_t)s->rank : t[0]->dims[0];
    if (rank == 0) cli_die("%s: the tensor %s has rank 0", s->path, name[0]);
    for (k = 0; k < 2; k++) {
        char out[GGUF_MAX_NAME + 1];
        snprintf(out, sizeof out, "%.20s%.20s.weight.lora_%c", full, w->gguf, 'a' + k);
        x = new_item(out); x->part[0] = t[k];
        x->turned = embedding && k == 0; /* A of an embedding is looked up by rows */
        x->rows = k == 1 ? embedding ? size_in(s, w->in) : size_in(s, w->out) : embedding ? size_in(s, w->out) : rank;
        x->cols = k == 1 || embedding ? rank : size_in(s, w->in);
        if (k == 1 && w->heads) x->n_head = w->heads == Q ? s->n_head : s->n_head_kv;
        check_item(s, x);
    }
    return 1;
}
static void plan_adapter(source *s) {
    static const char *linear[2] = { ".lora_A.weight", ".lora_B.weight" }, *embedding[2] = { ".lora_embedding_A", ".lora_embedding_B" };
    int k, layer, stage, p; const char *prefix[2] = { "base_model.model.", "" };
    for (stage = 0; stage < 2; stage++) for (layer = 0; layer < (stage ? s->n_layer : 1); layer++) for (k = 0; k < NAMES_ROWS; k++)
        for (p = 0; p < 2; p++) if (names_rows[k].layered == stage && names_rows[k].in != N_NONE
            && plan_pair(s, &names_rows[k], stage ? layer : -1, prefix[p], k == 1 ? embedding : linear)) break;
    account(s);
}

/* ================ metadata */
static void base_name(const char *path, char *name, size_t cap) { /* the last part of a path, without .bin */
    size_t n = strlen(path), from;
    while (n > 1 && (path[n - 1] == '/' || path[n - 1] == '\\')) n--;
    for (from = n; from > 0 && path[from - 1] != '/' && path[from - 1] != '\\'; from--) {}
    if (n - from > 4 && memcmp(path + n - 4, ".bin", 4) == 0) n -= 4;
    snprintf(name, cap, "%.*s", (int)(n - from < cap ? n - from : cap - 1), path + from);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || *name == 0 || *name == '/') snprintf(name, cap, "model");
}
static void write_rope(gguf_writer *w, const source *s) {
    if (s->rope == ROPE_LINEAR || s->rope == ROPE_YARN) {
        gguf_str(w, "llama.rope.scaling.type", s->rope == ROPE_LINEAR ? "linear" : "yarn");
        gguf_f32(w, "llama.rope.scaling.factor", (float)s->factor);
    }
    if (s->rope == ROPE_YARN) {
        gguf_u32(w, "llama.rope.scaling.original_context_length", (uint32_t)s->n_ctx_first);
        if (s->attention != 0) /* it multiplies the default */
            gguf_f32(w, "llama.rope.scaling.attn_factor", (float)(s->attention / (s->factor > 1 ? 0.1 * log(s->factor) + 1 : 1)));
        if (s->fast != 0) gguf_f32(w, "llama.rope.scaling.yarn_beta_fast", (float)s->fast);
        if (s->slow != 0) gguf_f32(w, "llama.rope.scaling.yarn_beta_slow", (float)s->slow);
    }
    gguf_f32(w, "llama.rope.freq_base", (float)s->rope_base);
}
static int file_type(void) { /* llama.cpp's number: the type of most weights */
    static const struct { int type, number; } t[] = { { TENSOR_F32, 0 }, { TENSOR_F16, 1 }, { TENSOR_BF16, 32 }, { 8, 7 } };
    uint64_t n[4] = { 0, 0, 0, 0 }; int i, k, best = 0;
    for (i = 0; i < n_items; i++) for (k = 0; k < 4; k++) if (!items[i].vector && items[i].type == t[k].type) n[k] += items[i].rows * items[i].cols;
    for (k = 1; k < 4; k++) if (n[k] > n[best]) best = k;
    return t[best].number;
}
static void load_vocab(vocab *v, const source *s) {
    char path[4200]; size_t n = strlen(s->path), k = n;
    memset(v, 0, sizeof *v); v->model = "no_vocab";
    if (s->form == PEFT) return;
    if (s->form != LLAMA2C) { vocab_load(v, s->path, pre_name, s->n_vocab); return; }
    while (k > 0 && s->path[k - 1] != '/' && s->path[k - 1] != '\\') k--; /* tokenizer.bin beside it */
    snprintf(path, sizeof path, "%.*stokenizer.bin", (int)(k < 4096 ? k : 4096), s->path);
    if (cli_what(path) == CLI_FILE) vocab_load_bin(v, path, s->n_vocab);
}
static void write_metadata(gguf_writer *w, const source *s, const vocab *v) {
    char name[256], card[4200], sampling[4200]; int i, folder = s->form != LLAMA2C; double n = 0;
    for (i = 0; i < n_items; i++) {   /* of an adapter: those of the matrices that it changes, below 0 */
        if (s->form != PEFT) n += (double)items[i].rows * (double)items[i].cols;
        else if (i % 2) n -= (double)items[i].rows * (double)items[i - 1].cols;
    }
    gguf_str(w, "general.architecture", "llama");
    gguf_str(w, "general.type", s->form == PEFT ? "adapter" : "model");
    if (s->form == PEFT) gguf_str(w, "adapter.type", "lora");
    base_name(s->path, name, sizeof name);
    snprintf(card, sizeof card, "%.4096s/README.md", s->path); snprintf(sampling, sizeof sampling, "%.4096s/generation_config.json", s->path);
    general_write(w, s->form == HUGGING_FACE ? json_text(&config, config.root, "_name_or_path", "") : "", name, n, folder ? card : NULL, folder
        ? sampling : NULL);
    if (s->form == PEFT) gguf_f32(w, "adapter.lora.alpha", (float)s->alpha);
    else {
        gguf_u32(w, "llama.block_count", (uint32_t)s->n_layer);
        gguf_u32(w, "llama.context_length", (uint32_t)s->n_ctx);
        gguf_u32(w, "llama.embedding_length", (uint32_t)s->n_embd);
        gguf_u32(w, "llama.feed_forward_length", (uint32_t)s->n_ff);
        gguf_u32(w, "llama.attention.head_count", (uint32_t)s->n_head);
        gguf_u32(w, "llama.attention.head_count_kv", (uint32_t)s->n_head_kv);
        write_rope(w, s);
        gguf_f32(w, "llama.attention.layer_norm_rms_epsilon", (float)s->eps);
        gguf_u32(w, "llama.attention.key_length", (uint32_t)s->head_dim);
        gguf_u32(w, "llama.attention.value_length", (uint32_t)s->head_dim);
        if (s->n_swa) gguf_u32(w, "llama.attention.sliding_window", (uint32_t)s->n_swa);
        gguf_u32(w, "general.file_type", (uint32_t)file_type());
        gguf_u32(w, "llama.vocab_size", (uint32_t)s->n_vocab);
        gguf_u32(w, "llama.rope.dimension_count", (uint32_t)s->head_dim);
    }
    gguf_u32(w, "general.quantization_version", 2);
    if (s->form != PEFT) vocab_write(v, w);
}

/* ================ writing */
/* Rows of the whole, from the parts that hold them, as the input has them. beside: room for the rows of one part. */
static void gather(const source *s, const item *x, uint64_t row, size_t n, unsigned char *dst, unsigned char *beside) {
    size_t size = tensors_size(x->from), row_bytes = (size_t)x->cols * size, k, r; int i; tensor t;
    if (x->columns) for (i = 0; i < x->n_parts; i++) {
        size_t part = row_bytes / (size_t)x->n_parts;
        tensors_rows(&s->part[i], x->part[i], row, n, beside);
        for (r = 0; r < n; r++) memcpy(dst + r * row_bytes + (size_t)i * part, beside + r * part, part);
    } else for (; n > 0; n -= k, row += k, dst += k * row_bytes) {
        uint64_t each = x->rows / (uint64_t)x->n_parts, at = row % each;
        i = (int)(row / each); t = *x->part[i];
        if (x->turned) {
            t.dims[0] = x->part[i]->dims[1]; t.dims[1] = x->part[i]->dims[0];
            t.stride[0] = x->part[i]->stride[1]; t.stride[1] = x->part[i]->stride[0];
        }
        k = each - at < n ? (size_t)(each - at) : n;
        tensors_rows(&s->part[i], &t, at, k, dst);
    }
}
static void write_item(gguf_writer *w, const source *s, int index, uint64_t *done, uint64_t total) {
    const item *x = &items[index]; static unsigned char *raw, *other, *out; static float *real; static size_t cap_raw, cap_real, cap_out;
    size_t row_bytes = (size_t)x->cols * tensors_size(x->from), unit = x->n_head ? (size_t)x->rows / (size_t)x->n_head : 1,
        most = PIECE / row_bytes / unit * unit, n, out_bytes;
    uint64_t row;
    if (most == 0) most = unit;
    if (most > x->rows) most = (size_t)x->rows;
    if (cap_raw < most * row_bytes) {
        cap_raw = most * row_bytes;
        raw = (unsigned char *)cli_grow(raw, cap_raw); other = (unsigned char *)cli_grow(other, cap_raw);
    }
    for (row = 0; row < x->rows; row += n) {
        unsigned char *p = raw;
        n = x->rows - row < most ? (size_t)(x->rows - row) : most;
        gather(s, x, row, n, raw, other);
        if (x->n_head) { names_interleave(raw, other, unit, n / unit, row_bytes); p = other; }
        out_bytes = x->vector ? 4 * n : (size_t)lm_row_bytes(x->type, x->cols) * n;
        if (x->type != x->from) {     /* through float32, which holds each exactly */
            size_t count = n * (size_t)x->cols;
            if (cap_real < count) real = (float *)cli_grow(real, (cap_real = count) * sizeof *real);
            if (lm_dequantize(x->from, p, count, real) != LM_OK) cli_die("%s: %s cannot be read", s->path, x->name);
            if (cap_out < out_bytes) out = (unsigned char *)cli_grow(out, cap_out = out_bytes);
            if (lm_quantize(x->type, real, n, x->cols, NULL, out) != LM_OK)
                cli_die("%s: the tensor %s has a weight that is infinite or no number", s->path, x->part[0]->name);
            p = out;
        }
        gguf_data(w, index, p, out_bytes);
        cli_progress_bytes("converting", *done += out_bytes, total);
    }
}
static uint64_t write_all(const source *s, const char *path) { /* -> the file's bytes */
    static gguf_writer w; static vocab v; int i; uint64_t done = 0, size, dims[2];
    load_vocab(&v, s);
    gguf_open(&w, path);
    write_metadata(&w, s, &v);
    for (i = 0; i < n_items; i++) {
        dims[0] = items[i].vector ? items[i].rows : items[i].cols; dims[1] = items[i].rows;
        gguf_tensor(&w, items[i].name, items[i].type, items[i].vector ? 1 : 2, dims);
    }
    gguf_begin(&w);
    for (i = 0; i < n_items; i++) {
        if (items[i].n_parts) write_item(&w, s, i, &done, w.n_bytes);
        else {
            int k; gguf_bytes b;
            memset(&b, 0, sizeof b);
            for (k = 0; k < s->head_dim / 2; k++) { uint32_t u; memcpy(&u, &rope_factors[k], 4); gguf_put_le(&b, u, 4); }
            gguf_data(&w, i, b.p, b.n);
            free(b.p);
        }
    }
    cli_clear();
    size = w.n_bytes;
    gguf_end(&w);
    if (s->form != PEFT && strcmp(v.model, "no_vocab") == 0) cli_note("%s: there are no tokenizer files, so %s works with ids only", s->path, path);
    vocab_close(&v);
    return size;
}

int main(int argc, char **argv) {
    char name[300]; cli_path what; int i; source *s = &src; uint64_t size;
    CLI_PARSE("convert", "IN [-o OUT.gguf] [options]", options, &in_path);
    if (in_path == NULL) cli_usage("IN: a folder or a .bin file is needed (--help)");
    s->path = in_path;
    what = cli_what(in_path);
    if (what == CLI_NOTHING || what == CLI_OTHER) cli_die("%s: %s", in_path, what == CLI_OTHER ? "is no regular file" : strerror(errno));
    if (what == CLI_FILE) read_llama2c(s);
    else if (has(in_path, "adapter_config.json")) read_peft(s);
    else if (has(in_path, "config.json")) read_hugging_face(s);
    else if (has(in_path, "params.json")) read_meta(s);
    else cli_die("%s: has neither config.json (Hugging Face), nor params.json (Meta), nor adapter_config.json (PEFT)", in_path);
    if (base_path && s->form != PEFT) cli_usage("--base: %s is no adapter", in_path);
    if (pre_name && (s->form == PEFT || s->form == LLAMA2C)) cli_usage("--pre: %s has no pre-tokenizer", in_path);
    if (s->form == PEFT) plan_adapter(s); else plan_model(s);
    base_name(in_path, name, sizeof name - 5);
    strcat(name, ".gguf");
    size = write_all(s, out_path ? out_path : name);
    if (out_path == NULL || strcmp(out_path, "-") != 0) printf("%s: %d tensors, %.1f MB\n", out_path ? out_path : name, n_items, (double)size / 1e6);
    for (i = 0; i < s->n_parts; i++) tensors_close(&s->part[i]);
    return cli_end();
}
