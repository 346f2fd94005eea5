"""Beam search against exhaustive search over all texts of a model that is a table."""

from __future__ import annotations

import pytest

from breadth.lm.generation import generate

from .toy import Letters, ToyLM, texts

PROMPTS = [[1, 2, 3], [2], [0, 3]]


def ranked(model, prompt, length, penalty, end=None):
    """All texts, best first, with their scores."""
    found = [(model.log_probability(prompt, t) / len(t) ** penalty, list(t)) for t in texts(4, length, end)]
    return sorted(found, key=lambda each: -each[0])


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0, -1.0])
@pytest.mark.parametrize("end", [None, 0])
def test_beams_enough_to_hold_all_texts_find_the_best_ones(penalty, end):
    model = ToyLM(4)
    beams = 4**4  # every text of 4 tokens
    found = generate(
        model, PROMPTS, max_new_tokens=4, num_beams=beams, num_return_sequences=5, length_penalty=penalty,
        early_stopping="never", eos_token_id=end,
    )  # fmt: skip
    for p, prompt in enumerate(PROMPTS):
        best = ranked(model, prompt, 4, penalty, end)[:5]
        mine = slice(5 * p, 5 * p + 5)
        assert found.scores[mine] == pytest.approx([score for score, _ in best], rel=1e-6)  # kept in float32
        assert found.ids[mine] == [text for _, text in best]


def test_scores_are_the_sums_of_the_tokens_logprobs():
    model = ToyLM(6)
    found = generate(model, PROMPTS, max_new_tokens=7, num_beams=4, num_return_sequences=4, eos_token_id=5)
    for prompt, ids, logprobs, score in zip(found.prompts, found.ids, found.logprobs, found.scores, strict=True):
        assert sum(logprobs) == pytest.approx(model.log_probability(prompt, ids), rel=1e-6)
        assert score == pytest.approx(sum(logprobs) / len(ids), rel=1e-6)
        assert 5 not in ids[:-1]
    for p in range(3):
        scores = found.scores[4 * p : 4 * p + 4]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(ids) for ids in found.ids[4 * p : 4 * p + 4]}) == 4


def test_more_beams_never_lower_the_score_that_is_compared_here_and_beat_greedy_somewhere():
    model = ToyLM(6, sharpness=1.0)
    sums = []
    for beams in (1, 2, 8, 6**4):
        found = generate(model, PROMPTS, max_new_tokens=4, num_beams=beams)
        sums.append([sum(each) for each in found.logprobs])
    assert all(best >= greedy - 1e-6 for best, greedy in zip(sums[-1], sums[0], strict=True))
    assert any(best > greedy + 1e-3 for best, greedy in zip(sums[-1], sums[0], strict=True))


def test_rows_of_a_batch_are_searched_as_alone():
    model = ToyLM()
    given = {"max_new_tokens": 8, "num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.5, "eos_token_id": 4}
    together = generate(model, PROMPTS, **given)
    alone = [generate(model, [prompt], **given) for prompt in PROMPTS]
    assert together.ids == [ids for each in alone for ids in each.ids]
    assert together.scores == pytest.approx([score for each in alone for score in each.scores], rel=1e-6)


def test_early_stopping_ends_with_the_first_full_set_and_never_goes_on():
    model = ToyLM(sharpness=1.0)
    given = {"max_new_tokens": 12, "num_beams": 2, "eos_token_id": [0, 1], "length_penalty": 2.0}
    calls = {}
    for rule in (True, False, "never"):
        model.calls.clear()
        scores = generate(model, [3], early_stopping=rule, **given).scores
        calls[rule] = (len(model.calls), scores[0])
    assert calls[True][0] <= calls[False][0] <= calls["never"][0] and calls[True][0] < calls["never"][0]
    assert calls["never"][1] >= calls[True][1]


def test_stop_strings_and_callbacks_end_beams():
    letters, model = Letters("abcdef"), ToyLM()
    found = generate(
        model, [1], max_new_tokens=6, num_beams=4, num_return_sequences=4, tokenizer=letters, stop_strings=["ab", "c"]
    )
    for ids, text, finish in zip(found.ids, found.texts, found.finish, strict=True):
        whole = letters.decode(ids)
        assert finish == ("stop" if "ab" in whole or "c" in whole else "length")
        assert "ab" not in text and "c" not in text and whole.startswith(text)
    assert "stop" in found.finish
    short = generate(model, [1], max_new_tokens=6, num_beams=2, callback=lambda text, ids: len(ids) == 2)
    assert len(short.ids[0]) == 2 and short.finish == ["callback"]


def test_contrastive_decoding_by_beams_maximises_the_sum_of_its_scores():
    expert = ToyLM(4)
    amateur = ToyLM(4, seed=1, near=expert)
    found = generate(expert, [1, 2], max_new_tokens=3, num_beams=4**3, amateur=amateur, contrast_alpha=0.2)

    def cd_score(text):
        ids, total = [1, 2], 0.0
        for token in text:
            log_p, log_q = (m.next_logits(ids).log_softmax(-1) for m in (expert, amateur))
            if log_p[token].exp() < 0.2 * log_p.max().exp():
                return float("-inf")
            total += float(log_p[token] - log_q[token])
            ids.append(token)
        return total

    best = max(texts(4, 3), key=cd_score)
    assert tuple(found.ids[0]) == best
    assert found.scores[0] == pytest.approx(cd_score(best) / 3, rel=1e-6)


def test_more_texts_than_there_are_cannot_be_returned():
    with pytest.raises(ValueError, match="num_return_sequences=9 exceeds the 4 texts that there are for prompt 0"):
        generate(ToyLM(4), [1], max_new_tokens=1, num_beams=9, num_return_sequences=9)
    assert len(generate(ToyLM(4), [1], max_new_tokens=1, num_beams=9, num_return_sequences=4)) == 4
