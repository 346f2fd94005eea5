"""Are two variables independent: does the joint distribution factorise? Tables of counts, and their tests."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincc, xlogy

from breadth.stats import arguments

Floats = NDArray[np.float64]


class Factorisation(NamedTuple):
    """How far a joint distribution is from the product of its margins."""

    independent: bool  # largest difference <= rtol of the largest product
    total_variation: float  # half the sum of absolute differences, in [0, 1)
    mutual_information: float  # nats; 0 exactly where it factorises
    at: tuple[int, int]  # the cell of the largest difference
    difference: float  # P(x, y) - P(x) P(y) there


class TableTest(NamedTuple):
    """A test of independence of a table's rows and columns."""

    statistic: float
    df: int
    p: float
    expected: Floats


class Fisher(NamedTuple):
    """Fisher's exact test: the sample's odds ratio and the p value."""

    odds_ratio: float
    p: float


def factorisation(joint: ArrayLike, *, rtol: float = 1e-12) -> Factorisation:
    """Tell whether P(x, y) = P(x) P(y) in each cell of a joint distribution, and how far off it is where it is not.

    Args:
        joint: probabilities >= 0 with a positive sum, shape (rows, columns); they are divided by their sum.
        rtol: what rounding may leave, relative to the largest product of margins.

    Returns:
        Factorisation. Uncorrelated variables need not factorise: x uniform on {-1, 0, 1} and y = x^2 have total
        variation 4/9.

    Raises:
        ValueError: if joint is no table, or holds negative values, NaN, infinity or nothing but zeros.

    Cost: O(rows columns).
    References: Feller 1968, An Introduction to Probability Theory I, ch. V.3.
    Peer: sklearn.metrics.mutual_info_score of a table, 1e-12 (A); products of margins by hand (B).
    In production: of counts in a sample no joint factorises exactly; ask `chi_square`.
    """
    p = _table("joint", joint)
    p = p / p.max()
    p = p / p.sum()
    product = p.sum(1, keepdims=True) * p.sum(0)
    off = p - product
    at = np.unravel_index(np.argmax(np.abs(off)), off.shape)
    information = (xlogy(p, np.divide(p, product, out=np.ones_like(p), where=p > 0)) - p + product).sum()
    return Factorisation(
        bool(np.abs(off[at]) <= rtol * product.max()),
        float(np.abs(off).sum() / 2),
        max(float(information), 0.0),
        (int(at[0]), int(at[1])),
        float(off[at]),
    )


def chi_square(
    table: ArrayLike, *, statistic: Literal["pearson", "g"] = "pearson", continuity: bool = False
) -> TableTest:
    """Test of independence of a table of counts, by Pearson's chi-square or the likelihood ratio G.

    With E_ij = row_i column_j / n: sum (O - E)^2 / E, or G = 2 sum O log(O / E); both are about chi-square with
    (rows - 1)(columns - 1) degrees of freedom where each E is at least about 5.

    Args:
        table: counts >= 0, shape (rows, columns), each row and column with a positive sum.
        statistic: which of the two.
        continuity: move each O by up to 1/2 towards E (Yates); for two by two tables alone.

    Returns:
        TableTest. With a single row or column there is nothing to test: statistic 0, df 0, p 1.

    Raises:
        ValueError: for counts that are negative, not whole or not finite, an empty row or column, or continuity on a
            table of another size.

    Cost: O(rows columns).
    References: Pearson 1900; Wilks 1938; Yates 1934; Agresti 2013, Categorical Data Analysis, section 3.2.
    Peer: scipy.stats.chi2_contingency, 1e-12 (A).
    In production: use `fisher_exact` for small counts in two by two tables; with 1e8 counts everything is significant:
        look at Cramér's V = sqrt(statistic / (n min(rows - 1, columns - 1))).
    """
    o = _counts(table)
    arguments.one_of("statistic", statistic, ("pearson", "g"))
    expected = o.sum(1, keepdims=True) * (o.sum(0) / o.sum())
    if continuity:
        if o.shape != (2, 2):
            raise ValueError(f"continuity is for two by two tables, got shape {o.shape}")
        off = expected - o
        o = o + np.sign(off) * np.minimum(0.5, np.abs(off))
    df = (o.shape[0] - 1) * (o.shape[1] - 1)
    if df == 0:
        return TableTest(0.0, 0, 1.0, expected)
    off = o - expected
    if statistic == "pearson":
        value = float((off**2 / expected).sum())
    else:  # O log(O/E) - (O - E) is never negative: at 1e8 counts the plain sum is a small difference of large terms
        value = float(2 * _relative_entropy(o, expected).sum())
    return TableTest(value, df, float(gammaincc(df / 2, value / 2)), expected)


