"""Spellings, formats and faults of checkpoints: each is the same model as the plain one, or an error that names it."""

from __future__ import annotations

import json

import pytest
import torch

import breadth.lm
from breadth.lm.hf.families import FAMILIES, read_config
from breadth.lm.hf.load import configuration
from breadth.quant.fp8 import decode_fp8, encode_fp8
from breadth.quant.mxfp4 import decode_mxfp4, encode_mxfp4
from tests.lm.hf.rewritten import rewrite, settings_of, tensors_of
from tests.lm.hf.tiny import VOCAB

IDS = torch.randint(3, VOCAB, (2, 30), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def logits(folder, **options):
    model = breadth.lm.load(folder, **options)
    return model(IDS, **({} if model.config.encoder is None else {"source": IDS}))


def rename(*pairs):
    def change(held):
        out = {}
        for name, tensor in held.items():
            for old, new in pairs:
                name = name.replace(old, new)
            out[name] = tensor
        return out

    return change


def older(told, *, keep=()):
    """`rope_theta` and `rope_scaling`, as before transformers 5."""
    parameters = dict(told.pop("rope_parameters"))
    theta = parameters.pop("rope_theta")
    kind = parameters.pop("rope_type")
    scaling = None if kind == "default" else {"type": kind, **parameters}
    return told | {"rope_theta": theta, "rope_scaling": scaling}


@pytest.mark.parametrize(
    "name",
    [
        "llama",
        "llama3.1",
        "mistral",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "olmo2",
        "deepseek_v3",
        "kimi_k2",
        "llama4",
        "gpt_oss",
        "gemma2",
        "falcon",
    ],
)
def test_the_older_spelling_of_rotary_settings_says_the_same(peer, name):
    told = settings_of(peer(name).folder)
    assert "rope_parameters" in told
    assert read_config(older(dict(told))) == read_config(told)


def test_gemma_3s_older_spelling_says_the_same(peer):
    told = settings_of(peer("gemma3").folder)
    both = dict(told)
    parameters = both.pop("rope_parameters")
    del both["layer_types"]
    both |= {
        "rope_theta": parameters["full_attention"]["rope_theta"],
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "rope_local_base_freq": parameters["sliding_attention"]["rope_theta"],
        "sliding_window_pattern": 6,
    }
    assert read_config(both) == read_config(told)


def test_llama_2_without_rotary_settings_has_the_default(peer):
    told = settings_of(peer("llama").folder)
    bare = {key: value for key, value in told.items() if key not in ("rope_parameters", "head_dim", "attention_bias")}
    assert read_config(bare) == read_config(told)


def test_kimi_k2_is_deepseek_by_another_name(peer):
    told = settings_of(peer("kimi_k2").folder)
    assert read_config(told | {"model_type": "kimi_k2"}) == read_config(told)


def test_a_layer_without_rotation_is_zero_in_no_rope_layers(peer):
    told = settings_of(peer("smollm3").folder)
    _, config = read_config(told | {"no_rope_layers": [0, 1, 1, 0, 1]})
    assert [layer.rope for layer in config.layers] == [None, 0, 0, None, 0]
    _, config = read_config({key: value for key, value in told.items() if key != "no_rope_layers"})
    assert [layer.rope for layer in config.layers] == [0, 0, 0, None, 0]


def test_older_berts_call_gains_gamma_and_biases_beta(peer, tmp_path):
    folder = peer("bert").folder

    def change(held):
        held = rename(("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))(held)
        held["bert.embeddings.position_ids"] = torch.arange(256)[None]
        held["cls.predictions.decoder.weight"] = held["bert.embeddings.word_embeddings.weight"]
        held["cls.predictions.decoder.bias"] = held["cls.predictions.bias"]
        held["bert.pooler.dense.weight"], held["cls.seq_relationship.bias"] = torch.ones(64, 64), torch.ones(2)
        return held

    assert torch.equal(logits(rewrite(folder, tmp_path, change)), logits(folder))


def test_gpt_2_comes_without_a_prefix_and_with_masks(peer, tmp_path):
    folder = peer("gpt2").folder

    def change(held):
        held = rename(("transformer.", ""))(held)
        for i in range(3):
            held[f"h.{i}.attn.bias"], held[f"h.{i}.attn.masked_bias"] = torch.ones(1, 1, 8, 8), torch.tensor(-1e4)
        return held

    assert torch.equal(logits(rewrite(folder, tmp_path, change)), logits(folder))


@pytest.mark.parametrize("head", ["tied", "own"])
def test_a_head_is_tied_if_it_is_the_embedding_whatever_the_settings_say(peer, tmp_path, head):
    folder = peer("llama3.1").folder
    held = tensors_of(folder)
    assert "lm_head.weight" not in held
    own = held["model.embed_tokens.weight"] * (1.0 if head == "tied" else 2.0)
    to = rewrite(folder, tmp_path, lambda held: held | {"lm_head.weight": own})
    model = breadth.lm.load(to)
    assert model.config.tied == (head == "tied")
    assert (model.head.weight is model.embed.weight) == (head == "tied")
    assert torch.equal(logits(to), logits(folder) * (1.0 if head == "tied" else 2.0))


def test_t5s_embedding_may_be_there_three_times(peer, tmp_path):
    folder = peer("t5").folder

    def change(held):
        copies = {f"{stack}.embed_tokens.weight": held["shared.weight"] for stack in ("encoder", "decoder")}
        return held | copies | {"lm_head.weight": held["shared.weight"]}

    assert torch.equal(logits(rewrite(folder, tmp_path, change)), logits(folder))


def test_deepseeks_layers_for_further_tokens_are_left_out(peer, tmp_path):
    folder = peer("deepseek_v3").folder
    extra = {f"model.layers.4.{name}.weight": torch.ones(3) for name in ("enorm", "eh_proj", "shared_head.norm")}
    to = rewrite(folder, tmp_path, lambda held: held | extra, lambda told: told | {"num_nextn_predict_layers": 1})
    assert torch.equal(logits(to), logits(folder))
    breadth.lm.save(breadth.lm.load(to), tmp_path / "saved")
    assert settings_of(tmp_path / "saved")["num_nextn_predict_layers"] == 0


@pytest.mark.parametrize("name", ["gemma3", "llama4"])
@pytest.mark.parametrize("inside", ["language_model.model.", "model.language_model."])
def test_of_a_model_that_sees_the_text_part_is_read(peer, tmp_path, name, inside):
    folder = peer(name).folder

    def change(held):
        held = rename(("model.", inside))(held)
        if inside.startswith("language_model"):
            held = rename(("lm_head.", "language_model.lm_head."))(held)
        return held | {"vision_tower.x": torch.ones(2), "multi_modal_projector.y": torch.ones(2)}

    def wrap(told):
        return {"model_type": name, "text_config": told, "vision_config": {}}

    assert torch.equal(logits(rewrite(folder, tmp_path, change, wrap)), logits(folder))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gpt_oss_experts_come_in_four_bits(peer, tmp_path, dtype):
    folder = peer("gpt_oss").folder
    plain, packed = {}, {}
    for key, tensor in tensors_of(folder).items():
        if key.endswith(("gate_up_proj", "down_proj")):
            blocks, scales = encode_mxfp4(tensor.transpose(1, 2))
            packed |= {f"{key}_blocks": blocks, f"{key}_scales": scales}
            plain[key] = decode_mxfp4(blocks, scales, dtype=torch.float32).transpose(1, 2)
        else:
            plain[key] = packed[key] = tensor
    rewrite(folder, tmp_path / "plain", lambda _: plain)
    quantised = {"quantization_config": {"quant_method": "mxfp4"}}
    rewrite(folder, tmp_path / "packed", lambda _: packed, lambda told: told | quantised)
    assert torch.equal(logits(tmp_path / "packed", dtype=dtype), logits(tmp_path / "plain", dtype=dtype))
    assert "quantization_config" not in saved(tmp_path)

    del packed["model.layers.1.mlp.experts.down_proj_scales"]
    rewrite(folder, tmp_path / "torn", lambda _: packed, lambda told: told | quantised)
    with pytest.raises(ValueError, match=r"lacks the tensor 'model\.layers\.1\.mlp\.experts\.down_proj_scales'"):
        breadth.lm.load(tmp_path / "torn")


def saved(root):
    breadth.lm.save(breadth.lm.load(root / "packed"), root / "saved")
    return settings_of(root / "saved")


def test_deepseeks_matrices_come_in_eight_bits(peer, tmp_path):
    folder, block = peer("deepseek_v3").folder, (16, 24)
    plain, packed = {}, {}
    for key, tensor in tensors_of(folder).items():
        if ".layers." in key and tensor.ndim == 2 and "gate.weight" not in key:
            weight, scale = encode_fp8(tensor, block=block)
            packed |= {key: weight, f"{key}_scale_inv": scale}
            plain[key] = decode_fp8(weight, scale, dtype=torch.float32, block=block)
        else:
            plain[key] = packed[key] = tensor
    rewrite(folder, tmp_path / "plain", lambda _: plain)
    quantised = {"quantization_config": {"quant_method": "fp8", "weight_block_size": list(block)}}
    rewrite(folder, tmp_path / "packed", lambda _: packed, lambda told: told | quantised)
    assert torch.equal(logits(tmp_path / "packed"), logits(tmp_path / "plain"))
    assert "quantization_config" not in saved(tmp_path)

    quantised = {"quantization_config": {"quant_method": "fp8"}}
    rewrite(folder, tmp_path / "torn", lambda _: packed, lambda told: told | quantised)
    with pytest.raises(ValueError, match=r"blocks of 128 x 128"):
        breadth.lm.load(tmp_path / "torn")


# ---- faults


def test_a_missing_tensor_is_named(peer, tmp_path):
    name = "model.layers.2.self_attn.k_proj.weight"
    to = rewrite(peer("llama").folder, tmp_path, lambda held: {k: v for k, v in held.items() if k != name})
    with pytest.raises(ValueError, match=rf"lacks the tensor '{name}', of shape \(32, 64\)"):
        breadth.lm.load(to)


@pytest.mark.parametrize("name", ["model.layers.4.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias", "odd"])
def test_a_tensor_too_many_is_named(peer, tmp_path, name):
    to = rewrite(peer("llama").folder, tmp_path, lambda held: held | {name: torch.ones(3)})
    with pytest.raises(ValueError, match=f"holds the tensor '{name}', which"):
        breadth.lm.load(to)


def test_a_shape_that_does_not_fit_the_settings_is_named(peer, tmp_path):
    to = rewrite(peer("llama").folder, tmp_path, settings=lambda told: told | {"intermediate_size": 100})
    with pytest.raises(
        ValueError, match=r"gate_proj.weight' has shape \(96, 64\), and config.json asks for \(100, 64\)"
    ):
        breadth.lm.load(to)


def test_a_weight_that_is_no_number_is_named(peer, tmp_path):
    def change(held):
        held["model.norm.weight"][5] = torch.nan
        return held

    to = rewrite(peer("llama").folder, tmp_path, change)
    with pytest.raises(ValueError, match=r"'model.norm.weight' with the value nan at 5"):
        breadth.lm.load(to)


def test_a_tensor_of_integers_is_named(peer, tmp_path):
    to = rewrite(
        peer("llama").folder, tmp_path, lambda held: held | {"model.norm.weight": torch.ones(64, dtype=torch.int32)}
    )
    with pytest.raises(ValueError, match=r"'model.norm.weight' holds torch.int32"):
        breadth.lm.load(to)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("llama", {"model_type": "mamba"}, "model_type 'mamba', which is not known; known are llama, "),
        ("llama", {"model_type": None}, "model_type None"),
        ("llama", {"model_type": ["llama"]}, "model_type ..llama.., which is not known"),
        ("llama", {"hidden_size": None}, "lacks the setting 'hidden_size'"),
        ("llama", {"hidden_act": "mish"}, "hidden_act is 'mish'"),
        ("llama", {"hidden_act": ["silu"]}, "has a value of a kind that fits none: unhashable"),
        ("llama", {"rope_parameters": 5}, "has a value of a kind that fits none"),
        ("llama", {"rms_norm_eps": "1e-6"}, "has a value of a kind that fits none: must be real number"),
        ("llama", {"num_hidden_layers": 2.0}, "has a value of a kind that fits none"),
        ("llama", {"num_hidden_layers": 10**12}, "num_hidden_layers is 1000000000000, and no model has so many"),
        ("gpt2", {"n_layer": 1e12}, "n_layer is 1000000000000.0, and no model has so many"),
        ("llama", {"vocab_size": "211"}, "vocab_size must be an integer"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "rope_type is 'dynamic'",
        ),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ("falcon", {"alibi": True}, "alibi is True"),
        ("gpt_oss", {"swiglu_limit": 9.0}, "swiglu_limit is 9.0"),
        ("deepseek_v3", {"topk_method": "greedy"}, "topk_method is 'greedy'"),
        ("gemma3", {"layer_types": ["full_attention"]}, "num_hidden_layers is 7, and another setting is for 1 layers"),
    ],
)
def test_a_setting_that_cannot_be_had_is_named(peer, name, change, message):
    with pytest.raises(ValueError, match=message):
        read_config(settings_of(peer(name).folder) | change)


def test_another_quantisation_is_named(peer, tmp_path):
    quantised = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    to = rewrite(peer("llama").folder, tmp_path, settings=lambda told: told | quantised)
    with pytest.raises(ValueError, match="quantised by 'gptq'; known are mxfp4, fp8"):
        breadth.lm.load(to)


def test_a_folder_without_config_json_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not there; a checkpoint is a folder"):
        breadth.lm.load(tmp_path)
    for content, message in (("{", "holds no JSON"), ("[]", "must hold a JSON object, got list")):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            configuration(tmp_path)


def test_pickled_weights_are_refused(peer, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(settings_of(peer("llama").folder)))
    torch.save({"w": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin holds pickled weights"):
        breadth.lm.load(tmp_path)


def test_weights_have_numbers_behind_the_point(peer):
    for dtype in (torch.int8, "float32"):
        with pytest.raises(TypeError, match=r"dtype must be a floating-point type such as torch\.bfloat16, got"):
            breadth.lm.load(peer("llama").folder, dtype=dtype)


def test_a_weight_that_is_too_large_for_the_type_asked_for_is_named(peer, tmp_path):
    def change(held):
        held["model.norm.weight"][5] = -1e6
        return held

    to = rewrite(peer("llama").folder, tmp_path, change)
    assert breadth.lm.load(to, dtype=torch.bfloat16).decoder.norm.weight.min() < -9e5
    with pytest.raises(ValueError, match="holds numbers that are too large for"):
        breadth.lm.load(to, dtype=torch.float16)


@pytest.mark.parametrize("device", ["banana", "cuda:77"])
def test_a_device_that_is_not_here_is_named(peer, device):
    with pytest.raises(ValueError, match=f"device must be one that torch has here, got '{device}'"):
        breadth.lm.load(peer("llama").folder, device=device)


def test_gains_less_one_and_corrections_stay_in_float32(peer):
    kinds = {n: t.dtype for n, t in breadth.lm.load(peer("gemma3").folder, dtype=torch.bfloat16).state_dict().items()}
    assert {n for n, kind in kinds.items() if kind == torch.float32} == {
        n for n in kinds if "norm" in n or ".pre." in n or ".post." in n
    }
    kinds = {n: t.dtype for n, t in breadth.lm.load(peer("kimi_k2").folder, dtype=torch.bfloat16).state_dict().items()}
    assert {n for n, kind in kinds.items() if kind == torch.float32} == {n for n in kinds if n.endswith("correction")}


def test_the_models_type_is_the_embeddings_unless_another_is_asked_for(peer, tmp_path):
    to = rewrite(peer("llama").folder, tmp_path, lambda held: {k: v.bfloat16() for k, v in held.items()})
    assert breadth.lm.load(to).embed.weight.dtype == torch.bfloat16
    assert breadth.lm.load(to, dtype=torch.float64).decoder.norm.weight.dtype == torch.float64


def test_every_family_is_under_its_own_name():
    assert all(name == family.name for name, family in FAMILIES.items())
