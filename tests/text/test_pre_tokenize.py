"""Pre-tokenizers: words cover what is kept, in order, and impossible settings are refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.text import pre_tokenize
from breadth.text import pre_tokenize_classes as classes
from breadth.text.align import Piece
from breadth.text.matching import Regex

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" ab1,\n漢あ▁"))
KEEP_ALL = [
    pre_tokenize.ByteLevel(add_prefix_space=False),
    pre_tokenize.Split(" ", "merged_with_next"),
    pre_tokenize.Split(Regex(r"\d"), "contiguous", invert=True),
    classes.Digits(),
    classes.Punctuation("merged_with_previous"),
    classes.FixedLength(2),
    pre_tokenize.Sequence((classes.Digits(True), classes.FixedLength(3))),
]


@pytest.mark.parametrize("pre_tokenizer", KEEP_ALL, ids=str)
@settings(deadline=None)  # the first example may compile kernels
@given(text=TEXTS)
def test_what_drops_nothing_gives_the_text_back(pre_tokenizer, text):
    data, ends = pre_tokenizer.split(text)
    assert data.tobytes() == text.encode()
    assert (ends[-1] if len(ends) else 0) == len(data)
    assert all(begin < end for begin, end in pairwise([0, *ends]))


@settings(deadline=None)
@given(text=TEXTS, scheme=st.sampled_from(["always", "first", "never"]), whole=st.booleans())
def test_metaspace_words_are_the_same_fast_and_piece_by_piece(text, scheme, whole):
    metaspace = pre_tokenize.Metaspace(prepend_scheme=scheme, split_words=not whole)
    data, ends = metaspace.split(text)
    words = [bytes(data[begin:end]).decode() for begin, end in pairwise([0, *ends])]
    assert words == [piece.text for piece in metaspace(Piece(text)) if piece.text]


CHAINS = [
    pre_tokenize.Sequence((classes.WhitespaceSplit(), pre_tokenize.Metaspace())),
    pre_tokenize.Sequence((classes.WhitespaceSplit(), pre_tokenize.Metaspace(prepend_scheme="first"))),
    pre_tokenize.Sequence((classes.WhitespaceSplit(), pre_tokenize.Metaspace(prepend_scheme="never"))),
    pre_tokenize.Sequence((classes.Digits(), pre_tokenize.Metaspace())),
    pre_tokenize.Sequence(
        (
            pre_tokenize.Split(Regex(r"\d{1,3}"), "isolated"),
            pre_tokenize.Split(Regex(r"[ab]*|\s+(?!\S)|\s+"), "isolated", invert=True),
            pre_tokenize.ByteLevel(add_prefix_space=False, use_regex=False),
        )
    ),
    pre_tokenize.Sequence(
        (pre_tokenize.Split(" ", "removed"), pre_tokenize.Split(Regex("あ"), "merged_with_previous"))
    ),
    pre_tokenize.Sequence((pre_tokenize.ByteLevel(False, True, False), pre_tokenize.ByteLevel(False, True, False))),
    pre_tokenize.Split(" ", "merged_with_previous"),
    pre_tokenize.Split(" ", "removed", invert=True),
    pre_tokenize.Split(Regex(r"(?=\d)|,"), "isolated"),
    pre_tokenize.Split("", "isolated"),
    pre_tokenize.Sequence(()),
]


@pytest.mark.parametrize("pre_tokenizer", CHAINS, ids=str)
@settings(deadline=None)
@given(text=TEXTS)
def test_words_are_the_same_with_and_without_following_their_characters(pre_tokenizer, text):
    found = pre_tokenizer.split(text)
    pieces = [piece for piece in pre_tokenizer(Piece(text)) if piece.text]
    data, ends = pre_tokenize.words_of(pieces, as_bytes=pre_tokenize.spells_bytes(pre_tokenizer))
    assert found[0].tobytes() == data.tobytes()
    assert found[1].tolist() == ends.tolist()


def test_a_delimiter_goes_where_the_behaviour_says():
    expected = {
        "removed": ["the", "final", "countdown"],
        "isolated": ["the", "-", "final", "-", "-", "countdown"],
        "merged_with_previous": ["the-", "final-", "-", "countdown"],
        "merged_with_next": ["the", "-final", "-", "-countdown"],
        "contiguous": ["the", "-", "final", "--", "countdown"],
    }
    for behaviour, words in expected.items():
        pieces = pre_tokenize.Split("-", behaviour)(Piece("the-final--countdown"))
        assert [piece.text for piece in pieces] == words


def test_a_prefix_is_put_before_the_beginning_of_the_text_only_with_scheme_first():
    first = pre_tokenize.Metaspace(prepend_scheme="first")
    assert first.split("a b")[0].tobytes().decode() == "▁a▁b"
    assert first.split("a b", first=False)[0].tobytes().decode() == "a▁b"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pre_tokenize.Split(" ", "dropped"), "behavior must be one of removed, .*, got 'dropped'"),
        (lambda: pre_tokenize.Metaspace("ab"), "replacement must be one character, got 'ab'"),
        (lambda: pre_tokenize.Metaspace(prepend_scheme="last"), "prepend_scheme must be one of always, first, never"),
        (lambda: classes.CharDelimiterSplit(""), "delimiter must be one character, got ''"),
        (lambda: classes.FixedLength(0), "length must be at least 1, got 0"),
        (lambda: classes.Punctuation("x"), "behavior must be one of"),
        (lambda: pre_tokenize.Split(Regex("(")), "is not a regular expression"),
        (lambda: classes.WhitespaceSplit().split("a\ud800"), "lone surrogate"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
