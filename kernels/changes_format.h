/* Template of changes.h: one format.
 *
 *   FORMAT(op)  adds the format to a name
 *   DATA        type of the data
 *   LOAD        V_I16 of them as 16-bit lanes
 */

/* V_I16 columns and a few outputs at once. The changes of two rows share an int32, the first row's
 * below; the partner of a last odd row has none: any row will do. */
HALP_INLINE void FORMAT(changes_tile)(const int outputs, size_t rows, const DATA *x, size_t ldx,
                                      const int32_t *pairs, const double *unit, double *g,
                                      size_t ldg)
{
    enum { LOW = 0, HIGH = 1 }; /* which four of each eight columns, see v_pairs_low_i16 */
    vi sums[CHANGES_OUTPUTS][2];
    for (int r = 0; r < outputs; r++) sums[r][LOW] = sums[r][HIGH] = v_zero();
    for (size_t i = 0; i < rows; i += 2, x += 2 * ldx, pairs += CHANGES_OUTPUTS) {
        const vi x_0 = LOAD(x), x_1 = LOAD(x + (i + 1 < rows ? ldx : 0));
        for (int r = 0; r < outputs; r++) {
            const vi pair = v_set1_i32(pairs[r]);
            sums[r][LOW] = v_add_i32(sums[r][LOW], v_pairs_low_i16(x_0, x_1, pair));
            sums[r][HIGH] = v_add_i32(sums[r][HIGH], v_pairs_high_i16(x_0, x_1, pair));
        }
    }
    for (int r = 0; r < outputs; r++)
        for (int half = LOW; half <= HIGH; half++) {
            i32x4 whole[VBYTES / 16];
            v_store(whole, sums[r][half]);
            for (int l = 0; l < VBYTES / 16; l++)
                *(f64x4 *)(g + (size_t)r * ldg + 8 * l + 4 * half) +=
                    unit[r] * __builtin_convertvector(whole[l], f64x4);
        }
}

/* Fewer than V_I16 columns. */
HALP_COLD void FORMAT(changes_tail)(size_t rows, size_t n, const DATA *x, size_t ldx,
                                    const int32_t *pairs, const double *unit, double *g)
{
    DATA whole[HALP_MOST_ACCUMULATED * V_I16] = {0};
    double sums[V_I16] = {0};
    for (size_t i = 0; i < rows; i++) memcpy(whole + i * V_I16, x + i * ldx, n * sizeof *x);
    memcpy(sums, g, n * sizeof *g);
    FORMAT(changes_tile)(1, rows, whole, V_I16, pairs, unit, sums, 0);
    memcpy(g, sums, n * sizeof *g);
}

HALP_INLINE void FORMAT(changes_outputs)(const int outputs, size_t rows, size_t n, const DATA *x,
                                         size_t ldx, const int32_t *pairs, const double *unit,
                                         double *g, size_t ldg, const DATA *next)
{
    size_t j = 0;
    for (; j + V_I16 <= n; j += V_I16) {
        prefetch_share((const void *)next, j * rows * sizeof *x, (j + V_I16) * rows * sizeof *x);
        FORMAT(changes_tile)(outputs, rows, x + j, ldx, pairs, unit, g + j, ldg);
    }
    if (j < n)
        for (int r = 0; r < outputs; r++) FORMAT(changes_tail)
    (rows, n - j, x + j, ldx, pairs + r, unit + r, g + (size_t)r * ldg + j);
}

static void HALP_NAME(FORMAT(halp_changes))(size_t rows, size_t n, const void *x, size_t ldx,
                                            size_t count, const int16_t *k, const double *unit,
                                            double *g, size_t ldg, const void *next)
{
    for (size_t r = 0; r < count; r += CHANGES_OUTPUTS, next = NULL, g += CHANGES_OUTPUTS * ldg) {
        const size_t outputs = count - r < CHANGES_OUTPUTS ? count - r : CHANGES_OUTPUTS;
        int32_t pairs[HALP_MOST_ACCUMULATED / 2 * CHANGES_OUTPUTS] = {0};
        for (size_t i = 0; i < rows; i++)
            for (size_t o = 0; o < outputs; o++)
                pairs[i / 2 * CHANGES_OUTPUTS + o] |=
                    (int32_t)(((uint32_t)k[i * count + r + o] & 0xffff) << (16 * (i & 1)));
        if (outputs == 3)
            FORMAT(changes_outputs)(3, rows, n, x, ldx, pairs, unit + r, g, ldg, next);
        else if (outputs == 2)
            FORMAT(changes_outputs)(2, rows, n, x, ldx, pairs, unit + r, g, ldg, next);
        else
            FORMAT(changes_outputs)(1, rows, n, x, ldx, pairs, unit + r, g, ldg, next);
    }
}

#undef FORMAT
#undef DATA
#undef LOAD
