"""Densities, tails, moments and fits against mpmath at 40 digits and scipy.stats, far out and at extreme parameters."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from breadth.stats.distributions import Beta, Binomial, Exponential, Multinomial, MultivariateNormal, Normal, Poisson
from tests.stats.distributions import reference
from tests.stats.distributions.reference import close, close_relative

SIGMAS = (-40, -37, -20, -8, -3, -1, -1e-3, 0, 0.5, 2, 5, 12, 30, 37, 40)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-3.0, 1e-6), (1e9, 1.0), (2.5, 1e12)])
def test_normal_equals_mpmath_to_40_standard_deviations(mean, std):
    law = Normal(mean, std)
    for z in SIGMAS:
        x = mean + z * std
        z = (mp.mpf(x) - mp.mpf(mean)) / mp.mpf(std)  # what x says after rounding
        close(law.logpdf(x), reference.log_normal(x, mean, std))
        close_relative(law.pdf(x), mp.exp(reference.log_normal(x, mean, std)))
        close_relative(law.cdf(x), mp.erfc(-z / mp.sqrt(2)) / 2)
        close_relative(law.sf(x), mp.erfc(z / mp.sqrt(2)) / 2)
    for q in (1e-300, 1e-10, 0.2, 0.5, 0.9999):
        z = mp.findroot(lambda t, q=q: mp.log(mp.erfc(-t / mp.sqrt(2)) / 2) - mp.log(q), stats.norm.ppf(q))
        assert abs(mp.mpf(float(law.quantile(q))) - (mean + z * std)) <= 1e-10 * max(abs(mean), std * abs(z))
    close(law.entropy(), mp.log(mp.mpf(std) * mp.sqrt(2 * mp.pi * mp.e)))


@pytest.mark.parametrize("rate", [1e-9, 0.7, 1e9])
def test_exponential_equals_mpmath(rate):
    law = Exponential(rate)
    for u in (0.0, 1e-18, 1e-3, 1.0, 30.0, 700.0):
        x = u / rate
        u = mp.mpf(x) * mp.mpf(rate)
        close(law.logpdf(x), mp.log(rate) - u)
        close_relative(law.cdf(x), -mp.expm1(-u))
        close_relative(law.sf(x), mp.exp(-u))
    for q in (1e-300, 1e-5, 0.5, 1 - 1e-15):
        close_relative(law.quantile(q), -mp.log1p(-mp.mpf(q)) / mp.mpf(rate))
    assert (law.logpdf(-1.0), law.cdf(-1.0), law.sf(-1.0)) == (-np.inf, 0, 1)
    assert_allclose([law.mean, law.var, law.entropy()], [*stats.expon(scale=1 / rate).stats(), 1 - np.log(rate)])


@pytest.mark.parametrize("n", [1, 10, 1000, 10**8])
@pytest.mark.parametrize("p", [1e-12, 1e-7, 0.01, 0.3, 0.999])
def test_binomial_equals_mpmath_for_any_number_of_trials(n, p):
    law = Binomial(n, p)
    mean, sd = n * p, np.sqrt(n * p * (1 - p))
    xs = {int(mean + z * sd) for z in (-35, -5, 0, 4, 30)} | {0, n // 2, n}
    for x in sorted(x for x in xs if 0 <= x <= n):
        truth = reference.log_binomial(x, n, p)
        close(law.logpmf(x), truth)
        close_relative(law.pmf(x), mp.exp(truth))
    for z in (-20, -6, -0.1, 0.5, 7, 25):
        k = int(np.floor(mean + z * sd))
        if not 0 <= k < n or (n == 10**8 and abs(z) < 20 and sd > 100):  # near the mean the reference sums too much
            continue
        if k >= mean:
            close_relative(law.sf(k), reference.binomial_upper(k, n, p))
        else:
            close_relative(law.cdf(k), reference.binomial_lower(k, n, p))


@pytest.mark.parametrize("rate", [1e-8, 0.5, 20.0, 1e4, 1e6, 1e8])
def test_poisson_equals_mpmath_for_any_rate(rate):
    law = Poisson(rate)
    sd = np.sqrt(rate)
    for x in {int(max(rate + z * sd, 0)) for z in (-35, -5, 0, 4, 30)} | {0, 1, 100}:
        close(law.logpmf(x), reference.log_poisson(x, rate))
        close_relative(law.pmf(x), mp.exp(reference.log_poisson(x, rate)))
    for z in (-20, -6, -0.1, 0.5, 7, 25):
        k = int(np.floor(rate + z * sd))
        if k < 0 or (rate > 1e5 and abs(z) < (20 if rate > 1e6 else 7)):
            continue
        if k >= rate:
            close_relative(law.sf(k), reference.poisson_upper(k, rate))
        else:
            close_relative(law.cdf(k), reference.poisson_lower(k, rate))


@pytest.mark.parametrize("a", [1e-3, 0.5, 1.0, 40.0, 1e6])
@pytest.mark.parametrize("b", [1e-3, 1.0, 3.5, 1e6])
def test_beta_equals_mpmath_from_shapes_of_a_thousandth_to_a_million(a, b):
    law = Beta(a, b)
    mean, sd = law.mean, np.sqrt(law.var)
    xs = [x for x in (1e-300, 1e-10, 0.3, 0.75, 1 - 1e-12, mean - 20 * sd, mean, mean + 6 * sd) if 0 < x < 1]
    for x in xs:
        close(law.logpdf(x), reference.log_beta(x, a, b))
        if x < mean and x < 0.9:
            close_relative(law.cdf(x), reference.beta_lower(x, a, b))
        elif x > 0.1:
            close_relative(law.sf(x), reference.beta_lower(1 - mp.mpf(x), b, a))
    a, b = mp.mpf(a), mp.mpf(b)
    total = a + b
    log_beta_function = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(total)
    entropy = log_beta_function - (a - 1) * mp.psi(0, a) - (b - 1) * mp.psi(0, b) + (total - 2) * mp.psi(0, total)
    close(law.entropy(), entropy)
    close_relative(law.mean, a / total)
    close_relative(law.var, a * b / (total**2 * (total + 1)))


@pytest.mark.parametrize("a", [0.05, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("b", [0.3, 1e3, 1e6])
def test_beta_quantiles_are_where_the_distribution_function_has_their_level(a, b):
    law = Beta(a, b)
    q = np.array([1e-6, 0.01, 0.5, 0.9])
    x = law.quantile(q)
    inside = (x > 1e-290) & (x < 0.999)
    # moving x by its last digit moves the level by the density there
    slack = 1e-10 + 4 * np.spacing(x) * law.pdf(np.clip(x, 1e-300, 0.999)) / q
    assert (np.abs(law.cdf(x) / q - 1)[inside] <= slack[inside]).all()


def test_multinomial_equals_mpmath_with_ten_to_the_eight_draws():
    p = np.array([0.2, 0.5, 0.3 - 1e-7, 1e-7])
    exact = [mp.mpf(v) for v in p]
    exact = [v / sum(exact) for v in exact]
    for n in (5, 1000, 10**8):
        law = Multinomial(n, p)
        for shift in (0, 1, int(3 * np.sqrt(n)), n // 3):
            x = np.round(n * p).astype(int)
            x[0] += shift
            x[1] -= x.sum() - n
            if (x < 0).any():
                continue
            truth = reference.log_factorial(n) - sum(map(reference.log_factorial, map(int, x)))
            truth += sum(int(c) * mp.log(v) for c, v in zip(x, exact, strict=True))
            close(law.logpmf(x), truth)


def test_multinomial_cdf_and_entropy_are_sums_over_all_outcomes():
    law = Multinomial(7, [0.2, 0.5, 0.0, 0.3])
    outcomes = np.array([(i, j, 0, 7 - i - j) for i in range(8) for j in range(8 - i)])
    p = law.pmf(outcomes)
    assert_allclose(p.sum(), 1, rtol=1e-14)
    assert_allclose(law.entropy(), -np.sum(p * np.log(p)), rtol=1e-12)
    assert_allclose(law.entropy(), stats.multinomial(7, law.p).entropy(), rtol=1e-12)
    for most in ([7, 7, 7, 7], [2, 4, 0, 3], [1, 1, 9, 4.9], [2, 5, 0, 0], [-1, 7, 7, 7], [0, 0, 0, 7]):
        inside = (outcomes <= np.floor(most)).all(1)
        assert_allclose(law.cdf(most), p[inside].sum(), rtol=1e-12, atol=1e-300)
    assert_allclose(law.cdf(np.full((2, 3, 4), 7.5)), np.ones((2, 3)), rtol=1e-13)
    assert Multinomial(0, [0.5, 0.5]).entropy() == 0


@pytest.mark.parametrize("n", [10, 10**6, 10**8])
def test_entropies_of_counts_equal_the_asymptotic_series_and_scipys_sum(n):
    law = Binomial(n, 0.3)
    s2 = mp.mpf(n) * mp.mpf(0.3) * (1 - mp.mpf(0.3))
    series = mp.log(2 * mp.pi * mp.e * s2) / 2
    assert abs(law.entropy() - series) <= 0.5 / (n * 0.3)  # the next term is of order 1 / n
    poisson = Poisson(0.3 * n)
    rate = mp.mpf(0.3 * n)
    expansion = mp.log(2 * mp.pi * mp.e * rate) / 2 - 1 / (12 * rate) - 1 / (24 * rate**2) - 19 / (360 * rate**3)
    if n > 10:
        close(poisson.entropy(), expansion)
    else:
        assert_allclose(poisson.entropy(), stats.poisson(0.3 * n).entropy(), rtol=1e-12)
        assert_allclose(law.entropy(), stats.binom(n, 0.3).entropy(), rtol=1e-12)
    # two categories are one binomial, with the entropy of that
    assert_allclose(Multinomial(n, [0.3, 0.7]).entropy(), law.entropy(), rtol=1e-10)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Binomial(30, 0.2), stats.binom(30, 0.2)),
        (Binomial(10**8, 0.4), stats.binom(10**8, 0.4)),
        (Poisson(7.5), stats.poisson(7.5)),
        (Poisson(3e5), stats.poisson(3e5)),
    ],
    ids=["binomial of 30", "binomial of 1e8", "Poisson of 7.5", "Poisson of 3e5"],
)
def test_moments_and_quantiles_of_counts_equal_scipys(ours, theirs):
    assert_allclose([ours.mean, ours.var], theirs.stats(), rtol=1e-12)
    q = np.array([0.0, 1e-12, 0.01, 0.3, 0.5, 0.8, 0.999, 1 - 1e-9, 1.0])
    ours_q = ours.quantile(q)
    assert_allclose(ours_q[1:], theirs.ppf(q[1:]))
    assert ours_q[0] == 0  # the smallest count; scipy says -1
    k = ours_q[1:-1]
    assert (ours.cdf(k) >= q[1:-1] * (1 - 1e-12)).all() and (ours.cdf(k - 1) < q[1:-1]).all()


def test_multivariate_normal_equals_mpmath_and_scipy():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(5, 5))
    mean, cov = 1e4 + rng.normal(size=5), a @ a.T + 0.1 * np.eye(5)
    law = MultivariateNormal(mean, cov)
    x = mean + np.concatenate([law.sample(1, 3) - mean, 40 * (law.sample(2, 3) - mean)])
    exact_cov = mp.matrix(cov.tolist())
    inverse = exact_cov**-1
    for row, ours in zip(x, law.logpdf(x), strict=True):
        d = mp.matrix([mp.mpf(u) - mp.mpf(v) for u, v in zip(row.tolist(), mean.tolist(), strict=True)])
        truth = -((d.T * inverse * d)[0] + 5 * mp.log(2 * mp.pi) + mp.log(mp.det(exact_cov))) / 2
        close(ours, truth)
    peer = stats.multivariate_normal(mean, cov)
    assert_allclose(law.logpdf(x[:3]), peer.logpdf(x[:3]), rtol=1e-10)
    assert_allclose(law.entropy(), peer.entropy(), rtol=1e-12)
    assert_allclose(law.mahalanobis(x[0]) ** 2, (x[0] - mean) @ np.linalg.solve(cov, x[0] - mean), rtol=1e-10)


def test_bivariate_normal_cdf_equals_the_integral():
    points = [(0.0, 0.0), (0.0, 1.0), (1.2, -0.4), (-2.0, -3.0), (0.0, -2.0)]
    for rho in (-0.9, 0.5):
        law = MultivariateNormal([1.0, -2.0], [[4.0, 2 * rho], [2 * rho, 1.0]])
        for h, k in points:
            # over x of phi(x) P(Y <= k | x)
            root = mp.sqrt(1 - mp.mpf(rho) ** 2)
            truth = mp.quad(
                lambda t, k=k, rho=rho, root=root: mp.npdf(t) * mp.ncdf((k - rho * t) / root),
                [-14, *sorted({min(h, v) for v in (-3, k / rho if rho else 0, 0)}), h],
                maxdegree=5,
            )
            assert abs(law.cdf([1 + 2 * h, -2 + k]) - truth) < 1e-10
    one = MultivariateNormal([1.0], [[4.0]])
    assert_allclose(one.cdf([[3.0], [-79.0]]), Normal(1, 2).cdf([3.0, -79.0]), rtol=1e-13)
    with pytest.raises(ValueError, match="1 and 2 dimensions only, this is of 3"):
        MultivariateNormal(np.zeros(3), np.eye(3)).cdf(np.zeros(3))
