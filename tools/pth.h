/* Reads where the tensors of a PyTorch file are (.pth, pytorch_model.bin; torch.save since 1.6). The file is a zip archive, nothing in it
 * compressed: NAME/data.pkl, a pickle of a dictionary from names to tensors, and NAME/data/KEY, the bytes of one storage each.
 * A pickle is a program for Python's unpickler, whose instructions can call any function there is. Here it is data: an interpreter of the
 * instructions that a dictionary of tensors takes (docs.python.org, pickletools), with the few names below. Whatever else it asks for is
 * refused by name, and nothing is run. Values refer to each other by number and only one level of them is ever looked at, so no value is too
 * deep; each instruction makes at most one value and moves each at most once, so memory is at most some 64 times the pickle. */
#ifndef PTH_H
#define PTH_H
#include "tensors.h"

#define PTH_MAX_TABLE ((size_t)1 << 26) /* bytes of the archive's directory, and of the pickle */

/* ---- the archive (APPNOTE.TXT of PKWARE, with the 64-bit forms) */
typedef struct pth_entry { const char *name; size_t n_name; uint64_t header, n_bytes; int packed; } pth_entry;
typedef struct pth_zip { tensors *l; int file; const char *path; char *table; pth_entry *v; size_t n; uint64_t table_at; } pth_zip;

