"""The scanners against `regex` on the same patterns, and what a splitter does with bad input."""

from __future__ import annotations

import random

import numpy as np
import pytest
import regex

from breadth.text import scan_tables, unicode_classes
from breadth.text.byte_alphabet import utf8_bytes
from breadth.text.patterns import PATTERNS, RULES, bert_words, splitter
from breadth.text.unicode_classes import bert_table, class_table

# of every class and every letter of a contraction, in one to four bytes
CHARACTERS = [
    *"abstdmrevlLSTDMREVA'''  \t\n\r\n1239/.,!-_$\0 ",
    *"éÉßſKǅʰªّ́中文日本١٢½Ⅷ\u0085\u00a0\u3000\u2028𝒳😀👍\u200d",
]
PROPERTIES = {
    scan_tables.UPPER: r"[\p{Lu}\p{Lt}]",
    scan_tables.LOWER: r"\p{Ll}",
    scan_tables.LETTER_OTHER: r"[\p{Lm}\p{Lo}]",
    scan_tables.MARK: r"\p{M}",
    scan_tables.NUMBER: r"\p{N}",
    scan_tables.SPACE: r"[^\S\r\n]",
    scan_tables.NEWLINE: r"[\r\n]",
    scan_tables.OTHER: r"[^\s\p{L}\p{M}\p{N}]",
}


def fuzzed(n: int, seed: int = 0, longest: int = 14) -> list[str]:
    drawn = random.Random(seed)
    return ["".join(drawn.choices(CHARACTERS, k=drawn.randint(0, longest))) for _ in range(n)]


def matches(pattern: str, text: str) -> list[int]:
    """Byte ends of the matches, which for these patterns leave no gap."""
    ends = [match.end() for match in regex.finditer(pattern, text)]
    assert not text or ends[-1] == len(text)
    return [len(text[:end].encode()) for end in ends]


def every_code_point() -> list[str]:
    return [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]


def newer_than_the_peers() -> set[int]:
    """Code points whose class `regex` has of a later Unicode than 16.0, where the tables are held."""
    spans = [span.partition("-") for span in unicode_classes._AFTER_16.split()]
    later = {p for first, _, last in spans for p in range(int(first, 16), int(last or first, 16) + 1)}
    return later | {unicode_classes._SMALL_IN_16}


@pytest.mark.parametrize("pattern", RULES)
def test_a_scanner_cuts_where_regex_does_on_fuzzed_strings_and_every_short_one(pattern):
    split = splitter(pattern)
    short = [a + b + c for a in "a1A '.\n中" for b in "s' \n!é\u0301" for c in ("", *"tB 9\r/ſ")]
    for text in ["", "'", "don't we'll THEY'RE it'ſ 's 'x", *short, *fuzzed(600)]:
        assert split(utf8_bytes(text)).tolist() == matches(pattern, text), repr(text)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", RULES)
def test_a_scanner_cuts_where_regex_does_on_100k_fuzzed_strings_and_around_every_code_point(pattern):
    split = splitter(pattern)
    texts, later = fuzzed(100_000, seed=1), newer_than_the_peers()
    for context in ("a{}b", "1{}2", "  {}x", "!{}?", "A{}'s {}\n{}"):
        # together, between line feeds and letters that no pattern joins to what is around them
        for start in range(0, 0x110000, 256):
            chars = [chr(p) for p in range(start, start + 256) if not 0xD800 <= p < 0xE000 and p not in later]
            texts.append("\n;\nQ".join(context.format(char, char, char) for char in chars))
    for text in texts:
        assert split(utf8_bytes(text)).tolist() == matches(pattern, text), repr(text[:80])


def test_every_code_point_of_unicode_16_has_the_class_that_regex_gives_it():
    later = newer_than_the_peers()
    text = "".join(char for char in every_code_point() if ord(char) not in later)
    table, points = class_table(), np.array([ord(char) for char in text])
    for bit, pattern in PROPERTIES.items():
        expected = np.zeros(len(text), dtype=bool)
        for match in regex.finditer(pattern, text):
            expected[match.start()] = True
        assert np.array_equal(table[points] == bit, expected), pattern
    assert (table[0xD800:0xE000] == scan_tables.OTHER).all()
    assert (table[0x110000:] == scan_tables.OTHER).all()


def test_texts_given_together_are_cut_as_one_by_one():
    texts = ["don", "'t", "", "  ", "\n x", "é", "12", "34"]
    data, bounds = utf8_bytes("".join(texts)), np.cumsum([len(text.encode()) for text in texts])
    for pattern in (*PATTERNS, r"\w+"):
        split = splitter(pattern)
        apart = [split(utf8_bytes(text)) + end - len(text.encode()) for text, end in zip(texts, bounds, strict=True)]
        assert split(data, bounds).tolist() == np.concatenate(apart).tolist()


def test_an_unknown_pattern_runs_in_regex_with_the_gaps_as_pieces():
    data = utf8_bytes("né, 12  x")
    assert splitter(r"\w+")(data).tolist() == [3, 5, 7, 9, 10]
    assert splitter(r"[\w&&[^x]]+")(data).tolist() == [3, 5, 7, 10]  # set operations, as in Kimi K2's pattern
    assert splitter(r"x*")(data).tolist() == [9, 10]  # empty matches cut nothing
    assert splitter(r"\w+")(utf8_bytes("")).tolist() == []


def test_a_pattern_that_is_no_regular_expression_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"pattern '\[a' is neither one of gpt2, .*nor a regular expression"):
        splitter("[a")


def test_bytes_that_are_not_utf8_are_read_to_their_end_and_not_beyond():
    drawn = np.random.default_rng(0)
    for n in range(40):
        data = drawn.integers(0, 256, n, dtype=np.uint8)
        for pattern in PATTERNS:
            ends = splitter(pattern)(data)
            assert (np.diff(ends, prepend=0) > 0).all()
            assert ends[-1:].tolist() == ([n] if n else [])


def bert_twin(text: str) -> list[str]:
    words = []
    for part in regex.split(r"\s+", text):
        words += regex.findall(r"[\p{P}$+<=>^`|~]|[^\p{P}$+<=>^`|~]+", part)
    return words


def test_berts_words_are_what_lies_between_white_space_with_punctuation_alone():
    for text in ["", "  ", "a", *fuzzed(600, seed=2), "".join(every_code_point()[:0x3000])]:
        words, ends, starts = bert_words(utf8_bytes(text))
        begins = [0, *ends[:-1].tolist()]
        spelt = [
            words[begin:end].tobytes().decode() for begin, end in zip(begins, ends.tolist(), strict=bool(ends.size))
        ]
        assert spelt == bert_twin(text), repr(text)
        data = text.encode()
        assert [data[at : at + len(word.encode())].decode() for at, word in zip(starts, spelt, strict=True)] == spelt
    assert set(np.unique(bert_table())) == {scan_tables.SPACE, scan_tables.OTHER, scan_tables.LETTER_OTHER}
