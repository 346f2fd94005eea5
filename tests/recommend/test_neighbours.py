"""Neighbourhood recommenders and the popularity baseline: plain loops, the library implicit, bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from breadth.recommend import ItemKNN, Popularity, UserKNN
from breadth.recommend.similarity import similarity_block

SIMILARITIES = ("cosine", "adjusted_cosine", "pearson", "jaccard")


def ratings(n_users=25, n_items=18, *, share=0.4, seed=0, mean=3.0):
    """Whole ratings where there are some, NaN elsewhere; the last user and item have none."""
    rng = np.random.default_rng(seed)
    X = mean + rng.integers(-2, 3, size=(n_users, n_items)).astype(float)
    X[rng.random(X.shape) > share] = np.nan
    X[-1] = X[:, -1] = np.nan
    return X


def similarity_by_loop(A, similarity, shrinkage):
    """Between the rows of A, NaN where nothing is known: slow twin of `similarity_block`."""
    n = len(A)
    if similarity == "adjusted_cosine":
        with np.errstate(invalid="ignore"):
            count = np.maximum((~np.isnan(A)).sum(0), 1)
            A = A - np.nansum(A, 0) / count
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            both = ~np.isnan(A[i]) & ~np.isnan(A[j])
            either = ~np.isnan(A[i]) | ~np.isnan(A[j])
            a, b = A[i][both], A[j][both]
            if similarity == "jaccard":
                value = both.sum() / either.sum() if either.any() else 0.0
            elif similarity == "pearson":
                value = np.corrcoef(a, b)[0, 1] if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
            else:
                size = np.sqrt(np.nansum(A[i] ** 2) * np.nansum(A[j] ** 2))
                value = a @ b / size if size > 0 else 0.0
            out[i, j] = value * (both.sum() / (both.sum() + shrinkage) if shrinkage else 1.0)
    return out


def stored(A):
    rows, columns = np.nonzero(~np.isnan(A))
    return sp.csr_array((A[rows, columns], (rows, columns)), shape=A.shape)


@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_similarities_equal_a_double_loop(similarity, shrinkage):
    A = ratings()
    ours = similarity_block(stored(A), stored(A), similarity, shrinkage, own=True)(slice(0, len(A)))
    assert_allclose(ours, similarity_by_loop(A, similarity, shrinkage), atol=1e-12)


def test_correlation_keeps_its_digits_at_a_mean_of_a_million():
    A = ratings(mean=1e6)
    ours = similarity_block(stored(A), stored(A), "pearson", 0.0, own=True)(slice(0, len(A)))
    assert_allclose(ours, similarity_by_loop(A, "pearson", 0.0), atol=1e-9)  # sums of 18 squares near 1, less a mean


def nearest_by_loop(S, k):
    near = np.zeros_like(S)
    for i, row in enumerate(S):
        order = [j for j in np.lexsort((np.arange(len(row)), -row)) if j != i and row[j] > 0][:k]
        near[i, order] = row[order]
    return near


def expected_by_loop(A, near, means):
    """m_row + sum_s (r - m) / sum_s over the near rows that have the column: rows rate columns."""
    out = np.repeat(means[:, None], A.shape[1], axis=1)
    for r in range(len(A)):
        for c in range(A.shape[1]):
            at = [v for v in range(len(A)) if near[r, v] > 0 and not np.isnan(A[v, c])]
            weight = near[r, at]
            if weight.sum() > 0:
                out[r, c] += weight @ (A[at, c] - means[at]) / weight.sum()
    return out


def means_of(A):
    count = (~np.isnan(A)).sum(axis=1)
    return np.where(count > 0, np.nansum(A, axis=1) / np.maximum(count, 1), np.nanmean(A))


@pytest.mark.parametrize("k", [1, 4, 100])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_expected_ratings_equal_plain_loops(similarity, k):
    X = ratings()
    pairs = np.indices(X.shape).reshape(2, -1)
    for cls, A in ((UserKNN, X), (ItemKNN, X.T)):
        near = nearest_by_loop(np.round(similarity_by_loop(A, similarity, 0.0), 13), k)
        model = cls(k, similarity=similarity, feedback="ratings").fit(X)
        kept = model.similarity_.toarray()
        assert_allclose(np.sort(kept), np.sort(near), atol=1e-12)
        if not np.allclose(kept, near):  # two that are equal but for rounding: either may be kept
            near = kept
        wanted = expected_by_loop(A, near, means_of(A))
        wanted = wanted if cls is UserKNN else wanted.T
        assert_allclose(model.predict(*pairs), wanted.ravel(), atol=1e-12)
        items, scores = model.recommend(np.arange(len(X)), 5)
        for user in range(len(X)):
            left = np.flatnonzero(np.isnan(X[user]))[:]
            assert_allclose(scores[user][scores[user] > -np.inf], np.sort(wanted[user, left])[::-1][:5], atol=1e-12)
            assert np.isnan(X[user, items[user][items[user] >= 0]]).all()


def test_interactions_are_scored_as_implicit_does():
    nearest = pytest.importorskip("implicit.nearest_neighbours", reason="the peer implicit is in the extra [peers]")
    X = sp.random_array((60, 40), density=0.15, rng=np.random.default_rng(0), format="csr")
    ours = ItemKNN(7).fit(X)
    peer = nearest.CosineRecommender(K=8, num_threads=1)  # its neighbours count the item itself
    peer.fit(sp.csr_matrix(X), show_progress=False)
    theirs = peer.similarity.toarray()
    np.fill_diagonal(theirs, 0.0)
    assert_allclose(ours.similarity_.toarray(), theirs, atol=1e-12)
    users = np.arange(60)
    items, scores = ours.recommend(users, 6)
    their_items, their_scores = peer.recommend(users, sp.csr_matrix(X), 6)
    common = (scores > 0) & (their_scores > 0)  # implicit fills up with whatever scores 0
    assert_allclose(scores[common], their_scores[common], atol=1e-12)
    assert_array_equal(items[common], their_items[common])


@pytest.mark.parametrize("cls", [UserKNN, ItemKNN])
@pytest.mark.parametrize("feedback", ["interactions", "ratings"])
def test_scores_of_pairs_of_users_and_of_new_users_agree(cls, feedback):
    X = np.nan_to_num(ratings()) if feedback == "interactions" else ratings()
    model = cls(5, feedback=feedback).fit(X)
    items, scores = model.recommend(np.arange(len(X)), 4, exclude_seen=False)
    assert_allclose(model.predict(np.repeat(np.arange(len(X)), 4), items.ravel()), scores.ravel(), atol=1e-12)
    if cls is ItemKNN:  # a row of the fit is a new user like any other
        assert_allclose(model.recommend_new(X, 4, exclude_seen=False).scores, scores, atol=1e-12)
    else:  # a copy of a user finds that user first
        S = similarity_block(model._by_user, model._by_user, "cosine", 0.0, own=True)(slice(0, 1))[0]
        top = np.argsort(-S, kind="stable")[:5]
        assert top[0] == 0
        wanted = S[top][S[top] > 0]
        again = model.recommend_new(X[:1], X.shape[1], exclude_seen=False)
        if feedback == "interactions":
            scored = np.zeros(X.shape[1])
            scored[again.items[0]] = again.scores[0]
            assert_allclose(scored, wanted @ X[top[: len(wanted)]], atol=1e-12)


def test_near_items_come_first_and_are_told():
    X = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 0]])
    model = ItemKNN(2, similarity="jaccard").fit(X)
    near = model.similar_items(0, 3)
    assert_array_equal(near.items, [1, 3])
    assert_allclose(near.scores, [2 / 3, 1 / 4])
    assert_array_equal(model.recommend(3, 1).items, [1])


def test_popularity_counts_users_and_damps_means():
    X = np.array([[5.0, np.nan, 4.0], [1.0, 5.0, np.nan]])
    model = Popularity("ratings", damping=2.0).fit(X)
    mu = 15 / 4
    assert_allclose(model.scores_, [(6 + 2 * mu) / 4, (5 + 2 * mu) / 3, (4 + 2 * mu) / 3])
    clicks = Popularity().fit(np.array([[3, 0, 1], [1, 0, 0]]))
    assert_array_equal(clicks.scores_, [2, 0, 1])
    assert_array_equal(clicks.recommend(0, 3).items, [1])
    assert_array_equal(clicks.recommend([0, 1], 2).items, [[1, -1], [2, 1]])
    assert clicks.predict(1, 0) == 2.0


@pytest.mark.parametrize("cls", [UserKNN, ItemKNN])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors must be an integer >= 1"),
        ({"similarity": "dot"}, "similarity must be one of 'cosine'"),
        ({"feedback": "clicks"}, "feedback must be 'interactions' or 'ratings'"),
        ({"shrinkage": -1}, "shrinkage must be a finite number >= 0"),
    ],
)
def test_bad_parameters_are_named(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options).fit(np.eye(3))


def test_bad_input_of_the_others_is_named():
    with pytest.raises(ValueError, match="damping"):
        Popularity("ratings", damping=-1).fit(np.eye(2))
    with pytest.raises(ValueError, match="feedback"):
        Popularity("stars").fit(np.eye(2))
    with pytest.raises(ValueError, match="3 items of the fit, got 2"):
        UserKNN().fit(np.eye(3)).recommend_new(np.eye(2), 1)
    assert_array_equal(UserKNN().fit(np.eye(3)).recommend(0, 2).scores, [0, 0])  # nobody is like anybody
