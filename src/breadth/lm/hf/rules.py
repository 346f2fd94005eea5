"""How tensors of a checkpoint and of a model correspond: rules as data, read in both directions.

A rule names one tensor of the model and the tensors of the checkpoint that lie in it, one after the other along its
rows, each with the layouts that tell theirs from ours. `{i}` stands for a layer, `{p}` for weight or bias; `{e}` runs
over the experts. A rule without tensors stands for gains that are all 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from breadth.lm.config import LMConfig

Index = tuple[int | slice, ...]


@dataclass(frozen=True)
class Rule:
    """One tensor of the model, and what it is made of: "name layout layout" each."""

    ours: str
    theirs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A tensor of the checkpoint, where it lies in one of ours, and its layouts in the order of reading."""

    name: str
    index: Index
    layouts: tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """The tensors of a family's checkpoints.

    Args:
        rules: the first that fits a name of ours decides.
        spellings: pattern and replacement, applied to names on disk in this order: other spellings of the same name.
        ignored: patterns of names, after the spellings, that hold nothing of the model.
        head: name of the output matrix, which a tied checkpoint may leave out.
        beyond: pattern whose first group is a layer; what lies past the model's last one is ignored.
    """

    rules: tuple[Rule, ...]
    spellings: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    head: str = "lm_head.weight"
    beyond: str | None = None

    def canonical(self, name: str) -> str:
        """The spelling that the rules use."""
        for pattern, replacement in self.spellings:
            name = re.sub(pattern, replacement, name)
        return name

    def ignores(self, name: str, config: LMConfig) -> bool:
        """Whether a canonical name holds nothing of the model."""
        if any(re.fullmatch(pattern, name) for pattern in self.ignored):
            return True
        deeper = re.match(self.beyond, name) if self.beyond else None
        return deeper is not None and int(deeper[1]) >= len(config.layers)

    def parts(self, ours: str, shape: torch.Size, config: LMConfig) -> list[Part]:
        """What a tensor of the model is made of; an empty list stands for ones.

        Raises:
            KeyError: if the family's checkpoints have no such tensor.
        """
        for rule in self.rules:
            found = _pattern(rule.ours).fullmatch(ours)
            if found is None:
                continue
            theirs = [_fill(name, found.groupdict()) for name in rule.theirs]
            if any("{e}" in name for name in theirs):
                return [
                    Part(part.name, (e, *part.index), part.layouts)
                    for e in range(shape[0])
                    for part in _along_rows([name.replace("{e}", str(e)) for name in theirs], shape[1], config)
                ]
            return _along_rows(theirs, shape[0], config)
        raise KeyError(ours)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\{p\}", r"(?P<p>weight|bias)"))


def _fill(template: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        template = template.replace("{" + key + "}", value)
    return template


def _along_rows(theirs: list[str], rows: int, config: LMConfig) -> list[Part]:
    """One after the other: query, key and value for three, halves for two."""
    if len(theirs) == 3:
        queries = config.n_heads * config.head_dim
        borders = [0, queries, (queries + rows) // 2, rows]
    else:
        borders = [rows * n // len(theirs) for n in range(len(theirs) + 1)] if theirs else []
    parts = []
    for n, told in enumerate(theirs):
        name, *layouts = told.split()
        index: Index = () if len(theirs) == 1 else (slice(borders[n], borders[n + 1]),)
        parts.append(Part(name, index, tuple(layouts)))
    return parts


# ---- layouts: theirs -> ours and back


def _swap(tensor: Tensor, config: LMConfig) -> Tensor:
    return tensor.transpose(-1, -2)


def _unpair(tensor: Tensor, config: LMConfig) -> Tensor:
    """Rows gate, up, gate, up, ... of each expert -> all gates, then all ups."""
    return torch.cat((tensor[:, 0::2], tensor[:, 1::2]), 1)


def _pair(tensor: Tensor, config: LMConfig) -> Tensor:
    gate, up = tensor.chunk(2, 1)
    return torch.stack((gate, up), 2).flatten(1, 2)


def _above_one(tensor: Tensor, config: LMConfig) -> Tensor:
    return tensor.float() + 1.0  # in float32: bfloat16 would round 1 + w


def _below_one(tensor: Tensor, config: LMConfig) -> Tensor:
    return tensor.float() - 1.0


def _same(tensor: Tensor, config: LMConfig) -> Tensor:
    return tensor


def _turned(kind: str, config: LMConfig) -> tuple[int, int, int]:
    """Rows of one head, where its rotated ones begin, and how many they are."""
    if kind == "rotary":
        return config.head_dim, 0, config.ropes[0].dim
    mla = config.mla
    if mla is None:
        raise ValueError(f"the layout {kind!r} belongs to latent attention")
    before = mla.nope_dim if kind == "rotary_q" else mla.kv_rank
    return before + mla.rope_dim, before, mla.rope_dim


def _rotary(kind: str, *, back: bool) -> Callable[[Tensor, LMConfig], Tensor]:
    """Rotated rows in neighbouring pairs (0, 1), (2, 3), ... -> the first of each pair, then the second; and back.

    Which rows turn together differs, not how far: queries and keys are put in another order alike, and their products
    stay what they are.
    """

    def reorder(tensor: Tensor, config: LMConfig) -> Tensor:
        rows, at, dim = _turned(kind, config)
        heads = tensor.unflatten(0, (-1, rows)).clone()
        turned = heads[:, at : at + dim].unflatten(1, (2, -1) if back else (-1, 2))
        heads[:, at : at + dim] = turned.transpose(1, 2).flatten(1, 2)  # flatten copies, so that no row is read late
        return heads.flatten(0, 1)

    return reorder


LAYOUTS: dict[str, tuple[Callable[[Tensor, LMConfig], Tensor], Callable[[Tensor, LMConfig], Tensor]]] = {
    "transposed": (_swap, _swap),
    "paired": (_unpair, _pair),
    "less_one": (_above_one, _below_one),
    "float32": (_same, _same),
    **{kind: (_rotary(kind, back=False), _rotary(kind, back=True)) for kind in ("rotary", "rotary_q", "rotary_kv")},
}
WIDE = frozenset({"less_one", "float32"})  # kept in float32 whatever the model's type is


def to_ours(tensor: Tensor, layouts: Iterable[str], config: LMConfig) -> Tensor:
    """A tensor as it lies in the checkpoint -> as it lies in the model."""
    for layout in layouts:
        tensor = LAYOUTS[layout][0](tensor, config)
    return tensor


def to_theirs(tensor: Tensor, layouts: tuple[str, ...], config: LMConfig) -> Tensor:
    """A tensor as it lies in the model -> as it lies in the checkpoint."""
    for layout in reversed(layouts):
        tensor = LAYOUTS[layout][1](tensor, config)
    return tensor


def shape_of_theirs(shape: torch.Size, layouts: tuple[str, ...]) -> tuple[int, ...]:
    """Shape in the checkpoint of what has the given shape in the model."""
    return (*shape[:-2], shape[-1], shape[-2]) if "transposed" in layouts else tuple(shape)
