"""Tokens and scores equal those of transformers.generate on tiny models."""

from __future__ import annotations

import functools

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from breadth.lm.generation import generate

from .bridge import Bridge

PROMPTS = [[5, 9, 2, 7, 7], [3], [1, 8, 4]]
END = 11


@functools.cache
def tiny(family):
    """A small random model whose logits are far enough apart that rounding decides nothing, and ours around it."""
    torch.manual_seed(0)
    if family == "llama":
        config = LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.3, eos_token_id=None,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
    else:
        config = GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3)
        model = GPT2LMHeadModel(config)
    return model.eval(), Bridge(model)


def padded(prompts):
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    return ids, torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])


def theirs(model, prompts, **given):
    """Generated ids of each row up to the end, and scores of beams."""
    ids, mask = padded(prompts)
    out = model.generate(
        ids,
        attention_mask=mask,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
        do_sample=False,
        **given,
    )
    ends = given.get("eos_token_id", [])
    rows = []
    for row in out.sequences[:, ids.shape[1] :].tolist():
        stop = [i for i, token in enumerate(row) if token in (ends if isinstance(ends, list) else [ends])]
        rows.append(row[: stop[0] + 1] if stop else row)
    return rows, getattr(out, "sequences_scores", None)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"eos_token_id": [END, 30]},
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
        {"repetition_penalty": 0.8, "no_repeat_ngram_size": 3},
        {"min_new_tokens": 10, "eos_token_id": [END, 30, 2, 4, 6]},
    ],
)
def test_greedy_tokens_are_the_peers_for_ragged_prompts(family, given):
    model, ours = tiny(family)
    expected, _ = theirs(model, PROMPTS, max_new_tokens=40, **given)
    assert generate(ours, PROMPTS, max_new_tokens=40, **given).ids == expected


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 2.0, -0.5])
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("beams", [2, 5])
def test_beams_are_the_peers(family, length_penalty, early_stopping, beams):
    model, ours = tiny(family)
    given = {
        "max_new_tokens": 20,
        "num_beams": beams,
        "num_return_sequences": beams,
        "length_penalty": length_penalty,
        "early_stopping": early_stopping,
        "eos_token_id": [END, 30, 2],
    }
    found = generate(ours, PROMPTS, **given)
    expected, scores = theirs(model, PROMPTS, **given)
    assert found.ids == expected
    # sums of 20 float32 log-probabilities
    torch.testing.assert_close(torch.tensor(found.scores), scores, rtol=1e-5, atol=1e-5)


def test_beams_with_penalties_are_the_peers():
    model, ours = tiny("llama")
    given = {"max_new_tokens": 20, "num_beams": 4, "repetition_penalty": 1.2, "no_repeat_ngram_size": 2}
    assert generate(ours, PROMPTS, **given).ids == theirs(model, PROMPTS, **given)[0]


def test_n_return_sequences_of_one_prompt_are_the_peers_sorted_beams():
    model, ours = tiny("gpt2")
    given = {"max_new_tokens": 12, "num_beams": 6, "num_return_sequences": 3, "eos_token_id": END}
    assert generate(ours, [PROMPTS[0]], **given).ids == theirs(model, [PROMPTS[0]], **given)[0]


def test_speculative_decoding_gives_the_peers_greedy_tokens():
    model, ours = tiny("llama")
    torch.manual_seed(0)
    draft = LlamaForCausalLM(model.config).eval()
    draft.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in draft.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    found = generate(ours, PROMPTS, max_new_tokens=40, draft=Bridge(draft), draft_tokens=5, eos_token_id=END)
    assert found.ids == theirs(model, PROMPTS, max_new_tokens=40, eos_token_id=END)[0]
    assert 0 < found.accepted < found.proposed


def test_contrastive_search_follows_the_formula_on_a_real_model():
    _, ours = tiny("gpt2")
    found = generate(ours, PROMPTS, max_new_tokens=10, penalty_alpha=0.6, top_k=4)
    for prompt, text in zip(PROMPTS, found.ids, strict=True):
        ids = list(prompt)
        for token in text:
            with torch.inference_mode():
                p = ours(torch.tensor([ids]))[0, -1].softmax(-1)
                scores = {}
                for v in p.topk(4).indices.tolist():
                    states = ours(torch.tensor([[*ids, v]]), hidden=True)[1][0].double()
                    cosine = torch.nn.functional.cosine_similarity(states[-1:], states[:-1])
                    scores[v] = 0.4 * float(p[v]) - 0.6 * float(cosine.max())
            assert token == max(scores, key=scores.__getitem__)
            ids.append(token)


def test_logprobs_are_those_of_the_peers_scores():
    model, ours = tiny("llama")
    ids, mask = padded(PROMPTS)
    out = model.generate(
        ids, attention_mask=mask, pad_token_id=0, return_dict_in_generate=True, output_logits=True, max_new_tokens=10,
        do_sample=False,
    )  # fmt: skip
    found = generate(ours, PROMPTS, max_new_tokens=10)
    log_p = torch.stack(out.logits, 1).log_softmax(-1)
    expected = log_p.gather(-1, out.sequences[:, ids.shape[1] :, None]).squeeze(-1)
    torch.testing.assert_close(torch.tensor(found.logprobs), expected, rtol=1e-4, atol=1e-5)  # float32 attention sums
