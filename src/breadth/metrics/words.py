"""Texts as numbers of words: the tokenizers that overlap metrics cut with, each as published scores were cut."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.metrics.words_kernels import AFTER, APART, BEFORE, SPACE, number_words

Tokenize = Literal["13a", "intl", "zh", "char", "none"] | Callable[[str], Sequence[str]]

_TOKENIZERS = ("13a", "intl", "zh", "char", "none")
_ANY, _MARK, _POINT, _DASH, _DIGIT, _NOT_DIGIT, _HAN = (np.uint8(1 << bit) for bit in range(1, 8))
_WHITE = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_NO_RULES = np.empty((0, 3), np.int64)
_WESTERN = np.array(
    [
        (APART, _MARK, 0),  # symbols and punctuation but for ' , - .
        (AFTER, _NOT_DIGIT, _POINT),  # a full stop or comma after what is no digit
        (BEFORE, _POINT, _NOT_DIGIT),  # or before it
        (AFTER, _DIGIT, _DASH),
    ],
    np.int64,
)
_INTERNATIONAL = np.array([(AFTER, _NOT_DIGIT, _POINT), (BEFORE, _POINT, _NOT_DIGIT), (APART, _MARK, 0)], np.int64)
_RULES = {
    "13a": _WESTERN,
    "zh": np.concatenate([np.array([(APART, _HAN, 0)], np.int64), _WESTERN]),
    "intl": _INTERNATIONAL,
    "char": np.array([(APART, _ANY, 0)], np.int64),
    "none": _NO_RULES,
}
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# sacrebleu writes two of its ranges beyond U+FFFF with four digits, and then takes all of U+2001 .. U+2A6D
_HAN_RANGES = (
    (0x2001, 0x2A6D), (0x2E80, 0x2FDF), (0x2FF0, 0x303F), (0x3100, 0x312F), (0x31A0, 0x31BF), (0x31C0, 0x31EF),
    (0x3200, 0x33FF), (0x3400, 0x4DB5), (0x4E00, 0x9FBB), (0xF900, 0xFA2D), (0xFA30, 0xFA6A), (0xFA70, 0xFAD9),
    (0xFE10, 0xFE1F), (0xFE30, 0xFE4F), (0xFF00, 0xFFEF),
)  # fmt: skip


class Words(NamedTuple):
    """Words of texts as numbers: equal words have equal numbers, in the order in which they first occur.

    Attributes:
        ids: int32, (words of all texts,).
        ends: how many of them there are by the end of each text, int64, (texts,).
        spelled: code points of the distinct words, one behind the other, uint32.
        spelled_ends: where each distinct word begins, and the last ends, int64, (distinct words + 1,).
    """

    ids: NDArray[np.int32]
    ends: NDArray[np.int64]
    spelled: NDArray[np.uint32]
    spelled_ends: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each text."""
        return np.diff(self.ends, prepend=0)

    def strings(self) -> list[str]:
        """The distinct words."""
        letters = self.spelled.tobytes().decode("utf-32-le", "surrogatepass")
        ends = self.spelled_ends.tolist()
        return [letters[a:b] for a, b in itertools.pairwise(ends)]


