/* What the programs share: options, numbers, errors, progress, files, UTF-8, JSON text, opening a model.
 * Header-only; each program is one file and includes this first. A program that fails prints `program: what: why` as one line on
 * stderr and exits with 1, bad usage exits with 2. Results go to stdout. No program calls setlocale, so strtod and printf read and
 * write numbers in the C locale whatever the environment says. */
#ifndef CLI_H
#define CLI_H

#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L       /* isatty, fileno, fsync, fseeko and the clock also under -std=c99 */
#endif
#if !defined(_WIN32) && !defined(_FILE_OFFSET_BITS)
#define _FILE_OFFSET_BITS 64          /* places in files beyond 2 GiB on 32-bit systems too */
#endif
#include "../llama.h"
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#include <shellapi.h>
#include <fcntl.h>
#include <io.h>
#else
#include <sys/stat.h>
#include <unistd.h>
#endif

#if defined(__MINGW32__)
#define CLI_PRINTF(fmt, args) __attribute__((format(gnu_printf, fmt, args)))
#elif defined(__GNUC__)
#define CLI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CLI_PRINTF(fmt, args)
#endif
#define CLI_DEFAULT_MODEL "models/SmolLM2-135M-Instruct.Q4_1.gguf"
#define CLI_MAX_TEXT ((size_t)1 << 30) /* bytes of one input; what does not end is an error, not a hang */

/* The program's name, the values of the common options, and what they open. */
static struct {
    const char *program, *model;
    int n_threads, n_ctx, cache, compute, plain; /* 0: the library's defaults; cache and compute are the API's enums */
    lm_model *m;
    lm_ctx   *c;
    const char *temp;                 /* an unfinished output file, removed when the program fails */
    jmp_buf *rescue;                  /* where a failure goes on, after its line, in a program that a user talks to; NULL: it ends */
    int tty, line, quiet;             /* stderr is a terminal; a progress line stands on it; no more progress */
} cli;

typedef struct cli_adapter { char *path; float scale; lm_adapter *a; } cli_adapter;
static struct { cli_adapter *v; int n; } cli_adapters; /* those of --lora */

/* ---- errors */
static inline void cli_clear(void) { if (cli.line) fputs("\r\033[K", stderr); cli.line = 0; }
static inline void cli_vreport(const char *fmt, va_list ap) { /* one line: control bytes of names are escaped */
    char text[1024]; const char *p;
    vsnprintf(text, sizeof text, fmt, ap);
    cli_clear();
    fprintf(stderr, "%s: ", cli.program);
    for (p = text; *p; p++) {
        if ((unsigned char)*p < 32 || *p == 127) fprintf(stderr, "\\x%02x", (unsigned)(unsigned char)*p); else fputc(*p, stderr);
    }
    fputc('\n', stderr);
}
CLI_PRINTF(1, 2) static inline void cli_note(const char *fmt, ...) { va_list ap; va_start(ap, fmt); cli_vreport(fmt, ap); va_end(ap); }
CLI_PRINTF(1, 2) static inline void cli_die(const char *fmt, ...) {
    va_list ap;
    fflush(stdout);
    va_start(ap, fmt); cli_vreport(fmt, ap); va_end(ap);
    if (cli.temp) { remove(cli.temp); free((void *)(uintptr_t)cli.temp); cli.temp = NULL; }
    if (cli.rescue) longjmp(*cli.rescue, 1);
    exit(1);
}
CLI_PRINTF(1, 2) static inline void cli_usage(const char *fmt, ...) { va_list ap; va_start(ap, fmt); cli_vreport(fmt, ap); va_end(ap); exit(2); }
static inline void *cli_grow(void *old, size_t n_bytes) {
    void *p = realloc(old, n_bytes ? n_bytes : 1);
    if (p == NULL) cli_die("memory: %lu bytes cannot be had", (unsigned long)n_bytes);
    return p;
}
static inline void cli_flush(void) { if (fflush(stdout) != 0 || ferror(stdout)) cli_die("stdout: cannot be written: %s", strerror(errno)); }
static inline int cli_end(void) { /* the last call of every main */
    int i;
    cli_flush();
    lm_ctx_close(cli.c);
    for (i = 0; i < cli_adapters.n; i++) { lm_adapter_close(cli_adapters.v[i].a); free(cli_adapters.v[i].path); }
    free(cli_adapters.v);
    lm_model_close(cli.m);
    return 0;
}

