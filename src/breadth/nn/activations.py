"""Activations: ReLU, sigmoid and tanh, and the smooth gates GELU, SiLU and Swish, as functions and as modules.

Elementwise ones are torch's kernels, one pass forward and one back; what they compute is held against 60 digits.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Approximate = Literal["none", "tanh", "sigmoid"]


def relu(x: Tensor) -> Tensor:
    """Rectifier max(x, 0), with derivative [x > 0]: 0 at the kink.

    Args:
        x: any shape, floating point or integer.

    Returns:
        Shape and dtype of x, >= 0; NaN stays NaN.

    Cost: O(size of x) time; the gradient needs the output alone.
    References: Nair & Hinton 2010, ICML, section 2; Glorot, Bordes & Bengio 2011, AISTATS, section 2.2.
    Peer: max(x, 0) in NumPy and its derivative, float64, exact (B).
    In production: use it for CNNs and MLPs with He's initialisation; a unit that is negative on all data stays dead.
    """
    return torch.relu(x)


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function s = 1 / (1 + exp(-x)), with derivative s (1 - s), at most 1/4.

    Args:
        x: any shape, floating point.

    Returns:
        Shape of x, in [0, 1].

    Cost: O(size of x) time; the gradient needs the output alone.
    References: Cox 1958, JRSS B 20(2); Rumelhart, Hinton & Williams 1986, Nature 323, eq. 2.
    Peer: mpmath at 60 digits, value and derivative, float64, 1e-12 (B).
    In production: use it for gates and probabilities; between layers its derivative makes gradients vanish. Losses take
        the logits instead, since log(sigmoid(x)) is -inf below -745.
    """
    return torch.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent t = 2 s(2x) - 1, with derivative 1 - t^2, 1 at 0.

    Args:
        x: any shape, floating point.

    Returns:
        Shape of x, in [-1, 1].

    Cost: O(size of x) time; the gradient needs the output alone.
    References: LeCun et al. 1998, "Efficient BackProp", section 4.4.
    Peer: mpmath at 60 digits, value and derivative, float64, 1e-12 (B).
    In production: use it in recurrent cells and bounded outputs; initialise with Xavier.
    """
    return torch.tanh(x)


def gelu(x: Tensor, *, approximate: Approximate = "none") -> Tensor:
    """Gaussian error linear unit x Phi(x): x times the probability that a standard normal is below it.

        none       x (1 + erf(x / sqrt 2)) / 2
        tanh       x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, within 5e-4 of it
        sigmoid    x s(1.702 x), within 0.021 of it

    Args:
        x: any shape, floating point.
        approximate: the form with which a checkpoint was trained: BERT "none", GPT-2 "tanh", CLIP "sigmoid".

    Returns:
        Shape of x, >= -0.17.

    Raises:
        ValueError: if approximate is unknown.

    Cost: O(size of x) time, one kernel; "sigmoid" three.
    Deviations: 1 + erf loses the left tail: absolute error |x| eps, and 0 below -8.3, where x Phi(x) is above -1e-15.
    References: Hendrycks & Gimpel 2016, arXiv:1606.08415, eqs. 1 and 2.
    Peer: mpmath at 60 digits, value and derivative, float64, 1e-12 relative or 1e-15 absolute (B).
    In production: use it in Transformers of the BERT and GPT-2 kind; newer ones gate with SiLU.
    """
    if approximate == "sigmoid":
        return x * torch.sigmoid(1.702 * x)
    if approximate not in get_args(Approximate):
        known = ", ".join(map(repr, get_args(Approximate)))
        raise ValueError(f"approximate must be one of {known}, got {approximate!r}")
    return nn.functional.gelu(x, approximate=approximate)


def silu(x: Tensor) -> Tensor:
    """Sigmoid linear unit x s(x), with derivative s (1 + x (1 - s)): Swish with beta = 1.

    Args:
        x: any shape, floating point.

    Returns:
        Shape of x, >= -0.28.

    Cost: O(size of x) time, one kernel.
    References: Elfwing, Uchibe & Doya 2018, arXiv:1702.03118, eq. 5; Hendrycks & Gimpel 2016, arXiv:1606.08415.
    Peer: mpmath at 60 digits, value and derivative, float64, 1e-12 (B).
    In production: use it as the gate of `SwiGLU`, and in convolutional networks after EfficientNet.
    """
    return nn.functional.silu(x)


def swish(x: Tensor, *, beta: float | Tensor = 1.0) -> Tensor:
    """Swish x s(beta x): x / 2 at beta = 0, SiLU at 1, and towards ReLU as beta grows.

    Args:
        x: any shape, floating point.
        beta: a number, or a tensor that broadcasts to x, such as one learnt; its gradient is x^2 s (1 - s).

    Returns:
        Shape of x.

    Raises:
        ValueError: if beta does not broadcast to x.

    Cost: O(size of x) time, three kernels; one where beta is the number 1.
    References: Ramachandran, Zoph & Le 2017, arXiv:1710.05941, section 4.
    Peer: mpmath at 60 digits, value and derivatives by x and beta, float64, 1e-12 (B).
    In production: use `silu`: networks that learn beta end near 1, and gain little.
    """
    if isinstance(beta, Tensor):
        if beta.ndim > x.ndim or any(n not in (1, m) for n, m in zip(beta.shape[::-1], x.shape[::-1], strict=False)):
            raise ValueError(f"beta must broadcast to x, {tuple(x.shape)}, got {tuple(beta.shape)}")
    elif beta == 1:
        return silu(x)
    return x * torch.sigmoid(beta * x)


class ReLU(nn.Module):
    """`relu` as a module: max(x, 0).

    Args:
        inplace: overwrite the input, which must not be needed by a layer before it.

    References: Nair & Hinton 2010, ICML, section 2.
    Peer: max(x, 0) in NumPy and its derivative, float64, exact (B).
    """

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(x) if self.inplace else relu(x)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(nn.Module):
    """`sigmoid` as a module: 1 / (1 + exp(-x)), in [0, 1].

    References: Rumelhart, Hinton & Williams 1986, Nature 323, eq. 2.
    Peer: mpmath at 60 digits, value and derivative, float64, 1e-12 (B).
    """

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x)


class Tanh(nn.Module):
    """`tanh` as a module, in [-1, 1].

    References: LeCun et al. 1998, "Efficient BackProp", section 4.4.
    Peer: mpmath at 60 digits, value and derivative, float64, 1e-12 (B).
    """

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)


class GELU(nn.Module):
    """`gelu` as a module: x Phi(x), or one of its approximations.

    Args:
        approximate: "none", "tanh" or "sigmoid".

    Raises:
        ValueError: if approximate is unknown.

    References: Hendrycks & Gimpel 2016, arXiv:1606.08415, eqs. 1 and 2.
    Peer: mpmath at 60 digits, value and derivative, float64, 1e-12 relative or 1e-15 absolute (B).
    """

    def __init__(self, approximate: Approximate = "none"):
        super().__init__()
        gelu(torch.zeros(0), approximate=approximate)  # a slip is said here, and not in the middle of a model
        self.approximate: Approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(nn.Module):
    """`silu` as a module: x s(x).

    Args:
        inplace: overwrite the input; its value is kept for the gradient all the same.

    References: Elfwing, Uchibe & Doya 2018, arXiv:1702.03118, eq. 5.
    Peer: mpmath at 60 digits, value and derivative, float64, 1e-12 (B).
    """

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(x, inplace=True) if self.inplace else silu(x)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Swish(nn.Module):
    """`swish` as a module, x s(beta x), with beta fixed or learnt.

    Args:
        beta: its value, or where it starts.
        learnable: make beta a parameter, one number for the layer.
        device, dtype: of the parameter.

    Attributes:
        beta: a number, or a parameter of shape ().

    Raises:
        ValueError: if beta is not finite.

    References: Ramachandran, Zoph & Le 2017, arXiv:1710.05941, section 4.
    Peer: mpmath at 60 digits, value and derivatives by x and beta, float64, 1e-12 (B).
    """

    beta: float | nn.Parameter

    def __init__(
        self,
        beta: float = 1.0,
        *,
        learnable: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if not math.isfinite(beta):
            raise ValueError(f"beta must be finite, got {beta}")
        self.beta = nn.Parameter(torch.tensor(float(beta), device=device, dtype=dtype)) if learnable else beta

    def forward(self, x: Tensor) -> Tensor:
        return swish(x, beta=self.beta)

    def extra_repr(self) -> str:
        return f"beta={float(self.beta):g}, learnable={isinstance(self.beta, Tensor)}"
