"""Multi-head latent attention: keys and values of all heads from one short vector a token, which is what is cached."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from breadth.nn.attention.attend import Engine, attend
from breadth.nn.norms import RMSNorm
from breadth.nn.positions.rotary import RoPE


class LatentAttention(nn.Module):
    """Attention whose keys and values are projected up, for each head by itself, from one latent vector a token.

        c_j = norm(W_DKV x_j),   k_j^h = [W_UK^h c_j ; rope(W_KR x_j)],   v_j^h = W_UV^h c_j
        q_i^h = [W_UQ^h c^Q_i ; rope(W_QR^h c^Q_i)],   c^Q_i = norm(W_DQ x_i)

    All heads share the latent c (kv_rank numbers) and one rotary key (rope_dim numbers): these are what is kept of a
    token. Keys and values are not shared, as grouped queries share them: each head has matrices of its own.

    `forward` projects keys and values up. `decode` does not: q^T W_UK c = (W_UK^T q)^T c, so that W_UK is absorbed in
    the query and W_UV in the output, and attention runs on the latents as multi-query attention of one key head.

    Args:
        embed_dim: width of input and output.
        num_heads: H.
        kv_rank: of the latent of keys and values.
        q_rank: of the queries' latent; None projects queries from the input.
        nope_dim: of each head's query and key without position.
        rope_dim: of the rotary query of each head and of the one rotary key, even.
        value_dim: of each head's value.
        rope: turns queries and keys; None takes RoPE(rope_dim, interleaved=True), as the paper's models do.
        scale: of the scores; None takes 1 / sqrt(nope_dim + rope_dim).
        eps: of the latents' RMSNorm.
        bias: of what projects down, and of o_proj.
        engine: as of `attend`, for `forward`.
        device, dtype: of the parameters.

    Attributes:
        q_proj, or q_a_proj, q_a_layernorm and q_b_proj; kv_a_proj_with_mqa, kv_a_layernorm, kv_b_proj, o_proj: named
            as in DeepSeek's checkpoints; kv_b_proj has for each head its rows of keys, then of values.

    Raises:
        ValueError: if a size is < 1, or rope_dim is odd; from a call, if the shape of x or latents does not fit.

    Cost: `forward` O(B L H kv_rank (nope_dim + value_dim)) more than `attend`; `decode` O(B H S kv_rank) a new token,
        and the cache is kv_rank + rope_dim numbers a token: 576 for 128 heads that would keep 40,960.
    Deviations: none from the paper; of YaRN, by which its models reach long texts, pass the frequencies in rope, and
        its factor in scale.
    References: DeepSeek-AI 2024, arXiv:2405.04434, eqs. 9-19 and 37-47 (appendix C), section 2.1.2 (absorption).
    Peer: the paper's equations in NumPy, head by head, value float64, 1e-12 (B); `decode` equal to `forward`, 1e-12.
    In production: take vLLM's or FlashMLA's kernels on GPUs; use this to train and study it.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        kv_rank: int = 512,
        q_rank: int | None = 1536,
        nope_dim: int = 128,
        rope_dim: int = 64,
        value_dim: int = 128,
        rope: RoPE | None = None,
        scale: float | None = None,
        eps: float = 1e-6,
        bias: bool = False,
        engine: Engine = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        sizes = {
            "embed_dim": embed_dim,
            "num_heads": num_heads,
            "kv_rank": kv_rank,
            "q_rank": 1 if q_rank is None else q_rank,
            "nope_dim": nope_dim,
            "rope_dim": rope_dim,
            "value_dim": value_dim,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be >= 1, got {size}")
        self.embed_dim, self.num_heads, self.kv_rank, self.q_rank = embed_dim, num_heads, kv_rank, q_rank
        self.nope_dim, self.rope_dim, self.value_dim = nope_dim, rope_dim, value_dim
        self.rope = RoPE(rope_dim, interleaved=True) if rope is None else rope
        self.scale = (nope_dim + rope_dim) ** -0.5 if scale is None else scale
        self.engine: Engine = engine
        query = num_heads * (nope_dim + rope_dim)
        if q_rank is None:
            self.q_proj = nn.Linear(embed_dim, query, False, device, dtype)
        else:
            self.q_a_proj = nn.Linear(embed_dim, q_rank, bias, device, dtype)
            self.q_a_layernorm = RMSNorm(q_rank, eps, device=device, dtype=dtype)
            self.q_b_proj = nn.Linear(q_rank, query, False, device, dtype)
        self.kv_a_proj_with_mqa = nn.Linear(embed_dim, kv_rank + rope_dim, bias, device, dtype)
        self.kv_a_layernorm = RMSNorm(kv_rank, eps, device=device, dtype=dtype)
        self.kv_b_proj = nn.Linear(kv_rank, num_heads * (nope_dim + value_dim), False, device, dtype)
        self.o_proj = nn.Linear(num_heads * value_dim, embed_dim, bias, device, dtype)

    def forward(self, x: Tensor, *, causal: bool = True, mask: Tensor | None = None) -> Tensor:
        """Shape of x, (B, L, embed_dim); mask is boolean, broadcastable to (B, H, L, L), True where a key is seen."""
        self._check(x)
        q_nope, q_rope = self._queries(x, 0)
        latent, k_rope = self._latents(x, 0).split([self.kv_rank, self.rope_dim], -1)
        up = self.kv_b_proj(latent).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k_nope, v = up.split([self.nope_dim, self.value_dim], -1)  # (B, H, L, ...), each head's own
        shared = k_rope[:, None].expand(-1, self.num_heads, -1, -1)  # one rotary key for all heads
        q, k = torch.cat((q_nope, q_rope), -1), torch.cat((k_nope, shared), -1)
        out = attend(q, k, v, causal=causal, mask=mask, scale=self.scale, engine=self.engine)
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def decode(self, x: Tensor, latents: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Causal output at new positions x (B, n, embed_dim), and the latents of old and new ones.

        latents: what the call before returned, (B, S, kv_rank + rope_dim): c and the turned rotary key of each token;
            None at the start. It is not changed.
        """
        self._check(x)
        width = self.kv_rank + self.rope_dim
        if latents is None:
            latents = x.new_zeros(len(x), 0, width)
        if latents.dim() != 3 or (latents.shape[0], latents.shape[2]) != (len(x), width):
            raise ValueError(f"latents must have shape ({len(x)}, length, {width}), got {tuple(latents.shape)}")
        start = latents.shape[1]
        q_nope, q_rope = self._queries(x, start)
        new = self._latents(x, start)
        latents = torch.cat((latents.to(new.dtype), new), 1)
        rows = self.kv_b_proj.weight.unflatten(0, (self.num_heads, -1))
        of_keys, of_values = rows.split([self.nope_dim, self.value_dim], 1)  # (H, nope_dim | value_dim, kv_rank)
        q = torch.cat((q_nope @ of_keys.to(q_nope.dtype), q_rope), -1)  # (B, H, n, kv_rank + rope_dim)
        k = latents[:, None]  # one key head for all
        out = attend(q, k, k[..., : self.kv_rank], causal=True, scale=self.scale)  # (B, H, n, kv_rank)
        out = out @ of_values.mT.to(out.dtype)
        return self.o_proj(out.transpose(1, 2).flatten(2)), latents

    def _queries(self, x: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """(B, H, L, nope_dim) and, turned, (B, H, L, rope_dim)."""
        q = self.q_proj(x) if self.q_rank is None else self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))
        q = q.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        q_nope, q_rope = q.split([self.nope_dim, self.rope_dim], -1)
        return q_nope, self.rope(q_rope, start=start)

    def _latents(self, x: Tensor, start: int) -> Tensor:
        """(B, L, kv_rank + rope_dim): normalised latent, and the rotary key turned to its position."""
        latent, k_rope = self.kv_a_proj_with_mqa(x).split([self.kv_rank, self.rope_dim], -1)
        return torch.cat((self.kv_a_layernorm(latent), self.rope(k_rope[:, None], start=start)[:, 0]), -1)

    def _check(self, x: Tensor) -> None:
        if x.dim() != 3 or x.shape[-1] != self.embed_dim:
            raise ValueError(f"x must have shape (batch, length, {self.embed_dim}), got {tuple(x.shape)}")

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, kv_rank={self.kv_rank}, q_rank={self.q_rank}"
