"""BERTScore beside bert_score on one tiny encoder, and perplexity beside transformers' loss in sliding windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from breadth.metrics import bertscore, perplexity
from tests.metrics.segments import grouped, real_pairs

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # the encoder's own precision


@pytest.fixture(scope="module")
def texts():
    hypotheses, references = real_pairs(12)
    return [h.lower() for h in hypotheses], [r.lower() for r in references]


@pytest.fixture(scope="module")
def encoder(texts, tmp_path_factory):
    """A BERT of two layers with random weights, saved with a vocabulary of the texts' letters."""
    folder = tmp_path_factory.mktemp("encoder")
    letters = sorted({c for side in texts for text in side for c in text if not c.isspace()})
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{c}" for c in letters),
        "the",
        "is",
        "of",
    ]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("idf", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_bertscore_is_that_of_its_authors(encoder, texts, idf, several):
    peer = pytest.importorskip("bert_score")
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    model = transformers.AutoModel.from_pretrained(encoder).eval()

    def embed(given):
        found = []
        for text in given:
            ids = tokenizer(text)["input_ids"]
            with torch.no_grad():
                found.append((ids, model(torch.tensor([ids])).last_hidden_state[0].double().numpy()))
        return found

    hypotheses, references = texts
    given = grouped(hypotheses, references) if several else references
    flat = [r for group in given for r in group] if several else references
    weights = False
    if idf:  # in this process: by itself it starts four
        weights = peer.utils.get_idf_dict(flat, tokenizer, nthreads=0)
        weights[tokenizer.cls_token_id] = weights[tokenizer.sep_token_id] = 0
    theirs = peer.score(
        hypotheses, given, model_type=str(encoder), num_layers=2, idf=weights, batch_size=1, device="cpu"
    )
    special = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    ours = bertscore(hypotheses, given, embed, idf=idf, special_ids=special)
    for part, expected in zip(ours, theirs, strict=True):
        assert_allclose(part.segments, expected.double().numpy(), **FLOAT32)
    assert np.ptp(ours.f.segments) > 0.01  # random weights tell texts apart


@pytest.mark.parametrize(("context", "stride"), [(None, None), (16, 8), (16, 5), (16, 15)])
def test_perplexity_is_the_exponential_of_transformers_loss(context, stride):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config).eval().double()
    for parameter in model.parameters():
        parameter.data *= 3  # so that contexts matter
    ids = torch.randint(50, (61,)).tolist()

    @torch.no_grad()
    def score(window):
        logits = model(torch.tensor([window])).logits[0, :-1].log_softmax(-1)
        return logits[range(len(window) - 1), window[1:]].numpy()

    total, counted, done = 0.0, 0, 0
    for begin in range(0, len(ids), stride or len(ids)):
        end = min(begin + (context or len(ids)), len(ids))
        labels = torch.tensor([ids[begin:end]])
        labels[:, : max(done - begin, 0)] = -100  # of an earlier window
        new = int((labels[0, 1:] != -100).sum())
        with torch.no_grad():
            total += float(model(torch.tensor([ids[begin:end]]), labels=labels).loss) * new
        counted, done = counted + new, end
        if end == len(ids):
            break
    found = perplexity(score, [ids], context=context, stride=stride)
    assert found.parts["tokens"] == counted == 60
    assert_allclose(math.log(found.value), total / counted, rtol=1e-6)  # its loss is in float32
    assert found.value != pytest.approx(50, rel=0.1)
