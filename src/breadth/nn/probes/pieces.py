"""Linear pieces of ReLU networks along a line, and what depth and width make of the same number of parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from breadth.nn.optim import Adam


def linear_pieces(net: nn.Module, start: Tensor, end: Tensor, *, exact: bool = True) -> int:
    """Count the linear pieces of a ReLU network along a line: its kinks strictly between two inputs, and one.

    Layer by layer, between neighbouring knots every unit is linear in t, so that it changes sign at most once there, at
    a root that is computed and becomes a knot. In the end knots go at which no output changes its slope: kinks that
    later layers hide or cancel do not count.

    On a line a layer of w units multiplies the pieces by at most w + 1. One wide layer thus has w + 1 at most; k layers
    of two units reach 2^k (`sawtooth`).

    Args:
        net: a Sequential of Linear and ReLU layers (nested ones are followed), or a single one.
        start, end: inputs, shape (n_inputs,), different.
        exact: rational arithmetic on the weights as they are stored, so that no rounding makes or hides a kink. Else
            float64, in which kinks closer than 1e-12 of the line, or weaker than 1e-9 of the steepest slope, merge.

    Returns:
        Number of pieces, >= 1.

    Raises:
        ValueError: if net holds another kind of layer, shapes do not fit, weights are not finite, or start equals end.

    Cost: O(pieces sum of w_i w_(i+1)) operations; a rational one takes some hundred times a float's.
    References: Montúfar et al. 2014, arXiv:1402.1869, sections 2 and 3; Telgarsky 2016, arXiv:1602.04485, section 3.
    Peer: closed forms (sawtooth 2^k, w + 1 for separate kinks), and slopes by autograd on a dense line (B).
    """
    return len(kinks(net, start, end, exact=exact)) + 1


def kinks(net: nn.Module, start: Tensor, end: Tensor, *, exact: bool = True) -> tuple[float, ...]:
    """Positions t in (0, 1) at which a ReLU network changes its slope on the way from `start` to `end`.

    Args:
        net, start, end, exact: as of `linear_pieces`.

    Returns:
        Ascending positions.

    Raises:
        ValueError: as of `linear_pieces`.

    Cost: as of `linear_pieces`.
    References: Montúfar et al. 2014, arXiv:1402.1869, sections 2 and 3.
    Peer: as `linear_pieces` (B).
    """
    if start.ndim != 1 or start.shape != end.shape or torch.equal(start, end):
        raise ValueError(f"start and end must be different vectors, got shapes {start.shape} and {end.shape}")
    number = np.vectorize(Fraction, otypes=[object]) if exact else lambda a: a
    t = number(np.array([0.0, 1.0]))  # (knots,)
    H = number(torch.stack([start, end], dim=1).detach().double().numpy())  # values of all units, (units, knots)
    for layer in _layers(net):
        if isinstance(layer, nn.Linear):
            weight, bias = _stored(layer)
            if weight.shape[1] != len(H):
                raise ValueError(f"a Linear layer takes {weight.shape[1]} inputs after {len(H)} units")
            H = number(weight) @ H + number(bias)[:, None]
        else:
            t, H = _with_roots(t, H, merge=0 if exact else 1e-12)
            H = np.where(H > 0, H, 0 * H)
    slopes = np.diff(H, axis=1) / np.diff(t)  # (outputs, pieces)
    change = np.abs(np.diff(slopes, axis=1)).max(0, initial=0)
    steepest = np.abs(slopes).max(initial=0)
    return tuple(float(at) for at in t[1:-1][change > (0 if exact else 1e-9) * steepest])


def sawtooth(depth: int) -> nn.Sequential:
    """Telgarsky's network: the tent map 2 min(x, 1 - x) applied `depth` times, with two units a layer.

    Args:
        depth: number of hidden layers, >= 1.

    Returns:
        From shape (n, 1) to (n, 1), float64; on [0, 1] it has 2^depth pieces of slope +-2^depth between 0 and 1, where
        one layer needs 2^depth - 1 kinks.

    Raises:
        ValueError: if depth < 1.

    References: Telgarsky 2016, arXiv:1602.04485, lemma 3.10 and theorem 1.1.
    Peer: the triangle wave's closed form, exactly (B).
    """
    if depth < 1:
        raise ValueError(f"depth must be >= 1, got {depth}")
    layers: list[nn.Module] = []
    fold = torch.tensor([[2.0, -4.0]], dtype=torch.float64)  # of relu(x) and relu(x - 1/2)
    for i in range(depth):
        weight = torch.ones(2, 1, dtype=torch.float64) @ (fold if i else fold.new_ones(1, 1))
        layers += [_linear(weight, torch.tensor([0.0, -0.5], dtype=torch.float64)), nn.ReLU()]
    return nn.Sequential(*layers, _linear(fold, torch.zeros(1, dtype=torch.float64)))


@dataclass(frozen=True, slots=True)
class Shape:
    """A plain network: `depth` hidden layers of `width` units."""

    depth: int
    width: int
    parameters: int


def shapes_of_budget(
    parameters: int, depths: Sequence[int], *, n_inputs: int = 1, n_outputs: int = 1
) -> tuple[Shape, ...]:
    """The widest plain network of each depth that has no more than a number of parameters, biases included.

    Args:
        parameters: the budget.
        depths: numbers of hidden layers, each >= 1.
        n_inputs, n_outputs: >= 1.

    Returns:
        A shape a depth, with the parameters that it really has.

    Raises:
        ValueError: if a depth is below 1, or the budget does not pay for one unit a layer.

    References: counting; w (n_inputs + 1) + (depth - 1) w (w + 1) + n_outputs (w + 1).
    Peer: parameters counted in torch modules, exactly (B).
    """
    shapes = []
    for depth in depths:
        if depth < 1:
            raise ValueError(f"depths must be >= 1, got {depth}")
        # (depth - 1) w^2 + (n_inputs + depth + n_outputs) w + n_outputs <= parameters
        a, b, c = depth - 1, n_inputs + depth + n_outputs, n_outputs - parameters
        width = -c // b if a == 0 else (math.isqrt(max(b * b - 4 * a * c, 0)) - b) // (2 * a)
        if width < 1:
            raise ValueError(f"parameters must be at least {a + b + n_outputs} for depth {depth}, got {parameters}")
        shapes.append(Shape(depth, width, (a * width + b) * width + n_outputs))
    return tuple(shapes)


@dataclass(frozen=True, slots=True)
class BudgetRun:
    """One training of one shape (an entry of `depth_against_width`).

    Attributes:
        shape: of the network.
        seed: of its first weights.
        pieces_before, pieces_after: linear pieces between low and high, before and after training.
        losses: mean square error after 0, 1, 2, 4, ... steps, and after the last.
    """

    shape: Shape
    seed: int
    pieces_before: int
    pieces_after: int
    losses: tuple[float, ...]


def depth_against_width(
    target: Callable[[Tensor], Tensor],
    *,
    parameters: int = 400,
    depths: Sequence[int] = (1, 2, 4, 8),
    steps: int = 1000,
    lr: float = 5e-3,
    seeds: Sequence[int] = (0, 1, 2),
    low: float = 0.0,
    high: float = 1.0,
    points: int = 256,
) -> tuple[BudgetRun, ...]:
    """Train plain ReLU networks of equal parameters and different depth on a function of one variable.

    What a network can express is one thing: the most pieces are (width + 1)^depth. What it has at random weights, and
    what training finds, are others, and each run says all of them. Whether depth pays depends on the target: a
    sawtooth has the structure that depth expresses, most functions do not.

    Args:
        target: from shape (n, 1), float64, to shape (n,).
        parameters: budget of each network; as `shapes_of_budget`.
        depths: numbers of hidden layers.
        steps: of Adam on all points at once, >= 1.
        lr: learning rate, the same for all.
        seeds: of the first weights, which are torch's default for Linear layers.
        low, high: ends of the interval; networks see it scaled to [-1, 1].
        points: number of even points on it, >= 2.

    Returns:
        A run for each depth and seed.

    Raises:
        ValueError: if a number is out of range, or target gives another shape.

    Cost: len(depths) * len(seeds) * steps gradients.
    References: Telgarsky 2016, arXiv:1602.04485 (expressivity); Eldan & Shamir 2016, arXiv:1512.03965; He et al. 2016,
        arXiv:1512.03385, section 1 (plain deeper networks train worse); Hanin & Rolnick 2019, arXiv:1901.09021 (pieces
        of random networks grow with neurons, not with depth).
    Peer: counts bounded by (width + 1)^depth and equal to those of `linear_pieces`; a linear target, which all fit (B).
    """
    if steps < 1 or points < 2 or not low < high:
        raise ValueError(f"steps >= 1, points >= 2 and low < high must hold, got {steps}, {points}, {low} and {high}")
    unit = torch.linspace(-1, 1, points, dtype=torch.float64)[:, None]  # (points, 1)
    y = target(low + (high - low) * (unit + 1) / 2)
    if y.shape != (points,):
        raise ValueError(f"target must give shape {(points,)}, got {tuple(y.shape)}")
    return tuple(
        _trained(shape, seed, unit, y.detach(), steps, lr)
        for shape, seed in itertools.product(shapes_of_budget(parameters, depths), seeds)
    )


def _trained(shape: Shape, seed: int, x: Tensor, y: Tensor, steps: int, lr: float) -> BudgetRun:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = [1, *[shape.width] * shape.depth]
        hidden = [m for a, b in itertools.pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
        net = nn.Sequential(*hidden, nn.Linear(shape.width, 1)).double()
    before = linear_pieces(net, x[0], x[-1])
    optimizer = Adam(net.parameters(), lr=lr)
    losses = []
    with torch.enable_grad():
        for step in range(steps):
            optimizer.zero_grad()
            loss = (net(x)[:, 0] - y).square().mean()
            if step & (step - 1) == 0:  # 0 and the powers of 2
                losses.append(loss.item())
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        losses.append((net(x)[:, 0] - y).square().mean().item())
    return BudgetRun(shape, seed, before, linear_pieces(net, x[0], x[-1]), tuple(losses))


def _with_roots(t: NDArray[Any], H: NDArray[Any], merge: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Knots at every change of sign of a unit between neighbouring ones, with the unit at exactly 0 there."""
    left, right = H[:, :-1], H[:, 1:]
    unit, piece = np.nonzero(((left < 0) & (right > 0)) | ((left > 0) & (right < 0)))
    if not len(unit):
        return t, H
    share = left[unit, piece] / (left[unit, piece] - right[unit, piece])
    roots = t[piece] + share * (t[piece + 1] - t[piece])
    values = left[:, piece] + share * (right - left)[:, piece]  # (units, roots)
    values[unit, np.arange(len(unit))] = 0 * values[unit, np.arange(len(unit))]
    order = np.argsort(np.concatenate([t, roots]), kind="stable")  # old knots first among equals
    t, H = np.concatenate([t, roots])[order], np.concatenate([H, values], axis=1)[:, order]
    new = np.concatenate([[True], np.diff(t) > merge])
    # units that cross 0 at the same place: the kept knot is 0 for all of them
    first = np.cumsum(new) - 1
    zero = np.zeros((len(H), new.sum()), dtype=bool)
    at, knot = np.nonzero(H == 0)
    zero[at, first[knot]] = True
    t, H = t[new], H[:, new]
    return t, np.where(zero, 0 * H, H)


def _layers(net: nn.Module) -> Iterator[nn.Module]:
    if isinstance(net, nn.Sequential):
        for layer in net:
            yield from _layers(layer)
    elif isinstance(net, nn.Linear | nn.ReLU):
        yield net
    elif not isinstance(net, nn.Identity):
        raise ValueError(f"net must be made of Linear and ReLU layers, got a {type(net).__name__}")


def _stored(layer: nn.Linear) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weight = layer.weight.detach().double().numpy()
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().numpy()
    if not np.isfinite(weight).all() or not np.isfinite(bias).all():
        raise ValueError("net must have finite weights; a Linear layer holds NaN or infinity")
    return weight, bias


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
