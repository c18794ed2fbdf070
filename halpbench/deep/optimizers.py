"""SVRG, LP-SGD, LP-SVRG and HALP (De Sa et al. 2018) as PyTorch optimizers.

All four take ``step(closure)``, where the closure computes the loss of a minibatch and calls
``backward()`` on it. Those with variance reduction call it twice a step, at the centre w~ and at
the current parameters w, and are given the gradient of the whole training set at the centre by
`full_gradient` every `epoch_length` steps::

    for batch in batches:
        if optimizer.needs_full_gradient:
            optimizer.full_gradient(closure, data_loader)
        optimizer.step(lambda: closure(batch))

The arithmetic of gradients is that of the parameters, float32 or float64; low precision is
simulated: parameters are integers of few bits times a scale, one scale a tensor.
"""

from __future__ import annotations

import copy
import inspect
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halpbench.arguments import count, one_of
from halpbench.deep.rounding import ROUNDINGS, add_rounded_, random_offsets, saturated
from halpbench.fixedpoint import bit_centering_scale, check_bits, largest_integer

__all__ = ["HALP", "LPSGD", "LPSVRG", "SVRG"]

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
Group = dict[str, Any]
Tensors = list[Tensor] | tuple[Tensor, ...]

# Settings of torch's own optimizers, with the values that say what is done here in any case.
TORCH_SETTINGS: dict[str, tuple[Any, ...]] = {
    "foreach": (None, True),
    "fused": (None, False),
    "capturable": (False,),
    "differentiable": (False,),
    "dampening": (0,),
    "nesterov": (False,),
}
# The closure is evaluated twice at the same parameters. Its losses may differ by what a device
# adds up in another order; those of two batches differ by more.
SAME_LOSS = 1e-3


