/* Template of backend_scalar.c: axpy of one format whose model is int16. DATA is the type of the data,
 * FRACTION the fraction bits of the step size and of the lanes; FORMAT(op) adds the format to a name. */
void HALP_NAME(FORMAT(halp_block))(size_t n, int16_t *w, const DATA *x, int32_t c, const int16_t *h,
                                   int exponent, const uint32_t *lanes)
{
    for (size_t j = 0; j < n; j++) {
        const int64_t h_j = h ? (int64_t)h[j] * (1 << exponent) : 0;
        const int64_t v = (int64_t)c * x[j] + h_j + lanes[halp_lane_i16(j)];
        w[j] = (int16_t)clamp(w[j] - sat16(v >> FRACTION), -32767, 32767);
    }
}

static void HALP_NAME(FORMAT(halp_axpy))(size_t n, int16_t *w, const DATA *x, double c, halp_h h,
                                         halp_rng *rng, const void *next)
{
    (void)next;
    halp_rng_format(rng, 32, FRACTION);
    uint64_t draw = halp_rng_draw(rng);
    const int32_t step = halp_split_i16(c, FRACTION, halp_rng_uniform(rng, draw));
    const size_t block = HALP_BLOCK_BYTES / 4;
    for (size_t j = 0; j < n; j += block) {
        if (j > 0) draw = halp_rng_draw(rng);
        const size_t m = n - j < block ? n - j : block;
        const int16_t *h_j = h.values ? h.values + j : NULL;
        const uint32_t *lanes = halp_rng_block(rng, draw);
        HALP_NAME(FORMAT(halp_block))(m, w + j, x + j, step, h_j, h.exponent, lanes);
    }
}

#undef FORMAT
#undef DATA
#undef FRACTION
