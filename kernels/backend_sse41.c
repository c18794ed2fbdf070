/* The SSE4.1 backend: the vector templates over its vocabulary. */
#define HALP_ISA sse41
#include "simd_sse41.h"

#include "axpy.h"
#include "dot.h"
#include "ger.h"
#include "gradient.h"
#include "losses_table.h"
#include "margins.h"
#include "peak.h"
#include "quantize.h"
#include "update.h"

#define HALP_REQUIRED HALP_CPU_SSE41
#include "backend_table.h"
