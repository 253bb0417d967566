/* Trains a model, or adapters over one, from token files that prepare writes; checkpoints, resumes, and writes a GGUF.
 *   build/train CONFIG.json --key value ...               --help lists the keys; the README has whole commands
 *   build/train CONFIG.json --show 2                      what the model would learn from, with the mask
 *   build/train --reference DIR --out OUT                 computes what a folder of fixtures describes (reference.h)
 *   mpirun -n 2 build/train-mpi CONFIG.json               `batch` rows on each rank, the gradients of all added
 * Top to bottom: the keys; one process or several; the model and what feeds it; the loss of a step (text, preferences, a teacher);
 * validation; checkpoints; the GGUF; the loop. The kinds differ in little: from scratch `vocab` and `shape` are given, else `model` (and `vocab`,
 * where prepare gave it another chat template); `lora.rank` trains adapters beside it; `teacher` adds its soft targets; a file of pairs (dataset.h) is trained by DPO.
 *
 * A step is a function of the configuration and the state alone (weights, moments, the feed's numbers), whatever was logged,
 * validated or saved between: so a run that is killed and goes on from its last checkpoint ends with the same bits.
 */
#define LLAMA_TRAIN
#ifdef TRAIN_MPI
#include <mpi.h>
#endif
#include "config.h"
#include "feed.h"
#include "checkpoint.h"
#include "events.h"
#include "curve.h"
#include "schedule.h"
#include "dpo.h"
#include "distill.h"
#include "reference.h"

static const char *config_path, *reference_path;
static int n_show;

/* ================ the keys */
static struct {
    const char *model, *vocab, *teacher, *cache, *targets, *out, *output, *type, *name, *prompt; const json *data, *valid;
    int64_t n_embd, n_layer, n_head, n_head_kv, n_embd_head, n_ff, n_ctx; int tied; double rms_eps, rope_base;
    int64_t rank; double alpha, dpo_beta, share, temperature; int64_t top_k;
    int packing; int64_t n_len, batch, rows, steps; double epochs; int64_t seed;
    double lr, min_lr, decay_share; int64_t warmup; int schedule; double beta1, beta2, eps, weight_decay, clip, ema, dropout, smoothing;
    int recompute;
    int64_t valid_every, valid_docs, patience, log_every, sample_every, sample_tokens, save_every, keep, max_bad; double sample_temp, minutes;
    int events, progress, resume, best;
} cfg;
enum { RESUME_AUTO, RESUME_NEVER, RESUME_FORCE };
enum { PROGRESS_AUTO, PROGRESS_ON, PROGRESS_OFF };

#define KEY_INT(name, to, dflt, lo, hi, unit, help) { name, CONFIG_INT, &cfg.to, dflt, lo, hi, unit, help, 0, NULL, NULL }
#define KEY_REAL(name, to, dflt, lo, hi, unit, help) { name, CONFIG_REAL, &cfg.to, dflt, lo, hi, unit, help, 0, NULL, NULL }
#define KEY_BOOL(name, to, dflt, help, flags) { name, CONFIG_BOOL, &cfg.to, dflt, 0, 0, "", help, flags, NULL, NULL }
#define KEY_TEXT(name, to, dflt, unit, help, flags) { name, CONFIG_TEXT, &cfg.to, dflt, 0, 0, unit, help, flags, NULL, NULL }
#define KEY_CHOICE(name, to, dflt, list, help, flags) { name, CONFIG_CHOICE, &cfg.to, dflt, 0, 0, list, help, flags, NULL, NULL }
#define KEY_LIST(name, to, unit, help) { name, CONFIG_LIST, &cfg.to, "", 0, 0, unit, help, 0, NULL, NULL }
#define FREE_KEY_INT(name, to, dflt, lo, hi, unit, help) { name, CONFIG_INT, &cfg.to, dflt, lo, hi, unit, help, CONFIG_FREE, NULL, NULL }
#define FREE_KEY_REAL(name, to, dflt, lo, hi, unit, help) { name, CONFIG_REAL, &cfg.to, dflt, lo, hi, unit, help, CONFIG_FREE, NULL, NULL }
static config_key keys[] = {
    KEY_TEXT("out", out, "", "folder", "the run: checkpoints, log.csv, curve.svg, TensorBoard's events, model.gguf", CONFIG_FREE),
    KEY_LIST("data", data, "token files", "what is learned: a path, or a list of paths and of {\"path\", \"weight\"} (weight 1: the share of rows)"),
    KEY_LIST("valid", valid, "token files", "what the model is measured on, each file and source by itself"),
    KEY_TEXT("model", model, "", "GGUF", "the model to start from", 0),
    KEY_TEXT("vocab", vocab, "", "GGUF", "a file whose tokenizer and chat template the new model gets; with model: in place of its own", 0),
    KEY_INT("shape.n_embd", n_embd, "288", 2, 65536, "numbers", "from scratch: width"),
    KEY_INT("shape.n_layer", n_layer, "6", 1, 1024, "layers", "depth"),
    KEY_INT("shape.n_head", n_head, "6", 1, 1024, "heads", "attention heads"),
    KEY_INT("shape.n_head_kv", n_head_kv, "0", 0, 1024, "heads", "key and value heads; 0: n_head"),
    KEY_INT("shape.n_embd_head", n_embd_head, "0", 0, 4096, "numbers", "of a head; 0: n_embd / n_head"),
    KEY_INT("shape.n_ff", n_ff, "768", 1, 1 << 20, "numbers", "width of the feed-forward part"),
    KEY_INT("shape.n_ctx", n_ctx, "0", 0, 1 << 24, "tokens", "context that the file promises; 0: n_len"),
    KEY_BOOL("shape.tied", tied, "true", "the output matrix is the embedding", 0),
    KEY_REAL("shape.rms_eps", rms_eps, "1e-5", 1e-12, 1, "", "added to the mean square in norms"),
    KEY_REAL("shape.rope_freq_base", rope_base, "10000", 1.001, 1e12, "", "base of the rotary frequencies"),
    KEY_INT("lora.rank", rank, "0", 0, 4096, "columns", "of adapters; 0: all weights are trained"),
    KEY_REAL("lora.alpha", alpha, "0", 0, 1e6, "", "the adapters' sum is scaled by alpha / rank; 0: rank"),
    KEY_TEXT("lora.targets", targets, "q,k,v,o,gate,up,down", "names", "matrices that get adapters", 0),
    KEY_TEXT("teacher", teacher, "", "GGUF", "a model of the same vocabulary whose distributions are learned, too", 0),
    KEY_REAL("distill.share", share, "0.5", 0, 1, "", "of the teacher's part in the loss"),
    KEY_REAL("distill.temperature", temperature, "1", 0.01, 100, "", "by which the logits of both are divided"),
    KEY_INT("distill.top_k", top_k, "64", 0, 1 << 20, "tokens", "of the teacher's distribution that are kept; 0: all"),
    KEY_TEXT("distill.cache", cache, "", "file", "what the teacher says of all of `data`: written once, then read, without it if `teacher` is absent",
        CONFIG_FREE),
    KEY_REAL("dpo.beta", dpo_beta, "0.1", 1e-6, 100, "", "with pairs: how much the log-ratio counts (arXiv:2305.18290)"),
    KEY_CHOICE("packing", packing, "auto", "auto|stream|whole", "documents are cut where a row ends, or never; auto: whole with a loss mask", 0),
    KEY_INT("n_len", n_len, "256", 1, 1 << 20, "tokens", "of a row"),
    KEY_INT("batch", batch, "8", 1, 1 << 16, "rows", "of a step (pairs of rows with DPO; on each rank with MPI)"),
    KEY_INT("rows", rows, "0", 0, 1 << 16, "rows", "computed at once, the step's gradients are added up; memory grows with them. 0: batch"),
    KEY_INT("steps", steps, "1000", 0, 1 << 30, "steps", "of the whole run; 0: by epochs"),
    KEY_REAL("epochs", epochs, "1", 0, 1e6, "epochs", "with steps 0: how often the data is read"),
    KEY_INT("seed", seed, "1", 0, 9.2e18, "", "of first weights, order and dropout"),
    KEY_REAL("lr", lr, "1e-3", 0, 10, "", "learning rate at its peak"),
    KEY_REAL("min_lr", min_lr, "0", 0, 10, "", "learning rate at the end"),
    KEY_INT("warmup", warmup, "100", 0, 1 << 30, "steps", "in which it rises from 0"),
    KEY_CHOICE("schedule", schedule, "cosine", "constant|cosine|linear|wsd", "how it falls; wsd: constant, then linear over the last decay_share", 0),
    KEY_REAL("decay_share", decay_share, "0.2", 0, 1, "of the steps", "in which wsd falls"),
    KEY_REAL("beta1", beta1, "0.9", 0, 0.999999, "", "AdamW: of the mean of gradients"),
    KEY_REAL("beta2", beta2, "0.95", 0, 0.999999, "", "AdamW: of the mean of their squares"),
    KEY_REAL("eps", eps, "1e-8", 1e-20, 1, "", "AdamW: added to the root"),
    KEY_REAL("weight_decay", weight_decay, "0.1", 0, 10, "", "AdamW: of matrices"),
    KEY_REAL("clip", clip, "1", 0, 1e6, "", "largest norm of all gradients together; 0: any"),
    KEY_REAL("ema", ema, "0", 0, 0.999999, "", "decay of a moving average of the weights, which is then validated and written; 0: none"),
    KEY_REAL("dropout", dropout, "0", 0, 0.9, "", "share of numbers set to 0"),
    KEY_REAL("label_smoothing", smoothing, "0", 0, 0.9, "", "share of the target's probability spread over the vocabulary"),
    KEY_BOOL("recompute", recompute, "false", "keep only each layer's input: less memory, a third more time, the same bits", CONFIG_FREE),
    FREE_KEY_INT("valid_every", valid_every, "200", 1, 1 << 30, "steps", "between validations"),
    KEY_INT("valid_docs", valid_docs, "0", 0, 1 << 30, "documents", "of each file that are scored; 0: all"),
    KEY_INT("patience", patience, "0", 0, 1 << 20, "validations", "without a better one, then the run ends; 0: never"),
    FREE_KEY_INT("log_every", log_every, "10", 1, 1 << 30, "steps", "between lines of the log"),
    FREE_KEY_INT("sample.every", sample_every, "0", 0, 1 << 30, "steps", "between sampled texts; 0: none"),
    KEY_TEXT("sample.prompt", prompt, "Once upon a time", "text", "that they continue", CONFIG_FREE),
    FREE_KEY_INT("sample.tokens", sample_tokens, "80", 1, 1 << 16, "tokens", "of one"),
    FREE_KEY_REAL("sample.temp", sample_temp, "0.7", 0, 100, "", "temperature, with top-p 0.95"),
    FREE_KEY_INT("save_every", save_every, "200", 1, 1 << 30, "steps", "between checkpoints"),
    FREE_KEY_INT("keep", keep, "3", 1, 10000, "files", "last checkpoints that stay"),
    FREE_KEY_REAL("minutes", minutes, "0", 0, 1e7, "minutes", "after which this process saves and stops, to be started again; 0: no limit"),
    KEY_CHOICE("resume", resume, "auto", "auto|never|force",
        "go on from the newest checkpoint in `out`; force: although the configuration is another",
        CONFIG_FREE),
    FREE_KEY_INT("max_bad", max_bad, "5", 1, 1 << 20, "batches", "without a finite loss and gradient that follow on each other, then the run fails"),
    KEY_BOOL("events", events, "true", "write TensorBoard's event files", CONFIG_FREE),
    KEY_CHOICE("progress", progress, "auto", "auto|on|off", "lines on stderr; auto: one that moves, on a terminal", CONFIG_FREE),
    KEY_TEXT("output", output, "", "GGUF", "the trained model or adapter (else model.gguf or adapter.gguf in `out`)", CONFIG_FREE),
    KEY_TEXT("type", type, "F32", "name", "of the written weights, as quantize has them; adapters are F32", CONFIG_FREE),
    KEY_TEXT("name", name, "", "text", "general.name of the written file", CONFIG_FREE),
    KEY_BOOL("best", best, "false", "write the weights of the best validation, not the last", CONFIG_FREE) };
