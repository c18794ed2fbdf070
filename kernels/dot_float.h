/* Template of dot.h: one floating-point format. REAL is the type, LANES how many a vector VEC has, V(op)
 * an operation of the vocabulary, FORMAT(op) adds the format to a name. */

/* `rows` rows of w with `ways` accumulators each. */
HALP_INLINE void FORMAT(rows)(size_t n, const REAL *x, const REAL *w, size_t ld, const int rows,
                              const int ways, REAL *out)
{
    VEC acc[8];
    for (int a = 0; a < 8; a++) acc[a] = V(zero)();
    size_t j = 0;
    for (; j + (size_t)ways * LANES <= n; j += (size_t)ways * LANES)
        for (int k = 0; k < ways; k++) {
            const VEC x_j = V(load)(x + j + k * LANES);
            for (int r = 0; r < rows; r++) {
                const VEC w_j = V(load)(w + r * ld + j + k * LANES);
                acc[r * ways + k] = V(fma)(x_j, w_j, acc[r * ways + k]);
            }
        }
    for (; j + LANES <= n; j += LANES)
        for (int r = 0; r < rows; r++)
            acc[r * ways] = V(fma)(V(load)(x + j), V(load)(w + r * ld + j), acc[r * ways]);
    for (int r = 0; r < rows; r++) {
        for (int k = 1; k < ways; k++) acc[r * ways] = V(add)(acc[r * ways], acc[r * ways + k]);
        REAL partial[LANES], total = 0;
        V(store)(partial, acc[r * ways]);
        for (int l = 0; l < LANES; l++) total += partial[l];
        for (size_t i = j; i < n; i++) total += x[i] * w[r * ld + i];
        out[r] = total;
    }
}

static void HALP_NAME(FORMAT(halp_gemv))(size_t n, const REAL *x, const REAL *w, size_t ld,
                                         size_t count, REAL *out)
{
    size_t r = 0;
    for (; r + 4 <= count; r += 4) FORMAT(rows)(n, x, w + r * ld, ld, 4, 2, out + r);
    for (; r + 2 <= count; r += 2) FORMAT(rows)(n, x, w + r * ld, ld, 2, 4, out + r);
    for (; r < count; r++) FORMAT(rows)(n, x, w + r * ld, ld, 1, 8, out + r);
}

static REAL HALP_NAME(FORMAT(halp_dot))(size_t n, const REAL *x, const REAL *y)
{
    REAL out;
    FORMAT(rows)(n, x, y, 0, 1, 8, &out);
    return out;
}

#undef FORMAT
#undef REAL
#undef LANES
#undef VEC
#undef V
