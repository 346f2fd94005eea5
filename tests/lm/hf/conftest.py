"""Tiny checkpoints, written once a session, with the transformers models that wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lm.hf import tiny


class Peer(NamedTuple):
    """A model of transformers and the folder that it wrote."""

    model: Any
    folder: Path


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Peer]:
    """Maker of a tiny checkpoint by name; each is made once."""
    pytest.importorskip("transformers")
    root, made = tmp_path_factory.mktemp("tiny"), {}

    def make(name: str) -> Peer:
        if name not in made:
            model = tiny.build(name)
            folder = root / name
            model.save_pretrained(folder)
            made[name] = Peer(model, folder)
        return made[name]

    return make