class _StochasticGradient(torch.optim.Optimizer):
    """A step along the gradient that `_backward` leaves in ``.grad``; subclasses say how."""

    def __init__(
        self, params: Parameters, *, torch_settings: dict[str, Any], **defaults: Any
    ) -> None:
        for name in torch_settings.keys() - TORCH_SETTINGS.keys():
            raise TypeError(f"{type(self).__name__} has no setting {name}")
        super().__init__(params, {**defaults, **torch_settings})

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters, with settings of their own where they differ from the constructor's.

        Parameters
        ----------
        param_group : dict
            ``params`` and any of the settings.

        Raises
        ------
        TypeError
            If a parameter is neither float32 nor float64.
        ValueError
            For a setting out of range.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        # Plain numbers: torch.load reads no others by default.
        group.update({k: v.item() for k, v in group.items() if isinstance(v, np.generic)})
        try:
            self._check(group)
        except BaseException:
            self.param_groups.pop()
            raise

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step.

        Parameters
        ----------
        closure : callable
            Computes the loss of a minibatch at the parameters as they are, calls ``backward()``
            and returns the loss. Gradients are cleared before.

        Returns
        -------
        Tensor
            Result of the closure: the loss before the step. The parameters' ``.grad`` is the
            direction of the step, without weight decay and momentum.

        Raises
        ------
        TypeError
            Without a closure.
        FloatingPointError
            If the gradient is infinite or not a number.
        RuntimeError
            If the closure leaves no gradients, or sparse ones; with variance reduction also if a
            full gradient is due.

        After an error, one of the closure's own included, the parameters are what they were.
        """
        if closure is None:
            raise TypeError("step() needs a closure that computes the loss and its gradient")
        with torch.no_grad(), self._unchanged_if_it_fails():
            loss = self._backward(closure)
            moving = [
                (group, [p for p in _trained(group) if p.grad is not None])
                for group in self.param_groups
            ]
            _check_finite([p.grad for _, params in moving for p in params if p.grad is not None])
            for group, params in moving:
                if params:
                    self._move(group, params, self._direction(group, params))
        return loss

    @property
    def needs_full_gradient(self) -> bool:
        """True if `full_gradient` is due before the next step."""
        return False

    def _check(self, group: Group) -> None:
        """Raise if a group of parameters has unusable ones or settings out of range."""
        for p in group["params"]:
            if p.dtype not in (torch.float32, torch.float64):
                raise TypeError(f"parameters must be float32 or float64, got {p.dtype}")
        for name in ("lr", "momentum", "weight_decay"):
            if not 0 <= group[name] < math.inf:
                raise ValueError(f"{name} must be finite and not negative, got {group[name]}")
        if not isinstance(group["maximize"], bool):
            raise TypeError(f"maximize must be a bool, got {group['maximize']!r}")
        for name in TORCH_SETTINGS.keys() & group.keys():
            if group[name] not in TORCH_SETTINGS[name]:
                expected = " or ".join(map(str, TORCH_SETTINGS[name]))
                raise ValueError(
                    f"{type(self).__name__} does not have {name}={group[name]!r}: "
                    f"expected {expected}, or leave it out"
                )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state, bit for bit if the model is restored too.

        The state is copied: it stays as it is when training goes on.

        Parameters
        ----------
        state_dict : dict
            From `state_dict` of an optimizer of the same class, for the same model.

        Raises
        ------
        ValueError
            For a state of another optimizer, model or device. The optimizer is then unchanged.
        """
        self._check_state(state_dict)
        super().load_state_dict(copy.deepcopy(state_dict))

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        """Raise ValueError if a state cannot be continued from."""
        expected, got = self.state_dict().keys(), state_dict.keys()
        for name in expected ^ got:
            has = "lacks" if name in expected else "has"
            raise ValueError(f"not a state of {type(self).__name__}: it {has} {name!r}")
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=False):
            for name in self.defaults.keys() - TORCH_SETTINGS.keys() - saved.keys():
                raise ValueError(f"not a state of {type(self).__name__}: it lacks {name!r}")
            self._check(saved | {"params": []})
            for p, index in zip(group["params"], saved["params"], strict=False):
                for name, value in state_dict["state"].get(index, {}).items():
                    if isinstance(value, Tensor) and value.shape != p.shape:
                        raise ValueError(
                            f"a state of another model: {name} has the shape "
                            f"{tuple(value.shape)}, the parameter {tuple(p.shape)}"
                        )

    def _unchanged_if_it_fails(self) -> AbstractContextManager[None]:
        """Prepare the parameters for their first use, and undo that if the block fails."""
        return nullcontext()

    def _all_trained(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in _trained(group)]

    def _backward(self, closure: Callable[[], Any]) -> Any:
        """Leave the gradient of the closure's loss in ``.grad`` of the parameters; return the loss.

        Parameters which the loss does not depend on have None.
        """
        params = self._all_trained()
        for p in params:
            p.grad = None
        with torch.enable_grad():
            loss = closure()
        gradients = [p.grad for p in params if p.grad is not None]
        if not gradients:
            raise RuntimeError("the closure left no gradient: it must call loss.backward()")
        if any(g.layout != torch.strided for g in gradients):
            raise RuntimeError("sparse gradients are not supported")
        return loss

    def _direction(self, group: Group, params: list[Tensor]) -> Tensors:
        """Return the gradients with weight decay and momentum."""
        gradients = [p.grad for p in params if p.grad is not None]
        direction = _of_objective(group, params, gradients)
        if group["momentum"]:
            for p in params:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            buffers = self._states(params, "momentum_buffer")
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, direction)
            direction = buffers
        return direction

    def _move(self, group: Group, params: list[Tensor], direction: Tensors) -> None:
        torch._foreach_add_(params, direction, alpha=-float(group["lr"]))

    def _states(self, params: list[Tensor], name: str) -> list[Any]:
        return [self.state[p][name] for p in params]


