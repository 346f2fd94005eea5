"""What decoding keeps of the tokens it has read: keys and values of each layer, or what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from breadth.lm.config import LMConfig

if TYPE_CHECKING:
    from breadth.lm.fast_step import FastBlock

_SPARE = 32  # tokens that may be taken back where a window has moved on


class Store(Protocol):
    """Tensors of one layer, each (batch, heads, tokens, width); tokens are counted from the start of the text."""

    def write(self, past: int, first: int, *new: Tensor) -> tuple[Tensor, ...]:
        """Add new tokens behind `past` old ones, and give those from `first` on, new ones included."""
        ...

    def commit(self, length: int) -> None:
        """All layers have written, and the text has this length."""
        ...

    def holds(self, length: int) -> bool:
        """Whether the text may be cut to this length and go on."""
        ...

    def map(self, change: Callable[[Tensor], Tensor], length: int) -> Store:
        """The same of other rows: change is applied to what is held of each tensor."""
        ...


class Static:
    """Room for the whole text, allocated once.

    Args:
        capacity: tokens.

    Cost: a token is written in place; reading gives views.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.kept: tuple[Tensor, ...] = ()
        self.fast: FastBlock | None = None  # what `fast_step` has made of the layer

    def write(self, past: int, first: int, *new: Tensor) -> tuple[Tensor, ...]:
        if not self.kept:
            self.kept = tuple(_room(t, self.capacity) for t in new)
        end = past + new[0].shape[2]
        for kept, t in zip(self.kept, new, strict=True):
            kept[:, :, past:end] = t
        return tuple(kept[:, :, first:end] for kept in self.kept)

    def commit(self, length: int) -> None:
        pass

    def holds(self, length: int) -> bool:
        return True

    def gather(self, rows: Sequence[tuple[Tensor, ...]], lengths: Sequence[int]) -> None:
        """Rows of one text each as one batch, padded on the left to the longest."""
        end = max(lengths)
        self.kept = tuple(_room(t.expand(len(rows), -1, -1, -1), self.capacity) for t in rows[0])
        for r, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            for kept, t in zip(self.kept, row, strict=True):
                kept[r, :, : end - length] = 0  # unseen, but NaN would be seen
                kept[r, :, end - length : end] = t[0, :, :length]

    def map(self, change: Callable[[Tensor], Tensor], length: int) -> Static:
        other = Static(self.capacity)
        other.kept = _changed(self.kept, change, length)
        return other


