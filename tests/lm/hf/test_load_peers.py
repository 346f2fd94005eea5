"""Logits of loaded checkpoints beside transformers: whole, through the cache, in chunks, padded on either side."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

import breadth.lm
from tests.lm.hf.tiny import DECODERS, MODELS, VOCAB

T = 40
T5 = ("t5", "t5_v1.1")


def tolerance(name: str) -> float:
    """Sums in another order; T5's scores are not scaled, and reach 30."""
    return 1e-4 if name in T5 else 2e-5


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def agree(ours: torch.Tensor, theirs: torch.Tensor, name: str) -> None:
    assert ours.dtype == theirs.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance(name))


@pytest.fixture(scope="module")
def loaded(peer):
    """Maker of both models of a checkpoint, ours loaded once."""
    made = {}

    def make(name):
        if name not in made:
            theirs, folder = peer(name)
            made[name] = (breadth.lm.load(folder), theirs)
        return made[name]

    return make


def through_cache(model, ids, borders, **more):
    """Logits of the pieces between borders, one after the other."""
    cache = model.make_cache(len(ids), ids.shape[1])
    pieces = [model(ids[:, start:stop], cache=cache, **more) for start, stop in pairwise(borders)]
    assert cache.length == ids.shape[1]
    return torch.cat(pieces, 1)


@torch.inference_mode()
@pytest.mark.parametrize("name", DECODERS)
def test_decoders_have_transformers_logits(loaded, name):
    ours, theirs = loaded(name)
    ids = draw(2, T)
    reference = theirs(ids, use_cache=False).logits
    agree(ours(ids), reference, name)
    agree(ours(ids, last=True), reference[:, -1:], name)
    agree(through_cache(ours, ids, [0, 20, *range(21, T + 1)]), reference, name)
    agree(through_cache(ours, ids, [0, 13, 27, T]), reference, name)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["mistral", "gemma3", "llama4", "gpt_oss"])
def test_a_cache_that_forgets_what_no_window_sees_has_transformers_logits(loaded, name):
    ours, theirs = loaded(name)
    ids = draw(2, 230, seed=9)
    reference = theirs(ids, use_cache=False).logits
    cache = ours.make_cache(2, 230)
    borders = [0, 25, 150, 151, *range(153, 200, 3), 230]
    pieces = torch.cat([ours(ids[:, start:stop], cache=cache) for start, stop in pairwise(borders)], 1)
    agree(pieces, reference, name)
    everything = 2 * 230 * len(ours.config.layers) * ours.config.n_kv_heads * 2 * ours.config.head_dim * 4
    assert cache.nbytes() < everything, "windows keep less than the text"


@torch.inference_mode()
@pytest.mark.parametrize("name", DECODERS)
def test_padded_prompts_have_transformers_logits(loaded, name):
    ours, theirs = loaded(name)
    ids = draw(2, T, seed=1)
    valid = torch.ones(2, T, dtype=torch.bool)
    valid[1, 33:] = False
    reference = theirs(ids, attention_mask=valid.long(), use_cache=False).logits
    agree(ours(ids, valid=valid)[valid], reference[valid], name)

    valid = valid.flip(1)
    if name == "llama4":  # transformers counts padding in the temperature; a row without padding is what is meant
        reference = torch.zeros(2, T, VOCAB)
        for row, real in enumerate(valid):
            reference[row, real] = theirs(ids[row : row + 1, real], use_cache=False).logits[0]
    else:
        positions = (valid.long().cumsum(1) - 1).clamp(min=0)
        mask = valid.long()
        reference = theirs(ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    agree(ours(ids, valid=valid)[valid], reference[valid], name)

    cache = ours.make_cache(2, T)
    pieces = [ours(ids[:, a:b], cache=cache, valid=valid[:, :b]) for a, b in ((0, 11), (11, 25), (25, 26), (26, T))]
    agree(torch.cat(pieces, 1)[valid], reference[valid], name)


@torch.inference_mode()
@pytest.mark.parametrize("name", DECODERS)
def test_greedy_tokens_are_transformers(loaded, name):
    ours, theirs = loaded(name)
    ids = draw(2, 9, seed=2)
    reference = theirs.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0)
    cache, step, tokens = ours.make_cache(2, 33), ids, [ids]
    for _ in range(24):
        step = ours(step, cache=cache, last=True)[:, -1].argmax(-1, keepdim=True)
        tokens.append(step)
    assert torch.cat(tokens, 1).tolist() == reference.tolist()


