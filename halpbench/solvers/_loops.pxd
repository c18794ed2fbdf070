"""C contexts of the inner loop and of the full-gradient pass (kernels/loop.h, pass.h)."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from halpbench._kernels cimport halp_backend, halp_format, halp_loss, halp_rng

cdef extern from "losses.h" nogil:
    enum:
        HALP_LOSS_COUNT

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
        int grows
        const double *reference
        const void *origin
        const double *margins
        const double *targets
        size_t target_count
        const double *h
        double step_size
        double l2
        int batch_size
        int64_t samples
        halp_rng *rng
        double rho
        double reach
        int64_t saturated

    int halp_loop_begin(halp_loop *loop)
    int64_t halp_loop_run(halp_loop *loop, const int32_t *samples, int64_t count)
    void halp_loop_inspect(halp_loop *loop)
    void halp_loop_end(halp_loop *loop)

cdef extern from "pass.h" nogil:
    ctypedef struct halp_pass:
        const halp_backend *backend
        halp_format format
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
        int moves
        const double *targets
        size_t target_count
        double *gradient
        size_t ldg
        double *reference
        double *margins
        double *added
        uint64_t seed
        double total_loss
        double rounding

    int halp_pass_begin(halp_pass *data_pass)
    void halp_pass_run(halp_pass *data_pass, size_t start, size_t stop)
    void halp_pass_end(halp_pass *data_pass)
