/* Checkpoints of a training run: step-00000500.ckpt in the run's folder. Header-only.
 *   checkpoint_lock("run");                                one process a folder; the lock ends with the process, however that ends
 *   checkpoint_save(&c, "run/step-00000500.ckpt");         written aside, flushed, renamed: the file is whole or not there
 *   if (checkpoint_newest("run", &c, path, sizeof path, &damaged)) ...   the newest that is whole and fits
 *   checkpoint_prune("run", 3);                            the last three stay
 *
 * The file, little-endian:
 *    0  8 bytes  "LMTRAIN1"                    16  u64  checksum of all that follows
 *    8  u64      bytes of the file             24  u64  bytes of the configuration's text, numbers of state, floats of one array, arrays
 *   56  the text, filled up with zeros to a multiple of 8;  state [n] u64;  arrays of float32: weights, both moments and, where there is one,
 *       their moving average; filled up to a multiple of 8 bytes
 * A file that was cut off, or in which a bit is another, has another checksum: it is passed over and the one before is taken. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H
#include "dataset.h"
#ifndef _WIN32
#include <dirent.h>
#include <fcntl.h>
#endif

#define CHECKPOINT_HEAD 56
#define CHECKPOINT_PIECE 65536        /* bytes at once */
#define CHECKPOINT_ARRAYS 4

typedef struct checkpoint {
    const char *text;                 /* config_text: what the run is. A file with another one does not fit */
    uint64_t *state; size_t n_state;
    float *array[CHECKPOINT_ARRAYS]; int n_arrays; size_t n_floats;
} checkpoint;

