"""Slow, obvious oracles in NumPy: the random stream, the integer kernels, the paper's algorithms.

The kernels are written from kernels/kernels.h and kernels/rounding.h, the solvers from De Sa et al.
2018 (arXiv:1803.03383). What the compiled code computes in integers must come out the same here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# ---- The random stream ---------------------------------------------------------------------------

BITS_64 = 2**64 - 1


def splitmix64(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & BITS_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & BITS_64
    return z ^ (z >> 31)


POOL_WORDS = 768
BLOCK_BYTES = 2048
BLOCKS_PER_POOL = 256


class ReferenceRng:
    """A pool of xorshift64 words, cut into lanes and read in blocks that start anywhere in it."""

    def __init__(self, seed, rounding="stochastic"):
        self.counter = splitmix64(seed)
        self.pool = np.array([self.draw() | 1 for _ in range(POOL_WORDS)], np.uint64)
        self.blocks_left = BLOCKS_PER_POOL
        self.nearest = rounding == "nearest"

    def draw(self):
        self.counter = (self.counter + 0x9E3779B97F4A7C15) & BITS_64
        return splitmix64(self.counter)

    def advance(self):
        self.pool ^= self.pool << np.uint64(13)
        self.pool ^= self.pool >> np.uint64(7)
        self.pool ^= self.pool << np.uint64(17)
        self.blocks_left = BLOCKS_PER_POOL

    def block(self, draw, lane_bits, fraction):
        """The lanes that the high half of a draw names: integers in [0, 2**fraction)."""
        if self.blocks_left == 0:
            self.advance()
        self.blocks_left -= 1
        count = 8 * BLOCK_BYTES // lane_bits
        if self.nearest:
            return np.full(count, 2**fraction // 2)
        lanes = self.pool.view({16: "<u2", 32: "<u4"}[lane_bits])
        start = (draw >> 32) % (len(lanes) - count)
        return lanes[start : start + count].astype(np.int64) >> (lane_bits - fraction)

    def vector(self, n, lane_bits, fraction):
        """Random numbers that round a vector of n: one for its step size, and its lanes."""
        draw = self.draw()
        uniform = 0.5 if self.nearest else draw % 2**32 / 2**32
        blocks = [self.block(draw, lane_bits, fraction)]
        while 8 * BLOCK_BYTES // lane_bits * len(blocks) < n:
            blocks.append(self.block(self.draw(), lane_bits, fraction))
        return uniform, np.concatenate(blocks)


def lane_i8(j):
    """In a group of 64: the even elements first, then the odd ones."""
    return j - j % 64 + j % 2 * 32 + j % 64 // 2


def lane_i16(j):
    """In a group of 32: the low four of each eight first, then the high four."""
    return j - j % 32 + j // 4 % 2 * 16 + j % 32 // 8 * 4 + j % 4


# ---- Integer kernels -----------------------------------------------------------------------------


def largest(dtype):
    """The end of the symmetric range."""
    return int(np.iinfo(dtype).max)


def fraction_bits(x):
    """F of an int16 update, for data of this dtype."""
    return 16 if x.dtype == np.int16 else 8


def to_nearest(v):
    return np.floor(np.clip(v, -32766.5, 32766.5) + 0.5).astype(np.int64)


@np.errstate(over="ignore")  # what is too large saturates
def encode_h_i8(h, factor=1.0):
    """factor * h in units of 2**-exponent, and the finest exponent of 8 .. 13 that holds it."""
    most = np.abs(h).max() * abs(factor)
    exponent = max([e for e in range(8, 14) if most * 2**e <= 2**13 - 1], default=8)
    return to_nearest(h * (factor * 2**exponent)), exponent


@np.errstate(over="ignore")
def encode_h_i16(h, fraction, factor=1.0):
    """factor * h in units of 2**(exponent - fraction), and the least exponent that holds it."""
    most = np.abs(h).max() * abs(factor) * 2**fraction
    exponent = min([e for e in range(15) if most <= 32767 * 2**e], default=14)
    return to_nearest(h * (factor * 2**fraction / 2**exponent)), exponent


def encode_h(h, x, z, factor=1.0):
    """h for data x and model z; (None, the exponent that goes with it) for no h."""
    if z.dtype == np.int8:
        return (None, 13) if h is None else encode_h_i8(h, factor)
    return (None, 0) if h is None else encode_h_i16(h, fraction_bits(x), factor)


def split_i8(c, max_fraction, uniform):
    """c = whole + mantissa / 2**(7 + fraction), |mantissa| <= 2**14."""
    c = min(max(c, -255.0), 255.0)
    whole = 0 if abs(c) <= 0.5 else math.floor(c + 0.5)
    c -= whole
    fraction = max_fraction if c == 0 else min(max(7 - math.frexp(c)[1], 8), max_fraction)
    return whole, min(math.floor(c * 2 ** (7 + fraction) + uniform), 2**14), fraction


def update_i8(z, x, c, h, exponent, rng):
    uniform, lanes = rng.vector(len(z), 16, exponent)
    whole, mantissa, fraction = split_i8(c, exponent, uniform)
    r = lanes[lane_i8(np.arange(len(z)))]
    p = (x * mantissa + 64) >> 7
    t = (p + ((h + r) >> (exponent - fraction))) >> fraction
    return np.clip(z - (t + whole * x), -127, 127)


def update_i16(z, x, c, h, exponent, rng, fraction):
    uniform, lanes = rng.vector(len(z), 32, fraction)
    c = math.floor(min(max(c * 2**fraction, -(2.0**30)), 2.0**30) + uniform)
    r = lanes[lane_i16(np.arange(len(z)))]
    t = np.clip((c * x + h * 2**exponent + r) >> fraction, -32768, 32767)
    return np.clip(z - t, -32767, 32767)


def ger_encoded(z, x, c, h, exponent, rng):
    """z - (c x + h), rounded row by row; h in fixed point, or None."""
    wide_x, wide_z = x.astype(np.int64), z.astype(np.int64)
    rows = []
    for r in range(len(z)):
        h_r = 0 if h is None else h[r]
        if z.dtype == np.int8:
            rows.append(update_i8(wide_z[r], wide_x, float(c[r]), h_r, exponent, rng))
        else:
            fraction = fraction_bits(x)
            rows.append(update_i16(wide_z[r], wide_x, float(c[r]), h_r, exponent, rng, fraction))
    return np.array(rows, z.dtype).reshape(z.shape)


def ger(z, x, c, h, rng):
    if z.size == 0:
        return z.copy()
    return ger_encoded(z, x, c, *encode_h(h, x, z), rng)


def axpy(z, x, c, h, rng):
    return ger(z[None], x, [c], None if h is None else np.asarray(h)[None], rng)[0]


# ---- Kernels of batches, from kernels/family.h ---------------------------------------------------


def lane_batch_i8(j):
    """In a group of 64: the low eight of each 16 first, then the high eight."""
    return j - j % 64 + j // 8 % 2 * 32 + j % 64 // 16 * 8 + j % 8


class BatchFormat:
    """Limits and layout of an integer format."""

    def __init__(self, x, w):
        self.wide = w.dtype == np.int16
        self.int16_data = x.dtype == np.int16
        self.budget = 2**14 if self.int16_data else 124
        self.most_h = 2**29 if self.int16_data else 2**15 - 1 if self.wide else 2**13 - 1
        self.finest_h = 22 if self.int16_data else 14 if self.wide else 13
        self.lowest = -6 if self.wide and not self.int16_data else 0
        self.lane_bits = 32 if self.wide else 16
        self.lane = lane_i16 if self.wide else lane_batch_i8

    def encode_h(self, h, rng):
        """h as integers in units of 2**-exponent, and this exponent: the finest that holds it."""
        if h is None:
            return 0, self.finest_h
        most = np.abs(h).max()
        fits = [e for e in range(self.finest_h + 1) if float(most) * 2.0**e <= self.most_h]
        exponent = max(fits, default=0)
        with np.errstate(over="ignore"):  # what is too large is clipped
            scaled = np.clip(h * 2.0**exponent, -self.most_h, self.most_h).ravel()
        uniform = [0.5 if rng.nearest else rng.draw() % 2**32 / 2**32 for _ in scaled]
        rounded = np.floor(np.minimum(scaled + uniform, self.most_h)).reshape(h.shape)
        return rounded.astype(np.int64), exponent

    def coefficients(self, c, finest, uniform):
        """c as integers k / 2**e, which keep the budget however they are rounded."""

        def spent(e):
            return sum(math.ceil(abs(Fraction(c_b)) * Fraction(2) ** e) for c_b in c)

        fits = [e for e in range(self.lowest, finest + 1) if spent(e) <= self.budget]
        e = max(fits, default=self.lowest)
        most = math.inf if fits else self.budget // len(c)
        scaled = [min(max(c_b * 2.0**e, -most), most) for c_b in c]
        return np.array([math.floor(a + u) for a, u in zip(scaled, uniform, strict=True)]), e


def update(w, x, c, h, rng):
    """w - (c.T @ x + h), rounded once; what an update of a batch leaves in an integer model."""
    if w.size == 0:
        return w.copy()
    return update_encoded(w, x, c, *BatchFormat(x, w).encode_h(h, rng), rng)


def update_encoded(w, x, c, h, exponent, rng):
    """The same for h in fixed point."""
    form = BatchFormat(x, w)
    (count, n), rows = w.shape, len(x)
    fraction = 14 if form.wide and not form.int16_data else exponent
    h = np.broadcast_to(h, w.shape) << (fraction - exponent)
    if rng.blocks_left <= 0:
        rng.advance()
    uniform = [0.5 if rng.nearest else d % 2**32 / 2**32 for d in draws(rng, rows * count)]
    columns = 8 * BLOCK_BYTES // form.lane_bits
    blocks = -(-n // columns)
    places = draws(rng, count * blocks)
    left = rng.blocks_left - min(count * blocks, BLOCKS_PER_POOL)
    top, moved = largest(w.dtype), np.empty_like(w)
    for r in range(count):
        u_r = uniform[r * rows : (r + 1) * rows]
        k, e = form.coefficients([float(c_b) for c_b in c[:, r]], fraction, u_r)
        rng.blocks_left = BLOCKS_PER_POOL  # the pool does not advance within an update
        lanes = [
            rng.block(d, form.lane_bits, fraction) for d in places[r * blocks : (r + 1) * blocks]
        ]
        lanes = np.concatenate(lanes)[form.lane(np.arange(n))]
        sums = k @ x.astype(np.int64)
        t = (sums * 2 ** (fraction - e) + h[r] + lanes) >> fraction
        moved[r] = np.clip(w[r] - np.clip(t, -top - 1, top), -top, top)
    rng.blocks_left = left
    return moved


def draws(rng, count):
    return [rng.draw() for _ in range(count)]


# ---- Other kernels -------------------------------------------------------------------------------


def dot(x, y):
    return sum(int(a) * int(b) for a, b in zip(x, y, strict=True))


def quantize(x, scale, dtype, rng):
    """x / scale rounded by 16 bits of its fraction, and clamped; x of one dimension."""
    if len(x) == 0:
        return np.empty(0, dtype)
    y = np.clip(x.astype(np.float64) / scale, -largest(dtype), largest(dtype))
    low = np.floor(y)
    fraction = np.rint((y - low) * 2**16).astype(np.int64)
    lanes = rng.vector(len(x), 16, 16)[1][: len(x)]
    return (low.astype(np.int64) + ((fraction + lanes) >> 16)).astype(dtype)


def quantize_rows(X, dtype):
    """The data of an integer run: to nearest, one scale for all. Returns (integers, scale)."""
    scale = float(np.abs(X).max()) / largest(dtype) or 1.0
    return quantize(X.ravel(), scale, dtype, ReferenceRng(0, "nearest")).reshape(X.shape), scale


# ---- Losses, in the order of operations of kernels/losses.h --------------------------------------


def expm1(x):
    """e**x - 1: libm's differs in the last bit from machine to machine, this one does not."""
    shift = np.float64(float.fromhex("0x1.8p52"))
    shifted = x * float.fromhex("0x1.71547652b82fep0") + shift
    k = shifted - shift
    r = (x - k * float.fromhex("0x1.62e42fee00000p-1")) - k * float.fromhex("0x1.a39ef35793c76p-33")
    p = np.full_like(x, 1 / math.factorial(13))
    for n in range(12, 1, -1):
        p = p * r + 1 / math.factorial(n)
    p = (p * r) * r + r
    power = ((shifted.view(np.uint64) + np.uint64(1023)) << np.uint64(52)).view(np.float64)
    return power * p + (power - 1.0)


