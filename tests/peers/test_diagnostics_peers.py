"""Statistics of diagnose beside statsmodels' and scipy's, in float64."""

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_diabetes
from statsmodels.stats.diagnostic import het_breuschpagan, linear_reset
from statsmodels.stats.outliers_influence import OLSInfluence, variance_inflation_factor
from statsmodels.stats.stattools import durbin_watson

from breadth.tabular import KMeans, LinearRegression, LogisticRegression, diagnose
from breadth.tabular.diagnostics.logistic import curve
from tests.tabular.diagnostics import planted_violations as planted


@pytest.mark.parametrize("violation", [None, "RESET", "Breusch–Pagan", "Durbin–Watson", "influence", "diabetes"])
def test_linear_statistics_equal_statsmodels(violation):
    X, y = load_diabetes(return_X_y=True) if violation == "diabetes" else planted.linear(0, violation)[:2]
    found = diagnose(LinearRegression().fit(X, y), X, y)
    design = sm.add_constant(X)
    result = sm.OLS(y, design).fit()
    reset = linear_reset(result, power=3, test_type="fitted", use_f=True)
    assert_allclose(found["RESET"].statistic, float(reset.statistic), rtol=1e-6)  # powers there are not centred
    assert_allclose(found["RESET"].p_value, float(reset.pvalue), rtol=1e-5, atol=1e-15)
    assert_allclose(found["Durbin–Watson"].statistic, durbin_watson(result.resid), rtol=1e-9)
    lm, p, _, _ = het_breuschpagan(result.resid, design)
    assert_allclose([found["Breusch–Pagan"].statistic, found["Breusch–Pagan"].p_value], [lm, p], rtol=1e-8)
    inflation = [variance_inflation_factor(design, j) for j in range(1, design.shape[1])]
    assert_allclose(found["VIF"].statistic, max(inflation), rtol=1e-9)
    peer = OLSInfluence(result)
    assert_allclose(found["influence"].statistic, peer.cooks_distance[0].max(), rtol=1e-9)
    assert_allclose(found["outliers"].statistic, np.abs(peer.resid_studentized_external).max(), rtol=1e-9)
    unit = (X - X.mean(axis=0)) / X.std(axis=0)
    assert_allclose(found["condition number"].statistic, np.linalg.cond(unit), rtol=1e-9)


def test_the_mean_of_residuals_without_intercept_is_the_t_test_of_a_constant():
    X, y, _ = planted.linear(0, "residual mean")
    found = diagnose(LinearRegression(fit_intercept=False).fit(X, y), X, y)["residual mean"]
    peer = sm.OLS(y, sm.add_constant(X)).fit()
    assert_allclose(found.statistic, peer.tvalues[0], rtol=1e-9)
    assert_allclose(found.p_value, peer.pvalues[0], rtol=1e-7)


def test_durbin_watsons_p_value_is_its_share_among_simulated_errors():
    rng = np.random.default_rng(0)
    X = np.cumsum(rng.normal(size=(60, 3)), axis=0)  # columns that drift move the mean of d away from 2
    y = rng.normal(size=60)
    found = diagnose(LinearRegression().fit(X, y), X, y)["Durbin–Watson"]
    design = np.column_stack([np.ones(60), X])
    Q, _ = np.linalg.qr(design)
    errors = rng.normal(size=(20000, 60))
    errors -= errors @ Q @ Q.T
    d = np.sum(np.diff(errors, axis=1) ** 2, axis=1) / np.sum(errors**2, axis=1)
    share = np.mean(d <= found.statistic)
    # 20,000 draws have a standard error of 0.0035 a side; the Beta law is an approximation
    assert_allclose(found.p_value, 2 * min(share, 1 - share), atol=0.02)


@pytest.mark.parametrize("violation", [None, "Box–Tidwell"])
def test_box_tidwells_score_equals_statsmodels(violation):
    X, y = planted.logistic(0, violation)
    found = diagnose(LogisticRegression().fit(X, y), X, y)["Box–Tidwell"]
    result = sm.GLM(y, sm.add_constant(X), family=sm.families.Binomial()).fit(tol=1e-14)
    scores = [result.score_test(exog_extra=curve(X[:, j])[:, None])[0] for j in range(3)]
    assert_allclose(found.statistic, np.max(scores), rtol=1e-7)
    added = sm.add_constant(np.column_stack([X, curve(X[:, 2])]))  # positive, so x ln x itself up to its units
    plain = sm.add_constant(np.column_stack([X, X[:, 2] * np.log(X[:, 2])]))
    fits = [sm.GLM(y, design, family=sm.families.Binomial()).fit(tol=1e-14) for design in (added, plain)]
    assert_allclose(fits[0].llf, fits[1].llf, rtol=1e-9)


def test_inflation_beside_a_logistic_regression_equals_statsmodels():
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, :10]
    found = diagnose(LogisticRegression(max_iter=1000).fit(X, y), X, y)["VIF"]
    design = sm.add_constant(X)
    inflation = [variance_inflation_factor(design, j) for j in range(1, 11)]
    assert_allclose(found.statistic, max(inflation), rtol=1e-7)  # the largest is 4,000: digits of its root are lost
    assert found.where[0] == f"column {int(np.argmax(inflation))}"


def test_independence_is_the_lagged_sum_of_statsmodels_residuals_over_its_deviation():
    X, y = planted.logistic(0, "independence")
    found = diagnose(LogisticRegression().fit(X, y), X, y)["independence"]
    result = sm.GLM(y, sm.add_constant(X), family=sm.families.Binomial()).fit(tol=1e-14)
    r, v = result.resid_response, result.fittedvalues * (1 - result.fittedvalues)
    assert_allclose(found.statistic, r[1:] @ r[:-1] / np.sqrt(v[1:] @ v[:-1]), rtol=1e-7)


@pytest.mark.parametrize("violation", [None, "size", "density", "spherical"])
def test_statistics_of_clusters_equal_scipys_and_closed_forms(violation):
    X, k = planted.clusters(0, violation)
    model = KMeans(k, n_init=5, random_state=0).fit(X)
    found = diagnose(model, X)
    groups = [X[model.labels_ == c] for c in range(k)]
    counts = [len(g) for g in groups]
    assert_allclose(found["size"].p_value, stats.chisquare(counts).pvalue, rtol=1e-10)
    assert_allclose(found["size"].statistic, max(counts) / min(counts))
    distances = [np.linalg.norm(g - g.mean(axis=0), axis=1) for g in groups]
    assert_allclose(found["density"].p_value, stats.kruskal(*distances).pvalue, rtol=1e-10)
    axes = [np.linalg.svd(g - g.mean(axis=0), compute_uv=False) for g in groups]
    assert_allclose(found["spherical"].statistic, max(s[0] / s[-1] for s in axes), rtol=1e-9)
    if violation == "spherical":
        return
    c = int(np.argmax([s[0] / s[-1] for s in axes]))
    S = np.cov(groups[c].T)
    w = np.linalg.det(S) / (np.trace(S) / 3) ** 3  # Mauchly's W, with Bartlett's factor
    chi2 = -(counts[c] - 1 - (2 * 9 + 3 + 2) / 18) * np.log(w)
    assert_allclose(found["spherical"].p_value, min(1.0, 3 * stats.chi2.sf(chi2, 5)), rtol=1e-9)
