from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from scipy.stats import chisquare
from torch.testing import assert_close

from breadth.lm.infilling import blank_infilling, draw_spans
from tests.lm.models import KINDS, ids, perturbed

GLM = replace(KINDS["learned"], span_positions=16)
SPECIAL = {"blank_id": 60, "start_id": 59, "end_id": 58}


def call(model, x, **given):
    return model(x.ids[None], positions=x.positions[None], spans=x.spans[None], mask=x.mask, **given)


def test_the_paper_s_figure_2():
    # x1 ... x6 with x3 and x5 x6 blanked out, the second span written first
    x = blank_infilling([1, 2, 3, 4, 5, 6], [(2, 3), (4, 6)], order=[1, 0], **SPECIAL)
    assert x.ids.tolist() == [1, 2, 60, 4, 60, 59, 5, 6, 59, 3]
    assert x.positions.tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 2, 2]
    assert x.spans.tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 1, 2]
    assert x.targets.tolist() == [-100] * 5 + [5, 6, 58, 3, 58]
    seen = [[int(j < 5) if i < 5 else int(j <= i) for j in range(10)] for i in range(10)]
    assert x.mask.int().tolist() == seen


def test_part_a_sees_both_sides_and_nothing_of_part_b():
    model = perturbed(GLM)
    x = blank_infilling(ids(1, 12)[0], [(2, 4), (7, 10)], **SPECIAL)
    y = blank_infilling(ids(1, 12)[0], [(2, 4), (7, 10)], **SPECIAL)
    y.ids[10:] = 7  # part B
    with torch.no_grad():
        a, b = call(model, x), call(model, y)
        assert_close(a[:, :9], b[:, :9], rtol=0, atol=0)
        y = blank_infilling(ids(1, 12)[0], [(2, 4), (7, 10)], **SPECIAL)
        y.ids[8] = (y.ids[8] + 1) % 58  # the last of part A
        assert (call(model, y)[:, 0] - a[:, 0]).abs().max() > 1e-3


def test_blanks_are_filled_with_a_cache_as_they_are_without():
    model = perturbed(GLM)
    x = blank_infilling(ids(1, 12)[0], [(2, 4), (7, 10)], **SPECIAL)
    with torch.no_grad():
        full = call(model, x)
    cache = model.make_cache(1, len(x.ids))
    found, start = [], 0
    for end in (9, *range(10, len(x.ids) + 1)):
        piece = slice(start, end)
        given = {"positions": x.positions[None, piece], "spans": x.spans[None, piece], "mask": x.mask[piece, :end]}
        found.append(model(x.ids[None, piece], cache=cache, **given))
        start = end
    assert_close(torch.cat(found, 1), full, rtol=0, atol=2e-12)


def test_both_positions_move_the_logits():
    model = perturbed(GLM)
    x = blank_infilling(ids(1, 12)[0], [(2, 4), (7, 10)], **SPECIAL)
    with torch.no_grad():
        full = call(model, x)
        assert (call(model, x._replace(spans=torch.zeros_like(x.spans))) - full).abs().max() > 1e-2
        assert (call(model, x._replace(positions=torch.arange(len(x.ids)))) - full).abs().max() > 1e-2


def test_a_model_learns_to_fill_a_blank_from_what_follows_it():
    """The blank holds what the last token of the text says: a model that looks back alone could not know."""
    torch.manual_seed(0)
    config = replace(GLM, vocab_size=16, d_model=32, layers=GLM.layers[:2], context_length=16, learned_positions=16)
    model = perturbed(config, dtype=torch.float32)
    model.reset_parameters()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    special = {"blank_id": 15, "start_id": 14, "end_id": 13}
    for _ in range(80):
        text = torch.randint(0, 10, (32, 6))
        text[:, 2] = text[:, 5]
        rows = [blank_infilling(row, [(2, 3)], **special) for row in text]
        batch = [torch.stack(each) for each in zip(*rows, strict=True)]
        logits = model(batch[0], positions=batch[1], spans=batch[2], mask=batch[3])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[4].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3  # nats a token, of which one in two is the end; ln(10) / 2 = 1.15 by guessing


def test_spans_cover_their_share_and_every_placement_is_as_likely():
    g = torch.Generator().manual_seed(0)
    for length in (1, 2, 7, 200):
        for _ in range(50):
            spans = draw_spans(length, generator=g)
            blank_infilling(torch.arange(length), spans, **SPECIAL)  # in order and apart
            assert sum(b - a for a, b in spans) == max(round(0.15 * length), 1)
    drawn = [tuple(draw_spans(6, share=1 / 3, mean=1.0, generator=g)) for _ in range(2000)]
    for count, placements in ((1, 5), (2, 10)):  # two tokens side by side, or not
        counts = Counter(spans for spans in drawn if len(spans) == count)
        assert len(counts) == placements
        assert chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize(
    ("spans", "order", "told"),
    [
        ([], None, "at least one"),
        ([(2, 2)], None, "not empty"),
        ([(3, 5), (1, 2)], None, "in order"),
        ([(1, 3), (3, 4)], None, "a token apart"),
        ([(5, 8)], None, "inside of the text of 6"),
        ([(0, 1), (3, 4)], [0, 0], "permutation"),
    ],
)
def test_spans_that_do_not_fit_are_refused(spans, order, told):
    with pytest.raises(ValueError, match=told):
        blank_infilling(range(6), spans, order=order, **SPECIAL)
    with pytest.raises(ValueError, match="share in"):
        draw_spans(5, share=0.0)
