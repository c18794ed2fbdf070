/* Kernels of batches. Integers: every backend gives the bits of the scalar one, and leaves the random
 * stream in the same state. Floats: exact on small whole numbers, else within rounding errors. */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef struct {
    const char *name;
    size_t data, model, fixed_h; /* bytes of an element */
    int budget, finest;          /* of coefficients; the largest exponent of h */
    int32_t most_h;
    double epsilon; /* 0: integers */
} format_facts;

static const format_facts formats[HALP_FORMAT_COUNT] = {
    [HALP_F64] = {"f64", 8, 8, 8, 0, 0, 0, DBL_EPSILON},
    [HALP_F32] = {"f32", 4, 4, 4, 0, 0, 0, FLT_EPSILON},
    [HALP_I16] = {"i16", 2, 2, 4, 1 << 14, 22, 1 << 29, 0.0},
    [HALP_I8I16] = {"i8i16", 1, 2, 2, 124, 14, 32767, 0.0},
    [HALP_I8] = {"i8", 1, 1, 2, 124, 13, 8191, 0.0},
};

static const size_t output_counts[] = {1, 2, 3, 4, 5, 8, 10, 17};

/* ---- Operands --------------------------------------------------------------------------------*/

typedef enum { WHOLE, REAL } number_kind; /* of floats */

static void fill_real(double *values, size_t n, number_kind kind)
{
    for (size_t j = 0; j < n; j++)
        values[j] = kind == WHOLE ? (double)((int)random_below(9) - 4) : random_real();
}

/* Elements of `size` bytes: integers of a pattern, or floats of a kind. */
static void fill(void *x, size_t n, size_t size, pattern pattern)
{
    if (size == 1)
        fill_i8(x, n, pattern);
    else if (size == 2)
        fill_i16(x, n, pattern);
    for (size_t j = 0; size >= 4 && j < n; j++) {
        double value;
        fill_real(&value, 1, (number_kind)pattern);
        if (size == 4)
            ((float *)x)[j] = (float)value;
        else
            ((double *)x)[j] = value;
    }
}

/* Data, unlike models, use the whole range. */
static void add_lowest(void *x, size_t n, size_t size)
{
    for (size_t j = 0; j < n; j++) {
        if (random_below(8)) continue;
        if (size == 1)
            ((int8_t *)x)[j] = INT8_MIN;
        else if (size == 2)
            ((int16_t *)x)[j] = INT16_MIN;
    }
}

static double element(const void *x, size_t j, size_t size)
{
    return size == 1   ? ((const int8_t *)x)[j]
           : size == 2 ? ((const int16_t *)x)[j]
           : size == 4 ? ((const float *)x)[j]
                       : ((const double *)x)[j];
}

typedef struct {
    size_t n, rows, count, ldw;
    const void *x[HALP_MOST_BATCH];
    void *w;
} operands;

static operands make_operands(const format_facts *f, size_t n, size_t rows, size_t count,
                              pattern pattern)
{
    operands a = {.n = n, .rows = rows, .count = count, .ldw = n + random_below(20)};
    for (size_t b = 0; b < rows; b++) {
        void *x = guarded(n, f->data, random_below(4));
        fill(x, n, f->data, pattern);
        if (pattern != HIGHEST) add_lowest(x, n, f->data);
        a.x[b] = x;
    }
    a.w = guarded(count * a.ldw, f->model, random_below(4));
    fill(a.w, count * a.ldw, f->model, pattern);
    return a;
}

static void release_operands(operands *a)
{
    for (size_t b = 0; b < a->rows; b++) release((void *)a->x[b]);
    release(a->w);
}

/* ---- margins ---------------------------------------------------------------------------------*/

static void check_margin(const format_facts *f, const operands *a, size_t b, size_t r, double got,
                         bool exact)
{
    double sum = 0.0, magnitude = 0.0;
    for (size_t j = 0; j < a->n; j++) {
        const double product =
            element(a->x[b], j, f->data) * element(a->w, r * a->ldw + j, f->model);
        sum += product;
        magnitude += fabs(product);
    }
    CHECK(fabs(got - sum) <= (exact ? 0.0 : (double)(a->n + 1) * f->epsilon * magnitude));
}

/* Any rows can be those that come next. */
static void margins_of(const halp_backend *b, halp_format format, const operands *a, double *sums)
{
    const halp_margins all = {
        .n = a->n,
        .rows = a->rows,
        .count = a->count,
        .x = a->x,
        .w = a->w,
        .ldw = a->ldw,
        .sums = sums,
        .next = a->x,
        .next_rows = a->rows,
    };
    b->family[format].margins(&all);
}

static void test_margins(const halp_backend *b, halp_format format, size_t n, size_t rows,
                         size_t count, pattern pattern)
{
    const format_facts *f = &formats[format];
    operands a = make_operands(f, n, rows, count, pattern);
    double *got = guarded(rows * count, sizeof *got, 1);
    describe("%s margins_%s, n = %zu, %zu x %zu, pattern %d", b->name, f->name, n, rows, count,
             pattern);
    margins_of(b, format, &a, got);
    const bool exact = f->epsilon == 0.0 || pattern == (int)WHOLE;
    for (size_t i = 0; i < rows; i++)
        for (size_t r = 0; r < count; r++) check_margin(f, &a, i, r, got[i * count + r], exact);
    release_operands(&a);
    release(got);
}

