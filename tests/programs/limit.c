/* Runs programs as a suspicious user would and judges how they end: never by a signal, never slowly, never with much memory.
 *   limit corpus BUILD DIR             every file of DIR/manifest (see make_hostile.c) through inspect, logits and generate
 *   limit ok|refuse|usage|any PROGRAM ARGS...  one run: exit 0; exit 1, one line on stderr and nothing on stdout; exit 2 and a line on
 *                                      stderr; any of these
 * LIMIT_MS (default 1000) and LIMIT_MB (default 100; 0: not measured, for sanitizers, which need more) bound each run.
 * Prints each fault, then `N passed, M failed, 0 skipped`. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct result { int code, sig, timeout; double ms; long kb; char out[4096], err[4096]; size_t n_out, n_err; } result;
static long limit_ms = 1000, limit_mb = 100;
static char tmp_out[600], tmp_err[600];

static double now_ms(void) { struct timeval t; gettimeofday(&t, NULL); return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3; }
static size_t slurp(const char *path, char *dst, size_t cap) { /* up to cap - 1 bytes, ended by 0 */
    int fd = open(path, O_RDONLY); ssize_t n = fd < 0 ? 0 : read(fd, dst, cap - 1);
    if (fd >= 0) close(fd);
    if (n < 0) n = 0;
    dst[n] = 0;
    return (size_t)n;
}
static result run(char *const argv[]) {
    result r; int status = 0; struct rusage use; double start = now_ms(); pid_t pid;
    memset(&r, 0, sizeof r); memset(&use, 0, sizeof use);
    pid = fork();
    if (pid == 0) {
        int o = open(tmp_out, O_WRONLY | O_CREAT | O_TRUNC, 0600), e = open(tmp_err, O_WRONLY | O_CREAT | O_TRUNC, 0600),
            z = open("/dev/null", O_RDONLY);
        struct rlimit cap; cap.rlim_cur = cap.rlim_max = 0;
        setrlimit(RLIMIT_CORE, &cap);
        if (limit_mb > 0) { cap.rlim_cur = cap.rlim_max = (rlim_t)2 << 30; setrlimit(RLIMIT_AS, &cap); } /* untouched gigabytes count too */
        dup2(z, 0); dup2(o, 1); dup2(e, 2);
        execv(argv[0], argv);
        _exit(127);
    }
    for (;;) { /* a hang is ended */
        struct timespec nap; pid_t got = wait4(pid, &status, WNOHANG, &use);
        if (got == pid || (got < 0 && errno != EINTR)) break;
        if (now_ms() - start > 2.0 * (double)limit_ms + 1000) { kill(pid, SIGKILL); r.timeout = 1; }
        nap.tv_sec = 0; nap.tv_nsec = 300000;
        nanosleep(&nap, NULL);
    }
    r.ms = now_ms() - start; r.kb = use.ru_maxrss;
    if (WIFSIGNALED(status)) r.sig = WTERMSIG(status); else r.code = WEXITSTATUS(status);
    r.n_out = slurp(tmp_out, r.out, sizeof r.out); r.n_err = slurp(tmp_err, r.err, sizeof r.err);
    return r;
}
/* One line that starts with the program's name and holds no control bytes. */
static const char *bad_line(const result *r, const char *program) {
    const char *name = strrchr(program, '/'); size_t i, n;
    name = name ? name + 1 : program; n = strlen(name);
    if (r->n_err == 0) return "says nothing";
    if (r->n_err > n + 6 && strncmp(r->err + n, ".exe: ", 6) == 0) n += 4;
    if (strncmp(r->err, name, strlen(name)) != 0 || strncmp(r->err + n, ": ", 2) != 0) return "its line does not start with the program's name";
    for (i = 0; i + 1 < r->n_err; i++) if (r->err[i] == '\n') return "says more than one line";
    else if ((unsigned char)r->err[i] < 32 || r->err[i] == 127) return "prints control bytes";
    return r->err[r->n_err - 1] == '\n' ? NULL : "its line is not ended";
}
/* NULL: as expected. */
static const char *judge(const result *r, const char *expect, const char *program) {
    if (r->timeout) return "hangs";
    if (r->sig) return "ends by a signal";
    if (r->code > 2) return "ends with a status above 2";
    if (limit_ms > 0 && r->ms > (double)limit_ms) return "takes too long";
    if (limit_mb > 0 && r->kb > limit_mb * 1024) return "takes too much memory";
    if (strcmp(expect, "usage") == 0) return r->code != 2 ? "is not exit 2" : r->n_out ? "prints on stdout" : r->n_err == 0 ? "says nothing" : NULL;
    if (r->code == 2) return strcmp(expect, "any") != 0 ? "is exit 2" : r->n_out ? "prints on stdout" : bad_line(r, program);
    if (strcmp(expect, "ok") == 0 && r->code != 0) return "is refused";
    if (strcmp(expect, "refuse") == 0 && r->code != 1) return "is accepted";
    if (r->code == 1) return r->n_out ? "fails and prints on stdout" : bad_line(r, program);
    return NULL;
}
static void complain(const char *what, const char *program, const char *why, const result *r) {
    printf("FAILED %s: %s: %s (exit %d, signal %d, %.0f ms, %ld KB): %.*s\n", what, program, why, r->code, r->sig, r->ms, r->kb,
        (int)(strcspn(r->err, "\n") % 200), r->err);
    if (strstr(r->err, "Sanitizer")) printf("%.1500s\n", r->err);
}
static uint64_t file_sum(const char *path, long *n) {
    FILE *f = fopen(path, "rb"); int c; uint64_t h = 0xcbf29ce484222325u;
    *n = 0;
    if (f == NULL) return 0;
    while ((c = getc(f)) != EOF) { h = (h ^ (uint64_t)c) * 0x100000001b3u; ++*n; }
    fclose(f);
    return h;
}

