"""The C contract (kernels/kernels.h) as Cython sees it, and the backend in use."""

from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint32_t, uint64_t

cdef extern from "halp/kernels.h" nogil:
    enum:
        HALP_VERSION

    ctypedef enum halp_rounding:
        HALP_STOCHASTIC
        HALP_NEAREST

    ctypedef struct halp_rng:
        int blocks_left
        int lane_bits
        int lane_fraction
        halp_rounding rounding

    ctypedef struct halp_h:
        const int16_t *values
        int exponent
        int wide

    enum:
        HALP_BLOCKS_PER_POOL
        HALP_MOST_ROWS
        HALP_FRACTION_I16
        HALP_FRACTION_I8I16

    size_t HALP_PADDED(size_t n)
    void halp_rng_init(halp_rng *rng, uint64_t seed, halp_rounding rounding)
    void halp_rng_recut(halp_rng *rng, int lane_bits, int fraction)
    halp_h halp_encode_h_i8(size_t n, size_t count, const double *h, double factor, halp_rng *rng,
                            int16_t *out)
    halp_h halp_encode_h_i16(size_t n, size_t count, const double *h, double factor,
                             int fraction_bits, halp_rng *rng, int16_t *out)

    enum:
        HALP_MOST_BATCH

    ctypedef enum halp_format:
        HALP_F64
        HALP_F32
        HALP_I16
        HALP_I8I16
        HALP_I8
        HALP_FORMAT_COUNT

    const char *const halp_format_names[]

    ctypedef struct halp_batch_h:
        const void *values
        size_t ld
        int exponent
        double factor

    ctypedef struct halp_margins:
        size_t n, rows, count
        const void *const *x
        const void *w
        size_t ldw
        double *sums
        const void *const *next
        size_t next_rows

    ctypedef struct halp_update:
        size_t n, rows, count
        const void *const *x
        void *w
        size_t ldw
        const double *c
        halp_batch_h h
        halp_rng *rng
        const void *const *next
        size_t next_rows

    halp_batch_h halp_encode_batch_h(halp_format format, size_t n, size_t count, const double *h,
                                     double factor, halp_rng *rng, void *out)

    ctypedef struct halp_family:
        void (*margins)(const halp_margins *) noexcept nogil
        void (*update)(const halp_update *) noexcept nogil

    ctypedef struct halp_loss:
        const char *name
        int needs_reference
        int takes_labels
        int binary

    ctypedef struct halp_backend:
        const char *name
        uint32_t required

        double (*dot_f64)(size_t, const double *, const double *) noexcept nogil
        float (*dot_f32)(size_t, const float *, const float *) noexcept nogil
        int64_t (*dot_i16)(size_t, const int16_t *, const int16_t *) noexcept nogil
        int64_t (*dot_i8i16)(size_t, const int8_t *, const int16_t *) noexcept nogil
        int64_t (*dot_i8)(size_t, const int8_t *, const int8_t *) noexcept nogil
        int64_t (*dot_i8_any)(size_t, const int8_t *, const int8_t *) noexcept nogil

        void (*gemv_f64)(size_t, const double *, const double *, size_t, size_t,
                         double *) noexcept nogil
        void (*gemv_f32)(size_t, const float *, const float *, size_t, size_t,
                         float *) noexcept nogil
        void (*gemv_i16)(size_t, const int16_t *, const int16_t *, size_t, size_t,
                         int64_t *) noexcept nogil
        void (*gemv_i8i16)(size_t, const int8_t *, const int16_t *, size_t, size_t,
                           int64_t *) noexcept nogil
        void (*gemv_i8)(size_t, const int8_t *, const int8_t *, size_t, size_t,
                        int64_t *) noexcept nogil
        void (*gemv_f64_repro)(size_t, const double *, const double *, size_t, size_t,
                               double *) noexcept nogil
        void (*gemv_f32_repro)(size_t, const float *, const float *, size_t, size_t,
                               float *) noexcept nogil

        void (*axpy_f64)(size_t, double *, const double *, double, const double *, double,
                         const void *) noexcept nogil
        void (*axpy_f32)(size_t, float *, const float *, float, const float *, float,
                         const void *) noexcept nogil
        void (*axpy_i16)(size_t, int16_t *, const int16_t *, double, halp_h, halp_rng *,
                         const void *) noexcept nogil
        void (*axpy_i8i16)(size_t, int16_t *, const int8_t *, double, halp_h, halp_rng *,
                           const void *) noexcept nogil
        void (*axpy_i8)(size_t, int8_t *, const int8_t *, double, halp_h, halp_rng *,
                        const void *) noexcept nogil

        void (*ger_f64)(size_t, double *, size_t, size_t, const double *, const double *,
                        const double *, size_t, double, const void *) noexcept nogil
        void (*ger_f32)(size_t, float *, size_t, size_t, const float *, const double *,
                        const float *, size_t, float, const void *) noexcept nogil
        void (*ger_i16)(size_t, int16_t *, size_t, size_t, const int16_t *, const double *, halp_h,
                        size_t, halp_rng *, const void *) noexcept nogil
        void (*ger_i8i16)(size_t, int16_t *, size_t, size_t, const int8_t *, const double *,
                          halp_h, size_t, halp_rng *, const void *) noexcept nogil
        void (*ger_i8)(size_t, int8_t *, size_t, size_t, const int8_t *, const double *, halp_h,
                       size_t, halp_rng *, const void *) noexcept nogil

        void (*accumulate_f64)(size_t, size_t, const double *, size_t, size_t, const double *,
                               double *, size_t, const void *) noexcept nogil
        void (*accumulate_f32)(size_t, size_t, const float *, size_t, size_t, const float *,
                               double *, size_t, const void *) noexcept nogil
        void (*accumulate_f64_repro)(size_t, size_t, const double *, size_t, size_t,
                                     const double *, double *, size_t, const void *) noexcept nogil
        void (*accumulate_f32_repro)(size_t, size_t, const float *, size_t, size_t, const float *,
                                     double *, size_t, const void *) noexcept nogil
        void (*accumulate_i16)(size_t, size_t, const int16_t *, size_t, size_t, const float *,
                               double *, size_t, const void *) noexcept nogil
        void (*accumulate_i8)(size_t, size_t, const int8_t *, size_t, size_t, const double *,
                              double *, size_t, const void *) noexcept nogil

        void (*quantize_f64_i16)(size_t, const double *, double, int16_t *,
                                 halp_rng *) noexcept nogil
        void (*quantize_f64_i8)(size_t, const double *, double, int8_t *, halp_rng *) noexcept nogil
        void (*quantize_f32_i16)(size_t, const float *, double, int16_t *,
                                 halp_rng *) noexcept nogil
        void (*quantize_f32_i8)(size_t, const float *, double, int8_t *, halp_rng *) noexcept nogil
        void (*dequantize_i16_f64)(size_t, const int16_t *, double, double *) noexcept nogil
        void (*dequantize_i8_f64)(size_t, const int8_t *, double, double *) noexcept nogil
        void (*dequantize_i16_f32)(size_t, const int16_t *, double, float *) noexcept nogil
        void (*dequantize_i8_f32)(size_t, const int8_t *, double, float *) noexcept nogil

        int (*lowest_i16)(size_t, const int16_t *) noexcept nogil
        int (*lowest_i8)(size_t, const int8_t *) noexcept nogil
        uint64_t (*read)(size_t, const void *) noexcept nogil
        double (*peak_f64)(size_t, double, double) noexcept nogil
        float (*peak_f32)(size_t, float, float) noexcept nogil
        uint32_t (*peak_i16)(size_t, int16_t, int16_t) noexcept nogil
        uint32_t (*peak_i8i16)(size_t, int8_t, int16_t) noexcept nogil
        uint32_t (*peak_i8)(size_t, int8_t, int8_t) noexcept nogil

        halp_family family[5]
        const halp_loss *losses

    const halp_backend *const *halp_backends
    int halp_usable(const halp_backend *backend)
    const halp_backend *halp_find(const char *name)
    const halp_backend *halp_best()

