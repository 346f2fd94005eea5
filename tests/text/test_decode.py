"""Decoders beside Hugging Face's on fuzzed tokens, and what they refuse."""

from __future__ import annotations

import random

import pytest
from tokenizers import Regex as TheirRegex
from tokenizers import decoders as d

from breadth.text import decode, decode_words
from breadth.text.matching import Regex

TOKENS = [
    "▁", "▁a", "b▁c", " ", "  x ", "<0xC3>", "<0xA9>", "<0xF0>", "<0x9F>", "<0xZZ>", "<0x4", "##ing", "##", "do",
    " n't",
    "n't",
    ".", "'", "w</w>", "v", "é", "Ġthe", "Ã", "©", "日本", "", "do not",
]  # fmt: skip
LLAMA = [d.Replace("▁", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)]
OUR_LLAMA = (decode.Replace("▁", " "), decode.ByteFallback(), decode.Fuse(), decode.Strip(" ", 1, 0))
DECODERS = [
    (d.ByteLevel(), decode.ByteLevel()),
    (d.WordPiece(), decode_words.WordPiece()),
    (d.WordPiece("##", cleanup=False), decode_words.WordPiece(cleanup=False)),
    (d.Metaspace(), decode_words.Metaspace()),
    (d.Metaspace(prepend_scheme="never"), decode_words.Metaspace(prepend_scheme="never")),
    (d.Metaspace(prepend_scheme="first"), decode_words.Metaspace(prepend_scheme="first")),
    (d.BPEDecoder(), decode_words.BPEDecoder()),
    (d.ByteFallback(), decode.ByteFallback()),
    (d.Fuse(), decode.Fuse()),
    (d.Strip(" ", 1, 0), decode.Strip(" ", 1, 0)),
    (d.Replace("▁", "xy"), decode.Replace("▁", "xy")),
    (d.Replace(TheirRegex(r"\s+"), "_"), decode.Replace(Regex(r"\s+"), "_")),
    (d.Sequence(LLAMA), decode.Sequence(OUR_LLAMA)),
    (d.Sequence(LLAMA[:3]), decode.Sequence(OUR_LLAMA[:3])),
    (
        d.Sequence([d.Fuse(), d.Replace(TheirRegex(r"\s+"), "_"), d.Strip("_", 1, 0)]),
        decode.Sequence((decode.Fuse(), decode.Replace(Regex(r"\s+"), "_"), decode.Strip("_", 1, 0))),
    ),
]


@pytest.mark.parametrize(("theirs", "ours"), DECODERS, ids=lambda each: str(each)[:50])
def test_text_of_any_tokens_is_hugging_faces(theirs, ours):
    rng = random.Random(0)
    for _ in range(1500):
        tokens = rng.choices(TOKENS, k=rng.randint(1, 9))
        if "".join(tokens):  # the peer panics where it would strip an empty text
            assert decode.decode_tokens(ours, tokens) == theirs.decode(tokens), tokens


def test_no_tokens_are_no_text():
    for _, ours in DECODERS:
        assert decode.decode_tokens(ours, []) == ""


def test_without_a_decoder_tokens_have_spaces_between_them():
    assert decode.decode_tokens(None, ["a", "b"]) == "a b"


def test_a_run_of_bytes_that_is_no_text_is_replaced_byte_by_byte():
    decoder = decode.Sequence((decode.ByteFallback(), decode.Fuse()))
    assert decode.decode_tokens(decoder, ["a", "<0xC3>", "<0xA9>", "b"]) == "aéb"
    assert decode.decode_tokens(decoder, ["a", "<0xC3>", "<0xA9>", "<0xC3>"]) == "a\ufffd\ufffd\ufffd"


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="content must be one character, start and stop >= 0, got '  ', 1 and 0"):
        decode.Strip("  ", 1)
    with pytest.raises(ValueError, match="got ' ', -1 and 0"):
        decode.Strip(" ", -1)
