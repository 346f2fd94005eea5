"""The last transitions that an off-policy agent saw, to learn from again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Batch(NamedTuple):
    """Transitions as tensors whose first axis is the row; terminated is 1 where the successor has no value."""

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    successors: Tensor
    terminated: Tensor


class ReplayBuffer:
    """A ring of transitions, drawn from uniformly with replacement.

    A transition cut off by a time limit is stored as not terminated, with the state that it led to, so that its target
    still counts what would have followed.

    Args:
        capacity: transitions kept, >= 1; then the oldest are overwritten.
        n_inputs: length of an observation.
        n_actions: length of a continuous action; None for indices.

    Raises:
        ValueError: if capacity < 1.

    Cost: 4 (2 n_inputs + n_actions + 2) bytes a transition, taken when first written; a draw is one gather an array.
    References: Lin 1992, Machine Learning 8, section 3.2; Mnih et al. 2015, Nature 518, algorithm 1.
    Peer: a list of transitions (B).
    In production: use it in every off-policy agent whose transitions are about equally useful.
    """

    def __init__(self, capacity: int, n_inputs: int, n_actions: int | None = None) -> None:
        if capacity < 1:
            raise ValueError(f"buffer_size must be at least 1, got {capacity}")
        action = np.zeros(capacity, np.int64) if n_actions is None else np.zeros((capacity, n_actions), np.float32)
        self._columns: dict[str, NDArray] = {
            "obs": np.zeros((capacity, n_inputs), np.float32),
            "actions": action,
            "rewards": np.zeros(capacity, np.float32),
            "successors": np.zeros((capacity, n_inputs), np.float32),
            "terminated": np.zeros(capacity, np.float32),
        }
        self._capacity, self._next, self._size = capacity, 0, 0

    def __len__(self) -> int:
        return self._size

    def add(self, obs: NDArray, actions: NDArray, rewards: NDArray, successors: NDArray, terminated: NDArray) -> None:
        """Append n transitions, the first axis of each array; n is at most the capacity."""
        n = len(obs)
        if n > self._capacity:
            raise ValueError(f"{n} transitions do not fit a buffer of {self._capacity}; raise buffer_size")
        # one slice where they fit before the end, which they nearly always do
        end = self._next + n
        where = slice(self._next, end) if end <= self._capacity else np.arange(self._next, end) % self._capacity
        given = (obs, actions, rewards, successors, terminated)
        for column, rows in zip(self._columns.values(), given, strict=True):
            column[where] = rows
        self._next, self._size = end % self._capacity, min(self._size + n, self._capacity)

    def sample(self, n: int, rng: np.random.Generator, device: torch.device | str = "cpu") -> Batch:
        """n transitions drawn with replacement.

        Raises:
            ValueError: if the buffer is empty.
        """
        if self._size == 0:
            raise ValueError("the replay buffer is empty; raise learning_starts to at least 1")
        rows = rng.integers(self._size, size=n)
        return Batch(*(torch.from_numpy(column[rows]).to(device) for column in self._columns.values()))

    def state_dict(self) -> dict[str, Any]:
        """The transitions held, as tensors."""
        columns = {name: torch.from_numpy(column[: self._size].copy()) for name, column in self._columns.items()}
        return {"next": self._next, "size": self._size, "columns": columns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._next, self._size = state["next"], state["size"]
        for name, column in state["columns"].items():
            self._columns[name][: self._size] = column.numpy()
