"""Norms of vectors, what makes a function a norm or a metric, and the gradient of the Euclidean norm at 0."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.stats import arguments

Floats = NDArray[np.float64]


class NormReport(NamedTuple):
    """Which axioms held on all vectors tried; where one failed, the vectors (and factor) that show it."""

    nonnegative: bool
    definite: bool  # f(v) = 0 only at v = 0
    homogeneous: bool  # f(a v) = |a| f(v)
    triangle: bool  # f(u + v) <= f(u) + f(v)
    counterexamples: dict[str, tuple[Any, ...]]

    @property
    def is_norm(self) -> bool:
        """Whether no axiom failed."""
        return not self.counterexamples


class MetricReport(NamedTuple):
    """Which axioms of a metric held, and the two more that a metric |u - v| of a norm has."""

    nonnegative: bool
    identity: bool  # d(u, v) = 0 only for u = v
    symmetric: bool
    triangle: bool
    translation_invariant: bool  # d(u + w, v + w) = d(u, v)
    homogeneous: bool  # d(a u, a v) = |a| d(u, v)
    counterexamples: dict[str, tuple[Any, ...]]

    @property
    def is_metric(self) -> bool:
        """Whether the four axioms of a metric held."""
        return self.nonnegative and self.identity and self.symmetric and self.triangle

    @property
    def comes_from_a_norm(self) -> bool:
        """Whether the other two held as well."""
        return self.is_metric and self.translation_invariant and self.homogeneous


class ValueAndGradient(NamedTuple):
    """A function's value, its gradient, and whether it has one there."""

    value: Floats
    gradient: Floats
    differentiable: NDArray[np.bool_]


def norm(x: ArrayLike, p: float = 2.0, *, axis: int | None = -1) -> Any:
    """L_p norm (sum |x_i|^p)^(1/p): L1, L2, the largest |x_i| for p = inf, the count of non-zeros for p = 0.

    Args:
        x: vectors along `axis`, finite, any shape.
        p: >= 0 or infinite. It is a norm for p >= 1 alone: below, the triangle inequality fails, and the count (often
            written L0) is not homogeneous.
        axis: None takes all entries as one vector.

    Returns:
        A number, or an array without `axis`; 0 of an empty vector. Where a sum of powers nears an end of float64's
        range, values are divided by the largest first.

    Raises:
        ValueError: if p is negative or NaN, or x holds NaN or infinity.

    Cost: O(n).
    Deviations: for p = 0 the count, which is the limit of sum |x_i|^p; (sum |x_i|^p)^(1/p) itself goes to infinity.
    References: Golub & Van Loan 2013, Matrix Computations, section 2.2; Donoho 2006, IEEE Trans. Information Theory 52.
    Peer: numpy.linalg.norm, 1e-14; mpmath where squares overflow (A).
    In production: use it where squares may overflow or vanish; numpy.linalg.norm elsewhere, and for matrices.
    """
    v = np.asarray(x, np.float64)
    if not isinstance(p, Real) or not p >= 0:
        raise ValueError(f"p must be >= 0 or infinite, got {p!r}")
    if axis is None:
        v, axis = v.reshape(-1), -1
    v = np.moveaxis(v, axis, -1)
    with np.errstate(all="ignore"):
        total = _powers(v, p)
        out = np.sqrt(total) if p == 2 else total ** (1 / p) if 0 < p < np.inf else total
    # sums near the ends of float64's range have lost digits or all; NaN and infinity of x are among them
    lost = ~((total > _LEAST) & np.isfinite(total))
    if lost.any():
        rows = v[lost]
        if not np.isfinite(v).all():
            raise ValueError(f"x holds NaN or infinity in {int((~np.isfinite(v)).sum())} of {v.size} values")
        if p > 0:
            largest = np.abs(rows).max(axis=-1, initial=0.0)
            scale = np.where(largest > 0, largest, 1.0)
            again = largest if np.isinf(p) else scale * _powers(rows / scale[:, None], p) ** (1 / p)
            out = np.asarray(out)
            out[lost] = again
    if p == 0:
        out = out.astype(np.int64)
    return out.item() if np.ndim(out) == 0 else out


_LEAST = 1e-280  # of a sum of powers that has all its digits


def _powers(v: Floats, p: float) -> Any:
    """sum |v|^p along the last axis; for p = inf the largest |v|, for p = 0 how many are not 0; NaN for NaN."""
    if p == 2:
        return np.vecdot(v, v)
    if np.isinf(p):
        return np.maximum(v.max(axis=-1, initial=0.0), -v.min(axis=-1, initial=0.0))
    if p == 0:
        return np.count_nonzero(v, axis=-1) + 0 * v.sum(axis=-1)
    size = np.abs(v)
    return (size if p == 1 else np.power(size, p, out=size)) @ np.ones(v.shape[-1])


