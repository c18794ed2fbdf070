"""HALP on a perceptron in real integers: its inner loop runs on the kernels, on the CPU.

Bit centering layer by layer, with ~ for the centre. A layer is W = W~ + s Z, with Z in int8, and
its input h = h~ + d; h~ and the outputs at the centre are known from the full pass, in float32. So

    W h + b - (W~ h~ + b~) = s Z h + W~ d + (b - b~),

and the change of the loss's gradient, with g the gradient of the loss by the layer's outputs,

    g h^T - g~ h~^T = (g - g~) h^T + g~ d^T.

All products are of int8 matrices: every term has a factor that tends to zero with Z (s Z, d or
g - g~), so that rounding the other factor to 8 bits does not move the point that HALP converges to.
The first layer, which has nearly all of the weights, has d = 0: one product forward, one back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from halpbench import kernels
from halpbench.arguments import count, positive
from halpbench.fixedpoint import bit_centering_scale, count_saturated

__all__ = ["IntegerHALP"]

BITS = 8
MOST_BATCH = 64  # rows of a kernels.update
FULL_BATCH = 1024  # samples at a time in a full pass: a matter of memory alone
Integers = NDArray[np.int8]


class IntegerHALP:
    """Train a perceptron with one hidden layer by HALP, in 8 bits, on one core.

    Parameters
    ----------
    model : nn.Sequential
        ``Linear, ReLU, Linear`` with biases, float32, on the CPU; trained in place, for
        cross-entropy.
    inputs : Tensor of shape (n, features), float32
        The inner loop reads a copy in int8, full gradients these.
    targets : Tensor of shape (n,), int64
    lr : float
        The step size, for the mean gradient of a batch.
    mu : float
        As in `halpbench.deep.HALP`: the larger, the finer the steps and the shorter the way.
    batch_size : int
        1 to 64: as many as the kernels take at once.
    seed : int
        Of the order of the samples, and of all rounding.

    Raises
    ------
    TypeError, ValueError
        For another network, other data, or settings out of range.

    Notes
    -----
    De Sa et al. 2018, Algorithm 3, option I, with one scale per layer and one pass over the data as
    an epoch. The biases, a thousandth of the parameters, stay in float32 and take steps of SVRG.
    What the hidden layer is at the centre is kept for all samples: 4 bytes a sample and unit.
    """

    def __init__(
        self,
        model: nn.Sequential,
        inputs: Tensor,
        targets: Tensor,
        *,
        lr: float,
        mu: float = 1.0,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        linears = _checked(model, inputs, targets)
        self.model, self.inputs, self.targets = model, inputs, targets
        self.lr, self.mu = positive("lr", lr), positive("mu", mu)
        self.batch_size = count("batch_size", batch_size, 1, MOST_BATCH)
        self._rng = kernels.Rng(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._rows, self._unit = kernels.quantize(inputs.numpy(), BITS, rounding="nearest")
        self._hidden, self._output = map(_Layer, linears)
        self._at_center = {
            layer: torch.empty(len(inputs), layer.units.shape[0])
            for layer in (self._hidden, self._output)
        }

    @property
    def saturated(self) -> int:
        """Number of weights at either end of their range when the last epoch ended."""
        return sum(count_saturated(layer.units, BITS) for layer in (self._hidden, self._output))

    def epoch(self) -> float:
        """Compute the full gradient, and take the steps of one pass over the data.

        Returns
        -------
        float
            The mean loss of all data at the centre, before the steps.

        Raises
        ------
        FloatingPointError
            If the full gradient is infinite or not a number. The model is then unchanged.
        """
        with torch.no_grad():
            loss = self._full_gradient()
            order = torch.randperm(len(self.inputs), generator=self._generator)
            for samples in torch.split(order, self.batch_size):
                self._step(samples)
            for layer in (self._hidden, self._output):
                layer.move_center()
        return loss

    def _full_gradient(self) -> float:
        """Begin an epoch: pass over all data in float32, and keep the outputs of both layers."""
        hidden, output, n = self._hidden, self._output, len(self.inputs)
        gradients = [torch.zeros_like(p) for p in self.model.parameters()]
        loss = 0.0
        for samples in torch.split(torch.arange(n), FULL_BATCH):
            x, y = self.inputs[samples], self.targets[samples]
            before = self._at_center[hidden][samples] = self.model[0](x)
            h = before.relu()
            logits = self._at_center[output][samples] = self.model[2](h)
            loss += float(functional.cross_entropy(logits, y, reduction="sum"))
            g_out = _error(logits, y)
            g_hidden = (g_out @ output.center) * (before > 0)
            parts = (g_hidden.T @ x, g_hidden.sum(0), g_out.T @ h, g_out.sum(0))
            torch._foreach_add_(gradients, parts)
        torch._foreach_div_(gradients, n)
        norms = torch.stack(torch._foreach_norm(gradients))
        if not norms.isfinite().all():
            raise FloatingPointError("the full gradient is infinite or not a number")
        for layer, (weight, bias) in ((hidden, gradients[:2]), (output, gradients[2:])):
            layer.begin(weight, bias, self.lr, self.mu, self._rng)
        return loss / n

    def _step(self, samples: Tensor) -> None:
        """Move both layers by the batch's variance-reduced gradient."""
        hidden, output, y = self._hidden, self._output, self.targets[samples]
        rows = self._rows[samples.numpy()]
        before_c, logits_c = (self._at_center[layer][samples] for layer in (hidden, output))
        # Forward: outputs of both layers, as distances from those at the centre.
        before = before_c + hidden.displaced(rows, self._unit)
        h = before.relu()
        h_rows, h_unit = self._quantized(h)
        d_rows, d_unit = self._quantized(h - before_c.relu())
        moved = output.displaced(h_rows, h_unit) + output.through_center(d_rows, d_unit)
        # Backward: gradients by these outputs, here and at the centre.
        g_c, g = _error(logits_c, y), _error(logits_c + moved, y)
        back = (g @ output.current()) * (before > 0) - (g_c @ output.center) * (before_c > 0)
        output.step([(h_rows, h_unit, g - g_c), (d_rows, d_unit, g_c)], g - g_c)
        hidden.step([(rows, self._unit, back)], back)

    def _quantized(self, x: Tensor) -> tuple[Integers, float]:
        return kernels.quantize(x.numpy(), BITS, rng=self._rng)


