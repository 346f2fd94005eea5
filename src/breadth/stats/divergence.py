"""How uncertain a distribution is and how far two are apart: entropy, cross entropy, KL, Jensen–Shannon.

Everything is in nats unless a base is given. 0 log 0 is 0; what the second distribution holds impossible and the first
does not costs infinity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, xlogy

from breadth.stats.distributions.arguments import positive_number
from breadth.stats.distributions.multivariate_normal import MultivariateNormal
from breadth.stats.distributions.normal import Normal
from breadth.stats.distributions.saddle_point import deviance

Floats = NDArray[np.float64]


def entropy(p: ArrayLike, *, axis: int = -1, base: float | None = None) -> Any:
    """-sum p log p, with 0 log 0 = 0.

    Args:
        p: probabilities, >= 0 with sum 1 along axis.
        axis: of the outcomes.
        base: of the logarithm, > 1; None means e (nats), 2 gives bits.

    Returns:
        Entropy in [0, log k] for k outcomes, with `axis` taken out of the shape of p.

    Raises:
        ValueError: if p is empty, negative, NaN or does not sum to 1, or base <= 1.

    Cost: O(size of p).
    References: Cover & Thomas 2006, Elements of Information Theory, eq. 2.1.
    Peer: scipy.stats.entropy and mpmath, 1e-12 (A).
    In production: use it as is; from counts its plug-in estimate is too low by about (k - 1) / (2 n).
    """
    return (_add(entr(_probabilities("p", p, axis)), axis) / _unit(base))[()]


def gini_impurity(p: ArrayLike, *, axis: int = -1) -> Any:
    """1 - sum p^2: the chance that two draws differ.

    Args:
        p: probabilities, >= 0 with sum 1 along axis.
        axis: of the outcomes.

    Returns:
        Impurity in [0, 1 - 1/k] for k outcomes, with `axis` taken out of the shape of p.

    Raises:
        ValueError: if p is empty, negative, NaN or does not sum to 1.

    Cost: O(size of p).
    References: Breiman et al. 1984, Classification and Regression Trees, section 4.3.1.
    Peer: mpmath at 40 digits, 1e-12 (A); the impurity of scikit-learn's trees, 1e-12 (A).
    In production: use it as is; trees split alike by it and by entropy in all but a few percent of cases.
    """
    p = np.moveaxis(_probabilities("p", p, axis), axis, -1)
    # as 2 sum_{i < j} p_i p_j: nothing cancels near certainty
    return (2 * (p[..., 1:] * np.cumsum(p, axis=-1)[..., :-1]).sum(-1))[()]


def cross_entropy(p: ArrayLike, q: ArrayLike, *, axis: int = -1, base: float | None = None) -> Any:
    """H(p, q) = -sum p log q = H(p) + KL(p || q); it is H(p), not 0, where q = p.

    Args:
        p: probabilities that weigh the outcomes, >= 0 with sum 1 along axis.
        q: probabilities that are judged, likewise; broadcast against p.
        axis: of the outcomes.
        base: of the logarithm, > 1; None means e.

    Returns:
        Cross entropy, >= H(p), with `axis` taken out; inf where q is 0 and p is not.

    Raises:
        ValueError: if p or q is empty, negative, NaN or does not sum to 1, their outcomes differ in number, or
            base <= 1.

    Cost: O(size).
    References: Cover & Thomas 2006, section 2.3; Goodfellow et al. 2016, Deep Learning, eq. 3.51.
    Peer: mpmath, 1e-12 (A); scipy.stats.entropy(p) + scipy.stats.entropy(p, q), 1e-12 (A).
    In production: use `cross_entropy_with_logits` on a model's scores: it never takes the log of a rounded 0.
    """
    p, q = _pair(p, q, axis)
    with np.errstate(divide="ignore"):
        return (-_add(xlogy(p, q), -1) / _unit(base) + 0.0)[()]


def cross_entropy_with_logits(p: ArrayLike, logits: ArrayLike, *, axis: int = -1, base: float | None = None) -> Any:
    """-sum p log softmax(logits), from the scores themselves: sum p (max - logit + log1p(sum of the others' exp)).

    Every term is >= 0, so that a loss of 1e-30 has its digits and logits of 1e4 neither overflow nor round to log 0.

    Args:
        p: probabilities that weigh the outcomes, shape of logits; or, as integers with one axis less, the true class.
        logits: unnormalised log-probabilities, not NaN and below inf; -inf makes an outcome impossible.
        axis: of the outcomes in logits.
        base: of the logarithm, > 1; None means e.

    Returns:
        Cross entropy, with `axis` taken out; inf where the logit is -inf and p is not 0.

    Raises:
        ValueError: if p is not a distribution or class index, logits hold NaN or inf or only -inf, or base <= 1.

    Cost: O(size).
    References: Goodfellow et al. 2016, section 4.1 (log-sum-exp) and eq. 3.51.
    Peer: mpmath at 60 digits, 1e-12 relative (A); scipy.special.log_softmax, 1e-12 (A).
    In production: use it on arrays; `breadth.nn.losses.cross_entropy` where gradients are wanted.
    """
    z = np.moveaxis(np.asarray(logits, dtype=np.float64), axis, -1)
    if z.shape[-1] == 0 or np.isnan(z).any() or (z == np.inf).any():
        raise ValueError(f"logits must hold at least one class, no NaN and no inf, got shape {np.shape(logits)}")
    top = z.max(-1, keepdims=True)
    if np.isneginf(top).any():
        raise ValueError("logits are -inf for every class of a row; at least one must be possible")
    gap = top - z
    others = np.exp(-gap)
    np.put_along_axis(others, z.argmax(-1, keepdims=True), 0.0, -1)
    loss = gap + np.log1p(others.sum(-1, keepdims=True))  # -log softmax, >= 0
    target = np.asarray(p)
    if np.issubdtype(target.dtype, np.integer) and target.ndim == z.ndim - 1:
        if target.shape != z.shape[:-1] or (target < 0).any() or (target >= z.shape[-1]).any():
            raise ValueError(f"p as classes must lie in [0, {z.shape[-1]}) with shape {z.shape[:-1]}, got {p!r}")
        return (np.take_along_axis(loss, target[..., None], -1)[..., 0] / _unit(base))[()]
    weights = np.moveaxis(_probabilities("p", p, axis), axis, -1)
    if weights.shape[-1] != z.shape[-1]:
        raise ValueError(f"p and logits must have as many classes, got {weights.shape[-1]} and {z.shape[-1]}")
    with np.errstate(invalid="ignore"):
        return (np.where(weights == 0, 0.0, weights * loss).sum(-1) / _unit(base))[()]


def kl_divergence(p: Any, q: Any, *, axis: int = -1, base: float | None = None) -> Any:
    """KL(p || q) = E_p[log p - log q], of arrays of probabilities or of two normal distributions.

    Discrete: sum (p log(p / q) - p + q), whose terms are >= 0; the last two cancel in sum. Normal: half of
    sum (s_i^2 - 1 - log s_i^2) + |L_q^-1 (mean_p - mean_q)|^2, with s_i the singular values of L_q^-1 L_p.

    Args:
        p: probabilities, >= 0 with sum 1 along axis; or a `Normal` or `MultivariateNormal`.
        q: what it is measured from, likewise; broadcast against p.
        axis: of the outcomes, for arrays.
        base: of the logarithm, > 1; None means e.

    Returns:
        Divergence >= 0, 0 only where p = q and not symmetric; inf where q is 0 and p is not. Arrays: with `axis`
        taken out.

    Raises:
        ValueError: if p or q is empty, negative, NaN or does not sum to 1, their outcomes or dimensions differ in
            number, or base <= 1.
        TypeError: if one is a distribution and the other is not of its kind.

    Cost: O(size); multivariate normal O(d^3).
    References: Kullback & Leibler 1951, Annals of Mathematical Statistics 22; Cover & Thomas 2006, eq. 2.26; Duchi
        2007, "Derivations for linear algebra and optimization", section 9 (normal).
    Peer: scipy.stats.entropy(p, q) and mpmath, near-equal p and q included, 1e-12 (A).
    In production: use it as is; smooth q first if it comes from counts; `kl_monte_carlo` where only log-densities of
        samples are to be had.
    """
    if isinstance(p, (Normal, MultivariateNormal)) or isinstance(q, (Normal, MultivariateNormal)):
        if isinstance(p, Normal) and isinstance(q, Normal):
            p, q = (MultivariateNormal(np.array([n.mean]), np.array([[n.var]])) for n in (p, q))
        if not (isinstance(p, MultivariateNormal) and isinstance(q, MultivariateNormal)):
            raise TypeError(f"p and q must be of one kind, got {type(p).__name__} and {type(q).__name__}")
        return _kl_normal(p, q) / _unit(base)
    if hasattr(p, "entropy") or hasattr(q, "entropy"):
        raise TypeError(
            f"p and q must be probabilities or normal distributions, got {type(p).__name__} and {type(q).__name__}; "
            "of others kl_monte_carlo estimates it from their log-densities at draws of p"
        )
    p, q = _pair(p, q, axis)
    impossible = (q == 0) & (p > 0)
    terms = np.where(q == 0, np.where(impossible, np.inf, 0.0), deviance(p, np.where(q == 0, 1.0, q)))
    return (_add(terms, -1) / _unit(base))[()]


def jensen_shannon_divergence(p: ArrayLike, q: ArrayLike, *, axis: int = -1, base: float | None = None) -> Any:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2: symmetric, always finite, the square of a metric.

    Args:
        p: probabilities, >= 0 with sum 1 along axis.
        q: likewise; broadcast against p.
        axis: of the outcomes.
        base: of the logarithm, > 1; None means e.

    Returns:
        Divergence in [0, log 2] (in [0, 1] for base 2), with `axis` taken out.

    Raises:
        ValueError: if p or q is empty, negative, NaN or does not sum to 1, their outcomes differ in number, or
            base <= 1.

    Cost: O(size).
    References: Lin 1991, IEEE Transactions on Information Theory 37(1), eq. 4.1.
    Peer: scipy.spatial.distance.jensenshannon, squared, 1e-12 (A).
    In production: use it where supports differ; take the root for a distance.
    """
    p, q = _pair(p, q, axis)
    middle = np.where(p + q == 0, 1.0, (p + q) / 2)
    terms = np.where(p + q == 0, 0.0, 0.5 * (deviance(p, middle) + deviance(q, middle)))
    return (_add(terms, -1) / _unit(base))[()]


def total_variation(p: ArrayLike, q: ArrayLike, *, axis: int = -1) -> Any:
    """sum |p - q| / 2: the most by which the probability of any event differs.

    Args:
        p: probabilities, >= 0 with sum 1 along axis.
        q: likewise; broadcast against p.
        axis: of the outcomes.

    Returns:
        Distance in [0, 1], with `axis` taken out.

    Raises:
        ValueError: if p or q is empty, negative, NaN or does not sum to 1, or their outcomes differ in number.

    Cost: O(size).
    References: Cover & Thomas 2006, eq. 11.137; lemma 11.6.1 (Pinsker: at most sqrt(KL / 2)).
    Peer: the largest difference over all events of a small space, 1e-15 (B).
    In production: use it to say how far an approximation may mislead, as of a binomial by a Poisson law.
    """
    p, q = _pair(p, q, axis)
    return (0.5 * _add(np.abs(p - q), -1))[()]


def _kl_normal(p: MultivariateNormal, q: MultivariateNormal) -> float:
    if p.mean.size != q.mean.size:
        raise ValueError(f"p and q must have as many dimensions, got {p.mean.size} and {q.mean.size}")
    s = np.linalg.svd(np.linalg.solve(q.cholesky, p.cholesky), compute_uv=False)
    z = np.linalg.solve(q.cholesky, p.mean - q.mean)
    # s^2 - 1 - log s^2 is the deviance of 1 from s^2
    return float(0.5 * (deviance(1.0, s**2).sum() + z @ z))


def _probabilities(name: str, p: ArrayLike, axis: int) -> Floats:
    given = np.asarray(p)
    values = given.astype(np.float64)
    if values.ndim == 0 or values.shape[axis] == 0:
        raise ValueError(f"{name} must hold at least one outcome along axis {axis}, got shape {values.shape}")
    if not (values >= 0).all():
        raise ValueError(f"{name} holds negative probabilities or NaN")
    sums = values.sum(axis)
    slack = 1e-2 if given.dtype == np.float16 else 1e-4 if given.dtype == np.float32 else 1e-8
    if not (np.abs(sums - 1) <= slack).all():
        worst = np.ravel(sums)[np.argmax(np.abs(np.ravel(sums) - 1))]
        raise ValueError(f"{name} must sum to 1 along axis {axis}, got a sum of {worst:.9g}; divide by it")
    return values


def _pair(p: ArrayLike, q: ArrayLike, axis: int) -> tuple[Floats, Floats]:
    """Both with their outcomes on the last axis."""
    first, second = _probabilities("p", p, axis), _probabilities("q", q, axis)
    if first.shape[axis] != second.shape[axis]:
        raise ValueError(
            f"p and q must have as many outcomes, got {first.shape[axis]} and {second.shape[axis]} along axis {axis}"
        )
    return np.moveaxis(first, axis, -1), np.moveaxis(second, axis, -1)


def _add(terms: Any, axis: int) -> Any:
    return np.asarray(terms).sum(axis)


def _unit(base: float | None) -> float:
    if base is None:
        return 1.0
    if not positive_number("base", base) > 1:
        raise ValueError(f"base must be > 1, got {base!r}")
    return float(np.log(base))
