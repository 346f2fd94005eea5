"""Classifiers of a rare class as contenders: as they come, re-weighted, by losses of their own, threshold moved.

Where the rarest class has more than a share of the training rows, it is thinned down to that share, which is a setting
of each contender, so that all of a cell see the same rows; held-out rows stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence import contenders
from breadth.evidence.contenders_networks import Altered, network
from breadth.evidence.entry import Entry, Make, Settings
from breadth.evidence.problem import Problem

RARE = 0.05  # share of the training rows that the rarest class has at most
ROOMS = ("tabular", "evidence/contenders_networks.py", "evidence/contenders_imbalance.py")


def rare(share: float, X: NDArray, y: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Drop rows of the rarest class, the last of equal ones, until it has that share of the rows at most."""
    counts = np.bincount(y)
    rarest = rarest_class(y)
    n = max(1, round(share / (1 - share) * (len(y) - counts[rarest])))
    if n >= counts[rarest]:
        return X, y
    kept = rng.choice(np.flatnonzero(y == rarest), n, replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(y != rarest), kept]))
    return X[rows], y[rows]


def rarest_class(y: NDArray) -> int:
    """The code of the class with the fewest rows, the last of equal ones."""
    counts = np.bincount(y)
    return len(counts) - 1 - int(counts[::-1].argmin())


class Weighted:
    """A classifier fitted with weights under which all classes weigh alike."""

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def fit(self, X: NDArray, y: NDArray, **with_: Any) -> Self:
        self.estimator.fit(X, y, sample_weight=len(y) / (np.bincount(y) * np.unique(y).size)[y], **with_)
        return self

    def predict_proba(self, X: NDArray) -> NDArray:
        return self.estimator.predict_proba(X)


class Moved:
    """A classifier whose probabilities are those of classes alike in number: p(k | x) / share of k, to a sum of 1.

    References: Menon et al. 2021, arXiv:2007.07314, eq. 9 with tau = 1.
    """

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def fit(self, X: NDArray, y: NDArray, **with_: Any) -> Self:
        self.shares = np.bincount(y) / len(y)
        self.estimator.fit(X, y, **with_)
        return self

    def predict_proba(self, X: NDArray) -> NDArray:
        p = self.estimator.predict_proba(X) / self.shares
        return p / p.sum(1, keepdims=True)


class Asymmetric:
    """A network of two classes that learns by the asymmetric loss, label 1 being the rarer class."""

    def __init__(self, pipeline: Any, options: Settings):
        self.pipeline, self.options = pipeline, options

    def fit(self, X: NDArray, y: NDArray) -> Self:
        self.pipeline[-1].set_params(loss=partial(asymmetric, rarest_class(y), **self.options))
        self.pipeline.fit(X, y)
        return self

    def predict_proba(self, X: NDArray) -> NDArray:
        return self.pipeline.predict_proba(X)


def asymmetric(label: int, logits: Any, target: Any, **options: Any) -> Any:
    """Asymmetric loss of the log-odds of one class of two; logits (batch, 2), target (batch,)."""
    from breadth.nn.losses import asymmetric_loss

    log_odds = logits[:, label] - logits[:, 1 - label]
    return asymmetric_loss(log_odds, (target == label).to(logits), **options)


def _thinned(make: Make, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    own = dict(settings)
    share = own.pop("rare", None)
    model = make(problem, seed, n_threads, own)
    return model if share is None else Altered(model, partial(rare, share), seed)


def _around(
    wrap: Callable[[Any], Any], make: Make, problem: Problem, seed: int, n_threads: int, settings: Settings
) -> Any:
    return wrap(make(problem, seed, n_threads, settings))


def _by_asymmetric_loss(make: Make, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    if problem.task != "binary":
        raise ValueError(
            f"the asymmetric loss asks whether one label is there, and the target has {problem.n_classes} classes; "
            "leave this contender out, or give a target of two classes"
        )
    own = dict(settings)
    options = {name: own.pop(name) for name in ("gamma_neg", "gamma_pos", "margin") if name in own}
    return Asymmetric(make(problem, seed, n_threads, own), options)


def contender(entry: Entry, name: str, wrap: Callable[[Any], Any] | None = None, **settings: Any) -> Entry:
    """A contender of another comparison under rare classes, with further settings, and what is put around it."""
    make = entry.make if wrap is None else partial(_around, wrap, entry.make)
    rooms = ROOMS if entry.origin == "breadth" else ROOMS[1:]
    return replace(
        entry,
        name=name,
        make=partial(_thinned, make),
        settings={**entry.settings, "rare": RARE, **settings},
        stages=None,  # which speak of what is inside the wrapper
        rooms=tuple(dict.fromkeys((*entry.rooms, *rooms))),
    )


def _network(name: str, loss: str, make: Callable[[Make], Make] | None = None, **settings: Any) -> Entry:
    entry = network(name, loss=loss)
    return contender(entry if make is None else replace(entry, make=make(entry.make)), name, **settings)


LOGISTIC = contender(contenders.LOGISTIC, "logistic")
LINEAR = (
    LOGISTIC,
    contender(contenders.LOGISTIC, "logistic, re-weighted", class_weight="balanced"),
    contender(contenders.LOGISTIC, "logistic, threshold moved", Moved),
    contender(contenders.SKLEARN_LOGISTIC, "scikit-learn logistic, re-weighted", class_weight="balanced"),
)
TREES = (
    contender(contenders.LEAF_WISE, "boosting"),
    contender(contenders.LEAF_WISE, "boosting, re-weighted", Weighted),
    contender(contenders.LEAF_WISE, "boosting, focal", loss="focal"),
    contender(contenders.LEAF_WISE, "boosting, threshold moved", Moved),
    contender(contenders.LIGHTGBM, "LightGBM, re-weighted", class_weight="balanced"),
    contender(contenders.HGB, "scikit-learn HGB, re-weighted", class_weight="balanced"),
    contender(contenders.FOREST, "forest"),
    contender(contenders.FOREST, "forest, re-weighted", class_weight="balanced_subsample"),
)
NETWORKS = (
    _network("network", "cross_entropy"),
    _network("network, re-weighted", "inverse_count"),
    _network("network, balanced softmax", "balanced_softmax"),
    _network("network, focal", "focal"),
    _network(
        "network, ASL",
        "cross_entropy",
        lambda make: partial(_by_asymmetric_loss, make),
        gamma_neg=4.0,
        gamma_pos=0.0,
        margin=0.05,
    ),
)
DUMMY = contender(contenders.DUMMY, "dummy")
