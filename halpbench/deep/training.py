"""One training run: a network, an algorithm, a seed; its record, and checkpoints to resume from."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from halpbench.bench.cases import Plan
from halpbench.bench.loop import Measured, OnRound
from halpbench.bench.records import Series, identity
from halpbench.deep import data
from halpbench.deep.data import Batches, Samples
from halpbench.deep.models import CharLSTM, ResNet, narrow_resnet, resnet18
from halpbench.deep.optimizers import HALP, LPSGD, LPSVRG, SVRG
from halpbench.fixedpoint import largest_integer

__all__ = ["ALGORITHMS", "LOW_PRECISION", "Device", "Task", "Training", "fingerprint", "train"]

ALGORITHMS = ("sgd", "svrg", "lp-sgd", "lp-svrg", "halp")
LOW_PRECISION = ("lp-sgd", "lp-svrg", "halp")
Options = tuple[tuple[str, float], ...]
History = dict[str, list[Any]]

EVALUATION_BATCH = 512  # a matter of memory alone


@dataclass(frozen=True)
class Task:
    """A network and its data.

    Attributes
    ----------
    name : str
        "lstm" or "resnet".
    size : str
        "small", "paper", or another word that tells tasks of the same name apart.
    dataset : str
    n_train, n_validation : int
        Windows of a text, or images.
    batch_size : int
        An epoch is one pass over the training data in batches of so many: T steps.
    epochs : int
    weight_decay : float
    window : int
        LSTM: characters of a window.
    hidden, layers : int
        LSTM.
    narrow : bool
        ResNet: `models.narrow_resnet` in place of `models.resnet18`.
    channels : int
        ResNet: of the images.
    augment : bool
        ResNet: shift and mirror training images.
    """

    name: str
    size: str
    dataset: str
    n_train: int
    n_validation: int
    batch_size: int
    epochs: int
    weight_decay: float = 0.0
    window: int = 0
    hidden: int = 0
    layers: int = 0
    narrow: bool = False
    channels: int = 0
    augment: bool = False

    @functools.lru_cache(maxsize=1)  # noqa: B019 - the runs of a task follow one another
    def load(self, *, download: bool = False) -> tuple[Samples, Samples, int]:
        """Return training data, validation data and the number of classes."""
        if self.name == "lstm":
            return data.windows(
                self.dataset, self.window, self.n_train, self.n_validation, download=download
            )
        train, validation = data.images(
            self.dataset, self.channels, self.n_train, self.n_validation, download=download
        )
        return train, validation, 10

    def network(self, n_classes: int) -> CharLSTM | ResNet:
        """Return the network, with initial weights from torch's generator."""
        if self.name == "lstm":
            return CharLSTM(n_classes, hidden=self.hidden, layers=self.layers)
        return narrow_resnet(self.channels) if self.narrow else resnet18(self.channels)


@dataclass(frozen=True)
class Training:
    """One run.

    Attributes
    ----------
    task : Task
    algorithm : str
        One of `ALGORITHMS`.
    bits : int or None
        Of the parameters; None for full precision.
    options : tuple of pairs
        ``lr``; for HALP ``mu``; for LP-SGD and LP-SVRG ``reach``: the range of each tensor, in
        multiples of its largest entry at the start.
    seed : int
        Of weights, batches and rounding.
    """

    task: Task
    algorithm: str
    bits: int | None
    options: Options
    seed: int
    kind: ClassVar[str] = "training"

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            expected = ", ".join(ALGORITHMS)
            raise ValueError(f"algorithm: got {self.algorithm!r}, expected one of {expected}")
        if (self.bits is not None) != (self.algorithm in LOW_PRECISION):
            raise ValueError(f"{self.algorithm} does not run with bits = {self.bits}")
        names = [name for name, _ in self.options]
        if names != option_names(self.algorithm):
            expected = ", ".join(option_names(self.algorithm))
            raise ValueError(f"{self.algorithm} takes the options {expected}; got {names}")

    @property
    def contender(self) -> str:
        """Its name in records, e.g. "HALP, 8 bits"."""
        return self.algorithm.upper() + (f", {self.bits} bits" if self.bits else "")

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        values = ", ".join(f"{name} {value:g}" for name, value in self.options)
        return f"{self.task.name} ({self.task.size}), {self.contender}, {values}, seed {self.seed}"


