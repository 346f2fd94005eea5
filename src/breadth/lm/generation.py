"""Text from a language model: one call for every strategy, at once or as a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from breadth.lm.beam import beam_search
from breadth.lm.contrastive import ContrastiveSearch, ContrastReader
from breadth.lm.draws import Uniforms, draw
from breadth.lm.options import Options, make_options
from breadth.lm.pipeline import Pipeline
from breadth.lm.session import Reader, Session
from breadth.lm.speculative import Speculative
from breadth.lm.stopping import Callback, Decoder
from breadth.lm.streaming import Choice, Generation, Stops, Stream

Prompts = Tensor | Sequence[int] | Sequence[Sequence[int]] | str | Sequence[str]


def generate(
    model: Any,
    ids: Prompts,
    *,
    valid: Tensor | None = None,
    options: Options | None = None,
    tokenizer: Any = None,
    seed: int | Sequence[int] | None = None,
    callback: Callback | None = None,
    draft: Any = None,
    amateur: Any = None,
    source: Prompts | None = None,
    cache: Any = None,
    prefill_chunk: int | None = None,
    **changes: Any,
) -> Generation:
    """Continue each prompt until it ends.

        generate(model, ids, max_new_tokens=50)                                        # greedy
        generate(model, ids, max_new_tokens=50, temperature=0.8, top_p=0.95, seed=0)   # sampling
        generate(model, ids, max_new_tokens=50, num_beams=4, num_return_sequences=4)   # beam search, its 4 best
        generate(model, ids, max_new_tokens=50, penalty_alpha=0.6, top_k=4)            # contrastive search
        generate(model, ids, max_new_tokens=50, amateur=small)                         # contrastive decoding
        generate(model, ids, max_new_tokens=50, draft=small)                           # speculative decoding

    Args:
        model: a `breadth.lm.LM`.
        ids: one prompt or several, of any lengths: ids as a list, lists, or a tensor (batch, length) with `valid`; or
            texts, if a tokenizer is given.
        valid: bool, shape of a tensor of ids: False for padding, on either side.
        options: what holds unless changed, for example `load_options(folder)`.
        tokenizer: for texts and stop strings: a `breadth.text.Tokenizer`, or what has `encode` and `decode`.
        seed: of what is drawn: a number, or one for each row, in which case a row's draws depend on its own alone; None
            takes one from torch's global generator. A row's draws never depend on how the other rows fare.
        callback: called with each row's text and generated ids after each token; a true answer ends the row.
        draft: a smaller model of the same vocabulary that proposes tokens for speculative decoding.
        amateur: a smaller model of the same vocabulary to contrast with.
        source: what the encoder of an encoder-decoder reads, as ids; `ids` then begin the decoder's text.
        cache: of a model that has read the first tokens of the prompts, all of one length, to go on from.
        prefill_chunk: read prompts in stretches of so many tokens, to bound memory.
        **changes: fields of `Options`, over `options`.

    Returns:
        Rows of ids, log-probabilities and texts, and why each ended.

    Raises:
        ValueError: if an option is unknown, out of its range or contradicts another; if a prompt is empty, holds an id
            outside the vocabulary, or exceeds the context with max_new_tokens; if logits hold NaN.

    Cost: a call of the model for each prompt and, with a cache, one for each token after the first.
    Deviations: see `Options`. Rows that have ended are computed until half of the rows have.
    References: Holtzman et al. 2020, arXiv:1904.09751 (decoding strategies); each strategy's own file.
    Peer: transformers.generate: greedy, with penalties and by beams, equal tokens (A).
    In production: use it on one machine for research and batch work; vLLM where many requests come in at once.
    """
    options = make_options(changes, options)
    given: dict[str, Any] = {
        "valid": valid, "options": options, "tokenizer": tokenizer, "callback": callback, "amateur": amateur,
        "source": source, "prefill_chunk": prefill_chunk,
    }  # fmt: skip
    if options.num_beams == 1:
        found = stream(model, ids, seed=seed, draft=draft, cache=cache, **given)
        for _ in found:
            pass
        return found.result()
    for name, value in (("draft", draft), ("cache", cache)):
        if value is not None:
            raise ValueError(f"{name} does not go with num_beams={options.num_beams}")
    _check_others(options, draft, amateur)
    with torch.inference_mode():
        prompts, reader, stops = _begin(model, ids, **given)
        return beam_search(
            reader,
            [prompt.tolist() for prompt in prompts],
            stops,
            num_beams=options.num_beams,
            num_return_sequences=options.num_return_sequences,
            length_penalty=options.length_penalty,
            early_stopping=options.early_stopping,
            pipeline=options.pipeline(),
        )


def stream(
    model: Any,
    ids: Prompts,
    *,
    valid: Tensor | None = None,
    options: Options | None = None,
    tokenizer: Any = None,
    seed: int | Sequence[int] | None = None,
    callback: Callback | None = None,
    draft: Any = None,
    amateur: Any = None,
    source: Prompts | None = None,
    cache: Any = None,
    prefill_chunk: int | None = None,
    **changes: Any,
) -> Stream:
    """The same as `generate`, as it comes: an iterator of pieces, whose `result()` is what there is so far.

        for piece in stream(model, "Once", tokenizer=tokenizer, max_new_tokens=50):
            print(piece.text, end="", flush=True)

    After a KeyboardInterrupt the stream and its cache are as they were after the last whole token: `result()` holds
    what was generated, and iterating goes on from there.

    Args and errors: those of `generate`; beams cannot be streamed, since the best is known only at the end.
    """
    options = make_options(changes, options)
    if options.num_beams > 1:
        raise ValueError("num_beams > 1 cannot be streamed: which beam is best is known at the end; call generate")
    _check_others(options, draft, amateur)
    with torch.inference_mode():
        prompts, reader, stops = _begin(
            model, ids, valid=valid, options=options, tokenizer=tokenizer, callback=callback, source=source,
            cache=cache, amateur=amateur, prefill_chunk=prefill_chunk,
        )  # fmt: skip
    alpha, copies = options.penalty_alpha, options.num_return_sequences
    rows = [prompt.tolist() for prompt in prompts for _ in range(copies)]
    if seed is None and options.samples:
        seed = int(torch.randint(2**31, ()))
    pipeline = options.pipeline()
    if alpha is not None:
        strategy: Any = ContrastiveSearch(reader, pipeline, alpha=alpha, k=options.top_k or 1)
    elif draft is not None:
        _same_vocabulary("draft", draft, model)
        given = [prompt for prompt in prompts for _ in range(copies)]
        with torch.inference_mode():
            drafter = Session(draft, given, room=stops.budget, prefill_chunk=prefill_chunk)
        strategy = Speculative(
            reader,
            drafter,
            pipeline,
            tokens=options.draft_tokens,
            copies=copies,
            seed=seed if options.samples else None,
        )
    else:
        uniforms = Uniforms(seed, len(rows)) if options.samples and seed is not None else None
        strategy = NextToken(reader, pipeline, uniforms, copies=copies)
    return Stream(strategy, rows, stops)


class NextToken:
    """One token a row and step: the most likely one, or one drawn.

    Greedy decoding takes argmax_v z_v, the first of those that tie; sampling draws from softmax(z), where z are the
    logits after the pipeline's steps.

    Args:
        reader: the rows.
        pipeline: the steps.
        uniforms: what to draw with; None decodes greedily.
        copies: rows for each prompt, which is read once.

    Cost: a call of the model for each step, on the rows that go on: when half of them have ended, the cache is copied
        without these.
    References: Holtzman et al. 2020, arXiv:1904.09751.
    Peer: transformers.generate, equal tokens (A); exact probabilities, chi-square (B).
    """

    def __init__(self, reader: Reader, pipeline: Pipeline, uniforms: Uniforms | None, *, copies: int = 1) -> None:
        self.reader, self.pipeline, self.uniforms, self.copies = reader, pipeline, uniforms, copies
        self._rows = list(range(len(reader.ids) * copies))  # number of each row that the reader still holds

    @torch.inference_mode()
    def advance(self, live: Sequence[bool]) -> list[list[Choice]]:
        """Decide on each live row's next token."""
        reader = self.reader
        left = [i for i, r in enumerate(self._rows) if live[r]]
        if len(reader.ids) == len(self._rows) >= 2 * len(left):
            reader.reorder(torch.tensor(left, device=reader.ids.device))
            self._rows = [self._rows[i] for i in left]
        logits, scores = reader.read()  # (B, V)
        changed = scores is not logits or len(self.pipeline) > 0
        if len(reader.ids) < len(self._rows):
            reader.fork(self.copies)
        if len(logits) < len(self._rows):
            logits, scores = (each.repeat_interleave(self.copies, 0) for each in (logits, scores))
        if len(self.pipeline):
            generated = torch.arange(reader.length, device=logits.device) >= reader.start
            scores = self.pipeline(
                reader.known, scores, valid=reader.valid, generated=generated.expand(len(logits), -1)
            )
        going = [live[r] for r in self._rows]
        if not all(going):  # whatever a row holds that has ended
            scores = scores.masked_fill(~torch.tensor(going, device=scores.device)[:, None], 0)
        if self.uniforms is None:
            tokens = scores.argmax(-1)
        else:
            tokens = draw(scores, self.uniforms.row(reader.length - reader.start, self._rows))
        logprobs = logprobs_of(logits, tokens)
        drawn = logprobs_of(scores, tokens) if changed else logprobs
        found: list[list[Choice]] = [[] for _ in live]
        for r, *choice in zip(self._rows, tokens.tolist(), logprobs.tolist(), drawn.tolist(), strict=True):
            if live[r]:
                found[r] = [Choice(*choice)]
                if math.isnan(choice[1]) or math.isnan(choice[2]):
                    raise ValueError(f"logits of row {r} hold NaN, or leave no token to choose")
        reader.append(tokens)
        return found

    def mark(self) -> Any:
        """Where the rows end."""
        return self.reader.mark()

    def rewind(self, mark: Any) -> None:
        """Forget what came after a mark."""
        self.reader.rewind(mark)


