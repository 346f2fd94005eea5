"""A language model that sees: a tower of layers over patches, and a projector into the embeddings of its text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from breadth.lm.config import Activation, Layer, LMConfig
from breadth.lm.feed_forward import activate, linear
from breadth.lm.model import LM, Stack
from breadth.lm.seeing import Images, Seeing, by_text, find_places, flatten_images
from breadth.nn import LayerNorm


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """Sizes of a vision tower; the defaults are those of CLIP's ViT-L/14 at 336 pixels.

    Args:
        d_model, n_heads, d_ff, n_layers: of its Transformer.
        image_size: pixels on a side; images are square.
        patch_size: pixels on a side of a patch; divides image_size.
        channels: of an image.
        activation: of the feed-forward layers.
        norm_eps: of the norms.

    Attributes:
        patches: in an image.
        stack: the Transformer as the language models' config says it.

    Raises:
        ValueError: if a size is < 1, or does not divide what it must; the message names the field.

    References: Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.1; Radford et al. 2021, arXiv:2103.00020, section
        2.4.
    """

    d_model: int = 1024
    n_heads: int = 16
    d_ff: int = 4096
    n_layers: int = 24
    image_size: int = 336
    patch_size: int = 14
    channels: int = 3
    activation: Activation = "quick_gelu"
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("d_model", "n_heads", "d_ff", "n_layers", "image_size", "patch_size", "channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"VisionConfig.{name} must be >= 1, got {getattr(self, name)}")
        for name, whole in (("n_heads", "d_model"), ("patch_size", "image_size")):
            if getattr(self, whole) % getattr(self, name):
                raise ValueError(
                    f"VisionConfig.{name} must divide {whole}={getattr(self, whole)}, got {getattr(self, name)}"
                )
        self.stack  # noqa: B018  (its checks are ours)

    @property
    def patches(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    @property
    def stack(self) -> LMConfig:
        return LMConfig(
            vocab_size=1,
            d_model=self.d_model,
            n_heads=self.n_heads,
            n_kv_heads=self.n_heads,
            head_dim=self.d_model // self.n_heads,
            d_ff=self.d_ff,
            layers=(Layer(rope=None),) * self.n_layers,
            context_length=self.patches + 1,
            causal=False,
            norm="layer",
            norm_eps=self.norm_eps,
            final_norm=False,
            qkv_bias=True,
            o_bias=True,
            ffn_bias=True,
            activation=self.activation,
            gated=False,
        )


class VisionTower(nn.Module):
    """States of an image's patches: layers over [class token, patches W + positions], behind a first norm.

    Args:
        config: its sizes.

    Attributes:
        patch: linear map of each patch's pixels, a convolution whose stride is the patch.
        token: what stands before the patches, (d_model,).
        positions: of class token and patches, (1 + patches, d_model).
        norm: before the first layer.
        stack: the layers, those of a language model that sees both sides.

    Cost: that of the stack on 1 + patches tokens an image, up to the last layer asked for.
    Deviations: CLIP's norm behind the class token of the last layer, and its projection, are left out: they serve the
        comparison with texts, not the patches.
    References: Radford et al. 2021, arXiv:2103.00020, section 2.4; Dosovitskiy et al. 2020, arXiv:2010.11929, eqs. 1-3.
    Peer: transformers' CLIPVisionModel with the same weights, every layer's states, float32, 2e-5 (A).
    In production: load a trained one with `load_vision`; a new one needs millions of images.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d_model
        made = nn.utils.skip_init(
            nn.Conv2d,
            config.channels,
            d,
            config.patch_size,
            stride=config.patch_size,
            bias=False,
            device=torch.get_default_device(),
        )
        self.patch = cast(nn.Conv2d, made)
        self.token = nn.Parameter(torch.empty(d))
        self.positions = nn.Parameter(torch.empty(config.patches + 1, d))
        self.norm = LayerNorm(d, config.norm_eps)
        self.stack = Stack(config.stack)
        draw_(self)
        for table in (self.token, self.positions):
            nn.init.normal_(table, 0.0, d**-0.5)

    def forward(self, images: Tensor, *, layers: Sequence[int] = (-1,)) -> Tensor:
        """States behind layers, side by side.

        Args:
            images: (n, channels, image_size, image_size).
            layers: behind how many layers: 0 is what goes into the first; -1 behind the last, -2 behind the one before.

        Returns:
            Shape (n, 1 + patches, d_model len(layers)), the class token first.

        Raises:
            ValueError: if images have another shape, or there are fewer layers.
        """
        config, count = self.config, self.config.n_layers + 1
        wanted = (config.channels, config.image_size, config.image_size)
        if images.dim() != 4 or images.shape[1:] != wanted:
            raise ValueError(f"images must have shape (n, {', '.join(map(str, wanted))}), got {tuple(images.shape)}")
        if not layers or not all(-count <= layer < count for layer in layers):
            raise ValueError(f"layers must lie in [{-count}, {count}), and be one at least, got {tuple(layers)}")
        depths = [layer % count for layer in layers]
        x = self.patch(images.to(self.patch.weight.dtype)).flatten(2).transpose(1, 2)  # (n, patches, d)
        x = torch.cat((self.token.expand(len(x), 1, -1), x), 1) + self.positions
        x = self.norm(x)
        behind = [x]
        step = self.stack.step(x)
        for block in self.stack.blocks[: max(depths)]:
            behind.append(block(behind[-1], step))
        return torch.cat([behind[depth] for depth in depths], -1)


