/* What tools/json.h reads, in a form that a script compares: `json FILE...` prints a line for each file: its values, or "refused".
 * n t f, i123, r0x1.8p+1, s and the text in hexadecimal, [ ... ], { key value ... }. The same json_doc reads all, so memory is used again. */
#include "../../tools/json.h"

static void show_text(const char *p, size_t n) {
    size_t i;
    putchar('s');
    for (i = 0; i < n; i++) printf("%02x", (unsigned)(unsigned char)p[i]);
    putchar(' ');
}
static void show(const json *v) {
    uint32_t i;
    switch (v->kind) {
        case JSON_NULL: printf("n "); break;
        case JSON_TRUE: printf("t "); break;
        case JSON_FALSE: printf("f "); break;
        case JSON_REAL: printf("r%a ", v->v.real); break;
        case JSON_INT: printf("i%llu ", (unsigned long long)v->v.u); break;
        case JSON_MINUS: printf("i%lld ", (long long)v->v.i); break;
        case JSON_STRING: show_text(v->v.text, v->n); break;
        default:
            printf(v->kind == JSON_LIST ? "[ " : "{ ");
            for (i = 0; i < v->n; i++) {
                const json *item = &v->v.item[i];
                if (v->kind == JSON_OBJECT) {
                    show_text(item->key, item->n_key);
                    if (json_find(v, item->key, item->n_key) != item || item->key[item->n_key] != 0) printf("(lost) ");
                }
                show(item);
            }
            printf(v->kind == JSON_LIST ? "] " : "} ");
    }
}

int main(int argc, char **argv) {
    static json_doc d; static jmp_buf rescue; static int i; const json *v;
    cli.program = "json";
    for (i = 1; i < argc; i++) {
        cli.rescue = &rescue;
        if (setjmp(rescue) == 0) {
            v = json_read(&d, argv[i]);
            show(v);
            if (json_get(v, "no such key") != NULL) printf("(found)");
            putchar('\n');
        } else { json_close(&d); puts("refused"); }
    }
    json_close(&d);
    cli.rescue = NULL;
    return cli_end();
}