class Window:
    """Room for the last tokens only: what a sliding window, or a stretch of that length, can still see.

    The text moves through a buffer somewhat longer than the window, and is moved back to its start when that is full:
    what is read is always in order and in one piece, which no ring of the window's length gives.

    Args:
        window: tokens that a query sees, its own included.
        spare: how many tokens `truncate` can take back at least.

    Cost: memory 1.5 (window + spare) tokens, at least 64 more than these; each token is moved at most twice.
    """

    def __init__(self, window: int, spare: int = _SPARE) -> None:
        self.window, self.spare = window, spare
        self.keep = window - 1 + spare
        self.capacity = self.keep + max(64, self.keep // 2)
        self.kept: tuple[Tensor, ...] = ()
        self.start = 0  # place in the text of the buffer's first token
        self._next: tuple[tuple[Tensor, ...], int] | None = None  # kept and start once all layers have written

    def write(self, past: int, first: int, *new: Tensor) -> tuple[Tensor, ...]:
        self._next = None  # of a call that was broken off
        if not self.kept:
            self.kept = tuple(_room(t, self.capacity) for t in new)
        count, used = new[0].shape[2], past - self.start
        if used + count > self.capacity and count > self.capacity - self.keep:
            return self._write_many(past, first, new)
        if used + count > self.capacity:
            gone = used - self.keep
            for kept in self.kept:
                kept[:, :, : self.keep] = kept[:, :, gone:used].clone()
            self.start, used = self.start + gone, self.keep
        for kept, t in zip(self.kept, new, strict=True):
            kept[:, :, used : used + count] = t
        return tuple(kept[:, :, first - self.start : used + count] for kept in self.kept)

    def _write_many(self, past: int, first: int, new: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """More than the buffer takes: they are read as they are, and only their end is kept."""
        begin, used = max(self.start, past - self.keep), past - self.start
        joined = tuple(
            torch.cat((kept[:, :, begin - self.start : used], t), 2) if begin < past else t
            for kept, t in zip(self.kept, new, strict=True)
        )
        gone = max(joined[0].shape[2] - self.keep, 0)
        after = tuple(_room(t, self.capacity) for t in joined)
        for room, t in zip(after, joined, strict=True):
            room[:, :, : t.shape[2] - gone] = t[:, :, gone:]
        self._next = after, begin + gone  # not before all layers are done: an interrupt must leave what was
        return tuple(t[:, :, first - begin :] for t in joined)

    def commit(self, length: int) -> None:
        if self._next is not None:
            (self.kept, self.start), self._next = self._next, None

    def holds(self, length: int) -> bool:
        return self.start <= max(length - self.window + 1, 0)

    def map(self, change: Callable[[Tensor], Tensor], length: int) -> Window:
        other = Window(self.window, self.spare)
        other.start, other.kept = self.start, _changed(self.kept, change, length - self.start)
        return other


class StartAndWindow:
    """The first tokens of the text and the last ones: what lies between is forgotten.

    Keys are kept as they were before they are turned, and turned by their place in the cache.

    Args:
        start: tokens kept for ever.
        window: last tokens, a query's own included.
        spare: as of `Window`.

    Cost: reading copies start + window tokens.
    """

    def __init__(self, start: int, window: int, spare: int = _SPARE) -> None:
        self.start, self.window = start, window
        self.head, self.tail = Static(start), Window(window, spare)

    def write(self, past: int, first: int, *new: Tensor) -> tuple[Tensor, ...]:
        early = max(min(self.start - past, new[0].shape[2]), 0)  # of the new tokens
        parts = []
        if early or past:
            held = min(past, self.start)
            if self.start:
                parts.append(self.head.write(held, 0, *(t[:, :, :early] for t in new)))
        if early < new[0].shape[2]:
            gone = max(past - self.start, 0)
            count = new[0].shape[2] - early
            since = max(gone + count - self.window, 0)
            parts.append(self.tail.write(gone, since, *(t[:, :, early:] for t in new)))
        return parts[0] if len(parts) == 1 else tuple(torch.cat(pair, 2) for pair in zip(*parts, strict=True))

    def commit(self, length: int) -> None:
        self.tail.commit(max(length - self.start, 0))

    def holds(self, length: int) -> bool:
        return self.tail.holds(max(length - self.start, 0))

    def map(self, change: Callable[[Tensor], Tensor], length: int) -> StartAndWindow:
        other = StartAndWindow(self.start, self.window, self.tail.spare)
        other.head = self.head.map(change, min(length, self.start))
        other.tail = self.tail.map(change, max(length - self.start, 0))
        return other


class Cache:
    """Keys and values of the tokens that a model has read, so that the next one costs the work of one.

        cache = model.make_cache(batch, length)
        model(prompt, cache=cache, last=True)
        model(token, cache=cache, last=True)

    A layer that sees the whole text keeps all of it; one with a window or chunks keeps what it can still see; latent
    attention keeps one latent and one turned key a token instead of keys and values of all heads.

    Args:
        config: of the model.
        batch: rows.
        length: room for so many tokens.
        start, window: keep the first `start` and the last `window` tokens in all layers, and forget the rest: the text
            may go on for ever. None keeps all.
        spare: how many tokens `truncate` can take back at least where a window has moved on.

    Attributes:
        length: tokens read.
        held: tokens that positions are counted in: `length`, but at most start + window where that is given.

    Raises:
        ValueError: if an argument is out of its range, or the model's positions cannot move (start and window).

    Cost: see `Static`, `Window` and `StartAndWindow`.
    Deviations: a window's keys lie in a buffer 1.5 times its length rather than in a ring, which would need to be read
        in two pieces.
    References: Shazeer 2019, arXiv:1911.02150, section 2.4 (incremental inference); DeepSeek-AI 2024,
        arXiv:2405.04434, section 2.1 (latent); Jiang et al. 2023, arXiv:2310.06825, section 2 (rolling buffer);
        Xiao et al. 2023, arXiv:2309.17453, section 3.2 (start tokens and window, positions inside of the cache).
    Peer: the model without a cache, float64, 1e-12 (B); transformers' logits with its cache, float32, 2e-5 (A).
    In production: serving many requests at once wants pages (vLLM); this is for one batch.
    """

    def __init__(
        self,
        config: LMConfig,
        batch: int,
        length: int,
        *,
        start: int | None = None,
        window: int | None = None,
        spare: int = _SPARE,
    ) -> None:
        for name, value in (("batch", batch), ("length", length)):
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if spare < 0:
            raise ValueError(f"spare must be >= 0, got {spare}")
        if (start is None) != (window is None):
            raise ValueError(f"start and window go together, got {start} and {window}")
        if not config.causal:
            raise ValueError("a model that sees both directions has no cache: each new token changes all others")
        self.batch, self.room, self.length = batch, length, 0
        self.capacity: int | None = None  # of start and window
        self.cross: list[tuple[Tensor, Tensor] | None] = [None] * len(config.layers)
        self.stores: list[Store]
        if start is not None and window is not None:
            _check_stream(config, start, window)
            self.capacity = start + window
            self.stores = [StartAndWindow(start, window, spare) for _ in config.layers]
        else:
            self.stores = [_store(layer.window or layer.chunk, length, spare) for layer in config.layers]

    @property
    def held(self) -> int:
        return self.length if self.capacity is None else min(self.length, self.capacity)

    def write(self, layer: int, first: int, *new: Tensor) -> tuple[Tensor, ...]:
        """Add a layer's new tensors (batch, heads, tokens, width), and give those from the text's `first` token on."""
        return self.stores[layer].write(self.length, first, *new)

    def commit(self, count: int) -> None:
        """So many tokens were written by all layers."""
        self.length += count
        for store in self.stores:
            store.commit(self.length)

    def check(self, batch: int, count: int) -> None:
        """Refuse a call that does not fit.

        Raises:
            ValueError: if it has another number of rows, or more tokens than there is room for.
        """
        if batch != self.batch:
            raise ValueError(f"ids have {batch} rows and the cache {self.batch}; fork or reorder it")
        if self.capacity is None and self.length + count > self.room:
            raise ValueError(f"cache has room for {self.room} tokens, got {count} more than the {self.length} it holds")

    def fork(self, copies: int) -> Cache:
        """A new cache with each row so many times, copies of a row side by side.

        Raises:
            ValueError: if copies < 1.
        """
        if copies < 1:
            raise ValueError(f"copies must be >= 1, got {copies}")
        return self._mapped(lambda t: t.repeat_interleave(copies, 0), self.batch * copies)

    @property
    def whole(self) -> bool:
        """Whether every layer keeps the whole text and nothing of a source: what `gather` takes."""
        return self.capacity is None and all(isinstance(store, Static) for store in self.stores)

    def gather(self, rows: Sequence[Cache]) -> None:
        """Take what caches of one row each have read, as rows padded on the left to the longest; all are `whole`.

        Raises:
            ValueError: if this cache has read something, or has another number of rows or less room.
        """
        length = max(row.length for row in rows)
        if self.length or len(rows) != self.batch or length > self.room:
            raise ValueError(
                f"an empty cache for {len(rows)} rows of {length} tokens is needed, got one of {self.batch} rows, "
                f"{self.length} tokens and room for {self.room}"
            )
        for i, store in enumerate(self.stores):
            parts = [row.stores[i] for row in rows]
            assert isinstance(store, Static)
            store.gather([part.kept for part in parts if isinstance(part, Static)], [row.length for row in rows])
        self.length = length

    def reorder(self, rows: Tensor | Sequence[int]) -> None:
        """The rows given by number in place of those there are; more or fewer, and one several times.

        Raises:
            ValueError: if there is no row of such a number, or none is given.
        """
        rows = torch.as_tensor(rows, dtype=torch.int64)
        if rows.dim() != 1 or len(rows) == 0 or int(rows.min()) < 0 or int(rows.max()) >= self.batch:
            raise ValueError(f"rows must be one or more numbers from 0 to {self.batch - 1}, got {rows.tolist()}")
        other = self._mapped(lambda t: t.index_select(0, rows.to(t.device)), len(rows))
        self.batch, self.stores, self.cross = other.batch, other.stores, other.cross

    def truncate(self, length: int) -> None:
        """Forget the tokens from a length on.

        Raises:
            ValueError: if the cache is shorter, or a window has moved on from what would be needed.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"length must be from 0 to {self.length}, the tokens that were read, got {length}")
        for i, store in enumerate(self.stores):
            if not store.holds(length):
                raise ValueError(
                    f"length {length} is too far back: layer {i} keeps a window and has forgotten what precedes it; "
                    "give make_cache a larger spare, or read the text again"
                )
        self.length = length

    def nbytes(self) -> int:
        """Memory that it takes, cross-attention's keys and values included."""
        kept = [t for store in self.stores for part in _parts(store) for t in part.kept]
        kept += [t for pair in self.cross if pair is not None for t in pair]
        return sum(t.untyped_storage().nbytes() for t in kept)

    def _mapped(self, change: Callable[[Tensor], Tensor], batch: int) -> Cache:
        other = object.__new__(Cache)
        other.batch, other.room, other.length, other.capacity = batch, self.room, self.length, self.capacity
        other.stores = [store.map(change, self.length) for store in self.stores]
        other.cross = [None if pair is None else (change(pair[0]), change(pair[1])) for pair in self.cross]
        return other


def _parts(store: Store) -> list[Static | Window]:
    if isinstance(store, StartAndWindow):
        return [store.head, store.tail]
    assert isinstance(store, Static | Window)
    return [store]


def _store(window: int | None, length: int, spare: int) -> Store:
    if window is None:
        return Static(length)
    rolling = Window(window, spare)
    return rolling if rolling.capacity < length else Static(length)


def _check_stream(config: LMConfig, start: int, window: int) -> None:
    if start < 0 or window < 1:
        raise ValueError(f"start must be >= 0 and window >= 1, got {start} and {window}")
    if start + window > config.context_length:
        raise ValueError(f"start + window must be <= the context of {config.context_length}, got {start + window}")
    if config.learned_positions or config.span_positions or config.sinusoidal:
        raise ValueError("start and window need positions that can move (rotary, or none): these are in the embeddings")
    if any(layer.window is not None or layer.chunk is not None for layer in config.layers):
        raise ValueError("start and window are for layers that see the whole text, and some have a window or chunks")


def _room(like: Tensor, tokens: int) -> Tensor:
    batch, heads, _, width = like.shape
    with torch.inference_mode(False):  # what was begun while generating may be gone on with outside
        return torch.empty(batch, heads, tokens, width, dtype=like.dtype, device=like.device)


def _changed(kept: tuple[Tensor, ...], change: Callable[[Tensor], Tensor], length: int) -> tuple[Tensor, ...]:
    """Rows changed, copying only what is held."""
    out = []
    for t in kept:
        some = change(t[:, :, :length])
        room = _room(some, t.shape[2])
        room[:, :, :length] = some
        out.append(room)
    return tuple(out)
