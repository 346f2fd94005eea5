"""Language models: one file for every architecture, real checkpoints in and out, and decoding.

Names are imported on first use, so that `breadth.lm.config` and `breadth.lm.backend` work without torch.
"""

from typing import TYPE_CHECKING

from breadth.lazy_names import lazy_names

if TYPE_CHECKING:
    from breadth.lm.beam import beam_search
    from breadth.lm.cache import Cache
    from breadth.lm.config import MLA, Layer, LMConfig, MoE, Rope
    from breadth.lm.constrained import Trie, choose
    from breadth.lm.contrastive import contrast, contrastive_scores, degeneration_penalty
    from breadth.lm.flamingo import Flamingo, GatedCrossAttention, PerceiverResampler
    from breadth.lm.gates import ThresholdGate, TokenGate, gated_softmax, keep_loss
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
    from breadth.lm.hf.vision import load_vision
    from breadth.lm.infilling import blank_infilling, draw_spans
    from breadth.lm.lazy import LazyLM
    from breadth.lm.likelihood import Perplexity, perplexity, token_logprobs
    from breadth.lm.model import LM
    from breadth.lm.moe import Experts, Routing, balance_, load_balancing_loss, route, routings
    from breadth.lm.options import Options, load_options
    from breadth.lm.penalties import no_repeat_ngram, presence_frequency_penalty, repetition_penalty
    from breadth.lm.pipeline import Pipeline
    from breadth.lm.presets import PRESETS, preset, tiny
    from breadth.lm.prune import (
        Prune,
        attention_importance,
        check_schedule,
        dynamic_schedule,
        layer_wise_schedule,
        static_schedule,
    )
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
    from breadth.lm.vision import Projector, VisionConfig, VisionLM, VisionTower

__all__ = [
    "LM",
    "MLA",
    "PRESETS",
    "Cache",
    "ClassifierStop",
    "Experts",
    "Flamingo",
    "GatedCrossAttention",
    "Generation",
    "LMConfig",
    "Layer",
    "LazyLM",
    "MoE",
    "NextSentence",
    "Options",
    "PerceiverResampler",
    "Perplexity",
    "Piece",
    "Pipeline",
    "Projector",
    "Prune",
    "Rope",
    "Routing",
    "SentenceEmbedder",
    "SequenceClassifier",
    "SequenceRegressor",
    "SimilarityStop",
    "SpanReader",
    "StopStrings",
    "Stream",
    "ThresholdGate",
    "TokenGate",
    "TokenTagger",
    "Trie",
    "VisionConfig",
    "VisionLM",
    "VisionTower",
    "attention_importance",
    "balance_",
    "beam_search",
    "blank_infilling",
    "check_schedule",
    "choose",
    "contrast",
    "contrastive_scores",
    "degeneration_penalty",
    "draw_spans",
    "dynamic_schedule",
    "epsilon_cutoff",
    "eta_cutoff",
    "gated_softmax",
    "generate",
    "keep_loss",
    "layer_wise_schedule",
    "load",
    "load_balancing_loss",
    "load_options",
    "load_vision",
    "min_p",
    "no_repeat_ngram",
    "perplexity",
    "presence_frequency_penalty",
    "preset",
    "repetition_penalty",
    "route",
    "routings",
    "save",
    "scale_temperature",
    "static_schedule",
    "stream",
    "temperature_softmax",
    "tiny",
    "token_logprobs",
    "top_k",
    "top_p",
    "typical",
]

_MODULES = {
    "beam": ("beam_search",),
    "cache": ("Cache",),
    "config": ("MLA", "LMConfig", "Layer", "MoE", "Rope"),
    "constrained": ("Trie", "choose"),
    "contrastive": ("contrast", "contrastive_scores", "degeneration_penalty"),
    "flamingo": ("Flamingo", "GatedCrossAttention", "PerceiverResampler"),
    "gates": ("ThresholdGate", "TokenGate", "gated_softmax", "keep_loss"),
    "generation": ("generate", "stream"),
    "heads": (
        "NextSentence",
        "SentenceEmbedder",
        "SequenceClassifier",
        "SequenceRegressor",
        "SpanReader",
        "TokenTagger",
    ),
    "hf.load": ("load",),
    "hf.save": ("save",),
    "hf.vision": ("load_vision",),
    "infilling": ("blank_infilling", "draw_spans"),
    "lazy": ("LazyLM",),
    "likelihood": ("Perplexity", "perplexity", "token_logprobs"),
    "model": ("LM",),
    "moe": ("Experts", "Routing", "balance_", "load_balancing_loss", "route", "routings"),
    "options": ("Options", "load_options"),
    "penalties": ("no_repeat_ngram", "presence_frequency_penalty", "repetition_penalty"),
    "pipeline": ("Pipeline",),
    "presets": ("PRESETS", "preset", "tiny"),
    "prune": (
        "Prune",
        "attention_importance",
        "check_schedule",
        "dynamic_schedule",
        "layer_wise_schedule",
        "static_schedule",
    ),
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
    "stopping": ("ClassifierStop", "SimilarityStop", "StopStrings"),
    "streaming": ("Generation", "Piece", "Stream"),
    "vision": ("Projector", "VisionConfig", "VisionLM", "VisionTower"),
}
__getattr__, __dir__ = lazy_names(__name__, _MODULES, needs=("torch", "safetensors"))
