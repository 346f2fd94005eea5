"""Environments of a line or two, whose optimum and whose every step are known."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Script(gymnasium.Env):
    """Pays 1 for action 1 and 0 for action 0; ends or is cut off after `length` steps; observes the step and a bias."""

    def __init__(self, *, length: int = 5, terminates: bool = False, reward: float | None = None) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length, self.terminates, self.reward = length, terminates, reward

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def step(self, action):
        self.t += 1
        over = self.t == self.length
        reward = float(action) if self.reward is None else self.reward
        return self._seen(), reward, over and self.terminates, over and not self.terminates, {}

    def _seen(self):
        return np.array([self.t / self.length, 1.0], np.float32)


class Target(gymnasium.Env):
    """One step: pays minus the squared distance of the action from (2, -0.5, ...), within the given bounds."""

    def __init__(self, *, low: float = 0.0, high: float = 4.0, d: int = 1) -> None:
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Box(low, high, (d,), np.float32)
        self.aim = np.where(np.arange(d) % 2 == 0, 2.0, -0.5)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(np.asarray(action, np.float32)), f"{action} is out of bounds"
        return np.zeros(1, np.float32), -float(((action - self.aim) ** 2).sum()), True, False, {}


class OneHot(gymnasium.Env):
    """A finite environment whose state is seen as a vector with a single 1."""

    def __init__(self, env: gymnasium.Env) -> None:
        self.env, self.n = env, int(env.observation_space.n)
        self.observation_space = spaces.Box(0, 1, (self.n,), np.float32)
        self.action_space = env.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        state, info = self.env.reset(seed=seed)
        return np.eye(self.n, dtype=np.float32)[state], info

    def step(self, action):
        state, *rest = self.env.step(action)
        return (np.eye(self.n, dtype=np.float32)[state], *rest)
