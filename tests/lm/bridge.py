"""A transformers model behind the call of `breadth.lm.LM`, so that decoding is compared on the same logits."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import torch
from transformers import DynamicCache


class BridgeCache:
    def __init__(self):
        self.inner, self.length = DynamicCache(), 0

    def fork(self, copies):
        new = BridgeCache()
        new.inner, new.length = copy.deepcopy(self.inner), self.length
        new.inner.batch_repeat_interleave(copies)
        return new

    def reorder(self, rows):
        self.inner.batch_select_indices(rows)

    def truncate(self, length):
        self.inner.crop(length)
        self.length = length


class Bridge:
    def __init__(self, model):
        self.model = model.eval()
        c = model.config
        self.config = SimpleNamespace(vocab_size=c.vocab_size, context_length=c.max_position_embeddings, encoder=None)

    def parameters(self):
        return self.model.parameters()

    def make_cache(self, batch, length):
        return BridgeCache()

    def __call__(self, ids, cache=None, valid=None, positions=None, last=False, hidden=False):
        cache = BridgeCache() if cache is None else cache
        if valid is None:
            valid = torch.ones(len(ids), cache.length + ids.shape[1], dtype=torch.bool)
        places = (valid.long().cumsum(1) - 1).clamp(min=0)[:, cache.length :]
        out = self.model(
            ids,
            cache=cache.inner,
            attention_mask=valid.long(),
            position_ids=places,
            use_cache=True,
            output_hidden_states=hidden,
        )
        cache.length += ids.shape[1]
        logits = out.logits[:, -1:] if last else out.logits
        return (logits, out.hidden_states[-1]) if hidden else logits
