"""Copies of one environment stepped together, with the successor of an episode's last state kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

MakeEnv = str | Callable[[], gymnasium.Env]


class Transition(NamedTuple):
    """What one step of every copy led to; the first axis of each array is the copy.

    Attributes:
        observation: where the next action is taken: after an episode's end, the first of the next one.
        successor: the state that the action led to, also where the episode ended there.
        reward: float64.
        terminated: the task itself ended, so that nothing can be earned afterwards.
        truncated: cut off from outside (a time limit), so that the successor still has a value; never with terminated.
    """

    observation: NDArray[np.float32]
    successor: NDArray[np.float32]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Envs:
    """n copies of a gymnasium environment, stepped one after the other; a copy that ends begins anew at once.

    Unlike gymnasium.vector.SyncVectorEnv it hands over the last state of an episode as a row of an array, copies each
    observation once and reads no info, which on CartPole takes a third of the time.

    Args:
        env: a gymnasium id, or a callable that makes a new environment.
        n_envs: copies, >= 1.

    Attributes:
        observation_space, action_space: those of one copy.
        episode_returns, episode_lengths: of the episodes that ended since `reset`, in the order of their ends.

    Raises:
        ValueError: if n_envs < 1, or the observations are not arrays of a Box.

    Cost: n_envs steps of the environment in Python.
    """

    def __init__(self, env: MakeEnv, n_envs: int = 1) -> None:
        if n_envs < 1:
            raise ValueError(f"n_envs must be at least 1, got {n_envs}")
        self._envs = [make(env) for _ in range(n_envs)]
        self.observation_space, self.action_space = self._envs[0].observation_space, self._envs[0].action_space
        if not isinstance(self.observation_space, spaces.Box):
            raise ValueError(
                f"observations must be a Box, got {self.observation_space}; "
                "wrap the environment in gymnasium.wrappers.FlattenObservation"
            )
        self._return, self._length = np.zeros(n_envs), np.zeros(n_envs, np.int64)
        self.episode_returns: list[float] = []
        self.episode_lengths: list[int] = []

    def __len__(self) -> int:
        return len(self._envs)

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Begin every copy anew, the i-th from seed + i; the first observations, shape (n_envs, *observation)."""
        self._return[:], self._length[:] = 0, 0
        self.episode_returns.clear()
        self.episode_lengths.clear()
        return np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(self._envs)]).astype(np.float32)

    def step(self, actions: NDArray) -> Transition:
        """Take actions, shape (n_envs,) or (n_envs, *action)."""
        n = len(self._envs)
        successor = np.empty((n, *(self.observation_space.shape or ())), np.float32)
        reward, terminated, truncated = np.empty(n), np.empty(n, np.bool_), np.empty(n, np.bool_)
        observation = successor
        for i, env in enumerate(self._envs):
            successor[i], reward[i], terminated[i], cut, _ = env.step(actions[i])
            truncated[i] = cut and not terminated[i]
        self._return += reward
        self._length += 1
        ended = np.flatnonzero(terminated | truncated)
        if ended.size:
            observation = successor.copy()
            for i in ended:
                observation[i] = self._envs[i].reset()[0]
            self.episode_returns += self._return[ended].tolist()
            self.episode_lengths += self._length[ended].tolist()
            self._return[ended], self._length[ended] = 0, 0
        return Transition(observation, successor, reward, terminated, truncated)

    def close(self) -> None:
        for env in self._envs:
            env.close()


def make(env: MakeEnv) -> gymnasium.Env:
    """A new environment, from a gymnasium id (without the checker that runs on its first steps) or a callable."""
    return gymnasium.make(env, disable_env_checker=True) if isinstance(env, str) else env()


def discrete_actions(space: gymnasium.Space, agent: str) -> int:
    """The number of actions, for an agent that picks one of several.

    Raises:
        ValueError: if the actions are not Discrete from 0.
    """
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise ValueError(f"{agent} picks one of several actions, 0 to n - 1, and the environment's are {space}")
    return int(space.n)


def bounded_actions(space: gymnasium.Space, agent: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lower and upper bounds of a continuous action, for an agent that squashes its actions between them.

    Raises:
        ValueError: if the actions are not a flat Box with finite bounds.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise ValueError(f"{agent} has continuous actions, a Box of shape (d,), and the environment's are {space}")
    if not space.is_bounded("both"):
        raise ValueError(
            f"{agent} squashes its actions between bounds, which must be finite, got low {space.low} and high "
            f"{space.high}; wrap the environment in gymnasium.wrappers.RescaleAction"
        )
    return space.low.astype(np.float32), space.high.astype(np.float32)
