/* The inner loop, the full-gradient pass, and the integer sums that it takes from a backend. Integers:
 * the bits of the scalar backend, however an epoch is cut into calls. */
#include "harness.h"
#include "loop.h"
#include "pass.h"

#include <math.h>
#include <string.h>

enum { SAMPLES = 37, STEPS = 600, MOST_COLUMNS = 1100, MOST_OUTPUTS = 5 };

static const halp_format integer_formats[] = {HALP_I16, HALP_I8I16, HALP_I8};

static size_t data_bytes(halp_format format) { return format == HALP_I16 ? 2 : 1; }
static double data_scale(halp_format format) { return format == HALP_I16 ? 3e-5 : 8e-3; }

static size_t model_bytes(halp_format format) { return format == HALP_I8 ? 1 : 2; }

static void fill_data(void *x, size_t n, halp_format format, pattern pattern)
{
    if (format == HALP_I16)
        fill_i16(x, n, pattern);
    else
        fill_i8(x, n, pattern);
}

/* ---- accumulate ------------------------------------------------------------------------------*/

static void test_accumulate(const halp_backend *b, const halp_backend *scalar, halp_format format,
                            size_t rows, size_t n, size_t count, pattern pattern)
{
    describe("%s, accumulate, format %d, %zu x %zu, %zu outputs, pattern %d", b->name, format, rows,
             n, count, pattern);
    const size_t ldx = n + random_below(3), ldg = n + random_below(3);
    const int most = format == HALP_I16 ? 1023 : 32767;
    void *x = guarded(rows * ldx, data_bytes(format), random_below(3) * data_bytes(format));
    int16_t *k = guarded(rows * count, sizeof *k, 0);
    double *unit = guarded(count, sizeof *unit, 0);
    double *g = guarded(count * ldg, sizeof *g, 0);
    fill_data(x, rows * ldx, format, pattern);
    if (format == HALP_I16 && pattern == EXTREME) ((int16_t *)x)[0] = INT16_MIN;
    for (size_t i = 0; i < rows * count; i++)
        k[i] = (int16_t)(pattern == ANY ? (int)random_below((size_t)(2 * most + 1)) - most
                                        : (random_below(2) ? most : -most));
    for (size_t r = 0; r < count; r++) unit[r] = ldexp(1.0, -(int)random_below(40));
    for (size_t j = 0; j < count * ldg; j++) g[j] = random_real();
    double *expected = guarded_copy(g, count * ldg, sizeof *g, 0);
    const void *next[] = {x};
    halp_accumulation all = {
        .n = n,
        .rows = rows,
        .count = count,
        .x = x,
        .ldx = ldx,
        .k = k,
        .unit = unit,
        .g = g,
        .ldg = ldg,
        .next = next,
        .next_rows = 1,
    };
    b->family[format].accumulate(&all);
    all.g = expected;
    scalar->family[format].accumulate(&all);
    CHECK(memcmp(g, expected, count * ldg * sizeof *g) == 0);
    release(expected), release(g), release(unit), release(k), release(x);
}

/* ---- Loops and passes ------------------------------------------------------------------------*/

typedef struct {
    halp_format format;
    halp_loss_code loss;
    size_t n, outputs;
    int batch_size, grows, plain, fixed; /* plain: SGD; fixed: LP-SVRG */
    double l2;
} setting;

typedef struct {
    void *x;
    double targets[SAMPLES * MOST_OUTPUTS], h[MOST_OUTPUTS * MOST_COLUMNS];
    int32_t samples[STEPS];
    size_t target_count;
} problem;

static problem *make_problem(const setting *s)
{
    problem *p = calloc(1, sizeof *p);
    p->x = guarded(SAMPLES * s->n, data_bytes(s->format), 0);
    fill_data(p->x, SAMPLES * s->n, s->format, ANY);
    const halp_loss *loss = &halp_find("scalar")->losses[s->loss];
    p->target_count = loss->takes_labels ? 1 : s->outputs;
    for (size_t i = 0; i < SAMPLES * p->target_count; i++)
        p->targets[i] = loss->takes_labels ? (double)random_below(loss->binary ? 2 : s->outputs)
                                           : random_real();
    for (size_t j = 0; j < s->outputs * s->n; j++) p->h[j] = 0.1 * random_real();
    for (size_t t = 0; t < STEPS; t++) p->samples[t] = (int32_t)random_below(SAMPLES);
    return p;
}

