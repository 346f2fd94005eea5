"""The scanner's kernel against a slow twin, and its tables."""

from __future__ import annotations

import numpy as np
import pytest

from breadth.text import scan_tables as tables
from breadth.text.byte_alphabet import utf8_bytes
from breadth.text.patterns import RULES, splitter
from tests.text.test_patterns import fuzzed


def twin(rules: tables.Rules, text: str) -> list[int]:
    """Run the rules themselves, character by character, with names for states and kinds."""
    kinds, state, cuts, place, mark, previous = tables.kind_table(), ("start",), [], 0, 0, 0
    for char in [*text, None]:
        kind = "end" if char is None else tables._KINDS[kinds[ord(char)]]
        todo, state = rules.step(state, kind)
        for flag, cut in ((tables.CUT_MARK, mark), (tables.CUT_PREVIOUS, previous), (tables.CUT_HERE, place)):
            cuts += [cut] if todo & flag else []
        behind = place + len((char or "").encode())
        mark = place if todo & tables.SET_BEFORE else behind if todo & tables.SET_BEHIND else mark
        previous, place = place, behind
    return [*cuts, place] if text else []


@pytest.mark.parametrize("rules", list(dict.fromkeys(RULES.values())))
def test_the_kernel_does_what_the_rules_say_one_character_at_a_time(rules):
    split = splitter(next(pattern for pattern, found in RULES.items() if found == rules))
    for text in fuzzed(500, seed=3):
        assert split(utf8_bytes(text)).tolist() == twin(rules, text), repr(text)


@pytest.mark.parametrize("rules", list(dict.fromkeys(RULES.values())))
def test_a_transducer_is_small_and_never_leaves_its_states(rules):
    entries = tables.transducer(rules)
    assert entries.size % tables.WIDTH == 0
    assert entries.size < 64 * tables.WIDTH  # 8 KB: stays in the first cache
    following = entries >> tables.STATE_SHIFT
    assert (following % tables.WIDTH == 0).all()
    assert following.max() < entries.size


def test_kinds_tell_apart_the_letters_of_contractions():
    kinds = tables.kind_table()
    names = {char: tables._KINDS[kinds[ord(char)]] for char in "sTmDreVlLſK'/ \t\n"}
    assert names == {
        "s": "s", "T": "S", "m": "s", "D": "S", "r": "r", "e": "e", "V": "V", "l": "l", "L": "L", "ſ": "ſ",
        "K": "upper", "'": "'", "/": "/", " ": "space", "\t": "white", "\n": "newline",
    }  # fmt: skip
    assert np.array_equal(kinds == tables.END, np.zeros_like(kinds, dtype=bool))
