/* Makes a C file of a model, so that a program has it compiled in and needs no file beside it.
 *   build/embed stories.gguf -o stories.c                 bytes as an array: for every compiler; 4 bytes of text for each
 *   build/embed stories.gguf -o stories.c --form incbin   the assembler takes the file as it is when stories.c is compiled: GCC, Clang; at once
 * and in the program
 *   extern const unsigned char stories[]; extern const unsigned long long stories_bytes;
 *   lm_model_desc d = { 0 }; d.source.data = stories; d.source.size = stories_bytes;
 * The bytes are read-only, start at a multiple of 64, and are used in place with plain_layout. Memory: a buffer, whatever the model's size.
 */
#include "cli.h"

enum { ARRAY, INCBIN };
static const char *in_path, *out_path, *name; static int form;
static const cli_option options[] = {
    { "-o", "OUT.c", CLI_TEXT, &out_path, 0, 0, NULL, "the file to write" },
    { "--name", "NAME", CLI_TEXT, &name, 0, 0, NULL, "of the array; its size is NAME_bytes (default: the model's file name)" },
    { "--form", "array|incbin", CLI_CHOICE, &form, 0, 0, NULL, "an array, or the assembler's .incbin (default array)" },
};

static int is_letter(char c, int first) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9'); }
static void check_name(void) {
    size_t i;
    if (strlen(name) > 200 || !is_letter(*name, 1)) cli_usage("--name: %.60s is no name in C", name);
    for (i = 1; name[i]; i++) if (!is_letter(name[i], 0)) cli_usage("--name: %.60s is no name in C", name);
}
static void name_of_file(void) { /* its letters and digits up to the first dot */
    static char text[201]; const char *p = in_path, *q; size_t n = 0;
    for (q = in_path; *q; q++) if (*q == '/' || *q == '\\') p = q + 1;
    for (; *p && *p != '.' && n < sizeof text - 2; p++) { if (n == 0 && !is_letter(*p, 1)) text[n++] = '_'; if (is_letter(*p, 0)) text[n++] = *p;
        else if (n && text[n - 1] != '_') text[n++] = '_'; }
    if (n == 0) strcpy(text, "model");
    name = text;
}
static void write_array(FILE *in, FILE *out) {
    static unsigned char piece[65536]; size_t n, i;
    fprintf(out, "#if defined(_MSC_VER)\n__declspec(align(64))\n#elif defined(__GNUC__)\n__attribute__((aligned(64)))\n#endif\nconst unsigned char %s[] = {", name);
    while ((n = fread(piece, 1, sizeof piece, in)) > 0) for (i = 0; i < n; i++) fprintf(out, "%s%u,", i % 32 ? "" : "\n", piece[i]);
    fputs("\n};\n", out);
}
static void write_incbin(FILE *out) { /* Apple's assembler has names with an underscore and another section */
    const char *p;
    fputs("#ifdef __APPLE__\n#define SECTION \".const_data\\n\"\n#define NAME(x) \"_\" x\n#elif defined(_WIN32)\n#define SECTION \".section .rdata\\n\"\n#define NAME(x) x\n"
          "#else\n#define SECTION \".section .rodata\\n\"\n#define NAME(x) x\n#endif\n", out);
    fprintf(out, "__asm__(SECTION \".globl \" NAME(\"%s\") \"\\n.balign 64\\n\" NAME(\"%s\") \":\\n.incbin \\\"", name, name);
    for (p = in_path; *p; p++) if (*p == '"' || *p == '\\') fprintf(out, "\\\\\\%c", *p); else fputc(*p, out);
    fputs("\\\"\\n.byte 0\\n.text\\n\");\n", out);
}
int main(int argc, char **argv) {
    FILE *in, *out; unsigned char magic[4]; int64_t size;
    CLI_PARSE("embed", "MODEL.gguf -o OUT.c [options]", options, &in_path);
    if (in_path == NULL || out_path == NULL) cli_usage("MODEL.gguf and -o OUT.c are needed (--help)");
    if (name) check_name(); else name_of_file();
    if (cli_what(in_path) != CLI_FILE) cli_die("%s: %s", in_path, cli_what(in_path) == CLI_NOTHING ? "no such file" : "is no regular file");
    in = cli_fopen(in_path, "rb");
    if (in == NULL) { cli_die("%s: %s", in_path, strerror(errno)); return 1; }
    size = cli_size(in);
    if (cli_seek(in, 0) != 0 || fread(magic, 1, 4, in) != 4 || memcmp(magic, "GGUF", 4) != 0 || cli_seek(in, 0) != 0) cli_die("%s: is no GGUF file",
        in_path);
    out = cli_create(out_path);
    fprintf(out, "/* Made by tools/embed.c. Declare it as: extern const unsigned char %s[]; extern const unsigned long long %s_bytes; */\n", name,
        name);
    fprintf(out, "#ifdef __cplusplus\nextern \"C\" {\n#endif\nextern const unsigned char %s[]; extern const unsigned long long %s_bytes;\n", name,
        name);
    fprintf(out, "const unsigned long long %s_bytes = %lluu;\n", name, (unsigned long long)size);
    if (form == INCBIN) write_incbin(out); else write_array(in, out);
    fputs("#ifdef __cplusplus\n}\n#endif\n", out);
    if (ferror(in)) cli_die("%s: cannot be read", in_path);
    fclose(in);
    cli_commit(out, out_path);
    printf("%s: %s[%llu], declared as: extern const unsigned char %s[]; extern const unsigned long long %s_bytes;\n", out_path, name,
        (unsigned long long)size, name, name);
    return cli_end();
}
