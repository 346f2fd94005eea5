"""Pre-tokenizers: how a normalised text is cut into the words that a model sees.

Each is a function from a `Piece` to its pieces. Names and fields are those of the `pre_tokenizer` object of a
`tokenizer.json`. `split(text)` gives what a model's `encode_words` takes: bytes, and the end of each word in them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal, Protocol, cast, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from breadth.text.align import Piece, prepended
from breadth.text.byte_alphabet import bytes_to_printable, printable_to_bytes, utf8_bytes
from breadth.text.matching import PUNCTUATION, WHITE_SPACE, Pattern, Regex, find_spans, members
from breadth.text.patterns import RULES, Scanner, Splitter, bert_words, splitter

Words = tuple[NDArray[np.uint8], NDArray[np.int64]]
Behaviour = Literal["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
PrependScheme = Literal["always", "first", "never"]
Spans = list[tuple[int, int]]


@runtime_checkable
class PreTokenizer(Protocol):
    """A piece in, its pieces out; and the same as bytes and word ends."""

    def __call__(self, piece: Piece) -> list[Piece]:
        """The pieces of a piece; those that came out empty may be among them."""
        ...

    def split(self, text: str) -> Words:
        """The bytes of a text's words, one behind the other, and the end of each word."""
        ...


def cut(piece: Piece, matches: Iterable[tuple[int, int]], behaviour: Behaviour, *, invert: bool = False) -> list[Piece]:
    """Cut a piece at the matches of a delimiter.

    Args:
        piece: what to cut.
        matches: begin and end of each delimiter, from left to right without overlap.
        behaviour: what becomes of a delimiter: dropped, a piece of its own, joined to the piece before or after it, or
            one piece with the delimiters next to it.
        invert: what matches is kept and what lies between is the delimiter.

    Returns:
        The pieces in order, none of them empty.
    """
    size = len(piece.text)
    parts: list[tuple[int, int, bool]] = []  # begin, end, whether it is a delimiter; they cover the text
    done = 0
    for begin, end in matches:
        if done < begin:
            parts.append((done, begin, invert))
        parts.append((begin, end, not invert))
        done = end
    if done < size:
        parts.append((done, size, invert))
    if behaviour == "removed":
        spans = [(begin, end) for begin, end, delimiter in parts if not delimiter]
    elif behaviour == "isolated":
        spans = [(begin, end) for begin, end, _ in parts]
    elif behaviour == "contiguous":
        spans = _joined(parts, lambda delimiter, before: delimiter == before)
    elif behaviour == "merged_with_previous":
        spans = _joined(parts, lambda delimiter, before: delimiter and not before)
    else:
        mirrored = [(-end, -begin, delimiter) for begin, end, delimiter in reversed(parts)]
        merged = _joined(mirrored, lambda delimiter, before: delimiter and not before)
        spans = [(-end, -begin) for begin, end in reversed(merged)]
    return [piece.cut(begin, end) for begin, end in spans if begin < end]


def _joined(parts, joins) -> Spans:
    """Spans of parts, each extended by the next one when `joins(it is a delimiter, the one before is)`."""
    spans: Spans = []
    before = False
    for begin, end, delimiter in parts:
        if spans and joins(delimiter, before):
            spans[-1] = spans[-1][0], end
        else:
            spans.append((begin, end))
        before = delimiter
    return spans


def words_of(pieces: Iterable[Piece], *, as_bytes: bool) -> Words:
    """Bytes and word ends of pieces; `as_bytes` if their text is in the printable alphabet of bytes."""
    spell = printable_to_bytes if as_bytes else _utf8
    parts = [spell(piece.text) for piece in pieces]
    ends = np.cumsum(np.fromiter(map(len, parts), dtype=np.int64, count=len(parts)))
    return np.frombuffer(b"".join(parts), dtype=np.uint8), ends


def _utf8(text: str) -> bytes:
    return utf8_bytes(text).tobytes()


def split_pieces(self: PreTokenizer, text: str) -> Words:
    """The bytes of a text's words, one behind the other, and the end of each word.

    Raises:
        ValueError: if the text holds a lone surrogate.
    """
    return words_of((piece for piece in self(Piece(text)) if piece.text), as_bytes=spells_bytes(self))


def spells_bytes(pre_tokenizer: PreTokenizer | None) -> bool:
    """Whether pieces come out in the printable alphabet of bytes."""
    return any(isinstance(each, ByteLevel) for each in members(pre_tokenizer))


