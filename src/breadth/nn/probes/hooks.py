"""Which layers a probe looks at, and how it sees what each call of them gave."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Layers = type[nn.Module] | Sequence[str | type[nn.Module]]


def select(model: nn.Module, layers: Layers) -> dict[str, nn.Module]:
    """Submodules by name; a module registered under two names comes once, unless both are asked for.

    Args:
        model: any module; its own name is "".
        layers: a class of modules, or a sequence of classes and of names as `named_modules` gives them.

    Returns:
        Module by name, at least one.

    Raises:
        ValueError: if there is no submodule of a given name, or none of the given classes.
    """
    if isinstance(layers, str):
        raise ValueError(f"layers must be a sequence of names or module classes, got the single name {layers!r}")
    wanted = (layers,) if isinstance(layers, type) else tuple(layers)
    modules = dict(model.named_modules(remove_duplicate=False))
    found: dict[str, nn.Module] = {}
    for layer in wanted:
        if isinstance(layer, type):
            found |= {name: module for name, module in model.named_modules() if isinstance(module, layer)}
        elif layer in modules:
            found[layer] = modules[layer]
        else:
            near = difflib.get_close_matches(layer, list(modules), n=3)
            hint = f"the nearest are {near}" if near else f"there are {[name for name in modules if name]}"
            raise ValueError(f"layers names {layer!r}, which is no submodule of {type(model).__name__}; {hint}")
    if not found:
        raise ValueError(f"layers must pick at least one submodule of {type(model).__name__}; {layers!r} picks none")
    return found


@contextmanager
def watching(modules: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call `see(name, output)` after each call of one of the modules, in the order in which they end.

    The output of a module that returns a tuple, a list or a mapping (an LSTM, an attention) is the first floating-point
    tensor in it.

    Raises:
        TypeError: from the forward pass, if a module's output holds no floating-point tensor.
    """

    def hook_of(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = next(floating(output), None)
            if tensor is None:
                raise TypeError(
                    f"layer {name!r} gave {type(output).__name__} without a floating-point tensor in it; leave it out"
                )
            see(name, tensor)

        return hook

    handles = [module.register_forward_hook(hook_of(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Put the buffers (running statistics) back as they were, since a look at a model is no step of its training.

    Backward passes belong inside: a buffer that is written to spoils the graph that read it.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def floating(value: Any) -> Iterator[Tensor]:
    """Floating-point tensors in nested tuples, lists and mappings, from left to right."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from floating(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from floating(member)
