/* train --reference DIR --out OUT: loss, gradients and parameters of the fixtures in DIR, each computed by lm_train and written to a file of the same
 * name in OUT, float32, with Hugging Face's names and row order. DIR has
 *   tiny/ and tiny_tied/     config.json, model.safetensors
 *   batch.safetensors        tokens [steps, rows, n + 1]; input_ids, targets, targets_masked [rows, n], -100: not counted
 *   adamw.json               hyper: lr, beta1, ...; cosine: warmup, total, min_lr
 *   lora/                    adapter_config.json, adapter_init.safetensors, expected.json: lr, weight_decay
 *   accum/                   batch.safetensors, expected.json: micro_batch_rows
 * and, or instead of all that, one or both of
 *   dpo/                     config.json: beta; batch.safetensors: input_ids, targets [rows, n], rows 2i chosen, 2i + 1 rejected
 *   distill/                 config.json: cases, a list of { name, share, temperature, top_k }; batch.safetensors: input_ids, targets
 * over policy/, which is trained, and base/, which DPO compares with and which teaches: config.json, model.safetensors. The loss is the mean over
 * pairs or over targets; dpo/loss.json has also that of base/ itself. */
#ifndef REFERENCE_H
#define REFERENCE_H
#include "safetensors.h"
#include "gguf_write.h"
#include "names.h"
#include "schedule.h"
#include "dpo.h"
#include "distill.h"

#define REFERENCE_MAX 64              /* steps */
typedef struct reference_tokens { lm_token *v; uint64_t dims[3]; int n_dims; } reference_tokens;
static struct {
    const char *dir, *out;
    double lr, beta1, beta2, eps, weight_decay, clip, cosine_min; int warmup, total;
    lm_train_shape shape;
    reference_tokens tokens, ids, targets, masked;
} ref;

static inline const char *ref_in(const char *name) { static char p[4][4400]; static int turn; turn = (turn + 1) % 4;
    snprintf(p[turn], sizeof p[turn], "%.4096s/%.255s", ref.dir, name); return p[turn]; }
static inline const char *ref_out(const char *name) { static char p[4][4400]; static int turn; turn = (turn + 1) % 4;
    snprintf(p[turn], sizeof p[turn], "%.4096s/%.255s", ref.out, name); return p[turn]; }
static inline void ref_folder(const char *path) { /* made where it is not there */
#ifdef _WIN32
    wchar_t *p = cli_wide(path); CreateDirectoryW(p, NULL); free(p);
#else
    if (cli_what(path) == CLI_NOTHING) mkdir(path, 0777);
#endif
    if (cli_what(path) != CLI_FOLDER) cli_die("%s: %s", path, strerror(errno));
}