static inline uint64_t pth_le(const void *p, int n) {
    const unsigned char *c = (const unsigned char *)p; uint64_t v = 0;
    while (n-- > 0) v = v << 8 | c[n];
    return v;
}
static inline int pth_order(const void *a, const void *b) {
    const pth_entry *x = (const pth_entry *)a, *y = (const pth_entry *)b;
    int c = memcmp(x->name, y->name, x->n_name < y->n_name ? x->n_name : y->n_name);
    return c ? c : x->n_name < y->n_name ? -1 : x->n_name > y->n_name;
}
/* The directory's end is the last record, before a comment of up to 65535 bytes; 64-bit archives have a second one, and its address before it. */
static inline void pth_end(pth_zip *z, uint64_t *n, uint64_t *size) {
    static unsigned char tail[22 + 65535 + 20]; uint64_t at, have = z->l->file[z->file].size, k; unsigned char end[56]; size_t i, room;
    k = have < sizeof tail ? have : sizeof tail; room = (size_t)k;
    tensors_bytes(z->l, z->file, have - k, tail, room);
    for (i = room >= 22 ? room - 21 : 0; i > 0; i--) if (memcmp(tail + i - 1, "PK\5\6", 4) == 0 && pth_le(tail + i + 19, 2) == room - i - 21) break;
    if (i-- == 0) {
        end[0] = 0;
        if (have > 0) tensors_bytes(z->l, z->file, 0, end, 1);
        cli_die("%s: %s", z->path, end[0] == 0x80 ? "is a pickle as PyTorch wrote it before 1.6, which is not built in"
            : "is no zip archive, or is cut off");
    }
    *n = pth_le(tail + i + 10, 2); *size = pth_le(tail + i + 12, 4); z->table_at = pth_le(tail + i + 16, 4);
    if (i >= 20 && memcmp(tail + i - 20, "PK\6\7", 4) == 0) {
        at = pth_le(tail + i - 12, 8);
        tensors_bytes(z->l, z->file, at, end, sizeof end);
        if (memcmp(end, "PK\6\6", 4) != 0) cli_die("%s: the directory's 64-bit end is not where it should be", z->path);
        *n = pth_le(end + 32, 8); *size = pth_le(end + 40, 8); z->table_at = pth_le(end + 48, 8);
    }
    if (*size > PTH_MAX_TABLE || z->table_at > have || *size > have - z->table_at || *n > *size / 46)
        cli_die("%s: a directory of %llu entries and %llu bytes at %llu does not fit", z->path, (unsigned long long)*n, (unsigned long long)*size,
            (unsigned long long)z->table_at);
}
static inline void pth_open(pth_zip *z, tensors *l, const char *path) {
    uint64_t n, size, at = 0, i;
    memset(z, 0, sizeof *z);
    z->l = l; z->path = path; z->file = tensors_open(l, path);
    pth_end(z, &n, &size);
    z->table = (char *)cli_grow(NULL, (size_t)size); z->v = (pth_entry *)cli_grow(NULL, (size_t)n * sizeof *z->v);
    tensors_bytes(l, z->file, z->table_at, z->table, (size_t)size);
    for (i = 0; i < n; i++) {
        const char *p = z->table + at, *extra; pth_entry *e = &z->v[z->n++]; uint64_t n_extra, n_all, packed, id, k;
        if (size - at < 46 || memcmp(p, "PK\1\2", 4) != 0) {
            cli_die("%s: entry %llu of the directory is damaged", path, (unsigned long long)i);
            return;
        }
        e->name = p + 46; e->n_name = (size_t)pth_le(p + 28, 2); n_extra = pth_le(p + 30, 2); n_all = 46 + e->n_name + n_extra + pth_le(p + 32, 2);
        if (n_all > size - at) cli_die("%s: entry %llu of the directory is cut off", path, (unsigned long long)i);
        packed = pth_le(p + 20, 4); e->n_bytes = pth_le(p + 24, 4); e->header = pth_le(p + 42, 4);
        for (extra = e->name + e->n_name; n_extra >= 4; extra += 4 + k, n_extra -= 4 + k) {
            const char *x = extra + 4;
            id = pth_le(extra, 2); k = pth_le(extra + 2, 2);
            if (k > n_extra - 4) cli_die("%s: entry %llu of the directory is damaged", path, (unsigned long long)i);
            if (id != 1) continue;    /* 8 bytes for each field that is all ones */
            if (e->n_bytes == 0xffffffff && x + 8 <= extra + 4 + k) { e->n_bytes = pth_le(x, 8); x += 8; }
            if (packed == 0xffffffff && x + 8 <= extra + 4 + k) { packed = pth_le(x, 8); x += 8; }
            if (e->header == 0xffffffff && x + 8 <= extra + 4 + k) e->header = pth_le(x, 8);
        }
        e->packed = pth_le(p + 10, 2) != 0 || (pth_le(p + 8, 2) & 1) != 0 || packed != e->n_bytes;
        at += n_all;
    }
    qsort(z->v, z->n, sizeof *z->v, pth_order);
    for (i = 1; i < z->n; i++) if (pth_order(&z->v[i], &z->v[i - 1]) == 0)
        cli_die("%s: %.*s is in the archive twice", path, (int)(z->v[i].n_name & 255), z->v[i].name);
}
static inline const pth_entry *pth_find(const pth_zip *z, const char *folder, size_t n_folder, const char *sub, const char *name, size_t n) {
    char text[1024]; size_t k = strlen(sub), lo = 0, hi = z->n; pth_entry e;
    if (n_folder + k + n > sizeof text) return NULL;
    memcpy(text, folder, n_folder); memcpy(text + n_folder, sub, k); memcpy(text + n_folder + k, name, n);
    e.name = text; e.n_name = n_folder + k + n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2; int c = pth_order(&z->v[mid], &e);
        if (c == 0) return &z->v[mid];
        if (c < 0) lo = mid + 1; else hi = mid;
    }
    return NULL;
}
static inline uint64_t pth_place(const pth_zip *z, const pth_entry *e) { /* of its bytes, all of which are before the directory */
    unsigned char h[30]; uint64_t at; int n = (int)(e->n_name & 255);
    tensors_bytes(z->l, z->file, e->header, h, sizeof h);
    if (memcmp(h, "PK\3\4", 4) != 0 || pth_le(h + 26, 2) != e->n_name) cli_die("%s: %.*s is not where the directory says", z->path, n, e->name);
    at = e->header + 30 + e->n_name + pth_le(h + 28, 2);
    if (e->packed) cli_die("%s: %.*s is compressed, which torch.save never does", z->path, n, e->name);
    if (at > z->table_at || e->n_bytes > z->table_at - at) cli_die("%s: %.*s reaches beyond the archive's data", z->path, n, e->name);
    return at;
}

/* ---- the pickle's values */
typedef enum pth_kind { PTH_NONE, PTH_BOOL, PTH_INT, PTH_REAL, PTH_STR, PTH_GLOBAL, PTH_TUPLE, PTH_LIST, PTH_DICT, PTH_STORAGE, PTH_TENSOR,
    PTH_MARK } pth_kind;
