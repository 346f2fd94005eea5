"""Heads and likelihoods beside transformers' with the same weights, float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from breadth.lm import load
from breadth.lm.heads import NextSentence, SequenceClassifier, SequenceRegressor, SpanReader, TokenTagger
from breadth.lm.likelihood import perplexity, token_logprobs
from tests.lm.hf.tiny import VOCAB

transformers = pytest.importorskip("transformers")
WHY = {"rtol": 0, "atol": 2e-5}  # float32, and another order of sums


def inputs():
    """Two texts of two segments, the second padded to the first one's length."""
    g = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, VOCAB, (2, 30), generator=g)
    valid = torch.arange(30) < torch.tensor([[30], [17]])
    types = (torch.arange(30) >= 9).long().expand(2, 30)
    return tokens, valid, types


def copied(ours: nn.Linear, theirs: nn.Linear) -> None:
    ours.load_state_dict(theirs.state_dict())


@pytest.fixture
def bert(peer):
    """Ours, and a maker of transformers' models with a head that is not near zero, on the same weights."""
    made = peer("bert")

    def theirs(kind, **settings):
        torch.manual_seed(1)
        config = transformers.BertConfig(**{**made.model.config.to_dict(), **settings})
        model = getattr(transformers, kind)(config).eval()
        model.bert.load_state_dict(made.model.bert.state_dict(), strict=False)
        for name, weight in model.named_parameters():
            if not name.startswith(("bert.embeddings", "bert.encoder", "cls.predictions")):
                nn.init.normal_(weight, 0.0, 0.3)
        return model

    return load(made.folder), theirs


def run(theirs, tokens, valid, types):
    with torch.no_grad():
        return theirs(tokens, attention_mask=valid.long(), token_type_ids=types)


def test_next_sentence_has_the_logits_of_transformers(bert):
    model, make = bert
    theirs = make("BertForPreTraining")
    head = NextSentence(model)
    copied(head.pooler.dense, theirs.bert.pooler.dense)
    copied(head.classifier, theirs.cls.seq_relationship)
    tokens, valid, types = inputs()
    expected = run(theirs, tokens, valid, types).seq_relationship_logits
    torch.testing.assert_close(head(tokens, types=types, valid=valid).detach(), expected, **WHY)


@pytest.mark.parametrize("n_labels", [1, 4])
def test_classes_and_numbers_of_texts_are_those_of_transformers(bert, n_labels):
    model, make = bert
    theirs = make("BertForSequenceClassification", num_labels=n_labels)
    head = SequenceRegressor(model) if n_labels == 1 else SequenceClassifier(model, n_labels)
    copied(head.pooler.dense, theirs.bert.pooler.dense)
    copied(head.regressor if n_labels == 1 else head.classifier, theirs.classifier)
    tokens, valid, types = inputs()
    expected = run(theirs, tokens, valid, types).logits
    ours = head(tokens, valid=valid, types=types).detach()
    torch.testing.assert_close(ours[:, None] if n_labels == 1 else ours, expected, **WHY)


def test_tags_of_tokens_are_those_of_transformers(bert):
    model, make = bert
    theirs, head = make("BertForTokenClassification", num_labels=5), TokenTagger(model, 5)
    copied(head.classifier, theirs.classifier)
    tokens, valid, types = inputs()
    expected = run(theirs, tokens, valid, types).logits
    torch.testing.assert_close(head(tokens, valid=valid, types=types).detach()[valid], expected[valid], **WHY)


def test_answers_in_a_text_are_those_of_transformers(bert):
    model, make = bert
    theirs, head = make("BertForQuestionAnswering"), SpanReader(model)
    copied(head.outputs, theirs.qa_outputs)
    tokens, valid, types = inputs()
    expected = run(theirs, tokens, valid, types)
    start, end = (t.detach() for t in head(tokens, valid=valid, types=types))
    torch.testing.assert_close(start[valid], expected.start_logits[valid], **WHY)
    torch.testing.assert_close(end[valid], expected.end_logits[valid], **WHY)
    assert bool((start[~valid] == -torch.inf).all()), "padding is no answer"


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_oss"])
def test_likelihoods_are_the_loss_of_transformers(peer, name):
    made, (tokens, valid, _) = peer(name), inputs()
    model = load(made.folder)
    with torch.no_grad():
        for row, real in zip(tokens, valid, strict=True):
            text = row[real][None]
            loss = float(made.model(text, labels=text).loss)
            logprobs = token_logprobs(model, text)
            assert -float(logprobs.mean()) == pytest.approx(loss, abs=2e-5)
            found = perplexity(model, text[0])
            assert found.logprob / found.tokens == pytest.approx(-loss, abs=2e-5)