@torch.inference_mode()
@pytest.mark.parametrize("name", T5)
@pytest.mark.parametrize("side", ["left", "right"])
def test_encoder_decoders_have_transformers_logits(loaded, name, side):
    ours, theirs = loaded(name)
    source, ids = draw(2, 30, seed=3), draw(2, T, seed=4)
    valid = torch.ones(2, 30, dtype=torch.bool)
    valid[1, 22:] = False
    valid = valid.flip(1) if side == "left" else valid
    reference = theirs(input_ids=source, attention_mask=valid.long(), decoder_input_ids=ids, use_cache=False).logits
    agree(ours(ids, source=source, source_valid=valid), reference, name)
    memory = ours.encode(source, valid)
    for borders in ([0, 20, *range(21, T + 1)], [0, 13, 27, T]):
        agree(through_cache(ours, ids, borders, memory=memory, memory_valid=valid), reference, name)


@torch.inference_mode()
@pytest.mark.parametrize("name", T5)
def test_greedy_translations_are_transformers(loaded, name):
    ours, theirs = loaded(name)
    source = draw(2, 30, seed=5)
    # without a cache: theirs has as many layers as the encoder, and this decoder has more
    options = {"max_new_tokens": 24, "min_new_tokens": 24, "do_sample": False, "num_beams": 1, "use_cache": False}
    reference = theirs.generate(source, **options)
    memory, step = ours.encode(source, None), torch.zeros(2, 1, dtype=torch.long)
    cache, tokens = ours.make_cache(2, 25), [step]
    for _ in range(24):
        logits = ours(step, cache=cache, memory=memory, last=True)[:, -1]
        logits[:, 1] = -torch.inf  # no end before 24 tokens
        step = logits.argmax(-1, keepdim=True)
        tokens.append(step)
    assert torch.cat(tokens, 1).tolist() == reference.tolist()


@torch.inference_mode()
@pytest.mark.parametrize("side", ["left", "right"])
def test_bert_has_transformers_logits(loaded, side):
    ours, theirs = loaded("bert")
    ids = draw(2, T, seed=6)
    types = (torch.arange(T) >= 17).long().expand(2, T)
    valid = torch.ones(2, T, dtype=torch.bool)
    valid[1, 30:] = False
    valid = valid.flip(1) if side == "left" else valid
    positions = (valid.long().cumsum(1) - 1).clamp(min=0) if side == "left" else torch.arange(T).expand(2, T)
    reference = theirs(ids, attention_mask=valid.long(), token_type_ids=types, position_ids=positions).logits
    agree(ours(ids, valid=valid, types=types)[valid], reference[valid], "bert")
    agree(ours(ids), theirs(ids).logits, "bert")


@torch.inference_mode()
@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_is_as_near_to_float32_as_transformers(loaded, peer, name):
    ours, theirs = loaded(name)
    folder = peer(name).folder
    half = breadth.lm.load(folder, dtype=torch.bfloat16)
    peers = type(theirs).from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="eager")
    ids, source = draw(2, T, seed=7), draw(2, 30, seed=8)
    if name in T5:
        exact = ours(ids, source=source)
        one = half(ids, source=source)
        other = peers(input_ids=source, decoder_input_ids=ids, use_cache=False).logits
    else:
        exact, one = ours(ids), half(ids)
        other = peers(ids, **({} if name == "bert" else {"use_cache": False})).logits
    assert one.dtype == torch.bfloat16
    errors = [(logits.float() - exact).abs().mean().item() for logits in (one, other)]
    assert errors[0] <= 1.5 * errors[1], errors
