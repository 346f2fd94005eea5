"""Small networks as contenders: one choice differs, everything else is the same and stands in the settings.

Columns reach them as they reach linear models: holes filled, numbers scaled, categories one-hot. What a comparison does
to the training rows alone (wrong labels, few rows of some classes, few rows at all) is a contender's setting too, so
that held-out rows stay as they are and each contender of a cell sees the same altered rows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import loguniform
from sklearn.exceptions import ConvergenceWarning

from breadth.evidence.contenders import encoded
from breadth.evidence.entry import Entry, Make, Settings
from breadth.evidence.problem import Problem

EPOCHS, BATCH, RATE = 30, 64, 1e-3
RATES, DECAYS = loguniform(1e-4, 1.0), loguniform(1e-4, 1.0)
Alter = Callable[[NDArray, NDArray, np.random.Generator], tuple[NDArray, NDArray]]


class Altered:
    """A classifier that is shown other training rows than it is given.

    Args:
        estimator: fitted on what `alter` returns.
        alter: from rows, class codes and a generator to those that are shown; no class may vanish.
        seed: of the generator: the same for every contender of a cell.
    """

    def __init__(self, estimator: Any, alter: Alter, seed: int):
        self.estimator, self.alter, self.seed = estimator, alter, seed

    def fit(self, X: NDArray, y: NDArray, **with_: Any) -> Self:
        self.estimator.fit(*self.alter(X, y, np.random.default_rng(self.seed)), **with_)
        return self

    def predict(self, X: NDArray) -> NDArray:
        return self.estimator.predict(X)

    def predict_proba(self, X: NDArray) -> NDArray:
        return self.estimator.predict_proba(X)


def mislabel(share: float, X: NDArray, y: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """A share of the rows, drawn evenly, gets another class, each other one equally likely; one row a class is kept."""
    n_classes = int(y.max()) + 1
    wrong = rng.random(len(y)) < share
    wrong[np.unique(y, return_index=True)[1]] = False
    moved = (y + rng.integers(1, max(n_classes, 2), len(y))) % n_classes
    return X, np.where(wrong, moved, y)


def thin(rarest: float, X: NDArray, y: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Keep a share of each class's rows that falls geometrically from 1 for class 0 to `rarest` for the last one."""
    counts = np.bincount(y)
    shares = rarest ** (np.arange(len(counts)) / max(len(counts) - 1, 1))
    kept = [
        rng.choice(np.flatnonzero(y == k), max(1, round(share * n)), replace=False)
        for k, (share, n) in enumerate(zip(shares, counts, strict=True))
    ]
    rows = np.sort(np.concatenate(kept))
    return X[rows], y[rows]


