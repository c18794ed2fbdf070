/* Template of backend_scalar.c: a type of floats and one of integers. REAL and STORED are the types, LIMIT
 * is the largest integer, FROM_TO(op) and TO_FROM(op) add both types to a name. */
static void HALP_NAME(FROM_TO(halp_quantize))(size_t n, const REAL *x, double scale, STORED *q,
                                              halp_rng *rng)
{
    halp_rng_format(rng, 16, 16);
    const size_t block = HALP_BLOCK_BYTES / 2;
    const uint16_t *lanes = NULL;
    for (size_t j = 0; j < n; j++) {
        if (j % block == 0) lanes = halp_rng_block(rng, halp_rng_draw(rng));
        const double y = fmax(fmin((double)x[j] / scale, LIMIT), -LIMIT);
        const double low = floor(y);
        const int32_t fraction = (int32_t)rint((y - low) * 65536.0);
        q[j] = (STORED)((int32_t)low + ((fraction + lanes[j % block]) >> 16));
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
