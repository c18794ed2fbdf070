/* The scalar backend: each kernel as its definition reads. It is the oracle of the others, and the
 * baseline they are measured against, so it is compiled without auto-vectorization. */
#include "backend_table.h"
#include "ger.h"
#include "scalar.h"

#include <math.h>
#include <string.h>

/* ---- dot and gemv ----------------------------------------------------------------------------*/

#define DEFINE_DOT(type, data, model, sum)                                                         \
    static sum halp_dot_##type##_scalar(size_t n, const data *x, const model *y)                   \
    {                                                                                              \
        sum total = 0;                                                                             \
        for (size_t j = 0; j < n; j++) total += (sum)x[j] * y[j];                                  \
        return total;                                                                              \
    }                                                                                              \
    static void halp_gemv_##type##_scalar(size_t n, const data *x, const model *w, size_t ld,      \
                                          size_t count, sum *out)                                  \
    {                                                                                              \
        for (size_t r = 0; r < count; r++) out[r] = halp_dot_##type##_scalar(n, x, w + r * ld);    \
    }

DEFINE_DOT(f64, double, double, double)
DEFINE_DOT(f32, float, float, float)
DEFINE_DOT(i16, int16_t, int16_t, int64_t)
DEFINE_DOT(i8i16, int8_t, int16_t, int64_t)
DEFINE_DOT(i8, int8_t, int8_t, int64_t)

/* 128 bytes' worth of partial sums, folded in halves: an order that every vector width can keep. */
#define DEFINE_GEMV_REPRO(type, scalar, lanes)                                                     \
    static void halp_gemv_##type##_repro_scalar(size_t n, const scalar *x, const scalar *w,        \
                                                size_t ld, size_t count, scalar *out)              \
    {                                                                                              \
        for (size_t r = 0; r < count; r++) {                                                       \
            scalar partial[lanes] = {0};                                                           \
            for (size_t j = 0; j < n; j++) partial[j % (lanes)] += x[j] * w[r * ld + j];           \
            for (size_t half = (lanes) / 2; half > 0; half /= 2)                                   \
                for (size_t j = 0; j < half; j++) partial[j] += partial[j + half];                 \
            out[r] = partial[0];                                                                   \
        }                                                                                          \
    }

DEFINE_GEMV_REPRO(f64, double, 16)
DEFINE_GEMV_REPRO(f32, float, 32)

/* ---- axpy and ger ----------------------------------------------------------------------------*/

#define DEFINE_AXPY_FLOAT(type, scalar)                                                            \
    static void halp_axpy_##type##_scalar(size_t n, scalar *w, const scalar *x, scalar c,          \
                                          const scalar *h, scalar k, const void *next)             \
    {                                                                                              \
        (void)next;                                                                                \
        for (size_t j = 0; j < n; j++) w[j] -= c * x[j] + (h ? k * h[j] : 0);                      \
    }

DEFINE_AXPY_FLOAT(f64, double)
DEFINE_AXPY_FLOAT(f32, float)

static int32_t clamp(int64_t v, int32_t low, int32_t high)
{
    return v < low ? low : v > high ? high : (int32_t)v;
}

static int32_t sat16(int64_t v) { return clamp(v, INT16_MIN, INT16_MAX); }

void halp_block_i8_scalar(size_t n, int8_t *w, const int8_t *x, halp_step_i8 c, const int16_t *h,
                          int exponent, const uint16_t *lanes)
{
    for (size_t j = 0; j < n; j++) {
        const size_t lane = halp_lane_i8(j);
        const int32_t p = (x[j] * c.mantissa + 64) >> 7;
        const int32_t offset = ((h ? h[lane] : 0) + lanes[lane]) >> (exponent - c.fraction);
        const int32_t t = (p + offset) >> c.fraction;
        w[j] = (int8_t)clamp(w[j] - (t + c.whole * x[j]), -127, 127);
    }
}

