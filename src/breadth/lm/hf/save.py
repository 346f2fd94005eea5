"""A model -> a folder that transformers, vLLM and `load` read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from breadth.lm.hf.families import Family, describe, family_of
from breadth.lm.hf.files import SHARD_BYTES, Pending, write_checkpoint, write_text
from breadth.lm.hf.load import Origin, tensors_of
from breadth.lm.hf.names import names_of
from breadth.lm.hf.rules import Part, shape_of_theirs, to_theirs
from breadth.lm.model import LM

BESIDE = (  # what else belongs to a checkpoint
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
_PREDICTORS = ("num_nextn_predict_layers", "num_mtp_layers")  # of layers that were not read


def save(model: LM, path: str | os.PathLike[str], *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write a model as `config.json` and safetensors, under the names of a family that has such a model.

    A model that was loaded keeps its family, its settings, and its generation and tokenizer files if they are still
    where it came from. Any other takes the first family that can say what it is.

    Args:
        model: any LM whose configuration some family has.
        path: folder; made if it is not there, and weights that it held before are replaced.
        shard_bytes: most bytes of one file.

    Raises:
        ValueError: if no family has such a model, a tensor has no place there, or the model has not all of its own, as
            when its linear maps were packed.

    Cost: memory of one tensor.
    Peer: transformers loads what is written, with equal logits, every family (A).
    """
    folder = Path(path)
    family, told = _described(model)
    names = names_of(family.name, model.config)
    kept = dict(tensors_of(model))
    with torch.device("meta"):
        needed = dict(tensors_of(LM(model.config)))
    for name in needed:
        if name not in kept:
            kind = type(model.get_submodule(name.rpartition(".")[0])).__name__
            raise ValueError(f"the model has no tensor {name!r}: a {kind} in its place cannot be saved")
    pending = list(_pending(model, kept, names.parts))
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder, pending, shard_bytes=shard_bytes)
    dtype = str(kept["embed.weight"].dtype).removeprefix("torch.")
    write_text(folder / "config.json", json.dumps(told | {"dtype": dtype, "torch_dtype": dtype}, indent=2) + "\n")
    origin: Origin | None = getattr(model, "origin", None)
    if origin is not None and origin.folder.resolve() != folder.resolve():
        for name in BESIDE:
            if (origin.folder / name).exists():
                shutil.copyfile(origin.folder / name, folder / name)


def _described(model: LM) -> tuple[Family, dict[str, Any]]:
    origin: Origin | None = getattr(model, "origin", None)
    if origin is not None:
        family, text = family_of(origin.config)
        if family.has(text, model.config):
            told = dict(text)
            told.pop("quantization_config", None)
            told |= {key: 0 for key in _PREDICTORS if key in told}
            written = family.write(model.config)
            return family, told | {key: written[key] for key in ("architectures", "model_type")}
    return describe(model.config)


def _pending(
    model: LM, kept: dict[str, Tensor], parts_of: Callable[[str, torch.Size, Any], list[Part]]
) -> Iterator[Pending]:
    main = kept["embed.weight"].dtype
    for name, tensor in kept.items():
        try:
            parts = parts_of(name, tensor.shape, model.config)
        except KeyError as error:
            raise ValueError(f"the model's tensor {error} has no name in checkpoints of its family") from error
        if not parts and not bool((tensor == 1).all()):
            raise ValueError(f"the model's tensor {name!r} is not all ones, and checkpoints of its family have no gain")
        for part in parts:
            dtype = tensor.dtype if "float32" in part.layouts else main
            view = tensor[part.index]

            def make(view: Tensor = view, part: Part = part, dtype: torch.dtype = dtype) -> Tensor:
                return to_theirs(view.detach(), part.layouts, model.config).to(dtype)

            yield Pending(part.name, shape_of_theirs(view.shape, part.layouts), dtype, make)
