"""Post-processors: the special tokens around a text or a pair of texts, and offsets without white space.

Names and fields are those of the `post_processor` object of a `tokenizer.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, Self, runtime_checkable

from breadth.text.byte_alphabet import BYTE_TO_CHAR
from breadth.text.encoding import Encoding

_SPACE = BYTE_TO_CHAR[ord(" ")]


@runtime_checkable
class PostProcessor(Protocol):
    """One or two encodings in; the parts of the final one out, in order."""

    def __call__(self, encodings: list[Encoding], *, add_special_tokens: bool) -> list[Encoding]:
        """The parts of the final encoding."""
        ...

    def n_added(self, *, pair: bool) -> int:
        """How many ids it puts in."""
        ...


class TextPiece(NamedTuple):
    """Where a text goes in a template.

    Attributes:
        text: 0 for the first, 1 for the second.
        type_id: the type of its ids.
    """

    text: int
    type_id: int


class SpecialPiece(NamedTuple):
    """Where a special token goes in a template.

    Attributes:
        name: of an entry in the template's special tokens.
        type_id: the type of its ids.
    """

    name: str
    type_id: int


class SpecialToken(NamedTuple):
    """What a special token of a template stands for: often one id, but it may be several."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]


Template = tuple[TextPiece | SpecialPiece, ...]


@dataclass(frozen=True)
class TemplateProcessing:
    """Special tokens around the texts, by template.

    Args:
        single: for one text.
        pair: for two texts.
        special_tokens: what the names in the templates stand for.

    Raises:
        ValueError: if a template names a special token that is not given, or the one for a pair lacks a text.

    Peer: tokenizers.processors.TemplateProcessing, every field of an encoding, exact (A).
    """

    single: Template
    pair: Template
    special_tokens: Mapping[str, SpecialToken]

    def __post_init__(self) -> None:
        named = {piece.name for piece in (*self.single, *self.pair) if isinstance(piece, SpecialPiece)}
        if missing := sorted(named - set(self.special_tokens)):
            raise ValueError(
                f"special_tokens lacks {', '.join(map(repr, missing))}, which the templates name; "
                f"it has {', '.join(map(repr, self.special_tokens)) or 'none'}"
            )
        if any(isinstance(piece, TextPiece) and piece.text == 1 for piece in self.single):
            raise ValueError("the template for one text must not use the second text, $B")

    @classmethod
    def parse(cls, *, single: str, pair: str | None = None, special_tokens: Mapping[str, int] | None = None) -> Self:
        """A template as it is written: `[CLS] $A [SEP] $B:1 [SEP]:1`.

        Args:
            single: for one text; `$A`, `$B` or `$0`, `$1` for the texts, `:n` for the type.
            pair: for two texts; None for one after the other, the second of type 1.
            special_tokens: id of each special token.

        Raises:
            ValueError: if a piece cannot be read, or names no special token.
        """
        special = {name: SpecialToken((i,), (name,)) for name, i in (special_tokens or {}).items()}
        return cls(_parsed(single), _parsed(pair or "$A:0 $B:1"), special)

    def __call__(self, encodings: list[Encoding], *, add_special_tokens: bool) -> list[Encoding]:
        parts = []
        for piece in self.pair if len(encodings) > 1 else self.single:
            if isinstance(piece, TextPiece):
                parts.append(encodings[piece.text].typed(piece.type_id))
            elif add_special_tokens:
                ids, tokens = self.special_tokens[piece.name]
                parts.append(Encoding.of_special(ids, tokens, piece.type_id))
        return parts

    def n_added(self, *, pair: bool) -> int:
        """How many ids it puts in."""
        pieces = self.pair if pair else self.single
        return sum(len(self.special_tokens[piece.name].ids) for piece in pieces if isinstance(piece, SpecialPiece))


def _parsed(template: str) -> Template:
    pieces: list[TextPiece | SpecialPiece] = []
    for written in template.split():
        match = re.fullmatch(r"(.+?)(?::(\d+))?", written)
        name, type_id = (match[1], int(match[2] or 0)) if match else ("", 0)
        if not name.startswith("$"):
            pieces.append(SpecialPiece(name, type_id))
        elif name in ("$A", "$B", "$"):
            pieces.append(TextPiece(int(name == "$B"), type_id))
        elif name[1:].isdecimal():  # $1 is the first text with type 1
            pieces.append(TextPiece(0, int(name[1:])))
        else:
            raise ValueError(f"template has the piece {written!r}; a text is $A or $B, with :n for its type")
    return tuple(pieces)


