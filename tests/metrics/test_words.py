"""Words as numbers: the tables of classes, the numbering, what a tokenizer of the user's may return."""

from __future__ import annotations

import numpy as np
import pytest

from breadth.metrics import tokenized
from breadth.metrics.words import blank_table, code_points
from breadth.metrics.words_kernels import SPACE


def test_white_space_is_what_str_split_cuts_at():
    blank = np.flatnonzero(blank_table() & SPACE)
    assert blank.tolist() == [c for c in range(0x110000) if chr(c).isspace()]


def test_equal_words_and_only_they_have_equal_numbers_however_many_there_are():
    draw = np.random.default_rng(0)
    words = [f"{n:x}" for n in draw.integers(1 << 40, size=9000)] + ["a", "aa", "aaa", "é", "e\u0301", "\ud800"]
    words += [words[i] for i in draw.integers(len(words), size=9000)]
    found = tokenized([" ".join(words[:7000]), "", " ".join(words[7000:])], "none")
    first: dict[str, int] = {}
    assert found.ids.tolist() == [first.setdefault(word, len(first)) for word in words]
    assert found.ends.tolist() == [7000, 7000, len(words)]
    assert found.strings() == list(first)
    assert found.lengths.tolist() == [7000, 0, len(words) - 7000]


def test_a_function_of_the_users_cuts_as_the_kernels_do():
    texts = ["one two  one", "", "two 三 \U0001f642"]
    kernels, listed = tokenized(texts, "none"), tokenized(texts, str.split)
    for ours, theirs in zip(kernels, listed, strict=True):
        assert ours.tolist() == theirs.tolist()
    with pytest.raises(TypeError, match="tokenize must return a list of strings, got 'one two"):
        tokenized(texts, str.lower)
    with pytest.raises(TypeError, match=r"tokenize must return a list of strings, got \[1\]"):
        tokenized(texts, lambda text: [1])
    with pytest.raises(ValueError, match=r"tokenize must be a function or one of '13a', 'intl', .* got '14a'"):
        tokenized(texts, "14a")


def test_a_code_point_is_one_letter_whatever_it_is():
    codes, ends = code_points(["a\ud800", "", "\U0001f44d\U0001f3fd", "e\u0301"])
    assert codes.tolist() == [0x61, 0xD800, 0x1F44D, 0x1F3FD, 0x65, 0x301]
    assert ends.tolist() == [2, 2, 4, 6]