class Projector(nn.Module):
    """down(gelu(up(x))): from the tower's width to the text's, both maps as wide as the text.

    Args:
        inputs: the tower's width.
        d_model: the text's.
        activation: between the maps.
        bias: of the maps.

    References: Liu et al. 2023, arXiv:2310.03744 (two layers, "MLP vision-language connector"; the GELU is that of the
        authors' code).
    Peer: transformers' LlavaMultiModalProjector, as a part of the model, float32, 2e-5 (A).
    """

    def __init__(self, inputs: int, d_model: int, *, activation: Activation = "gelu", bias: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.up = linear(inputs, d_model, bias=bias)
        self.down = linear(d_model, d_model, bias=bias)
        draw_(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(activate(self.up(x), self.activation, False))


class VisionLM(nn.Module):
    """A language model in whose text images stand: LLaVA.

    An image becomes patches, these states of the tower, and these rows in the place of embeddings, one for each of
    the text's image tokens: h = down(gelu(up(tower(image)))).

        model = load_vision(folder)
        ids = [1, *[model.image_token] * model.tokens_per_image, 5, 6]
        generate(model.seeing(images), ids, max_new_tokens=20)

    Args:
        lm: the language model.
        tower: the vision tower.
        image_token: id whose places images take.
        layers: of the tower, whose states are taken, as `VisionTower` counts them.
        class_token: take it too, before the patches.
        activation: of the projector.
        bias: of the projector.

    Attributes:
        projector: the two maps.
        tokens_per_image: image tokens that stand for an image.

    Raises:
        ValueError: if image_token is outside the vocabulary.

    Cost: the tower on each image, once; then that of the language model on texts that are tokens_per_image longer.
    Deviations: images belong to rows; transformers deals them out to image tokens in the order of the batch.
    References: Liu et al. 2023, arXiv:2304.08485, section 4.1; Liu et al. 2023, arXiv:2310.03744 (two-layer projector);
        Li et al. 2023, arXiv:2306.00890 (LLaVA-Med: LLaVA trained on biomedical figures and their captions); Saab et
        al. 2024, arXiv:2404.18416 (Med-Gemini: closed; its report builds on Gemini and gives no architecture to make).
    Peer: transformers' LlavaForConditionalGeneration with the same weights, float32, 2e-5, and equal greedy tokens (A).
    In production: use it to study and to change; serve many with vLLM.
    """

    origin: Any = None  # what `load_vision` tells of the checkpoint

    def __init__(
        self,
        lm: LM,
        tower: VisionTower,
        *,
        image_token: int,
        layers: Sequence[int] = (-2,),
        class_token: bool = False,
        activation: Activation = "gelu",
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_image_token(image_token, lm)
        self.lm, self.tower, self.image_token = lm, tower, image_token
        self.layers, self.class_token = tuple(layers), class_token
        width = tower.config.d_model * len(self.layers)
        self.projector = Projector(width, lm.config.d_model, activation=activation, bias=bias)

    @property
    def tokens_per_image(self) -> int:
        return self.tower.config.patches + self.class_token

    def features(self, images: Tensor) -> Tensor:
        """Rows that stand for images, (n, tokens_per_image, d_model), of (n, channels, height, width)."""
        states = self.tower(images, layers=self.layers)
        return self.projector(states if self.class_token else states[:, 1:])

    def forward(self, ids: Tensor, images: Images | None = None, **options: Any) -> Any:
        """Logits of texts with images, (B, T, vocabulary).

        Args:
            ids: int64, (B, T); each image has tokens_per_image image tokens one after the other.
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
        """Rows that stand for each text's images, (B, R, d_model), and how many images these are, (B,)."""
        weight = self.lm.embed.weight
        if images is None:
            return weight.new_zeros(batch, 0, weight.shape[1]), torch.zeros(
                batch, dtype=torch.int64, device=weight.device
            )
        flat, counts = flatten_images(images)
        rows = self.features(flat) if len(flat) else weight.new_zeros(0, self.tokens_per_image, weight.shape[1])
        return by_text(rows.to(weight.dtype), counts), counts

    def read(self, ids: Tensor, earlier: Tensor, seen: tuple[Tensor, ...], **options: Any) -> Any:
        """Logits of a stretch of texts, of which `earlier` image tokens, (B,), came before; seen is from `look`."""
        rows, counts = seen
        if len(rows) != len(ids):
            raise ValueError(f"images are of {len(rows)} texts, and ids hold {len(ids)}")
        each = self.tokens_per_image
        marks, places = find_places(ids, self.image_token, earlier, counts, each=each, options=options)
        if not bool(marks.any()):
            return self.lm(ids, **options)
        x = self.lm.embed_ids(ids.masked_fill(marks, 0))
        index = (places - 1).clamp(min=0)[..., None].expand(-1, -1, x.shape[-1])
        return self.lm(inputs=torch.where(marks[..., None], rows.gather(1, index), x), **options)


def check_image_token(image_token: int, lm: LM) -> None:
    """The image token must be one of the text's."""
    if not 0 <= image_token < lm.config.vocab_size:
        raise ValueError(f"image_token must be in [0, {lm.config.vocab_size}), the vocabulary, got {image_token}")


@torch.no_grad()
def draw_(module: nn.Module) -> None:
    """Weights N(0, 1 / inputs), and biases 0, of every linear map and convolution."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.normal_(part.weight, 0.0, 1 / math.sqrt(part.weight[0].numel()))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
