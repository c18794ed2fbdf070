/* Template of peak.h: one integer format.
 *
 *   FORMAT(op)      adds the format to a name
 *   DATA, MODEL, X  types of the elements, and of a vector of data as a step takes it
 *   SET1            a vector of the model, all of whose elements are the same
 *   LANES, WAYS     elements in a vector; accumulators
 *
 * and from dot.h acc_, load_x_, step_ and total_<format>. */
static uint32_t HALP_NAME(FORMAT(halp_peak))(size_t n, DATA x, MODEL y)
{
    DATA x_lanes[LANES];
    for (int l = 0; l < LANES; l++) x_lanes[l] = x;
    const X x_all = FORMAT(load_x)(x_lanes);
    vi y_all = SET1(y);
    FORMAT(acc) acc[WAYS];
    memset(acc, 0, sizeof acc);
    const size_t stride = WAYS * LANES;
    /* Counting down spares gcc copies of all accumulators. */
    for (size_t steps = n / stride; steps > 0; steps--)
        for (int k = 0; k < WAYS; k++) {
            y_all = v_opaque(y_all); /* or one product would serve all accumulators */
            acc[k] = FORMAT(step)(acc[k], x_all, y_all);
        }
    return (uint32_t)FORMAT(total)(acc, WAYS) + (uint32_t)(n % stride) * (uint32_t)(x * y);
}

#undef FORMAT
#undef DATA
#undef MODEL
#undef X
#undef SET1
#undef LANES
#undef WAYS
