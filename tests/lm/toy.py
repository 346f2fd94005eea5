"""A language model that is a table: small enough to enumerate all its texts, called as a real one is."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import torch

F64 = torch.float64


class ToyCache:
    """The tokens read so far, row by row."""

    def __init__(self, batch, length):
        self.ids = torch.full((batch, length), -1)
        self.length = 0
        self.truncated = 0  # how often

    def fork(self, copies):
        new = ToyCache(len(self.ids) * copies, self.ids.shape[1])
        new.ids, new.length = self.ids.repeat_interleave(copies, 0), self.length
        return new

    def reorder(self, rows):
        self.ids = self.ids[rows]

    def truncate(self, length):
        assert 0 <= length <= self.length
        self.truncated += 1
        self.length = length
        self.ids[:, length:] = -1


class ToyLM:
    """Logits of the next token depend on the last `order` tokens and on the position, through a random table.

    Args:
        vocab: tokens.
        order: how many tokens matter.
        sharpness: scale of the logits.
        seed: of the table.
        near: another one whose table this one's is mixed with, for a draft or an amateur.
    """

    def __init__(self, vocab=6, *, order=2, sharpness=2.0, seed=0, near=None, mix=0.5, context=64, dtype=F64):
        g = torch.Generator().manual_seed(seed)
        self.config = SimpleNamespace(vocab_size=vocab, context_length=context, encoder=None)
        self.order, self.buckets, self.dtype = order, 997, dtype
        self.table = sharpness * torch.randn(self.buckets, vocab, generator=g, dtype=F64)
        self.vectors = torch.randn(self.buckets, 8, generator=g, dtype=F64)
        if near is not None:
            self.table = mix * self.table + (1 - mix) * near.table
        self.table = self.table.to(dtype)
        self.calls = []  # how many tokens each call read
        self.interrupt_at = None  # number of the call that is broken off after the cache was written

    def make_cache(self, batch, length):
        return ToyCache(batch, length)

    def __call__(self, ids, cache=None, valid=None, positions=None, last=False, hidden=False, **_):
        batch, new = ids.shape
        assert new > 0 and int(ids.min()) >= 0 and int(ids.max()) < self.config.vocab_size
        begin = 0 if cache is None else cache.length
        if cache is None:
            known = ids
        else:
            assert len(cache.ids) == batch and begin + new <= cache.ids.shape[1]
            cache.ids[:, begin : begin + new] = ids
            cache.length = begin + new
            known = cache.ids[:, : cache.length]
        self.calls.append(new)
        if self.interrupt_at is not None and len(self.calls) == self.interrupt_at:
            raise KeyboardInterrupt
        if valid is None:
            valid = torch.ones_like(known, dtype=torch.bool)
        assert valid.shape == known.shape
        places = valid.cumsum(1) - 1
        seen = known.masked_fill(~valid, -1)
        key = 31 * places
        for back in range(self.order):
            shifted = torch.full_like(seen, -1)
            shifted[:, back:] = seen[:, : seen.shape[1] - back]
            key = key + (shifted + 1) * (7 ** (back + 1))
        key = key[:, begin:] % self.buckets
        logits, states = self.table[key], self.vectors[key]
        if last:
            logits = logits[:, -1:]
        return (logits, states) if hidden else logits

    def log_probability(self, prompt, text):
        """log p(text | prompt) from one full call."""
        ids = torch.tensor([[*prompt, *text]])
        log_p = self(ids).double().log_softmax(-1)[0, len(prompt) - 1 : -1]
        return float(log_p.gather(-1, torch.tensor(text)[:, None]).sum())

    def next_logits(self, ids):
        return self(torch.tensor([list(ids)]))[0, -1]


def texts(vocab, length, end=None):
    """All token sequences of a length, or shorter if they end in `end`."""
    found = []
    for n in range(1, length + 1):
        for text in itertools.product(range(vocab), repeat=n):
            if end is None:
                if n == length:
                    found.append(text)
            elif end not in text[:-1] and (text[-1] == end or n == length):
                found.append(text)
    return found


class Letters:
    """A tokenizer whose tokens are given byte strings, some of them parts of characters."""

    def __init__(self, pieces):
        self.pieces = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]

    def encode(self, text, **_):
        data, ids = text.encode(), []
        while data:
            best = max((i for i, p in enumerate(self.pieces) if data.startswith(p)), key=lambda i: len(self.pieces[i]))
            ids.append(best)
            data = data[len(self.pieces[best]) :]
        return ids

    def decode(self, ids, **_):
        return b"".join(self.pieces[i] for i in ids).decode("utf-8", "replace")


class Script(ToyLM):
    """A model that says given tokens one after the other, whatever it is told."""

    def __init__(self, vocab, script, start):
        super().__init__(vocab)
        self.script, self.start = script, start

    def __call__(self, ids, cache=None, valid=None, last=False, **options):
        begin = 0 if cache is None else cache.length
        super().__call__(ids, cache=cache, valid=valid, **options)
        logits = torch.zeros(*ids.shape, self.config.vocab_size, dtype=F64)
        for t in range(ids.shape[1]):
            place = begin + t + 1 - self.start
            if 0 <= place < len(self.script):
                logits[:, t, self.script[place]] = 50
        return logits[:, -1:] if last else logits
