/* Template of dot.h: one integer format.
 *
 *   FORMAT(op)      adds the format to a name
 *   DATA, MODEL, X  types of the elements, and of a vector of data as a step takes it
 *   LANES, CHUNK    columns in a vector, and before the 32-bit lanes are emptied
 *
 * and from dot.h acc_, load_x_, step_ and total_<format>. */

/* `rows` rows of w with `ways` accumulators each; n is at most one chunk. */
HALP_INLINE void FORMAT(rows)(size_t n, const DATA *x, const MODEL *w, size_t ld, const int rows,
                              const int ways, int more, int64_t *out)
{
    FORMAT(acc) acc[4];
    memset(acc, 0, sizeof acc);
    size_t j = 0;
    for (; j + (size_t)ways * LANES <= n; j += (size_t)ways * LANES)
        for (int k = 0; k < ways; k++) {
            const X x_j = FORMAT(load_x)(x + j + k * LANES);
            for (int r = 0; r < rows; r++) {
                const vi w_j = v_load(w + r * ld + j + k * LANES);
                acc[r * ways + k] = FORMAT(step)(acc[r * ways + k], x_j, w_j);
            }
        }
    for (; j + LANES <= n; j += LANES) {
        const X x_j = FORMAT(load_x)(x + j);
        for (int r = 0; r < rows; r++)
            acc[r * ways] = FORMAT(step)(acc[r * ways], x_j, v_load(w + r * ld + j));
    }
    if (j < n) {
        DATA tail[LANES] = {0};
        memcpy(tail, x + j, (n - j) * sizeof *x);
        const X x_j = FORMAT(load_x)(tail);
        for (int r = 0; r < rows; r++) {
            const vi w_j = v_load_tail(w + r * ld + j, (n - j) * sizeof *w);
            acc[r * ways] = FORMAT(step)(acc[r * ways], x_j, w_j);
        }
    }
    for (int r = 0; r < rows; r++)
        out[r] = (more ? out[r] : 0) + FORMAT(total)(acc + r * ways, ways);
}

static void HALP_NAME(FORMAT(halp_gemv))(size_t n, const DATA *x, const MODEL *w, size_t ld,
                                         size_t count, int64_t *out)
{
    size_t j = 0;
    do {
        const size_t m = n - j < CHUNK ? n - j : CHUNK;
        const MODEL *w_j = w + j;
        size_t r = 0;
        for (; r + 4 <= count; r += 4)
            FORMAT(rows)(m, x + j, w_j + r * ld, ld, 4, 1, j > 0, out + r);
        for (; r + 2 <= count; r += 2)
            FORMAT(rows)(m, x + j, w_j + r * ld, ld, 2, 2, j > 0, out + r);
        for (; r < count; r++) FORMAT(rows)(m, x + j, w_j + r * ld, ld, 1, 4, j > 0, out + r);
        j += m;
    } while (j < n);
}

static int64_t HALP_NAME(FORMAT(halp_dot))(size_t n, const DATA *x, const MODEL *y)
{
    int64_t total = 0;
    for (size_t j = 0; j < n; j += CHUNK)
        FORMAT(rows)(n - j < CHUNK ? n - j : CHUNK, x + j, y + j, 0, 1, 4, 1, &total);
    return total;
}

#undef FORMAT
#undef DATA
#undef MODEL
#undef X
#undef LANES
#undef CHUNK
