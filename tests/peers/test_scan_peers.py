"""The scanners beside Hugging Face's pre-tokenizers: the same pieces, but for code points new to one of them."""

from __future__ import annotations

import pydoc_data.topics

import pytest
import tiktoken
from tokenizers import Regex, pre_tokenizers

from breadth.text.byte_alphabet import utf8_bytes
from breadth.text.patterns import PATTERNS, bert_words, splitter
from breadth.text.unicode_classes import class_table
from tests.text.test_patterns import PROPERTIES, every_code_point, fuzzed

TOPICS = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)]
# tiktoken's cl100k ends in `$`, which Oniguruma takes for the end of a line; Llama 3's is its other form
SHARED = {name: pattern for name, pattern in PATTERNS.items() if name != "cl100k"}


def pieces(pattern: str, text: str) -> list[str]:
    data = utf8_bytes(text)
    ends = splitter(pattern)(data).tolist()
    return [data[begin:end].tobytes().decode() for begin, end in zip([0, *ends[:-1]], ends, strict=bool(ends))]


@pytest.mark.parametrize("name", SHARED)
def test_a_published_pattern_cuts_as_in_hugging_face(name):
    peer = pre_tokenizers.Split(Regex(SHARED[name]), "isolated")
    for text in [*TOPICS[::8], *fuzzed(1000, seed=9)]:
        assert pieces(name, text) == [piece for piece, _ in peer.pre_tokenize_str(text)], repr(text[:80])


def test_berts_words_are_those_of_hugging_face():
    peer = pre_tokenizers.BertPreTokenizer()
    for text in [*TOPICS[::8], *fuzzed(1000, seed=10)]:
        words, ends, _ = bert_words(utf8_bytes(text))
        cuts = ends.tolist()
        spelt = [words[a:b].tobytes().decode() for a, b in zip([0, *cuts[:-1]], cuts, strict=bool(cuts))]
        assert spelt == [piece for piece, _ in peer.pre_tokenize_str(text)], repr(text[:80])


def test_every_code_point_has_the_class_that_tiktoken_gives_it():
    text = "".join(every_code_point())
    for bit, pattern in PROPERTIES.items():
        # a text's bytes as ids: what does not match is left out
        ranks = {bytes([byte]): byte for byte in range(256)}
        peer = tiktoken.Encoding("", pat_str=f"(?:{pattern})+", mergeable_ranks=ranks, special_tokens={})
        members = {ord(char) for char in peer.decode(peer.encode_ordinary(text))}
        assert {point for point in map(ord, text) if class_table()[point] == bit} == members, pattern


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED)
def test_every_code_point_is_cut_as_in_hugging_face(name):
    peer = pre_tokenizers.Split(Regex(SHARED[name]), "isolated")
    differ = set()
    for context in ("a{}b", "1{}2", "  {}x", "!{}?", "A{}'s {}\n{}"):
        for start in range(0, 0x110000, 256):
            chars = [chr(point) for point in range(start, start + 256) if not 0xD800 <= point < 0xE000]
            together = "\n;\nQ".join(context.format(char, char, char) for char in chars)
            if pieces(name, together) == [piece for piece, _ in peer.pre_tokenize_str(together)]:
                continue
            for char in chars:
                text = context.format(char, char, char)
                if pieces(name, text) != [piece for piece, _ in peer.pre_tokenize_str(text)]:
                    differ.add(ord(char))
    assert sorted(differ) == []
