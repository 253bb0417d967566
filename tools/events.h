/* Writes TensorBoard's event files: scalars and texts over steps. Header-only, no library.
 *   events e; events_open(&e, "run", first_step);          a new file events.out.tfevents.TIME.llama in the folder
 *   events_scalar(&e, step, "loss/train", x); events_text(&e, step, "sample", text, n_bytes);
 *   events_close(&e);
 * A file is records (TFRecord: u64 length, masked CRC-32C of it, data, masked CRC-32C of that), each an Event of tensorflow/core/util/event.proto
 * in protocol buffers: 1 wall time (double), 2 step (varint), 3 file version, 5 Summary, 7 SessionLog. A Summary holds values { 1 tag, 2 float,
 * 8 tensor, 9 metadata }. The session's start at a step makes TensorBoard forget what earlier files have from that step on: a run
 * that goes on from a checkpoint. */
#ifndef EVENTS_H
#define EVENTS_H
#include "cli.h"

#define EVENTS_MAX 16384              /* bytes of an event; longer texts are cut */

typedef struct events { FILE *f; char path[4400]; } events;
typedef struct events_bytes { unsigned char p[EVENTS_MAX]; size_t n; } events_bytes;

/* CRC-32C (Castagnoli), reflected, as in RFC 3720; then masked as TFRecord has it */
static inline uint32_t events_crc(const unsigned char *p, size_t n) {
    static uint32_t table[256]; uint32_t c = 0xffffffffu, i, k; size_t j;
    for (i = 0; table[255] == 0 && i < 256; i++) { uint32_t x = i; for (k = 0; k < 8; k++) x = x & 1 ? x >> 1 ^ 0x82f63b78u : x >> 1; table[i] = x; }
    for (j = 0; j < n; j++) c = table[(c ^ p[j]) & 255] ^ c >> 8;
    c = ~c;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}
static inline void events_le(unsigned char *p, uint64_t v, int n) { int i; for (i = 0; i < n; i++) p[i] = (unsigned char)(v >> 8 * i & 255); }

/* ---- protocol buffers: a field is its number * 8 + kind, as a varint, then a varint (0), 8 bytes (1), length and bytes (2) or 4 bytes (5) */
static inline void events_varint(events_bytes *b, uint64_t v) {
    do b->p[b->n++] = (unsigned char)((v & 127) | (v > 127 ? 128u : 0u)); while (v >>= 7);
}
static inline void events_int(events_bytes *b, unsigned field, uint64_t v) { events_varint(b, field * 8); events_varint(b, v); }
static inline void events_bytes_of(events_bytes *b, unsigned field, const void *p, size_t n) {
    events_varint(b, field * 8 + 2); events_varint(b, n);
    memcpy(b->p + b->n, p, n); b->n += n;
}
static inline void events_float(events_bytes *b, unsigned field, float v) { uint32_t u; memcpy(&u, &v, 4); events_varint(b, field * 8 + 5);
    events_le(b->p + b->n, u, 4); b->n += 4; }

/* ---- events */
static inline void events_record(events *e, uint64_t step, const unsigned char *what, size_t n) { /* what: the fields behind time and step */
    events_bytes b; unsigned char head[12], tail[4]; double now = cli_seconds(); uint64_t u;
    memcpy(&u, &now, 8);
    b.n = 0; events_varint(&b, 1 * 8 + 1); events_le(b.p + b.n, u, 8); b.n += 8;
    if (step) events_int(&b, 2, step);
    memcpy(b.p + b.n, what, n); b.n += n;
    events_le(head, b.n, 8); events_le(head + 8, events_crc(head, 8), 4); events_le(tail, events_crc(b.p, b.n), 4);
    if (fwrite(head, 1, 12, e->f) != 12 || fwrite(b.p, 1, b.n, e->f) != b.n || fwrite(tail, 1, 4, e->f) != 4 || fflush(e->f) != 0)
        cli_die("%s: %s", e->path, strerror(errno));
}
static inline void events_open(events *e, const char *folder, uint64_t first_step) {
    static const char version[] = "brain.Event:2"; events_bytes b, log; int i;
    for (i = 0; ; i++) {              /* names sort by time; two starts in one second have numbers */
        snprintf(e->path, sizeof e->path, "%.4096s/events.out.tfevents.%010.0f.llama.%04d", folder, floor(cli_seconds()), i);
        if (cli_what(e->path) == CLI_NOTHING || i == 9999) break;
    }
    e->f = cli_fopen(e->path, "wb");
    if (e->f == NULL) cli_die("%s: %s", e->path, strerror(errno));
    b.n = 0; events_bytes_of(&b, 3, version, sizeof version - 1); events_record(e, 0, b.p, b.n);
    log.n = 0; events_int(&log, 1, 1); /* SessionLog.status = START */
    b.n = 0; events_bytes_of(&b, 7, log.p, log.n); events_record(e, first_step, b.p, b.n);
}
static inline void events_value(events *e, uint64_t step, const events_bytes *value) { /* Event.summary.value */
    events_bytes summary, b;
    summary.n = 0; events_bytes_of(&summary, 1, value->p, value->n);
    b.n = 0; events_bytes_of(&b, 5, summary.p, summary.n);
    events_record(e, step, b.p, b.n);
}
static inline void events_scalar(events *e, uint64_t step, const char *tag, double x) {
    events_bytes v;
    if (e->f == NULL) return;
    v.n = 0; events_bytes_of(&v, 1, tag, strlen(tag)); events_float(&v, 2, (float)x);
    events_value(e, step, &v);
}
/* a tensor of one string, for the text plugin */
static inline void events_text(events *e, uint64_t step, const char *tag, const char *text, size_t n) {
    events_bytes v, t, shape, dim, meta, plugin;
    if (e->f == NULL) return;
    if (n > EVENTS_MAX - 1024) n = EVENTS_MAX - 1024;
    dim.n = 0; events_int(&dim, 1, 1);
    shape.n = 0; events_bytes_of(&shape, 2, dim.p, dim.n);
    t.n = 0; events_int(&t, 1, 7 /* DT_STRING */); events_bytes_of(&t, 2, shape.p, shape.n); events_bytes_of(&t, 8, text, n);
    plugin.n = 0; events_bytes_of(&plugin, 1, "text", 4);
    meta.n = 0; events_bytes_of(&meta, 1, plugin.p, plugin.n);
    v.n = 0; events_bytes_of(&v, 1, tag, strlen(tag)); events_bytes_of(&v, 8, t.p, t.n); events_bytes_of(&v, 9, meta.p, meta.n);
    events_value(e, step, &v);
}
static inline void events_close(events *e) { if (e->f && fclose(e->f) != 0) cli_die("%s: %s", e->path, strerror(errno)); e->f = NULL; }
#endif /* EVENTS_H */
