"""Unigram training: likelihood rises, threads change nothing, rules hold, and what it refuses."""

from __future__ import annotations

from itertools import pairwise
from pydoc_data.topics import topics

import pytest

from breadth.text.charsmap import SentencePieceNormalizer
from breadth.text.unigram import Unigram
from breadth.text.unigram_pieces import PieceRules
from breadth.text.unigram_train import train_unigram

TEXTS = [line for topic in topics.values() for line in topic.splitlines() if line][:3000]


def total_log_likelihood(tokenizer) -> float:
    return sum(tokenizer.model.statistics(tokenizer.pre_tokenizer.normalizer(text)).log_sum for text in TEXTS[::10])


def test_a_trained_tokenizer_has_the_size_asked_for_and_gives_text_back():
    tokenizer = Unigram.train(TEXTS, vocab_size=400, n_threads=1)
    assert tokenizer.vocab_size == 400
    text = "The value of the expression is known."
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.id_to_token(0) == "<unk>" and tokenizer.encode("the value ☃")[-1] == 0
    encoding = tokenizer.encode_with_offsets(text)
    assert text[slice(*encoding.offsets[-1])] == tokenizer.id_to_token(encoding.ids[-1])


def test_likelihood_does_not_fall_between_two_prunings_and_more_pieces_fit_better():
    seen: list[tuple[int, float]] = []
    small = train_unigram(TEXTS, vocab_size=200, n_sub_iterations=4, progress=lambda n, v: seen.append((n, v)))
    for (n_before, before), (n_after, after) in pairwise(seen):
        if n_after >= 0.95 * n_before:  # no pruning between
            # the digamma step is a sparse prior, which may cost a little likelihood
            assert after > before - 0.05
    large = train_unigram(TEXTS, vocab_size=400)
    assert total_log_likelihood(large) > total_log_likelihood(small)


def test_the_result_does_not_depend_on_threads():
    one, three = (train_unigram(TEXTS, vocab_size=300, n_threads=n) for n in (1, 3))
    assert one.model.to_json() == three.model.to_json()


def test_rules_hold_for_every_piece():
    strict = train_unigram(TEXTS, vocab_size=200, rules=PieceRules(max_piece_length=4, split_digits=True))
    pieces = [piece for piece in strict.get_vocab() if not piece.startswith("<")]
    assert max(map(len, pieces)) <= 4
    assert not any(len(piece) > 1 and any(c.isdigit() for c in piece) for piece in pieces)
    assert not any("▁" in piece[1:] for piece in pieces)
    loose = train_unigram(TEXTS, vocab_size=800, rules=PieceRules(split_by_whitespace=False))
    assert any("▁" in piece[1:-1] for piece in loose.get_vocab())


def test_symbols_come_first_and_bytes_stand_for_the_rest():
    tokenizer = train_unigram(
        TEXTS, vocab_size=600, byte_fallback=True, control_symbols=["<s>"], user_defined_symbols=["<sep>"]
    )
    assert [tokenizer.id_to_token(i) for i in range(4)] == ["<unk>", "<s>", "<sep>", "<0x00>"]
    for text in ("at ☃\0 the value<sep> <s>", "<sep>", "日本 the cat"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("a<sep>b").count(2) == 1


def test_rare_characters_are_left_out_of_the_alphabet():
    texts = [*TEXTS, "ß"]
    assert train_unigram(texts, vocab_size=300).token_to_id("ß") is None
    assert train_unigram(texts, vocab_size=300, character_coverage=1.0).token_to_id("ß") is not None


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "texts has no word"),
        (["", "  "], {}, "texts has no word"),
        (TEXTS, {"vocab_size": 10}, "vocab_size must be at least [0-9]+ for"),
        (TEXTS, {"vocab_size": 100_000}, "vocab_size must be at most"),
        (TEXTS, {"character_coverage": 0.5}, r"character_coverage must be in \[0.98, 1\], got 0.5"),
        (TEXTS, {"shrinking_factor": 1.0}, "shrinking_factor must be in"),
        (TEXTS, {"n_sub_iterations": 0}, "n_sub_iterations must be in"),
        (TEXTS, {"seed_size": 10}, "seed_size must be at least 1000, got 10"),
        (TEXTS, {"control_symbols": ["<unk>"]}, "'<unk>' comes twice"),
        (["a\ud800"], {}, "lone surrogate"),
    ],
)
def test_training_refuses_what_it_cannot_do(texts, options, message):
    with pytest.raises(ValueError, match=message):
        train_unigram(texts, **{"vocab_size": 100, "normalizer": SentencePieceNormalizer(), **options})
