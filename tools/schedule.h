/* The learning rate of an update. Header-only. step: from 0; warmup and total in updates. In the first `warmup` updates it rises to max_lr, then
 *   constant   max_lr
 *   cosine     min_lr + (max_lr - min_lr) (1 + cos(pi p)) / 2,   p = (step - warmup) / (total - warmup)
 *   linear     from max_lr to min_lr in p
 *   wsd        max_lr, then linear to min_lr over the last decay_share of the updates (their number rounded to the nearest, halves to even)
 * and from `total` on it is min_lr, but for the constant one. */
#ifndef SCHEDULE_H
#define SCHEDULE_H
#include <math.h>
enum { SCHEDULE_CONSTANT, SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_WSD };
static inline double schedule_lr(int kind, double step, double max_lr, double min_lr, double warmup, double total, double decay_share) {
    double p, start;
    if (step < warmup) return max_lr * (step + 1) / warmup;
    if (kind == SCHEDULE_CONSTANT) return max_lr;
    if (step >= total) return min_lr;
    if (kind == SCHEDULE_WSD) {
        start = total - rint(decay_share * total);
        return step < start ? max_lr : min_lr + (max_lr - min_lr) * (total - step) / (total - start);
    }
    p = (step - warmup) / (total - warmup);
    return min_lr + (max_lr - min_lr) * (kind == SCHEDULE_COSINE ? 0.5 * (1 + cos(3.14159265358979323846 * p)) : 1 - p);
}
#endif /* SCHEDULE_H */
