"""Models that see, loaded from LLaVA's kind of checkpoint, beside transformers: logits, tower, greedy tokens."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import breadth.lm
from breadth.lm.hf.vision import read_vision_config
from tests.lm.hf.tiny import BASE, VOCAB, perturb

IMAGE = 200
TEXTS = {
    "llama": BASE,
    "mistral": {**BASE, "head_dim": 32, "sliding_window": 9},
    "qwen2": {**BASE, "tie_word_embeddings": True},
}
SEES = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4}
VARIANTS = {  # text, settings of the whole, settings of the tower
    "default": ("llama", {}, {}),
    "full": ("qwen2", {"vision_feature_select_strategy": "full", "vision_feature_layer": -1}, {"num_channels": 1}),
    "two layers": ("mistral", {"vision_feature_layer": [-2, 1], "multimodal_projector_bias": False}, {}),
    "other activations": ("llama", {"projector_hidden_act": "gelu_new"}, {"hidden_act": "gelu", "layer_norm_eps": 0.1}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Maker of both models of a checkpoint."""
    transformers = pytest.importorskip("transformers")
    root, kept = tmp_path_factory.mktemp("vision"), {}

    def make(name):
        if name not in kept:
            text, settings, sees = VARIANTS[name]
            config = transformers.LlavaConfig(
                text_config={"model_type": text, **TEXTS[text]},
                vision_config={"model_type": "clip_vision_model", "image_size": 28, "patch_size": 7, **SEES, **sees},
                image_token_index=IMAGE,
                **settings,
            )
            config._attn_implementation = "eager"
            torch.manual_seed(0)
            theirs = transformers.LlavaForConditionalGeneration(config).float().eval()
            perturb(theirs, 1)
            theirs.save_pretrained(root / name)
            kept[name] = breadth.lm.load_vision(root / name), theirs, root / name
        return kept[name]

    return make


def draw(model, *, images, seed=0):
    """Two texts of the same number of images, at other places in each, and the images of both one after the other."""
    generator = torch.Generator().manual_seed(seed)
    each, size = model.tokens_per_image, model.tower.config.image_size
    length = 6 + images * (each + 3)
    ids = torch.randint(3, IMAGE, (2, length), generator=generator)
    for row in range(2):
        for n in range(images):
            begin = 2 + row + n * (each + 3)
            ids[row, begin : begin + each] = IMAGE
    seen = torch.randn(2, images, model.tower.config.channels, size, size, generator=generator)
    return ids, seen


def agree(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5, msg=lambda m: f"sums in another order: {m}")


@torch.inference_mode()
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_are_transformers(made, name):
    ours, theirs, _ = made(name)
    ids, images = draw(ours, images=2)
    reference = theirs(input_ids=ids, pixel_values=images.flatten(0, 1), use_cache=False).logits
    agree(ours(ids, images), reference)
    agree(ours(ids, list(images), last=True), reference[:, -1:])
    other = ours(ids, images.flip(1))
    assert (other - reference).abs().max() > 0.1, "which image stands where matters"
    text = ids.masked_fill(ids == IMAGE, 5)
    agree(ours(text), theirs(input_ids=text, use_cache=False).logits)


@torch.inference_mode()
def test_every_layer_of_the_tower_is_transformers(made):
    ours, theirs, _ = made("default")
    images = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(3))
    reference = theirs.model.vision_tower(images, output_hidden_states=True).hidden_states
    assert len(reference) == 4
    for layer, states in enumerate(reference):
        agree(ours.tower(images, layers=(layer,)), states)
        agree(ours.tower(images, layers=(layer - 4,)), states)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["default", "two layers"])
