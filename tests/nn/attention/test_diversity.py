"""The head-diversity penalty beside a double loop in NumPy, at orthogonal, equal, empty and tiny heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from breadth.nn.attention.diversity import head_diversity_penalty, head_similarity


def cosines(x: np.ndarray) -> np.ndarray:
    found = np.zeros((x.shape[0], x.shape[1], x.shape[1]))
    for b, h, g in np.ndindex(found.shape):
        one, other = x[b, h].ravel(), x[b, g].ravel()
        lengths = math.sqrt(one @ one) * math.sqrt(other @ other)
        found[b, h, g] = one @ other / lengths if lengths else 0.0
    return found


def penalty(x: np.ndarray) -> np.ndarray:
    heads = range(x.shape[1])
    pairs = [(h, g) for h in heads for g in heads if h != g]
    return np.array([sum(c[h, g] ** 2 for h, g in pairs) / len(pairs) for c in cosines(x)])


def test_similarity_and_penalty_are_those_of_a_double_loop_in_value_and_gradient():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 5)) + 1
    leaf = torch.tensor(x, requires_grad=True)
    # rtol: sums of 20 terms in another order
    np.testing.assert_allclose(head_similarity(leaf).detach().numpy(), cosines(x), rtol=1e-12)
    ours = head_diversity_penalty(leaf, reduction="none")
    np.testing.assert_allclose(ours.detach().numpy(), penalty(x), rtol=1e-12)
    assert head_diversity_penalty(leaf).item() == pytest.approx(penalty(x).mean(), rel=1e-12)
    assert torch.autograd.gradcheck(head_diversity_penalty, leaf)  # central differences
    views = torch.tensor(x).transpose(2, 3).contiguous().transpose(2, 3)
    torch.testing.assert_close(head_similarity(views), head_similarity(leaf.detach()), rtol=1e-14, atol=0)


def test_it_is_0_for_orthogonal_heads_1_for_equal_ones_and_0_for_one_head():
    eye = torch.eye(4, dtype=torch.float64).view(1, 4, 2, 2)
    assert head_diversity_penalty(eye) == 0
    same = torch.rand(3, 1, 5, 5, dtype=torch.float64).expand(3, 4, 5, 5)
    torch.testing.assert_close(head_diversity_penalty(same).item(), 1.0, rtol=1e-14, atol=0)
    torch.testing.assert_close(head_diversity_penalty(same * torch.tensor([1.0, -2, 3, 9]).view(4, 1, 1)).item(), 1.0)
    assert head_diversity_penalty(same[:, :1]) == 0


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_heads_of_zeros_and_of_any_size_give_finite_values_and_gradients(scale):
    x = (scale * torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))).requires_grad_()
    expected = penalty(x.detach().double().numpy())
    ours = head_diversity_penalty(x, reduction="none")
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=2e-6)  # float32, sums of 16 terms
    zero = torch.rand(2, 3, 4, 4)
    zero[:, 1] = 0
    zero.requires_grad_()
    ours = head_diversity_penalty(zero, reduction="none")
    np.testing.assert_allclose(ours.detach().numpy(), penalty(zero.detach().double().numpy()), rtol=2e-6)
    (gradient,) = torch.autograd.grad(ours.sum(), zero)
    assert gradient.isfinite().all()
    assert head_diversity_penalty(zero.half()).dtype == torch.float32
    assert head_diversity_penalty(torch.zeros(2, 3, 0, 0)) == 0
    assert head_diversity_penalty(torch.full((1, 2, 2, 2), torch.nan)).isnan()


def test_descending_it_pushes_equal_heads_apart():
    torch.manual_seed(0)
    logits = (torch.randn(1, 1, 6, 6).expand(1, 4, 6, 6) + 0.01 * torch.randn(1, 4, 6, 6)).requires_grad_()
    before = head_diversity_penalty(logits.softmax(-1)).item()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(head_diversity_penalty(logits.softmax(-1)), logits)
        logits = (logits - 20 * gradient).detach().requires_grad_()
    assert before > 0.99
    assert head_diversity_penalty(logits.softmax(-1)) < 0.3


def test_what_does_not_fit_is_refused_by_name():
    calls = [
        (
            ValueError,
            lambda: head_similarity(torch.zeros(2, 3)),
            r"x must have shape \(batch, heads, ...\), got \(2, 3\)",
        ),
        (TypeError, lambda: head_similarity(torch.zeros(2, 3, 4).long()), "x must be floating point"),
        (ValueError, lambda: head_diversity_penalty(torch.zeros(1, 2, 3), reduction="sum"), "reduction must be one of"),
        (ValueError, lambda: head_diversity_penalty(torch.zeros(0, 2, 3)), "x must have one example or more"),
    ]
    for error, call, says in calls:
        with pytest.raises(error, match=says):
            call()
