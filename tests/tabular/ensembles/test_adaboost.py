"""AdaBoost: the algorithm line by line, its early ends, what its probabilities minimise, and bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier as PeerTree
from sklearn.tree import ExtraTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.ensembles.adaboost import AdaBoostClassifier
from breadth.tabular.trees.tree import DecisionTreeClassifier


@parametrize_with_checks(
    [
        AdaBoostClassifier(n_estimators=5),
        AdaBoostClassifier(LogisticRegression(C=1), n_estimators=3),
    ]
)
def test_estimator_protocol_without_a_failure(estimator, check):
    check(estimator)


def a_table(n: int = 400, n_classes: int = 2, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5)).astype(np.float32)
    z = X[:, 0] + X[:, 1] * X[:, 2] + rng.logistic(size=n) / 2
    return X, np.digitize(z, np.quantile(z, np.linspace(0, 1, n_classes + 1)[1:-1]))


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_every_round_is_that_of_the_published_algorithm(n_classes, rate):
    X, y = a_table(n_classes=n_classes)
    labels = np.array(["e", "d", "c", "b", "a"])[y]
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=25, learning_rate=rate).fit(X, labels)
    w, votes = np.full(len(y), 1 / len(y)), np.zeros((len(y), n_classes))
    staged = zip(model.staged_predict(X), model.staged_predict_proba(X), model.staged_decision_function(X), strict=True)
    for t, (predicted, proba, margin) in enumerate(staged):
        member = DecisionTreeClassifier(max_depth=2).fit(X, labels, w)
        h = member.predict(X)
        error = w[h != labels].sum() / w.sum()
        vote = rate * (np.log((1 - error) / error) + np.log(n_classes - 1))
        w = w * np.exp(vote * (h != labels))
        w /= w.sum()
        assert_allclose([model.estimator_errors_[t], model.estimator_weights_[t]], [error, vote], rtol=1e-11)
        votes += vote * (h[:, None] == model.classes_)
        assert_array_equal(predicted, model.classes_[votes.argmax(1)])
        e = np.exp(votes - votes.max(1, keepdims=True))
        assert_allclose(proba, e / e.sum(1, keepdims=True), rtol=1e-10)
        total = model.estimator_weights_[: t + 1].sum()
        f = (votes - (total - votes) / (n_classes - 1)) / total
        assert_allclose(margin, f[:, 1] - f[:, 0] if n_classes == 2 else f, atol=1e-12)
    assert t == 24
    assert_array_equal(model.predict(X), predicted)
    assert_array_equal(model.predict_proba(X), proba)
    assert_array_equal(model.decision_function(X), margin)
    assert_allclose(model.predict_log_proba(X), np.log(proba), atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("error", [0.02, 0.3, 0.49])
def test_the_vote_is_the_step_that_minimises_the_exponential_loss(n_classes, error):
    """f = beta g with g = 1 for the voted class and -1/(K-1) elsewhere; p(k) is proportional to exp(f_k / (K-1))."""
    K = n_classes

    def loss(beta):  # mean of exp(-y.f / K) over rows of which a share `error` is voted wrong
        right, wrong = K / (K - 1), -K / (K - 1) ** 2
        return (1 - error) * np.exp(-beta * right / K) + error * np.exp(-beta * wrong / K)

    beta = minimize_scalar(loss, bounds=(0, 200), method="bounded", options={"xatol": 1e-10}).x
    cell = np.repeat(np.arange(K), 2)  # each cell holds a row of its own class and one of the next
    X, y = np.eye(K)[cell], (cell + np.tile([0, 1], K)) % K
    w = np.tile([1 - error, error], K)
    model = AdaBoostClassifier(PeerTree(max_depth=K), n_estimators=1).fit(X, y, w)
    assert_allclose(model.estimator_errors_, error, rtol=1e-12)
    # a bounded search resolves a flat minimum to about the square root of the machine's precision
    assert_allclose((K - 1) ** 2 / K * model.estimator_weights_[0], beta, rtol=1e-6)
    f = beta * np.where(np.eye(K) == 1, 1, -1 / (K - 1))
    p = np.exp(f / (K - 1)) / np.exp(f / (K - 1)).sum(1, keepdims=True)
    assert_allclose(model.predict_proba(np.eye(K)), p, rtol=1e-5)
    assert_allclose(p.max(1), 1 - error, rtol=1e-6)  # one member alone: its own accuracy


def test_stump_probabilities_learn_where_votes_divided_by_their_sum_do_not():
    X, y = a_table(2000, n_classes=4)
    model = AdaBoostClassifier(n_estimators=200).fit(X[:1000], y[:1000])
    squashed = np.exp(model.decision_function(X[1000:]) / 3)
    squashed /= squashed.sum(1, keepdims=True)
    ours = log_loss(y[1000:], model.predict_proba(X[1000:]))
    assert ours < 1.25 < 1.35 < log_loss(y[1000:], squashed) < np.log(4)


def test_rounds_end_at_the_first_member_without_error():
    X, y = a_table()
    X[:, 4] = y
    model = AdaBoostClassifier(n_estimators=9).fit(X, y)
    assert_array_equal(model.estimator_errors_, [0.0])
    assert_array_equal(model.estimator_weights_, [1.0])
    assert len(model.estimators_) == 1 and model.score(X, y) == 1.0
    assert_array_equal(model.feature_importances_, [0, 0, 0, 0, 1])
    one = AdaBoostClassifier().fit([[1.0], [2.0]], ["a", "a"])  # one class
    assert_array_equal(one.predict_proba([[3.0]]), [[1.0]])
    assert_array_equal(one.decision_function([[3.0]]), [0.0])


class MisreadsTheFourth(PeerTree):
    fits = 0

    def fit(self, X, y, sample_weight=None):
        type(self).fits += 1
        self.misread = type(self).fits == 4
        return super().fit(X, y, sample_weight)

    def predict(self, X):
        return (super().predict(X) + self.misread) % 3


def test_rounds_end_at_a_member_no_better_than_guessing_which_is_dropped():
    X, y = a_table(n_classes=3)
    MisreadsTheFourth.fits = 0
    model = AdaBoostClassifier(MisreadsTheFourth(max_depth=2), random_state=0).fit(X, y)
    assert MisreadsTheFourth.fits == 4
    assert len(model.estimators_) == model.estimator_weights_.size == model.estimator_errors_.size == 3
    assert (model.estimator_errors_ < 2 / 3).all() and (model.estimator_weights_ > 0).all()
    with pytest.raises(ValueError, match=r"no better than guessing among 2 classes.*errs on 0.5 .* less than 0.5"):
        AdaBoostClassifier(DummyClassifier()).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="no better than guessing"):
        AdaBoostClassifier().fit(np.zeros((4, 2)), [0, 1, 0, 1])  # constant columns


def test_an_integer_weight_is_that_many_rows_and_weight_zero_is_absence():
    X, y = a_table(n_classes=3)
    w = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    w[y == 2] = 0.0
    weighted = AdaBoostClassifier(n_estimators=20).fit(X, y, w)
    repeated = AdaBoostClassifier(n_estimators=20).fit(np.repeat(X, w.astype(int), 0), np.repeat(y, w.astype(int)))
    assert_array_equal(weighted.classes_, [0, 1])
    assert_allclose(weighted.estimator_weights_, repeated.estimator_weights_, rtol=1e-9)
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-8)
    scaled = AdaBoostClassifier(n_estimators=20).fit(X, y, w * 1e-200)
    assert_allclose(scaled.estimator_weights_, weighted.estimator_weights_, rtol=1e-9)


def test_weights_far_below_the_smallest_number_do_no_harm():
    X, y = a_table(60)
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=300, learning_rate=20.0).fit(X, y)
    assert np.isfinite(model.estimator_weights_).all() and np.isfinite(model.predict_log_proba(X)).all()
    assert_allclose(model.predict_proba(X).sum(1), 1)


def test_training_error_obeys_the_bound_of_freund_and_schapire():
    X, y = a_table()
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=60).fit(X, y)
    e = model.estimator_errors_
    bound = np.cumprod(2 * np.sqrt(e * (1 - e)))
    train = np.array([np.mean(p != y) for p in model.staged_predict(X)])
    assert (train <= bound).all() and bound[-1] < 0.1


def test_random_state_seeds_the_members():
    X, y = a_table()
    first, again, other = (
        AdaBoostClassifier(ExtraTreeClassifier(max_depth=2, random_state=3), n_estimators=9, random_state=s).fit(X, y)
        for s in (0, 0, 1)
    )
    assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert (first.predict_proba(X) != other.predict_proba(X)).any()
    assert len({m.random_state for m in first.estimators_}) == 9


def test_missing_values_importances_and_pickling():
    X, y = a_table(n_classes=3)
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=3)).fit(X, y)
    assert model.score(X, y) > 0.8
    by_hand = sum(w * m.feature_importances_ for w, m in zip(model.estimator_weights_, model.estimators_, strict=True))
    assert_allclose(model.feature_importances_, by_hand / model.estimator_weights_.sum(), rtol=1e-12)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    bayes = AdaBoostClassifier(GaussianNB(), n_estimators=3).fit(np.nan_to_num(X), y)
    assert not hasattr(bayes, "feature_importances_")
    with pytest.raises(ValueError, match="NaN"):
        AdaBoostClassifier(GaussianNB()).fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_estimators": 0}, "n_estimators must be an integer >= 1"),
        ({"learning_rate": 0.0}, "learning_rate must be a number > 0, got 0.0"),
        ({"learning_rate": np.inf}, "learning_rate must be a number > 0, got inf"),
        ({"learning_rate": "fast"}, "learning_rate must be a number > 0, got 'fast'"),
        ({"estimator": KNeighborsClassifier()}, "must take sample_weight in fit, which KNeighborsClassifier"),
        ({"estimator": Ridge()}, "estimator must be a classifier .* got Ridge"),
    ],
)
def test_bad_parameters_are_named(options, message):
    X, y = a_table(30)
    with pytest.raises(ValueError, match=message):
        AdaBoostClassifier(**options).fit(X, y)


def test_bad_data_is_named():
    X, y = a_table(30)
    with pytest.raises(ValueError, match=r"non-zero|zero for every row"):
        AdaBoostClassifier().fit(X, y, np.zeros(30))
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        AdaBoostClassifier().fit(X, y, -np.ones(30))
    with pytest.raises(ValueError, match="continuous"):
        AdaBoostClassifier().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="infinity"):
        AdaBoostClassifier().fit(np.where(X > 1, np.inf, X), y)
