/* Template of floats.c: accumulate.
 *
 *   FORMAT(op)               adds the format to a name
 *   DATA, WEIGHT             types of the data and of the weights
 *   FILL_DATA, FILL_WEIGHT   fill arrays of them; the data with the kind DATA_KIND
 *   EXACT                    whether all backends have the same bits
 *   EPSILON, QUANTUM         rounding errors of an addition, and of a weight over the largest
 */
static void FORMAT(test_accumulate)(const halp_backend *b, const halp_backend *reference, size_t n,
                                    number_kind kind)
{
    const size_t rows = block_rows[random_below(COUNT(block_rows))];
    const size_t count = row_counts[random_below(COUNT(row_counts))];
    const size_t ldx = n + random_below(20), ldg = n + random_below(20);
    DATA *x = guarded(rows * ldx, sizeof *x, random_below(4));
    WEIGHT *b_ir = guarded(rows * count, sizeof *b_ir, 1);
    double *g = guarded(count * ldg, sizeof *g, 1);
    FILL_DATA(x, rows * ldx, DATA_KIND);
    FILL_WEIGHT(b_ir, rows * count, kind);
    fill_f64(g, count * ldg, kind);
    double *got = guarded_copy(g, count * ldg, sizeof *g, 1);
    double *same = guarded_copy(g, count * ldg, sizeof *g, 1);
    describe("%s %s, n = %zu, %zu rows, %zu outputs", b->name, TEXT(FORMAT(accumulate)), n, rows,
             count);
    b->FORMAT(accumulate)(rows, n, x, ldx, count, b_ir, got, ldg, x);
    reference->FORMAT(accumulate)(rows, n, x, ldx, count, b_ir, same, ldg, NULL);
    if (EXACT) CHECK(memcmp(got, same, count * ldg * sizeof *got) == 0);
    for (size_t r = 0; r < count; r++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0.0, magnitude = 0.0, sizes = 0.0, largest = 0.0;
            for (size_t i = 0; i < rows; i++) {
                const double term = (double)b_ir[i * count + r] * x[i * ldx + j];
                sum += term;
                magnitude += fabs(term);
                sizes += fabs((double)x[i * ldx + j]);
                largest = fmax(largest, fabs((double)b_ir[i * count + r]));
            }
            const double error = fabs(got[r * ldg + j] - (g[r * ldg + j] + sum));
            const double bound = SUM_TOLERANCE(rows, EPSILON) * magnitude +
                                 2 * DBL_EPSILON * fabs(g[r * ldg + j]) + QUANTUM * largest * sizes;
            CHECK(error <= (kind == WHOLE ? 0.0 : bound));
        }
        CHECK(memcmp(got + r * ldg + n, g + r * ldg + n, (ldg - n) * sizeof *g) == 0);
    }
    release(x);
    release(b_ir);
    release(g);
    release(got);
    release(same);
}

#undef FORMAT
#undef DATA
#undef WEIGHT
#undef FILL_DATA
#undef FILL_WEIGHT
#undef DATA_KIND
#undef EXACT
#undef EPSILON
#undef QUANTUM
