"""What an agent earns: while it learns, and when it acts greedily."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from breadth.rl.envs import Envs, MakeEnv, make


class Learns(Protocol):
    """What every agent here is to a callback: its greedy actions, and how many steps it has taken."""

    num_timesteps: int
    seed: int

    def predict(self, obs: NDArray) -> NDArray: ...


Callback = Callable[[Learns], bool | None]  # called after each step of the environments; True ends the learning


@dataclass(frozen=True)
class LearningCurve:
    """The episodes of one call of `learn`, in the order of their ends.

    Attributes:
        steps: environment steps taken by the agent when each episode ended, counted over its whole life.
        returns: the undiscounted return of each.
        lengths: the steps of each.
        seed: of the agent.
    """

    steps: NDArray[np.int64]
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    seed: int

    def __len__(self) -> int:
        return len(self.steps)

    def mean_return(self, last: int = 100) -> float:
        """Mean return of the last episodes; NaN where none ended."""
        return float(self.returns[-last:].mean()) if len(self) else float("nan")


class Recorder:
    """Notes when the episodes end whose returns and lengths the environments append, and asks the callback."""

    def __init__(
        self, agent: Learns, returns: list[float], lengths: list[int], callback: Callback | None, seed: int
    ) -> None:
        self._agent, self._returns, self._lengths = agent, returns, lengths
        self._callback, self._seed = callback, seed
        self._steps: list[int] = []

    @classmethod
    def of(cls, agent: Learns, envs: Envs, callback: Callback | None) -> Recorder:
        return cls(agent, envs.episode_returns, envs.episode_lengths, callback, agent.seed)

    def stops(self) -> bool:
        """Whether the callback asks to stop after this step."""
        new = len(self._returns) - len(self._steps)
        if new:
            self._steps += [self._agent.num_timesteps] * new
        return self._callback is not None and bool(self._callback(self._agent))

    def curve(self) -> LearningCurve:
        return LearningCurve(
            np.array(self._steps, np.int64),
            np.array(self._returns, np.float64),
            np.array(self._lengths, np.int64),
            self._seed,
        )


def evaluate(
    predict: Callable[[NDArray], NDArray], env: MakeEnv, *, n_episodes: int = 100, seed: int = 0
) -> NDArray[np.float64]:
    """Undiscounted returns of whole episodes under a policy, side by side.

    Each episode has its own copy of the environment, so that short episodes are not counted more often than long ones,
    as they are where the first n episodes to end are kept.

    Args:
        predict: maps observations (n, *observation) to actions (n, *action).
        env: a gymnasium id, or a callable that makes an environment.
        n_episodes: >= 1.
        seed: episode i begins from seed + i.

    Returns:
        Return of each episode, shape (n_episodes,).

    Raises:
        ValueError: if n_episodes < 1.

    Cost: as many calls of `predict` as the longest episode has steps.
    """
    if n_episodes < 1:
        raise ValueError(f"n_episodes must be at least 1, got {n_episodes}")
    envs = [make(env) for _ in range(n_episodes)]
    obs = np.stack([np.asarray(e.reset(seed=seed + i)[0]) for i, e in enumerate(envs)])
    returns, running = np.zeros(n_episodes), np.arange(n_episodes)
    while running.size:
        actions = predict(obs[running])
        goes_on = np.empty(running.size, np.bool_)
        for j, i in enumerate(running):
            obs[i], reward, terminated, truncated, _ = envs[i].step(actions[j])
            returns[i] += float(reward)
            goes_on[j] = not (terminated or truncated)
        running = running[goes_on]
    for e in envs:
        e.close()
    return returns


class GreedyEvaluation:
    """A callback that measures the greedy policy every so many steps, and can end the learning at a goal.

    Args:
        env: evaluated on copies of this.
        every: environment steps between evaluations, >= 1; a rollout of several copies passes it at the first step
            at or beyond each multiple.
        n_episodes: episodes of each evaluation.
        goal: mean return at which learning ends; None goes on.
        seed: the episodes' seed, the same for each evaluation, so that evaluations differ by policy only.

    Attributes:
        steps, means: environment steps and mean return of each evaluation.
        solved_at: steps at the first evaluation that reached the goal; None until then.
    """

    def __init__(
        self, env: MakeEnv, *, every: int = 5000, n_episodes: int = 100, goal: float | None = None, seed: int = 10_000
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        self.env, self.every, self.n_episodes, self.goal, self.seed = env, every, n_episodes, goal, seed
        self.steps: list[int] = []
        self.means: list[float] = []
        self.solved_at: int | None = None
        self._due = every

    def __call__(self, agent: Learns) -> bool:
        if agent.num_timesteps < self._due:
            return False
        self._due = (agent.num_timesteps // self.every + 1) * self.every
        mean = float(evaluate(agent.predict, self.env, n_episodes=self.n_episodes, seed=self.seed).mean())
        self.steps.append(agent.num_timesteps)
        self.means.append(mean)
        if self.goal is not None and mean >= self.goal and self.solved_at is None:
            self.solved_at = agent.num_timesteps
        return self.solved_at is not None
