"""Pre-tokenising patterns: a text's bytes in, the ends of its pieces out.

The published patterns have scanners in Numba; any other pattern runs in the `regex` package.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Literal, Protocol, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from breadth.text.byte_alphabet import read_only
from breadth.text.scan_tables import Rules, kind_table, transducer
from breadth.text.unicode_classes import bert_table


class Splitter(Protocol):
    """Cuts texts into pieces; may be called from many threads."""

    def __call__(self, data: NDArray[np.uint8], bounds: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Byte end of each piece.

        Args:
            data: UTF-8 of one text, or of several one behind the other, shape (bytes,).
            bounds: byte end of each text, none of which a piece crosses, shape (texts,); None for one text.
        """
        ...


PatternName = Literal["gpt2", "cl100k", "o200k", "llama3", "qwen2"]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WHITE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_CAPITALS, _SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def _cl100k_like(numbers: str) -> str:
    return rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_WHITE}"


def _o200k_like(numbers: str, contractions: str) -> str:
    return (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}*{_SMALL}+{contractions}|"
        rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}+{_SMALL}*{contractions}|"
        rf"{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_WHITE}"
    )


PATTERNS: dict[PatternName, str] = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
        r"\s+(?!\S)|\s"
    ),
    "o200k": _o200k_like(r"\p{N}{1,3}", f"{_CONTRACTIONS}?"),
    "llama3": _cl100k_like(r"\p{N}{1,3}"),
    "qwen2": _cl100k_like(r"\p{N}"),
}
"""The pattern of each name as its model publishes it; Llama 4 and GPT-OSS take o200k's, Qwen 3 takes Qwen 2's."""


_GPT2 = Rules("gpt2", max_digits=0)
RULES: dict[str, Rules] = {
    PATTERNS["gpt2"]: _GPT2,
    # as first released, and as tiktoken writes it
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": _GPT2,
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s": _GPT2,
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": _GPT2,
    PATTERNS["cl100k"]: Rules("cl100k", final_run=True),
    PATTERNS["llama3"]: Rules("cl100k"),
    # as tiktoken wrote cl100k before its possessive form
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+": (
        Rules("cl100k")
    ),
    PATTERNS["qwen2"]: Rules("cl100k", max_digits=1),
    # Qwen 3.5: marks are letters
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_WHITE}": (
        Rules("cl100k", marks=True, max_digits=1)
    ),
    PATTERNS["o200k"]: Rules("o200k"),
    # Mistral's Tekken
    _o200k_like(r"\p{N}", ""): Rules("o200k", max_digits=1, contractions=False),
}


def named_pattern(pattern: str) -> str:
    """The regular expression of a name of `PATTERNS`; anything else is one already, but for a name that is none."""
    if pattern not in PATTERNS and re.fullmatch(r"[\w-]+", pattern):
        raise ValueError(
            f"pattern {pattern!r} is none of {', '.join(PATTERNS)}; a regular expression that is one word is "
            f"written (?:{pattern})"
        )
    return PATTERNS.get(cast(PatternName, pattern), pattern)


def splitter(pattern: str) -> Splitter:
    r"""A function that cuts a text into the matches of a pattern and what lies between them.

    Args:
        pattern: a name of `PATTERNS`, or a regular expression. The patterns of GPT-2, cl100k, o200k, Llama 3 and 4,
            GPT-OSS, Qwen 2 to 3.5 and Tekken are known by their text, in each form that they are published in, and have
            scanners; any other pattern runs in `regex`, an order of magnitude slower.

    Returns:
        A function of the UTF-8 of a text, uint8 of shape (bytes,), that gives the byte end of each piece, int64 of
        shape (pieces,): the pieces follow each other without a gap. Given `bounds`, it takes several texts at once.

    Raises:
        ValueError: if the pattern is no regular expression that `regex` understands; from the function, if a pattern
            that has no scanner meets bytes that are not UTF-8.

    Cost: O(bytes); a scanner releases the GIL.
    Deviations: scanners know Unicode 16.0, as tokenizers and tiktoken do; a pattern without one has the Unicode of
        the installed `regex`. `$` is the end of the text, as in tiktoken; Oniguruma also takes the end of a line.
    References: Radford et al. 2019, section 2.2; patterns of openai/tiktoken (`openai_public.py`) and of the models'
        `tokenizer.json`.
    Peer: `regex.finditer` on the pattern, exact (A).
    """
    pattern = named_pattern(pattern)
    rules = RULES.get(pattern)
    if rules is None:
        return _regex_splitter(pattern)
    return Scanner(rules)


