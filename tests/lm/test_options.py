"""Options that contradict each other, and those that a checkpoint's file asks for."""

from __future__ import annotations

import json

import pytest
import torch

from breadth.lm.options import Options, load_options, make_options
from breadth.lm.pipeline import Pipeline


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"num_beams": 2, "penalty_alpha": 0.6, "top_k": 4},
            "penalty_alpha is contrastive search, which takes no num_beams",
        ),
        ({"penalty_alpha": 0.6}, "penalty_alpha needs top_k"),
        ({"penalty_alpha": 0.6, "top_k": 4, "temperature": 0.7}, "takes no temperature"),
        ({"penalty_alpha": 0.6, "top_k": 4, "do_sample": True}, "takes no do_sample"),
        ({"penalty_alpha": 0.6, "top_k": 4, "num_return_sequences": 2}, "num_return_sequences > 1"),
        ({"penalty_alpha": 1.5, "top_k": 4}, r"penalty_alpha must be in \[0, 1\], got 1.5"),
        ({"do_sample": False, "top_p": 0.9}, "do_sample=False contradicts top_p=0.9"),
        ({"num_beams": 2, "temperature": 0.5}, "num_beams=2 contradicts temperature"),
        ({"num_beams": 2, "do_sample": True}, "num_beams=2 contradicts do_sample"),
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences=3 exceeds num_beams=2"),
        ({"num_beams": 0}, "num_beams must be >= 1, got 0"),
        ({"num_return_sequences": 2}, "needs sampling or beams: greedy"),
        ({"temperature": 0, "num_return_sequences": 2}, "needs sampling or beams: greedy"),
        ({"length_penalty": 2.0}, "need num_beams > 1"),
        ({"early_stopping": "sometimes", "num_beams": 2}, "early_stopping must be True, False or 'never'"),
        ({"temperature": -1}, r"temperature must be in \[0, inf\], got -1"),
        ({"temperature": float("nan")}, r"temperature must be in \[0, inf\], got nan"),
        ({"top_p": 1.5}, r"top_p must be in \[0, 1\], got 1.5"),
        ({"typical_p": 0}, "typical_p must be > 0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be >= 1, got 0"),
        ({"repetition_penalty": 0}, r"repetition_penalty must be in \(0, inf\), got 0"),
        ({"presence_penalty": 3}, r"presence_penalty must be in \[-2, 2\]"),
        ({"stop_strings": ["a", ""]}, "stop_strings hold an empty string"),
        ({"contrast_alpha": 0.0}, r"contrast_alpha must be in \(0, 1\]"),
        ({"stop_strings": b"x"}, "stop_strings must be texts, got b'x'"),
        ({"include_stop_strings": True}, "include_stop_strings needs stop_strings"),
        ({"eos_token_id": "</s>"}, "eos_token_id must be one id or several, each >= 0, got '</s>'"),
        ({"eos_token_id": [2, -1]}, r"eos_token_id must be .* got \[2, -1\]"),
        ({"max_new_tokens": 2.5}, r"max_new_tokens must be an integer, got 2\.5"),
        ({"max_new_tokens": "5"}, "max_new_tokens must be an integer, got '5'"),
        ({"top_k": True}, "top_k must be an integer, got True"),
        ({"temperature": "hot"}, "temperature must be a number, got 'hot'"),
        ({"steps": [("top_k", 3)], "top_p": 0.5}, "steps stand in place of top_p"),
        ({"min_new_tokens": 3}, "min_new_tokens needs eos_token_id"),
        ({"min_new_tokens": 3, "eos_token_id": 0, "max_new_tokens": 2}, "min_new_tokens=3 exceeds max_new_tokens=2"),
        ({"temperatur": 0.5}, "temperatur is no option of generate: do you mean temperature"),
        ({"zzz": 0.5}, "zzz is no option of generate$"),
    ],
)
def test_options_that_cannot_be_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        make_options(given)


def test_sampling_follows_from_its_options_and_temperature_0_is_greedy():
    assert not Options().samples
    assert Options(top_p=0.9).samples and Options(do_sample=True).samples and Options(temperature=1.0).samples
    assert not Options(temperature=0, top_p=0.9).samples and not Options(penalty_alpha=0.5, top_k=3).samples
    assert Options(temperature=1.0, top_k=0, top_p=1.0, typical_p=1.0, eta_cutoff=0.0).pipeline().steps == []
    assert Options(repetition_penalty=1.0, presence_penalty=0.0).pipeline().steps == []


