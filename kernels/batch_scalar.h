/* The kernels of batches as their definition in family.h reads: part of the scalar backend. */
#include "coefficients.h"

#define REAL double
#define NAME(op) op##_f64_scalar
#include "batch_scalar_float.h"

#define REAL float
#define NAME(op) op##_f32_scalar
#include "batch_scalar_float.h"

static int64_t fixed_h_i16(const halp_update *u, size_t r, size_t j)
{
    const int32_t *h = u->h.values;
    return h ? h[r * u->h.ld + halp_lane_i16(j)] : 0;
}

#define DATA int16_t
#define MODEL int16_t
#define LANE_TYPE uint32_t
#define LANE(j) halp_lane_i16(j)
#define FORMAT(op) op##_i16
#include "batch_scalar_int.h"

static int64_t fixed_h_i8i16(const halp_update *u, size_t r, size_t j)
{
    const int16_t *h = u->h.values;
    return h ? h[r * u->h.ld + j] * (1 << u->h.exponent) : 0;
}

#define DATA int8_t
#define MODEL int16_t
#define LANE_TYPE uint32_t
#define LANE(j) halp_lane_i16(j)
#define FORMAT(op) op##_i8i16
#include "batch_scalar_int.h"

static int64_t fixed_h_i8(const halp_update *u, size_t r, size_t j)
{
    const int16_t *h = u->h.values;
    return h ? h[r * u->h.ld + halp_lane_batch_i8(j)] : 0;
}

#define DATA int8_t
#define MODEL int8_t
#define LANE_TYPE uint16_t
#define LANE(j) halp_lane_batch_i8(j)
#define FORMAT(op) op##_i8
#include "batch_scalar_int.h"

#define DATA int8_t
#define NAME halp_changes_i8_scalar
#include "changes_scalar.h"

#define DATA int16_t
#define NAME halp_changes_i16_scalar
#include "changes_scalar.h"
