"""FAVOR+: softmax attention approximated by positive random features, at a cost linear in the length."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from breadth.nn.attention.kernelized import (
    CHUNK,
    KeyFeatures,
    LinearState,
    QueryFeatures,
    check_inputs,
    kernel_attention,
    kernel_step,
)


def random_projection(
    n_features: int,
    dim: int,
    *,
    orthogonal: bool = True,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Rows w_r that are each N(0, I), orthogonal to each other within blocks of dim: W = diag(|g|) Q.

    Q is uniform over the orthogonal matrices (Haar) and |g| is the length of an independent Gaussian vector, so that
    every row alone is Gaussian and estimates stay unbiased, while rows of a block never point the same way.

    Args:
        n_features: rows m, >= 1; blocks of dim rows are independent, the last may be cut short.
        dim: E, >= 1.
        orthogonal: False draws all rows independently.
        generator: source of randomness; None takes torch's own.
        dtype: of the result; None takes torch's default. It is drawn in float64.
        device: where the result lies.

    Returns:
        Shape (n_features, dim).

    Raises:
        ValueError: if n_features or dim is less than 1.

    Cost: O(n_features dim^2) for the QR decompositions.
    References: Choromanski et al. 2021, arXiv:2009.14794, section 2.4 and theorem 2; Mezzadri 2007,
        arXiv:math-ph/0609050, section 5 (why the signs of R's diagonal).
    Peer: W W^T is diagonal within a block; moments of a row are those of N(0, I), five standard errors (B).
    In production: orthogonal rows cost nothing at attention time; take them.
    """
    if n_features < 1 or dim < 1:
        raise ValueError(f"n_features and dim must be >= 1, got {n_features} and {dim}")
    source: dict[str, Any] = {
        "generator": generator,
        "dtype": torch.float64,
        "device": "cpu" if generator is None else generator.device,
    }
    gaussian = torch.randn(n_features, dim, **source)
    if orthogonal:
        q, r = torch.linalg.qr(torch.randn(-(-n_features // dim), dim, dim, **source))
        q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]  # QR alone is not uniform: R's signs are LAPACK's choice
        gaussian = gaussian.norm(dim=-1, keepdim=True) * q.mT.reshape(-1, dim)[:n_features]
    return gaussian.to(device=device, dtype=torch.get_default_dtype() if dtype is None else dtype)


def positive_features(x: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
    """phi(x)_r = exp(w_r . x - |x|^2 / 2) / sqrt(m), for which E[phi(x) . phi(y)] = exp(x . y).

    Args:
        x: shape (..., E).
        projection: rows w_r, shape (m, E), from `random_projection`.

    Returns:
        phi(x) e^-c of shape (..., m) with its largest entry 1 / sqrt(m), and c of shape (...), without gradient.

    Raises:
        ValueError: if the last axes differ.

    Cost: O(m E) time a row.
    Deviations: the stabiliser c is returned instead of dropped, so that nothing has to be added to phi to keep it
        from 0.
    References: Choromanski et al. 2021, arXiv:2009.14794, lemma 1 and eq. 5; [projection, -projection] in place of
        projection is their SM^hyp+.
    Peer: the mean over draws approaches exp(x . y) and its variance is that of lemma 2, five standard errors (B).
    In production: `performer_attention` does this inside; use it for kernel machines.
    """
    if x.shape[-1:] != projection.shape[-1:] or projection.dim() != 2:
        raise ValueError(f"projection must have shape (m, {x.shape[-1]}), got {tuple(projection.shape)}")
    exponent = x @ projection.mT - x.square().sum(-1, keepdim=True) / 2
    c = exponent.detach().amax(-1)
    return (exponent - c[..., None]).exp() / math.sqrt(projection.shape[0]), c


def performer_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    projection: Tensor,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
    scale: float | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """An estimate of softmax(q k^T scale) v whose cost is linear in the length, normalised by D as every row must be.

    `linear_attention` with phi(x) = exp(W x' - |x'|^2 / 2), x' = sqrt(scale) x. Numerator and normaliser are unbiased;
    their ratio is consistent, and its error falls with sqrt(m).

    Args:
        q: queries, shape (B, H, L, E).
        k: keys, shape (B, H_kv, S, E); H must be a multiple of H_kv.
        v: values, shape (B, H_kv, S, E_v).
        projection: W, shape (m, E), from `random_projection`; the same for queries and keys.
        causal: query i sees keys j <= i + S - L.
        mask: boolean, broadcastable to (B, 1, 1, S), True where a key is seen.
        scale: of q k^T, > 0; None takes 1 / sqrt(E).
        chunk: queries of the causal form whose scores lie in memory, >= 1.

    Returns:
        Shape (B, H, L, E_v), dtype of q (under autocast: of autocast). A query that sees no key gives 0.

    Raises:
        TypeError: if a tensor's dtype is not what it must be.
        ValueError: if shapes do not fit, scale <= 0, or chunk < 1.

    Cost: O(B H (L + S) m (E + E_v)) time; memory as of `linear_attention` with F = m.
    Deviations: the published stabiliser subtracts the largest exponent of all keys, future ones too, and adds 1e-6 to
        each feature, which makes rows of small mass uniform. Here the largest exponent so far is a scale that cancels,
        and nothing is added.
    References: Choromanski et al. 2021, arXiv:2009.14794, eq. 5, section 2.3 (positive features), appendix B.1
        (causal).
    Peer: explicit features and scores in NumPy, float64, 1e-12 (B); performer-pytorch 1.1.4 with its epsilon at 0,
        frozen numbers (A).
    In production: its variance grows with exp(|q + k|^2 scale): normalise q and k, and measure the error on your own
        before believing it. Up to some thousand keys `attend` is faster and exact.
    """
    check_inputs(q, k, v, mask)  # before q's shape is read
    of_query, of_key = _features(q, projection, scale)
    out, _ = kernel_attention(q, k, v, of_query, of_key, causal=causal, mask=mask, chunk=chunk)
    return out


class PerformerAttention(nn.Module):
    """`performer_attention` with a projection of its own, drawn anew from time to time while it trains.

    Features that stay the same for all of training are one draw of an estimate: the network can come to rely on its
    error. A new draw every thousand steps or so prevents that.

    Args:
        head_dim: E, >= 1.
        n_features: m; None takes E log E, rounded up, as many as theorem 4 asks for.
        causal: query i sees keys j <= i + S - L.
        scale: of q k^T, > 0; None takes 1 / sqrt(E).
        redraw_every: calls in training mode between draws, >= 1; None never draws again by itself.
        orthogonal: whether rows are orthogonal within blocks.
        generator: source of the draws; None takes torch's own.

    Attributes:
        projection: buffer, shape (m, E); saved with the model, since other features are another function.
        calls: calls in training mode since the last draw; a checkpoint does not hold it.

    Raises:
        ValueError: if a number is out of its range.

    Cost: that of `performer_attention`; a draw is O(m E^2).
    References: Choromanski et al. 2021, arXiv:2009.14794, section 4.2 (redrawing) and theorem 4 (number of features).
    Peer: `performer_attention` with the same projection, bit for bit; that one's peers (B).
    In production: see `performer_attention`.
    """

    projection: Tensor

    def __init__(
        self,
        head_dim: int,
        n_features: int | None = None,
        *,
        causal: bool = False,
        scale: float | None = None,
        redraw_every: int | None = 1000,
        orthogonal: bool = True,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if n_features is None:
            n_features = max(1, math.ceil(head_dim * math.log(max(head_dim, 1))))
        if redraw_every is not None and redraw_every < 1:
            raise ValueError(f"redraw_every must be >= 1, got {redraw_every}; None keeps the first draw")
        self.causal, self.scale, self.redraw_every = causal, scale, redraw_every
        self.orthogonal, self.generator, self.calls = orthogonal, generator, 0
        projection = random_projection(n_features, head_dim, orthogonal=orthogonal, generator=generator)
        self.register_buffer("projection", projection)

    @torch.no_grad()
    def redraw(self) -> None:
        """A new projection of the same shape, in place."""
        m, dim = self.projection.shape
        self.projection.copy_(
            random_projection(m, dim, orthogonal=self.orthogonal, generator=self.generator, dtype=torch.float64)
        )
        self.calls = 0

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Shapes as of `performer_attention`."""
        if self.training and self.redraw_every is not None:
            if self.calls == self.redraw_every:
                self.redraw()
            self.calls += 1
        return performer_attention(q, k, v, self.projection, causal=self.causal, mask=mask, scale=self.scale)

    def step(self, q: Tensor, k: Tensor, v: Tensor, state: LinearState | None = None) -> tuple[Tensor, LinearState]:
        """Output at new positions (B, H, n, E_v), n >= 1, after those that state holds, and the state after them."""
        if not self.causal:
            raise ValueError("step needs causal=True: without it a position sees those that are still to come")
            check_inputs(q, k, v, None)
        return kernel_step(q, k, v, *_features(q, self.projection, self.scale), state)

    def extra_repr(self) -> str:
        m, dim = self.projection.shape
        return f"head_dim={dim}, n_features={m}, causal={self.causal}, redraw_every={self.redraw_every}"


def _features(q: Tensor, projection: Tensor, scale: float | None) -> tuple[QueryFeatures, KeyFeatures]:
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be > 0 and finite, got {scale}; None takes 1 / sqrt(head_dim)")
    if projection.dim() != 2 or projection.shape[1] != q.shape[3] or projection.shape[0] == 0:
        raise ValueError(f"projection must have shape (m, {q.shape[3]}), got {tuple(projection.shape)}")
    projection = projection.to(torch.promote_types(q.dtype, torch.float32))
    root = math.sqrt(scale)

    def of_key(x: Tensor) -> tuple[Tensor, Tensor]:
        return positive_features(root * x, projection)

    return (lambda x: of_key(x)[0]), of_key
