/* tools/schedule.h against reference/train/lr_schedule.tsv, and what each schedule promises. */
#include "test.h"
#include "../tools/schedule.h"

static int kind_of(const char *name) {
    static const char *const names[] = { "constant", "cosine", "linear", "wsd" }; int i;
    for (i = 0; i < 4; i++) if (strcmp(names[i], name) == 0) return i;
    return -1;
}
void test_schedule(void) {
    const char *path = data_path("reference/train/lr_schedule.tsv"); char *text, *p, kind[16]; size_t n; int lines = 0, k;
    double worst = 0, hi, lo, warm, all, step, want;
    for (k = 0; k < 4; k++) {
        CHECK_NEAR(schedule_lr(k, 0, 1, 0.1, 10, 100, 0.2), 0.1, 1e-15);
        CHECK_NEAR(schedule_lr(k, 9, 1, 0.1, 10, 100, 0.2), 1, 1e-15);
        CHECK_NEAR(schedule_lr(k, 10, 1, 0.1, 10, 100, 0.2), 1, 1e-15);
        CHECK_NEAR(schedule_lr(k, 100, 1, 0.1, 10, 100, 0.2), k == SCHEDULE_CONSTANT ? 1 : 0.1, 1e-15);
    }
    if (path == NULL) SKIP(NO_DATA);
    text = (char *)read_file(path, &n);
    for (p = text ? strchr(text, '\n') : NULL; p && sscanf(p + 1, "%15s %lf %lf %lf %lf %lf %lf", kind, &hi, &lo, &warm, &all, &step, &want) == 7;
        p = strchr(p + 1, '\n')) {
        double got = schedule_lr(kind_of(kind), step, hi, lo, warm, all, 0.2), off = fabs(got - want) / (want > 0 ? want : 1);
        if (off > worst) worst = off;
        lines++;
    }
    CHECK(lines == 363 && worst < 1e-11);
    note("lr_schedule.tsv: %d lines, largest relative difference %.1e", lines, worst);
    free(text);
}