def in_order_sum(v):
    return np.cumsum(v)[-1]


def softmax(a):
    e = expm1(np.maximum(a - a.max(), -700.0)) + 1.0
    return e / in_order_sum(e)


def softmax_change(p, q):
    """softmax(m + q) - p, where p = softmax(m)."""
    if q.max() < 30.0 and q.min() > -30.0:
        e = expm1(q)
        total = in_order_sum(p * e)
        return p * (e - total) * (1.0 / (1.0 + total))
    e = expm1(np.maximum(q - q.max(), -700.0)) + 1.0
    return p * e / in_order_sum(p * e) - p


@dataclass(frozen=True)
class Loss:
    """A loss of one sample with the margins m, of shape (C,), and the target y.

    Attributes
    ----------
    outputs : int
        C in tests.
    value : callable
        Of (m, y), as its definition reads.
    reference : callable
        Of (m, y): what the change needs to know of the centre.
    derivative, change : callable
        Of (reference, y), and of (reference, q): from the derivative at m to that at m + q.
    """

    outputs: int
    value: Callable
    reference: Callable
    derivative: Callable
    change: Callable

    def at(self, m, y):
        """The derivative at the margins m."""
        return self.derivative(self.reference(m, y), y)


LOSSES = {
    "squared": Loss(
        3,
        lambda m, y: ((m - y) ** 2).sum() / 2,
        lambda m, y: m,
        lambda m, y: m - y,
        lambda m, q: q,
    ),
    "softmax": Loss(
        4,
        lambda m, y: math.log(np.exp(m).sum()) - m[y],
        lambda m, y: softmax(m),
        lambda p, y: p - np.eye(len(p))[y],
        softmax_change,
    ),
    "logistic": Loss(
        1,
        lambda m, y: math.log(1 + math.exp(m[0])) - y * m[0],
        lambda m, y: softmax(np.array([0.0, m[0]]))[1:],
        lambda p, y: p - y,
        lambda p, q: softmax_change(np.array([1 - p[0], p[0]]), np.array([0.0, q[0]]))[1:],
    ),
}


