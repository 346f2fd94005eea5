"""Position-wise feed-forward layers beside NumPy and SciPy in float64, gradients by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import erf, expit

from breadth.nn.gated import GLU, ClampedSwiGLU, FeedForward, GeGLU, SwiGLU, clamped_swiglu

WHY = {"rtol": 1e-12, "atol": 1e-12}  # sums in another order


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def glu(g, u):
    s = expit(g)
    return s * u, s * (1 - s) * u, s


def swiglu(g, u):
    s = expit(g)
    return g * s * u, s * (1 + g * (1 - s)) * u, g * s


def geglu(g, u):
    phi = (1 + erf(g / np.sqrt(2))) / 2
    return g * phi * u, (phi + g * np.exp(-(g**2) / 2) / np.sqrt(2 * np.pi)) * u, g * phi


def clamped(g, u):
    open_gate, inside = g <= 7, np.abs(u) <= 7
    g, u = np.minimum(g, 7), np.clip(u, -7, 7)
    s = expit(1.702 * g)
    return (u + 1) * g * s, (u + 1) * s * (1 + 1.702 * g * (1 - s)) * open_gate, g * s * inside


LAYERS = {"GLU": (GLU, glu), "SwiGLU": (SwiGLU, swiglu), "GeGLU": (GeGLU, geglu), "Clamped": (ClampedSwiGLU, clamped)}


@pytest.mark.parametrize(("kind", "gate"), LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("bias", [False, True])
def test_a_gated_layer_and_all_its_gradients_are_those_by_hand(kind, gate, bias):
    layer = kind(4, 6, bias=bias, dtype=torch.float64)
    for i, p in enumerate(layer.parameters()):
        p.data = 3 * draw(*p.shape, seed=i)  # gates beyond the limit of 7 too
    x, g = draw(2, 5, 4, seed=20).requires_grad_(), draw(2, 5, 4, seed=21)
    y = layer(x)
    named = dict(layer.named_parameters())
    assert list(named) == [f"{n}_proj.{k}" for n in ("gate", "up", "down") for k in ("weight", "bias")[: 1 + bias]]
    gradients = dict(zip(["x", *named], torch.autograd.grad(y, [x, *named.values()], g), strict=True))

    w = {n: p.detach().numpy() for n, p in named.items()}
    rows, back = x.detach().numpy().reshape(-1, 4), g.numpy().reshape(-1, 4)
    inputs = [rows @ w[f"{n}_proj.weight"].T + w.get(f"{n}_proj.bias", 0) for n in ("gate", "up")]
    inner, by_gate, by_up = gate(*inputs)
    hidden = back @ w["down_proj.weight"]
    to = {"gate": hidden * by_gate, "up": hidden * by_up, "down": back}
    np.testing.assert_allclose(
        y.detach().reshape(-1, 4), inner @ w["down_proj.weight"].T + w.get("down_proj.bias", 0), **WHY
    )
    by_x = to["gate"] @ w["gate_proj.weight"] + to["up"] @ w["up_proj.weight"]
    np.testing.assert_allclose(gradients["x"].reshape(-1, 4), by_x, **WHY)
    for n, value in to.items():
        np.testing.assert_allclose(gradients[f"{n}_proj.weight"], value.T @ (inner if n == "down" else rows), **WHY)
        if bias:
            np.testing.assert_allclose(gradients[f"{n}_proj.bias"], value.sum(0), **WHY)


def test_the_clamped_gate_is_bounded_and_closes_for_negative_gates():
    gate = torch.tensor([1e4, 1e4, -1e4, 7.0, 0.0], dtype=torch.float64)
    up = torch.tensor([1e4, -1e4, 1e4, 7.0, 3.0], dtype=torch.float64)
    y = clamped_swiglu(gate, up)
    assert (y.abs() <= 56).all() and y[2] == 0 and y[4] == 0 and y[0] == y[3]
    assert clamped_swiglu(gate.half(), up.half()).isfinite().all()


@pytest.mark.parametrize("kind", [FeedForward, GLU, SwiGLU, GeGLU, ClampedSwiGLU])
def test_each_position_is_seen_by_itself_also_none_and_one(kind):
    layer = kind(4, 6, dtype=torch.float64)
    x = draw(2, 5, 4)
    torch.testing.assert_close(layer(x)[1, 3], layer(x[1, 3]), **WHY)
    strided = x.transpose(0, 1)
    torch.testing.assert_close(layer(strided), layer(strided.contiguous()), **WHY)
    assert layer(x[:, :0]).shape == (2, 0, 4) and layer(x[:1, :1]).shape == (1, 1, 4)


def test_a_gated_layer_of_two_thirds_of_the_width_has_as_many_parameters():
    plain = sum(p.numel() for p in FeedForward(48, bias=False).parameters())
    assert plain == sum(p.numel() for p in SwiGLU(48, 128).parameters()) == 8 * 48**2


def test_feed_forward_drops_between_its_maps_in_training_only():
    layer = FeedForward(4, 6, dropout=1.0, activation=torch.tanh, dtype=torch.float64)
    x = draw(3, 4)
    torch.testing.assert_close(layer(x), layer.linear2.bias.expand(3, 4))
    assert not torch.equal(layer.eval()(x), layer.linear2.bias.expand(3, 4))


def test_sizes_and_limits_out_of_range_are_refused():
    calls = [
        (lambda: FeedForward(0), "d_model must be >= 1, got 0"),
        (lambda: SwiGLU(4, 0), "dim_feedforward must be >= 1, got 0"),
        (lambda: FeedForward(4, dropout=2.0), r"p must be in \[0, 1\], got 2.0"),
        (lambda: GeGLU(4, 4, approximate="erf"), "approximate must be one of"),
        (lambda: ClampedSwiGLU(4, 4, limit=0), "limit must be > 0, got 0"),
        (lambda: ClampedSwiGLU(4, 4, alpha=float("inf")), "alpha must be finite"),
        (lambda: clamped_swiglu(torch.zeros(2), torch.zeros(3)), "gate and up must have one shape"),
        (lambda: clamped_swiglu(torch.zeros(2), torch.zeros(2), limit=-1), "limit must be > 0, got -1"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