/* Results of a run of a pass and a loop. */
typedef struct {
    double reference[SAMPLES * MOST_OUTPUTS], margins[SAMPLES * MOST_OUTPUTS];
    double added[SAMPLES * MOST_OUTPUTS], gradient[MOST_OUTPUTS * MOST_COLUMNS];
    double scale, reach, loss;
    int64_t saturated, taken;
    uint64_t next_draw;
    char z[MOST_OUTPUTS * MOST_COLUMNS * sizeof(double)];
    char origin[MOST_OUTPUTS * MOST_COLUMNS * sizeof(double)];
} outcome;

static halp_pass make_pass(const halp_backend *b, const setting *s, problem *p, outcome *o)
{
    return (halp_pass){.backend = b,
                       .format = s->format,
                       .loss = &b->losses[s->loss],
                       .n = s->n,
                       .outputs = s->outputs,
                       .x = p->x,
                       .ldx = s->n,
                       .scale_x = data_scale(s->format),
                       .w = o->z,
                       .ldw = s->n,
                       .scale_w = 0.01,
                       .targets = p->targets,
                       .target_count = p->target_count,
                       .gradient = o->gradient,
                       .ldg = s->n,
                       .reference = o->reference,
                       .margins = o->margins,
                       .added = o->added,
                       .seed = 7};
}

static halp_loop make_loop(const halp_backend *b, const setting *s, problem *p, outcome *o,
                           halp_rng *rng)
{
    halp_loop loop = {.backend = b,
                      .format = s->format,
                      .loss = &b->losses[s->loss],
                      .n = s->n,
                      .outputs = s->outputs,
                      .x = p->x,
                      .row_bytes = s->n * data_bytes(s->format),
                      .scale_x = data_scale(s->format),
                      .z = o->z,
                      .ldz = s->n,
                      .scale_z = s->grows ? 1e-6 : 0.01,
                      .grows = s->grows,
                      .h = s->plain ? NULL : p->h,
                      .step_size = 0.5 / (double)s->n,
                      .l2 = s->l2 * (double)s->n / s->batch_size,
                      .batch_size = s->batch_size,
                      .samples = STEPS,
                      .rng = rng};
    if (s->plain) {
        loop.targets = p->targets;
        loop.target_count = p->target_count;
    } else {
        loop.reference = o->reference;
    }
    if (s->fixed) {
        memcpy(o->origin, o->z, sizeof o->z);
        loop.origin = o->origin;
        loop.margins = o->margins;
    }
    return loop;
}

/* One pass, one epoch cut into `calls` calls, another pass. */
static outcome *run(const halp_backend *b, const setting *s, problem *p, int calls)
{
    outcome *o = calloc(1, sizeof *o);
    halp_rng rng;
    halp_rng_init(&rng, 5, HALP_STOCHASTIC);
    if (s->fixed)
        for (size_t j = 0; j < s->outputs * s->n * model_bytes(s->format);
             j += model_bytes(s->format))
            o->z[j] = (char)(j % 7);
    halp_pass pass = make_pass(b, s, p, o);
    CHECK(halp_pass_begin(&pass));
    halp_pass_run(&pass, 0, SAMPLES);
    halp_loop loop = make_loop(b, s, p, o, &rng);
    CHECK(halp_loop_begin(&loop));
    const int64_t part = STEPS / calls / s->batch_size * s->batch_size;
    for (int64_t done = 0; done < STEPS;) {
        const int64_t count = done + 2 * part > STEPS || part == 0 ? STEPS - done : part;
        const int64_t taken = halp_loop_run(&loop, p->samples + done, count);
        o->taken += taken;
        done += count;
    }
    halp_loop_inspect(&loop);
    o->scale = loop.scale_z, o->reach = loop.reach, o->saturated = loop.saturated;
    halp_loop_end(&loop);
    pass.moves = !s->fixed;
    pass.scale_w = o->scale;
    pass.seed = 8;
    for (size_t row = 0; row < SAMPLES; row += 32)
        halp_pass_run(&pass, row, row + 32 < SAMPLES ? row + 32 : SAMPLES);
    o->loss = pass.total_loss;
    halp_pass_end(&pass);
    o->next_draw = halp_rng_draw(&rng);
    return o;
}

