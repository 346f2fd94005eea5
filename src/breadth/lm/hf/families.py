"""The families of checkpoints: which `config.json` is whose, what model it describes, and which family has a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from breadth.lm.config import LMConfig
from breadth.lm.hf import classics, decoders, mixtures
from breadth.lm.hf.settings import Json, Unsupported


@dataclass(frozen=True)
class Family:
    """A family of checkpoints.

    Args:
        name: its `model_type`.
        read: model that a `config.json` describes.
        write: `config.json` that describes a model; raises Unsupported where the family has no such models.
        head_tells: whether the tensors say if the head is the embedding, and config.json does not.
    """

    name: str
    read: Callable[[Json], LMConfig]
    write: Callable[[LMConfig], dict[str, Any]]
    head_tells: bool = False

    def has(self, told: Json, config: LMConfig) -> bool:
        """Whether a `config.json` of the family describes a model, dropout aside: it is of training alone."""
        read = self.read(told)
        read = replace(read, tied=config.tied) if self.head_tells else read
        return same(_without_dropout(read), _without_dropout(config))


def _without_dropout(config: LMConfig) -> LMConfig:
    inner = None if config.encoder is None else _without_dropout(config.encoder)
    return replace(config, encoder=inner, embed_dropout=0.0, attention_dropout=0.0, residual_dropout=0.0)


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("llama", decoders.read_llama_family, decoders.write_llama_family),
        Family("mistral", decoders.read_mistral, decoders.write_mistral),
        Family("qwen2", decoders.read_qwen2, decoders.write_qwen2),
        Family("qwen3", decoders.read_qwen3, decoders.write_qwen3),
        Family("qwen3_moe", mixtures.read_qwen3_moe, mixtures.write_qwen3_moe),
        Family("smollm3", decoders.read_smollm3, decoders.write_smollm3),
        Family("olmo2", decoders.read_olmo2, decoders.write_olmo2),
        Family("gemma2", decoders.read_gemma2, decoders.write_gemma2),
        Family("gemma3_text", decoders.read_gemma3, decoders.write_gemma3),
        Family("deepseek_v3", mixtures.read_deepseek, mixtures.write_deepseek),
        Family("llama4_text", mixtures.read_llama4, mixtures.write_llama4),
        Family("gpt_oss", mixtures.read_gpt_oss, mixtures.write_gpt_oss),
        Family("gpt2", classics.read_gpt2, classics.write_gpt2),
        Family("bert", classics.read_bert, classics.write_bert),
        Family("t5", classics.read_t5, classics.write_t5, head_tells=True),
        Family("falcon", classics.read_falcon, classics.write_falcon),
        Family("glm", decoders.read_glm, decoders.write_glm),
    )
}
_OTHER_NAMES = {"kimi_k2": "deepseek_v3"}
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers")
_WITH_TEXT = ("gemma3", "llama4")  # models that see: the text part of their settings, and of their tensors, is read


def family_of(told: Json) -> tuple[Family, Json]:
    """The family of a `config.json`, and the settings of its text model.

    Raises:
        ValueError: if model_type is missing or no family that is known.
    """
    kind = told.get("model_type")
    if kind in _WITH_TEXT and isinstance(told.get("text_config"), Mapping):
        text = {"tie_word_embeddings": told.get("tie_word_embeddings"), **told["text_config"]}
        told = {key: value for key, value in text.items() if value is not None}
        kind = f"{kind}_text"
    kind = _OTHER_NAMES.get(str(kind), str(kind))
    if kind not in FAMILIES:
        known = ", ".join((*FAMILIES, *_OTHER_NAMES))
        raise ValueError(
            f"config.json has the model_type {told.get('model_type')!r}, which is not known; known are {known}"
        )
    return FAMILIES[kind], told


def read_config(told: Json) -> tuple[Family, LMConfig]:
    """Family and model of a `config.json`, in the older or the newer spelling.

    Args:
        told: the file's content.

    Raises:
        ValueError: if the family is not known, a setting is missing, or one has a value that the model cannot have.

    Peer: transformers, logits of every family (A).
    """
    family, text = family_of(told)
    for key in _LAYERS:  # before as many are made
        if isinstance(text.get(key), (int, float)) and text[key] > 10_000:
            raise ValueError(f"config.json of family {family.name}: {key} is {text[key]}, and no model has so many")
    try:
        return family, family.read(text)
    except KeyError as error:
        raise ValueError(f"config.json of family {family.name} lacks the setting {error}") from error
    except Unsupported as error:
        raise ValueError(f"config.json of family {family.name}: {error}") from error
    except (TypeError, AttributeError) as error:
        raise ValueError(
            f"config.json of family {family.name} has a value of a kind that fits none: {error}"
        ) from error


def describe(config: LMConfig) -> tuple[Family, dict[str, Any]]:
    """A family that has the model, and the `config.json` that says so.

    Families are tried in turn: what one writes is read again, and must be the same model.

    Raises:
        ValueError: if no family has such a model.
    """
    for family in FAMILIES.values():
        try:
            told = family.write(config)
            if family.has(told, config):
                return family, told
        except (ValueError, KeyError):  # the model has what the family has not
            continue
    raise ValueError(f"no family of checkpoints has this model, so that it cannot be saved as one: {config}")


def same(one: Any, other: Any) -> bool:
    """Whether two models are alike, numbers up to rounding."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-8)
    if is_dataclass(one) and type(one) is type(other):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
