"""Beam search: the likeliest texts that a bounded number of candidates leads to."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from breadth.lm.pipeline import Pipeline
from breadth.lm.session import Reader
from breadth.lm.streaming import Choice, Generation, Row, Stops

EarlyStopping = bool | Literal["never"]


@dataclass
class Hypothesis:
    """A finished text: its score, its tokens, and their log-probabilities before and after the steps."""

    score: float
    ids: list[int]
    logprobs: list[float]
    drawn: list[float]


def beam_search(
    reader: Reader,
    prompts: list[list[int]],
    stops: Stops,
    *,
    num_beams: int,
    num_return_sequences: int = 1,
    length_penalty: float = 1.0,
    early_stopping: EarlyStopping = False,
    pipeline: Pipeline | None = None,
) -> Generation:
    """The best finished texts that are found by keeping the num_beams likeliest unfinished ones at each step.

    A text of n generated tokens scores sum_i log p(x_i | x_<i) / n ** length_penalty. At each step every beam is
    extended by every token; of the likeliest extensions, those that end are finished if they are among the first
    num_beams, and the num_beams likeliest that do not end go on.

    Args:
        reader: the prompts, not read yet.
        prompts: their ids.
        stops: what ends a text.
        num_beams: unfinished and finished texts kept for each prompt, >= 2.
        num_return_sequences: how many of the finished ones to return, best first, <= num_beams.
        length_penalty: exponent; 0 compares sums, which favours short texts, 1 means, above 1 favours long ones.
        early_stopping: when a prompt with num_beams finished texts is done. True: at once. False: when its best
            unfinished text, scored at its present length, is below its worst finished one. "never": when no
            continuation of it can score higher, which for length_penalty > 0 supposes that it grows to the budget.
        pipeline: steps that change log-probabilities; they are not normalised again.

    Returns:
        num_return_sequences rows for each prompt, with scores.

    Raises:
        ValueError: if fewer texts than num_return_sequences exist, or log-probabilities are NaN.

    Cost: a call of the model on batch * num_beams rows for each step, and a copy of its cache.
    Deviations: none from transformers, whose three stopping rules these are; exact search needs "never" and
        length_penalty 0.
    References: Lowerre 1976, "The HARPY Speech Recognition System" (beam search); Wu et al. 2016, arXiv:1609.08144,
        eq. 14 (length penalty; here n ** a in place of ((5 + n) / 6) ** a).
    Peer: transformers.generate, equal tokens and scores (A); exhaustive search over a small vocabulary with beams
        enough to hold it all (B).
    In production: use it for translation and summaries; sampling where a text may be long and open.
    """
    batch, K = len(prompts), num_beams
    ends = torch.tensor(stops.ends, dtype=torch.int64)
    running = torch.full((batch, K), -math.inf)
    running[:, 0] = 0  # all beams begin alike: only the first counts
    kept = torch.zeros(2, batch * K, 0)  # log-probabilities of the tokens of each beam, for the model and after steps
    finished: list[list[Hypothesis]] = [[] for _ in prompts]
    open_ = [True] * batch  # whether a prompt's finished texts may still change
    until = None if stops.seconds is None else time.monotonic() + stops.seconds

    for made in range(1, stops.budget + 1):
        logits, scores = reader.read()
        contrasted = scores is not logits
        if made == 1:
            reader.fork(K)
            logits, scores = (each.repeat_interleave(K, 0) for each in (logits, scores))
        model_log_p = logits.log_softmax(-1)  # (B K, V)
        log_p = scores if contrasted else model_log_p
        if pipeline:
            generated = torch.arange(reader.length, device=logits.device) >= reader.start
            log_p = pipeline(reader.known, log_p, valid=reader.valid, generated=generated.expand(len(logits), -1))
        if torch.isnan(log_p).any():
            raise ValueError("logits hold NaN")
        V = log_p.shape[-1]
        total = (log_p.view(batch, K, V) + running.to(log_p.device)[:, :, None]).view(batch, K * V)
        values, places = total.topk(min(max(2, 1 + len(ends)) * K, K * V))
        values, places = values.float().cpu(), places.cpu()
        beams, tokens = places // V, places % V  # (B, extensions)
        last = made == stops.budget or (until is not None and time.monotonic() > until)
        ended = _ended(reader, beams, tokens, ends, stops, last, K)

        # each extension's tokens and log-probabilities, for those that finish here
        rows = beams + torch.arange(batch)[:, None] * K
        steps = torch.stack([p.cpu()[rows, tokens] for p in (model_log_p, log_p)])  # (2, B, extensions)
        for b in range(batch):
            if not open_[b] or (early_stopping is True and len(finished[b]) == K):
                continue
            for j in range(K):
                if ended[b, j] and values[b, j] > -math.inf:
                    row = int(rows[b, j])
                    paths = [[*kept[i, row].tolist(), float(steps[i, b, j])] for i in range(2)]
                    ids = [*reader.ids[row, reader.start : reader.length].tolist(), int(tokens[b, j])]
                    finished[b].append(Hypothesis(float(values[b, j]) / made**length_penalty, ids, *paths))
            finished[b] = sorted(finished[b], key=lambda h: -h.score)[:K]

        running, going = values.masked_fill(ended, -math.inf).topk(K)  # (B, K)
        for b in range(batch):
            if len(finished[b]) == K:
                reach = stops.budget if early_stopping == "never" and length_penalty > 0 else made
                open_[b] &= float(running[b, 0]) / reach**length_penalty > finished[b][-1].score
        full = all(len(found) == K for found in finished)
        if not any(open_) or (early_stopping is True and full) or bool(torch.isinf(running).all()):
            break
        chosen = rows.gather(1, going).view(-1)
        steps = steps.gather(2, going.expand(2, -1, -1)).view(2, -1, 1)
        kept = torch.cat([kept[:, chosen], steps], -1)
        reader.reorder(chosen.to(reader.ids.device))
        reader.append(tokens.gather(1, going).view(-1).to(reader.ids.device))
    return _result(prompts, finished, stops, num_return_sequences)


def _ended(reader: Reader, beams: Tensor, tokens: Tensor, ends: Tensor, stops: Stops, last: bool, K: int) -> Tensor:
    """Whether each extension ends its text, bool, shape of tokens."""
    if last:
        return torch.ones_like(tokens, dtype=torch.bool)
    ended = torch.isin(tokens, ends)
    if stops.strings or stops.callback is not None:
        for b, j in (~ended).nonzero().tolist():
            before = reader.ids[b * K + int(beams[b, j]), reader.start : reader.length].tolist()
            row = Row(stops)
            for token in (*before, int(tokens[b, j])):
                row.take(0, Choice(token, 0.0, 0.0))
            ended[b, j] = row.reason is not None
    return ended


def _result(prompts: list[list[int]], finished: list[list[Hypothesis]], stops: Stops, count: int) -> Generation:
    rows: list[Row] = []
    for b, found in enumerate(finished):
        if len(found) < count:
            raise ValueError(
                f"num_return_sequences={count} exceeds the {len(found)} texts that there are for prompt {b}"
            )
        for hypothesis in found[:count]:
            row = Row(stops)
            for each in zip(hypothesis.ids, hypothesis.logprobs, hypothesis.drawn, strict=True):
                row.take(0, Choice(*each))
            row.reason = row.reason or "time"
            rows.append(row)
    return Generation(
        prompts=[prompt for prompt in prompts for _ in range(count)],
        ids=[row.ids for row in rows],
        texts=None if stops.tokenizer is None else [row.text for row in rows],
        logprobs=[row.logprobs for row in rows],
        drawn_logprobs=[row.drawn for row in rows],
        finish=[row.reason for row in rows],
        scores=[hypothesis.score for found in finished for hypothesis in found[:count]],
    )
