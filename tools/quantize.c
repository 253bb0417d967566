/* Writes a model with smaller (or larger) weights.
 *   build/quantize IN.gguf OUT.gguf Q4_K_M --imatrix calibration.gguf       (IN -: stdin; OUT -: stdout)
 *
 * TYPE is a type of weights or a mix of them (lm_mix_find in llama.h says which and what they do). Weights that are quantized already are dequantized
 * first, those that have their type already are copied. --imatrix gives columns their importance: a file of perplexity --imatrix-out or of llama.cpp's
 * llama-imatrix. --lora adds adapters to the matrices before. Tensor by tensor: memory is the largest tensor of the result and some rows.
 */
#include "cli.h"
#include "gguf_write.h"
#include "imatrix.h"
#include "parallel.h"

#define WEIGHTS (1u << 18)            /* that a thread takes at a time, some rows: of its cache's size, and worth the time in which lm_quantize asks the CPU what it can */

static const char *in_path, *out_path, *mix, *imatrix_path, *output_type;
static const cli_option options[] = {
    { "--imatrix", "FILE", CLI_TEXT, &imatrix_path, 0, 0, NULL, "importance of columns, from perplexity --imatrix-out or\nllama-imatrix" },
    { "--output-type", "TYPE", CLI_TEXT, &output_type, 0, 0, NULL, "another type for the output matrix (the embedding's where both are one);\na mix gives it Q6_K or Q8_0" },
    CLI_LORA,
    { "-t", "THREADS", CLI_INT, &cli.n_threads, 1, 1024, NULL, "threads (default: physical cores)" },
};

/* ---- adapters: W + scale * alpha / rank * B A */
typedef struct lora { lm_model *file; float scale; } lora;
static lora *loras;

static const float *lora_rows(const lm_tensor *t, float **keep) { /* a small matrix as floats */
    uint64_t n = t->dims[0] * t->dims[1];
    if (n > ((size_t)-1 >> 3)) cli_die("tensor %.*s: too large", (int)t->name_bytes, t->name);
    *keep = (float *)cli_grow(*keep, (size_t)n * sizeof **keep);
    if (lm_dequantize(t->type, t->data, (size_t)n, *keep) != LM_OK) cli_die("tensor %.*s: type %s cannot be read", (int)t->name_bytes, t->name, lm_type_name(t->type));
    return *keep;
}
static int lora_find(const lm_model *m, const lm_tensor *t, const char *suffix, lm_tensor *out) { /* of t's name and the suffix */
    char name[128];
    snprintf(name, sizeof name, "%.*s%s", (int)t->name_bytes, t->name, suffix);
    return lm_tensor_find(m, name, out) == LM_OK;
}
static void lora_open(int i, const lm_model *m) { /* and every tensor of it must belong to one of the model's */
    const char *path = cli_adapters.v[i].path; lm_meta v; lm_tensor t, other; int k; float alpha = 0;
    loras[i].file = imatrix_open(path);
    if (lm_meta_find(loras[i].file, "adapter.type", &v) != LM_OK || v.type != LM_META_STR || v.text_bytes != 4 || memcmp(v.text, "lora", 4) != 0)
        cli_die("%s: adapter.type is not \"lora\"", path);
    if (lm_meta_find(loras[i].file, "adapter.lora.alpha", &v) == LM_OK) alpha = (float)v.f;
    loras[i].scale = alpha; /* over the rank, where it is not 0 */
    if (!(alpha >= -1e6f && alpha <= 1e6f)) cli_die("%s: adapter.lora.alpha is out of range", path);
    for (k = 0; lm_tensor_at(loras[i].file, k, &t) == LM_OK; k++) {
        lm_tensor a, b; int is_b = 0, embd;
        if (t.name_bytes > 7) { is_b = memcmp(t.name + t.name_bytes - 7, ".lora_b", 7) == 0; t.name_bytes -= 7; }
        if (!lora_find(m, &t, "", &other)) cli_die("%s: tensor %.*s belongs to no tensor of %s", path, (int)t.name_bytes + 7, t.name, in_path);
        if (!lora_find(loras[i].file, &t, ".lora_a", &a) || !lora_find(loras[i].file, &t, ".lora_b", &b))
            cli_die("%s: tensor %.*s%s has no partner", path, (int)t.name_bytes, t.name, is_b ? ".lora_b" : ".lora_a");
        embd = t.name_bytes == 17 && memcmp(t.name, "token_embd.weight", 17) == 0; /* a row of A for a token: the sides change places */
        if (other.n_dims > 2 || a.n_dims > 2 || b.n_dims > 2 || a.dims[!embd] != b.dims[0] || a.dims[embd] != other.dims[embd] || b.dims[1] != other.dims[!embd])
            cli_die("%s: tensors %.*s.lora_a and .lora_b do not fit a matrix of [%llu, %llu]", path, (int)t.name_bytes, t.name,
                (unsigned long long)other.dims[0], (unsigned long long)other.dims[1]);
    }
    if (k == 0) cli_die("%s: the adapter has no tensors", path);
}

