"""Porter's stemmer beside NLTK's, over every word of the documentation topics and the standard library's sources."""

from __future__ import annotations

import random
import re
import string
import sysconfig
from functools import cache
from pathlib import Path
from pydoc_data import topics

import pytest

from breadth.text.stem import PorterStemmer

nltk_porter = pytest.importorskip("nltk.stem.porter")

MODES = {"nltk": "NLTK_EXTENSIONS", "martin": "MARTIN_EXTENSIONS", "original": "ORIGINAL_ALGORITHM"}
SUFFIXES = (
    *("ational", "tional", "enci", "anci", "izer", "bli", "abli", "alli", "entli", "eli", "ousli", "ization", "ation"),
    *("ator", "alism", "iveness", "fulness", "ousness", "aliti", "iviti", "biliti", "fulli", "logi", "icate", "ative"),
    *("alize", "iciti", "ical", "ful", "ness", "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement"),
    *("ment", "ent", "sion", "tion", "xion", "ou", "ism", "ate", "iti", "ous", "ive", "ize", "e", "ll", "y", "s"),
    *("sses", "ies", "ss", "eed", "ied", "ed", "ing", "ating", "bling", "izing", "tting", "lling"),
)


@cache
def vocabulary(files: int) -> list[str]:
    folder = Path(sysconfig.get_path("stdlib"))
    words = set(re.findall(r"[^\W\d_]+", " ".join(topics.topics.values())))
    for file in sorted(folder.rglob("*.py"))[:files]:
        words.update(re.findall(r"[^\W\d_]+|\w+", file.read_text(encoding="utf-8", errors="replace")))
    return sorted(words)


def synthetic(n: int) -> list[str]:
    """Random letters with every suffix once, twice and thrice: conditions at their edges, runs of y, double letters."""
    draw = random.Random(0)
    words = ["", "y", "yy", "yyy", "s", "ss", "ies", "ied", "eed", "ing", "ed", "e", "ll", "İ", "naïveté", "ÉTÉS"]
    for _ in range(n):
        stem = "".join(draw.choices("aeiouy" * 2 + string.ascii_lowercase, k=draw.randrange(6)))
        words.append(stem + "".join(draw.choices(SUFFIXES, k=draw.randrange(4))))
    return words


def assert_same_stems(mode: str, words: list[str]) -> None:
    ours, peer = PorterStemmer(mode=mode), nltk_porter.PorterStemmer(mode=MODES[mode])
    wrong = [(w, ours.stem(w), peer.stem(w)) for w in words if ours.stem(w) != peer.stem(w)]
    assert not wrong, f"{len(wrong)} of {len(words)} differ: {wrong[:10]}"
    assert ours.stem_all(words + words[:10]) == [ours.stem(w) for w in words + words[:10]]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_stems_as_nltk_does_real_words_and_adversarial_ones(mode):
    assert_same_stems(mode, vocabulary(120)[::2] + synthetic(8000))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_stems_as_nltk_does_the_whole_standard_library(mode):
    words = vocabulary(100_000) + synthetic(200_000)
    assert len(words) > 300_000
    assert_same_stems(mode, words)


def test_without_lower_casing_capitals_are_consonants_as_in_nltk():
    ours, peer = PorterStemmer(), nltk_porter.PorterStemmer()
    for word in ("RUNNING", "Relational", "skies", "SKIES", "At"):
        assert ours.stem(word, lowercase=False) == peer.stem(word, to_lowercase=False)
