/* Parts of the scalar backend that the vector backends use for rare cases. */
#ifndef HALP_SCALAR_H
#define HALP_SCALAR_H

#include "kernels.h"

/* margins of rows that are shorter than a vector. */
#define HALP_MARGINS_SCALAR(name, code, data, model)                                               \
    void halp_margins_##name##_scalar(const halp_margins *m);
HALP_FORMATS(HALP_MARGINS_SCALAR)
#undef HALP_MARGINS_SCALAR

int64_t halp_dot_i8_any_scalar(size_t n, const int8_t *x, const int8_t *y);

/* One block (at most 1 KiB of lanes) of an update whose lanes and step size are given. `h` is the
 * block's own part, or NULL. */
void halp_block_i8_scalar(size_t n, int8_t *w, const int8_t *x, halp_step_i8 c, const int16_t *h,
                          int exponent, const uint16_t *lanes);
void halp_block_i16_scalar(size_t n, int16_t *w, const int16_t *x, int32_t c, const int16_t *h,
                           int exponent, const uint32_t *lanes);
void halp_block_i8i16_scalar(size_t n, int16_t *w, const int8_t *x, int32_t c, const int16_t *h,
                             int exponent, const uint32_t *lanes);

#endif
