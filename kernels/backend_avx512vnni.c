/* The AVX-512 VNNI backend: the vector templates over its vocabulary. */
#define HALP_ISA avx512vnni
#include "simd_avx512_vnni.h"

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

HALP_DEFINE_GER(avx512vnni)
HALP_BACKEND_TABLE(avx512vnni, HALP_CPU_AVX512VNNI);
