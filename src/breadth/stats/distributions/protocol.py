"""What every distribution offers."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rng = np.random.Generator | int | None


@runtime_checkable
class Distribution(Protocol):
    """A law with a density (`logpdf`, `pdf`) or a probability mass (`logpmf`, `pmf`), with what both have in common.

    Scalar parameters; every function of x takes any shape and returns it (multivariate laws: the shape without the
    last axis), NaN for NaN, in float64. Beyond this, `fit(x, weight=None)` is the maximum likelihood estimate,
    `standard_errors(n)` what n observations of the law leave uncertain about its parameters, and `update`, where there
    is a conjugate one, the posterior.
    """

    @property
    def mean(self) -> Any: ...

    @property
    def var(self) -> Any: ...

    def cdf(self, x: ArrayLike) -> Any: ...

    def entropy(self) -> float: ...

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> NDArray: ...