static int corpus(const char *build, const char *dir) {
    char path[700], line[256], expect[32], name[128], prog[3][600], f32[700]; FILE *m; int n_ok = 0, n_refused = 0, failed = 0, passed = 0, k;
    uint64_t base = 0, sum; long n; double worst_ms = 0; long worst_kb = 0;
    static const char *const programs[3] = { "inspect", "logits", "generate" };
    static char m_opt[] = "-m", ids_opt[] = "--ids", ids[] = "1,70,260,300,5,290,300,17", o_opt[] = "-o", p_opt[] = "-p", text[] = "the cat and",
        n_opt[] = "-n", three[] = "3",
        temp[] = "--temp", zero[] = "0", t_opt[] = "-t", two[] = "2";
    snprintf(path, sizeof path, "%s/manifest", dir); snprintf(f32, sizeof f32, "%s/logits.f32", dir);
    for (k = 0; k < 3; k++) snprintf(prog[k], sizeof prog[k], "%s/%s", build, programs[k]);
    if ((m = fopen(path, "r")) == NULL) { fprintf(stderr, "limit: %s: cannot open\n", path); return 1; }
    while (fgets(line, sizeof line, m)) {
        int bad = 0, refused = 0;
        if (sscanf(line, "%31s %127s", expect, name) != 2) continue;
        snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
        for (k = 0; k < 3; k++) {
            char *const args[3][14] = { { prog[0], m_opt, path, NULL }, { prog[1], m_opt, path, ids_opt, ids, o_opt, f32, t_opt, two, NULL },
                { prog[2], m_opt, path, p_opt, text, n_opt, three, temp, zero, t_opt, two, NULL } };
            const char *want = strcmp(expect, "load") == 0 || strcmp(expect, "ok") == 0 ? "ok" : strcmp(expect, "refuse") == 0 ? "refuse" : "end",
                *why; result r;
            if (strcmp(expect, "run") == 0 && k > 0) want = "refuse";
            if (strcmp(expect, "notext") == 0) want = k == 2 ? "refuse" : "ok";
            remove(f32);
            r = run(args[k]);
            why = judge(&r, want, prog[k]);
            if (why == NULL && k == 1) {
                sum = file_sum(f32, &n);
                if (r.code == 1 && n > 0) why = "fails and leaves an output file";
                if (r.code == 0 && n == 0) why = "writes nothing";
                if (base == 0 && r.code == 0) base = sum; /* the first file is the base */
                if (r.code == 0 && (strcmp(expect, "ok") == 0 || strcmp(expect, "notext") == 0)
                    && sum != base) why = "gives other logits than the base";
            }
            if (why) { complain(name, programs[k], why, &r); bad = 1; }
            if (r.code == 1) refused = 1;
            if (r.ms > worst_ms) worst_ms = r.ms;
            if (r.kb > worst_kb) worst_kb = r.kb;
            if (getenv("LIMIT_VERBOSE") && r.code == 1) printf("%s: %s", name, r.err);
        }
        if (bad) failed++; else { passed++; if (refused) n_refused++; else n_ok++; }
    }
    fclose(m); remove(f32);
    printf("  %d files refused with one line, %d loaded; at most %.0f ms and %ld KB a run\n", n_refused, n_ok, worst_ms, worst_kb);
    if (n_refused < 200 || n_ok < 20) { printf("FAILED: expected at least 200 refused and 20 loaded\n"); failed++; }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}

int main(int argc, char **argv) {
    const char *e = getenv("TMPDIR"), *why; result r; int code = 2;
    if (argc < 3) { fputs("limit: usage: limit corpus BUILD DIR | limit ok|refuse|usage|any PROGRAM ARGS...\n", stderr); return 2; }
    snprintf(tmp_out, sizeof tmp_out, "%.500s/limit.%ld.out", e ? e : "/tmp", (long)getpid());
    snprintf(tmp_err, sizeof tmp_err, "%.500s/limit.%ld.err", e ? e : "/tmp", (long)getpid());
    if ((e = getenv("LIMIT_MS")) != NULL) limit_ms = atol(e);
    if ((e = getenv("LIMIT_MB")) != NULL) limit_mb = atol(e);
    if (strcmp(argv[1], "corpus") == 0 && argc == 4) code = corpus(argv[2], argv[3]);
    else {
        r = run(argv + 2);
        why = judge(&r, argv[1], argv[2]);
        if (why) complain(argc > 3 ? argv[argc - 1] : "", argv[2], why, &r);
        code = why != NULL;
    }
    remove(tmp_out); remove(tmp_err);
    return code;
}
