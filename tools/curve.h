/* log.csv of a training run, and curve.svg drawn from it. Header-only.
 *   curve c; curve_open(&c, "run", step);                  goes on behind the lines up to `step`, later ones (of a run that was cut off) go
 *   curve_add(&c, &row);                                   one line, flushed
 *   curve_draw("run", "title");                            the picture of the file as it is
 * Columns: step, epoch, tokens (seen), loss (mean since the line before, nats a token), lr, grad_norm (before clipping), tokens_per_s,
 * skipped (bad batches so far), valid_loss, valid_perplexity, valid_bits_per_byte; a field without a value is empty. */
#ifndef CURVE_H
#define CURVE_H
#include "cli.h"

#define CURVE_HEAD "step,epoch,tokens,loss,lr,grad_norm,tokens_per_s,skipped,valid_loss,valid_perplexity,valid_bits_per_byte"
typedef struct curve { FILE *f; char path[4200]; } curve;
/* valid, bits: NaN where there is none */
typedef struct curve_row { uint64_t step, tokens, skipped; double epoch, loss, lr, norm, speed, valid, bits; } curve_row;

static inline const char *curve_next(const char *p) { const char *nl = strchr(p, '\n'); return nl ? nl + 1 : NULL; } /* behind a whole line */
static inline void curve_open(curve *c, const char *folder, uint64_t step) {
    char *old = NULL; const char *p, *next; size_t n, keep = 0;
    snprintf(c->path, sizeof c->path, "%.4096s/log.csv", folder);
    if (step > 0 && cli_what(c->path) == CLI_FILE) {
        old = cli_read(c->path, &n);
        for (p = curve_next(old); p && *p; p = next) { /* steps rise */
            next = curve_next(p);
            if (next == NULL || strtoull(p, NULL, 10) > step) break;
            keep = (size_t)(next - old);
        }
    }
    c->f = cli_create(c->path);
    if (keep) fwrite(old, 1, keep, c->f); else fprintf(c->f, "%s\n", CURVE_HEAD);
    cli_commit(c->f, c->path);
    free(old);
    c->f = cli_fopen(c->path, "ab");
    if (c->f == NULL) cli_die("%s: %s", c->path, strerror(errno));
}
static inline void curve_add(curve *c, const curve_row *r) {
    fprintf(c->f, "%llu,%.4f,%llu,%.6f,%.6g,%.6g,%.0f,%llu,", (unsigned long long)r->step, r->epoch, (unsigned long long)r->tokens, r->loss, r->lr,
        r->norm,
        r->speed, (unsigned long long)r->skipped);
    if (r->valid == r->valid) fprintf(c->f, "%.6f,%.4f,", r->valid, exp(r->valid)); else fputs(",,", c->f);
    if (r->bits == r->bits) fprintf(c->f, "%.6f", r->bits);
    fputc('\n', c->f);
    if (fflush(c->f) != 0 || ferror(c->f)) cli_die("%s: %s", c->path, strerror(errno));
}
static inline void curve_close(curve *c) { if (c->f && fclose(c->f) != 0) cli_die("%s: %s", c->path, strerror(errno)); c->f = NULL; }