static void halp_axpy_i8_scalar(size_t n, int8_t *w, const int8_t *x, double c, halp_h h,
                                halp_rng *rng, const void *next)
{
    (void)next;
    halp_rng_format(rng, 16, h.exponent);
    uint64_t draw = halp_rng_draw(rng);
    const halp_step_i8 step = halp_split_i8(c, h.exponent, halp_rng_uniform(rng, draw));
    const size_t block = HALP_BLOCK_BYTES / 2;
    for (size_t j = 0; j < n; j += block) {
        if (j > 0) draw = halp_rng_draw(rng);
        halp_block_i8_scalar(n - j < block ? n - j : block, w + j, x + j, step,
                             h.values ? h.values + j : NULL, h.exponent, halp_rng_block(rng, draw));
    }
}

#define DEFINE_AXPY_I16(type, data, fraction_bits)                                                 \
    void halp_block_##type##_scalar(size_t n, int16_t *w, const data *x, int32_t c,                \
                                    const int16_t *h, int exponent, const uint32_t *lanes)         \
    {                                                                                              \
        for (size_t j = 0; j < n; j++) {                                                           \
            const int64_t h_j = h ? (int64_t)h[j] * (1 << exponent) : 0;                           \
            const int64_t v = (int64_t)c * x[j] + h_j + lanes[halp_lane_i16(j)];                   \
            w[j] = (int16_t)clamp(w[j] - sat16(v >> (fraction_bits)), -32767, 32767);              \
        }                                                                                          \
    }                                                                                              \
    static void halp_axpy_##type##_scalar(size_t n, int16_t *w, const data *x, double c, halp_h h, \
                                          halp_rng *rng, const void *next)                         \
    {                                                                                              \
        (void)next;                                                                                \
        halp_rng_format(rng, 32, fraction_bits);                                                   \
        uint64_t draw = halp_rng_draw(rng);                                                        \
        const int32_t step = halp_split_i16(c, fraction_bits, halp_rng_uniform(rng, draw));        \
        const size_t block = HALP_BLOCK_BYTES / 4;                                                 \
        for (size_t j = 0; j < n; j += block) {                                                    \
            if (j > 0) draw = halp_rng_draw(rng);                                                  \
            halp_block_##type##_scalar(n - j < block ? n - j : block, w + j, x + j, step,          \
                                       h.values ? h.values + j : NULL, h.exponent,                 \
                                       halp_rng_block(rng, draw));                                 \
        }                                                                                          \
    }

DEFINE_AXPY_I16(i16, int16_t, HALP_FRACTION_I16)
DEFINE_AXPY_I16(i8i16, int8_t, HALP_FRACTION_I8I16)

HALP_DEFINE_GER(scalar)

/* ---- margins and update ----------------------------------------------------------------------*/

#include "batch_scalar.h"

#define HALP_NAME(op) op##_scalar
#include "losses_table.h"

/* ---- accumulate ------------------------------------------------------------------------------*/

#define DEFINE_ACCUMULATE(name, data, weight)                                                      \
    static void halp_accumulate_##name##_scalar(size_t rows, size_t n, const data *x, size_t ldx,  \
                                                size_t count, const weight *b, double *g,          \
                                                size_t ldg, const void *next)                      \
    {                                                                                              \
        (void)next;                                                                                \
        for (size_t r = 0; r < count; r++)                                                         \
            for (size_t j = 0; j < n; j++) {                                                       \
                weight sum = 0;                                                                    \
                for (size_t i = 0; i < rows; i++)                                                  \
                    sum += b[i * count + r] * (weight)x[i * ldx + j];                              \
                g[r * ldg + j] += sum;                                                             \
            }                                                                                      \
    }

DEFINE_ACCUMULATE(f64, double, double)
DEFINE_ACCUMULATE(f32, float, float)
DEFINE_ACCUMULATE(f64_repro, double, double)
DEFINE_ACCUMULATE(f32_repro, float, float)
DEFINE_ACCUMULATE(i16, int16_t, float)

static void halp_accumulate_i8_scalar(size_t rows, size_t n, const int8_t *x, size_t ldx,
                                      size_t count, const double *b, double *g, size_t ldg,
                                      const void *next)
{
    (void)next;
    for (size_t r = 0; r < count; r++) {
        double unit, b_r[HALP_MOST_ROWS];
        int32_t parts[HALP_MOST_ROWS];
        for (size_t i = 0; i < rows; i++) b_r[i] = b[i * count + r];
        halp_encode_b(rows, 1, b_r, &unit, parts);
        for (size_t j = 0; j < n; j++) {
            int32_t high = 0, low = 0;
            for (size_t i = 0; i < rows; i++) {
                high += (int16_t)(parts[i / 2 * 2] >> (16 * (i % 2))) * x[i * ldx + j];
                low += (int16_t)(parts[i / 2 * 2 + 1] >> (16 * (i % 2))) * x[i * ldx + j];
            }
            g[r * ldg + j] += unit * (16384.0 * high + low);
        }
    }
}

