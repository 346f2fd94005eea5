"""Flamingo learns to say what an image shows, and does it by looking: synthetic pictures of nine kinds."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from breadth.lm import (
    LM,
    Flamingo,
    Layer,
    LMConfig,
    PerceiverResampler,
    Rope,
    VisionConfig,
    VisionLM,
    VisionTower,
    generate,
)

IMAGE, END = 0, 7  # ids 1 to 3 are colours, 4 to 6 shapes
SIZE = 8
SHAPES = torch.tensor([[[1, 1, 1]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0], [1, 1, 1], [0, 0, 0]]])
SHAPES = SHAPES.float().repeat_interleave(2, 1).repeat_interleave(2, 2)  # a square, a cross and a bar, 6 x 6 pixels


def pictures(n, *, seed):
    """Images (n, 3, 8, 8) of a coloured shape somewhere, in noise, and their captions (n, 4) behind an image token."""
    generator = torch.Generator().manual_seed(seed)
    colour, shape = (torch.randint(3, (n,), generator=generator) for _ in range(2))
    images = 0.1 * torch.randn(n, 3, SIZE, SIZE, generator=generator)
    at = torch.randint(SIZE - 5, (n, 2), generator=generator).tolist()
    for i, (y, x) in enumerate(at):
        images[i, colour[i], y : y + 6, x : x + 6] += SHAPES[shape[i]]
    ends = torch.full((n,), END)
    return images, torch.stack([torch.full((n,), IMAGE), 1 + colour, 4 + shape, ends], 1)


def small(seed=0, layers=1):
    torch.manual_seed(seed)
    config = LMConfig(
        vocab_size=8,
        d_model=16,
        n_heads=2,
        n_kv_heads=2,
        head_dim=8,
        d_ff=32,
        layers=(Layer(),) * layers,
        ropes=(Rope(8),),
        context_length=64,
    )
    sizes = VisionConfig(d_model=16, n_heads=2, d_ff=32, n_layers=1, image_size=SIZE, patch_size=2)
    return LM(config), VisionTower(sizes)


def flamingo(seed=0, layers=1, **options):
    lm, tower = small(seed, layers)
    return Flamingo(lm, tower, image_token=IMAGE, depth=1, n_heads=2, head_dim=8, **options)


def loss(model, ids, *images):
    return F.cross_entropy(model(ids, *images)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def train(parameters, steps, compute):
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * min(1.0, 2 * (1 - step / steps))
        optimizer.zero_grad()
        compute(torch.randint(512, (32,), generator=generator)).backward()
        optimizer.step()


@pytest.fixture(scope="module")
def taught():
    """A language model that knows how captions go, then frozen; and layers that look, trained on 512 pictures."""
    model = flamingo(n_latents=8)
    images, ids = pictures(512, seed=0)
    model.lm.requires_grad_(True)
    train(list(model.lm.parameters()), 30, lambda rows: loss(model.lm, ids[rows]))
    model.lm.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    new = [p for p in model.parameters() if p.requires_grad]
    train(new, 120, lambda rows: loss(model, ids[rows], images[rows]))
    return model.eval(), before


@torch.no_grad()
def test_closed_gates_give_the_language_model_and_its_gradients_reach_the_gates_alone():
    model = flamingo(layers=2, every=2)
    images, ids = pictures(5, seed=2)
    assert torch.equal(model(ids, images), model.lm(ids))
    assert len(model.looks) == 1
    with torch.enable_grad():
        loss(model, ids, images).backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert moved == {"looks.0.gate", "looks.0.ffn_gate"}


@torch.no_grad()
def test_captions_of_new_pictures_are_learnt_by_looking(taught):
    model, before = taught
    images, ids = pictures(300, seed=3)
    found = torch.tensor(generate(model.seeing(images), ids[:, :1], max_new_tokens=3).ids)
    right = (found == ids[:, 1:]).float().mean(0)
    assert right[0] >= 0.97 and right[1] >= 0.9 and right[2] == 1, right.tolist()
    blind = loss(model.lm, ids).item()
    assert blind == pytest.approx(2 * torch.tensor(3.0).log().item() / 3, abs=0.06), "colour and shape are chance to it"
    assert loss(model, ids, images) < 0.4 * blind
    assert loss(model, ids, images[torch.randperm(300)]) > blind, "it says what the wrong picture shows"
    for name, tensor in model.state_dict().items():
        if name.startswith(("lm.", "tower.")):
            assert torch.equal(tensor, before[name]), name


@torch.no_grad()
def test_a_caption_is_of_the_last_picture_before_it(taught):
    model, _ = taught
    images, ids = pictures(200, seed=4)
    first, second = images[:100], images[100:]
    text = torch.cat((ids[:100], ids[100:, :1]), 1)  # a picture, its caption, and another picture
    found = torch.tensor(generate(model.seeing(torch.stack((first, second), 1)), text, max_new_tokens=2).ids)
    assert (found == ids[100:, 1:3]).float().mean() > 0.8
    swapped = torch.stack((second, second), 1)
    alone = model(text, torch.stack((first, second), 1)), model(text, swapped)
    assert (alone[0][:, 4] - alone[1][:, 4]).abs().max() > 1e-4, "what was kept of the first picture stays in the text"
    gate = model.looks[0]
    rows = model.resampler(model.tower(torch.cat((first[:1], second[:1])))).flatten(0, 1)[None]
    seen = torch.zeros(1, 1, 5, 16, dtype=torch.bool)
    seen[..., :4, :8] = seen[..., 4:, 8:] = True
    x = model.lm.embed_ids(text[:1])
    other = rows.clone()
    other[:, :8] = 0.0
    here, there = (gate(x, *gate.keys_values(r), seen) for r in (rows, other))
    assert torch.equal(here[:, 4:], there[:, 4:]) and (here[:, :4] - there[:, :4]).abs().max() > 1e-4


@torch.no_grad()
def test_texts_of_unequal_length_are_each_as_alone(taught):
    model, _ = taught
    images, ids = pictures(3, seed=5)
    prompts = [[IMAGE], [*ids[0].tolist(), IMAGE], [5, 6]]
    seen = [images[:1], images[:2], images[:0]]
    for options in ({}, {"num_beams": 3}, {"prefill_chunk": 2}, {"temperature": 1.0, "seed": [1, 2, 3]}):
        together = generate(model.seeing(seen), prompts, max_new_tokens=3, **options).ids
        for row in range(3):
            given = options | ({"seed": options["seed"][row : row + 1]} if "seed" in options else {})
            assert generate(
                model.seeing(seen[row : row + 1]), prompts[row : row + 1], max_new_tokens=3, **given
            ).ids == [together[row]]


@torch.no_grad()
def test_frames_of_a_film_have_places():
    torch.manual_seed(0)
    resampler = PerceiverResampler(16, n_latents=4, depth=2, n_heads=2, head_dim=8, frames=3)
    film = torch.randn(2, 3, 5, 16)
    by_hand = torch.cat([film[:, t] + resampler.times[t] for t in range(3)], 1)
    torch.testing.assert_close(resampler(film), resampler(by_hand))
    assert resampler(film).shape == (2, 4, 16)
    assert (resampler(film) - resampler(film.flip(1))).abs().max() > 1e-3, "their order matters"
    torch.testing.assert_close(resampler(by_hand), resampler(by_hand.flip(1)))  # of features it does not
    with pytest.raises(ValueError, match="features must have at most 3 frames, got 4"):
        resampler(torch.zeros(1, 4, 5, 16))
    with pytest.raises(ValueError, match=r"features must have shape \(n, S, 16\) or \(n, frames, S, 16\), got"):
        resampler(torch.zeros(1, 5, 15))


def test_a_projector_learns_what_pictures_show():
    """The other kind of model on the same pictures: rows in the text; all of it is trained."""
    lm, tower = small()
    model = VisionLM(lm, tower, image_token=IMAGE, layers=(-1,))
    images, ids = pictures(512, seed=0)
    ids = torch.cat((torch.full((512, model.tokens_per_image - 1), IMAGE), ids), 1)

    def compute(rows):
        return F.cross_entropy(model(ids[rows], images[rows])[:, -4:-1].flatten(0, 1), ids[rows, -3:].flatten())

    train(list(model.parameters()), 40, compute)
    with torch.no_grad():
        right = (model(ids, images)[:, -4:-1].argmax(-1) == ids[:, -3:]).float().mean(0)
    assert right[0] > 0.9 and right[1] > 0.6, right.tolist()


def test_what_is_given_must_fit():
    model = flamingo()
    images, ids = pictures(2, seed=6)
    with pytest.raises(ValueError, match="ids of row 0 hold 1 image tokens, and its 0 images take 0: 1 each"):
        model(ids)
    with pytest.raises(ValueError, match="ids of row 1 hold 0 image tokens, and its 1 images take 1"):
        model(torch.cat((ids[:1], ids[1:].clamp(min=1))), images)
    with pytest.raises(ValueError, match="images are of 1 texts, and ids hold 2"):
        generate(model.seeing(images[:1]), ids, max_new_tokens=1)
    lm, tower = small()
    for options, complaint in (
        ({"image_token": 8}, r"image_token must be in \[0, 8\), the vocabulary, got 8"),
        ({"image_token": 0, "every": 0}, "every must be >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=complaint):
            Flamingo(lm, tower, **options)
    with pytest.raises(ValueError, match=r"VisionConfig\.patch_size must divide image_size=8, got 3"):
        VisionConfig(image_size=8, patch_size=3)
    with pytest.raises(ValueError, match=r"layers must lie in \[-2, 2\), and be one at least, got \(2,\)"):
        tower(images, layers=(2,))
