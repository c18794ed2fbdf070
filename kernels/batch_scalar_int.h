/* Template of batch_scalar.h: integer formats. DATA and MODEL are the types, LANE(j) is where the random
 * lane of column j stands, of type LANE_TYPE; FORMAT(op) adds the format to a name, and fixed_h_<format>
 * is h with F fraction bits. */

void HALP_NAME(FORMAT(halp_margins))(const halp_margins *m)
{
    for (size_t b = 0; b < m->rows; b++)
        for (size_t r = 0; r < m->count; r++) {
            const DATA *x_b = m->x[b];
            const MODEL *w_r = (const MODEL *)m->w + r * m->ldw;
            int64_t sum = 0;
            for (size_t j = 0; j < m->n; j++) sum += (int64_t)x_b[j] * w_r[j];
            m->sums[b * m->count + r] = (double)sum;
        }
}

static void HALP_NAME(FORMAT(halp_update))(const halp_update *u)
{
    const halp_fixed fixed = FORMAT(halp_fixed)(u->h);
    const int32_t most = sizeof(MODEL) == 1 ? INT8_MAX : INT16_MAX;
    const size_t block = HALP_BLOCK_BYTES / sizeof(LANE_TYPE);
    const LANE_TYPE *lanes = NULL;
    halp_batch_begin(u->rng, fixed);
    for (size_t r = 0; r < u->count; r++) {
        MODEL *w = (MODEL *)u->w + r * u->ldw;
        int16_t k[1][HALP_MOST_BATCH];
        int e;
        halp_round_coefficients(u, fixed, r, 1, k, &e);
        for (size_t j = 0; j < u->n; j++) {
            if (j % block == 0) lanes = halp_batch_lanes(u, fixed, r, j / block);
            int64_t sum = 0;
            for (size_t b = 0; b < u->rows; b++) sum += k[0][b] * ((const DATA *)u->x[b])[j];
            const int64_t scaled = sum * (INT64_C(1) << (fixed.highest - e));
            const int64_t t =
                (scaled + FORMAT(fixed_h)(u, r, j) + lanes[LANE(j % block)]) >> fixed.highest;
            w[j] = (MODEL)clamp(w[j] - clamp(t, -most - 1, most), -most, most);
        }
    }
    halp_batch_end(u, fixed);
}

#undef DATA
#undef MODEL
#undef LANE_TYPE
#undef LANE
#undef FORMAT
