"""Finite Markov decision processes to try things on: random ones, mazes, gymnasium's, and as an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from breadth.rl.mdp import MDP


class SimulatedMDP(gymnasium.Env[Any, Any]):
    """An `MDP` as an environment, to be learnt from without being known.

    Args:
        mdp: the process; a step pays E[r | s, a].
        max_steps: an episode is truncated after so many steps, >= 1; None never truncates.

    Raises:
        ValueError: if max_steps < 1.

    References: Towers et al. 2024, arXiv:2407.17032 (the interface).
    Peer: chi-square of the counts of what it did, against the arrays (B).
    """

    def __init__(self, mdp: MDP, *, max_steps: int | None = None) -> None:
        if max_steps is not None and max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, or None, got {max_steps}")
        self.observation_space = spaces.Discrete(mdp.n_states)
        self.action_space = spaces.Discrete(mdp.n_actions)
        self._cumulative = mdp.transitions.cumsum(-1)  # a draw beyond the last entry ends the task
        self._cumulative[self._cumulative[..., -1] > 1 - 1e-12, -1] = 1.0  # which rounding must not do
        self._start, self._rewards = mdp.start.cumsum(), mdp.rewards
        self._max_steps, self._state, self._step = max_steps, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._step = 0
        last = len(self._start) - 1
        self._state = min(int(self._start.searchsorted(self.np_random.random(), "right")), last)
        return self._state, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        reward = float(self._rewards[self._state, action])
        successor = int(self._cumulative[self._state, action].searchsorted(self.np_random.random(), "right"))
        self._step += 1
        terminated = successor == len(self._start)
        truncated = not terminated and self._step == self._max_steps
        if not terminated:
            self._state = successor
        return self._state, reward, terminated, truncated, {}


def random_mdp(
    n_states: int, n_actions: int, *, branching: int = 3, gamma: float = 0.95, p_end: float = 0.0, seed: int = 0
) -> MDP:
    """A Garnet process: each pair (s, a) leads to `branching` random states, and pays a fixed normal reward.

    Args:
        n_states, n_actions: >= 1.
        branching: successors of a pair, in [1, n_states], with probabilities uniform on the simplex.
        gamma: discount.
        p_end: probability that a step ends the task, in [0, 1].
        seed: of all draws.

    References: Archibald, McKinnon & Thomas 1995, J. Operational Research Society 46.
    """
    if not 1 <= branching <= n_states:
        raise ValueError(f"branching must be in [1, n_states = {n_states}], got {branching}")
    if not 0 <= p_end <= 1:
        raise ValueError(f"p_end must be in [0, 1], got {p_end}")
    rng = np.random.default_rng(seed)
    p = np.zeros((n_states, n_actions, n_states))
    shares = rng.dirichlet(np.ones(branching), size=(n_states, n_actions)) * (1 - p_end)
    targets = rng.permuted(np.broadcast_to(np.arange(n_states), p.shape), axis=-1)[..., :branching]
    np.put_along_axis(p, targets, shares, -1)
    return MDP(p, rng.standard_normal((n_states, n_actions)), gamma)


def gridworld(layout: Sequence[str], *, slip: float = 0.0, step_reward: float = 0.0, gamma: float = 0.95) -> MDP:
    """A maze: actions 0 to 3 go up, right, down and left, and entering a goal or a trap ends the task.

    Args:
        layout: rows of equal length of "." (free), "#" (wall), "S" (where an episode begins), "G" (goal, pays 1) and
            "X" (trap, pays -1). States are the free squares in reading order; walls and ends are none.
        slip: probability of going to one of the two sides instead, half to each, in [0, 1].
        step_reward: paid for each step.
        gamma: discount.

    Raises:
        ValueError: for rows of different length, another sign, no free square, or slip outside [0, 1].

    References: Russell & Norvig 2010, section 17.1 (the 4 x 3 world is slip 0.2, step_reward -0.04).
    Peer: the utilities that figure 17.3 prints, three digits (B).
    """
    if len({len(row) for row in layout}) != 1 or set("".join(layout)) - set(".#SGX"):
        raise ValueError(f"layout must be rows of equal length of the signs . # S G X, got {list(layout)}")
    if not 0 <= slip <= 1:
        raise ValueError(f"slip must be in [0, 1], got {slip}")
    free = {(i, j): 0 for i, row in enumerate(layout) for j, sign in enumerate(row) if sign in ".S"}
    free = {square: s for s, square in enumerate(free)}
    if not free:
        raise ValueError("layout has no free square")
    p, rewards = np.zeros((len(free), 4, len(free))), np.full((len(free), 4), float(step_reward))
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    for (i, j), s in free.items():
        for a in range(4):
            for turn, chance in ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)):
                di, dj = moves[(a + turn) % 4]
                inside = 0 <= i + di < len(layout) and 0 <= j + dj < len(layout[0])
                square = (i + di, j + dj) if inside else (i, j)
                sign = layout[square[0]][square[1]]
                if sign in "GX":
                    rewards[s, a] += chance * (1 if sign == "G" else -1)
                else:
                    p[s, a, free[(i, j) if sign == "#" else square]] += chance
    begins = np.array([layout[i][j] == "S" for i, j in free], np.float64)
    return MDP(p, rewards, gamma, begins / begins.sum() if begins.any() else None)


def from_gymnasium(env: gymnasium.Env, *, gamma: float) -> MDP:
    """The process of an environment that tells its dynamics as `env.unwrapped.P`, like FrozenLake, Taxi, CliffWalking.

    Args:
        env: P[s][a] lists (probability, next state, reward, terminated).
        gamma: discount.

    Raises:
        ValueError: if the environment has no table P.

    References: Towers et al. 2024, arXiv:2407.17032 (toy text environments).
    """
    table: Mapping[int, Mapping[int, Any]] | None = getattr(env.unwrapped, "P", None)
    if table is None or not isinstance(env.observation_space, spaces.Discrete):
        raise ValueError(f"{env} has no table of its dynamics, unwrapped.P; the toy text environments have")
    n, m = len(table), len(table[0])
    p, rewards = np.zeros((n, m, n)), np.zeros((n, m))
    for s, actions in table.items():
        for a, outcomes in actions.items():
            for chance, successor, reward, terminated in outcomes:
                rewards[s, a] += chance * reward
                p[s, a, successor] += 0 if terminated else chance
    start = getattr(env.unwrapped, "initial_state_distrib", None)
    return MDP(p, rewards, gamma, None if start is None else np.asarray(start, np.float64))