class _VarianceReduced(_StochasticGradient):
    """The gradient of a minibatch, less that at the centre, plus the full gradient there."""

    def __init__(
        self,
        params: Parameters,
        *,
        epoch_length: int,
        buffers: Iterable[Tensor] = (),
        **defaults: Any,
    ) -> None:
        self.epoch_length = count("epoch_length", epoch_length, 1)
        self._buffers = list(buffers)
        super().__init__(params, **defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters; a full gradient is due then."""
        super().add_param_group(param_group)
        self._steps_left = 0

    @property
    def needs_full_gradient(self) -> bool:
        """True if `full_gradient` is due before the next step."""
        return self._steps_left == 0

    def full_gradient(
        self,
        closure: Callable[[Any], Tensor],
        data_loader: Iterable[Any],
        batch_size: Callable[[Any], int] | None = None,
    ) -> float:
        """Make the current parameters the centre, and compute the gradient of all data there.

        It begins an epoch of `epoch_length` steps. It may be called before the last one has ended.

        Parameters
        ----------
        closure : callable
            Computes the mean loss of the batch that it is given, calls ``backward()`` and returns
            the loss. Gradients are cleared before.
        data_loader : iterable of batches
            One pass over the training data, such as a ``DataLoader``. A loop that is running over
            it meanwhile must not be disturbed.
        batch_size : callable, optional
            The number of samples of a batch, its weight in the mean over all; by default the
            length of the first tensor in the batch.

        Returns
        -------
        float
            The mean loss of all data at the centre.

        Raises
        ------
        TypeError
            If the closure does not return the loss.
        ValueError
            If the loader is empty, or yields another number of batches than its length; if it has
            persistent workers, or is a generator that has begun: a loop over it would end early.
        FloatingPointError
            If the gradient is infinite or not a number.
        RuntimeError
            If the closure leaves no gradients, or sparse ones.

        After an error the parameters and the epoch are what they were.
        """
        _check_restarts(data_loader)
        params = self._all_trained()
        sums: dict[Tensor, Tensor] = {}
        batches = samples = 0
        loss_sum = 0.0
        with torch.no_grad(), self._unchanged_if_it_fails(), _restored(self._buffers):
            for batch in data_loader:
                loss = super()._backward(partial(closure, batch))
                n = operator.index((batch_size or _leading_length)(batch))
                for p in params:
                    if p.grad is not None:
                        sums[p] = sums[p].add_(p.grad, alpha=n) if p in sums else p.grad.mul_(n)
                batches, samples, loss_sum = batches + 1, samples + n, loss_sum + n * _number(loss)
            _check_length(data_loader, batches)
            gradient = list(sums.values())
            torch._foreach_div_(gradient, samples)
            _check_finite(gradient)
            for p in params:
                p.grad = None
                self.state[p].pop("full_gradient", None)
            for p, g in sums.items():
                self.state[p].update(center=p.clone(), full_gradient=g)
            self._begin_epoch()
        return loss_sum / samples

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, but for the parameters."""
        own = {"epoch_length": self.epoch_length, "steps_left": self._steps_left}
        return super().state_dict() | own

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state, in the middle of an epoch of its length; see the base class."""
        super().load_state_dict(state_dict)
        self.epoch_length = int(state_dict["epoch_length"])
        self._steps_left = int(state_dict["steps_left"])

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy of the optimizer."""
        names = ("epoch_length", "_buffers", "_steps_left")
        return super().__getstate__() | {name: getattr(self, name) for name in names}

    def _begin_epoch(self) -> None:
        self._steps_left = self.epoch_length

    def _centered(self, group: Group) -> list[Tensor]:
        """Return the parameters that the full gradient is known of."""
        return [p for p in _trained(group) if "full_gradient" in self.state[p]]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step; see the base class for the closure, the result and the errors."""
        loss = super().step(closure)
        self._steps_left -= 1
        return loss

    def _backward(self, closure: Callable[[], Any]) -> Any:
        """Leave in ``.grad``: gradient(w) - gradient(w~) + full gradient(w~)."""
        if self.needs_full_gradient:
            raise RuntimeError("call full_gradient() first: an epoch has ended, or none has begun")
        params = [p for group in self.param_groups for p in self._centered(group)]
        current = [p.clone() for p in params]
        try:
            torch._foreach_copy_(params, self._states(params, "center"))
            # The same random numbers again below: the same dropout masks at both points.
            with _random_state_restored(params), _restored(self._buffers):
                loss_at_center = super()._backward(closure)
            at_center = [_gradient(p) for p in params]
        finally:
            torch._foreach_copy_(params, current)
        loss = super()._backward(closure)
        if self._steps_left == self.epoch_length:  # the current parameters are the centre
            _warn_if_not_equal(loss_at_center, loss)
        here = [_gradient(p) for p in params]
        if sum(p.grad is not None for p in self._all_trained()) > len(params):
            raise RuntimeError(
                "a parameter has a gradient that had none in the full pass: "
                "call full_gradient() after unfreezing parameters"
            )
        torch._foreach_sub_(here, at_center)
        torch._foreach_add_(here, self._states(params, "full_gradient"))
        return loss


class _Rounded(_StochasticGradient):
    """Parameters that are integers of few bits times a scale, from an origin or from zero."""

    def __init__(
        self, params: Parameters, *, generator: torch.Generator | None, **defaults: Any
    ) -> None:
        super().__init__(params, **defaults)
        if generator is None:
            # A generator on the device of the parameters, governed by torch.manual_seed.
            generator = torch.Generator(self.param_groups[0]["params"][0].device)
            generator.manual_seed(int(torch.randint(2**63 - 1, ())))
        self.generator = generator

    @property
    def saturated(self) -> int:
        """Number of parameters at either end of their range."""
        return sum(
            saturated(self._units(params), group["bits"])
            for group in self.param_groups
            if (params := self._scaled(group))
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, but for the parameters."""
        return super().state_dict() | {"generator": self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state, with its random numbers; see the base class."""
        super().load_state_dict(state_dict)
        self.generator.set_state(state_dict["generator"].cpu())

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        super()._check_state(state_dict)
        device = self.generator.device
        try:
            torch.Generator(device).set_state(state_dict["generator"].cpu())
        except RuntimeError as error:
            raise ValueError(f"the generator's state is of no {device.type} device") from error

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy of the optimizer."""
        return super().__getstate__() | {"generator": self.generator}

    def _check(self, group: Group) -> None:
        super()._check(group)
        check_bits(group["bits"])
        one_of("rounding", group["rounding"], ROUNDINGS)

    def _scaled(self, group: Group) -> list[Tensor]:
        return [p for p in group["params"] if "scale" in self.state[p]]

    def _units(self, params: list[Tensor]) -> list[Tensor]:
        """Return the integers of the parameters."""
        raise NotImplementedError

    def _origins(self, params: list[Tensor]) -> list[Tensor] | list[None]:
        """Return the values that the integers are counted from; None: zero."""
        return [None] * len(params)

    def _offsets(self, count: int) -> Tensor:
        """Return random numbers in (-1/2, 1/2), those of all elements of a group in its order."""
        return random_offsets(count, self.generator)

    def _move(self, group: Group, params: list[Tensor], direction: Tensors) -> None:
        units = self._units(params)
        scales = self._states(params, "scale")
        lr = float(group["lr"])
        # The scale is zero where the full gradient is: such a parameter rests for the epoch.
        # The parameters hold the steps meanwhile: fresh memory costs as much as the arithmetic.
        for p, d, scale in zip(params, direction, scales, strict=True):
            torch.mul(d, -lr / scale if scale else 0.0, out=p)
        stochastic = group["rounding"] == "stochastic"
        offsets = self._offsets(sum(p.numel() for p in params)) if stochastic else None
        add_rounded_(units, params, group["bits"], offsets)
        for p, x, scale, origin in zip(params, units, scales, self._origins(params), strict=True):
            if origin is None:
                torch.mul(x, scale, out=p)
            else:
                torch.add(origin, x, alpha=scale, out=p)


class _FixedGrid(_Rounded):
    """The scale is fixed before the first step, and the origin is zero."""

    def _check(self, group: Group) -> None:
        super()._check(group)
        if group["delta"] is not None and not 0 < group["delta"] < math.inf:
            raise ValueError(f"delta must be finite and positive, got {group['delta']}")

    @contextmanager
    def _unchanged_if_it_fails(self) -> Iterator[None]:
        """Round parameters that are not on a grid yet, to nearest: the same for every seed."""
        before = {}
        for group in self.param_groups:
            for p in _trained(group):
                if "scale" not in self.state[p]:
                    before[p] = p.clone()
                    scale = self.state[p]["scale"] = _fixed_scale(p, group["delta"], group["bits"])
                    units = torch.zeros_like(p)
                    add_rounded_([units], [p.div_(scale)], group["bits"], None)
                    torch.mul(units, scale, out=p)
        try:
            yield
        except BaseException:
            for p, value in before.items():
                p.copy_(value)
                del self.state[p]["scale"]
            raise

    def _units(self, params: list[Tensor]) -> list[Tensor]:
        units = list(torch._foreach_div(params, self._states(params, "scale")))
        torch._foreach_round_(units)
        return units


class SVRG(_VarianceReduced):
    """Stochastic variance-reduced gradient, in full precision.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or dicts of parameter groups; float32 or float64.
    lr : float
        The step size.
    epoch_length : int
        Steps from one full gradient to the next, T.
    momentum : float
        0 for none; as in ``torch.optim.SGD``, without dampening.
    weight_decay : float
        The gradient of ``weight_decay / 2 * ||w||^2`` is added to that of the loss, exactly.
    maximize : bool
        Maximize the loss, less weight decay, in place of minimizing it.
    buffers : iterable of Tensor
        Tensors that the forward pass changes, such as the running statistics of batch norm:
        ``model.buffers()``. The evaluations at the centre leave them as they were, so that only the
        one at the current parameters counts, as in ordinary training.
    **torch_settings
        ``foreach``, ``fused``, ``capturable``, ``differentiable``, ``dampening`` and ``nesterov``
        of torch's optimizers, at the values that say what is done here in any case.

    Raises
    ------
    TypeError, ValueError
        For parameters or settings out of range.

    Notes
    -----
    Algorithm 1 of De Sa et al. 2018, option I. Both evaluations of a step draw the same random
    numbers from torch's generators, so that dropout masks agree. Hidden states that the closure
    itself carries from call to call would not.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float,
        *,
        epoch_length: int,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        maximize: bool = False,
        buffers: Iterable[Tensor] = (),
        **torch_settings: Any,
    ) -> None:
        super().__init__(
            params,
            torch_settings=torch_settings,
            epoch_length=epoch_length,
            buffers=buffers,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            maximize=maximize,
        )


class LPSGD(_FixedGrid):
    """Stochastic gradient descent on parameters of few bits.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or dicts of parameter groups; float32 or float64. The first
        step rounds them to nearest.
    lr : float
        The step size.
    bits : int
        2 to 24: integers from ``-(2**(bits-1) - 1)`` to ``2**(bits-1) - 1``.
    delta : float, optional
        The value of one unit. By default each tensor has its own, such that the range is twice its
        largest entry at the start, or 1 if it is zero.
    momentum : float
        0 for none; the buffer is kept in full precision.
    weight_decay, maximize, **torch_settings
        As in `SVRG`.
    rounding : {"stochastic", "nearest"}
        Up or down at random without bias, or to nearest.
    generator : torch.Generator, optional
        Of stochastic rounding; by default one on the parameters' device, seeded from torch's own.

    Raises
    ------
    TypeError, ValueError
        For parameters or settings out of range.

    Notes
    -----
    De Sa et al. 2018, section 3.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float,
        *,
        bits: int = 8,
        delta: float | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        maximize: bool = False,
        rounding: str = "stochastic",
        generator: torch.Generator | None = None,
        **torch_settings: Any,
    ) -> None:
        super().__init__(
            params,
            torch_settings=torch_settings,
            generator=generator,
            lr=lr,
            bits=bits,
            delta=delta,
            momentum=momentum,
            weight_decay=weight_decay,
            maximize=maximize,
            rounding=rounding,
        )


class LPSVRG(_FixedGrid, _VarianceReduced):
    """Stochastic variance-reduced gradient on parameters of few bits.

    Parameters
    ----------
    params, lr, epoch_length, momentum, weight_decay, maximize, buffers, **torch_settings
        As in `SVRG`.
    bits, delta, rounding, generator
        As in `LPSGD`.

    Raises
    ------
    TypeError, ValueError
        For parameters or settings out of range.

    Notes
    -----
    Algorithm 2 of De Sa et al. 2018, option I.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float,
        *,
        epoch_length: int,
        bits: int = 8,
        delta: float | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        maximize: bool = False,
        rounding: str = "stochastic",
        generator: torch.Generator | None = None,
        buffers: Iterable[Tensor] = (),
        **torch_settings: Any,
    ) -> None:
        super().__init__(
            params,
            torch_settings=torch_settings,
            epoch_length=epoch_length,
            buffers=buffers,
            generator=generator,
            lr=lr,
            bits=bits,
            delta=delta,
            momentum=momentum,
            weight_decay=weight_decay,
            maximize=maximize,
            rounding=rounding,
        )


class HALP(_Rounded, _VarianceReduced):
    """High-accuracy low-precision training: steps of few bits away from a full-precision centre.

    Parameters
    ----------
    params, lr, epoch_length, momentum, weight_decay, maximize, buffers, **torch_settings
        As in `SVRG`.
    mu : float
        Bound on the reach of an epoch: entries of a tensor move at most the norm of its full
        gradient divided by `mu`. The strong-convexity constant where there is one, else a number
        to tune.
    bits, rounding, generator
        As in `LPSGD`, for the distance from the centre.

    Raises
    ------
    TypeError, ValueError
        For parameters or settings out of range.

    Notes
    -----
    Algorithm 3 of De Sa et al. 2018, option I, with one scale per tensor. During an epoch the
    parameters follow from the centre and the integers; any other write to them is overwritten.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float,
        *,
        epoch_length: int,
        mu: float = 1.0,
        bits: int = 8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        maximize: bool = False,
        rounding: str = "stochastic",
        generator: torch.Generator | None = None,
        buffers: Iterable[Tensor] = (),
        **torch_settings: Any,
    ) -> None:
        super().__init__(
            params,
            torch_settings=torch_settings,
            epoch_length=epoch_length,
            buffers=buffers,
            generator=generator,
            lr=lr,
            mu=mu,
            bits=bits,
            momentum=momentum,
            weight_decay=weight_decay,
            maximize=maximize,
            rounding=rounding,
        )

    def _check(self, group: Group) -> None:
        super()._check(group)
        if not 0 < group["mu"] < math.inf:
            raise ValueError(f"mu must be finite and positive, got {group['mu']}")

    def _begin_epoch(self) -> None:
        """Bit centering: the scale of each tensor from its full gradient, and z = 0."""
        super()._begin_epoch()
        for group in self.param_groups:
            params = self._centered(group)
            if not params:
                continue
            gradients = _of_objective(group, params, self._states(params, "full_gradient"))
            norms = torch.stack(torch._foreach_norm(gradients)).tolist()
            for p, norm in zip(params, norms, strict=True):
                scale = bit_centering_scale(norm, group["mu"], group["bits"])
                self.state[p].update(scale=scale, units=torch.zeros_like(p))

    def _units(self, params: list[Tensor]) -> list[Tensor]:
        return self._states(params, "units")

    def _origins(self, params: list[Tensor]) -> list[Tensor]:
        return self._states(params, "center")


