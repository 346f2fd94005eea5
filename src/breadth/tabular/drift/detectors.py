"""Detecting that a stream has changed: its error rate (DDM, EDDM), its mean (Page–Hinkley, ADWIN), its distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from inspect import signature
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ks_2samp, ttest_ind

from breadth.compilation import announced
from breadth.tabular.drift import detectors_kernels as kernels


class Alarms(NamedTuple):
    """What some values set off: positions among them, from 0."""

    drifts: NDArray[np.int64]
    warnings: NDArray[np.int64]


class _Detector(ABC):
    """What all of them share: parameters are attributes, values come one by one or many at once."""

    @abstractmethod
    def update_many(self, x: ArrayLike) -> Alarms:
        """Take in values in their order, shape (n,), and tell which of them set off an alarm."""

    def update(self, x: float) -> Self:
        """Take in one value."""
        self.update_many([x])
        return self

    def __repr__(self) -> str:
        given = (f"{name}={getattr(self, name)!r}" for name in signature(type(self)).parameters)
        return f"{type(self).__name__}({', '.join(given)})"


class DDM(_Detector):
    """Drift when the error rate rises: p + s > p_min + drift_threshold s_min, with s = sqrt(p (1 - p) / n).

    p is the rate of the n values since the last drift; p_min and s_min are those of the time when p + s was least.

    Args:
        warm_start: values before the first decision, >= 1.
        warning_threshold, drift_threshold: in standard deviations, 0 < warning <= drift.

    Attributes:
        drift_detected, warning_detected: of the last value.

    Raises:
        ValueError: if a parameter is out of its range, or a value is not in [0, 1].

    Cost: O(1) a value.
    References: Gama, Medas, Castillo & Rodrigues 2004, Learning with drift detection, SBIA, section 3.
    Peer: river.drift.binary.DDM: the same alarms (A).
    In production: use it on a classifier's errors when changes are sudden; `ADWIN` when they are slow.
    """

    def __init__(self, warm_start: int = 30, warning_threshold: float = 2.0, drift_threshold: float = 3.0):
        _check_count("warm_start", warm_start, 1)
        if not 0 < warning_threshold <= drift_threshold < np.inf:
            raise ValueError(
                f"thresholds must keep 0 < warning <= drift, got {warning_threshold!r} and {drift_threshold!r}"
            )
        self.warm_start, self.warning_threshold, self.drift_threshold = warm_start, warning_threshold, drift_threshold
        self._state = np.zeros(kernels.STATE)
        self._state[kernels.LEVEL] = np.inf

    def update_many(self, x: ArrayLike) -> Alarms:
        """Take in values in their order, shape (n,), and tell which of them set off an alarm."""
        values = _read(x, low=0.0, high=1.0)
        rest = (float(self.warm_start), float(self.warning_threshold), float(self.drift_threshold))
        return _run(kernels.ddm, values, self._state, *rest)

    @property
    def drift_detected(self) -> bool:
        return self._state[kernels.ALARM] == kernels.DRIFT

    @property
    def warning_detected(self) -> bool:
        return self._state[kernels.ALARM] == kernels.WARNING


class EDDM(_Detector):
    """Drift when errors come closer together: (p + 2 s) / (p + 2 s)_max < beta.

    p and s are mean and standard deviation of the distances between errors since the last drift.

    Args:
        warm_start: values, and errors, before the first decision, >= 1.
        alpha, beta: shares of the maximum below which to warn and to tell a drift, 0 < beta <= alpha <= 1.

    Attributes:
        drift_detected, warning_detected: after the last value.

    Raises:
        ValueError: if a parameter is out of its range, or a value is neither 0 nor 1.

    Cost: O(1) a value.
    References: Baena-García et al. 2006, Early drift detection method, Fourth International Workshop on Knowledge
        Discovery from Data Streams, section 3.
    Peer: river.drift.binary.EDDM: the same alarms (A).
    In production: use it for slow changes of a low error rate.
    """

    def __init__(self, warm_start: int = 30, alpha: float = 0.95, beta: float = 0.9):
        _check_count("warm_start", warm_start, 1)
        if not 0 < beta <= alpha <= 1:
            raise ValueError(f"alpha and beta must keep 0 < beta <= alpha <= 1, got {alpha!r} and {beta!r}")
        self.warm_start, self.alpha, self.beta = warm_start, alpha, beta
        self._state = np.zeros(kernels.STATE)

    def update_many(self, x: ArrayLike) -> Alarms:
        """Take in values in their order, shape (n,), and tell at which of them an alarm was on."""
        values = _read(x, low=0.0, high=1.0)
        if not np.isin(values, (0.0, 1.0)).all():
            raise ValueError("x must be 1 (an error) or 0 (none)")
        return _run(kernels.eddm, values, self._state, float(self.warm_start), float(self.alpha), float(self.beta))

    @property
    def drift_detected(self) -> bool:
        return self._state[kernels.ALARM] == kernels.DRIFT

    @property
    def warning_detected(self) -> bool:
        return self._state[kernels.ALARM] == kernels.WARNING


class PageHinkley(_Detector):
    """Drift when deviations from the running mean add up: U_t - min U > threshold, or max D - D_t > threshold.

    U_t = alpha U_(t-1) + x_t - m_t - delta and D_t = alpha D_(t-1) + x_t - m_t + delta, m_t the mean of the values
    since the last drift.

    Args:
        min_instances: values before the first decision, >= 1.
        delta: change that is tolerated, >= 0.
        threshold: > 0.
        alpha: share of the past that is kept, in (0, 1].
        mode: look for a rise ("up"), a fall ("down") or "both".

    Attributes:
        drift_detected: at the last value.

    Raises:
        ValueError: if a parameter is out of its range, or a value is not finite.

    Cost: O(1) a value.
    References: Page 1954, Continuous inspection schemes, Biometrika 41; Hinkley 1971, Biometrika 58; Gama et al. 2014,
        A survey on concept drift adaptation, ACM Computing Surveys 46(4).
    Deviations:
        1. Page's sum has alpha = 1; forgetting is river's.
    Peer: river.drift.PageHinkley: the same alarms (A).
    In production: use it for the mean of a loss or of a sensor; scale threshold with the values.
    """

    def __init__(
        self,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 1 - 0.0001,
        mode: Literal["up", "down", "both"] = "both",
    ):
        _check_count("min_instances", min_instances, 1)
        if not (0 <= delta < np.inf and 0 < threshold < np.inf):
            raise ValueError(f"delta must be >= 0 and threshold > 0, got {delta!r} and {threshold!r}")
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha must be in (0, 1], got {alpha!r}")
        if mode not in ("up", "down", "both"):
            raise ValueError(f"mode must be 'up', 'down' or 'both', got {mode!r}")
        self.min_instances, self.delta, self.threshold = min_instances, delta, threshold
        self.alpha, self.mode = alpha, mode
        self._state = np.zeros(kernels.STATE)
        self._state[kernels.LEAST], self._state[kernels.LAST] = np.inf, -np.inf

    def update_many(self, x: ArrayLike) -> Alarms:
        """Take in values in their order, shape (n,), and tell which of them set off an alarm."""
        numbers = (float(v) for v in (self.min_instances, self.delta, self.threshold, self.alpha))
        return _run(kernels.page_hinkley, _read(x), self._state, *numbers, self.mode != "down", self.mode != "up")

    @property
    def drift_detected(self) -> bool:
        return self._state[kernels.ALARM] == kernels.DRIFT


class ADWIN(_Detector):
    """A window that drops its oldest values while the means of two parts of it differ by more than chance allows.

    Cut where |m_0 - m_1| > sqrt(2 v L / m) + 2 L / (3 m), with v the window's variance, n its width, L = log(2 log(n) /
    delta) and 1 / m = 1 / (n_0 - c + 1) + 1 / (n_1 - c + 1), c the least width of a part. The window is kept in buckets
    of 2^r values, at most max_buckets of each size, and can be cut between them.

    Args:
        delta: confidence; false alarms are rarer the smaller it is, in (0, 1).
        clock: values between two looks, >= 1.
        max_buckets: buckets of each size, >= 2.
        min_window_length: c, >= 1.
        grace_period: width up to which the window is not cut, >= 1.

    Attributes:
        drift_detected: at the last value.
        width, estimation, variance: number, mean and (biased) variance of the values in the window.

    Raises:
        ValueError: if a parameter is out of its range, or a value is not finite.

    Cost: O(log n) each clock values, O(1) the others; memory O(max_buckets log n).
    References: Bifet & Gavaldà 2007, Learning from time-changing data with adaptive windowing, SDM,
        section 3.
    Deviations:
        1. As in river, the cut has n_0 - c + 1 for the paper's n_0 and L = log(2 log(n) / delta) for log(2 n / delta),
           and the window is emptied after a drift.
    Peer: river.drift.ADWIN: the same alarms (A).
    In production: use it as the first choice: it needs no scale, finds rises and falls, and keeps what is still valid.
    """

    def __init__(
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ):
        if not 0 < delta < 1:
            raise ValueError(f"delta must be in (0, 1), got {delta!r}")
        _check_count("clock", clock, 1)
        _check_count("max_buckets", max_buckets, 2)
        _check_count("min_window_length", min_window_length, 1)
        _check_count("grace_period", grace_period, 1)
        self.delta, self.clock, self.max_buckets = delta, clock, max_buckets
        self.min_window_length, self.grace_period = min_window_length, grace_period
        self._state = np.zeros(kernels.HEADER)
        self._state[kernels.ROWS] = 1.0
        self._totals = np.zeros((kernels.MAX_ROWS, max_buckets + 1))
        self._variances = np.zeros_like(self._totals)
        self._counts = np.zeros(kernels.MAX_ROWS, np.int64)
        self._first = np.zeros(kernels.MAX_ROWS, np.int64)

    def update_many(self, x: ArrayLike) -> Alarms:
        """Take in values in their order, shape (n,), and tell which of them set off an alarm."""
        buckets = (self._totals, self._variances, self._counts, self._first)
        counts = (float(n) for n in (self.clock, self.min_window_length, self.grace_period))
        return _run(kernels.adwin, _read(x), self._state, *buckets, float(self.delta), *counts)

    @property
    def drift_detected(self) -> bool:
        return self._state[kernels.FLAG] == kernels.DRIFT

    @property
    def width(self) -> int:
        return int(self._state[kernels.WIDTH])

    @property
    def estimation(self) -> float:
        return float(self._state[kernels.TOTAL] / self.width) if self.width else 0.0

    @property
    def variance(self) -> float:
        return float(self._state[kernels.VARIANCE] / self.width) if self.width else 0.0


class WindowTest(_Detector):
    """Drift when the newest `size` values and the first `size` since the last drift differ by a two-sample test.

    Each step values the two windows, which never overlap, are tested at level alpha. After a drift both start empty.

    Args:
        size: values of each window, >= 2.
        alpha: level of one test, in (0, 1); many tests are made, so choose it small.
        test: "ks" (Kolmogorov–Smirnov, any change of the distribution), "welch" (t test of means with unequal
            variances) or a function of two arrays that returns a p value.
        step: values between two tests, >= 1; None means size.

    Attributes:
        drift_detected: at the last value.
        p_value: of the last test; 1 before the first.

    Raises:
        ValueError: if a parameter is out of its range, or a value is not finite.

    Cost: O(size log size) a test.
    References: Kifer, Ben-David & Gehrke 2004, Detecting change in data streams, VLDB, section 3.
    Peer: scipy.stats.ks_2samp and ttest_ind on the same windows; this class calls them (C for the windows).
    In production: use it where the shape changes and the mean does not, and to watch inputs without labels.
    """

    def __init__(
        self,
        size: int = 200,
        alpha: float = 1e-4,
        test: Literal["ks", "welch"] | Callable[[NDArray, NDArray], float] = "ks",
        step: int | None = None,
    ):
        _check_count("size", size, 2)
        if step is not None:
            _check_count("step", step, 1)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be in (0, 1), got {alpha!r}")
        if not (callable(test) or test in ("ks", "welch")):
            raise ValueError(f"test must be 'ks', 'welch' or a function, got {test!r}")
        self.size, self.alpha, self.test, self.step = size, alpha, test, step
        self.drift_detected, self.p_value = False, 1.0
        self._reference: list[float] = []
        self._recent: deque[float] = deque(maxlen=size)
        self._since = 0

    def update_many(self, x: ArrayLike) -> Alarms:
        """Take in values in their order, shape (n,), and tell which of them set off an alarm."""
        drifts = [i for i, value in enumerate(_read(x).tolist()) if self._take(value)]
        return Alarms(np.array(drifts, np.int64), np.zeros(0, np.int64))

    def _take(self, value: float) -> bool:
        if self.drift_detected:
            self._reference, self._since = [], 0
            self._recent.clear()
        self.drift_detected = False
        if len(self._reference) < self.size:
            self._reference.append(value)
            return False
        self._recent.append(value)
        self._since += 1
        if len(self._recent) == self.size and self._since >= (self.step or self.size):
            self._since = 0
            self.p_value = self._compare(np.array(self._reference), np.array(self._recent))
            self.drift_detected = self.p_value < self.alpha
        return self.drift_detected

    def _compare(self, before: NDArray, now: NDArray) -> float:
        if callable(self.test):
            return float(self.test(before, now))
        if self.test == "ks":
            return float(ks_2samp(before, now, method="asymp").pvalue)
        if np.ptp(before) == 0 and np.ptp(now) == 0:  # no variance to divide by
            return 1.0 if before[0] == now[0] else 0.0
        return float(ttest_ind(before, now, equal_var=False).pvalue)


def _check_count(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")


def _read(x: ArrayLike, *, low: float = -np.inf, high: float = np.inf) -> NDArray[np.float64]:
    values = np.ascontiguousarray(x, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"x must be one value after another, shape (n,), got shape {values.shape}")
    wrong = ~np.isfinite(values) | (values < low) | (values > high)
    if wrong.any():
        kind = "finite numbers" if low == -np.inf else f"in [{low:g}, {high:g}]"
        at = int(wrong.argmax())
        raise ValueError(f"x must be {kind}, got {values[at]} at position {at}")
    return values


def _run(kernel: Callable[..., None], values: NDArray, state: NDArray, *rest: Any) -> Alarms:
    out = np.empty(len(values), np.uint8)
    with announced():
        kernel(values, state, *rest, out)
    return Alarms(np.flatnonzero(out == kernels.DRIFT), np.flatnonzero(out == kernels.WARNING))