/* ---- inputs */
/* int32 or int64, which safetensors.h does not name */
static inline reference_tokens ref_tokens(const tensors *l, const char *path, const char *name) {
    reference_tokens r; const tensor *t = tensors_find(l, name); size_t i, n = 1, size; unsigned char b[8]; int k;
    memset(&r, 0, sizeof r);
    if (t == NULL || t->n_dims < 2 || t->n_dims > 3 || (strcmp(t->kind, "I32") != 0 && strcmp(t->kind, "I64") != 0))
        { cli_die("%s: %s: whole numbers of 2 or 3 dimensions are expected", path, name); return r; }
    size = t->kind[1] == '3' ? 4 : 8;
    for (k = 0; k < t->n_dims; k++) { r.dims[k] = t->dims[k]; if (t->dims[k] > 1 << 20 || (n *= (size_t)t->dims[k]) > 1 << 26
        || n == 0) cli_die("%s: %s: is too large, or empty", path, name); }
    r.n_dims = t->n_dims; r.v = (lm_token *)cli_grow(NULL, n * sizeof *r.v);
    for (i = 0; i < n; i++) {
        uint32_t u;
        tensors_bytes(l, t->file, t->offset + i * size, b, size);
        u = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(&r.v[i], &u, 4);
    }
    return r;
}
static inline void ref_load(tensors *l, const char *path) { memset(l, 0, sizeof *l); safetensors_read(l, path); tensors_sort(l, path); }
static inline void ref_shape(const char *path) {
    json_doc d; const json *r;
    memset(&d, 0, sizeof d); memset(&ref.shape, 0, sizeof ref.shape);
    r = json_as(&d, json_read(&d, path), JSON_OBJECT);
    ref.shape.n_vocab = (int)json_int(&d, r, "vocab_size", 1, 1 << 24, 0); ref.shape.n_embd = (int)json_int(&d, r, "hidden_size", 1, 1 << 16, 0);
    ref.shape.n_layer = (int)json_int(&d, r, "num_hidden_layers", 1, 1024, 0); ref.shape.n_head = (int)json_int(&d, r, "num_attention_heads", 1,
        1 << 14, 0);
    ref.shape.n_head_kv = (int)json_int(&d, r, "num_key_value_heads", 1, 1 << 14, ref.shape.n_head); ref.shape.n_embd_head = (int)json_int(&d, r,
        "head_dim", 1, 1 << 14, 0);
    ref.shape.n_ff = (int)json_int(&d, r, "intermediate_size", 1, 1 << 20, 0); ref.shape.tied = json_bool(&d, r, "tie_word_embeddings", 0);
    ref.shape.rms_eps = (float)json_real(&d, r, "rms_norm_eps", 1e-30, 1, 1e-6); ref.shape.rope_freq_base = (float)json_real(&d, r, "rope_theta",
        1.0001, 1e12, 10000);
    json_close(&d);
}
static inline void ref_hyper(void) {
    json_doc d; const json *h, *c;
    memset(&d, 0, sizeof d);
    json_read(&d, ref_in("adamw.json"));
    h = json_need(&d, json_as(&d, d.root, JSON_OBJECT), "hyper", JSON_OBJECT); c = json_need(&d, d.root, "cosine", JSON_OBJECT);
    ref.lr = json_real(&d, h, "lr", 0, 10, 1e-3); ref.beta1 = json_real(&d, h, "beta1", 0, 1, 0.9); ref.beta2 = json_real(&d, h, "beta2", 0, 1, 0.95);
    ref.eps = json_real(&d, h, "eps", 0, 1, 1e-8); ref.weight_decay = json_real(&d, h, "weight_decay", 0, 10, 0.1);
    ref.clip = json_real(&d, h, "grad_clip", 0, 1e9, 1);
    ref.warmup = (int)json_int(&d, c, "warmup", 0, 1 << 20, 0); ref.total = (int)json_int(&d, c, "total", 1, 1 << 20, 10);
    ref.cosine_min = json_real(&d, c, "min_lr", 0, 10, 0);
    json_close(&d);
}