def _trained(group: Group) -> list[Tensor]:
    return [p for p in group["params"] if p.requires_grad]


def _of_objective(group: Group, params: list[Tensor], gradients: Tensors) -> Tensors:
    """Return the gradients of what is minimized, from those of the loss: with weight decay."""
    if group["maximize"]:
        gradients = torch._foreach_neg(gradients)
    if group["weight_decay"]:
        gradients = torch._foreach_add(gradients, params, alpha=group["weight_decay"])
    return gradients


def _gradient(p: Tensor) -> Tensor:
    """Return the gradient of a parameter; zero if a loss did not depend on it."""
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    return p.grad


def _check_finite(gradients: Tensors) -> None:
    norms = torch._foreach_norm(gradients)
    finite = torch.stack([norm.to(norms[0].device) for norm in norms]).isfinite()
    if not finite.all():
        bad = finite.numel() - int(finite.sum())
        raise FloatingPointError(f"{bad} of {finite.numel()} gradients are infinite or NaN")


def _check_length(data_loader: Iterable[Any], batches: int) -> None:
    try:
        promised = len(data_loader)  # type: ignore[arg-type]
    except TypeError:  # a stream
        promised = batches
    if batches == 0 or batches != promised:
        raise ValueError(f"the data loader yielded {batches} batches, its length is {promised}")