/* ---- progress, only where stderr is a terminal and the work takes longer than a moment: "label 42%", of bytes "label 42%, 12.3 of 29.1 MB, 250 MB/s,
 * 3 s left"; gone when done */
static inline double cli_seconds(void) { /* since 1970 */
#ifdef _WIN32
    FILETIME t; GetSystemTimeAsFileTime(&t);
    return ((double)t.dwHighDateTime * 4294967296.0 + (double)t.dwLowDateTime) * 1e-7 - 11644473600.0;
#else
    struct timespec t; clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
#endif
}
static inline void cli_progress_line(const char *label, uint64_t done, uint64_t total, int bytes) {
    static const char *current; static double start; static int last; int percent = total ? (int)((double)done * 100 / (double)total) : 0; double s, mb;
    if (!cli.tty || cli.quiet) return;
    if (label != current) { current = label; start = cli_seconds(); last = -1; }
    if (done >= total) { cli_clear(); current = NULL; return; }
    if (percent == last || (s = cli_seconds() - start) <= 0.3) return;
    fprintf(stderr, "\r%s %d%%", label, percent);
    mb = (double)done / 1e6 / s;       /* a second */
    if (bytes && done > 0) fprintf(stderr, ", %.1f of %.1f MB, %.0f MB/s, %.0f s left", (double)done / 1e6, (double)total / 1e6, mb, (double)(total - done) / 1e6 / mb);
    fputs("\033[K", stderr);
    cli.line = 1; last = percent;
}
static inline void cli_progress(const char *label, uint64_t done, uint64_t total) { cli_progress_line(label, done, total, 0); }
static inline void cli_progress_bytes(const char *label, uint64_t done, uint64_t total) { cli_progress_line(label, done, total, 1); }
static inline int cli_progress_hook(void *label, uint64_t done, uint64_t total) { cli_progress((const char *)label, done, total); return 0; }
static inline void cli_log_hook(void *label, int level, const char *line) {
    (void)label;
    if (level <= 1 && cli.tty) cli_note("warning: %s", line);
}

/* ---- numbers: the whole text or nothing, no blanks, no hexadecimal, no "nan". 1: done */
static inline int cli_u64(const char *s, size_t n, uint64_t *out) {
    uint64_t v = 0; size_t i;
    for (i = 0; i < n; i++) {
        unsigned d = (unsigned)(unsigned char)s[i] - '0';
        if (d > 9 || v > (UINT64_MAX - d) / 10) return 0;
        v = v * 10 + d;
    }
    *out = v;
    return n > 0;
}
static inline int cli_int(const char *s, size_t n, int lo, int hi, int *out) {
    uint64_t v; int neg = n > 0 && *s == '-'; int64_t x;
    if (!cli_u64(s + neg, n - (size_t)neg, &v) || v > INT_MAX) return 0;
    x = neg ? -(int64_t)v : (int64_t)v;
    if (x < lo || x > hi) return 0;
    *out = (int)x;
    return 1;
}
static inline int cli_real(const char *s, double lo, double hi, float *out) {
    char *end; double v;
    if (*s == 0 || strspn(s, "0123456789+-.eE") != strlen(s)) return 0;
    v = strtod(s, &end);
    if (*end != 0 || !(v >= lo && v <= hi)) return 0;
    *out = (float)v;
    return 1;
}

