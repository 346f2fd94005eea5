"""Whether the classes can be separated, so that unpenalised logistic regression has no finite estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning

if TYPE_CHECKING:
    from breadth.tabular.linear.logistic_problem import LogisticProblem

_MAX_COEFFICIENTS = 1000  # larger problems are only looked at for complete separation
_MOVES = 1e-6  # a coefficient of the separating direction counts when above this, on columns of unit spread


class SeparationWarning(ConvergenceWarning):
    """The maximum-likelihood estimate does not exist: a direction of coefficients never stops improving the fit."""


@dataclass(frozen=True, slots=True)
class Separation:
    """What separates the classes: completely, or with some rows on the boundary (quasi), by which columns."""

    kind: Literal["complete", "quasi-complete"]
    columns: NDArray[np.int64]  # columns of the separating direction; empty when not determined

    def describe(self, names: Sequence[str] | None = None) -> str:
        """One paragraph: what was found, what it means for the coefficients, and the mend."""
        shown = [str(j) if names is None else repr(str(names[j])) for j in self.columns[:10]]
        by = f" by column{'s' * (len(shown) > 1)} {', '.join(shown)}" if shown else ""
        by += f" and {len(self.columns) - 10} more" if len(self.columns) > 10 else ""
        return (
            f"{self.kind} separation of the classes{by}: without a penalty no finite estimate exists, and the "
            "coefficients only show where the iterations stopped. Give a finite C (C=1.0 is the default), "
            "merge rare levels, or drop what separates"
        )


def find_separation(problem: LogisticProblem, theta: NDArray) -> Separation | None:
    """Decide whether some direction d != 0 has (d_{y_i} - d_k) . x_i >= 0 for every row i and class k, > 0 for one.

    Three steps, cheapest first. (1) If the fitted theta classifies every row with a positive margin it is such a
    direction itself: complete separation. (2) By Stiemke's lemma no such direction exists when positive multipliers
    lambda_ik make sum lambda_ik (e_{y_i} - e_k) x_i vanish. At the estimate the fitted probabilities p_ik do so;
    where the iterations stopped they nearly do, and the correction that makes the sum exactly zero, smallest relative
    to lambda, leaves all of them positive: a proof of overlap. (3) Otherwise a linear programme decides.

    Args:
        problem: the data in centred and scaled coordinates.
        theta: where the iterations stopped, shape (1 or classes, features + 1).

    Returns:
        The separation found; None when there is none, or when beyond 1,000 coefficients it is not complete.

    Cost: (2) n p^2 K; (3) a sparse linear programme of n (K - 1) rows, only for data that (2) cannot settle.

    References: Albert & Anderson 1984, Biometrika 71(1), theorems 1-3; Konis 2007, DPhil thesis, Oxford, section 2.3
        (linear programme); Mangasarian 1969, Nonlinear Programming, section 2.4 (Stiemke's lemma).
    Peer: brute force over directions in two dimensions (B).
    In production: called by LogisticRegression without penalty; a warning from it means the model needs one.
    """
    if _least_margin(problem, theta) > 0:
        return Separation("complete", np.zeros(0, dtype=np.int64))
    if problem.n_classes * theta.shape[1] > _MAX_COEFFICIENTS or _is_proved_to_overlap(problem, theta):
        return None
    return _separating_direction(problem)


def _design_blocks(problem: LogisticProblem) -> Iterator[tuple[NDArray, NDArray]]:
    """(codes, rows) of the rows that carry weight, scaled as in the fit, a 1 behind when there is an intercept."""
    for where, X in problem.blocks:
        dense = X.toarray() if sp.issparse(X) else X
        Z = np.ones((len(dense), problem.n_features + problem.fit_intercept))
        np.subtract(dense, problem.shift, out=Z[:, : problem.n_features])
        Z[:, : problem.n_features] /= problem.scale
        counted = problem.weight[where] > 0
        yield (problem.codes[where], Z) if counted.all() else (problem.codes[where][counted], Z[counted])


def _probabilities(problem: LogisticProblem, theta: NDArray, Z: NDArray) -> tuple[NDArray, NDArray]:
    """Logits and probabilities, (B, K), of scaled rows; with two classes the first logit is 0."""
    logits = Z @ theta[:, : Z.shape[1]].T
    if problem.binary:
        logits = np.column_stack([np.zeros(len(logits)), logits])
    return logits, softmax(logits, axis=1)


def _least_margin(problem: LogisticProblem, theta: NDArray) -> float:
    """Smallest logit of the own class minus the largest of the others."""
    least = np.inf
    for codes, Z in _design_blocks(problem):
        logits, _ = _probabilities(problem, theta, Z)
        rows = np.arange(len(codes))
        own = logits[rows, codes].copy()
        logits[rows, codes] = -np.inf
        least = min(least, float((own - logits.max(axis=1)).min(initial=np.inf)))
        if least <= 0:
            break
    return least


def _is_proved_to_overlap(problem: LogisticProblem, theta: NDArray) -> bool:
    """True if multipliers near the fitted probabilities are positive and cancel exactly (Stiemke)."""
    n_classes, q = problem.n_classes, problem.n_features + problem.fit_intercept
    gram = np.zeros((n_classes, q, n_classes, q))  # sum lambda^2 (e_y - e_k)(e_y - e_k)' (x) z z'
    excess = np.zeros((n_classes, q))  # sum lambda (e_y - e_k) (x) z, zero at the estimate
    n = 0
    for codes, Z in _design_blocks(problem):
        n += len(Z)
        _, proba = _probabilities(problem, theta, Z)
        for c in range(n_classes):
            own = codes == c
            rows = Z[own]
            for k in range(n_classes):
                if k == c:
                    continue
                weighted = rows * proba[own, k, None]
                square = weighted.T @ weighted
                gram[c, :, c] += square
                gram[k, :, k] += square
                gram[c, :, k] -= square
                gram[k, :, c] -= square
                pull = weighted.sum(axis=0)
                excess[c] += pull
                excess[k] -= pull
    flat = gram.reshape(n_classes * q, -1)
    multiplier, *_ = np.linalg.lstsq(flat, excess.ravel(), rcond=1e-12)
    if np.abs(flat @ multiplier - excess.ravel()).max() > 1e-9 * n:  # not cancelled: nothing is proved
        return False
    multiplier = multiplier.reshape(n_classes, q)
    for codes, Z in _design_blocks(problem):
        _, proba = _probabilities(problem, theta, Z)
        scores = Z @ multiplier.T  # (B, K)
        change = proba * (scores[np.arange(len(codes)), codes][:, None] - scores)  # share taken from each multiplier
        if change.max(initial=0.0) >= 1.0 - 1e-6:
            return False
    return True


def _separating_direction(problem: LogisticProblem) -> Separation | None:
    """Maximise the sum of margins over directions in a unit box with no margin negative."""
    n_classes, q = problem.n_classes, problem.n_features + problem.fit_intercept
    free = n_classes - 1  # the first class's coefficients are fixed at 0
    blocks = []
    for codes, Z in _design_blocks(problem):
        for c in range(n_classes):
            own = Z[codes == c]
            for k in range(n_classes):
                if k != c:
                    parts = [np.zeros_like(own)] * free
                    if c:
                        parts[c - 1] = own
                    if k:
                        parts[k - 1] = -own
                    blocks.append(np.hstack(parts))
    A = np.vstack(blocks)  # (n (K - 1), (K - 1) q): margins are A d
    found = linprog(-A.mean(axis=0), A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1.0, 1.0), method="highs")
    if found.x is None:
        raise RuntimeError(f"the linear programme that looks for separation failed: {found.message}")
    margins = A @ found.x
    if margins.max() <= _MOVES:
        return None
    moving = np.abs(found.x.reshape(free, q)).max(axis=0) > _MOVES
    columns = np.flatnonzero(moving[: problem.n_features])
    return Separation("complete" if margins.min() > _MOVES else "quasi-complete", columns)
