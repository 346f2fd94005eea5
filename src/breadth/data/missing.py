"""Knock holes into a complete table by a known mechanism."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl

from breadth.data.dataset import DataError, Dataset


def make_missing(
    dataset: Dataset, fraction: float = 0.2, *, mechanism: Literal["mcar", "mar"] = "mcar", seed: int = 0
) -> Dataset:
    """The same data set with cells taken out.

    mcar: every cell is missing with chance `fraction`, whatever it holds.
    mar: the first feature stays complete, and a cell of any other is missing with a chance that rises linearly with
    the rank r in (0, 1) of the row's first feature: 2 f r for f <= 1/2, else 1 - 2 (1 - f)(1 - r); its mean is f
    either way.

    Args:
        dataset: any data set; y stays as it is.
        fraction: f, mean share of missing cells among the columns that may lose some, in [0, 1).
        mechanism: "mcar" (completely at random) or "mar" (at random given what is observed).
        seed: of the draw.

    Returns:
        A new `Dataset` without `truth`: the true probabilities need the cells that are gone, and those of `dataset`
        still hold row by row.

    Raises:
        DataError: if fraction or mechanism is out of range, or "mar" is asked of one feature, or of a first one with
            missing cells.

    References: Rubin 1976, Biometrika 63(3), section 2 (the two mechanisms).
    """
    if not 0 <= fraction < 1:
        raise DataError(f"fraction={fraction} is out of range; give a share in [0, 1)")
    if mechanism not in ("mcar", "mar"):
        raise DataError(f"mechanism={mechanism!r} is not known; pass 'mcar' or 'mar'")
    n, width = dataset.X.shape
    rng = np.random.default_rng(seed)
    chance, first = np.full(n, fraction), 0
    if mechanism == "mar":
        driver = dataset.X.to_series(0)
        if width < 2 or driver.has_nulls():
            raise DataError(
                f"mechanism='mar' needs two features and a complete first one; {dataset.name!r} lacks that, use 'mcar'"
            )
        rank = (driver.to_physical().rank("average").to_numpy() - 0.5) / n
        chance = 2 * fraction * rank if fraction <= 0.5 else 1 - 2 * (1 - fraction) * (1 - rank)
        first = 1
    columns = [
        column
        if j < first
        else pl.select(pl.when(pl.Series(rng.random(n) >= chance)).then(column)).to_series().alias(column.name)
        for j, column in enumerate(dataset.X.iter_columns())
    ]
    note = f"{dataset.note}; {fraction:.0%} of cells taken out ({mechanism}, seed {seed})".removeprefix("; ")
    return replace(dataset, name=f"{dataset.name}_{mechanism}", X=pl.DataFrame(columns), note=note, truth=None)
