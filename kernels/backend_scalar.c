/* The scalar backend: each kernel as its definition reads. It is the oracle of the others, and the
 * baseline they are measured against, so it is compiled without auto-vectorization. */
#define HALP_ISA scalar
#include "names.h"
#include "scalar.h"

#include <math.h>
#include <string.h>

/* ---- dot, gemv and peak ----------------------------------------------------------------------*/

#define FORMAT(op) op##_f64
#define DATA double
#define MODEL double
#define SUM double
#define PEAK_SUM double
#include "scalar_dot.h"

#define FORMAT(op) op##_f32
#define DATA float
#define MODEL float
#define SUM float
#define PEAK_SUM float
#include "scalar_dot.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#define SUM int64_t
#define PEAK_SUM uint32_t
#include "scalar_dot.h"

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define MODEL int16_t
#define SUM int64_t
#define PEAK_SUM uint32_t
#include "scalar_dot.h"

#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#define SUM int64_t
#define PEAK_SUM uint32_t
#include "scalar_dot.h"

int64_t halp_dot_i8_any_scalar(size_t n, const int8_t *x, const int8_t *y)
{
    return halp_dot_i8_scalar(n, x, y);
}

/* ---- axpy, ger and gemv_repro ----------------------------------------------------------------*/

#define FORMAT(op) op##_f64
#define REAL double
#define PARTIALS 16
#include "scalar_float.h"

#define FORMAT(op) op##_f32
#define REAL float
#define PARTIALS 32
#include "scalar_float.h"

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

#define FORMAT(op) op##_i16
#define DATA int16_t
#define FRACTION HALP_FRACTION_I16
#include "scalar_i16.h"

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define FRACTION HALP_FRACTION_I8I16
#include "scalar_i16.h"

#include "ger.h"

/* ---- margins and update ----------------------------------------------------------------------*/

#include "batch_scalar.h"
#include "losses_table.h"

/* ---- accumulate ------------------------------------------------------------------------------*/

#define FORMAT(op) op##_f64
#define DATA double
#define WEIGHT double
#include "scalar_accumulate.h"

#define FORMAT(op) op##_f32
#define DATA float
#define WEIGHT float
#include "scalar_accumulate.h"

#define FORMAT(op) op##_f64_repro
#define DATA double
#define WEIGHT double
#include "scalar_accumulate.h"

#define FORMAT(op) op##_f32_repro
#define DATA float
#define WEIGHT float
#include "scalar_accumulate.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define WEIGHT float
#include "scalar_accumulate.h"

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

/* ---- quantize, dequantize, lowest, read ------------------------------------------------------*/

#define REAL double
#define STORED int16_t
#define LIMIT 32767.0
#define FROM_TO(op) op##_f64_i16
#define TO_FROM(op) op##_i16_f64
#include "scalar_quantize.h"

#define REAL double
#define STORED int8_t
#define LIMIT 127.0
#define FROM_TO(op) op##_f64_i8
#define TO_FROM(op) op##_i8_f64
#include "scalar_quantize.h"

#define REAL float
#define STORED int16_t
#define LIMIT 32767.0
#define FROM_TO(op) op##_f32_i16
#define TO_FROM(op) op##_i16_f32
#include "scalar_quantize.h"

#define REAL float
#define STORED int8_t
#define LIMIT 127.0
#define FROM_TO(op) op##_f32_i8
#define TO_FROM(op) op##_i8_f32
#include "scalar_quantize.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#include "lowest.h"

#define FORMAT(op) op##_i8
#define DATA int8_t
#include "lowest.h"

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

#define HALP_REQUIRED 0
#include "backend_table.h"
