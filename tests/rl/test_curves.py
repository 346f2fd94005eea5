"""Copies of environments, evaluations and learning curves."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from breadth.rl.curves import GreedyEvaluation, evaluate
from breadth.rl.envs import Envs
from tests.rl.tiny import Script


def test_copies_step_as_gymnasiums_own_vector_environment_does():
    ours = Envs("CartPole-v1", 3)
    peer = gymnasium.make_vec(
        "CartPole-v1", 3, vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP},
    )  # fmt: skip
    np.testing.assert_array_equal(ours.reset(7), peer.reset(seed=7)[0])
    rng, lengths = np.random.default_rng(0), []
    running = np.zeros(3, int)
    for _ in range(200):
        actions = rng.integers(2, size=3)
        step = ours.step(actions)
        obs, reward, terminated, truncated, info = peer.step(actions)
        np.testing.assert_array_equal(step.observation, obs)
        np.testing.assert_array_equal(step.reward, reward)
        np.testing.assert_array_equal(step.terminated, terminated)
        np.testing.assert_array_equal(step.truncated, truncated)
        over = terminated | truncated
        for i in range(3):
            np.testing.assert_array_equal(step.successor[i], info["final_obs"][i] if over[i] else obs[i])
        running += 1
        lengths += running[over].tolist()
        running[over] = 0
    assert ours.episode_lengths == lengths
    assert ours.episode_returns == lengths
    ours.close()
    with pytest.raises(ValueError, match="n_envs must be at least 1"):
        Envs("CartPole-v1", 0)


def test_an_end_that_is_both_terminated_and_cut_off_counts_as_terminated():
    class Both(Script):
        def step(self, action):
            obs, reward, over, cut, info = super().step(action)
            return obs, reward, over or cut, over or cut, info

    envs = Envs(lambda: Both(length=1))
    envs.reset(0)
    step = envs.step(np.array([1]))
    assert (step.terminated.tolist(), step.truncated.tolist()) == ([True], [False])


def test_an_evaluation_is_the_mean_over_episodes_each_from_its_own_seed():
    def lean(obs):
        return (obs[:, 2] > 0).astype(int)  # push to where the pole falls

    by_hand = []
    for i in range(12):
        env = gymnasium.make("CartPole-v1")
        obs, total, over = env.reset(seed=3 + i)[0], 0.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(lean(obs[None])[0])
            total, over = total + reward, terminated or truncated
        by_hand.append(total)
    np.testing.assert_array_equal(evaluate(lean, "CartPole-v1", n_episodes=12, seed=3), by_hand)
    assert len(set(by_hand)) > 3
    with pytest.raises(ValueError, match="n_episodes must be at least 1"):
        evaluate(lean, "CartPole-v1", n_episodes=0)


class Steps:
    """An agent that takes `copies` steps at a time and becomes good after `good_from`."""

    seed = 0

    def __init__(self, copies, good_from):
        self.num_timesteps, self.copies, self.good_from = 0, copies, good_from

    def predict(self, obs):
        return np.full(len(obs), int(self.num_timesteps >= self.good_from))

    def learn(self, callback, limit=1000):
        while self.num_timesteps < limit:
            self.num_timesteps += self.copies
            if callback(self):
                return


@pytest.mark.parametrize(("copies", "seen"), [(1, [100, 200, 300]), (7, [105, 203, 301]), (150, [150, 300])])
def test_the_first_evaluation_that_reaches_the_goal_ends_the_learning(copies, seen):
    watch = GreedyEvaluation(Script, every=100, n_episodes=3, goal=5.0)
    agent = Steps(copies, good_from=250)
    agent.learn(watch)
    assert watch.steps == seen
    assert watch.means == [0.0] * (len(seen) - 1) + [5.0]
    assert watch.solved_at == agent.num_timesteps == seen[-1]


def test_without_a_goal_it_only_watches():
    watch = GreedyEvaluation(Script, every=400, n_episodes=2)
    Steps(1, good_from=500).learn(watch)
    assert (watch.steps, watch.means, watch.solved_at) == ([400, 800], [0.0, 5.0], None)
    with pytest.raises(ValueError, match="every must be at least 1 step"):
        GreedyEvaluation(Script, every=0)
