/* Template of statistics.c: the updates of one format.
 *
 *   FORMAT(op)              adds the format to a name
 *   DATA, MODEL, FILL_DATA  types of the elements; fills an array of data
 *   UNIT                    the coarsest that the step size is rounded to
 *   SHARED                  probability that two steps share a lane
 *   ENCODE_H(h, out)        h in the format of the model
 */
static void FORMAT(test_update)(const halp_backend *b, double c, uint64_t seed)
{
    static halp_rng rng;
    DATA x[ELEMENTS];
    MODEL w[ELEMENTS];
    int16_t encoded[HALP_PADDED(ELEMENTS)];
    double h[ELEMENTS];
    expectation expected[ELEMENTS];
    FILL_DATA(x, ELEMENTS, ANY);
    for (int j = 0; j < ELEMENTS; j++) {
        h[j] = random_real();
        expected[j] = expect_update(c, x[j], h[j], UNIT);
    }
    const halp_h h_encoded = ENCODE_H(h, encoded);
    halp_rng_init(&rng, seed, HALP_STOCHASTIC);
    for (int i = 0; i < DRAWS; i++) {
        memset(w, 0, sizeof w);
        b->FORMAT(axpy)(ELEMENTS, w, x, c, h_encoded, &rng, NULL);
        for (int j = 0; j < ELEMENTS; j++) results[i][j] = w[j];
    }
    describe("%s with c = %g, %d draws", TEXT(FORMAT(axpy)), c, DRAWS);
    check_moments(expected, UPDATE_BIAS, SHARED);
    check_correlations(SHARED, fmod(c, UNIT) == 0.0 || sizeof(MODEL) == 1);

    halp_rng_init(&rng, seed, HALP_NEAREST);
    memset(w, 0, sizeof w);
    b->FORMAT(axpy)(ELEMENTS, w, x, c, h_encoded, &rng, NULL);
    describe("%s with c = %g, rounded to nearest", TEXT(FORMAT(axpy)), c);
    for (int j = 0; j < ELEMENTS; j++)
        CHECK(fabs(w[j] - expected[j].mean) <= 0.5 + 0.5 * UNIT * abs(x[j]) + UPDATE_BIAS);
}

#undef FORMAT
#undef DATA
#undef MODEL
#undef FILL_DATA
#undef UNIT
#undef SHARED
#undef ENCODE_H
