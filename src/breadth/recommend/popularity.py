"""The baseline of every recommender: what most users like."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from breadth.recommend.interactions import (
    Recommendation,
    check_indices,
    check_pairs,
    read_interactions,
    recommend_best,
)


class Popularity(BaseEstimator):
    """The same score for every user: how many users have the item, or its damped mean rating.

    Interactions: score_i = number of users with an entry. Ratings: score_i = (sum_u r_ui + damping mu) / (n_i +
    damping), with n_i the ratings of item i and mu the mean of all ratings; mu for an item without any.

    Args:
        feedback: what X holds: "interactions" (0 is none) or "ratings" (a stored 0 is a rating).
        damping: ratings of mu that each item is given beforehand, >= 0; read with ratings only.

    Attributes:
        scores_: shape (items,).
        n_features_in_: items.

    Raises:
        ValueError, TypeError: if a parameter is out of its range or X is not a finite matrix of users by items.

    Cost: one pass over the entries.
    References: Cremonesi, Koren & Turrin 2010, Performance of recommender algorithms on top-N recommendation tasks,
        RecSys, section 3.1 (TopPop and MovieAvg).
    Peer: column sums and means, closed form (B).
    In production: use it for users of whom nothing is known, and beside every recommender that is said to be better.
    """

    def __init__(self, feedback: Literal["interactions", "ratings"] = "interactions", *, damping: float = 5.0):
        self.feedback = feedback
        self.damping = damping

    def fit(self, X: Any, y: None = None) -> Self:
        """Score the items; X of shape (users, items), scipy sparse, or dense (ratings: NaN where there is none)."""
        if self.feedback not in ("interactions", "ratings"):
            raise ValueError(f"feedback must be 'interactions' or 'ratings', got {self.feedback!r}")
        if not 0 <= self.damping < np.inf:
            raise ValueError(f"damping must be a finite number >= 0, got {self.damping!r}")
        ratings = self.feedback == "ratings"
        self._by_user = read_interactions(X, ratings=ratings)
        m = self.n_features_in_ = self._by_user.shape[1]
        count = np.bincount(self._by_user.indices, minlength=m).astype(np.float64)
        if not ratings:
            self.scores_ = count
            return self
        mean = self._by_user.data.mean() if self._by_user.nnz else 0.0
        above = np.bincount(self._by_user.indices, self._by_user.data - mean, minlength=m)
        self.scores_ = mean + np.divide(above, count + self.damping, out=np.zeros(m), where=count > 0)
        return self

    def predict(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.float64] | float:
        """The item's score for each pair; a number for one pair."""
        check_is_fitted(self)
        _, item, alone = check_pairs(users, items, self._by_user.shape)
        return float(self.scores_[item[0]]) if alone else self.scores_[item]

    def recommend(self, users: ArrayLike, k: int = 10, *, exclude_seen: bool = True) -> Recommendation:
        """The items with the largest scores, of equal ones the lower number first.

        Args:
            users: a row number of the fitted matrix, or several.
            k: items for each user, in [1, items].
            exclude_seen: leave out the items that the user has an entry for.

        Returns:
            Recommendation: of one user, at most k items; of several, -1 and -inf where fewer than k are left.
        """
        check_is_fitted(self)
        user, alone = check_indices(users, self._by_user.shape[0], "users")
        seen = self._by_user[user]

        def scores(rows: slice) -> NDArray:
            return np.broadcast_to(self.scores_, (rows.stop - rows.start, len(self.scores_)))

        return recommend_best(scores, seen, k, exclude_seen=exclude_seen, alone=alone)
