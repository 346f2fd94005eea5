"""Scaled dot-product attention: one contract, and the engine that suits shape and hardware behind it."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from breadth.nn.attention.banded import banded, banded_pays
from breadth.nn.attention.contract import Form, check, four
from breadth.nn.attention.dense import flash_sinks, flash_takes, sdpa
from breadth.nn.attention.flex import flex, flex_lacks
from breadth.nn.attention.naive import naive

Engine = Literal["auto", "sdpa", "banded", "flash", "flex", "naive"]


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    window: int | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    sinks: Tensor | None = None,
    softcap: float | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    engine: Engine = "auto",
) -> Tensor:
    """Scaled dot-product attention, softmax(cap(q k^T scale) + bias) v over the keys that a query may see.

    P_ij = exp(s_ij) / (sum_j' exp(s_ij') + exp(sink_h)), s_ij = cap(scale q_i . k_j) + bias_ij, cap(s) = c tanh(s / c).

    Args:
        q: queries, shape (B, H, L, E).
        k: keys, shape (B, H_kv, S, E); H must be a multiple of H_kv, and query head h meets key head h H_kv // H
            (grouped-query attention; multi-query where H_kv = 1).
        v: values, shape (B, H_kv, S, E_v).
        causal: query i sees keys j <= i + S - L. Aligned to the end: L < S is decoding with a cache, and the last
            query sees every key.
        window: a query at position p sees keys with 0 <= p - j < window if causal, else |p - j| < window; >= 1.
        mask: boolean, broadcastable to (B, H, L, S), True where a key is seen.
        bias: added to the scores, broadcastable to (B, H, L, S); learned, ALiBi or relative.
        sinks: learned logits, shape (H,): a key of every head that is in the normaliser and has no value.
        softcap: c > 0, bounds scores to (-c, c) before bias and mask; None leaves them.
        scale: of q k^T; None takes 1 / sqrt(E).
        dropout: share of the probabilities dropped, in [0, 1). It is applied whenever it is not 0: pass 0 outside
            training.
        engine: who computes:
            "sdpa": torch's scaled_dot_product_attention; a sink becomes one more key;
            "banded": blocks of a sliding window, linear in the length; without mask, bias and softcap;
            "flash": the CPU's flash kernel and its log-sum-exp, for sinks;
            "flex": torch's flex_attention, compiled at the first call (a C++ compiler is needed, and ten seconds for
                each new form); without dropout, and on a CPU without gradients, sinks and float64;
            "naive": all scores in memory; takes everything;
            "auto": naive for softcap, banded where a window leaves less than half of the work, flash for sinks on a
                CPU, else sdpa. A kernel that this torch or device lacks is stepped around.

    Returns:
        Shape (B, H, L, E_v), dtype of q (under autocast: of autocast). A query that sees no key gives 0, not NaN.

    Raises:
        TypeError: if a tensor's dtype is not what it must be, or q, k and v differ in it.
        ValueError: if shapes do not fit, a number is out of its range, or the engine lacks what is asked of it.

    Cost: O(B H L S (E + E_v)) time; memory O(B H L (E + E_v)) for sdpa and flash without mask, O(B H L S) for naive. A
        window makes time and memory O(B H L window).
    Deviations:
        1. Of rows without a visible key the papers say nothing (0 / 0); they are 0 here, with gradient 0.
        2. Scores of half precision are computed in float32 by every engine.
        3. Flash kernels (of sdpa, banded and flash) find P again from the log-sum-exp for the gradient, with an error
           of about eps max|s|: at float32 scores of 1e5, percents. naive keeps P.
        4. A second derivative is had from naive and flash; torch's own kernels raise an error.
    References: Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Ainslie et al. 2023, arXiv:2305.13245 (grouped queries);
        Shazeer 2019, arXiv:1911.02150 (multi-query); Beltagy et al. 2020, arXiv:2004.05150, section 3.1 (window);
        Gemma Team 2024, arXiv:2408.00118, section 2 (soft capping); OpenAI 2025, arXiv:2508.10925, section 2.2 (sinks);
        Dao et al. 2022, arXiv:2205.14135, algorithms 1 and 4 (flash).
    Peer: the Attention operator of onnx's reference evaluator (NumPy), float64, 1e-12 (A); every engine's value and
        gradients: NumPy float64, query by query, 1e-12, and float32 within 2e-6.
    In production: use it inside your own layers; on GPUs with a kernel of their own (FlashAttention 3) call that.
    """
    form = Form(causal, window, four(mask), four(bias), sinks, softcap, scale, dropout)
    check(q, k, v, form)
    _check_engine(q, k, v, form, engine)
    device = q.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        q, k, v = (t.to(dtype) if t.dtype == torch.float32 else t for t in (q, k, v))
        with torch.autocast(device, enabled=False):  # each engine minds the precision of its sums itself
            return _computed(q, k, v, form, engine)
    return _computed(q, k, v, form, engine)


def _computed(q: Tensor, k: Tensor, v: Tensor, form: Form, engine: Engine) -> Tensor:
    if not q.dtype == k.dtype == v.dtype:
        raise TypeError(f"q, k and v must have one dtype, got {q.dtype}, {k.dtype} and {v.dtype}")
    if 0 in q.shape or 0 in k.shape or 0 in v.shape:
        return naive(q, k, v, form)  # nothing to compute, and kernels differ in whether they take it
    if engine == "auto":
        # no kernel but flex caps, and that one has to be compiled
        engine = "naive" if form.softcap is not None else "banded" if banded_pays(q, k, form) else "sdpa"
        if engine == "sdpa" and form.sinks is not None and flash_takes(q, k, v, form):
            engine = "flash"
    match engine:
        case "naive":
            return naive(q, k, v, form)
        case "flex":
            return flex(q, k, v, form)
        case "flash":
            return flash_sinks(q, k, v, form)
        case "banded":
            flash = form.sinks is not None and flash_takes(q, k, v, form)
            return banded(q, k, v, form, flash_sinks if flash else sdpa)
        case _:
            return sdpa(q, k, v, form)


def _check_engine(q: Tensor, k: Tensor, v: Tensor, form: Form, engine: Engine) -> None:
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {', '.join(map(repr, get_args(Engine)))}, got {engine!r}")
    if form.softcap is not None and engine in ("sdpa", "banded", "flash"):
        raise ValueError(f"engine {engine!r} has no softcap; take 'naive', or 'flex' where it compiles")
    if engine == "banded" and (form.window is None or form.mask is not None or form.bias is not None):
        raise ValueError("engine 'banded' needs a window, and takes neither mask nor bias; take 'sdpa'")
    if engine == "flash" and form.sinks is None:
        raise ValueError("engine 'flash' is there for sinks; without them take 'sdpa'")
    if engine == "flash" and 0 not in q.shape and 0 not in k.shape and not flash_takes(q, k, v, form):
        raise ValueError(
            "engine 'flash' needs a CPU, equal head_dim of keys and values, no dropout and no gradient for bias; "
            "take 'sdpa'"
        )
    if engine == "flex" and (lacks := flex_lacks(q, k, v, form)) is not None:
        raise ValueError(f"engine 'flex' has no {lacks}; take 'sdpa', or 'naive'")
