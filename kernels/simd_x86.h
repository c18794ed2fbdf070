/* Shared by the x86 vocabularies. */
#ifndef HALP_SIMD_X86_H
#define HALP_SIMD_X86_H

#include <immintrin.h>
#include <stdint.h>

#define HALP_PREFETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
#define HALP_PREFETCH_L2(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)

#endif
