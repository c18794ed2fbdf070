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

#define DEFINE_FILL(type, scalar)                                                                  \
    static void fill_##type(scalar *x, size_t n, number_kind kind)                                 \
    {                                                                                              \
        for (size_t j = 0; j < n; j++)                                                             \
            x[j] = kind == WHOLE ? (scalar)((int)random_below(9) - 4) : (scalar)random_real();     \
    }

DEFINE_FILL(f32, float)
DEFINE_FILL(f64, double)

/* Rounding errors of n additions, at worst, over the sum of the magnitudes. */
#define SUM_TOLERANCE(n, epsilon) (((double)(n) + 1.0) * (epsilon))
/* Of one update, over the magnitudes of its terms. */
#define UPDATE_TOLERANCE(epsilon) (3.0 * (epsilon))

/* ---- dot, gemv -------------------------------------------------------------------------------*/

#define DEFINE_TEST_DOT(type, scalar, epsilon)                                                     \
    static void check_dot_##type(size_t n, const scalar *x, const scalar *w, scalar got,           \
                                 number_kind kind)                                                 \
    {                                                                                              \
        double sum = 0.0, magnitude = 0.0;                                                         \
        for (size_t j = 0; j < n; j++) {                                                           \
            sum += (double)x[j] * w[j];                                                            \
            magnitude += fabs((double)x[j] * w[j]);                                                \
        }                                                                                          \
        CHECK(fabs(got - sum) <= (kind == WHOLE ? 0.0 : SUM_TOLERANCE(n, epsilon) * magnitude));   \
    }                                                                                              \
    static void test_dot_##type(const halp_backend *b, const halp_backend *reference, size_t n,    \
                                number_kind kind)                                                  \
    {                                                                                              \
        const size_t count = row_counts[random_below(COUNT(row_counts))];                          \
        const size_t ld = n + random_below(20);                                                    \
        scalar *x = guarded(n, sizeof *x, random_below(4));                                        \
        scalar *w = guarded(count * ld, sizeof *w, random_below(4));                               \
        scalar *got = guarded(count, sizeof *got, 1), *same = guarded(count, sizeof *got, 1);      \
        fill_##type(x, n, kind);                                                                   \
        fill_##type(w, count *ld, kind);                                                           \
        describe("%s dot_%s, n = %zu", b->name, #type, n);                                         \
        check_dot_##type(n, x, w, b->dot_##type(n, x, w), kind);                                   \
        describe("%s gemv_%s, n = %zu, %zu rows", b->name, #type, n, count);                       \
        b->gemv_##type(n, x, w, ld, count, got);                                                   \
        for (size_t r = 0; r < count; r++) check_dot_##type(n, x, w + r * ld, got[r], kind);       \
        describe("%s gemv_%s_repro, n = %zu, %zu rows", b->name, #type, n, count);                 \
        b->gemv_##type##_repro(n, x, w, ld, count, got);                                           \
        reference->gemv_##type##_repro(n, x, w, ld, count, same);                                  \
        CHECK(memcmp(got, same, count * sizeof *got) == 0);                                        \
        for (size_t r = 0; r < count; r++) check_dot_##type(n, x, w + r * ld, got[r], kind);       \
        release(x);                                                                                \
        release(w);                                                                                \
        release(got);                                                                              \
        release(same);                                                                             \
    }

DEFINE_TEST_DOT(f32, float, FLT_EPSILON)
DEFINE_TEST_DOT(f64, double, DBL_EPSILON)

/* ---- axpy, ger -------------------------------------------------------------------------------*/

#define DEFINE_TEST_AXPY(type, scalar, epsilon)                                                    \
    static void check_axpy_##type(size_t n, const scalar *w, const scalar *x, double c,            \
                                  const scalar *h, double k, const scalar *got, number_kind kind)  \
    {                                                                                              \
        for (size_t j = 0; j < n; j++) {                                                           \
            const double cx = c * x[j], kh = h ? k * h[j] : 0.0;                                   \
            const double error = fabs(got[j] - (w[j] - (cx + kh)));                                \
            const double magnitude = fabs(w[j]) + fabs(cx) + fabs(kh);                             \
            CHECK(error <= (kind == WHOLE ? 0.0 : UPDATE_TOLERANCE(epsilon) * magnitude));         \
        }                                                                                          \
    }                                                                                              \
    static void test_axpy_##type(const halp_backend *b, size_t n, number_kind kind)                \
    {                                                                                              \
        const size_t count = row_counts[random_below(COUNT(row_counts))];                          \
        const size_t ld = n + random_below(20), ldh = n + random_below(20);                        \
        scalar c[10];                                                                              \
        double steps[10];                                                                          \
        const scalar k = kind == WHOLE ? 2 : (scalar)random_real();                                \
        scalar *x = guarded(n, sizeof *x, random_below(4));                                        \
        scalar *h = guarded(count * ldh, sizeof *h, random_below(4));                              \
        scalar *w = guarded(count * ld, sizeof *w, 1);                                             \
        fill_##type(c, COUNT(c), kind);                                                            \
        fill_##type(x, n, kind);                                                                   \
        fill_##type(h, count *ldh, kind);                                                          \
        fill_##type(w, count *ld, kind);                                                           \
        for (size_t r = 0; r < count; r++) steps[r] = c[r];                                        \
        for (int with_h = 0; with_h < 2; with_h++) {                                               \
            scalar *one = guarded_copy(w, n, sizeof *w, 2);                                        \
            scalar *all = guarded_copy(w, count * ld, sizeof *w, 1);                               \
            scalar *twice = guarded_copy(w, n, sizeof *w, 3);                                      \
            scalar *h_used = with_h ? h : NULL;                                                    \
            describe("%s axpy_%s, n = %zu", b->name, #type, n);                                    \
            b->axpy_##type(n, one, x, c[0], h_used, k, with_h ? x : NULL);                         \
            check_axpy_##type(n, w, x, c[0], h_used, k, one, kind);                                \
            b->axpy_##type(n, twice, twice, c[0], h_used, k, NULL);                                \
            check_axpy_##type(n, w, w, c[0], h_used, k, twice, kind);                              \
            describe("%s ger_%s, n = %zu, %zu rows", b->name, #type, n, count);                    \
            b->ger_##type(n, all, ld, count, x, steps, h_used, ldh, k, with_h ? NULL : x);         \
            for (size_t r = 0; r < count; r++) {                                                   \
                const scalar *before = w + r * ld, *h_r = with_h ? h + r * ldh : NULL;             \
                check_axpy_##type(n, before, x, c[r], h_r, k, all + r * ld, kind);                 \
                CHECK(memcmp(before + n, all + r * ld + n, (ld - n) * sizeof *w) == 0);            \
            }                                                                                      \
            release(one);                                                                          \
            release(all);                                                                          \
            release(twice);                                                                        \
        }                                                                                          \
        release(x);                                                                                \
        release(h);                                                                                \
        release(w);                                                                                \
    }

DEFINE_TEST_AXPY(f32, float, FLT_EPSILON)
DEFINE_TEST_AXPY(f64, double, DBL_EPSILON)

/* ---- accumulate ------------------------------------------------------------------------------*/

#define DEFINE_TEST_ACCUMULATE(op, data, weight, fill_data, fill_weight, data_kind, exact,         \
                               epsilon, quantum)                                                   \
    static void test_accumulate_##op(const halp_backend *b, const halp_backend *reference,         \
                                     size_t n, number_kind kind)                                   \
    {                                                                                              \
        const size_t rows = block_rows[random_below(COUNT(block_rows))];                           \
        const size_t count = row_counts[random_below(COUNT(row_counts))];                          \
        const size_t ldx = n + random_below(20), ldg = n + random_below(20);                       \
        data *x = guarded(rows * ldx, sizeof *x, random_below(4));                                 \
        weight *b_ir = guarded(rows * count, sizeof *b_ir, 1);                                     \
        double *g = guarded(count * ldg, sizeof *g, 1);                                            \
        fill_data(x, rows *ldx, data_kind);                                                        \
        fill_weight(b_ir, rows *count, kind);                                                      \
        fill_f64(g, count *ldg, kind);                                                             \
        double *got = guarded_copy(g, count * ldg, sizeof *g, 1);                                  \
        double *same = guarded_copy(g, count * ldg, sizeof *g, 1);                                 \
        describe("%s accumulate_%s, n = %zu, %zu rows, %zu outputs", b->name, #op, n, rows,        \
                 count);                                                                           \
        b->accumulate_##op(rows, n, x, ldx, count, b_ir, got, ldg, x);                             \
        reference->accumulate_##op(rows, n, x, ldx, count, b_ir, same, ldg, NULL);                 \
        if (exact) CHECK(memcmp(got, same, count *ldg * sizeof *got) == 0);                        \
        for (size_t r = 0; r < count; r++) {                                                       \
            for (size_t j = 0; j < n; j++) {                                                       \
                double sum = 0.0, magnitude = 0.0, sizes = 0.0, largest = 0.0;                     \
                for (size_t i = 0; i < rows; i++) {                                                \
                    const double term = (double)b_ir[i * count + r] * x[i * ldx + j];              \
                    sum += term;                                                                   \
                    magnitude += fabs(term);                                                       \
                    sizes += fabs((double)x[i * ldx + j]);                                         \
                    largest = fmax(largest, fabs((double)b_ir[i * count + r]));                    \
                }                                                                                  \
                const double error = fabs(got[r * ldg + j] - (g[r * ldg + j] + sum));              \
                const double bound = SUM_TOLERANCE(rows, epsilon) * magnitude +                    \
                                     2 * DBL_EPSILON * fabs(g[r * ldg + j]) +                      \
                                     (quantum)*largest * sizes;                                    \
                CHECK(error <= (kind == WHOLE ? 0.0 : bound));                                     \
            }                                                                                      \
            CHECK(memcmp(got + r * ldg + n, g + r * ldg + n, (ldg - n) * sizeof *g) == 0);         \
        }                                                                                          \
        release(x);                                                                                \
        release(b_ir);                                                                             \
        release(g);                                                                                \
        release(got);                                                                              \
        release(same);                                                                             \
    }

DEFINE_TEST_ACCUMULATE(f64, double, double, fill_f64, fill_f64, kind, false, DBL_EPSILON, 0.0)
DEFINE_TEST_ACCUMULATE(f32, float, float, fill_f32, fill_f32, kind, false, FLT_EPSILON, 0.0)
DEFINE_TEST_ACCUMULATE(f64_repro, double, double, fill_f64, fill_f64, kind, true, DBL_EPSILON, 0.0)
DEFINE_TEST_ACCUMULATE(f32_repro, float, float, fill_f32, fill_f32, kind, true, FLT_EPSILON, 0.0)
DEFINE_TEST_ACCUMULATE(i16, int16_t, float, fill_i16, fill_f32, EXTREME, true, FLT_EPSILON, 0.0)
DEFINE_TEST_ACCUMULATE(i8, int8_t, double, fill_i8, fill_f64, ANY, true, DBL_EPSILON, 0x1p-28)

/* ---- peak ------------------------------------------------------------------------------------*/

#define DEFINE_TEST_PEAK(type, scalar, epsilon)                                                    \
    static void test_peak_##type(const halp_backend *b, size_t n, number_kind kind)                \
    {                                                                                              \
        scalar x, y;                                                                               \
        fill_##type(&x, 1, kind);                                                                  \
        fill_##type(&y, 1, kind);                                                                  \
        const double sum = (double)n * x * y;                                                      \
        const double error = fabs(b->peak_##type(n, x, y) - sum);                                  \
        describe("%s peak_%s, n = %zu, of %g and %g", b->name, #type, n, x, y);                    \
        CHECK(error <= (kind == WHOLE ? 0.0 : SUM_TOLERANCE(n, epsilon) * fabs(sum)));             \
    }

DEFINE_TEST_PEAK(f32, float, FLT_EPSILON)
DEFINE_TEST_PEAK(f64, double, DBL_EPSILON)

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
