"""What curves of training and validation risk say: underfitting, overfitting, and whether more data would help."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from breadth.stats import arguments
from breadth.stats.learning import LearningCurve

Floats = NDArray[np.float64]
Fit = Literal["underfitting", "overfitting", "good", "both"]


class Difference(NamedTuple):
    """A mean over repeats with its interval."""

    mean: float
    low: float
    high: float


class Diagnosis(NamedTuple):
    """A verdict for each point of a curve, and what it is drawn from."""

    fits: tuple[Fit, ...]  # one a point; for sizes, only the last one's is about the model as it would be used
    best: int  # point of least mean validation risk
    gap: Difference  # validation less training risk at the last size, or at the best capacity
    excess: Difference | None  # training risk above the attainable one, where that is given
    slope: Difference | None  # sizes: change of validation risk from the last but one size to the last
    more_data_helps: bool | None  # sizes: the risk still falls, and there is a gap to close
    margin: float

    def explain(self) -> str:
        """The verdict in a sentence or two."""
        say = {
            "underfitting": "it underfits: training risk is above what is attainable",
            "overfitting": "it overfits: validation risk is above training risk",
            "both": "training risk is above what is attainable, and validation risk above that",
            "good": "neither is seen",
        }
        if self.slope is None:
            under = [i for i, fit in enumerate(self.fits) if fit == "underfitting"]
            over = [i for i, fit in enumerate(self.fits) if fit == "overfitting"]
            return f"best at point {self.best}; underfitting at points {under}, overfitting at {over}"
        more = "more data would help" if self.more_data_helps else "more data are not seen to help"
        return f"at the last size {say[self.fits[-1]]}; gap {self.gap.mean:.4g}; {more}"


def diagnose(
    curve: LearningCurve, *, margin: float, attainable: float | None = None, confidence: float = 0.95
) -> Diagnosis:
    """Underfitting or overfitting at each point of a learning curve, with intervals over its repeats.

    Sizes: a point overfits if the gap (validation less training risk) is above `margin`, and underfits if training risk
    is above `attainable` + margin. Capacities: against the point of least mean validation risk, one is off if its
    validation risk is higher by more than margin; then it underfits if its capacity is lower and overfits if higher.
    Each "above" is that of the whole interval, by Student's t on paired repeats.

    Args:
        curve: of `learning_curve` or `capacity_curve`, at least two repeats.
        margin: difference in risk that matters, >= 0.
        attainable: risk that a good model reaches (noise, people, another model); None leaves underfitting unseen along
            sizes, as no gap can show it.
        confidence: of the intervals, in (0, 1).

    Returns:
        Diagnosis.

    Raises:
        ValueError: if there are fewer than two repeats, risks are not finite, or an argument is out of range.

    Cost: none beside the curve's.
    Deviations: repeats share rows, so that intervals are too short by the factor that Nadeau and Bengio mend: between
        two models use `breadth compare`, which does.
    References: Hastie, Tibshirani & Friedman 2009, sections 7.2 and 7.10 (curves); Nadeau & Bengio 2003.
    Peer: planted truth: polynomials of too low, right and too high degree, with known noise (B).
    In production: set the margin before the curve is drawn.
    """
    train, validation = (np.asarray(v, np.float64) for v in (curve.train, curve.validation))
    if train.ndim != 2 or train.shape != validation.shape or train.shape[1] < 2 or not len(train):
        raise ValueError(
            f"curve must hold risks of shape (points, repeats >= 2), got {train.shape}, {validation.shape}"
        )
    if not (np.isfinite(train).all() and np.isfinite(validation).all()):
        raise ValueError("curve holds risks that are not finite")
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin must be >= 0, got {margin!r}")
    arguments.open_unit("confidence", confidence)
    best = int(validation.mean(1).argmin())
    fits: list[Fit] = []
    at = best if curve.axis == "capacity" else len(train) - 1
    for i in range(len(train)):
        if curve.axis == "capacity":
            off = i != best and _paired(validation[i] - validation[best], confidence).low > margin
            fits.append(("underfitting" if i < best else "overfitting") if off else "good")
        else:
            over = _paired(validation[i] - train[i], confidence).low > margin
            under = attainable is not None and _paired(train[i] - attainable, confidence).low > margin
            fits.append("both" if over and under else "overfitting" if over else "underfitting" if under else "good")
    slope = helps = None
    if curve.axis == "size" and len(train) > 1:
        slope = _paired(validation[-1] - validation[-2], confidence)
        helps = bool(slope.high < 0 and fits[-1] in ("overfitting", "both"))
    return Diagnosis(
        tuple(fits),
        best,
        _paired(validation[at] - train[at], confidence),
        None if attainable is None else _paired(train[at] - attainable, confidence),
        slope,
        helps,
        float(margin),
    )


def _paired(differences: Floats, confidence: float) -> Difference:
    n = len(differences)
    mean, se = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(n))
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * se
    return Difference(mean, mean - half, mean + half)
