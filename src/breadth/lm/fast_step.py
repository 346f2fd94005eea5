"""One token's step through a layer on a CPU, in a dozen calls of kernels instead of some fifty of torch.

The ordinary block computes the same; between its kernels it spends as long as 4-bit weights take to be multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from breadth.lm import step_kernels as kernels
from breadth.lm.block import Attention, Block, RMSNorm
from breadth.lm.cache import Static, Store
from breadth.lm.feed_forward import FeedForward, activate
from breadth.lm.step import Step
from breadth.nn import LayerNorm
from breadth.nn.linear import Array

_NONE = np.empty(0, np.float32)


def walk(blocks: Iterable[nn.Module], x: Tensor, step: Step) -> Tensor:
    """One token through layers: by `FastBlock` through those that it knows, by themselves through others.

    Args:
        blocks: of a stack.
        x: (1, 1, d_model), float32, on a CPU, without gradients.
        step: of a call that is `single`.

    Returns:
        Shape of x.
    """
    assert step.cache is not None
    x = x.clone()
    row = x.view(1, -1).numpy()  # the same memory: layers add to it
    for block in blocks:
        fast = _fast(block, step.cache.stores)
        if fast is None:
            x = block(x, step).contiguous()
            row = x.view(1, -1).numpy()
        else:
            fast(row, step)
    return x


def _fast(block: nn.Module, stores: list[Store]) -> FastBlock | None:
    """Made for a block and a cache once. A part that is put in later is met with the next cache; hooks are seen."""
    if not isinstance(block, Block):
        return None
    store = stores[block.attention.index]
    if not isinstance(store, Static):
        return None
    if store.fast is None or store.fast.block is not block:
        store.fast = FastBlock(block, store) if served(block, store) else None
    fast = store.fast
    return None if fast is None or fast.hooked() else fast


def served(block: Block, store: Static) -> bool:
    """Whether `FastBlock` computes what a block does: its parts are those of this package, on a CPU, in float32."""
    attention, ffn = block.attention, block.ffn
    if type(attention) is not Attention or type(ffn) is not FeedForward or block.cross is not None or not store.kept:
        return False
    products: list[Any] = [attention.qkv, attention.o, ffn.up, ffn.down]
    norms = [*block.pre, *block.post, *(n for n in (attention.q_norm, attention.k_norm) if n is not None)]
    return (
        all(hasattr(part, "product") and part.quick() for part in products)
        and all(type(norm) in (RMSNorm, LayerNorm) for norm in norms)
        and all(t.dtype == torch.float32 and t.is_cpu for t in chain(store.kept, *(n.parameters() for n in norms)))
        and (attention.sinks is None or attention.sinks.dtype == torch.float32)
    )


class FastBlock:
    """A block's weights as arrays, and room for what it makes of one token.

    Args:
        block: one that is `served`; its weights are not copied.
        store: its keys and values, which hold the prompt already.
    """

    def __init__(self, block: Block, store: Static) -> None:
        a, f = cast(Attention, block.attention), cast(FeedForward, block.ffn)
        self.block, self.attention, self.ffn = block, a, f
        self._parts = tuple(block.modules())
        self.pre, self.post = [_norm(n) for n in block.pre], [_norm(n) for n in block.post]
        self.q_norm, self.k_norm = (None if n is None else _norm(n) for n in (a.q_norm, a.k_norm))
        self.qkv, self.o, self.up, self.down = (part.product() for part in (a.qkv, a.o, f.up, f.down))
        self.placement, self.parallel, self.layer = block.placement, block.parallel, a.layer
        self.sinks = _NONE if a.sinks is None else a.sinks.detach().numpy()
        self.softcap = np.float32(a.softcap or 0)
        self.keys, self.values = (t[0].numpy() for t in store.kept)
        self.heads = np.empty((a.heads + 2 * a.kv_heads, a.dim), np.float32)
        self.seen = np.empty((a.heads, a.dim), np.float32)
        self.inner = torch.empty(1, f.up.out_features)
        self.normed, self.made, self.other = (np.empty((1, a.o.out_features), np.float32) for _ in range(3))

    def hooked(self) -> bool:
        """Whether someone wants to see or change what goes through a part: then the parts are to be called."""
        return any(part._forward_hooks or part._forward_pre_hooks for part in self._parts)

    def __call__(self, x: Array, step: Step) -> None:
        """Add what the layer makes of x, (1, d_model), to x in place."""
        if self.parallel:
            self.pre[0](x, self.normed)
            self._attend(self.normed, step, self.made)
            self._feed(self.normed, step, self.other)
            x += self.made
            x += self.other
            return
        for part, compute in enumerate((self._attend, self._feed)):
            y = x
            if self.placement in ("pre", "both"):
                y = self.normed
                self.pre[part](x, y)
            compute(y, step, self.made)
            if self.placement in ("post", "both"):
                self.post[part](self.made, self.made)
            x += self.made
            if self.placement == "residual":
                self.post[part](x, x)

    def _attend(self, x: Array, step: Step, y: Array) -> None:
        a, heads = self.attention, self.heads
        self.qkv(x, heads.reshape(1, -1))
        queries, keys = heads[: a.heads], heads[a.heads : a.heads + a.kv_heads]
        if self.q_norm is not None and self.k_norm is not None:
            for norm, some in ((self.q_norm, queries), (self.k_norm, keys)):
                some = some.reshape(1, -1) if a.whole_norm else some
                norm(some, some)
        scale = a.scale
        if self.layer.rope is not None:
            kernels.turn(heads[: a.heads + a.kv_heads], *step.tables(self.layer.rope))
        elif step.temperature is not None:
            scale *= float(step.temperature)
        first, _ = step.visible(self.layer.window, self.layer.chunk)
        kernels.attend(heads, self.keys, self.values, first, step.past, scale, self.softcap, self.sinks, self.seen)
        self.o(self.seen.reshape(1, -1), y)

    def _feed(self, x: Array, step: Step, y: Array) -> None:
        self.up(x, self.inner.numpy())
        self.down(activate(self.inner, self.ffn.activation, self.ffn.gated).numpy(), y)


def _norm(norm: nn.Module) -> Callable[[Array, Array], None]:
    """A function that writes the norm of each row of x into y."""
    weight = cast(Tensor, norm.weight).detach().numpy()
    eps = np.float32(cast(float, norm.eps))
    if isinstance(norm, RMSNorm):
        return lambda x, y: kernels.rms_norm(x, weight, eps, y)
    bias = np.zeros_like(weight) if norm.bias is None else cast(Tensor, norm.bias).detach().numpy()
    return lambda x, y: kernels.layer_norm(x, weight, bias, eps, y)
