/* Template of gradient.h: accumulate with sums of floats.
 *
 *   FORMAT(op)    adds the format to a name
 *   DATA, WEIGHT  types of the data, and of the weights and sums
 *   LANES         weights in a vector VEC, V(op) an operation of the vocabulary on it
 *   LOAD          LANES elements of data as a VEC
 *   MULADD        a b + c, rounded once or twice
 */

/* `ways` vectors of columns and `outputs` outputs at a time, over all rows of the block; then one
 * flush into g. */
HALP_INLINE void FORMAT(tile)(size_t rows, const DATA *x, size_t ldx, size_t count, const WEIGHT *b,
                              double *g, size_t ldg, const int ways, const int outputs)
{
    VEC acc[12];
    for (int a = 0; a < 12; a++) acc[a] = V(zero)();
    for (size_t i = 0; i < rows; i++, x += ldx, b += count)
        for (int k = 0; k < ways; k++) {
            const VEC x_k = LOAD(x + k * LANES);
            for (int r = 0; r < outputs; r++)
                acc[r * ways + k] = MULADD(V(set1)(b[r]), x_k, acc[r * ways + k]);
        }
    for (int r = 0; r < outputs; r++)
        for (int k = 0; k < ways; k++) {
            WEIGHT sum[LANES];
            V(store)(sum, acc[r * ways + k]);
            for (int l = 0; l < LANES; l++) g[r * ldg + k * LANES + l] += sum[l];
        }
}

HALP_INLINE void FORMAT(columns)(size_t rows, const DATA *x, size_t ldx, size_t count,
                                 const WEIGHT *b, double *g, size_t ldg, const int ways,
                                 const int outputs)
{
    size_t r = 0;
    for (; r + outputs <= count; r += outputs)
        FORMAT(tile)(rows, x, ldx, count, b + r, g + r * ldg, ldg, ways, outputs);
    for (; r < count; r++) FORMAT(tile)(rows, x, ldx, count, b + r, g + r * ldg, ldg, ways, 1);
}

static void HALP_NAME(FORMAT(halp_accumulate))(size_t rows, size_t n, const DATA *x, size_t ldx,
                                               size_t count, const WEIGHT *b, double *g, size_t ldg,
                                               const void *next)
{
    size_t j = 0;
    if (count == 1)
        for (; j + 8 * LANES <= n; j += 8 * LANES) {
            FORMAT(tile)(rows, x + j, ldx, 1, b, g + j, ldg, 8, 1);
            prefetch_share(next, j * rows * sizeof *x, (j + 8 * LANES) * rows * sizeof *x);
        }
    for (; j + 4 * LANES <= n; j += 4 * LANES) {
        FORMAT(columns)(rows, x + j, ldx, count, b, g + j, ldg, 4, 3);
        prefetch_share(next, j * rows * sizeof *x, (j + 4 * LANES) * rows * sizeof *x);
    }
    for (; j + LANES <= n; j += LANES)
        FORMAT(columns)(rows, x + j, ldx, count, b, g + j, ldg, 1, 5);
    for (; j < n; j++)
        for (size_t r = 0; r < count; r++) {
            WEIGHT sum = 0;
            for (size_t i = 0; i < rows; i++) sum += b[i * count + r] * (WEIGHT)x[i * ldx + j];
            g[r * ldg + j] += sum;
        }
}

#undef FORMAT
#undef DATA
#undef WEIGHT
#undef LANES
#undef VEC
#undef V
#undef LOAD
#undef MULADD