@dataclass(frozen=True)
class BertProcessing:
    """`[CLS] A [SEP]`, and `[CLS] A [SEP] B [SEP]` with type 1 from B on.

    Args:
        sep: token and id of `[SEP]`.
        cls: token and id of `[CLS]`.

    References: Devlin et al. 2019, section 3.
    Peer: tokenizers.processors.BertProcessing, every field of an encoding, exact (A).
    """

    sep: tuple[str, int]
    cls: tuple[str, int]

    def __call__(self, encodings: list[Encoding], *, add_special_tokens: bool) -> list[Encoding]:
        texts = [encoding.typed(i) for i, encoding in enumerate(encodings)]
        if not add_special_tokens:
            return texts
        parts = [_one(self.cls, 0)]
        for i, text in enumerate(texts):
            parts += [text, _one(self.sep, i)]
        return parts

    def n_added(self, *, pair: bool) -> int:
        """How many ids it puts in."""
        return 3 if pair else 2


def _one(token: tuple[str, int], type_id: int) -> Encoding:
    return Encoding.of_special([token[1]], [token[0]], type_id)


@dataclass(frozen=True)
class ByteLevel:
    """Offsets of byte-level tokens without the white space at their ends; no ids are put in.

    Args:
        add_prefix_space: whether the pre-tokenizer put a space before the text, which no offset covers.
        trim_offsets: leave the white space out; otherwise offsets stay.
        use_regex: kept for the file.

    Peer: tokenizers.processors.ByteLevel, exact (A).
    """

    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True

    def __call__(self, encodings: list[Encoding], *, add_special_tokens: bool) -> list[Encoding]:
        return [_trimmed(each, self.add_prefix_space) if self.trim_offsets else each for each in encodings]

    def n_added(self, *, pair: bool) -> int:
        """How many ids it puts in: none."""
        return 0


def _trimmed(encoding: Encoding, prefixed: bool) -> Encoding:
    """Offsets that leave out the white space that a token begins and ends with."""
    offsets = []
    for i, (token, (begin, end)) in enumerate(zip(encoding.tokens, encoding.offsets, strict=True)):
        as_spaces = token.replace(_SPACE, " ")
        leading = len(token) - len(as_spaces.lstrip())
        trailing = len(token) - len(as_spaces.rstrip())
        if leading:
            leading -= prefixed and (i == 0 or begin == 0)  # the space that was put there covers no character
            begin = min(begin + leading, end)
        if trailing and end >= trailing:
            end = max(end - trailing, begin)
        offsets.append((begin, end))
    return replace(encoding, offsets=offsets, overflowing=[_trimmed(part, prefixed) for part in encoding.overflowing])


@dataclass(frozen=True)
class RobertaProcessing:
    """`<s> A </s>`, and `<s> A </s></s> B </s>`, all of type 0.

    Args:
        sep: token and id of `</s>`.
        cls: token and id of `<s>`.
        trim_offsets: leave white space at the ends of tokens out of their offsets.
        add_prefix_space: whether the pre-tokenizer put a space before the text.

    References: Liu et al. 2019, arXiv:1907.11692.
    Peer: tokenizers.processors.RobertaProcessing, every field of an encoding, exact (A).
    """

    sep: tuple[str, int]
    cls: tuple[str, int]
    trim_offsets: bool = True
    add_prefix_space: bool = True

    def __call__(self, encodings: list[Encoding], *, add_special_tokens: bool) -> list[Encoding]:
        texts = [_untyped(_trimmed(each, self.add_prefix_space) if self.trim_offsets else each) for each in encodings]
        if not add_special_tokens:
            return texts
        parts = []
        for i, text in enumerate(texts):
            parts += [_one(self.sep if i else self.cls, 0), text, _one(self.sep, 0)]
        return parts

    def n_added(self, *, pair: bool) -> int:
        """How many ids it puts in."""
        return 4 if pair else 2


def _untyped(encoding: Encoding) -> Encoding:
    return replace(encoding.typed(0), overflowing=[part.typed(0) for part in encoding.overflowing])


@dataclass(frozen=True)
class Sequence:
    """Post-processors one after the other.

    Args:
        processors: in the order in which they act.

    Peer: tokenizers.processors.Sequence, every field of an encoding, exact (A).
    """

    processors: tuple[PostProcessor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "processors", tuple(self.processors))

    def __call__(self, encodings: list[Encoding], *, add_special_tokens: bool) -> list[Encoding]:
        for processor in self.processors:
            encodings = processor(encodings, add_special_tokens=add_special_tokens)
        return encodings

    def n_added(self, *, pair: bool) -> int:
        """How many ids they put in."""
        return sum(processor.n_added(pair=pair) for processor in self.processors)
