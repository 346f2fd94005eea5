"""Scores of predictions beside scikit-learn and ranx."""

from __future__ import annotations

import numpy as np
import sklearn.metrics as sk

from benchmarks.harness import OURS, Row, Section, Setup, Spread, Times, interleave, ratio_rows
from breadth import metrics

SKLEARN, RANX = "scikit-learn", "ranx"
AUC_BAR, NDCG_BAR, RANX_BAR = 0.2, 0.5, 1.0


def ranking_rows(setup: Setup, raw: Times) -> list[Row]:
    """The area under the ROC curve, and DeLong's variance, whose growth with the rows is printed."""
    n = setup.size(1_000_000, 2_000)
    rng = np.random.default_rng(0)
    y = (rng.random(n) < 0.3).astype(np.int64)
    score = rng.normal(size=n) + y
    weight = rng.exponential(size=n)
    rows = []
    for what, s, w in (
        (f"ROC AUC, {n:,} scores", score, None),
        (f"ROC AUC, {n:,} scores, ties", np.round(score, 2), None),
        (f"ROC AUC, {n:,} scores, weighted", score, weight),
    ):
        contenders = {
            OURS: lambda _, s=s, w=w: metrics.roc_auc_score(y, s, sample_weight=w),
            SKLEARN: lambda _, s=s, w=w: sk.roc_auc_score(y, s, sample_weight=w),
        }
        times = interleave(contenders, lambda _: None, reps=setup.repetitions(7))
        rows += ratio_rows(what, times, {SKLEARN: AUC_BAR if w is None and s is score else 1.0}, raw)
    for name in ("roc_curve", "average_precision_score"):
        contenders = {
            OURS: lambda _, name=name: getattr(metrics, name)(y, score),
            SKLEARN: lambda _, name=name: getattr(sk, name)(y, score),
        }
        times = interleave(contenders, lambda _: None, reps=setup.repetitions(5))
        rows += ratio_rows(f"{name}, {n:,} scores", times, {SKLEARN: 1.0}, raw)
    small, large = setup.size(100_000, 1_000), setup.size(1_000_000, 2_000)
    other = score + rng.normal(size=n)
    contenders = {
        f"{size:,}": lambda _, size=size: metrics.delong_test(y[:size], score[:size], other[:size])
        for size in (small, large)
    }
    times = interleave(contenders, lambda _: None, reps=setup.repetitions(7))
    raw.update({f"DeLong, two scorings of {size} | {OURS}": seconds for size, seconds in times.items()})
    spread = Spread.of(times[f"{small:,}"])
    rows.append(Row(f"DeLong, two scorings of {small:,}", spread.median, "seconds", spread=spread, n=spread.n))
    spread = Spread.of([a / b for a, b in zip(times[f"{large:,}"], times[f"{small:,}"], strict=True)])
    what = f"DeLong, {large:,} beside {small:,} rows: x {large // small} is linear"
    rows.append(Row(what, spread.median, "absolute", spread=spread, n=spread.n))
    return rows


def gain_rows(setup: Setup, raw: Times) -> list[Row]:
    n, m = setup.size(100_000, 200), 50
    rng = np.random.default_rng(0)
    grade = rng.integers(0, 5, (n, m)).astype(np.float64)
    score = rng.normal(size=(n, m)) + grade
    rows = []
    contenders = {
        OURS: lambda _: metrics.ndcg_score(grade, score, k=10, ignore_ties=True),
        SKLEARN: lambda _: sk.ndcg_score(grade, score, k=10, ignore_ties=True),
    }
    times = interleave(contenders, lambda _: None, reps=setup.repetitions(7))
    rows += ratio_rows(f"NDCG@10, {n:,} x {m}, ties ignored", times, {SKLEARN: NDCG_BAR}, raw)
    few = n // 20  # scikit-learn averages in a loop over rows
    contenders = {
        OURS: lambda _: metrics.ndcg_score(grade[:few], score[:few], k=10),
        SKLEARN: lambda _: sk.ndcg_score(grade[:few], score[:few], k=10),
    }
    times = interleave(contenders, lambda _: None, reps=setup.repetitions(5))
    rows += ratio_rows(f"NDCG@10, {few:,} x {m}, ties averaged", times, {SKLEARN: 1.0}, raw)
    return rows + ranx_rows(setup, raw, grade, score)


