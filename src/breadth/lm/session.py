"""Rows of tokens that a model reads as they grow: prompts of unequal length, the cache, and what lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

_SHORT = 64  # tokens: reading fewer takes as long, since the weights are read for them too


class Reader(Protocol):
    """What strategies need of a model over growing rows: a `Session`, or two whose logits are combined."""

    @property
    def ids(self) -> Tensor: ...
    @property
    def length(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def known(self) -> Tensor: ...
    @property
    def valid(self) -> Tensor | None: ...
    def read(self) -> tuple[Tensor, Tensor]: ...
    def append(self, tokens: Tensor) -> None: ...
    def fork(self, copies: int) -> None: ...
    def reorder(self, rows: Tensor) -> None: ...
    def mark(self) -> Any: ...
    def rewind(self, mark: Any) -> None: ...


class Session:
    """A model, rows of tokens, and the cache of those it has read.

    Rows are padded on the left to one length. `read` gives the model whatever tokens the cache does not hold yet: the
    prompt at first, then what was appended. If it is interrupted, tokens and cache are as they were before.

    Args:
        model: a `breadth.lm.LM`, or what is called as it is.
        prompts: rows of ids, each int64 of shape (length,), length >= 1.
        room: how many tokens will be appended at most.
        cache: one that holds the first tokens of the prompts already, all of one length; None makes one.
        source: rows that an encoder-decoder's encoder reads, one for each prompt.
        prefill_chunk: read a prompt in stretches of so many tokens, which bounds memory; None reads it at once.

    Attributes:
        ids: int64, shape (batch, length + room); what lies beyond `length` is free.
        length: tokens in each row, padding included.
        start: length of the prompts, padding included.
        cache: what the model has read; its `length` is at most that of the rows.

    Raises:
        ValueError: if a prompt is empty, holds an id outside the vocabulary or exceeds the context; if a source is
            missing or not wanted; if a given cache and the prompts do not fit; if prefill_chunk < 1; if the model sees
            both sides.

    Cost: `read` of n new tokens is one call of the model on n tokens. Prompts of unequal length are read one by one
        on a CPU, where padding would take time.
    """

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Tensor],
        *,
        room: int,
        cache: Any = None,
        source: Sequence[Tensor] | None = None,
        prefill_chunk: int | None = None,
    ) -> None:
        check_prompts(prompts, model.config.vocab_size)
        if not getattr(model.config, "causal", True):
            raise ValueError("model sees both sides of a token, and has no next one to give: it can only be called")
        if prefill_chunk is not None and prefill_chunk < 1:
            raise ValueError(f"prefill_chunk must be >= 1, or None for all at once, got {prefill_chunk}")
        self.model = model
        self.chunk = prefill_chunk
        self.ids, self._valid = pad_left(prompts, room, device_of(model))
        self.length = self.start = self.ids.shape[1] - room
        if cache is None and self.length + room > model.config.context_length:
            raise ValueError(
                f"prompt of {self.length} tokens and max_new_tokens={room} exceed the model's context of "
                f"{model.config.context_length}"
            )
        if cache is not None and (self._valid is not None or cache.length >= self.length):
            raise ValueError(
                f"cache holds {cache.length} tokens: prompts must be of one length, above that, got "
                f"{sorted({len(p) for p in prompts})}"
            )
        self._given: dict[str, Tensor] = self._read_source(source)
        self.cache = self._new_cache() if cache is None else cache

    @property
    def known(self) -> Tensor:
        """The tokens, int64, shape (batch, length)."""
        return self.ids[:, : self.length]

    @property
    def valid(self) -> Tensor | None:
        """bool, shape of `known`: no padding. None means that there is none."""
        return None if self._valid is None else self._valid[:, : self.length]

    def read(self) -> tuple[Tensor, Tensor]:
        """Logits of the next token, each (batch, vocabulary): the model's, and those to decode from, here the same."""
        logits = _precise((self._read_apart() if self._uneven() else self._call(last=True))[:, -1])
        return logits, logits

    def read_hidden(self) -> tuple[Tensor, Tensor]:
        """Logits (batch, vocabulary) of the next token, and hidden states (batch, new tokens, d_model)."""
        logits, hidden = self._call(hidden=True)
        return _precise(logits[:, -1]), _precise(hidden)

    def read_ragged(self, limits: Tensor, keep: int) -> tuple[Tensor, int]:
        """Read rows that end at unequal places.

        The cache is cut back to `keep` tokens, and what follows is read anew: for the rows that are ahead some tokens
        that it held already, for those behind padding at the end.

        Args:
            limits: where each row ends, int64, shape (batch,).
            keep: up to where the cache holds what the rows hold.

        Returns:
            Logits after each token read, (batch, tokens read, vocabulary), and the place of the first of these.
        """
        self.length = int(limits.max())
        self.cut(keep)
        begin = self.cache.length
        valid = torch.arange(self.length, device=self.ids.device) < limits[:, None]
        if self._valid is not None:
            valid &= self._valid[:, : self.length]
        logits = self._call(valid=None if bool(valid.all()) else valid)
        return _precise(logits), begin

    def append(self, tokens: Tensor) -> None:
        """A token more in each row, int64, shape (batch,)."""
        self.ids[:, self.length] = tokens
        self.length += 1

    def fork(self, copies: int) -> None:
        """Each row so many times, copies of a row side by side."""
        if copies > 1:
            self.cache = self.cache.fork(copies)
            self._pick(torch.arange(len(self.ids), device=self.ids.device).repeat_interleave(copies))

    def reorder(self, rows: Tensor) -> None:
        """The rows given by number in place of those that are, int64, any number of them."""
        if len(rows) == len(self.ids) and torch.equal(rows, torch.arange(len(rows), device=rows.device)):
            return  # nothing to copy
        self.cache.reorder(rows)
        self._pick(rows)

    def mark(self) -> tuple[int, int]:
        """Where the rows and the cache end, for `rewind`."""
        return self.length, self.cache.length

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forget what came after a mark."""
        self.length, read = mark
        self.cut(read)

    def _pick(self, rows: Tensor) -> None:
        self.ids = self.ids[rows]
        self._valid = None if self._valid is None else self._valid[rows]
        self._given = {name: value[rows] for name, value in self._given.items()}

    def _call(self, *, valid: Tensor | None = None, **options: bool) -> Any:
        begin = self.cache.length
        try:
            if self.chunk is not None:
                while self.length - self.cache.length > self.chunk and "hidden" not in options and options:
                    self._forward(self.cache.length + self.chunk, valid, **options)
            return self._forward(self.length, valid, **options)
        except BaseException:  # an interrupt too: some layers may have written, others not
            self.cut(begin)
            raise

    def _uneven(self) -> bool:
        """Whether prompts are quicker read one by one: on a CPU, where padding would be a tenth of the work or more."""
        valid = self.valid
        if valid is None or self._given or self.chunk is not None or self.ids.device.type != "cpu":
            return False
        if self.cache.length or not getattr(self.cache, "whole", False):
            return False
        return int(valid.sum(1).clamp(min=_SHORT).sum()) < 0.9 * valid.numel()

    def _read_apart(self) -> Tensor:
        """Logits after each prompt, (batch, 1, vocabulary), and the cache filled, without computing any padding."""
        logits, caches = [], []
        for row in as_read(self.known, self.valid):
            caches.append(self.model.make_cache(1, len(row)))
            logits.append(self.model(row[None], cache=caches[-1], last=True))
        self.cache.gather(caches)
        return torch.cat(logits)

    def _forward(self, end: int, valid: Tensor | None, **options: bool) -> Any:
        mask = self._valid if valid is None else valid  # of what is read: longer than that is no harm
        return self.model(
            self.ids[:, self.cache.length : end],
            cache=self.cache,
            valid=None if mask is None else mask[:, :end],
            **self._given,
            **options,
        )

    def cut(self, length: int) -> None:
        """Forget what the cache holds beyond a length; the tokens stay and are read again."""
        if self.cache.length <= length:
            return
        try:
            self.cache.truncate(length)
        except ValueError:  # a ring has overwritten what lies before: read everything again
            self.cache = self._new_cache()

    def _new_cache(self) -> Any:
        return self.model.make_cache(*self.ids.shape)

    def _read_source(self, source: Sequence[Tensor] | None) -> dict[str, Tensor]:
        if (source is None) != (getattr(self.model.config, "encoder", None) is None):
            raise ValueError(
                "source is missing: the model has an encoder"
                if source is None
                else "source is given to a model that has no encoder"
            )
        if source is None:
            return {}
        check_prompts(source, self.model.config.encoder.vocab_size, "source")
        if len(source) != len(self.ids):
            raise ValueError(f"source must have a row for each of {len(self.ids)} prompts, got {len(source)}")
        # an encoder's positions begin on the left, so that padding is on the right
        longest = max(len(row) for row in source)
        ids = torch.zeros(len(source), longest, dtype=torch.int64, device=self.ids.device)
        for r, row in enumerate(source):
            ids[r, : len(row)] = row
        lengths = torch.tensor([len(row) for row in source], device=ids.device)
        valid = torch.arange(longest, device=ids.device) < lengths[:, None]
        return {"memory": self.model.encode(ids, valid), "memory_valid": valid}


def check_prompts(prompts: Sequence[Tensor], vocabulary: int, name: str = "ids") -> None:
    """Refuse prompts that no model can read.

    Raises:
        ValueError: if there is none, one is empty, or one holds an id outside the vocabulary.
    """
    if len(prompts) == 0:
        raise ValueError(f"{name} hold no prompt")
    for row, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise ValueError(
                f"{name} of row {row} are empty: a prompt needs a token, for example the one that begins a text"
            )
        low, high = int(prompt.min()), int(prompt.max())
        if low < 0 or high >= vocabulary:
            raise ValueError(
                f"{name} of row {row} hold {low if low < 0 else high}, outside the vocabulary of {vocabulary} tokens"
            )


def pad_left(rows: Sequence[Tensor], room: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Rows as one tensor, padded with 0 on the left, with room on the right; and which of it is no padding."""
    longest = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), longest + room, dtype=torch.int64, device=device)
    valid = torch.ones(len(rows), longest + room, dtype=torch.bool, device=device)
    for r, row in enumerate(rows):
        ids[r, longest - len(row) : longest] = row
        valid[r, : longest - len(row)] = False
    return ids, None if all(len(row) == longest for row in rows) else valid


def as_read(ids: Tensor, valid: Tensor | None) -> list[Tensor]:
    """Rows without their padding."""
    return list(ids) if valid is None else [row[keep] for row, keep in zip(ids, valid, strict=True)]


def _precise(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def device_of(model: Any) -> torch.device:
    """Where a model's parameters lie; the CPU if it has none."""
    parameters = getattr(model, "parameters", None)
    first = next(iter(parameters()), None) if parameters is not None else None
    return torch.device("cpu") if first is None else first.device
