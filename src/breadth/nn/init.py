"""Initialisers: random weights whose layers keep the size of what passes through them, forward and back.

They fill a tensor in place and give it back, from torch's own generator or one that is passed; the same generator gives
the numbers that torch.nn.init gives.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

FanMode = Literal["fan_in", "fan_out"]
Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fill with U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)): variance 2 gain^2 / (fan_in + fan_out).

    It is the middle between 1 / fan_in, with which activations keep their size, and 1 / fan_out, with which gradients
    do, for functions with slope 1 at 0.

    Args:
        tensor: shape (out, in, ...), of a linear map or a convolution (whose fans count the receptive field).
        gain: factor on the standard deviation.
        generator: of the numbers; None takes torch's own.

    Returns:
        tensor.

    Raises:
        ValueError: if tensor has fewer than two axes.

    Cost: O(size of tensor) time.
    References: Glorot & Bengio 2010, AISTATS, eq. 16.
    Peer: torch.nn.init.xavier_uniform_ from the same seed, exact (A); moments and bounds of the formula (B).
    In production: use it with tanh, sigmoid gates and attention's projections.
    """
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    with torch.no_grad():
        return tensor.uniform_(-bound, bound, generator=generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fill with N(0, std^2), std = gain sqrt(2 / (fan_in + fan_out)).

    Args:
        tensor, gain, generator: as of `xavier_uniform_`.

    Returns:
        tensor.

    Raises:
        ValueError: if tensor has fewer than two axes.

    Cost: O(size of tensor) time.
    References: Glorot & Bengio 2010, AISTATS, eq. 12.
    Peer: torch.nn.init.xavier_normal_ from the same seed, exact (A); moments of the formula (B).
    In production: as `xavier_uniform_`; which of them makes no difference that was shown.
    """
    std = gain * math.sqrt(2 / sum(_fans(tensor)))
    with torch.no_grad():
        return tensor.normal_(0, std, generator=generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: FanMode = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with U(-b, b), b = gain sqrt(3 / fan): variance gain^2 / fan, which is 2 / fan for ReLU.

    ReLU drops half of the second moment of a symmetric input, and gain^2 = 2 puts it back.

    Args:
        tensor: shape (out, in, ...), of a linear map or a convolution.
        a: slope of leaky ReLU below 0; at 0 it is ReLU.
        mode: "fan_in" keeps the size of activations, "fan_out" that of gradients.
        nonlinearity: what follows the layer: gain 1 for "linear" and "sigmoid", 5/3 for "tanh", sqrt 2 for "relu",
            sqrt(2 / (1 + a^2)) for "leaky_relu", 3/4 for "selu".
        generator: of the numbers; None takes torch's own.

    Returns:
        tensor.

    Raises:
        ValueError: if tensor has fewer than two axes, or mode or nonlinearity is unknown.

    Cost: O(size of tensor) time.
    References: He et al. 2015, arXiv:1502.01852, eqs. 10 and 14, and 15 for a.
    Peer: torch.nn.init.kaiming_uniform_ from the same seed, exact (A); activations of deep ReLU networks keep their
        size (B).
    In production: use it with ReLU. torch.nn.Linear has it with a = sqrt 5, which is variance 1 / (3 fan_in).
    """
    bound = math.sqrt(3) * _he_std(tensor, a, mode, nonlinearity)
    with torch.no_grad():
        return tensor.uniform_(-bound, bound, generator=generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: FanMode = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with N(0, gain^2 / fan), which is N(0, 2 / fan) for ReLU.

    Args:
        tensor, a, mode, nonlinearity, generator: as of `kaiming_uniform_`.

    Returns:
        tensor.

    Raises:
        ValueError: as `kaiming_uniform_`.

    Cost: O(size of tensor) time.
    References: He et al. 2015, arXiv:1502.01852, eqs. 10 and 14, and 15 for a.
    Peer: torch.nn.init.kaiming_normal_ from the same seed, exact (A); activations of deep ReLU networks keep their
        size (B).
    In production: use it with ReLU; "fan_out" for the convolutions of residual networks.
    """
    std = _he_std(tensor, a, mode, nonlinearity)
    with torch.no_grad():
        return tensor.normal_(0, std, generator=generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fill with gain times a random matrix whose rows or columns, the fewer of them, are orthonormal.

    It keeps every length exactly, not only on average, so that depth changes nothing in a linear network. The Q of a
    Gaussian matrix's QR is uniform over such matrices once its columns take the signs of R's diagonal.

    Args:
        tensor: shape (out, ...), read as (out, rest).
        gain: factor, sqrt 2 for ReLU.
        generator: of the numbers; None takes torch's own.

    Returns:
        tensor.

    Raises:
        ValueError: if tensor has fewer than two axes.

    Cost: O(m n min(m, n)) time for a matrix (m, n); half precision is factored in float32.
    References: Saxe, McClelland & Ganguli 2014, arXiv:1312.6120, section 3; Mezzadri 2007, Notices AMS 54(5), section
        5 (the signs).
    Peer: torch.nn.init.orthogonal_ from the same seed, float64, 1e-12 (A); Q^T Q = gain^2 I, and moments of the uniform
        distribution (B).
    In production: use it in recurrent networks and in the small networks of reinforcement learning.
    """
    if tensor.ndim < 2:
        raise ValueError(f"tensor must have two axes or more, got shape {tuple(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    dtype = tensor.dtype if tensor.dtype.itemsize >= 4 else torch.float32
    rows = len(tensor)
    flat = torch.empty(rows, tensor.numel() // rows, dtype=dtype, device=tensor.device)
    flat.normal_(0, 1, generator=generator)
    tall = rows >= flat.shape[1]
    q, r = torch.linalg.qr(flat if tall else flat.T)
    q = q * r.diagonal().sign()
    with torch.no_grad():
        return tensor.copy_(gain * (q if tall else q.T).reshape(tensor.shape))


def scaled_residual_(
    tensor: Tensor, n_residuals: int, std: float = 0.02, generator: torch.Generator | None = None
) -> Tensor:
    """Fill with N(0, std^2 / n_residuals), for the last matrix of each branch that is added to a residual stream.

    A sum of n independent branches of variance v has variance n v; with this it has v, however deep the network.

    Args:
        tensor: any shape; the output projection of attention or feed-forward layer.
        n_residuals: branches that are added to the stream, >= 1: two for each Transformer block.
        std: of the other weights, >= 0.
        generator: of the numbers; None takes torch's own.

    Returns:
        tensor.

    Raises:
        ValueError: if n_residuals < 1 or std < 0.

    Cost: O(size of tensor) time.
    References: Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3; Zhang, Dauphin
        & Ma 2019, arXiv:1901.09321, section 3 (Fixup, a stronger scaling that does without normalisers).
    Peer: torch.nn.init.normal_ from the same seed, exact (A); size of a residual stream against depth (B).
    In production: use it with pre-norm Transformers, as GPT-2 does.
    """
    if n_residuals < 1:
        raise ValueError(f"n_residuals must be >= 1, got {n_residuals}")
    if not 0 <= std < math.inf:
        raise ValueError(f"std must be >= 0 and finite, got {std}")
    with torch.no_grad():
        return tensor.normal_(0, std / math.sqrt(n_residuals), generator=generator)


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Inputs of an output, and outputs of an input; a convolution has those of each place in its kernel."""
    if tensor.ndim < 2:
        raise ValueError(f"tensor must have shape (out, in, ...) to have fans, got {tuple(tensor.shape)}")
    if 0 in tensor.shape:
        raise ValueError(f"tensor must not be empty, got shape {tuple(tensor.shape)}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _he_std(tensor: Tensor, a: float, mode: FanMode, nonlinearity: Nonlinearity) -> float:
    if mode not in get_args(FanMode):
        raise ValueError(f"mode must be one of {', '.join(map(repr, get_args(FanMode)))}, got {mode!r}")
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    gains["leaky_relu"] = math.sqrt(2 / (1 + a**2))
    if nonlinearity not in gains:
        known = ", ".join(map(repr, get_args(Nonlinearity)))
        raise ValueError(f"nonlinearity must be one of {known}, got {nonlinearity!r}")
    fan_in, fan_out = _fans(tensor)
    return gains[nonlinearity] / math.sqrt(fan_in if mode == "fan_in" else fan_out)
