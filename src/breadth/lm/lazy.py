"""LazyLLM: a decoder that computes at each layer only the tokens which the next one needs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from breadth.lm.block import Attention
from breadth.lm.model import LM
from breadth.lm.prune import Schedule, check_schedule


class LazyLM:
    """A model that drops tokens on their way through the layers, and fetches them back when they matter after all.

    After a layer that prunes, the tokens that the last one attends to most stay, those of the others wait: their states
    lie in the auxiliary cache of that layer. At the next token all are candidates again. One that is chosen and has no
    keys and values at the next layer is computed from where it left, so that no token passes a layer twice, and a text
    costs at most what it costs without pruning.

        lazy = LazyLM(model, layer_wise_schedule(12, begin=3, end_keep=0.3), length=2080)
        logits = lazy.read(prompt)                     # the time to the first token is that of the tokens that stayed
        ids = lazy.generate(token, max_new_tokens=32)

    Args:
        model: a decoder whose layers see the whole text.
        schedule: what leaves after which layer; `static_schedule`, `layer_wise_schedule`, `dynamic_schedule`,
            `ThresholdGate.schedule`, or one's own. An empty one prunes nothing.
        length: room for so many tokens, prompt and what follows.

    Attributes:
        length: tokens read.
        seen: tokens that each layer's last query saw at the last `read`.
        computed: tokens that each layer has computed in all.

    Raises:
        ValueError: if the model has windows, chunks, latent attention, a bias for distances or an encoder; the schedule
            does not fit it; or length is < 1 or beyond its context.

    Cost: a prompt of n tokens costs each layer those it keeps; memory that of a full cache and n d_model more for each
        layer that prunes.
    Deviations:
        1. One text at a time: rows of a batch would keep different tokens.
        2. The paper prunes below a percentile of the scores of the tokens still there; `Prune.keep` is a share of all
           tokens so far.
    References: Fu et al. 2024, arXiv:2407.14057, sections 3.2 (progressive pruning) and 3.3 (auxiliary cache).
    Peer: token after token in NumPy, float64, 1e-10; the model itself where nothing is pruned (B).
    In production: use it for long prompts on one machine, after measuring on your own task what its answers lose.
    """

    def __init__(self, model: LM, schedule: Schedule, *, length: int):
        config = model.config
        _check_model(model)
        if not 1 <= length <= config.context_length:
            raise ValueError(f"length must be in [1, {config.context_length}], the model's context, got {length}")
        self.model, self.room, self.length = model, length, 0
        self.rules = check_schedule(schedule, len(config.layers))
        weight = model.embed.weight
        kept = (len(config.layers), 1, config.n_kv_heads, length, config.head_dim)
        self._keys, self._values = weight.new_empty(kept), weight.new_empty(kept)
        self._have = torch.zeros(len(config.layers), length, dtype=torch.bool, device=weight.device)
        self._waiting = {layer: weight.new_empty(1, length, config.d_model) for layer in self.rules}
        self.seen = [0] * len(config.layers)
        self.computed = [0] * len(config.layers)

    @torch.no_grad()
    def read(self, ids: Tensor) -> Tensor:
        """Logits after the last of the new tokens, (1, vocabulary).

        Args:
            ids: int64, (1, T), T >= 1: the prompt, then token by token.

        Raises:
            ValueError: if there is more than one row, no token, an id outside the vocabulary, or no room.
        """
        model, begin = self.model, self.length
        if ids.dim() != 2 or ids.shape[0] != 1 or ids.shape[1] == 0:
            raise ValueError(f"ids must have shape (1, T >= 1), got {tuple(ids.shape)}")
        if ids.min() < 0 or ids.max() >= model.config.vocab_size:
            raise ValueError(f"ids must lie in [0, {model.config.vocab_size}), got {ids.min()} to {ids.max()}")
        end = begin + ids.shape[1]
        if end > self.room:
            raise ValueError(f"there is room for {self.room} tokens, got {ids.shape[1]} more than the {begin} read")
        candidates = torch.arange(end, device=ids.device)
        tokens = candidates[begin:]  # those to compute
        x = model._placed(model.embed_ids(ids), begin, None, None, None, None)
        for index, block in enumerate(model.decoder.blocks):
            self.seen[index] = len(candidates)
            self.computed[index] += len(tokens)
            last = x[:, -1:]
            step = self._step(index, x, tokens, candidates)
            x = block(x, step)
            if index in self.rules:
                importance = self._importance(block, last, step.cache.keys, tokens[-1:])
                candidates = candidates[self.rules[index].select(importance, end)]
                self._waiting[index][:, tokens] = x
                tokens = candidates[~self._have[index + 1, candidates]]
                x = self._waiting[index][:, tokens]
        self.length = end
        norm = model.decoder.norm
        x = x[:, -1:]
        return model.logits(x if norm is None else norm(x))[:, 0]

    def generate(self, ids: Tensor, *, max_new_tokens: int) -> list[int]:
        """The likeliest next tokens, one by one.

        Args:
            ids: int64, (1, T), what follows the tokens read so far.
            max_new_tokens: how many, >= 1.

        Raises:
            ValueError: if max_new_tokens < 1, or as `read`.
        """
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be >= 1, got {max_new_tokens}")
        made: list[int] = []
        while len(made) < max_new_tokens:
            made.append(int(self.read(ids).argmax(-1)))
            ids = ids.new_tensor([made[-1:]])
        return made

    def _step(self, index: int, x: Tensor, tokens: Tensor, candidates: Tensor) -> Any:
        """A `Step` on tokens anywhere in the text, which see the candidates before them; `_Places` is its cache."""
        mask = None
        if 1 < len(tokens) < len(candidates):  # else causal order among themselves, or one that sees all
            mask = (candidates <= tokens[:, None])[None, None]
        step: Any = self.model.decoder.step(x, positions=tokens[None], mask=mask)
        step.cache = _Places(self, index, tokens, candidates)
        return step

    def _importance(self, block: Any, last: Tensor, keys: Tensor, place: Tensor) -> Tensor:
        """Mean over heads of the last token's attention to each candidate, (candidates,)."""
        attention = block.attention
        x = block.pre[0](last) if len(block.pre) else last
        step = self.model.decoder.step(x, positions=place[None])
        q = attention.project(x, step)[0]  # (1, H, 1, E)
        q = q.view(1, attention.kv_heads, -1, attention.dim)  # (1, G, H / G, E)
        scores = (q @ keys.mT).float() * attention.scale
        if attention.softcap is not None:
            scores = attention.softcap * torch.tanh(scores / attention.softcap)
        scores = scores.flatten(1, 2)[0]  # (H, candidates)
        if attention.sinks is not None:
            scores = torch.cat((scores, attention.sinks[:, None].float()), 1)
        return scores.softmax(-1)[:, : keys.shape[2]].mean(0)


