"""Cost of a step of HALP beside a step of SVRG, and the parts of its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile, record_function

from halpbench.bench import clock, stats
from halpbench.deep.models import CharLSTM, narrow_resnet
from halpbench.deep.optimizers import HALP, SVRG

__all__ = ["StepCost", "measure"]

CONTENDERS: dict[str, type[SVRG | HALP]] = {"SVRG": SVRG, "HALP": HALP}
ROUNDS = (10, 1000)
PROFILED_STEPS = 10


@dataclass(frozen=True)
class StepCost:
    """The cost of steps on one network.

    Attributes
    ----------
    network : str
    parameters : int
    svrg_seconds, halp_seconds : Estimate
        Of a step: CPU time of the one thread, which other work on the machine does not add to.
    ratio : Estimate
        A step of HALP by one of SVRG, paired in interleaved rounds.
    gradients, random_numbers, arithmetic : float
        Shares of a step of HALP: the two evaluations of the closure; the random numbers; all other
        operations on tensors of the optimizer. Python takes the rest.
    """

    network: str
    parameters: int
    svrg_seconds: stats.Estimate
    halp_seconds: stats.Estimate
    ratio: stats.Estimate
    gradients: float
    random_numbers: float
    arithmetic: float


def measure(seconds: float = 10.0) -> Iterator[StepCost]:
    """Time interleaved steps of HALP and SVRG at 8 bits, on one thread of the CPU.

    Parameters
    ----------
    seconds : float
        For each network; at least ten rounds in any case.
    """
    with clock.one_thread():
        for name, (build, inputs, n_classes) in _networks().items():
            torch.manual_seed(0)
            targets = torch.randint(
                n_classes, inputs.shape if inputs.dtype == torch.int64 else inputs.shape[:1]
            )
            steps = {
                contender: _step(cls, build(), inputs, targets)
                for contender, cls in CONTENDERS.items()
            }
            times: dict[str, list[float]] = {contender: [] for contender in steps}
            at_least, at_most = ROUNDS
            for order in clock.rounds(
                list(steps), at_least=at_least, at_most=at_most, budget_seconds=seconds
            ):
                for contender in order:
                    begin = time.thread_time()
                    steps[contender]()
                    times[contender].append(time.thread_time() - begin)
            yield StepCost(
                name,
                sum(p.numel() for p in build().parameters()),
                stats.median(times["SVRG"]),
                stats.median(times["HALP"]),
                stats.ratio(times["HALP"], times["SVRG"]),
                *_shares(steps["HALP"]),
            )


def _networks() -> dict[str, tuple[Callable[[], nn.Module], Tensor, int]]:
    """Return a constructor of each network, inputs of a batch, and the number of classes.

    The networks are those of the small experiments, and one that costs next to nothing for each
    parameter and sample: there the optimizer weighs most.
    """
    return {
        "ResNet": (narrow_resnet, torch.randn(128, 1, 28, 28), 10),
        "LSTM": (lambda: CharLSTM(65), torch.randint(65, (32, 32)), 65),
        "perceptron": (_perceptron, torch.randn(128, 784), 10),
    }


def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def _step(
    cls: type[SVRG | HALP], model: nn.Module, inputs: Tensor, targets: Tensor
) -> Callable[[], Any]:
    """Return a function that takes one step, always of the same epoch."""

    def closure(_: Any = None) -> Tensor:
        with record_function("gradient"):
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer = cls(model.parameters(), lr=1e-3, epoch_length=2**62, buffers=model.buffers())
    optimizer.full_gradient(closure, [inputs])
    optimizer.step(closure)  # allocations of the first step
    return lambda: optimizer.step(closure)


def _shares(step: Callable[[], Any]) -> tuple[float, float, float]:
    """Return the shares of gradients, random numbers and other tensor operations in a step."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(PROFILED_STEPS):
            step()
    whole = gradients = random = operations = 0.0
    for event in profiled.events():
        elapsed, parent = event.cpu_time_total, event.cpu_parent
        if event.name.startswith("Optimizer.step"):
            whole += elapsed
        elif parent is not None and parent.name.startswith("Optimizer.step"):
            if event.name == "gradient":
                gradients += elapsed
            elif event.name == "aten::random_":
                random += elapsed
            else:
                operations += elapsed
    return gradients / whole, random / whole, operations / whole
