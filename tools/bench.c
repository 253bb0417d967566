/* How fast a model runs here, beside what the machine could do at most.
 *   build/bench -m MODEL.gguf -p 512 -n 128 -t 2
 *   build/bench --peak                     only the machine's limits
 * Prompt: one decode of p tokens into the empty context. Generation: n decodes of one token each, from the empty context. The ids are
 * fixed pseudo-random ones (next_id), logits are computed for the last token of each decode, nothing is sampled. One run of each
 * warms up (and takes the page faults of a mapped file), then R rounds follow, each of them: read bandwidth, prompt, generation.
 * Bytes read per token: the weights that one decoded token multiplies by, each once, as the file stores them: tensors blk.* and output*, and
 * of token_embd one row, or all of it where it is also the output matrix. The key-value cache is not counted: it grows with the position.
 * CPU time to the first token: of all threads (on Windows the C library gives the elapsed time instead).
 * Memory: the process's highest resident size after the warm-up, before the buffer for the read bandwidth exists.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE                /* madvise beside _POSIX_C_SOURCE */
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE               /* the size in rusage and sysctlbyname beside _POSIX_C_SOURCE */
#endif
#include "cli.h"
#ifdef _WIN32
#ifndef PSAPI_VERSION
#define PSAPI_VERSION 2                /* GetProcessMemoryInfo in kernel32 */
#endif
#include <psapi.h>
#else
#include <sys/mman.h>
#include <sys/resource.h>
#endif
#if defined(__GNUC__) || defined(__clang__)
#define MEASURES_PEAKS 1
#include <pthread.h>
#include <sched.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#endif
#else
#define MEASURES_PEAKS 0               /* the loops below need a compiler with GNU attributes and asm */
#endif

static int n_prompt = 512, n_gen = 128, n_runs = 5, json, peak_only;
static const cli_option options[] = {
    CLI_MODEL("the model"),
    { "-p", "N", CLI_INT, &n_prompt, 0, 1 << 20, NULL, "tokens of the prompt (default 512; 0: no prompt)" },
    { "-n", "N", CLI_INT, &n_gen, 0, 1 << 20, NULL, "tokens to generate (default 128; 0: none)" },
    { "-r", "RUNS", CLI_INT, &n_runs, 1, 10000, NULL, "runs of each (default 5)" },
    { "--json", NULL, CLI_FLAG, &json, 0, 0, NULL, "one JSON object with every run" },
    { "--peak", NULL, CLI_FLAG, &peak_only, 0, 0, NULL,
        "only the machine's limits: reads, integer and float multiply-adds of each\ninstruction set, with -t threads" },
    CLI_CTX(CLI_OWN_CTX ",\nor N where that is more"),
    CLI_COMPUTE
};

static double now(void) { /* seconds, never set back */
#ifdef _WIN32
    LARGE_INTEGER t, f; QueryPerformanceCounter(&t); QueryPerformanceFrequency(&f);
    return (double)t.QuadPart / (double)f.QuadPart;
#else
    struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
#endif
}

/* The highest resident size so far in bytes, 0 where the system does not say. Linux's ru_maxrss starts at that of the process which called
 * exec, so it comes second there. */
static uint64_t peak_rss(void) {
#ifdef _WIN32
    PROCESS_MEMORY_COUNTERS c;
    return GetProcessMemoryInfo(GetCurrentProcess(), &c, sizeof c) ? c.PeakWorkingSetSize : 0;
#else
    struct rusage u; char line[256]; unsigned long kib = 0; FILE *f = fopen("/proc/self/status", "r");
    while (f && kib == 0 && fgets(line, sizeof line, f)) if (strncmp(line, "VmHWM:", 6) == 0) kib = strtoul(line + 6, NULL, 10);
    if (f) fclose(f);
    if (kib) return (uint64_t)kib * 1024;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
#ifdef __APPLE__
    return (uint64_t)u.ru_maxrss;
#else
    return (uint64_t)u.ru_maxrss * 1024;
#endif
#endif
}

/* ============================================================================================== the machine's limits
 * A sequence is what an inner product's loop would issue for one register of weights and one of activations, and nothing else: no loads, no
 * unpacking. Each runs on enough accumulators to hide its latency: 10 on x86, what 16 registers leave room for and two units of 5 cycles
 * need, 16 on ARM (four units of 4). HIDE costs no instruction but makes a register's value unknown to the compiler, so that nothing is computed
 * once before the loop. A multiply and an add count as two operations.
 */
