/* Template of batch_scalar.h: accumulate of family.h. DATA: type of the data; NAME: of the function. */
static void NAME(size_t rows, size_t n, const void *x, size_t ldx, size_t count, const int16_t *k,
                 const double *unit, double *g, size_t ldg, const void *next)
{
    (void)next;
    for (size_t r = 0; r < count; r++)
        for (size_t j = 0; j < n; j++) {
            int32_t sum = 0;
            for (size_t i = 0; i < rows; i++)
                sum += k[i * count + r] * ((const DATA *)x)[i * ldx + j];
            g[r * ldg + j] += unit[r] * sum;
        }
}

#undef DATA
#undef NAME
