"""Tabular Q-learning: each update by hand, and the optimum in the limit."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from breadth.rl.mdp import MDP, policy_evaluation, policy_iteration
from breadth.rl.q_learning import QLearning
from breadth.rl.worlds import SimulatedMDP, from_gymnasium, gridworld, random_mdp


def chain(offset=0.0):
    """Right leads on and is paid at the end, left stays and costs."""
    return MDP(
        [[[1, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 1]], [[0, 0, 1], [0, 0, 0]]],
        offset + np.array([[-0.1, 0], [-0.1, 0], [-0.1, 1]]),
        0.9,
        start=[1, 0, 0],
    )


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_updates_are_the_rule_written_out_step_by_step(offset):
    q, visits = np.full((3, 2), 0.5), np.zeros((3, 2), int)
    path = []

    class Watched(SimulatedMDP):
        def reset(self, **how):
            path.append([super().reset(**how)[0]])
            return path[-1][0], {}

        def step(self, action):
            result = super().step(action)
            path[-1].append((action, *result[:3]))
            return result

    agent = QLearning(
        lambda: Watched(chain(offset), max_steps=4), seed=1, gamma=0.9, learning_rate=0.7, learning_rate_power=0.8,
        initial_value=0.5,
    )  # fmt: skip
    curve = agent.learn(200)
    for state, *steps in path:
        for action, successor, reward, terminated in steps:
            visits[state, action] += 1
            target = reward + (0 if terminated else 0.9 * q[successor].max())  # where it was cut off too
            q[state, action] += 0.7 / visits[state, action] ** 0.8 * (target - q[state, action])
            state = successor
    np.testing.assert_allclose(agent.q, q, rtol=1e-12)
    np.testing.assert_array_equal(agent.visits, visits)
    assert agent.visits.sum() == agent.num_timesteps == 200
    whole = path[: len(curve)]
    np.testing.assert_allclose(curve.returns, [sum(step[2] for step in p[1:]) for p in whole])
    np.testing.assert_array_equal(curve.lengths, [len(p) - 1 for p in whole])
    np.testing.assert_array_equal(curve.steps, curve.lengths.cumsum())


def test_the_table_converges_to_the_optimum_of_a_random_process():
    mdp = random_mdp(6, 2, gamma=0.8, p_end=0.1, seed=0)
    agent = QLearning(
        lambda: SimulatedMDP(mdp), gamma=0.8, learning_rate=1.0, learning_rate_power=0.7, exploration_final_eps=1.0
    )
    agent.learn(60_000)
    # rewards are means, so the noise is that of successors: a learning rate of 0.003 in the end leaves it near 0.05
    np.testing.assert_allclose(agent.q, policy_iteration(mdp).q_values, rtol=0, atol=0.1)


def test_in_a_world_without_chance_a_learning_rate_of_1_finds_the_exact_optimum():
    maze = gridworld(["..#.", "..#G", "...."], step_reward=-0.01, gamma=0.9)
    agent = QLearning(lambda: SimulatedMDP(maze), gamma=0.9, learning_rate=1.0, exploration_final_eps=1.0)
    agent.learn(20_000)
    np.testing.assert_allclose(agent.q, policy_iteration(maze).q_values, rtol=0, atol=1e-12)


def test_an_episode_cut_off_is_worth_what_would_have_followed():
    forever = MDP([[[1.0]]], [[1.0]], 0.9)
    agent = QLearning(lambda: SimulatedMDP(forever, max_steps=5), gamma=0.9, learning_rate=0.5)
    agent.learn(500)
    assert agent.q[0, 0] == pytest.approx(10.0, abs=1e-9)  # 1 / (1 - 0.9), not the 4.1 of five steps


@pytest.mark.parametrize("seed", range(5))
def test_every_seed_walks_past_the_cliff_as_value_iteration_does(seed):
    mdp = from_gymnasium(gymnasium.make("CliffWalking-v1"), gamma=0.99)
    agent = QLearning(lambda: SimulatedMDP(mdp, max_steps=200), seed=seed, learning_rate=0.5)
    agent.learn(20_000)
    greedy = policy_evaluation(mdp, agent.q.argmax(1))
    assert mdp.start @ greedy == pytest.approx(mdp.start @ policy_iteration(mdp).values, rel=1e-9)
    assert agent.predict(np.array([36])) == 0  # up, away from the cliff
    assert agent.predict(36) == 0


def test_spaces_that_make_no_table_are_refused():
    with pytest.raises(ValueError, match="observations must be Discrete, got Box"):
        QLearning("CartPole-v1")
    with pytest.raises(ValueError, match=r"learning_rate_power must be in \(1/2, 1\]"):
        QLearning("Taxi-v3", learning_rate_power=0.5)
