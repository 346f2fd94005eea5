"""Decoding from a language model of 100 million parameters beside transformers.generate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

PEER, SUM = "transformers.generate, float32", "a sum over the same bytes"
PROMPT, NEW, BATCH = 32, 24, 8
BARS = {
    "float32": 1 / 1.15,
    "int8": 1 / 2,
    "int4, groups of 32": 1 / 3.2,
    "int4, groups of 64": None,
}
BOUND_BAR, BATCH_BAR = 1 / 0.85, 1 / 1.3
Generate = Callable[[int], Any]


def models(setup: Setup) -> tuple[Any, dict[str, Any]]:
    """transformers' model of random weights, and the same in each format of ours."""
    import torch
    import transformers

    from breadth.lm import load
    from breadth.quant.packed import pack

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=setup.size(32_000, 256),
        hidden_size=setup.size(768, 64),
        intermediate_size=setup.size(2048, 128),
        num_hidden_layers=setup.size(12, 2),
        num_attention_heads=setup.size(12, 4),
        num_key_value_heads=setup.size(4, 2),
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    peer = transformers.LlamaForCausalLM(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        ours = {
            "float32": load(folder),
            "int8": pack(load(folder), "int8"),
            "int4, groups of 32": pack(load(folder), "int4"),
            "int4, groups of 64": pack(load(folder), "int4", group_size=64),
        }
    return peer, {name: model.eval() for name, model in ours.items()}


def prompts(peer: Any, lengths: list[int]) -> list[Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    return [torch.randint(3, peer.config.vocab_size, (n,), generator=generator) for n in lengths]


def theirs(peer: Any, rows: list[Any]) -> Generate:
    """Greedy, padded on the left where rows are of unequal length."""
    import torch

    longest = max(map(len, rows))
    ids = torch.stack([torch.nn.functional.pad(row, (longest - len(row), 0)) for row in rows])
    mask = torch.stack([torch.arange(longest) >= longest - len(row) for row in rows]).long()
    return lambda n: peer.generate(ids, attention_mask=mask, max_new_tokens=n, do_sample=False)[:, longest:]


def of_ours(model: Any, rows: list[Any]) -> Generate:
    from breadth.lm import generate

    given = [row.tolist() for row in rows]
    return lambda n: generate(model, given, max_new_tokens=n)


def decode_seconds(contenders: dict[str, Generate], new: int, reps: int) -> Times:
    """Seconds of each token after the first: those of new + 1 tokens less those of one, over new."""
    calls = {f"{name}|{n}": lambda _, run=run, n=n: run(n) for name, run in contenders.items() for n in (1, new + 1)}
    times = interleave(calls, lambda _: None, reps=reps)
    return {
        name: ((np.array(times[f"{name}|{new + 1}"]) - np.array(times[f"{name}|1"])) / new).tolist()
        for name in contenders
    }


def differing(peer: Generate, ours: Generate, new: int) -> int:
    """Tokens that are not the same, of those that float32 chose."""
    return sum(
        int((np.array(mine) != np.array(other)).sum())
        for mine, other in zip([list(row) for row in ours(new).ids], peer(new).tolist(), strict=True)
    )


def decoding_rows(setup: Setup, raw: Times) -> list[Row]:
    import torch

    torch.set_num_threads(1)
    peer, ours = models(setup)
    weights = [p.detach() for p in peer.parameters()]  # a tied pair comes once
    n_bytes = sum(w.nbytes for w in weights)
    new, reps = setup.size(NEW, 3), setup.repetitions(9)
    rows: list[Row] = []
    alone = prompts(peer, [PROMPT])
    with torch.inference_mode():
        contenders: dict[str, Generate] = {name: of_ours(model, alone) for name, model in ours.items()}
        contenders[PEER] = theirs(peer, alone)
        contenders[SUM] = lambda n: [[w.sum() for w in weights] for _ in range(n)]
        times = decode_seconds(contenders, new, reps)
        for name, bar in BARS.items():
            rows += ratio_rows(f"{name}, one token", {OURS: times[name], PEER: times[PEER]}, {PEER: bar}, raw)
        what = f"float32, one token, {n_bytes / 1e6:,.0f} MB of weights"
        rows += ratio_rows(what, {OURS: times["float32"], SUM: times[SUM]}, {SUM: BOUND_BAR}, raw)
        count = differing(contenders[PEER], contenders["float32"], new)
        rows.append(Row(f"float32: of {new} tokens, other than the peer's", count, "count", 0, PEER))
        ragged = prompts(peer, [int(n) for n in np.linspace(8, 8 * PROMPT, BATCH)])
        several = {OURS: of_ours(ours["float32"], ragged), PEER: theirs(peer, ragged)}
        what = f"float32, {BATCH} prompts of {len(ragged[0])} to {len(ragged[-1])} tokens"
        whole = interleave(
            {name: lambda _, run=run: run(new) for name, run in several.items()}, lambda _: None, reps=reps
        )
        rows += ratio_rows(f"{what}, {new} tokens each", whole, {PEER: BATCH_BAR}, raw)
        rows += ratio_rows(f"{what}, one token each", decode_seconds(several, new, reps), {PEER: None}, raw)
        count = differing(several[PEER], several[OURS], new)
        rows.append(Row(f"{what}: of {new * BATCH} tokens, other than the peer's", count, "count", 0, PEER))
    return rows


SECTIONS = (
    Section(
        "decoding",
        "Decoding from a language model",
        "A Llama-like model of 100 million parameters (width 768, 12 layers, 12 heads over 4, feed-forward 2,048, "
        f"vocabulary 32,000, tied), random weights, one thread. After a prompt of {PROMPT} tokens {NEW} are decoded "
        "greedily; the time of a token is that of a call for one more of them less that of a call for one, divided by "
        f"{NEW}, so that reading the prompt is in neither. The sum reads all weights once for each token.",
        decoding_rows,
    ),
)
