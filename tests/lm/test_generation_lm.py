"""Every strategy on the room's own model, with caches of all kinds, against its full forward call."""

from __future__ import annotations

import functools

import pytest
import torch

from breadth.lm.config import MLA, Layer, LMConfig, Rope
from breadth.lm.constrained import choose
from breadth.lm.generation import generate, stream
from breadth.lm.model import LM

PROMPTS = [[1, 2, 3, 4, 5, 6, 7], [4], [0, 5, 9]]
KINDS = ["full", "window", "latent", "learned"]
LENGTH = {"full": 30, "window": 105, "latent": 30, "learned": 30}  # the window's buffer of 99 tokens moves on


@functools.cache
def model(kind, noise=0.0):
    """Random weights far enough from 0 that logits differ; with noise, the same moved a little."""
    torch.manual_seed(0)
    layers = tuple(
        Layer(rope=None if kind == "learned" else 0, window=4 if kind == "window" and i else None) for i in range(3)
    )
    config = LMConfig(
        vocab_size=50,
        d_model=32,
        n_heads=4,
        n_kv_heads=4 if kind == "latent" else 2,
        head_dim=8,
        d_ff=48,
        layers=layers,
        ropes=() if kind == "learned" else (Rope(dim=4 if kind == "latent" else 8),),
        mla=MLA(q_rank=None, kv_rank=16, nope_dim=4, rope_dim=4, v_dim=8) if kind == "latent" else None,
        learned_positions=160 if kind == "learned" else 0,
        context_length=160,
    )
    made = LM(config).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        for parameter in made.parameters():
            parameter += noise * torch.randn_like(parameter)
    return made


@torch.inference_mode()
def log_p(lm, prompt, text):
    return lm(torch.tensor([[*prompt, *text]]))[0, len(prompt) - 1 : -1].log_softmax(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_takes_the_argmax_of_the_full_forward_call(kind):
    lm = model(kind)
    found = generate(lm, PROMPTS, max_new_tokens=LENGTH[kind])
    for prompt, ids, logprobs in zip(PROMPTS, found.ids, found.logprobs, strict=True):
        full = log_p(lm, prompt, ids)
        assert full.argmax(-1).tolist() == ids
        torch.testing.assert_close(
            torch.tensor(logprobs, dtype=torch.float64), full.amax(-1), rtol=1e-5, atol=1e-6
        )  # kept as float


@pytest.mark.parametrize("kind", KINDS)
def test_speculation_gives_the_greedy_tokens_with_every_cache(kind):
    lm, draft = model(kind), model(kind, noise=0.02)
    plain = generate(lm, PROMPTS, max_new_tokens=LENGTH[kind], eos_token_id=7)
    found = generate(lm, PROMPTS, max_new_tokens=LENGTH[kind], eos_token_id=7, draft=draft, draft_tokens=5)
    assert found.ids == plain.ids and 0 < found.accepted < found.proposed


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_beams_are_those_of_the_full_forward_call(kind):
    lm = model(kind)
    found = generate(lm, PROMPTS, max_new_tokens=25, num_beams=3, num_return_sequences=3)
    for prompt, ids, score in zip(found.prompts, found.ids, found.scores, strict=True):
        total = log_p(lm, prompt, ids).gather(-1, torch.tensor(ids)[:, None]).sum()
        assert score == pytest.approx(float(total) / 25, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_contrastive_search_goes_on_from_the_row_that_was_chosen(kind):
    lm = model(kind)
    found = generate(lm, PROMPTS, max_new_tokens=25, penalty_alpha=0.6, top_k=4)
    for prompt, ids, logprobs in zip(PROMPTS, found.ids, found.logprobs, strict=True):
        full = log_p(lm, prompt, ids)
        assert logprobs == pytest.approx(full.gather(-1, torch.tensor(ids)[:, None])[:, 0].tolist(), rel=1e-5)
        assert all(token in row.topk(4).indices for token, row in zip(ids, full, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_a_row_are_the_same_in_any_batch_and_after_an_interrupt(kind):
    lm = model(kind)
    given = {"max_new_tokens": 40, "temperature": 1.0, "top_p": 0.95}
    together = generate(lm, PROMPTS, seed=[1, 2, 3], **given)
    found = stream(lm, PROMPTS[1:2], seed=[2], **given)
    blocks, calls = lm.decoder.blocks, []

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt

    hook = blocks[1].register_forward_pre_hook(interrupt)  # the first layer has written, the others have not
    try:
        with pytest.raises(KeyboardInterrupt):
            list(found)
        assert len(found.result().ids[0]) == 5
        list(found)
    finally:
        hook.remove()
    assert found.result().ids[0] == together.ids[1]


@pytest.mark.parametrize("kind", KINDS)
def test_choices_have_the_log_probabilities_of_the_full_forward_call(kind):
    lm = model(kind)
    choices = [[1, 2], [3], [3, 1, 2], [1, 2, 9, 9, 9, 9]]
    found = choose(lm, PROMPTS[0], choices)
    for text, total in zip(choices, found.logprobs, strict=True):
        full = log_p(lm, PROMPTS[0], text).gather(-1, torch.tensor(text)[:, None]).sum()
        assert total == pytest.approx(float(full), rel=1e-9)


def test_an_encoder_decoder_generates_from_its_source():
    torch.manual_seed(1)
    shared = {"vocab_size": 30, "d_model": 16, "n_heads": 2, "n_kv_heads": 2, "head_dim": 8, "d_ff": 24}
    encoder = LMConfig(**shared, layers=(Layer(rope=0),), ropes=(Rope(dim=8),), causal=False)
    lm = LM(LMConfig(**shared, layers=(Layer(rope=0),) * 2, ropes=(Rope(dim=8),), encoder=encoder)).double().eval()
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    sources, starts = [[5, 6, 7, 8], [9]], [[0], [0]]
    for given in ({}, {"num_beams": 3}, {"temperature": 1.0, "num_return_sequences": 2, "seed": 0}):
        found = generate(lm, starts, source=sources, max_new_tokens=8, **given)
        each = len(found) // 2
        for r, (ids, logprobs) in enumerate(zip(found.ids, found.logprobs, strict=True)):
            with torch.inference_mode():
                full = lm(torch.tensor([[0, *ids]]), source=torch.tensor([sources[r // each]]))[0, :-1].log_softmax(-1)
            expected = full.gather(-1, torch.tensor(ids)[:, None])[:, 0].tolist()
            assert logprobs == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="source is missing: the model has an encoder"):
        generate(lm, [0], max_new_tokens=2)
