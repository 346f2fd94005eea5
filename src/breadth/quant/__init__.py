"""Weights in fewer bits: formats, and linear layers that multiply them without unpacking."""
