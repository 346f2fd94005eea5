"""DQN and its replay buffer: targets and steps by hand, and the optimum of small worlds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from breadth.rl.dqn import DQN
from breadth.rl.mdp import policy_iteration
from breadth.rl.replay import Batch, ReplayBuffer
from breadth.rl.worlds import SimulatedMDP, gridworld
from tests.rl.tiny import OneHot, Script


def transitions(start, n):
    """Rows that can be told apart: row k holds k everywhere."""
    k = np.arange(start, start + n, dtype=np.float32)
    return np.column_stack([k, k]), k.astype(np.int64), k, np.column_stack([k + 1, k + 1]), k % 2


@pytest.mark.parametrize("steps", [[1] * 25, [3, 4, 3, 4, 3, 4], [10, 10, 10], [7], [10, 3]])
def test_a_buffer_holds_the_last_transitions_in_a_ring(steps):
    buffer, kept = ReplayBuffer(10, 2), []
    for n in steps:
        buffer.add(*transitions(len(kept), n))
        kept += range(len(kept), len(kept) + n)
    assert len(buffer) == min(10, len(kept))
    batch = buffer.sample(4000, np.random.default_rng(0))
    seen = batch.rewards.numpy()
    assert set(seen) == set(kept[-10:])
    for column, expected in zip(batch, (seen, seen, seen, seen + 1, seen % 2), strict=True):
        np.testing.assert_array_equal(column.numpy().reshape(4000, -1)[:, 0], expected)
    share = np.bincount(seen.astype(int))[-len(buffer) :] / 4000
    assert np.abs(share - 1 / len(buffer)).max() < 4 * np.sqrt(1 / len(buffer) / 4000)  # uniform


def test_a_buffer_of_continuous_actions_and_what_it_refuses():
    buffer = ReplayBuffer(5, 2, n_actions=3)
    buffer.add(np.ones((2, 2)), np.ones((2, 3)), np.ones(2), np.ones((2, 2)), np.zeros(2))
    assert buffer.sample(4, np.random.default_rng(0)).actions.shape == (4, 3)
    with pytest.raises(ValueError, match="6 transitions do not fit a buffer of 5"):
        buffer.add(np.ones((6, 2)), np.ones((6, 3)), np.ones(6), np.ones((6, 2)), np.zeros(6))
    with pytest.raises(ValueError, match="buffer_size must be at least 1"):
        ReplayBuffer(0, 2)
    with pytest.raises(ValueError, match="the replay buffer is empty"):
        ReplayBuffer(5, 2).sample(1, np.random.default_rng(0))


def by_hand(agent, batch):
    """Targets, row by row, from the networks' values in NumPy."""
    target, online = (net(batch.successors).detach().double().numpy() for net in (agent.target_net, agent.q_net))
    out = []
    for i in range(len(batch.rewards)):
        chosen = target[i].max() if not agent.hyper.double else target[i][online[i].argmax()]
        out.append(float(batch.rewards[i]) + agent.hyper.gamma * (1 - float(batch.terminated[i])) * chosen)
    return np.array(out)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("rows", [1, 32])
def test_targets_and_loss_are_the_papers_row_by_row(double, rows):
    agent = DQN("CartPole-v1", double=double, gamma=0.9, net_arch=(16,))
    with torch.no_grad():  # so that both networks differ, and some errors are beyond Huber's corner
        for p in agent.target_net.parameters():
            p.mul_(3.0)
    g = torch.Generator().manual_seed(1)
    batch = Batch(
        torch.randn(rows, 4, generator=g),
        torch.randint(2, (rows,), generator=g),
        torch.randn(rows, generator=g),
        torch.randn(rows, 4, generator=g),
        (torch.rand(rows, generator=g) < 0.3).float(),
    )
    targets = agent.targets(batch)
    np.testing.assert_allclose(targets, by_hand(agent, batch), rtol=1e-5, atol=1e-6)  # float32
    values = agent.q_net(batch.obs).detach().double().numpy()[np.arange(rows), batch.actions]
    error = np.abs(values - targets.double().numpy())
    huber = np.where(error < 1, 0.5 * error**2, error - 0.5).mean()
    assert agent.loss(batch, targets).item() == pytest.approx(huber, rel=1e-5)


def test_the_target_network_is_a_copy_that_stands_still_between_its_updates():
    class Stop:
        def __init__(self, at):
            self.at = at

        def __call__(self, agent):
            return agent.num_timesteps >= self.at

    agent = DQN(Script, learning_starts=4, batch_size=4, train_freq=1, target_update_interval=10, learning_rate=1e-2)
    first = [p.clone() for p in agent.target_net.parameters()]
    agent.learn(9)
    assert all(torch.equal(p, q) for p, q in zip(first, agent.target_net.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(first, agent.q_net.parameters(), strict=True))
    agent = DQN(Script, learning_starts=4, batch_size=4, train_freq=1, target_update_interval=10, learning_rate=1e-2)
    agent.learn(20, Stop(10))
    assert all(torch.equal(p, q) for p, q in zip(agent.q_net.parameters(), agent.target_net.parameters(), strict=True))


def test_epsilon_falls_linearly_over_its_share_of_all_steps():
    agent = DQN(Script, learning_starts=10, exploration_fraction=0.5, exploration_final_eps=0.1)
    expected = {0: 1.0, 5: 1.0, 10: 0.82, 25: 0.55, 50: 0.1, 99: 0.1}
    for steps, epsilon in expected.items():
        agent.num_timesteps = steps
        assert agent.epsilon(100) == pytest.approx(epsilon)
    agent = DQN(Script, exploration_fraction=0.0, learning_starts=1)
    agent.num_timesteps = 1
    assert agent.epsilon(100) == pytest.approx(0.05)


@pytest.mark.parametrize("double", [False, True])
def test_values_of_a_small_maze_come_near_the_optimum(double):
    maze = gridworld(["..G", ".#X", "..."], step_reward=-0.05, gamma=0.9)
    agent = DQN(
        lambda: OneHot(SimulatedMDP(maze, max_steps=20)), double=double, gamma=0.9, net_arch=(32,), batch_size=64,
        learning_rate=1e-2, target_update_interval=100, exploration_fraction=1.0, exploration_final_eps=0.5,
    )  # fmt: skip
    agent.learn(2500)
    values = agent.q_net(torch.eye(maze.n_states)).detach().numpy()
    np.testing.assert_allclose(values, policy_iteration(maze).q_values, rtol=0, atol=0.1)


def test_an_episode_cut_off_is_worth_what_would_have_followed():
    agent = DQN(
        lambda: Script(length=3, reward=1.0), gamma=0.5, net_arch=(16,), learning_rate=1e-2, target_update_interval=20,
        train_freq=1,
    )  # fmt: skip
    agent.learn(600)
    left = agent.q_net(torch.tensor([[0.0, 1.0]])).detach()
    torch.testing.assert_close(left, torch.full((1, 2), 2.0), rtol=0, atol=0.1)  # 1 / (1 - 0.5), not 1.75 of 3 steps
