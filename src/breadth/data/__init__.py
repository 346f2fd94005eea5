"""Tables to learn from: the user's files, embedded real data sets, and generators of known truth."""

from breadth.data.columns import MISSING
from breadth.data.dataset import ColumnSummary, DataError, Dataset, Task, Truth
from breadth.data.embedded import SUITES, load, names, suite
from breadth.data.generators import (
    make_categorical,
    make_friedman,
    make_higgs_like,
    make_imbalanced,
    make_mammography_like,
    make_multiclass,
    make_null,
)
from breadth.data.missing import make_missing
from breadth.data.read import assemble, read_table

__all__ = [
    "MISSING",
    "SUITES",
    "ColumnSummary",
    "DataError",
    "Dataset",
    "Task",
    "Truth",
    "assemble",
    "load",
    "make_categorical",
    "make_friedman",
    "make_higgs_like",
    "make_imbalanced",
    "make_mammography_like",
    "make_missing",
    "make_multiclass",
    "make_null",
    "names",
    "read_table",
    "suite",
]
