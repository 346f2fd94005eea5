"""`breadth model`: info, diff."""

from __future__ import annotations

import json

import pytest

from breadth.cli.main import main
from breadth.lm.accounting import parameters
from breadth.lm.activation_memory import inference_activation_bytes, training_activation_bytes
from breadth.lm.presets import PRESETS, preset

QWEN = {
    "model_type": "qwen3", "vocab_size": 151_936, "hidden_size": 1024, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "num_hidden_layers": 28,
    "max_position_embeddings": 40_960, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "tie_word_embeddings": True,
    "hidden_act": "silu",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(QWEN), encoding="utf-8")
    return tmp_path


def test_info_sets_models_side_by_side(capsys):
    assert main(["model", "info", "gpt-oss-20b", "gpt2-xl"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert "cache bytes/token" in head
    assert first.startswith("gpt-oss-20b") and "20.91 G" in first and "41.83 G" in first
    assert second.startswith("gpt2-xl") and "1.558 G" in second
    assert main(["model", "info", "gpt2-xl", "--length", "1", "-o", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)["gpt2-xl"]
    assert facts["parameters"] == parameters(preset("gpt2-xl"))
    assert facts["cache bytes"] == facts["cache bytes/token"]


def test_info_has_bytes_of_activations_by_texts_and_format(capsys):
    def facts(*options):
        assert main(["model", "info", "gpt-oss-20b", "--length", "2048", "-o", "json", *options]) == 0
        return json.loads(capsys.readouterr().out)["gpt-oss-20b"]

    plain, many, wide = facts(), facts("--batch", "8"), facts("--numbers", "fp32")
    config = preset("gpt-oss-20b")
    assert plain["prefill bytes"] == inference_activation_bytes(config, 2048)
    assert plain["step bytes"] == inference_activation_bytes(config, 1, past=2047)
    assert plain["training bytes"] == training_activation_bytes(config, 2048)
    for name in ("cache bytes", "prefill bytes", "step bytes", "training bytes"):
        assert many[name] == 8 * plain[name]
    assert wide["prefill bytes"] == 2 * plain["prefill bytes"]
    assert wide["cache bytes/token"] == 2 * plain["cache bytes/token"]
    assert all(many[name] == plain[name] for name in ("parameters", "bf16 bytes", "mxfp4 bytes", "FLOPs/token"))


def test_info_without_a_name_shows_every_preset(capsys):
    assert main(["model", "info", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == PRESETS.keys()


def test_a_checkpoints_folder_and_its_config_are_read(folder, capsys):
    for name in (folder, folder / "config.json"):
        assert main(["model", "diff", str(name), "qwen3-0.6b"]) == 0
        assert capsys.readouterr().out == "no difference\n"


def test_diff_shows_only_what_differs(capsys):
    assert main(["model", "diff", "gpt-oss-20b", "gpt-oss-120b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [["layers", "24", "36"], ["moe.n_experts", "32", "128"]]
    assert main(["model", "diff", "gpt-oss-20b", "gpt2-xl", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["moe.top_k"] == [4, None]


def test_bad_input_is_named(tmp_path, capsys):
    assert main(["model", "info", "gpt5"]) == 2
    assert "gpt5: no preset, config.json or folder with one; the presets are gpt2-xl" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert main(["model", "info", str(tmp_path)]) == 2
    assert "config.json is not JSON" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"model_type": "gpt5"}', encoding="utf-8")
    assert main(["model", "info", str(tmp_path)]) == 2
    assert "model_type 'gpt5', which is not known" in capsys.readouterr().err
    assert main(["model", "info", "gpt2-xl", "--length", "0"]) == 2
    assert "--length must be >= 1, got 0" in capsys.readouterr().err
    assert main(["model", "info", "gpt2-xl", "--batch", "0"]) == 2
    assert "--batch must be >= 1, got 0" in capsys.readouterr().err
