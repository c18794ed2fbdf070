/* The SSE4.1 backend: the vector templates over its vocabulary. */
#define HALP_ISA sse41
#include "simd_sse41.h"

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

HALP_DEFINE_GER(sse41)
HALP_BACKEND_TABLE(sse41, HALP_CPU_SSE41);