def test_what_is_given_prevails_and_a_greedy_call_drops_the_files_sampling():
    base = Options(do_sample=True, temperature=0.6, top_p=0.9, eos_token_id=[1, 2], repetition_penalty=1.1)
    assert make_options({"temperature": 0.1}, base).temperature == 0.1
    greedy = make_options({"do_sample": False}, base)
    assert not greedy.samples and greedy.ends == (1, 2) and greedy.repetition_penalty == 1.1 and greedy.top_p is None
    assert make_options({"num_beams": 3}, base).num_beams == 3
    assert make_options({"penalty_alpha": 0.6, "top_k": 4}, base).top_k == 4
    with pytest.raises(ValueError, match="contradicts top_k"):
        make_options({"do_sample": False, "top_k": 3}, base)


def write(folder, content):
    (folder / "generation_config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_checkpoints_file_is_honoured(tmp_path):
    found = {
        "bos_token_id": 1,
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 0.9,
        "eos_token_id": [128001, 128009],
        "pad_token_id": 0,
        "transformers_version": "5.0",
        "max_length": 4096,
        "top_k": None,
    }
    options = load_options(write(tmp_path, found))
    assert options == Options(do_sample=True, temperature=0.6, top_p=0.9, eos_token_id=[128001, 128009])
    assert load_options(tmp_path / "generation_config.json") == options
    assert [name for name, _ in options.pipeline()] == ["temperature", "top_p"]


def test_sampling_values_of_a_file_that_does_not_sample_are_ignored(tmp_path):
    options = load_options(write(tmp_path, {"temperature": 0.6, "top_k": 50, "eos_token_id": 2}))
    assert options == Options(eos_token_id=2)
    beams = load_options(write(tmp_path, {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True}))
    assert beams == Options(num_beams=4, length_penalty=2.0, early_stopping=True)
    contrastive = load_options(write(tmp_path, {"penalty_alpha": 0.6, "top_k": 4}))
    assert contrastive == Options(penalty_alpha=0.6, top_k=4)


def test_a_folder_without_the_file_asks_for_nothing_and_a_broken_file_is_named(tmp_path):
    assert load_options(tmp_path) == Options()
    (tmp_path / "config.json").write_text('{"eos_token_id": [1, 2], "temperature": 0.5}')
    assert load_options(tmp_path) == Options(eos_token_id=[1, 2])
    with pytest.raises(ValueError, match=r"generation_config.json is no JSON"):
        load_options(write(tmp_path, "{"))
    with pytest.raises(ValueError, match="must hold a JSON object, got list"):
        load_options(write(tmp_path, "[]"))
    with pytest.raises(ValueError, match=r"generation_config.json: top_p must be in"):
        load_options(write(tmp_path, {"do_sample": True, "top_p": 7}))


# ---- pipelines


def test_a_strategy_is_a_list_whose_order_matters():
    ids, logits = torch.tensor([[0]]), torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    hot_first = Pipeline([("temperature", 3.0), ("top_p", 0.8)])(ids, logits)
    hot_last = Pipeline([("top_p", 0.8), ("temperature", 3.0)])(ids, logits)
    assert (hot_first > -torch.inf).sum() == 3 and (hot_last > -torch.inf).sum() == 2
    penalised = Pipeline([("presence_penalty", 1.0), ("temperature", 0.5)])(ids, logits)
    assert penalised.tolist() == [[4.0, 4.0, 2.0, 0.0]]
    assert Pipeline([("temperature", 0.5), ("presence_penalty", 1.0)])(ids, logits).tolist() == [[5.0, 4.0, 2.0, 0.0]]


def test_steps_see_what_is_padding_and_what_was_generated():
    ids = torch.tensor([[0, 1, 2, 2]])
    valid, generated = torch.tensor([[False, True, True, True]]), torch.tensor([[False, False, True, True]])
    logits = torch.ones(1, 4)
    both = Pipeline([("frequency_penalty", 0.5), ("repetition_penalty", 2.0)])
    out = both(ids, logits, valid=valid, generated=generated)
    assert out.tolist() == [[1.0, 0.5, 0.0, 1.0]]  # 0 is padding, 1 of the prompt, 2 was generated twice
    early = Pipeline([("min_new_tokens", (3, (3,)))])
    assert early(ids, logits, valid=valid, generated=generated)[0, 3] == -torch.inf
    assert Pipeline([("min_new_tokens", (2, (3,)))])(ids, logits, valid=valid, generated=generated)[0, 3] == 1
    allowed = Pipeline([("allowed", lambda ids: [1] if ids == [2, 2] else [0])])
    assert (allowed(ids, logits, valid=valid, generated=generated) > -torch.inf).tolist() == [
        [False, True, False, False]
    ]


def test_a_pipeline_tells_its_steps_and_refuses_what_it_does_not_know():
    pipeline = Pipeline([("top_k", 3), lambda ids, logits: logits * 2])
    assert len(pipeline) == 2 and pipeline.looks_back and "('top_k', 3)" in repr(pipeline)
    assert not Pipeline([("top_k", 3)]).looks_back
    with pytest.raises(ValueError, match="steps hold 'topk', which is none of repetition_penalty"):
        Pipeline([("topk", 3)])