/* ---- options: one table gives the parser and --help */
typedef enum cli_kind {
    CLI_FLAG,                         /* int = 1 */
    CLI_INT, CLI_REAL,                /* int, float, from lo to hi */
    CLI_TEXT,                         /* const char * */
    CLI_CHOICE,                       /* int = position in the list `value`, which is written a|b|c */
    CLI_CALL                          /* call(to, text) judges; 0: bad value */
} cli_kind;
typedef struct cli_option {
    const char *name, *value; cli_kind kind; void *to; double lo, hi; int (*call)(void *to, const char *text);
    const char *help;                 /* unit and default */
} cli_option;
#define CLI_MODEL(need) { "-m", "MODEL.gguf", CLI_TEXT, &cli.model, 0, 0, NULL, need "; -: stdin" }
#define CLI_CTX(dflt) { "-c", "CTX", CLI_INT, &cli.n_ctx, 1, INT_MAX, NULL, "context in tokens (default: " dflt ")" }
#define CLI_OWN_CTX "the smaller of the model's own and 4096"
#define CLI_COMPUTE \
    { "-t", "THREADS", CLI_INT, &cli.n_threads, 1, 1024, NULL, "threads (default: physical cores)" }, \
    { "--plain-layout", NULL, CLI_FLAG, &cli.plain, 0, 0, NULL, "leave matrices as and where the file has them: least memory, slower" }, \
    { "--cache-type", "f16|f32|q8_0", CLI_CHOICE, &cli.cache, 0, 0, NULL, "numbers of the key-value cache; q8_0: half of f16's\nmemory (default f16)" }, \
    { "--compute", "auto|f32", CLI_CHOICE, &cli.compute, 0, 0, NULL, "auto: 8-bit activations with quantized weights; f32: weights read as\n" \
                                                                      "float32, exact and slow (default auto)" }

static inline int cli_set_lora(void *to, const char *s) { /* FILE[:SCALE]: what follows the last colon is a scale if it is a number */
    cli_adapter l; const char *colon = strrchr(s, ':'); size_t n = strlen(s);
    (void)to;
    l.scale = 1; l.a = NULL;
    if (colon && cli_real(colon + 1, -1e3, 1e3, &l.scale)) n = (size_t)(colon - s);
    if (n == 0) return 0;
    l.path = (char *)cli_grow(NULL, n + 1); memcpy(l.path, s, n); l.path[n] = 0;
    cli_adapters.v = (cli_adapter *)cli_grow(cli_adapters.v, (size_t)(cli_adapters.n + 1) * sizeof l);
    cli_adapters.v[cli_adapters.n++] = l;
    return 1;
}
#define CLI_LORA { "--lora", "FILE[:SCALE]", CLI_CALL, &cli_adapters, 0, 0, cli_set_lora, "an adapter (LoRA in GGUF), with a scale (default 1). May be\nrepeated" }

static inline void cli_help(const char *usage, const cli_option *o, size_t n) {
    size_t i; const char *p;
    printf("usage: %s %s\n\noptions:\n", cli.program, usage);
    for (i = 0; i <= n; i++) {
        int w = i < n ? printf("  %s%s%s", o[i].name, o[i].value ? " " : "", o[i].value ? o[i].value : "") : printf("  -h, --help");
        printf("%*s", w < 26 ? 26 - w : 1, "");
        for (p = i < n ? o[i].help : "this text"; *p; p++) { putchar(*p); if (*p == '\n') printf("%26s", ""); }
        putchar('\n');
    }
}
/* How far apart two names are: letters put in, taken out, exchanged or swapped with their neighbour (Damerau and Levenshtein, with a table of three
 * rows); names of more than 63 bytes are compared by their beginnings. */
