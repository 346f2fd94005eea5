"""Whether a fitted model's assumptions hold on these data, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from breadth.tabular.diagnostics.clusters import check_clusters
from breadth.tabular.diagnostics.findings import Diagnosis
from breadth.tabular.diagnostics.linear import check_linear
from breadth.tabular.diagnostics.logistic import check_logistic
from breadth.tabular.labels import class_codes


def diagnose(estimator: Any, X: Any, y: ArrayLike | None = None, *, alpha: float = 0.01) -> Diagnosis:
    """Check what a linear regression, a logistic regression or a k-means clustering takes for granted.

    Linear regressions (any fitted regressor with coef_; the tests are those of least squares on its columns):
        RESET: F test of squares and cubes of the fitted values (Ramsey 1969, JRSS B 31(2)).
        Durbin–Watson: d, p from a Beta law with d's exact mean and variance (Durbin & Watson 1950, Biometrika 37, and
            1951, Biometrika 38, section 4). Rows must be in an order that means something.
        Breusch–Pagan: n R^2 of squared residuals on the columns (Breusch & Pagan 1979, Econometrica 47(5); Koenker
            1981, J. Econometrics 17(1)).
        residual mean: t test; without intercept, of a constant column.
        outliers: largest externally studentised residual, Bonferroni (Cook & Weisberg 1982, section 2.2.2).
        influence: largest Cook's distance against the median of F(k, n - k) (Cook 1977, Technometrics 19(1)).
    Logistic regressions (any fitted classifier with coef_):
        Box–Tidwell: score test of x ln x beside each column, Bonferroni (Box & Tidwell 1962, Technometrics 4(4); Rao
            1948); columns with values <= 0 are moved first; several classes are taken in pairs with the commonest.
        independence: sum of products of consecutive residuals over its standard deviation, N(0, 1), or simulated where
            answers are rare.
        separation: a direction that separates the classes (Albert & Anderson 1984, Biometrika 71(1)).
    Both: rank (perfect multicollinearity, and which columns follow from which), VIF > 10 (Marquardt 1970, Technometrics
        12(3)), condition number of the correlations' root > 30 (Belsley, Kuh & Welsch 1980, section 3.2).
    k-means (any fitted clusterer with cluster_centers_):
        scale: largest / smallest standard deviation of a column > 10.
        size: largest / smallest cluster > 3, and not by chance (chi-square).
        spherical: length / width of a cluster > 2, and not by chance (Mauchly 1940, Ann. Math. Stat. 11(2)).
        density: widest / narrowest cluster > 2, and not by chance (Kruskal & Wallis 1952, JASA 47(260)).
        convexity: > 10 % of midpoints between rows of a cluster lie farther from its rows than 95 % of them from each
            other.

    Args:
        estimator: one of the above, or a Pipeline that ends in one, whose steps are applied to X first. Where it is not
            fitted, a clone is fitted to X and y.
        X: rows, shape (rows, columns), dense; names of a data frame's columns appear in the findings.
        y: the target, shape (rows,); not read for k-means.
        alpha: level of each test, in (0, 1): share of false alarms where an assumption holds.

    Returns:
        A Diagnosis: findings with statistic, p-value or threshold, verdict and remedy; `print` it to read them all.

    Raises:
        TypeError: if the estimator is of no kind above, or X is sparse.
        ValueError: if X or y holds NaN or infinity, y has several columns, is constant or missing, there are too few
            rows, or alpha is out of range.

    Cost: O(n p^2), and for k-means O(n log n) neighbours; no refit but that of a logistic regression without penalty.

    Deviations:
        1. The tests ask about the unpenalised model on the estimator's columns: a penalty hides no violation.
        2. Breusch–Pagan is Koenker's form throughout, which holds its level for errors that are not normal.

    References: at each check above.
    Peer: statsmodels linear_reset, durbin_watson, het_breuschpagan, OLSInfluence, variance_inflation_factor and GLM's
        score_test, float64, 1e-8 (A); scipy and closed forms for k-means (B).
    In production: run it once a model is chosen and before its coefficients or clusters are read; a violation is a
        reason to look, not a ban.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha!r}")
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        estimator = clone(estimator).fit(X, y)
    names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
    if hasattr(estimator, "steps"):
        X = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
        estimator = estimator.steps[-1][1]
        names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
    if sp.issparse(X):
        raise TypeError(
            "X is sparse, and diagnose looks at every number: give X.toarray(), of a sample of rows if large"
        )
    given = X
    X = check_array(X, dtype=np.float64, ensure_min_samples=2)
    shown: list[Any] = (
        names if names is not None and len(names) == X.shape[1] else [f"column {j}" for j in range(X.shape[1])]
    )

    if hasattr(estimator, "cluster_centers_") and hasattr(estimator, "predict"):
        labels = np.asarray(estimator.predict(given))
        return Diagnosis(tuple(check_clusters(X, labels, len(estimator.cluster_centers_), shown, alpha=alpha)))
    linear = hasattr(estimator, "coef_") and (is_regressor(estimator) or is_classifier(estimator))
    if not linear:
        raise TypeError(
            f"diagnose knows linear and logistic regressions (coef_) and k-means (cluster_centers_), not "
            f"{type(estimator).__name__}"
        )
    if y is None:
        raise ValueError("y must be given: the checks of a regression look at its residuals")
    target = np.asarray(y)
    if target.ndim == 2 and target.shape[1] > 1:
        raise ValueError(f"y has {target.shape[1]} columns: diagnose one target at a time")
    target = column_or_1d(target)
    if len(target) != len(X):
        raise ValueError(f"X has {len(X)} rows and y has {len(target)}: they must be the same rows")
    intercept = bool(getattr(estimator, "fit_intercept", True))
    if is_classifier(estimator):
        classes, codes = class_codes(target)
        if len(classes) < 2:
            raise ValueError(f"y must hold at least 2 classes, got only one class: {classes[0]!r}")
        return Diagnosis(tuple(check_logistic(X, codes, shown, intercept=intercept, alpha=alpha)))
    target = check_array(target, dtype=np.float64, ensure_2d=False, input_name="y")
    predicted = np.asarray(estimator.predict(given), dtype=np.float64).reshape(-1)
    return Diagnosis(tuple(check_linear(X, target, predicted, shown, intercept=intercept, alpha=alpha)))
