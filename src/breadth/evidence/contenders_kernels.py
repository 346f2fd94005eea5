"""Contenders of the comparison of kernels: one machine with several kernels, and several machines with one kernel."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Self

from numpy.typing import NDArray
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, ClassifierMixin

from breadth.evidence.contenders import encoded
from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem


def _svm(peer: bool, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """Probabilities are Platt's, by 5-fold cross-validation inside the training rows, for both."""
    if peer:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.svm import SVC

        return encoded(CalibratedClassifierCV(SVC(**settings), ensemble=False), problem)
    from breadth.tabular import SVC

    return Quiet(encoded(SVC(**settings, probability=True, random_state=seed), problem))


class Quiet(ClassifierMixin, BaseEstimator):
    """A classifier whose kernel is known not to be one: whether that matters is what is asked."""

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def fit(self, X: NDArray, y: NDArray) -> Self:
        from breadth.tabular import IndefiniteKernelWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IndefiniteKernelWarning)
            self.estimator_ = self.estimator.fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: NDArray) -> NDArray:
        return self.estimator_.predict(X)

    def predict_proba(self, X: NDArray) -> NDArray:
        return self.estimator_.predict_proba(X)


def _ridge(peer: bool, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """The target's mean is taken off: kernel ridge regression has no intercept."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    if peer:
        from sklearn.kernel_ridge import KernelRidge
    else:
        from breadth.tabular import KernelRidge
    return TransformedTargetRegressor(encoded(KernelRidge(**settings), problem), transformer=StandardScaler())


def _process(peer: bool, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """An RBF kernel whose height and width, and noise where the target is a number, are fitted."""
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    if peer:
        from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
    else:
        from breadth.tabular import GaussianProcessClassifier, GaussianProcessRegressor
    kernel = ConstantKernel(1.0) * RBF(settings["width"])
    how: dict[str, Any] = {"optimizer": "fmin_l_bfgs_b" if settings["fitted"] else None, "random_state": seed}
    if problem.family == "regression":
        model: Any = GaussianProcessRegressor(kernel + WhiteKernel(0.5), normalize_y=True, **how)
    else:
        model = GaussianProcessClassifier(kernel, **how)
    return encoded(model, problem)


ROOMS = ("tabular", "evidence/contenders_kernels.py")
CS, GAMMAS, ALPHAS = loguniform(1e-2, 1e3), loguniform(1e-4, 1.0), loguniform(1e-3, 1e2)
_KERNELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # settings, and what --tune may change
    "linear": ({}, {}),
    "quadratic": ({"kernel": "poly", "degree": 2, "coef0": 1.0}, {"gamma": GAMMAS}),
    "cubic": ({"kernel": "poly", "degree": 3, "coef0": 1.0}, {"gamma": GAMMAS}),
    "RBF": ({}, {"gamma": GAMMAS}),
    "sigmoid": ({"coef0": -1.0}, {"gamma": GAMMAS}),  # coef0 < 0: nearest to a kernel
}


def _entry(make: Any, what: str, kernel: str, base: dict, space: dict, peer: bool, cost: float) -> Entry:
    settings, more = _KERNELS[kernel]
    return Entry(
        f"{'scikit-learn' if peer else 'breadth'} {kernel} {what}",
        "scikit-learn" if peer else "breadth",
        partial(make, peer),
        {"kernel": kernel.lower(), **settings, **base},
        {**space, **more},
        cost=cost,
        rooms=ROOMS[1:] if peer else ROOMS,
    )


SVMS = {
    (kernel, peer): _entry(_svm, "SVM", kernel, {"C": 1.0}, {"C": CS}, peer, 3000.0)
    for kernel in _KERNELS
    for peer in (False, True)
}
RIDGES = {
    (kernel, peer): _entry(_ridge, "ridge", kernel, {"alpha": 1.0}, {"alpha": ALPHAS}, peer, 1500.0)
    for kernel in _KERNELS
    if kernel != "sigmoid"  # K + alpha I need not be positive definite
    for peer in (False, True)
}
PROCESSES = {
    peer: Entry(
        f"{'scikit-learn' if peer else 'breadth'} Gaussian process",
        "scikit-learn" if peer else "breadth",
        partial(_process, peer),
        {"width": 3.0, "fitted": True},
        {"width": loguniform(0.3, 30.0)},
        cost=100_000.0,
        rooms=ROOMS[1:] if peer else ROOMS,
    )
    for peer in (False, True)
}
