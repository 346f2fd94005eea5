"""Reinforcement learning beside stable-baselines3: on equal weights and rows, its losses, gradients and whole runs."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from breadth.rl.a2c import A2C
from breadth.rl.dqn import DQN
from breadth.rl.ppo import PPO
from breadth.rl.replay import Batch
from breadth.rl.returns import discounted_returns, gae
from breadth.rl.rollout import Samples
from breadth.rl.sac import SAC

sb3 = pytest.importorskip("stable_baselines3")
from stable_baselines3.common.buffers import RolloutBuffer  # noqa: E402
from stable_baselines3.common.logger import Logger  # noqa: E402
from stable_baselines3.common.type_aliases import ReplayBufferSamples, RolloutBufferSamples  # noqa: E402

SINGLE = {"rtol": 2e-5, "atol": 2e-6}  # its networks compute in float32


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (0.9, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_gae_is_its_rollout_buffers(gamma, gae_lambda, mean):
    T, n = 64, 3
    rng = np.random.default_rng(0)
    rewards, values, successors = (mean + rng.normal(size=(T, n)).astype(np.float32) for _ in range(3))
    ends = rng.random((T, n)) < 0.15
    cut = ends & (rng.random((T, n)) < 0.5)
    buffer = RolloutBuffer(T, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), gamma=gamma, gae_lambda=gae_lambda, n_envs=n)
    starts = np.vstack([np.ones(n), ends[:-1]])
    for t in range(T):
        # what it adds to the reward of a step where a time limit struck: see its collect_rollouts
        paid = rewards[t] + gamma * successors[t] * cut[t]
        buffer.add(np.zeros((n, 1)), np.zeros(n), paid, starts[t], torch.from_numpy(values[t]), torch.zeros(n))
    last = torch.from_numpy(successors[-1])
    buffer.compute_returns_and_advantage(last, ends[-1])

    following = np.where(cut, successors, np.vstack([values[1:], successors[-1:]]))
    ours, returns = gae(
        *map(torch.from_numpy, (rewards, values, following)),
        terminated=torch.from_numpy(ends & ~cut),
        truncated=torch.from_numpy(cut),
        gamma=gamma,
        gae_lambda=gae_lambda,
    )
    tolerance = {"rtol": 1e-5, "atol": 1e-5 * (1 + mean)}  # both in float32, each with its own order of the sum
    np.testing.assert_allclose(ours, buffer.advantages, **tolerance)
    np.testing.assert_allclose(returns, buffer.returns, **tolerance)
    if gae_lambda == 1:
        sums = discounted_returns(
            torch.from_numpy(rewards), gamma=gamma, terminated=torch.from_numpy(ends & ~cut),
            truncated=torch.from_numpy(cut), next_values=torch.from_numpy(following),
        )  # fmt: skip
        np.testing.assert_allclose(sums, buffer.returns, **tolerance)


def silent(model):
    model.set_logger(Logger(None, []))
    return model


def copy_layers(ours, theirs):
    """Weights of theirs into ours, linear layer by linear layer."""
    layers = [layer for layer in ours if isinstance(layer, nn.Linear)]
    for one, other in zip(layers, theirs, strict=True):
        one.load_state_dict(other.state_dict())


def linear(*modules):
    return [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]


def gradients_agree(ours, theirs):
    """Within float32's rounding of the largest entry of each: an entry is a sum over rows that may cancel."""
    for one, other in zip(ours, theirs, strict=True):
        for given, expected in ((one.weight.grad, other.weight.grad), (one.bias.grad, other.bias.grad)):
            atol = SINGLE["atol"] * max(1.0, expected.abs().max().item())
            torch.testing.assert_close(given, expected, rtol=SINGLE["rtol"], atol=atol)


def actor_critic_layers(model):
    policy = model.policy
    actor = linear(policy.mlp_extractor.policy_net, policy.action_net)
    return actor, linear(policy.mlp_extractor.value_net, policy.value_net)


