"""`breadth warmup`: compile the kernels before they are needed."""

from __future__ import annotations


def warmup() -> None:
    """Compile every kernel now instead of at first use.

    Compiled code is kept beside the package, or in NUMBA_CACHE_DIR where that is set, until numba or the kernel's
    source changes.
    """
    from breadth.tabular.trees.warmup import warmup as compile_all

    compile_all(print)
