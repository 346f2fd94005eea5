"""What a model answered before, from disk."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from breadth.lm.backend import GREEDY, Backend, Caps, Completion, Prompt, Sampling, Score, check_prompts


class Cached:
    """A backend whose answers are kept in a file, under everything that was asked.

    Kept are answers that would come out the same again: at temperature 0, or with a seed that the backend honours.
    Others are asked anew each time. Several processes may use one file; a killed one leaves it whole.

    Args:
        backend: who is asked what is not in the file.
        path: the file, made if it is not there.

    Attributes:
        hits, misses: prompts and continuations that the file had, and that it had not.

    Raises:
        ValueError: if the file is there and is no such cache.
    """

    def __init__(self, backend: Backend, path: str | Path) -> None:
        self.backend, self.path = backend, Path(path)
        self.hits = self.misses = 0
        try:
            with closing(self._connect()) as store, store:
                store.execute("PRAGMA journal_mode = WAL")
                store.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} is no cache of answers: {error}") from error

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def caps(self) -> Caps:
        return self.backend.caps

    def probe(self) -> Caps:
        return self.backend.probe()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling = GREEDY) -> list[Completion]:
        """A completion of each prompt; those that the file lacks are asked for together."""
        prompts = check_prompts(prompts)
        if not self._repeats(sampling):
            self.misses += len(prompts)
            return self.backend.generate(prompts, sampling)
        keys = [self._key("generate", prompt, asdict(sampling)) for prompt in prompts]
        found = {key: _completion(answer) for key, answer in self._read(keys).items()}
        missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in found}
        if missing:
            new = dict(zip(missing, self.backend.generate(list(missing.values()), sampling), strict=True))
            self._write({key: asdict(completion) for key, completion in new.items()})
            found |= new
        self._count(len(prompts), len(missing))
        return [found[key] for key in keys]

    def score(self, prompt: str, continuations: Sequence[str]) -> list[Score]:
        """Log-probabilities; those that the file lacks are asked for together."""
        keys = [self._key("score", prompt, text) for text in continuations]
        found = {key: Score(**answer) for key, answer in self._read(keys).items()}
        missing = {key: text for key, text in zip(keys, continuations, strict=True) if key not in found}
        if missing:
            new = dict(zip(missing, self.backend.score(prompt, list(missing.values())), strict=True))
            self._write({key: asdict(score) for key, score in new.items()})
            found |= new
        self._count(len(keys), len(missing))
        return [found[key] for key in keys]

    def _repeats(self, sampling: Sampling) -> bool:
        """Whether the backend would answer the same again: one that ignores seeds would not."""
        return sampling.temperature == 0 or (sampling.seed is not None and self.caps.seed)

    def _count(self, asked: int, missing: int) -> None:
        self.hits, self.misses = self.hits + asked - missing, self.misses + missing

    def _key(self, *asked: Any) -> str:
        text = json.dumps([self.name, *asked], sort_keys=True, ensure_ascii=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60.0)

    def _read(self, keys: Sequence[str]) -> dict[str, Any]:
        with closing(self._connect()) as store:
            rows = (store.execute("SELECT key, answer FROM answers WHERE key = ?", (key,)).fetchone() for key in keys)
            return {row[0]: json.loads(row[1]) for row in rows if row is not None}

    def _write(self, answers: dict[str, Any]) -> None:
        rows = [(key, json.dumps(answer)) for key, answer in answers.items()]
        with closing(self._connect()) as store, store:  # one transaction: all of them or none
            store.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)


def _completion(answer: dict[str, Any]) -> Completion:
    lists: dict[str, Any] = {
        name: None if answer[name] is None else tuple(answer[name]) for name in ("tokens", "logprobs")
    }
    return Completion(**(answer | lists))