/* The largest products of either sign, over many chunks. */
static void test_longest_margins(const halp_backend *b, halp_format format)
{
    const format_facts *f = &formats[format];
    const size_t n = 70001;
    operands a = make_operands(f, n, 5, 3, HIGHEST);
    double got[15];
    const double most_x = f->data == 1 ? 128 : 32768, most_w = f->model == 1 ? 127 : 32767;
    memset((void *)a.x[0], f->data == 1 ? 0x80 : 0, n * f->data);
    for (size_t j = 0; f->data == 2 && j < n; j++) ((int16_t *)a.x[0])[j] = INT16_MIN;
    describe("%s margins_%s, the longest sums", b->name, f->name);
    margins_of(b, format, &a, got);
    for (size_t r = 0; r < a.count; r++) {
        CHECK(got[r] == -most_x * most_w * (double)n);
        CHECK(got[4 * a.count + r] == (most_x - 1) * most_w * (double)n);
    }
    release_operands(&a);
}

/* ---- update of integers ----------------------------------------------------------------------*/

typedef enum { SMALL, ANY_SIZE, EXACT, BEYOND, ZEROS, COEFFICIENTS } coefficient_kind;

/* Some that use the budget up to the last unit, whatever exponent they share. */
static void spend_budget(double *c, size_t rows, size_t count, size_t r, int budget)
{
    const double unit = ldexp(1.0, 6 - (int)random_below(26));
    int left = budget;
    for (size_t b = 0; b < rows; b++) {
        const int k = b + 1 == rows ? left : (int)random_below((size_t)left + 1);
        left -= k;
        c[b * count + r] = (random_bits() & 1 ? k : -k) * unit;
    }
}

static void fill_coefficients(double *c, size_t rows, size_t count, int budget,
                              coefficient_kind kind)
{
    for (size_t r = 0; r < count; r++) {
        if (kind == EXACT) spend_budget(c, rows, count, r, budget);
        for (size_t b = 0; kind != EXACT && b < rows; b++)
            c[b * count + r] = kind == SMALL      ? ldexp(random_real(), -4)
                               : kind == ANY_SIZE ? ldexp(random_real(), 16 - (int)random_below(40))
                               : kind == BEYOND   ? 1e300 * random_real()
                               : random_bits() & 1 ? 0.0
                                                   : 5e-324;
    }
}

/* h of any size that the format takes, or at its limits; none if `values` is NULL. */
static halp_batch_h random_h(const format_facts *f, void *values, size_t ld, size_t count)
{
    const halp_batch_h h = {values, ld, (int)random_below((size_t)f->finest + 1), 1.0};
    const bool at_limits = random_bits() & 1;
    for (size_t j = 0; values && j < count * ld; j++) {
        const int32_t largest = random_bits() & 1 ? f->most_h : -f->most_h;
        const int32_t any = (int32_t)random_below(2 * (size_t)f->most_h + 1) - f->most_h;
        if (f->fixed_h == 4)
            ((int32_t *)values)[j] = at_limits ? largest : any;
        else
            ((int16_t *)values)[j] = (int16_t)(at_limits ? largest : any);
    }
    return h;
}

typedef struct {
    halp_rng expected, got;
} rng_pair;

static void test_update(const halp_backend *b, const halp_backend *scalar, halp_format format,
                        size_t n, size_t rows, size_t count, rng_pair *rng)
{
    const format_facts *f = &formats[format];
    const coefficient_kind kind = (coefficient_kind)random_below(COEFFICIENTS);
    operands a = make_operands(f, n, rows, count, (pattern)random_below(PATTERNS));
    double *c = guarded(rows * count, sizeof *c, 1);
    const size_t ldh = HALP_PADDED(n) + 64 * random_below(2);
    void *h = random_below(4) ? guarded(count * ldh, f->fixed_h, random_below(3)) : NULL;
    void *w = guarded_copy(a.w, count * a.ldw, f->model, random_below(4));
    fill_coefficients(c, rows, count, f->budget, kind);
    halp_update u = {
        .n = n, .rows = rows, .count = count, .x = a.x, .w = a.w, .ldw = a.ldw, .c = c};
    u.h = random_h(f, h, ldh, count);
    u.rng = &rng->expected;
    describe("%s update_%s, n = %zu, %zu x %zu, coefficients %d, h %d, exponent %d, rounding %d",
             b->name, f->name, n, rows, count, kind, h != NULL, u.h.exponent, rng->got.rounding);
    scalar->family[format].update(&u);
    u.w = w;
    u.rng = &rng->got;
    u.next = a.x;
    u.next_rows = random_bits() & 1 ? rows : 0;
    b->family[format].update(&u);
    CHECK(memcmp(a.w, w, count * a.ldw * f->model) == 0);
    CHECK(memcmp(&rng->expected, &rng->got, sizeof rng->got) == 0);
    release_operands(&a);
    release(w);
    release(c);
    if (h) release(h);
}

