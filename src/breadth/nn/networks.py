"""Small networks: a multilayer perceptron and a convolutional net for small images, each choice an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from breadth.nn import init as initialisers
from breadth.nn.activations import GELU, ReLU, Sigmoid, SiLU, Tanh
from breadth.nn.dropout import Dropout
from breadth.nn.norms import BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm
from breadth.nn.residual import Residual

Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid", "identity"]
Norm = Literal["batch", "layer", "rms"]
Init = Literal[
    "default", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal", "small", "large"
]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": ReLU, "gelu": GELU, "silu": SiLU, "tanh": Tanh, "sigmoid": Sigmoid, "identity": nn.Identity
}  # fmt: skip


class MLP(nn.Module):
    """Linear layers with norm, activation and dropout between: x -> ... dropout(act(norm(W h + b))) ... -> W' h + b'.

    Args:
        in_features: of the input, >= 1.
        out_features: of the output, >= 1.
        hidden_sizes: width of each hidden layer; empty is a linear model.
        activation: a name, or a function without arguments that makes a module.
        norm: "batch", "layer" or "rms", before the activation; None has none.
        dropout: share of each hidden layer's outputs that is dropped in training, in [0, 1].
        residual: add its input to each hidden layer whose width is that of the one before.
        init: of all weight matrices; biases start at 0, but for "default", which is torch's for both. "small" and
            "large" are N(0, 0.01^2) and N(0, 1), for showing what they do.

    Raises:
        ValueError: if a size is < 1, or a name is unknown.

    Cost: O(batch x sum of products of neighbouring widths).
    References: Rumelhart, Hinton & Williams 1986, Nature 323; He et al. 2016, arXiv:1512.03385, eq. 1 (residual).
    Peer: scikit-learn's MLPRegressor with its weights copied, float64, 1e-12 (A).
    In production: use gradient boosting on tables first; an MLP where inputs are dense and many.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_sizes: Sequence[int] = (100,),
        *,
        activation: Activation | Callable[[], nn.Module] = "relu",
        norm: Norm | None = None,
        dropout: float = 0.0,
        residual: bool = False,
        init: Init = "default",
    ):
        super().__init__()
        widths = [in_features, *hidden_sizes, out_features]
        if min(widths) < 1:
            raise ValueError(f"in_features, hidden_sizes and out_features must be >= 1, got {widths}")
        layers: list[nn.Module] = []
        for before, width in pairwise(widths[:-1]):
            parts = [nn.Linear(before, width), *_norm(norm, width, BatchNorm1d), _activation(activation)]
            if dropout:
                parts.append(Dropout(dropout))
            layer = nn.Sequential(*parts)
            layers.append(Residual(layer) if residual and before == width else layer)
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-2], out_features)
        initialise_(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs for x (batch, in_features), shape (batch, out_features)."""
        return self.head(self.layers(x))


class CNN(nn.Module):
    """Stages of two k x k convolutions and a halving of the image, then the mean over places, then a linear layer.

    Each convolution is followed by norm and activation. A convolution is translation equivariant: it moves with its
    input, up to the edge. Invariance comes from the mean over places, and is approximate because of the halving.

    Args:
        in_channels: of the image, >= 1.
        out_features: of the output, >= 1.
        channels: of each stage.
        kernel_size: k, odd; images are padded with k // 2 zeros.
        activation, init: as of `MLP`.
        norm: "batch", or None.
        dropout: share of the features before the last layer that is dropped in training, in [0, 1].
        pool: "mean" over places, or "flatten", which keeps them and needs image_size.
        image_size: height and width, for "flatten".

    Raises:
        ValueError: if a number is out of its range, a name is unknown, or an image is too small for its stages.

    Cost: O(batch x places x k^2 x channels^2).
    References: LeCun et al. 1998, Proc. IEEE 86(11), section II; Simonyan & Zisserman 2015, arXiv:1409.1556,
        section 2.1 (pairs of small kernels); Lin, Chen & Yan 2014, arXiv:1312.4400, section 3.2 (mean over places).
    Peer: scipy.signal.correlate2d, layer by layer, float64, 1e-12 (A).
    In production: use a pretrained network from torchvision or timm.
    """

    def __init__(
        self,
        in_channels: int,
        out_features: int,
        channels: Sequence[int] = (32, 64),
        *,
        kernel_size: int = 3,
        activation: Activation | Callable[[], nn.Module] = "relu",
        norm: Literal["batch"] | None = "batch",
        dropout: float = 0.0,
        pool: Literal["mean", "flatten"] = "flatten",
        image_size: tuple[int, int] | None = None,
        init: Init = "default",
    ):
        super().__init__()
        if min(in_channels, out_features, *channels) < 1 or not channels:
            raise ValueError(f"in_channels, out_features and channels must be >= 1, got {channels!r}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and >= 1, got {kernel_size}")
        if norm not in ("batch", None):
            raise ValueError(f"norm must be 'batch' or None, got {norm!r}")
        if pool not in ("mean", "flatten"):
            raise ValueError(f"pool must be 'mean' or 'flatten', got {pool!r}")
        if pool == "flatten" and image_size is None:
            raise ValueError("pool='flatten' needs image_size, height and width; pool='mean' takes any")
        if image_size is not None and min(image_size) >> len(channels) == 0:
            raise ValueError(f"image_size {image_size} cannot be halved {len(channels)} times; use fewer channels")
        stages: list[nn.Module] = []
        before = in_channels
        for width in channels:
            for _ in range(2):
                # a bias before batch normalisation is taken off again by it
                convolution = nn.Conv2d(before, width, kernel_size, padding=kernel_size // 2, bias=norm is None)
                stages += [convolution, *_norm(norm, width, BatchNorm2d), _activation(activation)]
                before = width
            stages.append(nn.MaxPool2d(2))
        self.stages = nn.Sequential(*stages)
        self.pool = pool
        places = 1
        if pool == "flatten" and image_size is not None:
            places = (image_size[0] >> len(channels)) * (image_size[1] >> len(channels))
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(before * places, out_features)
        initialise_(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs for images x (batch, in_channels, height, width), shape (batch, out_features)."""
        maps = self.stages(x)  # (B, C, H', W')
        return self.head(self.dropout(maps.flatten(1) if self.pool == "flatten" else maps.mean((2, 3))))


@torch.no_grad()
def initialise_(module: nn.Module, init: Init) -> None:
    """Start all linear and convolutional weights of a module as `init` says, and their biases at 0."""
    if init not in get_args(Init):
        raise ValueError(f"init must be one of {', '.join(map(repr, get_args(Init)))}, got {init!r}")
    if init == "default":
        return
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            if init in ("small", "large"):
                nn.init.normal_(part.weight, std=0.01 if init == "small" else 1.0)
            else:
                getattr(initialisers, f"{init}_")(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _activation(activation: Activation | Callable[[], nn.Module]) -> nn.Module:
    if callable(activation):
        return activation()
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(map(repr, _ACTIVATIONS))}, got {activation!r}")
    return _ACTIVATIONS[activation]()


def _norm(norm: Norm | None, width: int, batch: Callable[[int], nn.Module]) -> list[nn.Module]:
    match norm:
        case None:
            return []
        case "batch":
            return [batch(width)]
        case "layer":
            return [LayerNorm(width)]
        case "rms":
            return [RMSNorm(width)]
    raise ValueError(f"norm must be one of {', '.join(map(repr, get_args(Norm)))} or None, got {norm!r}")