ON_POLICY = {
    "PPO": ({"n_epochs": 1, "n_steps": 64, "batch_size": 64, "clip_range": 0.1}, PPO, sb3.PPO),
    "PPO, not normalised": (
        {"n_epochs": 1, "n_steps": 64, "batch_size": 64, "normalize_advantage": False, "clip_range_vf": 1e6},
        PPO, sb3.PPO,
    ),
    "A2C": ({"n_steps": 64}, A2C, sb3.A2C),
    "A2C, normalised": ({"n_steps": 64, "normalize_advantage": True}, A2C, sb3.A2C),
}  # fmt: skip


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("name", ON_POLICY)
@pytest.mark.parametrize("regime", ["usual", "few rows", "mean 1e4", "nearly certain actions"])
def test_the_loss_of_an_actor_critic_and_its_gradient_are_its_own(name, env, regime):
    settings, cls, peer_cls = ON_POLICY[name]
    normalised = settings.get("normalize_advantage", cls is PPO)
    rows, mean = {"few rows": 2 if normalised else 1}.get(regime, 64), 1e4 if regime == "mean 1e4" else 0.0
    settings = {**settings, "ent_coef": 0.02, "vf_coef": 0.3, "max_grad_norm": 1e9}
    agent, peer = cls(env, **settings), silent(peer_cls("MlpPolicy", env, device="cpu", seed=1, **settings))
    actor, critic = actor_critic_layers(peer)
    log_std = -0.3
    if regime == "nearly certain actions":
        log_std = -3.0
        with torch.no_grad():
            peer.policy.action_net.weight *= 1e4  # logits of tens, where it starts with hundredths
    copy_layers(agent.policy.actor, actor)
    copy_layers(agent.policy.critic, critic)
    g = torch.Generator().manual_seed(0)
    obs = torch.randn(rows, peer.observation_space.shape[0], generator=g)
    if agent.policy.continuous:
        with torch.no_grad():
            agent.policy.log_std.fill_(log_std)
            peer.policy.log_std.fill_(log_std)
            mean_action = agent.policy.distribution(obs).mode()
        actions = mean_action + torch.randn(rows, 1, generator=g) * np.exp(log_std)
    else:
        actions = torch.randint(2, (rows,), generator=g)
    values, advantages, returns, noise = torch.randn(4, rows, generator=g)
    advantages, returns = advantages + mean, returns + mean
    with torch.no_grad():
        old = peer.policy.evaluate_actions(obs, actions)[1] + 0.3 * noise
    seen = RolloutBufferSamples(obs, actions.reshape(rows, -1).float(), values, old, advantages, returns)
    peer.rollout_buffer.get = lambda batch_size=None: iter([seen])
    peer.train()

    batch = Samples(obs, actions, old, values, advantages, returns)
    loss = agent.loss(batch, 0.1 if "clip_range" in settings else 0.2)[0] if cls is PPO else agent.loss(batch)
    loss.backward()
    logged = peer.logger.name_to_value
    gain = logged["train/policy_gradient_loss" if cls is PPO else "train/policy_loss"]
    theirs = gain + 0.02 * logged["train/entropy_loss"] + 0.3 * logged["train/value_loss"]
    assert loss.item() == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    for network, layers in ((agent.policy.actor, actor), (agent.policy.critic, critic)):
        gradients_agree(linear(network), layers)
    if agent.policy.continuous:
        torch.testing.assert_close(agent.policy.log_std.grad, peer.policy.log_std.grad, **SINGLE)


@pytest.mark.parametrize(("n", "mean"), [(50, 0.0), (50, 1e4), (1, 0.0)])
@pytest.mark.parametrize("tied", [False, True])
def test_the_loss_of_dqn_and_its_gradient_are_its_own(n, mean, tied):
    agent, peer = DQN("CartPole-v1"), silent(sb3.DQN("MlpPolicy", "CartPole-v1", device="cpu", max_grad_norm=1e9))
    with torch.no_grad():
        for p in peer.q_net_target.parameters():
            p.mul_(0.0 if tied else 3.0)  # so that the two networks differ, and some errors are beyond Huber's corner
    copy_layers(agent.q_net, linear(peer.q_net))
    copy_layers(agent.target_net, linear(peer.q_net_target))
    g = torch.Generator().manual_seed(0)
    obs, successors = torch.randn(2, n, 4, generator=g)
    actions, ended = torch.randint(2, (n,), generator=g), (torch.rand(n, generator=g) < 0.2).float()
    rewards = mean + 2 * torch.randn(n, generator=g)
    column = {"actions": actions[:, None], "dones": ended[:, None], "rewards": rewards[:, None]}
    rows = ReplayBufferSamples(observations=obs, next_observations=successors, **column)
    peer.replay_buffer.sample = lambda *_, **__: rows
    peer.train(gradient_steps=1, batch_size=n)
    batch = Batch(obs, actions, rewards, successors, ended)
    loss = agent.loss(batch, agent.targets(batch))
    loss.backward()
    assert loss.item() == pytest.approx(peer.logger.name_to_value["train/loss"], rel=1e-5)
    gradients_agree(linear(agent.q_net), linear(peer.q_net))