/* ---- tensors between lm_train and Hugging Face */
static inline void ref_name(const char *gguf, int adapter, char *name, size_t cap, int *n_head) { /* n_head: whose rows have another order; 0: none */
    int layer; const char *rest; const name_row *w = names_find(gguf, &layer, &rest); char at[40] = "";
    if (w == NULL) { cli_die("%s: a tensor without a name in Hugging Face's files", gguf); return; }
    if (layer >= 0) snprintf(at, sizeof at, "model.layers.%d.", layer);
    snprintf(name, cap, "%s%s%s%s.weight", adapter ? "base_model.model." : "", at, w->hugging_face,
        !*rest ? "" : rest[6] == 'a' ? ".lora_A" : ".lora_B");
    *n_head = *rest && rest[6] == 'a' ? 0 : w->heads == Q ? ref.shape.n_head : w->heads == K ? ref.shape.n_head_kv : 0;
}
enum { REF_VALUE, REF_GRAD };
static inline void ref_write(lm_train *t, int what, int adapter, const char *path) {
    lm_train_info info; safetensors_out *o; int i, n_head; char *names; lm_train_tensor x;
    lm_train_get_info(t, &info);
    o = (safetensors_out *)cli_grow(NULL, (size_t)info.n_tensors * sizeof *o); names = (char *)cli_grow(NULL, (size_t)info.n_tensors * 256);
    memset(o, 0, (size_t)info.n_tensors * sizeof *o);
    for (i = 0; i < info.n_tensors; i++) {
        size_t rows_, cols; float *copy; const float *from;
        lm_train_tensor_at(t, i, &x);
        ref_name(x.name, adapter, names + 256 * i, 256, &n_head);
        from = what == REF_GRAD ? x.grad : x.value; cols = (size_t)x.dims[0]; rows_ = x.n_dims > 1 ? (size_t)x.dims[1] : 1;
        copy = (float *)cli_grow(NULL, rows_ * cols * sizeof *copy);
        if (n_head) names_separate((const unsigned char *)from, (unsigned char *)copy, rows_ / (size_t)n_head, (size_t)n_head, cols * sizeof *copy);
        else memcpy(copy, from, rows_ * cols * sizeof *copy);
        o[i].name = names + 256 * i; o[i].n_dims = x.n_dims; o[i].x = copy;
        if (x.n_dims > 1) { o[i].dims[0] = x.dims[1]; o[i].dims[1] = x.dims[0]; } else o[i].dims[0] = x.dims[0];
    }
    safetensors_write(path, o, (size_t)info.n_tensors);
    for (i = 0; i < info.n_tensors; i++) free((void *)(uintptr_t)o[i].x);
    free(o); free(names);
}
static inline void ref_fill(lm_train *t, const char *path, int adapter) { /* values from a file; all it has must be used */
    lm_train_info info; tensors l; int i, n_head; char name[256]; lm_train_tensor x; size_t k;
    lm_train_get_info(t, &info);
    ref_load(&l, path);
    for (i = 0; i < info.n_tensors; i++) {
        size_t rows_, cols; tensor *from; float *copy;
        lm_train_tensor_at(t, i, &x);
        ref_name(x.name, adapter, name, sizeof name, &n_head);
        from = tensors_find(&l, name); cols = (size_t)x.dims[0]; rows_ = x.n_dims > 1 ? (size_t)x.dims[1] : 1;
        if (from == NULL || from->type != TENSOR_F32 || from->n_dims != x.n_dims || from->dims[x.n_dims - 1] != cols || (x.n_dims > 1
            && from->dims[0] != rows_))
            { cli_die("%s: the tensor %s is missing, not F32 or of another shape", path, name); return; }
        from->used = 1;
        copy = (float *)cli_grow(NULL, rows_ * cols * sizeof *copy);
        tensors_rows(&l, from, 0, x.n_dims > 1 ? rows_ : cols, copy);
        for (k = 0; k < rows_ * cols; k++) { float v; lm_dequantize(TENSOR_F32, &copy[k], 1, &v); copy[k] = v; }
        if (n_head) names_interleave((const unsigned char *)copy, (unsigned char *)x.value, rows_ / (size_t)n_head, (size_t)n_head,
            cols * sizeof *copy);
        else memcpy(x.value, copy, rows_ * cols * sizeof *copy);
        free(copy);
    }
    for (k = 0; k < l.n; k++) if (!l.v[k].used) cli_die("%s: the tensor %s has no place in the model", path, l.v[k].name);
    tensors_close(&l);
}
static inline lm_train *ref_open(const char *model, const lm_model *base, int rank, double alpha, int n_rows, int n_len) {
    lm_train_desc d; lm_train *t; lm_error err;
    memset(&d, 0, sizeof d);
    d.base = base; d.shape = base ? NULL : &ref.shape; d.lora_rank = rank; d.lora_alpha = (float)alpha; d.n_rows = n_rows; d.n_len = n_len;
    d.n_threads = cli.n_threads;
    if (lm_train_open(&t, &d, &err) != LM_OK) cli_die("%s: %s", model, err.text);
    return t;
}
static inline lm_train *ref_model(const char *folder, int n_rows, int n_len) {
    char path[600]; lm_train *t;
    snprintf(path, sizeof path, "%.200s/config.json", folder); ref_shape(ref_in(path));
    t = ref_open(folder, NULL, 0, 0, n_rows, n_len);
    snprintf(path, sizeof path, "%.200s/model.safetensors", folder); ref_fill(t, ref_in(path), 0);
    return t;
}

/* ---- steps */
static inline int64_t ref_counted(const lm_token *targets, size_t n) { int64_t c = 0; size_t i; for (i = 0; i < n; i++) c += targets[i] >= 0;
    return c; }
