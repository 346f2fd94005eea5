"""Language models: one file for every architecture, real checkpoints in and out, and decoding.

Names are imported on first use, so that `breadth.lm.config` and `breadth.lm.backend` work without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breadth.lm.beam import beam_search
    from breadth.lm.cache import Cache
    from breadth.lm.config import MLA, Layer, LMConfig, MoE, Rope
    from breadth.lm.constrained import Trie, choose
    from breadth.lm.contrastive import contrast, contrastive_scores, degeneration_penalty
    from breadth.lm.generation import generate, stream
    from breadth.lm.heads import (
        NextSentence,
        SentenceEmbedder,
        SequenceClassifier,
        SequenceRegressor,
        SpanReader,
        TokenTagger,
    )
    from breadth.lm.hf.load import load
    from breadth.lm.hf.save import save
    from breadth.lm.infilling import blank_infilling, draw_spans
    from breadth.lm.likelihood import Perplexity, perplexity, token_logprobs
    from breadth.lm.model import LM
    from breadth.lm.moe import Experts, Routing, balance_, load_balancing_loss, route, routings
    from breadth.lm.options import Options, load_options
    from breadth.lm.penalties import no_repeat_ngram, presence_frequency_penalty, repetition_penalty
    from breadth.lm.pipeline import Pipeline
    from breadth.lm.sampling import (
        epsilon_cutoff,
        eta_cutoff,
        min_p,
        scale_temperature,
        temperature_softmax,
        top_k,
        top_p,
        typical,
    )
    from breadth.lm.stopping import ClassifierStop, SimilarityStop, StopStrings
    from breadth.lm.streaming import Generation, Piece, Stream

__all__ = [
    "LM",
    "MLA",
    "Cache",
    "ClassifierStop",
    "Experts",
    "Generation",
    "LMConfig",
    "Layer",
    "MoE",
    "NextSentence",
    "Options",
    "Perplexity",
    "Piece",
    "Pipeline",
    "Rope",
    "Routing",
    "SentenceEmbedder",
    "SequenceClassifier",
    "SequenceRegressor",
    "SimilarityStop",
    "SpanReader",
    "StopStrings",
    "Stream",
    "TokenTagger",
    "Trie",
    "balance_",
    "beam_search",
    "blank_infilling",
    "choose",
    "contrast",
    "contrastive_scores",
    "degeneration_penalty",
    "draw_spans",
    "epsilon_cutoff",
    "eta_cutoff",
    "generate",
    "load",
    "load_balancing_loss",
    "load_options",
    "min_p",
    "no_repeat_ngram",
    "perplexity",
    "presence_frequency_penalty",
    "repetition_penalty",
    "route",
    "routings",
    "save",
    "scale_temperature",
    "stream",
    "temperature_softmax",
    "token_logprobs",
    "top_k",
    "top_p",
    "typical",
]

_MODULES = {
    "beam": ("beam_search",),
    "cache": ("Cache",),
    "config": (
        "MLA",
        "LMConfig",
        "Layer",
        "MoE",
        "Rope",
    ),
    "constrained": (
        "Trie",
        "choose",
    ),
    "contrastive": (
        "contrast",
        "contrastive_scores",
        "degeneration_penalty",
    ),
    "generation": (
        "generate",
        "stream",
    ),
    "hf.load": ("load",),
    "hf.save": ("save",),
    "model": ("LM",),
    "moe": (
        "Experts",
        "Routing",
        "balance_",
        "load_balancing_loss",
        "route",
        "routings",
    ),
    "options": (
        "Options",
        "load_options",
    ),
    "penalties": (
        "no_repeat_ngram",
        "presence_frequency_penalty",
        "repetition_penalty",
    ),
    "pipeline": ("Pipeline",),
    "sampling": (
        "epsilon_cutoff",
        "eta_cutoff",
        "min_p",
        "scale_temperature",
        "temperature_softmax",
        "top_k",
        "top_p",
        "typical",
    ),
    "stopping": (
        "ClassifierStop",
        "SimilarityStop",
        "StopStrings",
    ),
    "streaming": (
        "Generation",
        "Piece",
        "Stream",
    ),
    "heads": (
        "NextSentence",
        "SentenceEmbedder",
        "SequenceClassifier",
        "SequenceRegressor",
        "SpanReader",
        "TokenTagger",
    ),
    "infilling": (
        "blank_infilling",
        "draw_spans",
    ),
    "likelihood": (
        "Perplexity",
        "perplexity",
        "token_logprobs",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as missing:
        if missing.name not in ("torch", "safetensors"):
            raise
        needed = f"breadth.lm.{name} needs the package {missing.name}: pip install 'breadth[lm]'"
        raise ModuleNotFoundError(needed, name=missing.name) from missing


def __dir__() -> list[str]:
    return __all__
