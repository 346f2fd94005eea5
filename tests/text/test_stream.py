"""Decoding one id at a time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.text.decode import ByteFallback, Fuse, Replace, Sequence, Strip
from breadth.text.decode_words import BPEDecoder, Metaspace, WordPiece
from breadth.text.matching import Regex
from breadth.text.stream import DecodeStream, stream_text
from breadth.text.tokenizer import Tokenizer

from .test_tokenizer import END, RANKS, byte_level


class Vocabulary:
    """A model that only knows its tokens."""

    def __init__(self, tokens):
        self.tokens = tokens

    n_tokens = property(lambda self: len(self.tokens))

    def get_vocab(self):
        return {token: i for i, token in enumerate(self.tokens)}

    def token_to_id(self, token):
        return self.get_vocab().get(token)

    def id_to_token(self, i):
        return self.tokens[i]


TOKENS = [
    "▁",
    "▁a",
    "b",
    " ",
    "  x",
    "<0xC3>",
    "<0xA9>",
    "<0xF0>",
    "<0x9F>",
    "<0xZZ>",
    "##ing",
    "don",
    " n't",
    "w</w>",
    "v",
    "é",
]
LLAMA = (Replace("▁", " "), ByteFallback(), Fuse(), Strip(" ", 1, 0))
DECODERS = {
    "none": None,
    "llama": Sequence(LLAMA),
    "gemma": Sequence(LLAMA[:3]),
    "strip both ends": Sequence((Fuse(), Strip(" ", 2, 2))),
    "strip each": Strip(" ", 1, 1),
    "metaspace": Metaspace(),
    "metaspace never": Metaspace(prepend_scheme="never"),
    "wordpiece": WordPiece(),
    "bpe": BPEDecoder(),
    "whole": Sequence((Fuse(), Replace(Regex(" +"), "_"))),
    "across": Sequence((Fuse(), Replace("ab", "!"))),
}


@pytest.mark.parametrize("name", DECODERS)
@settings(deadline=None)  # the first example may compile kernels
@given(ids=st.lists(st.integers(0, len(TOKENS) - 1), max_size=12))
def test_a_stream_adds_up_to_what_decoding_all_ids_gives(name, ids):
    tokenizer = Tokenizer(Vocabulary(TOKENS), decoder=DECODERS[name])
    assert "".join(stream_text(tokenizer, ids)) == tokenizer.decode(ids)


@settings(deadline=None)
@given(data=st.binary(max_size=40))
def test_any_bytes_stream_as_they_decode(data):
    tokenizer = byte_level()
    ids = [RANKS[bytes([byte])] for byte in data]
    assert "".join(stream_text(tokenizer, ids)) == tokenizer.decode(ids) == data.decode("utf-8", "replace")


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_step_gives_half_a_character(text):
    tokenizer = byte_level()
    stream = DecodeStream(tokenizer)
    whole = ""
    for byte in text.encode():
        whole += stream.step(byte)
        assert text.startswith(whole)
    assert whole + stream.end() == text


def test_half_a_character_at_the_end_is_held_back_and_then_replaced():
    stream = DecodeStream(byte_level())
    assert [stream.step(byte) for byte in "é".encode()] == ["", "é"]
    assert stream.step("é".encode()[0]) == ""
    assert stream.end() == "\ufffd"
    assert stream.end() == ""
    with pytest.raises(ValueError, match="step was called after end"):
        stream.step(3)


def test_special_tokens_can_be_left_out_and_unknown_ids_are_named():
    stream = DecodeStream(byte_level(), skip_special_tokens=True)
    assert [stream.step(i) for i in (257, END.id, 258)] == ["the", "", " th"]
    with pytest.raises(ValueError, match="ids has 999 at 0"):
        stream.step(999)


def test_what_a_stream_keeps_does_not_grow_with_what_it_has_given_out():
    stream = DecodeStream(Tokenizer(Vocabulary(TOKENS), decoder=DECODERS["llama"]))
    for _ in range(1000):
        for i in (1, 5, 6, 2):
            stream.step(i)
    run = stream._state._steps[1]._run
    assert len(run) == 0
