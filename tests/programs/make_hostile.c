/* Writes damaged, hostile and odd variants of a small GGUF into a folder, and DIR/manifest with a line `EXPECT NAME` for each:
 *   ok      loads everywhere and gives the logits of the base    notext  the same, but has no vocabulary: only ids work
 *   load    loads everywhere; the logits may be others           refuse  every program refuses it
 *   run     a program that computes refuses it, inspect may show it
 *   any     either, cleanly
 * usage: make_hostile DIR */
#include "../tiny.h"

static const char *dir;
static FILE *manifest;
static int n_files;

static void emit(const char *expect, const char *name, const void *p, size_t n) {
    char path[600];
    sprintf(path, "%.400s/%.100s.gguf", dir, name);
    if (write_file(path, p, n) != 0) { fprintf(stderr, "make_hostile: %s: cannot write\n", path); exit(1); }
    fprintf(manifest, "%s %s\n", expect, name);
    n_files++;
}
static void emit_gguf(const char *expect, const char *name, gguf_writer *g) { /* and frees it */
    bytes b = gguf_write(g);
    emit(expect, name, b.p, b.n);
    free(b.p); gguf_free(g);
}
static gguf_writer base(void) { gguf_writer g; tiny_writer(tiny_find("nano"), &g); return g; }

/* ---- editing metadata: kv is walked by the format's own rules */
static uint64_t get_le(const uint8_t *p, int n) { uint64_t v = 0; while (n--) v = v << 8 | p[n]; return v; }
static size_t value_bytes(uint32_t type, const uint8_t *p) {
    static const uint8_t size[13] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    size_t n, k; uint64_t i;
    if (type == LM_META_STR) return 8 + (size_t)get_le(p, 8);
    if (type != LM_META_ARR) return size[type];
    n = (size_t)get_le(p + 4, 8);
    if (get_le(p, 4) != LM_META_STR) return 12 + n * size[get_le(p, 4)];
    for (k = 12, i = 0; i < n; i++) k += 8 + (size_t)get_le(p + k, 8);
    return k;
}
/* The entry of key: at its start, at its type, at its end. */
typedef struct entry { size_t start, type, end; } entry;
static entry find(const gguf_writer *g, const char *key) {
    entry e; size_t n = strlen(key);
    for (e.start = 0; e.start < g->kv.n; e.start = e.end) {
        size_t k = (size_t)get_le(g->kv.p + e.start, 8);
        e.type = e.start + 8 + k;
        e.end = e.type + 4 + value_bytes((uint32_t)get_le(g->kv.p + e.type, 4), g->kv.p + e.type + 4);
        if (k == n && memcmp(g->kv.p + e.start + 8, key, n) == 0) return e;
    }
    fprintf(stderr, "make_hostile: no key %s\n", key);
    exit(1);
}
static void cut(gguf_writer *g, const char *key) {
    entry e = find(g, key);
    memmove(g->kv.p + e.start, g->kv.p + e.end, g->kv.n - e.end);
    g->kv.n -= e.end - e.start; g->n_kv--;
}
static void set_u32(gguf_writer *g, const char *key, uint32_t v) { cut(g, key); gguf_u32(g, key, v); }

/* ---- raw edits of the written file */
static void le(bytes b, size_t at, uint64_t v, int n) { int i; for (i = 0; i < n; i++) b.p[at + (size_t)i] = (uint8_t)(v >> 8 * i); }
static void emit_patch(const char *expect, const char *name, size_t at, uint64_t v, int n) { /* of the base */
    gguf_writer g = base(); bytes b = gguf_write(&g);
    le(b, at, v, n);
    emit(expect, name, b.p, b.n);
    free(b.p); gguf_free(&g);
}
/* Where the base's directory entry of tensor number i has its name's length; then dims, type and offset follow. */
static size_t info_at(const gguf_writer *g, int i) {
    size_t at = 24 + g->kv.n; int k;
    for (k = 0; k < i; k++) at += 8 + strlen(g->tensor[k].name) + 4 + 8 * (size_t)g->tensor[k].n_dims + 12;
    return at;
}

static void truncations(void) {
    gguf_writer g = base(); bytes b = gguf_write(&g); size_t at, end; int k = 0, i; char name[64];
    static const size_t header[] = { 0, 1, 3, 4, 7, 8, 15, 16, 23, 24 };
    for (i = 0; i < 10; i++) { sprintf(name, "cut_header_%d", (int)header[i]); emit("refuse", name, b.p, header[i]); }
    for (at = 0; at < g.kv.n; at = end, k++) { /* at each entry's key, type, value and one byte before its end */
        size_t type = at + 8 + (size_t)get_le(g.kv.p + at, 8);
        end = type + 4 + value_bytes((uint32_t)get_le(g.kv.p + type, 4), g.kv.p + type + 4);
        sprintf(name, "cut_kv%d_start", k); emit("refuse", name, b.p, 24 + at);
        if (k % 3 == 0) { sprintf(name, "cut_kv%d_key", k); emit("refuse", name, b.p, 24 + at + 9); }
        if (k % 3 == 1) { sprintf(name, "cut_kv%d_type", k); emit("refuse", name, b.p, 24 + type + 2); }
        if (k % 3 == 2) { sprintf(name, "cut_kv%d_value", k); emit("refuse", name, b.p, 24 + type + 4); }
        if (end - type > 100) { sprintf(name, "cut_kv%d_middle", k); emit("refuse", name, b.p, 24 + (type + end) / 2); }
        sprintf(name, "cut_kv%d_last", k); emit("refuse", name, b.p, 24 + end - 1);
    }
    for (i = 0; i < g.n_tensor; i += 3) {
        size_t a = info_at(&g, i), n = strlen(g.tensor[i].name);
        static const char *const part[] = { "start", "name", "dims", "type", "offset" };
        size_t where[5]; int j;
        where[0] = a; where[1] = a + 9; where[2] = a + 8 + n + 4 + 3; where[3] = a + 8 + n + 4 + 8 * (size_t)g.tensor[i].n_dims + 1;
        where[4] = where[3] + 6;
        for (j = 0; j < 5; j++) { sprintf(name, "cut_tensor%d_%s", i, part[j]); emit("refuse", name, b.p, where[j]); }
    }
    at = (info_at(&g, g.n_tensor) + 31) / 32 * 32;
    emit("refuse", "cut_data_padding", b.p, at - 1);
    emit("refuse", "cut_data_start", b.p, at);
    emit("refuse", "cut_data_1", b.p, at + 1);
    emit("refuse", "cut_data_half", b.p, (at + b.n) / 2);
    emit("refuse", "cut_data_last", b.p, b.n - 1);
    free(b.p); gguf_free(&g);
}

