import numpy as np
import pytest
from sklearn import metrics

from breadth.evidence.measures import MEASURES, find, first_measure, score
from breadth.evidence.problem import Problem

BINARY = Problem("binary", 2, 3)


def test_log_loss_agrees_with_scikit_learn_for_two_and_more_classes():
    rng = np.random.default_rng(0)
    for k in (2, 4):
        p = rng.dirichlet(np.ones(k), 50)
        y = rng.integers(0, k, 50)
        assert first_measure(Problem("multiclass", k, 1), y, p) == pytest.approx(
            metrics.log_loss(y, p, labels=np.arange(k)), rel=1e-12
        )


def test_a_certain_error_is_dear_but_finite():
    value = first_measure(BINARY, np.array([1]), np.array([[1.0, 0.0]]))
    assert value == pytest.approx(-np.log(np.finfo(float).eps))


def test_auc_is_left_out_where_a_single_class_is_held_out():
    p = np.array([[0.4, 0.6], [0.3, 0.7]])
    assert "AUC" not in score(BINARY, np.array([1, 1]), p)
    assert score(BINARY, np.array([0, 1]), p)["AUC"] == 1.0
    three = Problem("multiclass", 3, 1)
    assert "AUC" not in score(three, np.array([0, 1]), np.full((2, 3), 1 / 3))


def test_regression_measures_have_natural_signs():
    y, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 1.0])
    values = score(Problem("regression", 0, 1), y, predicted)
    assert values["RMSE"] == pytest.approx(np.sqrt(3))
    assert values["MAE"] == pytest.approx(1.0)
    assert values["R2"] < 0
    assert "R2" not in score(Problem("regression", 0, 1), y[:1], predicted[:1])


@pytest.mark.parametrize("bad", [np.full((2, 2), np.nan), np.ones((2, 3)), np.ones(2)])
def test_predictions_that_are_no_probabilities_are_refused(bad):
    with pytest.raises(ValueError, match="predictions"):
        score(BINARY, np.array([0, 1]), bad)


@pytest.mark.parametrize("typed", ["log loss", "log_loss", "LogLoss", "cross-entropy"])
def test_a_metric_is_found_however_it_is_typed(typed):
    assert find(MEASURES["classification"], typed).name == "log loss"


def test_an_unknown_metric_lists_the_known():
    with pytest.raises(ValueError, match="'log loss', 'AUC', 'accuracy'"):
        find(MEASURES["classification"], "f2")
