"""Attention from features of queries and keys: sums over keys that are kept instead of scores.

What `linear` and `performer` share. With s_ij = phi(q_i) . phi(k_j) the output sum_j s_ij v_j / sum_j s_ij needs of the
keys only sum_j phi(k_j) v_j^T and sum_j phi(k_j). Feature maps may be exponentials far outside the range of floats, so
that a key's features come as numbers near 1 and the logarithm of their scale; of a query the scale cancels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from breadth.nn.attention.contract import Form, check, four

CHUNK = 64  # queries and keys whose scores lie in memory; more costs more scores, fewer more reads of the state
_BLOCK = 256  # keys or queries taken at a time where nothing is causal
_RANGE = 60.0  # how far, as a logarithm, key scales in one piece may rise: e^-60 leaves float32 27 more to e^-87

QueryFeatures = Callable[[Tensor], Tensor]  # (..., E) -> (..., F), each row up to a factor
KeyFeatures = Callable[[Tensor], tuple[Tensor, Tensor | None]]  # (..., E) -> (..., F) and log of the scale (...)


@dataclass(frozen=True, slots=True)
class LinearState:
    """All that linear attention keeps of the keys it has seen; its size does not grow with their number.

    Attributes:
        kv: sum over keys of phi(k_j) v_j^T e^-log_scale, shape (B, H_kv, F, E_v).
        normaliser: sum over keys of phi(k_j) e^-log_scale, shape (B, H_kv, F).
        log_scale: logarithm of the largest scale so far, shape (B, H_kv), -inf before the first key; None for feature
            maps without scale.
    """

    kv: Tensor
    normaliser: Tensor
    log_scale: Tensor | None


def kernel_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    of_query: QueryFeatures,
    of_key: KeyFeatures,
    *,
    causal: bool,
    mask: Tensor | None,
    chunk: int = CHUNK,
    state: LinearState | None = None,
) -> tuple[Tensor, LinearState | None]:
    """Output (B, H, L, E_v) in the dtype of q, and the state after the last key (None where there is no key at all)."""
    if chunk < 1:
        raise ValueError(f"chunk must be >= 1, got {chunk}")
    seen = check_inputs(q, k, v, mask)
    wide = torch.promote_types(q.dtype, torch.float32)
    device = q.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else q.dtype
    length, n_keys = q.shape[2], k.shape[2]
    outputs = []
    with torch.autocast(device, enabled=False):

        def keys(start: int, stop: int) -> tuple[Tensor, Tensor | None, Tensor]:
            features, log_scale = of_key(k[:, :, start:stop].to(wide))
            if seen is not None:
                hidden = ~seen[:, :, start:stop]
                features = features.masked_fill(hidden[..., None], 0.0)
                log_scale = None if log_scale is None else log_scale.masked_fill(hidden, -torch.inf)
            if state is not None:
                _check_state(state, features, log_scale, v)
            return features, log_scale, v[:, :, start:stop].to(wide)

        # keys that every query sees; of a causal form with more keys than queries those before the first query
        before = max(n_keys - length, 0) if causal and length > 1 else n_keys
        for start in range(0, before, _BLOCK):
            state = _absorbed(state, *keys(start, min(start + _BLOCK, before)))
        if before == n_keys:
            for start in range(0, length, _BLOCK):
                outputs.append(_grouped(q[:, :, start : start + _BLOCK].to(wide), k, of_query, state, v))
        else:
            blind = length - (n_keys - before)  # queries before the first key
            if blind:
                outputs.append(_grouped(q[:, :, :blind].to(wide), k, of_query, state, v))
            for start in range(before, n_keys, chunk):
                stop = min(start + chunk, n_keys)
                rows = of_query(q[:, :, blind + start - before : blind + stop - before].to(wide))
                piece, state = _causal(_in_groups(rows, k.shape[1]), *keys(start, stop), state)
                outputs.append(piece.flatten(1, 2))
    out = torch.cat(outputs, 2) if outputs else q.new_zeros(*q.shape[:3], v.shape[-1])
    return out.to(dtype), state


def kernel_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    of_query: QueryFeatures,
    of_key: KeyFeatures,
    state: LinearState | None,
    *,
    mask: Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, LinearState]:
    """The causal form for the positions after those of state: output, and the state after them."""
    check_inputs(q, k, v, mask)
    if not q.shape[2] == k.shape[2] > 0:
        raise ValueError(f"q and k must hold the same new positions, at least one, got {q.shape[2]} and {k.shape[2]}")
    out, new = kernel_attention(q, k, v, of_query, of_key, causal=True, mask=mask, chunk=chunk, state=state)
    assert new is not None  # there is a key
    return out, new


def _absorbed(state: LinearState | None, f: Tensor, log_scale: Tensor | None, v: Tensor) -> LinearState:
    """The state after keys with features f (B, H_kv, n, F), n >= 1, and values v (B, H_kv, n, E_v)."""
    top = None
    if log_scale is not None:
        top = log_scale.amax(-1)
        if state is not None:
            top = torch.maximum(top, _log_scale(state))
            state = _rescaled(state, top)
        f = f * _exp_difference(log_scale, top[..., None])[..., None]
    kv, normaliser = f.mT @ v, f.sum(-2)
    return LinearState(kv, normaliser, top) if state is None else _sum(state, kv, normaliser)


def _causal(
    q: Tensor, f: Tensor, log_scale: Tensor | None, v: Tensor, state: LinearState | None
) -> tuple[Tensor, LinearState]:
    """Row i of each of the groups' queries q (B, H_kv, G, n, F) reads the state and the keys j <= i of n."""
    top = None
    if log_scale is not None:
        running = log_scale.cummax(-1).values  # (B, H_kv, n): the largest scale that query i sees
        if state is not None:
            running = torch.maximum(running, _log_scale(state)[..., None])
        top = running[..., -1]
        rise = (top[..., None] - running).masked_fill(running == -torch.inf, 0.0)
        if log_scale.shape[-1] > 1 and bool((rise > _RANGE).any()):
            # what the first queries see would vanish beside the last key's scale: each half gets a scale of its own
            half = log_scale.shape[-1] // 2
            first, state = _causal(q[..., :half, :], f[..., :half, :], log_scale[..., :half], v[..., :half, :], state)
            last, state = _causal(q[..., half:, :], f[..., half:, :], log_scale[..., half:], v[..., half:, :], state)
            return torch.cat((first, last), -2), state
        f = f * _exp_difference(log_scale, top[..., None])[..., None]
        state = None if state is None else _rescaled(state, top)
    batch, shared, groups, n, dim = q.shape
    rows = q.reshape(batch, shared, groups * n, dim)
    scores = (rows @ f.mT).view(batch, shared, groups, n, n).tril().view(batch, shared, groups * n, n)
    numerator, denominator = scores @ v, scores.sum(-1)
    kv, normaliser = f.mT @ v, f.sum(-2)
    if state is not None:
        numerator = numerator + rows @ state.kv
        denominator = denominator + (rows @ state.normaliser[..., None]).squeeze(-1)
        state = _sum(state, kv, normaliser)
    else:
        state = LinearState(kv, normaliser, top)
    return _ratio(numerator, denominator).view(batch, shared, groups, n, v.shape[-1]), state


