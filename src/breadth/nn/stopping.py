"""Early stopping: how long training may go on without getting better, and the weights to go back to."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import nn

Mode = Literal["min", "max"]


class EarlyStopping:
    """Stop once a validation metric has not improved for `patience` checks, and go back to the best weights.

    Check t improves if v_t < best - min_delta (mode "min") or v_t > best + min_delta ("max"), where best is the last
    value that improved. Training ends at the first t with t - t_best >= patience. Small gains add up: values that each
    gain less than min_delta improve as soon as their sum exceeds it.

    It is a part of `breadth.nn.fit.fit` and can be used in a loop of one's own:

        stopping = EarlyStopping(patience=5)
        while not stopping.stop:
            train_one_epoch(model)
            stopping.update(validation_loss(model), model)
        stopping.restore(model)

    Args:
        patience: checks without improvement after which to stop, >= 1.
        min_delta: what an improvement has to exceed, >= 0, in the metric's units.
        mode: whether the metric is to be small or large.
        restore_best: keep a copy of the model's state at each improvement, for `restore`.

    Attributes:
        best: the last value that improved; infinite before the first.
        best_check: its number, counted from 0; None before the first.
        checks: how often `update` was called.
        stop: whether patience has run out.

    Raises:
        ValueError: if a parameter is out of its range.

    Cost: a copy of parameters and buffers at each improvement with restore_best; else nothing.
    Deviations: NaN never improves, and counts against patience.
    References: Prechelt 1998, "Early Stopping - But When?", Neural Networks: Tricks of the Trade, section 2.1 (the
        criterion UP_s, here against the best value rather than the last one); Morgan & Bourlard 1990, NIPS 2.
    Peer: lightgbm.early_stopping, same best and last check on random walks with ties (A).
    In production: use it with validation data that no reported number comes from.
    """

    def __init__(self, patience: int = 10, *, min_delta: float = 0.0, mode: Mode = "min", restore_best: bool = True):
        if patience < 1:
            raise ValueError(f"patience must be >= 1, got {patience}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta must be >= 0 and finite, got {min_delta}")
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.restore_best = restore_best
        self.best = math.inf if mode == "min" else -math.inf
        self.best_check: int | None = None
        self.checks = 0
        self._weights: dict[str, Any] | None = None

    @property
    def stop(self) -> bool:
        since = self.checks if self.best_check is None else self.checks - 1 - self.best_check
        return since >= self.patience

    def update(self, value: float, model: nn.Module | None = None) -> bool:
        """Take the metric's next value.

        Args:
            value: of the metric.
            model: whose state is copied if it is the best so far; may be None without restore_best.

        Returns:
            Whether it improved.

        Raises:
            ValueError: if restore_best holds and there is no model.
        """
        if self.restore_best and model is None:
            raise ValueError("update needs the model whose best state is to be kept; or pass restore_best=False")
        # false for NaN
        improved = value < self.best - self.min_delta if self.mode == "min" else value > self.best + self.min_delta
        if improved:
            self.best, self.best_check = value, self.checks
            if self.restore_best and model is not None:
                self._weights = copy.deepcopy(model.state_dict())
        self.checks += 1
        return improved

    def restore(self, model: nn.Module) -> bool:
        """Load the best state into the model; returns whether there was one."""
        if self._weights is None:
            return False
        model.load_state_dict(self._weights)
        return True

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on as if it had not been interrupted."""
        return {
            "best": self.best,
            "best_check": self.best_check,
            "checks": self.checks,
            "weights": copy.deepcopy(self._weights),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.best, self.best_check, self.checks = state["best"], state["best_check"], state["checks"]
        self._weights = copy.deepcopy(state["weights"])