static void seed_pair(rng_pair *rng, uint64_t seed, halp_rounding rounding)
{
    memset(rng, 0, sizeof *rng); /* memcmp sees the padding, too */
    halp_rng_init(&rng->expected, seed, rounding);
    halp_rng_init(&rng->got, seed, rounding);
}

/* ---- update of floats ------------------------------------------------------------------------*/

static void check_update(const format_facts *f, const operands *a, const halp_update *u,
                         const void *got, bool exact)
{
    for (size_t r = 0; r < a->count; r++)
        for (size_t j = 0; j < a->n; j++) {
            const double w = element(a->w, r * a->ldw + j, f->model);
            const double h =
                u->h.values ? u->h.factor * element(u->h.values, r * u->h.ld + j, f->model) : 0.0;
            double sum = w - h, magnitude = fabs(w) + fabs(h);
            for (size_t b = 0; b < a->rows; b++) {
                const double step = u->c[b * a->count + r] * element(a->x[b], j, f->data);
                sum -= step;
                magnitude += fabs(step);
            }
            const double error = fabs(element(got, r * a->ldw + j, f->model) - sum);
            CHECK(error <= (exact ? 0.0 : (double)(a->rows + 3) * f->epsilon * magnitude));
        }
}

static void test_update_float(const halp_backend *b, halp_format format, size_t n, size_t rows,
                              size_t count, number_kind kind)
{
    const format_facts *f = &formats[format];
    operands a = make_operands(f, n, rows, count, (pattern)kind);
    double *c = guarded(rows * count, sizeof *c, 1);
    const size_t ldh = n + random_below(9);
    void *h = random_below(4) ? guarded(count * ldh, f->model, 1) : NULL;
    void *got = guarded_copy(a.w, count * a.ldw, f->model, random_below(4));
    fill_real(c, rows * count, kind);
    if (h) fill(h, count * ldh, f->model, (pattern)kind);
    const halp_update u = {.n = n,
                           .rows = rows,
                           .count = count,
                           .x = a.x,
                           .w = got,
                           .ldw = a.ldw,
                           .c = c,
                           .h = {h, ldh, 0, kind == WHOLE ? 3.0 : 0.7},
                           .next = a.x,
                           .next_rows = random_bits() & 1 ? rows : 0};
    describe("%s update_%s, n = %zu, %zu x %zu", b->name, f->name, n, rows, count);
    b->family[format].update(&u);
    check_update(f, &a, &u, got, kind == WHOLE);
    for (size_t r = 0; r + 1 < count; r++) /* between the rows */
        CHECK(memcmp((char *)got + (r * a.ldw + n) * f->model,
                     (char *)a.w + (r * a.ldw + n) * f->model, (a.ldw - n) * f->model) == 0);
    release_operands(&a);
    release(got);
    release(c);
    if (h) release(h);
}

/* ---- Everything ------------------------------------------------------------------------------*/

static void test_shape(const halp_backend *b, const halp_backend *scalar, size_t n, size_t rows,
                       size_t count, rng_pair *rng)
{
    for (int format = 0; format < HALP_FORMAT_COUNT; format++) {
        const bool integer = formats[format].epsilon == 0.0;
        const int patterns = integer ? PATTERNS : 2;
        test_margins(b, (halp_format)format, n, rows, count,
                     (pattern)random_below((size_t)patterns));
        if (integer)
            test_update(b, scalar, (halp_format)format, n, rows, count, rng);
        else
            test_update_float(b, (halp_format)format, n, rows, count,
                              (number_kind)(random_bits() & 1));
    }
}

void test_batches(const halp_backend *b, const halp_backend *scalar)
{
    static rng_pair stochastic, nearest;
    seed_pair(&stochastic, 5, HALP_STOCHASTIC);
    seed_pair(&nearest, 6, HALP_NEAREST);
    for (size_t l = 0; l < lengths_count; l++) {
        if (lengths[l] > 5000) continue; /* no block or chunk is that long */
        for (int repeat = 0; repeat < 3; repeat++) {
            const size_t rows = 1 + random_below(10);
            const size_t count = output_counts[random_below(COUNT(output_counts))];
            test_shape(b, scalar, lengths[l], rows, count, repeat ? &stochastic : &nearest);
        }
    }
    for (size_t rows = 1; rows <= HALP_MOST_BATCH; rows++)
        test_shape(b, scalar, 1 + random_below(300), rows, 1 + random_below(6), &stochastic);
    for (int repeat = 0; repeat < 20; repeat++) {
        test_shape(b, scalar, 1 + random_below(100), 1 + random_below(8), 100, &stochastic);
        test_shape(b, scalar, 2000 + random_below(100), HALP_MOST_BATCH, 2, &stochastic);
    }
    test_shape(b, scalar, 40, 3, 1000, &stochastic);
    test_longest_margins(b, HALP_I8);
    test_longest_margins(b, HALP_I8I16);
    test_longest_margins(b, HALP_I16);
}
