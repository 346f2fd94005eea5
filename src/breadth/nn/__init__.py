"""Neural networks as torch parts: layers, losses, optimizers, attention, probes.

Names are imported on first use, so that `breadth.nn.autodiff` works without torch. Losses, optimizers, positions and
probes lie in packages of their own.
"""

from typing import TYPE_CHECKING

from breadth.lazy_names import lazy_names

if TYPE_CHECKING:
    from breadth.nn.activations import GELU, ReLU, Sigmoid, SiLU, Swish, Tanh, gelu, relu, sigmoid, silu, swish, tanh
    from breadth.nn.attention import (
        LinearAttention,
        LinformerAttention,
        MultiheadAttention,
        PerformerAttention,
        attend,
        attention_weights,
        linear_attention,
        linformer_attention,
        performer_attention,
    )
    from breadth.nn.augment import Augment, flip, mixup, noise, shift
    from breadth.nn.clip import NonFiniteGradientWarning, clip_grad_norm_, clip_grad_value_, guarded_step
    from breadth.nn.dropout import Dropout, HeadDropout, head_dropout
    from breadth.nn.gated import GLU, ClampedSwiGLU, FeedForward, GeGLU, SwiGLU
    from breadth.nn.norms import BatchNorm1d, BatchNorm2d, LayerNorm, QKNorm, RMSNorm
    from breadth.nn.recurrent import GRU, LSTM, RNN
    from breadth.nn.residual import Residual
    from breadth.nn.stopping import EarlyStopping

__all__ = [
    "GELU",
    "GLU",
    "GRU",
    "LSTM",
    "RNN",
    "Augment",
    "BatchNorm1d",
    "BatchNorm2d",
    "ClampedSwiGLU",
    "Dropout",
    "EarlyStopping",
    "FeedForward",
    "GeGLU",
    "HeadDropout",
    "LayerNorm",
    "LinearAttention",
    "LinformerAttention",
    "MultiheadAttention",
    "NonFiniteGradientWarning",
    "PerformerAttention",
    "QKNorm",
    "RMSNorm",
    "ReLU",
    "Residual",
    "SiLU",
    "Sigmoid",
    "SwiGLU",
    "Swish",
    "Tanh",
    "attend",
    "attention_weights",
    "clip_grad_norm_",
    "clip_grad_value_",
    "flip",
    "gelu",
    "guarded_step",
    "head_dropout",
    "linear_attention",
    "linformer_attention",
    "mixup",
    "noise",
    "performer_attention",
    "relu",
    "shift",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
]

_MODULES = {
    "activations": (
        "GELU",
        "ReLU",
        "Sigmoid",
        "SiLU",
        "Swish",
        "Tanh",
        "gelu",
        "relu",
        "sigmoid",
        "silu",
        "swish",
        "tanh",
    ),
    "attention": (
        "LinearAttention",
        "LinformerAttention",
        "MultiheadAttention",
        "PerformerAttention",
        "attend",
        "attention_weights",
        "linear_attention",
        "linformer_attention",
        "performer_attention",
    ),
    "augment": (
        "Augment",
        "flip",
        "mixup",
        "noise",
        "shift",
    ),
    "clip": (
        "NonFiniteGradientWarning",
        "clip_grad_norm_",
        "clip_grad_value_",
        "guarded_step",
    ),
    "dropout": (
        "Dropout",
        "HeadDropout",
        "head_dropout",
    ),
    "gated": (
        "ClampedSwiGLU",
        "FeedForward",
        "GLU",
        "GeGLU",
        "SwiGLU",
    ),
    "norms": (
        "BatchNorm1d",
        "BatchNorm2d",
        "LayerNorm",
        "QKNorm",
        "RMSNorm",
    ),
    "recurrent": (
        "GRU",
        "LSTM",
        "RNN",
    ),
    "residual": ("Residual",),
    "stopping": ("EarlyStopping",),
}
__getattr__, __dir__ = lazy_names(__name__, _MODULES, needs=("torch",))