def ranx_rows(setup: Setup, raw: Times, grade: np.ndarray, score: np.ndarray) -> list[Row]:
    """ranx's own metric on what `evaluate` hands it: numbered documents, sorted beforehand, not timed."""
    try:
        from ranx.metrics import ndcg
    except ModuleNotFoundError:
        if not setup.smoke:
            raise
        return []
    n, m = grade.shape
    ids = np.broadcast_to(np.arange(m, dtype=np.float64), (n, m))

    def ordered(by: np.ndarray) -> np.ndarray:
        pairs = np.stack([ids, by], axis=2)
        return np.take_along_axis(pairs, np.argsort(-by, axis=1)[:, :, None], axis=1)

    qrels, run = ordered(grade), ordered(score)
    contenders = {
        OURS: lambda _: metrics.ndcg_score(grade, score, k=10, ignore_ties=True),
        RANX: lambda _: float(np.mean(ndcg(qrels, run, 10))),
    }
    found: dict[str, float] = {}
    times = interleave(
        contenders,
        lambda _: None,
        reps=setup.repetitions(7),
        look=lambda name, _r, _d, value: found.update({name: value}),
    )
    if abs(found[OURS] - found[RANX]) > 1e-9:
        raise ArithmeticError(f"the two disagree: {found}")
    return ratio_rows(f"NDCG@10, {n:,} x {m}, sorted for ranx beforehand", times, {RANX: RANX_BAR}, raw)


def label_rows(setup: Setup, raw: Times) -> list[Row]:
    n = setup.size(1_000_000, 2_000)
    rng = np.random.default_rng(0)
    y, f = rng.integers(0, 10, (2, n))
    proba = rng.dirichlet(np.ones(10), n)
    value, guess = rng.normal(size=(2, n))
    X = rng.normal(size=(setup.size(8_000, 200), 20))
    groups = rng.integers(0, 8, len(X))
    calls = {
        f"confusion_matrix, {n:,} x 10 classes": lambda of: of.confusion_matrix(y, f),
        f"f1_score, macro, {n:,} x 10 classes": lambda of: of.f1_score(y, f, average="macro"),
        f"matthews_corrcoef, {n:,} x 10 classes": lambda of: of.matthews_corrcoef(y, f),
        f"log_loss, {n:,} x 10 classes": lambda of: of.log_loss(y, proba),
        f"adjusted_rand_score, {n:,}": lambda of: of.adjusted_rand_score(y, f),
        f"normalized_mutual_info_score, {n:,}": lambda of: of.normalized_mutual_info_score(y, f),
        f"silhouette_score, {len(X):,} x 20": lambda of: of.silhouette_score(X, groups),
        f"r2_score, {n:,}": lambda of: of.r2_score(value, guess),
        f"mean_absolute_error, {n:,}": lambda of: of.mean_absolute_error(value, guess),
    }
    rows = []
    for what, call in calls.items():
        contenders = {OURS: lambda _, call=call: call(metrics), SKLEARN: lambda _, call=call: call(sk)}
        times = interleave(contenders, lambda _: None, reps=setup.repetitions(5))
        rows += ratio_rows(what, times, {SKLEARN: 1.0}, raw)
    return rows


SECTIONS = (
    Section(
        "score-rankings", "Scores of rankings",
        "Normal scores, three in ten rows positive and shifted by one. Tests show all values equal to the "
        "peer's to 1e-12.",
        ranking_rows,
    ),
    Section(
        "gains", "Discounted gain",
        "Grades 0 to 4 and scores that follow them. ranx is handed arrays that are sorted already, as its `evaluate` "
        "hands them to its metric; ours finds the ten best itself.",
        gain_rows,
    ),
    Section(
        "score-labels", "Scores of labels and numbers",
        "Random labels of ten classes, random numbers, and random groups of normal rows for the silhouette.",
        label_rows,
    ),
)  # fmt: skip
