"""An agent's settings: built from keywords, and held to their ranges before anything is learnt."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

H = TypeVar("H")


def build(cls: type[H], given: Mapping[str, Any]) -> H:
    """The dataclass of an agent's hyperparameters, built from keywords.

    Raises:
        TypeError: for a keyword that the agent does not have, with the nearest that it has.
        ValueError: for one that is out of its range.
    """
    names = list(inspect.signature(cls).parameters)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
            raise TypeError(f"{cls.__name__} has no {name}{hint}")
    return cls(**given)


def require(
    hyper: Any,
    *,
    counts: Sequence[str] = (),
    fractions: Sequence[str] = (),
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
) -> None:
    """Check fields by name: integers >= 1, numbers in [0, 1], finite ones > 0, and finite ones >= 0.

    Raises:
        ValueError: for the first field that is out of its range.
    """
    for name in counts:
        value = getattr(hyper, name)
        if not (value >= 1 and value % 1 == 0):
            raise ValueError(f"{name} must be an integer of at least 1, got {value}")
    for name in fractions:
        if not 0 <= getattr(hyper, name) <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {getattr(hyper, name)}")
    for name in positive:
        if not 0 < getattr(hyper, name) < math.inf:
            raise ValueError(f"{name} must be > 0 and finite, got {getattr(hyper, name)}")
    for name in not_negative:
        if not 0 <= getattr(hyper, name) < math.inf:
            raise ValueError(f"{name} must be >= 0 and finite, got {getattr(hyper, name)}")