def _grouped(q: Tensor, k: Tensor, of_query: QueryFeatures, state: LinearState | None, v: Tensor) -> Tensor:
    """Queries (B, H, n, E) that all read the same state."""
    batch, heads, n, _ = q.shape
    if state is None:
        return q.new_zeros(batch, heads, n, v.shape[-1])
    rows = _in_groups(of_query(q), k.shape[1]).flatten(2, 3)  # (B, H_kv, G n, F)
    out = _ratio(rows @ state.kv, (rows @ state.normaliser[..., None]).squeeze(-1))
    return out.view(batch, heads, n, v.shape[-1])


def _in_groups(rows: Tensor, shared: int) -> Tensor:
    """(B, H, n, F) -> (B, H_kv, G, n, F): query head h meets key head h // G."""
    return rows.unflatten(1, (shared, rows.shape[1] // shared))


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return numerator / denominator.masked_fill(denominator == 0, 1.0)[..., None]  # no key: 0, with gradient 0


def _sum(state: LinearState, kv: Tensor, normaliser: Tensor) -> LinearState:
    return LinearState(state.kv + kv, state.normaliser + normaliser, state.log_scale)


def _rescaled(state: LinearState, top: Tensor) -> LinearState:
    factor = _exp_difference(_log_scale(state), top)
    return LinearState(state.kv * factor[..., None, None], state.normaliser * factor[..., None], top)


def _log_scale(state: LinearState) -> Tensor:
    assert state.log_scale is not None  # _check_state
    return state.log_scale


def _check_state(state: LinearState, features: Tensor, log_scale: Tensor | None, v: Tensor) -> None:
    wanted = (*features.shape[:2], features.shape[-1], v.shape[-1])
    if state.kv.shape != wanted or (state.log_scale is None) != (log_scale is None):
        raise ValueError(
            f"state must come from the same heads and feature map: its kv should have shape (B, H_kv, F, E_v) = "
            f"{wanted}, got {tuple(state.kv.shape)}, {'with' if state.log_scale is not None else 'without'} log_scale"
        )


def _exp_difference(a: Tensor, top: Tensor) -> Tensor:
    """exp(a - top) for a <= top, and 0 where both are -inf."""
    return (a - top.masked_fill(top == -torch.inf, 0.0)).exp()


def check_inputs(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor | None:
    """What `attend` asks of its tensors, and of a mask that it hides keys alone; returns it as (B, 1, S)."""
    check(q, k, v, Form(mask=four(mask)))
    if mask is None:
        return None
    of_keys, wanted = four(mask), (k.shape[0], 1, 1, k.shape[2])
    assert of_keys is not None
    if of_keys.shape[1:3] != (1, 1):
        raise ValueError(
            f"mask must be broadcastable to (B, 1, 1, S) = {wanted}, got {tuple(mask.shape)}: without scores it can "
            "hide a key only from all queries and heads alike; take causal for order, or attend for other masks"
        )
    return of_keys[:, :, 0].expand(k.shape[0], 1, k.shape[2])
