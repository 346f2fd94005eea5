"""Steps that look back: penalties on tokens that the text already holds.

Each takes the ids so far beside the logits. Rows of unequal length are padded; `counted` says which ids count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from breadth.lm.sampling import FILTERED


def repetition_penalty(ids: Tensor, logits: Tensor, penalty: float, *, counted: Tensor | None = None) -> Tensor:
    """Tokens that occurred, prompt included, become less likely: z / theta if z > 0, else z * theta.

    Dividing a negative logit would raise it, hence the two cases. A token is penalised once, however often it occurred.
    Since z is no probability, the effect depends on where the logits' zero lies: logits that are shifted by a constant,
    which softmax does not see, are penalised differently.

    Args:
        ids: tokens so far, int64, shape (batch, length).
        logits: shape (batch, vocabulary).
        penalty: theta > 0; above 1 discourages, below 1 encourages, 1 changes nothing.
        counted: bool, shape of ids: which of them occurred; None means all. Padding does not count.

    Returns:
        Shape and dtype of logits.

    Raises:
        ValueError: if the penalty is not > 0.

    Cost: O(length + vocabulary) for a row.
    References: Keskar et al. 2019, arXiv:1909.05858, section 4.1, whose formula divides whatever the sign; the case of
        z < 0 is the later correction in transformers.
    Peer: transformers.RepetitionPenaltyLogitsProcessor, equal (A).
    In production: use it at 1.05 to 1.3, without presence and frequency penalties.
    """
    if not penalty > 0:
        raise ValueError(f"repetition_penalty must be > 0, got {penalty}")
    rows, tokens = _occurring(ids, counted)
    seen = logits[rows, tokens]
    return logits.index_put((rows, tokens), torch.where(seen < 0, seen * penalty, seen / penalty))


def presence_frequency_penalty(
    ids: Tensor, logits: Tensor, *, presence: float = 0.0, frequency: float = 0.0, counted: Tensor | None = None
) -> Tensor:
    """Logits less a constant for tokens that occurred, and less a multiple of how often: z - n f - [n > 0] q.

    Args:
        ids: tokens so far, int64, shape (batch, length).
        logits: shape (batch, vocabulary).
        presence: q, in [-2, 2]; below 0 encourages.
        frequency: f, in [-2, 2]; below 0 encourages.
        counted: bool, shape of ids: which of them count; None means all. Generation counts what it has generated, not
            the prompt.

    Returns:
        Shape and dtype of logits.

    Raises:
        ValueError: if a penalty is outside [-2, 2].

    Cost: O(length + vocabulary) for a row.
    References: OpenAI API reference, "Frequency and presence penalties" (mu[j] - c[j] * alpha_frequency -
        float(c[j] > 0) * alpha_presence).
    Peer: the formula counted token by token in float64, 1e-12 (B).
    In production: use it where an OpenAI-compatible request asks for it.
    """
    for name, value in (("presence_penalty", presence), ("frequency_penalty", frequency)):
        if not -2 <= value <= 2:
            raise ValueError(f"{name} must be in [-2, 2], got {value}")
    rows, tokens = _occurring(ids, counted)
    once = logits.index_put((rows, tokens), logits[rows, tokens] - presence)
    return once.index_put((rows, tokens), logits.new_tensor(-frequency), accumulate=True)


def no_repeat_ngram(ids: Tensor, logits: Tensor, size: int, *, counted: Tensor | None = None) -> Tensor:
    """No n-gram twice: a token that would complete an n-gram that occurred is left out.

    Args:
        ids: tokens so far, int64, shape (batch, length).
        logits: shape (batch, vocabulary).
        size: n >= 1 of the n-grams.
        counted: bool, shape of ids; what is not counted is in no n-gram. None means all count.

    Returns:
        Logits, -inf where a token would repeat an n-gram.

    Raises:
        ValueError: if size is below 1.

    Cost: O(n length) for a row.
    References: Paulus et al. 2018, arXiv:1705.04304, section 2.5 (trigrams).
    Peer: transformers.NoRepeatNGramLogitsProcessor, equal (A).
    In production: use it for summaries by beam search; `repetition_penalty` is softer.
    """
    if size < 1:
        raise ValueError(f"no_repeat_ngram_size must be >= 1, got {size}")
    length = ids.shape[1]
    if length < size:
        return logits
    grams = ids.unfold(1, size, 1)  # (B, length - n + 1, n)
    repeats = (grams[..., :-1] == ids[:, None, length - size + 1 :]).all(-1)
    if counted is not None:
        repeats &= counted.unfold(1, size, 1).all(-1) & counted[:, None, length - size + 1 :].all(-1)
    banned = torch.zeros_like(logits, dtype=torch.int32).scatter_add(1, grams[..., -1], repeats.int()) > 0
    return logits.masked_fill(banned, FILTERED)


def _occurring(ids: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Row and token of each id that counts, repeated as often as it occurs."""
    if counted is None:
        return torch.arange(len(ids), device=ids.device).repeat_interleave(ids.shape[1]), ids.flatten()
    rows, places = counted.nonzero(as_tuple=True)
    return rows, ids[rows, places]
