"""diagnose: planted violations are found, sound data raise no alarm, degenerate data are said, bad input is named."""

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from breadth.tabular import KMeans, LinearRegression, LogisticRegression, cluster_report, diagnose
from tests.tabular.diagnostics import planted_violations as planted

VIOLATIONS = {
    "linear": (
        "RESET",
        "Durbin–Watson",
        "Breusch–Pagan",
        "residual mean",
        "outliers",
        "influence",
        "rank",
        "VIF",
        "condition number",
    ),
    "logistic": ("Box–Tidwell", "independence", "separation", "rank", "VIF"),
    "three classes": ("Box–Tidwell", "independence"),
    "k-means": ("scale", "size", "spherical", "density", "convexity"),
}
EVERY = [(kind, violation) for kind, names in VIOLATIONS.items() for violation in names]


def diagnosed(kind, seed, violation=None):
    if kind == "linear":
        X, y, intercept = planted.linear(seed, violation)
        return diagnose(LinearRegression(fit_intercept=intercept).fit(X, y), X, y)
    if kind == "k-means":
        X, k = planted.clusters(seed, violation)
        return diagnose(KMeans(k, n_init=5, random_state=seed).fit(X), X)
    X, y = planted.logistic(seed, violation, classes=3 if kind == "three classes" else 2)
    return diagnose(LogisticRegression().fit(X, y), X, y)


def assert_found(kind, violation, seeds):
    found = sum(diagnosed(kind, 1000 + seed, violation)[violation].violated for seed in range(seeds))
    assert found >= 0.9 * seeds, f"{violation} found in {found} of {seeds}"


def assert_quiet(kind, seeds, allowed):
    alarms = {}
    for seed in range(seeds):
        for finding in diagnosed(kind, seed):
            alarms[finding.check] = alarms.get(finding.check, 0) + finding.violated
    assert max(alarms.values()) <= allowed, alarms


@pytest.mark.parametrize(("kind", "violation"), EVERY)
def test_a_planted_violation_is_found(kind, violation):
    assert_found(kind, violation, 10)


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_sound_data_raise_few_alarms(kind):
    assert_quiet(kind, 20, 3)  # at a share of 5 % four or more of 20 have probability 0.016; a seed is fixed


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "violation"), EVERY)
def test_nine_in_ten_planted_violations_are_found(kind, violation):
    assert_found(kind, violation, 200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", VIOLATIONS)
def test_no_more_than_one_false_alarm_in_twenty(kind):
    assert_quiet(kind, 200, 10)


def test_findings_read_as_sentences():
    X, y, _ = planted.linear(0, "Breusch–Pagan")
    found = diagnose(LinearRegression().fit(X, y), X, y)
    finding = found["Breusch–Pagan"]
    assert finding in found.violations
    assert "VIOLATED  Breusch–Pagan: the spread of the residuals changes with the columns" in str(found)
    assert "robust standard errors" in finding.remedy
    assert len(found) == 9
    assert next(f.check for f in found) == "RESET"
    with pytest.raises(KeyError, match="there is no check 'DW'; there are RESET"):
        found["DW"]


def test_names_of_a_data_frame_are_used():
    X, y, _ = planted.linear(0, "rank")
    frame = pl.DataFrame(X, schema=["a", "b", "c", "d"])
    rank = diagnose(LinearRegression().fit(frame, y), frame, y)["rank"]
    assert rank.where == ("d",)
    assert "d follows from a, b" in rank.verdict
    assert rank.remedy.startswith("Drop d:")


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_far_columns_are_not_collinear_with_the_intercept_and_units_do_not_matter(mean):
    X, y, _ = planted.linear(0)
    moved = (X + mean) * [1e-6, 1.0, 1e6, 1.0]
    plain, far = (diagnose(LinearRegression().fit(Z, y), Z, y) for Z in (X, moved))
    for one, other in zip(plain, far, strict=True):
        # 1e4 eps of each entry is lost in forming the input
        assert_allclose(one.statistic, other.statistic, rtol=1e-8, atol=1e-8)


def test_a_constant_column_is_named_and_left_out():
    X, y, _ = planted.linear(0)
    wider = np.column_stack([X, np.full(len(X), 1e4 / 3)])
    found = diagnose(LinearRegression().fit(wider, y), wider, y)
    assert found["rank"].where == ("column 4",)
    assert "column 4 is constant" in found["rank"].verdict
    plain = diagnose(LinearRegression().fit(X, y), X, y)
    assert_allclose(found["RESET"].statistic, plain["RESET"].statistic, rtol=1e-8)


def test_an_exact_fit_has_no_residuals_to_judge():
    X, _, _ = planted.linear(0)
    y = X @ [1.0, 2.0, 3.0, 4.0]
    found = diagnose(LinearRegression().fit(X, y), X, y)
    assert np.isnan(found["RESET"].statistic)
    assert "unknown" in str(found["RESET"])
    assert not found.violations


def test_only_binary_columns_have_no_curve():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(500, 1)).astype(float)
    y = X[:, 0] + rng.normal(size=500)
    assert np.isnan(diagnose(LinearRegression().fit(X, y), X, y)["RESET"].statistic)
    labels = (y > 0.5).astype(int)
    assert "no curve" in diagnose(LogisticRegression().fit(X, labels), X, labels)["Box–Tidwell"].verdict


