"""Times first fits in this process and prints them as JSON; `start.py` runs it with a NUMBA_CACHE_DIR of its choice.

Usage: python first_fit.py ROWS THREADS [all]: the binary path, and with `all` then each further loss and option.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any


def clocks() -> tuple[float, float]:
    """Wall and CPU seconds, those of all threads."""
    return time.perf_counter(), time.process_time()


def spent(work: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = clocks()
    work()
    after = clocks()
    return after[0] - wall, after[1] - cpu


def main(rows: int, threads: int, everything: bool) -> dict[str, tuple[float, float]]:
    wall, cpu = clocks()
    import numpy as np

    from breadth.tabular import GradientBoostingClassifier as Classifier
    from breadth.tabular import GradientBoostingRegressor as Regressor

    after = clocks()
    told = {"import": (after[0] - wall, after[1] - cpu)}
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 28), dtype=np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.logistic(size=rows) > 0).astype(np.int64)
    model = Classifier(n_threads=threads)
    told["fit"] = spent(lambda: model.fit(X, y))
    told["predict_proba"] = spent(lambda: model.predict_proba(X))
    if not everything:
        return told

    from breadth.tabular.trees.forest import RandomForestClassifier
    from breadth.tabular.trees.tree import DecisionTreeClassifier

    X, y = X[:2000], y[:2000]
    z = X[:, 0] - X[:, 1] + rng.standard_normal(len(X))
    mixed, holes = X.copy(), X.copy()
    mixed[:, :2] = rng.integers(0, 9, (len(X), 2))
    holes[rng.random(X.shape) < 0.1] = np.nan
    weight, settings = rng.exponential(size=len(X)), {"max_iter": 3, "n_threads": threads}

    def classify(data: Any, target: Any, weight: Any = None, **more: Any) -> Callable[[], Any]:
        return lambda: Classifier(**settings, **more).fit(data, target, weight).predict_proba(data)

    def regress(loss: str, target: Any) -> Callable[[], Any]:
        return lambda: Regressor(loss, **settings).fit(X, target).predict(X)

    further = {
        "missing at predict": lambda: model.predict_proba(holes),
        "missing values": classify(holes, y),
        "level-wise": classify(X, y, growth="level", max_depth=5),
        "float64 input": classify(X.astype(np.float64), y),
        "focal": classify(X, y, loss="focal"),
        "multiclass": classify(X, np.digitize(z, (-1, 1))),
        "squared_error": regress("squared_error", z),
        "absolute_error": regress("absolute_error", z),
        "quantile": regress("quantile", z),
        "poisson": regress("poisson", np.exp(z / 2)),
        "sample weights": classify(X, y, weight),
        "categorical": classify(mixed, y, categorical_features=[0, 1]),
        "monotone": classify(X, y, monotonic_cst=[1] + [0] * 27),
        "subsample": classify(X, y, subsample=0.5),
        "max_features": classify(X, y, max_features=0.5),
        "early stopping": classify(X, y, early_stopping=True),
        "decision tree": lambda: DecisionTreeClassifier().fit(X, y).predict_proba(X),
        "random forest": lambda: RandomForestClassifier(n_estimators=10, n_jobs=threads).fit(X, y).predict_proba(X),
    }
    for name, work in further.items():
        told[name] = spent(work)
    return told


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["all"])))
