/* Template of ger.h: one integer format. DATA and MODEL are the types, FORMAT(op) adds the format to a
 * name. */
static void HALP_NAME(FORMAT(halp_ger))(size_t n, MODEL *w, size_t ld, size_t count, const DATA *x,
                                        const double *c, halp_h h, size_t ldh, halp_rng *rng,
                                        const void *next)
{
    for (size_t r = 0; r < count; r++) {
        const halp_h h_r = {h.values ? h.values + r * ldh : NULL, h.exponent, h.wide};
        const void *ahead = r == 0 ? next : NULL;
        HALP_NAME(FORMAT(halp_axpy))(n, w + r * ld, x, c[r], h_r, rng, ahead);
    }
}

#undef FORMAT
#undef DATA
#undef MODEL
