"""Members of an ensemble: copies of any scikit-learn estimator, seeds of their own, and the input they admit."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import validate_data

from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor


def check_member(estimator: Any, *, classifier: bool) -> None:
    """Raise a ValueError unless `estimator` is an instance that fits and predicts the right kind of target."""
    kind, wrong = ("classifier", is_regressor) if classifier else ("regressor", is_classifier)
    fits = not isinstance(estimator, type) and hasattr(estimator, "fit") and hasattr(estimator, "predict")
    if not fits or wrong(estimator):
        raise ValueError(f"estimator must be a {kind} with fit and predict, or None for a tree, got {estimator!r}")


def member_seeds(random_state: int | np.random.RandomState | None, n_members: int) -> list[np.random.SeedSequence]:
    """One independent stream a member; the first ones stay the same when n_members grows."""
    entropy = check_random_state(random_state).randint(2**31, size=4)
    return np.random.SeedSequence(entropy.tolist()).spawn(n_members)


def seeded_clone(estimator: Any, rng: np.random.Generator) -> Any:
    """An unfitted copy in which every random_state, of nested estimators as well, is drawn from rng."""
    copy = clone(estimator)
    names = [name for name in copy.get_params() if name == "random_state" or name.endswith("__random_state")]
    return copy.set_params(**{name: int(rng.integers(2**31)) for name in sorted(names)})


def validate_for(ensemble: Any, member: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
    """X, or X and y where y is given: sparse or with missing values where the member's tags admit them."""
    admits = get_tags(member).input_tags
    return validate_data(
        ensemble,
        X,
        y,
        accept_sparse=["csr", "csc"] if admits.sparse else False,
        ensure_all_finite="allow-nan" if admits.allow_nan else True,
        # trees compare in float32: converted once here, not once by every member
        dtype=np.float32 if isinstance(member, DecisionTreeClassifier | DecisionTreeRegressor) else None,
        **options,
    )


def admit_as(tags: Any, member: Any) -> Any:
    """The ensemble's tags with the member's word on sparse input and missing values."""
    admits = get_tags(member).input_tags
    tags.input_tags.sparse, tags.input_tags.allow_nan = admits.sparse, admits.allow_nan
    return tags
