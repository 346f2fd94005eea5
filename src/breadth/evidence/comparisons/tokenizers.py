"""Tokenizers at equal vocabulary, learned from four fifths of the documents and counted on the rest."""

from breadth.evidence import contenders_text as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.probes import restored
from breadth.evidence.sources import read_text

_LEARNED = (c.BPE, c.HF_BPE, c.TIKTOKEN, c.SP_BPE, c.WORDPIECE, c.HF_WORDPIECE, c.UNIGRAM, c.SP_UNIGRAM)

COMPARISON = Comparison(
    name="tokenizers",
    contenders=(*_LEARNED, c.BYTES),
    baseline="Hugging Face BPE",
    data=("english", "code"),
    quick_data=("english",),
    measures={"tokenization": MEASURES["tokenization"]},
    quick={entry.name: {"vocab_size": 1000} for entry in _LEARNED},
    probes=(restored,),
    families=("tokenization",),
    read=read_text,
)
