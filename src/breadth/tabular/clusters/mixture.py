"""Gaussian mixtures as an estimator: rows drawn from one of k normal laws, which of them unknown."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.blas import one_thread, threads_for
from breadth.stats.em import em_loop
from breadth.stats.em_gaussian import (
    CovarianceType,
    MixtureParameters,
    MixtureSteps,
    cholesky_factors,
    component_log_densities,
    segments,
)
from breadth.tabular.clusters.kmeans import KMeans
from breadth.tabular.clusters.kmeans_start import draw_seeds
from breadth.tabular.clusters.mixture_start import checked_settings, given_covariances

InitParams = Literal["kmeans", "k-means++", "random", "random_from_data"]


class GaussianMixture(DensityMixin, BaseEstimator):
    """p(x) = sum_k pi_k N(x; mu_k, C_k), fitted by expectation maximisation.

    An equal random_state starts from scikit-learn's responsibilities and takes its steps. Everything is the same to the
    bit for any number of threads.

    Args:
        n_components: k, in [1, rows].
        covariance_type: "full", "tied" (one C for all), "diag" or "spherical" (C_k = s_k^2 I).
        tol: gain in mean log-likelihood below which the step that follows is the last, >= 0.
        reg_covar: added to every variance, in units of x^2, >= 0.
        max_iter: steps at most, >= 0.
        n_init: starts, >= 1, of which that with the greatest likelihood stays.
        init_params: responsibilities to start from: 0 and 1 by "kmeans"; 1 for the k rows of "k-means++" or of
            "random_from_data" alone; or "random".
        weights_init: pi to start from, shape (k,), sum 1; None takes that of the responsibilities, like the next two.
        means_init: mu, shape (k, features).
        precisions_init: inverses of covariances, in the shape of `precisions_`.
        random_state: None, an integer or a RandomState; of starts, and of `sample`.
        warm_start: go on from the last fit where there is one.
        verbose, verbose_interval: not read; present so that calls written for scikit-learn run.
        n_jobs: threads, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        weights_: pi, shape (k,).
        means_: mu, shape (k, features).
        covariances_: "full" (k, features, features), "tied" (features, features), "diag" (k, features), "spherical"
            (k,).
        precisions_: inverses of covariances_, of their shape.
        precisions_cholesky_: U with U U' = precision, of their shape.
        converged_: whether a gain fell below tol.
        n_iter_: steps of the start that stayed.
        lower_bound_: mean log-likelihood before its last step.
        lower_bounds_: before each of them.

    Raises:
        ValueError: if X is sparse, holds NaN or infinity, or has fewer than k rows; a parameter is not among those
            above; or a covariance is singular, where the message says what to do.

    Cost: a step takes about 4 n k p^2 operations as matrix products (diag, spherical: 6 n k p); memory one copy of X
        and some MB a thread.
    Deviations:
        1. Computes in float64 whatever the input, on standardised columns, from deviations about the means: far from
           the origin scikit-learn loses the digits.
        2. Rows may have weights. A component that no row is likely under keeps its law with weight 0 and is named in a
           warning; scikit-learn moves it to the origin.
        3. A "tied" covariance of k rows alone, as "k-means++" and "random_from_data" start, is that of those rows;
            scikit-learn takes the scatter of all rows, divided by k.
    References: Dempster, Laird & Rubin 1977, JRSS B 39(1); Bishop 2006, Pattern Recognition and Machine Learning, eq.
        9.23 to 9.28; Schwarz 1978, Annals of Statistics 6(2) (BIC); Akaike 1974, IEEE TAC 19(6) (AIC).
    Peer: sklearn.mixture.GaussianMixture from the same random_state, step for step, float64, 1e-8 (A).
    In production: use it for elongated or overlapping groups, for densities, and to choose k by BIC; standardise
        columns or lower reg_covar where variances are small. A few wild rows take a component each: outliers are not
        what it is robust to.
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitParams = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the mixture.

        Args:
            X: rows, shape (rows, features).
            y: ignored.
            sample_weight: >= 0, shape (rows,); None means 1.

        Returns:
            The fitted estimator.
        """
        rows: Any = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        checked_settings(self, len(rows), get_args(CovarianceType), get_args(InitParams))
        weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        total = float(weight.sum())
        random = check_random_state(self.random_state)
        n_threads = threads_for(self.n_jobs)
        goes_on = self.warm_start and hasattr(self, "converged_")
        before = self.lower_bound_ * total if goes_on else -np.inf
        best = None
        with one_thread(), _threads(n_threads) as pool:
            steps = MixtureSteps(
                rows,
                weight,
                self.covariance_type,
                min_variance=0.0,
                reg_covar=self.reg_covar,
                spread=map if pool is None else pool.map,
            )
            for _ in range(1 if goes_on else self.n_init):
                start = self._last(steps) if goes_on else self._start(steps, rows, weight, random, n_threads)
                run = em_loop(
                    start,
                    steps.e_step,
                    steps.m_step,
                    tol=self.tol * total,
                    max_iter=self.max_iter,
                    fall=None,  # what reg_covar adds is no maximum
                    before=before,
                )
                if best is None or _bound(run.log_likelihoods) > _bound(best.log_likelihoods):
                    best = run
        assert best is not None
        means, covariances = steps.in_units(best.parameters)
        self._keep(best.parameters.weights, means, covariances)
        self.converged_, self.n_iter_ = best.converged, best.n_iter
        self.lower_bound_ = _bound(best.log_likelihoods) / total if self.max_iter else -np.inf
        self.lower_bounds_ = list(best.log_likelihoods[:-1] / total)
        self._say_what_is_wrong()
        return self

    def _say_what_is_wrong(self) -> None:
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(
                f"the likelihood still rose by more than tol = {self.tol} after max_iter = {self.max_iter} steps: "
                "raise max_iter or tol, or take fewer components",
                ConvergenceWarning,
                stacklevel=3,
            )
        empty = np.flatnonzero(self.weights_ == 0)
        if len(empty):
            warnings.warn(
                f"no row is likely under component{'s' * (len(empty) > 1)} {', '.join(map(str, empty))}: take fewer "
                "components, or another start",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _start(
        self, steps: MixtureSteps, rows: NDArray, weight: NDArray, random: np.random.RandomState, n_threads: int
    ) -> MixtureParameters:
        """Of the responsibilities that init_params draws, and what is given instead of their moments."""
        weights, means = self.weights_init, self.means_init
        covariances = given_covariances(self.precisions_init, self.covariance_type, self.n_components)
        if weights is None or means is None or covariances is None:
            drawn = steps.start(self._responsibilities(rows, weight, random, n_threads))
            drawn_means, drawn_covariances = steps.in_units(drawn)
            if weights is None and means is None and covariances is None:
                return drawn
            weights = drawn.weights if weights is None else weights
            means = drawn_means if means is None else means
            covariances = drawn_covariances if covariances is None else covariances
        return steps.given(
            np.asarray(weights, np.float64),
            np.asarray(means, np.float64),
            _by_component(covariances, self.covariance_type, self.n_components, rows.shape[1]),
        )

    def _responsibilities(
        self, rows: NDArray, weight: NDArray, random: np.random.RandomState, n_threads: int
    ) -> NDArray:
        n, k = len(rows), self.n_components
        if self.init_params == "random":
            r = random.uniform(size=(n, k))
            return r / r.sum(axis=1, keepdims=True)
        r = np.zeros((n, k))
        if self.init_params == "kmeans":
            model = KMeans(k, n_init=1, random_state=random, n_jobs=n_threads)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # fewer groups than k are an error just below
                labels = model.fit(rows, sample_weight=weight).labels_
            found = len(np.unique(labels))
            if found < k:
                raise ValueError(
                    f"k-means finds {found} of n_components = {k} groups to start from, as rows are duplicates: take "
                    f"n_components <= {found}, or init_params='random'"
                )
            r[np.arange(n), labels] = 1
        elif self.init_params == "k-means++":
            r[draw_seeds(rows, weight, k, "k-means++", random), np.arange(k)] = 1
        else:
            r[random.choice(n, size=k, replace=False), np.arange(k)] = 1
        return r

    def _last(self, steps: MixtureSteps) -> MixtureParameters:
        """Where the last fit stopped."""
        k, p = self.means_.shape
        return steps.given(self.weights_, self.means_, _by_component(self.covariances_, self.covariance_type, k, p))

    def _keep(self, weights: NDArray, means: NDArray, covariances: NDArray) -> None:
        self.weights_, self.means_ = weights, means
        if covariances.ndim == 2:
            self.covariances_ = covariances if self.covariance_type == "diag" else covariances[:, 0].copy()
            self.precisions_cholesky_ = 1 / np.sqrt(self.covariances_)
            self.precisions_ = self.precisions_cholesky_**2
            return
        inverse = np.linalg.inv(cholesky_factors(covariances)).transpose(0, 2, 1)
        tied = self.covariance_type == "tied"
        self.covariances_ = covariances[0].copy() if tied else covariances
        self.precisions_cholesky_ = inverse[0].copy() if tied else inverse
        self.precisions_ = self.precisions_cholesky_ @ np.swapaxes(self.precisions_cholesky_, -1, -2)

    def _joint(self, X: ArrayLike) -> NDArray[np.float64]:
        """log pi_k + log N(x_i; mu_k, C_k), shape (rows, k)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=np.float64, reset=False)
        k, p = self.means_.shape
        factors = _by_component(self.covariances_, self.covariance_type, k, p)
        factors = np.sqrt(factors) if factors.ndim == 2 else cholesky_factors(factors)
        out = np.empty((len(rows), k))

        def part(where: slice) -> None:
            out[where] = component_log_densities(rows[where], self.means_, factors)

        with one_thread(), _threads(threads_for(self.n_jobs)) as pool:
            list((map if pool is None else pool.map)(part, segments(len(rows))))
        with np.errstate(divide="ignore"):
            out += np.log(self.weights_)
        return out

    def fit_predict(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> NDArray[np.int64]:
        """`fit`, and then `predict` of the same rows."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Most probable component of each row, of equally probable ones the first, shape (rows,)."""
        return self._joint(X).argmax(axis=1)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """P(component | x), shape (rows, k)."""
        joint = self._joint(X)
        joint -= logsumexp(joint, axis=1, keepdims=True)
        with np.errstate(under="ignore"):
            return np.exp(joint)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """log p(x) of each row, shape (rows,)."""
        return np.asarray(logsumexp(self._joint(X), axis=1))

    def score(self, X: ArrayLike, y: None = None) -> float:
        """Mean of log p(x)."""
        return float(self.score_samples(X).mean())

    def bic(self, X: ArrayLike) -> float:
        """-2 log p(X) + parameters log n: the least of several models is the most probable, for large n."""
        logs = self.score_samples(X)
        return float(-2 * logs.sum() + self.n_parameters() * np.log(len(logs)))

    def aic(self, X: ArrayLike) -> float:
        """-2 log p(X) + 2 parameters: the least of several models predicts best, for large n."""
        return float(-2 * self.score_samples(X).sum() + 2 * self.n_parameters())

    def n_parameters(self) -> int:
        """Free parameters of the fitted mixture, whatever the number of rows."""
        check_is_fitted(self)
        k, p = self.means_.shape
        of_covariance = {"full": k * p * (p + 1) // 2, "tied": p * (p + 1) // 2, "diag": k * p, "spherical": k}
        return k * p + k - 1 + of_covariance[self.covariance_type]

    def sample(self, n_samples: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Rows drawn from the mixture, by component, shape (n_samples, features), and their components."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples}")
        random = check_random_state(self.random_state)
        k, p = self.means_.shape
        counts = random.multinomial(n_samples, self.weights_)
        covariances = _by_component(self.covariances_, self.covariance_type, k, p)
        rows = []
        for mean, covariance, count in zip(self.means_, covariances, counts, strict=True):
            if covariance.ndim == 2:
                rows.append(random.multivariate_normal(mean, covariance, int(count)))
            else:
                rows.append(mean + random.standard_normal(size=(count, p)) * np.sqrt(covariance))
        return np.vstack(rows), np.repeat(np.arange(k), counts)


def _threads(n: int) -> Any:
    return ThreadPoolExecutor(n) if n > 1 else nullcontext()


def _bound(log_likelihoods: NDArray) -> float:
    """Log-likelihood before the last step, or of the start where there was none."""
    return float(log_likelihoods[-2] if len(log_likelihoods) > 1 else log_likelihoods[-1])


def _by_component(covariances: NDArray, kind: CovarianceType, k: int, p: int) -> NDArray[np.float64]:
    """Covariances (k, p, p), or variances (k, p) where they are diagonal, of any type."""
    c = np.asarray(covariances, dtype=np.float64)
    if kind == "tied" and c.ndim == 2:
        return np.repeat(c[None], k, axis=0)
    if kind == "spherical" and c.ndim == 1:
        return np.repeat(c[:, None], p, axis=1)
    return c
