import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from breadth.stats.compare import (
    equivalence,
    friedman,
    holm,
    nemenyi_critical_difference,
    rank_post_hoc,
    resampled_t,
    smallest_detectable,
)


def test_resampled_t_becomes_the_one_sample_t_test_as_the_correction_vanishes():
    d = np.random.default_rng(0).normal(0.3, 1, (12, 4))
    ours = resampled_t(d, test_over_train=1e-300)
    peer = stats.ttest_1samp(d, 0)
    assert_allclose(ours.p, peer.pvalue, rtol=1e-12)
    interval = peer.confidence_interval(0.95)
    assert_allclose([ours.low, ours.high], [interval.low, interval.high], rtol=1e-12)


def test_resampled_t_matches_the_closed_form_of_nadeau_and_bengio():
    d = np.array([0.1, 0.3, 0.2, 0.5, -0.1])
    ours = resampled_t(d, test_over_train=0.25)
    se = np.sqrt((1 / 5 + 0.25) * d.var(ddof=1))
    assert_allclose(ours.se, se, rtol=1e-14)
    assert_allclose(ours.p, 2 * stats.t.sf(d.mean() / se, 4), rtol=1e-12)
    assert ours.df == 4


def test_resampled_t_is_steady_when_the_differences_sit_on_a_large_mean():
    d = np.random.default_rng(1).normal(size=30)
    near = resampled_t(d, test_over_train=0.1)
    far = resampled_t(d + 1e8, test_over_train=0.1)
    assert_allclose(far.se, near.se, rtol=1e-7)  # 1e8 leaves 1e-8 absolute resolution in float64


@pytest.mark.parametrize(("constant", "p"), [(0.0, 1.0), (0.1, 0.0)])
def test_equal_differences_are_certain(constant, p):
    ours = resampled_t(np.full(7, constant), test_over_train=0.25)
    assert ours.p == p
    assert ours.low == ours.high == pytest.approx(constant, abs=1e-16)


def test_corrected_interval_holds_its_level_on_cross_validated_null_where_the_plain_one_does_not():
    # Two learners that are equally good: regressions on two features of pure noise. The splits share training rows,
    # which is what the correction is for.
    rng = np.random.default_rng(3)
    wrong_plain = wrong_corrected = 0
    replays = 200
    for _ in range(replays):
        a, b, y = rng.normal(size=(3, 60))
        d = []
        for _ in range(30):
            rows = rng.permutation(60)
            train, test = rows[:40], rows[40:]
            error_a = (y[test] - np.polyval(np.polyfit(a[train], y[train], 1), a[test])) ** 2
            error_b = (y[test] - np.polyval(np.polyfit(b[train], y[train], 1), b[test])) ** 2
            d.append((error_a - error_b).mean())
        wrong_plain += stats.ttest_1samp(d, 0).pvalue < 0.05
        wrong_corrected += resampled_t(d, test_over_train=0.5).p < 0.05
    assert wrong_plain / replays > 0.2
    assert wrong_corrected / replays < 0.1


@pytest.mark.parametrize(
    ("differences", "settings", "message"),
    [
        ([1.0], {"test_over_train": 0.1}, "at least 2 splits"),
        ([1.0, np.nan], {"test_over_train": 0.1}, "NaN or infinity"),
        ([1.0, 2.0], {"test_over_train": 0.0}, "n_test / n_train"),
        ([1.0, 2.0], {"test_over_train": 0.1, "confidence": 1.0}, "confidence must be in"),
    ],
)
def test_resampled_t_names_what_is_wrong(differences, settings, message):
    with pytest.raises(ValueError, match=message):
        resampled_t(differences, **settings)


def test_equivalence_matches_statsmodels_tost():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    d = np.random.default_rng(4).normal(0.02, 0.1, 20)
    peer = weightstats.DescrStatsW(d).ttost_mean(-0.08, 0.08)[0]
    ours = equivalence(d.mean(), d.std(ddof=1) / np.sqrt(20), df=19, margin=0.08)
    assert_allclose(ours, peer, rtol=1e-10)  # statsmodels goes through a different variance formula


def test_equivalence_agrees_with_the_ninety_percent_interval_inside_the_margin():
    mean = np.linspace(-1, 1, 41)
    se = np.full(41, 0.2)
    half = stats.t.ppf(0.95, 9) * 0.2
    inside = (mean - half > -0.6) & (mean + half < 0.6)
    assert np.array_equal(equivalence(mean, se, df=9, margin=0.6) < 0.05, inside)
    assert equivalence(0.0, 0.0, df=4, margin=0.1) == 0
    assert equivalence(0.2, 0.0, df=4, margin=0.1) == 1
    assert equivalence(0.1, 0.0, df=4, margin=0.1) == 0.5  # on the edge: no evidence of being inside
    with pytest.raises(ValueError, match="margin must be > 0"):
        equivalence(0.0, 1.0, df=4, margin=0.0)