static const cli_option options[] = {
    { "-t", "THREADS", CLI_INT, &cli.n_threads, 1, 1024, NULL, "threads (default: physical cores); the bits are the same" },
    { "--show", "N", CLI_INT, &n_show, 1, 1000000, NULL, "print the first N rows of training data with their masks, and end" },
    { "--reference", "DIR", CLI_TEXT, &reference_path, 0, 0, NULL, "compute what DIR describes and write it to the folder of --out" },
};

/* ================ one process or several: rank 0 of MPI reads checkpoints and writes files */
static int rank_of, n_ranks = 1;
#ifdef TRAIN_MPI
static void ranks_begin(int *argc, char ***argv) { MPI_Init(argc, argv); MPI_Comm_rank(MPI_COMM_WORLD, &rank_of);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks); }
static void ranks_end(void) { MPI_Finalize(); }
static void ranks_add(float *x, size_t n) { /* counts of MPI are int */
    size_t k;
    for (; n > 0; n -= k, x += k) { k = n < (1u << 28) ? n : 1u << 28; MPI_Allreduce(MPI_IN_PLACE, x, (int)k, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }
}
static void ranks_add_real(double *x, int n) { MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD); }
static int ranks_most(int x) { MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD); return x; }
static void ranks_share(void *x, size_t n_bytes) { /* rank 0's to all */
    char *p = (char *)x; size_t k;
    for (; n_bytes > 0; n_bytes -= k, p += k) { k = n_bytes < (1u << 30) ? n_bytes : 1u << 30; MPI_Bcast(p, (int)k, MPI_BYTE, 0, MPI_COMM_WORLD); }
}
#else
static void ranks_begin(int *argc, char ***argv) { (void)argc; (void)argv; }
static void ranks_end(void) {}
static void ranks_add(float *x, size_t n) { (void)x; (void)n; }
static void ranks_add_real(double *x, int n) { (void)x; (void)n; }
static int ranks_most(int x) { return x; }
static void ranks_share(void *x, size_t n_bytes) { (void)x; (void)n_bytes; }
#endif

/* ================ the model and what feeds it */
typedef struct pair_ref { double *nll; } pair_ref; /* of each document of a source: its -ln p in the model as it was */
static struct {
    lm_model *base, *vm;              /* vm: whose tokenizer and template it has, the file of `vocab` or base */
    lm_train *t; lm_train_info info;
    int taught; distill teacher; distill_cache cache; uint64_t *place; int *row_source; /* with a cache: of the step's targets and rows */
    feed feed; dataset *valid; const char **valid_path; int n_valid;
    int dpo; pair_ref *ref, *valid_ref;
    int rows;                         /* of a micro-batch */
    lm_token *ids, *targets; int32_t *start; /* a step's rows on all ranks: [n_ranks * step_rows][n_len] */
    float *weight; double *before;    /* of a micro-batch of pairs: dpo_run */
    int step_rows; int *source; size_t *unit; /* of each pair, with DPO */
    double *row_nll; float *token_nll; lm_token *soft_ids; float *soft_p; int n_soft; int *scan_source;
    float *logits;                    /* of one row, for samples */
    /* the state */
    uint64_t step, n_updates, n_tokens, n_skipped, bad_in_row, best_step, since_best, log_n; double best, log_sum, seconds;
    double lr, norm, loss, last_valid, last_bits;
    char *text; double started; uint64_t first_step;
    curve curve; events events;
} run;
static volatile sig_atomic_t stopped;
static void on_signal(int s) { stopped = s; }

