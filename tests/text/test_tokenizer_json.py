"""`tokenizer.json`: what is malformed is named, with its place; folders with configuration and templates."""

from __future__ import annotations

import copy
import json

import pytest

from breadth.text.load import load_tokenizer
from breadth.text.tokenizer_json import load_tokenizer_json, tokenizer_from_json, tokenizer_to_json

from .test_tokenizer import byte_level

WHOLE = {
    "version": "1.0",
    "added_tokens": [
        {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
        for i, content in enumerate(["<s>", "</s>"])
    ],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
    "model": {
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {"<s>": 0, "</s>": 1, "[UNK]": 2, "un": 3, "##like": 4, "##ly": 5},
    },
}  # fmt: skip


def changed(**changes):
    return copy.deepcopy(WHOLE) | changes


def test_a_file_is_read_used_and_written_as_it_was():
    tokenizer = tokenizer_from_json(WHOLE)
    assert tokenizer.encode("Unlikely <s> xyz") == [3, 4, 5, 0, 2]
    assert tokenizer.decode([3, 4, 5, 1]) == "unlikely </s>"
    assert tokenizer_to_json(tokenizer) == WHOLE | {"truncation": None, "padding": None}


SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False}
PAIRS = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
PAD = {"pad_id": 0, "pad_token": "<pad>"}
TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "X", "type_id": 0}}], "pair": []}


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ([], "must be an object with a 'model' object"),
        ({}, "must be an object with a 'model' object"),
        (changed(model={"type": "WordLevel"}), "model.type must be BPE, WordPiece or Unigram, got 'WordLevel'"),
        (changed(model={"vocab": {}}), "model.type must be BPE, WordPiece or Unigram, got None"),
        (changed(model={"type": "BPE", "vocab": {"a": 0}}), "must have 'merges'"),
        (changed(model={"type": "BPE", "vocab": {}, "merges": []}), "vocab"),
        (changed(model={"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}), "ab"),
        (changed(model={"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b", "a b"]}), "merge"),
        (changed(normalizer={"type": "Rot13"}), "normalizer.type must be one of Lowercase, .*NFC.*, got 'Rot13'"),
        (changed(normalizer=[]), "normalizer.type must be one of"),
        (
            changed(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Rot13"}]}),
            r"normalizer.normalizers\[1\].type must be one of .* got 'Rot13'",
        ),
        (changed(pre_tokenizer={"type": "Words"}), "pre_tokenizer.type must be one of ByteLevel, .* got 'Words'"),
        (changed(pre_tokenizer=SPLIT | {"pattern": "x"}), r"pre_tokenizer.pattern must be .*String"),
        (changed(pre_tokenizer=SPLIT | {"behavior": "removed"}), "pre_tokenizer.behavior must be one of Removed"),
        (changed(pre_tokenizer=SPLIT | {"pattern": {"Regex": "("}}), "is not a regular expression"),
        (changed(pre_tokenizer={"type": "Split"}), r"pre_tokenizer \(Split\): .*pattern"),
        (changed(decoder={"type": "CTC"}), "decoder.type must be one of .* got 'CTC'"),
        (changed(post_processor=TEMPLATE), "special_tokens lacks 'X', which the templates name; it has none"),
        (changed(added_tokens=[{"id": 7}]), r"added_tokens\[0\] must have 'content' and 'id'"),
        (changed(added_tokens=[{"id": 7, "content": "un"}]), "added token 'un' has id 7, but .* as 3"),
        (changed(truncation={"max_length": 3, "strategy": "Longest"}), "truncation has an unknown strategy"),
        (changed(truncation={}), "truncation is not as the format has it: 'max_length' is missing"),
        (changed(truncation={"max_length": "3"}), "truncation is not .*: max_length must be an integer, got '3'"),
        (changed(truncation=5), "truncation is not as the format has it"),
        (changed(padding={"pad_id": 0}), "padding is not as the format has it: 'pad_token' is missing"),
        (changed(padding=PAD | {"direction": "Up"}), "padding has an unknown strategy or direction"),
        (changed(padding=PAD | {"strategy": "Longest"}), "padding has an unknown strategy or direction: 'Longest'"),
        (changed(padding=PAD | {"pad_id": "0"}), "padding is not .*: pad_id must be an integer, got '0'"),
        (changed(normalizer={"type": "Prepend", "prepend": 5}), "normalizer.prepend must be a string, got 5"),
        (changed(pre_tokenizer={"type": "Sequence", "pretokenizers": None}), "pre_tokenizer is not as the format"),
        (changed(post_processor=TEMPLATE | {"single": [{"Sequence": {}}]}), "post_processor is not .*'id' is missing"),
        (
            changed(post_processor=TEMPLATE | {"single": [{"Sequence": {"id": "AB"}}]}),
            r"post_processor.single\[0\].Sequence.id must be A or B, got 'AB'",
        ),
        (changed(added_tokens=5), "added_tokens is not as the format has it"),
        (changed(added_tokens=[{"id": "7", "content": "x"}]), r"added_tokens\[0\] must have 'content' and 'id'"),
        (changed(added_tokens=[{"id": 1 << 40, "content": "x"}]), r"added token 'x' must be less than 2\^31 - 1"),
        (changed(model=PAIRS | {"merges": None}), "model is not as the format has it"),
        (changed(model=PAIRS | {"merges": [[1, 2]]}), "model is not as the format has it"),
        (changed(model=PAIRS | {"dropout": "much"}), "model is not as the format has it"),
        (changed(model={"type": "Unigram", "vocab": [["a", 0.0], "ab"]}), r"vocab\[1\] must be a list of piece and"),
        (changed(model={"type": "Unigram", "vocab": None}), "model is not as the format has it"),
        (changed(model={"type": "WordPiece", "vocab": ["a"]}), "model is not as the format has it"),
        (changed(model={"type": "WordPiece", "vocab": {"a": 1.5}}), "ids must be integers .* piece 'a' has 1.5"),
    ],
)  # fmt: skip
def test_what_is_malformed_or_unknown_is_named_with_its_place(obj, message):
    with pytest.raises(ValueError, match=message):
        tokenizer_from_json(obj)


def test_a_corrupt_or_truncated_file_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    text = json.dumps(WHOLE)
    for content in (text[:-20].encode(), b"", b"]", b"\x00", b"\xe1\xc9 no text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"tokenizer.json is not a whole JSON file: .* fetch it again"):
            load_tokenizer_json(path)
    path.write_text(text, encoding="utf-8-sig")  # a byte order mark is no damage
    assert load_tokenizer(path).encode("un") == tokenizer_from_json(WHOLE).encode("un")
    path.write_text(json.dumps(changed(decoder={"type": "CTC"})))
    with pytest.raises(ValueError, match=r"tokenizer.json: decoder.type"):
        load_tokenizer(path)


def test_a_byte_level_model_that_nothing_says_is_byte_level_cannot_be_written():
    with pytest.raises(ValueError, match="by a ByteLevel pre-tokenizer or normalizer, which this tokenizer lacks"):
        tokenizer_to_json(byte_level().replace(pre_tokenizer=None))


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.json"
    byte_level().save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="ByteLevel"):
        byte_level().replace(pre_tokenizer=None).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.json"]


def folder(tmp_path, config, **files):
    (tmp_path / "tokenizer.json").write_text(json.dumps(WHOLE))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (tmp_path / name.replace("__", ".")).write_text(content)
    return load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("config", "ids"),
    [
        ({}, [3]),
        ({"add_bos_token": True}, [0, 3]),
        ({"add_bos_token": True, "add_eos_token": True}, [0, 3, 1]),
        ({"add_bos_token": False, "add_eos_token": True}, [3, 1]),
    ],
)
def test_the_configuration_says_whether_a_text_begins_and_ends_with_special_tokens(tmp_path, config, ids):
    special = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}}
    tokenizer = folder(tmp_path, config | special)
    assert tokenizer.encode("un") == ids
    assert tokenizer.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    tokenizer.save(tmp_path / "again")
    assert load_tokenizer(tmp_path / "again").encode("un") == ids


def test_a_chat_template_is_read_from_its_own_file_first_and_by_name(tmp_path):
    assert folder(tmp_path, {"chat_template": "inside"}).chat_template == "inside"
    named = [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]
    assert folder(tmp_path, {"chat_template": named}).chat_template == "d"
    with pytest.raises(ValueError, match="must have one named 'default', got rag"):
        folder(tmp_path, {"chat_template": named[:1]})
    assert folder(tmp_path, {"chat_template": "inside"}, chat_template__jinja="file").chat_template == "file"


def test_a_configuration_that_contradicts_itself_is_refused(tmp_path):
    with pytest.raises(ValueError, match="add_bos_token but no bos_token"):
        folder(tmp_path, {"add_bos_token": True})
    with pytest.raises(ValueError, match="special token '<nowhere>' is not in the vocabulary"):
        folder(tmp_path, {"add_bos_token": True, "bos_token": "<nowhere>"})
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer_config.json is not a whole JSON file"):
        load_tokenizer(tmp_path)
