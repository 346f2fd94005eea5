"""`breadth generate`: text from a checkpoint."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

Dtype = Literal["float32", "bfloat16", "float16", "int8", "int4"]


def generate(
    model: Path,
    prompt: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    max_new_tokens: int | None = None,
    min_new_tokens: int | None = None,
    chat: Annotated[bool, Parameter(negative="")] = False,
    system: str | None = None,
    seed: int | None = None,
    do_sample: bool | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    epsilon_cutoff: float | None = None,
    eta_cutoff: float | None = None,
    repetition_penalty: float | None = None,
    presence_penalty: float | None = None,
    frequency_penalty: float | None = None,
    no_repeat_ngram_size: int | None = None,
    num_beams: int | None = None,
    length_penalty: float | None = None,
    early_stopping: bool | None = None,
    num_return_sequences: int | None = None,
    penalty_alpha: float | None = None,
    draft: Path | None = None,
    draft_tokens: int | None = None,
    amateur: Path | None = None,
    contrast_alpha: float | None = None,
    amateur_temperature: float | None = None,
    stop: Annotated[list[str] | None, Parameter(negative="")] = None,
    include_stop_strings: bool | None = None,
    eos_token_id: Annotated[list[int] | None, Parameter(negative="")] = None,
    max_time: float | None = None,
    dtype: Dtype | None = None,
    device: str = "cpu",
    plain: Annotated[bool, Parameter(negative="")] = False,
    output: Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"])] = "text",
) -> int:
    """Continue a prompt, and print the text as it comes.

    The checkpoint's generation_config.json holds unless an option says otherwise; --plain leaves it aside. A model with
    an encoder reads the prompt there, and writes its answer.

    Args:
        model: folder with config.json, safetensors and a tokenizer.
        prompt: text to continue; - reads standard input.
        max_new_tokens: budget; 256, or what the context leaves, if left out.
        chat: the prompt is what a user says, written with the checkpoint's chat template.
        system: of a conversation, what comes before; with --chat.
        min_new_tokens: tokens before it may end.
        seed: of what is drawn; the same seed gives the same text.
        do_sample: draw rather than take the likeliest; follows from the options below if left out.
        temperature: of the distribution; 0 takes the likeliest token.
        top_k: tokens that are drawn from.
        top_p: mass of the likeliest tokens that are drawn from.
        min_p: least probability, as a share of the likeliest token's.
        typical_p: mass of the tokens whose surprise is nearest the expected.
        epsilon_cutoff: least probability.
        eta_cutoff: least probability, lower where the distribution is flat.
        repetition_penalty: divides positive and multiplies negative logits of tokens that have come.
        presence_penalty: taken from logits of tokens that have come.
        frequency_penalty: the same, once for each time.
        no_repeat_ngram_size: no stretch of so many tokens comes twice.
        num_beams: of beam search; its text comes at the end.
        length_penalty: of beam search.
        early_stopping: of beam search: end once there are num_beams texts.
        num_return_sequences: texts; they come at the end.
        penalty_alpha: of contrastive search, with --top-k candidates.
        draft: folder of a smaller model that proposes tokens (speculative decoding).
        draft_tokens: how many it proposes at a time.
        amateur: folder of a smaller model to contrast with (contrastive decoding).
        contrast_alpha: least probability of a token, as a share of the likeliest one's, with --amateur.
        amateur_temperature: of the amateur's distribution.
        stop: a text that ends it; may be given several times.
        include_stop_strings: keep the text that ended it.
        eos_token_id: a token that ends it; may be given several times.
        max_time: budget in seconds.
        dtype: of the weights; the file's own if left out; int8 and int4 are packed.
        device: of torch, such as cpu or cuda.
        plain: leave generation_config.json aside.
        output: the text, or JSON with ids, log-probabilities and why it ended.
    """
    given = {
        "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "typical_p": typical_p,
        "epsilon_cutoff": epsilon_cutoff, "eta_cutoff": eta_cutoff, "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty, "frequency_penalty": frequency_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size, "num_beams": num_beams, "length_penalty": length_penalty,
        "num_return_sequences": num_return_sequences, "penalty_alpha": penalty_alpha, "stop_strings": stop,
        "max_time": max_time, "eos_token_id": eos_token_id, "min_new_tokens": min_new_tokens, "do_sample": do_sample,
        "early_stopping": early_stopping, "draft_tokens": draft_tokens, "contrast_alpha": contrast_alpha,
        "amateur_temperature": amateur_temperature, "include_stop_strings": include_stop_strings,
    }  # fmt: skip
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if system is not None and not chat:
        raise ValueError("--system belongs to --chat")
    for name, folder in (("model", model), ("--draft", draft), ("--amateur", amateur)):
        if folder is not None and not (folder / "config.json").is_file():
            raise ValueError(f"{name} {folder} must be a folder with config.json, *.safetensors and a tokenizer")
    from breadth.lm.options import Options, load_options
    from breadth.text import load_tokenizer

    options = Options() if plain else load_options(model)
    tokenizer = load_tokenizer(model)
    text = sys.stdin.read() if prompt == "-" else prompt
    if chat:
        messages = [{"role": "system", "content": system}] if system is not None else []
        written = tokenizer.apply_chat_template(
            [*messages, {"role": "user", "content": text}], add_generation_prompt=True
        )
        ids = tokenizer.encode(written, add_special_tokens=False)
    else:
        ids = tokenizer.encode(text)
    others = {name: _load(folder, None, device) for name, folder in (("draft", draft), ("amateur", amateur)) if folder}
    loaded = _load(model, dtype, device)
    call: dict[str, Any] = {"options": options, "tokenizer": tokenizer, "seed": seed}
    if loaded.config.encoder is not None:
        call["source"], ids = [ids], [_decoder_start(model)]
    if max_new_tokens is None:
        max_new_tokens = options.max_new_tokens or max(min(256, loaded.config.context_length - len(ids)), 1)
    call["max_new_tokens"] = max_new_tokens
    with _told_at_the_end():
        return _print(loaded, [ids], output, {**call, **others, **changes})


def _print(loaded: Any, ids: list[list[int]], output: Literal["text", "json"], call: dict[str, Any]) -> int:
    options = call["options"]
    if (
        output == "json"
        or call.get("num_beams", options.num_beams) > 1
        or call.get("num_return_sequences", options.num_return_sequences) > 1
    ):
        from breadth.lm.generation import generate as run

        return _print_whole(run(loaded, ids, **call), output)
    from breadth.lm.generation import stream

    for piece in stream(loaded, ids, **call):
        print(piece.text, end="", flush=True)
    print()
    return 0


def _decoder_start(folder: Path) -> int:
    """The id that begins an encoder-decoder's answers, as the checkpoint's files say."""
    for file in (folder / "generation_config.json", folder / "config.json"):
        start = json.loads(file.read_text(encoding="utf-8")).get("decoder_start_token_id") if file.exists() else None
        if start is not None:
            return start
    raise ValueError(f"{folder / 'config.json'} lacks decoder_start_token_id, which begins an encoder-decoder's text")


@contextmanager
def _told_at_the_end() -> Iterator[None]:
    """Warnings come behind the text, and not in the middle of it."""
    with warnings.catch_warnings(record=True) as told:
        try:
            yield
        finally:
            for warning in told:
                print(f"breadth: warning: {warning.message}", file=sys.stderr)


def _load(folder: Path, dtype: Dtype | None, device: str) -> Any:
    """The model, packed if it is asked for in 8 or 4 bits."""
    import torch

    from breadth.lm.hf.load import load

    if dtype != "int8" and dtype != "int4":
        return load(folder, dtype=None if dtype is None else getattr(torch, dtype), device=device)
    from breadth.quant.packed import pack

    model = pack(load(folder, dtype=torch.bfloat16, device=device), dtype)
    return model.float() if device == "cpu" else model  # what is not packed: the kernels take float32


def _print_whole(out: Any, output: str) -> int:
    if output == "json":
        rows = zip(out.texts, out.ids, out.logprobs, out.finish, strict=True)
        names = ("text", "ids", "logprobs", "finish")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False, indent=2))
    else:
        print("\n\n".join(out.texts))
    return 0
