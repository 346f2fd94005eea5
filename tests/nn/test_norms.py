"""Normalisers beside NumPy in float64: values, gradients by hand, running statistics, and large means."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch

from breadth.nn import norms
from breadth.nn import rms_norm as rms_norm_file
from breadth.nn.rms_norm import rms_norm
from tests.nn.exact import DIGITS

WHY = {"rtol": 1e-12, "atol": 1e-12}  # sums in another order; gradients are differences of numbers near 1


def draw(*shape: int, seed: int = 0, mean: float = 0.0) -> torch.Tensor:
    return mean + torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def standardised(x, g, weight, bias, axes, eps):
    """Value and gradients of (x - mean) / sqrt(var + eps) weight + bias, with mean and var over `axes`."""
    n = np.prod([x.shape[a] for a in axes])
    centred = x - x.mean(axes, keepdims=True)
    r = 1 / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)
    z, h = centred * r, g * weight
    back = r * (h - h.sum(axes, keepdims=True) / n - z * (h * z).sum(axes, keepdims=True) / n)
    return z * weight + bias, back, g * z, g


def check(layer, x, axes, parameter_shape):
    """Against `standardised`; parameters have `parameter_shape`, which broadcasts to x."""
    with torch.no_grad():
        layer.weight.copy_(draw(*layer.weight.shape, seed=1))
        layer.bias.copy_(draw(*layer.bias.shape, seed=2))
    leaf, g = x.clone().requires_grad_(), draw(*x.shape, seed=3)
    y = layer(leaf)
    gradients = torch.autograd.grad(y, (leaf, layer.weight, layer.bias), g)
    w, b = (p.detach().reshape(parameter_shape).numpy() for p in (layer.weight, layer.bias))
    value, by_x, by_w, by_b = standardised(x.numpy(), g.numpy(), w, b, axes, layer.eps)
    over = tuple(i for i, n in enumerate(parameter_shape) if n == 1)
    np.testing.assert_allclose(y.detach(), value, **WHY)
    for ours, exact in zip(
        gradients,
        (by_x, by_w.sum(over).reshape(layer.weight.shape), by_b.sum(over).reshape(layer.bias.shape)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, exact, **WHY)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (norms.BatchNorm1d, (6, 4)),
        (norms.BatchNorm1d, (2, 4)),
        (norms.BatchNorm1d, (1, 4, 5)),
        (norms.BatchNorm2d, (3, 4, 5, 2)),
    ],
)
def test_batch_norm_standardises_over_all_axes_but_the_features(kind, shape):
    axes = tuple(i for i in range(len(shape)) if i != 1)
    check(kind(4, dtype=torch.float64), draw(*shape), axes, tuple(n if i == 1 else 1 for i, n in enumerate(shape)))


@pytest.mark.parametrize(("shape", "last"), [((6, 4), 1), ((1, 1, 4), 1), ((2, 3, 4), 2), ((5,), 1)])
def test_layer_norm_standardises_each_example_by_itself(shape, last):
    layer = norms.LayerNorm(shape[-last:], dtype=torch.float64)
    axes = tuple(range(len(shape) - last, len(shape)))
    check(layer, draw(*shape), axes, (1,) * (len(shape) - last) + shape[-last:])


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_running_statistics_follow_the_batches_and_are_used_in_evaluation(momentum):
    layer = norms.BatchNorm1d(3, momentum=momentum, affine=False, dtype=torch.float64)
    batches = [draw(n, 3, seed=n, mean=n) for n in (2, 5, 9)]
    mean, var = np.zeros(3), np.ones(3)
    for t, x in enumerate(batches, 1):
        layer(x)
        share = 1 / t if momentum is None else momentum
        mean = (1 - share) * mean + share * x.numpy().mean(0)
        var = (1 - share) * var + share * x.numpy().var(0, ddof=1)
    np.testing.assert_allclose(layer.running_mean, mean, **WHY)
    np.testing.assert_allclose(layer.running_var, var, **WHY)
    assert layer.num_batches_tracked == 3
    layer.eval()
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    np.testing.assert_allclose(layer(batches[0][:1]), (batches[0][:1].numpy() - mean) / np.sqrt(var + 1e-5), **WHY)
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())
    layer.reset_running_stats()
    assert layer.running_mean.eq(0).all() and layer.running_var.eq(1).all() and layer.num_batches_tracked == 0


def test_without_running_statistics_evaluation_uses_the_batch():
    layer = norms.BatchNorm2d(2, track_running_stats=False, dtype=torch.float64)
    x = draw(3, 2, 4, 4)
    assert torch.equal(layer(x), layer.eval()(x))
    assert list(layer.state_dict()) == ["weight", "bias"]


FAR = [
    (norms.LayerNorm, 64, (50, 64), (1,), (1, 64)),
    (norms.BatchNorm1d, 8, (500, 8), (0,), (1, 8)),
    (norms.BatchNorm2d, 3, (4, 3, 9, 8), (0, 2, 3), (1, 3, 1, 1)),
]


@pytest.mark.parametrize("mean", [0.0, 7.0, 1e4, -1e6])
@pytest.mark.parametrize(("kind", "features", "shape", "axes", "of_parameter"), FAR)
def test_float32_at_a_large_mean_is_as_near_to_float64_as_at_mean_0(kind, features, shape, axes, of_parameter, mean):
    layer = kind(features)
    with torch.no_grad():
        layer.weight.copy_(draw(features, seed=1))
        layer.bias.copy_(draw(features, seed=2))
    x, g = draw(*shape, mean=mean).float().requires_grad_(), draw(*shape, seed=3).float()
    y = layer(x)
    gradients = torch.autograd.grad(y, (x, layer.weight, layer.bias), g)
    w, b = (p.detach().double().reshape(of_parameter).numpy() for p in (layer.weight, layer.bias))
    value, by_x, by_w, by_b = standardised(x.detach().double().numpy(), g.double().numpy(), w, b, axes, layer.eps)
    over = tuple(i for i, n in enumerate(of_parameter) if n == 1)
    # sixteen roundings of numbers up to 16, and of sums of up to 500 of them; the kernel alone is off by 2e-3 at 1e4
    eps = 16 * torch.finfo(torch.float32).eps
    np.testing.assert_allclose(y.detach(), value, rtol=eps, atol=4 * eps)
    np.testing.assert_allclose(gradients[0], by_x, rtol=eps, atol=4 * eps * np.abs(by_x).max())
    np.testing.assert_allclose(gradients[1], by_w.sum(over), rtol=eps, atol=16 * eps)
    np.testing.assert_allclose(gradients[2], by_b.sum(over), rtol=eps, atol=16 * eps)
    naive = (
        x.detach().square().mean(axes) - x.detach().mean(axes).square()
    )  # what this is not: negative, or off by ones
    assert (naive - 1).abs().max() > 1 or abs(mean) < 1e4


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_keep_their_digits_at_a_large_mean_and_so_does_evaluation(momentum):
    layer, exact = norms.BatchNorm1d(3, momentum=momentum), norms.BatchNorm1d(3, momentum=momentum).double()
    for t, mean in enumerate((1e4, -2e4, 1e4, 0.0)):
        x = draw(40, 3, seed=t, mean=mean).float()
        layer(x)
        exact(x.double())  # held against NumPy above
    # roundings of means of size 1e4
    np.testing.assert_allclose(
        layer.running_mean, exact.running_mean, rtol=0, atol=4e4 * torch.finfo(torch.float32).eps
    )
    np.testing.assert_allclose(layer.running_var, exact.running_var, rtol=8 * torch.finfo(torch.float32).eps)
    assert layer.num_batches_tracked == 4
    with torch.no_grad():
        layer.running_mean.fill_(1e4)
        layer.running_var.fill_(1.0)
    x = draw(5, 3, mean=1e4).float()
    expected = (x.double() - 1e4) / (1 + 1e-5) ** 0.5
    np.testing.assert_allclose(layer.eval()(x).detach(), expected, rtol=4 * torch.finfo(torch.float32).eps, atol=1e-9)
    assert layer.running_mean.eq(1e4).all()


def test_a_row_that_is_not_finite_spoils_no_other_and_mapped_calls_keep_their_digits():
    layer = norms.LayerNorm(16)
    x = draw(6, 16, mean=1e4).float()
    clean = layer(x).detach()
    x[2, 3], x[4, 0] = torch.nan, torch.inf
    y = layer(x).detach()
    assert y[[2, 4]].isnan().any(1).all()
    assert torch.equal(y[[0, 1, 3, 5]], clean[[0, 1, 3, 5]])
    mapped = torch.vmap(layer)(x[[0, 1, 3, 5]]).detach()
    torch.testing.assert_close(mapped, clean[[0, 1, 3, 5]], rtol=0, atol=64 * torch.finfo(torch.float32).eps)
    assert layer(x[:0]).shape == (0, 16)


def test_second_derivatives_pass_the_shift():
    x = draw(3, 4, mean=1e3).requires_grad_()
    layer = norms.LayerNorm(4, eps=0.1, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(layer, (x,))
    batch = norms.BatchNorm1d(4, eps=0.1, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(batch, (x,))


def test_constant_features_give_the_bias_and_a_finite_gradient():
    for layer, x in ((norms.LayerNorm(4), torch.full((2, 4), 7.0)), (norms.BatchNorm1d(4), torch.full((3, 4), 7.0))):
        leaf = x.requires_grad_()
        y = layer(leaf)
        assert y.eq(0).all()  # not the kernel's fused x r - mean r, off by the rounding of 7 / sqrt(eps)
        assert torch.autograd.grad(y.sum(), leaf)[0].isfinite().all()


def exact_rms(x, w, g, eps):
    """Value and gradients of one row at 60 digits."""
    with mpmath.workdps(DIGITS):
        x, w, g = ([mpmath.mpf(v) for v in t] for t in (x, w, g))
        d = len(x)
        r = 1 / mpmath.sqrt(mpmath.fsum(v**2 for v in x) / d + mpmath.mpf(eps))
        along = mpmath.fsum(a * b * c for a, b, c in zip(g, w, x, strict=True)) * r**3 / d
        by_x = [float(a * b * r - c * along) for a, b, c in zip(g, w, x, strict=True)]
        return (
            [float(v * r * u) for v, u in zip(x, w, strict=True)],
            by_x,
            [float(a * v * r) for a, v in zip(g, x, strict=True)],
        )


@pytest.mark.parametrize("worth", [0, 1 << 40], ids=["own gradient", "torch's operators"])
def test_rms_norm_is_that_of_60_digits_with_a_gain_for_each_feature(worth, monkeypatch):
    monkeypatch.setattr(rms_norm_file, "WORTH", worth)
    layer = norms.RMSNorm(5, eps=1e-6, dtype=torch.float64)
    assert layer.weight.shape == (5,)
    x, g = draw(6, 5), draw(6, 5, seed=3)
    x[1], x[2], x[3], x[4] = 0, 1e4, 1e-5 * x[3], 1e100 * x[4]
    with torch.no_grad():
        layer.weight.copy_(draw(5, seed=1))
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    by_x, by_w = torch.autograd.grad(y, (leaf, layer.weight), g)
    rows = [exact_rms(a, layer.weight.tolist(), b, 1e-6) for a, b in zip(x.tolist(), g.tolist(), strict=True)]
    for ours, exact in ((y.detach(), [r[0] for r in rows]), (by_x, [r[1] for r in rows])):
        scale = np.abs(exact).max(1, keepdims=True)  # a gradient is a difference of numbers of the row's size
        assert (np.abs(ours.numpy() - np.array(exact)) <= 1e-12 * scale).all()
    np.testing.assert_allclose(by_w, np.sum([r[2] for r in rows], 0), **WHY)


@pytest.mark.parametrize("weighted", [True, False])
def test_derivatives_of_rms_norm_are_right_to_second_order_forward_and_mapped(weighted, monkeypatch):
    monkeypatch.setattr(rms_norm_file, "WORTH", 0)
    x, w = draw(3, 4).requires_grad_(), draw(4, seed=1).requires_grad_()
    inputs = (x, w) if weighted else (x,)

    def call(x, w=None):
        return rms_norm(x, w, eps=0.1)

    assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, inputs)
    if weighted:  # as many gains, one input: an ensemble
        gains = draw(2, 4, seed=2)
        mapped = torch.vmap(call, (None, 0))(x, gains)
        torch.testing.assert_close(mapped, torch.stack([call(x, v) for v in gains]), **WHY)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rms_norm_of_half_precision_is_computed_in_float32(dtype):
    x = (3e4 * draw(4, 8).sign() + draw(4, 8)).to(dtype)  # its squares are beyond float16
    for gains in (torch.float32, dtype):
        y = norms.RMSNorm(8, dtype=gains)(x)
        assert y.dtype == dtype
        exact = rms_norm(x.double())
        torch.testing.assert_close(y.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=0)


def test_rms_norm_of_several_axes_and_strided_input():
    x = draw(4, 3, 2).transpose(0, 2)
    layer = norms.RMSNorm((3, 4), eps=0.0, elementwise_affine=False)
    exact = x.numpy() / np.sqrt((x.numpy() ** 2).mean((1, 2), keepdims=True))
    np.testing.assert_allclose(layer(x), exact, **WHY)
    assert norms.RMSNorm(4)(torch.zeros(0, 4)).shape == (0, 4)


def test_qk_norm_gives_logits_that_are_cosines_times_the_scale_whatever_the_lengths():
    q, k = draw(2, 3, 5, 8), 1e6 * draw(2, 3, 7, 8, seed=1)
    cosine = torch.einsum("bhld,bhsd->bhls", q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True))
    for layer, factor in (
        (norms.QKNorm(8, kind="l2", eps=0.0, dtype=torch.float64), 8**0.5),
        (norms.QKNorm(8, kind="l2", scale=3.0, learn_scale=False, eps=0.0), 3.0),
        (norms.QKNorm(8, kind="rms", eps=0.0, dtype=torch.float64), 8**0.5),  # with gains 1
        (norms.QKNorm(8, kind="rms", scale=0.5, eps=0.0, dtype=torch.float64), 4.0),
    ):
        a, b = layer(q, k)
        torch.testing.assert_close(a @ b.mT, factor * cosine, rtol=1e-12, atol=1e-13)
        assert (layer(1e3 * q, k)[0] @ b.mT).abs().max() <= factor * (1 + 1e-12)
    zero = norms.QKNorm(8, kind="l2")(torch.zeros(1, 1, 2, 8), torch.zeros(1, 1, 2, 8))
    assert zero[0].eq(0).all() and zero[1].eq(0).all()


def test_qk_norm_learns_a_scale_for_each_head_and_gains_for_each_entry():
    q, k = draw(2, 3, 5, 8), draw(2, 1, 7, 8, seed=1)
    layer = norms.QKNorm(8, kind="l2", num_heads=3, dtype=torch.float64)
    assert [(n, tuple(p.shape)) for n, p in layer.named_parameters()] == [("scale", (3, 1, 1))]
    g = draw(2, 3, 5, 8, seed=4)
    (gradient,) = torch.autograd.grad(layer(q, k)[0], layer.scale, g)
    unit = q.numpy() / np.sqrt((q.numpy() ** 2).sum(-1, keepdims=True) + 8e-6)
    np.testing.assert_allclose(gradient.flatten(), (g.numpy() * unit).sum((0, 2, 3)), **WHY)
    names = [n for n, _ in norms.QKNorm(8).named_parameters()]
    assert names == ["q_norm.weight", "k_norm.weight"]


def test_what_does_not_fit_is_refused():
    calls = [
        (lambda: norms.BatchNorm1d(3)(torch.zeros(2, 4)), r"x must have shape \(batch, 3\) or \(batch, 3, length\)"),
        (lambda: norms.BatchNorm2d(3)(torch.zeros(2, 3, 4)), r"x must have shape \(batch, 3, height, width\)"),
        (lambda: norms.BatchNorm1d(3)(torch.zeros(1, 3)), "need two values or more a feature, got 1"),
        (lambda: norms.BatchNorm1d(3)(torch.zeros(0, 3)), "need two values or more a feature, got 0"),
        (lambda: norms.BatchNorm1d(0), "num_features must be >= 1"),
        (lambda: norms.BatchNorm1d(3, momentum=2.0), r"momentum must be in \[0, 1\]"),
        (lambda: norms.LayerNorm(3, eps=-1), "eps must be >= 0 and finite, got -1"),
        (lambda: norms.LayerNorm(()), "normalized_shape must be >= 1"),
        (lambda: norms.LayerNorm(3)(torch.zeros(2, 4)), r"x must end in the axes \(3,\), got \(2, 4\)"),
        (lambda: norms.RMSNorm(3)(torch.zeros(2, 4)), r"x must end in the axes \(3,\), got \(2, 4\)"),
        (lambda: rms_norm(torch.zeros(2, 4), torch.ones(1)), r"weight must have shape \(4,\), got \(1,\)"),
        (lambda: rms_norm(torch.zeros(2, 0)), "features >= 1"),
        (lambda: norms.QKNorm(4, kind="cosine"), "kind must be one of 'rms', 'l2', got 'cosine'"),
        (lambda: norms.QKNorm(4, num_heads=2), "num_heads is for scales that are learnt"),
        (lambda: norms.QKNorm(4)(torch.zeros(1, 4), torch.zeros(1, 5)), r"k must have shape \(..., 4\)"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