static inline int cli_distance(const char *a, const char *b) {
    int d[3][64], i, k, n = (int)strlen(a), m = (int)strlen(b), *now, *last, *before;
    n = n > 63 ? 63 : n; m = m > 63 ? 63 : m;
    for (k = 0; k <= m; k++) d[0][k] = k;
    for (i = 1; i <= n; i++) {
        now = d[i % 3]; last = d[(i + 2) % 3]; before = d[(i + 1) % 3];
        now[0] = i;
        for (k = 1; k <= m; k++) {
            now[k] = last[k - 1] + (a[i - 1] != b[k - 1]);
            if (last[k] + 1 < now[k]) now[k] = last[k] + 1;
            if (now[k - 1] + 1 < now[k]) now[k] = now[k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && before[k - 2] + 1 < now[k]) now[k] = before[k - 2] + 1;
        }
    }
    return d[n % 3][m];
}
static inline const char *cli_nearest(const char *name, const cli_option *o, size_t n) { /* the option most like it; "" where none is like it */
    size_t i; const char *best = ""; int d, least = (int)strlen(name) / 3 + 1;
    for (i = 0; i < n; i++) if ((d = cli_distance(name, o[i].name)) < least) { least = d; best = o[i].name; }
    return best;
}
static inline int cli_set(const cli_option *o, const char *text) {
    switch (o->kind) {
        case CLI_FLAG: *(int *)o->to = 1; return 1;
        case CLI_INT:  return cli_int(text, strlen(text), (int)o->lo, (int)o->hi, (int *)o->to);
        case CLI_REAL: return cli_real(text, o->lo, o->hi, (float *)o->to);
        case CLI_TEXT: *(const char **)o->to = text; return 1;
        case CLI_CALL: return o->call(o->to, text);
        case CLI_CHOICE: {
            const char *p = o->value; int i = 0; size_t k, n = strlen(text);
            for (; ; p += k + 1, i++) {
                k = strcspn(p, "|");
                if (k == n && memcmp(p, text, n) == 0) { *(int *)o->to = i; return 1; }
                if (p[k] == 0) return 0;
            }
        }
    }
    return 0;
}
#ifdef _WIN32
static inline wchar_t *cli_wide(const char *s) {
    int n = MultiByteToWideChar(CP_UTF8, 0, s, -1, NULL, 0);
    wchar_t *w = (wchar_t *)cli_grow(NULL, (size_t)n * sizeof *w);
    MultiByteToWideChar(CP_UTF8, 0, s, -1, w, n);
    return w;
}
static inline char **cli_utf8_argv(void) { /* the command line in UTF-8, whatever the system's code page is */
    int i, n, argc; wchar_t **w = CommandLineToArgvW(GetCommandLineW(), &argc);
    char **argv;
    if (w == NULL) cli_die("command line: cannot be read");
    argv = (char **)cli_grow(NULL, (size_t)argc * sizeof *argv);
    for (i = 0; i < argc; i++) {
        n = WideCharToMultiByte(CP_UTF8, 0, w[i], -1, NULL, 0, NULL, NULL);
        argv[i] = (char *)cli_grow(NULL, (size_t)n);
        WideCharToMultiByte(CP_UTF8, 0, w[i], -1, argv[i], n, NULL, NULL);
    }
    return argv;
}
#endif
/* Reads the command line. positional: where one argument without a name goes, NULL if the program takes none; a program that takes several sets
 * cli_positional, which returns 0 for one too many. "--" ends options. */
static int (*cli_positional)(const char *text);
static inline void cli_parse(const char *program, const char *usage, const cli_option *o, size_t n, const char **positional, int argc, char **argv) {
    int i, plain = 0; size_t k;
    cli.program = program;
#ifdef _WIN32
    argv = cli_utf8_argv();
    _setmode(_fileno(stdin), _O_BINARY); _setmode(_fileno(stdout), _O_BINARY);
    SetConsoleOutputCP(CP_UTF8);
    cli.tty = _isatty(_fileno(stderr));
#else
    cli.tty = isatty(fileno(stderr));
#endif
    for (i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (!plain && strcmp(a, "--") == 0) { plain = 1; continue; }
        if (!plain && (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0)) { cli_help(usage, o, n); exit(cli_end()); }
        for (k = 0; !plain && k < n && strcmp(a, o[k].name) != 0; k++) {}
        if (!plain && k < n) {
            const char *text = o[k].value ? argv[i + 1] : "";
            if (text == NULL) cli_usage("%s: needs a value, %s", a, o[k].value);
            if (cli_set(&o[k], text)) { i += o[k].value != NULL; continue; }
            if (o[k].kind == CLI_INT || o[k].kind == CLI_REAL)
                cli_usage("%s: %s is no %s from %.10g to %.10g", a, text, o[k].kind == CLI_INT ? "integer" : "number", o[k].lo, o[k].hi);
            cli_usage("%s: %s is no %s (--help)", a, text, o[k].value);
        }
        if (!plain && a[0] == '-' && a[1] != 0) {
            const char *near_it = cli_nearest(a, o, n);
            cli_usage("%s: unknown option%s%s (--help lists them)", a, *near_it ? "; the nearest is " : "", near_it);
        }
        if (cli_positional && cli_positional(a)) continue;
        if (positional == NULL || *positional != NULL) cli_usage("%s: one argument too many (--help)", a);
        *positional = a;
    }
}
#define CLI_PARSE(program, usage, options, positional) cli_parse(program, usage, options, sizeof options / sizeof options[0], positional, argc, argv)