def bert_words(data: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """BERT's words: white space dropped, every punctuation mark alone.

    Args:
        data: UTF-8 of a text, shape (bytes,).

    Returns:
        The words' bytes without what lay between them, shape (bytes kept,); the byte end of each word in it, shape
        (words,); the byte at which each word begins in `data`, shape (words,).

    Cost: O(bytes); releases the GIL.
    References: Devlin et al. 2019; `BasicTokenizer` of google-research/bert, whose splitting this is without its
        normalising.
    Peer: tokenizers.pre_tokenizers.BertPreTokenizer, exact on every code point that both know (A).
    """
    words = np.empty(data.size, dtype=np.uint8)
    starts, ends = np.empty(data.size, dtype=np.int64), np.empty(data.size, dtype=np.int64)
    k = _scan_bert()(read_only(data), bert_table(), words, starts, ends)
    size = int(ends[k - 1]) if k else 0
    return words[:size], _shrunk(ends, k), _shrunk(starts, k)


@functools.cache
def _scan_bert() -> Callable[..., int]:
    """`scan_bert` as compiled for the arrays that `bert_words` has: to look that up takes longer than a short text."""
    from numba import types

    from breadth.text.scan_bert_kernels import scan_bert

    read, ints = types.Array(types.uint8, 1, "C", readonly=True), types.int64[::1]
    signature = read, read, types.uint8[::1], ints, ints
    compiled: Any = scan_bert
    compiled.compile(signature)
    return compiled.get_overload(signature)


class Scanner:
    """The splitter of a published pattern.

    Args:
        rules: what the pattern asks for.

    Attributes:
        tables: what `scan_kernels` reads: kinds of characters, and the transducer.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.tables = kind_table(), transducer(rules)
        _compile()

    def __reduce__(self) -> tuple[type[Self], tuple[Rules]]:
        return type(self), (self._rules,)  # the tables are megabytes, and made anew in a moment

    def __call__(self, data: NDArray[np.uint8], bounds: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Byte end of each piece, see `Splitter`."""
        from breadth.text.scan_kernels import scan

        bounds = np.array([data.size]) if bounds is None else np.ascontiguousarray(bounds, np.int64)
        ends = np.empty(data.size + 3, dtype=np.int64)
        k = scan(read_only(data), bounds, *self.tables, ends)
        return _shrunk(ends, int(k))


@functools.cache
def _compile() -> None:
    """Compile the scanner, or load it, where it can be announced: not in each call."""
    from breadth.compilation import announced
    from breadth.text.scan_kernels import scan

    with announced():
        scan(
            read_only(np.empty(0, dtype=np.uint8)), np.empty(0, dtype=np.int64), kind_table(), transducer(_GPT2),
            np.empty(3, dtype=np.int64),
        )  # fmt: skip


def _shrunk(array: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The first entries of a fresh array, giving the rest of its memory back."""
    array.resize(size, refcheck=False)
    return array


def _regex_splitter(pattern: str) -> Splitter:
    try:
        import regex
    except ImportError as error:
        raise ImportError(
            "this pattern has no scanner and needs the regex package: pip install breadth[text]"
        ) from error
    # operations on sets (`&&`, in Kimi K2's pattern) are of regex's version 1
    flags = regex.VERSION1 if "&&" in pattern else regex.VERSION0
    try:
        compiled = regex.compile(pattern, flags)
    except regex.error as error:
        named = ", ".join(get_args(PatternName))
        raise ValueError(
            f"pattern {pattern!r} is neither one of {named} nor a regular expression that regex reads: {error}"
        ) from None

    def split(data: NDArray[np.uint8], bounds: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        if bounds is None:
            return pieces(data)
        starts = np.append(0, bounds[:-1])
        found = [pieces(data[start:end]) + start for start, end in zip(starts, bounds, strict=True)]
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def pieces(data: NDArray[np.uint8]) -> NDArray[np.int64]:
        text = data.tobytes().decode("utf-8")
        cuts = {len(text)} if text else set()
        for match in compiled.finditer(text):
            if match.end() > match.start():
                cuts.update(match.span())
        cuts.discard(0)
        # byte at which each character begins, and where the text ends: (characters + 1,)
        starts = np.append(np.flatnonzero((data & 0xC0) != 0x80), data.size)
        return starts[np.fromiter(sorted(cuts), dtype=np.int64, count=len(cuts))]

    return split
