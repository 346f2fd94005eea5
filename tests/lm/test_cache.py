from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from breadth.lm import Cache
from breadth.lm.cache import StartAndWindow, Window
from tests.lm.models import KINDS, TRANSLATOR, ids, perturbed

ALL = pytest.mark.parametrize("kind", KINDS)
CLOSE = {"rtol": 0, "atol": 2e-12}  # sums in another order, logits of about 3


def in_pieces(model, tokens, sizes, cache, valid=None, **given):
    """Logits of a text that is read piece by piece."""
    found, start = [], cache.length
    for size in sizes:
        end = start + size
        seen = None if valid is None else valid[:, :end]
        found.append(model(tokens[:, start:end], cache=cache, valid=seen, **given))
        start = end
    assert start == tokens.shape[1]
    return torch.cat(found, 1)


@ALL
@pytest.mark.parametrize("sizes", [[1] * 20, [9, 8, 3], [13, *[1] * 7], [1, 18, 1]])
def test_reading_in_pieces_gives_the_logits_of_reading_at_once(kind, sizes):
    model, tokens = perturbed(KINDS[kind]), ids(2, 20)
    with torch.no_grad():
        full = model(tokens)
    cache = model.make_cache(2, 20)
    assert_close(in_pieces(model, tokens, sizes, cache), full, **CLOSE)
    assert cache.length == 20


@ALL
def test_windows_forget_what_no_query_sees_any_more(kind):
    config = KINDS[kind]
    model, tokens = perturbed(config), ids(1, 200)
    with torch.no_grad():
        full = model(tokens)
    cache = model.make_cache(1, 400, spare=2)
    sizes = [60, *[1] * 20, 90, 3, *[1] * 7, 16, *[1] * 4]
    assert_close(in_pieces(model, tokens, sizes, cache), full, **CLOSE)
    for layer, store in zip(config.layers, cache.stores, strict=True):
        reach = layer.window or layer.chunk
        held = max(t.shape[2] for t in store.kept)
        assert held == 400 if reach is None else held <= reach + 1 + max(64, reach)


@ALL
def test_rows_padded_on_the_left_are_read_as_if_alone(kind):
    model, tokens, lengths = perturbed(KINDS[kind]), ids(3, 30), (30, 11, 24)
    valid = torch.arange(30) >= 30 - torch.tensor(lengths)[:, None]
    with torch.no_grad():
        full = model(tokens, valid=valid)
    pieces = in_pieces(model, tokens, [20, 4, *[1] * 6], model.make_cache(3, 400, spare=0), valid)
    for row, length in enumerate(lengths):
        with torch.no_grad():
            alone = model(tokens[row : row + 1, 30 - length :])
        assert_close(full[row : row + 1, 30 - length :], alone, **CLOSE)
        assert_close(pieces[row : row + 1, 30 - length :], alone, **CLOSE)
    assert torch.isfinite(full).all()


@ALL
def test_rows_padded_on_the_right_are_read_as_if_alone_and_go_on_once_they_are_cut(kind):
    model, tokens, lengths = perturbed(KINDS[kind]), ids(2, 30), (24, 26)
    cache = model.make_cache(2, 400)
    in_pieces(model, tokens[:, :20], [20], cache)
    valid = torch.arange(26) < torch.tensor(lengths)[:, None]
    ragged = model(tokens[:, 20:26], cache=cache, valid=valid)
    cache.truncate(24)
    after = model(tokens[:, 24:], cache=cache)
    for row, length in enumerate(lengths):
        with torch.no_grad():
            alone = model(tokens[row : row + 1])
        assert_close(ragged[row : row + 1, : length - 20], alone[:, 20:length], **CLOSE)
        assert_close(after[row : row + 1], alone[:, 24:], **CLOSE)


@ALL
def test_truncating_takes_tokens_back(kind):
    model, tokens = perturbed(KINDS[kind]), ids(2, 120)
    cache = model.make_cache(2, 200, spare=6)
    in_pieces(model, tokens[:, :100], [85, *[1] * 15], cache)
    other = tokens.clone()
    other[:, 94:] = ids(2, 26, seed=1)
    cache.truncate(94)
    with torch.no_grad():
        full = model(other)
    assert_close(in_pieces(model, other, [6, *[1] * 20], cache), full[:, 94:], **CLOSE)


def test_truncating_to_what_a_window_has_forgotten_is_refused_and_changes_nothing():
    model, tokens = perturbed(KINDS["windows"]), ids(1, 121)
    cache = model.make_cache(1, 200, spare=3)
    in_pieces(model, tokens[:, :120], [*[1] * 120], cache)
    with pytest.raises(ValueError, match=r"layer 0 keeps a window.*larger spare"):
        cache.truncate(20)
    with pytest.raises(ValueError, match="from 0 to 120"):
        cache.truncate(121)
    with torch.no_grad():
        assert_close(model(tokens[:, 120:], cache=cache), model(tokens)[:, 120:], **CLOSE)


