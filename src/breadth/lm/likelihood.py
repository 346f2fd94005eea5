"""What a causal model says of a text: log-probability of each token given those before it, and perplexity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Perplexity(NamedTuple):
    """Of a text: exp(-sum log p / tokens), the sum of log-probabilities in nats, and how many tokens it is of."""

    value: float
    logprob: float
    tokens: int


def token_logprobs(model: Any, ids: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """log p(x_t | x_<t) of each token but the first, in nats.

    Args:
        model: a causal `breadth.lm.LM`.
        ids: int64, (B, T), T >= 2.
        valid: bool, (B, T), False for padding.

    Returns:
        Shape (B, T - 1), float32 at least; entry t is of token t + 1, 0 where that or the token before is padding.

    Raises:
        ValueError: if the model is not causal, ids have fewer than two columns, or as a call of the model.

    Cost: one call of the model; O(B T vocabulary) memory.
    References: Bengio et al. 2003, JMLR 3 (the chain rule of probability).
    Peer: transformers' loss of the same model (A); enumeration: probabilities of all texts of a length sum to 1 (B).
    In production: pass it to what ranks answers; for long texts see `perplexity`.
    """
    if not model.config.causal:
        raise ValueError("model must be causal: one that sees both sides gives no probability of a text")
    if ids.dim() != 2 or ids.shape[1] < 2:
        raise ValueError(f"ids must have shape (batch, length) with length >= 2, got {tuple(ids.shape)}")
    logits = model(ids, valid=valid)[:, :-1]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    found = logits.gather(-1, ids[:, 1:, None]).squeeze(-1) - logits.logsumexp(-1)
    return found if valid is None else found.masked_fill(~(valid[:, 1:] & valid[:, :-1]), 0.0)


def perplexity(
    model: Any, ids: Tensor | Sequence[int], *, context: int | None = None, stride: int | None = None
) -> Perplexity:
    """exp of the mean negative log-probability of a text's tokens, read through a window that slides over it.

    Each token but the first counts once. With context c and stride s, windows of c tokens start every s tokens, and a
    token counts in the first window it is in: it has seen c - s tokens before it at least, but for those of the start.

    Args:
        model: a causal `breadth.lm.LM`.
        ids: the text, int64, (T,), T >= 2.
        context: tokens in a window, 2 .. the model's; None takes the model's.
        stride: 1 .. context - 1; None takes half of context. A smaller one costs more, and gives a lower value.

    Returns:
        Perplexity, sum of log-probabilities, number of tokens.

    Raises:
        ValueError: if an argument is out of its range.

    Cost: (T - context) / stride + 1 calls of the model on context tokens.
    References: Jelinek et al. 1977, JASA 62(S1); Baevski & Auli 2018, arXiv:1809.10853 (the window).
    Peer: token by token, each from its own call (B); transformers' loss (A).
    In production: compare models by it only where they have one tokenizer and one context and stride.
    """
    text = torch.as_tensor(ids, dtype=torch.int64)
    if text.dim() != 1 or len(text) < 2:
        raise ValueError(f"ids must have shape (length,) with length >= 2, got {tuple(text.shape)}")
    largest = model.config.context_length
    context = largest if context is None else context
    if not 2 <= context <= largest:
        raise ValueError(f"context must be from 2 to the model's {largest}, got {context}")
    stride = max(context // 2, 1) if stride is None else stride
    if not 1 <= stride < context:
        raise ValueError(f"stride must be from 1 to context - 1 = {context - 1}, got {stride}")
    parts, done, start = [], 1, 0  # done: tokens that have been counted, or are the first
    while done < len(text):
        end = min(start + context, len(text))
        with torch.no_grad():
            found = token_logprobs(model, text[None, start:end])[0]  # of tokens start + 1 .. end - 1
        parts.append(found[done - start - 1 :].double())
        done, start = end, start + stride
    total = float(torch.cat(parts).sum())
    return Perplexity(math.exp(-total / (len(text) - 1)), total, len(text) - 1)