def option_names(algorithm: str) -> list[str]:
    """Return the options that an algorithm takes."""
    own = {"halp": ["mu"], "lp-sgd": ["reach"], "lp-svrg": ["reach"]}
    return ["lr", *own.get(algorithm, [])]


@dataclass(frozen=True)
class Device:
    """Device that runs are trained on, and permissions.

    Attributes
    ----------
    name : str
        As torch calls it: "cpu", "cuda".
    checkpoints : Path
        Folder in which an interrupted run leaves its state, an epoch old at most.
    download : bool
        Fetch data that are not at hand.
    """

    name: str
    checkpoints: Path
    download: bool = False


def fingerprint(device: str) -> str:
    """Digest the properties that runs must share to be put side by side: code, torch, device."""
    digest = hashlib.sha256()
    digest.update(f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()}".encode())
    digest.update(torch.cuda.get_device_name(device).encode() if "cuda" in device else b"cpu")
    here = Path(__file__)
    for name in ("data.py", "models.py", "optimizers.py", "rounding.py", here.name):
        digest.update(here.with_name(name).read_bytes())
    return digest.hexdigest()[:16]


def train(
    fingerprint: str,
    device: Device,
    training: Training,
    plan: Plan,
    on_round: OnRound = lambda epochs: None,
) -> Measured:
    """Train to the end, from the checkpoint if there is one.

    A run that diverges ends early; that is a result. On a CPU it has one thread, so that its bits
    do not depend on the number of cores.

    Parameters
    ----------
    fingerprint : str
        Of the record, see `fingerprint`.
    device : Device
    training : Training
    plan : Plan
        One round: the whole run.
    on_round : callable
        Takes the number of finished epochs, before each epoch.

    Returns
    -------
    series, facts
        The one series has the losses and accuracies after each epoch, the start included, and the
        nanoseconds of each epoch without those of looking.

    Raises
    ------
    DatasetNotFoundError
        If data are missing.
    """
    path = checkpoint(training, fingerprint, device)
    with _one_thread():
        run = _Run(training, device)
        if path.exists():
            run.load(path)
        while not run.finished:
            on_round(run.epochs)
            run.epoch()
            run.save(path)
    history = dict(run.history)
    facts = {
        "algorithm": training.algorithm,
        "bits": training.bits,
        "options": dict(training.options),
        "diverged": run.diverged,
    }
    series = Series(training.contender, {"epoch": tuple(history.pop("epoch_ns"))}, facts | history)
    about = {
        "n_parameters": sum(p.numel() for p in run.model.parameters()),
        "epoch_length": len(run.batches),
        "torch": str(torch.__version__),
        "device": device.name,
    }
    return (series,), about


def checkpoint(training: Training, fingerprint: str, device: Device) -> Path:
    """Return the path of a run's state, which the owner of the run's record removes."""
    name = hashlib.sha256(identity(training.kind, training, fingerprint)).hexdigest()[:16]
    return device.checkpoints / f"{name}.pt"


