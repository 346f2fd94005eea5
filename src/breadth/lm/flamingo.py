"""A frozen language model that looks at images through layers put between its own: Flamingo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from breadth.lm.block import make_norm
from breadth.lm.config import Activation, LMConfig
from breadth.lm.feed_forward import FeedForward, activate, linear
from breadth.lm.model import LM
from breadth.lm.seeing import Images, Seeing, by_text, find_places, flatten_images
from breadth.lm.vision import check_image_token, draw_
from breadth.nn import LayerNorm, attend


class PerceiverLayer(nn.Module):
    """Latents z look at features f and at themselves: z + o(attend(q(z'), k([f', z']), v([f', z']))), z + ffn(z).

    f' and z' are normalised, each with gains of its own. Nothing has a bias but the norms.

    Args:
        dim: width of features and latents.
        n_heads, head_dim: of the attention.
        d_ff: inner width of the feed-forward layer.
        activation: of it.

    Attributes:
        feature_norm, latent_norm, ffn_norm: the norms.
        q, kv, o: queries; keys, then values, in one matrix; and back to dim.
        up, down: the feed-forward layer.

    References: Alayrac et al. 2022, arXiv:2204.14198, figure 5.
    Peer: transformers' IdeficsPerceiverAttention and IdeficsMLP, as parts of the resampler, float64, 1e-12 (A).
    """

    def __init__(self, dim: int, n_heads: int, head_dim: int, d_ff: int, activation: Activation) -> None:
        super().__init__()
        self.heads, self.activation = n_heads, activation
        self.feature_norm, self.latent_norm, self.ffn_norm = LayerNorm(dim), LayerNorm(dim), LayerNorm(dim)
        self.q = linear(dim, n_heads * head_dim, bias=False)
        self.kv = linear(dim, 2 * n_heads * head_dim, bias=False)
        self.o = linear(n_heads * head_dim, dim, bias=False)
        self.up, self.down = linear(dim, d_ff, bias=False), linear(d_ff, dim, bias=False)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        """Latents (n, R, dim) after a look at features (n, S, dim)."""
        z = self.latent_norm(latents)
        k, v = self.kv(torch.cat((self.feature_norm(features), z), 1)).chunk(2, -1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.q(z), k, v))  # (n, H, ..., E)
        latents = latents + self.o(attend(q, k, v).transpose(1, 2).flatten(2))
        return latents + self.down(activate(self.up(self.ffn_norm(latents)), self.activation, False))


class PerceiverResampler(nn.Module):
    """As many rows for every image or film, however many features it has: learned latents that look at them.

    Args:
        dim: width of the features, and of what comes out.
        n_latents: rows that come out.
        depth: layers.
        n_heads, head_dim: of their attention.
        d_ff: inner width of their feed-forward layers; None takes 4 dim.
        frames: most frames of a film, each of which has a learned row added to its features; 0 is for images alone.
        activation: of the feed-forward layers.

    Attributes:
        latents: what the rows start from, (n_latents, dim).
        times: the frames' rows, (frames, dim), or None.
        layers: `PerceiverLayer`s.
        norm: behind the last one.

    Raises:
        ValueError: in a call, if features have another shape, or more frames than there are rows for.

    Cost: O(depth n_latents (S + n_latents) dim) for S features of an image: linear in S.
    References: Alayrac et al. 2022, arXiv:2204.14198, section 2.1 and figure 5; Jaegle et al. 2021, arXiv:2103.03206.
    Peer: transformers' IdeficsPerceiverResampler with the same weights, float64, 1e-12 (A); frames: their rows added by
        hand (B).
    In production: use 64 latents, as published; a projector of all patches, as `VisionLM` has, sees finer detail.
    """

    def __init__(
        self,
        dim: int,
        *,
        n_latents: int = 64,
        depth: int = 6,
        n_heads: int = 8,
        head_dim: int = 64,
        d_ff: int | None = None,
        frames: int = 0,
        activation: Activation = "squared_relu",
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(n_latents, dim))
        self.times = nn.Parameter(torch.empty(frames, dim)) if frames else None
        inner = 4 * dim if d_ff is None else d_ff
        self.layers = nn.ModuleList(PerceiverLayer(dim, n_heads, head_dim, inner, activation) for _ in range(depth))
        self.norm = LayerNorm(dim)
        draw_(self)
        for table in (self.latents, self.times):
            if table is not None:
                nn.init.normal_(table)

    def forward(self, features: Tensor) -> Tensor:
        """Rows (n, n_latents, dim) of images (n, S, dim), or of films (n, frames, S, dim)."""
        dim = self.latents.shape[1]
        if features.dim() not in (3, 4) or features.shape[-1] != dim:
            raise ValueError(
                f"features must have shape (n, S, {dim}) or (n, frames, S, {dim}), got {tuple(features.shape)}"
            )
        if features.dim() == 4:
            most = 0 if self.times is None else len(self.times)
            if features.shape[1] > most or self.times is None:
                raise ValueError(f"features must have at most {most} frames, got {features.shape[1]}")
            features = (features + self.times[: features.shape[1], None]).flatten(1, 2)
        latents = self.latents.expand(len(features), -1, -1)
        for layer in self.layers:
            latents = layer(features, latents)
        return self.norm(latents)


class GatedCrossAttention(nn.Module):
    """A layer that lets text look at images, closed at first: y + tanh(a) attend(y, image), then y + tanh(b) ffn(y).

    Both gates a and b start at 0, where the layer is the identity.

    Args:
        config: of the language model, for width, heads and norms.
        dim: width of the images' rows.
        d_ff: inner width of the feed-forward layer; None takes 4 d_model.
        activation, gated: of it, as `LMConfig` has them.

    Attributes:
        gate, ffn_gate: a and b.
        norm, ffn_norm: before attention and feed-forward layer.
        q, kv, o: queries of the text; keys, then values, of the images; and back to d_model.
        ffn: the feed-forward layer.

    References: Alayrac et al. 2022, arXiv:2204.14198, section 2.2 and figure 4.
    Peer: transformers' IdeficsGatedCrossAttentionLayer with the same weights, value and gradients, 5e-6, its mean
        squares being float32 (A).
    """

    def __init__(
        self,
        config: LMConfig,
        dim: int,
        *,
        d_ff: int | None = None,
        activation: Activation = "squared_relu",
        gated: bool = False,
    ) -> None:
        super().__init__()
        d, self.heads = config.d_model, config.n_heads
        width = config.n_heads * config.head_dim
        self.gate, self.ffn_gate = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.norm, self.ffn_norm = make_norm(config), make_norm(config)
        self.q, self.kv = linear(d, width, bias=False), linear(dim, 2 * width, bias=False)
        self.o = linear(width, d, bias=False)
        plain = replace(config, activation=activation, gated=gated, ffn_bias=False, mlm_head=False)
        self.ffn = FeedForward(plain, 4 * d if d_ff is None else d_ff)
        draw_(self)

    def keys_values(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Of images' rows (B, S, dim): keys and values, each (B, H, S, head_dim), the same for every token."""
        k, v = self.kv(rows).unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).chunk(2, 1)
        return k, v

    def forward(self, y: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        """Text (B, T, d_model) after a look.

        Args:
            y: the text's states.
            k, v: from `keys_values`.
            seen: bool, (B, 1, T, S): the rows that a token sees. One that sees none gets nothing from the attention.
        """
        q = self.q(self.norm(y)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        found = attend(q, k, v, mask=seen).transpose(1, 2).flatten(2)
        y = y + torch.tanh(self.gate) * self.o(found)
        return y + torch.tanh(self.ffn_gate) * self.ffn(self.ffn_norm(y))


class Flamingo(nn.Module):
    """A language model with a gated layer that looks at images before each `every`-th of its own.

    An image stands in the text as one image token. From there to the next image token the text sees the rows that the
    resampler made of this image, and of earlier ones only what it kept of them; before the first it sees none. Tower
    and language model are frozen; with the gates at 0, as they start, its logits are the language model's.

        model = Flamingo(lm, tower, image_token=0)
        loss = cross_entropy(model(ids, images)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())   # trains the new layers
        generate(model.seeing(images), ids, max_new_tokens=20)

    Args:
        lm: the language model; its parameters are frozen.
        tower: images (n, C, H, W) -> features (n, S, dim), such as `VisionTower`; its parameters are frozen too.
        image_token: id that stands for an image.
        dim: width of the features; None takes that of the tower's config.
        every: a gated layer before layers 0, every, 2 every, ... of the language model.
        resampler: the module between tower and text; None makes one of `resampler_options`.
        d_ff, activation, gated: of the gated layers' feed-forward layers.
        **resampler_options: of `PerceiverResampler`.

    Attributes:
        resampler: features -> rows.
        looks: the gated layers.

    Raises:
        ValueError: if image_token is outside the vocabulary, or every < 1.

    Cost: tower and resampler on each image, once; for a token n_latents keys of one image, however large, in each gated
        layer. `seeing` keeps these keys and values while decoding.
    Deviations:
        1. The tower is any module; the paper's is an NFNet-F6.
        2. The image token itself sees its image.
        3. Gated layers have the language model's norm and heads.
    References: Alayrac et al. 2022, arXiv:2204.14198, section 2 (2.3: one image a token), figures 4 and 5, appendix A
        (squared ReLU); Moor et al. 2023, arXiv:2307.15189 (Med-Flamingo: the same architecture, trained on further
        medical texts and images).
    Peer: transformers' IdeficsForVisionText2Text, an open re-implementation, with the same weights and masks, 5e-6 (A).
    In production: newer models put images into the text, as `VisionLM` does; this one leaves the language model as it
        is, and its texts short.
    """

    def __init__(
        self,
        lm: LM,
        tower: nn.Module,
        *,
        image_token: int,
        dim: int | None = None,
        every: int = 1,
        resampler: nn.Module | None = None,
        d_ff: int | None = None,
        activation: Activation = "squared_relu",
        gated: bool = False,
        **resampler_options: Any,
    ) -> None:
        super().__init__()
        check_image_token(image_token, lm)
        if every < 1:
            raise ValueError(f"every must be >= 1, got {every}")
        self.lm, self.tower, self.image_token, self.every = lm, tower, image_token, every
        width: int = cast(Any, tower).config.d_model if dim is None else dim
        self.resampler = PerceiverResampler(width, **resampler_options) if resampler is None else resampler
        places = range(0, len(lm.config.layers), every)
        self.looks = nn.ModuleList(
            GatedCrossAttention(lm.config, width, d_ff=d_ff, activation=activation, gated=gated) for _ in places
        )
        for frozen in (lm, tower):
            frozen.requires_grad_(False)

    def forward(self, ids: Tensor, images: Images | None = None, **options: Any) -> Any:
        """Logits of texts with images, (B, T, vocabulary).

        Args:
            ids: int64, (B, T), with one image token for each image.
            images: (B, C, H, W), one a text; (B, N, C, H, W); or for each text (n, C, H, W). None if there are none.
            **options: `valid`, `positions`, `mask`, `last`, `hidden`, as of a call of `LM`.

        Raises:
            ValueError: if a row's images do not fit its image tokens; or as `LM`.
        """
        return self.read(ids, ids.new_zeros(len(ids)), self.look(images, len(ids)), **options)

    def seeing(self, images: Images | None) -> Seeing:
        """The model as it sees given images, for `generate`: a language model of texts with image tokens."""
        return Seeing(self, images)

    def look(self, images: Images | None, batch: int) -> tuple[Tensor, ...]:
        """How many images each text has, (B,), and keys and values of their rows for each gated layer."""
        latents = cast(Tensor, cast(Any, self.resampler).latents)
        if images is None:
            counts = torch.zeros(batch, dtype=torch.int64, device=latents.device)
            rows = latents.new_zeros(0, *latents.shape)
        else:
            flat, counts = flatten_images(images)
            rows = self.resampler(self.tower(flat)) if len(flat) else latents.new_zeros(0, *latents.shape)
        rows = by_text(rows, counts)  # (B, N R, dim)
        both: Sequence[tuple[Tensor, Tensor]] = [
            cast(GatedCrossAttention, gate).keys_values(rows) for gate in self.looks
        ]
        return counts, *(each for pair in both for each in pair)

    def read(self, ids: Tensor, earlier: Tensor, seen: tuple[Tensor, ...], **options: Any) -> Any:
        """Logits of a stretch of texts, of which `earlier` image tokens, (B,), came before; seen is from `look`."""
        counts, *kept = seen
        if len(counts) != len(ids):
            raise ValueError(f"images are of {len(counts)} texts, and ids hold {len(ids)}")
        # the image that a token sees, from 1 on; 0 is none
        _, places = find_places(ids, self.image_token, earlier, counts, each=1, options=options)
        most = int(counts.max())
        each = kept[0].shape[2] // max(most, 1)
        which = torch.arange(1, most + 1, device=ids.device).repeat_interleave(each)
        visible = (places[..., None] == which)[:, None]  # (B, 1, T, N R)

        def before(index: int, x: Tensor) -> Tensor:
            if index % self.every:
                return x
            at = index // self.every
            return self.looks[at](x, kept[2 * at], kept[2 * at + 1], visible)

        return self.lm(ids, before=before, **options)