/* ---- files */
static inline FILE *cli_fopen(const char *path, const char *mode) {
#ifdef _WIN32
    wchar_t *p = cli_wide(path), *m = cli_wide(mode); FILE *f = _wfopen(p, m);
    free(p); free(m);
    return f;
#else
    return fopen(path, mode);
#endif
}
/* What a path is. A pipe or a device is neither: opening one could wait for ever. */
typedef enum cli_path { CLI_NOTHING, CLI_FILE, CLI_FOLDER, CLI_OTHER } cli_path;
static inline cli_path cli_what(const char *path) {
#ifdef _WIN32
    wchar_t *p = cli_wide(path); DWORD a = GetFileAttributesW(p);
    free(p);
    return a == INVALID_FILE_ATTRIBUTES ? CLI_NOTHING : a & FILE_ATTRIBUTE_DIRECTORY ? CLI_FOLDER : CLI_FILE;
#else
    struct stat st;
    if (stat(path, &st) != 0) return CLI_NOTHING;
    return S_ISREG(st.st_mode) ? CLI_FILE : S_ISDIR(st.st_mode) ? CLI_FOLDER : CLI_OTHER;
#endif
}
static inline int cli_seek(FILE *f, uint64_t at) { /* 0: done */
    if (at > INT64_MAX) return -1;
#ifdef _WIN32
    return _fseeki64(f, (int64_t)at, SEEK_SET);
#else
    return fseeko(f, (off_t)at, SEEK_SET);
#endif
}
static inline int64_t cli_size(FILE *f) { /* of a regular file; -1: unknown */
#ifdef _WIN32
    return _fseeki64(f, 0, SEEK_END) == 0 ? _ftelli64(f) : -1;
#else
    return fseeko(f, 0, SEEK_END) == 0 ? (int64_t)ftello(f) : -1;
#endif
}
/* A whole file of at most `most` bytes, or stdin for "-". One 0 byte follows the end. */
static inline char *cli_read_most(const char *path, size_t *n_bytes, size_t most) {
    int from_stdin = strcmp(path, "-") == 0; FILE *f = from_stdin ? stdin : cli_fopen(path, "rb");
    char *p = NULL; size_t n = 0, cap = 0, got;
    if (f == NULL) cli_die("%s: %s", path, strerror(errno));
    do {
        if (cap - n < 2) p = (char *)cli_grow(p, cap = cap * 2 + 65536);
        got = fread(p + n, 1, cap - n - 1, f); n += got;
        if (n > most) cli_die("%s: longer than %lu bytes", path, (unsigned long)most);
    } while (got > 0);
    if (ferror(f)) cli_die("%s: %s", path, strerror(errno));
    if (!from_stdin) fclose(f);
    p[n] = 0; *n_bytes = n;
    return p;
}
static inline char *cli_read(const char *path, size_t *n_bytes) { return cli_read_most(path, n_bytes, CLI_MAX_TEXT); }
/* Where a model comes from: a path, or for "-" all of stdin, which stays in memory. */
static inline void cli_source(lm_model_desc *d, const char *path) {
    static char *all; static size_t n;
    if (strcmp(path, "-") != 0) { d->path = path; return; }
    if (all == NULL) all = cli_read_most(path, &n, (size_t)-1 / 4);
    d->source.data = all; d->source.size = n;
}
/* The next line of stdin without its end, *n its bytes, a 0 byte behind them; NULL at the end. The buffer is the next call's too. */
static inline char *cli_line(size_t *n) {
    static char *line; static size_t cap; int c;
    for (*n = 0; (c = getc(stdin)) != EOF && c != '\n'; line[(*n)++] = (char)c) {
        if (*n == CLI_MAX_TEXT) cli_die("stdin: a line longer than %lu bytes", (unsigned long)CLI_MAX_TEXT);
        if (*n + 1 >= cap) line = (char *)cli_grow(line, cap = cap * 2 + 4096);
    }
    if (ferror(stdin)) cli_die("stdin: %s", strerror(errno));
    if (c == EOF && *n == 0) return NULL;
    if (line == NULL) line = (char *)cli_grow(NULL, cap = 4096);
    line[*n] = 0;
    return line;
}
/* An output file, or stdout for "-": written to a temporary name beside the target, flushed to the disk, then renamed, so that a reader sees the old file
 * or the whole new one. What is no regular file (a device, a pipe) is written directly. */
