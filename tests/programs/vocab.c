/* The tokenizer of a folder, or llama2.c's tokenizer.bin, as a GGUF file without tensors: what tests/convert_vocab.py looks at.
 *   vocab FOLDER|FILE.bin OUT.gguf [N_VOCAB [PRE]] */
#include "../../tools/vocab.h"

int main(int argc, char **argv) {
    vocab v; gguf_writer w; size_t n; int n_vocab = -1;
    cli.program = "vocab";
    if (argc < 3 || (argc > 3 && !cli_int(argv[3], strlen(argv[3]), -1, INT_MAX, &n_vocab))) cli_usage("FOLDER|FILE.bin OUT.gguf [N_VOCAB [PRE]]");
    n = strlen(argv[1]);
    if (n > 4 && strcmp(argv[1] + n - 4, ".bin") == 0) vocab_load_bin(&v, argv[1], n_vocab);
    else vocab_load(&v, argv[1], argc > 4 ? argv[4] : NULL, n_vocab);
    gguf_open(&w, argv[2]);
    gguf_str(&w, "general.architecture", "llama");
    vocab_write(&v, &w);
    gguf_begin(&w);
    gguf_end(&w);
    vocab_close(&v);
    return 0;
}