@ALL
def test_forked_and_reordered_rows_go_on_as_those_they_are_of(kind):
    model, tokens = perturbed(KINDS[kind]), ids(2, 100)
    cache = model.make_cache(2, 150, spare=1)
    in_pieces(model, tokens[:, :90], [75, *[1] * 15], cache)
    copies = cache.fork(3)
    rows = torch.tensor([0, 0, 0, 1, 1, 1])
    mixed = tokens[rows].clone()
    mixed[:, 90:] = ids(6, 10, seed=2)
    with torch.no_grad():
        full = model(mixed)
    assert_close(in_pieces(model, mixed[:, :95], [5], copies), full[:, 90:95], **CLOSE)
    chosen = torch.tensor([4, 4, 0, 5])
    copies.reorder(chosen)
    assert copies.batch == 4
    follow = torch.cat((mixed[chosen][:, :95], ids(4, 5, seed=3)), 1)
    with torch.no_grad():
        expected = model(follow)[:, 95:]
    assert_close(in_pieces(model, follow, [1] * 5, copies), expected, **CLOSE)
    with torch.no_grad():  # the first cache is as it was
        assert_close(in_pieces(model, tokens, [10], cache), model(tokens)[:, 90:], **CLOSE)


def test_a_decoder_with_a_source_reads_it_once():
    model, source, tokens = perturbed(TRANSLATOR), ids(2, 13, seed=5), ids(2, 20)
    seen = torch.arange(13) < torch.tensor([[13], [8]])
    with torch.no_grad():
        full = model(tokens, source=source, source_valid=seen)
        memory = model.encode(source, seen)
    cache = model.make_cache(2, 20)
    first = model(tokens[:, :12], cache=cache, memory=memory, memory_valid=seen)
    cache.reorder(torch.tensor([1, 0]))
    swapped = seen.flip(0)
    rest = [model(tokens.flip(0)[:, i : i + 1], cache=cache, memory_valid=swapped) for i in range(12, 20)]
    assert_close(first, full[:, :12], **CLOSE)
    assert_close(torch.cat(rest, 1), full.flip(0)[:, 12:], **CLOSE)
    with torch.no_grad():  # padding of the source is nowhere
        alone = model(tokens[1:], source=source[1:, :8])
    assert_close(full[1:], alone, **CLOSE)
    with pytest.raises(ValueError, match="memory is missing"):
        model(tokens)


def test_an_interrupt_between_layers_leaves_the_cache_as_it_was():
    model, tokens = perturbed(KINDS["windows"]), ids(1, 300)
    cache = model.make_cache(1, 400, spare=2)
    in_pieces(model, tokens[:, :150], [100, *[1] * 50], cache)
    last = model.decoder.blocks[-1]

    def interrupt(*_):
        raise KeyboardInterrupt

    for count in (1, 120, 1):
        handle = last.register_forward_pre_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            model(tokens[:, 150 : 150 + count], cache=cache)
        handle.remove()
    assert cache.length == 150
    with torch.no_grad():
        assert_close(in_pieces(model, tokens, [1, 1, 148], cache), model(tokens)[:, 150:], **CLOSE)


def test_sizes_are_those_of_the_formula():
    for kind, numbers in (("plain", 3 * 2 * 2 * 8), ("latent without a query's", 3 * (40 + 4))):
        model = perturbed(KINDS[kind])
        cache = model.make_cache(2, 50)
        assert cache.nbytes() == 0
        model(ids(2, 3), cache=cache)
        assert cache.nbytes() == 2 * 50 * numbers * 8


def test_what_a_cache_refuses():
    config = KINDS["plain"]
    model = perturbed(config)
    cache = model.make_cache(2, 4)
    with pytest.raises(ValueError, match="room for 4 tokens"):
        model(ids(2, 5), cache=cache)
    with pytest.raises(ValueError, match="3 rows and the cache 2"):
        model(ids(3, 1), cache=cache)
    with pytest.raises(ValueError, match="batch must be >= 1, got 0"):
        Cache(config, 0, 4)
    with pytest.raises(ValueError, match="sees both directions"):
        Cache(replace(config, causal=False), 1, 4)
    with pytest.raises(ValueError, match="copies must be >= 1"):
        cache.fork(0)
    with pytest.raises(ValueError, match="numbers from 0 to 1"):
        cache.reorder(torch.tensor([0, 2]))
    padded = torch.tensor([[True, True, False, True]])
    windows = perturbed(KINDS["windows"])
    cache = windows.make_cache(1, 9)
    windows(ids(1, 3), cache=cache, valid=padded[:, :3])
    with pytest.raises(ValueError, match="padding behind tokens in the cache"):
        windows(ids(1, 1), cache=cache, valid=padded)


# ---- start tokens and a window