def soft_pair():
    """SAC on Pendulum, ours and theirs with equal weights, theirs with a learning rate too small to move."""
    peer = silent(
        sb3.SAC(
            "MlpPolicy", "Pendulum-v1", device="cpu", seed=1, learning_rate=1e-30, ent_coef="auto_1.4",
            policy_kwargs={"net_arch": [32, 32]}, buffer_size=10,
        )
    )  # fmt: skip
    agent = SAC("Pendulum-v1", net_arch=(32, 32), buffer_size=10)
    with torch.no_grad():
        agent.log_ent_coef.copy_(peer.log_ent_coef[0])
        for p in peer.critic_target.parameters():
            p.mul_(1.2)
        layers = linear(agent.actor.net)
        copy_layers(layers[:2], linear(peer.actor.latent_pi))
        for name in ("weight", "bias"):
            last = torch.cat([getattr(peer.actor.mu, name), getattr(peer.actor.log_std, name)])
            getattr(layers[2], name).copy_(last)
        for ours, theirs in ((agent.critic, peer.critic), (agent.target_critic, peer.critic_target)):
            for i, twin in enumerate((theirs.qf0, theirs.qf1)):
                for layer, weight, bias in zip(linear(twin), ours.weights, ours.biases, strict=True):
                    weight[i].copy_(layer.weight.T)
                    bias[i].copy_(layer.bias)
    return agent, peer


@pytest.mark.parametrize(("n", "mean"), [(40, 0.0), (40, 1e4), (1, 0.0)])
def test_the_three_losses_of_sac_and_the_actors_gradient_are_its_own(n, mean):
    agent, peer = soft_pair()
    g = torch.Generator().manual_seed(0)
    obs, successors = torch.randn(2, n, 3, generator=g)
    actions, ended = torch.rand(n, 1, generator=g) * 2 - 1, (torch.rand(n, generator=g) < 0.2).float()
    rewards = mean + torch.randn(n, generator=g)
    rows = ReplayBufferSamples(
        observations=obs, actions=actions, next_observations=successors, dones=ended[:, None], rewards=rewards[:, None]
    )
    peer.replay_buffer.sample = lambda *_, **__: rows
    torch.manual_seed(7)
    peer.train(gradient_steps=1, batch_size=n)

    torch.manual_seed(7)  # the same noise: it draws for the states first, then for their successors
    agent._generator, alpha = torch.default_generator, agent.ent_coef
    soft = agent.actor.soft(agent.critic, obs, alpha, agent._generator)
    targets = agent.targets(Batch(obs, actions, rewards, successors, ended))
    critics = 0.5 * (agent.actor.q(agent.critic, obs, actions) - targets).square().mean(1).sum()
    temperature = agent.log_ent_coef * (soft.entropy.detach().mean() - agent.actor.target_entropy)
    logged = peer.logger.name_to_value
    # its log(1 - a^2) has 1e-6 added inside, and is off by 1e-6 / (1 - a^2)
    assert (-soft.value.mean()).item() == pytest.approx(logged["train/actor_loss"], rel=2e-4)
    assert critics.item() == pytest.approx(logged["train/critic_loss"], rel=2e-4)
    assert temperature.item() == pytest.approx(logged["train/ent_coef_loss"], rel=2e-4)
    assert alpha == pytest.approx(logged["train/ent_coef"], rel=1e-6)
    ours = torch.autograd.grad(-soft.value.mean(), list(agent.actor.parameters()))
    first, second, mu, log_std = linear(peer.actor.latent_pi, peer.actor.mu, peer.actor.log_std)
    theirs = [first.weight, first.bias, second.weight, second.bias]
    last = [torch.cat([getattr(mu, name).grad, getattr(log_std, name).grad]) for name in ("weight", "bias")]
    for given, expected in zip(ours, [*(p.grad for p in theirs), *last], strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-5)  # as above


