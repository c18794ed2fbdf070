/* Floating-point kernels. On small whole numbers every order of additions is exact, so all
 * backends agree; on real numbers they stay within bounds of the rounding errors. Those named
 * _repro, and sums over integer data, agree to the bit on any numbers. */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const size_t row_counts[] = {1, 2, 3, 4, 5, 7, 10};
static const size_t block_rows[] = {0, 1, 2, 3, 16, 33};

typedef enum { WHOLE, REAL, KINDS } number_kind;
/* Rounding errors of n additions, at worst, over the sum of the magnitudes. */
#define SUM_TOLERANCE(n, epsilon) (((double)(n) + 1.0) * (epsilon))
/* Of one update, over the magnitudes of its terms. */
#define UPDATE_TOLERANCE(epsilon) (3.0 * (epsilon))

/* ---- dot, gemv, axpy, ger, peak --------------------------------------------------------------*/

#define FORMAT(op) op##_f32
#define REPRO(op) op##_f32_repro
#define REAL float
#define EPSILON FLT_EPSILON
#include "floats_format.h"

#define FORMAT(op) op##_f64
#define REPRO(op) op##_f64_repro
#define REAL double
#define EPSILON DBL_EPSILON
#include "floats_format.h"

/* ---- accumulate ------------------------------------------------------------------------------*/

#define FORMAT(op) op##_f64
#define DATA double
#define WEIGHT double
#define FILL_DATA fill_f64
#define FILL_WEIGHT fill_f64
#define DATA_KIND kind
#define EXACT false
#define EPSILON DBL_EPSILON
#define QUANTUM 0.0
#include "floats_accumulate.h"

#define FORMAT(op) op##_f32
#define DATA float
#define WEIGHT float
#define FILL_DATA fill_f32
#define FILL_WEIGHT fill_f32
#define DATA_KIND kind
#define EXACT false
#define EPSILON FLT_EPSILON
#define QUANTUM 0.0
#include "floats_accumulate.h"

#define FORMAT(op) op##_f64_repro
#define DATA double
#define WEIGHT double
#define FILL_DATA fill_f64
#define FILL_WEIGHT fill_f64
#define DATA_KIND kind
#define EXACT true
#define EPSILON DBL_EPSILON
#define QUANTUM 0.0
#include "floats_accumulate.h"

#define FORMAT(op) op##_f32_repro
#define DATA float
#define WEIGHT float
#define FILL_DATA fill_f32
#define FILL_WEIGHT fill_f32
#define DATA_KIND kind
#define EXACT true
#define EPSILON FLT_EPSILON
#define QUANTUM 0.0
#include "floats_accumulate.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define WEIGHT float
#define FILL_DATA fill_i16
#define FILL_WEIGHT fill_f32
#define DATA_KIND EXTREME
#define EXACT true
#define EPSILON FLT_EPSILON
#define QUANTUM 0.0
#include "floats_accumulate.h"

#define FORMAT(op) op##_i8
#define DATA int8_t
#define WEIGHT double
#define FILL_DATA fill_i8
#define FILL_WEIGHT fill_f64
#define DATA_KIND ANY
#define EXACT true
#define EPSILON DBL_EPSILON
#define QUANTUM 0x1p-28
#include "floats_accumulate.h"

/* ---- Everything ------------------------------------------------------------------------------*/

void test_floats(const halp_backend *b, const halp_backend *scalar)
{
    for (size_t l = 0; l < lengths_count; l++)
        for (int kind = 0; kind < KINDS; kind++) {
            const size_t n = lengths[l];
            test_dot_f32(b, scalar, n, (number_kind)kind);
            test_dot_f64(b, scalar, n, (number_kind)kind);
            test_peak_f32(b, n, (number_kind)kind);
            test_peak_f64(b, n, (number_kind)kind);
            if (n > 5000) continue; /* element by element: nothing new happens there */
            test_axpy_f32(b, n, (number_kind)kind);
            test_axpy_f64(b, n, (number_kind)kind);
            test_accumulate_f64(b, scalar, n, (number_kind)kind);
            test_accumulate_f32(b, scalar, n, (number_kind)kind);
            test_accumulate_f64_repro(b, scalar, n, (number_kind)kind);
            test_accumulate_f32_repro(b, scalar, n, (number_kind)kind);
            test_accumulate_i16(b, scalar, n, (number_kind)kind);
            test_accumulate_i8(b, scalar, n, (number_kind)kind);
        }
}
