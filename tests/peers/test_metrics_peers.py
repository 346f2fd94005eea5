"""Scores beside the packages that the field uses: ranx, seqeval, krippendorff, choix and statsmodels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from breadth import metrics as ours

EXACT = {"rtol": 1e-12, "atol": 1e-14}


@pytest.fixture(scope="module")
def retrieved():
    """Lists of 30 of 100 items for 40 users, and the graded relevance of some of them."""
    rng = np.random.default_rng(0)
    score = rng.permuted(np.arange(100.0)[None].repeat(40, 0), axis=1)
    grade = rng.integers(0, 4, (40, 100)) * (rng.random((40, 100)) < 0.2)
    grade[:, 0] = 1
    return score, grade


@pytest.mark.slow  # ranx compiles for a minute
@pytest.mark.parametrize("k", [1, 5, 30])
def test_lists_are_scored_as_by_ranx(retrieved, k):
    ranx = pytest.importorskip("ranx")
    score, grade = retrieved
    lists = ours.top_k(score, 30)
    relevant = [np.flatnonzero(row) for row in grade]
    names = [f"u{i:02}" for i in range(40)]
    qrels = ranx.Qrels(
        {u: {f"d{j}": int(row[j]) for j in np.flatnonzero(row)} for u, row in zip(names, grade, strict=True)}
    )
    run = ranx.Run({u: {f"d{j}": float(s[j]) for j in row} for u, row, s in zip(names, lists, score, strict=True)})
    mine = {
        "precision": ours.precision_at_k(relevant, lists, k=k),
        "recall": ours.recall_at_k(relevant, lists, k=k),
        "hit_rate": ours.hit_rate_at_k(relevant, lists, k=k),
        "map": ours.mean_average_precision(relevant, lists, k=k),
        "mrr": ours.mean_reciprocal_rank(relevant, lists, k=k),
        "ndcg": ours.ndcg_score(grade, score, k=k),
        "ndcg_burges": ours.ndcg_score(grade, score, k=k, gain="exponential", ignore_ties=True),
    }
    theirs = ranx.evaluate(qrels, run, [f"{name}@{k}" for name in mine], return_mean=True)
    for name, value in mine.items():
        assert_allclose(value, theirs[f"{name}@{k}"], **EXACT, err_msg=name)


def tagged(seed: int, positions: str, n: int = 60):
    rng = np.random.default_rng(seed)
    kinds = ["O", "O", *(f"{p}-{label}" for p in positions for label in ("PER", "LOC", "B-X"))]
    true = [list(rng.choice(kinds, rng.integers(1, 12))) for _ in range(n)]
    pred = [[t if rng.random() < 0.7 else str(rng.choice(kinds)) for t in row] for row in true]
    return [[str(t) for t in row] for row in true], pred


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
@pytest.mark.parametrize("mode", ["conll", "iob2", "iobes"])
def test_spans_are_scored_as_by_seqeval(average, mode):
    metrics = pytest.importorskip("seqeval.metrics")
    from seqeval.scheme import IOB2, IOBES

    true, pred = tagged(0, "BI" if mode == "iob2" else "BIES")
    strict = {} if mode == "conll" else {"mode": "strict", "scheme": IOB2 if mode == "iob2" else IOBES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval's, about labels without predictions
        for name in ("precision_score", "recall_score", "f1_score"):
            mine = getattr(ours, f"span_{name}")(true, pred, average=average, mode=mode, zero_division=0)
            theirs = getattr(metrics, name)(true, pred, average=average, zero_division=0, **strict)
            assert_allclose(mine, theirs, **EXACT, err_msg=name)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_is_krippendorffs(level):
    krippendorff = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(0)
    for values in ([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 0.5, 10.0]):
        truth = rng.choice(values, 50)
        ratings = np.where(rng.random((4, 50)) < 0.6, truth, rng.choice(values, (4, 50)))
        ratings[rng.random((4, 50)) < 0.3] = np.nan
        found = ours.krippendorff_alpha(ratings, level_of_measurement=level, n_resamples=0)
        assert_allclose(found.value, krippendorff.alpha(ratings, level_of_measurement=level), **EXACT)


def test_strengths_are_choix_and_statsmodels():
    choix = pytest.importorskip("choix")
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    theta = rng.normal(size=8)
    a = rng.integers(0, 8, 500)
    b = (a + rng.integers(1, 8, 500)) % 8
    won = rng.random(500) < 1 / (1 + np.exp(theta[b] - theta[a]))
    found = ours.bradley_terry(a, b, won.astype(float), scale=1, centre=0)
    games = [(int(i), int(j)) if w else (int(j), int(i)) for i, j, w in zip(a, b, won, strict=True)]
    best = choix.opt_pairwise(8, games, tol=1e-12)
    assert_allclose(found.rating, best - best.mean(), atol=1e-6, err_msg="where each of the two stops")
    design = np.eye(8)[a] - np.eye(8)[b]
    logit = api.Logit(won.astype(float), design[:, 1:] - design[:, :1] * 0).fit(disp=0, tol=1e-14, method="newton")
    full = np.append(0, logit.params)
    assert_allclose(found.rating, full - full.mean(), atol=1e-6)
    assert found.log_likelihood == pytest.approx(logit.llf, rel=1e-9)
    centring = np.eye(8) - 1 / 8
    covariance = centring[:, 1:] @ logit.cov_params() @ centring[:, 1:].T
    half = 1.959963984540054 * np.sqrt(np.diag(covariance))
    assert_allclose(found.high - found.rating, half, rtol=1e-6)


def test_shares_and_their_tests_are_statsmodels():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for k, n in ((0, 5), (3, 7), (7, 7), (50_000_000, 10**8)):
        found = ours.click_through_rate(k, n, confidence=0.9)
        assert_allclose([found.low, found.high], proportion.proportion_confint(k, n, 0.1, "wilson"), atol=1e-12)
    for counts in ((30, 200, 45, 210), (0, 10, 4, 12), (5, 5, 2, 4)):
        found = ours.ab_test(*counts)
        z, p = proportion.proportions_ztest([counts[2], counts[0]], [counts[3], counts[1]])
        assert_allclose([found.z, found.p], [z, p], rtol=1e-10)
        ends = proportion.confint_proportions_2indep(
            counts[2], counts[3], counts[0], counts[1], method="newcomb", compare="diff"
        )
        assert_allclose([found.low, found.high], ends, rtol=1e-10)


@pytest.mark.parametrize(("method", "how"), [
    ("exact", {"exact": True}), ("chi2", {"exact": False, "correction": False}),
    ("chi2-corrected", {"exact": False, "correction": True}),
])  # fmt: skip
def test_mcnemars_test_is_statsmodels(method, how):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    a, b = (np.where(rng.random(80) < r, y, 1 - y) for r in (0.8, 0.6))
    found = ours.mcnemar(y, a, b, method=method)
    table = [[np.sum((a == y) & (b == y)), np.sum((a == y) & (b != y))], [np.sum((a != y) & (b == y)), 0]]
    theirs = tables.mcnemar(table, **how)
    assert_allclose([found.statistic, found.p], [theirs.statistic, theirs.pvalue], **EXACT)


def test_agreement_and_corrected_r_squared_are_statsmodels():
    raters = pytest.importorskip("statsmodels.stats.inter_rater")
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    table = rng.multinomial(6, [0.5, 0.3, 0.2], 40)
    assert_allclose(ours.fleiss_kappa(table), raters.fleiss_kappa(table), **EXACT)
    X = sm.add_constant(rng.normal(size=(50, 3)))
    y = X @ [1, 2, 0, -1] + rng.normal(size=50)
    fitted = sm.OLS(y, X).fit()
    assert_allclose(ours.adjusted_r2_score(y, fitted.fittedvalues, n_features=3), fitted.rsquared_adj, rtol=1e-12)
