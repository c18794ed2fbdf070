/* Template of quantize.h: a type of floats and one of integers. REAL and STORED are the types, LIMIT is the
 * largest integer, FROM_TO(op) and TO_FROM(op) add both types to a name. */
static void HALP_NAME(FROM_TO(halp_quantize))(size_t n, const REAL *x, double scale, STORED *q,
                                              halp_rng *rng)
{
    halp_rng_format(rng, 16, 16);
    const size_t block = HALP_BLOCK_BYTES / 2;
    for (size_t start = 0; start < n; start += block) {
        const size_t m = n - start < block ? n - start : block;
        const uint16_t *lanes = halp_rng_block(rng, halp_rng_draw(rng));
        for (size_t j = 0; j < m; j++) {
            double y = x[start + j] / scale;
            y = y < LIMIT ? y : LIMIT;
            y = y > -LIMIT ? y : -LIMIT;
            const double low = floor(y);
            const int32_t fraction = (int32_t)rint((y - low) * 65536.0);
            q[start + j] = (STORED)((int32_t)low + ((fraction + lanes[j]) >> 16));
        }
    }
}

static void HALP_NAME(TO_FROM(halp_dequantize))(size_t n, const STORED *q, double scale, REAL *x)
{
    for (size_t j = 0; j < n; j++) x[j] = (REAL)(q[j] * scale);
}

#undef REAL
#undef STORED
#undef LIMIT
#undef FROM_TO
#undef TO_FROM
