/* The AVX2 backend: the vector templates over its vocabulary. */
#define HALP_ISA avx2
#include "simd_avx2.h"

#include "axpy.h"
#include "dot.h"
#include "ger.h"
#include "gradient.h"
#include "losses_table.h"
#include "margins.h"
#include "peak.h"
#include "quantize.h"
#include "update.h"

#define HALP_REQUIRED HALP_CPU_AVX2
#include "backend_table.h"