def _check_restarts(data_loader: Iterable[Any]) -> None:
    """Raise if a pass over the loader ends a loop over it that called for this pass."""
    if getattr(data_loader, "persistent_workers", False):
        raise ValueError(
            "a DataLoader with persistent_workers=True has one iterator: the loop over it would "
            "lose its batches; give full_gradient() a second loader without persistent workers"
        )
    if (
        inspect.isgenerator(data_loader)
        and inspect.getgeneratorstate(data_loader) != inspect.GEN_CREATED
    ):
        raise ValueError("the data loader is a generator that has begun: expected a whole pass")


def _number(loss: Any) -> float:
    try:
        return float(loss)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"the closure must return the loss, a number, got {loss!r}") from error


def _warn_if_not_equal(loss_at_center: Any, loss: Any) -> None:
    """Warn if two evaluations of a closure at the same parameters were of different batches."""
    if loss_at_center is None or loss is None:
        return
    before, after = float(loss_at_center), float(loss)
    if math.isfinite(before + after) and not math.isclose(before, after, rel_tol=SAME_LOSS):
        warnings.warn(
            f"the closure gave the losses {before:.6g} and {after:.6g} at the same parameters: "
            "without the same batch, and the same random numbers, at both calls of a step no "
            "variance is reduced",
            stacklevel=2,
        )


