"""Pairs of texts for the tests: sentences of Python's documentation with words lost, moved and changed; odd strings."""

from __future__ import annotations

import random
import re
from functools import cache
from pydoc_data import topics

LETTERS = (
    "abcABC019 \t\n\x1c\u00a0\u3000.,;:!?-'\"&<>/%$()éÉßİıΣσςñ漢字，。“”—かな한국\u0301\u200b\u200d🙂👍🏽½²٣\ud800"
)
PIECES = (
    "&amp;",
    "&quot;",
    "&lt;",
    "&amp;lt;",
    "<skipped>",
    "-\n",
    "1,000.5",
    "3-4",
    "...",
    ",,",
    "the the the",
    "e.g.",
)
HARD = (
    "",
    " ",
    "\n",
    ".",
    "..",
    "a",
    "a.",
    ".a",
    "1.",
    ".1",
    "1,2",
    "5-",
    "-5",
    "2-\n",
    "((",
    "!",
    "a!",
    "\u0301",
    "🙂",
)


@cache
def sentences() -> tuple[str, ...]:
    """Sentences of the documentation topics, in order."""
    text = " ".join(" ".join(topics.topics[name].split()) for name in sorted(topics.topics))
    return tuple(s for s in re.split(r"(?<=[.:]) ", text) if 20 < len(s) < 300)


def changed(sentence: str, draw: random.Random) -> str:
    """The sentence with some of its words dropped, doubled, inflected or exchanged."""
    words = sentence.split()
    for _ in range(max(1, len(words) // 6)):
        i = draw.randrange(len(words))
        words[i] = draw.choice(["", f"{words[i]} {words[i]}", f"{words[i]}s", draw.choice(words), words[i].upper()])
    return " ".join(filter(None, words))


@cache
def real_pairs(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Hypotheses and references, n of each."""
    draw = random.Random(seed)
    references = draw.sample(sentences(), n)
    return [changed(s, draw) for s in references], references


@cache
def odd_pairs(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Strings of letters of many scripts, marks, spaces and pieces that tokenizers rewrite; all of HARD among them."""
    draw = random.Random(seed)

    def odd() -> str:
        return "".join(
            draw.choice((draw.choice(LETTERS), draw.choice(LETTERS), draw.choice(PIECES)))
            for _ in range(draw.randrange(25))
        )

    hypotheses = [odd() for _ in range(n)] + list(HARD)
    references = [draw.choice((h, odd(), h[::-1], h + odd())) for h in hypotheses]
    return hypotheses, references


def grouped(hypotheses: list[str], references: list[str], most: int = 3, seed: int = 0) -> list[list[str]]:
    """From one to `most` references for each hypothesis, of which others' are some."""
    draw = random.Random(seed)
    return [[r, *draw.choices(references, k=draw.randrange(most))] for r in references]
