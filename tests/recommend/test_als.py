"""Alternating least squares: what it minimises, what it recommends, and bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from breadth.recommend import ExplicitALS, ImplicitALS, ItemKNN
from breadth.recommend.ranking_kernels import keep_best


def low_rank(n_users=120, n_items=80, rank=3, *, share=0.3, noise=0.02, seed=0):
    """Ratings of known rank, of which a share is observed; those observed, and all."""
    rng = np.random.default_rng(seed)
    full = 3.0 + rng.normal(size=(n_users, rank)) @ rng.normal(size=(rank, n_items))
    seen = rng.random(full.shape) < share
    observed = np.where(seen, full + noise * rng.normal(size=full.shape), np.nan)
    return observed, full, ~seen


def test_ratings_that_were_held_back_are_found_and_zeros_in_their_place_would_hide_them():
    observed, full, hidden = low_rank()
    model = ExplicitALS(3, 0.001, 30, random_state=0).fit(observed)
    user, item = np.nonzero(hidden)
    error = np.sqrt(np.mean((model.predict(user, item) - full[hidden]) ** 2))
    with pytest.warns(UserWarning, match="all of its 9600 entries are ratings, the zeros too.*csr_array"):
        filled = ExplicitALS(3, 0.001, 30, random_state=0).fit(np.nan_to_num(observed))
    error_filled = np.sqrt(np.mean((filled.predict(user, item) - full[hidden]) ** 2))
    assert error < 0.1
    assert error_filled > 1.0


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_every_half_turn_lowers_the_objective(biases, weighted):
    observed, _, _ = low_rank(noise=0.5)
    model = ExplicitALS(4, 0.1, 8, random_state=1, biases=biases, weighted=weighted).fit(observed)
    assert len(model.objectives_) == 2 * model.n_iter_ == 16
    assert (np.diff(model.objectives_) < 0).all()


def test_the_exact_implicit_solver_lowers_its_objective_in_every_iteration():
    X = np.random.default_rng(0).integers(0, 3, size=(40, 30)) * (np.random.default_rng(1).random((40, 30)) < 0.2)
    seen = []
    ImplicitALS(5, iterations=6, solver="cholesky", dtype="float64", random_state=0).fit(
        X, callback=lambda _, model: seen.append(model.objective_of(X))
    )
    assert len(seen) == 6
    assert (np.diff(seen) < 0).all()


def test_tol_ends_a_fit_and_a_callback_stops_it():
    observed, _, _ = low_rank(noise=0.5)
    assert ExplicitALS(2, 0.1, 50, tol=1e-3, random_state=0).fit(observed).n_iter_ < 50
    assert ExplicitALS(2, 0.1, 50, random_state=0).fit(observed, callback=lambda turn, _: turn == 3).n_iter_ == 3
    turns = []
    ImplicitALS(2, random_state=0).fit(np.eye(4), callback=lambda turn, _: turns.append(turn) or turn == 2)
    assert turns == [1, 2]


@pytest.mark.parametrize("model", [ImplicitALS(3, random_state=0), ExplicitALS(3, random_state=0)])
def test_a_second_fit_can_go_on_from_the_first(model):
    X = sp.csr_array(np.random.default_rng(0).integers(0, 2, size=(20, 15)))
    whole = type(model)(**(model.get_params() | {"iterations": 6})).fit(X)
    parts = type(model)(**(model.get_params() | {"iterations": 3, "warm_start": True})).fit(X).fit(X)
    assert_array_equal(whole.user_factors_, parts.user_factors_)
    with pytest.raises(ValueError, match="warm_start needs factors"):
        parts.fit(X[:-1])


@pytest.mark.parametrize("cls", [ImplicitALS, ExplicitALS])
def test_the_number_of_threads_changes_no_bit(cls):
    X = sp.random_array((300, 90), density=0.1, rng=np.random.default_rng(0), format="csr")
    one, three = (cls(6, random_state=0, n_jobs=n).fit(X).user_factors_ for n in (1, 3))
    assert_array_equal(one, three)


def test_users_and_items_without_entries_have_no_factors_and_average_ratings():
    X = sp.csr_array(([5.0, 3.0, 4.0], ([0, 0, 2], [0, 1, 0])), shape=(4, 3))
    clicks = ImplicitALS(2, random_state=0).fit(X)
    assert_array_equal(clicks.user_factors_[1], 0)
    assert clicks.predict(1, 0) == 0
    assert_array_equal(clicks.recommend(1, 3).items, [0, 1, 2])
    ratings = ExplicitALS(2, random_state=0).fit(X)
    assert ratings.predict(1, 2) == ratings.mean_ == 4.0
    assert_allclose(ratings.predict(1, 0), 4.0 + ratings.item_biases_[0])


def test_a_stored_zero_is_a_rating_and_no_click():
    X = sp.csr_array((np.array([0.0, 4.0, 4.0, 0.0]), ([0, 0, 1, 1], [0, 1, 0, 1])), shape=(2, 2))
    assert ExplicitALS(1, random_state=0).fit(X).mean_ == 2.0
    assert_array_equal(ImplicitALS(1, random_state=0).fit(X).recommend(0, 2).items, [0])


def test_what_was_seen_is_left_out_and_too_few_are_told():
    X = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1]])
    model = ImplicitALS(2, iterations=3, random_state=0).fit(X)
    items, scores = model.recommend([0, 1], 2)
    assert_array_equal(items, [[2, -1], [-1, -1]])
    assert_array_equal(scores[1], [-np.inf, -np.inf])
    assert_array_equal(model.recommend(0, 2).items, [2])
    assert len(model.recommend(1, 3).items) == 0
    assert len(model.recommend(1, 3, exclude_seen=False).items) == 3


def test_the_best_are_kept_as_sorting_would():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 6, size=(50, 40)).astype(float)  # many ties
    seen = [np.sort(rng.choice(40, rng.integers(0, 40), replace=False)) for _ in range(50)]
    indptr = np.r_[0, np.cumsum([len(s) for s in seen])]
    best, item = np.empty((50, 7)), np.empty((50, 7), np.int64)
    keep_best(score.copy(), indptr, np.concatenate(seen), best, item)
    for row, gone, top, at in zip(score, seen, best, item, strict=True):
        left = np.setdiff1d(np.arange(40), gone)
        order = left[np.lexsort((left, -row[left]))][:7]
        assert_array_equal(at[: len(order)], order)
        assert_array_equal(top[: len(order)], row[order])
        assert (at[len(order) :] == -1).all()


@pytest.mark.parametrize("cls", [ImplicitALS, ExplicitALS])
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones(3), ValueError, "matrix of users by items"),
        (np.array([["a"]]), TypeError, "numeric matrix"),
        (sp.csr_array(np.array([[1.0, np.nan]])), ValueError, "holds NaN or infinity"),
        (np.array([[1.0, np.inf]]), ValueError, "holds NaN or infinity"),
        (np.zeros((0, 3)), ValueError, "no users"),
        (np.zeros((3, 0)), ValueError, "no items"),
    ],
)
def test_bad_matrices_are_named(cls, X, error, message):
    with pytest.raises(error, match=message):
        cls(2).fit(X)


def test_ratings_that_come_twice_or_not_at_all_are_named():
    twice = sp.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 2))
    with pytest.raises(ValueError, match="1 ratings of a user and item that have one already"):
        ExplicitALS(1).fit(twice)
    with pytest.raises(ValueError, match="holds no rating"):
        ExplicitALS(1).fit(sp.csr_array((2, 2)))
    once = sp.coo_array(([3.0], ([0], [1])), shape=(2, 2))
    assert_allclose(
        ImplicitALS(1, random_state=0).fit(twice).user_factors_, ImplicitALS(1, random_state=0).fit(once).user_factors_
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": 0}, "factors must be an integer >= 1"),
        ({"factors": 2.0}, "factors must be an integer >= 1"),
        ({"regularization": 0.0}, "regularization must be a finite number > 0"),
        ({"alpha": -1.0}, "alpha must be a finite number > 0"),
        ({"iterations": 0}, "iterations must be an integer >= 1"),
        ({"cg_steps": 0}, "cg_steps must be an integer >= 1"),
        ({"solver": "lu"}, "solver must be 'cg' or 'cholesky'"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64'"),
    ],
)
def test_bad_parameters_of_the_implicit_kind_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ImplicitALS(**options).fit(np.eye(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": -1}, "factors must be an integer >= 0"),
        ({"factors": 0, "biases": False}, "factors must be an integer >= 1"),
        ({"regularization": np.inf}, "regularization must be a finite number > 0"),
        ({"tol": -1.0}, "tol must be a finite number >= 0"),
    ],
)
def test_bad_parameters_of_the_explicit_kind_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ExplicitALS(**options).fit(np.eye(3))


@pytest.mark.parametrize("cls", [ImplicitALS, ExplicitALS])
def test_bad_questions_are_named(cls):
    model = cls(2, random_state=0).fit(sp.eye_array(3))
    for users, error, message in ((3, ValueError, r"users must be in \[0, 3\), got 3"), ("0", TypeError, "users must")):
        with pytest.raises(error, match=message):
            model.recommend(users)
    with pytest.raises(ValueError, match=r"k must be in \[1, 3\]"):
        model.recommend(0, 4)
    with pytest.raises(ValueError, match="pair up, got 2 and 3"):
        model.predict([0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="3 items of the fit, got 4"):
        model.recommend_new(np.ones((1, 4)), 1)
    assert isinstance(model.predict(0, 1), float)
    assert model.predict([0, 1], 2).shape == (2,)


@pytest.mark.parametrize("cls", [ImplicitALS, ItemKNN])
def test_near_items_are_asked_for_one_item_by_its_number(cls):
    model = cls().fit(np.eye(3))
    with pytest.raises(ValueError, match=r"item must be in \[0, 3\), got 3"):
        model.similar_items(3, 1)
    with pytest.raises(ValueError, match="item must be one column number"):
        model.similar_items([0, 1], 1)


def test_values_that_overflow_are_told():
    with pytest.raises(ValueError, match="overflows float32"):
        ImplicitALS(2, alpha=1e30).fit(np.eye(3) * 1e30)
