"""Few rows times a matrix, by a kernel, beside float64 sums; and where torch's product is taken instead."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from breadth.nn import linear as module
from breadth.nn.linear import FEW, Linear, multiply_into

SHAPES = [(64, 64), (1, 1), (3, 5), (4, 1), (7, 300), (33, 31), (130, 97)]  # (out, in)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(out: int, inner: int, *, bias: bool = True) -> Linear:
    made = Linear(inner, out, bias).requires_grad_(False)
    for i, p in enumerate(made.parameters()):
        p.data = normal(*p.shape, seed=i)
    return made


@pytest.fixture
def calls(monkeypatch):
    """Shapes of what goes to the kernel."""
    seen = []
    monkeypatch.setattr(module, "multiply", lambda w, x, *rest: seen.append((w.shape, x.shape)) or kernel(w, x, *rest))
    return seen


kernel = module.multiply


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 8, FEW, FEW + 1])
@pytest.mark.parametrize("bias", [False, True])
def test_each_entry_is_the_sum_of_its_products(shape, rows, bias, calls):
    made, x = layer(*shape, bias=bias), normal(rows, shape[1], seed=9)
    y = made(x)
    w, v = made.weight.double().numpy(), x.double().numpy()
    exact = v @ w.T + (made.bias.double().numpy() if bias else 0)
    size = np.abs(v) @ np.abs(w).T + np.abs(exact)
    assert y.shape == (rows, shape[0]) and y.dtype == torch.float32
    assert (np.abs(y.double().numpy() - exact) <= 1e-6 * size).all()
    assert bool(calls) == (rows <= FEW)


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_rows_that_several_threads_share_are_those_of_one(dtype, monkeypatch):
    monkeypatch.setattr(module, "_SHARE", 1)
    rng = np.random.default_rng(0)
    weight, x = rng.integers(-127, 128, (101, 40)).astype(dtype), rng.normal(size=(3, 40)).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        y = np.full((3, 101), np.nan, np.float32)
        multiply_into(weight, x, y)
        found.append(y)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    for y in found:
        np.testing.assert_allclose(y, exact, rtol=0, atol=1e-6 * 40 * 127 * 4)


def test_an_error_in_another_thread_comes_out(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def work(first: int, last: int) -> None:
        if first:
            raise MemoryError("there")

    with pytest.raises(MemoryError, match="there"):
        module.share(work, 10, 1 << 30)


def test_large_small_and_missing_values_stay_what_they_are():
    made, x = layer(9, 16, bias=False), normal(1, 16)
    made.weight.data[0, 3], made.weight.data[1, 5], made.weight.data[2] = torch.nan, torch.inf, 1e30
    y, expected = made(x)[0], F.linear(x, made.weight)[0]
    assert y[0].isnan() and y[1].isinf() and y[1] == expected[1]
    torch.testing.assert_close(y[2:], expected[2:], rtol=1e-5, atol=1e-6)


def test_any_layout_of_the_input_and_any_number_of_axes_will_do(calls):
    made, x = layer(12, 20), normal(2, 3, 20)
    y = made(x)
    assert y.shape == (2, 3, 12)
    for strange in (x.transpose(0, 1).contiguous().transpose(0, 1), torch.stack((x, x), -1)[..., 0]):
        assert torch.equal(made(strange), y)
    assert made(x[0, 0]).shape == (12,) and made(x[:0]).shape == (0, 3, 12)
    assert len(calls) == 4  # nothing is not multiplied


@pytest.mark.parametrize(
    "change",
    [
        lambda made, x: (made.requires_grad_(), x),
        lambda made, x: (made, x.requires_grad_()),
        lambda made, x: (made.double(), x.double()),
        lambda made, x: (made.bfloat16(), x.bfloat16()),
        lambda made, x: (made, x.repeat(FEW + 1, 1)),
        lambda made, x: (by_column(made), x),
    ],
    ids=["weights' gradients", "gradients", "float64", "bfloat16", "many rows", "weights by column"],
)
def test_torch_multiplies_what_the_kernel_is_not_made_for(change, calls):
    made, x = change(layer(12, 20), normal(1, 20))
    assert torch.equal(made(x), F.linear(x, made.weight, made.bias))
    assert not calls


def by_column(made: Linear) -> Linear:
    made.weight.data = made.weight.data.t().contiguous().t()
    return made


def test_gradients_are_torch_s_and_go_with_no_grad():
    made, other = layer(12, 20).requires_grad_(), nn.Linear(20, 12)
    other.load_state_dict(made.state_dict())
    x = normal(2, 20)
    for each in (made, other):
        each(x).square().sum().backward()
    assert torch.equal(made.weight.grad, other.weight.grad)
    with torch.no_grad():
        assert not made(x).requires_grad
        torch.testing.assert_close(made(x), other(x), rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(made(x), other(x), rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert made(x).dtype == torch.bfloat16


def test_what_counts_operations_sees_them(calls):
    with FlopCounterMode(display=False) as counter:
        layer(12, 20)(normal(2, 20))
    assert counter.get_total_flops() == 2 * 2 * 12 * 20 and not calls


def test_a_width_that_does_not_fit_is_torch_s_error():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer(12, 20)(normal(2, 19))


def test_with_more_threads_than_were_measured_torch_multiplies(calls, monkeypatch):
    made, x = layer(12, 20), normal(1, 20)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert torch.equal(made(x), F.linear(x, made.weight, made.bias)) and not calls