static inline lm_train_batch ref_run(lm_train *t, const lm_token *ids, const lm_token *targets, int n_rows, int n_len, double scale) {
    lm_train_batch b;
    memset(&b, 0, sizeof b);
    b.n_rows = n_rows; b.n_len = n_len; b.ids = ids; b.targets = targets; b.scale = (float)scale;
    if (lm_train_run(t, &b) != LM_OK) cli_die("%s: %s", ref.dir, lm_train_error(t));
    return b;
}
static inline void ref_grads(FILE *f, const char *model, const char *name, const reference_tokens *targets, const char *end) {
    int n_rows = (int)ref.ids.dims[0], n_len = (int)ref.ids.dims[1]; char path[300]; lm_train *t = ref_model(model, n_rows, n_len); lm_train_batch b;
    b = ref_run(t, ref.ids.v, targets->v, n_rows, n_len, 1.0 / (double)ref_counted(targets->v, (size_t)n_rows * (size_t)n_len));
    fprintf(f, " \"%s\": { \"loss\": %.17g, \"counted_targets\": %lld, \"sum_nll\": %.17g, \"grad_norm\": %.17g }%s\n", name, b.loss,
        (long long)b.n_counted, b.nll,
        lm_train_norm(t), end);
    snprintf(path, sizeof path, "grads_%s.safetensors", name);
    ref_write(t, REF_GRAD, 0, ref_out(path));
    lm_train_close(t);
}
/* AdamW over the batches of `tokens`: file names after `after` steps, NULL ends the list. */
static inline void ref_train(lm_train *t, int cosine, int n_steps, double lr, double decay, double clip, int adapter, const int *after,
    const char *const *files) {
    int s, k, i, n_rows = (int)ref.tokens.dims[1], n_len = (int)ref.tokens.dims[2] - 1, n = n_rows * n_len; lm_adamw o;
    lm_token *ids = (lm_token *)cli_grow(NULL, (size_t)n * sizeof *ids), *targets = (lm_token *)cli_grow(NULL, (size_t)n * sizeof *ids);
    for (s = 0; s < n_steps; s++) {
        const lm_token *from = ref.tokens.v + (size_t)s * (size_t)n_rows * (size_t)(n_len + 1);
        for (i = 0; i < n; i++) { ids[i] = from[i / n_len * (n_len + 1) + i % n_len]; targets[i] = from[i / n_len * (n_len + 1) + i % n_len + 1]; }
        ref_run(t, ids, targets, n_rows, n_len, 1.0 / n);
        memset(&o, 0, sizeof o);
        o.lr = cosine ? schedule_lr(SCHEDULE_COSINE, s, lr, ref.cosine_min, ref.warmup, ref.total, 0) : lr;
        o.beta1 = ref.beta1; o.beta2 = ref.beta2; o.eps = ref.eps; o.weight_decay = decay; o.clip = clip; o.t = (uint64_t)s + 1;
        if (lm_train_step(t, &o) != LM_OK) cli_die("%s: %s", ref.dir, lm_train_error(t));
        for (k = 0; files[k]; k++) if (after[k] == s + 1) ref_write(t, REF_VALUE, adapter, ref_out(files[k]));
    }
    free(ids); free(targets);
}
static inline void ref_accumulate(void) { /* micro-batches, all scaled by 1 / the targets of all */
    tensors l; reference_tokens ids, targets; json_doc d; int rows_, n_len, row, n; lm_train *t; double scale;
    ref_load(&l, ref_in("accum/batch.safetensors"));
    ids = ref_tokens(&l, "accum", "input_ids"); targets = ref_tokens(&l, "accum", "targets");
    tensors_close(&l);
    memset(&d, 0, sizeof d); json_read(&d, ref_in("accum/expected.json"));
    rows_ = (int)json_int(&d, d.root, "micro_batch_rows", 1, 1 << 20, 1); json_close(&d);
    n_len = (int)ids.dims[1];
    if (ids.dims[0] != targets.dims[0] || ids.dims[1] != targets.dims[1]) cli_die("%s: input_ids and targets differ in shape",
        ref_in("accum/batch.safetensors"));
    t = ref_model("tiny", rows_, n_len);
    scale = 1.0 / (double)ref_counted(targets.v, (size_t)(ids.dims[0] * ids.dims[1]));
    for (row = 0; row < (int)ids.dims[0]; row += n) {
        n = (int)ids.dims[0] - row < rows_ ? (int)ids.dims[0] - row : rows_;
        ref_run(t, ids.v + row * n_len, targets.v + row * n_len, n, n_len, scale);
    }
    ref_write(t, REF_GRAD, 0, ref_out("accum/grads.safetensors"));
    lm_train_close(t); free(ids.v); free(targets.v);
}

