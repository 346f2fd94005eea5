"""A folder of Hugging Face's kind -> a model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from breadth.lm.config import LMConfig
from breadth.lm.hf.families import Family, read_config
from breadth.lm.hf.files import Checkpoint
from breadth.lm.hf.names import names_of
from breadth.lm.hf.rules import WIDE, Names, Part, shape_of_theirs, to_ours
from breadth.lm.hf.stored import Stored
from breadth.lm.model import LM


@dataclass(frozen=True)
class Origin:
    """Where a model came from: its folder, and what `config.json` and `generation_config.json` say there."""

    folder: Path
    config: dict[str, Any]
    generation: dict[str, Any]


def load(
    path: str | os.PathLike[str], *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> LM:
    """Read a model from a folder with `config.json` and safetensors, as transformers and the hub have them.

    Families: Llama 1 to 3, Mistral, Qwen 2 and 3, Qwen 3 MoE, SmolLM 3, OLMo 2, GLM, Gemma 2 and 3, DeepSeek-V3 and R1,
    Kimi K2, Llama 4, GPT-OSS, GPT-2, Falcon, BERT, T5 and T5 1.1. MXFP4 experts and fp8 blocks are decoded.

    Args:
        path: the folder.
        dtype: of the weights; None takes the embedding's own, and bfloat16 for four and eight bits. Gains that are
            stored less one, and the correction of a router, stay in float32.
        device: where the weights go; None is the CPU.

    Returns:
        The model in evaluation mode. `model.origin` keeps the folder, its config.json and its generation_config.json.

    Raises:
        FileNotFoundError: if the folder, config.json or a shard is not there.
        ValueError: if the family or a setting is not known; weights are pickled, truncated, mislabelled, NaN, of
            another shape, missing or left over. The message names the first tensor to blame.
            Or if the device is none that torch has here, or a weight is too large for dtype.
        TypeError: if dtype is no floating-point type of torch.

    Cost: reads each byte once; memory of the model and its largest tensor.
    Deviations: of a model that also sees, only the text part is read (`load_vision` reads both); layers that predict
        further tokens (DeepSeek) are left out, and so are BERT's pooler and next-sentence head.
    References: Touvron et al. 2023, arXiv:2302.13971; Devlin et al. 2018, arXiv:1810.04805; Raffel et al. 2019,
        arXiv:1910.10683; Radford et al. 2019 (GPT-2); each family's report: Grattafiori et al. 2024, arXiv:2407.21783
        (Llama 3); Yang et al. 2025, arXiv:2505.09388 (Qwen 3); OLMo Team 2024, arXiv:2501.00656; Gemma Team 2025,
        arXiv:2503.19786; DeepSeek-AI 2024, arXiv:2412.19437; Kimi Team 2025, arXiv:2507.20534; OpenAI 2025,
        arXiv:2508.10925 (GPT-OSS); GLM Team 2024, arXiv:2406.12793 (GLM-4).
    Peer: transformers: logits of tiny models of every family, 2e-5, T5 1e-4 (A).
    """
    place = check_target(dtype, device)
    folder = Path(path)
    told = read_json(folder / "config.json")
    family, config = read_config(told)
    checkpoint = Checkpoint(folder)
    names = names_of(family.name, config)
    stored = Stored(checkpoint, names, told.get("quantization_config"))
    config = as_stored(config, stored)
    with torch.device("meta"):
        model = LM(config)
    fill(
        model,
        config,
        stored,
        dtype=dtype or stored.dtype(embedding_name(names, config)),
        device=place,
    )
    stored.check_all_used(config)
    generation = folder / "generation_config.json"
    model.origin = Origin(folder, told, read_json(generation) if generation.exists() else {})
    return model.eval()


def check_target(dtype: torch.dtype | None, device: torch.device | str | None) -> torch.device:
    """The device that weights go to; it and their type must be such as torch has here."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype must be a floating-point type such as torch.bfloat16, got {dtype!r}")
    try:
        return torch.empty(0, device=device or "cpu").device
    except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without it
        raise ValueError(f"device must be one that torch has here, got {str(device)!r}: {error}") from error


