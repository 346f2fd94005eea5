"""`breadth warmup`: compile the kernels before they are needed."""

from __future__ import annotations


def warmup() -> None:
    """Compile every kernel now instead of at first use.

    Compiled code is kept beside the package, or in NUMBA_CACHE_DIR where that is set, until numba or the kernel's
    source changes.
    """
    import time
    from importlib.util import find_spec

    from breadth.metrics.warmup import warmup as compile_metrics
    from breadth.recommend.warmup import warmup as compile_recommend
    from breadth.stats.warmup import warmup as compile_stats
    from breadth.tabular.warmup import warmup as compile_tabular
    from breadth.text.warmup import warmup as compile_text
    from breadth.vector.warmup import warmup as compile_vector

    began = time.perf_counter()
    rooms = (compile_stats, compile_metrics, compile_tabular, compile_recommend, compile_text, compile_vector)
    for compile_room in rooms:
        compile_room(print)
    if find_spec("torch"):
        from breadth.lm.warmup import warmup as compile_lm

        compile_lm(print)
    print(f"all kernels ready after {time.perf_counter() - began:.0f} s")
