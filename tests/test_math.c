/* The private arithmetic, through a private copy of the library: half floats exhaustively, the real functions against libm, checked
 * sizes, sorting, hashing. Errors are in units in the last place of the double (or as stated). */
#define LLAMA_STATIC
#define LLAMA_IMPLEMENTATION
#include "test.h"
#include <float.h>

#if LDBL_MANT_DIG > DBL_MANT_DIG
#define SLACK 0.0
#else
#define SLACK 0.5                     /* the comparison itself is rounded */
#endif
static double ulps(double got, long double want) { /* want finite, of more digits where there are */
    double unit; int e;
    (void)frexp((double)want, &e);
    unit = ldexp(1.0, e - 53);
    if (unit < 4.9406564584124654e-324) unit = 4.9406564584124654e-324;
    return (double)(fabsl((long double)got - want) / (long double)unit);
}
static uint16_t half(float f) { /* by both forms, which must agree on what fits */
    uint16_t h[18], one = lmi_to_f16(f); float x[18]; int i, n, fits = f > -65520.0f && f < 65520.0f;
    for (n = 1; n <= 18; n += 17) {
        for (i = 0; i < n; i++) x[i] = f;
        if (lmi_to_f16s(x, n, h) != fits || (fits && (h[0] != one || h[n - 1] != one))) { FAIL("lmi_to_f16s"); note("%g", (double)f); }
    }
    return one;
}
static void halves(void) {
    uint32_t h; int i;
    for (h = 0; h < 65536; h++) {
        uint32_t e = h >> 10 & 31, man = h & 1023;
        double want = e == 31 ? (man ? NAN : HUGE_VAL) : e ? ldexp(1024 + (double)man, (int)e - 25) : ldexp((double)man, -24);
        float f = lmi_f16((uint16_t)h);
        if (h & 0x8000) want = -want;
        if (want != want) { if (f == f) { FAIL("NaN stays NaN"); } if (!((half(f) & 0x7fff) > 0x7c00)) FAIL("NaN stays NaN, back"); continue; }
        if ((double)f != want || (signbit(f) != 0) != ((h & 0x8000) != 0)) { FAIL("lmi_f16"); note("%04x", (unsigned)h); }
        if (half(f) != h) { FAIL("round trip"); note("%04x", (unsigned)h); }
        if ((h & 0x7fff) >= 0x7bff) continue;
        {   /* between neighbours: the midpoint to even, a float below or above it to the nearer */
            float next = lmi_f16((uint16_t)(h + 1)), mid = (f + next) * 0.5f; int up = (h & 1) != 0;
            if (half(mid) != (uint16_t)(h + (uint32_t)up)) { FAIL("midpoint to even"); note("%04x", (unsigned)h); }
            if (half(nextafterf(mid, f)) != h || half(nextafterf(mid, next)) != h + 1) { FAIL("nearest"); note("%04x", (unsigned)h); }
        }
    }
    CHECK(half(65519.996f) == 0x7bff && half(65520.0f) == 0x7c00 && half(-1e30f) == 0xfc00 && half(HUGE_VALF) == 0x7c00);
    CHECK(half(2.9802322e-8f) == 0 && half(2.9802326e-8f) == 1 && half(-0.0f) == 0x8000 && half(1e-45f) == 0);
    for (i = 0; i < 1; i++) note("all 65536 halves: exact, back again, and every midpoint to even");
}
static double unit(rng *r) { return (double)rng_u32(r) / 4294967296.0 + (double)rng_u32(r) / 18446744073709551616.0; }
static void real_functions(void) {
    rng r; int i; double e = 0, l = 0, sc = 0, p = 0, d, s, c, x, y;
    r.s = 42;
    for (i = 0; i < 300000; i++) {
        x = i % 3 == 0 ? unit(&r) * 1400 - 700 : i % 3 == 1 ? unit(&r) * 4 - 2 : unit(&r) * -90; /* logits below the maximum, mostly */
        d = ulps(lmi_exp(x), expl((long double)x)); if (!(d <= e)) e = d;
        x = i % 2 ? ldexp(0.5 + unit(&r), (int)(rng_u32(&r) % 2000) - 1000) : 0.5 + unit(&r);
        d = ulps(lmi_log(x), logl((long double)x)); if (!(d <= l)) l = d;
        x = i % 2 ? (unit(&r) * 2 - 1) * 1048576.0 : (unit(&r) * 2 - 1) * 10;
        lmi_sincos(x, &s, &c);
        if (fabs(sin(x)) > 1e-3) { d = ulps(s, sinl((long double)x)); if (!(d <= sc)) sc = d; } else CHECK_NEAR(s, sin(x), 1e-18);
        if (fabs(cos(x)) > 1e-3) { d = ulps(c, cosl((long double)x)); if (!(d <= sc)) sc = d; } else CHECK_NEAR(c, cos(x), 1e-18);
        x = 1000.0 * pow(1e6, unit(&r)); y = -unit(&r);
        d = fabs(lmi_pow(x, y) / pow(x, y) - 1); if (!(d <= p)) p = d;
    }
    CHECK(e < 2 + SLACK); CHECK(l < 2 + SLACK); CHECK(sc < 2 + SLACK); CHECK(p < 1e-14);
    note("300000 arguments each: exp %.3f ulp, log %.3f ulp, sin and cos %.3f ulp, pow %.1g relative", e, l, sc, p);
    CHECK(lmi_exp(0.0) == 1.0 && lmi_exp(-800.0) == 0.0 && lmi_exp(800.0) == HUGE_VAL && lmi_exp(-HUGE_VAL) == 0.0 && lmi_exp(HUGE_VAL) == HUGE_VAL
        && lmi_exp(NAN) != lmi_exp(NAN));
    CHECK(lmi_exp(-745.0) > 0 && lmi_exp(-745.0) == exp(-745.0));
    CHECK(lmi_log(1.0) == 0.0 && lmi_log(0.0) == -HUGE_VAL && lmi_log(HUGE_VAL) == HUGE_VAL && lmi_log(-1.0) != lmi_log(-1.0)
        && lmi_log(NAN) != lmi_log(NAN));
    CHECK(ulps(lmi_log(DBL_MIN / 4), logl((long double)(DBL_MIN / 4))) < 2 && ulps(lmi_log(5e-324), logl((long double)5e-324)) < 2 && lmi_pow(7.0,
        0.0) == 1.0);
    lmi_sincos(0.0, &s, &c); CHECK(s == 0.0 && c == 1.0);
    for (x = 1e6; x < 5e9; x *= 1.01) { lmi_sincos(x, &s, &c); CHECK_NEAR(s, sin(x), 1e-6); CHECK_NEAR(c, cos(x), 1e-6); } /* the last positions */
}
static int less(const void *owner, uint32_t a, uint32_t b) { const int *v = (const int *)owner; return v[a] != v[b] ? v[a] < v[b] : a < b; }
static void small_things(void) {
    uint64_t v; uint32_t order[500]; int key[500], i, round; rng r; uint8_t b[9]; char text[64]; lm_error e; lmi_str s;
    CHECK(lmi_mul(1u << 31, (uint64_t)1 << 32, &v) && v == (uint64_t)1 << 63); CHECK(!lmi_mul((uint64_t)1 << 32, (uint64_t)1 << 32, &v));
    CHECK(lmi_mul(0, UINT64_MAX, &v) && v == 0);
    CHECK(lmi_add(UINT64_MAX - 1, 1, &v) && v == UINT64_MAX); CHECK(!lmi_add(UINT64_MAX, 1, &v));
    for (i = 0; i < 9; i++) b[i] = (uint8_t)(0x11 * i + 0x80);
    CHECK(lmi_u16(b + 1) == 0xa291 && lmi_u32(b + 1) == 0xc4b3a291u && lmi_u64(b) == 0xf7e6d5c4b3a29180u);
    r.s = 9;
    for (round = 0; round < 200; round++) {
        int n = (int)(rng_u32(&r) % 500);
        for (i = 0; i < n; i++) { key[i] = (int)(rng_u32(&r) % (round % 2 ? 7 : 1000)); order[i] = (uint32_t)i; }
        lmi_sort(order, (size_t)n, less, key);
        for (i = 1; i < n; i++) if (!less(key, order[i - 1], order[i])) { FAIL("lmi_sort"); break; }
    }
    CHECK(lmi_finite(3e38f) && !lmi_finite(HUGE_VALF) && !lmi_finite(NAN) && lmi_finite64(1e308) && !lmi_finite64(HUGE_VAL));
    s.p = "a\nb\x1b\x7f"; s.n = 5;
    lmi_fail(&e, LM_E_FORMAT, "%s %S %d %u %f %%", "x", s, -5, (uint64_t)18446744073709551615u, 0.25);
    CHECK(strcmp(e.text, "x a\\x0ab\\x1b\\x7f -5 18446744073709551615 0.25 %") == 0);
    lmi_fail(&e, LM_E_FORMAT, "%d", (int)-2147483647 - 1); CHECK(strcmp(e.text, "-2147483648") == 0);
    lmi_fail(&e, LM_E_FORMAT, "%f %f", (double)NAN, -(double)HUGE_VAL); CHECK(strcmp(e.text, "nan -inf") == 0);
    memset(text, 'k', 63); text[63] = 0;
    lmi_fail(&e, LM_E_FORMAT, "%s%s%s%s%s%s%s%s", text, text, text, text, text, text, text, text);
    CHECK(strlen(e.text) == sizeof e.text - 1);
    CHECK(lmi_hash(lmi_cstr("")) != lmi_hash(lmi_cstr("a")) && lmi_hash(lmi_cstr("ab")) != lmi_hash(lmi_cstr("ba")));
}
void test_math(void);
void test_math(void) { halves(); real_functions(); small_things(); }