def test_sac_acts_greedily_and_at_random_as_it_does():
    agent, peer = soft_pair()
    obs = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    np.testing.assert_allclose(agent.predict(obs), peer.predict(obs, deterministic=True)[0], rtol=1e-4, atol=1e-5)
    torch.manual_seed(3)
    theirs = peer.predict(obs, deterministic=False)[0]
    torch.manual_seed(3)
    agent._generator = torch.default_generator
    np.testing.assert_allclose(agent.predict(obs, deterministic=False), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"n_envs": 4, "target_update_interval": 30}])
def test_updates_of_dqn_fall_on_the_same_steps_as_its_own(settings, monkeypatch):
    """How many environment steps were taken at each update of the network, and of its target."""
    from stable_baselines3.common.env_util import make_vec_env

    common = {"learning_starts": 50, "train_freq": 8, "gradient_steps": 3, "target_update_interval": 20, **settings}
    n_envs = common.pop("n_envs", 1)
    seen = {"ours": [], "theirs": []}
    agent = DQN("CartPole-v1", n_envs=n_envs, buffer_size=500, **common)
    improve = agent._improve
    monkeypatch.setattr(agent, "_improve", lambda: (seen["ours"].append(agent.num_timesteps), improve())[1])
    monkeypatch.setattr("breadth.rl.dqn.move_towards", lambda *_: seen["ours"].append(("target", agent.num_timesteps)))
    agent.learn(192)  # whole bursts: it finishes the last one
    peer = sb3.DQN("MlpPolicy", make_vec_env("CartPole-v1", n_envs), buffer_size=500, device="cpu", **common)
    train = peer.train
    monkeypatch.setattr(peer, "train", lambda **how: (seen["theirs"].append(peer.num_timesteps), train(**how))[1])
    monkeypatch.setattr(
        "stable_baselines3.dqn.dqn.polyak_update",
        lambda parameters, *_: list(parameters) and seen["theirs"].append(("target", peer.num_timesteps)),
    )
    peer.learn(192)
    assert seen["ours"] == seen["theirs"]


def test_epsilon_is_its_own_at_every_step():
    settings = {"exploration_fraction": 0.3, "exploration_final_eps": 0.07, "learning_starts": 1}
    agent, peer = DQN("CartPole-v1", **settings), sb3.DQN("MlpPolicy", "CartPole-v1", device="cpu", **settings)
    for steps in (1, 30, 299, 300, 301, 1000):
        agent.num_timesteps = steps
        assert agent.epsilon(1000) == pytest.approx(peer.exploration_schedule(1 - steps / 1000), abs=1e-12)


class Told:
    """A generator that says what it is told: which row by one stream of draws, which action by the step alone."""

    def __init__(self, agent):
        self.agent, self.rows = agent, np.random.default_rng(1)
        self.at_random, self.chances = np.random.default_rng(2).integers(2, size=2000), self.rows.random(2000)

    def integers(self, high, size=None):
        if size is None:
            return 7  # where the episodes begin
        if size == 1:
            return self.at_random[[self.agent.num_timesteps]]
        return (self.rows.random(size) * high).astype(int)

    def random(self, size=1):
        return self.chances[[self.agent.num_timesteps]]