/* ---- one tensor, its rows shared out to threads */
static struct {
    const lm_tensor *t; int type; const float *importance; size_t n_importance; /* for each of the third dimension's matrices, or one for all */
    const float *a[8], *b[8]; float scale[8]; uint64_t rank[8]; int n_lora, embd;
    uint64_t n_rows, n_take; size_t in_bytes, row_bytes; char *out;
    float *x; size_t n_x;             /* n_x of each thread: the rows that it is at */
} work;

static void merge(uint64_t row, float *x) {
    size_t n = (size_t)work.t->dims[0], i, k; int l;
    for (l = 0; l < work.n_lora; l++) {
        size_t rank = (size_t)work.rank[l];
        for (k = 0; k < rank; k++) {
            const float *a = work.a[l], *b = work.b[l]; float u = work.scale[l] * (work.embd ? a[row * rank + k] : b[row * rank + k]);
            for (i = 0; i < n; i++) x[i] += u * (work.embd ? b[i * rank + k] : a[k * n + i]);
        }
    }
}
static const char *do_rows(void *unused, uint64_t job, int thread) { /* -> what is wrong */
    const lm_tensor *t = work.t; size_t n_in = (size_t)t->dims[0]; uint64_t first = job * work.n_take, n = work.n_rows - first, r, k; lm_status s;
    float *x = work.x + work.n_x * (size_t)thread;
    (void)unused;
    if (n > work.n_take) n = work.n_take;
    if (lm_dequantize(t->type, (const char *)t->data + first * work.in_bytes, (size_t)n * n_in, x) != LM_OK) return "type cannot be read";
    for (r = 0; r < n; r++) merge(first + r, x + r * n_in);
    for (r = 0; r < n; r += k) { /* up to where another of the third dimension's matrices begins */
        const float *w = work.importance ? work.importance + (work.n_importance > 1 ? (first + r) / t->dims[1] * t->dims[0] : 0) : NULL;
        k = t->dims[1] - (first + r) % t->dims[1]; k = k < n - r ? k : n - r;
        s = lm_quantize(work.type, x + r * n_in, k, n_in, w, work.out + (first + r) * work.row_bytes);
        if (s != LM_OK) return s == LM_E_NUMERIC ? "a weight is no number" : lm_status_text(s);
    }
    return NULL;
}
static void run(const lm_tensor *t) { /* work: all but n_take, x, n_x */
    const char *error; int n = cli.n_threads < PARALLEL_MAX ? cli.n_threads : PARALLEL_MAX;
    if (t->dims[0] > ((size_t)-1 >> 12)) cli_die("tensor %.*s: rows are too long", (int)t->name_bytes, t->name);
    work.n_take = t->dims[0] < WEIGHTS ? WEIGHTS / t->dims[0] : 1; work.n_x = (size_t)(t->dims[0] * work.n_take);
    work.x = (float *)cli_grow(NULL, work.n_x * sizeof *work.x * (size_t)n);
    error = parallel(n, (work.n_rows + work.n_take - 1) / work.n_take, do_rows, NULL);
    free(work.x);
    if (error) cli_die("%s: tensor %.*s: %s", in_path, (int)t->name_bytes, t->name, error);
}
static int adapt(const lm_tensor *t) { /* the adapters' parts for t -> how many */
    static float *keep[16]; int i; lm_tensor a, b;
    work.n_lora = 0; work.embd = t->name_bytes == 17 && memcmp(t->name, "token_embd.weight", 17) == 0;
    for (i = 0; i < cli_adapters.n; i++) {
        int n = work.n_lora;
        if (!lora_find(loras[i].file, t, ".lora_a", &a) || !lora_find(loras[i].file, t, ".lora_b", &b)) continue;
        work.a[n] = lora_rows(&a, &keep[2 * n]); work.b[n] = lora_rows(&b, &keep[2 * n + 1]); work.rank[n] = b.dims[0];
        work.scale[n] = cli_adapters.v[i].scale * (loras[i].scale != 0 ? loras[i].scale / (float)b.dims[0] : 1.0f);
        work.n_lora++;
    }
    return work.n_lora;
}

