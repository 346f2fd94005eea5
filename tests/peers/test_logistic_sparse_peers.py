"""LogisticRegression with an absolute penalty beside scikit-learn's (saga), in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model as peer
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.preprocessing import scale

from breadth.tabular.linear.logistic import LogisticRegression

EQUAL = 1e-6  # saga's gradients at tol 1e-10 over curvatures of 1e-3 and more


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
def test_absolute_penalties(load, share, form):
    X, y = load(return_X_y=True)
    X = form(scale(X))
    ours = LogisticRegression("elasticnet", l1_ratio=share, C=0.1, tol=1e-11, max_iter=1000).fit(X, y)
    theirs = peer.LogisticRegression(l1_ratio=share, C=0.1, solver="saga", tol=1e-10, max_iter=100_000).fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, atol=EQUAL)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=EQUAL)
    assert ((ours.coef_ != 0) == (theirs.coef_ != 0)).all()