static inline FILE *cli_create(const char *path) {
    size_t n = strlen(path) + 32; char *temp; FILE *f;
    if (strcmp(path, "-") == 0) return stdout;
    temp = (char *)cli_grow(NULL, n);
#ifdef _WIN32
    snprintf(temp, n, "%s.tmp%lu", path, (unsigned long)GetCurrentProcessId());
#else
    struct stat st;
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN);         /* a limit on the size of files is an error of writing, with its line */
#endif
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) snprintf(temp, n, "%s", path);
    else snprintf(temp, n, "%s.tmp%ld", path, (long)getpid());
#endif
    f = cli_fopen(temp, "wb");
    if (f == NULL) { n = (size_t)errno; free(temp); cli_die("%s: %s", path, strerror((int)n)); }
    if (strcmp(temp, path) != 0) cli.temp = temp; else free(temp);
    return f;
}
static inline void cli_commit(FILE *f, const char *path) {
    int bad = fflush(f) != 0 || ferror(f);
#ifdef _WIN32
    wchar_t *from, *to;
#endif
    if (f == stdout) { if (bad) cli_die("stdout: cannot be written: %s", strerror(errno)); return; }
#ifdef _WIN32
    bad = bad || _commit(_fileno(f)) != 0;
    if (fclose(f) != 0 || bad) cli_die("%s: %s", path, strerror(errno));
    from = cli_wide(cli.temp); to = cli_wide(path);
    if (!MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING)) cli_die("%s: cannot be replaced", path);
    free(from); free(to);
#else
    if (cli.temp) bad = bad || fsync(fileno(f)) != 0;
    if (fclose(f) != 0 || bad) cli_die("%s: %s", path, strerror(errno));
    if (cli.temp && rename(cli.temp, path) != 0) cli_die("%s: %s", path, strerror(errno));
#endif
    free((void *)(uintptr_t)cli.temp); cli.temp = NULL;
}

/* ---- UTF-8. The unit at p, n >= 1: its bytes in *len; 1 a whole character (code point in *cp), 0 a maximal ill-formed part, to be
 * shown as one U+FFFD (Unicode 15, section 3.9, table 3-7), -1 cut off by the end. */
static inline int cli_utf8(const char *text, size_t n, size_t *len, uint32_t *cp) {
    const unsigned char *p = (const unsigned char *)text; unsigned c = p[0], lo = 0x80, hi = 0xbf;
    size_t i, more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 9;
    *len = 1; *cp = more == 0 ? c : more < 4 ? c & (0x3fu >> more) : 0;
    if (more > 3) return 0;
    if (c == 0xe0) lo = 0xa0; else if (c == 0xed) hi = 0x9f; else if (c == 0xf0) lo = 0x90; else if (c == 0xf4) hi = 0x8f;
    for (i = 1; i <= more; i++, lo = 0x80, hi = 0xbf) {
        *len = i;
        if (i == n) return -1;
        if (p[i] < lo || p[i] > hi) return 0;
        *cp = *cp << 6 | (p[i] & 0x3fu);
    }
    *len = more + 1;
    return 1;
}
/* A JSON string in plain ASCII; invalid UTF-8 as U+FFFD. */
static inline void cli_json_text(FILE *f, const char *p, size_t n) {
    size_t i, len; uint32_t cp;
    fputc('"', f);
    for (i = 0; i < n; i += len) {
        if (cli_utf8(p + i, n - i, &len, &cp) != 1) cp = 0xfffd;
        if (cp == '"' || cp == '\\') fprintf(f, "\\%c", (int)cp);
        else if (cp == '\n') fputs("\\n", f);
        else if (cp >= 32 && cp < 127) fputc((int)cp, f);
        else if (cp < 0x10000) fprintf(f, "\\u%04x", (unsigned)cp);
        else fprintf(f, "\\u%04x\\u%04x", 0xd7c0u + (unsigned)(cp >> 10), 0xdc00u + (unsigned)(cp & 0x3ff));
    }
    fputc('"', f);
}

