"""REINFORCE: its gradient is that of the exact return."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from breadth.rl.mdp import MDP
from breadth.rl.reinforce import REINFORCE, Episodes
from breadth.rl.worlds import SimulatedMDP, random_mdp
from tests.rl.tiny import OneHot, Script

F64 = torch.float64


def every_path(mdp, length):
    """All ways through `length` steps: (states, actions, rewards, chance of the moves without the actions')."""
    n, m = mdp.n_states, mdp.n_actions
    for states in itertools.product(range(n), repeat=length):
        for actions in itertools.product(range(m), repeat=length):
            chance = mdp.start[states[0]]
            for s, a, successor in zip(states, actions, states[1:], strict=False):
                chance *= mdp.transitions[s, a, successor]
            if chance > 0:
                yield states, actions, [mdp.rewards[s, a] for s, a in zip(states, actions, strict=True)], chance


@pytest.mark.parametrize("baseline", ["value", "none"])
@pytest.mark.parametrize(("length", "offset"), [(3, 0.0), (3, 1e4), (1, 0.0)])
def test_over_every_path_the_gradient_is_that_of_the_exact_discounted_return(baseline, length, offset):
    mdp, gamma = random_mdp(3, 2, gamma=0.8, seed=3), 0.8
    mdp = MDP(mdp.transitions, mdp.rewards + offset, gamma, mdp.start)
    agent = REINFORCE(
        lambda: OneHot(SimulatedMDP(mdp, max_steps=length)), n_episodes=1, baseline=baseline, gamma=gamma,
        discount_states=True, net_arch=(4,),
    )  # fmt: skip
    policy = agent.policy.double()
    seen = torch.eye(3, dtype=F64)
    actor = list(policy.actor.parameters())

    log_p = policy.distribution(seen).logits.log_softmax(-1)
    reach, exact = torch.tensor(mdp.start), torch.zeros((), dtype=F64)  # dynamic programming over the three steps
    for t in range(length):
        exact = exact + gamma**t * (reach[:, None] * log_p.exp() * torch.tensor(mdp.rewards)).sum()
        reach = torch.einsum("s,sa,sat->t", reach, log_p.exp(), torch.tensor(mdp.transitions))
    expected = torch.autograd.grad(exact, actor, retain_graph=True)

    total = [torch.zeros_like(p) for p in actor]
    discounts = gamma ** torch.arange(length, dtype=F64)
    for states, actions, rewards, chance in every_path(mdp, length):
        returns = torch.tensor([sum(gamma**k * r for k, r in enumerate(rewards[t:])) for t in range(length)], dtype=F64)
        episode = Episodes(seen[list(states)], torch.tensor(actions), returns, discounts)
        weight = chance * float(log_p[list(states), list(actions)].sum().detach().exp())
        for sum_, g in zip(total, torch.autograd.grad(agent.loss(episode), actor), strict=True):
            sum_ -= weight * g
    # sums over 200 paths, whose terms cancel to less than the rewards' size
    torch.testing.assert_close(tuple(total), expected, rtol=1e-10, atol=1e-13 * max(1.0, offset))


def test_the_baseline_takes_most_of_the_gradients_variance_and_learns_the_returns():
    def spread(agent):
        """Variance of the policy's gradient over episodes of one policy."""
        rows = []
        for _ in range(40):
            episodes = agent._play(_Never(), [], [])
            loss = agent.loss(episodes)
            grads = torch.autograd.grad(loss, list(agent.policy.actor.parameters()))
            rows.append(torch.cat([g.flatten() for g in grads]))
        return torch.stack(rows).var(0).sum().item()

    class _Never:
        def stops(self):
            return False

    def make():
        return Script(length=10, terminates=True, reward=1.0)

    with_, without = (REINFORCE(make, baseline=b, learning_rate=1e-9, n_episodes=1) for b in ("value", "none"))
    with_.learn(3000)  # the policy stands still, and the baseline learns what is left to be earned
    left = with_.policy.value(torch.tensor([[0.0, 1.0], [0.5, 1.0], [0.9, 1.0]])).detach()
    torch.testing.assert_close(left, torch.tensor([9.56, 4.90, 1.0]), rtol=0, atol=0.3)
    assert spread(with_) < 0.05 * spread(without)


@pytest.mark.parametrize("terminates", [True, False])
def test_returns_of_a_played_episode_are_sums_that_go_on_where_it_was_cut_off(terminates):
    class _Never:
        def stops(self):
            return False

    agent = REINFORCE(lambda: Script(length=4, terminates=terminates, reward=1.0), gamma=0.5, n_episodes=3)
    returns, lengths = [], []
    episodes = agent._play(_Never(), returns, lengths)
    after = 0.0 if terminates else agent.policy.value(torch.tensor([1.0, 1.0])).item()
    expected = [sum(0.5**k for k in range(4 - t)) + 0.5 ** (4 - t) * after for t in range(4)]
    np.testing.assert_allclose(episodes.returns.reshape(4, 3), np.repeat(expected, 3).reshape(4, 3), rtol=1e-6)
    np.testing.assert_allclose(episodes.discounts.reshape(4, 3)[:, 0], [1, 0.5, 0.25, 0.125])
    np.testing.assert_allclose(episodes.obs[:, 0], np.repeat([0, 0.25, 0.5, 0.75], 3))
    assert (returns, lengths, agent.num_timesteps) == ([4.0] * 3, [4] * 3, 12)


def test_episodes_of_different_length_wait_for_the_longest_and_are_counted_once():
    mdp = random_mdp(4, 2, p_end=0.3, seed=1)
    agent = REINFORCE(lambda: OneHot(SimulatedMDP(mdp, max_steps=30)), n_episodes=6)
    curve = agent.learn(500)
    assert len(curve) % 6 == 0
    assert curve.lengths.sum() == agent.num_timesteps == curve.steps[-1] >= 500
    assert len(set(curve.lengths)) > 3


def test_it_learns_the_action_that_pays():
    agent = REINFORCE(Script, seed=0)
    curve = agent.learn(3000)
    assert curve.mean_return(20) > 4.9  # of 5
    with pytest.raises(ValueError, match='baseline must be "value" or "none"'):
        REINFORCE(Script, baseline="mean")