def stream_by_hand(model, tokens, start, window):
    """Each token's logits, layer by layer with lists of unturned keys, turned by their place in the list."""
    attentions = [block.attention for block in model.decoder.blocks]
    kept = [[] for _ in attentions]
    out = []
    theta = 100.0 ** -(torch.arange(0, 8, 2, dtype=torch.float64) / 8)

    def turned(x, place):
        pairs = torch.complex(x[..., :4], x[..., 4:]) * torch.exp(1j * theta * place)
        return torch.cat((pairs.real, pairs.imag), -1)

    for token in tokens:
        x = model.embed.weight[token]
        for block, attention, held in zip(model.decoder.blocks, attentions, kept, strict=True):
            y = block.pre[0](x)
            q, k, v = attention.qkv(y).view(8, 8).split([4, 2, 2])
            held.append((k, v))
            if len(held) > start + window:
                del held[start]
            heads = []
            for h in range(4):
                keys = torch.stack([turned(key[h // 2], place) for place, (key, _) in enumerate(held)])
                values = torch.stack([value[h // 2] for _, value in held])
                p = (keys @ turned(q[h], len(held) - 1) / 8**0.5).softmax(0)
                heads.append(p @ values)
            x = x + attention.o(torch.cat(heads))
            x = x + block.ffn(block.pre[1](x))
        out.append(model.head(model.decoder.norm(x)))
    return torch.stack(out)


@pytest.mark.parametrize(
    ("start", "window", "sizes"), [(4, 8, [30]), (2, 5, [1] * 30), (0, 6, [4, 20, 6]), (3, 1, [30])]
)
def test_start_tokens_and_window_are_turned_by_their_place_in_the_cache(start, window, sizes):
    model, tokens = perturbed(KINDS["plain"]), ids(1, 30)
    cache = model.make_cache(1, 1, start=start, window=window)
    found = in_pieces(model, tokens, sizes, cache)
    with torch.no_grad():
        expected = stream_by_hand(model, tokens[0], start, window)
    assert_close(found[0], expected, **CLOSE)
    assert (cache.length, cache.held) == (30, start + window)


@pytest.mark.parametrize("kind", ["plain", "latent without a query's", "distances", "slopes", "behind", "parallel"])
def test_a_text_goes_on_beyond_the_context_in_memory_that_does_not_grow(kind):
    config = KINDS[kind]
    config = replace(config, context_length=20, layers=tuple(replace(layer, window=None) for layer in config.layers))
    model, tokens = perturbed(config), ids(2, 140)
    cache = model.make_cache(2, 1, start=4, window=16, spare=3)
    first = in_pieces(model, tokens[:, :20], [20], cache)
    with torch.no_grad():
        assert_close(first, model(tokens[:, :20]), **CLOSE)  # nothing is forgotten yet
    model(tokens[:, 20:110], cache=cache)
    size = cache.nbytes()
    logits = model(tokens[:, 110:], cache=cache, last=True)
    assert cache.nbytes() == size
    assert torch.isfinite(logits).all()
    copies = cache.fork(2)
    copies.truncate(138)
    again = model(tokens.repeat_interleave(2, 0)[:, 138:], cache=copies, last=True)
    assert_close(again, logits.repeat_interleave(2, 0), **CLOSE)


def test_one_layer_of_start_and_window_forgets_what_lies_between():
    config = replace(KINDS["plain"], layers=KINDS["plain"].layers[:1])
    model, tokens = perturbed(config), ids(1, 40)
    changed = tokens.clone()
    changed[:, 4:30] = (changed[:, 4:30] + 1) % 61
    ends = [model(t, cache=model.make_cache(1, 1, start=4, window=8), last=True) for t in (tokens, changed)]
    assert_close(ends[0], ends[1], rtol=0, atol=0)
    changed[:, 0] = (changed[:, 0] + 1) % 61
    end = model(changed, cache=model.make_cache(1, 1, start=4, window=8), last=True)
    assert (end - ends[0]).abs().max() > 1e-3


def test_what_start_and_window_refuse():
    config = KINDS["plain"]
    with pytest.raises(ValueError, match="go together"):
        Cache(config, 1, 1, start=4)
    with pytest.raises(ValueError, match="context of 512"):
        Cache(config, 1, 1, start=4, window=512)
    with pytest.raises(ValueError, match="positions that can move"):
        Cache(KINDS["learned"], 1, 1, start=4, window=8)
    with pytest.raises(ValueError, match="some have a window"):
        Cache(KINDS["windows"], 1, 1, start=4, window=8)
    model = perturbed(config)
    with pytest.raises(ValueError, match="takes no valid"):
        model(ids(1, 2), cache=model.make_cache(1, 1, start=4, window=8), valid=torch.tensor([[False, True]]))


@pytest.mark.parametrize("make", [lambda: Window(5, 2), lambda: StartAndWindow(3, 4, 2)])
def test_a_store_gives_the_last_tokens_in_order(make):
    g, store, length, total = torch.Generator().manual_seed(0), make(), 0, torch.arange(1000.0).view(1, 1, -1, 1)
    for count in [*torch.randint(1, 9, (60,), generator=g).tolist(), 200, 1, 1, 90]:
        first = max(length - 4, 0)
        if isinstance(store, StartAndWindow):
            count = 1
        (found,) = store.write(length, first, total[:, :, length : length + count])
        length += count
        store.commit(length)
        if isinstance(store, Window):
            assert found.flatten().tolist() == list(range(first, length))
        else:
            assert found.flatten().tolist() == [*range(min(3, length)), *range(max(3, length - 4), length)]
