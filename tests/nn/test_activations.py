"""Activations and their derivatives beside mpmath at 60 digits."""

from __future__ import annotations

import mpmath
import pytest
import torch

from breadth.nn import activations as act
from tests.nn.exact import assert_equal_in_value_and_gradient, sigmoid


def points() -> torch.Tensor:
    x = [0.3, -0.7, 1.0, -1.0, 2.5, -4.0, 8.0, -8.0, 30.0, -30.0, 1e4, -1e4, 1e-9, -1e-300]
    return torch.tensor(x, dtype=torch.float64)[:, None]


def phi(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def cubic(x):
    return mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf(0.044715) * x**3)


FORMULAS = {
    "sigmoid": (act.sigmoid, sigmoid),
    "tanh": (act.tanh, mpmath.tanh),
    "gelu": (act.gelu, lambda x: x * phi(x)),
    "gelu tanh": (act.GELU("tanh"), lambda x: x * sigmoid(2 * cubic(x))),
    "gelu sigmoid": (act.GELU("sigmoid"), lambda x: x * sigmoid(mpmath.mpf(1.702) * x)),
    "silu": (act.silu, lambda x: x * sigmoid(x)),
    "swish 0": (act.Swish(0.0), lambda x: x / 2),
    "swish 3": (act.Swish(3.0), lambda x: x * sigmoid(3 * x)),
    "Sigmoid": (act.Sigmoid(), sigmoid),
    "Tanh": (act.Tanh(), mpmath.tanh),
    "SiLU": (act.SiLU(), lambda x: x * sigmoid(x)),
}


@pytest.mark.parametrize(("ours", "formula"), FORMULAS.values(), ids=FORMULAS)
def test_an_activation_and_its_derivative_are_those_of_60_digits(ours, formula):
    # atol: 1 + erf and 1 + tanh lose the left tail, x eps of it
    assert_equal_in_value_and_gradient(lambda x: ours(x)[:, 0], points(), lambda row, i: formula(row[0]), atol=1e-14)


@pytest.mark.parametrize("relu", [act.relu, act.ReLU(), act.ReLU(inplace=True)])
def test_relu_is_the_positive_part_with_derivative_0_at_its_kink(relu):
    x = torch.tensor([-1e4, -1.0, 0.0, 1e-300, 3.0, torch.inf], dtype=torch.float64, requires_grad=True)
    y = relu(x.clone())
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert y.tolist() == [0, 0, 0, 1e-300, 3, torch.inf]
    assert gradient.tolist() == [0, 0, 0, 1, 1, 1]
    assert relu(torch.tensor([torch.nan])).isnan()


def test_the_derivative_by_a_learnt_beta_is_that_of_60_digits():
    pairs = torch.tensor([[0.3, 1.0], [-2.0, 0.5], [4.0, -1.5], [-1e3, 1e-3], [2.0, 0.0]], dtype=torch.float64)
    assert_equal_in_value_and_gradient(
        lambda z: act.swish(z[:, 0], beta=z[:, 1]), pairs, lambda row, i: row[0] * sigmoid(row[0] * row[1])
    )
    layer = act.Swish(learnable=True, dtype=torch.float64)
    assert [name for name, _ in layer.named_parameters()] == ["beta"] and layer.beta.shape == ()
    layer(pairs).sum().backward()
    assert layer.beta.grad.isfinite()


def test_swish_runs_from_half_of_x_to_relu():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    assert torch.equal(act.swish(x, beta=1), act.silu(x))
    gaps = [(act.swish(x, beta=b) - act.relu(x)).abs().max() for b in (0.0, 1.0, 10.0, 1000.0)]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-3


@pytest.mark.parametrize(("form", "bound"), [("tanh", 5e-4), ("sigmoid", 0.021)])
def test_approximations_of_gelu_stay_within_what_is_said(form, bound):
    x = torch.linspace(-10, 10, 20001, dtype=torch.float64)
    gap = (act.gelu(x, approximate=form) - act.gelu(x)).abs().max()
    assert bound / 2 < gap < bound
    assert act.gelu(x).min() > -0.17 and act.silu(x).min() > -0.28


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ours", [act.relu, act.sigmoid, act.tanh, act.gelu, act.silu, act.GELU("sigmoid")])
def test_half_precision_and_strides_keep_their_meaning(ours, dtype):
    x = (6e4 * torch.tensor([[1.0, -1.0, 1e-4], [0.5, -0.5, 1e-5]])).to(dtype).T
    y = ours(x)
    assert y.dtype == dtype and y.isfinite().all()
    exact = ours(x.double())
    # a few roundings of the argument, where a function is no longer flat
    torch.testing.assert_close(y.double(), exact, rtol=4 * torch.finfo(dtype).eps, atol=1e-3)
    assert ours(x[:0]).shape == (0, 2)


def test_what_is_unknown_is_refused():
    for call in (lambda: act.gelu(torch.zeros(1), approximate="erf"), lambda: act.GELU("erf")):
        with pytest.raises(ValueError, match="approximate must be one of 'none', 'tanh', 'sigmoid', got 'erf'"):
            call()
    with pytest.raises(ValueError, match=r"beta must broadcast to x, \(2,\), got \(3,\)"):
        act.swish(torch.zeros(2), beta=torch.zeros(3))
    with pytest.raises(ValueError, match="beta must be finite"):
        act.Swish(float("nan"))
