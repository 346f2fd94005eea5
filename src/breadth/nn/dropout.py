"""Dropout, of single entries and of whole attention heads."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

Rescale = Literal["expected", "kept"]


def dropout(x: Tensor, p: float = 0.5, *, training: bool = True, generator: torch.Generator | None = None) -> Tensor:
    """Inverted dropout: each entry is 0 with probability p, and divided by 1 - p otherwise.

    The mean over masks is x, so that evaluation is the identity; the variance is x^2 p / (1 - p).

    Args:
        x: any shape, floating point.
        p: in [0, 1]; 1 makes everything 0.
        training: whether to drop; False gives x itself.
        generator: of the mask; None takes torch's own, and its fused kernel where the device has one.

    Returns:
        Shape of x.

    Raises:
        ValueError: if p is outside [0, 1].

    Cost: O(size of x) time, one mask of that size kept for the gradient.
    References: Srivastava et al. 2014, JMLR 15, sections 4 and 10 (scaling in training).
    Peer: x times a mask drawn anew from the same seed in NumPy's arithmetic, value and gradient, exact; mean and
        variance within their noise (B).
    In production: use `Dropout`; large models trained for one epoch do without.
    """
    _check_probability(p)
    if not training or p == 0:
        return x
    if generator is None:
        return nn.functional.dropout(x, p, training=True)
    return x * _scaled_mask(x, tuple(x.shape), p, generator)


def head_dropout(
    x: Tensor,
    p: float = 0.1,
    *,
    dim: int = 1,
    rescale: Rescale = "expected",
    training: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Drop whole heads: every entry of a head is 0 together, with probability p, for each example by itself.

        expected   heads that stay are divided by 1 - p: the mean over masks is x
        kept       they are multiplied by heads / heads that stayed, so that each example keeps its total weight

    Args:
        x: outputs or maps of the heads, axis 0 the batch: shape (batch, heads, length, head_dim), say.
        p: in [0, 1].
        dim: axis of the heads, not 0.
        rescale: "expected" or "kept"; where no head stays, both give 0.
        training: whether to drop; False gives x itself.
        generator: of the mask; None takes torch's own.

    Returns:
        Shape of x.

    Raises:
        ValueError: if p is outside [0, 1], dim is no axis or that of the batch, or rescale is unknown.

    Cost: O(size of x) time, one number a head kept for the gradient.
    Deviations: the paper rescales as "kept"; then a head's mean is 1 - p^heads of it.
    References: Zhou et al. 2020, arXiv:2004.13342, section 3.1 (DropHead).
    Peer: torch's dropout2d, whose channels are the heads, from the same seed, exact (A); mean over masks (B).
    In production: use p from 0.1 to 0.2 in deep Transformers on little data; the paper lets it fall and rise again.
    """
    _check_probability(p)
    if rescale not in get_args(Rescale):
        raise ValueError(f"rescale must be one of {', '.join(map(repr, get_args(Rescale)))}, got {rescale!r}")
    if not -x.ndim < dim < x.ndim or dim % x.ndim == 0:
        raise ValueError(f"dim must be an axis of x behind that of the batch, got {dim} for shape {tuple(x.shape)}")
    if not training or p == 0:
        return x
    heads = x.shape[dim]
    shape = [n if axis in (0, dim % x.ndim) else 1 for axis, n in enumerate(x.shape)]  # (batch, heads, 1, 1)
    if rescale == "expected":
        return x * _scaled_mask(x, tuple(shape), p, generator)
    stays = x.new_empty(shape).bernoulli_(1 - p, generator=generator)
    return x * (stays * (heads / stays.sum(dim, keepdim=True).clamp(min=1)))


class Dropout(nn.Module):
    """`dropout` in training, the identity in evaluation.

    Args:
        p: share of entries dropped, in [0, 1].
        generator: of the masks; None takes torch's own. It is not part of a state_dict.

    Raises:
        ValueError: if p is outside [0, 1].

    Cost: that of `dropout`; none in evaluation.
    References: Srivastava et al. 2014, JMLR 15, sections 4 and 10.
    Peer: as `dropout` (B).
    In production: use p from 0.1 to 0.5; call `model.eval()` before evaluation.
    """

    def __init__(self, p: float = 0.5, *, generator: torch.Generator | None = None):
        super().__init__()
        _check_probability(p)
        self.p, self.generator = p, generator

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, training=self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class HeadDropout(nn.Module):
    """`head_dropout` in training, the identity in evaluation.

    Args:
        p: probability with which a head is dropped, in [0, 1].
        dim: axis of the heads.
        rescale: "expected" or "kept".
        generator: of the masks; None takes torch's own.

    Raises:
        ValueError: if p is outside [0, 1], or rescale is unknown.

    Cost: that of `head_dropout`; none in evaluation.
    References: Zhou et al. 2020, arXiv:2004.13342, section 3.1 (DropHead).
    Peer: as `head_dropout` (A).
    In production: put it between attention and the output projection.
    """

    def __init__(
        self,
        p: float = 0.1,
        *,
        dim: int = 1,
        rescale: Rescale = "expected",
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        head_dropout(torch.zeros((1,) * (abs(dim) + 1)), p, dim=dim, rescale=rescale, training=False)  # checks
        self.p, self.dim, self.generator = p, dim, generator
        self.rescale: Rescale = rescale

    def forward(self, x: Tensor) -> Tensor:
        return head_dropout(
            x, self.p, dim=self.dim, rescale=self.rescale, training=self.training, generator=self.generator
        )

    def extra_repr(self) -> str:
        return f"p={self.p}, dim={self.dim}, rescale={self.rescale!r}"


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1], got {p}")


def _scaled_mask(x: Tensor, shape: tuple[int, ...], p: float, generator: torch.Generator | None) -> Tensor:
    """1 / (1 - p) where an entry stays, 0 where it does not."""
    mask = x.new_empty(shape).bernoulli_(1 - p, generator=generator)
    return mask.div_(1 - p) if p < 1 else mask
