"""Whole runs: every one of five seeds learns what is promised, with the settings that the benchmarks print."""

from __future__ import annotations

import pytest

from benchmarks import control
from benchmarks.harness import Setup
from breadth.rl import A2C, PPO, REINFORCE, evaluate

FULL = Setup(threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("trial", [control.PPO_CARTPOLE, control.SAC_PENDULUM], ids=lambda trial: trial.agent)
def test_every_seed_solves_its_environment_within_the_budget(trial):
    with control.one_thread():
        steps = [control.steps_to_solve(control.ours, trial, seed, FULL) for seed in control.SEEDS]
    assert max(steps) <= trial.budget, steps  # infinite where no evaluation reached the goal


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows", [control.agent_rows, control.q_learning_rows, control.bandit_rows], ids=lambda rows: rows.__name__
)
def test_every_seed_passes_the_return_that_is_promised(rows):
    promised = rows(FULL, {})
    assert all(row.n == len(control.SEEDS) for row in promised)
    assert {row.what: row.ours for row in promised if row.figure > 0} == {}  # seeds that fell short


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda: PPO("CartPole-v1", n_envs=8, n_steps=32, batch_size=256, n_epochs=20, learning_rate=1e-3), 4000),
        (lambda: A2C("CartPole-v1", n_envs=8, learning_rate=2e-3), 8000),
        (lambda: REINFORCE("CartPole-v1"), 8000),
    ],
    ids=["PPO", "A2C", "REINFORCE"],
)
def test_after_seconds_a_pole_is_balanced_several_times_as_long_as_at_random(make, steps):
    agent = make()
    at_random = 22  # mean steps until the pole falls under uniform actions
    with control.one_thread():
        agent.learn(steps)
    assert evaluate(agent.predict, "CartPole-v1", n_episodes=20).mean() > 4 * at_random
