"""What holds for every distribution: bounds, order, agreement of density and tails, fits, samples and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from breadth.stats.distributions import (
    Beta,
    Binomial,
    Distribution,
    Exponential,
    Multinomial,
    MultivariateNormal,
    Normal,
    Poisson,
    cross_check,
)
from breadth.stats.distributions.saddle_point import deviance, digamma_less_log, log_poisson, stirling_error
from breadth.stats.divergence import total_variation
from tests.stats.distributions import reference
from tests.stats.distributions.reference import close

CONTINUOUS = [Normal(3.0, 2.0), Exponential(0.4), Beta(2.5, 0.7), Beta(30.0, 200.0)]
COUNTS = [Binomial(12, 0.3), Binomial(400, 0.97), Poisson(4.2), Poisson(900.0)]
quick = settings(max_examples=25, deadline=None)
positive = st.floats(1e-3, 1e6)


@st.composite
def laws(draw):
    kind = draw(st.sampled_from([Normal, Exponential, Beta, Binomial, Poisson]))
    if kind is Normal:
        return Normal(draw(st.floats(-1e6, 1e6)), draw(positive))
    if kind is Exponential:
        return Exponential(draw(positive))
    if kind is Beta:
        return Beta(draw(positive), draw(positive))
    if kind is Binomial:
        return Binomial(draw(st.integers(0, 10**8)), draw(st.floats(0, 1)))
    return Poisson(draw(st.floats(0, 1e8)))


@quick
@given(laws(), st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_tails_are_probabilities_that_sum_to_one_rise_and_invert(law, levels):
    q = np.sort(levels)
    x = law.quantile(q)
    assert (x[1:] >= x[:-1]).all()
    x = x[np.isfinite(x)]
    lower, upper = law.cdf(x), law.sf(x)
    assert ((lower >= 0) & (lower <= 1) & (upper >= 0) & (upper <= 1)).all()
    assert (np.diff(lower) >= 0).all()
    assert_allclose(lower + upper, 1, atol=1e-12)
    density = law.logpmf(x) if hasattr(law, "logpmf") else law.logpdf(x)
    assert not np.isnan(density).any()
    if hasattr(law, "logpmf"):
        assert (density <= 1e-12).all()
        reached = law.cdf(law.quantile(q[q < 1]))
        assert (reached >= q[q < 1] - 1e-15).all()
    assert law.var >= 0 and np.isfinite(law.entropy())


@quick
@given(st.floats(-1e3, 1e3), positive, st.floats(-30, 30))
def test_a_normal_is_symmetric_about_its_mean(mean, std, z):
    law = Normal(mean, std)
    assert_allclose(law.logpdf(mean + z * std), law.logpdf(mean - z * std), rtol=1e-8)
    assert_allclose(Normal(0.0, std).cdf(z * std), Normal(0.0, std).sf(-z * std), rtol=1e-13)


@quick
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_failures_of_a_binomial_are_a_binomial(n, p, where):
    k = int(where * n)
    q = 1 - p
    if 1 - q != p:  # where a failure's chance loses digits
        return
    assert_allclose(Binomial(n, p).logpmf(k), Binomial(n, q).logpmf(n - k), rtol=1e-8, atol=1e-9)


@quick
@given(positive, positive, st.floats(0, 1))
def test_a_mirrored_beta_is_a_beta(a, b, x):
    y = 1 - x
    if 1 - y == x:  # where mirroring loses nothing
        assert_allclose(Beta(a, b).logpdf(x), Beta(b, a).logpdf(y), rtol=1e-11, atol=1e-11)
        assert_allclose(Beta(a, b).cdf(x), Beta(b, a).sf(y), rtol=1e-11)


@quick
@given(st.floats(0, 1e12), st.floats(1e-12, 1e12))
@example(5e-324, 2.0)  # their ratio is no number of float64
def test_deviances_are_never_negative_and_parts_of_factorials_are_right(x, mean):
    assert deviance(x, mean) >= 0
    assert deviance(mean, mean) == 0
    close(log_poisson(int(x), mean), reference.log_poisson(int(x), mean), relative=1e-10)
    assert digamma_less_log(mean) < 0 < stirling_error(mean)


@pytest.mark.parametrize("law", CONTINUOUS + COUNTS, ids=repr)
def test_density_and_distribution_function_belong_together(law):
    x = np.unique(np.concatenate([law.quantile(np.array([1e-9, 0.1, 0.5, 0.9])), law.mean + np.array([0, 0.5, 60])]))
    if isinstance(law, Beta):
        x = x[x < 1]  # its density may be infinite at 1
    found = cross_check(law, x)
    assert found.error < 1e-9 and found.monotone and found.lowest_density >= 0
    assert isinstance(law, Distribution)


@pytest.mark.parametrize("law", [stats.gamma(2.0), stats.geom(0.3)])
def test_the_cross_check_takes_scipys_distributions(law):
    assert cross_check(law, [0.0, 1.0, 4.5, 60.0]).error < 1e-12
    assert_allclose(cross_check(law, [0.0, 60.0]).from_density.sum(), 1, rtol=1e-8)


def test_the_cross_check_finds_what_does_not_belong_together():
    class Wrong:
        """The density of one law and the distribution function of another."""

        def __init__(self, density, cdf):
            self.pdf, self.cdf = density, cdf

    too_wide = cross_check(Wrong(Normal(0, 1.1).pdf, Normal(0, 1).cdf), np.linspace(-3, 3, 7))
    assert too_wide.error > 0.01
    falling = cross_check(Wrong(Normal(0, 1).pdf, Normal(0, 1).sf), [-1.0, 1.0])
    assert not falling.monotone
    negative = cross_check(Wrong(lambda t: np.cos(t), lambda t: np.sin(t)), np.linspace(0, 5, 9))
    assert negative.error < 1e-12 and negative.lowest_density < 0
    for x, message in [([1.0], "two different finite ends"), ([0, 1e9], "at most 10")]:
        with pytest.raises(ValueError, match=message):
            cross_check(Poisson(1.0), x)


def test_a_law_without_density_cannot_be_cross_checked():
    class Bare:
        cdf = staticmethod(Normal(0, 1).cdf)

    with pytest.raises(ValueError, match="must have pdf or pmf, got Bare"):
        cross_check(Bare(), [0.0, 1.0])


@pytest.mark.parametrize("n", [10, 1000])
@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_a_poisson_law_is_the_limit_of_binomials_within_le_cams_bound(n, rate):
    p = rate / n
    k = np.arange(200)
    binomial, poisson = Binomial(n, p).pmf(k), Poisson(rate).pmf(k)
    distance = total_variation(binomial / binomial.sum(), poisson / poisson.sum())
    assert 0 < distance <= p
    assert distance <= min(1, 1 / rate) * n * p**2  # Barbour & Hall


@pytest.mark.parametrize("law", CONTINUOUS + COUNTS, ids=repr)
def test_samples_have_the_laws_mean_variance_and_entropy(law):
    x = law.sample(0, 20_000)
    log_p = law.logpmf(x) if hasattr(law, "logpmf") else law.logpdf(x)
    assert abs(x.mean() - law.mean) < 5 * np.sqrt(law.var / x.size)
    fourth = np.mean((x - law.mean) ** 4)
    assert abs(np.mean((x - law.mean) ** 2) - law.var) < 5 * np.sqrt((fourth - law.var**2) / x.size)
    assert abs(-log_p.mean() - law.entropy()) < 5 * log_p.std() / np.sqrt(x.size)
    assert_array_equal(x, law.sample(np.random.default_rng(0), 20_000))
    assert np.ndim(law.sample(1)) == 0 and law.sample(1, (2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("law", "parameters"),
    [
        (Normal(1e9, 2.0), ("mean", "std")),
        (Exponential(3.0), ("rate",)),
        (Beta(0.4, 3.0), ("a", "b")),
        (Binomial(40, 0.15), ("p",)),
        (Poisson(2.5), ("rate",)),
    ],
    ids=repr,
)
def test_fits_are_within_their_standard_errors_and_weights_are_counts(law, parameters):
    rng = np.random.default_rng(1)
    more = {"n": law.n} if isinstance(law, Binomial) else {}
    x = law.sample(rng, 400)
    fitted = type(law).fit(x, **more)
    errors = fitted.standard_errors(x.size)
    assert set(errors) == set(parameters)
    for name in parameters:
        assert abs(getattr(fitted, name) - getattr(law, name)) < 4 * errors[name]
    weight = rng.integers(0, 4, x.size)
    weighted, repeated = type(law).fit(x, weight, **more), type(law).fit(np.repeat(x, weight), **more)
    for name in parameters:
        assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-11)
    # the standard errors are the spread of estimates over samples
    spread = np.std(
        [[getattr(type(law).fit(s, **more), name) for name in parameters] for s in law.sample(rng, (100, 400))], 0
    )
    for name, seen in zip(parameters, spread, strict=True):
        assert 0.75 < seen / law.standard_errors(400)[name] < 1.3


def test_closed_form_fits_equal_scipys_and_the_definition():
    rng = np.random.default_rng(2)
    x = rng.normal(1e9, 1e-3, 50)
    exact = stats.norm.fit((x - 1e9).astype(np.longdouble).astype(float))
    fitted = Normal.fit(x)
    assert_allclose([fitted.mean - 1e9, fitted.std], exact, rtol=1e-5, atol=2e-7)
    assert_allclose(fitted.std, exact[1], rtol=1e-10)
    e = rng.exponential(3, 50)
    assert_allclose(1 / Exponential.fit(e).rate, stats.expon.fit(e, floc=0)[1], rtol=1e-13)
    assert Poisson.fit([0, 0]).rate == 0 and Binomial.fit([3, 3], n=3).p == 1
    with pytest.raises(ValueError, match="at least two different values"):
        Normal.fit([2.0, 2.0])


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.3), (1.0, 1.0), (2.0, 50.0), (3000.0, 500.0)])
def test_a_beta_fit_makes_the_score_vanish_in_mpmath(a, b):
    import mpmath as mp

    x = np.clip(Beta(a, b).sample(3, 40), 1e-300, 1 - 1e-15)
    fitted = Beta.fit(x)
    shapes = mp.mpf(fitted.a), mp.mpf(fitted.b)
    means = [mp.fsum(mp.log(mp.mpf(v)) for v in x) / x.size, mp.fsum(mp.log1p(-mp.mpf(v)) for v in x) / x.size]
    root = mp.findroot(
        lambda s, t: [mp.psi(0, s) - mp.psi(0, s + t) - means[0], mp.psi(0, t) - mp.psi(0, s + t) - means[1]], shapes
    )
    assert_allclose([fitted.a, fitted.b], [float(root[0]), float(root[1])], rtol=1e-10)


def test_fits_of_several_variables_equal_numpys_and_weights_are_counts():
    rng = np.random.default_rng(0)
    x = 1e6 + rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))
    law = MultivariateNormal.fit(x)
    assert_allclose(law.mean, x.mean(0), rtol=1e-14)
    assert_allclose(law.cov, np.cov(x - 1e6, rowvar=False, bias=True), rtol=1e-9)
    weight = rng.integers(0, 3, 60)
    assert_allclose(
        MultivariateNormal.fit(x, weight).cov, MultivariateNormal.fit(np.repeat(x, weight, 0)).cov, rtol=1e-9
    )
    spread = np.std([MultivariateNormal.fit(law.sample(rng, 100)).cov for _ in range(300)], axis=0)
    assert_allclose(spread, law.standard_errors(100)["cov"], rtol=0.2)
    counts = Multinomial(9, [0.2, 0.5, 0.3]).sample(rng, 50)
    fitted = Multinomial.fit(counts, weight[:50])
    assert fitted.n == 9
    assert_allclose(fitted.p, np.repeat(counts, weight[:50], 0).sum(0) / (9 * weight[:50].sum()), rtol=1e-13)
    assert_allclose(fitted.cov, 9 * (np.diag(fitted.p) - np.outer(fitted.p, fitted.p)))
    with pytest.raises(ValueError, match="it does in 2"):
        MultivariateNormal.fit(np.column_stack([x[:, 0], x[:, 1], x[:, 0] + x[:, 1]]))
    with pytest.raises(ValueError, match="one and the same positive total"):
        Multinomial.fit([[1, 2], [1, 1]])


def test_posteriors_equal_bayes_rule_on_a_grid():
    grid = np.linspace(-3, 6, 4001)
    x = np.array([1.0, 2.5, 0.3])
    prior = Normal(-0.5, 2.0)
    log_posterior = prior.logpdf(grid) + sum(Normal(v, 0.8).logpdf(grid) for v in x)
    ours = prior.update(x, noise_std=0.8)
    assert_allclose(ours.logpdf(grid) - log_posterior, ours.logpdf(grid[0]) - log_posterior[0], rtol=1e-10)
    beta = Beta(0.5, 2.0).update(3, 9)
    assert (beta.a, beta.b) == (3.5, 11.0)
    one = MultivariateNormal([-0.5], [[4.0]]).update(x[:, None], noise_cov=[[0.64]])
    assert_allclose([one.mean[0], one.cov[0, 0]], [ours.mean, ours.var], rtol=1e-12)
    # rows one by one, or all at once
    two = MultivariateNormal([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]])
    noise, rows = [[1.0, -0.3], [-0.3, 0.4]], np.array([[1.0, 2.0], [0.0, 3.0], [-1.0, 0.5]])
    stepwise = two
    for row in rows:
        stepwise = stepwise.update(row[None], noise_cov=noise)
    at_once = two.update(rows, noise_cov=noise)
    assert_allclose(stepwise.mean, at_once.mean, rtol=1e-12)
    assert_allclose(stepwise.cov, at_once.cov, rtol=1e-12)


def test_a_normals_density_is_marginal_times_conditional():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 4))
    law = MultivariateNormal(rng.normal(size=4), a @ a.T + np.eye(4))
    x = law.sample(rng)
    rest = law.conditional([2, 0], x[[2, 0]])
    assert_allclose(law.logpdf(x), law.marginal([2, 0]).logpdf(x[[2, 0]]) + rest.logpdf(x[[1, 3]]), rtol=1e-12)
    with pytest.raises(ValueError, match="some but not all"):
        law.conditional([0, 1, 2, 3], x)


def test_degenerate_parameters_put_all_mass_on_one_point():
    for law, point in [(Binomial(0, 0.3), 0), (Binomial(5, 0.0), 0), (Binomial(5, 1.0), 5), (Poisson(0.0), 0)]:
        assert_array_equal(law.pmf([point - 1, point, point + 1, point + 0.5]), [0, 1, 0, 0])
        assert_array_equal(law.cdf([point - 0.1, point, point + 1]), [0, 1, 1])
        assert_array_equal(law.sf([point - 0.1, point, point + 1]), [1, 0, 0])
        assert_array_equal(law.quantile([0.5, 1.0]), point)
        assert law.entropy() == 0 and law.var == 0
    assert_array_equal(Multinomial(3, [0.0, 1.0]).pmf([[0, 3], [1, 2]]), [1, 0])
    assert_array_equal(Beta(0.5, 2).logpdf([0, 1, -1, 2]), [np.inf, -np.inf, -np.inf, -np.inf])
    assert_allclose(Beta(1, 3).logpdf([0.0]), np.log(3))


@pytest.mark.parametrize("law", CONTINUOUS + COUNTS, ids=repr)
def test_nan_stays_nan_and_infinity_is_the_end(law):
    log_density = law.logpmf if hasattr(law, "logpmf") else law.logpdf
    assert np.isnan(log_density(np.nan)) and np.isnan(law.cdf(np.nan)) and np.isnan(law.sf(np.nan))
    assert_array_equal(law.cdf([-np.inf, np.inf]), [0, 1])
    assert_array_equal(law.sf([-np.inf, np.inf]), [1, 0])
    assert_array_equal(log_density([-np.inf, np.inf]), -np.inf)
    assert log_density(np.zeros((2, 0))).shape == (2, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(0, 0), "std must be > 0, got 0"),
        (lambda: Normal(np.nan, 1), "mean must be a finite number"),
        (lambda: Normal([0, 1], 1), "mean must be one number"),
        (lambda: Exponential(0), "rate must be > 0"),
        (lambda: Poisson(-1), "rate must be >= 0"),
        (lambda: Beta(0, 1), "a must be > 0"),
        (lambda: Binomial(2.5, 0.1), "n must be a whole number"),
        (lambda: Binomial(2, 1.1), r"p must be in \[0, 1\]"),
        (lambda: Multinomial(2, [0.5, 0.6]), "p must be of shape .* sum to 1"),
        (lambda: Multinomial(2, [0.5, 0.5]).pmf([1, 1, 0]), "2 categories on its last axis"),
        (lambda: MultivariateNormal([0, 0], [[1, 1], [1, 1]]), "positive definite, its smallest eigenvalue"),
        (lambda: MultivariateNormal([0, 0], [[1, 0.5], [0.4, 1]]), "cov must be symmetric"),
        (lambda: MultivariateNormal([0, 0], np.eye(2)).logpdf([1.0]), "2 columns on its last axis"),
        (lambda: Normal(0, 1).quantile(1.1), r"q must be in \[0, 1\]"),
        (lambda: Normal.fit([]), "at least one observation"),
        (lambda: Normal.fit([1, np.nan]), "NaN or infinity"),
        (lambda: Normal.fit([1, 2], [1]), "one number for each of 2"),
        (lambda: Normal.fit([1, 2], [0, 0]), "positive sum"),
        (lambda: Exponential.fit([0, 0]), "not all 0"),
        (lambda: Poisson.fit([1.5]), "whole numbers"),
        (lambda: Binomial.fit([4], n=3), "<= 3"),
        (lambda: Beta.fit([0.0, 0.5]), "strictly between 0 and 1"),
        (lambda: Beta.fit([0.5, 0.5]), "two different values"),
        (lambda: Beta(1, 1).update(-1, 0), "successes must be >= 0"),
        (lambda: Normal(0, 1).update([1], noise_std=0), "noise_std must be > 0"),
        (lambda: Normal(0, 1).standard_errors(0), "n must be > 0"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("columns", [[0, 0], [3], [-1]])
def test_columns_of_a_conditional_law_are_different_and_exist(columns):
    law = MultivariateNormal([1, 2, 3], np.eye(3))
    with pytest.raises(ValueError, match=r"columns must be different whole numbers in \[0, 3\)"):
        law.conditional(columns, np.ones(len(columns)))
    with pytest.raises(ValueError, match="columns must be different"):
        law.marginal(columns)


def test_quantiles_of_a_narrow_beta_come_without_warning():
    levels = np.array([0, 1e-300, 0.5, 1])
    with np.errstate(all="raise", under="ignore"):
        assert_allclose(Beta(1e6, 2e6).quantile(levels), stats.beta(1e6, 2e6).ppf(levels), rtol=1e-9)
