/* Template of axpy.h: one floating-point format. REAL is the type, LANES how many a vector VEC has, V(op)
 * an operation of the vocabulary, FORMAT(op) adds the format to a name. */
static void HALP_NAME(FORMAT(halp_axpy))(size_t n, REAL *w, const REAL *x, REAL c, const REAL *h,
                                         REAL k, const void *next)
{
    const VEC c_v = V(set1)(c), k_v = V(set1)(k);
    const REAL *next_row = next ? next : x;
    const size_t line = 64 / sizeof(REAL);
    size_t j = 0;
    if (h)
        for (; j + line <= n; j += line) {
            HALP_PREFETCH_L2(next_row + j);
            for (size_t i = j; i < j + line; i += LANES) {
                const VEC moved = V(fnma)(c_v, V(load)(x + i), V(load)(w + i));
                V(store)(w + i, V(fnma)(k_v, V(load)(h + i), moved));
            }
        }
    else
        for (; j + line <= n; j += line) {
            HALP_PREFETCH_L2(next_row + j);
            for (size_t i = j; i < j + line; i += LANES)
                V(store)(w + i, V(fnma)(c_v, V(load)(x + i), V(load)(w + i)));
        }
    for (; j < n; j++) w[j] -= c * x[j] + (h ? k * h[j] : 0);
}

#undef FORMAT
#undef REAL
#undef LANES
#undef VEC
#undef V