static float *floats(size_t n, size_t m, size_t k) { /* room for n * m * k */
    if (n && m > ((size_t)-1 >> 4) / n) cli_die("memory: a batch is too large");
    if (k && n * m > ((size_t)-1 >> 4) / k) cli_die("memory: a batch is too large");
    return (float *)cli_grow(NULL, n * m * k * sizeof(float));
}
static unsigned lora_targets(const char *s) {
    static const struct { const char *name; unsigned bit; } known[] = { { "q", LM_TRAIN_Q }, { "k", LM_TRAIN_K }, { "v", LM_TRAIN_V }, { "o",
        LM_TRAIN_O },
        { "gate", LM_TRAIN_GATE }, { "up", LM_TRAIN_UP }, { "down", LM_TRAIN_DOWN } };
    unsigned bits = 0; size_t n, k;
    for (; s && *s; s += n + (s[n] == ',')) {
        n = strcspn(s, ",");
        for (k = 0; k < 7 && !(strlen(known[k].name) == n && memcmp(known[k].name, s, n) == 0); k++) {}
        if (k == 7) cli_die("lora.targets: %.40s: expected names of q,k,v,o,gate,up,down", s);
        bits |= known[k].bit;
    }
    return bits;
}
static lm_train_desc train_desc(lm_train_shape *shape) {
    lm_train_desc d; lm_model_info info;
    memset(&d, 0, sizeof d); memset(shape, 0, sizeof *shape);
    if (run.base) d.base = run.base;
    else {
        lm_model_get_info(run.vm, &info);
        shape->n_vocab = info.n_vocab; shape->n_embd = (int)cfg.n_embd; shape->n_layer = (int)cfg.n_layer; shape->n_head = (int)cfg.n_head;
        shape->n_head_kv = (int)cfg.n_head_kv; shape->n_embd_head = (int)cfg.n_embd_head; shape->n_ff = (int)cfg.n_ff; shape->tied = cfg.tied;
        shape->rms_eps = (float)cfg.rms_eps; shape->rope_freq_base = (float)cfg.rope_base;
        d.shape = shape;
    }
    d.seed = (uint64_t)cfg.seed; d.lora_rank = (int)cfg.rank; d.lora_alpha = (float)cfg.alpha;
        d.lora_targets = cfg.rank ? lora_targets(cfg.targets) : 0;
    d.n_rows = run.rows; d.n_len = (int)cfg.n_len; d.recompute = cfg.recompute; d.ema = cfg.ema > 0; d.dropout = (float)cfg.dropout;
    d.n_threads = cli.n_threads; d.hooks.log = cli_log_hook;
    return d;
}
static const char *model_name(void) { return cfg.model ? cfg.model : "shape"; }
static void open_models(void) {
    lm_train_shape shape; lm_train_desc d; lm_error err;
    if (!cfg.model && !cfg.vocab) cli_die("model, vocab: one of them is needed: the model to start from, or the vocabulary of a new one");
    if (cfg.model) run.base = cli_own_model(cfg.model, 0, 0);
    run.vm = cfg.vocab ? cli_own_model(cfg.vocab, 1, 0) : run.base;
    if (cfg.rank && !run.base) cli_die("lora.rank: adapters need a model");
    d = train_desc(&shape);
    if (lm_train_open(&run.t, &d, &err) != LM_OK) cli_die("%s: %s", model_name(), err.text);
    lm_train_get_info(run.t, &run.info);
}
static int cache_is_there(void) { int is = rank_of == 0 && cli_what(cfg.cache) != CLI_NOTHING; ranks_share(&is, sizeof is); return is; }
static void open_teacher(void) { /* or the cache, which rank 0 writes */
    int i, write = cfg.cache && !cache_is_there(), n = run.info.shape.n_vocab, n_top = cfg.top_k == 0 || cfg.top_k >= n ? n : (int)cfg.top_k;
    uint64_t sum;
    if (write && !cfg.teacher) cli_die("%s: no such file, and no teacher that would write it", cfg.cache);
    sum = cfg.cache && cfg.teacher ? distill_sum(cfg.teacher) : 0;
    if (!cfg.cache || (write && rank_of == 0)) {
        distill_open(&run.teacher, cfg.teacher, (int)cfg.n_len, n_top, cli.n_threads);
        for (i = 0; i < run.feed.n; i++) dataset_fits(&run.feed.s[i].d, run.teacher.m);
    }
    if (write && rank_of == 0) { distill_write(&run.teacher, &run.feed, cfg.cache, sum, &stopped); distill_close(&run.teacher); }
    ranks_most(0);
    if (cfg.cache) distill_load(&run.cache, cfg.cache, &run.feed, run.vm, n_top, sum);
    run.taught = 1; run.n_soft = n_top;
    run.soft_p = floats((size_t)run.rows, (size_t)cfg.n_len, (size_t)n_top);
    run.soft_ids = n_top < n ? (lm_token *)(void *)floats((size_t)run.rows, (size_t)cfg.n_len, (size_t)n_top) : NULL;
}
/* One item of `data` or `valid`. */
static const char *source_path(const json *v, const char *key, double *weight) {
    const json_doc *d = config_find(key)->doc; const json *p; uint32_t i;
    *weight = 1;
    if (v->kind == JSON_STRING) p = v;
    else {
        p = json_need(d, json_as(d, v, JSON_OBJECT), "path", JSON_STRING);
        *weight = json_real(d, v, "weight", 0, 1e9, 1);
        for (i = 0; i < v->n; i++) if (strcmp(v->v.item[i].key, "path") != 0 && strcmp(v->v.item[i].key, "weight") != 0)
            json_die(d, &v->v.item[i], NULL, "is no key of a source; path and weight are");
    }
    if (strlen(p->v.text) != p->n || p->n == 0) json_die(d, p, NULL, "is no path");
    return p->v.text;
}
static void open_data(void) {
    uint32_t i; double weight; int k;
    if (cfg.data == NULL || cfg.data->n == 0) cli_die("data: at least one token file is needed (prepare writes them)");
    feed_open(&run.feed, (uint64_t)cfg.seed, (int)cfg.n_len);
    for (i = 0; i < cfg.data->n; i++) { const char *path = source_path(&cfg.data->v.item[i], "data", &weight);
        feed_add(&run.feed, path, weight, cfg.packing); }
    run.n_valid = cfg.valid ? (int)cfg.valid->n : 0;
    run.valid = (dataset *)cli_grow(NULL, (size_t)run.n_valid * sizeof *run.valid);
    for (k = 0; k < run.n_valid; k++) dataset_open(&run.valid[k], source_path(&cfg.valid->v.item[k], "valid", &weight));
    run.dpo = run.feed.s[0].d.pairs;
    for (k = 0; k < run.feed.n + run.n_valid; k++) {
        const dataset *d = k < run.feed.n ? &run.feed.s[k].d : &run.valid[k - run.feed.n];
        if (d->pairs != run.dpo) cli_die("%s: %s, the first file of data %s", d->path, d->pairs ? "has pairs" : "has no pairs",
            run.dpo ? "has" : "has none");
    }
    if (run.feed.weights <= 0) cli_die("data: all weights are 0");
}
static void check_data(void) { /* with the vocabulary */
    int k;
    feed_ready(&run.feed, run.vm);
    if (run.base && run.base != run.vm) for (k = 0; k < run.feed.n; k++) dataset_fits(&run.feed.s[k].d, run.base);
    for (k = 0; cli.tty && k < run.feed.n; k++) if (run.feed.s[k].n_cut)
        cli_note("warning: %s: %llu of %lu documents are longer than n_len, their ends are lost", run.feed.s[k].d.path,
            (unsigned long long)run.feed.s[k].n_cut,
            (unsigned long)run.feed.s[k].d.n_docs);
    for (k = 0; k < run.n_valid; k++) {
        dataset_fits(&run.valid[k], run.vm);
        if (run.valid[k].n_targets == 0) cli_die("%s: too small: 0 tokens to score in %lu documents, 1 is needed", run.valid[k].path,
            (unsigned long)run.valid[k].n_docs);
    }
}
static uint64_t rows_of_epoch(void) { /* of all sources, each read once */
    uint64_t n = 0; int i;
    for (i = 0; i < run.feed.n; i++) {
        const feed_source *s = &run.feed.s[i];
        n += run.dpo ? s->n_units : s->n_pairs / (uint64_t)cfg.n_len + 1;
    }
    return n;
}
static void make_room(void) {
    size_t n = (size_t)run.step_rows * (size_t)n_ranks, len = (size_t)cfg.n_len;
    run.ids = (lm_token *)(void *)floats(n, len, 1); run.targets = (lm_token *)(void *)floats(n, len, 1);
    run.start = (int32_t *)(void *)floats(n, len, 1);
    run.weight = floats((size_t)run.rows, len, 1); run.before = (double *)(void *)floats((size_t)run.rows, 2, 1);
    run.token_nll = floats((size_t)run.rows, len, 1);
    run.row_nll = (double *)(void *)floats((size_t)run.rows, 2, 1);
    run.source = (int *)(void *)floats(n, 1, 1); run.unit = (size_t *)(void *)floats(n, 2, 1);
        run.scan_source = (int *)(void *)floats((size_t)run.rows, len, 1);
    if (cfg.cache) { run.place = (uint64_t *)(void *)floats(n, len, 2); run.row_source = (int *)(void *)floats(n, 1, 1); }
    if (cfg.sample_every) run.logits = floats(1, len, (size_t)run.info.shape.n_vocab);
}

