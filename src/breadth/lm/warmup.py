"""Compiling the kernels that decoding on a CPU uses before they are needed."""

from __future__ import annotations

from collections.abc import Callable

from breadth.compilation import run_each
from breadth.lm.generation import generate
from breadth.lm.model import LM
from breadth.lm.presets import tiny
from breadth.quant.packed import pack


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of linear maps, packed or not, and of one token's step.

    Args:
        progress: called with one line for each step.
    """

    def decode(name: str, pack_as: Callable[[LM], object] = lambda model: None) -> Callable[[], object]:
        def task() -> object:
            model = LM(tiny(name)).eval()
            pack_as(model)
            return generate(model, [1, 2, 3], max_new_tokens=2)

        return task

    tasks = [
        ("float32", decode("llama-3.2-1b")),
        ("layer norms", decode("gpt2-xl")),
        ("8 bits", decode("llama-3.2-1b", lambda model: pack(model, "int8"))),
        ("4 bits", decode("llama-3.2-1b", lambda model: pack(model, "int4"))),
    ]
    run_each(((f"decoding, {name}", task) for name, task in tasks), progress)