def logprobs_of(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of one token a row: log_softmax(logits)[token], shape (batch,)."""
    return logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)


def _check_others(options: Options, draft: Any, amateur: Any) -> None:
    """Other models beside options that have no use for them, and the other way round."""
    for name, value in (("draft", draft), ("amateur", amateur)):
        if options.penalty_alpha is not None and value is not None:
            raise ValueError(f"penalty_alpha is contrastive search, which takes no {name}")
    if draft is not None and amateur is not None:
        raise ValueError("draft and amateur contradict each other: give one of them")
    of_others = {"draft_tokens": ("draft", draft), "contrast_alpha": ("amateur", amateur)}
    of_others["amateur_temperature"] = of_others["contrast_alpha"]
    for option, (name, value) in of_others.items():
        if value is None and getattr(options, option) != getattr(Options, option):
            raise ValueError(f"{option}={getattr(options, option)} needs {name}, a second model")


def _begin(
    model: Any,
    ids: Prompts,
    *,
    valid: Tensor | None,
    options: Options,
    tokenizer: Any,
    callback: Callback | None,
    source: Prompts | None,
    amateur: Any = None,
    cache: Any = None,
    prefill_chunk: int | None = None,
) -> tuple[list[Tensor], Reader, Stops]:
    """Prompts as rows, what reads them, and what ends them."""
    if not hasattr(model, "make_cache"):
        raise TypeError(f"model must be a breadth.lm.LM, as load(folder) gives it, got {type(model).__name__}")
    outside = [token for token in options.ends if token >= model.config.vocab_size]
    if outside:
        raise ValueError(f"eos_token_id holds {outside[0]}, outside the vocabulary of {model.config.vocab_size} tokens")
    prompts = as_rows(ids, valid, tokenizer)
    if options.stops and tokenizer is None:
        raise ValueError("stop_strings need a tokenizer, since they are looked for in the text")
    budget = options.max_new_tokens
    if budget is None:
        budget = model.config.context_length - max((len(prompt) for prompt in prompts), default=0)
        if budget < 1:
            raise ValueError(
                f"prompt of {model.config.context_length - budget} tokens leaves nothing of the model's context of "
                f"{model.config.context_length}"
            )
    read = None if source is None else as_rows(source, None, tokenizer)
    reader: Reader = Session(model, prompts, room=budget, cache=cache, source=read, prefill_chunk=prefill_chunk)
    if amateur is not None:
        _same_vocabulary("amateur", amateur, model)
        second = Session(amateur, prompts, room=budget, source=read, prefill_chunk=prefill_chunk)
        reader = ContrastReader(
            reader, second, alpha=options.contrast_alpha, amateur_temperature=options.amateur_temperature
        )
    text: Decoder | None = tokenizer
    stops = Stops(budget, options.ends, options.stops, options.include_stop_strings, callback, text, options.max_time)
    return prompts, reader, stops


def as_rows(ids: Prompts, valid: Tensor | None = None, tokenizer: Any = None) -> list[Tensor]:
    """Prompts in any form as rows of ids.

    Args:
        ids: ids as a list, lists, or a tensor of shape (length,) or (batch, length); a text, or several.
        valid: bool, shape of a tensor of ids, False for padding.
        tokenizer: what texts are encoded with.

    Returns:
        Rows, each int64 of shape (length,).

    Raises:
        ValueError: if texts come without a tokenizer, ids are no integers, or valid does not fit.
        TypeError: if ids are nothing of these.
    """
    if isinstance(ids, str):
        ids = [ids]
    if not isinstance(ids, Tensor):
        if not hasattr(ids, "__len__"):
            raise TypeError(f"ids must be ids, lists of ids, a tensor or texts, got {type(ids).__name__}")
        if len(ids) and isinstance(ids[0], str):
            if tokenizer is None:
                raise ValueError("ids are text, and no tokenizer is given to encode it with")
            ids = [tokenizer.encode(text) for text in ids]
        if len(ids) == 0 or not hasattr(ids[0], "__len__"):
            ids = [cast(Sequence[int], ids)]
        if valid is not None:
            raise ValueError("valid is for ids in a tensor: lists may differ in length")
        return [_row(row) for row in ids]
    if not _are_integers(ids) or ids.dim() not in (1, 2):
        raise ValueError(f"ids must be integers of shape (batch, length), got {ids.dtype} of shape {tuple(ids.shape)}")
    rows = ids.long() if ids.dim() == 2 else ids.long()[None]
    if valid is None:
        return list(rows)
    if valid.shape != rows.shape:
        raise ValueError(f"valid must have the shape of ids, {tuple(rows.shape)}, got {tuple(valid.shape)}")
    return [row[keep.bool()] for row, keep in zip(rows, valid, strict=True)]


def _row(ids: Any) -> Tensor:
    """One prompt, int64, shape (length,)."""
    try:
        row = torch.as_tensor(ids) if len(ids) else torch.zeros(0, dtype=torch.int64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"ids must be integers, got {ids!r}") from error
    if row.dim() != 1 or not _are_integers(row):
        raise ValueError(f"ids must be rows of integers, got {row.dtype} of shape {tuple(row.shape)}")
    return row.long()


def _are_integers(ids: Tensor) -> bool:
    return not (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool)


def _same_vocabulary(name: str, other: Any, model: Any) -> None:
    if other.config.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"{name} has a vocabulary of {other.config.vocab_size} tokens, the model one of {model.config.vocab_size}"
        )
