"""How activations and gradients grow or shrink from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from breadth.nn.probes.hooks import Layers, floating, select, unchanged, watching

Trend = Literal["stable", "vanishing", "exploding", "not finite", "too few layers"]


@dataclass(frozen=True, slots=True)
class LayerSignal:
    """What one call of one layer gave, and what came back to it."""

    name: str
    elements: int  # of the output
    activation: float  # root mean square of the output's elements; times sqrt(elements) it is their norm
    gradient: float | None  # the same of the loss's gradient by them; None where nothing can be derived by
    weight_gradient: float | None  # norm of the gradient by all of the layer's parameters; None if none is trained


@dataclass(frozen=True, slots=True)
class Growth:
    """The fitted change of a root mean square in the direction in which the signal travels."""

    factor: float  # per layer
    over_depth: float  # from the first layer to the last: factor ** (layers - 1)
    trend: Trend


@dataclass(frozen=True, slots=True)
class DepthSignal:
    """Result of `signal_by_depth`.

    Attributes:
        layers: one entry a call, in the order of the forward pass.
        activation: growth from the first layer to the last.
        gradient: growth from the last layer back to the first.
        threshold: growth over the whole depth from which a signal counts as exploding, or its inverse as vanishing.
    """

    layers: tuple[LayerSignal, ...]
    activation: Growth
    gradient: Growth
    threshold: float

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers) + 2
        lines = [f"{'layer':{width}}{'activation':>12}{'gradient':>12}{'by weights':>12}"]
        for layer in self.layers:
            numbers = (layer.activation, layer.gradient, layer.weight_gradient)
            cells = ("-" if number is None else f"{number:.3g}" for number in numbers)
            lines.append(f"{layer.name:{width}}" + "".join(f"{cell:>12}" for cell in cells))
        for name, growth in (("activations", self.activation), ("gradients", self.gradient)):
            lines.append(
                f"{name}: {growth.trend}, x {growth.factor:.4g} a layer, x {growth.over_depth:.3g} over all "
                f"(stable within x {self.threshold:g})"
            )
        return "\n".join(lines)


def signal_by_depth(
    model: nn.Module,
    *inputs: Tensor,
    layers: Layers | None = None,
    loss: Callable[[Any], Tensor] | None = None,
    threshold: float = 100.0,
    seed: int = 0,
) -> DepthSignal:
    """Root mean square of activations and gradients at each layer, and whether they vanish or explode with depth.

    With a_l the RMS of layer l's output and d_l that of the loss's gradient by it, the factors per layer are the
    least-squares slopes of log a_l against l, and of log d_l against -l. In a deep network of one kind of layer

        a_l^2 = a_1^2 r^(l-1),   r = n Var(w) E[phi(h)^2] / E[h^2]   (forward)
        d_l^2 = d_L^2 s^(L-l),   s = n Var(w) E[phi'(h)^2]           (backward)

    so that anything but r = s = 1 is a power of the depth: s <= (1/4)^2 n Var(w) with the logistic sigmoid, and 1 with
    ReLU and He's Var(w) = 2 / n. A residual sum without normalisation adds 1 to both: skips stop gradients from
    vanishing and let them explode.

    Args:
        model: called once, in the mode (training or not) that it is in; its buffers and `grad`s stay as they are.
        inputs: what it is called with; floating-point ones are copied.
        layers: names of submodules, or classes of them; None takes every module that itself owns a parameter of two
            or more axes. A module that is called n times is n layers.
        loss: from the model's output to a scalar. None draws a standard normal z like each floating tensor in the
            output and takes sum(z * output), so that d_L is about 1 and only the network's own Jacobian is seen.
        threshold: > 1; a fitted growth beyond it over the whole depth is "exploding", below its inverse "vanishing".
        seed: of z.

    Returns:
        The layers in the order of their calls, both growths with their trends, and the threshold. A signal that ends
        at exactly 0 is "vanishing" with factor 0, one that reaches infinity is "exploding" with factor inf, and one
        in which a NaN comes first is "not finite".

    Raises:
        ValueError: if threshold <= 1, layers picks nothing or is not called, a layer's output has no element, or the
            loss is no scalar or does not depend on the model.

    Cost: one forward and one backward pass, and one pass over each watched output and gradient.
    Deviations: the papers derive the moments over random weights; these are measured for the weights that are there.
    References: Glorot & Bengio 2010, AISTATS, eqs. 2-7; He et al. 2015, arXiv:1502.01852, eqs. 7-14; Zhang, Dauphin &
        Ma 2019, arXiv:1901.09321, section 2 (residual sums explode); De & Smith 2020, arXiv:2002.10444, section 3.
    Peer: closed forms: linear nets of orthogonal weights g^L, sigmoids at 0 (g/4)^L, residual rotations sqrt(2)^L and
        sqrt(1 + L) with RMS pre-normalisation, float64, 1e-12; moments of wide random nets within their noise (B).
    In production: log gradient norms by layer while you train; use this before, to choose initialisation and place
        normalisation.
    """
    if not threshold > 1:
        raise ValueError(f"threshold must be > 1, got {threshold}; it is a ratio of root mean squares")
    chosen = {n: m for n, m in model.named_modules() if _weighs(m)} if layers is None else select(model, layers)
    if not chosen:
        raise ValueError("the model owns no parameter of two or more axes; name the layers to look at")
    calls: list[_Call] = []

    def see(name: str, output: Tensor) -> None:
        if not output.numel():
            raise ValueError(f"layer {name!r} gave no element, shape {tuple(output.shape)}; inputs must hold examples")
        call = _Call(name, output.numel(), rms(output))
        calls.append(call)
        if output.requires_grad:
            # A hook keeps to the value it was put on, also where a later layer overwrites it (ReLU in place).
            call.gradient = 0.0
            output.register_hook(call.receive)

    # Copies, since a layer may overwrite its input; leaves below them, so that frozen layers see gradients too.
    leaves = [x.detach().requires_grad_() if x.is_floating_point() else x for x in inputs]
    with torch.enable_grad(), unchanged(model):
        with watching(chosen, see):
            output = model(*(x.clone() for x in leaves))
        if not calls:
            raise ValueError(f"none of the layers {list(chosen)} was called")
        scalar = loss(output) if loss is not None else _random_projection(output, seed)
        if scalar.numel() != 1 or not scalar.requires_grad:
            state = "does not depend on the model" if scalar.numel() == 1 else "is no scalar"
            raise ValueError(f"loss gave a tensor of shape {tuple(scalar.shape)} that {state}")
        weights = [p for p in model.parameters() if p.requires_grad]
        by = weights + [x for x in leaves if x.requires_grad]
        gradients = torch.autograd.grad(scalar.reshape(()), by, allow_unused=True)
    found = dict(zip(map(id, weights), gradients, strict=False))
    signals = tuple(
        LayerSignal(c.name, c.elements, c.activation, c.gradient, _norm(chosen[c.name], found)) for c in calls
    )
    return DepthSignal(
        signals,
        _growth([s.activation for s in signals], threshold),
        _growth([s.gradient for s in reversed(signals) if s.gradient is not None], threshold),
        threshold,
    )


def rms(x: Tensor) -> float:
    """Root mean square of all elements, scaled so that no square overflows or is lost; NaN and inf come through."""
    x = x.detach().double()
    top = x.abs().amax()
    if top == 0 or not top.isfinite():
        return top.item()
    return (top * (x / top).square().mean().sqrt()).item()


@dataclass(slots=True)
class _Call:
    name: str
    elements: int
    activation: float
    gradient: float | None = None

    def receive(self, gradient: Tensor) -> None:
        self.gradient = rms(gradient)


def _weighs(module: nn.Module) -> bool:
    return any(p.ndim >= 2 for p in module.parameters(recurse=False))


def _random_projection(output: Any, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    tensors = [t for t in floating(output) if t.requires_grad]
    if not tensors:
        raise ValueError("the model's output holds no floating-point tensor that depends on its inputs or parameters")
    return torch.stack(
        [(torch.randn(t.shape, generator=draw, dtype=torch.float64).to(t) * t).sum().double() for t in tensors]
    ).sum()


def _norm(module: nn.Module, gradients: Mapping[int, Tensor | None]) -> float | None:
    own = [gradients[id(p)] for p in module.parameters() if id(p) in gradients]
    norms = [rms(g) * math.sqrt(g.numel()) for g in own if g is not None and g.numel()]
    return math.hypot(*norms) if own else None


def _growth(values: Sequence[float], threshold: float) -> Growth:
    """Fit a geometric sequence to root mean squares in the order in which the signal travels."""
    for value in values:  # the first one that is not finite, since 0 * inf makes NaN of infinity a layer later
        if not math.isfinite(value):
            return Growth(value, value, "exploding" if math.isinf(value) else "not finite")
    if len(values) < 2:
        return Growth(math.nan, math.nan, "too few layers")
    if values[-1] == 0:
        return Growth(0.0, 0.0, "vanishing")
    depth, log = np.array([(i, math.log(v)) for i, v in enumerate(values) if v > 0]).T
    if len(depth) < 2:
        return Growth(math.nan, math.nan, "too few layers")
    depth = depth - depth.mean()
    slope = float(depth @ log / (depth @ depth))
    total = slope * (len(values) - 1)
    trend = "exploding" if total > math.log(threshold) else "vanishing" if -total > math.log(threshold) else "stable"
    with np.errstate(over="ignore"):
        return Growth(float(np.exp(slope)), float(np.exp(total)), trend)