class _Run:
    """The state of a run, from epoch to epoch."""

    def __init__(self, training: Training, device: Device) -> None:
        task, self.device = training.task, torch.device(device.name)
        train, validation, n_classes = task.load(download=device.download)
        self.samples = {
            "train": train.to(self.device),
            "validation": validation.to(self.device),
        }
        torch.manual_seed(training.seed)
        self.model = task.network(n_classes).to(self.device)
        self.generator = torch.Generator().manual_seed(training.seed)
        self.batches = Batches(
            self.samples["train"], task.batch_size, self.generator, augment=task.augment
        )
        self.optimizer = optimizer(training, self.model, len(self.batches))
        self.limit = task.epochs
        self.diverged = False
        self.history: History = {"epoch_ns": [], "saturated": []}
        self._look()

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history["epoch_ns"])

    @property
    def finished(self) -> bool:
        return self.diverged or self.epochs >= self.limit

    def epoch(self) -> None:
        """Take T steps; look at the losses afterwards."""
        begin = time.perf_counter_ns()
        try:
            for inputs, targets in self.batches:
                if getattr(self.optimizer, "needs_full_gradient", False):
                    self.optimizer.full_gradient(self._backward, self.batches)
                self.optimizer.step(lambda batch=(inputs, targets): self._backward(batch))
        except FloatingPointError:
            self.diverged = True
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.history["epoch_ns"].append(time.perf_counter_ns() - begin)
        self.history["saturated"].append(getattr(self.optimizer, "saturated", None))
        self._look()
        self.diverged |= not math.isfinite(self.history["train_loss"][-1])

    def _backward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _look(self) -> None:
        for part, samples in self.samples.items():
            loss, accuracy = evaluate(self.model, samples)
            self.history.setdefault(f"{part}_loss", []).append(loss)
            self.history.setdefault(f"{part}_accuracy", []).append(accuracy)

    def save(self, path: Path) -> None:
        """Write the state that the next epoch depends on; if interrupted, the old file stays."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "history": self.history,
            "diverged": self.diverged,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["batches"].cpu())
        torch.set_rng_state(state["random"].cpu())
        self.history, self.diverged = state["history"], state["diverged"]


def optimizer(training: Training, model: nn.Module, epoch_length: int) -> Any:
    """Return the optimizer of a run.

    Parameters
    ----------
    training : Training
    model : Module
        With its initial weights, which set the ranges of LP-SGD and LP-SVRG.
    epoch_length : int
        Steps between full gradients, T.
    """
    options = dict(training.options)
    common: dict[str, Any] = {"lr": options["lr"], "weight_decay": training.task.weight_decay}
    reduced: dict[str, Any] = {"epoch_length": epoch_length, "buffers": model.buffers()}
    algorithm, bits = training.algorithm, training.bits
    if bits is None:
        if algorithm == "sgd":
            return torch.optim.SGD(model.parameters(), **common)
        return SVRG(model.parameters(), **common, **reduced)
    generator = torch.Generator(next(model.parameters()).device).manual_seed(training.seed)
    common |= {"bits": bits, "generator": generator}
    if algorithm == "halp":
        return HALP(model.parameters(), **common, **reduced, mu=options["mu"])
    groups = _fixed_grids(model, options["reach"], bits)
    if algorithm == "lp-sgd":
        return LPSGD(groups, **common)
    return LPSVRG(groups, **common, **reduced)


def _fixed_grids(model: nn.Module, reach: float, bits: int) -> list[dict[str, Any]]:
    """Make a group for each tensor: its range is `reach` times its largest entry, or 1 for 0."""
    return [
        {
            "params": [p],
            "delta": reach * (float(p.detach().abs().max()) or 1.0) / largest_integer(bits),
        }
        for p in model.parameters()
    ]


def evaluate(model: nn.Module, samples: Samples) -> tuple[float, float]:
    """Return the mean loss and the accuracy, the model in evaluation mode."""
    loss = correct = 0.0
    model.eval()
    with torch.no_grad():
        for inputs, targets in Batches(samples, EVALUATION_BATCH):
            logits = model(inputs)
            loss += float(functional.cross_entropy(logits, targets, reduction="sum"))
            correct += int((logits.argmax(dim=1) == targets).sum())
    model.train()
    n = samples.targets.numel()
    return loss / n, correct / n


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
