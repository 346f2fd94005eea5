"""`breadth model`: what architectures cost, and where they differ."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from breadth.lm.config import LMConfig

Form = Literal["text", "json"]
Numbers = Literal["fp32", "bf16", "fp8"]
_BYTES = {"fp32": 4, "bf16": 2, "fp8": 1}

model = App(
    name="model",
    help="What language models cost, from their config alone; nothing is loaded.",
    help_format="plaintext",
    result_action="return_value",
)


@model.command
def info(
    *configs: str,
    length: int | None = None,
    batch: int = 1,
    numbers: Numbers = "bf16",
    output: Annotated[Form, Parameter(name=["--output", "-o"])] = "text",
) -> None:
    """Parameters, cache, arithmetic, and bytes of weights and activations, side by side.

    Args:
        configs: presets, config.json files, or folders of checkpoints; none lists the presets.
        length: tokens of the text for cache, arithmetic and activations; each model's whole context if left out.
        batch: texts, for cache and activations.
        numbers: format of cache and activations.
        output: for reading, or JSON.
    """
    from breadth.lm.presets import PRESETS

    if length is not None and length < 1:
        raise ValueError(f"--length must be >= 1, got {length}")
    if batch < 1:
        raise ValueError(f"--batch must be >= 1, got {batch}")
    read = {name: _read(name) for name in configs or PRESETS}
    facts = {name: _facts(config, length, batch, _BYTES[numbers]) for name, config in read.items()}
    if output == "json":
        print(json.dumps(facts, indent=2))
        return
    shown = {name: {key: _shown(key, value) for key, value in row.items()} for name, row in facts.items()}
    _print_table(["", *next(iter(shown.values()))], [[name, *row.values()] for name, row in shown.items()])


@model.command
def diff(
    one: str,
    other: str,
    /,
    *,
    output: Annotated[Form, Parameter(name=["--output", "-o"])] = "text",
) -> None:
    """Only what differs between two architectures.

    Args:
        one: a preset, a config.json, or a folder of a checkpoint.
        other: likewise.
        output: for reading, or JSON.
    """
    from breadth.lm.accounting import diff as difference

    found = difference(_read(one), _read(other))
    if output == "json":
        print(json.dumps({field: [_plain(value) for value in pair] for field, pair in found.items()}, indent=2))
    elif found:
        _print_table(["", one, other], [[field, *map(_text, pair)] for field, pair in found.items()])
    else:
        print("no difference")


def _read(name: str) -> LMConfig:
    """Config of a preset, a file or a folder."""
    from breadth.lm.presets import PRESETS, preset

    if name in PRESETS:
        return preset(name)
    path = Path(name)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"{name}: no preset, config.json or folder with one; the presets are {', '.join(PRESETS)}")
    from breadth.lm.hf.families import read_config

    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{path} must hold an object, got {type(told).__name__}")
    return read_config(told)[1]


def _facts(config: LMConfig, length: int | None, batch: int, size: int) -> dict[str, float]:
    from breadth.lm import accounting
    from breadth.lm.activation_memory import inference_activation_bytes, training_activation_bytes

    at = config.context_length if length is None else length
    return {
        "parameters": accounting.parameters(config),
        "active": accounting.active_parameters(config),
        "tokens": at,
        "cache bytes/token": accounting.kv_bytes_per_token(config, bytes_per_number=size),
        "cache bytes": batch * accounting.kv_bytes(config, at, bytes_per_number=size),
        "FLOPs/token": accounting.flops_per_token(config, at),
        "bf16 bytes": accounting.weight_bytes(config, "bf16"),
        "int4 bytes": accounting.weight_bytes(config, "int4"),
        "mxfp4 bytes": accounting.weight_bytes(config, "mxfp4"),
        "prefill bytes": inference_activation_bytes(config, at, batch, bytes_per_number=size),
        "step bytes": inference_activation_bytes(config, 1, batch, past=at - 1, bytes_per_number=size),
        "training bytes": training_activation_bytes(config, at, batch, bytes_per_number=size),
    }


def _shown(key: str, value: float) -> str:
    if key == "tokens":
        return f"{value:,.0f}"
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.4g}"


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_text, value))
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _print_table(head: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as what they hold, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
