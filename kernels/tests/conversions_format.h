/* Template of conversions.c: a type of floats and one of integers. REAL and STORED are the types, LIMIT is
 * the largest integer, LARGEST the largest float to quantize; FROM_TO(op) and TO_FROM(op) add both types to a
 * name. */
static void FROM_TO(test_quantize)(const halp_backend *b, const halp_backend *scalar, size_t n,
                                   halp_rounding rounding)
{
    const double scale = scales[random_below(COUNT(scales))];
    halp_rng rng, rng_got;
    memset(&rng, 0, sizeof rng); /* memcmp sees the padding, too */
    halp_rng_init(&rng, n, rounding);
    memcpy(&rng_got, &rng, sizeof rng);
    REAL *x = guarded(n, sizeof *x, random_below(4)), *y = guarded(n, sizeof *y, 1);
    REAL *y_got = guarded(n, sizeof *y, random_below(4));
    STORED *q = guarded(n, sizeof *q, 1), *q_got = guarded(n, sizeof *q, random_below(4));
    for (size_t j = 0; j < n; j++) x[j] = (REAL)value_to_quantize(scale, LIMIT, LARGEST);
    describe("%s %s, n = %zu, scale %g, rounding %d", b->name, TEXT(FROM_TO(quantize)), n, scale,
             rounding);
    scalar->FROM_TO(quantize)(n, x, scale, q, &rng);
    b->FROM_TO(quantize)(n, x, scale, q_got, &rng_got);
    CHECK(memcmp(q, q_got, n * sizeof *q) == 0);
    CHECK(memcmp(&rng, &rng_got, sizeof rng) == 0);
    for (size_t j = 0; j < n; j++) {
        const double exact = fmax(fmin(x[j] / scale, LIMIT), -LIMIT);
        CHECK(fabs(q_got[j] - exact) <= (rounding == HALP_NEAREST ? 0.5 : 1.0) + 0x1p-16);
    }
    describe("%s %s, n = %zu", b->name, TEXT(TO_FROM(dequantize)), n);
    scalar->TO_FROM(dequantize)(n, q, scale, y);
    b->TO_FROM(dequantize)(n, q, scale, y_got);
    CHECK(memcmp(y, y_got, n * sizeof *y) == 0);
    for (size_t j = 0; j < n; j++) CHECK(y_got[j] == (REAL)(q[j] * scale));
    release(x);
    release(y);
    release(y_got);
    release(q);
    release(q_got);
}

#undef REAL
#undef STORED
#undef LIMIT
#undef LARGEST
#undef FROM_TO
#undef TO_FROM