/* ---- the model */
static inline void cli_need_model(void) { if (cli.model == NULL) cli_usage("-m: a model is needed (--help)"); }
static inline const char *cli_error_text(const lm_error *err) { /* with the file's name in front where the library's line has another start */
    static char text[1400]; size_t n = strlen(cli.model), k = n < 80 ? n : 80; /* the library shows 80 bytes of a name */
    int named = strncmp(err->text, cli.model, k) == 0;
    snprintf(text, sizeof text, "%.900s%s%s", named ? "" : cli.model, named ? "" : ": ", err->text);
    return text;
}
static inline lm_status cli_try_model(int vocab_only, lm_error *err) {
    lm_model_desc d; static char label[] = "opening the model";
    memset(&d, 0, sizeof d);
    cli_source(&d, cli.model); d.vocab_only = vocab_only; d.plain_layout = cli.plain;
    d.hooks.user = label; d.hooks.progress = cli_progress_hook; d.hooks.log = cli_log_hook;
    return lm_model_open(&cli.m, &d, err);
}
static inline lm_model *cli_open_model(int vocab_only) {
    lm_error err;
    if (*cli.model == 0) cli_die("-m: the path is empty");
    if (cli_try_model(vocab_only, &err) != LM_OK) cli_die("%s", cli_error_text(&err));
    cli_clear();
    return cli.m;
}
/* A model beside the one of -m, which the caller closes; cli_end does not. plain: where the file has it, as with --plain-layout. */
static inline lm_model *cli_own_model(const char *path, int vocab_only, int plain) {
    lm_model *m; int was = cli.plain;
    cli.model = path; cli.plain = plain || was;
    m = cli_open_model(vocab_only);
    cli.m = NULL; cli.plain = was;
    return m;
}
static inline lm_ctx_desc cli_ctx_desc(int n_batch, int n_logits, char *label) { /* label: of the progress line, NULL for none */
    lm_ctx_desc d;
    memset(&d, 0, sizeof d);
    d.n_ctx = cli.n_ctx; d.n_batch = n_batch; d.n_logits = n_logits; d.n_threads = cli.n_threads;
    d.cache_type = (lm_cache_type)cli.cache; d.compute = (lm_compute)cli.compute;
    d.hooks.user = label; d.hooks.log = cli_log_hook;
    if (label) d.hooks.progress = cli_progress_hook;
    return d;
}
static inline lm_ctx *cli_open_ctx(const lm_ctx_desc *d) {
    lm_error err;
    if (lm_ctx_open(&cli.c, cli.m, d, &err) != LM_OK) cli_die("%s", cli_error_text(&err));
    return cli.c;
}
static inline void cli_attach(int seq) { /* the adapters of --lora, in their order */
    int i;
    for (i = 0; i < cli_adapters.n; i++) {
        cli_adapter *l = &cli_adapters.v[i]; lm_adapter_desc d; lm_error err; int named; size_t n = strlen(l->path);
        memset(&d, 0, sizeof d); d.path = l->path;
        if (l->a == NULL && lm_adapter_open(&l->a, cli.m, &d, &err) != LM_OK) {
            named = strncmp(err.text, l->path, n < 80 ? n : 80) == 0; /* the library shows 80 bytes of a name */
            cli_die("%.900s%s%s", named ? "" : l->path, named ? "" : ": ", err.text);
        }
        if (lm_adapter_attach(cli.c, seq, l->a, l->scale) != LM_OK) cli_die("%.900s: %s", l->path, lm_ctx_error(cli.c));
    }
}
static inline int cli_n_ctx(void) { lm_ctx_info info; lm_ctx_get_info(cli.c, &info); return info.n_ctx; }
static inline void cli_decode(const lm_token *ids, int n, const uint8_t *want) {
    lm_batch b;
    b.ids = ids; b.n = n; b.seq = NULL; b.want = want;
    if (lm_decode(cli.c, &b) != LM_OK) cli_die("%s: %s", cli.model, lm_ctx_error(cli.c));
}
static inline lm_token *cli_tokenize(const char *text, size_t n_bytes, int flags, size_t *n_ids, const char *what) { /* malloc'd */
    size_t cap = n_bytes + 8;         /* a token is a byte or more, but for BOS and the like */
    lm_token *ids = (lm_token *)cli_grow(NULL, cap * sizeof *ids);
    lm_status s = lm_tokenize(cli.m, text, n_bytes, flags, ids, cap, n_ids);
    if (s == LM_E_FULL) {
        ids = (lm_token *)cli_grow(ids, *n_ids * sizeof *ids);
        s = lm_tokenize(cli.m, text, n_bytes, flags, ids, *n_ids, n_ids);
    }
    if (s != LM_OK) cli_die("%s: cannot be tokenized: %s", what, s == LM_E_SUPPORT ? "the model has no vocabulary" : lm_status_text(s));
    if (*n_ids > INT_MAX) cli_die("%s: too long", what);
    return ids;
}
/* What stands before and after a text: BOS where the model adds one, else end-of-text, which is the token with the text <|endoftext|>,
 * or EOS where the vocabulary has none. -1: no such token. */
