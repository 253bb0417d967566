/* Tensor types: every block of the reference dequantized, and the tiny models' blocks through both ends of a row. */
#include "tiny.h"

static void against_reference(void) {
    json *index = json_file(data_path("reference/quants/index.json")); const json *types = json_get(index, "types"), *t; int n_types = 0;
    size_t n_values = 0; double worst = 0;
    static const char *const with_minimum[] = { "Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K" };
    if (!CHECK(types != NULL)) return;
    for (t = types->child; t; t = t->next) {
        char path[200]; size_t n_bin, n_f32, n, i, j; uint8_t *bin; float *want, *got;
        int type = (int)json_number(t, "ggml_type", -1), minimum = 0, bad = 0;
        size_t block = (size_t)json_number(t, "elements_per_block", 0), block_bytes = (size_t)json_number(t, "bytes_per_block", 0),
            blocks = (size_t)json_number(t, "blocks", 0);
        for (i = 0; i < 5; i++) minimum |= strcmp(t->key, with_minimum[i]) == 0;
        sprintf(path, "reference/quants/%.40s.bin", t->key); bin = (uint8_t *)read_file(data_path(path), &n_bin);
        sprintf(path, "reference/quants/%.40s.f32", t->key); want = (float *)read_file(data_path(path), &n_f32);
        n = blocks * block;
        got = (float *)malloc(n * sizeof *got + 1);
        CHECK(strcmp(lm_type_name(type), t->key) == 0);
        if (CHECK(bin && want && got && n_bin == blocks * block_bytes && n_f32 == n * sizeof *want)) {
            CHECK_STATUS(lm_dequantize(type, bin, n, got), LM_OK);
            for (i = 0; i < blocks; i++) {
                double largest = 0;
                for (j = 0; j < block; j++) if (fabs((double)want[i * block + j]) > largest) largest = fabs((double)want[i * block + j]);
                for (j = 0; j < block; j++) {
                    double w = (double)want[i * block + j], g = (double)got[i * block + j],
                        tol = minimum ? 2e-6 * largest + 1e-37 : 1e-6 * fabs(w) + 1e-37, d = fabs(g - w);
                    test_now.n_checks++;
                    if (!(d <= tol) && !(g == w) && bad++ < 3) { test_now.n_checks--; FAIL("a weight");
                        note("%s block %lu item %lu: %g, expected %g", t->key, (unsigned long)i, (unsigned long)j, g, w); }
                    if (w != 0 && g != w && d / (minimum ? largest : fabs(w)) > worst) worst = d / (minimum ? largest : fabs(w));
                    n_values++;
                }
            }
            for (i = 0; i < 3; i++) { /* from an odd address, and in pieces, the same values */
                uint8_t *odd = (uint8_t *)malloc(n_bin + 3); float *again = (float *)malloc(n * sizeof *again + 1);
                if (odd == NULL || again == NULL) { free(odd); free(again); break; }
                memcpy(odd + i, bin, n_bin);
                for (j = 0; j < blocks; j++) if (lm_dequantize(type, odd + i + j * block_bytes, block,
                    again + j * block) != LM_OK) FAIL("lm_dequantize");
                CHECK_BITS(again, got, n * sizeof *got);
                free(odd); free(again);
            }
            if (block > 1) CHECK_STATUS(lm_dequantize(type, bin, block - 1, got), LM_E_ARG);
        }
        free(bin); free(want); free(got);
        n_types++;
    }
    CHECK(n_types == 17);
    note("%d types, %lu weights, worst relative difference %.2g", n_types, (unsigned long)n_values, worst);
    json_free(index);
}

void test_types(void);
void test_types(void) {
    static const float some[5] = { 0.0f, -1.5f, 1e-40f, 3e38f, 65504.0f }; float out[256]; uint8_t zeros[256]; int i, n = 0;
    CHECK_STATUS(lm_dequantize(0, some, 5, out), LM_OK);
    CHECK_BITS(out, some, sizeof some);
    memset(zeros, 0, sizeof zeros);
    for (i = -2; i < 300; i++) { /* a type is known by name, or refused */
        lm_status s = lm_dequantize(i, zeros, 0, out);
        if (strcmp(lm_type_name(i), "?") == 0) CHECK(s == LM_E_ARG || s == LM_E_SUPPORT); else { CHECK(s == LM_OK || s == LM_E_SUPPORT);
            n += s == LM_OK; }
    }
    CHECK(n == 18);
    if (data_path("reference/quants/index.json") == NULL) { SKIP_PART(NO_DATA); return; }
    against_reference();
}
