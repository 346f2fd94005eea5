"""`breadth tokenizer`: train, encode, decode, info."""

from __future__ import annotations

import io
import json

import pytest

from breadth.cli.main import main

TEXT = "the thing that thinks, the other thing that sings: naïve façades\n" * 30


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def trained(text, tmp_path, capsys):
    path = tmp_path / "t.json"
    command = ["tokenizer", "train", str(text), "-o", str(path), "--vocab-size", "280", "--special", "<|end|>"]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{path}: 280 tokens\n"
    return path


def test_ids_that_encode_prints_decode_reads(trained, capsys, monkeypatch):
    assert main(["tokenizer", "encode", str(trained), "the naïve<|end|>"]) == 0
    ids = capsys.readouterr().out
    assert main(["tokenizer", "decode", str(trained), *ids.split()]) == 0
    assert capsys.readouterr().out == "the naïve<|end|>\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(ids))
    assert main(["tokenizer", "decode", str(trained), "--no-special-tokens"]) == 0
    assert capsys.readouterr().out == "the naïve\n"


def test_encode_reads_standard_input_and_shows_tokens_with_their_characters(trained, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("the ï"))
    assert main(["tokenizer", "encode", str(trained), "-o", "json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["offsets"][0][0] == 0 and result["offsets"][-1] == [4, 5]
    assert len(result["ids"]) == len(result["tokens"]) == len(result["offsets"])
    assert main(["tokenizer", "encode", str(trained), "the", "-o", "table"]) == 0
    assert "0:" in capsys.readouterr().out


def test_info_names_the_parts_and_measures_compression(trained, text, capsys):
    assert main(["tokenizer", "info", str(trained), str(text), "-o", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"] == "BPE" and facts["vocab_size"] == 280
    assert facts["special_tokens"] == ["<|end|>"]
    assert facts["bytes_per_token"] > 1.5
    assert main(["tokenizer", "info", str(trained)]) == 0
    assert "ByteLevel" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "name", "size"), [("wordpiece", "t.json", "60"), ("unigram", "t.model", "27")])
def test_other_kinds_are_trained_and_round_trip_words(kind, name, size, text, tmp_path, capsys):
    path = tmp_path / name
    assert main(["tokenizer", "train", str(text), "-o", str(path), "--kind", kind, "--vocab-size", size]) == 0
    assert main(["tokenizer", "encode", str(path), "the thing"]) == 0
    ids = capsys.readouterr().out.splitlines()[-1].split()
    assert main(["tokenizer", "decode", str(path), *ids, "--no-special-tokens"]) == 0
    assert capsys.readouterr().out == "the thing\n"


def test_standard_input_that_is_no_text_is_named(trained, tmp_path, capsys, monkeypatch):
    for arguments in (["encode", str(trained)], ["train", "-", "-o", str(tmp_path / "x.json")]):
        monkeypatch.setattr("sys.stdin", io.StringIO("a\udcffb"))  # the byte 0xff as Python reads it
        assert main(["tokenizer", *arguments]) == 2
        assert "standard input is not utf-8 text: byte 0xff at character 1; convert" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_mistakes_end_with_one_line_and_status_two(trained, tmp_path, capsys):
    for arguments, message in [
        (["encode", str(tmp_path / "no.json"), "x"], "there is no"),
        (["decode", str(trained), "999"], "ids has 999 at 0"),
        (["train", "-o", str(tmp_path / "x.json")], "files must name at least one text"),
        (["train", str(trained), "--vocabsize", "300", "-o", "x.json"], "there is no option --vocabsize; --help lists"),
        (["info", str(trained), "--form", "json"], "there is no option --form; --help lists them"),
        (["train", str(trained), "-o", str(tmp_path / "x.txt")], "--output must end in .json"),
        (
            ["train", str(trained), "-o", str(tmp_path / "x.json"), "--kind", "unigram", "--pattern", "gpt2"],
            "--pattern",
        ),
        (["train", str(tmp_path / "no.txt"), "-o", str(tmp_path / "x.json")], "no.txt"),
    ]:
        assert main(["tokenizer", *arguments]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1") * 10)
    assert main(["tokenizer", "train", str(tmp_path / "latin.txt"), "-o", str(tmp_path / "x.json")]) == 2
    assert "name its encoding with --encoding" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "name"), [("unigram", "t.json"), ("wordpiece", "t.tiktoken"), ("bpe", "t.model")])
def test_a_format_that_cannot_hold_the_kind_is_refused_before_training(kind, name, tmp_path, capsys):
    absent = tmp_path / "never-read.txt"
    assert main(["tokenizer", "train", str(absent), "--kind", kind, "-o", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert f"--kind {kind} is written as" in said
    assert "never-read" not in said
