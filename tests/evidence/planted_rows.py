"""Tokenizers and searches with a known truth, in a module of their own so that worker processes can import them."""

from __future__ import annotations

from typing import Any

import numpy as np

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Prepared, Problem, from_documents, from_vectors


class Chunks:
    """Cuts texts into tokens of so many bytes, one more or fewer at random with `noise`."""

    def __init__(self, size: int, noise: float, seed: int):
        self.size, self.noise, self.draw = size, noise, np.random.default_rng(seed)

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        n = np.array([len(text) for text in X]) // self.size
        return np.column_stack([n * self.draw.uniform(1, 1 + self.noise, len(n)), np.zeros(len(n))]).astype(int)

    def round_trip(self, text):
        return text


class Forgetful:
    """Exact neighbours by cosine, each replaced by a wrong one with probability `loss`."""

    def __init__(self, loss: float, seed: int):
        self.loss, self.draw = loss, np.random.default_rng(seed)

    def fit(self, X, y=None):
        self.X = X / np.linalg.norm(X, axis=1, keepdims=True)
        return self

    def predict(self, X):
        near = np.argsort(-(X @ self.X.T), axis=1)
        lost = self.draw.random((len(X), 10)) < self.loss
        return np.where(lost, near[:, -10:], near[:, :10])


def _chunks(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Chunks(settings["size"], settings.get("noise", 0.0), seed * 100 + settings.get("salt", 0))


def _forgetful(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Forgetful(settings["loss"], seed * 100 + settings.get("salt", 0))


def chunks(name: str, **settings: Any) -> Entry:
    return Entry(name, "python", _chunks, settings)


def forgetful(name: str, **settings: Any) -> Entry:
    return Entry(name, "python", _forgetful, settings)


def documents(n: int = 60, seed: int = 0) -> Prepared:
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("abc \n"), size=rng.integers(200, 400))) for _ in range(n)]
    return from_documents("planted", texts)


def vectors(n: int = 150, seed: int = 0) -> Prepared:
    return from_vectors("planted", np.random.default_rng(seed).normal(size=(n, 8)), metric="cosine")
