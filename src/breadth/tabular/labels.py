"""Class labels as every classifier takes them."""

from __future__ import annotations

import numpy as np
from sklearn.utils.multiclass import check_classification_targets


def class_codes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sorted classes, and the number of each row's class among them, int64 (rows,).

    Raises:
        ValueError: if a row has no class, if labels of several types cannot be sorted, or if y holds real numbers.
    """
    if y.dtype == object:
        absent = [row for row, label in enumerate(y) if _is_absent(label)]
        if absent:
            raise ValueError(
                f"y has no class in {len(absent)} of {len(y)} rows, the first of them row {absent[0]}; "
                "drop these rows, or give them a class of their own"
            )
        kinds = sorted({type(label).__name__ for label in y})
        if len(kinds) > 1 and "str" in kinds:
            raise ValueError(f"y mixes labels of the types {', '.join(kinds)}; make them all strings or all numbers")
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    return classes, codes


def shown(label: object) -> str:
    """A label as it was written: 0 and 'a', where numpy's repr is np.int64(0) and np.str_('a')."""
    return repr(label.item() if isinstance(label, np.generic) else label)


def _is_absent(label: object) -> bool:
    return (
        label is None or (isinstance(label, float) and label != label) or type(label).__name__ in ("NAType", "NaTType")
    )
