/* Template of batch_scalar.h: accumulate of family.h. DATA: type of the data; NAME: of the function. */
static void NAME(const halp_accumulation *a)
{
    const DATA *x = a->x;
    for (size_t r = 0; r < a->count; r++)
        for (size_t j = 0; j < a->n; j++) {
            int32_t sum = 0;
            for (size_t i = 0; i < a->rows; i++) sum += a->k[i * a->count + r] * x[i * a->ldx + j];
            a->g[r * a->ldg + j] += a->unit[r] * sum;
        }
}

#undef DATA
#undef NAME