def norm_axioms(
    f: Callable[[Floats], Any],
    n_dimensions: int = 3,
    *,
    n_trials: int = 300,
    rtol: float = 1e-9,
    rng: np.random.Generator | int | None = 0,
) -> NormReport:
    """Try the axioms of a norm on random, sparse and opposite vectors and on 0.

    Args:
        f: from a vector, shape (n_dimensions,), to a number.
        n_dimensions: >= 2: in one dimension every power of |x| that is homogeneous is a norm.
        n_trials: pairs of vectors, >= 1.
        rtol: what rounding may leave.
        rng: generator or its seed.

    Returns:
        NormReport. A failed axiom is refuted by its counterexample; the others are not proved.

    Raises:
        ValueError: if an argument is out of range, or f returns NaN or more than a number.

    Cost: about 6 n_trials evaluations.
    References: Golub & Van Loan 2013, section 2.2.1.
    Peer: known answers: L1, L2, L_inf and a weighted L2 are norms; p = 0 (homogeneity), p = 1/2 (triangle), squared L2
        (both) and a seminorm (definiteness) are not (B).
    In production: to see which axiom a home-made penalty or distance breaks.
    """
    arguments.whole("n_dimensions", n_dimensions, 2)
    arguments.whole("n_trials", n_trials, 1)
    generator = np.random.default_rng(rng)
    g = _number("f", f)
    found: dict[str, tuple[Any, ...]] = {}
    zero = np.zeros(n_dimensions)
    if abs(g(zero)) > 0:
        found["definite"] = (zero,)
    for u, v in _vectors(generator, n_dimensions, n_trials):
        fu, fv = g(u), g(v)
        slack = rtol * (abs(fu) + abs(fv))
        for w, fw in ((u, fu), (v, fv)):
            if fw < -slack:
                found.setdefault("nonnegative", (w,))
            if abs(fw) <= 1e-300 and w.any():
                found.setdefault("definite", (w,))
        if g(u + v) > fu + fv + slack:
            found.setdefault("triangle", (u, v))
        a = float(generator.choice([-1.0, 2.0, 0.5, -3.0, 10.0]))
        if abs(g(a * u) - abs(a) * fu) > rtol * abs(a * fu):
            found.setdefault("homogeneous", (a, u))
    return NormReport(**{axiom: axiom not in found for axiom in NormReport._fields[:4]}, counterexamples=found)


def metric_axioms(
    d: Callable[[Floats, Floats], Any],
    n_dimensions: int = 3,
    *,
    n_trials: int = 300,
    rtol: float = 1e-9,
    rng: np.random.Generator | int | None = 0,
) -> MetricReport:
    """Try the axioms of a metric, and whether it can be the metric |u - v| of a norm.

    Every norm gives a metric; a metric comes from a norm only if it is homogeneous and does not care for translations.
    The discrete metric, 0 for equal and 1 for other points, is not homogeneous.

    Args:
        d: from two vectors, each of shape (n_dimensions,), to a number.
        n_dimensions: >= 2.
        n_trials: triples of vectors, >= 1.
        rtol: what rounding may leave.
        rng: generator or its seed.

    Returns:
        MetricReport. A failed axiom is refuted by its counterexample; the others are not proved.

    Raises:
        ValueError: if an argument is out of range, or d returns NaN or more than a number.

    Cost: about 8 n_trials evaluations.
    References: Rudin 1976, Principles of Mathematical Analysis, definition 2.15.
    Peer: known answers: Euclidean (both), discrete (a metric without a norm), squared Euclidean (no triangle), a
        divergence (not symmetric) (B).
    In production: before a home-made distance is given to an index that relies on the triangle inequality.
    """
    arguments.whole("n_dimensions", n_dimensions, 2)
    arguments.whole("n_trials", n_trials, 1)
    generator = np.random.default_rng(rng)
    g = _number("d", d)
    found: dict[str, tuple[Any, ...]] = {}
    for u, v in _vectors(generator, n_dimensions, n_trials):
        w = u + generator.random() * (v - u) if generator.random() < 0.5 else generator.standard_normal(n_dimensions)
        uv, slack = g(u, v), rtol * (abs(g(u, w)) + abs(g(w, v)))
        if uv < 0:
            found.setdefault("nonnegative", (u, v))
        if abs(g(u, u)) > 0 or (abs(uv) <= 1e-300 and (u != v).any()):
            found.setdefault("identity", (u, v))
        if abs(uv - g(v, u)) > rtol * abs(uv):
            found.setdefault("symmetric", (u, v))
        if uv > g(u, w) + g(w, v) + slack:
            found.setdefault("triangle", (u, w, v))
        if abs(g(u + w, v + w) - uv) > rtol * (abs(uv) + np.abs(w).max()):
            found.setdefault("translation_invariant", (u, v, w))
        if abs(g(-2 * u, -2 * v) - 2 * uv) > rtol * abs(uv):
            found.setdefault("homogeneous", (-2.0, u, v))
    return MetricReport(**{axiom: axiom not in found for axiom in MetricReport._fields[:6]}, counterexamples=found)