@dataclass(frozen=True)
class ByteLevel:
    """GPT-2's words, as bytes.

    Args:
        add_prefix_space: put a space before a text that does not begin with one.
        trim_offsets: kept for the file; the post-processor of that name acts on it.
        use_regex: split with GPT-2's pattern; otherwise only spell bytes.

    References: Radford et al. 2019, section 2.2.
    Peer: tokenizers.pre_tokenizers.ByteLevel, pieces and offsets, exact (A).
    In production: after a `Split` with a newer pattern, with `use_regex=False`, as Llama 3 and Qwen have it.
    """

    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True

    def __call__(self, piece: Piece) -> list[Piece]:
        text = piece.text
        if self.add_prefix_space and text and not text.startswith(" "):
            piece = piece.rewritten(" " + text, prepended(1, len(text)))
        pieces = cut(piece, _ends_to_spans(piece.text, "gpt2"), "isolated") if self.use_regex else [piece]
        return [each.rewritten(*_spelled(each)) for each in pieces]

    def split(self, text: str) -> Words:
        """The bytes of a text's words, one behind the other, and the end of each word."""
        if self.add_prefix_space and text and not text.startswith(" "):
            text = " " + text
        data = utf8_bytes(text)
        return data, splitter("gpt2")(data) if self.use_regex else _one_word(data)


def _spelled(piece: Piece):
    """Text in the alphabet of bytes, and the character that each byte is of."""
    data = utf8_bytes(piece.text)
    source = None if piece.spans is None else np.cumsum((data & 0xC0) != 0x80) - 1
    return bytes_to_printable(data.tobytes()), source


