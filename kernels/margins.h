/* Template: margins, tile by tile of samples x outputs whose sums stay in registers, so that a vector of
 * data or of the model is loaded once for several products. Follows dot.h, whose steps it takes. */
#include "vector.h"

enum {
    GROUP_ROWS = 8, /* rows of data that share a pass over a chunk of the model */
    TILE_OUTPUTS = HALP_REGISTERS / 8,
};

/* A chunk of the columns. The last few of them, less than a vector, are taken with those before them,
 * which a mask removes; `last_x` and `last_w` are where these vectors start. */
typedef struct {
    const void *x[GROUP_ROWS], *next[GROUP_ROWS];
    size_t next_rows;
    const void *w;
    size_t ldw, whole, rest;
    ptrdiff_t last_x, last_w;
    double *sums;
    size_t count;
} margins_chunk;

/* int8: a chunk's sums are below 2^11 2^14, or 2^11 2^15 with the excess that VNNI has. */
#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#define LANES ((size_t)V_I8)
#define CHUNK 2048
#define TILE_ROWS 4
#define ACC vi
#define X x_i8
#define LOAD(p) v_load(p)
#define AS_X(bits) v_prepare_i8(bits)
#define AS_W(bits) (bits)
#define STEP(acc, x, w) v_part_i8(acc, x, w)
#define EXCESS HALP_ANY_I8
#define TOTAL(acc, excess) (v_hsum_i32(acc) - (HALP_ANY_I8 ? v_hsum_i32(excess) : 0))
#define SCALAR halp_margins_i8_scalar
#include "margins_format.h"

/* int8 x int16: a lane takes at most 1024 / 4 products of 2^22 less 2^7, which 32 bits just hold. With
 * three outputs or more it pays to widen the data first. */
#define FORMAT(op) op##_i8i16_narrow
#define DATA int8_t
#define MODEL int16_t
#define LANES ((size_t)V_I16)
#define CHUNK 1024
#define TILE_ROWS 4
#define ACC vi
#define X vi
#define LOAD(p) v_load_widen_i8(p)
#define AS_X(bits) (bits)
#define AS_W(bits) (bits)
#define STEP(acc, x, w) v_dot_i16(acc, x, w)
#define EXCESS 0
#define TOTAL(acc, excess) v_sum_i32(acc)
#define SCALAR halp_margins_i8i16_scalar
#include "margins_format.h"

#define FORMAT(op) op##_i8i16_wide
#define DATA int8_t
#define MODEL int16_t
#define WIDE int16_t
#define LANES ((size_t)V_I16)
#define CHUNK 1024
#define TILE_ROWS 4
#define ACC vi
#define X vi
#define LOAD(p) v_load(p)
#define AS_X(bits) (bits)
#define AS_W(bits) (bits)
#define STEP(acc, x, w) v_dot_i16(acc, x, w)
#define EXCESS 0
#define TOTAL(acc, excess) v_sum_i32(acc)
#define SCALAR halp_margins_i8i16_scalar
#include "margins_format.h"

static void HALP_NAME(halp_margins_i8i16)(const halp_margins *m)
{
    if (m->count > 2)
        HALP_NAME(halp_margins_i8i16_wide)(m);
    else
        HALP_NAME(halp_margins_i8i16_narrow)(m);
}

/* int16: each sum has two accumulators, see total_i16. */
#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#define LANES ((size_t)V_I16)
#define CHUNK 1024
#define TILE_ROWS (HALP_REGISTERS / 8)
#define ACC acc_i16
#define X vi
#define LOAD(p) v_load(p)
#define AS_X(bits) (bits)
#define AS_W(bits) (bits)
#define STEP(acc, x, w) step_i16(acc, x, w)
#define EXCESS 0
#define TOTAL(acc, excess) total_i16(&(acc), 1)
#define SCALAR halp_margins_i16_scalar
#include "margins_format.h"

#define FORMAT(op) op##_f32
#define DATA float
#define MODEL float
#define LANES ((size_t)V_F32)
#define CHUNK HALP_CHUNK
#define TILE_ROWS 4
#define ACC vf
#define X vf
#define LOAD(p) v_load(p)
#define AS_X(bits) vf_bits(bits)
#define AS_W(bits) vf_bits(bits)
#define STEP(acc, x, w) vf_fma(x, w, acc)
#define EXCESS 0
#define TOTAL(acc, excess) vf_sum(acc)
#define SCALAR halp_margins_f32_scalar
#include "margins_format.h"

#define FORMAT(op) op##_f64
#define DATA double
#define MODEL double
#define LANES ((size_t)V_F64)
#define CHUNK HALP_CHUNK
#define TILE_ROWS 4
#define ACC vd
#define X vd
#define LOAD(p) v_load(p)
#define AS_X(bits) vd_bits(bits)
#define AS_W(bits) vd_bits(bits)
#define STEP(acc, x, w) vd_fma(x, w, acc)
#define EXCESS 0
#define TOTAL(acc, excess) vd_sum(acc)
#define SCALAR halp_margins_f64_scalar
#include "margins_format.h"