/* ================ a step */
static double learning_rate(uint64_t s) { /* of update s from 0: reference/train's README */
    double N = (double)cfg.steps, W = (double)cfg.warmup, x = (double)s;
    return schedule_lr(cfg.schedule, x, cfg.lr, cfg.min_lr, W, N, cfg.decay_share);
}
static lm_train_batch batch_of(int row, int n) { /* n of the step's rows, from `row` on */
    lm_train_batch b; size_t at = (size_t)row * (size_t)cfg.n_len;
    memset(&b, 0, sizeof b);
    b.n_rows = n; b.n_len = (int)cfg.n_len; b.ids = run.ids + at; b.targets = run.targets + at; b.start = run.start + at;
    b.label_smoothing = (float)cfg.smoothing; b.step = run.step * (uint64_t)(run.step_rows * n_ranks) + (uint64_t)row;
    return b;
}
static lm_status judged(lm_status s) { /* what is no number is told, all else ends the program */
    if (s != LM_OK && s != LM_E_NUMERIC) cli_die("%s: %s", model_name(), lm_train_error(run.t));
    return s;
}
static lm_status run_batch(lm_train_batch *b) { return judged(lm_train_run(run.t, b)); }
/* Soft targets of a batch, the step's rows from `row` on: the teacher reads each document of a row by itself, or its cache tells what it said. */
static void teach_row(const lm_train_batch *b, size_t at) { /* at: first token of the row */
    int i, from, n_len = b->n_len;
    for (from = 0; from < n_len; from = i) {
        for (i = from + 1; i < n_len && b->start[at + (size_t)i] == b->start[at + (size_t)from]; i++) {}
        distill_document(&run.teacher, b->ids + at + from, b->targets + at + from, i - from, run.soft_p + (at + (size_t)from) * (size_t)run.n_soft,
            run.soft_ids ? run.soft_ids + (at + (size_t)from) * (size_t)run.n_soft : NULL);
    }
}
static void teach(lm_train_batch *b, int row) {
    size_t r, i, at = 0, len = (size_t)b->n_len, k = (size_t)run.n_soft;
    for (r = 0; r < (size_t)b->n_rows; r++) {
        if (!cfg.cache) teach_row(b, r * len);
        for (i = 0; i < len; i++, at++) {
            if (b->targets[at] < 0) continue;
            if (cfg.cache) distill_at(&run.cache, run.row_source[(size_t)row + r], run.place[(size_t)row * len + at], run.n_soft,
                run.soft_p + at * k, run.soft_ids ? run.soft_ids + at * k : NULL);
            distill_soften(run.soft_p + at * k, run.n_soft, cfg.temperature);
        }
    }
    b->soft_ids = run.soft_ids; b->soft_p = run.soft_p; b->n_soft = run.n_soft; b->soft_share = (float)cfg.share;
    b->temperature = (float)cfg.temperature;
}
/* The loss of a step on texts, with gradients. counted: targets of all ranks. */
static lm_status step_text(int64_t counted, double *loss) {
    int row, n, first = rank_of * run.step_rows; lm_status s = LM_OK;
    for (row = 0; row < run.step_rows && s == LM_OK; row += n) {
        lm_train_batch b = batch_of(first + row, n = run.step_rows - row < run.rows ? run.step_rows - row : run.rows);
        b.scale = (float)(1.0 / (double)counted);
        if (run.taught) teach(&b, first + row);
        s = run_batch(&b);
        *loss += b.loss;
    }
    return s;
}
static double dpo_before(int pair, int k) { return run.ref[run.source[pair]].nll[2 * run.unit[pair] + (size_t)k]; }
static lm_status step_pairs(double *loss) {
    int row, n, r, first = rank_of * run.step_rows; lm_status s = LM_OK; double scale = 2.0 / (double)(run.step_rows * n_ranks);
    for (row = 0; row < run.step_rows && s == LM_OK; row += n) {
        lm_train_batch b = batch_of(first + row, n = run.step_rows - row < run.rows ? run.step_rows - row : run.rows);
        for (r = 0; r < n; r++) run.before[r] = dpo_before((first + row + r) / 2, r % 2);
        s = judged(dpo_run(run.t, &b, cfg.dpo_beta, scale, run.before, run.row_nll, run.weight, loss));
    }
    return s;
}
static int64_t read_rows(void) { /* of all ranks: the feed's state is the same on each. -> targets that count */
    int i, n = run.step_rows * n_ranks; int64_t counted = 0; size_t len = (size_t)cfg.n_len;
    for (i = 0; i < n; i += run.dpo ? 2 : 1) {
        lm_token *ids = run.ids + (size_t)i * len, *targets = run.targets + (size_t)i * len; int32_t *start = run.start + (size_t)i * len;
        if (run.dpo) { counted += feed_preference(&run.feed, ids, targets, start, &run.source[i / 2], &run.unit[i / 2]); continue; }
        if (run.place) run.feed.place = run.place + (size_t)i * len;
        counted += feed_row(&run.feed, ids, targets, start);
        if (run.place) run.row_source[i] = run.feed.source;
    }
    return counted;
}
/* 1: the weights moved. 0: the batch was bad and is passed over. */
static int one_step(void) {
    double loss = 0; int64_t counted = read_rows(); lm_adamw o; lm_status s; int bad;
    memset(&o, 0, sizeof o);
    run.lr = learning_rate(run.step);
    s = counted == 0 ? LM_OK : run.dpo ? step_pairs(&loss) : step_text(counted, &loss);
    if (s != LM_OK) loss = NAN;
    bad = ranks_most(!(loss - loss == 0));
    ranks_add_real(&loss, 1);
    run.step++; run.n_tokens += (uint64_t)run.step_rows * (uint64_t)n_ranks * (uint64_t)cfg.n_len;
    run.loss = loss;
    if (counted == 0) return 1;
    if (!bad) {
        if (n_ranks > 1) ranks_add(run.info.grad, run.info.n_floats);
        o.lr = run.lr; o.beta1 = cfg.beta1; o.beta2 = cfg.beta2; o.eps = cfg.eps;
        o.weight_decay = cfg.weight_decay;
        o.clip = cfg.clip; o.ema_decay = cfg.ema; o.t = run.n_updates + 1;
        s = lm_train_step(run.t, &o);
        run.norm = o.norm;
        if (s == LM_OK) { run.n_updates++; run.bad_in_row = 0; run.log_sum += loss; run.log_n++; return 1; }
        if (s != LM_E_NUMERIC) cli_die("%s: %s", model_name(), lm_train_error(run.t));
    }
    lm_train_zero(run.t);
    run.n_skipped++; run.bad_in_row++;
    return 0;
}

