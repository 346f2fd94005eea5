"""Objectives of pretraining as contenders: one small network, the same texts and steps, another loss.

Each is asked for a hidden token of a text, in its middle ("cloze") or at its end ("next"), which is one of the most
frequent ones; or its states are asked what a text is from ("topic"), by logistic regression on their mean. Training
sees whole texts. In rows the hidden token is the id `vocabulary - 1`, and classes are the first ids.
"""

from __future__ import annotations

import sysconfig
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.contenders_language import BATCH, RATE, ROOMS, decoder_config, trained_model
from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Prepared, Problem, from_arrays
from breadth.evidence.sources import FEWEST_TEXTS, TEXT_BYTES, VOCABULARY, byte_pairs, read_text

ASKED = {
    "cloze": "a frequent token in the middle of {} is hidden",
    "next": "a frequent token at the end of {} is hidden",
    "topic": "which file a stretch of source code is from",
}
STEPS, LENGTH, STRETCH, N_ROWS = 600, 48, 64, 1000
CLASSES, FILES = 16, 8  # tokens that are asked for; files that a stretch may be from


def read_rows(name: str, encoding: str = "utf-8") -> Prepared:
    """Stretches of text with a question, as rows of token ids.

    Args:
        name: "cloze" or "next", with `:source` for a text that `read_text` knows instead of "english"; or "topic".
        encoding: of a file.

    Raises:
        ValueError: if there is no such question, or too little text.
    """
    kind, _, source = name.partition(":")
    if kind not in ASKED or (kind == "topic" and source):
        raise ValueError(f"--data {name}: there is no such question; there are {', '.join(ASKED)}")
    if kind == "topic":
        return _topics(name)
    source = source or "english"
    ids = np.concatenate(byte_pairs(read_text(source, encoding).X))
    ids = np.argsort(np.argsort(-np.bincount(ids, minlength=VOCABULARY), kind="stable"))[ids]  # 0 is the most frequent
    n = len(ids) // STRETCH
    stretches, rng = ids[: n * STRETCH].reshape(n, STRETCH), np.random.default_rng(0)
    low, high = (LENGTH // 4, LENGTH - LENGTH // 4) if kind == "cloze" else (LENGTH - 1, STRETCH)
    asked = np.zeros(stretches.shape, bool)
    asked[:, low:high] = stretches[:, low:high] < CLASSES
    some = rng.permutation(np.flatnonzero(asked.any(1)))[:N_ROWS]
    if len(some) < FEWEST_TEXTS:
        raise ValueError(f"{name}: {len(ids)} tokens are too few for {FEWEST_TEXTS} texts of {STRETCH}; give more text")
    place = (asked[some] * rng.random((len(some), STRETCH))).argmax(1)
    first = np.zeros_like(place) if kind == "cloze" else place - (LENGTH - 1)
    X = stretches[some[:, None], first[:, None] + np.arange(LENGTH)]
    y = stretches[some, place]
    X[np.arange(len(X)), place - first] = VOCABULARY
    return _prepared(name, X, y, ASKED[kind].format(f"texts ({source})"))


def _topics(name: str) -> Prepared:
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(folder.glob("*.py"), key=lambda file: (-file.stat().st_size, file.name))[:FILES]
    texts = np.array([file.read_text(encoding="utf-8")[: TEXT_BYTES // FILES] for file in files], dtype=object)
    rng = np.random.default_rng(0)
    rows, y = [], []
    for k, ids in enumerate(byte_pairs(texts)):
        stretches = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
        rows.append(stretches[rng.permutation(len(stretches))[: N_ROWS // FILES]])
        y += [k] * len(rows[-1])
    return _prepared(name, np.concatenate(rows), np.array(y), ASKED["topic"])


def _prepared(name: str, X: NDArray, y: NDArray, note: str) -> Prepared:
    prepared = from_arrays(name, X.astype(np.float32), y, task="multiclass", note=f"{note}; {X.shape[1]} token ids")
    return replace(prepared, problem=replace(prepared.problem, vocabulary=VOCABULARY + 1))


class Pretrained:
    """A network trained with an objective, as a classifier of hidden tokens or of texts.

    Args:
        objective: "autoregressive" predicts each token from those before it, "autoencoding" masked ones from the rest.
        share: of tokens that are masked in each batch.
        both: an autoregressive network weighs the hidden token by what follows it too, by Bayes' rule:
            p(token | all else) ~ p(token | before) p(after | before, token). Without it, it sees what is before alone.
        problem: for vocabulary and classes.
        seed: of first weights, batches and masks.
        n_threads: of torch.
        training: settings of `train`.
    """

    def __init__(
        self,
        objective: Literal["autoregressive", "autoencoding"],
        problem: Problem,
        seed: int,
        n_threads: int,
        *,
        share: float = 0.0,
        both: bool = False,
        training: Settings,
    ):
        self.causal, self.share, self.both = objective == "autoregressive", share, both
        self.problem, self.seed, self.n_threads, self.training = problem, seed, n_threads, dict(training)

    def fit(self, X: NDArray, y: NDArray, **with_: Any) -> Self:
        import torch

        torch.set_num_threads(self.n_threads)
        classes = int(y.max()) + 1
        if classes != self.problem.n_classes:
            raise ValueError(f"training rows hold {classes} of {self.problem.n_classes} classes; give more rows")
        self.mask = self.problem.vocabulary - 1
        texts = X.astype(np.int64)
        hidden = texts == self.mask
        texts[hidden] = np.broadcast_to(y[:, None], texts.shape)[hidden]
        config = decoder_config(self.problem.vocabulary, X.shape[1], causal=self.causal)
        own = {} if self.causal else {"loss": partial(masked_token_loss, share=self.share, mask=self.mask)}
        self.model_ = trained_model(config, texts, length=X.shape[1], seed=self.seed, **self.training, **own)
        self.probe_ = None if hidden.any() else self._probe().fit(self._means(texts), y)
        return self

    def predict_proba(self, X: NDArray) -> NDArray[np.float64]:
        import torch

        torch.set_num_threads(self.n_threads)
        texts = X.astype(np.int64)
        if self.probe_ is not None:
            return self.probe_.predict_proba(self._means(texts))
        place = (texts == self.mask).argmax(1)
        ids = torch.from_numpy(texts)
        with torch.inference_mode():
            scores = self._by_each(ids, place) if self.both else self._at_once(ids, place)
        return scores.double().softmax(-1).numpy()

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        return self.predict_proba(X).argmax(1)

    def _at_once(self, ids: Any, place: NDArray) -> Any:
        """Logits of the classes at the hidden token; a causal network says them one place before."""
        logits = self.model_(ids)
        return logits[np.arange(len(ids)), place - self.causal, : self.problem.n_classes]

    def _by_each(self, ids: Any, place: NDArray) -> Any:
        """log p of each row with each class in place of the hidden token; what is before is the same for all."""
        import torch

        from breadth.lm.likelihood import token_logprobs

        scores = []
        for row, at in zip(ids, place, strict=True):
            filled = row.repeat(self.problem.n_classes, 1)
            filled[:, at] = torch.arange(self.problem.n_classes)
            scores.append(token_logprobs(self.model_, filled)[:, at - 1 :].sum(1))
        return torch.stack(scores)

    def _means(self, texts: NDArray) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return self.model_.states(torch.from_numpy(texts)).mean(1).numpy()

    def _probe(self) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def masked_token_loss(model: Any, ids: Any, *, share: float, mask: int) -> tuple[Any, Any]:
    """Sum of -log p of each masked token given the others, and how many there are; BERT's without its other ten tenths.

    Each token is masked with probability `share`, by the mask alone: no random tokens and none left as they are.
    """
    import torch
    from torch.nn.functional import cross_entropy

    masked = torch.rand(ids.shape) < share
    logits = model(ids.masked_fill(masked, mask))[masked]
    return cross_entropy(logits, ids[masked], reduction="sum"), masked.sum()


def _make(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Pretrained:
    own = dict(settings)
    training = {name: own.pop(name) for name in ("steps", "batch", "rate")}
    return Pretrained(own.pop("objective"), problem, seed, n_threads, **own, training=training)


def _entry(name: str, objective: str, **settings: Any) -> Entry:
    usual = {"steps": STEPS, "batch": BATCH, "rate": RATE}
    rooms = (*ROOMS, "evidence/contenders_objectives.py")
    return Entry(name, "breadth", _make, {**usual, "objective": objective, **settings}, cost=1e5, rooms=rooms)


LEFT = _entry("autoregressive, from the left", "autoregressive")
BOTH = _entry("autoregressive, from both sides", "autoregressive", both=True)
MASKED = tuple(_entry(f"autoencoding, {share:.0%} masked", "autoencoding", share=share) for share in (0.15, 0.4))
UNTRAINED = _entry("untrained", "autoencoding", share=0.15, steps=0)