/* ---- the file */
static int is_key(const lm_meta *v, const char *key) { return v->key_bytes == strlen(key) && memcmp(v->key, key, v->key_bytes) == 0; }
static void write_meta(gguf_writer *w, const lm_model *m, const imatrix *im) {
    lm_meta v; int i;
    for (i = 0; lm_meta_at(m, i, &v) == LM_OK; i++) {
        if (is_key(&v, "general.file_type") || is_key(&v, "general.quantization_version") || (v.key_bytes > 6 && memcmp(v.key, "split.", 6) == 0)) continue;
        if (im && v.key_bytes > 17 && memcmp(v.key, "quantize.imatrix.", 17) == 0) continue;
        gguf_copy(w, &v);
    }
    gguf_u32(w, "general.quantization_version", 2);
    gguf_u32(w, "general.file_type", (uint32_t)lm_mix_find(mix));
    if (im) {
        gguf_str(w, "quantize.imatrix.file", imatrix_path);
        if (im->dataset) gguf_str(w, "quantize.imatrix.dataset", im->dataset);
        gguf_u32(w, "quantize.imatrix.entries_count", (uint32_t)im->n);
        if (im->n_chunks) gguf_u32(w, "quantize.imatrix.chunks_count", im->n_chunks);
    }
}
static void set_output_type(const lm_model *m, int *types) {
    lm_tensor t; const char *name = lm_tensor_find(m, "output.weight", &t) == LM_OK ? "output.weight" : "token_embd.weight"; int i, type = lm_type_find(output_type);
    for (i = 0; lm_tensor_at(m, i, &t) == LM_OK; i++) {
        if (strlen(name) != t.name_bytes || memcmp(name, t.name, t.name_bytes) != 0) continue;
        if (lm_row_bytes(type, t.dims[0]) == 0) cli_die("--output-type: %s has rows of %llu, which %s cannot hold", name, (unsigned long long)t.dims[0], output_type);
        types[i] = type;
    }
}
static int set_positional(const char *a) { /* IN OUT TYPE */
    const char **to = in_path == NULL ? &in_path : out_path == NULL ? &out_path : &mix;
    if (*to) return 0;
    *to = a;
    return 1;
}
int main(int argc, char **argv) {
    lm_model *m; gguf_writer w; imatrix im; lm_tensor t; int i, n, *types; uint64_t done = 0, n_params = 0, total = 0, from_bytes = 0, to_bytes; double start;
    cli_positional = set_positional;
    CLI_PARSE("quantize", "IN.gguf OUT.gguf TYPE [options]\n\nTYPE: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S\n"
              "Q5_K_M Q6_K IQ4_NL IQ4_XS", options, NULL);
    if (mix == NULL) cli_usage("IN.gguf, OUT.gguf and TYPE are needed (--help)");
    if (lm_mix_find(mix) < 0) cli_usage("%s: no type of weights (--help lists them)", mix);
    if (output_type && (lm_type_find(output_type) < 0 || lm_mix_find(output_type) < 0)) cli_usage("--output-type: %s: no type that can be written", output_type);
    if (cli_adapters.n > 8) cli_usage("--lora: at most 8 adapters");
    start = cli_seconds();
    m = imatrix_open(in_path);
    memset(&im, 0, sizeof im);
    if (imatrix_path) imatrix_read(&im, imatrix_path);
    loras = (lora *)cli_grow(NULL, (size_t)(cli_adapters.n + 1) * sizeof *loras);
    for (i = 0; i < cli_adapters.n; i++) lora_open(i, m);
    n = lm_tensor_count(m);
    if (n == 0) cli_die("%s: the file has no tensors", in_path);
    types = (int *)cli_grow(NULL, (size_t)n * sizeof *types);
    lm_mix_types(m, mix, imatrix_path != NULL, types);
    if (output_type) set_output_type(m, types);
    if (cli.n_threads == 0) cli.n_threads = lm_cores();
    gguf_open(&w, out_path);
    write_meta(&w, m, imatrix_path ? &im : NULL);
    for (i = 0; lm_tensor_at(m, i, &t) == LM_OK; i++) {
        char name[GGUF_MAX_NAME + 2];
        snprintf(name, sizeof name, "%.*s", (int)t.name_bytes, t.name);
        if (strlen(name) != t.name_bytes) cli_die("%s: tensor %s: a name with a NUL", in_path, name);
        gguf_tensor(&w, name, types[i], t.n_dims, t.dims);
        total += t.n_bytes; n_params += t.dims[0] * t.dims[1] * t.dims[2] * t.dims[3];
    }
    gguf_begin(&w);
    to_bytes = w.n_bytes;
    for (i = 0; i < n; i++) {
        int merged; const imatrix_entry *e;
        lm_tensor_at(m, i, &t);
        merged = adapt(&t);
        if (types[i] == t.type && !merged) gguf_data(&w, i, t.data, t.n_bytes);
        else {
            e = imatrix_path ? imatrix_find(&im, t.name, t.name_bytes) : NULL;
            if (e && (e->n_in != t.dims[0] || (e->n_mat != 1 && e->n_mat != t.dims[2])))
                cli_die("%s: %llu columns of importance for tensor %.*s, which has rows of %llu", imatrix_path, (unsigned long long)e->n_in,
                    (int)t.name_bytes, t.name, (unsigned long long)t.dims[0]);
            work.t = &t; work.type = types[i]; work.importance = e ? e->w : NULL; work.n_importance = e ? (size_t)e->n_mat : 0;
            work.in_bytes = (size_t)lm_row_bytes(t.type, t.dims[0]); work.row_bytes = (size_t)lm_row_bytes(types[i], t.dims[0]);
            work.n_rows = t.n_bytes / work.in_bytes;
            if (w.tensor[i].n_bytes > ((size_t)-1 >> 1)) cli_die("%s: tensor %s: too large for this system", in_path, w.tensor[i].name);
            work.out = (char *)cli_grow(NULL, (size_t)w.tensor[i].n_bytes);
            run(&t);
            gguf_data(&w, i, work.out, w.tensor[i].n_bytes);
            free(work.out);
        }
        lm_tensor_release(m, i);
        from_bytes += t.n_bytes; done += t.n_bytes;
        cli_progress_bytes("quantizing", done, total);
    }
    {
        uint64_t tensor_bytes = 0;
        for (i = 0; i < n; i++) tensor_bytes += w.tensor[i].n_bytes;
        gguf_end(&w);
        if (strcmp(out_path, "-") != 0) printf("%s: %s, %.1f MiB at %.2f bits per weight -> %.1f MiB at %.2f bits per weight, %.1f s\n", out_path, mix,
               (double)from_bytes / 1048576, 8 * (double)from_bytes / (double)n_params, (double)to_bytes / 1048576, 8 * (double)tensor_bytes / (double)n_params, cli_seconds() - start);
    }
    for (i = 0; i < cli_adapters.n; i++) lm_model_close(loras[i].file);
    free(loras); free(types); imatrix_free(&im); lm_model_close(m);
    return cli_end();
}
