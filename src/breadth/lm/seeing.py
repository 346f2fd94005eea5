"""Images beside prompts: which belong to which text, and a model that looks at them while it decodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from breadth.lm.cache import Cache
    from breadth.lm.model import LM

Images = Tensor | Sequence[Tensor]


class Reader(Protocol):
    """A model that reads texts with images: `VisionLM` and `Flamingo`."""

    lm: LM
    image_token: int

    def look(self, images: Images | None, batch: int) -> tuple[Tensor, ...]:
        """What it keeps of the images, one row a text; of none for None."""
        ...

    def read(self, ids: Tensor, earlier: Tensor, seen: tuple[Tensor, ...], **options: Any) -> Any:
        """Logits of a text's next stretch, `earlier` image tokens of which came before."""
        ...


def flatten_images(images: Images) -> tuple[Tensor, Tensor]:
    """Images of all texts in one batch, and how many each text has.

    Args:
        images: (B, C, H, W), one a text; (B, N, C, H, W), N a text; or for each text (n, C, H, W), n >= 0.

    Returns:
        Images (sum n, C, H, W) and their numbers, int64, (B,).

    Raises:
        ValueError: if they have another shape, or their sizes differ.
    """
    if isinstance(images, Tensor):
        if images.dim() not in (4, 5):
            raise ValueError(
                f"images must have shape (B, C, H, W), one a text, or (B, N, C, H, W), got {tuple(images.shape)}"
            )
        images = list(images[:, None] if images.dim() == 4 else images)
    if not images or any(row.dim() != 4 for row in images):
        shapes = [tuple(row.shape) for row in images]
        raise ValueError(f"images must hold for each text a tensor (n, C, H, W), got shapes {shapes}")
    if len({row.shape[1:] for row in images}) > 1:
        raise ValueError(f"images must be of one size, got {sorted({tuple(row.shape[1:]) for row in images})}")
    return torch.cat(list(images)), torch.tensor([len(row) for row in images], device=images[0].device)


def by_text(rows: Tensor, counts: Tensor) -> Tensor:
    """Rows of all images, (sum n, R, d) -> of each text, (B, max n R, d), zeros behind those that have fewer."""
    most = int(counts.max()) if len(counts) else 0
    out = rows.new_zeros(len(counts), most, *rows.shape[1:])
    if len(rows):
        out[torch.arange(most, device=counts.device) < counts[:, None]] = rows
    return out.flatten(1, 2)


def find_places(
    ids: Tensor, image_token: int, earlier: Tensor, counts: Tensor, *, each: int, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Where images stand in a stretch of texts.

    A text must have as many image tokens as its images take. Those that a text goes on with while it is decoded, when
    all of its images have been seen, are tokens like others.

    Args:
        ids: int64, (B, T).
        image_token: id whose places images take.
        earlier: image tokens of each row before the stretch, (B,).
        counts: images of each row, (B,).
        each: image tokens that stand for one image.
        options: those of a call of `LM`, of which cache and valid are looked at: padding is no image.

    Returns:
        Which tokens stand for images, bool (B, T), and how many such there are up to each, int64 (B, T).

    Raises:
        ValueError: naming the first row that has too many image tokens, or in a call without cache too few.
    """
    marks, wanted, cache = marks_of(ids, image_token, options.get("valid")), counts * each, options.get("cache")
    places = earlier[:, None] + marks.cumsum(1)
    if cache is not None and cache.length > 0:
        return marks & (places <= wanted[:, None]), places.clamp(max=wanted[:, None])
    had = places[:, -1]
    wrong = (had != wanted) if cache is None else (had > wanted)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"ids of row {row} hold {int(had[row])} image tokens, and its {int(counts[row])} images take "
            f"{int(wanted[row])}: {each} each"
        )
    return marks, places


def marks_of(ids: Tensor, image_token: int, valid: Tensor | None) -> Tensor:
    """Which tokens stand for images, bool (B, T); padding, where valid ends in False, does not."""
    marks = ids == image_token
    return marks if valid is None else marks & valid[:, -ids.shape[1] :]


class SeeingCache:
    """A cache of a text, and beside it what its model keeps of the images, row by row.

    Args:
        lm: the language model.
        seen: what the model keeps of the images, one row a text.
        marks: bool, (B, room): which of the tokens read so far stand for images.
        text: the language model's cache; None makes one.

    Attributes:
        length: tokens held.
    """

    def __init__(self, lm: LM, seen: tuple[Tensor, ...], marks: Tensor, text: Cache | None = None) -> None:
        self.lm, self.seen, self.marks = lm, seen, marks
        self.text = lm.make_cache(*marks.shape) if text is None else text

    @property
    def length(self) -> int:
        return self.text.length

    def earlier(self, marks: Tensor) -> Tensor:
        """Image tokens of each row before the new ones, int64, (B,); which of the new ones are such is noted."""
        begin = self.length
        self.marks[:, begin : begin + marks.shape[1]] = marks
        return self.marks[:, :begin].sum(1)

    def fork(self, copies: int) -> SeeingCache:
        """Each row so many times, copies of a row side by side."""
        rows = torch.arange(len(self.marks), device=self.marks.device).repeat_interleave(copies)
        return SeeingCache(self.lm, tuple(t[rows] for t in self.seen), self.marks[rows], self.text.fork(copies))

    def reorder(self, rows: Tensor) -> None:
        """The rows given by number in place of those that are."""
        self.text.reorder(rows)
        self.seen, self.marks = tuple(t[rows] for t in self.seen), self.marks[rows]

    def truncate(self, length: int) -> None:
        """Forget tokens from a length on, or all where a window has moved on: they are read again."""
        try:
            self.text.truncate(length)
        except ValueError:
            self.text = self.lm.make_cache(*self.marks.shape)


class Seeing:
    """A model that looks at given images: `generate`, `stream` and `beam_search` take it as a language model.

        generate(model.seeing(images), ids, max_new_tokens=20)

    Each image is looked at once. Rows of ids are those of the images, and hold the model's image tokens.

    Args:
        model: a `VisionLM` or a `Flamingo`.
        images: as `flatten_images` takes them; None if no text has one.

    Attributes:
        config: of the language model.

    Peer: each row alone (B); transformers' greedy tokens for texts with images (A).
    """

    def __init__(self, model: Reader, images: Images | None) -> None:
        self.model, self.config = model, model.lm.config
        with torch.no_grad():
            self.seen = None if images is None else model.look(images, len(images))

    def parameters(self) -> Any:
        """Of the language model."""
        return self.model.lm.parameters()

    def make_cache(self, batch: int, length: int) -> SeeingCache:
        """Room for so many rows of so many tokens.

        Raises:
            ValueError: if the images are of another number of texts.
        """
        marks = torch.zeros(batch, length, dtype=torch.bool, device=self.model.lm.embed.weight.device)
        return SeeingCache(self.model.lm, self._rows(batch), marks)

    def __call__(self, ids: Tensor, *, cache: SeeingCache | None = None, **options: Any) -> Any:
        """Logits, as of a call of the language model."""
        if cache is None:
            return self.model.read(ids, ids.new_zeros(len(ids)), self._rows(len(ids)), **options)
        earlier = cache.earlier(marks_of(ids, self.model.image_token, options.get("valid")))
        return self.model.read(ids, earlier, cache.seen, cache=cache.text, **options)

    def _rows(self, batch: int) -> tuple[Tensor, ...]:
        seen = self.model.look(None, batch) if self.seen is None else self.seen
        if len(seen[0]) != batch:
            raise ValueError(f"images are of {len(seen[0])} texts, and ids hold {batch}")
        return seen
