"""A folder of LLaVA's kind -> a model that sees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from breadth.lm.config import LMConfig
from breadth.lm.hf.families import read_config
from breadth.lm.hf.files import Checkpoint
from breadth.lm.hf.load import Origin, as_stored, check_target, embedding_name, fill, read_json
from breadth.lm.hf.names import INSIDE, SEEING, names_of
from breadth.lm.hf.rules import Names, Rule
from breadth.lm.hf.settings import Unsupported, activation, refuse
from breadth.lm.hf.stored import Stored
from breadth.lm.model import LM
from breadth.lm.vision import VisionConfig, VisionLM, VisionTower

_OURS, _THEIRS = "tower.stack.blocks.{i}.", "vision_tower.encoder.layers.{i}."
_VISION = Names(
    (
        Rule("tower.token", ("vision_tower.embeddings.class_embedding",)),
        Rule("tower.patch.weight", ("vision_tower.embeddings.patch_embedding.weight",)),
        Rule("tower.positions", ("vision_tower.embeddings.position_embedding.weight",)),
        Rule("tower.norm.{p}", ("vision_tower.pre_layrnorm.{p}",)),  # spelt so in every checkpoint
        Rule(_OURS + "pre.0.{p}", (_THEIRS + "layer_norm1.{p}",)),
        Rule(_OURS + "pre.1.{p}", (_THEIRS + "layer_norm2.{p}",)),
        Rule(_OURS + "attention.qkv.{p}", tuple(_THEIRS + f"self_attn.{n}_proj.{{p}}" for n in "qkv")),
        Rule(_OURS + "attention.o.{p}", (_THEIRS + "self_attn.out_proj.{p}",)),
        Rule(_OURS + "ffn.up.{p}", (_THEIRS + "mlp.fc1.{p}",)),
        Rule(_OURS + "ffn.down.{p}", (_THEIRS + "mlp.fc2.{p}",)),
        Rule("projector.up.{p}", ("multi_modal_projector.linear_1.{p}",)),
        Rule("projector.down.{p}", ("multi_modal_projector.linear_2.{p}",)),
    ),
    ((r"^model\.(?=vision_tower\.|multi_modal_projector\.)", ""), (r"^vision_tower\.vision_model\.", "vision_tower.")),
    (
        r"(model\.)?language_model\..*",
        r"lm_head\..*",
        r"vision_tower\.post_layernorm\.(weight|bias)",  # behind a token that the text never sees
        r"vision_tower\.embeddings\.position_ids",
    ),
)
_LLAMA_DEFAULTS = {  # the hub's checkpoints leave out of text_config what is Llama's default
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
_CLIP_DEFAULTS = {  # and of vision_config what is LLaVA's
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}


def load_vision(
    path: str | os.PathLike[str], *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> VisionLM:
    """Read a LLaVA model from a folder with `config.json` and safetensors: CLIP tower, projector and language model.

    Args:
        path: the folder.
        dtype: of the weights; None takes the text embedding's own.
        device: where the weights go; None is the CPU.

    Returns:
        The model in evaluation mode. `model.origin` keeps the folder, its config.json and its generation_config.json.

    Raises:
        FileNotFoundError: if the folder, config.json or a shard is not there.
        ValueError: if the folder holds another kind of model, a setting is not known, or a tensor is to blame, as of
            `load`.
        TypeError: if dtype is no floating-point type of torch.

    Cost: reads each byte once; memory of the model and its largest tensor.
    Deviations: the norm behind the tower's class token is left out, since no text sees it. Pictures are resized and
        standardised by whoever reads them, as preprocessor_config.json says.
    References: Liu et al. 2023, arXiv:2310.03744 (LLaVA-1.5, whose checkpoints these are).
    Peer: transformers' LlavaForConditionalGeneration, logits of tiny models, 2e-5 (A).
    """
    place = check_target(dtype, device)
    folder = Path(path)
    told = read_json(folder / "config.json")
    family, config, sizes, options = read_vision_config(told)
    checkpoint = Checkpoint(folder)
    names = names_of(family, config)
    names = replace(names, spellings=(*INSIDE, *names.spellings), ignored=(*names.ignored, *SEEING))
    text = Stored(checkpoint, names, told.get("quantization_config"))
    seen = Stored(checkpoint, _VISION, None)
    config = as_stored(config, text)
    with torch.device("meta"):
        model = VisionLM(LM(config), VisionTower(sizes), **options)
    kind = dtype or text.dtype(embedding_name(names, config))
    fill(model.lm, config, text, dtype=kind, device=place)
    text.check_all_used(config)
    fill(
        nn.ModuleDict({"tower": model.tower, "projector": model.projector}), sizes.stack, seen, dtype=kind, device=place
    )
    seen.check_all_used(sizes.stack)
    generation = folder / "generation_config.json"
    model.origin = Origin(folder, told, read_json(generation) if generation.exists() else {})
    return model.eval()


def read_vision_config(told: Mapping[str, Any]) -> tuple[str, LMConfig, VisionConfig, dict[str, Any]]:
    """Family and sizes of the language model, sizes of the tower, and options of `VisionLM`, out of a config.json.

    Raises:
        ValueError: if it is not LLaVA's, or a setting has a value that the model cannot have.
    """
    if told.get("model_type") != "llava":
        raise ValueError(f"config.json has the model_type {told.get('model_type')!r}, where 'llava' is read")
    text = dict(told.get("text_config") or {})
    text.setdefault("tie_word_embeddings", told.get("tie_word_embeddings") or False)
    if text.get("model_type", "llama") == "llama":
        text = _LLAMA_DEFAULTS | text
    family, config = read_config(text)
    try:
        return family.name, config, _tower(_CLIP_DEFAULTS | dict(told.get("vision_config") or {})), _options(told)
    except Unsupported as error:
        raise ValueError(f"config.json of family llava: {error}") from error


def _tower(told: Mapping[str, Any]) -> VisionConfig:
    refuse(told, model_type="clip_vision_model")
    return VisionConfig(
        d_model=told["hidden_size"],
        n_heads=told["num_attention_heads"],
        d_ff=told["intermediate_size"],
        n_layers=told["num_hidden_layers"],
        image_size=told["image_size"],
        patch_size=told["patch_size"],
        channels=told.get("num_channels", 3),
        activation=activation(told, "hidden_act", default="quick_gelu"),
        norm_eps=told.get("layer_norm_eps", 1e-5),
    )


def _options(told: Mapping[str, Any]) -> dict[str, Any]:
    layers = told.get("vision_feature_layer", -2)
    strategy = told.get("vision_feature_select_strategy", "default")
    if strategy not in ("default", "full"):
        raise Unsupported(f"vision_feature_select_strategy is {strategy!r}; known are default and full")
    return {
        "image_token": told.get("image_token_index", told.get("image_token_id", 32000)),
        "layers": (layers,) if isinstance(layers, int) else tuple(layers),
        "class_token": strategy == "full",
        "activation": activation(told, "projector_hidden_act", default="gelu"),
        "bias": told.get("multimodal_projector_bias", True),
    }
