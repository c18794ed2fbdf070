/* Template of floats.c: one floating-point format. REAL is the type, EPSILON its rounding error; FORMAT(op)
 * adds the format to a name, REPRO(op) that of the kernels with the same bits everywhere. */
static void FORMAT(fill)(REAL *x, size_t n, number_kind kind)
{
    for (size_t j = 0; j < n; j++)
        x[j] = kind == WHOLE ? (REAL)((int)random_below(9) - 4) : (REAL)random_real();
}

static void FORMAT(check_dot)(size_t n, const REAL *x, const REAL *w, REAL got, number_kind kind)
{
    double sum = 0.0, magnitude = 0.0;
    for (size_t j = 0; j < n; j++) {
        sum += (double)x[j] * w[j];
        magnitude += fabs((double)x[j] * w[j]);
    }
    CHECK(fabs(got - sum) <= (kind == WHOLE ? 0.0 : SUM_TOLERANCE(n, EPSILON) * magnitude));
}

static void FORMAT(test_dot)(const halp_backend *b, const halp_backend *reference, size_t n,
                             number_kind kind)
{
    const size_t count = row_counts[random_below(COUNT(row_counts))];
    const size_t ld = n + random_below(20);
    REAL *x = guarded(n, sizeof *x, random_below(4));
    REAL *w = guarded(count * ld, sizeof *w, random_below(4));
    REAL *got = guarded(count, sizeof *got, 1), *same = guarded(count, sizeof *got, 1);
    FORMAT(fill)(x, n, kind);
    FORMAT(fill)(w, count * ld, kind);
    describe("%s %s, n = %zu", b->name, TEXT(FORMAT(dot)), n);
    FORMAT(check_dot)(n, x, w, b->FORMAT(dot)(n, x, w), kind);
    describe("%s %s, n = %zu, %zu rows", b->name, TEXT(FORMAT(gemv)), n, count);
    b->FORMAT(gemv)(n, x, w, ld, count, got);
    for (size_t r = 0; r < count; r++) FORMAT(check_dot)(n, x, w + r * ld, got[r], kind);
    describe("%s %s, n = %zu, %zu rows", b->name, TEXT(REPRO(gemv)), n, count);
    b->REPRO(gemv)(n, x, w, ld, count, got);
    reference->REPRO(gemv)(n, x, w, ld, count, same);
    CHECK(memcmp(got, same, count * sizeof *got) == 0);
    for (size_t r = 0; r < count; r++) FORMAT(check_dot)(n, x, w + r * ld, got[r], kind);
    release(x);
    release(w);
    release(got);
    release(same);
}

static void FORMAT(check_axpy)(size_t n, const REAL *w, const REAL *x, double c, const REAL *h,
                               double k, const REAL *got, number_kind kind)
{
    for (size_t j = 0; j < n; j++) {
        const double cx = c * x[j], kh = h ? k * h[j] : 0.0;
        const double error = fabs(got[j] - (w[j] - (cx + kh)));
        const double magnitude = fabs(w[j]) + fabs(cx) + fabs(kh);
        CHECK(error <= (kind == WHOLE ? 0.0 : UPDATE_TOLERANCE(EPSILON) * magnitude));
    }
}

static void FORMAT(test_axpy)(const halp_backend *b, size_t n, number_kind kind)
{
    const size_t count = row_counts[random_below(COUNT(row_counts))];
    const size_t ld = n + random_below(20), ldh = n + random_below(20);
    REAL c[10];
    double steps[10];
    const REAL k = kind == WHOLE ? 2 : (REAL)random_real();
    REAL *x = guarded(n, sizeof *x, random_below(4));
    REAL *h = guarded(count * ldh, sizeof *h, random_below(4));
    REAL *w = guarded(count * ld, sizeof *w, 1);
    FORMAT(fill)(c, COUNT(c), kind);
    FORMAT(fill)(x, n, kind);
    FORMAT(fill)(h, count * ldh, kind);
    FORMAT(fill)(w, count * ld, kind);
    for (size_t r = 0; r < count; r++) steps[r] = c[r];
    for (int with_h = 0; with_h < 2; with_h++) {
        REAL *one = guarded_copy(w, n, sizeof *w, 2);
        REAL *all = guarded_copy(w, count * ld, sizeof *w, 1);
        REAL *twice = guarded_copy(w, n, sizeof *w, 3);
        REAL *h_used = with_h ? h : NULL;
        describe("%s %s, n = %zu", b->name, TEXT(FORMAT(axpy)), n);
        b->FORMAT(axpy)(n, one, x, c[0], h_used, k, with_h ? x : NULL);
        FORMAT(check_axpy)(n, w, x, c[0], h_used, k, one, kind);
        b->FORMAT(axpy)(n, twice, twice, c[0], h_used, k, NULL);
        FORMAT(check_axpy)(n, w, w, c[0], h_used, k, twice, kind);
        describe("%s %s, n = %zu, %zu rows", b->name, TEXT(FORMAT(ger)), n, count);
        b->FORMAT(ger)(n, all, ld, count, x, steps, h_used, ldh, k, with_h ? NULL : x);
        for (size_t r = 0; r < count; r++) {
            const REAL *before = w + r * ld, *h_r = with_h ? h + r * ldh : NULL;
            FORMAT(check_axpy)(n, before, x, c[r], h_r, k, all + r * ld, kind);
            CHECK(memcmp(before + n, all + r * ld + n, (ld - n) * sizeof *w) == 0);
        }
        release(one);
        release(all);
        release(twice);
    }
    release(x);
    release(h);
    release(w);
}

static void FORMAT(test_peak)(const halp_backend *b, size_t n, number_kind kind)
{
    REAL x, y;
    FORMAT(fill)(&x, 1, kind);
    FORMAT(fill)(&y, 1, kind);
    const double sum = (double)n * x * y;
    const double error = fabs(b->FORMAT(peak)(n, x, y) - sum);
    describe("%s %s, n = %zu, of %g and %g", b->name, TEXT(FORMAT(peak)), n, x, y);
    CHECK(error <= (kind == WHOLE ? 0.0 : SUM_TOLERANCE(n, EPSILON) * fabs(sum)));
}

#undef FORMAT
#undef REPRO
#undef REAL
#undef EPSILON