def test_greedy_tokens_are_transformers(made, name):
    ours, theirs, _ = made(name)
    ids, images = draw(ours, images=1, seed=4)
    options = {"max_new_tokens": 20, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    options["suppress_tokens"] = [IMAGE]
    reference = theirs.generate(input_ids=ids, pixel_values=images.flatten(0, 1), **options)[:, ids.shape[1] :]
    for chunk in (None, 7):
        found = breadth.lm.generate(
            ours.seeing(images), ids, max_new_tokens=20, prefill_chunk=chunk, callback=None, eos_token_id=None
        )
        assert found.ids == reference.tolist()


@torch.inference_mode()
def test_texts_of_unequal_length_with_unequal_numbers_of_images_are_each_as_alone(made):
    ours, _, _ = made("default")
    (one, many), (first, second) = draw(ours, images=1, seed=5), draw(ours, images=2, seed=6)
    prompts = [one[0].tolist(), first[1].tolist(), [7, 8, 9]]
    images = [many[0], second[1], many[0][:0]]
    for options in ({}, {"num_beams": 3, "num_return_sequences": 2}, {"temperature": 1.0, "seed": [1, 2, 3]}):
        together = breadth.lm.generate(ours.seeing(images), prompts, max_new_tokens=6, **options)
        alone = []
        for row, (prompt, seen) in enumerate(zip(prompts, images, strict=True)):
            given = options | ({"seed": [options["seed"][row]]} if "seed" in options else {})
            alone += breadth.lm.generate(ours.seeing([seen]), [prompt], max_new_tokens=6, **given).ids
        assert together.ids == alone


def test_names_of_the_hub_are_read_too(made, tmp_path):
    """There the tower's names have `vision_model.`; newer ones begin with `model.`."""
    from safetensors.torch import load_file, save_file

    ours, _, folder = made("default")
    held = load_file(folder / "model.safetensors")
    for kind, rename in (
        ("hub", lambda n: n.replace("vision_tower.", "vision_tower.vision_model.")),
        (
            "new",
            lambda n: n.replace("language_model.lm_head", "lm_head").replace("language_model.model", "language_model"),
        ),
    ):
        other = tmp_path / kind
        shutil.copytree(folder, other)
        renamed = {rename(name): tensor for name, tensor in held.items()}
        if kind == "new":
            renamed = {n if n.startswith("lm_head") else f"model.{n}": t for n, t in renamed.items()}
        save_file(renamed, other / "model.safetensors")
        found = breadth.lm.load_vision(other)
        assert all(
            torch.equal(a, b) for a, b in zip(ours.state_dict().values(), found.state_dict().values(), strict=True)
        )


def test_settings_that_the_hub_leaves_out_are_llamas_and_clips():
    told = {"model_type": "llava", "text_config": {"vocab_size": 32064, "rms_norm_eps": 1e-5, "model_type": "llama"}}
    family, config, sizes, options = read_vision_config(told)
    assert (family, config.d_model, config.vocab_size, len(config.layers)) == ("llama", 4096, 32064, 32)
    assert (sizes.patches, sizes.d_model, sizes.n_layers, sizes.activation) == (576, 1024, 24, "quick_gelu")
    assert options["layers"] == (-2,) and options["image_token"] == 32000 and not options["class_token"]


def changed(folder, tmp_path, **settings):
    other = tmp_path / "changed"
    shutil.copytree(folder, other)
    told = json.loads((other / "config.json").read_text()) | settings
    (other / "config.json").write_text(json.dumps(told))
    return other


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"model_type": "llama"}, "model_type 'llama', where 'llava' is read"),
        ({"vision_feature_select_strategy": "cls"}, "vision_feature_select_strategy is 'cls'"),
        ({"vision_config": {"model_type": "siglip_vision_model"}}, "'siglip_vision_model', which is not supported"),
        (
            {"vision_config": SEES | {"image_size": 28, "patch_size": 14}},
            r"position_embedding.weight' has shape \(17, 48\)",
        ),
        ({"image_token_index": VOCAB}, r"image_token must be in \[0, 211\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(made, tmp_path, settings, complaint):
    folder = changed(made("default")[2], tmp_path, **settings)
    with pytest.raises(ValueError, match=complaint):
        breadth.lm.load_vision(folder)


@torch.inference_mode()
def test_what_is_given_must_fit(made):
    ours, _, _ = made("default")
    ids, images = draw(ours, images=1)
    with pytest.raises(ValueError, match="ids of row 1 hold 15 image tokens, and its 1 images take 16: 16 each"):
        ours(torch.where((ids == IMAGE).cumsum(1) * torch.tensor([[0], [1]]) == 1, 5, ids), images)
    with pytest.raises(ValueError, match="ids of row 0 hold 16 image tokens, and its 0 images take 0"):
        ours(ids)
    with pytest.raises(ValueError, match="images are of 1 texts, and ids hold 2"):
        ours(ids, images[:1])
    with pytest.raises(ValueError, match=r"images must have shape \(n, 3, 28, 28\), got \(2, 3, 28, 27\)"):
        ours(ids, images[..., 1:])
    with pytest.raises(ValueError, match="images must be of one size"):
        ours(ids, [images[0], images[1][..., 1:]])
    with pytest.raises(ValueError, match=r"images must have shape \(B, C, H, W\)"):
        ours(ids, images[0, 0, 0])
    with pytest.raises(ValueError, match="ids of row 0 hold 16 image tokens, and its 0 images"):
        breadth.lm.generate(ours.seeing(None), ids, max_new_tokens=2)
    with pytest.raises(TypeError, match="dtype must be a floating-point type"):
        breadth.lm.load_vision("nowhere", dtype=torch.int64)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        breadth.lm.load_vision("nowhere")
