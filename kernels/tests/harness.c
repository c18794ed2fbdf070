/* The tests' checks, random data and guarded arrays. */
#define _POSIX_C_SOURCE 200112L /* posix_memalign */
#include "harness.h"

#include <stdarg.h>
#include <string.h>

long checks_run, checks_failed;

static char description[256];

void describe(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(description, sizeof description, format, args);
    va_end(args);
}

void check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: %s: not %s\n", file, line, description, condition);
    if (++checks_failed == 20) {
        fprintf(stderr, "giving up\n");
        exit(1);
    }
}

/* ---- Guarded arrays --------------------------------------------------------------------------*/

#if defined(__SANITIZE_ADDRESS__)
enum { GUARD_BEHIND = 0 }; /* the sanitizer sees reads, too */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { GUARD_BEHIND = 0 };
#else
enum { GUARD_BEHIND = 64 };
#endif
#else
enum { GUARD_BEHIND = 64 };
#endif

enum { GUARD_BEFORE = 64, GUARD_BYTE = 0xa5 };

typedef struct {
    unsigned char *block;
    size_t bytes;
} guarded_header; /* stands before the guard, at whatever alignment */

void *guarded(size_t count, size_t size, size_t offset)
{
    const size_t front = 128 + offset * size;
    guarded_header header = {NULL, count * size};
    void *block;
    if (posix_memalign(&block, 64, front + header.bytes + GUARD_BEHIND) != 0) abort();
    header.block = block;
    memset(header.block, GUARD_BYTE, front + header.bytes + GUARD_BEHIND);
    memcpy(header.block + front - GUARD_BEFORE - sizeof header, &header, sizeof header);
    return header.block + front;
}

void *guarded_copy(const void *from, size_t count, size_t size, size_t offset)
{
    void *copy = guarded(count, size, offset);
    memcpy(copy, from, count * size);
    return copy;
}

static bool untouched(const unsigned char *guard, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (guard[i] != GUARD_BYTE) return false;
    return true;
}

void release(void *array)
{
    unsigned char *data = array;
    guarded_header header;
    memcpy(&header, data - GUARD_BEFORE - sizeof header, sizeof header);
    CHECK(untouched(data - GUARD_BEFORE, GUARD_BEFORE));
    CHECK(untouched(data + header.bytes, GUARD_BEHIND));
    free(header.block);
}

/* ---- Data ------------------------------------------------------------------------------------*/

uint64_t random_bits(void)
{
    static uint64_t counter;
    counter += 0x9e3779b97f4a7c15u;
    return halp_splitmix64(counter);
}

size_t random_below(size_t n) { return (size_t)(random_bits() % n); }

double random_real(void) { return (double)(random_bits() >> 11) * 0x1p-52 - 1.0; }

static int integer(size_t j, pattern pattern, int limit)
{
    switch (pattern) {
    case EXTREME:
        return random_bits() & 1 ? limit : -limit;
    case HIGHEST:
        return limit;
    case ALTERNATING:
        return j & 1 ? -limit : limit;
    default:
        return (int)random_below(2 * (size_t)limit + 1) - limit;
    }
}

void fill_i8(int8_t *x, size_t n, pattern pattern)
{
    for (size_t j = 0; j < n; j++) x[j] = (int8_t)integer(j, pattern, 127);
}

void fill_i16(int16_t *x, size_t n, pattern pattern)
{
    for (size_t j = 0; j < n; j++) x[j] = (int16_t)integer(j, pattern, 32767);
}

#define TEN(n) n, (n) + 1, (n) + 2, (n) + 3, (n) + 4, (n) + 5, (n) + 6, (n) + 7, (n) + 8, (n) + 9
#define AROUND(n) (n) - 1, n, (n) + 1, (n) + 17

const size_t lengths[] = {TEN(0),        TEN(10),       TEN(20),      TEN(30),      TEN(40),
                          TEN(50),       TEN(60),       TEN(70),      TEN(80),      TEN(90),
                          TEN(100),      TEN(110),      TEN(120),     TEN(130),     TEN(140),
                          TEN(150),      TEN(160),      TEN(170),     TEN(180),     TEN(190),
                          AROUND(256),   AROUND(512),   AROUND(1024), AROUND(2048), AROUND(4096),
                          AROUND(65536), AROUND(131072)};
const size_t lengths_count = COUNT(lengths);
