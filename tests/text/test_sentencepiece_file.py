"""SentencePiece files without sentencepiece: written and read again, cut short, and bent."""

from __future__ import annotations

import pytest

from breadth.text.bpe import BPE
from breadth.text.sentencepiece_file import (
    SentencePieceModel,
    load_sentencepiece,
    parse_sentencepiece,
    save_sentencepiece,
    serialise_sentencepiece,
)
from breadth.text.tokenizer import Tokenizer

MODEL = SentencePieceModel(
    [("<unk>", 0.0), ("<s>", 0.0), ("▁", -1.0), ("a", -2.0), ("▁a", -1.5), ("b", -3.0), ("<sep>", 0.0)],
    ["unknown", "control", "normal", "normal", "normal", "normal", "user_defined"],
    special={"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "<pad>"},
    unk_surface="?",
)


@pytest.mark.parametrize("model_type", [1, 2])
def test_a_model_is_the_same_after_writing_and_reading(tmp_path, model_type):
    model = MODEL._replace(model_type=model_type)
    assert parse_sentencepiece(serialise_sentencepiece(model)) == model
    path = tmp_path / "a.model"
    path.write_bytes(serialise_sentencepiece(model))
    tokenizer = load_sentencepiece(path)
    assert tokenizer.encode("a ab<sep>xy") == [4, 4, 5, 6, 0]
    assert tokenizer.decode([1, 4, 4, 5, 6, 0]) == "a ab<sep>?"
    save_sentencepiece(tokenizer, path)
    assert parse_sentencepiece(path.read_bytes()) == model
    assert [each.name for each in tmp_path.iterdir()] == ["a.model"]


def test_a_file_cut_short_anywhere_is_an_error_that_names_it(tmp_path):
    whole = serialise_sentencepiece(MODEL)
    # the last field's last value is a flag that may be absent, so the file counts as whole only without a cut before it
    for size in range(len(whole) - 2):
        path = tmp_path / "cut.model"
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut\.model "):
            load_sentencepiece(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no pieces"),
        (b"{}", "has the key|truncated"),
        (b"\xff" * 20, "64 bits"),
        (serialise_sentencepiece(MODEL._replace(model_type=3)), "is a word model"),
        (serialise_sentencepiece(MODEL._replace(types=["control", *MODEL.types[1:]])), "no piece of type unknown"),
        (serialise_sentencepiece(MODEL._replace(pieces=[*MODEL.pieces[:-1], ("a", 0.0)])), "'a' twice"),
        (serialise_sentencepiece(MODEL._replace(charsmap=b"abc")), "charsmap of 3 bytes"),
        (serialise_sentencepiece(MODEL._replace(pieces=[*MODEL.pieces[:-1], ("c", float("nan"))])), "must be finite"),
    ],
)
def test_a_bent_file_is_an_error_that_says_what_is_wrong(tmp_path, data, message):
    path = tmp_path / "bent.model"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        load_sentencepiece(path)


def test_a_tokenizer_that_the_format_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got BPE; save this tokenizer as \.json"):
        save_sentencepiece(Tokenizer(BPE({"a": 0}, [])), tmp_path / "a.model")
    path = tmp_path / "b.model"
    path.write_bytes(serialise_sentencepiece(MODEL))
    tokenizer = load_sentencepiece(path).replace(pre_tokenizer=None)
    with pytest.raises(ValueError, match="SentencePiece's own normalisation"):
        save_sentencepiece(tokenizer, path)
    assert path.read_bytes() == serialise_sentencepiece(MODEL)  # the old file stays
