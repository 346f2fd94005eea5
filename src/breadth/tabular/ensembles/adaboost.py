"""AdaBoost: members fitted to weights that grow where the members before them erred."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from breadth.tabular.ensembles.members import admit_as, check_member, member_seeds, seeded_clone, validate_for
from breadth.tabular.labels import class_codes
from breadth.tabular.trees.stopping import integer
from breadth.tabular.trees.tree import DecisionTreeClassifier, training_weight


class AdaBoostClassifier(ClassifierMixin, BaseEstimator):
    """AdaBoost (SAMME): a weighted vote of members, each fitted where the ones before it erred.

    Member t has the weighted error e_t = sum_i w_i [T_t(x_i) != y_i] with sum_i w_i = 1, and the vote
    a_t = nu (log((1 - e_t) / e_t) + log(K - 1)); then w_i grows by the factor exp(a_t [T_t(x_i) != y_i]) and is
    normalised. The prediction is argmax_k v_k(x) with v_k(x) = sum_t a_t [T_t(x) = k]; p(k | x) = softmax(v(x))_k.

    Rounds end early when a member makes no error, which gives it the vote 1, and when its error reaches 1 - 1/K, that
    of guessing, in which case it is dropped.

    Args:
        estimator: classifier whose fit takes sample_weight; None is DecisionTreeClassifier(max_depth=1), a stump.
        n_estimators: rounds at most, >= 1.
        learning_rate: nu, > 0; smaller needs more rounds.
        random_state: seed of every random_state in the members.

    Attributes:
        classes_, n_classes_, n_features_in_, estimator_ (as given, or the stump), estimators_ (fitted members),
        estimator_weights_ (a, one a member), estimator_errors_ (e, one a member), feature_importances_.

    Raises:
        ValueError: for a parameter out of range, an estimator that takes no sample_weight or whose first member is no
            better than guessing, negative weights, or X that the estimator's tags do not admit.

    Cost: n_estimators fits and predictions of the member, O(n) beside them.
    Deviations: predict_proba is the population minimiser of the multi-class exponential loss, as in the paper;
        scikit-learn first divides the votes by their sum, so that its binary probabilities never leave
        [0.12, 0.88]. decision_function is scikit-learn's. Weights are kept as logarithms, never clipped. A row of
        weight 0 counts as absent, for K as well. Attributes have one entry a member, not padded to n_estimators.
    References: Freund and Schapire 1997, Journal of Computer and System Sciences 55, figure 2 (two classes); Zhu, Zou,
        Rosset and Hastie 2009, "Multi-class AdaBoost", Statistics and Its Interface 2(3), algorithm 2 and eq. 1;
        probabilities: section 2.2 there, and Hastie, Tibshirani and Friedman 2009, exercise 10.5.
    Peer: sklearn.ensemble.AdaBoostClassifier, its votes and errors 1e-12 with the same members (A); the probabilities
        beside a minimisation of the exponential loss (B).
    In production: use it with stumps on clean labels, where a few dozen rounds do; mislabelled rows gain weight without
        bound, and gradient boosting is then the better choice.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_estimators: int = 50,
        learning_rate: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.random_state = random_state

    def _member(self) -> Any:
        return DecisionTreeClassifier(max_depth=1) if self.estimator is None else self.estimator

    def __sklearn_tags__(self):
        return admit_as(super().__sklearn_tags__(), self._member())

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: NDArray | None = None) -> Self:
        """Run the rounds on X (rows, features), labels y (rows,), weights >= 0 (rows,); a weight k is k equal rows."""
        n_rounds = integer("n_estimators", self.n_estimators, 1)
        rate = self.learning_rate
        if not isinstance(rate, Real) or isinstance(rate, bool) or not 0.0 < float(rate) < np.inf:
            raise ValueError(f"learning_rate must be a number > 0, got {rate!r}")
        base = self._member()
        check_member(base, classifier=True)
        if not has_fit_parameter(base, "sample_weight"):
            raise ValueError(f"estimator must take sample_weight in fit, which {base!r} does not")
        rows, labels = validate_for(self, base, X, y)
        class_codes(labels)
        weight = training_weight(sample_weight, rows)
        if not weight.all():
            rows, labels, weight = rows[weight > 0], labels[weight > 0], weight[weight > 0]

        self.estimator_ = base
        self.classes_ = np.unique(labels)
        self.n_classes_ = n_classes = self.classes_.size
        members, votes, errors = [], [], []
        log_weight = np.log(weight)  # not the weight itself, which underflows in long runs
        for seed in member_seeds(self.random_state, n_rounds):
            log_weight -= logsumexp(log_weight)
            weight = np.exp(log_weight)
            member = seeded_clone(base, np.random.default_rng(seed)).fit(rows, labels, sample_weight=weight)
            wrong = member.predict(rows) != labels
            error = float(np.average(wrong, weights=weight))
            perfect = error == 0.0
            if not perfect and error >= 1.0 - 1.0 / n_classes:
                break
            vote = 1.0 if perfect else rate * (np.log((1.0 - error) / error) + np.log(n_classes - 1.0))
            members.append(member)
            votes.append(vote)
            errors.append(error)
            if perfect:
                break
            log_weight += vote * wrong
        if not members:
            raise ValueError(
                f"estimator is no better than guessing among {n_classes} classes: the first member, {base!r}, errs on "
                f"{error:.3g} of the weight; give an estimator that errs on less than {1 - 1 / n_classes:.3g}"
            )
        self.estimators_ = members
        self.estimator_weights_ = np.array(votes)
        self.estimator_errors_ = np.array(errors)
        return self

    def _staged_votes(self, X: ArrayLike) -> Iterator[tuple[NDArray[np.float64], float]]:
        """After each round v, (rows, n_classes_), written over in the next, and the sum of the votes cast."""
        check_is_fitted(self)
        rows = validate_for(self, self.estimator_, X, reset=False)
        votes, cast = np.zeros((rows.shape[0], self.n_classes_)), 0.0
        for member, vote in zip(self.estimators_, self.estimator_weights_, strict=True):
            votes += vote * (member.predict(rows)[:, None] == self.classes_)
            cast += float(vote)
            yield votes, cast

    def _votes(self, X: ArrayLike) -> tuple[NDArray[np.float64], float]:
        *_, last = self._staged_votes(X)
        return last

    def predict(self, X: ArrayLike) -> NDArray:
        """Class with most votes, the first of equals, shape (rows,)."""
        votes, _ = self._votes(X)
        return self.classes_[votes.argmax(1)]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, softmax(v), shape (rows, n_classes_), columns as in classes_."""
        return softmax(self._votes(X)[0], axis=1)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of predict_proba, always finite."""
        return log_softmax(self._votes(X)[0], axis=1)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """f_k = sum_t a_t ([T_t = k] - [T_t != k] / (K - 1)) / sum_t a_t, (rows, K); f_2 - f_1, (rows,), if K = 2."""
        return _margins(*self._votes(X))

    def staged_predict(self, X: ArrayLike) -> Iterator[NDArray]:
        """predict after each round."""
        for votes, _ in self._staged_votes(X):
            yield self.classes_[votes.argmax(1)]

    def staged_predict_proba(self, X: ArrayLike) -> Iterator[NDArray[np.float64]]:
        """predict_proba after each round."""
        for votes, _ in self._staged_votes(X):
            yield softmax(votes, axis=1)

    def staged_decision_function(self, X: ArrayLike) -> Iterator[NDArray[np.float64]]:
        """decision_function after each round."""
        for votes, cast in self._staged_votes(X):
            yield _margins(votes, cast)

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Mean of the members' importances, weighted by their votes, shape (features,)."""
        check_is_fitted(self)
        if not hasattr(self.estimators_[0], "feature_importances_"):
            raise AttributeError(f"the members have no feature_importances_: {self.estimators_[0]!r}")
        return np.average([m.feature_importances_ for m in self.estimators_], axis=0, weights=self.estimator_weights_)


def _margins(votes: NDArray[np.float64], cast: float) -> NDArray[np.float64]:
    n_classes = votes.shape[1]
    if n_classes == 1:
        return np.zeros(len(votes))
    if n_classes == 2:
        return 2.0 * (votes[:, 1] - votes[:, 0]) / cast
    return (n_classes * votes - cast) / ((n_classes - 1) * cast)
