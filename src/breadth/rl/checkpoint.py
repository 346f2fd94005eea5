"""An agent on disk: its hyperparameters, weights, optimizers, replay buffer and generators in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

VERSION = 1


def write(path: str | os.PathLike[str], agent: str, hyper: Any, seed: int, state: Mapping[str, Any]) -> None:
    """Write an agent's state, or leave the file as it was: it is written beside and then renamed."""
    target = Path(path)
    beside = target.with_name(target.name + ".tmp")
    with beside.open("wb") as file:
        saved = {"version": VERSION, "agent": agent, "hyper": asdict(hyper), "seed": seed, "state": dict(state)}
        torch.save(saved, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)


def read(path: str | os.PathLike[str], agent: str) -> dict[str, Any]:
    """What `write` wrote, as hyper, seed and state; no code in the file is run.

    Raises:
        ValueError: if another agent or another version wrote the file.
    """
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved.get("agent") != agent or saved.get("version") != VERSION:
        raise ValueError(
            f"{path} holds {saved.get('agent')} of version {saved.get('version')}, not {agent} of version {VERSION}"
        )
    return saved
