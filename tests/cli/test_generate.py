"""`breadth generate` on a checkpoint in a folder."""

from __future__ import annotations

import inspect
import io
import json
from dataclasses import fields, replace

import pytest
import torch

from breadth.cli.generate import generate as command
from breadth.cli.main import main
from breadth.lm import LM, Options, generate, load, save, stream, tiny
from breadth.lm.config import Layer, LMConfig, Rope
from breadth.text import BPE, load_tokenizer

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm")
    torch.manual_seed(0)
    config = LMConfig(
        vocab_size=280, d_model=64, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=64, layers=2 * (Layer(),),
        ropes=(Rope(16),), context_length=64,
    )  # fmt: skip
    save(LM(config), path)
    tokenizer = BPE.train(["one two three four five six seven eight nine ten"] * 3, vocab_size=280, pattern="gpt2")
    tokenizer.replace(chat_template=TEMPLATE).save(path)
    return path


def run(capsys, *arguments):
    assert main(["generate", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_text_comes_as_generate_gives_it(folder, capsys):
    model, tokenizer = load(folder), load_tokenizer(folder)
    ids = tokenizer.encode("one two")
    options = {"temperature": 0.9, "top_k": 40, "repetition_penalty": 1.2, "seed": 3, "max_new_tokens": 8}
    out = generate(model, [ids], tokenizer=tokenizer, **options)
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert run(capsys, folder, "one two", *given) == out.texts[0] + "\n"
    (row,) = json.loads(run(capsys, folder, "one two", *given, "-o", "json"))
    assert (row["ids"], row["finish"]) == (out.ids[0], "length")
    assert row["logprobs"] == pytest.approx(out.logprobs[0], rel=1e-5)


def test_beams_samples_and_other_models_take_part(folder, capsys):
    rows = json.loads(run(capsys, folder, "one", "--num-beams", 3, "--num-return-sequences", 2, "-o", "json",
                          "--max-new-tokens", 4))  # fmt: skip
    assert len(rows) == 2 and all(len(row["ids"]) == 4 for row in rows)
    greedy = run(capsys, folder, "one", "--max-new-tokens", 6)
    assert run(capsys, folder, "one", "--max-new-tokens", 6, "--draft", folder) == greedy
    assert run(capsys, folder, "one", "--max-new-tokens", 6, "--amateur", folder)


def test_a_conversation_is_written_with_the_template(folder, capsys):
    plain = run(capsys, folder, "<system>Be brief.<user>one<a>", "--max-new-tokens", 5)
    assert run(capsys, folder, "one", "--chat", "--system", "Be brief.", "--max-new-tokens", 5) == plain


def test_the_checkpoints_own_options_hold_unless_left_aside(folder, capsys):
    file = folder / "generation_config.json"
    file.write_text(json.dumps({"max_new_tokens": 3}), encoding="utf-8")
    try:
        (row,) = json.loads(run(capsys, folder, "one", "-o", "json"))
        assert len(row["ids"]) == 3
        (row,) = json.loads(run(capsys, folder, "one", "-o", "json", "--plain"))
        assert len(row["ids"]) == 64 - len(load_tokenizer(folder).encode("one"))
    finally:
        file.unlink()


def test_every_option_of_decoding_can_be_given():
    given = set(inspect.signature(command).parameters) | {"stop_strings"}
    in_code = {"steps", "allowed"}  # these are functions
    assert {field.name for field in fields(Options)} - given == in_code


def test_an_interrupt_leaves_what_was_printed_and_status_130(folder, capsys, monkeypatch):
    whole = run(capsys, folder, "one", "--max-new-tokens", 8)

    def interrupted(*args, **kwargs):
        for i, piece in enumerate(stream(*args, **kwargs)):
            if i == 4:
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr("breadth.lm.generation.stream", interrupted)
    assert main(["generate", str(folder), "one", "--max-new-tokens", "8"]) == 130
    printed = capsys.readouterr()
    assert printed.out and whole.startswith(printed.out)
    assert printed.err.endswith("interrupted\n")


def test_an_encoder_decoder_reads_the_prompt_and_answers(folder, tmp_path, capsys):
    config = tiny("t5-base")
    config = replace(config, vocab_size=280, encoder=replace(config.encoder, vocab_size=280))
    torch.manual_seed(0)
    save(LM(config), tmp_path)
    tokenizer = load_tokenizer(folder)
    tokenizer.save(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    del told["decoder_start_token_id"]
    (tmp_path / "config.json").write_text(json.dumps(told))
    assert main(["generate", str(tmp_path), "one two"]) == 2
    assert "lacks decoder_start_token_id" in capsys.readouterr().err
    (tmp_path / "generation_config.json").write_text('{"decoder_start_token_id": 3}')
    (row,) = json.loads(run(capsys, tmp_path, "one two", "--max-new-tokens", 4, "-o", "json"))
    expected = generate(load(tmp_path), [3], source=[tokenizer.encode("one two")], max_new_tokens=4)
    assert row["ids"] == expected.ids[0]


def test_ids_without_a_token_are_told_behind_the_text(folder, tmp_path, capsys):
    save(load(folder), tmp_path)
    BPE.train(["one two"], vocab_size=257).save(tmp_path / "tokenizer.json")  # of 280 rows
    model = load(tmp_path)
    model.embed.weight.data[:257] *= 1e-3  # what has a token is never the likeliest
    model.head.weight.data[:257] *= 1e-3
    save(model, tmp_path)
    assert main(["generate", str(tmp_path), "one", "--max-new-tokens", "3"]) == 0
    printed = capsys.readouterr()
    assert "\ufffd" in printed.out
    assert printed.err.count("\n") == 1 and printed.err.startswith("breadth: warning: the model chose an id without")


def test_the_prompt_may_come_from_standard_input(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("one two"))
    assert run(capsys, folder, "-", "--max-new-tokens", 4) == run(capsys, folder, "one two", "--max-new-tokens", 4)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int4"])
def test_weights_may_be_smaller(folder, capsys, dtype):
    assert run(capsys, folder, "one", "--dtype", dtype, "--max-new-tokens", 4).endswith("\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "one"], "model nowhere must be a folder with config.json"),
        (["FOLDER", "one", "--system", "x"], "--system belongs to --chat"),
        (["FOLDER", "one", "--top-p", "2"], r"top_p must be in [0, 1], got 2"),
        (["FOLDER", "one", "--draft", "nowhere"], "--draft nowhere must be a folder"),
        (["FOLDER", "one", "--device", "banana"], "device must be one that torch has here, got 'banana'"),
        (["FOLDER", "one", "--draft-tokens", "3"], "draft_tokens=3 needs draft, a second model"),
        (["FOLDER", ""], "ids of row 0 are empty"),
    ],
)
def test_bad_input_is_named(folder, capsys, arguments, words):
    assert main(["generate", *(str(folder) if a == "FOLDER" else a for a in arguments)]) == 2
    assert words in capsys.readouterr().err
