"""Real data sets that come with scikit-learn and statsmodels, and generators, all by name.

No file is fetched. Two suites of eight are for comparisons that speak of more than one data set.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from breadth.data.dataset import DataError, Dataset, Task
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
from breadth.data.read import assemble

DEFAULT_SIZE = 10_000

SUITES: dict[str, tuple[str, ...]] = {
    # classification, all real: 150 to 20,190 rows, 2 to 10 classes
    "eight": ("breast_cancer", "wine", "iris", "digits", "anes96", "modechoice", "fair", "randhie_any"),
    # regression: every real set there is, filled up with Friedman's function at three sizes
    "eight_regression": (
        "diabetes", "star98", "engel", "cancer", "randhie", "friedman:500", "friedman:5000", "friedman:50000"
    ),
}  # fmt: skip


def load(name: str, *, seed: int = 0) -> Dataset:
    """A real data set, or a generated one as "generator" or "generator:rows".

    | name | rows x features | target | from |
    |---|---|---|---|
    | breast_cancer | 569 x 30 | malignant or benign | scikit-learn |
    | wine | 178 x 13 | three cultivars | scikit-learn |
    | iris | 150 x 4 | three species | scikit-learn |
    | digits | 1,797 x 64 | ten digits | scikit-learn |
    | diabetes | 442 x 10 | disease progression after a year | scikit-learn |
    | fair | 6,366 x 8 | any extramarital affair | statsmodels |
    | randhie | 20,190 x 9 | visits to a doctor in a year (a count, as regression) | statsmodels |
    | randhie_any | 20,190 x 9 | any visit to a doctor in a year | statsmodels |
    | anes96 | 944 x 9 | vote for Clinton or Dole | statsmodels |
    | modechoice | 210 x 17 | air, train, bus or car | statsmodels |
    | star98 | 303 x 12 | share of pupils above the national median in mathematics | statsmodels |
    | engel | 235 x 1 | expenditure on food | statsmodels |
    | cancer | 301 x 1 | breast cancer cases of a county | statsmodels |

    Generators: higgs_like, friedman, imbalanced, mammography_like, categorical, multiclass, null, missing (higgs_like
    with 20 % of cells gone); 10,000 rows unless said otherwise.

    Args:
        name: one of `names()`, or a generator's name with a size, as "higgs_like:100000".
        seed: of a generator; real sets have none.

    Raises:
        DataError: if the name or size is not known, or the package that holds the data is not installed.
    """
    stem, colon, size = name.partition(":")
    if stem in _GENERATORS:
        if colon and not size.replace("_", "").isdecimal():
            raise DataError(f"load({name!r}): {size!r} is not a number of rows; write for instance '{stem}:100000'")
        n = int(size) if colon else DEFAULT_SIZE
        return replace(_GENERATORS[stem](n, seed=seed), name=f"{stem}:{n}")
    if stem in _REAL and not colon:
        source = _REAL[stem]
        frame = source.frame()
        return assemble(
            frame, name=name, target=source.target, task=source.task, warnings=source.warnings, note=source.note
        )
    near = difflib.get_close_matches(stem, names(), n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(names())}"
    if colon and stem in _REAL:
        hint = "a real data set has a size of its own; leave it out"
    raise DataError(f"load({name!r}): no such data set; {hint}")


def names(kind: Literal["all", "real", "generated"] = "all") -> tuple[str, ...]:
    """Names that `load` knows: the real data sets, then the generators."""
    if kind not in ("all", "real", "generated"):
        raise DataError(f"kind={kind!r} is not known; pass 'all', 'real' or 'generated'")
    return (*(_REAL if kind != "generated" else ()), *(_GENERATORS if kind != "real" else ()))


def suite(name: str) -> tuple[str, ...]:
    """The eight names of "eight" (classification, all real) or "eight_regression" (five real, three generated)."""
    if name not in SUITES:
        raise DataError(f"suite({name!r}): no such suite; there are {', '.join(SUITES)}")
    return SUITES[name]


class _Real(NamedTuple):
    frame: Callable[[], pl.DataFrame]
    target: str
    task: Task
    note: str
    warnings: tuple[str, ...] = ()


def _sklearn(name: str, target: str) -> pl.DataFrame:
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")()
    y = bunch.target
    columns = {str(key).replace(" ", "_"): bunch.data[:, j] for j, key in enumerate(bunch.feature_names)}
    frame = pl.DataFrame(columns)
    if hasattr(bunch, "target_names"):
        labels = [str(label) for label in bunch.target_names]
        return frame.with_columns(pl.Series(target, np.array(labels)[y]).cast(pl.Enum(labels)))
    return frame.with_columns(pl.Series(target, y))


def _statsmodels(name: str) -> pl.DataFrame:
    try:
        import statsmodels.datasets
    except ImportError as error:
        raise DataError(f'the data set {name!r} comes with statsmodels; pip install "breadth[compare]"') from error
    table = getattr(statsmodels.datasets, name).load_pandas().data
    return pl.DataFrame({str(key): table[key].to_numpy(dtype=np.float64) for key in table.columns})


def _labelled(condition: pl.Expr, no: str, yes: str, target: str) -> pl.Expr:
    text = pl.when(condition).then(pl.lit(yes)).otherwise(pl.lit(no))
    return text.cast(pl.Enum([no, yes])).alias(target)


def _fair() -> pl.DataFrame:
    return _statsmodels("fair").with_columns(_labelled(pl.col("affairs") > 0, "no affair", "affair", "affairs"))


def _randhie_any() -> pl.DataFrame:
    return _statsmodels("randhie").with_columns(_labelled(pl.col("mdvis") > 0, "no visit", "visit", "mdvis"))


def _anes96() -> pl.DataFrame:
    vote = _labelled(pl.col("vote") == 1, "Clinton", "Dole", "vote")
    return _statsmodels("anes96").drop("logpopul").with_columns(vote)  # logpopul is a function of popul


def _star98() -> pl.DataFrame:
    counts = pl.col("NABOVE") / (pl.col("NABOVE") + pl.col("NBELOW"))
    frame = _statsmodels("star98").with_columns(counts.alias("share_above"))
    return frame.select(*(c for c in frame.columns if "_" not in c), "share_above").drop(
        "NABOVE", "NBELOW"
    )  # no interactions


def _modechoice() -> pl.DataFrame:
    """One row a traveller, where the file has one a traveller and mode."""
    modes = ("air", "train", "bus", "car")
    long = _statsmodels("modechoice").sort("individual", "mode")
    rows = long.filter(pl.col("mode") == 1).select("hinc", "psize")
    for code, mode in enumerate(modes, 1):
        one = long.filter(pl.col("mode") == code)
        rows = rows.with_columns(one[f].alias(f"{f}_{mode}") for f in ("ttme", "invc", "invt", "gc"))
    chosen = long.filter(pl.col("choice") == 1)["mode"].cast(pl.Int64)
    return rows.drop("ttme_car").with_columns(
        pl.Series("mode", np.array(modes)[chosen.to_numpy() - 1]).cast(pl.Enum(modes))
    )


_RANDHIE = "statsmodels; RAND health insurance experiment"
_PERSON_YEARS = ("Rows are person-years and the file does not say whose: random splits put one person on both sides.",)
_REAL: dict[str, _Real] = {
    "breast_cancer": _Real(
        partial(_sklearn, "breast_cancer", "diagnosis"), "diagnosis", "binary", "scikit-learn; Street et al. 1993"
    ),
    "wine": _Real(partial(_sklearn, "wine", "cultivar"), "cultivar", "multiclass", "scikit-learn; Forina et al. 1988"),
    "iris": _Real(partial(_sklearn, "iris", "species"), "species", "multiclass", "scikit-learn; Fisher 1936"),
    "digits": _Real(
        partial(_sklearn, "digits", "digit"), "digit", "multiclass", "scikit-learn; Alpaydin and Kaynak 1998, test part"
    ),
    "diabetes": _Real(
        partial(_sklearn, "diabetes", "progression"), "progression", "regression", "scikit-learn; Efron et al. 2004"
    ),
    "fair": _Real(_fair, "affairs", "binary", "statsmodels; Fair 1978, target: affairs > 0"),
    "randhie": _Real(
        partial(_statsmodels, "randhie"), "mdvis", "regression", f"{_RANDHIE}, target: count of visits", _PERSON_YEARS
    ),
    "randhie_any": _Real(_randhie_any, "mdvis", "binary", f"{_RANDHIE}, target: mdvis > 0", _PERSON_YEARS),
    "anes96": _Real(_anes96, "vote", "binary", "statsmodels; American National Election Study 1996"),
    "modechoice": _Real(_modechoice, "mode", "multiclass", "statsmodels; Greene, one row a traveller"),
    "star98": _Real(
        _star98, "share_above", "regression", "statsmodels; California schools 1998, without interaction columns"
    ),
    "engel": _Real(partial(_statsmodels, "engel"), "foodexp", "regression", "statsmodels; Engel 1857"),
    "cancer": _Real(partial(_statsmodels, "cancer"), "cancer", "regression", "statsmodels; Rice, counties"),
}


def _make_holed(n: int, *, seed: int) -> Dataset:
    return make_missing(make_higgs_like(n, seed=seed), 0.2, seed=seed)


_GENERATORS: dict[str, Callable[..., Dataset]] = {
    "higgs_like": make_higgs_like,
    "friedman": make_friedman,
    "imbalanced": make_imbalanced,
    "mammography_like": make_mammography_like,
    "categorical": make_categorical,
    "multiclass": make_multiclass,
    "null": make_null,
    "missing": _make_holed,
}
