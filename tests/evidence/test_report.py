import html
import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the report needs breadth[compare]")
pytest.importorskip("jinja2", reason="the report needs breadth[compare]")

from breadth.evidence.report import render
from breadth.evidence.study import Cell, Contender, Measure, Study, Table, Unrun
from breadth.evidence.verdict import judge, rank, speed

LOSS = Measure("log loss", "lower", margin=0.004)
AUC = Measure("ROC AUC", "higher", margin=0.005)
MADE_UP = {  # contender: (origin, effect on the loss, fit seconds, predict seconds, bytes of the model)
    "breadth leaf-wise": ("breadth", -0.0004, 0.21, 0.004, 1.9e5),
    "breadth level-wise": ("breadth", -0.0055, 0.24, 0.004, 2.1e5),
    "LightGBM": ("lightgbm", 0.0, 0.47, 0.012, 3.4e5),
    "XGBoost": ("xgboost", 0.0021, 0.72, 0.007, 3.9e5),
    "scikit-learn hist": ("scikit-learn", 0.0085, 0.91, 0.021, 5.2e5),
    "random forest": ("scikit-learn", 0.012, 1.9, 0.11, 4.1e7),
    "dummy": ("scikit-learn", 0.17, 0.0006, 0.0003, 900.0),
}


def made_up(*, name="boosting", n_tables=1, seed=0, baseline="LightGBM", failed=None, error="", iterations=60):
    """A study with known effects; `failed` names a contender whose second split fails, in quality and in speed."""
    rng = np.random.default_rng(seed)
    tables = tuple(
        Table(data, "binary", 6366 + 700 * i, 8 + i, 2, note="32 % positives")
        for i, data in enumerate(("fair", "randhie", "generated 100k", "wine", "digits", "breast cancer")[:n_tables])
    )
    cells = []
    for table in tables:
        for repeat in range(2):
            for fold in range(5):
                difficulty = 0.42 + rng.normal(0, 0.01)
                for who, (_, effect, *_) in MADE_UP.items():
                    loss = difficulty + effect + rng.normal(0, 0.0012)
                    steps = np.arange(1, iterations + 1)
                    curve = loss + 0.2 * np.exp(-steps / 9) + 4e-6 * np.maximum(steps - 40, 0) ** 2
                    broken = who == failed and (repeat, fold) == (0, 1)
                    cells.append(
                        Cell(
                            "quality", table.name, who, repeat, fold, repeat,
                            "failed" if broken else "ok",
                            error=error if broken else "",
                            values={} if broken else {"log loss": loss, "ROC AUC": 0.9 - loss / 3},
                            curve=() if broken or who in ("dummy", "random forest") else tuple(curve),
                            n_train=800, n_test=200,
                        )
                    )  # fmt: skip
        for turn in range(5):
            for who, (_, _, fit, predict, model) in MADE_UP.items():
                broken = who == failed
                slow = 1 + abs(rng.normal(0, 0.05))
                values = {"fit_seconds": fit * slow, "predict_seconds": predict * slow}
                values |= {"peak_bytes": 3e7 + 40 * model, "model_bytes": model}
                cells.append(
                    Cell("speed", table.name, who, turn, 0, 0, "failed" if broken else "ok",
                         error=error if broken else "", values={} if broken else values)
                )  # fmt: skip
    return Study(
        name=name,
        question="Which boosting library predicts best, and at what cost?",
        measures=(LOSS, AUC),
        baseline=baseline,
        contenders=tuple(Contender(who, origin) for who, (origin, *_) in MADE_UP.items()),
        tables=tables,
        cells=tuple(cells),
        signature={
            "breadth": "0.1.0", "lightgbm": "4.7.0", "xgboost": "3.2.0", "scikit-learn": "1.9.0",
            "threads": "quality 1, speed 2", "seeds": "0, 1", "folds": "5", "budget": "100 rounds, 31 leaves",
            "tuning": "none", "command": f"breadth compare {name} --data fair", "date": "2026-11-22T16:00:00+00:00",
        },
    )  # fmt: skip
