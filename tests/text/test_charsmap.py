"""Compiled character maps, built here by hand: rules, spaces, where characters come from, and what is refused."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from breadth.text.charsmap import Precompiled, SentencePieceNormalizer, read_charsmap


def compiled(rules: dict[str, str]) -> bytes:
    """A character map in darts-clone's layout, one block of 256 units a state."""
    blob = b""
    values = {}
    for key, value in rules.items():
        values[key.encode()] = len(blob)
        blob += value.encode() + b"\0"
    prefixes = sorted({key[:size] for key in values for size in range(len(key) + 1)}, key=len)
    base = {prefix: 256 * (i + 1) for i, prefix in enumerate(prefixes)}
    units = np.zeros(256 * (len(prefixes) + 1), dtype="<u4")
    at = {b"": 0}
    for prefix in prefixes:
        place = at[prefix]
        units[place] |= (base[prefix] ^ place) << 10
        if prefix in values:
            units[place] |= 0x100
            units[base[prefix]] = 0x80000000 | values[prefix]
        for child in prefixes:
            if len(child) == len(prefix) + 1 and child.startswith(prefix):
                at[child] = base[prefix] ^ child[-1]
                units[at[child]] |= child[-1]
    return len(units.tobytes()).to_bytes(4, "little") + units.tobytes() + blob


RULES = {"ﬁ": "fi", "é": "é", "　": " ", "\u200b": "", "ab": "X", "\t": " ", "…": " . "}


def slow(
    text: str, *, prefix: bool = True, squeeze: bool = True, space: str = "▁", symbols=()
) -> tuple[str, list[int]]:
    """The same one rule at a time, with the place each character comes from."""
    parts, i = [], 0
    while i < len(text):
        symbol = max((s for s in symbols if text.startswith(s, i)), key=len, default="")
        rule = "" if symbol else max((key for key in RULES if text.startswith(key, i)), key=len, default="")
        old = symbol or rule or text[i]
        parts.append((symbol or RULES.get(old, old), i))
        i += len(old)
    while squeeze and parts and parts[0][0] == " ":
        del parts[0]
    if not parts:
        return "", []
    out = [(space, parts[0][1])] if prefix else []
    after_space = squeeze
    for new, at in parts:
        kept = new.lstrip(" ") if after_space else new
        out += [(space if char == " " else char, at) for char in kept]
        if kept:
            after_space = squeeze and kept.endswith(" ")
    while squeeze and out and out[-1][0] == space:
        out.pop()
    return "".join(char for char, _ in out), [at for _, at in out]


@pytest.mark.parametrize("options", [{}, {"prefix": False}, {"squeeze": False}, {"symbols": ("ab", "é ")}])
def test_rules_and_spaces_are_those_of_one_rule_at_a_time(options):
    normalizer = SentencePieceNormalizer(
        compiled(RULES),
        add_dummy_prefix=options.get("prefix", True),
        remove_extra_whitespaces=options.get("squeeze", True),
        user_defined_symbols=options.get("symbols", ()),
    )
    rng = np.random.default_rng(0)
    texts = ["", " ", "\u200b", " \u200b ", "a", "ab ab", "… …", "\0", "😀 ﬁ", "a" * 1000]
    texts += ["".join(rng.choice(list("ab  cﬁe\u0301é　\u200b\t…😀"), size=n)) for n in rng.integers(0, 15, size=2000)]
    for text in texts:
        expected, source = slow(text, **options)
        found, found_source = normalizer.align(text)
        assert found == expected == normalizer(text), ascii(text)
        assert found_source.tolist() == source, ascii(text)


def test_a_space_after_the_text_and_spaces_as_they_are():
    assert SentencePieceNormalizer(treat_whitespace_as_suffix=True)(" a  b ") == "a▁b▁"
    assert SentencePieceNormalizer(escape_whitespaces=False)(" a  b ") == " a b"
    assert SentencePieceNormalizer(remove_extra_whitespaces=False, add_dummy_prefix=False)(" a  b ") == "▁a▁▁b▁"


def test_hugging_faces_way_looks_up_graphemes_then_characters():
    charsmap = base64.b64encode(compiled(RULES)).decode()
    normalizer = Precompiled(charsmap)
    assert normalizer("ﬁab　x\u200b…") == "fiab x . "  # "ab" is no grapheme, so no rule for it
    text, source = normalizer.align("ﬁx…")
    assert text == "fix . " and source.tolist() == [0, 0, 1, 2, 2, 2]
    assert Precompiled("")("é ") == "é "


@pytest.mark.parametrize(
    ("charsmap", "message"),
    [
        ("no base64!", "charsmap is not base64"),
        (b"abc", "charsmap of 3 bytes must begin with the size"),
        (b"\x08\0\0\0abcd\0", "must begin with the size"),
        (compiled(RULES)[:-1], "must end with a NUL byte"),
        (compiled(RULES)[:2000], "must begin with the size"),
    ],
)
def test_a_broken_map_is_refused(charsmap, message):
    for make in (SentencePieceNormalizer, Precompiled, read_charsmap):
        with pytest.raises(ValueError, match=message):
            make(charsmap)


def test_a_map_whose_rules_lead_outside_it_is_an_error_not_a_crash():
    bent = bytearray(compiled({"a": "b"}))
    bent[4:8] = b"\0\xfc\xff\x7f"  # the root's offset lies beyond the last unit
    with pytest.raises(ValueError, match="charsmap is malformed"):
        SentencePieceNormalizer(bytes(bent))("aaa")


def test_a_lone_surrogate_is_refused_with_its_place():
    with pytest.raises(ValueError, match=r"lone surrogate U\+D800 at character 1"):
        SentencePieceNormalizer()("a\ud800")


@pytest.mark.parametrize("rules", [RULES, {}, {"\r": " ", "\r\n": "\n", "A": "a", "b": ""}])
def test_ascii_becomes_by_table_what_it_becomes_grapheme_by_grapheme(rules):
    precompiled = Precompiled(compiled(rules) if rules else b"")
    for text in ("", "ab\tA b", "a\r\nb\r", "\n\r\n", "".join(map(chr, range(128))), "abé\r\n ab"):
        assert precompiled(text) == precompiled.align(text)[0], repr(text)