static void headers(void) {
    static const uint64_t huge[] = { 0x7fffffffu, 0xffffffffu, (uint64_t)1 << 32, (uint64_t)1 << 61, (uint64_t)1 << 63, ~(uint64_t)0 };
    gguf_writer g; bytes b; char name[64]; int i;
    emit_patch("refuse", "magic_0", 0, 'g', 1); emit_patch("refuse", "magic_3", 3, 0, 1); emit_patch("refuse", "magic_ggml", 0, 0x67676d6c, 4);
    emit_patch("refuse", "version_0", 4, 0, 4); emit_patch("refuse", "version_1", 4, 1, 4); emit_patch("refuse", "version_4", 4, 4, 4);
    emit_patch("refuse", "version_max", 4, 0xffffffffu, 4); emit_patch("refuse", "big_endian", 4, 0x03000000u, 4);
    for (i = 0; i < 6; i++) {
        sprintf(name, "n_tensors_huge_%d", i); emit_patch("refuse", name, 8, huge[i], 8);
        sprintf(name, "n_kv_huge_%d", i); emit_patch("refuse", name, 16, huge[i], 8);
    }
    g = base();
    emit_patch("run", "n_tensors_0", 8, 0, 8); emit_patch("refuse", "n_kv_0", 16, 0, 8);
    emit_patch("refuse", "n_tensors_more", 8, (uint64_t)g.n_tensor + 1, 8); emit_patch("refuse", "n_kv_more", 16, g.n_kv + 1, 8);
    emit_patch("refuse", "n_tensors_fewer", 8, (uint64_t)g.n_tensor - 1, 8); emit_patch("refuse", "n_kv_fewer", 16, g.n_kv - 1, 8);
    b = gguf_write(&g);
    emit("refuse", "empty", b.p, 0);
    memset(b.p + 24, 0xff, b.n - 24); emit("refuse", "all_ff", b.p, b.n);
    memset(b.p + 24, 0, b.n - 24); emit("refuse", "all_zero", b.p, b.n);
    free(b.p); gguf_free(&g);
}

static void metadata(void) {
    static const uint64_t huge[] = { 0xffffffffu, (uint64_t)1 << 61, (uint64_t)1 << 63, ~(uint64_t)0, ~(uint64_t)7 };
    gguf_writer g = base(); char name[80]; int i, k;
    entry e = find(&g, "general.name"), t = find(&g, "tokenizer.ggml.tokens"), s = find(&g, "tokenizer.ggml.scores");
    entry f = find(&g, "tokenizer.ggml.add_bos_token");
    gguf_free(&g);
    for (i = 0; i < 5; i++) {
        sprintf(name, "key_length_%d", i);         emit_patch("refuse", name, 24 + e.start, huge[i], 8);
        sprintf(name, "string_length_%d", i);      emit_patch("refuse", name, 24 + e.type + 4, huge[i], 8);
        sprintf(name, "array_count_str_%d", i);    emit_patch("refuse", name, 24 + t.type + 8, huge[i], 8);
        sprintf(name, "array_count_f32_%d", i);    emit_patch("refuse", name, 24 + s.type + 8, huge[i], 8);
        sprintf(name, "array_item_length_%d", i);  emit_patch("refuse", name, 24 + t.type + 16, huge[i], 8);
    }
    emit_patch("refuse", "key_length_0", 24 + e.start, 0, 8);
    emit_patch("refuse", "value_type_13", 24 + e.type, 13, 4); emit_patch("refuse", "value_type_255", 24 + e.type, 255, 4);
    emit_patch("refuse", "value_type_max", 24 + e.type, 0xffffffffu, 4);
    emit_patch("refuse", "item_type_13", 24 + t.type + 4, 13, 4); emit_patch("refuse", "item_type_max", 24 + t.type + 4, 0xffffffffu, 4);
    emit_patch("refuse", "bool_2", 24 + f.type + 4, 2, 1); emit_patch("refuse", "bool_255", 24 + f.type + 4, 255, 1);
    g = base(); gguf_str(&g, "general.name", "again"); emit_gguf("refuse", "key_twice", &g);
    g = base(); gguf_u32(&g, "llama.block_count", 2); emit_gguf("refuse", "key_twice_same_value", &g);
    g = base(); put_u64(&g.kv, 65536); for (i = 0; i < 65536; i++) put_bytes(&g.kv, "k", 1); put_u32(&g.kv, LM_META_U8); put_bytes(&g.kv, "", 1);
    g.n_kv++; emit_gguf("refuse", "key_65536", &g);
    for (k = 0; k < 2; k++) { /* arrays in arrays, each holding one */
        int depth = k ? 100000 : 100;
        g = base(); gguf_key(&g, "x.deep", LM_META_ARR);
        for (i = 0; i < depth; i++) { put_u32(&g.kv, LM_META_ARR); put_u64(&g.kv, 1); }
        put_u32(&g.kv, LM_META_U8); put_u64(&g.kv, 0);
        emit_gguf("refuse", k ? "nested_100000" : "nested_100", &g);
    }
    g = base(); gguf_array(&g, "x.wide", LM_META_ARR, 1000); put_u32(&g.kv, LM_META_U64); put_u64(&g.kv, (uint64_t)1 << 61);
    emit_gguf("refuse", "nested_count_wraps", &g);
    g = base(); gguf_array(&g, "x.wide", LM_META_ARR, 50000); for (i = 0; i < 50000; i++) { put_u32(&g.kv, LM_META_U8); put_u64(&g.kv, 0);
        } emit_gguf("any", "nested_many_empty", &g);
    g = base(); gguf_array(&g, "x.bools", LM_META_BOOL, 2); put_bytes(&g.kv, "\2\7", 2); emit_gguf("any", "bool_array_2", &g);
    g = base(); gguf_array(&g, "x.strings", LM_META_STR, 1); put_u64(&g.kv, ~(uint64_t)7); emit_gguf("refuse", "string_wraps", &g);
}

