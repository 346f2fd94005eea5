"""Flamingo beside IDEFICS, its open re-implementation in transformers, with the same weights in float64."""

from __future__ import annotations

import pytest
import torch

from breadth.lm import LM, Flamingo, Layer, LMConfig, Rope, VisionConfig, VisionTower

D, SEES, LATENTS, VOCAB, IMAGE = 32, 24, 3, 50, 7


@pytest.fixture(scope="module")
def both():
    """Theirs with every weight drawn anew, and ours with the same."""
    transformers = pytest.importorskip("transformers")
    config = transformers.IdeficsConfig(
        vocab_size=VOCAB,
        additional_vocab_size=0,
        hidden_size=D,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        cross_layer_interval=2,
        use_resampler=True,
        alpha_type="float",
        alpha_initializer="ones",
        vision_config={
            "embed_dim": SEES,
            "image_size": 8,
            "patch_size": 4,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "intermediate_size": 40,
        },
        perceiver_config={
            "resampler_n_latents": LATENTS,
            "resampler_depth": 2,
            "resampler_n_heads": 2,
            "resampler_head_dim": 10,
        },
    )
    config._attn_implementation = "eager"
    theirs = transformers.IdeficsForVisionText2Text(config).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in theirs.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            if tensor.ndim == 1 or "norm" in name:
                tensor.add_(0.3 * noise)
            else:
                tensor.copy_(noise * tensor[0].numel() ** -0.5)
    text = LMConfig(
        vocab_size=VOCAB,
        d_model=D,
        n_heads=4,
        n_kv_heads=4,
        head_dim=D // 4,
        d_ff=48,
        layers=(Layer(),) * 4,
        ropes=(Rope(D // 4),),
    )
    sizes = VisionConfig(
        d_model=SEES, n_heads=3, d_ff=40, n_layers=2, image_size=8, patch_size=4, activation="gelu", norm_eps=1e-5
    )
    ours = Flamingo(
        LM(text),
        VisionTower(sizes),
        image_token=IMAGE,
        every=2,
        d_ff=48,
        activation="silu",
        gated=True,
        n_latents=LATENTS,
        depth=2,
        n_heads=2,
        head_dim=10,
    ).double()
    copy(theirs.state_dict(), ours)
    return ours, theirs


def copy(theirs, ours):
    """Their tensors by our names; those that are left over are of no use to a text."""
    left = {name.removeprefix("model."): tensor for name, tensor in theirs.items()}

    def take(*names):
        return torch.cat([left.pop(name) for name in names])

    made = {
        "lm.embed.weight": take("embed_tokens.weight"),
        "lm.head.weight": take("lm_head.weight"),
        "lm.decoder.norm.weight": take("norm.weight"),
        "tower.token": take("vision_model.embeddings.class_embedding"),
        "tower.patch.weight": take("vision_model.embeddings.patch_embedding.weight"),
        "tower.positions": take("vision_model.embeddings.position_embedding.weight"),
        "resampler.latents": take("perceiver_resampler.latents"),
    }
    for i in range(4):
        a, b = f"lm.decoder.blocks.{i}.", f"layers.{i}."
        made[a + "attention.qkv.weight"] = take(*(f"{b}self_attn.{n}_proj.weight" for n in "qkv"))
        made[a + "attention.o.weight"] = take(b + "self_attn.o_proj.weight")
        made[a + "ffn.up.weight"] = take(b + "mlp.gate_proj.weight", b + "mlp.up_proj.weight")
        made[a + "ffn.down.weight"] = take(b + "mlp.down_proj.weight")
        made[a + "pre.0.weight"] = take(b + "input_layernorm.weight")
        made[a + "pre.1.weight"] = take(b + "post_attention_layernorm.weight")
    for i in range(2):
        a, b = f"looks.{i}.", f"gated_cross_attn_layers.{i}."
        made[a + "gate"], made[a + "ffn_gate"] = take(b + "alpha_cross_attn")[0], take(b + "alpha_dense")[0]
        made[a + "q.weight"] = take(b + "cross_attn.q_proj.weight")
        made[a + "kv.weight"] = take(b + "cross_attn.k_proj.weight", b + "cross_attn.v_proj.weight")
        made[a + "o.weight"] = take(b + "cross_attn.o_proj.weight")
        made[a + "ffn.up.weight"] = take(b + "mlp.gate_proj.weight", b + "mlp.up_proj.weight")
        made[a + "ffn.down.weight"] = take(b + "mlp.down_proj.weight")
        made[a + "norm.weight"] = take(b + "input_layernorm.weight")
        made[a + "ffn_norm.weight"] = take(b + "post_attention_layernorm.weight")
        a, b = f"resampler.layers.{i}.", f"perceiver_resampler.blocks.{i}."
        made[a + "q.weight"] = take(b + "0.q_proj.weight")
        made[a + "kv.weight"] = take(b + "0.k_proj.weight", b + "0.v_proj.weight")
        made[a + "o.weight"] = take(b + "0.output_proj.weight")
        made[a + "up.weight"], made[a + "down.weight"] = take(b + "1.fc.weight"), take(b + "1.c_proj.weight")
        for p in ("weight", "bias"):
            made[a + f"feature_norm.{p}"] = take(b + f"0.context_layer_norm.{p}")
            made[a + f"latent_norm.{p}"] = take(b + f"0.latents_layer_norm.{p}")
            made[a + f"ffn_norm.{p}"] = take(b + f"1.ln.{p}")
    for p in ("weight", "bias"):
        made[f"resampler.norm.{p}"] = take(f"perceiver_resampler.layer_norm.{p}")
        made[f"tower.norm.{p}"] = take(f"vision_model.pre_layrnorm.{p}")
        for i in range(2):
            a, b = f"tower.stack.blocks.{i}.", f"vision_model.encoder.layers.{i}."
            made[a + f"attention.qkv.{p}"] = take(*(f"{b}self_attn.{n}_proj.{p}" for n in "qkv"))
            made[a + f"attention.o.{p}"] = take(f"{b}self_attn.out_proj.{p}")
            for part, name in (("ffn.up", "mlp.fc1"), ("ffn.down", "mlp.fc2"), ("pre.0", "layer_norm1")):
                made[f"{a}{part}.{p}"] = take(f"{b}{name}.{p}")
            made[f"{a}pre.1.{p}"] = take(f"{b}layer_norm2.{p}")
    for layer in ours.resampler.layers:
        layer.activation = "relu"  # IDEFICS's; the paper squares it
    ours.load_state_dict(made)
    assert set(left) == {"vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias"}


def agree(ours, theirs, tolerance=5e-6, why="mean squares, softmax and rotations are float32 there"):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance, msg=lambda m: f"{why}: {m}")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@torch.no_grad()
def test_resampler_is_idefics(both):
    ours, theirs = both
    features = draw(2, 11, SEES)
    agree(ours.resampler(features), theirs.model.perceiver_resampler(features), 1e-12, "sums in another order")


def test_gated_layer_is_idefics_with_its_gradients(both):
    ours, theirs = both
    layer, peer = ours.looks[1], theirs.model.gated_cross_attn_layers[1]
    rows = draw(2, 2 * LATENTS, SEES, seed=1)
    seen = torch.zeros(2, 1, 6, 2 * LATENTS, dtype=torch.bool)
    seen[:, :, 2:, :LATENTS] = True
    seen[1, :, 4:] = seen[1, :, 4:].flip(-1)
    seen[1, :, 5] = True
    mask = torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, torch.finfo(torch.float32).min)
    grads = []
    for kind in (0, 1):
        y = draw(2, 6, D, seed=2).requires_grad_()
        if kind:
            gate = seen.any(-1)[:, 0].double()
            out = peer(y, image_hidden_states=rows, image_attention_mask=mask, cross_attention_gate=gate)
            parameters = [peer.alpha_cross_attn, peer.alpha_dense, peer.cross_attn.q_proj.weight]
        else:
            out = layer(y, *layer.keys_values(rows), seen)
            parameters = [layer.gate, layer.ffn_gate, layer.q.weight]
        grads.append([out, *torch.autograd.grad(out.square().sum(), [y, *parameters])])
    for one, other in zip(*grads, strict=True):
        agree(one, other.view(one.shape))


