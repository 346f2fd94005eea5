"""Measurements of networks: gradients by depth, spectra, attention maps."""

from breadth.nn.probes.curvature import (
    Estimate,
    Extremes,
    HessianOperator,
    SpectralDensity,
    Tridiagonal,
    hessian_extremes,
    hessian_trace,
    lanczos,
    spectral_density,
)
from breadth.nn.probes.depth import DepthSignal, Growth, LayerSignal, signal_by_depth
from breadth.nn.probes.geometry import (
    EffectiveField,
    ReceptiveField,
    effective_receptive_field,
    equivariance_error,
    flip,
    interior,
    invariance_error,
    permutation,
    receptive_field,
    translation,
)
from breadth.nn.probes.saddle import Escape, Inertia, escape, hessian_index
from breadth.nn.probes.sharpness import sharpness, worst_case_sharpness
from breadth.nn.probes.units import UnitActivity, effective_rank, rank_by_layer, stable_rank, unit_activity

__all__ = [
    "DepthSignal",
    "EffectiveField",
    "Escape",
    "Estimate",
    "Extremes",
    "Growth",
    "HessianOperator",
    "Inertia",
    "LayerSignal",
    "ReceptiveField",
    "SpectralDensity",
    "Tridiagonal",
    "UnitActivity",
    "effective_rank",
    "effective_receptive_field",
    "equivariance_error",
    "escape",
    "flip",
    "hessian_extremes",
    "hessian_index",
    "hessian_trace",
    "interior",
    "invariance_error",
    "lanczos",
    "permutation",
    "rank_by_layer",
    "receptive_field",
    "sharpness",
    "signal_by_depth",
    "spectral_density",
    "stable_rank",
    "translation",
    "unit_activity",
    "worst_case_sharpness",
]
