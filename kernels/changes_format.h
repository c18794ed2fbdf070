/* Template of changes.h: one format.
 *
 *   FORMAT(op)  adds the format to a name
 *   DATA        type of the data
 *   LOAD        V_I16 of them as 16-bit lanes
 */

/* A few vectors of V_I16 columns, and a few outputs, at once. The changes of two rows share an int32, the
 * first row's below; the partner of a last odd row has none: any row will do. */
HALP_INLINE void FORMAT(changes_tile)(const int vectors, const int outputs, size_t rows,
                                      const DATA *x, size_t ldx, const int32_t *pairs,
                                      const double *unit, double *g, size_t ldg)
{
    enum { LOW = 0, HIGH = 1 }; /* which four of each eight columns, see v_pairs_low_i16 */
    vi sums[CHANGES_VECTORS][CHANGES_OUTPUTS][2];
    for (int v = 0; v < vectors; v++)
        for (int r = 0; r < outputs; r++) sums[v][r][LOW] = sums[v][r][HIGH] = v_zero();
    for (size_t i = 0; i < rows; i += 2, x += 2 * ldx, pairs += CHANGES_OUTPUTS) {
        const DATA *partner = x + (i + 1 < rows ? ldx : 0);
        if (vectors * V_I16 * sizeof(DATA) >= 64) {
            HALP_PREFETCH((const char *)(x + vectors * V_I16));
            HALP_PREFETCH((const char *)(partner + vectors * V_I16));
        }
        for (int v = 0; v < vectors; v++) {
            const vi x_0 = LOAD(x + v * V_I16), x_1 = LOAD(partner + v * V_I16);
            for (int r = 0; r < outputs; r++) {
                const vi pair = v_set1_i32(pairs[r]);
                vi *sum = sums[v][r];
                sum[LOW] = v_add_i32(sum[LOW], v_pairs_low_i16(x_0, x_1, pair));
                sum[HIGH] = v_add_i32(sum[HIGH], v_pairs_high_i16(x_0, x_1, pair));
            }
        }
    }
    for (int r = 0; r < outputs; r++)
        for (int v = 0; v < vectors; v++)
            for (int half = LOW; half <= HIGH; half++) {
                i32x4 whole[VBYTES / 16];
                v_store(whole, sums[v][r][half]);
                for (int l = 0; l < VBYTES / 16; l++)
                    *(f64x4 *)(g + (size_t)r * ldg + v * V_I16 + 8 * l + 4 * half) +=
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
    FORMAT(changes_tile)(1, 1, rows, whole, V_I16, pairs, unit, sums, 0);
    memcpy(g, sums, n * sizeof *g);
}

/* All columns of a few outputs from r on. */
HALP_INLINE void FORMAT(changes_outputs)(const int outputs, const halp_accumulation *a, size_t r,
                                         const int32_t *pairs)
{
    const int most = outputs == 1 ? CHANGES_VECTORS : outputs == 2 ? 2 : 1;
    const size_t step = (size_t)most * V_I16, next_rows = r == 0 ? a->next_rows : 0;
    const DATA *x = a->x;
    double *g = a->g + r * a->ldg;
    const double *unit = a->unit + r;
    size_t j = 0;
    for (; j + step <= a->n; j += step) {
        prefetch_rows(a->next, next_rows, j * sizeof(DATA));
        FORMAT(changes_tile)(most, outputs, a->rows, x + j, a->ldx, pairs, unit, g + j, a->ldg);
    }
    for (; j + V_I16 <= a->n; j += V_I16)
        FORMAT(changes_tile)(1, outputs, a->rows, x + j, a->ldx, pairs, unit, g + j, a->ldg);
    if (j < a->n)
        for (int o = 0; o < outputs; o++) FORMAT(changes_tail)
    (a->rows, a->n - j, x + j, a->ldx, pairs + o, unit + o, g + (size_t)o * a->ldg + j);
}

static void HALP_NAME(FORMAT(halp_changes))(const halp_accumulation *a)
{
    for (size_t r = 0; r < a->count; r += CHANGES_OUTPUTS) {
        const size_t outputs = a->count - r < CHANGES_OUTPUTS ? a->count - r : CHANGES_OUTPUTS;
        int32_t pairs[HALP_MOST_ACCUMULATED / 2 * CHANGES_OUTPUTS] = {0};
        for (size_t i = 0; i < a->rows; i++)
            for (size_t o = 0; o < outputs; o++)
                pairs[i / 2 * CHANGES_OUTPUTS + o] |=
                    (int32_t)(((uint32_t)a->k[i * a->count + r + o] & 0xffff) << (16 * (i & 1)));
        if (outputs == 3)
            FORMAT(changes_outputs)(3, a, r, pairs);
        else if (outputs == 2)
            FORMAT(changes_outputs)(2, a, r, pairs);
        else
            FORMAT(changes_outputs)(1, a, r, pairs);
    }
}

#undef FORMAT
#undef DATA
#undef LOAD
