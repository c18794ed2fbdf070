/* HALP in C, without Python: two epochs on a small least-squares problem, on data of int8, with a model of
 * int8 and with one of int16. `epochs [backend]` prints the bits of the solutions. They are those of
 *
 *     problem = halpbench.LeastSquares(x, y, 100.0)
 *     halpbench.solve(problem, "halp", "D8M8", "quantized", mu=2000.0, step_size=2.0**-17,
 *                     epoch_length=64, epochs=2, seed=0, batch_size=2).w
 *
 * and of the same with "D8M16". Compile it with -ffp-contract=off: fused, a multiplication and an addition
 * may differ from those of NumPy in the last bit.
 *
 *     include=$(python -c 'import halpbench; print(halpbench.get_include())')
 *     export PKG_CONFIG_PATH=$include/../lib/pkgconfig
 *     cc -std=c11 -O2 -ffp-contract=off epochs.c $(pkg-config --cflags --libs halp) -o epochs && ./epochs
 */
#include <halp/loop.h>
#include <halp/pass.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 8, COLUMNS = 3, EPOCHS = 2, EPOCH_LENGTH = 64, BATCH = 2, SEED = 0 };

static const double mu = 2000.0, step_size = 0x1p-17, l2 = 100.0;

/* Integers up to 127: one unit of the data is worth 1. */
static const int8_t x[SAMPLES][COLUMNS] = {
    {127, -45, -31}, {11, 56, -83},   {-72, -80, 28}, {-62, 26, -75},
    {-60, 83, 72},   {-61, -83, -81}, {27, 87, -11},  {61, -26, 87},
};
static const double y[SAMPLES] = {274, -176, 101, -210, -229, 38, -164, 207};

/* The samples of each epoch: random = numpy.random.default_rng(SEED), and for each epoch
 * random.integers(SAMPLES, size=EPOCH_LENGTH). */
static const int32_t samples[EPOCHS][EPOCH_LENGTH] = {
    {6, 5, 4, 2, 2, 0, 0, 0, 1, 6, 5, 7, 4, 4, 7, 5, 5, 4, 4, 7, 2, 6,
     5, 0, 3, 6, 4, 0, 6, 5, 6, 1, 0, 6, 0, 4, 0, 2, 3, 3, 3, 0, 0, 0,
     0, 5, 4, 5, 2, 4, 6, 3, 3, 7, 6, 7, 3, 5, 7, 5, 6, 5, 5, 3},
    {7, 1, 4, 5, 6, 4, 3, 2, 3, 3, 5, 7, 0, 7, 4, 2, 5, 4, 2, 2, 5, 4,
     4, 2, 6, 3, 2, 7, 2, 1, 5, 4, 0, 0, 3, 6, 3, 6, 2, 1, 6, 7, 0, 0,
     5, 2, 4, 1, 6, 3, 7, 6, 5, 1, 6, 0, 4, 3, 7, 1, 7, 0, 4, 4},
};

/* The seed of each full gradient: random = numpy.random.default_rng([SEED, 2]), and for each of them
 * random.integers(2**63). */
static const uint64_t seeds[EPOCHS] = {UINT64_C(745470182815633045), UINT64_C(3711833477247231940)};

static void check(int succeeded, const char *what)
{
    if (succeeded) return;
    fprintf(stderr, "%s\n", what);
    exit(EXIT_FAILURE);
}

static double norm(const double *v)
{
    double sum = 0.0;
    for (int j = 0; j < COLUMNS; j++) sum += v[j] * v[j];
    return sqrt(sum);
}

/* The model of an epoch: the distance from w, its centre, in integers. */
typedef union {
    int8_t i8[COLUMNS];
    int16_t i16[COLUMNS];
} model;

static int entry(const halp_loop *loop, const model *z, int j)
{
    return loop->format == HALP_I8 ? z->i8[j] : z->i16[j];
}

/* One epoch: a full gradient at w, then steps on the distance z from there. */
static void epoch(int e, halp_pass *pass, halp_loop *loop, model *z, double *w)
{
    double gradient[COLUMNS], h[COLUMNS];

    pass->seed = seeds[e];
    halp_pass_run(pass, 0, SAMPLES); /* the gradient follows what z has moved */
    for (int j = 0; j < COLUMNS; j++)
        gradient[j] = pass->gradient[j] * (pass->scale_x / SAMPLES) + l2 * w[j];

    /* Bit centering: z reaches as far as the minimizer can be, ||gradient|| / mu. */
    const int largest = loop->format == HALP_I8 ? 127 : 32767;
    loop->scale_z = pass->scale_w = norm(gradient) / (mu * largest);
    for (int j = 0; j < COLUMNS; j++) h[j] = step_size / loop->scale_z * gradient[j];
    loop->h = h;
    memset(z, 0, sizeof *z);

    check(halp_loop_begin(loop), "out of memory");
    check(halp_loop_run(loop, samples[e], EPOCH_LENGTH) == EPOCH_LENGTH, "diverged");
    halp_loop_end(loop);
    for (int j = 0; j < COLUMNS; j++) w[j] += loop->scale_z * entry(loop, z, j);
}

/* The solution from 0 on, into w. */
static void solve(const halp_backend *backend, halp_format format, double *w)
{
    double gradient[COLUMNS] = {0}, margins[SAMPLES] = {0}, added[SAMPLES] = {0};
    model z = {{0}};
    halp_rng rng;
    halp_rng_init(&rng, SEED, HALP_STOCHASTIC);

    halp_pass pass = {
        .backend = backend,
        .format = format,
        .loss = &backend->losses[HALP_SQUARED],
        .n = COLUMNS,
        .outputs = 1,
        .x = x,
        .ldx = COLUMNS,
        .scale_x = 1.0,
        .w = &z,
        .ldw = COLUMNS,
        .scale_w = 1.0,
        .moves = 1, /* margins move by x_i^T z; z is 0 before the first epoch */
        .targets = y,
        .target_count = 1,
        .gradient = gradient,
        .ldg = COLUMNS,
        .margins = margins,
        .added = added,
    };
    halp_loop loop = {
        .backend = backend,
        .format = format,
        .loss = pass.loss,
        .n = COLUMNS,
        .outputs = 1,
        .x = x,
        .row_bytes = sizeof x[0],
        .scale_x = 1.0,
        .z = &z,
        .ldz = COLUMNS,
        .step_size = step_size,
        .l2 = l2,
        .batch_size = BATCH,
        .samples = EPOCH_LENGTH,
        .rng = &rng,
    };
    check(halp_pass_begin(&pass), "out of memory");
    for (int e = 0; e < EPOCHS; e++) epoch(e, &pass, &loop, &z, w);
    halp_pass_end(&pass);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        halp_format format;
    } formats[] = {{"D8M8", HALP_I8}, {"D8M16", HALP_I8I16}};
    const halp_backend *backend = count > 1 ? halp_find(arguments[1]) : halp_best();
    check(backend && halp_usable(backend), "no such backend here");

    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        double w[COLUMNS] = {0};
        solve(backend, formats[f].format, w);
        printf("%-5s", formats[f].name);
        for (int j = 0; j < COLUMNS; j++) printf(" %a", w[j]);
        printf("\n");
    }
    return 0;
}
