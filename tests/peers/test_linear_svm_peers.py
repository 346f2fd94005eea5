"""LinearSVC beside scikit-learn's liblinear, in float64."""

import numpy as np
import pytest
import sklearn.svm
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import scale

from breadth.tabular.kernels.linear_svm import LinearSVC


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dual": True},
        {"loss": "hinge", "C": 0.1},
        {"class_weight": "balanced", "intercept_scaling": 3.0},
        {"fit_intercept": False, "C": 10.0},
    ],
)
def test_planes_equal_liblinears(settings, load):
    X, y = load(return_X_y=True)
    X, weight = scale(X), np.random.default_rng(0).uniform(0.5, 2, size=len(y))
    exact = {"tol": 1e-9, "max_iter": 200_000, "random_state": 0}
    ours, peer = (
        make(**settings, **exact).fit(X, y, sample_weight=weight) for make in (LinearSVC, sklearn.svm.LinearSVC)
    )
    # tol bounds gradients; planes differ by as much times the conditioning
    assert_allclose(ours.coef_, peer.coef_, atol=1e-5)
    assert_allclose(ours.intercept_, peer.intercept_, atol=1e-5)
    assert_allclose(ours.decision_function(X), peer.decision_function(X), atol=1e-4)
