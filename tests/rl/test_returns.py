"""Returns, advantages and the clipped objective against their sums written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from breadth.rl.returns import clipped_surrogate, discounted_returns, gae

F64 = torch.float64


def draw(T, *shape, seed=0, mean=0.0):
    """rewards, values, next_values, terminated, truncated, each (T, *shape), with all kinds of ends."""
    g = torch.Generator().manual_seed(seed)
    rewards, values, successors = (mean + torch.randn(T, *shape, generator=g, dtype=F64) for _ in range(3))
    kind = torch.rand(T, *shape, generator=g)
    terminated, truncated = kind < 0.15, (kind > 0.1) & (kind < 0.3)  # some both
    return rewards, values, successors, terminated, truncated


def written_out(rewards, values, successors, terminated, truncated, gamma, lam):
    """sum_l (gamma lambda)^l delta_{t+l} by two loops in NumPy, for one column."""
    advantages = np.zeros(len(rewards))
    for t in range(len(rewards)):
        for l in range(len(rewards) - t):
            s = t + l
            following = 0.0 if terminated[s] else gamma * successors[s]
            advantages[t] += (gamma * lam) ** l * (rewards[s] + following - values[s])
            if terminated[s] or truncated[s]:
                break
    return advantages


def returns_written_out(rewards, successors, terminated, truncated, gamma):
    returns = np.zeros(len(rewards))
    for t in range(len(rewards)):
        for s in range(t, len(rewards)):
            returns[t] += gamma ** (s - t) * rewards[s]
            if terminated[s]:
                break
            if truncated[s] or s == len(rewards) - 1:
                returns[t] += gamma ** (s - t + 1) * successors[s]
                break
    return returns


@pytest.mark.parametrize(("gamma", "lam"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.5)])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_gae_and_returns_are_the_sums_of_their_definitions(gamma, lam, mean):
    given = draw(40, 3, seed=1, mean=mean)
    rewards, values, successors, terminated, truncated = given
    ends = {"terminated": terminated, "truncated": truncated}
    advantages, targets = gae(rewards, values, successors, **ends, gamma=gamma, gae_lambda=lam)
    returns = discounted_returns(rewards, gamma=gamma, **ends, next_values=successors)
    for j in range(3):
        r, v, s, e, c = (x[:, j].numpy() for x in given)
        # sums of up to 40 terms of the size of mean, in another order
        tolerance = {"rtol": 1e-12, "atol": 1e-12 * (1 + mean)}
        np.testing.assert_allclose(advantages[:, j], written_out(r, v, s, e, c, gamma, lam), **tolerance)
        np.testing.assert_allclose(returns[:, j], returns_written_out(r, s, e, c, gamma), **tolerance)
    torch.testing.assert_close(targets, advantages + values, rtol=0, atol=0)


def test_with_lambda_1_advantages_are_returns_less_values_and_with_0_one_step_errors():
    rewards, values, _, terminated, _ = draw(30, 2, seed=2)
    successors = torch.cat([values[1:], torch.ones(1, 2, dtype=F64)])
    one = gae(rewards, values, successors, terminated=terminated, gamma=0.9, gae_lambda=1.0)[0]
    returns = discounted_returns(rewards, gamma=0.9, terminated=terminated, next_values=successors)
    torch.testing.assert_close(one, returns - values, rtol=0, atol=1e-13)  # inner values cancel
    zero = gae(rewards, values, successors, terminated=terminated, gamma=0.9, gae_lambda=0.0)[0]
    torch.testing.assert_close(zero, rewards + 0.9 * successors * ~terminated - values, rtol=0, atol=1e-15)


def test_nothing_passes_an_episodes_end_not_even_nan():
    rewards, values, successors, _, _ = draw(6, seed=3)
    values[3:], rewards[4:] = torch.nan, torch.inf
    successors[2] = torch.nan  # of a task that ended there
    terminated = torch.tensor([False, False, True, False, False, False])
    advantages, returns = gae(rewards, values, successors, terminated=terminated)
    assert advantages[:3].isfinite().all() and returns[:3].isfinite().all()
    returns = discounted_returns(rewards, gamma=0.9, terminated=terminated, next_values=successors)
    assert returns[:3].isfinite().all()
    cut = discounted_returns(rewards, gamma=0.9, truncated=terminated, next_values=torch.full((6,), 2.0, dtype=F64))
    assert cut[2] == rewards[2] + 0.9 * 2.0


@pytest.mark.parametrize("T", [0, 1])
def test_lengths_0_and_1(T):
    given = draw(T, 2, seed=4)
    rewards, values, successors = given[:3]
    never = torch.zeros(T, 2, dtype=torch.bool)
    advantages, _ = gae(rewards, values, successors, terminated=never, gamma=0.5)
    torch.testing.assert_close(advantages, rewards + 0.5 * successors - values)
    torch.testing.assert_close(discounted_returns(rewards, gamma=0.5), rewards)


def test_views_expanded_tensors_and_float32_give_the_same():
    rewards, values, successors, terminated, truncated = draw(20, 4, seed=5)
    expected, _ = gae(rewards, values, successors, terminated=terminated, truncated=truncated)
    views = [x.T.contiguous().T for x in (rewards, values, successors)]
    assert torch.equal(gae(*views, terminated=terminated, truncated=truncated)[0], expected)
    single, _ = gae(*(x.float() for x in views), terminated=terminated, truncated=truncated)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-5)  # float32 and sums of 20
    one = torch.ones(1, 1).expand(20, 4)
    torch.testing.assert_close(discounted_returns(one, gamma=1.0), torch.arange(20.0, 0, -1)[:, None].expand(20, 4))


def test_the_clipped_objective_and_its_gradient_are_the_papers():
    g = torch.Generator().manual_seed(0)
    new = (0.5 * torch.randn(500, generator=g, dtype=F64)).requires_grad_()
    old, advantages = torch.zeros(500, dtype=F64), torch.randn(500, generator=g, dtype=F64)
    ratio = (new - old).exp()
    paper = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    ours = clipped_surrogate(new, old, advantages, clip_range=0.2)
    torch.testing.assert_close(ours, paper, rtol=1e-14, atol=0)
    expected, given = (torch.autograd.grad(x.sum(), new)[0] for x in (paper, ours))
    torch.testing.assert_close(given, expected, rtol=1e-14, atol=0)
    still = (expected == 0).sum()
    assert 0 < still < 500  # some are clipped, some not


def test_the_clipped_objective_is_not_above_the_bare_one_and_stops_at_the_clip_alone():
    new = torch.tensor([0.3, 0.3, -0.3, -0.3, 0.0], dtype=F64, requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0], dtype=F64)
    objective = clipped_surrogate(new, torch.zeros(5, dtype=F64), advantages, clip_range=0.2)
    torch.testing.assert_close(objective, torch.tensor([1.2, -(np.e**0.3), np.e**-0.3, -0.8, 0.0], dtype=F64))
    objective.sum().backward()
    assert (new.grad != 0).tolist() == [False, True, True, False, False]


def test_a_ratio_that_overflows_has_no_gradient_where_it_is_clipped():
    new = torch.tensor([1e4, -1e4], requires_grad=True)
    objective = clipped_surrogate(new, torch.zeros(2), torch.tensor([1.0, -1.0]), clip_range=0.2)
    objective.sum().backward()
    torch.testing.assert_close(objective.detach(), torch.tensor([1.2, -0.8]))
    assert new.grad.tolist() == [0, 0]


X, NO = torch.zeros(4), torch.zeros(4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: discounted_returns(X, gamma=1.1), r"gamma must be in \[0, 1\], got 1.1"),
        (lambda: discounted_returns(X, gamma=0.9, terminated=NO[:3]), r"terminated must have the shape \(4,\)"),
        (lambda: discounted_returns(X, gamma=0.9, truncated=X), "truncated must be bool, got torch.float32"),
        (lambda: discounted_returns(X, gamma=0.9, next_values=X[:1]), "next_values must have the shape"),
        (lambda: gae(X, X, X, terminated=NO, gae_lambda=-1.0), "gae_lambda must be"),
        (lambda: gae(X, X[:2], X, terminated=NO), "values must have the shape"),
        (lambda: gae(X, X, X, terminated=X), "terminated must be bool"),
        (lambda: clipped_surrogate(X, X, X, clip_range=0.0), r"clip_range must be in \(0, 1\), got 0.0; 0.2 is usual"),
        (lambda: clipped_surrogate(X, X[:1], X, clip_range=0.2), "old_log_prob must have the shape"),
        (lambda: clipped_surrogate(X, X, X[None], clip_range=0.2), "advantages must have the shape"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