cdef extern from "halp/api.h" nogil:
    const char *HALP_API_CAPSULE

    ctypedef struct halp_api:
        uint32_t version
        uint32_t backend_bytes
        const halp_backend *(*active)() noexcept nogil
        const halp_backend *const *backends
        int (*usable)(const halp_backend *) noexcept nogil
        const halp_backend *(*find)(const char *) noexcept nogil
        const halp_backend *(*best)() noexcept nogil
        void (*rng_init)(halp_rng *, uint64_t, halp_rounding) noexcept nogil
        halp_h (*encode_h_i8)(size_t, size_t, const double *, double, halp_rng *,
                              int16_t *) noexcept nogil
        halp_h (*encode_h_i16)(size_t, size_t, const double *, double, int,
                               halp_rng *, int16_t *) noexcept nogil

cdef extern from "halp/api.h":
    const halp_api *halp_import() except NULL

cdef const halp_backend *active_backend() noexcept nogil

cdef class Rng:
    cdef halp_rng state
    cdef PyThread_type_lock lock
    cdef halp_rng *acquire(self) noexcept nogil
    cdef void release(self) noexcept nogil
    cdef bytes to_bytes(self)

# ---- Checks of arguments -------------------------------------------------------------------------

cdef enum Dtype:
    I8 = 0
    I16 = 1
    F32 = 2
    F64 = 3

cdef class Operand:
    cdef Py_buffer view
    cdef bint held
    cdef str name
    cdef int dtype
    cdef void *data
    cdef size_t rows, columns  # one row where there is one dimension
    cdef tuple shape(self)

cdef Operand operand(array, str name, int ndim, bint writable)
cdef Operand reals(value, str name, tuple shape, int dtype, Operand output)
cdef bint overlap(Operand x, Operand y) noexcept
cdef int check_apart(Operand x, Operand output) except -1
cdef int check_range(Operand x) except -1
cdef int check_length(size_t got, size_t expected, str what) except -1
cdef int check_pair(Operand x, Operand w) except -1
cdef int check_rounding(rng, rounding) except -1
cpdef Rng rounding_state(rng, rounding)
cpdef double real_number(value, str name, bint positive=*) except? -1

# ---- Batches -------------------------------------------------------------------------------------

cdef halp_format format_of(Operand x, Operand w) except HALP_FORMAT_COUNT
cdef const void **row_pointers(Operand x) except NULL
cdef Operand room_for_h(size_t rows, size_t columns, halp_format form)
