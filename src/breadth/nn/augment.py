"""Augmentation on the fly: noise, shifts, flips and mixtures of a batch, drawn anew each time it is seen.

Noise, shifts and flips keep the label, where they are chosen so that a person would; mixup mixes it too. Each example
has a draw of its own. A generator makes a run repeatable; it may live on the CPU beside a batch on another device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from breadth.nn.losses.contract import breaks


def noise(x: Tensor, *, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Add independent N(0, std^2) to every entry.

    Under squared error, training with it is to first order a penalty on the network's slope, std^2 ||df/dx||^2.

    Args:
        x: shape (batch, ...), floating point.
        std: in units of x, >= 0.
        generator: of the numbers; None takes torch's own.

    Returns:
        Shape of x.

    Raises:
        ValueError: if std < 0.
        TypeError: if x is not floating point.

    Cost: O(size of x) time.
    References: Bishop 1995, Neural Computation 7(1), eqs. 12-16.
    Peer: moments and normality of the difference (scipy.stats.kstest) (B).
    In production: use it on measurements, with std of the size of their error.
    """
    if not x.is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}")
    if not 0 <= std < math.inf:
        raise ValueError(f"std must be >= 0 and finite, got {std}")
    return x + std * _normal(x, generator)


def shift(
    x: Tensor,
    *,
    pixels: int,
    dims: Sequence[int] = (-2, -1),
    fill: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Move each example by whole pixels, uniformly from -pixels to pixels along each of dims, `fill` coming in.

    Args:
        x: shape (batch, ...), any dtype.
        pixels: farthest move, >= 0.
        dims: axes of x that are moved along, not that of the batch.
        fill: what comes in at the edge.
        generator: of the moves; None takes torch's own.

    Returns:
        Shape of x.

    Raises:
        ValueError: if pixels < 0, or dims are no axes, that of the batch, or named twice.

    Cost: O(size of x) time for each of dims.
    References: LeCun et al. 1998, Proc. IEEE 86(11), section III.A (distortions of training digits).
    Peer: scipy.ndimage.shift of each example, exact (A).
    In production: use a few pixels on images; too many move the object out of the frame, and the label with it.
    """
    if pixels < 0:
        raise ValueError(f"pixels must be >= 0, got {pixels}")
    for dim in _axes(x, dims):
        n = x.shape[dim]
        moves = _integers(x, 2 * pixels + 1, generator) - pixels  # (batch,)
        source = torch.arange(n, device=x.device) - moves[:, None]  # (batch, n), where each place comes from
        inside = (source >= 0) & (source < n)
        shape = [s if axis in (0, dim) else 1 for axis, s in enumerate(x.shape)]
        index = source.clamp(0, max(n - 1, 0)).reshape(shape).expand_as(x)
        x = x.gather(dim, index).masked_fill(~inside.reshape(shape), fill)
    return x


def flip(x: Tensor, *, p: float = 0.5, dim: int = -1, generator: torch.Generator | None = None) -> Tensor:
    """Mirror each example along `dim` with probability p.

    Args:
        x: shape (batch, ...), any dtype.
        p: in [0, 1].
        dim: axis that is reversed, not that of the batch; the last is left and right.
        generator: of the choice; None takes torch's own.

    Returns:
        Shape of x.

    Raises:
        ValueError: if p is outside [0, 1], or dim is no axis or that of the batch.

    Cost: O(size of x) time.
    References: Krizhevsky, Sutskever & Hinton 2012, NeurIPS, section 4.1.
    Peer: numpy.flip of the examples chosen; share chosen within its noise (B).
    In production: use it on photographs; not on digits and text, whose mirror image means something else or nothing.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1], got {p}")
    (axis,) = _axes(x, [dim])
    chosen = _uniform(x, generator) < p  # (batch,)
    return torch.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x.flip(axis), x)


