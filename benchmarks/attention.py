"""`attend` beside torch's scaled_dot_product_attention and flex_attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

SDPA, DENSE, NAIVE, FLEX = "SDPA causal", "SDPA, dense mask", "naive", "flex_attention"
HEADS, SHARED, DIM, WINDOW = 8, 2, 64, 128
BARS = {"causal": 1.05, f"window {WINDOW}": 0.6, "learned sinks": 0.8}
ERROR_BAR = 2e-6
Run = Callable[[Any], Any]


def forms(length: int, sinks: Any) -> dict[str, dict[str, Any]]:
    window = min(WINDOW, length // 2)
    return {
        "causal": {"causal": True},
        f"window {WINDOW}": {"causal": True, "window": window},
        "learned sinks": {"causal": True, "sinks": sinks},
    }


def dense(length: int, form: dict[str, Any]) -> Run:
    """SDPA with a mask that is made beforehand; a sink is one more key of zeros whose score the mask holds."""
    import torch
    from torch.nn.functional import pad, scaled_dot_product_attention

    i = torch.arange(length)
    behind = i[:, None] - i
    mask = (behind >= 0) & (behind < form.get("window", length))
    if "sinks" not in form:
        return lambda given: scaled_dot_product_attention(*given, attn_mask=mask, enable_gqa=True)
    added = torch.zeros(HEADS, length, length).masked_fill(~mask, -torch.inf)
    added = torch.cat((added, form["sinks"].detach()[:, None, None].expand(HEADS, length, 1)), -1)[None]

    def run(given: Any) -> Any:
        q, k, v = given
        k, v = (pad(t, (0, 0, 0, 1)) for t in (k, v))
        return scaled_dot_product_attention(q, k, v, attn_mask=added, enable_gqa=True)

    return run


def compiled(length: int, form: dict[str, Any]) -> Run:
    import torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    window = form.get("window", length)
    blocks = create_block_mask(lambda b, h, i, j: (i >= j) & (i - j < window), None, None, length, length, device="cpu")
    kernel = torch.compile(flex_attention, dynamic=False)
    return lambda given: kernel(*given, block_mask=blocks, enable_gqa=True)


def attention_rows(setup: Setup, raw: Times) -> list[Row]:
    """Times of the output alone, then with the gradients; errors of ours against float64."""
    import torch  # here: no other section shall run beside its threads
    from torch.nn.functional import scaled_dot_product_attention

    from breadth.nn.attention import attend

    torch.set_num_threads(setup.threads)
    length = setup.size(1024, 256)
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(1, heads, length, DIM, generator=generator) for heads in (HEADS, SHARED, SHARED)]
    sinks = torch.randn(HEADS, generator=generator)
    rows: list[Row] = []
    for what, form in forms(length, sinks).items():
        contenders: dict[str, Run] = {OURS: lambda given, form=form: attend(*given, **form)}
        bars: dict[str, float | None] = {DENSE: BARS[what], NAIVE: None}
        if what == "causal":
            contenders[SDPA] = lambda given: scaled_dot_product_attention(*given, is_causal=True, enable_gqa=True)
            bars = {SDPA: BARS[what], DENSE: None, NAIVE: None}
        contenders[DENSE] = dense(length, form)
        contenders[NAIVE] = lambda given, form=form: attend(*given, **form, engine="naive")
        learnt = dict(contenders)
        if what != "learned sinks" and not setup.smoke:  # on a CPU it has no sinks; it compiles for ten seconds
            contenders[FLEX] = compiled(length, form)
            bars[FLEX] = None
        with torch.no_grad():
            times = interleave(contenders, lambda _: given, reps=setup.repetitions(41))
            rows += ratio_rows(f"{what}, T = {length:,}", times, bars, raw)
            exact = attend(
                *(t.double() for t in given), **form | ({"sinks": sinks.double()} if "sinks" in form else {}),
                engine="naive",
            )  # fmt: skip
            error = (attend(*given, **form) - exact).abs().max().item()
        rows.append(Row(f"{what}, T = {length:,}: error against float64", error, "absolute", ERROR_BAR))
        leaves = [t.clone().requires_grad_() for t in given]
        times = interleave(
            {
                name: lambda leaves, run=run: torch.autograd.grad(run(leaves).sum(), leaves)
                for name, run in learnt.items()
            },
            lambda _, leaves=leaves: leaves,
            reps=setup.repetitions(21),
        )
        rows += ratio_rows(f"{what}, T = {length:,}, with gradients", times, dict.fromkeys(list(learnt)[1:]), raw)
    return rows


SECTIONS = (
    Section(
        "attention",
        "Attention",
        f"One sequence, {HEADS} query heads over {SHARED} key heads of {DIM}, float32, all contenders with as many "
        "threads; `attend` with the engine that it chooses. The dense mask is made before the time begins; with sinks "
        "it holds them as the scores of one more key. flex_attention is compiled before, and has neither gradients nor "
        'sinks on a CPU. naive: scores in memory, as the formula is written (engine "naive" of ours).',
        attention_rows,
    ),
)
