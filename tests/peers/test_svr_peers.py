"""SVR beside scikit-learn's libsvm, in float64."""

import numpy as np
import pytest
import sklearn.svm
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from breadth.tabular.kernels.svr import SVR


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"kernel": "linear"}, {"kernel": "poly", "degree": 2, "coef0": 1.0, "C": 0.1}, {"C": 10.0, "epsilon": 0.5}],
)
def test_regressions_equal_libsvms(settings, weighted):
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    weight = np.random.default_rng(0).uniform(0.2, 2, len(y)) if weighted else None
    ours, peer = (make(**settings, tol=1e-8).fit(X, y, weight) for make in (SVR, sklearn.svm.SVR))
    # both keep kernel values in float32, rounded from sums in another order
    assert_allclose(ours.predict(X), peer.predict(X), atol=1e-5)
    assert_allclose(ours.intercept_, peer.intercept_, atol=1e-5)
    assert np.mean(np.isin(ours.support_, peer.support_)) > 0.99
    if settings.get("kernel") == "linear":
        assert_allclose(ours.coef_, peer.coef_, atol=1e-5)