typedef struct pth_value {
    pth_kind kind; int64_t i;         /* BOOL, INT; GLOBAL: its number; STORAGE: its elements */
    const char *text; size_t n;       /* STR; STORAGE: its key, TENSOR: its arguments (n: a tuple) */
    uint32_t *item, n_item, cap;      /* TUPLE, LIST; DICT: key, value, key, value ... */
    int type;                         /* STORAGE: its place in pth_storages */
} pth_value;
typedef struct pth_pickle {
    const char *path, *p, *start, *end;
    pth_value *v; uint32_t n, cap;
    uint32_t *stack, n_stack, stack_cap, *memo, n_memo;
} pth_pickle;

static const struct { const char *name; int size, type; } pth_storages[] = {
    { "torch FloatStorage", 4, TENSOR_F32 }, { "torch HalfStorage", 2, TENSOR_F16 }, { "torch BFloat16Storage", 2, TENSOR_BF16 },
    { "torch DoubleStorage", 8, TENSOR_OTHER }, { "torch LongStorage", 8, TENSOR_OTHER }, { "torch IntStorage", 4, TENSOR_OTHER },
    { "torch ShortStorage", 2, TENSOR_OTHER }, { "torch CharStorage", 1, TENSOR_OTHER }, { "torch ByteStorage", 1, TENSOR_OTHER },
    { "torch BoolStorage", 1, TENSOR_OTHER } };
#define PTH_N_STORAGES ((int)(sizeof pth_storages / sizeof pth_storages[0]))
enum { PTH_ORDERED_DICT = 100, PTH_REBUILD, PTH_PARAMETER };

