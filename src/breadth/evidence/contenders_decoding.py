"""Ways of decoding as contenders: one small decoder for all, trained once for each split, continues held-out texts.

A continuation starts from the first quarter of a text. A prediction holds its ids and the nats of each under the model
itself, at temperature 1 and before any filter or penalty. Nothing is fitted, so that predictions alone are timed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.contenders_language import BATCH, RATE, ROOMS, decoder_config, trained_model
from breadth.evidence.entry import Entry, Settings
from breadth.evidence.measures import prompt_length
from breadth.evidence.problem import Problem

STEPS = 600
TRAINING = {"steps": STEPS, "batch": BATCH, "rate": RATE}
Continue = Callable[[Any, Any, int, int, Settings], Any]  # (model, texts (n, length), prompt, seed, settings) -> ids


class Continued:
    """A way of decoding as an estimator.

    Args:
        write: from model, texts, length of the prompt, seed and settings to the continuations' ids.
        problem: for vocabulary and length.
        seed: of the model and of what is drawn.
        n_threads: of torch.
        settings: those of TRAINING, and of `write`.
    """

    def __init__(self, write: Continue, problem: Problem, seed: int, n_threads: int, settings: Settings):
        self.write, self.problem, self.seed, self.n_threads = write, problem, seed, n_threads
        self.training = {name: value for name, value in settings.items() if name in TRAINING}
        self.settings = {name: value for name, value in settings.items() if name not in TRAINING}

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        config = decoder_config(self.problem.vocabulary, X.shape[1])
        self.model_ = trained_model(config, X, length=X.shape[1], seed=self.seed, **self.training)
        return self

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        import torch

        from breadth.lm.likelihood import token_logprobs

        torch.set_num_threads(self.n_threads)
        prompt, texts = prompt_length(X.shape[1]), torch.from_numpy(X)
        ids = self.write(self.model_, texts, prompt, self.seed, self.settings)
        whole = torch.cat((texts[:, :prompt], ids), 1)
        with torch.inference_mode():
            nats = -token_logprobs(self.model_, whole)[:, prompt - 1 :]
        return np.stack((ids.numpy().astype(np.float64), nats.double().numpy()), 1)


def _generate(model: Any, texts: Any, prompt: int, seed: int, settings: Settings) -> Any:
    import torch

    from breadth.lm import generate

    found = generate(model, texts[:, :prompt], max_new_tokens=texts.shape[1] - prompt, seed=seed, **settings)
    return torch.tensor(found.ids)


def _transformers(model: Any, texts: Any, prompt: int, seed: int, settings: Settings) -> Any:
    """The same weights in a model of transformers, by way of a checkpoint."""
    import tempfile

    import torch
    from transformers import AutoModelForCausalLM

    from breadth.lm import save

    with tempfile.TemporaryDirectory() as folder:
        save(model, folder)
        peer = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(seed)
    count = texts.shape[1] - prompt
    how = {"max_new_tokens": count, "min_new_tokens": count, "pad_token_id": 0, **settings}
    return peer.generate(texts[:, :prompt], **how)[:, prompt:]


def _held_out(model: Any, texts: Any, prompt: int, seed: int, settings: Settings) -> Any:
    return texts[:, prompt:]


def _make(write: Continue, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Continued:
    return Continued(write, problem, seed, n_threads, settings)


def _entry(name: str, write: Continue = _generate, origin: str = "breadth", **settings: Any) -> Entry:
    rooms = (*ROOMS, "evidence/contenders_decoding.py")
    return Entry(name, origin, partial(_make, write), {**TRAINING, **settings}, cost=1e5, rooms=rooms)


SAMPLING = _entry("sampling", do_sample=True)
STRATEGIES = (
    _entry("greedy"),
    _entry("greedy, repetition 1.3", repetition_penalty=1.3),
    _entry("greedy, no 3-gram twice", no_repeat_ngram_size=3),
    _entry("beam 4", num_beams=4),
    _entry("temperature 0.7", temperature=0.7),
    _entry("top-k 20", top_k=20),
    _entry("top-p 0.9", top_p=0.9),
    _entry("min-p 0.1", min_p=0.1),
    _entry("typical 0.9", typical_p=0.9),
    _entry("eta 0.002", eta_cutoff=2e-3),
    _entry("contrastive 0.6, 8", penalty_alpha=0.6, top_k=8),
)
PEER = _entry("transformers top-p 0.9", _transformers, "transformers", do_sample=True, top_p=0.9, top_k=0)
TEXT = _entry("the text itself", _held_out, "python")
