/* The table of one backend, filled with the functions whose names end in its own. */
#ifndef HALP_BACKEND_TABLE_H
#define HALP_BACKEND_TABLE_H

#define HALP_BACKEND_TABLE(isa, cpu_bits)                                                          \
    const halp_backend halp_backend_##isa = {                                                      \
        .name = #isa,                                                                              \
        .required = (cpu_bits),                                                                    \
        .dot_f64 = halp_dot_f64_##isa,                                                             \
        .dot_f32 = halp_dot_f32_##isa,                                                             \
        .dot_i16 = halp_dot_i16_##isa,                                                             \
        .dot_i8i16 = halp_dot_i8i16_##isa,                                                         \
        .dot_i8 = halp_dot_i8_##isa,                                                               \
        .dot_i8_any = halp_dot_i8_any_##isa,                                                       \
        .gemv_f64 = halp_gemv_f64_##isa,                                                           \
        .gemv_f32 = halp_gemv_f32_##isa,                                                           \
        .gemv_i16 = halp_gemv_i16_##isa,                                                           \
        .gemv_i8i16 = halp_gemv_i8i16_##isa,                                                       \
        .gemv_i8 = halp_gemv_i8_##isa,                                                             \
        .gemv_f64_repro = halp_gemv_f64_repro_##isa,                                               \
        .gemv_f32_repro = halp_gemv_f32_repro_##isa,                                               \
        .axpy_f64 = halp_axpy_f64_##isa,                                                           \
        .axpy_f32 = halp_axpy_f32_##isa,                                                           \
        .axpy_i16 = halp_axpy_i16_##isa,                                                           \
        .axpy_i8i16 = halp_axpy_i8i16_##isa,                                                       \
        .axpy_i8 = halp_axpy_i8_##isa,                                                             \
        .ger_f64 = halp_ger_f64_##isa,                                                             \
        .ger_f32 = halp_ger_f32_##isa,                                                             \
        .ger_i16 = halp_ger_i16_##isa,                                                             \
        .ger_i8i16 = halp_ger_i8i16_##isa,                                                         \
        .ger_i8 = halp_ger_i8_##isa,                                                               \
        .accumulate_f64 = halp_accumulate_f64_##isa,                                               \
        .accumulate_f32 = halp_accumulate_f32_##isa,                                               \
        .accumulate_f64_repro = halp_accumulate_f64_repro_##isa,                                   \
        .accumulate_f32_repro = halp_accumulate_f32_repro_##isa,                                   \
        .accumulate_i16 = halp_accumulate_i16_##isa,                                               \
        .accumulate_i8 = halp_accumulate_i8_##isa,                                                 \
        .quantize_f64_i16 = halp_quantize_f64_i16_##isa,                                           \
        .quantize_f64_i8 = halp_quantize_f64_i8_##isa,                                             \
        .quantize_f32_i16 = halp_quantize_f32_i16_##isa,                                           \
        .quantize_f32_i8 = halp_quantize_f32_i8_##isa,                                             \
        .dequantize_i16_f64 = halp_dequantize_i16_f64_##isa,                                       \
        .dequantize_i8_f64 = halp_dequantize_i8_f64_##isa,                                         \
        .dequantize_i16_f32 = halp_dequantize_i16_f32_##isa,                                       \
        .dequantize_i8_f32 = halp_dequantize_i8_f32_##isa,                                         \
        .lowest_i16 = halp_lowest_i16_##isa,                                                       \
        .lowest_i8 = halp_lowest_i8_##isa,                                                         \
        .read = halp_read_##isa,                                                                   \
        .peak_f64 = halp_peak_f64_##isa,                                                           \
        .peak_f32 = halp_peak_f32_##isa,                                                           \
        .peak_i16 = halp_peak_i16_##isa,                                                           \
        .peak_i8i16 = halp_peak_i8i16_##isa,                                                       \
        .peak_i8 = halp_peak_i8_##isa,                                                             \
        .family =                                                                                  \
            {                                                                                      \
                [HALP_F64] = {halp_margins_f64_##isa, halp_update_f64_##isa, NULL},                \
                [HALP_F32] = {halp_margins_f32_##isa, halp_update_f32_##isa, NULL},                \
                [HALP_I16] = {halp_margins_i16_##isa, halp_update_i16_##isa,                       \
                              halp_changes_i16_##isa},                                             \
                [HALP_I8I16] = {halp_margins_i8i16_##isa, halp_update_i8i16_##isa,                 \
                                halp_changes_i8_##isa},                                            \
                [HALP_I8] = {halp_margins_i8_##isa, halp_update_i8_##isa, halp_changes_i8_##isa},  \
            },                                                                                     \
        .losses = halp_losses_##isa,                                                               \
    }

#endif
