"""What cannot be decoded is refused, and the message names it."""

from __future__ import annotations

import math

import pytest
import torch

from breadth.lm.generation import as_rows, generate, stream

from .toy import ToyLM


@pytest.mark.parametrize(
    ("ids", "given", "message"),
    [
        ([], {}, "ids of row 0 are empty"),
        ([[1], []], {}, "ids of row 1 are empty"),
        (torch.zeros(0, 3, dtype=torch.int64), {}, "ids hold no prompt"),
        ([[1], [6]], {}, "ids of row 1 hold 6, outside the vocabulary of 6 tokens"),
        ([-1], {}, "ids of row 0 hold -1, outside"),
        ([1] * 70, {}, "prompt of 70 tokens and max_new_tokens=5 exceed the model's context of 64"),
        ([1] * 60, {}, "prompt of 60 tokens and max_new_tokens=5 exceed"),
        ([1] * 64, {"max_new_tokens": None}, "prompt of 64 tokens leaves nothing of the model's context of 64"),
        (torch.ones(1, 2), {}, "ids must be integers"),
        (torch.tensor([True]), {}, "ids must be integers"),
        ([1.5, 2], {}, "ids must be rows of integers, got torch.float32"),
        ([[1.0, 2.0]], {}, "ids must be rows of integers, got torch.float32"),
        ([[1], torch.tensor([1.0])], {}, "ids must be rows of integers, got torch.float32"),
        ([[[1, 2], [3, 4]]], {}, "ids must be rows of integers, got torch.int64 of shape"),
        ([[1, [2, 3]]], {}, "ids must be integers, got"),
        ([1], {"prefill_chunk": 0}, "prefill_chunk must be >= 1"),
        ([1], {"eos_token_id": [0, 6]}, "eos_token_id holds 6, outside the vocabulary of 6 tokens"),
        ([1], {"contrast_alpha": 0.5}, "contrast_alpha=0.5 needs amateur"),
        ([1], {"amateur_temperature": 0.5, "num_beams": 2}, "amateur_temperature=0.5 needs amateur"),
        ([1], {"draft_tokens": 2}, "draft_tokens=2 needs draft"),
        ([1], {"allowed": lambda ids: [0, 6]}, "allowed gave .0, 6., not all of which are in the vocabulary of 6"),
        ([1], {"allowed": lambda ids: []}, "leave no token to choose"),
        ("text", {}, "ids are text, and no tokenizer"),
        ([1], {"stop_strings": "x"}, "stop_strings need a tokenizer"),
        ([1], {"seed": [1, 2], "top_k": 3}, "seed must be one number or one for each of 1 rows, got 2"),
        ([1], {"num_beams": 2, "draft": ToyLM()}, "draft does not go with num_beams=2"),
        ([1], {"draft": ToyLM(), "amateur": ToyLM()}, "draft and amateur contradict each other"),
        ([1], {"draft": ToyLM(5)}, "draft has a vocabulary of 5 tokens, the model one of 6"),
        ([1], {"amateur": ToyLM(5)}, "amateur has a vocabulary of 5 tokens, the model one of 6"),
        ([1], {"penalty_alpha": 0.5, "top_k": 2, "draft": ToyLM()}, "takes no draft"),
        ([1], {"source": [1]}, "source is given to a model that has no encoder"),
        ([1], {"allowed": lambda ids: [], "top_k": 3}, "leave no token to draw"),
        ([1], {"num_beam": 3}, "num_beam is no option of generate: do you mean num_beams"),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded_is_named(ids, given, message):
    with pytest.raises(ValueError, match=message):
        generate(ToyLM(), ids, **{"max_new_tokens": 5, **given})


@pytest.mark.parametrize("given", [{}, {"top_k": 2}, {"num_beams": 2}, {"penalty_alpha": 0.5, "top_k": 2}])
def test_logits_that_are_nan_are_an_error(given):
    model = ToyLM()
    model.table[:] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        generate(model, [1], max_new_tokens=3, **given)


@pytest.mark.parametrize(
    ("model", "ids", "given", "message"),
    [
        (ToyLM(), None, {}, "ids must be ids, lists of ids, a tensor or texts, got NoneType"),
        ("folder", [1], {}, r"model must be a breadth\.lm\.LM, as load\(folder\) gives it, got str"),
        (ToyLM(), [1], {"seed": 1.5, "top_k": 2}, r"seed must be an integer, or one for each row, got 1\.5"),
    ],
)
def test_what_is_of_another_kind_is_named(model, ids, given, message):
    with pytest.raises(TypeError, match=message):
        generate(model, ids, max_new_tokens=2, **given)


def test_a_model_that_sees_both_sides_has_no_next_token():
    model = ToyLM()
    model.config.causal = False
    with pytest.raises(ValueError, match="model sees both sides of a token, and has no next one to give"):
        generate(model, [1], max_new_tokens=2)


def test_beams_are_not_streamed_and_a_mask_fits_its_ids():
    with pytest.raises(ValueError, match="num_beams > 1 cannot be streamed"):
        stream(ToyLM(), [1], num_beams=2)
    with pytest.raises(ValueError, match="valid must have the shape of ids"):
        as_rows(torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="valid is for ids in a tensor"):
        as_rows([[1]], torch.ones(1, 1, dtype=torch.bool))
