"""Normalisers: over the batch, over the features of an example, by their root mean square, of queries and keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from breadth.nn.rms_norm import rms_norm
from breadth.nn.standardise import batch_norm, layer_norm

Kind = Literal["rms", "l2"]


class _BatchNorm(nn.Module):
    """What BatchNorm1d and BatchNorm2d share; they differ in the shapes that they take."""

    shapes: tuple[str, ...] = ()
    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features must be >= 1, got {num_features}")
        _check_eps(eps)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], or None for the mean of all batches, got {momentum}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name in ("weight", "bias"):
            empty = torch.empty(num_features, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty) if affine else None)
        for name in ("running_mean", "running_var"):
            empty = torch.empty(num_features, device=device, dtype=dtype)
            self.register_buffer(name, empty if track_running_stats else None)
        count = torch.zeros((), dtype=torch.long, device=device)
        self.register_buffer("num_batches_tracked", count if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches: mean 0, variance 1, none tracked."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Gains 1 and biases 0, and all batches forgotten."""
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in {shape.count(",") + 1 for shape in self.shapes} or x.shape[1] != self.num_features:
            shapes = " or ".join(self.shapes).replace("features", str(self.num_features))
            raise ValueError(f"x must have shape {shapes}, got {tuple(x.shape)}")
        of_batch = self.training or self.running_mean is None
        if of_batch and (n := x.numel() // self.num_features) < 2:
            raise ValueError(
                f"the statistics of a batch need two values or more a feature, got {n} from shape {tuple(x.shape)}; "
                "call eval() to use running ones"
            )
        share = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the mean of all batches, each counting alike
                share = 1 / float(self.num_batches_tracked)
        kept = (self.running_mean, self.running_var) if not self.training or self.track_running_stats else (None, None)
        return batch_norm(x, *kept, self.weight, self.bias, of_batch, share, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Standardise each feature over the batch: (x - mean) / sqrt(var + eps) * weight + bias.

    In training, mean and variance are those of the batch (with 1/n), and running ones follow, the variance with
    1/(n-1): running <- (1 - momentum) running + momentum batch. In evaluation the running ones are used, so that an
    example does not depend on those beside it.

    Args:
        num_features: C of inputs of shape (N, C) or (N, C, L).
        eps: added to the variance, >= 0.
        momentum: share of the newest batch in the running statistics, in [0, 1]; None is the mean over all batches.
        affine: learn weight and bias, shape (C,).
        track_running_stats: keep running statistics; without, evaluation uses the batch too.
        device, dtype: of parameters and statistics.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: named, and in a state_dict, as torch's.

    Raises:
        ValueError: if an argument is out of its range; in `forward`, if the shape does not fit, or the batch's
            statistics would be those of one value.

    Cost: O(size of x) time, torch's kernel; on a CPU it is called twice where a feature's mean is beyond 8 standard
        deviations, so that no digit is lost to it.
    Deviations: running statistics follow in training, as in torch; the paper takes them over batches after it, which
        momentum=None comes nearest to.
    References: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.
    Peer: NumPy in float64, value, gradients and running statistics, 1e-12 (B).
    In production: use it in CNNs with 16 examples or more a device; with fewer, or sequences, use `LayerNorm`.
    """

    shapes = ("(batch, features)", "(batch, features, length)")


class BatchNorm2d(_BatchNorm):
    """Standardise each channel over batch and pixels: (x - mean) / sqrt(var + eps) * weight + bias.

    As `BatchNorm1d`, with one mean and one variance a channel, so that a filter stays one filter everywhere.

    Args:
        num_features: C of inputs of shape (N, C, H, W).
        eps, momentum, affine, track_running_stats, device, dtype: as of `BatchNorm1d`.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: named, and in a state_dict, as torch's.

    Raises:
        ValueError: as `BatchNorm1d`.

    Cost: as of `BatchNorm1d`.
    Deviations: as of `BatchNorm1d`.
    References: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2, section 3.2 (convolutions).
    Peer: NumPy in float64, value, gradients and running statistics, 1e-12 (B).
    In production: use it after convolutions without bias; fold it into them for inference.
    """

    shapes = ("(batch, features, height, width)",)


class LayerNorm(nn.Module):
    """Standardise the features of each example: (x - mean) / sqrt(var + eps) * weight + bias.

    Mean and variance (with 1/n) are over the last axes of one example, so that batch size, other examples and the mode
    make no difference. It takes shift and scale of the features away and regularises nothing.

    Args:
        normalized_shape: features, or the last axes that are normalised together.
        eps: added to the variance, >= 0.
        elementwise_affine: learn weight, shape normalized_shape.
        bias: learn bias too.
        device, dtype: of the parameters.

    Attributes:
        weight, bias: named, and in a state_dict, as torch's.

    Raises:
        ValueError: if eps < 0, or an axis is empty; in `forward`, if the last axes are others.

    Cost: O(size of x) time, torch's kernel: one pass forward, one back; on a CPU it is called twice where an example's
        mean is beyond 8 standard deviations, so that no digit is lost to it.
    References: Ba, Kiros & Hinton 2016, arXiv:1607.06450, eqs. 3 and 4.
    Peer: NumPy in float64, value and gradients, 1e-12 (B).
    In production: use it in Transformers of the BERT and GPT-2 kind; newer ones have `RMSNorm`.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        _check_eps(eps)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            empty = torch.empty(self.normalized_shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gains 1 and biases 0."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        _check_last_axes(x, self.normalized_shape)
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(nn.Module):
    """Divide the features of each example by their root mean square: x / sqrt(mean(x^2) + eps) * weight.

    The mean is not taken off, and there is no bias; weight is a vector, one gain a feature.

    Args:
        normalized_shape: features, or the last axes that are normalised together.
        eps: added to the mean square, >= 0; None takes the machine epsilon of the dtype that is computed in.
        elementwise_affine: learn weight, shape normalized_shape.
        device, dtype: of weight.

    Attributes:
        weight: named, and in a state_dict, as torch's.

    Raises:
        ValueError: if eps < 0, or an axis is empty; in `forward`, if the last axes are others.

    Cost: that of `rms_norm`: on a CPU half of torch's time in training.
    Deviations: half precision is computed in float32 and rounded once.
    References: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
    Peer: mpmath at 60 digits, value and gradients, 1e-12 (B); torch.nn.RMSNorm, float64, 1e-12 (A).
    In production: use it in language models of the LLaMA kind.
    """

    weight: nn.Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        if eps is not None:
            _check_eps(eps)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        empty = torch.empty(self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", nn.Parameter(empty) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gains 1."""
        if self.weight is not None:
            nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        _check_last_axes(x, self.normalized_shape)
        last = len(self.normalized_shape)
        if last == 1:
            return rms_norm(x, self.weight, eps=self.eps)
        weight = None if self.weight is None else self.weight.flatten()
        return rms_norm(x.flatten(-last), weight, eps=self.eps).reshape(x.shape)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class QKNorm(nn.Module):
    """Queries and keys of one length, so that attention's logits are cosines times a scale, whatever the weights are.

        rms    q' = scale rms_norm(q) w_q,   k' = rms_norm(k) w_k
        l2     q' = scale q / |q|,           k' = k / |k|

    Logits are q' . k' as they stand: call attend(*norm(q, k), v, scale=1.0). Without gains both kinds are one: "rms"
    with scale s is "l2" with scale s head_dim. Under "l2" no logit passes |scale|, the inverse temperature.

    Args:
        head_dim: size of a query and of a key.
        kind: "rms" learns a gain for each of their entries, "l2" none.
        scale: its value, or where it starts; None takes the one at which logits of random directions have variance 1:
            sqrt(head_dim) for "l2", 1 / sqrt(head_dim) for "rms". Henry et al. start at log2(L^2 - L) for length L.
        learn_scale: make it a parameter; None does for "l2" and does not for "rms", as their papers.
        num_heads: a scale for each head, shape (num_heads, 1, 1); None has one for all.
        eps: added to the mean square, >= 0.
        device, dtype: of the parameters.

    Attributes:
        q_norm, k_norm: `RMSNorm`s of "rms".
        scale: a number, or a parameter.

    Raises:
        ValueError: if an argument is out of its range; in `forward`, if q or k does not end in head_dim.

    Cost: one `rms_norm` of q and one of k; with num_heads one pass over q more.
    References: Henry et al. 2020, arXiv:2010.04245, eq. 5 and section 3 ("l2"); Dehghani et al. 2023, arXiv:2302.05442,
        section 2.1 (gains, for stability); Qwen Team 2025, arXiv:2505.09388 ("rms").
    Peer: NumPy in float64 and the cosine, value and gradients, 1e-12 (B).
    In production: use "rms" where attention logits grow in training; it costs less than clipping what they become.
    """

    scale: float | nn.Parameter

    def __init__(
        self,
        head_dim: int,
        *,
        kind: Kind = "rms",
        scale: float | None = None,
        learn_scale: bool | None = None,
        num_heads: int | None = None,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(map(repr, get_args(Kind)))}, got {kind!r}")
        if scale is not None and not math.isfinite(scale):
            raise ValueError(f"scale must be finite, got {scale}")
        if num_heads is not None and num_heads < 1:
            raise ValueError(f"num_heads must be >= 1, got {num_heads}")
        self.head_dim, self.kind, self.num_heads, self.eps = head_dim, kind, num_heads, eps
        gains = kind == "rms"
        self.q_norm = RMSNorm(head_dim, eps, gains, device, dtype)
        self.k_norm = RMSNorm(head_dim, eps, gains, device, dtype)
        if scale is None:
            scale = 1 / math.sqrt(head_dim) if gains else math.sqrt(head_dim)
        learn_scale = kind == "l2" if learn_scale is None else learn_scale
        if num_heads is not None and not learn_scale:
            raise ValueError("num_heads is for scales that are learnt; pass learn_scale=True too")
        if learn_scale:
            shape = () if num_heads is None else (num_heads, 1, 1)
            self.scale = nn.Parameter(torch.full(shape, float(scale), device=device, dtype=dtype))
        else:
            self.scale = scale

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        for name, x in (("q", q), ("k", k)):
            if x.shape[-1:] != (self.head_dim,):
                raise ValueError(f"{name} must have shape (..., {self.head_dim}), got {tuple(x.shape)}")
        # |x| is sqrt(head_dim) times the root mean square; the scale rides on the gains, and costs q no pass
        length = math.sqrt(self.head_dim) if self.kind == "l2" else 1.0
        gain = self.q_norm.weight if self.q_norm.weight is not None else q.new_ones(self.head_dim)
        if self.num_heads is None:
            q = rms_norm(q, gain * (self.scale / length), eps=self.eps)
        else:
            q = rms_norm(q, gain / length, eps=self.eps) * self.scale
        k = (
            self.k_norm(k)
            if self.kind == "rms"
            else rms_norm(k, k.new_full((self.head_dim,), 1 / length), eps=self.eps)
        )
        return q, k

    def extra_repr(self) -> str:
        return f"{self.head_dim}, kind={self.kind!r}, num_heads={self.num_heads}, eps={self.eps}"


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or min(shape) < 1:
        raise ValueError(f"normalized_shape must be >= 1 in every axis, got {normalized_shape}")
    return shape


def _check_eps(eps: float) -> None:
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps must be >= 0 and finite, got {eps}")


def _check_last_axes(x: Tensor, shape: tuple[int, ...]) -> None:
    if x.shape[-len(shape) :] != shape:
        raise ValueError(f"x must end in the axes {shape}, got {tuple(x.shape)}")
