/* Runs the tests of the kernels: every backend that this CPU can run, against the scalar one.
 * Backends named on the command line have to be there; without names, those that are get tested. */
#include "harness.h"

#include <stdint.h>
#include <string.h>

/* A kernel that is added to the table has to be added to the tests. */
enum { TESTED_OPS = 45, TESTED_FORMATS = 5, TESTED_FAMILY_OPS = 3 };
_Static_assert(sizeof(halp_family) == TESTED_FAMILY_OPS * sizeof(void (*)(void)) &&
                   (int)HALP_FORMAT_COUNT == (int)TESTED_FORMATS,
               "test the new kernel or format, then count it");
_Static_assert(sizeof(halp_backend) == 3 * sizeof(void *) + TESTED_OPS * sizeof(void (*)(void)) +
                                           TESTED_FORMATS * sizeof(halp_family),
               "test the new kernel, then count it");

static void test_table(const halp_backend *b)
{
    void (*ops[TESTED_OPS])(void);
    memcpy(ops, &b->dot_f64, sizeof ops);
    for (int i = 0; i < TESTED_OPS; i++) {
        describe("%s, operation %d", b->name, i);
        CHECK(ops[i] != NULL);
    }
    for (int format = 0; format < TESTED_FORMATS; format++) {
        describe("%s, format %d", b->name, format);
        CHECK(b->family[format].margins != NULL);
        CHECK(b->family[format].update != NULL);
        CHECK((b->family[format].accumulate != NULL) == (format >= HALP_I16));
    }
    describe("%s", b->name);
    CHECK(halp_find(b->name) == b);
}

static void test_choice(void)
{
    const halp_backend *const *b = halp_backends;
    while (b[1]) b++;
    describe("choice of a backend");
    CHECK(strcmp((*b)->name, "scalar") == 0);
    CHECK(halp_usable(*b));
    CHECK(halp_usable(halp_best()));
    CHECK(halp_find("none") == NULL);
    CHECK(halp_find("") == NULL);
    for (b = halp_backends; *b != halp_best(); b++) CHECK(!halp_usable(*b));
}

static void test_backend(const halp_backend *b)
{
    const halp_backend *scalar = halp_find("scalar");
    const long before = checks_run;
    test_table(b);
    test_integers(b, scalar);
    test_floats(b, scalar);
    test_batches(b, scalar);
    test_contexts(b, scalar);
    test_conversions(b, scalar);
    if (b == scalar) test_rounding(scalar); /* the others have its bits */
    printf("%-12s %ld checks\n", b->name, checks_run - before);
    fflush(stdout);
}

static void test_named(const char *name)
{
    const halp_backend *b = halp_find(name);
    if (b && halp_usable(b)) {
        test_backend(b);
    } else {
        printf("%-12s FAIL: %s\n", name, b ? "this CPU does not have it" : "not compiled in");
        checks_failed++;
    }
}

int main(int argc, char **argv)
{
    test_choice();
    test_encodings();
    for (int i = 1; i < argc; i++) test_named(argv[i]);
    for (const halp_backend *const *b = halp_backends; argc == 1 && *b; b++) {
        if (halp_usable(*b))
            test_backend(*b);
        else
            printf("%-12s SKIP: this CPU does not have it\n", (*b)->name);
    }
    if (checks_failed) printf("%ld checks FAILED\n", checks_failed);
    return checks_failed != 0;
}
