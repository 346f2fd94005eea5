"""Tokens that are found in the text itself, before and after it is normalised: special ones and the user's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

from breadth.text.matching import WORD, compiled, n_leading_white, n_trailing_white
from breadth.text.normalise import Normalizer


@dataclass(frozen=True)
class AddedToken:
    """A text that always becomes one id.

    Args:
        content: the text, not empty.
        id: its id.
        special: a mark rather than text (`<|endoftext|>`): decoding can leave it out.
        single_word: match only where no word character (a letter, mark, digit or underscore) is next to it.
        lstrip: also take the white space before it.
        rstrip: also take the white space after it.
        normalized: look for it, itself normalised, in the normalised text, rather than in the text as given; None
            means that it is not special.

    Raises:
        ValueError: if the content is empty, or the id negative or beyond 31 bits.

    Peer: tokenizers.AddedToken, all flags, ids and offsets, exact (A).
    """

    content: str
    id: int
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.content, str):
            raise TypeError(f"content of an added token must be a str, got {self.content!r}")
        if not self.content:
            raise ValueError("content of an added token must not be empty")
        if not isinstance(self.id, Integral) or isinstance(self.id, bool):
            raise TypeError(f"id of the added token {self.content!r} must be an integer, got {self.id!r}")
        if self.id >= (1 << 31) - 1:
            raise ValueError(f"id of the added token {self.content!r} must be less than 2^31 - 1, got {self.id}")
        if self.id < 0:
            raise ValueError(f"id of the added token {self.content!r} must be >= 0, got {self.id}")
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)


class Part(NamedTuple):
    """A stretch of text, and the added token that it is; None where it is ordinary text."""

    begin: int
    end: int
    token: AddedToken | None


MOST_GUARDS = 16  # each costs a search of the whole text; with more, looking for the tokens themselves is as quick


class AddedTokens:
    """The added tokens of a tokenizer, ready to be found.

    The longest token at the leftmost place wins. Where none occurs, which a search for a few short literals tells,
    a text costs next to nothing.

    Args:
        tokens: in any order; of two with one content the later one counts.
        normalizer: what the texts of normalised tokens go through.

    Raises:
        ValueError: if two contents have one id.

    Cost: `find` is O(characters).
    Peer: tokenizers.Tokenizer.add_tokens, ids and offsets, exact (A).
    """

    def __init__(self, tokens: Iterable[AddedToken], normalizer: Normalizer | None) -> None:
        self.tokens = tuple({token.content: token for token in tokens}.values())
        self.by_content = {token.content: token for token in self.tokens}
        self.by_id: dict[int, AddedToken] = {}
        for token in self.tokens:
            other = self.by_id.setdefault(token.id, token)
            if other is not token:
                raise ValueError(
                    f"added tokens {other.content!r} and {token.content!r} have the same id {token.id}; "
                    "give each its own"
                )
        as_given = [(token.content, token) for token in self.tokens if not token.normalized]
        after = [(token.content, token) for token in self.tokens if token.normalized]
        if normalizer is not None:
            after = [(normalizer(content), token) for content, token in after]
        self.in_text = _Finder(as_given)
        self.in_normalised = _Finder([(content, token) for content, token in after if content])


class _Finder:
    """Finds the texts of tokens."""

    def __init__(self, contents: list[tuple[str, AddedToken]]) -> None:
        self._tokens: dict[str, AddedToken] = {}
        for content, token in contents:
            self._tokens.setdefault(content, token)
        self._guards = _guards(self._tokens)
        self._pattern = re.compile(_alternatives(self._tokens)) if self._tokens else None

    def may_occur(self, text: str) -> bool:
        """Whether a token can be in a text: False is certain, True is not."""
        for guard in self._guards:  # noqa: SIM110 - a generator takes as long as encoding a few words
            if guard in text:
                return True
        return False

    def find(self, text: str, ignored: Collection[AddedToken] = ()) -> Iterator[Part]:
        """Cut a text at its tokens.

        Args:
            text: where to look.
            ignored: tokens that count as ordinary text where they would have been found.

        Yields:
            Parts in order that cover the text, unless a token that begins with white space was already taken by the
            one before it.
        """
        if self._pattern is None or not self.may_occur(text):
            if text:
                yield Part(0, len(text), None)
            return
        done = 0
        for match in self._pattern.finditer(text):
            token = self._tokens[match.group()]
            begin, end = match.span()
            if token in ignored or (token.single_word and not _stands_alone(text, begin, end)):
                continue
            if token.lstrip:
                begin = max(begin - n_trailing_white(text[:begin]), done)
            if token.rstrip:
                end += n_leading_white(text[end:])
            if done < begin:
                yield Part(done, begin, None)
            if begin < end:  # else the token before it took all of it, with its white space
                yield Part(begin, end, token)
                done = end
        if done != len(text):
            yield Part(done, len(text), None)


def _stands_alone(text: str, begin: int, end: int) -> bool:
    word = compiled(WORD)
    before = begin > 0 and word.match(text[begin - 1])
    after = end < len(text) and word.match(text[end])
    return not before and not after


def _guards(contents: Iterable[str]) -> tuple[str, ...]:
    """Short texts of which at least one is in any text that holds a token: two characters that tokens begin with."""
    guards = {content[:2] for content in contents}
    return tuple(sorted(guards)) if len(guards) <= MOST_GUARDS else ("",)


def _alternatives(contents: Iterable[str]) -> str:
    """A pattern that matches the longest content at a place; shared beginnings are tried once."""
    tree: dict = {}
    for content in contents:
        node = tree
        for char in content:
            node = node.setdefault(char, {})
        node[""] = {}
    return _branches(tree)


def _branches(node: dict) -> str:
    """The pattern of what can follow; an end among it makes the rest optional, so that longer goes first."""
    parts = []
    for char, below in node.items():
        if char:
            literal = re.escape(char)
            while len(below) == 1 and "" not in below:  # no choice: one literal
                ((char, below),) = below.items()
                literal += re.escape(char)
            parts.append(literal + _branches(below))
    if not parts:
        return ""
    joined = parts[0] if len(parts) == 1 and "" not in node else f"(?:{'|'.join(parts)})"
    return joined + "?" * ("" in node)