/* ---- folders */
static inline int checkpoint_folder(const char *path) { /* made where it is not there; 0: cannot be had */
    if (cli_what(path) == CLI_FOLDER) return 1;
#ifdef _WIN32
    { wchar_t *p = cli_wide(path); int ok = CreateDirectoryW(p, NULL) != 0; free(p); return ok; }
#else
    return mkdir(path, 0777) == 0;
#endif
}
static inline void checkpoint_remove(const char *path) {
#ifdef _WIN32
    wchar_t *p = cli_wide(path); DeleteFileW(p); free(p);
#else
    remove(path);
#endif
}
/* The steps of the checkpoints of a folder, largest first -> how many; malloc'd. stale: what a killed process left unfinished is removed. */
static inline int checkpoint_later(const void *a, const void *b) { uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0; }
static inline void checkpoint_entry(const char *folder, const char *name, int stale, uint64_t **steps, size_t *n) {
    const char *end = strstr(name, ".ckpt"), *temp = strstr(name, ".tmp"); uint64_t step; char path[4400];
    if (stale && temp && cli_u64(temp + 4, strlen(temp + 4), &step)) { snprintf(path, sizeof path, "%.4096s/%.255s", folder, name);
        checkpoint_remove(path); return; }
    if (end == NULL || strncmp(name, "step-", 5) != 0 || strcmp(end, ".ckpt") != 0 || !cli_u64(name + 5, (size_t)(end - name) - 5, &step)) return;
    *steps = (uint64_t *)cli_grow(*steps, (*n + 1) * sizeof **steps);
    (*steps)[(*n)++] = step;
}
static inline size_t checkpoint_list(const char *folder, int stale, uint64_t **steps) {
    size_t n = 0;
#ifdef _WIN32
    WIN32_FIND_DATAW found; char name[1024], pattern[4200]; wchar_t *p; HANDLE h;
    *steps = NULL;
    snprintf(pattern, sizeof pattern, "%.4096s\\*", folder);
    p = cli_wide(pattern); h = FindFirstFileW(p, &found);
    free(p);
    if (h == INVALID_HANDLE_VALUE) return 0;
    do if (WideCharToMultiByte(CP_UTF8, 0, found.cFileName, -1, name, sizeof name, NULL, NULL)) checkpoint_entry(folder, name, stale, steps, &n);
    while (FindNextFileW(h, &found));
    FindClose(h);
#else
    DIR *d = opendir(folder); struct dirent *e;
    *steps = NULL;
    if (d == NULL) return 0;
    while ((e = readdir(d)) != NULL) checkpoint_entry(folder, e->d_name, stale, steps, &n);
    closedir(d);
#endif
    if (n > 1) qsort(*steps, n, sizeof **steps, checkpoint_later);
    return n;
}
static inline void checkpoint_name(const char *folder, uint64_t step, char *path, size_t cap) {
    snprintf(path, cap, "%.4000s/step-%08llu.ckpt", folder, (unsigned long long)step);
}
static inline void checkpoint_prune(const char *folder, size_t keep) {
    uint64_t *step; char path[4200]; size_t n = checkpoint_list(folder, 0, &step), i;
    for (i = keep; i < n; i++) { checkpoint_name(folder, step[i], path, sizeof path); checkpoint_remove(path); }
    free(step);
}
static inline void checkpoint_lock(const char *folder) {
    char path[4200];
#ifdef _WIN32
    wchar_t *p; HANDLE h;
    snprintf(path, sizeof path, "%.4096s/lock", folder);
    p = cli_wide(path); h = CreateFileW(p, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    free(p);
    if (h == INVALID_HANDLE_VALUE) cli_die("%s: another process trains in this folder, or it cannot be written", folder);
#else
    struct flock l; int f;
    snprintf(path, sizeof path, "%.4096s/lock", folder);
    f = open(path, O_RDWR | O_CREAT, 0666);
    if (f < 0) cli_die("%s: %s", path, strerror(errno));
    memset(&l, 0, sizeof l);
    l.l_type = F_WRLCK; l.l_whence = SEEK_SET;
    if (fcntl(f, F_SETLK, &l) != 0) cli_die("%s: another process trains in this folder", folder); /* f stays open to the end */
#endif
}

/* ---- writing */
typedef struct checkpoint_out { FILE *f; const char *path; uint64_t sum; } checkpoint_out; /* what comes in is a multiple of 8 bytes */
static inline void checkpoint_put(checkpoint_out *o, const unsigned char *p, size_t n) {
    o->sum = dataset_sum(o->sum, p, n);
    if (fwrite(p, 1, n, o->f) != n) cli_die("%s: %s", o->path, strerror(errno));
}
static inline size_t checkpoint_pad(size_t n) { return (n + 7) / 8 * 8; }
static inline void checkpoint_floats(checkpoint_out *o, const float *x, size_t n) {
    static unsigned char piece[CHECKPOINT_PIECE]; size_t i, k; uint32_t u;
    for (; n > 0; n -= k, x += k) {
        k = n < sizeof piece / 4 ? n : sizeof piece / 4;
        for (i = 0; i < k; i++) { memcpy(&u, &x[i], 4); dataset_put(piece + 4 * i, u, 4); }
        if (k % 2) memset(piece + 4 * k, 0, 4);
        checkpoint_put(o, piece, checkpoint_pad(4 * k));
    }
}
static inline void checkpoint_save(const checkpoint *c, const char *path) { /* a disk that is full ends the program, and the old files stay */
    unsigned char head[CHECKPOINT_HEAD], word[8]; checkpoint_out o; size_t n_text = strlen(c->text), i; int a; char *text;
    uint64_t size = CHECKPOINT_HEAD + checkpoint_pad(n_text) + 8 * c->n_state + (uint64_t)c->n_arrays * checkpoint_pad(4 * c->n_floats);
    o.path = path; o.f = cli_create(path); o.sum = DATASET_SUM;
    memcpy(head, "LMTRAIN1", 8); dataset_put(head + 8, size, 8); dataset_put(head + 16, 0, 8);
    dataset_put(head + 24, n_text, 8); dataset_put(head + 32, c->n_state, 8); dataset_put(head + 40, c->n_floats, 8);
    dataset_put(head + 48, (uint64_t)c->n_arrays, 8);
    if (fwrite(head, 1, 24, o.f) != 24) cli_die("%s: %s", path, strerror(errno));
    checkpoint_put(&o, head + 24, CHECKPOINT_HEAD - 24);
    text = (char *)cli_grow(NULL, n_text + 8); memset(text, 0, n_text + 8); memcpy(text, c->text, n_text);
    checkpoint_put(&o, (const unsigned char *)text, checkpoint_pad(n_text));
    free(text);
    for (i = 0; i < c->n_state; i++) { dataset_put(word, c->state[i], 8); checkpoint_put(&o, word, 8); }
    for (a = 0; a < c->n_arrays; a++) checkpoint_floats(&o, c->array[a], c->n_floats);
    dataset_put(head + 16, o.sum, 8);
    if (cli_seek(o.f, 0) != 0 || fwrite(head, 1, 24, o.f) != 24) cli_die("%s: %s", path, strerror(errno));
    cli_commit(o.f, path);
}

/* ---- reading */
/* What is wrong with a file as such; NULL: it is whole. Its head is then in head, its text in *text (malloc'd), and f stands behind it. */
static inline const char *checkpoint_check(FILE *f, unsigned char *head, char **text) {
    static unsigned char piece[CHECKPOINT_PIECE]; uint64_t sum = DATASET_SUM, left, n_text, want; int64_t size = cli_size(f); size_t k;
    *text = NULL;
    if (size < CHECKPOINT_HEAD || cli_seek(f, 0) != 0 || fread(head, 1, CHECKPOINT_HEAD, f) != CHECKPOINT_HEAD) return "is cut off";
    if (memcmp(head, "LMTRAIN1", 8) != 0) return "is no checkpoint";
    if (dataset_get(head + 8, 8) != (uint64_t)size || size % 8 != 0) return "is cut off";
    sum = dataset_sum(sum, head + 24, CHECKPOINT_HEAD - 24);
    for (left = (uint64_t)size - CHECKPOINT_HEAD; left > 0; left -= k) {
        k = left < sizeof piece ? (size_t)left : sizeof piece;
        if (fread(piece, 1, k, f) != k) return "cannot be read";
        sum = dataset_sum(sum, piece, k);
    }
    if (sum != dataset_get(head + 16, 8)) return "is damaged: its checksum is another";
    n_text = dataset_get(head + 24, 8); want = (uint64_t)size - CHECKPOINT_HEAD;
    if (n_text > want || n_text > 1 << 24) return "is damaged: its sizes";
    *text = (char *)cli_grow(NULL, (size_t)n_text + 8);
    if (cli_seek(f, CHECKPOINT_HEAD) != 0 || fread(*text, 1, checkpoint_pad((size_t)n_text),
        f) != checkpoint_pad((size_t)n_text)) return "cannot be read";
    (*text)[n_text] = 0;
    return NULL;
}
static inline void checkpoint_read_floats(FILE *f, const char *path, float *x, size_t n) {
    static unsigned char piece[CHECKPOINT_PIECE]; size_t i, k; uint32_t u;
    for (; n > 0; n -= k, x += k) {
        k = n < sizeof piece / 4 ? n : sizeof piece / 4;
        if (fread(piece, 1, checkpoint_pad(4 * k), f) != checkpoint_pad(4 * k)) cli_die("%s: cannot be read", path);
        for (i = 0; i < k; i++) { u = (uint32_t)dataset_get(piece + 4 * i, 4); memcpy(&x[i], &u, 4); }
    }
}
/* The first line in which two configurations differ, "lr=1, was lr=2"; in a buffer that the next call reuses. */
static inline const char *checkpoint_difference(const char *now, const char *was) {
    static char text[300]; size_t a, b;
    for (; *now && *was; now += a + (now[a] == '\n'), was += b + (was[b] == '\n')) {
        a = strcspn(now, "\n"); b = strcspn(was, "\n");
        if (a != b || memcmp(now, was, a) != 0) { snprintf(text, sizeof text, "%.*s, was %.*s", (int)(a < 120 ? a : 120), now,
            (int)(b < 120 ? b : 120), was); return text; }
    }
    a = strcspn(now, "\n"); b = strcspn(was, "\n");
    snprintf(text, sizeof text, "%.*s, was %.*s", a ? (int)(a < 120 ? a : 120) : 7, a ? now : "nothing", b ? (int)(b < 120 ? b : 120) : 7, b ? was : "nothing");
    return text;
}
/* 1: read. 0: the file is damaged, which *why tells. A sound file of another run ends the program, unless `any` is set and the sizes fit. */
static inline int checkpoint_load(const char *path, checkpoint *c, int any, const char **why) {
    unsigned char head[CHECKPOINT_HEAD], word[8]; char *text; FILE *f = cli_fopen(path, "rb"); size_t i; int a;
    if (f == NULL) { *why = strerror(errno); return 0; }
    *why = checkpoint_check(f, head, &text);
    if (*why) { free(text); fclose(f); return 0; }
    if (!any && strcmp(text, c->text) != 0)
        cli_die("%s: is of a run with another configuration: %s (resume: \"never\" begins anew, \"force\" goes on)", path,
            checkpoint_difference(c->text, text));
    if (dataset_get(head + 32, 8) != c->n_state || dataset_get(head + 40, 8) != c->n_floats || dataset_get(head + 48, 8) != (uint64_t)c->n_arrays)
        cli_die("%s: is of another model or other sources", path);
    free(text);
    for (i = 0; i < c->n_state; i++) {
        if (fread(word, 1, 8, f) != 8) cli_die("%s: cannot be read", path);
        c->state[i] = dataset_get(word, 8);
    }
    for (a = 0; a < c->n_arrays; a++) checkpoint_read_floats(f, path, c->array[a], c->n_floats);
    fclose(f);
    return 1;
}
/* 0: there is none. *n_damaged: newer files that were passed over, *why: what is wrong with the last of them. */
static inline int checkpoint_newest(const char *folder, checkpoint *c, int any, char *path, size_t cap, int *n_damaged, const char **why) {
    uint64_t *step; size_t n = checkpoint_list(folder, 1, &step), i; int found = 0;
    *n_damaged = 0; *why = NULL;
    for (i = 0; i < n && !found; i++) {
        checkpoint_name(folder, step[i], path, cap);
        found = checkpoint_load(path, c, any, why);
        *n_damaged += !found;
    }
    free(step);
    return found;
}
#endif /* CHECKPOINT_H */