def test_smallest_detectable_matches_the_power_of_statsmodels():
    power = pytest.importorskip("statsmodels.stats.power")
    for n in (3, 5, 10, 40):
        peer = power.TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
        # The peer counts the far tail too (below 1e-4 of power) and stops its root search at about 1e-6.
        assert_allclose(smallest_detectable(1 / np.sqrt(n), df=n - 1), peer, rtol=1e-3)


def test_smallest_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(5)
    delta = smallest_detectable(1 / np.sqrt(8), df=7)
    found = stats.ttest_1samp(rng.normal(delta, 1, (8, 20_000)), 0).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.012)  # four standard errors of a share of 20,000


def test_holm_matches_statsmodels_with_ties_zeros_and_ones():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(6)
    for p in [rng.random(9) ** 3, np.array([0.0, 0.01, 0.01, 1.0]), np.array([0.03]), np.full(5, 0.02)]:
        assert_allclose(holm(p), multitest.multipletests(p, method="holm")[1], rtol=1e-14)
    table = rng.random((4, 6))
    assert_allclose(holm(table, axis=0)[:, 2], holm(table[:, 2]))
    with pytest.raises(ValueError, match="outside"):
        holm([0.1, np.nan])


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_matches_scipy(ties):
    scores = np.random.default_rng(7).normal(size=(9, 4))
    if ties:
        scores = np.round(scores)
    ours = friedman(scores, higher_is_better=True)
    peer = stats.friedmanchisquare(*scores.T)
    assert_allclose(ours.chi_square, peer.statistic, rtol=1e-12)
    assert_allclose(ours.p_chi_square, peer.pvalue, rtol=1e-10)
    assert ours.ranks.sum() == pytest.approx(4 * 5 / 2)
    assert_allclose(friedman(-scores, higher_is_better=False).ranks, ours.ranks)


def test_friedman_repeats_the_worked_example_of_demsar():
    # Demšar 2006, table 6: AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on fourteen data sets.
    scores = np.array(
        [
            [0.763, 0.768, 0.771, 0.798],
            [0.599, 0.591, 0.590, 0.569],
            [0.954, 0.971, 0.968, 0.967],
            [0.628, 0.661, 0.654, 0.657],
            [0.882, 0.888, 0.886, 0.898],
            [0.936, 0.931, 0.916, 0.931],
            [0.661, 0.668, 0.609, 0.685],
            [0.583, 0.583, 0.563, 0.625],
            [0.775, 0.838, 0.866, 0.875],
            [1.000, 1.000, 1.000, 1.000],
            [0.940, 0.962, 0.965, 0.962],
            [0.619, 0.666, 0.614, 0.669],
            [0.972, 0.981, 0.9751, 0.975],
            [0.957, 0.978, 0.946, 0.970],
        ]
    )
    ours = friedman(scores, higher_is_better=True)
    assert_allclose(ours.ranks, [3.143, 2.000, 2.893, 1.964], atol=5e-4)  # printed with three decimals
    # The paper leaves ties uncorrected, which can only lower chi2: 9.28 and F = 3.69.
    uncorrected = 12 * 14 / (4 * 5) * ((ours.ranks**2).sum() - 4 * 5**2 / 4)
    assert uncorrected == pytest.approx(9.28, abs=5e-3)
    assert 13 * uncorrected / (14 * 3 - uncorrected) == pytest.approx(3.69, abs=5e-3)
    assert ours.chi_square > uncorrected
    assert ours.f > 3.69
    assert nemenyi_critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.01)
    # Table 7: p = 0.016, 0.019, 0.607 against C4.5; Holm rejects the first two at 0.05.
    p = rank_post_hoc(ours.ranks, 14, baseline=0)
    assert p[0] == 1
    assert_allclose(p, [1, 0.0471, 0.607, 0.0471], atol=2e-3)


def test_friedman_at_its_edges():
    tied = friedman(np.ones((5, 3)), higher_is_better=True)
    assert (tied.chi_square, tied.p_chi_square, tied.f, tied.p_f) == (0, 1, 0, 1)
    agreed = friedman(np.tile([3.0, 2.0, 1.0], (6, 1)), higher_is_better=True)
    assert_allclose(agreed.ranks, [1, 2, 3])
    assert agreed.f == np.inf
    assert agreed.p_f == 0
    for bad in (np.ones(3), np.ones((1, 3)), np.ones((3, 1))):
        with pytest.raises(ValueError, match="scores must have shape"):
            friedman(bad, higher_is_better=True)
    with pytest.raises(ValueError, match="NaN or infinity"):
        friedman([[1, np.nan], [1, 2]], higher_is_better=True)


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_nemenyi_uses_the_published_quantiles(k, q):
    assert_allclose(nemenyi_critical_difference(k, 20), q * np.sqrt(k * (k + 1) / 120), rtol=5e-4)


def test_rank_post_hoc_names_what_is_wrong():
    with pytest.raises(ValueError, match="baseline must be an index"):
        rank_post_hoc([1.0, 2.0], 5, baseline=2)
    with pytest.raises(ValueError, match="k and n"):
        nemenyi_critical_difference(1, 5)
