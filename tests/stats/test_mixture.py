"""Mixtures: density, modes with known counts, and expectation maximisation against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from breadth.stats.distributions import Normal, cross_check
from breadth.stats.em import em_loop, expectation_maximisation
from breadth.stats.em_gaussian import Whiten, by_products, component_log_densities, pass_over
from breadth.stats.mixture import NormalMixture


def planted(n=600, d=3, k=3, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    means = 4 * rng.normal(size=(k, d))
    a = 0.4 * rng.normal(size=(k, d, d)) + np.eye(d)
    label = rng.integers(0, k, n)
    return offset + means[label] + np.einsum("nij,nj->ni", a[label], rng.normal(size=(n, d))), label


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_densities_equal_scipys_sums(offset):
    rng = np.random.default_rng(0)
    means = offset + rng.normal(size=(3, 4))
    a = rng.normal(size=(3, 4, 4))
    covariances = a @ a.transpose(0, 2, 1) + np.eye(4)
    law = NormalMixture([0.2, 0.5, 0.3], means, covariances)
    x = np.concatenate([law.sample(1, 20), offset + 60 * rng.normal(size=(5, 4))])
    peers = [stats.multivariate_normal(m, c) for m, c in zip(means, covariances, strict=True)]
    logs = np.array([p.logpdf(x) for p in peers]).T
    factors = np.linalg.cholesky(covariances)
    assert_allclose(component_log_densities(x, means, factors), logs, rtol=1e-8 if offset else 1e-11)
    assert_allclose(law.pdf(x[:20]), np.exp(logs[:20]) @ law.weights, rtol=1e-7 if offset else 1e-10)
    assert np.isfinite(law.logpdf(x)).all()
    assert_allclose(law.responsibilities(x).sum(1), 1, rtol=1e-12)
    assert law.logpdf(x.reshape(5, 5, 4)).shape == (5, 5)


def test_one_dimension_takes_flat_arrays_and_its_distribution_function_belongs_to_it():
    law = NormalMixture([0.3, 0.7], [-2.0, 1.0], [0.25, 4.0])
    x = np.array([-3.0, 0.0, 2.0])
    exact = 0.3 * Normal(-2, 0.5).pdf(x) + 0.7 * Normal(1, 2).pdf(x)
    assert_allclose(law.pdf(x), exact, rtol=1e-13)
    assert_allclose(law.pdf(x[:, None]), exact, rtol=1e-13)
    assert np.ndim(law.pdf(0.3)) == 0
    assert cross_check(law, [-20, -2.2, 0.0, 5.0, 30.0]).error < 1e-10
    assert_allclose(law.mean, [0.3 * -2 + 0.7])
    assert_allclose(law.var, [0.3 * 0.25 + 0.7 * 4 + 0.3 * 0.7 * 9])


def test_samples_have_the_mixtures_mean_covariance_and_shares():
    law = NormalMixture([0.2, 0.8], [[0, 0], [3, -3]], [np.eye(2), [[1, 0.9], [0.9, 1]]])
    x = law.sample(0, 40_000)
    assert_allclose(x.mean(0), law.mean, atol=5 * np.sqrt(law.var.max() / 40_000))
    assert_allclose(np.cov(x.T), law.cov, atol=0.1)
    assert_allclose(law.responsibilities(x).mean(0), law.weights, atol=0.01)
    assert abs(law.entropy(1) - law.entropy(2)) < 0.02
    assert law.sample(0).shape == (2,) and law.sample(0, (2, 3)).shape == (2, 3, 2)


@pytest.mark.parametrize(
    ("distance", "modes"), [(0.0, 1), (1.0, 1), (1.999, 1), (2.0, 1), (2.001, 2), (2.1, 2), (9.0, 2)]
)
@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_two_equal_normals_have_two_modes_beyond_a_distance_of_two_deviations(distance, modes, unit):
    law = NormalMixture([0.5, 0.5], [7 * unit, (7 + distance) * unit], [unit**2, unit**2])
    found = law.modes()
    assert len(found) == modes
    if modes == 1:
        assert_allclose(found, (7 + distance / 2) * unit, rtol=1e-3)


def test_a_small_component_is_no_mode_and_separated_ones_are_all_found():
    assert len(NormalMixture([0.99, 0.01], [0, 1.5], [1, 1]).modes()) == 1
    means = np.array([[0, 0], [10, 0], [0, 10], [10, 10.0]])
    found = NormalMixture(np.full(4, 0.25), means, np.repeat(np.eye(2)[None], 4, 0)).modes()
    assert_allclose(found[np.lexsort(found.T)], means, atol=1e-12)
    # a heap of ten components is one hill
    assert len(NormalMixture(np.full(10, 0.1), np.linspace(0, 3, 10), np.ones(10)).modes()) == 1


def test_two_components_of_two_variables_may_have_three_modes():
    law = NormalMixture([0.5, 0.5], [[0, 0], [1, 1]], [[[1, 0], [0, 0.05]], [[0.05, 0], [0, 1]]])
    found = law.modes()
    assert len(found) == 3
    grid = np.linspace(-1, 2, 121)
    density = law.pdf(np.stack(np.meshgrid(grid, grid, indexing="ij"), -1))
    inner = density[1:-1, 1:-1]
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    peaks = np.argwhere(np.all([inner > density[i : i + 119, j : j + 119] for i, j in shifts], axis=0)) + 1
    assert len(peaks) == 3
    for i, j in peaks:
        assert np.abs(found - [grid[i], grid[j]]).max(1).min() < 0.03


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 1), st.floats(-6, 6), st.floats(0.2, 3)), min_size=1, max_size=4))
def test_modes_in_one_dimension_are_those_of_a_fine_grid(components):
    w, m, s = np.array(components).T
    law = NormalMixture(w / w.sum(), m, s**2)
    found = np.sort(law.modes()[:, 0])
    grid = np.linspace(-7, 7, 20_001)
    density = law.logpdf(grid)
    peak = (density[1:-1] > density[:-2]) & (density[1:-1] >= density[2:])
    # a shoulder too flat for the grid may or may not be a mode
    turns = np.diff(density, 2)
    assert abs(len(found) - peak.sum()) <= (np.abs(turns).min() < 1e-12)
    assert len(found) <= len(w)
    h = 1e-4
    assert (law.logpdf(found) >= np.maximum(law.logpdf(found - h), law.logpdf(found + h)) - 1e-12).all()


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_steps_equal_scikit_learns_from_the_same_start(kind, offset):
    from sklearn.mixture import GaussianMixture

    x, _ = planted(offset=offset)
    x = x * [1.0, 5.0, 0.2]
    r = np.eye(3)[np.random.default_rng(1).integers(0, 3, len(x))]

    class Given(GaussianMixture):
        def _initialize_parameters(self, X, random_state, xp=None):
            self._initialize(X, r)

    for steps in (1, 12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged
            peer = Given(3, covariance_type=kind, tol=0, max_iter=steps, reg_covar=1e-6).fit(x)
        ours = expectation_maximisation(
            x, r, covariance_type=kind, tol=0, max_iter=steps, min_variance=0, reg_covar=1e-6
        )
        rtol = 1e-6 if offset else 1e-9  # scikit-learn multiplies by what was not centred
        assert_allclose(ours.weights, peer.weights_, rtol=rtol)
        assert_allclose(ours.means, peer.means_, rtol=rtol, atol=rtol)
        assert_allclose(ours.covariances, peer.covariances_, rtol=rtol, atol=1e-2 * rtol)
        assert_allclose(ours.log_likelihoods[-1] / len(x), peer.score(x), rtol=1e-8)
        law = NormalMixture.of(ours)
        assert_allclose(law.logpdf(x).sum(), ours.log_likelihoods[-1], rtol=1e-9)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("trap", ["none", "repeated rows", "plane", "constant column", "far outlier"])
def test_the_log_likelihood_never_falls_and_nothing_collapses(kind, trap):
    x, _ = planted(n=150)
    if trap == "repeated rows":
        x[:20] = x[0]
    if trap == "plane":
        x[:60, 2] = x[:60, 0] + x[:60, 1]
    if trap == "constant column":
        x[:, 1] = 3.0
    if trap == "far outlier":
        x[0] = 1e6
    r = np.random.default_rng(2).dirichlet(np.full(4, 0.2), 150)
    found = expectation_maximisation(x, r, covariance_type=kind, tol=0, max_iter=120)
    history = found.log_likelihoods
    assert (np.diff(history) >= -1e-9 * np.abs(history[:-1])).all()
    assert np.isfinite(history).all() and np.isfinite(found.covariances).all()
    assert len(history) == found.n_iter + 1


def test_a_collapsing_component_is_named_without_the_bound_and_held_by_it():
    x = np.concatenate([np.random.default_rng(0).normal(size=40), np.full(5, 9.0)])[:, None]
    r = np.eye(2)[(x[:, 0] > 8).astype(int)]
    with pytest.raises(ValueError, match="covariance of component 1 is singular"):
        expectation_maximisation(x, r, min_variance=0)
    held = expectation_maximisation(x, r, min_variance=1e-4)
    assert_allclose(held.covariances[1, 0, 0], 1e-4 * x.var(), rtol=1e-9)
    assert_allclose(held.weights, [40 / 45, 5 / 45], rtol=1e-9)


def test_weights_are_counts_and_units_drop_out():
    x, _ = planted(n=200)
    rng = np.random.default_rng(0)
    w, r = rng.integers(1, 4, 200), rng.dirichlet(np.ones(3), 200)
    weighted = expectation_maximisation(x, r, weight=w, tol=0, max_iter=15)
    repeated = expectation_maximisation(np.repeat(x, w, 0), np.repeat(r, w, 0), tol=0, max_iter=15)
    assert_allclose(weighted.covariances, repeated.covariances, rtol=1e-8, atol=1e-10)
    assert_allclose(weighted.log_likelihoods, repeated.log_likelihoods, rtol=1e-10)
    unit = np.array([1e-6, 1.0, 1e5])
    scaled = expectation_maximisation(x * unit, r, weight=w, tol=0, max_iter=15)
    assert_allclose(scaled.means, weighted.means * unit, rtol=1e-8)
    jacobian = w.sum() * np.log(unit).sum()
    assert_allclose(scaled.log_likelihoods, weighted.log_likelihoods - jacobian, rtol=1e-10)


def test_a_fit_finds_the_planted_components():
    x, label = planted(n=900, seed=3)
    law = NormalMixture.fit(x, 3, rng=0)
    found = law.responsibilities(x).argmax(1)
    table = np.zeros((3, 3), int)
    np.add.at(table, (label, found), 1)
    assert table.max(1).sum() > 0.97 * len(x)
    assert_allclose(np.sort(law.weights), np.sort(np.bincount(label) / len(x)), atol=0.02)
    again = NormalMixture.fit(x, 3, rng=0)
    assert_array_equal(law.means, again.means)
    one = NormalMixture.fit(x[:, 0], 1, weight=np.arange(900) % 2)
    assert_allclose(one.means[0, 0], x[1::2, 0].mean(), rtol=1e-10)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (257, 3, 2), (1000, 17, 5), (300, 48, 9), (40, 6, 300)])
def test_the_compiled_pass_equals_matrix_products(n, d, k, diagonal):
    rng = np.random.default_rng(0)
    rows, w, means = rng.normal(size=(n, d)), rng.exponential(size=n), 3 * rng.normal(size=(k, d))
    factors = np.tril(0.2 * rng.normal(size=(k, d, d))) + np.eye(d)
    whiten = Whiten(means, rng.uniform(0.5, 2, (k, d)) if diagonal else np.abs(factors))
    log_weights = np.log(rng.dirichlet(np.ones(k)))
    log_weights[-1] = -np.inf if k > 1 else 0.0  # an empty component
    ours, plain = (f(rows, w, whiten, log_weights) for f in (pass_over, by_products))
    for name, a, b in zip(ours._fields, ours, plain, strict=True):
        assert_allclose(a, b, rtol=1e-10, atol=1e-10 * (np.abs(b).max() + 1e-300), err_msg=name)  # order of sums


def bernoulli_mixture(x):
    """E and M step of a mixture of independent coins, shape (n, d): parameters are (shares, probabilities)."""

    def e_step(p):
        shares, theta = p
        joint = np.log(shares) + x @ np.log(theta).T + (1 - x) @ np.log1p(-theta).T
        total = np.logaddexp.reduce(joint, axis=1)
        return float(total.sum()), np.exp(joint - total[:, None])

    def m_step(p, r):
        return r.mean(0), (r.T @ x + 1e-12) / (r.sum(0)[:, None] + 2e-12)

    return e_step, m_step


def test_the_loop_serves_other_models_and_finds_their_planted_parameters():
    rng = np.random.default_rng(0)
    theta = np.array([[0.9, 0.8, 0.1, 0.2, 0.9], [0.1, 0.3, 0.8, 0.9, 0.2]])
    label = (rng.random(4000) < 0.3).astype(int)
    x = (rng.random((4000, 5)) < theta[label]).astype(float)
    start = (np.array([0.5, 0.5]), rng.uniform(0.3, 0.7, (2, 5)))
    run = em_loop(start, *bernoulli_mixture(x), tol=1e-6, max_iter=500)
    shares, found = run.parameters
    order = np.argsort(-shares)
    assert run.converged and len(run.log_likelihoods) == run.n_iter + 1
    assert (np.diff(run.log_likelihoods) >= -1e-9 * abs(run.log_likelihoods[0])).all()
    # five standard errors of a share in the smaller group
    assert_allclose(found[order], theta, atol=5 * 0.5 / np.sqrt(1200))
    assert_allclose(np.sort(shares), [0.3, 0.7], atol=0.05)


def test_the_loop_equals_a_plain_loop_over_exponential_laws():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.exponential(1.0, 300), rng.exponential(9.0, 200)])

    def e_step(p):
        joint = np.log(p[0]) + np.log(p[1]) - x[:, None] * p[1]
        total = np.logaddexp.reduce(joint, axis=1)
        return float(total.sum()), np.exp(joint - total[:, None])

    def m_step(p, r):
        return r.mean(0), r.sum(0) / (r.T @ x)

    run = em_loop((np.array([0.5, 0.5]), np.array([2.0, 0.05])), e_step, m_step, tol=0, max_iter=20)
    share, rate = [0.5, 0.5], [2.0, 0.05]
    for _ in range(20):
        density = np.array([[s * q * np.exp(-q * v) for s, q in zip(share, rate, strict=True)] for v in x])
        r = density / density.sum(1, keepdims=True)
        share, rate = r.mean(0), r.sum(0) / (r * x[:, None]).sum(0)
    assert_allclose(run.parameters[0], share, rtol=1e-12)  # sums in another order, and logs
    assert_allclose(run.parameters[1], rate, rtol=1e-12)
    assert not run.converged and run.n_iter == 20


def test_the_loop_says_when_steps_are_not_of_one_model():
    x = (np.random.default_rng(0).random((50, 3)) < 0.4).astype(float)
    e_step, m_step = bernoulli_mixture(x)
    start = (np.array([0.5, 0.5]), np.random.default_rng(1).uniform(0.2, 0.8, (2, 3)))

    def wrong(p, r):
        return m_step(p, r)[0], np.full((2, 3), 0.99)

    with pytest.raises(ValueError, match=r"the log-likelihood went from .* in step \d+: m_step must maximise"):
        em_loop(start, e_step, wrong)
    assert em_loop(start, e_step, wrong, fall=None, max_iter=3).n_iter <= 3
    with pytest.raises(ValueError, match="to nan in step 1"):
        em_loop(1.0, lambda p: (np.nan, None), lambda p, s: p)
    assert em_loop(start, e_step, m_step, max_iter=0).parameters is start
    assert em_loop(start, e_step, m_step, tol=np.inf).n_iter == 2
    with pytest.raises(ValueError, match="tol must be >= 0"):
        em_loop(start, e_step, m_step, tol=-1)
    with pytest.raises(ValueError, match="max_iter must be >= 0"):
        em_loop(start, e_step, m_step, max_iter=-1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NormalMixture([0.5, 0.6], [0, 1], [1, 1]), "weights must be .* sum to 1"),
        (lambda: NormalMixture([0.5, 0.5], [0, 1, 2], [1, 1, 1]), r"means must be finite and of shape \(2, d\)"),
        (lambda: NormalMixture([1.0], [0], [0]), r"covariances\[0\] must be positive definite"),
        (lambda: NormalMixture([1.0], [[0, 0]], [[[1, 0.5], [0, 1]]]), r"covariances\[0\] must be symmetric"),
        (lambda: NormalMixture([1.0], [[0, 0]], [np.eye(2)]).logpdf([1.0]), "2 columns on its last axis"),
        (lambda: NormalMixture([1.0], [[0, 0]], [np.eye(2)]).cdf([1.0, 1.0]), "one dimension only, this is of 2"),
        (lambda: NormalMixture.fit([1.0, 2.0], 3), r"n_components must be in \[1, n\]"),
        (lambda: expectation_maximisation([1.0], [[1.0]]), r"x must be finite and of shape \(n, d\)"),
        (lambda: expectation_maximisation([[1.0]], [[0.5]]), "sum to 1 in every row"),
        (lambda: expectation_maximisation([[1.0]], [[1.0, 0.0]]), "give component 1 no row"),
        (lambda: expectation_maximisation([[1.0]], [[1.0]], covariance_type="round"), "covariance_type must be one of"),
        (lambda: expectation_maximisation([[1.0]], [[1.0]], max_iter=0), "max_iter must be >= 1"),
        (lambda: expectation_maximisation([[1.0]], [[1.0]], weight=[0.0]), "positive sum"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
