"""Unigram against enumeration of every cut, its trie and suffix array against plain Python, and what it refuses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from breadth.text.model import Model
from breadth.text.suffix_array import common_prefixes, suffix_array
from breadth.text.trie import build_trie
from breadth.text.trie_kernels import longest_prefix
from breadth.text.unigram import UNK_PENALTY, Unigram
from breadth.text.unigram_pieces import PieceRules, seed_pieces

PIECES = [("<unk>", 0.0), ("a", -2.0), ("b", -2.5), ("ab", -3.0), ("ba", -3.5), ("aba", -4.0), ("é", -3.0), ("▁", -1.5)]
TYPES = ["unknown", *["normal"] * 7]


def model(**options) -> Unigram:
    return Unigram(PIECES, types=TYPES, **options)


def encode(unigram: Unigram, text: str) -> list[int]:
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    return unigram.encode_words(data, np.array([len(data)], dtype=np.int64))[0].tolist()


def cuts(text: str) -> list[tuple[list[int], float]]:
    """Every cut of a text with its score; an unknown character is a cut of its own."""
    score_of = dict(PIECES[1:])
    ids = {piece: i for i, (piece, _) in enumerate(PIECES)}
    unknown = min(score_of.values()) - UNK_PENALTY
    found = []
    for n_cuts in range(len(text)):
        for places in itertools.combinations(range(1, len(text)), n_cuts):
            parts = [text[a:b] for a, b in itertools.pairwise((0, *places, len(text)))]
            if all(part in score_of or len(part) == 1 for part in parts):
                path = [ids.get(part, 0) for part in parts]
                fused = [i for k, i in enumerate(path) if i or not k or path[k - 1]]
                found.append((fused, sum(score_of.get(part, unknown) for part in parts)))
    return sorted(found, key=lambda cut: -cut[1])


TEXTS = ["a", "ab", "abab", "ababa", "▁abaéb", "xxabx", "bbbb", "é"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_best_cut_is_the_best_of_all_cuts(text, precision):
    assert isinstance(model(), Model)
    best = cuts(text)
    tied = [ids for ids, score in best if score == best[0][1]]
    assert encode(model(precision=precision), text) in tied


def test_neighbouring_unknown_characters_are_one_id_and_ends_are_bytes():
    data = np.frombuffer("xéyz".encode(), dtype=np.uint8)
    ids, ends = model().encode_words(data, np.array([3, 5]), with_ends=True)
    assert ids.tolist() == [0, 6, 0] and ends is not None and ends.tolist() == [1, 3, 5]
    ids, ends = model().encode_words(data[:0], np.array([], dtype=np.int64), with_ends=True)
    assert ids.tolist() == [] and ends is not None and ends.tolist() == []


def test_a_long_text_does_not_lose_precision_to_its_own_length():
    # 0.02 between the cuts is below the spacing of float32 numbers at 2e6, the score of this text
    pieces = [("<unk>", 0.0), ("a", -10.0), ("b", -10.0), ("ab", -19.99)]
    unigram = Unigram(pieces, types=["unknown", *["normal"] * 3])
    assert encode(unigram, "ab" * 100_000) == [3] * 100_000


def test_a_word_of_ten_megabytes_is_cut():
    assert encode(model(), "ab" * 5_000_000)[:3] == encode(model(), "ab" * 10)[:3]


@pytest.mark.parametrize("text", TEXTS)
def test_n_best_are_the_first_of_all_cuts(text):
    expected = cuts(text)
    found = model().n_best(text, 5)
    # 1e-12: sums of at most six scores, in another order
    np.testing.assert_allclose([cut.score for cut in found], [score for _, score in expected[:5]], rtol=1e-12)
    for cut in found:
        assert any(cut.ids == ids and math.isclose(cut.score, score) for ids, score in expected)
    assert len(model().n_best(text, 1000)) == len(expected)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("text", TEXTS)
def test_sums_over_paths_equal_enumeration(text, alpha):
    expected = cuts(text)
    weight = np.array([math.exp(alpha * score) for _, score in expected])
    p = weight / weight.sum()
    found = model(precision="float64").statistics(text, alpha=alpha)
    # 1e-12: float64 sums of fewer than 50 terms in another order
    assert found.log_sum == pytest.approx(math.log(weight.sum()), rel=1e-12)
    assert found.entropy == pytest.approx(-(p * np.log(p)).sum(), rel=1e-12, abs=1e-12)
    counts = np.zeros(len(PIECES))
    for (ids, _), share in zip(expected, p, strict=True):
        np.add.at(counts, [i for i in ids if i], share)
    np.testing.assert_allclose(found.expected_counts[1:], counts[1:], rtol=1e-12, atol=1e-15)


def test_samples_have_the_probabilities_of_their_cuts():
    expected = cuts("ababa")
    weight = np.array([math.exp(0.5 * score) for _, score in expected])
    p = dict(zip([tuple(ids) for ids, _ in expected], weight / weight.sum(), strict=True))
    samples = model().sample("ababa", alpha=0.5, n_samples=20_000, seed=1)
    for ids, share in p.items():
        seen = sum(tuple(sample.ids) == ids for sample in samples) / len(samples)
        assert abs(seen - share) < 5 * math.sqrt(share * (1 - share) / len(samples))  # five standard deviations
    assert all(math.isclose(sample.score, math.log(p[tuple(sample.ids)]), abs_tol=1e-9) for sample in samples)
    assert samples[:5] == model().sample("ababa", alpha=0.5, n_samples=20_000, seed=1)[:5]
    assert model().sample("", n_samples=2) == [([], 0.0)] * 2


def test_bytes_stand_for_unknown_characters_and_unused_pieces_for_nothing():
    pieces = [("<unk>", 0.0), ("<s>", 0.0), *[(f"<0x{byte:02X}>", 0.0) for byte in range(256)]]
    types = ["unknown", "control", *["byte"] * 256]
    pieces += [("a", -1.0), ("aa", -1.0), ("<sep>", 0.0)]
    types += ["normal", "unused", "user_defined"]
    unigram = Unigram(pieces, types=types, byte_fallback=True)
    assert encode(unigram, "aé<sep>a\0") == [258, 2 + 0xC3, 2 + 0xA9, 260, 258, 2]
    # written-out control and byte pieces are ordinary characters
    assert encode(unigram, "<s>") == [2 + ord(char) for char in "<s>"]
    # as Hugging Face has it, every piece is found in text
    assert encode(Unigram(pieces, byte_fallback=True, precision="float64"), "<s>aa") == [1, 259]


def test_json_keeps_what_the_layout_holds():
    first = Unigram(PIECES, unk_id=0, precision="float64")
    second = Unigram.from_json(first.to_json())
    assert second.to_json() == first.to_json() and second.precision == "float64"
    assert second.get_vocab() == first.get_vocab() and second.id_to_token(3) == "ab"
    with pytest.raises(ValueError, match="must be 'Unigram', got 'BPE'"):
        Unigram.from_json({"type": "BPE"})
    with pytest.raises(ValueError, match="needs 'vocab'"):
        Unigram.from_json({"type": "Unigram"})


@pytest.mark.parametrize(
    ("vocab", "options", "message"),
    [
        ([], {}, "vocab is empty"),
        ([("a", float("nan"))], {}, r"score of piece 'a' \(id 0\) must be finite, got nan"),
        ([("a", -1.0), ("a", -2.0)], {}, "'a' twice, as ids 0 and 1"),
        ([("a", -1.0), ("", -2.0)], {}, "empty piece, id 1"),
        ([("a", -1.0)], {"unk_id": 1}, r"unk_id must be in \[0, 1\) or None, got 1"),
        ([("a", -1.0)], {"types": []}, "one type for each of 1 pieces, got 0"),
        ([("a", -1.0)], {"types": ["unknown"]}, "no piece of type 'normal'"),
        ([("a", -1.0)], {"precision": "half"}, "'float32' or 'float64', got 'half'"),
    ],
)
def test_a_broken_vocabulary_is_refused(vocab, options, message):
    with pytest.raises(ValueError, match=message):
        Unigram(vocab, **options)


def test_an_unknown_character_without_an_unknown_piece_is_an_error_that_shows_it():
    unigram = Unigram([("a", -1.0)], unk_id=None)
    for ask in (lambda: encode(unigram, "axa"), lambda: unigram.n_best("axa", 2), lambda: unigram.sample("axa")):
        with pytest.raises(ValueError, match="'axa' has a character that is no piece"):
            ask()
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        model().n_best("a", 0)
    with pytest.raises(ValueError, match="alpha must be finite and at least 0, got -1"):
        model().sample("a", alpha=-1)
    with pytest.raises(ValueError, match="n_samples must be at least 1, got 0"):
        model().sample("a", n_samples=0)
    with pytest.raises(IndexError, match=r"\[0, 8\), got 8"):
        model().id_to_token(8)


def test_the_trie_finds_the_longest_key():
    rng = np.random.default_rng(0)
    alphabet = np.frombuffer(b"\x00ab\xe2\x96\x81\xff", dtype=np.uint8)
    keys = list({rng.choice(alphabet, size=rng.integers(1, 7)).tobytes() for _ in range(5000)})
    trie = build_trie(keys, range(len(keys)))
    number = {key: i for i, key in enumerate(keys)}
    for _ in range(2000):
        text = rng.choice(alphabet, size=9)
        state, end = longest_prefix(trie.unit, 0, text, 0, len(text))
        longest = max((size for size in range(1, 10) if text[:size].tobytes() in number), default=0)
        assert end == longest
        assert state < 0 if longest == 0 else trie.value[state] == number[text[:longest].tobytes()]
    with pytest.raises(ValueError, match="keys must be unique, but b'a' stands at 0 and at 2"):
        build_trie([b"a", b"b", b"a"], range(3))
    with pytest.raises(ValueError, match="must not be empty, but key 1 is"):
        build_trie([b"a", b""], range(2))


@pytest.mark.parametrize("text", ["", "a", "aaaaaaaa", "banana", "mississippi" * 20])
def test_the_suffix_array_is_the_sorted_suffixes(text):
    symbols = np.array([ord(char) for char in text], dtype=np.int32)
    order = suffix_array(symbols)
    assert order.tolist() == sorted(range(len(text)), key=lambda i: text[i:])
    shared = common_prefixes(symbols, order, longest=5).tolist()
    for k in range(1, len(text)):
        a, b = text[order[k - 1] :], text[order[k] :]
        assert shared[k] == next((i for i in range(5) if a[i : i + 1] != b[i : i + 1] or i >= len(a)), 5)
    with pytest.raises(ValueError, match=r"symbols must be in \[0, 2\^31\)"):
        suffix_array(np.array([-1]))


def test_seeds_are_the_substrings_that_occur_before_two_different_characters():
    rng = np.random.default_rng(2)
    words = ["".join(rng.choice(list("▁abc1α"), size=rng.integers(1, 9))) for _ in range(200)]
    text = "".join(word + "\0" for word in words)
    weight = np.repeat(rng.integers(1, 5, size=len(words)), [len(word) + 1 for word in words])
    pieces, covered = seed_pieces(text, weight, rules=PieceRules(max_piece_length=4), n_most=10_000)
    followers: dict[str, set[str]] = {}
    total: dict[str, int] = {}
    for start in range(len(text)):
        for size in range(2, 5):
            part = text[start : start + size]
            if len(part) < size or "\0" in part or "▁" in part[1:]:
                continue
            scripts = {"greek" if c == "α" else "digit" if c == "1" else "latin" for c in part.lstrip("▁")}
            if len(scripts) == 1:
                followers.setdefault(part, set()).add(text[start + size])
                total[part] = total.get(part, 0) + int(weight[start])
    expected = {part: total[part] * len(part) for part, after in followers.items() if len(after) > 1}
    assert dict(zip(pieces, covered.tolist(), strict=True)) == expected
    with pytest.raises(ValueError, match=r"max_piece_length must be in \[1, 512\], got 0"):
        PieceRules(max_piece_length=0)
