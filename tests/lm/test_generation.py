"""Greedy decoding and sampling, batches, streams and their ends, on a model that is a table."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
import torch

from breadth.lm.generation import generate, stream
from breadth.lm.options import Options
from breadth.lm.stopping import ClassifierStop, SimilarityStop

from .toy import F64, Letters, Script, ToyLM, texts

PROMPTS = [[1, 2, 3], [4], [0, 5]]


def greedy_by_hand(model, prompt, length, end=None):
    ids = list(prompt)
    for _ in range(length):
        ids.append(int(model.next_logits(ids).argmax()))
        if ids[-1] == end:
            break
    return ids[len(prompt) :]


# ---- what is generated


def test_greedy_is_the_argmax_of_each_prefix_for_each_row_of_a_ragged_batch():
    model = ToyLM()
    found = generate(model, PROMPTS, max_new_tokens=10)
    assert found.ids == [greedy_by_hand(model, prompt, 10) for prompt in PROMPTS]
    assert found.finish == ["length"] * 3 and found.prompts == PROMPTS and found.texts is None
    for prompt, ids, logprobs in zip(PROMPTS, found.ids, found.logprobs, strict=True):
        assert sum(logprobs) == pytest.approx(model.log_probability(prompt, ids), rel=1e-12)


def test_a_row_ends_with_its_end_of_sequence_token_and_the_others_go_on():
    model = ToyLM()
    found = generate(model, PROMPTS, max_new_tokens=10, eos_token_id=[0, 1])
    for prompt, ids, finish in zip(PROMPTS, found.ids, found.finish, strict=True):
        whole = greedy_by_hand(model, prompt, 10)
        ends = [i for i, token in enumerate(whole) if token in (0, 1)]
        assert ids == whole[: ends[0] + 1] and finish == "eos"
    table = found.sequences(pad_token_id=5)
    assert table.shape == (3, 3 + max(map(len, found.ids)))
    assert table[1, :3].tolist() == [5, 5, 4]


@pytest.mark.parametrize("given", [{}, {"temperature": 1.5, "seed": [5, 6, 7, 8, 9, 10, 11, 12]}])
def test_rows_that_have_ended_are_dropped_and_change_nothing_for_the_others(given):
    class Counting(ToyLM):
        def __call__(self, ids, **options):
            rows.append(len(ids))
            return super().__call__(ids, **options)

    model, prompts, rows = Counting(), [[i % 6, i // 2] for i in range(8)], []
    given = {"max_new_tokens": 25, "repetition_penalty": 1.1, "eos_token_id": 3, **given}
    found = generate(model, prompts, **given)
    counts, lengths = list(rows), [len(ids) for ids in found.ids]
    for r, prompt in enumerate(prompts):
        alone = generate(model, [prompt], **{**given, **({"seed": [5 + r]} if "seed" in given else {})})
        assert (alone.ids[0], alone.finish[0]) == (found.ids[r], found.finish[r])
        assert alone.logprobs[0] == found.logprobs[r]
    assert counts[0] == 8 and counts[-1] < 8
    for step, held in enumerate(counts):
        going = sum(length > step for length in lengths)
        assert going <= held and (held < 2 * going or held == going)


def test_prompts_are_taken_in_any_form():
    model = ToyLM()
    right = torch.tensor([[1, 2, 3], [4, 0, 0], [0, 5, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]])
    left = torch.tensor([[1, 2, 3], [0, 0, 4], [0, 0, 5]]), torch.tensor([[1, 1, 1], [0, 0, 1], [0, 1, 1]])
    expected = generate(model, PROMPTS, max_new_tokens=6).ids
    for ids, valid in (right, left):
        assert generate(model, ids, valid=valid.bool(), max_new_tokens=6).ids == expected
    assert generate(model, [1, 2, 3], max_new_tokens=6).ids == expected[:1]
    assert generate(model, torch.tensor([1, 2, 3]), max_new_tokens=6).ids == expected[:1]
    assert generate(model, np.array([1, 2, 3]), max_new_tokens=6).ids == expected[:1]
    assert generate(model, [torch.tensor(p) for p in PROMPTS], max_new_tokens=6).ids == expected
    letters = Letters("abcdef")
    assert generate(model, ["bcd", "e", "af"], tokenizer=letters, max_new_tokens=6).ids == expected
    assert generate(model, "bcd", tokenizer=letters, max_new_tokens=6).texts == [letters.decode(expected[0])]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_a_prompt_may_be_read_in_stretches(chunk):
    expected = generate(ToyLM(), PROMPTS, max_new_tokens=6)
    model = ToyLM()
    assert generate(model, PROMPTS, max_new_tokens=6, prefill_chunk=chunk).ids == expected.ids
    assert max(model.calls) == min(chunk, 3)


def test_penalties_act_on_each_row_as_on_the_row_alone():
    model = ToyLM(sharpness=1.0)
    given = {"repetition_penalty": 1.5, "presence_penalty": 0.3, "frequency_penalty": 0.4, "no_repeat_ngram_size": 2}
    together = generate(model, PROMPTS, max_new_tokens=12, **given)
    assert together.ids == [generate(model, [p], max_new_tokens=12, **given).ids[0] for p in PROMPTS]
    assert together.ids != generate(model, PROMPTS, max_new_tokens=12).ids
    # by hand, with the frequency penalty alone, which counts what was generated and not the prompt
    ids = [2, 2]
    for _ in range(12):
        logits = model.next_logits(ids)
        counts = Counter(ids[2:])
        logits = logits - torch.tensor([0.9 * counts[v] for v in range(6)], dtype=F64)
        ids.append(int(logits.argmax()))
    assert generate(model, [2, 2], max_new_tokens=12, frequency_penalty=0.9).ids == [ids[2:]]


def test_the_first_token_can_be_forbidden_to_be_the_last():
    model = ToyLM()
    ends = list(range(6))
    found = generate(model, PROMPTS, max_new_tokens=5, min_new_tokens=3, eos_token_id=ends[:5])
    assert [len(ids) for ids in found.ids] != [1, 1, 1]
    assert all(set(ids[:3]) == {5} for ids in found.ids)


def test_drawn_logprobs_are_of_the_distribution_that_was_drawn_from():
    model = ToyLM()
    found = generate(model, [1, 2], max_new_tokens=6, temperature=0.5, top_k=3, seed=1)
    ids = [1, 2]
    for token, logprob, drawn in zip(found.ids[0], found.logprobs[0], found.drawn_logprobs[0], strict=True):
        logits = model.next_logits(ids)
        assert logprob == pytest.approx(float(logits.log_softmax(-1)[token]), rel=1e-12)
        best = logits.topk(3)
        among = dict(zip(best.indices.tolist(), (best.values / 0.5).log_softmax(-1).tolist(), strict=True))
        assert drawn == pytest.approx(among[token], rel=1e-12, abs=1e-14)
        ids.append(token)


# ---- randomness


def chi_square(counts, exact):
    """p-value of counts against probabilities, rare outcomes pooled."""
    total, common, rest = sum(counts.values()), [], [0.0, 0.0]
    for outcome, probability in exact.items():
        if probability * total >= 5:
            common.append((counts[outcome], probability * total))
        else:
            rest[0], rest[1] = rest[0] + counts[outcome], rest[1] + probability * total
    if rest[1] > 0:
        common.append(tuple(rest))
    seen, expected = zip(*common, strict=True)
    scale = sum(seen) / sum(expected)
    assert scale == pytest.approx(1, abs=1e-9)
    return scipy.stats.chisquare(seen, [e * scale for e in expected]).pvalue


def test_sampled_texts_are_distributed_as_the_models():
    model = ToyLM(4, sharpness=1.5)
    exact = {text: math.exp(model.log_probability([1, 3], text)) for text in texts(4, 3)}
    found = generate(model, [1, 3], max_new_tokens=3, do_sample=True, num_return_sequences=8000, seed=0)
    assert len(model.calls) - len(exact) == 3  # the prompt is read once, for all
    assert chi_square(Counter(map(tuple, found.ids)), exact) > 1e-4


def test_a_rows_draws_depend_on_its_seed_alone():
    model, options = ToyLM(), Options(max_new_tokens=10, temperature=1.0)
    together = generate(model, PROMPTS, options=options, seed=[7, 8, 9])
    alone = [generate(model, [p], options=options, seed=[s]).ids[0] for p, s in zip(PROMPTS, [7, 8, 9], strict=True)]
    assert together.ids == alone
    turned = generate(model, PROMPTS[::-1], options=options, seed=[9, 8, 7])
    assert turned.ids[::-1] == alone
    ended = generate(model, PROMPTS, options=options, seed=[7, 8, 9], eos_token_id=together.ids[0][2])
    for whole, short in zip(alone, ended.ids, strict=True):
        assert whole[: len(short)] == short


def test_the_same_seed_gives_the_same_and_none_follows_torchs_generator():
    model = ToyLM()
    draw = {"max_new_tokens": 12, "do_sample": True}
    assert generate(model, PROMPTS, seed=3, **draw).ids == generate(model, PROMPTS, seed=3, **draw).ids
    assert generate(model, PROMPTS, seed=3, **draw).ids != generate(model, PROMPTS, seed=4, **draw).ids
    same = generate(model, [PROMPTS[0]] * 2, seed=3, **draw).ids
    assert same[0] != same[1]  # equal prompts differ
    torch.manual_seed(0)
    first = generate(model, PROMPTS, **draw).ids
    after = torch.rand(1)
    torch.manual_seed(0)
    assert generate(model, PROMPTS, **draw).ids == first and torch.equal(torch.rand(1), after)
    state = torch.get_rng_state()
    generate(model, PROMPTS, seed=3, **draw)
    assert torch.equal(torch.get_rng_state(), state)  # a seed leaves the global generator alone


@pytest.mark.parametrize("given", [{"temperature": 0.0}, {"temperature": 1e-9}, {"top_p": 0.0}, {"top_k": 1}])
def test_the_limits_of_sampling_are_greedy(given):
    model = ToyLM()
    assert (
        generate(model, PROMPTS, max_new_tokens=8, seed=0, **given).ids
        == generate(model, PROMPTS, max_new_tokens=8).ids
    )


def test_an_infinite_temperature_draws_evenly():
    model = ToyLM(5, sharpness=30)
    found = generate(model, [1], max_new_tokens=1, temperature=math.inf, num_return_sequences=5000, seed=0)
    assert scipy.stats.chisquare(list(Counter(ids[0] for ids in found.ids).values())).pvalue > 1e-4


# ---- ends


def said(pieces, script, **options):
    """What a model that says a script, with tokens of such texts, is cut to."""
    tokenizer = Letters(pieces)
    model = Script(len(pieces), script, start=1)
    return generate(model, [0], tokenizer=tokenizer, max_new_tokens=len(script), **options)


@pytest.mark.parametrize(
    ("script", "text", "ids"),
    [
        ([1, 2, 3, 1], "one two", 3),  # "one| two.|\n\nthr" stops inside the third token
        ([1, 4, 5, 1], "one.", 3),  # ".\n" + "\nfo": the stop string lies across two tokens
        ([1, 4, 6, 1], "one.\n.one", 4),  # it began and did not come
        ([1, 1, 4], "oneone.\n", 3),  # it had begun at the end: nothing is lost
    ],
)
def test_a_stop_string_lies_wherever_it_lies_in_the_tokens(script, text, ids):
    pieces = ["<", "one", " two", "\n\nthr", ".\n", "\nfo", "."]
    found = said(pieces, script, stop_strings=["\n\n"])
    assert found.texts == [text] and len(found.ids[0]) == ids
    assert found.finish == ["stop" if ids < len(script) else "length"]


def test_a_stop_string_may_end_in_the_middle_of_a_token_and_be_kept():
    pieces = ["<", "say ", "STOPPED now"]
    assert said(pieces, [1, 2, 1], stop_strings="STOP").texts == ["say "]
    kept = said(pieces, [1, 2, 1], stop_strings="STOP", include_stop_strings=True)
    assert kept.texts == ["say STOP"] and kept.ids == [[1, 2]]


def test_unicode_that_is_split_over_tokens_is_streamed_whole():
    e = "é".encode()
    model = Script(5, [1, 2, 3, 1, 4], start=1)
    tokenizer = Letters(["<", "a", e[:1], e[1:], e[:1]])
    found = stream(model, [0], tokenizer=tokenizer, max_new_tokens=5)
    assert [piece.text for piece in found] == ["a", "", "é", "a", "\ufffd"]
    assert found.result().texts == ["aéa\ufffd"]
    assert said(["<", "a", e[:1], e[1:]], [1, 2, 3, 1], stop_strings=["é"]).texts == ["a"]


def test_a_callback_sees_the_text_so_far_and_ends_its_row_only():
    letters, seen = Letters("abcdef"), []
    model = ToyLM()

    def callback(text, ids):
        seen.append((text, list(ids)))
        return len(ids) == 3 and text[0] == letters.decode(whole[0][:1])

    whole = generate(model, PROMPTS, max_new_tokens=6).ids
    found = generate(model, PROMPTS, max_new_tokens=6, tokenizer=letters, callback=callback)
    for ids, all_ids, finish in zip(found.ids, whole, found.finish, strict=True):
        stopped = all_ids[0] == whole[0][0]
        assert ids == (all_ids[:3] if stopped else all_ids) and finish == ("callback" if stopped else "length")
    assert all(text == letters.decode(ids) for text, ids in seen)


def test_a_text_stops_by_what_it_means():
    def embed(many):
        return [[text.count(c) for c in "abcdef"] for text in many]

    letters, whole = Letters("abcdef"), generate(ToyLM(), [1], max_new_tokens=8).ids[0]
    stop = SimilarityStop(embed, [letters.decode(whole[:4])], threshold=0.999)
    found = generate(ToyLM(), [1], max_new_tokens=8, tokenizer=letters, callback=stop)
    first = next(
        n for n in range(1, 9) if similar(embed, letters.decode(whole[:n]), letters.decode(whole[:4])) >= 0.999
    )
    assert len(found.ids[0]) == first <= 4 and found.finish == ["callback"]
    guard = ClassifierStop(lambda text: float(letters.decode([whole[1]]) in text))
    assert len(generate(ToyLM(), [1], max_new_tokens=8, tokenizer=letters, callback=guard).ids[0]) <= 2


def similar(embed, a, b):
    x, y = torch.tensor(embed([a, b]), dtype=F64)
    return float(x @ y / x.norm() / y.norm())


def test_time_ends_every_row_with_what_it_has():
    found = generate(ToyLM(context=10**6), PROMPTS, max_new_tokens=100_000, max_time=1e-3)
    assert found.finish == ["time"] * 3 and 1 <= len(found.ids[0]) < 100_000
    assert found.ids == generate(ToyLM(), PROMPTS, max_new_tokens=len(found.ids[0])).ids


def test_without_a_budget_the_context_is_filled():
    found = generate(ToyLM(context=12), PROMPTS)
    assert [len(ids) for ids in found.ids] == [9, 9, 9]


# ---- streams


def test_a_stream_gives_each_token_once_as_it_comes():
    letters, model = Letters("abcdef"), ToyLM()
    found = stream(model, PROMPTS, tokenizer=letters, max_new_tokens=5)
    first = next(found)
    assert (first.row, len(model.calls)) == (0, 1) and found.result().ids[0] == [first.id]
    pieces = [first, *found]
    assert [piece.row for piece in pieces] == [0, 1, 2] * 5
    whole = generate(model, PROMPTS, tokenizer=letters, max_new_tokens=5)
    for r in range(3):
        mine = [piece for piece in pieces if piece.row == r]
        assert [piece.id for piece in mine] == whole.ids[r] and "".join(p.text for p in mine) == whole.texts[r]
        assert [piece.logprob for piece in mine] == whole.logprobs[r]
        assert [piece.finish for piece in mine] == [None] * 4 + ["length"]
    assert found.result() == whole


@pytest.mark.parametrize("call", [1, 2, 4])
@pytest.mark.parametrize(
    "strategy", [{}, {"temperature": 1.0, "num_return_sequences": 2}, {"penalty_alpha": 0.5, "top_k": 3}, "draft"]
)
def test_an_interrupt_leaves_what_was_generated_and_the_stream_goes_on(call, strategy):
    def begin(model):
        given = dict(strategy) if strategy != "draft" else {"draft": ToyLM(seed=1, near=model)}
        return stream(model, PROMPTS, tokenizer=Letters("abcdef"), max_new_tokens=7, seed=5, **given)

    undisturbed = begin(ToyLM())
    pieces = list(undisturbed)
    model = ToyLM()
    model.interrupt_at = call
    found, got = begin(model), []
    with pytest.raises(KeyboardInterrupt):
        for piece in found:
            got.append(piece)
    there = found.result()
    assert [len(ids) for ids in there.ids] == [sum(p.row == r for p in got) for r in range(len(there))]
    session = found.strategy.reader
    known = session.cache.ids[:, : session.cache.length]
    assert torch.equal(known, session.ids[:, : session.cache.length])
    got += list(found)
    assert got == pieces and found.result() == undisturbed.result()


def test_an_error_of_a_callback_leaves_the_step_undone():
    letters, calls = Letters("abcdef"), []

    def callback(text, ids):
        calls.append(text)
        if len(calls) == 5:
            raise RuntimeError("the guard is away")

    found = stream(ToyLM(), PROMPTS, tokenizer=letters, max_new_tokens=4, callback=callback)
    with pytest.raises(RuntimeError, match="the guard is away"):
        list(found)
    assert [len(ids) for ids in found.result().ids] == [1, 1, 1]
    list(found)
    assert found.result().ids == generate(ToyLM(), PROMPTS, max_new_tokens=4).ids


def test_a_cache_that_holds_the_beginning_is_gone_on_from():
    model = ToyLM()
    first = stream(model, [1, 2, 3], max_new_tokens=30)
    for _ in range(4):
        next(first)
    text = [1, 2, 3, *first.result().ids[0]]
    model.calls.clear()
    cache = first.strategy.reader.cache
    more = generate(model, [*text, 5], max_new_tokens=4, cache=cache)
    assert model.calls[0] == 2  # the last token and the new one
    assert more.ids == generate(model, [*text, 5], max_new_tokens=4).ids
    with pytest.raises(ValueError, match=r"cache holds .* tokens: prompts must be of one length, above that"):
        generate(model, [1], max_new_tokens=4, cache=cache)