/* ================ validation */
static void swap_average(void) { /* the weights for their moving average and back */
    size_t i;
    if (cfg.ema > 0) for (i = 0; i < run.info.n_floats; i++) { float x = run.info.value[i]; run.info.value[i] = run.info.ema[i]; run.info.ema[i] = x;
        }
}
typedef struct score { double nll, n, bytes; int no_bytes; } score;
static void show_score(const char *file, const char *source, const score *s) { /* a line for each source, where there are several */
    char tag[1400];
    snprintf(tag, sizeof tag, "valid/%.600s%s%.600s", file, *source ? ":" : "", source);
    if (rank_of == 0) events_scalar(&run.events, run.step, tag, s->nll / s->n);
}
static score score_file(const dataset *d) { /* by perplexity --documents' rule; ranks take rows in turn */
    feed_scan at; score all, *each = (score *)cli_grow(NULL, (size_t)d->n_source * sizeof *each); int n = 1, r, i, turn = 0; double *sums;
    size_t k, len = (size_t)cfg.n_len, n_docs = cfg.valid_docs && (uint64_t)cfg.valid_docs < d->n_docs ? (size_t)cfg.valid_docs : d->n_docs;
    memset(&at, 0, sizeof at); memset(&all, 0, sizeof all); memset(each, 0, (size_t)d->n_source * sizeof *each);
    for (k = 0; k < n_docs; k++) { dataset_doc t = dataset_at(d, k); each[t.source].bytes += (double)t.n_bytes;
        each[t.source].no_bytes |= t.n_bytes == 0; }
    while (n > 0) {
        lm_train_batch b;
        for (n = 0; n < run.rows; n++)
            if (!feed_scan_row(d, (int)cfg.n_len, n_docs, &at, run.ids + (size_t)n * len, run.targets + (size_t)n * len, run.start + (size_t)n * len,
                run.scan_source + (size_t)n * len)) break;
        if (n == 0 || turn++ % n_ranks != rank_of) continue;
        b = batch_of(0, n); b.token_nll = run.token_nll; b.label_smoothing = 0;
        if (run_batch(&b) != LM_OK) { each[0].nll = NAN; each[0].n++; continue; }
        for (r = 0; r < n; r++) for (i = 0; i < (int)cfg.n_len; i++) {
            k = (size_t)r * len + (size_t)i;
            if (run.targets[k] >= 0) { each[run.scan_source[k]].nll += (double)run.token_nll[k]; each[run.scan_source[k]].n++; }
        }
    }
    sums = (double *)(void *)floats((size_t)d->n_source, 4, 1);
    for (i = 0; i < d->n_source; i++) { sums[2 * i] = each[i].nll; sums[2 * i + 1] = each[i].n; }
    ranks_add_real(sums, 2 * d->n_source);
    for (i = 0; i < d->n_source; i++) {
        each[i].nll = sums[2 * i]; each[i].n = sums[2 * i + 1];
        if (each[i].n > 0 && d->n_source > 1) show_score(d->path, d->source[i], &each[i]);
        all.nll += each[i].nll; all.n += each[i].n; all.bytes += each[i].bytes; all.no_bytes |= each[i].no_bytes || d->masked;
    }
    free(sums); free(each);
    return all;
}
/* -ln p of every document of pairs, in the model as it is now. */
static double *pair_nll(const dataset *d) {
    double *nll = (double *)cli_grow(NULL, d->n_docs * sizeof *nll); size_t i, k, n, len = (size_t)cfg.n_len;
    for (i = 0; i < d->n_docs; i += n) {
        lm_train_batch b;
        n = d->n_docs - i < (size_t)run.rows ? d->n_docs - i : (size_t)run.rows;
        for (k = 0; k < n; k++) feed_document(&run.feed, d, i + k, run.ids + k * len, run.targets + k * len, run.start + k * len);
        b = batch_of(0, (int)n); b.row_nll = nll + i; b.label_smoothing = 0;
        if (run_batch(&b) != LM_OK) cli_die("%s: %s", d->path, lm_train_error(run.t));
        if (rank_of == 0) cli_progress("reference probabilities", i + n, d->n_docs);
    }
    return nll;
}
static score score_pairs(const dataset *d, const double *before) {
    score s; size_t i; double *nll = pair_nll(d), right = 0;
    memset(&s, 0, sizeof s); s.no_bytes = 1;
    for (i = 0; i < d->n_docs; i += 2) { double m = dpo_margin(cfg.dpo_beta, nll + i, before + i); s.nll += dpo_loss(m); s.n++; right += m > 0; }
    free(nll);
    if (rank_of == 0) events_scalar(&run.events, run.step, "valid/accuracy", right / s.n);
    return s;
}
static void validate(void) { /* -> run.last_valid, run.last_bits; 1 best */
    score all; int i;
    memset(&all, 0, sizeof all);
    swap_average();
    for (i = 0; i < run.n_valid; i++) {
        score s = run.dpo ? score_pairs(&run.valid[i], run.valid_ref[i].nll) : score_file(&run.valid[i]);
        if (run.n_valid > 1) show_score(run.valid[i].path, "", &s);
        all.nll += s.nll; all.n += s.n; all.bytes += s.bytes; all.no_bytes |= s.no_bytes;
    }
    swap_average();
    run.last_valid = all.nll / all.n;
    run.last_bits = all.no_bytes || all.bytes <= 0 ? NAN : all.nll / log(2.0) / all.bytes;
}
/* ---- a sample of what it writes now */
static void sample(void) {
    static char *text; static size_t cap; lm_token *ids, id, start, end; size_t n = 0, n_out; lm_train_batch b; lm_sampler *s; lm_sampler_desc d;
    lm_error err;
    lm_step chain[2]; int k;
    cli.m = run.vm; cli_ends(&start, &end); ids = cli_tokenize(cfg.prompt ? cfg.prompt : "", cfg.prompt ? strlen(cfg.prompt) : 0,
        LM_TEXT_PARSE_SPECIAL, &n, "sample.prompt");
    cli.m = NULL;
    if (n + 1 > (size_t)cfg.n_len) n = (size_t)cfg.n_len - 1;
    if (start >= 0) { memcpy(run.ids + 1, ids, n * sizeof *ids); run.ids[0] = start; n++; } else memcpy(run.ids, ids, n * sizeof *ids);
    free(ids);
    memset(chain, 0, sizeof chain); memset(&d, 0, sizeof d);
    chain[0].kind = LM_STEP_TEMP; chain[0].temp = (float)cfg.sample_temp; chain[1].kind = LM_STEP_TOP_P; chain[1].p = 0.95f;
    d.steps = chain; d.n_steps = 2; d.seed = (uint64_t)cfg.seed + run.step;
    if (n == 0 || lm_sampler_open(&s, run.vm, &d, &err) != LM_OK) return;
    swap_average();
    for (k = 0; k < (int)cfg.sample_tokens && n < (size_t)cfg.n_len; k++) {
        memset(&b, 0, sizeof b); memset(run.targets, 255, n * sizeof *run.targets); /* -1: none is counted */
        b.n_rows = 1; b.n_len = (int)n; b.ids = run.ids; b.targets = run.targets; b.logits = run.logits;
        if (run_batch(&b) != LM_OK) break;
        id = lm_sample_logits(s, run.logits + (n - 1) * (size_t)run.info.shape.n_vocab);
        if (id < 0 || lm_token_is_eog(run.vm, id)) break;
        run.ids[n++] = id;
    }
    swap_average();
    lm_sampler_close(s);
    while (lm_detokenize(run.vm, run.ids, n, 0, text, cap, &n_out) == LM_E_FULL) text = (char *)cli_grow(text, cap = n_out + 64);
    events_text(&run.events, run.step, "sample", text, n_out);
    if (cfg.progress == PROGRESS_ON || (cli.tty && cfg.progress == PROGRESS_AUTO)) { cli_clear(); fprintf(stderr, "step %llu: %.*s\n",
        (unsigned long long)run.step, (int)n_out, text); }
}

