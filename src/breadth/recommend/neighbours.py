"""Neighbourhood collaborative filtering: what similar users took, and what is similar to what the user took."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
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
from breadth.recommend.similarity import Similarity, check_similarity, nearest_rows, similarity_block

Feedback = Literal["interactions", "ratings"]


class ItemKNN(BaseEstimator):
    """Items near those that the user has, by the similarity of their columns.

    Interactions: score(u, i) = sum_j X_uj s_ji over the user's items j that have i among their nearest.
    Ratings: r_ui = m_i + sum_j s_ij (r_uj - m_j) / sum_j s_ij over the nearest items j of i that the user has rated,
    with m the items' mean ratings; m_i where the user has rated none of them.

    Args:
        n_neighbors: nearest items kept for each item, >= 1; only similarities above 0 are kept.
        similarity: of two columns: "cosine" of the whole columns, 0 where nothing is stored; "adjusted_cosine", the
            same of ratings less their user's mean; "pearson" correlation over the users who have both; "jaccard",
            users who have both over users who have either.
        feedback: what X holds: "interactions" (strength of interest, 0 is none) or "ratings" (a stored 0 is a rating).
        shrinkage: similarities are multiplied by n / (n + shrinkage), n the users who have both, >= 0.

    Attributes:
        similarity_: s_ij, sparse, shape (items, items), row i holding the nearest of item i.
        means_: mean rating of each item, shape (items,); the mean of all ratings for an item without any. 0 with
            interactions.
        n_features_in_: items.

    Raises:
        ValueError, TypeError: if a parameter is out of its range or X is not a finite matrix of users by items.

    Cost: a product of X' and X, 256 rows at a time (four more of them with "pearson"); items^2 operations to choose.
    Deviations:
        1. Sarwar et al. sum cosines over the users who have both items, as "pearson" does here; "cosine" and
           "adjusted_cosine" have whole columns in the denominator, which holds items with few common users down.
    References: Deshpande & Karypis 2004, Item-based top-N recommendation algorithms, ACM TOIS 22(1);
        Sarwar, Karypis, Konstan & Riedl 2001, Item-based collaborative filtering recommendation algorithms, WWW,
        section 3.1-3.2; Herlocker, Konstan, Borchers & Riedl 1999, SIGIR (shrinkage by common users).
    Peer: implicit.nearest_neighbours.CosineRecommender (interactions, A); plain loops over the formulas (B).
    In production: use it where recommendations must be explained ("because you took j") and follow a new click at once.
    """

    def __init__(
        self,
        n_neighbors: int = 50,
        *,
        similarity: Similarity = "cosine",
        feedback: Feedback = "interactions",
        shrinkage: float = 0.0,
    ):
        self.n_neighbors = n_neighbors
        self.similarity = similarity
        self.feedback = feedback
        self.shrinkage = shrinkage

    def fit(self, X: Any, y: None = None) -> Self:
        """Find each item's nearest items.

        Args:
            X: shape (users, items), scipy sparse, or dense (ratings: NaN where there is none).
            y: not read.

        Returns:
            The fitted estimator.
        """
        _check(self)
        self._by_user = read_interactions(X, ratings=self.feedback == "ratings")
        by_item = sp.csr_array(self._by_user.T)
        by_item.sort_indices()
        self.n_features_in_ = by_item.shape[0]
        self.means_ = _row_means(by_item, self.feedback)
        rows = similarity_block(by_item, by_item, self.similarity, self.shrinkage, own=True)
        self.similarity_ = nearest_rows(rows, by_item.shape[0], by_item.shape[0], self.n_neighbors, own=True)
        return self

    def _scores(self, have: sp.csr_array) -> NDArray[np.float64]:
        """Scores of all items for users with these rows, shape (users, items)."""
        if self.feedback == "interactions":
            return (have @ self.similarity_).toarray()
        weights = self.similarity_.T.tocsr()
        return self.means_ + _ratio(
            (_centred(have, self.means_) @ weights).toarray(), (_ones(have) @ weights).toarray()
        )

    def predict(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.float64] | float:
        """The score, or the expected rating, of each pair; a number for one pair."""
        check_is_fitted(self)
        user, item, alone = check_pairs(users, items, self._by_user.shape)
        have = self._by_user[user]
        if self.feedback == "interactions":
            near = self.similarity_.T.tocsr()[item]
            scores = near.multiply(have).sum(axis=1)
        else:
            near = self.similarity_[item]
            above = near.multiply(_centred(have, self.means_)).sum(axis=1)
            scores = self.means_[item] + _ratio(above, near.multiply(_ones(have)).sum(axis=1))
        return float(scores[0]) if alone else scores

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
        have = self._by_user[user]
        return recommend_best(lambda part: self._scores(have[part]), have, k, exclude_seen=exclude_seen, alone=alone)

    def recommend_new(self, X: Any, k: int = 10, *, exclude_seen: bool = True) -> Recommendation:
        """As `recommend`, for users who were not in the fit: X as in `fit`."""
        check_is_fitted(self)
        have = _read_new(self, X)
        return recommend_best(lambda part: self._scores(have[part]), have, k, exclude_seen=exclude_seen, alone=False)

    def similar_items(self, item: int, k: int = 10) -> Recommendation:
        """The k nearest of an item, at most n_neighbors, and their similarities."""
        check_is_fitted(self)
        chosen, alone = check_indices(item, self.n_features_in_, "item")
        if not alone:
            raise ValueError(f"item must be one column number, got {item!r}")
        near = self.similarity_[chosen]
        order = np.lexsort((near.indices, -near.data))[:k]
        return Recommendation(near.indices[order].astype(np.int64), near.data[order])


class UserKNN(BaseEstimator):
    """What the users took who are most like this one, by the similarity of their rows.

    Interactions: score(u, i) = sum_v s_uv X_vi over the nearest users v of u.
    Ratings: r_ui = m_u + sum_v s_uv (r_vi - m_v) / sum_v s_uv over the nearest users v of u who have rated i, with m
    the users' mean ratings; m_u where none of them has.

    Args:
        n_neighbors: nearest users of each user, >= 1; only similarities above 0 count.
        similarity: of two rows: "cosine", "adjusted_cosine" (ratings less their item's mean), "pearson" over the items
            that both have, or "jaccard".
        feedback: what X holds: "interactions" (strength of interest, 0 is none) or "ratings" (a stored 0 is a rating).
        shrinkage: similarities are multiplied by n / (n + shrinkage), n the items that both have, >= 0.

    Attributes:
        similarity_: s_uv, sparse, shape (users, users), row u holding the nearest of user u.
        means_: mean rating of each user, shape (users,); the mean of all ratings for a user without any. 0 with
            interactions.
        n_features_in_: items.

    Raises:
        ValueError, TypeError: if a parameter is out of its range or X is not a finite matrix of users by items.

    Cost: a product of X and X', 256 rows at a time (four more of them with "pearson"); users^2 operations to choose.
    Deviations:
        1. Resnick et al. take every user who has rated the item; here the nearest users are chosen before the item is
           known, and negative correlations are left out.
    References: Resnick, Iacovou, Suchak, Bergstrom & Riedl 1994, GroupLens, CSCW; Herlocker, Konstan, Borchers & Riedl
        1999, An algorithmic framework for performing collaborative filtering, SIGIR (neighbours and shrinkage).
    Peer: plain loops over the formulas, float64, 1e-12 (B).
    In production: use it where users are few and items many; it has to be fitted again when users change.
    """

    def __init__(
        self,
        n_neighbors: int = 50,
        *,
        similarity: Similarity = "cosine",
        feedback: Feedback = "interactions",
        shrinkage: float = 0.0,
    ):
        self.n_neighbors = n_neighbors
        self.similarity = similarity
        self.feedback = feedback
        self.shrinkage = shrinkage

    def fit(self, X: Any, y: None = None) -> Self:
        """Find each user's nearest users; X as in `ItemKNN.fit`."""
        _check(self)
        self._by_user = read_interactions(X, ratings=self.feedback == "ratings")
        n, self.n_features_in_ = self._by_user.shape
        self.means_ = _row_means(self._by_user, self.feedback)
        rows = similarity_block(self._by_user, self._by_user, self.similarity, self.shrinkage, own=True)
        self.similarity_ = nearest_rows(rows, n, n, self.n_neighbors, own=True)
        return self

    def _scores(self, near: sp.csr_array, means: NDArray) -> NDArray[np.float64]:
        if self.feedback == "interactions":
            return (near @ self._by_user).toarray()
        centred = _centred(self._by_user.T.tocsr(), self.means_).T.tocsr()
        return means[:, None] + _ratio((near @ centred).toarray(), (near @ _ones(self._by_user)).toarray())

    def predict(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.float64] | float:
        """The score, or the expected rating, of each pair; a number for one pair."""
        check_is_fitted(self)
        user, item, alone = check_pairs(users, items, self._by_user.shape)
        near, by_item = self.similarity_[user], self._by_user.T.tocsr()
        if self.feedback == "interactions":
            scores = near.multiply(by_item[item]).sum(axis=1)
        else:
            above = near.multiply(_centred(by_item, self.means_)[item]).sum(axis=1)
            scores = self.means_[user] + _ratio(above, near.multiply(_ones(by_item)[item]).sum(axis=1))
        return float(scores[0]) if alone else scores

    def recommend(self, users: ArrayLike, k: int = 10, *, exclude_seen: bool = True) -> Recommendation:
        """The items with the largest scores, of equal ones the lower number first; as `ItemKNN.recommend`."""
        check_is_fitted(self)
        user, alone = check_indices(users, self._by_user.shape[0], "users")
        near, means, have = self.similarity_[user], self.means_[user], self._by_user[user]
        return recommend_best(
            lambda part: self._scores(near[part], means[part]), have, k, exclude_seen=exclude_seen, alone=alone
        )

    def recommend_new(self, X: Any, k: int = 10, *, exclude_seen: bool = True) -> Recommendation:
        """As `recommend`, for users who were not in the fit: X as in `fit`."""
        check_is_fitted(self)
        have = _read_new(self, X)
        means = _row_means(have, self.feedback)
        rows = similarity_block(have, self._by_user, self.similarity, self.shrinkage, own=False)
        near = nearest_rows(rows, have.shape[0], self._by_user.shape[0], self.n_neighbors, own=False)
        return recommend_best(
            lambda part: self._scores(near[part], means[part]), have, k, exclude_seen=exclude_seen, alone=False
        )


def _check(model: ItemKNN | UserKNN) -> None:
    n = model.n_neighbors
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n_neighbors must be an integer >= 1, got {n!r}")
    if model.feedback not in ("interactions", "ratings"):
        raise ValueError(f"feedback must be 'interactions' or 'ratings', got {model.feedback!r}")
    check_similarity(model.similarity, model.shrinkage)


def _read_new(model: ItemKNN | UserKNN, X: Any) -> sp.csr_array:
    have = read_interactions(X, ratings=model.feedback == "ratings")
    if have.shape[1] != model.n_features_in_:
        raise ValueError(f"X must have the {model.n_features_in_} items of the fit, got {have.shape[1]}")
    return have


def _row_means(matrix: sp.csr_array, feedback: Feedback) -> NDArray[np.float64]:
    if feedback == "interactions":
        return np.zeros(matrix.shape[0])
    count = np.diff(matrix.indptr)
    everywhere = matrix.data.mean() if matrix.nnz else 0.0
    return np.where(count > 0, matrix.sum(axis=1) / np.maximum(count, 1), everywhere)


def _centred(matrix: sp.csr_array, column_means: NDArray) -> sp.csr_array:
    """The stored entries less their column's mean; what becomes 0 stays stored."""
    return sp.csr_array((matrix.data - column_means[matrix.indices], matrix.indices, matrix.indptr), matrix.shape)


def _ones(matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)


def _ratio(above: NDArray, below: NDArray) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)