def test_a_model_that_is_biased_on_these_rows_is_said():
    X, y, _ = planted.linear(0)
    found = diagnose(LinearRegression().fit(X, y), X, y + 1.0)["residual mean"]
    assert found.violated
    assert "biased" in found.remedy


def test_separation_names_its_column_and_leaves_the_rest_unknown():
    X, y = planted.logistic(0, "separation")
    found = diagnose(LogisticRegression().fit(X, y), X, y)
    assert "complete separation of the classes" in found["separation"].verdict
    assert np.isnan(found["Box–Tidwell"].statistic)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_rare_answers_raise_no_alarm_of_dependence(share):
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(500, 2))
        y = (rng.random(500) < share).astype(int)
        alarms += diagnose(LogisticRegression().fit(X, y), X, y)["independence"].violated
    assert alarms <= 5


def test_pipelines_and_other_linear_models_are_taken():
    X, y, _ = planted.linear(0, "RESET")
    plain = diagnose(LinearRegression().fit(X, y), X, y)
    piped = diagnose(make_pipeline(StandardScaler(), LinearRegression()).fit(X, y), X, y)
    ridge = diagnose(Ridge(1.0).fit(X, y), X, y)
    for check in ("RESET", "Durbin–Watson", "Breusch–Pagan", "VIF", "influence"):
        assert_allclose(piped[check].statistic, plain[check].statistic, rtol=1e-8)
        assert_allclose(ridge[check].statistic, plain[check].statistic, rtol=1e-12)


def test_one_cluster_and_tiny_clusters_are_no_crash():
    X, _ = planted.clusters(0)
    assert not np.isfinite(diagnose(KMeans(1, random_state=0).fit(X), X)["density"].statistic)
    few = diagnose(KMeans(5, random_state=0).fit(X[:12]), X[:12])
    assert np.isnan(few["convexity"].statistic)
    assert np.isnan(few["spherical"].statistic)


def test_each_cluster_is_reported_with_its_size_spread_and_shape():
    X, k = planted.clusters(0, "spherical")
    model = KMeans(k, n_init=5, random_state=0).fit(X)
    report = cluster_report(model, X + 0.0)
    for shape in report:
        own = X[model.labels_ == shape.label]
        assert shape.rows == len(own)
        assert_allclose(shape.covariance, np.cov(own.T), rtol=1e-9, atol=1e-12)
        values = np.linalg.eigvalsh(np.cov(own.T))
        assert_allclose(shape.stretch, np.sqrt(values[-1] / values[0]), rtol=1e-9)
        assert_allclose(shape.spread, np.sqrt(((own - own.mean(axis=0)) ** 2).sum(axis=1).mean()), rtol=1e-12)
    assert sum(shape.rows for shape in report) == len(X)
    assert max(shape.stretch for shape in report) == pytest.approx(diagnose(model, X)["spherical"].statistic)
    assert "times as long as wide" in str(report[0])
    lonely = np.array([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
    flat, single = sorted(cluster_report(KMeans(2, random_state=0).fit(lonely), lonely), key=lambda s: -s.rows)
    assert flat.stretch == float("inf")
    assert np.isnan(single.stretch)
    with pytest.raises(TypeError, match="cluster_report needs predict and cluster_centers_"):
        cluster_report(LinearRegression().fit(X, X[:, 0]), X)


def test_bad_input_is_named():
    X, y, _ = planted.linear(0)
    model = LinearRegression().fit(X, y)
    with pytest.raises(TypeError, match="not DecisionTreeRegressor"):
        diagnose(DecisionTreeRegressor().fit(X, y), X, y)
    with pytest.raises(TypeError, match="X is sparse"):
        diagnose(model, sp.csr_matrix(X), y)
    assert str(diagnose(LinearRegression(), X, y)) == str(diagnose(model, X, y))  # fitted on the way
    with pytest.raises(ValueError, match="y must be given"):
        diagnose(model, X)
    with pytest.raises(ValueError, match="y has 2 columns"):
        diagnose(model, X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="y is constant"):
        diagnose(model, X, np.ones(len(X)))
    with pytest.raises(ValueError, match="at least 4 degrees of freedom"):
        diagnose(model, X[:8], y[:8])
    with pytest.raises(ValueError, match="X has 500 rows and y has 499"):
        diagnose(model, X, y[:-1])
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\)"):
        diagnose(model, X, y, alpha=1.0)
    with pytest.raises(ValueError, match="NaN"):
        diagnose(model, np.where(X[0, 0] == X, np.nan, X), y)
    with pytest.raises(ValueError, match="no column of X varies"):
        diagnose(model, np.ones_like(X), y)
    with pytest.raises(ValueError, match="only one class"):
        diagnose(LogisticRegression().fit(X, y > 0), X, np.ones(len(X), dtype=int))
