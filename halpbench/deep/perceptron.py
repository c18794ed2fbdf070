"""HALP in integers beside PyTorch in float32, on a perceptron for Fashion-MNIST: epoch by epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from halpbench.bench import clock
from halpbench.deep import data
from halpbench.deep.data import Samples
from halpbench.deep.integer import IntegerHALP
from halpbench.deep.optimizers import SVRG

__all__ = ["EpochCost", "measure"]

DATASET = "fashion-mnist"
HIDDEN = 1024
BATCH = 64
LR, MU = 0.05, 3.0


@dataclass(frozen=True)
class EpochCost:
    """One epoch of one contender.

    Attributes
    ----------
    epoch : int
        From 1.
    contender : str
    seconds : float
        CPU time of the one thread, full gradient included.
    loss, accuracy : float
        Afterwards: the mean loss of the training data, and the accuracy on the test data.
    """

    epoch: int
    contender: str
    seconds: float
    loss: float
    accuracy: float


def measure(
    epochs: int = 5, n_train: int = 60_000, n_test: int = 10_000, *, download: bool = False
) -> Iterator[EpochCost]:
    """Train the same network three times, on one thread of the CPU, the contenders in turn.

    Parameters
    ----------
    epochs : int
    n_train, n_test : int
        Images: the first ones of each split.
    download : bool
        Fetch the images if they are not at hand.

    Yields
    ------
    EpochCost

    Raises
    ------
    DatasetNotFoundError
        If the images are missing.
    """
    images = data.images(DATASET, 1, n_train, n_test, download=download)
    train, test = (Samples(part.inputs.flatten(1), part.targets) for part in images)
    with clock.one_thread():
        contenders = {name: make(_network(), train) for name, make in CONTENDERS.items()}
        for epoch in range(1, epochs + 1):
            for name, (model, run) in contenders.items():
                begin = time.thread_time()
                run()
                seconds = time.thread_time() - begin
                yield EpochCost(epoch, name, seconds, *_quality(model, train, test))


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))


Contender = tuple[nn.Module, Callable[[], object]]


def _integers(model: nn.Sequential, train: Samples) -> Contender:
    halp = IntegerHALP(model, train.inputs, train.targets, lr=LR, mu=MU, batch_size=BATCH)
    return model, halp.epoch


def _svrg(model: nn.Sequential, train: Samples) -> Contender:
    chunks = torch.split(torch.arange(len(train)), 1024)
    optimizer = SVRG(model.parameters(), LR, epoch_length=-(-len(train) // BATCH))
    backward = partial(_backward, model, train)

    def epoch() -> None:
        optimizer.full_gradient(backward, chunks, batch_size=len)
        for samples in torch.split(torch.randperm(len(train)), BATCH):
            optimizer.step(partial(backward, samples))

    return model, epoch


def _sgd(model: nn.Sequential, train: Samples) -> Contender:
    optimizer = torch.optim.SGD(model.parameters(), LR)

    def epoch() -> None:
        for samples in torch.split(torch.randperm(len(train)), BATCH):
            optimizer.zero_grad()
            _backward(model, train, samples)
            optimizer.step()

    return model, epoch


CONTENDERS: dict[str, Callable[[nn.Sequential, Samples], Contender]] = {
    "HALP, int8": _integers,
    "SVRG, float32": _svrg,
    "SGD, float32": _sgd,
}


def _backward(model: nn.Module, train: Samples, samples: Tensor) -> Tensor:
    loss = functional.cross_entropy(model(train.inputs[samples]), train.targets[samples])
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


def _quality(model: nn.Module, train: Samples, test: Samples) -> tuple[float, float]:
    with torch.no_grad():
        loss = float(functional.cross_entropy(model(train.inputs), train.targets))
        correct = model(test.inputs).argmax(1) == test.targets
    return loss, float(correct.float().mean())