/* ---- adapters: over a GGUF of the model, which is removed afterwards */
static inline void ref_gguf(lm_train *t, const char *path) {
    gguf_writer w; lm_train_info info; lm_train_tensor x; int i; const lm_train_shape *s = &info.shape;
    lm_train_get_info(t, &info);
    gguf_open(&w, path);
    gguf_str(&w, "general.architecture", "llama");
    gguf_u32(&w, "llama.block_count", (uint32_t)s->n_layer); gguf_u32(&w, "llama.context_length", 4096);
    gguf_u32(&w, "llama.embedding_length", (uint32_t)s->n_embd);
    gguf_u32(&w, "llama.feed_forward_length", (uint32_t)s->n_ff); gguf_u32(&w, "llama.attention.head_count", (uint32_t)s->n_head);
    gguf_u32(&w, "llama.attention.head_count_kv", (uint32_t)s->n_head_kv); gguf_f32(&w, "llama.attention.layer_norm_rms_epsilon", s->rms_eps);
    gguf_f32(&w, "llama.rope.freq_base", s->rope_freq_base); gguf_u32(&w, "llama.attention.key_length", (uint32_t)s->n_embd_head);
    gguf_u32(&w, "llama.attention.value_length", (uint32_t)s->n_embd_head); gguf_u32(&w, "llama.rope.dimension_count", (uint32_t)s->n_embd_head);
    gguf_u32(&w, "llama.vocab_size", (uint32_t)s->n_vocab); gguf_str(&w, "tokenizer.ggml.model", "no_vocab");
    for (i = 0; i < info.n_tensors; i++) { lm_train_tensor_at(t, i, &x); gguf_tensor(&w, x.name, 0, x.n_dims, x.dims); }
    gguf_begin(&w);
    for (i = 0; i < info.n_tensors; i++) {
        size_t n, k; unsigned char b[4]; uint32_t u;
        lm_train_tensor_at(t, i, &x);
        for (n = (size_t)(x.dims[0] * (x.n_dims > 1 ? x.dims[1] : 1)), k = 0; k < n; k++) {
            memcpy(&u, &x.value[k], 4);
            b[0] = (unsigned char)u; b[1] = (unsigned char)(u >> 8); b[2] = (unsigned char)(u >> 16); b[3] = (unsigned char)(u >> 24);
            gguf_data(&w, i, b, 4);
        }
    }
    gguf_end(&w);
}
static inline int ref_pair(lm_train *t, const char *name, lm_train_tensor *a, lm_train_tensor *b) { /* the adapter of a matrix */
    char want[2][160]; lm_train_tensor x; int i, found = 0;
    snprintf(want[0], sizeof want[0], "%.120s.lora_a", name); snprintf(want[1], sizeof want[1], "%.120s.lora_b", name);
    for (i = 0; lm_train_tensor_at(t, i, &x) == LM_OK; i++) {
        if (strcmp(x.name, want[0]) == 0) { *a = x; found |= 1; }
        if (strcmp(x.name, want[1]) == 0) { *b = x; found |= 2; }
    }
    return found == 3;
}
static inline void ref_merge(lm_train *base, lm_train *t, double scale, const char *path) { /* W + scale B A, of the matrices that have adapters */
    safetensors_out o[1024]; char (*names)[256] = (char (*)[256])cli_grow(NULL, sizeof o / sizeof o[0] * 256); size_t n = 0, r, c, k; int i, n_head;
    lm_train_tensor x, a, b;
    for (i = 0; lm_train_tensor_at(base, i, &x) == LM_OK && n < sizeof o / sizeof o[0]; i++) {
        size_t cols = (size_t)x.dims[0], rows_ = x.n_dims > 1 ? (size_t)x.dims[1] : 1; float *sum, *copy;
        memset(&a, 0, sizeof a); memset(&b, 0, sizeof b);
        if (!ref_pair(t, x.name, &a, &b)) continue;
        sum = (float *)cli_grow(NULL, rows_ * cols * sizeof *sum); copy = (float *)cli_grow(NULL, rows_ * cols * sizeof *sum);
        for (r = 0; r < rows_; r++) for (c = 0; c < cols; c++) {
            double v = 0;
            for (k = 0; k < (size_t)a.dims[1]; k++) v += (double)b.value[r * (size_t)a.dims[1] + k] * (double)a.value[k * cols + c];
            sum[r * cols + c] = (float)((double)x.value[r * cols + c] + scale * v);
        }
        ref_name(x.name, 0, names[n], 256, &n_head);
        if (n_head) names_separate((const unsigned char *)sum, (unsigned char *)copy, rows_ / (size_t)n_head, (size_t)n_head, cols * sizeof *copy);
        else memcpy(copy, sum, rows_ * cols * sizeof *copy);
        free(sum);
        o[n].name = names[n]; o[n].n_dims = 2; o[n].dims[0] = rows_; o[n].dims[1] = cols; o[n++].x = copy;
    }
    safetensors_write(path, o, n);
    while (n > 0) free((void *)(uintptr_t)o[--n].x);
    free(names);
}
static inline void ref_adapters(void) {
    static const int after[] = { 1, 3 }; static const char *const files[] = { "lora/adapter_step1.safetensors", "lora/adapter_step3.safetensors",
        NULL };
    int rank, n_rows = (int)ref.ids.dims[0], n_len = (int)ref.ids.dims[1]; double alpha, lr, decay; json_doc d; lm_model_desc md; lm_model *base;
    lm_error err; lm_train *t, *whole;
    char path[4400];
    snprintf(path, sizeof path, "%s", ref_out("lora/base.gguf"));
    memset(&d, 0, sizeof d); json_read(&d, ref_in("lora/adapter_config.json"));
    rank = (int)json_int(&d, d.root, "r", 1, 4096, 4); alpha = json_real(&d, d.root, "lora_alpha", 1e-6, 1e6, rank);
    json_read(&d, ref_in("lora/expected.json"));
    lr = json_real(&d, d.root, "lr", 0, 10, 1e-3); decay = json_real(&d, d.root, "weight_decay", 0, 10, 0);
    json_close(&d);
    whole = ref_model("tiny", n_rows, n_len);
    ref_gguf(whole, path);
    memset(&md, 0, sizeof md); md.path = path; md.plain_layout = 1;
    if (lm_model_open(&base, &md, &err) != LM_OK) cli_die("%s", err.text);
    t = ref_open("lora", base, rank, alpha, n_rows, n_len);
    ref_fill(t, ref_in("lora/adapter_init.safetensors"), 1);
    ref_run(t, ref.ids.v, ref.targets.v, n_rows, n_len, 1.0 / (double)ref_counted(ref.targets.v, (size_t)n_rows * (size_t)n_len));
    ref_write(t, REF_GRAD, 1, ref_out("lora/grads.safetensors"));
    lm_train_zero(t);
    ref_train(t, 0, 3, lr, decay, 0, 1, after, files);
    ref_merge(whole, t, alpha / rank, ref_out("lora/merged_step3.safetensors"));
    lm_train_close(t); lm_train_close(whole); lm_model_close(base);
    remove(path);
}
/* ---- preferences and teachers: the steps of train itself */
typedef struct ref_rows { reference_tokens ids, targets; int n_rows, n_len; json_doc config; } ref_rows;
static inline void ref_rows_read(ref_rows *r, const char *batch, const char *what) {
    tensors l; const char *path = ref_in(batch);
    ref_load(&l, path);
    r->ids = ref_tokens(&l, path, "input_ids"); r->targets = ref_tokens(&l, path, "targets");
    tensors_close(&l);
    if (r->ids.n_dims != 2 || r->targets.n_dims != 2 || memcmp(r->ids.dims, r->targets.dims, sizeof r->ids.dims) != 0)
        cli_die("%s: input_ids and targets differ in shape", path);
    r->n_rows = (int)r->ids.dims[0]; r->n_len = (int)r->ids.dims[1];
    memset(&r->config, 0, sizeof r->config); json_as(&r->config, json_read(&r->config, ref_in(what)), JSON_OBJECT);
}
static inline void ref_rows_free(ref_rows *r) { json_close(&r->config); free(r->ids.v); free(r->targets.v); }
static inline lm_train_batch ref_batch(const ref_rows *r) {
    lm_train_batch b;
    memset(&b, 0, sizeof b);
    b.n_rows = r->n_rows; b.n_len = r->n_len; b.ids = r->ids.v; b.targets = r->targets.v;
    return b;
}
static inline FILE *ref_create(const char *path) {
    FILE *f = cli_fopen(path, "wb");
    if (f == NULL) cli_die("%s: %s", path, strerror(errno));
    return f;
}
static inline void ref_dpo(void) {
    ref_rows r; lm_train *t; lm_train_batch b; FILE *f; double beta, loss[2] = { 0, 0 }, *nll, *before; float *weight; int i;
    ref_rows_read(&r, "dpo/batch.safetensors", "dpo/config.json");
    beta = json_real(&r.config, r.config.root, "beta", 1e-6, 100, 0.1);
    if (r.n_rows % 2) cli_die("%s: %d rows are no pairs", ref_in("dpo/batch.safetensors"), r.n_rows);
    nll = (double *)cli_grow(NULL, (size_t)r.n_rows * 2 * sizeof *nll); before = nll + r.n_rows;
    weight = (float *)cli_grow(NULL, (size_t)r.n_rows * (size_t)r.n_len * sizeof *weight);
    for (i = 0; i < 2; i++) {         /* the base itself, then the policy */
        t = ref_model(i ? "policy" : "base", r.n_rows, r.n_len);
        b = ref_batch(&r); b.row_nll = before;
        if (i == 0 && lm_train_run(t, &b) != LM_OK) cli_die("%s: %s", ref.dir, lm_train_error(t));
        b = ref_batch(&r);
        if (dpo_run(t, &b, beta, 2.0 / r.n_rows, before, nll, weight, &loss[i]) != LM_OK) cli_die("%s: %s", ref.dir, lm_train_error(t));
        if (i) ref_write(t, REF_GRAD, 0, ref_out("dpo/grads.safetensors"));
        lm_train_close(t);
    }
    f = ref_create(ref_out("dpo/loss.json"));
    fprintf(f, "{ \"first\": %.17g, \"loss\": %.17g, \"margins\": [", loss[0], loss[1]);
    for (i = 0; i < r.n_rows; i += 2) fprintf(f, "%s%.17g", i ? ", " : " ", dpo_margin(beta, nll + i, before + i));
    fputs(" ] }\n", f);
    if (fclose(f) != 0) cli_die("%s: %s", ref_out("dpo/loss.json"), strerror(errno));
    free(nll); free(weight); ref_rows_free(&r);
}
static inline double ref_taught(const ref_rows *r, const json *c, const char *teacher) { /* one case; its gradients to a file -> loss */
    const char *name = json_text(&r->config, c, "name", "case"); char path[300]; lm_train *t; distill d; lm_train_batch b = ref_batch(r);
    size_t n = (size_t)r->n_rows * (size_t)r->n_len, i; float *p; lm_token *top;
    double temperature = json_real(&r->config, c, "temperature", 1e-3, 1e3, 1);
    distill_open(&d, teacher, r->n_len, json_int(&r->config, c, "top_k", 0, 1 << 20, 0), cli.n_threads);
    if (n > ((size_t)-1 >> 4) / (size_t)d.n_top) cli_die("memory: %s", name);
    p = (float *)cli_grow(NULL, n * (size_t)d.n_top * sizeof *p); top = (lm_token *)cli_grow(NULL, n * (size_t)d.n_top * sizeof *top);
    for (i = 0; i < n; i += (size_t)r->n_len)
        distill_document(&d, b.ids + i, b.targets + i, r->n_len, p + i * (size_t)d.n_top, d.n_top < d.n_vocab ? top + i * (size_t)d.n_top : NULL);
    for (i = 0; i < n; i++) if (b.targets[i] >= 0) distill_soften(p + i * (size_t)d.n_top, d.n_top, temperature);
        else memset(top + i * (size_t)d.n_top, 0, (size_t)d.n_top * sizeof *top);
    b.soft_p = p; b.soft_ids = d.n_top < d.n_vocab ? top : NULL; b.n_soft = d.n_top;
    b.soft_share = (float)json_real(&r->config, c, "share", 0, 1, 0.5); b.temperature = (float)temperature;
    b.scale = (float)(1.0 / (double)ref_counted(b.targets, n));
    t = ref_model("policy", r->n_rows, r->n_len);
    if (lm_train_run(t, &b) != LM_OK) cli_die("%s: %s", ref.dir, lm_train_error(t));
    snprintf(path, sizeof path, "distill/%.200s.safetensors", name);
    ref_write(t, REF_GRAD, 0, ref_out(path));
    lm_train_close(t); distill_close(&d); free(p); free(top);
    return b.loss;
}
static inline void ref_distill(void) {
    ref_rows r; const json *cases; uint32_t i; lm_train *t; FILE *f; char teacher[4400];
    ref_rows_read(&r, "distill/batch.safetensors", "distill/config.json");
    cases = json_need(&r.config, r.config.root, "cases", JSON_LIST);
    snprintf(teacher, sizeof teacher, "%s", ref_out("distill/teacher.gguf"));
    t = ref_model("base", 1, r.n_len);
    ref_gguf(t, teacher);
    lm_train_close(t);
    f = ref_create(ref_out("distill/loss.json"));
    for (i = 0; i < cases->n; i++) {
        const json *c = json_as(&r.config, &cases->v.item[i], JSON_OBJECT);
        fprintf(f, "%s \"%s\": %.17g", i ? "," : "{", json_text(&r.config, c, "name", "case"), ref_taught(&r, c, teacher));
    }
    fputs(" }\n", f);
    if (fclose(f) != 0) cli_die("%s: %s", ref_out("distill/loss.json"), strerror(errno));
    remove(teacher); ref_rows_free(&r);
}
static inline void ref_language(void) { /* what reference/train has */
    static const int after[] = { 1, 10 }; static const char *const constant[] = { "params_step1.safetensors", "params_step10.safetensors", NULL };
    static const int last[] = { 10 }; static const char *const cosine[] = { "params_cosine_step10.safetensors", NULL };
    tensors l; FILE *f; lm_train *t; const char *path; int n_rows, n_len;
    ref_folder(ref_out("lora")); ref_folder(ref_out("accum"));
    path = ref_in("batch.safetensors");
    ref_load(&l, path);
    ref.tokens = ref_tokens(&l, path, "tokens"); ref.ids = ref_tokens(&l, path, "input_ids"); ref.targets = ref_tokens(&l, path, "targets");
    ref.masked = ref_tokens(&l, path, "targets_masked");
    tensors_close(&l);
    n_rows = (int)ref.ids.dims[0]; n_len = (int)ref.ids.dims[1];
    if (ref.tokens.n_dims != 3 || ref.tokens.dims[0] < 10 || (int)ref.tokens.dims[1] != n_rows || (int)ref.tokens.dims[2] != n_len + 1
        || memcmp(ref.ids.dims, ref.targets.dims,
        sizeof ref.ids.dims) != 0 || memcmp(ref.ids.dims, ref.masked.dims, sizeof ref.ids.dims) != 0) cli_die("%s: shapes do not fit each other",
            path);
    ref_hyper();
    f = ref_create(ref_out("loss.json"));
    fputs("{\n", f);
    ref_grads(f, "tiny", "full", &ref.targets, ","); ref_grads(f, "tiny", "masked", &ref.masked, ",");
    ref_grads(f, "tiny_tied", "tied", &ref.targets, "");
    fputs("}\n", f);
    if (fclose(f) != 0) cli_die("%s: %s", ref_out("loss.json"), strerror(errno));
    t = ref_model("tiny", n_rows, n_len);
    ref_train(t, 0, 10, ref.lr, ref.weight_decay, ref.clip, 0, after, constant);
    lm_train_close(t);
    t = ref_model("tiny", n_rows, n_len);
    ref_train(t, 1, 10, ref.lr, ref.weight_decay, ref.clip, 0, last, cosine);
    lm_train_close(t);
    ref_accumulate();
    ref_adapters();
    free(ref.tokens.v); free(ref.ids.v); free(ref.targets.v); free(ref.masked.v);
}
static inline void reference_all(const char *dir, const char *out) {
    int dpo, taught;
    ref.dir = dir; ref.out = out;
    if (cli_what(dir) != CLI_FOLDER) cli_die("%s: is no folder", dir);
    ref_folder(out);
    dpo = cli_what(ref_in("dpo")) == CLI_FOLDER; taught = cli_what(ref_in("distill")) == CLI_FOLDER;
    if (!(dpo || taught) || cli_what(ref_in("batch.safetensors")) != CLI_NOTHING) ref_language();
    if (dpo) { ref_folder(ref_out("dpo")); ref_dpo(); }
    if (taught) { ref_folder(ref_out("distill")); ref_distill(); }
    printf("%s: computed, written to %s\n", dir, out);
}
#endif /* REFERENCE_H */
