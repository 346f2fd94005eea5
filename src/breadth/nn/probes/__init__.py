"""Measurements of networks: gradients by depth, spectra, attention maps."""
