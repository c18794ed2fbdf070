"""The data of the experiments, in memory: windows of a text, images, and batches of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from halpbench import datasets

__all__ = ["Batches", "Samples", "images", "windows"]


@dataclass(frozen=True)
class Samples:
    """Inputs and targets, a row for each sample."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device) -> Samples:
        """Return them on a device."""
        return Samples(self.inputs.to(device), self.targets.to(device))


class Batches:
    """Batches of samples, again on every iteration; a `DataLoader` without its overhead.

    Parameters
    ----------
    samples : Samples
    size : int
        Of a batch; the last may be smaller.
    generator : torch.Generator, optional
        Shuffles, anew on every iteration; None keeps the order.
    augment : bool
        Shift and mirror each image at random. A batch is drawn once, so that the gradients that
        variance reduction subtracts are of the same images.
    """

    def __init__(
        self,
        samples: Samples,
        size: int,
        generator: torch.Generator | None = None,
        *,
        augment: bool = False,
    ) -> None:
        if size < 1:
            raise ValueError(f"batch size: got {size}, expected at least 1")
        if augment and generator is None:
            raise ValueError("augment: got no generator, expected one to draw from")
        self.samples, self.size, self.generator, self.augment = samples, size, generator, augment

    def __len__(self) -> int:
        """Batches of an iteration."""
        return math.ceil(len(self.samples) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.samples)
        order = torch.arange(n)
        if self.generator is not None:
            order = torch.randperm(n, generator=self.generator)
        for chosen in torch.split(order, self.size):
            inputs = self.samples.inputs[chosen]
            if self.augment and self.generator is not None:
                inputs = _augmented(inputs, self.generator)
            yield inputs, self.samples.targets[chosen]


def _augmented(inputs: Tensor, generator: torch.Generator, reach: int = 4) -> Tensor:
    """Shift each image by up to `reach` pixels, zeros beyond its edge, and mirror half of them."""
    n, _, height, width = inputs.shape
    down, right = torch.randint(0, 2 * reach + 1, (2, n, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    mirrored = torch.rand(n, generator=generator) < 0.5
    columns[mirrored] = columns[mirrored].flip(1)
    padded = torch.nn.functional.pad(inputs, (reach,) * 4)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def windows(
    name: str, length: int, n_train: int, n_validation: int, *, download: bool = False
) -> tuple[Samples, Samples, int]:
    """Cut a text into windows for models that predict the next character.

    Parameters
    ----------
    name : str
        As `halpbench.datasets.load_text` takes it.
    length : int
        Characters of a window.
    n_train, n_validation : int
        Windows of each part, the first and the last of the text.
    download : bool

    Returns
    -------
    train, validation : Samples
        Inputs of int64, shape (n, length); the targets are the same, a character on.
    n_characters : int
        Of the whole text's alphabet.

    Raises
    ------
    ValueError
        If the text is too short.
    DatasetNotFoundError
        If it is not on this machine, and `download` is False.
    """
    text, _ = datasets.load_text(name, download=download)
    alphabet, codes = np.unique(np.frombuffer(text.encode("utf-32-le"), "<u4"), return_inverse=True)
    available = (len(codes) - 1) // length
    if n_train + n_validation > available:
        raise ValueError(
            f"{name}: got {n_train} + {n_validation} windows, expected at most {available}"
        )

    def part(first: int, n: int) -> Samples:
        cut = torch.from_numpy(codes[first : first + n * length + 1].astype(np.int64))
        return Samples(cut[:-1].reshape(n, length), cut[1:].reshape(n, length))

    last = len(codes) - 1 - n_validation * length
    return part(0, n_train), part(last, n_validation), len(alphabet)


def images(
    name: str,
    channels: int,
    n_train: int,
    n_validation: int,
    *,
    download: bool = False,
) -> tuple[Samples, Samples]:
    """Load a set of square images, standardized by the pixels of the training part.

    Parameters
    ----------
    name : str
        As `halpbench.load` takes it.
    channels : int
    n_train, n_validation : int
        Images of each part: the first of the training and of the test split.
    download : bool

    Returns
    -------
    train, validation : Samples
        Inputs of float32, shape (n, channels, side, side); targets of int64, shape (n,).

    Raises
    ------
    ValueError
        If a split has fewer images.
    DatasetNotFoundError
        If the set is not on this machine, and `download` is False.
    """
    parts = []
    for split, n in (("train", n_train), ("test", n_validation)):
        X, y = datasets.load(name, split, download=download)
        if n > len(X):
            raise ValueError(f"{name}, {split}: got {n} images, expected at most {len(X)}")
        side = round((X.shape[1] / channels) ** 0.5)
        parts.append((torch.from_numpy(X[:n].reshape(n, channels, side, side)), y[:n]))
    pixels = parts[0][0]
    mean, deviation = (f(pixels, dim=(0, 2, 3), keepdim=True) for f in (torch.mean, torch.std))
    train, validation = (
        Samples((x - mean) / deviation, torch.from_numpy(np.array(y))) for x, y in parts
    )
    return train, validation
