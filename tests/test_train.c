/* Training: losses, gradients and steps against PyTorch's numbers (shared/reference/train), the forward pass against lm_decode, and what holds
 * without any reference: the same bits for any threads, instruction set, cutting into micro-batches of rows, recomputing; packed documents as if
 * alone; what lies below adapters stays as it is; dropout by its properties; the parts of the loss; cancelling. Differences in double:
 * tests/programs/train_double.c. */
#define LLAMA_TRAIN
#include "tiny.h"

/* ---- safetensors, as far as the reference has them: float32 and int32 */
typedef struct st { char *file; size_t n; json *head; const char *data; } st;
static int st_open(st *s, const char *relative) {
    const char *path = data_path(relative); uint64_t n = 0; int i;
    memset(s, 0, sizeof *s);
    if (path == NULL || (s->file = (char *)read_file(path, &s->n)) == NULL || s->n < 8) return 0;
    for (i = 8; i-- > 0; ) n = n << 8 | (unsigned char)s->file[i];
    if (n > s->n - 8 || (s->head = json_parse(s->file + 8, (size_t)n)) == NULL) return 0;
    s->data = s->file + 8 + n;
    return 1;
}
static void st_close(st *s) { json_free(s->head); free(s->file); }
static const void *st_find(const st *s, const char *name, size_t *n) { /* little-endian 4-byte items, on this host as they are */
    const json *t = json_get(s->head, name), *at = json_get(t, "data_offsets");
    if (at == NULL || at->child == NULL || at->child->next == NULL) { *n = 0; return NULL; }
    *n = (size_t)(at->child->next->number - at->child->number) / 4;
    return s->data + (size_t)at->child->number;
}

/* ---- Hugging Face's names and layout: q and k have the halves of each pair apart */
static void hf_name(const char *name, int lora, char *out) {
    static const char *const map[][2] = { { "attn_norm", "input_layernorm" }, { "attn_q", "self_attn.q_proj" }, { "attn_k", "self_attn.k_proj" }, { "attn_v", "self_attn.v_proj" },
        { "attn_output", "self_attn.o_proj" }, { "ffn_norm", "post_attention_layernorm" }, { "ffn_gate", "mlp.gate_proj" }, { "ffn_up", "mlp.up_proj" }, { "ffn_down", "mlp.down_proj" } };
    int layer, i; char what[64], *dot;
    if (strcmp(name, "token_embd.weight") == 0) { strcpy(out, "model.embed_tokens.weight"); return; }
    if (strcmp(name, "output_norm.weight") == 0) { strcpy(out, "model.norm.weight"); return; }
    if (strcmp(name, "output.weight") == 0) { strcpy(out, "lm_head.weight"); return; }
    if (sscanf(name, "blk.%d.%63s", &layer, what) != 2 || (dot = strchr(what, '.')) == NULL) { strcpy(out, "?"); return; }
    *dot = 0;
    for (i = 0; strcmp(map[i][0], what) != 0; i++) {}
    sprintf(out, "%smodel.layers.%d.%s%s.weight", lora ? "base_model.model." : "", layer, map[i][1], !lora ? "" : dot[strlen(dot + 1)] == 'a' ? ".lora_A" : ".lora_B");
}
static size_t hf_row(const lm_train_tensor *t, const lm_train_shape *s, size_t r) { /* the row of theirs that is row r of ours */
    size_t d = (size_t)s->n_embd_head, i = r % d; const char *end = t->name + strlen(t->name);
    if ((strstr(t->name, "attn_q") == NULL && strstr(t->name, "attn_k") == NULL) || end[-1] == 'a') return r;
    return r / d * d + (i % 2) * d / 2 + i / 2;
}
enum { VALUE, GRAD, M };
static void hf_load(lm_train *t, const st *s, int lora) {
    lm_train_info info; lm_train_tensor x; int i; size_t n, r; char name[128]; const float *p;
    lm_train_get_info(t, &info);
    for (i = 0; i < info.n_tensors; i++) {
        lm_train_tensor_at(t, i, &x); hf_name(x.name, lora, name);
        p = (const float *)st_find(s, name, &n);
        if (!CHECK(p != NULL && n == x.dims[0] * x.dims[1])) { printf("  %s\n", name); return; }
        for (r = 0; r < x.dims[1]; r++) memcpy(x.value + r * x.dims[0], p + hf_row(&x, &info.shape, r) * x.dims[0], x.dims[0] * sizeof(float));
    }
}
/* Relative L2 of each tensor at most tol, no element further off than most. */
static void hf_compare(lm_train *t, const st *s, int lora, int what, double tol, double most, const char *title) {
    lm_train_info info; lm_train_tensor x; int i; size_t n, r, c; char name[128]; const float *p; double worst = 0, far = 0;
    lm_train_get_info(t, &info);
    for (i = 0; i < info.n_tensors; i++) {
        double diff = 0, norm = 0;
        lm_train_tensor_at(t, i, &x); hf_name(x.name, lora, name);
        p = (const float *)st_find(s, name, &n);
        if (!CHECK(p != NULL && n == x.dims[0] * x.dims[1])) return;
        for (r = 0; r < x.dims[1]; r++) for (c = 0; c < x.dims[0]; c++) {
            double want = (double)p[hf_row(&x, &info.shape, r) * x.dims[0] + c], got = (double)(what == GRAD ? x.grad : x.value)[r * x.dims[0] + c];
            diff += (got - want) * (got - want); norm += want * want;
            if (fabs(got - want) > far) far = fabs(got - want);
        }
        diff = sqrt(diff / norm);
        if (diff > worst) worst = diff;
        if (!(diff <= tol)) printf("  %s: %s is off by %.3g\n", title, x.name, diff);
        CHECK(diff <= tol);
    }
    if (!(far <= most)) printf("  %s: an element is off by %.3g\n", title, far);
    CHECK(far <= most);
    note("%s: relative L2 of a tensor at most %.2g, an element's difference %.2g", title, worst, far);
}

