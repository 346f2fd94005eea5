"""Self-training and spreading labels beside scikit-learn's: the same labels in the same rounds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import semi_supervised
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from breadth.tabular.weak_supervision.label_propagation import LabelPropagation, LabelSpreading
from breadth.tabular.weak_supervision.self_training import SelfTrainingClassifier


def data(columns: int, classes: int = 3, mean: float = 0.0):
    rng = np.random.default_rng(columns)
    truth = rng.integers(classes, size=400)
    X = rng.normal(size=(400, columns)) / 2 + truth[:, None] * np.eye(columns)[0]
    return X + mean, np.where(rng.random(400) < 0.15, truth, -1)


@pytest.mark.parametrize("estimator", [LogisticRegression(), GaussianNB()])
@pytest.mark.parametrize(
    "options", [{}, {"threshold": 0.95}, {"criterion": "k_best", "k_best": 13}, {"max_iter": None, "threshold": 0.5}]
)
def test_self_training(estimator, options):
    X, y = data(3, mean=100.0)
    ours = SelfTrainingClassifier(estimator, **options).fit(X, y)
    theirs = semi_supervised.SelfTrainingClassifier(estimator, **options).fit(X, y)
    assert_array_equal(ours.transduction_, theirs.transduction_)
    assert_array_equal(ours.labeled_iter_, theirs.labeled_iter_)
    assert (ours.n_iter_, ours.termination_condition_) == (theirs.n_iter_, theirs.termination_condition_)
    # rows join in the same order, so that the last fit is of the same arrays
    assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))


@pytest.mark.parametrize("columns", [2, 20])
@pytest.mark.parametrize("kernel", ["rbf", "knn"])
@pytest.mark.parametrize("name", ["LabelPropagation", "LabelSpreading"])
@pytest.mark.filterwarnings("ignore:max_iter")
def test_spreading(name, kernel, columns):
    X, y = data(columns)
    options = {"kernel": kernel, "gamma": 5, "tol": 1e-6, "max_iter": 300}
    ours = {"LabelPropagation": LabelPropagation, "LabelSpreading": LabelSpreading}[name](**options).fit(X, y)
    theirs = getattr(semi_supervised, name)(**options).fit(X, y)
    assert_allclose(ours.label_distributions_, theirs.label_distributions_, atol=1e-9)  # sums in another order
    assert_array_equal(ours.transduction_, theirs.transduction_)
    assert ours.n_iter_ == theirs.n_iter_
    fresh = data(columns)[0][::-1] + 0.01
    assert_allclose(ours.predict_proba(fresh), theirs.predict_proba(fresh), atol=1e-9)
