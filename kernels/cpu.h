/* Instruction sets that this CPU and its operating system offer. */
#ifndef HALP_CPU_H
#define HALP_CPU_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HALP_CPU_SSE41 = 1u << 0,  /* with SSSE3 */
    HALP_CPU_AVX2 = 1u << 1,   /* with FMA */
    HALP_CPU_AVX512 = 1u << 2, /* F, BW, DQ and VL */
    HALP_CPU_AVX512VNNI = 1u << 3,
    HALP_CPU_NEON = 1u << 4,
};

/* HALP_CPU_* bits, read from CPUID and XGETBV (x86) or given by the architecture (AArch64). */
uint32_t halp_cpu_features(void);

#ifdef __cplusplus
}
#endif

#endif
