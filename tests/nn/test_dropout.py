"""Dropout of entries and of heads: the mask, its mean and variance, its gradient, and its switch."""

from __future__ import annotations

import math

import pytest
import torch

from breadth.nn.dropout import Dropout, HeadDropout, dropout, head_dropout


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("generated", [False, True], ids=["torch's kernel", "generator"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_entries_are_0_or_divided_by_the_probability_to_stay_and_so_are_their_gradients(p, generated):
    torch.manual_seed(0)
    x = (1 + torch.rand(200_000, dtype=torch.float64)).requires_grad_()
    y = dropout(x, p, generator=seeded(1) if generated else None)  # not x's own stream
    (gradient,) = torch.autograd.grad(y.sum(), x)
    stays = y != 0
    torch.testing.assert_close(y[stays], x[stays] / (1 - p), rtol=1e-15, atol=0)
    torch.testing.assert_close(gradient, stays.double() / (1 - p), rtol=1e-15, atol=0)
    noise = math.sqrt(p * (1 - p) / len(x))
    assert abs(stays.double().mean() - (1 - p)) < 5 * noise
    assert abs((y - x).mean()) < 5 * 1.6 * math.sqrt(p / (1 - p) / len(x))  # E[y] = x, variance x^2 p / (1 - p)


def test_the_same_seed_drops_the_same_entries_and_the_next_call_others():
    x = torch.ones(1000)
    draw = seeded(3)
    first, second = dropout(x, generator=draw), dropout(x, generator=draw)
    assert torch.equal(first, dropout(x, generator=seeded(3))) and not torch.equal(first, second)


@pytest.mark.parametrize("layer", [Dropout(0.7), HeadDropout(0.7), HeadDropout(0.7, rescale="kept")])
def test_evaluation_is_the_identity(layer):
    x = torch.randn(3, 4, 5, 2, generator=seeded())
    assert not torch.equal(layer.train()(x), x)
    assert layer.eval()(x) is x
    assert layer.state_dict() == {}


@pytest.mark.parametrize("drop", [dropout, head_dropout])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_ends_empties_strides_and_half_precision(drop, dtype):
    x = torch.randn(6, 4, 5, generator=seeded()).to(dtype)
    assert drop(x, 0.0) is x
    for generator in (None, seeded()):
        assert drop(x, 1.0, generator=generator).eq(0).all()
        y = drop(x.transpose(0, 2), 0.5, generator=generator)
        assert y.dtype == dtype and y.shape == (5, 4, 6)
        stays = y != 0
        torch.testing.assert_close(y[stays], 2 * x.transpose(0, 2)[stays])
        assert drop(x[:0], 0.5, generator=generator).shape == (0, 4, 5)
    assert drop(torch.full((2, 3), torch.nan), 0.5).isnan().all()  # not hidden


@pytest.mark.parametrize(("dim", "shape"), [(1, (400, 6, 3, 2)), (2, (400, 3, 6, 2)), (-1, (400, 3, 6))])
@pytest.mark.parametrize("rescale", ["expected", "kept"])
def test_a_head_is_dropped_whole_for_each_example_by_itself(dim, shape, rescale):
    x = 1 + torch.rand(shape, generator=seeded(), dtype=torch.float64)
    p = 0.3
    factor = (head_dropout(x, p, dim=dim, rescale=rescale, generator=seeded(1)) / x).movedim(dim, 1).flatten(2)
    assert torch.allclose(factor, factor[..., :1].expand_as(factor), rtol=1e-14)  # one for all entries of a head
    factor = factor[..., 0]  # (400, 6)
    stays = factor > 0.5
    per_example = stays.sum(1, keepdim=True)
    assert len(per_example.unique()) > 2 and abs(stays.double().mean() - 0.7) < 5 * math.sqrt(0.21 / stays.numel())
    expected = 1 / (1 - p) if rescale == "expected" else 6 / per_example.clamp(min=1).double()
    torch.testing.assert_close(factor, stays.double() * expected, rtol=1e-14, atol=0)
    if rescale == "kept":
        assert torch.allclose(factor.sum(1)[per_example[:, 0] > 0], torch.tensor(6.0, dtype=torch.float64))


def test_heads_as_channels_are_dropped_as_torchs_dropout2d_drops_channels():
    x = torch.randn(8, 6, 3, 2, generator=seeded(), dtype=torch.float64)
    torch.manual_seed(5)
    theirs = torch.nn.functional.dropout2d(x, 0.4)
    ours = head_dropout(x, 0.4, generator=seeded(5))
    torch.testing.assert_close(ours, theirs, rtol=1e-15, atol=0)


def test_what_is_out_of_range_is_refused():
    x = torch.zeros(2, 3)
    calls = [
        (lambda: dropout(x, 1.5), r"p must be in \[0, 1\], got 1.5"),
        (lambda: Dropout(-0.1), r"p must be in \[0, 1\], got -0.1"),
        (lambda: HeadDropout(float("nan")), r"p must be in \[0, 1\], got nan"),
        (lambda: head_dropout(x, dim=0), "dim must be an axis of x behind that of the batch, got 0"),
        (lambda: head_dropout(x, dim=2), r"got 2 for shape \(2, 3\)"),
        (lambda: head_dropout(torch.tensor(1.0)), "dim must be an axis"),
        (lambda: HeadDropout(dim=0), "dim must be an axis"),
        (lambda: HeadDropout(rescale="sum"), "rescale must be one of 'expected', 'kept', got 'sum'"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
