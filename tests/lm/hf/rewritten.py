"""Checkpoints that are changed on disk: other names, other settings, tensors gone or added."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a folder."""
    from safetensors.torch import load_file

    out: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        out |= load_file(file)
    return out


def settings_of(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder."""
    return json.loads((folder / "config.json").read_text())


def rewrite(
    folder: Path,
    to: Path,
    tensors: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    settings: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Path:
    """A copy of a folder with its tensors and settings changed."""
    from safetensors.torch import save_file

    held, told = tensors_of(folder), settings_of(folder)
    held = tensors(held) if tensors else held
    told = settings(told) if settings else told
    to.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous().clone() for name, tensor in held.items()}, to / "model.safetensors")
    (to / "config.json").write_text(json.dumps(told))
    return to
