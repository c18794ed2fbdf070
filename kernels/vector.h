/* Parts that the vector templates share: names, tails, blocks without an h. Include a vocabulary
 * (simd_<isa>.h) and define HALP_ISA first. */
#ifndef HALP_VECTOR_H
#define HALP_VECTOR_H

#include "kernels.h"
#include "names.h"
#include "scalar.h"

#include <stdbool.h>
#include <string.h>

#define HALP_INLINE static inline __attribute__((always_inline))
#define HALP_COLD static __attribute__((noinline))

enum { V_I8 = VBYTES, V_I16 = VBYTES / 2, V_F32 = VBYTES / 4, V_F64 = VBYTES / 8 };

/* The same value, of which the compiler knows nothing. */
HALP_INLINE vi v_opaque(vi a)
{
    __asm__("" : HALP_REGISTER(a));
    return a;
}

HALP_INLINE vf vf_opaque(vf a)
{
    __asm__("" : HALP_REGISTER(a));
    return a;
}

HALP_INLINE vd vd_opaque(vd a)
{
    __asm__("" : HALP_REGISTER(a));
    return a;
}

/* The last `bytes` < VBYTES of an array, zeros behind them. */
HALP_INLINE vi v_load_tail(const void *p, size_t bytes)
{
    char whole[VBYTES] = {0};
    memcpy(whole, p, bytes);
    return v_load(whole);
}

/* Bytes of which a load behind `VBYTES - n` of them selects the last n of a vector. */
static const uint8_t halp_last_bytes[2 * VBYTES] = {
    [VBYTES... 2 * VBYTES - 1] = 0xff,
};
/* Fetches the lines that go with this byte of some rows, once for each 64 bytes. */
HALP_INLINE void prefetch_rows(const void *const *x, size_t rows, size_t byte)
{
    if (byte % 64 == 0)
        for (size_t b = 0; b < rows; b++) HALP_PREFETCH_L2((const char *)x[b] + byte);
}

HALP_INLINE vi v_last_bytes(size_t n) { return v_load(halp_last_bytes + n); }

/* A block's worth of h for updates that have none. */
static const int16_t halp_no_h[HALP_BLOCK_BYTES / 2];

#endif
