# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The inner loop shared by all algorithms and precisions, and the pass for the full gradient.

SGD, SVRG, HALP and their low-precision kin differ in three things only: the point about which the
model vector z is represented, the derivative that is subtracted, and the dtype of z. One step on
sample i is, for every one of them,

    q    = x_i^T z                                   (gemv, times the scales of x and z)
    beta = loss'(reference margin + q) - reference derivative
    z    = Q(z - (c x_i + h)),  c = step_size * beta (ger)

and the l2 term is the factor rho: the true vector is rho * z, and rho shrinks by 1 - step_size * l2
a step. It is folded into z every `fold_every` steps.
"""

from libc.math cimport isfinite, sqrt
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t

from halpbench._kernels cimport Rng, active_backend, halp_backend, halp_h, halp_rng

cdef extern from "losses.h" nogil:
    double halp_softmax(size_t count, double *a)
    void halp_softmax_change(size_t count, const double *p, double *q)
    void halp_prefetch(const void *p, size_t bytes)

cdef enum:
    MAX_OUTPUTS = 1024

ctypedef enum Family:
    D64M64 = 0
    D32M32 = 1
    D16M16 = 2
    D8M16 = 3
    D8M8 = 4

FAMILY_OF = {
    "D64fM64f": D64M64, "D32fM32f": D32M32, "D16M16": D16M16, "D8M16": D8M16, "D8M8": D8M8,
}


cdef inline const void *_address(array):
    return <const void *> <size_t> array.ctypes.data


cdef class InnerLoop:
    """One epoch's inner loop; ``run`` goes on from where it stopped.

    Parameters
    ----------
    family : str
        DMGC precision, which fixes the dtypes of ``x``, ``z`` and ``h``.
    loss : int
        0: squared loss; 1: softmax; 2: logistic, one output (centered only).
    centered : bool
        Whether ``z`` is a displacement from the centre (SVRG, HALP) or the model itself.
    x : ndarray of shape (N, n)
        Rows of data, any row stride, padded to whole groups of 64 elements for integers.
    z : ndarray of shape (C, n)
        The model, changed in place; padded likewise.
    h : ndarray of shape (C, n), or None
        The constant of the update: fixed point for integers (``h_exponent``, ``h_wide``).
    reference : ndarray of shape (N, C), float64, or None
        Probabilities at the centre (centered), or what is subtracted from the derivative.
    scale_x, scale_z : float
        Values of one unit.
    step_size, l2 : float
    fold_every : int
        Steps between two foldings of rho into ``z``; 0 for never.
    rng : Rng
    """

    cdef object _keep
    cdef const halp_backend *kernels
    cdef Family family
    cdef bint softmax, logistic, centered
    cdef const char *x
    cdef char *z
    cdef const void *h
    cdef const double *reference
    cdef size_t n, row_bytes, z_row_bytes, ldz, ldh, outputs
    cdef halp_h fixed
    cdef halp_rng *rng
    cdef double scale_x, scale_z, step_size, shrink
    cdef int64_t fold_every, until_fold
    cdef readonly double rho

    def __init__(self, str family, int loss, bint centered, x, z, h, int h_exponent,
                 bint h_wide, reference, double scale_x, double scale_z, double step_size,
                 double l2, int64_t fold_every, Rng rng):
        self._keep = (x, z, h, reference, rng)
        self.kernels = active_backend()
        self.family = FAMILY_OF[family]
        self.softmax, self.logistic, self.centered = loss == 1, loss == 2, centered
        self.outputs = z.shape[0]
        self.n = min(x.shape[1], z.shape[1])  # either one may be padded, and the other not
        if self.outputs > MAX_OUTPUTS:
            raise ValueError(f"at most {MAX_OUTPUTS} outputs, got {self.outputs}")
        if self.logistic and (self.outputs != 1 or not centered):
            raise ValueError("the logistic loss has one output, and is for centered runs")
        self.x = <const char *> _address(x)
        self.row_bytes = x.strides[0]
        self.z = <char *> _address(z)
        self.z_row_bytes = z.strides[0]
        self.ldz = z.strides[0] // z.itemsize
        self.h = NULL
        if h is not None:
            self.h = _address(h)
        self.ldh = 0 if h is None else h.strides[0] // h.itemsize
        self.reference = NULL
        if reference is not None:
            self.reference = <const double *> _address(reference)
        self.fixed.values = <const int16_t *> self.h
        self.fixed.exponent, self.fixed.wide = h_exponent, h_wide
        self.rng = &rng.state
        self.scale_x, self.scale_z, self.step_size = scale_x, scale_z, step_size
        self.shrink = 1.0 - step_size * l2
        self.fold_every = self.until_fold = fold_every
        self.rho = 1.0

    def run(self, const int32_t[::1] samples):
        """Take a step for each of ``samples``; returns how many were taken.

        Fewer than asked for means that the next step was not finite: the run has diverged.
        """
        cdef int64_t count = samples.shape[0], t
        with nogil:
            for t in range(count):
                if not self._step(samples[t], samples[t + 2] if t + 2 < count else samples[t]):
                    break
            else:
                t = count
        return t

    cdef bint _step(self, int64_t i, int64_t next_i) noexcept nogil:
        cdef const char *x_i = self.x + i * self.row_bytes
        cdef double beta[MAX_OUTPUTS]
        cdef size_t c
        cdef double to_steps
        if self.reference is not NULL:
            halp_prefetch(self.reference + next_i * self.outputs, self.outputs * sizeof(double))
        self._margins(x_i, beta)
        self._derivatives(i, beta)
        self.rho *= self.shrink
        to_steps = self.step_size * self.scale_x / (self.scale_z * self.rho)
        for c in range(self.outputs):
            beta[c] *= to_steps
            if not isfinite(beta[c]):
                return False
        self._update(x_i, beta, self.x + next_i * self.row_bytes)
        if self.fold_every > 0:
            self.until_fold -= 1
            if self.until_fold == 0:
                self._fold()
        return True

    cdef inline void _margins(self, const char *x, double *q) noexcept nogil:
        """q_c = x^T (the true vector z_c)."""
        cdef const halp_backend *k = self.kernels
        cdef double scale = self.scale_x * self.scale_z * self.rho
        cdef size_t n = self.n, ld = self.ldz, count = self.outputs, c
        cdef int64_t exact[MAX_OUTPUTS]
        cdef float single[MAX_OUTPUTS]
        if self.family == D64M64:
            k.gemv_f64(n, <const double *> x, <const double *> self.z, ld, count, q)
            for c in range(count):
                q[c] *= scale
            return
        if self.family == D32M32:
            k.gemv_f32(n, <const float *> x, <const float *> self.z, ld, count, single)
            for c in range(count):
                q[c] = scale * single[c]
            return
        if self.family == D16M16:
            k.gemv_i16(n, <const int16_t *> x, <const int16_t *> self.z, ld, count, exact)
        elif self.family == D8M16:
            k.gemv_i8i16(n, <const int8_t *> x, <const int16_t *> self.z, ld, count, exact)
        else:
            k.gemv_i8(n, <const int8_t *> x, <const int8_t *> self.z, ld, count, exact)
        for c in range(count):
            q[c] = scale * exact[c]

    cdef inline void _derivatives(self, int64_t i, double *q) noexcept nogil:
        """Replace margins by the derivatives of the variance-reduced loss."""
        cdef const double *reference = self.reference + i * self.outputs
        cdef size_t c
        cdef double two_p[2]
        cdef double two_q[2]
        if self.centered:
            if self.logistic:  # a softmax over the margins (0, m)
                two_p[0], two_p[1] = 1.0 - reference[0], reference[0]
                two_q[0], two_q[1] = 0.0, q[0]
                halp_softmax_change(2, two_p, two_q)
                q[0] = two_q[1]
            if self.softmax:
                halp_softmax_change(self.outputs, reference, q)
            return  # squared loss: (m + q - y) - (m - y) = q
        if self.softmax:
            halp_softmax(self.outputs, q)
        for c in range(self.outputs):
            q[c] -= reference[c]

    cdef inline void _update(self, const char *x, const double *c, const char *next_x) \
            noexcept nogil:
        """z_c <- Q(z_c - (c_c x + h_c))."""
        cdef const halp_backend *k = self.kernels
        cdef size_t n = self.n, ld = self.ldz, count = self.outputs
        if self.family == D64M64:
            k.ger_f64(n, <double *> self.z, ld, count, <const double *> x, c,
                      <const double *> self.h, self.ldh, 1.0 / self.rho, next_x)
        elif self.family == D32M32:
            k.ger_f32(n, <float *> self.z, ld, count, <const float *> x, c,
                      <const float *> self.h, self.ldh, <float> (1.0 / self.rho), next_x)
        elif self.family == D16M16:
            k.ger_i16(n, <int16_t *> self.z, ld, count, <const int16_t *> x, c, self.fixed,
                      self.ldh, self.rng, next_x)
        elif self.family == D8M16:
            k.ger_i8i16(n, <int16_t *> self.z, ld, count, <const int8_t *> x, c, self.fixed,
                        self.ldh, self.rng, next_x)
        else:
            k.ger_i8(n, <int8_t *> self.z, ld, count, <const int8_t *> x, c, self.fixed,
                     self.ldh, self.rng, next_x)

    cdef void _fold(self) noexcept nogil:
        """z <- Q(rho z), rho <- 1: an update of z by itself."""
        cdef const halp_backend *k = self.kernels
        cdef double c = 1.0 - self.rho
        cdef halp_h none
        cdef size_t r
        cdef char *z
        none.values = NULL
        none.exponent = 13 if self.family == D8M8 else 0
        none.wide = 0
        for r in range(self.outputs):
            z = self.z + r * self.z_row_bytes
            if self.family == D64M64:
                k.axpy_f64(self.n, <double *> z, <const double *> z, c, NULL, 0, NULL)
            elif self.family == D32M32:
                k.axpy_f32(self.n, <float *> z, <const float *> z, <float> c, NULL, 0, NULL)
            elif self.family == D8M8:
                k.axpy_i8(self.n, <int8_t *> z, <const int8_t *> z, c, none, self.rng, NULL)
            else:
                k.axpy_i16(self.n, <int16_t *> z, <const int16_t *> z, c, none, self.rng, NULL)
        self.rho = 1.0
        self.until_fold = self.fold_every


# ---- The full gradient ---------------------------------------------------------------------------

cdef enum:
    BLOCK_ROWS = 32  # at most: read from memory once, for margins and for the gradient
    BLOCK_BYTES = 1 << 18  # of integers, at most: two blocks should fit the L2 cache
    FLOAT_ROWS = 16  # floats gain more from few passes over the gradient


cdef class GradientPass:
    """Loss, gradient and margins of the whole data set, a block of rows at a time.

    Integer data give the same bits on every backend, and so do floats unless ``fused``.

    Parameters
    ----------
    x : ndarray of shape (N, n), int8, int16, float32 or float64
    scale_x : float
        The value of one unit of integer data, else 1.
    w : ndarray of shape (C, n)
        The model in the dtype of ``x`` for floats. For integer data int16 of shape (2 C, n): the
        high and the low 15 bits of w / scale_w, one after the other, all rows high first.
    scale_w : float
        The value of one unit of the low part, else 1.
    targets : ndarray of shape (N,), float64 (squared loss) or int64 (softmax)
    softmax : bool
    fused : bool
        Let floats use fused multiply-adds and any order: what the full-precision baselines do.
    gradient : ndarray of shape (C, n), float64
        Receives sum_i derivative_i x_i / scale_x; zeroed by the caller.
    reference : ndarray of shape (N, C), float64, or None
        Receives the softmax (or the margin, for the squared loss) of every sample.
    """

    cdef object _keep
    cdef const halp_backend *kernels
    cdef int dtype  # 0 int8, 1 int16, 2 float32, 3 float64
    cdef bint softmax, fused
    cdef const char *x
    cdef const void *w
    cdef const double *targets
    cdef const int64_t *labels
    cdef double *gradient
    cdef double *reference
    cdef size_t n, ldx, itemsize, ldw, ldg, outputs
    cdef double scale_x, scale_w
    cdef readonly double loss

    def __init__(self, x, double scale_x, w, double scale_w, targets, bint softmax, bint fused,
                 gradient, reference):
        self._keep = (x, w, targets, gradient, reference)
        self.kernels = active_backend()
        self.dtype = ("int8", "int16", "float32", "float64").index(x.dtype.name)
        self.softmax, self.fused = softmax, fused
        self.n, self.itemsize = x.shape[1], x.itemsize
        self.ldx = x.strides[0] // x.itemsize
        self.x = <const char *> _address(x)
        self.w = _address(w)
        self.ldw = w.strides[0] // w.itemsize
        self.outputs = gradient.shape[0]
        if self.outputs > MAX_OUTPUTS:
            raise ValueError(f"at most {MAX_OUTPUTS} outputs, got {self.outputs}")
        self.ldg = gradient.strides[0] // gradient.itemsize
        self.gradient = <double *> _address(gradient)
        self.reference = NULL
        if reference is not None:
            self.reference = <double *> _address(reference)
        self.targets = <const double *> _address(targets)
        self.labels = <const int64_t *> _address(targets)
        self.scale_x, self.scale_w = scale_x, scale_w
        self.loss = 0.0

    def run(self, size_t start, size_t stop):
        """Add the rows ``start`` to ``stop`` to the loss and the gradient."""
        cdef size_t row, rows
        cdef size_t most = BLOCK_BYTES // max(<size_t> 1, self.ldx * self.itemsize)
        most = FLOAT_ROWS if self.dtype >= 2 else min(<size_t> BLOCK_ROWS, max(<size_t> 4, most))
        with nogil:
            row = start
            while row < stop:
                rows = min(most, stop - row)
                self._block(row, rows)
                row += rows

    cdef void _block(self, size_t row, size_t rows) noexcept nogil:
        cdef double b64[BLOCK_ROWS * MAX_OUTPUTS]
        cdef float b32[BLOCK_ROWS * MAX_OUTPUTS]
        cdef const halp_backend *k = self.kernels
        cdef const char *x = self.x + row * self.ldx * self.itemsize
        # Fetching ahead was measured to slow floats down: their blocks fill the L2 cache.
        cdef const char *next_x = NULL
        cdef size_t count = self.outputs, i
        if self.dtype < 2:
            next_x = x + rows * self.ldx * self.itemsize
        self._margins(x, rows, b64)
        for i in range(rows):
            self._derivative(row + i, b64 + i * count)
        if self.dtype == 3:
            if self.fused:
                k.accumulate_f64(rows, self.n, <const double *> x, self.ldx, count, b64,
                                 self.gradient, self.ldg, next_x)
            else:
                k.accumulate_f64_repro(rows, self.n, <const double *> x, self.ldx, count, b64,
                                       self.gradient, self.ldg, next_x)
            return
        if self.dtype == 0:
            k.accumulate_i8(rows, self.n, <const int8_t *> x, self.ldx, count, b64,
                            self.gradient, self.ldg, next_x)
            return
        for i in range(rows * count):
            b32[i] = <float> b64[i]
        if self.dtype == 1:
            k.accumulate_i16(rows, self.n, <const int16_t *> x, self.ldx, count, b32,
                             self.gradient, self.ldg, next_x)
        elif self.fused:
            k.accumulate_f32(rows, self.n, <const float *> x, self.ldx, count, b32,
                             self.gradient, self.ldg, next_x)
        else:
            k.accumulate_f32_repro(rows, self.n, <const float *> x, self.ldx, count, b32,
                                   self.gradient, self.ldg, next_x)

    cdef void _margins(self, const char *x, size_t rows, double *m) noexcept nogil:
        """Margins of a block of rows, (rows, outputs)."""
        cdef const halp_backend *k = self.kernels
        cdef size_t count = self.outputs, n = self.n, i, c
        cdef float single[BLOCK_ROWS * MAX_OUTPUTS]
        cdef int64_t parts[2 * MAX_OUTPUTS]
        cdef double unit
        if self.dtype <= 1:
            unit = self.scale_x * self.scale_w
            for i in range(rows):
                if self.dtype == 0:
                    k.gemv_i8i16(n, <const int8_t *> x + i * self.ldx, <const int16_t *> self.w,
                                 self.ldw, 2 * count, parts)
                else:
                    k.gemv_i16(n, <const int16_t *> x + i * self.ldx, <const int16_t *> self.w,
                               self.ldw, 2 * count, parts)
                for c in range(count):
                    m[i * count + c] = unit * (32768.0 * parts[c] + parts[count + c])
        elif self.dtype == 2:
            gemv32 = k.gemv_f32 if self.fused else k.gemv_f32_repro
            if count == 1:  # the rows share w
                gemv32(n, <const float *> self.w, <const float *> x, self.ldx, rows, single)
            else:
                for i in range(rows):
                    gemv32(n, <const float *> x + i * self.ldx, <const float *> self.w, self.ldw,
                           count, single + i * count)
            for i in range(rows * count):
                m[i] = single[i]
        else:
            gemv64 = k.gemv_f64 if self.fused else k.gemv_f64_repro
            if count == 1:
                gemv64(n, <const double *> self.w, <const double *> x, self.ldx, rows, m)
            else:
                for i in range(rows):
                    gemv64(n, <const double *> x + i * self.ldx, <const double *> self.w, self.ldw,
                           count, m + i * count)

    cdef inline void _derivative(self, size_t i, double *m) noexcept nogil:
        """Replace the margins of sample i by the derivatives of its loss; add up the loss."""
        cdef size_t c
        cdef double at_label, residual
        if self.softmax:
            at_label = m[self.labels[i]]
            self.loss += halp_softmax(self.outputs, m) - at_label
            if self.reference is not NULL:
                for c in range(self.outputs):
                    self.reference[i * self.outputs + c] = m[c]
            m[self.labels[i]] -= 1.0
        else:
            if self.reference is not NULL:
                self.reference[i] = m[0]
            residual = m[0] - self.targets[i]
            self.loss += 0.5 * residual * residual
            m[0] = residual


def norm(const double[:, ::1] v):
    """Euclidean norm, summed in the same order on every CPU."""
    cdef double total = 0.0
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(v.shape[0]):
            for j in range(v.shape[1]):
                total += v[i, j] * v[i, j]
    return sqrt(total)