def _fixed_scale(p: Tensor, delta: float | None, bits: int) -> float:
    if delta is not None:
        return float(delta)
    largest = float(p.abs().max()) if p.numel() else 0.0
    return (2 * largest or 1.0) / largest_integer(bits)


def _leading_length(batch: Any) -> int:
    """Return the length of the first tensor in a batch of any structure."""
    parts = [batch]
    while parts:
        part = parts.pop(0)
        if isinstance(part, Tensor) and part.dim():
            return len(part)
        if isinstance(part, Mapping):
            parts[:0] = part.values()
        elif isinstance(part, list | tuple):
            parts[:0] = part
    raise TypeError("no tensor in a batch: pass batch_size= to full_gradient()")


@contextmanager
def _restored(tensors: list[Tensor]) -> Iterator[None]:
    """Give tensors back the values that they have now."""
    before = [t.clone() for t in tensors]
    try:
        yield
    finally:
        for t, value in zip(tensors, before, strict=True):
            t.copy_(value)


def _random_state_restored(params: list[Tensor]) -> AbstractContextManager[None]:
    """Give torch's generators, those of the devices in use included, back their state."""
    devices = {p.device for p in params if p.device.type != "cpu"}
    kind = next((device.type for device in devices), "cuda")
    return torch.random.fork_rng(list(devices), device_type=kind)
