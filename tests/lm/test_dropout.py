"""Dropout in training: where GPT-2 has it, with its mean over masks, and none in evaluation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from breadth.lm import LM, Layer, LMConfig

FIELDS = ("embed_dropout", "attention_dropout", "residual_dropout")
PLAIN = LMConfig(
    vocab_size=40,
    d_model=16,
    n_heads=2,
    n_kv_heads=2,
    head_dim=8,
    d_ff=32,
    layers=(Layer(rope=None),),
    norm="layer",
    qkv_bias=True,
    o_bias=True,
    ffn_bias=True,
    activation="gelu_tanh",
    gated=False,
    learned_positions=64,
    context_length=64,
    tied=True,
)
IDS = torch.arange(9)[None] * 3


def model_with(**shares):
    torch.manual_seed(0)
    return LM(replace(PLAIN, **shares)).double()


def test_evaluation_and_shares_of_zero_drop_nothing():
    plain = model_with()(IDS)
    for field in FIELDS:
        model = model_with(**{field: 0.5})
        torch.manual_seed(1)
        first, second = model(IDS), model(IDS)
        assert (first - second).abs().max() > 1e-3, field
        assert torch.equal(model.eval()(IDS), plain), field
        cache = model.train().make_cache(1, 9)
        torch.manual_seed(2)
        assert (model(IDS, cache=cache) - plain).abs().max() > 1e-3  # training is training, with a cache too


@pytest.mark.parametrize("part", ["embeddings", "attention", "feed-forward"])
@torch.no_grad()
def test_the_mean_over_masks_of_what_is_dropped_is_what_it_was(part):
    """Of each place by itself: behind it the model is not linear, and means do not carry over."""
    share, n = 0.3, 4000
    field = {"embeddings": "embed_dropout"}.get(part, "residual_dropout")
    model = model_with(**{field: share})
    still = model_with()
    ids = IDS.expand(n, -1)
    block, quiet = model.decoder.blocks[0], still.decoder.blocks[0]
    torch.manual_seed(3)
    if part == "embeddings":
        wanted = still.embed_ids(IDS) + still.positions.weight[:9]
        found = model._placed(model.embed_ids(ids), 0, None, None, None, None)
    else:
        x = still.embed_ids(IDS)
        wanted = quiet.attention(x, still.decoder.step(x)) if part == "attention" else quiet.ffn(x)
        found = block._dropped(wanted.expand(n, -1, -1))
    zero = (found == 0).double().mean()
    assert zero.item() == pytest.approx(share, abs=4 * (share * (1 - share) / found.numel()) ** 0.5)
    assert torch.allclose(found[found != 0], (wanted / (1 - share)).expand_as(found)[found != 0])
    noise = wanted.abs() * (share / (1 - share) / n) ** 0.5
    assert ((found.mean(0) - wanted[0]).abs() <= 5 * noise[0]).all()


@torch.no_grad()
def test_attention_drops_probabilities_and_its_mean_is_attention():
    model, still = model_with(attention_dropout=0.4), model_with()
    n = 4000
    x = still.embed_ids(IDS)
    attention, quiet = model.decoder.blocks[0].attention, still.decoder.blocks[0].attention
    wanted = quiet(x, still.decoder.step(x))[0]
    torch.manual_seed(4)
    many = x.expand(n, -1, -1)
    found = attention(many, model.decoder.step(many))
    noise = found.std(0) / n**0.5
    assert ((found.mean(0) - wanted).abs() <= 5 * noise).all()
    # the first token attends to itself alone: its value is there or not, in each head by itself
    value = quiet.o.bias
    gone = ((found[:, 0] - value).abs().amax(-1) < 1e-12).double().mean().item()
    assert gone == pytest.approx(0.4**2, abs=4 * (0.16 * 0.84 / n) ** 0.5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_gpt2_in_training_draws_transformers_masks(attention, tmp_path):
    """From one seed both drop the same: embeddings, probabilities, then what attention and feed-forward add."""
    transformers = pytest.importorskip("transformers")
    import breadth.lm

    config = transformers.GPT2Config(
        vocab_size=40, n_embd=16, n_layer=3, n_head=2, n_positions=64, embd_pdrop=0.1, attn_pdrop=0.2, resid_pdrop=0.3
    )
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(config)
    theirs.save_pretrained(tmp_path)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, attn_implementation=attention)
    ours = breadth.lm.load(tmp_path)
    assert [getattr(ours.config, field) for field in FIELDS] == [0.1, 0.2, 0.3]
    ids = torch.randint(40, (2, 12), generator=torch.Generator().manual_seed(1))
    quiet = theirs.eval()(ids, use_cache=False).logits
    torch.testing.assert_close(ours(ids), quiet, rtol=0, atol=2e-6, msg=lambda m: f"sums in another order: {m}")
    outputs = []
    for model, call in ((ours.train(), ours), (theirs.train(), lambda x: theirs(x, use_cache=False).logits)):
        torch.manual_seed(5)
        outputs.append(call(ids))
        assert (outputs[-1] - quiet).abs().max() > 0.01
        assert model.training
    torch.testing.assert_close(*outputs, rtol=0, atol=5e-6, msg=lambda m: f"sums in another order: {m}")


def test_shares_outside_of_the_range_are_named():
    for field in FIELDS:
        for share in (-0.1, 1.0, float("nan")):
            with pytest.raises(ValueError, match=rf"LMConfig\.{field} must be in \[0, 1\), got {share}"):
                replace(PLAIN, **{field: share})