def test_a_whole_run_of_dqn_is_its_own_where_both_draw_the_same(monkeypatch):
    """From equal weights: what is done and seen at each step, time limits among it, and the weights in the end."""
    from stable_baselines3.common.env_util import make_vec_env

    def make():
        return gymnasium.make("CartPole-v1", max_episode_steps=10)

    common = {"learning_rate": 2.3e-3, "batch_size": 32, "buffer_size": 400, "learning_starts": 100, "train_freq": 16,
              "gradient_steps": 8, "target_update_interval": 40, "exploration_fraction": 0.5}  # fmt: skip
    steps = 608
    torch.manual_seed(0)  # of its first weights
    agent, peer = DQN(make, **common), sb3.DQN("MlpPolicy", make_vec_env(make), device="cpu", **common)
    copy_layers(agent.q_net, linear(peer.q_net))
    copy_layers(agent.target_net, linear(peer.q_net_target))
    agent._rng, told = Told(agent), Told(peer)
    peer.env.seed(7)
    monkeypatch.setattr(peer.action_space, "sample", lambda: told.integers(2, size=1)[0])
    monkeypatch.setattr(np.random, "rand", lambda: told.random()[0])
    # it draws the copy of the environment too, which is the only one
    monkeypatch.setattr(
        np.random, "randint", lambda low, high, size: np.zeros(size, int) if high == 1 else told.integers(high, size)
    )
    assert len(agent.learn(steps)) > 20
    peer.learn(steps)

    ours, theirs = agent.buffer.state_dict()["columns"], peer.replay_buffer
    assert theirs.timeouts.any()
    for name, column in (
        ("obs", theirs.observations[:, 0]), ("actions", theirs.actions[:, 0, 0]), ("rewards", theirs.rewards[:, 0]),
        ("successors", theirs.next_observations[:, 0]),
        ("terminated", theirs.dones[:, 0] * (1 - theirs.timeouts[:, 0])),
    ):  # fmt: skip
        np.testing.assert_array_equal(ours[name], column)
    for one, other in zip(linear(agent.q_net), linear(peer.q_net), strict=True):
        torch.testing.assert_close(one.weight, other.weight, rtol=1e-5, atol=1e-5)  # float32, 256 updates


class Shuffled:
    """A generator that shuffles rows of (steps, copies) as its twin shuffles rows of (copies, steps)."""

    def __init__(self, steps):
        self.steps, self.rng = steps, np.random.default_rng(3)

    def integers(self, high):
        return 7  # where the episodes begin

    def permutation(self, n):
        copy, step = np.divmod(self.rng.permutation(n), self.steps)
        return step * (n // self.steps) + copy


def test_a_whole_run_of_ppo_is_its_own_where_both_draw_the_same(monkeypatch):
    """From equal weights, over five rollouts with time limits: when episodes end, and the weights in the end."""
    from stable_baselines3.common.distributions import CategoricalDistribution
    from stable_baselines3.common.env_util import make_vec_env

    def make():
        return gymnasium.make("CartPole-v1", max_episode_steps=20)

    common = {"n_steps": 32, "batch_size": 64, "n_epochs": 4, "learning_rate": 1e-3, "gae_lambda": 0.9}
    steps = 5 * 32 * 4
    torch.manual_seed(0)  # of its first weights
    agent, peer = PPO(make, n_envs=4, **common), sb3.PPO("MlpPolicy", make_vec_env(make, 4), device="cpu", **common)
    actor, critic = actor_critic_layers(peer)
    copy_layers(agent.policy.actor, actor)
    copy_layers(agent.policy.critic, critic)
    agent._rng = Shuffled(common["n_steps"])
    peer.env.seed(7)
    ours, theirs, shuffled = np.random.default_rng(1), np.random.default_rng(1), np.random.default_rng(3)
    right = lambda rng, p: torch.from_numpy((rng.random(len(p)) < p.numpy()).astype(np.int64))  # noqa: E731
    monkeypatch.setattr(
        "breadth.rl.policies.Categorical.sample", lambda self, _: right(ours, self.logits.softmax(-1)[:, 1])
    )
    monkeypatch.setattr(CategoricalDistribution, "sample", lambda self: right(theirs, self.distribution.probs[:, 1]))
    monkeypatch.setattr(np.random, "permutation", shuffled.permutation)
    curve = agent.learn(steps)
    peer.learn(steps)
    lengths = [episode["l"] for episode in peer.ep_info_buffer]
    assert curve.lengths.tolist() == lengths
    assert 20 in lengths
    assert min(lengths) < 20
    for network, layers in ((agent.policy.actor, actor), (agent.policy.critic, critic)):
        for one, other in zip(linear(network), layers, strict=True):
            torch.testing.assert_close(one.weight, other.weight, rtol=1e-5, atol=1e-5)  # float32, 40 updates
