/* The number formats: of the data, and of the model. */
#ifndef HALP_FORMATS_H
#define HALP_FORMATS_H

typedef enum {
    HALP_F64,
    HALP_F32,
    HALP_I16,   /* int16 data, int16 model */
    HALP_I8I16, /* int8 data, int16 model */
    HALP_I8,    /* int8 data, int8 model */
    HALP_FORMAT_COUNT
} halp_format;

#endif
