/* ger: the axpy of every row of w that shares x. The same in every backend, so that the random
 * stream is drawn in the same order; the first row's pass prefetches the next row of data. */
#include "kernels.h"

#define HALP_DEFINE_GER_FLOAT(type, scalar, isa)                                                   \
    static void halp_ger_##type##_##isa(size_t n, scalar *w, size_t ld, size_t count,              \
                                        const scalar *x, const double *c, const scalar *h,         \
                                        size_t ldh, scalar k, const void *next)                    \
    {                                                                                              \
        for (size_t r = 0; r < count; r++)                                                         \
            halp_axpy_##type##_##isa(n, w + r * ld, x, (scalar)c[r], h ? h + r * ldh : NULL, k,    \
                                     r == 0 ? next : NULL);                                        \
    }

#define HALP_DEFINE_GER_INT(type, data, model, isa)                                                \
    static void halp_ger_##type##_##isa(size_t n, model *w, size_t ld, size_t count,               \
                                        const data *x, const double *c, halp_h h, size_t ldh,      \
                                        halp_rng *rng, const void *next)                           \
    {                                                                                              \
        for (size_t r = 0; r < count; r++) {                                                       \
            const halp_h h_r = {h.values ? h.values + r * ldh : NULL, h.exponent, h.wide};         \
            halp_axpy_##type##_##isa(n, w + r * ld, x, c[r], h_r, rng, r == 0 ? next : NULL);      \
        }                                                                                          \
    }

#define HALP_DEFINE_GER(isa)                                                                       \
    HALP_DEFINE_GER_FLOAT(f64, double, isa)                                                        \
    HALP_DEFINE_GER_FLOAT(f32, float, isa)                                                         \
    HALP_DEFINE_GER_INT(i16, int16_t, int16_t, isa)                                                \
    HALP_DEFINE_GER_INT(i8i16, int8_t, int16_t, isa)                                               \
    HALP_DEFINE_GER_INT(i8, int8_t, int8_t, isa)
