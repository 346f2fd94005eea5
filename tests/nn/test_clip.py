"""Clipping of gradients beside NumPy in extended range, and steps that are skipped because a gradient is not finite."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from breadth.nn.clip import (
    NonFiniteGradientWarning,
    clip_grad_norm_,
    clip_grad_value_,
    get_total_norm,
    guarded_step,
)
from breadth.nn.optim import SGD, AdamW, Muon

ORDERS = [0.5, 1.0, 2.0, 3.0, math.inf]
SHAPES = [(3, 4), (), (0, 2), (5,), (2, 3, 2)]


def extended_norm(arrays, p):
    flat = np.abs(np.concatenate([np.ravel(a) for a in arrays])).astype(np.longdouble)
    return flat.max() if p == math.inf else (flat**p).sum() ** (1 / np.longdouble(p))


def parameters(grads):
    found = []
    for g in grads:
        p = torch.zeros_like(g).requires_grad_()
        p.grad = g.clone()
        found.append(p)
    return [*found, torch.zeros(3, requires_grad=True)]  # the last has no gradient


def random_tensors(scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    tensors = [scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
    return [*(t.to(dtype) for t in tensors), torch.full((1,), scale, dtype=dtype).expand(7)]


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e4])
def test_the_norm_is_that_of_one_long_vector(p, scale):
    tensors = random_tensors(scale)
    expected = float(extended_norm([t.numpy() for t in tensors], p))
    assert get_total_norm(tensors, p).item() == pytest.approx(expected, rel=1e-14)  # roundings of a sum of 33 terms
    assert get_total_norm(iter(tensors), p).item() == get_total_norm(tensors, p).item()
    assert get_total_norm(tensors[0], p).item() == pytest.approx(float(extended_norm([tensors[0]], p)), rel=1e-14)


@pytest.mark.parametrize(("scale", "dtype"), [(1e160, torch.float64), (1e-200, torch.float64), (1e25, torch.float32)])
def test_squares_that_overflow_or_vanish_do_not_take_the_norm_with_them(scale, dtype):
    tensors = random_tensors(scale, dtype)
    expected = float(extended_norm([t.double().numpy() for t in tensors], 2))
    rtol = 1e-14 if dtype == torch.float64 else 1e-6  # a few roundings
    assert get_total_norm(tensors).item() == pytest.approx(expected, rel=rtol)
    assert torch.nn.utils.get_total_norm(tensors).item() in (0, math.inf), "else the second pass would be idle"
    params = parameters(tensors)
    clip_grad_norm_(params, scale)
    assert get_total_norm([p.grad for p in params[:-1]]).item() == pytest.approx(scale, rel=1e-5)


def test_half_precision_is_summed_in_float32_and_dtypes_may_be_mixed():
    half = torch.full((100_001,), 300.0, dtype=torch.float16)  # a square alone is over 65504
    assert get_total_norm(half).item() == pytest.approx(300 * math.sqrt(100_001), rel=1e-6)
    mixed = [half[:4], torch.full((4,), 400.0, dtype=torch.float64), torch.tensor(3 + 4j)]
    assert get_total_norm(mixed).item() == pytest.approx(math.sqrt(4 * 300**2 + 4 * 400**2 + 25), rel=1e-6)


@pytest.mark.parametrize("p", ORDERS)
def test_the_norm_of_many_float32_numbers_keeps_its_digits(p):
    many = torch.rand(3_000_001, generator=torch.Generator().manual_seed(0)) + 0.5
    expected = float(extended_norm([many.numpy()], p))
    # 1,024 roundings in a row, which mostly cancel; p of them more in a power
    assert get_total_norm([many, torch.zeros(3)], p).item() == pytest.approx(expected, rel=2e-6)


def test_no_tensors_have_the_norm_0_and_nan_and_infinity_show():
    assert get_total_norm([]).item() == 0 == get_total_norm([torch.zeros(0), torch.zeros(3)]).item()
    for p in ORDERS:
        assert get_total_norm([torch.ones(2), torch.tensor([math.nan, 1])], p).isnan()
        assert get_total_norm([torch.ones(2), torch.tensor([-math.inf, 1])], p).isinf()
        assert get_total_norm([torch.tensor([math.inf]), torch.tensor([math.nan])], p).isnan()
    for p in (0, -1, math.nan):
        with pytest.raises(ValueError, match=f"norm_type must be > 0, got {p}"):
            get_total_norm([torch.ones(2)], p)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("max_norm", [0.0, 0.1, 3.0, 1e6, math.inf])
def test_clipping_by_norm_is_one_factor_for_all(p, max_norm):
    tensors = random_tensors()
    params = parameters(tensors)
    norm = clip_grad_norm_(params, max_norm, p)
    expected = extended_norm([t.numpy() for t in tensors], p)
    assert norm.item() == pytest.approx(float(expected), rel=1e-14)
    factor = float(min(1, np.longdouble(max_norm) / (expected + np.longdouble(1e-6))))
    for param, t in zip(params, tensors, strict=False):
        torch.testing.assert_close(param.grad, factor * t, rtol=1e-13, atol=0)  # roundings of norm and factor
    assert params[-1].grad is None


def test_clipping_takes_one_tensor_a_generator_or_nothing():
    p = torch.zeros(2, requires_grad=True)
    assert clip_grad_norm_(p, 1.0).item() == 0 and clip_grad_norm_([], 1.0).item() == 0
    clip_grad_value_([], 1.0)
    p.grad = torch.tensor([3.0, 4.0])
    assert clip_grad_norm_(iter([p]), 1.0).item() == 5
    torch.testing.assert_close(p.grad, torch.tensor([0.6, 0.8]), rtol=1e-6, atol=0)


def test_a_norm_that_is_not_finite_leaves_every_gradient_as_it_is():
    for value in (math.nan, math.inf):
        params = parameters([torch.ones(2), torch.tensor([value])])
        assert not clip_grad_norm_(params, 1.0).isfinite()
        assert params[0].grad.tolist() == [1, 1]
        with pytest.raises(RuntimeError, match=f"the gradients' norm of order 2.0 cannot be clipped: it is {value}"):
            clip_grad_norm_(params, 1.0, error_if_nonfinite=True)


def test_clipping_by_value_limits_each_element():
    g = torch.tensor([-math.inf, -2.0, -0.5, 0.0, 0.5, 2.0, math.inf, math.nan])
    for p in (wide := parameters([g, g.half(), g.view(4, 2).T])):
        if p.grad is not None:
            clip_grad_value_(p, 1.0)
    for p in wide[:2]:
        assert p.grad[:7].tolist() == [-1, -1, -0.5, 0, 0.5, 1, 1] and p.grad[7].isnan()
    assert wide[2].grad.tolist()[0][:2] == [-1, -0.5]
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match=f"clip_value must be >= 0, got {bad}"):
            clip_grad_value_(wide, bad)
        with pytest.raises(ValueError, match=f"max_norm must be >= 0, got {bad}"):
            clip_grad_norm_(wide, bad)


def test_a_guarded_step_clips_and_steps():
    p = torch.zeros(2, requires_grad=True)
    p.grad = torch.tensor([3.0, 4.0])
    done = guarded_step(SGD([p], lr=1.0), max_norm=1.0)
    assert done.taken and done.norm == 5 and done.non_finite == ()
    torch.testing.assert_close(p.detach(), torch.tensor([-0.6, -0.8]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("make", [SGD, AdamW, Muon, torch.optim.Adam])
def test_a_step_with_a_bad_gradient_is_skipped_and_reported(make, bad):
    well, ill = (torch.ones(2, 2, requires_grad=True) for _ in range(2))
    optimizer = make([("well", well), ("ill", ill)], lr=0.1)
    well.grad, ill.grad = torch.ones(2, 2), torch.ones(2, 2)
    guarded_step(optimizer)
    before = [p.detach().clone() for p in (well, ill)]
    states = {k: v.clone() for s in optimizer.state.values() for k, v in s.items() if isinstance(v, torch.Tensor)}
    ill.grad[1, 1] = bad
    with pytest.warns(
        NonFiniteGradientWarning, match=r"step skipped: the gradients' norm is (nan|inf); not finite: ill$"
    ):
        done = guarded_step(optimizer, max_norm=1.0)
    assert not done.taken and done.non_finite == ("ill",) and not math.isfinite(done.norm)
    assert all(torch.equal(p, was) for p, was in zip((well, ill), before, strict=True))
    last = {k: v for s in optimizer.state.values() for k, v in s.items() if isinstance(v, torch.Tensor)}
    assert all(torch.equal(last[k], states[k]) for k in states)
    ill.grad[1, 1] = 1
    assert guarded_step(optimizer).taken, "the next one is taken"


def test_a_skipped_step_names_what_is_wrong_and_can_be_an_error():
    params = [torch.ones(1, requires_grad=True) for _ in range(8)]
    for p in params[1:]:
        p.grad = torch.tensor([math.nan])
    optimizer = SGD([{"params": params[:2]}, {"params": params[2:]}])
    with pytest.warns(NonFiniteGradientWarning, match=r"not finite: param_groups\[0\]\['params'\]\[1\], .* and 2 more"):
        assert len(guarded_step(optimizer).non_finite) == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error", NonFiniteGradientWarning)
        with pytest.raises(NonFiniteGradientWarning):
            guarded_step(optimizer)
    wide = torch.ones(4, requires_grad=True)
    wide.grad = torch.full((4,), 3e38)
    with pytest.warns(NonFiniteGradientWarning, match="norm is inf; not finite: no gradient, only their norm"):
        assert guarded_step(SGD([wide])).non_finite == ()
    assert wide.tolist() == [1, 1, 1, 1]


def test_without_the_guard_one_nan_stays_in_a_moment_for_good():
    p = torch.ones(1, requires_grad=True)
    optimizer = AdamW([p])
    for g in (math.nan, 1.0, 1.0):
        p.grad = torch.tensor([g])
        optimizer.step()
    assert p.isnan() and optimizer.state[p]["exp_avg"].isnan()
