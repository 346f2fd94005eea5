"""What a network's output sees of its input, and what it does when the input is moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from breadth.nn.probes.hooks import floating, unchanged

Transform = Callable[[Tensor], Tensor]

_SPATIAL = {  # axes of space: modules with a kernel
    1: (nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d),
    2: (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d),
    3: (nn.Conv3d, nn.MaxPool3d, nn.AvgPool3d),
}
_POINTWISE = (
    *(nn.Identity, nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU),
    *(nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Softplus, nn.Mish),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
)


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What one entry of a layer's output sees of the input, an entry an axis of space.

    Attributes:
        size: number of input positions from the first to the last that it depends on.
        jump: distance in the input between neighbours in the output: the product of strides.
        start: input position of the centre of what the first output entry sees; negative within the padding.
    """

    size: tuple[int, ...]
    jump: tuple[int, ...]
    start: tuple[float, ...]


def receptive_field(
    layers: nn.Module | Sequence[nn.Module], *, pointwise: tuple[type[nn.Module], ...] = ()
) -> ReceptiveField:
    """Receptive field of a stack of convolutions and pools, by recursion over its layers.

        size <- size + d (k - 1) jump,   start <- start + (d (k - 1) / 2 - p) jump,   jump <- jump s

    for kernel k, stride s, dilation d and padding p, from size = jump = 1 and start = 0.

    Args:
        layers: a Sequential (nested ones are followed), or modules in the order in which they are applied.
        pointwise: further classes of modules that mix no positions.

    Returns:
        The field of the last layer's output.

    Raises:
        ValueError: if a layer is neither a convolution, a pool nor known to act on each position alone; or layers
            disagree on the number of axes, or there is none with a kernel.

    Cost: O(layers); nothing is evaluated.
    References: Le & Borji 2017, arXiv:1705.07049, section 2; Araujo, Norris & Sim 2019, Distill, eqs. 1-6.
    Peer: the support of the measured gradient, exactly (B).
    In production: `effective_receptive_field` measures any model, branches and attention too.
    """
    size: list[int] = []
    jump: list[int] = []
    start: list[float] = []
    for layer in _flat(layers):
        if isinstance(layer, (*_POINTWISE, *pointwise)):
            continue
        axes = next((axes for axes, kinds in _SPATIAL.items() if isinstance(layer, kinds)), None)
        if axes is None:
            raise ValueError(
                f"layers holds a {type(layer).__name__}, whose receptive field is not known; name its class in "
                "pointwise if it mixes no positions, else measure with effective_receptive_field"
            )
        if size and len(size) != axes:
            raise ValueError(f"layers mixes {len(size)} and {axes} axes of space, at {type(layer).__name__}")
        size, jump, start = size or [1] * axes, jump or [1] * axes, start or [0.0] * axes
        for i in range(axes):
            k, s = _along(layer.kernel_size, i), _along(layer.stride, i)
            reach = _along(getattr(layer, "dilation", 1), i) * (k - 1)
            size[i] += reach * jump[i]
            start[i] += (reach / 2 - _padding(layer, i, reach)) * jump[i]
            jump[i] *= s
    if not size:
        raise ValueError("layers must hold at least one convolution or pool")
    return ReceptiveField(tuple(size), tuple(jump), tuple(start))


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveField:
    """How strongly one output position depends on each input position (result of `effective_receptive_field`).

    Attributes:
        energy: mean over examples of the squared derivatives, summed over channels of input and output; shape: the
            input's axes of space.
    """

    energy: Tensor

    @property
    def support(self) -> tuple[int, ...]:
        """Number of positions between the first and the last with any influence, an entry an axis; 0 without any."""
        sizes = []
        for axis in range(self.energy.ndim):
            there = self._along(axis).nonzero()
            sizes.append(int(there.max() - there.min()) + 1 if len(there) else 0)
        return tuple(sizes)

    @property
    def spread(self) -> tuple[float, ...]:
        """Standard deviation of the position, weighted by energy, an entry an axis; NaN without any influence."""
        spreads = []
        for axis in range(self.energy.ndim):
            weight = self._along(axis)
            weight = weight / weight.sum()
            at = torch.arange(len(weight), dtype=torch.float64)
            spreads.append((weight @ (at - weight @ at).square()).sqrt().item())
        return tuple(spreads)

    def _along(self, axis: int) -> Tensor:
        return (
            self.energy.sum([i for i in range(self.energy.ndim) if i != axis]) if self.energy.ndim > 1 else self.energy
        )


