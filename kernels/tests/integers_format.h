/* Template of integers.c: one format.
 *
 *   FORMAT(op)              adds the format to a name
 *   DATA, MODEL             types of the elements
 *   FILL_DATA, FILL_MODEL   fill arrays of them
 *   RANDOM_H                makes an h of the model
 *   ALIASES                 defined where both types are one, so that x may be w itself
 */
static void FORMAT(test_dot)(const halp_backend *b, const halp_backend *scalar, size_t n,
                             pattern pattern)
{
    const size_t count = row_counts[random_below(COUNT(row_counts))];
    const size_t ld = n + random_below(40);
    DATA *x = guarded(n, sizeof *x, random_below(4));
    MODEL *w = guarded(count * ld, sizeof *w, random_below(4));
    int64_t *expected = guarded(count, sizeof *expected, 0);
    int64_t *got = guarded(count, sizeof *got, 1);
    FILL_DATA(x, n, pattern);
    FILL_MODEL(w, count * ld, pattern);
    describe("%s %s, n = %zu, pattern %d", b->name, TEXT(FORMAT(dot)), n, pattern);
    CHECK(b->FORMAT(dot)(n, x, w) == scalar->FORMAT(dot)(n, x, w));
    describe("%s %s, n = %zu, %zu rows, pattern %d", b->name, TEXT(FORMAT(gemv)), n, count,
             pattern);
    for (size_t r = 0; r < count; r++) expected[r] = scalar->FORMAT(dot)(n, x, w + r * ld);
    b->FORMAT(gemv)(n, x, w, ld, count, got);
    CHECK(memcmp(expected, got, count * sizeof *got) == 0);
    release(x);
    release(w);
    release(expected);
    release(got);
}

static void FORMAT(test_axpy)(const halp_backend *b, const halp_backend *scalar, size_t n, double c,
                              h_kind kind, rng_pair *rng)
{
    const size_t offset = random_below(4);
    DATA *x = guarded(n, sizeof *x, random_below(4));
    MODEL *w = guarded(n, sizeof *w, offset);
    FILL_DATA(x, n, (pattern)random_below(PATTERNS));
    FILL_MODEL(w, n, (pattern)random_below(PATTERNS));
    MODEL *got = guarded_copy(w, n, sizeof *w, offset);
    const halp_h h = RANDOM_H(HALP_PADDED(n), 1, kind);
    const void *next = random_bits() & 1 ? x : NULL;
    describe("%s %s, n = %zu, c = %a, h of kind %d and exponent %d, rounding %d", b->name,
             TEXT(FORMAT(axpy)), n, c, kind, h.exponent, rng->got.rounding);
    scalar->FORMAT(axpy)(n, w, x, c, h, &rng->expected, NULL);
    b->FORMAT(axpy)(n, got, x, c, h, &rng->got, next);
    CHECK(memcmp(w, got, n * sizeof *w) == 0);
    CHECK(same_state(rng));
    release(x);
    release(w);
    release(got);
    if (h.values) release((void *)h.values);
}

static void FORMAT(test_ger)(const halp_backend *b, const halp_backend *scalar, size_t n,
                             h_kind kind, rng_pair *rng)
{
    const size_t count = row_counts[random_below(COUNT(row_counts))];
    const size_t ld = n + random_below(40), ldh = HALP_PADDED(n) + 64 * random_below(2);
    double c[10];
    for (size_t r = 0; r < count; r++) c[r] = ldexp(random_real(), -(int)random_below(12));
    DATA *x = guarded(n, sizeof *x, random_below(4));
    MODEL *w = guarded(count * ld, sizeof *w, 1);
    FILL_DATA(x, n, ANY);
    FILL_MODEL(w, count * ld, ANY);
    MODEL *got = guarded_copy(w, count * ld, sizeof *w, 1);
    const halp_h h = RANDOM_H(ldh, count, kind);
    describe("%s %s, n = %zu, %zu rows, h of kind %d", b->name, TEXT(FORMAT(ger)), n, count, kind);
    for (size_t r = 0; r < count; r++) {
        const halp_h h_r = {h.values ? h.values + r * ldh : NULL, h.exponent, h.wide};
        scalar->FORMAT(axpy)(n, w + r * ld, x, c[r], h_r, &rng->expected, NULL);
    }
    b->FORMAT(ger)(n, got, ld, count, x, c, h, ldh, &rng->got, x);
    CHECK(memcmp(w, got, count * ld * sizeof *w) == 0);
    CHECK(same_state(rng));
    release(x);
    release(w);
    release(got);
    if (h.values) release((void *)h.values);
}

#ifdef ALIASES
static void FORMAT(test_alias)(const halp_backend *b, const halp_backend *scalar, size_t n,
                               double c, rng_pair *rng)
{
    const halp_h h = {NULL, 8, 0};
    MODEL *w = guarded(n, sizeof *w, 1);
    FILL_MODEL(w, n, ANY);
    MODEL *got = guarded_copy(w, n, sizeof *w, 1);
    describe("%s %s of w and w, n = %zu, c = %a", b->name, TEXT(FORMAT(axpy)), n, c);
    scalar->FORMAT(axpy)(n, w, w, c, h, &rng->expected, NULL);
    b->FORMAT(axpy)(n, got, got, c, h, &rng->got, NULL);
    CHECK(memcmp(w, got, n * sizeof *w) == 0);
    CHECK(same_state(rng));
    release(w);
    release(got);
}
#endif

#undef FORMAT
#undef DATA
#undef MODEL
#undef FILL_DATA
#undef FILL_MODEL
#undef RANDOM_H
#undef ALIASES
