"""A model in this process as a backend."""

from __future__ import annotations

import pytest
import torch

from breadth.lm import LM
from breadth.lm.backend import Refused, Sampling
from breadth.lm.backend_local import Local
from breadth.lm.config import Layer, LMConfig, Rope
from breadth.text import BPE

CHAT = [{"role": "user", "content": "Hi"}]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)


@pytest.fixture(scope="module")
def local():
    tokenizer = BPE.train(["one two three four five six seven eight nine ten"] * 3, vocab_size=290, pattern="gpt2")
    tokenizer = tokenizer.replace(chat_template=TEMPLATE)
    torch.manual_seed(0)
    config = LMConfig(
        vocab_size=290, d_model=32, n_heads=4, n_kv_heads=2, head_dim=8, d_ff=48, layers=2 * (Layer(),),
        ropes=(Rope(8),), context_length=128,
    )  # fmt: skip
    return Local(LM(config).eval(), tokenizer, batch_size=2)


def test_a_local_model_scores_what_its_logits_say(local):
    prompt, texts = "one two", [" three", " four five"]
    scores = local.score(prompt, texts)
    for text, score in zip(texts, scores, strict=True):
        ids = local.tokenizer.encode(prompt + text)
        n = len(local.tokenizer.encode(text))
        logprobs = local.model(torch.tensor([ids])).detach().log_softmax(-1)[0]
        rows = range(len(ids) - n - 1, len(ids) - 1)
        assert score.tokens == n
        assert score.logprob == pytest.approx(sum(float(logprobs[t, ids[t + 1]]) for t in rows), rel=1e-5)
        assert score.greedy == all(int(logprobs[t].argmax()) == ids[t + 1] for t in rows)
    with pytest.raises(ValueError, match="lies across the border"):
        local.score("one tw", ["o"])
    with pytest.raises(ValueError, match="prompt must have a token"):
        local.score("", ["one"])


def test_a_local_models_greedy_text_has_the_score_of_its_logprobs(local):
    done = local.generate(["one two"], Sampling(max_tokens=3, logprobs=True))[0]
    assert done.finish == "length" and len(done.logprobs) == done.completion_tokens == 3
    ids = local.tokenizer.encode("one two")
    for token_logprob in done.logprobs:
        logprobs = local.model(torch.tensor([ids])).detach()[0, -1].log_softmax(-1)
        assert token_logprob == pytest.approx(float(logprobs.max()), rel=1e-5)
        ids.append(int(logprobs.argmax()))
    assert local.tokenizer.decode(ids) == "one two" + done.text


def test_a_local_models_draws_depend_on_prompt_and_seed_alone(local):
    hot = Sampling(max_tokens=6, temperature=1.0, seed=3)
    together = local.generate(["one", "two three", "four"], hot)
    assert together == [local.generate([p], hot)[0] for p in ("one", "two three", "four")]
    assert together != local.generate(["one", "two three", "four"], Sampling(max_tokens=6, temperature=1.0, seed=4))


def test_a_local_model_may_have_more_rows_than_the_tokenizer_has_tokens(local):
    few = BPE.train(["one two"], vocab_size=257)
    greedy = Sampling(max_tokens=2, logprobs=True)
    ids = few.encode("one")
    bias = torch.zeros(290).index_fill(0, torch.tensor([280]), 1e4)  # of an id that has no token
    model = LM(local.model.config).eval()
    model.head = torch.nn.Linear(32, 290)
    model.head.bias.data = bias
    with pytest.warns(UserWarning, match="the model chose an id without a token"):
        done = Local(model, few).generate(["one"], greedy)[0]
    assert (done.text, done.tokens, done.prompt_tokens) == ("\ufffd" * 2, ("\ufffd",) * 2, len(ids))


def test_conversations_go_through_the_chat_template(local):
    greedy = Sampling(max_tokens=4)
    assert local.generate([CHAT], greedy)[0].text == local.generate(["<user>Hi<a>"], greedy)[0].text
    bare = Local(local.model, local.tokenizer.replace(chat_template=None))
    assert not bare.caps.chat and local.caps.chat
    with pytest.raises(Refused, match="no chat template"):
        bare.generate([CHAT], greedy)


def test_a_stop_text_ends_a_local_models_answer(local):
    whole = local.generate(["one"], Sampling(max_tokens=12))[0]
    stop = whole.text[4:6]
    cut = local.generate(["one"], Sampling(max_tokens=12, stop=(stop,)))[0]
    assert (cut.text, cut.finish) == (whole.text[: whole.text.index(stop)], "stop")
