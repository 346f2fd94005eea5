"""Networks made from the shape of a row, as `NetworkClassifier` wants them: `partial(convolutional, channels=(8,))`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from breadth.nn.networks import CNN
from breadth.nn.sequences import RecurrentNetwork, TransformerNetwork


class WithChannel(nn.Module):
    """A network of images (batch, 1, height, width), for images without the axis of channels."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Outputs for images x (batch, height, width)."""
        return self.network(x.unsqueeze(1))


def convolutional(shape: tuple[int, ...], n_outputs: int, **options: Any) -> nn.Module:
    """`CNN` for images of shape (channels, height, width) or (height, width); options are its further arguments."""
    if len(shape) not in (2, 3):
        raise ValueError(f"an image has shape (height, width) or (channels, height, width), got {shape}; "
                         "give input_shape where X comes flat")  # fmt: skip
    channels = shape[0] if len(shape) == 3 else 1
    network = CNN(channels, n_outputs, image_size=(shape[-2], shape[-1]), **options)
    return network if len(shape) == 3 else WithChannel(network)


def recurrent(shape: tuple[int, ...], n_outputs: int, **options: Any) -> nn.Module:
    """`RecurrentNetwork` for sequences of shape (length, features); options are its further arguments."""
    return RecurrentNetwork(_sequence(shape), n_outputs, **options)


def transformer(shape: tuple[int, ...], n_outputs: int, **options: Any) -> nn.Module:
    """`TransformerNetwork` for sequences of shape (length, features); options are its further arguments."""
    return TransformerNetwork(_sequence(shape), n_outputs, **options)


def _sequence(shape: tuple[int, ...]) -> int:
    if len(shape) != 2:
        raise ValueError(f"a sequence has shape (length, features), got {shape}; give input_shape where X comes flat")
    return shape[1]
