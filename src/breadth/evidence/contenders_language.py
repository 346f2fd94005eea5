"""Small decoders as contenders: trained on some texts, and asked what each token of the others costs.

One choice differs, everything else is the same: width, layers, steps, batches, rates and the order of the data, all of
which stand in the settings. A prediction is -log p of each token but the first given those before it, in nats.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

WIDTH, HEADS, LAYERS, INNER = 64, 4, 2, 128
STEPS, BATCH, RATE = 300, 16, 1e-2
ROOMS = ("lm", "nn", "evidence/contenders_language.py")
Change = Callable[[int], Mapping[str, Any]]  # from the length of training to fields of the config


def decoder_config(vocabulary: int, context: int, **changes: Any) -> Any:
    """The config of a small decoder; rotated by position unless changed.

    Args:
        vocabulary: number of tokens.
        context: the longest text.
        **changes: fields of `LMConfig`; "layer" holds fields of each `Layer`, "rope" those of the `Rope` or None.
    """
    from breadth.lm import Layer, LMConfig, Rope

    layer, rope = changes.pop("layer", {}), changes.pop("rope", {})
    fields: dict[str, Any] = {
        "vocab_size": vocabulary,
        "d_model": WIDTH,
        "n_heads": HEADS,
        "n_kv_heads": HEADS,
        "head_dim": WIDTH // HEADS,
        "d_ff": INNER,
        "context_length": context,
        "tied": True,
        **changes,
    }
    dim = fields["head_dim"] if fields.get("mla") is None else fields["mla"].rope_dim
    ropes = () if rope is None else (Rope(**{"dim": dim, **rope}),)
    layers = (Layer(rope=None if rope is None else 0, **layer),) * LAYERS
    return LMConfig(**fields, layers=layers, ropes=ropes)


def train(
    config: Any,
    X: NDArray,
    *,
    length: int,
    seed: int,
    steps: int = STEPS,
    batch: int = BATCH,
    rate: float = RATE,
    loss: Callable[[Any, Any], Any] | None = None,
) -> Any:
    """A model of the config, trained by AdamW on stretches of the texts at random places.

    Args:
        config: of an `LM`.
        X: ids, shape (n, at least length).
        length: of the stretches.
        seed: of first weights and batches.
        steps, batch, rate: updates, stretches in each, and the largest rate, which falls as a cosine after a tenth.
        loss: from model and batch of ids to sum and count; None is that of the next token.
    """
    import torch

    from breadth.lm import LM
    from breadth.nn.fit import fit
    from breadth.nn.optim import AdamW
    from breadth.nn.schedules import cosine

    ids = torch.from_numpy(X)

    def batches(generator: Any) -> Any:
        while True:
            rows = torch.randint(len(ids), (batch,), generator=generator)
            first = torch.randint(ids.shape[1] - length + 1, (batch, 1), generator=generator)
            yield ids[rows[:, None], first + torch.arange(length)]

    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = LM(config)
    if steps == 0:
        return model
    fit(
        model,
        batches,
        loss or next_token_loss,
        AdamW(model.parameters(), lr=rate),
        steps=steps,
        schedule=cosine(total_steps=steps, warmup_steps=steps // 10),
        max_norm=1.0,
        generator=torch.Generator().manual_seed(seed),
    )
    return model


_TRAINED: OrderedDict[str, Any] = OrderedDict()  # the last models of this process
_KEPT = 8


def trained_model(config: Any, X: NDArray, *, length: int, seed: int, **settings: Any) -> Any:
    """`train` on one thread, or what it gave for the same arguments.

    Contenders of one split share a model, and so do the rounds of the speed pass: training counts for no time there.
    """
    import torch

    key = repr((config, hashlib.sha256(X.tobytes()).hexdigest(), X.shape, length, seed, sorted(settings.items())))
    if key not in _TRAINED:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        _TRAINED[key] = train(config, X, length=length, seed=seed, **settings).eval()
        torch.set_num_threads(threads)
    _TRAINED.move_to_end(key)
    while len(_TRAINED) > _KEPT:
        _TRAINED.popitem(last=False)
    return _TRAINED[key]


def next_token_loss(model: Any, ids: Any) -> tuple[Any, int]:
    """Sum of -log p of each token but the first, and how many there are."""
    from breadth.lm.likelihood import token_logprobs

    found = token_logprobs(model, ids)
    return -found.sum(), found.numel()


class Decoder:
    """A small decoder as an estimator.

    Args:
        train_config, config: of training, and of predictions, which takes the same weights.
        length: of training stretches.
        seed: of first weights and batches.
        n_threads: of torch.
        settings: of `train`.
    """

    def __init__(self, train_config: Any, config: Any, length: int, seed: int, n_threads: int, settings: Settings):
        self.train_config, self.config, self.length = train_config, config, length
        self.seed, self.n_threads, self.settings = seed, n_threads, dict(settings)

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        from breadth.lm import LM

        trained = trained_model(self.train_config, X, length=self.length, seed=self.seed, **self.settings)
        self.model_ = LM(self.config).eval()
        self.model_.load_state_dict(trained.state_dict())
        return self

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        import torch

        from breadth.lm.likelihood import token_logprobs

        torch.set_num_threads(self.n_threads)
        with torch.inference_mode():
            found = [token_logprobs(self.model_, ids) for ids in torch.from_numpy(X).split(16)]
        return -torch.cat(found).double().numpy()


class Bigrams:
    """Counts of pairs of tokens: p(b | a) = (n(a, b) + m p(b)) / (n(a) + m), p(b) from counts of tokens plus one.

    Args:
        problem: for its vocabulary.
        weight: m, how many tokens' worth the frequencies of single tokens are.
    """

    def __init__(self, problem: Problem, weight: float):
        self.vocabulary, self.weight = problem.vocabulary, weight

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        v = self.vocabulary
        one = np.bincount(X.ravel(), minlength=v) + 1.0
        pairs = np.bincount((X[:, :-1] * v + X[:, 1:]).ravel(), minlength=v * v).reshape(v, v)
        p = (pairs + self.weight * one / one.sum()) / (pairs.sum(1, keepdims=True) + self.weight)
        self.nats_ = -np.log(p)
        return self

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        return self.nats_[X[:, :-1], X[:, 1:]]


def _bigrams(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Bigrams:
    return Bigrams(problem, **settings)


BIGRAMS = Entry("bigram counts", "python", _bigrams, {"weight": 10.0}, cost=1.0)


# ---- positions: trained on a quarter of the texts' length

NO_ROTATION: dict[str, Any] = {"rope": None}


def _unchanged(length: int) -> Mapping[str, Any]:
    return {}


def _window(length: int) -> Mapping[str, Any]:
    return {"layer": {"window": length}}


def _stretched(length: int) -> Mapping[str, Any]:
    return {"rope": {"kind": "yarn", "factor": 4.0, "original_context": length}}


def _nope(length: int) -> Mapping[str, Any]:
    return NO_ROTATION


def _alibi(length: int) -> Mapping[str, Any]:
    return {**NO_ROTATION, "alibi": True}


def _relative(length: int) -> Mapping[str, Any]:
    return {**NO_ROTATION, "relative": (min(32, length // 2), length // 2)}  # T5's buckets; the last one is trained


def _sinusoidal(length: int) -> Mapping[str, Any]:
    return {**NO_ROTATION, "sinusoidal": True}


def _learned(length: int) -> Mapping[str, Any]:
    return {**NO_ROTATION, "learned_positions": length}


def _positioned(
    change: Change, later: Change, problem: Problem, seed: int, n_threads: int, settings: Settings
) -> Decoder:
    length, whole = problem.n_features // 4, problem.n_features
    first = change(length)
    if "learned_positions" in first:
        first = {**first, "learned_positions": whole}  # those from `length` on stay as they were drawn
    trained = decoder_config(problem.vocabulary, whole, **first)
    read = decoder_config(problem.vocabulary, whole, **{**first, **later(length)})
    return Decoder(trained, read, length, seed, n_threads, settings)


def _entry(name: str, change: Change = _unchanged, later: Change = _unchanged) -> Entry:
    settings = {"steps": STEPS, "batch": BATCH, "rate": RATE}
    return Entry(name, "breadth", partial(_positioned, change, later), settings, cost=1e5, rooms=ROOMS)


ROPE = _entry("RoPE")
ROPE_WINDOW = _entry("RoPE, then the last L tokens", later=_window)
ROPE_STRETCHED = _entry("RoPE, then YaRN", later=_stretched)
NOPE = _entry("no positions", _nope)
ALIBI = _entry("ALiBi", _alibi)
RELATIVE = _entry("T5 relative", _relative)
SINUSOIDAL = _entry("sinusoidal", _sinusoidal)
LEARNED = _entry("learned", _learned)