/* ---- small things */
static lm_train *open_train(lm_train_desc *d) {
    lm_train *t = NULL; lm_error err;
    CHECK_STATUS(lm_train_open(&t, d, &err), LM_OK);
    if (t == NULL) printf("  %s\n", err.text);
    return t;
}
static void tiny_shape(lm_train_shape *s) { /* no size is a multiple of what kernels like */
    memset(s, 0, sizeof *s);
    s->n_vocab = 53; s->n_embd = 20; s->n_layer = 2; s->n_head = 4; s->n_head_kv = 2; s->n_embd_head = 6; s->n_ff = 27;
}
typedef struct sample { lm_token ids[160], targets[160]; int32_t start[160]; float weight[160]; } sample;
static void make_sample(sample *s, int n_rows, int n_len, int n_vocab, uint64_t seed) {
    rng r; int i, k; r.s = seed;
    for (i = 0; i < n_rows * n_len; i++) {
        k = i % n_len; s->ids[i] = (lm_token)(rng_u32(&r) % (uint32_t)n_vocab); s->targets[i] = (lm_token)(rng_u32(&r) % (uint32_t)n_vocab);
        if (rng_u32(&r) % 5 == 0) s->targets[i] = -100;
        s->start[i] = k == 0 ? 0 : rng_u32(&r) % 9 == 0 ? k : s->start[i - 1];
        s->weight[i] = (float)(rng_u32(&r) % 100) / 64.0f - 0.5f;
    }
}
static void batch_of(lm_train_batch *b, sample *s, int n_rows, int n_len, float scale) {
    memset(b, 0, sizeof *b);
    b->n_rows = n_rows; b->n_len = n_len; b->ids = s->ids; b->targets = s->targets; b->start = s->start; b->weight = s->weight; b->scale = scale;
}
static uint64_t state_sum(lm_train *t) {
    lm_train_info i; lm_train_get_info(t, &i);
    return fnv1a_floats(fnv1a_floats(fnv1a_floats(FNV1A, i.value, i.n_floats), i.grad, i.n_floats), i.m, i.n_floats);
}
static lm_adamw usual(uint64_t t) { lm_adamw a; memset(&a, 0, sizeof a); a.lr = 1e-3; a.beta1 = 0.9; a.beta2 = 0.95; a.eps = 1e-8; a.weight_decay = 0.1; a.clip = 1; a.t = t; return a; }
/* Two steps; a checksum of all that there is, after a gradient too many. */
static uint64_t two_steps(lm_train_desc *d, int variant) {
    lm_train *t = open_train(d); sample s; lm_train_batch b; int i; uint64_t sum; lm_adamw a;
    if (t == NULL) return 0;
    for (i = 0; i < 3; i++) {
        make_sample(&s, 3, 37, 53, 100 + (uint64_t)i); batch_of(&b, &s, 3, 37, 0.01f);
        b.label_smoothing = variant ? 0.1f : 0; b.step = (uint64_t)i;
        CHECK_STATUS(lm_train_run(t, &b), LM_OK);
        a = usual((uint64_t)i + 1);
        if (i < 2) CHECK_STATUS(lm_train_step(t, &a), LM_OK);
    }
    sum = state_sum(t);
    lm_train_close(t);
    return sum;
}

