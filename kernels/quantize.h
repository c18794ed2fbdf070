/* Template: quantize, dequantize, lowest, read. Element by element in plain C, which the compiler
 * vectorizes for each instruction set without changing a bit. */
#include "vector.h"

#include <math.h>

#define REAL double
#define STORED int16_t
#define LIMIT 32767.0
#define FROM_TO(op) op##_f64_i16
#define TO_FROM(op) op##_i16_f64
#include "quantize_format.h"

#define REAL double
#define STORED int8_t
#define LIMIT 127.0
#define FROM_TO(op) op##_f64_i8
#define TO_FROM(op) op##_i8_f64
#include "quantize_format.h"

#define REAL float
#define STORED int16_t
#define LIMIT 32767.0
#define FROM_TO(op) op##_f32_i16
#define TO_FROM(op) op##_i16_f32
#include "quantize_format.h"

#define REAL float
#define STORED int8_t
#define LIMIT 127.0
#define FROM_TO(op) op##_f32_i8
#define TO_FROM(op) op##_i8_f32
#include "quantize_format.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#include "lowest.h"

#define FORMAT(op) op##_i8
#define DATA int8_t
#include "lowest.h"

static uint64_t HALP_NAME(halp_read)(size_t n, const void *bytes)
{
    const char *p = bytes;
    vi all[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    /* Two loads for an update of a sum: AVX-512 has as few ports for the one as for the other. */
    for (; n >= 8 * VBYTES; n -= 8 * VBYTES, p += 8 * VBYTES)
        for (int k = 0; k < 4; k++) {
            const vi pair = v_xor(v_load(p + 2 * k * VBYTES), v_load(p + (2 * k + 1) * VBYTES));
            all[k] = v_xor(all[k], pair);
        }
    uint64_t words[VBYTES / 8], result = 0, word;
    v_store(words, v_xor(v_xor(all[0], all[1]), v_xor(all[2], all[3])));
    for (int k = 0; k < VBYTES / 8; k++) result ^= words[k];
    for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        result ^= word;
    }
    return result;
}