class _Layer:
    """A linear layer: the centre in float32, and how far it is away, in int8 times a scale."""

    def __init__(self, linear: nn.Linear) -> None:
        self.center, self.bias = linear.weight.detach(), linear.bias.detach()
        self.units: Integers = np.zeros(self.center.shape, np.int8)
        self.scale = 1.0

    def begin(self, weight: Tensor, bias: Tensor, lr: float, mu: float, rng: kernels.Rng) -> None:
        """Begin an epoch from the full gradient: bit centering."""
        # The scale is zero where the gradient is: any other one will do.
        self.scale = bit_centering_scale(float(weight.norm()), mu, BITS) or 1.0
        self.lr, self.rng, self.bias_gradient = lr, rng, bias
        self.units[:] = 0
        self.moved_bias = torch.zeros_like(self.bias)
        steps = weight.double().mul_(lr / self.scale).numpy()
        self.full = kernels.Constant(steps, np.int8, np.int8, rng)
        self.center_rows, self.center_unit = kernels.quantize(self.center.numpy(), BITS, rng=rng)

    def displaced(self, rows: Integers, unit: float) -> Tensor:
        """Return s Z h + b - b~ for each row h."""
        sums = torch.from_numpy(kernels.margins(rows, self.units))
        return sums.mul_(unit * self.scale).float().add_(self.moved_bias)

    def through_center(self, rows: Integers, unit: float) -> Tensor:
        """Return W~ d for each row d."""
        sums = torch.from_numpy(kernels.margins(rows, self.center_rows))
        return sums.mul_(unit * self.center_unit).float()

    def current(self) -> Tensor:
        """Return the weights as they are."""
        return torch.add(self.center, torch.from_numpy(self.units), alpha=self.scale)

    def step(self, products: list[tuple[Integers, float, Tensor]], change: Tensor) -> None:
        """Subtract the full gradient, and for each product the mean of coefficients times rows."""
        full: Any = self.full
        for rows, unit, coefficients in products:
            c = coefficients.double().mul_(self.lr * unit / (self.scale * len(rows)))
            kernels.update(self.units, rows, c.numpy(), full, self.rng)
            full = None
        self.moved_bias.sub_(change.mean(0).add_(self.bias_gradient), alpha=self.lr)

    def move_center(self) -> None:
        """End an epoch: the last iterate is the next centre."""
        self.center.copy_(self.current())
        self.bias.add_(self.moved_bias)


def _error(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient of the cross-entropy of each sample by its logits."""
    return logits.softmax(1) - functional.one_hot(targets, logits.shape[1])


def _checked(model: nn.Sequential, inputs: Tensor, targets: Tensor) -> tuple[nn.Linear, nn.Linear]:
    """Return the layers of a perceptron with one hidden layer; raise for others, or other data."""
    match list(model):
        case [nn.Linear() as hidden, nn.ReLU(), nn.Linear() as output] if (
            hidden.bias is not None and output.bias is not None
        ):
            pass
        case _:
            raise ValueError(f"expected Linear, ReLU, Linear with biases, got {model}")
    for tensor in (*model.parameters(), inputs):
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise TypeError(f"expected float32 on the CPU, got {tensor.dtype} on {tensor.device}")
    if targets.dtype != torch.int64:
        raise TypeError(f"targets must be int64, got {targets.dtype}")
    shapes, n = (tuple(inputs.shape), tuple(targets.shape)), len(targets)
    if n == 0 or shapes != ((n, hidden.in_features), (n,)):
        raise ValueError(f"inputs and targets do not fit the network: got {shapes}")
    if not 0 <= int(targets.min()) <= int(targets.max()) < output.out_features:
        raise ValueError(f"targets must be from 0 to {output.out_features - 1}")
    return hidden, output
