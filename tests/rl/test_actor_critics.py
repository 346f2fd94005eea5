"""PPO and A2C, their rollouts, networks and distributions: each number by another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import distributions as D

from breadth.rl.a2c import A2C
from breadth.rl.curves import Recorder
from breadth.rl.envs import Envs
from breadth.rl.policies import ActorCritic, Categorical, DiagonalGaussian, mlp, squashed_gaussian
from breadth.rl.ppo import PPO
from breadth.rl.rollout import Collector, Samples, assess
from tests.rl.tiny import Script, Target

F64 = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_categories_have_torchs_log_probabilities_and_entropy_and_are_drawn_as_often(scale):
    logits = scale * torch.randn(50, 6, generator=generator(), dtype=F64)
    ours, peer = Categorical(logits), D.Categorical(logits=logits)
    actions = torch.randint(6, (50,), generator=generator(1))
    torch.testing.assert_close(ours.log_prob(actions), peer.log_prob(actions), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.entropy(), peer.entropy(), rtol=1e-12, atol=1e-12)
    many = Categorical(torch.tensor([0.1, 0.2, 0.7]).log().expand(30_000, 3)).sample(generator())
    share = torch.bincount(many) / 30_000
    assert (share - torch.tensor([0.1, 0.2, 0.7])).abs().max() < 4 * 0.5 / math.sqrt(30_000)
    assert ours.mode().tolist() == logits.argmax(-1).tolist()


@pytest.mark.parametrize("d", [1, 3])
def test_normals_have_torchs_log_probabilities_and_entropy_and_are_drawn_alike(d):
    mean, log_std = 1e4 + torch.randn(20, d, generator=generator(), dtype=F64), torch.linspace(-3, 1, d, dtype=F64)
    ours, peer = DiagonalGaussian(mean, log_std), D.Independent(D.Normal(mean, log_std.exp().expand_as(mean)), 1)
    action = mean + torch.randn(20, d, generator=generator(1), dtype=F64)
    torch.testing.assert_close(ours.log_prob(action), peer.log_prob(action), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.entropy(), peer.entropy(), rtol=1e-12, atol=1e-12)
    draws = DiagonalGaussian(torch.full((50_000, d), 2.0), log_std.float()).sample(generator())
    torch.testing.assert_close(draws.std(0), log_std.float().exp(), rtol=0.02, atol=0)
    torch.testing.assert_close(ours.mode(), mean, rtol=0, atol=0)


def test_squashed_normals_have_torchs_log_probabilities_and_stay_finite_where_tanh_is_1():
    mean, log_std = torch.randn(40, 2, generator=generator(), dtype=F64), torch.full((40, 2), -0.5, dtype=F64)
    action, log_prob = squashed_gaussian(mean, log_std, generator(3))
    squash = D.TanhTransform(cache_size=0)  # so that it inverts the action instead of remembering where it came from
    peer = D.Independent(D.TransformedDistribution(D.Normal(mean, log_std.exp()), [squash]), 1)
    torch.testing.assert_close(log_prob, peer.log_prob(action), rtol=1e-9, atol=1e-9)  # atanh near 1 loses digits
    mean = torch.tensor([[300.0, -300.0]], requires_grad=True)
    action, log_prob = squashed_gaussian(mean, torch.zeros(1, 2), generator())
    assert action.tolist() == [[1.0, -1.0]]
    # -log(1 - tanh^2) grows as 2 |u| - 2 log 2
    assert log_prob.item() == pytest.approx(2 * (600 - 2 * math.log(2)), rel=0.02)
    log_prob.sum().backward()
    torch.testing.assert_close(mean.grad, torch.tensor([[2.0, -2.0]]))


def test_networks_start_orthogonal_with_a_small_last_layer_or_as_torch_draws_them():
    first, last = (
        layer.weight.detach().double()
        for layer in mlp([4, 32, 3], "tanh", generator=generator(), orthogonal=True, output_gain=0.01)[::2]
    )
    torch.testing.assert_close(first.T @ first, 2 * torch.eye(4, dtype=F64), rtol=0, atol=1e-5)  # float32
    torch.testing.assert_close(last @ last.T, 1e-4 * torch.eye(3, dtype=F64), rtol=0, atol=1e-9)
    plain = mlp([100, 500, 1], "relu", generator=generator())[0]
    for p in (plain.weight, plain.bias):
        assert p.abs().max() <= 0.1
        assert p.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)


class Patient:
    """Stands for an agent towards a collector."""

    num_timesteps, seed = 0, 0

    def predict(self, obs):
        raise NotImplementedError


def collected(make, n_envs, n_steps, *, rollouts=1, gamma=0.9, gae_lambda=0.8):
    envs, agent = Envs(make, n_envs), Patient()
    policy = ActorCritic(
        envs.observation_space, envs.action_space, net_arch=(8,), activation="tanh", generator=generator(), agent="A"
    )
    collector = Collector(envs, 0, Recorder.of(agent, envs, None), torch.device("cpu"))
    for _ in range(rollouts):
        rollout = collector.collect(agent, policy, n_steps, generator(1))
    return rollout, assess(rollout, policy, gamma=gamma, gae_lambda=gae_lambda), policy


@pytest.mark.parametrize("terminates", [True, False])
def test_advantages_of_a_rollout_are_sums_that_know_how_each_episode_ended(terminates):
    rollout, samples, policy = collected(lambda: Script(length=3, terminates=terminates), n_envs=2, n_steps=8)
    value = policy.value(torch.tensor([[t / 3, 1.0] for t in range(4)])).tolist()
    expected = np.zeros((8, 2))
    for i in range(2):
        for t in range(8):
            for l in range(8 - t):
                step, where = t + l, (t + l) % 3
                over = where == 2
                following = 0.0 if over and terminates else 0.9 * value[where + 1]  # of the state before any reset
                expected[t, i] += (0.9 * 0.8) ** l * (rollout.rewards[step, i].item() + following - value[where])
                if over:
                    break
    np.testing.assert_allclose(samples.advantages.reshape(8, 2), expected, rtol=0, atol=1e-5)  # float32
    np.testing.assert_allclose(samples.obs[:, 0].reshape(8, 2)[:, 0], [t % 3 / 3 for t in range(8)])
    torch.testing.assert_close(samples.returns, samples.advantages + samples.values)
    log_p = policy.distribution(samples.obs).logits.log_softmax(-1)
    torch.testing.assert_close(samples.log_prob, log_p[torch.arange(16), samples.actions])


def test_the_next_rollout_begins_where_the_last_one_ended():
    rollout, _, _ = collected(lambda: Script(length=5), n_envs=1, n_steps=3, rollouts=2)
    np.testing.assert_allclose(rollout.obs[:, 0, 0], [0.6, 0.8, 0.0])
    np.testing.assert_allclose(rollout.successors[:, 0, 0], [0.8, 1.0, 0.2])
    assert rollout.truncated[:, 0].tolist() == [False, True, False]


def batch_for(agent, rows, seed=0):
    g = generator(seed)
    obs = torch.randn(rows, 1, generator=g)
    if agent.policy.continuous:
        actions = torch.randn(rows, 2, generator=g)
    else:
        actions = torch.randint(2, (rows,), generator=g)
        obs = torch.randn(rows, 2, generator=g)
    old, values, advantages, returns = torch.randn(4, rows, generator=g)
    with torch.no_grad():
        old = agent.policy.distribution(obs).log_prob(actions) + 0.3 * old
    return Samples(obs, actions, old, values, 3 + advantages, returns)


ENVS = {"discrete": Script, "continuous": lambda: Target(d=2)}


@pytest.mark.parametrize("kind", ENVS)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("clip_range_vf", [None, 0.2])
def test_the_loss_of_ppo_is_the_papers_written_in_numpy(kind, normalize, clip_range_vf):
    agent = PPO(
        ENVS[kind], clip_range=0.2, clip_range_vf=clip_range_vf, ent_coef=0.03, vf_coef=0.7,
        normalize_advantage=normalize, net_arch=(8,),
    )  # fmt: skip
    batch = Samples(*(x.double() if x.is_floating_point() else x for x in batch_for(agent, 50)))
    agent.policy.double()
    loss, divergence = agent.loss(batch, 0.2)
    _, _, old, before, A, R = (x.numpy() for x in batch)
    output, V = (net(batch.obs).detach().numpy() for net in (agent.policy.actor, agent.policy.critic))
    if kind == "discrete":
        log_p = output - np.log(np.exp(output).sum(1, keepdims=True))
        new, entropy = log_p[np.arange(50), batch.actions], -(np.exp(log_p) * log_p).sum(1)
    else:  # unit normals
        new = -0.5 * ((batch.actions.numpy() - output) ** 2).sum(1) - math.log(2 * math.pi)
        entropy = np.full(50, math.log(2 * math.pi * math.e))
    if normalize:
        A = (A - A.mean()) / (A.std(ddof=1) + 1e-8)
    ratio, V = np.exp(new - old), V[:, 0]
    gain = np.minimum(ratio * A, np.clip(ratio, 0.8, 1.2) * A).mean()
    error = (V - R) ** 2
    if clip_range_vf is not None:
        error = np.maximum(error, (before + np.clip(V - before, -0.2, 0.2) - R) ** 2)
    assert loss.item() == pytest.approx(-gain + 0.7 * error.mean() - 0.03 * entropy.mean(), rel=1e-12)
    assert divergence.item() == pytest.approx((ratio - 1 - np.log(ratio)).mean(), rel=1e-12)


@pytest.mark.parametrize("kind", ENVS)
def test_one_step_of_a2c_is_the_policy_gradient_with_the_critics_error(kind):
    agent = A2C(ENVS[kind], ent_coef=0.02, vf_coef=0.4, net_arch=(8,))
    batch = Samples(*(x.double() if x.is_floating_point() else x for x in batch_for(agent, 30)))
    agent.policy.double()
    params = list(agent.policy.parameters())
    given = torch.autograd.grad(agent.loss(batch), params)
    policy, total = agent.policy, [torch.zeros_like(p) for p in params]
    for i in range(30):  # one row after the other, with torch's distributions
        output, value = policy.actor(batch.obs[i]), policy.critic(batch.obs[i])
        if kind == "discrete":
            distribution = D.Categorical(logits=output)
        else:
            distribution = D.Independent(D.Normal(output, policy.log_std.exp()), 1)
        loss = -distribution.log_prob(batch.actions[i]) * batch.advantages[i] - 0.02 * distribution.entropy()
        loss = loss + 0.4 * (value.squeeze() - batch.returns[i]) ** 2
        for sum_, g in zip(total, torch.autograd.grad(loss, params, allow_unused=True), strict=True):
            sum_ += 0 if g is None else g / 30
    torch.testing.assert_close(given, tuple(total), rtol=1e-11, atol=1e-14)  # order of the sum over rows


def test_with_one_epoch_of_one_batch_ppo_and_a2c_have_the_same_policy_gradient():
    ppo, a2c = PPO(Script, normalize_advantage=False), A2C(Script)
    a2c.policy.load_state_dict(ppo.policy.state_dict())
    batch = batch_for(ppo, 20)
    with torch.no_grad():
        batch = batch._replace(log_prob=ppo.policy.distribution(batch.obs).log_prob(batch.actions))
    ppo.loss(batch, 0.2)[0].backward()
    a2c.loss(batch).backward()
    for p, q in zip(ppo.policy.parameters(), a2c.policy.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def same(one, other):
    return all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


def test_schedules_fall_to_0_at_the_end_and_a_large_divergence_ends_the_epochs():
    agent = PPO(
        Script, n_steps=32, batch_size=32, learning_rate=1e-3, learning_rate_schedule="linear",
        clip_range_schedule="linear",
    )  # fmt: skip
    rates = []
    agent.learn(128, lambda a: rates.append(a._optimizer.param_groups[0]["lr"]))
    np.testing.assert_allclose(sorted(set(rates), reverse=True), [1e-3, 7.5e-4, 5e-4, 2.5e-4])
    before = [p.clone() for p in agent.policy.parameters()]
    agent._improve(batch_for(agent, 32), remaining=0.0)
    assert same(before, agent.policy.parameters())
    stopped, free = (PPO(Script, n_steps=32, batch_size=32, learning_rate=1e-2, target_kl=kl) for kl in (1e-9, None))
    before = [p.clone() for p in free.policy.parameters()]
    batch = batch_for(stopped, 32)
    for agent in (stopped, free):
        agent._improve(batch, remaining=1.0)
    assert same(before, stopped.policy.parameters())
    assert not same(before, free.policy.parameters())
    annealed = A2C(Script, anneal=True, learning_rate=1e-3)
    annealed.learn(10)
    assert annealed._optimizer.param_groups[0]["lr"] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: PPO(Script, n_steps=32, batch_size=32, n_epochs=5, learning_rate=3e-2, net_arch=(8,)),
        lambda: A2C(Script, n_envs=4, learning_rate=1e-2, net_arch=(8,)),
    ],
)
def test_the_action_that_pays_is_learnt(make):
    agent = make()
    curve = agent.learn(1500)
    assert curve.mean_return(20) > 4.5  # of 5
    assert (agent.predict(np.array([[0.0, 1.0], [0.8, 1.0]])) == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda env: PPO(env, n_steps=64, learning_rate=1e-2, n_envs=2, gamma=0.0),
        lambda env: A2C(env, n_envs=8, learning_rate=5e-3, gamma=0.0, normalize_advantage=True),
    ],
)
def test_a_continuous_action_comes_to_the_target_or_to_the_bound_nearest_it(make):
    agent = make(lambda: Target(low=0.0, high=4.0, d=2))  # the second target, -0.5, is out of bounds
    agent.learn(12_000)
    action = agent.predict(np.zeros(1))
    assert action[0] == pytest.approx(2.0, abs=0.25)
    assert action[1] < 0.25
