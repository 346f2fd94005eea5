"""Linformer: keys and values projected along the length, n of them to k."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from breadth.nn.attention.attend import attend
from breadth.nn.attention.kernelized import check_inputs


def linformer_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    E: Tensor,
    F: Tensor | None = None,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(q (E k)^T scale) (F v): the length is projected, k rows stand for S keys.

    The claim is about P = softmax(q k^T / sqrt(d)), which is close to a matrix of low rank; q k^T has rank <= d anyway.

    Args:
        q: queries, shape (B, H, L, d).
        k: keys, shape (B, H_kv, S, d); H must be a multiple of H_kv.
        v: values, shape (B, H_kv, S, d_v).
        E: projects keys, shape (k, n) or (H_kv, k, n) with n >= S; of it the first S columns are taken, as if the
            missing positions were 0.
        F: projects values, of the shape of E; None takes E for both.
        causal: must be False: each projected key mixes all positions, later ones too.
        mask: boolean, broadcastable to (B, 1, 1, S), True where a key is seen. Hidden keys and values are 0 before the
            projection, which is the same as to cut them off; behind it nothing is masked, and all k rows are seen.
        scale: of the scores; None takes 1 / sqrt(d).
        dropout: share of the probabilities dropped, in [0, 1); pass 0 outside training.

    Returns:
        Shape (B, H, L, d_v), dtype of q (under autocast: of autocast). A query that sees no key gives 0.

    Raises:
        TypeError: if a tensor's dtype is not what it must be.
        ValueError: if causal; if shapes do not fit, S > n, or a number is out of its range.

    Cost: O(B H_kv S k (d + d_v) + B H L k (d + d_v)) time, O(B H (S + L) d) memory.
    Deviations: projection and scores are float32 for half precision.
    References: Wang et al. 2020, arXiv:2006.04768, eq. 7 and theorem 2.
    Peer: NumPy's products, float64, 1e-12 (B); the package linformer 0.2.3, frozen numbers (A).
    In production: use it for encoders of one fixed length; a length not seen in training has projections that were
        not trained, and there is no causal form.
    """
    if causal:
        raise ValueError(
            "causal must be False: each of Linformer's projected keys mixes all positions, later ones too; "
            "take linear_attention(causal=True) or attend(causal=True)"
        )
    seen = check_inputs(q, k, v, mask)
    F = E if F is None else F
    for name, t in (("E", E), ("F", F)):
        heads = t.dim() == 2 or (t.dim() == 3 and t.shape[0] == k.shape[1])
        if not heads or t.shape[-1] < k.shape[2] or t.shape[-2:] != E.shape[-2:] or t.shape[-2] == 0:
            raise ValueError(
                f"{name} must have shape (k, n) or (H_kv, k, n) with H_kv = {k.shape[1]} and n >= {k.shape[2]} keys, "
                f"alike for E and F, got {tuple(t.shape)}"
            )
    wide = torch.promote_types(q.dtype, torch.float32)
    device = q.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else q.dtype
    with torch.autocast(device, enabled=False):
        k, v = k.to(wide), v.to(wide)
        if seen is not None:
            hidden = ~seen[..., None]  # (B, 1, S, 1)
            k, v = k.masked_fill(hidden, 0.0), v.masked_fill(hidden, 0.0)
        n_keys = k.shape[2]
        k = E[..., :n_keys].to(wide) @ k  # (B, H_kv, k, d)
        v = F[..., :n_keys].to(wide) @ v
        return attend(q.to(wide), k, v, scale=scale, dropout=dropout).to(dtype)


class LinformerAttention(nn.Module):
    """`linformer_attention` with learned projections of the length.

    Args:
        max_length: n, the longest sequence of keys, >= 1.
        n_projected: k, >= 1; the error depends on it and on d, not on n.
        n_kv_heads: heads of keys that have projections of their own; None shares one over all heads.
        share_kv: whether E also projects the values ("key-value sharing"). For layerwise sharing give every layer this
            same module.
        scale: of the scores; None takes 1 / sqrt(d).
        dropout: share of the probabilities dropped in training, in [0, 1).

    Attributes:
        E: parameter, shape (k, n) or (n_kv_heads, k, n), from N(0, 1 / n).
        F: the values' parameter, of the same shape; None with share_kv.

    Raises:
        ValueError: if a number is out of its range.

    Cost: 2 k n parameters, times n_kv_heads where given; that of `linformer_attention`.
    Deviations: N(0, 1 / n) keeps the variance of keys and values; theorem 2's N(0, 1 / k) multiplies it by n / k, and
        with it the scores.
    References: Wang et al. 2020, arXiv:2006.04768, section 4 and "Additional Efficiency Techniques" (sharing).
    Peer: `linformer_attention` with the same projections, bit for bit; that one's peers (B).
    In production: see `linformer_attention`.
    """

    def __init__(
        self,
        max_length: int,
        n_projected: int,
        *,
        n_kv_heads: int | None = None,
        share_kv: bool = False,
        scale: float | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        for name, number in (("max_length", max_length), ("n_projected", n_projected), ("n_kv_heads", n_kv_heads)):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be >= 1, got {number}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        shape = (n_projected, max_length) if n_kv_heads is None else (n_kv_heads, n_projected, max_length)
        self.scale, self.dropout = scale, dropout
        self.E = nn.Parameter(torch.randn(shape) * max_length**-0.5)
        self.F = None if share_kv else nn.Parameter(torch.randn(shape) * max_length**-0.5)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, mask: Tensor | None = None) -> Tensor:
        """Shapes as of `linformer_attention`; causal is there to be refused."""
        dropout = self.dropout if self.training else 0.0
        return linformer_attention(q, k, v, self.E, self.F, causal=causal, mask=mask, scale=self.scale, dropout=dropout)

    def extra_repr(self) -> str:
        k, n = self.E.shape[-2:]
        return f"max_length={n}, n_projected={k}, share_kv={self.F is None}"
