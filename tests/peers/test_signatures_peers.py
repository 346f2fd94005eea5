"""What a call written for scikit-learn gives, breadth takes: parameters and methods of every name that both have."""

from __future__ import annotations

import inspect

import pytest
import sklearn.feature_selection
import sklearn.linear_model
import sklearn.metrics
from sklearn.utils import all_estimators, get_tags

import breadth.metrics
import breadth.tabular

THEIRS = dict(all_estimators())
BOTH = sorted(
    name for name in breadth.tabular.__all__ if inspect.isclass(getattr(breadth.tabular, name)) and name in THEIRS
)
TREES = {"monotonic_cst", "warm_start", "verbose", "ccp_alpha", "splitter"}
ABSENT = {  # each is said in the docstring, or belongs to another way of growing trees
    **dict.fromkeys(("DecisionTreeClassifier", "DecisionTreeRegressor"), TREES),
    **dict.fromkeys(("RandomForestClassifier", "RandomForestRegressor"), TREES),
    **dict.fromkeys(("BaggingClassifier", "BaggingRegressor"), TREES),
    **dict.fromkeys(
        ("GradientBoostingClassifier", "GradientBoostingRegressor"),
        TREES
        | {"n_estimators", "criterion", "min_samples_split", "min_weight_fraction_leaf", "min_impurity_decrease"}
        | {"init", "alpha"},  # histograms, as HistGradientBoosting's
    ),
    **{name: {"covariance_estimator"} for name in ("LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis")},
}
DENSE_ONLY = {name for name in BOTH if name.startswith(("AdaBoost", "Bagging", "Decision", "Gradient", "RandomForest"))}


UNCHECKED = {"check_input"}  # skips a check of the input, and is not documented for users
ABSENT_IN_FUNCTIONS = {
    "log_loss": {"y_pred"},  # deprecated there: it is y_proba
    "precision_recall_fscore_support": {"warn_for"},  # for scikit-learn's own use
}
METHODS = ("fit", "partial_fit", "predict", "predict_proba", "transform", "score", "kneighbors", "sample")
ABSENT_IN_METHODS = {
    "GradientBoostingClassifier": {"monitor"},
    "GradientBoostingRegressor": {"monitor"},
    "SelectFromModel": {"partial_fit"},
}


def parameters(call) -> set[str]:
    kinds = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    return {name for name, parameter in inspect.signature(call).parameters.items() if parameter.kind not in kinds}


def untaken(theirs, ours) -> set[str]:
    """Parameters of theirs that ours has not; none where ours hands every name on."""
    if any(each.kind is each.VAR_KEYWORD for each in inspect.signature(ours).parameters.values()):
        return set()
    return parameters(theirs) - parameters(ours) - UNCHECKED


@pytest.mark.parametrize("name", BOTH)
def test_every_parameter_of_the_class_is_taken(name):
    assert untaken(THEIRS[name], getattr(breadth.tabular, name)) <= ABSENT.get(name, set())


@pytest.mark.parametrize("name", BOTH)
def test_methods_take_what_those_of_the_class_take(name):
    ours, theirs, absent = getattr(breadth.tabular, name), THEIRS[name], ABSENT_IN_METHODS.get(name, set())
    for method in METHODS:
        if hasattr(theirs, method) and method not in absent:
            assert untaken(getattr(theirs, method), getattr(ours, method)) <= absent, method


@pytest.mark.parametrize("name", [name for name in BOTH if name not in DENSE_ONLY])
def test_sparse_rows_are_taken_where_the_class_takes_them(name):
    try:
        theirs = get_tags(THEIRS[name]())
    except (TypeError, AttributeError):
        pytest.skip("it is made around another estimator, and takes what that takes")
    if theirs.input_tags.sparse:
        assert get_tags(getattr(breadth.tabular, name)()).input_tags.sparse


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(getattr(room, name), getattr(peer, name), id=name)
        for room, peer in (
            (breadth.tabular, sklearn.feature_selection),
            (breadth.tabular, sklearn.linear_model),
            (breadth.metrics, sklearn.metrics),
        )
        for name in sorted(room.__all__)
        if inspect.isfunction(getattr(room, name)) and hasattr(peer, name)
    ],
)
def test_every_parameter_of_the_function_is_taken(ours, theirs):
    assert untaken(theirs, ours) <= ABSENT_IN_FUNCTIONS.get(ours.__name__, set())
