/* Template: quantize, dequantize, lowest, read. Element by element in plain C, which the compiler
 * vectorizes for each instruction set without changing a bit. */
#include "vector.h"

#include <math.h>

#define DEFINE_QUANTIZE(real, integer, type, stored, limit)                                        \
    static void HALP_NAME(halp_quantize_##real##_##integer)(size_t n, const type *x, double scale, \
                                                            stored *q, halp_rng *rng)              \
    {                                                                                              \
        halp_rng_format(rng, 16, 16);                                                              \
        const size_t block = HALP_BLOCK_BYTES / 2;                                                 \
        for (size_t start = 0; start < n; start += block) {                                        \
            const size_t m = n - start < block ? n - start : block;                                \
            const uint16_t *lanes = halp_rng_block(rng, halp_rng_draw(rng));                       \
            for (size_t j = 0; j < m; j++) {                                                       \
                double y = x[start + j] / scale;                                                   \
                y = y < (limit) ? y : (limit);                                                     \
                y = y > -(limit) ? y : -(limit);                                                   \
                const double low = floor(y);                                                       \
                const int32_t fraction = (int32_t)rint((y - low) * 65536.0);                       \
                q[start + j] = (stored)((int32_t)low + ((fraction + lanes[j]) >> 16));             \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void HALP_NAME(halp_dequantize_##integer##_##real)(size_t n, const stored *q,           \
                                                              double scale, type *x)               \
    {                                                                                              \
        for (size_t j = 0; j < n; j++) x[j] = (type)(q[j] * scale);                                \
    }

DEFINE_QUANTIZE(f64, i16, double, int16_t, 32767.0)
DEFINE_QUANTIZE(f64, i8, double, int8_t, 127.0)
DEFINE_QUANTIZE(f32, i16, float, int16_t, 32767.0)
DEFINE_QUANTIZE(f32, i8, float, int8_t, 127.0)

#define DEFINE_LOWEST(type, integer)                                                               \
    static int HALP_NAME(halp_lowest_##type)(size_t n, const integer *x)                           \
    {                                                                                              \
        integer lowest = 0;                                                                        \
        for (size_t j = 0; j < n; j++) lowest = x[j] < lowest ? x[j] : lowest;                     \
        return lowest;                                                                             \
    }

DEFINE_LOWEST(i16, int16_t)
DEFINE_LOWEST(i8, int8_t)

static uint64_t HALP_NAME(halp_read)(size_t n, const void *bytes)
{
    const char *p = bytes;
    vi all[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    /* Two loads for an update of a sum: AVX-512 has as few ports for the one as for the other. */
    for (; n >= 8 * VBYTES; n -= 8 * VBYTES, p += 8 * VBYTES)
        for (int k = 0; k < 4; k++) {
            const vi pair = v_xor(v_load(p + 2 * k * VBYTES), v_load(p + (2 * k + 1) * VBYTES));
            all[k] = v_xor(all[k], pair);
        }
    uint64_t words[VBYTES / 8], result = 0, word;
    v_store(words, v_xor(v_xor(all[0], all[1]), v_xor(all[2], all[3])));
    for (int k = 0; k < VBYTES / 8; k++) result ^= words[k];
    for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        result ^= word;
    }
    return result;
}