typedef struct sequence {
    const char *isa, *name; int is_float, sums; unsigned need; int ops; void (*run)(uint64_t n);
    double best;                      /* operations a second, all threads */
} sequence;                           /* sums 0: the sums are missing, a bound for comparison that no product reaches */
enum { SSSE3 = 1, AVX2 = 2, FMA = 4, AVX_VNNI = 8, AVX512 = 16, VNNI = 32, DOTPROD = 64, I8MM = 128 };

#if MEASURES_PEAKS
#define ACC10(S) S(a0) S(a1) S(a2) S(a3) S(a4) S(a5) S(a6) S(a7) S(a8) S(a9)
#define ACC16(S) ACC10(S) S(a10) S(a11) S(a12) S(a13) S(a14) S(a15)
#define SEQUENCE(name, target, V, list, W, X, Y, ONE, STEP) \
    target static void name(uint64_t n) { \
        V w = W, x = X, y = Y, one = ONE, a0 = w, a1 = w, a2 = w, a3 = w, a4 = w, a5 = w, a6 = w, a7 = w, a8 = w, a9 = w; \
        V a10 = w, a11 = w, a12 = w, a13 = w, a14 = w, a15 = w; uint64_t i; \
        HIDE(y); HIDE(one); HIDE(a10); HIDE(a11); HIDE(a12); HIDE(a13); HIDE(a14); HIDE(a15); \
        for (i = 0; i < n; i++) { list(STEP) } \
        list(HIDE_) \
    }
#define HIDE_(v) HIDE(v);
#define COUNT10 10
#define COUNT16 16

#if defined(__x86_64__) || defined(__i386__)
#define HIDE(v) __asm__ volatile("" : "+x"(v))
#define ON(isa) __attribute__((target(isa)))
#define S8(n) _mm_set1_epi8(n)
#define Y8(n) _mm256_set1_epi8(n)
#define Z8(n) _mm512_set1_epi8(n)
#define INT_SEQUENCE(name, isa, V, list, set8, one, STEP) SEQUENCE(name, ON(isa), V, list, set8(3), set8(-5), set8(-3), one, STEP)

