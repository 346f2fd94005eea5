"""A function over many texts on threads, which gain where its work releases the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

from breadth.text.arguments import check_integer, check_iterable

Text = str | tuple[str, str]
Result = TypeVar("Result")

SMALL = 1 << 16  # characters in all: less is done before threads would have begun
TASKS_PER_THREAD = 8  # so that no thread waits long for the last one


def on_threads(function: Callable[[Text], Result], texts: Iterable[Text], n_threads: int | None) -> list[Result]:
    """Results of a function of one text, in the order of the texts.

    Args:
        function: of one text or pair; many threads call it at once.
        texts: texts, or pairs of them.
        n_threads: how many at once, >= 1; None takes the cores that this process may use.

    Returns:
        A result for each text.

    Raises:
        TypeError: if `texts` is one text, or holds something that is neither text nor pair.
        ValueError: if n_threads < 1.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a list of strings, got one string; use encode for a single text")
    check_iterable("texts", texts, "a list of strings")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str) and not (isinstance(text, tuple) and len(text) == 2):
            raise TypeError(f"texts must hold strings or pairs of them, got {type(text).__name__} at {i}")
    if n_threads is None:
        n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    check_integer("n_threads", n_threads, 1)
    sizes = [len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts]
    total = sum(sizes)
    if n_threads == 1 or total < SMALL:
        return [function(text) for text in texts]
    # neighbours go to one thread in stretches of about equal length
    cuts, done = [0], 0
    for i, size in enumerate(sizes, start=1):
        done += size
        if done * n_threads * TASKS_PER_THREAD >= total * len(cuts):
            cuts.append(i)
    if cuts[-1] != len(texts):
        cuts.append(len(texts))
    with ThreadPoolExecutor(n_threads) as pool:
        parts = pool.map(lambda cut: [function(text) for text in texts[cut[0] : cut[1]]], pairwise(cuts))
        return [result for part in parts for result in part]
