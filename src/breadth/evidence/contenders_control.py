"""Reinforcement learning methods as contenders: so many steps in an environment, then greedy episodes.

A row is the seed of an episode's start. Training sees none of them: what a fold holds back are the episodes that count,
and the seed of a cell decides everything in its training. All have the same number of environment steps; rates, batches
and networks are the ones that each method is commonly run with, and stand in the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

STEPS = 20_000
BINS, REACH = 8, (2.4, 3.0, 0.21, 3.0)  # of CartPole's four numbers, for a table
Predict = Callable[[NDArray], NDArray]  # observations (episodes, ...) -> actions (episodes, ...)


class Agent:
    """A method as an estimator: `fit` trains for so many steps, `predict` plays one episode from each start.

    Args:
        train: from environment's name, seed and settings to a greedy policy; called where it is used.
        environment: a gymnasium id.
        seed: of the training.
        n_threads: of torch.
        settings: of `train`.
    """

    def __init__(
        self,
        train: Callable[[str, int, Settings], Predict],
        environment: str,
        seed: int,
        n_threads: int,
        settings: Settings,
    ):
        self.train, self.environment, self.seed = train, environment, seed
        self.n_threads, self.settings = n_threads, dict(settings)

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        import torch

        torch.set_num_threads(self.n_threads)
        self.policy_ = self.train(self.environment, self.seed, self.settings)
        return self

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        from breadth.rl.curves import evaluate

        starts = X[:, 0].astype(int)
        return np.array([evaluate(self.policy_, self.environment, n_episodes=1, seed=int(s))[0] for s in starts])

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings}  # a policy of another package may hold what cannot be pickled


def _ours(name: str, environment: str, seed: int, settings: Settings) -> Predict:
    from breadth import rl

    own = dict(settings)
    steps = own.pop("steps")
    agent = getattr(rl, name)(environment, seed=seed, **own)
    agent.learn(steps)
    return agent.predict


def _sb3(name: str, environment: str, seed: int, settings: Settings) -> Predict:
    import gymnasium
    import stable_baselines3

    own = dict(settings)
    steps, n_envs = own.pop("steps"), own.pop("n_envs", 1)
    make = getattr(stable_baselines3, name)
    if n_envs > 1:
        from stable_baselines3.common.env_util import make_vec_env

        env = make_vec_env(environment, n_envs=n_envs, seed=seed)
    else:
        env = gymnasium.make(environment)
    if "net_arch" in own:
        own["policy_kwargs"] = {"net_arch": list(own.pop("net_arch"))}
    agent = make("MlpPolicy", env, seed=seed, device="cpu", **own).learn(steps)
    return lambda observation: agent.predict(observation, deterministic=True)[0]


def _table(environment: str, seed: int, settings: Settings) -> Predict:
    """Q-learning on CartPole's numbers in bins; on anything else Q-learning as it is."""
    import gymnasium

    from breadth.rl import QLearning

    own = dict(settings)
    steps = own.pop("steps")
    binned = environment.startswith("CartPole")

    def make() -> Any:
        env = gymnasium.make(environment)
        if not binned:
            return env
        space = gymnasium.spaces.Discrete(BINS**4)
        return gymnasium.wrappers.TransformObservation(env, lambda x: int(_cell(x[None])[0]), space)

    agent = QLearning(make, seed=seed, **own)
    agent.learn(steps)
    return (lambda x: agent.predict(_cell(x))) if binned else agent.predict


def _cell(x: NDArray) -> NDArray[np.int64]:
    share = (np.asarray(x, np.float64) / REACH + 1) / 2
    bins = np.clip((share * BINS).astype(int), 0, BINS - 1)
    return bins @ (BINS ** np.arange(4))


def _random(environment: str, seed: int, settings: Settings) -> Predict:
    import gymnasium

    space = gymnasium.make(environment).action_space
    space.seed(seed)
    return lambda x: np.array([space.sample() for _ in x])


def _make(
    train: Callable[[str, int, Settings], Predict], problem: Problem, seed: int, n_threads: int, settings: Settings
) -> Agent:
    return Agent(train, problem.environment, seed, n_threads, settings)


def _entry(name: str, origin: str, train: Callable[[str, int, Settings], Predict], **settings: Any) -> Entry:
    rooms = ("nn", "rl") if origin == "breadth" else ()
    return Entry(name, origin, partial(_make, train), {"steps": STEPS, **settings}, cost=1e9, rooms=rooms)


_PPO = {"n_envs": 8, "n_steps": 32, "batch_size": 256, "n_epochs": 20, "learning_rate": 1e-3, "gamma": 0.98,
        "gae_lambda": 0.8}  # fmt: skip
_DQN = {"learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1000,
        "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128, "exploration_fraction": 0.16,
        "exploration_final_eps": 0.04, "net_arch": (256, 256)}  # fmt: skip

PPO = _entry("breadth PPO", "breadth", partial(_ours, "PPO"), **_PPO)
A2C = _entry("breadth A2C", "breadth", partial(_ours, "A2C"), n_envs=8)
REINFORCE = _entry("breadth REINFORCE", "breadth", partial(_ours, "REINFORCE"))
DQN = _entry("breadth DQN", "breadth", partial(_ours, "DQN"), **_DQN)
SAC = _entry("breadth SAC", "breadth", partial(_ours, "SAC"), learning_rate=1e-3, train_freq=4, batch_size=128,
             net_arch=(64, 64))  # fmt: skip
Q_LEARNING = _entry("breadth Q-learning", "breadth", _table, initial_value=1.0)
SB3_PPO = _entry("stable-baselines3 PPO", "stable-baselines3", partial(_sb3, "PPO"), **_PPO)
SB3_DQN = _entry("stable-baselines3 DQN", "stable-baselines3", partial(_sb3, "DQN"), **_DQN)
RANDOM = _entry("random", "gymnasium", _random)