def read_json(file: Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if it holds no JSON object.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file} is not there; a checkpoint is a folder with config.json and safetensors")
    try:
        told = json.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} holds no JSON: {error}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{file} must hold a JSON object, got {type(told).__name__}")
    return told


def configuration(path: str | os.PathLike[str]) -> tuple[Family, LMConfig]:
    """Family and model that a folder's `config.json`, or such a file, describes; no tensor is looked at."""
    file = Path(path)
    return read_config(read_json(file / "config.json" if file.is_dir() else file))


def embedding_name(names: Names, config: LMConfig) -> str:
    """Name of the embedding in a family's checkpoints."""
    return names.parts("embed.weight", torch.Size((config.vocab_size, config.d_model)), config)[0].name


def as_stored(config: LMConfig, stored: Stored) -> LMConfig:
    """What the tensors say and config.json does not: whether the head is the embedding, and whether BERT has a head."""
    head, embedding = stored.names.head, embedding_name(stored.names, config)
    if config.mlm_head and not any(name.startswith("cls.predictions.") for name in stored.disk):
        config = replace(config, mlm_head=False)
    if head not in stored:
        return config
    shape = (config.vocab_size, config.d_model)
    if config.tied:
        same = torch.equal(stored.read(head, shape, torch.float32), stored.read(embedding, shape, torch.float32))
        return config if same else replace(config, tied=False)
    return config


def tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and kept buffers by name, each once."""
    kept = set(model.state_dict(keep_vars=True))
    for tensors in (model.named_parameters(), model.named_buffers()):
        yield from ((name, tensor) for name, tensor in tensors if name in kept)


def fill(model: nn.Module, config: LMConfig, stored: Stored, *, dtype: torch.dtype, device: torch.device) -> None:
    """Give a model without memory its tensors, one after the other; config is of the layers in it."""
    for name, empty in list(tensors_of(model)):
        try:
            parts = stored.names.parts(name, empty.shape, config)
        except KeyError as error:
            raise ValueError(f"the model's tensor {error} has no name in checkpoints of its family") from error
        if not parts:
            tensor = torch.ones(empty.shape, dtype=dtype, device=device)
        else:
            wide = any(layout in WIDE for part in parts for layout in part.layouts)
            kind = torch.promote_types(dtype, torch.float32) if wide else dtype
            tensor = _assemble(parts, empty.shape, stored, config, kind, device)
        _put(model, name, tensor)
    if isinstance(model, LM) and config.tied:
        model.head.weight = model.embed.weight


def _assemble(
    parts: list[Part],
    shape: torch.Size,
    stored: Stored,
    config: LMConfig,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    out: Tensor | None = None
    for part in parts:
        asked = torch.Size(_shape_at(shape, part))
        theirs = stored.read(part.name, shape_of_theirs(asked, part.layouts), dtype)
        if dtype == torch.float16 and theirs.dtype != dtype and max(map(abs, theirs.aminmax())) > 65504:
            raise ValueError(f"the tensor {part.name!r} holds numbers that are too large for {dtype}")
        ours = to_ours(theirs, part.layouts, config)
        if len(parts) == 1 and ours.dtype == dtype and ours.device == device and ours.is_contiguous():
            return ours  # in memory of its own already
        if out is None:
            out = torch.empty(shape, dtype=dtype, device=device)
        out[part.index].copy_(ours)
    if out is None:
        raise AssertionError("a tensor has parts")
    return out


def _shape_at(shape: torch.Size, part: Part) -> tuple[int, ...]:
    sizes = list(shape)
    for axis, index in reversed(list(enumerate(part.index))):
        if isinstance(index, slice):
            sizes[axis] = len(range(*index.indices(sizes[axis])))
        else:
            del sizes[axis]
    return tuple(sizes)


def _put(model: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if leaf in module._parameters:
        module._parameters[leaf] = nn.Parameter(tensor)
    else:
        module._buffers[leaf] = tensor
