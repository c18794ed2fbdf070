/* The NEON backend: the vector templates over its vocabulary. */
#define HALP_ISA neon
#include "simd_neon.h"

#include "axpy.h"
#include "dot.h"
#include "ger.h"
#include "gradient.h"
#include "losses_table.h"
#include "margins.h"
#include "peak.h"
#include "quantize.h"
#include "update.h"

#define HALP_REQUIRED HALP_CPU_NEON
#include "backend_table.h"
