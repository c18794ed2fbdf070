/* CPU detection by CPUID and XGETBV alone: no instruction is tried out. */
#include "cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>

static uint64_t enabled_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

uint32_t halp_cpu_features(void)
{
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    uint32_t found = (ecx & bit_SSSE3) && (ecx & bit_SSE4_1) ? HALP_CPU_SSE41 : 0;
    const int has_fma = (ecx & bit_FMA) != 0;
    if (!(ecx & bit_OSXSAVE) || !(ecx & bit_AVX)) return found;

    const uint64_t state = enabled_state();
    const uint64_t ymm = 0x06, zmm = 0xe6; /* SSE and AVX; also opmask and both halves of zmm */
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return found;
    if ((state & ymm) == ymm && has_fma && (ebx & bit_AVX2)) found |= HALP_CPU_AVX2;

    const uint32_t avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((state & zmm) == zmm && (found & HALP_CPU_AVX2) && (ebx & avx512) == avx512) {
        found |= HALP_CPU_AVX512;
        if (ecx & bit_AVX512VNNI) found |= HALP_CPU_AVX512VNNI;
    }
    return found;
}

#elif defined(__aarch64__)

uint32_t halp_cpu_features(void)
{
    return HALP_CPU_NEON; /* part of every AArch64 application profile */
}

#else

uint32_t halp_cpu_features(void) { return 0; }

#endif
