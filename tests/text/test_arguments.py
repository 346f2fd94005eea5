"""Arguments of the trainers of WordPiece and Unigram, and of tiktoken's files, that are of another kind."""

from __future__ import annotations

import base64

import pytest

from breadth.text import Unigram, WordPiece, load_tokenizer
from breadth.text.arguments import check_integer, check_iterable, check_number, reading

TEXTS = ["the thing that thinks, the other thing that sings"] * 5


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        (WordPiece, {"vocab_size": "a"}, TypeError, "vocab_size must be an integer, got 'a'"),
        (WordPiece, {"vocab_size": 50.5}, TypeError, r"vocab_size must be an integer, got 50.5"),
        (WordPiece, {"n_threads": 0}, ValueError, "n_threads must be at least 1, got 0"),
        (WordPiece, {"special_tokens": "<s>"}, TypeError, r"special_tokens is one str; give a sequence such as"),
        (Unigram, {"vocab_size": None}, TypeError, "vocab_size must be an integer, got None"),
        (Unigram, {"n_threads": -1}, ValueError, "n_threads must be at least 1, got -1"),
        (Unigram, {"normalizer": "nfc"}, TypeError, "normalizer must be a SentencePieceNormalizer or None, got 'nfc'"),
    ],
)
def test_options_of_training_that_cannot_be_are_named(kind, options, error, message):
    with pytest.raises(error, match=message):
        kind.train(TEXTS, **options)
    with pytest.raises(TypeError, match=r"texts must be an iterable of texts, .* got None"):
        kind.train(None)


def test_special_tokens_of_a_rank_file_have_ids(tmp_path):
    path = tmp_path / "ranks.tiktoken"
    path.write_bytes(b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)))
    with pytest.raises(TypeError, match="special_tokens must map each token to its id, got"):
        load_tokenizer(path, pattern="gpt2", special_tokens=["<s>"])
    with pytest.raises(ValueError, match="pattern 'gpt5' is none of gpt2"):
        load_tokenizer(path, pattern="gpt5")
    assert load_tokenizer(path, pattern="gpt2", special_tokens={"<s>": 256}).encode("a<s>") == [97, 256]


def test_checks_let_pass_what_is_right_and_name_what_is_not():
    check_integer("n", 3, 3)
    check_number("x", 0.5)
    check_iterable("texts", iter(["a"]), "texts")
    for value in (True, "3", None):
        with pytest.raises(TypeError, match=f"n must be an integer, got {value!r}"):
            check_integer("n", value, 1)
        with pytest.raises(TypeError, match=f"x must be a number, got {value!r}"):
            check_number("x", value)
    with pytest.raises(ValueError, match="n must be at least 4, got 3"):
        check_integer("n", 3, 4)
    with pytest.raises(TypeError, match="texts must be a list, got 'abc'"):
        check_iterable("texts", "abc", "a list")


def test_what_a_file_lacks_is_named_with_its_section():
    for act, message in [
        (lambda: {}["id"], "part is not as the format has it: 'id' is missing"),
        (lambda: len(5), "part is not as the format has it: object of type 'int' has no len"),
    ]:
        with pytest.raises(ValueError, match=message), reading("part"):
            act()