/* ---- against the reference */
static lm_train *reference_open(const char *file, int tied, int n_rows, int n_len, st *s) {
    lm_train_shape shape; lm_train_desc d; lm_train *t;
    memset(&shape, 0, sizeof shape); memset(&d, 0, sizeof d);
    shape.n_vocab = 256; shape.n_embd = 64; shape.n_layer = 2; shape.n_head = 4; shape.n_head_kv = 2; shape.n_ff = 160; shape.tied = tied;
    d.shape = &shape; d.n_rows = n_rows; d.n_len = n_len; d.n_threads = 2;
    t = open_train(&d);
    if (t) hf_load(t, s, 0);
    (void)file;
    return t;
}
static double ref_number(const char *file, const char *a, const char *b) {
    const char *path = data_path(file); json *j = path ? json_file(path) : NULL; double v = json_number(b ? json_get(j, a) : j, b ? b : a, -1);
    json_free(j);
    return v;
}
static void reference_grads(st *model, st *batch, const char *targets, const char *want, const char *loss, int tied) {
    lm_train *t = reference_open("", tied, 4, 32, model); size_t n, i; lm_train_batch b; st g; int counted = 0; static float logits[4 * 32 * 256];
    const int32_t *tg = (const int32_t *)st_find(batch, targets, &n); char file[100];
    if (t == NULL || !CHECK(tg != NULL)) return;
    for (i = 0; i < n; i++) counted += tg[i] >= 0;
    memset(&b, 0, sizeof b);
    b.n_rows = 4; b.n_len = 32; b.ids = (const lm_token *)st_find(batch, "input_ids", &n); b.targets = tg; b.scale = 1.0f / (float)counted; b.logits = logits;
    CHECK_STATUS(lm_train_run(t, &b), LM_OK);
    CHECK_NEAR(b.loss, ref_number("reference/train/loss.json", loss, "loss"), 2e-6);
    CHECK(b.n_counted == counted);
    sprintf(file, "reference/train/%s.safetensors", want);
    if (CHECK(st_open(&g, file))) hf_compare(t, &g, 0, GRAD, 1e-5, 1e-6 * (tied ? 2.5 : 1), want);
    st_close(&g);
    if (strcmp(want, "grads_full") == 0 && CHECK(st_open(&g, "reference/train/logits.safetensors"))) {
        const float *l = (const float *)st_find(&g, "logits_row0", &n); double far = 0;
        for (i = 0; i < n; i++) if (fabs((double)l[i] - (double)logits[i]) > far) far = fabs((double)l[i] - (double)logits[i]);
        CHECK(n == 32 * 256 && far < 2e-5);
        CHECK_NEAR(lm_train_norm(t), ref_number("reference/train/loss.json", "full", "grad_norm"), 5e-6);
        st_close(&g);
    }
    lm_train_close(t);
}
static void reference_steps(st *model, st *batch, int cosine) {
    lm_train *t = reference_open("", 0, 4, 32, model); size_t n; const int32_t *tok = (const int32_t *)st_find(batch, "tokens", &n); int s, r, i; st p; lm_token ids[128], targets[128];
    json *j = json_file(data_path("reference/train/adamw.json")); const json *step = json_get(json_get(j, "log"), cosine ? "cosine" : "constant_lr")->child;
    if (t == NULL || !CHECK(tok != NULL && n == 10 * 4 * 33)) return;
    for (s = 0; s < 10; s++, step = step->next) {
        lm_train_batch b; lm_adamw a = usual((uint64_t)s + 1);
        for (r = 0; r < 4; r++) for (i = 0; i < 32; i++) { ids[32 * r + i] = tok[(s * 4 + r) * 33 + i]; targets[32 * r + i] = tok[(s * 4 + r) * 33 + i + 1]; }
        memset(&b, 0, sizeof b);
        b.n_rows = 4; b.n_len = 32; b.ids = ids; b.targets = targets; b.scale = 1.0f / 128; b.step = (uint64_t)s;
        CHECK_STATUS(lm_train_run(t, &b), LM_OK);
        a.lr = json_number(step, "lr", 0);
        CHECK_STATUS(lm_train_step(t, &a), LM_OK);
        CHECK_NEAR(b.loss, json_number(step, "loss", 0), 2e-6); CHECK_NEAR(a.norm, json_number(step, "grad_norm", 0), 1e-5);
        if (s == 0 && !cosine && CHECK(st_open(&p, "reference/train/params_step1.safetensors"))) { hf_compare(t, &p, 0, VALUE, 2e-5, 2e-3, "after 1 step"); st_close(&p); }
    }
    if (CHECK(st_open(&p, cosine ? "reference/train/params_cosine_step10.safetensors" : "reference/train/params_step10.safetensors"))) {
        hf_compare(t, &p, 0, VALUE, 2e-5, 2e-3, cosine ? "after 10 steps, cosine" : "after 10 steps"); st_close(&p);
    }
    json_free(j);
    lm_train_close(t);
}
static void reference_accumulation(st *model) {
    lm_train *t = reference_open("", 0, 2, 16, model); st b, g; size_t n; int k; double loss = 0; int64_t counted = 0;
    if (t == NULL || !CHECK(st_open(&b, "reference/train/accum/batch.safetensors")) || !CHECK(st_open(&g, "reference/train/accum/grads.safetensors"))) return;
    for (k = 0; k < 4; k++) {
        lm_train_batch part;
        memset(&part, 0, sizeof part);
        part.n_rows = 2; part.n_len = 16; part.scale = 1.0f / 79; part.step = (uint64_t)k;
        part.ids = (const lm_token *)st_find(&b, "input_ids", &n) + 32 * k; part.targets = (const lm_token *)st_find(&b, "targets", &n) + 32 * k;
        CHECK_STATUS(lm_train_run(t, &part), LM_OK);
        loss += part.loss; counted += part.n_counted;
    }
    CHECK(counted == 79);
    CHECK_NEAR(loss, ref_number("reference/train/accum/expected.json", "loss", NULL), 2e-6);
    hf_compare(t, &g, 0, GRAD, 1e-5, 1e-6, "accumulated gradients");
    st_close(&b); st_close(&g); lm_train_close(t);
}
static bytes gguf_of(lm_train *t, int n_vocab_known) { /* its weights as a file; the vocabulary does not matter */
    gguf_writer g; lm_train_info info; lm_train_tensor x; int i; bytes b;
    memset(&g, 0, sizeof g);
    lm_train_get_info(t, &info);
    (void)n_vocab_known;
    gguf_str(&g, "general.architecture", "llama"); gguf_u32(&g, "llama.context_length", 512); gguf_u32(&g, "llama.embedding_length", (uint32_t)info.shape.n_embd);
    gguf_u32(&g, "llama.block_count", (uint32_t)info.shape.n_layer); gguf_u32(&g, "llama.feed_forward_length", (uint32_t)info.shape.n_ff);
    gguf_u32(&g, "llama.attention.head_count", (uint32_t)info.shape.n_head); gguf_u32(&g, "llama.attention.head_count_kv", (uint32_t)info.shape.n_head_kv);
    gguf_u32(&g, "llama.attention.key_length", (uint32_t)info.shape.n_embd_head); gguf_u32(&g, "llama.attention.value_length", (uint32_t)info.shape.n_embd_head);
    gguf_f32(&g, "llama.attention.layer_norm_rms_epsilon", info.shape.rms_eps); gguf_f32(&g, "llama.rope.freq_base", info.shape.rope_freq_base);
    gguf_str(&g, "tokenizer.ggml.model", "none");
    for (i = 0; i < info.n_tensors; i++) {
        uint8_t *data;
        lm_train_tensor_at(t, i, &x);
        data = (uint8_t *)malloc(x.dims[0] * x.dims[1] * 4); memcpy(data, x.value, x.dims[0] * x.dims[1] * 4);
        gguf_tensor(&g, x.name, 0, x.n_dims, x.dims[0], x.dims[1], data, x.dims[0] * x.dims[1] * 4);
    }
    b = gguf_write(&g);
    gguf_free(&g);
    return b;
}
static void reference_lora(st *model, st *batch) {
    lm_train *full = reference_open("", 0, 1, 32, model), *t; bytes file = gguf_of(full, 0); uint64_t before = fnv1a(FNV1A, file.p, file.n); lm_model *m = open_bytes(file);
    lm_train_desc d; lm_train_info info; lm_train_tensor a, bb, w; st s, g; size_t n; const int32_t *tok = (const int32_t *)st_find(batch, "tokens", &n); int step, r, i, k; lm_token ids[128], targets[128];
    json *j = json_file(data_path("reference/train/lora/expected.json")); const json *log = json_get(j, "log")->child; char name[128];
    lm_train_close(full);
    if (m == NULL || !CHECK(st_open(&s, "reference/train/lora/adapter_init.safetensors"))) return;
    memset(&d, 0, sizeof d);
    d.base = m; d.lora_rank = 4; d.lora_alpha = 8; d.n_rows = 4; d.n_len = 32; d.n_threads = 2;
    if ((t = open_train(&d)) == NULL) return;
    hf_load(t, &s, 1); st_close(&s);
    for (step = 0; step < 3; step++, log = log->next) {
        lm_train_batch b; lm_adamw o = usual((uint64_t)step + 1);
        for (r = 0; r < 4; r++) for (i = 0; i < 32; i++) { ids[32 * r + i] = tok[(step * 4 + r) * 33 + i]; targets[32 * r + i] = tok[(step * 4 + r) * 33 + i + 1]; }
        memset(&b, 0, sizeof b);
        b.n_rows = 4; b.n_len = 32; b.ids = ids; b.targets = targets; b.scale = 1.0f / 128;
        CHECK_STATUS(lm_train_run(t, &b), LM_OK);
        CHECK_NEAR(b.loss, json_number(log, "loss", 0), 2e-6);
        if (step == 0 && CHECK(st_open(&g, "reference/train/lora/grads.safetensors"))) { hf_compare(t, &g, 1, GRAD, 1.2e-5, 1e-6, "adapters' gradients"); st_close(&g); }
        o.weight_decay = 0; o.clip = 0;
        CHECK_STATUS(lm_train_step(t, &o), LM_OK);
        CHECK_NEAR(o.norm, json_number(log, "grad_norm", 0), 1e-5);
        if ((step == 0 || step == 2) && CHECK(st_open(&g, step ? "reference/train/lora/adapter_step3.safetensors" : "reference/train/lora/adapter_step1.safetensors"))) {
            hf_compare(t, &g, 1, VALUE, 2e-5, 2e-3, step ? "adapters after 3 steps" : "adapters after 1 step"); st_close(&g);
        }
    }
    lm_train_get_info(t, &info);
    if (CHECK(st_open(&g, "reference/train/lora/merged_step3.safetensors"))) for (i = 0; i < info.n_tensors; i += 2) { /* W + 2 B A */
        double diff = 0, norm = 0; size_t row, col; const float *base, *p; lm_tensor of; char own[64];
        lm_train_tensor_at(t, i, &a); lm_train_tensor_at(t, i + 1, &bb);
        strcpy(own, a.name); *strstr(own, ".lora_a") = 0; hf_name(own, 0, name); lm_tensor_find(m, own, &of); w = bb; w.name = own;
        base = (const float *)of.data; p = (const float *)st_find(&g, name, &n);
        if (!CHECK(p != NULL)) break;
        for (row = 0; row < bb.dims[1]; row++) for (col = 0; col < a.dims[0]; col++) {
            double v = (double)base[row * a.dims[0] + col], want = (double)p[hf_row(&w, &info.shape, row) * a.dims[0] + col];
            for (k = 0; k < 4; k++) v += 2 * (double)bb.value[row * 4 + (size_t)k] * (double)a.value[(size_t)k * a.dims[0] + col];
            diff += (v - want) * (v - want); norm += want * want;
        }
        CHECK(sqrt(diff / norm) < 2e-6);
    }
    st_close(&g);
    CHECK(fnv1a(FNV1A, file.p, file.n) == before);
    json_free(j); lm_train_close(t); lm_model_close(m); free(file.p);
}
static void reference(void) {
    st model, tied, batch;
    if (data_path("reference/train/batch.safetensors") == NULL) { SKIP_PART(NO_DATA); return; }
    if (!CHECK(st_open(&model, "reference/train/tiny/model.safetensors")) || !CHECK(st_open(&tied, "reference/train/tiny_tied/model.safetensors"))
        || !CHECK(st_open(&batch, "reference/train/batch.safetensors"))) return;
    reference_grads(&model, &batch, "targets", "grads_full", "full", 0);
    reference_grads(&model, &batch, "targets_masked", "grads_masked", "masked", 0);
    reference_grads(&tied, &batch, "targets", "grads_tied", "tied", 1);
    reference_steps(&model, &batch, 0);
    reference_steps(&model, &batch, 1);
    reference_accumulation(&model);
    reference_lora(&model, &batch);
    st_close(&model); st_close(&tied); st_close(&batch);
}

