/* Template of gradient.h: gemv with the same bits on every backend. REAL is the type, LANES how many a
 * vector VEC of 32 bytes has, FORMAT(op) adds the format to a name.
 *
 * 128 bytes' worth of partial sums, folded in halves; the compiler maps the 32-byte vectors to whatever
 * registers there are. */
HALP_INLINE void FORMAT(rows)(size_t n, const REAL *x, const REAL *w, size_t ld, const int rows,
                              REAL *out)
{
    enum { ALL = 4 * LANES };
    VEC acc[2][4] = {0};
    size_t j = 0;
    for (; j + ALL <= n; j += ALL)
        for (int k = 0; k < 4; k++) {
            const VEC x_j = *(const VEC *)(x + j + k * LANES);
            for (int r = 0; r < rows; r++)
                acc[r][k] += x_j * *(const VEC *)(w + r * ld + j + k * LANES);
        }
    for (int r = 0; r < rows; r++) {
        REAL partial[ALL];
        memcpy(partial, acc[r], sizeof partial);
        for (size_t i = j; i < n; i++) partial[i - j] += x[i] * w[r * ld + i];
        for (int half = ALL / 2; half > 0; half /= 2)
            for (int l = 0; l < half; l++) partial[l] += partial[l + half];
        out[r] = partial[0];
    }
}

static void HALP_NAME(FORMAT(halp_gemv))(size_t n, const REAL *x, const REAL *w, size_t ld,
                                         size_t count, REAL *out)
{
    size_t r = 0;
    for (; r + 2 <= count; r += 2) FORMAT(rows)(n, x, w + r * ld, ld, 2, out + r);
    for (; r < count; r++) FORMAT(rows)(n, x, w + r * ld, ld, 1, out + r);
}

#undef FORMAT
#undef REAL
#undef LANES
#undef VEC
