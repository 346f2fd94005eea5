"""What normalizers, pre-tokenizers and decoders look for in a text: a literal string or a regular expression."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WHITE_SPACE = r"\s"
WORD = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]"
PUNCTUATION = r"[\p{P}$+<=>^`|~]"
NUMBER = r"\p{N}"


@dataclass(frozen=True)
class Regex:
    """A regular expression, as opposed to a literal string.

    Args:
        pattern: in the syntax that the `regex` package and Oniguruma share.

    Raises:
        ValueError: if `regex` cannot read the pattern.
    """

    pattern: str

    def __post_init__(self) -> None:
        compiled(self.pattern)


Pattern = str | Regex


@functools.cache
def compiled(pattern: str) -> Any:
    """A compiled pattern of the `regex` package, which knows Unicode's properties.

    Raises:
        ImportError: if `regex` is not installed.
        ValueError: if the pattern cannot be read.
    """
    try:
        import regex
    except ImportError as error:
        raise ImportError("text patterns need the regex package: pip install breadth[text]") from error
    try:
        # operations on sets (`&&`) are of the package's version 1
        return regex.compile(pattern, regex.VERSION1 if "&&" in pattern else 0)
    except regex.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression that regex reads: {error}") from None


def members(component: object) -> Iterator[object]:
    """A normalizer, pre-tokenizer, post-processor or decoder, or what a sequence of them holds; nothing for None."""
    for name in ("normalizers", "pretokenizers", "processors", "decoders"):
        if hasattr(component, name):
            for each in getattr(component, name):
                yield from members(each)
            return
    if component is not None:
        yield component


def find_spans(pattern: Pattern, text: str) -> Iterator[tuple[int, int]]:
    """Where a pattern matches, from left to right without overlap: begin and end in characters.

    An empty literal matches nowhere; an expression may match the empty string.
    """
    if isinstance(pattern, Regex):
        before = -1
        for match in compiled(pattern.pattern).finditer(text):
            begin, end = match.span()
            if begin < end or begin != before:  # as in Oniguruma, an empty match does not touch the one before it
                yield begin, end
            before = end
        return
    size = len(pattern)
    at = text.find(pattern) if size else -1
    while at >= 0:
        yield at, at + size
        at = text.find(pattern, at + size)


def substituted(pattern: Pattern, text: str, content: str) -> str:
    """A text with `content`, taken literally, for each match."""
    if isinstance(pattern, str):
        return text.replace(pattern, content) if pattern else text
    parts = []
    done = 0
    for begin, end in find_spans(pattern, text):
        parts += text[done:begin], content
        done = end
    return "".join([*parts, text[done:]])


def n_leading_white(text: str) -> int:
    """How many characters of white space (Unicode's property) a text begins with."""
    return compiled(r"\s*").match(text).end()


def n_trailing_white(text: str) -> int:
    """How many characters of white space (Unicode's property) a text ends with."""
    at = len(text)
    while at and text[at - 1].isspace() and not "\x1c" <= text[at - 1] <= "\x1f":  # str.isspace takes separators too
        at -= 1
    return len(text) - at
