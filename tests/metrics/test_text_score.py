"""Intervals and paired tests of texts' scores: what they sum, what they cover, and that a system equals itself."""

from __future__ import annotations

import math
import pickle
import random
from itertools import product

import numpy as np
import pandas
import polars
import pytest
from numpy.testing import assert_allclose

from breadth.metrics import TextScore, bleu, chrf, paired_test, rouge, token_f1
from breadth.metrics.text_score import mean_score
from tests.metrics.segments import changed, real_pairs


def mean_of(values, signature="mean"):
    return mean_score(np.asarray(values, float), signature)


@pytest.mark.parametrize("metric", [bleu, chrf, token_f1])
def test_an_interval_is_of_the_score_of_resampled_segments(metric):
    hypotheses, references = real_pairs(40)
    score = metric(hypotheses, references)
    found = score.interval(n_resamples=300, seed=3)
    assert found.low < found.value == score.value < found.high
    assert found.signature == f"{score.signature}|ci:95% percentile, 300 resamples, seed 3"
    draw = np.random.default_rng(3)
    drawn = []
    for _ in range(20):  # the first of the draws, computed from the texts themselves
        rows = draw.integers(40, size=40)
        drawn.append(metric([hypotheses[i] for i in rows], [references[i] for i in rows]).value)
    again = score.from_sums(
        np.array([score.statistics[r].sum(0) for r in np.random.default_rng(3).integers(40, size=(20, 40))])
    )
    assert_allclose(drawn, again, rtol=1e-12)
    assert found.low <= np.quantile(drawn, 0.5) <= found.high
    wide = score.interval(confidence=0.99, n_resamples=300, seed=3)
    assert wide.low <= found.low
    assert wide.high >= found.high


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says():
    draw = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        found = mean_of(draw.normal(0.5, 0.1, size=40)).interval(n_resamples=200, seed=seed)
        covered += found.low <= 0.5 <= found.high
    assert 175 <= covered <= 199  # 95 % of 200 within three standard errors, a little less for so few rows


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
def test_a_system_beside_itself_has_no_difference_and_a_much_better_one_has(test):
    hypotheses, references = real_pairs(40)
    score = bleu(hypotheses, references)
    same = paired_test(score, score, test=test, n_resamples=200)
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert same.p == 1
    better = paired_test(bleu(references, references), score, test=test, n_resamples=200)
    assert better.p < 0.02
    assert 0 < better.low < better.difference < better.high
    turned = paired_test(score, bleu(references, references), test=test, n_resamples=200)
    assert_allclose([turned.difference, turned.p], [-better.difference, better.p])


def test_randomisation_of_few_segments_is_the_exact_test_over_all_exchanges():
    first, second = np.array([0.9, 0.4, 0.8, 0.6, 0.5]), np.array([0.1, 0.5, 0.2, 0.4, 0.45])
    signs = np.array(list(product([-1, 1], repeat=5)))
    change = first - second
    exact = np.mean(np.abs(signs @ change) >= abs(change.sum()) - 1e-12)
    found = paired_test(mean_of(first), mean_of(second), n_resamples=20_000)
    assert abs(found.p - exact) < 3 * math.sqrt(exact * (1 - exact) / 20_000)


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
def test_p_is_below_five_percent_about_as_often_where_there_is_no_difference(test):
    draw = np.random.default_rng(1)
    low = 0
    for seed in range(200):
        first, second = draw.normal(size=(2, 30))
        low += paired_test(mean_of(first), mean_of(second), test=test, n_resamples=200, seed=seed).p < 0.05
    assert 1 <= low <= 20


def test_systems_that_differ_slightly_are_told_apart_by_more_segments():
    draw = random.Random(2)
    found = []
    for n in (8, 160):
        _, references = real_pairs(n)
        first = [changed(r, draw) for r in references]
        second = [changed(f, draw) for f in first]
        found.append(paired_test(chrf(first, references), chrf(second, references), n_resamples=300).high
                     - paired_test(chrf(first, references), chrf(second, references), n_resamples=300).low)  # fmt: skip
    assert found[1] < found[0] / 2


def test_a_score_prints_and_pickles():
    score = rouge(["a b"], ["a c"])["rouge1"].f
    assert str(score).startswith("0.5 rouge1|of:F|nrefs:1|stem:no|version:")
    assert float(score) == 0.5
    again = pickle.loads(pickle.dumps(bleu(["a b"], ["a c"])))
    assert isinstance(again, TextScore)
    assert again.segments == bleu(["a b"], ["a c"]).segments


def test_scores_that_do_not_belong_together_are_refused():
    score = mean_of([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="signatures must agree, got 'mean' and 'other'"):
        paired_test(score, mean_of([0.1, 0.2, 0.3], "other"))
    with pytest.raises(ValueError, match="of the same two segments or more, got 3 and 2"):
        paired_test(score, mean_of([0.1, 0.2]))
    with pytest.raises(ValueError, match="of the same two segments or more, got 1 and 1"):
        paired_test(mean_of([1]), mean_of([1]))
    for argument, message in (
        ({"test": "t"}, "test must be 'bootstrap' or 'randomisation', got 't'"),
        ({"n_resamples": 99}, "n_resamples must be an integer >= 100 or None, got 99"),
        ({"confidence": 1.0}, r"confidence must be in \(0, 1\), got 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            paired_test(score, score, **argument)
    with pytest.raises(ValueError, match="at least two rows"):
        mean_of([1.0]).interval()


@pytest.mark.parametrize("column", [np.array, pandas.Series, polars.Series])
def test_texts_may_be_columns_of_data_frames(column):
    hypotheses, references = ["the cat sat on a mat", "a dog ran"], ["the cat sat on the mat", "the dog ran"]
    assert bleu(column(hypotheses), column(references)).value == bleu(hypotheses, references).value
    assert token_f1(hypotheses, [column([r]) for r in references]).value == token_f1(hypotheses, references).value
