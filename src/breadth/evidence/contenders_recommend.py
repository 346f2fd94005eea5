"""Recommenders as contenders: what users took is partly hidden, and ten items for each are held against it.

A row is a user, an item that they took, and how much they liked it, from 1 to 5. Only what rates items by their rating
reads the last column; to the others an item is taken or not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.measures_trials import TOP
from breadth.evidence.problem import Prepared, Problem
from breadth.evidence.problem_trials import from_trials, named

TAKEN = {
    "tastes": "users and items have 8 hidden tastes, and items their popularity: both decide what is taken",
    "genres": "users of 10 kinds take items of their genre, four times in five",
    "popular": "items are taken by their popularity alone, whoever the user is",
}
N_USERS, N_ITEMS, EACH = 800, 500, 25  # items taken by each user on average
Items = NDArray[np.int64]


def read_interactions(name: str, encoding: str = "utf-8") -> Prepared:
    """Which user took which item.

    Args:
        name: of TAKEN, with `:n` for that many users; or a CSV file with a header, whose first columns are user, item
            and, where there is a third, a number that says how much it was liked.
        encoding: of the file.

    Raises:
        ValueError: if there is neither such a set nor such a file, n is no number from 50 on, or the file's columns
            are others.
    """
    if name.partition(":")[0] not in TAKEN and Path(name).is_file():
        rows, note = _from_file(name, encoding), f"file {Path(name).name}"
        name = Path(name).stem
    else:
        kind, n = named(name, TAKEN, unit="users", default=N_USERS, least=50)
        rows, note = _planted(kind, n), TAKEN[kind]
    users, items = (int(rows[:, column].max()) + 1 for column in (0, 1))
    return from_trials(
        name, "recommendation", rows, np.zeros(len(rows)), size=users, cardinality=(users, items), timed_fits=True,
        note=f"{items:,} items; {note}", rate_unit="users/s",
    )  # fmt: skip


def _planted(kind: str, n: int) -> NDArray[np.float64]:
    """Each user draws items without replacement, in proportion to the exponential of what speaks for them."""
    rng = np.random.default_rng(0)
    popularity = rng.permutation(np.log(1 / (10 + np.arange(N_ITEMS))))
    if kind == "tastes":
        affinity = rng.normal(size=(n, 8)) @ rng.normal(size=(8, N_ITEMS)) / np.sqrt(8)
        drawn_by = 2 * affinity + popularity
    elif kind == "genres":
        own = rng.integers(10, size=n)[:, None] == rng.integers(10, size=N_ITEMS)
        affinity = own - 0.1
        drawn_by = np.log(36) * own + popularity  # 9 of 10 items are of other genres: 36 / 9 = 4 to 1
    else:
        affinity = np.zeros((n, N_ITEMS))
        drawn_by = affinity + popularity
    order = np.argsort(-(drawn_by + rng.gumbel(size=drawn_by.shape)), axis=1)
    count = rng.integers(EACH // 2, EACH + EACH // 2 + 1, size=n)
    user, place = np.nonzero(np.arange(N_ITEMS) < count[:, None])
    item = order[user, place]
    liked = np.clip(np.round(3 + affinity[user, item] + rng.normal(size=len(user))), 1, 5)
    return np.column_stack([user, item, liked]).astype(np.float64)


def _from_file(name: str, encoding: str) -> NDArray[np.float64]:
    import polars as pl

    frame = pl.read_csv(name, encoding=encoding, infer_schema_length=None)
    if frame.width < 2 or frame.height < 2 or (frame.width > 2 and not frame.dtypes[2].is_numeric()):
        raise ValueError(
            f"{name}: interactions are a CSV file with a header, one a line: user, item and, if given, a number; this "
            f"one has {frame.height} lines of columns {', '.join(frame.columns)}"
        )
    user, item = (np.unique(frame[:, j].cast(pl.String).to_numpy(), return_inverse=True)[1] for j in (0, 1))
    liked = frame[:, 2].to_numpy().astype(np.float64) if frame.width > 2 else np.ones(frame.height)
    rows = np.column_stack([user.astype(np.float64), item.astype(np.float64), liked])
    return rows[np.unique(rows[:, :2], axis=0, return_index=True)[1]]  # of a pair given twice the first


class Recommender:
    """A recommender as an estimator of interactions.

    Args:
        model: with fit(users by items).
        recommend: from the model, users and the matrix to items, best first, without those that were taken, shape
            (users, TOP); below 0 where there is none.
        shape: users and items.
        liked: whether the matrix holds how much an item is liked, or ones.
    """

    def __init__(self, model: Any, recommend: Callable[..., Any], shape: tuple[int, ...], liked: bool):
        self.model, self.recommend, self.shape, self.liked = model, recommend, shape, liked

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        from scipy import sparse

        user, item = X[:, 0].astype(np.int64), X[:, 1].astype(np.int64)
        value = X[:, 2] if self.liked else np.ones(len(X))
        self.taken = sparse.csr_matrix((value.astype(np.float32), (user, item)), shape=self.shape)
        self.model.fit(self.taken)
        return self

    def predict(self, X: NDArray) -> Items:
        """Items for each of the users that X holds, in their order."""
        users = np.unique(X[:, 0]).astype(np.int64)
        return np.asarray(self.recommend(self.model, users, self.taken), np.int64)


class RandomItems:
    """Different items by chance, which the user may have taken.

    Args:
        seed: of what is drawn.
        n_items: to choose from.
    """

    def __init__(self, seed: int, n_items: int):
        self.seed, self.n_items = seed, n_items

    def fit(self, X: Any) -> Self:
        return self

    def draw(self, users: NDArray, taken: Any) -> Items:
        rng = np.random.default_rng(self.seed)
        return np.argsort(rng.random((len(users), self.n_items)), axis=1)[:, :TOP]


class _Quiet:
    """A model of `implicit`, without its bar and its advice on threads, which the cell sets."""

    def __init__(self, model: Any):
        self.model = model

    def fit(self, X: Any) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.fit(X, show_progress=False)
        return self


def _ours(name: str, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Recommender:
    from breadth import recommend

    drawn = {"random_state": seed, "n_jobs": n_threads} if name.endswith("ALS") else {}
    model = getattr(recommend, name)(**settings, **drawn)
    return Recommender(
        model,
        _ours_best,
        problem.cardinality,
        liked=settings.get("feedback") == "ratings" or name == "ExplicitALS",
    )


def _implicit(name: str, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Recommender:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from implicit.als import AlternatingLeastSquares
        from implicit.bpr import BayesianPersonalizedRanking
        from implicit.nearest_neighbours import CosineRecommender

        make: Any = {
            "als": partial(AlternatingLeastSquares, random_state=seed),
            "bpr": partial(BayesianPersonalizedRanking, random_state=seed),
            "cosine": CosineRecommender,
        }[name]
        model = make(**settings, num_threads=n_threads)
    return Recommender(
        _Quiet(model),
        _implicit_best,
        problem.cardinality,
        liked=False,
    )


def _ours_best(model: Any, users: Items, taken: Any) -> Items:
    return model.recommend(users, TOP).items


def _implicit_best(quiet: _Quiet, users: Items, taken: Any) -> Items:
    return quiet.model.recommend(users, taken[users], N=TOP)[0]


def _random(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Recommender:
    items = RandomItems(seed, problem.cardinality[1])
    return Recommender(items, RandomItems.draw, problem.cardinality, liked=False)


def recommender(name: str, kind: str, origin: str = "breadth", **settings: Any) -> Entry:
    """A recommender as a contender."""
    return Entry(name, origin, partial(_implicit if origin == "implicit" else _ours, kind), settings, cost=50.0)


ALS = {"factors": 16, "regularization": 1.0, "alpha": 10.0, "iterations": 15}
POPULARITY = recommender("popularity", "Popularity")
OURS = (
    recommender("item neighbours", "ItemKNN", n_neighbors=50),
    recommender("user neighbours", "UserKNN", n_neighbors=50),
    recommender("implicit ALS", "ImplicitALS", **ALS),
    recommender("explicit ALS", "ExplicitALS", factors=16),
    recommender("mean rating", "Popularity", feedback="ratings"),
)
PEERS = (
    recommender("implicit's ALS", "als", "implicit", **ALS),
    recommender("implicit's item cosine", "cosine", "implicit", K=50),
    recommender("implicit's BPR", "bpr", "implicit", factors=16, iterations=100),
)
DUMMY = Entry("dummy", "numpy", _random, cost=1.0)
