/* Learning from preferences (DPO, Rafailov et al. 2023, arXiv:2305.18290). Header-only; train's steps and its --reference are this text.
 * Rows 2i and 2i + 1 of a batch are the chosen and the rejected answer to one prompt, whose tokens do not count. With p0 the model as it was,
 *     m = beta ((ln p(chosen) - ln p0(chosen)) - (ln p(rejected) - ln p0(rejected))),   l = -ln sigmoid(m);
 * so dl/d(-ln p(chosen)) = beta sigmoid(-m), and minus that for the rejected: these are the weights of the tokens in a second pass. */
#ifndef DPO_H
#define DPO_H
#include "cli.h"

/* nll, before: -ln p and -ln p0 of the chosen and the rejected answer. */
static inline double dpo_margin(double beta, const double *nll, const double *before) { return beta * ((before[0] - nll[0]) - (before[1] - nll[1])); }
static inline double dpo_loss(double m) { return m > 0 ? log1p(exp(-m)) : log1p(exp(m)) - m; }
/* Adds scale * (sum of the pairs' losses) to *loss and its gradients to t's. b: an even number of rows, their targets, start and step; before
 * [n_rows] -ln p0. Results: nll [n_rows]; weight [n_rows][n_len] is room. LM_E_NUMERIC: no number; *loss is then without these rows. */
static inline lm_status dpo_run(lm_train *t, lm_train_batch *b, double beta, double scale, const double *before, double *nll, float *weight,
    double *loss) {
    int r, i; lm_status s; double sum = 0;
    b->label_smoothing = 0; b->scale = 0; b->weight = NULL; b->row_nll = nll;
    if ((s = lm_train_run(t, b)) != LM_OK) return s;
    for (r = 0; r < b->n_rows; r += 2) {
        double m = dpo_margin(beta, nll + r, before + r); float w = (float)(beta / (1 + exp(m)));
        sum += dpo_loss(m) * scale;
        for (i = 0; i < b->n_len; i++) { weight[r * b->n_len + i] = w; weight[(r + 1) * b->n_len + i] = -w; }
    }
    b->row_nll = NULL; b->weight = weight; b->scale = (float)scale;
    s = lm_train_run(t, b);
    if (s == LM_OK) *loss += sum;
    return s;
}
#endif /* DPO_H */
