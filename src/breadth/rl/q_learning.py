"""Tabular Q-learning."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from breadth.rl import checkpoint, hyperparameters
from breadth.rl.curves import Callback, LearningCurve, Recorder
from breadth.rl.envs import MakeEnv, discrete_actions, make


@dataclass(frozen=True, kw_only=True)
class QLearningHyperparameters:
    """Settings of `QLearning`; the exploration's are those of `DQN`.

    Args:
        learning_rate: alpha, in (0, 1], or its first value.
        learning_rate_power: omega of alpha_n = learning_rate / n^omega for the n-th visit of (s, a), in (1/2, 1];
            None keeps alpha.
        gamma: discount, in [0, 1].
        exploration_fraction: share of total_timesteps in which epsilon falls linearly to its final value, in [0, 1].
        exploration_initial_eps, exploration_final_eps: share of random actions at first, and in the end.
        initial_value: of the table; above every true value it makes the agent try everything.
    """

    learning_rate: float = 0.1
    learning_rate_power: float | None = None
    gamma: float = 0.99
    exploration_fraction: float = 0.5
    exploration_initial_eps: float = 1.0
    exploration_final_eps: float = 0.05
    initial_value: float = 0.0

    def __post_init__(self) -> None:
        hyperparameters.require(
            self,
            fractions=(
                "learning_rate",
                "gamma",
                "exploration_fraction",
                "exploration_initial_eps",
                "exploration_final_eps",
            ),
            positive=("learning_rate",),
        )  # fmt: skip
        if self.learning_rate_power is not None and not 0.5 < self.learning_rate_power <= 1:
            raise ValueError(
                f"learning_rate_power must be in (1/2, 1], where the table converges, or None, got "
                f"{self.learning_rate_power}"
            )


class QLearning:
    """Q-learning on a table: Q(s, a) <- Q(s, a) + alpha [r + gamma max_a' Q(s', a') - Q(s, a)].

    With every pair visited for ever and learning_rate_power set, the table converges to the optimum, whatever policy
    explores; with a constant alpha it stays within noise of it.

    Args:
        env: a gymnasium id, or a callable that makes an environment; observations and actions Discrete from 0.
        seed: of the actions and the environment.
        hyper: the fields of `QLearningHyperparameters`.

    Attributes:
        hyper: the settings.
        q: the table, float64 (states, actions).
        visits: updates of each entry, int64.
        num_timesteps: environment steps taken so far.

    Raises:
        ValueError: for a setting out of range, or spaces that are not Discrete.
        TypeError: for a setting that does not exist.

    Cost: O(actions) a step, most of it Python's.
    Deviations: epsilon falls linearly; equals are broken towards the first action; an episode cut off by a time limit
        does not count as ended.
    References: Watkins & Dayan 1992, Machine Learning 8, eq. 1 and the convergence theorem; Even-Dar & Mansour 2003,
        JMLR 5, theorem 2 (the polynomial learning rate).
    Peer: `value_iteration`'s Q on random processes and mazes (B).
    In production: use it where states can be counted; `value_iteration` where the dynamics are known besides.
    """

    def __init__(self, env: MakeEnv, *, seed: int = 0, **hyper: Any) -> None:
        self.hyper = hyperparameters.build(QLearningHyperparameters, hyper)
        self.seed, self.num_timesteps = seed, 0
        self._env = make(env)
        space = self._env.observation_space
        if not isinstance(space, spaces.Discrete) or space.start != 0:
            raise ValueError(f"QLearning has a table of states, so observations must be Discrete, got {space}; see DQN")
        shape = (int(space.n), discrete_actions(self._env.action_space, "QLearning"))
        self._rng = np.random.default_rng(seed)
        self.q = np.full(shape, self.hyper.initial_value)
        self.visits = np.zeros(shape, np.int64)

    def learn(self, total_timesteps: int, callback: Callback | None = None) -> LearningCurve:
        """Learn until the agent has taken total_timesteps in its whole life, or the callback returns True.

        Args:
            total_timesteps: environment steps, over earlier calls too; epsilon's fall is a share of them.
            callback: called with the agent after each step.

        Returns:
            The episodes that ended during this call, which begins with a new one.
        """
        h, env = self.hyper, self._env
        returns: list[float] = []
        lengths: list[int] = []
        recorder = Recorder(self, returns, lengths, callback, self.seed)
        fall = h.exploration_initial_eps - h.exploration_final_eps
        span = h.exploration_fraction * total_timesteps
        state, paid, length = int(env.reset(seed=int(self._rng.integers(2**31)))[0]), 0.0, 0
        while self.num_timesteps < total_timesteps:
            done = min(self.num_timesteps / span, 1.0) if span else 1.0
            if self._rng.random() < h.exploration_initial_eps - done * fall:
                action = int(self._rng.integers(self.q.shape[1]))
            else:
                action = int(self.q[state].argmax())
            successor, reward, terminated, truncated, _ = env.step(action)
            self._update(state, action, float(reward), int(successor), bool(terminated))
            state, paid, length = int(successor), paid + float(reward), length + 1
            self.num_timesteps += 1
            if terminated or truncated:
                returns.append(paid)
                lengths.append(length)
                state, paid, length = int(env.reset()[0]), 0.0, 0
            if recorder.stops():
                break
        return recorder.curve()

    def _update(self, state: int, action: int, reward: float, successor: int, terminated: bool) -> None:
        h = self.hyper
        self.visits[state, action] += 1
        rate = h.learning_rate
        if h.learning_rate_power is not None:
            rate /= int(self.visits[state, action]) ** h.learning_rate_power
        target = reward if terminated else reward + h.gamma * self.q[successor].max()
        self.q[state, action] += rate * (target - self.q[state, action])

    def predict(self, obs: NDArray) -> NDArray:
        """Greedy actions at states, one or a batch (n,)."""
        return self.q[obs].argmax(-1)

    def _parts(self) -> dict[str, checkpoint.Part]:
        return {"q": torch.from_numpy(self.q), "visits": torch.from_numpy(self.visits), "rng": self._rng}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all but the episode under way, with which `learn` never begins."""
        checkpoint.write(path, self, self._parts())

    @classmethod
    def load(cls, path: str | os.PathLike[str], env: MakeEnv) -> Self:
        """The saved agent, which learns on as the one that was saved would have."""
        saved = checkpoint.read(path, cls.__name__)
        agent = cls(env, seed=saved["seed"], **saved["hyper"])
        checkpoint.restore(agent, agent._parts(), saved["state"])
        return agent