class _Places:
    """What attention writes to and reads from: keys and values by their token's place."""

    def __init__(self, lazy: LazyLM, index: int, tokens: Tensor, candidates: Tensor):
        self.lazy, self.index, self.tokens, self.candidates = lazy, index, tokens, candidates
        self.keys = lazy._keys[index]

    def write(self, layer: int, first: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        keys, values, have = self.lazy._keys[layer], self.lazy._values[layer], self.lazy._have[layer]
        keys[:, :, self.tokens], values[:, :, self.tokens], have[self.tokens] = k, v, True
        count = len(self.candidates)
        if count == int(self.candidates[-1]) + 1:  # nobody is missing: no copy
            self.keys, found = keys[:, :, :count], values[:, :, :count]
        else:
            self.keys, found = keys[:, :, self.candidates], values[:, :, self.candidates]
        return self.keys, found


def _check_model(model: LM) -> None:
    config = model.config
    if config.encoder is not None or not config.causal:
        raise ValueError("LazyLM needs a decoder: a model with an encoder, or one that sees both sides, is none")
    if not all(isinstance(block.attention, Attention) for block in model.decoder.blocks):
        raise ValueError("LazyLM keeps keys and values of heads; latent attention has none")
    if any(layer.window is not None or layer.chunk is not None for layer in config.layers):
        raise ValueError("LazyLM needs layers that see the whole text; windows and chunks prune by themselves")
    if config.relative is not None or config.alibi:
        raise ValueError("LazyLM needs positions in queries and keys, or none; this model has a bias for distances")
