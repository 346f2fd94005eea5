"""How much the label of a row is wanted: formulas of active learning, greater is more wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, rel_entr
from sklearn.base import clone

STRATEGIES = ("least_confidence", "margin", "entropy", "vote_entropy", "consensus_kl", "random")


def least_confidence(proba: ArrayLike) -> NDArray[np.float64]:
    """One less the largest probability: 1 - max_k p_k.

    Args:
        proba: class probabilities, shape (rows, classes).

    Returns:
        In [0, 1 - 1 / classes], shape (rows,); greater is less sure.

    Raises:
        ValueError: if rows are not probabilities that sum to 1.

    Cost: O(rows classes).
    References: Lewis & Gale 1994, SIGIR; Settles 2009, Active learning literature survey, section 3.1.
    Peer: modAL's classifier_uncertainty, in closed form, 1e-12 (B).
    In production: with two classes it orders rows as margin and entropy do.
    """
    return 1 - _probabilities(proba).max(axis=1)


def margin(proba: ArrayLike) -> NDArray[np.float64]:
    """Difference of the two largest probabilities: p_(1) - p_(2); the smallest is the most wanted.

    Args:
        proba: class probabilities, shape (rows, classes).

    Returns:
        In [0, 1], shape (rows,); 1 where there is one class.

    Raises:
        ValueError: if rows are not probabilities that sum to 1.

    Cost: O(rows classes).
    References: Scheffer, Decomain & Wrobel 2001, IDA; Settles 2009, section 3.1.
    Peer: modAL's classifier_margin, in closed form, 1e-12 (B).
    In production: the first to try; it does not care for classes that are out of the question.
    """
    p = _probabilities(proba)
    if p.shape[1] == 1:
        return np.ones(len(p))
    top = np.partition(p, -2, axis=1)[:, -2:]
    return top[:, 1] - top[:, 0]


def entropy(proba: ArrayLike) -> NDArray[np.float64]:
    """Entropy of the prediction: -sum_k p_k log p_k.

    Args:
        proba: class probabilities, shape (rows, classes).

    Returns:
        In [0, log classes], in nats, shape (rows,).

    Raises:
        ValueError: if rows are not probabilities that sum to 1.

    Cost: O(rows classes).
    References: Shannon 1948; Settles 2009, section 3.1.
    Peer: scipy.stats.entropy, which modAL's classifier_entropy is, 1e-12 (A).
    In production: with many classes it asks for rows that are unsure among the unlikely ones; margin does not.
    """
    return entr(_probabilities(proba)).sum(axis=1)


def vote_entropy(votes: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    """Entropy of a committee's votes: -sum_k (V_k / C) log(V_k / C).

    Args:
        votes: class numbers that members say, shape (rows, members).
        n_classes: classes.

    Returns:
        In [0, log min(members, classes)], in nats, shape (rows,).

    Raises:
        ValueError: if a vote is outside [0, n_classes).

    Cost: O(rows (members + classes)).
    Deviations: not divided by log min(members, classes), as Engelson and Dagan do, which changes no order.
    References: Engelson & Dagan 1996, ACL, section 3; Settles 2009, section 3.2.
    Peer: scipy.stats.entropy of counted votes, as modAL's, 1e-12 (A).
    In production: for members without probabilities.
    """
    votes = np.asarray(votes)
    if votes.ndim != 2 or (votes < 0).any() or (votes >= n_classes).any():
        raise ValueError(f"votes must be class numbers in [0, {n_classes}), shape (rows, members), got {votes!r}")
    n = len(votes)
    place = np.arange(n)[:, None] * n_classes + votes
    share = np.bincount(place.ravel(), minlength=n * n_classes).reshape(n, n_classes) / votes.shape[1]
    return entr(share).sum(axis=1)


def consensus_kl(proba: ArrayLike) -> NDArray[np.float64]:
    """Mean divergence of members from their mean: (1 / C) sum_c sum_k p_ck log(p_ck / q_k), q = mean_c p_c.

    Args:
        proba: class probabilities by member, shape (members, rows, classes).

    Returns:
        In [0, log members], in nats, shape (rows,): the mutual information of the label and the member.

    Raises:
        ValueError: if rows are not probabilities that sum to 1.

    Cost: O(members rows classes).
    Deviations: the mean over members; modAL takes the greatest.
    References: McCallum & Nigam 1998, ICML, section 3; Settles 2009, section 3.2.
    Peer: scipy.stats.entropy(p_c, q), 1e-12 (A).
    In production: asks where members disagree, and not where all are alike unsure.
    """
    p = np.asarray(proba, np.float64)
    if p.ndim != 3:
        raise ValueError(f"proba must have the shape (members, rows, classes), got {p.shape}")
    _probabilities(p.reshape(-1, p.shape[-1]))
    return rel_entr(p, p.mean(axis=0)).sum(axis=2).mean(axis=0)


def query_scores(strategy: str, members: Sequence[Any], X: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """Scores of the rows of X by a fitted classifier, or a committee, greater is more wanted, shape (rows,)."""
    if strategy == "vote_entropy":
        votes = np.column_stack([np.searchsorted(classes, member.predict(X)) for member in members])
        return vote_entropy(votes, len(classes))
    told = np.zeros((len(members), X.shape[0], len(classes)))
    for c, member in enumerate(members):
        told[c][:, np.searchsorted(classes, member.classes_)] = member.predict_proba(X)
    if strategy == "consensus_kl":
        return consensus_kl(told)
    if strategy == "margin":
        return -margin(told[0])
    return {"least_confidence": least_confidence, "entropy": entropy}[strategy](told[0])


def committee_of(estimator: Any, committee: int | list[Any], X: Any, y: NDArray, rng: np.random.Generator) -> list[Any]:
    """Members fitted: copies on bootstrap samples with two classes at least, or those of a list on all rows."""
    if not isinstance(committee, int):
        return [clone(member).fit(X, y) for member in committee]
    members = []
    for _ in range(committee):
        rows = rng.integers(len(y), size=len(y))
        if len(np.unique(y[rows])) < 2:
            rows = np.append(rows, np.unique(y, return_index=True)[1])
        members.append(clone(estimator).fit(X[rows], y[rows]))
    return members


def _probabilities(proba: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(proba, np.float64)
    if p.ndim != 2 or not (p >= 0).all() or not np.allclose(p.sum(axis=1), 1, atol=1e-6):
        raise ValueError("proba must be probabilities of shape (rows, classes), each row >= 0 and summing to 1")
    return p