static void test_setting(const halp_backend *b, const halp_backend *scalar, const setting *s)
{
    describe("%s, loop, format %d, loss %d, n %zu, outputs %zu, batch %d, grows %d, plain %d, "
             "fixed %d, l2 %g",
             b->name, s->format, s->loss, s->n, s->outputs, s->batch_size, s->grows, s->plain,
             s->fixed, s->l2);
    problem *p = make_problem(s);
    outcome *whole = run(scalar, s, p, 1), *parts = run(b, s, p, 7);
    CHECK(whole->taken == STEPS);
    CHECK(memcmp(whole, parts, sizeof *whole) == 0);
    int moved = 0;
    for (size_t j = 0; j < sizeof whole->z; j++) moved |= whole->z[j] != whole->origin[j];
    CHECK(moved || s->n == 1); /* of a single column nothing may be left to learn */
    free(whole), free(parts);
    release(p->x);
    free(p);
}

static void test_diverging_sample(const halp_backend *b)
{
    describe("%s, a step that is not finite", b->name);
    setting s = {HALP_I8, HALP_SQUARED, 70, 2, 4, 0, 1, 0, 0.0};
    problem *p = make_problem(&s);
    outcome *o = calloc(1, sizeof *o);
    halp_rng rng;
    halp_rng_init(&rng, 5, HALP_STOCHASTIC);
    halp_loop loop = make_loop(b, &s, p, o, &rng);
    for (int t = 0; t < 12; t++) p->samples[t] = 0;
    p->samples[6] = 1;
    p->targets[2] = NAN;
    CHECK(halp_loop_begin(&loop));
    CHECK(halp_loop_run(&loop, p->samples, 12) == 4); /* the second batch of four has it */
    halp_loop_end(&loop);
    free(o);
    release(p->x);
    free(p);
}

void test_contexts(const halp_backend *b, const halp_backend *scalar)
{
    static const size_t columns[] = {1, 15, 16, 17, 31, 64, 65, 1030};
    static const size_t block_rows[] = {1, 2, 3, 31, 32};
    for (size_t f = 0; f < COUNT(integer_formats); f++)
        for (size_t i = 0; i < COUNT(columns); i++)
            for (size_t k = 0; k < COUNT(block_rows); k++)
                for (size_t count = 1; count <= 7; count++)
                    test_accumulate(b, scalar, integer_formats[f], block_rows[k], columns[i], count,
                                    count % 2 ? ANY : EXTREME);
    static const int batches[] = {1, 3, 8, 64};
    static const size_t widths[] = {1, 63, 130, 1100};
    for (size_t f = 0; f < COUNT(integer_formats); f++)
        for (size_t i = 0; i < COUNT(batches); i++)
            for (int kind = 0; kind < 6; kind++) {
                const halp_loss_code loss = (halp_loss_code)(random_below(HALP_LOSS_COUNT));
                const setting s = {.format = integer_formats[f],
                                   .loss = loss,
                                   .n = widths[random_below(COUNT(widths))],
                                   .outputs = scalar->losses[loss].binary ? 1
                                              : scalar->losses[loss].takes_labels
                                                  ? 2 + random_below(4)
                                                  : 1 + random_below(5),
                                   .batch_size = batches[i],
                                   .grows = kind == 2 || kind == 3,
                                   .plain = kind == 4,
                                   .fixed = kind == 5,
                                   .l2 = kind % 2 ? 0.1 : 0.0};
                test_setting(b, scalar, &s);
            }
    test_diverging_sample(b);
}