def effective_receptive_field(
    model: Callable[[Tensor], Any], inputs: Tensor, *, at: Sequence[int] | None = None
) -> EffectiveField:
    """Measure what one output position sees, by its derivatives: sum over channels of (dy_c[at] / dx)^2.

    The theoretical field is the most that it can see; the weight of a deep stack is a bell in its middle, whose width
    grows as the root of the number of layers where the field grows as the number itself.

    Args:
        model: from (batch, channels, *space) to the like, with examples independent of each other (evaluation mode).
        inputs: shape (batch, channels, *space), with batch >= 1; what a unit sees depends on them through ReLU and
            pools.
        at: the output position; None takes the middle.

    Returns:
        Energy by input position, with its support and spread.

    Raises:
        ValueError: if inputs or the output are no batch of channels with at least one axis of space, or `at` lies
            outside the output.

    Cost: a backward pass for each channel of the output.
    References: Luo et al. 2016, arXiv:1701.04128, sections 2 and 3.
    Peer: closed forms: powers of the kernel's polynomial, float64, 1e-12 (B).
    In production: an attribution map (captum) for one example; this for an architecture.
    """
    if inputs.ndim < 3 or not inputs.numel():
        raise ValueError(f"inputs must be (batch >= 1, channels, *space), got shape {tuple(inputs.shape)}")
    x = inputs.detach().clone().requires_grad_()
    energy = torch.zeros(x.shape[2:], dtype=torch.float64)
    with torch.enable_grad(), unchanged(model) if isinstance(model, nn.Module) else nullcontext():
        output = _tensor(model(x))
        if output.ndim < 3 or not output.numel():
            raise ValueError(f"model must give (batch, channels, *space), got shape {tuple(output.shape)}")
        space = tuple(output.shape[2:])
        place = tuple(n // 2 for n in space) if at is None else tuple(at)
        if len(place) != len(space) or not all(-n <= i < n for i, n in zip(place, space, strict=True)):
            raise ValueError(f"at must be a position in the output's space {space}, got {place}")
        for channel in output[(slice(None), slice(None), *place)].sum(0):  # each example sees its own input alone
            if channel.requires_grad:
                (slope,) = torch.autograd.grad(channel, x, retain_graph=True, materialize_grads=True)
                energy += slope.double().square().sum((0, 1)).cpu()
    return EffectiveField(energy / len(x))


def equivariance_error(
    function: Callable[[Tensor], Any],
    x: Tensor,
    transform: Transform,
    *,
    on_output: Transform | None = None,
    region: Transform | None = None,
) -> float:
    """Relative distance of f(T x) from T' f(x): 0 where f is equivariant, ||f(T x) - T' f(x)|| / ||T' f(x)||.

    Convolution is equivariant to translation and not invariant: its output moves along. Invariance (T' = identity)
    comes with pooling over all positions, and is approximate with strides. Self-attention without positions is
    equivariant to permutations; positions and causal masks end that.

    Args:
        function: module or function; run once on x and once on T x.
        x: input, any shape.
        transform: T, such as `translation(1, dims=-1)`, `flip(-1)` or `permutation(order, dim=1)`.
        on_output: T' on the output; None means T itself. With stride 2 a shift by 2 comes out as a shift by 1.
        region: part of the output that is compared, such as `interior(2, dims=-1)` where padding touches the borders.

    Returns:
        The relative error, in Euclidean norm; 0 if both sides are 0, NaN if either holds a NaN.

    Raises:
        ValueError: if the two sides differ in shape, or nothing is left to compare.

    Cost: two evaluations.
    References: Cohen & Welling 2016, arXiv:1602.07576, eq. 9; Goodfellow, Bengio & Courville 2016, Deep Learning,
        section 9.2; Zhang 2019, arXiv:1904.11486 (strides).
    Peer: convolutions by hand and disjoint impulses (error sqrt(2) against invariance), float64, 1e-12 (B).
    In production: a unit test of any layer that claims a symmetry.
    """
    region = region or (lambda t: t)
    with torch.no_grad():
        moved = region(_tensor(function(transform(x))))
        kept = region((on_output or transform)(_tensor(function(x))))
    if moved.shape != kept.shape:
        raise ValueError(f"f(T x) has shape {tuple(moved.shape)} and T' f(x) {tuple(kept.shape)}; set on_output")
    if not kept.numel():
        raise ValueError("nothing is left to compare; x or region is empty")
    distance, size = (moved.double() - kept.double()).norm().item(), kept.double().norm().item()
    return distance / size if size else (0.0 if distance == 0 else math.nan if math.isnan(distance) else math.inf)


def invariance_error(
    function: Callable[[Tensor], Any], x: Tensor, transform: Transform, *, region: Transform | None = None
) -> float:
    """Relative distance of f(T x) from f(x): `equivariance_error` with the identity on the output.

    Args:
        function, x, transform, region: as of `equivariance_error`.

    Returns:
        The relative error; 0 where f does not notice T.

    Raises:
        ValueError: as of `equivariance_error`.

    Cost: two evaluations.
    References: Goodfellow, Bengio & Courville 2016, Deep Learning, section 9.3; Zhang 2019, arXiv:1904.11486.
    Peer: as `equivariance_error` (B).
    """
    return equivariance_error(function, x, transform, on_output=lambda t: t, region=region)


def translation(shift: int | tuple[int, ...], *, dims: int | tuple[int, ...]) -> Transform:
    """Shift along the given axes, around the end."""
    return lambda x: torch.roll(x, shift, dims)


def permutation(order: Sequence[int], *, dim: int) -> Transform:
    """Entry i of the axis becomes entry order[i] of the old one."""
    return lambda x: x.index_select(dim, torch.as_tensor(order, device=x.device))


def flip(*dims: int) -> Transform:
    """Mirror the given axes."""
    return lambda x: x.flip(dims)


def interior(margin: int, *, dims: int | tuple[int, ...]) -> Transform:
    """Leave out `margin` positions at both ends of the given axes."""

    def crop(x: Tensor) -> Tensor:
        for dim in (dims,) if isinstance(dims, int) else dims:
            x = x.narrow(dim, margin, max(x.shape[dim] - 2 * margin, 0))
        return x

    return crop


def _flat(layers: nn.Module | Sequence[nn.Module]) -> Iterator[nn.Module]:
    if isinstance(layers, nn.Module) and not isinstance(layers, nn.Sequential):
        yield layers
        return
    for layer in layers:
        yield from _flat(layer)


def _along(value: int | tuple[int, ...], axis: int) -> int:
    return value if isinstance(value, int) else value[axis if len(value) > 1 else 0]


def _padding(layer: nn.Module, axis: int, reach: int) -> int:
    padding: Any = layer.padding
    return {"valid": 0, "same": reach // 2}[padding] if isinstance(padding, str) else _along(padding, axis)


def _tensor(output: Any) -> Tensor:
    found = next(floating(output), None)
    if found is None:
        raise TypeError(f"the function gave {type(output).__name__} without a floating-point tensor in it")
    return found
