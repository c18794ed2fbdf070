/* Template of axpy.h: a model of int16.
 *
 *   FORMAT(op)  adds the format to a name
 *   DATA        type of the data
 *   LOAD        V_I16 of them as 16-bit lanes
 *   FRACTION    fraction bits of the step size and of the random lanes
 */

HALP_INLINE void FORMAT(group)(int16_t *w, const DATA *x, vi c_and_k, const int16_t *h,
                               const uint32_t *lanes)
{
    for (int k = 0; k < 32; k += V_I16) {
        const vi x_k = LOAD(x + k), h_k = v_load(h + k);
        const int low = k / 2, high = low + 16; /* halp_lane_i16 */
        const vi t_low = v_add_i32(v_pairs_low_i16(x_k, h_k, c_and_k), v_load(lanes + low));
        const vi t_high = v_add_i32(v_pairs_high_i16(x_k, h_k, c_and_k), v_load(lanes + high));
        const vi t = v_packs_i32(v_sra_i32(t_low, FRACTION), v_sra_i32(t_high, FRACTION));
        v_store(w + k, v_max_i16(v_subs_i16(v_load(w + k), t), v_set1_i16(-32767)));
    }
}

/* Fewer than 32 elements. */
HALP_COLD void FORMAT(tail)(size_t n, int16_t *w, const DATA *x, vi c_and_k, const int16_t *h,
                            const uint32_t *lanes)
{
    int16_t w_tail[32] = {0};
    DATA x_tail[32] = {0};
    memcpy(w_tail, w, n * sizeof *w);
    memcpy(x_tail, x, n * sizeof *x);
    FORMAT(group)(w_tail, x_tail, c_and_k, h, lanes);
    memcpy(w, w_tail, n * sizeof *w);
}

HALP_INLINE void FORMAT(block)(size_t n, int16_t *w, const DATA *x, vi c_and_k, const int16_t *h,
                               const uint32_t *lanes, const DATA *next)
{
    size_t j = 0;
    for (; j + 32 <= n; j += 32) {
        HALP_PREFETCH_L2(next + j);
        FORMAT(group)(w + j, x + j, c_and_k, h + j, lanes + j);
    }
    if (j < n) FORMAT(tail)(n - j, w + j, x + j, c_and_k, h + j, lanes + j);
}

HALP_INLINE void HALP_NAME(FORMAT(halp_axpy))(size_t n, int16_t *w, const DATA *x, double c,
                                              halp_h h, halp_rng *rng, const void *next)
{
    halp_rng_format(rng, 32, FRACTION);
    uint64_t draw = halp_rng_draw(rng);
    const int32_t step = halp_split_i16(c, FRACTION, halp_rng_uniform(rng, draw));
    const vi c_and_k = v_set1_i32((int32_t)(((uint32_t)step & 0xffff) | (0x10000u << h.exponent)));
    const DATA *next_row = next ? next : x;
    const size_t block = HALP_BLOCK_BYTES / 4;
    for (size_t j = 0; j < n; j += block) {
        if (j > 0) draw = halp_rng_draw(rng);
        const size_t m = n - j < block ? n - j : block;
        const int16_t *h_j = h.values ? h.values + j : halp_no_h;
        const uint32_t *lanes = halp_rng_block(rng, draw);
        if (step < -32767 || step > 32767)
            HALP_SCALAR(FORMAT(halp_block))(m, w + j, x + j, step, h_j, h.exponent, lanes);
        else
            FORMAT(block)(m, w + j, x + j, c_and_k, h_j, lanes, next_row + j);
    }
}

#undef FORMAT
#undef DATA
#undef LOAD
#undef FRACTION