/* ---- the same bits */
static void same_bits(void) {
    lm_train_shape s; lm_train_desc d; uint64_t want, isa_sum; int variant; char was[64]; const char *env = getenv("LLAMA_ISA");
    tiny_shape(&s); memset(&d, 0, sizeof d); strcpy(was, env ? env : "");
    d.shape = &s; d.n_rows = 3; d.n_len = 40; d.seed = 7;
    for (variant = 0; variant < 2; variant++) {
        s.tied = variant; d.dropout = variant ? 0.2f : 0; d.ema = variant; d.recompute = 0; d.n_threads = 1;
        want = two_steps(&d, variant);
        d.n_threads = 2; CHECK(two_steps(&d, variant) == want);
        d.n_threads = 3; CHECK(two_steps(&d, variant) == want);
        d.recompute = 1; CHECK(two_steps(&d, variant) == want);
#if !defined(_WIN32)
        setenv("LLAMA_ISA", "scalar", 1);
        d.recompute = 0; d.n_threads = 1; isa_sum = two_steps(&d, variant);
        CHECK(isa_sum == want);
        setenv("LLAMA_ISA", "avx2", 1); CHECK(two_steps(&d, variant) == want);
        if (*was) setenv("LLAMA_ISA", was, 1); else unsetenv("LLAMA_ISA");
#endif
    }
    (void)isa_sum;
}
/* A row of three packed documents gives the gradients that they give alone; rows know nothing of each other. */
static void packing(void) {
    static const int at[4] = { 0, 11, 30, 37 }; lm_train_shape s; lm_train_desc d; lm_train *whole, *apart; sample p; lm_train_batch b; lm_train_info x, y; int k, i; double loss = 0, far = 0; float nll[37], one[37];
    tiny_shape(&s); memset(&d, 0, sizeof d); d.shape = &s; d.n_rows = 2; d.n_len = 37; d.n_threads = 2;
    whole = open_train(&d); apart = open_train(&d);
    if (whole == NULL || apart == NULL) return;
    make_sample(&p, 1, 37, 53, 5);
    for (k = 0; k < 3; k++) for (i = at[k]; i < at[k + 1]; i++) p.start[i] = at[k];
    batch_of(&b, &p, 1, 37, 0.05f); b.token_nll = nll;
    CHECK_STATUS(lm_train_run(whole, &b), LM_OK);
    for (k = 0; k < 3; k++) {
        lm_train_batch c = b;
        c.ids = p.ids + at[k]; c.targets = p.targets + at[k]; c.weight = p.weight + at[k]; c.start = NULL; c.n_len = at[k + 1] - at[k]; c.token_nll = one;
        CHECK_STATUS(lm_train_run(apart, &c), LM_OK);
        CHECK_BITS(one, nll + at[k], sizeof(float) * (size_t)c.n_len);
        loss += c.loss;
    }
    CHECK_NEAR(loss, b.loss, 1e-9);
    lm_train_get_info(whole, &x); lm_train_get_info(apart, &y);
    for (i = 0; i < (int)x.n_floats; i++) if (fabs((double)x.grad[i] - (double)y.grad[i]) > far) far = fabs((double)x.grad[i] - (double)y.grad[i]);
    CHECK(far < 1e-7);
    lm_train_close(whole); lm_train_close(apart);
}
/* ---- the forward pass is lm_decode's */
static void as_decoded(void) {
    int i, k, n = 40; lm_token ids[40]; static float logits[40 * 1024]; lm_train_batch b; lm_train_desc d; lm_error err; int n_ok = 0;
    for (i = 0; i < tiny_count(); i += test_quick() ? 4 : 1) {
        const tiny_spec *spec = tiny_at(i); bytes file; lm_model *m; lm_train *t = NULL; lm_ctx *c; float *want; double far = 0, size = 0; lm_model_info info; lm_status s;
        if (spec->n_tokens) continue;
        m = tiny_open(spec, i % 2, &file);
        if (!CHECK(m != NULL)) return;
        lm_model_get_info(m, &info); memset(&d, 0, sizeof d);
        d.base = m; d.n_rows = 1; d.n_len = n; d.lora_rank = i % 3 ? 2 : 0; d.n_threads = 1;
        s = lm_train_open(&t, &d, &err);
        if (spec->bias || info.n_embd_head_k != info.n_embd_head_v) CHECK_STATUS(s, LM_E_SUPPORT);
        else if (CHECK_STATUS(s, LM_OK), t != NULL) {
            tiny_tokens(ids, n, info.n_vocab);
            memset(&b, 0, sizeof b);
            b.n_rows = 1; b.n_len = n; b.ids = b.targets = ids; b.logits = logits;
            if (!CHECK(info.n_vocab <= 1024)) return;
            CHECK_STATUS(lm_train_run(t, &b), LM_OK);
            c = open_ctx(m, 64, 64, n, LM_CACHE_F32, LM_COMPUTE_F32, 1);
            want = all_logits(c, ids, n, 64);
            for (k = 0; want && k < n * info.n_vocab; k++) {
                if (fabs((double)want[k] - (double)logits[k]) > far) far = fabs((double)want[k] - (double)logits[k]);
                if (fabs((double)want[k]) > size) size = fabs((double)want[k]);
            }
            if (!(far <= 2e-5 * size)) printf("  %s: off by %.3g of %.3g\n", spec->name, far, size);
            CHECK(far <= 2e-5 * size);
            free(want); lm_ctx_close(c); lm_train_close(t); n_ok++;
        }
        lm_model_close(m); free(file.p);
    }
    note("%d models as lm_decode has them", n_ok);
}
/* ---- adapters learn; the file they lie over, in memory, and what the model computes without them stay as they were, bit for bit */
static void frozen(void) {
    int i, k, n = 24, n_ok = 0; lm_token ids[25]; lm_train_batch b; lm_train_desc d;
    for (i = 0; i < tiny_count(); i += test_quick() ? 4 : 1) {
        const tiny_spec *spec = tiny_at(i); bytes file; uint8_t *copy; lm_model *m; lm_train *t; lm_ctx *c; float *before, *after; lm_model_info info; double first = 0;
        if (spec->n_tokens || spec->bias || (spec->head_v && spec->head_k != spec->head_v)) continue;
        m = tiny_open(spec, i % 2, &file);
        if (!CHECK(m != NULL)) return;
        copy = (uint8_t *)malloc(file.n); memcpy(copy, file.p, file.n);
        lm_model_get_info(m, &info); tiny_tokens(ids, n + 1, info.n_vocab);
        c = open_ctx(m, 64, 64, n, LM_CACHE_F32, LM_COMPUTE_AUTO, 1);
        before = all_logits(c, ids, n, 64);
        memset(&d, 0, sizeof d); d.base = m; d.n_rows = 1; d.n_len = n; d.lora_rank = 4; d.n_threads = 2;
        if (before == NULL || (t = open_train(&d)) == NULL) return;
        memset(&b, 0, sizeof b); b.n_rows = 1; b.n_len = n; b.ids = ids; b.targets = ids + 1; b.scale = 1 / (float)n;
        for (k = 0; k < 8; k++) {
            lm_adamw a = usual((uint64_t)k + 1);
            CHECK_STATUS(lm_train_run(t, &b), LM_OK);
            if (k == 0) first = b.loss;
            CHECK_STATUS(lm_train_step(t, &a), LM_OK);
        }
        CHECK(b.loss < first - 0.01);
        CHECK_BITS(copy, file.p, file.n);
        lm_train_close(t);
        lm_rewind(c, 0, 0); after = all_logits(c, ids, n, 64);
        if (CHECK(after != NULL)) CHECK_BITS(before, after, sizeof(float) * (size_t)(n * info.n_vocab));
        free(before); free(after); free(copy); lm_ctx_close(c); lm_model_close(m); free(file.p); n_ok++;
    }
    note("%d models unchanged below their adapters", n_ok);
}
/* ---- dropout: kept share, scale, mean; the same for the same step; off where there are no gradients */
static void dropout(void) {
    lm_train_shape s; lm_train_desc d; lm_train *t; sample p; lm_train_batch b; double plain, one, other, mean = 0; int i;
    tiny_shape(&s); memset(&d, 0, sizeof d); d.shape = &s; d.n_rows = 3; d.n_len = 37; d.dropout = 0.1f; d.n_threads = 1;
    if ((t = open_train(&d)) == NULL) return;
    make_sample(&p, 3, 37, 53, 9); batch_of(&b, &p, 3, 37, 0); b.weight = NULL;
    CHECK_STATUS(lm_train_run(t, &b), LM_OK); plain = b.loss;
    CHECK_STATUS(lm_train_run(t, &b), LM_OK); CHECK(b.loss == plain);
    b.scale = 1; CHECK_STATUS(lm_train_run(t, &b), LM_OK); one = b.loss;
    CHECK_STATUS(lm_train_run(t, &b), LM_OK); CHECK(b.loss == one && one != plain);
    b.step = 1; CHECK_STATUS(lm_train_run(t, &b), LM_OK); other = b.loss; CHECK(other != one);
    for (i = 0; i < 60; i++) { b.step = 2 + (uint64_t)i; lm_train_run(t, &b); mean += b.loss / 60; }
    CHECK(fabs(mean - plain) < 0.01 * plain);
    lm_train_close(t);
}
/* ---- parts of the loss */
static void losses(void) {
    lm_train_shape s; lm_train_desc d; lm_train *t, *u; sample p; lm_train_batch b; double rows[3], sum, want, nll; static float logits[111 * 53], soft[111 * 53]; int i, k; lm_train_info x, y; double far = 0; lm_adamw a;
    tiny_shape(&s); memset(&d, 0, sizeof d); d.shape = &s; d.n_rows = 3; d.n_len = 37; d.n_threads = 1; d.seed = 3;
    t = open_train(&d); u = open_train(&d);
    if (t == NULL || u == NULL) return;
    make_sample(&p, 3, 37, 53, 12); batch_of(&b, &p, 3, 37, 0); b.row_nll = rows; b.logits = logits;
    CHECK_STATUS(lm_train_run(t, &b), LM_OK);
    for (sum = nll = 0, i = 0; i < 111; i++) if (p.targets[i] >= 0) {
        want = -lm_logprob(logits + 53 * i, 53, p.targets[i]); sum += (double)p.weight[i] * want; nll += want;
    }
    CHECK_NEAR(b.loss, sum, 1e-4); CHECK_NEAR(b.nll, nll, 1e-4); CHECK_NEAR(rows[0] + rows[1] + rows[2], nll, 1e-4);
    /* soft targets that are the model's own distribution: no loss, no gradient */
    for (i = 0; i < 111; i++) for (k = 0; k < 53; k++) soft[53 * i + k] = (float)exp(lm_logprob(logits + 53 * i, 53, k));
    batch_of(&b, &p, 3, 37, 1); b.weight = NULL; b.soft_p = soft; b.n_soft = 53; b.soft_share = 1;
    CHECK_STATUS(lm_train_run(t, &b), LM_OK);
    CHECK_NEAR(b.loss, 0, 1e-4); CHECK(lm_train_norm(t) < 1e-4);
    /* a signed weight is a factor of the gradient; halves add up */
    lm_train_zero(t);
    batch_of(&b, &p, 3, 37, 0.5f); for (i = 0; i < 111; i++) p.weight[i] = -2;
    CHECK_STATUS(lm_train_run(t, &b), LM_OK);
    batch_of(&b, &p, 3, 37, 1); b.weight = NULL;
    CHECK_STATUS(lm_train_run(u, &b), LM_OK);
    lm_train_get_info(t, &x); lm_train_get_info(u, &y);
    for (i = 0; i < (int)x.n_floats; i++) if (fabs((double)x.grad[i] + (double)y.grad[i]) > far) far = fabs((double)x.grad[i] + (double)y.grad[i]);
    CHECK(far < 1e-6);
    /* what is no number is said, and a step does nothing */
    x.grad[3] = (float)HUGE_VAL; a = usual(1); want = (double)x.value[3];
    CHECK_STATUS(lm_train_step(t, &a), LM_E_NUMERIC); CHECK(x.grad[3] == 0 && (double)x.value[3] == want && !(a.norm < 1e300));
    x.value[0] = (float)HUGE_VAL; p.ids[0] = 0; batch_of(&b, &p, 3, 37, 1);
    CHECK_STATUS(lm_train_run(t, &b), LM_E_NUMERIC);
    lm_train_close(t); lm_train_close(u);
}
/* ---- hooks.progress: rises to its total; a run that it cancels leaves no trace, wherever it is cancelled */
typedef struct asked { int calls, cancel_at, bad; uint64_t last, total; } asked;
static int ask(void *user, uint64_t done, uint64_t total) {
    asked *a = (asked *)user;
    a->bad |= done <= a->last || done > total || (a->calls > 0 && total != a->total);
    a->last = done; a->total = total;
    return ++a->calls == a->cancel_at;
}
static uint64_t after_cancel(const lm_train_desc *d, asked *a, int cancel_at, int eval) { /* micro-batch, step, micro-batch, [cancelled] anew, step -> all */
    lm_train *t; lm_train_desc own = *d; sample s; lm_train_batch b; lm_adamw o = usual(1); uint64_t sum, before; lm_train_info info; double nll[3] = { 0, 0, 0 };
    memset(a, 0, sizeof *a);
    own.hooks.user = a; own.hooks.progress = cancel_at < 0 ? NULL : ask;
    if ((t = open_train(&own)) == NULL) return 0;
    make_sample(&s, 3, 37, 53, 21); batch_of(&b, &s, 3, 37, 0.01f);
    CHECK_STATUS(lm_train_run(t, &b), LM_OK); CHECK_STATUS(lm_train_step(t, &o), LM_OK);
    lm_train_get_info(t, &info); before = state_sum(t);
    make_sample(&s, 3, 37, 53, 22); batch_of(&b, &s, 3, 37, 0.01f); b.step = 1;
    if (cancel_at > 0) {
        if (eval) { b.scale = 0.01f; memset(a, 0, sizeof *a); CHECK_STATUS(lm_train_run(t, &b), LM_OK); before = state_sum(t); b.scale = 0; }
        b.row_nll = nll; memset(a, 0, sizeof *a); a->cancel_at = cancel_at;
        CHECK_STATUS(lm_train_run(t, &b), LM_E_CANCEL);
        CHECK(strcmp(lm_train_error(t), "training was cancelled") == 0 && nll[0] == 0 && a->calls == cancel_at);
        CHECK(state_sum(t) == before);          /* gradients, too: zero as before the run; after an evaluation those there were */
        if (eval) lm_train_zero(t);
        b.row_nll = NULL; b.scale = 0.01f;
    }
    memset(a, 0, sizeof *a);
    CHECK_STATUS(lm_train_run(t, &b), LM_OK);
    o = usual(2); CHECK_STATUS(lm_train_step(t, &o), LM_OK);
    sum = fnv1a_floats(state_sum(t), info.v, info.n_floats);
    lm_train_close(t);
    return sum;
}
static void cancelled(void) {
    lm_train_shape s; lm_train_desc d; asked a; int variant, k; uint64_t want;
    tiny_shape(&s); memset(&d, 0, sizeof d); d.shape = &s; d.n_rows = 3; d.n_len = 40; d.seed = 7;
    for (variant = 0; variant < 3; variant++) {
        s.tied = variant > 0; d.dropout = variant ? 0.2f : 0; d.recompute = variant == 2; d.n_threads = 1 + variant;
        want = after_cancel(&d, &a, -1, 0); CHECK(a.calls == 0);
        CHECK(after_cancel(&d, &a, 0, 0) == want && a.calls == 2 * s.n_layer + 1 && a.last == a.total && !a.bad);
        CHECK(a.total == 3 * 37 * 3 * ((uint64_t)s.n_layer + 1));
        for (k = 1; k <= 2 * s.n_layer + 1; k++) CHECK(after_cancel(&d, &a, k, 0) == want);
        for (k = 1; k <= s.n_layer + 1; k++) CHECK(after_cancel(&d, &a, k, 1) == want);
    }
}
/* ---- arguments; memory */
static void refusals(void) {
    lm_train_shape s; lm_train_desc d; lm_train *t = NULL; lm_error err; sample p; lm_train_batch b; size_t n; heap h; void *block; int32_t bad[40];
    tiny_shape(&s); memset(&d, 0, sizeof d);
    CHECK_STATUS(lm_train_open(&t, &d, &err), LM_E_ARG);
    d.shape = &s; d.lora_rank = 2; CHECK_STATUS(lm_train_open(&t, &d, &err), LM_E_ARG); d.lora_rank = 0;
    d.dropout = 1; CHECK_STATUS(lm_train_open(&t, &d, &err), LM_E_ARG); d.dropout = 0;
    s.n_head_kv = 3; CHECK_STATUS(lm_train_open(&t, &d, &err), LM_E_ARG); s.n_head_kv = 2;
    s.n_ff = -1; CHECK_STATUS(lm_train_open(&t, &d, &err), LM_E_ARG); s.n_ff = 27;
    s.n_embd_head = 5; CHECK_STATUS(lm_train_open(&t, &d, &err), LM_E_ARG); s.n_embd_head = 6;
    d.n_len = 1 << 20; d.n_rows = 1 << 16; CHECK_STATUS(lm_train_size(&d, &n, &err), LM_E_ARG); d.n_len = 40; d.n_rows = 3;
    CHECK(t == NULL);
    memset(&h, 0, sizeof h); d.hooks = heap_hooks(&h); d.n_threads = 2;
    CHECK_STATUS(lm_train_size(&d, &n, &err), LM_OK);
    if ((t = open_train(&d)) == NULL) return;
    CHECK(h.n_takes == 1 && h.live == n);
    make_sample(&p, 3, 37, 53, 1); batch_of(&b, &p, 3, 37, 1);
    CHECK_STATUS(lm_train_run(t, &b), LM_OK); CHECK(h.n_takes == 1);
    b.n_len = 41; CHECK_STATUS(lm_train_run(t, &b), LM_E_ARG); b.n_len = 37;
    p.ids[5] = 53; CHECK_STATUS(lm_train_run(t, &b), LM_E_ARG); p.ids[5] = 0; CHECK(strstr(lm_train_error(t), "id 53") != NULL);
    p.targets[5] = 53; CHECK_STATUS(lm_train_run(t, &b), LM_E_ARG); p.targets[5] = 0;
    memset(bad, 0, sizeof bad); bad[3] = 4; b.start = bad; b.n_rows = 1; CHECK_STATUS(lm_train_run(t, &b), LM_E_ARG);
    lm_train_close(t); CHECK(h.live == 0 && !h.bad);
    h.fail_at = h.n_takes + 1; t = NULL; CHECK_STATUS(lm_train_open(&t, &d, &err), LM_E_MEMORY); CHECK(t == NULL);
    block = malloc(n); d.block = block; d.block_bytes = n - 1; CHECK_STATUS(lm_train_open(&t, &d, &err), LM_E_MEMORY);
    d.block_bytes = n; if ((t = open_train(&d)) != NULL) lm_train_close(t);
    free(block);
    lm_train_close(NULL);
}

void test_train(void) {
    refusals();
    reference();
    same_bits();
    packing();
    as_decoded();
    frozen();
    dropout();
    losses();
    cancelled();
}