#define CLI_END_OF_TEXT "<|endoftext|>"
static inline void cli_ends(lm_token *start, lm_token *end) {
    lm_token id[8]; size_t n = 0;
    lm_status s = lm_tokenize(cli.m, CLI_END_OF_TEXT, sizeof CLI_END_OF_TEXT - 1, LM_TEXT_PARSE_SPECIAL, id, 8, &n);
    *end = s == LM_OK && n == 1 ? id[0] : lm_token_special(cli.m, LM_EOS);
    *start = lm_adds_bos(cli.m) ? lm_token_special(cli.m, LM_BOS) : *end;
}
/* The text of ids in a buffer that the next call reuses. */
static inline const char *cli_detokenize(const lm_token *ids, size_t n_ids, int flags, size_t *n_bytes) {
    static char *text; static size_t cap; lm_status s;
    s = lm_detokenize(cli.m, ids, n_ids, flags, text, cap, n_bytes);
    if (s == LM_E_FULL) {
        text = (char *)cli_grow(text, cap = *n_bytes * 2 + 64);
        s = lm_detokenize(cli.m, ids, n_ids, flags, text, cap, n_bytes);
    }
    if (s != LM_OK) cli_die("%s: detokenizing: %s", cli.model, lm_status_text(s));
    return text ? text : "";
}
/* Prints what the emitter now lets out: of a token; without one (-1), of n bytes; with neither, the rest. */
static inline void cli_emit(lm_emitter *e, lm_token id, const char *bytes, size_t n) {
    static char *text; static size_t cap; size_t k = 0; lm_status s;
    for (;;) {
        s = id >= 0 ? lm_emit(e, id, text, cap, &k) : bytes ? lm_emit_bytes(e, bytes, n, text, cap, &k) : lm_emit_end(e, text, cap, &k);
        if (s != LM_E_FULL) break;
        text = (char *)cli_grow(text, cap = k * 2 + 64);
    }
    if (s != LM_OK) cli_die("%s: the text of a token: %s", cli.model, lm_status_text(s));
    if (k) fwrite(text, 1, k, stdout);
    cli_flush();
}
#endif /* CLI_H */
