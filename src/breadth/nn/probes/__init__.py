"""Measurements of networks: gradients by depth, spectra, attention maps."""

from breadth.nn.probes.depth import DepthSignal, Growth, LayerSignal, signal_by_depth

__all__ = ["DepthSignal", "Growth", "LayerSignal", "signal_by_depth"]
