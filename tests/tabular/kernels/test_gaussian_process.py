"""Gaussian processes: gradients, error bars, restarts, priors, degenerate rows and bad input."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.special import expit
from scipy.stats import norm
from sklearn.datasets import load_iris
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern, WhiteKernel
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.kernels.gaussian_process import GaussianProcessRegressor
from breadth.tabular.kernels.gaussian_process_classifier import GaussianProcessClassifier, expected_sigmoid


@parametrize_with_checks([GaussianProcessRegressor(), GaussianProcessClassifier()])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def waves(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, size=(n, 2))
    return X, np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=n)


def kernel():
    return ConstantKernel(1.0) * RBF([1.0, 1.0]) + WhiteKernel(0.1)


def test_posterior_is_that_of_a_joint_gaussian():
    X, y = waves(20)
    k = 2.0 * RBF(0.7)
    model = GaussianProcessRegressor(k, alpha=0.3, optimizer=None).fit(X[:15], y[:15])
    joint = k(X)
    joint[:15, :15] += 0.3 * np.eye(15)
    gain = joint[15:, :15] @ np.linalg.inv(joint[:15, :15])
    mean, covariance = model.predict(X[15:], return_cov=True)
    assert_allclose(mean, gain @ y[:15], rtol=1e-10)
    assert_allclose(covariance, joint[15:, 15:] - gain @ joint[:15, 15:], atol=1e-12)
    assert_allclose(model.predict(X[15:], return_std=True)[1] ** 2, np.diag(covariance), rtol=1e-9)
    # the likelihood is the density of the targets
    from scipy.stats import multivariate_normal

    density = multivariate_normal(np.zeros(15), joint[:15, :15]).logpdf(y[:15])
    assert_allclose(model.log_marginal_likelihood_value_, density, rtol=1e-10)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_gradient_of_the_regressions_likelihood_is_its_slope(n_targets):
    X, y = waves()
    y = y if n_targets == 1 else np.column_stack([y, y**2])
    model = GaussianProcessRegressor(kernel(), optimizer=None).fit(X, y)
    theta = np.array([0.3, -0.4, 0.5, -1.5])
    _, slope = model.log_marginal_likelihood(theta, eval_gradient=True)
    numeric = approx_fprime(theta, model.log_marginal_likelihood, 1e-6)
    assert_allclose(slope, numeric, rtol=1e-3, atol=1e-3)  # of a difference quotient


def test_gradient_of_the_classifiers_likelihood_is_its_slope():
    X, y = waves()
    model = GaussianProcessClassifier(ConstantKernel(1.0) * RBF([1.0, 1.0]), optimizer=None).fit(X, y > 0)
    theta = np.array([1.0, -0.3, 0.4])
    _, slope = model.log_marginal_likelihood(theta, eval_gradient=True)
    assert_allclose(slope, approx_fprime(theta, model.log_marginal_likelihood, 1e-6), rtol=1e-3, atol=1e-4)


def test_the_fitted_kernel_finds_the_noise_and_the_feature_that_matters():
    X, y = waves(150)
    model = GaussianProcessRegressor(kernel(), n_restarts_optimizer=2, random_state=0).fit(X, y)
    noise = model.kernel_.k2.noise_level
    assert 0.005 < noise < 0.02  # of variance 0.01
    lengths = model.kernel_.k1.k2.length_scale
    assert lengths[1] > 10 * lengths[0]
    start = GaussianProcessRegressor(kernel(), optimizer=None).fit(X, y)
    assert model.log_marginal_likelihood_value_ > start.log_marginal_likelihood_value_ + 10


def test_nine_in_ten_targets_lie_within_the_error_bars_that_say_so():
    X, y = waves(300)
    model = GaussianProcessRegressor(kernel()).fit(X[:150], y[:150])
    mean, sd = model.predict(X[150:], return_std=True)
    share = np.mean(np.abs(y[150:] - mean) < norm.ppf(0.95) * sd)  # WhiteKernel is in the bars
    assert 0.83 < share < 0.96  # 90 % of 150, three standard errors


def test_targets_of_mean_1e4_want_normalising_and_rows_of_mean_1e4_nothing():
    X, y = waves()
    near = GaussianProcessRegressor(RBF(), alpha=0.1, normalize_y=True).fit(X, y)
    far = GaussianProcessRegressor(RBF(), alpha=0.1, normalize_y=True).fit(X + 1e4, 1e4 + y)
    assert_allclose(far.predict(X + 1e4) - 1e4, near.predict(X), atol=1e-6)
    assert_allclose(*(m.predict(Z, return_std=True)[1] for m, Z in ((far, X + 1e4), (near, X))), rtol=1e-6)
    flat = GaussianProcessRegressor(normalize_y=True).fit(X, np.full(60, 7.0))
    assert_allclose(flat.predict(X), 7.0)


def test_many_targets_share_the_kernel_and_have_their_own_means():
    X, y = waves()
    Y = np.column_stack([y, 10 * y + 3])
    both = GaussianProcessRegressor(RBF(), alpha=0.1, normalize_y=True, optimizer=None).fit(X, Y)
    mean, sd = both.predict(X, return_std=True)
    assert mean.shape == sd.shape == (60, 2)
    assert_allclose(mean[:, 1], 10 * mean[:, 0] + 3, rtol=1e-9)
    assert_allclose(sd[:, 1], 10 * sd[:, 0])
    assert both.predict(X[:5], return_cov=True)[1].shape == (5, 5, 2)
    assert both.sample_y(X[:5], 3).shape == (5, 2, 3)


def test_draws_have_the_posteriors_mean_and_spread():
    X, y = waves()
    model = GaussianProcessRegressor(RBF(), alpha=0.1).fit(X, y)
    Z = np.array([[0.0, 0.0], [5.0, 5.0]])
    draws = model.sample_y(Z, 4000)
    mean, sd = model.predict(Z, return_std=True)
    assert_allclose(draws.mean(axis=1), mean, atol=4 * sd.max() / 4000**0.5)
    assert_allclose(draws.std(axis=1), sd, rtol=0.05)


def test_before_fit_predictions_are_the_priors():
    X, _ = waves(5)
    model = GaussianProcessRegressor(4.0 * RBF(), n_targets=2)
    mean, sd = model.predict(X, return_std=True)
    assert_array_equal(mean, np.zeros((5, 2)))
    assert_array_equal(sd, np.full((5, 2), 2.0))
    assert_allclose(GaussianProcessRegressor().predict(X, return_cov=True)[1], RBF()(X))


def test_noise_of_each_row_is_heeded():
    X, y = np.array([[0.0], [0.0], [3.0]]), np.array([0.0, 1.0, 0.0])
    model = GaussianProcessRegressor(RBF(), alpha=np.array([1.0, 1e-6, 1.0]), optimizer=None).fit(X, y)
    assert_allclose(model.predict([[0.0]]), [1.0], atol=1e-4)


def test_equal_rows_with_different_targets_need_noise():
    X, y = np.zeros((3, 1)), np.array([0.0, 1.0, 2.0])
    with pytest.raises(np.linalg.LinAlgError, match="raise alpha"):
        GaussianProcessRegressor(RBF(), alpha=0.0, optimizer=None).fit(X, y)
    assert_allclose(GaussianProcessRegressor(RBF(), alpha=1.0, optimizer=None).fit(X, y).predict(X), 0.75)
    assert_allclose(GaussianProcessRegressor().fit([[1.0]], [2.0]).predict([[1.0]]), [2.0])


@pytest.mark.parametrize("mean", [-30.0, -2.0, 0.0, 1.5, 40.0])
@pytest.mark.parametrize("sd", [1e-8, 0.5, 1.99, 2.01, 10.0, 300.0])
def test_the_expected_sigmoid_is_the_integral(sd, mean):
    step = np.clip(-mean / sd, -10, 10)  # where the sigmoid rises
    truth, _ = quad(lambda z: expit(mean + sd * z) * norm.pdf(z), -10, 10, points=[step], limit=500, epsabs=1e-12)
    assert_allclose(expected_sigmoid(np.array([mean]), np.array([sd**2]))[0], truth, atol=1e-8)


def test_doubt_grows_with_the_distance_from_the_rows():
    X, y = waves()
    model = GaussianProcessClassifier(10.0 * RBF(1.0)).fit(X, y > 0)
    proba = model.predict_proba(np.array([[0.8, 0.0], [100.0, 100.0]]))[:, 1]
    assert proba[0] > 0.7
    assert_allclose(proba[1], 0.5, atol=1e-6)
    mean, variance = model.latent_mean_and_variance(X)
    assert mean.shape == variance.shape == (60,)
    assert_array_equal(model.predict(X), mean > 0)


def test_each_of_three_classes_has_its_kernel():
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    model = GaussianProcessClassifier(RBF(1.0)).fit(X[::2], names[::2])
    assert len(model.kernel_.kernels) == 3 and model.n_classes_ == 3
    proba = model.predict_proba(X)
    assert_allclose(proba.sum(axis=1), 1.0)
    assert model.score(X[1::2], names[1::2]) > 0.9
    assert np.isfinite(model.log_marginal_likelihood(model.kernel_.theta))
    with pytest.raises(ValueError, match="ask with two classes"):
        model.log_marginal_likelihood(model.kernel_.theta, eval_gradient=True)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), proba)


def test_separable_and_contradictory_rows_end():
    X = np.repeat([[0.0], [1.0]], 20, axis=0)
    y = np.repeat([0, 1], 20)
    assert np.isfinite(GaussianProcessClassifier(1e4 * RBF(0.1), optimizer=None).fit(X, y).predict_proba(X)).all()
    even = GaussianProcessClassifier().fit(X, np.tile([0, 1], 20)).predict_proba(X)
    assert_allclose(even, 0.5, atol=1e-9)


def test_a_function_may_choose_the_hyperparameters():
    X, y = waves()
    seen = []

    def middle(objective, theta, bounds):
        seen.append(objective(theta, eval_gradient=False))
        return bounds.mean(axis=1), objective(bounds.mean(axis=1))[0]

    k = RBF(1.0, (0.1, 10.0)) + WhiteKernel(1.0, (0.1, 10.0))
    model = GaussianProcessRegressor(k, optimizer=middle).fit(X, y)
    assert_allclose(model.kernel_.theta, 0.0, atol=1e-12)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (GaussianProcessRegressor(alpha=-1.0), "alpha must be >= 0"),
        (GaussianProcessRegressor(alpha=np.ones(3)), "one for each of the 60 rows"),
        (GaussianProcessRegressor(n_targets=2), "n_targets"),
        (GaussianProcessRegressor(RBF(), optimizer="newton"), "optimizer must be 'fmin_l_bfgs_b'"),
        (GaussianProcessRegressor(DotProduct(1.0, (1e-5, np.inf)), n_restarts_optimizer=1), "make all of them finite"),
        (GaussianProcessClassifier(multi_class="one_vs_one"), "multi_class must be"),
        (GaussianProcessClassifier(max_iter_predict=0), "max_iter_predict must be >= 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_bad_settings_are_told(model, words):
    X, y = waves()
    with pytest.raises(ValueError, match=words):
        model.fit(X, y if isinstance(model, GaussianProcessRegressor) else y > 0)


def test_misuse_is_told():
    X, y = waves()
    model = GaussianProcessRegressor(Matern()).fit(X, y)
    with pytest.raises(RuntimeError, match="At most one"):
        model.predict(X, return_std=True, return_cov=True)
    with pytest.raises(ValueError, match="a gradient needs a place"):
        model.log_marginal_likelihood(eval_gradient=True)
    with pytest.raises(ValueError, match="only one class"):
        GaussianProcessClassifier().fit(X, np.zeros(60))
