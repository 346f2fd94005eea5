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
from breadth.nn.probes.saddle import Escape, Inertia, escape, hessian_index
from breadth.nn.probes.sharpness import sharpness, worst_case_sharpness

__all__ = [
    "DepthSignal",
    "Escape",
    "Estimate",
    "Extremes",
    "Growth",
    "HessianOperator",
    "Inertia",
    "LayerSignal",
    "SpectralDensity",
    "Tridiagonal",
    "escape",
    "hessian_extremes",
    "hessian_index",
    "hessian_trace",
    "lanczos",
    "sharpness",
    "signal_by_depth",
    "spectral_density",
    "worst_case_sharpness",
]
