"""Ways to drop tokens of a long prompt, on a decoder whose weights are written down rather than learned.

A prompt is a list of pairs (key, value), one token each, and at its end a question: a key that stands there once. The
decoder answers in layer `FINDS`, where a head compares keys in all their dimensions. The layers before look at fewer,
so that their attention points at the right token the less, the earlier they are: what early pruning loses is known to
be there, and not a matter of training. Accuracy is that of answers; the time is that of reading the prompt, up to the
first token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Prepared, Problem, from_arrays

KEYS, VALUES = 256, 8
LENGTH, N_PROMPTS = 2048, 40
RANKS = (1, 2, 4, 8, 16, 32, 32, 32)  # dimensions of a key that each layer's heads compare
FINDS = 6  # the layer that moves the value to the question
WIDTH, CODE, HEADS, HEAD_DIM, INNER = 128, 48, 4, 32, 384
SHARP, VAGUE = 40.0, 6.0  # gains of scores: where the value is found, and elsewhere
Prompts = Callable[[NDArray], NDArray]


def read_prompts(name: str, encoding: str = "utf-8") -> Prepared:
    """Prompts of pairs with a question, as rows of token ids; the target is the value asked for.

    Args:
        name: "retrieval", with `:n` for prompts of that many tokens.
        encoding: ignored.

    Raises:
        ValueError: if there is no such set, or n is no number of tokens from 2 on.
    """
    kind, _, count = name.partition(":")
    if kind != "retrieval":
        raise ValueError(f"--data {name}: there is no such set of prompts; there is 'retrieval'")
    if count and not (count.isdecimal() and int(count) >= 2):
        raise ValueError(f"--data {name}: {count!r} is no number of tokens from 2 on; write retrieval:{LENGTH}")
    length = int(count) if count else LENGTH
    rng = np.random.default_rng(0)
    asked = rng.integers(KEYS, size=N_PROMPTS)
    others = (asked[:, None] + rng.integers(1, KEYS, (N_PROMPTS, length - 1))) % KEYS  # any key but the one asked for
    values = rng.integers(VALUES, size=(N_PROMPTS, length - 1))
    answers = np.arange(N_PROMPTS) % VALUES
    place = rng.integers(length - 1, size=N_PROMPTS)
    rows = np.arange(N_PROMPTS)
    others[rows, place], values[rows, place] = asked, answers
    X = np.concatenate((others * VALUES + values, KEYS * VALUES + asked[:, None]), 1).astype(np.float32)
    note = f"{length:,} tokens, of which one among {length - 1:,} pairs is asked for; token ids, one a column"
    prepared = from_arrays(name, X, answers, task="multiclass", note=note)
    return replace(prepared, problem=replace(prepared.problem, timed_fits=False))


@cache
def decoder(context: int) -> Any:
    """The decoder: keys, questions, values and answers lie in parts of their own of its 128 features."""
    import torch

    from breadth.lm import LM, Layer, LMConfig

    config = LMConfig(
        vocab_size=KEYS * VALUES + KEYS,
        d_model=WIDTH,
        n_heads=HEADS,
        n_kv_heads=HEADS,
        head_dim=HEAD_DIM,
        d_ff=INNER,
        layers=(Layer(rope=None),) * len(RANKS),
        context_length=context,
    )
    generator = torch.Generator().manual_seed(0)
    model = LM(config).eval()
    with torch.no_grad():
        codes = torch.randn(KEYS, CODE, generator=generator)
        codes /= codes.norm(dim=1, keepdim=True)
        table = torch.zeros(config.vocab_size, WIDTH)
        pairs = table[: KEYS * VALUES].view(KEYS, VALUES, WIDTH)
        pairs[..., :CODE] = codes[:, None]
        pairs[..., 2 * CODE : 2 * CODE + VALUES] = torch.eye(VALUES)
        table[KEYS * VALUES :, CODE : 2 * CODE] = codes * 2**0.5  # as long as a pair, so that norms change nothing
        model.embed.weight.copy_(table)
        model.head.weight.zero_()
        model.head.weight[:VALUES, 2 * CODE + VALUES : 2 * CODE + 2 * VALUES] = 4 * torch.eye(VALUES)
        unit = (2 / WIDTH) ** 0.5  # undoes the norm before attention
        blocks: Any = model.decoder.blocks
        for index, (block, rank) in enumerate(zip(blocks, RANKS, strict=True)):
            block.ffn.down.weight.zero_()  # it computes, and adds nothing
            block.attention.o.weight.zero_()
            qkv = block.attention.qkv.weight.zero_().view(3, HEADS, HEAD_DIM, WIDTH)
            gain = SHARP if index == FINDS else VAGUE
            for head in range(HEADS):
                part = torch.linalg.qr(torch.randn(CODE, CODE, generator=generator))[0][:rank]
                scale = (gain * HEAD_DIM**0.5 * CODE / rank) ** 0.5 * unit
                qkv[0, head, :rank, CODE : 2 * CODE] = part * scale / 2**0.5
                qkv[1, head, :rank, :CODE] = part * scale
                if index == FINDS:
                    qkv[2, head, :VALUES, 2 * CODE : 2 * CODE + VALUES] = torch.eye(VALUES) * unit
                    o = block.attention.o.weight.view(WIDTH, HEADS, HEAD_DIM)
                    o[2 * CODE + VALUES : 2 * CODE + 2 * VALUES, head, :VALUES] = torch.eye(VALUES)
    return model


class Pruned:
    """A way of reading prompts as a classifier that has nothing to fit.

    Args:
        read: from the decoder and a prompt (1, length) to logits (1, vocabulary).
        seed: of what is drawn.
        n_threads: of torch.
        settings: of `read`.
    """

    def __init__(self, read: Callable[..., Any], seed: int, n_threads: int, settings: Settings):
        self.read, self.seed, self.n_threads, self.settings = read, seed, n_threads, dict(settings)

    def fit(self, X: NDArray, y: NDArray) -> Self:
        self.classes_ = np.unique(y)
        decoder(X.shape[1])
        return self

    def predict_proba(self, X: NDArray) -> NDArray[np.float64]:
        import torch

        torch.set_num_threads(self.n_threads)
        model = decoder(X.shape[1])
        generator = torch.Generator().manual_seed(self.seed)
        with torch.inference_mode():
            logits = [self.read(model, ids[None], generator, **self.settings) for ids in torch.from_numpy(X).long()]
        return torch.cat(logits)[:, :VALUES].double().softmax(-1).numpy()

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        return self.predict_proba(X).argmax(1)


def _lazy(model: Any, ids: Any, generator: Any, *, kind: str, **settings: Any) -> Any:
    from breadth.lm.lazy import LazyLM
    from breadth.lm.prune import dynamic_schedule, layer_wise_schedule, static_schedule

    n_layers = len(model.config.layers)
    match kind:
        case "static":
            schedule = static_schedule(**settings)
        case "layer-wise":
            schedule = layer_wise_schedule(n_layers, **settings)
        case _:
            schedule = dynamic_schedule(n_layers, **settings)
    return LazyLM(model, schedule, length=ids.shape[1]).read(ids)


def _whole(model: Any, ids: Any, generator: Any) -> Any:
    cache = model.make_cache(1, ids.shape[1])
    return model(ids, cache=cache, last=True)[:, 0]


def _random(model: Any, ids: Any, generator: Any, *, keep: float) -> Any:
    """A share of the tokens, whatever they are, and the last one."""
    import torch

    n = ids.shape[1] - 1
    chosen = torch.randperm(n, generator=generator)[: max(1, round(keep * n))].sort().values
    return _whole(model, torch.cat((ids[:, :-1][:, chosen], ids[:, -1:]), 1), generator)


def _last(model: Any, ids: Any, generator: Any, *, keep: float) -> Any:
    """The end of the prompt, as a window keeps it."""
    return _whole(model, ids[:, -max(2, round(keep * ids.shape[1])) :], generator)


def _make(read: Callable[..., Any], problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Pruned(read, seed, n_threads, settings)


def _entry(name: str, read: Callable[..., Any], **settings: Any) -> Entry:
    return Entry(name, "breadth", partial(_make, read), settings, cost=1.0, rooms=("lm", "nn"))


WHOLE = _entry("all tokens", _whole)
LAYER_WISE = tuple(
    _entry(f"LazyLLM, layer-wise to {share:.0%}", _lazy, kind="layer-wise", begin=1, end_keep=share)
    for share in (0.5, 0.2, 0.05)
)
EARLY = tuple(
    _entry(f"LazyLLM, {share:.0%} after layer 0", _lazy, kind="static", after=0, keep=share) for share in (0.5, 0.2)
)
LATE = _entry("LazyLLM, 5% after layer 4", _lazy, kind="static", after=4, keep=0.05)
DYNAMIC = _entry("LazyLLM, 90% of attention", _lazy, kind="dynamic", begin=1, mass=0.9)
RANDOM = _entry("20% at random", _random, keep=0.2)
LAST = _entry("last 20%", _last, keep=0.2)
