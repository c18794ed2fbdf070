"""C contexts of the inner loop and of the full-gradient pass (kernels/loop.h, pass.h)."""

from libc.stdint cimport int32_t, int64_t

from halpbench._kernels cimport halp_backend, halp_rng

cdef extern from "losses.h" nogil:
    ctypedef struct halp_loss:
        const char *name
        int needs_reference

    enum:
        HALP_LOSS_COUNT
        HALP_SQUARED

    const halp_loss halp_losses[]

cdef extern from "formats.h" nogil:
    ctypedef enum halp_format:
        HALP_F64
        HALP_F32
        HALP_I16
        HALP_I8I16
        HALP_I8

cdef extern from "loop.h" nogil:
    ctypedef struct halp_loop:
        const halp_backend *backend
        halp_format format
        const halp_loss *loss
        size_t n
        size_t outputs
        const void *x
        size_t row_bytes
        double scale_x
        void *z
        size_t ldz
        double scale_z
        int centred
        const double *reference
        const double *targets
        size_t target_count
        const double *h
        double step_size
        double l2
        int64_t fold_every
        halp_rng *rng
        double rho

    int halp_loop_begin(halp_loop *loop)
    int64_t halp_loop_run(halp_loop *loop, const int32_t *samples, int64_t count)
    void halp_loop_end(halp_loop *loop)

cdef extern from "pass.h" nogil:
    ctypedef enum halp_data:
        HALP_DATA_I8
        HALP_DATA_I16
        HALP_DATA_F32
        HALP_DATA_F64

    ctypedef struct halp_pass:
        const halp_backend *backend
        halp_data data
        int fused
        const halp_loss *loss
        size_t n
        size_t outputs
        const void *x
        size_t ldx
        double scale_x
        const void *w
        size_t ldw
        double scale_w
        const double *targets
        size_t target_count
        double *gradient
        size_t ldg
        double *reference
        double total_loss

    int halp_pass_begin(halp_pass *data_pass)
    void halp_pass_run(halp_pass *data_pass, size_t start, size_t stop)
    void halp_pass_end(halp_pass *data_pass)
