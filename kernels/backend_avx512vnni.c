/* The AVX-512 VNNI backend: the vector templates over its vocabulary. */
#define HALP_ISA avx512vnni
#include "simd_avx512_vnni.h"

#include "axpy.h"
#include "dot.h"
#include "ger.h"
#include "gradient.h"
#include "losses_table.h"
#include "margins.h"
#include "peak.h"
#include "quantize.h"
#include "update.h"

#define HALP_REQUIRED HALP_CPU_AVX512VNNI
#include "backend_table.h"
