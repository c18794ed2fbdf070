/* Template of backend_scalar.c: accumulate with sums of floats. DATA and WEIGHT are the types, FORMAT(op)
 * adds the format to a name. */
static void HALP_NAME(FORMAT(halp_accumulate))(size_t rows, size_t n, const DATA *x, size_t ldx,
                                               size_t count, const WEIGHT *b, double *g, size_t ldg,
                                               const void *next)
{
    (void)next;
    for (size_t r = 0; r < count; r++)
        for (size_t j = 0; j < n; j++) {
            WEIGHT sum = 0;
            for (size_t i = 0; i < rows; i++) sum += b[i * count + r] * (WEIGHT)x[i * ldx + j];
            g[r * ldg + j] += sum;
        }
}

#undef FORMAT
#undef DATA
#undef WEIGHT
