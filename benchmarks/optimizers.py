"""Steps of the optimizers beside torch.optim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

TORCH = "torch.optim"
BAR = 1.1
RULES: dict[str, dict[str, Any]] = {
    "SGD": {},
    "SGD, momentum": {"momentum": 0.9, "weight_decay": 1e-4},
    "Adagrad": {},
    "RMSprop": {},
    "Adam": {},
    "AdamW": {},
}
FUSED = ("SGD, momentum", "Adam", "AdamW")  # torch has them as one kernel, on request


def shapes(setup: Setup) -> dict[str, list[tuple[int, ...]]]:
    """Ten million numbers as one tensor, as a Transformer of eight blocks, and as a thousand small tensors."""
    total, d = setup.size(10_000_000, 10_000), setup.size(320, 8)
    weights = [(3 * d, d), (d, d), (4 * d, d), (d, 4 * d)]
    block = [*weights, *((rows,) for rows, _ in weights), *[(d,)] * 4]
    n = setup.size(1000, 10)
    return {"one tensor": [(total,)], "a Transformer": 8 * block, f"{n:,} tensors": n * [(total // n,)]}


def stepping(make: Callable[..., Any], sizes: list[tuple[int, ...]], **options: Any) -> Callable[[Any], None]:
    """Step an optimizer of its own parameters, with gradients that every contender's random generator makes alike."""
    import torch

    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(size, generator=generator).requires_grad_() for size in sizes]
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)
    optimizer = make(params, **options)
    return lambda _: optimizer.step()


def step_rows(setup: Setup, raw: Times) -> list[Row]:
    import torch  # here: no other section shall run beside its threads

    from breadth.nn import optim

    rows = []
    for model, sizes in shapes(setup).items():
        for rule, options in RULES.items():
            name = rule.split(",")[0]
            ours, theirs = getattr(optim, name), getattr(torch.optim, name)
            contenders = {OURS: stepping(ours, sizes, **options), TORCH: stepping(theirs, sizes, **options)}
            bars: dict[str, float | None] = {TORCH: BAR}
            if rule in FUSED:
                contenders["torch fused"] = stepping(theirs, sizes, fused=True, **options)
                bars["torch fused"] = None
            times = interleave(contenders, lambda _: None, reps=setup.repetitions(31))
            rows += ratio_rows(f"{rule}, {model}", times, bars, raw)
    matrices = [size for size in shapes(setup)["a Transformer"] if len(size) == 2]
    contenders = {OURS: stepping(optim.Muon, matrices), TORCH: stepping(torch.optim.Muon, matrices)}
    times = interleave(contenders, lambda _: None, reps=setup.repetitions(5))
    return rows + ratio_rows("Muon, a Transformer's matrices", times, {TORCH: BAR}, raw)


def clip_rows(setup: Setup, raw: Times) -> list[Row]:
    import torch

    from breadth.nn.clip import clip_grad_norm_

    rows = []
    for model, sizes in shapes(setup).items():
        generator = torch.Generator().manual_seed(0)
        params = [torch.zeros(size, requires_grad=True) for size in sizes]
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        contenders = {
            # every run clips what the last one left at norm 1 to 1, which is measured and then scaled
            OURS: lambda _, params=params: clip_grad_norm_(params, 0.99),
            "torch.nn.utils": lambda _, params=params: torch.nn.utils.clip_grad_norm_(params, 0.99),
        }
        times = interleave(contenders, lambda _: None, reps=setup.repetitions(31))
        rows += ratio_rows(f"clip_grad_norm_, {model}", times, {"torch.nn.utils": BAR}, raw)
    return rows


SECTIONS = (
    Section(
        "optimizers",
        "Optimizer steps",
        "Float32, ten million parameters, as one tensor, as the 96 tensors of a Transformer of eight blocks, and as a "
        "thousand tensors of ten thousand; both with their defaults (momentum 0.9 and decay 1e-4 where it says so). "
        "torch.optim's default on a CPU goes tensor by tensor; its fused kernels are asked for by name. Muon iterates "
        "in float32 here and in bfloat16 there.",
        step_rows,
    ),
    Section(
        "clipping",
        "Gradient clipping",
        "By global norm, on gradients of the same shapes: measured and scaled. Ours adds up in rows of 1,024, which "
        "keeps seven digits of a sum where torch's float32 keeps three.",
        clip_rows,
    ),
)
