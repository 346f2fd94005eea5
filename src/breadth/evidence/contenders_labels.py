"""Learning where labels are few, asked for, or of rare classes, as contenders.

All training rows reach a contender, and it is a setting of its own how many labels it may see; held-out rows stay as
they are. Columns reach it as they reach linear models.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.contenders import encoded
from breadth.evidence.contenders_networks import Altered, few
from breadth.evidence.entry import Entry, Settings
from breadth.evidence.measures import MEASURES
from breadth.evidence.problem import Family, Problem
from breadth.evidence.study import Measure

LABELS = 24  # seen where labels are few, even over the classes
BUDGET, FIRST = 60, 12  # labels asked for, and of those at random to begin with
# probabilities of spread labels and of selves that were trained are too sure, so that classes decide
BY_ACCURACY: Mapping[Family, tuple[Measure, ...]] = {
    "classification": tuple(sorted(MEASURES["classification"], key=lambda m: m.name != "accuracy"))
}
ROOMS = ("tabular", "nn", "evidence/contenders_labels.py", "evidence/contenders_networks.py")


def hide(n: int, X: NDArray, y: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """All rows, with labels of n of them, spread evenly over the classes, and -1 for the others."""
    shown, _ = few(n, np.arange(len(y))[:, None], y, rng)
    labels = np.full(len(y), -1)
    labels[shown[:, 0]] = y[shown[:, 0]]
    return X, labels


def _logistic(**settings: Any) -> Any:
    from breadth.tabular import LogisticRegression

    return LogisticRegression(**settings)


def _supervised(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    own = dict(settings)
    rows = own.pop("rows", None)
    model = encoded(_logistic(**own), problem)
    return model if rows is None else Altered(model, partial(few, rows), seed)


def _semi(problem: Problem, seed: int, n_threads: int, settings: Settings, *, origin: str) -> Any:
    from sklearn import semi_supervised

    from breadth import tabular

    own = dict(settings)
    kind, rows = own.pop("kind"), own.pop("rows")
    make = getattr(tabular if origin == "breadth" else semi_supervised, kind)
    model = make(_logistic(), **own) if kind == "SelfTrainingClassifier" else make(**own)
    return Altered(encoded(model, problem), partial(hide, rows), seed)


def _asking(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth.tabular import ActiveLearner

    learner = ActiveLearner(_logistic(), n_initial=FIRST, batch_size=4, random_state=seed, **settings)
    return encoded(learner, problem)


def semi(name: str, kind: str, origin: str = "breadth", **settings: Any) -> Entry:
    """A learner of few labels and the other rows without."""
    chosen = {"kind": kind, "rows": LABELS, **settings}
    rooms = ROOMS if origin == "breadth" else ROOMS[2:]
    return Entry(name, origin, partial(_semi, origin=origin), chosen, cost=3000.0, rooms=rooms)


def asking(name: str, **settings: Any) -> Entry:
    """A learner that asks for so many labels by a strategy."""
    return Entry(name, "breadth", _asking, {"budget": BUDGET, **settings}, cost=10_000.0, rooms=ROOMS)


FEW_LABELS = Entry("logistic, few labels", "breadth", _supervised, {"rows": LABELS}, rooms=ROOMS)
ALL_LABELS = Entry("logistic, all labels", "breadth", _supervised, {}, rooms=ROOMS)
SPREAD: dict[str, Any] = {"kernel": "knn", "max_iter": 1000}
SEMI = (
    semi("self-training", "SelfTrainingClassifier", threshold=0.9, max_iter=None),
    semi("label propagation", "LabelPropagation", **SPREAD),
    semi("label spreading", "LabelSpreading", alpha=0.9, **SPREAD),
)
SEMI_PEERS = (  # scikit-learn's label spreading has no finite probabilities where neighbours have none
    semi("scikit-learn self-training", "SelfTrainingClassifier", "scikit-learn", threshold=0.9, max_iter=None),
)
RANDOM = asking("random", strategy="random")
STRATEGIES = (
    asking("least confidence", strategy="least_confidence"),
    asking("margin", strategy="margin"),
    asking("entropy", strategy="entropy"),
    asking("vote entropy", strategy="vote_entropy"),
    asking("consensus KL", strategy="consensus_kl"),
)