#define STEP(a) HIDE(w); HIDE(x); a = _mm_add_epi32(a, _mm_madd_epi16(w, x));
INT_SEQUENCE(sse2_int16, "sse2", __m128i, ACC10, S8, _mm_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm_add_epi32(a, _mm_madd_epi16(_mm_maddubs_epi16(w, x), one));
INT_SEQUENCE(ssse3_madd, "ssse3", __m128i, ACC10, S8, _mm_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(x); a = _mm256_maddubs_epi16(a, x);
INT_SEQUENCE(avx2_alone, "avx2", __m256i, ACC10, Y8, _mm256_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm256_add_epi16(a, _mm256_maddubs_epi16(w, x));
INT_SEQUENCE(avx2_add16, "avx2", __m256i, ACC10, Y8, _mm256_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), one));
INT_SEQUENCE(avx2_madd, "avx2", __m256i, ACC10, Y8, _mm256_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(w, _mm256_sign_epi8(x, y)), one));
INT_SEQUENCE(avx2_sign, "avx2", __m256i, ACC10, Y8, _mm256_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm256_add_epi32(a, _mm256_madd_epi16(w, x));
INT_SEQUENCE(avx2_int16, "avx2", __m256i, ACC10, Y8, _mm256_set1_epi16(1), STEP)
#undef STEP
#if (defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11)
#define HAS_AVX_VNNI 1
#define STEP(a) HIDE(w); HIDE(x); a = _mm256_dpbusd_avx_epi32(a, w, x);
INT_SEQUENCE(avxvnni_dot, "avx2,avxvnni", __m256i, ACC10, Y8, _mm256_set1_epi16(1), STEP)
#undef STEP
#endif
#define STEP(a) HIDE(w); HIDE(x); a = _mm256_dpbusd_epi32(a, w, x);
INT_SEQUENCE(avx512_dot256, "avx512f,avx512bw,avx512vl,avx512vnni", __m256i, ACC10, Y8, _mm256_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm512_dpbusd_epi32(a, w, x);
INT_SEQUENCE(avx512_dot, "avx512f,avx512bw,avx512vl,avx512vnni", __m512i, ACC10, Z8, _mm512_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm512_add_epi32(a, _mm512_madd_epi16(_mm512_maddubs_epi16(w, x), one));
INT_SEQUENCE(avx512_madd, "avx512f,avx512bw,avx512vl", __m512i, ACC10, Z8, _mm512_set1_epi16(1), STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm_add_ps(a, _mm_mul_ps(w, x));
SEQUENCE(sse2_float, ON("sse2"), __m128, ACC10, _mm_set1_ps(1), _mm_set1_ps(0.001f), w, w, STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm256_add_ps(a, _mm256_mul_ps(w, x));
SEQUENCE(avx2_float, ON("avx2"), __m256, ACC10, _mm256_set1_ps(1), _mm256_set1_ps(0.001f), w, w, STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm256_fmadd_ps(w, x, a);
SEQUENCE(avx2_fma, ON("avx2,fma"), __m256, ACC10, _mm256_set1_ps(1), _mm256_set1_ps(0.001f), w, w, STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm512_add_ps(a, _mm512_mul_ps(w, x));
SEQUENCE(avx512_float, ON("avx512f"), __m512, ACC10, _mm512_set1_ps(1), _mm512_set1_ps(0.001f), w, w, STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = _mm512_fmadd_ps(w, x, a);
SEQUENCE(avx512_fma, ON("avx512f"), __m512, ACC10, _mm512_set1_ps(1), _mm512_set1_ps(0.001f), w, w, STEP)
#undef STEP

static unsigned cpu_features(void) { /* what CPU and operating system support together */
    unsigned a = 0, b = 0, c = 0, d = 0, has = 0, c1 = 0, c7 = 0, saved = 0;
    __get_cpuid(1, &a, &b, &c1, &d);
    if (c1 & 1u << 9) has |= SSSE3;
    if (c1 & 1u << 27) __asm__ volatile("xgetbv" : "=a"(saved), "=d"(d) : "c"(0)); /* registers that the system keeps */
    if ((saved & 6) != 6 || !(c1 & 1u << 28)) return has;
#if defined(_WIN32) && !defined(__clang__) && !defined(__OPTIMIZE__)
    return has;                       /* GCC on Windows spills wide registers to a stack that is aligned for narrow ones */
#endif
    if (!__get_cpuid_count(7, 0, &a, &b, &c7, &d)) return has;
    if (b & 1u << 5) has |= AVX2;
    if ((has & AVX2) && (c1 & 1u << 12)) has |= FMA;
    if ((saved & 0xe6) == 0xe6 && (b & 1u << 16) && (b & 1u << 30) && (b & 1u << 31)) has |= AVX512; /* F, BW, VL */
    if ((has & AVX512) && (c7 & 1u << 11)) has |= VNNI;
    if (a >= 1 && (has & AVX2) && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4)) has |= AVX_VNNI;
    return has;
}

#elif defined(__aarch64__)
#define HIDE(v) __asm__ volatile("" : "+w"(v))
#define INT_SEQUENCE(name, target, STEP) SEQUENCE(name, target, int8x16_t, ACC16, vdupq_n_s8(3), vdupq_n_s8(-5), w, w, STEP)
#define S32(v) vreinterpretq_s32_s8(v)
#define S8(v) vreinterpretq_s8_s32(v)
#define STEP(a) HIDE(w); HIDE(x); a = S8(vpadalq_s16(S32(a), vmlal_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), vget_high_s8(w), vget_high_s8(x))));
INT_SEQUENCE(neon_int16, , STEP)
#undef STEP
#if defined(__ARM_FEATURE_DOTPROD) || (defined(__clang__) && __clang_major__ >= 17) || (!defined(__clang__) && __GNUC__ >= 10)
#define HAS_DOTPROD 1
#define STEP(a) HIDE(w); HIDE(x); a = S8(vdotq_s32(S32(a), w, x));
INT_SEQUENCE(neon_dot, __attribute__((target("arch=armv8.2-a+dotprod"))), STEP)
#undef STEP
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8) || (defined(__clang__) && __clang_major__ >= 17) || (!defined(__clang__) && __GNUC__ >= 10)
#define HAS_I8MM 1
#define STEP(a) HIDE(w); HIDE(x); a = S8(vmmlaq_s32(S32(a), w, x));
INT_SEQUENCE(neon_mm, __attribute__((target("arch=armv8.2-a+i8mm"))), STEP)
#undef STEP
#endif
#define STEP(a) HIDE(w); HIDE(x); a = vfmaq_f32(a, w, x);
SEQUENCE(neon_fma, , float32x4_t, ACC16, vdupq_n_f32(1), vdupq_n_f32(0.001f), w, w, STEP)
#undef STEP
#define STEP(a) HIDE(w); HIDE(x); a = vaddq_f32(a, vmulq_f32(w, x));
SEQUENCE(neon_float, , float32x4_t, ACC16, vdupq_n_f32(1), vdupq_n_f32(0.001f), w, w, STEP)
#undef STEP

static unsigned cpu_features(void) {
    unsigned has = 0;
#if defined(__linux__)
    if (getauxval(AT_HWCAP) >> 20 & 1) has |= DOTPROD;
    if (getauxval(AT_HWCAP2) >> 13 & 1) has |= I8MM;
#elif defined(__APPLE__)
    int yes = 0; size_t n = sizeof yes;
    if (sysctlbyname("hw.optional.arm.FEAT_DotProd", &yes, &n, NULL, 0) == 0 && yes) has |= DOTPROD;
    yes = 0; n = sizeof yes;
    if (sysctlbyname("hw.optional.arm.FEAT_I8MM", &yes, &n, NULL, 0) == 0 && yes) has |= I8MM;
#endif
    return has;
}

#else
static unsigned cpu_features(void) { return 0; }
#endif
#endif /* MEASURES_PEAKS */

/* ops: of one step on one accumulator, times the accumulators of an iteration. */
static sequence sequences[] = {
#if MEASURES_PEAKS && (defined(__x86_64__) || defined(__i386__))
    { "avx512", "vpdpbusd zmm", 0, 1, AVX512 | VNNI, 128 * COUNT10, avx512_dot, 0 },
    { "avx512", "vpdpbusd ymm", 0, 1, AVX512 | VNNI, 64 * COUNT10, avx512_dot256, 0 },
    { "avx512", "vpmaddubsw, vpmaddwd, vpaddd zmm", 0, 1, AVX512, 128 * COUNT10, avx512_madd, 0 },
#ifdef HAS_AVX_VNNI
    { "avxvnni", "vpdpbusd ymm", 0, 1, AVX_VNNI, 64 * COUNT10, avxvnni_dot, 0 },
#endif
    { "avx2", "vpmaddubsw ymm, no sum", 0, 0, AVX2, 64 * COUNT10, avx2_alone, 0 },
    { "avx2", "vpmaddubsw, vpaddw ymm", 0, 1, AVX2, 64 * COUNT10, avx2_add16, 0 },
    { "avx2", "vpmaddubsw, vpmaddwd, vpaddd ymm", 0, 1, AVX2, 64 * COUNT10, avx2_madd, 0 },
    { "avx2", "vpsignb, vpmaddubsw, vpmaddwd, vpaddd ymm", 0, 1, AVX2, 64 * COUNT10, avx2_sign, 0 },
    { "avx2", "int16: vpmaddwd, vpaddd ymm", 0, 1, AVX2, 32 * COUNT10, avx2_int16, 0 },
    { "ssse3", "pmaddubsw, pmaddwd, paddd xmm", 0, 1, SSSE3, 32 * COUNT10, ssse3_madd, 0 },
    { "sse2", "int16: pmaddwd, paddd xmm", 0, 1, 0, 16 * COUNT10, sse2_int16, 0 },
    { "avx512", "fused multiply-add zmm", 1, 1, AVX512, 32 * COUNT10, avx512_fma, 0 },
    { "avx512", "multiply, add zmm", 1, 1, AVX512, 32 * COUNT10, avx512_float, 0 },
    { "avx2", "fused multiply-add ymm", 1, 1, FMA, 16 * COUNT10, avx2_fma, 0 },
    { "avx2", "multiply, add ymm", 1, 1, AVX2, 16 * COUNT10, avx2_float, 0 },
    { "sse2", "multiply, add xmm", 1, 1, 0, 8 * COUNT10, sse2_float, 0 },
#elif MEASURES_PEAKS && defined(__aarch64__)
#ifdef HAS_I8MM
    { "neon", "smmla (i8mm)", 0, 1, I8MM, 64 * COUNT16, neon_mm, 0 },
#endif
#ifdef HAS_DOTPROD
    { "neon", "sdot (dotprod)", 0, 1, DOTPROD, 32 * COUNT16, neon_dot, 0 },
#endif
    { "neon", "smull, smlal2, sadalp", 0, 1, 0, 32 * COUNT16, neon_int16, 0 },
    { "neon", "fused multiply-add", 1, 1, 0, 8 * COUNT16, neon_fma, 0 },
    { "neon", "multiply, add", 1, 1, 0, 8 * COUNT16, neon_float, 0 },
#endif
    { NULL, NULL, 0, 0, 0, 0, NULL, 0 }
};

static double fastest(int is_float, const char **name) { /* operations a second; 0: none was measured */
    double best = 0; const sequence *s;
    if (name) *name = "";
    for (s = sequences; s->run; s++) if (s->is_float == is_float && s->sums && s->best > best) { best = s->best; if (name) *name = s->name; }
    return best;
}

static double read_rate;               /* bytes a second */

#if MEASURES_PEAKS
/* ---- one job on all threads at once: they meet, then run; the time is from the first start to the last end */
typedef struct worker { int i, of; void (*job)(int i, int of, uint64_t n); uint64_t n; int *arrived; double start, end; pthread_t thread; } worker;
static void *worker_main(void *arg) {
    worker *w = (worker *)arg;
    __atomic_add_fetch(w->arrived, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(w->arrived, __ATOMIC_SEQ_CST) < w->of) sched_yield();
    w->start = now();
    w->job(w->i, w->of, w->n);
    w->end = now();
    return NULL;
}
static double together(int n_threads, void (*job)(int i, int of, uint64_t n), uint64_t n) { /* seconds */
    worker *w = (worker *)cli_grow(NULL, (size_t)n_threads * sizeof *w); int i, arrived = 0; double start, end;
    for (i = 0; i < n_threads; i++) {
        w[i].i = i; w[i].of = n_threads; w[i].job = job; w[i].n = n; w[i].arrived = &arrived;
        if (i > 0 && pthread_create(&w[i].thread, NULL, worker_main, &w[i]) != 0) cli_die("-t: thread %d of %d cannot be started", i + 1, n_threads);
    }
    worker_main(&w[0]);
    for (i = 1; i < n_threads; i++) pthread_join(w[i].thread, NULL);
    for (i = 1, start = w[0].start, end = w[0].end; i < n_threads; i++) {
        if (w[i].start < start) start = w[i].start;
        if (w[i].end > end) end = w[i].end;
    }
    free(w);
    return end > start ? end - start : 1e-9;
}

/* ---- streaming reads: a buffer beyond any cache, cut evenly among the threads, every byte once */
#define READ_BYTES ((size_t)640 << 20)
#define READ_AHEAD 2048                /* bytes; beyond what the out-of-order window reaches by itself */
static unsigned char *read_buffer;
typedef uint64_t read16 __attribute__((vector_size(16)));
static void share(int i, int of, const unsigned char **from, const unsigned char **to) { /* whole pages, so whole blocks of 256 bytes */
    size_t pages = READ_BYTES / 4096;
    *from = read_buffer + pages * (size_t)i / (size_t)of * 4096;
    *to = read_buffer + pages * (size_t)(i + 1) / (size_t)of * 4096;
}
static void fill_job(int i, int of, uint64_t n) {
    const unsigned char *p, *end;
    share(i, of, &p, &end); (void)n;
    memset(read_buffer + (p - read_buffer), 0x5a, (size_t)(end - p));
}
#define READ_LOOP(V) \
    const unsigned char *p, *end; V a, b, c, d; unsigned k; \
    share(i, of, &p, &end); \
    memset(&a, 0, sizeof a); b = c = d = a; \
    for (; p < end; p += 256) { \
        if (n) for (k = 0; k < 256; k += 64) __builtin_prefetch(p + READ_AHEAD + k); \
        for (k = 0; k < 256; k += 4 * (unsigned)sizeof(V)) { \
            const V *v = (const V *)(const void *)(p + k); \
            a += v[0]; b += v[1]; c += v[2]; d += v[3]; \
        } \
    } \
    a = a + b + c + d; \
    __asm__ volatile("" : : "m"(a))
static void read_job16(int i, int of, uint64_t n) { READ_LOOP(read16); } /* n: ask for lines ahead */
#if defined(__x86_64__)
typedef uint64_t read32 __attribute__((vector_size(32)));
ON("avx2") static void read_job32(int i, int of, uint64_t n) { READ_LOOP(read32); }
#endif
static double measure_reads(int n_threads, int passes) { /* the best of `passes` of each kind, in bytes a second */
    double best = 0; void (*job[2])(int, int, uint64_t) = { read_job16, NULL }; int k, ahead; double t;
#if defined(__x86_64__)
    if (cpu_features() & AVX2) job[1] = read_job32;
#endif
    if (read_buffer == NULL) {
        unsigned char *raw = (unsigned char *)cli_grow(NULL, READ_BYTES + READ_AHEAD + 4096 + 256);
        read_buffer = raw + (4096 - ((uintptr_t)raw & 4095));
#ifdef MADV_HUGEPAGE
        madvise(read_buffer, READ_BYTES, MADV_HUGEPAGE); /* as the library does; reads are up to a fifth faster */
#endif
        together(n_threads, fill_job, 0);
    }
    while (passes-- > 0) for (k = 0; k < 2; k++) for (ahead = 0; job[k] && ahead < 2; ahead++) {
        t = together(n_threads, job[k], (uint64_t)ahead);
        if ((double)READ_BYTES / t > best) best = (double)READ_BYTES / t;
    }
    return best;
}

/* ---- multiply-adds: passes of at least 2 ms, short enough that a busy neighbour leaves some of them alone; the best of 25 */
static const sequence *current;
static void sequence_job(int i, int of, uint64_t n) { (void)i; (void)of; current->run(n); }
static void measure_sequences(int n_threads) {
    unsigned has = cpu_features(); sequence *s; uint64_t n; double t; int pass, done = 0, total = 0;
    for (s = sequences; s->run; s++) total += (s->need & has) == s->need;
    for (s = sequences; s->run; s++) {
        if ((s->need & has) != s->need) continue;
        cli_progress("measuring the machine", (uint64_t)done++, (uint64_t)total);
        current = s;
        for (n = 10000, pass = 0; pass < 25; pass++) {
            t = together(n_threads, sequence_job, n);
            if ((double)n * s->ops * n_threads / t > s->best) s->best = (double)n * s->ops * n_threads / t;
            if ((double)n * s->ops * n_threads / s->best < 0.002) { n *= 2; pass = -1; }
        }
    }
    cli_progress("measuring the machine", 1, 1);
}
#else
static double measure_reads(int n_threads, int passes) { (void)n_threads; (void)passes; return 0; }
static void measure_sequences(int n_threads) { (void)n_threads; }
#endif

static int physical_cores(void) { /* as the library counts them for its default */
    long n = 1;
#if defined(_WIN32)
    SYSTEM_INFO info; GetSystemInfo(&info); n = (long)info.dwNumberOfProcessors;
#elif defined(_SC_NPROCESSORS_ONLN)
    n = sysconf(_SC_NPROCESSORS_ONLN);
#endif
#if MEASURES_PEAKS && (defined(__x86_64__) || defined(__i386__))
    {   unsigned a, b, c, d;          /* extended topology: processors of a core */
        if (__get_cpuid_count(11, 0, &a, &b, &c, &d) && (c >> 8 & 255) == 1 && (b & 0xffff) > 1) n /= (long)(b & 0xffff);
    }
#endif
    return n < 1 ? 1 : n > 1024 ? 1024 : (int)n;
}

/* ============================================================================================== the model */
typedef struct series { int n, n_runs; double *tps; double gop_per_token; } series;
static int compare_doubles(const void *a, const void *b) {
    double x, y; memcpy(&x, a, sizeof x); memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}
static void spread(const series *s, double *median, double *least, double *most) {
    double *v = (double *)cli_grow(NULL, (size_t)s->n_runs * sizeof *v); int h = s->n_runs / 2;
    memcpy(v, s->tps, (size_t)s->n_runs * sizeof *v);
    qsort(v, (size_t)s->n_runs, sizeof *v, compare_doubles);
    *median = s->n_runs % 2 ? v[h] : (v[h - 1] + v[h]) / 2; *least = v[0]; *most = v[s->n_runs - 1];
    free(v);
}

static lm_token next_id(uint32_t *state, int n_vocab) { /* tools/compare.py gives its peer the same */
    *state = *state * 1664525u + 1013904223u;
    return (lm_token)((*state >> 8) % (uint32_t)n_vocab);
}

/* One run, tokens a second: one decode of n tokens, or n decodes of one. */
static double run(const lm_token *ids, int n, int one_by_one) {
    double start; int i;
    lm_rewind(cli.c, 0, 0);
    start = now();
    if (one_by_one) for (i = 0; i < n; i++) cli_decode(ids + i, 1, NULL); else cli_decode(ids, n, NULL);
    start = now() - start;
    return n / (start > 0 ? start : 1e-9);
}
static void warm_up(series *s, const lm_token *ids, int one_by_one) {
    lm_counters c;
    s->tps = (double *)cli_grow(NULL, (size_t)n_runs * sizeof *s->tps);
    if (s->n == 0) return;
    lm_counters_reset(cli.c);
    run(ids, s->n, one_by_one);
    lm_get_counters(cli.c, &c);
    s->gop_per_token = 2e-9 * (double)c.n_macs / s->n;
}

static int starts(const lm_tensor *x, const char *with) { size_t n = strlen(with); return x->name_bytes >= n && memcmp(x->name, with, n) == 0; }
static uint64_t bytes_per_token(int tied) {
    uint64_t sum = 0; lm_tensor x; int i;
    for (i = 0; lm_tensor_at(cli.m, i, &x) == LM_OK; i++) {
        if (starts(&x, "blk.") || starts(&x, "output")) sum += x.n_bytes;
        if (starts(&x, "token_embd.")) sum += tied || x.dims[1] == 0 ? x.n_bytes : x.n_bytes / x.dims[1];
    }
    return sum;
}
static int main_type(void) { /* the type that holds most bytes of the layers */
    uint64_t sum, most = 0; lm_tensor x, y; int i, k, type = 0;
    for (i = 0; lm_tensor_at(cli.m, i, &x) == LM_OK; i++) {
        if (!starts(&x, "blk.") || x.type == type) continue;
        for (k = 0, sum = 0; lm_tensor_at(cli.m, k, &y) == LM_OK; k++) if (y.type == x.type && starts(&y, "blk.")) sum += y.n_bytes;
        if (sum > most) { most = sum; type = x.type; }
    }
    return type;
}

/* ---- output */
static void print_or_null(const char *name, double v) { if (v > 0) printf("\"%s\": %.2f", name, v); else printf("\"%s\": null", name); }
static void print_limits_json(void) {
    const sequence *s; int n = 0;
    print_or_null("read_gbs", read_rate * 1e-9); printf(", ");
    print_or_null("peak_gops", fastest(0, NULL) * 1e-9); printf(", ");
    print_or_null("peak_gflops", fastest(1, NULL) * 1e-9);
    printf(", \"sequences\": [");
    for (s = sequences; s->run; s++) if (s->best > 0)
        printf("%s{\"isa\": \"%s\", \"name\": \"%s\", \"%s\": %.2f}", n++ ? ", " : "", s->isa, s->name,
               s->is_float ? "gflops" : "gops", s->best * 1e-9);
    printf("]");
}
static void print_limits(int n_threads) {
    const sequence *s;
    printf("the machine's limits, %d thread%s\n\n", n_threads, n_threads == 1 ? "" : "s");
    if (read_rate > 0) printf("%-61s%8.1f GB/s\n", "reads", read_rate * 1e-9); else printf("not measured with this compiler\n");
    for (s = sequences; s->run; s++) if (s->best > 0)
        printf("%-9s%-9s%-43s%8.1f %s\n", s->is_float ? "float" : "integer", s->isa, s->name, s->best * 1e-9, s->is_float ? "GFLOP/s" : "GOP/s");
}
static void print_runs_json(const char *name, const series *s) {
    int i;
    printf(", \"%s\": {\"n\": %d, \"tps\": [", name, s->n);
    for (i = 0; i < s->n_runs; i++) printf("%s%.3f", i ? ", " : "", s->tps[i]);
    printf("], \"gop_per_token\": %.6f}", s->gop_per_token);
}

int main(int argc, char **argv) {
    static char label[] = "warming up"; /* of the progress of one decode */
    lm_model_info info; lm_ctx_info room; lm_ctx_desc cd; lm_token *ids; series pp, tg, reads, share; const char *name; uint32_t state = 1;
    double load, first, cpu, median, least, most, top; uint64_t rss, bytes; int i, type, longest;
    CLI_PARSE("bench", "-m MODEL.gguf [options]\n       bench --peak [-t THREADS] [--json]", options, NULL);
    if (peak_only) {
        int n = cli.n_threads ? cli.n_threads : physical_cores();
        read_rate = measure_reads(n, 6);
        measure_sequences(n);
        if (json) { printf("{\"threads\": %d, ", n); print_limits_json(); printf("}\n"); } else print_limits(n);
        return cli_end();
    }
    cli_need_model();
    longest = n_prompt > n_gen ? n_prompt : n_gen; if (longest < 1) longest = 1;

    cpu = (double)clock(); load = now();
    lm_model_get_info(cli_open_model(0), &info);
    if (cli.n_ctx == 0) { cli.n_ctx = info.n_ctx_train < 4096 ? info.n_ctx_train : 4096; if (cli.n_ctx < longest) cli.n_ctx = longest; }
    cd = cli_ctx_desc(0, 1, NULL);
    lm_ctx_get_info(cli_open_ctx(&cd), &room);
    first = now(); load = first - load;
    if (longest > room.n_ctx) cli_die("-c: %d tokens do not fit in the context of %d", longest, room.n_ctx);
    ids = (lm_token *)cli_grow(NULL, (size_t)longest * sizeof *ids);
    for (i = 0; i < longest; i++) ids[i] = next_id(&state, info.n_vocab);
    cli_decode(ids, 1, NULL);
    first = now() - first + load; cpu = ((double)clock() - cpu) / CLOCKS_PER_SEC;

    bytes = bytes_per_token(info.tied); type = main_type();
    memset(&pp, 0, sizeof pp); tg = reads = share = pp;
    pp.n = n_prompt; tg.n = n_gen;
    cli_progress(label, 0, 1); warm_up(&pp, ids, 0); warm_up(&tg, ids, 1); warm_up(&reads, ids, 0); warm_up(&share, ids, 0);
    rss = peak_rss();
    for (i = 0; i < n_runs; i++) { /* a shared machine's bandwidth moves within seconds: each generation stands between two readings */
        cli_progress("measuring", (uint64_t)i, (uint64_t)n_runs);
        if (pp.n) pp.tps[pp.n_runs++] = run(ids, pp.n, 0);
        reads.tps[reads.n_runs++] = measure_reads(room.n_threads, 1);
        if (tg.n == 0) continue;
        tg.tps[tg.n_runs++] = run(ids, tg.n, 1);
        reads.tps[i] = (reads.tps[i] + measure_reads(room.n_threads, 1)) / 2;
        share.tps[share.n_runs++] = reads.tps[i] > 0 ? tg.tps[i] * (double)bytes / reads.tps[i] : 0;
    }
    spread(&reads, &read_rate, &least, &most);
    cli_progress("measuring", 1, 1);
    measure_sequences(room.n_threads);

    if (json) {
        printf("{\"model\": "); cli_json_text(stdout, cli.model, strlen(cli.model));
        printf(", \"type\": \"%s\", \"isa\": \"%s\", \"threads\": %d", lm_type_name(type), info.isa, room.n_threads);
        print_runs_json("pp", &pp); print_runs_json("tg", &tg);
        if (tg.n) { spread(&share, &median, &least, &most); printf(", \"read_share\": %.4f", median); }
        printf(", \"load_ms\": %.3f, \"first_token_ms\": %.3f, \"first_token_cpu_ms\": %.3f", load * 1e3, first * 1e3, cpu * 1e3);
        printf(", \"peak_rss_bytes\": %llu, \"bytes_per_token\": %llu, ", (unsigned long long)rss, (unsigned long long)bytes);
        print_limits_json(); printf("}\n");
        free(ids); free(pp.tps); free(tg.tps); free(reads.tps); free(share.tps);
        return cli_end();
    }
    printf("model     %s, mostly %s, %.1f million weights\n", cli.model, lm_type_name(type), (double)info.n_params * 1e-6);
    printf("kernels   %s%s, %d thread%s, context %d, %s cache%s\n", info.isa, cli.plain ? ", plain layout" : "", room.n_threads,
           room.n_threads == 1 ? "" : "s", room.n_ctx, room.cache_type == LM_CACHE_F32 ? "f32" : room.cache_type == LM_CACHE_Q8_0 ? "q8_0" : "f16",
           room.compute == LM_COMPUTE_F32 ? ", weights as float32" : "");
    printf("load      %.1f ms; to the first token %.1f ms, %.1f ms of CPU time\n", load * 1e3, first * 1e3, cpu * 1e3);
    if (rss) printf("memory    %.1f MiB resident at most, file %.1f MiB\n", (double)rss / 1048576, (double)info.n_file_bytes / 1048576);
    if (pp.n) {
        const char *t = lm_type_name(type); int is_float = room.compute == LM_COMPUTE_F32 || *t == 'F' || strncmp(t, "BF", 2) == 0;
        spread(&pp, &median, &least, &most); top = fastest(is_float, &name);
        printf("prompt    %d tokens: %.1f tokens/s (%.1f to %.1f in %d run%s), %.1f G%sOP/s", pp.n, median, least, most,
               n_runs, n_runs == 1 ? "" : "s", median * pp.gop_per_token, is_float ? "FL" : "");
        if (top > 0) printf(" = %.1f %% of %.0f (%s)", median * pp.gop_per_token * 1e11 / top, top * 1e-9, name);
        printf("\n");
    }
    if (tg.n) {
        spread(&tg, &median, &least, &most);
        printf("generate  %d tokens: %.1f tokens/s (%.1f to %.1f in %d run%s), %.1f MB each, %.1f GB/s", tg.n, median, least, most,
               n_runs, n_runs == 1 ? "" : "s",
               (double)bytes * 1e-6, median * (double)bytes * 1e-9);
        spread(&share, &median, &least, &most);
        if (read_rate > 0) printf(" = %.1f %% (%.1f to %.1f) of the reads around it, %.1f", median * 100, least * 100, most * 100, read_rate * 1e-9);
        printf("\n");
    }
    free(ids); free(pp.tps); free(tg.tps); free(reads.tps); free(share.tps);
    return cli_end();
}
