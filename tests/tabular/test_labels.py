"""Class labels that no classifier can learn are refused with their row and the mend."""

from __future__ import annotations

import numpy as np
import pytest

from breadth.tabular import (
    SVC,
    AdaBoostClassifier,
    BaggingClassifier,
    DecisionTreeClassifier,
    GaussianNB,
    GradientBoostingClassifier,
    KNeighborsClassifier,
    LinearSVC,
    LogisticRegression,
    QuadraticDiscriminantAnalysis,
    RandomForestClassifier,
)
from breadth.tabular.labels import class_codes

CLASSIFIERS = [
    AdaBoostClassifier(n_estimators=2),
    BaggingClassifier(n_estimators=2),
    DecisionTreeClassifier(),
    GaussianNB(),
    GradientBoostingClassifier(max_iter=2),
    KNeighborsClassifier(),
    LogisticRegression(),
    RandomForestClassifier(n_estimators=2),
]
X = np.random.default_rng(0).normal(size=(20, 3))


@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda m: type(m).__name__)
def test_a_row_without_a_class_is_named(model):
    y = np.array(["a", "b", None, "a"] * 5, object)
    with pytest.raises(ValueError, match="y has no class in 5 of 20 rows, the first of them row 2; drop these rows"):
        model.fit(X, y)


@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda m: type(m).__name__)
def test_labels_of_mixed_types_are_refused(model):
    with pytest.raises(ValueError, match="types int, str; make them all strings or all numbers"):
        model.fit(X, np.array(["a", 1] * 10, object))


def test_codes_number_the_sorted_classes():
    classes, codes = class_codes(np.array(["b", "a", "c", "a"]))
    assert classes.tolist() == ["a", "b", "c"]
    assert codes.tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize("model", [SVC(), LinearSVC(), QuadraticDiscriminantAnalysis()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(("label", "shown"), [(0, "0"), ("a", "'a'"), (True, "True")])
def test_a_label_is_shown_as_it_was_written(model, label, shown):
    with pytest.raises(ValueError, match=f"got only one class: {shown}$"):
        model.fit(X, np.full(20, label))
