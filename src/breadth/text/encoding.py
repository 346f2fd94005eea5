"""The result of encoding with all that goes with each id, and how it is truncated and padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Literal, get_args

Strategy = Literal["longest_first", "only_first", "only_second"]
Direction = Literal["right", "left"]


@dataclass
class Encoding:
    """Ids of a text, and what each of them is.

    Attributes:
        ids: the tokens.
        tokens: as the vocabulary writes them; an added token as it stood in the text.
        offsets: begin and end in characters of the text as given; (0, 0) for what no text stands for.
        type_ids: 0 for the first text and what belongs to it, 1 for the second, unless a template says otherwise.
        words: which word of its text an id belongs to; None for what no text stands for.
        sequences: 0 for ids of the first text, 1 for those of the second, None for what no text stands for.
        special_tokens_mask: 1 for ids that post-processing or padding put in.
        attention_mask: 0 for padding.
        overflowing: what truncation cut off, in pieces of the same length.
    """

    ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    offsets: list[tuple[int, int]] = field(default_factory=list)
    type_ids: list[int] = field(default_factory=list)
    words: list[int | None] = field(default_factory=list)
    sequences: list[int | None] = field(default_factory=list)
    special_tokens_mask: list[int] = field(default_factory=list)
    attention_mask: list[int] = field(default_factory=list)
    overflowing: list[Encoding] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of_special(cls, ids: Sequence[int], tokens: Sequence[str], type_id: int) -> Encoding:
        """Ids that no text stands for."""
        n = len(ids)
        return cls(list(ids), list(tokens), [(0, 0)] * n, [type_id] * n, [None] * n, [None] * n, [1] * n, [1] * n)

    def span(self, begin: int, end: int) -> Encoding:
        """The ids [begin, end), without what overflowed."""
        return Encoding(*(getattr(self, name)[begin:end] for name in _COLUMNS))

    def typed(self, type_id: int) -> Encoding:
        """The same ids, all of one type; what overflowed keeps its own."""
        return replace(self, type_ids=[type_id] * len(self))

    def then(self, other: Encoding) -> Encoding:
        """The ids of both; each part that overflowed goes with each part of the other."""
        overflowing = [mine.then(part) for mine in self.overflowing for part in (other, *other.overflowing)]
        overflowing += [self.then(theirs) for theirs in other.overflowing]
        columns = (getattr(self, name) + getattr(other, name) for name in _COLUMNS)
        return Encoding(*columns, overflowing=overflowing)


_COLUMNS = (
    "ids", "tokens", "offsets", "type_ids", "words", "sequences", "special_tokens_mask", "attention_mask",
)  # fmt: skip


@dataclass(frozen=True)
class Truncation:
    """The most ids that an encoding may have.

    Args:
        max_length: ids, with those of the template.
        stride: ids that each part shares with the one before it.
        strategy: of a pair, cut the longer text, only the first, or only the second.
        direction: which end is cut off.

    Raises:
        ValueError: if max_length or stride is negative, or a word is unknown.

    Peer: tokenizers.Tokenizer.enable_truncation, exact (A).
    """

    max_length: int
    stride: int = 0
    strategy: Strategy = "longest_first"
    direction: Direction = "right"

    def __post_init__(self) -> None:
        for name in ("max_length", "stride"):
            if not isinstance(getattr(self, name), Integral):
                raise TypeError(f"{name} must be an integer, got {getattr(self, name)!r}")
        if self.max_length < 0 or self.stride < 0:
            raise ValueError(f"max_length and stride must be >= 0, got {self.max_length} and {self.stride}")
        _check_word("strategy", self.strategy, get_args(Strategy))
        _check_word("direction", self.direction, get_args(Direction))


@dataclass(frozen=True)
class Padding:
    """How encodings are filled up.

    Args:
        pad_id: the id that fills.
        pad_token: its token.
        pad_type_id: its type.
        length: ids of each encoding; None means those of the longest in the batch.
        pad_to_multiple_of: round the length up to a multiple of this; None for any length.
        direction: which end is filled up.

    Raises:
        ValueError: if a number is out of range, or a word is unknown.

    Peer: tokenizers.Tokenizer.enable_padding, exact (A).
    """

    pad_id: int = 0
    pad_token: str = "[PAD]"
    pad_type_id: int = 0
    length: int | None = None
    pad_to_multiple_of: int | None = None
    direction: Direction = "right"

    def __post_init__(self) -> None:
        for name in ("pad_id", "length", "pad_to_multiple_of"):
            value = getattr(self, name)
            if not isinstance(value, Integral) and (value is not None or name == "pad_id"):
                raise TypeError(f"{name} must be an integer, got {value!r}")
        if self.length is not None and self.length < 0:
            raise ValueError(f"length must be >= 0 or None, got {self.length}")
        if self.pad_to_multiple_of is not None and self.pad_to_multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of must be >= 1 or None, got {self.pad_to_multiple_of}")
        _check_word("direction", self.direction, get_args(Direction))


def _check_word(name: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {word!r}")


def truncate(
    first: Encoding, second: Encoding | None, truncation: Truncation, *, n_added: int
) -> tuple[Encoding, Encoding | None]:
    """Cut one text, or a pair of them, to the length that is allowed.

    Args:
        first: ids of the first text.
        second: ids of the second text, if there is one.
        truncation: what is allowed.
        n_added: ids that the template will put in.

    Returns:
        Both, with what was cut off in `overflowing`.

    Raises:
        ValueError: if the template alone is too long, the stride is not below the length that is left, or the text to
            be cut is missing or shorter than what has to go.
    """
    if not isinstance(truncation, Truncation):
        raise TypeError(f"truncation must be a Truncation or None, such as Truncation(512), got {truncation!r}")
    room = truncation.max_length - n_added
    if room < 0:
        raise ValueError(f"max_length must be at least the {n_added} ids of the template, got {truncation.max_length}")
    total = len(first) + (len(second) if second is not None else 0)
    if total <= room:
        return first, second
    excess = total - room
    stride, direction = truncation.stride, truncation.direction
    if second is None:
        if truncation.strategy == "only_second":
            raise ValueError("strategy 'only_second' needs a second text; give one, or use 'longest_first'")
        return _cut(first, room, stride, direction), None
    if room == 0:
        return _cut(first, 0, stride, direction), _cut(second, 0, stride, direction)
    if truncation.strategy == "longest_first":
        n_first, n_second = _shares(len(first), len(second), room)
        return _cut(first, n_first, stride, direction), _cut(second, n_second, stride, direction)
    chosen, name = (first, "first") if truncation.strategy == "only_first" else (second, "second")
    if len(chosen) <= excess:
        raise ValueError(
            f"the {name} text has {len(chosen)} ids and would have to lose {excess}; use strategy 'longest_first'"
        )
    shorter = _cut(chosen, len(chosen) - excess, stride, direction)
    return (shorter, second) if name == "first" else (first, shorter)


def _shares(n_first: int, n_second: int, room: int) -> tuple[int, int]:
    """How much of each text stays: the shorter one whole if it takes less than half."""
    short, long = sorted((n_first, n_second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (long, short) if n_first > n_second else (short, long)


def _cut(encoding: Encoding, size: int, stride: int, direction: Direction) -> Encoding:
    """An encoding in parts of `size` ids, each sharing `stride` with the one before; the first one has the others."""
    n = len(encoding)
    if size >= n:
        return encoding
    if size == 0:
        return Encoding(overflowing=[encoding])
    if stride >= size:
        raise ValueError(
            f"stride must be less than the {size} ids that max_length leaves for the text, got {stride}; "
            "lower it or raise max_length"
        )
    step = size - stride
    spans = []
    for at in range(0, n, step):
        spans.append((at, min(at + size, n)) if direction == "right" else (max(n - at - size, 0), n - at))
        if (spans[-1][1] == n and direction == "right") or (spans[-1][0] == 0 and direction == "left"):
            break
    parts = [encoding.span(begin, end) for begin, end in spans]
    parts[0].overflowing = parts[1:]
    return parts[0]


def pad(encodings: Sequence[Encoding], padding: Padding) -> list[Encoding]:
    """Fill encodings, and what overflowed from them, up to one length; longer ones stay as they are.

    Args:
        encodings: a batch.
        padding: with what, on which side, how far.

    Returns:
        As many encodings.
    """
    if not isinstance(padding, Padding):
        raise TypeError(f"padding must be a Padding or None, such as Padding(length=512), got {padding!r}")
    length = max(map(len, encodings), default=0) if padding.length is None else padding.length
    if padding.pad_to_multiple_of:
        length = -(-length // padding.pad_to_multiple_of) * padding.pad_to_multiple_of
    return [_padded(encoding, length, padding) for encoding in encodings]


def _padded(encoding: Encoding, length: int, padding: Padding) -> Encoding:
    overflowing = [_padded(part, length, padding) for part in encoding.overflowing]
    n = max(length - len(encoding), 0)
    filling = Encoding.of_special([padding.pad_id] * n, [padding.pad_token] * n, padding.pad_type_id)
    filling.attention_mask = [0] * n
    whole = replace(encoding, overflowing=[])
    whole = whole.then(filling) if padding.direction == "right" else filling.then(whole)
    return replace(whole, overflowing=overflowing)