/* ================ checkpoints */
#define N_STATE 13
static uint64_t bits_of(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
static double real_of(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }
static checkpoint checkpoint_of(int put) { /* put: fills the state from the run */
    static uint64_t *state; checkpoint c; int i; uint64_t *s;
    memset(&c, 0, sizeof c);
    c.text = run.text; c.n_state = N_STATE + 3 * (size_t)run.feed.n; c.n_floats = run.info.n_floats; c.n_arrays = cfg.ema > 0 ? 4 : 3;
    c.state = s = state = (uint64_t *)cli_grow(state, c.n_state * sizeof *state);
    c.array[0] = run.info.value; c.array[1] = run.info.m; c.array[2] = run.info.v; c.array[3] = run.info.ema;
    if (!put) return c;
    s[0] = run.step; s[1] = run.n_updates; s[2] = run.n_tokens; s[3] = run.n_skipped; s[4] = run.bad_in_row; s[5] = run.best_step;
    s[6] = run.since_best;
    s[7] = run.log_n; s[8] = bits_of(run.best); s[9] = bits_of(run.log_sum); s[10] = bits_of(run.seconds + cli_seconds() - run.started);
    s[11] = run.feed.n_rows; s[12] = bits_of(run.loss);
    for (i = 0; i < run.feed.n; i++) { s[N_STATE + 3 * i] = run.feed.s[i].epoch; s[N_STATE + 3 * i + 1] = run.feed.s[i].at;
        s[N_STATE + 3 * i + 2] = run.feed.s[i].from; }
    return c;
}
static void take_state(const uint64_t *s) {
    int i;
    run.step = s[0]; run.n_updates = s[1]; run.n_tokens = s[2]; run.n_skipped = s[3]; run.bad_in_row = s[4]; run.best_step = s[5];
    run.since_best = s[6];
    run.log_n = s[7]; run.best = real_of(s[8]); run.log_sum = real_of(s[9]); run.seconds = real_of(s[10]); run.feed.n_rows = s[11];
    run.loss = real_of(s[12]);
    for (i = 0; i < run.feed.n; i++) {
        feed_source *f = &run.feed.s[i];
        f->epoch = s[N_STATE + 3 * i]; f->at = s[N_STATE + 3 * i + 1]; f->from = s[N_STATE + 3 * i + 2];
        feed_epoch(&run.feed, f);
        if (f->at >= f->n_units + (f->shift > 0)) cli_die("%s: is not what it was when the checkpoint was written", f->d.path);
    }
}
static void save(const char *name) { /* NULL: of the step */
    char path[4400]; checkpoint c;
    if (rank_of != 0) return;
    c = checkpoint_of(1);
    if (name) snprintf(path, sizeof path, "%.4096s/%s", cfg.out, name); else checkpoint_name(cfg.out, run.step, path, sizeof path);
    checkpoint_save(&c, path);
    if (name == NULL) checkpoint_prune(cfg.out, (size_t)cfg.keep);
}
static void resume(void) {
    char path[4400]; checkpoint c = checkpoint_of(0); int damaged = 0, i; uint64_t found = 0; const char *why = NULL;
    if (rank_of == 0 && cfg.resume != RESUME_NEVER) {
        found = (uint64_t)checkpoint_newest(cfg.out, &c, cfg.resume == RESUME_FORCE, path, sizeof path, &damaged, &why);
        if (damaged && cli.tty) cli_note("warning: %d newer checkpoints are passed over: the last %s", damaged, why);
    }
    if (rank_of == 0 && cfg.resume == RESUME_NEVER) checkpoint_prune(cfg.out, 0);
    ranks_share(&found, sizeof found);
    if (!found) return;
    ranks_share(c.state, c.n_state * sizeof *c.state);
    for (i = 0; i < c.n_arrays; i++) ranks_share(c.array[i], c.n_floats * sizeof(float));
    take_state(c.state);
}

/* ================ the GGUF */
static void gguf_floats(gguf_writer *w, int i, const float *x, size_t n) { /* little-endian on any host */
    unsigned char piece[4096]; size_t k, j; uint32_t u;
    for (; n > 0; n -= k, x += k) {
        k = n < sizeof piece / 4 ? n : sizeof piece / 4;
        for (j = 0; j < k; j++) { memcpy(&u, &x[j], 4); dataset_put(piece + 4 * j, u, 4); }
        gguf_data(w, i, piece, 4 * k);
    }
}
static int is_key(const lm_meta *v, const char *key) { return v->key_bytes == strlen(key) && memcmp(v->key, key, v->key_bytes) == 0; }
static int is_about(const lm_meta *v, const char *start) { return v->key_bytes > strlen(start) && memcmp(v->key, start, strlen(start)) == 0; }
static void write_meta(gguf_writer *w) {
    lm_meta v; int i; const lm_train_shape *s = &run.info.shape; uint32_t head = (uint32_t)s->n_embd_head;
    if (!run.base || cfg.rank) gguf_str(w, "general.architecture", "llama");
    if (cfg.rank) {
        gguf_str(w, "general.type", "adapter"); gguf_str(w, "adapter.type", "lora");
        gguf_f32(w, "adapter.lora.alpha", run.info.lora_alpha);
    } else if (!run.base) {
        gguf_str(w, "general.type", "model");
        gguf_u32(w, "llama.block_count", (uint32_t)s->n_layer); gguf_u32(w, "llama.context_length", (uint32_t)(cfg.n_ctx ? cfg.n_ctx : cfg.n_len));
        gguf_u32(w, "llama.embedding_length", (uint32_t)s->n_embd); gguf_u32(w, "llama.feed_forward_length", (uint32_t)s->n_ff);
        gguf_u32(w, "llama.attention.head_count", (uint32_t)s->n_head); gguf_u32(w, "llama.attention.head_count_kv", (uint32_t)s->n_head_kv);
        gguf_f32(w, "llama.rope.freq_base", s->rope_freq_base); gguf_f32(w, "llama.attention.layer_norm_rms_epsilon", s->rms_eps);
        gguf_u32(w, "llama.attention.key_length", head); gguf_u32(w, "llama.attention.value_length", head);
        gguf_u32(w, "llama.vocab_size", (uint32_t)s->n_vocab); gguf_u32(w, "llama.rope.dimension_count", head);
    }
    if (cfg.name || !run.base || cfg.rank) gguf_str(w, "general.name", cfg.name ? cfg.name : cfg.rank ? "adapter" : "model");
    for (i = 0; !cfg.rank && run.base && lm_meta_at(run.base, i, &v) == LM_OK; i++) {
        if (is_key(&v, "general.file_type") || is_key(&v, "general.quantization_version") || is_about(&v, "split.") || is_about(&v,
            "quantize.imatrix.")) continue;
        if (!(cfg.name && is_key(&v, "general.name")) && !is_about(&v, "tokenizer.")) gguf_copy(w, &v);
    }
    for (i = 0; !cfg.rank && lm_meta_at(run.vm, i, &v) == LM_OK; i++)
        if (is_about(&v, "tokenizer.") && (run.base || !is_key(&v, "tokenizer.ggml.add_bos_token"))) gguf_copy(w, &v);
    if (!run.base) gguf_bool(w, "tokenizer.ggml.add_bos_token", lm_token_special(run.vm, LM_BOS) >= 0); /* a new model has seen no text without a start */
    gguf_u32(w, "general.quantization_version", 2);
    if (!cfg.rank) gguf_u32(w, "general.file_type", 0);
}
static void write_f32(const char *path) { /* the trained tensors; of a base all that is not trained as it is */
    gguf_writer w; lm_train_tensor t; lm_tensor b; int i, n = run.info.n_tensors, k; char name[128];
    gguf_open(&w, path);
    write_meta(&w);
    for (i = 0; i < n; i++) { lm_train_tensor_at(run.t, i, &t); gguf_tensor(&w, t.name, 0, t.n_dims, t.dims); }
    for (i = 0; run.base && !cfg.rank && lm_tensor_at(run.base, i, &b) == LM_OK; i++) {
        snprintf(name, sizeof name, "%.*s", (int)b.name_bytes, b.name);
        for (k = 0; k < n; k++) { lm_train_tensor_at(run.t, k, &t); if (strcmp(t.name, name) == 0) break; }
        if (k == n) gguf_tensor(&w, name, b.type, b.n_dims, b.dims);
    }
    gguf_begin(&w);
    for (i = 0; i < n; i++) { lm_train_tensor_at(run.t, i, &t); gguf_floats(&w, i, t.value, (size_t)(t.dims[0] * (t.n_dims > 1 ? t.dims[1] : 1))); }
    for (; i < w.n_tensor; i++) if (lm_tensor_find(run.base, w.tensor[i].name, &b) == LM_OK) gguf_data(&w, i, b.data, b.n_bytes);
    gguf_end(&w);
}
/* The F32 file with its weights in another type, by lm_mix_types. */
static void write_typed(const char *from, const char *path) {
    lm_model *m = cli_own_model(from, 0, 0); int i, n = lm_tensor_count(m), *types = (int *)cli_grow(NULL, (size_t)n * sizeof *types); lm_meta v;
    gguf_writer w; lm_tensor t;
    float *x = NULL; void *out = NULL; char name[128];
    lm_mix_types(m, cfg.type, 0, types);
    gguf_open(&w, path);
    for (i = 0; lm_meta_at(m, i, &v) == LM_OK; i++) if (!is_key(&v, "general.file_type")) gguf_copy(&w, &v);
    gguf_u32(&w, "general.file_type", (uint32_t)lm_mix_find(cfg.type));
    for (i = 0; lm_tensor_at(m, i, &t) == LM_OK; i++) {
        snprintf(name, sizeof name, "%.*s", (int)t.name_bytes, t.name);
        gguf_tensor(&w, name, types[i], t.n_dims, t.dims);
    }
    gguf_begin(&w);
    for (i = 0; lm_tensor_at(m, i, &t) == LM_OK; i++) {
        size_t count = (size_t)(t.dims[0] * t.dims[1] * t.dims[2] * t.dims[3]);
        x = (float *)cli_grow(x, count * sizeof *x); out = cli_grow(out, (size_t)w.tensor[i].n_bytes);
        if (lm_dequantize(t.type, t.data, count, x) != LM_OK || lm_quantize(types[i], x, count / t.dims[0], t.dims[0], NULL, out) != LM_OK)
            cli_die("%s: tensor %s: a weight is no number", path, w.tensor[i].name);
        gguf_data(&w, i, out, w.tensor[i].n_bytes);
    }
    gguf_end(&w);
    free(x); free(out); free(types); lm_model_close(m);
}
static void write_model(char *path, size_t cap) {
    char aside[4500]; int typed = !cfg.rank && strcmp(cfg.type, "F32") != 0;
    if (cfg.output) snprintf(path, cap, "%.4096s", cfg.output); else snprintf(path, cap, "%.4000s/%s.gguf", cfg.out, cfg.rank ? "adapter" : "model");
    swap_average();
    snprintf(aside, sizeof aside, "%.4096s%s", path, typed ? ".f32" : "");
    write_f32(aside);
    if (typed) { write_typed(aside, path); checkpoint_remove(aside); }
    swap_average();
}

/* ================ the loop */
static void progress(double speed) {
    double left = speed > 0 ? (double)(cfg.steps - (int64_t)run.step) * (double)run.step_rows * n_ranks * (double)cfg.n_len / speed : 0;
    char valid[60] = "";
    if (rank_of != 0 || cfg.progress == PROGRESS_OFF || (cfg.progress == PROGRESS_AUTO && !cli.tty)) return;
    if (run.last_valid == run.last_valid) snprintf(valid, sizeof valid, ", valid %.4f", run.last_valid);
    fprintf(stderr, "%sstep %llu of %lld, loss %.4f%s, lr %.3g, norm %.3g, %.0f tokens/s, %d:%02d:%02d left%s",
        cfg.progress == PROGRESS_ON ? "" : "\r",
        (unsigned long long)run.step, (long long)cfg.steps, run.loss, valid, run.lr, run.norm, speed, (int)(left / 3600), (int)(left / 60) % 60,
            (int)left % 60,
        cfg.progress == PROGRESS_ON ? "\n" : "\033[K");
    cli.line = cfg.progress != PROGRESS_ON;
}
static double epochs_done(void) { /* of the first source */
    const feed_source *s = &run.feed.s[0];
    return (double)s->epoch + (double)s->at / (double)s->n_units;
}
static void log_step(double speed, int validated) {
    curve_row r;
    if (rank_of != 0) return;
    r.step = run.step; r.tokens = run.n_tokens; r.skipped = run.n_skipped; r.epoch = epochs_done(); r.lr = run.lr; r.norm = run.norm; r.speed = speed;
    r.loss = run.log_n ? run.log_sum / (double)run.log_n : run.loss; r.valid = validated ? run.last_valid : NAN;
    r.bits = validated ? run.last_bits : NAN;
    curve_add(&run.curve, &r);
    events_scalar(&run.events, r.step, "train/loss", r.loss); events_scalar(&run.events, r.step, "train/learning_rate", r.lr);
    events_scalar(&run.events, r.step, "train/gradient_norm", r.norm); events_scalar(&run.events, r.step, "train/tokens_per_s", speed);
    if (!validated) return;
    events_scalar(&run.events, r.step, "valid/loss", r.valid); events_scalar(&run.events, r.step, "valid/perplexity", exp(r.valid));
    if (r.bits == r.bits) events_scalar(&run.events, r.step, "valid/bits_per_byte", r.bits);
}
static void report_bad(void) {
    if (rank_of == 0 && (cli.tty || cfg.progress == PROGRESS_ON) && cfg.progress != PROGRESS_OFF)
        cli_note("step %llu: loss %g, gradient norm %g: the batch is passed over", (unsigned long long)run.step, run.loss, run.norm);
    if (run.bad_in_row >= (uint64_t)cfg.max_bad)
        cli_die("step %llu: %llu batches without a finite loss and gradient follow on each other (max_bad): lower lr, or look at the data; the last checkpoint stays",
            (unsigned long long)run.step, (unsigned long long)run.bad_in_row);
}
/* Why the run is over: NULL: it is not. */
static const char *train_one(double *then, uint64_t *then_tokens) {
    int validated = 0, last, logs; double now, speed;
    if (!one_step()) report_bad();
    last = run.step >= (uint64_t)cfg.steps;
    if (run.n_valid && (last || run.step % (uint64_t)cfg.valid_every == 0)) {
        validate(); validated = 1;
        if (run.last_valid < run.best || run.best_step == 0) { run.best = run.last_valid; run.best_step = run.step; run.since_best = 0;
            save("best.ckpt"); }
        else run.since_best++;
    }
    if (cfg.sample_every && rank_of == 0 && (last || run.step % (uint64_t)cfg.sample_every == 0)) sample();
    now = cli_seconds(); speed = (double)(run.n_tokens - *then_tokens) / (now - *then > 1e-6 ? now - *then : 1e-6);
    logs = last || run.step % (uint64_t)cfg.log_every == 0;
    if (logs || now - *then > 0.5) progress(speed);
    if (logs || validated) { log_step(speed, validated); run.log_sum = 0; run.log_n = 0; *then = now; *then_tokens = run.n_tokens; }
    if (last) return "done";
    if (cfg.patience && run.since_best >= (uint64_t)cfg.patience) return "no better validation";
    if (ranks_most(stopped != 0)) return "stopped by a signal";
    if (ranks_most(cfg.minutes > 0 && now - run.started > cfg.minutes * 60)) return "stopped by minutes";
    return NULL;
}
static void train_all(void) {
    char path[4400] = "", valid[120] = ""; const char *end = NULL; double then = run.started; uint64_t tokens = run.n_tokens; int over;
    if (run.step >= (uint64_t)cfg.steps) end = "done before";
    if (cfg.patience && run.since_best >= (uint64_t)cfg.patience) end = "no better validation";
    while (end == NULL) {
        end = train_one(&then, &tokens);
        if (end || run.step % (uint64_t)cfg.save_every == 0) save(NULL);
    }
    over = strncmp(end, "stopped", 7) != 0;
    if (rank_of != 0) return;
    curve_close(&run.curve); curve_draw(cfg.out, cfg.name ? cfg.name : config_path ? config_path : "");
    if (over && cfg.best && run.best_step) {
        const char *why; checkpoint c = checkpoint_of(0);
        snprintf(path, sizeof path, "%.4096s/best.ckpt", cfg.out);
        if (!checkpoint_load(path, &c, 1, &why)) cli_die("%s: %s", path, why);
    }
    if (over) write_model(path, sizeof path); else checkpoint_name(cfg.out, run.step, path, sizeof path);
    cli_clear();
    if (run.best_step) snprintf(valid, sizeof valid, ", best validation %.4f at step %llu", run.best, (unsigned long long)run.best_step);
    printf("%s: %s at step %llu of %lld, %llu tokens, loss %.4f%s, %llu batches passed over, %.0f s\n", path, end, (unsigned long long)run.step,
        (long long)cfg.steps,
        (unsigned long long)run.n_tokens, run.loss, valid, (unsigned long long)run.n_skipped, run.seconds + cli_seconds() - run.started);
}
/* ---- --show: runs of tokens that are counted or not, as text */
static void show(void) {
    size_t len = (size_t)cfg.n_len, n_bytes; int i, k, from, counted;
    lm_token *ids = (lm_token *)(void *)floats(2, len, 1), *targets = (lm_token *)(void *)floats(2, len, 1), *text = (lm_token *)(void *)floats(len,
        1, 1);
    int32_t *start = (int32_t *)(void *)floats(2, len, 1); int source; size_t unit;
    cli.m = run.vm;
    for (i = 0; i < n_show; i++) {
        int second = run.dpo && i % 2; size_t at = second ? len : 0;
        if (!second) counted = run.dpo ? feed_preference(&run.feed, ids, targets, start, &source, &unit) : feed_row(&run.feed, ids, targets, start);
        for (k = 0, counted = 0; k < (int)len; k++) counted += targets[at + (size_t)k] >= 0;
        printf("row %d%s: %d tokens, %d counted\n", i + 1, !run.dpo ? "" : second ? " (rejected)" : " (chosen)", (int)len, counted);
        for (k = 0; k < (int)len; k = from) { /* targets k.. that are of one document and alike counted; a document's first token is shown, too */
            int n = 0, on = targets[at + (size_t)k] >= 0, doc = start[at + (size_t)k];
            for (from = k; from < (int)len && targets[at + (size_t)from] < 0 && start[at + (size_t)from] == from; from++) {}
            if (from == (int)len) { printf("  %5d nothing up to the end\n", k); continue; } /* padding */
            if (doc == k) { const char *t = cli_detokenize(ids + at + k, 1, LM_TEXT_SHOW_CONTROL | LM_TEXT_CONTINUES, &n_bytes);
                printf("  %5d begins ", k); cli_json_text(stdout, t, n_bytes); putchar('\n'); }
            for (from = k; from < (int)len && start[at + (size_t)from] == doc && (targets[at + (size_t)from] >= 0) == on; from++) {
                int next_is_here = from + 1 < (int)len && start[at + (size_t)from + 1] == doc;
                if (on) text[n++] = targets[at + (size_t)from]; else if (next_is_here) text[n++] = ids[at + (size_t)from + 1];
            }
            if (n == 0) continue;
            printf("  %5d %s ", k, on ? "counts" : "skips ");
            { const char *t = cli_detokenize(text, (size_t)n, LM_TEXT_SHOW_CONTROL | LM_TEXT_CONTINUES, &n_bytes); cli_json_text(stdout, t, n_bytes);
                putchar('\n'); }
        }
    }
    cli.m = NULL;
    free(ids); free(targets); free(text); free(start);
}
static void references(void) { /* of DPO: before a checkpoint's weights come */
    int i;
    run.ref = (pair_ref *)cli_grow(NULL, (size_t)run.feed.n * sizeof *run.ref); run.valid_ref = (pair_ref *)cli_grow(NULL,
        (size_t)run.n_valid * sizeof *run.ref);
    for (i = 0; i < run.feed.n; i++) run.ref[i].nll = pair_nll(&run.feed.s[i].d);
    for (i = 0; i < run.n_valid; i++) run.valid_ref[i].nll = pair_nll(&run.valid[i]);
}
static void check_config(void) {
    if (cfg.out == NULL && !n_show) cli_die("out: a folder for the run is needed");
    if (cfg.type == NULL || lm_mix_find(cfg.type) < 0) cli_die("type: %.40s is no type of weights (quantize --help lists them)",
        cfg.type ? cfg.type : "");
    if (cfg.min_lr > cfg.lr) cli_die("min_lr: %g is above lr, which is %g", cfg.min_lr, cfg.lr);
    if (cfg.best && cfg.valid == NULL) cli_die("best: needs files in valid");
    if (cfg.patience && cfg.valid == NULL) cli_die("patience: needs files in valid");
}
static void take_folder(void) {
    if (rank_of != 0) return;
    if (!checkpoint_folder(cfg.out)) cli_die("%s: %s", cfg.out, strerror(errno));
    checkpoint_lock(cfg.out);
}
static void start_run(void) {
    char *text; size_t n; int i, stream = 0;
    for (i = 0; i < run.feed.n; i++) stream |= !run.feed.s[i].whole;
    text = config_text(); n = strlen(text) + 60;
    run.text = (char *)cli_grow(NULL, n);
    snprintf(run.text, n, "%sranks=%d\n%s", text, n_ranks, cfg.cache && stream ? "distill=from the cache\n" : ""); /* other bits than without it */
    free(text);
    run.last_valid = run.last_bits = NAN;
    if (run.dpo) references();
    resume();
    run.started = cli_seconds(); run.first_step = run.step;
    if (rank_of == 0) {
        curve_open(&run.curve, cfg.out, run.step);
        if (cfg.events) events_open(&run.events, cfg.out, run.step + 1);
    }
}
int main(int argc, char **argv) {
    ranks_begin(&argc, &argv);
    CONFIG_PARSE("train", "CONFIG.json [--key value ...]\n       train --reference DIR --out OUT", keys, options, &config_path);
    if (config_path == NULL && reference_path == NULL) cli_usage("CONFIG.json is needed (--help)");
    config_read(config_path);
    if (reference_path) { if (cfg.out == NULL) cli_usage("--out: a folder is needed (--help)"); reference_all(reference_path, cfg.out);
        config_close(); return cli_end(); }
    check_config();
    open_data();
    run.step_rows = (int)cfg.batch * (run.dpo ? 2 : 1);
    if (run.dpo && (cfg.dropout > 0 || cfg.teacher || cfg.cache)) cli_die("%s: pairs are trained without dropout and teacher", run.feed.s[0].d.path);
    run.rows = cfg.rows && cfg.rows < run.step_rows ? (int)cfg.rows : run.step_rows;
    if (run.dpo && run.rows % 2) run.rows++;
    if (n_show) { run.vm = cli_own_model(cfg.vocab ? cfg.vocab : cfg.model ? cfg.model : "", 1, 0); check_data(); show(); }
    else {
        open_models();
        check_data();
        if (cfg.steps == 0) cfg.steps = (int64_t)ceil(cfg.epochs * (double)rows_of_epoch() / (double)(cfg.batch * n_ranks));
        if (cfg.steps < 1) cli_die("steps, epochs: the run has no step");
        take_folder();
        signal(SIGINT, on_signal); signal(SIGTERM, on_signal);
        if (cfg.teacher || cfg.cache) open_teacher(); /* whose cache may lie in the folder */
        make_room();
        start_run();
        train_all();
        events_close(&run.events);
    }
    {
        int i;
        for (i = 0; i < run.n_valid; i++) { dataset_close(&run.valid[i]); if (run.valid_ref) free(run.valid_ref[i].nll); }
        for (i = 0; run.ref && i < run.feed.n; i++) free(run.ref[i].nll);
    }
    distill_unload(&run.cache); distill_close(&run.teacher); lm_train_close(run.t);
    if (run.base != run.vm) lm_model_close(run.base);
    lm_model_close(run.vm);
    feed_close(&run.feed);
    free(run.valid); free(run.ref); free(run.valid_ref); free(run.ids); free(run.targets); free(run.start); free(run.weight); free(run.before);
    free(run.token_nll); free(run.row_nll);
    free(run.source); free(run.unit); free(run.scan_source); free(run.logits); free(run.soft_p); free(run.soft_ids); free(run.text); free(run.place);
    free(run.row_source);
    config_close();
    ranks_end();
    return cli_end();
}
