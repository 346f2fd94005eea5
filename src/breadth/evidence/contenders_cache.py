"""Caches of keys and values as contenders: small decoders that read texts token by token, as decoding does.

Each kind of attention is trained anew, with everything else the same; what a cache forgets of a trained model's past
("start and window") is asked of the weights of the first. Bytes are exact: of float32, as it is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.contenders_language import HEADS, RATE, ROOMS, WIDTH, decoder_config, trained_model
from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

STEPS, BATCH, START = 250, 8, 4
BYTES = 4  # of a number that is kept
FIELDS = ("n_kv_heads", "kv_rank")  # settings that are fields of the config
KEPT = ("window", "start", "keep")  # shares of the text, but for start


class CachedDecoder:
    """A small decoder that costs what its cache costs.

    Args:
        config: of the model.
        length: of texts, and of training's stretches.
        room: start and window of a cache that forgets; empty for one that keeps all the model can see.
        seed: of first weights and batches.
        n_threads: of torch.
        settings: of `train`.
    """

    def __init__(
        self, config: Any, length: int, room: Mapping[str, int], seed: int, n_threads: int, settings: Settings
    ):
        self.config, self.length, self.room = config, length, dict(room)
        self.seed, self.n_threads, self.settings = seed, n_threads, dict(settings)

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        self.model_ = trained_model(self.config, X, length=self.length, seed=self.seed, **self.settings)
        return self

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """Nats of each token but the first, from logits that came token by token, all texts side by side."""
        import torch

        torch.set_num_threads(self.n_threads)
        ids = torch.from_numpy(X)
        cache = self.model_.make_cache(len(ids), ids.shape[1], **self.room)
        found = []
        with torch.inference_mode():
            for t in range(ids.shape[1] - 1):
                logits = self.model_(ids[:, t : t + 1], cache=cache)[:, 0]
                found.append(logits.logsumexp(-1) - logits.gather(-1, ids[:, t + 1 : t + 2])[:, 0])
        return torch.stack(found, 1).double().numpy()

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes that one more token takes while nothing is forgotten."""
        from breadth.lm.accounting import kv_bytes_per_token

        return kv_bytes_per_token(self.config, bytes_per_number=BYTES)

    @property
    def kv_bytes(self) -> float:
        """Bytes behind a whole text."""
        from breadth.lm.accounting import kv_bytes

        length = min(self.length, sum(self.room.values())) if self.room else self.length
        return kv_bytes(self.config, length, bytes_per_number=BYTES)


def kv_sizes(
    estimator: Any, X: NDArray, y: NDArray, problem: Problem, held_out: Mapping[str, float]
) -> dict[str, float]:
    """Exact bytes of one text's cache; nothing of what has none."""
    if not isinstance(estimator, CachedDecoder):
        return {}
    return {"KV bytes per token": estimator.kv_bytes_per_token, "KV bytes of a text": estimator.kv_bytes}


def _make(problem: Problem, seed: int, n_threads: int, settings: Settings) -> CachedDecoder:
    own, length = dict(settings), problem.n_features
    changes: dict[str, Any] = {name: own.pop(name) for name in FIELDS if name in own}
    if "kv_rank" in changes:
        from breadth.lm import MLA

        dim = WIDTH // HEADS
        changes["mla"] = MLA(q_rank=None, kv_rank=changes.pop("kv_rank"), nope_dim=dim, rope_dim=dim // 2, v_dim=dim)
    kept = {name: own.pop(name) for name in KEPT if name in own}
    room = {}
    if "window" in kept:
        changes["layer"] = {"window": max(1, round(kept["window"] * length))}
    if "keep" in kept:
        start = kept.get("start", 0)
        room = {"start": start, "window": max(1, round(kept["keep"] * length) - start)}
    return CachedDecoder(decoder_config(problem.vocabulary, length, **changes), length, room, seed, n_threads, own)


def _entry(name: str, **settings: Any) -> Entry:
    usual = {"steps": STEPS, "batch": BATCH, "rate": RATE}
    rooms = (*ROOMS, "evidence/contenders_cache.py")
    return Entry(name, "breadth", _make, {**usual, **settings}, cost=1e5, rooms=rooms)


MHA = _entry("MHA")
GQA = _entry("GQA, 2 key heads", n_kv_heads=2)
MQA = _entry("MQA", n_kv_heads=1)
LATENT = _entry("MLA, rank 16", kv_rank=16)
WINDOW = _entry("window of 1/8", window=1 / 8)
START_WINDOW = _entry("MHA, start and window of 1/8", start=START, keep=1 / 8)
LAST = _entry("MHA, last 1/8 kept", keep=1 / 8)
