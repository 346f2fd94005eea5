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


def test_beams_are_not_streamed_and_a_mask_fits_its_ids():
    with pytest.raises(ValueError, match="num_beams > 1 cannot be streamed"):
        stream(ToyLM(), [1], num_beams=2)
    with pytest.raises(ValueError, match="valid must have the shape of ids"):
        as_rows(torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="valid is for ids in a tensor"):
        as_rows([[1]], torch.ones(1, 1, dtype=torch.bool))
