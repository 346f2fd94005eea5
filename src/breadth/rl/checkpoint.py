"""An agent on disk: its hyperparameters, weights, optimizers, replay buffer and generators in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

VERSION = 1


class Stateful(Protocol):
    """A network, an optimizer or a replay buffer."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


Part = Stateful | Tensor | torch.Generator | np.random.Generator


class Agent(Protocol):
    """What an agent has to keep besides its parts."""

    hyper: Any
    seed: int
    num_timesteps: int


def write(path: str | os.PathLike[str], agent: Agent, parts: Mapping[str, Part]) -> None:
    """Write an agent with its parts, or leave the file as it was: it is written beside and then renamed."""
    saved = {
        "version": VERSION,
        "agent": type(agent).__name__,
        "hyper": asdict(agent.hyper),
        "seed": agent.seed,
        "state": {"num_timesteps": agent.num_timesteps, **{name: _state(part) for name, part in parts.items()}},
    }
    target = Path(path)
    beside = target.with_name(target.name + ".tmp")
    with beside.open("wb") as file:
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


def restore(agent: Agent, parts: Mapping[str, Part], state: Mapping[str, Any]) -> None:
    """Bring an agent, new with the same settings, and each of its parts to the state that `read` gave."""
    agent.num_timesteps = state["num_timesteps"]
    for name, part in parts.items():
        if isinstance(part, Tensor):
            with torch.no_grad():
                part.copy_(state[name])
        elif isinstance(part, torch.Generator):
            part.set_state(state[name])
        elif isinstance(part, np.random.Generator):
            part.bit_generator.state = state[name]
        else:
            part.load_state_dict(state[name])


def _state(part: Part) -> Any:
    if isinstance(part, Tensor):
        return part.detach().clone()
    if isinstance(part, torch.Generator):
        return part.get_state()
    return part.bit_generator.state if isinstance(part, np.random.Generator) else part.state_dict()
