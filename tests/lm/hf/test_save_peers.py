"""What is saved is what transformers would have written, and transformers loads it with equal logits."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import breadth.lm
from breadth.lm.hf.files import INDEX
from breadth.lm.model import LM
from breadth.quant import pack
from tests.lm.hf.rewritten import rewrite, settings_of, tensors_of
from tests.lm.hf.tiny import MODELS, VOCAB

LESS_ONE = ("gemma2", "gemma3")  # gains stored less one are rounded once when 1 is added and taken away


def theirs_on(theirs, ids):
    more = {"decoder_input_ids": ids} if theirs.config.is_encoder_decoder else {}
    return theirs(ids, **more).logits


def ours_on(ours, ids):
    return ours(ids, **({} if ours.config.encoder is None else {"source": ids}))


@torch.inference_mode()
@pytest.mark.parametrize("name", MODELS)
def test_transformers_loads_what_is_saved(peer, tmp_path, name):
    theirs, folder = peer(name)
    ids = torch.randint(3, VOCAB, (2, 40), generator=torch.Generator().manual_seed(0))
    reference = theirs_on(theirs, ids)
    ours = breadth.lm.load(folder)
    breadth.lm.save(ours, tmp_path / "kept")
    ours.origin = None  # as if it had been made here: which family it is has to be found
    breadth.lm.save(ours, tmp_path / "found")
    for saved in (tmp_path / "kept", tmp_path / "found"):
        original, written = tensors_of(folder), tensors_of(saved)
        assert set(written) == set(original)
        for key, tensor in original.items():
            slack = 2e-7 if name in LESS_ONE else 0
            torch.testing.assert_close(written[key], tensor, rtol=0, atol=slack, msg=key)
        import transformers

        cls = getattr(transformers, settings_of(saved)["architectures"][0])
        again, told = cls.from_pretrained(saved, attn_implementation="eager", output_loading_info=True)
        assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
        torch.testing.assert_close(theirs_on(again.eval(), ids), reference, rtol=0, atol=1e-5 if slack else 0)
        back = breadth.lm.load(saved)
        assert back.config == ours.config
        torch.testing.assert_close(ours_on(back, ids), ours_on(ours, ids), rtol=0, atol=1e-5 if slack else 0)


def test_a_model_whose_linear_maps_were_packed_is_not_saved_without_them(peer, tmp_path):
    packed = pack(breadth.lm.load(peer("llama").folder, dtype=torch.bfloat16), "int8")
    with pytest.raises(ValueError, match=r"no tensor '.*weight': a Int8Linear in its place cannot be saved"):
        breadth.lm.save(packed, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_model_made_here_goes_to_transformers_in_shards(peer, tmp_path):
    from transformers import LlamaForCausalLM

    config = replace(breadth.lm.load(peer("llama3.1").folder).config, tied=False, d_ff=80)
    torch.manual_seed(1)
    ours = LM(config).eval()
    breadth.lm.save(ours, tmp_path, shard_bytes=100_000)
    assert (tmp_path / INDEX).exists()
    theirs = LlamaForCausalLM.from_pretrained(tmp_path)
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=0, atol=2e-5)
        assert torch.equal(breadth.lm.load(tmp_path)(ids), ours(ids))


def test_a_family_that_was_loaded_is_kept_though_an_earlier_one_has_such_models_too(peer, tmp_path):
    folder = rewrite(peer("mistral").folder, tmp_path / "in", settings=lambda told: told | {"sliding_window": None})
    breadth.lm.save(breadth.lm.load(folder), tmp_path / "out")
    assert settings_of(tmp_path / "out")["model_type"] == "mistral"


def test_tokenizer_and_generation_files_go_along(peer, tmp_path):
    folder = rewrite(peer("llama").folder, tmp_path / "in", settings=lambda told: told | {"eos_token_id": [7, 9]})
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.6}))
    (folder / "tokenizer.json").write_text("{}")
    ours = breadth.lm.load(folder)
    assert ours.origin.generation == {"temperature": 0.6}
    breadth.lm.save(ours, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()) == {"temperature": 0.6}
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"
    assert settings_of(tmp_path / "out")["eos_token_id"] == [7, 9]
    breadth.lm.save(ours, folder)
    assert (folder / "tokenizer.json").exists(), "saved where it came from"


def test_bfloat16_is_saved_as_bfloat16(peer, tmp_path):
    for name in ("gemma3", "deepseek_v3"):
        ours = breadth.lm.load(peer(name).folder, dtype=torch.bfloat16)
        breadth.lm.save(ours, tmp_path / name)
        assert settings_of(tmp_path / name)["dtype"] == "bfloat16"
        kinds = {key: tensor.dtype for key, tensor in tensors_of(tmp_path / name).items()}
        wide = {key for key, kind in kinds.items() if kind != torch.bfloat16}
        assert all(key.endswith("e_score_correction_bias") for key in wide)
        for key, tensor in breadth.lm.load(tmp_path / name).state_dict().items():
            torch.testing.assert_close(tensor, ours.state_dict()[key], rtol=0, atol=2**-8, msg=key)


def test_a_model_that_no_family_has_is_refused(peer, tmp_path):
    ours = breadth.lm.load(peer("olmo2").folder)
    odd = LM(replace(ours.config, sinks=True))
    with pytest.raises(ValueError, match="no family of checkpoints has this model"):
        breadth.lm.save(odd, tmp_path / "odd")
    assert not (tmp_path / "odd").exists()


def test_a_gain_that_the_family_has_not_is_refused(peer, tmp_path):
    ours = breadth.lm.load(peer("llama4").folder)
    with torch.no_grad():
        ours.decoder.blocks[0].attention.q_norm.weight[0] = 2.0
    with pytest.raises(ValueError, match=r"blocks\.0\.attention\.q_norm\.weight' is not all ones"):
        breadth.lm.save(ours, tmp_path / "out")
