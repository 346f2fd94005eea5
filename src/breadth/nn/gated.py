"""Feed-forward layers that work on each position by itself: two linear maps, and their gated forms.

Written as x -> down(gate(x) * up(x)), a gated layer has three matrices where a plain one has two: at equal parameters
its dim_feedforward is 2/3 of the plain one's.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from breadth.nn.activations import GELU, Approximate, relu, sigmoid, silu
from breadth.nn.dropout import Dropout


def clamped_swiglu(gate: Tensor, up: Tensor, *, alpha: float = 1.702, limit: float = 7.0) -> Tensor:
    """SwiGLU of clamped inputs, with 1 added to the linear one: (u + 1) g s(alpha g), g <= limit, |u| <= limit.

    With alpha = 1.702 the gate is the sigmoid form of GELU. Beyond the limits the gradient is 0; a gate may be as
    negative as it likes, since it closes there.

    Args:
        gate: any shape.
        up: shape of gate.
        alpha: steepness of the gate.
        limit: > 0.

    Returns:
        Shape of gate, in magnitude at most (limit + 1) limit.

    Raises:
        ValueError: if the shapes differ, or limit <= 0.

    Cost: O(size of gate) time, six kernels.
    References: OpenAI 2025, arXiv:2508.10925, section 2.2; Hendrycks & Gimpel 2016, arXiv:1606.08415 (1.702).
    Peer: mpmath at 60 digits, value and derivatives, float64, 1e-12 (B).
    In production: use it to run gpt-oss; the bound keeps activations within half precision and 4-bit ranges.
    """
    if gate.shape != up.shape:
        raise ValueError(f"gate and up must have one shape, got {tuple(gate.shape)} and {tuple(up.shape)}")
    if not limit > 0:
        raise ValueError(f"limit must be > 0, got {limit}")
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return (up + 1) * (gate * torch.sigmoid(alpha * gate))


class FeedForward(nn.Module):
    """Position-wise feed-forward layer: linear2(dropout(activation(linear1(x)))).

    Args:
        d_model: features that come in and go out.
        dim_feedforward: those between; None takes 4 d_model.
        dropout: share of those between that is dropped in training, in [0, 1].
        activation: elementwise function.
        bias: of both linear maps.
        device, dtype: of the parameters.

    Attributes:
        linear1, linear2: named as in torch.nn.TransformerEncoderLayer.

    Raises:
        ValueError: if a size is < 1, or dropout is outside [0, 1].

    Cost: 4 d_model dim_feedforward operations a position, three times that with the gradient.
    References: Vaswani et al. 2017, arXiv:1706.03762, eq. 2.
    Peer: torch.nn.TransformerEncoderLayer with its attention put to 0, value and gradients, float64, 1e-12 (A).
    In production: use it with GELU, or `SwiGLU` at equal parameters.
    """

    def __init__(
        self,
        d_model: int,
        dim_feedforward: int | None = None,
        *,
        dropout: float = 0.0,
        activation: Callable[[Tensor], Tensor] = relu,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if dim_feedforward is None:
            dim_feedforward = 4 * d_model
        _check_sizes(d_model, dim_feedforward)
        self.linear1 = nn.Linear(d_model, dim_feedforward, bias, device, dtype)
        self.linear2 = nn.Linear(dim_feedforward, d_model, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class GLU(nn.Module):
    """Feed-forward layer gated by a sigmoid: down_proj(sigmoid(gate_proj(x)) * up_proj(x)).

    Args:
        d_model: features that come in and go out.
        dim_feedforward: those between; 8/3 d_model has as many parameters as a plain layer with 4 d_model.
        bias: of the three linear maps.
        device, dtype: of the parameters.

    Attributes:
        gate_proj, up_proj, down_proj: linear maps, named as in LLaMA's checkpoints.

    Raises:
        ValueError: if a size is < 1.

    Cost: 6 d_model dim_feedforward operations a position, three times that with the gradient.
    Deviations: torch.nn.GLU is the elementwise part alone, on two halves of one tensor.
    References: Dauphin et al. 2017, arXiv:1612.08083, eq. 1; Shazeer 2020, arXiv:2002.05202, eq. 6 (as a layer).
    Peer: torch.nn.functional.glu between torch's linear maps, value and gradients, float64, 1e-12 (A).
    In production: prefer `SwiGLU`.
    """

    def __init__(
        self,
        d_model: int,
        dim_feedforward: int,
        *,
        bias: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = _linears(d_model, dim_feedforward, bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(sigmoid(self.gate_proj(x)) * self.up_proj(x))


class SwiGLU(nn.Module):
    """Feed-forward layer gated by SiLU, which is Swish with beta = 1: down_proj(silu(gate_proj(x)) * up_proj(x)).

    Args:
        d_model, dim_feedforward, bias, device, dtype: as of `GLU`.

    Attributes:
        gate_proj, up_proj, down_proj: linear maps, named as in LLaMA's checkpoints.

    Raises:
        ValueError: if a size is < 1.

    Cost: that of `GLU`.
    Deviations: beta is 1 and not learnt, as in all models that have it.
    References: Shazeer 2020, arXiv:2002.05202, eq. 6; Touvron et al. 2023, arXiv:2302.13971, section 2.2 (8/3 d_model).
    Peer: NumPy and SciPy in float64, value and gradients by hand, 1e-12 (B).
    In production: use it in Transformers; LLaMA, PaLM, Qwen and Mistral do.
    """

    def __init__(
        self,
        d_model: int,
        dim_feedforward: int,
        *,
        bias: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = _linears(d_model, dim_feedforward, bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))


class GeGLU(nn.Module):
    """Feed-forward layer gated by GELU: down_proj(gelu(gate_proj(x)) * up_proj(x)).

    Args:
        d_model, dim_feedforward, bias, device, dtype: as of `GLU`.
        approximate: form of GELU; T5 1.1 and Gemma have "tanh".

    Attributes:
        gate_proj, up_proj, down_proj: linear maps.

    Raises:
        ValueError: if a size is < 1, or approximate is unknown.

    Cost: that of `GLU`.
    References: Shazeer 2020, arXiv:2002.05202, eq. 6.
    Peer: NumPy and SciPy in float64, value and gradients by hand, 1e-12 (B).
    In production: use it for checkpoints that have it; `SwiGLU` does as well.
    """

    def __init__(
        self,
        d_model: int,
        dim_feedforward: int,
        *,
        bias: bool = False,
        approximate: Approximate = "none",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = _linears(d_model, dim_feedforward, bias, device, dtype)
        self.act = GELU(approximate)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))


class ClampedSwiGLU(nn.Module):
    """Feed-forward layer gated as in gpt-oss: down_proj(clamped_swiglu(gate_proj(x), up_proj(x))).

    Args:
        d_model, dim_feedforward, device, dtype: as of `GLU`.
        alpha: steepness of the gate.
        limit: bound of the inputs of the gate, > 0.
        bias: of the three linear maps.

    Attributes:
        gate_proj, up_proj, down_proj: linear maps; gpt-oss keeps the first two in one, their rows in turns.

    Raises:
        ValueError: if a size is < 1, limit <= 0, or alpha is not finite.

    Cost: that of `GLU`, and six passes over what is between.
    References: OpenAI 2025, arXiv:2508.10925, section 2.2.
    Peer: NumPy and SciPy in float64, value and gradients by hand, 1e-12 (B).
    In production: use it to run gpt-oss.
    """

    def __init__(
        self,
        d_model: int,
        dim_feedforward: int,
        *,
        alpha: float = 1.702,
        limit: float = 7.0,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if not math.isfinite(alpha):
            raise ValueError(f"alpha must be finite, got {alpha}")
        if not limit > 0:
            raise ValueError(f"limit must be > 0, got {limit}")
        self.alpha, self.limit = alpha, limit
        self.gate_proj, self.up_proj, self.down_proj = _linears(d_model, dim_feedforward, bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(clamped_swiglu(self.gate_proj(x), self.up_proj(x), alpha=self.alpha, limit=self.limit))

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, limit={self.limit}"


def _check_sizes(d_model: int, dim_feedforward: int) -> None:
    for name, size in (("d_model", d_model), ("dim_feedforward", dim_feedforward)):
        if size < 1:
            raise ValueError(f"{name} must be >= 1, got {size}")


def _linears(
    d_model: int,
    dim_feedforward: int,
    bias: bool,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
    """Gate and up from the model's width to the inner one, and down from there."""
    _check_sizes(d_model, dim_feedforward)
    return (
        nn.Linear(d_model, dim_feedforward, bias, device, dtype),
        nn.Linear(d_model, dim_feedforward, bias, device, dtype),
        nn.Linear(dim_feedforward, d_model, bias, device, dtype),
    )