@torch.no_grad()
def test_whole_model_is_idefics_and_a_token_sees_the_last_image_alone(both):
    ours, theirs = both
    ids = torch.randint(10, VOCAB, (2, 14), generator=torch.Generator().manual_seed(3))
    ids[0, [2, 8]] = ids[1, [0, 3]] = IMAGE
    images = draw(2, 2, 3, 8, 8, seed=4)
    last = (ids == IMAGE).cumsum(1)
    seen = torch.stack([last == 1, last == 2], -1)  # (B, T, images)
    reference = theirs(input_ids=ids, pixel_values=images, image_attention_mask=seen.long(), use_cache=False).logits
    agree(ours(ids, images), reference)
    cache = ours.seeing(images).make_cache(2, 14)
    model = ours.seeing(images)
    pieces = [model(ids[:, a:b], cache=cache) for a, b in ((0, 5), (5, 9), (9, 10), (10, 14))]
    agree(torch.cat(pieces, 1), reference)

    changed = images.clone()
    changed[:, 0] += 1
    moved = (ours(ids, changed) - ours(ids, images)).abs().amax(-1) > 1e-9
    assert not moved[0, :2].any() and moved[0, 2:8].all(), "nothing is seen before an image"

    both_images = torch.ones_like(seen)
    other = theirs(input_ids=ids, pixel_values=images, image_attention_mask=both_images.long(), use_cache=False).logits
    assert (other - reference).abs().amax(-1)[0, 9:].min() > 1e-3, "the mask makes a difference"