def few(n: int, X: NDArray, y: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Keep n rows, spread evenly over the classes."""
    each = max(1, n // (int(y.max()) + 1))
    kept = [rng.permutation(np.flatnonzero(y == k))[:each] for k in range(int(y.max()) + 1)]
    rows = np.sort(np.concatenate(kept))
    return X[rows], y[rows]


ALTERATIONS: dict[str, Callable[..., tuple[NDArray, NDArray]]] = {"mislabelled": mislabel, "rarest": thin, "rows": few}


def perceptron(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """Our multilayer perceptron, behind the encoding; settings of ALTERATIONS change what it is fitted on."""
    from breadth.nn.estimators import MLPClassifier, MLPRegressor

    own = {name: value for name, value in settings.items() if name not in ALTERATIONS}
    make = MLPRegressor if problem.family == "regression" else MLPClassifier
    estimator = make(**_sized(own, problem), random_state=seed, n_threads=n_threads)
    return _altered(encoded(estimator, problem), settings, seed)


def sklearn_perceptron(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """scikit-learn's, which stops when its loss no longer falls; here it runs all its epochs, as ours does."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    own = {name: value for name, value in settings.items() if name not in ALTERATIONS}
    make = MLPRegressor if problem.family == "regression" else MLPClassifier
    return _altered(
        _AllEpochs(encoded(make(**own, n_iter_no_change=10**6, random_state=seed), problem)), settings, seed
    )


class _AllEpochs:
    """scikit-learn's network without its warning that it was still learning: the number of epochs is set on purpose."""

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def fit(self, X: NDArray, y: NDArray) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.estimator.fit(X, y)
        return self

    def predict(self, X: NDArray) -> NDArray:
        return self.estimator.predict(X)

    def predict_proba(self, X: NDArray) -> NDArray:
        return self.estimator.predict_proba(X)


def with_decay(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """`perceptron` whose decay is decoupled or a gradient of a penalty, by SGD with momentum or by Adam."""
    from breadth.nn.optim import SGD, Adam

    own = dict(settings)
    rule, decoupled = own.pop("rule"), own.pop("decoupled", False)
    make = Adam if rule == "adam" else partial(SGD, momentum={"sgd": 0.0, "momentum": 0.9}[rule])
    own["optimizer"] = partial(make, decoupled_weight_decay=decoupled)
    return perceptron(problem, seed, n_threads, own)


def torch_rule(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """`perceptron` stepped by an optimizer of torch's own."""
    import torch

    own = dict(settings)
    own["optimizer"] = getattr(torch.optim, own.pop("rule"))
    return perceptron(problem, seed, n_threads, own)


def shaped(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """A network of images or sequences: a row is a square image, and its lines, in order, are a sequence's steps."""
    from breadth.nn import estimators

    own = dict(settings)
    altered = {name: own.pop(name) for name in tuple(own) if name in ALTERATIONS}
    kind, shuffled = own.pop("kind"), own.pop("shuffled", False)
    side = math.isqrt(problem.n_features)
    if side * side != problem.n_features or side < 4:
        raise ValueError(
            f"rows have {problem.n_features} columns, which is no square image of 4 x 4 or more; "
            "architectures are compared on such"
        )
    options = {name: own.pop(name) for name in tuple(own) if name in ("channels", "hidden_size", "d_model", "cell")}
    estimator = estimators.NetworkClassifier(
        partial(getattr(estimators, kind), **options),
        input_shape=(1, side, side) if kind == "convolutional" else (side, side),
        **own,
        random_state=seed,
        n_threads=n_threads,
    )
    return _altered(_Shuffled(estimator) if shuffled else estimator, altered, seed)


class _Shuffled:
    """A classifier that sees the columns in one arbitrary order, always the same."""

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def _columns(self, X: NDArray) -> NDArray:
        return X[:, np.random.default_rng(0).permutation(X.shape[1])]

    def fit(self, X: NDArray, y: NDArray) -> Self:
        self.estimator.fit(self._columns(X), y)
        return self

    def predict_proba(self, X: NDArray) -> NDArray:
        return self.estimator.predict_proba(self._columns(X))


def _altered(estimator: Any, settings: Settings, seed: int) -> Any:
    for name, alter in ALTERATIONS.items():
        if name in settings:
            return Altered(estimator, partial(alter, settings[name]), seed)
    return estimator


def _sized(settings: dict[str, Any], problem: Problem) -> dict[str, Any]:
    """ "layers" and "parameters" as hidden_sizes: the width at which so many layers have so many weights and biases."""
    if "parameters" not in settings:
        return settings
    layers, wanted = settings.pop("layers"), settings.pop("parameters")
    before, after = problem.n_features, max(problem.n_classes, 1)
    # (layers - 1) w^2 + (before + after + layers) w + after = wanted
    a, b, c = layers - 1, before + after + layers, after - wanted
    width = -c / b if a == 0 else (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)
    return {**settings, "hidden_sizes": (max(1, round(width)),) * layers}


def network(name: str, make: Make = perceptron, *, origin: str = "breadth", **settings: Any) -> Entry:
    """A contender of so many epochs and rows a batch, and what `settings` add or change."""
    shared = {"max_epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE, "weight_decay": 0.0}
    space = {"learning_rate": RATES}
    if settings.get("weight_decay"):
        space["weight_decay"] = DECAYS
    return Entry(name, origin, make, {**shared, **settings}, space, cost=15_000, rooms=("nn", "tabular"))


def sklearn_network(name: str = "scikit-learn MLP", **settings: Any) -> Entry:
    """scikit-learn's perceptron with the same budget."""
    shared = {"max_iter": EPOCHS, "batch_size": BATCH, "learning_rate_init": RATE, "alpha": 0.0}
    space = {"learning_rate_init": RATES}
    return Entry(name, "scikit-learn", sklearn_perceptron, {**shared, **settings}, space, cost=15_000)
