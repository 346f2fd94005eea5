"""The feed-forward layer of a block, and what linear maps and activations all layers are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.lm.config import LMConfig
from breadth.nn.gated import clamped_swiglu
from breadth.nn.linear import Linear

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "relu": F.relu,
    "squared_relu": lambda x: F.relu(x).square(),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


def linear(inputs: int, outputs: int, *, bias: bool) -> Linear:
    """A linear map whose weights are still to be drawn: `LM` does it for all of them at the end."""
    made = nn.utils.skip_init(Linear, inputs, outputs, bias=bias, device=torch.get_default_device())
    return cast(Linear, made)


def activate(x: Tensor, activation: str, gated: bool) -> Tensor:
    """act(x); or act(gate) * up, where x is [gate, up] along the last axis.

    Args:
        x: shape (..., width), or (..., 2 width) where gated.
        activation: name, as of `LMConfig`.
        gated: see above.

    Returns:
        Shape (..., width).
    """
    if not gated:
        return _ACTIVATIONS[activation](x)
    gate, up = x.chunk(2, -1)
    if activation == "clamped_swiglu":
        return clamped_swiglu(gate, up)
    return _ACTIVATIONS[activation](gate) * up


class FeedForward(nn.Module):
    """down(act(up(x))), or down(act(gate(x)) * up(x)) with gate and up in one matrix.

    Args:
        config: of the model.
        d_ff: inner width.

    Attributes:
        up: to d_ff; where gated to 2 d_ff, the gate's rows first.
        down: back to d_model.

    References: Vaswani et al. 2017, arXiv:1706.03762, eq. 2; Shazeer 2020, arXiv:2002.05202, eq. 6.
    Peer: transformers' layer of each family, with the same weights, as a part of the model, float32, 2e-5 (A).
    """

    def __init__(self, config: LMConfig, d_ff: int) -> None:
        super().__init__()
        self.activation, self.gated = config.activation, config.gated
        self.up = linear(config.d_model, d_ff * (2 if config.gated else 1), bias=config.ffn_bias)
        self.down = linear(d_ff, config.d_model, bias=config.ffn_bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(activate(self.up(x), self.activation, self.gated))
