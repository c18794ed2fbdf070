/* The AVX-512 (F, BW) backend: the vector templates over its vocabulary. */
#define HALP_ISA avx512
#include "simd_avx512_madd.h"

#include "axpy.h"
#include "backend_table.h"
#include "dot.h"
#include "ger.h"
#include "gradient.h"
#include "losses_table.h"
#include "margins.h"
#include "peak.h"
#include "quantize.h"
#include "update.h"

HALP_DEFINE_GER(avx512)
HALP_BACKEND_TABLE(avx512, HALP_CPU_AVX512);
