"""Classification by a Gaussian process, with Laplace's approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, ndtr
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.gaussian_process.kernels import CompoundKernel, Kernel
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.blas import one_thread
from breadth.tabular.kernels.gaussian_process import FEW_ROWS, _kinds, default_kernel
from breadth.tabular.kernels.marginal_likelihood import Optimizer, choose_hyperparameters
from breadth.tabular.labels import class_codes, shown

_ENOUGH = 1e-10  # rise of the objective below which Newton's method has ended
_WIDE = 2.0  # standard deviation of the latent value from which the other form of the integral is exact


class GaussianProcessClassifier(ClassifierMixin, BaseEstimator):
    """P(y = 1 | x) = E sigmoid(f(x)), f ~ GP(0, k) given the labels; more classes are each set against the rest.

    The posterior of f at the training rows is taken for a Gaussian around its mode, and the kernel's hyperparameters
    for those of greatest approximate marginal likelihood.

    Args:
        kernel: an object of sklearn.gaussian_process.kernels, whose bounds say what is fitted; None is a fixed
            ConstantKernel(1) * RBF(1).
        optimizer: "fmin_l_bfgs_b"; a function (objective, theta, bounds) -> (theta, value); None keeps the kernel.
        n_restarts_optimizer: further starts, uniform between the bounds of the logarithms, >= 0.
        max_iter_predict: greatest number of Newton steps to the mode, >= 1.
        warm_start: start each search of the mode from the last one's.
        copy_X_train: keep a copy of the training rows.
        random_state: draws the restarts.
        multi_class: "one_vs_rest".
        n_jobs: not read; BLAS's threads are those it has been granted.

    Attributes:
        classes_: sorted labels, shape (classes,).
        n_classes_: how many.
        kernel_: the fitted kernel; a CompoundKernel of one for each class where there are more than two.
        log_marginal_likelihood_value_: at its hyperparameters; the mean over classes where there are more than two.

    Raises:
        ValueError: if X holds NaN or infinity, y has one class, or a parameter is out of its range.

    Warns:
        ConvergenceWarning: if L-BFGS stops early, or a hyperparameter ends at a bound.

    Cost: 5 to 15 Newton steps of n^3 / 3 for each evaluation, n^3 and h n^2 for its gradient by h hyperparameters;
        h n^2 memory; all of it for each of more than two classes.

    Deviations:
        1. E sigmoid(f) is integrated to 1e-9; scikit-learn takes five error functions, right to about 1e-4.
        2. Restarts are uniform between the bounds of the logarithms; scikit-learn 1.9 takes exponentials of those.
        3. multi_class "one_vs_one" is absent, and so is the attribute base_estimator_.

    References: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, algorithms 3.1 (mode), 3.2
        (prediction; its line 7 is eq. 3.25) and 5.1 (gradient); Williams & Barber 1998, IEEE PAMI 20(12).
    Peer: sklearn.gaussian_process.GaussianProcessClassifier, float64: likelihood and gradient 1e-7, probabilities 1e-3;
        scipy.integrate.quad for E sigmoid(f), 1e-8 (A).
    In production: use it for up to a thousand rows where probabilities must be honest; LogisticRegression beyond.
    """

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        optimizer: Optimizer = "fmin_l_bfgs_b",
        n_restarts_optimizer: int = 0,
        max_iter_predict: int = 100,
        warm_start: bool = False,
        copy_X_train: bool = True,
        random_state: int | np.random.RandomState | None = None,
        multi_class: Literal["one_vs_rest"] = "one_vs_rest",
        n_jobs: int | None = None,
    ):
        self.kernel = kernel
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_iter_predict = max_iter_predict
        self.warm_start = warm_start
        self.copy_X_train = copy_X_train
        self.random_state = random_state
        self.multi_class = multi_class
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the kernel and find the mode.

        Args:
            X: features, shape (rows, features), or a sequence of objects where the kernel takes such.
            y: class labels, shape (rows,).

        Returns:
            The fitted estimator.
        """
        if self.multi_class != "one_vs_rest":
            raise ValueError(f"multi_class must be 'one_vs_rest', got {self.multi_class!r}")
        if self.max_iter_predict < 1:
            raise ValueError(f"max_iter_predict must be >= 1, got {self.max_iter_predict!r}")
        first = default_kernel() if self.kernel is None else self.kernel
        X, y = validate_data(self, X, y, **_kinds(first))
        self.classes_, codes = class_codes(y)
        self.n_classes_ = len(self.classes_)
        if self.n_classes_ < 2:
            raise ValueError(f"y must hold at least 2 classes, got only one class: {shown(self.classes_[0])}")
        self.X_train_ = np.copy(X) if self.copy_X_train else X
        random = check_random_state(self.random_state)
        self._parts = []
        with one_thread(when=len(codes) <= FEW_ROWS):
            for c in [1] if self.n_classes_ == 2 else range(self.n_classes_):
                part = _Binary(
                    clone(first), self.X_train_, (codes == c).astype(float), self.max_iter_predict, self.warm_start
                )
                if self.optimizer is not None and part.kernel.n_dims > 0:
                    part.value = choose_hyperparameters(
                        lambda theta, part=part: part.likelihood(theta, gradient=True),
                        part.kernel,
                        optimizer=self.optimizer,
                        n_restarts=self.n_restarts_optimizer,
                        random=random,
                    )
                part.settle()
                self._parts.append(part)
        one = len(self._parts) == 1
        self.kernel_ = self._parts[0].kernel if one else CompoundKernel([part.kernel for part in self._parts])
        self.log_marginal_likelihood_value_ = float(np.mean([part.value for part in self._parts]))
        return self

    def log_marginal_likelihood(
        self, theta: NDArray | None = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """log q(y | X, theta) of Laplace's approximation, with its gradient if eval_gradient.

        Args:
            theta: logarithms of the hyperparameters; None gives the value at the fitted ones. With more than two
                classes the mean is taken of all at this one theta, or at each its own where theta holds them all.
            eval_gradient: return the gradient too; with two classes alone.
            clone_kernel: leave kernel_ as it is, rather than set its theta.

        Raises:
            ValueError: if eval_gradient, and theta is None or there are more than two classes.
        """
        check_is_fitted(self)
        if theta is None:
            if eval_gradient:
                raise ValueError("a gradient needs a place: give theta, kernel_.theta for the fitted hyperparameters")
            return self.log_marginal_likelihood_value_
        if len(self._parts) == 1:
            return self._parts[0].likelihood(theta, gradient=eval_gradient, clone=clone_kernel)
        if eval_gradient:
            raise ValueError("with more than two classes there is no one gradient: ask with two classes")
        size = self._parts[0].kernel.n_dims
        pieces = [theta] * len(self._parts) if len(theta) == size else np.split(np.asarray(theta), len(self._parts))
        return float(np.mean([p.likelihood(t, clone=clone_kernel) for p, t in zip(self._parts, pieces, strict=True)]))

    def _rows(self, X: ArrayLike) -> Any:
        check_is_fitted(self)
        return validate_data(self, X, reset=False, **_kinds(self._parts[0].kernel))

    def latent_mean_and_variance(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance of f at rows X, each (rows,), or (rows, classes) with more than two classes."""
        rows = self._rows(X)
        found = [part.latent(rows) for part in self._parts]
        mean, variance = (np.column_stack(list(values)) for values in zip(*found, strict=True))
        return (mean[:, 0], variance[:, 0]) if len(self._parts) == 1 else (mean, variance)

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable label of each row; of equally probable ones the first in classes_."""
        if len(self._parts_or_raise()) == 1:
            rows = self._rows(X)
            return self.classes_[(self._parts[0].mean(rows) > 0).astype(int)]
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _parts_or_raise(self) -> list[_Binary]:
        check_is_fitted(self)
        return self._parts

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, shape (rows, classes), in the order of classes_."""
        rows = self._rows(X)
        own = np.column_stack([expected_sigmoid(*part.latent(rows)) for part in self._parts])
        if own.shape[1] == 1:
            return np.column_stack([1 - own, own])
        return own / own.sum(axis=1, keepdims=True)


@dataclass
class _Binary:
    """One class (t = 1) against the rest (t = 0)."""

    kernel: Any
    X: Any
    t: NDArray[np.float64]
    max_iter: int
    warm_start: bool
    value: float = -np.inf
    f: NDArray[np.float64] | None = None

    def mode(self, K: NDArray[np.float64]) -> tuple:
        """Algorithm 3.1: likelihood, p = sigmoid(f), W^1/2, the Cholesky factor of I + W^1/2 K W^1/2, and K^-1 f."""
        f = self.f if self.warm_start and self.f is not None else np.zeros(len(K))
        value = -np.inf
        for _ in range(self.max_iter):
            p = expit(f)
            W = p * (1 - p)
            root = np.sqrt(W)
            B = root[:, None] * K * root
            B[np.diag_indices_from(B)] += 1.0
            L = scipy.linalg.cholesky(B, lower=True, overwrite_a=True, check_finite=False)
            b = W * f + (self.t - p)
            a = b - root * scipy.linalg.cho_solve((L, True), root * (K @ b), check_finite=False)
            f = K @ a
            new = -0.5 * float(a @ f) + float(log_expit((2 * self.t - 1) * f).sum()) - float(np.log(L.diagonal()).sum())
            if new - value < _ENOUGH:
                break
            value = new
        self.f = f
        return new, p, root, L, a

    def likelihood(self, theta: NDArray, gradient: bool = False, clone: bool = False) -> Any:
        """Log of the approximate marginal likelihood, and its gradient (algorithm 5.1)."""
        kernel = self.kernel.clone_with_theta(theta) if clone else self.kernel
        kernel.theta = theta
        if not gradient:
            return self.mode(kernel(self.X))[0]
        K, slope = kernel(self.X, eval_gradient=True)
        value, p, root, L, a = self.mode(K)
        n = len(K)
        inverse, _ = scipy.linalg.lapack.dpotri(L, lower=1)
        lower = np.tril(inverse, -1)
        R = lower + lower.T
        R[np.diag_indices(n)] = inverse.diagonal()
        R *= root
        R *= root[:, None]
        C = scipy.linalg.solve_triangular(L, root[:, None] * K, lower=True, check_finite=False)
        # derivative of the log-determinant by the mode: the likelihood's third derivative times the variance
        s2 = -0.5 * (K.diagonal() - np.einsum("ij,ij->j", C, C)) * (p * (1 - p) * (1 - 2 * p))
        inner = np.multiply.outer(a, a)
        inner -= R
        s1 = 0.5 * (inner.ravel() @ slope.reshape(n * n, -1))  # (h,)
        b = np.einsum("ijh,j->ih", slope, self.t - p)  # (n, h)
        return value, s1 + s2 @ (b - K @ (R @ b))

    def settle(self) -> None:
        """Keep what predictions need at the kernel's hyperparameters."""
        self.value, self.p, self.root, self.L, _ = self.mode(self.kernel(self.X))

    def mean(self, rows: Any) -> NDArray[np.float64]:
        return self.kernel(rows, self.X) @ (self.t - self.p)

    def latent(self, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Algorithm 3.2, lines 4 to 6."""
        cross = self.kernel(self.X, rows)  # (n, m)
        v = scipy.linalg.solve_triangular(self.L, self.root[:, None] * cross, lower=True, check_finite=False)
        variance = self.kernel.diag(rows) - np.einsum("ij,ij->j", v, v)
        return cross.T @ (self.t - self.p), np.maximum(variance, 0.0)


def expected_sigmoid(mean: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """E sigmoid(f) for f ~ N(mean, variance), error below 1e-9.

    By the trapezoidal rule, which converges geometrically for functions that are analytic in a strip: over f's normal
    density where f varies little, else over the logistic density u of P(f + u > 0).
    """
    sd = np.sqrt(variance)
    out = np.empty_like(mean)
    narrow = sd <= _WIDE
    z = np.linspace(-8.0, 8.0, 129)
    weight = np.exp(-0.5 * z * z)
    out[narrow] = expit(mean[narrow, None] + sd[narrow, None] * z) @ (weight / weight.sum())
    u = np.linspace(-40.0, 40.0, 321)
    weight = expit(u) * expit(-u)
    out[~narrow] = ndtr((mean[~narrow, None] + u) / sd[~narrow, None]) @ (weight / weight.sum())
    return out
