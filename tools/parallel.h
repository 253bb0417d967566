/* n jobs on several threads, of which the caller's is one. Header-only.
 *     parallel(4, n, job, arg)                               calls job(arg, i, thread) for each i < n, thread < 4; -> NULL
 * A job returns NULL or a static text that says what is wrong: then no further job begins, and parallel returns the text. Jobs end neither the program
 * nor their thread. Fewer threads than asked for will do. */
#ifndef PARALLEL_H
#define PARALLEL_H
#include "cli.h"
#ifndef _WIN32
#include <pthread.h>
#endif

#define PARALLEL_MAX 256              /* threads */
typedef const char *(*parallel_job)(void *arg, uint64_t i, int thread);
typedef struct parallel_work {
    parallel_job job; void *arg; uint64_t n, next; int n_threads; const char *error;
#ifdef _WIN32
    CRITICAL_SECTION lock;
#else
    pthread_mutex_t lock;
#endif
} parallel_work;

#ifdef _WIN32
typedef HANDLE parallel_thread;
static inline void parallel_lock(parallel_work *w) { EnterCriticalSection(&w->lock); }
static inline void parallel_unlock(parallel_work *w) { LeaveCriticalSection(&w->lock); }
#else
typedef pthread_t parallel_thread;
static inline void parallel_lock(parallel_work *w) { pthread_mutex_lock(&w->lock); }
static inline void parallel_unlock(parallel_work *w) { pthread_mutex_unlock(&w->lock); }
#endif

static inline void parallel_run(parallel_work *w) {
    int thread; uint64_t i; const char *error = NULL;
    parallel_lock(w); thread = w->n_threads++; parallel_unlock(w);
    for (;;) {
        parallel_lock(w);
        if (error && !w->error) w->error = error;
        i = w->error ? w->n : w->next;
        w->next += i < w->n;
        parallel_unlock(w);
        if (i >= w->n) return;
        error = w->job(w->arg, i, thread);
    }
}
#ifdef _WIN32
static DWORD WINAPI parallel_main(LPVOID w) { parallel_run((parallel_work *)w); return 0; }
static inline int parallel_start(parallel_thread *t, parallel_work *w) { return (*t = CreateThread(NULL, 0, parallel_main, w, 0, NULL)) != NULL; }
static inline void parallel_join(parallel_thread t) { WaitForSingleObject(t, INFINITE); CloseHandle(t); }
#else
static inline void *parallel_main(void *w) { parallel_run((parallel_work *)w); return NULL; }
static inline int parallel_start(parallel_thread *t, parallel_work *w) { return pthread_create(t, NULL, parallel_main, w) == 0; }
static inline void parallel_join(parallel_thread t) { pthread_join(t, NULL); }
#endif
static inline const char *parallel(int n_threads, uint64_t n, parallel_job job, void *arg) {
    parallel_work w; parallel_thread t[PARALLEL_MAX]; int started = 0, i;
    memset(&w, 0, sizeof w);
    w.job = job; w.arg = arg; w.n = n;
#ifdef _WIN32
    InitializeCriticalSection(&w.lock);
#else
    if (pthread_mutex_init(&w.lock, NULL) != 0) cli_die("threads: no lock can be had");
#endif
    while (started < PARALLEL_MAX && started + 1 < n_threads && (uint64_t)started + 1 < n && parallel_start(&t[started], &w)) started++;
    parallel_run(&w);
    for (i = 0; i < started; i++) parallel_join(t[i]);
#ifdef _WIN32
    DeleteCriticalSection(&w.lock);
#else
    pthread_mutex_destroy(&w.lock);
#endif
    return w.error;
}
#endif /* PARALLEL_H */
