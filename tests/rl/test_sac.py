"""SAC: soft values, targets and one update against closed forms, and the soft optimum of small worlds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.special import logsumexp

from breadth.rl.replay import Batch
from breadth.rl.sac import SAC
from breadth.rl.soft import CategoricalActor, GaussianActor, TwinCritic
from breadth.rl.worlds import SimulatedMDP, gridworld
from tests.rl.tiny import OneHot, Script, Target

F64 = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_batched_critics_are_two_perceptrons_with_weights_of_their_own():
    critic = TwinCritic([3, 8, 8, 2], generator()).double()
    x = torch.randn(5, 3, generator=generator(1), dtype=F64)
    for i in range(2):
        h = x
        for layer, (weight, bias) in enumerate(zip(critic.weights, critic.biases, strict=True)):
            h = h @ weight[i] + bias[i]
            h = h.clamp(min=0) if layer < 2 else h
        torch.testing.assert_close(critic(x)[i], h, rtol=1e-12, atol=1e-14)
    assert not torch.equal(*critic.weights[0])
    assert critic(x[:1]).shape == (2, 1, 2)


def test_a_discrete_soft_value_is_the_sum_over_actions():
    actor = CategoricalActor(spaces.Discrete(3), 4, (8,), generator()).double()
    critic = TwinCritic(actor.critic_sizes, generator(1)).double()
    obs = torch.randn(6, 4, generator=generator(2), dtype=F64)
    soft = actor.soft(critic, obs, 0.3, generator())
    p, q = actor(obs).exp().detach().numpy(), critic(obs).detach().numpy().min(0)
    np.testing.assert_allclose(soft.entropy.detach(), -(p * np.log(p)).sum(1), rtol=1e-12)
    np.testing.assert_allclose(soft.value.detach(), (p * (q - 0.3 * np.log(p))).sum(1), rtol=1e-12)
    actions = torch.tensor([0, 2, 1, 1, 0, 2])
    both = critic(obs)[:, torch.arange(6), actions]
    torch.testing.assert_close(actor.q(critic, obs, actions), both, rtol=0, atol=0)


def test_a_continuous_soft_value_is_an_unbiased_draw_of_the_integral():
    actor = GaussianActor(spaces.Box(-2, 2, (1,)), 1, (8,), generator()).double()
    critic = TwinCritic(actor.critic_sizes, generator(1)).double()
    obs, alpha = torch.full((1, 1), 0.7, dtype=F64), 0.3
    mean, log_std = (x.item() for x in actor(obs))
    u = torch.linspace(mean - 9 * math.exp(log_std), mean + 9 * math.exp(log_std), 20_001, dtype=F64)[:, None]
    density = (-0.5 * ((u - mean) * math.exp(-log_std)) ** 2).exp() / math.sqrt(2 * math.pi) * math.exp(-log_std)
    action = u.tanh()
    log_p = density.log() - (1 - action**2).log()
    q = actor.q(critic, obs.expand(len(u), 1), action).amin(0)[:, None]
    value = torch.trapezoid((density * (q - alpha * log_p)).squeeze(), u.squeeze()).item()
    entropy = torch.trapezoid((density * -log_p).squeeze(), u.squeeze()).item()
    draws = actor.soft(critic, obs.expand(40_000, 1), alpha, generator(3))
    for drawn, exact in ((draws.value, value), (draws.entropy, entropy)):
        assert abs(drawn.mean().item() - exact) < 4 * drawn.std().item() / math.sqrt(40_000)


def test_actions_are_scaled_to_their_bounds_and_back_nothing_is_lost():
    actor = GaussianActor(spaces.Box(np.array([-2, 1]), np.array([2, 5]), dtype=np.float64), 3, (8,), generator())
    ends = np.array([[-1, -1], [1, 1], [0, 0]], np.float32)
    np.testing.assert_allclose(actor.to_env(ends), [[-2, 1], [2, 5], [0, 3]])
    drawn = actor.uniform(1000, np.random.default_rng(0))
    assert drawn.shape == (1000, 2)
    assert abs(drawn).max() <= 1
    assert actor.target_entropy == -2
    assert CategoricalActor(spaces.Discrete(4), 3, (8,), generator()).target_entropy == 0.98 * math.log(4)


def batch_of(agent, rows, seed=0):
    g, n = generator(seed), agent.actor.net[0].in_features
    actions = torch.rand(rows, 1, generator=g) * 2 - 1 if agent.actor.n_actions else torch.arange(rows) % 2
    obs, successors = torch.randn(2, rows, n, generator=g)
    ended = (torch.rand(rows, generator=g) < 0.3).float()
    return Batch(obs, actions, torch.randn(rows, generator=g), successors, ended)


@pytest.mark.parametrize("rows", [1, 40])
def test_targets_of_discrete_actions_are_the_papers_in_numpy(rows):
    agent = SAC(Script, ent_coef=0.2, gamma=0.9, net_arch=(8,), buffer_size=10)
    with torch.no_grad():
        for p in agent.target_critic.parameters():
            p.mul_(2.0)
    batch = batch_of(agent, rows)
    log_p = agent.actor(batch.successors).detach().double().numpy()
    q = agent.target_critic(batch.successors).detach().double().numpy().min(0)
    value = (np.exp(log_p) * (q - 0.2 * log_p)).sum(1)
    expected = batch.rewards.numpy() + 0.9 * (1 - batch.terminated.numpy()) * value
    np.testing.assert_allclose(agent.targets(batch), expected, rtol=1e-5, atol=1e-6)  # float32


def test_one_update_moves_actor_critics_and_temperature_by_their_own_gradients():
    """Each of the three gradients by differentiating its loss in the paper, written without the agent's parts."""
    agent = SAC(Script, gamma=0.9, net_arch=(8,), buffer_size=10, target_entropy=0.5, learning_rate=1e-3)
    batch, alpha = batch_of(agent, 30), agent.ent_coef
    assert alpha == 1.0
    targets = agent.targets(batch)
    q = agent.critic(batch.obs).gather(-1, batch.actions.expand(2, -1)[..., None]).squeeze(-1)
    critics = ((q[0] - targets) ** 2).mean() / 2 + ((q[1] - targets) ** 2).mean() / 2
    expected = {"critic": torch.autograd.grad(critics, list(agent.critic.parameters()))}
    agent._improve(batch)
    # the actor's loss sees the critics after their step: undo nothing, its gradient was kept
    log_p = agent.actor(batch.obs)
    for p, g in zip(agent.critic.parameters(), expected["critic"], strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-5, atol=1e-7)
    # Adam's first step is lr times the sign of the gradient: entropy above its target lowers the temperature
    entropy = -(log_p.exp() * log_p).sum(-1).mean().item()
    assert entropy > 0.5
    assert agent.log_ent_coef.item() == pytest.approx(-1e-3, rel=1e-4)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_the_actor_climbs_its_soft_value_and_leaves_the_critics_alone(kind):
    agent = SAC(Script if kind == "discrete" else Target, ent_coef=0.1, net_arch=(8,), buffer_size=10)
    batch = batch_of(agent, 50)
    params = list(agent.actor.parameters())
    before = [p.clone() for p in agent.critic.parameters()]
    value = agent.actor.soft(agent.critic, batch.obs, 0.1, generator(5)).value.mean()
    expected = torch.autograd.grad(-value, params)
    agent._descend("actor", -agent.actor.soft(agent.critic, batch.obs, 0.1, generator(5)).value.mean())
    for p, g in zip(params, expected, strict=True):
        torch.testing.assert_close(p.grad, g)
    assert all(torch.equal(p, q) for p, q in zip(before, agent.critic.parameters(), strict=True))
    assert all(p.grad is None for p in agent.critic.parameters())
    after = agent.actor.soft(agent.critic, batch.obs, 0.1, generator(5)).value.mean()
    assert after > value


