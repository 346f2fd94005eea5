"""Decoding step by step: rows that grow until each has a reason to end, and what came of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from breadth.lm.stopping import Callback, Decoder, StopStrings, TextStream

Reason = Literal["eos", "stop", "callback", "length", "time"]


class Choice(NamedTuple):
    """A token that a strategy decided on: its log-probability for the model, and after all steps."""

    token: int
    logprob: float
    drawn_logprob: float


class Strategy(Protocol):
    """What decides on tokens, one or more for each row that is live."""

    def advance(self, live: Sequence[bool]) -> list[list[Choice]]: ...
    def mark(self) -> Any: ...
    def rewind(self, mark: Any) -> None: ...


@dataclass(frozen=True)
class Stops:
    """What ends a row: its budget, tokens, strings, a callback; and a time for all rows."""

    budget: int
    ends: tuple[int, ...] = ()
    strings: tuple[str, ...] = ()
    include: bool = False
    callback: Callback | None = None
    tokenizer: Decoder | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Piece:
    """What a step added to a row.

    Attributes:
        row: its number.
        ids: the new token; with speculative decoding one of several in a row.
        text: what is certain by then: nothing while a stop string may be beginning, or half a character is there.
        logprob: log-probability of the token for the model.
        finish: why the row ended, or None.
    """

    row: int
    id: int
    text: str
    logprob: float
    finish: Reason | None


@dataclass(frozen=True)
class Generation:
    """Rows that were generated; row r is of prompt r // num_return_sequences.

    Attributes:
        prompts: ids of each row's prompt.
        ids: generated ids of each row, with the token that ended it.
        texts: their texts, without the stop string unless it was asked for, or None without a tokenizer.
        logprobs: log-probability of each token for the model, in nats, whatever it was decoded with.
        drawn_logprobs: the same after temperature, penalties and filters: of the distribution it was drawn from.
        finish: why each row ended: "eos", "stop" (a stop string), "callback", "length", "time"; None if it has not.
        scores: of beams, the sum of log-probabilities over length ** length_penalty; None otherwise.
        proposed: tokens that a draft model proposed.
        accepted: those of them that were kept.
    """

    prompts: list[list[int]]
    ids: list[list[int]]
    texts: list[str] | None
    logprobs: list[list[float]]
    drawn_logprobs: list[list[float]]
    finish: list[Reason | None]
    scores: list[float] | None = None
    proposed: int = 0
    accepted: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def sequences(self, pad_token_id: int = 0) -> Tensor:
        """Prompts and what follows, as transformers gives them: int64, shape (rows, longest).

        Prompts are padded on the left to one length, what was generated on the right.

        Args:
            pad_token_id: what to pad with.
        """
        longest = max(len(prompt) for prompt in self.prompts)
        new = max(len(ids) for ids in self.ids)
        rows = [
            [pad_token_id] * (longest - len(prompt)) + prompt + ids + [pad_token_id] * (new - len(ids))
            for prompt, ids in zip(self.prompts, self.ids, strict=True)
        ]
        return torch.tensor(rows)


class Stream:
    """Pieces of text as a strategy decides on them.

    Iterating gives a `Piece` for each new token of each row. A KeyboardInterrupt, or an error of a callback, leaves
    everything as it was before the step it broke off: `result` tells what was generated, and iterating goes on from
    there.

    Args:
        strategy: decides on tokens.
        prompts: of each row.
        stops: what ends a row.

    Attributes:
        strategy: with the rows and the cache, `strategy.reader`.
    """

    def __init__(self, strategy: Strategy, prompts: Sequence[Sequence[int]], stops: Stops) -> None:
        self.strategy = strategy
        self._prompts = [list(prompt) for prompt in prompts]
        self._stops = stops
        self._rows = [Row(stops) for _ in prompts]
        self._ready: deque[Piece] = deque()
        self._until = None if stops.seconds is None else time.monotonic() + stops.seconds

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while not self._ready:
            live = [row.reason is None for row in self._rows]
            if not any(live):
                raise StopIteration
            self._step(live)
        return self._ready.popleft()

    def result(self) -> Generation:
        """What was generated so far."""
        rows = self._rows
        return Generation(
            prompts=self._prompts,
            ids=[list(row.ids) for row in rows],
            texts=None if self._stops.tokenizer is None else [row.text for row in rows],
            logprobs=[list(row.logprobs) for row in rows],
            drawn_logprobs=[list(row.drawn) for row in rows],
            finish=[row.reason for row in rows],
            proposed=getattr(self.strategy, "proposed", 0),
            accepted=getattr(self.strategy, "accepted", 0),
        )

    def _step(self, live: list[bool]) -> None:
        mark, lengths = self.strategy.mark(), [len(row.ids) for row in self._rows]
        try:
            pieces = []
            for r, choices in enumerate(self.strategy.advance(live)):
                for choice in choices:
                    if self._rows[r].reason is None:
                        pieces.append(self._rows[r].take(r, choice))
            if self._until is not None and time.monotonic() > self._until:
                pieces += [row.expire(r) for r, row in enumerate(self._rows) if row.reason is None]
            self._ready.extend(pieces)
        except BaseException:
            with torch.inference_mode():  # as the cache was written
                self.strategy.rewind(mark)
            for row, length in zip(self._rows, lengths, strict=True):
                row.rewind(length)
            self._ready.clear()
            raise


class Row:
    """A row of generated tokens, its text, and why it ended."""

    def __init__(self, stops: Stops) -> None:
        self._stops = stops
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.drawn: list[float] = []
        self._begin_text()

    def take(self, number: int, choice: Choice) -> Piece:
        """Take a token, and see whether it ends the row."""
        self.ids.append(choice.token)
        self.logprobs.append(choice.logprob)
        self.drawn.append(choice.drawn_logprob)
        text = self._push(choice.token)
        stops = self._stops
        if choice.token in stops.ends:
            self.reason = "eos"
        elif self._matcher.found is not None:
            self.reason = "stop"
        elif stops.callback is not None and stops.callback(self.text + text + self._matcher.held, self.ids):
            self.reason = "callback"
        elif len(self.ids) >= stops.budget:
            self.reason = "length"
        text += self._rest()
        self.text += text
        return Piece(number, choice.token, text, choice.logprob, self.reason)

    def expire(self, number: int) -> Piece:
        """End the row where it is."""
        self.reason = "time"
        text = self._rest()
        self.text += text
        return Piece(number, self.ids[-1] if self.ids else -1, text, 0.0, self.reason)

    def rewind(self, length: int) -> None:
        """Forget the tokens beyond a length."""
        if len(self.ids) > length:
            del self.ids[length:], self.logprobs[length:], self.drawn[length:]
            self._begin_text()
            for token in self.ids:
                self.text += self._push(token)

    def _begin_text(self) -> None:
        self.text = ""
        self.reason: Reason | None = None
        self._matcher = StopStrings(self._stops.strings, include=self._stops.include)
        self._decoder = None if self._stops.tokenizer is None else TextStream(self._stops.tokenizer)

    def _push(self, token: int) -> str:
        if self._decoder is None or token in self._stops.ends:
            return ""
        return self._matcher.push(self._decoder.push(token))

    def _rest(self) -> str:
        """What was held back, if the row has ended; it may hold a stop string yet."""
        if self.reason is None or self._decoder is None or self._matcher.found is not None:
            return ""
        return self._matcher.push(self._decoder.end()) + self._matcher.end()