static void alignments(void) {
    static const uint32_t bad[] = { 0, 1, 3, 4, 12, 33, 0x80000000u, 0xffffffffu }, good[] = { 8, 16, 32, 64, 4096 };
    gguf_writer g; char name[64]; int i;
    for (i = 0; i < 8; i++) { g = base(); gguf_u32(&g, "general.alignment", bad[i]); sprintf(name, "alignment_%u", (unsigned)bad[i]);
        emit_gguf("refuse", name, &g); }
    for (i = 0; i < 5; i++) { g = base(); g.alignment = good[i]; sprintf(name, "odd_alignment_%u", (unsigned)good[i]); emit_gguf("ok", name, &g); }
    g = base(); gguf_u64(&g, "general.alignment", 32); emit_gguf("refuse", "alignment_u64", &g);
    g = base(); gguf_u64(&g, "general.alignment", (uint64_t)1 << 63); emit_gguf("refuse", "alignment_2_63", &g);
    g = base(); gguf_i32(&g, "general.alignment", -32); emit_gguf("refuse", "alignment_negative", &g);
    g = base(); gguf_str(&g, "general.alignment", "32"); emit_gguf("refuse", "alignment_string", &g);
    g = base(); gguf_f32(&g, "general.alignment", 32.0f); emit_gguf("refuse", "alignment_f32", &g);
    g = base(); g.alignment = 24; emit_gguf("any", "odd_alignment_24", &g);
    g = base(); gguf_u32(&g, "general.alignment", 1 << 20); emit_gguf("refuse", "alignment_past_end", &g);
}

static void directory(void) {
    gguf_writer g = base(), h; bytes b; size_t a, d, ty, of; char name[64]; int i;
    static const uint64_t dims[] = { 0, 1, 31, 33, 0x7fffffff, 0x80000000u, 0xffffffffu, (uint64_t)1 << 32, (uint64_t)1 << 59, (uint64_t)1 << 62,
        (uint64_t)1 << 63, ~(uint64_t)0, ~(uint64_t)31 };
    static const uint64_t offsets[] = { 1, 4, 16, 31, 0x7fffffe0, 0xffffffe0u, (uint64_t)1 << 32, (uint64_t)1 << 62, (uint64_t)1 << 63,
        ~(uint64_t)31, ~(uint64_t)0 };
    static const uint32_t types[] = { 4, 5, 9, 15, 24, 25, 26, 27, 28, 31, 40, 200, 255, 256, 0x7fffffff, 0xffffffffu };
    static const uint32_t n_dims[] = { 0, 5, 255, 0xffffffffu };
    a = info_at(&g, 4); d = a + 8 + strlen(g.tensor[4].name); ty = d + 4 + 16; of = ty + 4;   /* blk.0.attn_q.weight */
    for (i = 0; i < 13; i++) {
        sprintf(name, "dim0_%d", i); emit_patch("refuse", name, d + 4, dims[i], 8);
        if (dims[i] != 32) { sprintf(name, "dim1_%d", i); emit_patch("refuse", name, d + 12, dims[i], 8); }
    }
    for (i = 0; i < 11; i++) { sprintf(name, "offset_%d", i); emit_patch("refuse", name, of, offsets[i], 8); }
    for (i = 0; i < 16; i++) { sprintf(name, "type_%u", (unsigned)types[i]);
        emit_patch(types[i] >= 24 && types[i] <= 28 ? "run" : "refuse", name, ty, types[i], 4); }
    for (i = 0; i < 4; i++) { sprintf(name, "n_dims_%u", (unsigned)n_dims[i]); emit_patch("refuse", name, d, n_dims[i], 4); }
    emit_patch("refuse", "type_f32_for_q8_0", ty, 0, 4);
    emit_patch("refuse", "name_length_0", a, 0, 8); emit_patch("refuse", "name_length_65", a, 65, 8);
    emit_patch("refuse", "name_length_max", a, ~(uint64_t)0, 8); emit_patch("refuse", "name_length_2_63", a, (uint64_t)1 << 63, 8);
    emit_patch("refuse", "offset_overlap_first", of, 0, 8);
    b = gguf_write(&g);
    emit_patch("refuse", "offset_overlap_next", of, get_le(b.p + of, 8) + 32, 8);
    free(b.p);
    h = base(); strcpy(h.tensor[5].name, h.tensor[4].name); emit_gguf("refuse", "tensor_twice", &h);
    h = base(); h.tensor[4].dims[0] = (uint64_t)1 << 32; h.tensor[4].dims[1] = (uint64_t)1 << 32; emit_gguf("refuse", "dims_product_wraps", &h);
    h = base(); h.tensor[4].n_dims = 4; h.tensor[4].dims[0] = h.tensor[4].dims[1] = h.tensor[4].dims[2] = h.tensor[4].dims[3] = 65536;
    emit_gguf("refuse", "dims4_product_wraps", &h);
    for (i = 0; i < g.n_tensor; i++) { /* each of the first layer and the ends missing */
        if (strstr(g.tensor[i].name, "blk.1.") || strcmp(g.tensor[i].name, "output.weight") == 0) continue;
        h = base(); strcpy(h.tensor[i].name, "x.gone"); sprintf(name, "missing_%.40s", g.tensor[i].name); emit_gguf("refuse", name, &h);
    }
    for (i = 0; i < g.n_tensor; i++) { /* shapes: one row fewer, and a matrix given as a vector */
        if (strstr(g.tensor[i].name, "blk.0.")) continue;
        h = base(); h.tensor[i].dims[h.tensor[i].n_dims - 1] -= h.tensor[i].n_dims == 1 && h.tensor[i].type ? 32 : 1;
        sprintf(name, "shape_less_%.40s", g.tensor[i].name); emit_gguf("refuse", name, &h);
        if (g.tensor[i].n_dims == 2) { h = base(); h.tensor[i].dims[0] *= h.tensor[i].dims[1]; h.tensor[i].n_dims = 1;
            sprintf(name, "shape_flat_%.40s", g.tensor[i].name); emit_gguf("refuse", name, &h); }
    }
    h = base(); h.tensor[1].type = 26; emit_gguf("run", "norm_type_i32", &h);
    h = base(); h.tensor[0].type = 24; emit_gguf("run", "embedding_type_i8", &h);
    h = base(); strcpy(h.tensor[h.n_tensor - 1].name, "blk.1.ffn_down.weighs"); emit_gguf("refuse", "name_misspelt", &h);
    gguf_free(&g);
}

