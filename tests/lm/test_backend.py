"""What all backends keep to, shown on a script."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from breadth.lm.backend import Completion, Refused, Sampling, Score, Scripted, check_prompts, cut_at_stop

CHAT = [{"role": "user", "content": "Hi"}]


def test_only_the_local_kind_needs_torch():
    code = (
        "import sys, breadth.lm.backend, breadth.lm.backend_http, breadth.lm.backend_cached\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_script_answers_by_prompt_in_turn_or_by_a_function():
    by_prompt = Scripted({"2 + 2 =": " 4", "Hi": "Hello there"})
    first, second = by_prompt.generate(["2 + 2 =", CHAT])
    assert first == Completion(" 4", "stop", (" 4",), None, 4, 1)
    assert second.text == "Hello there"
    assert by_prompt.asked == ["2 + 2 =", CHAT]
    in_turn = Scripted(["one", "two"])
    assert [c.text for c in in_turn.generate(["a", "a"])] == ["one", "two"]
    with pytest.raises(LookupError, match="2 replies, and was asked for one more"):
        in_turn.generate(["a"])
    assert Scripted(lambda prompt: prompt[::-1]).generate(["abc"])[0].text == "cba"
    with pytest.raises(LookupError, match="no reply to 'b'"):
        by_prompt.generate(["b"])


def test_a_script_stops_keeps_its_budget_and_refuses_what_it_cannot():
    script = Scripted(["one two three STOP four"] * 2)
    assert script.generate(["a"], Sampling(stop=("STOP", "three")))[0] == Completion(
        "one two ", "stop", ("one", " two", " "), None, 1, 3
    )
    cut = script.generate(["a"], Sampling(max_tokens=2))[0]
    assert (cut.text, cut.finish) == ("one two", "length")
    with pytest.raises(Refused, match="no log-probabilities"):
        script.generate(["a"], Sampling(logprobs=True))
    with pytest.raises(Refused, match="no probabilities"):
        script.score("a", ["b"])
    assert Scripted([], scores=lambda p, c: -len(p + c)).score("ab", ["c d"]) == [Score(-5, 2)]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("one", TypeError, "got one; put it in a list"),
        (CHAT, TypeError, "got one; put it in a list"),
        ([3], TypeError, r"prompts\[0\] must be a text or a list of messages, got int"),
        ([[]], ValueError, r"prompts\[0\] is a conversation without messages"),
        ([[{"role": "user"}]], ValueError, r"prompts\[0\] must hold messages with role and content"),
    ],
)
def test_prompts_that_are_none_are_named(given, kind, words):
    with pytest.raises(kind, match=words):
        check_prompts(given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_tokens": 0}, "max_tokens must be >= 1, got 0"),
        ({"temperature": -1}, "temperature must be >= 0 and finite, got -1"),
        ({"temperature": math.inf}, "temperature must be >= 0 and finite, got inf"),
        ({"top_p": 0}, r"top_p must be in \(0, 1\], got 0"),
        ({"stop": ("",)}, "stop must be a tuple of texts that are not empty"),
        ({"stop": "x"}, "stop must be a tuple of texts that are not empty"),
    ],
)
def test_options_out_of_range_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        Sampling(**options)


def test_a_text_is_cut_at_the_first_of_its_stops():
    assert cut_at_stop("abcdef", ["ef", "cd"]) == "ab"
    assert cut_at_stop("abc", ["x"]) == cut_at_stop("abc", []) == "abc"