def test_target_critics_follow_by_polyaks_average():
    agent = SAC(Script, tau=0.25, net_arch=(8,), buffer_size=10)
    old = [p.clone() for p in agent.target_critic.parameters()]
    agent._improve(batch_of(agent, 8))
    for before, after, online in zip(old, agent.target_critic.parameters(), agent.critic.parameters(), strict=True):
        torch.testing.assert_close(after, 0.75 * before + 0.25 * online)


def soft_optimum(mdp, alpha):
    """V(s) = alpha log sum_a exp(Q(s, a) / alpha), iterated (Haarnoja et al. 2017, arXiv:1702.08165, theorem 1)."""
    values = np.zeros(mdp.n_states)
    for _ in range(2000):
        q = mdp.q_values(values)
        values = alpha * logsumexp(q / alpha, axis=1)
    return q, np.exp((q - values[:, None]) / alpha)


def test_with_a_fixed_temperature_a_maze_is_solved_to_the_soft_optimum():
    maze, alpha = gridworld([".G", ".X"], step_reward=-0.05, gamma=0.8), 0.1
    agent = SAC(
        lambda: OneHot(SimulatedMDP(maze, max_steps=10)), ent_coef=alpha, gamma=0.8, net_arch=(16,), learning_rate=2e-2,
        tau=0.1, batch_size=64,
    )  # fmt: skip
    agent.learn(700)
    q, policy = soft_optimum(maze, alpha)
    states = torch.eye(maze.n_states)
    np.testing.assert_allclose(agent.critic(states).mean(0).detach(), q, rtol=0, atol=0.1)
    np.testing.assert_allclose(agent.actor(states).exp().detach(), policy, rtol=0, atol=0.15)


@pytest.mark.slow
def test_the_temperature_holds_the_entropy_at_its_target_and_actions_find_theirs():
    agent = SAC(lambda: Target(low=0.0, high=4.0), gamma=0.0, net_arch=(32,), learning_rate=3e-3, tau=0.05)
    agent.learn(4000)
    assert agent.predict(np.zeros(1)) == pytest.approx(2.0, abs=0.15)
    entropy = agent.actor.soft(agent.critic, torch.zeros(2000, 1), 0.0, generator()).entropy.mean().item()
    assert entropy == pytest.approx(-1.0, abs=0.3)


def test_what_soft_actors_cannot_take_is_refused():
    with pytest.raises(ValueError, match="bounds, which must be finite"):
        SAC(lambda: Target(low=-np.inf))
    with pytest.raises(ValueError, match="ent_coef must be >= 0"):
        SAC(Script, ent_coef=-0.1)
    agent = SAC(Script, buffer_size=10)
    batch = batch_of(agent, 8)
    with pytest.raises(FloatingPointError, match="targets are not finite"):
        agent._improve(batch._replace(rewards=batch.rewards * math.inf))
