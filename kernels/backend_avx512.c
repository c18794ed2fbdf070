/* The AVX-512 (F, BW) backend: the vector templates over its vocabulary. */
#define HALP_ISA avx512
#include "simd_avx512_madd.h"

#include "axpy.h"
#include "dot.h"
#include "ger.h"
#include "gradient.h"
#include "losses_table.h"
#include "margins.h"
#include "peak.h"
#include "quantize.h"
#include "update.h"

#define HALP_REQUIRED HALP_CPU_AVX512
#include "backend_table.h"