static void hyperparameters(void) {
    static const struct { const char *key, *missing, *zero, *huge; } ints[] = {
        { "llama.context_length", "any", "any", "any" },              { "llama.embedding_length", "refuse", "refuse", "refuse" },
        { "llama.block_count", "refuse", "refuse", "refuse" },        { "llama.feed_forward_length", "any", "refuse", "refuse" },
        { "llama.attention.head_count", "refuse", "refuse", "refuse" }, { "llama.attention.head_count_kv", "refuse", "refuse", "refuse" },
        { "llama.rope.dimension_count", "ok", "any", "refuse" },      { "llama.vocab_size", "ok", "refuse", "refuse" } };
    gguf_writer g; char name[100]; int i, k;
    for (i = 0; i < 8; i++) {
        const char *key = ints[i].key, *last = strrchr(key, '.') + 1;
        g = base(); cut(&g, key); sprintf(name, "%s_missing", last); emit_gguf(ints[i].missing, name, &g);
        g = base(); set_u32(&g, key, 0); sprintf(name, "%s_zero", last); emit_gguf(ints[i].zero, name, &g);
        g = base(); cut(&g, key); gguf_i32(&g, key, -1); sprintf(name, "%s_negative", last); emit_gguf("refuse", name, &g);
        g = base(); set_u32(&g, key, 0x7fffffff); sprintf(name, "%s_2_31", last); emit_gguf(ints[i].huge, name, &g);
        g = base(); set_u32(&g, key, 0xffffffffu); sprintf(name, "%s_2_32", last); emit_gguf(ints[i].huge, name, &g);
        g = base(); cut(&g, key); gguf_u64(&g, key, (uint64_t)1 << 63); sprintf(name, "%s_2_63", last); emit_gguf("refuse", name, &g);
        g = base(); cut(&g, key); gguf_str(&g, key, "4"); sprintf(name, "%s_string", last); emit_gguf("refuse", name, &g);
        g = base(); cut(&g, key); gguf_f32(&g, key, 4.0f); sprintf(name, "%s_f32", last); emit_gguf("refuse", name, &g);
        g = base(); cut(&g, key); gguf_bool(&g, key, 1); sprintf(name, "%s_bool", last); emit_gguf("refuse", name, &g);
    }
    for (i = 0; i < 2; i++) {
        const char *key = i ? "llama.rope.freq_base" : "llama.attention.layer_norm_rms_epsilon", *last = strrchr(key, '.') + 1;
        static const float bad[] = { NAN, INFINITY, -INFINITY, -1.0f, 0.0f };
        g = base(); cut(&g, key); sprintf(name, "%s_missing", last); emit_gguf(i ? "ok" : "refuse", name, &g);
        for (k = 0; k < 5; k++) { g = base(); cut(&g, key); gguf_f32(&g, key, bad[k]); sprintf(name, "%s_bad_%d", last, k);
            emit_gguf("refuse", name, &g); }
        g = base(); cut(&g, key); gguf_str(&g, key, "1e-5"); sprintf(name, "%s_string", last); emit_gguf("refuse", name, &g);
        g = base(); cut(&g, key); gguf_array(&g, key, LM_META_F32, 1); put_f32(&g.kv, 1e-5f); sprintf(name, "%s_array", last);
        emit_gguf("refuse", name, &g);
    }
    g = base(); set_u32(&g, "llama.attention.head_count", 3); emit_gguf("refuse", "heads_3", &g);
    g = base(); set_u32(&g, "llama.attention.head_count_kv", 3); emit_gguf("refuse", "heads_kv_3_of_4", &g);
    g = base(); set_u32(&g, "llama.attention.head_count_kv", 8); emit_gguf("refuse", "heads_kv_8_of_4", &g);
    g = base(); set_u32(&g, "llama.rope.dimension_count", 7); emit_gguf("refuse", "rope_odd", &g);
    g = base(); set_u32(&g, "llama.rope.dimension_count", 10); emit_gguf("refuse", "rope_wider_than_head", &g);
    g = base(); set_u32(&g, "llama.block_count", 3); emit_gguf("refuse", "blocks_3_of_2", &g);
    g = base(); set_u32(&g, "llama.block_count", 1000000000); emit_gguf("refuse", "blocks_10_9", &g);
    g = base(); set_u32(&g, "llama.embedding_length", 64); emit_gguf("refuse", "embedding_64_of_32", &g);
    g = base(); set_u32(&g, "llama.vocab_size", 321); emit_gguf("any", "vocab_size_more", &g);
    g = base(); set_u32(&g, "llama.vocab_size", 100); emit_gguf("any", "vocab_size_less", &g);
    g = base(); gguf_u32(&g, "llama.attention.key_length", 0); emit_gguf("refuse", "key_length_zero", &g);
    g = base(); gguf_u32(&g, "llama.attention.key_length", 0xffffffffu); emit_gguf("refuse", "key_length_2_32", &g);
    g = base(); gguf_u32(&g, "llama.attention.value_length", 16); emit_gguf("refuse", "value_length_16_of_8", &g);
    g = base(); gguf_u32(&g, "llama.attention.value_length", 0); emit_gguf("refuse", "value_length_zero", &g);
    g = base(); gguf_i32(&g, "llama.attention.sliding_window", -1); emit_gguf("refuse", "window_negative", &g);
    g = base(); gguf_str(&g, "llama.attention.sliding_window", "x"); emit_gguf("refuse", "window_string", &g);
    g = base(); gguf_u32(&g, "llama.expert_count", 8); gguf_u32(&g, "llama.expert_used_count", 2); emit_gguf("run", "experts", &g);
    g = base(); gguf_str(&g, "llama.rope.scaling.type", "longrope"); emit_gguf("run", "rope_longrope", &g);
    g = base(); gguf_str(&g, "llama.rope.scaling.type", "spiral"); emit_gguf("run", "rope_unknown", &g);
    g = base(); gguf_u32(&g, "llama.rope.scaling.type", 2); emit_gguf("refuse", "rope_scaling_u32", &g);
    for (i = 0; i < 4; i++) {
        static const float bad[] = { NAN, INFINITY, -2.0f, 0.0f };
        g = base(); gguf_str(&g, "llama.rope.scaling.type", i & 1 ? "yarn" : "linear"); gguf_f32(&g, "llama.rope.scaling.factor", bad[i]);
        sprintf(name, "rope_factor_%d", i); emit_gguf(bad[i] == 0 ? "any" : "refuse", name, &g);
    }
    g = base(); gguf_str(&g, "llama.rope.scaling.type", "yarn"); gguf_f32(&g, "llama.rope.scaling.factor", 4.0f);
    gguf_i32(&g, "llama.rope.scaling.original_context_length", -5); emit_gguf("refuse", "yarn_original_negative", &g);
    g = base(); gguf_str(&g, "llama.rope.scaling.type", "yarn"); gguf_f32(&g, "llama.rope.scaling.factor", 4.0f);
    gguf_f32(&g, "llama.rope.scaling.attn_factor", NAN); emit_gguf("refuse", "yarn_attn_nan", &g);
    for (i = 0; i < 3; i++) {
        static const char *const arch[] = { "qwen2", "mamba", "" };
        g = base(); cut(&g, "general.architecture"); gguf_str(&g, "general.architecture", arch[i]); sprintf(name, "arch_%d", i);
        emit_gguf("run", name, &g);
    }
    g = base(); cut(&g, "general.architecture"); gguf_str(&g, "general.architecture", "llama\nllama: forged line\x1b[31m");
    emit_gguf("run", "arch_control_bytes", &g);
    g = base(); cut(&g, "general.architecture"); emit_gguf("run", "arch_missing", &g);
    g = base(); cut(&g, "general.architecture"); gguf_u32(&g, "general.architecture", 7); emit_gguf("run", "arch_u32", &g);
    g = base(); cut(&g, "general.architecture"); gguf_key(&g, "general.architecture", LM_META_STR); put_u64(&g.kv, 300000);
    for (i = 0; i < 300000; i++) put_bytes(&g.kv, "a", 1);
    emit_gguf("run", "arch_300000", &g);
    for (i = 0; i < 5; i++) { /* frequencies: too few, NaN, infinite, zero, in another type */
        uint8_t *f = (uint8_t *)calloc(64, 1); static const uint32_t bits[] = { 0x3f800000u, 0x7fc00000u, 0x7f800000u, 0, 0x3f800000u }; bytes b;
        if (f == NULL) exit(1);
        b.p = f; b.n = b.cap = 16;
        for (k = 0; k < 4; k++) le(b, (size_t)k * 4, bits[i], 4);
        g = base(); gguf_tensor(&g, "rope_freqs.weight", i == 4 ? 26 : 0, 1, i == 0 ? 3 : 4, 1, f, 16); sprintf(name, "rope_freqs_%d", i);
        emit_gguf(i == 4 ? "run" : "refuse", name, &g);
    }
}