CLI_PRINTF(2, 3) static inline void pth_bad(const pth_pickle *k, const char *fmt, ...) {
    char what[300]; va_list ap;
    va_start(ap, fmt); vsnprintf(what, sizeof what, fmt, ap); va_end(ap);
    cli_die("%s: its pickle, byte %lu: %s", k->path, (unsigned long)(k->p - k->start), what);
}
static inline const char *pth_take(pth_pickle *k, uint64_t n) {
    const char *p = k->p;
    if (n > (uint64_t)(k->end - p)) pth_bad(k, "ends too early");
    k->p += n;
    return p;
}
static inline void pth_push(pth_pickle *k, uint32_t v) {
    if (k->n_stack == k->stack_cap) k->stack = (uint32_t *)cli_grow(k->stack, (k->stack_cap = k->stack_cap * 2 + 256) * sizeof *k->stack);
    k->stack[k->n_stack++] = v;
}
static inline pth_value *pth_new(pth_pickle *k, pth_kind kind) { /* on the stack; valid until the next */
    pth_value *v;
    if (k->n == k->cap) k->v = (pth_value *)cli_grow(k->v, (size_t)(k->cap = k->cap * 2 + 256) * sizeof *v);
    v = &k->v[k->n]; memset(v, 0, sizeof *v); v->kind = kind;
    pth_push(k, k->n++);
    return v;
}
static inline void pth_int(pth_pickle *k, int64_t i) { pth_new(k, PTH_INT)->i = i; }
static inline void pth_str(pth_pickle *k, int n_length) {
    uint64_t n = pth_le(pth_take(k, (uint64_t)n_length), n_length); const char *p = pth_take(k, n); pth_value *v = pth_new(k, PTH_STR);
    v->text = p; v->n = (size_t)n;
}
static inline uint32_t pth_pop(pth_pickle *k) {
    if (k->n_stack == 0 || k->v[k->stack[k->n_stack - 1]].kind == PTH_MARK) pth_bad(k, "takes a value where there is none");
    return k->stack[--k->n_stack];
}
static inline uint32_t pth_mark(pth_pickle *k) { /* the place of the topmost mark */
    uint32_t i = k->n_stack;
    while (i > 0 && k->v[k->stack[i - 1]].kind != PTH_MARK) i--;
    if (i == 0) { pth_bad(k, "takes values down to a mark where there is none"); return 0; }
    return i - 1;
}
static inline void pth_append(pth_pickle *k, uint32_t to, uint32_t v) {
    pth_value *x = &k->v[to];
    if (x->n_item == x->cap) x->item = (uint32_t *)cli_grow(x->item, (x->cap = x->cap * 2 + 4) * sizeof *x->item);
    x->item[x->n_item++] = v;
}
/* What stands above `from` goes into the list or dictionary at the top below it (into: its kind), or into a new tuple. */
static inline void pth_collect(pth_pickle *k, uint32_t from, int marked, pth_kind into) {
    uint32_t i, n = k->n_stack, to;
    if (into == PTH_TUPLE) { pth_new(k, PTH_TUPLE); to = k->n - 1; }
    else {
        if (from == 0) { pth_bad(k, "adds values to nothing"); return; }
        to = k->stack[from - 1];
        if (k->v[to].kind != into || (into == PTH_DICT && (n - from - (uint32_t)marked) % 2))
            pth_bad(k, "adds values to what is no %s", into == PTH_LIST ? "list" : "dictionary");
    }
    for (i = from + (uint32_t)marked; i < n; i++) pth_append(k, to, k->stack[i]);
    k->n_stack = from;
    if (into == PTH_TUPLE) pth_push(k, to);
}
static inline void pth_tuple(pth_pickle *k, uint32_t n) {
    uint32_t i;
    for (i = 0; i < n; i++) if (k->n_stack <= i || k->v[k->stack[k->n_stack - 1 - i]].kind == PTH_MARK)
        pth_bad(k, "takes a value where there is none");
    pth_collect(k, k->n_stack - n, 0, PTH_TUPLE);
}
static inline const pth_value *pth_arg(const pth_pickle *k, uint32_t tuple, uint32_t i, pth_kind kind, const char *what) {
    const pth_value *t = &k->v[tuple];
    if (t->kind != PTH_TUPLE || i >= t->n_item || k->v[t->item[i]].kind != kind) {
        pth_bad(k, "argument %lu of %s is not what it should be", (unsigned long)i, what);
        return NULL;
    }
    return &k->v[t->item[i]];
}
static inline void pth_global(pth_pickle *k, const char *module, size_t n_module, const char *name, size_t n) {
    static const struct { const char *name; int id; } known[] = { { "collections OrderedDict", PTH_ORDERED_DICT },
        { "torch._utils _rebuild_tensor_v2", PTH_REBUILD },
        { "torch._utils _rebuild_parameter", PTH_PARAMETER } };
    char full[128]; int i, id = -1;
    snprintf(full, sizeof full, "%.*s %.*s", (int)(n_module < 60 ? n_module : 60), module, (int)(n < 60 ? n : 60), name);
    for (i = 0; i < 3; i++) if (strcmp(full, known[i].name) == 0) id = known[i].id;
    for (i = 0; i < PTH_N_STORAGES; i++) if (strcmp(full, pth_storages[i].name) == 0) id = i;
    if (id < 0 || n_module > 60 || n > 60) {
        full[strcspn(full, " ")] = '.';
        pth_bad(k, "asks for %s, which no file of tensors needs; refused, nothing was run", full);
    }
    pth_new(k, PTH_GLOBAL)->i = id;
}
static inline void pth_line(pth_pickle *k, const char **p, size_t *n) {
    const char *end = (const char *)memchr(k->p, '\n', (size_t)(k->end - k->p));
    if (end == NULL) { pth_bad(k, "a name without its end"); return; }
    *p = k->p; *n = (size_t)(end - k->p); k->p = end + 1;
}
static inline void pth_storage(pth_pickle *k) { /* ("storage", type, key, device, elements) */
    uint32_t t = pth_pop(k); const pth_value *tag = pth_arg(k, t, 0, PTH_STR, "a storage"), *type = pth_arg(k, t, 1, PTH_GLOBAL, "a storage"),
        *key = pth_arg(k, t, 2, PTH_STR, "a storage"), *n = pth_arg(k, t, 4, PTH_INT, "a storage"); pth_value s, *v;
    if (tag->n != 7 || memcmp(tag->text, "storage", 7) != 0 || type->i >= PTH_N_STORAGES || n->i < 0) pth_bad(k, "refers to what is no storage");
    memset(&s, 0, sizeof s); s.text = key->text; s.n = key->n; s.i = n->i; s.type = (int)type->i;
    v = pth_new(k, PTH_STORAGE); s.kind = PTH_STORAGE; *v = s;
}
static inline void pth_call(pth_pickle *k) { /* the three that are known; none does anything but describe */
    uint32_t args = pth_pop(k), f = pth_pop(k), i;
    if (k->v[f].kind != PTH_GLOBAL || k->v[args].kind != PTH_TUPLE) { pth_bad(k, "calls what is no function"); return; }
    switch ((int)k->v[f].i) {
        case PTH_ORDERED_DICT: if (k->v[args].n_item) pth_bad(k, "an OrderedDict made of a list"); pth_new(k, PTH_DICT); break;
        case PTH_PARAMETER: pth_arg(k, args, 0, PTH_TENSOR, "_rebuild_parameter"); pth_push(k, k->v[args].item[0]); break;
        case PTH_REBUILD:             /* storage, offset, shape, strides, requires_grad, hooks */
            pth_arg(k, args, 0, PTH_STORAGE, "_rebuild_tensor_v2"); pth_arg(k, args, 1, PTH_INT, "_rebuild_tensor_v2");
            pth_arg(k, args, 2, PTH_TUPLE, "_rebuild_tensor_v2"); pth_arg(k, args, 3, PTH_TUPLE, "_rebuild_tensor_v2");
            for (i = 2; i < 4; i++) if (k->v[k->v[args].item[i]].n_item != k->v[k->v[args].item[2]].n_item)
                pth_bad(k, "a tensor's shape and strides differ in length");
            pth_new(k, PTH_TENSOR)->n = args;
            break;
        default: pth_bad(k, "calls the type of a storage");
    }
}
static inline void pth_memo(pth_pickle *k, uint64_t i) {
    if (k->n_stack == 0) { pth_bad(k, "remembers a value where there is none"); return; }
    if (i >= (uint64_t)(k->end - k->start)) { pth_bad(k, "remembers value %llu, more than it can have", (unsigned long long)i); return; }
    while (k->n_memo <= i) {
        if ((k->n_memo & (k->n_memo - 1)) == 0) k->memo = (uint32_t *)cli_grow(k->memo, (size_t)(k->n_memo ? 2 * k->n_memo : 1) * sizeof *k->memo);
        k->memo[k->n_memo++] = UINT32_MAX;
    }
    k->memo[i] = k->stack[k->n_stack - 1];
}
static inline void pth_recall(pth_pickle *k, uint64_t i) {
    if (i >= k->n_memo || k->memo[i] == UINT32_MAX || k->v[k->memo[i]].kind == PTH_MARK)
        pth_bad(k, "recalls value %llu, which it has not", (unsigned long long)i);
    pth_push(k, k->memo[i]);
}
/* Runs the pickle to its end -> the number of the value that it leaves. */
static inline uint32_t pth_run(pth_pickle *k) {
    const char *a = NULL, *b = NULL; size_t na = 0, nb = 0; uint32_t x, y; int op;
    for (;;) switch (op = (unsigned char)*pth_take(k, 1)) {
        case 0x80: if ((unsigned char)*pth_take(k, 1) > 5) pth_bad(k, "an unknown protocol"); break;
        case 0x95: pth_take(k, 8); break;                                      /* FRAME */
        case '.': return pth_pop(k);                                           /* STOP */
        case '(': pth_new(k, PTH_MARK); break;
        case '0': pth_pop(k); break;                                           /* POP */
        case 'N': pth_new(k, PTH_NONE); break;
        case 0x88: case 0x89: pth_new(k, PTH_BOOL)->i = op == 0x88; break;
        case 'K': pth_int(k, (unsigned char)*pth_take(k, 1)); break;           /* BININT1, 2, 4, LONG1 */
        case 'M': pth_int(k, (int64_t)pth_le(pth_take(k, 2), 2)); break;
        case 'J': pth_int(k, (int64_t)(int32_t)(uint32_t)pth_le(pth_take(k, 4), 4)); break;
        case 0x8a: {
            int n = (unsigned char)*pth_take(k, 1); uint64_t v = 0;
            if (n > 8) pth_bad(k, "an integer of %d bytes", n);
            a = pth_take(k, (uint64_t)n); v = pth_le(a, n);
            if (n > 0 && n < 8 && (a[n - 1] & 0x80)) v |= UINT64_MAX << 8 * n;
            pth_int(k, (int64_t)v);
            break;
        }
        case 'G': pth_take(k, 8); pth_new(k, PTH_REAL); break;                 /* BINFLOAT: nothing that is read here */
        case 'X': pth_str(k, 4); break;                                        /* BINUNICODE, SHORT_BINUNICODE, BINUNICODE8 */
        case 0x8c: pth_str(k, 1); break;
        case 0x8d: pth_str(k, 8); break;
        case '}': pth_new(k, PTH_DICT); break;
        case ']': pth_new(k, PTH_LIST); break;
        case ')': pth_new(k, PTH_TUPLE); break;
        case 't': pth_collect(k, pth_mark(k), 1, PTH_TUPLE); break;
        case 0x85: case 0x86: case 0x87: pth_tuple(k, (uint32_t)op - 0x84); break;
        case 'a': if (k->n_stack < 2) pth_bad(k, "adds values to nothing"); pth_collect(k, k->n_stack - 1, 0, PTH_LIST); break;
        case 'e': pth_collect(k, pth_mark(k), 1, PTH_LIST); break;
        case 's': if (k->n_stack < 3) pth_bad(k, "adds values to nothing"); pth_collect(k, k->n_stack - 2, 0, PTH_DICT); break;
        case 'u': pth_collect(k, pth_mark(k), 1, PTH_DICT); break;
        case 'q': pth_memo(k, (unsigned char)*pth_take(k, 1)); break;          /* BINPUT, LONG_BINPUT, MEMOIZE */
        case 'r': pth_memo(k, pth_le(pth_take(k, 4), 4)); break;
        case 0x94: pth_memo(k, k->n_memo); break;
        case 'h': pth_recall(k, (unsigned char)*pth_take(k, 1)); break;        /* BINGET, LONG_BINGET */
        case 'j': pth_recall(k, pth_le(pth_take(k, 4), 4)); break;
        case 'c': pth_line(k, &a, &na); pth_line(k, &b, &nb); pth_global(k, a, na, b, nb); break;
        case 0x93:                                                             /* STACK_GLOBAL */
            y = pth_pop(k); x = pth_pop(k);
            if (k->v[x].kind != PTH_STR || k->v[y].kind != PTH_STR) pth_bad(k, "asks for what is no name");
            pth_global(k, k->v[x].text, k->v[x].n, k->v[y].text, k->v[y].n);
            break;
        case 'Q': pth_storage(k); break;                                       /* BINPERSID */
        case 'R': pth_call(k); break;                                          /* REDUCE */
        case 'b':                                                              /* BUILD: a state_dict's own attributes, passed over */
            pth_pop(k); x = pth_pop(k); pth_push(k, x);
            if (k->v[x].kind != PTH_DICT) pth_bad(k, "sets attributes of what is no dictionary");
            break;
        default: pth_bad(k, "instruction 0x%02x%s, which no file of tensors needs; refused, nothing was run", (unsigned)op, op == 'i' ? " INST"
            : op == 'o' ? " OBJ"
                : op == 0x81 ? " NEWOBJ" : op == 0x92 ? " NEWOBJ_EX" : op >= 0x82 && op <= 0x84 ? " EXT" : "");
    }
}

