"""Normalizers and pre-tokenizers beside Hugging Face's, one by one: text, pieces and offsets on fuzzed strings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tokenizers import PreTokenizedString
from tokenizers import Regex as TheirRegex
from tokenizers import normalizers as n
from tokenizers import pre_tokenizers as p

from breadth.text import normalise, pre_tokenize
from breadth.text import pre_tokenize_classes as classes
from breadth.text.align import Piece
from breadth.text.byte_alphabet import printable_to_bytes
from breadth.text.matching import Regex
from breadth.text.normalise_bert import BertNormalizer
from breadth.text.pre_tokenize import spells_bytes

from .tokenizer_families import corpus, fuzzed

Form = normalise.UnicodeForm
NORMALIZERS = [
    (n.NFC(), Form("NFC")),
    (n.NFD(), Form("NFD")),
    (n.NFKC(), Form("NFKC")),
    (n.NFKD(), Form("NFKD")),
    (n.Lowercase(), normalise.Lowercase()),
    (n.StripAccents(), normalise.StripAccents()),
    (n.Sequence([n.NFD(), n.StripAccents()]), normalise.Sequence((Form("NFD"), normalise.StripAccents()))),
    (n.Strip(), normalise.Strip()),
    (n.Strip(left=True, right=False), normalise.Strip(True, False)),
    (n.Strip(left=False, right=True), normalise.Strip(False, True)),
    (n.Replace(" ", "▁"), normalise.Replace(" ", "▁")),
    (n.Replace("a", "bcd"), normalise.Replace("a", "bcd")),
    (n.Replace("ab", ""), normalise.Replace("ab", "")),
    (n.Replace(TheirRegex(r" {2,}"), " x"), normalise.Replace(Regex(r" {2,}"), " x")),
    (n.Replace(TheirRegex(r"\s+"), ""), normalise.Replace(Regex(r"\s+"), "")),
    (n.Prepend("▁"), normalise.Prepend("▁")),
    (n.Prepend("ab"), normalise.Prepend("ab")),
    (n.ByteLevel(), normalise.ByteLevel()),
    (n.Nmt(), normalise.Nmt()),
    (n.BertNormalizer(), BertNormalizer()),
    (n.BertNormalizer(lowercase=False), BertNormalizer(lowercase=False)),
    (
        n.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
        BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
    ),
    (
        n.Sequence([n.Prepend("▁"), n.Replace(" ", "▁"), n.NFKC()]),
        normalise.Sequence((normalise.Prepend("▁"), normalise.Replace(" ", "▁"), Form("NFKC"))),
    ),
]
BYTES, META = pre_tokenize.ByteLevel, pre_tokenize.Metaspace
PRE_TOKENIZERS = [
    (p.ByteLevel(add_prefix_space=False), BYTES(add_prefix_space=False)),
    (p.ByteLevel(add_prefix_space=True), BYTES()),
    (p.ByteLevel(add_prefix_space=True, use_regex=False), BYTES(use_regex=False)),
    (p.Metaspace(), META()),
    (p.Metaspace(prepend_scheme="first"), META(prepend_scheme="first")),
    (p.Metaspace(prepend_scheme="never"), META(prepend_scheme="never")),
    (p.Metaspace(split=False), META(split_words=False)),
    (p.BertPreTokenizer(), pre_tokenize.BertPreTokenizer()),
    (p.Whitespace(), classes.Whitespace()),
    (p.WhitespaceSplit(), classes.WhitespaceSplit()),
    (p.Digits(True), classes.Digits(True)),
    (p.Digits(False), classes.Digits(False)),
    (p.CharDelimiterSplit("a"), classes.CharDelimiterSplit("a")),
    (p.UnicodeScripts(), classes.UnicodeScripts()),
    (p.FixedLength(3), classes.FixedLength(3)),
    (
        p.Sequence([p.WhitespaceSplit(), p.Metaspace(prepend_scheme="first")]),
        pre_tokenize.Sequence((classes.WhitespaceSplit(), META(prepend_scheme="first"))),
    ),
    (
        p.Sequence([p.Digits(True), p.ByteLevel(add_prefix_space=True)]),
        pre_tokenize.Sequence((classes.Digits(True), BYTES())),
    ),
]
PATTERNS = [" ", "aa", Regex(r"\s+"), Regex(r"\p{L}"), Regex("a*"), Regex(r"(?=\s)")]
for behaviour in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
    PRE_TOKENIZERS.append((p.Punctuation(behaviour), classes.Punctuation(behaviour)))
    for invert in (False, True):
        for pattern in PATTERNS:
            theirs = TheirRegex(pattern.pattern) if isinstance(pattern, Regex) else pattern
            PRE_TOKENIZERS.append(
                (p.Split(theirs, behaviour, invert=invert), pre_tokenize.Split(pattern, behaviour, invert))
            )


def texts(n_fuzzed):
    return [*fuzzed(11, n_fuzzed, ()), corpus()[-1], corpus()[0][:2000]]


@pytest.mark.parametrize(("theirs", "ours"), NORMALIZERS, ids=lambda each: str(each)[:60])
@pytest.mark.parametrize("n_fuzzed", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_normalised_text_and_where_it_comes_from_are_hugging_faces(theirs, ours, n_fuzzed):
    for text in texts(n_fuzzed):
        expected = theirs.normalize_str(text)
        normalised, source = ours.align(text)
        assert ours(text) == normalised == expected, text
        assert len(source) == len(expected)
        characters = PreTokenizedString(text)
        characters.normalize(theirs.normalize)
        characters.split(lambda _, whole: [whole[i : i + 1] for i in range(len(str(whole.normalized)))])
        if expected:
            found = characters.get_splits(offset_referential="original", offset_type="char")
            spans = Piece.original(text).rewritten(normalised, source).spans
            assert [tuple(span) for span in spans.tolist()] == [span for _, span, _ in found], text


@pytest.mark.parametrize(("theirs", "ours"), PRE_TOKENIZERS, ids=lambda each: str(each)[:60])
@pytest.mark.parametrize("n_fuzzed", [100, pytest.param(5000, marks=pytest.mark.slow)])
def test_pieces_and_their_offsets_are_hugging_faces(theirs, ours, n_fuzzed):
    for text in texts(n_fuzzed):
        expected = theirs.pre_tokenize_str(text)
        pieces = [piece for piece in ours(Piece.original(text)) if piece.text]
        found = [(piece.text, (int(piece.spans[0, 0]), int(piece.spans[-1, 1]))) for piece in pieces]
        assert found == expected, text
        data, ends = ours.split(text)
        words = [bytes(data[begin:end]) for begin, end in pairwise([0, *ends])]
        spell = printable_to_bytes if spells_bytes(ours) else str.encode
        assert words == [spell(word) for word, _ in expected], text
