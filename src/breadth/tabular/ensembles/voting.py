"""Voting: members' labels counted, their probabilities or their predictions averaged."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.validation import check_is_fitted, column_or_1d

from breadth.tabular.ensembles.out_of_fold import admitting, as_given, fitted_copy, kept_members, weight_of
from breadth.tabular.labels import class_codes


def _soft(vote: Any) -> bool:
    if vote.voting == "hard":
        raise AttributeError("predict_proba is not available when voting='hard'; voting='soft' averages probabilities")
    return True


class VotingClassifier(ClassifierMixin, TransformerMixin, _BaseComposition):
    """A vote of members: argmax_k sum_m w_m [f_m(x) = k], or of mean probabilities sum_m w_m p_m(k | x) / sum_m w_m.

    Args:
        estimators: list of (name, classifier), "drop" for one that is left out.
        voting: "hard" counts labels, the first of equals wins; "soft" averages probabilities.
        weights: w_m >= 0 of each of estimators, dropped ones too; None is 1.
        n_jobs: processes of joblib, over members.
        flatten_transform: soft transform is (rows, members x classes), else (members, rows, classes).
        verbose: of joblib.

    Attributes:
        classes_, estimators_ (fitted to class numbers), named_estimators_, n_features_in_.

    Raises:
        ValueError: if there is no member, a member is no classifier, takes no weights that are given, or lacks
            predict_proba for a soft vote, or weights are negative, all 0 or not as many as estimators.

    Cost: a fit and a prediction of each member.
    Deviations: no multilabel targets, no metadata routing; negative weights are refused.
    References: Kittler, Hatef, Duin & Matas 1998, "On combining classifiers", IEEE Trans. PAMI 20(3), eqs. 11 (sum
        rule) and 19 (majority vote); Kuncheva 2014, Combining Pattern Classifiers, section 4.3 (weighted majority).
    Peer: sklearn.ensemble.VotingClassifier, 1e-12 (A).
    In production: use it over a few strong members that err differently; soft needs probabilities that are calibrated.
    """

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        voting: Literal["hard", "soft"] = "hard",
        weights: ArrayLike | None = None,
        n_jobs: int | None = None,
        flatten_transform: bool = True,
        verbose: int = 0,
    ):
        self.estimators = estimators
        self.voting = voting
        self.weights = weights
        self.n_jobs = n_jobs
        self.flatten_transform = flatten_transform
        self.verbose = verbose

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, of members too if deep."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, a member by its name, or its parameters by name__parameter."""
        self._set_params("estimators", **params)
        return self

    def __sklearn_tags__(self):
        return admitting(super().__sklearn_tags__(), self.estimators)

    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params: ArrayLike | None) -> Self:
        """Fit members on X (rows, features), labels y (rows,) and, if given, sample_weight (rows,)."""
        if self.voting not in ("hard", "soft"):
            raise ValueError(f"voting must be 'hard' or 'soft', got {self.voting!r}")
        names, members = kept_members(self, kind="classifier")
        lacking = [name for name, m in zip(names, members, strict=True) if not hasattr(m, "predict_proba")]
        if self.voting == "soft" and lacking:
            raise ValueError(f"voting='soft' averages predict_proba, which {', '.join(lacking)} lack; take 'hard'")
        X = as_given(self, X, y, reset=True)
        self.classes_, codes = class_codes(column_or_1d(y, warn=True))
        return _fit(self, names, members, X, codes, fit_params)

    def _said(self, X: Any) -> NDArray:
        """Class numbers (rows, members), or probabilities (members, rows, classes)."""
        check_is_fitted(self)
        X = as_given(self, X, reset=False)
        if self.voting == "soft":
            return np.stack([member.predict_proba(X) for member in self.estimators_])
        return np.column_stack([member.predict(X) for member in self.estimators_]).astype(np.int64)

    def predict(self, X: ArrayLike) -> NDArray:
        """Labels with most weight, the first of equals, shape (rows,)."""
        if self.voting == "soft":
            best = self.predict_proba(X).argmax(1)
            return self.classes_[best]
        codes = self._said(X)
        n, k = len(codes), len(self.classes_)
        weight = np.broadcast_to(_kept_weights(self), codes.shape)
        place = np.arange(n)[:, None] * k + codes
        return self.classes_[np.bincount(place.ravel(), weight.ravel(), n * k).reshape(n, k).argmax(1)]

    @available_if(_soft)
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Weighted mean probabilities, shape (rows, classes)."""
        return np.average(self._said(X), axis=0, weights=_kept_weights(self))

    def transform(self, X: ArrayLike) -> NDArray:
        """Class numbers that members say (rows, members); for a soft vote their probabilities."""
        said = self._said(X)
        return np.hstack(list(said)) if self.voting == "soft" and self.flatten_transform else said

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the columns of transform."""
        check_is_fitted(self)
        if self.voting == "soft" and not self.flatten_transform:
            raise ValueError("transform has three axes with voting='soft' and flatten_transform=False, hence no names")
        kept = [f"votingclassifier_{name}" for name, member in self.estimators if not isinstance(member, str)]
        if self.voting == "hard":
            return np.asarray(kept, dtype=object)
        return np.asarray([f"{name}{i}" for name in kept for i in range(len(self.classes_))], dtype=object)


