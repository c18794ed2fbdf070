/* Template of statistics.c: a type of floats, REAL, and one of integers, STORED; FROM_TO(op) adds both to a
 * name. */
static void FROM_TO(test_mean)(const halp_backend *b)
{
    static halp_rng rng;
    REAL x[ELEMENTS];
    STORED q[ELEMENTS];
    expectation expected[ELEMENTS];
    for (int j = 0; j < ELEMENTS; j++) {
        x[j] = (REAL)(20.0 * random_real());
        expected[j] = (expectation){x[j] / 0.25, variance_of_rounding(x[j] / 0.25), 1.0};
    }
    halp_rng_init(&rng, 7, HALP_STOCHASTIC);
    for (int i = 0; i < DRAWS; i++) {
        b->FROM_TO(quantize)(ELEMENTS, x, 0.25, q, &rng);
        for (int j = 0; j < ELEMENTS; j++) results[i][j] = q[j];
    }
    describe("%s, %d draws", TEXT(FROM_TO(quantize)), DRAWS);
    check_moments(expected, QUANTIZE_BIAS, SHARED_16_BITS);
    check_correlations(SHARED_16_BITS, true);
}

#undef REAL
#undef STORED
#undef FROM_TO
