"""Kinds of attention as contenders: nothing is learned, and each is held against the exact output.

A prediction is the output for whole sequences, shape (n, heads, length, head_dim). What would be learned (Linformer's
projections) is a mean over neighbouring keys here: the error is that of the form, before training could adapt to it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

WINDOW, FEATURES, PROJECTED = 128, 256, 256  # keys a side, random features, projected length
Attend = Callable[[Any, Any, Any], Any]


class Attention:
    """A function of q, k and v, each (n, heads, length, head_dim), as an estimator that has nothing to fit.

    Args:
        make: from seed and settings to the function; called where it is used, since functions are not pickled.
        seed: of random features and projections.
        n_threads: of torch.
        settings: of `make`.
    """

    def __init__(self, make: Callable[[int, Settings], Attend], seed: int, n_threads: int, settings: Settings):
        self.make, self.seed, self.n_threads, self.settings = make, seed, n_threads, dict(settings)

    def fit(self, X: NDArray, y: object = None) -> Self:
        return self

    def predict(self, X: NDArray) -> NDArray[np.float32]:
        import torch

        torch.set_num_threads(self.n_threads)
        with torch.no_grad():
            q, k, v = torch.from_numpy(X).unbind(1)
            return self.make(self.seed, self.settings)(q, k, v).numpy()


def _exact(seed: int, settings: Settings) -> Attend:
    from breadth.nn.attention.attend import attend

    return lambda q, k, v: attend(q, k, v, **settings)


def _torch(seed: int, settings: Settings) -> Attend:
    from torch.nn.functional import scaled_dot_product_attention

    return scaled_dot_product_attention


def _uniform(seed: int, settings: Settings) -> Attend:
    return lambda q, k, v: v.mean(2, keepdim=True).expand_as(v)


def _linear(seed: int, settings: Settings) -> Attend:
    from breadth.nn.attention.linear import linear_attention

    return lambda q, k, v: linear_attention(q, k, v, **settings)


def _performer(seed: int, settings: Settings) -> Attend:
    import torch

    from breadth.nn.attention.performer import performer_attention, random_projection

    def run(q: Any, k: Any, v: Any) -> Any:
        generator = torch.Generator().manual_seed(seed)
        projection = random_projection(settings["n_features"], q.shape[-1], generator=generator)
        return performer_attention(q, k, v, projection=projection)

    return run


def _linformer(seed: int, settings: Settings) -> Attend:
    import torch

    from breadth.nn.attention.linformer import linformer_attention

    def run(q: Any, k: Any, v: Any) -> Any:
        length, rows = k.shape[2], min(settings["k"], k.shape[2])
        of_row = torch.arange(length) * rows // length  # which row of the projection a key is averaged into
        pooling = (of_row == torch.arange(rows)[:, None]).float()
        return linformer_attention(q, k, v, pooling / pooling.sum(1, keepdim=True))

    return run


def _make(
    kind: Callable[[int, Settings], Attend], problem: Problem, seed: int, n_threads: int, settings: Settings
) -> Any:
    return Attention(kind, seed, n_threads, settings)


def _entry(name: str, origin: str, kind: Callable[[int, Settings], Attend], cost: float, **settings: Any) -> Entry:
    return Entry(name, origin, partial(_make, kind), settings, cost=cost, rooms=("nn",) if origin == "breadth" else ())


ATTEND = _entry("breadth attend", "breadth", _exact, 1e5)
NAIVE = _entry("breadth naive", "breadth", _exact, 2e5, engine="naive")
BANDED = _entry(f"breadth window {WINDOW}", "breadth", _exact, 5e4, window=WINDOW)
LINEAR = _entry("breadth linear", "breadth", _linear, 2e4)
PERFORMER = _entry("breadth Performer", "breadth", _performer, 1e5, n_features=FEATURES)
LINFORMER = _entry("breadth Linformer", "breadth", _linformer, 5e4, k=PROJECTED)
UNIFORM = _entry("mean of values", "torch", _uniform, 1e3)
TORCH = _entry("torch SDPA", "torch", _torch, 1e5)