def squared_l2_norm(x: ArrayLike) -> ValueAndGradient:
    """|x|^2 = sum x_i^2 along the last axis, with gradient 2x: smooth everywhere, 0 included.

    Args:
        x: vectors along the last axis, shape (..., n), finite.

    Returns:
        Values (...), gradients (..., n), and True (...).

    Raises:
        ValueError: if x is a scalar or holds NaN or infinity.

    Cost: O(n).
    References: Boyd & Vandenberghe 2004, Convex Optimization, appendix A.4.
    Peer: numpy.linalg.norm squared, 1e-14; central differences (A).
    In production: as a penalty: it shrinks small weights little, and never to exactly 0.
    """
    v = arguments.sample("x", x, at_least=0)
    value = np.asarray(np.vecdot(v, v))
    return ValueAndGradient(value, 2 * v, np.ones(value.shape, bool))


def l2_norm(x: ArrayLike, *, at_zero: Literal["zero", "nan", "raise"] = "zero") -> ValueAndGradient:
    """|x| = sqrt(sum x_i^2) along the last axis, with gradient x / |x|, of length 1 however small x is.

    At 0 there is no gradient: the derivative along any u is |u|, and every vector of length at most 1 is a subgradient.

    Args:
        x: vectors along the last axis, shape (..., n), finite.
        at_zero: what to give as gradient at 0: the subgradient "zero", as torch does, "nan", or "raise".

    Returns:
        Values (...), gradients (..., n), and whether there is one (...).

    Raises:
        ValueError: if x is a scalar or holds NaN or infinity, or at_zero is "raise" and a vector is 0.

    Cost: O(n).
    References: Rockafellar 1970, Convex Analysis, section 23.
    Peer: numpy.linalg.norm, 1e-14; central and one-sided differences (A).
    In production: as a group penalty, whose kink at 0 makes whole groups exactly 0.
    """
    arguments.one_of("at_zero", at_zero, ("zero", "nan", "raise"))
    v = arguments.sample("x", x, at_least=0)
    value = np.asarray(norm(v))
    smooth = value > 0
    if at_zero == "raise" and not smooth.all():
        raise ValueError("x is 0 where the norm has no gradient; use squared_l2_norm, or at_zero='zero'")
    gradient = v / np.where(smooth, value, 1.0)[..., None]
    if not smooth.all():
        gradient[~smooth] = 0.0 if at_zero == "zero" else np.nan
    return ValueAndGradient(value, gradient, np.asarray(smooth))


def _vectors(rng: np.random.Generator, n: int, n_trials: int) -> list[tuple[Floats, Floats]]:
    """Pairs: unit vectors first, then random ones, sparse ones, opposites and near neighbours, of sizes 1e-3 to 1e3."""
    unit = np.eye(n)
    pairs = [(unit[i], unit[j]) for i in range(min(n, 4)) for j in range(min(n, 4)) if i != j]
    for _ in range(n_trials):
        u, v = rng.standard_normal((2, n)) * 10 ** rng.uniform(-3, 3)
        kind = rng.integers(5)
        if kind == 1:
            u, v = u * (rng.random(n) < 0.5), v * (rng.random(n) < 0.5)
        elif kind == 2:
            v = -u + 1e-3 * v
        elif kind == 3:
            v = rng.uniform(0.1, 10) * u
        pairs.append((u, v))
    return pairs


def _number(name: str, f: Callable[..., Any]) -> Callable[..., float]:
    def g(*vectors: Floats) -> float:
        value = np.asarray(f(*vectors), np.float64)
        if value.shape != () or np.isnan(value):
            raise ValueError(f"{name} must return a number, got {value!r} at {vectors!r}")
        return float(value)

    return g
