"""Bagging: members fitted to bootstrap samples, their predictions averaged."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted

from breadth.tabular.ensembles.bagging_members import fit_members, mean_output, out_of_bag, out_of_bag_score
from breadth.tabular.ensembles.members import admit_as, check_member, validate_for
from breadth.tabular.labels import class_codes
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor, training_weight


class BaggingClassifier(ClassifierMixin, BaseEstimator):
    """Bagging: members fitted to bootstrap samples of the rows; probabilities averaged.

    p(k | x) = (1/T) sum_t p_t(k | x), with p_t the probabilities of member t, or its vote 0 or 1 where it has none, and
    0 for a class that its sample lacks. Also pasting (bootstrap=False, max_samples < 1), random subspaces
    (bootstrap=False, max_features < 1) and random patches (both).

    Args:
        estimator: any classifier; None is DecisionTreeClassifier(), grown in full.
        n_estimators: members T, >= 1.
        max_samples: rows drawn per member: a count, a fraction in (0, 1] of the rows (of the summed weight, given
            weights and bootstrap), or None for as many as there are.
        max_features: columns drawn per member: a count or a fraction in (0, 1], rounded down to at least 1.
        bootstrap: draw rows with replacement; else without.
        bootstrap_features: draw columns with replacement.
        oob_score: compute oob_score_ (accuracy) and oob_decision_function_ from the members that did not draw a row.
        n_jobs: threads; None is 1, -1 all cores. The result does not depend on it.
        random_state: seed of the draws and of every random_state in the members.

    Attributes:
        classes_, n_classes_, n_features_in_, estimator_ (as given, or the tree), estimators_ (fitted to class numbers,
        not labels), estimators_features_, estimators_samples_ (drawn anew from their seeds), oob_score_,
        oob_decision_function_ (rows, n_classes_; NaN in a row that every member drew, with a warning).

    Raises:
        ValueError: for a parameter out of range, negative weights, X that the estimator's tags do not admit, or
            weights without bootstrap for an estimator that takes none.

    Cost: T fits on the n (1 - 1/e) = 0.63 n distinct rows of a sample, T predictions; draws are not stored.
    Deviations: sample_weight is resampling with bootstrap (probability of being drawn, as in scikit-learn >= 1.8, so
        that weight k is k equal rows in distribution if max_samples is given), and is passed on to the members without
        it (scikit-learn draws by weight there too). Repeated rows reach a member as weights where its fit takes them,
        without the rows not drawn. oob_score_ is weighted. A row without out-of-bag value is NaN (scikit-learn's
        regressor: 0). No warm_start, decision_function, or several outputs.
    References: Breiman 1996, "Bagging predictors", Machine Learning 24, sections 1, 2 and 4; out-of-bag: Breiman 2001,
        "Random forests", Machine Learning 45, section 3.1; subspaces: Ho 1998, IEEE Transactions on Pattern Analysis
        and Machine Intelligence 20(8); patches: Louppe and Geurts 2012, ECML PKDD, section 2.
    Peer: sklearn.ensemble.BaggingClassifier, predictions and out-of-bag values 1e-12 given its rows and columns (A).
    In production: use it around an unstable estimator that has no randomness of its own; for trees, a forest is better
        and faster.
    """

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        *,
        max_samples: int | float | None = None,
        max_features: int | float = 1.0,
        bootstrap: bool = True,
        bootstrap_features: bool = False,
        oob_score: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.bootstrap_features = bootstrap_features
        self.oob_score = oob_score
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _member(self) -> Any:
        return DecisionTreeClassifier() if self.estimator is None else self.estimator

    def __sklearn_tags__(self):
        return admit_as(super().__sklearn_tags__(), self._member())

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: NDArray | None = None) -> Self:
        """Fit the members on X (rows, features), labels y (rows,), weights >= 0 (rows,)."""
        check_member(self._member(), classifier=True)
        rows, labels = validate_for(self, self._member(), X, y)
        self.classes_, codes = class_codes(labels)
        self.n_classes_ = self.classes_.size
        weight = None if sample_weight is None else training_weight(sample_weight, rows)
        fit_members(self, rows, codes, weight)
        if self.oob_score:
            value = out_of_bag(self, rows, self._probabilities, self.n_classes_)
            self.oob_decision_function_ = value
            self.oob_score_ = out_of_bag_score(
                accuracy_score, codes, value, weight, best=lambda p: p.argmax(1), least=1
            )
        return self

    def _probabilities(self, member: Any, X: Any) -> NDArray[np.float64]:
        proba = np.zeros((X.shape[0], self.n_classes_))
        if hasattr(member, "predict_proba"):
            proba[:, member.classes_] = member.predict_proba(X)
        else:
            proba[np.arange(X.shape[0]), member.predict(X)] = 1.0
        return proba

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean class probabilities (shares of the votes) of the members, (rows, n_classes_), columns as in classes_."""
        return mean_output(self, X, self._probabilities)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of predict_proba; -inf for a class that no member sees."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: ArrayLike) -> NDArray:
        """Class of largest mean probability, the first of equals, shape (rows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    @property
    def estimators_samples_(self) -> list[NDArray[np.int64]]:
        """Rows that each member drew, with repetitions."""
        check_is_fitted(self)
        return [self._draws.of_member(t)[0] for t in range(len(self.estimators_))]


class BaggingRegressor(RegressorMixin, BaseEstimator):
    """Bagging: members fitted to bootstrap samples of the rows; predictions averaged.

    f(x) = (1/T) sum_t f_t(x). With members of variance s^2 and correlation r its variance is r s^2 + (1 - r) s^2 / T,
    at about the bias of one member. Also pasting (bootstrap=False, max_samples < 1), random subspaces (bootstrap=False,
    max_features < 1) and random patches (both).

    Args:
        estimator: any regressor of one output; None is DecisionTreeRegressor(), grown in full.
        n_estimators, max_samples, max_features, bootstrap, bootstrap_features, n_jobs, random_state: as in
            BaggingClassifier.
        oob_score: compute oob_score_ (R^2) and oob_prediction_ from the members that did not draw a row.

    Attributes:
        n_features_in_, estimator_ (as given, or the tree), estimators_, estimators_features_, estimators_samples_
        (drawn anew from their seeds), oob_score_, oob_prediction_ (rows,), NaN in a row that every member drew, with a
        warning.

    Raises:
        ValueError: for a parameter out of range, negative weights, X that the estimator's tags do not admit, or
            weights without bootstrap for an estimator that takes none.

    Cost: T fits on the n (1 - 1/e) = 0.63 n distinct rows of a sample, T predictions; draws are not stored.
    Deviations: as BaggingClassifier.
    References: Breiman 1996, "Bagging predictors", Machine Learning 24, sections 1, 3 and 4; variance: Hastie,
        Tibshirani and Friedman 2009, The Elements of Statistical Learning, eq. 15.1.
    Peer: sklearn.ensemble.BaggingRegressor, predictions and out-of-bag values 1e-12 given its rows and columns (A).
    In production: use it around an unstable estimator that has no randomness of its own; for trees, a forest is better
        and faster.
    """

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        *,
        max_samples: int | float | None = None,
        max_features: int | float = 1.0,
        bootstrap: bool = True,
        bootstrap_features: bool = False,
        oob_score: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.bootstrap_features = bootstrap_features
        self.oob_score = oob_score
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _member(self) -> Any:
        return DecisionTreeRegressor() if self.estimator is None else self.estimator

    def __sklearn_tags__(self):
        return admit_as(super().__sklearn_tags__(), self._member())

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: NDArray | None = None) -> Self:
        """Fit the members on X (rows, features), targets y (rows,), weights >= 0 (rows,)."""
        check_member(self._member(), classifier=False)
        rows, target = validate_for(self, self._member(), X, y, y_numeric=True)
        weight = None if sample_weight is None else training_weight(sample_weight, rows)
        fit_members(self, rows, target, weight)
        if self.oob_score:
            value = out_of_bag(self, rows, _prediction, 1)
            self.oob_prediction_ = value[:, 0]
            self.oob_score_ = out_of_bag_score(r2_score, target, value, weight, best=lambda f: f[:, 0], least=2)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean prediction of the members, float64 (rows,)."""
        return mean_output(self, X, _prediction)[:, 0]

    @property
    def estimators_samples_(self) -> list[NDArray[np.int64]]:
        """Rows that each member drew, with repetitions."""
        check_is_fitted(self)
        return [self._draws.of_member(t)[0] for t in range(len(self.estimators_))]


def _prediction(member: Any, X: Any) -> NDArray[np.float64]:
    return np.asarray(member.predict(X), np.float64).reshape(X.shape[0], 1)
