"""The language model: embeddings, one or two stacks of layers, and a head. Families are values of its config."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from breadth.lm.block import Attention, Block, CrossAttention, make_norm
from breadth.lm.cache import Cache
from breadth.lm.checks import check_ids, check_padding, check_positions, four_axes, without_padding
from breadth.lm.config import LMConfig
from breadth.lm.fast_step import walk
from breadth.lm.feed_forward import activate, linear
from breadth.lm.moe import Experts
from breadth.lm.rotary import Rotary
from breadth.lm.step import Step, real_positions
from breadth.nn.positions import RelativePositionBias, sinusoidal

Change = Callable[[int, Tensor], Tensor]  # of what goes into the layer with this index


class Stack(nn.Module):
    """Layers one after the other, what they share, and a last norm.

    Args:
        config: of the model.
        cross: layers attend to a source too.

    Attributes:
        blocks: the layers.
        norm: behind the last one, or None.
        relative: the learned bias for distances that all layers share, or None.
        rotaries: the rotary tables; no part of a checkpoint.
    """

    def __init__(self, config: LMConfig, *, cross: bool = False) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config, i, cross=cross) for i in range(len(config.layers)))
        self.norm = make_norm(config) if config.final_norm else None
        self.relative = None
        if config.relative is not None:
            buckets, distance = config.relative
            both = not config.causal
            self.relative = RelativePositionBias(
                config.n_heads, n_buckets=buckets, max_distance=distance, bidirectional=both
            )
        self.rotaries = [Rotary(rope) for rope in config.ropes]

    def step(self, x: Tensor, **given: Any) -> Step:
        """What the layers share in a call on x: see `Step`."""
        return Step(self.config, x, self.rotaries, self.relative, **given)

    def forward(
        self, x: Tensor, step: Step, *, outputs: list[Tensor] | None = None, before: Change | None = None
    ) -> Tensor:
        """(B, T, d_model) through all layers; before changes what goes into each, and outputs gathers it."""
        if step.single and outputs is None and before is None and not self.training:
            x = walk(self.blocks, x, step)
        else:
            for index, block in enumerate(self.blocks):
                x = x if before is None else before(index, x)
                if outputs is not None:
                    outputs.append(x)
                x = block(x, step)
        return x if self.norm is None else self.norm(x)


class LM(nn.Module):
    """A language model: logits_t = head(stack(embed(x))_t), of the token after t, or of t where it sees both sides.

        model = LM(config)
        logits = model(ids)                                   # training: (batch, length, vocabulary)
        cache = model.make_cache(batch, length)
        logits = model(ids, cache=cache, last=True)           # decoding: the prompt, then token by token

    Args:
        config: everything about it.

    Attributes:
        embed, head: embedding, and linear map to logits; one tensor if tied.
        positions, spans, types: learned tables, or None.
        embed_norm: norm of the embeddings, or None.
        decoder: the stack; also that of a model that sees both sides.
        encoder: of an encoder-decoder, or None.
        mlm, mlm_norm: before the head of a model of masked tokens, or None.

    Cost: about 2 operations a weight and token, and attention's; with a cache a new token costs the same
        wherever it is, but for attention.
    Deviations: of a model without an encoder the one stack is called decoder, whichever way it looks.
    References: Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019 (GPT-2); Devlin et al. 2018, arXiv:1810.04805
        (BERT); Touvron et al. 2023, arXiv:2302.13971 (LLaMA); Chowdhery et al. 2022, arXiv:2204.02311 (PaLM);
        Du et al. 2022, arXiv:2103.10360 (GLM).
    Peer: transformers' models of each family with the same weights, float32, 2e-5 (A).
    In production: use it to train, study and change models and to decode on one machine; serve many with vLLM, which
        loads what `save` writes.
    """

    origin: Any = None  # what `load` tells of the checkpoint

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d_model
        self.embed = _embedding(config.vocab_size, d)
        self.positions = _embedding(config.learned_positions, d) if config.learned_positions else None
        self.spans = _embedding(config.span_positions, d) if config.span_positions else None
        self.types = _embedding(config.token_types, d) if config.token_types else None
        self.embed_norm = make_norm(config) if config.embed_norm else None
        self.encoder = None if config.encoder is None else Stack(config.encoder)
        self.decoder = Stack(config, cross=config.encoder is not None)
        self.mlm = linear(d, d, bias=True) if config.mlm_head else None
        self.mlm_norm = make_norm(config) if config.mlm_head else None
        self.head = linear(d, config.vocab_size, bias=config.mlm_head)
        if config.tied:
            self.head.weight = self.embed.weight
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all weights anew: N(0, 2 / (5 d_model)), what is added to the stream 1 / sqrt(2 layers) as wide.

        Biases are 0 and gains 1. Rows of queries are as wide as makes scores those of scale 1 / sqrt(head_dim).

        References: Nguyen & Salazar 2019, arXiv:1910.05895, section 2.2; Radford et al. 2019, section 2.3 (depth).
        """
        std = math.sqrt(2 / (5 * self.config.d_model))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, std)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, Experts):
                nn.init.normal_(module.up, 0.0, std)
                nn.init.normal_(module.down, 0.0, std)
        for stack in (self.encoder, self.decoder):
            blocks = [] if stack is None else list(stack.blocks)
            for block in blocks:
                depth = (2 * len(blocks)) ** -0.5
                for name, weight in block.named_parameters():
                    if name.endswith(("o.weight", "down.weight", "ffn.down")):
                        weight.mul_(depth)
                for part in (block.attention, block.cross):
                    if isinstance(part, Attention | CrossAttention):
                        part.qkv.weight[: part.heads * part.dim].mul_(part.dim**-0.5 / part.scale)

    # ---- what is kept while decoding

    def make_cache(
        self, batch: int, length: int, *, start: int | None = None, window: int | None = None, spare: int = 32
    ) -> Cache:
        """Room for what decoding keeps of so many rows of so many tokens.

        Args:
            batch: rows.
            length: tokens in each, prompt and what follows.
            start, window: keep the first `start` and the last `window` tokens alone, and go on for ever.
            spare: tokens that `Cache.truncate` can take back where a window has moved on.

        Raises:
            ValueError: as `Cache` says.
        """
        return Cache(self.config, batch, length, start=start, window=window, spare=spare)

    # ---- from ids to logits

    def embed_ids(self, ids: Tensor) -> Tensor:
        """Rows of the embedding, scaled, (B, T, d_model): what `inputs` takes."""
        x = self.embed(ids)
        scale = self.config.embed_scale
        if scale == 1.0:
            return x
        return x * float(torch.tensor(scale, dtype=x.dtype))  # as models trained in half precision have it: rounded

    def encode(self, source: Tensor, valid: Tensor | None = None) -> Tensor:
        """What the encoder makes of a source, for `memory`.

        Args:
            source: ids, int64, (B, S).
            valid: bool, (B, S), False for padding.

        Returns:
            Shape (B, S, d_model).

        Raises:
            ValueError: if there is no encoder, or as a call of the model.
        """
        if self.encoder is None:
            raise ValueError("source is given to a model that has no encoder")
        check_ids("source", source, self.config.vocab_size)
        valid = without_padding("source_valid", valid, source.shape[0], source.shape[1])
        x = nn.functional.dropout(self.embed_ids(source), self.encoder.config.embed_dropout, self.training)
        return self.encoder(x, self.encoder.step(x, valid=valid))

    def forward(
        self,
        ids: Tensor | None = None,
        *,
        cache: Cache | None = None,
        valid: Tensor | None = None,
        positions: Tensor | None = None,
        spans: Tensor | None = None,
        types: Tensor | None = None,
        mask: Tensor | None = None,
        inputs: Tensor | None = None,
        source: Tensor | None = None,
        source_valid: Tensor | None = None,
        memory: Tensor | None = None,
        memory_valid: Tensor | None = None,
        before: Change | None = None,
        last: bool = False,
        hidden: bool = False,
    ) -> Any:
        """Logits of tokens, (B, T, vocabulary).

        Args:
            ids: int64, (B, T): the new tokens, behind those the cache holds.
            cache: of earlier tokens, from `make_cache`; the new ones are added. No gradients then.
            valid: bool, (B, past + T), False for padding on the left or on the right of a row; positions count from a
                row's first real token. Rows that are to go on are padded on the left.
            positions: int64, (T,) or (B, T), in place of counting.
            spans: int64, (B, T): positions inside of blanks, for models that have them.
            types: int64, (B, T): segments, for models that have them; None is segment 0.
            mask: bool, (T, past + T), (B, T, past + T) or (B, 1 or heads, T, past + T): which keys a token sees, in
                place of those before it. Windows and `valid` hold all the same.
            inputs: (B, T, d_model), in place of ids: what `embed_ids` gives, or something else, as of an image.
            source, source_valid: ids of the encoder, and which are no padding.
            memory, memory_valid: what `encode` made of a source, in its place.
            before: called with each layer's index and input; what it gives goes in instead.
            last: only of the last position: (B, 1, vocabulary).
            hidden: also give the normalised states of all positions, (B, T, d_model).

        Returns:
            Logits, or (logits, states).

        Raises:
            ValueError: if ids are empty, outside the vocabulary or longer than the context or the cache; if a shape
                does not fit; if an argument is given that the model has no use for.
            TypeError: if ids or positions are no integers, or valid or mask no booleans.
        """
        if source is not None:
            if memory is not None:
                raise ValueError("source and memory are given: give one of them")
            memory, memory_valid = self.encode(source, source_valid), source_valid
        if cache is None:
            x = self._states(ids, inputs, None, valid, positions, spans, types, mask, memory, memory_valid, before)
            return self._answer(x, last=last, hidden=hidden)
        new = ids if ids is not None else inputs
        if cache.capacity is not None and new is not None:
            if not all(each is None for each in (valid, positions, spans, types, mask, before)):
                raise ValueError("a cache with start tokens takes no valid, positions, spans, types, mask and before")
            pieces = _pieces(cache, new.shape[-1 if inputs is None else -2])
            if len(pieces) > 1:  # each token sees other ones, and at other places
                given = {"cache": cache, "memory": memory, "memory_valid": memory_valid}
                return self._in_pieces(pieces, ids, inputs, given, last=last, hidden=hidden)
        with torch.no_grad():
            x = self._states(ids, inputs, cache, valid, positions, spans, types, mask, memory, memory_valid, before)
            cache.commit(x.shape[1])
            return self._answer(x, last=last, hidden=hidden)

    def states(self, ids: Tensor, *, valid: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """Normalised states of the last layer, (B, T, d_model), without logits. Args as of a call."""
        return self._states(ids, None, None, valid, None, None, types, None, None, None)

    def logits(self, states: Tensor) -> Tensor:
        """Head on normalised states."""
        config = self.config
        if self.mlm is not None and self.mlm_norm is not None:
            states = self.mlm_norm(activate(self.mlm(states), config.activation, False))
        if config.logit_scale != 1.0:
            states = states * config.logit_scale
        logits = self.head(states)
        if config.logit_softcap is None:
            return logits
        return config.logit_softcap * torch.tanh(logits / config.logit_softcap)

    def _answer(self, states: Tensor, *, last: bool, hidden: bool) -> Any:
        logits = self.logits(states[:, -1:] if last else states)
        return (logits, states) if hidden else logits

    def _states(
        self,
        ids: Tensor | None,
        inputs: Tensor | None,
        cache: Cache | None,
        valid: Tensor | None,
        positions: Tensor | None,
        spans: Tensor | None,
        types: Tensor | None,
        mask: Tensor | None,
        memory: Tensor | None,
        memory_valid: Tensor | None,
        before: Change | None = None,
    ) -> Tensor:
        if (ids is None) == (inputs is None):
            raise ValueError("give either ids or inputs")
        if ids is not None:
            check_ids("ids", ids, self.config.vocab_size)
        new = ids if ids is not None else inputs
        assert new is not None
        batch, count = new.shape[:2]
        past = 0
        if cache is not None:
            cache.check(batch, count)
            past = cache.length
        if (cache is None or cache.capacity is None) and past + count > self.config.context_length:
            raise ValueError(
                f"ids of length {past + count}, the cache's included, exceed the model's context_length of "
                f"{self.config.context_length}"
            )
        valid = without_padding("valid", valid, batch, past + count)
        if valid is not None and cache is not None:
            check_padding(cache, valid, self.config)
        positions = check_positions(positions, batch, count, self.config.context_length)
        x = self.embed_ids(ids) if ids is not None else inputs
        assert x is not None
        x = self._placed(x, past, valid, positions, spans, types)
        step = self.decoder.step(
            x,
            cache=cache,
            valid=valid,
            positions=positions,
            mask=four_axes(mask, batch, count, past + count),
            memory=memory,
            memory_valid=without_padding("memory_valid", memory_valid, batch, -1),
        )
        return self.decoder(x, step, before=before)

    def _placed(
        self,
        x: Tensor,
        past: int,
        valid: Tensor | None,
        positions: Tensor | None,
        spans: Tensor | None,
        types: Tensor | None,
    ) -> Tensor:
        """Embeddings with what depends on places and segments, and their norm."""
        for name, given, table in (("spans", spans, self.spans), ("types", types, self.types)):
            if given is not None and table is None:
                raise ValueError(f"{name} are given to a model that has no such embedding")
        if self.types is not None:
            x = x + (self.types.weight[0] if types is None else self.types(types))
        if self.positions is not None or self.config.sinusoidal:
            places = positions
            if places is None and valid is not None:
                places = real_positions(valid)[:, past:]
            if places is None:
                places = torch.arange(past, past + x.shape[1], device=x.device)[None]
            if self.positions is not None:
                x = x + self.positions(places)
            else:
                x = x + sinusoidal(places, x.shape[-1], dtype=x.dtype)
        if self.spans is not None:
            x = x + (self.spans.weight[0] if spans is None else self.spans(spans))
        x = x if self.embed_norm is None else self.embed_norm(x)
        return nn.functional.dropout(x, self.config.embed_dropout, self.training)

    def _in_pieces(
        self,
        pieces: list[slice],
        ids: Tensor | None,
        inputs: Tensor | None,
        given: dict[str, Any],
        *,
        last: bool,
        hidden: bool,
    ) -> Any:
        found = [
            self(
                None if ids is None else ids[:, piece],
                inputs=None if inputs is None else inputs[:, piece],
                last=last,
                hidden=hidden,
                **given,
            )
            for piece in pieces
        ]
        if not hidden:
            return found[-1] if last else torch.cat(found, 1)
        logits, states = zip(*found, strict=True)
        return (logits[-1] if last else torch.cat(logits, 1)), torch.cat(states, 1)


def _embedding(rows: int, width: int) -> nn.Embedding:
    made = nn.utils.skip_init(nn.Embedding, rows, width, device=torch.get_default_device())
    return cast(nn.Embedding, made)


def _pieces(cache: Cache, count: int) -> list[slice]:
    """As many tokens as the cache takes without forgetting one, then one at a time."""
    assert cache.capacity is not None
    free = min(max(cache.capacity - cache.length, 0), count)
    first = [slice(0, free)] if free else []
    return first + [slice(i, i + 1) for i in range(free, count)]