/* ---- the picture */
typedef struct curve_point { double x, loss, valid; } curve_point;
static inline size_t curve_points(char *text, curve_point **out) { /* step, loss and valid_loss of each line; fields that are empty: NaN */
    char *p = (char *)(uintptr_t)curve_next(text), *end; size_t n = 0, cap = 0; int k;
    for (*out = NULL; p && *p; p = end) {
        curve_point v = { 0, NAN, NAN };
        end = strchr(p, '\n');
        if (end == NULL) break;
        for (k = 0; k < 9 && p < end; k++) {
            size_t len = strcspn(p, ",\n"); double x = len ? strtod(p, NULL) : NAN;
            if (k == 0) v.x = x; else if (k == 3) v.loss = x; else if (k == 8) v.valid = x;
            p += len + (p[len] == ',');
        }
        end++;
        if (n == cap) *out = (curve_point *)cli_grow(*out, (cap = cap * 2 + 64) * sizeof v);
        (*out)[n++] = v;
    }
    return n;
}
static inline double curve_tick(double span) { /* 1, 2 or 5 times a power of ten: about five of them in span */
    double p = pow(10, floor(log10(span / 5))), r = span / 5 / p;
    return p * (r < 1.5 ? 1 : r < 3.5 ? 2 : r < 7.5 ? 5 : 10);
}
enum { CURVE_WIDE = 860, CURVE_HIGH = 420, CURVE_LEFT = 60, CURVE_RIGHT = 20, CURVE_TOP = 70, CURVE_BOTTOM = 40 };
static inline void curve_line(FILE *f, const curve_point *v, size_t n, int valid, double x1, double y0, double y1) {
    size_t i; int any = 0;
    for (i = 0; i < n; i++) {
        double y = valid ? v[i].valid : v[i].loss;
        if (!(y == y)) continue;
        fprintf(f, "%s%.1f,%.1f", any ? " " : valid ? "<polyline class=\"valid\" points=\"" : "<polyline class=\"train\" points=\"",
            CURVE_LEFT + v[i].x / x1 * (CURVE_WIDE - CURVE_LEFT - CURVE_RIGHT),
                CURVE_TOP + (y1 - y) / (y1 - y0) * (CURVE_HIGH - CURVE_TOP - CURVE_BOTTOM));
        any = 1;
    }
    if (any) fputs("\"/>\n", f);
}
static inline void curve_axes(FILE *f, double x1, double y0, double y1) {
    double t, step = curve_tick(y1 - y0);
    for (t = ceil(y0 / step) * step; t <= y1; t += step) {
        double y = CURVE_TOP + (y1 - t) / (y1 - y0) * (CURVE_HIGH - CURVE_TOP - CURVE_BOTTOM);
        fprintf(f, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/><text class=\"s\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
            CURVE_LEFT, y,
            CURVE_WIDE - CURVE_RIGHT, y, CURVE_LEFT - 8, y + 4, t);
    }
    step = curve_tick(x1);
    for (t = 0; t <= x1; t += step)
        fprintf(f, "<text class=\"s\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.15g</text>\n",
            CURVE_LEFT + t / x1 * (CURVE_WIDE - CURVE_LEFT - CURVE_RIGHT),
            CURVE_HIGH - CURVE_BOTTOM + 18, t);
}
static inline void curve_draw(const char *folder, const char *what) {
    char path[4200], *text; size_t n_bytes, n, i; curve_point *v; double x1 = 1, y0 = 1e300, y1 = -1e300; FILE *f; int k;
    snprintf(path, sizeof path, "%.4096s/log.csv", folder);
    text = cli_read(path, &n_bytes);
    n = curve_points(text, &v);
    for (i = 0; i < n; i++) for (k = 0; k < 2; k++) {
        double y = k ? v[i].valid : v[i].loss;
        if (v[i].x > x1) x1 = v[i].x;
        if (y < y0) y0 = y;
        if (y > y1) y1 = y;
    }
    if (y1 >= y0) {
        if (y1 - y0 < 1e-6) { y0 -= 0.5; y1 += 0.5; }
        snprintf(path, sizeof path, "%.4096s/curve.svg", folder);
        f = cli_create(path);
        fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n<title>Loss of a training run</title>\n", CURVE_WIDE,
            CURVE_HIGH, CURVE_WIDE, CURVE_HIGH);
        fputs("<style>\ntext { font: 13px system-ui, sans-serif; fill: #1f2328 } .t { font-weight: 600; font-size: 15px } .s { fill: #59636e; font-size: 12px }\n"
              ".card { fill: #ffffff; stroke: #d1d9e0 } line { stroke: #d1d9e0 } polyline { fill: none; stroke-width: 1.5 } .train { stroke: #a0a8b0 }\n"
              ".valid { stroke: #0969da; stroke-width: 2.5 } @media (prefers-color-scheme: dark) { text { fill: #f0f6fc } .s { fill: #9198a1 }\n"
              ".card { fill: #0d1117; stroke: #3d444d } line { stroke: #3d444d } .train { stroke: #656c76 } .valid { stroke: #4493f8 } }\n</style>\n", f);
        fprintf(f, "<rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n<text class=\"t\" x=\"20\" y=\"30\">Loss, nats a token, over steps</text>\n",
            CURVE_WIDE - 1, CURVE_HIGH - 1);
        fputs("<polyline class=\"train\" points=\"560,26 584,26\"/><text x=\"590\" y=\"31\">training</text>"
              "<polyline class=\"valid\" points=\"680,26 704,26\"/><text x=\"710\" y=\"31\">validation</text>\n<text class=\"s\" x=\"20\" y=\"50\">",
                  f);
        for (; *what; what++) if (*what == '<' || *what == '&') fputs(*what == '<' ? "&lt;" : "&amp;", f); else fputc(*what, f);
        fputs("</text>\n", f);
        curve_axes(f, x1, y0, y1);
        curve_line(f, v, n, 0, x1, y0, y1); curve_line(f, v, n, 1, x1, y0, y1);
        fputs("</svg>\n", f);
        cli_commit(f, path);
    }
    free(v); free(text);
}
#endif /* CURVE_H */