def code_points(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Code points of texts one behind the other, and where each text ends; a lone surrogate is one of them."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), dtype=np.int64)
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4"), ends


def cut(
    texts: Sequence[str],
    table: NDArray[np.uint8],
    rules: NDArray[np.int64] = _NO_RULES,
    *,
    edge: int = 0,
) -> Words:
    """Texts cut at the SPACE of a class table, after rules have put spaces in.

    Args:
        texts: any strings.
        table: classes of code points, uint8, (0x110000,).
        rules: rows of (kind, class of a, class of b), applied one after another.
        edge: class of letters of which one is cut off a longer word, its last or else its first.

    Cost: O(code points), some 20 ns each.
    """
    codes, ends = code_points(texts)
    ids, id_ends = np.empty(codes.size, np.int32), np.empty(ends.size, np.int64)
    spelled, spelled_ends = np.empty(codes.size, np.uint32), np.empty(codes.size + 1, np.int64)
    with announced():
        n = number_words(codes, ends, table, rules, np.uint8(edge), ids, id_ends, spelled, spelled_ends)
    n_words = int(id_ends[-1]) if id_ends.size else 0
    return Words(ids[:n_words], id_ends, spelled[: spelled_ends[n]], spelled_ends[: n + 1])


def listed(texts: Iterable[Sequence[str]]) -> Words:
    """Words that somebody else has cut."""
    numbers: dict[str, int] = {}
    ids: list[int] = []
    ends: list[int] = []
    for words in texts:
        for word in words:
            ids.append(numbers.setdefault(word, len(numbers)))
        ends.append(len(ids))
    spelled, spelled_ends = code_points(list(numbers))
    starts = np.concatenate([np.zeros(1, np.int64), spelled_ends])
    return Words(np.array(ids, np.int32), np.array(ends, np.int64), spelled, starts)


def tokenized(texts: Sequence[str], tokenize: Tokenize) -> Words:
    """Texts cut as BLEU's tokenizers cut them.

    "13a" is mteval-v13a's: ASCII punctuation stands alone, full stop and comma unless between digits, a dash after a
    digit; "intl" is mteval-v14's: punctuation of all scripts unless between numbers, and symbols; "zh" sets Chinese
    characters apart and then goes on as 13a; "char" cuts into characters; "none" at white space alone.

    Args:
        texts: any strings.
        tokenize: name, or a function from a text to its words.

    Raises:
        ValueError: if tokenize is no name of these.
        TypeError: if the function returns something else than a sequence of strings.

    Cost: O(code points), some 20 ns each; a function of Python's takes what it takes.
    Deviations: "zh" takes U+2001 .. U+2A6D for Chinese, as sacrebleu does.
    References: NIST's mteval-v13a.pl and mteval-v14.pl; Post 2018, arXiv:1804.08771, section 2.3.
    Peer: sacrebleu's tokenizers of the same names, the same words (A).
    """
    if callable(tokenize):
        cut_texts = [tokenize(text) for text in texts]
        for words in cut_texts:
            if isinstance(words, str) or not all(isinstance(word, str) for word in words):
                raise TypeError(f"tokenize must return a list of strings, got {words!r:.60}")
        return listed(cut_texts)
    if tokenize not in _TOKENIZERS:
        raise ValueError(f"tokenize must be a function or one of {', '.join(map(repr, _TOKENIZERS))}, got {tokenize!r}")
    texts = [text.rstrip() for text in texts]
    if tokenize == "zh":
        texts = [text.lstrip() for text in texts]
    if tokenize == "13a":
        whole = "\0".join(texts)
        if "&" in whole or "\n" in whole or "<skipped>" in whole:
            texts = [_plain(text) for text in texts]
        texts = [f" {text} " for text in texts]
    return cut(texts, _international() if tokenize == "intl" else _western(), _RULES[tokenize])


def tokenizer_name(tokenize: Tokenize) -> str:
    """What a signature says of it."""
    return tokenize if isinstance(tokenize, str) else getattr(tokenize, "__name__", type(tokenize).__name__)


def _plain(text: str) -> str:
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, letter in _ENTITIES:
        text = text.replace(entity, letter)
    return text


@functools.cache
def blank_table() -> NDArray[np.uint8]:
    """SPACE where str.split cuts, and punctuation of ASCII in a class that `edge` can name; see EDGE."""
    table = np.zeros(0x110000, np.uint8)
    table[[ord(c) for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]] |= EDGE
    table[[ord(c) for c in _WHITE]] |= SPACE
    table.flags.writeable = False
    return table


EDGE = int(_MARK)


@functools.cache
def _western() -> NDArray[np.uint8]:
    table = np.full(0x110000, _ANY | _NOT_DIGIT, np.uint8)
    table[[ord(c) for c in '{|}~[\\]^_` !"#$%&()*+:;<=>?@/']] |= _MARK
    table[[ord(c) for c in ".,"]] |= _POINT
    table[ord("-")] |= _DASH
    table[[ord(c) for c in "0123456789"]] ^= _NOT_DIGIT | _DIGIT
    for first, last in _HAN_RANGES:
        table[first : last + 1] |= _HAN
    table[[ord(c) for c in _WHITE]] |= SPACE
    table.flags.writeable = False
    return table


@functools.cache
def _international() -> NDArray[np.uint8]:
    try:
        import regex
    except ModuleNotFoundError as error:
        needed = "tokenize='intl' needs the package regex: pip install 'breadth[text]'"
        raise ModuleNotFoundError(needed, name="regex") from error
    everything = np.arange(0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    table = np.full(0x110000, _NOT_DIGIT, np.uint8)
    for change, pattern in ((_POINT, r"\p{P}+"), (_NOT_DIGIT, r"\p{N}+"), (_MARK, r"\p{S}+")):
        for match in regex.finditer(pattern, everything):
            table[match.start() : match.end()] ^= change
    table[[ord(c) for c in _WHITE]] |= SPACE
    table.flags.writeable = False
    return table
