"""Tables: factorisation, chi-square, G and Fisher's exact test."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import mutual_info_score

from breadth.stats.independence import chi_square, factorisation, fisher_exact

ALTERNATIVES = ("two-sided", "less", "greater")


def test_a_joint_distribution_factorises_or_shows_where_it_does_not():
    product = factorisation(np.outer([0.1, 0.7, 0.2], [1 / 3, 2 / 3]))
    assert product.independent and product.total_variation < 1e-15 and product.mutual_information < 1e-15
    # x uniform on -1, 0, 1 and y = x^2: uncorrelated, and dependent
    joint = np.array([[0, 1], [1, 0], [0, 1]]) / 3
    found = factorisation(joint)
    x, y = np.array([-1, 0, 1]), np.array([0, 1])
    assert x @ joint @ y - (x @ joint.sum(1)) * (joint.sum(0) @ y) == 0
    assert not found.independent
    assert_allclose(found.total_variation, 4 / 9)
    assert (found.at, round(found.difference, 12)) == ((1, 0), round(2 / 9, 12))
    counts = np.random.default_rng(0).integers(0, 9, (3, 4))
    assert_allclose(
        factorisation(counts).mutual_information, mutual_info_score(None, None, contingency=counts), rtol=1e-12
    )


@pytest.mark.parametrize("scale", [1, 10**8])
@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (1, 3), (5, 1), (1, 1)])
def test_chi_square_and_g_are_scipys(shape, scale):
    table = np.random.default_rng(1).integers(5, 40, shape) * scale
    for statistic, power in (("pearson", "pearson"), ("g", "log-likelihood")):
        ours, peer = (
            chi_square(table, statistic=statistic),
            stats.chi2_contingency(table, correction=False, lambda_=power),
        )
        # at 1e8 counts p underflows to subnormal or 0 in both; the statistic is the check
        assert_allclose((ours.statistic, ours.df), (peer.statistic, peer.dof), rtol=1e-12, atol=1e-12)
        assert_allclose(ours.p, peer.pvalue, rtol=1e-9, atol=1e-300)
        assert_allclose(ours.expected, peer.expected_freq, rtol=1e-14)
    if shape == (2, 2):
        assert_allclose(chi_square(table, continuity=True).p, stats.chi2_contingency(table)[1], rtol=1e-9, atol=1e-300)


def test_g_keeps_its_digits_where_large_counts_nearly_factorise():
    # 2 sum O log(O/E), in exact rational expectations and 50 digits
    mpmath = pytest.importorskip("mpmath")
    table = [[10**8, 10**8 + 7], [10**8 - 3, 10**8 + 1]]
    with mpmath.workdps(50):
        n = mpmath.mpf(sum(map(sum, table)))
        exact = 2 * mpmath.fsum(
            o * mpmath.log(o * n / (sum(row) * (table[0][j] + table[1][j]))) for row in table for j, o in enumerate(row)
        )
    # O - E is about 1 beside 1e8, where E itself is rounded to 1e-8
    assert_allclose(chi_square(table, statistic="g").statistic, float(exact), rtol=1e-7)
    assert_allclose(chi_square(table).statistic, float(exact), rtol=1e-6)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_fisher_is_scipys_and_the_sum_of_exact_fractions(alternative):
    rng = np.random.default_rng(0)
    for table in [*rng.integers(0, 12, (15, 2, 2)), np.array([[3, 1], [1, 3]]), np.array([[0, 5], [9, 1]])]:
        (a, b), (c, d) = table.tolist()
        row, column, n = a + b, a + c, a + b + c + d
        ours = fisher_exact(table, alternative=alternative)
        if 0 in (row, column, n - row, n - column):
            assert np.isnan(ours.odds_ratio) and ours.p == 1
            continue
        p = {k: Fraction(comb(row, k) * comb(n - row, column - k), comb(n, column)) for k in range(column + 1)}
        kept = {"two-sided": lambda k, p=p, a=a: p[k] <= p[a], "less": lambda k, a=a: k <= a}.get(
            alternative, lambda k, a=a: k >= a
        )
        assert_allclose(ours.p, float(sum(v for k, v in p.items() if kept(k))), rtol=1e-12)
        peer = stats.fisher_exact(table, alternative=alternative)
        assert_allclose((ours.odds_ratio, ours.p), (peer.statistic, peer.pvalue), rtol=1e-10)


def test_fisher_at_large_counts():
    table = [[10**8, 10**8 + 20_000], [10**8, 10**8]]
    for alternative in ALTERNATIVES:
        peer = stats.fisher_exact(table, alternative=alternative).pvalue
        assert_allclose(
            fisher_exact(table, alternative=alternative).p, peer, rtol=1e-6
        )  # scipy's gammaln: 1e-16 of 1e9
    apart = [[2 * 10**8, 10**8], [10**8, 2 * 10**8]]
    assert [fisher_exact(apart, alternative=a).p for a in ALTERNATIVES] == [0, 1, 0]
    rare = [[30, 10**8], [1, 10**8]]
    assert_allclose(fisher_exact(rare).p, stats.binomtest(1, 31).pvalue, rtol=1e-4)  # rare events: binomial by half


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=4, max_size=4))
def test_tests_do_not_care_which_way_a_table_lies(cells):
    t = np.array(cells).reshape(2, 2)
    for p in (lambda m: fisher_exact(m).p, lambda m: chi_square(m).p, lambda m: chi_square(m, statistic="g").p):
        assert 0 <= p(t) <= 1
        for other in (t.T, t[::-1], t[:, ::-1]):
            assert_allclose(p(other), p(t), rtol=1e-9)
    less, greater = (fisher_exact(t, alternative=a).p for a in ("less", "greater"))
    assert less + greater >= 1  # the observed table is in both


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: chi_square([[1, 2], [-1, 3]]), ">= 0"),
        (lambda: chi_square([[1, 0], [1, 0]]), "row or column without counts"),
        (lambda: chi_square([[0.5, 1], [1, 1]]), "whole counts"),
        (lambda: chi_square([1, 2]), "must be a table"),
        (lambda: chi_square([]), "must be a table"),
        (lambda: chi_square([[1, np.nan]]), "finite"),
        (lambda: chi_square([[1, 2, 3], [1, 2, 3]], continuity=True), "two by two"),
        (lambda: chi_square([[1, 2]], statistic="cressie"), "statistic must be one of"),
        (lambda: fisher_exact([[1, 2, 3], [1, 2, 3]]), "shape \\(2, 2\\)"),
        (lambda: fisher_exact([[1, 2], [3, 4]], alternative="both"), "alternative"),
        (lambda: factorisation([[0.0, 0.0]]), "positive sum"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