# ---- Problems ------------------------------------------------------------------------------------


def sample_gradient(problem, X, w, i):
    """The gradient of f_i at w (C, d), on data X."""
    x = X[i].astype(np.float64)
    return np.outer(LOSSES[problem.kind].at(w @ x, problem.y[i]), x) + problem.l2 * w


def full_gradient(problem, X, w):
    return sum(sample_gradient(problem, X, w, i) for i in range(len(X))) / len(X)


def float_data(problem, data, dtype, quantized_bits):
    """Return the data of a full-precision run: of the inner loop, and of full gradients."""
    if data == "exact":
        return problem.X.astype(dtype), problem.X
    k, scale = quantize_rows(problem.X, {8: np.int8, 16: np.int16}[quantized_bits])
    X = (k * scale).astype(dtype)
    return X, X


# ---- SGD and SVRG --------------------------------------------------------------------------------


def draw_samples(random, n_samples, epoch_length, option):
    samples = random.integers(n_samples, size=epoch_length)
    if option == "II":
        samples = samples[: random.integers(1, epoch_length + 1)]
    return samples


def solve_float(
    problem,
    algorithm,
    dtype=np.float64,
    data="exact",
    *,
    step_size,
    epoch_length,
    epochs,
    option="I",
    seed=0,
    quantized_bits=8,
):
    """SGD (Algorithm 1 without Q) and SVRG, in float64. Returns w after each epoch."""
    inner, full = float_data(problem, data, dtype, quantized_bits)
    random = np.random.default_rng(seed)
    w = np.zeros((problem.n_outputs, problem.n_features))
    path = []
    for _ in range(epochs):
        w_center = w
        g_center = full_gradient(problem, full, w_center)
        for i in draw_samples(random, problem.n_samples, epoch_length, option):
            g = sample_gradient(problem, inner, w, i)
            if algorithm == "svrg":
                g = g - sample_gradient(problem, inner, w_center, i) + g_center
            w = w - step_size * g
        path.append(w.reshape(problem.weight_shape))
    return path