def _one_word(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.array([data.size] if data.size else [], dtype=np.int64)


def _ends_to_spans(text: str, pattern: str) -> Spans:
    """Begin and end in characters of the pieces that a scanner cuts a text into."""
    data = utf8_bytes(text)
    ends = splitter(pattern)(data)
    if data.size != len(text):
        ends = np.cumsum((data & 0xC0) != 0x80)[ends - 1]
    return list(pairwise([0, *ends.tolist()]))


@dataclass(frozen=True)
class Split:
    """Cut at the matches of a pattern.

    Args:
        pattern: a literal string, or `Regex`; the published patterns have fast scanners.
        behavior: what becomes of a match, see `cut`.
        invert: keep what matches; what lies between is the delimiter.

    Raises:
        ValueError: if the behaviour is unknown.

    Peer: tokenizers.pre_tokenizers.Split, pieces and offsets, exact (A).
    """

    pattern: Pattern
    behavior: Behaviour
    invert: bool = False

    def __post_init__(self) -> None:
        check_behaviour(self.behavior)

    def __call__(self, piece: Piece) -> list[Piece]:
        if isinstance(self.pattern, Regex) and self._is_scanned:
            return cut(piece, _ends_to_spans(piece.text, self.pattern.pattern), "isolated")
        return cut(piece, find_spans(self.pattern, piece.text), self.behavior, invert=self.invert)

    def split(self, text: str) -> Words:
        """The bytes of a text's words, one behind the other, and the end of each word."""
        if self._is_scanned:
            data = utf8_bytes(text)
            return data, self._splitter(data)
        if self.keeps_without and self.keeps_without not in text:
            data = utf8_bytes(text)
            return data, _one_word(data)
        return _words_of_texts(self.cut_text(text))

    @property
    def keeps_without(self) -> str | None:
        """A literal without which a text is one piece; None where there is no such."""
        return self.pattern if isinstance(self.pattern, str) and not self.invert else None

    def cut_text(self, text: str) -> list[str]:
        """The pieces of a text, none of them empty, without following its characters."""
        if self.behavior != "isolated" or self._is_scanned:
            return [piece.text for piece in self(Piece(text))]
        parts = []
        done = 0
        for begin, end in find_spans(self.pattern, text):
            if done < begin:
                parts.append(text[done:begin])
            if begin < end:
                parts.append(text[begin:end])
            done = end
        if done < len(text):
            parts.append(text[done:])
        return parts

    @property
    def _is_scanned(self) -> bool:
        """Whether a scanner serves: a published pattern, which matches everywhere, with its matches kept."""
        return (
            isinstance(self.pattern, Regex)
            and self.pattern.pattern in RULES
            and (self.behavior == "isolated" or (self.behavior == "removed" and self.invert))
        )

    @functools.cached_property
    def _splitter(self) -> Splitter:
        return splitter(cast(Regex, self.pattern).pattern)


def check_behaviour(behaviour: str) -> None:
    if behaviour not in get_args(Behaviour):
        raise ValueError(f"behavior must be one of {', '.join(get_args(Behaviour))}, got {behaviour!r}")


@dataclass(frozen=True)
class Metaspace:
    """SentencePiece's words: spaces become a visible mark, and each word begins with one.

    Args:
        replacement: the mark, one character.
        prepend_scheme: put a mark before every piece that lacks one, before the one that begins the text, or never.
        split: cut before each mark; otherwise the piece stays whole.

    Raises:
        ValueError: if the mark is not one character, or the scheme is unknown.

    References: Kudo & Richardson 2018, section 3.3.
    Peer: tokenizers.pre_tokenizers.Metaspace, pieces and offsets, exact (A).
    """

    replacement: str = "▁"
    prepend_scheme: PrependScheme = "always"
    split_words: bool = True

    def __post_init__(self) -> None:
        if len(self.replacement) != 1:
            raise ValueError(f"replacement must be one character, got {self.replacement!r}")
        if self.prepend_scheme not in get_args(PrependScheme):
            schemes = ", ".join(get_args(PrependScheme))
            raise ValueError(f"prepend_scheme must be one of {schemes}, got {self.prepend_scheme!r}")

    def __call__(self, piece: Piece) -> list[Piece]:
        text = self._marked(piece.text, first=piece.start == 0)
        source = prepended(1, len(piece.text)) if len(text) > len(piece.text) else None
        piece = piece.rewritten(text, source)
        return cut(piece, find_spans(self.replacement, text), "merged_with_next") if self.split_words else [piece]

    def split(self, text: str, *, first: bool = True) -> Words:
        """The bytes of a text's words, one behind the other, and the end of each word.

        Args:
            text: what to split.
            first: whether it begins the whole text.

        Returns:
            UTF-8, and the byte end of each word in it.
        """
        marked = self._marked(text, first=first)
        data = utf8_bytes(marked)
        if not self.split_words:
            return data, _one_word(data)
        first_byte, *others = self.replacement.encode()
        starts = np.flatnonzero(data == first_byte)  # a character that begins so is as long, and whole
        for i, byte in enumerate(others, start=1):
            starts = starts[data[starts + i] == byte]
        return data, np.append(starts[starts > 0], _one_word(data))

    def cut_text(self, text: str) -> list[str]:
        """The pieces of a text that begins the whole, none of them empty, without following its characters."""
        marked = self._marked(text, first=True)
        parts = []
        begin = 0
        while (end := marked.find(self.replacement, begin + 1) if self.split_words else -1) >= 0:
            parts.append(marked[begin:end])
            begin = end
        return [*parts, marked[begin:]] if marked else []

    def _marked(self, text: str, *, first: bool) -> str:
        marked = text.replace(" ", self.replacement)
        wanted = self.prepend_scheme == "always" or (self.prepend_scheme == "first" and first)
        return self.replacement + marked if wanted and marked and not marked.startswith(self.replacement) else marked


@dataclass(frozen=True)
class BertPreTokenizer:
    """Words between white space, each punctuation mark alone.

    References: Devlin et al. 2019; `BasicTokenizer` of google-research/bert.
    Peer: tokenizers.pre_tokenizers.BertPreTokenizer, pieces and offsets, exact on code points that both know (A).
    """

    def __call__(self, piece: Piece) -> list[Piece]:
        words = cut(piece, find_spans(Regex(WHITE_SPACE), piece.text), "removed")
        return [part for word in words for part in cut(word, find_spans(Regex(PUNCTUATION), word.text), "isolated")]

    def split(self, text: str) -> Words:
        """The bytes of a text's words, one behind the other, and the end of each word."""
        data, ends, _ = bert_words(utf8_bytes(text))
        return data, ends


@dataclass(frozen=True)
class Sequence:
    """Pre-tokenizers one after the other, each on every piece of the one before.

    Args:
        pretokenizers: in the order in which they act.

    Peer: tokenizers.pre_tokenizers.Sequence, pieces and offsets, exact (A).
    """

    pretokenizers: tuple[PreTokenizer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "pretokenizers", tuple(self.pretokenizers))

    def __call__(self, piece: Piece) -> list[Piece]:
        pieces = [piece]
        for pre_tokenizer in self.pretokenizers:
            pieces = [part for each in pieces for part in pre_tokenizer(each) if part.text]
        return pieces

    def split(self, text: str) -> Words:
        """The bytes of a text's words, one behind the other, and the end of each word."""
        scanner = scanner_of(self)
        if scanner is not None:
            data = utf8_bytes(text)
            return data, scanner(data)
        cutters: list[Any] = list(self.pretokenizers)
        match cutters:
            case [*_, ByteLevel(add_prefix_space=False, use_regex=False)]:
                cutters.pop()  # it only spells: the bytes are those of the text
        if not all(hasattr(each, "cut_text") and getattr(each, "prepend_scheme", "") != "first" for each in cutters):
            return split_pieces(self, text)
        parts = [text] if text else []
        for each in cutters:
            parts = [part for whole in parts for part in each.cut_text(whole)]
        return _words_of_texts(parts)


def _words_of_texts(parts: list[str]) -> Words:
    """Bytes and word ends of texts, which nobody follows back to where they come from."""
    try:
        encoded = [part.encode() for part in parts]
    except UnicodeEncodeError:
        utf8_bytes("".join(parts))  # the error that names the lone surrogate
        raise
    ends = np.fromiter(accumulate(map(len, encoded)), dtype=np.int64, count=len(encoded))
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def scanner_of(pre_tokenizer: PreTokenizer | None) -> Scanner | None:
    """The scanner that by itself does all of a byte-level pre-tokenizer's work; None where there is none such."""
    match pre_tokenizer:
        case ByteLevel(add_prefix_space=False, use_regex=True):
            found = splitter("gpt2")
        # how Llama 3, Qwen, OLMo 2 and GPT-OSS are written
        case Sequence((Split() as split, ByteLevel(add_prefix_space=False, use_regex=False))) if split._is_scanned:
            found = split._splitter
        case _:
            return None
    return found if isinstance(found, Scanner) else None
