"""The networks of the experiments: a character LSTM and residual networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CharLSTM", "ResNet", "narrow_resnet", "resnet18"]


class CharLSTM(nn.Module):
    """A character-level language model: embedding, LSTM, linear layer.

    The state begins at zero in every window, so that the gradient of a window depends on nothing
    but the parameters, as variance reduction requires.

    Parameters
    ----------
    n_characters : int
        Size of the alphabet.
    embedding, hidden : int
        Widths.
    layers : int
    """

    def __init__(
        self, n_characters: int, *, embedding: int = 16, hidden: int = 64, layers: int = 1
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_characters, embedding)
        self.lstm = nn.LSTM(embedding, hidden, num_layers=layers, batch_first=True)
        self.output = nn.Linear(hidden, n_characters)

    def forward(self, characters: Tensor) -> Tensor:
        """Return the logits of the next characters, of shape (N, C, length).

        Parameters
        ----------
        characters : Tensor of int64, shape (N, length)
        """
        states, _ = self.lstm(self.embedding(characters))
        logits: Tensor = self.output(states)
        # cross_entropy expects the classes there.
        return logits.transpose(1, 2)


class _Block(nn.Module):
    """Two convolutions with batch normalization, and a shortcut round them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut.append(nn.Conv2d(channels_in, channels, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class ResNet(nn.Module):
    """A residual network for small images (He et al. 2016, arXiv:1512.03385).

    Parameters
    ----------
    widths : sequence of int
        Channels of each stage; every stage but the first halves the resolution.
    blocks : int
        In each stage.
    channels : int
        Of the images.
    stem_stride : int
        Of the first convolution.
    n_classes : int
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        blocks: int,
        channels: int,
        stem_stride: int = 1,
        n_classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.stages = nn.Sequential()
        for stage, (before, width) in enumerate(pairwise([widths[0], *widths])):
            for block in range(blocks):
                halves = stage > 0 and block == 0
                self.stages.append(
                    _Block(width if block else before, width, stride=2 if halves else 1)
                )
        self.output = nn.Linear(widths[-1], n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape (N, n_classes) for images of shape (N, channels, h, w)."""
        features: Tensor = self.stages(self.stem(images))
        logits: Tensor = self.output(features.mean(dim=(2, 3)))
        return logits


def resnet18(channels: int = 3) -> ResNet:
    """Return ResNet-18 for images of 32 x 32: no pooling after the stem, 11.2 million weights."""
    return ResNet((64, 128, 256, 512), blocks=2, channels=channels)


def narrow_resnet(channels: int = 1) -> ResNet:
    """Return seven convolutions that a CPU core trains on thousands of images a second."""
    return ResNet((8, 16, 32), blocks=1, channels=channels, stem_stride=2)
