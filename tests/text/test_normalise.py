"""Normalizers: maps of characters, and what they refuse."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.text import normalise
from breadth.text.matching import Regex
from breadth.text.normalise_bert import BertNormalizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" aeΣİ\u0301\u0323\u1100\u1161漢ﬁ\u0000"))
ALL = [
    *map(normalise.UnicodeForm, ("NFC", "NFD", "NFKC", "NFKD")),
    normalise.Lowercase(),
    normalise.StripAccents(),
    normalise.Strip(),
    normalise.Replace("a", "xy"),
    normalise.Replace(Regex(r"\s*"), "-"),
    normalise.Prepend("▁"),
    normalise.ByteLevel(),
    normalise.Nmt(),
    BertNormalizer(),
    BertNormalizer(strip_accents=True, lowercase=False),
    normalise.Sequence((normalise.UnicodeForm("NFKD"), normalise.Lowercase(), normalise.Strip())),
    normalise.Sequence(()),
]


@pytest.mark.parametrize("normalizer", ALL, ids=str)
@settings(deadline=None)  # the first example compiles patterns
@given(text=TEXTS)
def test_the_map_has_a_place_in_the_text_for_each_new_character_and_they_do_not_fall(normalizer, text):
    normalised, source = normalizer.align(text)
    assert normalised == normalizer(text)
    assert len(source) == len(normalised)
    assert np.all((source >= -1) & (source < max(len(text), 1)))
    assert np.all(np.diff(source) >= 0)


def test_every_form_of_a_composed_character_comes_from_that_character():
    text = "aé한e\u0301b"
    composed, source = normalise.UnicodeForm("NFC").align(text)
    assert composed == unicodedata.normalize("NFC", text)
    assert source.tolist() == [0, 1, 2, 3, 5]
    decomposed, source = normalise.UnicodeForm("NFD").align(text)
    assert decomposed == unicodedata.normalize("NFD", text)
    assert source.tolist() == [0, 1, 1, 2, 2, 2, 3, 4, 5]


def test_a_final_sigma_is_lowered_without_its_context():
    assert normalise.Lowercase()("ΟΔΟΣ") == "οδοσ"


def test_bert_cleans_a_text_as_its_authors_do():
    assert BertNormalizer()("Ünï\tcode\x00\u200d 漢字 ﬁ\ufffd") == "uni code  漢  字  ﬁ"
    assert BertNormalizer(lowercase=False)("Ünï") == "Ünï"
    assert BertNormalizer(lowercase=False, strip_accents=True)("Ünï") == "Uni"
    assert BertNormalizer()("") == ""


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="form must be one of NFC, NFD, NFKC, NFKD, got 'NFX'"):
        normalise.UnicodeForm("NFX")
    with pytest.raises(ValueError, match=r"pattern '\[' is not a regular expression"):
        normalise.Replace(Regex("["), "")


@settings(deadline=None)
@given(text=st.text(st.characters(max_codepoint=127)), options=st.tuples(*[st.booleans()] * 4))
def test_berts_normalizer_makes_of_ascii_by_table_what_it_makes_step_by_step(text, options):
    normalizer = BertNormalizer(*options)
    assert normalizer(text) == normalizer.align(text)[0]