def mixup(
    x: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.2,
    num_classes: int | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Mix each example with another, and their labels alike: l x_i + (1 - l) x_j with l ~ Beta(alpha, alpha).

    Args:
        x: shape (batch, ...), floating point.
        target: class indices, shape (batch,), or probabilities of the classes, shape (batch, classes).
        alpha: > 0; below 1 most mixtures are nearly one of the two, and near 0 all are.
        num_classes: of class indices, which need it.
        generator: of partners and shares; None takes torch's own.

    Returns:
        x, of its shape, and probabilities for `cross_entropy`, shape (batch, classes), in the dtype of x, or of target
        if that holds probabilities.

    Raises:
        ValueError: if alpha <= 0, batches differ, or target is outside [0, num_classes).
        TypeError: if x is not floating point, or num_classes is missing, or given for probabilities.

    Cost: O(size of x) time.
    Deviations: each example has its own share l, as in the paper's equations; its code draws one a batch.
    References: Zhang et al. 2018, arXiv:1710.09412, eq. 1.
    Peer: NumPy's sum of the pairs drawn, exact; Beta by scipy.stats.kstest (B).
    In production: use alpha from 0.1 to 0.4 on images, and longer training.
    """
    if not x.is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}")
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha must be > 0 and finite, got {alpha}")
    if x.ndim == 0 or target.ndim == 0 or len(x) != len(target):
        raise ValueError(f"x and target must have one batch, got {tuple(x.shape)} and {tuple(target.shape)}")
    if target.is_floating_point() == (num_classes is not None):
        raise TypeError(f"num_classes goes with class indices and not with probabilities, got target {target.dtype}")
    if num_classes is not None:
        if target.ndim != 1 or breaks((target >= 0) & (target < num_classes)):
            raise ValueError(f"target must hold class indices in [0, {num_classes - 1}], shape (batch,), got {target}")
        target = nn.functional.one_hot(target.long(), num_classes).to(x.dtype)
    partner = _permutation(x, generator)
    share = _beta(x, alpha, generator)  # (batch,)
    return _mixed(x, partner, share), _mixed(target, partner, share)


class Augment(nn.Module):
    """A row of transforms that are applied in training, each batch anew, and left out in evaluation.

        augment = Augment(partial(shift, pixels=1), partial(noise, std=0.05), seed=0)

    Args:
        transforms: called as transform(x, generator=generator), in this order.
        seed: of their common generator, on the CPU; None takes torch's own.

    Attributes:
        generator: whose state makes a run go on where it stopped; None without a seed.

    Raises:
        TypeError: if a transform cannot be called.

    Cost: that of the transforms.
    References: LeCun et al. 1998, Proc. IEEE 86(11), section III.A; Krizhevsky, Sutskever & Hinton 2012, NeurIPS,
        section 4.1.
    Peer: the transforms called by hand from the same seed, exact; held-out accuracy on shifted digits (B).
    In production: use torchvision's or kornia's transforms for colour, scale and rotation.
    """

    def __init__(self, *transforms: Callable[..., Tensor], seed: int | None = None):
        super().__init__()
        for transform in transforms:
            if not callable(transform):
                raise TypeError(f"a transform must be callable, got {transform!r}")
        self.transforms = transforms
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            for transform in self.transforms:
                x = transform(x, generator=self.generator)
        return x


def _axes(x: Tensor, dims: Sequence[int]) -> list[int]:
    """`dims` counted from the front, none of them the batch's."""
    axes = [dim % x.ndim if -x.ndim <= dim < x.ndim else -1 for dim in dims]
    if min(axes, default=1) < 1 or len(set(axes)) < len(axes):
        raise ValueError(f"dims must be different axes behind that of the batch, got {list(dims)} for {tuple(x.shape)}")
    return axes


def _device(x: Tensor, generator: torch.Generator | None) -> torch.device:
    return x.device if generator is None else generator.device


def _normal(x: Tensor, generator: torch.Generator | None) -> Tensor:
    drawn = torch.empty(x.shape, dtype=x.dtype, device=_device(x, generator))
    return drawn.normal_(generator=generator).to(x.device)


def _uniform(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(len(x), dtype=torch.float64, device=_device(x, generator), generator=generator).to(x.device)


def _integers(x: Tensor, below: int, generator: torch.Generator | None) -> Tensor:
    return torch.randint(below, (len(x),), device=_device(x, generator), generator=generator).to(x.device)


def _permutation(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randperm(len(x), device=_device(x, generator), generator=generator).to(x.device)


def _beta(x: Tensor, alpha: float, generator: torch.Generator | None) -> Tensor:
    """Beta(alpha, alpha) as G / (G + H) of two gammas, in logarithms: for alpha near 0 both underflow."""
    shape = torch.full((2, len(x)), alpha + 1, dtype=torch.float64, device=_device(x, generator))
    log = torch._standard_gamma(shape, generator=generator).log()
    # a Gamma(alpha) is a Gamma(alpha + 1) times U^(1 / alpha)
    log += torch.rand(shape.shape, dtype=shape.dtype, device=shape.device, generator=generator).log() / alpha
    return (log[0] - log[1]).sigmoid().to(x.device)


def _mixed(x: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    share = share.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return share * x + (1 - share) * x[partner]
