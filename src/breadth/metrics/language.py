"""How well a model of language foresees texts: perplexity, and bits a byte, which no tokenizer can flatter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from breadth.metrics.score import signature
from breadth.metrics.text_score import Floats, TextScore

LogProbs = Callable[[Sequence[int]], Any]


def perplexity(
    score: LogProbs,
    texts: Sequence[Sequence[int]],
    *,
    context: int | None = None,
    stride: int | None = None,
) -> TextScore:
    """exp(-sum log p / tokens) over texts, each read through a window that slides over it.

    Each token but a text's first counts once. With context c and stride s, windows of c tokens start every s tokens,
    and a token counts in the first window that it is in: it has seen c - s tokens before it at least, but for those of
    the text's beginning.

    Args:
        score: from the ids of a window to log p of each but the first given those before it, in nats: length - 1
            numbers.
        texts: the ids of each text, two at least.
        context: longest window, >= 2; None: each text whole.
        stride: 1 .. context - 1; None takes half of context. A smaller one costs more, and gives a lower value.

    Returns:
        TextScore, >= 1; `segments` has each text's. parts: logprob (the sum), tokens, bits_per_token.

    Raises:
        ValueError: if there is no text, one is too short, an argument is out of range, or score returns something else
            than length - 1 numbers <= 0.

    Cost: about tokens / stride calls of score.
    References: Jelinek et al. 1977, JASA 62(S1); Baevski & Auli 2018, arXiv:1809.10853, section 6.2 (the window).
    Peer: transformers' loss with the same windows (A); the closed form of a uniform and a Markov model (B).
    In production: compare models by it only where they have one tokenizer, context and stride, else by
        `bits_per_byte`. It does not measure quality: repetition is easy to foresee.
    """
    sums = _sums(score, texts, context, stride)
    logprob, tokens = -float(sums[:, 0].sum()), int(sums[:, 1].sum())
    return TextScore.of(
        sums, _exp_mean, _line("perplexity", context, stride), logprob=logprob, tokens=tokens,
        bits_per_token=-logprob / tokens / math.log(2),
    )  # fmt: skip


def bits_per_byte(
    score: LogProbs,
    texts: Sequence[Sequence[int]],
    n_bytes: Sequence[int],
    *,
    context: int | None = None,
    stride: int | None = None,
) -> TextScore:
    """-sum log2 p / bytes over texts: the length of each byte if the model compressed them.

    Args:
        score, texts, context, stride: as in `perplexity`.
        n_bytes: bytes of UTF-8 that the counted tokens of each text spell, >= 1: of all but the first, which for a
            beginning-of-text token is the whole text.

    Returns:
        TextScore, >= 0, lower is better. parts: logprob (the sum), tokens, bytes.

    Raises:
        ValueError: as `perplexity`, or if n_bytes does not hold a number >= 1 for each text.

    Cost: as `perplexity`.
    References: Gao et al. 2020, "The Pile", arXiv:2101.00027, section 3.1.
    Peer: perplexity with ln PPL x tokens / (bytes ln 2) (B).
    In production: use it to compare models whose tokenizers differ.
    """
    sums = _sums(score, texts, context, stride)
    sizes = np.asarray(n_bytes)
    if sizes.shape != (len(sums),) or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        raise ValueError(f"n_bytes must hold an integer >= 1 for each of {len(sums)} texts, got {n_bytes!r:.60}")
    statistics = np.column_stack([sums[:, 0] / math.log(2), sizes])
    return TextScore.of(
        statistics, _ratio, _line("bits_per_byte", context, stride), logprob=-float(sums[:, 0].sum()),
        tokens=int(sums[:, 1].sum()), bytes=int(sizes.sum()),
    )  # fmt: skip


def _exp_mean(sums: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.exp(sums[..., 0] / sums[..., 1])


def _ratio(sums: Floats) -> Floats:
    return sums[..., 0] / sums[..., 1]


def _line(name: str, context: int | None, stride: int | None) -> str:
    step = None if context is None else stride or max(context // 2, 1)
    return signature(name, context="whole" if context is None else context, stride=step)


def _sums(score: LogProbs, texts: Sequence[Sequence[int]], context: int | None, stride: int | None) -> Floats:
    """-log p and counted tokens of each text, (texts, 2)."""
    if not len(texts):
        raise ValueError("texts must hold at least one, got none")
    if context is not None and (not isinstance(context, Integral) or context < 2):
        raise ValueError(f"context must be an integer >= 2 or None, got {context!r}")
    if stride is not None and (
        context is None or not isinstance(stride, Integral) or not 1 <= stride < max(int(context), 2)
    ):
        raise ValueError(f"stride must be from 1 to context - 1, got {stride!r} and context {context!r}")
    rows = []
    for i, ids in enumerate(texts):
        if isinstance(ids, Integral):
            raise ValueError(f"texts must hold the ids of each text, got the number {ids}; put one text in a list")
        if len(ids) < 2:
            raise ValueError(f"texts[{i}] must have two tokens at least, as the first is not scored; got {len(ids)}")
        total = 0.0
        for start, end, done in _windows(len(ids), context, stride):
            found = np.asarray(score(ids[start:end]), np.float64)
            if found.shape != (end - start - 1,) or not (found <= 1e-6).all():
                raise ValueError(
                    f"score must return {end - start - 1} log-probabilities <= 0 for {end - start} ids, got "
                    f"shape {found.shape}: {found!r:.80}"
                )
            total -= float(found[done - start - 1 :].sum())
        rows.append((total, len(ids) - 1))
    return np.array(rows, np.float64)


def _windows(n: int, context: int | None, stride: int | None) -> Iterator[tuple[int, int, int]]:
    """Begin and end of each window, and how many tokens had been counted, or were the first, before it."""
    size = n if context is None else int(context)
    step = max(size // 2, 1) if stride is None else int(stride)
    start, done = 0, 1
    while done < n:
        end = min(start + size, n)
        yield start, end, done
        start, done = start + step, end