# ---- LP-SGD, LP-SVRG, HALP -----------------------------------------------------------------------


class KeptGradient:
    """Margins and gradient of integer rows that follow a model, as kernels/pass.h has it."""

    def __init__(self, problem, X, scale, seed):
        self.problem, self.X, self.scale = problem, X.astype(np.int64), scale
        self.most = 1023 if X.dtype == np.int16 else 32767
        fitting = 2**18 // (-(-X.shape[1] // 64) * 64 * X.itemsize if len(X) > 1 else X.nbytes)
        self.rows = min(32, max(4, fitting))
        shape = (problem.n_samples, problem.n_outputs)
        self.margins, self.added = np.zeros(shape), np.zeros(shape)
        self.gradient = np.zeros((problem.n_outputs, X.shape[1]))
        self.seeds = np.random.default_rng([seed, 2])

    def follow(self, k, unit, moves):
        """Go on by k units, or go to k units; return the gradient and the references."""
        seed = int(self.seeds.integers(2**63))
        unit = self.scale * unit
        references = np.empty_like(self.margins)
        for start in range(0, len(self.X), self.rows):
            block = slice(start, min(start + self.rows, len(self.X)))
            sums = self.X[block] @ k.astype(np.int64).T
            self.margins[block] = unit * sums + (self.margins[block] if moves else 0.0)
            self.add(block, self.differentiate(block, references), seed)
        n = self.problem.n_samples
        return self.gradient * (self.scale / n), references

    def differentiate(self, block, references):
        """The derivatives of a block, whose references are noted."""
        m, y = self.margins[block], self.problem.y[block]
        loss = LOSSES[self.problem.kind]
        references[block] = [loss.reference(m_i, y_i) for m_i, y_i in zip(m, y, strict=True)]
        pairs = zip(references[block], y, strict=True)
        return np.array([loss.derivative(r_i, y_i) for r_i, y_i in pairs])

    def add(self, block, derivatives, seed):
        """Add what has changed, rounded at random; the rest waits in ``added``."""
        rows, outputs = derivatives.shape
        for c in range(outputs):
            change = derivatives[:, c] - self.added[block, c]
            most = np.abs(change).max()
            unit = 2.0 ** (math.frexp(most / self.most)[1]) if most > 0 else 2.0**-1000
            places = (block.start + np.arange(rows)) * outputs + c + 1
            draws = [splitmix64((seed + int(p) * 0x9E3779B97F4A7C15) & BITS_64) for p in places]
            uniform = np.array([d >> 32 for d in draws]) / 2**32
            k = np.floor(change / unit + uniform).astype(np.int64)
            self.added[block, c] += unit * k
            self.gradient[c] += unit * (k @ self.X[block])


