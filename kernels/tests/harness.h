/* Checks, random data and guarded arrays: what the tests of the kernels share. */
#ifndef HALP_TESTS_HARNESS_H
#define HALP_TESTS_HARNESS_H

#include "kernels.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

extern long checks_run, checks_failed;

/* Subject of the test, for the message of a check that fails. */
__attribute__((format(printf, 1, 2))) void describe(const char *format, ...);
void check_failed(const char *file, int line, const char *condition);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        checks_run++;                                                                              \
        if (!(condition)) check_failed(__FILE__, __LINE__, #condition);                            \
    } while (0)

/* The name that a macro stands for, in quotes. */
#define TEXT(name) QUOTED(name)
#define QUOTED(name) #name

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* `count` elements that start `offset` elements behind a 64-byte boundary. Writing past either end
 * is found by release(), reading past the end by the address sanitizer. */
void *guarded(size_t count, size_t size, size_t offset);
void *guarded_copy(const void *from, size_t count, size_t size, size_t offset);
void release(void *array);

uint64_t random_bits(void);
size_t random_below(size_t n);
double random_real(void); /* uniform in [-1, 1) */

/* Integers in the symmetric range: of any size, or of the largest size only. */
typedef enum { ANY, EXTREME, HIGHEST, ALTERNATING, PATTERNS } pattern;
void fill_i8(int8_t *x, size_t n, pattern pattern);
void fill_i16(int16_t *x, size_t n, pattern pattern);

/* Every length up to three of the widest registers, and those around blocks and chunks. */
extern const size_t lengths[];
extern const size_t lengths_count;

/* One set of tests each: `b` against `scalar`. */
void test_integers(const halp_backend *b, const halp_backend *scalar);
void test_floats(const halp_backend *b, const halp_backend *scalar);
void test_batches(const halp_backend *b, const halp_backend *scalar);
void test_contexts(const halp_backend *b, const halp_backend *scalar);
void test_conversions(const halp_backend *b, const halp_backend *scalar);
void test_rounding(const halp_backend *scalar);
void test_encodings(void);

#endif