def fisher_exact(table: ArrayLike, *, alternative: Literal["two-sided", "less", "greater"] = "two-sided") -> Fisher:
    """Fisher's exact test of a two by two table [[a, b], [c, d]] given its margins.

    Under independence a is hypergeometric. "greater" is P(A >= a), "less" P(A <= a), and "two-sided" the sum of all
    P(A = k) no greater than P(A = a). Weights come from the ratio P(k + 1) / P(k), so that no factorial is taken; only
    those k are visited where a float64 is not 0 (Hoeffding: |k - mean| < sqrt(800 m), m the least margin).

    Args:
        table: counts >= 0, shape (2, 2).
        alternative: of the odds ratio, against 1.

    Returns:
        ad / bc (infinite for bc = 0 < ad, NaN for 0 / 0, where p is 1) and the p value.

    Raises:
        ValueError: if the table has another shape, or counts are negative, not whole or not finite.

    Cost: O(sqrt(least margin)) beyond a least margin of some thousands, below that O(least margin).
    References: Fisher 1935, The Design of Experiments, ch. II; Hoeffding 1963, JASA 58, theorem 1 and section 6.
    Peer: scipy.stats.fisher_exact, 1e-10, and 1e-7 at 1e8 counts where scipy's own factorials lose digits (A).
    In production: use it where an expected count is below 5.
    """
    o = _counts(table, allow_empty=True)
    if o.shape != (2, 2):
        raise ValueError(f"table must have shape (2, 2), got {o.shape}; chi_square takes other sizes")
    arguments.one_of("alternative", alternative, ("two-sided", "less", "greater"))
    (a, b), (c, d) = o.tolist()
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = float(np.divide(a * d, b * c))
    row, column, n = a + b, a + c, a + b + c + d
    if 0 in (row, column, n - row, n - column):
        return Fisher(float("nan"), 1.0)
    lowest, highest = max(0.0, row + column - n), min(row, column)
    mean = row * column / n
    reach = np.ceil(np.sqrt(800 * min(row, column, n - row, n - column))) + 1
    first, last = max(lowest, np.floor(mean - reach)), min(highest, np.ceil(mean + reach))
    if not first <= a <= last:  # its tail is below the least float64, and the other one holds the rest
        beyond = {"two-sided": 0.0, "greater": 0.0 if a > last else 1.0, "less": 0.0 if a < first else 1.0}
        return Fisher(odds, beyond[alternative])
    k = np.arange(first, last + 1)
    step = np.log((row - k[:-1]) / (k[:-1] + 1)) + np.log((column - k[:-1]) / (n - row - column + k[:-1] + 1))
    log_weight = np.concatenate([[0.0], np.cumsum(step)])
    at = int(a - first)
    log_weight -= log_weight.max()
    weight = np.exp(log_weight)
    kept = {
        "two-sided": log_weight <= log_weight[at] + 1e-7,  # equal probabilities differ by rounding
        "greater": k >= a,
        "less": k <= a,
    }[alternative]
    return Fisher(odds, min(1.0, float(weight[kept].sum() / weight.sum())))


def _relative_entropy(o: Floats, expected: Floats) -> Floats:
    """O log(O/E) - O + E, each >= 0, by a series where O is within a thousandth of E."""
    off = (o - expected) / expected
    series = expected * off**2 * (0.5 - off * (1 / 6 - off * (1 / 12 - off * (1 / 20 - off / 30))))
    return np.where(np.abs(off) < 1e-3, series, xlogy(o, o / expected) - o + expected)


def _table(name: str, values: ArrayLike) -> Floats:
    t = np.asarray(values, np.float64)
    if t.ndim != 2 or not t.size:
        raise ValueError(f"{name} must be a table, shape (rows >= 1, columns >= 1), got shape {t.shape}")
    if not np.isfinite(t).all() or (t < 0).any() or not t.any():
        raise ValueError(f"{name} must be finite and >= 0 with a positive sum, got {values!r}")
    return t


def _counts(table: ArrayLike, *, allow_empty: bool = False) -> Floats:
    o = _table("table", table)
    if (o != np.floor(o)).any():
        raise ValueError("table must hold whole counts, got fractions; of probabilities ask factorisation")
    if not allow_empty and not (o.sum(0).all() and o.sum(1).all()):
        raise ValueError("table has a row or column without counts; leave it out")
    return o
