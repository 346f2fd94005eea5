"""Drift detectors: river's alarms, planted changes, false alarms, bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ks_2samp

from breadth.tabular.drift.detectors import ADWIN, DDM, EDDM, PageHinkley, WindowTest

KINDS = [DDM, EDDM, PageHinkley, ADWIN, WindowTest]


def errors(n=20_000, pieces=10, seed=0):
    """0 and 1 whose rate changes at known places."""
    rng = np.random.default_rng(seed)
    return (rng.random(n) < np.repeat(rng.uniform(0.02, 0.5, pieces), n // pieces)).astype(float)


def levels(n=20_000, pieces=10, seed=0, scale=1.0, mean=0.0):
    rng = np.random.default_rng(seed)
    return mean + scale * (rng.normal(size=n) + np.repeat(2 * rng.normal(size=pieces), n // pieces))


def alarms_one_by_one(detector, x):
    drifts, warnings = [], []
    for i, value in enumerate(x):
        detector.update(value)
        if detector.drift_detected:
            drifts.append(i)
        elif getattr(detector, "warning_detected", False):
            warnings.append(i)
    return drifts, warnings


def peers():
    drift = pytest.importorskip("river.drift", reason="the peer river is in the extra [peers]")
    bits, real, large = errors(), levels(), levels(scale=1e-2, mean=1e4)
    return {
        "ddm": (DDM(), drift.binary.DDM(), bits),
        "ddm, narrow": (DDM(100, 1.0, 1.5), drift.binary.DDM(100, 1.0, 1.5), bits),
        "eddm": (EDDM(), drift.binary.EDDM(), bits),
        "eddm, narrow": (EDDM(10, 1.0, 0.98), drift.binary.EDDM(10, 1.0, 0.98), bits),
        "page-hinkley": (PageHinkley(), drift.PageHinkley(), real),
        "page-hinkley, up": (PageHinkley(mode="up", alpha=1.0), drift.PageHinkley(mode="up", alpha=1.0), real),
        "page-hinkley, down": (
            PageHinkley(5, 0.1, 20.0, mode="down"),
            drift.PageHinkley(5, 0.1, 20.0, mode="down"),
            real,
        ),
        "adwin": (ADWIN(), drift.ADWIN(), real),
        "adwin, errors": (ADWIN(), drift.ADWIN(), bits),
        "adwin, mean 1e4": (ADWIN(), drift.ADWIN(), large),
        "adwin, others": (
            ADWIN(0.1, 7, 3, 10, 30),
            drift.ADWIN(delta=0.1, clock=7, max_buckets=3, min_window_length=10, grace_period=30),
            real,
        ),
    }


NAMES = ("ddm", "ddm, narrow", "eddm", "eddm, narrow", "page-hinkley", "page-hinkley, up", "page-hinkley, down")
WINDOWS = ("adwin", "adwin, errors", "adwin, mean 1e4", "adwin, others")


@pytest.mark.parametrize("name", NAMES + WINDOWS)
def test_alarms_are_those_of_river(name):
    ours, peer, x = peers()[name]
    drifts, warnings = alarms_one_by_one(peer, x)
    found = ours.update_many(x)
    assert len(drifts) >= 3
    assert_array_equal(found.drifts, drifts)
    assert_array_equal(found.warnings, warnings)
    if name.startswith("adwin"):
        assert ours.width == peer.width
        assert_allclose(ours.estimation, peer.estimation, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_values_one_by_one_in_parts_and_at_once_set_off_the_same(kind):
    x = errors(6_000, 5)
    whole = kind().update_many(x)
    drifts, warnings = alarms_one_by_one(kind(), x)
    assert_array_equal(whole.drifts, drifts)
    assert_array_equal(whole.warnings, warnings)
    parts = kind()
    found = [parts.update_many(part).drifts + start for start, part in zip((0, 1234, 1234, 4000), _cut(x), strict=True)]
    assert_array_equal(np.concatenate(found), whole.drifts)


def _cut(x):
    return x[:1234], x[1234:1234], x[1234:4000], x[4000:]


@pytest.mark.parametrize("kind", [DDM, EDDM, ADWIN, WindowTest])
def test_a_jump_of_the_error_rate_is_found_soon(kind):
    rng = np.random.default_rng(3)
    x = (rng.random(8_000) < np.repeat([0.1, 0.5], 4_000)).astype(float)
    drifts = kind().update_many(x).drifts
    assert len(drifts[(drifts >= 4_000) & (drifts < 4_600)]) >= 1
    if kind in (
        ADWIN,
        WindowTest,
    ):  # the rules of DDM and EDDM promise no level, and do tell drifts where there are none
        assert len(drifts[drifts < 4_000]) == 0


@pytest.mark.parametrize("make", [ADWIN, WindowTest, lambda: PageHinkley(delta=0.5)])
def test_streams_that_do_not_change_set_off_few_alarms(make):
    alarms = sum(len(make().update_many(np.random.default_rng(seed).normal(size=5_000)).drifts) for seed in range(20))
    assert alarms <= 3


def test_adwin_keeps_width_mean_and_variance_of_its_window():
    x = levels(5_000, 1)
    detector = ADWIN()
    assert len(detector.update_many(x).drifts) == 0
    assert detector.width == 5_000
    assert_allclose(detector.estimation, x.mean(), rtol=1e-10)
    assert_allclose(detector.variance, x.var(), rtol=1e-10)
    shifted = ADWIN()
    shifted.update_many(x + 1e6)
    assert_allclose(shifted.variance, x.var(), rtol=1e-6)  # the mean of 1e6 leaves 10 digits


def test_a_change_of_shape_alone_is_seen_by_the_window_and_not_by_the_means():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(size=4_000), rng.choice([-1.0, 1.0], 4_000)]  # mean 0 and variance 1 throughout
    assert len(PageHinkley(delta=0.1).update_many(x).drifts) == 0
    assert len(WindowTest(test="welch").update_many(x).drifts) == 0
    drifts = WindowTest(step=50).update_many(x).drifts
    assert 4_000 <= drifts[0] < 4_300


def test_windows_are_those_that_scipy_is_given():
    x = np.random.default_rng(0).normal(size=700)
    seen = []
    WindowTest(100, step=30, test=lambda a, b: seen.append((a, b)) or 1.0).update_many(x)
    assert len(seen) == 1 + (700 - 200) // 30
    assert_array_equal(seen[0][0], x[:100])
    assert_array_equal(seen[2][1], x[160:260])
    detector = WindowTest(100)
    detector.update_many(x[:200])
    assert_allclose(detector.p_value, ks_2samp(x[:100], x[100:200], method="asymp").pvalue)


@pytest.mark.parametrize("made", [DDM(20), EDDM(beta=0.8), PageHinkley(mode="up"), ADWIN(0.01), WindowTest(50)])
def test_a_detector_is_shown_as_the_call_that_makes_it(made):
    again = eval(repr(made))
    assert type(again) is type(made) and repr(again) == repr(made)


def test_constant_streams_and_no_values_set_nothing_off():
    for kind in KINDS:
        for x in (np.zeros(2_000), np.ones(2_000), np.zeros(0)):
            assert len(kind().update_many(x).drifts) == 0
    assert len(WindowTest(50, test="welch").update_many(np.r_[np.zeros(100), np.ones(100)]).drifts) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DDM(0), "warm_start must be an integer >= 1"),
        (lambda: DDM(warning_threshold=4.0), "0 < warning <= drift"),
        (lambda: EDDM(alpha=0.8), "0 < beta <= alpha <= 1"),
        (lambda: PageHinkley(threshold=0), "threshold > 0"),
        (lambda: PageHinkley(alpha=2), r"alpha must be in \(0, 1\]"),
        (lambda: PageHinkley(mode="left"), "mode must be"),
        (lambda: ADWIN(1.0), r"delta must be in \(0, 1\)"),
        (lambda: ADWIN(max_buckets=1), "max_buckets must be an integer >= 2"),
        (lambda: ADWIN(clock=1.5), "clock must be an integer >= 1"),
        (lambda: WindowTest(1), "size must be an integer >= 2"),
        (lambda: WindowTest(test="mmd"), "test must be"),
        (lambda: WindowTest(alpha=0), r"alpha must be in \(0, 1\)"),
        (lambda: DDM().update(2.0), r"x must be in \[0, 1\], got 2.0 at position 0"),
        (lambda: EDDM().update(0.5), "1 .an error. or 0"),
        (lambda: ADWIN().update_many([0.0, np.nan]), "finite numbers, got nan at position 1"),
        (lambda: PageHinkley().update_many(np.ones((2, 2))), "one value after another"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
