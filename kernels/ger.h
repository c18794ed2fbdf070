/* Template: ger, the axpy of every row of w that shares x; follows the axpy of its backend. The same in
 * every backend, so that the random stream is drawn in the same order; the first row's pass prefetches the
 * next row of data. */
#define FORMAT(op) op##_f64
#define REAL double
#include "ger_float.h"

#define FORMAT(op) op##_f32
#define REAL float
#include "ger_float.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#include "ger_int.h"

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define MODEL int16_t
#include "ger_int.h"

#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#include "ger_int.h"
