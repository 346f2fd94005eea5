"""Maximum likelihood of paired comparisons, with or without a parameter for ties."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, log_expit, logsumexp

from breadth.metrics.checks import Floats
from breadth.stats.resampling import bootstrap_indices

Ties = Literal["half", "rao-kupper", "davidson"]
_TRIES = 50  # draws of one resample before it is given up


class Pairs(NamedTuple):
    """How often the players of each pair i < j met, and with what result, as sums of weights."""

    i: NDArray[np.intp]
    j: NDArray[np.intp]
    wins: Floats  # of i
    losses: Floats
    ties: Floats


class _Terms(NamedTuple):
    """Log-likelihood and its derivatives in each pair's difference x and the tie parameter q; second ones negated."""

    value: float
    x: Floats
    q: float
    xx: Floats
    xq: Floats
    qq: float


def paired(a: NDArray, b: NDArray, result: Floats, w: Floats, n: int) -> Pairs:
    """Games summed over pairs of players."""
    turned = a > b
    i, j = np.where(turned, b, a), np.where(turned, a, b)
    won = np.where(turned, 1 - result, result)
    kinds, inverse = np.unique(i * n + j, return_inverse=True)
    wins, losses, ties = (
        np.bincount(inverse, w * (won == value), minlength=len(kinds)).astype(np.float64) for value in (1, 0, 0.5)
    )
    kept = wins + losses + ties > 0
    return Pairs(kinds[kept] // n, kinds[kept] % n, wins[kept], losses[kept], ties[kept])


def unbounded(pairs: Pairs, players: list, ties: Ties) -> str:
    """Why the likelihood has no maximum, or "": from each player a chain of wins has to lead to every other.

    A tie bounds the difference of its players both ways, and so counts as a win of each.
    """
    n = len(players)
    if ties != "half" and not (pairs.wins.any() or pairs.losses.any()):
        return f"every game is a tie, so that the tie parameter of ties={ties!r} has no estimate; use ties='half'"
    half = pairs.ties > 0
    won, lost = (pairs.wins > 0) | half, (pairs.losses > 0) | half
    source = np.concatenate((pairs.i[won], pairs.j[lost]))
    target = np.concatenate((pairs.j[won], pairs.i[lost]))
    beats = sparse.csr_matrix((np.ones(len(source)), (source, target)), shape=(n, n))
    count, component = connected_components(beats, directed=True, connection="strong")
    if count == 1:
        return ""
    outside = component[source] != component[target]
    beaten = set(component[target[outside]])
    top = next(c for c in range(count) if c not in beaten)
    names = [str(players[p]) for p in np.flatnonzero(component == top)]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    why = "never lost to" if (component[source[outside]] == top).any() else "never played against"
    return (
        f"the strengths have no maximum-likelihood estimate: {shown} {why} the other {n - len(names)} players; rate "
        f"the {count} groups apart, or add games"
    )


def fit(pairs: Pairs, n: int, ties: Ties, start: Floats | None = None) -> tuple[Floats, float, float, Floats]:
    """Strengths of mean 0, tie parameter nu, log-likelihood, and information (n + 1, n + 1), by Newton's method.

    The log-likelihood is concave in the strengths and q, which is log nu, and its maximum was found to exist, so that
    halving a step until it gains always ends there.
    """
    if not pairs.ties.any():
        ties = "half"
    z = np.append(np.zeros(n), 1.0 if ties == "rao-kupper" else 0.0) if start is None else start
    now = _terms(z, pairs, ties)
    for _ in range(200):
        information = _information(now, pairs, n)
        gradient = np.bincount(pairs.i, now.x, minlength=n) - np.bincount(pairs.j, now.x, minlength=n)
        gauge = np.zeros((n + 1, n + 1))
        gauge[:n, :n] = np.diag(information)[:n].mean()  # the strengths' common shift, which no game sees
        step = np.linalg.solve(information + gauge, np.append(gradient, now.q)).astype(np.float64, copy=False)
        size, then = 1.0, _terms(z + step, pairs, ties)
        while not then.value >= now.value and size > 1e-10:
            size /= 2
            then = _terms(z + size * step, pairs, ties)
        if size <= 1e-10:  # nothing to gain beyond rounding
            break
        z, now = z + size * step, then
        if np.abs(size * step).max() < 1e-12:
            break
    theta = z[:n] - z[:n].mean()
    return theta, 0.0 if ties == "half" else float(np.exp(z[n])), now.value, _information(now, pairs, n)


def bootstrap(
    a: NDArray, b: NDArray, result: Floats, w: Floats, players: list, ties: Ties, n_resamples: int, seed: int
) -> Floats:
    """Strengths of mean 0 from games drawn with replacement, shape (n_resamples, players).

    Raises:
        ValueError: if draw after draw has no maximum.
    """
    rng = np.random.default_rng(seed)
    n = len(players)
    strengths = np.empty((n_resamples, n))
    for r in range(n_resamples):
        problem = ""
        for _ in range(_TRIES):
            d = bootstrap_indices(len(a), rng)
            pairs = paired(a[d], b[d], result[d], w[d], n)
            problem = unbounded(pairs, players, ties)
            if not problem:
                break
        else:
            raise ValueError(f"interval='bootstrap' needs more games: in {_TRIES} draws running {problem}")
        strengths[r] = fit(pairs, n, ties)[0]
    return strengths


def _terms(z: Floats, pairs: Pairs, ties: Ties) -> _Terms:
    i, j, wins, losses, tied = pairs
    x, q = z[i] - z[j], z[-1]
    games = wins + losses + tied
    if ties == "davidson":  # softmax of (x/2, -x/2, q)
        logits = np.stack([x / 2, -x / 2, np.full(len(x), q)])
        total = logsumexp(logits, axis=0)
        first, second, neither = np.exp(logits - total)
        value = (wins - losses) @ x / 2 + tied.sum() * q - games @ total
        gap = (first - second) / 2
        return _Terms(
            float(value), (wins - losses) / 2 - games * gap, float(tied.sum() - games @ neither),
            games * ((first + second) / 4 - gap**2), -games * gap * neither, float(games @ (neither * (1 - neither))),
        )  # fmt: skip
    if ties == "rao-kupper":  # P(tie) = (nu^2 - 1) P(win) P(loss)
        if q <= 0:
            return _Terms(-np.inf, x, 0.0, x, x, 0.0)
        u, v = x - q, -x - q
        m, k = wins + tied, losses + tied
        value = m @ log_expit(u) + k @ log_expit(v) + tied.sum() * (2 * q + np.log1p(-np.exp(-2 * q)))
        cu, cv = m * expit(u) * expit(-u), k * expit(v) * expit(-v)
        rest = -np.expm1(-2 * q)
        slope = 2 * tied.sum() / rest - m @ expit(-u) - k @ expit(-v)
        bend = cu.sum() + cv.sum() + 4 * tied.sum() * np.exp(-2 * q) / rest**2
        return _Terms(float(value), m * expit(-u) - k * expit(-v), float(slope), cu + cv, cv - cu, float(bend))
    m, k = wins + tied / 2, losses + tied / 2
    value = m @ log_expit(x) + k @ log_expit(-x)
    return _Terms(
        float(value), m * expit(-x) - k * expit(x), 0.0, games * expit(x) * expit(-x), np.zeros(len(x)), 1.0
    )  # fmt: skip


def _information(terms: _Terms, pairs: Pairs, n: int) -> Floats:
    """Minus the second derivatives in the strengths and the tie parameter."""
    matrix = np.zeros((n + 1, n + 1))
    np.add.at(matrix, (pairs.i, pairs.j), -terms.xx)
    matrix += matrix.T
    matrix[np.arange(n), np.arange(n)] = -matrix[:n, :n].sum(1)
    matrix[:n, n] = np.bincount(pairs.i, terms.xq, minlength=n) - np.bincount(pairs.j, terms.xq, minlength=n)
    matrix[n, :n] = matrix[:n, n]
    matrix[n, n] = terms.qq
    return matrix