class VotingRegressor(RegressorMixin, TransformerMixin, _BaseComposition):
    """The weighted mean of members' predictions: f(x) = sum_m w_m f_m(x) / sum_m w_m.

    Its squared error is the members' mean squared error less their variance about f (ambiguity), so that it is never
    worse than they are on average.

    Args:
        estimators: list of (name, regressor), "drop" for one that is left out.
        weights: w_m >= 0 of each of estimators, dropped ones too; None is 1.
        n_jobs: processes of joblib, over members.
        verbose: of joblib.

    Attributes:
        estimators_, named_estimators_, n_features_in_.

    Raises:
        ValueError: as VotingClassifier.

    Cost: a fit and a prediction of each member.
    Deviations: no metadata routing; negative weights are refused.
    References: Krogh & Vedelsby 1995, "Neural network ensembles, cross validation, and active learning", NIPS 7, eqs. 1
        and 6 (ambiguity decomposition).
    Peer: sklearn.ensemble.VotingRegressor, 1e-12 (A).
    In production: use it before stacking, which needs rows to learn weights from.
    """

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        weights: ArrayLike | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.estimators = estimators
        self.weights = weights
        self.n_jobs = n_jobs
        self.verbose = verbose

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, of members too if deep."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, a member by its name, or its parameters by name__parameter."""
        self._set_params("estimators", **params)
        return self

    def __sklearn_tags__(self):
        return admitting(super().__sklearn_tags__(), self.estimators)

    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params: ArrayLike | None) -> Self:
        """Fit members on X (rows, features), targets y (rows,) and, if given, sample_weight (rows,)."""
        names, members = kept_members(self, kind="regressor")
        X = as_given(self, X, y, reset=True)
        return _fit(self, names, members, X, column_or_1d(y, warn=True), fit_params)

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predictions of members, shape (rows, members)."""
        check_is_fitted(self)
        X = as_given(self, X, reset=False)
        return np.column_stack([member.predict(X) for member in self.estimators_])

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Weighted mean of members' predictions, shape (rows,)."""
        return np.average(self.transform(X), axis=1, weights=_kept_weights(self))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the columns of transform."""
        check_is_fitted(self)
        kept = [f"votingregressor_{name}" for name, member in self.estimators if not isinstance(member, str)]
        return np.asarray(kept, dtype=object)


def _fit(vote: Any, names: list[str], members: list[Any], X: Any, y: NDArray, params: Any) -> Any:
    weight = weight_of(params, len(y))
    _kept_weights(vote)
    vote.estimators_ = Parallel(n_jobs=vote.n_jobs, verbose=vote.verbose)(
        delayed(fitted_copy)(member, X, y, weight) for member in members
    )
    by_name = dict(zip(names, vote.estimators_, strict=True))
    vote.named_estimators_ = Bunch(**{name: by_name.get(name, "drop") for name, _ in vote.estimators})
    return vote


def _kept_weights(vote: Any) -> NDArray[np.float64]:
    kept = [not isinstance(member, str) for _, member in vote.estimators]
    if vote.weights is None:
        return np.ones(sum(kept))
    weights = np.asarray(vote.weights, np.float64)
    if weights.shape != (len(kept),):
        raise ValueError(
            f"Number of `estimators` and weights must be equal; got {weights.size} weights, {len(kept)} estimators"
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights[kept].any():
        raise ValueError(f"weights must be finite and >= 0, not all 0, got {vote.weights!r}")
    return weights[kept]
