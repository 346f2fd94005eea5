"""Stop strings across tokens, text of half characters, and stops by meaning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from breadth.lm.stopping import ClassifierStop, SimilarityStop, StopStrings, TextStream
from breadth.text import BPE

from .toy import Letters

words = st.text(alphabet="ab\n", min_size=1, max_size=4)


def before_first_stop(text, strings):
    """The text before the stop string that is complete first, by trying every end."""
    for end in range(len(text) + 1):
        met = [s for s in strings if text[:end].endswith(s)]
        if met:
            return text[: end - max(map(len, met))], max(met, key=len)
    return text, None


@settings(max_examples=100, deadline=None)
@given(pieces=st.lists(st.text(alphabet="ab\n", max_size=5), max_size=8), strings=st.lists(words, max_size=3))
def test_any_cut_into_pieces_stops_at_the_same_place(pieces, strings):
    expected, stop = before_first_stop("".join(pieces), strings)
    matcher = StopStrings(strings)
    assert "".join([*(matcher.push(piece) for piece in pieces), matcher.end()]) == expected
    assert matcher.found == stop


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="ab\n", max_size=20), strings=st.lists(words, min_size=1, max_size=3))
def test_only_what_could_still_be_a_stop_string_is_held_back(text, strings):
    matcher, released = StopStrings(strings), ""
    for i, letter in enumerate(text):
        released += matcher.push(letter)
        if matcher.found is not None:
            return
        held = text[len(released) : i + 1]
        # the longest end of the text that begins a stop string, and no more
        longest = max(n for n in range(i + 2) if n == 0 or any(s.startswith(text[i + 1 - n : i + 1]) for s in strings))
        assert held == matcher.held and len(held) == longest


def test_a_stop_string_may_be_kept_and_may_begin_or_end_inside_a_piece():
    matcher = StopStrings(["END"], include=True)
    assert [matcher.push(p) for p in ("one E", "ND", " more")] == ["one ", "END", ""]
    assert matcher.found == "END"
    inside = StopStrings(["END"])
    assert inside.push("xxENDyy") == "xx" and inside.found == "END" and inside.end() == ""
    nothing = StopStrings([])
    assert nothing.push("all") == "all" and nothing.held == ""
    with pytest.raises(ValueError, match="stop strings must not be empty"):
        StopStrings(["a", ""])


def test_half_a_character_waits_for_its_other_half():
    tokenizer = Letters(["a", "é".encode()[:1], "é".encode()[1:], "€".encode()[:2], "€".encode()[2:], "ë"])
    stream = TextStream(tokenizer)
    assert [stream.push(i) for i in (0, 1, 2, 3, 4, 5)] == ["a", "", "é", "", "€", "ë"]
    assert stream.end() == ""


def test_half_a_character_at_the_end_becomes_the_replacement_character():
    tokenizer = Letters(["a", "é".encode()[:1]])
    stream = TextStream(tokenizer)
    assert [stream.push(i) for i in (0, 1)] == ["a", ""]
    assert stream.end() == "\ufffd"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=12))
def test_streamed_text_is_what_decode_gives_whatever_the_bytes(data):
    tokenizer = Letters([bytes([i]) for i in range(256)])
    stream = TextStream(tokenizer)
    assert "".join([*(stream.push(i) for i in data), stream.end()]) == tokenizer.decode(data)


def test_breadths_own_tokenizer_streams_without_decoding_anew():
    tokenizer = BPE.train(["aé€ aé€ bé b€ ab ab"], vocab_size=270)
    ids = tokenizer.encode("aé€ bé€ab")
    stream = TextStream(tokenizer)
    pieces = [stream.push(i) for i in ids]
    assert "".join([*pieces, stream.end()]) == "aé€ bé€ab"
    assert not any("\ufffd" in piece for piece in pieces)


def test_an_id_without_a_token_is_the_replacement_character_and_is_told_once():
    tokenizer = BPE.train(["aé€ aé€ bé b€ ab ab"], vocab_size=262)
    half = tokenizer.token_to_id("Ã")  # the first byte of é
    stream = TextStream(tokenizer)
    with pytest.warns(UserWarning, match="chose an id without a token, .* ids has 999 at 0") as told:
        pieces = [stream.push(i) for i in [*tokenizer.encode("ab"), half, 999, 1000, *tokenizer.encode(" b€")]]
    assert "".join([*pieces, stream.end()]) == "ab\ufffd\ufffd\ufffd b€" and len(told) == 1


def test_a_classifier_stops_a_text_that_it_is_certain_of():
    seen = []

    def score(text):
        seen.append(text)
        return text.count("bad") / 2

    stop = ClassifierStop(score, threshold=0.9, every=2, window=9)
    assert not stop("bad", [1]) and seen == []  # not every token
    assert not stop("bad a", [1, 2]) and stop.probability == 0.5
    assert stop("once more bad bad", [1, 2, 3, 4]) and seen[-1] == "e bad bad"
    for wrong, message in (({"threshold": 0.0}, "threshold"), ({"every": 0}, "every")):
        with pytest.raises(ValueError, match=message):
            ClassifierStop(score, **wrong)


def embed(texts):
    """Counts of letters: texts that use the same letters mean the same."""
    return np.array([[text.count(c) for c in "abcdefgh"] for text in texts], dtype=float)


def test_similarity_is_the_largest_cosine_to_an_example():
    examples = ["abba", "cafe", "hhh"]
    stop = SimilarityStop(embed, examples, threshold=0.95)
    for text in ("a", "face", "hhg", "deface", ""):
        reached = stop(text, [1])
        expected = cosine_similarity(embed([text]), embed(examples)).max()
        assert stop.similarity == pytest.approx(expected, abs=1e-12)
        assert reached == (expected >= 0.95)
    for wrong, message in (({"threshold": 2.0}, "threshold"), ({"every": 0}, "every")):
        with pytest.raises(ValueError, match=message):
            SimilarityStop(embed, examples, **wrong)
    with pytest.raises(ValueError, match="at least one text"):
        SimilarityStop(embed, [])
