/* The number formats: what a row of data and a row of the model are made of. */
#ifndef HALP_FORMATS_H
#define HALP_FORMATS_H

#include <stdint.h>

/* name in functions, name in the enumeration, type of the data, type of the model */
#define HALP_FORMATS(FORMAT)                                                                       \
    FORMAT(f64, F64, double, double)                                                               \
    FORMAT(f32, F32, float, float)                                                                 \
    FORMAT(i16, I16, int16_t, int16_t)                                                             \
    FORMAT(i8i16, I8I16, int8_t, int16_t)                                                          \
    FORMAT(i8, I8, int8_t, int8_t)

#define HALP_FORMAT_CODE(name, code, data, model) HALP_##code,
typedef enum { HALP_FORMATS(HALP_FORMAT_CODE) HALP_FORMAT_COUNT } halp_format;
#undef HALP_FORMAT_CODE

/* Their names in functions, by code. */
extern const char *const halp_format_names[HALP_FORMAT_COUNT];

#endif