static void string_array(gguf_writer *g, const char *key, const char *item, uint64_t n) { gguf_array(g, key, LM_META_STR, n);
    while (n--) put_str(&g->kv, item); }
/* Replaces item i of the token list. */
static void set_token(gguf_writer *g, int i, const char *text, size_t n) {
    entry e = find(g, "tokenizer.ggml.tokens"); size_t at = e.type + 16, old, tail; bytes b; int k;
    for (k = 0; k < i; k++) at += 8 + (size_t)get_le(g->kv.p + at, 8);
    old = (size_t)get_le(g->kv.p + at, 8); tail = at + 8 + old;
    memset(&b, 0, sizeof b);
    put_bytes(&b, g->kv.p, at); put_u64(&b, n); put_bytes(&b, text, n); put_bytes(&b, g->kv.p + tail, g->kv.n - tail);
    free(g->kv.p); g->kv = b;
}
/* The base with a byte-level vocabulary. */
static gguf_writer base_bpe(void) {
    gguf_writer g = base(); int i, extra = 256; uint32_t n_vocab; char text[24];
    static const char *const keys[] = { "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.scores",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.add_bos_token" };
    n_vocab = (uint32_t)g.tensor[0].dims[1];
    for (i = 0; i < 9; i++) cut(&g, keys[i]);
    gguf_str(&g, "tokenizer.ggml.model", "gpt2"); gguf_str(&g, "tokenizer.ggml.pre", "gpt-2");
    gguf_array(&g, "tokenizer.ggml.tokens", LM_META_STR, n_vocab);
    for (i = 0; i < 256; i++) { /* the alphabet: a printable byte is its own character, the others follow from U+0100 on */
        int c = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174 ? i : extra++;
        if (c < 128) { text[0] = (char)c; text[1] = 0; } else { text[0] = (char)(0xc0 | c >> 6); text[1] = (char)(0x80 | (c & 63)); text[2] = 0; }
        put_str(&g.kv, text);
    }
    put_str(&g.kv, "he"); put_str(&g.kv, "\xc4\xa0t"); put_str(&g.kv, "\xc4\xa0the"); put_str(&g.kv, "<|end|>");
    for (i = 260; i < (int)n_vocab; i++) { sprintf(text, "<%d>", i); put_str(&g.kv, text); }
    gguf_array(&g, "tokenizer.ggml.token_type", LM_META_I32, n_vocab);
    for (i = 0; i < (int)n_vocab; i++) put_u32(&g.kv, i < 259 ? LM_TOKEN_NORMAL : LM_TOKEN_CONTROL);
    gguf_array(&g, "tokenizer.ggml.merges", LM_META_STR, 3);
    put_str(&g.kv, "h e"); put_str(&g.kv, "\xc4\xa0 t"); put_str(&g.kv, "\xc4\xa0t he");
    gguf_u32(&g, "tokenizer.ggml.bos_token_id", 259); gguf_u32(&g, "tokenizer.ggml.eos_token_id", 259);
    return g;
}

static void vocabulary(void) {
    gguf_writer g = base(); uint64_t n = g.tensor[0].dims[1], i; char name[100]; int k; char *big;
    static const char *const special[] = { "bos", "eos", "unknown", "padding", "seperator", "eot", "eom", "fim_pre" };
    static const char *const bytes_bad[] = { "<0x-1>", "<0xZZ>", "<0x1>", "<0x100>", "<0x>", "<0x 1>", "<0x+1>", "<0x0G>", "0x41", "<0X41>" };
    gguf_free(&g);
    g = base(); cut(&g, "tokenizer.ggml.tokens"); emit_gguf("refuse", "tokens_missing", &g);
    g = base(); cut(&g, "tokenizer.ggml.tokens"); gguf_array(&g, "tokenizer.ggml.tokens", LM_META_STR, 0); emit_gguf("refuse", "tokens_empty", &g);
    g = base(); cut(&g, "tokenizer.ggml.tokens"); gguf_str(&g, "tokenizer.ggml.tokens", "a b c"); emit_gguf("refuse", "tokens_string", &g);
    g = base(); cut(&g, "tokenizer.ggml.tokens"); gguf_array(&g, "tokenizer.ggml.tokens", LM_META_U32, n); for (i = 0; i < n; i++) put_u32(&g.kv, 1);
    emit_gguf("refuse", "tokens_u32", &g);
    g = base(); cut(&g, "tokenizer.ggml.tokens"); gguf_array(&g, "tokenizer.ggml.tokens", LM_META_ARR, n);
    for (i = 0; i < n; i++) { put_u32(&g.kv, LM_META_U8); put_u64(&g.kv, 1); put_bytes(&g.kv, "a", 1); } emit_gguf("refuse", "tokens_arrays", &g);
    g = base(); cut(&g, "tokenizer.ggml.tokens"); string_array(&g, "tokenizer.ggml.tokens", "x", n - 1); emit_gguf("refuse", "tokens_fewer", &g);
    g = base(); cut(&g, "tokenizer.ggml.tokens"); string_array(&g, "tokenizer.ggml.tokens", "x", n + 1); emit_gguf("refuse", "tokens_more", &g);
    for (k = -1; k <= 1; k += 2) {
        uint64_t c = k < 0 ? n - 1 : n + 1;
        g = base(); cut(&g, "tokenizer.ggml.scores"); gguf_array(&g, "tokenizer.ggml.scores", LM_META_F32, c);
        for (i = 0; i < c; i++) put_f32(&g.kv, 0);
        emit_gguf("refuse", k < 0 ? "scores_fewer" : "scores_more", &g);
        g = base(); cut(&g, "tokenizer.ggml.token_type"); gguf_array(&g, "tokenizer.ggml.token_type", LM_META_I32, c);
        for (i = 0; i < c; i++) put_u32(&g.kv, 1);
        emit_gguf("refuse", k < 0 ? "types_fewer" : "types_more", &g);
    }
    g = base(); cut(&g, "tokenizer.ggml.scores"); gguf_array(&g, "tokenizer.ggml.scores", LM_META_STR, n);
    for (i = 0; i < n; i++) put_str(&g.kv, "0");
    emit_gguf("refuse", "scores_strings", &g);
    g = base(); cut(&g, "tokenizer.ggml.scores"); gguf_f32(&g, "tokenizer.ggml.scores", 0); emit_gguf("refuse", "scores_scalar", &g);
    g = base(); cut(&g, "tokenizer.ggml.token_type"); gguf_array(&g, "tokenizer.ggml.token_type", LM_META_F32, n);
    for (i = 0; i < n; i++) put_f32(&g.kv, 1);
    emit_gguf("refuse", "types_f32", &g);
    g = base(); cut(&g, "tokenizer.ggml.token_type"); gguf_array(&g, "tokenizer.ggml.token_type", LM_META_I32, n);
    for (i = 0; i < n; i++) put_u32(&g.kv, 99);
    emit_gguf("any", "types_99", &g);
    for (k = 0; k < 3; k++) {
        static const uint32_t bits[] = { 0x7fc00000u, 0x7f800000u, 0xff800000u }; entry e;
        g = base(); e = find(&g, "tokenizer.ggml.scores"); le(g.kv, e.type + 16 + 4 * 270, bits[k], 4); sprintf(name, "score_not_finite_%d", k);
        emit_gguf("refuse", name, &g);
    }
    for (k = 0; k < 8; k++) {
        char key[64]; int has = k < 3;
        sprintf(key, "tokenizer.ggml.%s_token_id", special[k]);
        g = base(); if (has) cut(&g, key);
        gguf_u32(&g, key, (uint32_t)n); sprintf(name, "special_%s_n_vocab", special[k]); emit_gguf("refuse", name, &g);
        g = base(); if (has) cut(&g, key);
        gguf_u32(&g, key, 0x7fffffff); sprintf(name, "special_%s_2_31", special[k]); emit_gguf("refuse", name, &g);
        g = base(); if (has) cut(&g, key);
        gguf_str(&g, key, "1"); sprintf(name, "special_%s_string", special[k]); emit_gguf("refuse", name, &g);
    }
    g = base(); cut(&g, "tokenizer.ggml.bos_token_id"); gguf_i32(&g, "tokenizer.ggml.bos_token_id", -5);
    emit_gguf("refuse", "special_bos_negative", &g);
    g = base(); cut(&g, "tokenizer.ggml.bos_token_id"); gguf_u64(&g, "tokenizer.ggml.bos_token_id", (uint64_t)1 << 32);
    emit_gguf("refuse", "special_bos_2_32", &g);
    g = base(); cut(&g, "tokenizer.ggml.add_bos_token"); gguf_u32(&g, "tokenizer.ggml.add_bos_token", 1); emit_gguf("refuse", "add_bos_u32", &g);
    g = base(); cut(&g, "tokenizer.ggml.add_eos_token"); gguf_str(&g, "tokenizer.ggml.add_eos_token", "no");
    emit_gguf("refuse", "add_eos_string", &g);
    for (k = 0; k < 10; k++) { g = base(); set_token(&g, 3 + 65, bytes_bad[k], strlen(bytes_bad[k])); sprintf(name, "byte_token_bad_%d", k);
        emit_gguf("refuse", name, &g); }
    g = base(); set_token(&g, 3 + 65, "<0x42>", 6); emit_gguf("any", "byte_token_twice", &g);
    g = base(); cut(&g, "tokenizer.ggml.model"); gguf_str(&g, "tokenizer.ggml.model", "bert"); emit_gguf("refuse", "model_bert", &g);
    g = base(); cut(&g, "tokenizer.ggml.model"); gguf_str(&g, "tokenizer.ggml.model", "nonsense\r\n\x01"); emit_gguf("refuse", "model_unknown", &g);
    g = base(); cut(&g, "tokenizer.ggml.model"); gguf_u32(&g, "tokenizer.ggml.model", 1); emit_gguf("refuse", "model_u32", &g);
    /* byte-level */
    g = base_bpe(); emit_gguf("ok", "odd_bpe_vocabulary", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.merges"); string_array(&g, "tokenizer.ggml.merges", "he", 3); emit_gguf("refuse", "merge_no_space", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.merges"); string_array(&g, "tokenizer.ggml.merges", "", 1); emit_gguf("refuse", "merge_empty", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.merges"); string_array(&g, "tokenizer.ggml.merges", " ", 1); emit_gguf("any", "merge_only_space", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.merges"); string_array(&g, "tokenizer.ggml.merges", "q z", 1); emit_gguf("any", "merge_of_no_token", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.merges"); string_array(&g, "tokenizer.ggml.merges", "h e", 20000); emit_gguf("any", "merge_repeated", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.merges"); gguf_array(&g, "tokenizer.ggml.merges", LM_META_U32, 3);
    for (i = 0; i < 3; i++) put_u32(&g.kv, 1);
    emit_gguf("refuse", "merges_u32", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.merges"); gguf_str(&g, "tokenizer.ggml.merges", "h e"); emit_gguf("refuse", "merges_string", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.merges"); emit_gguf("any", "merges_missing", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.pre"); gguf_str(&g, "tokenizer.ggml.pre", "no-such-split"); emit_gguf("refuse", "pre_unknown", &g);
    g = base_bpe(); cut(&g, "tokenizer.ggml.pre"); gguf_u32(&g, "tokenizer.ggml.pre", 1); emit_gguf("refuse", "pre_u32", &g);
    /* odd */
    g = base(); set_token(&g, 300, "\xff\xfe\x80", 3); emit_gguf("ok", "odd_token_not_utf8", &g);
    g = base(); set_token(&g, 300, "a\0b", 3); emit_gguf("ok", "odd_token_nul", &g);
    g = base(); set_token(&g, 300, "", 0); emit_gguf("ok", "odd_token_empty", &g);
    g = base(); set_token(&g, 300, "a", 1); emit_gguf("ok", "odd_token_twice", &g);
    big = (char *)malloc(200000);
    if (big == NULL) exit(1);
    memset(big, 'a', 200000);
    g = base(); set_token(&g, 300, big, 200000); emit_gguf("ok", "odd_token_200000", &g);
    free(big);
    g = base(); cut(&g, "tokenizer.ggml.model"); gguf_str(&g, "tokenizer.ggml.model", "no_vocab"); cut(&g, "tokenizer.ggml.tokens");
    cut(&g, "tokenizer.ggml.scores"); cut(&g, "tokenizer.ggml.token_type"); emit_gguf("notext", "odd_no_vocab", &g);
    g = base(); gguf_str(&g, "tokenizer.chat_template", "{% for x in y %}{{ broken"); emit_gguf("ok", "odd_template_broken", &g);
}

static void weights(void) {
    gguf_writer g = base(); int i, k; char name[100]; bytes b;
    static const uint16_t scale[] = { 0x7c00, 0xfc00, 0x7e00, 0xffff };
    int n = g.n_tensor;
    gguf_free(&g);
    for (i = 0; i < n; i++) {
        g = base();
        b.p = g.tensor[i].data; b.n = b.cap = g.tensor[i].n_bytes;
        if (strstr(g.tensor[i].name, "blk.1.")) { gguf_free(&g); continue; }
        if (g.tensor[i].type == 8) {
            le(b, 34 * (g.tensor[i].n_bytes / 34 - 1), scale[i & 3], 2); sprintf(name, "scale_%x_%.40s", (unsigned)scale[i & 3], g.tensor[i].name);
            emit_gguf("refuse", name, &g);
        } else {
            le(b, 8, i & 1 ? 0x7fc00000u : 0x7f800000u, 4); sprintf(name, "norm_not_finite_%.40s", g.tensor[i].name); emit_gguf("run", name, &g);
        }
    }
    for (k = 0; k < 2; k++) { /* finite weights whose sums overflow */
        g = base();
        for (i = 0; i < g.n_tensor; i++) {
            size_t at;
            b.p = g.tensor[i].data; b.n = b.cap = g.tensor[i].n_bytes;
            if (k == 0 && g.tensor[i].type == 8) for (at = 0; at < b.n; at += 34) le(b, at, 0x7bff, 2);
            if (k == 1 && g.tensor[i].type == 0) for (at = 0; at < b.n; at += 4) le(b, at, 0x7f7fffff, 4);
        }
        emit_gguf("any", k ? "norms_max" : "scales_max", &g);
    }
}

static void odd(void) {
    gguf_writer g; int i, k; bytes b; char name[64]; uint8_t zeros[64]; gguf_tensor_in t;
    memset(zeros, 0, sizeof zeros);
    g = base(); emit_gguf("ok", "odd_base", &g);
    g = base(); g.version = 2; emit_gguf("ok", "odd_version_2", &g);
    for (i = 0; i < 13; i++) { /* an extra key of every type */
        g = base(); gguf_key(&g, "x.extra", (uint32_t)i);
        if (i == LM_META_STR) put_str(&g.kv, "\x1b[31mred\nline two\x7f"); else if (i == LM_META_ARR) { put_u32(&g.kv, LM_META_I64);
            put_u64(&g.kv, 3); put_bytes(&g.kv, zeros, 24); }
        else put_bytes(&g.kv, zeros, (size_t[]){ 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 }[i]);
        sprintf(name, "odd_key_type_%d", i); emit_gguf("ok", name, &g);
    }
    g = base(); gguf_array(&g, "x.empty", LM_META_STR, 0); gguf_array(&g, "x.none", LM_META_U8, 0); gguf_str(&g, "x.blank", "");
    emit_gguf("ok", "odd_empty_values", &g);
    g = base(); gguf_array(&g, "x.nested", LM_META_ARR, 2); for (i = 0; i < 2; i++) { put_u32(&g.kv, LM_META_STR); put_u64(&g.kv, 2);
        put_str(&g.kv, "a"); put_str(&g.kv, "bc"); } emit_gguf("ok", "odd_nested_array", &g);
    g = base(); put_u64(&g.kv, 65535); for (i = 0; i < 65535; i++) put_bytes(&g.kv, "k", 1); put_u32(&g.kv, LM_META_U8); put_bytes(&g.kv, "", 1);
    g.n_kv++; emit_gguf("ok", "odd_key_65535", &g);
    g = base(); gguf_u32(&g, "schl\xc3\xbcssel \x01\n", 1); emit_gguf("ok", "odd_key_bytes", &g);
    g = base(); for (i = 0; i < 2000; i++) { sprintf(name, "x.%d", i); gguf_u32(&g, name, (uint32_t)i); } emit_gguf("ok", "odd_2000_keys", &g);
    g = base(); gguf_f32(&g, "x.nan", NAN); gguf_f32(&g, "x.inf", INFINITY); emit_gguf("ok", "odd_not_finite_extra", &g);
    for (i = 0; i < 4; i++) { /* integers in other widths */
        static const uint32_t width[] = { LM_META_U64, LM_META_I32, LM_META_U16, LM_META_I64 };
        static const char *const keys[] = { "llama.block_count", "llama.embedding_length", "llama.attention.head_count",
            "llama.feed_forward_length" };
        uint64_t v; entry e;
        g = base();
        for (k = 0; k < 4; k++) {
            e = find(&g, keys[k]); v = get_le(g.kv.p + e.type + 4, 4);
            cut(&g, keys[k]); gguf_key(&g, keys[k], width[i]);
            if (width[i] == LM_META_U16) { uint8_t c[2]; c[0] = (uint8_t)v; c[1] = (uint8_t)(v >> 8); put_bytes(&g.kv, c, 2); }
            else if (width[i] == LM_META_I32) put_u32(&g.kv, (uint32_t)v); else put_u64(&g.kv, v);
        }
        sprintf(name, "odd_int_width_%d", i); emit_gguf("ok", name, &g);
    }
    g = base(); cut(&g, "general.name"); emit_gguf("ok", "odd_no_name", &g);
    g = base(); cut(&g, "general.name"); gguf_str(&g, "general.name", "two\nlines \x1b[2J and a bell\a");
    emit_gguf("ok", "odd_name_control_bytes", &g);
    g = base(); gguf_u32(&g, "llama.attention.sliding_window", 0); emit_gguf("ok", "odd_window_0", &g);
    g = base(); gguf_u32(&g, "llama.expert_count", 0); emit_gguf("ok", "odd_experts_0", &g);
    g = base(); gguf_str(&g, "llama.rope.scaling.type", "none"); gguf_f32(&g, "llama.rope.scaling.factor", 4.0f);
    emit_gguf("ok", "odd_rope_none", &g);
    g = base(); gguf_u32(&g, "llama.attention.key_length", 8); gguf_u32(&g, "llama.attention.value_length", 8);
    emit_gguf("ok", "odd_head_sizes_given", &g);
    for (i = 0; i < 3; i++) { /* extra tensors, one of a type without a kernel here, one of four dimensions */
        uint8_t *d = (uint8_t *)calloc(1024, 1);
        if (d == NULL) exit(1);
        g = base(); gguf_tensor(&g, i == 1 ? "x.counts" : "x.extra.weight", i == 1 ? 26 : 0, i == 2 ? 4 : 1, i == 2 ? 2 : 16, i == 2 ? 2 : 1, d, 64);
        if (i == 2) { g.tensor[g.n_tensor - 1].dims[2] = 2; g.tensor[g.n_tensor - 1].dims[3] = 2; }
        sprintf(name, "odd_extra_tensor_%d", i); emit_gguf("ok", name, &g);
    }
    g = base(); for (i = 0; i < g.n_tensor / 2; i++) { t = g.tensor[i]; g.tensor[i] = g.tensor[g.n_tensor - 1 - i]; g.tensor[g.n_tensor - 1 - i] = t;
        } emit_gguf("ok", "odd_reverse_order", &g);
    g = base(); g.tensor[1].n_dims = 2; emit_gguf("ok", "odd_norm_2d", &g);
    g = base(); { /* holes between tensors: each one's data grows by unused bytes */
        for (i = 0; i < g.n_tensor; i++) {
            uint8_t *d = (uint8_t *)realloc(g.tensor[i].data, g.tensor[i].n_bytes + 96);
            if (d == NULL) exit(1);
            memset(d + g.tensor[i].n_bytes, 0xff, 96); g.tensor[i].data = d; g.tensor[i].n_bytes += 96;
        }
        emit_gguf("ok", "odd_holes", &g);
    }
    g = base(); b = gguf_write(&g); put_bytes(&b, "trailing bytes", 14); emit("ok", "odd_trailing", b.p, b.n); free(b.p); gguf_free(&g);
    g = base(); b = gguf_write(&g); k = (int)((32 - g.tensor[g.n_tensor - 1].n_bytes % 32) % 32);
    emit("ok", "odd_no_last_padding", b.p, b.n - (size_t)k); free(b.p); gguf_free(&g);
    g = base(); k = 0; for (i = 0; i < g.n_tensor; i++) if (strcmp(g.tensor[i].name, "output.weight") == 0) k = i;
    strcpy(g.tensor[k].name, "x.output"); emit_gguf("load", "odd_tied", &g);
}

int main(int argc, char **argv) {
    char path[500];
    if (argc != 2) { fputs("make_hostile: usage: make_hostile DIR\n", stderr); return 2; }
    dir = argv[1];
    sprintf(path, "%.400s/manifest", dir);
    manifest = fopen(path, "w");
    if (manifest == NULL) { fprintf(stderr, "make_hostile: %s: cannot write\n", path); return 1; }
    odd(); truncations(); headers(); metadata(); alignments(); directory(); hyperparameters(); vocabulary(); weights();
    if (fclose(manifest) != 0) { fprintf(stderr, "make_hostile: %s: cannot write\n", path); return 1; }
    printf("%d files\n", n_files);
    return 0;
}
