/* Found instead of the compiler's <immintrin.h>: SIMDe, which gives every intrinsic a definition
 * that any CPU can run. What its version 0.7.4 lacks follows. */
#ifndef HALP_TESTS_SIMDE_H
#define HALP_TESTS_SIMDE_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

#include <stdint.h>
#include <string.h>

#define __mmask64 simde__mmask64

#undef _mm512_madd_epi16 /* a macro of four arguments, for two */
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

static inline __m512i _mm512_cvtepi8_epi32(__m128i a)
{
    int8_t from[16];
    int32_t to[16];
    memcpy(from, &a, sizeof a);
    for (int l = 0; l < 16; l++) to[l] = from[l];
    return _mm512_loadu_si512(to);
}

static inline __m512i _mm512_cvtepi16_epi32(__m256i a)
{
    int16_t from[16];
    int32_t to[16];
    memcpy(from, &a, sizeof a);
    for (int l = 0; l < 16; l++) to[l] = from[l];
    return _mm512_loadu_si512(to);
}

static inline __m512 _mm512_cvtepi32_ps(__m512i a)
{
    int32_t from[16];
    float to[16];
    memcpy(from, &a, sizeof a);
    for (int l = 0; l < 16; l++) to[l] = (float)from[l];
    return _mm512_loadu_ps(to);
}

static inline int32_t _mm512_reduce_add_epi32(__m512i a)
{
    int32_t lanes[16], sum = 0;
    memcpy(lanes, &a, sizeof a);
    for (int l = 0; l < 16; l++) sum += lanes[l];
    return sum;
}

static inline __m512i _mm512_sra_epi32(__m512i a, __m128i n)
{
    int32_t lanes[16];
    memcpy(lanes, &a, sizeof a);
    for (int l = 0; l < 16; l++) lanes[l] >>= _mm_cvtsi128_si32(n);
    memcpy(&a, lanes, sizeof a);
    return a;
}

/* Emulated vectors are no registers: nothing for the empty statements that hide a value from the
 * optimizer to hold on to. */
#define __asm__(operands)

#else
#include_next <immintrin.h> /* what SIMDe itself asks for */
#endif
