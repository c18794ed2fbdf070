/* Template: peak, the multiply-adds of dot on registers alone. Follows dot.h, whose steps it takes. */
#include "vector.h"

/* `ways` accumulators: enough to hide the latency of a step on current CPUs, few enough for the
 * registers, of which 64-byte vectors have 32, and others may have 16. The loops count down, which
 * spares gcc copies of all accumulators. */
#define DEFINE_PEAK_INT(type, data, model, x_vector, set1, lanes, ways)                            \
    static uint32_t HALP_NAME(halp_peak_##type)(size_t n, data x, model y)                         \
    {                                                                                              \
        data x_lanes[lanes];                                                                       \
        for (int l = 0; l < (lanes); l++) x_lanes[l] = x;                                          \
        const x_vector x_all = load_x_##type(x_lanes);                                             \
        vi y_all = set1(y);                                                                        \
        acc_##type acc[ways];                                                                      \
        memset(acc, 0, sizeof acc);                                                                \
        const size_t stride = (ways) * (lanes);                                                    \
        for (size_t steps = n / stride; steps > 0; steps--)                                        \
            for (int k = 0; k < (ways); k++) {                                                     \
                y_all = v_opaque(y_all); /* or one product would serve all accumulators */         \
                acc[k] = step_##type(acc[k], x_all, y_all);                                        \
            }                                                                                      \
        return (uint32_t)total_##type(acc, ways) + (uint32_t)(n % stride) * (uint32_t)(x * y);     \
    }

DEFINE_PEAK_INT(i8, int8_t, int8_t, x_i8, v_set1_i8, V_I8, VBYTES == 64 ? 8 : 6)
DEFINE_PEAK_INT(i8i16, int8_t, int16_t, vi, v_set1_i16, V_I16, VBYTES == 64 ? 12 : 6)
DEFINE_PEAK_INT(i16, int16_t, int16_t, vi, v_set1_i16, V_I16, 4)

#define DEFINE_PEAK_FLOAT(type, scalar, vec, v, lanes)                                             \
    static scalar HALP_NAME(halp_peak_##type)(size_t n, scalar x, scalar y)                        \
    {                                                                                              \
        enum { ways = 12 };                                                                        \
        const vec x_all = v##_set1(x);                                                             \
        vec y_all = v##_set1(y), acc[ways];                                                        \
        for (int k = 0; k < ways; k++) acc[k] = v##_zero();                                        \
        const size_t stride = ways * (lanes);                                                      \
        for (size_t steps = n / stride; steps > 0; steps--)                                        \
            for (int k = 0; k < ways; k++) {                                                       \
                y_all = v##_opaque(y_all);                                                         \
                acc[k] = v##_fma(x_all, y_all, acc[k]);                                            \
            }                                                                                      \
        for (int k = 1; k < ways; k++) acc[0] = v##_add(acc[0], acc[k]);                           \
        scalar partial[lanes], total = (scalar)(n % stride) * x * y;                               \
        v##_store(partial, acc[0]);                                                                \
        for (int l = 0; l < (lanes); l++) total += partial[l];                                     \
        return total;                                                                              \
    }

DEFINE_PEAK_FLOAT(f32, float, vf, vf, V_F32)
DEFINE_PEAK_FLOAT(f64, double, vd, vd, V_F64)
