"""WordPiece against a greedy search in plain Python, training against recounting, and what it refuses."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from breadth.text.model import Model
from breadth.text.wordpiece import WordPiece
from breadth.text.wordpiece_train import likelihood_vocab, train_wordpiece

VOCAB = ["[UNK]", "un", "##aff", "##able", "a", "##b", "##ab", "ab", "é", "##é", "un##", "#", "##"]


def model(**options) -> WordPiece:
    return WordPiece({token: i for i, token in enumerate(VOCAB)}, **options)


def encode(tokenizer: WordPiece, words: list[str]) -> tuple[list[int], list[int]]:
    parts = [word.encode() for word in words]
    data = np.frombuffer(b"".join(parts), dtype=np.uint8)
    ids, ends = tokenizer.encode_words(data, np.cumsum([len(part) for part in parts], dtype=np.int64), with_ends=True)
    assert ends is not None
    return ids.tolist(), ends.tolist()


def greedy(word: str, *, max_chars: int = 100) -> list[str]:
    """The definition, one slice at a time."""
    tokens, begin = [], 0
    if len(word) > max_chars:
        return ["[UNK]"]
    while begin < len(word):
        for end in range(len(word), begin, -1):
            piece = ("##" if begin else "") + word[begin:end]
            if piece in VOCAB:
                tokens.append(piece)
                begin = end
                break
        else:
            return ["[UNK]"]
    return tokens


def test_words_are_the_longest_pieces_from_the_left():
    rng = np.random.default_rng(0)
    words = ["unaffable", "unaff", "abab", "aab", "é", "aé", "##", "#", "un##", "x", "unx", "a" * 100, "a" * 101]
    words += ["".join(rng.choice(list("abunf#é"), size=rng.integers(1, 8))) for _ in range(2000)]
    expected = [VOCAB.index(token) for word in words for token in greedy(word)]
    assert encode(model(), words)[0] == expected
    assert isinstance(model(), Model)


def test_ends_are_where_the_bytes_of_each_id_end_and_an_unknown_word_ends_as_a_whole():
    ids, ends = encode(model(), ["aé", "xyz", "unaff"])
    assert [VOCAB[i] for i in ids] == ["a", "##é", "[UNK]", "un", "##aff"]
    assert ends == [1, 3, 6, 8, 11]


def test_no_words_no_ids_and_a_word_of_ten_megabytes_is_one_unknown():
    assert encode(model(), []) == ([], [])
    assert encode(model(), ["a" * 10_000_000])[0] == [0]
    assert encode(model(max_input_chars_per_word=10_000_000), ["a" + "b" * 9_999_999])[0] == [7, *[5] * 9_999_998]


def test_length_is_counted_in_characters_not_in_bytes():
    assert encode(model(max_input_chars_per_word=2), ["éé", "ééé"])[0] == [8, 9, 0]


def test_a_word_with_a_nul_byte_is_unknown_unless_a_piece_has_it():
    assert encode(model(), ["a\0"])[0] == [0]
    assert encode(WordPiece({"[UNK]": 0, "a": 1, "##\0": 2}), ["a\0"])[0] == [1, 2]


def test_json_keeps_everything():
    first = model(max_input_chars_per_word=7)
    second = WordPiece.from_json(first.to_json())
    assert second.to_json() == first.to_json()
    assert second.get_vocab() == first.get_vocab() and second.max_input_chars_per_word == 7
    assert second.id_to_token(1) == "un" and second.token_to_id("nowhere") is None


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        ({}, "vocab is empty"),
        ({"": 0}, "empty piece, id 0"),
        ({"a": 0, "b": 0}, "id 0 to 'a' and to 'b'"),
        ({"a": -1}, "at least 0, but piece 'a' has -1"),
    ],
)
def test_a_broken_vocabulary_is_refused(vocab, message):
    with pytest.raises(ValueError, match=message):
        WordPiece(vocab)


def test_an_unknown_word_without_an_unknown_token_is_an_error_that_shows_the_word():
    with pytest.raises(ValueError, match=r"'xyz' is unknown, and unk_token '\[UNK\]' is not in the vocabulary"):
        encode(WordPiece({"a": 0}), ["a", "xyz"])


def test_what_is_no_wordpiece_model_is_refused():
    with pytest.raises(ValueError, match="must be 'WordPiece', got 'BPE'"):
        WordPiece.from_json({"type": "BPE"})
    with pytest.raises(ValueError, match="needs 'vocab'"):
        WordPiece.from_json({"type": "WordPiece"})
    with pytest.raises(IndexError, match="id 99"):
        model().id_to_token(99)


def recounted(words: dict[str, int], vocab_size: int, min_frequency: int) -> list[str]:
    """Training by likelihood with everything counted anew before each merge."""
    pieces = sorted({word[0] for word in words}) + sorted({f"##{c}" for word in words for c in word[1:]})
    split = {word: [word[0], *(f"##{c}" for c in word[1:])] for word in words}
    while len(pieces) < vocab_size:
        single, pair = Counter(), Counter()
        for word, count in words.items():
            for symbol in split[word]:
                single[symbol] += count
            for both in zip(split[word], split[word][1:], strict=False):
                pair[both] += count
        some = {both: n for both, n in pair.items() if n >= min_frequency}
        if not some:
            break
        a, b = min(
            some, key=lambda ab: (-some[ab] / (single[ab[0]] * single[ab[1]]), -some[ab], *map(pieces.index, ab))
        )
        merged = a + b.removeprefix("##")
        if merged not in pieces:
            pieces.append(merged)
        for word, symbols in split.items():
            out: list[str] = []
            for symbol in symbols:
                if out and symbol == b and out[-1] == a:
                    out[-1] = merged
                else:
                    out.append(symbol)
            split[word] = out
    return pieces


@pytest.mark.parametrize("min_frequency", [1, 2, 5])
def test_likelihood_training_equals_counting_anew_before_each_merge(min_frequency):
    from breadth.text.bpe_train_words import count_corpus

    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list("abcde"), size=rng.integers(1, 7))) for _ in range(300)] + ["aaaaaa"] * 7

    def cut(texts):
        parts = [text.encode() for text in texts]
        return np.frombuffer(b"".join(parts), dtype=np.uint8), np.cumsum([len(part) for part in parts])

    vocab = likelihood_vocab(
        count_corpus(words, cut, n_threads=1), vocab_size=60, min_frequency=min_frequency, special_tokens=()
    )
    assert list(vocab) == recounted(Counter(words), 60, min_frequency)


@pytest.mark.parametrize("score", ["likelihood", "count"])
def test_a_trained_tokenizer_encodes_and_decodes(score):
    texts = ["the cat sat on the mat", "the hat of the cat", "Ça va? Très bien!"] * 3
    tokenizer = train_wordpiece(texts, vocab_size=70, score=score, n_threads=1)
    ids = tokenizer.encode("The cat's hat")
    assert ids[0] == tokenizer.token_to_id("[CLS]") and ids[-1] == tokenizer.token_to_id("[SEP]")
    assert tokenizer.decode(tokenizer.encode("the cat sat"), skip_special_tokens=True) == "the cat sat"
    assert tokenizer.vocab_size <= 70


def test_training_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="score must be 'likelihood' or 'count', got 'pmi'"):
        train_wordpiece(["a"], score="pmi")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no word"):
        train_wordpiece(["  "])
    with pytest.raises(ValueError, match=r"must hold '\[UNK\]'"):
        train_wordpiece(["a"], special_tokens=["[PAD]"])
    with pytest.raises(ValueError, match="vocab_size must be at least 8"):
        train_wordpiece(["ab cb"], vocab_size=6)
    with pytest.raises(ValueError, match="min_frequency must be at least 1, got 0"):
        train_wordpiece(["ab cb"], min_frequency=0)
    with pytest.raises(ValueError, match="limit_alphabet goes with score='count'"):
        train_wordpiece(["ab cb"], limit_alphabet=3)
    with pytest.raises(TypeError, match="texts is one str"):
        train_wordpiece("ab cb")
