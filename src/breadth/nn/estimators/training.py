"""What the network estimators are told by name: losses from the counts of classes, optimizers, learning rates."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from breadth.nn import losses, schedules
from breadth.nn.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from breadth.nn.update import Loss, supervised

ClassLoss = Literal[
    "cross_entropy", "label_smoothing", "inverse_count", "class_balanced", "balanced_softmax", "focal", "mae",
    "generalized_cross_entropy", "symmetric_cross_entropy", "soft_bootstrapping", "hard_bootstrapping", "brier",
]  # fmt: skip
ValueLoss = Literal["squared", "absolute", "huber"]
OptimizerName = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
Schedule = Literal["constant", "linear", "cosine"]
MakeOptimizer = Callable[..., torch.optim.Optimizer]  # (params, lr=, weight_decay=)

_OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
_VALUE_LOSSES = {
    "squared": torch.nn.functional.mse_loss,
    "absolute": torch.nn.functional.l1_loss,
    "huber": torch.nn.functional.huber_loss,
}


def class_loss(loss: ClassLoss | Callable[..., Tensor], counts: Tensor) -> Loss:
    """The loss of `fit` for class numbers.

    Args:
        loss: a name, or a function of (logits, target, reduction="none").
        counts: rows of each class, float, shape (classes,).

    Raises:
        ValueError: for an unknown name.
    """
    if callable(loss):
        return supervised(loss)
    match loss:
        case "cross_entropy":
            return supervised(losses.cross_entropy)
        case "label_smoothing":
            return supervised(losses.cross_entropy, label_smoothing=0.1)
        case "inverse_count":
            return supervised(losses.cross_entropy, weight=counts.sum() / (len(counts) * counts))
        case "class_balanced":
            return supervised(losses.cross_entropy, weight=losses.class_balanced_weight(counts))
        case "balanced_softmax":
            return supervised(losses.balanced_softmax_loss, class_counts=counts)
        case "focal":
            return supervised(losses.focal_loss)
        case "mae":
            return supervised(losses.mae_loss)
        case "generalized_cross_entropy":
            return supervised(losses.generalized_cross_entropy)
        case "symmetric_cross_entropy":
            return supervised(losses.symmetric_cross_entropy)
        case "soft_bootstrapping":
            return supervised(losses.soft_bootstrapping_loss)
        case "hard_bootstrapping":
            return supervised(losses.hard_bootstrapping_loss)
        case "brier":
            return supervised(losses.brier_loss)
    raise ValueError(f"loss must be one of {', '.join(map(repr, get_args(ClassLoss)))} or a function, got {loss!r}")


def value_loss(loss: ValueLoss | Callable[..., Tensor]) -> Loss:
    """The loss of `fit` for real targets, shape (rows, targets): a row's is the mean over its targets."""
    if not callable(loss) and loss not in _VALUE_LOSSES:
        raise ValueError(f"loss must be one of {', '.join(map(repr, _VALUE_LOSSES))} or a function, got {loss!r}")
    function = loss if callable(loss) else _VALUE_LOSSES[loss]

    def by_row(output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return function(output, target, reduction=reduction).flatten(1).mean(1)

    return supervised(by_row)


def make_optimizer(
    optimizer: OptimizerName | MakeOptimizer, params: Iterable[Tensor], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer of that name, or what the function makes of the parameters."""
    if callable(optimizer):
        return optimizer(params, lr=lr, weight_decay=weight_decay)
    if optimizer not in _OPTIMIZERS:
        names = ", ".join(map(repr, _OPTIMIZERS))
        raise ValueError(f"optimizer must be one of {names} or a function of (params, lr=, weight_decay=), "
                         f"got {optimizer!r}")  # fmt: skip
    return _OPTIMIZERS[optimizer](params, lr=lr, weight_decay=weight_decay)


def make_schedule(schedule: Schedule, steps: int) -> schedules.Schedule:
    """Factor of the learning rate over `steps` updates."""
    match schedule:
        case "constant":
            return schedules.constant()
        case "linear":
            return schedules.linear(total_steps=steps)
        case "cosine":
            return schedules.cosine(total_steps=steps)
    raise ValueError(f"schedule must be one of {', '.join(map(repr, get_args(Schedule)))}, got {schedule!r}")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's CPU generator under a seed, and afterwards as it was."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def threads(n_threads: int | None) -> Iterator[None]:
    """torch on so many threads, and afterwards as before; None changes nothing."""
    before = torch.get_num_threads()
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def number(name: str, value: Any, low: float, high: float = math.inf, *, whole: bool = False) -> Any:
    """The value, if it is a number in [low, high], a whole one where asked."""
    proper = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not proper or not low <= float(value) <= high or not math.isfinite(value):
        wanted = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f">= {low:g}"
        raise ValueError(f"{name} must be {'an integer' if whole else 'a number'} {wanted}, got {value!r}")
    return value
