"""What all layers of one call share, found once: positions, rotary tables, and who sees whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from breadth.lm.cache import Cache
from breadth.lm.config import LMConfig
from breadth.nn.linear import unwatched
from breadth.nn.positions import alibi_bias

if TYPE_CHECKING:
    from breadth.lm.rotary import Rotary
    from breadth.nn.positions import RelativePositionBias


class Visible(NamedTuple):
    """Keys that the queries of one kind of layer may see.

    Attributes:
        first: the first of the text's tokens that any of them sees.
        how: arguments of `attend` that say which of those from there on are seen by whom.
    """

    first: int
    how: dict[str, Any]


def real_positions(valid: Tensor) -> Tensor:
    """Place of each token among those of its row that are no padding: int64, shape of valid; padding has any place."""
    return (valid.cumsum(-1) - 1).clamp_(min=0)


class Step:
    """One call of a stack: the tokens past .. end - 1 of a text, of which earlier ones lie in a cache.

    Args:
        config: of the stack.
        x: its input, (B, T, d_model), for type and device.
        rotaries: its rotary tables.
        relative: its learned bias for distances, or None.
        cache: what was read before, or None.
        valid: bool, (B, end), False for padding; None if there is none.
        positions: int64, (B, T) or (1, T), of x; None counts from the tokens that were read.
        mask: bool, broadcastable to (B, 1, T, end), True where a key is seen, in place of causal order.
        memory: what an encoder made of the source, or None.
        memory_valid: bool, (B, S), of the source.

    Attributes:
        past, count, end: tokens read before, new ones, and all; in a cache with start tokens and a window those held.
        turned: cosines and sines of each rotary table for x.
        turned_keys: the same for all keys held, where a cache has start tokens and a window; else None.
        temperature: factor of queries in layers without rotation, (B or 1, T, 1, 1), or None.
        memory_bias: 0 and -inf, (B, 1, 1, S), or None.
        single: one token of one row in float32 on a CPU, behind others that a cache holds, which it sees as its layer
            has it and nothing else does: what `fast_step` is for.
    """

    def __init__(
        self,
        config: LMConfig,
        x: Tensor,
        rotaries: list[Rotary],
        relative: RelativePositionBias | None,
        *,
        cache: Cache | None = None,
        valid: Tensor | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        memory: Tensor | None = None,
        memory_valid: Tensor | None = None,
    ) -> None:
        self.config, self.cache, self.memory = config, cache, memory
        self.dtype, self.device = x.dtype, x.device
        self.count = x.shape[1]
        capacity = None if cache is None else cache.capacity
        self.streams = capacity is not None
        self.end = self.count + (0 if cache is None else cache.length)
        if capacity is not None:
            self.end = min(self.end, capacity)
        self.past = self.end - self.count
        self.valid, self.mask = valid, mask
        self._places = None if valid is None else real_positions(valid)  # (B, end)
        if positions is None and self._places is not None:
            positions = self._places[:, self.past :]
            highest = self.end - 1
        else:
            highest = -1 if positions is None else int(positions.max())
        self.turned: list[tuple[Tensor, Tensor]] = []
        for rotary in rotaries:
            if positions is None:
                self.turned.append(rotary.range(self.past, self.count, x.dtype, x.device))
            else:
                self.turned.append(rotary.at(positions, highest, x.dtype))
        self.turned_keys = None
        if self.streams:
            self.turned_keys = [rotary.range(0, self.end, x.dtype, x.device) for rotary in rotaries]
        self.temperature = None if config.temperature is None else self._temperature(positions)
        self.bias: Tensor | None = None  # of distances, (1, H, T, end)
        if relative is not None:
            self.bias = relative(self.count, self.end)[None].to(x.dtype)
        elif config.alibi:
            self.bias = alibi_bias(config.n_heads, self.count, self.end, dtype=x.dtype, device=x.device)[None]
        self.memory_bias = None
        if memory_valid is not None:
            self.memory_bias = self._as_bias(memory_valid[:, None, None])
        self._visible: dict[tuple[int | None, int | None], Visible] = {}
        self._tables: dict[int, tuple[np.ndarray, ...]] = {}
        self.single = (
            x.shape[:2] == (1, 1)
            and self.past > 0
            and not self.streams
            and config.causal
            and all(each is None for each in (valid, mask, memory, self.bias))
            and x.dtype is torch.float32
            and x.is_cpu
            and not torch.is_grad_enabled()
            and unwatched(x)
        )

    def tables(self, rope: int) -> tuple[np.ndarray, ...]:
        """Cosines and sines of a rotary table for a `single` token, each (dim,)."""
        if rope not in self._tables:
            self._tables[rope] = tuple(t.flatten().numpy() for t in self.turned[rope])
        return self._tables[rope]

    def visible(self, window: int | None, chunk: int | None) -> Visible:
        """What layers with this window or these chunks see; found once for each kind."""
        found = self._visible.get((window, chunk))
        if found is None:
            found = self._visible[window, chunk] = self._find(window, chunk)
        return found

    def _find(self, window: int | None, chunk: int | None) -> Visible:
        past, end, causal = self.past, self.end, self.config.causal
        plain = self.valid is None and self.mask is None
        first = 0
        if past and not self.streams:
            if window is not None:
                first = max(past - window + 1, 0)
            elif chunk is not None:  # rows that are padded begin their chunks elsewhere
                first = past - past % chunk if plain else max(past - chunk + 1, 0)
        bias = None if self.bias is None else self.bias[..., first:]
        if plain:
            # whether every query reaches every key from first on, order aside
            reach = first // chunk == (end - 1) // chunk if chunk is not None else end - first <= (window or end)
            if (self.count == 1 and causal) or (reach and not causal):
                return Visible(first, {} if bias is None else {"bias": bias})
            if bias is None and reach and first == past:
                return Visible(first, {"causal": True})
            if bias is None and not reach and window is not None:
                return Visible(first, {"causal": causal, "window": window})
        seen = self._seen(first, window, chunk)
        return Visible(first, {"bias": self._as_bias(seen, bias)})

    def _seen(self, first: int, window: int | None, chunk: int | None) -> Tensor:
        """bool, broadcastable to (B, 1, T, end - first)."""
        if self._places is None:
            k = torch.arange(first, self.end, device=self.device)[None]
            q = torch.arange(self.past, self.end, device=self.device)[None]
        else:
            k, q = self._places[:, first:], self._places[:, self.past :]
        q, k = q[:, None, :, None], k[:, None, None, :]
        if self.mask is not None:
            seen = self.mask[..., first:]
        elif self.config.causal:
            seen = k <= q
        else:
            seen = torch.ones((), dtype=torch.bool, device=self.device)
        if window is not None:
            seen = seen & ((q - k).abs() < window)
        if chunk is not None:
            seen = seen & (q // chunk == k // chunk)
        if self.valid is not None:
            seen = seen & self.valid[:, None, None, first:]
        return seen

    def _as_bias(self, seen: Tensor, bias: Tensor | None = None) -> Tensor:
        """0 or the bias where a key is seen, -inf elsewhere: kernels take it as it is, call after call."""
        if bias is not None:
            return bias.masked_fill(~seen, -torch.inf)
        return torch.zeros(seen.shape, dtype=self.dtype, device=self.device).masked_fill_(~seen, -torch.inf)

    def _temperature(self, positions: Tensor | None) -> Tensor:
        assert self.config.temperature is not None
        floor, slope = self.config.temperature
        if positions is None:
            positions = torch.arange(self.past, self.end, device=self.device)[None]
        factor = torch.log1p(torch.floor((positions.to(torch.float64) + 1) / floor)) * slope + 1
        return factor.to(self.dtype)[:, :, None, None]
