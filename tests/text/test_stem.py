"""Porter's stemmer: the examples of the paper, and what the modes change."""

from __future__ import annotations

import pytest

from breadth.text.stem import PorterStemmer

# Porter 1980, the examples of every step, run through all steps that follow
PAPER = {
    "caresses": "caress",
    "ponies": "poni",
    "cats": "cat",
    "feed": "feed",
    "agreed": "agre",
    "plastered": "plaster",
    "bled": "bled",
    "motoring": "motor",
    "sing": "sing",
    "conflated": "conflat",
    "troubled": "troubl",
    "sized": "size",
    "hopping": "hop",
    "falling": "fall",
    "hissing": "hiss",
    "filing": "file",
    "happy": "happi",
    "sky": "sky",
    "relational": "relat",
    "conditional": "condit",
    "rational": "ration",
    "digitizer": "digit",
    "vietnamization": "vietnam",
    "sensibiliti": "sensibl",
    "triplicate": "triplic",
    "electrical": "electr",
    "goodness": "good",
    "replacement": "replac",
    "adoption": "adopt",
    "bowdlerize": "bowdler",
    "probate": "probat",
    "rate": "rate",
    "cease": "ceas",
    "controll": "control",
    "roll": "roll",
    "generalizations": "gener",
    "oscillators": "oscil",
}


@pytest.mark.parametrize("mode", ["original", "martin"])
def test_the_examples_of_the_paper_come_out_as_printed(mode):
    stemmer = PorterStemmer(mode=mode)
    assert {word: stemmer.stem(word) for word in PAPER} == PAPER


def test_the_modes_differ_where_their_authors_say():
    stems = {
        mode: PorterStemmer(mode=mode).stem_all(["dies", "enjoy", "as", "archaeology", "spied", "dying"])
        for mode in ("original", "martin", "nltk")
    }
    assert stems["original"] == ["di", "enjoi", "a", "archaeologi", "spi", "dy"]
    assert stems["martin"] == ["di", "enjoi", "as", "archaeolog", "spi", "dy"]
    assert stems["nltk"] == ["die", "enjoy", "as", "archaeolog", "spi", "die"]


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="mode must be one of 'original', 'martin', 'nltk', got 'snowball'"):
        PorterStemmer(mode="snowball")
