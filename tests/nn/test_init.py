"""Initialisers: their moments, the numbers torch draws, and what passes through deep networks with them."""

from __future__ import annotations

import math

import pytest
import torch

from breadth.nn import init


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


MATRIX = (300, 200)
VARIANCES = {
    "xavier uniform": (lambda w, g: init.xavier_uniform_(w, 1.5, g), 1.5**2 * 2 / 500),
    "xavier normal": (lambda w, g: init.xavier_normal_(w, 1.5, g), 1.5**2 * 2 / 500),
    "he uniform": (lambda w, g: init.kaiming_uniform_(w, nonlinearity="relu", generator=g), 2 / 200),
    "he normal": (lambda w, g: init.kaiming_normal_(w, mode="fan_out", generator=g), 2 / 300),
    "he leaky": (lambda w, g: init.kaiming_normal_(w, 0.5, generator=g), 2 / 1.25 / 200),
    "he tanh": (lambda w, g: init.kaiming_normal_(w, nonlinearity="tanh", generator=g), (5 / 3) ** 2 / 200),
    "orthogonal": (lambda w, g: init.orthogonal_(w, 2.0, g), 4 / 300),
    "scaled": (lambda w, g: init.scaled_residual_(w, 8, 0.1, g), 0.1**2 / 8),
}


@pytest.mark.parametrize(("fill", "variance"), VARIANCES.values(), ids=VARIANCES)
def test_weights_have_mean_0_and_the_variance_of_the_formula(fill, variance):
    w = torch.empty(MATRIX, dtype=torch.float64)
    assert fill(w, seeded()) is w
    n = w.numel()
    assert abs(w.mean()) < 5 * math.sqrt(variance / n)
    assert abs(w.var() / variance - 1) < 5 * math.sqrt(2 / n)
    assert not fill(torch.empty(MATRIX, requires_grad=True), seeded()).grad_fn


def test_uniform_weights_stay_within_their_bounds_and_convolutions_count_their_field():
    w = init.xavier_uniform_(torch.empty(300, 200), generator=seeded())
    bound = math.sqrt(6 / 500)
    assert 0.999 * bound < w.abs().max() <= bound
    kernel = init.kaiming_uniform_(torch.empty(32, 16, 5, 5), generator=seeded())
    bound = math.sqrt(6 / (16 * 25))
    assert 0.999 * bound < kernel.abs().max() <= bound


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (6, 2, 3), (1, 9), (9, 1)])
@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_the_fewer_of_rows_and_columns_are_orthonormal(shape, gain):
    w = init.orthogonal_(torch.empty(shape, dtype=torch.float64), gain, seeded()).flatten(1)
    gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    exact = gain**2 * torch.eye(len(gram), dtype=torch.float64)
    torch.testing.assert_close(gram, exact, rtol=0, atol=1e-14)  # Householder's rounding


def test_orthogonal_matrices_are_uniform_since_signs_are_those_of_rs_diagonal():
    draw = seeded()
    n = 4000
    traces = torch.stack([init.orthogonal_(torch.empty(3, 3), generator=draw).trace() for _ in range(n)])
    assert abs(traces.mean()) < 5 / math.sqrt(n)  # E tr = 0 and E tr^2 = 1 for the uniform distribution
    assert abs(traces.square().mean() - 1) < 5 * math.sqrt(3 / n)
    plain = torch.stack([torch.linalg.qr(torch.randn(3, 3, generator=draw)).Q.trace() for _ in range(n)])
    assert abs(plain.mean()) > 0.3  # without them it is not


def sizes(fill, activation, depth=30, width=256) -> list[float]:
    """Root mean square of the activations from layer to layer."""
    draw = seeded()
    x = torch.randn(64, width, generator=draw)
    seen = []
    for _ in range(depth):
        x = activation(x @ fill(torch.empty(width, width), draw).T)
        seen.append(x.square().mean().sqrt().item())
    return seen


def test_he_keeps_the_size_through_relu_where_xavier_halves_its_square():
    he = sizes(lambda w, g: init.kaiming_normal_(w, nonlinearity="relu", generator=g), torch.relu)
    xavier = sizes(lambda w, g: init.xavier_normal_(w, generator=g), torch.relu)
    assert 0.3 < he[-1] / he[0] < 3  # of width 256: the log is off by about sqrt(5 depth / width)
    assert -16 < math.log2(xavier[-1] / xavier[0]) < -13  # 2^(-29 / 2)


def test_orthogonal_keeps_every_length_exactly_in_a_linear_network():
    seen = sizes(lambda w, g: init.orthogonal_(w, generator=g), lambda x: x)
    assert max(seen) / min(seen) - 1 < 1e-5  # float32


def test_a_residual_stream_with_scaled_branches_does_not_grow_with_depth():
    def stream(depth, n_residuals):
        draw = seeded()
        x = torch.randn(64, 256, generator=draw)
        for _ in range(depth):
            w = init.scaled_residual_(torch.empty(256, 256), n_residuals, 1 / 16, draw)  # std 1 / sqrt(width)
            x = x + (x / x.square().mean().sqrt()) @ w.T  # pre-norm: each branch has variance 1 / n_residuals
        return x.square().mean().item()

    for depth in (4, 64):
        assert abs(stream(depth, depth) - 2) < 0.3
        assert abs(stream(depth, 1) / (1 + depth) - 1) < 0.15


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_filled_too(dtype):
    for fill, variance in VARIANCES.values():
        w = fill(torch.empty(MATRIX, dtype=dtype), seeded())
        assert w.dtype == dtype and abs(w.double().var() / variance - 1) < 0.05
    column = torch.empty(4, 3).T
    assert init.orthogonal_(column, generator=seeded()).data_ptr() == column.data_ptr()  # in place through strides


def test_what_has_no_fans_is_refused():
    calls = [
        (lambda: init.xavier_uniform_(torch.empty(3)), r"shape \(out, in, ...\) to have fans, got \(3,\)"),
        (lambda: init.kaiming_normal_(torch.empty(0, 3)), "tensor must not be empty"),
        (lambda: init.kaiming_normal_(torch.empty(3, 3), mode="fan"), "mode must be one of 'fan_in', 'fan_out'"),
        (lambda: init.kaiming_uniform_(torch.empty(3, 3), nonlinearity="gelu"), "nonlinearity must be one of"),
        (lambda: init.orthogonal_(torch.empty(3)), "tensor must have two axes or more"),
        (lambda: init.scaled_residual_(torch.empty(3), 0), "n_residuals must be >= 1, got 0"),
        (lambda: init.scaled_residual_(torch.empty(3), 1, -1.0), "std must be >= 0"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