/* ---- quantize, dequantize, read, peak --------------------------------------------------------*/

#define DEFINE_QUANTIZE(real, integer, type, stored, limit)                                        \
    static void halp_quantize_##real##_##integer##_scalar(size_t n, const type *x, double scale,   \
                                                          stored *q, halp_rng *rng)                \
    {                                                                                              \
        halp_rng_format(rng, 16, 16);                                                              \
        const size_t block = HALP_BLOCK_BYTES / 2;                                                 \
        const uint16_t *lanes = NULL;                                                              \
        for (size_t j = 0; j < n; j++) {                                                           \
            if (j % block == 0) lanes = halp_rng_block(rng, halp_rng_draw(rng));                   \
            const double y = fmax(fmin((double)x[j] / scale, limit), -(limit));                    \
            const double low = floor(y);                                                           \
            const int32_t fraction = (int32_t)rint((y - low) * 65536.0);                           \
            q[j] = (stored)((int32_t)low + ((fraction + lanes[j % block]) >> 16));                 \
        }                                                                                          \
    }                                                                                              \
    static void halp_dequantize_##integer##_##real##_scalar(size_t n, const stored *q,             \
                                                            double scale, type *x)                 \
    {                                                                                              \
        for (size_t j = 0; j < n; j++) x[j] = (type)(q[j] * scale);                                \
    }

DEFINE_QUANTIZE(f64, i16, double, int16_t, 32767.0)
DEFINE_QUANTIZE(f64, i8, double, int8_t, 127.0)
DEFINE_QUANTIZE(f32, i16, float, int16_t, 32767.0)
DEFINE_QUANTIZE(f32, i8, float, int8_t, 127.0)

#define DEFINE_LOWEST(type, integer)                                                               \
    static int halp_lowest_##type##_scalar(size_t n, const integer *x)                             \
    {                                                                                              \
        int lowest = 0;                                                                            \
        for (size_t j = 0; j < n; j++) lowest = x[j] < lowest ? x[j] : lowest;                     \
        return lowest;                                                                             \
    }

DEFINE_LOWEST(i16, int16_t)
DEFINE_LOWEST(i8, int8_t)

int64_t halp_dot_i8_any_scalar(size_t n, const int8_t *x, const int8_t *y)
{
    return halp_dot_i8_scalar(n, x, y);
}

static uint64_t halp_read_scalar(size_t n, const void *bytes)
{
    uint64_t all = 0, word;
    for (const char *p = bytes, *end = p + n / sizeof word * sizeof word; p < end;
         p += sizeof word) {
        memcpy(&word, p, sizeof word);
        all ^= word;
    }
    return all;
}

/* Several sums, lest each addition wait for the one before; y is read again for each product, lest one
 * product serve all. */
#define DEFINE_PEAK(type, data, model, sum)                                                        \
    static sum halp_peak_##type##_scalar(size_t n, data x, model y)                                \
    {                                                                                              \
        enum { ways = 8 };                                                                         \
        const volatile sum y_each = (sum)y;                                                        \
        sum total[ways] = {0};                                                                     \
        for (size_t steps = n / ways; steps > 0; steps--)                                          \
            for (int k = 0; k < ways; k++) total[k] += (sum)x * y_each;                            \
        for (size_t j = 0; j < n % ways; j++) total[0] += (sum)x * y_each;                         \
        for (int k = 1; k < ways; k++) total[0] += total[k];                                       \
        return total[0];                                                                           \
    }

DEFINE_PEAK(f64, double, double, double)
DEFINE_PEAK(f32, float, float, float)
DEFINE_PEAK(i16, int16_t, int16_t, uint32_t)
DEFINE_PEAK(i8i16, int8_t, int16_t, uint32_t)
DEFINE_PEAK(i8, int8_t, int8_t, uint32_t)

HALP_BACKEND_TABLE(scalar, 0);