/* ---- from the pickle's values to tensors */
/* A tensor's place in its storage. What rows or columns that lie apart have, or elements that stand twice, keeps the tensor from being used. */
static inline uint64_t pth_tensor(const pth_pickle *k, const pth_zip *z, const char *folder, size_t n_folder, const pth_value *name,
    const pth_value *v) {
    const pth_value *args = &k->v[v->n], *s = &k->v[args->item[0]], *shape = &k->v[args->item[2]], *stride = &k->v[args->item[3]]; tensor *t;
    uint32_t i;
    const pth_entry *e = pth_find(z, folder, n_folder, "data/", s->text, s->n); uint64_t n = 1, last = 0, size = (uint64_t)pth_storages[s->type].size;
    int64_t first = k->v[args->item[1]].i; int plain = 1;
    if (e == NULL) { cli_die("%s: the storage of the tensor %.*s is not in the archive", k->path, (int)(name->n & 255), name->text); return 0; }
    t = tensors_add(z->l, z->file, name->text, name->n);
    t->kind = pth_storages[s->type].name + 6; t->type = pth_storages[s->type].type; t->n_dims = (int)shape->n_item;
    for (i = shape->n_item; i-- > 0; ) {
        const pth_value *d = &k->v[shape->item[i]], *w = &k->v[stride->item[i]]; uint64_t dim = (uint64_t)d->i, step = (uint64_t)w->i;
        if (d->kind != PTH_INT || w->kind != PTH_INT || d->i < 0 || w->i < 0)
            cli_die("%s: the tensor %s has a negative shape or stride", k->path, t->name);
        if (dim == 1) step = n;
        if (step != n) plain = 0;
        if (i < 4) { t->dims[i] = dim; t->stride[i] = step; }
        if (dim > 1 && step > (((uint64_t)1 << 56) - last) / (dim - 1)) cli_die("%s: the tensor %s is larger than any file", k->path, t->name);
        if (dim > 1) last += (dim - 1) * step;
        if (dim > 0 && n > ((uint64_t)1 << 56) / dim) cli_die("%s: the tensor %s is larger than any file", k->path, t->name);
        n *= dim;
    }
    if (first < 0 || (uint64_t)s->i > e->n_bytes / size || (n > 0 && ((uint64_t)first > (uint64_t)s->i || last >= (uint64_t)s->i - (uint64_t)first)))
        cli_die("%s: the tensor %s reaches beyond its storage of %llu bytes", k->path, t->name, (unsigned long long)e->n_bytes);
    t->offset = pth_place(z, e) + (n > 0 ? (uint64_t)first * size : 0);
    if (!plain && !(t->n_dims == 2 && ((t->stride[1] == 1 && t->stride[0] >= t->dims[1]) || (t->stride[0] == 1 && t->stride[1] >= t->dims[0])))) {
        t->type = TENSOR_OTHER; t->kind = "elements that lie apart";
    }
    return n > last + 1 ? (last + 1) * size : n * size;
}
static inline void pth_check_order(pth_zip *z, const char *folder, size_t n_folder) { /* of bytes: "little", or nothing */
    const pth_entry *e = pth_find(z, folder, n_folder, "", "byteorder", 9); char text[3];
    if (e == NULL || e->n_bytes < 3) return;
    tensors_bytes(z->l, z->file, pth_place(z, e), text, 3);
    if (memcmp(text, "big", 3) == 0) cli_die("%s: its numbers are big-endian, which is not built in", z->path);
}
static inline void pth_read(tensors *l, const char *path) {
    pth_zip z; pth_pickle k; const pth_entry *e = NULL; size_t i, n_folder = 0; char *text; uint32_t root, x; uint64_t total = 0;
    memset(&k, 0, sizeof k);
    pth_open(&z, l, path);
    for (i = 0; i < z.n; i++) if (z.v[i].n_name >= 9 && memcmp(z.v[i].name + z.v[i].n_name - 9, "/data.pkl", 9) == 0) {
        if (e) cli_die("%s: has two pickles, %.*s and %.*s", path, (int)(e->n_name & 255), e->name, (int)(z.v[i].n_name & 255), z.v[i].name);
        e = &z.v[i];
    }
    if (e == NULL) { cli_die("%s: a zip archive without data.pkl, which torch.save writes", path); return; }
    n_folder = e->n_name - 8;
    pth_check_order(&z, e->name, n_folder);
    if (e->n_bytes > PTH_MAX_TABLE) cli_die("%s: its pickle has %llu bytes", path, (unsigned long long)e->n_bytes);
    text = (char *)cli_grow(NULL, (size_t)e->n_bytes);
    tensors_bytes(l, z.file, pth_place(&z, e), text, (size_t)e->n_bytes);
    k.path = path; k.p = k.start = text; k.end = text + e->n_bytes;
    root = pth_run(&k);
    if (k.v[root].kind != PTH_DICT) cli_die("%s: is no dictionary of tensors", path);
    for (x = 0; x + 1 < k.v[root].n_item; x += 2) {
        const pth_value *name = &k.v[k.v[root].item[x]], *v = &k.v[k.v[root].item[x + 1]];
        if (name->kind != PTH_STR) { cli_die("%s: has a tensor whose name is no text", path); return; }
        if (v->kind != PTH_TENSOR) cli_die("%s: %.*s is no tensor", path, (int)(name->n & 255), name->text);
        total += pth_tensor(&k, &z, e->name, n_folder, name, v);
        if (total / 2 > l->file[z.file].size) cli_die("%s: its tensors are larger than the file, since they share their bytes", path);
    }
    for (x = 0; x < k.n; x++) free(k.v[x].item);
    free(k.v); free(k.stack); free(k.memo); free(text); free(z.v); free(z.table);
}
#endif /* PTH_H */
