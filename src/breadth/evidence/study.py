"""The vocabulary of evidence: what a comparison measured, as plain values.

A `Study` is everything that the verdicts, the tables and the report are computed from. It holds no model and no data,
so that it can be read back from the store years later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["quality", "speed"]
Direction = Literal["higher", "lower"]
# Tasks whose rows are small experiments with a known truth.
Trial = Literal["proportion", "mean", "judging", "clustering", "drift", "recommendation"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that a contender earns on held-out rows, in its natural sign."""

    name: str  # "log loss"
    direction: Direction  # which way is better; shown as an arrow beside the name
    margin: float  # differences smaller than this do not matter in practice
    unit: str = ""
    margin_of: Literal["itself", "target spread"] = "itself"  # what the margin is a multiple of

    @property
    def arrow(self) -> str:
        return "↑" if self.direction == "higher" else "↓"

    def margin_on(self, table: Table) -> float:
        """The margin in the measure's own unit on one data set."""
        return self.margin * (table.spread if self.margin_of == "target spread" else 1.0)


@dataclass(frozen=True, slots=True)
class Table:
    """The regime in which a verdict holds: the data set that was used, in numbers."""

    name: str
    task: Literal[
        "binary",
        "multiclass",
        "regression",
        "tokenization",
        "search",
        "attention",
        "control",
        "modelling",
        "generation",
        "accounting",
        Trial,
    ]
    n_rows: int
    n_features: int  # of vectors, their dimension; of documents, their mean bytes; of sequences and texts, their length
    n_classes: int = 0
    note: str = ""  # provenance, missing values, imbalance
    spread: float = 1.0  # standard deviation of a regression target, in its unit
    rate_unit: str = ""  # of the work that a prediction does in a second, where the task has such a unit

    @property
    def shape(self) -> str:
        """What there is of it, in the words of its task."""
        one, many, each = {
            "tokenization": ("document", "documents", "of {} bytes on average"),
            "search": ("vector", "vectors", "of {} dimensions"),
            "attention": ("sequence", "sequences", "of {} tokens"),
            "control": ("start", "starts", "of episodes"),
            "modelling": ("text", "texts", "of {} tokens"),
            "generation": ("text", "texts", "of {} tokens"),
            "accounting": ("text", "texts", "of up to {} tokens"),
            "proportion": ("sample", "samples", "of {} trials"),
            "mean": ("sample", "samples", "of {} draws"),
            "judging": ("pair", "pairs", "of {} rows or words"),
            "drift": ("stream", "streams", "of {} items"),
            "recommendation": ("interaction", "interactions", "of {} users"),
        }.get(self.task, ("row", "rows", "× {} feature" + "s" * (self.n_features != 1)))
        return f"{self.n_rows:,} {one if self.n_rows == 1 else many} {each.format(f'{self.n_features:,}')}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One contender fitted once on one split of one data set, in one stage.

    `values` holds every measure by name and, when known, `fit_seconds`, `predict_seconds`, `peak_bytes`, `model_bytes`
    and `rate`, the work of a prediction in a second in the table's unit.
    Times count only in the speed stage, where nothing else runs; there `repeat` is the round of the interleaving.
    """

    stage: Stage
    table: str
    contender: str
    repeat: int
    fold: int
    seed: int
    status: Literal["ok", "failed"]
    error: str = ""  # why it failed, one line; empty when status is ok
    values: dict[str, float] = field(default_factory=dict)
    curve: tuple[float, ...] = ()  # held-out first measure after each iteration, where the contender has stages
    n_train: int = 0
    n_test: int = 0
    chosen: dict[str, object] = field(default_factory=dict)  # settings that tuning chose, where it ran


@dataclass(frozen=True, slots=True)
class Contender:
    """A row of the table: ours, a peer's, or the dummy's."""

    name: str  # "breadth leaf-wise"
    origin: str  # "breadth", "lightgbm", "xgboost", "scikit-learn"
    settings: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unrun:
    """Cells that were planned and not measured, because the time limit or an interruption came first."""

    stage: Stage
    table: str
    contender: str
    count: int


@dataclass(frozen=True, slots=True)
class Study:
    """A question, who contended, on what, and every cell that was measured."""

    name: str
    question: str
    measures: tuple[Measure, ...]  # the first one decides the verdicts
    baseline: str  # contender that the others are compared with
    contenders: tuple[Contender, ...]
    tables: tuple[Table, ...]
    cells: tuple[Cell, ...]
    signature: dict[str, str]  # versions, threads, seeds, folds, budget, tuning, code hash, command, date
    unrun: tuple[Unrun, ...] = ()
