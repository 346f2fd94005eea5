"""Published language models as contenders: nothing is trained, and what a token costs is computed from the config."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

PRESETS = (  # decoders; an encoder, or a pair with one, writes no token after another
    "gpt2-xl",
    "palm-540b",
    "glm-10b",
    "llama-3.2-1b",
    "llama-4-scout",
    "llama-4-maverick",
    "olmo-2-7b",
    "gemma-3-4b",
    "qwen3-0.6b",
    "qwen3-30b-a3b",
    "smollm3-3b",
    "deepseek-v3",
    "kimi-k2",
    "gpt-oss-20b",
    "gpt-oss-120b",
)
FORMAT = "bf16"
BYTES = 2  # of a number of the cache, bfloat16


class Accounted:
    """What a model costs behind a text of each length, one text at a time.

    GB read for the next token: every weight that it meets, once, and the whole cache. With one text at a time a
    machine's memory, not its arithmetic, bounds how fast tokens come (Shazeer 2019, arXiv:1911.02150, section 2.4).

    Args:
        name: of a preset.
        config: a `breadth.lm.LMConfig`.
    """

    def __init__(self, name: str, config: Any) -> None:
        self.name, self.config = name, config

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        return self

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """GB read, GFLOPs, GB of cache and GB of weights, shape (n, 4).

        Raises:
            ValueError: if a text is longer than the model's context.
        """
        from breadth.lm.accounting import flops_per_token, kv_bytes, parts, weight_bytes

        longest, limit = int(X.max()), self.config.context_length
        if longest > limit:
            raise ValueError(f"{self.name} reads {limit:,} tokens at most, and a text has {longest:,}")
        met = BYTES * sum(
            (part.active if part.rows or part.name == "experts" else part.count) * part.size
            for part in parts(self.config)
        )
        weights = weight_bytes(self.config, FORMAT)
        cache = np.array([kv_bytes(self.config, int(n), bytes_per_number=BYTES) for n in X[:, 0]])
        flops = np.array([flops_per_token(self.config, int(n)) for n in X[:, 0]], dtype=np.float64)
        return np.column_stack([met + cache, flops, cache, np.full(len(X), weights)]) / 1e9


def _make(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Accounted:
    from breadth.lm.presets import preset

    return Accounted(settings["preset"], preset(settings["preset"]))


def accounted(name: str) -> Entry:
    """The contender of a preset."""
    return Entry(name, "breadth", _make, {"preset": name}, cost=1.0)
