"""Pre-tokenising patterns: a text's bytes in, the ends of its pieces out.

The published patterns have scanners in Numba; any other pattern runs in the `regex` package.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Splitter = Callable[[NDArray[np.uint8]], NDArray[np.int64]]


def splitter(pattern: str) -> Splitter:
    """A function from the UTF-8 of a text to the byte end of each piece that a pattern cuts it into."""
    raise NotImplementedError(pattern)
