"""Scores that carry interval and signature, and two systems on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from breadth import __version__
from breadth.metrics import accuracy_score, f1_score, measure, paired, roc_auc_score, signature
from breadth.stats.resampling import bootstrap_interval


def rows(n: int = 60):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    return y, np.where(rng.random(n) < 0.8, y, 1 - y), rng.exponential(size=n)


def test_a_score_is_the_metric_with_the_bootstraps_interval_and_a_line_to_repeat_it():
    y, f, weight = rows()
    found = measure(accuracy_score, y, f, n_resamples=200, seed=3)
    assert found.value == float(found) == accuracy_score(y, f)
    expected = bootstrap_interval((y == f).astype(float), np.mean, method="percentile", n_resamples=200, rng=3)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    ci = "ci:95% percentile, 200 resamples, seed 3"
    assert found.signature == f"accuracy_score|n:60|{ci}|version:{__version__}"
    assert str(found).startswith(f"{found.value:.4g} [")
    corrected = measure(f1_score, y, f, average="macro", method="bca", n_resamples=200)
    assert corrected.low < corrected.value < corrected.high
    assert "|average:macro|" in corrected.signature
    heavy = measure(accuracy_score, y, f, sample_weight=weight, n_resamples=0)
    assert heavy.value == accuracy_score(y, f, sample_weight=weight)
    assert np.isnan(heavy.low) and "weighted:yes" in heavy.signature


def test_within_strata_no_draw_lacks_a_class():
    y = np.repeat([0, 1], [40, 2])
    score = np.arange(42.0) % 7 + y
    with pytest.raises(ValueError, match="no positive row"):
        measure(roc_auc_score, y, score)
    found = measure(roc_auc_score, y, score, stratify=y)
    assert found.low <= found.value <= found.high
    assert "percentile within strata" in found.signature


def test_texts_and_lists_are_rows():
    def same(one, other):
        return float(np.mean([a == b for a, b in zip(one, other, strict=True)]))

    assert measure(same, ["a", "b", "c"], ["a", "x", "c"], n_resamples=100).value == pytest.approx(2 / 3)
    assert measure(same, [["a"], ["b", "c"]], [["a"], ["b"]], n_resamples=0).value == 0.5


def test_the_randomisation_test_of_means_is_scipys():
    rng = np.random.default_rng(1)
    y = np.zeros(40)
    a, b = rng.normal(size=(2, 40)) + np.array([[0.0], [0.4]])

    def error(truth, output):
        return float(np.mean(output - truth))

    found = paired(error, y, a, b, n_resamples=2000)
    p = stats.permutation_test((a - b,), np.mean, permutation_type="samples", n_resamples=20_000, rng=0).pvalue
    assert abs(found.p - p) < 4 * np.sqrt(p * (1 - p) / 2000)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert found.low < found.difference < found.high
    turned = paired(error, y, b, a, n_resamples=2000)
    assert (turned.difference, turned.low) == (pytest.approx(-found.difference), pytest.approx(-found.high))
    assert "test:approximate randomisation" in found.signature


def test_equal_systems_are_not_told_apart_and_the_test_holds_its_level():
    y, f, _ = rows()
    alike = paired(f1_score, y, f, f, n_resamples=100)
    assert (alike.p, alike.difference, alike.low, alike.high) == (1, 0, 0, 0)
    rejected = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 30)
        one, other = (np.where(rng.random(30) < 0.7, y, 1 - y) for _ in range(2))
        rejected += paired(lambda t, o: float((t == o).mean()), y, one, other, n_resamples=100, seed=seed).p <= 0.05
    assert rejected <= 22  # 10 expected, four standard errors are 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: measure(accuracy_score), "at least one array"),
        (lambda: measure(accuracy_score, [1, 2], [1]), r"got lengths \[2, 1\]"),
        (lambda: measure(accuracy_score, [1, 2], [1, 2], n_resamples=5), "n_resamples must be 0 or"),
        (lambda: measure(accuracy_score, [1, 2], [1, 2], confidence=2), "confidence must be in"),
        (lambda: measure(accuracy_score, [1, 2], [1, 2], method="t"), "method must be"),
        (lambda: measure(accuracy_score, [1, 2], [1, 2], stratify=[1]), r"stratify must have shape \(2,\)"),
        (lambda: measure(accuracy_score, [1, 2], [1, 2], sample_weight=[1]), "sample_weight must have shape"),
        (lambda: measure(accuracy_score, [1, 2], [1, 2], stratify=[1, 1], method="bca"), "goes with method"),
        (lambda: paired(accuracy_score, [1, 2], [1, 2], [1, 2], n_resamples=5), "n_resamples must be"),
        (lambda: signature("f|g"[:1], note="a|b"), "hold no"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
