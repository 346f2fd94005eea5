"""A decoding strategy as a list: named steps, each of which changes the logits that the one before it gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from breadth.lm import penalties, sampling
from breadth.lm.sampling import FILTERED


@dataclass(frozen=True)
class History:
    """What the steps may look at: the ids so far, and which of them are what.

    Attributes:
        ids: int64, shape (batch, length); rows shorter than the longest are padded on the left.
        valid: bool, shape of ids: no padding. None means that there is none.
        generated: bool, shape of ids: not of the prompt. None means that all are.
    """

    ids: Tensor
    valid: Tensor | None = None
    generated: Tensor | None = None

    @property
    def counted(self) -> Tensor | None:
        """Generated and no padding."""
        if self.generated is None or self.valid is None:
            return self.valid if self.generated is None else self.generated
        return self.valid & self.generated


def _min_new_tokens(history: History, logits: Tensor, value: tuple[int, tuple[int, ...]]) -> Tensor:
    """No end-of-sequence token before so many tokens were generated."""
    least, ends = value
    counted = history.counted
    made = torch.full((len(logits),), history.ids.shape[1]) if counted is None else counted.sum(-1)
    early = torch.zeros_like(logits, dtype=torch.bool)
    early[:, list(ends)] = (made < least)[:, None].to(early.device)
    return logits.masked_fill(early, FILTERED)


def _allowed(history: History, logits: Tensor, value: Callable[[list[int]], list[int]]) -> Tensor:
    """Only tokens that a function of each row's generated ids allows."""
    counted = history.counted
    left_out = torch.ones_like(logits, dtype=torch.bool)
    for r, ids in enumerate(history.ids):
        tokens = list(value((ids if counted is None else ids[counted[r]]).tolist()))
        if tokens and not 0 <= min(tokens) <= max(tokens) < logits.shape[1]:
            raise ValueError(f"allowed gave {tokens}, not all of which are in the vocabulary of {logits.shape[1]}")
        left_out[r, tokens] = False
    return logits.masked_fill(left_out, FILTERED)


Function = Callable[[History, Tensor, Any, int], Tensor]

# name -> (history, logits, value, fewest tokens to keep) -> logits
STEPS: dict[str, Function] = {
    "repetition_penalty": lambda h, z, v, _: penalties.repetition_penalty(h.ids, z, v, counted=h.valid),
    "presence_penalty": lambda h, z, v, _: penalties.presence_frequency_penalty(
        h.ids, z, presence=v, counted=h.counted
    ),
    "frequency_penalty": lambda h, z, v, _: penalties.presence_frequency_penalty(
        h.ids, z, frequency=v, counted=h.counted
    ),
    "no_repeat_ngram_size": lambda h, z, v, _: penalties.no_repeat_ngram(h.ids, z, v, counted=h.valid),
    "min_new_tokens": lambda h, z, v, _: _min_new_tokens(h, z, v),
    "allowed": lambda h, z, v, _: _allowed(h, z, v),
    "temperature": lambda h, z, v, _: sampling.scale_temperature(z, v),
    "top_k": lambda h, z, v, keep: sampling.top_k(z, v, min_tokens_to_keep=keep),
    "top_p": lambda h, z, v, keep: sampling.top_p(z, v, min_tokens_to_keep=keep),
    "min_p": lambda h, z, v, keep: sampling.min_p(z, v, min_tokens_to_keep=keep),
    "typical_p": lambda h, z, v, keep: sampling.typical(z, v, min_tokens_to_keep=keep),
    "epsilon_cutoff": lambda h, z, v, keep: sampling.epsilon_cutoff(z, v, min_tokens_to_keep=keep),
    "eta_cutoff": lambda h, z, v, keep: sampling.eta_cutoff(z, v, min_tokens_to_keep=keep),
}

LOOKS_BACK = (
    "repetition_penalty", "presence_penalty", "frequency_penalty", "no_repeat_ngram_size", "min_new_tokens", "allowed",
)  # fmt: skip

Step = tuple[str, Any] | Callable[[Tensor, Tensor], Tensor]


class Pipeline:
    """Steps in their order; `(ids, logits) -> logits`, as a transformers LogitsProcessorList is.

        Pipeline([("repetition_penalty", 1.2), ("temperature", 0.7), ("top_p", 0.9)])

    The order matters. A temperature after top_p leaves the nucleus as it is; before it, a temperature above 1 widens
    it. Penalties come before the temperature, or they would weigh more as it falls.

    Args:
        steps: each a pair of a name in `STEPS` and its value, or a function `(ids, logits) -> logits`, as the logits
            processors of transformers are; ids has shape (batch, length), left-padded, logits (batch, vocabulary).
        min_tokens_to_keep: what every filter leaves at least.

    Attributes:
        steps: the list.
        looks_back: whether any step depends on the ids.

    Raises:
        ValueError: if a name is not in `STEPS`.

    Cost: that of the steps.
    References: Holtzman et al. 2020, arXiv:1904.09751 (sampling with temperature, top-k, nucleus).
    Peer: transformers.LogitsProcessorList of the same processors, equal (A).
    In production: `generate` builds it from options in transformers' order; give a list where another is wanted.
    """

    def __init__(self, steps: Iterable[Step] = (), *, min_tokens_to_keep: int = 1) -> None:
        self.steps: list[Step] = list(steps)
        self.min_tokens_to_keep = min_tokens_to_keep
        for step in self.steps:
            if not callable(step) and step[0] not in STEPS:
                raise ValueError(f"steps hold {step[0]!r}, which is none of {', '.join(STEPS)}")
        self.looks_back = any(callable(step) or step[0] in LOOKS_BACK for step in self.steps)

    def __call__(
        self, ids: Tensor, logits: Tensor, *, valid: Tensor | None = None, generated: Tensor | None = None
    ) -> Tensor:
        """Logits after all steps.

        Args:
            ids: tokens so far, int64, shape (batch, length), left-padded.
            logits: of the next token, shape (batch, vocabulary).
            valid: bool, shape of ids, False for padding; None means no padding.
            generated: bool, shape of ids, False for the prompt, which presence and frequency penalties do not count;
                None counts all.

        Returns:
            Shape and dtype of logits; -inf for what a filter left out.

        Raises:
            ValueError: if a step's value is out of its range.
        """
        history = History(ids, valid, generated)
        for step in self.steps:
            if callable(step):
                logits = step(ids, logits)
            else:
                logits = STEPS[step[0]](history, logits, step[1], self.min_tokens_to_keep)
        return logits

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"Pipeline({self.steps!r})"
