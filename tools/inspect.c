/* Shows what is in a model file: metadata, tensors, types, sizes, and the memory that running it takes.
 *   build/inspect -m MODEL.gguf -c 2048
 * A file that llama.h cannot run (another architecture, or a vocabulary without weights) is shown too, and says why; a damaged one is
 * refused.
 */
#include "cli.h"

static int json;
static const cli_option options[] = {
    CLI_MODEL("the model"),
    CLI_CTX(CLI_OWN_CTX),
    { "--json", NULL, CLI_FLAG, &json, 0, 0, NULL, "one JSON object; sizes in bytes, of arrays the first 16 items" },
};

static const char *const meta_type[] = { "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "str", "arr", "u64", "i64", "f64" };

/* ---- text: control bytes, quotes and what is no UTF-8 as escapes, so that a file cannot write to the terminal's control */
static void put_text(const char *p, size_t n, size_t limit) {
    size_t i, len; uint32_t cp;
    for (i = 0; i < n && i < limit; i += len) {
        if (cli_utf8(p + i, n - i, &len, &cp) != 1) printf("\\x%02x", (unsigned)(unsigned char)p[i]), len = 1;
        else if (cp == '\n') fputs("\\n", stdout);
        else if (cp < 32 || (cp >= 127 && cp < 160)) printf("\\x%02x", (unsigned)cp);
        else fwrite(p + i, 1, len, stdout);
    }
    if (i < n) printf("... (%lu bytes)", (unsigned long)n);
}
static void put_size(uint64_t n) { /* bytes, for reading */
    if (n < 10000) printf("%lu B", (unsigned long)n);
    else if (n < 10000u * 1024u) printf("%.1f KiB", (double)n / 1024);
    else if (n < 10000u * 1048576ull) printf("%.1f MiB", (double)n / 1048576);
    else printf("%.2f GiB", (double)n / 1073741824);
}

/* The shortest decimals that read back as the same number: 1e-05, not 9.99999975e-06. */
static void put_real(double f, int is_f32) {
    char text[40]; double back = 0; int digits = is_f32 ? 6 : 15, most = is_f32 ? 9 : 17;
    do {
        snprintf(text, sizeof text, "%.*g", digits, f);
        back = strtod(text, NULL);
    } while ((is_f32 ? (float)back != (float)f : back != f) && digits++ < most);
    fputs(text, stdout);
}

/* ---- one metadata value; arrays only as [first items] */
static void put_value(const lm_meta *v) {
    lm_meta item; uint64_t i, shown = v->n < 16 ? v->n : json ? 16 : 8; double f = v->f;
    switch (v->type) {
        case LM_META_STR: if (json) cli_json_text(stdout, v->text, v->text_bytes); else put_text(v->text, v->text_bytes, 72); break;
        case LM_META_BOOL: fputs(v->i ? "true" : "false", stdout); break;
        case LM_META_U64: printf("%llu", (unsigned long long)v->i); break;
        case LM_META_F32: case LM_META_F64:
            if (!(f - f == 0)) fputs(json ? "null" : f != f ? "nan" : f > 0 ? "inf" : "-inf", stdout); /* JSON has no infinities */
            else put_real(f, v->type == LM_META_F32);
            break;
        case LM_META_ARR:
            putchar('[');
            for (i = 0; i < shown && lm_meta_item(v, i, &item) == LM_OK; i++) {
                if (i) fputs(", ", stdout);
                if (item.type == LM_META_STR && !json) putchar('"');
                put_value(&item);
                if (item.type == LM_META_STR && !json) putchar('"');
            }
            if (!json && i < v->n) printf("%s... %llu of %s]", i ? ", " : "", (unsigned long long)v->n, meta_type[v->item]); else putchar(']');
            break;
        default: printf("%lld", (long long)v->i); break;
    }
}

/* Tensors and bytes of each type, in the order in which types first occur. */
typedef struct totals { int type, n; uint64_t n_bytes, n_elements; } totals;
static int count_types(totals *t, int cap) {
    int i, k, n = 0; lm_tensor x;
    for (i = 0; lm_tensor_at(cli.m, i, &x) == LM_OK; i++) {
        for (k = 0; k < n && t[k].type != x.type; k++) {}
        if (k == n) { if (n == cap) continue; memset(&t[n], 0, sizeof *t); t[n++].type = x.type; }
        t[k].n++; t[k].n_bytes += x.n_bytes; t[k].n_elements += x.dims[0] * x.dims[1] * x.dims[2] * x.dims[3];
    }
    return n;
}

static const char *const caches[3] = { "f16", "f32", "q8_0" }; /* lm_cache_type */
typedef struct memory { int runs, n_ctx; size_t context[3]; lm_error why; } memory;
static memory measure(void) {
    memory m; lm_model_info info; lm_ctx_desc d; int i;
    memset(&m, 0, sizeof m);
    lm_model_get_info(cli.m, &info);
    m.runs = 1; m.n_ctx = cli.n_ctx ? cli.n_ctx : info.n_ctx_train < 4096 ? info.n_ctx_train : 4096;
    for (i = 0; i < 3; i++) {
        d = cli_ctx_desc(0, 0, NULL);
        d.n_ctx = m.n_ctx; d.cache_type = (lm_cache_type)i;
        if (lm_ctx_size(cli.m, &d, &m.context[i], &m.why) != LM_OK) cli_die("%s", cli_error_text(&m.why));
    }
    return m;
}

static void print_text(const lm_model_info *info, const memory *need) {
    totals t[64]; lm_meta v; lm_tensor x; int i, k, n = count_types(t, 64);
    printf("file        "); put_text(cli.model, strlen(cli.model), 4096);
    printf("  "); put_size(info->n_file_bytes); if (info->n_parts > 1) printf(" in %d parts", info->n_parts);
    printf("\narch        "); put_text(info->arch, strlen(info->arch), 80);
    printf("\nruns        %s%s\n", need->runs ? "yes" : "no: ", need->runs ? "" : need->why.text);
    if (need->runs) {
        printf("shape       vocab %d, embd %d, layers %d, heads %d (kv %d) of %d and %d, ff %d, ", info->n_vocab, info->n_embd, info->n_layer,
               info->n_head, info->n_head_kv, info->n_embd_head_k, info->n_embd_head_v, info->n_ff);
        printf("rope %d of base %.9g, trained on %d tokens%s\n", info->n_rot, (double)info->rope_freq_base, info->n_ctx_train,
               info->tied ? ", output tied" : "");
    }
    printf("parameters  %llu\n", (unsigned long long)info->n_params);
    printf("\nmetadata    %d\n", lm_meta_count(cli.m));
    for (i = 0; lm_meta_at(cli.m, i, &v) == LM_OK; i++) {
        printf("  "); put_text(v.key, v.key_bytes, 200); printf(" %s = ", meta_type[v.type]); put_value(&v); putchar('\n');
    }
    printf("\ntensors     %d\n", lm_tensor_count(cli.m));
    for (i = 0; lm_tensor_at(cli.m, i, &x) == LM_OK; i++) {
        printf("  "); put_text(x.name, x.name_bytes, 64); printf(" %s [", lm_type_name(x.type));
        for (k = 0; k < x.n_dims; k++) printf(k ? ", %llu" : "%llu", (unsigned long long)x.dims[k]);
        printf("] "); put_size(x.n_bytes); printf(" at %llu", (unsigned long long)x.offset);
        if (info->n_parts > 1) printf(" of part %d", x.part + 1);
        putchar('\n');
    }
    printf("\ntypes\n");
    for (k = 0; k < n; k++) {
        printf("  %-6s %6d tensors  %5.2f bits per weight  ", lm_type_name(t[k].type), t[k].n, 8 * (double)t[k].n_bytes / (double)t[k].n_elements);
        put_size(t[k].n_bytes); putchar('\n');
    }
    printf("  all    %6d tensors  ", lm_tensor_count(cli.m));
    if (info->n_params) printf("%5.2f bits per weight  ", 8 * (double)info->n_tensor_bytes / (double)info->n_params);
    put_size(info->n_tensor_bytes);
    printf("\n");
    if (!need->runs) return;
    printf("\nmemory at %d tokens (file + model's own + context)\n", need->n_ctx);
    for (k = 0; k < 3; k++) {
        size_t c = need->context[k];
        printf("  %-4s cache  ", caches[k]);
        put_size(info->n_file_bytes); printf(" + "); put_size(info->n_block_bytes); printf(" + "); put_size(c); printf(" = ");
        put_size(info->n_file_bytes + info->n_block_bytes + c); putchar('\n');
    }
}

static void print_json(const lm_model_info *info, const memory *need) {
    totals t[64]; lm_meta v; lm_tensor x; int i, k, n = count_types(t, 64);
    printf("{\"file\": "); cli_json_text(stdout, cli.model, strlen(cli.model));
    printf(", \"file_bytes\": %llu, \"parts\": %d, \"arch\": ", (unsigned long long)info->n_file_bytes, info->n_parts);
    cli_json_text(stdout, info->arch, strlen(info->arch));
    printf(", \"runs\": %s", need->runs ? "true" : "false");
    if (!need->runs) { printf(", \"why\": "); cli_json_text(stdout, need->why.text, strlen(need->why.text)); }
    printf(", \"parameters\": %llu, \"tensor_bytes\": %llu", (unsigned long long)info->n_params, (unsigned long long)info->n_tensor_bytes);
    printf(",\n\"metadata\": {");
    for (i = 0; lm_meta_at(cli.m, i, &v) == LM_OK; i++) {
        printf(i ? ",\n  " : "\n  "); cli_json_text(stdout, v.key, v.key_bytes);
        printf(": {\"type\": \"%s\", ", meta_type[v.type]);
        if (v.type == LM_META_ARR) printf("\"item\": \"%s\", \"n\": %llu, ", meta_type[v.item], (unsigned long long)v.n);
        printf("\"value\": "); put_value(&v); putchar('}');
    }
    printf("},\n\"tensors\": [");
    for (i = 0; lm_tensor_at(cli.m, i, &x) == LM_OK; i++) {
        printf(i ? ",\n  {\"name\": " : "\n  {\"name\": "); cli_json_text(stdout, x.name, x.name_bytes);
        printf(", \"type\": \"%s\", \"dims\": [", lm_type_name(x.type));
        for (k = 0; k < x.n_dims; k++) printf(k ? ", %llu" : "%llu", (unsigned long long)x.dims[k]);
        printf("], \"bytes\": %llu, \"part\": %d, \"offset\": %llu}", (unsigned long long)x.n_bytes, x.part, (unsigned long long)x.offset);
    }
    printf("],\n\"types\": {");
    for (k = 0; k < n; k++) {
        printf("%s\"%s\": {\"tensors\": %d, ", k ? ", " : "", lm_type_name(t[k].type), t[k].n);
        printf("\"bytes\": %llu}", (unsigned long long)t[k].n_bytes);
    }
    printf("},\n\"memory\": ");
    if (need->runs) {
        printf("{\"ctx\": %d, \"model_bytes\": %llu", need->n_ctx, (unsigned long long)info->n_block_bytes);
        for (k = 0; k < 3; k++) printf(", \"context_%s_bytes\": %llu", caches[k], (unsigned long long)need->context[k]);
        printf("}");
    } else printf("null");
    printf("}\n");
}

int main(int argc, char **argv) {
    lm_model_info info; memory need; lm_error err; lm_status s;
    CLI_PARSE("inspect", "-m MODEL.gguf [options]", options, NULL);
    cli_need_model();
    memset(&need, 0, sizeof need);
    cli_open_model(1); /* first without weights: whether there are any decides what a full opening may say */
    if (lm_tensor_count(cli.m) == 0) snprintf(need.why.text, sizeof need.why.text, "a vocabulary without weights");
    else {
        lm_model *light = cli.m;
        s = cli_try_model(0, &err);
        if (s != LM_OK && s != LM_E_SUPPORT) cli_die("%s", cli_error_text(&err));
        if (s == LM_OK) { lm_model_close(light); need = measure(); } else { cli.m = light; need.why = err; }
        cli_clear();
    }
    lm_model_get_info(cli.m, &info);
    if (json) print_json(&info, &need); else print_text(&info, &need);
    return cli_end();
}
