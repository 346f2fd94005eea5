"""Processed scores equal those of transformers' logits processors, alone and in a list."""

from __future__ import annotations

import pytest
import torch
from transformers.generation import logits_process as peer

from breadth.lm.options import Options
from breadth.lm.penalties import no_repeat_ngram, repetition_penalty
from breadth.lm.pipeline import Pipeline
from breadth.lm.sampling import epsilon_cutoff, eta_cutoff, min_p, scale_temperature, top_k, top_p, typical

# ours, the peer, the value
CASES = [
    (top_k, peer.TopKLogitsWarper, 7),
    (top_k, peer.TopKLogitsWarper, 1),
    (top_p, peer.TopPLogitsWarper, 0.9),
    (top_p, peer.TopPLogitsWarper, 0.0),
    (min_p, peer.MinPLogitsWarper, 0.1),
    (typical, peer.TypicalLogitsWarper, 0.9),
    (typical, peer.TypicalLogitsWarper, 0.2),
    (epsilon_cutoff, peer.EpsilonLogitsWarper, 0.01),
    (eta_cutoff, peer.EtaLogitsWarper, 0.01),
    (eta_cutoff, peer.EtaLogitsWarper, 0.3),
]


def some_logits(dtype, scale, vocab=200, rows=16):
    g = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(rows, vocab, generator=g, dtype=torch.float64)
    logits[0] = logits[0].round()  # ties
    logits[1, ::3] = -torch.inf  # what another step left out
    return logits.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize(("ours", "theirs", "value"), CASES)
def test_a_filter_gives_the_peers_scores(ours, theirs, value, dtype, scale, keep):
    logits = some_logits(dtype, scale)
    expected = theirs(value, min_tokens_to_keep=keep)(torch.zeros(16, 1, dtype=torch.int64), logits.clone())
    assert torch.equal(ours(logits.clone(), value, min_tokens_to_keep=keep), expected)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_the_nucleus_of_a_large_vocabulary_is_the_peers(p, scale):
    g = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(3, 20_000, generator=g, dtype=torch.float64)  # where rounding moves no border
    expected = peer.TopPLogitsWarper(p, min_tokens_to_keep=2)(None, logits)
    assert torch.equal(top_p(logits, p, min_tokens_to_keep=2), expected)


@pytest.mark.parametrize("temperature", [1e-5, 0.7, 3.0])
def test_temperature_gives_the_peers_scores(temperature):
    logits = some_logits(torch.float32, 3.0)
    assert torch.equal(scale_temperature(logits, temperature), peer.TemperatureLogitsWarper(temperature)(None, logits))


@pytest.mark.parametrize("penalty", [0.8, 1.3])
def test_repetition_penalty_gives_the_peers_scores_with_padding(penalty):
    logits = some_logits(torch.float32, 3.0)
    ids = torch.randint(0, 200, (16, 50), generator=torch.Generator().manual_seed(1))
    pads = torch.arange(16)
    expected = peer.RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=pads)(ids, logits.clone())
    counted = torch.arange(50) >= pads[:, None]
    assert torch.equal(repetition_penalty(ids, logits, penalty, counted=counted), expected)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ngrams_are_banned_as_the_peer_bans_them(size):
    logits = some_logits(torch.float32, 3.0, vocab=6)
    ids = torch.randint(0, 6, (16, 30), generator=torch.Generator().manual_seed(2))
    expected = peer.NoRepeatNGramLogitsProcessor(size)(ids, logits.clone())
    assert torch.equal(no_repeat_ngram(ids, logits, size), expected)


def test_a_list_of_all_steps_gives_the_peers_scores_in_the_peers_order():
    logits = some_logits(torch.float32, 3.0)
    ids = torch.randint(0, 200, (16, 50), generator=torch.Generator().manual_seed(1))
    options = Options(
        repetition_penalty=1.2,
        no_repeat_ngram_size=2,
        temperature=1.3,
        top_k=60,
        top_p=0.95,
        min_p=0.01,
        typical_p=0.97,
        epsilon_cutoff=1e-4,
        eta_cutoff=1e-3,
    )
    theirs = peer.LogitsProcessorList(
        [
            peer.RepetitionPenaltyLogitsProcessor(1.2),
            peer.NoRepeatNGramLogitsProcessor(2),
            peer.TemperatureLogitsWarper(1.3),
            peer.TopKLogitsWarper(60),
            peer.TopPLogitsWarper(0.95),
            peer.MinPLogitsWarper(0.01),
            peer.TypicalLogitsWarper(0.97),
            peer.EpsilonLogitsWarper(1e-4),
            peer.EtaLogitsWarper(1e-3),
        ]
    )
    pipeline = options.pipeline()
    assert [name for name, _ in pipeline] == [
        "repetition_penalty", "no_repeat_ngram_size", "temperature", "top_k", "top_p", "min_p", "typical_p",
        "epsilon_cutoff", "eta_cutoff",
    ]  # fmt: skip
    assert torch.equal(pipeline(ids, logits.clone()), theirs(ids, logits.clone()))


def test_a_peers_processor_can_be_a_step():
    logits, ids = some_logits(torch.float32, 3.0), torch.zeros(16, 1, dtype=torch.int64)
    mixed = Pipeline([("temperature", 0.5), peer.TopKLogitsWarper(4)])
    assert torch.equal(mixed(ids, logits), Pipeline([("temperature", 0.5), ("top_k", 4)])(ids, logits))