class IntegerLoop:
    """The steps of an epoch on an integer model, as kernels/loop.h has it.

    ``z`` stands for delta * z, less its ``origin`` if that is where the centre is. ``derivative(q,
    i)`` is that of the loss (or its change) where sample i has the margins q.
    """

    def __init__(self, X, scale, z, delta, h, derivative, rng, **numbers):
        self.X, self.scale, self.z, self.delta, self.h = X, scale, z, delta, h
        self.derivative, self.rng = derivative, rng
        self.step_size, self.l2 = numbers["step_size"], numbers["l2"]
        self.batch_size, self.grows = numbers["batch_size"], numbers["grows"]
        self.origin, self.margins = numbers["origin"], numbers["margins"]
        # The kernels for one sample, but for an int16 model with a fixed scale or tiny steps.
        tiny = h is None or np.abs(h).max() < 1
        fine = numbers["plain"] or self.origin is not None or tiny
        self.single = self.batch_size == 1 and not (z.dtype == np.int16 and fine)
        self.h_factor, self.encoded_for, self.steps, self.reach = 1.0, 0, 0, 0.0

    def encode_every(self, samples):
        shrunk = self.batch_size * self.step_size * self.l2
        every = min(1024, 2**28 // (samples // self.batch_size + 1))
        if shrunk * every > 0.125:
            every = int(0.125 / shrunk)
        return max(1, every)

    def encode(self, batch):
        """B (h + step_size l2 (z - origin)) in fixed point, rounded at random."""
        self.encoded_for = batch
        form = BatchFormat(self.X, self.z)
        if self.h is None and self.l2 == 0:
            single = encode_h(None, self.X, self.z)
            self.encoded = single if self.single else form.encode_h(None, self.rng)
            return
        constant = batch * self.h_factor * self.h if self.h is not None else np.zeros(self.z.shape)
        if self.l2 > 0:
            origin = 0 if self.origin is None else self.origin.astype(np.int64)
            constant = constant + batch * self.step_size * self.l2 * (self.z - origin)
        if not self.single:
            self.encoded = form.encode_h(constant, self.rng)
            return
        _, exponent = encode_h(constant, self.X, self.z)
        unit = 2.0**exponent
        if self.z.dtype == np.int16:
            unit = 2.0 ** (fraction_bits(self.X) - exponent)
        scaled = np.clip(constant * unit, -32767, 32767)
        uniform = np.array([d % 2**32 / 2**32 for d in draws(self.rng, scaled.size)])
        rounded = np.floor(np.minimum(scaled + uniform.reshape(scaled.shape), 32767))
        self.encoded = rounded.astype(np.int64), exponent

    def run(self, samples):
        every = self.encode_every(len(samples))
        for start in range(0, len(samples), self.batch_size):
            self.step(samples[start : start + self.batch_size], every)
        self.look()
        return self.z

    def look(self):
        """Note the largest displacement; return whether more than 7/8 of the range are used."""
        used = int(np.abs(self.z.astype(np.int64)).max())
        self.reach = max(self.reach, used * self.delta)
        return 8 * used > 7 * largest(self.z.dtype)

    def step(self, samples, every):
        x = self.X[samples]
        q = (x.astype(np.int64) @ self.z.astype(np.int64).T) * (self.scale * self.delta)
        if self.margins is not None:
            q = q - self.margins[samples]
        beta = np.array([self.derivative(q_i, i) for q_i, i in zip(q, samples, strict=True)])
        if self.encoded_for != len(samples) or self.steps % every == 0:
            self.encode(len(samples))
        self.steps += 1
        c = beta * (self.step_size * self.scale / self.delta)
        if self.single:
            self.z = ger_encoded(self.z, x[0], c[0], *self.encoded, self.rng)
        else:
            self.z = update_encoded(self.z, x, c, *self.encoded, self.rng)
        if self.steps % 256 == 0 and self.look() and self.grows:
            self.grow()

    def grow(self):
        """Double the scale; a bit of a draw rounds each entry up or down."""
        count = self.z.size
        words = draws(self.rng, -(-count // 64))
        bits = np.array([words[j // 64] >> (j % 64) & 1 for j in range(count)])
        self.z = ((self.z.astype(np.int64) + bits.reshape(self.z.shape)) >> 1).astype(self.z.dtype)
        self.delta, self.h_factor, self.encoded_for = 2 * self.delta, self.h_factor / 2, 0


def padded(rows):
    """Rows as compiled loops see them: whole groups of 64, unless there is one row only."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 64 if len(rows) > 1 else 0)))


def solve_integer(
    problem,
    algorithm,
    data_dtype,
    model_dtype,
    exact_pass,
    *,
    step_size,
    epoch_length,
    epochs,
    batch_size=1,
    mu=None,
    delta=None,
    option="I",
    seed=0,
    w0=None,
    adaptive=None,
):
    """LP-SGD, LP-SVRG and HALP (Algorithms 1-3) on integer data and an integer model.

    ``exact_pass(w)`` returns the full gradient and, for every sample, the softmax, in float64,
    where the data are exact; it is given, because every bit of it counts. None: quantized data.
    ``adaptive`` gives the first scale of each epoch where there is no ``mu``. Returns w after
    each epoch.
    """
    a, l2, top = step_size, problem.l2, largest(model_dtype)
    X, s = quantize_rows(problem.X, data_dtype)
    X = padded(X)
    random, rng = np.random.default_rng(seed), ReferenceRng(seed)
    d, outputs = problem.n_features, problem.n_outputs
    halp, reduced = algorithm == "halp", algorithm != "lp-sgd"
    fixed = 1 / top if delta is None else delta
    kept = KeptGradient(problem, X, s, seed)
    z = padded(np.zeros((outputs, d), model_dtype))
    w = np.zeros((outputs, d)) if w0 is None else np.array(w0, np.float64).reshape(outputs, d)
    width = min(X.shape[1], z.shape[1])
    X_loop, z = X[:, :width], z[:, :width]
    moved, path = (np.zeros((outputs, X.shape[1]), model_dtype), 1.0), []

    def full(array):
        return np.pad(array, ((0, 0), (0, X.shape[1] - array.shape[1])))

    for _ in range(epochs):
        g = center = None
        if reduced:
            if exact_pass is None or not halp:
                k, unit = moved if halp else (full(z), fixed)
                g, center = kept.follow(k, unit, moves=halp)
                g = g[:, :d] + l2 * w
            if exact_pass is not None:
                g, exact_center = exact_pass(w)
                center = exact_center if halp else center
        if option == "II":
            samples = random.integers(problem.n_samples, size=epoch_length)
            steps = -(-epoch_length // batch_size)
            samples = samples[: batch_size * random.integers(1, steps + 1)]
        else:
            samples = random.integers(problem.n_samples, size=epoch_length)
        unit = fixed
        if halp:
            z = np.zeros_like(z)
            norm = math.sqrt(in_order_sum((g * g).ravel()))
            unit = norm / (mu * top) if mu is not None else adaptive.first(np.abs(g).max())

        def derivative(q, i, center=center):
            loss = LOSSES[problem.kind]
            return loss.change(center[i], q) if reduced else loss.at(q, problem.y[i])

        h = None
        if reduced:
            h = np.zeros(z.shape)
            h[:, :d] = (a / unit) * g
        loop = IntegerLoop(
            X_loop,
            s,
            z,
            unit,
            h,
            derivative,
            rng,
            step_size=a,
            l2=l2,
            batch_size=batch_size,
            plain=not reduced,
            grows=halp and mu is None,
            origin=z if reduced and not halp else None,
            margins=kept.margins.copy() if reduced and not halp else None,
        )
        z = loop.run(samples)
        moved = full(z), loop.delta
        if adaptive is not None and halp:
            adaptive.learn(loop.reach, np.abs(g).max())
        w = (w if halp else 0.0) + z[:, :d] * loop.delta
        path.append(w.reshape(problem.weight_shape))
    return path
