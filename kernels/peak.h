/* Template: peak, the multiply-adds of dot on registers alone. Follows dot.h, whose steps it takes. */
#include "vector.h"

/* The accumulators, WAYS of them, are enough to hide the latency of a step on current CPUs, and few enough
 * for the registers, of which 64-byte vectors have 32, and others may have 16. */
#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#define X x_i8
#define SET1(y) v_set1_i8(y)
#define LANES V_I8
#define WAYS (VBYTES == 64 ? 8 : 6)
#include "peak_int.h"

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define MODEL int16_t
#define X vi
#define SET1(y) v_set1_i16(y)
#define LANES V_I16
#define WAYS (VBYTES == 64 ? 12 : 6)
#include "peak_int.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#define X vi
#define SET1(y) v_set1_i16(y)
#define LANES V_I16
#define WAYS 4
#include "peak_int.h"

#define FORMAT(op) op##_f32
#define REAL float
#define LANES V_F32
#define VEC vf
#define V(op) vf_##op
#include "peak_float.h"

#define FORMAT(op) op##_f64
#define REAL double
#define LANES V_F64
#define VEC vd
#define V(op) vd_##op
#include "peak_float.h"
