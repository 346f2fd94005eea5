"""What single units do on data: which never fire, which are saturated, and how many directions a layer uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from breadth.nn.probes.hooks import Layers, select, unchanged, watching

BOUNDS: Mapping[type[nn.Module], tuple[float, float]] = {nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0)}


@dataclass(frozen=True, slots=True, eq=False)
class UnitActivity:
    """What each unit of one layer did on all data; shares are of examples and places together.

    Attributes:
        fires: share at which the unit's output is > 0, shape (units,).
        low, high: smallest and largest output, shape (units,); NaN if one was NaN.
        saturated: share at which the output is within the margin of a bound, shape (units,); None without bounds.
        undefined: share at which the output is NaN or infinite, shape (units,).
        seen: number of examples times places.
    """

    fires: Tensor
    low: Tensor
    high: Tensor
    saturated: Tensor | None
    undefined: Tensor
    seen: int

    @property
    def dead(self) -> Tensor:
        """Units that never fire: behind ReLU nothing comes back to them on these data. Bool, shape (units,)."""
        return (self.fires == 0) & (self.undefined == 0)

    @property
    def dead_share(self) -> float:
        return self.dead.double().mean().item()


def unit_activity(
    model: nn.Module,
    inputs: Tensor | Iterable[Tensor],
    *,
    layers: Layers = nn.ReLU,
    dim: int | None = None,
    bounds: tuple[float, float] | None = None,
    margin: float = 0.05,
) -> dict[str, UnitActivity]:
    """Count, for each unit of each layer, how often it fires and how often it is saturated.

    A ReLU unit that is dead on all training data has a zero gradient there and stays dead, unless the layers below it
    move. A unit of a bounded activation is saturated where its slope is about 0: for tanh at distance m from a bound
    the slope is m (2 - m), for the logistic sigmoid m (1 - m).

    Args:
        model: in the mode (training or not) that it is in; its buffers stay as they are.
        inputs: one batch, or several.
        layers: names of submodules, or classes of them, whose outputs are looked at: those behind the activation. A
            module that is called several times, or shared, is one layer.
        dim: axis of the units in an output; None takes axis 1 of outputs with four or more axes (channels of images),
            else the last. Of a one-dimensional output each entry is an example of a single unit.
        bounds: of the activation; None knows them for torch's Sigmoid and Tanh alone.
        margin: share of high - low within which an output is saturated, in (0, 0.5).

    Returns:
        Activity by name of the layer.

    Raises:
        ValueError: if inputs is empty, layers picks nothing or is not called, margin or bounds are out of range, or a
            layer's number of units changes.

    Cost: a forward pass a batch, and a few passes over each watched output; memory O(units).
    References: Glorot, Bordes & Bengio 2011, AISTATS, section 3 (units at zero); Lu et al. 2020, arXiv:1903.06733
        (dying ReLU); Glorot & Bengio 2010, AISTATS, section 3 (saturation).
    Peer: planted dead and saturated units, counts by NumPy, exactly (B).
    In production: log `dead_share` now and then; a rise after a jump of the loss says that the learning rate was high.
    """
    if bounds is not None and not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be (low, high) with low < high, got {bounds}")
    if not 0 < margin < 0.5:
        raise ValueError(f"margin must be in (0, 0.5), got {margin}; it is a share of the distance between the bounds")
    chosen = select(model, layers)
    tallies: dict[str, _Tally] = {}

    def see(name: str, output: Tensor) -> None:
        rows = _by_unit(output.detach(), dim)
        limits = bounds or next((b for kind, b in BOUNDS.items() if isinstance(chosen[name], kind)), None)
        tally = tallies.setdefault(name, _Tally(rows.shape[1], limits, margin))
        if rows.shape[1] != len(tally.fires):
            raise ValueError(f"layer {name!r} gave {rows.shape[1]} units after {len(tally.fires)}; set dim")
        tally.add(rows)

    with torch.no_grad(), unchanged(model), watching(chosen, see):
        for batch in [inputs] if isinstance(inputs, Tensor) else inputs:
            model(batch)
    if not any(tally.seen for tally in tallies.values()):
        raise ValueError(f"inputs held no example, or none of the layers {list(chosen)} was called")
    return {name: tally.result() for name, tally in tallies.items()}


def effective_rank(x: Tensor, *, center: bool = False) -> float:
    """Number of directions that a matrix uses, as the exponential of an entropy: exp(-sum p_i log p_i).

    p_i = s_i / sum_j s_j over the singular values s. It is r for r equal ones, and falls towards 1 as one outgrows the
    others, where the algebraic rank is still r.

    Args:
        x: shape (..., features); leading axes are rows together.
        center: subtract each feature's mean first, as for representations, whose mean is a direction of its own.

    Returns:
        In [1, min(rows, features)]; 0 for a matrix of zeros.

    Raises:
        ValueError: if x has fewer than two axes, no element, or one that is not finite.

    Cost: a singular value decomposition without vectors, in float64.
    References: Roy & Vetterli 2007, EUSIPCO, definition 1.
    Peer: closed forms for equal and geometric singular values, float64, 1e-12 (B).
    In production: falling ranks of a layer's outputs warn of collapse, in self-supervised and reinforcement learning.
    """
    s = _singular_values(x, center)
    p = s / s.sum()
    return torch.exp(torch.special.entr(p).sum()).item() if s.sum() > 0 else 0.0


def stable_rank(x: Tensor, *, center: bool = False) -> float:
    """Squared Frobenius norm over squared spectral norm: sum s_i^2 / max s_i^2.

    Args:
        x, center: as of `effective_rank`.

    Returns:
        In [1, rank]; 0 for a matrix of zeros. Unlike the rank, it moves little when the matrix does.

    Raises:
        ValueError: as of `effective_rank`.

    Cost: a singular value decomposition without vectors, in float64.
    References: Rudelson & Vershynin 2007, J. ACM 54(4), section 1.
    Peer: closed forms for equal and geometric singular values, float64, 1e-12 (B).
    """
    s = _singular_values(x, center)
    return (s / s[0]).square().sum().item() if s[0] > 0 else 0.0


def rank_by_layer(
    model: nn.Module, inputs: Tensor, *, layers: Layers, dim: int | None = None, center: bool = True
) -> dict[str, float]:
    """Effective rank of each layer's representations of a batch, in the order of their calls.

    Args:
        model, layers, dim: as of `unit_activity`; a module called several times counts all its outputs together.
        inputs: one batch.
        center: as of `effective_rank`.

    Returns:
        Effective rank by name of the layer.

    Raises:
        ValueError: as `unit_activity` and `effective_rank` say.

    Cost: a forward pass, and a singular value decomposition a layer.
    References: Roy & Vetterli 2007, EUSIPCO, definition 1.
    Peer: projections of planted rank between random layers, exactly (B).
    """
    seen: dict[str, list[Tensor]] = {}
    chosen = select(model, layers)

    def see(name: str, output: Tensor) -> None:
        seen.setdefault(name, []).append(_by_unit(output.clone(), dim))  # a later layer may overwrite it

    with torch.no_grad(), unchanged(model), watching(chosen, see):
        model(inputs)
    if not seen:
        raise ValueError(f"none of the layers {list(chosen)} was called")
    return {name: effective_rank(torch.cat(rows), center=center) for name, rows in seen.items()}


def _by_unit(output: Tensor, dim: int | None) -> Tensor:
    """(examples and places, units)."""
    if output.ndim < 2:
        return output.reshape(-1, 1)
    axis = dim if dim is not None else 1 if output.ndim >= 4 else -1
    moved = output.movedim(axis, -1)
    return moved.reshape(-1, moved.shape[-1]) if moved.numel() else moved.new_empty(0, moved.shape[-1])


def _singular_values(x: Tensor, center: bool) -> Tensor:
    if x.ndim < 2 or not x.numel():
        raise ValueError(f"x must be a matrix with at least one element, got shape {tuple(x.shape)}")
    x = x.detach().double().reshape(-1, x.shape[-1])
    if not x.isfinite().all():
        raise ValueError("x must be finite; it holds NaN or infinity")
    return torch.linalg.svdvals(x - x.mean(0) if center else x)


class _Tally:
    def __init__(self, units: int, bounds: tuple[float, float] | None, margin: float):
        self.fires, self.undefined, self.near = (torch.zeros(units, dtype=torch.int64) for _ in range(3))
        self.low, self.high = torch.full((units,), torch.inf).double(), torch.full((units,), -torch.inf).double()
        self.bounds, self.margin, self.seen = bounds, margin, 0

    def add(self, rows: Tensor) -> None:
        if not len(rows):
            return
        self.seen += len(rows)
        self.fires += (rows > 0).sum(0).cpu()
        self.undefined += (~rows.isfinite()).sum(0).cpu()
        self.low = torch.minimum(self.low, rows.amin(0).double().cpu())
        self.high = torch.maximum(self.high, rows.amax(0).double().cpu())
        if self.bounds is not None:
            low, high = self.bounds
            reach = self.margin * (high - low)
            self.near += ((rows <= low + reach) | (rows >= high - reach)).sum(0).cpu()

    def result(self) -> UnitActivity:
        shares = [count.double() / self.seen for count in (self.fires, self.near, self.undefined)]
        near = shares[1] if self.bounds is not None else None
        return UnitActivity(shares[0], self.low, self.high, near, shares[2], self.seen)
